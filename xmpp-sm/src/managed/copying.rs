//! A stream of which a copy is kept elsewhere: what is told of it, and what waits until that is safe.

use std::collections::VecDeque;

use xmpp_core::mailbox::Envelope;
use xmpp_core::standby::{Copied, Op};
use xmpp_core::stream::{Output, Sent};
use xmpp_core::time::{Now, Timestamp};

use super::Running;
use crate::counter::Counter;

/// What waits for the copy.
pub(super) struct Copying {
    to: Copied,
    /// All up to this is there.
    safe: u64,
    /// Of those that were sent last: when each may be written.
    unwritten: VecDeque<u64>,
    /// Counts of the client's stanzas that are handled, and when each may be told.
    handled: VecDeque<(u64, Counter)>,
    /// The count that was told to the copy last.
    told: Counter,
    /// The count that may be told to the client.
    tellable: Counter,
}

impl Running {
    /// From now on a copy is kept. What there is so far is told as it is.
    pub(super) fn copy(&mut self, to: Copied, now: Now) {
        let Some(max) = self.max else { return };
        let handled = self.inbound.count();
        to.tell(Op::Begin {
            max,
            handled: handled.0,
            acked: self.outbound.acked().0,
        });
        for Sent { envelope, at } in self.outbound.waiting() {
            to.sent(envelope, *at);
        }
        if let Some(detached) = &self.detached {
            let left = detached.until.saturating_duration_since(now.instant);
            to.tell(Op::Until(now.utc.plus(left)));
        }
        self.copying = Some(Box::new(Copying {
            safe: to.safe(),
            to,
            unwritten: VecDeque::new(),
            handled: VecDeque::new(),
            told: handled,
            tellable: handled,
        }));
    }

    /// Tells that a stanza is about to be written; `true` if it has to wait.
    pub(super) fn tell_sent(&mut self, envelope: &Envelope, at: Timestamp) -> bool {
        let Some(copying) = &mut self.copying else {
            return false;
        };
        let n = copying.to.sent(envelope, at);
        // Nor does it overtake what waits.
        let waits = !copying.unwritten.is_empty() || !copying.is_safe(n);
        if waits {
            copying.unwritten.push_back(n);
        }
        waits
    }

    /// Tells how many are handled, if that has changed.
    pub(super) fn tell_handled(&mut self) {
        let Some(copying) = &mut self.copying else {
            return;
        };
        let handled = self.inbound.count();
        if handled == copying.told {
            return;
        }
        copying.told = handled;
        let n = copying.to.tell(Op::Handled(handled.0));
        copying.handled.push_back((n, handled));
        // It may be safe at once.
        let safe = copying.to.safe();
        self.tellable(safe);
    }

    /// Tells something else, if there is a copy.
    pub(super) fn tell(&self, op: Op) {
        if let Some(copying) = &self.copying {
            copying.to.tell(op);
        }
    }

    /// All up to this is safe: it may be told to the client, and written.
    pub(super) fn safe(&mut self, safe: u64, now: Now, out: &mut Vec<Output>) {
        self.tellable(safe);
        let Some(copying) = &mut self.copying else {
            return;
        };
        copying.safe = safe.max(copying.safe);
        let before = copying.unwritten.len();
        let safe = copying.safe;
        while copying.unwritten.front().is_some_and(|n| *n <= safe) {
            copying.unwritten.pop_front();
        }
        let written = before - copying.unwritten.len();
        let first = self.outbound.waiting().len().saturating_sub(before);
        if self.detached.is_none() {
            let sent = self.outbound.waiting().iter().skip(first).take(written);
            out.extend(sent.map(|sent| Output::Send(sent.envelope.copy())));
        }
        self.outbound.written(written as u32, now.instant);
        if copying.unwritten.is_empty() {
            // An idle stream keeps no memory.
            copying.unwritten = VecDeque::new();
        }
    }

    /// Whether all that is handled may be told.
    pub(super) fn is_tellable(&self) -> bool {
        let copying = self.copying.as_ref();
        copying.is_none_or(|copying| copying.handled.is_empty())
    }

    fn tellable(&mut self, safe: u64) {
        let Some(copying) = &mut self.copying else {
            return;
        };
        while let Some((n, handled)) = copying.handled.front()
            && *n <= safe
        {
            copying.tellable = *handled;
            copying.handled.pop_front();
        }
        let bound = (!copying.handled.is_empty()).then_some(copying.tellable);
        if bound.is_none() {
            copying.handled = VecDeque::new();
        }
        self.inbound.bound(bound);
    }
}

impl Copying {
    fn is_safe(&mut self, n: u64) -> bool {
        if n > self.safe {
            self.safe = self.to.safe().max(self.safe);
        }
        n <= self.safe
    }
}
