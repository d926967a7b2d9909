//! Where connections come from.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tracing::Instrument as _;

use super::connection::Connection;
use super::control::{Call, Control};
use super::elsewhere::{Elsewhere, WAITING};
use super::handover::Resumable;
use super::limits::{AcceptLimits, Admission, Ticket};
use super::throttle::{Throttle, ThrottleLimits};
use super::tls::Tls;
use super::wire::{BoxIo, Io, Wire};
use crate::sasl::Channel;
use crate::server::Server;
use crate::stream::{BoxStream, Settings, StartTls, Stream};

/// Accepts connections. [`TcpListener`] is one; a Unix socket or a test's own
/// supply of [`tokio::io::duplex`] ends can be others.
pub trait Listener: Send + 'static {
    /// What a connection is.
    type Io: Io;

    /// The next connection and its peer's address, if it has one. An error is
    /// logged, and asked again after a moment.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Io, Option<IpAddr>)>> + Send;
}

impl Listener for TcpListener {
    type Io = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, Option<IpAddr>)> {
        let (stream, peer) = TcpListener::accept(self).await?;
        // One that went away meanwhile is noticed when it is read.
        let _ = tune(&stream);
        Ok((stream, Some(peer.ip())))
    }
}

/// What TLS there is on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// STARTTLS (RFC 6120 §5), without which nobody logs in; needs a certificate.
    StartTls,
    /// STARTTLS, and a client may log in without, though not by PLAIN; needs a certificate.
    OptionalTls,
    /// TLS from the first byte (XEP-0368); needs a certificate.
    Direct,
    /// None at all: a client logs in without, though not by PLAIN, unless the domain says
    /// otherwise ([`Domain::plaintext`](crate::server::Domain::plaintext)). For loopback, and
    /// for what does not leave the process.
    Plain,
}

/// Drives the connections of a server. Clone is cheap and names the same driver.
#[derive(Clone)]
pub struct Driver {
    pub(super) shared: Arc<Shared>,
}

/// Those that there are, by number: what is done to all is done in an order.
pub(super) type Connections = BTreeMap<u64, Arc<Control>>;

/// What all connections share.
pub(super) struct Shared {
    pub(super) server: Server,
    pub(super) settings: Arc<Settings>,
    pub(super) throttle: Arc<Throttle>,
    pub(super) password_checks: Semaphore,
    tls: Option<Tls>,
    admission: Arc<Admission>,
    pub(super) resumable: Resumable,
    /// Who knows of the streams of other nodes.
    pub(super) elsewhere: OnceLock<Arc<dyn Elsewhere>>,
    /// How long a client waits for them.
    pub(super) patience: Duration,
    connections: Mutex<Connections>,
    next: AtomicU64,
    stopping: AtomicBool,
    /// Whether what clients have sent is being settled, and nothing more is read.
    settling: AtomicBool,
    /// Connections of which it is.
    settled: AtomicUsize,
    stop: Notify,
    /// A connection has gone, or is settled.
    changed: Notify,
}

/// How the driver treats connections.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct DriverConfig {
    /// How many connections are taken.
    pub accept: AcceptLimits,
    /// How failed logins are slowed.
    pub throttle: ThrottleLimits,
    /// How long a client that resumes waits for other nodes to be asked for its stream
    /// ([`Driver::set_elsewhere`]); default [`WAITING`].
    pub elsewhere: Duration,
}

impl Default for DriverConfig {
    fn default() -> DriverConfig {
        DriverConfig {
            accept: AcceptLimits::default(),
            throttle: ThrottleLimits::default(),
            elsewhere: WAITING,
        }
    }
}

impl Driver {
    /// A driver for a server. Without `tls`, [`Security::Plain`] is all it can do.
    pub fn new(server: Server, tls: Option<Tls>, config: DriverConfig) -> Driver {
        let hooks = server.hooks();
        let settings = Settings {
            domains: server.config().domains.clone(),
            timeouts: server.config().timeouts,
            login_attempts: server.config().login_attempts,
            features: hooks.stream_features(),
            strangers: hooks.stranger_namespaces(),
            random: server.random_source(),
        };
        // As many at a time as there are processors: more would only wait for each other.
        let checks = std::thread::available_parallelism().map_or(1, usize::from);
        Driver {
            shared: Arc::new(Shared {
                settings: Arc::new(settings),
                server,
                throttle: Arc::new(Throttle::new(config.throttle)),
                password_checks: Semaphore::new(checks),
                tls,
                admission: Arc::new(Admission::new(config.accept)),
                resumable: Resumable::default(),
                elsewhere: OnceLock::new(),
                patience: config.elsewhere,
                connections: Mutex::default(),
                next: AtomicU64::new(0),
                stopping: AtomicBool::new(false),
                settling: AtomicBool::new(false),
                settled: AtomicUsize::new(0),
                stop: Notify::new(),
                changed: Notify::new(),
            }),
        }
    }

    /// Listens on a TCP address until the driver is shut down; returns the address,
    /// which tells the port if 0 was asked for.
    pub async fn listen(&self, address: SocketAddr, security: Security) -> io::Result<SocketAddr> {
        self.check(security)?;
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        self.serve(listener, security)?;
        Ok(address)
    }

    /// Accepts from any listener until the driver is shut down.
    #[allow(clippy::disallowed_methods)] // io owns tasks
    pub fn serve<L: Listener>(&self, mut listener: L, security: Security) -> io::Result<()> {
        self.check(security)?;
        let driver = self.clone();
        tokio::spawn(async move {
            loop {
                let stop = driver.shared.stop.notified();
                if driver.shared.is_stopping() {
                    return;
                }
                tokio::select! {
                    accepted = listener.accept() => match accepted {
                        Ok((io, peer)) => driver.connect(io, peer, security),
                        Err(error) => {
                            // Out of file descriptors, for example: it passes, or the operator reads this.
                            tracing::warn!(%error, "accept");
                            tokio::time::sleep(Duration::from_millis(100)).await;
                        }
                    },
                    () = stop => return,
                }
            }
        });
        Ok(())
    }

    /// Takes up one connection, unless the limits refuse it.
    #[allow(clippy::disallowed_methods)] // io owns tasks
    pub fn connect(&self, io: impl Io, peer: Option<IpAddr>, security: Security) {
        let metrics = self.shared.server.metrics();
        let control = Arc::new(Control::default());
        let (admission, now) = (&self.shared.admission, self.shared.server.now().instant);
        let Some(ticket) = Admission::admit(admission, peer, &control, now) else {
            metrics.refused_connections.increment();
            tracing::debug!(?peer, "connection refused: too many");
            return;
        };
        match security {
            Security::StartTls | Security::OptionalTls => metrics.starttls_connections.increment(),
            Security::Direct => metrics.direct_tls_connections.increment(),
            Security::Plain => metrics.plaintext_connections.increment(),
        }
        let place = self.shared.enter(control.clone());
        let id = place.id;
        let span = tracing::debug_span!("connection", id, peer = peer.map(tracing::field::display));
        let guest = Guest {
            peer,
            security,
            control,
            ticket,
            place,
        };
        let shared = self.shared.clone();
        let io: BoxIo = Box::new(io);
        match security {
            Security::Direct => {
                // In a task of its own, so that the handshake's memory goes with it.
                tokio::spawn(async move {
                    let limit = shared.settings.timeouts.header;
                    let secured = tokio::select! {
                        secured = tokio::time::timeout(limit, shared.handshake(io)) => secured,
                        () = guest.control.called() => {
                            if guest.control.answer() == Some(Call::MakeRoom) {
                                shared.server.metrics().evicted_connections.increment();
                            }
                            return;
                        }
                    };
                    match secured {
                        Ok(Ok((wire, channel))) => {
                            let drive = shared.drive(guest, wire, channel);
                            tokio::spawn(drive.instrument(span));
                        }
                        Ok(Err(error)) => {
                            span.in_scope(|| tracing::debug!(%error, "TLS handshake failed"));
                        }
                        Err(_) => {}
                    }
                });
            }
            _ => {
                let drive = shared.drive(guest, Wire::Plain(io), Channel::default());
                tokio::spawn(drive.instrument(span));
            }
        }
    }

    /// Stops accepting, closes every stream with `<system-shutdown/>`, and waits until
    /// all connections are gone or `limit` is over; `true` if all are gone.
    ///
    /// Nobody can go on with a session of this server then: [`suspend`](Driver::suspend) is for a
    /// server that comes back.
    pub async fn shutdown(&self, limit: Duration) -> bool {
        self.shared.stop_accepting();
        self.shared.call(Call::Stop);
        self.shared.gone(limit).await
    }

    /// Accepts no more connections; those that are there stay. No session comes from another node any more.
    pub fn stop_accepting(&self) {
        self.shared.stop_accepting();
    }

    /// Connections at present.
    pub fn connections(&self) -> usize {
        self.shared.lock().len()
    }

    /// The server that is driven.
    pub fn server(&self) -> &Server {
        &self.shared.server
    }

    fn check(&self, security: Security) -> io::Result<()> {
        if security != Security::Plain && self.shared.tls.is_none() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a TLS listener needs a certificate",
            ));
        }
        Ok(())
    }
}

impl Shared {
    pub(super) async fn handshake(&self, io: BoxIo) -> io::Result<(Wire, Channel)> {
        let Some(tls) = &self.tls else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let metrics = self.server.metrics();
        match tls.accept(io).await {
            Ok((stream, channel)) => {
                metrics.handshakes.increment();
                Ok((Wire::Tls(Box::new(stream.into())), channel))
            }
            Err(error) => {
                metrics.failed_handshakes.increment();
                Err(error)
            }
        }
    }

    fn drive(
        self: Arc<Shared>,
        guest: Guest,
        wire: Wire,
        channel: Channel,
    ) -> impl Future<Output = ()> + Send + 'static {
        let Guest {
            peer,
            security,
            control,
            ticket,
            place,
        } = guest;
        let starttls = match security {
            Security::StartTls => StartTls::Required,
            Security::OptionalTls => StartTls::Optional,
            Security::Direct | Security::Plain => StartTls::Unavailable,
        };
        let inner = Stream::new(self.settings.clone(), channel, starttls, self.server.now());
        let stream = self.server.hooks().wrap(Box::new(inner) as BoxStream);
        let connection = Connection::new(self, control, peer, wire, stream, Some(ticket));
        async move {
            connection.await;
            drop(place);
        }
    }

    pub(super) fn stop_accepting(&self) {
        self.stopping.store(true, Ordering::Release);
        self.stop.notify_waiters();
    }

    /// Calls all connections.
    pub(super) fn call(&self, call: Call) {
        for control in self.lock().values() {
            control.call(call);
        }
    }

    /// Waits until all connections are gone or `limit` is over; `true` if all are gone.
    pub(super) async fn gone(&self, limit: Duration) -> bool {
        self.until(limit, |connections| connections.is_empty())
            .await
    }

    /// Waits until it is so with the connections, or `limit` is over; `true` if it is.
    pub(super) async fn until(
        &self,
        limit: Duration,
        is_so: impl Fn(&Connections) -> bool,
    ) -> bool {
        let so = async {
            loop {
                let changed = self.changed.notified();
                if is_so(&self.lock()) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(limit, so).await.is_ok()
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(super) fn set_settling(&self) {
        self.settling.store(true, Ordering::Release);
    }

    pub(super) fn is_settling(&self) -> bool {
        self.settling.load(Ordering::Acquire)
    }

    /// A connection has nothing under way any more.
    pub(super) fn settled(&self, control: &Control) {
        if control.settle() {
            self.settled.fetch_add(1, Ordering::AcqRel);
            self.changed.notify_waiters();
        }
    }

    /// Whether all connections have said so.
    pub(super) fn are_settled(&self, connections: &Connections) -> bool {
        // First the cheap look: each of them has this asked when it has settled.
        self.settled.load(Ordering::Acquire) >= connections.len()
            && connections.values().all(|control| control.is_settled())
    }

    pub(super) fn enter(self: &Arc<Shared>, control: Arc<Control>) -> Place {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(id, control.clone());
        self.server.metrics().connections.came();
        if self.is_stopping() {
            control.call(Call::Stop);
        }
        let shared = self.clone();
        Place { shared, id }
    }

    fn leave(&self, id: u64) {
        let mut connections = self.lock();
        if connections.remove(&id).is_none() {
            return;
        }
        self.server.metrics().connections.went();
        if connections.is_empty() || self.is_settling() {
            self.changed.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that has been let in.
struct Guest {
    peer: Option<IpAddr>,
    security: Security,
    control: Arc<Control>,
    ticket: Ticket,
    place: Place,
}

/// A place in the register; given back when dropped, with the task that held it too.
pub(super) struct Place {
    shared: Arc<Shared>,
    pub(super) id: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.leave(self.id);
    }
}

/// Nagle's algorithm would hold back what has been coalesced already; and a peer
/// that has vanished is noticed within minutes.
pub(super) fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(Duration::from_secs(300)))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(Duration::from_secs(120)))?;
    Ok(())
}
