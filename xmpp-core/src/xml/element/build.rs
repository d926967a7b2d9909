//! From bytes to a tree.

use std::borrow::Cow;

use super::{Attribute, Element, Namespace, Node};
use crate::xml::chars::{check_chars, is_space};
use crate::xml::escape::{unescape_cdata, unescape_text};
use crate::xml::{Bound, Error, Limit, Limits, Scope, Sink, Span, Tag, ns, scan_element};

pub(super) fn parse(text: &str, limits: &Limits) -> Result<Element, Error> {
    let text = text.trim_matches(|c: char| c.is_ascii() && is_space(c as u8));
    if text.len() > limits.stanza_bytes {
        return Err(Error::PolicyViolation(Limit::StanzaBytes));
    }
    let text = check_chars(text.as_bytes())?;
    match build(text, &Scope::new(""), limits)? {
        Some((element, end)) if end == text.len() => Ok(element),
        _ => Err(Error::NotWellFormed),
    }
}

/// The element at the start of `text`, and where it ends.
pub(crate) fn build(
    text: &str,
    outer: &Scope,
    limits: &Limits,
) -> Result<Option<(Element, usize)>, Error> {
    let mut builder = Builder {
        text,
        open: Vec::new(),
        done: None,
    };
    let scanned = scan_element(text.as_bytes(), outer, limits, &mut builder)?;
    Ok(scanned.and_then(|scanned| Some((builder.done?, scanned.end))))
}

/// The same, with the content namespace as elements spell it.
pub(crate) fn build_content(
    text: &str,
    outer: &Scope,
    content: &str,
    limits: &Limits,
) -> Result<Option<(Element, usize)>, Error> {
    let mut built = build(text, outer, limits)?;
    if let Some((element, _)) = &mut built
        && content != ns::CLIENT
    {
        rename_content(element, content);
    }
    Ok(built)
}

/// Follows `content` from the root down as far as elements inherit it; what is in another namespace may mean it.
fn rename_content(element: &mut Element, content: &str) {
    if element.ns() == content {
        element.ns = Namespace::Static(ns::CLIENT);
        for child in element.children_mut() {
            rename_content(child, content);
        }
    }
}

struct Builder<'a> {
    text: &'a str,
    open: Vec<Element>,
    done: Option<Element>,
}

impl Builder<'_> {
    fn push_text(&mut self, text: &str) {
        if let Some(parent) = self.open.last_mut() {
            parent.push_text(text);
        }
    }

    /// The namespace that something is bound to, shared with the elements around where it is theirs.
    fn namespace(&self, bound: Bound<'_>) -> Namespace {
        let namespace = bound.namespace(self.text);
        match known(&namespace) {
            Some(known) => Namespace::Static(known),
            None => match self.open.last() {
                Some(parent) if parent.ns() == namespace => parent.ns.clone(),
                _ => Namespace::Shared(namespace.into()),
            },
        }
    }
}

impl Sink for Builder<'_> {
    fn open(&mut self, tag: &Tag<'_>) -> Result<(), Error> {
        let input = self.text.as_bytes();
        let mut attributes = Vec::new();
        for attr in tag.attrs.iter().filter(|attr| !attr.declares) {
            let namespace = match tag.resolve(attr.name.prefix().bytes(input)) {
                Some(bound) if attr.name.has_prefix() => self.namespace(bound),
                _ => Namespace::Static(""),
            };
            attributes.push(Attribute {
                ns: namespace,
                name: Cow::Owned(attr.name.local().text(self.text).to_owned()),
                value: attr.value(self.text).into_owned(),
            });
        }
        self.open.push(Element {
            name: Cow::Owned(tag.name.local().text(self.text).to_owned()),
            ns: self.namespace(tag.namespace()),
            attributes,
            nodes: Vec::new(),
        });
        Ok(())
    }

    fn close(&mut self, _depth: usize, _start_of_end_tag: usize, _end: usize) {
        let Some(element) = self.open.pop() else {
            return;
        };
        match self.open.last_mut() {
            Some(parent) => parent.nodes.push(Node::Element(element)),
            None => self.done = Some(element),
        }
    }

    fn text(&mut self, raw: Span) {
        let text = unescape_text(raw.text(self.text));
        self.push_text(&text);
    }

    fn cdata(&mut self, raw: Span) {
        let text = unescape_cdata(raw.text(self.text));
        self.push_text(&text);
    }
}

/// Spares the common namespaces their copies.
fn known(namespace: &str) -> Option<&'static str> {
    [
        ns::CLIENT,
        "",
        ns::XML,
        ns::STANZA_ERROR,
        ns::STREAM,
        "urn:ietf:params:xml:ns:xmpp-sasl",
        "urn:ietf:params:xml:ns:xmpp-bind",
        "urn:xmpp:sm:3",
        "jabber:iq:roster",
    ]
    .into_iter()
    .find(|&known| known == namespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_resolved_references_and_all() {
        let e = Element::parse(
            "<p:a xmlns:p='&#117;rn:x' xmlns='urn:d' p:x='1' x='2'><b/><c xmlns=''/></p:a>",
        )
        .unwrap();
        assert!(e.is("a", "urn:x"));
        assert_eq!(
            (e.attr_ns("x", "urn:x"), e.attr("x")),
            (Some("1"), Some("2"))
        );
        assert!(e.child("b", "urn:d").is_some() && e.child("c", "").is_some());
    }

    #[test]
    fn nothing_may_stand_beside_the_element() {
        assert!(Element::parse(" \n<a/>\t").is_ok());
        for text in ["", " ", "<a/><b/>", "<a/>x", "x<a/>", "<a>", "</a>"] {
            assert_eq!(Element::parse(text), Err(Error::NotWellFormed), "{text:?}");
        }
    }
}
