use std::fmt;

use super::{Condition, IqType, Kind, Stanza, StanzaError};
use crate::jid::Jid;
use crate::xml;

/// A stanza that is well-formed XML but breaks a rule of its own, for which the sender gets a stanza error while the
/// stream goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Malformed {
    /// Which stanza it is; its type is that of the answer if the one given cannot be read.
    pub kind: Kind,
    /// `to` as it was sent.
    pub to: Option<String>,
    /// `from` as it was sent.
    pub from: Option<String>,
    /// `id`
    pub id: Option<String>,
    /// The rule that is broken.
    pub cause: Cause,
}

/// The rule that a [`Malformed`] stanza breaks, the first one if there are several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// `from` is no address. From a client that is a stream error (RFC 6120 §4.9.3.9 `invalid-from`), which is for the
    /// stream to decide; the stanza error is `jid-malformed`.
    From,
    /// `to` is no address: `jid-malformed` (RFC 6120 §8.3.3.8).
    To,
    /// `type` is missing or unknown: `bad-request`.
    Type,
    /// An IQ has no `id`: `bad-request` (RFC 6120 §8.1.3).
    Id,
    /// An IQ has another number of children than its type asks for: `bad-request` (RFC 6120 §8.2.3).
    Children,
}

impl Malformed {
    /// The stanza error that the sender gets.
    pub fn error(&self) -> StanzaError {
        let (condition, text) = match self.cause {
            Cause::From => (Condition::JidMalformed, "'from' is not an address"),
            Cause::To => (Condition::JidMalformed, "'to' is not an address"),
            Cause::Type => (Condition::BadRequest, "unknown 'type'"),
            Cause::Id => (Condition::BadRequest, "'id' is missing"),
            Cause::Children => (Condition::BadRequest, "wrong number of children"),
        };
        StanzaError::new(condition).with_text(text)
    }

    /// The answer, with the addresses exchanged as far as they are some; `None` if there must be none (as with
    /// [`Stanza::error_reply`]).
    pub fn reply(&self) -> Option<Stanza> {
        let kind = match self.cause {
            // The type that is unknown is none of those that forbid an answer.
            Cause::Type if matches!(self.kind, Kind::Iq(_)) => Kind::Iq(IqType::Error),
            _ => self.kind.error_reply()?,
        };
        let address = |raw: &Option<String>| raw.as_deref().and_then(|raw| Jid::new(raw).ok());
        let reply = Stanza::new(kind)
            .with_to(address(&self.from))
            .with_from(address(&self.to))
            .with_id(self.id.as_deref());
        Some(reply.with_children([&self.error().to_element()]))
    }
}

/// Why a text is no stanza.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseError {
    /// It is not XML as XMPP has it, or more than one element.
    Xml(xml::Error),
    /// It is another element.
    NotAStanza,
    /// It is a stanza that breaks a rule.
    Malformed(Box<Malformed>),
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParseError::Xml(error) => error.fmt(f),
            ParseError::NotAStanza => f.write_str("not a stanza"),
            ParseError::Malformed(malformed) => {
                write!(f, "malformed stanza: {:?}", malformed.cause)
            }
        }
    }
}

impl std::error::Error for ParseError {}

impl From<xml::Error> for ParseError {
    fn from(error: xml::Error) -> ParseError {
        ParseError::Xml(error)
    }
}
