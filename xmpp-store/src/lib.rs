//! Stores behind the ports of [`xmpp_core::store`], and with the feature `rooms` of `xmpp_muc_federated::store`: [`Sqlite`], in one file beside the
//! server, and `Postgres` (feature `postgres`), in a database that several servers share.
//!
//! Both write in groups: what many sessions ask for at the same time becomes one
//! transaction, so that they share the cost of making it durable. Both refuse work
//! ([`StoreError::Unavailable`](xmpp_core::store::StoreError::Unavailable)) when more
//! is waiting than their bounds allow.

#![cfg_attr(
    not(any(feature = "sqlite", feature = "postgres")),
    allow(dead_code, reason = "both stores are left out")
)]

mod backlog;
mod error;
mod outcome;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

pub use backlog::{MAX_QUEUED, MAX_QUEUED_OCTETS, Waiting};
pub use error::OpenError;
pub use outcome::Writing;
#[cfg(feature = "postgres")]
pub use postgres::{Postgres, PostgresOptions};
#[cfg(feature = "sqlite")]
pub use sqlite::{Existing, Sqlite};
