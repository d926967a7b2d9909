//! Scenarios of federated rooms: who does what, and what goes over the links and to the clients. Each is named by its number in the design (§6).

mod a;
mod b;
mod basics;
mod c;
mod d;
mod e;
mod f;
mod g;
mod h;
mod hostile;
mod i;
mod j;
mod legacy;
mod openfire;
mod review;
mod tail;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use xmpp_core::machine::Machine as _;
use xmpp_core::server::Random;
use xmpp_core::stanza::{Kind, MessageType, PresenceType, Stanza};
use xmpp_core::time::{Now, Timestamp};
use xmpp_core::xml::{Element, ns::CLIENT};
use xmpp_core::{BareJid, Jid};

use super::parent::fmuc_of;
use super::{
    Accept, Class, Dialect, Extension, Federation, Input, LinkProfile, LinkState, Node, Output,
    Peer, PresenceLevel, Settings,
};
use crate::ns;
use crate::room::{self, Config, Room};
use crate::store::{Change, FederationChange, StoredFederation, StoredRoom};

/// The rooms of the design, and one more.
pub(super) const ROOMS: &[(char, &str)] = &[
    ('A', "rabbithole@rooms.wonderland.lit"),
    ('B', "elsinore@talk.denmark.lit"),
    ('C', "heath@muc.scotland.lit"),
    ('D', "forest@muc.arden.lit"),
    ('E', "ship@muc.illyria.lit"),
    ('F', "harbour@muc.cyprus.lit"),
];

/// Those who talk: a short name, who they are, and the nick that they like.
pub(super) const PEOPLE: &[(&str, &str, &str)] = &[
    ("al", "alice@wonderland.lit/w", "Alice"),
    ("ha", "hatter@wonderland.lit/w", "Hatter"),
    ("ba", "bob@wonderland.lit/w", "Bob"),
    ("hm", "hamlet@denmark.lit/p", "Hamlet"),
    ("h2", "hamlet@denmark.lit/q", "Hamlet"),
    ("op", "ophelia@denmark.lit/p", "Ophelia"),
    ("bb", "bob@denmark.lit/r", "Bob"),
    ("mb", "macbeth@scotland.lit/h", "Macbeth"),
    ("bc", "bob@scotland.lit/s", "Bob"),
    ("ro", "rosalind@arden.lit/f", "Rosalind"),
    ("vi", "viola@illyria.lit/s", "Viola"),
    ("ot", "othello@cyprus.lit/c", "Othello"),
];

/// Several rooms, the links between them, and a clock.
pub(super) struct World {
    pub(super) nodes: BTreeMap<char, Node>,
    /// Rooms that are others' (see [`World::openfire`]).
    openfires: BTreeMap<char, openfire::Openfire>,
    pub(super) now: Now,
    /// What is on its way, in order for each pair.
    pub(super) wires: BTreeMap<(char, char), VecDeque<Stanza>>,
    /// Pairs whose stanzas wait, or are lost.
    pub(super) held: BTreeSet<(char, char)>,
    pub(super) cut: BTreeSet<(char, char)>,
    /// What has happened since one last looked.
    pub(super) seen: Vec<String>,
    /// Bytes of XML that went from one to another.
    pub(super) bytes: BTreeMap<(char, char), usize>,
    /// All that an operator was told.
    pub(super) notices: Vec<String>,
    /// The classes of what was sent from room to room, and when.
    pub(super) sent: Vec<(Class, Instant)>,
    /// The last stanza that each client has received.
    pub(super) last: BTreeMap<String, Stanza>,
    /// What each room has stored of itself and of its other nodes.
    stored: BTreeMap<char, Stored>,
    /// Streams acknowledge what they carry (XEP-0198): default yes.
    pub(super) acknowledged: bool,
    setups: BTreeMap<char, Setup>,
}

/// What a room has stored.
#[derive(Default)]
struct Stored {
    room: Vec<Change>,
    federation: StoredFederation,
}

/// How a room of the world is set up.
#[derive(Clone, Default)]
pub(super) struct Setup {
    pub(super) federation: Federation,
    pub(super) settings: Settings,
    pub(super) config: Config,
}

impl Setup {
    /// Changes what is so for all rooms of the world.
    pub(super) fn peers(&mut self, change: impl Fn(&mut Peer)) {
        for (_, room) in ROOMS {
            let jid = Jid::new(room).unwrap();
            let known = self.settings.peers.iter().position(|peer| peer.jid == jid);
            let at = known.unwrap_or(self.settings.peers.len());
            if known.is_none() {
                self.settings.peers.push(Peer::new(jid));
            }
            change(&mut self.settings.peers[at]);
        }
    }
}

/// A different one each time.
#[derive(Default)]
struct Counted(AtomicU8);

impl Random for Counted {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0.fetch_add(1, Ordering::Relaxed));
    }
}

impl World {
    /// These rooms, each as its letter and those it would join: `"A B>A C>B"`. All accept all.
    pub(super) fn new(rooms: &str) -> World {
        World::with(rooms, |_, _| {})
    }

    /// The same, each changed before it begins.
    #[allow(clippy::disallowed_methods)] // an instant cannot be made of nothing
    pub(super) fn with(rooms: &str, change: impl Fn(char, &mut Setup)) -> World {
        let mut world = World {
            nodes: BTreeMap::new(),
            openfires: BTreeMap::new(),
            now: Now {
                instant: Instant::now(),
                utc: Timestamp(1_334_851_200_000),
            },
            wires: BTreeMap::new(),
            held: BTreeSet::new(),
            cut: BTreeSet::new(),
            seen: Vec::new(),
            bytes: BTreeMap::new(),
            notices: Vec::new(),
            sent: Vec::new(),
            last: BTreeMap::new(),
            stored: BTreeMap::new(),
            acknowledged: true,
            setups: BTreeMap::new(),
        };
        for room in rooms.split_whitespace() {
            let mut letters = room.chars().filter(|letter| letter.is_ascii_uppercase());
            let name = letters.next().expect("a room");
            let mut setup = Setup::default();
            setup.federation.parents = letters.map(address).collect();
            setup.federation.accept = Accept::Any;
            setup.settings.local = vec![domain_of_people(name)];
            setup.config.persistent = true;
            change(name, &mut setup);
            world.add(name, setup);
        }
        world
    }

    /// Adds a room, or begins its life anew. The first of those in [`PEOPLE`] who are at it owns it.
    pub(super) fn add(&mut self, name: char, setup: Setup) {
        self.setups.insert(name, setup.clone());
        let settings = settings(&setup);
        let federation = setup.federation.clone();
        let mut room = Room::new(address(name), settings);
        let mut out = Vec::new();
        let owners = ROOMS.iter().zip(["al", "hm", "mb", "ro", "vi", "ot"]);
        let owner = owners
            .filter(|((room, _), _)| *room == name)
            .map(|(_, who)| person(who).1);
        let owner = owner
            .filter_map(|jid| jid.split('/').next())
            .next()
            .unwrap_or_default();
        for made in [
            "<presence from='admin@example.lit/x' to='ROOM/admin'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
            "<iq type='set' id='1' from='admin@example.lit/x' to='ROOM'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>",
            "<iq type='set' id='2' from='admin@example.lit/x' to='ROOM'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='owner' jid='OWNER'/></query></iq>",
            "<presence type='unavailable' from='admin@example.lit/x' to='ROOM/admin'/>",
        ] {
            let stanza = Stanza::parse(
                &made
                    .replace("ROOM", address(name).as_str())
                    .replace("OWNER", owner),
            )
            .unwrap();
            room.handle(room::Input::Stanza(stanza), self.now, &mut out);
        }
        for output in out {
            if let room::Output::Store(change) = output {
                self.store(name, change);
            }
        }
        let node = Node::new(room, federation, Arc::new(setup.settings), self.now);
        self.nodes.insert(name, node);
    }

    /// The server of a room ends at once and begins again with what was stored.
    fn restart(&mut self, name: char) {
        let setup = self.setups[&name].clone();
        let stored = &self.stored[&name];
        let state = stored.room.iter().rev().find_map(|change| match change {
            Change::State { state, .. } => Some(state.clone()),
            _ => None,
        });
        let affiliations = stored.room.iter().filter_map(|change| match change {
            Change::Entry(entry) => Some(entry.clone()),
            _ => None,
        });
        let room = StoredRoom {
            state: state.expect("it is persistent"),
            affiliations: affiliations.collect(),
        };
        let messages = stored.room.iter().filter_map(|change| match change {
            Change::Message(message) => Some(message.clone()),
            _ => None,
        });
        let messages: Vec<_> = messages.collect();
        let room = Room::restore(address(name), room, &messages, settings(&setup)).unwrap();
        let (federation, common) = (setup.federation.clone(), Arc::new(setup.settings));
        let node = Node::restore(room, federation, common, &stored.federation, self.now);
        self.nodes.insert(name, node);
    }

    fn store(&mut self, name: char, change: Change) {
        let stored = self.stored.entry(name).or_default();
        let federation = &mut stored.federation;
        match change {
            Change::Federation(FederationChange::Link(link)) => {
                federation.links.retain(|one| one.peer != link.peer);
                federation.links.push(link);
            }
            Change::Federation(FederationChange::NoLink(peer)) => {
                federation.links.retain(|one| one.peer != peer);
            }
            Change::Federation(FederationChange::Have(have)) => federation.have = Some(have),
            Change::Federation(FederationChange::Event(event)) => federation.events.push(event),
            Change::Federation(FederationChange::KeepEvents(most)) => {
                let excess = federation.events.len().saturating_sub(most);
                federation.events.drain(..excess);
            }
            other => stored.room.push(other),
        }
    }

    /// Each line that is not indented happens; those below it are what comes of it, all of it and in this order.
    ///
    /// What happens: `hm enters B`, `hm enters B as Bob`, `hm leaves B`, `hm says B Hi there`, `hm subject B …`, `hm tells B Alice …`, `hm sends B <…/>`
    /// (`to=''` is the room), `hm kicks B Macbeth`, `hm bans B mb`, `al gives A Hamlet visitor`, `wait 5` (seconds), `cut A B`, `heal A B`, `resume A B`, `restart B` (with what it has stored),
    /// `hold A B`, `release A B`, `lose A B` (what is held), `B> A <…/>` (a stanza of B as it stands, whatever B's node thinks of it).
    ///
    /// What comes of it: `B>A J(hm) …` on a link (see [`World::wire`]), `al: …` at a client (see [`client`]).
    pub(super) fn play(&mut self, script: &str) {
        let lines = || script.lines().filter(|line| !line.trim().is_empty());
        let margin = |line: &str| line.len() - line.trim_start().len();
        let least = lines().map(margin).min().unwrap_or_default();
        let (mut wanted, mut got) = (Vec::new(), Vec::new());
        for line in lines() {
            if margin(line) > least {
                wanted.push(format!("    {}", line.trim()));
                continue;
            }
            wanted.push(line.trim().to_owned());
            got.push(line.trim().to_owned());
            self.act(line.trim());
            got.extend(self.seen.drain(..).map(|seen| format!("    {seen}")));
        }
        assert_eq!(wanted.join("\n"), got.join("\n"), "\n{}\n", got.join("\n"));
    }

    /// The same, where it does not matter what comes of it.
    pub(super) fn run(&mut self, script: &str) -> Vec<String> {
        for line in script.lines().filter(|line| !line.trim().is_empty()) {
            self.act(line.trim());
        }
        std::mem::take(&mut self.seen)
    }

    pub(super) fn act(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let rest = |from: usize| words.get(from..).unwrap_or_default().join(" ");
        match words[..] {
            ["wait", seconds] => self.wait(Duration::from_secs_f64(seconds.parse().unwrap())),
            ["cut", one, other] => self.link(one, other, LinkState::Down),
            ["heal", one, other] => self.link(one, other, LinkState::Up { resumed: false }),
            ["resume", one, other] => self.link(one, other, LinkState::Up { resumed: true }),
            ["restart", room] if self.openfires.contains_key(&letter(room)) => {
                self.restart_openfire(letter(room));
            }
            ["restart", room] => {
                self.restart(letter(room));
                self.wait(Duration::ZERO);
            }
            ["hold", one, other] => {
                self.held.insert((letter(one), letter(other)));
            }
            ["release", one, other] => {
                self.held.remove(&(letter(one), letter(other)));
            }
            ["lose", one, other] => {
                self.wires.remove(&(letter(one), letter(other)));
                self.held.remove(&(letter(one), letter(other)));
            }
            [who, "enters", room] => self.enter(who, letter(room), person(who).2),
            [who, "enters", room, "as", nick] => self.enter(who, letter(room), nick),
            [who, "leaves", room] => {
                let stanza = Stanza::presence(PresenceType::Unavailable);
                self.client(who, letter(room), "x", stanza);
            }
            [who, "says", room, ..] => {
                let body = Element::new("body", CLIENT).with_text(&rest(3));
                let stanza = Stanza::message(MessageType::Groupchat).with_child(&body);
                self.client(who, letter(room), "", stanza);
            }
            [who, "subject", room, ..] => {
                let subject = Element::new("subject", CLIENT).with_text(&rest(3));
                let stanza = Stanza::message(MessageType::Groupchat).with_child(&subject);
                self.client(who, letter(room), "", stanza);
            }
            [who, "tells", room, nick, ..] => {
                let body = Element::new("body", CLIENT).with_text(&rest(4));
                let stanza = Stanza::message(MessageType::Chat)
                    .with_id("pm")
                    .with_child(&body);
                self.client(who, letter(room), nick, stanza);
            }
            [who, "kicks", room, nick] => {
                let item =
                    format!("<item nick='{nick}' role='none'><reason>Avaunt</reason></item>");
                self.admin(who, letter(room), &item);
            }
            [who, "gives", room, nick, role] => {
                self.admin(
                    who,
                    letter(room),
                    &format!("<item nick='{nick}' role='{role}'/>"),
                );
            }
            [who, "bans", room, whom] => {
                let whom = person(whom).1.split('/').next().unwrap_or_default();
                self.admin(
                    who,
                    letter(room),
                    &format!("<item jid='{whom}' affiliation='outcast'/>"),
                );
            }
            [who, "sends", room, ..] => {
                let stanza = Stanza::parse(&rest(3)).unwrap();
                let nick = stanza
                    .to()
                    .and_then(Jid::resource)
                    .unwrap_or_default()
                    .to_owned();
                self.client(who, letter(room), &nick, stanza);
            }
            [from, to, ..] if from.ends_with('>') => {
                let (from, to) = (letter(from), letter(to));
                let stanza = Stanza::parse(&rest(2)).unwrap();
                self.wires.entry((from, to)).or_default().push_back(stanza);
            }
            _ => panic!("nothing happens by {line:?}"),
        }
        self.settle();
        self.acknowledge();
    }

    fn enter(&mut self, who: &str, room: char, nick: &str) {
        let x = Element::new("x", ns::MUC);
        let stanza = Stanza::presence(PresenceType::Available).with_child(&x);
        self.client(who, room, nick, stanza);
    }

    fn admin(&mut self, who: &str, room: char, item: &str) {
        let query = format!("<query xmlns='{}'>{item}</query>", ns::ADMIN);
        let iq = Stanza::parse(&format!("<iq type='set' id='admin'>{query}</iq>")).unwrap();
        self.client(who, room, "", iq);
    }

    /// Somebody sends this to a room, or to a nick in it.
    fn client(&mut self, who: &str, room: char, nick: &str, stanza: Stanza) {
        let to = match nick {
            "" => Jid::from(address(room)),
            nick => Jid::from(&address(room).with_resource(nick).unwrap()),
        };
        let stanza = stanza
            .with_from(Jid::new(person(who).1).unwrap())
            .with_to(to);
        if self.openfires.contains_key(&room) {
            return self.at_openfire(room, &stanza);
        }
        self.handle(room, Input::Stanza(stanza));
    }

    fn link(&mut self, one: &str, other: &str, state: LinkState) {
        let (one, other) = (letter(one), letter(other));
        for pair in [(one, other), (other, one)] {
            match state {
                LinkState::Down => {
                    self.cut.insert(pair);
                    self.wires.remove(&pair);
                }
                LinkState::Up { .. } => {
                    self.cut.remove(&pair);
                }
                LinkState::Acknowledged => {}
            }
        }
        for (at, peer) in [(one, other), (other, one)] {
            let domain = BareJid::new(address(peer).domain()).unwrap();
            self.handle(at, Input::Link { domain, state });
        }
    }

    /// The streams that are there have acknowledged what went over them.
    fn acknowledge(&mut self) {
        let state = LinkState::Acknowledged;
        let all: Vec<char> = self.nodes.keys().copied().collect();
        let peers = || ROOMS.iter().map(|(peer, _)| *peer);
        let pairs = all
            .iter()
            .flat_map(|at| peers().map(move |peer| (*at, peer)));
        for (at, peer) in pairs {
            if self.acknowledged && at != peer && !self.cut.contains(&(at, peer)) {
                let domain = BareJid::new(address(peer).domain()).unwrap();
                self.handle(at, Input::Link { domain, state });
            }
        }
    }

    /// Time passes; whatever is due meanwhile happens when it is.
    pub(super) fn wait(&mut self, time: Duration) {
        let end = self.now.instant + time;
        loop {
            self.acknowledge();
            let due = self
                .nodes
                .values()
                .filter_map(xmpp_core::machine::Machine::next_timeout)
                .min();
            let Some(due) = due.filter(|due| *due <= end) else {
                break;
            };
            self.pass(due);
            let all: Vec<char> = self.nodes.keys().copied().collect();
            for name in all {
                let mut out = Vec::new();
                if let Some(node) = self.nodes.get_mut(&name)
                    && node
                        .next_timeout()
                        .is_some_and(|due| due <= self.now.instant)
                {
                    node.handle_timeout(self.now, &mut out);
                }
                self.perform(name, out);
            }
            self.settle();
        }
        self.pass(end);
    }

    fn pass(&mut self, to: Instant) {
        let time = to.saturating_duration_since(self.now.instant);
        self.now.instant += time;
        self.now.utc = self.now.utc.plus(time);
    }

    /// Everything that is on its way arrives.
    pub(super) fn settle(&mut self) {
        for _ in 0..100_000 {
            let pairs = self
                .wires
                .iter()
                .filter(|(pair, wire)| !wire.is_empty() && !self.held.contains(*pair));
            let Some(pair) = pairs.map(|(pair, _)| *pair).next() else {
                return;
            };
            let stanza = self.wires.get_mut(&pair).and_then(VecDeque::pop_front);
            if let Some(stanza) = stanza {
                self.deliver(pair, stanza);
            }
        }
        panic!("it never ends");
    }

    /// One stanza arrives.
    pub(super) fn deliver(&mut self, (_, to): (char, char), stanza: Stanza) {
        match self.nodes.contains_key(&to) {
            true => self.handle(to, Input::Stanza(stanza)),
            false => self.at_openfire(to, &stanza),
        }
    }

    pub(super) fn handle(&mut self, name: char, input: Input) {
        let mut out = Vec::new();
        if let Some(node) = self.nodes.get_mut(&name) {
            node.handle(input, self.now, &mut out);
        }
        self.perform(name, out);
    }

    fn perform(&mut self, at: char, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Room(output) => self.perform_room(at, output),
                Output::Send {
                    peer,
                    stanza,
                    class,
                    ..
                } => {
                    self.sent.push((class, self.now.instant));
                    self.send(at, &peer, stanza);
                }
                Output::Notice(notice) => {
                    let to = name(&notice.peer);
                    self.notices.push(format!("{at}!{to} {:?}", notice.what));
                }
            }
        }
    }

    fn send(&mut self, at: char, peer: &BareJid, stanza: Stanza) {
        let to = name(peer);
        let line = self.wire(at, to, &stanza);
        if self.cut.contains(&(at, to)) {
            self.seen.push(format!("{line} lost"));
            return self.handle(at, Input::Returned(stanza));
        }
        self.seen.push(line);
        *self.bytes.entry((at, to)).or_default() += stanza.to_string().len();
        self.wires.entry((at, to)).or_default().push_back(stanza);
    }

    fn perform_room(&mut self, at: char, output: room::Output) {
        match output {
            room::Output::Send(stanza) | room::Output::Answer(stanza) => {
                if let Some(to) = stanza.to().cloned() {
                    self.show(at, &to, &stanza);
                }
            }
            room::Output::Broadcast(stanza, to) => {
                for to in to.iter() {
                    self.show(at, to, &stanza);
                }
            }
            room::Output::Burst(to, stanzas) => {
                for stanza in stanzas.iter() {
                    self.show(at, &to, stanza);
                }
            }
            room::Output::Destroyed => self.seen.push(format!("{at} is gone")),
            room::Output::Store(change) => self.store(at, change),
            room::Output::Event(_) => {}
        }
    }

    /// A client receives something.
    fn show(&mut self, at: char, to: &Jid, stanza: &Stanza) {
        self.seen.push(client(at, to, stanza));
        self.last.insert(short(to), stanza.clone());
    }

    /// All that is on its way from one room to another is so twice.
    pub(super) fn double(&mut self, from: char, to: char) {
        if let Some(wire) = self.wires.get_mut(&(from, to)) {
            *wire = wire.drain(..).flat_map(|one| [one.clone(), one]).collect();
        }
    }

    /// So many stanzas arrive although they are held.
    pub(super) fn pass_on(&mut self, from: char, to: char, count: usize) {
        for _ in 0..count {
            let wire = self.wires.get_mut(&(from, to));
            if let Some(stanza) = wire.and_then(VecDeque::pop_front) {
                self.deliver((from, to), stanza);
            }
        }
    }

    /// The last that is on its way from one room to another: it does not arrive.
    pub(super) fn taken(&mut self, from: char, to: char) -> Stanza {
        self.all_taken(from, to).pop().expect("a stanza")
    }

    /// All that is on its way.
    pub(super) fn all_taken(&mut self, from: char, to: char) -> Vec<Stanza> {
        let wire = self.wires.remove(&(from, to));
        wire.into_iter().flatten().collect()
    }

    /// Another list of who may join.
    pub(super) fn setup_accept(&mut self, name: char, accept: Accept) {
        let mut federation = self.setups[&name].federation.clone();
        federation.accept = accept;
        self.handle(name, Input::Configure(federation));
    }

    /// What is on its way from one room to another, and held.
    pub(super) fn on_the_way(&self, from: char, to: char) -> Vec<String> {
        let wire = self.wires.get(&(from, to)).into_iter().flatten();
        wire.map(ToString::to_string).collect()
    }

    /// Whether nothing is under way, and nobody waits for anything: what there is are links that are joined, and rooms that need none.
    pub(super) fn is_quiet(&self) -> bool {
        let waits = |node: &Node| node.next_timeout().is_some();
        self.wires.values().all(VecDeque::is_empty) && !self.nodes.values().any(waits)
    }

    /// A stanza on a link: `B>A J(hm as Hamlet)` (joins), `P` (is there), `U` (is gone), `M` (says), `S` (the subject), `PM`, `LEFT`, `REJ`, or `own`; then our
    /// elements in it.
    pub(super) fn wire(&self, from: char, to: char, stanza: &Stanza) -> String {
        let payload = stanza.payload();
        let text = |name: &str| {
            let child = payload.child(name, CLIENT).map(|child| child.element());
            child.map_or_else(String::new, |child| child.text().into_owned())
        };
        let Some(fmuc) = fmuc_of(stanza) else {
            return format!("{from}>{to} {stanza}");
        };
        let nick = stanza.from().and_then(Jid::resource).unwrap_or_default();
        let who = fmuc.from.as_ref().map(short).unwrap_or_default();
        let mut codes: Vec<String> = codes(stanza);
        let what = match stanza.kind() {
            Kind::Presence(_) if fmuc.reject.is_some() => {
                format!("REJ({})", fmuc.reject.clone().unwrap_or_default())
            }
            Kind::Presence(_) if fmuc.left => "LEFT".into(),
            Kind::Presence(_) if nick.is_empty() => "own".into(),
            Kind::Presence(PresenceType::Unavailable) => format!("U({who} as {nick})"),
            Kind::Presence(_) if payload.has("x", ns::MUC) => format!("J({who} as {nick})"),
            Kind::Presence(_) => format!("P({who} as {nick})"),
            Kind::Message(MessageType::Groupchat) if payload.has("subject", CLIENT) => {
                format!("S({who}: {})", text("subject"))
            }
            Kind::Message(MessageType::Groupchat) => {
                format!("M({who} as {nick}: {})", text("body"))
            }
            Kind::Message(MessageType::Error) => format!("PM-error({who} as {nick})"),
            Kind::Message(_) => {
                let to = stanza.to().and_then(Jid::resource).unwrap_or_default();
                format!("PM({who} as {nick} to {to}: {})", text("body"))
            }
            _ => stanza.to_string(),
        };
        if payload.has("delay", ns::DELAY) {
            codes.push("delay".into());
        }
        codes.extend(fmuc.extensions.iter().filter_map(element));
        let codes: String = codes.iter().map(|code| format!(" {code}")).collect();
        format!("{from}>{to} {what}{codes}")
    }

    /// Who is in a room, as its clients see it: nicks, in order.
    pub(super) fn roster(&self, room: char) -> Vec<String> {
        let node = &self.nodes[&room];
        let shown = node
            .crowd
            .iter()
            .filter(|known| known.sight == super::crowd::Sight::Shown);
        let mut nicks: Vec<_> = shown.map(|known| known.occupant.nick.clone()).collect();
        nicks.sort();
        nicks.dedup();
        nicks
    }
}

/// One of our elements; names of nodes are told nowhere but where they are given.
fn element(extension: &Extension) -> Option<String> {
    Some(match extension {
        Extension::Join(_) => "join".into(),
        Extension::Sync { reset: true, .. } => "sync-reset".into(),
        Extension::Sync { .. } => "sync".into(),
        Extension::Synced => "synced".into(),
        Extension::Crowd(_) => return None,
        Extension::Alias { .. } => return None,
        Extension::Origin(origin) => format!("o.{}", origin.seq),
        Extension::Last(origin) => format!("last.{}", origin.seq),
        Extension::Changed(..) => return None,
        Extension::Want(_, seqs) => format!("want.{}-{}", seqs.start(), seqs.end()),
        Extension::Gone(_, seqs) => format!("gone.{}-{}", seqs.start(), seqs.end()),
        Extension::Collision { nick, .. } => format!("collision({nick})"),
        Extension::Act { nick, .. } => format!("act({nick})"),
        Extension::Unreach(_) => "unreach".into(),
        Extension::Reach(_) => "reach".into(),
        Extension::Path(path) => format!("path({})", path.len()),
        Extension::Leave => "leave".into(),
        Extension::Rejoin => "rejoin".into(),
        Extension::Left(_) => return None,
        Extension::Refuse(condition) => format!("refuse({condition})"),
    })
}

/// A stanza at a client: `al: P Hamlet 110` (is there), `U` (is gone), `M` (says), `S` (the subject), `PM`, or what it is; with status codes, and `delay`.
/// Never anything that is between rooms (V5).
fn client(room: char, to: &Jid, stanza: &Stanza) -> String {
    let payload = stanza.payload();
    assert!(!payload.has("fmuc", ns::FMUC), "{stanza}");
    assert!(
        payload.children().all(|child| child.ns() != ns::SYNC),
        "{stanza}"
    );
    let text = |name: &str| {
        let child = payload.child(name, CLIENT).map(|child| child.element());
        child.map_or_else(String::new, |child| child.text().into_owned())
    };
    let nick = stanza.from().and_then(Jid::resource).unwrap_or_default();
    let error = || {
        stanza
            .error()
            .map(|error| error.condition.name())
            .unwrap_or_default()
    };
    let what = match stanza.kind() {
        Kind::Presence(PresenceType::Available) => format!("P {nick}"),
        Kind::Presence(PresenceType::Unavailable) => format!("U {nick}"),
        Kind::Message(MessageType::Groupchat) if payload.has("subject", CLIENT) => {
            format!("S {}", text("subject"))
        }
        Kind::Message(MessageType::Groupchat) => format!("M {nick}: {}", text("body")),
        Kind::Message(MessageType::Error) | Kind::Presence(PresenceType::Error) => {
            format!("error {nick} {}", error())
        }
        Kind::Message(_) => format!("PM {nick}: {}", text("body")),
        Kind::Iq(kind) => format!("iq {kind:?} {}", error()),
        _ => stanza.to_string(),
    };
    let mut codes = codes(stanza);
    let x = payload.child("x", ns::USER).map(|x| x.element());
    let item = x.as_ref().and_then(|x| x.child("item", ns::USER));
    if let Some(nick) = item.and_then(|item| item.attr("nick")) {
        codes.push(format!("to {nick}"));
    }
    if payload.has("delay", ns::DELAY) {
        codes.push("delay".into());
    }
    let codes: String = codes.iter().map(|code| format!(" {code}")).collect();
    let _ = room;
    format!("{}: {}{codes}", short(to), what.trim_end())
}

fn codes(stanza: &Stanza) -> Vec<String> {
    let x = stanza.payload().child("x", ns::USER).map(|x| x.element());
    let statuses = x
        .iter()
        .flat_map(|x| x.children())
        .filter(|one| one.is("status", ns::USER));
    statuses
        .filter_map(|status| status.attr("code").map(str::to_owned))
        .collect()
}

fn settings(setup: &Setup) -> Arc<crate::Settings> {
    Arc::new(crate::Settings {
        admins: vec!["admin@example.lit".parse().unwrap()],
        defaults: setup.config.clone(),
        limits: crate::Limits::default(),
        secret: [7; 32],
        random: Arc::new(Counted::default()),
    })
}

/// The address of a room.
pub(super) fn address(letter: char) -> BareJid {
    let room = ROOMS.iter().find(|(name, _)| *name == letter);
    BareJid::new(room.expect("a room").1).unwrap()
}

/// The room of an address.
fn name(room: &BareJid) -> char {
    let found = ROOMS.iter().find(|(_, address)| *address == room.as_str());
    found.map_or('?', |(name, _)| *name)
}

/// The domain of those who are at a room: `talk.denmark.lit` has those of `denmark.lit`.
fn domain_of_people(room: char) -> BareJid {
    let domain = address(room).domain().to_owned();
    BareJid::new(domain.split_once('.').expect("a domain").1).unwrap()
}

fn person(short: &str) -> &'static (&'static str, &'static str, &'static str) {
    let found = PEOPLE.iter().find(|(name, ..)| *name == short);
    found.unwrap_or_else(|| panic!("nobody is {short}"))
}

/// The short name of somebody.
fn short(jid: &Jid) -> String {
    let found = PEOPLE.iter().find(|(_, full, _)| *full == jid.as_str());
    found.map_or_else(|| jid.to_string(), |(name, ..)| (*name).to_owned())
}

fn letter(word: &str) -> char {
    word.chars().next().expect("a letter")
}

/// With this profile and dialect for all peers.
pub(super) fn speaking(dialect: Dialect, profile: LinkProfile) -> impl Fn(char, &mut Setup) {
    move |_, setup| {
        setup.federation.profile = profile;
        let peers = ROOMS.iter().map(|(_, room)| Peer {
            dialect,
            ..Peer::new(Jid::new(room).unwrap())
        });
        setup.settings.peers = peers.collect();
    }
}

/// With this profile for all links.
pub(super) fn profile(profile: LinkProfile) -> impl Fn(char, &mut Setup) {
    move |_, setup| setup.federation.profile = profile
}
