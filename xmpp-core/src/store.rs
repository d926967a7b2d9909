//! The ports behind which data is kept. An integrator brings their own by
//! implementing these traits; [`memory`] is a complete implementation that
//! keeps everything in the process, and [`conformance`] is the suite that every
//! implementation has to pass.
//!
//! What every implementation keeps to:
//!
//! - Every account is named by its bare JID, so one store serves many domains
//!   and none sees another's data.
//! - A method that returns `Ok` has made its effect durable in the sense of the
//!   store (a crash of the process loses nothing). One that returns an error may
//!   have had its effect or not, but nothing in between.
//! - Changes to what one port holds of one account take effect in the order in
//!   which the methods were called, that is, in which their futures were first
//!   polled. A future that is dropped after that may still have its effect.
//! - What a method reads was there at one moment, and holds all changes that had
//!   returned `Ok` before it was called.
//! - The ports keep text as it is: octet for octet, without normalisation. It is
//!   text that XML can hold, so it has no control characters but tab, line feed
//!   and carriage return.

use std::sync::Arc;

use async_trait::async_trait;

use crate::sasl::Credentials;
use crate::time::Timestamp;
use crate::{BareJid, Jid};

pub mod conformance;
mod journal;
pub mod memory;
mod roster_item;

pub use journal::{Journal, JournalEntry, JournalState, Mark, Record};
pub use roster_item::{Ask, RosterItem, Subscription};

/// Why a store could not do what it was asked, or would not. Its text goes to the log
/// and never to a peer: clients see `<not-allowed/>` where it would not, else
/// `<internal-server-error/>` or `<resource-constraint/>`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It may work again later: busy, out of reach, shutting down.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// What was read cannot be understood.
    #[error("store corrupt: {0}")]
    Corrupt(String),
    /// It does not do that, and is not meant to: it may only be read, say, or who the users
    /// are is decided elsewhere. No failure; nothing has changed.
    #[error("refused by the store: {0}")]
    Refused(String),
    /// Anything else.
    #[error("store: {0}")]
    Other(String),
}

/// Result of a store's method.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Who may log in. Passwords are never kept, only what SCRAM needs (RFC 5802 §3).
#[async_trait]
pub trait Accounts: Send + Sync {
    /// Creates an account; `false` if it is there already (and left untouched).
    /// It starts empty: what the same store still holds under its name, because
    /// it came in while an earlier account was being deleted, goes.
    async fn create(&self, account: &BareJid, credentials: &Credentials) -> Result<bool>;
    /// Creates many accounts in one go, for bulk imports; returns how many were new.
    /// Of one that is named twice the first counts.
    async fn create_many(&self, accounts: &[(BareJid, Credentials)]) -> Result<usize> {
        let mut new = 0;
        for (account, credentials) in accounts {
            new += usize::from(self.create(account, credentials).await?);
        }
        Ok(new)
    }
    /// The credentials of an account, or `None` if there is no such account.
    async fn credentials(&self, account: &BareJid) -> Result<Option<Credentials>>;
    /// Whether the account exists.
    async fn exists(&self, account: &BareJid) -> Result<bool>;
    /// Replaces the credentials; `false` if there is no such account.
    async fn set_credentials(&self, account: &BareJid, credentials: &Credentials) -> Result<bool>;
    /// Deletes the account and all that any port of the same store holds of it;
    /// `false` if there is none. Where the ports come from several stores it takes
    /// [`Stores::delete`] to delete everything.
    async fn delete(&self, account: &BareJid) -> Result<bool>;
    /// Accounts of a domain in the order of their JIDs (octet by octet), those after
    /// `after`, which need not exist, at most `limit`.
    async fn list(
        &self,
        domain: &str,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<BareJid>>;
    /// Remembers when the account's last session ended, and its last unavailable status
    /// (XEP-0012). Does nothing if there is no such account.
    async fn set_last_activity(&self, account: &BareJid, at: Timestamp, status: &str)
    -> Result<()>;
    /// What [`set_last_activity`](Accounts::set_last_activity) kept.
    async fn last_activity(&self, account: &BareJid) -> Result<Option<(Timestamp, String)>>;
}

/// A roster as it is stored: its items and the version of its last change
/// (RFC 6121 §2.6).
///
/// An account that never had an item has version 0. Each change makes the version
/// greater than any that this account's roster ever had, before a deletion of the
/// account too: a client that kept the roster of a deleted account must not be
/// told that the new one is the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredRoster {
    /// Version of the last change.
    pub version: u64,
    /// Items, in no order.
    pub items: Vec<RosterItem>,
}

/// Rosters (RFC 6121 §2).
#[async_trait]
pub trait Rosters: Send + Sync {
    /// The whole roster.
    async fn load(&self, account: &BareJid) -> Result<StoredRoster>;
    /// Inserts or replaces the item with the same JID; returns the new version.
    async fn put(&self, account: &BareJid, item: &RosterItem) -> Result<u64>;
    /// Removes the item; returns the new version, which has grown also if there was none.
    async fn remove(&self, account: &BareJid, contact: &BareJid) -> Result<u64>;
    /// As [`put`](Rosters::put), if the version of the last change is still `since`; `None`, and nothing has
    /// changed, if it is another. It is for accounts that several servers work with.
    ///
    /// By default it is `put`: enough for a store that one server uses alone.
    async fn put_since(
        &self,
        account: &BareJid,
        item: &RosterItem,
        since: u64,
    ) -> Result<Option<u64>> {
        let _ = since;
        self.put(account, item).await.map(Some)
    }
    /// As [`remove`](Rosters::remove), on the same condition, and with such a default.
    async fn remove_since(
        &self,
        account: &BareJid,
        contact: &BareJid,
        since: u64,
    ) -> Result<Option<u64>> {
        let _ = since;
        self.remove(account, contact).await.map(Some)
    }
    /// Deletes the whole roster, because the account is being deleted.
    async fn forget(&self, account: &BareJid) -> Result<()>;
}

/// A message that waits for its recipient (XEP-0160).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfflineMessage {
    /// Order among one account's messages. Given by the store, above 0, never given twice.
    pub id: u64,
    /// When the server took it.
    pub at: Timestamp,
    /// The whole stanza as XML in the namespace `jabber:client`. Empty if the store still
    /// has the message but its text is damaged: the others can be read all the same.
    pub xml: String,
}

/// What may wait for one account that is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfflineLimits {
    /// Messages.
    pub messages: usize,
    /// Octets of all messages as XML (UTF-8).
    pub octets: usize,
}

impl OfflineLimits {
    /// So many messages, however long they are.
    pub fn messages(messages: usize) -> OfflineLimits {
        OfflineLimits {
            messages,
            octets: usize::MAX,
        }
    }
}

/// Offline messages (XEP-0160).
#[async_trait]
pub trait Offline: Send + Sync {
    /// Appends a message unless the account would then hold more than `limits` allow;
    /// `false` then.
    async fn push(
        &self,
        account: &BareJid,
        at: Timestamp,
        xml: &str,
        limits: OfflineLimits,
    ) -> Result<bool>;
    /// The oldest messages whose id is above `after`, at most `limit`, oldest first.
    /// No message can appear later with an id below one that was returned.
    async fn page(
        &self,
        account: &BareJid,
        after: u64,
        limit: usize,
    ) -> Result<Vec<OfflineMessage>>;
    /// Deletes the messages with these ids (as many as a page has), and no others. One
    /// that is not there is no error.
    async fn delete(&self, account: &BareJid, ids: &[u64]) -> Result<()>;
    /// Has `holder` alone give out an account's messages, of several servers that might: `true` if it may until `until`, because at
    /// `now` nobody else may. Whoever has the right can have it for longer, and gives it up with an `until` that
    /// is not after `now`.
    ///
    /// By default everybody may: enough for a store that one server uses alone.
    async fn claim(
        &self,
        account: &BareJid,
        holder: u64,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool> {
        let _ = (account, holder, now, until);
        Ok(true)
    }
    /// How many messages wait.
    async fn count(&self, account: &BareJid) -> Result<usize>;
    /// Deletes all messages, because the account is being deleted.
    async fn forget(&self, account: &BareJid) -> Result<()>;
}

/// An element of private XML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateElement {
    /// Its local name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The element, as XML.
    pub xml: String,
}

/// Private XML storage (XEP-0049): one element for each name and namespace.
#[async_trait]
pub trait PrivateXml: Send + Sync {
    /// The element stored under `(name, namespace)`, as XML.
    async fn load(&self, account: &BareJid, name: &str, namespace: &str) -> Result<Option<String>>;
    /// Stores elements in place of those with the same name and namespace, in one step:
    /// all of them, or none (`false`) if the account would then hold more than `limit`
    /// bytes of private XML (UTF-8, names and namespaces not counted). No two of them
    /// have the same name and namespace.
    async fn save(
        &self,
        account: &BareJid,
        elements: &[PrivateElement],
        limit: usize,
    ) -> Result<bool>;
    /// Deletes all elements, because the account is being deleted.
    async fn forget(&self, account: &BareJid) -> Result<()>;
}

/// vCards (XEP-0054).
#[async_trait]
pub trait VCards: Send + Sync {
    /// The vCard as XML.
    async fn load(&self, account: &BareJid) -> Result<Option<String>>;
    /// Stores the vCard in place of the one before.
    async fn save(&self, account: &BareJid, xml: &str) -> Result<()>;
    /// Deletes the vCard, because the account is being deleted.
    async fn forget(&self, account: &BareJid) -> Result<()>;
}

/// Block lists (XEP-0191). An entry is a JID of any form (§3: `user@domain/resource`,
/// `user@domain`, `domain/resource`, `domain`).
#[async_trait]
pub trait BlockLists: Send + Sync {
    /// The list, in no order.
    async fn load(&self, account: &BareJid) -> Result<Vec<Jid>>;
    /// Adds and removes entries in one step. Adding what is there and removing what is not
    /// are no errors; what is in both lists is there afterwards.
    async fn change(&self, account: &BareJid, add: &[Jid], remove: &[Jid]) -> Result<()>;
    /// Deletes the list, because the account is being deleted.
    async fn forget(&self, account: &BareJid) -> Result<()>;
}

/// A session that waits for its client while no server runs (XEP-0198 §5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptSession {
    /// Whose it is.
    pub account: BareJid,
    /// The name of its stream.
    pub name: String,
    /// All that the server has written down of it.
    pub state: String,
}

/// Sessions over a restart of the server: one that stops writes down those whose streams can be
/// resumed, and the next one takes them up. A session leaves the store when its client has come
/// back or has stayed away for too long, and not before: one that was restored and whose server
/// crashes is there once more.
///
/// Several servers may have one store, if no two of them are for the same domain.
///
/// What is kept is as large as what may wait for one session
/// ([`QueueLimits`](crate::mailbox::QueueLimits) with the room for answers, and as much again in its stream).
#[async_trait]
pub trait Sessions: Send + Sync {
    /// Keeps a session, in place of one with the same name. A name has at most 255 octets.
    async fn keep(&self, account: &BareJid, name: &str, state: &str) -> Result<()>;
    /// Sessions of all accounts in the order of the accounts' JIDs and then of their names (octet
    /// by octet), those after `after`, which need not exist, at most `limit`.
    async fn kept(&self, after: Option<(&BareJid, &str)>, limit: usize)
    -> Result<Vec<KeptSession>>;
    /// Deletes a session. That it is not there is no error.
    async fn release(&self, account: &BareJid, name: &str) -> Result<()>;
    /// Deletes all sessions of an account, because it is being deleted.
    async fn forget(&self, account: &BareJid) -> Result<()>;
}

/// A stanza that waits for another server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedStanza {
    /// Order among those of one domain. Given by the store, above 0, never given twice.
    pub id: u64,
    /// When the server took it.
    pub at: Timestamp,
    /// The whole stanza as XML in the namespace `jabber:client`. Empty if the store still
    /// has the stanza but its text is damaged: the others can be read all the same.
    pub xml: String,
}

/// Stanzas for other servers that have been acknowledged to their senders (XEP-0198) and not
/// been delivered yet: what waits in memory for a connection is here too, once it has waited for
/// longer than a moment ([`Timeouts::settle`](crate::server::Timeouts::settle)), and is read by the
/// next run of the server. A stanza leaves the store when it is known what has become of it.
///
/// They are kept by the domain of their senders, which is one of ours. Several servers may have one
/// store, if no two of them are for the same domain.
///
/// The server bounds what waits here (`io::s2s::Config::outbox`), and what it hands over at once.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Appends stanzas in this order, with the time of each: all of them, or none. Gives their ids.
    async fn enqueue(&self, domain: &BareJid, stanzas: &[(Timestamp, String)]) -> Result<Vec<u64>>;
    /// The oldest stanzas of a domain whose id is above `after`, at most `limit`, oldest first.
    /// No stanza can appear later with an id below one that was returned.
    async fn queued(&self, domain: &BareJid, after: u64, limit: usize)
    -> Result<Vec<QueuedStanza>>;
    /// Deletes the stanzas of a domain with these ids, and no others. One that is not there is
    /// no error.
    async fn dequeue(&self, domain: &BareJid, ids: &[u64]) -> Result<()>;
}

/// All ports that a server works with. Clone is cheap.
///
/// They may come from one implementation ([`Stores::from_one`]) or from several:
///
/// ```
/// use std::sync::Arc;
/// use xmpp_core::store::{Stores, memory::Memory};
///
/// let mut stores = Stores::from_one(Arc::new(Memory::new()));
/// stores.vcards = Arc::new(Memory::new()); // a directory of the house's own, say
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Stores {
    /// Who may log in.
    pub accounts: Arc<dyn Accounts>,
    /// Rosters.
    pub rosters: Arc<dyn Rosters>,
    /// Messages for those who are away.
    pub offline: Arc<dyn Offline>,
    /// Private XML.
    pub private_xml: Arc<dyn PrivateXml>,
    /// vCards.
    pub vcards: Arc<dyn VCards>,
    /// Block lists.
    pub block_lists: Arc<dyn BlockLists>,
    /// Sessions over a restart.
    pub sessions: Arc<dyn Sessions>,
    /// What waits for other servers.
    pub outbox: Arc<dyn Outbox>,
}

impl Stores {
    /// All ports from one implementation.
    pub fn from_one<S>(store: Arc<S>) -> Stores
    where
        S: Accounts
            + Rosters
            + Offline
            + PrivateXml
            + VCards
            + BlockLists
            + Sessions
            + Outbox
            + 'static,
    {
        Stores {
            accounts: store.clone(),
            rosters: store.clone(),
            offline: store.clone(),
            private_xml: store.clone(),
            vcards: store.clone(),
            block_lists: store.clone(),
            sessions: store.clone(),
            outbox: store,
        }
    }

    /// All ports in the process ([`memory::Memory`]).
    pub fn memory() -> Stores {
        Stores::from_one(Arc::new(memory::Memory::new()))
    }

    /// Deletes an account and what each port holds of it; `false` if there is no such
    /// account. The account itself goes last, so that a deletion that was cut short can
    /// be repeated.
    pub async fn delete(&self, account: &BareJid) -> Result<bool> {
        self.rosters.forget(account).await?;
        self.offline.forget(account).await?;
        self.private_xml.forget(account).await?;
        self.vcards.forget(account).await?;
        self.block_lists.forget(account).await?;
        self.sessions.forget(account).await?;
        self.accounts.delete(account).await
    }
}
