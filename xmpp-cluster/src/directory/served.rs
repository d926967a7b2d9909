//! Who serves addresses that are no accounts': components, the domains of rooms.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use xmpp_core::Jid;

use super::lock;
use crate::frame::{SERVED, Served};
use crate::node::{Life, NodeId};

/// What this node serves, and what others have said that they do.
#[derive(Default)]
pub(super) struct Servants {
    here: Mutex<Here>,
    /// Whether anybody else serves anything: every stanza asks.
    any: AtomicBool,
    elsewhere: RwLock<Elsewhere>,
}

#[derive(Default)]
struct Here {
    addresses: BTreeSet<Jid>,
    outlet: bool,
}

#[derive(Default)]
struct Elsewhere {
    nodes: BTreeMap<NodeId, (Life, Served)>,
    /// Of several that serve an address, the first by its name.
    addresses: HashMap<Box<str>, Life>,
}

impl Servants {
    /// This node serves an address; what the others are to be told, if they are.
    pub(super) fn add(&self, address: &Jid) -> Option<Served> {
        let mut here = lock(&self.here);
        if here.addresses.len() >= SERVED {
            tracing::warn!(%address, "is served by this node alone: there are {SERVED} already");
            return None;
        }
        let new = here.addresses.insert(address.clone());
        new.then(|| told(&here))
    }

    /// It does not any more.
    pub(super) fn remove(&self, address: &Jid) -> Option<Served> {
        let mut here = lock(&self.here);
        here.addresses.remove(address).then(|| told(&here))
    }

    /// Whether this node serves a sender.
    pub(super) fn serves(&self, from: &Jid) -> bool {
        let names = [from.as_str(), from.bare_str(), from.domain()];
        let here = lock(&self.here);
        let mut all = here.addresses.iter();
        all.any(|address| names.contains(&address.as_str()))
    }

    /// This node has a way to other servers, or not any more; what the others are to be told, if that is new.
    pub(super) fn set_outlet(&self, open: bool) -> Option<Served> {
        let mut here = lock(&self.here);
        (std::mem::replace(&mut here.outlet, open) != open).then(|| told(&here))
    }

    pub(super) fn is_outlet(&self) -> bool {
        lock(&self.here).outlet
    }

    /// Another node, if it has a way to other servers.
    pub(super) fn outlet(&self, node: &NodeId) -> Option<Life> {
        let elsewhere = self.read();
        let (life, served) = elsewhere.nodes.get(node)?;
        served.outlet.then(|| life.clone())
    }

    /// What a node is told that this one has met.
    pub(super) fn told(&self) -> Served {
        told(&lock(&self.here))
    }

    /// A node has said what it serves.
    pub(super) fn heard(&self, from: &Life, served: Served) {
        self.change(|nodes| {
            nodes.insert(from.node.clone(), (from.clone(), served));
        });
    }

    /// A node is down.
    pub(super) fn gone(&self, life: &Life) {
        self.change(|nodes| {
            if nodes
                .get(&life.node)
                .is_some_and(|(known, _)| known == life)
            {
                nodes.remove(&life.node);
            }
        });
    }

    /// Which other node serves the first of these addresses that anybody does.
    pub(super) fn of(&self, addresses: &[&str]) -> Option<Life> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let elsewhere = self.read();
        let mut served = addresses.iter();
        served
            .find_map(|address| elsewhere.addresses.get(*address))
            .cloned()
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<NodeId, (Life, Served)>)) {
        let mut elsewhere = self.write();
        change(&mut elsewhere.nodes);
        let mut addresses = HashMap::new();
        for (life, served) in elsewhere.nodes.values() {
            for address in &served.addresses {
                let first = addresses.entry(address.as_str().into());
                first.or_insert_with(|| life.clone());
            }
        }
        self.any.store(!addresses.is_empty(), Ordering::Release);
        elsewhere.addresses = addresses;
    }

    // A panic elsewhere while it is held leaves it whole.
    fn read(&self) -> RwLockReadGuard<'_, Elsewhere> {
        self.elsewhere
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Elsewhere> {
        self.elsewhere
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn told(here: &Here) -> Served {
    Served {
        addresses: here.addresses.iter().cloned().collect(),
        outlet: here.outlet,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Incarnation;

    fn life(node: &str, incarnation: u64) -> Life {
        Life {
            node: node.parse().unwrap(),
            incarnation: Incarnation(incarnation),
        }
    }

    fn served(addresses: &[&str]) -> Served {
        let addresses = addresses.iter().map(|address| address.parse().unwrap());
        Served {
            addresses: addresses.collect(),
            outlet: false,
        }
    }

    #[test]
    fn an_address_is_served_by_the_first_node_that_says_so_as_long_as_it_is_there() {
        let servants = Servants::default();
        assert_eq!(servants.of(&["rooms.example.org"]), None);
        servants.heard(
            &life("b", 1),
            served(&["rooms.example.org", "bot.example.org"]),
        );
        servants.heard(&life("a", 1), served(&["rooms.example.org"]));
        let of = |address| servants.of(&["x@example.org", address]);
        assert_eq!(of("rooms.example.org"), Some(life("a", 1)));
        assert_eq!(of("bot.example.org"), Some(life("b", 1)));
        // What was said before holds no more.
        servants.heard(&life("b", 1), served(&["rooms.example.org"]));
        assert_eq!(of("bot.example.org"), None);
        // A later life has said so already when the one before is noticed to be over.
        servants.heard(&life("a", 2), served(&["rooms.example.org"]));
        servants.gone(&life("a", 1));
        assert_eq!(of("rooms.example.org"), Some(life("a", 2)));
        servants.gone(&life("a", 2));
        assert_eq!(of("rooms.example.org"), Some(life("b", 1)));
        servants.gone(&life("b", 1));
        assert_eq!(of("rooms.example.org"), None);
        assert!(!servants.any.load(Ordering::Acquire));
    }

    #[test]
    fn others_are_told_when_it_changes() {
        let servants = Servants::default();
        let bot: Jid = "bot.example.org".parse().unwrap();
        assert_eq!(servants.add(&bot), Some(served(&["bot.example.org"])));
        assert_eq!(servants.add(&bot), None);
        assert_eq!(servants.told(), served(&["bot.example.org"]));
        assert_eq!(servants.remove(&bot), Some(served(&[])));
        assert_eq!(servants.remove(&bot), None);
    }
}
