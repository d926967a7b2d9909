//! Memory of the server's that a room has something in.

use std::sync::Arc;

use xmpp_core::mailbox::Budget;

/// Memory for what waits or is kept, until it is dropped.
pub(super) struct Loan {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Loan {
    /// So many bytes, if they are there.
    pub(super) fn take(bytes: usize, budget: &Arc<Budget>) -> Option<Loan> {
        let mut loan = Loan::none(budget);
        loan.grow(bytes).then_some(loan)
    }

    /// Nothing yet.
    pub(super) fn none(budget: &Arc<Budget>) -> Loan {
        Loan {
            budget: budget.clone(),
            bytes: 0,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// So many bytes more, if they are there.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let grown = self.budget.take(bytes);
        self.bytes += if grown { bytes } else { 0 };
        grown
    }

    /// So many bytes more, unless more than half of the memory would be in use then: for what others do not have to wait for.
    pub(super) fn grow_modestly(&mut self, bytes: usize) -> bool {
        let used = self.budget.used().saturating_add(bytes);
        used <= self.budget.free() && self.grow(bytes)
    }

    /// So many bytes less, of those that there are.
    pub(super) fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.budget.give(bytes);
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.budget.give(self.bytes);
    }
}
