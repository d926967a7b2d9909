//! Sessions: what outlives a connection.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI16, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::account::Account;
use crate::mailbox::{Detour, Envelope, Mailbox, Queue, Turn};
use crate::stanza::Stanza;
use crate::stream::StreamError;
use crate::{BareJid, FullJid, Jid};

#[cfg(feature = "io")]
pub(crate) mod record;

/// Names one session for as long as any record of it exists: an address can be
/// bound again, an id never is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId {
    /// Random, for one run of one process.
    pub run: u64,
    /// Counts in that run.
    pub n: u64,
}

/// A bound resource as others see it: the entry of a [`Directory`](crate::directory::Directory).
///
/// Read freely; change it only through [`Directory::update`](crate::directory::Directory::update),
/// so that a directory that spans nodes can pass the change on.
pub struct Resource {
    jid: FullJid,
    id: SessionId,
    mailbox: Mailbox,
    session: Option<Arc<Session>>,
    priority: AtomicI16,
    flags: AtomicU8,
    presence: Mutex<Option<Stanza>>,
}

/// What of a resource can change.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Change {
    /// It sent available presence with this priority (RFC 6121 §4.7.2.3).
    Available(Stanza, i8),
    /// It sent unavailable presence, or its session ended.
    Unavailable,
    /// It asked for its roster (RFC 6121 §2.1.6: an "interested resource").
    Interested,
    /// It turned carbon copies on or off (XEP-0280 §4).
    Carbons(bool),
    /// It asked for its block list, and hears of changes from now on (XEP-0191 §3.3).
    BlockList,
    /// Its stream can be resumed under this name (XEP-0198 §5), on any node. A [`Resource`] does not keep that.
    Resumable(Arc<str>),
}

const UNAVAILABLE: i16 = i16::MIN;
const INTERESTED: u8 = 1;
const CARBONS: u8 = 2;
const BLOCK_LIST: u8 = 4;

impl Resource {
    /// The resource of a session that lives here.
    pub fn local(session: &Arc<Session>) -> Resource {
        let mailbox = Mailbox::new(session.queue.clone());
        Resource::new(
            session.jid.clone(),
            session.id,
            mailbox,
            Some(session.clone()),
        )
    }

    /// A resource whose session lives elsewhere, behind a mailbox.
    pub fn remote(jid: FullJid, id: SessionId, mailbox: Mailbox) -> Resource {
        Resource::new(jid, id, mailbox, None)
    }

    fn new(
        jid: FullJid,
        id: SessionId,
        mailbox: Mailbox,
        session: Option<Arc<Session>>,
    ) -> Resource {
        Resource {
            jid,
            id,
            mailbox,
            session,
            priority: AtomicI16::new(UNAVAILABLE),
            flags: AtomicU8::new(0),
            presence: Mutex::new(None),
        }
    }

    /// Its full JID.
    pub fn jid(&self) -> &FullJid {
        &self.jid
    }

    /// Its session's id.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Where stanzas for it go.
    pub fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// Its session, if that lives here.
    pub fn session(&self) -> Option<&Arc<Session>> {
        self.session.as_ref()
    }

    /// Its priority, or `None` while it is not available ("connected resource", RFC 6121 §2.1.6).
    pub fn priority(&self) -> Option<i8> {
        i8::try_from(self.priority.load(Ordering::Acquire)).ok()
    }

    /// Whether it has sent available presence.
    pub fn is_available(&self) -> bool {
        self.priority().is_some()
    }

    /// Whether it asked for the roster.
    pub fn is_interested(&self) -> bool {
        self.flags.load(Ordering::Acquire) & INTERESTED != 0
    }

    /// Whether it wants carbon copies.
    pub fn wants_carbons(&self) -> bool {
        self.flags.load(Ordering::Acquire) & CARBONS != 0
    }

    /// Whether it asked for the block list.
    pub fn knows_block_list(&self) -> bool {
        self.flags.load(Ordering::Acquire) & BLOCK_LIST != 0
    }

    /// Its last available presence.
    pub fn presence(&self) -> Option<Stanza> {
        lock(&self.presence).clone()
    }

    /// Applies a change. For implementors of `Directory` only.
    pub fn apply(&self, change: Change) {
        self.set(change);
        if let Some(session) = &self.session {
            session.change();
        }
    }

    fn set(&self, change: Change) {
        match change {
            Change::Available(stanza, priority) => {
                *lock(&self.presence) = Some(stanza);
                self.priority.store(priority.into(), Ordering::Release);
            }
            Change::Unavailable => {
                self.priority.store(UNAVAILABLE, Ordering::Release);
                *lock(&self.presence) = None;
            }
            Change::Interested => {
                self.flags.fetch_or(INTERESTED, Ordering::AcqRel);
            }
            Change::Carbons(true) => {
                self.flags.fetch_or(CARBONS, Ordering::AcqRel);
            }
            Change::BlockList => {
                self.flags.fetch_or(BLOCK_LIST, Ordering::AcqRel);
            }
            Change::Carbons(false) => {
                self.flags.fetch_and(!CARBONS, Ordering::AcqRel);
            }
            Change::Resumable(_) => {}
        }
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Resource({}, {:?})", self.jid, self.priority())
    }
}

/// A session of one of our accounts: a bound address, its account and its queue.
/// A connection attaches to it and detaches; the session ends when it expires,
/// is replaced, or its client says goodbye.
pub struct Session {
    id: SessionId,
    jid: FullJid,
    account: Arc<Account>,
    encrypted: AtomicBool,
    queue: Arc<Queue>,
    directed: Mutex<Vec<Jid>>,
    feeds: Mutex<VecDeque<Box<dyn Feed>>>,
    end: Mutex<Option<StreamError>>,
    /// Whether another node is about to have it.
    moving: AtomicBool,
    /// Whether what a copy of it was told is not true any more.
    changed: AtomicBool,
    /// Its own entry, from when it is bound to its end.
    entry: Mutex<Option<Arc<Resource>>>,
}

/// A burst that is pulled as the client drains it, not pushed: offline messages,
/// the presences of a room, a page of an archive. It comes before what waits in
/// the session's queue, so that older stanzas precede newer ones.
#[async_trait]
pub trait Feed: Send + Sync + 'static {
    /// The next stanzas; called when those of the call before have been written.
    /// Empty at the end.
    async fn next(&mut self) -> Vec<Stanza>;

    /// The session goes on in another process, unless it stays: what has been given is where nothing loses it. `true` if
    /// what has not been given is found again there, as what is in a store is; else the burst is pulled
    /// to its end before. If the session stays, [`next`](Feed::next) is called again.
    async fn pause(&mut self) -> bool {
        false
    }
}

/// Bursts that wait for one session at a time.
pub const FEEDS: usize = 64;

impl Session {
    /// A new session. [`Server::bind`](crate::server::Server::bind) makes it known.
    pub fn new(id: SessionId, jid: FullJid, account: Arc<Account>, queue: Queue) -> Session {
        Session {
            id,
            jid,
            account,
            encrypted: AtomicBool::new(false),
            queue: Arc::new(queue),
            directed: Mutex::default(),
            feeds: Mutex::default(),
            end: Mutex::default(),
            moving: AtomicBool::new(false),
            changed: AtomicBool::new(false),
            entry: Mutex::default(),
        }
    }

    /// Its id.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Its full JID.
    pub fn jid(&self) -> &FullJid {
        &self.jid
    }

    /// Its account's bare JID.
    pub fn bare(&self) -> &BareJid {
        self.account.jid()
    }

    /// Its account.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Whether its connection is encrypted; not until it is [said](Session::set_encrypted).
    pub fn is_encrypted(&self) -> bool {
        self.encrypted.load(Ordering::Acquire)
    }

    /// Says whether its connection is encrypted. For whoever drives the connection, whenever
    /// one attaches.
    pub fn set_encrypted(&self, encrypted: bool) {
        self.encrypted.store(encrypted, Ordering::Release);
    }

    /// What waits for its client.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Adds a burst that the connection pulls, behind those that were added before.
    /// `false`, and the burst is dropped, if [`FEEDS`] wait already.
    pub fn add_feed(&self, feed: Box<dyn Feed>) -> bool {
        self.add_burst(Turn::First, feed)
    }

    /// The same for a burst that comes after what waits in the queue now, and before what comes there later: what an entity
    /// has to say at once among other things (the presences of a room), in their order (RFC 6120 §10.1).
    pub fn add_feed_in_turn(&self, feed: Box<dyn Feed>) -> bool {
        self.add_burst(Turn::Last, feed)
    }

    fn add_burst(&self, turn: Turn, feed: Box<dyn Feed>) -> bool {
        let mut refused = None;
        self.queue.add_burst(turn, || {
            let mut feeds = lock(&self.feeds);
            match feeds.len() < FEEDS {
                true => feeds.push_back(feed),
                false => refused = Some(feed),
            }
            refused.is_none()
        });
        // Dropped here if it is: it may have more to do than this lock allows.
        let added = refused.is_none();
        if added {
            self.queue.wake();
        }
        added
    }

    /// Takes the next burst, to pull it. For whoever drives the connection. There is none
    /// as long as the queue has [overflowed](Queue::is_overflowed): what did not fit into
    /// it may come as a burst, and what is in it is older.
    pub fn take_feed(&self) -> Option<Box<dyn Feed>> {
        self.queue.take_burst(|| lock(&self.feeds).pop_front())
    }

    /// Takes the oldest stanzas that wait, as [`Queue::take`], if there is something and no
    /// burst comes before it. For whoever drives the connection.
    pub fn take(&self, bytes: usize) -> Option<VecDeque<Envelope>> {
        self.queue.take_in_turn(bytes).flatten()
    }

    /// To be held while a message that this session's queue has refused is being stored: as
    /// long, nothing overtakes it.
    pub(crate) fn detour(&self) -> Detour {
        self.queue.detour()
    }

    /// Ends the session: its queue takes no more, and its connection closes with
    /// `error` when it has written what waits.
    pub fn end(&self, error: StreamError) {
        lock(&self.end).get_or_insert(error);
        self.queue.wake();
    }

    /// Why the session is to end, if it is.
    pub fn ending(&self) -> Option<StreamError> {
        lock(&self.end).clone()
    }

    /// Whether it is handed to another node, which may show it as its own already
    /// ([`Driver::hand_out`](crate::io::Driver::hand_out)).
    pub fn is_moving(&self) -> bool {
        self.moving.load(Ordering::Acquire)
    }

    /// The queue, for whoever keeps a copy of it.
    #[cfg(feature = "io")]
    pub(crate) fn shared_queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// What is to be known of it elsewhere is different now.
    pub(crate) fn change(&self) {
        self.changed.store(true, Ordering::Release);
        self.queue.wake_for_copy();
    }

    /// Whether it has [changed](Session::change) since this was asked last.
    #[cfg(feature = "io")]
    pub(crate) fn take_changed(&self) -> bool {
        self.changed.load(Ordering::Acquire) && self.changed.swap(false, Ordering::AcqRel)
    }

    #[cfg(feature = "io")]
    pub(crate) fn set_moving(&self, moving: bool) {
        self.moving.store(moving, Ordering::Release);
    }

    /// Remembers its entry; [`leave`](Session::leave) has to follow, since the entry leads
    /// back to the session.
    pub(crate) fn enter(&self, entry: Arc<Resource>) {
        *lock(&self.entry) = Some(entry);
    }

    /// Its entry, once: whoever gets it does what there is to do at the end.
    pub(crate) fn leave(&self) -> Option<Arc<Resource>> {
        lock(&self.entry).take()
    }

    /// Remembers that directed presence was sent to `to` (RFC 6121 §4.6.3), so
    /// that it hears when the session ends. `false` if `limit` addresses are
    /// remembered already and this is another one.
    pub fn direct_presence(&self, to: &Jid, limit: usize) -> bool {
        let mut directed = lock(&self.directed);
        if directed.contains(to) {
            return true;
        }
        let fits = directed.len() < limit;
        if fits {
            directed.push(to.clone());
            drop(directed);
            self.change();
        }
        fits
    }

    /// Forgets directed presence to `to`; whether there was any.
    pub fn forget_directed(&self, to: &Jid) -> bool {
        let mut directed = lock(&self.directed);
        let before = directed.len();
        directed.retain(|jid| jid != to);
        let forgotten = directed.len() < before;
        drop(directed);
        if forgotten {
            self.change();
        }
        forgotten
    }

    /// Whether directed presence was sent to `to`.
    pub fn has_directed(&self, to: &Jid) -> bool {
        lock(&self.directed).contains(to)
    }

    /// The addresses that have directed presence.
    #[cfg(feature = "io")]
    pub(crate) fn directed(&self) -> Vec<Jid> {
        lock(&self.directed).clone()
    }

    /// Takes those addresses that have directed presence and that `chosen` picks.
    pub fn take_directed_where(&self, chosen: impl Fn(&Jid) -> bool) -> Vec<Jid> {
        let mut directed = lock(&self.directed);
        let (taken, left) = std::mem::take(&mut *directed)
            .into_iter()
            .partition(|jid| chosen(jid));
        *directed = left;
        drop(directed);
        self.change();
        taken
    }

    /// Takes all addresses that have directed presence.
    pub fn take_directed(&self) -> Vec<Jid> {
        let taken = std::mem::take(&mut *lock(&self.directed));
        if !taken.is_empty() {
            self.change();
        }
        taken
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({}, {:?})", self.jid, self.id)
    }
}

// Nothing that runs under these locks can panic half way through a change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
