//! What is wanted of a connection from outside its task.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;

use super::elsewhere::Wanted;
use super::handover::Handover;
use crate::stream::NotResumed;

/// Reaches a connection from outside its task.
#[derive(Default)]
pub(super) struct Control {
    call: AtomicU8,
    settled: AtomicBool,
    waker: AtomicWaker,
    offer: Mutex<Offer>,
    /// Whether there is something in `want`.
    wanted: AtomicBool,
    want: Mutex<Option<Box<Wanted>>>,
}

/// Whether another connection wants to take this one's place.
#[derive(Default)]
enum Offer {
    #[default]
    None,
    Waiting(Box<Handover>),
    /// Nobody will look any more.
    Closed,
}

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// Another connection is [offered](Control::offer).
    Look = 1,
    /// It is to close, since somebody else gets its place, unless it has logged in.
    MakeRoom = 2,
    /// It is to close, since its network has more than others.
    GiveWay = 3,
    /// What its client has sent is to be settled; if its stream cannot be resumed, it is to close.
    Settle = 4,
    /// Its session is to be written down, for the next run; else it is to close.
    PutAway = 5,
    /// It is to close with `<system-shutdown/>`.
    Stop = 6,
}

impl Control {
    /// Calls the connection. What matters more is not forgotten for what matters less.
    pub(super) fn call(&self, call: Call) {
        self.call.fetch_max(call as u8, Ordering::AcqRel);
        self.waker.wake();
    }

    /// Has the connection's task look again.
    pub(super) fn wake(&self) {
        self.waker.wake();
    }

    /// What is wanted, once.
    pub(super) fn answer(&self) -> Option<Call> {
        match self.call.load(Ordering::Acquire) {
            0 => None,
            _ => call(self.call.swap(0, Ordering::AcqRel)),
        }
    }

    /// What its client has sent is settled ([`Call::Settle`]); `false` if that was said before.
    pub(super) fn settle(&self) -> bool {
        !self.settled.swap(true, Ordering::AcqRel)
    }

    /// Whether it is.
    pub(super) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }

    /// Offers another connection in the place of this one; the last one offered counts.
    pub(super) fn offer(&self, handover: Handover) {
        let waiting = Offer::Waiting(Box::new(handover));
        let mut offer = self.lock();
        let refused = match &mut *offer {
            Offer::Closed => waiting,
            open => std::mem::replace(open, waiting),
        };
        drop(offer);
        refused.refuse();
        self.call.fetch_max(Call::Look as u8, Ordering::AcqRel);
        self.waker.wake();
    }

    /// Takes what is offered.
    pub(super) fn take_offer(&self) -> Option<Box<Handover>> {
        let mut offer = self.lock();
        match std::mem::take(&mut *offer) {
            Offer::Waiting(handover) => Some(handover),
            Offer::None => None,
            Offer::Closed => {
                *offer = Offer::Closed;
                None
            }
        }
    }

    /// Another node wants the session. Who wanted it before and has not been heard is refused.
    pub(super) fn want(&self, wanted: Wanted) {
        *self.lock_want() = Some(Box::new(wanted));
        self.wanted.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Takes what another node wants.
    pub(super) fn take_wanted(&self) -> Option<Box<Wanted>> {
        if !self.wanted.load(Ordering::Acquire) {
            return None;
        }
        self.wanted.store(false, Ordering::Release);
        self.lock_want().take()
    }

    fn lock_want(&self) -> MutexGuard<'_, Option<Box<Wanted>>> {
        self.want.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses what is offered now and later, and who wants the session.
    pub(super) fn close_offers(&self) {
        drop(self.take_wanted());
        let refused = std::mem::replace(&mut *self.lock(), Offer::Closed);
        refused.refuse();
    }

    fn lock(&self) -> MutexGuard<'_, Offer> {
        // Nothing that runs under this lock can panic half way through a change.
        self.offer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the task of `cx` look again when something is wanted.
    pub(super) fn register(&self, cx: &Context<'_>) {
        self.waker.register(cx.waker());
    }

    /// Waits until the connection is to close; for when nobody drives it yet.
    pub(super) async fn called(&self) {
        std::future::poll_fn(|cx| {
            self.register(cx);
            match call(self.call.load(Ordering::Acquire)) {
                Some(_) => Poll::Ready(()),
                None => Poll::Pending,
            }
        })
        .await;
    }
}

impl Offer {
    fn refuse(self) {
        if let Offer::Waiting(handover) = self {
            handover.refuse(NotResumed::Unknown(None));
        }
    }
}

fn call(value: u8) -> Option<Call> {
    [
        Call::Look,
        Call::MakeRoom,
        Call::GiveWay,
        Call::Settle,
        Call::PutAway,
        Call::Stop,
    ]
    .into_iter()
    .find(|call| *call as u8 == value)
}
