//! What is wrong with what others bring, told once.

use std::collections::BTreeSet;

use crate::node::NodeId;

/// Faults that are remembered to have been told, at most; beyond that they are only counted.
const FAULTS: usize = 1024;

/// Why something that a node has brought was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// It cannot be read.
    #[error("it cannot be read")]
    Damaged,
    /// It says that another node has made it, and may not be brought by this one.
    #[error("it is another node's, and not for this one to bring")]
    Forged,
    /// It is of a life that is not known, was not let in, or is over.
    #[error("it is of a life that is not of the cluster")]
    Stray,
    /// It is of a kind that this release does not know.
    #[error("it is of a kind that this release does not know")]
    Unknown,
    /// It acknowledges what was not sent.
    #[error("it acknowledges what was not sent")]
    Nonsense,
}

/// Which faults of whom have been told.
#[derive(Debug, Default)]
pub(super) struct Faults(BTreeSet<(NodeId, Fault)>);

impl Faults {
    /// Whether it is to be told.
    pub(super) fn tell(&mut self, of: &NodeId, fault: Fault) -> bool {
        self.0.len() < FAULTS && self.0.insert((of.clone(), fault))
    }

    /// A node is up in another life, or again: what it does wrong then is news.
    pub(super) fn forget(&mut self, of: &NodeId) {
        self.0.retain(|(node, _)| node != of);
    }
}
