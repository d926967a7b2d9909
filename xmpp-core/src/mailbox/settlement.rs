//! What became of a stanza, for those who wait to hear.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;

use super::{Envelope, Undelivered};

/// What became of a stanza that was pushed.
#[must_use]
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // a box would allocate whenever a mailbox is full
pub enum Settlement {
    /// It is safe, or nobody waits to hear so.
    Done,
    /// It has been taken; whether it is safe will be known later.
    Later(Later),
    /// It was not taken.
    Failed(Undelivered),
}

/// The final word on a stanza that had been taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is safe: queued for resumption, stored, answered, or written to a
    /// recipient that does not acknowledge.
    Settled,
    /// It is lost to the recipient, and whoever held it has dealt with it
    /// (stored it, or returned an error).
    Returned,
}

/// A settlement that is still open.
pub struct Later(Arc<Open>);

/// The other end of a [`Later`]: for an [`Inbox`](super::Inbox) that passes stanzas on. Dropped without
/// a word it says that the stanza has been returned.
pub struct Settle(Arc<Open>);

struct Open {
    state: AtomicU8,
    sender: AtomicWaker,
    /// The stanza once more, for who wants it back.
    copy: Mutex<Option<Box<Envelope>>>,
}

/// It waits for its reader.
const WAITING: u8 = 0;
/// The reader has it.
const READ: u8 = 1;
/// The sender has taken it back.
const WITHDRAWN: u8 = 2;
const SETTLED: u8 = 3;
const RETURNED: u8 = 4;

impl Later {
    /// An open settlement and the end that closes it.
    pub fn new() -> (Settle, Later) {
        Later::open(None)
    }

    /// The same, for a stanza that can be withdrawn while it waits.
    pub(super) fn of(copy: Envelope) -> (Settle, Later) {
        Later::open(Some(Box::new(copy)))
    }

    fn open(copy: Option<Box<Envelope>>) -> (Settle, Later) {
        let open = Arc::new(Open {
            state: AtomicU8::new(WAITING),
            sender: AtomicWaker::new(),
            copy: Mutex::new(copy),
        });
        (Settle(open.clone()), Later(open))
    }

    /// Takes the stanza back from the mailbox in which it waits: its reader will not find it
    /// there. `None` if the reader has it, or if it cannot be taken back.
    pub fn withdraw(&self) -> Option<Envelope> {
        let mut copy = self.0.copy.lock().unwrap_or_else(PoisonError::into_inner);
        copy.as_ref()?;
        let free = self.0.change(WAITING, WITHDRAWN);
        free.then(|| copy.take().map(|copy| *copy)).flatten()
    }
}

impl Settle {
    /// Says what became of the stanza.
    pub fn with(self, outcome: Outcome) {
        self.0.close(match outcome {
            Outcome::Settled => SETTLED,
            Outcome::Returned => RETURNED,
        });
    }

    /// The reader takes the stanza; `false` if it has been withdrawn.
    pub(super) fn read(&self) -> bool {
        self.0.change(WAITING, READ) || self.0.state.load(Ordering::Acquire) == READ
    }
}

impl Open {
    fn change(&self, from: u8, to: u8) -> bool {
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        self.state
            .compare_exchange(from, to, success, failure)
            .is_ok()
    }

    /// The first word is the last.
    fn close(&self, word: u8) {
        if self.change(WAITING, word) || self.change(READ, word) {
            self.sender.wake();
        }
    }
}

impl Drop for Settle {
    fn drop(&mut self) {
        self.0.close(RETURNED);
    }
}

impl Future for Later {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        self.0.sender.register(cx.waker());
        match self.0.state.load(Ordering::Acquire) {
            SETTLED => Poll::Ready(Outcome::Settled),
            // Who takes it back deals with it.
            RETURNED | WITHDRAWN => Poll::Ready(Outcome::Returned),
            _ => Poll::Pending,
        }
    }
}

impl fmt::Debug for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Later")
    }
}

impl fmt::Debug for Settle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Settle")
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::mailbox::Origin;
    use crate::stanza::{MessageType, Stanza};

    fn open() -> (Settle, Later) {
        let stanza = Stanza::message(MessageType::Chat);
        Later::of(Envelope::new(stanza, Origin::SERVER))
    }

    #[test]
    fn the_reader_has_it_or_the_sender_gets_it_back() {
        let (settle, later) = open();
        assert!(later.withdraw().is_some());
        assert!(later.withdraw().is_none(), "once");
        assert!(!settle.read());
        settle.with(Outcome::Settled);
        assert_eq!(later.now_or_never(), Some(Outcome::Returned));

        let (settle, mut later) = open();
        assert!(settle.read() && settle.read());
        assert!(later.withdraw().is_none());
        assert_eq!((&mut later).now_or_never(), None);
        settle.with(Outcome::Settled);
        assert_eq!(later.now_or_never(), Some(Outcome::Settled));
    }

    #[test]
    fn who_says_nothing_has_returned_it() {
        let (settle, later) = open();
        drop(settle);
        assert!(later.withdraw().is_none());
        assert_eq!(later.now_or_never(), Some(Outcome::Returned));
    }
}
