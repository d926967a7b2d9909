//! A session that has a connection: the counts of both directions, and what waits.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use xmpp_core::mailbox::{Envelope, Outcome, SmPoint};
use xmpp_core::s2s::{self, Pair, Sent, Session};
use xmpp_core::stream::Output;
use xmpp_core::time::Now;

use super::Surroundings;
use crate::counter::Counter;
use crate::inbound::Inbound;
use crate::nonza::{ack, request};
use crate::outbound::{AckError, Outbound};

pub(super) struct Running {
    pub(super) id: Arc<str>,
    /// How long it waits for its next connection, if it can have one.
    pub(super) max: Option<Duration>,
    pub(super) inbound: Inbound,
    outbound: Outbound<Sent>,
    /// Of what waits to be acknowledged.
    bytes: usize,
    held: bool,
    shared: Arc<Surroundings>,
}

impl Running {
    pub(super) fn new(id: Arc<str>, max: Option<Duration>, shared: Arc<Surroundings>) -> Running {
        Running {
            id,
            max,
            inbound: Inbound::default(),
            outbound: Outbound::default(),
            bytes: 0,
            held: false,
            shared,
        }
    }

    /// Goes on.
    pub(super) fn restored(session: Session, shared: Arc<Surroundings>) -> Running {
        let bytes = session.bytes();
        shared.budget.take_anyway(bytes);
        Running {
            id: session.id,
            max: Some(session.max),
            inbound: Inbound::restored(Counter(session.handled)),
            outbound: Outbound::restored(Counter(session.acked), session.queue),
            bytes,
            held: false,
            shared,
        }
    }

    /// A stanza came; gives its place.
    pub(super) fn received(&mut self) -> SmPoint {
        SmPoint {
            id: self.id.clone(),
            n: self.inbound.received().0,
        }
    }

    /// Keeps what is being sent, with whoever waits for it; a copy goes to the peer.
    pub(super) fn sent(&mut self, envelope: &mut Envelope, now: Now) {
        let copy = envelope.copy();
        let envelope = std::mem::replace(envelope, copy);
        let size = envelope.stanza.size();
        self.shared.budget.take_anyway(size);
        self.bytes += size;
        let at = now.utc;
        self.outbound.sent(Sent { envelope, at }, now.instant);
    }

    /// The peer says what it has handled.
    pub(super) fn acknowledged(
        &mut self,
        h: Counter,
        out: &mut Vec<Output>,
    ) -> Result<(), AckError> {
        let covered = self.outbound.ack(h)?;
        for sent in &covered {
            self.forget(sent);
        }
        acked(covered, out);
        Ok(())
    }

    /// The connection is another one, on which the peer has said what it has handled: what waits is sent again if its pair is granted, and
    /// leaves the session if it is not.
    ///
    /// XEP-0198 §5: "after processing it MUST re-send to the peer any stanzas that are still marked as unhandled"
    pub(super) fn again(&mut self, granted: &[Pair], out: &mut Vec<Output>) {
        let acked = self.outbound.acked();
        let waiting = std::mem::take(&mut self.outbound).into_waiting();
        let mut kept = VecDeque::with_capacity(waiting.len());
        for sent in waiting {
            if is_granted(&sent.envelope, granted) {
                out.push(Output::Send(sent.envelope.copy()));
                kept.push_back(sent);
            } else {
                self.forget(&sent);
                out.push(Output::S2s(s2s::Output::Unsent(sent.envelope)));
            }
        }
        self.outbound = Outbound::restored(acked, kept);
        self.outbound.reconnected();
    }

    fn forget(&mut self, sent: &Sent) {
        let size = sent.envelope.stanza.size();
        self.bytes -= size;
        self.shared.budget.give(size);
    }

    /// What is to ride on what is written.
    pub(super) fn flush(&mut self, now: Now, out: &mut Vec<Output>) {
        out.extend(self.inbound.due().map(ack));
        self.ask(now, out);
    }

    /// Asks what the peer has handled, if it is time to.
    pub(super) fn ask(&mut self, now: Now, out: &mut Vec<Output>) {
        let requests = &self.shared.options.requests;
        if self.outbound.should_ask(requests, now.instant) {
            self.outbound.asked(now.instant);
            out.push(request());
        }
    }

    /// §4: "It is RECOMMENDED that initiating entities (usually clients) send an `<a/>` element right before they gracefully close the
    /// stream"; and whoever has sent something wants to hear the same.
    pub(super) fn last_word(&mut self, out: &mut Vec<Output>) {
        out.extend(self.inbound.last_word().map(ack));
        if self.is_waiting() {
            out.push(request());
        }
    }

    /// Whether the peer has left a request unanswered for too long.
    pub(super) fn is_silent(&self, now: Now) -> bool {
        self.outbound
            .is_silent(&self.shared.options.requests, now.instant)
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.outbound.next_timeout(&self.shared.options.requests)
    }

    /// Whether something is not acknowledged.
    pub(super) fn is_waiting(&self) -> bool {
        !self.outbound.waiting().is_empty()
    }

    /// Tells whether enough waits, if that has changed.
    pub(super) fn hold(&mut self, out: &mut Vec<Output>) {
        let options = &self.shared.options;
        let full = self.outbound.waiting().len() >= options.stanzas || self.bytes >= options.bytes;
        if self.held != full {
            self.held = full;
            out.push(Output::Hold(full));
        }
    }

    /// As plain data.
    pub(super) fn into_session(
        mut self,
        max: Duration,
        granted: Vec<Pair>,
        accepted: Vec<Pair>,
        encrypted: bool,
    ) -> Session {
        Session {
            id: self.id.clone(),
            granted,
            accepted,
            encrypted,
            max,
            handled: self.inbound.count().0,
            acked: self.outbound.acked().0,
            queue: std::mem::take(&mut self.outbound).into_waiting(),
        }
    }

    /// Gives up what waits.
    pub(super) fn into_waiting(mut self) -> VecDeque<Sent> {
        std::mem::take(&mut self.outbound).into_waiting()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.budget.give(self.bytes);
    }
}

/// The peer has handled these.
pub(super) fn acked(covered: VecDeque<Sent>, out: &mut Vec<Output>) {
    if !covered.is_empty() {
        out.push(Output::S2s(s2s::Output::Acked(covered.len() as u32)));
    }
    for sent in covered {
        sent.envelope.settle(Outcome::Settled);
    }
}

fn is_granted(envelope: &Envelope, granted: &[Pair]) -> bool {
    let (Some(from), Some(to)) = (envelope.stanza.from(), envelope.stanza.to()) else {
        return false;
    };
    granted.iter().any(|pair| pair.covers(from, to))
}
