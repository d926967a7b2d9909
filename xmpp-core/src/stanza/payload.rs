use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::Stanza;
use crate::xml::{
    Attr, Element, Error, Limits, Node, Scope, Sink, Span, Tag, build_content, escape_text, ns,
    scan_start_tag,
};

/// The content of a stanza: the bytes that are relayed, and an index of the children in them.
///
/// The bytes need nothing of the stream they came from but its default namespace, which is the content namespace of
/// whatever stream they are written to. Cheap to clone.
#[derive(Clone, Default)]
pub struct Payload {
    bytes: Bytes,
    index: Option<Arc<[Entry]>>,
}

/// A child of a stanza, without its tree.
#[derive(Clone, Copy)]
pub struct Child<'a> {
    payload: &'a Payload,
    entry: &'a Entry,
}

/// Where a child is, and what it is called.
#[derive(Debug, Clone, Default)]
pub(super) struct Entry {
    pub(super) whole: Span,
    pub(super) name: Span,
    pub(super) ns: EntryNs,
}

#[derive(Debug, Clone, Default)]
pub(super) enum EntryNs {
    /// The content namespace, inherited.
    #[default]
    Content,
    /// None, or as it stands in the bytes.
    At(Span),
    /// As it cannot stand in the bytes.
    Escaped(Arc<str>),
}

impl Payload {
    /// The given children, one after the other. The content namespace is [`ns::CLIENT`].
    pub fn from_elements<'a>(children: impl IntoIterator<Item = &'a Element>) -> Payload {
        let mut writer = Writer::default();
        for child in children {
            writer.element(child);
        }
        writer.finish()
    }

    /// The same for content with text in it.
    pub(super) fn from_nodes(nodes: &[Node]) -> Payload {
        let mut writer = Writer::default();
        for node in nodes {
            match node {
                Node::Element(child) => writer.element(child),
                Node::Text(text) => escape_text(text, &mut writer.bytes),
            }
        }
        writer.finish()
    }

    /// Bytes out of a checked frame that are self-contained, and their index.
    pub(super) fn indexed(bytes: &[u8], index: impl ExactSizeIterator<Item = Entry>) -> Payload {
        Payload {
            bytes: Bytes::copy_from_slice(bytes),
            index: (index.len() > 0).then(|| index.collect()),
        }
    }

    /// A whole stanza inside elements, each a name and a namespace, the outermost first:
    /// `<sent><forwarded><message/>…` (XEP-0297). No tree is made of it.
    ///
    /// ```
    /// use xmpp_core::stanza::{MessageType, Payload, Stanza};
    ///
    /// let message = Stanza::message(MessageType::Chat).with_id("1");
    /// let payload = Payload::forwarding(
    ///     &message,
    ///     &[("sent", "urn:xmpp:carbons:2"), ("forwarded", "urn:xmpp:forward:0")],
    /// );
    /// assert_eq!(
    ///     payload.child("sent", "urn:xmpp:carbons:2").unwrap().raw(),
    ///     "<sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>\
    ///      <message xmlns='jabber:client' id='1' type='chat'/></forwarded></sent>"
    /// );
    /// ```
    pub fn forwarding(stanza: &Stanza, within: &[(&'static str, &'static str)]) -> Payload {
        let mut writer = Writer::default();
        let mut inherited = ns::CLIENT;
        for (depth, &(name, ns)) in within.iter().enumerate() {
            let element = Element::new(name, ns);
            match depth {
                0 => writer.element(&element),
                _ => element.write(inherited, &mut writer.bytes),
            }
            // `<name xmlns='ns'/>` stays open.
            writer.bytes.truncate(writer.bytes.len() - "/>".len());
            writer.bytes.push(b'>');
            inherited = ns;
        }
        stanza.write_within(inherited, &mut writer.bytes);
        for (name, _) in within.iter().rev() {
            writer.bytes.extend_from_slice(b"</");
            writer.bytes.extend_from_slice(name.as_bytes());
            writer.bytes.push(b'>');
        }
        if let Some(outermost) = writer.index.last_mut() {
            outermost.whole.end = writer.bytes.len() as u32;
        }
        writer.finish()
    }

    /// The children, in document order.
    pub fn children(&self) -> impl ExactSizeIterator<Item = Child<'_>> {
        self.entries().iter().map(|entry| Child {
            payload: self,
            entry,
        })
    }

    /// The first child `name` of the namespace `ns`.
    pub fn child(&self, name: &str, ns: &str) -> Option<Child<'_>> {
        self.children().find(|child| child.is(name, ns))
    }

    /// Whether there is a child `name` of the namespace `ns`.
    pub fn has(&self, name: &str, ns: &str) -> bool {
        self.child(name, ns).is_some()
    }

    /// Whether there are no children.
    pub fn is_empty(&self) -> bool {
        self.index.is_none()
    }

    /// What is relayed.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// This content without the children that `drops` picks. Shares the bytes if it picks none.
    pub fn without(&self, drops: impl Fn(&Child<'_>) -> bool) -> Payload {
        if !self.children().any(|child| drops(&child)) {
            return self.clone();
        }
        let (mut bytes, mut index, mut from) =
            (Vec::with_capacity(self.bytes.len()), Vec::new(), 0);
        for child in self.children() {
            let whole = child.entry.whole;
            bytes.extend_from_slice(&self.bytes[from..whole.start as usize]);
            from = whole.end as usize;
            if !drops(&child) {
                index.push(child.entry.back(whole.start as usize - bytes.len()));
                bytes.extend_from_slice(whole.bytes(&self.bytes));
            }
        }
        bytes.extend_from_slice(&self.bytes[from..]);
        Writer { bytes, index }.finish()
    }

    /// This content with one more child behind it.
    pub fn with(&self, child: &Element) -> Payload {
        let mut writer = Writer {
            bytes: self.bytes.to_vec(),
            index: self.entries().to_vec(),
        };
        writer.element(child);
        writer.finish()
    }

    /// The children as trees.
    pub fn elements(&self) -> impl Iterator<Item = Element> {
        self.children().map(Child::element)
    }

    fn entries(&self) -> &[Entry] {
        self.index.as_deref().unwrap_or_default()
    }

    fn text(&self, span: Span) -> &str {
        // The frame was checked as a whole, and our own writer writes nothing else.
        std::str::from_utf8(span.bytes(&self.bytes)).expect("spans of a payload are spans of UTF-8")
    }
}

impl<'a> Child<'a> {
    /// The local name.
    pub fn name(self) -> &'a str {
        self.payload.text(self.entry.name)
    }

    /// The namespace. The content namespace is [`ns::CLIENT`] on whatever stream it came.
    pub fn ns(self) -> &'a str {
        match &self.entry.ns {
            EntryNs::Content => ns::CLIENT,
            EntryNs::At(span) => self.payload.text(*span),
            EntryNs::Escaped(ns) => ns,
        }
    }

    /// Whether this is the child `name` of the namespace `ns`.
    pub fn is(self, name: &str, ns: &str) -> bool {
        self.name() == name && self.ns() == ns
    }

    /// Its bytes, which need no namespace around them but the content namespace as the default one.
    pub fn raw(self) -> &'a str {
        self.payload.text(self.entry.whole)
    }

    /// Its tree.
    pub fn element(self) -> Element {
        match build_content(
            self.raw(),
            &Scope::new(ns::CLIENT),
            ns::CLIENT,
            &Limits::NONE,
        ) {
            Ok(Some((element, _))) => element,
            // Only an `Element` whose maker gave something in it a name that is none gets here.
            _ => Element::new(self.name().to_owned(), self.ns().to_owned()),
        }
    }

    /// The value of the attribute `name`, without building the tree.
    pub fn attr(self, name: &str) -> Option<Cow<'a, str>> {
        let raw = self.raw();
        let mut find = FindAttr { name, found: None };
        scan_start_tag(raw.as_bytes(), 0, &Limits::NONE, &mut find).ok()?;
        find.found.map(|attr| attr.value(raw))
    }
}

impl Entry {
    /// The same child where it lies `by` bytes before.
    pub(super) fn back(&self, by: usize) -> Entry {
        Entry {
            whole: self.whole.back(by),
            name: self.name.back(by),
            ns: match &self.ns {
                EntryNs::At(span) => EntryNs::At(span.back(by)),
                other => other.clone(),
            },
        }
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Payload) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Payload {}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.bytes))
    }
}

impl fmt::Debug for Child<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.raw())
    }
}

/// A payload in the making.
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    index: Vec<Entry>,
}

impl Writer {
    fn element(&mut self, child: &Element) {
        let start = self.bytes.len();
        child.write(ns::CLIENT, &mut self.bytes);
        let prefix = match child.ns() {
            ns::XML => "<xml:",
            _ => "<",
        };
        let name = start + prefix.len();
        let name = Span::new(name, name + child.name().len());
        // `Element::write` declares other namespaces first.
        let declared = name.end as usize + " xmlns='".len();
        let declared = Span::new(declared, declared + child.ns().len());
        self.index.push(Entry {
            whole: Span::new(start, self.bytes.len()),
            name,
            ns: match child.ns() {
                ns::CLIENT => EntryNs::Content,
                ns if self
                    .bytes
                    .get(declared.start as usize..declared.end as usize)
                    == Some(ns.as_bytes()) =>
                {
                    EntryNs::At(declared)
                }
                ns => EntryNs::Escaped(ns.into()),
            },
        });
    }

    fn finish(self) -> Payload {
        Payload {
            bytes: self.bytes.into_boxed_slice().into(),
            index: (!self.index.is_empty()).then(|| self.index.into()),
        }
    }
}

struct FindAttr<'a> {
    name: &'a str,
    found: Option<Attr>,
}

impl Sink for FindAttr<'_> {
    fn open(&mut self, tag: &Tag<'_>) -> Result<(), Error> {
        let of = |attr: &&Attr| attr.name.whole().bytes(tag.input) == self.name.as_bytes();
        self.found = tag.attrs.iter().find(of).copied();
        Ok(())
    }

    fn close(&mut self, _depth: usize, _start_of_end_tag: usize, _end: usize) {}
    fn text(&mut self, _raw: Span) {}
    fn cdata(&mut self, _raw: Span) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stanza::Stanza;

    fn payload(content: &str) -> Payload {
        let stanza = Stanza::parse(&format!("<message>{content}</message>")).unwrap();
        stanza.payload().clone()
    }

    fn names(payload: &Payload) -> Vec<(&str, &str)> {
        payload
            .children()
            .map(|child| (child.name(), child.ns()))
            .collect()
    }

    #[test]
    fn a_child_of_the_xml_namespace_is_found_by_its_name() {
        let payload = Payload::from_elements(&[Element::new("a", ns::XML)]);
        assert_eq!(payload.as_bytes(), "<xml:a/>");
        assert!(payload.has("a", ns::XML));
    }

    #[test]
    fn children_are_found_without_trees() {
        let payload = payload(
            "a<body>b<i/></body><x xmlns='urn:x'><y/></x><p:z xmlns:p='urn:p&amp;' a='&lt;'/><n xmlns=''/>",
        );
        let all = [
            ("body", ns::CLIENT),
            ("x", "urn:x"),
            ("z", "urn:p&"),
            ("n", ""),
        ];
        assert_eq!(names(&payload), all);
        assert_eq!(
            payload.child("z", "urn:p&").unwrap().attr("a").as_deref(),
            Some("<")
        );
        assert_eq!(
            payload.child("body", ns::CLIENT).unwrap().element().text(),
            "b"
        );
        assert!(!payload.has("y", "urn:x") && !payload.has("body", ns::SERVER));
        for child in payload.children() {
            assert!(child.element().is(child.name(), child.ns()));
        }
    }

    #[test]
    fn children_can_be_dropped_and_added() {
        let all = payload(
            "<body>b</body> <delay xmlns='urn:xmpp:delay'/>c<store xmlns='urn:xmpp:hints'/>",
        );
        assert_eq!(
            all.without(|child| child.name() == "none")
                .as_bytes()
                .as_ptr(),
            all.as_bytes().as_ptr()
        );
        let some = all.without(|child| child.is("delay", "urn:xmpp:delay"));
        assert_eq!(
            some.as_bytes(),
            "<body>b</body> c<store xmlns='urn:xmpp:hints'/>"
        );
        assert_eq!(
            names(&some),
            [("body", ns::CLIENT), ("store", "urn:xmpp:hints")]
        );
        let more = some.with(&Element::new("x", "urn:'").with_child(Element::new("y", ns::CLIENT)));
        assert_eq!(names(&more).last(), Some(&("x", "urn:'")));
        let last = more.children().last().unwrap();
        assert_eq!(
            last.raw(),
            "<x xmlns='urn:&apos;'><y xmlns='jabber:client'/></x>"
        );
        assert!(all.without(|_| true).is_empty());
        assert_eq!(all.without(|_| true).as_bytes(), " c");
    }

    #[test]
    fn elements_become_a_payload_and_come_back() {
        let elements = [
            Element::new("body", ns::CLIENT).with_text("<&>"),
            Element::new("x", "urn:x").with_attr("a", "'"),
            Element::new("n", "").with_child(Element::new("body", ns::CLIENT)),
        ];
        let payload = Payload::from_elements(&elements);
        assert_eq!(payload.elements().collect::<Vec<_>>(), elements);
        assert_eq!(Payload::from_elements([]), Payload::default());
    }
}
