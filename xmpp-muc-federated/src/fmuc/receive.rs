//! What another node says has happened (§5.9 of the design).

mod people;
mod said;
mod stanza;

use std::sync::Arc;

use xmpp_core::stanza::{Kind, MessageType, PresenceType, Stanza};
use xmpp_core::xml::ns::CLIENT;
use xmpp_core::{BareJid, Jid};

use super::crowd::{Known, Sight, Via};
use super::event::{Event, Passing};
use super::local::portable;
use super::node::{Node, Turn};
use super::parent::{Crossing, fmuc_of};
use super::{Extension, Fmuc};
use crate::log::{Dot, Seen};

pub(super) use stanza::{occupant, parting, said_at};

/// "Kicked", "banned", and the two ways to be removed for one's affiliation (XEP-0045 §16.6.2).
pub(super) const REMOVED: [u16; 4] = [301, 307, 321, 322];

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

    /// An event of an occupant behind a link, and those before it of which the names are only given in it.
    pub(super) fn take(&mut self, via: &Via, stanza: &Stanza, fmuc: &Fmuc, turn: &mut Turn<'_>) {
        self.take_one(via, stanza, fmuc, turn);
        let names = |one: &Extension| matches!(one, Extension::Alias { .. });
        // What is confirmed has given its names when it came.
        if self.confirming.is_none()
            && fmuc.extensions.iter().any(names)
            && let Some(link) = self.link(via)
        {
            for (stanza, fmuc, dot) in link.take_named(turn.now.instant) {
                self.take_event(via, &stanza, &fmuc, Some(dot), turn);
            }
        }
    }

    fn take_one(&mut self, via: &Via, stanza: &Stanza, fmuc: &Fmuc, turn: &mut Turn<'_>) {
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
        let nameless = !link.is_plain() && dot.is_none() && fmuc.extensions.iter().any(named);
        self.extensions(via, fmuc, turn);
        if nameless {
            // Of another session: it is told once more in this one. Or it has overtaken the one that gives the name.
            if let Some(link) = self.link(via) {
                link.nameless.keep(stanza, fmuc, turn.now.instant);
            }
            return turn.drop(&peer, "its event has no name here");
        }
        self.take_event(via, stanza, fmuc, dot, turn);
    }

    /// What has happened, by the name of its event if it has one. Whatever else is in the stanza was heard when it came.
    fn take_event(
        &mut self,
        via: &Via,
        stanza: &Stanza,
        fmuc: &Fmuc,
        dot: Option<Dot>,
        turn: &mut Turn<'_>,
    ) {
        let Some(peer) = self.link(via).map(|link| link.peer.clone()) else {
            return;
        };
        // What Openfire says in the name of the room itself is said of somebody in another stanza.
        let own_words = |from: &Jid| {
            let node = dot.as_ref().map(|dot| dot.node.as_str());
            node == Some(from.as_str()) && is_subject(stanza)
        };
        let author = fmuc.from.clone();
        let author = author.filter(|from| !from.is_bare() || own_words(from));
        let Some(author) = author else {
            return;
        };
        if is_subject(stanza) && dot.as_ref().is_some_and(|dot| self.is_over(dot)) {
            return self.take_subject_of_old(via, &author, stanza, fmuc, turn);
        }
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
            // Of the subject it is the latest that counts, whatever its event was taken for.
            Kind::Message(MessageType::Groupchat) if !news && is_subject(stanza) => {
                self.take_message(via, &author, nick, stanza, fmuc, (dot, false), turn);
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
                self.take_message(via, &author, nick, stanza, fmuc, (dot, true), turn);
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

    /// Whether an event is of a life that is over.
    fn is_over(&self, dot: &Dot) -> bool {
        let now = self.have.vector().get(&dot.node);
        now.is_some_and(|now| dot.epoch < now.epoch)
    }

    /// Whether an event is new here. One without a name always is.
    fn is_news(&mut self, dot: Option<&Dot>, turn: &Turn<'_>) -> bool {
        dot.is_none_or(|dot| {
            let seen = self.have.see(dot, turn.now.instant);
            matches!(seen, Seen::Next | Seen::Ahead | Seen::Late)
        })
    }
}

fn known_nick(crowd: &super::crowd::Crowd, jid: &Jid) -> Option<String> {
    crowd.get(jid).map(|known| known.occupant.nick.clone())
}

/// Whether a message sets the subject (XEP-0045 §8.1).
fn is_subject(stanza: &Stanza) -> bool {
    let has = |name| stanza.payload().has(name, CLIENT);
    matches!(stanza.kind(), Kind::Message(MessageType::Groupchat))
        && has("subject")
        && !has("body")
        && !has("thread")
}

fn is_error(stanza: &Stanza) -> bool {
    matches!(
        stanza.kind(),
        Kind::Presence(PresenceType::Error) | Kind::Message(MessageType::Error)
    )
}
