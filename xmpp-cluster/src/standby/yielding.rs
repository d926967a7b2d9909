//! One session on two nodes: the one that is less right hands over what it has accepted.

use std::collections::hash_map::Entry;
use std::time::Instant;

use xmpp_core::session::SessionId;
use xmpp_core::time::Now;

use super::outgoing::weight;
use super::owner::Home;
use super::{Output, Replica, Standby};
use crate::frame::Parcel;
use crate::frame::standby::{Claim, Mine, Op, Yield, Yielded};
use crate::node::{Life, NodeId};

/// A session that is another node's.
#[derive(Debug)]
pub(super) struct Yielding {
    pub(super) replica: Replica,
    /// How much was told of it.
    pub(super) told: u64,
    /// Whose it is, and in which generation.
    to: (u32, NodeId),
    round: u64,
    /// When it was sent there, and how many bytes; until then it waits for its turn.
    sent: Option<(Instant, usize)>,
    /// Who keeps it for this node: until the other has it all.
    home: Home,
    /// Who has handed over something for it to this node, and waits to hear that it is safe.
    pub(super) creditors: Vec<(NodeId, u64)>,
}

impl Standby {
    /// A node says that it owns a session, in that generation.
    pub(super) fn claimed(
        &mut self,
        by: &NodeId,
        session: SessionId,
        generation: u32,
        out: &mut Vec<Output>,
    ) {
        let Some(peer) = self.peers.get_mut(by) else {
            return;
        };
        peer.kept.claimed(session, generation);
        let claim = (generation, by.clone());
        if let Some(yielding) = self.yielding.get_mut(&session) {
            if claim > yielding.to {
                self.recall(session);
                if let Some(yielding) = self.yielding.get_mut(&session) {
                    yielding.to = claim;
                }
                self.hand_over(session);
            }
            return;
        }
        let Entry::Occupied(owned) = self.owned.entry(session) else {
            return;
        };
        let ours = owned.get().replica.generation;
        if (ours, &self.me) >= (generation, by) {
            if generation > 0 {
                // It may have heard of this one's before it took over, when that was nothing to it.
                let claims = vec![Claim {
                    session,
                    generation: ours,
                }];
                let mine = Mine {
                    round: 0,
                    claims,
                    last: false,
                };
                out.push(Output::Send(peer.life.clone(), Parcel::Mine(mine)));
            }
            return;
        }
        let owned = owned.remove();
        self.names.remove(&owned.replica.name);
        let debts = owned.debts.into_iter();
        let yielding = Yielding {
            replica: owned.replica,
            told: owned.told,
            to: claim,
            round: 0,
            sent: None,
            home: owned.home,
            creditors: debts.map(|(_, node, round)| (node, round)).collect(),
        };
        self.yielding.insert(session, yielding);
        out.push(Output::Lost(session, by.clone()));
        self.hand_over(session);
    }

    /// Has the replica sent to whoever owns the session, when it is its turn.
    fn hand_over(&mut self, session: SessionId) {
        self.recall(session);
        let round = self.next_round();
        let Some(yielding) = self.yielding.get_mut(&session) else {
            return;
        };
        yielding.round = round;
        if let Some(peer) = self.peers.get_mut(&yielding.to.1) {
            peer.yields.push_back((session, round));
        }
    }

    /// What was sent of it is not on its way any more.
    fn recall(&mut self, session: SessionId) {
        let Some(yielding) = self.yielding.get_mut(&session) else {
            return;
        };
        if let (Some((_, size)), Some(peer)) =
            (yielding.sent.take(), self.peers.get_mut(&yielding.to.1))
        {
            peer.yielding = peer.yielding.saturating_sub(size);
        }
    }

    /// Sends that node what is its own, as much as may be on its way.
    pub(super) fn send_yields(&mut self, node: &NodeId, now: Now, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(node) else {
            return;
        };
        while peer.yielding == 0 || peer.yielding < self.limits.copying {
            let Some((session, round)) = peer.yields.pop_front() else {
                return;
            };
            let yielding = self.yielding.get_mut(&session);
            let Some(yielding) = yielding.filter(|yielding| yielding.round == round) else {
                continue;
            };
            let mut size = 0;
            let mut ops = Vec::new();
            let mut piece = 0;
            for op in yielding.replica.snapshot() {
                let more = weight(&op);
                if piece + more > self.limits.batch && !ops.is_empty() {
                    out.push(send(peer.life.clone(), session, round, &mut ops));
                    piece = 0;
                }
                piece += more;
                size += more;
                ops.push(op);
            }
            out.push(send(peer.life.clone(), session, round, &mut ops));
            peer.yielding += size;
            yielding.sent = Some((now.instant, size));
            self.retry.get_or_insert(now.instant + self.limits.rest);
        }
    }

    /// What has not been answered for long may be lost.
    pub(super) fn yield_again(&mut self, now: Now) {
        if self.retry.is_none_or(|at| at > now.instant) {
            return;
        }
        self.retry = None;
        let rest = self.limits.rest;
        let late = |yielding: &Yielding| {
            yielding
                .sent
                .is_some_and(|(at, _)| at + rest <= now.instant)
        };
        let late: Vec<SessionId> = self
            .yielding
            .iter()
            .filter(|(_, yielding)| late(yielding))
            .map(|(session, _)| *session)
            .collect();
        late.into_iter().for_each(|session| self.hand_over(session));
        let next = self.yielding.values().filter_map(|yielding| yielding.sent);
        self.retry = next.map(|(at, _)| at + rest).min();
    }

    /// A piece of what another node hands over.
    pub(super) fn yielded_to(
        &mut self,
        from: &NodeId,
        piece: Yield,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let (session, round) = (piece.session, piece.round);
        let limits = self.limits.dedupe;
        let Some(peer) = self.peers.get_mut(from) else {
            return;
        };
        for op in piece.ops {
            match (op, &mut peer.incoming) {
                (Op::Begin(begin), incoming) => {
                    *incoming = Some((round, Replica::begin(session, *begin, limits)));
                }
                (Op::Whole, incoming) => {
                    if let Some((_, replica)) = incoming.take_if(|(known, _)| *known == round) {
                        return self.received(from, round, replica, now, out);
                    }
                }
                (op, incoming) => {
                    let piece = |(known, replica): &mut (u64, Replica)| {
                        *known != round || replica.apply(op, now).is_ok()
                    };
                    if !incoming.as_mut().is_none_or(piece) {
                        *incoming = None;
                    }
                }
            }
        }
    }

    /// All of it is there.
    fn received(
        &mut self,
        from: &NodeId,
        round: u64,
        replica: Replica,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let session = replica.session;
        if let Some(yielding) = self.yielding.get_mut(&session) {
            // It goes on to where this one's goes.
            yielding.replica.merge(replica, now);
            yielding.creditors.push((from.clone(), round));
            return self.hand_over(session);
        }
        match self.owned.contains_key(&session) {
            true => self.unite(session, replica, Some((from.clone(), round)), now, out),
            false => out.push(Output::Orphaned(from.clone(), round, Box::new(replica))),
        }
    }

    /// Brings together what this node has of its session and what another has accepted for it.
    pub(super) fn unite(
        &mut self,
        session: SessionId,
        replica: Replica,
        debt: Option<(NodeId, u64)>,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let Some(owned) = self.owned.get_mut(&session) else {
            return;
        };
        let merged = owned.replica.merge(replica, now);
        if let Some((node, round)) = debt {
            owned.debts.push((owned.told + 1, node, round));
        }
        match merged.replaced {
            true => out.push(Output::Replaced(Box::new(owned.replica.clone()))),
            false => out.push(Output::Added(session, merged.added)),
        }
        self.retell(session, now, out);
    }

    /// Another node has got all of a session that is its own.
    pub(super) fn yielded(
        &mut self,
        from: &NodeId,
        Yielded { session, round }: Yielded,
        out: &mut Vec<Output>,
    ) {
        let yielding = self.yielding.get(&session);
        if yielding.is_none_or(|yielding| yielding.round != round || yielding.to.1 != *from) {
            return;
        }
        self.recall(session);
        let Some(yielding) = self.yielding.remove(&session) else {
            return;
        };
        self.dismiss(session, &yielding.home);
        out.push(Output::Gone(session));
        self.pay(&yielding.creditors, session, out);
    }

    /// A node is down to which sessions were being handed over: they are this one's again.
    pub(super) fn regain(&mut self, node: &NodeId, now: Now, out: &mut Vec<Output>) {
        let theirs = |yielding: &Yielding| yielding.to.1 == *node;
        let back: Vec<Yielding> = self
            .yielding
            .extract_if(|_, yielding| theirs(yielding))
            .map(|(_, yielding)| yielding)
            .collect();
        for yielding in back {
            let session = yielding.replica.session;
            self.dismiss(session, &yielding.home);
            let mut replica = yielding.replica;
            let max = replica.max;
            replica.until.get_or_insert(now.utc.plus(max));
            out.push(Output::TookOver(Box::new(replica.clone())));
            self.open(replica, None, yielding.told, now, out);
            self.pay(&yielding.creditors, session, out);
        }
    }

    /// The node is down that owned a session which this one has been handing over: it was its standby as well.
    pub(super) fn comes_back(
        &mut self,
        from: &NodeId,
        mut replica: Replica,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let session = replica.session;
        let Some(yielding) = self.yielding.get_mut(&session) else {
            return;
        };
        if yielding.to.1 != *from {
            yielding.replica.merge(replica, now);
            return self.hand_over(session);
        }
        let Some(yielding) = self.yielding.remove(&session) else {
            return;
        };
        self.dismiss(session, &yielding.home);
        replica.merge(yielding.replica, now);
        self.enter(replica, from, yielding.told, now, out);
        self.pay(&yielding.creditors, session, out);
    }

    /// What was on its way to that node may be lost.
    pub(super) fn hand_over_again(&mut self, node: &NodeId) {
        let theirs = self
            .yielding
            .iter()
            .filter(|(_, yielding)| yielding.to.1 == *node);
        let theirs: Vec<SessionId> = theirs.map(|(session, _)| *session).collect();
        for session in theirs {
            self.hand_over(session);
        }
    }

    /// Tells them that what they have handed over is safe.
    pub(super) fn pay(
        &mut self,
        debts: &[(NodeId, u64)],
        session: SessionId,
        out: &mut Vec<Output>,
    ) {
        for (node, round) in debts {
            if let Some(peer) = self.peers.get(node) {
                let yielded = Yielded {
                    session,
                    round: *round,
                };
                out.push(Output::Send(peer.life.clone(), Parcel::Yielded(yielded)));
            }
        }
    }
}

fn send(to: Life, session: SessionId, round: u64, ops: &mut Vec<Op>) -> Output {
    let ops = std::mem::take(ops);
    let piece = Yield {
        session,
        round,
        ops,
    };
    Output::Send(to, Parcel::Yield(piece))
}
