//! Several rooms, the links between them, and a clock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use xmpp_core::Jid;
use xmpp_core::machine::Machine as _;
use xmpp_core::server::Random;
use xmpp_core::stanza::Stanza;
use xmpp_core::time::{Now, Timestamp};

use super::openfire::Openfire;
use super::{Accept, Federation, Node, Peer, ROOMS, Settings, address, domain_of_people, person};
use crate::room::{self, Config, Room};
use crate::store::{Change, FederationChange, StoredFederation, StoredRoom};

/// Several rooms, the links between them, and a clock.
pub(super) struct World {
    pub(super) nodes: BTreeMap<char, Node>,
    /// Rooms that are others' (see [`World::openfire`]).
    pub(super) openfires: BTreeMap<char, Openfire>,
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
    /// The same as it was written, in its order.
    pub(super) xml: Vec<((char, char), String)>,
    /// All that an operator was told.
    pub(super) notices: Vec<String>,
    /// When something was sent from room to room.
    pub(super) sent: Vec<Instant>,
    /// The last stanza that each client has received.
    pub(super) last: BTreeMap<String, Stanza>,
    /// What each room has stored of itself and of its other nodes.
    pub(super) stored: BTreeMap<char, Stored>,
    /// Streams acknowledge what they carry (XEP-0198): default yes.
    pub(super) acknowledged: bool,
    pub(super) setups: BTreeMap<char, Setup>,
}

/// What a room has stored.
#[derive(Default)]
pub(super) struct Stored {
    pub(super) room: Vec<Change>,
    pub(super) federation: StoredFederation,
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
            xml: Vec::new(),
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
    pub(super) fn restart(&mut self, name: char) {
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

    pub(super) fn store(&mut self, name: char, change: Change) {
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
