//! What whoever keeps a room has to know of it.

use super::Room;

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
