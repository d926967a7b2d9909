//! How a managed stream ends: with its connection, by one of the two sides, or because another connection takes its session over.

use std::time::Duration;

use xmpp_core::s2s::{self, Claim, Ended, Refusal};
use xmpp_core::stream::{Input, Output, StreamCondition, StreamError};
use xmpp_core::time::Now;
use xmpp_core::xml::Received;

use super::{Link, Side, late};
use crate::nonza::ack;
use crate::server::running::Running;

impl Link {
    /// The connection is gone.
    pub(super) fn lost(&mut self, now: Now, out: &mut Vec<Output>) {
        self.lost = !self.closing;
        self.pass(Input::Eof, now, out);
    }

    /// Another connection wants the session.
    pub(super) fn claimed(&mut self, claim: Claim, now: Now, out: &mut Vec<Output>) {
        let encrypted = self.is_encrypted();
        let good = |running: &Running| {
            self.side == Side::Receiver
                && *claim.id == *running.id
                && running.max.is_some()
                && claim.is_good(&self.accepted, encrypted)
        };
        match &self.running {
            Some(running) if good(running) => {}
            _ => return out.push(Output::S2s(s2s::Output::Denied(claim))),
        }
        self.lost = true;
        if self.draining.is_none() {
            self.fail(StreamError::new(StreamCondition::Conflict), now, out);
        }
    }

    /// The peer closes its side: it is answered when what it has sent is settled, so that it hears of all of it.
    pub(super) fn part(&mut self, now: Now, out: &mut Vec<Output>) {
        self.closing = true;
        self.parting = self.is_open() && self.is_delivering();
        if self.parting {
            return;
        }
        if self.is_open()
            && let Some(running) = &mut self.running
        {
            out.extend(running.inbound.last_word().map(ack));
        }
        self.pass(Input::Received(Received::Close), now, out);
    }

    /// The stream within has ended.
    pub(super) fn end(&mut self, condition: Option<StreamCondition>, out: &mut Vec<Output>) {
        self.over = true;
        for pair in self.withheld.take().unwrap_or_default() {
            let refused = s2s::Output::Refused(pair, Refusal::Timeout);
            out.push(Output::S2s(refused));
        }
        if self.must_drain() {
            out.push(Output::Detach);
        }
        self.draining = Some(condition);
        self.drained(out);
    }

    /// Whether there is a session that goes on without this connection. The initiator of one that has been closed asks how far the peer
    /// came, if it does not know.
    fn survives(&self) -> bool {
        let Some(running) = &self.running else {
            return false;
        };
        let asks = self.side == Side::Initiator && running.is_waiting();
        running.max.is_some() && (self.lost || asks)
    }

    /// Whether something that counts is not settled.
    pub(super) fn is_delivering(&self) -> bool {
        let running = self.running.as_ref();
        running.is_some_and(|running| running.inbound.open() > 0)
    }

    /// What is on its way counts, for a session that goes on and for one that is asked after.
    fn must_drain(&self) -> bool {
        let running = self.running.as_ref();
        running.is_some_and(|it| it.max.is_some()) && self.is_delivering()
    }

    /// Lets the session go when all that was delivered is settled.
    pub(super) fn drained(&mut self, out: &mut Vec<Output>) {
        if self.must_drain() {
            return;
        }
        let condition = self.draining.take().flatten();
        let survives = self.survives();
        if let Some(running) = self.running.take() {
            match running.max {
                Some(max) if survives => self.let_go(*running, max, out),
                _ => self.give_up(*running, out),
            }
        }
        let newer = self.unsent.drain(..);
        out.extend(newer.map(|envelope| Output::S2s(s2s::Output::Unsent(envelope))));
        out.push(Output::Close(condition));
    }

    fn let_go(&self, running: Running, max: Duration, out: &mut Vec<Output>) {
        let (granted, accepted) = (self.granted.clone(), self.accepted.clone());
        let session = running.into_session(max, granted, accepted, self.is_encrypted());
        out.push(Output::S2s(s2s::Output::Session(Box::new(session))));
    }

    /// The session is over: a peer that could have resumed it may get twice what it has not acknowledged; one that could not
    /// would get much of it twice, so that its sender is told instead.
    fn give_up(&mut self, running: Running, out: &mut Vec<Output>) {
        if running.max.is_none() {
            let waiting = running.into_waiting();
            return out.extend(
                waiting
                    .into_iter()
                    .map(|sent| Output::Return(sent.envelope)),
            );
        }
        let ended = Ended {
            id: running.id.clone(),
            accepted: self.accepted.clone(),
            encrypted: self.is_encrypted(),
            handled: running.inbound.count().0,
        };
        let waiting = running.into_waiting();
        out.extend(waiting.into_iter().map(late));
        if self.side == Side::Receiver {
            out.push(Output::S2s(s2s::Output::Ended(ended)));
        }
    }
}
