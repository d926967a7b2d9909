//! What the client is given: bursts, what waits in its queue, and the bytes of both.

use std::io;
use std::task::{Context, Poll};

use super::{CHUNK, Connection, Feeding, Keeping, Scratch, burst};
use crate::mailbox::{Envelope, Outcome};
use crate::stream::Input;
use crate::time::Now;

impl Connection {
    pub(super) fn poll_feed(
        &mut self,
        scratch: &mut Scratch,
        now: Now,
        cx: &mut Context<'_>,
    ) -> bool {
        let Some(session) = &self.session else {
            return false;
        };
        let (moving, in_turn) = (self.is_moving(), self.has_bursts_in_turn());
        if self.is_held() && !moving {
            return false;
        }
        match std::mem::replace(&mut self.feed, Feeding::Nothing) {
            // A store has it still, where the session goes.
            Feeding::Nothing if moving && !in_turn => return false,
            Feeding::Nothing => match session.take_feed() {
                Some(feed) => {
                    self.feed = Feeding::Pulling(burst::pull(feed, self.server().budget()))
                }
                None => return false,
            },
            Feeding::Pulling(mut future) => match future.as_mut().poll(cx) {
                Poll::Pending => {
                    self.feed = Feeding::Pulling(future);
                    return false;
                }
                Poll::Ready(page) if page.stanzas.is_empty() => {}
                Poll::Ready(page) => {
                    for stanza in page.stanzas {
                        self.input(Input::Send(stanza.into()), scratch, now, cx);
                    }
                    self.page_sent();
                    self.feed = Feeding::Writing(page.feed);
                }
            },
            // What only this process has goes into the stream before the session goes away.
            Feeding::Writing(feed) if moving && in_turn => {
                self.feed = Feeding::Pulling(burst::pull(feed, self.server().budget()));
            }
            Feeding::Writing(feed) if moving => self.feed = Feeding::Pausing(burst::pause(feed)),
            Feeding::Pausing(mut pausing) => match pausing.as_mut().poll(cx) {
                Poll::Pending => {
                    self.feed = Feeding::Pausing(pausing);
                    return false;
                }
                Poll::Ready((feed, true)) => self.feed = Feeding::Paused(feed),
                Poll::Ready((feed, false)) => {
                    self.feed = Feeding::Pulling(burst::pull(feed, self.server().budget()));
                }
            },
            Feeding::Paused(feed) if moving && !in_turn => {
                self.feed = Feeding::Paused(feed);
                return false;
            }
            Feeding::Paused(feed) => self.feed = Feeding::Writing(feed),
            // What nobody takes stays where it is for now, and so does what comes behind it: in
            // the store it is safer.
            Feeding::Writing(feed)
                if self.is_written(scratch) && !self.detached && self.is_page_safe() =>
            {
                self.feed = Feeding::Pulling(burst::pull(feed, self.server().budget()));
            }
            writing @ Feeding::Writing(_) => {
                self.feed = writing;
                return false;
            }
        }
        true
    }

    /// What waits for the client, unless a burst comes first or it is not reading.
    pub(super) fn poll_queue(
        &mut self,
        scratch: &mut Scratch,
        now: Now,
        cx: &mut Context<'_>,
    ) -> bool {
        let Some(session) = &self.session else {
            return false;
        };
        let pressed = self.is_moving() && self.has_bursts_in_turn();
        let waits = self.is_held() || !self.unsent.is_empty();
        if waits && !pressed || !matches!(self.feed, Feeding::Nothing) {
            return false;
        }
        let Some(envelopes) = session.take(4 * CHUNK) else {
            return false;
        };
        for envelope in envelopes {
            self.input(Input::Send(envelope), scratch, now, cx);
        }
        true
    }

    /// Sends what waits for the client before its session ends, as far as it reads. What it
    /// is not given stays in the queue, and goes the way it would have gone without it.
    pub(super) fn drain_queue(&mut self, scratch: &mut Scratch, now: Now, cx: &mut Context<'_>) {
        let Some(session) = self.session.clone() else {
            return;
        };
        // What comes meanwhile is too late.
        let (_, mut waiting) = session.queue().depth();
        // Nor does it overtake a burst.
        while waiting > 0
            && matches!(self.feed, Feeding::Nothing)
            && self.unsent.is_empty()
            && let Some(envelopes) = session.take(CHUNK)
        {
            for envelope in envelopes {
                waiting = waiting.saturating_sub(envelope.stanza.size());
                self.input(Input::Send(envelope), scratch, now, cx);
            }
            if self.write(scratch, now, cx).is_err() {
                return; // found again when the rest is written
            }
        }
    }

    /// From now on, if not before, the stream keeps what it sends.
    pub(super) fn keeps(&mut self) {
        if self.keeping == Keeping::Nothing {
            self.keeping = Keeping::Some;
        }
    }

    pub(super) fn is_held(&self) -> bool {
        self.keeping == Keeping::Enough
    }

    pub(super) fn is_written(&self, scratch: &Scratch) -> bool {
        self.unsent.is_empty() && scratch.write.is_empty() && !self.flushing
    }

    /// Writes what the turn produced: once, however many stanzas it is.
    pub(super) fn write(
        &mut self,
        scratch: &mut Scratch,
        now: Now,
        cx: &mut Context<'_>,
    ) -> io::Result<()> {
        if !scratch.write.is_empty() && self.unsent.is_empty() {
            let mut outputs = std::mem::take(&mut scratch.outputs);
            self.stream.handle(Input::Flush, now, &mut outputs);
            for output in outputs.drain(..) {
                self.perform(output, scratch, now, cx);
            }
            scratch.outputs = outputs;
        }
        if !self.unsent.is_empty() {
            let mut unsent = std::mem::take(&mut self.unsent);
            unsent.append(&mut scratch.write);
            let written = self.write_some(&unsent, cx)?;
            scratch.sent.bytes(written);
            if written < unsent.len() {
                unsent.drain(..written);
                self.unsent = unsent;
            }
        } else if !scratch.write.is_empty() {
            let written = self.write_some(&scratch.write, cx)?;
            scratch.sent.bytes(written);
            self.unsent.extend_from_slice(&scratch.write[written..]);
            scratch.write.clear();
        }
        if self.flushing && self.wire.poll_flush(cx)?.is_ready() {
            self.flushing = false;
        }
        if self.unsent.is_empty() {
            for envelope in self.take_unwritten() {
                envelope.settle(Outcome::Settled);
            }
        }
        Ok(())
    }

    pub(super) fn write_some(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> io::Result<usize> {
        let mut written = 0;
        while written < bytes.len() {
            match self.wire.poll_write(cx, &bytes[written..])? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(n) => {
                    written += n;
                    self.flushing = true;
                }
                Poll::Pending => break,
            }
        }
        Ok(written)
    }

    pub(super) fn take_unwritten(&mut self) -> Vec<Envelope> {
        self.unwritten
            .take()
            .map_or_else(Vec::new, |unwritten| unwritten.0)
    }
}
