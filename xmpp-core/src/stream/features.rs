//! Stream features (RFC 6120 §4.3.2) and what the client chooses of them.

use std::sync::Arc;

use super::{Output, Progress, StartTls, State, Stream, StreamCondition};
use crate::BareJid;
use crate::sasl::{Channel, Offer};
use crate::xml::{Element, ns};

pub(super) const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
pub(super) const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
pub(super) const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
pub(super) const SESSION: &str = "urn:ietf:params:xml:ns:xmpp-session";
const CHANNEL_BINDING: &str = "urn:xmpp:sasl-cb:0";

/// A stream feature of a module or a layer.
pub trait Feature: Send + Sync + 'static {
    /// The element in `<stream:features/>`, if it is offered to this client now.
    fn advertise(&self, to: &FeatureContext<'_>) -> Option<Element>;
}

/// Whom a feature is offered to.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct FeatureContext<'a> {
    /// The domain of the stream.
    pub domain: &'a BareJid,
    /// The account, once the client has logged in.
    pub account: Option<&'a BareJid>,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// Whether the client may send a password as it is: the connection is encrypted, or
    /// [`plain_without_tls`](crate::sasl::Policy::plain_without_tls) is set.
    pub passwords: bool,
}

impl Stream {
    pub(super) fn offer_features(&mut self, out: &mut Vec<Output>) {
        let progress = self.progress.clone();
        let settings = self.settings.clone();
        let before = self.before();
        let Some(domain) = before.domain.clone() else {
            return;
        };
        let may_log_in = before.may_log_in();
        let mut features = Element::new("features", ns::STREAM);
        let account = match &progress {
            Progress::LoggedIn(account) => Some(account),
            Progress::Connected => None,
        };
        let context = FeatureContext {
            domain: &domain.name,
            account,
            tls: before.channel.tls,
            passwords: before.may_send_passwords(),
        };
        if account.is_some() {
            features = features
                .with_child(Element::new("bind", BIND))
                // RFC 3921's session does nothing; old clients want to see it.
                .with_child(
                    Element::new("session", SESSION).with_child(Element::new("optional", SESSION)),
                );
        } else {
            if before.starttls != StartTls::Unavailable {
                let mut starttls = Element::new("starttls", TLS);
                if !may_log_in {
                    starttls = starttls.with_child(Element::new("required", TLS));
                }
                features = features.with_child(starttls);
            }
            if may_log_in {
                features = mechanisms(
                    features,
                    &Offer::to_client(&domain.sasl, &domain.name, &before.channel),
                );
            }
        }
        if account.is_some() || may_log_in {
            for feature in &settings.features {
                if let Some(element) = feature.advertise(&context) {
                    features = features.with_child(element);
                }
            }
        }
        let mut bytes = Vec::with_capacity(512);
        bytes.extend_from_slice(b"<stream:features>");
        for child in features.children() {
            child.write(ns::CLIENT, &mut bytes);
        }
        bytes.extend_from_slice(b"</stream:features>");
        out.push(Output::Write(bytes));
    }

    /// A nonza after the features.
    pub(super) fn choose(&mut self, element: &Element, out: &mut Vec<Output>) {
        let logged_in = self.progress != Progress::Connected;
        match (element.name(), element.ns()) {
            ("starttls", TLS) if !logged_in => self.starttls(out),
            ("auth", SASL) if !logged_in => self.begin_login(element, out),
            (_, SASL) => self.fail(StreamCondition::NotAuthorized, out),
            _ if !logged_in => self.fail(StreamCondition::NotAuthorized, out),
            _ => self.fail(StreamCondition::UnsupportedStanzaType, out),
        }
    }

    fn starttls(&mut self, out: &mut Vec<Output>) {
        if self.before().starttls == StartTls::Unavailable {
            // RFC 6120 §5.4.2.2: "the receiving entity MUST return a <failure/> element [...], close the XML stream, and
            // terminate the underlying TCP connection"
            out.push(Output::Write(
                b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>".to_vec(),
            ));
            self.footer(out);
            return self.closed(out);
        }
        out.push(Output::StartTls(
            b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
        ));
        self.state = State::Securing;
    }

    /// The handshake is over: everything said before is forgotten (RFC 6120 §5.4.3.3).
    pub(super) fn secured(&mut self, channel: Channel) {
        if matches!(self.state, State::Securing) {
            let before = self.before();
            before.channel = channel;
            before.starttls = StartTls::Unavailable;
            before.domain = None;
            self.lang = None;
            self.state = State::Opening;
            self.greeted = false;
        }
    }
}

fn mechanisms(features: Element, offer: &Arc<Offer>) -> Element {
    if offer.mechanisms().is_empty() {
        return features;
    }
    let mut list = Element::new("mechanisms", SASL);
    for mechanism in offer.mechanisms() {
        list = list.with_child(Element::new("mechanism", SASL).with_text(mechanism.name()));
    }
    let mut features = features.with_child(list);
    // XEP-0440 §2
    let mut bindings = Element::new("sasl-channel-binding", CHANNEL_BINDING);
    for name in offer.binding_names() {
        bindings = bindings
            .with_child(Element::new("channel-binding", CHANNEL_BINDING).with_attr("type", name));
    }
    if bindings.children().next().is_some() {
        features = features.with_child(bindings);
    }
    features
}
