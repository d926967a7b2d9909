//! A session that goes to another node.

use std::collections::VecDeque;
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::channel::oneshot;

use super::restart::Stage;
use super::{Connection, Doing, Feeding, Phase, Scratch};
use crate::io::elsewhere::{HandedOut, Taken, Wanted, Why};
use crate::mailbox::{Envelope, Outcome};
use crate::stream::{Input, NotResumed, Output};
use crate::time::Now;

/// A session that another node may have.
pub(super) struct Frozen {
    /// What waited in its queue, and has been written down.
    pub(super) waiting: VecDeque<Envelope>,
    pub(super) decided: oneshot::Receiver<Taken>,
}

impl Connection {
    /// Whether somebody wants the session, and nothing more is read for it.
    pub(super) fn is_moving(&self) -> bool {
        let resumable = self.resumable.as_ref();
        resumable.is_some_and(|resumable| resumable.wanted.is_some())
    }

    /// Looks whether somebody wants the session; it is frozen as soon as all that its client has sent is settled.
    pub(super) fn poll_wanted(
        &mut self,
        scratch: &mut Scratch,
        now: Now,
        cx: &mut Context<'_>,
    ) -> bool {
        let mut busy = false;
        if let Some(wanted) = self.control.take_wanted() {
            self.want(*wanted, scratch, now, cx);
            busy = true;
        }
        let Some(resumable) = &mut self.resumable else {
            return busy;
        };
        let Some(wanted) = &mut resumable.wanted else {
            return busy;
        };
        if wanted.reply.poll_canceled(cx).is_ready() {
            resumable.wanted = None;
            return true;
        }
        if !self.is_ready_to_move() {
            return busy;
        }
        self.freeze(scratch, now, cx);
        true
    }

    fn want(&mut self, wanted: Wanted, scratch: &mut Scratch, now: Now, cx: &mut Context<'_>) {
        // Whoever came first has it; and in a server that stops it is written down.
        if !self.can_be_kept() || self.is_moving() || self.shared.is_settling() {
            return;
        }
        if wanted.why == Why::Resumed && !self.detached {
            self.replace_wire(scratch, cx);
            self.lost(scratch, now, cx);
        }
        let Some(resumable) = &mut self.resumable else {
            return;
        };
        resumable.wanted = Some(Box::new(wanted));
        if resumable.stored {
            // Else the next run would go on with what is elsewhere by then.
            self.release();
        }
    }

    /// As far as the client's stanzas go, and the bursts that only this process has.
    fn is_ready_to_move(&self) -> bool {
        let fed = matches!(self.feed, Feeding::Nothing | Feeding::Paused(_));
        let session = self.session.as_ref();
        fed && !self.has_bursts_in_turn()
            && matches!(self.doing, Doing::Nothing)
            && self.waiting.is_empty()
            && self.unsettled.is_empty()
            && self.resumable.as_ref().is_some_and(|r| !r.stored)
            && session.is_some_and(|session| session.ending().is_none())
    }

    /// Whether there are bursts that no store has: they go into the stream before it is frozen.
    pub(super) fn has_bursts_in_turn(&self) -> bool {
        let session = self.session.as_ref();
        session.is_some_and(|session| session.queue().has_bursts_in_turn())
    }

    fn freeze(&mut self, scratch: &mut Scratch, now: Now, cx: &mut Context<'_>) {
        let Some(session) = self.session.clone() else {
            return;
        };
        session.set_moving(true);
        let mut outputs = Vec::new();
        self.stream.handle(Input::Suspend, now, &mut outputs);
        let mut suspended = None;
        for output in outputs {
            match output {
                Output::Suspended(stream) => suspended = Some(*stream),
                output => self.perform(output, scratch, now, cx),
            }
        }
        let waiting = session.queue().take_all();
        let bursts = !matches!(self.feed, Feeding::Nothing) || session.queue().has_bursts();
        let server = self.server().clone();
        let state =
            suspended.and_then(|stream| server.write_down(&session, stream, &waiting, bursts));
        let (decide, decided) = oneshot::channel();
        let Some(resumable) = &mut self.resumable else {
            return session.queue().put_back(waiting);
        };
        resumable.stage = Stage::Frozen(Box::new(Frozen { waiting, decided }));
        // Without a word, if nobody wants it any more: then it is thawed at once.
        if let (Some(wanted), Some(state)) = (resumable.wanted.take(), state) {
            tracing::debug!(session = %session.jid(), "handed out");
            let _ = wanted.reply.send(HandedOut {
                jid: session.jid().clone(),
                id: session.id(),
                name: resumable.id.clone(),
                state,
                decide,
            });
        }
    }

    /// One turn while the session is frozen.
    pub(super) fn poll_frozen(
        &mut self,
        mut frozen: Box<Frozen>,
        scratch: &mut Scratch,
        now: Now,
        cx: &mut Context<'_>,
    ) -> bool {
        let Some(session) = self.session.clone() else {
            return true;
        };
        match Pin::new(&mut frozen.decided).poll(cx) {
            Poll::Pending => {
                self.set_stage(Stage::Frozen(frozen));
                return false;
            }
            Poll::Ready(Ok(Taken { to, done })) => {
                if self.server().let_go(&session, to) {
                    self.depart(frozen.waiting, cx);
                    let _ = done.send(());
                    return true;
                }
            }
            Poll::Ready(Err(_)) => {}
        }
        // Nobody has it.
        session.set_moving(false);
        if let Some(error) = session.ending() {
            // Nor has anybody what waited, which goes with the rest.
            self.set_stage(Stage::Frozen(frozen));
            self.input(Input::Close(Some(error)), scratch, now, cx);
            return true;
        }
        session.queue().put_back(frozen.waiting);
        // Its own client may have come here meanwhile.
        self.look(scratch, now, cx);
        true
    }

    fn set_stage(&mut self, stage: Stage) {
        if let Some(resumable) = &mut self.resumable {
            resumable.stage = stage;
        }
    }

    /// Another node has the session: the connection ends without another word, so that its client takes it for broken.
    fn depart(&mut self, waiting: VecDeque<Envelope>, cx: &mut Context<'_>) {
        for envelope in waiting {
            envelope.settle(Outcome::Settled);
        }
        let _ = self.wire.poll_flush(cx);
        let _ = self.wire.poll_shutdown(cx);
        self.control.close_offers();
        self.refuse_offer(NotResumed::Unknown(None));
        if let Some(resumable) = self.resumable.take() {
            self.shared.resumable.leave(&resumable.id, None);
        }
        // Sent before the stream kept anything, and not written.
        let lost = self.take_unwritten();
        let server = self.server().clone();
        server.leave_to_itself(server.give_back(lost.into()));
        if let Some(session) = self.session.take() {
            tracing::debug!(session = %session.jid(), "on another node");
        }
        self.feed = Feeding::Nothing;
        self.phase = Phase::Over;
    }
}
