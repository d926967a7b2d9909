//! Addresses: the part of RFC 7622 that login needs.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// An address was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address")]
pub struct JidError;

/// `local@domain` or `domain`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BareJid {
    local: Option<String>,
    domain: String,
}

impl BareJid {
    /// Builds an address.
    pub fn new(local: Option<&str>, domain: &str) -> Result<Self, JidError> {
        let local = local.map(prepare_local).transpose()?.map(Cow::into_owned);
        Ok(Self {
            local,
            domain: domain.to_owned(),
        })
    }

    /// The local part.
    pub fn local(&self) -> Option<&str> {
        self.local.as_deref()
    }

    /// The domain part.
    pub fn domain(&self) -> &str {
        &self.domain
    }
}

impl FromStr for BareJid {
    type Err = JidError;

    fn from_str(text: &str) -> Result<Self, JidError> {
        match text.split_once('@') {
            Some((local, domain)) => Self::new(Some(local), domain),
            None => Self::new(None, text),
        }
    }
}

impl fmt::Display for BareJid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.local {
            Some(local) => write!(f, "{local}@{}", self.domain),
            None => f.write_str(&self.domain),
        }
    }
}

/// Prepares a local part.
pub fn prepare_local(text: &str) -> Result<Cow<'_, str>, JidError> {
    let bad = |c: char| c.is_ascii_control() || " \"&'/:<>@".contains(c);
    if text.is_empty() || text.len() > 1023 || text.contains(bad) {
        return Err(JidError);
    }
    Ok(Cow::Owned(text.to_lowercase()))
}

/// Prepares a password.
pub fn prepare_password(text: &str) -> Result<Cow<'_, str>, JidError> {
    if text.is_empty() || text.contains(|c: char| c.is_ascii_control()) {
        return Err(JidError);
    }
    Ok(Cow::Borrowed(text))
}
