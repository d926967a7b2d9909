//! Stream errors (RFC 6120 §4.9).

use crate::xml::{self, Element, ns};

/// What ends a stream, and how the peer is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamError {
    /// The defined condition.
    pub condition: StreamCondition,
    /// A text for people (English).
    pub text: Option<&'static str>,
    /// An application-specific condition (§4.9.4).
    pub detail: Option<Box<Element>>,
}

/// The defined conditions of RFC 6120 §4.9.3.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamCondition {
    /// §4.9.3.1
    BadFormat,
    /// §4.9.3.2
    BadNamespacePrefix,
    /// §4.9.3.3
    Conflict,
    /// §4.9.3.4
    ConnectionTimeout,
    /// §4.9.3.5
    HostGone,
    /// §4.9.3.6
    HostUnknown,
    /// §4.9.3.7
    ImproperAddressing,
    /// §4.9.3.8
    InternalServerError,
    /// §4.9.3.9
    InvalidFrom,
    /// §4.9.3.10
    InvalidNamespace,
    /// §4.9.3.11
    InvalidXml,
    /// §4.9.3.12
    NotAuthorized,
    /// §4.9.3.13
    NotWellFormed,
    /// §4.9.3.14
    PolicyViolation,
    /// §4.9.3.15
    RemoteConnectionFailed,
    /// §4.9.3.16
    Reset,
    /// §4.9.3.17
    ResourceConstraint,
    /// §4.9.3.18
    RestrictedXml,
    /// §4.9.3.19, with the `host[:port]` to go to.
    SeeOtherHost(String),
    /// §4.9.3.20
    SystemShutdown,
    /// §4.9.3.21
    UndefinedCondition,
    /// §4.9.3.22
    UnsupportedEncoding,
    /// §4.9.3.23
    UnsupportedFeature,
    /// §4.9.3.24
    UnsupportedStanzaType,
    /// §4.9.3.25
    UnsupportedVersion,
}

impl StreamError {
    /// An error without text.
    pub fn new(condition: StreamCondition) -> StreamError {
        StreamError {
            condition,
            text: None,
            detail: None,
        }
    }

    /// Another session has bound the same resource (§4.9.3.3).
    pub fn conflict() -> StreamError {
        StreamError {
            condition: StreamCondition::Conflict,
            text: Some("replaced by a new connection"),
            detail: None,
        }
    }

    /// With a text for people.
    pub fn with_text(mut self, text: &'static str) -> StreamError {
        self.text = Some(text);
        self
    }

    /// With an application-specific condition.
    pub fn with_detail(mut self, detail: Element) -> StreamError {
        self.detail = Some(Box::new(detail));
        self
    }

    /// As it goes on the wire, without the prefix `stream` declared anew: it
    /// stands inside the stream element.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut condition = Element::new(self.condition.name(), ns::STREAM_ERROR);
        if let StreamCondition::SeeOtherHost(host) = &self.condition {
            condition = condition.with_text(host);
        }
        out.extend_from_slice(b"<stream:error>");
        condition.write(ns::CLIENT, out);
        if let Some(text) = self.text {
            Element::new("text", ns::STREAM_ERROR)
                .with_lang("en")
                .with_text(text)
                .write(ns::CLIENT, out);
        }
        if let Some(detail) = &self.detail {
            detail.write(ns::CLIENT, out);
        }
        out.extend_from_slice(b"</stream:error>");
    }
}

impl StreamCondition {
    /// All names, in the order of RFC 6120 §4.9.3.
    pub const NAMES: [&'static str; 25] = [
        "bad-format",
        "bad-namespace-prefix",
        "conflict",
        "connection-timeout",
        "host-gone",
        "host-unknown",
        "improper-addressing",
        "internal-server-error",
        "invalid-from",
        "invalid-namespace",
        "invalid-xml",
        "not-authorized",
        "not-well-formed",
        "policy-violation",
        "remote-connection-failed",
        "reset",
        "resource-constraint",
        "restricted-xml",
        "see-other-host",
        "system-shutdown",
        "undefined-condition",
        "unsupported-encoding",
        "unsupported-feature",
        "unsupported-stanza-type",
        "unsupported-version",
    ];

    /// The name of its element.
    pub fn name(&self) -> &'static str {
        match self {
            StreamCondition::BadFormat => "bad-format",
            StreamCondition::BadNamespacePrefix => "bad-namespace-prefix",
            StreamCondition::Conflict => "conflict",
            StreamCondition::ConnectionTimeout => "connection-timeout",
            StreamCondition::HostGone => "host-gone",
            StreamCondition::HostUnknown => "host-unknown",
            StreamCondition::ImproperAddressing => "improper-addressing",
            StreamCondition::InternalServerError => "internal-server-error",
            StreamCondition::InvalidFrom => "invalid-from",
            StreamCondition::InvalidNamespace => "invalid-namespace",
            StreamCondition::InvalidXml => "invalid-xml",
            StreamCondition::NotAuthorized => "not-authorized",
            StreamCondition::NotWellFormed => "not-well-formed",
            StreamCondition::PolicyViolation => "policy-violation",
            StreamCondition::RemoteConnectionFailed => "remote-connection-failed",
            StreamCondition::Reset => "reset",
            StreamCondition::ResourceConstraint => "resource-constraint",
            StreamCondition::RestrictedXml => "restricted-xml",
            StreamCondition::SeeOtherHost(_) => "see-other-host",
            StreamCondition::SystemShutdown => "system-shutdown",
            StreamCondition::UndefinedCondition => "undefined-condition",
            StreamCondition::UnsupportedEncoding => "unsupported-encoding",
            StreamCondition::UnsupportedFeature => "unsupported-feature",
            StreamCondition::UnsupportedStanzaType => "unsupported-stanza-type",
            StreamCondition::UnsupportedVersion => "unsupported-version",
        }
    }
}

impl From<StreamCondition> for StreamError {
    fn from(condition: StreamCondition) -> StreamError {
        StreamError::new(condition)
    }
}

impl From<xml::Error> for StreamError {
    fn from(error: xml::Error) -> StreamError {
        let (condition, text) = match error {
            xml::Error::NotWellFormed => (StreamCondition::NotWellFormed, None),
            xml::Error::RestrictedXml => (StreamCondition::RestrictedXml, None),
            xml::Error::BadNamespacePrefix => (StreamCondition::BadNamespacePrefix, None),
            xml::Error::UnsupportedEncoding => (StreamCondition::UnsupportedEncoding, None),
            xml::Error::BadFormat => (StreamCondition::BadFormat, None),
            xml::Error::PolicyViolation(limit) => (
                StreamCondition::PolicyViolation,
                Some(match limit {
                    xml::Limit::StanzaBytes => "stanza too large",
                    xml::Limit::HeaderBytes => "stream header too large",
                    xml::Limit::Depth => "XML nested too deeply",
                    xml::Limit::Attributes => "too many attributes",
                    xml::Limit::Bindings => "too many namespace declarations",
                    xml::Limit::Children => "too many children",
                }),
            ),
        };
        StreamError {
            condition,
            text,
            detail: None,
        }
    }
}
