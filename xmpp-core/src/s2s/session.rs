//! What is left of a stream between servers whose connection is lost, and who may go on with it (XEP-0198).
//!
//! A layer around the stream keeps count (the crate `xmpp-sm` has one). When the connection is lost the session comes out of it as plain data
//! ([`Output::Session`](super::Output::Session)), waits, and goes into the machine of the next connection
//! ([`Input::Session`](super::Input::Session)). It brings counters and stanzas, and no rights: pairs are proven anew.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::Pair;
use crate::mailbox::Envelope;
use crate::time::Timestamp;

/// A stream that has lost its connection, and which another connection can go on with.
#[derive(Debug)]
pub struct Session {
    /// Its name: 128 random bits, in hexadecimal digits if we gave it.
    pub id: Arc<str>,
    /// The pairs that we could send.
    pub granted: Vec<Pair>,
    /// The pairs that the peer could send.
    pub accepted: Vec<Pair>,
    /// Whether its connection was encrypted: then the next one has to be.
    pub encrypted: bool,
    /// For how long after the loss it can be resumed; the smaller of what both sides said.
    pub max: Duration,
    /// How many of the peer's stanzas are handled: the `h` that we say.
    pub handled: u32,
    /// How many of ours the peer has acknowledged: the last `h` that it said.
    pub acked: u32,
    /// What was sent after these, oldest first.
    pub queue: VecDeque<Sent>,
}

/// A stanza that was sent and is not acknowledged.
#[derive(Debug)]
pub struct Sent {
    /// The stanza. Whoever waits for its settlement hears of it when it is acknowledged.
    pub envelope: Envelope,
    /// When it was sent first.
    pub at: Timestamp,
}

/// The request of a connection to go on with a session: `<resume/>`, and what the connection has proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The name of the session.
    pub id: String,
    /// The pairs that the peer may send on this connection.
    pub accepted: Vec<Pair>,
    /// Whether it is encrypted.
    pub encrypted: bool,
}

/// A session that is over: what is remembered of it, so that a late [`Claim`] can be told how far it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its name.
    pub id: Arc<str>,
    /// The pairs that the peer could send.
    pub accepted: Vec<Pair>,
    /// Whether its connection was encrypted.
    pub encrypted: bool,
    /// How many of the peer's stanzas were handled.
    pub handled: u32,
}

/// What has become of the session that a connection claims.
#[derive(Debug)]
pub enum Found {
    /// Here it is; from now on it is this connection's.
    Session(Box<Session>),
    /// It is over, and so many of the peer's stanzas were handled.
    Ended(u32),
    /// There is none, or the claim is not [good](Claim::is_good).
    Unknown,
}

impl Session {
    /// Bytes of XML that wait in it.
    pub fn bytes(&self) -> usize {
        let sizes = self.queue.iter().map(|sent| sent.envelope.stanza.size());
        sizes.sum()
    }

    /// Whether it was used in both directions (XEP-0288).
    pub fn is_bidi(&self) -> bool {
        !self.granted.is_empty() && !self.accepted.is_empty()
    }

    /// Whether this connection may go on with it.
    pub fn is_open_to(&self, claim: &Claim) -> bool {
        claim.is_good(&self.accepted, self.encrypted)
    }

    /// It is over: what was sent goes another way and may arrive twice, and what is remembered.
    pub fn end(self) -> (impl Iterator<Item = Envelope>, Ended) {
        let ended = Ended {
            id: self.id,
            accepted: self.accepted,
            encrypted: self.encrypted,
            handled: self.handled,
        };
        (self.queue.into_iter().map(Sent::late), ended)
    }
}

impl Sent {
    /// The stanza as it goes another way, and perhaps for the second time.
    pub fn late(self) -> Envelope {
        let from = self.envelope.stanza.from();
        let domain = from.map_or_else(String::new, |from| from.domain().to_owned());
        self.envelope.late(&domain, self.at)
    }
}

impl Claim {
    /// Whether it speaks for a session that had these pairs, and was encrypted or not: it has itself proven at least one of them, and what was
    /// encrypted stays so.
    pub fn is_good(&self, accepted: &[Pair], encrypted: bool) -> bool {
        let proven = accepted.iter().any(|pair| self.accepted.contains(pair));
        proven && (self.encrypted || !encrypted)
    }
}

impl Ended {
    /// Whether this connection may know of it.
    pub fn is_open_to(&self, claim: &Claim) -> bool {
        claim.is_good(&self.accepted, self.encrypted)
    }
}
