use crate::xml::ns;

/// Which stanza it is, and its `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `<message/>`
    Message(MessageType),
    /// `<presence/>`
    Presence(PresenceType),
    /// `<iq/>`
    Iq(IqType),
}

/// The `type` of a message (RFC 6121 §5.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageType {
    /// `normal`, no type at all, or one that is not known.
    Normal,
    /// `chat`
    Chat,
    /// `groupchat`
    Groupchat,
    /// `headline`
    Headline,
    /// `error`
    Error,
}

/// The `type` of a presence (RFC 6121 §4.7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PresenceType {
    /// No type.
    Available,
    /// `unavailable`
    Unavailable,
    /// `subscribe`
    Subscribe,
    /// `subscribed`
    Subscribed,
    /// `unsubscribe`
    Unsubscribe,
    /// `unsubscribed`
    Unsubscribed,
    /// `probe`
    Probe,
    /// `error`
    Error,
}

/// The `type` of an IQ (RFC 6120 §8.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IqType {
    /// `get`
    Get,
    /// `set`
    Set,
    /// `result`
    Result,
    /// `error`
    Error,
}

impl Kind {
    /// The name of the element.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Message(_) => "message",
            Kind::Presence(_) => "presence",
            Kind::Iq(_) => "iq",
        }
    }

    /// The value of `type`; `None` where it is left out.
    pub fn type_name(self) -> Option<&'static str> {
        Some(match self {
            Kind::Message(MessageType::Normal) | Kind::Presence(PresenceType::Available) => {
                return None;
            }
            Kind::Message(MessageType::Chat) => "chat",
            Kind::Message(MessageType::Groupchat) => "groupchat",
            Kind::Message(MessageType::Headline) => "headline",
            Kind::Presence(PresenceType::Unavailable) => "unavailable",
            Kind::Presence(PresenceType::Subscribe) => "subscribe",
            Kind::Presence(PresenceType::Subscribed) => "subscribed",
            Kind::Presence(PresenceType::Unsubscribe) => "unsubscribe",
            Kind::Presence(PresenceType::Unsubscribed) => "unsubscribed",
            Kind::Presence(PresenceType::Probe) => "probe",
            Kind::Iq(IqType::Get) => "get",
            Kind::Iq(IqType::Set) => "set",
            Kind::Iq(IqType::Result) => "result",
            Kind::Message(MessageType::Error)
            | Kind::Presence(PresenceType::Error)
            | Kind::Iq(IqType::Error) => "error",
        })
    }

    /// Whether the type is `error`.
    pub fn is_error(self) -> bool {
        self.type_name() == Some("error")
    }

    /// The kind of an error that answers this; `None` if none may.
    pub(crate) fn error_reply(self) -> Option<Kind> {
        match self {
            // RFC 6120 §8.3.1: an entity "MUST NOT respond to a stanza of type "error" with another error".
            _ if self.is_error() => None,
            // RFC 6120 §8.2.3: "An entity that receives a stanza of type "result" or "error" MUST NOT respond to the
            // stanza by generating a further IQ response".
            Kind::Iq(IqType::Result) => None,
            Kind::Message(_) => Some(Kind::Message(MessageType::Error)),
            Kind::Presence(_) => Some(Kind::Presence(PresenceType::Error)),
            Kind::Iq(_) => Some(Kind::Iq(IqType::Error)),
        }
    }

    /// A kind by the name of its element, with the type it has when none is given.
    pub(crate) fn named(name: &[u8]) -> Option<Kind> {
        match name {
            b"message" => Some(Kind::Message(MessageType::Normal)),
            b"presence" => Some(Kind::Presence(PresenceType::Available)),
            b"iq" => Some(Kind::Iq(IqType::Get)),
            _ => None,
        }
    }

    /// The same kind with the given value of `type`; `None` if it may not have it.
    pub(crate) fn typed(self, value: Option<&str>) -> Option<Kind> {
        Some(match self {
            Kind::Message(_) => Kind::Message(match value {
                Some("chat") => MessageType::Chat,
                Some("groupchat") => MessageType::Groupchat,
                Some("headline") => MessageType::Headline,
                Some("error") => MessageType::Error,
                // RFC 6121 §5.2.2: "If an application receives a message with no 'type' attribute or the application
                // does not understand the value of the 'type' attribute provided, it MUST consider the message to be
                // of type "normal"".
                _ => MessageType::Normal,
            }),
            Kind::Presence(_) => Kind::Presence(match value {
                None => PresenceType::Available,
                Some("unavailable") => PresenceType::Unavailable,
                Some("subscribe") => PresenceType::Subscribe,
                Some("subscribed") => PresenceType::Subscribed,
                Some("unsubscribe") => PresenceType::Unsubscribe,
                Some("unsubscribed") => PresenceType::Unsubscribed,
                Some("probe") => PresenceType::Probe,
                Some("error") => PresenceType::Error,
                Some(_) => return None,
            }),
            Kind::Iq(_) => Kind::Iq(match value {
                Some("get") => IqType::Get,
                Some("set") => IqType::Set,
                Some("result") => IqType::Result,
                Some("error") => IqType::Error,
                _ => return None,
            }),
        })
    }
}

/// The content namespaces, by the name that stanzas are read in.
pub(crate) const CONTENT: [&str; 3] = [ns::CLIENT, ns::SERVER, ns::COMPONENT];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_written_as_it_is_read() {
        let types = [
            None,
            Some("chat"),
            Some("groupchat"),
            Some("headline"),
            Some("error"),
            Some("unavailable"),
            Some("subscribe"),
            Some("subscribed"),
            Some("unsubscribe"),
            Some("unsubscribed"),
            Some("probe"),
            Some("get"),
            Some("set"),
            Some("result"),
        ];
        let mut known = 0;
        for name in ["message", "presence", "iq"] {
            let kind = Kind::named(name.as_bytes()).unwrap();
            assert_eq!(kind.name(), name);
            for value in types {
                if let Some(kind) = kind.typed(value).filter(|kind| kind.type_name() == value) {
                    assert_eq!(kind.typed(kind.type_name()), Some(kind));
                    known += 1;
                }
            }
        }
        assert_eq!(known, 5 + 8 + 4);
    }

    #[test]
    fn unknown_types_are_normal_for_messages_and_refused_otherwise() {
        for value in [Some("normal"), Some("CHAT"), Some("")] {
            assert_eq!(
                Kind::Message(MessageType::Chat).typed(value),
                Some(Kind::Message(MessageType::Normal))
            );
            assert_eq!(Kind::Presence(PresenceType::Probe).typed(value), None);
            assert_eq!(Kind::Iq(IqType::Get).typed(value), None);
        }
        assert_eq!(Kind::Iq(IqType::Get).typed(None), None);
    }
}
