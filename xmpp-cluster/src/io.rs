//! Drives a [`Node`] over an engine and a clock.
//!
//! It needs no executor of its own: a [`Driver`] is a future that the embedder spawns.
//!
//! ```
//! # use std::sync::Arc;
//! # use xmpp_cluster::frame::VERSIONS;
//! # use xmpp_cluster::io::{Cluster, Ended};
//! # use xmpp_cluster::node::{Incarnation, Life, NodeInfo};
//! # use xmpp_cluster::transport::local::Net;
//! # use xmpp_core::time::Clock;
//! # async fn example(clock: Arc<dyn Clock>) -> Result<(), xmpp_cluster::transport::JoinError> {
//! let incarnation = Incarnation::begin(clock.now().utc, None);
//! let me = NodeInfo {
//!     life: Life { node: "a".parse().unwrap(), incarnation },
//!     site: "home".parse().unwrap(),
//!     versions: VERSIONS,
//! };
//! let engine = Arc::new(Net::new().node(clock.clone()));
//! let cluster = Cluster::new(me, Default::default(), engine, clock);
//! let driver = cluster.join(Vec::new()).await?;
//! // Spawned, usually.
//! assert_eq!(driver.run().await, Ended::Left);
//! # Ok(()) }
//! ```

mod status;

use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::channel::{mpsc, oneshot};
use futures::future::BoxFuture;
use futures::task::AtomicWaker;
use futures::{FutureExt, StreamExt};
use xmpp_core::FullJid;
use xmpp_core::machine::Machine;
use xmpp_core::session::SessionId;
use xmpp_core::time::{Clock, Now};

use crate::cluster::{Event, Input, Limits, Node, Output, SendError};
use crate::frame::{Entry, Parcel};
use crate::node::{Incarnation, Life, NodeInfo};
use crate::transport::{self, JoinError, Scope, Transport};

pub use status::{Member, Status};

/// What an engine may have to tell at a time; what comes when there is as much is lost, and sent again.
pub const EVENTS: usize = 4096;

/// What is taken of it at once, before anybody else has a turn.
const BATCH: usize = 64;

/// Who is told what becomes of the cluster: each of a node's handlers hears of everything.
///
/// It is called by the driver, one event after the other, and must not wait. What a handler
/// [sends](Cluster::send) meanwhile goes when the events at hand have been told.
pub trait Handler: Send + Sync + 'static {
    /// Something has happened.
    fn handle(&self, event: &Event, cluster: &Cluster);
}

/// A node of a cluster. Clone is cheap and names the same one.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

struct Inner {
    me: NodeInfo,
    node: Mutex<Node>,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    /// Something waits to be sent.
    dirty: AtomicBool,
    driver: AtomicWaker,
    leaving: Mutex<Leaving>,
    status: status::Lost,
}

#[derive(Default)]
struct Leaving {
    /// Until when what waits may still go.
    until: Option<Instant>,
    /// Those who wait for the end.
    waiting: Vec<oneshot::Sender<()>>,
    over: bool,
}

/// What makes a [`Cluster`] go. Dropped, it leaves the others to find out that this node is gone.
pub struct Driver {
    cluster: Cluster,
    events: mpsc::Receiver<transport::Event>,
    handlers: Vec<Arc<dyn Handler>>,
}

/// Why a driver has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// The node has [left](Cluster::leave).
    Left,
    /// It has a later life.
    Superseded(Incarnation),
    /// The engine has nothing more to tell.
    Engine,
}

impl Cluster {
    /// A node that has not joined yet. What is said of its resources before is told when it has.
    pub fn new(
        me: NodeInfo,
        limits: Limits,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
    ) -> Cluster {
        Cluster(Arc::new(Inner {
            node: Mutex::new(Node::new(me.clone(), limits)),
            me,
            transport,
            clock,
            dirty: AtomicBool::new(false),
            driver: AtomicWaker::new(),
            leaving: Mutex::default(),
            status: status::Lost::default(),
        }))
    }

    /// Joins the cluster; from when the driver [runs](Driver::run), these hear of everything, in their order.
    pub async fn join(&self, handlers: Vec<Arc<dyn Handler>>) -> Result<Driver, JoinError> {
        let (sender, events) = mpsc::channel(EVENTS);
        let me = self.0.me.clone();
        self.0.transport.join(me, sender).await?;
        Ok(Driver {
            cluster: self.clone(),
            events,
            handlers,
        })
    }

    /// This node.
    pub fn me(&self) -> &NodeInfo {
        &self.0.me
    }

    /// The present moment on this node's clock.
    pub fn now(&self) -> Now {
        self.0.clock.now()
    }

    /// Sends a parcel to a node in one of its lives. It arrives in order and once; or the node goes down, and all that it is
    /// not known to have is [given up](Event::GivenUp).
    pub fn send(&self, to: &Life, parcel: &Parcel) -> Result<(), SendError> {
        let sent = self.node().send(to, parcel);
        self.wake();
        sent
    }

    /// Enters a resource that is bound here, or what is new about it.
    pub fn put(&self, entry: Entry) {
        self.node().put(entry);
        self.wake();
    }

    /// Changes what is told of a resource that is bound here, if this is its session; whether it is.
    pub fn update(
        &self,
        jid: &FullJid,
        session: SessionId,
        change: impl FnOnce(&mut Entry),
    ) -> bool {
        let updated = self.node().update(jid, session, change);
        self.wake();
        updated
    }

    /// Takes out a resource that was bound here, if this is its session; whether it is.
    pub fn remove(&self, jid: &FullJid, session: SessionId) -> bool {
        let removed = self.node().remove(jid, session);
        self.wake();
        removed
    }

    /// The lives of the other nodes that are up, in the order of their names.
    pub fn up(&self) -> Vec<Life> {
        self.node().up().cloned().collect()
    }

    /// Whether a node is up in this life.
    pub fn is_up(&self, life: &Life) -> bool {
        self.node().is_up(life)
    }

    /// Shows the node as it is now. As long as it is looked at, nothing goes on.
    pub fn look<T>(&self, at: impl FnOnce(&Node) -> T) -> T {
        at(&self.node())
    }

    /// What an operator is shown.
    pub fn status(&self) -> Status {
        Status::of(&self.node(), self.0.status.counts(), self.now())
    }

    /// Leaves, when the others have what they were sent or `patience` is over, and the driver ends.
    pub async fn leave(&self, patience: Duration) {
        let (done, over) = oneshot::channel();
        {
            let mut leaving = lock(&self.0.leaving);
            if leaving.over {
                return;
            }
            let until = self.now().instant + patience;
            leaving.until = Some(leaving.until.map_or(until, |before| before.min(until)));
            leaving.waiting.push(done);
        }
        self.wake();
        // A driver that is dropped has come to its end as well.
        let _ = over.await;
    }

    fn node(&self) -> MutexGuard<'_, Node> {
        lock(&self.0.node)
    }

    fn wake(&self) {
        self.0.dirty.store(true, Ordering::Release);
        self.0.driver.wake();
    }
}

impl Driver {
    /// Goes on until the node leaves or has to stop.
    pub async fn run(mut self) -> Ended {
        let ended = self.turns().await;
        self.cluster.0.transport.leave().await;
        ended
    }

    async fn turns(&mut self) -> Ended {
        let mut next = None;
        loop {
            let mut out = Vec::new();
            let mut ended = self.turn(next.take(), &mut out);
            for output in out {
                if let Output::Event(Event::Superseded(by)) = output {
                    ended = Some(Ended::Superseded(by));
                }
                self.put_out(output);
            }
            if let Some(ended) = ended {
                return ended;
            }
            // Else whoever sends without end would have this task all to themselves.
            yield_now().await;
            match self.wait().await {
                Woken::Event(event) => next = Some(event),
                Woken::Turn => {}
                Woken::Closed => return Ended::Engine,
            }
        }
    }

    /// Takes what there is, and has the node say what is to be done about it.
    fn turn(&mut self, first: Option<transport::Event>, out: &mut Vec<Output>) -> Option<Ended> {
        let inner = &self.cluster.0;
        let mut node = lock(&inner.node);
        let now = inner.clock.now();
        // Before the first call it has none to wait for.
        if node.next_timeout().is_none_or(|at| at <= now.instant) {
            node.handle_timeout(now, out);
        }
        let rest = std::iter::from_fn(|| self.events.next().now_or_never().flatten());
        for event in first.into_iter().chain(rest).take(BATCH) {
            // A question is answered by dropping it: this release asks none. What else there is are hints.
            if let transport::Event::Frame(from, frame) = event {
                node.handle(Input::Frame(from, frame), now, out);
            }
        }
        node.handle(Input::Flush, now, out);
        let until = lock(&inner.leaving).until?;
        if !node.is_idle() && now.instant < until {
            return None;
        }
        node.handle(Input::Leave, now, out);
        Some(Ended::Left)
    }

    fn put_out(&self, output: Output) {
        let inner = &self.cluster.0;
        match output {
            Output::Send(to, class, frame) => {
                if inner.transport.send(&to, class, frame).is_err() {
                    // The link sends it again.
                    inner.status.unsent();
                }
            }
            Output::Publish(frame) => self.publish(frame),
            Output::Event(event) => {
                status::log(&event);
                for handler in &self.handlers {
                    handler.handle(&event, &self.cluster);
                }
            }
        }
    }

    fn publish(&self, frame: Bytes) {
        let inner = &self.cluster.0;
        if inner.transport.publish(Scope::All, frame).is_err() {
            // The next heartbeat is soon.
            inner.status.unsent();
        }
    }

    async fn wait(&mut self) -> Woken {
        let Driver {
            cluster, events, ..
        } = self;
        let inner = &cluster.0;
        let mut sleep = sleep(inner);
        poll_fn(|cx| {
            inner.driver.register(cx.waker());
            if inner.dirty.swap(false, Ordering::AcqRel) {
                return Poll::Ready(Woken::Turn);
            }
            if let Poll::Ready(event) = events.poll_next_unpin(cx) {
                return Poll::Ready(event.map_or(Woken::Closed, Woken::Event));
            }
            sleep.poll_unpin(cx).map(|()| Woken::Turn)
        })
        .await
    }
}

/// What a driver was woken by.
enum Woken {
    Event(transport::Event),
    /// It is time, or something waits.
    Turn,
    Closed,
}

/// Sleeps until the node has something to do.
fn sleep(inner: &Inner) -> BoxFuture<'static, ()> {
    let next = lock(&inner.node).next_timeout();
    let leave = lock(&inner.leaving).until;
    match next.into_iter().chain(leave).min() {
        Some(at) => {
            let now = inner.clock.now().instant;
            inner.clock.sleep(at.saturating_duration_since(now))
        }
        None => futures::future::pending().boxed(),
    }
}

async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

// A panic elsewhere while it is held leaves it whole enough to be looked at.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Driver {
    fn drop(&mut self) {
        let mut leaving = lock(&self.cluster.0.leaving);
        leaving.over = true;
        leaving.waiting.clear();
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cluster({})", self.0.me.life)
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Driver({})", self.cluster.0.me.life)
    }
}

#[cfg(test)]
mod tests;
