//! Stanzas from a client that are on their way.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use futures::future::BoxFuture;

use crate::mailbox::Later;
use crate::server::Server;

/// A stanza that the client has not been told of as handled.
pub(in crate::io) enum Unsettled {
    /// It is, but an earlier one is not.
    Done,
    /// It will be, at the latest then.
    Later(Later, Instant),
    /// It was left too long where it was, and takes another way.
    Moving(BoxFuture<'static, ()>),
}

impl Unsettled {
    /// Until when nothing is done about it.
    pub(in crate::io) fn until(&self) -> Option<Instant> {
        match self {
            Unsettled::Later(_, until) => Some(*until),
            _ => None,
        }
    }

    /// Sees to it that it is settled, if its time is over; `false` if it is not.
    ///
    /// What waits in a mailbox is taken back and goes where it would go if the mailbox were
    /// full. What has no other way (presence, an answer), what others get as well, and what its recipient has
    /// taken counts as handled: at most a connection can lose it that acknowledges nothing.
    pub(in crate::io) fn hurry(&mut self, now: Instant, server: &Server) -> bool {
        let Unsettled::Later(later, until) = self else {
            return true;
        };
        if now < *until {
            return false;
        }
        *self = match later.withdraw() {
            Some(envelope) => {
                let server = server.clone();
                Unsettled::Moving(Box::pin(async move { server.overdue(envelope).await }))
            }
            None => Unsettled::Done,
        };
        true
    }

    pub(in crate::io) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Unsettled::Done => Poll::Ready(()),
            Unsettled::Later(later, _) => Pin::new(later).poll(cx).map(drop),
            Unsettled::Moving(moving) => moving.as_mut().poll(cx),
        }
    }
}
