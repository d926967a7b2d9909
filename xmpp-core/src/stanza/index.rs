//! From the checked pass to a stanza.

use std::sync::Arc;

use super::kind::CONTENT;
use super::payload::{Entry, EntryNs};
use super::{Cause, IqType, Kind, Malformed, ParseError, Payload, Stanza};
use crate::jid::Jid;
use crate::xml::{
    Attr, Attribute, Bound, Element, Error, Inline, Limit, Limits, Scanned, Scope, Sink, Span, Tag,
    build_content, check_chars, ns, scan_element,
};

pub(super) fn parse(text: &str, limits: Limits) -> Result<Stanza, ParseError> {
    let (text, scope) = (text.trim(), Scope::new(ns::CLIENT));
    if text.len() > limits.stanza_bytes {
        return Err(Error::PolicyViolation(Limit::StanzaBytes).into());
    }
    let text = check_chars(text.as_bytes())?;
    let mut indexer = Indexer::new(limits.children);
    match scan_element(text.as_bytes(), &scope, &limits, &mut indexer)? {
        Some(scanned) if scanned.end == text.len() => {
            match indexer.finish(text, &scanned, &scope)? {
                Some(Ok(stanza)) => Ok(stanza),
                Some(Err(malformed)) => Err(ParseError::Malformed(Box::new(malformed))),
                None => Err(ParseError::NotAStanza),
            }
        }
        _ => Err(Error::NotWellFormed.into()),
    }
}

/// Notes, during the checked pass over a first-level element, what a stanza needs.
pub(crate) struct Indexer {
    root: Option<Root>,
    children: Inline<Found, 6>,
    most_children: usize,
}

/// A child, in the frame.
#[derive(Clone, Copy, Default)]
struct Found {
    whole: Span,
    name: Span,
    /// Where the namespace stands; `None` for the content namespace.
    ns: Option<Span>,
    /// Whether its name has the prefix `xml`, which nobody declares.
    xml: bool,
}

/// The start tag of a stanza.
struct Root {
    kind: Kind,
    content: &'static str,
    to: Option<Attr>,
    from: Option<Attr>,
    id: Option<Attr>,
    kind_attr: Option<Attr>,
    lang: Option<Attr>,
    /// There are other attributes.
    extra: bool,
    /// The bytes of the payload mean something else elsewhere, so it has to be written anew.
    rewrite: bool,
    payload: Span,
}

impl Indexer {
    pub(crate) fn new(most_children: usize) -> Indexer {
        Indexer {
            root: None,
            children: Inline::new(),
            most_children,
        }
    }

    /// The stanza that `text` turned out to be; `None` if it is another element.
    pub(crate) fn finish(
        self,
        text: &str,
        scanned: &Scanned,
        scope: &Scope,
    ) -> Result<Option<Result<Stanza, Malformed>>, Error> {
        let Some(root) = &self.root else {
            return Ok(None);
        };
        let value = |attr: Option<Attr>| attr.map(|attr| attr.value(text));
        let (to, from, id) = (value(root.to), value(root.from), value(root.id));
        let malformed = |kind, cause| {
            Ok(Some(Err(Malformed {
                kind,
                to: value(root.to).map(Into::into),
                from: value(root.from).map(Into::into),
                id: value(root.id).map(Into::into),
                cause,
            })))
        };
        let Some(kind) = root.kind.typed(value(root.kind_attr).as_deref()) else {
            return malformed(root.kind, Cause::Type);
        };
        let address = |text: Option<&str>| text.map(Jid::new).transpose();
        let Ok(from) = address(from.as_deref()) else {
            return malformed(kind, Cause::From);
        };
        let Ok(to) = address(to.as_deref()) else {
            return malformed(kind, Cause::To);
        };
        if let Kind::Iq(kind_of_iq) = kind {
            // RFC 6120 §8.1.3: "For <iq/> stanzas, the originating entity MUST include an 'id' attribute".
            if id.is_none() {
                return malformed(kind, Cause::Id);
            }
            // RFC 6120 §8.2.3: a get or set "MUST contain exactly one child element", a result "MUST include zero or
            // one child elements".
            let (least, most) = match kind_of_iq {
                IqType::Get | IqType::Set => (1, 1),
                IqType::Result => (0, 1),
                IqType::Error => (0, usize::MAX),
            };
            if !(least..=most).contains(&self.children.len()) {
                return malformed(kind, Cause::Children);
            }
        }
        let mut stanza = Stanza::new(kind).with_to(to).with_from(from);
        stanza.id = id.map(Arc::from);
        stanza.lang = value(root.lang).map(Arc::from);
        if root.extra || root.rewrite || scanned.borrows {
            let built = build_content(text, scope, root.content, &Limits::NONE)?;
            let (element, _) = built.ok_or(Error::NotWellFormed)?;
            stanza.set_extra(element.attributes().iter().filter(is_extra));
            stanza.payload = self.rewritten(text, root.rewrite || scanned.borrows, element);
        } else {
            stanza.payload = self.relayed(text);
        }
        Ok(Some(Ok(stanza)))
    }

    fn rewritten(&self, text: &str, rewrite: bool, element: Element) -> Payload {
        if rewrite {
            Payload::from_nodes(element.nodes())
        } else {
            self.relayed(text)
        }
    }

    fn relayed(&self, text: &str) -> Payload {
        let Some(root) = &self.root else {
            return Payload::default();
        };
        let start = root.payload.start as usize;
        let entry = |child: &Found| Entry {
            whole: child.whole.back(start),
            name: child.name.back(start),
            ns: match child.ns {
                Some(span) => EntryNs::At(span.back(start)),
                None if child.xml => EntryNs::Escaped(ns::XML.into()),
                None => EntryNs::Content,
            },
        };
        let children = self.children.as_slice().iter().map(entry);
        Payload::indexed(root.payload.text(text).as_bytes(), children)
    }
}

impl Sink for Indexer {
    fn open(&mut self, tag: &Tag<'_>) -> Result<(), Error> {
        if tag.depth == 1 {
            self.root = Root::read(tag);
        } else if let Some(root) = &mut self.root
            && tag.depth == 2
        {
            if self.children.len() >= self.most_children {
                return Err(Error::PolicyViolation(Limit::Children));
            }
            let namespace = tag.namespace();
            let ns = match namespace {
                Bound::Here(binding) if binding.depth == 2 => {
                    // What names the content namespace itself would name a wrong one on another stream.
                    root.rewrite |= !binding.plain || namespace.is(root.content, tag.input);
                    Some(binding.raw)
                }
                // Or a prefix from outside: then the payload is written anew.
                _ => None,
            };
            self.children.push(Found {
                whole: tag.span,
                name: tag.name.local(),
                ns,
                xml: matches!(namespace, Bound::Outer(ns::XML)),
            });
        }
        Ok(())
    }

    fn close(&mut self, depth: usize, start_of_end_tag: usize, end: usize) {
        match (depth, &mut self.root) {
            (1, Some(root)) => root.payload.end = start_of_end_tag as u32,
            (2, Some(_)) => {
                if let Some(child) = self.children.last_mut() {
                    child.whole.end = end as u32;
                }
            }
            _ => {}
        }
    }

    fn text(&mut self, _raw: Span) {}
    fn cdata(&mut self, _raw: Span) {}
}

impl Root {
    /// The start tag, if it is that of a stanza: one of the stream's content namespace, or of any if the stream has none
    /// (RFC 6120 §4.8.2).
    fn read(tag: &Tag<'_>) -> Option<Root> {
        let kind = Kind::named(tag.name.local().bytes(tag.input))?;
        let namespace = tag.namespace();
        let content = CONTENT
            .into_iter()
            .find(|content| namespace.is(content, tag.input))?;
        if content != tag.outer_default() && ns::is_content(tag.outer_default()) {
            return None;
        }
        let inherited = tag
            .resolve(b"")
            .is_some_and(|default| default.is(content, tag.input));
        let mut root = Root {
            kind,
            content,
            to: None,
            from: None,
            id: None,
            kind_attr: None,
            lang: None,
            extra: false,
            rewrite: !inherited,
            payload: Span::new(tag.span.end as usize, tag.span.end as usize),
        };
        for &attr in tag.attrs {
            let field = match attr.name.whole().bytes(tag.input) {
                b"to" => &mut root.to,
                b"from" => &mut root.from,
                b"id" => &mut root.id,
                b"type" => &mut root.kind_attr,
                b"xml:lang" => &mut root.lang,
                _ => {
                    root.extra |= !attr.declares;
                    continue;
                }
            };
            *field = Some(attr);
        }
        Some(root)
    }
}

/// Whether the header of a stanza has no field for the attribute.
fn is_extra(attribute: &&Attribute) -> bool {
    !matches!(
        (attribute.ns(), attribute.name()),
        ("", "to" | "from" | "id" | "type") | (ns::XML, "lang")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stanza::{Condition, MessageType, PresenceType};

    #[test]
    fn a_header_is_read_with_its_references_resolved() {
        let stanza = Stanza::parse(
            "<message id='&quot;1&#9;' type='groupchat' xml:lang='de' to='a@example.org/&lt;b' from='example.net'/>",
        );
        let stanza = stanza.unwrap();
        assert_eq!(stanza.kind(), Kind::Message(MessageType::Groupchat));
        assert_eq!((stanza.id(), stanza.lang()), (Some("\"1\t"), Some("de")));
        assert_eq!(stanza.to().map(Jid::as_str), Some("a@example.org/<b"));
        assert_eq!(stanza.from().map(Jid::as_str), Some("example.net"));
        assert!(stanza.payload().is_empty());
    }

    #[test]
    fn what_breaks_a_rule_of_stanzas_is_answered_as_the_rule_says() {
        use Condition::{BadRequest, JidMalformed};
        for (text, cause, answer) in [
            // RFC 6120 §8.3.3.8
            (
                "<message to='@b' from='c.example' id='1'/>",
                Cause::To,
                Some(JidMalformed),
            ),
            ("<message to=''/>", Cause::To, Some(JidMalformed)),
            ("<presence from='a@'/>", Cause::From, Some(JidMalformed)),
            ("<message to='@b' type='error'/>", Cause::To, None),
            ("<iq to='@b' type='result' id='1'/>", Cause::To, None),
            // RFC 6121 §4.7.1, RFC 6120 §8.2.3
            (
                "<presence type='invisible'/>",
                Cause::Type,
                Some(BadRequest),
            ),
            ("<presence type=''/>", Cause::Type, Some(BadRequest)),
            ("<iq id='1'><a/></iq>", Cause::Type, Some(BadRequest)),
            (
                "<iq id='1' type='push'><a/></iq>",
                Cause::Type,
                Some(BadRequest),
            ),
            // RFC 6120 §8.1.3
            ("<iq type='get'><a/></iq>", Cause::Id, Some(BadRequest)),
            ("<iq type='result'/>", Cause::Id, None),
            // RFC 6120 §8.2.3
            ("<iq type='get' id='1'/>", Cause::Children, Some(BadRequest)),
            (
                "<iq type='set' id='1'>a</iq>",
                Cause::Children,
                Some(BadRequest),
            ),
            (
                "<iq type='set' id='1'><a/><b/></iq>",
                Cause::Children,
                Some(BadRequest),
            ),
            (
                "<iq type='result' id='1'><a/><b/></iq>",
                Cause::Children,
                None,
            ),
        ] {
            let Err(ParseError::Malformed(malformed)) = Stanza::parse(text) else {
                panic!("{text}")
            };
            assert_eq!(malformed.cause, cause, "{text}");
            let reply = malformed.reply();
            let condition = reply
                .as_ref()
                .and_then(Stanza::error)
                .map(|error| error.condition);
            assert_eq!(condition, answer, "{text}");
        }
        for text in [
            "<iq type='error' id='1'><a/><error type='cancel'/></iq>",
            "<iq type='result' id=''/>",
            "<message type='odd'/>",
        ] {
            assert!(Stanza::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn the_answer_goes_back_as_far_as_there_are_addresses() {
        let text = "<iq to='a@b.example' from='c.example' id='1' type='odd'><x/></iq>";
        let Err(ParseError::Malformed(malformed)) = Stanza::parse(text) else {
            panic!()
        };
        let reply = malformed.reply().unwrap();
        assert_eq!(reply.kind(), Kind::Iq(IqType::Error));
        assert_eq!(reply.to().map(Jid::as_str), Some("c.example"));
        assert_eq!(reply.from().map(Jid::as_str), Some("a@b.example"));
        assert_eq!(reply.id(), Some("1"));
    }

    #[test]
    fn other_attributes_are_relayed_with_their_namespaces() {
        let stanza = Stanza::parse(
            "<presence xmlns:p='urn:p' p:a='1' a='&lt;' type='probe'><x/></presence>",
        )
        .unwrap();
        assert_eq!(stanza.kind(), Kind::Presence(PresenceType::Probe));
        assert_eq!(
            stanza.to_string(),
            "<presence type='probe' xmlns:ns0='urn:p' ns0:a='1' a='&lt;'><x/></presence>"
        );
        assert_eq!(stanza.to_element().attr_ns("a", "urn:p"), Some("1"));
        assert_eq!(Stanza::parse(&stanza.to_string()), Ok(stanza));
    }

    #[test]
    fn a_payload_is_written_anew_only_if_its_bytes_need_something_around_them() {
        for (text, payload) in [
            (
                "<message><body>a&amp;b</body >  </message>",
                "<body>a&amp;b</body >  ",
            ),
            (
                "<message xmlns='jabber:client'><x:y xmlns:x='urn:x'/></message>",
                "<x:y xmlns:x='urn:x'/>",
            ),
            (
                "<message xmlns:x='urn:x'><x:y/></message>",
                "<y xmlns='urn:x'/>",
            ),
            (
                "<message xmlns:x='urn:x'><y x:z='1'/></message>",
                "<y xmlns:ns0='urn:x' ns0:z='1'/>",
            ),
            (
                "<m:message xmlns:m='jabber:client' xmlns='urn:d'>a<m:b/><c/></m:message>",
                "a<b/><c xmlns='urn:d'/>",
            ),
            (
                "<message><body xmlns='jabber:client'/></message>",
                "<body/>",
            ),
        ] {
            let stanza = Stanza::parse(text).unwrap();
            assert_eq!(stanza.payload().as_bytes(), payload, "{text}");
        }
    }

    /// Nobody would send it; what a filter looks for must be what is relayed all the same.
    #[test]
    fn a_child_in_the_namespace_of_xml_itself_is_known_as_such() {
        let text = "<iq type='get' id='x'><xml:query xmlns='urn:x'/></iq>";
        let stanza = Stanza::parse(text).unwrap();
        let child = stanza.payload().children().next().unwrap();
        assert!(child.is("query", ns::XML));
        assert!(child.is(child.element().name(), child.element().ns()));
    }

    #[test]
    fn what_is_no_stanza_is_told_from_what_is_no_xml() {
        for text in [
            "<message xmlns='urn:x'/>",
            "<a/>",
            "<x:iq xmlns:x='urn:x'/>",
        ] {
            assert_eq!(Stanza::parse(text), Err(ParseError::NotAStanza), "{text}");
        }
        for text in [
            "",
            "<message>",
            "<message/><message/>",
            "<message/>a",
            "<message>\u{FFFE}</message>",
        ] {
            assert_eq!(
                Stanza::parse(text),
                Err(ParseError::Xml(Error::NotWellFormed)),
                "{text}"
            );
        }
    }
}
