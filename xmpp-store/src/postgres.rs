//! PostgreSQL: one database for the servers of a site.

mod accounts;
mod block_lists;
mod connect;
mod offline;
mod outbox;
mod private_xml;
mod rosters;
mod schema;
mod sessions;
mod tls;
mod vcards;
mod writer;

use std::error::Error as _;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Object, Pool, PoolError};
use sha2::{Digest, Sha256};
use tokio_postgres::types::{FromSql, ToSql};
use tokio_postgres::{Error, Row};
use xmpp_core::BareJid;
use xmpp_core::store::{Result, StoreError};

use crate::backlog::Backlog;
use crate::{OpenError, Waiting, Writing};
use writer::{Write, Writer};

/// Where the database is and how to get there.
#[derive(Clone)]
#[non_exhaustive]
pub struct PostgresOptions {
    /// `postgresql://user:password@host/database` or `host=… user=…`, as libpq has it.
    ///
    /// `sslmode=require` means TLS with a certificate that is verified, and so does the
    /// default for a host that is not this machine; `sslmode=disable` means none.
    pub url: String,
    /// Certificates (PEM) of the authorities that may vouch for the server. By default
    /// those of the operating system.
    pub roots: Option<PathBuf>,
    /// Connections for reading; default 8. There is one more for writing.
    pub readers: usize,
    /// How long a query or a group of changes may take before it is given up together with
    /// its connection; default 10 s.
    pub timeout: Duration,
}

impl PostgresOptions {
    /// The defaults, for a database.
    pub fn new(url: impl Into<String>) -> PostgresOptions {
        PostgresOptions {
            url: url.into(),
            roots: None,
            readers: 8,
            timeout: Duration::from_secs(10),
        }
    }

    /// Whether the URL and the authorities make sense, without connecting to anything.
    ///
    /// # Errors
    /// As of [`Postgres::connect`] before it connects.
    pub fn check(&self) -> std::result::Result<(), OpenError> {
        connect::pool(self, 1).map(drop)
    }
}

impl fmt::Debug for PostgresOptions {
    /// Leaves out the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("roots", &self.roots)
            .field("readers", &self.readers)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// The store in a PostgreSQL database (14 or newer, encoding UTF-8). All ports of
/// [`xmpp_core::store`].
///
/// Several servers may share the database: changes to one account come one after another,
/// whichever server asks for them. Each server writes in groups over one connection: it
/// sends what waits (at most 512 changes) without waiting in between, commits once, and
/// answers all. Reads have connections of their own. Lost connections are made again; what
/// was under way is answered with [`StoreError::Unavailable`].
///
/// Needs the tokio runtime in which it was connected. Dropping it does not wait for what
/// is under way; [`close`](Postgres::close) does.
pub struct Postgres {
    writer: Writer,
    readers: Pool,
    backlog: Arc<Backlog>,
    timeout: Duration,
}

impl Postgres {
    /// Connects and brings the schema up to date, one server at a time.
    ///
    /// The tables are made in the first schema of the `search_path`, which the URL's
    /// `options` can set.
    ///
    /// # Errors
    ///
    /// [`OpenError::Newer`] if a newer release keeps data there in a way that this one
    /// does not know.
    pub async fn connect(options: PostgresOptions) -> std::result::Result<Postgres, OpenError> {
        let readers = connect::pool(&options, options.readers.max(1))?;
        let writer = connect::pool(&options, 1)?;
        schema::migrate(&writer, schema::STEPS).await?;
        Ok(Postgres {
            writer: Writer::start(writer, options.timeout),
            readers,
            backlog: Arc::default(),
            timeout: options.timeout,
        })
    }

    /// The changes that wait to be written, those of the transaction under way included.
    pub fn waiting(&self) -> Waiting {
        self.writer.waiting()
    }

    /// How writing goes. [`try_writing`](Postgres::try_writing) finds out anew.
    pub fn writing(&self) -> Writing {
        self.writer.writing()
    }

    /// Writes something that matters to nobody, as durably as everything else: whether the
    /// store takes changes.
    ///
    /// # Errors
    ///
    /// As those of any change.
    pub async fn try_writing(&self) -> Result<()> {
        // A transaction with an id of its own is written to the log.
        let sql = "SELECT $1::text, pg_current_xact_id()::text";
        let nobody = BareJid::new("localhost").expect("a domain is an address");
        self.write(Write::new(&nobody, 0, sql)).await.map(drop)
    }

    /// Writes what was asked for before, then closes all connections. Every later call
    /// answers [`StoreError::Unavailable`].
    pub async fn close(&self) {
        self.writer.stop().await;
        self.readers.close();
    }

    /// Makes a change of an account by one statement. It is in the queue when the future
    /// has been polled once.
    async fn write(&self, write: Write) -> Result<Vec<Row>> {
        self.writer.ask(write)?.await
    }

    async fn read(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        let _place = self.backlog.admit(0)?;
        within(self.timeout, &self.readers, async |client| {
            let statement = client.prepare_cached(sql).await;
            let statement = statement.map_err(|error| failure(&error))?;
            let rows = client.query(&statement, parameters).await;
            rows.map_err(|error| failure(&error))
        })
        .await
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres")
            .field("readers", &self.readers.status())
            .finish_non_exhaustive()
    }
}

/// Works with a connection, which does not go back to the others if that takes too long:
/// it would still be busy with it.
async fn within<T>(
    timeout: Duration,
    pool: &Pool,
    work: impl AsyncFnOnce(&mut Object) -> Result<T>,
) -> Result<T> {
    let mut client = pool.get().await.map_err(|error| lost(&error))?;
    if let Ok(result) = tokio::time::timeout(timeout, work(&mut client)).await {
        return result;
    }
    drop(Object::take(client));
    let text = format!("no answer from the database in {timeout:?}");
    Err(StoreError::Unavailable(text))
}

/// There is no connection.
fn lost(error: &PoolError) -> StoreError {
    let mut text = error.to_string();
    if let PoolError::Backend(error) = error {
        text = with_cause(error);
    }
    StoreError::Unavailable(text)
}

fn failure(error: &Error) -> StoreError {
    let text = with_cause(error);
    let Some(error) = error.as_db_error() else {
        // The connection, or what was sent over it.
        return match error.is_closed()
            || error
                .source()
                .is_none_or(|error| error.is::<std::io::Error>())
        {
            true => StoreError::Unavailable(text),
            false => StoreError::Other(text),
        };
    };
    // Classes of "PostgreSQL Error Codes": connection, rollback, resources, state, operator,
    // system; then internal errors.
    match error.code().code().get(..2) {
        Some("08" | "25" | "40" | "53" | "55" | "57" | "58") => StoreError::Unavailable(text),
        Some("XX") => StoreError::Corrupt(text),
        _ => StoreError::Other(text),
    }
}

/// The text of an error, which in this crate says only of what kind it is, and of its cause.
fn with_cause(error: &Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// A column of a row.
fn column<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Result<T> {
    let value = row.try_get(column);
    value.map_err(|error| StoreError::Corrupt(with_cause(&error)))
}

/// A column that holds what is parsed.
fn parsed<T: std::str::FromStr>(row: &Row, number: usize) -> Result<T>
where
    T::Err: fmt::Display,
{
    let text: &str = column(row, number)?;
    let value = text.parse();
    value.map_err(|error| StoreError::Corrupt(format!("{text:?}: {error}")))
}

/// A column that holds a number which is never negative.
fn natural(row: &Row, number: usize) -> Result<u64> {
    let value: i64 = column(row, number)?;
    u64::try_from(value).map_err(|_| StoreError::Corrupt(format!("{value} should not be negative")))
}

/// What stands for texts in a key.
fn digest(texts: &[&str]) -> Vec<u8> {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    hash.finalize().to_vec()
}

/// A number as PostgreSQL has it. What is larger stands for "all", and so does the largest.
fn clamp(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
