//! Where stanzas for other servers enter, and what connections tell.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;

use super::outbox::Left;
use crate::mailbox::{Envelope, Inbox, Mailbox, QueueLimits, Reason, Settlement};
use crate::s2s::links;

/// Where stanzas for other servers enter. It is made before the server that sends there, and given to
/// [`Federation::start`](super::Federation::start) with it.
///
/// It takes a stanza at once; what does not fit goes back with `<resource-constraint/>`. What it has taken is settled
/// when the other server has it (it has acknowledged it, or it has been written to the connection of one that does not acknowledge), when it is
/// [stored](crate::store::Outbox), which it is if that takes longer than [`settle`](crate::server::Timeouts::settle), or when its sender has been
/// sent an error. So the gate has to be opened: nobody sees to that before.
///
/// The default has room for 20 000 stanzas and 32 MiB: a session that comes has something for each of its contacts at once, and
/// after a start they all come at once.
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

impl Default for Gate {
    fn default() -> Gate {
        Gate::new(QueueLimits {
            stanzas: 20_000,
            bytes: 32 << 20,
        })
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
    /// Of an earlier run.
    left: Vec<Left>,
    /// Of connections. What each has to tell is bounded by what it was given and by what its stream may have open.
    news: Vec<links::Input>,
    closed: bool,
}

/// What the link manager takes at once.
#[derive(Default)]
pub(super) struct Batch {
    /// Before the others.
    pub(super) left: Vec<Left>,
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

    /// Takes what an earlier run has left.
    pub(super) fn leave(&self, left: Vec<Left>) {
        self.lock().left = left;
        self.reader.wake();
    }

    /// Takes all there is, for memory in which there is nothing.
    pub(super) fn poll_take(&self, batch: &mut Batch, cx: &mut Context<'_>) -> Poll<()> {
        self.reader.register(cx.waker());
        let mut state = self.lock();
        if state.stanzas.is_empty() && state.news.is_empty() && state.left.is_empty() {
            return Poll::Pending;
        }
        state.bytes = 0;
        std::mem::swap(&mut state.left, &mut batch.left);
        std::mem::swap(&mut state.stanzas, &mut batch.stanzas);
        std::mem::swap(&mut state.news, &mut batch.news);
        Poll::Ready(())
    }

    /// From now on stanzas are refused.
    pub(super) fn close(&self) {
        self.lock().closed = true;
    }

    /// Nobody reads it any more.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.closed = true;
        let stanzas = std::mem::take(&mut state.stanzas);
        drop(state);
        drop(stanzas);
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
        let settlement = envelope.pledged();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stanza::Stanza;

    /// A session that comes sends presence and a probe to each of its contacts, all before the link manager has its turn.
    #[test]
    fn a_burst_to_many_contacts_has_room() {
        let gate = Gate::default();
        let text = "<presence from='juliet@a.example/balcony' to='romeo@b.example'/>";
        for _ in 0..4000 {
            let presence = Stanza::parse(text).unwrap();
            let settlement = gate.post.push(presence.into());
            assert!(matches!(settlement, Settlement::Done));
        }
    }
}
