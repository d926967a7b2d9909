//! How rooms are federated: what a room's owner decides ([`Federation`]), what is so for a [`Peer`], and what is so for all of them.

use std::time::Duration;

use xmpp_core::{BareJid, Jid};

use super::Mode;
use crate::log::{HaveLimits, Retention};
use crate::room::{Affiliation, Role};

mod payloads;
mod profile;

pub use payloads::Payloads;
pub use profile::{Backoff, Bandwidth, LinkProfile, PresenceLevel, Timers};

/// How one room is federated. The default is a room that joins none and accepts none.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Federation {
    /// The rooms that it joins: one of them at a time, the next when that cannot be had. Default none: it is the root, or all there is.
    pub parents: Vec<BareJid>,
    /// How it is one with the room that it joins; default [`Mode::Primary`].
    pub mode: Mode,
    /// Which rooms may join it; default none.
    pub accept: Accept,
    /// What its links are like, unless it is said of the [peer](Peer::link); default [`LinkProfile::Lan`].
    pub profile: LinkProfile,
}

/// Which rooms may join a room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Accept {
    /// None.
    #[default]
    None,
    /// Any: of every server that there is (XEP-0289 §3, ad-hoc).
    Any,
    /// These: rooms, or domains with all of their rooms.
    Only(Vec<Jid>),
}

/// What is so for the rooms of somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer {
    /// A room, or a domain with all of its rooms.
    pub jid: Jid,
    /// What it speaks; default [`Dialect::Auto`].
    pub dialect: Dialect,
    /// What the link there is like; default as [the room says](Federation::profile).
    pub link: Option<LinkProfile>,
    /// What of occupants it is told; default as its link [is like](LinkProfile::bandwidth).
    pub presence: Option<PresenceLevel>,
    /// Whose occupants it may introduce; default [`SpeakFor::Others`].
    pub speak_for: SpeakFor,
    /// Whether those whom it takes out of the room go, and roles that it asks for are given; default yes.
    pub honour_kicks: bool,
    /// Whether moderators over there may change the subject where occupants may not, and make moderators of those here; default no.
    pub trust_roles: bool,
    /// The highest role in which its occupants are shown; default moderator: as the peer has it. What is shown gives nobody any right.
    pub shown_role: Role,
    /// And the highest affiliation; default owner.
    pub shown_affiliation: Affiliation,
    /// What becomes of its occupants while the link is down; default [`OnLoss::Remove`].
    pub on_loss: OnLoss,
    /// What becomes of somebody here whose nick is somebody else's there; default [`Collision::Rename`].
    pub collision: Collision,
}

/// What a peer speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// What it turns out to speak: our extension, or else XEP-0289 alone.
    #[default]
    Auto,
    /// Our extension: it is not taken for a peer without.
    Ext,
    /// XEP-0289 alone; nothing else is offered.
    Xep,
    /// XEP-0289 as Openfire has it: both rooms are primaries, and private messages and changes of presence stay here.
    Openfire,
}

/// Whose occupants a peer may introduce. Ours it never may, whatever is said here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SpeakFor {
    /// Those of all domains that are not ours.
    #[default]
    Others,
    /// Those of these domains.
    Only(Vec<BareJid>),
}

/// What becomes of occupants whose link is down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLoss {
    /// They leave (status 333) after [`Timers::grace`].
    #[default]
    Remove,
    /// They are shown as away, at once, and leave after [`Timers::grace`].
    Away,
    /// They stay.
    Keep,
}

/// What becomes of somebody here whose nick is somebody else's at the room that this one has joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Collision {
    /// They get another nick (XEP-0045 §7.6, status 210).
    #[default]
    Rename,
    /// They are taken out of the room, and told why.
    Kick,
}

/// What is so for all federated rooms of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// What is said of single peers: of several that fit, a room comes before its domain, and the first before the others. Default none.
    pub peers: Vec<Peer>,
    /// The domains that are ours, of accounts and of services; the service adds those that its server has. Default none.
    pub local: Vec<BareJid>,
    /// Bounds.
    pub limits: Limits,
    /// How many events are kept for those who have missed them.
    pub log: Retention,
    /// How much is known of other nodes.
    pub have: HaveLimits,
}

/// What one link may take. What is beyond it is dropped and counted, and the peer is not answered (§5.13 of the design).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Rooms that have joined one room; default 32. One more is rejected.
    pub children: usize,
    /// Rooms between one and the root of its tree; default 16.
    pub path: usize,
    /// Rooms that are behind one link; default 250. Of one more nothing is accepted.
    pub nodes: usize,
    /// Occupants that are behind one link; default 5000. One more is not let in.
    pub occupants: usize,
    /// Bytes of a stanza that a peer sends; default 64 KiB.
    pub stanza: usize,
    /// Stanzas that a peer may send at once, what it catches up with included, and events that it may ask for once more; default 10 000. One that sends more
    /// is not heard for a minute.
    pub burst: u32,
    /// And from then on in a second; default 200.
    pub rate: u32,
    /// Kicks and changes of roles that a peer may ask for in a minute; default 30.
    pub requests: u32,
    /// Times in a minute that a peer joins, or has this room join anew; default 30. Each time all is told to it that it lacks.
    pub joins: u32,
    /// Answers in a minute to a room that is not let in, or does not know that it has left; default 10.
    pub refusals: u32,
    /// Events that wait for one peer; default 1000. The oldest make room, and the peer is told that they are gone.
    pub outbox: usize,
    /// And their bytes; default 1 MiB.
    pub outbox_bytes: usize,
    /// Messages of history that are taken from a peer when it is joined; default 100.
    pub history: usize,
    /// And how old they may be; default 30 days.
    pub history_age: Duration,
    /// Characters of a text that is shown to somebody, such as why a room is rejected; default 256.
    pub text: usize,
    /// Stanzas of a peer without our extension that are remembered to know them again; default 1000.
    pub dedupe: usize,
    /// And for how long; default 10 minutes.
    pub dedupe_age: Duration,
    /// Messages of ours that wait for their echo from the room that this one is a replica of; default 1000. One more is refused.
    pub pending: usize,
}

impl Federation {
    /// Whether the room is one with any other, or may be.
    pub fn is_none(&self) -> bool {
        self.parents.is_empty() && self.accept == Accept::None
    }

    /// What its link to this peer is like.
    pub fn link(&self, peer: &Peer) -> LinkProfile {
        peer.link.unwrap_or(self.profile)
    }
}

impl Default for Federation {
    fn default() -> Federation {
        Federation {
            parents: Vec::new(),
            mode: Mode::Primary,
            accept: Accept::None,
            profile: LinkProfile::Lan,
        }
    }
}

impl Accept {
    /// Whether this room may join.
    pub fn admits(&self, room: &BareJid) -> bool {
        match self {
            Accept::None => false,
            Accept::Any => true,
            Accept::Only(these) => these.iter().any(|one| names(one, room)),
        }
    }
}

impl Peer {
    /// With the defaults.
    pub fn new(jid: Jid) -> Peer {
        Peer {
            jid,
            dialect: Dialect::Auto,
            link: None,
            presence: None,
            speak_for: SpeakFor::Others,
            honour_kicks: true,
            trust_roles: false,
            shown_role: Role::Moderator,
            shown_affiliation: Affiliation::Owner,
            on_loss: OnLoss::Remove,
            collision: Collision::Rename,
        }
    }
}

impl Dialect {
    /// Its name, for operators.
    pub fn name(self) -> &'static str {
        match self {
            Dialect::Auto => "auto",
            Dialect::Ext => "ext",
            Dialect::Xep => "xep",
            Dialect::Openfire => "openfire",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Dialect> {
        use Dialect::*;
        let all = [Auto, Ext, Xep, Openfire];
        all.into_iter().find(|one| one.name() == name)
    }
}

impl Settings {
    /// What is so for this room of somebody else.
    pub fn peer(&self, room: &BareJid) -> Peer {
        let exact = self.peers.iter().find(|peer| peer.jid == *room.as_jid());
        let fits = || self.peers.iter().find(|peer| names(&peer.jid, room));
        match exact.or_else(fits) {
            Some(peer) => peer.clone(),
            None => Peer::new(room.clone().into()),
        }
    }

    /// Whether a domain is ours.
    pub fn is_local(&self, domain: &str) -> bool {
        self.local.iter().any(|local| local.as_str() == domain)
    }

    /// Whether this peer may introduce somebody.
    pub fn may_introduce(&self, peer: &Peer, occupant: &Jid) -> bool {
        let domain = occupant.domain();
        let speaks = match &peer.speak_for {
            SpeakFor::Others => true,
            SpeakFor::Only(domains) => domains.iter().any(|one| one.as_str() == domain),
        };
        speaks && !self.is_local(domain)
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            children: 32,
            path: 16,
            nodes: 250,
            occupants: 5000,
            stanza: 64 << 10,
            burst: 10_000,
            rate: 200,
            requests: 30,
            joins: 30,
            refusals: 10,
            outbox: 1000,
            outbox_bytes: 1 << 20,
            history: 100,
            history_age: Duration::from_secs(30 * 24 * 60 * 60),
            text: 256,
            dedupe: 1000,
            dedupe_age: Duration::from_secs(10 * 60),
            pending: 1000,
        }
    }
}

/// Whether this is the room, or its domain.
fn names(one: &Jid, room: &BareJid) -> bool {
    *one == *room.as_jid() || one.as_str() == room.domain()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bare(text: &str) -> BareJid {
        BareJid::new(text).unwrap()
    }

    fn jid(text: &str) -> Jid {
        Jid::new(text).unwrap()
    }

    #[test]
    fn a_room_comes_before_its_domain_and_what_is_not_named_is_as_by_default() {
        let peer = |name: &str, dialect| Peer {
            dialect,
            ..Peer::new(jid(name))
        };
        let settings = Settings {
            peers: vec![
                peer("rooms.a.example", Dialect::Openfire),
                peer("quiet@rooms.a.example", Dialect::Xep),
                peer("rooms.a.example", Dialect::Ext),
            ],
            ..Settings::default()
        };
        for (room, dialect) in [
            ("quiet@rooms.a.example", Dialect::Xep),
            ("loud@rooms.a.example", Dialect::Openfire),
            ("quiet@rooms.b.example", Dialect::Auto),
            ("quiet@a.example", Dialect::Auto),
        ] {
            assert_eq!(settings.peer(&bare(room)).dialect, dialect, "{room}");
        }
    }

    #[test]
    fn nobody_is_accepted_who_is_not_named() {
        let only = Accept::Only(vec![jid("a@rooms.a.example"), jid("rooms.b.example")]);
        for (accept, room, admitted) in [
            (&Accept::None, "a@rooms.a.example", false),
            (&Accept::Any, "a@rooms.a.example", true),
            (&only, "a@rooms.a.example", true),
            (&only, "b@rooms.a.example", false),
            (&only, "a@rooms.b.example", true),
            (&only, "a@more.rooms.b.example", false),
        ] {
            assert_eq!(accept.admits(&bare(room)), admitted, "{accept:?} {room}");
        }
    }

    /// §5.13 of the design: "A peer can **never** introduce a JID of ours".
    #[test]
    fn no_peer_introduces_one_of_ours() {
        let settings = Settings {
            local: vec![bare("our.example")],
            ..Settings::default()
        };
        let only = |domain| SpeakFor::Only(vec![bare(domain)]);
        for (speak_for, occupant, may) in [
            (SpeakFor::Others, "a@their.example/x", true),
            (SpeakFor::Others, "a@our.example/x", false),
            (only("our.example"), "a@our.example/x", false),
            (only("their.example"), "a@their.example/x", true),
            (only("their.example"), "a@other.example/x", false),
        ] {
            let peer = Peer {
                speak_for,
                ..Peer::new(jid("rooms.their.example"))
            };
            assert_eq!(
                settings.may_introduce(&peer, &jid(occupant)),
                may,
                "{peer:?} {occupant}"
            );
        }
    }
}
