//! What the peer is given: what the link manager has for it, and the bytes of that.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::{BEHIND, CHUNK, Connection, Phase};
use crate::io::wire::Wire;
use crate::machine::Machine as _;
use crate::mailbox::{Envelope, Outcome};
use crate::s2s::{self, links};
use crate::stream::Input;
use crate::time::Now;

/// What the stream has written, until the socket has taken it.
#[derive(Default)]
pub(super) struct Outbound {
    bytes: Vec<u8>,
    /// How many of `bytes` the wire has taken.
    taken: usize,
    /// How many were taken before these.
    base: u64,
    /// Whether the wire may hold some back.
    flushing: bool,
    /// Whether the stream has been told that it is about to be written.
    announced: bool,
    /// What stands in it, and where each ends.
    unwritten: VecDeque<(u64, Envelope)>,
    /// When the peer stopped reading.
    stalled: Option<Instant>,
}

impl Outbound {
    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether a layer keeps the stanza: then it comes back from there.
    pub(super) fn send(&mut self, envelope: Envelope) -> bool {
        envelope.stanza.write(&mut self.bytes);
        let kept = envelope.is_kept();
        if !kept {
            let end = self.base + self.bytes.len() as u64;
            self.unwritten.push_back((end, envelope));
        }
        kept
    }

    /// The bytes that the wire has not taken; there are no stanzas among them.
    pub(super) fn take_bytes(&mut self) -> Vec<u8> {
        self.forget();
        self.base += self.bytes.len() as u64;
        self.announced = false;
        std::mem::take(&mut self.bytes)
    }

    /// Whether the peer reads so slowly that it is given no more.
    pub(super) fn is_behind(&self) -> bool {
        self.bytes.len() - self.taken >= BEHIND
    }

    pub(super) fn is_written(&self) -> bool {
        self.bytes.is_empty() && !self.flushing
    }

    /// Bytes that wait.
    pub(super) fn held(&self) -> usize {
        self.bytes.capacity()
    }

    /// When the peer will have read nothing for too long.
    pub(super) fn until(&self, patience: Duration) -> Option<Instant> {
        self.stalled.map(|since| since + patience)
    }

    /// What has been written when the wire holds nothing back.
    fn written(&mut self) -> impl Iterator<Item = Envelope> {
        let here = self.base + self.taken as u64;
        let mut unwritten = self.unwritten.iter();
        let count = unwritten.position(|(end, _)| *end > here);
        let count = count.unwrap_or(self.unwritten.len());
        self.unwritten.drain(..count).map(|(_, envelope)| envelope)
    }

    /// Forgets what the wire has taken.
    fn forget(&mut self) {
        self.base += self.taken as u64;
        self.bytes.drain(..self.taken);
        self.taken = 0;
        if self.bytes.is_empty() {
            self.announced = false;
            self.bytes.shrink_to(CHUNK);
        }
    }

    /// The connection is gone; what stood in these bytes is still [given back](Outbound::give_back).
    fn discard(&mut self) {
        self.bytes = Vec::new();
        (self.taken, self.flushing, self.stalled) = (0, false, None);
    }

    /// What was not written comes back, the oldest first.
    pub(super) fn give_back(&mut self) -> Vec<Envelope> {
        let unwritten = std::mem::take(&mut self.unwritten);
        unwritten
            .into_iter()
            .map(|(_, envelope)| envelope)
            .collect()
    }
}

impl Connection {
    /// What the link manager wants of the stream.
    pub(super) fn poll_inputs(&mut self, now: Now, cx: &mut Context<'_>) -> bool {
        let mut busy = false;
        while self.phase == Phase::Open
            && !self.outbound.is_behind()
            && let Some(input) = self.next_input()
        {
            busy = true;
            match input {
                Input::Send(envelope) if self.detached.is_some() => self.late.push(envelope),
                input => {
                    self.asking &= !matches!(input, Input::S2s(s2s::Input::Session(_)));
                    self.input(input, now, cx);
                }
            }
        }
        busy
    }

    fn next_input(&mut self) -> Option<Input> {
        if self.inputs.is_empty() {
            self.handle.take(&mut self.inputs);
        }
        self.inputs.pop_front()
    }

    /// So many bytes of stanzas are no longer ours to give back.
    pub(super) fn written(&mut self, size: usize) {
        match self.news.last_mut() {
            Some(links::Input::Written(_, bytes)) => *bytes += size,
            _ => self.news.push(links::Input::Written(self.handle.id, size)),
        }
    }

    /// Writes what the turn produced: once, however many stanzas it is.
    pub(super) fn write(&mut self, now: Now, cx: &mut Context<'_>) -> io::Result<()> {
        if matches!(self.wire, Wire::Gone) {
            self.outbound.discard();
            return Ok(());
        }
        if !self.outbound.bytes.is_empty() && self.outbound.taken == 0 && !self.outbound.announced {
            self.outbound.announced = true;
            let mut outputs = std::mem::take(&mut self.outputs);
            self.stream.handle(Input::Flush, now, &mut outputs);
            self.perform_all(&mut outputs, now, cx);
            self.outputs = outputs;
        }
        let outbound = &mut self.outbound;
        let before = outbound.taken;
        let mut blocked = false;
        while outbound.taken < outbound.bytes.len() {
            match self
                .wire
                .poll_write(cx, &outbound.bytes[outbound.taken..])?
            {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(n) => {
                    outbound.taken += n;
                    outbound.flushing = true;
                }
                Poll::Pending => {
                    blocked = true;
                    break;
                }
            }
        }
        self.sent.bytes(outbound.taken - before);
        outbound.stalled = match blocked {
            true if outbound.taken == before => outbound.stalled.or(Some(now.instant)),
            true => Some(now.instant),
            false => None,
        };
        if outbound.flushing && self.wire.poll_flush(cx)?.is_ready() {
            outbound.flushing = false;
            let mut size = 0;
            for envelope in outbound.written() {
                size += envelope.stanza.size();
                envelope.settle(Outcome::Settled);
            }
            if size > 0 {
                self.written(size);
            }
        }
        let outbound = &mut self.outbound;
        // What was taken is not kept for ever while the rest grows.
        if outbound.taken == outbound.bytes.len() || outbound.taken >= BEHIND {
            outbound.forget();
        }
        Ok(())
    }
}
