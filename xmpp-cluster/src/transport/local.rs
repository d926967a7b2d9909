//! Nodes of one process: for one node that is alone, several in a test, and a simulation.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::channel::{mpsc, oneshot};
use futures::future::{Either, select};
use xmpp_core::time::Clock;

use super::{Answer, Class, Event, JoinError, RequestError, Scope, SendError, Transport};
use crate::frame::FRAME;
use crate::node::{NodeId, NodeInfo};

/// A net within one process. Clone is cheap and names the same net.
///
/// It carries the bytes of real frames, and can be cut.
#[derive(Clone, Default)]
pub struct Net(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    nodes: BTreeMap<NodeId, Seat>,
    /// Directions in which nothing goes; nobody is told.
    cut: BTreeSet<(NodeId, NodeId)>,
}

struct Seat {
    info: NodeInfo,
    events: mpsc::Sender<Event>,
}

/// One node's end of a [`Net`].
pub struct Local {
    net: Net,
    clock: Arc<dyn Clock>,
    me: Mutex<Option<NodeInfo>>,
}

impl Net {
    /// A net without nodes.
    pub fn new() -> Net {
        Net::default()
    }

    /// An end for one node; `clock` tells how long an answer may take.
    pub fn node(&self, clock: Arc<dyn Clock>) -> Local {
        Local {
            net: self.clone(),
            clock,
            me: Mutex::default(),
        }
    }

    /// Cuts the way from one node to another, in that direction, without a word to either.
    pub fn cut(&self, from: &NodeId, to: &NodeId) {
        self.lock().cut.insert((from.clone(), to.clone()));
    }

    /// Mends every way.
    pub fn heal(&self) {
        self.lock().cut.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere while it is held leaves the maps whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Gives an event to a node, if the way there is not cut.
    fn give(&mut self, from: &NodeId, to: &NodeId, event: Event) -> Result<(), SendError> {
        let cut = self.cut.contains(&(from.clone(), to.clone()));
        let seat = self.nodes.get_mut(to).ok_or(SendError::Unreachable)?;
        if cut {
            return Ok(());
        }
        match seat.events.try_send(event) {
            Ok(()) => Ok(()),
            Err(error) if error.is_full() => Err(SendError::Full),
            Err(_) => Err(SendError::Unreachable),
        }
    }

    /// Gives a hint to all others.
    fn hint(&mut self, about: &NodeId, hint: fn(NodeId) -> Event) {
        for (node, seat) in &mut self.nodes {
            if node != about {
                // A hint: who has no room for it does without.
                let _ = seat.events.try_send(hint(about.clone()));
            }
        }
    }
}

impl Local {
    fn me(&self) -> Option<NodeInfo> {
        self.seat().clone()
    }

    fn seat(&self) -> MutexGuard<'_, Option<NodeInfo>> {
        self.me.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Transport for Local {
    async fn join(&self, me: NodeInfo, events: mpsc::Sender<Event>) -> Result<(), JoinError> {
        let mut seat = self.seat();
        if seat.is_some() {
            return Err(JoinError::Joined);
        }
        let mut net = self.net.lock();
        let node = me.life.node.clone();
        if net.nodes.contains_key(&node) {
            return Err(JoinError::Taken);
        }
        let mut mine = events.clone();
        for other in net.nodes.keys() {
            let _ = mine.try_send(Event::Up(other.clone()));
        }
        let info = me.clone();
        net.nodes.insert(node.clone(), Seat { info, events });
        net.hint(&node, Event::Up);
        *seat = Some(me);
        Ok(())
    }

    fn send(&self, to: &NodeId, _class: Class, frame: Bytes) -> Result<(), SendError> {
        if frame.len() > FRAME {
            return Err(SendError::Full);
        }
        let me = self.me().ok_or(SendError::Unreachable)?.life.node;
        let event = Event::Frame(me.clone(), frame);
        self.net.lock().give(&me, to, event)
    }

    async fn request(
        &self,
        to: &NodeId,
        frame: Bytes,
        within: Duration,
    ) -> Result<Bytes, RequestError> {
        let me = self.me().ok_or(RequestError::Unreachable)?.life.node;
        let (answer, comes) = Answer::open();
        let event = Event::Request(me.clone(), frame, answer);
        let cut = self.net.lock().cut.contains(&(me.clone(), to.clone()));
        // Into the dark: whoever asks waits, as they would for a machine that is gone.
        let kept = match cut {
            true => Some(event),
            false => {
                let given = self.net.lock().give(&me, to, event);
                given.map_err(|_| RequestError::Unreachable)?;
                None
            }
        };
        let answer = match select(comes, self.clock.sleep(within)).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => return Err(RequestError::Late),
        };
        drop(kept);
        let back = self.net.lock().cut.contains(&(to.clone(), me));
        match (answer, back) {
            (_, true) => Err(RequestError::Late),
            (Ok(answer), false) => Ok(answer),
            (Err(oneshot::Canceled), false) => Err(RequestError::Unreachable),
        }
    }

    fn publish(&self, scope: Scope, frame: Bytes) -> Result<(), SendError> {
        if frame.len() > FRAME {
            return Err(SendError::Full);
        }
        let me = self.me().ok_or(SendError::Unreachable)?.life.node;
        let mut net = self.net.lock();
        let within = |seat: &Seat| match &scope {
            Scope::Site(site) => seat.info.site == *site,
            Scope::All => true,
        };
        let others = net.nodes.iter().filter(|(_, seat)| within(seat));
        let others: Vec<NodeId> = others.map(|(node, _)| node.clone()).collect();
        for to in others.iter().filter(|to| **to != me) {
            // Who has no room for it is told by the next one.
            let _ = net.give(&me, to, Event::Frame(me.clone(), frame.clone()));
        }
        Ok(())
    }

    async fn leave(&self) {
        let Some(me) = self.seat().take() else {
            return;
        };
        let mut net = self.net.lock();
        net.nodes.remove(&me.life.node);
        net.hint(&me.life.node, Event::Down);
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let me = self.seat().take();
        if let Some(me) = me {
            self.net.lock().nodes.remove(&me.life.node);
        }
    }
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Net")
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Local({:?})", self.me().map(|me| me.life))
    }
}

#[cfg(test)]
mod tests;
