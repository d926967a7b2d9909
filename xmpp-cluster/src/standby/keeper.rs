//! The standby's side: what is kept for other nodes, and taken over when they are down.

use std::collections::HashMap;
use std::sync::Arc;

use xmpp_core::session::SessionId;
use xmpp_core::time::Now;

use super::owner::is_taken_over;
use super::{Output, Peer, Replica, Standby};
use crate::frame::Parcel;
use crate::frame::standby::{Claim, Log, Logged, Mine, Op, Whose};
use crate::node::NodeId;

/// Claims that one parcel tells of.
const CLAIMS: usize = 1000;

/// What is kept for one node.
#[derive(Debug, Default)]
pub(super) struct Kept {
    stream: u64,
    /// How much of its log has come.
    upto: u64,
    /// Something is missing: nothing more of this log counts.
    broken: bool,
    /// Whether it is to be told how far it has come.
    owed: bool,
    refused: Vec<Claim>,
    sessions: HashMap<SessionId, Slot>,
    names: HashMap<Arc<str>, SessionId>,
    bytes: usize,
}

/// A replica that is kept, or is coming.
#[derive(Debug, Default)]
struct Slot {
    whole: Option<Replica>,
    coming: Option<Replica>,
    /// The generation in which its owner has it, as far as that is known otherwise: an older replica is void.
    claimed: u32,
    bytes: usize,
}

impl Slot {
    /// What can be taken over.
    fn valid(&self) -> Option<&Replica> {
        let whole = self.whole.as_ref();
        whole.filter(|replica| replica.generation >= self.claimed)
    }
}

impl Kept {
    /// The session whose stream has that name.
    pub(super) fn named(&self, name: &str) -> Option<SessionId> {
        self.names.get(name).copied()
    }

    /// What is to be told of it.
    pub(super) fn owed(&mut self) -> Option<Logged> {
        std::mem::take(&mut self.owed).then(|| Logged {
            stream: self.stream,
            upto: self.upto,
            broken: self.broken,
            refused: std::mem::take(&mut self.refused),
        })
    }

    /// Its owner says in which generation it has a session.
    pub(super) fn claimed(&mut self, session: SessionId, generation: u32) {
        if let Some(slot) = self.sessions.get_mut(&session) {
            slot.claimed = slot.claimed.max(generation);
        }
    }

    fn forget(&mut self, session: SessionId) {
        let Some(slot) = self.sessions.remove(&session) else {
            return;
        };
        self.bytes -= slot.bytes;
        if let Some(replica) = slot.whole {
            self.names.remove(&replica.name);
        }
    }

    /// `None` if there is nothing of it here; else whether that could be.
    fn apply(&mut self, session: SessionId, op: Op, now: Now) -> Option<bool> {
        let slot = self.sessions.get_mut(&session)?;
        let before = slot.bytes;
        let could = match (op, &mut slot.coming, &mut slot.whole) {
            (Op::Whole, coming @ Some(_), whole) => {
                *whole = coming.take();
                if let Some(replica) = whole {
                    self.names.insert(replica.name.clone(), session);
                }
                true
            }
            (op, Some(replica), _) | (op, None, Some(replica)) => replica.apply(op, now).is_ok(),
            (_, None, None) => false,
        };
        let of = |replica: &Option<Replica>| replica.as_ref().map_or(0, Replica::size);
        slot.bytes = of(&slot.whole) + of(&slot.coming);
        self.bytes = self.bytes - before + slot.bytes;
        Some(could)
    }
}

impl Standby {
    /// An owner tells what has happened to its sessions.
    pub(super) fn log(&mut self, from: &NodeId, log: Log, now: Now, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(from) else {
            return;
        };
        let before = (peer.kept.sessions.len(), peer.kept.bytes);
        let kept = &mut peer.kept;
        if log.stream < kept.stream {
            return;
        }
        if log.stream > kept.stream {
            // Whatever was kept by the log before is void, and the owner knows that it is.
            *kept = Kept {
                stream: log.stream,
                broken: log.after > 0,
                ..Kept::default()
            };
        }
        kept.owed = true;
        kept.broken |= log.after > kept.upto;
        if !kept.broken {
            let known = kept.upto - log.after;
            let new = log
                .ops
                .into_iter()
                .skip(usize::try_from(known).unwrap_or(usize::MAX));
            for (session, op) in new {
                self.keep(from, session, op, now, out);
            }
        }
        if let Some(Peer { kept, .. }) = self.peers.get(from) {
            self.kept.0 = self.kept.0 - before.0 + kept.sessions.len();
            self.kept.1 = self.kept.1 - before.1 + kept.bytes;
        }
    }

    /// Whether one more can be kept, as far as is known between two parcels.
    fn has_room(&self) -> bool {
        self.kept.0 < self.limits.kept && self.kept.1 < self.limits.bytes
    }

    fn keep(&mut self, from: &NodeId, session: SessionId, op: Op, now: Now, out: &mut Vec<Output>) {
        let ours = self
            .owned
            .get(&session)
            .map(|owned| owned.replica.generation);
        let ours = ours.unwrap_or_default();
        let room = self.has_room();
        let Some(Peer { kept, .. }) = self.peers.get_mut(from) else {
            return;
        };
        kept.upto += 1;
        match op {
            Op::Begin(begin) => {
                let generation = begin.generation;
                let known = kept.sessions.contains_key(&session);
                if !(room || known) || (ours, &self.me) > (generation, from) {
                    kept.forget(session);
                    kept.refused.push(Claim {
                        session,
                        generation: ours,
                    });
                    return;
                }
                let replica = Replica::begin(session, *begin, self.limits.dedupe);
                let slot = kept.sessions.entry(session).or_default();
                slot.coming = Some(replica);
                if ours > 0 {
                    self.claimed(from, session, generation, out);
                }
            }
            Op::Ended => kept.forget(session),
            op => {
                // Of one that was refused there is nothing.
                if kept.apply(session, op, now) == Some(false) {
                    kept.forget(session);
                    kept.refused.push(Claim {
                        session,
                        generation: 0,
                    });
                }
            }
        }
    }

    /// A node is down: its sessions are this one's now.
    pub(super) fn take_over(&mut self, from: &NodeId, kept: Kept, now: Now, out: &mut Vec<Output>) {
        self.kept.0 -= kept.sessions.len();
        self.kept.1 -= kept.bytes;
        for (session, slot) in kept.sessions {
            let Some(replica) = slot.valid().cloned() else {
                continue;
            };
            if self.yielding.contains_key(&session) {
                self.comes_back(from, replica, now, out);
                continue;
            }
            match self.owned.contains_key(&session) {
                true => {
                    self.unite(session, replica, None, now, out);
                }
                false => self.enter(replica, from, 0, now, out),
            }
        }
    }

    /// Goes on with a session of that node, of which so much was told.
    pub(super) fn enter(
        &mut self,
        mut replica: Replica,
        from: &NodeId,
        told: u64,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        if !is_taken_over(replica.generation) {
            replica.generation = replica.generation.saturating_add(1);
        }
        let max = replica.max;
        replica.until.get_or_insert(now.utc.plus(max));
        out.push(Output::TookOver(Box::new(replica.clone())));
        self.open(replica, Some(from.clone()), told, now, out);
    }

    /// A node was held up, and asks which of its sessions were taken over.
    pub(super) fn answer(&mut self, from: &NodeId, whose: Whose, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get(from) else {
            return;
        };
        let life = peer.life.clone();
        let taken = self
            .owned
            .values()
            .filter(|owned| owned.from.as_ref() == Some(from));
        let mut claims: Vec<Claim> = taken
            .map(|owned| Claim {
                session: owned.replica.session,
                generation: owned.replica.generation,
            })
            .collect();
        loop {
            let rest = claims.split_off(claims.len().min(CLAIMS));
            let last = rest.is_empty();
            let mine = Mine {
                round: whose.round,
                claims,
                last,
            };
            out.push(Output::Send(life.clone(), Parcel::Mine(mine)));
            if last {
                return;
            }
            claims = rest;
        }
    }
}

#[cfg(test)]
impl Standby {
    /// What would be taken over of a session of another node.
    pub(super) fn kept_replica(&self, session: SessionId) -> Option<&Replica> {
        let slots = self.peers.values();
        let mut slots = slots.filter_map(|peer| peer.kept.sessions.get(&session));
        slots.find_map(Slot::valid)
    }
}
