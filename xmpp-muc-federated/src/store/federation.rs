//! What is kept of a room that is one over several servers.

use xmpp_core::BareJid;
use xmpp_core::time::Timestamp;

use crate::log::Dot;

/// What a room knows of its other nodes, as it was stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredFederation {
    /// Its links, in no order.
    pub links: Vec<StoredLink>,
    /// What it has seen, as XML; `None` if that was never stored.
    pub have: Option<String>,
    /// Its log, in the order in which it was stored.
    pub events: Vec<StoredEvent>,
}

/// The link to another room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLink {
    /// The other room.
    pub peer: BareJid,
    /// What there is to say of it, as XML.
    pub record: String,
}

/// An event of a room's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its name, unique in the room.
    pub dot: Dot,
    /// When it happened.
    pub at: Timestamp,
    /// What, as XML.
    pub xml: String,
}

/// A change of what a room knows of its other nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FederationChange {
    /// The link to this peer is this from now on.
    Link(StoredLink),
    /// There is no link to this peer any more.
    NoLink(BareJid),
    /// This is what it has seen, as XML.
    Have(String),
    /// One more event.
    Event(StoredEvent),
    /// Of the events only so many of the newest stay.
    KeepEvents(usize),
}
