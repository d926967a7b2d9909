//! A copy put in the place of the store.

use std::fs::{self, DirBuilder, OpenOptions};
use std::path::Path;

use rusqlite::{Connection, ErrorCode};

use super::backup::{folder_of, remove, sync_folder, vacuum_into};
use super::{Existing, file, schema};
use crate::error::{OpenError, Trying};

/// Puts a copy in the place of the store.
pub(super) fn restore(path: &Path, copy: &Path, existing: Existing) -> Result<(), OpenError> {
    let folder = folder_of(path);
    if !folder.is_dir() {
        // Not even the folder is made for a copy that is not good.
        check(copy)?;
        make(folder).trying(|| format!("make the folder {}", folder.display()))?;
    }
    let _lock = file::Lock::take(path)?;
    let look = || format!("look for {}", path.display());
    if path.try_exists().trying(look)? && existing == Existing::Keep {
        return Err(OpenError::Exists(path.to_owned()));
    }
    let partial = file::with_suffix(path, ".partial");
    refuse_the_same(copy, &partial)?;
    let restored = prepare(copy, &partial).and_then(|()| {
        retire(path)?;
        put(&partial, path).trying(|| format!("put {} in its place", partial.display()))
    });
    if restored.is_err() {
        let _ = remove(&partial);
    }
    restored
}

fn make(folder: &Path) -> std::io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}

/// What an earlier attempt has left is written anew, and so must not be what is read.
fn refuse_the_same(copy: &Path, partial: &Path) -> Result<(), OpenError> {
    let is_same = match (fs::canonicalize(copy), fs::canonicalize(partial)) {
        (Ok(copy), Ok(partial)) => copy == partial,
        _ => false,
    };
    match is_same {
        true => Err("restoring writes to this very file; give it another name")
            .trying(|| format!("restore from {}", copy.display())),
        false => Ok(()),
    }
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
    rename_journal(partial).trying(write)?;
    file.sync_all().trying(write)?;
    // What will be read from now on.
    check(partial).map(drop)
}

/// What is written from now on has numbers that other stores may know as those of something else: the journal gets another
/// name when the store is opened.
fn rename_journal(partial: &Path) -> rusqlite::Result<()> {
    let store = Connection::open(partial)?;
    let has = "SELECT count(*) FROM sqlite_schema WHERE name = 'journal'";
    if store.query_row(has, [], |row| row.get(0))? {
        store.execute("UPDATE journal SET log = 0", [])?;
    }
    store.close().map_err(|(_, error)| error)
}

/// Opens a store for reading if all of it can be read.
fn check(path: &Path) -> Result<Connection, OpenError> {
    let read = || format!("read {}", path.display());
    if !fs::metadata(path).trying(read)?.is_file() {
        return Err("it is not a file").trying(read);
    }
    let damaged = |what: String| OpenError::Damaged {
        path: path.to_owned(),
        what,
    };
    let checked = file::open_untouched(path).and_then(|store| {
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
        Err(error) => Err(error).trying(read),
    }
}

/// Brings home what the store has in its log, so that it is complete without: between the
/// end of the log and the new file there is a moment. One that is beyond reading, which may
/// be why there is something to restore, has nothing to lose.
fn retire(path: &Path) -> Result<(), OpenError> {
    if !path.exists() {
        return Ok(());
    }
    let store = file::open(path)?;
    let beyond_reading = |error: &rusqlite::Error| {
        let code = error.sqlite_error_code();
        matches!(
            code,
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt)
        )
    };
    let version = store.query_row("PRAGMA schema_version", [], |_| Ok(()));
    if version.as_ref().is_err_and(beyond_reading) {
        tracing::warn!(path = %path.display(), "the store that is replaced is beyond reading");
        return Ok(());
    }
    let bring = || format!("bring home the log of {}", path.display());
    version.trying(bring)?;
    let emptied = "PRAGMA wal_checkpoint(TRUNCATE)";
    let busy = store.query_row(emptied, [], |row| row.get(0));
    match busy.trying(bring)? {
        true => Err(OpenError::InUse {
            path: path.to_owned(),
            process: None,
        }),
        false => Ok(()),
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
