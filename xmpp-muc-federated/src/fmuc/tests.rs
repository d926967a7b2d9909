//! Scenarios of federated rooms: who does what, and what goes over the links and to the clients. Each is named by its number in the design (§6).

mod a;
mod agree;
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
mod lines;
mod openfire;
mod returned;
mod review;
mod script;
mod tail;
mod wires;
mod world;

use xmpp_core::{BareJid, Jid};

use self::world::{Setup, World};
use super::{
    Accept, Dialect, Extension, Federation, Input, LinkProfile, LinkState, Node, Output, Peer,
    PresenceLevel, Settings,
};

/// The rooms of the design, and one more.
const ROOMS: &[(char, &str)] = &[
    ('A', "rabbithole@rooms.wonderland.lit"),
    ('B', "elsinore@talk.denmark.lit"),
    ('C', "heath@muc.scotland.lit"),
    ('D', "forest@muc.arden.lit"),
    ('E', "ship@muc.illyria.lit"),
    ('F', "harbour@muc.cyprus.lit"),
];

/// Those who talk: a short name, who they are, and the nick that they like.
const PEOPLE: &[(&str, &str, &str)] = &[
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

/// The address of a room.
fn address(letter: char) -> BareJid {
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
fn speaking(dialect: Dialect, profile: LinkProfile) -> impl Fn(char, &mut Setup) {
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
fn profile(profile: LinkProfile) -> impl Fn(char, &mut Setup) {
    move |_, setup| setup.federation.profile = profile
}
