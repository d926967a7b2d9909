//! The lists of owners, admins, members and outcasts (XEP-0045 §5.2).

use std::collections::BTreeMap;

use xmpp_core::{BareJid, Jid};

use super::Affiliation;
use crate::store::Entry;

/// Who has which affiliation.
#[derive(Debug, Default)]
pub(super) struct Affiliations {
    entries: BTreeMap<Jid, Entry>,
}

impl Affiliations {
    pub(super) fn new(entries: Vec<Entry>) -> Affiliations {
        let entries = entries.into_iter();
        Affiliations {
            entries: entries.map(|entry| (entry.jid.clone(), entry)).collect(),
        }
    }

    /// What the user is to the room; if there is nothing for them, what everybody of their domain is.
    ///
    /// §9.1: "the service MUST match the bare JID"; a domain can be banned as a whole.
    pub(super) fn of(&self, user: &BareJid) -> Affiliation {
        let own = self
            .entries
            .get(user.as_jid())
            .map(|entry| entry.affiliation);
        let own = own.filter(|own| *own != Affiliation::None);
        let domain = || Some(self.entries.get(user.domain_jid().as_jid())?.affiliation);
        own.or_else(domain).unwrap_or_default()
    }

    pub(super) fn get(&self, jid: &Jid) -> Option<&Entry> {
        self.entries.get(jid)
    }

    pub(super) fn set(&mut self, entry: Entry) {
        self.entries.insert(entry.jid.clone(), entry);
    }

    pub(super) fn remove(&mut self, jid: &Jid) -> Option<Entry> {
        self.entries.remove(jid)
    }

    /// All entries, in the order of their addresses.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// Those with this affiliation.
    pub(super) fn with(&self, affiliation: Affiliation) -> impl Iterator<Item = &Entry> {
        self.iter()
            .filter(move |entry| entry.affiliation == affiliation)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
