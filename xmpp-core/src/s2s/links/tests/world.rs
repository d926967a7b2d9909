//! A world of servers around the link manager, from a seed: connections that fail and are lost, pairs that are refused, peers
//! that acknowledge and resume or do not. It knows what has become of each stanza.
//!
//! A stream is modelled by what the manager sees of it. A peer has a stanza when it has handled it; without XEP-0198 that is when it is
//! written.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::{domain, limits};
use crate::machine::Machine as _;
use crate::mailbox::{Budget, Envelope};
use crate::s2s::links::{Ended, Input, LinkId, Links, Output};
use crate::s2s::{self, Ask, Claim, Found, Pair, Refusal, Sent, Session, Verdict, Verify};
use crate::server::Random;
use crate::stanza::{Condition, Stanza};
use crate::stream;
use crate::time::Now;

mod conn;

use conn::Conn;

const OURS: [&str; 2] = ["a.example", "b.example"];
const THEIRS: [&str; 4] = ["w.example", "x.example", "y.example", "z.example"];

/// What is done wrong on purpose, so that it is seen that the world would notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Of what a link is handed, one in a hundred is not.
    DropsOne,
    /// Two that a link is handed at once change places.
    Swaps,
    /// What a link has not written does not come back.
    ForgetsReturned,
    /// What comes back does so in the wrong order.
    ReturnsBackwards,
    /// A stanza comes back and is sent as well.
    Doubles,
    /// What is unacknowledged is dropped when the session is over.
    DropsSession,
}

#[derive(Clone, Debug)]
pub(super) struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// For the manager: it has chance of its own, and the same each time.
struct Chance(std::sync::Mutex<Rng>);

impl Random for Chance {
    fn fill(&self, bytes: &mut [u8]) {
        let mut rng = self.0.lock().unwrap();
        bytes.fill_with(|| rng.next() as u8);
    }
}

/// Another server.
#[derive(Clone, Debug)]
struct Peer {
    reachable: bool,
    found: bool,
    refuses: bool,
    /// It says that it does not know the domain.
    disowns: bool,
    multiplexes: bool,
    /// It has XEP-0198 with resumption.
    manages: bool,
    /// How many it has handled, by session.
    handled: BTreeMap<Arc<str>, u32>,
    /// Its own sessions with us that have lost their connection.
    lost: Vec<Arc<str>>,
}

impl Peer {
    fn is_well(&mut self) {
        (self.reachable, self.found) = (true, true);
        (self.refuses, self.disowns) = (false, false);
    }
}

/// What has become of a stanza.
#[derive(Clone, Debug, Default)]
struct Fate {
    delivered: usize,
    returned: usize,
    /// A session has ended of which nobody knows how far it came.
    unknown: bool,
}

pub(super) struct World {
    pub(super) links: Links,
    pub(super) budget: Arc<Budget>,
    now: Now,
    rng: Rng,
    peers: Vec<Peer>,
    conns: BTreeMap<LinkId, Conn>,
    accepted: u64,
    sessions: u64,
    sent: BTreeMap<Pair, u32>,
    fates: BTreeMap<(Pair, u32), Fate>,
    last: BTreeMap<Pair, u32>,
    asked: Vec<(LinkId, Verify)>,
    fault: Option<Fault>,
    calm: bool,
    /// What is wrong.
    pub(super) wrong: Vec<String>,
    pub(super) log: Vec<String>,
    pub(super) resumed: usize,
}

impl World {
    pub(super) fn new(seed: u64, fault: Option<Fault>) -> World {
        let mut rng = Rng(seed);
        let budget = Arc::new(Budget::new(1 << 20));
        let random = Arc::new(Chance(std::sync::Mutex::new(Rng(seed ^ 1))));
        let peers = (0..THEIRS.len())
            .map(|_| Peer {
                reachable: true,
                found: true,
                refuses: false,
                disowns: false,
                multiplexes: !rng.one_in(4),
                manages: !rng.one_in(3),
                handled: BTreeMap::new(),
                lost: Vec::new(),
            })
            .collect();
        World {
            links: Links::new(limits(), random, budget.clone()),
            budget,
            now: crate::s2s::testing::now(),
            rng,
            peers,
            conns: BTreeMap::new(),
            accepted: 0,
            sessions: 0,
            sent: BTreeMap::new(),
            fates: BTreeMap::new(),
            last: BTreeMap::new(),
            asked: Vec::new(),
            fault,
            calm: false,
            wrong: Vec::new(),
            log: Vec::new(),
            resumed: 0,
        }
    }

    /// Faults and then peace, in which everything has to come to its end.
    pub(super) fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            self.step();
        }
        self.calm = true;
        for peer in &mut self.peers {
            peer.is_well();
        }
        for _ in 0..600 {
            self.pass(Duration::from_secs(2));
            let ids: Vec<_> = self.conns.keys().copied().collect();
            for id in ids {
                self.progress(id);
            }
        }
        self.judge();
    }

    fn judge(&mut self) {
        let waiting = self.links.counts().stanzas;
        if waiting > 0 {
            self.wrong
                .push(format!("{waiting} wait after twenty minutes of peace"));
        }
        for ((pair, n), fate) in &self.fates {
            let ends = fate.delivered + fate.returned;
            if ends == 0 {
                self.wrong
                    .push(format!("{pair:?} {n}: nothing has become of it"));
            }
            if ends > 1 && !fate.unknown {
                self.wrong.push(format!("{pair:?} {n}: {fate:?}"));
            }
        }
        for (by, verify) in &self.asked {
            self.wrong.push(format!("{verify:?} of {by} has no answer"));
        }
        // What is left when all connections are gone and time has passed is forgotten.
        let ids: Vec<_> = self.conns.keys().copied().collect();
        for id in ids {
            self.lose(id, false);
        }
        let ids: Vec<_> = self.conns.keys().copied().collect();
        for id in ids {
            self.lose(id, false);
        }
        for _ in 0..60 {
            self.pass(Duration::from_secs(60));
        }
        let links = &self.links;
        let left = [
            ("lines", links.lines.len()),
            ("domains", links.domains.len()),
            ("timers", links.timers.len()),
            ("remembered", links.remembered.len()),
            ("short", links.short.len()),
            ("held", links.held.len()),
            ("verifications", links.verifications.len()),
            ("bytes of the budget", self.budget.used()),
        ];
        for (what, count) in left {
            if count > 0 && self.conns.is_empty() {
                self.wrong.push(format!("{count} {what} left"));
            }
        }
    }

    fn step(&mut self) {
        match self.rng.below(20) {
            0..=6 => self.send(),
            7 => {
                let time = self.rng.below(8000) as u64;
                self.pass(Duration::from_millis(time));
            }
            8..=14 => {
                if let Some(id) = self.any() {
                    self.progress(id);
                }
            }
            15 => {
                if let Some(id) = self.any().filter(|_| self.rng.one_in(2)) {
                    let clean = self.rng.one_in(4);
                    self.lose(id, clean);
                }
            }
            16 => self.change_peer(),
            17 => self.incoming(),
            18 => self.ask_to_verify(),
            _ => {
                // The stream has ended and the connection is still there.
                if let Some(id) = self.any()
                    && let Some(conn) = self.conns.get_mut(&id)
                    && conn.open
                {
                    conn.closing = true;
                }
            }
        }
    }

    fn any(&mut self) -> Option<LinkId> {
        if self.conns.is_empty() {
            return None;
        }
        let at = self.rng.below(self.conns.len());
        self.conns.keys().nth(at).copied()
    }

    fn send(&mut self) {
        let from = OURS[self.rng.below(OURS.len())];
        let to = THEIRS[self.rng.below(THEIRS.len())];
        let pair = Pair::new(&domain(from), &domain(to));
        let n = self.sent.entry(pair.clone()).or_default();
        *n += 1;
        let body = "x".repeat(self.rng.below(400));
        let text = format!(
            "<message from='u@{from}/r' to='v@{to}' id='{n}'><body>{body}</body></message>"
        );
        self.fates.insert((pair, *n), Fate::default());
        let stanza = Stanza::parse(&text).unwrap();
        self.give(Input::Send(stanza.into()));
    }

    fn change_peer(&mut self) {
        let at = self.rng.below(self.peers.len());
        let what = self.rng.below(7);
        let peer = &mut self.peers[at];
        match what {
            0 => peer.reachable = false,
            1 => peer.found = false,
            2 => peer.refuses = true,
            // It has restarted.
            3 => peer.handled.clear(),
            4 => peer.disowns = true,
            _ => peer.is_well(),
        }
    }

    /// Lets time pass, with what is due meanwhile.
    fn pass(&mut self, time: Duration) {
        let end = self.now.instant + time;
        let mut turns = 0;
        while let Some(due) = self.links.next_timeout().filter(|due| *due <= end) {
            self.now.instant = self.now.instant.max(due);
            let mut out = Vec::new();
            self.links.handle_timeout(self.now, &mut out);
            self.perform(out);
            turns += 1;
            assert!(turns < 10_000, "a time-out that does not go away");
        }
        self.now.instant = end;
    }

    fn give(&mut self, input: Input) {
        if self.log.len() < 100_000 {
            self.log.push(format!("> {}", super::shown_input(&input)));
        }
        let mut out = Vec::new();
        self.links.handle(input, self.now, &mut out);
        self.perform(out);
    }

    fn perform(&mut self, mut out: Vec<Output>) {
        let is_send = |output: &Output| matches!(output, Output::Stream(_, stream::Input::Send(_)));
        if self.fault == Some(Fault::Swaps)
            && let Some(at) = out.windows(2).position(|two| two.iter().all(is_send))
        {
            out.swap(at, at + 1);
        }
        for output in out {
            self.log.push(format!("  < {}", super::shown(&output)));
            if let Output::Return(envelope, _) | Output::Stream(_, stream::Input::Send(envelope)) =
                &output
                && envelope
                    .stanza
                    .payload()
                    .children()
                    .any(|child| child.name() == "delay")
                && let Some(fate) = self.fates.get_mut(&number(envelope))
            {
                // It was sent by a session that is over.
                fate.unknown = true;
            }
            match output {
                Output::Dial(id, pair) => {
                    let peer = peer_of(&pair);
                    self.conns.insert(id, Conn::new(peer, false));
                }
                Output::Stream(id, input) => self.stream(id, input),
                Output::Return(envelope, _) => {
                    if self.fault == Some(Fault::Doubles) && self.rng.one_in(20) {
                        self.deliver(&envelope);
                    }
                    if let Some(fate) = self.fates.get_mut(&number(&envelope)) {
                        fate.returned += 1;
                    }
                }
                Output::Event(s2s::links::LinkEvent::Up { resumed: true, .. }) => self.resumed += 1,
                Output::Event(_) => {}
            }
        }
    }

    fn deliver(&mut self, envelope: &Envelope) {
        self.arrived(number(envelope));
    }

    fn arrived(&mut self, (pair, n): (Pair, u32)) {
        self.log.push(format!("    {pair:?} {n} arrives"));
        let Some(fate) = self.fates.get_mut(&(pair.clone(), n)) else {
            return;
        };
        fate.delivered += 1;
        if fate.delivered > 1 {
            return;
        }
        let last = self.last.entry(pair.clone()).or_default();
        if n < *last {
            self.wrong
                .push(format!("{pair:?}: {n} arrives after {last}"));
        }
        *last = n;
    }

    fn ask_to_verify(&mut self) {
        let Some((id, conn)) = self
            .conns
            .iter()
            .find(|(id, conn)| matches!(id, LinkId::In(_)) && conn.open && !conn.closing)
        else {
            return;
        };
        let id = *id;
        let pair = Pair::new(&domain(THEIRS[conn.peer]), &domain(OURS[0]));
        let verify = Verify {
            pair,
            id: format!("{id}"),
            key: format!("{}", self.rng.next()),
        };
        self.asked.push((id, verify.clone()));
        self.give(Input::Stream(id, s2s::Output::Ask(Ask::Verify(verify))));
    }
}

fn peer_of(pair: &Pair) -> usize {
    let at = THEIRS.iter().position(|name| *name == pair.to().as_str());
    at.unwrap_or_default()
}

fn number(envelope: &Envelope) -> (Pair, u32) {
    let stanza = &envelope.stanza;
    let (from, to) = (stanza.from().unwrap(), stanza.to().unwrap());
    let n = stanza.id().unwrap().parse().unwrap();
    (Pair::new(&from.to_bare(), &to.to_bare()), n)
}
