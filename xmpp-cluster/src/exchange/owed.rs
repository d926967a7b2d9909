//! What other nodes have still to be told of what they have sent.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use super::lock;
use crate::frame::{Outcome, Parcel};
use crate::io::Cluster;
use crate::node::{Life, NodeId};

/// Outcomes that wait for one node that cannot take them, at most; then the oldest are dropped, and it holds what they
/// speak of until one of both goes.
pub const OWED: usize = 65_536;

/// Outcomes that could not be sent: a node that was held to be down for a while waits for them if it has not noticed that.
#[derive(Default)]
pub(super) struct Owed(Mutex<BTreeMap<NodeId, (Life, VecDeque<Outcome>)>>);

impl Owed {
    /// Sends an outcome behind those that wait.
    pub(super) fn add(&self, to: &Life, outcome: Outcome, cluster: &Cluster) {
        let mut owed = lock(&self.0);
        let waits = owed.get(&to.node).is_some_and(|(life, _)| life == to);
        if !waits && cluster.send(to, &Parcel::Outcome(outcome)).is_ok() {
            return;
        }
        add(&mut owed, to, outcome);
    }

    /// These have not arrived for sure.
    pub(super) fn given_up(&self, to: &Life, parcels: &[Parcel]) {
        let mut owed = lock(&self.0);
        for parcel in parcels {
            if let Parcel::Outcome(outcome) = parcel {
                add(&mut owed, to, *outcome);
            }
        }
    }

    /// A node is up: a later life of it waits for nothing.
    pub(super) fn up(&self, life: &Life, cluster: &Cluster) {
        {
            let mut owed = lock(&self.0);
            if owed.get(&life.node).is_some_and(|(of, _)| of != life) {
                owed.remove(&life.node);
            }
        }
        self.send(life, cluster);
    }

    /// Sends what waits, if there is room.
    pub(super) fn send(&self, to: &Life, cluster: &Cluster) {
        let mut owed = lock(&self.0);
        let Some((_, waiting)) = owed.get_mut(&to.node).filter(|(life, _)| life == to) else {
            return;
        };
        while let Some(outcome) = waiting.front() {
            if cluster.send(to, &Parcel::Outcome(*outcome)).is_err() {
                return;
            }
            waiting.pop_front();
        }
        owed.remove(&to.node);
    }
}

fn add(owed: &mut BTreeMap<NodeId, (Life, VecDeque<Outcome>)>, to: &Life, outcome: Outcome) {
    let new = || (to.clone(), VecDeque::new());
    let (life, waiting) = owed.entry(to.node.clone()).or_insert_with(new);
    if life != to {
        if life.incarnation > to.incarnation {
            return;
        }
        (*life, *waiting) = new();
    }
    if waiting.len() == OWED {
        waiting.pop_front();
    }
    waiting.push_back(outcome);
}
