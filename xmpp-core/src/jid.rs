//! Placeholder for the addresses of RFC 7622 until their own branch lands: the same names, no preparation.

use std::fmt;
use std::sync::Arc;

/// An address.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Jid(Arc<str>);

/// A string that is no address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JidError;

impl Jid {
    /// Reads an address.
    pub fn new(s: &str) -> Result<Jid, JidError> {
        let bare = s.split('/').next().unwrap_or(s);
        let domain = bare.rsplit('@').next().unwrap_or(bare);
        if domain.is_empty() || bare.starts_with('@') || domain.contains(' ') || s.ends_with('/') {
            return Err(JidError);
        }
        Ok(Jid(s.into()))
    }

    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jid({})", &self.0)
    }
}
