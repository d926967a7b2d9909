//! Tells the other nodes what changes of accounts whose stores all share.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use xmpp_core::BareJid;
use xmpp_core::account::{AccountChange, AccountEvents};

use crate::cluster::Event;
use crate::frame::{AccountChanged, Parcel};
use crate::io::{Cluster, Handler};
use crate::node::{Life, NodeId};

/// Tells the others what changes of accounts here: [`Builder::account_events`](xmpp_core::server::Builder::account_events). It is a
/// [`Handler`] as well, before the [`Exchange`](crate::exchange::Exchange).
///
/// Of what a node could not be told because it was not there it is told when it is.
pub struct AccountNews {
    cluster: Cluster,
    missed: Mutex<Missed>,
}

/// Accounts that are remembered for a node that is to be told that they have changed; if there are more, all of its own
/// are loaded anew.
pub const MISSED: usize = 10_000;

#[derive(Default)]
struct Missed {
    /// By those that have been up, and are not or could not take more.
    nodes: BTreeMap<NodeId, News>,
    /// By those that have never been there: all that has changed since the start.
    others: News,
}

/// What has changed; `None` if that is too much to say.
#[derive(Clone)]
struct News(Option<BTreeMap<BareJid, AccountChange>>);

impl Default for News {
    fn default() -> News {
        News(Some(BTreeMap::new()))
    }
}

impl News {
    fn add(&mut self, changed: &AccountChanged) {
        let AccountChanged { account, change } = changed;
        let (Some(all), Some(account)) = (&mut self.0, account) else {
            self.0 = None;
            return;
        };
        // Whoever takes stored messages finds them when a session asks.
        if *change == AccountChange::Messages {
            return;
        }
        if all.get(account) != Some(&AccountChange::Removed) {
            all.insert(account.clone(), *change);
        }
        if all.len() > MISSED {
            self.0 = None;
        }
    }

    fn is_empty(&self) -> bool {
        self.0.as_ref().is_some_and(BTreeMap::is_empty)
    }

    fn parcels(self) -> Vec<AccountChanged> {
        let Some(all) = self.0 else {
            let change = AccountChange::Data;
            let account = None;
            return vec![AccountChanged { account, change }];
        };
        let changed = |(account, change)| AccountChanged {
            account: Some(account),
            change,
        };
        all.into_iter().map(changed).collect()
    }
}

impl AccountNews {
    /// For a node that nothing has changed on.
    pub fn new(cluster: Cluster) -> AccountNews {
        AccountNews {
            cluster,
            missed: Mutex::default(),
        }
    }

    /// Tells a node, and remembers for it what it cannot take.
    fn tell(&self, to: &Life, news: Vec<AccountChanged>) {
        for changed in news {
            let parcel = Parcel::AccountChanged(changed);
            if self.cluster.send(to, &parcel).is_ok() {
                continue;
            }
            if let Parcel::AccountChanged(changed) = &parcel {
                let mut missed = lock(&self.missed);
                missed
                    .nodes
                    .entry(to.node.clone())
                    .or_default()
                    .add(changed);
            }
        }
    }

    /// Tells a node what it could not be told before.
    fn catch_up(&self, to: &Life) {
        let news = lock(&self.missed).nodes.remove(&to.node);
        if let Some(news) = news {
            self.tell(to, news.parcels());
        }
    }
}

impl AccountEvents for AccountNews {
    fn changed(&self, account: &BareJid, change: AccountChange) {
        let changed = AccountChanged {
            account: Some(account.clone()),
            change,
        };
        let up = self.cluster.up();
        {
            let mut missed = lock(&self.missed);
            missed.others.add(&changed);
            let away = missed.nodes.iter_mut();
            let away = away.filter(|(node, _)| !up.iter().any(|life| life.node == **node));
            away.for_each(|(_, news)| news.add(&changed));
        }
        for life in &up {
            self.catch_up(life);
            self.tell(life, vec![changed.clone()]);
        }
    }
}

impl Handler for AccountNews {
    fn handle(&self, event: &Event, _cluster: &Cluster) {
        match event {
            Event::Up(node) => {
                let news = {
                    let mut missed = lock(&self.missed);
                    let known = missed.nodes.remove(&node.life.node);
                    known.unwrap_or_else(|| missed.others.clone())
                };
                if !news.is_empty() {
                    self.tell(&node.life, news.parcels());
                }
            }
            Event::GivenUp(life, parcels) => {
                let mut missed = lock(&self.missed);
                let news = missed.nodes.entry(life.node.clone()).or_default();
                for parcel in parcels {
                    if let Parcel::AccountChanged(changed) = parcel {
                        news.add(changed);
                    }
                }
            }
            // From now on it misses what changes.
            Event::Down(life, _) => {
                lock(&self.missed)
                    .nodes
                    .entry(life.node.clone())
                    .or_default();
            }
            // What waits for room goes before long.
            Event::Parcel(from, _) => self.catch_up(from),
            _ => {}
        }
    }
}

// A panic elsewhere while it is held leaves it whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for AccountNews {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountNews({:?})", self.cluster)
    }
}
