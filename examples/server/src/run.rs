//! `run`: builds the server from its settings, serves, and ends gracefully.

use std::io::{self, ErrorKind, Write as _};
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;
use xmpp_core::im::{self, registration::Registration, service_contacts::ServiceContacts};
use xmpp_core::io::{Driver, Identity, Security, Tls, surroundings};
use xmpp_core::server::{self, Server};

use crate::admin::{Office, Socket};
use crate::config::{Config, Contacts, Encryption};
use crate::metrics::Expiry;
use crate::monitor::Monitor;
use crate::notify::{READY, STOPPING, notify};
use crate::store::Store;
use crate::{certificate, folder, log, store};

/// Serves until it is told to end.
pub fn run(config: &Config, file: Option<&Path>, insecure: bool) -> anyhow::Result<()> {
    log::start(&config.log)?;
    if insecure {
        ensure_loopback(config)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(config, file, insecure))
}

/// `check-config`: everything that can be known without serving.
pub fn check(config: &Config) -> anyhow::Result<()> {
    log::filter(&config.log)?;
    for domain in &config.domains {
        if let Some(certificate) = &domain.certificate {
            let here = Config {
                domains: vec![domain.clone()],
                ..config.clone()
            };
            certificate::load(&here)?;
            println!("{}: {}", domain.name.0, certificate.display());
        } else {
            println!("{}: a certificate of the server's own", domain.name.0);
        }
    }
    certificate::authorities(config)?;
    println!("the configuration is in order");
    Ok(())
}

async fn serve(config: &Config, file: Option<&Path>, insecure: bool) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    folder::prepare(&config.data)?;
    let store = store::open_stores(config).await?;
    certificate::make_missing(config)?;
    let identities = certificate::load(config)?;
    let tls = certificate::tls(config, identities.clone())?;
    let server = build(config, &store, insecure)?;
    let driver = Driver::new(server.clone(), Some(tls.clone()), driver_config(config));
    let monitor = Monitor::new(server.clone(), store.clone());
    monitor.set_expiries(expiries(&identities));
    let socket = Socket::listen(&config.socket(), Office::new(store.clone(), server.clone()));
    let mut bound = listen(&driver, config, insecure).await?;
    for address in &config.listen.monitoring {
        bound.push(("monitoring", monitor.listen(*address).await?));
    }
    greet(config, file, &bound, insecure);
    monitor.set_ready(true);
    notify(READY);

    while let Told::Reload = signals.next().await {
        reload(config, &tls, &monitor);
    }
    tracing::info!("shutting down");
    notify(STOPPING);
    monitor.set_ready(false);
    drop(socket);
    let patience = config.shutdown.patience.0;
    let close = async {
        if !driver.shutdown(patience).await {
            tracing::warn!(
                left = driver.connections(),
                "clients did not take their leave"
            );
        }
        if timeout(patience, server.close()).await.is_err() {
            tracing::warn!("not everything came to its end");
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

/// The server as the settings have it, without anybody to serve.
pub fn build(config: &Config, store: &Store, insecure: bool) -> anyhow::Result<Server> {
    let secret = folder::secret(&config.data)?;
    let mut builder = Server::builder()
        .stores(store.stores.clone())
        .configure(|server| {
            *server = config.limits.clone().into();
            server.timeouts = config.timeouts.clone().into();
            server.login_attempts = config.login.attempts;
            server.conflict = config.login.conflict.into();
            server.software.name = env!("CARGO_PKG_NAME").to_owned();
            server.software.version = env!("CARGO_PKG_VERSION").to_owned();
        })
        .modules(im::all());
    if config.registration.enabled || config.registration.own_account {
        builder = builder.module(Registration::new(config.registration.options()));
    }
    if config.contacts != Contacts::default() {
        builder = builder.module(ServiceContacts::from(config.contacts.clone()));
    }
    for domain in &config.domains {
        let mut core = server::Domain::new(domain.name.0.clone(), secret.clone());
        let mechanisms = domain
            .mechanisms
            .as_ref()
            .unwrap_or(&config.login.mechanisms);
        core.sasl.mechanisms = mechanisms.iter().map(|mechanism| mechanism.0).collect();
        core.sasl.plain_without_tls = insecure;
        core.sasl.iterations = config.login.rounds;
        core.plaintext = insecure || domain.tls == Encryption::Optional;
        core.administrators = domain
            .administrators
            .iter()
            .map(|jid| jid.0.clone())
            .collect();
        core.account = Some(domain.account.from(&config.limits.account).into());
        if domain.tls == Encryption::Optional {
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

/// What is listened on, and how it is called in the configuration.
type Bound = Vec<(&'static str, SocketAddr)>;

async fn listen(driver: &Driver, config: &Config, insecure: bool) -> anyhow::Result<Bound> {
    let listen = &config.listen;
    let mut kinds = vec![
        ("starttls", &listen.starttls, Security::StartTls),
        ("direct_tls", &listen.direct_tls, Security::Direct),
    ];
    if insecure {
        kinds.push(("plaintext", &listen.plaintext, Security::Plain));
    } else if !listen.plaintext.is_empty() {
        tracing::warn!("listen.plaintext is served only with --insecure-plaintext");
    }
    let mut bound = Bound::new();
    for (kind, addresses, security) in kinds {
        for (i, address) in addresses.iter().enumerate() {
            match driver.listen(*address, security).await {
                Ok(address) => bound.push((kind, address)),
                // A machine without IPv6: the defaults have IPv4 as well.
                Err(error) if i > 0 && is_missing_here(&error) => {
                    tracing::warn!(%address, %error, "not listening");
                }
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot listen on {address}"));
                }
            }
        }
    }
    ensure!(!bound.is_empty(), "listen: there is no address for clients");
    Ok(bound)
}

fn is_missing_here(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::AddrNotAvailable | ErrorKind::Unsupported
    )
}

/// Says on standard output what a person wants to know.
fn greet(config: &Config, file: Option<&Path>, bound: &Bound, insecure: bool) {
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

fn ensure_loopback(config: &Config) -> anyhow::Result<()> {
    let listen = &config.listen;
    for address in listen.starttls.iter().chain(&listen.plaintext) {
        ensure!(
            address.ip().to_canonical().is_loopback(),
            "--insecure-plaintext: {address} is not a loopback address"
        );
    }
    Ok(())
}

/// SIGHUP: the certificates are read again. Bad ones are refused and the old ones stay.
fn reload(config: &Config, tls: &Tls, monitor: &Monitor) {
    let replace = || -> anyhow::Result<()> {
        let identities = certificate::load(config)?;
        tls.replace(identities.clone())?;
        monitor.set_expiries(expiries(&identities));
        Ok(())
    };
    match replace() {
        Ok(()) => tracing::info!("certificates reloaded"),
        Err(error) => {
            let error = format!("{error:#}");
            tracing::error!(error, "certificates not reloaded; those before stay");
        }
    }
}

fn expiries(identities: &[(String, Identity)]) -> Vec<Expiry> {
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
    End,
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
            () = async {
                tokio::select! {
                    _ = self.terminate.recv() => {}
                    _ = self.interrupt.recv() => {}
                }
            } => Told::End,
        }
    }

    async fn end(&mut self) {
        loop {
            if let Told::End = self.next().await {
                return;
            }
        }
    }
}
