//! The four messages of SCRAM (RFC 5802 §7), read strictly and in order.

use std::borrow::Cow;

use crate::sasl::encoding::decode_strict;
use crate::sasl::nonce::Nonce;

/// `gs2-cbind-flag`: what the client says of channel binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sasl) enum Flag<'a> {
    /// `n`: it has none.
    Unsupported,
    /// `y`: it has, but believes that the server has not.
    NotOffered,
    /// `p=`: it uses the type of this name.
    Used(&'a str),
}

/// `client-first-message`.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::sasl) struct ClientFirst<'a> {
    /// `gs2-header`, which `c=` of the last message must repeat.
    pub(in crate::sasl) header: &'a str,
    pub(in crate::sasl) flag: Flag<'a>,
    /// Empty if there is none.
    pub(in crate::sasl) authzid: Cow<'a, str>,
    /// `client-first-message-bare`.
    pub(in crate::sasl) bare: &'a str,
    pub(in crate::sasl) username: Cow<'a, str>,
    pub(in crate::sasl) nonce: &'a str,
}

/// `server-first-message`.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::sasl) struct ServerFirst<'a> {
    pub(in crate::sasl) nonce: &'a str,
    pub(in crate::sasl) salt: Vec<u8>,
    pub(in crate::sasl) iterations: u32,
}

/// `client-final-message`.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::sasl) struct ClientFinal<'a> {
    /// `client-final-message-without-proof`.
    pub(in crate::sasl) without_proof: &'a str,
    /// `cbind-input`.
    pub(in crate::sasl) binding: Vec<u8>,
    pub(in crate::sasl) nonce: &'a str,
    pub(in crate::sasl) proof: Vec<u8>,
}

/// `server-final-message`.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::sasl) enum ServerFinal<'a> {
    /// `e=`.
    Error(&'a str),
    /// `v=`.
    Signature(Vec<u8>),
}

/// Why a message cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sasl) enum Unreadable {
    /// It breaks the grammar.
    Malformed,
    /// It has `m=`. RFC 5802 §5.1: "its presence in a client or a server message MUST cause authentication failure when
    /// the attribute is parsed by the other end".
    Extension,
}

impl<'a> ClientFirst<'a> {
    pub(in crate::sasl) fn parse(message: &'a str) -> Result<Self, Unreadable> {
        let (flag, rest) = message.split_once(',').ok_or(Unreadable::Malformed)?;
        let (authzid, bare) = rest.split_once(',').ok_or(Unreadable::Malformed)?;
        let header = &message[..message.len() - bare.len()];
        let flag = match (flag, flag.strip_prefix("p=")) {
            ("n", _) => Flag::Unsupported,
            ("y", _) => Flag::NotOffered,
            (_, Some(name)) if is_binding_name(name) => Flag::Used(name),
            _ => return Err(Unreadable::Malformed),
        };
        let authzid = match (authzid, authzid.strip_prefix("a=")) {
            ("", _) => Cow::Borrowed(""),
            (_, Some(name)) => unescape(name)?,
            _ => return Err(Unreadable::Malformed),
        };
        let mut attributes = Attributes::new(bare);
        let username = unescape(attributes.take('n')?)?;
        let nonce = attributes.nonce()?;
        attributes.extensions()?;
        Ok(Self {
            header,
            flag,
            authzid,
            bare,
            username,
            nonce,
        })
    }
}

impl<'a> ServerFirst<'a> {
    pub(in crate::sasl) fn parse(message: &'a str) -> Result<Self, Unreadable> {
        let mut attributes = Attributes::new(message);
        let nonce = attributes.nonce()?;
        let salt = attributes.base64('s')?;
        let iterations = attributes.take('i')?;
        attributes.extensions()?;
        // posit-number = %x31-39 *DIGIT
        let positive = iterations.starts_with(|c: char| ('1'..='9').contains(&c))
            && iterations.bytes().all(|b| b.is_ascii_digit());
        match iterations.parse() {
            Ok(iterations) if positive => Ok(Self {
                nonce,
                salt,
                iterations,
            }),
            _ => Err(Unreadable::Malformed),
        }
    }
}

impl<'a> ClientFinal<'a> {
    pub(in crate::sasl) fn parse(message: &'a str) -> Result<Self, Unreadable> {
        // A proof is base64, which has no comma: the last comma is the one before it.
        let (without_proof, proof) = message.rsplit_once(',').ok_or(Unreadable::Malformed)?;
        let mut attributes = Attributes::new(without_proof);
        let binding = attributes.base64('c')?;
        let nonce = attributes.nonce()?;
        attributes.extensions()?;
        let proof = Attributes::new(proof).base64('p')?;
        Ok(Self {
            without_proof,
            binding,
            nonce,
            proof,
        })
    }
}

impl<'a> ServerFinal<'a> {
    pub(in crate::sasl) fn parse(message: &'a str) -> Result<Self, Unreadable> {
        let mut attributes = Attributes::new(message);
        let last = if message.starts_with("e=") {
            Self::Error(attributes.take('e')?)
        } else {
            Self::Signature(attributes.base64('v')?)
        };
        attributes.extensions()?;
        Ok(last)
    }
}

/// `saslname`: commas and equals signs are written `=2C` and `=3D`.
pub(in crate::sasl) fn escape(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

fn unescape(name: &str) -> Result<Cow<'_, str>, Unreadable> {
    if !name.contains('=') {
        return Ok(Cow::Borrowed(name));
    }
    let mut plain = String::with_capacity(name.len());
    let mut parts = name.split('=');
    plain.extend(parts.next());
    for part in parts {
        // RFC 5802 §5.1: "If the server receives a username that contains '=' not followed by either '2C' or '3D', then
        // the server MUST fail the authentication."
        let (sign, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err(Unreadable::Malformed),
        };
        plain.push(sign);
        plain.push_str(rest);
    }
    Ok(Cow::Owned(plain))
}

/// `cb-name = 1*(ALPHA / DIGIT / "." / "-")`
fn is_binding_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'.' || b == b'-';
    !name.is_empty() && name.bytes().all(allowed)
}

/// The attributes of a message, taken off one by one in the order that the grammar prescribes.
struct Attributes<'a>(std::str::Split<'a, char>);

impl<'a> Attributes<'a> {
    fn new(message: &'a str) -> Self {
        Self(message.split(','))
    }

    /// The next attribute, which must have this name.
    fn take(&mut self, name: char) -> Result<&'a str, Unreadable> {
        match self.next()? {
            Some((found, value)) if found == name => Ok(value),
            _ => Err(Unreadable::Malformed),
        }
    }

    fn base64(&mut self, name: char) -> Result<Vec<u8>, Unreadable> {
        decode_strict(self.take(name)?).ok_or(Unreadable::Malformed)
    }

    fn nonce(&mut self) -> Result<&'a str, Unreadable> {
        let nonce = self.take('r')?;
        if Nonce::is_valid(nonce) {
            Ok(nonce)
        } else {
            Err(Unreadable::Malformed)
        }
    }

    /// Reads to the end. RFC 5802 §5.1: unknown optional extensions are ignored; what is known has its place before.
    fn extensions(&mut self) -> Result<(), Unreadable> {
        while let Some((name, _)) = self.next()? {
            if "anrcsipve".contains(name) {
                return Err(Unreadable::Malformed);
            }
        }
        Ok(())
    }

    /// `attr-val = ALPHA "=" value`, where a value is not empty and has no NUL.
    fn next(&mut self) -> Result<Option<(char, &'a str)>, Unreadable> {
        let Some(attribute) = self.0.next() else {
            return Ok(None);
        };
        let (name, value) = attribute.split_once('=').ok_or(Unreadable::Malformed)?;
        match name.as_bytes() {
            [_] if value.is_empty() || value.contains('\0') => Err(Unreadable::Malformed),
            b"m" => Err(Unreadable::Extension),
            [letter] if letter.is_ascii_alphabetic() => Ok(Some((char::from(*letter), value))),
            _ => Err(Unreadable::Malformed),
        }
    }
}
