//! Where stanzas for other servers enter, and what connections tell.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;

use crate::mailbox::{Envelope, Inbox, Mailbox, QueueLimits, Reason, Settlement};
use crate::s2s::links;

/// Where stanzas for other servers enter. It is made before the server that sends there, and given to
/// [`Federation::start`](super::Federation::start) with it.
///
/// It takes a stanza at once; what does not fit goes back with `<resource-constraint/>`. What it has taken is settled
/// when it has been written to the other server's connection, or when its sender has been sent an error.
#[derive(Default)]
pub struct Gate {
    post: Arc<Post>,
}

impl Gate {
    /// A gate that nothing has passed. The limits are for what the link manager has not looked at, which it does many times
    /// a second; what waits for a connection has [its own](crate::s2s::links::Limits).
    pub fn new(limits: QueueLimits) -> Gate {
        Gate {
            post: Arc::new(Post {
                limits,
                ..Post::default()
            }),
        }
    }

    /// For [`Builder::remote`](crate::server::Builder::remote).
    pub fn mailbox(&self) -> Mailbox {
        Mailbox::new(self.post.clone())
    }

    pub(super) fn post(&self) -> &Arc<Post> {
        &self.post
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

/// Whatever the link manager is to look at.
#[derive(Default)]
pub(super) struct Post {
    limits: QueueLimits,
    state: Mutex<State>,
    reader: AtomicWaker,
}

#[derive(Default)]
struct State {
    stanzas: VecDeque<Envelope>,
    bytes: usize,
    /// Of connections. What each has to tell is bounded by what it was given and by what its stream may have open.
    news: Vec<links::Input>,
    closed: bool,
}

/// What the link manager takes at once.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) stanzas: VecDeque<Envelope>,
    pub(super) news: Vec<links::Input>,
}

impl Post {
    /// Takes what a connection has to tell.
    pub(super) fn tell(&self, news: &mut Vec<links::Input>) {
        if news.is_empty() {
            return;
        }
        self.lock().news.append(news);
        self.reader.wake();
    }

    /// Takes all there is, for memory in which there is nothing.
    pub(super) fn poll_take(&self, batch: &mut Batch, cx: &mut Context<'_>) -> Poll<()> {
        self.reader.register(cx.waker());
        let mut state = self.lock();
        if state.stanzas.is_empty() && state.news.is_empty() {
            return Poll::Pending;
        }
        state.bytes = 0;
        std::mem::swap(&mut state.stanzas, &mut batch.stanzas);
        std::mem::swap(&mut state.news, &mut batch.news);
        Poll::Ready(())
    }

    /// From now on stanzas are refused.
    pub(super) fn close(&self) {
        self.lock().closed = true;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under this lock can panic half way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inbox for Post {
    fn push(&self, mut envelope: Envelope) -> Settlement {
        let size = envelope.stanza.size();
        let mut state = self.lock();
        if state.closed {
            return envelope.refused(Reason::Closed);
        }
        if state.stanzas.len() >= self.limits.stanzas || state.bytes + size > self.limits.bytes {
            return envelope.refused(Reason::Full);
        }
        let settlement = envelope.taken();
        let first = state.stanzas.is_empty();
        state.bytes += size;
        state.stanzas.push_back(envelope);
        drop(state);
        if first {
            self.reader.wake();
        }
        settlement
    }
}
