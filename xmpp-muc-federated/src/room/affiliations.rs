//! The lists of owners, admins, members and outcasts (XEP-0045 §5.2).

use std::collections::{BTreeMap, HashMap};

use xmpp_core::{BareJid, Jid};

use super::Affiliation;
use super::occupants::key;
use crate::store::Entry;

/// Who has which affiliation.
#[derive(Debug, Default)]
pub(super) struct Affiliations {
    entries: BTreeMap<Jid, Entry>,
    /// Who has reserved a nick, by the nick as it is compared (RFC 8266).
    nicks: HashMap<String, Jid>,
}

impl Affiliations {
    pub(super) fn new(entries: Vec<Entry>) -> Affiliations {
        let mut all = Affiliations::default();
        entries.into_iter().for_each(|entry| all.set(entry));
        all
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

    /// Who has reserved this nick, or one that looks the same.
    pub(super) fn holder(&self, nick: &str) -> Option<&Jid> {
        self.nicks.get(&key(nick))
    }

    /// A nick that somebody else has reserved is theirs no longer: see [`holder`](Self::holder).
    pub(super) fn set(&mut self, entry: Entry) {
        self.remove(&entry.jid);
        if let Some(nick) = &entry.nick {
            self.nicks.insert(key(nick), entry.jid.clone());
        }
        self.entries.insert(entry.jid.clone(), entry);
    }

    pub(super) fn remove(&mut self, jid: &Jid) -> Option<Entry> {
        let entry = self.entries.remove(jid)?;
        let nick = entry.nick.as_deref().map(key);
        if let Some(nick) = nick.filter(|nick| self.nicks.get(nick) == Some(jid)) {
            self.nicks.remove(&nick);
        }
        Some(entry)
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
