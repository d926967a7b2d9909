//! Nodes of one domain (`xmpp-cluster`): every seed is a few of them, between which ways are cut in one direction or both, that die and begin anew, are held up
//! or put to sleep, and whose clocks differ. They bind and free addresses, and send each other parcels.
//!
//! Nothing but what the machines are given and what they say goes into the [record](Record). In the end all is healed and quiet, and each sends each
//! one parcel more. The [invariants](crate::invariants) judge:
//!
//! * all know the same of who is bound where;
//! * a parcel is delivered once at most, in its order, and to the life that it was for; and each is delivered or given up;
//! * nobody is held to be down whom there is a way to; and who was held up hears so before anything else.

mod fault;
mod plan;
mod record;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::{Duration, Instant};

use bytes::Bytes;
use xmpp_cluster::cluster::{Event, Input, Limits, Node, Output, SendError};
use xmpp_cluster::frame::{End, Entry, Parcel, VERSIONS};
use xmpp_cluster::membership::Why;
use xmpp_cluster::node::{Incarnation, Life, NodeId, NodeInfo};
use xmpp_cluster::transport::Class;
use xmpp_core::FullJid;
use xmpp_core::machine::Machine as _;
use xmpp_core::session::SessionId;
use xmpp_core::time::{Now, Timestamp};

use crate::rng::Rng;

pub use fault::Fault;
pub use plan::{Deed, Plan};
pub use record::{Record, Sent, View};

/// After this long all that was broken is whole.
const REST: Duration = Duration::from_secs(40);

/// A way that has been there for so long is known.
const KNOWN: Duration = Duration::from_secs(8);

/// Frames that an engine has for a node which does not take them.
const EVENTS: usize = 4096;

/// The addresses that are bound, each at any node.
const ADDRESSES: usize = 12;

/// The world of a seed, with a planted fault or without.
pub fn simulate(seed: u64, fault: Option<Fault>) -> Record {
    let mut rng = Rng::new(seed);
    let plan = Plan::new(&mut rng);
    let mut world = World::new(seed, plan, rng, fault);
    world.day();
    world.record
}

struct World {
    fault: Option<Fault>,
    rng: Rng,
    seats: Vec<Seat>,
    /// The moment at which it begins.
    origin: Instant,
    time: Duration,
    wires: BinaryHeap<Reverse<Wire>>,
    /// When the last frame of a class arrives that one has sent another: none overtakes it.
    last: BTreeMap<(usize, usize, Class), Duration>,
    cut: BTreeSet<(usize, usize)>,
    /// One frame in so many is lost, as long as that is so.
    loss: Option<u64>,
    /// Since when two can hear each other, and nothing is the matter with either.
    whole: BTreeMap<(usize, usize), Duration>,
    count: u64,
    record: Record,
}

/// A machine on which a node runs.
struct Seat {
    id: NodeId,
    node: Option<Node>,
    /// Of its last life.
    incarnation: Option<Incarnation>,
    /// Milliseconds by which its clock is wrong.
    skew: i64,
    /// How long its steady clock has stood still.
    lag: Duration,
    /// Until when it does nothing, and since when.
    frozen: Option<(Duration, Duration)>,
    inbox: Vec<(usize, Bytes)>,
    /// It has been held up for longer than others wait, and has not said so yet.
    owes_warning: bool,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Wire {
    at: Duration,
    n: u64,
    from: usize,
    to: usize,
    frame: Bytes,
}

impl World {
    #[allow(clippy::disallowed_methods)] // an origin, from which on time is virtual
    fn new(seed: u64, plan: Plan, rng: Rng, fault: Option<Fault>) -> World {
        let seat = |(n, skew): (usize, &i64)| Seat {
            id: format!("n{n}").parse().expect("it is a name"),
            node: None,
            incarnation: None,
            skew: *skew,
            lag: Duration::ZERO,
            frozen: None,
            inbox: Vec::new(),
            owes_warning: false,
        };
        let seats: Vec<Seat> = plan.skews.iter().enumerate().map(seat).collect();
        let mut world = World {
            fault,
            rng,
            origin: Instant::now() + Duration::from_secs(3600),
            time: Duration::ZERO,
            wires: BinaryHeap::new(),
            last: BTreeMap::new(),
            cut: BTreeSet::new(),
            loss: None,
            whole: BTreeMap::new(),
            count: 0,
            record: Record::new(seed, plan),
            seats,
        };
        for n in 0..world.seats.len() {
            world.start(n);
        }
        world
    }

    fn day(&mut self) {
        for (pause, deed) in self.record.plan.deeds.clone() {
            self.pass(pause);
            self.happen(deed);
        }
        self.happen(Deed::Heal);
        self.happen(Deed::Loss(None));
        self.note("all is healed".into());
        self.pass(REST);
        let all = 0..self.seats.len();
        for n in all.clone() {
            self.happen(Deed::Bind(n, n));
            for to in all.clone() {
                self.happen(Deed::Send(n, to));
            }
        }
        self.pass(Duration::from_secs(20));
        for n in all {
            if let Some(node) = &self.seats[n].node {
                let view = view(node, &self.seats);
                self.record.views.push(view);
            }
        }
    }

    fn happen(&mut self, deed: Deed) {
        self.note(format!("{deed:?}"));
        match deed {
            Deed::Cut(one, other) => {
                self.cut.insert((one, other));
                self.spoil(one, Some(other));
            }
            Deed::Heal => {
                self.cut.clear();
                self.settle();
            }
            Deed::Loss(rate) => {
                self.loss = rate;
                self.whole.clear();
                self.settle();
            }
            Deed::Kill(n) => {
                self.seats[n].node = None;
                self.seats[n].inbox.clear();
                self.seats[n].frozen = None;
                self.spoil(n, None);
            }
            Deed::Leave(n) => {
                self.input(n, Input::Leave);
                self.happen(Deed::Kill(n));
            }
            Deed::Start(n) => {
                // One that has not been missed is another life all the same.
                self.happen(Deed::Kill(n));
                self.start(n);
            }
            Deed::Freeze(n, time) | Deed::Sleep(n, time) => {
                if self.seats[n].node.is_none() || self.seats[n].frozen.is_some() {
                    return;
                }
                if matches!(deed, Deed::Sleep(..)) {
                    self.seats[n].lag += time;
                }
                self.seats[n].frozen = Some((self.time, self.time + time));
                self.spoil(n, None);
            }
            Deed::Bind(n, address) => self.bind(n, address),
            Deed::Free(n, address) => {
                let jid = address_of(address);
                if let Some(node) = self.awake(n)
                    && let Some(entry) = node.table().entry(&node.me().life.node, &jid)
                {
                    let session = entry.session;
                    node.remove(&jid, session);
                    self.input(n, Input::Flush);
                }
            }
            Deed::Send(n, to) => self.send(n, to),
        }
    }

    fn start(&mut self, n: usize) {
        let now = self.now(n);
        let seat = &mut self.seats[n];
        let incarnation = Incarnation::begin(now.utc, seat.incarnation);
        seat.incarnation = Some(incarnation);
        seat.owes_warning = false;
        let info = NodeInfo {
            life: Life {
                node: seat.id.clone(),
                incarnation,
            },
            site: "home".parse().expect("it is a name"),
            versions: VERSIONS,
        };
        seat.node = Some(Node::new(info, Limits::default()));
        self.timer(n);
        self.settle();
    }

    fn bind(&mut self, n: usize, address: usize) {
        self.count += 1;
        let entry = Entry {
            jid: address_of(address),
            session: SessionId {
                run: n as u64,
                n: self.count,
            },
            since: Timestamp(0),
            generation: 0,
            resumable: None,
            priority: Some((self.count % 100) as i8),
            presence: None,
            interested: false,
            carbons: false,
            block_list: false,
        };
        if let Some(node) = self.awake(n) {
            node.put(entry);
            self.input(n, Input::Flush);
        }
    }

    fn send(&mut self, n: usize, to: usize) {
        let number = self.record.sent.len() as u64;
        let at = self.time;
        let Some(incarnation) = self.seats[to].incarnation else {
            return;
        };
        let to = Life {
            node: self.seats[to].id.clone(),
            incarnation,
        };
        let Some(node) = self.awake(n) else {
            return;
        };
        let from = node.me().life.clone();
        match node.send(&to, &parcel(number)) {
            Ok(()) => {
                self.record.sent.push(Sent { from, to, at });
                self.input(n, Input::Flush);
            }
            Err(SendError::Down) => {}
            Err(error) => self.note(format!("    {from} cannot send: {error}")),
        }
    }

    fn awake(&mut self, n: usize) -> Option<&mut Node> {
        let seat = &mut self.seats[n];
        seat.node.as_mut().filter(|_| seat.frozen.is_none())
    }

    // --- time ---

    fn now(&self, n: usize) -> Now {
        let seat = &self.seats[n];
        let ms = i64::try_from(self.time.as_millis()).unwrap_or(i64::MAX);
        Now {
            instant: self.origin + self.time - seat.lag,
            utc: Timestamp(1_700_000_000_000 + seat.skew + ms),
        }
    }

    /// Time passes; whatever is due meanwhile happens when it is.
    fn pass(&mut self, time: Duration) {
        let end = self.time + time;
        loop {
            let due = |(n, seat): (usize, &Seat)| {
                if let Some((_, until)) = seat.frozen {
                    return Some((until, n));
                }
                let at = seat.node.as_ref()?.next_timeout()?;
                let at = (at + seat.lag).saturating_duration_since(self.origin);
                Some((at.max(self.time), n))
            };
            let timer = self.seats.iter().enumerate().filter_map(due).min();
            let wire = self.wires.peek().map(|Reverse(wire)| wire.at);
            let next = timer.map(|(at, _)| at).into_iter().chain(wire).min();
            let Some(next) = next.filter(|at| *at <= end) else {
                break;
            };
            self.time = next;
            match timer {
                Some((at, n)) if at == next => self.timeout(n),
                _ => {
                    if let Some(Reverse(wire)) = self.wires.pop() {
                        self.arrive(wire);
                    }
                }
            }
        }
        self.time = end;
    }

    fn timeout(&mut self, n: usize) {
        if let Some((since, _)) = self.seats[n].frozen.take() {
            // It cannot tell what has come before it looked at the clock from what comes now.
            let late = self.time - since >= Limits::default().timers.dead;
            self.seats[n].owes_warning = late;
            self.settle();
            if self.rng.one_in(2) {
                self.timer(n);
            }
            for (from, frame) in std::mem::take(&mut self.seats[n].inbox) {
                let from = self.seats[from].id.clone();
                self.handle(n, Input::Frame(from, frame));
            }
            self.handle(n, Input::Flush);
            return;
        }
        self.timer(n);
        self.handle(n, Input::Flush);
    }

    fn timer(&mut self, n: usize) {
        let (now, mut out) = (self.now(n), Vec::new());
        if let Some(node) = &mut self.seats[n].node {
            node.handle_timeout(now, &mut out);
        }
        self.perform(n, out);
    }

    /// What is only for one who is awake.
    fn input(&mut self, n: usize, input: Input) {
        if self.awake(n).is_some() {
            self.handle(n, input);
        }
    }

    fn handle(&mut self, n: usize, input: Input) {
        let (now, mut out) = (self.now(n), Vec::new());
        if let Some(node) = &mut self.seats[n].node {
            node.handle(input, now, &mut out);
        }
        self.perform(n, out);
    }

    // --- the net ---

    fn perform(&mut self, n: usize, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Send(to, class, frame) => {
                    let to = self.seats.iter().position(|seat| seat.id == to);
                    if let Some(to) = to {
                        self.carry(n, to, class, frame);
                    }
                }
                Output::Publish(frame) => {
                    for to in (0..self.seats.len()).filter(|to| *to != n) {
                        self.carry(n, to, Class::Control, frame.clone());
                    }
                }
                Output::Event(event) => self.event(n, event),
                _ => {}
            }
        }
    }

    fn carry(&mut self, from: usize, to: usize, class: Class, frame: Bytes) {
        let lost = self.loss.is_some_and(|rate| self.rng.one_in(rate));
        if lost || self.cut.contains(&(from, to)) {
            return;
        }
        let Some(frame) = self.tamper(from, frame) else {
            return;
        };
        let takes = match self.rng.one_in(20) {
            true => self.rng.between(1..=400),
            false => self.rng.between(1..=20),
        };
        let last = self.last.entry((from, to, class)).or_default();
        let at = (self.time + Duration::from_millis(takes)).max(*last);
        *last = at;
        self.count += 1;
        let n = self.count;
        self.wires.push(Reverse(Wire {
            at,
            n,
            from,
            to,
            frame,
        }));
    }

    fn arrive(&mut self, wire: Wire) {
        let Wire {
            from, to, frame, ..
        } = wire;
        let seat = &mut self.seats[to];
        if seat.frozen.is_some() {
            if seat.inbox.len() < EVENTS {
                seat.inbox.push((from, frame));
            }
            return;
        }
        let from = self.seats[from].id.clone();
        self.handle(to, Input::Frame(from, frame));
        self.handle(to, Input::Flush);
    }

    /// Something is the matter with one, or with the way between two.
    fn spoil(&mut self, one: usize, other: Option<usize>) {
        self.whole.retain(|(a, b), _| match other {
            Some(other) => (*a, *b) != (one.min(other), one.max(other)),
            None => *a != one && *b != one,
        });
    }

    /// Notes between whom all is well from now on.
    fn settle(&mut self) {
        let fine = |n: usize| self.seats[n].node.is_some() && self.seats[n].frozen.is_none();
        for a in 0..self.seats.len() {
            for b in a + 1..self.seats.len() {
                let cut = self.cut.contains(&(a, b)) || self.cut.contains(&(b, a));
                if fine(a) && fine(b) && !cut && self.loss.is_none() {
                    self.whole.entry((a, b)).or_insert(self.time);
                }
            }
        }
    }

    /// Whether there is a way between two, and has been for long enough.
    fn has_way(&self, a: usize, b: usize) -> bool {
        let whole = |a: usize, b: usize| {
            let since = self.whole.get(&(a.min(b), a.max(b)));
            since.is_some_and(|since| *since + KNOWN <= self.time)
        };
        let others = 0..self.seats.len();
        whole(a, b) || others.into_iter().any(|c| whole(a, c) && whole(c, b))
    }

    // --- what is said ---

    fn event(&mut self, n: usize, event: Event) {
        if self.hushed(&event) {
            return;
        }
        let Some(me) = self.seats[n]
            .node
            .as_ref()
            .map(|node| node.me().life.clone())
        else {
            return;
        };
        let late = matches!(event, Event::HeldUp(_));
        if std::mem::take(&mut self.seats[n].owes_warning) && !late {
            self.record
                .unwarned
                .push((self.time, format!("{me}: {event:?}")));
        }
        match &event {
            Event::Parcel(from, Parcel::End(end)) => {
                let from = from.clone();
                let to = me.clone();
                self.record.delivered.push((end.session.n, from, to));
                return;
            }
            Event::GivenUp(to, parcels) => {
                for parcel in parcels {
                    if let Parcel::End(end) = parcel {
                        let number = end.session.n;
                        self.record.given_up.push((number, me.clone(), to.clone()));
                    }
                }
            }
            Event::Down(life, Why::Silent) => {
                let other = self.seats.iter().position(|seat| seat.id == life.node);
                if other.is_some_and(|other| self.has_way(n, other)) {
                    let line = format!("{me} holds {life} to be down");
                    self.record.needless.push((self.time, line));
                }
            }
            Event::Put(..) | Event::Removed(..) | Event::Lost(..) => return,
            _ => {}
        }
        self.note(format!("    {me}: {event:?}"));
    }

    fn note(&mut self, line: String) {
        self.record.trace.push((self.time, line));
    }
}

fn address_of(n: usize) -> FullJid {
    let n = n % ADDRESSES;
    let address = format!("p{}@example.org/r{}", n / 2, n % 2);
    FullJid::new(&address).expect("it is an address")
}

fn parcel(number: u64) -> Parcel {
    Parcel::End(End {
        jid: address_of(0),
        session: SessionId { run: 0, n: number },
    })
}

/// What one knows at the end.
fn view(node: &Node, seats: &[Seat]) -> View {
    let table = node.table();
    let slice = |id: &NodeId| {
        let all = (0..ADDRESSES).map(address_of);
        let entries = all.filter_map(|jid| table.entry(id, &jid));
        entries.map(|entry| format!("{entry:?}")).collect()
    };
    View {
        life: node.me().life.clone(),
        up: node.up().cloned().collect(),
        slices: seats
            .iter()
            .map(|seat| (seat.id.clone(), slice(&seat.id)))
            .collect(),
    }
}
