//! What is wanted of a connection from outside its task.

use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;

/// Reaches a connection from outside its task.
#[derive(Default)]
pub(super) struct Control {
    call: AtomicU8,
    waker: AtomicWaker,
}

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// It is to close, since somebody else gets its place, unless it has logged in.
    MakeRoom = 1,
    /// It is to close with `<system-shutdown/>`.
    Stop = 2,
}

impl Control {
    /// Calls the connection. What matters more is not forgotten for what matters less.
    pub(super) fn call(&self, call: Call) {
        self.call.fetch_max(call as u8, Ordering::AcqRel);
        self.waker.wake();
    }

    /// What is wanted, once.
    pub(super) fn answer(&self) -> Option<Call> {
        match self.call.load(Ordering::Acquire) {
            0 => None,
            _ => call(self.call.swap(0, Ordering::AcqRel)),
        }
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

fn call(value: u8) -> Option<Call> {
    [Call::MakeRoom, Call::Stop]
        .into_iter()
        .find(|call| *call as u8 == value)
}
