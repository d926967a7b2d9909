//! The store that the settings name.

use std::path::Path;
use std::sync::Arc;

#[cfg(feature = "postgres")]
use anyhow::Context as _;
use anyhow::{bail, ensure};
use xmpp_cluster::accounts::Ledger;
use xmpp_cluster::node::NodeId;
use xmpp_core::io::SystemClock;
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
    /// What other nodes are to have of the accounts, if each node has a store of its own.
    pub ledger: Option<Ledger>,
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
    let mut stores = Stores::from_one(sqlite.clone());
    let mut ledger = None;
    if let Some(node) = &config.cluster.node {
        let opened = open_ledger(config, &stores, sqlite.clone(), &node.0).await?;
        stores = opened.stores();
        ledger = Some(opened);
    }
    Ok(Store {
        stores,
        rooms: sqlite.clone(),
        ledger,
        kind: Kind::Sqlite(sqlite),
    })
}

/// Each node has a file of its own: what is written to one is to be in all.
async fn open_ledger(
    config: &Config,
    stores: &Stores,
    sqlite: Arc<Sqlite>,
    node: &NodeId,
) -> anyhow::Result<Ledger> {
    let mut fresh = [0; 8];
    getrandom::fill(&mut fresh)?;
    let fresh = u64::from_le_bytes(fresh);
    let (stores, node) = (stores.clone(), node.clone());
    let ledger = Ledger::open(stores, sqlite, node, Arc::new(SystemClock), fresh).await?;
    for domain in &config.domains {
        let name = &domain.name.0;
        let adopted = ledger.adopt(name.as_str()).await?;
        if adopted > 0 {
            tracing::info!(domain = %name, adopted, "accounts that other nodes will have");
        }
    }
    Ok(ledger)
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
        ledger: None,
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
