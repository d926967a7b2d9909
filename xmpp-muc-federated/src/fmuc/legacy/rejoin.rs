//! After an outage all of ours leave, and join anew; for that those whom a peer knows are kept, and what has not reached it.

use xmpp_core::stanza::{Kind, PresenceType, Stanza};
use xmpp_core::{BareJid, Jid};

use crate::fmuc::collision::variants;
use crate::fmuc::crowd::{Known, Sight, Via};
use crate::fmuc::event::{Event, Passing};
use crate::fmuc::link::{ALIAS_MAX, Link};
use crate::fmuc::node::{Node, Turn};
use crate::fmuc::parent::State;
use crate::fmuc::receive::occupant;
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

    /// A stanza to a peer has come back: it was not delivered. Without our extension what was in it is told later (D7 of the design); with it the two find out
    /// what is missing. The error names no content (RFC 6120 §8.3.1 leaves it to the one who answers): what it was is found in what is known here.
    pub(in crate::fmuc) fn came_back(&mut self, via: &Via, error: &Stanza, turn: &mut Turn<'_>) {
        let nick = error.to().and_then(Jid::resource).unwrap_or_default();
        let to_one = error.from().is_some_and(|from| !from.is_bare());
        let is_message = matches!(error.kind(), Kind::Message(_));
        if is_message && to_one {
            return self.private_returned(via, error, turn);
        }
        if nick.is_empty() || self.link_ref(via).is_none_or(Link::is_ext) {
            return;
        }
        let again = match is_message {
            true => error.id().and_then(|id| self.said_as(via, nick, id)),
            false => self.stands_as(via, nick, to_one),
        };
        let Some(passing) = again else {
            return;
        };
        // A room that is joined anew is told of everybody anew.
        if (is_message || *via != Via::Parent)
            && let Some(link) = self.link(via)
        {
            link.wait_again(passing);
        }
    }

    /// What somebody has said in a message of this id, under this nick over there.
    fn said_as(&self, via: &Via, nick: &str, id: &str) -> Option<Passing> {
        let link = self.link_ref(via)?;
        let mut all = self.log.iter().rev();
        let entry = all.find(|entry| {
            let (Event::Said { message, .. } | Event::Subject { message, .. }) = &entry.event
            else {
                return false;
            };
            let author = entry.event.author();
            let named = link.announced.get(author).map(String::as_str);
            named.unwrap_or(entry.event.nick()) == nick && message.id() == Some(id)
        })?;
        Some(Passing {
            event: entry.event.clone(),
            dot: None,
            late: Some(entry.at),
        })
    }

    /// How it is now with the one who has this nick over there: a presence of theirs has come back, perhaps the one by which this room would have joined.
    fn stands_as(&mut self, via: &Via, nick: &str, by_joining: bool) -> Option<Passing> {
        let named = self.link_ref(via)?.announced.named(nick).cloned();
        let event = match named {
            Some(jid) => {
                if by_joining && let Some(link) = self.link(via) {
                    link.announced.remove(&jid);
                }
                Event::Here(self.crowd.get(&jid)?.occupant.clone())
            }
            // The peer knows them as it did before.
            None => {
                let gone = self.left_as(nick)?;
                let jid = gone.author().clone();
                self.link(via)?.announced.insert(jid, nick.to_owned());
                gone
            }
        };
        Some(Passing {
            event,
            dot: None,
            late: None,
        })
    }

    /// The last one who has left, of those who may have had this nick over there.
    fn left_as(&self, there: &str) -> Option<Event> {
        let mut all = self.log.iter().rev();
        let entry = all.find(|entry| match &entry.event {
            Event::Gone { jid, nick, .. } => {
                nick == there || variants(nick, &jid.to_bare(), ALIAS_MAX).any(|one| one == there)
            }
            _ => false,
        })?;
        Some(entry.event.clone())
    }
}
