//! The memory that a server lends to those who have something waiting.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The memory that everything that waits in a server may hold together: queues, what an
/// inactive client is not told yet, and what connections have read or written in part.
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

    /// Takes `bytes`, or nothing if they would exceed the cap.
    pub fn take(&self, bytes: usize) -> bool {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= self.cap;
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
        let budget = Budget::new(10);
        budget.take_anyway(12);
        assert!(!budget.take(1));
        budget.give(12);
        assert!(budget.take(10) && !budget.take(1));
        budget.give(10);
        assert_eq!(budget.used(), 0);
    }
}
