//! The port for second copies of sessions: what is told of each session that can be resumed, and what is heard of it.
//!
//! Whoever keeps copies ([`Builder::copies`](crate::server::Builder::copies)) is told of everything that happens to a session's stanzas, each time with a number that
//! grows, and says up to which number it is *safe*: where the death of this process does not lose it. Until then no sender is told that
//! its stanza is settled, nothing is written to the client, and the client is told of no stanza of its own as handled: a client counts
//! what it has got, and would otherwise be told of numbers that a copy has never reached.
//!
//! Without a port nothing of this costs anything but an `Option`.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;

use crate::mailbox::{Envelope, Queue};
use crate::session::SessionId;
use crate::time::Timestamp;

mod progress;

#[cfg(feature = "io")]
pub(crate) use progress::Overdue;
pub use progress::{Progress, WAITING};

/// Keeps copies of sessions.
pub trait Copies: Send + Sync + 'static {
    /// A session can be resumed from now on. It is told of through what this gives, and [`Op::Begin`] comes first. `progress` is for what is heard of it.
    fn open(&self, opening: Opening, progress: Progress) -> Box<dyn Replica>;
}

/// What is told of one session. It is dropped when the session has ended here, and all that it had has gone where it goes then: to a
/// store, back to its senders, to the next run of the server, or to another node.
///
/// The calls, and the drop, come under locks, from any task, and never wait. Numbers do not become smaller from one call to the next. None of them may call
/// [`Progress::overdue`]; [`Progress::safe`] they may.
pub trait Replica: Send + Sync + 'static {
    /// This stanza is about to wait for the client.
    fn queue(&self, envelope: &Envelope) -> Queued;

    /// This stanza is about to be written to the client, and counts: one that waited and has a [name](Envelope::name), or, without, one
    /// that has not.
    fn sent(&self, envelope: &Envelope, at: Timestamp) -> u64;

    /// Something else has happened.
    fn tell(&self, op: Op) -> u64;
}

/// A session that can be resumed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opening {
    /// The session.
    pub session: SessionId,
    /// The name under which its stream is resumed (XEP-0198 §5).
    pub name: Arc<str>,
    /// What it is besides its stanzas, as it is written down for the next run of the server.
    pub state: Bytes,
}

impl Opening {
    /// Of these.
    pub fn new(session: SessionId, name: Arc<str>, state: Bytes) -> Opening {
        Opening {
            session,
            name,
            state,
        }
    }
}

/// Names a stanza that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    /// Of the process that has accepted it.
    pub run: u64,
    /// Counts there.
    pub n: u64,
}

/// What became of a stanza for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queued {
    /// It is in, under this name, and settled when the number is safe.
    New(Name, u64),
    /// It was in before, and is dropped; its sender is told the same when the number is safe.
    Copy(u64),
}

/// What happens to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Op {
    /// Its stream begins, or goes on after a restart; what it has [sent](Replica::sent) since the last acknowledgement is told behind this.
    Begin {
        /// How long it waits for its client.
        max: Duration,
        /// Stanzas of the client that are handled.
        handled: u32,
        /// Stanzas that the client has acknowledged.
        acked: u32,
    },
    /// A stanza that waited goes another way, or is not to be sent any more. It may be told twice.
    Withdrawn(Name),
    /// The client has acknowledged so many.
    Acked(u32),
    /// So many of the client's are handled.
    Handled(u32),
    /// What the session is besides is this now.
    State(Bytes),
    /// The client is gone, and may come back until then.
    Until(Timestamp),
    /// It is there again.
    Resumed,
}

/// The copy of one session, for those here who tell of it. Clone is cheap; when the last one is dropped, so is the [`Replica`].
#[derive(Clone)]
pub struct Copied(Arc<Inner>);

struct Inner {
    replica: Box<dyn Replica>,
    progress: Progress,
    told: Mutex<u64>,
}

impl Copied {
    /// Tells `copies` of a session whose client reads `queue`.
    pub fn open(copies: &dyn Copies, opening: Opening, queue: Weak<Queue>) -> Copied {
        let progress = Progress::new(queue);
        Copied(Arc::new(Inner {
            replica: copies.open(opening, progress.clone()),
            progress,
            told: Mutex::new(0),
        }))
    }

    /// See [`Replica::sent`].
    pub fn sent(&self, envelope: &Envelope, at: Timestamp) -> u64 {
        self.told(self.0.replica.sent(envelope, at))
    }

    /// See [`Replica::tell`].
    pub fn tell(&self, op: Op) -> u64 {
        self.told(self.0.replica.tell(op))
    }

    /// See [`Replica::queue`].
    pub(crate) fn queue(&self, envelope: &Envelope) -> Queued {
        let queued = self.0.replica.queue(envelope);
        let (Queued::New(_, n) | Queued::Copy(n)) = queued;
        self.told(n);
        queued
    }

    /// What has been heard.
    pub(crate) fn progress(&self) -> &Progress {
        &self.0.progress
    }

    /// All up to this is safe.
    pub fn safe(&self) -> u64 {
        self.0.progress.upto()
    }

    /// The last number that was told.
    #[cfg(feature = "io")]
    pub(crate) fn last(&self) -> u64 {
        *lock(&self.0.told)
    }

    fn told(&self, n: u64) -> u64 {
        let mut told = lock(&self.0.told);
        *told = n.max(*told);
        n
    }
}

/// The name of a stanza that waits. Dropped before it is [sent](Named::sent), it says that the stanza is withdrawn.
pub(crate) struct Named {
    name: Name,
    copied: Weak<Inner>,
}

impl Named {
    pub(crate) fn new(name: Name, copied: &Copied) -> Named {
        Named {
            name,
            copied: Arc::downgrade(&copied.0),
        }
    }

    pub(crate) fn name(&self) -> Name {
        self.name
    }

    /// Whoever writes it to the client has told of it.
    pub(crate) fn sent(mut self) {
        self.copied = Weak::new();
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        if let Some(inner) = self.copied.upgrade() {
            Copied(inner).tell(Op::Withdrawn(self.name));
        }
    }
}

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

impl fmt::Debug for Copied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Copied")
    }
}

// Nothing that runs under these locks can panic half way through a change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
