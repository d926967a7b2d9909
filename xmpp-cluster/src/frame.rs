//! What travels between two nodes, as bytes.
//!
//! A frame is a message of Protocol Buffers (`frame/wire.rs` is its schema), so a release can add fields and kinds that
//! the one before it passes over. What a node does not know it must be able to do without: a frame of an
//! unknown kind is dropped, an unknown [`Parcel`] is acknowledged and dropped, and both are counted. What cannot be done without
//! is sent to nodes only whose [`Versions`] say that they read it.
//!
//! No frame is trusted: whatever does not read as one is an [`Error`], and the transport has proven who has sent it.

mod accounts;
pub mod journal;
pub mod moves;
mod served;
pub mod standby;
mod stanzas;
mod table;
mod wire;

use bytes::Bytes;
use prost::Message;
use xmpp_core::time::Timestamp;
use xmpp_sm::Counter;

use crate::node::{Incarnation, Life, NodeId, SiteId, Versions};

pub use accounts::AccountChanged;
pub use served::{SERVED, Served};
pub use stanzas::{Carried, End, Outcome, Push, Route, Verdict};
pub use table::{Change, Delta, Entry, Page, Pull, Resumable};

/// The version of what this release writes.
pub const VERSION: u32 = 1;

/// The versions that this release reads.
pub const VERSIONS: Versions = Versions {
    oldest: 1,
    newest: VERSION,
};

/// Bytes of a frame, at most: a stanza of the greatest size with all that goes with it, and pages of what is copied.
pub const FRAME: usize = 1 << 20;

/// Nodes that a node tells of in one heartbeat, at most.
pub const MEMBERS: usize = 256;

/// What one node sends to another, or to all.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// Who has made it. Who hands it on does not change that.
    pub from: Life,
    /// For whom it is; `None` for whoever gets it. No incarnation is named where it is not known yet.
    pub to: Option<(NodeId, Option<Incarnation>)>,
    /// What it is.
    pub body: Body,
}

/// The kinds of frames.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Body {
    /// A node is there.
    Beat(Beat),
    /// What is to arrive in order and once.
    Data(Data),
    /// How far that has arrived.
    Ack(Ack),
    /// Which entries of a node's slice of the session table are wanted.
    Pull(Pull),
    /// Some of these.
    Page(Page),
    /// Of a later version.
    Unknown,
}

/// A heartbeat.
#[derive(Clone, Debug, PartialEq)]
pub struct Beat {
    /// Where the node stands.
    pub site: SiteId,
    /// The versions of frames that it reads.
    pub versions: Versions,
    /// Its clock.
    pub clock: Timestamp,
    /// Whom it hears, and whether they hear it.
    pub hears: Vec<Heard>,
    /// How many changes its slice of the session table has seen.
    pub table: u64,
    /// Whether it is the last one: the node goes, and needs nobody to wait for it.
    pub leaving: bool,
}

/// Somebody whom a node hears.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// Who.
    pub life: Life,
    /// How long ago, in milliseconds.
    pub ago: u32,
    /// Whether they have said that they hear that node.
    pub mutual: bool,
}

/// Parcels of a link.
#[derive(Clone, Debug, PartialEq)]
pub struct Data {
    /// The link's epoch: after everything before was given up comes a greater one.
    pub epoch: u64,
    /// The number of parcels before the first of these.
    pub after: Counter,
    /// The parcels, as they were given to the link.
    pub parcels: Vec<Bytes>,
    /// How far the other direction has arrived.
    pub ack: Option<Ack>,
}

/// An acknowledgement of parcels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The epoch of those that have come.
    pub epoch: u64,
    /// How many of it have come, each with all before it.
    pub handled: Counter,
    /// Whether something has come that is not the next.
    pub gap: bool,
}

/// What a link carries.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Parcel {
    /// Changes of its sender's slice of the session table.
    Table(Delta),
    /// A stanza for one session.
    Push(Box<Push>),
    /// A stanza for an account.
    Route(Box<Route>),
    /// What has become of one of these.
    Outcome(Outcome),
    /// A session's address is taken over.
    End(End),
    /// An account has changed in the store that both share.
    AccountChanged(AccountChanged),
    /// What its sender serves beside accounts.
    Served(Served),
    /// What has happened to sessions that the addressee keeps replicas of.
    Log(standby::Log),
    /// How far that has come.
    Logged(standby::Logged),
    /// What was accepted for a session that is the addressee's.
    Yield(standby::Yield),
    /// That it is safe.
    Yielded(standby::Yielded),
    /// The question whose the sender's sessions are.
    Whose(standby::Whose),
    /// The answer.
    Mine(standby::Mine),
    /// A session is asked for.
    Fetch(moves::Fetch),
    /// The answer, if it is not to be had.
    NotHere(moves::NotHere),
    /// A session that the addressee may have.
    Offer(Box<moves::Offer>),
    /// More of its record is wanted.
    More(moves::More),
    /// Some of it.
    Piece(moves::Piece),
    /// The session is bound at the sender's.
    Taken(moves::Taken),
    /// Whether it is the addressee's now.
    Decided(moves::Decided),
    /// It is not taken.
    Declined(moves::Declined),
    /// What accounts a store has.
    JournalHello(journal::Hello),
    /// Some of it.
    JournalBatch(Box<journal::Batch>),
    /// How far that has come.
    JournalHave(journal::Have),
    /// Of a later version.
    Unknown,
}

/// It cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is no message of Protocol Buffers, or a field has another type.
    #[error("damaged")]
    Damaged,
    /// It has more than [`FRAME`] bytes.
    #[error("too long")]
    TooLong,
    /// A field that each must have is missing, or has a value that it cannot have.
    #[error("no valid {0}")]
    Without(&'static str),
}

impl Frame {
    /// The frame as bytes.
    pub fn encode(&self) -> Bytes {
        wire::Frame::from(self).encode_to_vec().into()
    }

    /// Reads a frame.
    pub fn decode(bytes: Bytes) -> Result<Frame, Error> {
        if bytes.len() > FRAME {
            return Err(Error::TooLong);
        }
        let frame = wire::Frame::decode(bytes).map_err(|_| Error::Damaged)?;
        Frame::try_from(frame)
    }
}

impl Parcel {
    /// The parcel as bytes.
    pub fn encode(&self) -> Bytes {
        wire::Parcel::from(self).encode_to_vec().into()
    }

    /// Reads a parcel.
    pub fn decode(bytes: Bytes) -> Result<Parcel, Error> {
        let parcel = wire::Parcel::decode(bytes).map_err(|_| Error::Damaged)?;
        Parcel::try_from(parcel)
    }
}

#[cfg(test)]
pub(crate) mod tests;
