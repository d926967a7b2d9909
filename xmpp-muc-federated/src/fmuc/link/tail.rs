//! The last events before a silence: where streams acknowledge nothing, nothing shows that they were lost.

use std::collections::BTreeMap;
use std::time::Instant;

use super::Link;
use crate::fmuc::node::Turn;
use crate::fmuc::{Extension, Fmuc, Origin};
use crate::log::{Dot, NodeId};

/// The last event of each node that a peer was told of, as long as nothing says that it is there.
#[derive(Debug, Default)]
pub(super) struct Tail {
    told: BTreeMap<NodeId, (u64, u64)>,
    /// When the peer is told how far it should be.
    due: Option<Instant>,
}

/// The most nodes that one stanza is about.
const NODES_MAX: usize = 100;

impl Link {
    /// The peer was told of an event.
    pub(in crate::fmuc) fn was_told(&mut self, dot: &Dot, now: Instant) {
        let Some(pause) = self.timers.tail.filter(|_| self.is_ext() && !self.reliable) else {
            return;
        };
        let last = self.tail.told.entry(dot.node.clone()).or_default();
        *last = (*last).max((dot.epoch, dot.seq));
        self.tail.due = Some(now + pause);
    }

    /// Whether what goes there is acknowledged: then a loss is an outage.
    pub(in crate::fmuc) fn relies(&mut self, reliable: bool) {
        self.reliable = reliable;
        if reliable {
            self.tail = Tail::default();
        }
    }

    /// Once after each silence the peer is told of the last events that it should have.
    pub(in crate::fmuc) fn tell_tail(&mut self, turn: &mut Turn<'_>) {
        if self.tail.due.is_none_or(|due| turn.now.instant < due) {
            return;
        }
        let told = std::mem::take(&mut self.tail).told;
        // It may speak less than it did.
        if !self.is_ext() {
            return;
        }
        let told: Vec<_> = told.into_iter().collect();
        for some in told.chunks(NODES_MAX) {
            let mut fmuc = Fmuc::default();
            for (node, (epoch, seq)) in some {
                let (alias, definition) = self.aliases.name(node, *epoch);
                let last = Origin { alias, seq: *seq };
                fmuc.extensions.extend(definition);
                fmuc.extensions.push(Extension::Last(last));
            }
            let stanza = self.write_own(&fmuc);
            turn.send(&*self, stanza, None);
        }
    }

    /// When there is next something to tell, as long as the peer is there.
    pub(in crate::fmuc) fn next_timeout(&self) -> Option<Instant> {
        let due = [self.pace.next_timeout(), self.tail.due];
        due.into_iter().flatten().min()
    }
}
