//! What is said elsewhere, and the subject.

use std::sync::Arc;

use xmpp_core::Jid;
use xmpp_core::stanza::{PresenceType, Stanza};
use xmpp_core::time::Timestamp;
use xmpp_core::xml::ns::CLIENT;

use super::known_nick;
use super::stanza::said_at;
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
            message.set_id(id_of(dot).as_str());
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
}
