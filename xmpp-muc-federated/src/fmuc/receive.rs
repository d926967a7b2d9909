//! What another node says has happened (§5.9 of the design).

use std::sync::Arc;

use xmpp_core::stanza::{Kind, MessageType, PresenceType, Stanza};
use xmpp_core::time::Timestamp;
use xmpp_core::xml::ns::CLIENT;
use xmpp_core::{BareJid, Jid};

use super::crowd::{Known, Sight, Via};
use super::event::{Event, Passing};
use super::link::at;
use super::local::{is_fleeting, portable};
use super::node::{Node, Turn};
use super::parent::{Crossing, fmuc_of};
use super::reference::replied_to;
use super::{Extension, Fmuc};
use crate::log::{Dot, Seen, Stamp};
use crate::ns;
use crate::room::elsewhere::{Actor, Occupant, Parting, Refusal};
use crate::room::{Affiliation, Role};

/// "Kicked", "banned", and the two ways to be removed for one's affiliation (XEP-0045 §16.6.2).
pub(super) const REMOVED: [u16; 4] = [301, 307, 321, 322];
/// These, and what else is said of one who goes: another nick, the end of the service, a technical problem. All others are a room's own to say, such as 110.
const PARTING: [u16; 7] = [301, 303, 307, 321, 322, 332, 333];

impl Node {
    /// A stanza with `<fmuc/>`.
    pub(super) fn received(&mut self, peer: &BareJid, stanza: &Stanza, turn: &mut Turn<'_>) {
        if !self.is_heard(peer, turn) {
            return;
        }
        if stanza.payload().as_bytes().len() > self.settings.limits.stanza {
            return turn.drop(peer, "the stanza is too large");
        }
        // Errors are never answered: two rooms would never stop.
        if is_error(stanza) {
            if matches!(stanza.kind(), Kind::Message(_))
                && let Some(via) = self.via(peer)
            {
                self.private_returned(&via, stanza, turn);
            }
            return;
        }
        let Some(fmuc) = fmuc_of(stanza) else {
            return turn.drop(peer, "<fmuc/> is malformed");
        };
        if peer.local().is_none() {
            return turn.drop(peer, "it is no room");
        }
        if matches!(stanza.kind(), Kind::Presence(PresenceType::Available)) {
            match self.crossing(peer, stanza, &fmuc) {
                Crossing::None => {}
                Crossing::Ours => return,
                Crossing::Theirs => self.yield_to(peer, turn),
            }
        }
        if self.children.contains_key(peer) {
            self.heard_from_child(peer, stanza, &fmuc, turn);
        } else if self.is_parent(peer) {
            self.heard_from_parent(stanza, &fmuc, turn);
        } else {
            self.heard_from_stranger(peer, stanza, &fmuc, turn);
        }
    }

    /// An event of an occupant behind a link.
    pub(super) fn take(&mut self, via: &Via, stanza: &Stanza, fmuc: &Fmuc, turn: &mut Turn<'_>) {
        let Some(link) = self.link(via) else {
            return;
        };
        let peer = link.peer.clone();
        // Names are given in the stanza that first uses them, whatever else is in it.
        let dot = match link.is_ext() {
            true => link.aliases.read(fmuc),
            false => None,
        };
        let named = |one: &Extension| matches!(one, Extension::Origin(_));
        let nameless = link.is_ext() && dot.is_none() && fmuc.extensions.iter().any(named);
        self.extensions(via, fmuc, turn);
        if nameless {
            // Of another session: it is told once more in this one.
            return turn.drop(&peer, "its event has no name here");
        }
        // What Openfire says in the name of the room itself is said of somebody in another stanza.
        let author = fmuc.from.clone().filter(|from| !from.is_bare());
        let Some(author) = author else {
            return;
        };
        let confirmed = self.confirming.clone().filter(|_| *via != Via::Parent);
        let dot = confirmed.or(dot);
        if let Some(dot) = dot.as_ref().filter(|_| *via == Via::Parent)
            && self.echoed(dot, turn)
        {
            return;
        }
        let nick = stanza.from().and_then(Jid::resource).unwrap_or_default();
        // What a room says of somebody in its own name is no presence of theirs: two rooms would refuse it to each other without end.
        if nick.is_empty() && matches!(stanza.kind(), Kind::Presence(_)) {
            return;
        }
        let comes = matches!(stanza.kind(), Kind::Presence(PresenceType::Available));
        let own = dot.as_ref().is_some_and(|dot| dot.node == self.id);
        if own || (comes && self.heard_twice(via, &author, nick, dot.as_ref())) {
            if let Some(link) = self.link(via).filter(|_| comes) {
                link.ringed = true;
            }
            return;
        }
        if let Some(dot) = &dot
            && let Err(why) = self.may_name(via, &dot.node, dot.epoch, turn.now)
        {
            return turn.drop(&peer, why);
        }
        if let Some(dot) = dot.as_ref().filter(|_| self.is_replica()) {
            let passing = self.passing_on(&author, nick, stanza, dot);
            if let Some(passing) = passing
                && self.may_speak_for(via, &author, Some(dot), turn)
                && self.hold_back(via, &passing, stanza, fmuc, turn)
            {
                return;
            }
        }
        // From here on it is known what there is of it, also if nothing comes of it: it would be asked for again and again.
        let news = self.is_news(dot.as_ref(), turn);
        match stanza.kind() {
            Kind::Presence(PresenceType::Available) if self.is_request(via, &author, fmuc) => {
                let asked = occupant(author.clone(), nick, stanza);
                let parting = self.parting(via, stanza, fmuc);
                self.asked_to_give(via, &author, asked.role, &parting, turn);
            }
            Kind::Presence(PresenceType::Available) => {
                let mut occupant = occupant(author, nick, stanza);
                if occupant.presence.payload().as_bytes().len() > self.room.presence_bytes() {
                    occupant.presence = Stanza::presence(PresenceType::Available);
                }
                self.take_here(via, occupant, dot, news, turn);
            }
            Kind::Presence(_) | Kind::Message(MessageType::Groupchat) if !news => {}
            Kind::Presence(PresenceType::Unavailable)
                if let Some(victim) = self.victim(via, &author, stanza) =>
            {
                let parting = self.verdict(&author, nick, stanza);
                self.take_gone(via, &victim, nick, parting, None, turn);
                self.stays(via, &victim, turn);
            }
            Kind::Presence(PresenceType::Unavailable) => {
                let parting = self.parting(via, stanza, fmuc);
                self.take_gone(via, &author, nick, parting, dot, turn);
            }
            Kind::Message(MessageType::Groupchat) => {
                self.take_message(via, &author, nick, stanza, fmuc, dot, turn);
            }
            Kind::Message(MessageType::Chat | MessageType::Normal) => {
                self.take_private(via, &author, stanza, turn);
            }
            _ => turn.drop(&peer, "it is nothing that rooms say"),
        }
    }

    /// Whether a presence asks for something: it is of somebody who is not behind the link that it came by.
    fn is_request(&self, via: &Via, author: &Jid, fmuc: &Fmuc) -> bool {
        let acts = fmuc
            .extensions
            .iter()
            .any(|one| matches!(one, Extension::Act { .. }));
        acts && self
            .crowd
            .get(author)
            .is_some_and(|known| known.via != *via)
    }

    /// The event in a stanza, as the room that was joined is to know it before it is so here.
    fn passing_on(&self, author: &Jid, nick: &str, stanza: &Stanza, dot: &Dot) -> Option<Passing> {
        let event = match stanza.kind() {
            Kind::Presence(PresenceType::Available) => {
                Event::Here(occupant(author.clone(), nick, stanza))
            }
            Kind::Message(MessageType::Groupchat) => Event::Said {
                by: author.clone(),
                nick: known_nick(&self.crowd, author).unwrap_or_else(|| nick.to_owned()),
                message: Arc::new(portable(stanza)),
            },
            _ => return None,
        };
        Some(Passing {
            event,
            dot: Some(dot.clone()),
            late: said_at(stanza),
        })
    }

    /// Somebody is there.
    fn take_here(
        &mut self,
        via: &Via,
        mut occupant: Occupant,
        dot: Option<Dot>,
        news: bool,
        turn: &mut Turn<'_>,
    ) {
        let jid = occupant.jid.clone();
        if !self.may_speak_for(via, &jid, dot.as_ref(), turn) {
            return;
        }
        // Who was forgotten with the link is told of once more, and by the same event.
        let better = dot
            .as_ref()
            .is_some_and(|dot| self.crowd.knows_better(&jid, dot));
        let known = self.crowd.get(&jid);
        let elsewhere = known.is_some_and(|known| known.via != *via);
        // In which way they are there may be told once more by the event that has brought them.
        let same_event = known.is_some_and(|known| dot.is_some() && known.dot == dot);
        let theirs = self.crowd.get_mut(&jid).filter(|known| known.via == *via);
        if let Some(known) = theirs.filter(|_| !news && better && !same_event) {
            known.stale = false;
            return;
        }
        if better && !same_event && !elsewhere {
            if !news {
                return;
            }
            let event = Event::Here(occupant);
            let passing = Passing {
                event,
                dot,
                late: None,
            };
            return self.publish(via, &passing, turn);
        }
        let before = self.crowd.get(&jid).cloned();
        let nick_there = occupant.nick.clone();
        let same_nick = before
            .as_ref()
            .is_some_and(|known| known.nick_there == nick_there);
        if !same_nick && self.turns_away(via, &jid, &nick_there, turn) {
            return;
        }
        occupant.nick = match &before {
            Some(known) if known.nick_there == nick_there => known.occupant.nick.clone(),
            _ => self.free_nick(via, &jid, &nick_there, turn),
        };
        let mut sight = before.as_ref().map_or(Sight::Shown, |known| known.sight);
        if sight != Sight::Suppressed {
            sight = self.show(via, &occupant, before.as_ref(), turn);
        }
        let lasting = dot.clone().or_else(|| before.as_ref()?.dot.clone());
        self.crowd.insert(Known {
            occupant: occupant.clone(),
            via: via.clone(),
            nick_there,
            dot: lasting,
            sight,
            others: before
                .as_ref()
                .map_or_else(Vec::new, |known| known.others.clone()),
            expelled: before.as_ref().and_then(|known| known.expelled.clone()),
            stale: false,
        });
        let same = before.is_some_and(|known| known.occupant == occupant);
        if (dot.is_some() && news) || !same {
            let event = Event::Here(occupant);
            let passing = Passing {
                event,
                dot,
                late: None,
            };
            match news {
                true => self.publish(via, &passing, turn),
                false => {
                    self.doubt(via, &jid, turn);
                    self.tell_all(via, &passing, turn);
                }
            }
        }
        self.avoid(via, &jid, turn);
    }

    /// Has the room show somebody who is elsewhere.
    pub(super) fn show(
        &mut self,
        via: &Via,
        occupant: &Occupant,
        before: Option<&Known>,
        turn: &mut Turn<'_>,
    ) -> Sight {
        let renamed = before
            .filter(|known| known.sight == Sight::Shown && known.occupant.nick != occupant.nick);
        let mut shown = occupant.clone();
        if let Some(link) = self.link(via) {
            shown.role = shown.role.min(link.about.shown_role);
            shown.affiliation = shown.affiliation.min(link.about.shown_affiliation);
        }
        let done = self.in_room(turn, |room, now, out| {
            if renamed.is_some() {
                room.rename_elsewhere(&shown.jid, &shown.nick, now, out)?;
            }
            room.take_in(&shown, now, out)
        });
        match done {
            Ok(()) => Sight::Shown,
            Err(why) => {
                // Whom it does not let in any more it does not keep.
                if before.is_some_and(|known| known.sight == Sight::Shown) {
                    let parting = Parting::default();
                    self.in_room(turn, |room, now, out| {
                        room.let_go(&occupant.jid, &parting, now, out);
                    });
                }
                self.not_shown(via, occupant, why, turn);
                Sight::Refused
            }
        }
    }

    fn not_shown(&mut self, via: &Via, occupant: &Occupant, why: Refusal, turn: &mut Turn<'_>) {
        let condition = match why {
            Refusal::Outcast => "forbidden",
            Refusal::Taken => "conflict",
            Refusal::Nick => "jid-malformed",
            Refusal::Full => "service-unavailable",
            Refusal::Locked => "item-not-found",
        };
        let Some(link) = self.link(via) else {
            return;
        };
        if link.is_ext() {
            let fmuc = Fmuc::from(occupant.jid.clone());
            let refuse = Extension::Refuse(condition.to_owned());
            let stanza = link.write_own(&fmuc.with(refuse));
            let link = &*link;
            turn.send(link, super::Class::Control, stanza, None);
        }
    }

    /// Somebody is gone; or somebody behind that link asks that one of another go.
    fn take_gone(
        &mut self,
        via: &Via,
        author: &Jid,
        nick: &str,
        parting: Parting,
        dot: Option<Dot>,
        turn: &mut Turn<'_>,
    ) {
        let known = self.crowd.get_mut(author);
        if let Some(known) = known.filter(|known| known.via != *via) {
            known.others.retain(|(other, _)| other != via);
            if parting.codes.iter().any(|code| REMOVED.contains(code)) {
                self.asked_to_expel(via, author, &parting, turn);
            }
            return;
        }
        // The first half of a change of nick, without our extension: the other one says it all.
        if parting.codes.contains(&303) {
            return;
        }
        if self.crowd.get(author).is_none() && !self.may_speak_for(via, author, dot.as_ref(), turn)
        {
            return;
        }
        // The link says it, not their own node.
        if dot.is_none() && self.inherit(author, turn) {
            return;
        }
        let late = dot
            .as_ref()
            .is_some_and(|dot| self.crowd.knows_better(author, dot));
        let shown = known_nick(&self.crowd, author).unwrap_or_else(|| nick.to_owned());
        if !late && let Some(known) = self.crowd.remove(author, dot.as_ref()) {
            if known.sight == Sight::Shown {
                self.in_room(turn, |room, now, out| {
                    room.let_go(author, &parting, now, out);
                });
            }
        } else if dot.is_none() {
            return;
        }
        let event = Event::Gone {
            jid: author.clone(),
            nick: shown,
            parting,
        };
        self.publish(
            via,
            &Passing {
                event,
                dot,
                late: None,
            },
            turn,
        );
    }

    #[expect(clippy::too_many_arguments, reason = "all of one stanza")]
    fn take_message(
        &mut self,
        via: &Via,
        author: &Jid,
        nick: &str,
        stanza: &Stanza,
        fmuc: &Fmuc,
        dot: Option<Dot>,
        turn: &mut Turn<'_>,
    ) {
        if !self.may_speak_for(via, author, dot.as_ref(), turn) {
            return;
        }
        let late = said_at(stanza).map(|at| at.min(turn.now.utc));
        let age = late.map(|at| turn.now.utc.since(at));
        if age.is_some_and(|age| age > self.settings.limits.history_age) {
            return;
        }
        let is_ext = self.link(via).is_some_and(|link| link.is_ext());
        let unknown = self.crowd.get(author).is_none() && dot.is_none();
        if unknown && is_ext {
            return;
        }
        // Who speaks without having been introduced is there all the same: their peer has forgotten to say so. Of old it says nothing.
        if unknown && late.is_none() {
            let occupant = Occupant {
                jid: author.clone(),
                nick: nick.to_owned(),
                affiliation: Affiliation::None,
                role: Role::Participant,
                presence: Stanza::presence(PresenceType::Available),
            };
            self.take_here(via, occupant, None, true, turn);
        }
        let plain = self.link(via).filter(|link| !link.is_ext());
        if let Some(peer) = plain.map(|link| link.peer.clone())
            && self.was_heard(&peer, author, nick, stanza, turn)
        {
            return;
        }
        let known = known_nick(&self.crowd, author);
        let nick = known.unwrap_or_else(|| self.nick_of_old(author, nick));
        let mut message = self.referring(via, portable(stanza));
        if message.id().is_none()
            && let Some(dot) = &dot
        {
            message.set_id(super::link::id_of(dot).as_str());
        }
        let is_subject = {
            let has = |name| message.payload().has(name, CLIENT);
            has("subject") && !has("body") && !has("thread")
        };
        if is_subject {
            return self.take_subject(via, author, &nick, message, fmuc, dot, late, turn);
        }
        let passing = Passing {
            event: Event::Said {
                by: author.clone(),
                nick,
                message: Arc::new(message),
            },
            dot,
            late,
        };
        self.hear(&passing, turn);
        self.publish(via, &passing, turn);
    }

    /// A message of a peer, with what it refers to as it is known here.
    fn referring(&mut self, via: &Via, message: Stanza) -> Stanza {
        let room = self.room.jid().clone();
        let Some(link) = self.link(via) else {
            return message;
        };
        let peer = link.peer.clone();
        let message = link.withheld.inward(message);
        replied_to(message, |to| {
            let there = to.resource().filter(|_| to.to_bare() == peer)?;
            let mut known = self.crowd.behind(via);
            let known = known.find(|known| known.nick_there == there);
            Some(at(&room, known.map_or(there, |known| &known.occupant.nick)))
        })
    }

    /// Says to all here what somebody elsewhere has said.
    pub(super) fn hear(&mut self, passing: &Passing, turn: &mut Turn<'_>) {
        let Event::Said { by, nick, message } = &passing.event else {
            return;
        };
        let late = passing.late;
        let sight = self.crowd.get(by).map(|known| known.sight);
        let here = self.names.inward(Stanza::clone(message));
        let id = self.in_room(turn, |room, now, out| match sight {
            Some(Sight::Shown) => room.hear(by, &here, late, now, out),
            Some(Sight::Suppressed | Sight::Refused) => None,
            Some(Sight::Lost) | None => {
                let at = late.unwrap_or(now.utc);
                room.hear_of_old(by, nick, &here, at, now, out)
            }
        });
        if let Some(id) = id.filter(|_| !is_fleeting(message)) {
            self.names.note(message, &id);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "all of one stanza")]
    pub(super) fn take_subject(
        &mut self,
        via: &Via,
        author: &Jid,
        nick: &str,
        message: Stanza,
        fmuc: &Fmuc,
        dot: Option<Dot>,
        late: Option<Timestamp>,
        turn: &mut Turn<'_>,
    ) {
        let changed = fmuc.extensions.iter().find_map(|one| match one {
            Extension::Changed(at, count) => Some((*at, *count)),
            _ => None,
        });
        let stamp = match (changed, &dot) {
            (Some((at, count)), Some(dot)) => Stamp {
                at,
                count,
                node: dot.node.clone(),
            },
            _ => self.clock.stamp(turn.now.utc),
        };
        let believed = self.clock.see(&stamp, turn.now.utc);
        let newer = self
            .subject
            .as_ref()
            .is_none_or(|subject| match &subject.event {
                Event::Subject { stamp: ours, .. } => *ours < stamp,
                _ => true,
            });
        let passing = Passing {
            event: Event::Subject {
                by: author.clone(),
                nick: nick.to_owned(),
                message: Arc::new(message.clone()),
                stamp,
            },
            dot,
            late,
        };
        if believed && newer && self.may_set_subject(via, author) {
            let at = late.unwrap_or(turn.now.utc);
            self.subject = Some(passing.clone());
            self.in_room(turn, |room, now, out| {
                room.adopt_subject(author, Some(nick), &message, at, now, out);
            });
        }
        self.publish(via, &passing, turn);
    }

    /// What a room has that this one has joined is so; of others it depends.
    fn may_set_subject(&mut self, via: &Via, author: &Jid) -> bool {
        if *via == Via::Parent {
            return true;
        }
        let known = self.crowd.get(author);
        // Who was kicked here changes nothing here.
        let shut_out = |sight| matches!(sight, Sight::Suppressed | Sight::Refused);
        if known.is_some_and(|known| shut_out(known.sight)) {
            return false;
        }
        let role = known.map_or(Role::Participant, |known| known.occupant.role);
        let anybody = self.room.anybody_sets_subject() && role > Role::Visitor;
        let trusted = self.link(via).is_some_and(|link| link.about.trust_roles);
        anybody || (role == Role::Moderator && trusted)
    }

    /// How somebody goes, as a peer says. Who has done it is one behind it too: nobody else is named by it.
    fn parting(&self, via: &Via, stanza: &Stanza, fmuc: &Fmuc) -> Parting {
        let mut parting = parting(stanza, fmuc, self.settings.limits.text);
        parting.actor = parting.actor.and_then(|actor| {
            let mut behind = self.crowd.behind(via);
            let known = behind.find(|known| match &actor.jid {
                Some(jid) => known.occupant.jid == *jid,
                None => known.nick_there == actor.nick,
            })?;
            Some(Actor {
                nick: known.occupant.nick.clone(),
                jid: Some(known.occupant.jid.clone()),
            })
        });
        let farewell = parting.farewell.as_ref();
        let size = farewell.map_or(0, |farewell| farewell.payload().as_bytes().len());
        if size > self.room.presence_bytes() {
            parting.farewell = None;
        }
        parting
    }

    /// §5.13 of the design: nobody else's occupants, and none of ours. Whoever was behind a link that is down may have come back by another one.
    fn may_speak_for(
        &mut self,
        via: &Via,
        jid: &Jid,
        dot: Option<&Dot>,
        turn: &mut Turn<'_>,
    ) -> bool {
        let Some(link) = self.link(via) else {
            return false;
        };
        let (peer, about) = (link.peer.clone(), link.about.clone());
        let refused = match self.crowd.get(jid) {
            Some(known) if known.via == *via => None,
            Some(known) if known.via == Via::Here => Some("the occupant is here"),
            Some(known) if !self.has_moved(known, dot) => Some("the occupant is another's"),
            _ if !self.settings.may_introduce(&about, jid) => Some("it may not speak for them"),
            _ if self.crowd.count_behind(via) >= self.settings.limits.occupants => {
                Some("too many occupants")
            }
            _ => None,
        };
        if let Some(why) = refused {
            turn.drop(&peer, why);
        }
        refused.is_none()
    }

    /// Whether one who was behind a link may be behind another one now: they follow their node, and one of whom nothing was heard for too long may have come
    /// back elsewhere.
    fn has_moved(&self, known: &Known, dot: Option<&Dot>) -> bool {
        let node = known.dot.as_ref().map(|dot| &dot.node);
        let follows = node.is_some() && node == dot.map(|dot| &dot.node);
        let unnamed = node.is_none() && self.splits.has(&known.via);
        follows || unnamed || known.sight == Sight::Lost
    }

    /// Whether an event is new here. One without a name always is.
    fn is_news(&mut self, dot: Option<&Dot>, turn: &Turn<'_>) -> bool {
        dot.is_none_or(|dot| {
            let seen = self.have.see(dot, turn.now.instant);
            matches!(seen, Seen::Next | Seen::Ahead | Seen::Late)
        })
    }

    /// Whether somebody who is behind another link is told of by this one, and by the same event: then there is a ring of rooms. It will be broken
    /// somewhere, and perhaps they are behind this link then.
    fn heard_twice(&mut self, via: &Via, jid: &Jid, nick: &str, dot: Option<&Dot>) -> bool {
        let about = self.link(via).map(|link| link.about.clone());
        let may = about.is_some_and(|about| self.settings.may_introduce(&about, jid));
        let Some(known) = self.crowd.get_mut(jid).filter(|_| may) else {
            return false;
        };
        if known.via == Via::Here
            || known.via == *via
            || self.splits.has(&known.via)
            || dot.is_none()
            || known.dot.as_ref() != dot
        {
            return false;
        }
        known.others.retain(|(other, _)| other != via);
        known.others.push((via.clone(), nick.to_owned()));
        true
    }

    /// All behind a link are gone, as this room has to see it.
    pub(super) fn drop_behind(&mut self, via: &Via, parting: &Parting, turn: &mut Turn<'_>) {
        if let Some(parent) = self.parent.as_mut().filter(|_| *via == Via::Parent) {
            parent.whole = false;
        }
        if *via == Via::Parent && !std::mem::take(&mut self.ancestors).is_empty() {
            self.tell_path(turn);
        }
        self.crowd.forget_other(via);
        for jid in self.crowd.jids_behind(via) {
            self.drop_one(via, &jid, parting, turn);
        }
    }

    /// Those whom the peer has not named since it has joined anew are gone.
    pub(super) fn drop_stale(&mut self, via: &Via, turn: &mut Turn<'_>) {
        let stale = self.crowd.behind(via).filter(|known| known.stale);
        let stale: Vec<_> = stale.map(|known| known.occupant.jid.clone()).collect();
        for jid in stale {
            self.drop_one(via, &jid, &Parting::default(), turn);
        }
    }

    /// Somebody is gone, and their own node has not said so.
    pub(super) fn drop_one(
        &mut self,
        via: &Via,
        jid: &Jid,
        parting: &Parting,
        turn: &mut Turn<'_>,
    ) {
        if self.inherit(jid, turn) {
            return;
        }
        let Some(known) = self.crowd.remove(jid, None) else {
            return;
        };
        if known.sight == Sight::Shown {
            self.in_room(turn, |room, now, out| room.let_go(jid, parting, now, out));
        }
        // Who had no node of their own to speak for them was named here.
        let ours = known.dot.as_ref().is_some_and(|dot| dot.node == self.id);
        let dot = (ours && *via != Via::Here).then(|| self.dot(turn.now));
        let event = Event::Gone {
            jid: jid.clone(),
            nick: known.occupant.nick,
            parting: parting.clone(),
        };
        let passing = Passing {
            event,
            dot,
            late: None,
        };
        self.publish(via, &passing, turn);
    }

    /// Whether one who is not behind the link any more that they were behind is behind another one by which one has heard of them. That one is told that
    /// one does not hear of them from this side, and all others that one does: they may have had it the other way round.
    fn inherit(&mut self, jid: &Jid, turn: &mut Turn<'_>) -> bool {
        let Some(known) = self.crowd.get_mut(jid) else {
            return false;
        };
        let Some((heir, nick)) = known.others.pop() else {
            return false;
        };
        let known = known.clone();
        self.crowd.hand_over(jid, &heir, nick);
        let passing = |event, dot| Passing {
            event,
            dot,
            late: None,
        };
        let here = passing(Event::Here(known.occupant.clone()), known.dot.clone());
        let gone = Event::Gone {
            jid: jid.clone(),
            nick: known.occupant.nick.clone(),
            parting: Parting::default(),
        };
        if let Some(link) = self.link(&heir) {
            link.tell(&passing(gone, None), turn);
        }
        self.tell_all(&heir, &here, turn);
        true
    }
}

fn known_nick(crowd: &super::crowd::Crowd, jid: &Jid) -> Option<String> {
    crowd.get(jid).map(|known| known.occupant.nick.clone())
}

fn is_error(stanza: &Stanza) -> bool {
    matches!(
        stanza.kind(),
        Kind::Presence(PresenceType::Error) | Kind::Message(MessageType::Error)
    )
}

/// The occupant in a presence.
pub(super) fn occupant(jid: Jid, nick: &str, stanza: &Stanza) -> Occupant {
    let x = stanza.payload().child("x", ns::USER).map(|x| x.element());
    let item = x.as_ref().and_then(|x| x.child("item", ns::USER));
    let of_item = |name| item.and_then(|item| item.attr(name));
    Occupant {
        jid,
        nick: nick.to_owned(),
        affiliation: of_item("affiliation")
            .and_then(Affiliation::named)
            .unwrap_or(Affiliation::None),
        role: of_item("role")
            .and_then(Role::named)
            .unwrap_or(Role::Participant),
        presence: portable(stanza).with_id(None),
    }
}

/// How somebody goes.
pub(super) fn parting(stanza: &Stanza, fmuc: &Fmuc, most: usize) -> Parting {
    let x = stanza.payload().child("x", ns::USER).map(|x| x.element());
    let item = x.as_ref().and_then(|x| x.child("item", ns::USER));
    let codes = x.iter().flat_map(|x| x.children());
    let codes = codes
        .filter(|child| child.is("status", ns::USER))
        .filter_map(|status| status.attr("code")?.parse().ok())
        .filter(|code| PARTING.contains(code));
    let reason = item.and_then(|item| item.child("reason", ns::USER));
    let named = item.and_then(|item| item.child("actor", ns::USER));
    let act = fmuc.extensions.iter().find_map(|one| match one {
        Extension::Act { by, nick } => Some(Actor {
            nick: nick.clone(),
            jid: Some(by.clone()),
        }),
        _ => None,
    });
    let named = named.and_then(|actor| actor.attr("nick"));
    let named = named.map(|nick| Actor {
        nick: nick.to_owned(),
        jid: None,
    });
    Parting {
        codes: codes.take(8).collect(),
        actor: act.or(named),
        reason: reason.map(|reason| reason.text().chars().take(most).collect()),
        farewell: Some(portable(stanza).with_id(None)),
    }
}

/// When a message was said, if it bears a delay. XEP-0289 has it in an element and a form of its own in one example.
pub(super) fn said_at(stanza: &Stanza) -> Option<Timestamp> {
    let payload = stanza.payload();
    let delay = ["delay", "x"]
        .iter()
        .find_map(|name| payload.child(name, ns::DELAY))?;
    let stamp = delay.attr("stamp")?;
    stamp.parse().ok().or_else(|| of_old(&stamp))
}

/// `20120419T16:00:44`
fn of_old(stamp: &str) -> Option<Timestamp> {
    let (date, time) = stamp.split_once('T')?;
    if date.len() != 8 || !date.is_ascii() {
        return None;
    }
    let (year, rest) = date.split_at(4);
    let (month, day) = rest.split_at(2);
    let time = time.trim_end_matches('Z');
    format!("{year}-{month}-{day}T{time}Z").parse().ok()
}
