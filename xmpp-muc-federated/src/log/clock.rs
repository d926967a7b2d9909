//! Which of two changes is the later one, where clocks differ: a hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014).

use std::time::Duration;

use xmpp_core::time::Timestamp;

use super::NodeId;

/// When something was changed. Of two, the greater one is later: later as far as its author could know, else by the authors' clocks, else by
/// their names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// The author's clock, or the latest that it had heard of.
    pub at: Timestamp,
    /// Which of those at the same moment.
    pub count: u32,
    /// The author.
    pub node: NodeId,
}

/// The clock of one node.
#[derive(Debug)]
pub struct Clock {
    node: NodeId,
    last: (Timestamp, u32),
}

/// How far ahead of one's own clock another one is believed: by a day a clock is wrong by mistake. Nodes that differ about this for one stamp have clocks
/// that differ as much.
pub const AHEAD: Duration = Duration::from_secs(24 * 60 * 60);

impl Clock {
    /// That of this node.
    pub fn new(node: NodeId) -> Clock {
        Clock {
            node,
            last: (Timestamp::default(), 0),
        }
    }

    /// A stamp later than all that were given or seen.
    pub fn stamp(&mut self, now: Timestamp) -> Stamp {
        let (at, count) = self.last;
        self.last = match now > at {
            true => (now, 0),
            false => next(at, count),
        };
        let (at, count) = self.last;
        Stamp {
            at,
            count,
            node: self.node.clone(),
        }
    }

    /// Takes note of another node's stamp: from now on this one's are later. `false` if it is too far [ahead](AHEAD) to be believed, and what bears it
    /// is not to be accepted: nothing could be later.
    pub fn see(&mut self, stamp: &Stamp, now: Timestamp) -> bool {
        let believed = stamp.at <= now.plus(AHEAD);
        if believed {
            self.last = self.last.max((stamp.at, stamp.count));
        }
        believed
    }
}

fn next(at: Timestamp, count: u32) -> (Timestamp, u32) {
    match count.checked_add(1) {
        Some(count) => (at, count),
        None => (at.plus(Duration::from_millis(1)), 0),
    }
}
