//! The end of it: this room leaves the one that it has joined, or is not wanted there.

use xmpp_core::BareJid;
use xmpp_core::stanza::{Kind, PresenceType, Stanza};

use super::State;
use crate::fmuc::crowd::Via;
use crate::fmuc::link::at;
use crate::fmuc::node::{Matter, Node, Turn};
use crate::fmuc::{Extension, Fmuc};
use crate::room::elsewhere::Parting;

impl Node {
    /// Whether this is how a room answers that is not federated (A9 of the design).
    pub(in crate::fmuc) fn is_ordinary_answer(&self, from: &BareJid, stanza: &Stanza) -> bool {
        let parent = self.parent.as_ref();
        parent.is_some_and(|parent| {
            parent.link.peer == *from
                && matches!(parent.state, State::Joining { .. })
                && matches!(stanza.kind(), Kind::Presence(PresenceType::Available))
        })
    }

    /// What is there is an ordinary room: one of ours has just entered it as a user.
    pub(in crate::fmuc) fn found_ordinary(&mut self, turn: &mut Turn<'_>) {
        let me = self.room.jid().clone();
        let Some(parent) = &mut self.parent else {
            return;
        };
        let nicks: Vec<_> = parent
            .link
            .announced
            .iter()
            .map(|(_, nick)| nick.clone())
            .collect();
        parent.link.announced.clear();
        for nick in nicks {
            let gone = Stanza::presence(PresenceType::Unavailable)
                .with_from(at(&me, &nick))
                .with_to(at(&parent.link.peer, &nick));
            turn.send(&parent.link, gone, None);
        }
        turn.notice(&parent.link.peer, Matter::Ordinary);
        self.try_later(true, turn);
    }

    pub(super) fn rejected(&mut self, text: String, turn: &mut Turn<'_>) {
        let Some(parent) = &mut self.parent else {
            return;
        };
        if !matches!(parent.state, State::Joining { .. }) {
            return;
        }
        turn.notice(&parent.link.peer, Matter::Rejected(text));
        parent.rejections += 1;
        parent.link.announced.clear();
        self.refuse_held(turn);
        self.drop_behind(&Via::Parent, &Parting::default(), turn);
        self.try_later(false, turn);
    }

    /// The parent has noted that we have left, or will have nothing to do with us any more.
    pub(super) fn parent_left(&mut self, fmuc: &Fmuc, turn: &mut Turn<'_>) {
        let Some(parent) = &mut self.parent else {
            return;
        };
        let of_another = fmuc.extensions.iter().any(|one| match one {
            Extension::Left(session) => *session != parent.link.session,
            _ => false,
        });
        if of_another {
            return;
        }
        match parent.state {
            State::Leaving { .. } => {
                self.parted(turn);
            }
            State::Joined | State::Syncing { .. } | State::Suspect { .. } => {
                parent.link.announced.clear();
                self.drop_behind(&Via::Parent, &Parting::default(), turn);
                self.try_later(false, turn);
            }
            State::Idle | State::Joining { .. } | State::Backoff { .. } => {}
        }
    }

    /// Nobody is left here for the parent.
    pub(in crate::fmuc) fn uncontribute(&mut self, turn: &mut Turn<'_>) {
        let Some(parent) = &mut self.parent else {
            return;
        };
        let until = turn.now.instant + parent.link.timers.left;
        match parent.state {
            State::Joined | State::Syncing { .. } => parent.state = State::Leaving { until },
            // Without our extension they leave when it is there to hear it.
            State::Suspect { .. } if parent.link.is_plain() => {}
            State::Joining { .. } | State::Suspect { .. } => {
                parent.link.leave_all(turn);
                parent.state = State::Leaving { until };
            }
            State::Backoff { .. } => {
                parent.state = State::Idle;
                self.drop_behind(&Via::Parent, &Parting::default(), turn);
            }
            State::Idle => {
                parent.link.take_waiting();
            }
            State::Leaving { .. } => {}
        }
    }

    /// We leave the parent, whoever is here.
    pub(in crate::fmuc) fn leave_parent(&mut self, turn: &mut Turn<'_>) {
        let Some(mut parent) = self.parent.take() else {
            return;
        };
        if !matches!(
            parent.state,
            State::Idle | State::Backoff { .. } | State::Leaving { .. }
        ) {
            parent.link.leave_all(turn);
        }
        self.drop_behind(&Via::Parent, &Parting::default(), turn);
    }

    /// The room that this one had joined before a restart hears that nobody is here any more.
    pub(in crate::fmuc) fn leave_of_old(&mut self, turn: &mut Turn<'_>) {
        let Some(parent) = &mut self.parent else {
            return;
        };
        if std::mem::take(&mut parent.of_old) {
            parent.link.leave_all(turn);
            parent.state = State::Leaving {
                until: turn.now.instant + parent.link.timers.left,
            };
        }
    }
}
