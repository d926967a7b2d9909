//! What holds after a cut, when both sides have written: the rules, one for each kind of data.
//!
//! | data | rule |
//! |---|---|
//! | fields of a roster item, vCard, private data, credentials, fields of a room's configuration, its subject | [`Register`]: the last writer, each field for itself |
//! | whether a roster item, an account, a room is there; who may see presence | [`Guarded`]: who takes away wins over what was written beside it |
//! | blocking | [`Guarded`]: a block wins over an unblocking beside it |
//! | affiliations | [`Guarded`]: a ban or a removal wins over a grant beside it, and a ban over a removal |
//! | a full address on both sides | [`login`]: the later login keeps it |
//! | a session on both sides | [`session`]: the greater generation |
//! | a nickname on both sides | [`nick`]: the higher affiliation, then the older |
//! | a room made on both sides | [`room`]: the older gives the configuration |
//!
//! "Beside" is: without having seen it. What is written knowing of a removal counts again, so nothing is removed for good.
//! All that is merged may come in any order, by any way and any number of times ([`Merge`]), so sides that have the same writes are the same.
//!
//! Stamps are of `clock.rs`. Removals are kept as long as a side may be away, [`RETENTION`] by default: a side that has been away for longer is read whole, not merged.

use std::collections::BTreeMap;
use std::time::Duration;

use xmpp_core::time::Timestamp;

use crate::clock::Stamp;
use crate::node::NodeId;

mod records;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

pub use records::{Affiliation, FIELDS, Fields, Requests, RosterItem};
pub use wire::NotARecord;

/// How long removals are remembered, unless an embedder decides otherwise.
pub const RETENTION: Duration = Duration::from_secs(30 * 86_400);

/// Nodes whose removals one record remembers, at most; those of longest ago go first.
pub const DENIERS: usize = 64;

/// What both sides have written, brought together.
///
/// Commutative, associative and idempotent: `a + b = b + a`, `(a + b) + c = a + (b + c)`, `a + a = a`. The property tests of this module hold for every implementation here.
pub trait Merge {
    /// Takes up what `other` knows.
    fn merge(&mut self, other: &Self);
}

/// A value that the last writer has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register<T> {
    /// When it was written.
    pub at: Stamp,
    /// The value.
    pub value: T,
}

/// A record that can be taken away, or forbidden. A denial wins over whatever was written without knowledge of it. `K` says which kind of denial; of two beside
/// each other the greater one counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guarded<T, K = ()> {
    /// The last denial of each node.
    denials: BTreeMap<NodeId, Denial<K>>,
    /// Written by somebody who knew of just these denials.
    value: Option<T>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Denial<K> {
    at: Stamp,
    kind: K,
    /// Somebody who knew of it has written something else since.
    answered: bool,
}

impl<T: Clone> Merge for Register<T> {
    fn merge(&mut self, other: &Self) {
        if other.at > self.at {
            *self = other.clone();
        }
    }
}

impl<T, K> Default for Guarded<T, K> {
    fn default() -> Self {
        Guarded {
            denials: BTreeMap::new(),
            value: None,
        }
    }
}

impl<T: Merge + Clone, K: Ord + Copy + Default> Guarded<T, K> {
    /// The value; `None` if there is none, or it is denied.
    pub fn value(&self) -> Option<&T> {
        self.value.as_ref()
    }

    /// What denies it, if anything does.
    pub fn denied(&self) -> Option<K> {
        if self.value.is_some() || self.denials.is_empty() {
            return None;
        }
        let open = self.denials.values().filter(|denial| !denial.answered);
        // None is open if each side has answered its own and not the other's: nobody has allowed both.
        Some(open.map(|denial| denial.kind).max().unwrap_or_default())
    }

    /// Writes the value, knowing of all that this record knows of: what denied it does not any more.
    pub fn grant(&mut self, value: T) {
        self.answer();
        match &mut self.value {
            Some(known) => known.merge(&value),
            None => self.value = Some(value),
        }
    }

    /// Takes it away.
    pub fn deny(&mut self, at: Stamp, kind: K) {
        self.answer();
        self.value = None;
        let denial = Denial {
            kind,
            answered: false,
            at,
        };
        self.denials.insert(denial.at.node.clone(), denial);
        self.bound();
    }

    /// Forgets denials from before `horizon` (now less [`RETENTION`]). True if nothing is left of the record, so that it can be dropped.
    pub fn forget(&mut self, horizon: Timestamp) -> bool {
        self.denials.retain(|_, denial| denial.at.time >= horizon);
        self.denials.is_empty() && self.value.is_none()
    }

    fn answer(&mut self) {
        for denial in self.denials.values_mut() {
            denial.answered = true;
        }
    }

    fn knows_as_much_as(&self, all: &BTreeMap<NodeId, Denial<K>>) -> bool {
        let mine = self.denials.values().map(|denial| &denial.at);
        mine.eq(all.values().map(|denial| &denial.at))
    }

    fn bound(&mut self) {
        while self.denials.len() > DENIERS {
            let oldest = self.denials.values().map(|denial| &denial.at).min();
            let Some(oldest) = oldest.map(|at| at.node.clone()) else {
                return;
            };
            self.denials.remove(&oldest);
        }
    }
}

impl<T: Merge + Clone, K: Ord + Copy + Default> Merge for Guarded<T, K> {
    fn merge(&mut self, other: &Self) {
        let mut all: Guarded<T, K> = Guarded {
            denials: self.denials.clone(),
            value: None,
        };
        for (node, denial) in &other.denials {
            let Some(known) = all.denials.get_mut(node) else {
                all.denials.insert(node.clone(), denial.clone());
                continue;
            };
            match denial.at.cmp(&known.at) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => known.answered |= denial.answered,
                std::cmp::Ordering::Greater => *known = denial.clone(),
            }
        }
        all.bound();
        // A value counts only if its writers knew of every denial.
        for side in [&*self, other] {
            let knows = side.knows_as_much_as(&all.denials);
            match (&mut all.value, side.value.as_ref().filter(|_| knows)) {
                (Some(known), Some(value)) => known.merge(value),
                (empty, Some(value)) => *empty = Some(value.clone()),
                (_, None) => {}
            }
        }
        *self = all;
    }
}

/// Which of two conflicting claims holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The first one.
    First,
    /// The second one.
    Second,
}

/// A full address that is bound on both sides: the later login has it, `(since, generation, node)` as in the directory. The other one is closed with
/// `<conflict/>` (RFC 6120 §7.7.2.2), and what waits for it goes to another session of the account or to the store.
pub fn login(first: (Timestamp, u32, &NodeId), second: (Timestamp, u32, &NodeId)) -> Side {
    greater(&first, &second)
}

/// One session on both sides: the greater generation goes on, then the greater name, as in `standby.rs`.
pub fn session(first: (u32, &NodeId), second: (u32, &NodeId)) -> Side {
    greater(&first, &second)
}

/// A nickname on both sides: the higher affiliation keeps it, then whoever has had it for longer. The other one gets another name (XEP-0045 §7.6) and stays.
pub fn nick(first: (Affiliation, &Stamp), second: (Affiliation, &Stamp)) -> Side {
    let rank = |(affiliation, since): (Affiliation, &Stamp)| {
        (affiliation, std::cmp::Reverse(since.clone()))
    };
    greater(&rank(first), &rank(second))
}

/// A room that was made on both sides: the older one gives the configuration.
pub fn room(first: &Stamp, second: &Stamp) -> Side {
    greater(&second, &first)
}

fn greater<T: Ord>(first: &T, second: &T) -> Side {
    match first >= second {
        true => Side::First,
        false => Side::Second,
    }
}
