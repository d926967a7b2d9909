//! Stores behind the ports of [`xmpp_core::store`]: [`Sqlite`], in one file beside the
//! server, and PostgreSQL (feature `postgres`).
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("xmpp.sqlite3");
//! use std::sync::Arc;
//! use xmpp_core::store::Stores;
//! use xmpp_store::Sqlite;
//!
//! let stores = Stores::from_one(Arc::new(Sqlite::open(&path)?));
//! # Ok(())
//! # }
//! ```
//!
//! Both write in groups: what many sessions ask for at the same time becomes one
//! transaction, so that they share the cost of making it durable. Both refuse work
//! ([`StoreError::Unavailable`](xmpp_core::store::StoreError::Unavailable)) when more
//! is waiting than their bounds allow.

mod backlog;
mod error;
#[cfg(feature = "sqlite")]
mod sqlite;

pub use backlog::{MAX_QUEUED, MAX_QUEUED_OCTETS};
pub use error::OpenError;
#[cfg(feature = "sqlite")]
pub use sqlite::Sqlite;
