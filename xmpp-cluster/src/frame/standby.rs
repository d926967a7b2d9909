//! Of sessions that another node keeps a replica of.

mod wire;

use std::sync::Arc;

use bytes::Bytes;
use xmpp_core::mailbox::SmPoint;
use xmpp_core::session::SessionId;
use xmpp_core::time::Timestamp;
use xmpp_sm::Counter;

use crate::standby::dedupe::Window;

pub(super) use wire::{WireLog, WireLogged, WireMine, WireWhose, WireYield, WireYielded};

/// What has happened to sessions of the sender, one after the other, of which the addressee keeps replicas.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// Which log: a later one begins with nothing, and what was kept by the one before is void.
    pub stream: u64,
    /// How many came before in this one.
    pub after: u64,
    /// What has happened, and to whom.
    pub ops: Vec<(SessionId, Op)>,
}

/// How far a log has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Which log.
    pub stream: u64,
    /// How much of it has come, and is kept.
    pub upto: u64,
    /// Something is missing, or was dropped when the sender was thought dead: another log is wanted.
    pub broken: bool,
    /// Sessions that are not kept.
    pub refused: Vec<Claim>,
}

/// Whose a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The session.
    pub session: SessionId,
    /// The generation in which the sender owns it; 0 if it does not.
    pub generation: u32,
}

/// A session of the sender is the addressee's, which has the greater generation: what was accepted here.
#[derive(Clone, Debug, PartialEq)]
pub struct Yield {
    /// The session.
    pub session: SessionId,
    /// Tells the pieces of one such replica from those of another that was given up.
    pub round: u64,
    /// A piece of the replica.
    pub ops: Vec<Op>,
}

/// What was [yielded](Yield) is safe where the sender has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Yielded {
    /// The session.
    pub session: SessionId,
    /// Which replica.
    pub round: u64,
}

/// The sender was held up: which of its sessions does the addressee own by now?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whose {
    /// Which question.
    pub round: u64,
}

/// The answer; or, unasked, to a claim that is less right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mine {
    /// To which question; 0 if to none.
    pub round: u64,
    /// Sessions that were the asker's, or that it claims.
    pub claims: Vec<Claim>,
    /// Whether these are the last.
    pub last: bool,
}

/// What happens to a replica.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Op {
    /// A snapshot begins.
    Begin(Box<Begin>),
    /// Of a snapshot: which stanzas of a stream have come.
    Known(Known),
    /// A stanza waits for the client, or was sent to it at once.
    Queued(Item),
    /// One that waits has been sent to the client.
    Sent(ItemId, Timestamp),
    /// One that waits has gone another way.
    Withdrawn(ItemId),
    /// The client has acknowledged so many.
    Acked(Counter),
    /// So many of the client's stanzas are settled.
    Handled(Counter),
    /// The session's presence, flags and the like are these.
    State(Bytes),
    /// The client is gone, and may come back until then; or it is there.
    Until(Option<Timestamp>),
    /// The session has changed hands.
    Raised {
        /// The generation that it is in.
        generation: u32,
        /// That in which its client was last served.
        served: u32,
    },
    /// The snapshot ends: from now on the replica is one.
    Whole,
    /// The session has ended, or is another node's: there is nothing to keep.
    Ended,
    /// Of a later version.
    Unknown,
}

/// How a snapshot begins. See [`Replica`](crate::standby::Replica).
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // the fields of a replica
pub struct Begin {
    pub name: Arc<str>,
    /// In seconds.
    pub max: u32,
    pub generation: u32,
    pub served: u32,
    pub steps: u64,
    pub state: Bytes,
    pub until: Option<Timestamp>,
    pub handled: Counter,
    pub acked: Counter,
    /// How far what each run of a node has accepted is known.
    pub have: Vec<(u64, u64)>,
}

/// What is known of one sender's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The name under which it is resumed.
    pub id: Arc<str>,
    /// Which of its stanzas have come.
    pub window: Window,
}

/// A stanza that was accepted for a session.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Its name.
    pub id: ItemId,
    /// Its place in its sender's stream, if that can be resumed.
    pub point: Option<SmPoint>,
    /// When it was sent to the client, if it was.
    pub at: Option<Timestamp>,
    /// The stanza, with what is to be known about it. Read by whoever restores it.
    pub stanza: Bytes,
}

/// Names an accepted stanza.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ItemId {
    /// Of the node that has accepted it, in this life.
    pub run: u64,
    /// Counts there, in the order in which they were accepted.
    pub n: u64,
}
