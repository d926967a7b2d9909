//! The owner's side: what its standbys are told.

use std::time::Instant;

use bytes::Bytes;
use xmpp_core::mailbox::SmPoint;
use xmpp_core::session::SessionId;
use xmpp_core::time::{Now, Timestamp};

use super::dedupe::Verdict;
use super::outgoing::Outgoing;
use super::{Error, Output, Peer, Protection, Queued, Replica, Standby};
use crate::frame::standby::{Item, ItemId, Op};
use crate::node::NodeId;
use crate::rendezvous;

/// A session of this node.
#[derive(Debug)]
pub(super) struct Owned {
    pub(super) replica: Replica,
    /// How much was told of it.
    pub(super) told: u64,
    pub(super) home: Home,
    /// From whom it was taken over, until its client is there again.
    pub(super) from: Option<NodeId>,
    /// Who did not want it.
    avoid: Option<NodeId>,
    /// Who waits to hear that what they have handed over is safe, and the number that is to be safe for that.
    pub(super) debts: Vec<(u64, NodeId, u64)>,
}

/// Where else a session is.
#[derive(Debug)]
pub(super) enum Home {
    Nowhere,
    /// A snapshot is to be sent there.
    Next(NodeId),
    /// It is on its way: where in the log it begins, and ends.
    Copying(NodeId, u64, u64),
    /// It is there, but what was told meanwhile, and counted as safe at once, may not be: where in the log that ends.
    Closing(NodeId, u64, u64),
    /// It is there; where in the log the snapshot began.
    Replicated(NodeId, u64),
}

impl Home {
    pub(super) fn protection(&self) -> Protection {
        match self {
            Home::Nowhere => Protection::Single,
            Home::Next(_) | Home::Copying(..) | Home::Closing(..) => Protection::Replicating,
            Home::Replicated(..) => Protection::Replicated,
        }
    }

    pub(super) fn node(&self) -> Option<&NodeId> {
        match self {
            Home::Nowhere => None,
            Home::Next(node)
            | Home::Copying(node, ..)
            | Home::Closing(node, ..)
            | Home::Replicated(node, _) => Some(node),
        }
    }

    /// Where the replica began to which what is told now is added, if nothing counts as safe before it is there.
    pub(super) fn gate(&self) -> Option<(&NodeId, u64)> {
        match self {
            Home::Closing(node, first, _) | Home::Replicated(node, first) => Some((node, *first)),
            Home::Nowhere | Home::Next(_) | Home::Copying(..) => None,
        }
    }
}

// What is told of sessions.
impl Standby {
    /// A stanza for a session of this node: one that waits for its client, or was sent to it at that time.
    pub fn queue(
        &mut self,
        session: SessionId,
        point: Option<SmPoint>,
        stanza: Bytes,
        at: Option<Timestamp>,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<Queued, Error> {
        let owned = self.owned.get(&session).ok_or(Error::NotHere)?;
        if let Some(point) = &point
            && owned.replica.known.verdict(point) == Verdict::Seen
        {
            return Ok(Queued::Copy(owned.told));
        }
        self.accepted += 1;
        let id = ItemId {
            run: self.run,
            n: self.accepted,
        };
        let item = Item {
            id,
            point,
            at,
            stanza,
        };
        let told = self.tell(session, Op::Queued(item), now, out)?;
        Ok(Queued::New(id, told))
    }

    /// Something has happened to a session of this node. The number is that of what was told of it; it is [safe](Output::Safe) in its turn.
    pub fn tell(
        &mut self,
        session: SessionId,
        op: Op,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<u64, Error> {
        let owned = self.owned.get_mut(&session).ok_or(Error::NotHere)?;
        match op {
            Op::Ended => return Ok(self.ended(session, out)),
            // That is for this machine to say.
            Op::Begin(_) | Op::Known(_) | Op::Whole | Op::Unknown => return Err(Error::NotTold),
            _ => {}
        }
        owned.replica.apply(op.clone(), now)?;
        owned.told += 1;
        let told = owned.told;
        let item = match &op {
            Op::Queued(item) => item.point.as_ref().map(|_| item.id),
            _ => None,
        };
        let gated = owned.home.gate().is_some();
        if !gated {
            // One copy is all that there is so far.
            out.push(Output::Safe(session, told));
        }
        if let Home::Copying(node, ..) | Home::Closing(node, ..) | Home::Replicated(node, _) =
            &owned.home
            && let Some(peer) = self.peers.get_mut(node)
        {
            peer.log.push(session, op);
            if gated {
                peer.log.await_all(session, told, item, now);
            }
        }
        Ok(told)
    }

    /// A session is this node's from now on; taken over from another, perhaps. So much was told of it before.
    pub(super) fn open(
        &mut self,
        mut replica: Replica,
        from: Option<NodeId>,
        told: u64,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let session = replica.session;
        replica.generation = replica.generation.max(1);
        if from.is_none() && told == 0 {
            // It is served here.
            replica.generation += replica.generation % 2;
        }
        replica.remember(self.limits.dedupe);
        self.names.insert(replica.name.clone(), session);
        let generation = replica.generation;
        let owned = Owned {
            replica,
            told,
            home: Home::Nowhere,
            from,
            avoid: None,
            debts: Vec::new(),
        };
        self.owned.insert(session, owned);
        out.push(Output::Raised(session, generation));
        if told > 0 {
            out.push(Output::Safe(session, told));
        }
        self.settle_down(session, now, out);
        if self
            .owned
            .get(&session)
            .is_some_and(|owned| matches!(owned.home, Home::Nowhere))
        {
            out.push(Output::Protection(session, Protection::Single));
        }
    }

    fn ended(&mut self, session: SessionId, out: &mut Vec<Output>) -> u64 {
        let Some(owned) = self.owned.remove(&session) else {
            return 0;
        };
        self.names.remove(&owned.replica.name);
        self.dismiss(session, &owned.home);
        // What was handed over is where all the rest of it is.
        let debts: Vec<_> = owned
            .debts
            .into_iter()
            .map(|(_, node, round)| (node, round))
            .collect();
        self.pay(&debts, session, out);
        owned.told
    }

    /// Whoever keeps it need not any more.
    pub(super) fn dismiss(&mut self, session: SessionId, home: &Home) {
        if let Home::Copying(node, ..) | Home::Closing(node, ..) | Home::Replicated(node, _) = home
            && let Some(peer) = self.peers.get_mut(node)
        {
            peer.log.push(session, Op::Ended);
        }
    }

    pub(super) fn resumed(&mut self, session: SessionId, now: Now, out: &mut Vec<Output>) {
        let Some(owned) = self.owned.get_mut(&session) else {
            return;
        };
        owned.from = None;
        // Whoever had it before is behind what its client will know, even if it has lost a standby meanwhile.
        let raise = if is_taken_over(owned.replica.generation) {
            3
        } else {
            0
        };
        let generation = owned.replica.generation.saturating_add(raise);
        let served = generation;
        // Neither of them can be nonsense.
        let _ = self.tell(session, Op::Raised { generation, served }, now, out);
        let _ = self.tell(session, Op::Until(None), now, out);
        if raise > 0 {
            self.raised.push(session);
        }
    }
}

// Where sessions are kept.
impl Standby {
    /// Chooses another node for a session that nobody else has.
    fn settle_down(&mut self, session: SessionId, now: Now, out: &mut Vec<Output>) {
        let Some(owned) = self.owned.get_mut(&session) else {
            return;
        };
        let awake = |peer: &Peer| peer.rests.is_none_or(|until| until <= now.instant);
        let wanted = |node: &NodeId| owned.avoid.as_ref() != Some(node);
        let peers = self.peers.iter();
        let candidates = peers.filter(|(node, peer)| awake(peer) && wanted(node));
        // That of a node that goes is spread over all others, and what others have stays.
        let chosen = rendezvous::first(&owned.replica.name, candidates.map(|(node, _)| node));
        let Some(node) = chosen.cloned() else {
            return;
        };
        owned.home = Home::Next(node.clone());
        out.push(Output::Protection(session, Protection::Replicating));
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.log.enqueue(session);
        }
        self.copy(&node, now);
    }

    /// A session is different from what was told: its standby gets a snapshot in the place of what it has.
    pub(super) fn retell(&mut self, session: SessionId, now: Now, out: &mut Vec<Output>) -> u64 {
        let Some(owned) = self.owned.get_mut(&session) else {
            return 0;
        };
        owned.told += 1;
        let told = owned.told;
        let node = owned.home.node().cloned();
        let peer = node.and_then(|node| self.peers.get_mut(&node));
        match (&mut owned.home, peer) {
            (Home::Copying(_, _, whole), Some(peer)) => {
                (_, *whole) = peer.log.snapshot(&owned.replica, told, now);
                out.push(Output::Safe(session, told));
            }
            (Home::Closing(..) | Home::Replicated(..), Some(peer)) => {
                peer.log.snapshot(&owned.replica, told, now);
            }
            _ => out.push(Output::Safe(session, told)),
        }
        told
    }

    /// The log to that node is over, and another begins, if it is still there. What it has is void.
    pub(super) fn restart(
        &mut self,
        node: &NodeId,
        rests: Option<Instant>,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let stream = self.next_round();
        let Some(peer) = self.peers.get_mut(node) else {
            return;
        };
        peer.rests = rests;
        peer.log = Outgoing::new(stream);
        self.bereaved(node, now, out);
    }

    /// What that node was told, and has not said to have, counts for nothing; and what it has, for nothing more.
    pub(super) fn bereaved(&mut self, node: &NodeId, now: Now, out: &mut Vec<Output>) {
        let at = |owned: &Owned| owned.home.node().is_none_or(|home| home == node);
        let here: Vec<SessionId> = self
            .owned
            .iter()
            .filter(|(_, owned)| at(owned))
            .map(|(session, _)| *session)
            .collect();
        for session in here {
            self.single(session, None, now, out);
        }
    }

    /// Nobody else has a session any more, or nobody ever had.
    pub(super) fn single(
        &mut self,
        session: SessionId,
        avoid: Option<NodeId>,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let Some(owned) = self.owned.get_mut(&session) else {
            return;
        };
        owned.avoid = avoid;
        match std::mem::replace(&mut owned.home, Home::Nowhere) {
            Home::Nowhere => {}
            Home::Next(_) => out.push(Output::Protection(session, Protection::Single)),
            Home::Copying(..) | Home::Closing(..) | Home::Replicated(..) => {
                if !is_taken_over(owned.replica.generation) {
                    // One more than it would be for whoever takes over what was there.
                    let generation = owned.replica.generation.saturating_add(2);
                    owned.replica.generation = generation;
                    out.push(Output::Raised(session, generation));
                }
                out.push(Output::Protection(session, Protection::Single));
                let told = owned.told;
                self.safe(session, told, out);
            }
        }
        self.settle_down(session, now, out);
    }

    /// All up to this is safe.
    pub(super) fn safe(&mut self, session: SessionId, told: u64, out: &mut Vec<Output>) {
        out.push(Output::Safe(session, told));
        let Some(owned) = self.owned.get_mut(&session) else {
            return;
        };
        let mut paid = Vec::new();
        owned.debts.retain(|(until, node, round)| {
            let due = *until <= told;
            if due {
                paid.push((node.clone(), *round));
            }
            !due
        });
        self.pay(&paid, session, out);
    }
}

/// Whether a session in this generation was taken over, and its client has not been there since. Whoever has served it goes on from an even generation to
/// the next even one; whoever takes it over, to the odd one between. So no number of losses on a side that the client
/// has never been on makes that side right.
pub(super) fn is_taken_over(generation: u32) -> bool {
    generation % 2 == 1
}
