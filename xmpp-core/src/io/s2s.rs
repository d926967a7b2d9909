//! Other servers: connections both ways, on the machines of [`crate::s2s`].
//!
//! A server is built with a [`Gate`], where stanzas for other domains enter, and [`Federation::start`] opens it:
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use xmpp_core::io::{self, Security, dial::Dial, s2s::{Authorities, Config, Federation, Gate, PeerTls, Peers, Setup}};
//! # use xmpp_core::server::{Domain, Server};
//! # async fn start(domain: Domain, identity: io::Identity, dial: Arc<dyn Dial>) -> Result<(), Box<dyn std::error::Error>> {
//! let gate = Gate::default();
//! let server = Server::builder()
//!     .domain(domain)
//!     .remote(gate.mailbox())
//!     .build(io::surroundings())?;
//! let tls = PeerTls::new(vec![("example.org".into(), identity)], Authorities::native()?)?;
//! let federation = Federation::start(
//!     server.clone(),
//!     Setup {
//!         gate,
//!         dial,
//!         tls: Some(tls),
//!         peers: Arc::new(Peers::default()),
//!         config: Config::default(),
//!     },
//! );
//! federation.restore().await?;
//! federation.listen("[::]:5269".parse()?, Security::StartTls).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Each connection has a task, and one task more drives the [`Links`](crate::s2s::links::Links), which know what waits for
//! whom. All of them are the server's: [`Server::close`] ends them, after their streams; [`Federation::close`] does so before, while
//! there are clients who can be told what was not delivered.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::control::Call;
use super::dial::Dial;
use super::limits::{AcceptLimits, Admission};
use super::tls::Shown;
use super::wire::{BoxIo, Wire};
use crate::mailbox::QueueLimits;
use crate::s2s::links::{self, LinkId};
use crate::s2s::{self, Pair, Policy, dialback};
use crate::sasl::Channel;
use crate::server::{Server, Timeouts};
use crate::{BareJid, xml};

mod accept;
mod connection;
mod gate;
mod handle;
mod manager;
mod open;
mod outbox;
mod peers;
#[cfg(test)]
mod tests;

pub use super::tls::{Authorities, PeerTls};
pub use gate::Gate;
pub use handle::{Direction, LinkView, State};
pub use peers::{Peers, Rules};

use gate::Post;
use handle::Handle;

/// What a [`Federation`] is made of.
pub struct Setup {
    /// Where the server sends stanzas for other domains.
    pub gate: Gate,
    /// How other servers are reached.
    pub dial: Arc<dyn Dial>,
    /// Our certificates, and who vouches for those of others. Without it there is no TLS, and nobody to speak with but
    /// peers of whom none is [required](s2s::Policy::tls).
    pub tls: Option<PeerTls>,
    /// What other servers are held to.
    pub peers: Arc<Peers>,
    /// Times and bounds.
    pub config: Config,
}

/// How connections between servers are treated.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// What our dialback keys are made of (XEP-0185); default random at each start. Servers that speak for one domain need
    /// the same.
    pub secret: Option<dialback::Secret>,
    /// How many connections are accepted; default 4000, 1000 that have proven nothing, 50 of these from one network. When there are as many,
    /// a newcomer takes the place of the oldest one of the network that has the most (which hears `<resource-constraint/>`), unless its own has
    /// about as many: whoever has many names proves them all, and does not have all places for that.
    pub accept: AcceptLimits,
    /// Times: [`header`](Timeouts::header), [`login`](Timeouts::login) (until a pair is proven; default 30 s),
    /// [`keepalive`](Timeouts::keepalive), [`idle`](Timeouts::idle) (without any stanza; default 30 min),
    /// [`close`](Timeouts::close) and [`settle`](Timeouts::settle).
    pub timeouts: Timeouts,
    /// How long a peer may take nothing off its connection before that is given up; default 1 min.
    pub stall: Duration,
    /// What one stream may hold.
    pub stream: s2s::Limits,
    /// What may wait for other servers.
    pub links: links::Limits,
    /// What of that may be in the [store](crate::store::Outbox), with what was sent and is not acknowledged; default 100 000 stanzas and 128 MiB, as for all
    /// that waits. What is not delivered in time and does not fit comes back with `<resource-constraint/>`.
    pub outbox: QueueLimits,
    /// What XML a peer may send that has proven nothing.
    pub xml_before_proof: xml::Limits,
    /// What XML a peer may send; default twice of what a client may.
    pub xml: xml::Limits,
}

impl Default for Config {
    fn default() -> Config {
        let mut xml = xml::Limits::default();
        xml.stanza_bytes *= 2;
        Config {
            secret: None,
            accept: AcceptLimits {
                connections: 4000,
                before_login: 1000,
                before_login_per_address: 50,
            },
            timeouts: Timeouts {
                login: Duration::from_secs(30),
                idle: Some(Duration::from_secs(30 * 60)),
                ..Timeouts::default()
            },
            stall: Duration::from_secs(60),
            stream: s2s::Limits::default(),
            links: links::Limits::default(),
            outbox: links::Limits::default().total,
            xml_before_proof: xml::Limits::before_login(),
            xml,
        }
    }
}

/// The connections between a server and others. Clone is cheap and names the same ones.
#[derive(Clone)]
pub struct Federation {
    shared: Arc<Shared>,
}

/// What all connections share.
struct Shared {
    server: Server,
    config: Config,
    settings: Arc<s2s::Settings>,
    dial: Arc<dyn Dial>,
    tls: Option<PeerTls>,
    peers: Arc<Peers>,
    post: Arc<Post>,
    admission: Arc<Admission>,
    handles: Mutex<BTreeMap<LinkId, Arc<Handle>>>,
    next: AtomicU64,
    stopping: AtomicBool,
    /// What is in the store stays there.
    suspending: AtomicBool,
    restored: AtomicBool,
    /// A connection has gone.
    gone: Notify,
    end: watch::Sender<End>,
}

/// How far [`Federation::close`] has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    No,
    Asked,
    Over,
}

impl Federation {
    /// Opens the gate of a server to others. Must be called on the runtime that the server's tasks run on.
    pub fn start(server: Server, setup: Setup) -> Federation {
        let Setup {
            gate,
            dial,
            tls,
            peers,
            config,
        } = setup;
        let secret = config.secret.clone();
        let secret = secret.unwrap_or_else(|| dialback::Secret::new(&server.random::<32>()));
        let settings = Arc::new(s2s::Settings {
            secret,
            starttls: tls.is_some(),
            timeouts: config.timeouts,
            limits: config.stream,
            features: server.hooks().peer_features(),
            random: server.random_source(),
        });
        let shared = Arc::new(Shared {
            settings,
            dial,
            tls,
            peers,
            post: gate.post().clone(),
            admission: Arc::new(Admission::fair(config.accept)),
            handles: Mutex::default(),
            next: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            suspending: AtomicBool::new(false),
            restored: AtomicBool::new(false),
            gone: Notify::new(),
            end: watch::Sender::new(End::No),
            config,
            server: server.clone(),
        });
        server.spawn(manager::run(shared.clone()));
        Federation { shared }
    }

    /// Ends the streams with all other servers and accepts no more. What waits for them goes back to its senders, as does what comes
    /// later: a server that is to stop calls this while its clients are still there to hear of it. Returns when all connections are gone,
    /// after [`Config::timeouts`]' `close` and a little more at most.
    pub async fn close(&self) {
        let end = &self.shared.end;
        end.send_if_modified(|end| {
            let first = *end == End::No;
            if first {
                *end = End::Asked;
            }
            first
        });
        self.shared.reaches(End::Over).await;
    }

    /// The same for a server that is to come back: what somebody waits for who has a stream that can be resumed stays in the
    /// [store](crate::store::Outbox), for the next run to [send](Federation::restore). The rest goes back.
    pub async fn suspend(&self) {
        self.shared.suspending.store(true, Ordering::Release);
        self.close().await;
    }

    /// All connections at present, for an operator to look at.
    pub fn links(&self) -> Vec<LinkView> {
        let handles: Vec<_> = self.shared.lock().values().cloned().collect();
        handles.iter().map(|handle| handle.view()).collect()
    }

    /// What other servers are held to; to be [replaced](Peers::replace).
    pub fn peers(&self) -> &Peers {
        &self.shared.peers
    }

    /// Our side of TLS with other servers; to be [replaced](PeerTls::replace).
    pub fn tls(&self) -> Option<&PeerTls> {
        self.shared.tls.as_ref()
    }
}

impl Shared {
    /// The handshake: our side of it by whether we have opened the connection; `direct` if it comes before everything else.
    async fn handshake(
        &self,
        io: BoxIo,
        opened: Option<&Pair>,
        direct: bool,
    ) -> io::Result<(Wire, Shown)> {
        let Some(tls) = &self.tls else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let secured = match opened {
            Some(pair) => tls.connect(io, pair.from(), pair.to(), direct).await,
            None => tls.accept(io).await,
        };
        let metrics = &self.server.metrics().s2s;
        match secured {
            Ok((stream, shown)) => {
                metrics.handshakes.increment();
                Ok((Wire::Tls(Box::new(stream)), shown))
            }
            Err(error) => {
                metrics.failed_handshakes.increment();
                Err(error)
            }
        }
    }

    /// What a domain on the other side is held to; `None`: there are no streams with it.
    fn policy(&self, domain: &BareJid) -> Option<Policy> {
        // Nobody else speaks for what is ours.
        match self.server.hosts(domain.as_str()) {
            true => None,
            false => self.peers.policy(domain),
        }
    }

    async fn reaches(&self, wanted: End) {
        // The sender is our own.
        let _ = self.end.subscribe().wait_for(|end| *end >= wanted).await;
    }

    /// Until no more connections are wanted.
    async fn closing(&self) {
        tokio::select! {
            () = self.server.closing() => {}
            () = self.reaches(End::Asked) => {}
        }
    }

    /// Ends every connection at once.
    fn stop(&self) {
        for handle in self.lock().values() {
            handle.control.call(Call::Stop);
        }
    }

    fn handle(&self, id: LinkId) -> Option<Arc<Handle>> {
        self.lock().get(&id).cloned()
    }

    fn enter(self: &Arc<Shared>, handle: Arc<Handle>) -> Seat {
        let id = handle.id;
        self.lock().insert(id, handle);
        self.server.metrics().s2s.connections.came();
        let shared = self.clone();
        Seat { shared, id }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<LinkId, Arc<Handle>>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the register; given back when dropped, with the task that held it too.
struct Seat {
    shared: Arc<Shared>,
    id: LinkId,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shared.lock().remove(&self.id);
        self.shared.gone.notify_one();
        self.shared.server.metrics().s2s.connections.went();
    }
}

fn channel(wire: &Wire) -> Channel {
    Channel {
        tls: wire.is_encrypted(),
        ..Channel::default()
    }
}
