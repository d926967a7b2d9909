//! Where a command puts its requests.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use super::address::Address;
use super::{MAX_LINE, Office, Reply, Request};
use crate::config::Config;
use crate::rooms::Rooms;
use crate::store::{self, Store};
use crate::{folder, run};

/// How often a store is tried that a starting or ending server holds.
const ATTEMPTS: u32 = 150;
const PAUSE: Duration = Duration::from_millis(100);

/// The running server, or the store itself.
pub enum Desk {
    Running(BufReader<UnixStream>),
    Alone { office: Box<Office>, store: Store },
}

impl Desk {
    /// Reaches the running server, or opens the store if none runs.
    pub async fn open(config: &Config) -> anyhow::Result<Desk> {
        for attempt in 1.. {
            if let Some(stream) = connect(&config.socket()).await? {
                return Ok(Desk::Running(BufReader::new(stream)));
            }
            folder::prepare(&config.data)?;
            match store::open_stores(config).await {
                Ok(store) => {
                    let secret = folder::secret(&config.data)?;
                    let (stores, rooms) = (store.stores.clone(), Rooms::default());
                    let server = run::build(config, stores, secret, false, None, &rooms, None)?;
                    let office = Office::new(store.clone(), server, None, rooms, None);
                    return Ok(Desk::Alone {
                        office: Box::new(office),
                        store,
                    });
                }
                // It starts, or it ends: then its socket or its store is free soon.
                Err(error) if attempt < ATTEMPTS && store::is_in_use(&error) => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
        unreachable!("the loop ends by returning")
    }

    /// The reply to a request; one that says what went wrong is an error.
    pub async fn ask(&mut self, request: Request) -> anyhow::Result<Reply> {
        let reply = match self {
            Desk::Alone { office, .. } => office.answer(request).await,
            Desk::Running(stream) => exchange(stream, &request)
                .await
                .context("the running server")?,
        };
        match reply {
            Reply::Error { error } => bail!(error),
            reply => Ok(reply),
        }
    }

    /// What was asked for is safe, and the store closed.
    pub async fn close(self) -> anyhow::Result<()> {
        match self {
            Desk::Running(_) => Ok(()),
            Desk::Alone { store, .. } => store.close().await,
        }
    }
}

async fn connect(socket: &Path) -> anyhow::Result<Option<UnixStream>> {
    let connected = match Address::of(socket) {
        Ok(address) => UnixStream::connect(address.path()).await,
        Err(error) => Err(error),
    };
    match connected {
        Ok(stream) => Ok(Some(stream)),
        // There is none, or nobody listens.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::ConnectionRefused
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| format!("cannot use {}", socket.display())),
    }
}

async fn exchange(stream: &mut BufReader<UnixStream>, request: &Request) -> anyhow::Result<Reply> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut line = String::new();
    let mut bounded = stream.take(MAX_LINE as u64);
    bounded.read_line(&mut line).await?;
    if !line.ends_with('\n') {
        bail!("no complete reply");
    }
    Ok(serde_json::from_str(&line)?)
}
