//! Requests from one occupant to another (XEP-0045 §17.4), and to oneself (XEP-0410).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use xmpp_core::stanza::{Condition, IqType, Kind, Payload, Stanza, StanzaError};
use xmpp_core::{FullJid, Jid};

use super::ghost::nameless;
use super::message::not_here;
use super::{Room, Turn};
use crate::ns;
use crate::settings::Limits;

/// Requests that wait for their answer.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// By the id that the recipient has seen.
    pub(super) waiting: HashMap<Arc<str>, Request>,
    /// The oldest first; some are answered already.
    pub(super) order: VecDeque<(Instant, Arc<str>)>,
    /// How many of a client wait.
    of: HashMap<Jid, usize>,
}

#[derive(Debug)]
pub(super) struct Request {
    /// The client that has asked, and its id.
    pub(super) from: Jid,
    pub(super) id: Arc<str>,
    /// Whom it has asked.
    pub(super) asked: FullJid,
    /// Who has to answer.
    pub(super) real: Jid,
}

/// Requests that are answered and whose places are not looked for yet.
const ANSWERED: usize = 64;
/// The part of the table that one client may fill.
const SHARE: usize = 4;

impl Requests {
    fn has_room(&self, from: &Jid, limits: &Limits) -> bool {
        let own = self.of.get(from).copied().unwrap_or_default();
        self.waiting.len() < limits.requests && own < (limits.requests / SHARE).max(1)
    }

    pub(super) fn insert(&mut self, id: Arc<str>, request: Request, until: Instant) {
        *self.of.entry(request.from.clone()).or_default() += 1;
        // One that nobody answers does not keep the places of all that come behind it.
        if self.order.len() > 2 * self.waiting.len() + ANSWERED {
            let waiting = &self.waiting;
            self.order.retain(|(_, id)| waiting.contains_key(id));
        }
        self.order.push_back((until, id.clone()));
        self.waiting.insert(id, request);
    }

    /// The request that this is the answer to.
    fn take(&mut self, id: &str, real: &Jid) -> Option<Request> {
        self.waiting
            .get(id)
            .filter(|request| request.real == *real)?;
        let request = self.waiting.remove(id)?;
        self.forget(&request.from);
        Some(request)
    }

    /// Those that this client does not answer any more.
    fn left(&mut self, real: &Jid) -> Vec<Request> {
        let of = self.waiting.extract_if(|_, request| request.real == *real);
        let mut all: Vec<_> = of.map(|(_, request)| request).collect();
        // The order of a map is not for others to see.
        all.sort_unstable_by(|a, b| (&a.from, &a.id).cmp(&(&b.from, &b.id)));
        all.iter().for_each(|request| self.forget(&request.from));
        all
    }

    /// Those that nobody has answered in time.
    fn expired(&mut self, now: Instant) -> Vec<Request> {
        let mut all = Vec::new();
        while self.order.front().is_some_and(|(until, _)| *until <= now) {
            let request = self.order.pop_front();
            if let Some(request) = request.and_then(|(_, id)| self.waiting.remove(&id)) {
                self.forget(&request.from);
                all.push(request);
            }
        }
        all
    }

    /// When the oldest one is too old.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.order.front().map(|(until, _)| *until)
    }

    fn forget(&mut self, from: &Jid) {
        if let Some(own) = self.of.get_mut(from) {
            *own -= 1;
            if *own == 0 {
                self.of.remove(from);
            }
        }
        // Those that are answered do not stay longer than the oldest that is not.
        let waits = |(_, id): &(Instant, Arc<str>)| self.waiting.contains_key(id);
        while self.order.front().is_some_and(|oldest| !waits(oldest)) {
            self.order.pop_front();
        }
    }
}

impl Room {
    /// A request to an occupant.
    pub(super) fn ask(&mut self, stanza: &Stanza, from: &Jid, to: &FullJid, turn: &mut Turn<'_>) {
        if let Err(error) = self.relay(stanza, from, to, turn) {
            turn.refuse(stanza, error);
        }
    }

    fn relay(
        &mut self,
        stanza: &Stanza,
        from: &Jid,
        to: &FullJid,
        turn: &mut Turn<'_>,
    ) -> Result<(), StanzaError> {
        let payload = stanza.payload();
        let sender = self
            .occupants
            .of(from)
            .and_then(|seat| self.occupants.get(seat));
        let Some(sender) = sender else {
            // §6.6: "If a non-occupant attempts to send a disco request [...], a MUC service MUST return a <bad-request/> error"
            // XEP-0410 §3.3: "Error (<not-acceptable>): the client is not joined to the MUC."
            return Err(match is_disco(payload) {
                true => Condition::BadRequest.into(),
                false => not_here(),
            });
        };
        if payload.has("ping", ns::PING) && sender.address == *to {
            // XEP-0410 §3.3: "Successful IQ response: the client is joined to the MUC."
            turn.send(stanza.reply());
            return Ok(());
        }
        let Some(asked) = self.addressed(to) else {
            return Err(Condition::ItemNotFound.into());
        };
        // Requests do not go from node to node.
        if asked.is_away() {
            return Err(Condition::ServiceUnavailable.into());
        }
        let limits = &self.settings.limits;
        if !self.requests.has_room(from, limits) {
            return Err(Condition::ResourceConstraint.into());
        }
        let real = match asked.latest() {
            // What an account itself answers is asked of the account.
            _ if payload.has("vCard", "vcard-temp") => Jid::from(&asked.real),
            Some(session) => session.jid.clone(),
            None => return Err(Condition::ItemNotFound.into()),
        };
        // §17.4: "MUST NOT reveal the sender's real JID to the recipient at any time", which an id might.
        let id: Arc<str> = self.fresh_id().into();
        let request = stanza
            .clone()
            .with_from(Jid::from(&sender.address))
            .with_to(real.clone())
            .with_id(&*id);
        turn.send(request);
        let waits = Request {
            from: from.clone(),
            id: stanza.id().unwrap_or_default().into(),
            asked: to.clone(),
            real,
        };
        let until = turn.now.instant + limits.request;
        self.requests.insert(id, waits, until);
        Ok(())
    }

    /// The answer to a request, back to who has asked.
    pub(super) fn answered(&mut self, stanza: &Stanza, from: &Jid, turn: &mut Turn<'_>) {
        let request = stanza.id().and_then(|id| self.requests.take(id, from));
        let Some(request) = request else {
            return;
        };
        if self.occupants.of(&request.from).is_some() {
            // §17.4: "nor reveal the recipient's real JID to the sender"
            let answer = stanza
                .clone()
                .with_from(Jid::from(&request.asked))
                .with_to(request.from)
                .with_id(&*request.id)
                .with_payload(nameless(stanza.payload()));
            turn.send(answer);
        }
        if stanza.kind() == Kind::Iq(IqType::Error) {
            self.failed(stanza, from, turn);
        }
    }

    /// Requests that nobody answers are answered by the room.
    pub(super) fn expire(&mut self, turn: &mut Turn<'_>) {
        for request in self.requests.expired(turn.now.instant) {
            self.give_up(request, Condition::RemoteServerTimeout, turn);
        }
    }

    /// So are those to a client that has left.
    pub(super) fn ask_no_more(&mut self, client: &Jid, turn: &mut Turn<'_>) {
        for request in self.requests.left(client) {
            self.give_up(request, Condition::RecipientUnavailable, turn);
        }
    }

    fn give_up(&self, request: Request, why: Condition, turn: &mut Turn<'_>) {
        if self.occupants.of(&request.from).is_some() {
            let error = StanzaError::new(why).with_by(Jid::from(&self.jid));
            let answer = Stanza::iq(IqType::Error, &request.id)
                .with_from(Jid::from(&request.asked))
                .with_to(request.from)
                .with_child(&error.to_element());
            turn.send(answer);
        }
    }
}

fn is_disco(payload: &Payload) -> bool {
    let disco = [
        "http://jabber.org/protocol/disco#info",
        "http://jabber.org/protocol/disco#items",
    ];
    disco.iter().any(|ns| payload.has("query", ns))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::room::tests::{now, real};

    /// An accomplice who never answers would have the list grow with every request that is answered at once.
    #[test]
    fn a_request_that_nobody_answers_keeps_no_places_behind_it() {
        let mut requests = Requests::default();
        let (from, asked) = (real("hag66/pda"), real("bard/globe"));
        let request = |id: &Arc<str>| Request {
            from: from.clone(),
            id: id.clone(),
            asked: asked.as_full().unwrap(),
            real: asked.clone(),
        };
        let until = now().instant + Duration::from_secs(60);
        let pinned: Arc<str> = "pinned".into();
        requests.insert(pinned.clone(), request(&pinned), until);
        for n in 0..1000 {
            let id: Arc<str> = n.to_string().into();
            requests.insert(id.clone(), request(&id), until);
            assert!(requests.take(&id, &asked).is_some());
            assert!(requests.order.len() <= 2 * ANSWERED, "{n}");
        }
        assert!(requests.take(&pinned, &asked).is_some());
        assert!(requests.next_timeout().is_none());
    }
}
