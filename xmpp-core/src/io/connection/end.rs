//! How a connection ends, and what becomes of its session.

use std::task::{Context, Poll};

use futures::future::BoxFuture;
use tokio::io::ReadBuf;

use super::{Answered, CHUNK, Connection, Doing, Feeding, Keeping, Scratch, TURNS, burst};
use crate::io::wire::Wire;
use crate::mailbox::{Envelope, Origin, Settlement};
use crate::module::Dispatch;
use crate::stream::{Input, NotResumed, Output};
use crate::time::Now;

impl Connection {
    /// The connection is gone.
    pub(super) fn lost(&mut self, scratch: &mut Scratch, now: Now, cx: &mut Context<'_>) {
        self.wire = Wire::Gone;
        self.unsent = Vec::new();
        scratch.write.clear();
        self.flushing = false;
        // What could not be written goes the way of what waits.
        scratch.returned.append(&mut self.take_unwritten());
        self.input(Input::Eof, scratch, now, cx);
        scratch.write.clear();
    }

    pub(super) fn peer_is_done(&mut self, scratch: &mut Scratch, cx: &mut Context<'_>) -> bool {
        for _ in 0..TURNS {
            let memory = scratch.read.get_or_insert_with(|| Box::new([0; CHUNK]));
            let mut buf = ReadBuf::new(&mut memory[..]);
            match self.wire.poll_read(cx, &mut buf) {
                Poll::Pending => return false,
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {}
                Poll::Ready(_) => return true,
            }
        }
        // Others have their turn.
        cx.waker().wake_by_ref();
        false
    }

    /// The session ends with its connection. What its client had sent is still dealt
    /// with: it may hold up others until it is.
    pub(super) fn end(&mut self, unacknowledged: Vec<Envelope>) {
        self.control.close_offers();
        self.refuse_offer(NotResumed::Unknown(None));
        let mut stored = None;
        // Until what it leaves is where it goes.
        let mut copy = None;
        if let Some(resumable) = self.resumable.take() {
            self.shared.resumable.leave(&resumable.id, None);
            stored = resumable.stored.then_some(resumable.id);
            copy = resumable.copy;
        }
        let sent = match std::mem::replace(&mut self.doing, Doing::Nothing) {
            Doing::Dispatching(sent) => Some(sent),
            Doing::Asked(question) => {
                self.abandon(question);
                None
            }
            _ => None,
        };
        let waiting = std::mem::take(&mut self.waiting);
        // What of a burst is kept until it is acknowledged comes back with the rest: it is
        // no longer to be had from where it came from, or it would come twice.
        let fed = match std::mem::replace(&mut self.feed, Feeding::Nothing) {
            Feeding::Writing(feed) if self.keeping != Keeping::Nothing => {
                Some(burst::pull(feed, self.server().budget()))
            }
            // The last part of it has been written.
            Feeding::Pulling(page) => Some(page),
            Feeding::Pausing(paused) => Some(burst::unpause(paused)),
            _ => None,
        };
        let Some(session) = self.session.take() else {
            if tokio::runtime::Handle::try_current().is_ok() {
                let server = self.server();
                server.leave_to_itself(server.give_back(unacknowledged.into()));
            }
            return;
        };
        let server = self.server().clone();
        let left = server.end_with(&session, unacknowledged);
        if let (None, Dispatch::Done(_), None) = (&sent, &left, &fed)
            && waiting.is_empty()
            && stored.is_none()
        {
            return;
        }
        self.leaving = Some(Box::pin(async move {
            if let Some(sent) = sent {
                let _ = sent.await;
            }
            for (stanza, point) in waiting {
                let origin = Origin {
                    sm: point,
                    ..Origin::session(session.id())
                };
                let _ = server.submit(stanza, &session, origin).finish().await;
            }
            let left = left.finish().await;
            if let Some(fed) = fed {
                drop(fed.await);
            }
            // What it was not given is elsewhere now.
            if let Some(name) = stored {
                server.release_session(session.bare(), &name).await;
            }
            drop(copy);
            left
        }));
    }

    /// What the stream has kept and gives back now, since nobody will drive it any more.
    fn give_up(&mut self) -> Vec<Envelope> {
        if self.session.is_none() {
            return Vec::new();
        }
        let now = self.server().now();
        let mut outputs = Vec::new();
        // One that can be resumed would wait for its client, but for the second.
        for last in [Input::Eof, Input::Close(None)] {
            self.stream.handle(last, now, &mut outputs);
        }
        let returned = outputs.into_iter().filter_map(|output| match output {
            Output::Return(envelope) => Some(envelope),
            _ => None,
        });
        returned.collect()
    }

    /// A question whose answer nobody waits for; a session that comes of it ends at once.
    pub(super) fn abandon(&mut self, question: BoxFuture<'static, Answered>) {
        let server = self.server().clone();
        self.leaving = Some(Box::pin(async move {
            match question.await.bound {
                Some(bound) => server.end(&bound.session).finish().await,
                None => Settlement::Done,
            }
        }));
    }
}

/// Also when a handler panics, or the runtime stops: a session does not stay behind.
impl Drop for Connection {
    fn drop(&mut self) {
        let mut charged = std::mem::take(&mut self.charged);
        charged.give_back(self.server().budget());
        let mut left = self.take_unwritten();
        left.append(&mut self.give_up());
        let left = self.with_not_kept(left);
        self.end(left);
        if let Some(left) = self.leaving.take()
            && tokio::runtime::Handle::try_current().is_ok()
        {
            self.server().spawn(async move {
                let _ = left.await;
            });
        }
    }
}
