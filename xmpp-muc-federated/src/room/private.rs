//! Private messages (XEP-0045 §7.5).

use std::collections::{HashMap, VecDeque};

use sha2::{Digest as _, Sha256};
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
    pub(super) senders: HashMap<Key, Sender>,
    /// The oldest first; some are forgotten already.
    pub(super) order: VecDeque<Key>,
    /// Those of each client, the oldest first.
    of: HashMap<Jid, VecDeque<Key>>,
}

#[derive(Clone, Debug)]
pub(super) struct Sender {
    /// The client that sent it.
    pub(super) jid: Jid,
    /// It is at another node: it hears nothing from here but by way of it.
    pub(super) elsewhere: bool,
}

/// Which message it was.
type Key = [u8; 16];

/// So many of them.
const SENT_MAX: usize = 4096;
/// And of one client, who so takes nobody else's place.
const SENT_SHARE: usize = 256;

impl Sent {
    pub(super) fn note(&mut self, key: Key, sender: Sender) {
        if self.senders.contains_key(&key) {
            return;
        }
        let own = self.of.get(&sender.jid);
        if let Some(oldest) = own.filter(|own| own.len() >= SENT_SHARE) {
            self.forget(oldest.front().copied());
        }
        while self.senders.len() >= SENT_MAX {
            let oldest = self.order.pop_front();
            self.forget(oldest);
        }
        // One who forgets their own leaves their places in the order.
        if self.order.len() >= 2 * SENT_MAX {
            self.order.retain(|key| self.senders.contains_key(key));
        }
        self.order.push_back(key);
        self.of
            .entry(sender.jid.clone())
            .or_default()
            .push_back(key);
        self.senders.insert(key, sender);
    }

    fn forget(&mut self, key: Option<Key>) {
        let sender = key.and_then(|key| self.senders.remove(&key));
        let Some(sender) = sender else {
            return;
        };
        if let Some(own) = self.of.get_mut(&sender.jid) {
            own.pop_front();
            if own.is_empty() {
                self.of.remove(&sender.jid);
            }
        }
    }

    /// Who sent the message with this id from one occupant to the one with this occupant id, and whether from elsewhere.
    pub(super) fn sender(&self, id: &str, from: &FullJid, to: &str) -> Option<(&Jid, bool)> {
        let sender = self.senders.get(&key(id, from, to))?;
        Some((&sender.jid, sender.elsewhere))
    }
}

/// Of the id of a message, whom it is from, and the recipient's occupant id, which is the same under another nick: ids are as long as
/// clients like.
fn key(id: &str, from: &FullJid, to: &str) -> Key {
    let parts = [from.as_str(), to, id];
    let hash = parts.iter().fold(Sha256::new(), |hash, part| {
        hash.chain_update(part).chain_update([0])
    });
    let mut key = Key::default();
    key.copy_from_slice(&hash.finalize()[..size_of::<Key>()]);
    key
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
        let key = key(&id, &sender.address, &recipient.id);
        // §7.2.8: "it is RECOMMENDED to route to all resources"
        turn.broadcast(message, recipient.clients());
        let sender = Sender {
            jid: from.clone(),
            elsewhere: false,
        };
        self.sent.note(key, sender);
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
        let key = key(&id, &sender.address, &recipient.id);
        turn.broadcast(message, recipient.clients());
        if !is_error {
            let sender = Sender {
                jid: by.clone(),
                elsewhere: true,
            };
            self.sent.note(key, sender);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn nick(nick: &str) -> FullJid {
        format!("coven@chat.shakespeare.lit/{nick}")
            .parse()
            .unwrap()
    }

    fn client(n: usize) -> Sender {
        Sender {
            jid: format!("u{n}@shakespeare.lit/pda").parse().unwrap(),
            elsewhere: n == 1,
        }
    }

    #[test]
    fn who_sends_much_has_nobody_elses_messages_forgotten() {
        let mut sent = Sent::default();
        sent.note(key("1", &nick("hag"), "crone"), client(0));
        for n in 0..3 * SENT_MAX {
            let key = key(&n.to_string(), &nick("flood"), "crone");
            sent.note(key, client(1));
        }
        let of_hag = sent.sender("1", &nick("hag"), "crone");
        assert_eq!(of_hag, Some((&client(0).jid, false)));
        assert_eq!(sent.sender("1", &nick("hag"), "bard"), None);
        let of_flood = |n: usize| sent.sender(&n.to_string(), &nick("flood"), "crone");
        let last = 3 * SENT_MAX - 1;
        assert_eq!(of_flood(last), Some((&client(1).jid, true)));
        assert!(of_flood(last - SENT_SHARE + 1).is_some());
        assert!(of_flood(last - SENT_SHARE).is_none());
    }

    #[test]
    fn what_is_kept_of_them_is_bounded() {
        let mut sent = Sent::default();
        for n in 0..4 * SENT_MAX {
            let key = key(&n.to_string(), &nick("x"), "crone");
            sent.note(key, client(n % 50));
            assert!(sent.senders.len() <= SENT_MAX && sent.order.len() <= 2 * SENT_MAX);
        }
        assert_eq!(sent.senders.len(), SENT_MAX);
        let of: usize = sent.of.values().map(VecDeque::len).sum();
        assert_eq!(of, SENT_MAX);
        assert!(sent.senders.keys().all(|key| sent.order.contains(key)));
    }
}
