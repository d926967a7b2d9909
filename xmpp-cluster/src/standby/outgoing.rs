//! What a standby is told, and what it answers.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use xmpp_core::session::SessionId;
use xmpp_core::time::Now;

use super::owner::{Home, Owned};
use super::{Output, Peer, Protection, Replica, Standby};
use crate::frame::Parcel;
use crate::frame::standby::{ItemId, Log, Logged, Op};
use crate::node::NodeId;

/// What a standby is told.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    stream: u64,
    /// How much was put into it.
    next: u64,
    /// What of it was not sent, the last of all.
    buffer: VecDeque<(SessionId, Op)>,
    /// What waits for an acknowledgement.
    open: VecDeque<Open>,
    /// How many of these were complained about.
    hurried: usize,
    /// Sessions that are to be copied there.
    queue: VecDeque<SessionId>,
    /// Bytes of snapshots that are on their way.
    copying: usize,
    /// Whether it is to be told that the log before is over.
    fresh: bool,
}

#[derive(Debug)]
struct Open {
    /// Its place in the log.
    at: u64,
    session: SessionId,
    /// What is safe with it.
    told: u64,
    /// The stanza, if somebody may wait for it.
    item: Option<ItemId>,
    since: Instant,
    /// Bytes, of a snapshot.
    size: usize,
}

impl Outgoing {
    /// One in which there is nothing, behind others that are over.
    pub(super) fn new(stream: u64) -> Outgoing {
        Outgoing {
            stream,
            fresh: true,
            ..Outgoing::default()
        }
    }

    /// A session is to be copied there when it is its turn.
    pub(super) fn enqueue(&mut self, session: SessionId) {
        self.queue.push_back(session);
    }

    /// Puts something into the log.
    pub(super) fn push(&mut self, session: SessionId, op: Op) {
        self.buffer.push_back((session, op));
        self.next += 1;
    }

    /// When all that is in the log has come, what was told of a session up to this number has, with this stanza.
    pub(super) fn await_all(
        &mut self,
        session: SessionId,
        told: u64,
        item: Option<ItemId>,
        now: Now,
    ) {
        self.open.push_back(Open {
            at: self.next,
            session,
            told,
            item,
            since: now.instant,
            size: 0,
        });
    }

    /// Puts a replica into the log; where it begins there, and where it ends.
    pub(super) fn snapshot(&mut self, replica: &Replica, told: u64, now: Now) -> (u64, u64) {
        let first = self.next + 1;
        let mut size = 0;
        for op in replica.snapshot() {
            size += weight(&op);
            self.push(replica.session, op);
        }
        self.copying += size;
        self.await_all(replica.session, told, None, now);
        if let Some(open) = self.open.back_mut() {
            open.size = size;
        }
        (first, self.next)
    }
}

impl Standby {
    /// Sends that node snapshots, as many as may be on their way.
    pub(super) fn copy(&mut self, node: &NodeId, now: Now) {
        let Some(peer) = self.peers.get_mut(node) else {
            return;
        };
        while peer.log.copying == 0 || peer.log.copying < self.limits.copying {
            let Some(session) = peer.log.queue.pop_front() else {
                return;
            };
            let Some(owned) = self.owned.get_mut(&session) else {
                continue;
            };
            if matches!(&owned.home, Home::Next(next) if next == node) {
                let (first, whole) = peer.log.snapshot(&owned.replica, owned.told, now);
                owned.home = Home::Copying(node.clone(), first, whole);
            }
        }
    }

    /// A standby says how far it has come.
    pub(super) fn logged(
        &mut self,
        from: &NodeId,
        logged: Logged,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let Some(peer) = self.peers.get_mut(from) else {
            return;
        };
        if logged.stream != peer.log.stream || logged.upto > peer.log.next {
            return;
        }
        if logged.broken {
            return self.restart(from, None, now, out);
        }
        for claim in logged.refused {
            self.claimed(from, claim.session, claim.generation, out);
            let owned = self.owned.get(&claim.session);
            let here = owned.and_then(|owned| owned.home.node()) == Some(from);
            // If it is the owner, and less right than this one, it will know.
            if here {
                self.single(claim.session, Some(from.clone()), now, out);
            }
        }
        let mut safe = BTreeMap::new();
        let Some(peer) = self.peers.get_mut(from) else {
            return;
        };
        while peer
            .log
            .open
            .front()
            .is_some_and(|open| open.at <= logged.upto)
            && let Some(open) = peer.log.open.pop_front()
        {
            peer.log.copying -= open.size;
            peer.log.hurried = peer.log.hurried.saturating_sub(1);
            let Some(owned) = self.owned.get_mut(&open.session) else {
                continue;
            };
            if let Home::Copying(node, first, whole) = &owned.home
                && node == from
                && *whole == open.at
            {
                let until = peer.log.next;
                owned.home = Home::Closing(node.clone(), *first, until);
                if until > open.at {
                    peer.log.await_all(open.session, owned.told, None, now);
                    continue;
                }
            }
            if let Some((node, first)) = owned.home.gate()
                && node == from
                && first <= open.at
            {
                safe.insert(open.session, open.told);
            }
            if let Home::Closing(node, first, until) = &owned.home
                && node == from
                && *until <= open.at
            {
                owned.home = Home::Replicated(node.clone(), *first);
                out.push(Output::Protection(open.session, Protection::Replicated));
            }
        }
        for (session, told) in safe {
            self.safe(session, told, out);
        }
        self.copy(from, now);
    }

    /// Sends what is to be sent.
    pub(super) fn flush(&mut self, now: Now, out: &mut Vec<Output>) {
        let nodes: Vec<NodeId> = self.peers.keys().cloned().collect();
        for node in nodes {
            self.copy(&node, now);
            self.send_yields(&node, now, out);
            let Some(peer) = self.peers.get_mut(&node) else {
                continue;
            };
            let log = &mut peer.log;
            while !log.buffer.is_empty() || log.fresh {
                log.fresh = false;
                let after = log.next - log.buffer.len() as u64;
                let mut ops = Vec::new();
                let mut size = 0;
                while let Some((session, op)) = log.buffer.pop_front() {
                    size += weight(&op);
                    ops.push((session, op));
                    let next = log.buffer.front().map_or(0, |(_, op)| weight(op));
                    if size + next > self.limits.batch {
                        break;
                    }
                }
                let parcel = Parcel::Log(Log {
                    stream: log.stream,
                    after,
                    ops,
                });
                out.push(Output::Send(peer.life.clone(), parcel));
            }
            log.buffer.shrink_to(64);
            if let Some(logged) = peer.kept.owed() {
                out.push(Output::Send(peer.life.clone(), Parcel::Logged(logged)));
            }
        }
        // Behind what its standby is told: that has a replica of before, until it hears of the generation in the log.
        for session in std::mem::take(&mut self.raised) {
            if let Some(owned) = self.owned.get(&session) {
                out.push(Output::Raised(session, owned.replica.generation));
            }
        }
    }

    /// Sees to what has waited for too long.
    pub(super) fn hurry(&mut self, now: Now, out: &mut Vec<Output>) {
        let mut silent = Vec::new();
        for (node, peer) in &mut self.peers {
            let log = &mut peer.log;
            let patience = log
                .open
                .front()
                .map(|open| open.since + self.limits.patience);
            if patience.is_some_and(|until| until <= now.instant) {
                silent.push(node.clone());
            }
            while let Some(open) = log.open.get(log.hurried)
                && open.since + self.limits.hold <= now.instant
            {
                log.hurried += 1;
                let owned = self.owned.get(&open.session);
                let gate = owned.and_then(|owned| owned.home.gate());
                let here = gate.is_some_and(|(home, first)| home == node && first <= open.at);
                if let Some(item) = open.item.filter(|_| here) {
                    out.push(Output::Overdue(open.session, item));
                }
            }
        }
        for node in silent {
            self.restart(&node, Some(now.instant + self.limits.rest), now, out);
        }
        let mut rested = false;
        for peer in self.peers.values_mut() {
            if peer.rests.is_some_and(|until| until <= now.instant) {
                peer.rests = None;
                rested = true;
            }
        }
        if rested {
            let alone = |owned: &Owned| matches!(owned.home, Home::Nowhere);
            let alone = self.owned.iter().filter(|(_, owned)| alone(owned));
            let alone: Vec<SessionId> = alone.map(|(session, _)| *session).collect();
            for session in alone {
                self.single(session, None, now, out);
            }
        }
    }

    pub(super) fn next_hurry(&self) -> Option<Instant> {
        let of = |peer: &Peer| {
            let open = &peer.log.open;
            let overdue = open
                .get(peer.log.hurried)
                .map(|open| open.since + self.limits.hold);
            let silent = open.front().map(|open| open.since + self.limits.patience);
            overdue.into_iter().chain(silent).chain(peer.rests).min()
        };
        self.peers.values().filter_map(of).min()
    }
}

/// Bytes that something takes in a parcel, about.
pub(super) fn weight(op: &Op) -> usize {
    const AROUND: usize = 48;
    AROUND
        + match op {
            Op::Begin(begin) => begin.state.len() + begin.name.len() + begin.have.len() * 20,
            Op::Queued(item) => item.stanza.len() + item.point.as_ref().map_or(0, |p| p.id.len()),
            Op::State(state) => state.len(),
            Op::Known(known) => known.id.len(),
            _ => 0,
        }
}

#[cfg(test)]
impl Standby {
    /// Whether all that was told has come.
    pub(super) fn is_idle(&self) -> bool {
        let idle = |log: &Outgoing| log.open.is_empty() && log.buffer.is_empty();
        self.peers.values().all(|peer| idle(&peer.log))
    }
}
