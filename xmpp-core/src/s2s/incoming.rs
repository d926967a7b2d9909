//! A stream that another server has opened to us.

use std::sync::Arc;
use std::time::Instant;

use super::initiator::{refuse, verified};
use super::link::{Ending, Link, is_error};
use super::receiver::Receiver;
use super::side::{Phase, Side};
use super::{Found, Input, Known, Output, Pair, Refusal, Settings, Verdict};
use crate::BareJid;
use crate::machine::Machine;
use crate::sasl::Channel;
use crate::stream::{self, StreamCondition};
use crate::time::Now;
use crate::xml::Received;

mod negotiation;
#[cfg(test)]
mod tests;

/// The receiving side. See the [module](super).
///
/// It takes header after header, offers STARTTLS, EXTERNAL, dialback and compression as the policy for the peer allows, and from the first proven
/// pair on delivers stanzas.
pub struct Incoming {
    link: Link,
    state: State,
    /// The domains of the header: the peer's and ours.
    pair: Option<Pair>,
    known: Option<Known>,
    /// SASL is over.
    authenticated: bool,
    attempts: u32,
    /// Until when a pair has to be proven, or the peer has to close its side.
    deadline: Instant,
    /// The first header has come.
    begun: bool,
    /// The peer is waited for longer than others.
    patient: bool,
}

enum State {
    /// A header is to come.
    Opening,
    /// It came; what is known of its domains?
    Asked {
        /// The peer has stream features.
        modern: bool,
    },
    /// Features are out. Pairs are proven, and the stanzas of those that are flow.
    Open,
    /// `<starttls/>` came.
    Securing,
    /// `<auth/>` came without its initial response.
    Challenged,
    /// Our `</stream:stream>` is out, the peer's is to come.
    Closing,
    /// The end.
    Closed,
}

impl Incoming {
    /// A stream on a new connection. `channel` says whether TLS is there already (XEP-0368).
    pub fn new(settings: Arc<Settings>, channel: &Channel, now: Now) -> Incoming {
        let times = settings.timeouts;
        let mut link = Link::new(settings, channel.tls, now);
        link.receiver = Some(Receiver::default());
        Incoming {
            link,
            state: State::Opening,
            pair: None,
            known: None,
            authenticated: false,
            attempts: 0,
            deadline: now.instant + times.header.min(times.login),
            begun: false,
            patient: false,
        }
    }

    /// We want to send a pair back. XEP-0288 §2.2: "the receiving server MAY initiate Server Dialback authentications for other
    /// domains it hosts to any domain authenticated to be hosted by the connecting server."
    fn request(&mut self, pair: Pair, now: Now, out: &mut Vec<stream::Output>) {
        let receiver = self.link.receiver.as_ref();
        match receiver.is_some_and(|receiver| receiver.has_sender(pair.to())) {
            true => self.link.request(pair, now, out),
            false => refuse(pair, Refusal::Direction, out),
        }
    }

    /// Whether the stream is open, or will be again.
    fn may_ask(&self) -> bool {
        matches!(self.phase(), Phase::Open | Phase::Renewing)
    }

    /// Ours and the peer's domain, for a header of ours.
    fn ends(&self) -> (Option<BareJid>, Option<BareJid>) {
        let pair = self.pair.as_ref();
        let ends = pair.map(|pair| (pair.to().clone(), pair.from().clone()));
        ends.unzip()
    }
}

impl Side for Incoming {
    const LAST: &'static str = "data behind <starttls/>";

    fn phase(&self) -> Phase {
        match &self.state {
            State::Opening | State::Asked { .. } if self.link.is_proven() => Phase::Renewing,
            State::Opening | State::Asked { .. } | State::Challenged => Phase::Negotiating,
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
        match (&self.state, received) {
            (State::Closed, _) | (_, Received::Whitespace) => {}
            (State::Closing, Received::Close) => self.closed(None, out),
            // RFC 6120 §4.4: what the peer sends until it closes its side is still processed.
            (State::Closing, Received::Stanza(stanza)) => {
                // It is closed already.
                let _ = self.link.stanza(stanza, now, out);
            }
            (State::Closing, _) => {}
            (_, Received::Close) => return Err(Ending::Clean),
            (_, Received::Element(element)) if is_error(&element) => {
                out.push(stream::Output::S2s(Output::PeerError(Box::new(element))));
                return Err(Ending::Clean);
            }
            (State::Opening, Received::Header(header)) => self.header(header, out)?,
            (State::Open, Received::Element(element)) => self.element(&element, now, out)?,
            (State::Challenged, Received::Element(element)) => self.response(&element, out)?,
            (State::Open, Received::Stanza(stanza)) => self.link.stanza(stanza, now, out)?,
            (State::Open, Received::Malformed(it)) => self.link.malformed(&it, out)?,
            // A second header where none is expected.
            (_, Received::Header(_)) => return Err(StreamCondition::BadFormat.into()),
            // RFC 6120 §4.9.3.12: nothing is proven, or the proof has not been told.
            (State::Opening | State::Challenged, Received::Stanza(_) | Received::Malformed(_)) => {
                return Err(StreamCondition::NotAuthorized.into());
            }
            (State::Opening, Received::Element(_)) => {
                return Err(StreamCondition::UnsupportedStanzaType.into());
            }
            // While the question is open the driver holds back what the peer sends, and after <starttls/> nothing may come.
            (State::Asked { .. } | State::Securing, _) => {
                return Err(StreamCondition::PolicyViolation.into());
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
        match (input, &self.state) {
            (Input::Known(pair, known), State::Asked { modern })
                if self.pair.as_ref() == Some(&pair) =>
            {
                self.opened(*modern, known, now, out)?;
            }
            (Input::Request(pair), _) if self.may_ask() => self.request(pair, now, out),
            (Input::Verify(verify), _) if self.may_ask() => self.link.verify(verify, now, out),
            (Input::Request(pair), _) => refuse(pair, Refusal::Direction, out),
            (Input::Verify(verify), _) => verified(verify, Verdict::NotFound, out),
            // What was asked before the stream ended.
            (Input::Known(..) | Input::Verified(..), State::Closing | State::Closed) => {}
            (Input::Known(pair, known), _) => {
                self.link.known(&pair, known, now, out);
                self.be_patient();
            }
            (Input::Verified(verify, verdict), _) => {
                self.link.verified(&verify, verdict, now, out)?;
                self.be_patient();
            }
            // There is no layer that resumes.
            (Input::Session(Found::Session(session)), _) => {
                out.push(stream::Output::S2s(Output::Session(session)));
            }
            (Input::Claimed(claim), _) => out.push(stream::Output::S2s(Output::Denied(claim))),
            (Input::Open | Input::Session(_), _) => {}
        }
        Ok(())
    }

    fn secured(&mut self, channel: &Channel, _out: &mut Vec<stream::Output>) {
        self.encrypted(channel);
    }

    fn end(&mut self, ending: Ending, out: &mut Vec<stream::Output>) {
        let (from, to) = match self.known {
            Some(_) => self.ends(),
            None => (None, None),
        };
        let error = self.link.end(ending, from.as_ref(), to.as_ref(), out);
        self.closed(error, out);
    }

    fn part(&mut self, now: Now, out: &mut Vec<stream::Output>) {
        if !self.link.greeted {
            return self.closed(None, out);
        }
        self.link.end(Ending::Clean, None, None, out);
        self.deadline = now.instant + self.link.settings.timeouts.close;
        self.state = State::Closing;
    }

    fn closed(&mut self, error: Option<StreamCondition>, out: &mut Vec<stream::Output>) {
        self.link.abandon(out);
        out.push(stream::Output::Close(error));
        self.state = State::Closed;
    }
}

impl super::Stream for Incoming {
    fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    fn is_encrypted(&self) -> bool {
        self.link.tls
    }
}

impl Machine for Incoming {
    type Input = stream::Input;
    type Output = stream::Output;

    fn handle(&mut self, input: stream::Input, now: Now, out: &mut Vec<stream::Output>) {
        self.input(input, now, out);
    }

    fn handle_timeout(&mut self, now: Now, out: &mut Vec<stream::Output>) {
        match self.state {
            State::Closed => {}
            State::Open if self.link.is_proven() => {
                if self.link.tick(now, out).is_err() {
                    self.part(now, out);
                }
            }
            State::Closing if now.instant >= self.deadline => self.closed(None, out),
            State::Closing => {}
            _ if now.instant >= self.deadline => {
                self.end(StreamCondition::ConnectionTimeout.into(), out);
            }
            _ => {
                if self.link.tick(now, out).is_err() {
                    self.part(now, out);
                }
            }
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Closed => None,
            State::Closing => Some(self.deadline),
            State::Open if self.link.is_proven() => Some(self.link.next_timeout()),
            _ => Some(self.deadline.min(self.link.next_timeout())),
        }
    }
}
