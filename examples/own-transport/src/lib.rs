//! An engine of one's own below a cluster: tokio's channels, as between the threads of a process.
//!
//! What every engine has to do is said at [`Transport`], and tried by [`conformance`](xmpp_cluster::transport::conformance) (`tests/conformance.rs`). For a network
//! in place of the [`Hub`], put connections in place of the seats, and prove who is at the other end of each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::channel::mpsc as events;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use xmpp_cluster::frame::FRAME;
use xmpp_cluster::node::{NodeId, NodeInfo, SiteId};
use xmpp_cluster::transport::{
    Answer, Class, Event, JoinError, RequestError, Scope, SendError, Transport,
};

/// What may wait for a node in one class; what is more is refused.
const ROOM: usize = 4096;

/// Where all nodes meet. Clone is cheap and names the same one.
#[derive(Clone, Default)]
pub struct Hub(Arc<Mutex<BTreeMap<NodeId, Seat>>>);

/// Where a node gets what is for it.
struct Seat {
    site: SiteId,
    /// By class: what goes first has room of its own.
    queues: [mpsc::Sender<Event>; 3],
}

/// One node's way to the others.
pub struct Line {
    hub: Hub,
    joined: Mutex<Option<Joined>>,
}

struct Joined {
    me: NodeId,
    reader: JoinHandle<()>,
}

impl Hub {
    /// A way to the others for one more node.
    pub fn line(&self) -> Line {
        Line {
            hub: self.clone(),
            joined: Mutex::default(),
        }
    }

    fn give(&self, to: &NodeId, class: Class, event: Event) -> Result<(), SendError> {
        let seats = lock(&self.0);
        let seat = seats.get(to).ok_or(SendError::Unreachable)?;
        seat.give(class, event)
    }
}

impl Seat {
    fn give(&self, class: Class, event: Event) -> Result<(), SendError> {
        let sent = self.queues[class as usize].try_send(event);
        sent.map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SendError::Full,
            mpsc::error::TrySendError::Closed(_) => SendError::Unreachable,
        })
    }
}

impl Line {
    /// This node, if it has joined, and if the frame is not too long.
    fn sender(&self, frame: &Bytes) -> Result<NodeId, SendError> {
        if frame.len() > FRAME {
            return Err(SendError::Full);
        }
        let joined = lock(&self.joined);
        let me = joined.as_ref().map(|joined| joined.me.clone());
        me.ok_or(SendError::Unreachable)
    }

    /// Its name is free from now on.
    fn stand_up(&self) -> Option<JoinHandle<()>> {
        let joined = lock(&self.joined).take()?;
        let mut seats = lock(&self.hub.0);
        seats.remove(&joined.me);
        for other in seats.values() {
            let _ = other.give(Class::Control, Event::Down(joined.me.clone()));
        }
        joined.reader.abort();
        Some(joined.reader)
    }
}

#[async_trait]
impl Transport for Line {
    #[allow(clippy::disallowed_methods)] // an engine is the embedder's, and spawns
    async fn join(&self, me: NodeInfo, events: events::Sender<Event>) -> Result<(), JoinError> {
        let mut joined = lock(&self.joined);
        let mut seats = lock(&self.hub.0);
        let id = me.life.node;
        if joined.is_some() {
            return Err(JoinError::Joined);
        }
        if seats.contains_key(&id) {
            return Err(JoinError::Taken);
        }
        let (control, first) = mpsc::channel(ROOM);
        let (live, second) = mpsc::channel(ROOM);
        let (catch_up, third) = mpsc::channel(ROOM);
        let seat = Seat {
            site: me.site,
            queues: [control, live, catch_up],
        };
        for (other, theirs) in seats.iter() {
            // Hints: who has no room for them does without.
            let _ = theirs.give(Class::Control, Event::Up(id.clone()));
            let _ = seat.give(Class::Control, Event::Up(other.clone()));
        }
        seats.insert(id.clone(), seat);
        let reader = tokio::spawn(read([first, second, third], events));
        *joined = Some(Joined { me: id, reader });
        Ok(())
    }

    fn send(&self, to: &NodeId, class: Class, frame: Bytes) -> Result<(), SendError> {
        let me = self.sender(&frame)?;
        self.hub.give(to, class, Event::Frame(me, frame))
    }

    async fn request(
        &self,
        to: &NodeId,
        frame: Bytes,
        within: Duration,
    ) -> Result<Bytes, RequestError> {
        let (answer, comes) = Answer::open();
        let asked = self.sender(&frame).and_then(|me| {
            let question = Event::Request(me, frame, answer);
            self.hub.give(to, Class::CatchUp, question)
        });
        asked.map_err(|_| RequestError::Unreachable)?;
        match timeout(within, comes).await {
            Ok(Ok(answer)) if answer.len() <= FRAME => Ok(answer),
            Ok(_) => Err(RequestError::Unreachable),
            Err(_) => Err(RequestError::Late),
        }
    }

    fn publish(&self, scope: Scope, frame: Bytes) -> Result<(), SendError> {
        let me = self.sender(&frame)?;
        for (node, seat) in lock(&self.hub.0).iter() {
            let within = match &scope {
                Scope::Site(site) => seat.site == *site,
                Scope::All => true,
            };
            if within && *node != me {
                // Who has no room for it hears the next one.
                let _ = seat.give(Class::Control, Event::Frame(me.clone(), frame.clone()));
            }
        }
        Ok(())
    }

    async fn leave(&self) {
        if let Some(reader) = self.stand_up() {
            // Until it has ended something may come.
            let _ = reader.await;
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.stand_up();
    }
}

/// Gives a node what there is for it, what goes first before the rest.
async fn read(mut queues: [mpsc::Receiver<Event>; 3], mut events: events::Sender<Event>) {
    let [control, live, catch_up] = &mut queues;
    loop {
        let event = tokio::select! {
            biased;
            Some(event) = control.recv() => event,
            Some(event) = live.recv() => event,
            Some(event) = catch_up.recv() => event,
            else => return,
        };
        // "an engine drops frames when that is full, rather than to wait"
        let _ = events.try_send(event);
    }
}

// A panic elsewhere while it is held leaves the map whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
