//! What the peer sends: from bytes to stanzas on their way.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncWriteExt as _, ReadBuf};

use super::{CHUNK, Connection, Doing, Phase, Shared, UNSETTLED};
use crate::BareJid;
use crate::io::tls::Shown;
use crate::io::wire::{BoxIo, Wire};
use crate::io::zlib::Unpacker;
use crate::mailbox::{Origin, Settlement, SmPoint, Source};
use crate::module::Dispatch;
use crate::s2s::Pair;
use crate::stanza::Stanza;
use crate::stream::Input;
use crate::time::Now;
use crate::xml::Received;

thread_local! {
    /// An idle connection needs no memory to read into.
    static MEMORY: RefCell<Option<Box<[u8; CHUNK]>>> = const { RefCell::new(None) };
}

impl Connection {
    pub(super) fn poll_read(&mut self, now: Now, cx: &mut Context<'_>) -> bool {
        if self.phase != Phase::Open
            || !matches!(self.doing, Doing::Nothing)
            || self.asking
            || self.detached.is_some()
            || !self.unread.is_empty()
            || self.outbound.is_behind()
            || self.unsettled.len() >= UNSETTLED
        {
            return false;
        }
        if self.unpacker.as_ref().is_some_and(Unpacker::has_more) {
            self.unpack(now, cx);
            return true;
        }
        let mut memory = MEMORY.take().unwrap_or_else(|| Box::new([0; CHUNK]));
        let mut buf = ReadBuf::new(&mut memory[..]);
        let busy = match self.wire.poll_read(cx, &mut buf) {
            Poll::Pending => false,
            Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                match &mut self.unpacker {
                    Some(unpacker) => unpacker.take(buf.filled()),
                    None => {
                        self.received.bytes(buf.filled().len());
                        self.consume(buf.filled(), now, cx);
                    }
                }
                true
            }
            Poll::Ready(_) => {
                self.lost(now, cx);
                true
            }
        };
        MEMORY.set(Some(memory));
        busy
    }

    /// Unpacks as much as is read at once. The rest waits as it came, and nothing more is read from the peer before it.
    fn unpack(&mut self, now: Now, cx: &mut Context<'_>) {
        let Some(unpacker) = &mut self.unpacker else {
            return;
        };
        let mut memory = MEMORY.take().unwrap_or_else(|| Box::new([0; CHUNK]));
        let counted = &self.shared.server.metrics().s2s.compression.received;
        match unpacker.unpack(&mut memory[..]) {
            Ok(unpacked) => {
                counted.packed.add(unpacked.read);
                counted.xml.add(unpacked.written as u64);
                self.received.bytes(unpacked.written);
                self.consume(&memory[..unpacked.written], now, cx);
            }
            Err(fault) => self.input(Input::Close(Some(fault.into())), now, cx),
        }
        MEMORY.set(Some(memory));
    }

    /// Gives bytes to the reader, and what it finds to the stream, until something has to be found out or done; the rest
    /// waits.
    pub(super) fn consume(&mut self, mut input: &[u8], now: Now, cx: &mut Context<'_>) {
        while self.phase == Phase::Open {
            match self.doing {
                // White space, else the handshake would not have begun.
                Doing::Securing(_) => return,
                Doing::Nothing if !self.asking => {}
                _ => {
                    self.unread = input.to_vec();
                    return;
                }
            }
            match self.reader.next(&mut input) {
                Ok(Some(received)) => {
                    self.more = !input.trim_ascii().is_empty();
                    if let (Received::Header(_), Some(ticket)) = (&received, &mut self.ticket) {
                        ticket.greeted();
                    }
                    let packed = self.unpacker.is_some();
                    self.input(Input::Received(received), now, cx);
                    if !packed && let Some(unpacker) = &mut self.unpacker {
                        return unpacker.take(input);
                    }
                }
                Ok(None) => return,
                Err(error) => return self.input(Input::Unreadable(error), now, cx),
            }
        }
    }

    pub(super) fn start_tls(&mut self, proceed: &'static [u8]) {
        if self.more || !self.reader.is_at_boundary() {
            self.answers.push_back(Input::Injected);
            return;
        }
        let Wire::Plain(io) = std::mem::replace(&mut self.wire, Wire::Gone) else {
            return;
        };
        self.outbound.write(proceed);
        let before = self.outbound.take_bytes();
        let secured = secure(self.shared.clone(), io, before, self.opened.clone());
        self.doing = Doing::Securing(Box::pin(secured));
    }

    pub(super) fn deliver(
        &mut self,
        stanza: Stanza,
        point: Option<SmPoint>,
        now: Now,
        cx: &mut Context<'_>,
    ) {
        if !matches!(self.doing, Doing::Nothing) {
            self.waiting.push_back((stanza, point));
            return;
        }
        // The stream refuses what has no sender.
        let Some(sender) = self.sender_of(&stanza) else {
            return;
        };
        let origin = Origin {
            source: Source::Remote(sender),
            sm: point,
        };
        match self.shared.server.route(stanza, origin) {
            Dispatch::Done(settlement) => self.settle(settlement, now),
            Dispatch::Pending(mut future) => match future.as_mut().poll(cx) {
                Poll::Ready(settlement) => self.settle(settlement, now),
                Poll::Pending => self.doing = Doing::Dispatching(future),
            },
        }
    }

    /// The domain that has sent this; without an allocation, since it is known already.
    fn sender_of(&self, stanza: &Stanza) -> Option<BareJid> {
        let from = stanza.from()?;
        let mut senders = self.senders.iter();
        let known = senders.find(|domain| domain.as_str() == from.domain());
        Some(
            known
                .cloned()
                .unwrap_or_else(|| from.to_bare().domain_jid()),
        )
    }

    /// Settlements reach the stream in the order of the stanzas.
    pub(super) fn settle(&mut self, settlement: Settlement, now: Now) {
        let until = now.instant + self.shared.config.timeouts.settle;
        if self.unsettled.push(settlement, until) {
            self.answers.push_back(Input::Settled);
        }
    }

    /// Tells the stream what was found out beside its way.
    pub(super) fn answer(&mut self, now: Now, cx: &mut Context<'_>) {
        if let Some(answer) = self.answers.pop_front() {
            self.input(answer, now, cx);
        }
    }

    pub(super) fn poll_settlements(&mut self, now: Now, cx: &mut Context<'_>) -> bool {
        let mut busy = false;
        self.unsettled.hurry(now.instant, &self.shared.server);
        while self.unsettled.poll_next(cx).is_ready() {
            self.input(Input::Settled, now, cx);
            busy = true;
        }
        busy
    }
}

/// What was written before, and the handshake behind it.
async fn secure(
    shared: Arc<Shared>,
    mut io: BoxIo,
    before: Vec<u8>,
    opened: Option<Pair>,
) -> io::Result<(Wire, Shown)> {
    io.write_all(&before).await?;
    io.flush().await?;
    shared.handshake(io, opened.as_ref(), false).await
}
