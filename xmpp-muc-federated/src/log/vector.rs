//! How far a node has everything.

use std::collections::BTreeMap;

use super::{Dot, NodeId};

/// For each node, up to which of its events one has all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vector(BTreeMap<NodeId, Reach>);

/// Everything up to here. In the order of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reach {
    /// In this life of the node.
    pub epoch: u64,
    /// Up to this event; 0 for none yet.
    pub seq: u64,
}

impl Vector {
    /// How far it is with one node; `None` if that is not known.
    pub fn get(&self, node: &NodeId) -> Option<Reach> {
        self.0.get(node).copied()
    }

    /// It is so far with this node.
    pub fn set(&mut self, node: NodeId, reach: Reach) {
        self.0.insert(node, reach);
    }

    /// Whether the event is certainly there. What belongs to a life that is over is of no interest any more.
    pub fn covers(&self, dot: &Dot) -> bool {
        let it = Reach {
            epoch: dot.epoch,
            seq: dot.seq,
        };
        self.0.get(&dot.node).is_some_and(|reach| *reach >= it)
    }

    /// The same of something that outlives its node's life: who has heard of a later life need not have it.
    pub fn includes(&self, dot: &Dot) -> bool {
        let reach = self.0.get(&dot.node);
        reach.is_some_and(|reach| reach.epoch == dot.epoch && reach.seq >= dot.seq)
    }

    /// All nodes, in the order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&NodeId, Reach)> {
        self.0.iter().map(|(node, reach)| (node, *reach))
    }
}

impl FromIterator<(NodeId, Reach)> for Vector {
    fn from_iter<I: IntoIterator<Item = (NodeId, Reach)>>(reaches: I) -> Vector {
        Vector(reaches.into_iter().collect())
    }
}
