//! Mechanism names and the hashes behind the SCRAM family.

use std::fmt;
use std::str::FromStr;

use super::hash::Hash;

/// A SASL mechanism this library speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mechanism {
    /// EXTERNAL (RFC 4422 Appendix A), with a TLS certificate as XEP-0178 has it.
    External,
    /// SCRAM-SHA-512 bound to the TLS channel.
    ScramSha512Plus,
    /// SCRAM-SHA-512.
    ScramSha512,
    /// SCRAM-SHA-256 (RFC 7677) bound to the TLS channel.
    ScramSha256Plus,
    /// SCRAM-SHA-256 (RFC 7677).
    ScramSha256,
    /// SCRAM-SHA-1 (RFC 5802) bound to the TLS channel.
    ScramSha1Plus,
    /// SCRAM-SHA-1 (RFC 5802).
    ScramSha1,
    /// PLAIN (RFC 4616): the password itself, so under TLS only.
    Plain,
    /// ANONYMOUS (RFC 4505).
    Anonymous,
}

impl Mechanism {
    /// Every mechanism, the strongest first: the order in which they are offered.
    ///
    /// A channel-bound mechanism comes before every unbound one, because a weaker hash costs less than a
    /// party in the middle.
    pub const ALL: [Self; 9] = [
        Self::External,
        Self::ScramSha512Plus,
        Self::ScramSha256Plus,
        Self::ScramSha1Plus,
        Self::ScramSha512,
        Self::ScramSha256,
        Self::ScramSha1,
        Self::Plain,
        Self::Anonymous,
    ];

    /// The registered name, as it stands on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::External => "EXTERNAL",
            Self::ScramSha512Plus => "SCRAM-SHA-512-PLUS",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha1Plus => "SCRAM-SHA-1-PLUS",
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::Plain => "PLAIN",
            Self::Anonymous => "ANONYMOUS",
        }
    }

    /// Whether the mechanism is bound to the TLS channel.
    pub const fn is_plus(self) -> bool {
        matches!(
            self,
            Self::ScramSha1Plus | Self::ScramSha256Plus | Self::ScramSha512Plus
        )
    }

    /// The hash of a SCRAM mechanism, `None` for the others.
    pub const fn hash(self) -> Option<Hash> {
        match self {
            Self::ScramSha1 | Self::ScramSha1Plus => Some(Hash::Sha1),
            Self::ScramSha256 | Self::ScramSha256Plus => Some(Hash::Sha256),
            Self::ScramSha512 | Self::ScramSha512Plus => Some(Hash::Sha512),
            Self::External | Self::Plain | Self::Anonymous => None,
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mechanism {
    type Err = UnknownMechanism;

    /// Names are compared exactly: RFC 4422 §3.1 has upper-case letters only.
    fn from_str(name: &str) -> Result<Self, UnknownMechanism> {
        Self::ALL
            .into_iter()
            .find(|mechanism| mechanism.name() == name)
            .ok_or(UnknownMechanism)
    }
}

/// No mechanism of this name is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown SASL mechanism")]
pub struct UnknownMechanism;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_its_own_and_reads_back() {
        for (at, mechanism) in Mechanism::ALL.into_iter().enumerate() {
            assert_eq!(mechanism.name().parse(), Ok(mechanism));
            assert_eq!(mechanism.is_plus(), mechanism.name().ends_with("-PLUS"));
            assert_eq!(
                mechanism.hash().is_some(),
                mechanism.name().starts_with("SCRAM-")
            );
            assert!(!Mechanism::ALL[at + 1..].contains(&mechanism));
            // RFC 4422 §3.1: 1 to 20 of upper-case letters, digits, "-" and "_".
            assert!((1..=20).contains(&mechanism.name().len()));
        }
    }

    #[test]
    fn names_are_compared_exactly() {
        for name in [
            "",
            "plain",
            "PLAIN ",
            "SCRAM-SHA-1-plus",
            "SCRAM-SHA1",
            "DIGEST-MD5",
        ] {
            assert_eq!(name.parse::<Mechanism>(), Err(UnknownMechanism), "{name}");
        }
    }
}
