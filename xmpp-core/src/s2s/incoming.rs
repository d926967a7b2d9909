//! A stream that another server has opened to us.

use std::sync::Arc;
use std::time::Instant;

use super::header::{self, BIDI, BIDI_FEATURE, SASL, TLS};
use super::initiator::{Initiator, refuse, verified};
use super::link::{Ending, Link, is_dialback, is_error, nonza};
use super::receiver::Receiver;
use super::{Ask, Input, Known, Output, Pair, Policy, Refusal, Settings, Verdict, dialback};
use crate::BareJid;
use crate::machine::Machine;
use crate::sasl::{self, Channel, Mechanism, decode, decode_initial};
use crate::stream::{self, NotResumed, StreamCondition, StreamError};
use crate::time::Now;
use crate::xml::{Element, Received, StreamHeader};

/// The receiving side. See the [module](super).
///
/// It takes header after header, offers STARTTLS, EXTERNAL and dialback as the policy for the peer allows, and from the first proven pair on
/// delivers stanzas.
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
        }
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

    fn header(
        &mut self,
        header: StreamHeader,
        out: &mut Vec<stream::Output>,
    ) -> Result<(), Ending> {
        // Every restart has a header of its own in answer (RFC 6120 §4.3.3).
        self.link.greeted = false;
        self.link.id = header::id(&self.link.settings);
        if !std::mem::replace(&mut self.begun, true) {
            // The first one came in time; from here on the first proof has its own.
            let times = self.link.settings.timeouts;
            self.deadline += times.login.saturating_sub(times.header);
        }
        header::check(&header)?;
        let pair = header::pair(&header)?;
        // What SASL has proven is a pair, and the stream remains that pair's.
        if self.authenticated
            && let Some(proven) = &self.pair
        {
            if proven.from() != pair.from() {
                return Err(StreamCondition::InvalidFrom.into());
            }
            if proven.to() != pair.to() {
                return Err(StreamCondition::HostUnknown.into());
            }
        }
        let modern = header::is_modern(&header);
        self.link.lang = header.lang.map(Into::into);
        out.push(stream::Output::S2s(Output::Ask(Ask::Pair(pair.clone()))));
        self.pair = Some(pair);
        self.known = None;
        self.state = State::Asked { modern };
        Ok(())
    }

    /// What is known of the domains of the header.
    fn opened(
        &mut self,
        modern: bool,
        known: Known,
        out: &mut Vec<stream::Output>,
    ) -> Result<(), Ending> {
        if !known.ours {
            self.pair = None;
            return Err(StreamCondition::HostUnknown.into());
        }
        self.known = Some(known);
        let Some(policy) = known.policy else {
            return Err(StreamCondition::PolicyViolation.into());
        };
        if !modern && policy.tls && !self.link.tls {
            let error = StreamError::new(StreamCondition::UnsupportedVersion);
            return Err(error.with_text("encryption is required").into());
        }
        let (from, to) = self.ends();
        self.link.greet(from.as_ref(), to.as_ref(), modern, out);
        if modern {
            let features = self.features(known, policy);
            out.push(stream::Output::Write(header::features(&features)));
        }
        self.state = State::Open;
        Ok(())
    }

    fn features(&self, known: Known, policy: Policy) -> Vec<Element> {
        let mut features = Vec::new();
        if self.may_start_tls() {
            let mut starttls = Element::new("starttls", TLS);
            if policy.tls {
                // RFC 6120 §5.3.1: "If the receiving entity considers STARTTLS negotiation to be mandatory-to-negotiate"
                starttls = starttls.with_child(Element::new("required", TLS));
            }
            features.push(starttls);
        }
        // XEP-0288 §2.1: "both before and after TLS negotiation"
        if policy.bidi && self.link.initiator.is_none() && !self.authenticated {
            features.push(Element::new("bidi", BIDI_FEATURE));
        }
        if policy.tls && !self.link.tls {
            return features;
        }
        if self.offers_external(known, policy) {
            let external = Element::new("mechanism", SASL).with_text(Mechanism::External.name());
            features.push(Element::new("mechanisms", SASL).with_child(external));
        }
        features.push(dialback::feature());
        features.extend(self.link.settings.features.iter().cloned());
        features
    }

    /// XEP-0178 §3: "If the 'from' attribute of the stream header sent by Server1 can be matched against one of the
    /// identifiers provided in the certificate [...], Server2 SHOULD advertise the SASL EXTERNAL mechanism."
    fn offers_external(&self, known: Known, policy: Policy) -> bool {
        self.link.tls && !self.authenticated && policy.proof.is_external(known.certified)
    }

    /// Whether no key has come.
    fn is_fresh(&self) -> bool {
        self.link.receiver.as_ref().is_none_or(Receiver::is_idle)
    }

    fn may_start_tls(&self) -> bool {
        self.link.settings.starttls && !self.link.tls
    }

    /// An element on an open stream.
    fn element(
        &mut self,
        element: &Element,
        now: Now,
        out: &mut Vec<stream::Output>,
    ) -> Result<(), Ending> {
        match (element.name(), element.ns()) {
            _ if is_dialback(element) => self.link.dialback(element, now, out),
            ("starttls", TLS) => self.starttls(out),
            ("auth", SASL) if !self.authenticated => self.auth(element, out),
            (_, SASL) => Err(StreamCondition::NotAuthorized.into()),
            ("bidi", BIDI) => self.bidi(),
            // RFC 6120 §4.9.3.24: "a first-level child of the stream that is not supported"
            _ => Err(StreamCondition::UnsupportedStanzaType.into()),
        }
    }

    fn starttls(&mut self, out: &mut Vec<stream::Output>) -> Result<(), Ending> {
        if !self.may_start_tls() {
            // RFC 6120 §5.4.2.2: "the receiving entity MUST return a <failure/> element [...] and MUST terminate the XML
            // stream"
            nonza(&Element::new("failure", TLS), out);
            return Err(Ending::Clean);
        }
        // What is being proven would be forgotten.
        if !self.is_fresh() {
            return Err(StreamCondition::PolicyViolation.into());
        }
        out.push(stream::Output::StartTls(
            b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
        ));
        self.state = State::Securing;
        Ok(())
    }

    /// The handshake is over. RFC 6120 §5.4.3.3: the receiving entity "MUST discard any information transmitted in layers
    /// above TCP that it obtained from the initiating entity in an insecure manner before TLS took effect".
    fn secured(&mut self, channel: &Channel) {
        if matches!(self.state, State::Securing) {
            self.link.tls = channel.tls;
            self.link.greeted = false;
            self.link.lang = None;
            self.link.initiator = None;
            self.pair = None;
            self.known = None;
            self.state = State::Opening;
        }
    }

    fn bidi(&mut self) -> Result<(), Ending> {
        let policy = self.known.and_then(|known| known.policy);
        let Some(policy) = policy.filter(|policy| policy.bidi) else {
            return Err(StreamCondition::UnsupportedStanzaType.into());
        };
        // XEP-0288 §2.2: "This SHOULD be done before either SASL negotiation or Server Dialback", and §2.1: "STARTTLS
        // negotiation MUST be completed before enabling bidirectionality".
        let late = self.link.initiator.is_some() || self.link.is_proven();
        if late || policy.tls && !self.link.tls {
            return Err(StreamCondition::PolicyViolation.into());
        }
        // XEP-0288 §2.2: "a connecting server that uses bidi and dialback MUST support dialback error conditions"
        self.link.initiator = Some(Initiator::multiplexing());
        Ok(())
    }

    /// `<auth/>`
    fn auth(&mut self, element: &Element, out: &mut Vec<stream::Output>) -> Result<(), Ending> {
        if !self.link.tls {
            return self.refused(sasl::Condition::EncryptionRequired, out);
        }
        if element.attr("mechanism") != Some(Mechanism::External.name()) {
            return self.refused(sasl::Condition::InvalidMechanism, out);
        }
        // SASL begins the stream anew, with another ID, for which the keys that have come are not.
        if !self.is_fresh() {
            return self.refused(sasl::Condition::NotAuthorized, out);
        }
        match decode_initial(&element.text()) {
            Ok(Some(authzid)) => self.external(&authzid, out),
            Ok(None) => {
                nonza(&Element::new("challenge", SASL), out);
                self.state = State::Challenged;
                Ok(())
            }
            Err(failure) => self.refused(failure.condition, out),
        }
    }

    /// `<response/>` or `<abort/>`
    fn response(&mut self, element: &Element, out: &mut Vec<stream::Output>) -> Result<(), Ending> {
        match (element.name(), element.ns()) {
            ("response", SASL) => match decode(&element.text()) {
                Ok(authzid) => self.external(&authzid, out),
                Err(failure) => self.refused(failure.condition, out),
            },
            ("abort", SASL) => self.refused(sasl::Condition::Aborted, out),
            ("auth", SASL) => self.refused(sasl::Condition::MalformedRequest, out),
            _ => Err(StreamCondition::NotAuthorized.into()),
        }
    }

    fn external(&mut self, authzid: &[u8], out: &mut Vec<stream::Output>) -> Result<(), Ending> {
        let (Some(pair), Some(known)) = (self.pair.clone(), self.known) else {
            return Err(StreamCondition::NotAuthorized.into());
        };
        let offered = known
            .policy
            .is_some_and(|policy| self.offers_external(known, policy));
        if !offered {
            // XEP-0178 §3: "Else Server2 SHOULD return a <not-authorized/> error and either close Server1's TCP connection
            // or continue with a Server Dialback (XEP-0220) negotiation."
            return self.refused(sasl::Condition::NotAuthorized, out);
        }
        // XEP-0178 §3: "If Server2 needs to assign an authorization identity during SASL negotiation, it SHOULD use the value
        // of the 'from' attribute of the stream header sent by Server1."
        let asked = std::str::from_utf8(authzid).ok();
        let is_from = |asked: &str| BareJid::new(asked).is_ok_and(|asked| asked == *pair.from());
        if !asked.is_some_and(|asked| asked.is_empty() || is_from(asked)) {
            return self.refused(sasl::Condition::InvalidAuthzid, out);
        }
        nonza(&Element::new("success", SASL), out);
        self.authenticated = true;
        self.link.accept(pair, out);
        // RFC 6120 §6.4.6: the receiving entity waits for a new initial stream header.
        out.push(stream::Output::Restart);
        self.link.lang = None;
        self.state = State::Opening;
        Ok(())
    }

    fn refused(
        &mut self,
        condition: sasl::Condition,
        out: &mut Vec<stream::Output>,
    ) -> Result<(), Ending> {
        let condition = Element::new(condition.name(), SASL);
        nonza(&Element::new("failure", SASL).with_child(condition), out);
        self.state = State::Open;
        self.attempts += 1;
        // RFC 6120 §6.4.5: "If the initiating entity exceeds the number of retries, the receiving entity MUST close the
        // stream with a stream error, which SHOULD be <policy-violation/>"
        if self.attempts >= self.link.settings.limits.attempts {
            return Err(StreamCondition::PolicyViolation.into());
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
                self.opened(*modern, known, out)?;
            }
            (Input::Request(pair), State::Open) => self.request(pair, now, out),
            (Input::Verify(verify), State::Open) => self.link.verify(verify, now, out),
            (Input::Request(pair), _) => refuse(pair, Refusal::Direction, out),
            (Input::Verify(verify), _) => verified(verify, Verdict::NotFound, out),
            // What was asked before the stream ended.
            (Input::Known(..) | Input::Verified(..), State::Closing | State::Closed) => {}
            (Input::Known(pair, known), _) => self.link.known(&pair, known, now, out),
            (Input::Verified(verify, verdict), _) => {
                self.link.verified(&verify, verdict, now, out)?;
            }
            (Input::Open, _) => {}
        }
        Ok(())
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

    /// Ours and the peer's domain, for a header of ours.
    fn ends(&self) -> (Option<BareJid>, Option<BareJid>) {
        let pair = self.pair.as_ref();
        let ends = pair.map(|pair| (pair.to().clone(), pair.from().clone()));
        ends.unzip()
    }

    /// The machine has come to an end of its own.
    fn end(&mut self, ending: Ending, out: &mut Vec<stream::Output>) {
        let (from, to) = match self.known {
            Some(_) => self.ends(),
            None => (None, None),
        };
        let error = self.link.end(ending, from.as_ref(), to.as_ref(), out);
        self.closed(error, out);
    }

    /// The server wants the stream to end.
    fn close(&mut self, error: Option<StreamError>, now: Now, out: &mut Vec<stream::Output>) {
        match (&self.state, error) {
            (State::Closed, _) | (State::Closing, None) => {}
            (State::Closing, Some(_)) => self.closed(None, out),
            (_, Some(error)) => self.end(error.into(), out),
            (_, None) => self.part(now, out),
        }
    }

    /// Closes our side, and waits for the peer's.
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

impl Machine for Incoming {
    type Input = stream::Input;
    type Output = stream::Output;

    fn handle(&mut self, input: stream::Input, now: Now, out: &mut Vec<stream::Output>) {
        let done = match input {
            stream::Input::Received(received) => self.received(received, now, out),
            stream::Input::S2s(input) => self.told(input, now, out),
            stream::Input::Send(envelope) => {
                match self.state {
                    State::Open => self.link.send(envelope, now, out),
                    _ => out.push(stream::Output::S2s(Output::Unsent(envelope))),
                }
                Ok(())
            }
            stream::Input::Secured(channel) => {
                self.secured(&channel);
                Ok(())
            }
            stream::Input::Injected if matches!(self.state, State::Securing) => {
                let error = StreamError::new(StreamCondition::PolicyViolation);
                Err(error.with_text("data behind <starttls/>").into())
            }
            stream::Input::Unreadable(error) => match self.state {
                State::Closed => Ok(()),
                State::Closing => {
                    self.closed(None, out);
                    Ok(())
                }
                _ => Err(StreamError::from(error).into()),
            },
            stream::Input::Close(error) => {
                self.close(error, now, out);
                Ok(())
            }
            stream::Input::Eof => {
                if !matches!(self.state, State::Closed) {
                    self.closed(None, out);
                }
                Ok(())
            }
            // There is no layer that resumes.
            stream::Input::Resumed(_) => {
                out.push(stream::Output::Refuse(NotResumed::Unknown(None)));
                Ok(())
            }
            stream::Input::Injected
            | stream::Input::Answered(_)
            | stream::Input::Resume(_)
            | stream::Input::Settled
            | stream::Input::Flush => Ok(()),
        };
        if let Err(ending) = done {
            self.end(ending, out);
        }
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

#[cfg(test)]
mod tests;
