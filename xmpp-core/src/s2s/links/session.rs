//! The sessions of XEP-0198: between two connections they are here, and their pairs have no other way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::line::Way;
use super::table::Slot;
use super::timers::Timer;
use super::way::request;
use super::{LinkId, Links, Output};
use crate::BareJid;
use crate::s2s::{self, Do, Found, Pair, Session, Sessions};
use crate::stanza::Condition;
use crate::stream;
use crate::time::Now;

/// A session that we have with another server, without a connection.
#[derive(Debug)]
pub(super) struct Held {
    session: Box<Session>,
    domain: BareJid,
    until: Instant,
    bytes: usize,
    /// The link that it came from and that is not quite gone, or the one that is to go on with it and is being opened.
    link: Option<LinkId>,
}

impl Held {
    /// Whether it has sent something of this pair.
    fn waits_for(&self, pair: &Pair) -> bool {
        waits_for(&self.session, pair)
    }
}

fn waits_for(session: &Session, pair: &Pair) -> bool {
    session.queue.iter().any(|sent| {
        let stanza = &sent.envelope.stanza;
        let (Some(from), Some(to)) = (stanza.from(), stanza.to()) else {
            return false;
        };
        pair.covers(from, to)
    })
}

impl Links {
    /// A session comes out of its stream.
    pub(super) fn suspended(
        &mut self,
        id: LinkId,
        session: Box<Session>,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let name = session.id.clone();
        let mut pairs = session.granted.clone();
        pairs.retain(|pair| waits_for(&session, pair));
        let mut domain = session.granted.first().map(|pair| pair.to().clone());
        let mut from = None;
        if let Some(link) = self.links.by_id(id) {
            // One that was given to the stream, which has not gone on with it, says nothing of the stream.
            link.closing |= link.pending.is_empty() && !link.is_given(&name);
            pairs.append(&mut link.pending);
            link.session = Some(name.clone());
            link.suspended = Some(pairs.clone());
            domain = link
                .dialled
                .as_ref()
                .map(|pair| pair.to().clone())
                .or(domain);
            from = Some(id);
        }
        match (id, domain) {
            (LinkId::In(_), _) => {
                self.with_sessions(now, out, |sessions, todo| {
                    sessions.keep(session, now, todo);
                });
                if self.closed {
                    self.with_sessions(now, out, Sessions::close);
                }
            }
            (LinkId::Out(_), Some(domain)) => self.keep(session, domain, from, now, out),
            // One on which nothing could be sent has nothing to go on with.
            (LinkId::Out(_), None) => return,
        }
        match from {
            Some(_) => {
                for pair in pairs {
                    if self.is_asked_on(&pair, id) {
                        self.leave(&pair);
                        self.hold_line(&pair, &name);
                    }
                }
            }
            None => self.part_with_session(id, &name, pairs, now, out),
        }
    }

    /// Keeps one of ours until there is a connection that goes on with it.
    fn keep(
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
                self.held_due(&id, out);
            }
        }
        let id = session.id.clone();
        let bytes = session.bytes();
        self.budget.take_anyway(bytes);
        // Also after its time the peer may know how far it came.
        let until = now.instant + session.max.max(self.limits.connect);
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
            self.held_due(&id, out);
        }
    }

    /// A link is gone. If it has left a session that another may go on with, these pairs wait for that.
    pub(super) fn part_with_session(
        &mut self,
        id: LinkId,
        name: &Arc<str>,
        pairs: Vec<Pair>,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let waits = match id {
            LinkId::In(_) => self.sessions.is_waiting(name),
            LinkId::Out(_) => match self.held.get_mut(name).filter(|it| it.link == Some(id)) {
                Some(held) => {
                    held.link = None;
                    true
                }
                None => false,
            },
        };
        for pair in pairs {
            match waits {
                true => self.hold_line(&pair, name),
                false => self.free(&pair, name, None, now, out),
            }
        }
    }

    /// The pair waits for what becomes of the session of this name.
    pub(super) fn hold_line(&mut self, pair: &Pair, name: &Arc<str>) {
        let line = self.line(pair);
        if line.way == Way::None {
            line.way = Way::Held;
            line.holder = Some(name.clone());
            line.until = None;
        }
        self.arm(pair);
    }

    fn is_asked_on(&self, pair: &Pair, id: LinkId) -> bool {
        let way = self.lines.get(pair).map(|line| line.way);
        way.is_some() && way == self.links.slot(id).map(Way::Asked)
    }

    /// Whether the pair waits for what becomes of that session.
    fn is_held_by(&self, pair: &Pair, name: &Arc<str>) -> bool {
        let line = self.lines.get(pair);
        line.is_some_and(|line| line.way == Way::Held && line.holder.as_ref() == Some(name))
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

    /// The peer goes on with a session over this link.
    fn give(&mut self, slot: Slot, session: Box<Session>, now: Now, out: &mut Vec<Output>) {
        let Some(link) = self.links.get_mut(slot) else {
            return;
        };
        let id = link.id;
        let name = session.id.clone();
        link.session = Some(name.clone());
        link.resumed = false;
        link.suspended = None;
        let proven = |pair: &Pair| link.has_proven(pair.to());
        let mut here = session.granted.clone();
        here.retain(proven);
        let mut pending = session.granted.clone();
        pending.retain(|pair| waits_for(&session, pair) || self.is_held_by(pair, &name));
        let mut requests = Vec::new();
        for pair in &pending {
            let wanted = waits_for(&session, pair) || self.is_queued(pair);
            if wanted && here.contains(pair) && self.is_held_by(pair, &name) {
                requests.push(request(id, pair.clone()));
                self.free(pair, &name, Some(slot), now, out);
            }
        }
        if let Some(link) = self.links.get_mut(slot) {
            link.pending = pending;
        }
        let found = s2s::Input::Session(Found::Session(session));
        out.push(Output::Stream(id, stream::Input::S2s(found)));
        out.append(&mut requests);
    }

    /// It is known whether the stream goes on with the session that it was given; what cannot go over this link has come back.
    pub(super) fn resolve(&mut self, id: LinkId, now: Now, out: &mut Vec<Output>) {
        let Some(link) = self.links.by_id(id) else {
            return;
        };
        let pairs = std::mem::take(&mut link.pending);
        let Some(name) = link.session.clone() else {
            return;
        };
        for pair in &pairs {
            self.free(pair, &name, None, now, out);
        }
        self.go_on(&pairs, now, out);
    }

    fn is_queued(&self, pair: &Pair) -> bool {
        let line = self.lines.get(pair);
        line.is_some_and(|line| !line.queue.is_empty())
    }

    /// Whether the stream of a link has a session in which something of the pair may wait, and has not gone on with it.
    pub(super) fn is_pending(&self, pair: &Pair) -> bool {
        let line = self.lines.get(pair);
        let Some(Way::Asked(slot)) = line.map(|line| line.way) else {
            return false;
        };
        let link = self.links.get(slot);
        link.is_some_and(|link| link.pending.contains(pair))
    }

    /// The pair is held for that session no more: it is to go over this link, or over any.
    fn free(
        &mut self,
        pair: &Pair,
        name: &Arc<str>,
        slot: Option<Slot>,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        if !self.is_held_by(pair, name) {
            return;
        }
        let until = now.instant + self.limits.connect;
        let Some(line) = self.lines.get_mut(pair) else {
            return;
        };
        line.way = Way::None;
        line.holder = None;
        line.older = 0;
        line.until = (!line.queue.is_empty()).then_some(until);
        if let Some(slot) = slot
            && let Some(link) = self.links.get_mut(slot)
        {
            line.way = Way::Asked(slot);
            link.lines.push(pair.clone());
        }
        self.look(pair, out);
    }

    /// One of ours has waited for long enough: what it has sent may have arrived, or not, and nobody will know.
    pub(super) fn held_due(&mut self, id: &Arc<str>, out: &mut Vec<Output>) {
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
            self.give_back(envelope, Condition::RemoteServerTimeout, out);
        }
        for pair in pairs {
            if let Some(line) = self.lines.get_mut(&pair) {
                line.way = Way::None;
                line.holder = None;
                self.bounce(&pair, Condition::RemoteServerTimeout, out);
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

    /// From now on another connection can go on with the session of this one; or this one has gone on with it.
    pub(super) fn resumable(
        &mut self,
        id: LinkId,
        name: Arc<str>,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let Some(link) = self.links.by_id(id) else {
            return;
        };
        let goes_on = link.session.as_ref() == Some(&name);
        link.resumed |= goes_on;
        if goes_on {
            self.resolve(id, now, out);
        }
        if matches!(id, LinkId::In(_)) {
            self.with_sessions(now, out, |sessions, todo| sessions.running(id, name, todo));
        }
    }

    /// Does something with the sessions that others have with us, and then what that asks for.
    pub(super) fn with_sessions(
        &mut self,
        now: Now,
        out: &mut Vec<Output>,
        change: impl FnOnce(&mut Sessions<LinkId>, &mut Vec<Do<LinkId>>),
    ) {
        let mut todo = Vec::new();
        change(&mut self.sessions, &mut todo);
        let mut todo = VecDeque::from(todo);
        let mut pairs = Vec::new();
        while let Some(next) = todo.pop_front() {
            match next {
                Do::Tell(link, s2s::Input::Session(Found::Session(session))) => {
                    match self.links.slot(link) {
                        Some(slot) => self.give(slot, session, now, out),
                        None => {
                            let mut more = Vec::new();
                            self.sessions.keep(session, now, &mut more);
                            todo.extend(more);
                        }
                    }
                }
                Do::Tell(link, input) => {
                    if self.links.slot(link).is_some() {
                        out.push(Output::Stream(link, stream::Input::S2s(input)));
                    }
                }
                Do::Late(envelope) => {
                    pairs.extend(self.pair(&envelope));
                    self.put_back(envelope, now, out);
                }
                Do::Over(name, granted) => {
                    for pair in granted {
                        self.free(&pair, &name, None, now, out);
                        pairs.push(pair);
                    }
                }
            }
        }
        for pair in &pairs {
            if let Some(line) = self.lines.get_mut(pair) {
                line.older = 0;
            }
        }
        self.go_on(&pairs, now, out);
    }

    /// The server stops: no session goes on.
    pub(super) fn drop_sessions(&mut self, now: Now, out: &mut Vec<Output>) {
        let ids: Vec<_> = self.held.keys().cloned().collect();
        for id in ids {
            self.held_due(&id, out);
        }
        self.with_sessions(now, out, Sessions::close);
    }
}
