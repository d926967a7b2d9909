//! A whole XMPP server: one domain, one account, everything in memory, and no TLS,
//! which is why it listens on loopback only.
//!
//! `cargo run -p hello`, then log in as `juliet@localhost` with `r0m30`.

use std::error::Error;
use std::time::Duration;

use xmpp_core::BareJid;
use xmpp_core::im;
use xmpp_core::io::{self, Driver, DriverConfig, Security};
use xmpp_core::sasl::{Credentials, Secret};
use xmpp_core::server::{Domain, Random, Server};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut secret = [0; 32];
    io::OsRandom.fill(&mut secret);
    let domain = Domain::new(BareJid::new("localhost")?, Secret::from(secret));

    let server = Server::builder()
        .domain(domain)
        .modules(im::all())
        .build(io::surroundings())?;
    let password = Credentials::derive("r0m30", 10_000, || server.random())?;
    server
        .stores()
        .accounts
        .create(&BareJid::new("juliet@localhost")?, &password)
        .await?;

    let driver = Driver::new(server, None, DriverConfig::default());
    let address = driver
        .listen("127.0.0.1:5222".parse()?, Security::Plain)
        .await?;
    println!("juliet@localhost (password r0m30) is awaited at {address}");
    tokio::signal::ctrl_c().await?;
    driver.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
