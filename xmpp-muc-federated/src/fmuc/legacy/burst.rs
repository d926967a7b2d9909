//! What a peer tells when it is joined: those who are there, what was said, and the subject, which ends it.

use std::collections::BTreeMap;

use xmpp_core::stanza::{Kind, MessageType, PresenceType, Stanza};
use xmpp_core::xml::ns::CLIENT;
use xmpp_core::{BareJid, Jid};

use super::openfire::names_itself;
use crate::fmuc::Fmuc;
use crate::fmuc::crowd::Via;
use crate::fmuc::event::{Event, Passing};
use crate::fmuc::link::{Link, Speech};
use crate::fmuc::local::portable;
use crate::fmuc::node::{Node, Turn};
use crate::fmuc::parent::fmuc_of;
use crate::fmuc::receive::said_at;
use crate::fmuc::settings::Dialect;
use crate::room::elsewhere::Occupant;

impl Node {
    /// The burst of a room that was joined is complete: those who are there, what was said, and the subject.
    pub(in crate::fmuc) fn take_burst(&mut self, burst: Vec<Stanza>, turn: &mut Turn<'_>) {
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
            self.take_subject(
                &Via::Parent,
                author,
                nick,
                message,
                &fmuc,
                (None, true),
                late,
                turn,
            );
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
}

impl Link {
    /// A part of a burst; nothing of it may overtake another.
    pub(in crate::fmuc) fn tell_in_order(&mut self, passing: &Passing, turn: &mut Turn<'_>) {
        for (stanza, _) in self.stanzas(passing, turn) {
            turn.send(self, stanza, None);
        }
    }

    /// The one on whose behalf the peer has joined, as this room has them: what XEP-0289 §5.1 shows, and Openfire would take for one of ours (O25 of the design).
    pub(in crate::fmuc) fn echo_joiner(
        &mut self,
        joiner: &Occupant,
        nick_there: &str,
        turn: &mut Turn<'_>,
    ) {
        if self.speech != Speech::Xep {
            return;
        }
        let presence = Stanza::presence(PresenceType::Available);
        let stanza = self.write_of_theirs(joiner, nick_there, presence);
        turn.send(self, stanza, None);
    }
}

/// What a burst begins with: somebody who is there, something of old, or its end. What is said now has nothing to do with it.
pub(in crate::fmuc) fn begins_burst(stanza: &Stanza) -> bool {
    match stanza.kind() {
        Kind::Presence(PresenceType::Available) => true,
        Kind::Message(_) => said_at(stanza).is_some() || ends_burst(stanza),
        _ => false,
    }
}

/// What ends a burst: a subject, also an empty one, and nothing else.
pub(in crate::fmuc) fn ends_burst(stanza: &Stanza) -> bool {
    let has = |name| stanza.payload().has(name, CLIENT);
    matches!(stanza.kind(), Kind::Message(_)) && has("subject") && !has("body") && !has("thread")
}
