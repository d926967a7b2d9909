//! A name that a certificate is for.

use std::str::FromStr;

use xmpp_core::BareJid;

const WILDCARD: &str = "*.";

/// A domain, or all those right below one: `*.example.org` (RFC 9525 §6.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As a certificate has it: RFC 9525 §6.3 compares A-labels, and RFC 7622 §3.2 puts an
    /// IPv6 address in brackets.
    pub fn host(&self) -> String {
        let name = &*self.0;
        if let Some(domain) = name.strip_prefix(WILDCARD) {
            return format!("{WILDCARD}{}", ascii(domain));
        }
        let address = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'));
        address.map_or_else(|| ascii(name), str::to_owned)
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(name: &str) -> Result<Name, String> {
        let (wildcard, domain) = match name.strip_prefix(WILDCARD) {
            Some(domain) => (WILDCARD, domain),
            None => ("", name),
        };
        let domain: BareJid = domain.parse().map_err(|error| format!("{error}"))?;
        match domain.is_domain() {
            true => Ok(Name(format!("{wildcard}{domain}"))),
            false => Err("an account, not a domain".into()),
        }
    }
}

fn ascii(domain: &str) -> String {
    idna::domain_to_ascii(domain).unwrap_or_else(|_| domain.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_domain_or_those_below_one() {
        for name in [
            "localhost",
            "*.example.org",
            "faß.example",
            "[::1]",
            "192.0.2.7",
        ] {
            let read: Name = name.parse().unwrap();
            assert_eq!(read.as_str(), name);
        }
        for name in [
            "",
            "*.",
            "*",
            "*.*.example",
            "juliet@localhost",
            "../oops",
            "..",
            ".",
            "a/b",
            "/etc/passwd",
            "exa mple",
        ] {
            assert!(name.parse::<Name>().is_err(), "{name:?}");
        }
    }
}
