//! A hybrid logical clock: stamps that are close to the time and greater than all that their writer has seen.
//!
//! A stamp has the time in milliseconds, a count that tells apart what has happened within one, and its node. So any two differ, all nodes order them
//! alike, and what was written knowing of something else is later than it, whatever the clocks say.

use std::time::Duration;

use xmpp_core::time::Timestamp;

use crate::node::NodeId;

/// How far ahead of its own clock a node lets a stamp be, unless it is told otherwise.
pub const DRIFT: Duration = Duration::from_secs(5);

/// When something was written, and where. Ordered by time, then count, then node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// Milliseconds since 1970, of the furthest clock that its writer knew of.
    pub time: Timestamp,
    /// How many stamps with this time came before.
    pub count: u32,
    /// Who has written it.
    pub node: NodeId,
}

/// The clock of one node.
#[derive(Clone, Debug)]
pub struct Clock {
    node: NodeId,
    drift: Duration,
    time: Timestamp,
    count: u32,
}

/// A stamp is further ahead than the drift that is allowed: whoever took it would carry the wrong time on to everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a clock is ahead by {} s, more than the {} s that are allowed", ahead.as_secs(), drift.as_secs())]
pub struct TooFarAhead {
    /// By how much it is ahead.
    pub ahead: Duration,
    /// How much is allowed.
    pub drift: Duration,
}

impl Clock {
    /// The clock of `node`. A node that goes on with stored stamps shows it the greatest of them ([`Clock::restore`]).
    pub fn new(node: NodeId, drift: Duration) -> Clock {
        Clock {
            node,
            drift,
            time: Timestamp(i64::MIN),
            count: 0,
        }
    }

    /// Goes on behind a stamp of this site's own store. It is not measured: a clock that was put back must not make
    /// what is written from now on older than what is there.
    pub fn restore(&mut self, last: &Stamp) {
        self.advance(last.time, last.count);
    }

    /// The stamp of something that is written now: greater than all that came out of this clock, or were seen by it.
    pub fn stamp(&mut self, now: Timestamp) -> Stamp {
        match now > self.time {
            true => (self.time, self.count) = (now, 0),
            false => match self.count.checked_add(1) {
                Some(count) => self.count = count,
                None => (self.time, self.count) = (Timestamp(self.time.0.saturating_add(1)), 0),
            },
        }
        Stamp {
            time: self.time,
            count: self.count,
            node: self.node.clone(),
        }
    }

    /// Takes note of a stamp from elsewhere. What carries one that is [`TooFarAhead`] must not be taken.
    pub fn see(&mut self, stamp: &Stamp, now: Timestamp) -> Result<(), TooFarAhead> {
        self.check(stamp.time, now)?;
        self.advance(stamp.time, stamp.count);
        Ok(())
    }

    /// Whether a clock that shows `time` (a heartbeat's) may be that of a node of this cluster. One that is behind may:
    /// it poisons nobody.
    pub fn check(&self, time: Timestamp, now: Timestamp) -> Result<(), TooFarAhead> {
        let (ahead, drift) = (time.since(now), self.drift);
        match ahead > drift {
            true => Err(TooFarAhead { ahead, drift }),
            false => Ok(()),
        }
    }

    fn advance(&mut self, time: Timestamp, count: u32) {
        (self.time, self.count) = (self.time, self.count).max((time, count));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clock(name: &str) -> Clock {
        Clock::new(name.parse().unwrap(), DRIFT)
    }

    #[test]
    fn a_clock_that_is_put_back_stamps_later_all_the_same() {
        let mut clock = clock("a");
        let first = clock.stamp(Timestamp(1000));
        let second = clock.stamp(Timestamp(10));
        assert!(second > first);
        assert_eq!((second.time, second.count), (Timestamp(1000), 1));
        assert_eq!(clock.stamp(Timestamp(1001)).count, 0);
    }

    #[test]
    fn a_count_that_is_full_goes_on_in_the_next_millisecond() {
        let mut clock = clock("a");
        let last = Stamp {
            time: Timestamp(7),
            count: u32::MAX,
            node: "b".parse().unwrap(),
        };
        clock.see(&last, Timestamp(7)).unwrap();
        assert!(clock.stamp(Timestamp(7)) > last);
    }

    #[test]
    fn a_stamp_beyond_the_drift_is_refused_and_leaves_no_trace() {
        let mut clock = clock("a");
        let at = |ms| Stamp {
            time: Timestamp(ms),
            count: 0,
            node: "b".parse().unwrap(),
        };
        assert_eq!(clock.see(&at(5000), Timestamp(0)), Ok(()));
        let year = 365 * 86_400_000;
        let refused = clock.see(&at(year), Timestamp(0)).unwrap_err();
        assert_eq!(refused.drift, DRIFT);
        assert!(clock.stamp(Timestamp(0)).time.0 <= 5000);
        // Its own store is believed, though.
        clock.restore(&at(year));
        assert!(clock.stamp(Timestamp(0)) > at(year));
    }

    /// Stamps, and news of them, between three nodes with clocks that disagree: what follows from something is later than it.
    fn causal(steps: &[(usize, usize, i64)], hear: bool) -> bool {
        let mut clocks = ["a", "b", "c"].map(clock);
        let mut last: [Option<Stamp>; 3] = Default::default();
        for (from, to, now) in steps {
            let (now, behind) = (Timestamp(*now), Timestamp(now - 900));
            let said = clocks[*from].stamp(now);
            if last[*from].as_ref().is_some_and(|last| *last >= said) {
                return false;
            }
            last[*from] = Some(said.clone());
            // The fault that is planted: what comes is not looked at.
            if hear && clocks[*to].see(&said, behind).is_err() {
                continue;
            }
            let answer = clocks[*to].stamp(behind);
            if answer <= said {
                return false;
            }
            last[*to] = Some(answer);
        }
        true
    }

    proptest! {
        #[test]
        fn what_follows_from_something_is_later(steps in proptest::collection::vec((0..3usize, 0..3usize, 0..3000i64), 1..60)) {
            prop_assert!(causal(&steps, true));
        }
    }

    #[test]
    fn a_clock_that_does_not_hear_others_is_found_out() {
        assert!(!causal(&[(0, 1, 1000)], false));
    }
}
