//! What is known of a room's links besides what its node knows: what has gone over them, and who is told of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use xmpp_core::BareJid;
use xmpp_core::stanza::Stanza;
use xmpp_core::time::{Now, Timestamp};

use super::table::Post;
use super::ways::Interest;
use super::{House, lock};
use crate::fmuc::{LinkView, Node, Stage};

/// What is shown of links is no older than this.
const FRESH: Duration = Duration::from_secs(1);

/// A link of a room, for an operator to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Line {
    /// What it is, and how far.
    pub link: LinkView,
    /// What has gone to the peer since the room is in memory.
    pub sent: Traffic,
    /// What has come from it.
    pub received: Traffic,
    /// When the two last came to know the same.
    pub synced: Option<Timestamp>,
}

/// What has gone over a link one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Stanzas.
    pub stanzas: u64,
    /// Bytes of XML, as it stands in no stream: without compression and encryption.
    pub bytes: u64,
}

/// The links of a room in memory.
pub(super) struct Lines {
    house: Arc<House>,
    post: Arc<Post>,
    all: BTreeMap<BareJid, Known>,
    interest: Interest,
    shown: Option<Instant>,
    /// When they are shown again.
    due: Option<Instant>,
}

#[derive(Default)]
struct Known {
    stage: Option<Stage>,
    sent: Traffic,
    received: Traffic,
    synced: Option<Timestamp>,
}

impl Lines {
    pub(super) fn new(house: Arc<House>, post: Arc<Post>) -> Lines {
        Lines {
            interest: Interest::new(house.ways.clone(), post.clone()),
            house,
            post,
            all: BTreeMap::new(),
            shown: None,
            due: None,
        }
    }

    /// Whether there is a link to this room.
    pub(super) fn has(&self, peer: &BareJid) -> bool {
        self.all.contains_key(peer)
    }

    pub(super) fn sent(&mut self, peer: &BareJid, stanza: &Stanza) {
        self.house.metrics.nodes_sent.increment();
        // The first one makes the link.
        self.all.entry(peer.clone()).or_default().sent.count(stanza);
    }

    pub(super) fn received(&mut self, stanza: &Stanza) {
        self.house.metrics.nodes_received.increment();
        let peer = stanza.from().map(xmpp_core::Jid::to_bare);
        if let Some(known) = peer.and_then(|peer| self.all.get_mut(&peer)) {
            known.received.count(stanza);
        }
    }

    /// When there is something to be shown.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Has others see them as they are.
    pub(super) fn show(&mut self, node: Option<&Node>, now: Now) {
        let metrics = &self.house.metrics;
        let mut gone = std::mem::take(&mut self.all);
        let mut changed = false;
        for (peer, stage) in node.into_iter().flat_map(Node::peers) {
            let mut known = gone.remove(peer).unwrap_or_default();
            let before = known.stage.replace(stage);
            if before != Some(stage) {
                changed = true;
                metrics.link(before, Some(stage));
                if stage == Stage::Joined {
                    metrics.synced.increment();
                    known.synced = Some(now.utc);
                }
            }
            self.all.insert(peer.clone(), known);
        }
        for known in gone.values() {
            changed = true;
            metrics.link(known.stage, None);
        }
        if changed {
            let domains: BTreeSet<_> = self.all.keys().map(BareJid::domain_jid).collect();
            self.interest.set(domains);
        }
        if self.all.is_empty() && !changed {
            return;
        }
        let fresh = self.shown.map(|shown| shown + FRESH);
        if !changed && let Some(until) = fresh.filter(|until| *until > now.instant) {
            self.due = Some(until);
            return;
        }
        (self.shown, self.due) = (Some(now.instant), None);
        let view = node.map(Node::view).unwrap_or_default();
        let lines = view.into_iter().map(|link| {
            let known = self.all.get(&link.peer);
            Line {
                sent: known.map(|known| known.sent).unwrap_or_default(),
                received: known.map(|known| known.received).unwrap_or_default(),
                synced: known.and_then(|known| known.synced),
                link,
            }
        });
        *lock(&self.post.lines) = lines.collect();
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        for known in self.all.values() {
            self.house.metrics.link(known.stage, None);
        }
    }
}

impl Traffic {
    fn count(&mut self, stanza: &Stanza) {
        self.stanzas += 1;
        self.bytes += stanza.size() as u64;
    }
}
