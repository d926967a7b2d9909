//! What is said elsewhere, and the subject.

use std::sync::Arc;

use xmpp_core::Jid;
use xmpp_core::stanza::{MessageType, PresenceType, Stanza};
use xmpp_core::time::Timestamp;
use xmpp_core::xml::{Element, ns::CLIENT};

use super::stanza::said_at;
use super::{is_subject, known_nick};
use crate::fmuc::crowd::{Sight, Via};
use crate::fmuc::event::{Event, Passing};
use crate::fmuc::link::{at, id_of};
use crate::fmuc::local::{is_fleeting, portable};
use crate::fmuc::node::{Node, Turn};
use crate::fmuc::reference::replied_to;
use crate::fmuc::{Extension, Fmuc};
use crate::log::{Dot, Stamp};
use crate::room::elsewhere::Occupant;
use crate::room::{Affiliation, Role};

impl Node {
    #[expect(clippy::too_many_arguments, reason = "all of one stanza")]
    pub(super) fn take_message(
        &mut self,
        via: &Via,
        author: &Jid,
        nick: &str,
        stanza: &Stanza,
        fmuc: &Fmuc,
        (dot, news): (Option<Dot>, bool),
        turn: &mut Turn<'_>,
    ) {
        // A room speaks for itself: its node may be named by this link, and its people are others.
        if !author.is_bare() && !self.may_speak_for(via, author, dot.as_ref(), turn) {
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
            message.set_id(id_of(dot).as_str());
        }
        if is_subject(stanza) {
            return self.take_subject(via, author, &nick, message, fmuc, (dot, news), late, turn);
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
    pub(in crate::fmuc) fn hear(&mut self, passing: &Passing, turn: &mut Turn<'_>) {
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
    pub(in crate::fmuc) fn take_subject(
        &mut self,
        via: &Via,
        author: &Jid,
        nick: &str,
        message: Stanza,
        fmuc: &Fmuc,
        (dot, news): (Option<Dot>, bool),
        late: Option<Timestamp>,
        turn: &mut Turn<'_>,
    ) {
        let stamp = match (changed(fmuc), &dot) {
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
                // The same, taken over from a life that is over: by that name others need not be told of it again.
                Event::Subject { stamp: ours, .. } => {
                    let over = subject.dot.as_ref().is_some_and(|dot| self.is_over(dot));
                    *ours < stamp || (over && (ours.at, ours.count) == (stamp.at, stamp.count))
                }
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
        let taken = believed && newer && self.may_set_subject(via, author);
        if taken {
            let at = late.unwrap_or(turn.now.utc);
            self.subject = Some(passing.clone());
            self.in_room(turn, |room, now, out| {
                room.adopt_subject(author, Some(nick), &message, at, now, out);
            });
        }
        if news || taken {
            self.publish(via, &passing, turn);
        }
        let known = self.crowd.get(author);
        let kicked = known.is_some_and(|known| known.sight == Sight::Suppressed);
        if believed && newer && !taken && kicked {
            self.insist_on_subject(turn);
        }
    }

    /// The subject that one has set who was kicked here is not that of this room, and is to be that of no other: the one before it is set anew, in this
    /// room's own name.
    fn insist_on_subject(&mut self, turn: &mut Turn<'_>) {
        let before = self.subject.as_ref().map(|subject| &subject.event);
        let message = match before {
            Some(Event::Subject { message, .. }) => Arc::clone(message),
            _ => {
                let none = Element::new("subject", CLIENT);
                Arc::new(Stanza::message(MessageType::Groupchat).with_child(&none))
            }
        };
        let stamp = self.clock.stamp(turn.now.utc);
        self.own_subject(message, stamp, turn);
    }

    /// The subject as it was set in a life of a node that is over, be it one of this node: nobody speaks for that any more, and any peer could name it. If
    /// it is later than the one that is known here, this room has it from now on, in its own name.
    pub(super) fn take_subject_of_old(
        &mut self,
        via: &Via,
        author: &Jid,
        stanza: &Stanza,
        fmuc: &Fmuc,
        turn: &mut Turn<'_>,
    ) {
        let Some((at, count)) = changed(fmuc) else {
            return;
        };
        let stamp = Stamp {
            at,
            count,
            node: self.id.clone(),
        };
        let ours = self.subject.as_ref().map(|subject| &subject.event);
        let newer = match ours {
            Some(Event::Subject { stamp, .. }) => (stamp.at, stamp.count) < (at, count),
            _ => true,
        };
        let behind = self
            .crowd
            .get(author)
            .is_some_and(|known| known.via == *via);
        let unknown = Jid::from(self.room.jid());
        let author = if behind { author } else { &unknown };
        if !newer || !self.clock.see(&stamp, turn.now.utc) || !self.may_set_subject(via, author) {
            return;
        }
        let message = self.referring(via, portable(stanza));
        let by = Jid::from(self.room.jid());
        let at = said_at(stanza).unwrap_or(turn.now.utc).min(turn.now.utc);
        self.in_room(turn, |room, now, out| {
            room.adopt_subject(&by, None, &message, at, now, out);
        });
        self.own_subject(Arc::new(message), stamp, turn);
    }

    /// A subject that is set in this room's own name.
    fn own_subject(&mut self, message: Arc<Stanza>, stamp: Stamp, turn: &mut Turn<'_>) {
        let subject = Passing {
            event: Event::Subject {
                by: Jid::from(self.room.jid()),
                nick: String::new(),
                message,
                stamp,
            },
            dot: Some(self.dot(turn.now)),
            late: None,
        };
        self.subject = Some(subject.clone());
        self.publish(&Via::Here, &subject, turn);
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
}

/// When a subject was set.
fn changed(fmuc: &Fmuc) -> Option<(Timestamp, u32)> {
    fmuc.extensions.iter().find_map(|one| match one {
        Extension::Changed(at, count) => Some((*at, *count)),
        _ => None,
    })
}
