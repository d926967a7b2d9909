//! Streams between servers (RFC 6120, XEP-0220).
//!
//! What such a stream carries are [pairs](Pair): a domain on one side that may send to a domain on the other.

use crate::{BareJid, Jid};

pub mod dialback;

/// A Domain Pair (XEP-0220 §1.3): the Sender Domain and the Target Domain. Stanzas go from the one to the other; the way back
/// is another pair.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    from: BareJid,
    to: BareJid,
}

impl Pair {
    /// The pair of the domains of these two addresses.
    pub fn new(from: &BareJid, to: &BareJid) -> Pair {
        Pair {
            from: from.domain_jid(),
            to: to.domain_jid(),
        }
    }

    /// The Sender Domain.
    pub fn from(&self) -> &BareJid {
        &self.from
    }

    /// The Target Domain.
    pub fn to(&self) -> &BareJid {
        &self.to
    }

    /// The pair for the other direction.
    pub fn inverse(&self) -> Pair {
        Pair {
            from: self.to.clone(),
            to: self.from.clone(),
        }
    }

    /// Whether a stanza with these addresses belongs to it.
    pub fn covers(&self, from: &Jid, to: &Jid) -> bool {
        self.from.as_str() == from.domain() && self.to.as_str() == to.domain()
    }
}
