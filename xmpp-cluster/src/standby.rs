//! A second copy of each session that can be resumed, in the memory of another node of the site.
//!
//! The node that has a session, its *owner*, tells another, its *standby*, all that happens to it: the stanzas that wait for its client, what
//! the client has acknowledged, how many of the client's own are handled. Only what the standby has said to have is *safe*: then the sender of a stanza may be
//! told that it is settled, a stanza may be written to the client (or the client would count what the standby has never heard of), and
//! the client may be told a count. When the owner is down, its standby goes on with the session, which waits for its client there.
//!
//! A session has a *generation*. Whoever takes one over raises it; and so does an owner whose standby is another one, or none, from then on, so that
//! what an earlier standby still has is never right. Of two owners, after a cut, the one with the greater generation goes on ([`Replica`] says what
//! with); the other hands over what it has accepted. At equal generations the greater name of the node decides.
//!
//! [`Standby`] is both sides, as a machine: it reads no clock and sends nothing itself. Where there is no other node of
//! the site, nothing is told, and all is safe at once: a *single copy*.

pub mod dedupe;
mod events;
mod keeper;
mod outgoing;
mod owner;
mod replica;
mod yielding;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use xmpp_core::machine::Machine;
use xmpp_core::session::SessionId;
use xmpp_core::time::Now;

use crate::frame::Parcel;
use crate::frame::standby::{Item, ItemId, Mine, Whose};
use crate::node::{Life, NodeId};

use keeper::Kept;
use outgoing::Outgoing;
use owner::Owned;
pub use replica::{Merged, Nonsense, Replica};
use yielding::Yielding;

/// Bounds and times of standbys, the same on all nodes of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How long a stanza may wait for the standby before it is [overdue](Output::Overdue), and with it the count that its sender is told; default 250 ms.
    pub hold: Duration,
    /// How long a standby may be silent before others are chosen in its place; default 2 s. Counts that clients are told wait as long at most.
    pub patience: Duration,
    /// How long such a one is left alone; default 30 s.
    pub rest: Duration,
    /// Sessions of others that a node keeps; default 200 000.
    pub kept: usize,
    /// Bytes of these; default 1 GiB.
    pub bytes: usize,
    /// Bytes of one parcel; default 64 KiB. One thing goes whatever its size.
    pub batch: usize,
    /// Bytes of snapshots that are on their way to one node at a time, and as many of sessions that are handed over to it; default 1 MiB. One goes whatever its size.
    pub copying: usize,
    /// What a session remembers of those who send to it.
    pub dedupe: dedupe::Limits,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            hold: Duration::from_millis(250),
            patience: Duration::from_secs(2),
            rest: Duration::from_secs(30),
            kept: 200_000,
            bytes: 1 << 30,
            batch: 64 << 10,
            copying: 1 << 20,
            dedupe: dedupe::Limits::default(),
        }
    }
}

/// What happens to a node.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Input {
    /// A node of this site can be reached.
    Up(Life),
    /// It cannot.
    Down(Life),
    /// It can, and has thought that this one could not be: what was on its way there is lost.
    Reset(Life),
    /// A [parcel](Output::Send) could not be sent to it.
    NotSent(NodeId),
    /// This node was held up, for longer than others wait.
    HeldUp,
    /// A parcel has come from a node.
    Parcel(NodeId, Parcel),
    /// A node of this site says that it owns a session, in that generation (the session table tells).
    Claimed(NodeId, SessionId, u32),
    /// A session can be resumed from now on, or has come from elsewhere.
    Open(Box<Replica>),
    /// Its client is there again.
    Resumed(SessionId),
    /// What was [orphaned](Output::Orphaned) is dealt with.
    Kept(NodeId, SessionId, u64),
    /// All that was to be handled now has been: what is to be sent is sent.
    Flush,
}

/// What a node wants done, or tells.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Output {
    /// A parcel for a node.
    Send(Life, Parcel),
    /// Of what was told of a session, all up to this number is where the death of one node does not lose it; or there is no other node.
    Safe(SessionId, u64),
    /// A stanza for a session waits for the standby for too long: it is [withdrawn](crate::frame::standby::Op::Withdrawn), and stored or refused; or it is left as it is
    /// until it is safe.
    Overdue(SessionId, ItemId),
    /// How a session is kept from now on.
    Protection(SessionId, Protection),
    /// The generation of a session of this node, for the session table.
    Raised(SessionId, u32),
    /// A session is this node's from now on, and waits for its client.
    TookOver(Box<Replica>),
    /// A session is that node's. Here it ends without a word; its client is cut off, and resumes there.
    Lost(SessionId, NodeId),
    /// All that was accepted here for a session that was [lost](Output::Lost) is safe there.
    Gone(SessionId),
    /// Another node has had a session of this one as well, and has handed over what it had accepted: these are to be queued.
    Added(SessionId, Vec<Item>),
    /// The same, and the client knows the session as it was there: it goes on as this.
    Replaced(Box<Replica>),
    /// A node hands over what it has accepted for a session that has ended here: to be treated as what waits when a session ends, and then [told](Input::Kept).
    Orphaned(NodeId, u64, Box<Replica>),
    /// Nothing is to be read from clients until it is known whose the sessions are.
    Freeze,
    /// It is known.
    Thaw,
}

/// How a session is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protection {
    /// Two nodes have it.
    Replicated,
    /// This one alone.
    Single,
    /// This one alone, and another is being sent it.
    Replicating,
}

/// What became of a stanza for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queued {
    /// It is in, under this name, and settled when the number is [safe](Output::Safe).
    New(ItemId, u64),
    /// It was in before, and is dropped; the sender is told the same when the number is safe.
    Copy(u64),
}

/// Something was told of a session that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is not this node's, or not any more.
    #[error("the session is not here")]
    NotHere,
    /// It is a piece of a snapshot, which is made here.
    #[error("a snapshot is not for others to tell")]
    NotTold,
    /// It does not fit what was told before.
    #[error(transparent)]
    Nonsense(#[from] Nonsense),
}

/// Whom a client that wants to resume is to be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arbiter {
    /// The session is here.
    Here(SessionId),
    /// Its owner lives; this node keeps the replica.
    Owner(NodeId, SessionId),
    /// This node knows of no such session.
    Unknown,
}

/// How many sessions are kept how, and what is kept for others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Sessions of this node that another has as well.
    pub replicated: usize,
    /// Those that no other has.
    pub single: usize,
    /// Those that another is being sent.
    pub replicating: usize,
    /// Sessions of others that are kept here.
    pub kept: usize,
    /// Bytes of these.
    pub bytes: usize,
    /// Sessions that are being handed over.
    pub yielding: usize,
}

/// One node: the owner of its sessions, and the standby of those of others.
#[derive(Debug)]
pub struct Standby {
    me: NodeId,
    /// Names what is accepted here.
    run: u64,
    accepted: u64,
    limits: Limits,
    /// The other nodes of the site that are up.
    peers: BTreeMap<NodeId, Peer>,
    owned: HashMap<SessionId, Owned>,
    /// The names of those.
    names: HashMap<Arc<str>, SessionId>,
    yielding: HashMap<SessionId, Yielding>,
    /// Of which others are to be told in which generation they are.
    raised: Vec<SessionId>,
    /// The last log, question or handing over that was begun.
    round: u64,
    /// Who is asked whose the sessions are and has not answered: with which question, and when it was sent.
    asked: BTreeMap<NodeId, (u64, Option<Instant>)>,
    /// When to see whether what was handed over has been lost.
    retry: Option<Instant>,
    /// Sessions and bytes that are kept for others.
    kept: (usize, usize),
}

/// Another node.
#[derive(Debug)]
struct Peer {
    life: Life,
    /// What it is told.
    log: Outgoing,
    /// What it tells.
    kept: Kept,
    /// What it is handing over, as far as it has come, and which handing over it is.
    incoming: Option<(u64, Replica)>,
    /// Sessions of its own that are to be handed over to it, and with which handing over.
    yields: VecDeque<(SessionId, u64)>,
    /// Bytes of these that are on their way.
    yielding: usize,
    /// It was silent for too long: nothing is given to it until then.
    rests: Option<Instant>,
}

impl Standby {
    /// A node that has no sessions and knows of no other. `run` is random, for one run of one process.
    pub fn new(me: NodeId, run: u64, limits: Limits) -> Standby {
        Standby {
            me,
            run,
            accepted: 0,
            limits,
            peers: BTreeMap::new(),
            owned: HashMap::new(),
            names: HashMap::new(),
            yielding: HashMap::new(),
            raised: Vec::new(),
            round: 0,
            asked: BTreeMap::new(),
            retry: None,
            kept: (0, 0),
        }
    }

    /// Whom a client that asks for the stream of that name is to be sent to.
    ///
    /// There is one arbiter: the owner as long as it lives, and then its standby, which is the owner then.
    pub fn arbiter(&self, name: &str) -> Arbiter {
        if let Some(session) = self.names.get(name) {
            return Arbiter::Here(*session);
        }
        let kept = self.peers.iter().find_map(|(node, peer)| {
            let session = peer.kept.named(name)?;
            Some(Arbiter::Owner(node.clone(), session))
        });
        kept.unwrap_or(Arbiter::Unknown)
    }

    /// A session of this node, as it would be taken over.
    pub fn replica(&self, session: SessionId) -> Option<&Replica> {
        self.owned.get(&session).map(|owned| &owned.replica)
    }

    /// The sessions of this node.
    pub fn sessions(&self) -> impl Iterator<Item = &Replica> {
        self.owned.values().map(|owned| &owned.replica)
    }

    /// How a session of this node is kept, and by whom besides.
    pub fn protection(&self, session: SessionId) -> Option<(Protection, Option<&NodeId>)> {
        let home = &self.owned.get(&session)?.home;
        Some((home.protection(), home.node()))
    }

    /// How many there are.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts {
            kept: self.kept.0,
            bytes: self.kept.1,
            yielding: self.yielding.len(),
            ..Counts::default()
        };
        for owned in self.owned.values() {
            *match owned.home.protection() {
                Protection::Replicated => &mut counts.replicated,
                Protection::Single => &mut counts.single,
                Protection::Replicating => &mut counts.replicating,
            } += 1;
        }
        counts
    }

    fn next_round(&mut self) -> u64 {
        self.round += 1;
        self.round
    }

    fn up(&mut self, life: Life, now: Now, out: &mut Vec<Output>) {
        if life.node == self.me {
            return;
        }
        let known = self.peers.get(&life.node);
        if known.is_some_and(|peer| peer.life == life) {
            return self.reset(&life.node, None, now, out);
        }
        if let Some(before) = known.map(|peer| peer.life.clone()) {
            self.down(&before, now, out);
        }
        let node = life.node.clone();
        let peer = Peer {
            life,
            log: Outgoing::default(),
            kept: Kept::default(),
            incoming: None,
            yields: VecDeque::new(),
            yielding: 0,
            rests: None,
        };
        self.peers.insert(node.clone(), peer);
        self.restart(&node, None, now, out);
    }

    fn down(&mut self, life: &Life, now: Now, out: &mut Vec<Output>) {
        if self
            .peers
            .get(&life.node)
            .is_none_or(|peer| peer.life != *life)
        {
            return;
        }
        let Some(peer) = self.peers.remove(&life.node) else {
            return;
        };
        self.bereaved(&life.node, now, out);
        self.take_over(&life.node, peer.kept, now, out);
        self.regain(&life.node, now, out);
        self.answered(&life.node, out);
    }

    /// That node has held this one to be down: what it has said meanwhile is lost, and what it had to say before.
    fn reset(&mut self, node: &NodeId, rests: Option<Instant>, now: Now, out: &mut Vec<Output>) {
        self.restart(node, rests, now, out);
        self.hand_over_again(node);
        if let Some((_, asked)) = self.asked.get_mut(node) {
            *asked = None;
        }
    }

    /// Others may have taken over what this node has: they are asked.
    fn held_up(&mut self, out: &mut Vec<Output>) {
        let round = self.next_round();
        let was_frozen = !self.asked.is_empty();
        for node in self.peers.keys() {
            self.asked.insert(node.clone(), (round, None));
        }
        if !self.asked.is_empty() && !was_frozen {
            out.push(Output::Freeze);
        }
    }

    /// Asks those that have not been, or have not answered for too long.
    fn ask(&mut self, now: Now, out: &mut Vec<Output>) {
        for (node, (round, asked)) in &mut self.asked {
            let waits = asked.is_some_and(|at| at + self.limits.patience > now.instant);
            if let Some(peer) = self.peers.get(node).filter(|_| !waits) {
                *asked = Some(now.instant);
                let whose = Parcel::Whose(Whose { round: *round });
                out.push(Output::Send(peer.life.clone(), whose));
            }
        }
    }

    fn mine(&mut self, from: &NodeId, mine: Mine, out: &mut Vec<Output>) {
        for claim in mine.claims {
            self.claimed(from, claim.session, claim.generation, out);
        }
        let asked = self.asked.get(from).map(|(round, _)| *round);
        if mine.last && asked == Some(mine.round) {
            self.answered(from, out);
        }
    }

    fn answered(&mut self, node: &NodeId, out: &mut Vec<Output>) {
        if self.asked.remove(node).is_some() && self.asked.is_empty() {
            out.push(Output::Thaw);
        }
    }

    fn parcel(&mut self, from: &NodeId, parcel: Parcel, now: Now, out: &mut Vec<Output>) {
        if !self.peers.contains_key(from) {
            return;
        }
        match parcel {
            Parcel::Log(log) => self.log(from, log, now, out),
            Parcel::Logged(logged) => self.logged(from, logged, now, out),
            Parcel::Yield(piece) => self.yielded_to(from, piece, now, out),
            Parcel::Yielded(yielded) => self.yielded(from, yielded, out),
            Parcel::Whose(whose) => self.answer(from, whose, out),
            Parcel::Mine(mine) => self.mine(from, mine, out),
            _ => {}
        }
    }
}

impl Machine for Standby {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, input: Input, now: Now, out: &mut Vec<Output>) {
        match input {
            Input::Up(life) => self.up(life, now, out),
            Input::Down(life) => self.down(&life, now, out),
            Input::Reset(life) => {
                if self
                    .peers
                    .get(&life.node)
                    .is_some_and(|peer| peer.life == life)
                {
                    self.reset(&life.node, None, now, out);
                }
            }
            Input::NotSent(node) => {
                let rests = now.instant + self.limits.rest;
                self.reset(&node, Some(rests), now, out);
            }
            Input::HeldUp => self.held_up(out),
            Input::Parcel(from, parcel) => self.parcel(&from, parcel, now, out),
            Input::Claimed(node, session, generation) => {
                self.claimed(&node, session, generation, out);
            }
            Input::Open(replica) => self.open(*replica, None, 0, now, out),
            Input::Resumed(session) => self.resumed(session, now, out),
            Input::Kept(node, session, round) => self.pay(&[(node, round)], session, out),
            Input::Flush => {
                self.ask(now, out);
                self.flush(now, out);
            }
        }
    }

    fn handle_timeout(&mut self, now: Now, out: &mut Vec<Output>) {
        self.hurry(now, out);
        self.yield_again(now);
    }

    fn next_timeout(&self) -> Option<Instant> {
        let asked = self.asked.values().filter_map(|(_, asked)| *asked);
        let asked = asked.map(|at| at + self.limits.patience);
        asked.chain(self.next_hurry()).chain(self.retry).min()
    }
}

#[cfg(test)]
mod tests;
