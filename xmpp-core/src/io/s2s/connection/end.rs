//! How a connection ends.

use std::task::{Context, Poll};

use tokio::io::ReadBuf;

use super::{CHUNK, Connection, Doing, Phase, TURNS};
use crate::BareJid;
use crate::io::control::Call;
use crate::io::limits::Ticket;
use crate::io::s2s::handle::Back;
use crate::io::wire::Wire;
use crate::mailbox::{Origin, Source};
use crate::s2s::{Output, links};
use crate::stream::{Input, StreamCondition, StreamError};
use crate::time::Now;

impl Connection {
    /// Who is blocked is read no further; what comes then is not acknowledged, and its senders hear of it from their server.
    pub(super) fn check_rules(&mut self, now: Now, cx: &mut Context<'_>) -> bool {
        let peers = &self.shared.peers;
        let changes = Some(peers.changes());
        if std::mem::replace(&mut self.rules, changes) == changes {
            return false;
        }
        let blocked = |domain: &BareJid| !peers.speaks_with(domain.as_str());
        if !self.senders.iter().any(blocked) {
            return false;
        }
        // RFC 6120 §4.9.3.14: "The entity has violated some local service policy"
        let error = StreamError::new(StreamCondition::PolicyViolation);
        self.input(Input::Close(Some(error)), now, cx);
        true
    }

    pub(super) fn check_end(&mut self, now: Now, cx: &mut Context<'_>) -> bool {
        let ticket = self.ticket.as_ref();
        let is_stranger = ticket.is_some_and(Ticket::is_stranger);
        let condition = match self.handle.control.answer() {
            Some(Call::Stop) => StreamCondition::SystemShutdown,
            // RFC 6120 §4.9.3.17: "The server lacks the system resources necessary to service the stream."
            Some(Call::MakeRoom | Call::GiveWay) if is_stranger => {
                self.shared.server.metrics().s2s.evicted.increment();
                StreamCondition::ResourceConstraint
            }
            // What its peer has sent is settled as at any other end.
            Some(Call::GiveWay) if self.phase == Phase::Open => {
                self.shared.server.metrics().s2s.evicted.increment();
                let error = StreamError::new(StreamCondition::ResourceConstraint);
                self.input(Input::Close(Some(error)), now, cx);
                return true;
            }
            _ => return false,
        };
        // Who has said nothing is told nothing.
        if !ticket.is_some_and(Ticket::is_silent) && self.phase == Phase::Open {
            let error = StreamError::new(condition);
            self.input(Input::Close(Some(error)), now, cx);
        }
        // Whether the peer takes that or not, its time is over.
        let _ = self.write(now, cx);
        let _ = self.wire.poll_shutdown(cx);
        self.lost(now, cx);
        true
    }

    /// The connection is gone.
    pub(super) fn lost(&mut self, now: Now, cx: &mut Context<'_>) {
        self.wire = Wire::Gone;
        match self.phase {
            // What is left of it may have to wait for what is under way.
            Phase::Open => {
                self.broken = true;
                self.input(Input::Eof, now, cx);
            }
            _ => self.phase = Phase::Over,
        }
    }

    /// Tells the link manager, once, and gives back what the peer has not been sent.
    pub(super) fn report_end(&mut self) {
        let Some(waiting) = self.handle.close() else {
            return;
        };
        let mut returned = self.outbound.give_back();
        returned.append(&mut self.late);
        let inputs = std::mem::take(&mut self.inputs);
        for input in inputs.into_iter().chain(waiting) {
            match Back::of(input) {
                Some(Back::Stanza(envelope)) => returned.push(envelope),
                Some(Back::Session(session)) => self.tell_manager(Output::Session(session)),
                None => {}
            }
        }
        let error = self.error.take();
        let ended = links::Ended {
            error,
            lost: self.broken,
            returned,
        };
        self.news.push(links::Input::Ended(self.id(), ended));
    }

    /// The stream is over. What the peer had sent is still dealt with.
    pub(super) fn leave(&mut self) {
        self.unsettled.clear();
        self.ticket = None;
        let doing = std::mem::replace(&mut self.doing, Doing::Nothing);
        let waiting = std::mem::take(&mut self.waiting);
        let Doing::Dispatching(sent) = doing else {
            return;
        };
        let server = self.shared.server.clone();
        self.shared.server.spawn(async move {
            let _ = sent.await;
            for (stanza, point) in waiting {
                let Some(from) = stanza.from() else { continue };
                let origin = Origin {
                    source: Source::Remote(from.to_bare().domain_jid()),
                    sm: point,
                };
                let _ = server.route(stanza, origin).finish().await;
            }
        });
    }

    pub(super) fn peer_is_done(&mut self, cx: &mut Context<'_>) -> bool {
        let mut memory = [0; CHUNK];
        for _ in 0..TURNS {
            let mut buf = ReadBuf::new(&mut memory);
            match self.wire.poll_read(cx, &mut buf) {
                Poll::Pending => return false,
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {}
                Poll::Ready(_) => return true,
            }
        }
        // Others have their turn.
        cx.waker().wake_by_ref();
        false
    }
}

/// Also when a handler panics, or the runtime stops: nobody waits for a connection that is not there.
impl Drop for Connection {
    fn drop(&mut self) {
        self.charged.give_back(self.shared.server.budget());
        self.report_end();
        self.tell();
    }
}
