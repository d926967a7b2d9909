//! What a peer may say, and how much (§5.13 of the design): nobody speaks for the node of another, or fills this one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use xmpp_core::BareJid;
use xmpp_core::time::{Now, Timestamp};

use super::crowd::Via;
use super::event::{Event, Passing};
use super::node::{Matter, Node, Turn};
use crate::log::{AHEAD, NodeId, Reach, Vector};

/// So much at once, and from then on so much in a second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket {
    /// When it is full again.
    full: Option<Instant>,
}

/// How often rooms have come lately, joined or not: who goes and comes again has no more for it.
#[derive(Debug, Default)]
pub(super) struct Door {
    knocks: BTreeMap<BareJid, Knocks>,
}

#[derive(Debug)]
struct Knocks {
    since: Instant,
    joins: u32,
    answers: u32,
}

/// Rooms that are remembered to have come within a minute. One more is not answered.
const KNOCKING_MAX: usize = 1000;
const MINUTE: Duration = Duration::from_secs(60);
/// For how long a peer is not heard that says too much.
const SILENCE: Duration = MINUTE;

impl Bucket {
    /// Takes something out of it, if there is so much.
    pub(super) fn take(&mut self, cost: u32, most: (u32, u32), now: Instant) -> bool {
        let (burst, rate) = most;
        let token = Duration::from_secs(1) / rate.max(1);
        let full = self.full.map_or(now, |full| full.max(now));
        let then = full + token.saturating_mul(cost);
        let fits = then.duration_since(now) <= token.saturating_mul(burst);
        if fits {
            self.full = Some(then);
        }
        fits
    }
}

impl Door {
    /// Whether a room may join, so many times in a minute.
    pub(super) fn joins(&mut self, peer: &BareJid, most: u32, now: Instant) -> bool {
        self.knock(peer, now, |knocks| &mut knocks.joins, most)
    }

    /// Whether it is answered that has not joined.
    pub(super) fn answers(&mut self, peer: &BareJid, most: u32, now: Instant) -> bool {
        self.knock(peer, now, |knocks| &mut knocks.answers, most)
    }

    fn knock(
        &mut self,
        peer: &BareJid,
        now: Instant,
        which: fn(&mut Knocks) -> &mut u32,
        most: u32,
    ) -> bool {
        let lately = |knocks: &Knocks| now < knocks.since + MINUTE;
        if !self.knocks.get(peer).is_some_and(lately) {
            self.knocks.remove(peer);
            if self.knocks.len() >= KNOCKING_MAX {
                self.knocks.retain(|_, knocks| lately(knocks));
            }
            if self.knocks.len() >= KNOCKING_MAX {
                return false;
            }
        }
        let knocks = self.knocks.entry(peer.clone()).or_insert(Knocks {
            since: now,
            joins: 0,
            answers: 0,
        });
        let count = which(knocks);
        let fits = *count < most;
        *count = count.saturating_add(1);
        fits
    }
}

impl Node {
    /// Notes that a peer has said something. Whether it is heard: one that says too much is not for a while, as if its link were down.
    pub(super) fn is_heard(&mut self, peer: &BareJid, turn: &mut Turn<'_>) -> bool {
        let (now, limits) = (turn.now.instant, self.settings.limits);
        let Some(via) = self.via(peer) else {
            return true;
        };
        let Some(link) = self.link(&via) else {
            return true;
        };
        if link.silenced.is_some_and(|until| now < until) {
            return false;
        }
        link.silenced = None;
        if link.heard.take(1, (limits.burst, limits.rate), now) {
            return true;
        }
        link.silenced = Some(now + SILENCE);
        turn.notice(peer, Matter::Flood);
        match via {
            Via::Parent => {
                self.parent_lost(turn);
                self.ask_in_time(turn);
            }
            Via::Child(peer) => self.child_lost(&peer, turn),
            Via::Here => {}
        }
        false
    }

    /// Whether events of a node may come by this link: those of the peer itself; of others if they do not come by another link already. And no life of
    /// a node begins in a time to come: there would be no other one after it.
    pub(super) fn may_name(
        &self,
        via: &Via,
        node: &NodeId,
        epoch: u64,
        now: Now,
    ) -> Result<(), &'static str> {
        if epoch > latest_life(now).saturating_add(AHEAD.as_secs()) {
            return Err("the life of a node has not begun yet");
        }
        let by = self.itself(node).or_else(|| self.routes.get(node).cloned());
        match by {
            Some(by) if by == *via => Ok(()),
            // Where nobody of a node is it has nothing to say.
            Some(by) if self.is_cut_off(&by, node) || !self.has_behind(&by, node) => {
                self.may_bring(via)
            }
            Some(_) => Err("it is the node of another"),
            None => self.may_bring(via),
        }
    }

    /// The link to a node, if it is one that this room has joined or that has joined it.
    fn itself(&self, node: &NodeId) -> Option<Via> {
        let mut children = self.children.keys();
        if let Some(child) = children.find(|peer| peer.as_str() == node.as_str()) {
            return Some(Via::Child(child.clone()));
        }
        let parent = self.parent.as_ref();
        let parent = parent.filter(|parent| parent.link.peer.as_str() == node.as_str());
        parent.map(|_| Via::Parent)
    }

    /// Whether there may be one more node behind a link.
    fn may_bring(&self, via: &Via) -> Result<(), &'static str> {
        let nodes = self.routes.values().filter(|by| *by == via).count();
        match nodes < self.settings.limits.nodes {
            true => Ok(()),
            false => Err("too many nodes"),
        }
    }

    /// Whether there is somebody of a node behind a link.
    fn has_behind(&self, via: &Via, node: &NodeId) -> bool {
        let of_node = |dot: &crate::log::Dot| dot.node == *node;
        let mut behind = self.crowd.behind(via);
        behind.any(|known| known.dot.as_ref().is_some_and(of_node))
    }

    /// What a peer has that it may speak of.
    pub(super) fn believed(&self, via: &Via, vector: &Vector, now: Now) -> Vector {
        let believed = vector.iter().filter(|(node, reach)| {
            **node != self.id && self.may_name(via, node, reach.epoch, now).is_ok()
        });
        believed
            .map(|(node, reach)| (node.clone(), reach))
            .collect()
    }

    /// A peer has heard of a life of this node after the one that it is in, or of more in this one than has happened: its clock has gone back, it has lost what
    /// it knew, or somebody has used its name. So that what happens here counts it begins another one, with those who are here.
    pub(super) fn outlive_itself(&mut self, vector: &Vector, turn: &mut Turn<'_>) {
        let Some(Reach { epoch, seq }) = vector.get(&self.id) else {
            return;
        };
        if (epoch, seq) <= (self.epoch, self.last()) || epoch > latest_life(turn.now) {
            return;
        }
        self.begin_life(epoch + 1);
        self.write_down_all(turn);
        for jid in self.crowd.jids_behind(&Via::Here) {
            let dot = self.dot(turn.now);
            if let Some(known) = self.crowd.get_mut(&jid) {
                known.dot = Some(dot.clone());
                let event = Event::Here(known.occupant.clone());
                let passing = Passing {
                    event,
                    dot: Some(dot),
                    late: None,
                };
                self.publish(&Via::Here, &passing, turn);
            }
        }
    }
}

/// The last second in which the life of a node can have begun, as far as clocks differ. What is a second, see [`Node::new`].
fn latest_life(now: Now) -> u64 {
    let Timestamp(latest) = now.utc.plus(AHEAD);
    latest.max(0).unsigned_abs() / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(n: usize) -> BareJid {
        format!("r{n}@rooms.example").parse().unwrap()
    }

    #[test]
    #[allow(clippy::disallowed_methods)]
    fn a_bucket_empties_and_fills_again() {
        let (mut bucket, start) = (Bucket::default(), Instant::now());
        let after = |ms| start + Duration::from_millis(ms);
        let mut take = |cost, ms| bucket.take(cost, (10, 2), after(ms));
        assert!(!take(11, 0));
        assert!(take(8, 0) && take(2, 0) && !take(1, 499));
        assert!(take(1, 500) && !take(1, 500));
        assert!(take(10, 10_000) && !take(u32::MAX, 20_000));
    }

    #[test]
    #[allow(clippy::disallowed_methods)]
    fn a_room_knocks_only_so_often_and_only_so_many_do() {
        let (mut door, start) = (Door::default(), Instant::now());
        assert!(door.joins(&room(0), 2, start) && door.joins(&room(0), 2, start));
        assert!(!door.joins(&room(0), 2, start) && door.answers(&room(0), 1, start));
        for n in 1..KNOCKING_MAX {
            assert!(door.answers(&room(n), 1, start + MINUTE / 2));
        }
        assert!(!door.answers(&room(KNOCKING_MAX), 1, start + MINUTE / 2));
        assert!(door.answers(&room(KNOCKING_MAX), 1, start + MINUTE));
        assert!(door.joins(&room(1), 2, start + 2 * MINUTE));
    }
}
