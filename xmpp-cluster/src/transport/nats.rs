//! Nodes that connect to servers of NATS, one cluster of servers for each site.
//!
//! A node sends under subjects that begin with its own name, so the servers can see to it that nobody sends in the name of another:
//!
//! | subject | what |
//! |---|---|
//! | `CLUSTER.from.NODE.to.NODE.CLASS` | a frame for one node |
//! | `CLUSTER.from.NODE.all`, `CLUSTER.from.NODE.site.SITE` | for all, or for those of a site |
//! | `CLUSTER.from.NODE.ask.NODE`, `CLUSTER.from.NODE.who.NODE` | a question, and whether that name is somebody's |
//! | `CLUSTER.from.NODE.hint` | it comes, or it goes |
//! | `CLUSTER.inbox.NODE.…` | answers |
//!
//! `examples/cluster/nats.conf` has the permissions that go with it: without them any user of the servers is every node.
//!
//! What is sent while there is no connection, or when too much waits for it, is refused; what the servers lose they do not tell, so
//! what has to arrive is on a [link](crate::link). Heartbeats and acknowledgements have a connection of their own.

mod settings;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, HeaderMap, Message, Request, RequestErrorKind, Subject, Subscriber};
use async_trait::async_trait;
use bytes::Bytes;
use futures::channel::mpsc;
use futures::{FutureExt as _, StreamExt as _};
use tokio::task::{JoinHandle, unconstrained};

use super::{Answer, Class, Event, JoinError, RequestError, Scope, SendError, Transport};
use crate::frame::FRAME;
use crate::node::{NodeId, NodeInfo};

pub use settings::{Config, Login, Tls};

/// How long whoever has this node's name already has to say so.
const WHO: Duration = Duration::from_millis(1000);
/// How long the servers have to take the last words.
const FLUSH: Duration = Duration::from_millis(500);

/// The engine, for one node.
pub struct Nats {
    config: Config,
    joined: Mutex<Option<Joined>>,
    /// Held while it joins or leaves.
    turn: futures::lock::Mutex<()>,
}

/// What is there while the node is in the cluster.
struct Joined {
    subjects: Subjects,
    clients: Clients,
    readers: Vec<JoinHandle<()>>,
}

/// Its connections.
#[derive(Clone)]
struct Clients {
    /// For what goes first.
    control: Client,
    /// For all else: one, so that the order is kept.
    bulk: Client,
}

/// Every name is a label, so it is one token.
#[derive(Clone)]
struct Subjects {
    cluster: NodeId,
    me: NodeId,
}

impl Nats {
    /// The engine of a node that has not joined.
    pub fn new(config: Config) -> Nats {
        Nats {
            config,
            joined: Mutex::default(),
            turn: futures::lock::Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Joined>> {
        self.joined.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn joined(&self) -> Option<(Clients, Subjects)> {
        let joined = self.lock();
        let joined = joined.as_ref()?;
        Some((joined.clients.clone(), joined.subjects.clone()))
    }

    fn put(
        &self,
        subject: impl Fn(&Subjects) -> String,
        class: Class,
        frame: Bytes,
    ) -> Result<(), SendError> {
        if frame.len() > FRAME {
            return Err(SendError::Full);
        }
        let (clients, subjects) = self.joined().ok_or(SendError::Unreachable)?;
        let client = clients.of(class);
        // It would wait until there is one, and for as long as that takes.
        if client.connection_state() != State::Connected {
            return Err(SendError::Unreachable);
        }
        // Not what this task has done already is to decide, but whether there is room.
        let publish = unconstrained(client.publish(subject(&subjects), frame));
        match publish.now_or_never() {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) => Err(SendError::Unreachable),
            None => Err(SendError::Full),
        }
    }
}

#[async_trait]
impl Transport for Nats {
    async fn join(&self, me: NodeInfo, events: mpsc::Sender<Event>) -> Result<(), JoinError> {
        let _turn = self.turn.lock().await;
        if self.lock().is_some() {
            return Err(JoinError::Joined);
        }
        let node = &me.life.node;
        let subjects = Subjects {
            cluster: self.config.cluster.clone(),
            me: node.clone(),
        };
        let connect = |what| async move {
            let connected = self.config.connect(node, what).await;
            connected.map_err(JoinError::Engine)
        };
        let clients = Clients {
            control: connect("control").await?,
            bulk: connect("stanzas").await?,
        };
        let request = Request::new().timeout(Some(WHO));
        let who = clients.control.send_request(subjects.who(node), request);
        if who.await.is_ok() {
            return Err(JoinError::Taken);
        }
        let mut joined = Joined {
            subjects: subjects.clone(),
            clients: clients.clone(),
            readers: Vec::new(),
        };
        read(&mut joined, &me, events).await?;
        // A hint: others hear of it by its heartbeats all the same.
        let _ = clients.control.publish(subjects.hint(), COMES).await;
        // What was asked for is known to the servers before anybody sends.
        for client in [&clients.control, &clients.bulk] {
            client.flush().await.map_err(failed)?;
        }
        *self.lock() = Some(joined);
        Ok(())
    }

    fn send(&self, to: &NodeId, class: Class, frame: Bytes) -> Result<(), SendError> {
        self.put(|subjects| subjects.to(to, class), class, frame)
    }

    async fn request(
        &self,
        to: &NodeId,
        frame: Bytes,
        within: Duration,
    ) -> Result<Bytes, RequestError> {
        let (clients, subjects) = self.joined().ok_or(RequestError::Unreachable)?;
        if clients.bulk.connection_state() != State::Connected {
            return Err(RequestError::Unreachable);
        }
        let request = Request::new().payload(frame).timeout(None);
        let asked = clients.bulk.send_request(subjects.ask(to), request);
        // The time that the client counts begins when there was room for the question.
        match tokio::time::timeout(within, asked).await {
            Ok(Ok(answer)) if answer.headers.is_none() => Ok(answer.payload),
            Ok(Err(error)) if error.kind() == RequestErrorKind::TimedOut => Err(RequestError::Late),
            Ok(_) => Err(RequestError::Unreachable),
            Err(_) => Err(RequestError::Late),
        }
    }

    fn publish(&self, scope: Scope, frame: Bytes) -> Result<(), SendError> {
        let subject = |subjects: &Subjects| match &scope {
            Scope::Site(site) => subjects.site(site.as_str()),
            Scope::All => subjects.all(),
        };
        self.put(subject, Class::Control, frame)
    }

    async fn leave(&self) {
        let _turn = self.turn.lock().await;
        let joined = self.lock().take();
        let Some(joined) = joined else { return };
        let Clients { control, bulk } = &joined.clients;
        let last = async {
            let _ = control.publish(joined.subjects.hint(), GOES).await;
            for client in [control, bulk] {
                let _ = client.flush().await;
            }
        };
        let _ = tokio::time::timeout(FLUSH, last).await;
        for client in [control, bulk] {
            let _ = client.drain().now_or_never();
        }
    }
}

/// What a hint says.
const COMES: Bytes = Bytes::from_static(b"+");
const GOES: Bytes = Bytes::from_static(b"-");
/// The header of what says that there is no answer; an answer has none, so that it may be as long as any frame.
const NONE: &str = "None";

/// Subscribes to all that this node is to hear, and has it heard.
async fn read(
    joined: &mut Joined,
    me: &NodeInfo,
    events: mpsc::Sender<Event>,
) -> Result<(), JoinError> {
    let Joined {
        subjects,
        clients,
        readers,
    } = joined;
    let heard = Arc::new(Heard {
        cluster: subjects.cluster.clone(),
        events: Mutex::new(events),
    });
    let me_node = &me.life.node;
    let site = me.site.as_str();
    let from = |what: String| format!("{}.from.*.{what}", subjects.cluster);
    let frames: fn(&Heard, &Client, NodeId, Message) = |heard, _, from, message| {
        heard.tell(Event::Frame(from, message.payload));
    };
    let hints: fn(&Heard, &Client, NodeId, Message) = |heard, _, from, message| {
        heard.tell(match message.payload == GOES {
            true => Event::Down(from),
            false => Event::Up(from),
        });
    };
    let control = [
        (
            from(format!("to.{me_node}.{}", class(Class::Control))),
            frames,
        ),
        (from("all".into()), frames),
        (from(format!("site.{site}")), frames),
        (from("hint".into()), hints),
        (from(format!("who.{me_node}")), Heard::is_here),
    ];
    let bulk = [
        (from(format!("to.{me_node}.{}", class(Class::Live))), frames),
        (
            from(format!("to.{me_node}.{}", class(Class::CatchUp))),
            frames,
        ),
        (from(format!("ask.{me_node}")), Heard::asked),
    ];
    let all = control.map(|one| (&clients.control, one)).into_iter();
    for (client, (subject, hear)) in all.chain(bulk.map(|one| (&clients.bulk, one))) {
        let subscriber = client.subscribe(subject).await.map_err(failed)?;
        let reader = reader(subscriber, client.clone(), heard.clone(), hear);
        readers.push(spawn(reader));
    }
    Ok(())
}

async fn reader(
    mut subscriber: Subscriber,
    client: Client,
    heard: Arc<Heard>,
    hear: fn(&Heard, &Client, NodeId, Message),
) {
    while let Some(message) = subscriber.next().await {
        if let Some(from) = sender(&message.subject) {
            hear(&heard, &client, from, message);
        }
    }
}

struct Heard {
    cluster: NodeId,
    events: Mutex<mpsc::Sender<Event>>,
}

impl Heard {
    fn asked(&self, client: &Client, from: NodeId, message: Message) {
        let Some(to) = self.back(&from, message.reply) else {
            return;
        };
        let (answer, comes) = Answer::open();
        self.tell(Event::Request(from, message.payload, answer));
        let client = client.clone();
        spawn(async move {
            // Whoever has asked hears nothing of one that does not go, and asks again.
            let _ = match comes.await {
                Ok(answer) => client.publish(to, answer).await,
                Err(_) => {
                    let mut none = HeaderMap::new();
                    none.insert(NONE, "1");
                    client.publish_with_headers(to, none, Bytes::new()).await
                }
            };
        });
    }

    fn is_here(&self, client: &Client, from: NodeId, message: Message) {
        if let Some(to) = self.back(&from, message.reply) {
            let _ = client.publish(to, COMES).now_or_never();
        }
    }

    /// Where the answer to this node goes: to itself. Anywhere else this node would say, in its own name, what another has
    /// made it say.
    fn back(&self, from: &NodeId, reply: Option<Subject>) -> Option<Subject> {
        let inbox = format!("{}.inbox.{from}.", self.cluster);
        reply.filter(|reply| reply.starts_with(&inbox))
    }

    fn tell(&self, event: Event) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        // Dropped when there is no room: what has to arrive is sent again.
        let _ = events.try_send(event);
    }
}

#[allow(clippy::disallowed_methods)] // an engine has tasks of its own
fn spawn(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(task)
}

impl Clients {
    fn of(&self, class: Class) -> &Client {
        match class {
            Class::Control => &self.control,
            Class::Live | Class::CatchUp => &self.bulk,
        }
    }
}

impl Subjects {
    fn to(&self, node: &NodeId, of: Class) -> String {
        format!("{}.from.{}.to.{node}.{}", self.cluster, self.me, class(of))
    }

    fn all(&self) -> String {
        format!("{}.from.{}.all", self.cluster, self.me)
    }

    fn site(&self, site: &str) -> String {
        format!("{}.from.{}.site.{site}", self.cluster, self.me)
    }

    fn ask(&self, node: &NodeId) -> String {
        format!("{}.from.{}.ask.{node}", self.cluster, self.me)
    }

    fn who(&self, node: &NodeId) -> String {
        format!("{}.from.{}.who.{node}", self.cluster, self.me)
    }

    fn hint(&self) -> String {
        format!("{}.from.{}.hint", self.cluster, self.me)
    }
}

fn class(class: Class) -> &'static str {
    match class {
        Class::Control => "control",
        Class::Live => "live",
        Class::CatchUp => "late",
    }
}

/// Who has sent what has come under this subject, as the servers have proven it.
fn sender(subject: &str) -> Option<NodeId> {
    subject.split('.').nth(2)?.parse().ok()
}

fn failed(error: impl fmt::Display) -> JoinError {
    JoinError::Engine(error.to_string())
}

/// Nothing is heard any more from here on, also if the engine is dropped.
impl Drop for Joined {
    fn drop(&mut self) {
        for reader in &self.readers {
            reader.abort();
        }
    }
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = self.lock();
        let me = joined.as_ref().map(|joined| &joined.subjects.me);
        write!(f, "Nats({me:?})")
    }
}

#[cfg(test)]
mod tests;
