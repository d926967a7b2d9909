//! The store that the settings name.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use xmpp_core::store::Stores;
use xmpp_store::{OpenError, Sqlite};

use crate::config::Config;

/// An open store.
#[derive(Clone)]
pub struct Store {
    pub stores: Stores,
    sqlite: Arc<Sqlite>,
}

/// Opens the store that the settings name. The data folder is there.
pub fn open_stores(config: &Config) -> anyhow::Result<Store> {
    if config.database.is_some() {
        bail!("database: this program was built without PostgreSQL");
    }
    let sqlite = Arc::new(Sqlite::open(config.data.join("xmpp.sqlite3"))?);
    Ok(Store {
        stores: Stores::from_one(sqlite.clone()),
        sqlite,
    })
}

impl Store {
    /// Copies everything to a new file.
    pub async fn backup(&self, to: &Path) -> anyhow::Result<()> {
        Ok(self.sqlite.backup_to(to).await?)
    }

    /// Writes what was asked for before; afterwards another process may open the store.
    pub async fn close(&self) -> anyhow::Result<()> {
        self.sqlite.close().await.context("store not closed")
    }
}

/// Whether a store could not be opened because another process has it.
pub fn is_in_use(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref::<OpenError>(),
        Some(OpenError::InUse { .. })
    )
}
