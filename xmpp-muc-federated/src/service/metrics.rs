//! What a service counts.

use std::sync::atomic::{AtomicU64, Ordering};

use xmpp_core::metrics::{Counter, Gauge};

use crate::fmuc::Stage;

/// What a service has counted since it was made.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Metrics {
    /// Rooms in memory; its total counts how often one has been loaded or made.
    pub rooms: Gauge,
    /// Rooms that were made.
    pub created: Counter,
    /// Stanzas that rooms have been sent.
    pub received: Counter,
    /// Messages that went to all occupants of a room.
    pub messages: Counter,
    /// Stanzas that rooms have sent, each recipient's counted.
    pub sent: Counter,
    /// Times that the store could not do what a room needed.
    pub store_errors: Counter,
    /// Stored rooms that could not be read.
    pub unreadable: Counter,
    /// Stanzas of federated rooms that have come from other nodes.
    pub nodes_received: Counter,
    /// And that have gone to them.
    pub nodes_sent: Counter,
    /// Times that two nodes of a room have come to know the same: on joining, and after each time that they were cut off.
    pub synced: Counter,
    /// Times that a room of somebody else was not let in.
    pub refused: Counter,
    /// Times that one of ours was not let in by somebody else's, or had no answer.
    pub rejected: Counter,
    /// Stanzas of other nodes that were dropped.
    pub dropped: Counter,
    links: [AtomicU64; Stage::ALL.len()],
    occupants: AtomicU64,
}

impl Metrics {
    /// How many occupants all rooms have.
    pub fn occupants(&self) -> u64 {
        self.occupants.load(Ordering::Relaxed)
    }

    /// How many links of federated rooms are so far.
    pub fn links(&self, stage: Stage) -> u64 {
        self.links[place(stage)].load(Ordering::Relaxed)
    }

    /// A link that was so far is so far now.
    pub(super) fn link(&self, before: Option<Stage>, now: Option<Stage>) {
        if let Some(now) = now {
            self.links[place(now)].fetch_add(1, Ordering::Relaxed);
        }
        if let Some(before) = before {
            self.links[place(before)].fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// A room that had so many has another number of them.
    pub(super) fn populate(&self, before: usize, now: usize) {
        // Wraps, and so does the sum.
        let change = (now as u64).wrapping_sub(before as u64);
        self.occupants.fetch_add(change, Ordering::Relaxed);
    }
}

fn place(stage: Stage) -> usize {
    let is = |other: &Stage| *other == stage;
    Stage::ALL.iter().position(is).unwrap_or_default()
}
