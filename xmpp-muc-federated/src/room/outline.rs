//! What whoever keeps a room has to know of it.

use xmpp_core::BareJid;

use super::Room;
use super::history::Bounds;

/// As what a room is listed (§6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing<'a> {
    /// Its name, if it has one.
    pub name: Option<&'a str>,
}

impl Room {
    /// Whether it stays when nobody is in it.
    pub fn is_persistent(&self) -> bool {
        self.config.persistent && !self.locked
    }

    /// Whether it may become persistent, from now on; else an owner who wants that hears `<resource-constraint/>`. At first it may.
    pub fn may_persist(&mut self, may: bool) {
        self.transient = !may;
    }

    /// Who has made it; `None` if nobody has yet.
    pub fn creator(&self) -> Option<&BareJid> {
        self.creator.as_ref()
    }

    /// Bytes of its history.
    pub fn history_bytes(&self) -> usize {
        self.history.bytes()
    }

    /// Forgets the oldest of its history, until it is no more than so many bytes. What is stored stays.
    pub fn forget_history(&mut self, bytes: usize) {
        let bounds = self.bounds();
        self.history.trim(Bounds { bytes, ..bounds });
    }

    /// How many occupants it has.
    pub fn population(&self) -> usize {
        self.occupants.len()
    }

    /// As what it is listed among the rooms of its service; `None` if it is not.
    pub fn listing(&self) -> Option<Listing<'_>> {
        let config = &self.config;
        (config.public && !self.locked).then_some(Listing {
            name: config.name.as_deref(),
        })
    }
}
