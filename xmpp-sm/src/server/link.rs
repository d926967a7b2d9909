//! What both sides of a managed stream do alike.

use std::sync::Arc;
use std::time::Instant;

use xmpp_core::machine::Machine as _;
use xmpp_core::mailbox::Envelope;
use xmpp_core::s2s::{self, Pair, Session};
use xmpp_core::stanza::Condition;
use xmpp_core::stream::{Input, Output, StreamCondition, StreamError};
use xmpp_core::time::Now;
use xmpp_core::xml::Received;

use super::Surroundings;
use super::running::Running;
use crate::counter::Counter;
use crate::nonza::{Nonza, ack, failed, too_high};
use crate::outbound::AckError;

mod end;

/// A stream with what its management knows of it.
pub(super) struct Link {
    inner: s2s::BoxStream,
    pub(super) shared: Arc<Surroundings>,
    side: Side,
    /// The pairs that are proven, each way.
    pub(super) granted: Vec<Pair>,
    pub(super) accepted: Vec<Pair>,
    /// What is granted is not told yet: it is open what the stream goes on with.
    withheld: Option<Vec<Pair>>,
    /// Delivered when nothing was counted, and not settled.
    uncounted: usize,
    running: Option<Box<Running>>,
    /// One side has said that it ends the stream: what ends now has not been cut.
    closing: bool,
    /// The peer has closed its side, and not all that it has sent is settled.
    parting: bool,
    /// The connection is gone, or another one takes the session over.
    lost: bool,
    /// The stream within has ended so; what was delivered is not all settled.
    draining: Option<Option<StreamCondition>>,
    /// The stream within has ended.
    over: bool,
    /// What was handed over when one side had closed the stream. It is newer than what waits to be acknowledged, and comes back behind
    /// that; there is no more of it than a link is handed before it has written any.
    unsent: Vec<Envelope>,
    /// The peer is waited for longer than others.
    patient: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// It opened the connection.
    Initiator,
    /// It accepted it.
    Receiver,
}

impl Link {
    pub(super) fn new(inner: s2s::BoxStream, side: Side, shared: Arc<Surroundings>) -> Link {
        Link {
            inner,
            shared,
            side,
            granted: Vec::new(),
            accepted: Vec::new(),
            withheld: Some(Vec::new()),
            uncounted: 0,
            running: None,
            closing: false,
            parting: false,
            lost: false,
            draining: None,
            over: false,
            unsent: Vec::new(),
            patient: false,
        }
    }

    /// From the first header on it is known for how long the peer is waited for.
    fn be_patient(&mut self, known: s2s::Known) {
        let patience = known.policy.map_or(1, |policy| policy.patience);
        if patience <= 1 || std::mem::replace(&mut self.patient, true) {
            return;
        }
        self.shared = Arc::new(Surroundings {
            options: self.shared.options.patient(patience),
            random: self.shared.random.clone(),
            budget: self.shared.budget.clone(),
        });
    }

    /// Whether elements of management may be written.
    pub(super) fn is_open(&self) -> bool {
        self.inner.is_open()
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.inner.is_encrypted()
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Whether the stream has ended.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Whether there is no connection any more.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.is_some()
    }

    /// Whether something is granted that is not told.
    pub(super) fn is_withholding(&self) -> bool {
        self.withheld
            .as_ref()
            .is_some_and(|pairs| !pairs.is_empty())
    }

    /// Counts from here on.
    pub(super) fn run(&mut self, running: Running) {
        self.running = Some(Box::new(running));
    }

    /// It is known what the stream goes on with: tells what is granted.
    pub(super) fn release(&mut self, out: &mut Vec<Output>) {
        let pairs = self.withheld.take().unwrap_or_default();
        let granted = |pair| Output::S2s(s2s::Output::Granted(pair));
        out.extend(pairs.into_iter().map(granted));
        self.hold(out);
    }

    /// A stanza, or what was to be one.
    fn stanza(&mut self, received: Received, now: Now, out: &mut Vec<Output>) {
        let point = self.running.as_mut().map(|running| running.received());
        let before = out.len();
        self.pass(Input::Received(received), now, out);
        let delivered = out[before..].iter_mut().find_map(|output| match output {
            Output::Deliver(_, point) => Some(point),
            _ => None,
        });
        match (delivered, point, &mut self.running) {
            (Some(delivered), Some(point), _) => *delivered = Some(point),
            (Some(_), None, _) => self.uncounted += 1,
            // The stream has answered it, perhaps by its own end.
            (None, Some(_), Some(running)) => {
                running.inbound.answered();
                if self.draining.is_some() {
                    self.drained(out);
                }
            }
            (None, ..) => {}
        }
    }

    /// What both sides may send on a managed stream; `false` if it is not one.
    pub(super) fn counted(&mut self, nonza: &Nonza, now: Now, out: &mut Vec<Output>) -> bool {
        let open = self.inner.is_open();
        let Some(running) = &mut self.running else {
            return false;
        };
        match nonza {
            Nonza::Request if open => {
                let h = running.inbound.asked();
                out.push(ack(h));
            }
            Nonza::Request => {}
            Nonza::Ack(Some(h)) => match running.acknowledged(*h, out) {
                Ok(()) => running.hold(out),
                Err(AckError::TooHigh { h, sent }) => self.fail(too_high(h, sent), now, out),
                // An answer that something has overtaken.
                Err(AckError::Backwards { .. }) => {}
            },
            // §4: "An <a/> element MUST possess an 'h' attribute."
            Nonza::Ack(None) => {
                self.fail(StreamError::new(StreamCondition::InvalidXml), now, out);
            }
            Nonza::Enable { .. } | Nonza::Resume(_) => return false,
        }
        true
    }

    /// Goes on with a session, of which the peer has handled `h`; what of the session is not for this stream comes out.
    pub(super) fn resume(
        &mut self,
        session: Box<Session>,
        h: Counter,
        out: &mut Vec<Output>,
    ) -> Result<&mut Running, (Box<Session>, AckError)> {
        let sent = Counter(session.acked).plus(session.queue.len() as u32);
        let acked = Counter(session.acked);
        // Asked before anything is touched, so that who says nonsense changes nothing.
        let error = match (h.since(acked), sent.since(h)) {
            (Some(_), Some(_)) => None,
            (None, _) => Some(AckError::Backwards { h, acked }),
            (Some(_), None) => Some(AckError::TooHigh { h, sent }),
        };
        if let Some(error) = error {
            return Err((session, error));
        }
        let mut running = Running::restored(*session, self.shared.clone());
        running
            .acknowledged(h, out)
            .expect("it is between what was acknowledged and what was sent");
        Ok(self.running.insert(Box::new(running)))
    }

    /// Sends again what waits.
    pub(super) fn again(&mut self, out: &mut Vec<Output>) {
        if let Some(running) = &mut self.running {
            running.again(&self.granted, out);
        }
    }

    /// Ends the stream with an error.
    pub(super) fn fail(&mut self, error: StreamError, now: Now, out: &mut Vec<Output>) {
        self.pass(Input::Close(Some(error)), now, out);
    }

    /// Handles what is the same on both sides.
    pub(super) fn input(&mut self, input: Input, now: Now, out: &mut Vec<Output>) {
        match input {
            Input::S2s(s2s::Input::Known(_, known)) => {
                self.be_patient(known);
                self.pass(input, now, out);
            }
            // There is no connection that it could have come over, or that could be closed.
            Input::Received(_) | Input::Close(_) if self.draining.is_some() => {}
            Input::Received(Received::Close) => self.part(now, out),
            Input::Received(received @ (Received::Stanza(_) | Received::Malformed(_))) => {
                self.stanza(received, now, out);
            }
            Input::Close(_) => {
                self.closing = true;
                if self.is_open()
                    && let Some(running) = &mut self.running
                {
                    running.last_word(out);
                }
                self.pass(input, now, out);
            }
            // There would be no place for it in the sequence.
            Input::Send(envelope) if self.withheld.is_some() => {
                out.push(Output::S2s(s2s::Output::Unsent(envelope)));
            }
            Input::Settled if self.uncounted > 0 => {
                self.uncounted -= 1;
                self.pass(input, now, out);
            }
            Input::Settled => self.settled(now, out),
            Input::Flush => {
                if self.is_open()
                    && let Some(running) = &mut self.running
                {
                    running.flush(now, out);
                }
                self.pass(input, now, out);
            }
            Input::S2s(s2s::Input::Claimed(claim)) => self.claimed(claim, now, out),
            Input::Eof => self.lost(now, out),
            input => self.pass(input, now, out),
        }
    }

    fn settled(&mut self, now: Now, out: &mut Vec<Output>) {
        if let Some(running) = &mut self.running {
            running.inbound.settled();
            if self.inner.is_open() {
                out.extend(running.inbound.due().map(ack));
            }
        }
        self.pass(Input::Settled, now, out);
        if self.draining.is_some() {
            self.drained(out);
        } else if self.parting && !self.is_delivering() {
            self.part(now, out);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Now, out: &mut Vec<Output>) {
        if self.draining.is_some() {
            return;
        }
        if let Some(running) = &mut self.running {
            if running.is_silent(now) {
                // Nobody is there.
                return self.lost(now, out);
            }
            if self.inner.is_open() {
                running.ask(now, out);
            }
        }
        let before = out.len();
        self.inner.handle_timeout(now, out);
        self.mind(before, now, out);
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        if self.draining.is_some() {
            return None;
        }
        let running = self.running.as_ref();
        let ours = running.and_then(|running| running.next_timeout());
        ours.into_iter().chain(self.inner.next_timeout()).min()
    }

    /// Hands an input to the stream within, and minds what comes of it.
    pub(super) fn pass(&mut self, input: Input, now: Now, out: &mut Vec<Output>) {
        let before = out.len();
        self.inner.handle(input, now, out);
        self.mind(before, now, out);
    }

    /// Looks through what the stream within wants done.
    fn mind(&mut self, before: usize, now: Now, out: &mut Vec<Output>) {
        let mut at = before;
        let closed = self.is_running() && !self.is_open();
        while at < out.len() {
            match &mut out[at] {
                Output::S2s(s2s::Output::Accepted(pair)) => self.accepted.push(pair.clone()),
                Output::S2s(s2s::Output::Granted(pair)) => {
                    if !self.granted.contains(pair) {
                        self.granted.push(pair.clone());
                    }
                    if let Some(withheld) = &mut self.withheld {
                        if !withheld.contains(pair) {
                            withheld.push(pair.clone());
                        }
                        out.remove(at);
                        continue;
                    }
                }
                Output::Send(envelope) => {
                    if let Some(running) = &mut self.running {
                        running.sent(envelope, now);
                    }
                }
                Output::S2s(s2s::Output::Unsent(_)) if closed => {
                    if let Output::S2s(s2s::Output::Unsent(envelope)) = out.remove(at) {
                        self.unsent.push(envelope);
                    }
                    continue;
                }
                Output::Close(condition) => {
                    let condition = condition.take();
                    out.truncate(at);
                    return self.end(condition, out);
                }
                _ => {}
            }
            at += 1;
        }
        self.hold(out);
    }

    fn hold(&mut self, out: &mut Vec<Output>) {
        if let Some(running) = &mut self.running {
            running.hold(out);
        }
    }
}

/// What was sent and may have arrived goes back, to be sent once more.
pub(super) fn late(sent: s2s::Sent) -> Output {
    Output::S2s(s2s::Output::Unsent(sent.late()))
}

pub(super) fn unexpected(out: &mut Vec<Output>) {
    out.push(failed(Condition::UnexpectedRequest, None));
}
