//! From one node to another, in order and once, whatever the way loses.
//!
//! The engines lose what is under way when a connection is cut, and say nothing of it. A [`Link`] numbers parcels, keeps them until the
//! other side has them, and sends again what is missing; the other side drops copies and what comes before its turn. It is
//! for one pair of nodes in one of their lives each, and knows no addresses.
//!
//! What arrives is *had* by the other node, in its memory. Whether it is safe there is for whoever reads the parcels to say.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use xmpp_core::machine::Machine;
use xmpp_core::time::{Now, Timestamp};
use xmpp_sm::{AckError, Counter, Outbound};

use crate::frame::{Ack, Body, Data};

/// Bounds and times of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes under way, not acknowledged; default 256 KiB. One parcel goes whatever its size.
    pub window: usize,
    /// Bytes of one frame's parcels; default 64 KiB. One parcel goes whatever its size.
    pub frame: usize,
    /// Bytes that wait behind the window; default 8 MiB.
    pub backlog: usize,
    /// Parcels under way and waiting, together; default 65 536.
    pub parcels: usize,
    /// How long nothing is acknowledged before all is sent again; default 500 ms. It doubles each time, up to eight times of it.
    pub resend: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            window: 256 << 10,
            frame: 64 << 10,
            backlog: 8 << 20,
            parcels: 65_536,
            resend: Duration::from_millis(500),
        }
    }
}

/// The link cannot take a parcel: a bound of [`Limits`] is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too much waits for that node")]
pub struct Full;

/// What happens to a link.
#[derive(Clone, Debug)]
pub enum Input {
    /// The other node can be reached, perhaps by another way than before.
    Up,
    /// It cannot.
    Down,
    /// Parcels have come.
    Data(Data),
    /// An acknowledgement has come.
    Ack(Ack),
    /// All that was to be handled now has been: what is to be sent is sent, with what is owed to the other side.
    Flush,
}

/// What a link wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// This is to be sent: [`Body::Data`] or [`Body::Ack`].
    Transmit(Body),
    /// The next parcel has come.
    Deliver(Bytes),
    /// The other side has so many parcels more.
    Acked(usize),
    /// The other side has given up what it had sent and this one may not have: answers may be among it. Comes before what it has
    /// sent since.
    Reset,
    /// The other side acknowledges what makes no sense; nothing has changed.
    Nonsense(AckError),
}

/// What a link counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Parcels that were sent once more.
    pub resent: u64,
    /// Parcels that had come already, or whose epoch is over.
    pub copies: u64,
    /// Frames that came before their turn.
    pub early: u64,
}

/// One side of a link.
#[derive(Debug)]
pub struct Link {
    limits: Limits,
    up: bool,
    epoch: u64,
    /// Under way.
    sent: Outbound<Bytes>,
    sent_bytes: usize,
    /// Behind the window.
    backlog: VecDeque<Bytes>,
    backlog_bytes: usize,
    /// When to send again what is under way.
    resend: Option<Instant>,
    /// How often that was done in vain.
    attempts: u32,
    /// Up to which parcel, sent when, an acknowledgement tells how long the way is.
    probe: Option<(Counter, Instant)>,
    round_trip: Option<Duration>,
    heard: Heard,
    counts: Counts,
}

/// Epochs of one link, one for each time that it is given up; then follow those of a link that was made later.
const EPOCHS: u64 = 1 << 16;

/// The other direction.
#[derive(Debug, Default)]
struct Heard {
    epoch: u64,
    handled: Counter,
    /// Whether the other side is to be told.
    owed: bool,
    gap: bool,
}

impl Link {
    /// A link that has carried nothing, to a node that is not known to be there. Of two for the same pair of lives (the first was
    /// forgotten by one side alone) the later one is made with the later `since`.
    pub fn new(limits: Limits, since: Timestamp) -> Link {
        let since = u64::try_from(since.0).unwrap_or_default();
        Link {
            limits,
            up: false,
            epoch: since.saturating_add(1).saturating_mul(EPOCHS),
            sent: Outbound::default(),
            sent_bytes: 0,
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            resend: None,
            attempts: 0,
            probe: None,
            round_trip: None,
            heard: Heard::default(),
            counts: Counts::default(),
        }
    }

    /// Takes a parcel, to send it with the next [flush](Input::Flush).
    pub fn send(&mut self, parcel: Bytes) -> Result<(), Full> {
        let waiting = self.backlog_bytes.saturating_add(parcel.len());
        if self.len() >= self.limits.parcels || waiting > self.limits.backlog {
            return Err(Full);
        }
        self.backlog_bytes = waiting;
        self.backlog.push_back(parcel);
        Ok(())
    }

    /// Gives up what the other side is not known to have, oldest first: it goes another way. The other side
    /// drops what comes of it yet.
    pub fn give_up(&mut self) -> VecDeque<Bytes> {
        self.epoch += 1;
        self.sent_bytes = 0;
        self.backlog_bytes = 0;
        self.resend = None;
        self.attempts = 0;
        self.probe = None;
        let mut all = std::mem::take(&mut self.sent).into_waiting();
        all.append(&mut self.backlog);
        all
    }

    /// Parcels that the other side is not known to have.
    pub fn len(&self) -> usize {
        self.sent.waiting().len() + self.backlog.len()
    }

    /// Whether the other side has everything.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of these.
    pub fn bytes(&self) -> usize {
        self.sent_bytes + self.backlog_bytes
    }

    /// How long an acknowledgement takes, smoothed; `None` before the first.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// What it counts.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn data(&mut self, data: Data, out: &mut Vec<Output>) {
        let heard = &mut self.heard;
        if data.epoch < heard.epoch {
            self.counts.copies += data.parcels.len() as u64;
            return;
        }
        if data.epoch > heard.epoch {
            if heard.epoch != 0 || !data.epoch.is_multiple_of(EPOCHS) {
                out.push(Output::Reset);
            }
            *heard = Heard {
                epoch: data.epoch,
                ..Heard::default()
            };
        }
        heard.owed = true;
        let Some(known) = heard.handled.since(data.after) else {
            self.counts.early += 1;
            heard.gap = true;
            return;
        };
        let known = (known as usize).min(data.parcels.len());
        self.counts.copies += known as u64;
        for parcel in data.parcels.into_iter().skip(known) {
            heard.handled = heard.handled.plus(1);
            heard.gap = false;
            out.push(Output::Deliver(parcel));
        }
    }

    fn ack(&mut self, ack: Ack, now: Now, out: &mut Vec<Output>) {
        if ack.epoch != self.epoch {
            return;
        }
        match self.sent.ack(ack.handled) {
            Ok(had) if had.is_empty() => {
                // Once in a while is enough: every frame behind the one that is lost has such an answer.
                if ack.gap && self.attempts == 0 && !self.sent.waiting().is_empty() {
                    self.again(now, out);
                }
            }
            Ok(had) => {
                self.sent_bytes -= had.iter().map(Bytes::len).sum::<usize>();
                self.attempts = 0;
                self.measure(now);
                self.resend =
                    (!self.sent.waiting().is_empty()).then(|| now.instant + self.limits.resend);
                out.push(Output::Acked(had.len()));
            }
            // Overtaken by a later one.
            Err(AckError::Backwards { .. }) => {}
            Err(error) => out.push(Output::Nonsense(error)),
        }
    }

    fn measure(&mut self, now: Now) {
        let acked = self.sent.acked();
        let Some((_, sent)) = self
            .probe
            .take_if(|(until, _)| acked.since(*until).is_some())
        else {
            return;
        };
        let took = now.instant.saturating_duration_since(sent);
        self.round_trip = Some(match self.round_trip {
            Some(before) => (before * 7 + took) / 8,
            None => took,
        });
    }

    /// Sends what fits into the window, and what is owed.
    fn flush(&mut self, now: Now, out: &mut Vec<Output>) {
        if !self.up {
            return;
        }
        let first = self.sent.waiting().len();
        while let Some(parcel) = self.backlog.front() {
            let fits = self.sent_bytes + parcel.len() <= self.limits.window;
            if !fits && !self.sent.waiting().is_empty() {
                break;
            }
            self.backlog_bytes -= parcel.len();
            self.sent_bytes += parcel.len();
            self.sent.sent(parcel.clone(), now.instant);
            self.backlog.pop_front();
        }
        if self.backlog.is_empty() {
            self.backlog = VecDeque::new();
        }
        if self.sent.waiting().len() > first {
            self.probe.get_or_insert((self.sent.count(), now.instant));
            self.resend.get_or_insert(now.instant + self.limits.resend);
            self.transmit(first, out);
        }
        if let Some(ack) = self.take_ack() {
            out.push(Output::Transmit(Body::Ack(ack)));
        }
    }

    /// Sends what is under way once more.
    fn again(&mut self, now: Now, out: &mut Vec<Output>) {
        // Which copy is acknowledged nobody can say.
        self.probe = None;
        self.counts.resent += self.sent.waiting().len() as u64;
        self.attempts = (self.attempts + 1).min(3);
        self.resend = Some(now.instant + self.limits.resend * (1 << self.attempts));
        self.transmit(0, out);
    }

    /// Sends what is under way from its `first` parcel on, in frames.
    fn transmit(&mut self, first: usize, out: &mut Vec<Output>) {
        let mut after = self.sent.acked().plus(first as u32);
        let mut parcels = Vec::new();
        let mut bytes = 0;
        let mut ack = self.take_ack();
        let mut frame = |after, parcels: &mut Vec<Bytes>| {
            let parcels = std::mem::take(parcels);
            let (epoch, ack) = (self.epoch, ack.take());
            out.push(Output::Transmit(Body::Data(Data {
                epoch,
                after,
                parcels,
                ack,
            })));
        };
        for parcel in self.sent.waiting().range(first..) {
            if !parcels.is_empty() && bytes + parcel.len() > self.limits.frame {
                let sent = parcels.len() as u32;
                frame(after, &mut parcels);
                after = after.plus(sent);
                bytes = 0;
            }
            bytes += parcel.len();
            parcels.push(parcel.clone());
        }
        if !parcels.is_empty() {
            frame(after, &mut parcels);
        }
    }

    fn take_ack(&mut self) -> Option<Ack> {
        let Heard {
            epoch,
            handled,
            gap,
            ..
        } = self.heard;
        std::mem::take(&mut self.heard.owed).then_some(Ack {
            epoch,
            handled,
            gap,
        })
    }
}

impl Machine for Link {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, input: Input, now: Now, out: &mut Vec<Output>) {
        match input {
            Input::Up => {
                self.up = true;
                self.attempts = 0;
                if !self.sent.waiting().is_empty() {
                    self.again(now, out);
                    self.attempts = 0;
                }
                self.flush(now, out);
            }
            Input::Down => {
                self.up = false;
                self.resend = None;
            }
            Input::Data(mut data) => {
                let ack = data.ack.take();
                self.data(data, out);
                if let Some(ack) = ack {
                    self.ack(ack, now, out);
                }
            }
            Input::Ack(ack) => self.ack(ack, now, out),
            Input::Flush => self.flush(now, out),
        }
    }

    fn handle_timeout(&mut self, now: Now, out: &mut Vec<Output>) {
        if self.up && self.resend.is_some_and(|at| at <= now.instant) {
            self.again(now, out);
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.resend
    }
}

#[cfg(test)]
mod tests;
