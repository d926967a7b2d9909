//! The sessions of XEP-0198: between two connections they are here, and their pairs have no other way.
//!
//! Those that we have with others are in a table of ours ([`held`](super::held)), those that others have with us in
//! [`Sessions`]. What both have in common is here.

use std::collections::VecDeque;
use std::sync::Arc;

use super::line::Way;
use super::table::Slot;
use super::way::request;
use super::{LinkId, Links, Output};
use crate::s2s::{self, Do, Found, Pair, Session, Sessions};
use crate::stanza::Condition;
use crate::stream;
use crate::time::Now;

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
    pub(super) fn is_held_by(&self, pair: &Pair, name: &Arc<str>) -> bool {
        let line = self.lines.get(pair);
        line.is_some_and(|line| line.way == Way::Held && line.holder.as_ref() == Some(name))
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

    pub(super) fn is_queued(&self, pair: &Pair) -> bool {
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
    pub(super) fn free(
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
        let until = now.instant + self.connect(pair.to());
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
            self.end_held(&id, Condition::RemoteServerTimeout, out);
        }
        self.with_sessions(now, out, Sessions::close);
    }
}

/// Whether it has sent something of this pair that is not acknowledged.
pub(super) fn waits_for(session: &Session, pair: &Pair) -> bool {
    session.queue.iter().any(|sent| {
        let stanza = &sent.envelope.stanza;
        let (Some(from), Some(to)) = (stanza.from(), stanza.to()) else {
            return false;
        };
        pair.covers(from, to)
    })
}
