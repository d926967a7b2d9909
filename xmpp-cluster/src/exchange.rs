//! Joins a server to its cluster: what comes from other nodes is done, and what they say of what they were sent.
//!
//! When a node is down its sessions are gone, as far as the others know. What they were sent and has not been spoken of goes another way, and may be there
//! twice. Their contacts hear so once, from the node that is [first](crate::rendezvous) for the address. When nodes meet
//! (a new one, or after a cut), each shows its own sessions who is available over there.

mod lanes;
mod owed;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use xmpp_core::FullJid;
use xmpp_core::directory::{Directory, find};
use xmpp_core::mailbox;
use xmpp_core::module::Dispatch;
use xmpp_core::server::Server;

use crate::cluster::Event;
use crate::directory::{ClusterDirectory, Held};
use crate::frame::{AccountChanged, Entry, Outcome, Parcel, Verdict};
use crate::io::{Cluster, Handler};
use crate::node::{Life, NodeId};
use crate::rendezvous;

pub use lanes::LANES;
use lanes::{Lanes, Work};
pub use owed::OWED;
use owed::Owed;

/// Joins a [`Server`] whose directory is a [`ClusterDirectory`] to the cluster, as a [`Handler`].
///
/// What comes from another node is done in the order in which it was sent, each sender by himself: a
/// store that is slow for one does not hold up others.
pub struct Exchange(Arc<Inner>);

struct Inner {
    directory: Arc<ClusterDirectory>,
    server: Server,
    lanes: Lanes,
    owed: Owed,
    /// Who was available on nodes that go down, as long as they are being taken out, and who is not any more on nodes that are met again.
    lost: Mutex<BTreeMap<NodeId, Vec<FullJid>>>,
    /// Nodes that are up and whose sessions are not known yet.
    unknown: Mutex<BTreeSet<Life>>,
}

impl Exchange {
    /// For the server that has this directory.
    pub fn new(directory: Arc<ClusterDirectory>, server: Server) -> Exchange {
        Exchange(Arc::new(Inner {
            directory,
            server,
            lanes: Lanes::default(),
            owed: Owed::default(),
            lost: Mutex::default(),
            unknown: Mutex::default(),
        }))
    }
}

impl Handler for Exchange {
    fn handle(&self, event: &Event, cluster: &Cluster) {
        let inner = &self.0;
        match event {
            Event::Up(node) => {
                lock(&inner.unknown).insert(node.life.clone());
                inner.owed.up(&node.life, cluster);
                inner.directory.met(&node.life);
            }
            Event::Synced(life) => inner.synced(life),
            Event::Put(life, entry) | Event::Removed(life, entry) => inner.said(life, entry),
            Event::Lost(life, entry) => {
                inner.changed(entry);
                if entry.priority.is_some() {
                    let mut lost = lock(&inner.lost);
                    let of = lost.entry(life.node.clone()).or_default();
                    of.push(entry.jid.clone());
                }
            }
            Event::GivenUp(life, parcels) => inner.owed.given_up(life, parcels),
            // It has forgotten what this node had said that it serves, and has shown nothing to the sessions that live here.
            Event::Reset(life) => {
                lock(&inner.unknown).insert(life.clone());
                inner.directory.met(life);
            }
            Event::Down(life, _) => inner.down(life, cluster),
            Event::Parcel(from, parcel) => inner.parcel(from, parcel, cluster),
            _ => {}
        }
    }
}

impl Inner {
    /// A node has said that something is different at an address. If it did not reach this one for a while, it has not told
    /// the sessions that live here who has gone meanwhile.
    fn said(&self, life: &Life, entry: &Entry) {
        let jid = &entry.jid;
        let watched = lock(&self.unknown).contains(life);
        let was_available = watched && self.is_available(jid);
        self.changed(entry);
        if was_available && !self.is_available(jid) {
            let mut lost = lock(&self.lost);
            lost.entry(life.node.clone()).or_default().push(jid.clone());
        }
    }

    fn is_available(&self, jid: &FullJid) -> bool {
        let shown = find(&self.directory.resources(jid.bare_str()), jid.as_str());
        shown.is_some_and(|shown| shown.priority().is_some())
    }

    /// Something is different at an address.
    fn changed(&self, entry: &Entry) {
        if let Some(loser) = self.directory.settle(&entry.jid) {
            self.server.replaced(&entry.jid, loser);
        }
    }

    /// All that is bound at that node is known.
    fn synced(&self, life: &Life) {
        if !lock(&self.unknown).remove(life) {
            return;
        }
        self.tell_lost(lock(&self.lost).remove(&life.node).unwrap_or_default());
        let there = |node: &crate::cluster::Node| node.table().len(&life.node);
        if self.directory.cluster().look(there) == 0 {
            return;
        }
        let mut sessions = Vec::new();
        self.directory
            .sessions(&mut |session| sessions.push(session.clone()));
        let (directory, server, life) = (self.directory.clone(), self.server.clone(), life.clone());
        self.server.spawn(async move {
            for session in sessions {
                server.show_contacts(&session, &|resource| {
                    directory.life(resource.jid()).as_ref() == Some(&life)
                });
            }
        });
    }

    /// A node is down, and all that was bound there is taken out.
    fn down(self: &Arc<Self>, life: &Life, cluster: &Cluster) {
        lock(&self.unknown).remove(life);
        self.give_back(self.directory.close(life));
        let lost = lock(&self.lost).remove(&life.node).unwrap_or_default();
        let me = &cluster.me().life.node;
        let up = cluster.up();
        let nodes = || up.iter().map(|life| &life.node).chain([me]);
        let ours = |jid: &FullJid| rendezvous::first(jid.as_str(), nodes()) == Some(me);
        self.tell_lost(lost.into_iter().filter(ours).collect());
    }

    /// Tells the contacts of those that are gone.
    fn tell_lost(&self, mut gone: Vec<FullJid>) {
        // Some have moved to another node, which the dead one had no time to say.
        gone.retain(|jid| !self.is_available(jid));
        if gone.is_empty() {
            return;
        }
        let server = self.server.clone();
        self.server.spawn(async move {
            for jid in gone {
                let _ = server.lost(&jid).finish().await;
            }
        });
    }

    /// What another node was sent and has not done goes another way.
    fn give_back(self: &Arc<Self>, held: Vec<Held>) {
        if held.is_empty() {
            return;
        }
        let server = self.server.clone();
        self.server.spawn(async move {
            for Held {
                envelope, whole, ..
            } in held
            {
                if !whole {
                    let _ = server.given_back(envelope).finish().await;
                    continue;
                }
                let (stanza, origin) = (envelope.stanza.clone(), envelope.origin.clone());
                let settlement = server.route(stanza, origin).finish().await;
                // Whoever waits for the first way waits for the second, and the next one for neither.
                let of = server.clone();
                server.spawn(async move {
                    let outcome = of.outcome(Dispatch::Done(settlement)).await;
                    envelope.settle(outcome);
                });
            }
        });
    }

    fn parcel(self: &Arc<Self>, from: &Life, parcel: &Parcel, cluster: &Cluster) {
        self.owed.send(from, cluster);
        match parcel {
            Parcel::Push(push) => {
                let work = Work::Push {
                    to: push.to.clone(),
                    session: push.session,
                    shared: push.shared,
                };
                self.work(from, push.number, work, &push.carried);
            }
            Parcel::Route(route) => self.work(from, route.number, Work::Route, &route.carried),
            Parcel::Served(served) => self.directory.serves(from, served.clone()),
            Parcel::Outcome(outcome) => self.heard(from, *outcome),
            Parcel::End(end) => {
                self.server.replaced(&end.jid, end.session);
            }
            Parcel::AccountChanged(AccountChanged { account, change }) => match account {
                Some(account) => self.server.account_changed(account, *change),
                None => self.server.accounts_changed(),
            },
            _ => {}
        }
    }

    /// What has become of something that another node was sent.
    fn heard(self: &Arc<Self>, from: &Life, outcome: Outcome) {
        let Some(held) = self.directory.heard(from, outcome) else {
            return;
        };
        match held.verdict {
            Some(Verdict::Settled | Verdict::Safe) => {
                held.envelope.settle(mailbox::Outcome::Settled);
            }
            Some(Verdict::Returned) => held.envelope.settle(mailbox::Outcome::Returned),
            Some(Verdict::Full | Verdict::Closed) | None => self.give_back(vec![held]),
        }
    }

    /// Says what has become of something that has come from another node.
    fn answer(&self, to: &Life, number: u64, verdict: Verdict) {
        if number != 0 {
            let outcome = Outcome { number, verdict };
            self.owed.add(to, outcome, self.directory.cluster());
        }
    }
}

// A panic elsewhere while it is held leaves it whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exchange({:?})", self.0.directory.cluster())
    }
}
