//! What accounts and rooms keep, as records that can be merged.

use std::collections::{BTreeMap, BTreeSet};

use super::{Guarded, Merge, Register};

/// Fields that one record has, at most: what would be another one is not taken.
pub const FIELDS: usize = 1024;

/// How somebody belongs to a room (XEP-0045 §5.2), the lowest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Affiliation {
    /// Banned.
    Outcast,
    /// None.
    #[default]
    None,
    /// Member.
    Member,
    /// Admin.
    Admin,
    /// Owner.
    Owner,
}

/// Named fields of which each has its last writer: credentials, a vCard, private data by element, a room's configuration. A field that is emptied keeps its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(BTreeMap<String, Register<Option<String>>>);

/// A contact of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterItem {
    /// What the user calls it.
    pub name: Register<Option<String>>,
    /// The groups that it is in.
    pub groups: Register<BTreeSet<String>>,
    /// Whether the user may see its presence; denied when either of them ends that.
    pub to: Guarded<Register<()>>,
    /// Whether it may see the user's.
    pub from: Guarded<Register<()>>,
    /// What is asked, and granted beforehand.
    pub requests: Register<Requests>,
}

/// Requests of a contact and of the user that are open (RFC 6121 §3), as one field: they follow from each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Whether the user has asked to see the contact's presence.
    pub ask: bool,
    /// The contact's request, as XML.
    pub pending_in: Option<String>,
    /// Whether the user has granted one that has not come yet.
    pub approved: bool,
}

impl Fields {
    /// The value of a field.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(|field| field.value.as_deref())
    }

    /// Writes a field. False if it would be one more than [`FIELDS`].
    pub fn write(&mut self, name: &str, value: Register<Option<String>>) -> bool {
        if let Some(known) = self.0.get_mut(name) {
            known.merge(&value);
            return true;
        }
        let room = self.0.len() < FIELDS;
        if room {
            self.0.insert(name.to_owned(), value);
        }
        room
    }
}

impl Merge for Fields {
    fn merge(&mut self, other: &Self) {
        for (name, field) in &other.0 {
            match self.0.get_mut(name) {
                Some(known) => known.merge(field),
                None => {
                    self.0.insert(name.clone(), field.clone());
                }
            }
        }
        // The first by name stay, on all sides the same.
        while self.0.len() > FIELDS {
            self.0.pop_last();
        }
    }
}

impl Merge for RosterItem {
    fn merge(&mut self, other: &Self) {
        self.name.merge(&other.name);
        self.groups.merge(&other.groups);
        self.to.merge(&other.to);
        self.from.merge(&other.from);
        self.requests.merge(&other.requests);
    }
}
