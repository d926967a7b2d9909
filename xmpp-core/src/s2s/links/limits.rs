//! What the links may hold, and how often one is tried.

use std::time::Duration;

use crate::mailbox::QueueLimits;
use crate::s2s::SessionLimits;

/// Bounds of [`Links`](crate::s2s::Links). What waits counts against the server's memory besides.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// How long a pair's stanzas wait until it is granted, before they come back; default 60 s. It is longer for [some](crate::s2s::Policy::patience).
    pub connect: Duration,
    /// What waits for one pair; default 10 000 stanzas and 8 MiB: a session with 1000 contacts at a domain has 2000 stanzas for it at once,
    /// and after a start all sessions come at once. What does not fit comes back with
    /// `<resource-constraint/>`, whose type is `wait`.
    pub pair: QueueLimits,
    /// What waits for one domain, for all pairs together; default 20 000 stanzas and 16 MiB, an eighth of the total and less: whoever
    /// writes to a server that is not there takes no room from others.
    pub domain: QueueLimits,
    /// What waits for all domains together; default 200 000 stanzas and 128 MiB.
    pub total: QueueLimits,
    /// Bytes of XML that a link is handed before it has written them; default 256 KiB. One stanza that is larger is handed over alone.
    pub window: usize,
    /// Pairs that are in use, wait or have been refused lately; default 50 000. A stanza for one more comes back with `<resource-constraint/>`.
    pub pairs: usize,
    /// Other domains that are in use, waited for, or could not be reached lately; default 20 000. A stanza for one more takes the
    /// place of one that is only remembered, or comes back with `<resource-constraint/>`.
    pub domains: usize,
    /// Connections that we have opened or open; default 2000. At the bound what needs another one waits for it, and the one that
    /// was of use longest ago is closed if that is longer ago than [`stable`](Limits::stable) and [`verify`](Limits::verify). A quarter
    /// of them is not opened to verify keys.
    pub outgoing: usize,
    /// Of these, to one domain; default 5. One is enough for a peer that takes all pairs on one stream.
    pub outgoing_domain: usize,
    /// Connections that others have opened, on which the same domain is proven; default 10. One more takes the place of the oldest, which is closed with `<conflict/>`.
    pub incoming_domain: usize,
    /// Keys that are being verified for incoming streams; default 1000. Further ones are not, as if the authoritative server had an error.
    pub verifies: usize,
    /// Connections that are opened within a second to verify keys; default 100. Further keys are not verified, as if the
    /// authoritative server gave no answer.
    pub key_dials: usize,
    /// How long the verification of a key may take, with the connections that are tried for it; default 20 s, less than the
    /// [30 s](crate::s2s::Limits::answer) for which most servers wait for the answer.
    pub verify: Duration,
    /// Sessions of ours that wait for a connection; default 2000. With one more, the one that would end first ends.
    pub held: usize,
    /// Those that others have with us.
    pub sessions: SessionLimits,
    /// How long a domain that could not be reached, and a pair that was refused, is left alone.
    pub backoff: Backoff,
    /// How long a link has to be of use, for the next one not to wait as after a first failure if this one ends while something waits;
    /// default 30 s.
    pub stable: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        let queue = |stanzas, bytes| {
            let mut limits = QueueLimits::default();
            (limits.stanzas, limits.bytes) = (stanzas, bytes);
            limits
        };
        Limits {
            connect: Duration::from_secs(60),
            pair: queue(10_000, 8 << 20),
            domain: queue(20_000, 16 << 20),
            total: queue(200_000, 128 << 20),
            window: 256 << 10,
            pairs: 50_000,
            domains: 20_000,
            outgoing: 2000,
            outgoing_domain: 5,
            incoming_domain: 10,
            verifies: 1000,
            key_dials: 100,
            verify: Duration::from_secs(20),
            held: 2000,
            sessions: SessionLimits::default(),
            backoff: Backoff::default(),
            stable: Duration::from_secs(30),
        }
    }
}

/// How long to wait after one failure, and after the next. Half of each time is chance, so that those who have failed together do not try
/// again together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backoff {
    /// After the first failure; default 1 s.
    pub start: Duration,
    /// By how much longer after each further one; default 2.
    pub factor: u32,
    /// At most; default 5 min.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff {
            start: Duration::from_secs(1),
            factor: 2,
            max: Duration::from_secs(300),
        }
    }
}
