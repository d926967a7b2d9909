//! Rooms that join each other, and rings of them (§5.5 of the design).

use xmpp_core::BareJid;
use xmpp_core::stanza::Stanza;

use super::State;
use crate::fmuc::Fmuc;
use crate::fmuc::child::{asks_to_join, has_join};
use crate::fmuc::crowd::Via;
use crate::fmuc::node::{Matter, Node, Turn};
use crate::log::NodeId;
use crate::room::elsewhere::Parting;

/// What becomes of two joins of one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fmuc) enum Crossing {
    /// There is but one.
    None,
    /// That of this room stands.
    Ours,
    /// That of the other one does.
    Theirs,
}

impl Node {
    /// Two rooms each of which is to join the other: §5.5 of the design.
    pub(in crate::fmuc) fn crossing(
        &self,
        peer: &BareJid,
        stanza: &Stanza,
        fmuc: &Fmuc,
    ) -> Crossing {
        let joining = self.is_parent(peer)
            && asks_to_join(stanza, fmuc)
            && self.federation.accept.admits(peer);
        let state = self.parent.as_ref().map(|parent| parent.state);
        match state.filter(|_| joining) {
            // Without our extension the other one may not give way.
            Some(State::Joining { .. } | State::Backoff { .. }) if !has_join(fmuc) => {
                Crossing::Theirs
            }
            Some(State::Joining { .. }) if self.id.as_str() > peer.as_str() => Crossing::Ours,
            Some(State::Joining { .. } | State::Backoff { .. } | State::Idle) => Crossing::Theirs,
            _ => Crossing::None,
        }
    }

    /// The peer joins this room, and not the other way round.
    pub(in crate::fmuc) fn yield_to(&mut self, peer: &BareJid, turn: &mut Turn<'_>) {
        if let Some(parent) = self
            .parent
            .as_mut()
            .filter(|parent| parent.link.peer == *peer)
        {
            parent.state = State::Idle;
            parent.yielded = true;
            parent.link.forget_all();
            self.drop_behind(&Via::Parent, &Parting::default(), turn);
            self.forget_splits(&Via::Parent, turn);
        }
    }

    /// A room that finds itself among those above it: of all in the ring the one with the greatest address leaves it.
    /// Whether that is this one.
    pub(in crate::fmuc) fn break_ring(&mut self, turn: &mut Turn<'_>) -> bool {
        let Some(at) = self.ancestors.iter().position(|one| *one == self.id) else {
            return false;
        };
        if self.ancestors[..=at].iter().max() != Some(&self.id) {
            return false;
        }
        if let Some(parent) = &mut self.parent {
            turn.notice(
                &parent.link.peer,
                Matter::Rejected("it is behind this room".into()),
            );
            parent.link.leave_all(turn);
        }
        self.ancestors.clear();
        self.drop_behind(&Via::Parent, &Parting::default(), turn);
        self.try_later(true, turn);
        self.tell_path(turn);
        true
    }

    /// The rooms from this one to the root.
    pub(in crate::fmuc) fn path(&self) -> Vec<NodeId> {
        let this = [self.id.clone()].into_iter();
        this.chain(self.ancestors.iter().cloned()).collect()
    }
}
