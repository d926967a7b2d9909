//! Messages to all (XEP-0045 §7.4).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use xmpp_core::Jid;
use xmpp_core::stanza::{Child, Condition, ErrorType, Payload, Stanza, StanzaError};
use xmpp_core::time::Timestamp;
use xmpp_core::xml::{Element, ns::CLIENT};

use super::elsewhere::{Event, Said};
use super::history::{Bounds, stamped};
use super::occupants::Occupant;
use super::presence::occupant_id;
use super::privilege::Privilege;
use super::rate::Cost;
use super::subject::{self, Subject};
use super::{Affiliation, Output, Room, Turn};
use crate::ns;
use crate::store::{Change, StoredMessage};

/// A message from an occupant that may be said, and is not yet.
#[derive(Debug)]
pub(crate) struct Prepared {
    message: Stanza,
    pub(crate) changes_subject: bool,
    id: String,
    at: Timestamp,
    /// As other nodes are to know it, if they are.
    pub(crate) said: Option<Said>,
}

impl Room {
    pub(super) fn groupchat(&mut self, stanza: &Stanza, from: &Jid, turn: &mut Turn<'_>) {
        if let Err(error) = self.reflect(stanza, from, turn) {
            turn.refuse(stanza, error);
        }
    }

    fn reflect(
        &mut self,
        stanza: &Stanza,
        from: &Jid,
        turn: &mut Turn<'_>,
    ) -> Result<(), StanzaError> {
        let prepared = self.prepared(stanza, from, turn)?;
        self.say(prepared, turn);
        Ok(())
    }

    /// What is to be said to all, if they may say it.
    pub(super) fn prepared(
        &mut self,
        stanza: &Stanza,
        from: &Jid,
        turn: &Turn<'_>,
    ) -> Result<Prepared, StanzaError> {
        let Some(seat) = self.occupants.of(from) else {
            return Err(self.stranger());
        };
        self.spend(&from.to_bare(), Cost::Stanza, turn)?;
        let Some(occupant) = self.occupants.get(seat) else {
            return Err(not_here());
        };
        let changes_subject = subject::is_change(stanza.payload());
        if changes_subject {
            self.may_set_subject(occupant, stanza.payload())?;
        } else if !self.config.allows(occupant.role, Privilege::SpeakToAll) {
            // §7.4: "If the sender is a visitor [...], the service MUST return a forbidden error"
            return Err(Condition::Forbidden.into());
        }
        let at = match changes_subject {
            true => turn.now.utc,
            false => self.sent(stanza, occupant, turn.now.utc),
        };
        let id = self.fresh_id();
        let stanza_id = self.stanza_id(&id);
        // "the service MUST change the 'from' attribute to the sender's occupant JID and reflect the message out", "with the same 'id'"
        let payload = self.clean(stanza.payload());
        let message = stanza
            .clone()
            .with_from(Jid::from(&occupant.address))
            .with_to(None)
            .with_payload(payload.with(&stanza_id).with(&occupant_id(&occupant.id)));
        let said = self.saying(occupant, &message, &id, at);
        Ok(Prepared {
            message,
            changes_subject,
            id,
            at,
            said,
        })
    }

    /// Says it.
    pub(super) fn say(&mut self, prepared: Prepared, turn: &mut Turn<'_>) {
        let Prepared {
            message,
            changes_subject,
            id,
            at,
            said,
        } = prepared;
        if changes_subject {
            self.subject = Some(Subject {
                message: message.clone(),
                at: turn.now.utc,
            });
            self.changed = true;
        } else {
            self.remember(&message, id, at, turn);
        }
        self.send_to_all(message, turn);
        let event = match changes_subject {
            true => Event::Subject,
            false => Event::Said,
        };
        turn.out.extend(said.map(event).map(Output::Event));
    }

    /// The answer to one who is not in the room. §7.4: "If the sender is not an occupant of the room, the service SHOULD return a
    /// <not-acceptable/> error"; §17.2: if it "is not yet unlocked, [...] an <item-not-found/> error".
    pub(super) fn stranger(&self) -> StanzaError {
        match self.locked {
            true => Condition::ItemNotFound.into(),
            false => not_here(),
        }
    }

    /// When a message was sent. §7.9: an owner brings messages from elsewhere, which say it.
    fn sent(&self, stanza: &Stanza, by: &Occupant, now: Timestamp) -> Timestamp {
        let delay = stanza.payload().child("delay", ns::DELAY);
        let stamp = delay.and_then(|delay| delay.attr("stamp")?.parse().ok());
        match stamp {
            Some(stamp) if by.affiliation == Affiliation::Owner => now.min(stamp),
            _ => now,
        }
    }

    /// Keeps a message for those who enter later.
    pub(super) fn remember(
        &mut self,
        message: &Stanza,
        id: String,
        at: Timestamp,
        turn: &mut Turn<'_>,
    ) {
        let payload = message.payload();
        let hint = |name| payload.has(name, ns::HINTS);
        if !(payload.has("body", CLIENT) || hint("store")) || hint("no-store") {
            return;
        }
        let bounds = self.bounds();
        if bounds.messages == 0 {
            return;
        }
        self.history
            .push(stamped(&self.jid, message, at), at, bounds);
        if self.config.persistent && !self.locked && !hint("no-permanent-store") {
            let xml = message.to_string();
            let stored = StoredMessage { id, at, xml };
            turn.out.push(Output::Store(Change::Message(stored)));
            if self.history.is_due(bounds) {
                turn.out.push(Output::Store(Change::Keep(bounds.messages)));
            }
        }
    }

    /// How much history there is.
    pub(super) fn bounds(&self) -> Bounds {
        let limits = &self.settings.limits;
        Bounds {
            messages: self.config.history.min(limits.history),
            bytes: limits.history_bytes,
        }
    }

    /// A payload without what only the room says: what it would be taken for if it came from an occupant.
    pub(super) fn clean(&self, payload: &Payload) -> Payload {
        payload.without(|child| self.is_ours(child))
    }

    fn is_ours(&self, child: &Child<'_>) -> bool {
        let names_us = |attribute| {
            let named = child.attr(attribute).and_then(|jid| Jid::new(&jid).ok());
            named.is_some_and(|jid| jid.bare_str() == self.jid.as_str())
        };
        match (child.name(), child.ns()) {
            ("x", ns::MUC | ns::USER) | ("occupant-id", ns::OCCUPANT_ID) => true,
            // XEP-0359 §3: "it MUST remove any <stanza-id> elements with 'by' attribute set to its own JID"
            ("stanza-id", ns::STANZA_ID) => names_us("by"),
            ("delay", ns::DELAY) => names_us("from"),
            // What nodes of a room say to one another, they say in these; XEP-0289 §3: it "MUST NOT" reach clients, nor come from them.
            (_, ns::FMUC | ns::SYNC) => true,
            _ => false,
        }
    }

    /// XEP-0359 §3
    pub(super) fn stanza_id(&self, id: &str) -> Element {
        Element::new("stanza-id", ns::STANZA_ID)
            .with_attr("by", self.jid.as_str())
            .with_attr("id", id)
    }

    /// An id that nobody can guess.
    pub(super) fn fresh_id(&self) -> String {
        let mut bytes = [0; 12];
        self.settings.random.fill(&mut bytes);
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

/// With the type that the examples of XEP-0045 and XEP-0410 have.
pub(super) fn not_here() -> StanzaError {
    StanzaError::new(Condition::NotAcceptable).with_kind(ErrorType::Cancel)
}
