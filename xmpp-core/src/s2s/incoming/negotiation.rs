//! From a header to what has to be proven: features, TLS, bidi, SASL (RFC 6120 §4.3) and compression (XEP-0138).

use super::{Incoming, State};
use crate::BareJid;
use crate::s2s::compression::{self, Failure};
use crate::s2s::header::{self, BIDI, BIDI_FEATURE, SASL, TLS};
use crate::s2s::initiator::Initiator;
use crate::s2s::link::{Ending, is_dialback, nonza};
use crate::s2s::receiver::Receiver;
use crate::s2s::{Ask, Compression, Known, Output, Policy, dialback};
use crate::sasl::{self, Channel, Mechanism, decode, decode_initial};
use crate::stream::{self, StreamCondition, StreamError};
use crate::time::Now;
use crate::xml::{Element, StreamHeader};

impl Incoming {
    pub(super) fn header(
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
        // What SASL has proven is a pair, and the stream remains that pair's; so does one that begins anew because it is compressed.
        if (self.authenticated || self.link.compressed)
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
        self.link.dialback = header.dialback;
        self.link.lang = header.lang.map(Into::into);
        out.push(stream::Output::S2s(Output::Ask(Ask::Stream(pair.clone()))));
        self.pair = Some(pair);
        self.known = None;
        self.state = State::Asked { modern };
        Ok(())
    }

    /// What is known of the domains of the header.
    pub(super) fn opened(
        &mut self,
        modern: bool,
        known: Known,
        now: Now,
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
        self.be_patient();
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
        // What SASL has proven counts from here on: before, nothing could be sent either way.
        if self.authenticated
            && let Some(pair) = self.pair.clone()
        {
            self.link.accept(pair, out);
        }
        self.link.go_on(now, out);
        Ok(())
    }

    /// From the first header on it is known for how long the peer is waited for, if it is who it says: until that is proven it may not have the time.
    pub(super) fn be_patient(&mut self) {
        let (Some(pair), Some(known)) = (&self.pair, self.known) else {
            return;
        };
        let receiver = self.link.receiver.as_ref();
        let proven = receiver.is_some_and(|receiver| receiver.has_sender(pair.from()));
        let patience = known.policy.map_or(1, |policy| policy.patience);
        let may = known.patient || self.authenticated || proven;
        if patience <= 1 || !may || std::mem::replace(&mut self.patient, true) {
            return;
        }
        let before = self.link.settings.timeouts.login;
        self.link.settings = self.link.settings.clone().patient(patience);
        self.deadline += self.link.settings.timeouts.login.saturating_sub(before);
    }

    fn features(&self, known: Known, policy: Policy) -> Vec<Element> {
        let mut features = Vec::new();
        if self.may_start_tls() {
            let mut starttls = Element::new("starttls", TLS);
            if policy.tls {
                // RFC 6120 §5.3.1: with <required/> "the parties MUST consider TLS as mandatory-to-negotiate"
                starttls = starttls.with_child(Element::new("required", TLS));
            }
            features.push(starttls);
        }
        // XEP-0288 §2.1: "both before and after TLS negotiation"
        let begins = !self.authenticated && !self.link.compressed;
        if policy.bidi && self.link.initiator.is_none() && begins {
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
        if let Some(method) = self.offers_compression(known, policy) {
            features.push(compression::feature(method));
        }
        features.extend(self.link.settings.features.iter().cloned());
        features
    }

    /// XEP-0178 §3: "If the 'from' attribute of the stream header sent by Server1 can be matched against one of the
    /// identifiers provided in the certificate [...], Server2 SHOULD advertise the SASL EXTERNAL mechanism."
    fn offers_external(&self, known: Known, policy: Policy) -> bool {
        let begins = !self.authenticated && !self.link.compressed;
        self.link.tls && begins && policy.proof.is_external(known.certified)
    }

    /// XEP-0170 §3.3: "It seems safest to negotiate stream compression after negotiation of both TLS [...] and SASL", so it is offered when
    /// SASL is over; and where there is only dialback, behind which there are no features any more, beside that.
    fn offers_compression(&self, known: Known, policy: Policy) -> Option<Compression> {
        let offers = self.link.tls && !self.link.compressed && !self.offers_external(known, policy);
        policy.compression.filter(|_| offers)
    }

    /// Whether no key has come.
    fn is_fresh(&self) -> bool {
        self.link.receiver.as_ref().is_none_or(Receiver::is_idle)
    }

    fn may_start_tls(&self) -> bool {
        self.link.settings.starttls && !self.link.tls
    }

    /// An element on an open stream.
    pub(super) fn element(
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
            _ if compression::is_request(element) => {
                self.compress(element, now, out);
                Ok(())
            }
            // RFC 6120 §4.9.3.24: "a first-level child of the stream that is not supported"
            _ => Err(StreamCondition::UnsupportedStanzaType.into()),
        }
    }

    fn starttls(&mut self, out: &mut Vec<stream::Output>) -> Result<(), Ending> {
        if !self.may_start_tls() {
            // RFC 6120 §5.4.2.2: "the receiving entity MUST return a <failure/> element [...], close the XML stream, and terminate the
            // underlying TCP connection"
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
    pub(super) fn encrypted(&mut self, channel: &Channel) {
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

    /// `<compress/>`
    fn compress(&mut self, element: &Element, now: Now, out: &mut Vec<stream::Output>) {
        match self.compression(element) {
            Ok(method) => {
                // XEP-0138 §2: "If no error occurs, the receiving entity MUST inform the initiating entity that compression has been
                // successfully negotiated"
                nonza(&compression::accepted(), out);
                self.link.compress(method, out);
                self.deadline = now.instant + self.link.settings.timeouts.login;
                self.known = None;
                self.state = State::Opening;
            }
            // XEP-0138 §2: "Failure of the negotiation SHOULD NOT be treated as an unrecoverable error and therefore SHOULD NOT result in
            // a stream error."
            Err(failure) => nonza(&failure.element(), out),
        }
    }

    /// What is to be used of what is requested.
    fn compression(&self, element: &Element) -> Result<Compression, Failure> {
        // XEP-0138 §2: "If the initiating entity requests a stream compression method that is not supported by the receiving entity, the
        // receiving entity MUST return an <unsupported-method/> error"
        if !compression::names(element, Compression::Zlib) {
            return Err(Failure::Method);
        }
        // XEP-0138 §2: "If the receiving entity finds the requested method unacceptable or unworkable for any other reason, it MUST return
        // a <setup-failed/> error". XEP-0170 §3.3: behind TLS and what proves the peer, "to prevent certain denial-of-service attacks".
        let may = self.link.tls && self.link.is_proven() && !self.link.compressed;
        let policy = self.known.and_then(|known| known.policy);
        let method = policy.and_then(|policy| policy.compression);
        method.filter(|_| may).ok_or(Failure::Setup)
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
    pub(super) fn response(
        &mut self,
        element: &Element,
        out: &mut Vec<stream::Output>,
    ) -> Result<(), Ending> {
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
        // RFC 6120 §6.4.6: the receiving entity waits for a new initial stream header.
        out.push(stream::Output::Restart);
        self.link.greeted = false;
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
}
