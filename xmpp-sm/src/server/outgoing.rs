//! The side that opened the connection: it enables management, and resumes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use xmpp_core::machine::Machine;
use xmpp_core::s2s::{self, Found, Pair, Session};
use xmpp_core::stream::{Input, Output, StreamCondition, StreamError};
use xmpp_core::time::Now;
use xmpp_core::xml::{Element, Received, ns};

use super::Surroundings;
use super::link::{Link, Side, late};
use super::running::{Running, acked};
use crate::counter::Counter;
use crate::nonza::{self, Reply, too_high};
use crate::outbound::AckError;

/// Octets of a session's name, which the peer gives it. With a longer one the stream is acknowledged and not resumed. XEP-0198 §3: "The
/// SM-ID SHOULD NOT be longer than 4000 bytes."
const NAME: usize = 4000;

/// A managed stream that we open to another server. See the [module](super).
///
/// If it is given a session ([`s2s::Input::Session`]) it resumes it when one of its pairs is granted. One that cannot be resumed here is over:
/// what was sent and not acknowledged comes out as [`s2s::Output::Unsent`], to be sent once more.
pub struct Outgoing {
    link: Link,
    state: State,
    /// To go on with.
    session: Option<Box<Session>>,
    /// The pairs that are asked for.
    requested: Vec<Pair>,
    /// The peer's features have `<sm/>`.
    offered: bool,
}

enum State {
    /// No pair is granted that could say what the stream goes on with.
    Waiting,
    /// `<enable/>` is out; until when it has to be answered.
    Enabling(Instant),
    /// `<resume/>` is out; until when it has to be answered.
    Resuming(Instant),
    /// It is settled: the stream is managed, or it is not.
    Settled,
}

impl Outgoing {
    /// Around a stream on which nothing has happened.
    pub fn new(inner: s2s::BoxStream, shared: Arc<Surroundings>) -> Outgoing {
        Outgoing {
            link: Link::new(inner, Side::Initiator, shared),
            state: State::Waiting,
            session: None,
            requested: Vec::new(),
            offered: false,
        }
    }

    fn received(&mut self, received: Received, now: Now, out: &mut Vec<Output>) {
        if let Received::Element(element) = &received
            && !self.link.is_draining()
        {
            if element.is("features", ns::STREAM) {
                self.offered = element.child("sm", nonza::NS).is_some();
            }
            if self.link.is_running()
                && let Some(nonza) = nonza::read(element)
                && self.link.counted(&nonza, now, out)
            {
                return;
            }
            if self.link.is_open()
                && let Some(reply) = nonza::read_reply(element)
                && self.reply(reply, now, out)
            {
                return;
            }
        }
        self.link.input(Input::Received(received), now, out);
    }

    /// The peer answers; `false` if it was not asked.
    fn reply(&mut self, reply: Reply, now: Now, out: &mut Vec<Output>) -> bool {
        match (&self.state, reply) {
            (State::Enabling(_), Reply::Enabled { id, max }) => {
                let ours = self.link.shared.options.max;
                let max = max.map_or(ours, |max| Duration::from_secs(max.into()));
                let id = id.filter(|id| id.len() <= NAME);
                let max = id
                    .as_ref()
                    .map(|_| max.min(ours))
                    .filter(|max| !max.is_zero());
                let id = id.map_or_else(|| nonza::name(&*self.link.shared.random), Into::into);
                let running = Running::new(id, max, self.link.shared.clone());
                self.link.run(running);
                self.settle(out);
            }
            (State::Enabling(_), Reply::Failed(_)) => self.settle(out),
            (State::Resuming(_), Reply::Resumed(resumed)) => self.resumed(resumed, now, out),
            (State::Resuming(_), Reply::Failed(h)) => self.not_resumed(h, now, out),
            _ => return false,
        }
        true
    }

    /// Decides what the stream goes on with, when something is granted.
    fn begin(&mut self, now: Now, out: &mut Vec<Output>) {
        if !matches!(self.state, State::Waiting)
            || !self.link.is_withholding()
            || !self.link.is_open()
        {
            return;
        }
        let until = now.instant + self.link.shared.options.answer;
        if let Some(session) = &self.session {
            let is_of = |pairs: &[Pair]| pairs.iter().any(|pair| session.granted.contains(pair));
            let can = self.offered && (self.link.is_encrypted() || !session.encrypted);
            if can && is_of(&self.link.granted) {
                let resume = Element::new("resume", nonza::NS)
                    .with_attr("previd", &session.id)
                    .with_attr("h", &session.handled.to_string());
                out.push(nonza::write(&resume));
                self.state = State::Resuming(until);
                return;
            }
            if can && is_of(&self.requested) {
                return;
            }
        }
        self.give_up(None, out);
        if !self.offered {
            return self.settle(out);
        }
        self.enable(until, out);
    }

    fn enable(&mut self, until: Instant, out: &mut Vec<Output>) {
        let max = self.link.shared.options.max;
        let mut enable = Element::new("enable", nonza::NS);
        if !max.is_zero() {
            enable = enable
                .with_attr("resume", "true")
                .with_attr("max", &max.as_secs().to_string());
        }
        out.push(nonza::write(&enable));
        self.state = State::Enabling(until);
    }

    fn settle(&mut self, out: &mut Vec<Output>) {
        self.state = State::Settled;
        self.link.release(out);
    }

    /// The session goes on, and the peer has handled so much of it.
    fn resumed(&mut self, resumed: Option<(String, Counter)>, now: Now, out: &mut Vec<Output>) {
        let Some(session) = self.session.take() else {
            return;
        };
        let error = match resumed {
            Some((id, h)) if *id == *session.id => match self.link.resume(session, h, out) {
                Ok(_) => {
                    self.link.again(out);
                    // So that those above know that nothing is lost or doubled.
                    out.push(Output::Resumable(id.into()));
                    return self.settle(out);
                }
                Err((session, error)) => {
                    self.session = Some(session);
                    match error {
                        AckError::TooHigh { h, sent } => too_high(h, sent),
                        // It has forgotten what is not there any more.
                        AckError::Backwards { .. } => {
                            StreamError::new(StreamCondition::UndefinedCondition)
                        }
                    }
                }
            },
            _ => {
                self.session = Some(session);
                StreamError::new(StreamCondition::InvalidXml)
            }
        };
        // What the peer says of this session cannot be relied on.
        self.give_up(None, out);
        self.link.fail(error, now, out);
    }

    /// The session is over, and the peer knows perhaps how far it came.
    fn not_resumed(&mut self, h: Option<Counter>, now: Now, out: &mut Vec<Output>) {
        self.give_up(h, out);
        let until = now.instant + self.link.shared.options.answer;
        self.enable(until, out);
    }

    /// The session is over. What it has sent goes once more, but for what the peer has handled.
    fn give_up(&mut self, h: Option<Counter>, out: &mut Vec<Output>) {
        let Some(mut session) = self.session.take() else {
            return;
        };
        let handled = h.and_then(|h| h.since(Counter(session.acked)));
        let handled = handled.unwrap_or_default() as usize;
        // More than was sent is nonsense, which tells nothing.
        if handled <= session.queue.len() {
            let rest = session.queue.split_off(handled);
            acked(std::mem::replace(&mut session.queue, rest), out);
        }
        out.extend(session.queue.into_iter().map(late));
    }

    fn told(&mut self, input: s2s::Input, now: Now, out: &mut Vec<Output>) {
        match input {
            s2s::Input::Session(Found::Session(session)) => {
                let waits = matches!(self.state, State::Waiting) && self.session.is_none();
                if waits && !self.link.is_withholding() && !self.link.is_over() {
                    self.session = Some(session);
                } else {
                    out.push(Output::S2s(s2s::Output::Session(session)));
                }
            }
            s2s::Input::Session(_) => {}
            s2s::Input::Request(pair) => {
                if !self.requested.contains(&pair) {
                    self.requested.push(pair.clone());
                }
                let input = s2s::Input::Request(pair);
                self.link.input(Input::S2s(input), now, out);
            }
            input => self.link.input(Input::S2s(input), now, out),
        }
    }

    /// Minds what has come out since `before`.
    fn mind(&mut self, before: usize, now: Now, out: &mut Vec<Output>) {
        for output in &out[before..] {
            if let Output::S2s(s2s::Output::Refused(pair, _)) = output {
                self.requested.retain(|requested| requested != pair);
            }
        }
        self.requested
            .retain(|pair| !self.link.granted.contains(pair));
        self.begin(now, out);
        // The connection has ended before the session could go on.
        let close = |output: &Output| matches!(output, Output::Close(_));
        if let Some(at) = out[before..].iter().position(close)
            && let Some(session) = self.session.take()
        {
            let session = Output::S2s(s2s::Output::Session(session));
            out.insert(before + at, session);
        }
    }
}

impl s2s::Stream for Outgoing {
    fn is_open(&self) -> bool {
        self.link.is_open()
    }

    fn is_encrypted(&self) -> bool {
        self.link.is_encrypted()
    }
}

impl Machine for Outgoing {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, input: Input, now: Now, out: &mut Vec<Output>) {
        let before = out.len();
        match input {
            Input::Received(received) => self.received(received, now, out),
            Input::S2s(input) => self.told(input, now, out),
            input => self.link.input(input, now, out),
        }
        self.mind(before, now, out);
    }

    fn handle_timeout(&mut self, now: Now, out: &mut Vec<Output>) {
        let before = out.len();
        match self.state {
            State::Enabling(until) | State::Resuming(until) if until <= now.instant => {
                let error = StreamError::new(StreamCondition::ConnectionTimeout);
                self.link.fail(error, now, out);
                self.state = State::Settled;
            }
            _ => self.link.handle_timeout(now, out),
        }
        self.mind(before, now, out);
    }

    fn next_timeout(&self) -> Option<Instant> {
        let ours = match self.state {
            State::Enabling(until) | State::Resuming(until) => Some(until),
            State::Waiting | State::Settled => None,
        };
        ours.into_iter().chain(self.link.next_timeout()).min()
    }
}
