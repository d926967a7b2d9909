//! Who is on one side of a link, as the other side knows them.

use std::collections::BTreeMap;

use xmpp_core::Jid;
use xmpp_core::jid::nickname;

/// Occupants, and the nicks under which they are known.
#[derive(Debug, Default)]
pub(super) struct Roster {
    all: BTreeMap<Jid, String>,
    /// It is another one than was written down.
    changed: bool,
}

impl Roster {
    /// The nick of somebody.
    pub(super) fn get(&self, jid: &Jid) -> Option<&String> {
        self.all.get(jid)
    }

    pub(super) fn contains_key(&self, jid: &Jid) -> bool {
        self.all.contains_key(jid)
    }

    /// Notes somebody; the nick that they had before.
    pub(super) fn insert(&mut self, jid: Jid, nick: String) -> Option<String> {
        let before = self.all.insert(jid.clone(), nick);
        self.changed |= before.as_ref() != self.all.get(&jid);
        before
    }

    pub(super) fn remove(&mut self, jid: &Jid) -> Option<String> {
        let gone = self.all.remove(jid);
        self.changed |= gone.is_some();
        gone
    }

    /// Those for whom this is so.
    pub(super) fn retain(&mut self, mut keeps: impl FnMut(&Jid) -> bool) {
        let before = self.all.len();
        self.all.retain(|jid, _| keeps(jid));
        self.changed |= self.all.len() != before;
    }

    pub(super) fn clear(&mut self) {
        self.changed |= !self.all.is_empty();
        self.all.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Jid, &String)> {
        self.all.iter()
    }

    /// Who has this nick.
    pub(super) fn named(&self, nick: &str) -> Option<&Jid> {
        let found = self.all.iter().find(|(_, theirs)| *theirs == nick);
        found.map(|(jid, _)| jid)
    }

    /// Who has this nick, or one that looks the same, and is somebody else.
    pub(super) fn rival(&self, jid: &Jid, nick: &str) -> Option<&Jid> {
        let (bare, key) = (jid.to_bare(), key(nick));
        let other =
            |(one, theirs): &(&Jid, &String)| one.to_bare() != bare && self::key(theirs) == key;
        self.all.iter().find(other).map(|(one, _)| one)
    }

    /// Whether it has to be written down: it is said once.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }
}

/// The nick as it is compared (RFC 8266).
pub(super) fn key(nick: &str) -> String {
    nickname(nick).map_or_else(|_| nick.to_owned(), |key| key.into_owned())
}
