//! One connection between servers: a task that moves bytes between the socket and the stream.
//!
//! It is one `poll`, as a client's connection is: one read and one write a turn, however many stanzas that is. There are far
//! fewer of these, so they keep what they need and need not be small.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tokio::time::Sleep;

use super::Shared;
use super::handle::{Handle, State};
use crate::BareJid;
use crate::io::connection::Charged;
use crate::io::limits::Ticket;
use crate::io::settlements::Settlements;
use crate::io::tls::Shown;
use crate::io::wire::Wire;
use crate::io::zlib::Unpacker;
use crate::machine::Machine as _;
use crate::mailbox::{Envelope, Settlement, SmPoint};
use crate::metrics::Tally;
use crate::s2s::links::{self, LinkId};
use crate::s2s::{BoxStream, Pair};
use crate::sasl::Channel;
use crate::stanza::Stanza;
use crate::stream::{Input, Output, StreamCondition, StreamError};
use crate::time::Now;
use crate::xml::Reader;

mod end;
mod inbound;
mod outbound;
mod questions;

use outbound::Outbound;

/// One TLS record; also what is read at once.
const CHUNK: usize = 16 * 1024;
/// What is written by the stream and not taken by the socket before the link takes no more.
const BEHIND: usize = 4 * CHUNK;
/// How long a peer is waited for at most whose stream has ended without an error.
const FAREWELL: Duration = Duration::from_secs(1);
/// Turns in one go before other connections have theirs.
const TURNS: usize = 4;
/// Stanzas whose settlement is open before the peer is read no further.
const UNSETTLED: usize = 1024;

/// A connection and its stream.
pub(super) struct Connection {
    shared: Arc<Shared>,
    handle: Arc<Handle>,
    /// Of one that was accepted: its place among those that have proven nothing.
    ticket: Option<Ticket>,
    /// Of one that we have opened: our domain and the peer's.
    opened: Option<Pair>,
    wire: Wire,
    /// The peer's certificates.
    shown: Shown,
    reader: Reader,
    /// Of a stream that is compressed: what came and is not read.
    unpacker: Option<Unpacker>,
    stream: BoxStream,
    /// Read, but not yet given to the reader: something has to be found out or done first.
    unread: Vec<u8>,
    /// Whether anything but white space stands behind what the stream is being given.
    more: bool,
    outbound: Outbound,
    doing: Doing,
    /// Whether a question is open on which reading waits.
    asking: bool,
    /// The stream has given its connection up and waits for what is under way; the connection is closed by then.
    detached: Option<Instant>,
    /// What came for a stream without a connection.
    late: Vec<Envelope>,
    /// Stanzas from the peer that wait for the one in `doing`.
    waiting: VecDeque<(Stanza, Option<SmPoint>)>,
    unsettled: Settlements,
    /// What the stream is to be told when it has said all that it has to say.
    answers: VecDeque<Input>,
    /// What is held beside, taken from the budget.
    charged: Charged,
    /// What the link manager is to be told at the end of the turn.
    news: Vec<links::Input>,
    /// The domains that the peer has proven to be its own.
    senders: Vec<BareJid>,
    /// [Which](super::Peers::changes) rules these have been held to.
    rules: Option<u64>,
    /// What the link manager has for the stream, taken together.
    inputs: VecDeque<Input>,
    /// How many times longer than others the peer is waited for.
    patience: u32,
    /// The stream error that we have sent.
    error: Option<StreamCondition>,
    /// It was lost while its stream was open.
    broken: bool,
    sleep: Pin<Box<Sleep>>,
    sleeps_until: Instant,
    armed: bool,
    phase: Phase,
    received: Tally,
    sent: Tally,
    outputs: Vec<Output>,
}

/// What the peer has to wait for.
enum Doing {
    Nothing,
    Dispatching(BoxFuture<'static, Settlement>),
    Securing(BoxFuture<'static, io::Result<(Wire, Shown)>>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The stream has ended; what is written goes out.
    Draining,
    /// Our side is closed. What the peer still sends is read and forgotten, so that its last words do not reset the connection
    /// and lose ours.
    Lingering,
    Over,
}

/// What a connection begins with.
pub(super) struct Parts {
    pub(super) handle: Arc<Handle>,
    pub(super) wire: Wire,
    pub(super) shown: Shown,
    pub(super) stream: BoxStream,
    pub(super) ticket: Option<Ticket>,
    pub(super) opened: Option<Pair>,
}

impl Connection {
    pub(super) fn new(shared: Arc<Shared>, parts: Parts) -> Connection {
        let now = shared.server.now();
        let reader = Reader::new(shared.config.xml_before_proof.clone());
        parts.handle.facts().encrypted = parts.wire.is_encrypted();
        Connection {
            handle: parts.handle,
            ticket: parts.ticket,
            opened: parts.opened,
            wire: parts.wire,
            shown: parts.shown,
            reader,
            unpacker: None,
            stream: parts.stream,
            unread: Vec::new(),
            more: false,
            outbound: Outbound::default(),
            doing: Doing::Nothing,
            asking: false,
            detached: None,
            late: Vec::new(),
            waiting: VecDeque::new(),
            unsettled: Settlements::default(),
            answers: VecDeque::new(),
            charged: Charged::default(),
            news: Vec::new(),
            senders: Vec::new(),
            rules: None,
            inputs: VecDeque::new(),
            patience: 1,
            error: None,
            broken: false,
            sleep: Box::pin(tokio::time::sleep_until(now.instant.into())),
            sleeps_until: now.instant,
            armed: false,
            phase: Phase::Open,
            received: Tally::default(),
            sent: Tally::default(),
            outputs: Vec::new(),
            shared,
        }
    }

    /// So long, or longer for a peer that is waited for longer.
    fn patient(&self, time: Duration) -> Duration {
        time.saturating_mul(self.patience)
    }

    fn id(&self) -> LinkId {
        self.handle.id
    }

    /// Gives the stream an input, and then all answers to what it asks.
    fn input(&mut self, input: Input, now: Now, cx: &mut Context<'_>) {
        let mut outputs = std::mem::take(&mut self.outputs);
        self.stream.handle(input, now, &mut outputs);
        self.perform_all(&mut outputs, now, cx);
        self.outputs = outputs;
    }

    fn perform_all(&mut self, outputs: &mut Vec<Output>, now: Now, cx: &mut Context<'_>) {
        loop {
            for output in outputs.drain(..) {
                self.perform(output, now, cx);
            }
            let Some(answer) = self.answers.pop_front() else {
                return;
            };
            self.stream.handle(answer, now, outputs);
        }
    }

    fn perform(&mut self, output: Output, now: Now, cx: &mut Context<'_>) {
        match output {
            Output::Write(bytes) => self.outbound.write(&bytes),
            Output::Send(envelope) => {
                self.sent.stanza(envelope.stanza.kind());
                let size = envelope.stanza.size();
                if self.outbound.send(envelope) {
                    self.written(size);
                }
            }
            Output::Deliver(stanza, point) => {
                self.received.stanza(stanza.kind());
                self.deliver(stanza, point, now, cx);
            }
            Output::Restart => self.reader.restart(),
            Output::StartTls(proceed) => self.start_tls(proceed),
            Output::S2s(output) => self.perform_s2s(output),
            Output::Return(envelope) => self.news.push(links::Input::Lost(self.id(), envelope)),
            Output::Resumable(name) => self.news.push(links::Input::Resumable(self.id(), name)),
            Output::Hold(hold) => self.news.push(links::Input::Hold(self.id(), hold)),
            Output::Close(error) => {
                tracing::debug!(
                    error = error.as_ref().map(|error| error.name()),
                    "stream ends"
                );
                if let Some(error) = &error {
                    self.shared.server.metrics().s2s.stream_failed(error);
                }
                self.phase = Phase::Draining;
                self.handle.facts().state = State::Closing;
                self.error = error;
                // Nothing more is read.
                self.unread = Vec::new();
                self.leave();
                let limit = self.patient(self.shared.config.timeouts.close);
                self.sleep.as_mut().reset((now.instant + limit).into());
            }
            Output::Detach => {
                let limit = self.patient(self.shared.config.timeouts.close);
                self.detached = Some(now.instant + limit);
            }
            // A session that ends says so itself; of streams between servers none says the others.
            Output::NotResumable(_)
            | Output::Reattach(_)
            | Output::Refuse(_)
            | Output::Stranger(_)
            | Output::Suspended(_)
            | Output::LoggedIn { .. }
            | Output::Ask(_)
            | Output::Resume { .. } => {}
        }
    }

    /// One turn while the stream is open. `true` if something happened and another look is worth it.
    fn turn(&mut self, now: Now, cx: &mut Context<'_>) -> bool {
        let mut busy = self.check_rules(now, cx);
        busy |= self.poll_doing(now, cx);
        busy |= self.poll_settlements(now, cx);
        busy |= self.poll_inputs(now, cx);
        busy |= self.poll_read(now, cx);
        busy |= self.poll_timer(now, cx);
        busy
    }

    fn poll_doing(&mut self, now: Now, cx: &mut Context<'_>) -> bool {
        match &mut self.doing {
            Doing::Nothing if self.unread.is_empty() || self.asking => return false,
            Doing::Nothing => {}
            Doing::Dispatching(future) => {
                let Poll::Ready(settlement) = future.as_mut().poll(cx) else {
                    return false;
                };
                self.doing = Doing::Nothing;
                self.settle(settlement, now);
                while matches!(self.doing, Doing::Nothing) {
                    let Some((stanza, point)) = self.waiting.pop_front() else {
                        break;
                    };
                    self.deliver(stanza, point, now, cx);
                }
                self.answer(now, cx);
            }
            Doing::Securing(future) => {
                let Poll::Ready(result) = future.as_mut().poll(cx) else {
                    return false;
                };
                self.doing = Doing::Nothing;
                match result {
                    Ok((wire, shown)) => {
                        (self.wire, self.shown) = (wire, shown);
                        self.reader.restart();
                        self.handle.facts().encrypted = true;
                        let channel = Channel {
                            tls: true,
                            ..Channel::default()
                        };
                        self.input(Input::Secured(channel), now, cx);
                    }
                    Err(error) => {
                        tracing::debug!(%error, "TLS handshake failed");
                        self.lost(now, cx);
                        return true;
                    }
                }
            }
        }
        // What came meanwhile.
        let unread = std::mem::take(&mut self.unread);
        self.consume(&unread, now, cx);
        true
    }

    fn poll_timer(&mut self, now: Now, cx: &mut Context<'_>) -> bool {
        if self.phase != Phase::Open {
            return false;
        }
        let settle = self.unsettled.until();
        let stalled = self.outbound.until(self.patient(self.shared.config.stall));
        let closed = self.detached.filter(|_| !matches!(self.wire, Wire::Gone));
        let times = self.stream.next_timeout().into_iter();
        let Some(due) = times.chain(settle).chain(stalled).chain(closed).min() else {
            return false;
        };
        if due <= now.instant {
            let over = |time: Option<Instant>| time.is_some_and(|time| time <= now.instant);
            if over(stalled) || over(closed) {
                tracing::debug!("the peer does not read");
                self.lost(now, cx);
                return true;
            }
            let mut outputs = std::mem::take(&mut self.outputs);
            self.stream.handle_timeout(now, &mut outputs);
            self.perform_all(&mut outputs, now, cx);
            self.outputs = outputs;
            return true;
        }
        // A timer that fires too early is left alone: then it is looked at again.
        if !self.armed || due < self.sleeps_until || now.instant >= self.sleeps_until {
            self.sleeps_until = due;
            self.sleep.as_mut().reset(due.into());
            self.armed = self.sleep.as_mut().poll(cx).is_pending();
            return !self.armed;
        }
        false
    }

    fn poll_with(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.handle.control.register(cx);
        // Once: what several turns take is no time.
        let now = self.shared.server.now();
        for _ in 0..TURNS {
            let behind = self.outbound.is_behind();
            let mut busy = self.check_end(now, cx);
            busy |= self.phase == Phase::Open && self.turn(now, cx);
            let mut written = self.write(now, cx);
            if written.is_ok() && !self.charge() {
                // RFC 6120 §4.9.3.17: "The server lacks the system resources necessary to service the stream."
                let error = StreamError::new(StreamCondition::ResourceConstraint);
                self.input(Input::Close(Some(error)), now, cx);
                written = self.write(now, cx);
            }
            if written.is_err() {
                self.lost(now, cx);
                busy = true;
            }
            busy |= behind && !self.outbound.is_behind();
            if self.detached.is_some()
                && self.outbound.is_written()
                && self.wire.poll_shutdown(cx).is_ready()
            {
                self.wire = Wire::Gone;
            }
            match self.phase {
                Phase::Open if busy => continue,
                Phase::Open => return Poll::Pending,
                // A peer that neither reads nor closes does not keep its place.
                Phase::Draining | Phase::Lingering if self.sleep.as_mut().poll(cx).is_ready() => {
                    self.phase = Phase::Over;
                }
                Phase::Draining if matches!(self.wire, Wire::Gone) => self.phase = Phase::Over,
                Phase::Draining => {
                    if !self.outbound.is_written() || self.wire.poll_shutdown(cx).is_pending() {
                        return Poll::Pending;
                    }
                    if self.error.is_none() {
                        // Both have had their last words, or we have waited for the peer's.
                        let limit = self.shared.config.timeouts.close.min(FAREWELL);
                        self.sleep.as_mut().reset((now.instant + limit).into());
                    }
                    self.report_end();
                    self.phase = Phase::Lingering;
                }
                Phase::Lingering => {
                    if !self.peer_is_done(cx) {
                        return Poll::Pending;
                    }
                    self.phase = Phase::Over;
                }
                Phase::Over => {
                    self.report_end();
                    return Poll::Ready(());
                }
            }
        }
        // Others have their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Settles with the server's budget what this connection holds; `false` if there is no room for a stanza of which a part
    /// has come.
    fn charge(&mut self) -> bool {
        let free = self.shared.config.xml_before_proof.stanza_bytes;
        let packed = self.unpacker.as_ref().map_or(0, Unpacker::held);
        let rest = self.unread.capacity() + packed + self.outbound.held();
        let (partial, budget) = (self.reader.held(), self.shared.server.budget());
        self.charged.charge(rest, partial, free, budget)
    }

    /// What this turn has brought is told and counted.
    fn tell(&mut self) {
        let metrics = &self.shared.server.metrics().s2s;
        let (received, sent) = (self.received.counted_bytes(), self.sent.counted_bytes());
        self.handle.count(received, sent);
        self.received.settle(&metrics.received);
        self.sent.settle(&metrics.sent);
        self.shared.post.tell(&mut self.news);
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let poll = self.poll_with(cx);
        self.tell();
        poll
    }
}
