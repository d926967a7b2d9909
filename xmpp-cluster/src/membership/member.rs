//! Another node, as this one sees it.

use std::time::Instant;

use crate::frame::{Beat, Heard};
use crate::node::{Incarnation, Life, NodeId, NodeInfo};

/// By which way a node is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// By the engine.
    Direct,
    /// By this node, which hands on what is not for itself.
    Via(NodeId),
}

/// A node as an operator is shown it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Seen<'a> {
    /// Who.
    pub info: &'a NodeInfo,
    /// By which way it can be reached; `None` while it is down.
    pub reach: Option<&'a Reach>,
    /// When it was last heard.
    pub heard: Instant,
    /// How many changes its slice of the session table has seen, as it last said.
    pub table: u64,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) info: NodeInfo,
    pub(super) heard: Instant,
    /// When it last said that it hears this node.
    hears_us: Option<Instant>,
    pub(super) hears: Vec<Heard>,
    pub(super) reach: Option<Reach>,
    table: u64,
    left: bool,
}

impl Member {
    pub(super) fn new(life: Life, beat: &Beat, now: Instant) -> Member {
        Member {
            info: NodeInfo {
                life,
                site: beat.site.clone(),
                versions: beat.versions,
            },
            heard: now,
            hears_us: None,
            hears: Vec::new(),
            reach: None,
            table: beat.table,
            left: false,
        }
    }

    pub(super) fn hear(&mut self, beat: Beat, us: &Life, now: Instant) {
        self.heard = now;
        self.table = beat.table;
        self.info.versions = beat.versions;
        if beat.hears.iter().any(|heard| heard.life == *us) {
            self.hears_us = Some(now);
        }
        self.hears = beat.hears;
    }

    /// It has said goodbye; this life of it does not come back.
    pub(super) fn left(&mut self, now: Instant) {
        self.heard = now;
        self.left = true;
        self.hears_us = None;
        self.hears = Vec::new();
    }

    pub(super) fn has_left(&self) -> bool {
        self.left
    }

    /// Whether a life of it is of the past.
    pub(super) fn is_over(&self, incarnation: Incarnation) -> bool {
        let known = self.info.life.incarnation;
        incarnation < known || (incarnation == known && self.left)
    }

    /// This node did not listen: what it has not heard means nothing.
    pub(super) fn forgive(&mut self, now: Instant) {
        if self.reach == Some(Reach::Direct) {
            self.heard = now;
            self.hears_us = Some(now);
        }
    }

    /// Since when it was not heard, in milliseconds.
    pub(super) fn silent_for(&self, now: Instant) -> u32 {
        let silent = now.saturating_duration_since(self.heard).as_millis();
        u32::try_from(silent).unwrap_or(u32::MAX)
    }

    pub(super) fn is_heard(&self, alive: impl Fn(Instant) -> bool) -> bool {
        !self.left && alive(self.heard)
    }

    pub(super) fn is_mutual(&self, alive: impl Fn(Instant) -> bool) -> bool {
        self.is_heard(&alive) && self.hears_us.is_some_and(alive)
    }

    pub(super) fn seen(&self) -> Seen<'_> {
        Seen {
            info: &self.info,
            reach: self.reach.as_ref(),
            heard: self.heard,
            table: self.table,
        }
    }
}
