//! What the server holds in memory of a local account while anybody works with it.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, Weak};

use crate::store::{self, RosterItem, StoreError, Stores};
use crate::{BareJid, Jid};

mod held;
mod shared;

pub use held::Accounts;
pub use shared::{AccountChange, AccountEvents, AccountWatcher, Before};

/// Set in an account's state when it is loaded.
const LOADED: u64 = 1;

/// How often a change is tried that others come before.
const TRIES: usize = 64;

/// A local account: its roster and its block list, loaded once and shared by all
/// its sessions and by everyone who deals with it at the moment.
///
/// There is one `Account` for a JID in a process at a time. Reads are free of
/// waiting; changes go to the store first and come one after another.
pub struct Account {
    jid: BareJid,
    data: RwLock<Data>,
    /// How often it was said that the store has something else, and in the lowest bit whether it has been loaded since.
    state: AtomicU64,
    /// Whether the block list has entries: most have none, and every stanza asks.
    blocks: AtomicBool,
    order: futures::lock::Mutex<()>,
    home: Weak<Accounts>,
}

#[derive(Default)]
struct Data {
    /// Whether it has been loaded ever.
    known: bool,
    exists: bool,
    roster: Roster,
    blocked: Vec<Jid>,
}

/// A roster in memory.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    /// Version of the last change (RFC 6121 §2.6).
    pub version: u64,
    items: Vec<RosterItem>, // sorted by JID
}

impl Roster {
    /// The item for a contact, by its bare JID.
    pub fn item(&self, contact: &str) -> Option<&RosterItem> {
        self.position(contact).ok().map(|at| &self.items[at])
    }

    /// All items, ordered by JID.
    pub fn items(&self) -> &[RosterItem] {
        &self.items
    }

    /// What is another item here than it was in `before`, or is only in one of both: as it was, and as it is.
    pub fn differences(&self, before: &Roster) -> Vec<(Option<RosterItem>, Option<RosterItem>)> {
        let gone = before
            .items
            .iter()
            .filter(|item| self.item(item.jid.as_str()).is_none());
        let gone = gone.map(|item| (Some(item.clone()), None));
        let changed = self.items.iter().filter_map(|item| {
            let was = before.item(item.jid.as_str());
            (was != Some(item)).then(|| (was.cloned(), Some(item.clone())))
        });
        gone.chain(changed).collect()
    }

    fn position(&self, contact: &str) -> Result<usize, usize> {
        self.items
            .binary_search_by(|item| item.jid.as_str().cmp(contact))
    }

    fn put(&mut self, version: u64, item: RosterItem) {
        self.version = version;
        match self.position(item.jid.as_str()) {
            Ok(at) => self.items[at] = item,
            Err(at) => self.items.insert(at, item),
        }
    }

    fn remove(&mut self, version: u64, contact: &str) {
        self.version = version;
        if let Ok(at) = self.position(contact) {
            self.items.remove(at);
        }
    }
}

impl Account {
    /// Its bare JID.
    pub fn jid(&self) -> &BareJid {
        &self.jid
    }

    /// Whether there is such an account.
    pub fn exists(&self) -> bool {
        self.read().exists
    }

    /// Looks at the roster. `look` runs under a lock: keep it short.
    pub fn roster<T>(&self, look: impl FnOnce(&Roster) -> T) -> T {
        look(&self.read().roster)
    }

    /// Whether `jid` may see this account's presence: it is one of its own resources,
    /// or subscribed ("from" or "both", RFC 6121 §2.1.2.5).
    pub fn shows_presence_to(&self, jid: &Jid) -> bool {
        jid.bare_str() == self.jid.as_str()
            || self.roster(|roster| {
                let item = roster.item(jid.bare_str());
                item.is_some_and(|item| item.subscription.from())
            })
    }

    /// Looks at the block list. `look` runs under a lock: keep it short.
    pub fn blocked<T>(&self, look: impl FnOnce(&[Jid]) -> T) -> T {
        look(&self.read().blocked)
    }

    /// Whether the account blocks what comes from `jid` and goes there (XEP-0191 §6).
    /// Costs next to nothing while the block list is empty.
    ///
    /// The account itself is never blocked (§5: "MUST NOT block communications from one
    /// of a user's resources to another"), nor is the server that it lives on.
    pub fn blocks(&self, jid: &Jid) -> bool {
        self.blocks.load(Ordering::Acquire)
            && jid.bare_str() != self.jid.as_str()
            && jid.as_str() != self.jid.domain()
            && self.blocked(|list| list.iter().any(|entry| covers(entry, jid)))
    }

    /// Changes one roster item: `change` gets the present item and answers what
    /// becomes of it, or what keeps it from changing. Changes of one account come
    /// one after another, and each is in the store before it shows here.
    ///
    /// `announce` sees what has changed before the next change begins, so that what it
    /// sends keeps the order of the changes. It may not wait, and is not called when
    /// nothing changes.
    ///
    /// If another node has changed the roster meanwhile, it is loaded anew and `change` is asked once more.
    ///
    /// An account that does not exist has no roster to change: [`ChangeError::NoAccount`].
    pub async fn change_roster<E>(
        &self,
        stores: &Stores,
        contact: &BareJid,
        mut change: impl FnMut(&Roster, Option<&RosterItem>) -> Result<ItemChange, E>,
        announce: impl FnOnce(&Changed),
    ) -> Result<Changed, ChangeError<E>> {
        let _order = self.order.lock().await;
        for _ in 0..TRIES {
            self.refresh(stores).await?;
            let (change, before, since) = {
                let data = self.read();
                if !data.exists {
                    return Err(ChangeError::NoAccount);
                }
                let before = data.roster.item(contact.as_str());
                let change = change(&data.roster, before).map_err(ChangeError::Refused)?;
                (change, before.cloned(), data.roster.version)
            };
            let (version, after) = match change {
                ItemChange::Keep => {
                    return Ok(Changed {
                        version: since,
                        after: before.clone(),
                        before,
                    });
                }
                ItemChange::Put(item) => {
                    let put = stores.rosters.put_since(&self.jid, &item, since);
                    (put.await?, Some(item))
                }
                ItemChange::Remove => {
                    let remove = stores.rosters.remove_since(&self.jid, contact, since);
                    (remove.await?, None)
                }
            };
            let Some(version) = version else {
                // Another node was faster, and what it has done is not seen here yet.
                self.outdate();
                continue;
            };
            match &after {
                Some(item) => self.write().roster.put(version, item.clone()),
                None => self.write().roster.remove(version, contact.as_str()),
            }
            let changed = Changed {
                version,
                before,
                after,
            };
            announce(&changed);
            self.tell(AccountChange::Data);
            return Ok(changed);
        }
        let busy = "others change the roster all the time";
        Err(StoreError::Unavailable(busy.into()).into())
    }

    /// Changes the block list: `change` gets the present one and answers what is added
    /// to it and removed from it, or what keeps it from changing. Changes of one account
    /// come one after another, and each is in the store before it shows here.
    ///
    /// `announce` sees what was added and removed, and the list as it is now, before the
    /// next change begins, so that what it sends keeps the order of the changes. It may
    /// not wait.
    ///
    /// An account that does not exist has no block list to change:
    /// [`ChangeError::NoAccount`].
    pub async fn change_blocked<E>(
        &self,
        stores: &Stores,
        change: impl FnOnce(&[Jid]) -> Result<BlockListChange, E>,
        announce: impl FnOnce(&BlockListChange, &[Jid]),
    ) -> Result<(), ChangeError<E>> {
        let _order = self.order.lock().await;
        self.refresh(stores).await?;
        if !self.exists() {
            return Err(ChangeError::NoAccount);
        }
        let mut list = self.read().blocked.clone();
        let change = change(&list).map_err(ChangeError::Refused)?;
        let BlockListChange { add, remove } = &change;
        stores.block_lists.change(&self.jid, add, remove).await?;
        list.retain(|jid| !remove.contains(jid) && !add.contains(jid));
        list.extend_from_slice(add);
        self.write().blocked.clone_from(&list);
        self.blocks.store(!list.is_empty(), Ordering::Release);
        announce(&change, &list);
        if change != BlockListChange::default() {
            self.tell(AccountChange::Data);
        }
        Ok(())
    }

    /// As long as this is held, neither the roster nor the block list changes.
    pub(crate) async fn unchanged(&self, stores: &Stores) -> impl Drop + Send + '_ {
        let order = self.order.lock().await;
        if let Err(error) = self.refresh(stores).await {
            tracing::warn!(account = %self.jid, %error, "account not loaded anew");
        }
        order
    }

    /// Deletes the account, and answers what its roster was; `None` if there is none. No
    /// change of the roster or the block list comes in between or is made later.
    pub(crate) async fn delete(&self, stores: &Stores) -> store::Result<Option<Vec<RosterItem>>> {
        let _order = self.order.lock().await;
        self.refresh(stores).await?;
        let roster = self.roster(|roster| roster.items().to_vec());
        // Also if this is not waited for to its end, or fails half way.
        self.outdate();
        if !stores.delete(&self.jid).await? {
            return Ok(None);
        }
        *self.write() = Data::default();
        self.blocks.store(false, Ordering::Release);
        self.tell(AccountChange::Removed);
        Ok(Some(roster))
    }

    /// Loads it, if it was not yet, or not since it was [outdated](Account::outdate).
    async fn load(&self, stores: &Stores) -> store::Result<()> {
        if self.is_loaded() {
            return Ok(());
        }
        let _order = self.order.lock().await;
        self.refresh(stores).await
    }

    /// The same for who has the order of changes.
    async fn refresh(&self, stores: &Stores) -> store::Result<()> {
        let state = self.state.load(Ordering::Acquire);
        if state & LOADED != 0 {
            return Ok(());
        }
        let (exists, roster, blocked) = futures::try_join!(
            stores.accounts.exists(&self.jid),
            stores.rosters.load(&self.jid),
            stores.block_lists.load(&self.jid),
        )?;
        let mut items = roster.items;
        items.sort_by(|a, b| a.jid.as_str().cmp(b.jid.as_str()));
        let data = Data {
            known: true,
            exists,
            roster: Roster {
                version: roster.version,
                items,
            },
            blocked,
        };
        self.blocks
            .store(!data.blocked.is_empty(), Ordering::Release);
        let before = std::mem::replace(&mut *self.write(), data);
        // If it was outdated once more meanwhile, it stays so.
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        let _ = self
            .state
            .compare_exchange(state, state | LOADED, success, failure);
        if before.known
            && let Some(home) = self.home.upgrade()
            && let Some(watch) = home.watch.get()
        {
            let Data {
                roster, blocked, ..
            } = before;
            watch(self, &Before { roster, blocked });
        }
        Ok(())
    }

    fn is_loaded(&self) -> bool {
        self.state.load(Ordering::Acquire) & LOADED != 0
    }

    /// The store has something else: it is loaded anew before it is changed, or asked for, the next time.
    fn outdate(&self) {
        let next = |state: u64| Some((state & !LOADED).wrapping_add(2));
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        let _ = self.state.fetch_update(success, failure, next);
    }

    /// Tells other nodes.
    fn tell(&self, change: AccountChange) {
        if let Some(home) = self.home.upgrade() {
            home.tell(&self.jid, change);
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Data> {
        self.data.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Data> {
        self.data.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({})", self.jid)
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if let Some(home) = self.home.upgrade() {
            let mut shard = home.shard(&self.jid);
            // A successor may have been entered since.
            if shard
                .get(self.jid.as_str())
                .is_some_and(|weak| weak.strong_count() == 0)
            {
                shard.remove(self.jid.as_str());
            }
        }
    }
}

/// What becomes of a roster item.
#[derive(Clone, Debug)]
pub enum ItemChange {
    /// Nothing.
    Keep,
    /// It is this from now on.
    Put(RosterItem),
    /// It goes.
    Remove,
}

/// What becomes of a block list. What is in both lists is there afterwards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockListChange {
    /// New entries.
    pub add: Vec<Jid>,
    /// Entries that go.
    pub remove: Vec<Jid>,
}

/// The result of [`Account::change_roster`].
#[derive(Clone, Debug)]
pub struct Changed {
    /// The roster's version now.
    pub version: u64,
    /// The item as it was, if there was one.
    pub before: Option<RosterItem>,
    /// The item as it is, if there is one.
    pub after: Option<RosterItem>,
}

/// Why a roster or a block list did not change.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError<E> {
    /// The change itself refused.
    #[error("refused")]
    Refused(E),
    /// There is no such account: its user logged in anonymously, or it has been deleted.
    #[error("no such account")]
    NoAccount,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::StoreError),
}

/// Whether a block list's entry means `jid`. XEP-0191 §6: `<user@domain/resource>` "only
/// that resource matches", `<user@domain>` "any resource matches", `<domain/resource>`
/// "only that resource matches", `<domain>` "the domain itself matches, as does any
/// user@domain or domain/resource".
pub(crate) fn covers(entry: &Jid, jid: &Jid) -> bool {
    match (entry.local(), entry.resource()) {
        (_, Some(_)) => entry == jid,
        (Some(_), None) => entry.as_str() == jid.bare_str(),
        (None, None) => entry.as_str() == jid.domain(),
    }
}
