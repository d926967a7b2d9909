//! XML as XMPP has it: the restricted, namespace-well-formed XML 1.0 of RFC 6120 §11.
//!
//! Bytes come in through a [`Reader`], which finds and checks one first-level element of a stream at a time, refuses
//! what breaks the rules while it arrives, and keeps nothing while nothing is pending. An [`Element`] is the tree for
//! whoever wants one; stanzas are relayed without it (see [`crate::stanza`]).
//!
//! One tokeniser decides what is XML, for the reader and for the tree alike: where it accepts, the payload may be
//! relayed to other people's streams byte for byte.

mod chars;
mod element;
mod error;
mod escape;
mod framer;
mod header;
mod inline;
mod limits;
mod reader;
mod scan;
mod scope;
mod tag;

pub use element::{Attribute, Element, Node};
pub use error::{Error, Limit};
pub use escape::{escape_attr, escape_text};
pub use header::{Content, StreamHeader, Version};
pub use limits::Limits;
pub use reader::{Reader, Received};

pub(crate) use chars::check_chars;
pub(crate) use element::{build_content, write_attr};
pub(crate) use escape::unescape_attr;
pub(crate) use inline::Inline;
pub(crate) use scan::{Scanned, Sink, scan_element, scan_start_tag};
pub(crate) use scope::Scope;
pub(crate) use tag::{Attr, Bound, Span, Tag};

/// Namespaces that the core itself knows.
pub mod ns {
    /// Stanzas on client streams. Inside the server, and in every [`Element`](super::Element), also the name of the
    /// content namespace of other streams.
    pub const CLIENT: &str = "jabber:client";
    /// Stanzas on server streams.
    pub const SERVER: &str = "jabber:server";
    /// Stanzas on the streams of XEP-0114 components.
    pub const COMPONENT: &str = "jabber:component:accept";
    /// The stream element, its features and its errors (RFC 6120 §4.8.1).
    pub const STREAM: &str = "http://etherx.jabber.org/streams";
    /// Conditions of stream errors (RFC 6120 §4.9.2).
    pub const STREAM_ERROR: &str = "urn:ietf:params:xml:ns:xmpp-streams";
    /// Conditions of stanza errors (RFC 6120 §8.3.2).
    pub const STANZA_ERROR: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
    /// What the prefix `xml` is always bound to.
    pub const XML: &str = "http://www.w3.org/XML/1998/namespace";
    /// What the prefix `xmlns` is always bound to.
    pub(crate) const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

    /// Whether `ns` is one that stanzas live in.
    pub(crate) fn is_content(ns: &str) -> bool {
        matches!(ns, CLIENT | SERVER | COMPONENT)
    }
}
