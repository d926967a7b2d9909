//! The subject (XEP-0045 §7.2.15, §8.1).

use xmpp_core::Jid;
use xmpp_core::stanza::{Condition, MessageType, Payload, Stanza, StanzaError};
use xmpp_core::time::Timestamp;
use xmpp_core::xml::{Element, ns::CLIENT};

use super::Room;
use super::history::stamped;
use super::occupants::Occupant;
use super::privilege::Privilege;

/// The last change of the subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    /// The message that has made it, as all have received it, without `to`.
    pub(super) message: Stanza,
    /// When.
    pub(super) at: Timestamp,
}

impl Subject {
    /// In words; the first ones, if it is said in several languages.
    pub(super) fn text(&self) -> String {
        let subject = self.message.payload().child("subject", CLIENT);
        subject.map_or_else(String::new, |subject| subject.element().text().into_owned())
    }
}

/// §7.2.15: "only a message that contains a SUBJECT but no BODY element shall be considered a subject change", and §8.1: "or a
/// THREAD".
pub(super) fn is_change(payload: &Payload) -> bool {
    let has = |name| payload.has(name, CLIENT);
    has("subject") && !has("body") && !has("thread")
}

impl Room {
    /// The subject, for one who enters. §7.2.15: "If there is no subject set, the room MUST return an empty SUBJECT element."
    pub(super) fn subject_now(&self) -> Stanza {
        match &self.subject {
            Some(subject) => stamped(&self.jid, &subject.message, subject.at),
            None => Stanza::message(MessageType::Groupchat)
                .with_from(Jid::from(&self.jid))
                .with_child(&Element::new("subject", CLIENT)),
        }
    }

    /// §8.1: "If someone without appropriate privileges attempts to change the room subject, the service MUST return [...] a forbidden
    /// error"
    pub(super) fn may_set_subject(
        &self,
        occupant: &Occupant,
        payload: &Payload,
    ) -> Result<(), StanzaError> {
        if !self.config.allows(occupant.role, Privilege::ModifySubject) {
            return Err(Condition::Forbidden.into());
        }
        if payload.as_bytes().len() > self.settings.limits.subject {
            return Err(
                StanzaError::new(Condition::PolicyViolation).with_text("the subject is too long")
            );
        }
        Ok(())
    }
}
