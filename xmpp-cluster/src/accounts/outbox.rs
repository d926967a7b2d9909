//! Who is owed what of a journal: a machine.
//!
//! Nodes that meet say which journal they keep, and how far they have the journals of others. From there on each is sent what is behind that,
//! page by page; the next one when the one before is kept over there. A page that nobody has spoken of for [`PATIENCE`] is sent again.
//!
//! | input | what follows |
//! |---|---|
//! | [`up`](Outbox::up), [`reset`](Outbox::reset) | `Hello` |
//! | [`hello`](Outbox::hello) | `Read` behind what they have, unless they keep the same journal |
//! | [`read`](Outbox::read) | `Batch`, if there was anything |
//! | [`batch`](Outbox::batch) | `Take`, one at a time of each node |
//! | [`taken`](Outbox::taken) | `Have` |
//! | [`have`](Outbox::have) | the next `Read` |
//! | [`changed`](Outbox::changed) | `Read` for those who have all |

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use xmpp_core::store::Record;

use crate::frame::journal::{Batch, Have, Hello};
use crate::node::{Life, NodeId};

/// Records of one page, at most.
pub const PAGE: usize = 256;

/// Bytes of a page: no more records go behind those that have as much.
pub const OCTETS: usize = 64 << 10;

/// For how long an answer is waited for.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What the driver does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Output {
    /// Tell this node what this one has.
    Hello(Life),
    /// Read what is behind this number, and say so by [`Outbox::read`].
    Read(Life, u64),
    Batch(Life, Batch),
    /// Take it, and say so by [`Outbox::taken`].
    Take(Life, Batch),
    /// Tell this node how far its journal is here.
    Have(Life, Have),
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    log: u64,
    last: u64,
    peers: BTreeMap<NodeId, Peer>,
}

#[derive(Debug)]
struct Peer {
    life: Life,
    /// Since it has said so.
    log: Option<u64>,
    /// How far it has this journal.
    have: u64,
    stage: Stage,
    /// Something it has brought is being taken.
    taking: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing is under way.
    Idle,
    Reading,
    /// Up to this number, since then.
    Sent(u64, Instant),
}

impl Outbox {
    /// Of a journal that is at this number.
    pub(super) fn new(log: u64, last: u64) -> Outbox {
        let peers = BTreeMap::new();
        Outbox { log, last, peers }
    }

    pub(super) fn up(&mut self, life: &Life, out: &mut Vec<Output>) {
        let peer = Peer {
            life: life.clone(),
            log: None,
            have: 0,
            stage: Stage::Idle,
            taking: false,
        };
        self.peers.insert(life.node.clone(), peer);
        out.push(Output::Hello(life.clone()));
    }

    pub(super) fn down(&mut self, life: &Life) {
        let same = |peer: &Peer| peer.life == *life;
        if self.peers.get(&life.node).is_some_and(same) {
            self.peers.remove(&life.node);
        }
    }

    /// What was under way may be lost.
    pub(super) fn reset(&mut self, life: &Life, out: &mut Vec<Output>) {
        if let Some(peer) = self.peer(life) {
            if let Stage::Sent(..) = peer.stage {
                peer.stage = Stage::Idle;
            }
            out.push(Output::Hello(life.clone()));
            self.next(life, out);
        }
    }

    /// What a node has. True if it has more of this journal than there is: its numbers have gone back, and it needs another name ([`Outbox::renamed`]).
    pub(super) fn hello(&mut self, life: &Life, hello: &Hello, out: &mut Vec<Output>) -> bool {
        let (log, last) = (self.log, self.last);
        let Some(peer) = self.peer(life) else {
            return false;
        };
        let mine = hello.heads.iter().find(|head| head.0 == log);
        let have = mine.map_or(0, |head| head.1);
        peer.log = Some(hello.log);
        peer.have = have;
        if let Stage::Sent(..) = peer.stage {
            peer.stage = Stage::Idle;
        }
        if have > last && hello.log != log {
            return true;
        }
        self.next(life, out);
        false
    }

    /// The journal is called otherwise: nobody has anything of it.
    pub(super) fn renamed(&mut self, log: u64, out: &mut Vec<Output>) {
        self.log = log;
        for peer in self.peers.values_mut() {
            (peer.log, peer.have, peer.stage) = (None, 0, Stage::Idle);
            out.push(Output::Hello(peer.life.clone()));
        }
    }

    pub(super) fn changed(&mut self, last: u64, out: &mut Vec<Output>) {
        self.last = self.last.max(last);
        let lives: Vec<Life> = self.peers.values().map(|peer| peer.life.clone()).collect();
        for life in lives {
            self.next(&life, out);
        }
    }

    /// Whether there is more than it has been told of.
    pub(super) fn is_behind(&self, last: u64) -> bool {
        self.last < last
    }

    /// What is behind a number; `None` if it could not be read.
    pub(super) fn read(
        &mut self,
        life: &Life,
        after: u64,
        records: Option<Vec<Record>>,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        let log = self.log;
        let Some(peer) = self.peer(life) else {
            return;
        };
        if peer.stage != Stage::Reading {
            return;
        }
        peer.stage = Stage::Idle;
        let Some(mut records) = records else {
            // Read again when it is time.
            peer.stage = Stage::Sent(after, now);
            return;
        };
        // Another page is wanted since.
        if after != peer.have {
            return self.next(life, out);
        }
        let Some(last) = records.last().map(|record| record.number) else {
            return;
        };
        // What has come from there as it is.
        records.retain(|record| Some(record.source) != peer.log);
        peer.stage = Stage::Sent(last, now);
        let batch = Batch {
            log,
            after,
            last,
            records,
        };
        out.push(Output::Batch(life.clone(), batch));
    }

    pub(super) fn have(&mut self, life: &Life, have: &Have, out: &mut Vec<Output>) {
        let (log, last) = (self.log, self.last);
        let Some(peer) = self.peer(life) else {
            return;
        };
        // What is not there yet cannot have arrived.
        if have.log != log || have.number > last {
            return;
        }
        peer.have = peer.have.max(have.number);
        if let Stage::Sent(sent, _) = peer.stage
            && sent <= peer.have
        {
            peer.stage = Stage::Idle;
        }
        self.next(life, out);
    }

    /// A page has come; `head` is how far that journal is here.
    pub(super) fn batch(&mut self, life: &Life, batch: Batch, head: u64, out: &mut Vec<Output>) {
        let Some(peer) = self.peer(life) else {
            return;
        };
        // Whoever has sent more than one sends it again.
        if peer.taking {
            return;
        }
        if batch.after > head || batch.last <= head {
            let (log, number) = (batch.log, head);
            return out.push(Output::Have(life.clone(), Have { log, number }));
        }
        peer.taking = true;
        out.push(Output::Take(life.clone(), batch));
    }

    /// It was taken, up to there; `None` if not, and it has to come again.
    pub(super) fn taken(
        &mut self,
        life: &Life,
        log: u64,
        head: Option<u64>,
        out: &mut Vec<Output>,
    ) {
        let Some(peer) = self.peer(life) else {
            return;
        };
        peer.taking = false;
        if let Some(number) = head {
            out.push(Output::Have(life.clone(), Have { log, number }));
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, out: &mut Vec<Output>) {
        let mut late = Vec::new();
        for peer in self.peers.values_mut() {
            if matches!(peer.stage, Stage::Sent(_, at) if at + PATIENCE <= now) {
                peer.stage = Stage::Idle;
                late.push(peer.life.clone());
            }
        }
        for life in late {
            self.next(&life, out);
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let until = |peer: &Peer| match peer.stage {
            Stage::Sent(_, at) => Some(at + PATIENCE),
            _ => None,
        };
        self.peers.values().filter_map(until).min()
    }

    fn peer(&mut self, life: &Life) -> Option<&mut Peer> {
        self.peers
            .get_mut(&life.node)
            .filter(|peer| peer.life == *life)
    }

    fn next(&mut self, life: &Life, out: &mut Vec<Output>) {
        let (log, last) = (self.log, self.last);
        let Some(peer) = self.peer(life) else {
            return;
        };
        let other = peer.log.is_some_and(|other| other != log);
        if other && peer.stage == Stage::Idle && peer.have < last {
            peer.stage = Stage::Reading;
            out.push(Output::Read(life.clone(), peer.have));
        }
    }
}
