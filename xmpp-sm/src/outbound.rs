//! What has been sent and not been acknowledged.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::counter::Counter;

/// When the other side is asked what it has handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestPolicy {
    /// Stanzas after which an `<r/>` is written behind them; default 16.
    pub stanzas: u32,
    /// How long stanzas stay unasked for, and how far requests for fewer stanzas are apart;
    /// default 3 s. The first stanza after a pause carries its request along: a device that
    /// it wakes can answer at once.
    pub interval: Duration,
    /// How long an `<r/>` may stay unanswered before the connection is given up; default 60 s.
    pub patience: Duration,
}

impl Default for RequestPolicy {
    fn default() -> RequestPolicy {
        RequestPolicy {
            stanzas: 16,
            interval: Duration::from_secs(3),
            patience: Duration::from_secs(60),
        }
    }
}

/// What one side has sent: the count, what is not acknowledged, and when to ask. Items are
/// whatever is sent and counted: stanzas of a stream, entries of a link.
#[derive(Debug)]
pub struct Outbound<T> {
    /// The last count that the other side has told.
    acked: Counter,
    /// Sent, but not acknowledged: those after `acked`.
    waiting: VecDeque<T>,
    /// Of those that wait, how many have yet to be written: the last ones.
    unwritten: u32,
    /// Of those that wait, how many no request has covered.
    unasked: u32,
    /// When the first of these was sent.
    unasked_since: Option<Instant>,
    /// When the request was sent that is not answered yet, if there is one.
    asked: Option<Instant>,
    /// When the last request was sent.
    last_asked: Option<Instant>,
}

/// An acknowledgement that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AckError {
    /// More was acknowledged than sent. XEP-0198 §6: "the local entity SHOULD generate an
    /// undefined-condition stream error that includes a `<handled-count-too-high/>` element".
    #[error("{h} stanzas acknowledged, {sent} sent")]
    TooHigh {
        /// What was acknowledged.
        h: Counter,
        /// What was sent.
        sent: Counter,
    },
    /// Less was acknowledged than before: an answer that was overtaken, or a peer that has
    /// forgotten. What is gone cannot be sent again.
    #[error("{h} stanzas acknowledged, {acked} before")]
    Backwards {
        /// What was acknowledged.
        h: Counter,
        /// What had been acknowledged.
        acked: Counter,
    },
}

impl<T> Default for Outbound<T> {
    fn default() -> Outbound<T> {
        Outbound::restored(Counter(0), VecDeque::new())
    }
}

impl<T> Outbound<T> {
    /// What was there before: the last count that was acknowledged, and what was sent after it.
    pub fn restored(acked: Counter, waiting: VecDeque<T>) -> Outbound<T> {
        Outbound {
            acked,
            waiting,
            unwritten: 0,
            unasked: 0,
            unasked_since: None,
            asked: None,
            last_asked: None,
        }
    }

    /// Counts what is being sent, and keeps it.
    pub fn sent(&mut self, item: T, now: Instant) {
        self.waiting.push_back(item);
        self.unasked += 1;
        self.unasked_since.get_or_insert(now);
    }

    /// Counts what is to be [written](Outbound::written) later, and keeps it.
    pub fn hold(&mut self, item: T) {
        self.waiting.push_back(item);
        self.unwritten += 1;
    }

    /// So many of those that were [held](Outbound::hold) are being written.
    pub fn written(&mut self, n: u32, now: Instant) {
        let n = n.min(self.unwritten);
        if n > 0 {
            self.unwritten -= n;
            self.unasked += n;
            self.unasked_since.get_or_insert(now);
        }
    }

    /// How many of those that wait have been written, oldest first.
    pub fn in_flight(&self) -> usize {
        self.waiting.len() - self.unwritten as usize
    }

    /// How many have been sent.
    pub fn count(&self) -> Counter {
        // The queue is bounded far below 2³¹ by whoever fills it.
        self.acked.plus(self.waiting.len() as u32)
    }

    /// How many have been acknowledged.
    pub fn acked(&self) -> Counter {
        self.acked
    }

    /// What has not been acknowledged, oldest first.
    pub fn waiting(&self) -> &VecDeque<T> {
        &self.waiting
    }

    /// Takes an acknowledgement; gives what it covers, oldest first.
    pub fn ack(&mut self, h: Counter) -> Result<VecDeque<T>, AckError> {
        let Some(n) = h.since(self.acked) else {
            return Err(AckError::Backwards {
                h,
                acked: self.acked,
            });
        };
        let n = n as usize;
        if n > self.in_flight() {
            return Err(AckError::TooHigh {
                h,
                sent: self.acked.plus(self.in_flight() as u32),
            });
        }
        let left = self.waiting.split_off(n);
        self.unasked = self.unasked.min(left.len() as u32 - self.unwritten);
        if self.unasked == 0 {
            self.unasked_since = None;
        }
        self.acked = h;
        self.asked = None;
        Ok(std::mem::replace(&mut self.waiting, left))
    }

    /// Whether a request should be written behind what is about to be flushed.
    pub fn should_ask(&self, policy: &RequestPolicy, now: Instant) -> bool {
        self.asked.is_none()
            && self.unasked > 0
            && (self.unasked >= policy.stanzas
                || self
                    .last_asked
                    .is_none_or(|last| last + policy.interval <= now))
    }

    /// A request is being written.
    pub fn asked(&mut self, now: Instant) {
        self.asked = Some(now);
        self.last_asked = Some(now);
        self.unasked = 0;
        self.unasked_since = None;
    }

    /// Whether the other side has left a request unanswered for too long.
    pub fn is_silent(&self, policy: &RequestPolicy, now: Instant) -> bool {
        self.asked
            .is_some_and(|asked| asked + policy.patience <= now)
    }

    /// When [`should_ask`](Outbound::should_ask) or [`is_silent`](Outbound::is_silent) may
    /// change by time alone.
    pub fn next_timeout(&self, policy: &RequestPolicy) -> Option<Instant> {
        match (self.asked, self.unasked_since) {
            (Some(asked), _) => Some(asked + policy.patience),
            (None, Some(since)) => {
                Some(self.last_asked.map_or(since, |last| last + policy.interval))
            }
            (None, None) => None,
        }
    }

    /// The connection is another one: what was asked on the old one is not answered.
    pub fn reconnected(&mut self) {
        self.asked = None;
        self.last_asked = None;
        self.unasked = self.in_flight() as u32;
        self.unasked_since = None;
    }

    /// Gives up everything that waits.
    pub fn into_waiting(self) -> VecDeque<T> {
        self.waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        #[allow(clippy::disallowed_methods)] // only differences count
        Instant::now()
    }

    fn sent(n: u32, from: Counter) -> Outbound<u32> {
        let mut out = Outbound::restored(from, VecDeque::new());
        let now = start();
        (0..n).for_each(|i| out.sent(i, now));
        out
    }

    /// XEP-0198 §4 and §6, from every side of the wrap.
    #[test]
    fn an_acknowledgement_covers_what_it_counts_and_nonsense_is_told_apart() {
        for from in [0, 5, u32::MAX - 2, u32::MAX].map(Counter) {
            let mut out = sent(5, from);
            assert_eq!(out.count(), from.plus(5));
            assert_eq!(out.ack(from.plus(2)).unwrap(), [0, 1]);
            assert!(out.ack(from.plus(2)).unwrap().is_empty(), "once more");
            let (h, acked) = (from.plus(1), from.plus(2));
            assert_eq!(out.ack(h), Err(AckError::Backwards { h, acked }));
            let (h, count) = (from.plus(6), from.plus(5));
            assert_eq!(out.ack(h), Err(AckError::TooHigh { h, sent: count }));
            assert_eq!(out.waiting(), &[2, 3, 4], "nonsense changes nothing");
            assert_eq!(out.ack(from.plus(5)).unwrap(), [2, 3, 4]);
            assert_eq!(out.waiting().capacity(), 0, "idle, it holds no memory");
        }
    }

    #[test]
    fn requests_are_far_apart_and_ride_on_what_is_sent() {
        let policy = RequestPolicy::default();
        let start = start();
        let at = |ms| start + Duration::from_millis(ms);
        let mut out = Outbound::default();
        assert!(!out.should_ask(&policy, at(0)), "nothing was sent");
        assert_eq!(out.next_timeout(&policy), None);
        out.sent(0, at(0));
        assert!(
            out.should_ask(&policy, at(0)),
            "the first carries its request along"
        );
        out.asked(at(0));
        out.sent(1, at(10));
        assert!(!out.should_ask(&policy, at(10)), "one request at a time");
        out.ack(Counter(1)).unwrap();
        assert!(!out.should_ask(&policy, at(20)), "too soon for one stanza");
        assert_eq!(out.next_timeout(&policy), Some(at(3000)));
        assert!(out.should_ask(&policy, at(3000)));
        (0..15).for_each(|i| out.sent(i, at(30)));
        assert!(out.should_ask(&policy, at(30)), "sixteen are worth it");
        out.ack(Counter(17)).unwrap();
        assert!(
            !out.should_ask(&policy, at(9000)),
            "they have been acknowledged unasked"
        );
        assert_eq!(out.next_timeout(&policy), None);
    }

    #[test]
    fn a_request_that_stays_unanswered_is_noticed() {
        let policy = RequestPolicy::default();
        let now = start();
        let mut out = Outbound::default();
        out.sent((), now);
        out.asked(now);
        let end = now + policy.patience;
        assert_eq!(out.next_timeout(&policy), Some(end));
        assert!(!out.is_silent(&policy, end - Duration::from_millis(1)));
        assert!(out.is_silent(&policy, end));
        out.reconnected();
        assert!(
            !out.is_silent(&policy, end),
            "another connection, another request"
        );
        assert!(out.should_ask(&policy, end));
    }
}
