//! Nodes that connect to each other, by the engine of Eclipse Zenoh inside them: no server is needed besides.
//!
//! Every connection is TLS, and both ends show a certificate of the cluster's own authority; there is no other door. With
//! [`Config::names`] the certificate's common name is the node's, and nobody speaks in the name of another or hears what is for
//! another. Without, who has such a certificate is a node of the cluster, and the others believe what it says of itself.
//!
//! A node listens, connects to some of the others, and is told of the rest, to which it connects by itself. What is sent is given
//! to the engine's queues or dropped, never waited for: the engine does not say what it has lost, so what has to arrive is on a
//! [link](crate::link).
//!
//! The engine has threads of its own, and wants a runtime of tokio with several.

mod settings;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::channel::mpsc;
use tokio::runtime::Handle;
use zenoh::bytes::ZBytes;
use zenoh::liveliness::LivelinessToken;
use zenoh::pubsub::Subscriber;
use zenoh::qos::{CongestionControl, Priority};
use zenoh::query::{ConsolidationMode, Query, QueryTarget, Queryable};
use zenoh::sample::{Locality, Sample, SampleKind};
use zenoh::{Session, Wait as _};

use super::{Answer, Class, Event, JoinError, RequestError, Scope, SendError, Transport};
use crate::frame::FRAME;
use crate::node::{NodeId, NodeInfo};

pub use settings::{Config, Names, Role};

/// How long those that are there have to say so when a node joins.
const HELLO: Duration = Duration::from_millis(1500);

/// The engine, for one node.
pub struct Zenoh {
    config: Config,
    joined: Mutex<Option<Joined>>,
    /// Held while it joins or leaves.
    turn: futures::lock::Mutex<()>,
}

/// What is there while the node is in the cluster.
struct Joined {
    keys: Keys,
    session: Session,
    /// It is there for the others as long as these are.
    _subscribers: [Subscriber<()>; 4],
    _queryables: [Queryable<()>; 2],
    _token: LivelinessToken,
}

/// What frames are sent under. Every name is a label, so it is one chunk.
#[derive(Clone)]
struct Keys {
    cluster: NodeId,
    me: NodeId,
}

impl Zenoh {
    /// The engine of a node that has not joined.
    pub fn new(config: Config) -> Zenoh {
        Zenoh {
            config,
            joined: Mutex::default(),
            turn: futures::lock::Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Joined>> {
        self.joined.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session, as long as the node is in the cluster.
    fn session(&self) -> Option<(Session, Keys)> {
        let joined = self.lock();
        let joined = joined.as_ref()?;
        Some((joined.session.clone(), joined.keys.clone()))
    }

    fn put(
        &self,
        key: impl Fn(&Keys) -> String,
        class: Class,
        frame: Bytes,
    ) -> Result<(), SendError> {
        if frame.len() > FRAME {
            return Err(SendError::Full);
        }
        let (session, keys) = self.session().ok_or(SendError::Unreachable)?;
        let put = session
            .put(key(&keys), ZBytes::from(frame))
            // The other way waits, on this thread, for a peer that is gone.
            .congestion_control(CongestionControl::Drop)
            .priority(priority(class));
        put.wait().map_err(|_| SendError::Unreachable)
    }
}

#[async_trait]
impl Transport for Zenoh {
    async fn join(&self, me: NodeInfo, events: mpsc::Sender<Event>) -> Result<(), JoinError> {
        let _turn = self.turn.lock().await;
        if self.lock().is_some() {
            return Err(JoinError::Joined);
        }
        let config = self.config.to_zenoh().map_err(JoinError::Engine)?;
        let session = zenoh::open(config).await.map_err(failed)?;
        let keys = Keys {
            cluster: self.config.cluster.clone(),
            me: me.life.node.clone(),
        };
        if ask_who(&session, keys.who(keys.me.as_str())).await? {
            // Nothing was declared: it does not matter how it ends.
            let _ = session.close().await;
            return Err(JoinError::Taken);
        }
        let joined = Joined::declare(session, keys, &me, events).await?;
        // Whoever answers has heard before of what this node wants to be sent.
        ask_who(&joined.session, joined.keys.who(ANY)).await?;
        *self.lock() = Some(joined);
        Ok(())
    }

    fn send(&self, to: &NodeId, class: Class, frame: Bytes) -> Result<(), SendError> {
        self.put(|keys| keys.to(to, keys.me.as_str()), class, frame)
    }

    async fn request(
        &self,
        to: &NodeId,
        frame: Bytes,
        within: Duration,
    ) -> Result<Bytes, RequestError> {
        let (session, keys) = self.session().ok_or(RequestError::Unreachable)?;
        let get = session
            .get(keys.ask(to, keys.me.as_str()))
            .payload(ZBytes::from(frame))
            .target(QueryTarget::All)
            .consolidation(ConsolidationMode::None)
            .congestion_control(CongestionControl::Drop)
            .timeout(within);
        let replies = get.await.map_err(|_| RequestError::Unreachable)?;
        // It ends with an error when the time is over, and without a reply when there is nobody or nobody answers.
        match replies.recv_async().await.map(|reply| reply.into_result()) {
            Ok(Ok(sample)) => Ok(whole(sample.payload())),
            Ok(Err(_)) => Err(RequestError::Late),
            Err(_) => Err(RequestError::Unreachable),
        }
    }

    fn publish(&self, scope: Scope, frame: Bytes) -> Result<(), SendError> {
        let key = |keys: &Keys| match &scope {
            Scope::Site(site) => keys.site(site.as_str(), keys.me.as_str()),
            Scope::All => keys.all(keys.me.as_str()),
        };
        self.put(key, Class::Control, frame)
    }

    async fn leave(&self) {
        let _turn = self.turn.lock().await;
        let joined = self.lock().take();
        if let Some(joined) = joined {
            let session = joined.session.clone();
            // First what the others know of it: they hear that it goes.
            drop(joined);
            if let Err(error) = session.close().await {
                tracing::debug!(%error, "the engine did not end well");
            }
        }
    }
}

impl Joined {
    /// Declares what the node wants to be sent, and that it is there.
    async fn declare(
        session: Session,
        keys: Keys,
        me: &NodeInfo,
        events: mpsc::Sender<Event>,
    ) -> Result<Joined, JoinError> {
        let heard = Arc::new(Heard {
            me: keys.me.clone(),
            events: Mutex::new(events),
            runtime: Handle::current(),
        });
        let frames = async |key: String| {
            let heard = heard.clone();
            let frames = session.declare_subscriber(key);
            let frames = frames.callback(move |sample| heard.frame(&sample));
            let frames = frames.allowed_origin(Locality::Remote).await;
            frames.map_err(failed)
        };
        let to_me = frames(keys.to(&keys.me, ANY)).await?;
        let to_all = frames(keys.all(ANY)).await?;
        let to_site = frames(keys.site(me.site.as_str(), ANY)).await?;
        let asked = {
            let heard = heard.clone();
            let asked = session.declare_queryable(keys.ask(&keys.me, ANY));
            let asked = asked.callback(move |query| heard.asked(query)).await;
            asked.map_err(failed)?
        };
        let who = {
            let heard = heard.clone();
            let key = keys.who(keys.me.as_str());
            let who = session.declare_queryable(key.clone());
            let who = who.callback(move |query| heard.is_here(query, key.clone()));
            let who = who.await;
            who.map_err(failed)?
        };
        let there = {
            let there = session.liveliness().declare_subscriber(keys.up(ANY));
            let there = there.history(true);
            let there = there.callback(move |sample| heard.hint(&sample)).await;
            there.map_err(failed)?
        };
        let token = session
            .liveliness()
            .declare_token(keys.up(keys.me.as_str()));
        let token = token.await.map_err(failed)?;
        Ok(Joined {
            _subscribers: [to_me, to_all, to_site, there],
            _queryables: [asked, who],
            _token: token,
            keys,
            session,
        })
    }
}

/// What the engine calls, on threads of its own, which must not be held up.
struct Heard {
    me: NodeId,
    events: Mutex<mpsc::Sender<Event>>,
    runtime: Handle,
}

impl Heard {
    fn frame(&self, sample: &Sample) {
        if let Some(from) = sender(sample.key_expr().as_str()) {
            self.tell(Event::Frame(from, whole(sample.payload())));
        }
    }

    fn asked(&self, query: Query) {
        let Some(from) = sender(query.key_expr().as_str()) else {
            return;
        };
        let frame = query.payload().map(whole).unwrap_or_default();
        let (answer, comes) = Answer::open();
        self.tell(Event::Request(from, frame, answer));
        self.runtime.spawn(async move {
            if let Ok(answer) = comes.await {
                reply(&query, query.key_expr().as_str(), answer).await;
            }
        });
    }

    /// `key` is this node's own: the question may be for all.
    fn is_here(&self, query: Query, key: String) {
        self.runtime
            .spawn(async move { reply(&query, &key, Bytes::new()).await });
    }

    fn hint(&self, sample: &Sample) {
        let node = sender(sample.key_expr().as_str());
        if let Some(node) = node.filter(|node| *node != self.me) {
            self.tell(match sample.kind() {
                SampleKind::Put => Event::Up(node),
                SampleKind::Delete => Event::Down(node),
            });
        }
    }

    fn tell(&self, event: Event) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        // Dropped when there is no room: what has to arrive is sent again.
        let _ = events.try_send(event);
    }
}

async fn reply(query: &Query, key: &str, with: Bytes) {
    // It is dropped when there is no room, as the question was.
    let reply = query.reply(key, ZBytes::from(with));
    if let Err(error) = reply.await {
        tracing::debug!(%error, "an answer does not go");
    }
}

/// Whether anybody answers to this key.
async fn ask_who(session: &Session, key: String) -> Result<bool, JoinError> {
    let asked = session
        .get(key)
        .target(QueryTarget::All)
        .consolidation(ConsolidationMode::None)
        .congestion_control(CongestionControl::Drop)
        .allowed_destination(Locality::Remote)
        .timeout(HELLO);
    let replies = asked.await.map_err(failed)?;
    let mut any = false;
    while let Ok(reply) = replies.recv_async().await {
        any |= reply.result().is_ok();
    }
    Ok(any)
}

/// Any one name.
const ANY: &str = "*";

impl Keys {
    fn to(&self, node: &NodeId, from: &str) -> String {
        format!("{}/to/{node}/{from}", self.cluster)
    }

    fn all(&self, from: &str) -> String {
        format!("{}/all/{from}", self.cluster)
    }

    fn site(&self, site: &str, from: &str) -> String {
        format!("{}/site/{site}/{from}", self.cluster)
    }

    fn ask(&self, node: &NodeId, from: &str) -> String {
        format!("{}/ask/{node}/{from}", self.cluster)
    }

    fn who(&self, node: &str) -> String {
        format!("{}/who/{node}", self.cluster)
    }

    fn up(&self, node: &str) -> String {
        format!("{}/up/{node}", self.cluster)
    }
}

/// Who has sent what has come under this key: its last part.
fn sender(key: &str) -> Option<NodeId> {
    key.rsplit('/').next()?.parse().ok()
}

fn priority(class: Class) -> Priority {
    match class {
        Class::Control => Priority::RealTime,
        Class::Live => Priority::Data,
        Class::CatchUp => Priority::Background,
    }
}

fn whole(payload: &ZBytes) -> Bytes {
    match payload.to_bytes() {
        std::borrow::Cow::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
        std::borrow::Cow::Owned(bytes) => bytes.into(),
    }
}

fn failed(error: impl fmt::Display) -> JoinError {
    JoinError::Engine(error.to_string())
}

impl fmt::Debug for Zenoh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = self.lock();
        write!(
            f,
            "Zenoh({:?})",
            joined.as_ref().map(|joined| &joined.keys.me)
        )
    }
}

#[cfg(test)]
mod tests;
