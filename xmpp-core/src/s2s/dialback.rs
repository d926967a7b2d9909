//! Server Dialback (XEP-0220): its two elements, and keys as XEP-0185 makes them.
//!
//! ```
//! use xmpp_core::s2s::Pair;
//! use xmpp_core::s2s::dialback::Secret;
//!
//! let secret = Secret::new(b"s3cr3tf0rd14lb4ck");
//! let pair = Pair::new(&"example.org".parse()?, &"xmpp.example.com".parse()?);
//! let key = secret.key(&pair, "D60000229F");
//! assert_eq!(key, "37c69b1cf07a3f67c04a5ef5902fa5114f2c76fe4a2686482ba5b89323075643");
//! assert!(secret.has_made(&key, &pair, "D60000229F"));
//! # Ok::<(), xmpp_core::JidError>(())
//! ```

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::Pair;
use crate::BareJid;
use crate::stanza::{Condition, StanzaError};
use crate::xml::{Element, escape_attr, escape_text, ns};

/// The namespace of `<db:result/>` and `<db:verify/>`.
pub const NS: &str = "jabber:server:dialback";

/// The namespace of the stream feature (§2.4.2).
pub const FEATURE_NS: &str = "urn:xmpp:features:dialback";

/// The most bytes of a key; one of XEP-0185 has 64.
pub const KEY_LEN_MAX: usize = 512;

/// The most bytes of a stream ID.
pub const ID_LEN_MAX: usize = 512;

/// What all machines that send for a domain share (XEP-0185 §2: "a secret known by the Authoritative Server's network").
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// From a random string or a configured one; bytes of any number, of which 32 are enough.
    ///
    /// XEP-0185 §2: "The Secret MUST either be set up in a configuration option for each host or process, or generated as a
    /// random string when starting the XMPP server."
    pub fn new(secret: &[u8]) -> Secret {
        // "the Secret SHOULD be hashed via SHA256"; "The output of the SHA256 hashing algorithm MUST be provided in the
        // hexadecimal representation"
        Secret(Zeroizing::new(hex(&Sha256::digest(secret))))
    }

    /// The key that proves to `pair.to()`, on the stream to which it gave the ID, that the sender knows the secret.
    pub fn key(&self, pair: &Pair, stream_id: &str) -> String {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(self.0.as_bytes())
            .expect("HMAC takes a key of any length");
        // { Receiving Server, ' ', Originating Server, ' ', Stream ID }
        for part in [
            pair.to().as_str(),
            " ",
            pair.from().as_str(),
            " ",
            stream_id,
        ] {
            mac.update(part.as_bytes());
        }
        hex(&mac.finalize().into_bytes())
    }

    /// Whether the key is [that of](Secret::key) this pair and stream. How long it takes does not tell how much of it is right.
    pub fn has_made(&self, key: &str, pair: &Pair, stream_id: &str) -> bool {
        let right = self.key(pair, stream_id);
        right.as_bytes().ct_eq(key.as_bytes()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A dialback element: a step of §1.4.
///
/// The pair is always that which is to be proven, so that an answer bears the pair of its request although its `from` and
/// `to` are exchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialback {
    /// What is to be proven.
    pub pair: Pair,
    /// `<db:verify/>` with this stream ID, or else `<db:result/>`.
    pub id: Option<String>,
    /// What it says.
    pub says: Says,
}

/// What a dialback element says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Says {
    /// The key (steps 1 and 2), which the next entity is to verify.
    Key(String),
    /// `type='valid'`
    Valid,
    /// `type='invalid'`: the key is not that of the Sender Domain.
    Invalid,
    /// `type='error'`: whether it is could not be found out (§2.5).
    Error(StanzaError),
}

/// What makes an element in the dialback namespace no dialback element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// It is neither `<db:result/>` nor `<db:verify/>`.
    #[error("not an element of Server Dialback")]
    Name,
    /// `from` or `to` is missing, or is not a domain.
    #[error("'from' and 'to' have to be domains")]
    Address,
    /// `<db:verify/>` without an `id`, or with one of more than [`ID_LEN_MAX`] bytes.
    #[error("'id' is missing or too long")]
    Id,
    /// `type` is none of the three.
    #[error("'type' is unknown")]
    Type,
    /// There is no `type` and no key, or one of more than [`KEY_LEN_MAX`] bytes.
    #[error("the key is missing or too long")]
    Key,
    /// An error that does not say which.
    #[error("'type' is 'error', and there is no <error/>")]
    Error,
}

impl Dialback {
    /// Step 1: `<db:result/>` with the key.
    pub fn key(pair: Pair, key: String) -> Dialback {
        Dialback {
            pair,
            id: None,
            says: Says::Key(key),
        }
    }

    /// Reads one from an element of [`NS`].
    ///
    /// # Errors
    /// For one that lacks what XEP-0220 says it MUST possess; such an element is no part of the protocol, and the stream fails.
    pub fn read(element: &Element) -> Result<Dialback, Malformed> {
        let id = match (element.name(), element.ns(), element.attr("id")) {
            ("result", NS, _) => None,
            ("verify", NS, Some(id)) if (1..=ID_LEN_MAX).contains(&id.len()) => Some(id.to_owned()),
            ("verify", NS, _) => return Err(Malformed::Id),
            _ => return Err(Malformed::Name),
        };
        let domain = |name| {
            let domain = element.attr(name).and_then(|raw| BareJid::new(raw).ok());
            domain.filter(BareJid::is_domain).ok_or(Malformed::Address)
        };
        let (from, to) = (domain("from")?, domain("to")?);
        let says = match element.attr("type") {
            None => {
                let text = element.text();
                // The specification's own examples have white space around it.
                let key = text.trim_ascii();
                if !(1..=KEY_LEN_MAX).contains(&key.len()) {
                    return Err(Malformed::Key);
                }
                Says::Key(key.to_owned())
            }
            Some("valid") => Says::Valid,
            Some("invalid") => Says::Invalid,
            // §2.5: "the element MUST contain an <error/> element (implicitly qualified by the 'jabber:server' namespace)"
            Some("error") => {
                let error =
                    |child: &&Element| child.name() == "error" && ns::is_content(child.ns());
                let error = element.children().find(error).ok_or(Malformed::Error)?;
                Says::Error(StanzaError::from_element(error))
            }
            Some(_) => return Err(Malformed::Type),
        };
        let pair = match says {
            Says::Key(_) => Pair { from, to },
            _ => Pair { from: to, to: from },
        };
        // `<db:verify/>` goes the other way: from the Target Domain to the Sender Domain (§2.1.2).
        let pair = if id.is_some() { pair.inverse() } else { pair };
        Ok(Dialback { pair, id, says })
    }

    /// Its domains, the one on the side of whoever sent this request first.
    pub(super) fn ends(&self) -> Pair {
        match self.id {
            None => self.pair.clone(),
            Some(_) => self.pair.inverse(),
        }
    }

    /// Whether an answer to the other one would be an answer to this one.
    pub(super) fn is_about(&self, other: &Dialback) -> bool {
        self.pair == other.pair && self.id == other.id
    }

    /// The answer to this element.
    pub fn answer(&self, says: Says) -> Dialback {
        Dialback {
            pair: self.pair.clone(),
            id: self.id.clone(),
            says,
        }
    }

    /// Appends the element as it is written where `db` is bound to [`NS`] by the stream header.
    ///
    /// §2.4.1: "some existing implementations and deployments might accept only the "db" prefix".
    pub fn write(&self, out: &mut Vec<u8>) {
        let name = match self.id {
            None => "db:result",
            Some(_) => "db:verify",
        };
        let from_sender = self.id.is_none() == matches!(self.says, Says::Key(_));
        let (from, to) = match from_sender {
            true => (self.pair.from(), self.pair.to()),
            false => (self.pair.to(), self.pair.from()),
        };
        let kind = match self.says {
            Says::Key(_) => None,
            Says::Valid => Some("valid"),
            Says::Invalid => Some("invalid"),
            Says::Error(_) => Some("error"),
        };
        out.push(b'<');
        out.extend_from_slice(name.as_bytes());
        let attributes = [
            ("from", Some(from.as_str())),
            ("to", Some(to.as_str())),
            ("id", self.id.as_deref()),
            ("type", kind),
        ];
        for (name, value) in attributes {
            if let Some(value) = value {
                out.extend_from_slice(format!(" {name}='").as_bytes());
                escape_attr(value, out);
                out.push(b'\'');
            }
        }
        match &self.says {
            Says::Valid | Says::Invalid => return out.extend_from_slice(b"/>"),
            Says::Key(key) => {
                out.push(b'>');
                escape_text(key, out);
            }
            Says::Error(error) => {
                out.push(b'>');
                error.to_element().write(ns::CLIENT, out);
            }
        }
        out.extend_from_slice(format!("</{name}>").as_bytes());
    }
}

impl Says {
    /// `type='error'` with this condition.
    pub fn error(condition: Condition) -> Says {
        Says::Error(StanzaError::new(condition))
    }
}

/// The stream feature that announces dialback with errors (§2.4.2).
pub fn feature() -> Element {
    Element::new("dialback", FEATURE_NS).with_child(Element::new("errors", FEATURE_NS))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::{Limits, Reader, Received};

    const HEADER: &str = "<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' \
        xmlns:stream='http://etherx.jabber.org/streams'>";

    fn pair(from: &str, to: &str) -> Pair {
        Pair::new(&from.parse().unwrap(), &to.parse().unwrap())
    }

    fn element(text: &str) -> Element {
        let mut reader = Reader::new(Limits::default());
        reader.next(&mut HEADER.as_bytes()).unwrap();
        match reader.next(&mut text.as_bytes()) {
            Ok(Some(Received::Element(element))) => element,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn read(text: &str) -> Result<Dialback, Malformed> {
        Dialback::read(&element(text))
    }

    #[test]
    fn keys_are_those_of_the_examples() {
        // XEP-0185 §3, XEP-0220 §2.1.1 and §2.2.2
        for (secret, from, to, id, key) in [
            (
                "s3cr3tf0rd14lb4ck",
                "example.org",
                "xmpp.example.com",
                "D60000229F",
                "37c69b1cf07a3f67c04a5ef5902fa5114f2c76fe4a2686482ba5b89323075643",
            ),
            (
                "s3cr3tf0rd14lb4ck",
                "capulet.example",
                "montague.example",
                "D60000229F",
                "b4835385f37fe2895af6c196b59097b16862406db80559900d96bf6fa7d23df3",
            ),
            (
                "d14lb4ck43v3r",
                "montague.example",
                "capulet.example",
                "417GAF25",
                "225cc5aa6a071133249d25fef42ae516fc7a86c523aa1c6980a7f73e784c972d",
            ),
        ] {
            let (secret, pair) = (Secret::new(secret.as_bytes()), pair(from, to));
            assert_eq!(secret.key(&pair, id), key);
            assert!(secret.has_made(key, &pair, id));
        }
    }

    #[test]
    fn a_key_is_good_for_its_secret_and_pair_and_stream_alone() {
        let (secret, ours) = (Secret::new(b"one"), pair("a.example", "b.example"));
        let key = secret.key(&ours, "id");
        assert!(secret.has_made(&key, &ours, "id"));
        assert!(!Secret::new(b"two").has_made(&key, &ours, "id"));
        assert!(!secret.has_made(&key, &ours.inverse(), "id"));
        assert!(!secret.has_made(&key, &pair("c.example", "b.example"), "id"));
        assert!(!secret.has_made(&key, &ours, "di"));
        assert!(!secret.has_made(&key[1..], &ours, "id"));
        assert!(!secret.has_made("", &ours, "id"));
        // XEP-0185 §2: the delimiter "helps to avoid ambiguity in concatenation".
        let (one, two) = (
            pair("rm.example.org", "example.info"),
            pair("form.example.org", "example.in"),
        );
        assert_ne!(secret.key(&one, "id"), secret.key(&two, "id"));
    }

    /// XEP-0220 §2.1.1, §2.1.2: the four steps, each with the pair that is to be proven.
    #[test]
    fn the_steps_are_read_and_written_as_in_the_examples() {
        let ours = pair("capulet.example", "montague.example");
        let steps = [
            (
                "<db:result from='capulet.example' to='montague.example'>b483</db:result>",
                None,
                Says::Key("b483".into()),
            ),
            (
                "<db:verify from='montague.example' to='capulet.example' id='417GAF25'>b483</db:verify>",
                Some("417GAF25"),
                Says::Key("b483".into()),
            ),
            (
                "<db:verify from='capulet.example' to='montague.example' id='417GAF25' type='valid'/>",
                Some("417GAF25"),
                Says::Valid,
            ),
            (
                "<db:verify from='capulet.example' to='montague.example' id='417GAF25' type='invalid'/>",
                Some("417GAF25"),
                Says::Invalid,
            ),
            (
                "<db:result from='montague.example' to='capulet.example' type='valid'/>",
                None,
                Says::Valid,
            ),
            (
                "<db:result from='montague.example' to='capulet.example' type='error'><error type='cancel'>\
                    <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>",
                None,
                Says::error(Condition::ItemNotFound),
            ),
        ];
        for (text, id, says) in steps {
            let dialback = read(text).unwrap();
            let id = id.map(str::to_owned);
            let pair = ours.clone();
            assert_eq!(dialback, Dialback { pair, id, says });
            let mut written = Vec::new();
            dialback.write(&mut written);
            assert_eq!(String::from_utf8(written).unwrap(), text);
        }
    }

    #[test]
    fn white_space_around_a_key_is_not_part_of_it() {
        let spaced = "<db:result from='a.example' to='b.example'>\n  k e y\t</db:result>";
        assert_eq!(read(spaced).unwrap().says, Says::Key("k e y".into()));
    }

    /// XEP-0220 §2.1.1, §2.1.2, §2.5, §6.1: "the element MUST possess …"
    #[test]
    fn what_lacks_a_required_part_is_refused() {
        let long = "k".repeat(KEY_LEN_MAX + 1);
        let (long_key, long_id) = (
            format!("<db:result from='a.example' to='b.example'>{long}</db:result>"),
            format!("<db:verify from='a.example' to='b.example' id='{long}'>k</db:verify>"),
        );
        for (text, why) in [
            (
                "<db:other from='a.example' to='b.example'>k</db:other>",
                Malformed::Name,
            ),
            (
                "<db:result to='b.example'>k</db:result>",
                Malformed::Address,
            ),
            (
                "<db:result from='a.example'>k</db:result>",
                Malformed::Address,
            ),
            (
                "<db:result from='' to='b.example'>k</db:result>",
                Malformed::Address,
            ),
            (
                "<db:result from='a_b' to='b.example'>k</db:result>",
                Malformed::Address,
            ),
            (
                "<db:result from='x@a.example' to='b.example'>k</db:result>",
                Malformed::Address,
            ),
            (
                "<db:result from='a.example/r' to='b.example'>k</db:result>",
                Malformed::Address,
            ),
            (
                "<db:verify from='a.example' to='b.example'>k</db:verify>",
                Malformed::Id,
            ),
            (
                "<db:verify from='a.example' to='b.example' id=''>k</db:verify>",
                Malformed::Id,
            ),
            (&long_id, Malformed::Id),
            (
                "<db:result from='a.example' to='b.example' type='ok'/>",
                Malformed::Type,
            ),
            (
                "<db:result from='a.example' to='b.example'/>",
                Malformed::Key,
            ),
            (
                "<db:result from='a.example' to='b.example'>  </db:result>",
                Malformed::Key,
            ),
            (&long_key, Malformed::Key),
            (
                "<db:result from='a.example' to='b.example' type='error'/>",
                Malformed::Error,
            ),
        ] {
            assert_eq!(read(text), Err(why), "{text}");
        }
    }

    #[test]
    fn domains_are_compared_as_they_are_prepared() {
        let read = read("<db:result from='CAPULET.example' to='montague.example.'>k</db:result>");
        let read = read.unwrap().pair;
        assert_eq!(read, pair("capulet.example", "montague.example"));
    }

    #[test]
    fn a_secret_is_not_in_its_debug_text() {
        assert_eq!(format!("{:?}", Secret::new(b"hidden")), "Secret(..)");
    }
}
