//! Who is where: which mailbox an address has.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::mailbox::Mailbox;
use crate::session::{Change, Resource, Session, SessionId};
use crate::{FullJid, Jid};

/// The bound resources of one account at one moment.
pub type Resources = Arc<[Arc<Resource>]>;

/// Who is where. [`LocalDirectory`] knows this process; one that spans nodes
/// wraps it, so that a session elsewhere is a mailbox like any other.
///
/// Calls are short and never wait for anything outside the process.
pub trait Directory: Send + Sync + 'static {
    /// Enters a resource. An address can be bound once: the entry that holds it
    /// is returned in the error.
    fn bind(&self, resource: Arc<Resource>) -> Result<(), Arc<Resource>>;

    /// Enters the resource of a session that lives here from now on, and has lived on another node: the entry of that one,
    /// with the same [id](Resource::id), makes room for it, and over there nothing is ended. An address that another session has is
    /// refused as by [`bind`](Directory::bind).
    fn adopt(&self, resource: Arc<Resource>) -> Result<(), Arc<Resource>> {
        let Err(holder) = self.bind(resource.clone()) else {
            return Ok(());
        };
        if holder.id() != resource.id() || holder.session().is_some() {
            return Err(holder);
        }
        self.unbind(holder.jid(), holder.id());
        self.bind(resource)
    }

    /// Applies a change to a bound resource, and passes it on to whoever mirrors it.
    fn update(&self, resource: &Resource, change: Change);

    /// Removes a resource, if the address is still bound to this session. If that lives
    /// elsewhere, its address is being taken over ([`Conflict::Replace`]): the directory over
    /// there removes it too and [ends](Session::end) it, so that its connection closes with
    /// `<conflict/>` and its server does what is left to do ([`Server::end`]).
    ///
    /// [`Conflict::Replace`]: crate::server::Conflict::Replace
    /// [`Server::end`]: crate::server::Server::end
    fn unbind(&self, jid: &FullJid, id: SessionId) -> Option<Arc<Resource>>;

    /// All bound resources of the account with this bare JID.
    fn resources(&self, account: &str) -> Resources;

    /// Gives an address that is no account's (a component's domain, a room) a mailbox;
    /// `false` if it has one.
    fn serve(&self, address: &Jid, mailbox: Mailbox) -> bool;

    /// Takes the mailbox of [`serve`](Directory::serve) away.
    fn withdraw(&self, address: &Jid);

    /// The mailbox of the first of these addresses that an entity serves.
    fn entity(&self, addresses: &[&str]) -> Option<Mailbox>;

    /// Shows each session of this process once, in no order, those that come or go meanwhile
    /// perhaps. What is called must not call the directory.
    fn sessions(&self, show: &mut dyn FnMut(&Arc<Session>));

    /// The number of bound resources.
    fn len(&self) -> usize;

    /// Whether nobody is bound.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Every resource of `directory` for one account that has exactly this full JID.
pub fn find(resources: &Resources, jid: &str) -> Option<Arc<Resource>> {
    resources.iter().find(|r| r.jid().as_str() == jid).cloned()
}

const SHARDS: usize = 64;

/// The directory of one process.
#[derive(Debug)]
pub struct LocalDirectory {
    // Keys are chosen by strangers: the hasher is seeded at random.
    hasher: RandomState,
    accounts: [RwLock<HashMap<Box<str>, Resources>>; SHARDS],
    entities: RwLock<HashMap<Box<str>, Mailbox>>,
    nobody: Resources,
}

impl LocalDirectory {
    /// An empty directory.
    pub fn new() -> LocalDirectory {
        LocalDirectory {
            hasher: RandomState::new(),
            accounts: std::array::from_fn(|_| RwLock::default()),
            entities: RwLock::default(),
            nobody: Arc::new([]),
        }
    }

    /// Enters a resource in the place of the one that this session has at its address, in one step: whoever looks
    /// finds one of both. The one that was there comes back; if it is not there, nothing has changed.
    pub fn replace(&self, gone: SessionId, with: Arc<Resource>) -> Option<Arc<Resource>> {
        let mut shard = write(self.shard(with.jid().bare_str()));
        let resources = shard.get_mut(with.jid().bare_str())?;
        let is_it = |r: &Arc<Resource>| r.jid() == with.jid() && r.id() == gone;
        let gone = resources.iter().find(|r| is_it(r))?.clone();
        let all = resources.iter().map(|r| match is_it(r) {
            true => with.clone(),
            false => r.clone(),
        });
        *resources = all.collect();
        Some(gone)
    }

    fn shard(&self, account: &str) -> &RwLock<HashMap<Box<str>, Resources>> {
        // The top bits: the map inside uses the others.
        &self.accounts[(self.hasher.hash_one(account) >> 58) as usize % SHARDS]
    }
}

impl Default for LocalDirectory {
    fn default() -> LocalDirectory {
        LocalDirectory::new()
    }
}

impl Directory for LocalDirectory {
    fn bind(&self, resource: Arc<Resource>) -> Result<(), Arc<Resource>> {
        let account = resource.jid().bare_str();
        let mut shard = write(self.shard(account));
        match shard.get_mut(account) {
            None => {
                shard.insert(account.into(), Arc::new([resource.clone()]));
            }
            Some(resources) => {
                if let Some(holder) = find(resources, resource.jid().as_str()) {
                    return Err(holder);
                }
                *resources = resources
                    .iter()
                    .cloned()
                    .chain([resource.clone()])
                    .collect();
            }
        }
        Ok(())
    }

    fn update(&self, resource: &Resource, change: Change) {
        resource.apply(change);
    }

    fn unbind(&self, jid: &FullJid, id: SessionId) -> Option<Arc<Resource>> {
        let account = jid.bare_str();
        let mut shard = write(self.shard(account));
        let resources = shard.get_mut(account)?;
        let gone = resources
            .iter()
            .find(|r| r.jid() == jid && r.id() == id)?
            .clone();
        if resources.len() == 1 {
            shard.remove(account);
        } else {
            *resources = resources
                .iter()
                .filter(|r| !Arc::ptr_eq(r, &gone))
                .cloned()
                .collect();
        }
        Some(gone)
    }

    fn resources(&self, account: &str) -> Resources {
        read(self.shard(account))
            .get(account)
            .unwrap_or(&self.nobody)
            .clone()
    }

    fn serve(&self, address: &Jid, mailbox: Mailbox) -> bool {
        let mut entities = write(&self.entities);
        let free = !entities.contains_key(address.as_str());
        if free {
            entities.insert(address.as_str().into(), mailbox);
        }
        free
    }

    fn withdraw(&self, address: &Jid) {
        write(&self.entities).remove(address.as_str());
    }

    fn entity(&self, addresses: &[&str]) -> Option<Mailbox> {
        let entities = read(&self.entities);
        if entities.is_empty() {
            return None;
        }
        addresses
            .iter()
            .find_map(|address| entities.get(*address))
            .cloned()
    }

    fn sessions(&self, show: &mut dyn FnMut(&Arc<Session>)) {
        for shard in &self.accounts {
            for resources in read(shard).values() {
                resources
                    .iter()
                    .filter_map(|r| r.session())
                    .for_each(&mut *show);
            }
        }
    }

    fn len(&self) -> usize {
        self.accounts
            .iter()
            .map(|shard| read(shard).values().map(|r| r.len()).sum::<usize>())
            .sum()
    }
}

// A panic elsewhere while a guard is held leaves the maps whole.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
