//! The nonce of one exchange.

use std::str::FromStr;

use super::encoding::encode;

/// The part of a SCRAM nonce that one side makes up (RFC 5802 §5.1): printable ASCII without commas.
///
/// Randomness comes from outside: `Nonce::from(random_bytes)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nonce(String);

impl Nonce {
    /// The nonce as it stands on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn is_valid(text: &str) -> bool {
        // RFC 5802 §7: printable = %x21-2B / %x2D-7E
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b',')
    }
}

impl From<[u8; NONCE_LEN]> for Nonce {
    fn from(random: [u8; NONCE_LEN]) -> Self {
        Self(encode(&random))
    }
}

impl FromStr for Nonce {
    type Err = InvalidNonce;

    fn from_str(text: &str) -> Result<Self, InvalidNonce> {
        if Self::is_valid(text) && text.len() <= MAX_NONCE {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidNonce)
        }
    }
}

/// Not a nonce: empty, too long, or with other characters than printable ASCII without comma.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a SCRAM nonce")]
pub struct InvalidNonce;

/// Random bytes in a nonce of ours: 144 bits, 24 characters.
pub const NONCE_LEN: usize = 18;

const MAX_NONCE: usize = 256;
