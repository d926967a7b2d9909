//! A stream that we open to another server.

use std::sync::Arc;
use std::time::Instant;

use super::initiator::{Initiator, refuse, verified};
use super::link::{Ending, Link, is_dialback, is_error};
use super::side::{Phase, Side};
use super::{
    Ask, Compression, Found, Input, Known, Output, Pair, Policy, Refusal, Settings, Verdict, Verify,
};
use crate::machine::Machine;
use crate::sasl::Channel;
use crate::stream::{self, StreamCondition};
use crate::time::Now;
use crate::xml::{Element, Received};

mod compressing;
mod negotiation;
#[cfg(test)]
mod tests;

/// The initiating side. See the [module](super).
///
/// [`Input::Open`] begins. What is requested before the stream is open waits, and then goes the shortest way that the policy for the
/// peer and its offer allow: EXTERNAL for the pair of the stream itself, if it is requested, and dialback for all others. Where the policy and the
/// peer's offer have it, the stream is compressed when the first pair is granted, before those above are told of that. A stream that is
/// opened only to have keys verified needs no pair at all.
pub struct Outgoing {
    link: Link,
    state: State,
    /// Our domain and the peer's, for the header.
    pair: Pair,
    policy: Policy,
    /// Requested before the stream is open.
    pairs: Vec<Pair>,
    verifies: Vec<Verify>,
    /// Requested with another Target Domain than that of the stream: is the certificate right for it too?
    asked: Vec<(Pair, Instant)>,
    /// SASL is over, well or badly.
    sasl: Sasl,
    /// How the stream is to be compressed when a pair is granted.
    compression: Option<Compression>,
    /// Granted, and not told: the stream is to be compressed first.
    granted: Vec<Pair>,
    /// What the peer has asked by dialback when it did not know that the stream is to be compressed.
    crossed: Vec<Element>,
    /// Until when the stream has to be open, or the peer has to close its side.
    deadline: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sasl {
    Untried,
    Failed,
    Done,
}

enum State {
    /// There is no connection.
    Idle,
    /// The peer's header is to come.
    Opening,
    /// Its features are to come.
    Waiting,
    /// They came, or it has none; is its certificate right?
    Asked(Option<Element>),
    /// `<starttls/>` is out.
    Proceeding,
    /// `<proceed/>` came.
    Securing,
    /// `<auth/>` is out; what the features offered beside it.
    Authenticating(Element),
    /// Pairs are requested and granted, and the stanzas of those that are flow.
    Open,
    /// `<compress/>` is out, and nothing may follow it.
    Compressing(Compression),
    /// Our `</stream:stream>` is out, the peer's is to come.
    Closing,
    /// The end.
    Closed,
}

impl Outgoing {
    /// A stream from the one domain of the pair to the other. `channel` says whether TLS is there already (XEP-0368); `policy`
    /// is that for the peer, until [`Input::Known`] brings a newer one.
    pub fn new(
        settings: Arc<Settings>,
        pair: Pair,
        policy: Policy,
        channel: &Channel,
        now: Now,
    ) -> Outgoing {
        let settings = settings.patient(policy.patience);
        let deadline = now.instant + settings.timeouts.login;
        let mut link = Link::new(settings, channel.tls, now);
        link.initiator = Some(Initiator::default());
        Outgoing {
            link,
            state: State::Idle,
            pair,
            policy,
            pairs: Vec::new(),
            verifies: Vec::new(),
            asked: Vec::new(),
            sasl: Sasl::Untried,
            compression: None,
            granted: Vec::new(),
            crossed: Vec::new(),
            deadline,
        }
    }

    /// We want to send a pair.
    fn request(&mut self, pair: Pair, now: Now, out: &mut Vec<stream::Output>) {
        if pair.to() == self.pair.to() {
            return self.link.request(pair, now, out);
        }
        if self.asked.iter().any(|(asked, _)| *asked == pair) {
            return;
        }
        let limits = self.link.settings.limits;
        if self.asked.len() >= limits.pairs {
            return refuse(pair, Refusal::Full, out);
        }
        out.push(stream::Output::S2s(Output::Ask(Ask::Pair(pair.inverse()))));
        self.asked.push((pair, now.instant + limits.answer));
    }

    /// What is known of the peer as another Target Domain: it is held to what the first one was.
    fn target_known(&mut self, ends: &Pair, known: Known, now: Now, out: &mut Vec<stream::Output>) {
        let pair = ends.inverse();
        let Some(at) = self.asked.iter().position(|(asked, _)| *asked == pair) else {
            return;
        };
        self.asked.remove(at);
        match self.admit(known) {
            Ok(_) => self.link.request(pair, now, out),
            Err(why) => refuse(pair, why, out),
        }
    }

    /// The policy, if the peer is good enough for it.
    fn admit(&self, known: Known) -> Result<Policy, Refusal> {
        let policy = known.policy.filter(|_| known.ours).ok_or(Refusal::Policy)?;
        if policy.tls && !self.link.tls {
            return Err(Refusal::Unencrypted);
        }
        // Without TLS nobody has shown anything.
        if !policy.proof.is_possible(known.certified && self.link.tls) {
            return Err(Refusal::Certificate);
        }
        Ok(policy)
    }

    /// What comes on an open stream, or on one that is to be compressed.
    fn open(
        &mut self,
        received: Received,
        now: Now,
        out: &mut Vec<stream::Output>,
    ) -> Result<(), Ending> {
        match received {
            Received::Stanza(stanza) => self.link.stanza(stanza, now, out)?,
            Received::Malformed(malformed) => self.link.malformed(&malformed, out)?,
            Received::Element(element) if is_dialback(&element) => {
                let before = out.len();
                self.link.dialback(&element, now, out)?;
                self.first(before, now, out);
            }
            Received::Element(_) => return Err(StreamCondition::UnsupportedStanzaType.into()),
            Received::Header(_) => return Err(StreamCondition::BadFormat.into()),
            Received::Close => return Err(Ending::Clean),
            Received::Whitespace => {}
        }
        Ok(())
    }

    /// Nothing that waits can be had on this stream.
    fn give_up(&mut self, why: Refusal, out: &mut Vec<stream::Output>) -> Ending {
        for pair in self.granted.drain(..).chain(self.pairs.drain(..)) {
            refuse(pair, why.clone(), out);
        }
        for verify in self.verifies.drain(..) {
            verified(verify, Verdict::NotFound, out);
        }
        Ending::Clean
    }

    /// What waits for the stream to open has waited in vain.
    fn refuse_all(&mut self, out: &mut Vec<stream::Output>) {
        let asked = self.asked.drain(..).map(|(pair, _)| pair);
        let granted = self.granted.drain(..);
        for pair in granted.chain(self.pairs.drain(..)).chain(asked) {
            refuse(pair, Refusal::Timeout, out);
        }
        for verify in self.verifies.drain(..) {
            verified(verify, Verdict::Timeout, out);
        }
    }
}

impl Side for Outgoing {
    const LAST: &'static str = "data behind <proceed/>";

    fn phase(&self) -> Phase {
        match &self.state {
            State::Idle => Phase::Idle,
            State::Opening
            | State::Waiting
            | State::Asked(_)
            | State::Proceeding
            | State::Authenticating(_)
            | State::Compressing(_) => Phase::Negotiating,
            State::Securing => Phase::Securing,
            State::Open => Phase::Open,
            State::Closing => Phase::Closing,
            State::Closed => Phase::Closed,
        }
    }

    fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    fn received(
        &mut self,
        received: Received,
        now: Now,
        out: &mut Vec<stream::Output>,
    ) -> Result<(), Ending> {
        self.link.heard(now);
        match (std::mem::replace(&mut self.state, State::Closed), received) {
            (State::Closed, _) => {}
            (state, Received::Whitespace) => self.state = state,
            (State::Closing, Received::Close) => self.closed(None, out),
            // RFC 6120 §4.4: what the peer sends until it closes its side is still processed.
            (State::Closing, Received::Stanza(stanza)) => {
                // It is closed already.
                let _ = self.link.stanza(stanza, now, out);
                self.state = State::Closing;
            }
            (State::Closing, _) => self.state = State::Closing,
            (State::Idle, _) => self.state = State::Idle,
            (_, Received::Close) => return Err(Ending::Clean),
            (_, Received::Element(element)) if is_error(&element) => {
                out.push(stream::Output::S2s(Output::PeerError(Box::new(element))));
                return Err(Ending::Clean);
            }
            (State::Opening, Received::Header(header)) => self.header(header, now, out)?,
            (State::Waiting, Received::Element(element)) if is_features(&element) => {
                self.features(element, now, out)?;
            }
            (State::Proceeding, Received::Element(element)) => self.proceed(&element, out)?,
            (State::Authenticating(features), Received::Element(element)) => {
                self.authenticated(features, &element, now, out)?;
            }
            (State::Compressing(method), Received::Element(element)) => {
                self.compressing(method, element, now, out)?;
            }
            (
                state @ State::Compressing(_),
                received @ (Received::Stanza(_) | Received::Malformed(_)),
            ) => {
                self.state = state;
                self.open(received, now, out)?;
            }
            (State::Open, received) => {
                self.state = State::Open;
                self.open(received, now, out)?;
            }
            (_, Received::Header(_)) => return Err(StreamCondition::BadFormat.into()),
            // RFC 6120 §4.9.3.12
            (_, Received::Stanza(_) | Received::Malformed(_)) => {
                return Err(StreamCondition::NotAuthorized.into());
            }
            // While the question is open the driver holds back what the peer sends; before the handshake nothing may come.
            (State::Asked(_) | State::Securing, Received::Element(_)) => {
                return Err(StreamCondition::PolicyViolation.into());
            }
            (State::Opening | State::Waiting, Received::Element(_)) => {
                return Err(StreamCondition::UnsupportedStanzaType.into());
            }
        }
        Ok(())
    }

    fn told(
        &mut self,
        input: Input,
        now: Now,
        out: &mut Vec<stream::Output>,
    ) -> Result<(), Ending> {
        let limits = self.link.settings.limits;
        match (std::mem::replace(&mut self.state, State::Closed), input) {
            // There is no layer that resumes.
            (state, Input::Session(found)) => {
                self.state = state;
                if let Found::Session(session) = found {
                    out.push(stream::Output::S2s(Output::Session(session)));
                }
            }
            (state, Input::Claimed(claim)) => {
                self.state = state;
                out.push(stream::Output::S2s(Output::Denied(claim)));
            }
            (State::Idle, Input::Open) => {
                self.deadline = now.instant + self.link.settings.timeouts.login;
                self.begin(out);
            }
            (State::Asked(features), Input::Known(pair, known)) if pair == self.pair.inverse() => {
                self.known(features, known, now, out)?;
            }
            (State::Open, input) => {
                self.state = State::Open;
                match input {
                    Input::Request(pair) => self.request(pair, now, out),
                    Input::Verify(verify) => self.link.verify(verify, now, out),
                    Input::Known(pair, known) => {
                        self.target_known(&pair, known, now, out);
                        let before = out.len();
                        self.link.known(&pair, known, now, out);
                        self.first(before, now, out);
                    }
                    Input::Verified(verify, verdict) => {
                        let before = out.len();
                        self.link.verified(&verify, verdict, now, out)?;
                        self.first(before, now, out);
                    }
                    Input::Open | Input::Session(_) | Input::Claimed(_) => {}
                }
            }
            (state @ (State::Closing | State::Closed), Input::Request(pair)) => {
                self.state = state;
                refuse(pair, Refusal::Direction, out);
            }
            (state @ (State::Closing | State::Closed), Input::Verify(verify)) => {
                self.state = state;
                verified(verify, Verdict::NotFound, out);
            }
            (state, Input::Request(pair)) => {
                self.state = state;
                if self.pairs.contains(&pair) {
                    return Ok(());
                }
                match self.pairs.len() < limits.pairs {
                    true => self.pairs.push(pair),
                    false => refuse(pair, Refusal::Full, out),
                }
            }
            (state, Input::Verify(verify)) => {
                self.state = state;
                match self.verifies.len() < limits.verifies {
                    true => self.verifies.push(verify),
                    false => verified(verify, Verdict::NotFound, out),
                }
            }
            // What was asked before the stream ended, or never.
            (state, Input::Open | Input::Known(..) | Input::Verified(..)) => self.state = state,
        }
        Ok(())
    }

    fn secured(&mut self, channel: &Channel, out: &mut Vec<stream::Output>) {
        self.encrypted(channel, out);
    }

    fn end(&mut self, ending: Ending, out: &mut Vec<stream::Output>) {
        let (from, to) = (self.pair.from().clone(), self.pair.to().clone());
        let error = self.link.end(ending, Some(&from), Some(&to), out);
        self.closed(error, out);
    }

    fn part(&mut self, now: Now, out: &mut Vec<stream::Output>) {
        self.link.end(Ending::Clean, None, None, out);
        self.refuse_all(out);
        self.deadline = now.instant + self.link.settings.timeouts.close;
        self.state = State::Closing;
    }

    fn closed(&mut self, error: Option<StreamCondition>, out: &mut Vec<stream::Output>) {
        self.link.abandon(out);
        self.refuse_all(out);
        out.push(stream::Output::Close(error));
        self.state = State::Closed;
    }
}

impl super::Stream for Outgoing {
    fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    fn is_encrypted(&self) -> bool {
        self.link.tls
    }
}

impl Machine for Outgoing {
    type Input = stream::Input;
    type Output = stream::Output;

    fn handle(&mut self, input: stream::Input, now: Now, out: &mut Vec<stream::Output>) {
        self.input(input, now, out);
    }

    fn handle_timeout(&mut self, now: Now, out: &mut Vec<stream::Output>) {
        match self.state {
            State::Closed => {}
            State::Open => {
                for (pair, _) in self
                    .asked
                    .extract_if(.., |(_, until)| *until <= now.instant)
                {
                    refuse(pair, Refusal::Timeout, out);
                }
                if self.link.tick(now, out).is_err() {
                    self.part(now, out);
                }
            }
            _ if now.instant < self.deadline => {}
            State::Closing | State::Idle => self.closed(None, out),
            _ => self.end(StreamCondition::ConnectionTimeout.into(), out),
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Closed => None,
            State::Open => {
                let asked = self.asked.iter().map(|(_, until)| *until);
                Some(asked.fold(self.link.next_timeout(), Instant::min))
            }
            _ => Some(self.deadline),
        }
    }
}

fn is_features(element: &Element) -> bool {
    element.is("features", crate::xml::ns::STREAM)
}
