//! What became of a stanza, for those who wait to hear.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
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

/// A settlement as whoever keeps the stanza sees it, should that take long: ready when it is known what has become of it,
/// which is never if it was dropped without a word.
#[cfg(feature = "io")]
pub(crate) struct Watch(Arc<Open>);

/// A settlement as whoever keeps copies of its session sees it.
pub(crate) struct Hold(Arc<Open>);

struct Open {
    state: AtomicU8,
    sender: AtomicWaker,
    /// The stanza once more, for who wants it back.
    copy: Mutex<Option<Box<Envelope>>>,
    /// Whether whoever has taken the stanza has an end to the waiting of his own.
    pledged: bool,
    /// Whoever waits need not wait for its delivery.
    released: AtomicBool,
    keeper: AtomicWaker,
}

/// It waits for its reader.
const WAITING: u8 = 0;
/// The reader has it.
const READ: u8 = 1;
/// The sender has taken it back.
const WITHDRAWN: u8 = 2;
const SETTLED: u8 = 3;
const RETURNED: u8 = 4;
/// Whoever held it has dropped it without a word.
const DROPPED: u8 = 5;
/// Its keeper has taken it back, and it takes another way.
const MOVING: u8 = 6;

impl Later {
    /// An open settlement and the end that closes it.
    pub fn new() -> (Settle, Later) {
        Later::open(None, false)
    }

    /// The same, of which whoever has taken the stanza sees to it that it does not stay open for too long.
    pub(super) fn pledged() -> (Settle, Later) {
        Later::open(None, true)
    }

    /// The same, for a stanza that can be withdrawn while it waits.
    pub(super) fn of(copy: Envelope) -> (Settle, Later) {
        Later::open(Some(Box::new(copy)), false)
    }

    /// An open settlement of which a copy's keeper sees to it that it does not stay open for too long. A stanza with another way can be
    /// taken back by that one.
    pub(super) fn held(copy: Option<Envelope>) -> (Settle, Later) {
        Later::open(copy.map(Box::new), true)
    }

    fn open(copy: Option<Box<Envelope>>, pledged: bool) -> (Settle, Later) {
        let open = Arc::new(Open {
            state: AtomicU8::new(WAITING),
            sender: AtomicWaker::new(),
            copy: Mutex::new(copy),
            pledged,
            released: AtomicBool::new(false),
            keeper: AtomicWaker::new(),
        });
        (Settle(open.clone()), Later(open))
    }

    /// Whether it is [pledged](Envelope::pledged) that this does not stay open for too long: whoever waits has no reason to stop waiting.
    pub fn is_pledged(&self) -> bool {
        self.0.pledged
    }

    /// Takes the stanza back from the mailbox in which it waits: its reader will not find it
    /// there. `None` if the reader has it, or if it cannot be taken back.
    pub fn withdraw(&self) -> Option<Envelope> {
        if self.0.pledged {
            return None;
        }
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

    pub(super) fn hold(&self) -> Hold {
        Hold(self.0.clone())
    }

    /// The reader takes the stanza; `false` if it has been withdrawn.
    pub(super) fn read(&self) -> bool {
        self.0.change(WAITING, READ) || self.0.state.load(Ordering::Acquire) == READ
    }
}

impl Hold {
    /// The stanza is where nothing loses it: for whoever waits that settles it, and it stays on its way.
    pub(crate) fn release(&self) {
        self.0.released.store(true, Ordering::Release);
        self.0.sender.wake();
    }

    /// Takes the stanza out of where it waits, to go another way: its reader will not find it there, and whoever waits does so until
    /// this is dropped. `None` if the reader has it, or if there is no other way.
    pub(crate) fn take_back(&self) -> Option<Envelope> {
        let mut copy = self.0.copy.lock().unwrap_or_else(PoisonError::into_inner);
        copy.as_ref()?;
        let free = self.0.change(WAITING, MOVING);
        free.then(|| copy.take().map(|copy| *copy)).flatten()
    }
}

/// What was taken back has gone its way.
impl Drop for Hold {
    fn drop(&mut self) {
        if self.0.change(MOVING, RETURNED) {
            self.0.sender.wake();
            self.0.keeper.wake();
        }
    }
}

#[cfg(feature = "io")]
impl Settle {
    pub(super) fn watch(&self) -> Watch {
        Watch(self.0.clone())
    }

    pub(super) fn is_released(&self) -> bool {
        self.0.released.load(Ordering::Acquire)
    }
}

#[cfg(feature = "io")]
impl Watch {
    /// Whether it is not known yet what has become of the stanza.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.0.state.load(Ordering::Acquire), WAITING | READ)
    }

    /// The stanza is where nothing loses it: for whoever waits that settles it, and it stays on its way.
    pub(crate) fn release(&self) {
        self.0.released.store(true, Ordering::Release);
        self.0.sender.wake();
    }

    /// Its sender has been sent an error, wherever it is: if it can be it is not delivered, and nobody else says what has become of it.
    pub(crate) fn give_up(&self) {
        self.0.close(RETURNED);
    }
}

#[cfg(feature = "io")]
impl Future for Watch {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        self.0.keeper.register(cx.waker());
        match self.0.state.load(Ordering::Acquire) {
            DROPPED => Poll::Pending,
            _ => self.0.outcome().map_or(Poll::Pending, Poll::Ready),
        }
    }
}

impl Open {
    fn outcome(&self) -> Option<Outcome> {
        match self.state.load(Ordering::Acquire) {
            SETTLED => Some(Outcome::Settled),
            // Who takes it back deals with it.
            RETURNED | WITHDRAWN | DROPPED => Some(Outcome::Returned),
            _ => None,
        }
    }

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
            self.keeper.wake();
        }
    }
}

impl Drop for Settle {
    fn drop(&mut self) {
        self.0.close(DROPPED);
    }
}

impl Future for Later {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        self.0.sender.register(cx.waker());
        if self.0.released.load(Ordering::Acquire) {
            return Poll::Ready(Outcome::Settled);
        }
        self.0.outcome().map_or(Poll::Pending, Poll::Ready)
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

    #[cfg(feature = "io")]
    #[test]
    fn what_is_released_is_settled_for_its_sender_and_open_for_its_keeper() {
        let (settle, mut later) = Later::pledged();
        let mut watch = settle.watch();
        assert!(later.is_pledged() && !open().1.is_pledged());
        assert_eq!((&mut later).now_or_never(), None);
        watch.release();
        assert_eq!(later.now_or_never(), Some(Outcome::Settled));
        assert!(watch.is_open() && settle.is_released());
        assert_eq!((&mut watch).now_or_never(), None);
        assert!(settle.read(), "it can still be delivered");
        settle.with(Outcome::Returned);
        assert!(!watch.is_open());
        assert_eq!(watch.now_or_never(), Some(Outcome::Returned));
    }

    #[cfg(feature = "io")]
    #[test]
    fn its_keeper_keeps_what_is_dropped_without_a_word() {
        let (settle, later) = Later::pledged();
        let watch = settle.watch();
        drop(settle);
        assert_eq!(later.now_or_never(), Some(Outcome::Returned));
        assert_eq!(watch.now_or_never(), None);
    }

    #[cfg(feature = "io")]
    #[test]
    fn what_its_keeper_gives_up_is_not_delivered_and_stays_given_up() {
        let (settle, later) = Later::pledged();
        settle.watch().give_up();
        assert!(!settle.read());
        settle.with(Outcome::Settled);
        assert_eq!(later.now_or_never(), Some(Outcome::Returned));
    }
}
