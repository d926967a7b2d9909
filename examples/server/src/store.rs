//! The store that the settings name.

use std::path::Path;
use std::sync::Arc;

#[cfg(feature = "postgres")]
use anyhow::Context as _;
use anyhow::{bail, ensure};
use xmpp_core::store::{self, Stores};
use xmpp_muc_federated::store::Rooms;
use xmpp_store::{Existing, OpenError, Sqlite, Waiting, Writing};

use crate::config::Config;

/// The SQLite store in the data folder.
const FILE: &str = "xmpp.sqlite3";
/// What is a node's own, while the database is that of all nodes.
#[cfg(feature = "postgres")]
const NODE: &str = "node.sqlite3";

#[cfg(not(feature = "postgres"))]
const WITHOUT_POSTGRES: &str =
    "postgresql.url: this program was built without the feature `postgres`";

/// An open store. Clone is cheap and names the same store.
#[derive(Clone)]
pub struct Store {
    pub stores: Stores,
    /// Persistent rooms.
    pub rooms: Arc<dyn Rooms>,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Sqlite(Arc<Sqlite>),
    #[cfg(feature = "postgres")]
    Postgres(Arc<xmpp_store::Postgres>, Option<Arc<Sqlite>>),
}

/// Opens the store that the settings name. The data folder is there.
pub async fn open_stores(config: &Config) -> anyhow::Result<Store> {
    if config.postgresql.url.is_some() {
        return open_postgres(config).await;
    }
    let sqlite = Arc::new(Sqlite::open(config.data.join(FILE))?);
    Ok(Store {
        stores: Stores::from_one(sqlite.clone()),
        rooms: sqlite.clone(),
        kind: Kind::Sqlite(sqlite),
    })
}

/// Refuses a store that could not be opened whatever there is to open.
pub fn check(config: &Config) -> anyhow::Result<()> {
    match config.postgresql.url {
        Some(_) => check_postgres(config),
        None => Ok(()),
    }
}

#[cfg(feature = "postgres")]
fn options(config: &Config) -> xmpp_store::PostgresOptions {
    let settings = &config.postgresql;
    let url = settings.url.as_ref().map(|url| url.0.clone());
    let mut options = xmpp_store::PostgresOptions::new(url.unwrap_or_default());
    options.roots = settings.roots.clone();
    options.readers = settings.readers;
    options.timeout = settings.timeout.into();
    options
}

#[cfg(feature = "postgres")]
fn check_postgres(config: &Config) -> anyhow::Result<()> {
    options(config).check().context("postgresql")
}

#[cfg(not(feature = "postgres"))]
fn check_postgres(_config: &Config) -> anyhow::Result<()> {
    bail!(WITHOUT_POSTGRES)
}

#[cfg(feature = "postgres")]
async fn open_postgres(config: &Config) -> anyhow::Result<Store> {
    let postgres = Arc::new(xmpp_store::Postgres::connect(options(config)).await?);
    let mut stores = Stores::from_one(postgres.clone());
    let mut own = None;
    if config.cluster.node.is_some() {
        // A node takes up all sessions that it finds, and sends all that waits for other servers.
        let sqlite = Arc::new(Sqlite::open(config.data.join(NODE))?);
        stores.sessions = sqlite.clone();
        stores.outbox = sqlite.clone();
        own = Some(sqlite);
    }
    Ok(Store {
        stores,
        rooms: postgres.clone(),
        kind: Kind::Postgres(postgres, own),
    })
}

#[cfg(not(feature = "postgres"))]
async fn open_postgres(_config: &Config) -> anyhow::Result<Store> {
    bail!(WITHOUT_POSTGRES)
}

/// `restore`
pub fn restore(config: &Config, from: &Path, force: bool) -> anyhow::Result<()> {
    ensure!(
        config.postgresql.url.is_none(),
        "the store is PostgreSQL: use psql or pg_restore"
    );
    let existing = match force {
        true => Existing::Replace,
        false => Existing::Keep,
    };
    let store = config.data.join(FILE);
    match Sqlite::restore(&store, from, existing) {
        Ok(()) => println!("restored the store from {}", from.display()),
        Err(error @ OpenError::InUse { .. }) => {
            return Err(anyhow::Error::new(error).context("stop the server first"));
        }
        Err(error @ OpenError::Exists(_)) => {
            let said = "--force replaces it, and what the backup has not is lost";
            return Err(anyhow::Error::new(error).context(said));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

impl Store {
    /// Copies everything to a new file.
    pub async fn backup(&self, to: &Path) -> anyhow::Result<()> {
        match &self.kind {
            Kind::Sqlite(sqlite) => Ok(sqlite.backup_to(to).await?),
            #[cfg(feature = "postgres")]
            Kind::Postgres(..) => bail!("the store is PostgreSQL: use pg_dump"),
        }
    }

    /// The changes that wait to be written.
    pub fn waiting(&self) -> Waiting {
        match &self.kind {
            Kind::Sqlite(sqlite) => sqlite.waiting(),
            #[cfg(feature = "postgres")]
            Kind::Postgres(postgres, _) => postgres.waiting(),
        }
    }

    /// How writing goes.
    pub fn writing(&self) -> Writing {
        match &self.kind {
            Kind::Sqlite(sqlite) => sqlite.writing(),
            #[cfg(feature = "postgres")]
            Kind::Postgres(postgres, _) => postgres.writing(),
        }
    }

    /// Whether changes can be written, when the last ones could not.
    pub async fn try_writing(&self) -> store::Result<()> {
        match &self.kind {
            Kind::Sqlite(sqlite) => sqlite.try_writing().await,
            #[cfg(feature = "postgres")]
            Kind::Postgres(postgres, _) => postgres.try_writing().await,
        }
    }

    /// Writes what was asked for before; afterwards another process may open the store.
    pub async fn close(&self) -> anyhow::Result<()> {
        match &self.kind {
            Kind::Sqlite(sqlite) => sqlite.close().await?,
            #[cfg(feature = "postgres")]
            Kind::Postgres(postgres, own) => {
                postgres.close().await;
                if let Some(own) = own {
                    own.close().await?;
                }
            }
        }
        Ok(())
    }
}

/// Whether a store could not be opened because another process has it.
pub fn is_in_use(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref::<OpenError>(),
        Some(OpenError::InUse { .. })
    )
}
