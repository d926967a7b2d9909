//! The bound of a queue, in calls and in octets.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use xmpp_core::store::{Result, StoreError};

/// Calls that may wait in one queue of a store.
pub const MAX_QUEUED: usize = 8192;

/// Octets of text that may wait in one queue of a store.
pub const MAX_QUEUED_OCTETS: usize = 64 * 1024 * 1024;

/// What waits in a queue of a store at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// Calls; at most [`MAX_QUEUED`].
    pub calls: usize,
    /// Octets of text that they carry; at most [`MAX_QUEUED_OCTETS`], or one call.
    pub octets: usize,
}

/// Counts what waits in a queue.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    calls: AtomicUsize,
    octets: AtomicUsize,
}

/// A place in a queue, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    backlog: Arc<Backlog>,
    octets: usize,
}

impl Backlog {
    /// What waits now.
    pub(crate) fn waiting(&self) -> Waiting {
        Waiting {
            calls: self.calls.load(Ordering::Relaxed),
            octets: self.octets.load(Ordering::Relaxed),
        }
    }

    /// A place for a call that carries so many octets, or [`StoreError::Unavailable`].
    pub(crate) fn admit(self: &Arc<Self>, octets: usize) -> Result<Place> {
        let before = (
            self.calls.fetch_add(1, Ordering::Relaxed),
            self.octets.fetch_add(octets, Ordering::Relaxed),
        );
        let place = Place {
            backlog: self.clone(),
            octets,
        };
        // A queue without octets takes one call of any size, or it would never be made.
        let fits = before.1 == 0 || before.1.saturating_add(octets) <= MAX_QUEUED_OCTETS;
        if before.0 < MAX_QUEUED && fits {
            return Ok(place);
        }
        let (calls, octets) = before;
        Err(StoreError::Unavailable(format!(
            "{calls} calls with {octets} octets are waiting"
        )))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.backlog.calls.fetch_sub(1, Ordering::Relaxed);
        self.backlog
            .octets
            .fetch_sub(self.octets, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_refused_beyond_the_bound_and_taken_again_below_it() {
        let backlog = Arc::new(Backlog::default());
        let mut places: Vec<_> = (0..MAX_QUEUED).map(|_| backlog.admit(0)).collect();
        assert!(places.iter().all(Result::is_ok));
        assert!(matches!(backlog.admit(0), Err(StoreError::Unavailable(_))));
        assert_eq!(backlog.waiting().calls, MAX_QUEUED, "a refusal is none");
        places.pop();
        assert!(backlog.admit(0).is_ok());
        assert!(backlog.admit(0).is_ok(), "a dropped place is free again");
    }

    #[test]
    fn octets_are_refused_beyond_the_bound_but_for_a_single_call() {
        let backlog = Arc::new(Backlog::default());
        let most = backlog.admit(MAX_QUEUED_OCTETS).unwrap();
        assert_eq!(backlog.waiting().octets, MAX_QUEUED_OCTETS);
        assert!(backlog.admit(1).is_err());
        assert!(backlog.admit(0).is_ok());
        drop(most);
        let more_than_most = backlog.admit(MAX_QUEUED_OCTETS + 1).unwrap();
        assert!(backlog.admit(1).is_err());
        drop(more_than_most);
        assert!(backlog.admit(1).is_ok());
    }
}
