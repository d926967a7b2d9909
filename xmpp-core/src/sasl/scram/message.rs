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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use Unreadable::{Extension, Malformed};

    #[test]
    fn a_first_message_is_read_with_all_its_parts() {
        let message =
            ClientFirst::parse("p=tls-exporter,a=a=2Cb=3Dc,n=d=3De=2C,r=x+/=,z=1,Y=2=3").unwrap();
        assert_eq!(message.header, "p=tls-exporter,a=a=2Cb=3Dc,");
        assert_eq!(message.flag, Flag::Used("tls-exporter"));
        assert_eq!(message.authzid, "a,b=c");
        assert_eq!(message.bare, "n=d=3De=2C,r=x+/=,z=1,Y=2=3");
        assert_eq!(message.username, "d=e,");
        assert_eq!(message.nonce, "x+/=");
    }

    #[test]
    fn a_first_message_is_malformed_where_it_leaves_the_grammar() {
        for message in [
            "",
            ",",
            ",,",
            "n",
            "n,",
            "n,,",
            "n=a,r=b",
            ",,n=a,r=b",
            "x,,n=a,r=b",
            "N,,n=a,r=b",
            "n=,,n=a,r=b",
            "p,,n=a,r=b",
            "p=,,n=a,r=b",
            "p=tls exporter,,n=a,r=b",
            "p=tls_exporter,,n=a,r=b",
            "F,n,,n=a,r=b",
            "n,a,n=a,r=b",
            "n,a=,n=a,r=b,r=c",
            "n,b=c,n=a,r=b",
            "n,a=x=2c,n=a,r=b",
            "n,n=a,r=b",
            " n,,n=a,r=b",
            "n,,r=b,n=a",
            "n,,n=a",
            "n,,n=,r=b",
            "n,,r=b",
            "n,,n=a,r=",
            "n,,n=a,r=b c",
            "n,,n=a,r=\u{e9}",
            "n,,n=a,r=b,",
            "n,,n=a,,r=b",
            "n,,n=a,r=b,x",
            "n,,n=a,r=b,x=",
            "n,,n=a,r=b,1=2",
            "n,,n=a,r=b,xy=2",
            "n,,n=a,r=b,=2",
            "n,,n=a,r=b,n=c",
            "n,,n=a,r=b,p=YQ==",
            "n,,n=a,r=b,x=\0",
            "n,,n=a\0,r=b",
            "n,,n==,r=b",
            "n,,n=a=,r=b",
            "n,,n=a=2,r=b",
            "n,,n=a=2c,r=b",
            "n,,n=a=3d,r=b",
            "n,,n=a=2Db,r=b",
            "n,,n==3D=,r=b",
            "n,,N=a,r=b",
        ] {
            assert_eq!(ClientFirst::parse(message), Err(Malformed), "{message:?}");
        }
    }

    #[test]
    fn a_mandatory_extension_is_refused_wherever_it_stands() {
        // RFC 5802 §5.1: "its presence in a client or a server message MUST cause authentication failure".
        for message in [
            "n,,m=x,n=a,r=b",
            "n,,n=a,m=x,r=b",
            "n,,n=a,r=b,m=x",
            "n,,n=a,r=b,x=y,m=x",
        ] {
            assert_eq!(ClientFirst::parse(message), Err(Extension), "{message}");
        }
        assert_eq!(ServerFirst::parse("m=x,r=b,s=YQ==,i=1"), Err(Extension));
        assert_eq!(ServerFirst::parse("r=b,s=YQ==,i=1,m=x"), Err(Extension));
        assert_eq!(ClientFinal::parse("c=biws,r=b,m=x,p=YQ=="), Err(Extension));
        assert_eq!(ServerFinal::parse("v=YQ==,m=x"), Err(Extension));
    }

    #[test]
    fn a_last_message_is_read_with_all_its_parts() {
        let message = ClientFinal::parse("c=biws,r=b=,x=y,p=YWI=").unwrap();
        assert_eq!(message.without_proof, "c=biws,r=b=,x=y");
        assert_eq!(message.binding, b"n,,");
        assert_eq!(message.nonce, "b=");
        assert_eq!(message.proof, b"ab");
    }

    #[test]
    fn a_last_message_is_malformed_where_it_leaves_the_grammar() {
        for message in [
            "",
            "p=YQ==",
            "c=biws,p=YQ==",
            "r=b,p=YQ==",
            "r=b,c=biws,p=YQ==",
            "c=biws,r=b",
            "c=biws,p=YQ==,r=b",
            "c=biws,r=b,p=YQ==,x=y",
            "c=biws,r=b,p=YQ==,p=YQ==",
            "c=biws,c=biws,r=b,p=YQ==",
            "c=,r=b,p=YQ==",
            "c==,r=b,p=YQ==",
            "c=biws,r=b,p=",
            "c=biws,r=b,p==",
            "c=biws,r=b,p=YQ",
            "c=biws,r=b,p=YR==",
            "c=biw,r=b,p=YQ==",
            "c=biws,r=b,p= YQ==",
            "c=biws,r=b,p=YQ==,",
            "c=biws,r=b,,p=YQ==",
            "C=biws,r=b,p=YQ==",
        ] {
            assert_eq!(ClientFinal::parse(message), Err(Malformed), "{message:?}");
        }
    }

    #[test]
    fn the_servers_messages_are_read_as_strictly() {
        let first = ServerFirst::parse("r=b,s=YWI=,i=4096,x=y").unwrap();
        assert_eq!(
            (first.nonce, &first.salt[..], first.iterations),
            ("b", &b"ab"[..], 4096)
        );
        for message in [
            "",
            "r=b",
            "r=b,s=YQ==",
            "s=YQ==,r=b,i=1",
            "r=b,s=,i=1",
            "r=b,s=YQ,i=1",
            "r=b,s=YQ==,i=",
            "r=b,s=YQ==,i=0",
            "r=b,s=YQ==,i=01",
            "r=b,s=YQ==,i=+1",
            "r=b,s=YQ==,i=-1",
            "r=b,s=YQ==,i=4294967296",
            "r=b,s=YQ==,i=1 ",
            "r=b,s=YQ==,i=1,i=2",
        ] {
            assert_eq!(ServerFirst::parse(message), Err(Malformed), "{message:?}");
        }
        assert_eq!(
            ServerFinal::parse("v=YWI="),
            Ok(ServerFinal::Signature(b"ab".to_vec()))
        );
        assert_eq!(
            ServerFinal::parse("e=other-error,x=y"),
            Ok(ServerFinal::Error("other-error"))
        );
        for message in [
            "",
            "v",
            "v=",
            "v=YQ",
            "e=",
            "x=y",
            "v=YQ==,e=x",
            "e=x,v=YQ==",
            "x=y,v=YQ==",
        ] {
            assert_eq!(ServerFinal::parse(message), Err(Malformed), "{message:?}");
        }
    }

    proptest! {
        #[test]
        fn any_name_reads_back(name in "[^\0]{1,40}") {
            let message = format!("n,,n={},r=b", escape(&name));
            let message = ClientFirst::parse(&message).unwrap();
            prop_assert_eq!(&*message.username, &name);
        }

        #[test]
        fn no_text_makes_a_parser_panic(message in "[nypcrsiveam=,=,2CD3Y\\PC]{0,60}") {
            if let Ok(read) = ClientFirst::parse(&message) {
                prop_assert_eq!(format!("{}{}", read.header, read.bare), message.clone());
            }
            if let Ok(read) = ClientFinal::parse(&message) {
                prop_assert!(message.starts_with(read.without_proof));
            }
            let _ = (ServerFirst::parse(&message), ServerFinal::parse(&message));
        }
    }
}
