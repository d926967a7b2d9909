//! Occupants who are at other nodes of the room (XEP-0289): how they come here, and what other nodes have to know of those who are here.
//!
//! The room itself knows nothing of nodes and links: [`fmuc`](crate::fmuc) tells it who is elsewhere, and takes what happens here from its
//! outputs ([`Output::Event`]). Whoever is elsewhere is shown here, can be written to, can be kicked; they do nothing here
//! themselves, so no right of theirs is ever asked for.

use std::sync::Arc;

use xmpp_core::stanza::{Condition, Kind, MessageType, PresenceType, Stanza, StanzaError};
use xmpp_core::time::{Now, Timestamp};
use xmpp_core::{BareJid, FullJid, Jid};

use super::history::stamped;
use super::occupants::{Claim, Occupant as Seated, Seat, Session};
use super::presence::{Notice, Sight, occupant_id};
use super::privilege::Privilege;
use super::subject::Subject;
use super::{Affiliation, Output, Role, Room, Turn};

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

    /// Somebody who is elsewhere is in the room, or is in it in another way. Who has said the same before is not heard of again;
    /// who comes with another nick than they had is [renamed](Self::rename_elsewhere).
    ///
    /// One whose bare JID has the nick already, here or elsewhere, shares it (§7.2.8). A presence that is larger than one here may be says nothing.
    pub(crate) fn take_in(
        &mut self,
        occupant: &Occupant,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<(), Refusal> {
        if self.locked {
            return Err(Refusal::Locked);
        }
        let real = occupant.jid.to_bare();
        match self.affiliation(&real) {
            Affiliation::Outcast => return Err(Refusal::Outcast),
            Affiliation::None if self.config.members_only => return Err(Refusal::Outcast),
            _ => {}
        }
        self.rename_elsewhere(&occupant.jid, &occupant.nick, now, out)?;
        let (address, holder) = self.place(&real, &occupant.nick)?;
        let claim = Claim {
            session: Session {
                jid: occupant.jid.clone(),
                presence: self.bounded_presence(&occupant.presence, PresenceType::Available),
            },
            role: occupant.role.max(Role::Visitor),
            affiliation: occupant.affiliation.max(Affiliation::None),
        };
        self.sit(claim, real, address, holder, &mut Turn { now, out })
    }

    /// They have another nick: 303, and the presence under the new one. One who shares theirs leaves it to the others. Of one who is not in the room nothing is done.
    pub(crate) fn rename_elsewhere(
        &mut self,
        jid: &Jid,
        nick: &str,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<(), Refusal> {
        let seat = self.occupants.elsewhere(jid);
        let Some((seat, there)) = seat.and_then(|seat| Some((seat, self.occupants.get(seat)?)))
        else {
            return Ok(());
        };
        let real = there.real.clone();
        let (address, holder) = self.place(&real, nick)?;
        let alone = there.is_away() && there.elsewhere.len() == 1;
        if holder == Some(seat) && (!alone || there.address == address) {
            return Ok(());
        }
        let stays = alone && holder.is_none_or(|holder| holder == seat);
        if !stays {
            self.has_place(holder)?;
        }
        let turn = &mut Turn { now, out };
        if alone {
            self.tell_rename(seat, address.resource(), turn);
        }
        if stays {
            self.occupants.rename(seat, address);
            self.tell_others(seat, &Notice::default(), turn);
            return Ok(());
        }
        let seen = there_is(self.occupants.get(seat), jid);
        let Some(claim) = self.occupants.part_elsewhere(jid) else {
            return Ok(());
        };
        if alone {
            self.occupants.leave(seat);
        } else if seen {
            self.tell_others(seat, &Notice::default(), turn);
        }
        self.sit(claim, real, address, holder, turn)
    }

    /// They are gone. Nobody is asked, and no event comes of it. The room ends with the last one, if it is one that does (§7.14).
    pub(crate) fn let_go(&mut self, jid: &Jid, parting: &Parting, now: Now, out: &mut Vec<Output>) {
        let seat = self.occupants.elsewhere(jid);
        let Some((seat, there)) = seat.and_then(|seat| Some((seat, self.occupants.get(seat)?)))
        else {
            return;
        };
        let turn = &mut Turn { now, out };
        let notice = self.notice(parting);
        if there.is_away() && there.elsewhere.len() == 1 {
            if let Some(gone) = self.take_out(seat, &notice, turn) {
                self.report(&gone, &notice, &self.audience(None), turn);
            }
            return self.settle(turn);
        }
        let seen = there_is(Some(there), jid);
        self.occupants.part_elsewhere(jid);
        if seen {
            self.tell_others(seat, &Notice::default(), turn);
        }
    }

    /// Says to all here what somebody elsewhere has said, and remembers it. `at` is when, for what comes late: then it bears a delay (XEP-0203).
    /// `false` if nobody here hears it, since they have no voice here (§7.4), or are not in the room.
    pub(crate) fn hear(
        &mut self,
        by: &Jid,
        message: &Stanza,
        at: Option<Timestamp>,
        now: Now,
        out: &mut Vec<Output>,
    ) -> bool {
        let seat = self.occupants.elsewhere(by);
        let Some(occupant) = seat.and_then(|seat| self.occupants.get(seat)) else {
            return false;
        };
        if !self.config.allows(occupant.role, Privilege::SpeakToAll) {
            return false;
        }
        let (address, id) = (occupant.address.clone(), occupant.id.clone());
        let turn = &mut Turn { now, out };
        self.repeat(address, &id, message, at, turn);
        true
    }

    /// The same of one who is not in the room any more, under the nick they had. `false` if they are banned here, or if a moderator here
    /// has taken their voice, or if it is no nick.
    pub(crate) fn hear_of_old(
        &mut self,
        by: &Jid,
        nick: &str,
        message: &Stanza,
        at: Timestamp,
        now: Now,
        out: &mut Vec<Output>,
    ) -> bool {
        let user = by.to_bare();
        let voice = self.voices.get(&user).copied();
        let voice = voice.unwrap_or(Role::Participant);
        let Ok(address) = self.jid.with_resource(nick) else {
            return false;
        };
        if self.affiliation(&user) == Affiliation::Outcast
            || !self.config.allows(voice, Privilege::SpeakToAll)
        {
            return false;
        }
        let id = self.occupant_id(&user);
        let turn = &mut Turn { now, out };
        self.repeat(address, &id, message, Some(at), turn);
        true
    }

    /// Another subject, set elsewhere by this nick. Whether they may is for the caller to know ([`Config::change_subject`](super::Config)).
    /// It bears a delay (XEP-0203) if it is of an earlier time; one that is too long, or that is there already, is passed over.
    pub(crate) fn adopt_subject(
        &mut self,
        by: &Jid,
        nick: Option<&str>,
        message: &Stanza,
        at: Timestamp,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let turn = &mut Turn { now, out };
        let payload = self.clean(message.payload());
        if payload.as_bytes().len() > self.settings.limits.subject {
            return;
        }
        let address = nick.and_then(|nick| self.jid.with_resource(nick).ok());
        let from = address.map_or_else(|| Jid::from(&self.jid), Jid::from);
        let at = at.min(now.utc);
        let mut payload = payload.with(&self.stanza_id(&self.fresh_id()));
        if !from.is_bare() {
            payload = payload.with(&occupant_id(&self.occupant_id(&by.to_bare())));
        }
        let subject = Subject {
            message: groupchat(message).with_from(from).with_payload(payload),
            at,
        };
        let is_there = |there: &Subject| {
            there.at == at
                && there.text() == subject.text()
                && there.message.from() == subject.message.from()
        };
        if self.subject.as_ref().is_some_and(is_there) {
            return;
        }
        let told = match at < now.utc {
            true => stamped(&self.jid, &subject.message, at),
            false => subject.message.clone(),
        };
        self.subject = Some(subject);
        self.changed = true;
        self.send_to_all(told, turn);
        self.settle(turn);
    }

    /// Says something to one occupant here, on behalf of one who is elsewhere (§7.5). The error that comes back for it is an
    /// [`Event::Private`] of type `error`.
    pub(crate) fn whisper_in(
        &mut self,
        by: &Jid,
        to: &str,
        message: &Stanza,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<(), StanzaError> {
        let to = self.jid.with_resource(to);
        let to = to.map_err(|_| Condition::ItemNotFound)?;
        self.whisper_from(by, &to, message, &mut Turn { now, out })
    }

    /// Takes somebody who is here out of the room, since somebody elsewhere has asked for it; an [`Event::Left`] comes of it. `false` if they are not here.
    /// Where else they are they stay.
    pub(crate) fn expel(
        &mut self,
        jid: &Jid,
        parting: &Parting,
        now: Now,
        out: &mut Vec<Output>,
    ) -> bool {
        let turn = &mut Turn { now, out };
        let seat = self.occupants.of(jid);
        let Some((seat, there)) = seat.and_then(|seat| Some((seat, self.occupants.get(seat)?)))
        else {
            return false;
        };
        let notice = self.notice(parting);
        if there.elsewhere.is_empty() {
            self.remove(seat, &notice, turn);
        } else {
            let clients = there.clients();
            let own = self.unavailable(there, &notice, Sight::Own);
            turn.broadcast(own, clients.clone());
            for client in clients.iter() {
                self.occupants.part(client);
                self.ask_no_more(client, turn);
            }
            self.tell_nodes_left(seat, &notice, turn);
            self.tell_others(seat, &Notice::default(), turn);
        }
        self.settle(turn);
        true
    }

    /// Gives somebody who is here another role, since somebody elsewhere has asked for it; an [`Event::Present`] comes of it.
    /// `false` if they are not here, or it is none.
    pub(crate) fn give(
        &mut self,
        jid: &Jid,
        role: Role,
        parting: &Parting,
        now: Now,
        out: &mut Vec<Output>,
    ) -> bool {
        let notice = self.notice(parting);
        let seat = self.occupants.of(jid).filter(|_| role != Role::None);
        let Some((seat, there)) = seat.and_then(|seat| Some((seat, self.occupants.get_mut(seat)?)))
        else {
            return false;
        };
        let (was, user) = (there.role, there.real.clone());
        there.role = role;
        self.note_voice(&user, role);
        if was != role {
            self.announce(seat, &notice, &mut Turn { now, out });
        }
        true
    }

    /// Gives somebody who is here another nick (§7.6: 303, then 110 and 210), since theirs is somebody else's elsewhere; an [`Event::Renamed`] comes of it.
    /// `false` if they are not here, or cannot have it: somebody has it, or it is too long, or no nick.
    pub(crate) fn rename_here(
        &mut self,
        jid: &Jid,
        nick: &str,
        now: Now,
        out: &mut Vec<Output>,
    ) -> bool {
        let turn = &mut Turn { now, out };
        let (Some(seat), Ok(address)) = (self.occupants.of(jid), self.jid.with_resource(nick))
        else {
            return false;
        };
        if self.rename(seat, &address, turn) != Ok(true) {
            return false;
        }
        self.tell_itself(seat, &Notice::code(ASSIGNED), None, turn);
        self.tell_others(seat, &Notice::default(), turn);
        true
    }

    /// What somebody is to the room here: what decides who may do what to them.
    pub(super) fn due(&self, occupant: &Seated) -> Affiliation {
        match occupant.is_away() {
            true => self.affiliation(&occupant.real),
            false => occupant.affiliation,
        }
    }

    /// Those here take another nick, and leave the one they share to those elsewhere.
    pub(super) fn part_ways(
        &mut self,
        seat: Seat,
        to: &FullJid,
        turn: &mut Turn<'_>,
    ) -> Result<(), StanzaError> {
        if self.has_place(None).is_err() {
            return Err(Condition::ResourceConstraint.into());
        }
        self.tell_rename(seat, to.resource(), turn);
        let Some(there) = self.occupants.get(seat) else {
            return Ok(());
        };
        let (address, real) = (there.address.clone(), there.real.clone());
        let all = there.elsewhere.iter();
        let all: Vec<Jid> = all.map(|claim| claim.session.jid.clone()).collect();
        self.occupants.rename(seat, to.clone());
        for jid in all {
            if let Some(claim) = self.occupants.part_elsewhere(&jid) {
                let holder = self.occupants.named(address.resource());
                let holder = holder.filter(|holder| *holder != seat);
                let _ = self.sit(claim, real.clone(), address.clone(), holder, turn);
            }
        }
        Ok(())
    }

    /// Something is said to all by one who is here, if other nodes want to know.
    pub(super) fn saying(
        &self,
        by: &Seated,
        message: &Stanza,
        id: &str,
        at: Timestamp,
    ) -> Option<Said> {
        if !self.watched {
            return None;
        }
        Some(Said {
            by: by.speaker()?.clone(),
            nick: by.address.resource().to_owned(),
            message: Arc::new(message.clone()),
            id: id.to_owned(),
            at,
        })
    }

    /// Something is said by one who is here to one who is (also) elsewhere.
    pub(super) fn whisper_out(
        &self,
        by: &Seated,
        to: &Seated,
        sender: &Jid,
        message: &Stanza,
        turn: &mut Turn<'_>,
    ) {
        for claim in &to.elsewhere {
            self.pass_on(by, &claim.session.jid, sender, message.clone(), turn);
        }
    }

    /// What one who is here says to one who is elsewhere, or the error for what that one has said.
    pub(super) fn pass_on(
        &self,
        by: &Seated,
        to: &Jid,
        sender: &Jid,
        message: Stanza,
        turn: &mut Turn<'_>,
    ) {
        if let Some(speaker) = by.speaker().filter(|_| self.watched) {
            turn.out.push(Output::Event(Event::Private {
                by: speaker.clone(),
                nick: by.address.resource().to_owned(),
                sender: sender.clone(),
                to: to.clone(),
                message,
            }));
        }
    }

    /// Somebody here has changed what an occupant is.
    pub(super) fn tell_given(&self, seat: Seat, notice: &Notice, turn: &mut Turn<'_>) {
        let Some(occupant) = self.occupants.get(seat).filter(|_| self.watched) else {
            return;
        };
        for claim in &occupant.elsewhere {
            turn.out.push(Output::Event(Event::Given {
                jid: claim.session.jid.clone(),
                role: claim.role,
                parting: notice.parting(),
            }));
        }
    }

    /// Nobody is on this seat here any more.
    pub(super) fn tell_nodes_left(&mut self, seat: Seat, notice: &Notice, turn: &mut Turn<'_>) {
        if let Some(known) = self.occupants.known(seat).and_then(Option::take) {
            turn.out.push(Output::Event(Event::Left {
                jid: known.jid,
                nick: known.nick,
                parting: notice.parting(),
            }));
        }
    }

    /// The address of this nick, and the seat that has it, if it can be theirs.
    fn place(&self, user: &BareJid, nick: &str) -> Result<(FullJid, Option<Seat>), Refusal> {
        let address = self.jid.with_resource(nick).map_err(|_| Refusal::Nick)?;
        if let Err(error) = self.check_nick(address.resource(), user) {
            return Err(match error.condition {
                Condition::Conflict => Refusal::Taken,
                _ => Refusal::Nick,
            });
        }
        let holder = self.occupants.named(address.resource());
        let there = holder.and_then(|seat| self.occupants.get(seat));
        match there.is_some_and(|there| there.real != *user) {
            true => Err(Refusal::Taken),
            false => Ok((address, holder)),
        }
    }

    /// Whether one more fits on this seat, or in the room if it is none.
    fn has_place(&self, seat: Option<Seat>) -> Result<(), Refusal> {
        let limits = &self.settings.limits;
        let there = seat.and_then(|seat| self.occupants.get(seat));
        let fits = match there {
            Some(there) => there.elsewhere.len() < limits.sessions,
            None => self.occupants.len() < limits.occupants,
        };
        fits.then_some(()).ok_or(Refusal::Full)
    }

    /// Takes a seat, or shares it; all hear of what is seen of it.
    fn sit(
        &mut self,
        claim: Claim,
        real: BareJid,
        address: FullJid,
        holder: Option<Seat>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal> {
        let (seat, seen) = match holder.and_then(|seat| Some((seat, self.occupants.get(seat)?))) {
            Some((seat, there)) => {
                let jid = &claim.session.jid;
                let known = there.elsewhere.iter();
                let known = known.rev().find(|one| one.session.jid == *jid);
                if known.is_some_and(|known| *known == claim) {
                    return Ok(());
                }
                if known.is_none() {
                    self.has_place(Some(seat))?;
                }
                let seen = there.is_away();
                self.occupants.join_elsewhere(seat, claim);
                (seat, seen)
            }
            None => {
                self.has_place(None)?;
                let seat = self.occupants.enter(Seated {
                    address,
                    id: self.occupant_id(&real),
                    real,
                    role: claim.role,
                    affiliation: claim.affiliation,
                    sessions: Vec::new(),
                    shown: false,
                    told: claim.role,
                    elsewhere: vec![claim],
                    known: None,
                    heard: Default::default(),
                });
                (seat.ok_or(Refusal::Taken)?, true)
            }
        };
        if seen {
            self.tell_others(seat, &Notice::default(), turn);
        }
        Ok(())
    }

    /// Says to all what comes from elsewhere, and remembers it.
    fn repeat(
        &mut self,
        from: FullJid,
        occupant: &str,
        message: &Stanza,
        at: Option<Timestamp>,
        turn: &mut Turn<'_>,
    ) {
        let id = self.fresh_id();
        let payload = self.clean(message.payload());
        let payload = payload.with(&self.stanza_id(&id));
        let message = groupchat(message)
            .with_from(Jid::from(from))
            .with_payload(payload.with(&occupant_id(occupant)));
        let at = at.map(|at| at.min(turn.now.utc));
        let message = match at {
            Some(at) => stamped(&self.jid, &message, at),
            None => message,
        };
        self.remember(&message, id, at.unwrap_or(turn.now.utc), turn);
        self.send_to_all(message, turn);
    }

    /// Why somebody goes, as it is told here.
    fn notice(&self, parting: &Parting) -> Notice {
        let said = |farewell| self.bounded_presence(farewell, PresenceType::Unavailable);
        Notice {
            codes: parting.codes.clone(),
            actor: parting.actor.clone(),
            reason: parting.reason.clone(),
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

/// "Inform user that service has assigned or modified the occupant's roomnick" (§16.6.2).
const ASSIGNED: u16 = 210;

/// Whether it is this one at another node whose presence is seen.
fn there_is(occupant: Option<&Seated>, jid: &Jid) -> bool {
    let seen = occupant.filter(|one| one.is_away());
    seen.and_then(Seated::latest)
        .is_some_and(|latest| latest.jid == *jid)
}

/// A message to all without its addresses and without what it says.
fn groupchat(message: &Stanza) -> Stanza {
    Stanza::message(MessageType::Groupchat)
        .with_id(message.id())
        .with_lang(message.lang())
}
