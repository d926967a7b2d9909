//! Who is in a room.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use xmpp_core::jid::nickname;
use xmpp_core::stanza::Stanza;
use xmpp_core::{BareJid, FullJid, Jid};

use super::{Affiliation, Role};

/// One nick, and who has it.
#[derive(Debug)]
pub(super) struct Occupant {
    /// `room@service/nick`.
    pub(super) address: FullJid,
    /// Who they really are.
    pub(super) real: BareJid,
    pub(super) role: Role,
    pub(super) affiliation: Affiliation,
    /// XEP-0421.
    pub(super) id: Arc<str>,
    /// Where they are, at least one; others see the presence of the one that was heard of last, which is the last one.
    pub(super) sessions: Vec<Session>,
    /// Whether others know that they are there (`presencebroadcast`).
    pub(super) shown: bool,
    /// The role that they have last been told they have.
    pub(super) told: Role,
    /// What others hear of them: without their real address, and with it.
    pub(super) heard: [OnceLock<Arc<Stanza>>; 2],
}

/// A client of an occupant (§7.2.8: several may have one nick).
#[derive(Debug)]
pub(super) struct Session {
    /// Its real address.
    pub(super) jid: Jid,
    /// What it says of itself, without addresses and without what is the room's to say.
    pub(super) presence: Stanza,
}

/// The place of an occupant, as long as they are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seat(usize);

/// All occupants, in the order of their seats.
#[derive(Debug, Default)]
pub(super) struct Occupants {
    seats: Vec<Option<Occupant>>,
    free: Vec<usize>,
    /// By the nick as it is compared (RFC 8266).
    nicks: HashMap<String, Seat>,
    sessions: HashMap<Jid, Seat>,
    everybody: OnceLock<Arc<[Jid]>>,
}

impl Occupants {
    pub(super) fn len(&self) -> usize {
        self.nicks.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.nicks.is_empty()
    }

    /// Takes a seat, if the nick is free.
    pub(super) fn enter(&mut self, occupant: Occupant) -> Option<Seat> {
        let key = key(occupant.address.resource());
        if self.nicks.contains_key(&key) {
            return None;
        }
        self.everybody.take();
        let at = self.free.pop().unwrap_or_else(|| {
            self.seats.push(None);
            self.seats.len() - 1
        });
        let seat = Seat(at);
        for session in &occupant.sessions {
            self.sessions.insert(session.jid.clone(), seat);
        }
        self.nicks.insert(key, seat);
        self.seats[at] = Some(occupant);
        Some(seat)
    }

    /// Leaves a seat, with all sessions.
    pub(super) fn leave(&mut self, seat: Seat) -> Option<Occupant> {
        let occupant = self.seats.get_mut(seat.0)?.take()?;
        self.everybody.take();
        self.free.push(seat.0);
        self.nicks.remove(&key(occupant.address.resource()));
        for session in &occupant.sessions {
            self.sessions.remove(&session.jid);
        }
        Some(occupant)
    }

    /// One session more on a seat.
    pub(super) fn join(&mut self, seat: Seat, session: Session) {
        if let Some(occupant) = self.seats.get_mut(seat.0).and_then(Option::as_mut) {
            self.everybody.take();
            self.sessions.insert(session.jid.clone(), seat);
            occupant.heard = Default::default();
            occupant.sessions.push(session);
        }
    }

    /// What a session says of itself now. Whether that is news.
    pub(super) fn says(&mut self, jid: &Jid, presence: Stanza) -> bool {
        let seat = self.sessions.get(jid).copied();
        let Some(occupant) = seat.and_then(|seat| self.get_mut(seat)) else {
            return false;
        };
        let of = |session: &Session| session.jid == *jid;
        let Some(at) = occupant.sessions.iter().position(of) else {
            return false;
        };
        let old = occupant.sessions.remove(at);
        let news = old.presence != presence || at != occupant.sessions.len();
        let jid = old.jid;
        occupant.sessions.push(Session { jid, presence });
        news
    }

    /// One session less; the seat stays taken as long as there is another.
    pub(super) fn part(&mut self, jid: &Jid) -> Option<Session> {
        let seat = *self.sessions.get(jid)?;
        let occupant = self.seats.get_mut(seat.0)?.as_mut()?;
        let at = occupant.sessions.iter().position(|s| s.jid == *jid)?;
        self.everybody.take();
        self.sessions.remove(jid);
        occupant.heard = Default::default();
        Some(occupant.sessions.remove(at))
    }

    /// Another nick for a seat, if it is free.
    pub(super) fn rename(&mut self, seat: Seat, address: FullJid) -> bool {
        let new = key(address.resource());
        if self.nicks.get(&new).is_some_and(|holder| *holder != seat) {
            return false;
        }
        let Some(occupant) = self.seats.get_mut(seat.0).and_then(Option::as_mut) else {
            return false;
        };
        self.nicks.remove(&key(occupant.address.resource()));
        self.nicks.insert(new, seat);
        occupant.address = address;
        occupant.heard = Default::default();
        true
    }

    /// Who has this nick, or one that looks the same.
    pub(super) fn named(&self, nick: &str) -> Option<Seat> {
        self.nicks.get(&key(nick)).copied()
    }

    /// Whose session this is.
    pub(super) fn of(&self, jid: &Jid) -> Option<Seat> {
        self.sessions.get(jid).copied()
    }

    pub(super) fn get(&self, seat: Seat) -> Option<&Occupant> {
        self.seats.get(seat.0)?.as_ref()
    }

    /// To change what they are; what others hear of them is made anew.
    pub(super) fn get_mut(&mut self, seat: Seat) -> Option<&mut Occupant> {
        let occupant = self.seats.get_mut(seat.0)?.as_mut()?;
        occupant.heard = Default::default();
        Some(occupant)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Seat, &Occupant)> {
        let seats = self.seats.iter().enumerate();
        seats.filter_map(|(at, occupant)| Some((Seat(at), occupant.as_ref()?)))
    }

    /// The real addresses of all sessions.
    pub(super) fn everybody(&self) -> Arc<[Jid]> {
        let all = || self.iter().flat_map(|(_, one)| &one.sessions);
        let list = || all().map(|session| session.jid.clone()).collect();
        self.everybody.get_or_init(list).clone()
    }
}

impl Occupant {
    /// The session that was heard of last.
    pub(super) fn latest(&self) -> Option<&Session> {
        self.sessions.last()
    }

    /// The real addresses of all their sessions.
    pub(super) fn clients(&self) -> Arc<[Jid]> {
        let all = self.sessions.iter();
        all.map(|session| session.jid.clone()).collect()
    }
}

/// The nick as it is compared. One that is no nickname (RFC 8266) is itself: it is a resourcepart, at least.
pub(super) fn key(nick: &str) -> String {
    nickname(nick).map_or_else(|_| nick.to_owned(), |key| key.into_owned())
}
