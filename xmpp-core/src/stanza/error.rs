use std::fmt;

use crate::jid::Jid;
use crate::xml::{Element, ns};

/// What a stanza of type `error` reports (RFC 6120 §8.3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StanzaError {
    /// What the sender may do about it. Default: as RFC 6120 §8.3.3 has it for the condition.
    pub kind: ErrorType,
    /// What went wrong.
    pub condition: Condition,
    /// For `gone` and `redirect` the other address, as a URI.
    pub address: Option<String>,
    /// In words, English if we wrote them.
    pub text: Option<String>,
    /// Who reports it, if that is not the addressee.
    pub by: Option<Jid>,
    /// An application-specific condition (§8.3.4).
    pub extra: Option<Box<Element>>,
}

impl StanzaError {
    /// An error with the type that RFC 6120 §8.3.3 has for the condition, and nothing else.
    pub fn new(condition: Condition) -> StanzaError {
        StanzaError {
            kind: condition.kind(),
            condition,
            address: None,
            text: None,
            by: None,
            extra: None,
        }
    }

    /// This error with another type.
    pub fn with_kind(mut self, kind: ErrorType) -> StanzaError {
        self.kind = kind;
        self
    }

    /// This error in words.
    pub fn with_text(mut self, text: &str) -> StanzaError {
        self.text = Some(text.to_owned());
        self
    }

    /// This error as reported by `by`.
    pub fn with_by(mut self, by: Jid) -> StanzaError {
        self.by = Some(by);
        self
    }

    /// This error with an application-specific condition.
    pub fn with_extra(mut self, extra: Element) -> StanzaError {
        self.extra = Some(Box::new(extra));
        self
    }

    /// The `<error/>` child of the stanza.
    pub fn to_element(&self) -> Element {
        let mut condition = Element::new(self.condition.name(), ns::STANZA_ERROR);
        if let Some(address) = &self.address {
            condition.push_text(address);
        }
        let mut error = Element::new("error", ns::CLIENT);
        error.set_attr("by", self.by.as_ref().map(Jid::as_str));
        error.set_attr("type", self.kind.name());
        error.push(condition);
        if let Some(text) = &self.text {
            error.push(
                Element::new("text", ns::STANZA_ERROR)
                    .with_lang("en")
                    .with_text(text),
            );
        }
        error.with_children(self.extra.as_deref().cloned())
    }

    /// Reads an `<error/>`. What is missing or unknown there is `undefined-condition` and the type of the condition.
    pub fn from_element(error: &Element) -> StanzaError {
        let named = |child: &&Element| child.ns() == ns::STANZA_ERROR && child.name() != "text";
        let child = error.children().find(named);
        let condition = child.and_then(|child| Condition::named(child.name()));
        let condition = condition.unwrap_or(Condition::UndefinedCondition);
        let text =
            |child: &Element| Some(child.text().into_owned()).filter(|text| !text.is_empty());
        StanzaError {
            kind: error
                .attr("type")
                .and_then(ErrorType::named)
                .unwrap_or(condition.kind()),
            condition,
            address: child.and_then(text),
            text: error.child("text", ns::STANZA_ERROR).and_then(text),
            by: error.attr("by").and_then(|by| Jid::new(by).ok()),
            extra: error
                .children()
                .find(|child| child.ns() != ns::STANZA_ERROR)
                .cloned()
                .map(Box::new),
        }
    }
}

impl From<Condition> for StanzaError {
    fn from(condition: Condition) -> StanzaError {
        StanzaError::new(condition)
    }
}

impl fmt::Display for StanzaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.condition.name())?;
        self.text
            .as_ref()
            .map_or(Ok(()), |text| write!(f, ": {text}"))
    }
}

impl std::error::Error for StanzaError {}

macro_rules! names {
    ($(#[$doc:meta])* $type:ident { $($(#[$note:meta])* $variant:ident $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $type {
            $($(#[$note])* #[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl $type {
            /// All there are.
            pub const ALL: &[$type] = &[$($type::$variant,)*];

            /// The name on the wire.
            pub fn name(self) -> &'static str {
                match self {
                    $($type::$variant => $name,)*
                }
            }

            /// The one with the given name on the wire.
            pub fn named(name: &str) -> Option<$type> {
                match name {
                    $($name => Some($type::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

names! {
    /// What the sender of a stanza may do about its error (RFC 6120 §8.3.2).
    ErrorType {
        /// Retry with credentials:
        Auth "auth",
        /// Do not retry:
        Cancel "cancel",
        /// Go on, it was only a warning:
        Continue "continue",
        /// Retry with other data:
        Modify "modify",
        /// Retry later:
        Wait "wait",
    }
}

names! {
    /// The defined conditions of stanza errors (RFC 6120 §8.3.3).
    Condition {
        BadRequest "bad-request",
        Conflict "conflict",
        FeatureNotImplemented "feature-not-implemented",
        Forbidden "forbidden",
        Gone "gone",
        InternalServerError "internal-server-error",
        ItemNotFound "item-not-found",
        JidMalformed "jid-malformed",
        NotAcceptable "not-acceptable",
        NotAllowed "not-allowed",
        NotAuthorized "not-authorized",
        PolicyViolation "policy-violation",
        RecipientUnavailable "recipient-unavailable",
        Redirect "redirect",
        RegistrationRequired "registration-required",
        RemoteServerNotFound "remote-server-not-found",
        RemoteServerTimeout "remote-server-timeout",
        ResourceConstraint "resource-constraint",
        ServiceUnavailable "service-unavailable",
        SubscriptionRequired "subscription-required",
        UndefinedCondition "undefined-condition",
        UnexpectedRequest "unexpected-request",
    }
}

impl Condition {
    /// The type that RFC 6120 §8.3.3 has for the condition: a SHOULD, or for some the first of several.
    pub fn kind(self) -> ErrorType {
        use Condition::*;
        match self {
            Forbidden | NotAuthorized | RegistrationRequired | SubscriptionRequired => {
                ErrorType::Auth
            }
            Conflict
            | FeatureNotImplemented
            | Gone
            | InternalServerError
            | ItemNotFound
            | NotAllowed
            | RemoteServerNotFound
            | ServiceUnavailable
            | UndefinedCondition => ErrorType::Cancel,
            BadRequest | JidMalformed | NotAcceptable | PolicyViolation | Redirect => {
                ErrorType::Modify
            }
            RecipientUnavailable | RemoteServerTimeout | ResourceConstraint | UnexpectedRequest => {
                ErrorType::Wait
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_its_element() {
        for &condition in Condition::ALL {
            let mut error = StanzaError::new(condition)
                .with_text("so <it> is")
                .with_by(Jid::new("example.org").unwrap())
                .with_extra(Element::new("odd", "urn:x"));
            error.address =
                (condition == Condition::Gone).then(|| "xmpp:new@example.org".to_owned());
            let element = Element::parse(&error.to_element().to_string()).unwrap();
            assert_eq!(StanzaError::from_element(&element), error);
        }
    }

    #[test]
    fn what_cannot_be_read_is_undefined() {
        let error =
            Element::parse("<error xmlns='jabber:client' type='odd'><x xmlns='urn:x'/></error>")
                .unwrap();
        let error = StanzaError::from_element(&error);
        assert_eq!(
            (error.condition, error.kind),
            (Condition::UndefinedCondition, ErrorType::Cancel)
        );
        assert_eq!(error.extra.as_deref(), Some(&Element::new("x", "urn:x")));
    }
}
