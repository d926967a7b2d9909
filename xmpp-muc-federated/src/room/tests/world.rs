//! Many things happen to a room at random, and its clients and other nodes believe what they hear: after each of them all know who is there.

use std::collections::{BTreeMap, BTreeSet};

use xmpp_core::stanza::{MessageType, PresenceType};

use super::*;
use crate::room::Whois;
use crate::room::elsewhere::{Event, Occupant};
use crate::room::occupants::Seat;

const USERS: [&str; 6] = [
    "crone1",
    "wiccarocks",
    "hag66",
    "macbeth",
    "duncan",
    "hecate",
];
const CLIENTS: [&str; 2] = ["pda", "laptop"];
const NICKS: [&str; 7] = ["ann", "bob", "Bob", "cat", "dan", "eve", "fay"];

/// What a client has heard of an occupant.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    standing: (String, String),
    jid: Option<String>,
    show: Option<String>,
    id: String,
}

/// What a client believes.
#[derive(Debug, Default)]
struct Client {
    /// Its nick, if it is in the room.
    nick: Option<String>,
    roster: BTreeMap<String, Seen>,
    /// It has entered and has not heard of itself yet.
    entering: bool,
}

/// What goes wrong in the test of the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The broadcast of so many is lost.
    Lost(usize),
    /// Other nodes are not told of so many an event.
    Untold(usize),
    /// The subject comes before the presences.
    Disordered,
}

pub(super) struct World {
    pub(super) bench: Bench,
    chance: u64,
    clients: BTreeMap<String, Client>,
    /// There are other nodes.
    federated: bool,
    /// Who they believe is here.
    here: BTreeMap<Jid, Occupant>,
    /// Who is at them.
    elsewhere: BTreeSet<Jid>,
    fault: Option<Fault>,
    broadcasts: usize,
    events: usize,
    wrong: Option<String>,
}

impl World {
    pub(super) fn new(seed: u64, fault: Option<Fault>) -> World {
        let limits = Limits {
            burst: 1_000_000,
            sessions: 2,
            ..Limits::default()
        };
        let mut world = World {
            bench: Bench::limited(limits, |_| {}),
            chance: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            clients: BTreeMap::new(),
            federated: seed.is_multiple_of(2),
            here: BTreeMap::new(),
            elsewhere: BTreeSet::new(),
            fault,
            broadcasts: 0,
            events: 0,
            wrong: None,
        };
        world.bench.room.config.persistent = true;
        world.bench.room.watch(world.federated);
        world.bench.room.config.moderated = world.below(2) == 0;
        world.bench.room.config.max_users = Some(5);
        if world.below(3) == 0 {
            world.bench.room.config.whois = Whois::Anyone;
        }
        if world.below(3) == 0 {
            let shown = vec![Role::Moderator, Role::Participant];
            world.bench.room.config.presence_broadcast = shown;
        }
        world.bench.is("wiccarocks", Affiliation::Admin);
        world.bench.is("hag66", Affiliation::Member);
        world
    }

    fn run(&mut self, steps: usize) {
        for step in 0..steps {
            let line = self.something();
            let out = match line.strip_prefix("elsewhere ") {
                Some(line) => self.elsewhere(line),
                None => self.bench.outputs(&line),
            };
            out.iter().for_each(|output| self.perform(output));
            let wrong = self.wrong.take().or_else(|| self.differs());
            let wrong = wrong.or_else(|| self.differs_elsewhere());
            if let Some(wrong) = wrong {
                self.wrong = Some(format!("step {step}: {line}: {wrong}\n{out:#?}"));
                return;
            }
        }
    }

    fn elsewhere(&mut self, line: &str) -> Vec<Output> {
        let (refused, out) = self.bench.others_do(line);
        let mut words = line.split(' ');
        let jid = words.next().and_then(|jid| jid.parse::<Jid>().ok());
        match (words.next(), jid, refused) {
            (Some("enters"), Some(jid), None) => _ = self.elsewhere.insert(jid),
            (Some("leaves"), Some(jid), None) => _ = self.elsewhere.remove(&jid),
            _ => {}
        }
        out
    }

    pub(super) fn below(&mut self, most: usize) -> usize {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        (self.chance >> 33) as usize % most
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    pub(super) fn somebody(&mut self) -> String {
        format!("{}/{}", self.one(&USERS), self.one(&CLIENTS))
    }

    pub(super) fn nick(&mut self) -> &'static str {
        self.one(&NICKS)
    }

    pub(super) fn something(&mut self) -> String {
        let (who, nick) = (self.somebody(), self.nick());
        let show = format!("<show>{}</show>", self.one(&["away", "dnd", "xa"]));
        let x = format!("<x xmlns='{}'/>", ns::MUC);
        let admin = |item: &str| {
            format!(
                "{who} <iq to='' type='set' id='1'><query xmlns='{}'><item {item}/></query></iq>",
                ns::ADMIN
            )
        };
        let far = format!(
            "elsewhere {}@shakespeare.lit/{}",
            self.one(&USERS),
            self.one(&["far", "wide"])
        );
        let role = self.one(&["visitor", "participant", "moderator"]);
        match self.below(if self.federated { 20 } else { 13 }) {
            13..=15 => format!("{far} enters {nick} as none/{role} {show}"),
            16 => format!("{far} becomes {nick}"),
            17 => format!("{far} leaves"),
            18 => format!("{far} says Fair is foul"),
            19 => match self.below(3) {
                0 => format!("{far} expels {who} 307"),
                1 => format!("{far} gives {who} {role}"),
                _ => format!("{far} renames {who} {nick}"),
            },
            0..=2 => format!("{who} enters {nick}"),
            3 => format!("{who} <presence to='/{nick}'>{show}{x}</presence>"),
            4 => format!("{who} <presence to='/{nick}'>{show}</presence>"),
            5 => match self
                .clients
                .get(&who)
                .and_then(|client| client.nick.clone())
            {
                Some(nick) => format!("{who} <presence to='/{nick}'>{show}</presence>"),
                None => format!("{who} enters {nick}"),
            },
            6 => format!("{who} leaves {nick}"),
            7 => format!("{who} says Double, double"),
            8 => {
                let role = self.one(&["none", "visitor", "participant", "moderator"]);
                admin(&format!("nick='{nick}' role='{role}'"))
            }
            9 => {
                let (user, affiliation) = (
                    self.one(&USERS),
                    self.one(&["none", "none", "member", "admin", "outcast"]),
                );
                admin(&format!(
                    "jid='{user}@shakespeare.lit' affiliation='{affiliation}'"
                ))
            }
            10 => format!(
                "{who} <message to='/{nick}' type='error'><error type='cancel'>\
                 <gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
            ),
            11 => {
                let fields = [
                    "membersonly=1",
                    "membersonly=0",
                    "moderatedroom=1",
                    "moderatedroom=0",
                    "presencebroadcast=moderator participant",
                    "presencebroadcast=moderator participant visitor",
                    "presencebroadcast=visitor",
                    "roomadmins=hag66@shakespeare.lit wiccarocks@shakespeare.lit",
                    "roomadmins=",
                ];
                format!("{who} configures {}", self.one(&fields))
            }
            _ => format!(
                "{who} <message to='/{nick}' type='chat'><body>Toil and trouble</body></message>"
            ),
        }
    }

    pub(super) fn perform(&mut self, output: &Output) {
        match output {
            Output::Send(stanza) | Output::Answer(stanza) => {
                let to = stanza.to().expect("what is sent has an address").clone();
                self.hear(&to, stanza);
            }
            Output::Broadcast(stanza, to) => {
                self.broadcasts += 1;
                if self.fault == Some(Fault::Lost(self.broadcasts)) {
                    return;
                }
                to.iter().for_each(|to| self.hear(to, stanza));
            }
            Output::Burst(to, stanzas) => {
                let mut stanzas = stanzas.clone();
                if self.fault == Some(Fault::Disordered) {
                    stanzas.reverse();
                }
                // Or it is one who has become a moderator.
                let enters = stanzas
                    .iter()
                    .any(|one| matches!(one.kind(), Kind::Message(_)));
                self.clients.entry(short(to.as_str())).or_default().entering = enters;
                stanzas.iter().for_each(|stanza| self.hear(to, stanza));
            }
            Output::Store(_) => {}
            Output::Event(event) => {
                self.events += 1;
                if self.fault != Some(Fault::Untold(self.events)) {
                    let wrong = self.told(event);
                    self.wrong = self.wrong.take().or(wrong);
                }
            }
            Output::Destroyed => self.wrong = Some("a persistent room is gone".into()),
        }
    }

    /// What other nodes are told. What they could not have expected.
    fn told(&mut self, event: &Event) -> Option<String> {
        let known = match event {
            _ if !self.federated => false,
            Event::Present {
                occupant,
                instead_of,
            } => {
                let before = instead_of.as_ref().map(|jid| self.here.remove(jid));
                self.here.insert(occupant.jid.clone(), occupant.clone());
                before.is_none_or(|before| before.is_some())
            }
            Event::Renamed { jid, from, to } => match self.here.get_mut(jid) {
                Some(known) => std::mem::replace(&mut known.nick, to.clone()) == *from,
                None => false,
            },
            Event::Left { jid, nick, .. } => {
                let known = self.here.remove(jid);
                known.is_some_and(|known| known.nick == *nick)
            }
            Event::Said(said) | Event::Subject(said) => {
                let known = self.here.get(&said.by);
                known.is_some_and(|known| known.nick == said.nick)
            }
            Event::Private { by, to, .. } => {
                self.here.contains_key(by) && self.elsewhere.contains(to)
            }
            Event::Expelled { jid, .. } => self.elsewhere.remove(jid),
            Event::Given { jid, .. } => self.elsewhere.contains(jid),
        };
        (!known).then(|| format!("other nodes hear {event:?}"))
    }

    /// Where what other nodes believe is not what is so.
    fn differs_elsewhere(&self) -> Option<String> {
        let room = &self.bench.room;
        let here = room.here().into_iter();
        let here = here.map(|one| (one.jid.clone(), one)).collect();
        if self.federated && self.here != here {
            return Some(format!("{here:#?} are here, known are {:#?}", self.here));
        }
        let all = room.occupants.iter().flat_map(|(_, one)| &one.elsewhere);
        let all: BTreeSet<_> = all.map(|claim| claim.session.jid.clone()).collect();
        (all != self.elsewhere).then(|| format!("{all:?} are elsewhere, not {:?}", self.elsewhere))
    }

    fn hear(&mut self, to: &Jid, stanza: &Stanza) {
        if self.reveals(to, stanza) {
            self.wrong = Some(format!("{to} is shown who somebody is: {stanza}"));
        }
        let client = self.clients.entry(short(to.as_str())).or_default();
        let from = stanza
            .from()
            .and_then(Jid::resource)
            .unwrap_or_default()
            .to_owned();
        let tree = stanza.to_element();
        let x = tree.child("x", ns::USER);
        let code = |code: &str| {
            x.is_some_and(|x| x.children().any(|child| child.attr("code") == Some(code)))
        };
        match stanza.kind() {
            Kind::Presence(PresenceType::Available) => {
                let item = x
                    .and_then(|x| x.child("item", ns::USER))
                    .expect("all presences say it");
                let attr = |name| item.attr(name).map(str::to_owned);
                let id = tree
                    .child("occupant-id", ns::OCCUPANT_ID)
                    .and_then(|id| id.attr("id"));
                let seen = Seen {
                    standing: (
                        attr("affiliation").expect("a MUST"),
                        attr("role").expect("a MUST"),
                    ),
                    jid: attr("jid"),
                    show: tree
                        .child("show", CLIENT)
                        .map(|show| show.text().into_owned()),
                    id: id.expect("a MUST").to_owned(),
                };
                client.roster.insert(from.clone(), seen);
                if code("110") {
                    client.nick = Some(from);
                    client.entering = false;
                }
            }
            Kind::Presence(PresenceType::Unavailable) => {
                client.roster.remove(&from);
                if code("110") && !code("303") {
                    *client = Client::default();
                }
            }
            // A subject or history before one's own presence: §7.1.
            Kind::Message(MessageType::Groupchat) if client.nick.is_none() || client.entering => {
                self.wrong = Some(format!("{to} hears {stanza}"));
            }
            _ => {}
        }
    }

    /// Whether a stanza says who somebody really is, to one who must not know it.
    fn reveals(&self, to: &Jid, stanza: &Stanza) -> bool {
        let room = &self.bench.room;
        let viewer = room
            .occupants
            .of(to)
            .and_then(|seat| room.occupants.get(seat));
        let Some(viewer) = viewer.filter(|viewer| viewer.role < Role::Moderator) else {
            return false;
        };
        if matches!(stanza.kind(), Kind::Iq(_)) {
            // It says again what they have said themselves.
            return false;
        }
        let text = stanza.clone().with_to(None).to_string();
        let others = USERS
            .iter()
            .filter(|user| **user != viewer.real.local().unwrap_or_default());
        room.config.whois == Whois::Moderators && { others }.any(|user| text.contains(user))
    }

    /// Where what clients believe is not what is so.
    fn differs(&self) -> Option<String> {
        let room = &self.bench.room;
        for (name, client) in &self.clients {
            let seat = room.occupants.of(&real(name));
            let nick = seat
                .and_then(|seat| room.occupants.get(seat))
                .map(|one| one.address.resource());
            if nick != client.nick.as_deref() {
                return Some(format!("{name} is {nick:?} and believes {:?}", client.nick));
            }
            let Some(seat) = seat else { continue };
            let wanted = self.roster(seat);
            let sees = wanted.values().all(|seen| seen.jid.is_some());
            let mut got = client.roster.clone();
            if !sees {
                // Once heard is not forgotten.
                got.values_mut().for_each(|seen| seen.jid = None);
            }
            let blind = |mut seen: Seen| {
                seen.jid = seen.jid.filter(|_| sees);
                seen
            };
            let wanted: BTreeMap<_, _> = wanted
                .into_iter()
                .map(|(nick, seen)| (nick, blind(seen)))
                .collect();
            if wanted != got {
                return Some(format!("{name} should see {wanted:#?}, and sees {got:#?}"));
            }
        }
        let everybody = room.occupants.everybody();
        let all = everybody.iter().map(|jid| short(jid.as_str()));
        let mut unheard = all.filter(|name| !self.clients.contains_key(name));
        unheard
            .next()
            .map(|name| format!("{name} has heard nothing"))
    }

    /// What an occupant should see.
    fn roster(&self, viewer: Seat) -> BTreeMap<String, Seen> {
        let room = &self.bench.room;
        let role = room.occupants.get(viewer).expect("it is taken").role;
        let sees = room.config.whois == Whois::Anyone || role == Role::Moderator;
        let shown = |seat, role| seat == viewer || room.config.presence_broadcast.contains(role);
        let all = room
            .occupants
            .iter()
            .filter(|(seat, one)| shown(*seat, &one.role));
        all.map(|(seat, one)| {
            let latest = one.latest().expect("an occupant is somewhere");
            let show = latest.presence.payload().child("show", CLIENT);
            let jid = (sees || seat == viewer).then(|| latest.jid.to_string());
            let seen = Seen {
                standing: (one.affiliation.to_string(), one.role.to_string()),
                jid,
                show: show.map(|show| show.element().text().into_owned()),
                id: one.id.to_string(),
            };
            (one.address.resource().to_owned(), seen)
        })
        .collect()
    }
}

#[test]
fn whatever_happens_all_know_who_is_there() {
    for seed in 0..30 {
        let mut world = World::new(seed, None);
        world.run(400);
        assert!(
            world.wrong.is_none(),
            "seed {seed}: {}",
            world.wrong.unwrap()
        );
    }
}

#[test]
fn what_goes_wrong_is_found() {
    let found = |fault| {
        let of = |seed: &u64| {
            let mut world = World::new(*seed, Some(fault));
            world.run(400);
            world.wrong.is_some()
        };
        (0..10).filter(of).count()
    };
    for fault in [
        Fault::Lost(1),
        Fault::Lost(20),
        Fault::Lost(21),
        Fault::Lost(50),
        Fault::Untold(1),
        Fault::Untold(30),
        Fault::Untold(60),
        Fault::Disordered,
    ] {
        assert!(found(fault) > 0, "{fault:?}");
    }
}
