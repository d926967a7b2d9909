use std::fmt;

/// Why a stream cannot be read any further. Each is one stream error of RFC 6120 §4.9.3, named in its description;
/// after any of them the stream is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Error {
    /// `not-well-formed` (§4.9.3.13): breaks XML 1.0 or Namespaces in XML (§11.3).
    NotWellFormed,
    /// `restricted-xml` (§4.9.3.18): a comment, processing instruction, DTD, or entity other than the five
    /// predefined ones (§11.1); an XML version other than 1.0.
    RestrictedXml,
    /// `bad-namespace-prefix` (§4.9.3.2): the stream element has a prefix that it does not declare.
    BadNamespacePrefix,
    /// `unsupported-encoding` (§4.9.3.22): bytes that are not UTF-8, or a declaration of another encoding (§11.6).
    UnsupportedEncoding,
    /// `bad-format` (§4.9.3.1): text between first-level elements.
    BadFormat,
    /// `policy-violation` (§4.9.3.14): more than the reader's [`Limits`](super::Limits) allow.
    PolicyViolation(Limit),
}

/// Which of the [`Limits`](super::Limits) was exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// [`Limits::stanza_bytes`](super::Limits::stanza_bytes)
    StanzaBytes,
    /// [`Limits::header_bytes`](super::Limits::header_bytes)
    HeaderBytes,
    /// [`Limits::depth`](super::Limits::depth)
    Depth,
    /// [`Limits::attributes`](super::Limits::attributes)
    Attributes,
    /// [`Limits::bindings`](super::Limits::bindings)
    Bindings,
    /// [`Limits::children`](super::Limits::children)
    Children,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NotWellFormed => f.write_str("XML is not well-formed"),
            Error::RestrictedXml => f.write_str("XML uses a feature that XMPP forbids"),
            Error::BadNamespacePrefix => f.write_str("stream element has an undeclared prefix"),
            Error::UnsupportedEncoding => f.write_str("XML is not UTF-8"),
            Error::BadFormat => f.write_str("text between first-level elements"),
            Error::PolicyViolation(limit) => write!(f, "XML has {limit}"),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Limit::StanzaBytes => "a first-level element that is too large",
            Limit::HeaderBytes => "a stream header that is too large",
            Limit::Depth => "elements nested too deeply",
            Limit::Attributes => "too many attributes",
            Limit::Bindings => "too many namespace declarations",
            Limit::Children => "too many children",
        })
    }
}

impl std::error::Error for Error {}
