//! The memory that a server lends to those who have something waiting.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The memory that everything that waits in a server may hold together: queues, what an
/// inactive client is not told yet, and what connections have read or written in part.
///
/// An eighth of it is a reserve for stanzas that must not be lost, such as answers: the others may not use it.
#[derive(Debug)]
pub struct Budget {
    used: AtomicUsize,
    cap: usize,
}

impl Budget {
    /// At most `cap` bytes.
    pub fn new(cap: usize) -> Budget {
        Budget {
            used: AtomicUsize::new(0),
            cap,
        }
    }

    /// Takes `bytes`, or nothing if only the reserve is left for them.
    pub fn take(&self, bytes: usize) -> bool {
        self.take_below(self.cap - self.reserve(), bytes)
    }

    /// Takes `bytes`, some of the reserve if need be, or nothing if they would exceed the cap.
    pub fn take_reserved(&self, bytes: usize) -> bool {
        self.take_below(self.cap, bytes)
    }

    /// What [`take`](Budget::take) has left to give.
    pub fn free(&self) -> usize {
        (self.cap - self.reserve()).saturating_sub(self.used())
    }

    /// Whether more than half of the reserve is used: who is given of it should ask for nothing that can wait.
    pub fn is_short(&self) -> bool {
        self.used() > self.cap - self.reserve() / 2
    }

    fn reserve(&self) -> usize {
        self.cap / 8
    }

    fn take_below(&self, most: usize, bytes: usize) -> bool {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= most;
        if !fits {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
        }
        fits
    }

    /// Takes `bytes` also beyond the cap: for what is there already and has a bound of its
    /// own. Until as much is given back, [`take`](Budget::take) takes nothing.
    pub fn take_anyway(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives back what was taken.
    pub fn give(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes taken at present.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_anyway_leaves_nothing_for_others_until_it_goes() {
        let budget = Budget::new(16);
        budget.take_anyway(18);
        assert!(!budget.take(1) && !budget.take_reserved(1));
        assert_eq!(budget.free(), 0);
        budget.give(18);
        assert!(budget.take(14) && !budget.take(1));
        budget.give(14);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn an_eighth_is_a_reserve() {
        let budget = Budget::new(16);
        assert_eq!(budget.free(), 14);
        assert!(budget.take(budget.free()) && !budget.take(1));
        assert!(budget.take_reserved(1) && !budget.is_short());
        assert!(budget.take_reserved(1) && budget.is_short());
        assert!(!budget.take_reserved(1));
    }
}
