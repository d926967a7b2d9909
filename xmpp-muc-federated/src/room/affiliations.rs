//! The lists of owners, admins, members and outcasts (XEP-0045 §5.2).

use std::collections::{BTreeMap, HashMap};

use xmpp_core::{BareJid, Jid};

use super::Affiliation;
use super::occupants::key;
use crate::store::Entry;

/// Who has which affiliation, and which nick.
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
    /// §9.2: "an implementation SHOULD match JIDs in the following order: <user@domain>, <domain> (the domain itself matches, as
    /// does any user@domain)"
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

    /// Who has reserved this nick, or one that looks the same (§7.12).
    pub(super) fn holder(&self, nick: &str) -> Option<&Jid> {
        self.nicks.get(&key(nick))
    }

    /// Puts an entry in the place of the one for its JID. A nick that is another's stays theirs.
    pub(super) fn set(&mut self, mut entry: Entry) {
        self.remove(&entry.jid);
        let nick = entry.nick.take().map(|nick| (key(&nick), nick));
        if let Some((key, nick)) = nick
            && !self.nicks.contains_key(&key)
        {
            self.nicks.insert(key, entry.jid.clone());
            entry.nick = Some(nick);
        }
        self.entries.insert(entry.jid.clone(), entry);
    }

    pub(super) fn remove(&mut self, jid: &Jid) -> Option<Entry> {
        let entry = self.entries.remove(jid)?;
        if let Some(nick) = &entry.nick {
            self.nicks.remove(&key(nick));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(jid: &str, affiliation: Affiliation, nick: Option<&str>) -> Entry {
        Entry {
            jid: Jid::new(jid).unwrap(),
            affiliation,
            nick: nick.map(str::to_owned),
            reason: None,
        }
    }

    /// XEP-0045 §9.2
    #[test]
    fn who_has_no_affiliation_has_that_of_their_domain() {
        let all = Affiliations::new(vec![
            entry("shakespeare.example", Affiliation::Outcast, None),
            entry("hag66@shakespeare.example", Affiliation::Member, None),
            entry(
                "hecate@shakespeare.example",
                Affiliation::None,
                Some("Hecate"),
            ),
        ]);
        for (user, affiliation) in [
            ("hag66@shakespeare.example", Affiliation::Member),
            ("hecate@shakespeare.example", Affiliation::Outcast),
            ("crone1@shakespeare.example", Affiliation::Outcast),
            ("shakespeare.example", Affiliation::Outcast),
            ("crone1@sub.shakespeare.example", Affiliation::None),
        ] {
            assert_eq!(all.of(&user.parse().unwrap()), affiliation, "{user}");
        }
    }

    /// XEP-0045 §7.12, RFC 8266 §2.4
    #[test]
    fn a_nick_is_reserved_for_one_however_it_is_written() {
        let mut all = Affiliations::default();
        all.set(entry(
            "a@x.example",
            Affiliation::Member,
            Some("Third Witch"),
        ));
        all.set(entry(
            "b@x.example",
            Affiliation::Member,
            Some("third witch"),
        ));
        let whose = |all: &Affiliations| all.holder("THIRD WITCH").map(Jid::to_string);
        assert_eq!(whose(&all).as_deref(), Some("a@x.example"));
        assert_eq!(
            all.get(&Jid::new("b@x.example").unwrap()).unwrap().nick,
            None
        );
        all.set(entry("a@x.example", Affiliation::Outcast, None));
        assert_eq!(whose(&all), None);
        all.set(entry(
            "b@x.example",
            Affiliation::Member,
            Some("third witch"),
        ));
        assert_eq!(whose(&all).as_deref(), Some("b@x.example"));
    }
}
