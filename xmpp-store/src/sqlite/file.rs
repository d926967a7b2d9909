//! The file, its lock, and how a connection to it is set up.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::error::{OpenError, Trying};

/// How long a connection waits for another program that has locked the file.
const BUSY: Duration = Duration::from_secs(5);

/// Prepared statements that a connection keeps: more than there are.
const STATEMENTS: usize = 96;

/// Page cache of a connection that reads: negative, so in KiB.
const READ_CACHE: i64 = -8192;

/// Keeps other processes away from the file while it lives.
///
/// The lock is on a file of its own. A lock on the database itself would go wrong: when
/// a process closes any handle of a file, all its POSIX locks on that file are gone, and
/// SQLite relies on them.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    pub(super) fn take(path: &Path) -> Result<Lock, OpenError> {
        let beside = with_suffix(path, ".lock");
        let lock = || format!("lock {}", beside.display());
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = private(&mut options).open(&beside).trying(lock)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = file.read_to_string(&mut text);
                return Err(OpenError::InUse {
                    path: path.to_owned(),
                    process: text.trim().parse().ok(),
                });
            }
            Err(TryLockError::Error(error)) => Err(error).trying(lock)?,
        }
        // Only to tell the operator; the lock is what counts, so a full disk is no reason to stop.
        let _ = file.set_len(0);
        let _ = writeln!(file, "{}", std::process::id());
        Ok(Lock { _file: file })
    }
}

/// Opens the file for writing, creating it if need be.
pub(super) fn open(path: &Path) -> Result<Connection, OpenError> {
    let open = || format!("open {}", path.display());
    create(path).trying(open)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags).trying(open)
}

/// Opens the file, which is there, for reading only.
pub(super) fn open_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    keep_statements(&connection)?;
    connection.pragma_update(None, "cache_size", READ_CACHE)?;
    Ok(connection)
}

/// Opens a file that is to stay as it is, and alone: a connection that only reads would make a
/// `-wal` and a `-shm` beside one in WAL mode, and leave them. A log that is there is read too.
pub(super) fn open_untouched(path: &Path) -> rusqlite::Result<Connection> {
    if with_suffix(path, "-wal").exists() {
        return open_to_read(path);
    }
    let full = std::path::absolute(path);
    let full = full.map_err(|_| rusqlite::Error::InvalidPath(path.to_owned()))?;
    let mut uri = "file:///".to_owned();
    let bytes = full.as_os_str().as_encoded_bytes();
    for byte in bytes.strip_prefix(b"/").unwrap_or(bytes) {
        match byte {
            b'/' | b'.' | b'-' | b'_' => uri.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(*byte)),
            byte => uri += &format!("%{byte:02X}"),
        }
    }
    // Without a log nobody has it open for writing.
    uri += "?immutable=1";
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)
}

/// Makes a connection one that writes durably. Changes the file if it is not in WAL mode.
pub(super) fn set_up(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    pragmas(connection).trying(|| format!("set up {}", path.display()))
}

/// Creates the file for its owner alone; SQLite gives `-wal` and `-shm` the same permissions.
fn create(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    match private(options.write(true).create_new(true)).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        created => created.map(drop),
    }
}

/// Files made with these options can be read by their owner alone.
pub(super) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

fn pragmas(connection: &Connection) -> rusqlite::Result<()> {
    keep_statements(connection)?;
    connection.execute_batch(
        "PRAGMA trusted_schema = OFF;
         PRAGMA secure_delete = FAST;         -- what is deleted is overwritten where it costs no I/O
         PRAGMA fullfsync = ON;               -- macOS: past the disk's own cache
         PRAGMA checkpoint_fullfsync = ON;
         PRAGMA cache_size = -16384;          -- KiB
         PRAGMA journal_size_limit = 67108864;",
    )?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(rusqlite::Error::ToSqlConversionFailure(
            format!("no write-ahead log on this file system (journal mode {mode})").into(),
        ));
    }
    // In WAL mode FULL is a sync for each commit; NORMAL could lose the last ones with the power.
    connection.pragma_update(None, "synchronous", "FULL")
}

fn keep_statements(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Or each new value for a LIMIT would make SQLite plan the statement anew.
    let stable_plans = DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG;
    connection.set_db_config(stable_plans, true).map(drop)
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
