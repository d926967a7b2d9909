//! The port behind which persistent rooms are kept. [`memory`] is a complete implementation that keeps them in the process, and
//! [`conformance`] is the suite that every implementation has to pass.
//!
//! What [`xmpp_core::store`] says of all ports holds here too, with a room in the place of an account.

use async_trait::async_trait;
use xmpp_core::store::Result;
use xmpp_core::time::Timestamp;
use xmpp_core::{BareJid, Jid};

use crate::room::Affiliation;

pub mod conformance;
mod federation;
pub mod memory;

pub use federation::{FederationChange, StoredEvent, StoredFederation, StoredLink};

/// Persistent rooms: configuration, subject, affiliations and history, and what they know of other nodes.
///
/// A room is one writer's: nobody else changes it while it is in memory.
#[async_trait]
pub trait Rooms: Send + Sync {
    /// The room without its history; `None` if there is none.
    async fn load(&self, room: &BareJid) -> Result<Option<StoredRoom>>;
    /// The newest messages of a room, at most `limit`, the oldest first.
    async fn history(&self, room: &BareJid, limit: usize) -> Result<Vec<StoredMessage>>;
    /// What a room knows of its other nodes; nothing, if it has none, or is not there.
    async fn federation(&self, room: &BareJid) -> Result<StoredFederation>;
    /// Makes the changes in their order and in one step: all of them, or none.
    ///
    /// A room is there from its first [`Change::State`] on; what concerns one that is not there has no effect. What has been made may be
    /// made once more, because it was not known to be: then it has no further effect. So a message whose id the room has already
    /// is not added, nor is an event of a name that it has.
    async fn apply(&self, room: &BareJid, changes: &[Change]) -> Result<()>;
    /// Rooms of a service that may be [listed](Change::State::listed), in the order of their names (octet by octet), those after `after`, which
    /// need not exist, at most `limit`.
    async fn list(
        &self,
        service: &BareJid,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<Listed>>;
    /// Rooms of a service that have [links](StoredFederation::links) to others, in the order of their names, those after `after`, which need not exist, at
    /// most `limit`.
    async fn linked(
        &self,
        service: &BareJid,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<BareJid>>;
    /// The [states](StoredRoom::state) of the rooms of a service, listed or not, in the order of their names, those after `after`, which need not exist, at
    /// most `limit`.
    async fn states(
        &self,
        service: &BareJid,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<(BareJid, String)>>;
    /// How many rooms of a service there are, listed or not.
    async fn count(&self, service: &BareJid) -> Result<usize>;
}

/// A room as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRoom {
    /// What the room has written down of itself, as XML.
    pub state: String,
    /// Who has which affiliation, in no order.
    pub affiliations: Vec<Entry>,
}

/// One entry of the lists of affiliations (XEP-0045 §5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Who: a bare JID, or a domain.
    pub jid: Jid,
    /// What they are to the room, [`Affiliation::None`] for nothing but what follows.
    pub affiliation: Affiliation,
    /// The nick that is reserved for them (§7.10).
    pub nick: Option<String>,
    /// Why, as whoever made the entry has said.
    pub reason: Option<String>,
}

/// A message of a room's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// Its id (XEP-0359), unique in the room.
    pub id: String,
    /// When the room received it.
    pub at: Timestamp,
    /// The stanza, without `to`, as XML.
    pub xml: String,
}

/// A room that may be listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its address.
    pub room: BareJid,
    /// Its name, if it has one.
    pub name: Option<String>,
}

/// A change of a persistent room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The room, from now on if it is new, is this.
    State {
        /// What it has written down of itself, as XML: without its lists and its history.
        state: String,
        /// Whether it may be listed.
        listed: bool,
        /// Its name.
        name: Option<String>,
    },
    /// The entry for its JID is this from now on.
    Entry(Entry),
    /// There is no entry for this JID any more.
    NoEntry(Jid),
    /// One more message.
    Message(StoredMessage),
    /// Of the messages only so many of the newest stay.
    Keep(usize),
    /// What it knows of its other nodes is another.
    Federation(FederationChange),
    /// The room is gone, with all that belongs to it.
    Destroyed,
}
