//! Of the session table: what is told of a bound resource.

use bytes::Bytes;
use xmpp_core::FullJid;
use xmpp_core::session::SessionId;
use xmpp_core::time::Timestamp;

use crate::node::Life;

/// A bound resource, as its node tells of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its address.
    pub jid: FullJid,
    /// Its session.
    pub session: SessionId,
    /// When the address was bound, by its node's clock, and later than any other session that the node knew to have it then: of two
    /// sessions with one address the later one keeps it.
    pub since: Timestamp,
    /// How often the session has moved: the greater one is right.
    pub generation: u32,
    /// The stream, if it can be resumed.
    pub resumable: Option<Resumable>,
    /// Its priority, if it is available.
    pub priority: Option<i8>,
    /// Its last available presence, as a stanza.
    pub presence: Option<Bytes>,
    /// Whether it has asked for the roster.
    pub interested: bool,
    /// Whether it wants carbons.
    pub carbons: bool,
    /// Whether it has asked for the block list.
    pub block_list: bool,
}

/// What is known of a stream that can be resumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumable {
    /// Its resumption id (XEP-0198 §5).
    pub id: String,
    /// How long it waits for its client, in seconds; 0 if that is not told.
    pub max: u32,
}

/// A change of a slice.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The resource is bound, or something about it is different now.
    Put(Box<Entry>),
    /// It is gone.
    Remove(FullJid),
}

/// Changes of the sender's own slice, one after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Delta {
    /// How many changes came before.
    pub after: u64,
    /// The changes.
    pub changes: Vec<Change>,
}

/// A question for a slice.
#[derive(Clone, Debug, PartialEq)]
pub struct Pull {
    /// Whose, and in which of its lives.
    pub of: Life,
    /// The pages before end with this address; from the start without.
    pub from: Option<FullJid>,
    /// Tells the pages of one reading of the slice from those of another that was given up.
    pub round: u32,
}

/// Part of a slice, in the order of addresses.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// Whose, and in which of its lives.
    pub of: Life,
    /// Behind which address it begins.
    pub from: Option<FullJid>,
    /// With which it ends; without one it is the last.
    pub until: Option<FullJid>,
    /// That of the question.
    pub round: u32,
    /// How many changes the slice had seen.
    pub at: u64,
    /// What is there between, each with the number of its last change.
    pub entries: Vec<(u64, Entry)>,
}
