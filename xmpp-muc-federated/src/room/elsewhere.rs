//! Occupants who are at other nodes of the room (XEP-0289): how they come here, and what other nodes have to know of those who are here.
//!
//! The room itself knows nothing of nodes and links: [`fmuc`](crate::fmuc) tells it who is elsewhere, and takes what happens here from its
//! outputs ([`Output::Event`]). Whoever is elsewhere is shown here, can be written to, can be kicked; they do nothing here
//! themselves, so no right of theirs is ever asked for.

use std::sync::Arc;

use xmpp_core::stanza::{Stanza, StanzaError};
use xmpp_core::time::{Now, Timestamp};
use xmpp_core::{BareJid, Jid};

use super::{Affiliation, Output, Role, Room};

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

/// What happens here that other nodes have to know.
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
    /// Whether [events](Output::Event) are wanted, from now on.
    pub(crate) fn watch(&mut self, watched: bool) {
        let _ = watched;
        todo!()
    }

    /// Those who are here, in the order of their seats, as other nodes are to know them.
    pub(crate) fn here(&self) -> Vec<Occupant> {
        todo!()
    }

    /// Who has this nick, or one that looks the same: `None` if nobody has. Those here by the client that speaks for them.
    pub(crate) fn holder(&self, nick: &str) -> Option<(Jid, BareJid)> {
        let _ = nick;
        todo!()
    }

    /// Somebody who is elsewhere is in the room, or is in it in another way, under the nick they have. Who has said the same before is not heard of again.
    ///
    /// One whose bare JID has the nick already, here or elsewhere, shares it (§7.2.8).
    pub(crate) fn take_in(
        &mut self,
        occupant: &Occupant,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<(), Refusal> {
        let _ = (occupant, now, out);
        todo!()
    }

    /// They have another nick: 303, and the presence under the new one.
    pub(crate) fn rename_elsewhere(
        &mut self,
        jid: &Jid,
        nick: &str,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<(), Refusal> {
        let _ = (jid, nick, now, out);
        todo!()
    }

    /// They are gone. Nobody is asked, and no event comes of it.
    pub(crate) fn let_go(&mut self, jid: &Jid, parting: &Parting, now: Now, out: &mut Vec<Output>) {
        let _ = (jid, parting, now, out);
        todo!()
    }

    /// Says to all here what somebody elsewhere has said, and remembers it. `at` is when, for what comes late: then it bears a delay (XEP-0203).
    /// `false` if nobody here hears it, since they have no voice here (§7.4).
    pub(crate) fn hear(
        &mut self,
        by: &Jid,
        message: &Stanza,
        at: Option<Timestamp>,
        now: Now,
        out: &mut Vec<Output>,
    ) -> bool {
        let _ = (by, message, at, now, out);
        todo!()
    }

    /// The same of one who is not in the room any more, under the nick they had.
    pub(crate) fn hear_of_old(
        &mut self,
        by: &Jid,
        nick: &str,
        message: &Stanza,
        at: Timestamp,
        now: Now,
        out: &mut Vec<Output>,
    ) -> bool {
        let _ = (by, nick, message, at, now, out);
        todo!()
    }

    /// Another subject, set elsewhere by this nick. Whether they may is for the caller to know ([`Config::change_subject`](super::Config)).
    pub(crate) fn adopt_subject(
        &mut self,
        by: &Jid,
        nick: Option<&str>,
        message: &Stanza,
        at: Timestamp,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let _ = (by, nick, message, at, now, out);
        todo!()
    }

    /// Says something to one occupant here, on behalf of one who is elsewhere (§7.5).
    pub(crate) fn whisper_in(
        &mut self,
        by: &Jid,
        to: &str,
        message: &Stanza,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<(), StanzaError> {
        let _ = (by, to, message, now, out);
        todo!()
    }

    /// Takes somebody who is here out of the room, since somebody elsewhere has asked for it; an [`Event::Left`] comes of it. `false` if they are not here.
    pub(crate) fn expel(
        &mut self,
        jid: &Jid,
        parting: &Parting,
        now: Now,
        out: &mut Vec<Output>,
    ) -> bool {
        let _ = (jid, parting, now, out);
        todo!()
    }

    /// Gives somebody who is here another role, since somebody elsewhere has asked for it; an [`Event::Present`] comes of it.
    pub(crate) fn give(
        &mut self,
        jid: &Jid,
        role: Role,
        parting: &Parting,
        now: Now,
        out: &mut Vec<Output>,
    ) -> bool {
        let _ = (jid, role, parting, now, out);
        todo!()
    }

    /// Gives somebody who is here another nick (§7.6: 303, then 110 and 210), since theirs is somebody else's elsewhere; an [`Event::Renamed`] comes of it.
    pub(crate) fn rename_here(
        &mut self,
        jid: &Jid,
        nick: &str,
        now: Now,
        out: &mut Vec<Output>,
    ) -> bool {
        let _ = (jid, nick, now, out);
        todo!()
    }
}
