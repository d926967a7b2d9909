//! Which stanzas a queue has had, by their places in the streams of their senders.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use xmpp_core::mailbox::SmPoint;
use xmpp_sm::Counter;

/// How far below the last stanza of a sender is known, one by one, which have come.
pub const WINDOW: u32 = 128;

/// Bounds of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Streams that are remembered; default 1024. Those that have been silent for longest are forgotten for others.
    pub senders: usize,
    /// How long a stream is remembered that sends nothing: as long as one can be resumed, and some more; default 15 min.
    pub forget: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            senders: 1024,
            forget: Duration::from_secs(900),
        }
    }
}

/// What a table says of a stanza.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has not come before.
    New,
    /// It has.
    Seen,
    /// It is more than [`WINDOW`] behind the last one of its stream: nobody knows any more. It is better had twice than lost.
    Forgotten,
}

/// Which stanzas a queue has had.
///
/// The greatest number of each stream is not enough: what was given up on one way and goes another may be overtaken by what came later, and what the two
/// sides of a cut have accepted is brought together after it.
#[derive(Clone, Debug)]
pub struct Dedupe {
    limits: Limits,
    streams: HashMap<Arc<str>, Stream>,
    /// When it has so many streams, the silent ones are looked for.
    sweep: usize,
}

/// What is known of one sender's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The last that has come.
    pub last: Counter,
    /// Bit *i*: whether the one *i* before the last has.
    pub seen: u128,
}

#[derive(Clone, Debug)]
struct Stream {
    window: Window,
    heard: Instant,
}

/// With so few nobody is looked for.
const FEW: usize = 16;

impl Dedupe {
    /// A table that knows of nothing.
    pub fn new(limits: Limits) -> Dedupe {
        Dedupe {
            limits,
            streams: HashMap::new(),
            sweep: FEW,
        }
    }

    /// What is known of a stanza.
    pub fn verdict(&self, point: &SmPoint) -> Verdict {
        let stream = self.streams.get(&point.id);
        stream.map_or(Verdict::New, |stream| {
            stream.window.verdict(Counter(point.n))
        })
    }

    /// A stanza comes; what was known of it.
    pub fn record(&mut self, point: &SmPoint, now: Instant) -> Verdict {
        let n = Counter(point.n);
        match self.streams.get_mut(&point.id) {
            Some(stream) => {
                stream.heard = now;
                stream.window.record(n)
            }
            None => {
                self.enter(point.id.clone(), Window { last: n, seen: 1 }, now);
                Verdict::New
            }
        }
    }

    /// A stanza that has come goes another way after all, and may come back by it.
    pub fn forget(&mut self, point: &SmPoint) {
        if let Some(stream) = self.streams.get_mut(&point.id) {
            stream.window.forget(Counter(point.n));
        }
    }

    /// What another table knows of a stream is known here as well.
    pub fn learn(&mut self, id: &Arc<str>, window: Window, now: Instant) {
        match self.streams.get_mut(id) {
            Some(stream) => stream.window = stream.window.union(window),
            None => self.enter(id.clone(), window, now),
        }
    }

    /// Has it keep within other bounds, from the next stream on.
    pub(super) fn bound(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The streams that are known.
    pub fn streams(&self) -> impl Iterator<Item = (&Arc<str>, Window)> {
        let streams = self.streams.iter();
        streams.map(|(id, stream)| (id, stream.window))
    }

    /// How many streams are known.
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    fn enter(&mut self, id: Arc<str>, window: Window, now: Instant) {
        if self.streams.len() >= self.sweep.min(self.limits.senders.max(1)) {
            self.make_room(now);
        }
        self.streams.insert(id, Stream { window, heard: now });
    }

    /// Forgets the silent ones, and if that is not enough those that have been so for longest, many at a time.
    fn make_room(&mut self, now: Instant) {
        let forget = self.limits.forget;
        self.streams.retain(|_, stream| stream.heard + forget > now);
        if self.streams.len() >= self.limits.senders {
            let mut heard: Vec<Instant> = self.streams.values().map(|s| s.heard).collect();
            heard.sort_unstable();
            let mut most = self.limits.senders / 4 + 1;
            let until = heard[(most - 1).min(heard.len() - 1)];
            self.streams.retain(|_, stream| {
                let goes = stream.heard <= until && most > 0;
                most -= usize::from(goes);
                !goes
            });
        }
        self.sweep = (self.streams.len() * 2).max(FEW);
    }
}

impl Window {
    fn verdict(&self, n: Counter) -> Verdict {
        let Some(behind) = self.last.since(n) else {
            return Verdict::New;
        };
        match behind {
            WINDOW.. => Verdict::Forgotten,
            _ if self.seen >> behind & 1 == 1 => Verdict::Seen,
            _ => Verdict::New,
        }
    }

    fn record(&mut self, n: Counter) -> Verdict {
        let verdict = self.verdict(n);
        if verdict == Verdict::New {
            *self = self.union(Window { last: n, seen: 1 });
        }
        verdict
    }

    fn forget(&mut self, n: Counter) {
        let behind = self.last.since(n).filter(|behind| *behind < WINDOW);
        if let Some(behind) = behind {
            self.seen &= !(1 << behind);
        }
    }

    fn union(self, other: Window) -> Window {
        let (later, earlier) = match other.last.since(self.last) {
            Some(_) => (other, self),
            None => (self, other),
        };
        let behind = later.last.since(earlier.last).unwrap_or_default();
        let known = earlier.seen.checked_shl(behind).unwrap_or_default();
        Window {
            last: later.last,
            seen: later.seen | known,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn start() -> Instant {
        #[allow(clippy::disallowed_methods)] // only differences count
        Instant::now()
    }

    fn point(id: &str, n: u32) -> SmPoint {
        SmPoint { id: id.into(), n }
    }

    #[test]
    fn each_stanza_is_new_once_whatever_their_order_and_where_the_count_wraps() {
        for first in [0, 5, u32::MAX - 2] {
            let mut table = Dedupe::new(Limits::default());
            let now = start();
            for n in [2, 0, 1, 5, 3].map(|n| first.wrapping_add(n)) {
                assert_eq!(table.verdict(&point("s", n)), Verdict::New, "{n}");
                assert_eq!(table.record(&point("s", n), now), Verdict::New, "{n}");
                assert_eq!(table.record(&point("s", n), now), Verdict::Seen, "{n}");
            }
            assert_eq!(
                table.verdict(&point("s", first.wrapping_add(4))),
                Verdict::New
            );
            assert_eq!(table.verdict(&point("t", first)), Verdict::New);
            let far = first.wrapping_add(5 + WINDOW);
            assert_eq!(table.record(&point("s", far), now), Verdict::New);
            let last = point("s", first.wrapping_add(5));
            assert_eq!(table.record(&last, now), Verdict::Forgotten);
            assert_eq!(table.len(), 1);
        }
    }

    #[test]
    fn what_goes_another_way_can_come_back_by_it() {
        let mut table = Dedupe::new(Limits::default());
        let now = start();
        for n in 1..=3 {
            table.record(&point("s", n), now);
        }
        table.forget(&point("s", 2));
        table.forget(&point("s", 3));
        table.forget(&point("s", 7));
        table.forget(&point("t", 1));
        let verdict = |n| table.verdict(&point("s", n));
        assert_eq!(
            [1, 2, 3, 4].map(verdict),
            [Verdict::Seen, Verdict::New, Verdict::New, Verdict::New]
        );
    }

    #[test]
    fn a_silent_stream_is_forgotten_and_a_crowd_forgets_the_most_silent() {
        let limits = Limits {
            senders: 32,
            forget: Duration::from_secs(60),
        };
        let now = start();
        let mut table = Dedupe::new(limits);
        for n in 0..1000 {
            let at = now + Duration::from_millis(n.into());
            table.record(&point(&n.to_string(), n), at);
            assert!(table.len() <= 32);
            assert_eq!(table.verdict(&point(&n.to_string(), n)), Verdict::Seen);
        }
        assert!(table.len() >= 16);
        let later = now + Duration::from_secs(120);
        for n in 0..32 {
            table.record(&point(&format!("late{n}"), 1), later);
        }
        assert_eq!(table.verdict(&point("999", 999)), Verdict::New, "forgotten");
    }

    proptest! {
        #[test]
        fn two_tables_together_know_what_each_knew(
            first in any::<u32>(),
            ours in proptest::collection::vec(0..100u32, 0..40),
            theirs in proptest::collection::vec(0..100u32, 0..40),
        ) {
            let now = start();
            let of = |list: &[u32]| {
                let mut table = Dedupe::new(Limits::default());
                for n in list {
                    table.record(&point("s", first.wrapping_add(*n)), now);
                }
                table
            };
            let (mut table, other) = (of(&ours), of(&theirs));
            for (id, window) in other.streams() {
                table.learn(id, window, now);
            }
            for n in 0..100 {
                let known = ours.contains(&n) || theirs.contains(&n);
                let verdict = table.verdict(&point("s", first.wrapping_add(n)));
                prop_assert_eq!(verdict == Verdict::Seen, known);
                prop_assert_ne!(verdict, Verdict::Forgotten);
            }
        }
    }
}
