//! What was sent, and what has become of it.

use std::collections::HashMap;
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use xmpp_core::mailbox::{Later, Outcome};
use xmpp_core::s2s::Pair;

use super::World;

/// How often something has happened, to know that it has.
#[derive(Clone, Copy, Debug, Default)]
pub(in super::super) struct Counts {
    pub(in super::super) delivered: usize,
    pub(in super::super) resumed: usize,
    pub(in super::super) failed: usize,
    pub(in super::super) conflicts: usize,
    /// Stanzas that came again.
    pub(in super::super) again: usize,
    pub(in super::super) unsent: usize,
    pub(in super::super) returned: usize,
    pub(in super::super) drained: usize,
    pub(in super::super) unmanaged: usize,
    /// Streams that were compressed.
    pub(in super::super) compressed: usize,
}

impl Counts {
    pub(super) fn written(&mut self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        self.resumed += usize::from(text.starts_with("<resumed"));
        self.failed += usize::from(text.starts_with("<failed"));
        self.compressed += usize::from(text.starts_with("<compressed "));
        self.conflicts += usize::from(text.contains("<conflict"));
    }

    pub(in super::super) fn plus(self, other: Counts) -> Counts {
        Counts {
            delivered: self.delivered + other.delivered,
            resumed: self.resumed + other.resumed,
            failed: self.failed + other.failed,
            conflicts: self.conflicts + other.conflicts,
            again: self.again + other.again,
            unsent: self.unsent + other.unsent,
            returned: self.returned + other.returned,
            drained: self.drained + other.drained,
            unmanaged: self.unmanaged + other.unmanaged,
            compressed: self.compressed + other.compressed,
        }
    }
}

/// A stanza that was sent.
pub(in super::super) struct Record {
    pub(in super::super) pair: Pair,
    pub(super) later: Later,
    /// Whether it has come late, for each time that it has come.
    pub(in super::super) delivered: Vec<bool>,
    pub(super) settled: bool,
    pub(in super::super) returned: bool,
    /// It was written where nothing is acknowledged.
    pub(in super::super) unmanaged: bool,
    pub(super) told: bool,
}

impl World {
    /// Whoever is told that a stanza is settled is told the truth.
    pub(super) fn check(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        for (n, record) in self.records.iter_mut().enumerate() {
            if record.told {
                continue;
            }
            match Pin::new(&mut record.later).poll(&mut cx) {
                Poll::Ready(Outcome::Settled) if !record.settled && !record.unmanaged => {
                    self.failures
                        .push(format!("s{n} is acknowledged, and not settled"));
                }
                Poll::Ready(Outcome::Returned) if !record.returned => {
                    self.failures.push(format!("s{n} is gone without a word"));
                }
                Poll::Ready(_) => {}
                Poll::Pending => continue,
            }
            record.told = true;
        }
    }

    /// What must be so at the end.
    pub(in super::super) fn judge(&mut self) {
        for (n, record) in self.records.iter().enumerate() {
            if record.delivered.is_empty() && !record.returned && !record.unmanaged {
                self.failures.push(format!("s{n} is lost"));
            }
            if record.delivered.iter().skip(1).any(|late| !late) {
                let times = &record.delivered;
                self.failures
                    .push(format!("s{n} came more than once: {times:?}"));
            }
        }
        let mut last: HashMap<&Pair, usize> = HashMap::new();
        // What has been answered may still be on its way.
        let order = self.order.iter().filter(|n| !self.records[**n].returned);
        for n in order {
            let pair = &self.records[*n].pair;
            if last.insert(pair, *n).is_some_and(|last| last > *n) {
                self.failures.push(format!("s{n} is overtaken"));
            }
        }
    }
}
