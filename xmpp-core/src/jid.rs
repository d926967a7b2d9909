//! Addresses: RFC 7622.
//!
//! An address is prepared once, when it enters, and is from then on a plain string: comparing, hashing and
//! slicing it need no knowledge of Unicode. [`Jid`] is any address; [`BareJid`] and [`FullJid`] say in their
//! type that a resourcepart is absent or present.
//!
//! ```
//! use xmpp_core::Jid;
//!
//! let jid: Jid = "Juliet@EXAMPLE.com/balcony".parse()?;
//! assert_eq!(jid, "juliet@example.com/balcony");
//! assert_eq!(jid.local(), Some("juliet"));
//! assert_eq!(jid.bare_str(), "juliet@example.com");
//! # Ok::<(), xmpp_core::JidError>(())
//! ```

mod domain;
mod part;
mod precis;

use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

pub use domain::prepare_domain;
pub use part::{PasswordError, nickname, prepare_local, prepare_password, prepare_resource};

/// The most octets one prepared part of an address may have (RFC 7622 §3.1).
pub const PART_LEN_MAX: usize = 1023;

/// The most octets a prepared address may have (RFC 7622 §3.1): three parts, `@` and `/`.
pub const JID_LEN_MAX: usize = 3 * PART_LEN_MAX + 2;

/// The most octets of one part that are looked at before preparation.
///
/// Preparation shrinks a string to a third at best (a fullwidth letter of three octets becomes one of ASCII, a
/// letter with marks is composed), so that what is longer could not end within [`PART_LEN_MAX`], and is refused
/// before any work is spent on it.
pub const RAW_PART_LEN_MAX: usize = 3 * PART_LEN_MAX;

/// An address: `[ localpart "@" ] domainpart [ "/" resourcepart ]` (RFC 7622 §3.1).
///
/// Always prepared: two addresses are the same entity exactly if their texts are equal. A clone shares the text.
#[derive(Clone)]
pub struct Jid {
    text: Arc<str>,
    /// Octets of the localpart; 0 if there is none.
    local: u16,
    /// Octets of `[localpart@]domainpart`.
    bare: u16,
}

/// Why a string is not an address. On the wire: `<jid-malformed/>` (RFC 6120 §8.3.3.8).
#[derive(thiserror::Error, Copy, Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum JidError {
    /// The part is there, but has no octets.
    #[error("the {0} is empty")]
    Empty(Part),
    /// The part is longer than [`PART_LEN_MAX`] octets.
    #[error("the {0} is longer than {PART_LEN_MAX} octets")]
    TooLong(Part),
    /// The part holds what its profile does not allow there.
    #[error("the {0} is not allowed by its profile")]
    Disallowed(Part),
    /// A full address was wanted, and this one has no resourcepart.
    #[error("the address has no resourcepart")]
    NotFull,
    /// A bare address was wanted, and this one has a resourcepart.
    #[error("the address has a resourcepart")]
    NotBare,
}

/// One of the three parts of an address.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Part {
    /// What stands before `@`: an account, a room (RFC 7622 §3.3).
    Local,
    /// The host, the only part that is always there (RFC 7622 §3.2).
    Domain,
    /// What stands behind `/`: a session, an occupant (RFC 7622 §3.4).
    Resource,
}

impl Jid {
    /// Parses and prepares an address.
    ///
    /// Text that is prepared already is checked and copied, once.
    pub fn new(text: &str) -> Result<Self, JidError> {
        let (local, domain, resource) = split(text);
        Self::prepare(Some(text), local, domain, resource)
    }

    /// Prepares an address from its parts, which may hold what [`Jid::new`] would take for a separator only
    /// where their profile allows it.
    pub fn from_parts(
        local: Option<&str>,
        domain: &str,
        resource: Option<&str>,
    ) -> Result<Self, JidError> {
        Self::prepare(None, local, domain, resource)
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The localpart, if there is one.
    pub fn local(&self) -> Option<&str> {
        (self.local > 0).then(|| &self.text[..self.local.into()])
    }

    /// The domainpart.
    pub fn domain(&self) -> &str {
        &self.text[self.domain_start()..self.bare.into()]
    }

    /// The resourcepart, if there is one.
    pub fn resource(&self) -> Option<&str> {
        self.text.get(usize::from(self.bare) + 1..)
    }

    /// The address without its resourcepart.
    pub fn bare_str(&self) -> &str {
        &self.text[..self.bare.into()]
    }

    /// The address without its resourcepart; shares the text if there is none.
    pub fn to_bare(&self) -> BareJid {
        if self.is_bare() {
            return BareJid(self.clone());
        }
        BareJid(Self {
            text: self.bare_str().into(),
            ..*self
        })
    }

    /// This address as a full one, sharing the text, or `None` if it has no resourcepart.
    pub fn as_full(&self) -> Option<FullJid> {
        (!self.is_bare()).then(|| FullJid(self.clone()))
    }

    /// Like [`Jid::as_full`], and gives the address back if it has no resourcepart.
    pub fn try_into_full(self) -> Result<FullJid, Self> {
        if self.is_bare() {
            Err(self)
        } else {
            Ok(FullJid(self))
        }
    }

    /// Whether there is no resourcepart.
    pub fn is_bare(&self) -> bool {
        usize::from(self.bare) == self.text.len()
    }

    /// Whether there is nothing but a domainpart.
    pub fn is_domain(&self) -> bool {
        self.local == 0 && self.is_bare()
    }

    /// Prepares the parts; `whole` is the text they were cut from, to be kept if preparation changes nothing.
    fn prepare(
        whole: Option<&str>,
        local: Option<&str>,
        domain: &str,
        resource: Option<&str>,
    ) -> Result<Self, JidError> {
        let local = local.map(prepare_local).transpose()?;
        let domain = prepare_domain(domain)?;
        let resource = resource.map(prepare_resource).transpose()?;

        let parts = [local.as_ref(), Some(&domain), resource.as_ref()];
        let unchanged = parts
            .iter()
            .flatten()
            .all(|part| matches!(part, Cow::Borrowed(_)));
        let local_len = local.as_ref().map_or(0, |local| local.len());
        let bare_len = domain.len() + local.as_ref().map_or(0, |local| local.len() + 1);
        let len = bare_len + resource.as_ref().map_or(0, |resource| resource.len() + 1);

        let text = match whole {
            // Borrowed parts of the same total length are the text itself: no trailing dot was cut away.
            Some(whole) if unchanged && whole.len() == len => Arc::from(whole),
            _ => {
                let mut text = String::with_capacity(len);
                if let Some(local) = &local {
                    text.push_str(local);
                    text.push('@');
                }
                text.push_str(&domain);
                if let Some(resource) = &resource {
                    text.push('/');
                    text.push_str(resource);
                }
                Arc::from(text)
            }
        };
        Ok(Self {
            text,
            local: offset(local_len),
            bare: offset(bare_len),
        })
    }

    fn domain_start(&self) -> usize {
        match self.local {
            0 => 0,
            local => usize::from(local) + 1,
        }
    }
}

/// An address without a resourcepart: an account, a room, a host.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BareJid(Jid);

impl BareJid {
    /// Parses and prepares an address, which must have no resourcepart ([`JidError::NotBare`]).
    pub fn new(text: &str) -> Result<Self, JidError> {
        Jid::new(text)?.try_into()
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The localpart, if there is one.
    pub fn local(&self) -> Option<&str> {
        self.0.local()
    }

    /// The domainpart.
    pub fn domain(&self) -> &str {
        self.0.domain()
    }

    /// Whether there is nothing but a domainpart.
    pub fn is_domain(&self) -> bool {
        self.0.is_domain()
    }

    /// The address of the domain alone; shares the text if this is it.
    pub fn domain_jid(&self) -> Self {
        if self.is_domain() {
            return self.clone();
        }
        Self(Jid {
            text: self.domain().into(),
            local: 0,
            bare: offset(self.domain().len()),
        })
    }

    /// This address with a resourcepart, which is prepared.
    pub fn with_resource(&self, resource: &str) -> Result<FullJid, JidError> {
        let resource = prepare_resource(resource)?;
        let text = [self.as_str(), "/", &resource].concat();
        Ok(FullJid(Jid {
            text: text.into(),
            ..self.0
        }))
    }

    /// The same address as a [`Jid`].
    pub fn as_jid(&self) -> &Jid {
        &self.0
    }
}

/// An address with a resourcepart: a session, an occupant.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FullJid(Jid);

impl FullJid {
    /// Parses and prepares an address, which must have a resourcepart ([`JidError::NotFull`]).
    pub fn new(text: &str) -> Result<Self, JidError> {
        Jid::new(text)?.try_into()
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The address without its resourcepart.
    pub fn bare_str(&self) -> &str {
        self.0.bare_str()
    }

    /// The address without its resourcepart.
    pub fn to_bare(&self) -> BareJid {
        self.0.to_bare()
    }

    /// The localpart, if there is one.
    pub fn local(&self) -> Option<&str> {
        self.0.local()
    }

    /// The domainpart.
    pub fn domain(&self) -> &str {
        self.0.domain()
    }

    /// The resourcepart.
    pub fn resource(&self) -> &str {
        &self.0.text[usize::from(self.0.bare) + 1..]
    }

    /// The same address as a [`Jid`].
    pub fn as_jid(&self) -> &Jid {
        &self.0
    }
}

impl PartialEq for Jid {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Jid {}

impl PartialOrd for Jid {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Jid {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl Hash for Jid {
    /// As `str` hashes, so that a map is searched with a `&str` (see `Borrow`).
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "localpart",
            Self::Domain => "domainpart",
            Self::Resource => "resourcepart",
        })
    }
}

impl From<BareJid> for Jid {
    fn from(jid: BareJid) -> Self {
        jid.0
    }
}

impl From<FullJid> for Jid {
    fn from(jid: FullJid) -> Self {
        jid.0
    }
}

impl From<&BareJid> for Jid {
    fn from(jid: &BareJid) -> Self {
        jid.0.clone()
    }
}

impl From<&FullJid> for Jid {
    fn from(jid: &FullJid) -> Self {
        jid.0.clone()
    }
}

impl TryFrom<Jid> for BareJid {
    type Error = JidError;

    fn try_from(jid: Jid) -> Result<Self, JidError> {
        if jid.is_bare() {
            Ok(Self(jid))
        } else {
            Err(JidError::NotBare)
        }
    }
}

impl TryFrom<Jid> for FullJid {
    type Error = JidError;

    fn try_from(jid: Jid) -> Result<Self, JidError> {
        jid.try_into_full().map_err(|_| JidError::NotFull)
    }
}

/// What all three types share: they are their text.
macro_rules! text {
    ($($jid:ty),+) => {$(
        impl FromStr for $jid {
            type Err = JidError;

            fn from_str(text: &str) -> Result<Self, JidError> {
                Self::new(text)
            }
        }

        impl fmt::Display for $jid {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $jid {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl AsRef<str> for $jid {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl Borrow<str> for $jid {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }

        impl PartialEq<str> for $jid {
            fn eq(&self, text: &str) -> bool {
                self.as_str() == text
            }
        }

        impl PartialEq<&str> for $jid {
            fn eq(&self, text: &&str) -> bool {
                self.as_str() == *text
            }
        }
    )+};
}

text!(Jid, BareJid, FullJid);

/// Cuts an address into localpart, domainpart and resourcepart.
///
/// RFC 7622 §3.1: "an implementation needs to match the separator characters '@' and '/' before applying any
/// transformation algorithms". §3.2: the first `/` ends the domainpart, and only what is left is searched for `@`.
fn split(text: &str) -> (Option<&str>, &str, Option<&str>) {
    let (bare, resource) = match text.split_once('/') {
        Some((bare, resource)) => (bare, Some(resource)),
        None => (text, None),
    };
    match bare.split_once('@') {
        Some((local, domain)) => (Some(local), domain, resource),
        None => (None, bare, resource),
    }
}

fn offset(len: usize) -> u16 {
    u16::try_from(len).expect("prepared parts are at most PART_LEN_MAX octets each")
}

#[cfg(test)]
mod tests;
