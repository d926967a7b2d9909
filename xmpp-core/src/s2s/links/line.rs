//! What waits, for one pair and for one domain.

use std::borrow::Borrow;
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Instant;

use super::pause::Pause;
use super::table::Slot;
use crate::mailbox::{Envelope, QueueLimits};
use crate::s2s::Pair;
use crate::stanza::Condition;

/// A pair, and what waits for it.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) way: Way,
    pub(super) queue: VecDeque<Envelope>,
    pub(super) depth: Depth,
    /// How many at the front have come back from where they were handed to; what comes back after them stands behind them.
    pub(super) older: usize,
    /// When what waits goes back to its senders.
    pub(super) until: Option<Instant>,
    /// With this error, if there is one better than that it took too long.
    pub(super) why: Option<Condition>,
    /// The session for which it is [held](Way::Held).
    pub(super) holder: Option<Arc<str>>,
    /// The pair was refused.
    pub(super) pause: Pause,
    /// It is among those that wait for a connection to become free.
    pub(super) short: bool,
    /// It is among those that its link has no room for.
    pub(super) stalled: bool,
    pub(super) timer: Option<Instant>,
}

/// Where a pair's stanzas go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Way {
    /// Nowhere.
    #[default]
    None,
    /// Nowhere, until it is known what becomes of a session in which earlier ones wait.
    Held,
    /// The pair is requested there, or will be when it is connected.
    Asked(Slot),
    /// There.
    Up(Slot),
}

/// A domain on the other side.
#[derive(Debug, Default)]
pub(super) struct Domain {
    /// Those that we have opened to it, and those on which it is proven.
    pub(super) links: Vec<Slot>,
    pub(super) lines: Vec<Pair>,
    pub(super) depth: Depth,
    /// What those above believe it to be, in bytes.
    pub(super) told: usize,
    pub(super) pause: Pause,
    pub(super) timer: Option<Instant>,
    /// There is nothing but what is remembered, until then.
    pub(super) remembered: Option<Instant>,
}

/// Stanzas and bytes that wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Depth {
    pub(super) stanzas: usize,
    pub(super) bytes: usize,
}

impl Line {
    /// When something is to be done about it without anything else happening.
    pub(super) fn due(&self) -> Option<Instant> {
        let retry = self.pause.until().filter(|_| self.way == Way::None);
        match self.queue.is_empty() {
            true => retry,
            false => self.until.into_iter().chain(retry).min(),
        }
    }

    /// Whether it can be forgotten.
    pub(super) fn is_idle(&self) -> bool {
        self.way == Way::None && self.queue.is_empty() && self.pause.until().is_none()
    }
}

impl Depth {
    pub(super) fn add(&mut self, bytes: usize) {
        self.stanzas += 1;
        self.bytes += bytes;
    }

    pub(super) fn take(&mut self, bytes: usize) {
        self.stanzas -= 1;
        self.bytes -= bytes;
    }

    /// Whether so many bytes more are within the limits.
    pub(super) fn has_room(&self, bytes: usize, limits: &QueueLimits) -> bool {
        self.stanzas < limits.stanzas && self.bytes + bytes <= limits.bytes
    }
}

/// The domains of a pair: a table of pairs is searched with those of a stanza, without making a [`Pair`].
pub(super) trait Ends {
    fn ends(&self) -> (&str, &str);
}

impl Ends for Pair {
    fn ends(&self) -> (&str, &str) {
        (self.from().as_str(), self.to().as_str())
    }
}

impl Ends for (&str, &str) {
    fn ends(&self) -> (&str, &str) {
        *self
    }
}

impl<'a> Borrow<dyn Ends + 'a> for Pair {
    fn borrow(&self) -> &(dyn Ends + 'a) {
        self
    }
}

/// As [`Pair`] hashes.
impl Hash for dyn Ends + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (from, to) = self.ends();
        from.hash(state);
        to.hash(state);
    }
}

impl PartialEq for dyn Ends + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.ends() == other.ends()
    }
}

impl Eq for dyn Ends + '_ {}
