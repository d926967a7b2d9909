//! The side that accepted the connection: it offers management, and answers for sessions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use xmpp_core::machine::Machine;
use xmpp_core::s2s::{self, Ask, Claim, Found, Session, compression};
use xmpp_core::stanza::Condition;
use xmpp_core::stream::{Input, Output, Resume, StreamCondition, StreamError};
use xmpp_core::time::Now;
use xmpp_core::xml::{Element, Received};

use super::Surroundings;
use super::link::{Link, Side, unexpected};
use super::running::Running;
use crate::counter::Counter;
use crate::nonza::{self, Nonza, failed, too_high};
use crate::outbound::AckError;

/// A managed stream that another server has opened. See the [module](super).
pub struct Incoming {
    link: Link,
    /// The peer wants to go on with a session, which is being looked for.
    asked: Option<(Claim, Counter)>,
    /// When what is granted is told, though the peer has not said what it goes on with.
    grace: Option<Instant>,
}

impl Incoming {
    /// Around a stream on which nothing has happened.
    pub fn new(inner: s2s::BoxStream, shared: Arc<Surroundings>) -> Incoming {
        Incoming {
            link: Link::new(inner, Side::Receiver, shared),
            asked: None,
            grace: None,
        }
    }

    fn received(&mut self, received: Received, now: Now, out: &mut Vec<Output>) {
        if self.asked.is_some() && !matches!(received, Received::Whitespace) {
            // While the question is open the driver holds back what the peer sends.
            let error = StreamError::new(StreamCondition::PolicyViolation);
            return self.link.fail(error, now, out);
        }
        if let Received::Element(element) = &received
            && !self.link.is_draining()
            && (self.link.is_open() || self.link.is_running())
            && let Some(nonza) = nonza::read(element)
        {
            return self.nonza(nonza, now, out);
        }
        // What is counted belongs to this stream. XEP-0138 would have it begin anew, and has its place before (XEP-0170 §3.3).
        if let Received::Element(element) = &received
            && self.link.is_running()
            && self.link.is_open()
            && compression::is_request(element)
        {
            return out.push(nonza::write(&compression::Failure::Setup.element()));
        }
        let speaks = matches!(received, Received::Stanza(_)) && !self.link.is_running();
        self.link.input(Input::Received(received), now, out);
        if speaks {
            // It does without, or it would have said so before.
            self.link.release(out);
        }
    }

    fn nonza(&mut self, nonza: Nonza, now: Now, out: &mut Vec<Output>) {
        if self.link.counted(&nonza, now, out) || !self.link.is_open() {
            return;
        }
        let proven = !self.link.accepted.is_empty();
        match nonza {
            Nonza::Enable { resume, max } if proven && !self.link.is_running() => {
                self.enable(resume, max, out);
            }
            // §3: "If a server receives a second <enable/> element it SHOULD respond with a stream error"
            Nonza::Enable { .. } if proven => {
                unexpected(out);
                let error = StreamError::new(StreamCondition::PolicyViolation);
                self.link.fail(error, now, out);
            }
            Nonza::Resume(Some(resume)) if proven && !self.link.is_running() => {
                self.claim(resume, out);
            }
            Nonza::Resume(None) if proven && !self.link.is_running() => {
                out.push(failed(Condition::BadRequest, None));
            }
            // §3: "The client MUST NOT attempt to negotiate stream management until it is authenticated"; and nothing is counted yet.
            _ => unexpected(out),
        }
    }

    fn enable(&mut self, resume: bool, max: Option<u32>, out: &mut Vec<Output>) {
        let options = &self.link.shared.options;
        let id = nonza::name(&*self.link.shared.random);
        let wanted = max.map_or(options.max, |max| Duration::from_secs(max.into()));
        let max = (resume && !options.max.is_zero()).then(|| wanted.min(options.max));
        let mut enabled = Element::new("enabled", nonza::NS);
        if let Some(max) = max {
            enabled = enabled
                .with_attr("id", &id)
                .with_attr("resume", "true")
                .with_attr("max", &max.as_secs().to_string());
        }
        out.push(nonza::write(&enabled));
        if max.is_some() {
            out.push(Output::Resumable(id.clone()));
        }
        let shared = self.link.shared.clone();
        self.link.run(Running::new(id, max, shared));
        self.link.release(out);
    }

    /// The peer wants to go on with a session.
    fn claim(&mut self, resume: Resume, out: &mut Vec<Output>) {
        let claim = Claim {
            id: resume.id,
            accepted: self.link.accepted.clone(),
            encrypted: self.link.is_encrypted(),
        };
        self.asked = Some((claim.clone(), Counter(resume.h)));
        out.push(Output::S2s(s2s::Output::Ask(Ask::Session(claim))));
    }

    fn found(&mut self, found: Found, now: Now, out: &mut Vec<Output>) {
        let asked = self.asked.take().filter(|_| self.link.is_open());
        match (found, asked) {
            (Found::Session(session), Some((claim, h))) if session.is_open_to(&claim) => {
                self.resume(session, h, now, out);
            }
            (Found::Session(session), asked) => {
                out.push(Output::S2s(s2s::Output::Session(session)));
                if asked.is_some() {
                    out.push(failed(Condition::ItemNotFound, None));
                }
            }
            (Found::Ended(handled), Some(_)) => {
                out.push(failed(Condition::ItemNotFound, Some(Counter(handled))));
            }
            (Found::Unknown, Some(_)) => out.push(failed(Condition::ItemNotFound, None)),
            (Found::Ended(_) | Found::Unknown, None) => {}
        }
    }

    /// Here is the session; the peer has handled `h` of what it was sent.
    fn resume(&mut self, session: Box<Session>, h: Counter, now: Now, out: &mut Vec<Output>) {
        match self.link.resume(session, h, out) {
            Ok(running) => {
                let resumed = Element::new("resumed", nonza::NS)
                    .with_attr("previd", &running.id)
                    .with_attr("h", &running.inbound.tell().to_string());
                out.push(nonza::write(&resumed));
                let id = running.id.clone();
                self.link.again(out);
                // Behind what cannot go this way: for the link manager all that is settled now.
                out.push(Output::Resumable(id));
                self.link.release(out);
            }
            Err((session, AckError::TooHigh { h, sent })) => {
                out.push(Output::S2s(s2s::Output::Session(session)));
                self.link.fail(too_high(h, sent), now, out);
            }
            // What it has forgotten is not there any more.
            Err((session, AckError::Backwards { .. })) => {
                let handled = Counter(session.handled);
                let (late, ended) = session.end();
                out.extend(late.map(|envelope| Output::S2s(s2s::Output::Unsent(envelope))));
                out.push(Output::S2s(s2s::Output::Ended(ended)));
                out.push(failed(Condition::ItemNotFound, Some(handled)));
            }
        }
    }

    /// What is granted is not told for ever because the peer says nothing.
    fn mind_grace(&mut self, now: Now) {
        if !self.link.is_withholding() || self.asked.is_some() {
            self.grace = None;
        } else if self.grace.is_none() {
            self.grace = Some(now.instant + self.link.shared.options.grace);
        }
    }
}

impl s2s::Stream for Incoming {
    fn is_open(&self) -> bool {
        self.link.is_open()
    }

    fn is_encrypted(&self) -> bool {
        self.link.is_encrypted()
    }
}

impl Machine for Incoming {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, input: Input, now: Now, out: &mut Vec<Output>) {
        match input {
            Input::Received(received) => self.received(received, now, out),
            Input::S2s(s2s::Input::Session(found)) => self.found(found, now, out),
            input => self.link.input(input, now, out),
        }
        self.mind_grace(now);
    }

    fn handle_timeout(&mut self, now: Now, out: &mut Vec<Output>) {
        if self.grace.is_some_and(|grace| grace <= now.instant) {
            self.link.release(out);
        }
        self.link.handle_timeout(now, out);
        self.mind_grace(now);
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.grace.into_iter().chain(self.link.next_timeout()).min()
    }
}
