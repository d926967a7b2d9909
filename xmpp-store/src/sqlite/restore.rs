//! A copy put in the place of the store.

use std::fs::{self, OpenOptions};
use std::path::Path;

use rusqlite::{Connection, ErrorCode};

use super::backup::{remove, sync_folder, vacuum_into};
use super::{Existing, file, schema};
use crate::error::{OpenError, Trying};

/// Puts a copy in the place of the store.
pub(super) fn restore(path: &Path, copy: &Path, existing: Existing) -> Result<(), OpenError> {
    let _lock = file::Lock::take(path)?;
    let look = || format!("look for {}", path.display());
    if path.try_exists().trying(look)? && existing == Existing::Keep {
        return Err(OpenError::Exists(path.to_owned()));
    }
    let partial = file::with_suffix(path, ".partial");
    let restored = prepare(copy, &partial).and_then(|()| {
        retire(path);
        put(&partial, path).trying(|| format!("put {} in its place", partial.display()))
    });
    if restored.is_err() {
        let _ = remove(&partial);
    }
    restored
}

/// Makes a durable file with what the copy has, and no more than it.
fn prepare(copy: &Path, partial: &Path) -> Result<(), OpenError> {
    let store = check(copy)?;
    let write = || format!("write {}", partial.display());
    remove(partial).trying(write)?;
    let mut options = OpenOptions::new();
    let file = file::private(options.write(true).create_new(true)).open(partial);
    let file = file.trying(write)?;
    vacuum_into(&store, partial).trying(write)?;
    file.sync_all().trying(write)?;
    // What will be read from now on.
    check(partial).map(drop)
}

/// Opens a store for reading if all of it can be read.
fn check(path: &Path) -> Result<Connection, OpenError> {
    let damaged = |what: String| OpenError::Damaged {
        path: path.to_owned(),
        what,
    };
    let checked = file::open_to_read(path).and_then(|store| {
        let check = "PRAGMA integrity_check(1)";
        let verdict: String = store.query_row(check, [], |row| row.get(0))?;
        Ok((store, verdict))
    });
    match checked {
        Ok((store, verdict)) if verdict == "ok" => {
            schema::check(&store, path, schema::STEPS)?;
            Ok(store)
        }
        Ok((_, verdict)) => Err(damaged(verdict)),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => {
            Err(damaged(error.to_string()))
        }
        Err(error) => Err(error).trying(|| format!("read {}", path.display())),
    }
}

/// Brings home what the store has in its log, so that it is complete without: between the
/// end of the log and the new file there is a moment. One that is beyond reading, which may
/// be why there is something to restore, has nothing to lose.
fn retire(path: &Path) {
    if !path.exists() {
        return;
    }
    let emptied = file::open(path).map(|store| {
        store.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
            row.get::<_, bool>(0)
        })
    });
    if !matches!(emptied, Ok(Ok(false))) {
        tracing::warn!(path = %path.display(), "the store that is replaced could not be closed well");
    }
}

/// The new file must never meet the log of another, which SQLite would write into it.
fn put(partial: &Path, path: &Path) -> std::io::Result<()> {
    for suffix in ["-wal", "-shm", "-journal"] {
        remove(&file::with_suffix(path, suffix))?;
    }
    sync_folder(path)?;
    fs::rename(partial, path)?;
    sync_folder(path)
}
