//! Peers without our extension: XEP-0289 alone, and as Openfire has it (§2 and §5.7 of the design).
//!
//! Nothing that they say has a name: what comes of them is named here, as an event of this node, so that all who speak our extension know it like any other.
//! What they have missed they do not know, and what this side has missed cannot be asked for: after an outage all of ours leave, and join anew.

use std::collections::BTreeMap;

use xmpp_core::stanza::{Kind, MessageType, PresenceType, Stanza};
use xmpp_core::xml::ns::CLIENT;
use xmpp_core::{BareJid, Jid};

use super::Fmuc;
use super::crowd::{Sight, Via};
use super::dedupe::Keys;
use super::event::{Event, Passing};
use super::link::{Link, Speech};
use super::local::{is_fleeting, portable};
use super::node::{Class, Matter, Node, Turn};
use super::parent::{State, fmuc_of};
use super::receive::{REMOVED, occupant, parting, said_at};
use super::settings::Dialect;
use crate::ns;
use crate::room::elsewhere::{Actor, Occupant, Parting};

impl Node {
    /// The burst of a room that was joined is complete: those who are there, what was said, and the subject.
    pub(super) fn take_burst(&mut self, burst: Vec<Stanza>, turn: &mut Turn<'_>) {
        let Some(parent) = &mut self.parent else {
            return;
        };
        let guesses = parent.link.about.dialect == Dialect::Auto;
        if guesses && burst.iter().any(names_itself) {
            parent.link.speech = Speech::Openfire;
        }
        let (peer, limits) = (parent.link.peer.clone(), self.settings.limits);
        let mut names = BTreeMap::new();
        let (mut history, mut subject) = (Vec::new(), None);
        for stanza in burst {
            let Some(fmuc) = fmuc_of(&stanza) else {
                continue;
            };
            let nick = stanza.from().and_then(Jid::resource).unwrap_or_default();
            let named = fmuc.from.clone().filter(|from| !from.is_bare());
            let author = self.whom(&Via::Parent, &peer, named, nick);
            match (stanza.kind(), author) {
                (Kind::Presence(PresenceType::Available), Some(author)) => {
                    names.insert(author.clone(), nick.to_owned());
                    // Those of this side come back to it in some dialects.
                    let ours = self.crowd.get(&author);
                    if ours.is_none_or(|known| known.via == Via::Parent) {
                        self.take(&Via::Parent, &stanza, &fmuc, turn);
                    }
                }
                (Kind::Message(MessageType::Groupchat), author) if ends_burst(&stanza) => {
                    let author = author.unwrap_or_else(|| Jid::from(&peer));
                    let name = names.get(&author).map_or(nick, String::as_str).to_owned();
                    subject = Some((author, name, stanza));
                    break;
                }
                (Kind::Message(MessageType::Groupchat), Some(author)) => {
                    names.insert(author.clone(), nick.to_owned());
                    history.push((author, nick.to_owned(), stanza.clone()));
                    let excess = history.len().saturating_sub(limits.history);
                    history.drain(..excess);
                }
                _ => turn.drop(&peer, "it is nothing that a burst has"),
            }
        }
        self.take_history(&peer, history, turn);
        if let Some((author, name, stanza)) = subject {
            self.subject_of_burst(&author, &name, &stanza, turn);
        }
        self.drop_stale(&Via::Parent, turn);
    }

    /// What was said before this room has joined, as far as it is not known.
    fn take_history(
        &mut self,
        peer: &BareJid,
        history: Vec<(Jid, String, Stanza)>,
        turn: &mut Turn<'_>,
    ) {
        let age = self.settings.limits.history_age;
        for (author, nick, stanza) in history {
            let at = said_at(&stanza).unwrap_or(turn.now.utc).min(turn.now.utc);
            let old = at.plus(age) < turn.now.utc;
            let known = self.crowd.get(&author);
            let ours = known.is_some_and(|known| known.via != Via::Parent);
            let about = self.parent.as_ref().map(|parent| &parent.link.about);
            let may = about.is_some_and(|about| self.settings.may_introduce(about, &author));
            // Of ours it is told what was said here, and that is known.
            if old || ours || !may || self.was_heard(peer, &author, &nick, &stanza, turn) {
                continue;
            }
            let known = self.crowd.get(&author);
            let known = known.map(|known| known.occupant.nick.clone());
            let nick = known.unwrap_or_else(|| self.nick_of_old(&author, &nick));
            let event = Event::Said {
                by: author,
                nick,
                message: std::sync::Arc::new(portable(&stanza)),
            };
            let passing = Passing {
                event,
                dot: None,
                late: Some(at),
            };
            self.hear(&passing, turn);
            self.publish(&Via::Parent, &passing, turn);
        }
    }

    /// XEP-0289 §5.1: "The node receiving this (the joining node) SHOULD replace its own subject with the received one." One that nobody has set is none.
    fn subject_of_burst(&mut self, author: &Jid, nick: &str, stanza: &Stanza, turn: &mut Turn<'_>) {
        let message = portable(stanza);
        let text = |message: &Stanza| {
            let subject = message.payload().child("subject", CLIENT);
            subject.map(|subject| subject.element().text().into_owned())
        };
        let there = self.subject.as_ref().map(|subject| &subject.event);
        let same = match there {
            Some(Event::Subject { message: there, .. }) => text(there) == text(&message),
            _ => text(&message).is_none_or(|text| text.is_empty()),
        };
        let unset = author.is_bare() && text(&message).is_none_or(|text| text.is_empty());
        if !same && !unset {
            let late = said_at(stanza).map(|at| at.min(turn.now.utc));
            let fmuc = Fmuc::from(author.clone());
            self.take_subject(&Via::Parent, author, nick, message, &fmuc, None, late, turn);
        }
    }

    /// Whom a stanza of a peer is of. Openfire names those of history by their addresses in the room (§2.1 of the design).
    fn whom(&self, via: &Via, peer: &BareJid, named: Option<Jid>, nick: &str) -> Option<Jid> {
        let named = named?;
        if named.to_bare() != *peer {
            return Some(named);
        }
        let mut behind = self.crowd.behind(via);
        let there = behind.find(|known| known.nick_there == nick);
        Some(there.map_or(named, |known| known.occupant.jid.clone()))
    }

    /// Whether a message was heard before; it was from now on.
    pub(super) fn was_heard(
        &mut self,
        peer: &BareJid,
        author: &Jid,
        nick: &str,
        stanza: &Stanza,
        turn: &Turn<'_>,
    ) -> bool {
        let (limits, now) = (self.settings.limits, turn.now);
        let names = [author.as_str(), nick];
        let keys = Keys::of(peer.as_str(), &names, stanza, said_at(stanza), now.utc);
        self.heard
            .again(keys, limits.dedupe, limits.dedupe_age, now.instant)
    }

    /// Notes what others have said than those behind the room that was joined, which may tell it as its history.
    fn note(&mut self, passing: &Passing, turn: &Turn<'_>) {
        let Some(parent) = self.parent.as_ref().filter(|parent| !parent.link.is_ext()) else {
            return;
        };
        let Event::Said { by, nick, message } = &passing.event else {
            return;
        };
        let nick = parent.link.announced.get(by).unwrap_or(nick);
        let names = [by.as_str(), nick.as_str()];
        let (limits, now) = (self.settings.limits, turn.now);
        let keys = Keys::of(
            parent.link.peer.as_str(),
            &names,
            message,
            passing.late,
            now.utc,
        );
        self.heard
            .again(keys, limits.dedupe, limits.dedupe_age, now.instant);
    }

    /// What has come by a link without our extension is named here; who is behind it is noted.
    pub(super) fn name(&mut self, via: &Via, passing: &Passing, turn: &mut Turn<'_>) -> Passing {
        let mut passing = passing.clone();
        if *via != Via::Parent {
            self.note(&passing, turn);
        }
        let author = passing.event.author().clone();
        let there = self
            .crowd
            .get(&author)
            .map(|known| known.nick_there.clone());
        let Some(link) = self.link(via).filter(|link| !link.is_ext()) else {
            return passing;
        };
        let lasts = match (&passing.event, there) {
            (Event::Here(occupant), Some(there)) => {
                link.theirs.insert(occupant.jid.clone(), there);
                true
            }
            (Event::Gone { jid, .. }, _) => {
                link.theirs.remove(jid);
                true
            }
            (Event::Said { message, .. }, _) => !is_fleeting(message),
            _ => true,
        };
        if passing.dot.is_none() && lasts {
            let dot = self.dot(turn.now);
            if let Event::Here(_) = &passing.event
                && let Some(known) = self.crowd.get_mut(&author)
            {
                known.dot = Some(dot.clone());
            }
            passing.dot = Some(dot);
        }
        passing
    }

    /// One of ours whose nick is that of one over there gets another one there.
    pub(super) fn avoid(&mut self, via: &Via, jid: &Jid, turn: &mut Turn<'_>) {
        let Some(link) = self.link(via).filter(|link| link.is_plain()) else {
            return;
        };
        let Some(nick) = link.theirs.get(jid).cloned() else {
            return;
        };
        let rival = link.announced.rival(jid, &nick).cloned();
        let rival = rival.and_then(|rival| self.crowd.get(&rival));
        if let Some(occupant) = rival.map(|rival| rival.occupant.clone())
            && let Some(link) = self.link(via)
        {
            link.reintroduce(occupant, turn);
        }
    }

    /// All of ours leave the room that was joined, so that they can join it anew: it answers that they have.
    pub(super) fn part(&mut self, turn: &mut Turn<'_>) {
        if let Some(parent) = &mut self.parent {
            parent.unstage();
            parent.state = State::Leaving {
                until: turn.now.instant + parent.link.timers.left,
            };
            parent.link.leave_all(turn);
        }
    }

    /// The room that was joined knows that all of ours have left, or does not answer.
    pub(super) fn parted(&mut self, turn: &mut Turn<'_>) {
        let stays = self.crowd.contributed() > 0;
        let Some(parent) = &mut self.parent else {
            return;
        };
        parent.state = State::Idle;
        parent.link.forget_all();
        let (peer, plain) = (parent.link.peer.clone(), parent.link.is_plain());
        self.strike_link(&peer, turn);
        // Those who are still there when this room has joined anew have never been away.
        if stays && plain {
            for jid in self.crowd.jids_behind(&Via::Parent) {
                if let Some(known) = self.crowd.get_mut(&jid) {
                    known.stale = true;
                }
            }
            return;
        }
        if let Some(parent) = self.parent.as_mut().filter(|_| !stays) {
            parent.link.take_waiting();
        }
        self.drop_behind(&Via::Parent, &Parting::default(), turn);
    }

    /// A stanza to a peer without our extension has come back: it certainly was not delivered, and is told later (D7 of the design).
    pub(super) fn came_back(&mut self, via: &Via, stanza: &Stanza, turn: &Turn<'_>) {
        let Some(fmuc) = fmuc_of(stanza) else {
            return;
        };
        let Some(jid) = fmuc.from.filter(|from| !from.is_bare()) else {
            return;
        };
        let occupant = self.crowd.get(&jid).map(|known| known.occupant.clone());
        let Some(link) = self.link(via).filter(|link| !link.is_ext()) else {
            return;
        };
        let known = link.announced.named_as(&jid, stanza);
        let event = match stanza.kind() {
            Kind::Message(MessageType::Groupchat) => Event::Said {
                by: jid,
                nick: known,
                message: std::sync::Arc::new(portable(stanza)),
            },
            // The peer knows them as it did before.
            Kind::Presence(PresenceType::Unavailable) => {
                link.announced.insert(jid.clone(), known.clone());
                Event::Gone {
                    jid,
                    nick: known,
                    parting: parting(stanza, &Fmuc::default(), usize::MAX),
                }
            }
            Kind::Presence(PresenceType::Available) => {
                if stanza.payload().has("x", ns::MUC) {
                    link.announced.remove(&jid);
                }
                match occupant {
                    Some(occupant) => Event::Here(occupant),
                    None => return,
                }
            }
            _ => return,
        };
        // A room that is joined anew is told of everybody anew.
        if matches!(event, Event::Said { .. }) || *via != Via::Parent {
            let late = event
                .is_said()
                .then(|| said_at(stanza).unwrap_or(turn.now.utc));
            link.wait_again(Passing {
                event,
                dot: None,
                late,
            });
        }
    }

    /// Whom a moderator over there has taken out of the room. Openfire says it of the moderator, and names the one in the item (O15 of the design).
    pub(super) fn victim(&mut self, via: &Via, author: &Jid, stanza: &Stanza) -> Option<Jid> {
        let x = stanza.payload().child("x", ns::USER)?.element();
        let removed = parting(stanza, &Fmuc::default(), 0).codes;
        if !removed.iter().any(|code| REMOVED.contains(code)) {
            return None;
        }
        let named = Jid::new(x.child("item", ns::USER)?.attr("jid")?).ok()?;
        let link = self.link(via).filter(|link| !link.is_ext())?;
        let victim = match named.resource() {
            Some(nick) if named.to_bare() == link.peer => {
                let there = link
                    .announced
                    .named(nick)
                    .or_else(|| link.theirs.named(nick));
                there?.clone()
            }
            Some(_) => named,
            None => {
                let mut all = self.crowd.iter().map(|known| &known.occupant.jid);
                all.find(|jid| jid.to_bare().as_jid() == &named)?.clone()
            }
        };
        (victim != *author).then_some(victim)
    }

    /// Whom this side does not let go is there for the peer again.
    pub(super) fn stays(&mut self, via: &Via, jid: &Jid, turn: &mut Turn<'_>) {
        let known = self.crowd.get(jid).filter(|known| known.via != *via);
        if let Some(occupant) = known.map(|known| known.occupant.clone())
            && let Some(link) = self.link(via)
        {
            link.announced.remove(jid);
            link.reintroduce(occupant, turn);
        }
    }

    /// How that one goes: by whom it is said.
    pub(super) fn verdict(&self, author: &Jid, nick: &str, stanza: &Stanza) -> Parting {
        let most = self.settings.limits.text;
        let known = self.crowd.get(author);
        let nick = known.map_or(nick, |known| known.occupant.nick.as_str());
        Parting {
            actor: Some(Actor {
                nick: nick.to_owned(),
                jid: None,
            }),
            farewell: None,
            ..parting(stanza, &Fmuc::default(), most)
        }
    }

    /// After a turn: who is known to a peer without our extension is stored, since after a restart they can only leave one by one.
    pub(super) fn write_down_rosters(&mut self, turn: &mut Turn<'_>) {
        let parent = self.parent.iter_mut();
        let parent = parent.map(|parent| {
            let idle = parent.state == State::Idle && parent.link.announced.is_empty();
            (&mut parent.link, "parent", idle)
        });
        let children = self.children.values_mut();
        let children = children.map(|child| (&mut child.link, "child", false));
        let mut changed = Vec::new();
        for (link, side, idle) in parent.chain(children) {
            let news = link.announced.take_changed() | link.theirs.take_changed();
            if news && !idle && !link.is_ext() {
                changed.push((link.peer.clone(), side));
            }
        }
        for (peer, side) in changed {
            let via = match side {
                "parent" => Some(Via::Parent),
                _ => Some(Via::Child(peer)),
            };
            if let Some(link) = via.as_ref().and_then(|via| self.link_ref(via)) {
                self.write_down_link(side, link, turn);
            }
        }
    }

    /// Those behind a link as it was stored: they are there as soon as the peer is heard of.
    pub(super) fn expect(&mut self, via: &Via, all: Vec<(Jid, String)>) {
        for (jid, nick) in all {
            let about = self.link(via).map(|link| link.about.clone());
            let may = about.is_some_and(|about| self.settings.may_introduce(&about, &jid));
            if !may || self.crowd.get(&jid).is_some() {
                continue;
            }
            let presence = Stanza::presence(PresenceType::Available);
            let occupant = Occupant {
                nick: nick.clone(),
                ..occupant(jid, &nick, &presence)
            };
            self.crowd.insert(super::crowd::Known {
                via: via.clone(),
                sight: Sight::Lost,
                ..super::crowd::Known::here(occupant, None)
            });
        }
    }

    /// After a restart: nobody is here any more whom this peer knows.
    pub(super) fn leave_child_of_old(&mut self, peer: &BareJid) {
        let Some(child) = self.children.get_mut(peer) else {
            return;
        };
        let old: Vec<_> = child.link.announced.iter().collect();
        let old: Vec<_> = old
            .into_iter()
            .map(|(jid, nick)| (jid.clone(), nick.clone()))
            .collect();
        for (jid, nick) in old {
            child.link.wait(Passing {
                event: Event::Gone {
                    jid,
                    nick,
                    parting: Parting::default(),
                },
                dot: None,
                late: None,
            });
        }
    }
}

impl Link {
    /// A child that may be one of Openfire, as its first stanza has it (§2.6 of the design).
    pub(super) fn guess(&mut self, join: &Stanza) {
        self.speech = match self.about.dialect {
            Dialect::Openfire => Speech::Openfire,
            Dialect::Auto if is_openfires(join) => Speech::Openfire,
            _ => Speech::Xep,
        };
    }

    /// Those of ours who would be unknown there say something: they are introduced before.
    pub(super) fn introduce_author(&mut self, passing: &Passing, turn: &mut Turn<'_>) {
        if let Event::Said { by, nick, .. } = &passing.event
            && !self.is_ext()
            && !self.announced.contains_key(by)
        {
            let presence = Stanza::presence(PresenceType::Available);
            self.reintroduce(occupant(by.clone(), nick, &presence), turn);
        }
    }

    /// Tells the peer of somebody now, whatever it has been told of them.
    fn reintroduce(&mut self, occupant: Occupant, turn: &mut Turn<'_>) {
        let passing = Passing {
            event: Event::Here(occupant),
            dot: None,
            late: None,
        };
        for stanza in self.write(&passing) {
            turn.send(self, Class::Control, stanza, None);
        }
    }

    /// A part of a burst; nothing of it may overtake another.
    pub(super) fn tell_in_order(&mut self, passing: &Passing, turn: &mut Turn<'_>) {
        for (stanza, _) in self.stanzas(passing, turn) {
            turn.send(self, Class::Control, stanza, None);
        }
    }

    /// The one on whose behalf the peer has joined, as this room has them: what XEP-0289 §5.1 shows, and Openfire would take for one of ours (O25 of the design).
    pub(super) fn echo_joiner(&mut self, joiner: &Occupant, nick_there: &str, turn: &mut Turn<'_>) {
        if self.speech != Speech::Xep {
            return;
        }
        let presence = Stanza::presence(PresenceType::Available);
        let stanza = self.write_of_theirs(joiner, nick_there, presence);
        turn.send(self, Class::Control, stanza, None);
    }
}

impl Matter {
    /// What it means that there is no answer.
    pub(super) fn silent(link: &Link) -> Matter {
        match link.speech {
            Speech::Openfire => Matter::Stale,
            _ => Matter::Silent,
        }
    }
}

/// What a burst begins with: somebody who is there, something of old, or its end. What is said now has nothing to do with it.
pub(super) fn begins_burst(stanza: &Stanza) -> bool {
    match stanza.kind() {
        Kind::Presence(PresenceType::Available) => true,
        Kind::Message(_) => said_at(stanza).is_some() || ends_burst(stanza),
        _ => false,
    }
}

/// What ends a burst: a subject, also an empty one, and nothing else.
pub(super) fn ends_burst(stanza: &Stanza) -> bool {
    let has = |name| stanza.payload().has(name, CLIENT);
    matches!(stanza.kind(), Kind::Message(_)) && has("subject") && !has("body") && !has("thread")
}

/// Whether the item of a presence has the address in the room where that of a person belongs: only Openfire's have.
fn names_itself(stanza: &Stanza) -> bool {
    let x = stanza.payload().child("x", ns::USER).map(|x| x.element());
    let item = x.as_ref().and_then(|x| x.child("item", ns::USER));
    let jid = item.and_then(|item| item.attr("jid"));
    jid.is_some() && jid == stanza.from().map(Jid::as_str)
}

/// Whether a join has the form that Openfire gives it: `<fmuc/>` comes last, and the item bears no address.
fn is_openfires(join: &Stanza) -> bool {
    let payload = join.payload();
    let last = payload.children().last();
    let x = payload.child("x", ns::USER).map(|x| x.element());
    let item = x.as_ref().and_then(|x| x.child("item", ns::USER));
    let bare = item.is_some_and(|item| item.attr("jid").is_none() && item.attr("role").is_some());
    last.is_some_and(|last| last.is("fmuc", ns::FMUC)) && bare
}
