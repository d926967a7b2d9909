//! Who is in a room.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use xmpp_core::jid::nickname;
use xmpp_core::stanza::Stanza;
use xmpp_core::{BareJid, FullJid, Jid};

use super::{Affiliation, Role, elsewhere};

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
    /// Their clients here; others see the presence of the one that was heard of last, which is the last one.
    pub(super) sessions: Vec<Session>,
    /// Where else they are: at other nodes of the room, the one that was heard of last at the end. One that is nowhere has no seat.
    pub(super) elsewhere: Vec<Claim>,
    /// What other nodes have last been told of those here, as long as the room is watched.
    pub(super) known: Option<Box<elsewhere::Occupant>>,
    /// Whether others know that they are there (`presencebroadcast`).
    pub(super) shown: bool,
    /// The role that they have last been told they have.
    pub(super) told: Role,
    /// What others hear of them: without their real address, and with it.
    pub(super) heard: [OnceLock<Arc<Stanza>>; 2],
}

/// A client of an occupant (§7.2.8: several may have one nick).
#[derive(Debug, PartialEq)]
pub(super) struct Session {
    /// Its real address.
    pub(super) jid: Jid,
    /// What it says of itself, without addresses and without what is the room's to say.
    pub(super) presence: Stanza,
}

/// An occupant at another node, and what they are there. It is no right here: it is what is shown.
#[derive(Debug, PartialEq)]
pub(super) struct Claim {
    pub(super) session: Session,
    pub(super) role: Role,
    pub(super) affiliation: Affiliation,
}

/// The place of an occupant, as long as they are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seat(pub(super) usize);

/// All occupants, in the order of their seats.
#[derive(Debug, Default)]
pub(super) struct Occupants {
    pub(super) seats: Vec<Option<Occupant>>,
    pub(super) free: Vec<usize>,
    /// By the nick as it is compared (RFC 8266).
    nicks: HashMap<String, Seat>,
    /// Of clients here alone: who is elsewhere does nothing here.
    sessions: HashMap<Jid, Seat>,
    elsewhere: HashMap<Jid, Seat>,
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
        if self.named(occupant.address.resource()).is_some() {
            return None;
        }
        let at = self.free.pop().unwrap_or_else(|| {
            self.seats.push(None);
            self.seats.len() - 1
        });
        self.sit(Seat(at), occupant).then_some(Seat(at))
    }

    /// Takes this seat, which is there and nobody's, if the nick is free.
    pub(super) fn sit(&mut self, seat: Seat, occupant: Occupant) -> bool {
        let key = key(occupant.address.resource());
        if self.nicks.contains_key(&key) {
            return false;
        }
        self.everybody.take();
        for session in &occupant.sessions {
            self.sessions.insert(session.jid.clone(), seat);
        }
        for claim in &occupant.elsewhere {
            self.elsewhere.insert(claim.session.jid.clone(), seat);
        }
        self.nicks.insert(key, seat);
        self.seats[seat.0] = Some(occupant);
        true
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
        for claim in &occupant.elsewhere {
            self.elsewhere.remove(&claim.session.jid);
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

    /// One session less; the seat stays taken as long as there is another, here or elsewhere.
    pub(super) fn part(&mut self, jid: &Jid) -> Option<Session> {
        let seat = *self.sessions.get(jid)?;
        let occupant = self.seats.get_mut(seat.0)?.as_mut()?;
        let at = occupant.sessions.iter().position(|s| s.jid == *jid)?;
        self.everybody.take();
        self.sessions.remove(jid);
        let session = occupant.sessions.remove(at);
        occupant.settle();
        Some(session)
    }

    /// They are at another node too, or are there in another way.
    pub(super) fn join_elsewhere(&mut self, seat: Seat, claim: Claim) {
        if let Some(occupant) = self.seats.get_mut(seat.0).and_then(Option::as_mut) {
            let jid = &claim.session.jid;
            occupant.elsewhere.retain(|one| one.session.jid != *jid);
            self.elsewhere.insert(jid.clone(), seat);
            occupant.elsewhere.push(claim);
            occupant.settle();
        }
    }

    /// They are not there any more; the seat stays taken even if they are nowhere.
    pub(super) fn part_elsewhere(&mut self, jid: &Jid) -> Option<Claim> {
        let seat = self.elsewhere.remove(jid)?;
        let occupant = self.seats.get_mut(seat.0)?.as_mut()?;
        let of = |claim: &Claim| claim.session.jid == *jid;
        let at = occupant.elsewhere.iter().position(of)?;
        let claim = occupant.elsewhere.remove(at);
        occupant.settle();
        Some(claim)
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

    /// Where one sits who is at another node.
    pub(super) fn elsewhere(&self, jid: &Jid) -> Option<Seat> {
        self.elsewhere.get(jid).copied()
    }

    /// What other nodes know of them.
    pub(super) fn known(&mut self, seat: Seat) -> Option<&mut Option<Box<elsewhere::Occupant>>> {
        Some(&mut self.seats.get_mut(seat.0)?.as_mut()?.known)
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

    /// The real addresses of all sessions here.
    pub(super) fn everybody(&self) -> Arc<[Jid]> {
        let all = || self.iter().flat_map(|(_, one)| &one.sessions);
        let list = || all().map(|session| session.jid.clone()).collect();
        self.everybody.get_or_init(list).clone()
    }
}

impl Occupant {
    /// The session that was heard of last; those here come first.
    pub(super) fn latest(&self) -> Option<&Session> {
        let elsewhere = || Some(&self.elsewhere.last()?.session);
        self.sessions.last().or_else(elsewhere)
    }

    /// Whether they have no client here.
    pub(super) fn is_away(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Of their clients here the one that speaks for all of them to other nodes: the first, as long as it stays.
    pub(super) fn speaker(&self) -> Option<&Jid> {
        let known = self.known.as_ref().map(|known| &known.jid);
        let mut all = self.sessions.iter().map(|session| &session.jid);
        let first = all.clone().next();
        all.find(|jid| Some(*jid) == known).or(first)
    }

    /// As other nodes are to know them, if they are here.
    pub(super) fn abroad(&self) -> Option<elsewhere::Occupant> {
        Some(elsewhere::Occupant {
            jid: self.speaker()?.clone(),
            nick: self.address.resource().to_owned(),
            affiliation: self.affiliation,
            role: self.role,
            presence: self.sessions.last()?.presence.clone(),
        })
    }

    /// What they are is what this node says as long as they are here, and else what the other one does that was heard of last.
    fn settle(&mut self) {
        self.heard = Default::default();
        if let (true, Some(claim)) = (self.is_away(), self.elsewhere.last()) {
            (self.role, self.affiliation) = (claim.role, claim.affiliation);
            self.told = self.role;
        }
    }

    /// The real addresses of all their sessions here.
    pub(super) fn clients(&self) -> Arc<[Jid]> {
        let all = self.sessions.iter();
        all.map(|session| session.jid.clone()).collect()
    }
}

/// The nick as it is compared. One that is no nickname (RFC 8266) is itself: it is a resourcepart, at least.
pub(super) fn key(nick: &str) -> String {
    nickname(nick).map_or_else(|_| nick.to_owned(), |key| key.into_owned())
}
