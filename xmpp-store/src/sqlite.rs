//! SQLite: everything in one file, which an operator's own tools can read.

mod accounts;
mod backup;
mod block_lists;
mod file;
mod journal;
mod offline;
mod outbox;
mod private_xml;
mod readers;
mod restore;
#[cfg(feature = "rooms")]
mod rooms;
mod rosters;
mod schema;
mod sessions;
mod vcards;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use futures::channel::oneshot;
use rusqlite::{Connection, ErrorCode};
use xmpp_core::store::{Result, StoreError};

use crate::{OpenError, Waiting, Writing};
use readers::Readers;
use writer::Writer;

/// The store in an SQLite file. All ports of [`xmpp_core::store`], and with the feature `rooms` that for rooms.
///
/// The file is in WAL mode with `synchronous=FULL`: what was acknowledged survives a crash
/// of the process and of the machine. One thread writes, in groups: it takes what waits
/// (at most 512 changes), commits once, and answers all. A few threads read. The futures
/// need no particular runtime.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("xmpp.sqlite3");
/// use std::sync::Arc;
/// use xmpp_core::store::Stores;
/// use xmpp_store::Sqlite;
///
/// let stores = Stores::from_one(Arc::new(Sqlite::open(&path)?));
/// # Ok(())
/// # }
/// ```
///
/// # One process at a time
///
/// A lock beside the file (`FILE.lock`) keeps a second process out: [`OpenError::InUse`].
/// A tool that changes accounts while the server runs asks the server; only if nobody
/// holds the file does it open it itself. Reading the file with `sqlite3` meanwhile is
/// harmless.
///
/// # Ending
///
/// Dropping it blocks until what was asked for is written and the file is closed; so does
/// [`close`](Sqlite::close) without blocking.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    writer: Writer,
    readers: Readers,
    threads: Mutex<Option<Threads>>,
}

/// What becomes of a store that is where another is [restored](Sqlite::restore).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and nothing is restored.
    Keep,
    /// It is replaced, and lost.
    Replace,
}

/// What has to end, in this order, before the file is closed.
#[derive(Debug)]
struct Threads {
    readers: readers::Threads,
    writer: writer::Thread,
    lock: file::Lock,
}

impl Sqlite {
    /// Opens the file, creates it (with permissions 0600) where there is none, and brings
    /// its schema up to date. Blocks.
    ///
    /// # Errors
    ///
    /// [`OpenError::InUse`] if another process (or another `Sqlite`) has it open,
    /// [`OpenError::Newer`] if a newer release has written it, [`OpenError::Foreign`] if
    /// it is a database of something else.
    pub fn open(path: impl AsRef<Path>) -> std::result::Result<Sqlite, OpenError> {
        let path = path.as_ref();
        let lock = file::Lock::take(path)?;
        let mut connection = file::open(path)?;
        schema::recognise(&connection, path)?;
        file::set_up(&connection, path)?;
        schema::migrate(&mut connection, path, schema::STEPS)?;
        let (writer, writer_thread) = Writer::start(connection)?;
        let (readers, reader_threads) = Readers::start(path)?;
        Ok(Sqlite {
            path: path.to_owned(),
            writer,
            readers,
            threads: Mutex::new(Some(Threads {
                readers: reader_threads,
                writer: writer_thread,
                lock,
            })),
        })
    }

    /// Copies the whole store, as it is at one moment, to a new file (permissions 0600)
    /// while it goes on serving. The copy appears under its name when it is complete and
    /// durable. It is an ordinary store; [`restore`](Sqlite::restore) goes back to it.
    ///
    /// # Errors
    ///
    /// If there is a file at `path`, or it cannot be written.
    pub async fn backup_to(&self, path: impl AsRef<Path>) -> Result<()> {
        let (from, to) = (self.path.clone(), path.as_ref().to_owned());
        blocking(move || backup::backup(&from, &to)).await?
    }

    /// The changes that wait to be written, those of the transaction under way included.
    pub fn waiting(&self) -> Waiting {
        self.writer.waiting()
    }

    /// How writing goes. [`try_writing`](Sqlite::try_writing) finds out anew.
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
        let same = |db: &Connection| {
            let version: u32 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
            db.pragma_update(None, "user_version", version)
        };
        self.write(0, same).await
    }

    /// Makes the store at `path` what a [copy](Sqlite::backup_to) is. Blocks.
    ///
    /// The copy is left as it is; it is checked from beginning to end. Whenever this is cut
    /// short, by the power say, there is the store as it was before or the restored one,
    /// complete and durable. What a killed process left of the one before (`-wal`, `-shm`)
    /// goes with it. The folder of `path` is made, for its owner only, if it is not there and
    /// the copy is good.
    ///
    /// # Errors
    ///
    /// [`OpenError::InUse`] if a process has the store open (be it `sqlite3`, which keeps the
    /// log of the one before from being brought home), [`OpenError::Exists`] if there
    /// is one that must not be [replaced](Existing), and of the copy [`OpenError::Foreign`],
    /// [`OpenError::Newer`], [`OpenError::Damaged`]. Nothing has changed then.
    pub fn restore(
        path: impl AsRef<Path>,
        copy: impl AsRef<Path>,
        existing: Existing,
    ) -> std::result::Result<(), OpenError> {
        restore::restore(path.as_ref(), copy.as_ref(), existing)
    }

    /// Writes what was asked for before, then closes the file. Every later call answers
    /// [`StoreError::Unavailable`]. Returns when another process could open the file.
    pub async fn close(&self) -> Result<()> {
        match self.take_threads() {
            Some(threads) => blocking(move || threads.stop()).await,
            None => Ok(()),
        }
    }

    fn take_threads(&self) -> Option<Threads> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.take()
    }

    /// Makes a change that carries so many octets. It is in the queue when the future has
    /// been polled once.
    async fn write<T: Send + 'static>(
        &self,
        octets: usize,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        self.writer.write(octets, change).await
    }

    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        self.readers.read(query).await
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        if let Some(threads) = self.take_threads() {
            threads.stop();
        }
    }
}

impl Threads {
    /// Blocks until all calls made before are done and the file is closed.
    fn stop(self) {
        // The writer's connection is closed last: it is the one that may empty the log.
        self.readers.stop();
        self.writer.stop();
        drop(self.lock);
    }
}

/// Runs on a thread of its own what happens once in a while and takes long.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let (tell, told) = oneshot::channel();
    let thread = std::thread::Builder::new().name("sqlite-task".into());
    let started = thread.spawn(move || {
        let _ = tell.send(work());
    });
    started.map_err(|error| StoreError::Unavailable(error.to_string()))?;
    told.await.map_err(|_| gone())
}

/// The thread that should answer has ended.
fn gone() -> StoreError {
    StoreError::Unavailable("closed".into())
}

fn failure(error: &rusqlite::Error) -> StoreError {
    use rusqlite::Error::*;
    let text = error.to_string();
    match error {
        FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) => {
            StoreError::Corrupt(text)
        }
        _ => match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt(text),
            Some(
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::CannotOpen
                | ErrorCode::OutOfMemory
                | ErrorCode::SystemIoFailure,
            ) => StoreError::Unavailable(text),
            _ => StoreError::Other(text),
        },
    }
}

/// A number as SQLite has it. What is larger stands for "all", and so does the largest.
fn clamp(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// A column that holds what is parsed.
fn parsed<T: std::str::FromStr>(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let text = row.get_ref(column)?.as_str()?;
    text.parse().map_err(|error| {
        let kind = rusqlite::types::Type::Text;
        rusqlite::Error::FromSqlConversionFailure(column, kind, Box::new(error))
    })
}
