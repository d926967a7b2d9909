//! Occupants who are at other nodes of the room (XEP-0289): how they come here, and what other nodes have to know of those who are here.
//!
//! The room itself knows nothing of nodes and links: [`fmuc`](crate::fmuc) tells it who is elsewhere, and takes what happens here from its
//! outputs ([`Output::Event`](super::Output::Event)). Whoever is elsewhere is shown here, can be written to, can be kicked; they do nothing here
//! themselves, so no right of theirs is ever asked for.

use std::sync::Arc;

use xmpp_core::stanza::{Kind, PresenceType, Stanza};
use xmpp_core::time::Timestamp;
use xmpp_core::{BareJid, Jid};

pub(crate) use super::message::Prepared;
use super::occupants::{Occupant as Seated, Seat};
use super::presence::Notice;
use super::{Affiliation, Role, Room};

mod coming;
mod event;
mod replica;
mod request;
mod speech;

/// An occupant as other nodes know them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occupant {
    /// Who they are: of several clients of one who is here, the one that speaks for all of them.
    pub jid: Jid,
    /// Their nick.
    pub nick: String,
    /// What they are to the room, as it is shown.
    pub affiliation: Affiliation,
    /// And in it.
    pub role: Role,
    /// What they say of themselves: an available presence without addresses, and without what is a room's to say.
    pub presence: Stanza,
}

/// Why and how somebody goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parting {
    /// Status codes (XEP-0045 §16.6) that all are told.
    pub codes: Vec<u16>,
    /// Who has done it: the nick, and who that is if it is somebody here.
    pub actor: Option<Actor>,
    /// Why, in their words.
    pub reason: Option<String>,
    /// What they say when they leave: an unavailable presence without addresses, and without what is a room's to say.
    pub farewell: Option<Stanza>,
}

/// Who does something to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Under which nick.
    pub nick: String,
    /// Who: `None` if that is not known here.
    pub jid: Option<Jid>,
}

/// Something that was said to all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// By whom: the one that speaks for them, [`Occupant::jid`].
    pub by: Jid,
    /// Under which nick.
    pub nick: String,
    /// The message as all here receive it, without `to`.
    pub message: Arc<Stanza>,
    /// Its id in this room (XEP-0359).
    pub id: String,
    /// When.
    pub at: Timestamp,
}

/// What happens here that other nodes have to know. What they have said themselves does not come back as one of these, and that the
/// room ends (332, or it is destroyed) is not told of each occupant: it is one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody is here, or is here in another way. The first one of a [`Occupant::jid`] is their coming.
    Present {
        /// How.
        occupant: Occupant,
        /// Another client speaks for them from now on, this one did before.
        instead_of: Option<Jid>,
    },
    /// Somebody here has another nick.
    Renamed {
        /// Who.
        jid: Jid,
        /// Under which nick they were known.
        from: String,
        /// And are from now on.
        to: String,
    },
    /// Somebody here is gone.
    Left {
        /// Who.
        jid: Jid,
        /// Under which nick.
        nick: String,
        /// How.
        parting: Parting,
    },
    /// Somebody here says something.
    Said(Said),
    /// Somebody here changes the subject.
    Subject(Said),
    /// Somebody here says something to one who is elsewhere.
    Private {
        /// By whom, [`Occupant::jid`].
        by: Jid,
        /// Under which nick.
        nick: String,
        /// The client that has sent it, for an error.
        sender: Jid,
        /// To whom.
        to: Jid,
        /// The message, without addresses.
        message: Stanza,
    },
    /// Somebody here has taken one who is elsewhere out of the room: here they are gone.
    Expelled {
        /// Whom.
        jid: Jid,
        /// Under which nick.
        nick: String,
        /// How.
        parting: Parting,
    },
    /// Somebody here has given one who is elsewhere another role: here they have it.
    Given {
        /// Whom.
        jid: Jid,
        /// Which.
        role: Role,
        /// Who, and why.
        parting: Parting,
    },
}

/// Why somebody who is elsewhere is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// They are banned here, or not a member of a room that is for members only.
    Outcast,
    /// The nick is somebody else's: of this one, if they are there.
    Taken,
    /// It is no nick, or too long.
    Nick,
    /// The room is full.
    Full,
    /// There is no room yet.
    Locked,
}

impl Room {
    /// Whether [events](Output::Event) are wanted, from now on. Of those who are [here](Self::here) already it is known what they are.
    pub(crate) fn watch(&mut self, watched: bool) {
        self.watched = watched;
        let seats: Vec<Seat> = self.occupants.iter().map(|(seat, _)| seat).collect();
        for seat in seats {
            let now = self.occupants.get(seat).filter(|_| watched);
            let now = now.and_then(Seated::abroad);
            if let Some(known) = self.occupants.known(seat) {
                *known = now.map(Box::new);
            }
        }
    }

    /// Whether anybody with a voice changes the subject.
    pub(crate) fn anybody_sets_subject(&self) -> bool {
        self.config.change_subject
    }

    /// As what the occupant of this nick is shown.
    #[cfg(test)]
    pub(crate) fn standing(&self, nick: &str) -> Option<(Affiliation, Role)> {
        let occupant = self.occupants.get(self.occupants.named(nick)?)?;
        Some((occupant.affiliation, occupant.role))
    }

    /// Whether this client is in the room, and here.
    pub(crate) fn is_in(&self, client: &Jid) -> bool {
        self.occupants.of(client).is_some()
    }

    /// Whether they own or administrate the room: no moderator takes them out of it (§8.2).
    pub(crate) fn is_ruled_by(&self, user: &BareJid) -> bool {
        self.affiliation(user) >= Affiliation::Admin
    }

    /// The most bytes of a presence's payload.
    pub(crate) fn presence_bytes(&self) -> usize {
        self.settings.limits.presence
    }

    /// The most bytes of a nick.
    pub(crate) fn nick_bytes(&self) -> usize {
        self.settings.limits.nick
    }

    /// Those who are here, in the order of their seats, as other nodes are to know them.
    pub(crate) fn here(&self) -> Vec<Occupant> {
        let all = self.occupants.iter();
        all.filter_map(|(_, occupant)| occupant.abroad()).collect()
    }

    /// Who has this nick, or one that looks the same: `None` if nobody has. Those here by the client that speaks for them.
    pub(crate) fn holder(&self, nick: &str) -> Option<(Jid, BareJid)> {
        let occupant = self.occupants.get(self.occupants.named(nick)?)?;
        let elsewhere = || Some(&occupant.elsewhere.last()?.session.jid);
        let jid = occupant.speaker().or_else(elsewhere)?;
        Some((jid.clone(), occupant.real.clone()))
    }

    /// What somebody is to the room here: what decides who may do what to them.
    pub(super) fn due(&self, occupant: &Seated) -> Affiliation {
        match occupant.is_away() {
            true => self.affiliation(&occupant.real),
            false => occupant.affiliation,
        }
    }

    /// Why somebody goes, as it is told here.
    fn notice(&self, parting: &Parting) -> Notice {
        let short = |text: &String| text.len() <= self.settings.limits.text;
        let said = |farewell| self.bounded_presence(farewell, PresenceType::Unavailable);
        Notice {
            codes: parting.codes.clone(),
            actor: parting.actor.clone(),
            reason: parting.reason.clone().filter(short),
            destroy: None,
            farewell: parting.farewell.as_ref().map(said),
        }
    }

    /// What a presence says, if it is one of this type and not too large.
    fn bounded_presence(&self, presence: &Stanza, kind: PresenceType) -> Stanza {
        let fits = presence.payload().as_bytes().len() <= self.settings.limits.presence;
        match fits && presence.kind() == Kind::Presence(kind) {
            true => self.said(presence),
            false => Stanza::presence(kind),
        }
    }
}
