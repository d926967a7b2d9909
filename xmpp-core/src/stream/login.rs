//! SASL on the stream (RFC 6120 §6).

use super::features::SASL;
use super::{Ask, Output, Progress, State, Stream, StreamCondition};
use crate::sasl::{
    Failure, Identity, Input, Negotiation, Nonce, Offer, Step, decode, decode_initial, encode,
    encode_optional,
};
use crate::xml::Element;
use crate::{BareJid, sasl};

impl Stream {
    /// `<auth/>`
    pub(super) fn begin_login(&mut self, element: &Element, out: &mut Vec<Output>) {
        let mut nonce = [0; sasl::NONCE_LEN];
        self.settings.random.fill(&mut nonce);
        let before = self.before();
        let Some(domain) = &before.domain else {
            return self.fail(StreamCondition::NotAuthorized, out);
        };
        if !before.may_log_in() {
            // RFC 6120 §6.3.4: no mechanism has been offered.
            return self.refused(sasl::Condition::EncryptionRequired.into(), out);
        }
        let offer = Offer::to_client(&domain.sasl, &domain.name, &before.channel);
        before.tried = None;
        before.mechanism = None;
        let mut sasl = Box::new(Negotiation::new(offer, Nonce::from(nonce)));
        let initial = match decode_initial(&element.text()) {
            Ok(initial) => initial,
            Err(failure) => return self.refused(failure, out),
        };
        let mechanism = element.attr("mechanism").unwrap_or_default();
        before.mechanism = mechanism.parse().ok();
        let step = sasl.handle(Input::Auth {
            mechanism,
            initial: initial.as_deref(),
        });
        self.take(sasl, step, out);
    }

    /// `<response/>` or `<abort/>`
    pub(super) fn continue_login(
        &mut self,
        mut sasl: Box<Negotiation>,
        element: &Element,
        out: &mut Vec<Output>,
    ) {
        match (element.name(), element.ns()) {
            ("response", SASL) => match decode(&element.text()) {
                Ok(message) => self.step(sasl, Input::Response(&message), out),
                Err(failure) => self.refused(failure, out),
            },
            ("abort", SASL) => self.step(sasl, Input::Abort, out),
            // A new attempt in the middle of one: RFC 6120 §6.4.4 knows only <abort/>.
            ("auth", SASL) => {
                let step = sasl.handle(Input::Auth {
                    mechanism: "",
                    initial: None,
                });
                self.take(sasl, step, out);
            }
            _ => self.fail(StreamCondition::NotAuthorized, out),
        }
    }

    pub(super) fn step(
        &mut self,
        mut sasl: Box<Negotiation>,
        input: Input<'_>,
        out: &mut Vec<Output>,
    ) {
        let step = sasl.handle(input);
        self.take(sasl, step, out);
    }

    fn take(&mut self, sasl: Box<Negotiation>, step: Step, out: &mut Vec<Output>) {
        match step {
            Step::Challenge(message) => {
                nonza("challenge", &encode(&message), out);
                self.state = State::Authenticating(sasl);
            }
            Step::Ask(ask) => {
                self.before().tried = Some(match &ask {
                    sasl::Ask::Credentials(account) | sasl::Ask::Account(account) => {
                        account.clone()
                    }
                    sasl::Ask::Password(check) => check.account().clone(),
                });
                out.push(Output::Ask(Ask::Sasl(ask)));
                self.state = State::AskedSasl(sasl);
            }
            Step::Failure(failure) => self.refused(failure, out),
            Step::Success { identity, data } => self.logged_in(identity, data.as_deref(), out),
        }
    }

    fn logged_in(&mut self, identity: Identity, data: Option<&[u8]>, out: &mut Vec<Output>) {
        let account = match identity {
            Identity::Jid(account) => account,
            Identity::Anonymous => match self.anonymous() {
                Some(account) => account,
                None => return self.fail(StreamCondition::InternalServerError, out),
            },
        };
        let Some(mechanism) = self.before().mechanism else {
            return self.fail(StreamCondition::InternalServerError, out);
        };
        nonza("success", &encode_optional(data), out);
        out.push(Output::LoggedIn {
            account: account.clone(),
            mechanism,
        });
        // RFC 6120 §6.4.6: "the receiving entity MUST … wait for a new initial stream header"
        out.push(Output::Restart);
        self.progress = Progress::LoggedIn(account);
        self.lang = None;
        self.state = State::Opening;
    }

    /// RFC 4505: an address that nobody has.
    fn anonymous(&mut self) -> Option<BareJid> {
        let mut name = [0; 16];
        self.settings.random.fill(&mut name);
        let local: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        let domain = &self.before().domain.as_ref()?.name;
        BareJid::new(&format!("{local}@{domain}")).ok()
    }

    /// A login failed: the driver says when the client may hear of it.
    fn refused(&mut self, failure: Failure, out: &mut Vec<Output>) {
        let before = self.before();
        before.attempts += 1;
        let account = before.tried.take();
        let mechanism = before.mechanism.take();
        let Some(domain) = before.domain.as_ref().map(|domain| domain.name.clone()) else {
            return self.fail(StreamCondition::NotAuthorized, out);
        };
        match (failure.condition, mechanism) {
            // Nobody's password was tried.
            (
                sasl::Condition::Aborted
                | sasl::Condition::IncorrectEncoding
                | sasl::Condition::MalformedRequest
                | sasl::Condition::InvalidMechanism
                | sasl::Condition::EncryptionRequired
                | sasl::Condition::TemporaryAuthFailure,
                _,
            )
            | (_, None) => self.tell_failure(&failure, out),
            (_, Some(mechanism)) => {
                out.push(Output::Ask(Ask::Failed {
                    account,
                    domain,
                    mechanism,
                }));
                self.state = State::Failing(failure);
            }
        }
    }

    pub(super) fn tell_failure(&mut self, failure: &Failure, out: &mut Vec<Output>) {
        let mut element =
            Element::new("failure", SASL).with_child(Element::new(failure.condition.name(), SASL));
        if let Some(text) = failure.text {
            element =
                element.with_child(Element::new("text", SASL).with_lang("en").with_text(text));
        }
        let mut bytes = Vec::new();
        element.write(crate::xml::ns::CLIENT, &mut bytes);
        out.push(Output::Write(bytes));
        self.state = State::Negotiating;
        // RFC 6120 §6.4.5: "If the initiating entity exceeds the number of retries, the
        // receiving entity MUST close the stream with a stream error, which SHOULD be
        // <policy-violation/>"
        if self.before().attempts >= self.settings.login_attempts {
            self.fail(StreamCondition::PolicyViolation, out);
        }
    }
}

fn nonza(name: &'static str, text: &str, out: &mut Vec<Output>) {
    let mut bytes = Vec::with_capacity(64 + text.len());
    Element::new(name, SASL)
        .with_text(text)
        .write(crate::xml::ns::CLIENT, &mut bytes);
    out.push(Output::Write(bytes));
}
