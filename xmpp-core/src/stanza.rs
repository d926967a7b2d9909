//! Stanzas: a header that the server understands, and a payload that it relays byte for byte (RFC 6120 §8).

mod error;
mod index;
mod kind;
mod malformed;
mod payload;

use std::fmt;
use std::sync::Arc;

pub use error::{Condition, ErrorType, StanzaError};
pub use kind::{IqType, Kind, MessageType, PresenceType};
pub use malformed::{Cause, Malformed, ParseError};
pub use payload::{Child, Payload};

pub(crate) use index::Indexer;

use crate::jid::Jid;
use crate::xml::{Attribute, Element, Limits, Scope, build_content, ns, write_attr};

/// A `<message/>`, `<presence/>` or `<iq/>`.
///
/// Cheap to clone: the payload is shared. What is written is a start tag made of the header, and the payload as it was
/// read. The payload inherits its default namespace, so the same bytes serve client and server streams.
///
/// Attributes of the start tag that RFC 6120 §8.1 does not define are kept and relayed, those of a namespace with a
/// declaration beside them.
///
/// ```
/// use xmpp_core::jid::Jid;
/// use xmpp_core::stanza::{MessageType, Stanza};
/// use xmpp_core::xml::{Element, ns};
///
/// let hello = Stanza::message(MessageType::Chat)
///     .with_to(Jid::new("juliet@example.org").ok())
///     .with_child(&Element::new("body", ns::CLIENT).with_text("Hello"));
/// assert_eq!(hello.to_string(), "<message to='juliet@example.org' type='chat'><body>Hello</body></message>");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Stanza {
    kind: Kind,
    to: Option<Jid>,
    from: Option<Jid>,
    id: Option<Arc<str>>,
    lang: Option<Arc<str>>,
    /// Further attributes, as they are written.
    extra: Option<Arc<str>>,
    payload: Payload,
}

impl Stanza {
    /// A stanza with nothing but its kind. An `<iq/>` needs an `id` as well (RFC 6120 §8.2.3).
    pub fn new(kind: Kind) -> Stanza {
        Stanza {
            kind,
            to: None,
            from: None,
            id: None,
            lang: None,
            extra: None,
            payload: Payload::default(),
        }
    }

    /// An empty message.
    pub fn message(kind: MessageType) -> Stanza {
        Stanza::new(Kind::Message(kind))
    }

    /// An empty presence.
    pub fn presence(kind: PresenceType) -> Stanza {
        Stanza::new(Kind::Presence(kind))
    }

    /// An empty IQ with the given `id`.
    pub fn iq(kind: IqType, id: &str) -> Stanza {
        Stanza::new(Kind::Iq(kind)).with_id(id)
    }

    /// Reads a stanza from text in which [`ns::CLIENT`] is the default namespace, or is declared.
    pub fn parse(text: &str) -> Result<Stanza, ParseError> {
        index::parse(text, Limits::default())
    }

    /// The same for what this server has written itself, however large it is.
    pub fn restore(text: &str) -> Result<Stanza, ParseError> {
        index::parse(text, Limits::NONE)
    }

    /// The stanza that an element stands for, if its name and namespace are those of one. It
    /// may be as large as it is: whoever read the element had limits of their own, and a
    /// stanza that was taken within them is one also when it is unwrapped.
    pub fn from_element(element: &Element) -> Result<Stanza, ParseError> {
        let mut text = Vec::new();
        element.write(ns::CLIENT, &mut text);
        Stanza::restore(&String::from_utf8_lossy(&text))
    }

    /// The whole stanza as a tree.
    pub fn to_element(&self) -> Element {
        let mut text = Vec::new();
        self.write(&mut text);
        let text = String::from_utf8_lossy(&text);
        match build_content(&text, &Scope::new(ns::CLIENT), ns::CLIENT, &Limits::NONE) {
            Ok(Some((element, _))) => element,
            // Only an `Element` whose maker gave it a name that is none gets here.
            _ => Element::new(self.kind.name(), ns::CLIENT),
        }
    }

    /// Message, presence or IQ, and its `type`.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it goes to another session, or is stored, when one does not get it.
    pub(crate) fn is_kept(&self) -> bool {
        let Kind::Message(kind) = self.kind else {
            return false;
        };
        matches!(kind, MessageType::Chat | MessageType::Normal)
    }

    /// Whether there is something to be done about it when its recipient does not get it: it is
    /// kept, or its sender is told.
    pub(crate) fn has_another_way(&self) -> bool {
        self.is_kept() || matches!(self.kind, Kind::Iq(IqType::Get | IqType::Set))
    }

    /// The addressee.
    pub fn to(&self) -> Option<&Jid> {
        self.to.as_ref()
    }

    /// The sender.
    pub fn from(&self) -> Option<&Jid> {
        self.from.as_ref()
    }

    /// The `id`.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The `xml:lang`.
    pub fn lang(&self) -> Option<&str> {
        self.lang.as_deref()
    }

    /// The content.
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// Sets or removes the addressee.
    pub fn set_to(&mut self, to: impl Into<Option<Jid>>) {
        self.to = to.into();
    }

    /// Sets or removes the sender.
    pub fn set_from(&mut self, from: impl Into<Option<Jid>>) {
        self.from = from.into();
    }

    /// Sets or removes the `id`.
    pub fn set_id<'a>(&mut self, id: impl Into<Option<&'a str>>) {
        self.id = id.into().map(Arc::from);
    }

    /// Sets or removes the `xml:lang`. An `Arc` is shared, for what is stamped on many stanzas.
    pub fn set_lang(&mut self, lang: impl Into<Option<Arc<str>>>) {
        self.lang = lang.into();
    }

    /// Replaces the content.
    pub fn set_payload(&mut self, payload: Payload) {
        self.payload = payload;
    }

    /// This stanza with another addressee, or none.
    pub fn with_to(mut self, to: impl Into<Option<Jid>>) -> Stanza {
        self.set_to(to);
        self
    }

    /// This stanza with another sender, or none.
    pub fn with_from(mut self, from: impl Into<Option<Jid>>) -> Stanza {
        self.set_from(from);
        self
    }

    /// This stanza with another `id`, or none.
    pub fn with_id<'a>(mut self, id: impl Into<Option<&'a str>>) -> Stanza {
        self.set_id(id);
        self
    }

    /// This stanza with another `xml:lang`, or none.
    pub fn with_lang<'a>(mut self, lang: impl Into<Option<&'a str>>) -> Stanza {
        self.set_lang(lang.into().map(Arc::from));
        self
    }

    /// This stanza with other content.
    pub fn with_payload(mut self, payload: Payload) -> Stanza {
        self.set_payload(payload);
        self
    }

    /// This stanza with one more child.
    pub fn with_child(mut self, child: &Element) -> Stanza {
        self.payload = self.payload.with(child);
        self
    }

    /// This stanza with the given children for its content.
    pub fn with_children<'a>(self, children: impl IntoIterator<Item = &'a Element>) -> Stanza {
        self.with_payload(Payload::from_elements(children))
    }

    /// The answer to an IQ request: a result with the same `id`, the other way, without content.
    pub fn reply(&self) -> Stanza {
        Stanza {
            kind: match self.kind {
                Kind::Iq(_) => Kind::Iq(IqType::Result),
                other => other,
            },
            to: self.from.clone(),
            from: self.to.clone(),
            id: self.id.clone(),
            lang: None,
            extra: None,
            payload: Payload::default(),
        }
    }

    /// The answer that this stanza was not processed (RFC 6120 §8.3), which does not repeat its content. `None` for
    /// those that must not be answered so: errors, and results of IQ requests.
    pub fn error_reply(&self, error: &StanzaError) -> Option<Stanza> {
        let kind = self.kind.error_reply()?;
        let mut reply = self.reply().with_children([&error.to_element()]);
        reply.kind = kind;
        Some(reply)
    }

    /// What an error stanza reports; `None` for other stanzas.
    pub fn error(&self) -> Option<StanzaError> {
        let child = self
            .payload
            .child("error", ns::CLIENT)
            .filter(|_| self.kind.is_error())?;
        Some(StanzaError::from_element(&child.element()))
    }

    /// Appends the stanza to `out`, for a stream whose default namespace is its content namespace.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_within(ns::CLIENT, out);
    }

    /// The same where `inherited` is the default namespace.
    fn write_within(&self, inherited: &str, out: &mut Vec<u8>) {
        out.reserve(self.size());
        self.write_start(inherited, out);
        let payload = self.payload.as_bytes();
        if payload.is_empty() {
            out.extend_from_slice(b"/>");
            return;
        }
        out.push(b'>');
        out.extend_from_slice(payload);
        out.extend_from_slice(b"</");
        out.extend_from_slice(self.kind.name().as_bytes());
        out.push(b'>');
    }

    /// About how many bytes [`write`](Self::write) appends.
    pub fn size(&self) -> usize {
        /// `<presence to='' from='' id='' type='unavailable' xml:lang=''></presence>`
        const TAGS: usize = 80;
        let jid = |jid: &Option<Jid>| jid.as_ref().map_or(0, |jid| jid.as_str().len());
        let text = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len());
        TAGS + jid(&self.to)
            + jid(&self.from)
            + text(&self.id)
            + text(&self.lang)
            + text(&self.extra)
            + self.payload.as_bytes().len()
    }

    /// The start tag, but for its end.
    fn write_start(&self, inherited: &str, out: &mut Vec<u8>) {
        out.push(b'<');
        out.extend_from_slice(self.kind.name().as_bytes());
        if inherited != ns::CLIENT {
            write_attr("xmlns", ns::CLIENT, out);
        }
        let attributes = [
            ("to", self.to.as_ref().map(Jid::as_str)),
            ("from", self.from.as_ref().map(Jid::as_str)),
            ("id", self.id.as_deref()),
            ("type", self.kind.type_name()),
            ("xml:lang", self.lang.as_deref()),
        ];
        for (name, value) in attributes {
            if let Some(value) = value {
                write_attr(name, value, out);
            }
        }
        if let Some(extra) = &self.extra {
            out.extend_from_slice(extra.as_bytes());
        }
    }

    /// Keeps attributes that the header has no field for.
    fn set_extra<'a>(&mut self, attributes: impl Iterator<Item = &'a Attribute>) {
        let mut extra = Vec::new();
        for (i, attribute) in attributes.enumerate() {
            attribute.write(i, &mut extra);
        }
        self.extra = (!extra.is_empty()).then(|| String::from_utf8_lossy(&extra).into());
    }
}

impl fmt::Display for Stanza {
    /// As on a stream.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::new();
        self.write(&mut out);
        f.write_str(&String::from_utf8_lossy(&out))
    }
}

impl fmt::Debug for Stanza {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jid(text: &str) -> Jid {
        Jid::new(text).unwrap()
    }

    #[test]
    fn a_start_tag_is_made_of_the_header() {
        let stanza = Stanza::presence(PresenceType::Subscribe)
            .with_to(jid("a@b.example"))
            .with_from(jid("c@d.example/'&"))
            .with_id("\"")
            .with_lang("de");
        assert_eq!(
            stanza.to_string(),
            "<presence to='a@b.example' from='c@d.example/&apos;&amp;' id='&quot;' type='subscribe' xml:lang='de'/>"
        );
        assert_eq!(Stanza::parse(&stanza.to_string()), Ok(stanza.clone()));
        assert_eq!(
            Stanza::from_element(&stanza.to_element()),
            Ok(stanza.clone())
        );
        assert!(
            stanza
                .clone()
                .with_to(None)
                .with_id(None)
                .with_lang(None)
                .to()
                .is_none()
        );
    }

    #[test]
    fn an_answer_goes_the_other_way_with_the_same_id() {
        let request = Stanza::parse(
            "<iq type='get' id='1' to='a.example' from='b.example' xml:lang='en'><x/></iq>",
        )
        .unwrap();
        assert_eq!(
            request.reply().to_string(),
            "<iq to='b.example' from='a.example' id='1' type='result'/>"
        );
        let error = StanzaError::new(Condition::ItemNotFound);
        assert_eq!(
            request.error_reply(&error).unwrap().to_string(),
            "<iq to='b.example' from='a.example' id='1' type='error'><error type='cancel'>\
             <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
        );
        assert_eq!(request.error_reply(&error).unwrap().error(), Some(error));
    }

    #[test]
    fn errors_and_results_are_not_answered_with_errors() {
        // RFC 6120 §8.3.1, §8.2.3
        let error = StanzaError::new(Condition::ServiceUnavailable);
        for (kind, answered) in [
            (Kind::Message(MessageType::Error), false),
            (Kind::Presence(PresenceType::Error), false),
            (Kind::Iq(IqType::Error), false),
            (Kind::Iq(IqType::Result), false),
            (Kind::Iq(IqType::Set), true),
            (Kind::Message(MessageType::Headline), true),
            (Kind::Presence(PresenceType::Available), true),
        ] {
            let stanza = Stanza::new(kind);
            assert_eq!(stanza.error_reply(&error).is_some(), answered, "{kind:?}");
            assert_eq!(stanza.error(), None);
        }
    }

    #[test]
    fn the_size_is_about_what_is_written() {
        for text in [
            "<message/>",
            "<iq type='result' id='123'/>",
            "<message to='a.example' type='chat' id='1'><body>a</body></message>",
        ] {
            let stanza = Stanza::parse(text).unwrap();
            let written = stanza.to_string().len();
            assert!(
                written <= stanza.size() && stanza.size() <= written + 90,
                "{text}"
            );
        }
    }
}
