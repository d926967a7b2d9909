//! A stream whose stanzas are acknowledged, and which can be resumed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use xmpp_core::FullJid;
use xmpp_core::machine::Machine;
use xmpp_core::mailbox::{Budget, Envelope, SmPoint};
use xmpp_core::server::Random;
use xmpp_core::standby::Op;
use xmpp_core::stanza::Condition;
use xmpp_core::stream::{
    Answer, Input, NotResumed, Output, Resume, Resumption, Sent, StreamCondition, StreamError,
    Suspended,
};
use xmpp_core::time::Now;
use xmpp_core::xml::{Element, Received};

use crate::counter::Counter;
use crate::inbound::Inbound;
use crate::nonza::{self, Nonza, ack, failed, request, too_high};
use crate::outbound::{AckError, Outbound, RequestPolicy};

mod copying;

use copying::Copying;

/// How streams are managed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// How long a stream waits for its client; zero: streams cannot be resumed. Default 10 min.
    pub max: Duration,
    /// Stanzas that wait to be acknowledged before the client is sent no more; default 500. What
    /// comes then stays in the session's own queue, and when that is full it goes where it would
    /// go without the session.
    pub stanzas: usize,
    /// Bytes of XML that wait, in the same way; default 1 MiB.
    pub bytes: usize,
    /// When the client is asked.
    pub requests: RequestPolicy,
    /// `host:port` that a client should go to, to resume (§3).
    pub location: Option<String>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            max: Duration::from_secs(600),
            stanzas: 500,
            bytes: 1 << 20,
            requests: RequestPolicy::default(),
            location: None,
        }
    }
}

/// What the managed streams of a server share.
pub struct Surroundings {
    /// How they are managed.
    pub options: Options,
    /// For the names of streams.
    pub random: Arc<dyn Random>,
    /// What waits is taken from it.
    pub budget: Arc<Budget>,
}

/// The machine: a stream in management.
///
/// It counts what goes through the stream that it wraps, in both directions, from `<enable/>` on. What the stream sends is kept until
/// it is acknowledged. When the connection is lost, a stream that can be resumed stays ([`Output::Detach`]), and goes on over another
/// ([`Input::Resumed`]) or gives back what it has kept ([`Output::Return`]).
pub struct Managed<S> {
    inner: S,
    shared: Arc<Surroundings>,
    state: State,
}

enum State {
    /// Not logged in.
    Stranger,
    /// Logged in, no resource bound.
    LoggedIn,
    /// Bound, and not managed.
    Bound(FullJid),
    Managed(Box<Running>),
    /// The end.
    Closed,
}

struct Running {
    jid: FullJid,
    id: Arc<str>,
    /// How long it waits for its client, if it can be resumed.
    max: Option<Duration>,
    inbound: Inbound,
    outbound: Outbound<Sent>,
    /// Of what waits to be acknowledged.
    bytes: usize,
    held: bool,
    /// One side has said that it ends the stream: what ends now has not been cut.
    closing: bool,
    detached: Option<Detached>,
    /// A copy is kept elsewhere.
    copying: Option<Box<Copying>>,
}

/// There is no connection.
struct Detached {
    until: Instant,
    /// Another is there, which waits until all that the client has sent is handled.
    resume: Option<Resume>,
}

impl<S: Machine<Input = Input, Output = Output>> Managed<S> {
    /// Wraps a stream on which nothing has happened.
    pub fn new(inner: S, shared: Arc<Surroundings>) -> Managed<S> {
        Managed {
            inner,
            shared,
            state: State::Stranger,
        }
    }

    fn received(&mut self, received: Received, now: Now, out: &mut Vec<Output>) {
        match &mut self.state {
            // There is no connection that it could have come from.
            State::Managed(running) if running.detached.is_some() => return,
            State::LoggedIn | State::Bound(_) | State::Managed(_) => {
                if let Received::Element(element) = &received
                    && let Some(nonza) = nonza::read(element)
                {
                    return self.nonza(nonza, now, out);
                }
            }
            State::Stranger | State::Closed => {}
        }
        let State::Managed(running) = &mut self.state else {
            return self.pass(Input::Received(received), now, out);
        };
        match received {
            Received::Stanza(_) | Received::Malformed(_) => {
                let n = running.inbound.received().0;
                let id = running.id.clone();
                let before = out.len();
                self.pass(Input::Received(received), now, out);
                let point = out[before..].iter_mut().find_map(|output| match output {
                    Output::Deliver(_, point) => Some(point),
                    _ => None,
                });
                match (point, &mut self.state) {
                    (Some(point), _) => *point = Some(SmPoint { id, n }),
                    // The stream has answered it.
                    (None, State::Managed(running)) => {
                        running.inbound.answered();
                        running.tell_handled();
                    }
                    (None, _) => {}
                }
            }
            Received::Close => {
                running.closing = true;
                running.last_word(out);
                self.pass(Input::Received(received), now, out);
            }
            _ => self.pass(Input::Received(received), now, out),
        }
    }

    fn nonza(&mut self, nonza: Nonza, now: Now, out: &mut Vec<Output>) {
        match (nonza, &mut self.state) {
            (Nonza::Enable { resume, max }, State::Bound(jid)) => {
                let jid = jid.clone();
                self.enable(jid, resume, max, out);
            }
            // §3: "The client MUST NOT attempt to negotiate stream management until it is
            // authenticated"; "until after it has completed Resource Binding"
            (Nonza::Enable { .. }, State::LoggedIn) => {
                out.push(failed(Condition::UnexpectedRequest, None));
            }
            // §3: "If a server receives a second <enable/> element it SHOULD respond with a
            // stream error"
            (Nonza::Enable { .. }, _) => {
                out.push(failed(Condition::UnexpectedRequest, None));
                self.fail(StreamError::new(StreamCondition::PolicyViolation), now, out);
            }
            (Nonza::Resume(Some(resume)), State::LoggedIn) => {
                let before = out.len();
                self.pass(Input::Resume(resume), now, out);
                if out.len() == before {
                    out.push(failed(Condition::UnexpectedRequest, None));
                }
            }
            (Nonza::Resume(None), State::LoggedIn) => out.push(failed(Condition::BadRequest, None)),
            (Nonza::Resume(_), _) => out.push(failed(Condition::UnexpectedRequest, None)),
            (Nonza::Request, State::Managed(running)) => {
                let h = running.inbound.asked();
                out.push(ack(h));
            }
            (Nonza::Ack(Some(h)), State::Managed(running)) => {
                match running.acknowledged(h, &self.shared) {
                    Ok(()) => running.release(&self.shared, out),
                    Err(AckError::TooHigh { h, sent }) => self.fail(too_high(h, sent), now, out),
                    // An answer that something has overtaken.
                    Err(AckError::Backwards { .. }) => {}
                }
            }
            // §4: "An <a/> element MUST possess an 'h' attribute."
            (Nonza::Ack(None), State::Managed(_)) => {
                self.fail(StreamError::new(StreamCondition::InvalidXml), now, out);
            }
            // Nothing is counted yet.
            (Nonza::Request | Nonza::Ack(_), _) => {
                out.push(failed(Condition::UnexpectedRequest, None));
            }
        }
    }

    fn enable(&mut self, jid: FullJid, resume: bool, max: Option<u32>, out: &mut Vec<Output>) {
        let options = &self.shared.options;
        let id = nonza::name(&*self.shared.random);
        // §3: the client's 'max' is "the client's preferred maximum resumption time".
        let wanted = max.map_or(options.max, |max| Duration::from_secs(max.into()));
        let max = (resume && !options.max.is_zero()).then(|| wanted.min(options.max));
        let mut enabled = Element::new("enabled", nonza::NS);
        if let Some(max) = max {
            // §5: "it MUST include a 'resume' attribute … and MUST include an 'id' attribute"
            enabled = enabled
                .with_attr("id", &id)
                .with_attr("resume", "true")
                .with_attr("max", &max.as_secs().to_string());
            if let Some(location) = &options.location {
                enabled = enabled.with_attr("location", location);
            }
        }
        out.push(nonza::write(&enabled));
        if max.is_some() {
            out.push(Output::Resumable(id.clone()));
        }
        self.state = State::Managed(Box::new(Running {
            jid,
            id,
            max,
            inbound: Inbound::default(),
            outbound: Outbound::default(),
            bytes: 0,
            held: false,
            closing: false,
            detached: None,
            copying: None,
        }));
    }

    /// Ends the stream with an error.
    fn fail(&mut self, error: StreamError, now: Now, out: &mut Vec<Output>) {
        self.pass(Input::Close(Some(error)), now, out);
    }

    /// The connection is gone.
    fn lost(&mut self, now: Now, out: &mut Vec<Output>) {
        match &mut self.state {
            // §7: "If the stream is not cleanly closed then the server SHOULD consider the
            // stream to be unfinished"
            State::Managed(running) if running.detached.is_none() && !running.closing => {
                if !running.detach(now, out) {
                    self.pass(Input::Eof, now, out);
                }
            }
            State::Managed(running) if running.detached.is_some() => {}
            _ => self.pass(Input::Eof, now, out),
        }
    }

    fn resumed(&mut self, resume: Resume, now: Now, out: &mut Vec<Output>) {
        match &mut self.state {
            State::Managed(running) if *resume.id == *running.id && running.detached.is_some() => {
                if let Some(detached) = &mut running.detached {
                    detached.resume = Some(resume);
                }
                self.reattach(now, out);
            }
            _ => out.push(Output::Refuse(NotResumed::Unknown(None))),
        }
    }

    /// Goes on over the connection that waits, if there is one and all that the client has sent on
    /// the old one is handled: else it would send that once more.
    fn reattach(&mut self, now: Now, out: &mut Vec<Output>) {
        let State::Managed(running) = &mut self.state else {
            return;
        };
        if running.inbound.open() > 0 || !running.is_tellable() {
            return;
        }
        let Some(detached) = &mut running.detached else {
            return;
        };
        let Some(resume) = detached.resume.take() else {
            return;
        };
        // §5: "it should handle the element's 'h' attribute as it would handle it on an <a/>
        // element"
        match running.acknowledged(Counter(resume.h), &self.shared) {
            Ok(()) => {}
            Err(AckError::TooHigh { h, sent }) => {
                let (h, sent) = (h.0, sent.0);
                return out.push(Output::Refuse(NotResumed::TooHigh { h, sent }));
            }
            // What it has forgotten is not there any more.
            Err(AckError::Backwards { .. }) => {
                let handled = running.inbound.count().0;
                return out.push(Output::Refuse(NotResumed::Unknown(Some(handled))));
            }
        }
        running.detached = None;
        running.tell(Op::Resumed);
        running.outbound.reconnected();
        let resumed = Element::new("resumed", nonza::NS)
            .with_attr("previd", &running.id)
            .with_attr("h", &running.inbound.tell().to_string());
        let mut bytes = Vec::new();
        resumed.write(xmpp_core::xml::ns::CLIENT, &mut bytes);
        out.push(Output::Reattach(bytes));
        // §5: "after processing it MUST re-send to the peer any stanzas that are still marked
        // as unhandled"
        let written = running.outbound.in_flight();
        for sent in running.outbound.waiting().iter().take(written) {
            let again = Envelope::new(sent.envelope.stanza.clone(), sent.envelope.origin.clone());
            out.push(Output::Send(again));
        }
        running.release(&self.shared, out);
        self.pass(Input::Resumed(resume), now, out);
    }

    /// The machine of before has written this down.
    fn restore(&mut self, mut suspended: Box<Suspended>, now: Now, out: &mut Vec<Output>) {
        let resumption = suspended.resumption.take();
        let jid = suspended.jid.clone();
        self.pass(Input::Restore(suspended), now, out);
        let (State::Stranger, Some(resumption)) = (&self.state, resumption) else {
            return;
        };
        let most = self.shared.options.max;
        let mut running = Running::restored(jid, resumption, most, now);
        self.shared.budget.take_anyway(running.bytes);
        out.push(Output::Resumable(running.id.clone()));
        running.hold(&self.shared, out);
        self.state = State::Managed(Box::new(running));
        out.push(Output::Detach);
    }

    /// Hands an input to the stream within, and minds what comes of it.
    fn pass(&mut self, input: Input, now: Now, out: &mut Vec<Output>) {
        let before = out.len();
        self.inner.handle(input, now, out);
        self.mind(before, now, out);
    }

    /// Looks through what the stream within wants done.
    fn mind(&mut self, before: usize, now: Now, out: &mut Vec<Output>) {
        let mut at = before;
        while at < out.len() {
            match (&mut out[at], &mut self.state) {
                (Output::LoggedIn { .. }, state @ State::Stranger) => *state = State::LoggedIn,
                (Output::Send(envelope), State::Managed(running)) => {
                    let waits = running.sent(envelope, now, &self.shared);
                    if waits || running.detached.is_some() {
                        out.remove(at);
                        continue;
                    }
                }
                (Output::Suspended(suspended), State::Managed(running)) => {
                    suspended.resumption = running.resumption(now);
                }
                (Output::Close(_), _) => {
                    self.end(at, out);
                    return;
                }
                _ => {}
            }
            at += 1;
        }
        if let State::Managed(running) = &mut self.state {
            running.hold(&self.shared, out);
        }
    }

    /// The stream ends with the output at `at`: what was not acknowledged is given back before.
    fn end(&mut self, at: usize, out: &mut Vec<Output>) {
        let State::Managed(mut running) = std::mem::replace(&mut self.state, State::Closed) else {
            return;
        };
        self.shared.budget.give(std::mem::take(&mut running.bytes));
        let rest = out.split_off(at);
        let domain = running.jid.domain().to_owned();
        let waiting = std::mem::take(&mut running.outbound).into_waiting();
        out.extend(
            waiting
                .into_iter()
                .map(|sent| Output::Return(sent.late(&domain))),
        );
        if running.max.is_some() {
            out.push(Output::NotResumable(running.inbound.count().0));
        }
        out.extend(rest);
    }
}

impl Running {
    /// Waits no longer than `most`, whatever was agreed on in the other process.
    fn restored(jid: FullJid, resumption: Resumption, most: Duration, now: Now) -> Running {
        let Resumption {
            id,
            max,
            until,
            handled,
            acked,
            sent,
        } = resumption;
        let max = max.min(most);
        let bytes = sent.iter().map(|sent| sent.envelope.stanza.size()).sum();
        Running {
            jid,
            id,
            max: Some(max),
            inbound: Inbound::restored(Counter(handled)),
            outbound: Outbound::restored(Counter(acked), sent),
            bytes,
            held: false,
            closing: false,
            detached: Some(Detached {
                // A clock that was set back does not make it wait for longer.
                until: now.instant + until.since(now.utc).min(max),
                resume: None,
            }),
            copying: None,
        }
    }

    /// What another process needs to go on with this, if that is possible.
    fn resumption(&self, now: Now) -> Option<Resumption> {
        let max = self.max.filter(|_| !self.closing)?;
        let left = match &self.detached {
            Some(detached) => detached.until.saturating_duration_since(now.instant),
            None => max,
        };
        Some(Resumption {
            id: self.id.clone(),
            max,
            until: now.utc.plus(left),
            handled: self.inbound.count().0,
            acked: self.outbound.acked().0,
            sent: self.outbound.waiting().iter().map(Sent::copy).collect(),
        })
    }

    /// Keeps what is being sent; `true` if it may not be written yet.
    fn sent(&mut self, envelope: &mut Envelope, now: Now, shared: &Surroundings) -> bool {
        let waits = self.tell_sent(envelope, now.utc);
        // It is where nothing but an acknowledgement removes it.
        envelope.settled();
        let kept = envelope.keep();
        let size = kept.stanza.size();
        shared.budget.take_anyway(size);
        self.bytes += size;
        let sent = Sent {
            envelope: kept,
            at: now.utc,
        };
        match waits {
            true => self.outbound.hold(sent),
            false => self.outbound.sent(sent, now.instant),
        }
        waits
    }

    fn acknowledged(&mut self, h: Counter, shared: &Surroundings) -> Result<(), AckError> {
        let covered: VecDeque<Sent> = self.outbound.ack(h)?;
        let size = covered.iter().map(|sent| sent.envelope.stanza.size()).sum();
        self.bytes -= size;
        shared.budget.give(size);
        if !covered.is_empty() {
            self.tell(Op::Acked(h.0));
        }
        Ok(())
    }

    /// Whether enough waits.
    fn is_full(&self, options: &Options) -> bool {
        self.outbound.waiting().len() >= options.stanzas || self.bytes >= options.bytes
    }

    fn hold(&mut self, shared: &Surroundings, out: &mut Vec<Output>) {
        if !self.held && self.is_full(&shared.options) {
            self.held = true;
            out.push(Output::Hold(true));
        }
    }

    fn release(&mut self, shared: &Surroundings, out: &mut Vec<Output>) {
        if self.held && !self.is_full(&shared.options) {
            self.held = false;
            out.push(Output::Hold(false));
        }
    }

    /// The connection is gone; `false` if the stream goes with it.
    fn detach(&mut self, now: Now, out: &mut Vec<Output>) -> bool {
        let Some(max) = self.max else {
            return false;
        };
        self.detached = Some(Detached {
            until: now.instant + max,
            resume: None,
        });
        self.tell(Op::Until(now.utc.plus(max)));
        out.push(Output::Detach);
        true
    }

    /// §4: "It is RECOMMENDED that initiating entities (usually clients) send an <a/> element
    /// right before they gracefully close the stream"; a server does as well.
    fn last_word(&mut self, out: &mut Vec<Output>) {
        if self.detached.is_none() {
            out.extend(self.inbound.last_word().map(ack));
        }
    }
}

impl<S: Machine<Input = Input, Output = Output>> Machine for Managed<S> {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, input: Input, now: Now, out: &mut Vec<Output>) {
        match input {
            Input::Received(received) => self.received(received, now, out),
            Input::Settled => {
                if let State::Managed(running) = &mut self.state {
                    running.inbound.settled();
                    running.tell_handled();
                    if running.detached.is_none() {
                        out.extend(running.inbound.due().map(ack));
                    }
                }
                self.reattach(now, out);
                self.pass(Input::Settled, now, out);
            }
            Input::Flush => {
                if let State::Managed(running) = &mut self.state
                    && running.detached.is_none()
                {
                    out.extend(running.inbound.due().map(ack));
                    if running
                        .outbound
                        .should_ask(&self.shared.options.requests, now.instant)
                    {
                        running.outbound.asked(now.instant);
                        out.push(request());
                    }
                }
                self.pass(Input::Flush, now, out);
            }
            Input::Resumed(resume) => self.resumed(resume, now, out),
            Input::Copied(copied) => {
                if let State::Managed(running) = &mut self.state {
                    running.copy(copied, now);
                }
            }
            Input::Safe(n) => {
                if let State::Managed(running) = &mut self.state {
                    running.safe(n, now, out);
                    if running.detached.is_none() {
                        out.extend(running.inbound.due().map(ack));
                    }
                }
                self.reattach(now, out);
            }
            Input::Eof => self.lost(now, out),
            Input::Suspend => {
                if let State::Managed(running) = &mut self.state {
                    running.last_word(out);
                }
                self.pass(Input::Suspend, now, out);
            }
            Input::Restore(suspended) => self.restore(suspended, now, out),
            Input::Close(error) => {
                if let State::Managed(running) = &mut self.state {
                    running.closing = true;
                    running.last_word(out);
                    if running.detached.is_some() {
                        // There is nobody to tell.
                        return self.pass(Input::Eof, now, out);
                    }
                }
                self.pass(Input::Close(error), now, out);
            }
            Input::Answered(Answer::NotResumed(reason))
                if matches!(self.state, State::LoggedIn) =>
            {
                // §5: "In both of these failure cases, the server SHOULD allow the client to bind
                // a resource at this point"
                self.pass(Input::Answered(Answer::NotResumed(reason)), now, out);
                match reason {
                    NotResumed::Unknown(handled) => {
                        out.push(failed(Condition::ItemNotFound, handled.map(Counter)));
                    }
                    NotResumed::TooHigh { h, sent } => {
                        self.fail(too_high(Counter(h), Counter(sent)), now, out);
                    }
                }
            }
            Input::Answered(Answer::Bound(Ok(jid))) => {
                if matches!(self.state, State::LoggedIn) {
                    self.state = State::Bound(jid.clone());
                }
                self.pass(Input::Answered(Answer::Bound(Ok(jid))), now, out);
            }
            input => self.pass(input, now, out),
        }
    }

    fn handle_timeout(&mut self, now: Now, out: &mut Vec<Output>) {
        if let State::Managed(running) = &mut self.state {
            let requests = &self.shared.options.requests;
            if let Some(detached) = &running.detached {
                if detached.until <= now.instant {
                    self.pass(Input::Eof, now, out);
                }
                return;
            }
            if running.outbound.is_silent(requests, now.instant) {
                // Nobody is there. What it was sent waits for it, or goes where it would go
                // without it.
                if !running.closing && running.detach(now, out) {
                    return;
                }
                let error = StreamError::new(StreamCondition::ConnectionTimeout);
                return self.fail(error, now, out);
            }
            if running.outbound.should_ask(requests, now.instant) {
                running.outbound.asked(now.instant);
                out.push(request());
            }
        }
        let before = out.len();
        self.inner.handle_timeout(now, out);
        self.mind(before, now, out);
    }

    fn next_timeout(&self) -> Option<Instant> {
        let State::Managed(running) = &self.state else {
            return self.inner.next_timeout();
        };
        match &running.detached {
            Some(detached) => Some(detached.until),
            None => {
                let ours = running.outbound.next_timeout(&self.shared.options.requests);
                ours.into_iter().chain(self.inner.next_timeout()).min()
            }
        }
    }
}

impl<S> Drop for Managed<S> {
    fn drop(&mut self) {
        if let State::Managed(running) = &self.state {
            self.shared.budget.give(running.bytes);
        }
    }
}

#[cfg(test)]
mod tests;
