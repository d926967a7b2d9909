//! Rooms on several servers that are one (XEP-0289): every seed is a tree of them, with people in it who talk, and with ways between them that are cut.
//!
//! Nothing but what anybody could see goes into the [record](Record): what people do, what their clients are told, and what goes from one room to
//! another. In the end all is healed and quiet, everybody says one more thing, and goes. The [invariants](crate::invariants) judge:
//!
//! * nobody is told anything twice, or before what it answers;
//! * whatever was cut, in the end all see the same people, in the same way, and have heard everything;
//! * nobody speaks for somebody else; what rooms tell each other is told to no client, and to no room that nobody is in.

mod clients;
mod deeds;
mod fault;
mod plan;
mod record;
mod server;
mod store;
mod wires;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use xmpp_core::machine::Machine as _;
use xmpp_core::stanza::Stanza;
use xmpp_core::time::{Now, Timestamp};
use xmpp_core::xml::ns::CLIENT;
use xmpp_core::{BareJid, Jid};
use xmpp_muc_federated::fmuc::{Input, LinkState, Node, Output};

use crate::rng::Rng;

pub use fault::Fault;
pub use plan::{Deed, NICKS, Person, Plan, ROOMS};
pub use record::{Record, Roster, Said, Stay, Told};

use store::Store;
use wires::{Fate, Happening, Wires};

/// After this long all that was broken has come to rest: longer than a room waits at most before it tries once more.
const REST: Duration = Duration::from_secs(40 * 60);

/// A room that nobody has been in for so long is not told anything.
const EMPTY: Duration = Duration::from_secs(20 * 60);

/// What a room and one that has been left unheard have to say to each other.
const UNHEARD: &[&str] = &["<rejoin ", "<leave ", "<left "];

/// The most stanzas that are on their way at one time.
const UNDERWAY: usize = 4000;

/// The world of a seed, with a planted fault or without.
pub fn simulate(seed: u64, fault: Option<Fault>) -> Record {
    let mut rng = Rng::new(seed);
    let plan = Plan::new(&mut rng);
    live(seed, plan, fault)
}

/// A world in which this happens.
pub fn live(seed: u64, plan: Plan, fault: Option<Fault>) -> Record {
    let mut world = World::new(seed, plan, fault);
    world.day();
    world.record
}

struct World {
    fault: Option<Fault>,
    rng: Rng,
    nodes: Vec<Node>,
    wires: Wires,
    /// What servers begin again with, if it is kept.
    store: Option<Store>,
    /// The moment at which it begins.
    origin: std::time::Instant,
    time: Duration,
    record: Record,
    /// For each room since when nobody is in it or below it; `None` if somebody is.
    empty: Vec<Option<Duration>>,
    /// Rooms that the last one has left while the way to the one that they join was cut: what is yet to be said of it.
    unheard: BTreeMap<usize, &'static [&'static str]>,
    lives: u64,
    /// What is told after the next one, by a planted fault.
    shuffled: Option<((usize, usize), Stanza)>,
}

impl World {
    #[allow(clippy::disallowed_methods)] // an origin, from which on time is virtual
    fn new(seed: u64, plan: Plan, fault: Option<Fault>) -> World {
        let rooms = plan.parents.len();
        let mut world = World {
            fault,
            rng: Rng::new(seed ^ 0x5eed),
            nodes: Vec::new(),
            wires: Wires::new(&plan),
            store: plan.kept.then(|| Store::new(Fault::forgotten(fault))),
            origin: std::time::Instant::now(),
            time: Duration::ZERO,
            empty: vec![Some(Duration::ZERO); rooms],
            unheard: BTreeMap::new(),
            record: Record {
                seed,
                trace: Vec::new(),
                said: Vec::new(),
                stays: plan.people.iter().map(|_| Vec::new()).collect(),
                needless: Vec::new(),
                leaked: Vec::new(),
                swollen: Vec::new(),
                empties: Vec::new(),
                restarts: Vec::new(),
                missed: BTreeSet::new(),
                quiet: Duration::ZERO,
                restless: Vec::new(),
                people: (0..plan.people.len())
                    .map(|who| jid(&plan, who).to_string())
                    .collect(),
                plan,
            },
            lives: 0,
            shuffled: None,
        };
        for room in 0..rooms {
            let node = world.begin(room);
            world.nodes.push(node);
        }
        world
    }

    fn day(&mut self) {
        for (pause, deed) in self.record.plan.deeds.clone() {
            self.pass(pause);
            self.happen(deed);
        }
        for edge in 1..self.nodes.len() {
            self.heal(edge, [0, 0]);
        }
        self.pass(REST);
        self.record.quiet = self.time;
        self.note("all is healed".into());
        let people = self.record.plan.people.len();
        for who in 0..people {
            self.happen(Deed::Say(who));
        }
        self.pass(Duration::from_secs(300));
        for edge in 1..self.nodes.len() {
            let who = self.rng.below(people);
            self.happen(Deed::Forge(edge, who));
        }
        for who in 0..people {
            self.happen(Deed::Leave(who));
        }
        self.pass(REST);
        for room in 0..self.nodes.len() {
            let idle = self.nodes[room].is_idle();
            let timer = self.nodes[room].next_timeout();
            if !idle || timer.is_some() {
                let name = name(&self.record.plan, room);
                let timer = timer.map(|at| at.saturating_duration_since(self.origin));
                self.record
                    .restless
                    .push(format!("{name}: idle {idle}, timer {timer:?}"));
            }
        }
    }

    fn now(&self, room: usize) -> Now {
        let utc = 1_334_851_200_000 + self.record.plan.skews[room];
        Now {
            instant: self.origin + self.time,
            utc: Timestamp(utc + i64::try_from(self.time.as_millis()).unwrap_or(i64::MAX)),
        }
    }

    fn note(&mut self, line: String) {
        self.record.trace.push((self.time, line));
    }

    /// Time passes; whatever is due meanwhile happens when it is.
    fn pass(&mut self, time: Duration) {
        let end = self.time + time;
        loop {
            let timers = self.nodes.iter().enumerate().filter_map(|(room, node)| {
                let due = node.next_timeout()?.saturating_duration_since(self.origin);
                Some((due.max(self.time), room))
            });
            let timer = timers.min();
            let next = self.wires.next();
            let timer_first = match (timer, next) {
                (Some((due, _)), Some(next)) => due <= next,
                (timer, _) => timer.is_some(),
            };
            match timer {
                Some((due, room)) if timer_first => {
                    if due > end {
                        break;
                    }
                    self.time = due;
                    let (now, mut out) = (self.now(room), Vec::new());
                    self.nodes[room].handle_timeout(now, &mut out);
                    self.perform(room, out);
                }
                _ => {
                    let Some(due) = next.filter(|due| *due <= end) else {
                        break;
                    };
                    self.time = due;
                    if let Some(happening) = self.wires.take() {
                        self.arrive(happening);
                    }
                }
            }
        }
        self.time = end;
    }

    fn arrive(&mut self, happening: Happening) {
        match happening {
            Happening::Stanza { from, to, stanza } => {
                if number(&stanza).is_some() {
                    let lost = self.wires.unnoticed(from, to);
                    self.record.missed.extend(lost.map(|number| (to, number)));
                }
                self.handle(to, Input::Stanza(stanza));
            }
            Happening::Returned { from, stanza } => self.handle(from, Input::Returned(stanza)),
            Happening::Link { at, peer, state } => {
                let (mine, other) = (name(&self.record.plan, at), name(&self.record.plan, peer));
                self.note(format!("{mine} notices that {other} is {state:?}"));
                if state == LinkState::Down {
                    self.wires.noticed(at, peer);
                }
                let domain = BareJid::new(address(&self.record.plan, peer).domain());
                let domain = domain.expect("it is a domain");
                self.handle(at, Input::Link { domain, state });
            }
        }
    }

    fn handle(&mut self, room: usize, input: Input) {
        let (now, mut out) = (self.now(room), Vec::new());
        self.nodes[room].handle(input, now, &mut out);
        self.perform(room, out);
    }

    fn perform(&mut self, at: usize, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Send { peer, stanza, .. } => {
                    let rooms = 0..self.nodes.len();
                    let to = { rooms }.find(|room| address(&self.record.plan, *room) == peer);
                    if let Some(to) = to {
                        self.send(at, to, stanza);
                    }
                }
                Output::Notice(notice) => {
                    let name = name(&self.record.plan, at);
                    self.note(format!("    {name} of {}: {:?}", notice.peer, notice.what));
                }
                Output::Room(output) => self.perform_room(at, output),
                _ => {}
            }
        }
    }

    /// A stanza goes from one room to another.
    fn send(&mut self, from: usize, to: usize, stanza: Stanza) {
        let plan = &self.record.plan;
        let line = format!("    {} > {} {stanza}", name(plan, from), name(plan, to));
        let child = match plan.parents[from] == Some(to) {
            true => from,
            false => to,
        };
        let empty = self.empty[child].is_some_and(|since| self.time >= since + EMPTY);
        // Below it somebody may be thought to be there.
        let parents = &plan.parents;
        let below = plan.below(child).filter(|room| *room != child);
        let known = !{ below }.any(|room| {
            let above = parents[room];
            above.is_some_and(|above| self.wires.is_cut(room, above))
        });
        // That nobody is there the other one has not been told: it asks, once, and is told.
        let rest = self.unheard.get(&child).copied().unwrap_or_default();
        let next = rest
            .first()
            .is_some_and(|next| stanza.to_string().contains(next));
        if empty && known && !next {
            self.record.needless.push((self.time, line.clone()));
        }
        let Some(stanza) = self.tamper(from, to, stanza) else {
            return;
        };
        let fate = self.wires.send(from, to, stanza, self.time, &mut self.rng);
        if empty && next && fate == Fate::Goes {
            self.unheard.insert(child, &rest[1..]);
        }
        self.note(format!("{line}{fate}"));
        if self.wires.underway() > UNDERWAY {
            self.record
                .swollen
                .push((self.time, "stanzas on their way".into()));
            self.wires.drain();
        }
    }
}

/// The message in a stanza: its number in [`Record::said`].
fn number(stanza: &Stanza) -> Option<usize> {
    let body = stanza.payload().child("body", CLIENT)?;
    body.element().text().strip_prefix('m')?.parse().ok()
}

/// `a0.lit`
fn domain(plan: &Plan, room: usize) -> String {
    format!("{}{room}.lit", plan.letters[room])
}

/// `a0`
fn name(plan: &Plan, room: usize) -> String {
    format!("{}{room}", plan.letters[room])
}

fn address(plan: &Plan, room: usize) -> BareJid {
    let address = format!("{}@rooms.{}", plan.letters[room], domain(plan, room));
    BareJid::new(&address).expect("it is an address")
}

fn jid(plan: &Plan, who: usize) -> Jid {
    let address = format!("p{who}@{}/x", domain(plan, plan.people[who].room));
    Jid::new(&address).expect("it is an address")
}
