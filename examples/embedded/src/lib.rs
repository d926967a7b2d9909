//! A server and its clients in one process, without a socket, a port or a file: what a
//! test of an application that embeds the server looks like (see `tests/chat.rs`).
//!
//! The connections are pairs of [`tokio::io::duplex`], which reach the server through a
//! [`Listener`] of our own. All but that is the server of every day: streams, SCRAM,
//! routing, the usual modules.

mod client;

use std::error::Error;
use std::future::pending;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use tokio::io::{DuplexStream, duplex};
use tokio::sync::mpsc;
use xmpp_core::BareJid;
use xmpp_core::im;
use xmpp_core::io::{Driver, DriverConfig, Listener, Security, surroundings};
use xmpp_core::sasl::{Credentials, Secret};
use xmpp_core::server::{Builder, Domain, Server};

pub use client::Client;

/// The domain that [`App`] serves.
pub const DOMAIN: &str = "example.org";

/// Everybody's password.
pub const PASSWORD: &str = "r0m30myr0m30";
/// PBKDF2 rounds; the fewest that SCRAM allows (RFC 5802 §5.1), since nobody attacks a test.
pub const ROUNDS: u32 = 4096;
/// Bytes that a connection takes before its other end has read any.
const PIPE: usize = 16 * 1024;

/// What can go wrong. A test passes it on and fails.
pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The application under test: a running server, and the way in.
pub struct App {
    driver: Driver,
    door: mpsc::Sender<DuplexStream>,
}

impl App {
    /// Starts the server, to which `extend` adds what is to be tested: modules, stores, a router.
    pub fn start(extend: impl FnOnce(Builder) -> Builder) -> Result<App> {
        let builder = Server::builder().domain(domain(DOMAIN)?).modules(im::all());
        let driver = Driver::new(
            extend(builder).build(surroundings())?,
            None,
            DriverConfig::default(),
        );
        let (door, connections) = mpsc::channel(1);
        driver.serve(Door(connections), Security::Plain)?;
        Ok(App { driver, door })
    }

    /// A client of this account, which is created if it is not there.
    pub async fn login(&self, account: &str) -> Result<Client> {
        let account = BareJid::new(account)?;
        let password = Credentials::derive(PASSWORD, ROUNDS, || self.server().random())?;
        let accounts = &self.server().stores().accounts;
        accounts.create(&account, &password).await?;

        let (ours, theirs) = duplex(PIPE);
        self.door.send(theirs).await?;
        Client::login(ours, &account, PASSWORD).await
    }

    /// The server, to look into or to act on behalf of.
    pub fn server(&self) -> &Server {
        self.driver.server()
    }

    /// Closes all streams, and waits for that a moment; whether all are closed.
    pub async fn stop(self) -> bool {
        self.driver.shutdown(Duration::from_secs(5)).await
    }
}

/// A domain whose clients need no TLS, since nothing leaves the process.
pub fn domain(name: &str) -> Result<Domain> {
    let mut domain = Domain::new(BareJid::new(name)?, Secret::from([0; 32]));
    domain.sasl.iterations = ROUNDS;
    Ok(domain)
}

/// Where connections come in.
struct Door(mpsc::Receiver<DuplexStream>);

impl Listener for Door {
    type Io = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, Option<IpAddr>)> {
        match self.0.recv().await {
            Some(connection) => Ok((connection, None)),
            None => pending().await, // nobody can come any more
        }
    }
}
