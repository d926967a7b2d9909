//! Stream management between servers, with resumption: the machines around [`s2s`] streams.
//!
//! [`Incoming`] is the side that accepted the connection. It offers management, counts, and answers for sessions; [`Outgoing`] is the
//! side that opened it, enables and resumes. What outlives a connection is a [`Session`](s2s::Session), which is plain data. The rules
//! are in `docs/design/s2s.md`, "XEP-0198 between servers".
//!
//! A pair is [granted](s2s::Output::Granted) to those above when it is known whether the stream goes on with a session: nothing is sent
//! before that, so that order is kept within each pair.

use std::sync::Arc;
use std::time::Duration;

use xmpp_core::mailbox::Budget;
#[cfg(doc)]
use xmpp_core::s2s;
use xmpp_core::server::Random;

use crate::outbound::RequestPolicy;

mod incoming;
mod link;
mod outgoing;
mod running;
#[cfg(test)]
mod tests;

pub use incoming::Incoming;
pub use outgoing::Outgoing;

/// How streams between servers are managed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// How long a session waits for its next connection; zero: there are none. Default 10 min.
    pub max: Duration,
    /// Stanzas that wait to be acknowledged before the stream wants no more of them; default 2000.
    pub stanzas: usize,
    /// Bytes of XML that wait, in the same way; default 4 MiB.
    pub bytes: usize,
    /// When the peer is asked; default as for clients, but for the interval: 100 ms. No device is woken by it, and what is not acknowledged
    /// [in time](xmpp_core::server::Timeouts::settle) is written to the store.
    pub requests: RequestPolicy,
    /// How long the peer may take to answer `<enable/>` and `<resume/>`; default 30 s.
    pub answer: Duration,
    /// How long an incoming stream that may be used in both directions waits for `<enable/>` or `<resume/>` before it sends without; default 30 s. It
    /// waits no longer than until the first stanza.
    pub grace: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            max: Duration::from_secs(600),
            stanzas: 2000,
            bytes: 4 << 20,
            requests: RequestPolicy {
                interval: Duration::from_millis(100),
                ..RequestPolicy::default()
            },
            answer: Duration::from_secs(30),
            grace: Duration::from_secs(30),
        }
    }
}

impl Options {
    /// The same for a peer for which it is waited so many times longer.
    fn patient(&self, patience: u32) -> Options {
        let mut options = self.clone();
        // It is asked so soon for an answer that spares the store a stanza. From there none comes in time, and question and answer cost
        // as much as half a message.
        let interval = &mut options.requests.interval;
        *interval = RequestPolicy::default().interval.max(*interval);
        for time in [
            &mut options.requests.interval,
            &mut options.requests.patience,
            &mut options.answer,
            &mut options.grace,
        ] {
            *time = time.saturating_mul(patience);
        }
        options
    }
}

/// What the managed streams between servers share.
pub struct Surroundings {
    /// How they are managed.
    pub options: Options,
    /// For the names of sessions.
    pub random: Arc<dyn Random>,
    /// What waits in a stream is taken from it; what waits in a [`Session`](s2s::Session) is not.
    pub budget: Arc<Budget>,
}
