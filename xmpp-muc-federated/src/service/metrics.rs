//! What a service counts.

use std::sync::atomic::{AtomicU64, Ordering};

use xmpp_core::metrics::{Counter, Gauge};

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
    occupants: AtomicU64,
}

impl Metrics {
    /// How many occupants all rooms have.
    pub fn occupants(&self) -> u64 {
        self.occupants.load(Ordering::Relaxed)
    }

    /// A room that had so many has another number of them.
    pub(super) fn populate(&self, before: usize, now: usize) {
        // Wraps, and so does the sum.
        let change = (now as u64).wrapping_sub(before as u64);
        self.occupants.fetch_add(change, Ordering::Relaxed);
    }
}
