//! `run`: builds the server from its settings, serves, and ends gracefully.

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::bail;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use xmpp_cluster::io::Ended;
use xmpp_core::im::{self, registration::Registration, service_contacts::ServiceContacts};
use xmpp_core::io::s2s::{Federation, Gate};
use xmpp_core::io::{Driver, Tls, surroundings};
use xmpp_core::sasl::Secret;
use xmpp_core::server::{self, Server};
use xmpp_core::store::{Stores, memory::Memory};
use xmpp_muc_federated as muc;
use xmpp_sm::StreamManagement;

use crate::admin::{Office, Socket};
use crate::certificate::Identities;
use crate::cluster::Node;
use crate::config::{Config, Contacts, Encryption};
use crate::federation::Embassy;
use crate::metrics::Expiry;
use crate::monitor::Monitor;
use crate::notify::{READY, STOPPING, notify};
use crate::rooms::{self, Rooms};
use crate::{certificate, federation, folder, listen, log, store};

/// Serves until it is told to end.
pub fn run(config: &Config, file: Option<&Path>, insecure: bool) -> anyhow::Result<()> {
    log::start(&config.log)?;
    if insecure {
        listen::ensure_loopback(config)?;
    }
    listen::ensure_some(config, insecure)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(config, file, insecure))
}

/// `check-config`: refuses what `run` would, as far as that can be known without opening
/// sockets and the store, and without writing anything.
pub fn check(config: &Config, insecure: bool) -> anyhow::Result<()> {
    log::filter(&config.log)?;
    if insecure {
        listen::ensure_loopback(config)?;
    }
    listen::ensure_some(config, insecure)?;
    folder::check(&config.data)?;
    store::check(config)?;
    let identities = certificate::load_or_make(config, SystemTime::now())?;
    certificate::tls(config, identities.clone())?;
    let secret = folder::read_secret(&config.data)?;
    let secret = secret.unwrap_or_else(|| [0; 32].into());
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let _tasks = runtime.enter();
    let stores = Stores::from_one(Arc::new(Memory::new()));
    let embassy = Embassy::new(config, identities)?;
    let gate = embassy.as_ref().map(Embassy::gate);
    let kept: Arc<dyn muc::store::Rooms> = Arc::new(muc::store::memory::Memory::new());
    let rooms = Rooms::new(config, &kept, [0; 32])?;
    build(config, stores, secret, insecure, gate, &rooms, None)?;
    for domain in &config.domains {
        let name = &domain.name.0;
        match &domain.certificate {
            Some(certificate) => println!("{name}: {}", certificate.display()),
            None => println!("{name}: a certificate of the server's own"),
        }
    }
    println!("the configuration is in order");
    Ok(())
}

async fn serve(config: &Config, file: Option<&Path>, insecure: bool) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    folder::prepare(&config.data)?;
    let _lock = folder::lock(&config.data)?;
    certificate::make_missing(config, SystemTime::now())?;
    certificate::renew(config, SystemTime::now());
    let identities = certificate::load(config)?;
    let tls = certificate::tls(config, identities.clone())?;
    let secret = folder::secret(&config.data)?;
    // Last of what can fail by itself: a newer schema is there to stay.
    let store = store::open_stores(config).await?;
    let embassy = Embassy::new(config, identities.clone())?;
    let gate = embassy.as_ref().map(Embassy::gate);
    let dialer = embassy.as_ref().map(Embassy::dialer);
    let rooms = Rooms::new(
        config,
        &store.rooms,
        folder::key_for("rooms", &config.data)?,
    )?;
    let stores = store.stores.clone();
    let node = Node::new(config)?;
    if node.is_some() && config.postgresql.url.is_none() {
        tracing::warn!(
            "without a PostgreSQL database that they share, each node has accounts, rosters and stored messages of its own"
        );
    }
    if node.is_some() && config.s2s.enabled && config.s2s.secret.is_none() {
        tracing::warn!(
            "without s2s.secret, the same on all nodes, other servers that call back (dialback) may reach a node that does not know the key"
        );
    }
    let server = build(
        config,
        stores,
        secret,
        insecure,
        gate,
        &rooms,
        node.as_ref(),
    )?;
    let federation = embassy.map(|embassy| embassy.open(config, &server));
    let driver = Driver::new(server.clone(), Some(tls.clone()), driver_config(config));
    let monitor = Monitor::new(server.clone(), store.clone(), rooms.clone(), node.clone());
    monitor.set_expiries(expiries(&identities));
    let office = Office::new(
        store.clone(),
        server.clone(),
        federation.clone(),
        rooms.clone(),
        node.clone(),
    );
    let socket = Socket::listen(&config.socket(), office);
    // Who comes back to an address is there for the others from the beginning.
    let mut outside = match &node {
        Some(node) => Some(node.join(&server, &driver).await?),
        None => None,
    };
    let restored = driver.restore().await?;
    if restored > 0 {
        tracing::info!(
            restored,
            "sessions of the run before wait for their clients"
        );
    }
    // Now that those who can be told that something comes back are there.
    if let Some(federation) = &federation {
        let waiting = federation.restore().await?;
        if waiting > 0 {
            tracing::info!(waiting, "stanzas of the run before wait for other servers");
        }
    }
    let listening = async {
        let mut bound = listen::listen(&driver, config, insecure).await?;
        if let Some(federation) = &federation {
            federation::listen(federation, config, &mut bound).await?;
        }
        for address in config.listen.monitoring.iter() {
            bound.push(("monitoring", monitor.listen(*address).await?));
        }
        anyhow::Ok(bound)
    };
    let bound = match listening.await {
        Ok(bound) => bound,
        // The sessions that were restored wait for the next try.
        Err(error) => {
            driver.suspend(config.shutdown.patience.0).await;
            server.close().await;
            store.close().await?;
            return Err(error);
        }
    };
    monitor.set_ready(true);
    greet(config, file, &bound, insecure);
    notify(READY);

    let reload = || reload(config, &tls, federation.as_ref(), &monitor);
    let reload_until_told = async {
        loop {
            match signals.next().await {
                Told::Reload => {
                    let _ = reload();
                    if let Some((federation, dialer)) = federation.as_ref().zip(dialer.as_ref()) {
                        federation::reload(config, file, federation, dialer);
                    }
                }
                Told::End(end) => return end,
            }
        }
    };
    let end = tokio::select! {
        end = reload_until_told => end,
        never = certificate::renew_daily(config, reload) => match never {},
        // Others have what was this node's, or nothing is heard of them any more.
        _ = ended(&mut outside) => End::Final,
    };
    let keep = end == End::Restart && config.shutdown.keep_sessions;
    tracing::info!(keep_sessions = keep, "shutting down");
    notify(STOPPING);
    monitor.set_ready(false);
    drop(socket);
    let patience = config.shutdown.patience.0;
    let close = async {
        // Whoever can go on at another node does.
        if let Some(node) = &node {
            match timeout(patience / 2, node.drain()).await {
                Ok(drained) => tracing::info!(drained.moved, drained.kept, "drained"),
                Err(_) => tracing::warn!("not drained in time"),
            }
        }
        // Who is in a room, here or elsewhere, is still there to hear that it goes.
        if timeout(patience / 2, rooms.close()).await.is_err() {
            tracing::warn!("not all rooms were shut down");
        }
        // Who has sent something to another server is still there to hear that it comes back.
        driver.settle(patience / 2).await;
        if let Some(federation) = &federation {
            let gone = async {
                match keep {
                    true => federation.suspend().await,
                    false => federation.close().await,
                }
            };
            if timeout(patience / 2, gone).await.is_err() {
                tracing::warn!("other servers did not take their leave");
            }
        }
        let gone = match keep {
            true => driver.suspend(patience).await,
            false => driver.shutdown(patience).await,
        };
        if !gone {
            tracing::warn!(
                left = driver.connections(),
                "clients did not take their leave"
            );
        }
        if timeout(patience, server.close()).await.is_err() {
            tracing::warn!("not everything came to its end");
        }
        if let Some(node) = &node {
            node.leave(patience / 2).await;
        }
    };
    tokio::select! {
        () = close => {}
        () = signals.end() => bail!("told to end at once"),
    }
    store.close().await?;
    tracing::info!("bye");
    Ok(())
}

/// Waits until this node is not of its cluster any more.
async fn ended(outside: &mut Option<JoinHandle<Ended>>) {
    let Some(driver) = outside else {
        return std::future::pending().await;
    };
    let ended = driver.await;
    *outside = None;
    tracing::error!(?ended, "this node is not of the cluster any more");
}

/// The server as the settings have it, without anybody to serve.
pub fn build(
    config: &Config,
    stores: Stores,
    secret: Secret,
    insecure: bool,
    gate: Option<&Gate>,
    rooms: &Rooms,
    node: Option<&Node>,
) -> anyhow::Result<Server> {
    let mut builder = Server::builder()
        .stores(stores)
        .configure(|server| {
            *server = config.server();
            server.software.name = env!("CARGO_PKG_NAME").to_owned();
            server.software.version = env!("CARGO_PKG_VERSION").to_owned();
        })
        .modules(im::all())
        .module(
            StreamManagement::new(config.stream_management.clone().into())
                .peers(config.s2s.stream_management.clone().into()),
        );
    if let Some(node) = node {
        builder = node.of(builder);
    }
    if let Some(gate) = gate {
        builder = builder.remote(match node {
            Some(node) => node.remote(gate),
            None => gate.mailbox(),
        });
    }
    for service in rooms.services() {
        builder = builder.module(service.clone());
    }
    if config.registration.enabled || config.registration.own_account {
        builder = builder.module(Registration::new(config.registration.options()));
    }
    for domain in &config.domains {
        let contacts = domain.contacts.from(&config.contacts);
        if contacts != Contacts::default() {
            let mut contacts = ServiceContacts::from(contacts);
            contacts.domain = Some(domain.name.0.clone());
            builder = builder.module(contacts);
        }
        let mut core = server::Domain::new(domain.name.0.clone(), secret.clone());
        let mechanisms = domain
            .mechanisms
            .as_ref()
            .unwrap_or(&config.login.mechanisms);
        core.sasl.mechanisms = mechanisms.iter().map(|mechanism| mechanism.0).collect();
        core.sasl.plain_without_tls = insecure;
        core.sasl.iterations = config.login.rounds;
        core.plaintext = match insecure {
            true => Some(true),
            false => domain.tls.map(|tls| tls == Encryption::Optional),
        };
        core.administrators = domain
            .administrators
            .iter()
            .map(|jid| jid.0.clone())
            .collect();
        core.account = Some(domain.account.from(&config.limits.account).into());
        if domain.tls == Some(Encryption::Optional) {
            tracing::warn!(domain = %domain.name.0, "clients may log in without TLS");
        }
        builder = builder.domain(core);
    }
    Ok(builder.build(surroundings())?)
}

fn driver_config(config: &Config) -> xmpp_core::io::DriverConfig {
    let mut driver = xmpp_core::io::DriverConfig::default();
    driver.accept = config.accept.clone().into();
    driver.throttle = config.throttle.clone().into();
    driver
}

/// Says on standard output what a person wants to know.
fn greet(config: &Config, file: Option<&Path>, bound: &listen::Bound, insecure: bool) {
    let mut text = String::new();
    for (kind, address) in bound {
        tracing::info!(kind, %address, "listening");
        text += &format!("listening on {address} ({kind})\n");
    }
    if insecure {
        text += "--insecure-plaintext: clients may log in without TLS, and passwords cross the wire as they are\n";
    }
    let program = std::env::args().next().unwrap_or("example-server".into());
    let option = file.map_or(String::new(), |file| {
        format!(" --config {}", file.display())
    });
    let domain = &config.domains[0].name.0;
    text += &format!("add an account with: {program} adduser{option} YOU@{domain}\n");
    // Standard output may be closed.
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// The certificates and the client authorities are read again. With a bad one among them
/// all of the old ones stay, and the answer is `false`.
fn reload(config: &Config, tls: &Tls, federation: Option<&Federation>, monitor: &Monitor) -> bool {
    let replace = || -> anyhow::Result<()> {
        let identities = certificate::load(config)?;
        let clients = certificate::authorities(config)?;
        if let Some(peers) = federation.and_then(Federation::tls) {
            let identities = rooms::with_rooms(identities.clone(), config);
            peers.replace(identities, federation::authorities(config)?)?;
        }
        tls.replace_all(identities.clone(), clients)?;
        monitor.set_expiries(expiries(&identities));
        Ok(())
    };
    let replaced = replace();
    match &replaced {
        Ok(()) => tracing::info!("certificates reloaded"),
        Err(error) => {
            let error = format!("{error:#}");
            tracing::error!(error, "certificates not reloaded; those before stay");
        }
    }
    replaced.is_ok()
}

fn expiries(identities: &Identities) -> Vec<Expiry> {
    identities
        .iter()
        .map(|(domain, identity)| (domain.clone(), identity.expires()))
        .collect()
}

/// The signals that tell the server something.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

enum Told {
    Reload,
    End(End),
}

/// How the server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// To come back: what a service manager says, for an upgrade too.
    Restart,
    /// For good: what a person at the keyboard says.
    Final,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.hangup.recv() => Told::Reload,
            _ = self.terminate.recv() => Told::End(End::Restart),
            _ = self.interrupt.recv() => Told::End(End::Final),
        }
    }

    async fn end(&mut self) {
        loop {
            if let Told::End(_) = self.next().await {
                return;
            }
        }
    }
}
