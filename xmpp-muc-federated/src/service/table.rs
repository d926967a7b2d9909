//! Which rooms are in memory, and what waits for them.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::task::Poll;
use std::time::Instant;

use futures::FutureExt as _;
use futures::channel::oneshot;
use futures::future::{Shared, poll_fn};
use futures::task::AtomicWaker;
use xmpp_core::BareJid;
use xmpp_core::mailbox::{Budget, Envelope, Inbox, Queue, Reason, Settlement};
use xmpp_core::stanza::{IqType, Kind, MessageType, PresenceType};

use super::lines::Line;
use super::ways::Signals;
use super::{House, View, lock};
use crate::fmuc::is_between_rooms;

/// The rooms that are in memory, behind the mailbox of their service.
///
/// A room comes and goes under the lock of the table, and so does everything that is sent to it: a room that leaves has an empty queue,
/// and what comes next makes it anew. So nothing is lost, and nothing overtakes anything.
pub(super) struct Table {
    pub(super) house: Arc<House>,
    /// What waits for the service itself.
    pub(super) desk: Queue,
    budget: Arc<Budget>,
    rooms: RwLock<Rooms>,
    loading: AtomicUsize,
    /// The rooms that can make place for others, by since when they can. Its lock is taken after that of the rooms.
    idle: Mutex<BTreeSet<(Instant, BareJid)>>,
    /// Dropped when the service closes.
    end: Mutex<Option<oneshot::Sender<()>>>,
    ended: Shared<oneshot::Receiver<()>>,
}

#[derive(Default)]
struct Rooms {
    posts: HashMap<Box<str>, Arc<Post>>,
    /// How many of them have been asked to make place and are there yet.
    leaving: usize,
    closed: bool,
    /// Those who wait until there is none.
    waiting: Vec<oneshot::Sender<()>>,
}

/// A room in memory, as others see it.
pub(super) struct Post {
    pub(super) room: BareJid,
    pub(super) queue: Queue,
    pub(super) occupants: AtomicUsize,
    pub(super) persistent: AtomicBool,
    /// It has been asked to make place for another.
    leaves: AtomicBool,
    asked: AtomicWaker,
    /// What becomes of the streams to other nodes.
    pub(super) signals: Signals,
    /// Its links.
    pub(super) lines: Mutex<Vec<Line>>,
}

/// A room that needs a task.
pub(super) type Fresh = Arc<Post>;

impl Table {
    pub(super) fn new(house: Arc<House>, budget: Arc<Budget>) -> Table {
        let (end, ended) = oneshot::channel();
        Table {
            end: Mutex::new(Some(end)),
            ended: ended.shared(),
            desk: Queue::new(house.options.limits.queue, budget.clone()),
            house,
            budget,
            rooms: RwLock::default(),
            loading: AtomicUsize::new(0),
            idle: Mutex::default(),
        }
    }

    /// The room has been loaded, or there is none to load.
    pub(super) fn loaded(&self) {
        self.loading.fetch_sub(1, Ordering::Relaxed);
    }

    /// A room can make place for others since then, or cannot; before it was another time.
    pub(super) fn rests(&self, room: &BareJid, before: Option<Instant>, since: Option<Instant>) {
        let mut idle = lock(&self.idle);
        if let Some(before) = before {
            idle.remove(&(before, room.clone()));
        }
        if let Some(since) = since {
            idle.insert((since, room.clone()));
        }
    }

    /// A room that was asked to make place does not, for the time being.
    pub(super) fn stays(&self, post: &Post) {
        let mut rooms = self.write();
        if post.leaves.swap(false, Ordering::Relaxed) {
            rooms.leaving -= 1;
        }
    }

    /// Takes a room out that nobody has anything to do with; `false` if something waits for it.
    pub(super) fn leave(&self, post: &Arc<Post>) -> bool {
        let mut rooms = self.write();
        if post.queue.depth().0 > 0 {
            return false;
        }
        self.take_out(&mut rooms, post);
        true
    }

    /// Takes a room out whatever waits for it, which nobody will read.
    pub(super) fn abandon(&self, post: &Arc<Post>) -> Vec<Envelope> {
        let mut rooms = self.write();
        self.take_out(&mut rooms, post);
        post.queue.close().into()
    }

    fn take_out(&self, rooms: &mut Rooms, post: &Arc<Post>) {
        let is_here = |held: &Arc<Post>| Arc::ptr_eq(held, post);
        if rooms.posts.get(post.room.as_str()).is_some_and(is_here) {
            rooms.posts.remove(post.room.as_str());
            if post.leaves.swap(false, Ordering::Relaxed) {
                rooms.leaving -= 1;
            }
            self.house.metrics.rooms.went();
        }
        if rooms.posts.is_empty() {
            rooms.waiting.clear();
        }
    }

    /// Takes nothing more, and has every room come to its end.
    pub(super) fn stop(&self) {
        let mut rooms = self.write();
        rooms.closed = true;
        lock(&self.end).take();
    }

    /// Has every room come to its end, and waits for the last.
    pub(super) async fn close(&self) {
        self.stop();
        loop {
            let gone = {
                let mut rooms = self.write();
                if rooms.posts.is_empty() {
                    return;
                }
                let (sender, gone) = oneshot::channel();
                rooms.waiting.push(sender);
                gone
            };
            // It is dropped when the last has gone.
            let _ = gone.await;
        }
    }

    /// Waits until nothing more is taken.
    pub(super) async fn closing(&self) {
        // The sender is dropped, and says nothing.
        let _ = self.ended.clone().await;
    }

    pub(super) fn view(&self) -> Vec<View> {
        let rooms = self.read();
        let mut view: Vec<_> = rooms.posts.values().map(|post| post.view()).collect();
        drop(rooms);
        view.sort_unstable_by(|a, b| a.room.cmp(&b.room));
        view
    }

    /// For a room that is not in memory.
    fn push_fresh(&self, envelope: Envelope, room: BareJid) -> Settlement {
        let is_of_node = self.is_of_node(&envelope);
        if !wakes(envelope.stanza.kind(), is_of_node) {
            return Settlement::Done;
        }
        let mut rooms = self.write();
        if rooms.closed {
            return envelope.refused(Reason::Closed);
        }
        if let Some(post) = rooms.posts.get(room.as_str()) {
            return post.queue.push(envelope);
        }
        match self.add(&mut rooms, room) {
            Ok(post) => post.queue.push(envelope),
            Err(reason) => envelope.refused(reason),
        }
    }

    /// Has a room come into memory, though nothing waits for it; `false` if there is no place for it.
    pub(super) fn wake(&self, room: &BareJid) -> bool {
        let mut rooms = self.write();
        let is_there = rooms.closed || rooms.posts.contains_key(room.as_str());
        is_there || self.add(&mut rooms, room.clone()).is_ok()
    }

    fn add(&self, rooms: &mut Rooms, room: BareJid) -> Result<Arc<Post>, Reason> {
        let limits = &self.house.options.limits;
        if self.loading.load(Ordering::Relaxed) >= limits.loading || !self.make_place(rooms) {
            return Err(Reason::Full);
        }
        let queue = Queue::new(limits.queue, self.budget.clone());
        let post = Arc::new(Post::new(room.clone(), queue));
        self.loading.fetch_add(1, Ordering::Relaxed);
        if self.house.fresh.unbounded_send(post.clone()).is_err() {
            self.loaded();
            return Err(Reason::Closed);
        }
        self.house.metrics.rooms.came();
        rooms.posts.insert(room.as_str().into(), post.clone());
        Ok(post)
    }

    /// Whether this is from another node of a federated room.
    fn is_of_node(&self, envelope: &Envelope) -> bool {
        self.house.federal.is_some() && is_between_rooms(&envelope.stanza)
    }

    /// Whether there is place for one more room: if need be those make some that have been idle for longest. As long as they do, both are there.
    fn make_place(&self, rooms: &mut Rooms) -> bool {
        let most = self.house.options.limits.rooms;
        while rooms.posts.len() - rooms.leaving >= most {
            let Some((_, idlest)) = lock(&self.idle).pop_first() else {
                return false;
            };
            if let Some(post) = rooms.posts.get(idlest.as_str())
                && !post.leaves.swap(true, Ordering::Relaxed)
            {
                rooms.leaving += 1;
                post.asked.wake();
            }
        }
        true
    }

    fn read(&self) -> RwLockReadGuard<'_, Rooms> {
        self.rooms.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Rooms> {
        self.rooms.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inbox for Table {
    fn push(&self, envelope: Envelope) -> Settlement {
        let is_of_node = self.is_of_node(&envelope);
        match self.take(envelope) {
            // Nothing comes back of what is between rooms: two would never stop. What is missing is asked for.
            Settlement::Failed(_) if is_of_node => {
                self.house.metrics.dropped.increment();
                Settlement::Done
            }
            settlement => settlement,
        }
    }
}

impl Table {
    fn take(&self, envelope: Envelope) -> Settlement {
        let Some(to) = envelope.stanza.to() else {
            return Settlement::Done;
        };
        if to.local().is_none() {
            return self.desk.push(envelope);
        }
        // As long as a reader is here, no room leaves.
        let rooms = self.read();
        if rooms.closed {
            return envelope.refused(Reason::Closed);
        }
        if let Some(post) = rooms.posts.get(to.bare_str()) {
            return post.queue.push(envelope);
        }
        drop(rooms);
        let room = to.to_bare();
        self.push_fresh(envelope, room)
    }
}

impl Post {
    /// A room that nobody has told anything of yet.
    pub(super) fn new(room: BareJid, queue: Queue) -> Post {
        Post {
            room,
            queue,
            occupants: AtomicUsize::new(0),
            persistent: AtomicBool::new(false),
            leaves: AtomicBool::new(false),
            asked: AtomicWaker::new(),
            signals: Signals::default(),
            lines: Mutex::default(),
        }
    }

    /// Waits until the room is asked to make place for another.
    pub(super) async fn asked(&self) {
        poll_fn(|cx| {
            self.asked.register(cx.waker());
            match self.leaves.load(Ordering::Relaxed) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }

    fn view(&self) -> View {
        View {
            room: self.room.clone(),
            occupants: self.occupants.load(Ordering::Relaxed),
            persistent: self.persistent.load(Ordering::Relaxed),
            waiting: self.queue.depth().0,
            links: lock(&self.lines).clone(),
        }
    }
}

/// Whether a room that is not in memory can have anything to do with it: nobody is in it.
fn wakes(kind: Kind, is_of_node: bool) -> bool {
    match kind {
        Kind::Presence(PresenceType::Unavailable) => is_of_node,
        Kind::Presence(kind) => kind == PresenceType::Available,
        Kind::Message(kind) => kind != MessageType::Error,
        Kind::Iq(kind) => matches!(kind, IqType::Get | IqType::Set),
    }
}
