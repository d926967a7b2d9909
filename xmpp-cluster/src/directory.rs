//! Who is where, on all nodes of a domain.
//!
//! What is bound here is entered into the session table, so that the others know of it; what the table has of other nodes is shown as
//! [remote](Resource::remote) resources, whose mailboxes lead there. Of two sessions with one full JID, bound on two nodes that did not
//! know of each other, all nodes choose the same one: the one that was bound later, as a second login takes an address over on one node. The other
//! one's node closes it with `<conflict/>`.

mod gate;
mod outlet;
mod served;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use xmpp_core::directory::{Directory, LocalDirectory, Resources, find};
use xmpp_core::mailbox::Mailbox;
use xmpp_core::session::{Change, Resource, Session, SessionId};
use xmpp_core::stanza::{PresenceType, Stanza};
use xmpp_core::time::Timestamp;
use xmpp_core::{BareJid, FullJid, Jid};

use crate::frame::{End, Entry, Outcome, Parcel, Resumable, Served};
use crate::io::Cluster;
use crate::node::{Life, NodeId};
use crate::table::PRESENCE;

pub(crate) use gate::Held;
use gate::{Counter, Door, Gate};
pub use gate::{HELD, HELD_BYTES};
use outlet::Outlets;
pub use outlet::{OUTLETS, SILENCE};
use served::Servants;

/// The directory of one node of a cluster. An [`Exchange`](crate::exchange::Exchange) keeps it in step with the others.
///
/// An address that is no account's (a component's, that of rooms) leads to the node that serves it; to this one, if it does itself.
pub struct ClusterDirectory {
    /// Everybody who is shown, here and elsewhere.
    all: LocalDirectory,
    cluster: Cluster,
    /// The ways to other nodes.
    gates: Mutex<BTreeMap<NodeId, Arc<Gate>>>,
    /// Held while something changes: where each remote resource that is shown lives.
    lives: Mutex<HashMap<FullJid, Life>>,
    numbers: Arc<AtomicU64>,
    servants: Servants,
    outlets: Outlets,
}

impl ClusterDirectory {
    /// The directory of a node where nobody is bound.
    pub fn new(cluster: Cluster) -> ClusterDirectory {
        ClusterDirectory {
            all: LocalDirectory::new(),
            cluster,
            gates: Mutex::default(),
            lives: Mutex::default(),
            numbers: Arc::new(AtomicU64::new(1)),
            servants: Servants::default(),
            outlets: Outlets::default(),
        }
    }

    /// The node that it belongs to.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Where the resource that is shown at this address lives; `None` if that is here, or there is none.
    pub fn life(&self, jid: &FullJid) -> Option<Life> {
        lock(&self.lives).get(jid).cloned()
    }

    /// The way to a session that lives on another node, whatever is shown.
    pub(crate) fn way(&self, life: &Life, jid: &FullJid, session: SessionId) -> Mailbox {
        Mailbox::new(Arc::new(Door::new(self.gate(life), jid.clone(), session)))
    }

    /// The node, other than this one, that says it has the stream of that name, if it is this account's.
    pub(crate) fn holder(&self, name: &str, account: &BareJid) -> Option<Life> {
        self.cluster.look(|node| {
            let table = node.table();
            let named = |entry: &Entry| entry.resumable.as_ref().is_some_and(|s| s.id == name);
            let all = table.resources(account);
            let all = all.filter(|(at, entry)| **at != node.me().life.node && named(entry));
            let (at, _) = all.max_by_key(|(at, entry)| rank(at, entry))?;
            let incarnation = table.life(at)?;
            let node = at.clone();
            Some(Life { node, incarnation })
        })
    }

    /// Whether that node says it has this session.
    pub(crate) fn is_at(&self, life: &Life, jid: &FullJid, session: SessionId) -> bool {
        self.cluster.look(|node| {
            let table = node.table();
            let entry = table.entry(&life.node, jid);
            table.life(&life.node) == Some(life.incarnation)
                && entry.is_some_and(|entry| entry.session == session)
        })
    }

    /// Stanzas that other nodes were sent and have not said the last of.
    pub fn held(&self) -> usize {
        lock(&self.gates).values().map(|gate| gate.held()).sum()
    }

    /// The table has changed at this address. If a session that lives here loses it, that is to be closed.
    #[must_use]
    pub(crate) fn settle(&self, jid: &FullJid) -> Option<SessionId> {
        self.show(jid, &mut lock(&self.lives))
    }

    /// What a node has said of a stanza that it was sent.
    pub(crate) fn heard(&self, from: &Life, outcome: Outcome) -> Option<Held> {
        let gate = lock(&self.gates).get(&from.node).cloned();
        gate.filter(|gate| *gate.life() == *from)?.heard(outcome)
    }

    /// A node is up: it is told what this one serves.
    pub(crate) fn met(&self, life: &Life) {
        self.tell(std::slice::from_ref(life), self.servants.told());
    }

    /// A node has said what it serves.
    pub(crate) fn serves(&self, life: &Life, served: Served) {
        self.servants.heard(life, served);
    }

    fn tell(&self, nodes: &[Life], served: Served) {
        let parcel = Parcel::Served(served);
        for life in nodes {
            if let Err(error) = self.cluster.send(life, &parcel) {
                tracing::warn!(%life, %error, "is not told what is served here");
            }
        }
    }

    /// A node is down: what it was sent and has not said anything of, oldest first.
    pub(crate) fn close(&self, life: &Life) -> Vec<Held> {
        self.servants.gone(life);
        let mut gates = lock(&self.gates);
        match gates.get(&life.node) {
            Some(gate) if gate.life() == life => {
                let gate = gates.remove(&life.node);
                gate.map(|gate| gate.close()).unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }

    fn gate(&self, life: &Life) -> Arc<Gate> {
        let mut gates = lock(&self.gates);
        let known = gates.get(&life.node);
        if let Some(gate) = known.filter(|gate| gate.life() == life) {
            return gate.clone();
        }
        let numbers = self.numbers.clone();
        let gate = Arc::new(Gate::new(self.cluster.clone(), life.clone(), numbers));
        gates.insert(life.node.clone(), gate.clone());
        gate
    }

    /// Shows who has an address, as the table has it.
    fn show(&self, jid: &FullJid, lives: &mut HashMap<FullJid, Life>) -> Option<SessionId> {
        let winner = self.cluster.look(|node| {
            let table = node.table();
            let (at, entry) = table.of(jid).max_by_key(|(at, entry)| rank(at, entry))?;
            let incarnation = table.life(at)?;
            let node = at.clone();
            Some((Life { node, incarnation }, entry.clone()))
        });
        let shown = find(&self.all.resources(jid.bare_str()), jid.as_str());
        let Some((life, entry)) = winner else {
            if let Some(shown) = shown.filter(|shown| shown.session().is_none()) {
                self.all.unbind(jid, shown.id());
                lives.remove(jid);
            }
            return None;
        };
        if life.node == self.cluster.me().life.node {
            return None;
        }
        if let Some(shown) = shown {
            if shown.session().is_some() {
                return Some(shown.id());
            }
            if shown.id() == entry.session && lives.get(jid) == Some(&life) {
                apply(&shown, &entry);
                return None;
            }
            self.all.unbind(jid, shown.id());
        }
        let door = Door::new(self.gate(&life), jid.clone(), entry.session);
        let mailbox = Mailbox::new(Arc::new(door));
        let resource = Resource::remote(jid.clone(), entry.session, mailbox);
        apply(&resource, &entry);
        // Nobody else binds meanwhile.
        let _ = self.all.bind(Arc::new(resource));
        lives.insert(jid.clone(), life);
        None
    }
}

impl Directory for ClusterDirectory {
    fn bind(&self, resource: Arc<Resource>) -> Result<(), Arc<Resource>> {
        let _order = lock(&self.lives);
        self.all.bind(resource.clone())?;
        let now = self.cluster.now().utc;
        // Whatever the clocks say, it comes after those that it takes the address from.
        let since = self.cluster.look(|node| {
            let others = node.table().of(resource.jid());
            let others = others.map(|(_, entry)| Timestamp(entry.since.0.saturating_add(1)));
            others.fold(now, Timestamp::max)
        });
        let mut entry = new(&resource, since);
        describe(&resource, &mut entry);
        self.cluster.put(entry);
        Ok(())
    }

    /// It has come from another node: its time stays what it was, and of both, as long as both are there, it is right.
    fn adopt(&self, resource: Arc<Resource>) -> Result<(), Arc<Resource>> {
        let mut lives = lock(&self.lives);
        let jid = resource.jid();
        let Some(holder) = find(&self.all.resources(jid.bare_str()), jid.as_str()) else {
            drop(lives);
            return self.bind(resource);
        };
        if holder.id() != resource.id() || holder.session().is_some() {
            return Err(holder);
        }
        let known = self.cluster.look(|node| {
            let all = node.table().of(jid);
            let all = all.filter(|(_, entry)| entry.session == resource.id());
            let last = all.max_by_key(|(at, entry)| rank(at, entry))?;
            Some(last.1.clone())
        });
        let mut entry = known.unwrap_or_else(|| new(&resource, self.cluster.now().utc));
        entry.generation = entry.generation.saturating_add(1);
        describe(&resource, &mut entry);
        self.all.replace(holder.id(), resource.clone());
        lives.remove(jid);
        self.cluster.put(entry);
        Ok(())
    }

    fn update(&self, resource: &Resource, change: Change) {
        let _order = lock(&self.lives);
        let stream = match &change {
            Change::Resumable(name) => Some(Resumable {
                id: name.to_string(),
                max: 0,
            }),
            _ => None,
        };
        self.all.update(resource, change);
        if resource.session().is_some() {
            let (jid, id) = (resource.jid(), resource.id());
            // One that has ended meanwhile is nobody's any more.
            self.cluster.update(jid, id, |entry| {
                describe(resource, entry);
                entry.resumable = stream.or(entry.resumable.take());
            });
        }
    }

    fn unbind(&self, jid: &FullJid, id: SessionId) -> Option<Arc<Resource>> {
        let mut lives = lock(&self.lives);
        let gone = self.all.unbind(jid, id)?;
        if gone.session().is_some() {
            self.cluster.remove(jid, id);
            // Another one may have the address already; none that is shown lives here.
            let _ = self.show(jid, &mut lives);
        } else if let Some(life) = lives.remove(jid) {
            let end = Parcel::End(End {
                jid: jid.clone(),
                session: id,
            });
            // If it does not go, that node hears who has the address now, and does the same.
            let _ = self.cluster.send(&life, &end);
        }
        Some(gone)
    }

    fn resources(&self, account: &str) -> Resources {
        self.all.resources(account)
    }

    fn serve(&self, address: &Jid, mailbox: Mailbox) -> bool {
        let free = self.all.serve(address, mailbox);
        if free && let Some(served) = self.servants.add(address) {
            self.tell(&self.cluster.up(), served);
        }
        free
    }

    fn withdraw(&self, address: &Jid) {
        self.all.withdraw(address);
        if let Some(served) = self.servants.remove(address) {
            self.tell(&self.cluster.up(), served);
        }
    }

    fn entity(&self, addresses: &[&str]) -> Option<Mailbox> {
        let here = self.all.entity(addresses);
        here.or_else(|| {
            let life = self.servants.of(addresses)?;
            Some(Mailbox::new(Arc::new(Counter(self.gate(&life)))))
        })
    }

    fn sessions(&self, show: &mut dyn FnMut(&Arc<Session>)) {
        self.all.sessions(show);
    }

    fn len(&self) -> usize {
        self.all.len()
    }
}

/// Which of several sessions with one address has it: the greatest.
fn rank<'a>(at: &'a NodeId, entry: &Entry) -> (Timestamp, u32, &'a NodeId) {
    (entry.since, entry.generation, at)
}

fn new(resource: &Resource, since: Timestamp) -> Entry {
    Entry {
        jid: resource.jid().clone(),
        session: resource.id(),
        since,
        generation: 0,
        resumable: None,
        priority: None,
        presence: None,
        interested: false,
        carbons: false,
        block_list: false,
    }
}

/// What others are told of a resource.
fn describe(resource: &Resource, entry: &mut Entry) {
    let presence = resource.presence().map(|presence| {
        let mut text = Vec::new();
        presence.write(&mut text);
        Bytes::from(text)
    });
    entry.priority = resource.priority();
    // Others show one that is too large as mere presence.
    entry.presence = presence.filter(|presence| presence.len() <= PRESENCE);
    entry.interested = resource.is_interested();
    entry.carbons = resource.wants_carbons();
    entry.block_list = resource.knows_block_list();
}

/// Makes a resource look as it is said to.
fn apply(resource: &Resource, entry: &Entry) {
    match entry.priority {
        Some(priority) => {
            let mere = || {
                Stanza::presence(PresenceType::Available).with_from(Jid::from(entry.jid.clone()))
            };
            let presence = entry.presence.as_deref().and_then(|text| {
                let text = std::str::from_utf8(text).ok()?;
                Stanza::restore(text).ok()
            });
            let presence = presence.unwrap_or_else(mere);
            resource.apply(Change::Available(presence, priority));
        }
        None => resource.apply(Change::Unavailable),
    }
    if entry.interested {
        resource.apply(Change::Interested);
    }
    if entry.block_list {
        resource.apply(Change::BlockList);
    }
    resource.apply(Change::Carbons(entry.carbons));
}

// A panic elsewhere while it is held leaves it whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for ClusterDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterDirectory({:?})", self.cluster)
    }
}
