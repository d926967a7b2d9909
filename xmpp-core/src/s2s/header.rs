//! Stream headers and features between servers (RFC 6120 §4.7, §4.3.2).

use super::{Pair, Settings, dialback};
use crate::BareJid;
use crate::stream::{StreamCondition, StreamError};
use crate::xml::{Content, Element, StreamHeader, escape_attr, ns};

pub(super) const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
pub(super) const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
/// XEP-0288 §2.2
pub(super) const BIDI: &str = "urn:xmpp:bidi";
/// XEP-0288 §2.1
pub(super) const BIDI_FEATURE: &str = "urn:xmpp:features:bidi";

/// Our header. `id` is empty on the side that opens the connection.
pub(super) fn write(
    id: &str,
    from: Option<&BareJid>,
    to: Option<&BareJid>,
    version: bool,
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(320);
    // XEP-0220 §2.4.1: dialback is announced by its namespace, with the prefix that all know.
    bytes.extend_from_slice(
        b"<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' \
        xmlns:stream='http://etherx.jabber.org/streams' xml:lang='en'",
    );
    let attributes = [
        ("version", version.then_some("1.0")),
        ("id", Some(id).filter(|id| !id.is_empty())),
        ("from", from.map(BareJid::as_str)),
        ("to", to.map(BareJid::as_str)),
    ];
    for (name, value) in attributes {
        if let Some(value) = value {
            bytes.extend_from_slice(format!(" {name}='").as_bytes());
            escape_attr(value, &mut bytes);
            bytes.push(b'\'');
        }
    }
    bytes.push(b'>');
    bytes
}

/// A new stream ID, 128 random bits. RFC 6120 §4.7.3: "The stream ID MUST be both unpredictable and non-repeating"
pub(super) fn id(settings: &Settings) -> String {
    let mut id = [0; 16];
    settings.random.fill(&mut id);
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether the peer has stream features: its version is 1.0 at least (RFC 6120 §4.7.5).
pub(super) fn is_modern(header: &StreamHeader) -> bool {
    header.version.is_some_and(|version| version.major >= 1)
}

/// What any header has to be.
pub(super) fn check(header: &StreamHeader) -> Result<(), StreamError> {
    // RFC 6120 §4.9.3.10: "the stream namespace name is something other than "http://etherx.jabber.org/streams" [...] or
    // the content namespace declared as the default namespace is not supported"
    let content = matches!(header.content, Content::Server | Content::Undeclared);
    if header.ns != ns::STREAM || !content {
        return Err(StreamCondition::InvalidNamespace.into());
    }
    if header.name != "stream" {
        return Err(StreamCondition::BadFormat.into());
    }
    // Before 1.0 there was dialback, and nothing else.
    if !is_modern(header) && !header.dialback {
        return Err(StreamCondition::UnsupportedVersion.into());
    }
    Ok(())
}

/// The domains of the header of a stream that is opened to us.
pub(super) fn pair(header: &StreamHeader) -> Result<Pair, StreamError> {
    let domain = |raw: &str| BareJid::new(raw).ok().filter(BareJid::is_domain);
    let missing = |text| StreamError::new(StreamCondition::ImproperAddressing).with_text(text);
    let to = header.to.as_deref();
    let to = to.ok_or_else(|| missing("a 'to' attribute is required"))?;
    // RFC 6120 §4.9.3.6: "the value of the 'to' attribute [...] does not correspond to an FQDN that is serviced by the
    // receiving entity"
    let to = domain(to).ok_or(StreamCondition::HostUnknown)?;
    // RFC 6120 §4.7.1: between servers the initiating entity MUST say which domain it speaks for.
    let from = header.from.as_deref().and_then(domain);
    let from = from.ok_or_else(|| missing("'from' has to be a domain"))?;
    Ok(Pair::new(&from, &to))
}

/// `<stream:features/>`
pub(super) fn features(children: &[Element]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    bytes.extend_from_slice(b"<stream:features>");
    for child in children {
        child.write(ns::CLIENT, &mut bytes);
    }
    bytes.extend_from_slice(b"</stream:features>");
    bytes
}

/// Whether features or header say that the peer does dialback; and whether it handles its errors.
pub(super) fn dialback(features: Option<&Element>) -> (bool, bool) {
    let feature = features.and_then(|features| features.child("dialback", dialback::FEATURE_NS));
    let errors = feature.and_then(|feature| feature.child("errors", dialback::FEATURE_NS));
    (feature.is_some(), errors.is_some())
}
