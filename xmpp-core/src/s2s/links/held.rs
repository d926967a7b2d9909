//! The sessions that we have with other servers, while they have no connection.

use std::sync::Arc;
use std::time::Instant;

use super::line::Way;
use super::session::waits_for;
use super::table::Slot;
use super::timers::Timer;
use super::{LinkId, Links, Output};
use crate::BareJid;
use crate::s2s::{self, Found, Pair, Session};
use crate::stanza::Condition;
use crate::stream;
use crate::time::Now;

/// A session that we have with another server, without a connection.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) session: Box<Session>,
    domain: BareJid,
    until: Instant,
    bytes: usize,
    /// The link that it came from and that is not quite gone, or the one that is to go on with it and is being opened.
    pub(super) link: Option<LinkId>,
}

impl Held {
    /// Whether it has sent something of this pair.
    fn waits_for(&self, pair: &Pair) -> bool {
        waits_for(&self.session, pair)
    }
}

impl Links {
    /// Keeps one of ours until there is a connection that goes on with it.
    pub(super) fn keep(
        &mut self,
        session: Box<Session>,
        domain: BareJid,
        link: Option<LinkId>,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        if self.held.len() >= self.limits.held {
            let first = self.held.iter().min_by_key(|(_, held)| held.until);
            if let Some(id) = first.map(|(id, _)| id.clone()) {
                self.end_held(&id, Condition::RemoteServerTimeout, out);
            }
        }
        let id = session.id.clone();
        let bytes = session.bytes();
        self.budget.take_anyway(bytes);
        // Also after its time the peer may know how far it came.
        let until = now.instant + session.max.max(self.connect(&domain));
        let held = Held {
            session,
            domain,
            until,
            bytes,
            link,
        };
        self.timers.insert((until, Timer::Held(id.clone())));
        self.held.insert(id.clone(), held);
        if self.closed {
            self.end_held(&id, Condition::RemoteServerTimeout, out);
        }
    }

    /// Something waits for a pair that is held: now there is a reason to go on with the session.
    pub(super) fn revive(&mut self, pair: &Pair, now: Now, out: &mut Vec<Output>) {
        self.revive_all(pair.to(), now, out);
    }

    /// Has connections opened for the sessions with this domain, where there is anything to go on with.
    pub(super) fn revive_all(&mut self, jid: &BareJid, now: Now, out: &mut Vec<Output>) {
        let theirs = self.held.iter().filter(|(_, held)| held.domain == *jid);
        let ids: Vec<_> = theirs.map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.revive_one(&id, now, out);
        }
    }

    fn revive_one(&mut self, id: &Arc<str>, now: Now, out: &mut Vec<Output>) {
        let Some(held) = self.held.get(id).filter(|held| held.link.is_none()) else {
            return;
        };
        let queued = |pair: &&Pair| {
            let line = self.lines.get(*pair);
            line.is_some_and(|line| !line.queue.is_empty())
        };
        let pairs = &held.session.granted;
        let sent = pairs.iter().find(|pair| held.waits_for(pair));
        let pair = match sent.or_else(|| pairs.iter().find(queued)) {
            Some(pair) => pair.clone(),
            // The peer may have something for us.
            None if held.session.is_bidi() => pairs[0].clone(),
            None => return,
        };
        let jid = held.domain.clone();
        let domain = self.domain(&jid);
        if !domain.pause.is_over(now.instant) {
            return;
        }
        let links = domain.links.clone();
        let opening = links.into_iter().find(|slot| {
            let link = self.links.get(*slot);
            link.is_some_and(|link| {
                !link.open && !link.closing && link.session.is_none() && link.reaches(&jid)
            })
        });
        // Beyond the bound, if need be: it takes the place of the one before it.
        let slot = opening.unwrap_or_else(|| self.dial(&pair, out));
        if let (Some(link), Some(held)) = (self.links.get_mut(slot), self.held.get_mut(id)) {
            link.session = Some(id.clone());
            held.link = Some(link.id);
        }
    }

    /// A connection is there: if it is for a session, its stream is given that, and the pairs of it are requested. Answers with a
    /// pair to request besides, if all of the session's go another way: without one there is no session, and the peer may have something in
    /// it.
    pub(super) fn hand_session_over(
        &mut self,
        slot: Slot,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Option<Pair> {
        let link = self.links.get(slot)?;
        let id = link.id;
        let name = link.session.clone()?;
        let held = self.release(&name)?;
        let mut pending = held.session.granted.clone();
        pending.retain(|pair| held.waits_for(pair) || self.is_held_by(pair, &name));
        let mut wanted = pending.clone();
        wanted.retain(|pair| held.waits_for(pair) || self.is_queued(pair));
        if wanted.is_empty() {
            // Without a pair there is no session.
            wanted.extend(held.session.granted.first().cloned());
        }
        for pair in &wanted {
            // If nothing waits for it here, there is something in the session.
            self.hold_line(pair, &name);
            self.free(pair, &name, Some(slot), now, out);
        }
        let mut first = held.session.granted.first().cloned();
        if let Some(link) = self.links.get_mut(slot) {
            link.pending = pending;
            let here = |pair: &Pair| held.session.granted.contains(pair);
            first = first.filter(|_| !link.lines.iter().any(here));
        }
        let found = s2s::Input::Session(Found::Session(held.session));
        out.push(Output::Stream(id, stream::Input::S2s(found)));
        first
    }

    /// Whether a session is for this pair and no other.
    pub(super) fn is_held_for(&self, id: &Arc<str>, pair: &Pair) -> bool {
        let held = self.held.get(id);
        held.is_some_and(|held| held.session.granted.iter().all(|it| it == pair))
    }

    /// One of ours is over without a connection: what it has sent may have arrived, or not, and nobody will know.
    pub(super) fn end_held(&mut self, id: &Arc<str>, why: Condition, out: &mut Vec<Output>) {
        let Some(held) = self.release(id) else {
            return;
        };
        if let Some(link) = held.link.and_then(|link| self.links.by_id(link)) {
            link.session = None;
        }
        let mut pairs = held.session.granted.clone();
        pairs.retain(|pair| self.is_held_by(pair, id));
        let (late, _) = held.session.end();
        for envelope in late {
            self.give_back(envelope, why, out);
        }
        for pair in pairs {
            if let Some(line) = self.lines.get_mut(&pair) {
                line.way = Way::None;
                line.holder = None;
                self.bounce(&pair, why, out);
            }
        }
        self.tidy(&held.domain);
    }

    fn release(&mut self, id: &Arc<str>) -> Option<Held> {
        let held = self.held.remove(id)?;
        self.timers.remove(&(held.until, Timer::Held(id.clone())));
        self.budget.give(held.bytes);
        Some(held)
    }

    /// Whether a session waits in which something has been sent to this domain.
    pub(super) fn holds_for(&self, jid: &BareJid) -> bool {
        let mut all = self.held.values();
        all.any(|held| held.domain == *jid && !held.session.queue.is_empty())
    }
}
