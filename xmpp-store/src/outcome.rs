//! What has become of the changes that a store was asked for.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use xmpp_core::store::StoreError;

/// How a store's writing goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Writing {
    /// Changes that could not be made, so far.
    pub failed: u64,
    /// Whether the last ones could not, for a reason that is not theirs: a disk that is full or
    /// broken, a database that is away.
    pub is_failing: bool,
}

/// Counts them.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    failed: AtomicU64,
    failing: AtomicBool,
}

impl Outcomes {
    /// How it goes now.
    pub(crate) fn writing(&self) -> Writing {
        Writing {
            failed: self.failed.load(Ordering::Relaxed),
            is_failing: self.failing.load(Ordering::Relaxed),
        }
    }

    /// A group of changes was made, but for so many; whether the store is to blame.
    pub(crate) fn note(&self, failed: usize, failing: bool) {
        self.failed.fetch_add(failed as u64, Ordering::Relaxed);
        self.failing.store(failing, Ordering::Relaxed);
    }
}

/// Whether the store is to blame for an error, and not what it was asked for.
pub(crate) fn is_of_the_store(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable(_) | StoreError::Corrupt(_))
}
