//! What the peer is given: what the link manager has for it, and the bytes of that.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::{BEHIND, CHUNK, Connection, Phase};
use crate::io::wire::Wire;
use crate::io::zlib::Packer;
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
    /// Of a stream that is compressed.
    packing: Option<Packing>,
}

/// What goes out in place of what the stream has written.
struct Packing {
    packer: Packer,
    /// A batch as the wire is given it.
    packed: Vec<u8>,
    /// How many of `packed` the wire has taken.
    taken: usize,
    /// How many bytes of the stream it stands for.
    stands_for: usize,
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

    /// What is written from here on is packed. What waits goes out as it is.
    pub(super) fn compress(&mut self) {
        let before = self.bytes[self.taken..].to_vec();
        self.packing = Some(Packing {
            packer: Packer::new(),
            stands_for: before.len(),
            packed: before,
            taken: 0,
        });
    }

    /// Packs all that waits, if the wire has taken what was packed before: so the slower it is the more goes into one batch. Tells how many bytes have
    /// become how many.
    fn pack(&mut self) -> io::Result<Option<(usize, usize)>> {
        let Some(packing) = &mut self.packing else {
            return Ok(None);
        };
        let waits = &self.bytes[self.taken..];
        if packing.stands_for > 0 || waits.is_empty() {
            return Ok(None);
        }
        packing.packer.pack(waits, &mut packing.packed)?;
        packing.stands_for = waits.len();
        Ok(Some((waits.len(), packing.packed.len())))
    }

    /// What the wire is to take next.
    fn next(&self) -> &[u8] {
        match &self.packing {
            Some(packing) => &packing.packed[packing.taken..],
            None => &self.bytes[self.taken..],
        }
    }

    /// The wire has taken so much of it.
    fn took(&mut self, length: usize) {
        self.flushing = true;
        let Some(packing) = &mut self.packing else {
            self.taken += length;
            return;
        };
        packing.taken += length;
        if packing.taken == packing.packed.len() {
            self.taken += std::mem::take(&mut packing.stands_for);
            packing.packed.clear();
            packing.packed.shrink_to(CHUNK);
            packing.taken = 0;
        }
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
        let packing = self.packing.as_ref();
        let packed = packing.map_or(0, |packing| {
            packing.packer.held() + packing.packed.capacity()
        });
        self.bytes.capacity() + packed
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
        self.packing = None;
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
        let (mut blocked, mut moved) = (false, false);
        while outbound.taken < outbound.bytes.len() {
            if let Some((xml, packed)) = outbound.pack()? {
                let counted = &self.shared.server.metrics().s2s.compression.sent;
                counted.xml.add(xml as u64);
                counted.packed.add(packed as u64);
            }
            match self.wire.poll_write(cx, outbound.next())? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(n) => {
                    outbound.took(n);
                    moved = true;
                }
                Poll::Pending => {
                    blocked = true;
                    break;
                }
            }
        }
        self.sent.bytes(outbound.taken - before);
        outbound.stalled = match blocked {
            true if !moved => outbound.stalled.or(Some(now.instant)),
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
