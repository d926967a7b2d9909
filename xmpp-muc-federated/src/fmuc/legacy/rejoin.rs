//! After an outage all of ours leave, and join anew; for that those whom a peer knows are kept, and what has not reached it.

use xmpp_core::stanza::{Kind, MessageType, PresenceType, Stanza};
use xmpp_core::{BareJid, Jid};

use crate::fmuc::Fmuc;
use crate::fmuc::crowd::{Known, Sight, Via};
use crate::fmuc::event::{Event, Passing};
use crate::fmuc::local::portable;
use crate::fmuc::node::{Node, Turn};
use crate::fmuc::parent::{State, fmuc_of};
use crate::fmuc::receive::{occupant, parting, said_at};
use crate::ns;
use crate::room::elsewhere::{Occupant, Parting};

impl Node {
    /// All of ours leave the room that was joined, so that they can join it anew: it answers that they have.
    pub(in crate::fmuc) fn part(&mut self, turn: &mut Turn<'_>) {
        if let Some(parent) = &mut self.parent {
            parent.unstage();
            parent.state = State::Leaving {
                until: turn.now.instant + parent.link.timers.left,
            };
            parent.link.leave_all(turn);
        }
    }

    /// The room that was joined knows that all of ours have left, or does not answer.
    pub(in crate::fmuc) fn parted(&mut self, turn: &mut Turn<'_>) {
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

    /// After a turn: who is known to a peer without our extension is stored, since after a restart they can only leave one by one.
    pub(in crate::fmuc) fn write_down_rosters(&mut self, turn: &mut Turn<'_>) {
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
    pub(in crate::fmuc) fn expect(&mut self, via: &Via, all: Vec<(Jid, String)>) {
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
            self.crowd.insert(Known {
                via: via.clone(),
                sight: Sight::Lost,
                ..Known::here(occupant, None)
            });
        }
    }

    /// After a restart: nobody is here any more whom this peer knows.
    pub(in crate::fmuc) fn leave_child_of_old(&mut self, peer: &BareJid) {
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

    /// A stanza to a peer without our extension has come back: it certainly was not delivered, and is told later (D7 of the design).
    pub(in crate::fmuc) fn came_back(&mut self, via: &Via, stanza: &Stanza, turn: &Turn<'_>) {
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
}
