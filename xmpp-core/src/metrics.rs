//! What the server counts, for an operator to watch.
//!
//! [`Metrics`] is plain atomic numbers, held by the [`Server`](crate::server::Server) and
//! added to by it and by the driver: no registry, no labels at run time, no names to look
//! up. Whoever exports them (as Prometheus text, say) reads them when asked.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::sasl::Mechanism;
use crate::stanza::Kind;
use crate::stream::StreamCondition;

/// A number that only grows; it wraps after 2^64.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Counts so many more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// How many have been counted.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down again: how many of something there are.
#[derive(Debug, Default)]
pub struct Gauge {
    came: Counter,
    went: Counter,
}

impl Gauge {
    /// One more is there.
    pub fn came(&self) {
        self.came.increment();
    }

    /// One of them is gone.
    pub fn went(&self) {
        self.went.increment();
    }

    /// How many there have been.
    pub fn total(&self) -> u64 {
        self.came.value()
    }

    /// How many there are.
    pub fn value(&self) -> u64 {
        // The two are not read at the same moment.
        self.came.value().saturating_sub(self.went.value())
    }
}

/// A number as it was when somebody looked last: how much of something there is.
#[derive(Debug, Default)]
pub struct Level(AtomicU64);

impl Level {
    /// Now there is so much.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// How much there is.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A counter for each of `N` kinds.
#[derive(Debug)]
pub struct Counters<const N: usize>([Counter; N]);

impl<const N: usize> Counters<N> {
    fn at(&self, at: Option<usize>) {
        if let Some(counter) = at.and_then(|at| self.0.get(at)) {
            counter.increment();
        }
    }

    fn named<T: Copy>(&self, all: [T; N]) -> impl Iterator<Item = (T, u64)> {
        all.into_iter().zip(self.0.iter().map(Counter::value))
    }
}

impl<const N: usize> Default for Counters<N> {
    fn default() -> Self {
        Counters(std::array::from_fn(|_| Counter::default()))
    }
}

/// What a server has counted since it was built. See the [module](self).
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Metrics {
    /// Connections.
    pub connections: Gauge,
    /// Connections accepted that STARTTLS was offered on.
    pub starttls_connections: Counter,
    /// Connections accepted that began with TLS.
    pub direct_tls_connections: Counter,
    /// Connections accepted that have no TLS.
    pub plaintext_connections: Counter,
    /// Connections that the limits turned away.
    pub refused_connections: Counter,
    /// Connections that had not logged in and gave way to newcomers.
    pub evicted_connections: Counter,
    /// TLS handshakes that succeeded.
    pub handshakes: Counter,
    /// TLS handshakes that failed.
    pub failed_handshakes: Counter,
    /// Sessions: resources that are bound.
    pub sessions: Gauge,
    /// What clients have sent.
    pub received: Traffic,
    /// What clients have been sent.
    pub sent: Traffic,
    /// Times that a store could not do what a connection needed.
    pub store_errors: Counter,
    /// Times that a stored message could not be read, and was not delivered. It stays where
    /// it is and is met again, so this grows beyond the number of such messages.
    pub unreadable_messages: Counter,
    /// Connections with other servers.
    pub s2s: Federation,
    /// Sessions that were written down for the next run.
    pub kept_sessions: Counter,
    /// Sessions that ended because an answer, or a push, did not fit into their queues.
    pub overflowed_sessions: Counter,
    /// Sessions of an earlier run that were taken up.
    pub restored_sessions: Counter,
    /// Sessions that came from other nodes.
    pub arrived_sessions: Counter,
    /// Sessions that went to other nodes.
    pub departed_sessions: Counter,
    /// Sessions of an earlier run that could not be read.
    pub unreadable_sessions: Counter,
    logins: Counters<{ Mechanism::ALL.len() }>,
    failed_logins: Counters<{ Mechanism::ALL.len() }>,
    stream_errors: Counters<{ StreamCondition::NAMES.len() }>,
}

/// What a server has counted of its connections with others.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Federation {
    /// Connections, whoever opened them.
    pub connections: Gauge,
    /// Connections that the limits turned away.
    pub refused: Counter,
    /// Connections that had proven nothing and gave way to newcomers.
    pub evicted: Counter,
    /// Connections that could not be opened.
    pub failed_dials: Counter,
    /// TLS handshakes that succeeded.
    pub handshakes: Counter,
    /// TLS handshakes that failed.
    pub failed_handshakes: Counter,
    /// Stanzas that could not be delivered and went back to their senders.
    pub returned: Counter,
    /// Stanzas that wait for a connection to carry them, or for its peer to read.
    pub waiting: Level,
    /// Bytes of XML of these.
    pub waiting_bytes: Level,
    /// Stanzas that were not delivered in time and are kept in the store until they are.
    pub outbox: Level,
    /// Bytes of XML of these.
    pub outbox_bytes: Level,
    /// Stanzas that were written to the store because they were not delivered in time.
    pub stored: Counter,
    /// Stanzas that were to be written there and could not be.
    pub not_stored: Counter,
    /// Sessions that wait to be resumed (XEP-0198), whoever has opened them.
    pub sessions: Level,
    /// What other servers have sent.
    pub received: Traffic,
    /// What they have been sent.
    pub sent: Traffic,
    /// What of that went over streams that are compressed (XEP-0138).
    pub compression: Compression,
    stream_errors: Counters<{ StreamCondition::NAMES.len() }>,
}

impl Federation {
    /// We have ended a stream with this error.
    pub fn stream_failed(&self, condition: &StreamCondition) {
        let mut names = StreamCondition::NAMES.iter();
        let at = names.position(|name| *name == condition.name());
        self.stream_errors.at(at);
    }

    /// Streams that we have ended with an error, by its name (RFC 6120 §4.9.3).
    pub fn stream_errors(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.stream_errors.named(StreamCondition::NAMES)
    }
}

impl Metrics {
    /// A login succeeded.
    pub fn logged_in(&self, mechanism: Mechanism) {
        self.logins.at(position(mechanism));
    }

    /// A login failed for what the client presented.
    pub fn login_failed(&self, mechanism: Mechanism) {
        self.failed_logins.at(position(mechanism));
    }

    /// A stream ended with this error.
    pub fn stream_failed(&self, condition: &StreamCondition) {
        let mut names = StreamCondition::NAMES.iter();
        let at = names.position(|name| *name == condition.name());
        self.stream_errors.at(at);
    }

    /// Logins that succeeded, by mechanism.
    pub fn logins(&self) -> impl Iterator<Item = (Mechanism, u64)> {
        self.logins.named(Mechanism::ALL)
    }

    /// Logins that failed, by mechanism.
    pub fn failed_logins(&self) -> impl Iterator<Item = (Mechanism, u64)> {
        self.failed_logins.named(Mechanism::ALL)
    }

    /// Streams that ended with an error, by its name (RFC 6120 §4.9.3).
    pub fn stream_errors(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.stream_errors.named(StreamCondition::NAMES)
    }
}

fn position(mechanism: Mechanism) -> Option<usize> {
    Mechanism::ALL.iter().position(|other| *other == mechanism)
}

/// What went one way.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Traffic {
    /// Bytes of XML, before compression and encryption.
    pub bytes: Counter,
    /// Messages.
    pub messages: Counter,
    /// Presence stanzas.
    pub presences: Counter,
    /// IQ stanzas.
    pub iqs: Counter,
}

/// What went over streams that are compressed.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Compression {
    /// What other servers have sent.
    pub received: Packed,
    /// What they have been sent.
    pub sent: Packed,
}

/// What went one way, as it was and as it went.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Packed {
    /// Bytes of XML.
    pub xml: Counter,
    /// Bytes of the same when it is compressed, before encryption.
    pub packed: Counter,
}

/// What one turn of one connection adds to a [`Traffic`]: counted without sharing, and
/// added once.
#[derive(Debug, Default)]
pub struct Tally {
    bytes: u64,
    messages: u64,
    presences: u64,
    iqs: u64,
}

impl Tally {
    /// Counts bytes.
    pub fn bytes(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// Counts a stanza.
    pub fn stanza(&mut self, kind: Kind) {
        match kind {
            Kind::Message(_) => self.messages += 1,
            Kind::Presence(_) => self.presences += 1,
            Kind::Iq(_) => self.iqs += 1,
        }
    }

    /// Bytes that have been counted.
    pub fn counted_bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds what has been counted, and begins anew.
    pub fn settle(&mut self, traffic: &Traffic) {
        for (counted, counter) in [
            (&mut self.bytes, &traffic.bytes),
            (&mut self.messages, &traffic.messages),
            (&mut self.presences, &traffic.presences),
            (&mut self.iqs, &traffic.iqs),
        ] {
            if *counted > 0 {
                counter.add(std::mem::take(counted));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stanza::{IqType, MessageType};

    #[test]
    fn each_mechanism_and_each_stream_error_has_a_counter_of_its_own() {
        let metrics = Metrics::default();
        for (times, mechanism) in Mechanism::ALL.into_iter().enumerate() {
            (0..=times).for_each(|_| metrics.logged_in(mechanism));
            metrics.login_failed(mechanism);
        }
        let logins: Vec<_> = metrics.logins().collect();
        for (times, mechanism) in Mechanism::ALL.into_iter().enumerate() {
            assert_eq!(logins[times], (mechanism, times as u64 + 1));
        }
        assert!(metrics.failed_logins().all(|(_, failed)| failed == 1));

        metrics.stream_failed(&StreamCondition::Conflict);
        metrics.stream_failed(&StreamCondition::SeeOtherHost("a.example".into()));
        let failed: Vec<_> = metrics.stream_errors().filter(|(_, n)| *n > 0).collect();
        assert_eq!(failed, [("conflict", 1), ("see-other-host", 1)]);
    }

    #[test]
    fn a_gauge_knows_how_many_there_are_and_have_been() {
        let gauge = Gauge::default();
        gauge.came();
        gauge.came();
        gauge.went();
        assert_eq!((gauge.value(), gauge.total()), (1, 2));
    }

    #[test]
    fn a_tally_is_added_once() {
        let (traffic, mut tally) = (Traffic::default(), Tally::default());
        tally.bytes(10);
        tally.stanza(Kind::Message(MessageType::Chat));
        tally.stanza(Kind::Iq(IqType::Get));
        tally.stanza(Kind::Iq(IqType::Result));
        tally.settle(&traffic);
        tally.settle(&traffic);
        let counted = [
            &traffic.bytes,
            &traffic.messages,
            &traffic.presences,
            &traffic.iqs,
        ];
        assert_eq!(counted.map(Counter::value), [10, 1, 0, 2]);
    }
}
