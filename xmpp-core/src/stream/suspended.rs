//! A stream without its connection and without its machine, as plain data.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::FullJid;
use crate::mailbox::Envelope;
use crate::time::Timestamp;
use crate::xml::Element;

/// What is written down of a stream that is to go on in another process: in the next run of the
/// server, after a restart.
///
/// The stream itself makes one of it ([`Output::Suspended`](super::Output::Suspended)), and each
/// layer around it adds what it keeps. In the other process
/// [`Input::Restore`](super::Input::Restore) goes the other way: each layer takes its part and
/// passes the rest on.
#[derive(Debug)]
pub struct Suspended {
    /// The bound resource.
    pub jid: FullJid,
    /// The language of the client's stanzas that say none.
    pub lang: Option<Arc<str>>,
    /// What the layer that resumes streams needs; without it there is nothing to go on with.
    pub resumption: Option<Resumption>,
    /// What other layers keep, each an element in a namespace of its own.
    pub parts: Vec<Element>,
}

/// The state of a stream that can be resumed (XEP-0198 §5).
#[derive(Debug)]
pub struct Resumption {
    /// Its name.
    pub id: Arc<str>,
    /// How long it waits for its client whenever a connection is lost.
    pub max: Duration,
    /// Until when it waits this time.
    pub until: Timestamp,
    /// Stanzas of the client that were handled: what it is told as `h`.
    pub handled: u32,
    /// Stanzas that the client has acknowledged.
    pub acked: u32,
    /// Those that it was sent after them, oldest first.
    pub sent: VecDeque<Sent>,
}

/// A stanza that was sent, until it is acknowledged.
#[derive(Debug)]
pub struct Sent {
    /// The stanza.
    pub envelope: Envelope,
    /// When it was sent.
    pub at: Timestamp,
}

impl Sent {
    /// The same once more, for a [`Suspended`] that is written down.
    pub fn copy(&self) -> Sent {
        Sent {
            envelope: self.envelope.record(),
            at: self.at,
        }
    }

    /// The stanza as it goes to somebody else, or to the same account later; `domain` is the
    /// server's that has kept it. XEP-0198 §4: "servers SHOULD add a delay element with the
    /// original (failed) delivery timestamp, as per XEP-0203".
    pub fn late(self, domain: &str) -> Envelope {
        self.envelope.late(domain, self.at)
    }
}
