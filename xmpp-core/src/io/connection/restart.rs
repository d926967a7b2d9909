//! A session that is put away when the server stops, and one that an earlier run has put away.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;

use super::moving::Frozen;
use super::{Connection, Doing, Feeding, Keeping, Phase, Scratch, burst};
use crate::io::restart::From;
use crate::mailbox::{Envelope, Outcome, Settlement};
use crate::server::restart::{Restored, alone};
use crate::session::Session;
use crate::stream::{Input, Output, Sent, StreamCondition, StreamError};
use crate::time::Now;

/// How far a session is between two runs of the server.
pub(super) enum Stage {
    /// It lives in this one.
    Running,
    /// The store is to forget what an earlier run has written down of it.
    Releasing(BoxFuture<'static, bool>),
    /// It is being written down. What waited in its queue is kept until that is done.
    Keeping(BoxFuture<'static, bool>, VecDeque<Envelope>),
    /// Another node may have it by now.
    Frozen(Box<Frozen>),
    /// It could not be.
    NotKept(VecDeque<Envelope>),
}

// The run that ends.
impl Connection {
    /// Whether the session can go on in another run of the server.
    pub(super) fn can_be_kept(&self) -> bool {
        let alive = |session: &Arc<Session>| session.ending().is_none();
        matches!(self.phase, Phase::Open)
            && self.resumable.is_some()
            // A guest's address is nobody's the next time.
            && !self.anonymous
            && self.session.as_ref().is_some_and(alive)
    }

    /// Whether nothing that the client has sent is under way, and nothing of what it left.
    pub(super) fn is_settled(&self) -> bool {
        let idle = match self.phase {
            Phase::Open => {
                self.can_be_kept()
                    && matches!(self.doing, Doing::Nothing)
                    && self.waiting.is_empty()
                    && self.unsettled.is_empty()
            }
            _ => true,
        };
        idle && self.leaving.is_none()
    }

    /// Writes the session down. From now on nothing happens to it: what is not settled is not
    /// counted, so its client sends that again.
    pub(super) fn put_away(&mut self, scratch: &mut Scratch, now: Now, cx: &mut Context<'_>) {
        let Some(session) = self.session.clone() else {
            return;
        };
        let waiting = session.queue().close();
        let bursts = !matches!(self.feed, Feeding::Nothing) || session.queue().has_bursts();
        let mut outputs = Vec::new();
        self.stream.handle(Input::Suspend, now, &mut outputs);
        let mut suspended = None;
        for output in outputs {
            match output {
                Output::Suspended(stream) => suspended = Some(*stream),
                output => self.perform(output, scratch, now, cx),
            }
        }
        let server = self.server().clone();
        let name = suspended
            .as_ref()
            .and_then(|stream| stream.resumption.as_ref());
        let name = name.map(|resumption| resumption.id.clone());
        let text =
            suspended.and_then(|stream| server.write_down(&session, stream, &waiting, bursts));
        // As when a session ends: what of a burst has been sent is kept with the rest.
        let fed = match std::mem::replace(&mut self.feed, Feeding::Nothing) {
            Feeding::Writing(feed) if self.keeping != Keeping::Nothing => {
                Some(burst::pull(feed, server.budget()))
            }
            Feeding::Pulling(page) => Some(page),
            Feeding::Pausing(paused) => Some(burst::unpause(paused)),
            _ => None,
        };
        let Some(resumable) = &mut self.resumable else {
            return;
        };
        resumable.stage = match (name, text) {
            (Some(name), Some(text)) => {
                let keep = async move {
                    let kept = server.keep_session(session.bare(), &name, &text).await;
                    if let Some(fed) = fed {
                        drop(fed.await);
                    }
                    kept
                };
                Stage::Keeping(Box::pin(keep), waiting)
            }
            _ => Stage::NotKept(waiting),
        };
    }

    /// One turn while the session is between two runs; `None` if it is not.
    pub(super) fn poll_stage(
        &mut self,
        scratch: &mut Scratch,
        now: Now,
        cx: &mut Context<'_>,
    ) -> Option<bool> {
        let stage = &mut self.resumable.as_mut()?.stage;
        match std::mem::replace(stage, Stage::Running) {
            Stage::Running => None,
            Stage::Releasing(mut releasing) => match releasing.as_mut().poll(cx) {
                Poll::Pending => {
                    *stage = Stage::Releasing(releasing);
                    None
                }
                Poll::Ready(released) => {
                    self.released(released, scratch, now, cx);
                    Some(true)
                }
            },
            Stage::Keeping(mut keeping, waiting) => match keeping.as_mut().poll(cx) {
                Poll::Pending => {
                    *stage = Stage::Keeping(keeping, waiting);
                    Some(false)
                }
                Poll::Ready(true) => {
                    self.cut(waiting, cx);
                    Some(true)
                }
                Poll::Ready(false) => {
                    *stage = Stage::NotKept(waiting);
                    Some(true)
                }
            },
            Stage::Frozen(frozen) => Some(self.poll_frozen(frozen, scratch, now, cx)),
            Stage::NotKept(waiting) => {
                *stage = Stage::NotKept(waiting);
                let error = StreamError::new(StreamCondition::SystemShutdown);
                self.input(Input::Close(Some(error)), scratch, now, cx);
                Some(true)
            }
        }
    }

    /// What the client of a session that could not be written down was not given, with what it has not
    /// acknowledged.
    pub(super) fn with_not_kept(&mut self, mut left: Vec<Envelope>) -> Vec<Envelope> {
        let Some(resumable) = &mut self.resumable else {
            return left;
        };
        match std::mem::replace(&mut resumable.stage, Stage::Running) {
            // Whether the store has it, nobody will hear.
            Stage::NotKept(waiting) | Stage::Keeping(_, waiting) => {
                left.extend(waiting);
                left.into_iter().map(alone).collect()
            }
            Stage::Frozen(frozen) => {
                left.extend(frozen.waiting);
                left
            }
            Stage::Running | Stage::Releasing(_) => left,
        }
    }

    /// The store has the session: the connection ends without another word, so that its client
    /// takes it for broken. XEP-0198 §7: "If the stream is not cleanly closed then the server
    /// SHOULD consider the stream to be unfinished", and the client does as well.
    fn cut(&mut self, waiting: VecDeque<Envelope>, cx: &mut Context<'_>) {
        for envelope in waiting {
            envelope.settle(Outcome::Settled);
        }
        let _ = self.wire.poll_flush(cx);
        let _ = self.wire.poll_shutdown(cx);
        self.control.close_offers();
        if let Some(resumable) = self.resumable.take() {
            self.shared.resumable.leave(&resumable.id, None);
        }
        let server = self.server().clone();
        // Sent before the stream kept anything, and not written.
        let lost = self.take_unwritten();
        server.leave_to_itself(server.give_back(lost.into()));
        if let Some(session) = self.session.take() {
            server.put_away(&session);
            server.metrics().kept_sessions.increment();
            tracing::debug!(session = %session.jid(), "kept for the next run");
        }
        self.doing = Doing::Nothing;
        self.waiting.clear();
        self.unsettled.clear();
        self.phase = Phase::Over;
    }
}

// The run that goes on.
impl Connection {
    /// Goes on with a session of an earlier run, without a connection. If no layer resumes its
    /// stream, it ends.
    pub(in crate::io) fn restore(&mut self, restored: Restored, from: From, now: Now) {
        let Restored { bound, stream } = restored;
        let Some(resumption) = &stream.resumption else {
            return;
        };
        let name = resumption.id.clone();
        let sent: Vec<Sent> = resumption.sent.iter().map(Sent::copy).collect();
        self.session = Some(bound.session);
        let mut outputs = Vec::new();
        self.stream
            .handle(Input::Restore(Box::new(stream)), now, &mut outputs);
        for output in outputs {
            match output {
                Output::Resumable(id) => {
                    self.enter(id);
                    if let Some(resumable) = &mut self.resumable {
                        resumable.stored = from == From::Store;
                    }
                }
                Output::Hold(true) => self.keeping = Keeping::Enough,
                Output::Detach => {
                    self.detached = true;
                    self.keeps();
                }
                // There is nobody to write to.
                _ => {}
            }
        }
        if self.detached && self.resumable.is_some() {
            return;
        }
        self.phase = Phase::Over;
        let server = self.server().clone();
        self.leaving = self.session.take().map(|session| {
            let domain = session.bare().domain().to_owned();
            let left = sent.into_iter().map(|sent| sent.late(&domain)).collect();
            let leaving: BoxFuture<'static, Settlement> = Box::pin(async move {
                let left = server.end_with(&session, left).finish().await;
                if from == From::Store {
                    server.release_session(session.bare(), &name).await;
                }
                left
            });
            leaving
        });
    }

    /// Has the store forget what an earlier run has written down of the session. From then on a
    /// crash loses it, as it does every other; before, the next run would go on with counts that
    /// are not the client's any more.
    pub(super) fn release(&mut self) {
        let server = self.server().clone();
        let (Some(session), Some(resumable)) = (&self.session, &mut self.resumable) else {
            return;
        };
        let (account, name) = (session.bare().clone(), resumable.id.clone());
        let release = async move { server.release_session(&account, &name).await };
        resumable.stage = Stage::Releasing(Box::pin(release));
    }
}
