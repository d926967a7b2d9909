//! What a connection holds counts as memory that waits.

use super::Connection;
use crate::mailbox::Budget;

/// Bytes taken from the server's budget. `u32`, as all positions in a stanza are.
#[derive(Default)]
pub(in crate::io) struct Charged {
    partial: u32,
    rest: u32,
}

impl Connection {
    /// Settles with the server's budget what this connection holds beside its session's
    /// queue. `false` if there is no room for what has come of the stanza that is not yet
    /// whole, beyond what every stranger may hold: else whoever fills the memory would end
    /// the stream of each client whose stanza comes in two pieces. The rest is there already
    /// and bounded: while any of it waits, little more is read and nothing is taken from the queue.
    pub(super) fn charge(&mut self) -> bool {
        let config = self.shared.server.config();
        let free = config.xml_before_login.stanza_bytes;
        let rest = self.unread.capacity() + self.unsent.capacity() + self.laden_with();
        let budget = self.shared.server.budget();
        self.charged.charge(rest, self.reader.held(), free, budget)
    }
}

impl Charged {
    /// Settles what a connection holds: `rest` is there anyway, of `partial` so much is `free` to hold for everybody. `false` if
    /// there is no room for what is beyond that.
    pub(in crate::io) fn charge(
        &mut self,
        rest: usize,
        partial: usize,
        free: usize,
        budget: &Budget,
    ) -> bool {
        if let Some(more) = settle(&mut self.rest, rest, budget) {
            budget.take_anyway(more as usize);
            self.rest += more;
        }
        if let Some(more) = settle(&mut self.partial, partial, budget) {
            let free = u32::try_from(free).unwrap_or(u32::MAX);
            let anyway = free.saturating_sub(self.partial).min(more);
            budget.take_anyway(anyway as usize);
            self.partial += anyway;
            let beyond = more - anyway;
            if beyond > 0 && !budget.take(beyond as usize) {
                return false;
            }
            self.partial += beyond;
        }
        true
    }

    /// Gives everything back.
    pub(in crate::io) fn give_back(&mut self, budget: &Budget) {
        settle(&mut self.partial, 0, budget);
        settle(&mut self.rest, 0, budget);
    }
}

/// Gives back what is no longer held; answers what is to be taken besides.
fn settle(charged: &mut u32, held: usize, budget: &Budget) -> Option<u32> {
    let held = u32::try_from(held).unwrap_or(u32::MAX);
    if let Some(less) = charged.checked_sub(held) {
        if less > 0 {
            budget.give(less as usize);
            *charged = held;
        }
        return None;
    }
    Some(held - *charged)
}
