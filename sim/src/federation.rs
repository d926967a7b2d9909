//! Rooms on several servers that are one (XEP-0289): every seed is a tree of them, with people in it who talk, and with ways between them that are cut.
//!
//! Nothing but what anybody could see goes into the [record](Record): what people do, what their clients are told, and what goes from one room to
//! another. In the end all is healed and quiet, everybody says one more thing, and goes. The [invariants](crate::invariants) judge:
//!
//! * nobody is told anything twice, or before what it answers;
//! * whatever was cut, in the end all see the same people, in the same way, and have heard everything;
//! * nobody speaks for somebody else; what rooms tell each other is told to no client, and to no room that nobody is in.

mod fault;
mod plan;
mod record;
mod wires;

use std::sync::Arc;
use std::time::Duration;

use xmpp_core::machine::Machine as _;
use xmpp_core::stanza::{Kind, MessageType, PresenceType, Stanza};
use xmpp_core::time::{Now, Timestamp};
use xmpp_core::xml::{Element, ns::CLIENT};
use xmpp_core::{BareJid, Jid};
use xmpp_muc_federated::fmuc::{Accept, Federation, Input, LinkState, Node, Output};
use xmpp_muc_federated::room::{self, Config, Room, Whois};
use xmpp_muc_federated::{Limits, Settings, fmuc, ns};

use crate::rng::{Rng, SeededRandom};

pub use fault::Fault;
pub use plan::{Deed, NICKS, Person, Plan, ROOMS};
pub use record::{Record, Roster, Said, Stay, Told};

use wires::{Happening, Wires};

/// After this long all that was broken has come to rest: longer than a room waits at most before it tries once more.
const REST: Duration = Duration::from_secs(40 * 60);

/// A room that nobody has been in for so long is not told anything.
const EMPTY: Duration = Duration::from_secs(20 * 60);

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
    /// The moment at which it begins.
    origin: std::time::Instant,
    time: Duration,
    record: Record,
    /// For each room since when nobody is in it or below it; `None` if somebody is.
    empty: Vec<Option<Duration>>,
    lives: u64,
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
            origin: std::time::Instant::now(),
            time: Duration::ZERO,
            empty: vec![Some(Duration::ZERO); rooms],
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
                quiet: Duration::ZERO,
                restless: Vec::new(),
                people: (0..plan.people.len())
                    .map(|who| jid(&plan, who).to_string())
                    .collect(),
                plan,
            },
            lives: 0,
        };
        for room in 0..rooms {
            let node = world.node(room);
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

    /// A room in a new life.
    fn node(&mut self, room: usize) -> Node {
        let plan = &self.record.plan;
        self.lives += 1;
        let mut config = Config::default();
        config.persistent = true;
        config.whois = Whois::Anyone;
        config.change_subject = true;
        let admin = "admin@example.lit/x";
        let settings = Settings {
            admins: vec![BareJid::new("admin@example.lit").expect("it is an address")],
            defaults: config,
            limits: Limits::default(),
            secret: [7; 32],
            random: Arc::new(SeededRandom::new(Rng::new(
                self.record.seed ^ self.lives << 48,
            ))),
        };
        let address = address(plan, room);
        let mut machine = Room::new(address.clone(), Arc::new(settings));
        let owner = plan
            .people
            .iter()
            .position(|one| one.room == room && one.owner);
        let owner = owner.map(|who| jid(plan, who).to_bare().to_string());
        let now = self.now(room);
        for said in [
            format!(
                "<presence from='{admin}' to='{address}/admin'><x xmlns='{}'/></presence>",
                ns::MUC
            ),
            format!(
                "<iq type='set' id='1' from='{admin}' to='{address}'><query xmlns='{}'><x xmlns='jabber:x:data' type='submit'/></query></iq>",
                ns::OWNER
            ),
            format!(
                "<iq type='set' id='2' from='{admin}' to='{address}'><query xmlns='{}'><item affiliation='owner' jid='{}'/></query></iq>",
                ns::ADMIN,
                owner.unwrap_or_default()
            ),
            format!("<presence type='unavailable' from='{admin}' to='{address}/admin'/>"),
        ] {
            let stanza = Stanza::parse(&said).expect("it is a stanza");
            machine.handle(room::Input::Stanza(stanza), now, &mut Vec::new());
        }
        let mut federation = Federation::default();
        let parent = plan.parents[room];
        federation.parents = parent
            .map(|parent| self::address(plan, parent))
            .into_iter()
            .collect();
        federation.accept = Accept::Any;
        let mut settings = fmuc::Settings::default();
        settings.local = vec![BareJid::new(&domain(plan, room)).expect("it is a domain")];
        if let Some(events) = plan.log {
            settings.log.events = events;
        }
        Node::new(machine, federation, Arc::new(settings), now)
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
            Happening::Stanza {
                from: _,
                to,
                stanza,
            } => {
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
                Output::Room(output) => self.perform_room(output),
                _ => {}
            }
        }
    }

    fn perform_room(&mut self, output: room::Output) {
        match output {
            room::Output::Send(stanza) | room::Output::Answer(stanza) => {
                if let Some(to) = stanza.to().cloned() {
                    self.tell(&to, &stanza);
                }
            }
            room::Output::Broadcast(stanza, to) => to.iter().for_each(|to| self.tell(to, &stanza)),
            room::Output::Burst(to, stanzas) => {
                stanzas.iter().for_each(|stanza| self.tell(&to, stanza));
            }
            _ => {}
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
        if empty {
            self.record.needless.push((self.time, line.clone()));
        }
        let Some(stanza) = self.tamper(from, to, stanza) else {
            return;
        };
        let fate = self.wires.send(from, to, stanza, self.time, &mut self.rng);
        self.note(format!("{line}{fate}"));
        if self.wires.underway() > UNDERWAY {
            self.record
                .swollen
                .push((self.time, "stanzas on their way".into()));
            self.wires.drain();
        }
    }

    /// What becomes of a stanza by the fault that is planted.
    fn tamper(&mut self, from: usize, to: usize, stanza: Stanza) -> Option<Stanza> {
        let text = stanza.to_string();
        let said = text.contains("<body>");
        match self.fault {
            Some(Fault::Repeat) if said && self.rng.one_in(4) => {
                let copy = fault::without(&text, "<o ", "/>");
                let copy = Stanza::parse(&copy).ok()?;
                self.wires.send(from, to, stanza, self.time, &mut self.rng);
                Some(copy)
            }
            Some(Fault::Overtake) if said && self.rng.one_in(3) => {
                self.wires
                    .delay(from, to, stanza, self.time + Duration::from_secs(100));
                None
            }
            Some(Fault::Linger) if self.rng.one_in(3) => {
                Stanza::parse(&fault::without(&text, " type='unavailable", "'")).ok()
            }
            Some(Fault::Drop) if said && self.rng.one_in(3) => {
                Stanza::parse(&fault::without(&text, "<body>", "</body>")).ok()
            }
            Some(Fault::Chatter) if said => {
                for child in 0..self.nodes.len() {
                    let empty = self.empty[child].is_some_and(|since| self.time >= since + EMPTY);
                    if self.record.plan.parents[child] == Some(from) && empty {
                        self.record.needless.push((self.time, text.clone()));
                        self.wires
                            .send(from, child, stanza.clone(), self.time, &mut self.rng);
                    }
                }
                Some(stanza)
            }
            Some(Fault::Swell) if text.contains("<synced ") => {
                for _ in 0..UNDERWAY {
                    self.wires
                        .send(from, to, stanza.clone(), self.time, &mut self.rng);
                }
                Some(stanza)
            }
            _ => Some(stanza),
        }
    }

    /// A client is told something.
    fn tell(&mut self, to: &Jid, stanza: &Stanza) {
        let leaks = self.fault == Some(Fault::Leak) && self.rng.one_in(20);
        let leak = leaks.then(|| stanza.clone().with_child(&Element::new("fmuc", ns::FMUC)));
        let stanza = leak.as_ref().unwrap_or(stanza);
        let Some(who) = self
            .record
            .people
            .iter()
            .position(|one| *one == to.as_str())
        else {
            return;
        };
        let text = stanza.to_string();
        if text.contains(ns::FMUC) || text.contains(ns::SYNC) {
            self.record.leaked.push((self.time, text.clone()));
        }
        let Some(told) = told(stanza) else {
            return;
        };
        self.note(format!("        {who}: {told:?}"));
        let goes = matches!(&told, Told::Gone { codes, .. } if codes.contains(&110) && !codes.contains(&303));
        let time = self.time;
        if let Some(stay) = self.record.stays[who]
            .last_mut()
            .filter(|stay| stay.until.is_none())
        {
            stay.told.push((time, told));
            if goes {
                stay.until = Some(time);
            }
        }
        self.count();
    }

    /// Which rooms have anybody in them.
    fn count(&mut self) {
        for room in 0..self.nodes.len() {
            let below: Vec<usize> = self.record.plan.below(room).collect();
            let people = self.record.plan.people.iter().enumerate();
            let mut here = people.filter(|(_, one)| below.contains(&one.room));
            let some = here.any(|(who, _)| self.is_in(who));
            match (some, self.empty[room]) {
                (true, _) => self.empty[room] = None,
                (false, None) => {
                    self.empty[room] = Some(self.time);
                    self.record.empties.push((self.time, room));
                }
                (false, Some(_)) => {}
            }
        }
    }

    fn is_in(&self, who: usize) -> bool {
        let last = self.record.stays[who].last();
        last.is_some_and(|stay| stay.until.is_none())
    }

    /// The last thing that somebody was told of themselves: their nick.
    fn nick(&self, who: usize) -> Option<String> {
        let stay = self.record.stays[who]
            .last()
            .filter(|stay| stay.until.is_none())?;
        stay.told.iter().rev().find_map(|(_, told)| match told {
            Told::There {
                nick, own: true, ..
            } => Some(nick.clone()),
            _ => None,
        })
    }

    fn happen(&mut self, deed: Deed) {
        self.note(format!("{deed:?}"));
        match deed {
            Deed::Enter(who) => self.enter(who),
            Deed::Leave(who) if self.is_in(who) => {
                let stanza = Stanza::presence(PresenceType::Unavailable);
                self.client(who, self.nick(who), stanza);
            }
            Deed::Say(who) if self.is_in(who) => self.say(who),
            Deed::Rename(who, nick) if self.is_in(who) => {
                let stanza = Stanza::presence(PresenceType::Available);
                self.client(who, Some(NICKS[nick].to_owned()), stanza);
            }
            Deed::Show(who) if self.is_in(who) => {
                let stanza = Stanza::presence(PresenceType::Available);
                let show = Element::new("show", CLIENT);
                let stanza = match self.rng.below(3) {
                    0 => stanza,
                    1 => stanza.with_child(&show.with_text("away")),
                    _ => stanza.with_child(&show.with_text("dnd")),
                };
                self.client(who, self.nick(who), stanza);
            }
            Deed::Subject(who) if self.is_in(who) => {
                let text = format!("subject {}", self.record.trace.len());
                let subject = Element::new("subject", CLIENT).with_text(&text);
                let stanza = Stanza::message(MessageType::Groupchat).with_child(&subject);
                self.client(who, None, stanza);
            }
            Deed::Kick(who, whom) if self.is_in(who) && self.record.plan.people[who].owner => {
                self.kick(who, whom);
            }
            Deed::Cut(edge, notice) => self.cut(edge, notice),
            Deed::Heal(edge, notice) => self.heal(edge, notice),
            Deed::Pause(edge, time) => {
                if let Some(parent) = self.record.plan.parents[edge] {
                    let time = Duration::from_millis(time);
                    self.wires.pause(edge, parent, time, self.time);
                }
            }
            Deed::Restart(room, notice) => self.restart(room, notice),
            Deed::Forge(edge, who) => self.forge(edge, who),
            _ => {}
        }
    }

    /// A client sends this to its room, or to a nick in it.
    fn client(&mut self, who: usize, nick: Option<String>, stanza: Stanza) {
        let plan = &self.record.plan;
        let room = plan.people[who].room;
        let address = address(plan, room);
        let to = match nick {
            Some(nick) => Jid::from(&address.with_resource(&nick).expect("it is a nick")),
            None => Jid::from(&address),
        };
        let stanza = stanza.with_from(jid(plan, who)).with_to(to);
        self.handle(room, Input::Stanza(stanza));
    }

    fn enter(&mut self, who: usize) {
        if self.is_in(who) {
            return;
        }
        self.record.stays[who].push(Stay {
            since: self.time,
            until: None,
            told: Vec::new(),
        });
        let x = Element::new("x", ns::MUC);
        let stanza = Stanza::presence(PresenceType::Available).with_child(&x);
        let nick = self.record.plan.people[who].nick.clone();
        self.client(who, Some(nick), stanza);
        if self.nick(who).is_none() {
            self.record.stays[who].pop();
        }
        self.count();
    }

    fn say(&mut self, who: usize) {
        let number = self.record.said.len();
        let stay = self.record.stays[who].len() - 1;
        let after = self.record.stays[who][stay].told.len();
        self.record.said.push(Said {
            by: who,
            at: self.time,
            stay,
            after,
        });
        let text = format!("m{number}");
        let body = Element::new("body", CLIENT).with_text(&text);
        let stanza = Stanza::message(MessageType::Groupchat)
            .with_id(text.as_str())
            .with_child(&body);
        self.client(who, None, stanza);
        let mut heard = self.record.stays[who][stay].heard();
        if !heard.any(|(_, heard)| heard == number) {
            self.record.said.pop();
        }
    }

    fn kick(&mut self, who: usize, whom: usize) {
        let me = &self.record.people[who];
        let Some(stay) = self.record.stays[who].last() else {
            return;
        };
        let roster = Stay::roster(&stay.told);
        let people = &self.record.plan.people;
        let is_owner = |jid: &String| {
            let who = self.record.people.iter().position(|one| one == jid);
            who.is_some_and(|who| people[who].owner)
        };
        // An owner is not taken out of their room from elsewhere.
        let others = roster
            .iter()
            .filter(|(_, (jid, _))| jid != me && !is_owner(jid));
        let others: Vec<_> = others.map(|(nick, _)| nick.clone()).collect();
        if others.is_empty() {
            return;
        }
        let item = Element::new("item", ns::ADMIN)
            .with_attr("nick", &others[whom % others.len()])
            .with_attr("role", "none");
        let query = Element::new("query", ns::ADMIN).with_child(item);
        let iq = Stanza::iq(xmpp_core::stanza::IqType::Set, "kick").with_child(&query);
        self.client(who, None, iq);
    }

    fn cut(&mut self, edge: usize, notice: [u64; 2]) {
        if let Some(parent) = self.record.plan.parents[edge] {
            let notice = notice.map(Duration::from_millis);
            self.wires.cut(edge, parent, notice, self.time);
        }
    }

    fn heal(&mut self, edge: usize, notice: [u64; 2]) {
        if let Some(parent) = self.record.plan.parents[edge] {
            let notice = notice.map(Duration::from_millis);
            self.wires.heal(edge, parent, notice, self.time);
        }
    }

    /// A server begins anew: its clients are gone, and what was on its way to it is lost.
    fn restart(&mut self, room: usize, notice: u64) {
        self.record.restarts.push(self.time);
        for who in 0..self.record.people.len() {
            if self.record.plan.people[who].room == room
                && let Some(stay) = self.record.stays[who].last_mut()
            {
                stay.until.get_or_insert(self.time);
            }
        }
        self.count();
        // What begins anew may end again at once.
        self.begin_anew(room, notice);
        self.pass(Duration::from_secs(3));
        self.begin_anew(room, notice);
    }

    fn begin_anew(&mut self, room: usize, notice: u64) {
        self.nodes[room] = self.node(room);
        for other in 0..self.nodes.len() {
            let parents = &self.record.plan.parents;
            if parents[other] == Some(room) || parents[room] == Some(other) {
                let after = Duration::from_millis(notice);
                self.wires.forget(room, other, after, self.time);
            }
        }
    }

    /// A room says something in the name of somebody who is somewhere else: if all know where that is.
    fn forge(&mut self, edge: usize, who: usize) {
        let plan = &self.record.plan;
        let Some(parent) = plan.parents[edge] else {
            return;
        };
        let below = plan.below(edge).any(|room| room == plan.people[who].room);
        let (from, to) = match below {
            true => (parent, edge),
            false => (edge, parent),
        };
        let author = &self.record.people[who];
        let seen = |one: usize| {
            let stay = self.record.stays[one]
                .last()
                .filter(|stay| stay.until.is_none());
            let roster = stay.map(|stay| Stay::roster(&stay.told));
            roster.is_some_and(|roster| roster.values().any(|(jid, _)| jid == author))
        };
        let mut there = (0..plan.people.len()).filter(|one| plan.people[*one].room == to);
        // One that has not joined is told so.
        let joined = self.empty[edge].is_none();
        if !self.wires.is_whole() || !joined || !self.is_in(who) || !there.any(seen) {
            return;
        }
        let speaks = match self.fault {
            // The one by which it would have to come.
            Some(Fault::Impersonate) => {
                let toward = |room: &usize| {
                    plan.parents[*room] == Some(to)
                        && plan.below(*room).any(|room| room == plan.people[who].room)
                };
                let home = plan.people[who].room;
                let hop = (0..plan.parents.len()).find(toward);
                match hop.or(plan.parents[to]) {
                    Some(hop) if home != to => hop,
                    _ => from,
                }
            }
            _ => from,
        };
        let nick = self.nick(who).unwrap_or_default();
        let speaker = address(plan, speaks);
        let speaker = speaker.with_resource(&nick).expect("it is a nick");
        let fmuc = Element::new("fmuc", ns::FMUC).with_attr("from", author);
        let body = Element::new("body", CLIENT).with_text("forged");
        let stanza = Stanza::message(MessageType::Groupchat)
            .with_from(Jid::from(&speaker))
            .with_to(Jid::from(&address(plan, to)))
            .with_child(&body)
            .with_child(&fmuc);
        self.handle(to, Input::Stanza(stanza));
    }
}

/// What is said to a client, as far as it matters here.
fn told(stanza: &Stanza) -> Option<Told> {
    let payload = stanza.payload();
    let nick = stanza.from()?.resource().unwrap_or_default().to_owned();
    let x = payload.child("x", ns::USER).map(|x| x.element());
    let statuses = x.iter().flat_map(|x| x.children());
    let statuses = statuses.filter(|one| one.is("status", ns::USER));
    let codes: Vec<u16> = statuses
        .filter_map(|status| status.attr("code")?.parse().ok())
        .collect();
    let item = x.as_ref().and_then(|x| x.child("item", ns::USER));
    let text = |name: &str| {
        let child = payload.child(name, CLIENT)?;
        Some(child.element().text().into_owned())
    };
    match stanza.kind() {
        Kind::Presence(PresenceType::Available) => Some(Told::There {
            nick,
            jid: item?.attr("jid").unwrap_or_default().to_owned(),
            show: text("show").unwrap_or_default(),
            own: codes.contains(&110),
        }),
        Kind::Presence(PresenceType::Unavailable) => Some(Told::Gone { nick, codes }),
        Kind::Message(MessageType::Groupchat) => match (text("body"), text("subject")) {
            (Some(body), _) => Some(Told::Message {
                number: body
                    .strip_prefix('m')
                    .and_then(|number| number.parse().ok()),
                nick,
                late: payload.has("delay", ns::DELAY),
            }),
            (None, Some(subject)) => Some(Told::Subject(subject)),
            (None, None) => None,
        },
        _ => None,
    }
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
