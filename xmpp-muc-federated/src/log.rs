//! What the nodes of one room agree by, however they are connected: every event has an author and a number, every node knows what it has, and two that
//! meet tell each other what the other has not.
//!
//! * A [`Dot`] names an event: the `seq`-th of a node in one of its lives.
//! * [`Have`] is what a node has seen: it tells new events from copies, and notices what is missing between them.
//! * A [`Vector`] is that in short, for the other side.
//! * [`Log`] keeps events for those that have missed them, within bounds, and knows what it has forgotten.
//! * [`Clock`] orders what two nodes have changed without hearing of each other, as far as anything can.
//!
//! Nothing here knows what an event is, nor how it travels: over a stream between two servers a node is a room's address; within a cluster it is a server.

mod clock;
mod have;
mod vector;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use xmpp_core::time::Timestamp;

pub use clock::{AHEAD, Clock, Stamp};
pub use have::{Have, HaveLimits, Seen};
pub use vector::{Reach, Vector};

/// A node of a room.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// The node of this name.
    pub fn new(name: &str) -> NodeId {
        NodeId(name.into())
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of an event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot {
    /// Whose it is.
    pub node: NodeId,
    /// Which of its lives: one that has lost what it knew of itself begins a greater one.
    pub epoch: u64,
    /// The how manieth it is of that life, from 1 on.
    pub seq: u64,
}

impl fmt::Display for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}.{}", self.node, self.epoch, self.seq)
    }
}

/// An event that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<E> {
    /// Its name.
    pub dot: Dot,
    /// When it happened, as its author's clock had it.
    pub at: Timestamp,
    /// What it costs to keep, in bytes.
    pub size: usize,
    /// What happened.
    pub event: E,
}

/// Numbers of one node's events in one of its lives.
pub type Range = (NodeId, u64, RangeInclusive<u64>);

/// What another node lacks.
#[derive(Debug, PartialEq, Eq)]
pub struct Missing<'a, E> {
    /// What there is of it, in the order in which this node came to have it.
    pub entries: Vec<&'a Entry<E>>,
    /// What there was, and is forgotten.
    pub gone: Vec<Range>,
}

/// How much a log keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// Events; default 5000.
    pub events: usize,
    /// Bytes; default 4 MiB.
    pub bytes: usize,
    /// For how long; default 30 days.
    pub age: Duration,
}

impl Default for Retention {
    fn default() -> Retention {
        Retention {
            events: 5000,
            bytes: 4 << 20,
            age: Duration::from_secs(30 * 24 * 60 * 60),
        }
    }
}

/// Events in the order in which this node came to have them, the oldest forgotten first.
#[derive(Debug)]
pub struct Log<E> {
    retention: Retention,
    entries: VecDeque<Entry<E>>,
    bytes: usize,
    /// The last that is forgotten of each node's present life.
    forgotten: BTreeMap<NodeId, (u64, u64)>,
}

impl<E> Log<E> {
    /// An empty log.
    pub fn new(retention: Retention) -> Log<E> {
        Log {
            retention,
            entries: VecDeque::new(),
            bytes: 0,
            forgotten: BTreeMap::new(),
        }
    }

    /// Keeps an event that was not there before, and forgets what is too much, or too old `now`.
    pub fn push(&mut self, entry: Entry<E>, now: Timestamp) {
        self.bytes += entry.size;
        self.entries.push_back(entry);
        while let Some(oldest) = self.entries.front()
            && (self.entries.len() > self.retention.events
                || self.bytes > self.retention.bytes
                || now.since(oldest.at) > self.retention.age)
        {
            self.forget();
        }
    }

    fn forget(&mut self) {
        let Some(Entry { dot, size, .. }) = self.entries.pop_front() else {
            return;
        };
        self.bytes -= size;
        let last = self.forgotten.entry(dot.node).or_default();
        *last = (*last).max((dot.epoch, dot.seq));
    }

    /// What a node lacks that has this much.
    pub fn missing(&self, theirs: &Vector) -> Missing<'_, E> {
        let lacks = |entry: &&Entry<E>| !theirs.covers(&entry.dot);
        let entries: Vec<_> = self.entries.iter().filter(lacks).collect();
        let gone = self.forgotten.iter().filter_map(|(node, (epoch, last))| {
            let first = match theirs.get(node) {
                Some(reach) if reach.epoch > *epoch => return None,
                Some(reach) if reach.epoch == *epoch => reach.seq.checked_add(1)?,
                _ => 1,
            };
            (first <= *last).then(|| (node.clone(), *epoch, first..=*last))
        });
        Missing {
            gone: gone.flat_map(|range| without(range, &entries)).collect(),
            entries,
        }
    }

    /// What there is of these.
    pub fn range(&self, (node, epoch, seqs): &Range) -> Missing<'_, E> {
        let asked = |entry: &&Entry<E>| {
            let dot = &entry.dot;
            dot.node == *node && dot.epoch == *epoch && seqs.contains(&dot.seq)
        };
        let entries: Vec<_> = self.entries.iter().filter(asked).collect();
        let last = match self.forgotten.get(node) {
            Some((life, last)) if life == epoch => *last,
            Some((life, _)) if life > epoch => u64::MAX,
            _ => 0,
        };
        let last = last.min(*seqs.end());
        let gone = (*seqs.start() <= last).then(|| (node.clone(), *epoch, *seqs.start()..=last));
        Missing {
            gone: gone
                .into_iter()
                .flat_map(|range| without(range, &entries))
                .collect(),
            entries,
        }
    }

    /// What of a range is not kept here.
    pub fn lacks(&self, range: &Range) -> Vec<Range> {
        without(range.clone(), &self.range(range).entries)
    }

    /// All that is kept, in the order in which it came.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Entry<E>> {
        self.entries.iter()
    }

    /// How many events are kept.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What they cost, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The parts of a range for which there is no entry: what came out of order may be kept though something later is not.
fn without<E>((node, epoch, seqs): Range, entries: &[&Entry<E>]) -> Vec<Range> {
    let of = |entry: &&&Entry<E>| entry.dot.node == node && entry.dot.epoch == epoch;
    let mut kept: Vec<_> = entries
        .iter()
        .filter(of)
        .map(|entry| entry.dot.seq)
        .collect();
    kept.retain(|seq| seqs.contains(seq));
    kept.sort_unstable();
    let mut parts = Vec::new();
    let (mut first, last) = seqs.into_inner();
    for seq in kept {
        if first < seq {
            parts.push((node.clone(), epoch, first..=seq - 1));
        }
        match seq.checked_add(1) {
            Some(next) => first = next,
            None => return parts,
        }
    }
    if first <= last {
        parts.push((node, epoch, first..=last));
    }
    parts
}

#[cfg(test)]
mod tests;
