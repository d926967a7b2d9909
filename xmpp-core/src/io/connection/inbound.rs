//! What the client sends: from bytes to stanzas on their way.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::ReadBuf;

use super::{CHUNK, Connection, Doing, Phase, Scratch, UNSETTLED};
use crate::io::listener::Shared;
use crate::io::wire::{BoxIo, Wire};
use crate::mailbox::{Origin, Settlement, SmPoint};
use crate::module::Dispatch;
use crate::sasl;
use crate::stanza::Stanza;
use crate::stream::Input;
use crate::time::Now;
use crate::xml::Received;

impl Connection {
    pub(super) fn poll_read(
        &mut self,
        scratch: &mut Scratch,
        now: Now,
        cx: &mut Context<'_>,
    ) -> bool {
        if !matches!(self.doing, Doing::Nothing)
            || !self.unsent.is_empty()
            || self.is_laden()
            || self.unsettled.len() >= UNSETTLED
            || scratch.write.len() >= CHUNK
            || self.detached
            || self.shared.is_settling()
            || self.is_moving()
        {
            return false;
        }
        let mut memory = scratch.read.take().unwrap_or_else(|| Box::new([0; CHUNK]));
        let busy = self.read_into(&mut memory, scratch, now, cx);
        scratch.read = Some(memory);
        busy
    }

    /// Whether what the client asks has to wait, since there may be no room for the answer until the client takes or
    /// acknowledges some of what it was sent. It is still read, since what it acknowledges stands behind. Where nothing
    /// more is read there is nothing to wait for.
    fn is_crowded(&self) -> bool {
        !self.detached
            && !self.shared.is_settling()
            && !self.is_moving()
            && self
                .session
                .as_ref()
                .is_some_and(|session| session.queue().is_crowded())
    }

    /// Whether so much of what the client has sent waits to be handled that no more is read. Should an acknowledgement
    /// stand behind, the client is taken to be silent in the end; then what waits is handled, and it can resume.
    pub(super) fn is_laden(&self) -> bool {
        if self.waiting.is_empty() {
            return false;
        }
        // Their answers fit, with as much again, into the room that is left.
        let room = self.server().config().session_queue.answers();
        self.waiting.len() >= (room.stanzas / 4).max(1) || self.laden_with() >= room.bytes / 4
    }

    /// Bytes of the stanzas that wait to be handled.
    pub(super) fn laden_with(&self) -> usize {
        self.waiting.iter().map(|(stanza, _)| stanza.size()).sum()
    }

    pub(super) fn read_into(
        &mut self,
        memory: &mut [u8; CHUNK],
        scratch: &mut Scratch,
        now: Now,
        cx: &mut Context<'_>,
    ) -> bool {
        let mut buf = ReadBuf::new(memory);
        match self.wire.poll_read(cx, &mut buf) {
            Poll::Pending => false,
            Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                scratch.received.bytes(buf.filled().len());
                self.consume(buf.filled(), scratch, now, cx);
                true
            }
            Poll::Ready(_) => {
                self.lost(scratch, now, cx);
                true
            }
        }
    }

    /// Gives bytes to the reader, and what it finds to the stream, until a question
    /// is open; the rest waits.
    pub(super) fn consume(
        &mut self,
        mut input: &[u8],
        scratch: &mut Scratch,
        now: Now,
        cx: &mut Context<'_>,
    ) {
        while matches!(self.phase, Phase::Open) {
            match self.doing {
                Doing::Nothing => {}
                // White space, else the handshake would not have begun.
                Doing::Securing(_) => return,
                _ => return self.unread = input.to_vec(),
            }
            if self.is_laden() || self.is_moving() {
                return self.unread = input.to_vec();
            }
            match self.reader.next(&mut input) {
                Ok(Some(received)) => {
                    self.more = !input.trim_ascii().is_empty();
                    if let (Received::Header(_), Some(ticket)) = (&received, &mut self.ticket) {
                        ticket.greeted();
                    }
                    self.input(Input::Received(received), scratch, now, cx);
                }
                Ok(None) => return,
                Err(error) => return self.input(Input::Unreadable(error), scratch, now, cx),
            }
        }
    }

    pub(super) fn start_tls(
        &mut self,
        proceed: &'static [u8],
        scratch: &mut Scratch,
        now: Now,
        cx: &mut Context<'_>,
    ) {
        if self.more || !self.reader.is_at_boundary() {
            return self.input(Input::Injected, scratch, now, cx);
        }
        let Wire::Plain(io) = std::mem::replace(&mut self.wire, Wire::Gone) else {
            return;
        };
        let mut before = std::mem::take(&mut self.unsent);
        before.append(&mut scratch.write);
        before.extend_from_slice(proceed);
        self.doing = Doing::Securing(Box::pin(secure(self.shared.clone(), io, before)));
    }

    pub(super) fn deliver(
        &mut self,
        stanza: Stanza,
        point: Option<SmPoint>,
        scratch: &mut Scratch,
        now: Now,
        cx: &mut Context<'_>,
    ) {
        if !matches!(self.doing, Doing::Nothing) || !self.waiting.is_empty() || self.is_crowded() {
            self.waiting.push_back((stanza, point));
            return;
        }
        self.dispatch(stanza, point, scratch, now, cx);
    }

    /// Delivers what waits, as far as it can be; whether anything did.
    pub(super) fn deliver_waiting(
        &mut self,
        scratch: &mut Scratch,
        now: Now,
        cx: &mut Context<'_>,
    ) -> bool {
        let before = self.waiting.len();
        if before == 0 {
            return false;
        }
        while matches!(self.doing, Doing::Nothing)
            && !self.is_crowded()
            && let Some((stanza, point)) = self.waiting.pop_front()
        {
            self.dispatch(stanza, point, scratch, now, cx);
        }
        if self.waiting.is_empty() {
            // An idle connection keeps no memory.
            self.waiting = VecDeque::new();
        }
        self.waiting.len() < before
    }

    fn dispatch(
        &mut self,
        stanza: Stanza,
        point: Option<SmPoint>,
        scratch: &mut Scratch,
        now: Now,
        cx: &mut Context<'_>,
    ) {
        let Some(session) = &self.session else { return };
        let origin = Origin {
            sm: point,
            ..Origin::session(session.id())
        };
        match self.shared.server.submit(stanza, session, origin) {
            Dispatch::Done(settlement) => self.settle(settlement, scratch, now, cx),
            Dispatch::Pending(mut future) => match future.as_mut().poll(cx) {
                Poll::Ready(settlement) => self.settle(settlement, scratch, now, cx),
                Poll::Pending => self.doing = Doing::Dispatching(future),
            },
        }
    }

    /// Settlements reach the stream in the order of the stanzas.
    pub(super) fn settle(
        &mut self,
        settlement: Settlement,
        scratch: &mut Scratch,
        now: Now,
        cx: &mut Context<'_>,
    ) {
        let until = now.instant + self.server().config().timeouts.settle;
        if self.unsettled.push(settlement, until) {
            self.input(Input::Settled, scratch, now, cx);
        }
    }

    pub(super) fn poll_settlements(
        &mut self,
        scratch: &mut Scratch,
        now: Now,
        cx: &mut Context<'_>,
    ) -> bool {
        let mut busy = false;
        self.unsettled.hurry(now.instant, &self.shared.server);
        while self.unsettled.poll_next(cx).is_ready() {
            self.input(Input::Settled, scratch, now, cx);
            busy = true;
        }
        busy
    }
}

/// `<proceed/>`, and the handshake behind it.
async fn secure(
    shared: Arc<Shared>,
    mut io: BoxIo,
    before: Vec<u8>,
) -> io::Result<(Wire, sasl::Channel)> {
    use tokio::io::AsyncWriteExt;
    io.write_all(&before).await?;
    io.flush().await?;
    shared.handshake(io).await
}
