//! From our header to an open stream: features, TLS, the peer's certificate, bidi and SASL (RFC 6120 §4.3).

use super::{Outgoing, Sasl, State};
use crate::s2s::header::{self, BIDI, BIDI_FEATURE, SASL, TLS};
use crate::s2s::link::{Ending, nonza};
use crate::s2s::receiver::Receiver;
use crate::s2s::{Ask, Known, Output, Refusal, dialback};
use crate::sasl::{Channel, Mechanism, encode};
use crate::stream::{self, StreamCondition};
use crate::time::Now;
use crate::xml::{Element, StreamHeader};

impl Outgoing {
    /// Our header.
    pub(super) fn begin(&mut self, out: &mut Vec<stream::Output>) {
        // RFC 6120 §4.7.3: "For initial stream headers, the initiating entity MUST NOT include the 'id' attribute".
        self.link.id.clear();
        let (from, to) = (self.pair.from().clone(), self.pair.to().clone());
        self.link.greet(Some(&from), Some(&to), true, out);
        self.state = State::Opening;
    }

    /// The peer's header.
    pub(super) fn header(
        &mut self,
        header: StreamHeader,
        now: Now,
        out: &mut Vec<stream::Output>,
    ) -> Result<(), Ending> {
        header::check(&header)?;
        let modern = header::is_modern(&header);
        // RFC 6120 §4.7.3: "For response stream headers, the receiving entity MUST include the 'id' attribute"
        let id = header
            .id
            .filter(|id| (1..=dialback::ID_LEN_MAX).contains(&id.len()));
        self.link.id = id.ok_or(StreamCondition::BadFormat)?;
        self.link.lang = header.lang.map(Into::into);
        self.link.dialback = header.dialback;
        if modern {
            // RFC 6120 §4.3.2: the receiving entity sends its features.
            self.state = State::Waiting;
            return Ok(());
        }
        if self.link.compressed {
            return self.start(None, now, out);
        }
        if self.policy.tls && !self.link.tls {
            return Err(self.give_up(Refusal::Unencrypted, out));
        }
        self.ask(None, out);
        Ok(())
    }

    pub(super) fn features(
        &mut self,
        features: Element,
        now: Now,
        out: &mut Vec<stream::Output>,
    ) -> Result<(), Ending> {
        if !self.link.tls {
            // Without a certificate of our own there is no TLS, and a peer that does not require it can do without.
            if self.link.settings.starttls && features.child("starttls", TLS).is_some() {
                nonza(&Element::new("starttls", TLS), out);
                self.state = State::Proceeding;
                return Ok(());
            }
            if self.policy.tls {
                return Err(self.give_up(Refusal::Unencrypted, out));
            }
        }
        match self.sasl {
            _ if self.link.compressed => self.start(Some(&features), now, out),
            Sasl::Done => self.start(Some(&features), now, out),
            Sasl::Untried | Sasl::Failed => {
                self.ask(Some(features), out);
                Ok(())
            }
        }
    }

    /// RFC 6120 §13.7.2: is the certificate that the peer has shown one for its domain?
    fn ask(&mut self, features: Option<Element>, out: &mut Vec<stream::Output>) {
        let asked = Ask::Stream(self.pair.inverse());
        out.push(stream::Output::S2s(Output::Ask(asked)));
        self.state = State::Asked(features);
    }

    pub(super) fn proceed(
        &mut self,
        element: &Element,
        out: &mut Vec<stream::Output>,
    ) -> Result<(), Ending> {
        match (element.name(), element.ns()) {
            ("proceed", TLS) => {
                // The client's side of the handshake speaks first.
                out.push(stream::Output::StartTls(b""));
                self.state = State::Securing;
                Ok(())
            }
            ("failure", TLS) => Err(self.give_up(Refusal::Unencrypted, out)),
            _ => Err(StreamCondition::UnsupportedStanzaType.into()),
        }
    }

    /// The handshake is over: RFC 6120 §5.4.3.3, a new stream begins, and nothing of the old one counts.
    pub(super) fn encrypted(&mut self, channel: &Channel, out: &mut Vec<stream::Output>) {
        if matches!(self.state, State::Securing) {
            self.link.tls = channel.tls;
            self.begin(out);
        }
    }

    /// What is known of the peer.
    pub(super) fn known(
        &mut self,
        features: Option<Element>,
        known: Known,
        now: Now,
        out: &mut Vec<stream::Output>,
    ) -> Result<(), Ending> {
        let policy = match self.admit(known) {
            Ok(policy) => policy,
            Err(why) => return Err(self.give_up(why, out)),
        };
        self.policy = policy;
        let certified = known.certified && self.link.tls;
        let Some(features) = features else {
            return self.start(None, now, out);
        };
        if policy.bidi && features.child("bidi", BIDI_FEATURE).is_some() {
            // XEP-0288 §2.2: "This SHOULD be done before either SASL negotiation or Server Dialback."
            nonza(&Element::new("bidi", BIDI), out);
            self.link.receiver = Some(Receiver::default());
        }
        let wanted = self.pairs.contains(&self.pair);
        if wanted && offers_external(&features) && policy.proof.is_external(certified) {
            // XEP-0178 §3: "the connecting server SHOULD include the authorization identity for backward compability."
            let authzid = encode(self.pair.from().as_str().as_bytes());
            let auth = Element::new("auth", SASL)
                .with_attr("mechanism", Mechanism::External.name())
                .with_text(&authzid);
            nonza(&auth, out);
            self.state = State::Authenticating(features);
            return Ok(());
        }
        self.start(Some(&features), now, out)
    }

    pub(super) fn authenticated(
        &mut self,
        features: Element,
        element: &Element,
        now: Now,
        out: &mut Vec<stream::Output>,
    ) -> Result<(), Ending> {
        match (element.name(), element.ns()) {
            ("success", SASL) => {
                self.sasl = Sasl::Done;
                // RFC 6120 §6.4.6: "the initiating entity MUST initiate a new stream over the existing TCP connection".
                out.push(stream::Output::Restart);
                self.begin(out);
                Ok(())
            }
            ("failure", SASL) => {
                self.sasl = Sasl::Failed;
                self.start(Some(&features), now, out)
            }
            // EXTERNAL has one message, and it was sent.
            ("challenge", SASL) => {
                nonza(&Element::new("abort", SASL), out);
                self.state = State::Authenticating(features);
                Ok(())
            }
            _ => Err(StreamCondition::UnsupportedStanzaType.into()),
        }
    }

    /// The stream is open: what has waited is requested.
    fn start(
        &mut self,
        features: Option<&Element>,
        now: Now,
        out: &mut Vec<stream::Output>,
    ) -> Result<(), Ending> {
        let (feature, errors) = header::dialback(features);
        self.link.dialback |= feature;
        let proven = self.sasl == Sasl::Done || self.link.compressed;
        if !proven && !self.link.dialback {
            return Err(self.give_up(Refusal::NoMethod, out));
        }
        if let Some(initiator) = &mut self.link.initiator {
            initiator.multiplexes = errors;
        }
        self.state = State::Open;
        self.compression = features.and_then(|features| self.wanted_of(features));
        if self.sasl == Sasl::Done {
            let before = out.len();
            self.link.grant(self.pair.clone(), out);
            self.pairs.retain(|pair| *pair != self.pair);
            self.first(before, now, out);
        }
        if matches!(self.state, State::Open) {
            self.go_on(now, out);
        }
        Ok(())
    }

    /// The stream is open, and what it is: tells what is granted, and asks what has waited.
    pub(super) fn go_on(&mut self, now: Now, out: &mut Vec<stream::Output>) {
        let granted = self.granted.drain(..);
        out.extend(granted.map(|pair| stream::Output::S2s(Output::Granted(pair))));
        self.link.go_on(now, out);
        for pair in std::mem::take(&mut self.pairs) {
            self.request(pair, now, out);
        }
        for verify in std::mem::take(&mut self.verifies) {
            self.link.verify(verify, now, out);
        }
    }
}

fn offers_external(features: &Element) -> bool {
    let mechanisms = features.child("mechanisms", SASL);
    mechanisms.is_some_and(|mechanisms| {
        let external = Mechanism::External.name();
        mechanisms
            .children()
            .any(|mechanism| mechanism.text().trim() == external)
    })
}
