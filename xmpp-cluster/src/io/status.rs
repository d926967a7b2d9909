//! What an operator is shown of a cluster.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use xmpp_core::time::Now;

use crate::cluster::{Counts, Event, Fault, Node, Traffic};
use crate::membership::{Reach, Refusal, Why};
use crate::node::NodeInfo;

/// A node's view of its cluster at one moment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Status {
    /// This node.
    pub me: NodeInfo,
    /// Resources that are bound here.
    pub resources: usize,
    /// The others, in the order of their names.
    pub members: Vec<Member>,
    /// What it counts.
    pub counts: Counts,
    /// Frames that the engine has not taken: they are sent again, or overtaken by later ones.
    pub unsent: u64,
}

/// Another node.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Member {
    /// Who.
    pub info: NodeInfo,
    /// By which way it is reached; `None` while it is down.
    pub reach: Option<Reach>,
    /// How long nothing was heard of it.
    pub silent: Duration,
    /// Resources that are bound there.
    pub resources: usize,
    /// What goes between it and this node.
    pub traffic: Traffic,
}

impl Status {
    pub(super) fn of(node: &Node, unsent: u64, now: Now) -> Status {
        let table = node.table();
        let members = node.members().map(|seen| {
            let name = &seen.info.life.node;
            Member {
                info: seen.info.clone(),
                reach: seen.reach.cloned(),
                silent: now.instant.saturating_duration_since(seen.heard),
                resources: table.len(name),
                traffic: node.traffic(name).unwrap_or_default(),
            }
        });
        Status {
            me: node.me().clone(),
            resources: table.len(&node.me().life.node),
            members: members.collect(),
            counts: node.counts(),
            unsent,
        }
    }
}

/// What the engine has not taken.
#[derive(Debug, Default)]
pub(super) struct Lost(AtomicU64);

impl Lost {
    pub(super) fn unsent(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn counts(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Writes down what an operator has to know.
pub(super) fn log(event: &Event) {
    match event {
        Event::Up(node) => tracing::info!(node = %node.life, site = %node.site, "is up"),
        Event::Down(node, Why::Silent) => tracing::warn!(%node, "is down: nothing is heard"),
        Event::Down(node, Why::Left) => tracing::info!(%node, "has left"),
        Event::Down(node, Why::Restarted) => tracing::warn!(%node, "was started anew"),
        Event::HeldUp(time) => tracing::warn!(?time, "this node was held up"),
        Event::Superseded(_) => tracing::error!("this node was started anew, and stops here"),
        // Both say so of each other; which of the clocks is wrong is for an operator to see.
        Event::Refused(node, why @ Refusal::Clock(_)) => {
            tracing::error!(%node, %why, "is not let in");
        }
        Event::Refused(node, why) => tracing::warn!(%node, %why, "is not let in"),
        // What follows of the same kind is counted.
        Event::Dropped(node, why @ (Fault::Stray | Fault::Unknown)) => {
            tracing::info!(%node, %why, "something from there was dropped");
        }
        Event::Dropped(node, why) => {
            tracing::warn!(%node, %why, "something from there was dropped");
        }
        Event::GivenUp(node, parcels) => {
            tracing::info!(%node, parcels = parcels.len(), "are given up");
        }
        Event::Reset(node) => tracing::info!(%node, "has held this node to be down"),
        Event::Put(..)
        | Event::Removed(..)
        | Event::Lost(..)
        | Event::Synced(_)
        | Event::Parcel(..) => {}
    }
}
