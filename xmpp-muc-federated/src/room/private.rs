//! Private messages (XEP-0045 §7.5).

use std::collections::VecDeque;
use std::sync::Arc;

use xmpp_core::stanza::{Condition, Kind, MessageType, Stanza, StanzaError};
use xmpp_core::xml::Element;
use xmpp_core::{FullJid, Jid};

use super::message::not_here;
use super::occupants::Occupant;
use super::presence::occupant_id;
use super::privilege::Privilege;
use super::rate::Cost;
use super::{Room, Turn};
use crate::ns;

/// The last private messages: an error for one of them is its sender's, and does not mean that the recipient is gone.
#[derive(Debug, Default)]
pub(super) struct Sent {
    last: VecDeque<Private>,
}

#[derive(Debug)]
struct Private {
    id: Arc<str>,
    from: FullJid,
    /// The client that sent it.
    sender: Jid,
    to: FullJid,
    /// The sender is at another node: they hear nothing from here but by way of it.
    elsewhere: bool,
}

/// So many of them.
const SENT_MAX: usize = 256;

impl Sent {
    fn note(&mut self, private: Private) {
        if self.last.len() >= SENT_MAX {
            self.last.pop_front();
        }
        self.last.push_back(private);
    }

    /// Who sent the message with this id from one occupant to another, and whether from elsewhere.
    pub(super) fn sender(&self, id: &str, from: &FullJid, to: &FullJid) -> Option<(&Jid, bool)> {
        let of = |sent: &&Private| *sent.id == *id && sent.from == *from && sent.to == *to;
        let sent = self.last.iter().rev().find(of)?;
        Some((&sent.sender, sent.elsewhere))
    }
}

impl Room {
    pub(super) fn private(
        &mut self,
        stanza: &Stanza,
        from: &Jid,
        to: &FullJid,
        turn: &mut Turn<'_>,
    ) {
        if let Err(error) = self.whisper(stanza, from, to, turn) {
            turn.refuse(stanza, error);
        }
    }

    fn whisper(
        &mut self,
        stanza: &Stanza,
        from: &Jid,
        to: &FullJid,
        turn: &mut Turn<'_>,
    ) -> Result<(), StanzaError> {
        // "If the sender is not an occupant of the room [...], the service MUST return a <not-acceptable/> error"
        let Some(seat) = self.occupants.of(from) else {
            return Err(self.stranger());
        };
        self.spend(&from.to_bare(), Cost::Stanza, turn)?;
        let Some(sender) = self.occupants.get(seat) else {
            return Err(self.stranger());
        };
        if !self.may_whisper(sender) {
            return Err(Condition::Forbidden.into());
        }
        // "to an occupant JID that does not exist, the service MUST return an <item-not-found/> error"
        let Some(recipient) = self.addressed(to) else {
            return Err(Condition::ItemNotFound.into());
        };
        let payload = self.clean(stanza.payload());
        // "The service SHOULD add the <x/> element if the message does not contain it already."
        let payload = payload.with(&Element::new("x", ns::USER));
        let id = stanza.id().map_or_else(|| self.fresh_id(), str::to_owned);
        let message = stanza.clone().with_to(None).with_id(id.as_str());
        if self.watched && !recipient.elsewhere.is_empty() {
            let message = message.clone().with_from(None);
            let message = message.with_payload(payload.clone());
            self.whisper_out(sender, recipient, from, &message, turn);
        }
        if recipient.is_away() {
            return Ok(());
        }
        let message = message
            .with_from(Jid::from(&sender.address))
            .with_payload(payload.with(&occupant_id(&sender.id)));
        let sent = Private {
            id: id.into(),
            from: sender.address.clone(),
            sender: from.clone(),
            to: recipient.address.clone(),
            elsewhere: false,
        };
        // §7.2.8: "it is RECOMMENDED to route to all resources"
        turn.broadcast(message, recipient.clients());
        self.sent.note(sent);
        Ok(())
    }

    /// The same of one who is at another node, to an occupant here.
    pub(super) fn whisper_from(
        &mut self,
        by: &Jid,
        to: &FullJid,
        message: &Stanza,
        turn: &mut Turn<'_>,
    ) -> Result<(), StanzaError> {
        let seat = self.occupants.elsewhere(by);
        let sender = seat.and_then(|seat| self.occupants.get(seat));
        let sender = sender.ok_or_else(not_here)?;
        // What comes from one to one is not what all have heard.
        let is_error = match message.kind() {
            Kind::Message(MessageType::Error) => true,
            Kind::Message(MessageType::Groupchat) => return Err(Condition::BadRequest.into()),
            _ => false,
        };
        if !is_error && !self.may_whisper(sender) {
            return Err(Condition::Forbidden.into());
        }
        let recipient = self.addressed(to).filter(|one| !one.is_away());
        let recipient = recipient.ok_or(Condition::ItemNotFound)?;
        let payload = self.clean(message.payload());
        let payload = payload.with(&Element::new("x", ns::USER));
        let id = message.id().map_or_else(|| self.fresh_id(), str::to_owned);
        let message = message
            .clone()
            .with_from(Jid::from(&sender.address))
            .with_to(None)
            .with_id(id.as_str())
            .with_payload(payload.with(&occupant_id(&sender.id)));
        let sent = Private {
            id: id.into(),
            from: sender.address.clone(),
            sender: by.clone(),
            to: recipient.address.clone(),
            elsewhere: true,
        };
        turn.broadcast(message, recipient.clients());
        if !is_error {
            self.sent.note(sent);
        }
        Ok(())
    }

    /// The occupant of this very address.
    pub(super) fn addressed(&self, address: &FullJid) -> Option<&Occupant> {
        let occupant = self
            .occupants
            .get(self.occupants.named(address.resource())?)?;
        (occupant.address == *address).then_some(occupant)
    }

    fn may_whisper(&self, sender: &Occupant) -> bool {
        self.config.allows(sender.role, Privilege::PrivateMessages)
    }
}
