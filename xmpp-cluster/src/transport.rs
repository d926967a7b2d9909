//! The port to the engine that moves bytes between nodes.
//!
//! An engine finds the nodes, proves who they are to each other, and carries frames. It may lose them: what has to arrive is
//! on a [link](crate::link). It may not hold anybody up, and it lets in nobody who is not of the cluster.
//!
//! [`local`] joins the nodes of one process. [`conformance`] is what every engine is tried with, an integrator's own as well.

pub mod conformance;
pub mod local;
#[cfg(feature = "nats")]
pub mod nats;
#[cfg(all(test, any(feature = "nats", feature = "zenoh")))]
mod network;
#[cfg(feature = "zenoh")]
pub mod zenoh;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::channel::mpsc;

use crate::node::{NodeId, NodeInfo, SiteId};

/// An engine, for one node.
///
/// * [`send`](Transport::send) and [`publish`](Transport::publish) never wait. What does not go is [`SendError`]; what goes may be lost all the same.
/// * A frame has at most [`FRAME`](crate::frame::FRAME) bytes, and so has a question and an answer. What has more does not go.
/// * Of what one node sends another in one [`Class`] the order is kept as long as nothing is lost.
/// * A frame is given to a node once at most, and whole. Where it says that it comes from, it does: an engine that cannot prove that
///   to itself is none for strangers' networks.
/// * After [`leave`](Transport::leave) nothing comes and nothing goes.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Joins the cluster as this node. What happens goes to `events`; an engine drops frames when that is full, rather than to wait.
    async fn join(&self, me: NodeInfo, events: mpsc::Sender<Event>) -> Result<(), JoinError>;

    /// Sends a frame to a node.
    fn send(&self, to: &NodeId, class: Class, frame: Bytes) -> Result<(), SendError>;

    /// Asks a node something and waits for its answer, for as long as `within`.
    async fn request(
        &self,
        to: &NodeId,
        frame: Bytes,
        within: Duration,
    ) -> Result<Bytes, RequestError>;

    /// Sends a frame to all others of a scope.
    fn publish(&self, scope: Scope, frame: Bytes) -> Result<(), SendError>;

    /// Leaves. Whatever waits is dropped.
    async fn leave(&self);
}

/// What an engine tells a node.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A frame has come from this node.
    Frame(NodeId, Bytes),
    /// This node asks, and waits for the answer.
    Request(NodeId, Bytes, Answer),
    /// A hint: there is a connection to this node now.
    Up(NodeId),
    /// A hint: there is none any more.
    Down(NodeId),
}

/// Where the answer to a request goes. Dropped, it tells whoever asks that there is none.
#[derive(Debug)]
pub struct Answer(futures::channel::oneshot::Sender<Bytes>);

impl Answer {
    /// An answer, for an engine, and where it comes out.
    pub fn open() -> (Answer, futures::channel::oneshot::Receiver<Bytes>) {
        let (answer, comes) = futures::channel::oneshot::channel();
        (Answer(answer), comes)
    }

    /// Answers.
    pub fn give(self, frame: Bytes) {
        // Whoever has asked may have gone.
        let _ = self.0.send(frame);
    }
}

/// What goes first where not everything can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Heartbeats and acknowledgements.
    Control,
    /// Stanzas, and what keeps them safe.
    Live,
    /// What is copied to those that lack it.
    CatchUp,
}

/// Who gets what is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The nodes of this site.
    Site(SiteId),
    /// All nodes.
    All,
}

/// A node cannot join.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// This node has joined already.
    #[error("joined already")]
    Joined,
    /// A node of this name is there.
    #[error("there is a node of this name")]
    Taken,
    /// The engine does not start, or cannot reach what it needs.
    #[error("{0}")]
    Engine(String),
}

/// A frame does not go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Too much waits.
    #[error("too much waits for that node")]
    Full,
    /// There is no way to that node, as far as the engine knows; or this one has not joined.
    #[error("that node cannot be reached")]
    Unreachable,
}

/// There is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// In time, that is.
    #[error("no answer in time")]
    Late,
    /// There is no way to that node, or it does not answer.
    #[error("that node cannot be reached, or does not answer")]
    Unreachable,
}
