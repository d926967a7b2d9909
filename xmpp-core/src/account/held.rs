//! The accounts that are in memory.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};

use super::{Account, AccountChange, AccountEvents, Before};
use crate::BareJid;
use crate::store::{self, Stores};

const SHARDS: usize = 64;

type Watch = dyn Fn(&Account, &Before) + Send + Sync;

/// The accounts in memory. Each is there as long as somebody holds it.
pub struct Accounts {
    hasher: RandomState,
    shards: [Mutex<HashMap<BareJid, Weak<Account>>>; SHARDS],
    events: Option<Arc<dyn AccountEvents>>,
    pub(super) watch: OnceLock<Box<Watch>>,
}

impl Accounts {
    /// None in memory. Other nodes, if there are any, hear by `events` of what changes.
    pub fn new(events: Option<Arc<dyn AccountEvents>>) -> Arc<Accounts> {
        Arc::new(Accounts {
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
            events,
            watch: OnceLock::new(),
        })
    }

    /// Has `watch` see what was there before whenever an account has been loaded anew.
    pub(crate) fn watch(&self, watch: impl Fn(&Account, &Before) + Send + Sync + 'static) {
        let _ = self.watch.set(Box::new(watch));
    }

    /// Whether other nodes work with the same accounts.
    pub(crate) fn are_shared(&self) -> bool {
        self.events.is_some()
    }

    /// Tells other nodes of a change.
    pub(crate) fn tell(&self, account: &BareJid, change: AccountChange) {
        if let Some(events) = &self.events {
            events.changed(account, change);
        }
    }

    /// Another node has changed the account: if it is in memory it is to be loaded anew.
    pub(crate) fn outdate(&self, jid: &BareJid) -> Option<Arc<Account>> {
        let account = self.shard(jid).get(jid.as_str()).and_then(Weak::upgrade)?;
        account.outdate();
        Some(account)
    }

    /// The same of all.
    pub(crate) fn outdate_all(&self) -> Vec<Arc<Account>> {
        let shards = self.shards.iter();
        let all = shards.flat_map(|shard| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let held = shard.values().filter_map(Weak::upgrade);
            held.collect::<Vec<_>>()
        });
        let all: Vec<_> = all.collect();
        all.iter().for_each(|account| account.outdate());
        all
    }

    /// The account, loaded from the stores if nobody holds it yet. Ask
    /// [`Account::exists`] whether there is one.
    pub async fn load(
        self: &Arc<Accounts>,
        jid: &BareJid,
        stores: &Stores,
    ) -> store::Result<Arc<Account>> {
        let account = self.entry(jid);
        account.load(stores).await?;
        Ok(account)
    }

    /// The account if it is in memory.
    pub fn held(&self, jid: &BareJid) -> Option<Arc<Account>> {
        let account = self.shard(jid).get(jid.as_str()).and_then(Weak::upgrade)?;
        account.is_loaded().then_some(account)
    }

    /// The account has been created in the store: what is in memory of the time before is
    /// loaded anew when it is next asked for.
    pub(crate) async fn created(&self, jid: &BareJid) {
        // The lock is let go before the account is: its drop may take the same one.
        let account = self.shard(jid).get(jid.as_str()).and_then(Weak::upgrade);
        let Some(account) = account else { return };
        // A load that has begun may have read what was there before.
        let _order = account.order.lock().await;
        if !account.exists() {
            account.outdate();
        }
    }

    // Entered before it is loaded, so that two loaders share one account.
    fn entry(self: &Arc<Accounts>, jid: &BareJid) -> Arc<Account> {
        let mut shard = self.shard(jid);
        if let Some(account) = shard.get(jid.as_str()).and_then(Weak::upgrade) {
            return account;
        }
        let account = Arc::new(Account {
            jid: jid.clone(),
            data: RwLock::default(),
            state: AtomicU64::new(0),
            blocks: AtomicBool::new(false),
            order: futures::lock::Mutex::new(()),
            home: Arc::downgrade(self),
        });
        shard.insert(jid.clone(), Arc::downgrade(&account));
        account
    }

    pub(super) fn shard(&self, jid: &BareJid) -> MutexGuard<'_, HashMap<BareJid, Weak<Account>>> {
        let at = (self.hasher.hash_one(jid.as_str()) >> 58) as usize % SHARDS;
        self.shards[at]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
