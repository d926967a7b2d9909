//! A copy of the store while it is in use.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use rusqlite::Connection;
use xmpp_core::store::{Result, StoreError};

use super::{failure, file};

/// Copies the store into a new file, which appears when it is complete.
pub(super) fn backup(from: &Path, to: &Path) -> Result<()> {
    let failed =
        |error: io::Error| StoreError::Other(format!("backup to {}: {error}", to.display()));
    if to.try_exists().map_err(failed)? {
        return Err(failed(io::Error::other("the file exists already")));
    }
    let partial = file::with_suffix(to, ".partial");
    remove(&partial).map_err(failed)?;
    let mut options = OpenOptions::new();
    let copy = file::private(options.write(true).create_new(true)).open(&partial);
    let copied = copy.map_err(failed).and_then(|copy| {
        let copied = file::open_to_read(from).and_then(|store| vacuum_into(&store, &partial));
        copied.map_err(|error| failure(&error))?;
        copy.sync_all().map_err(failed)?;
        fs::rename(&partial, to).map_err(failed)?;
        sync_folder(to).map_err(failed)
    });
    if copied.is_err() {
        let _ = remove(&partial);
    }
    copied
}

/// One read transaction, which no writer waits for, and which no writer makes begin anew.
pub(super) fn vacuum_into(store: &Connection, to: &Path) -> rusqlite::Result<()> {
    let name = to.to_str();
    let name = name.ok_or_else(|| rusqlite::Error::InvalidPath(to.to_owned()))?;
    store.execute("VACUUM INTO ?1", [name]).map(drop)
}

/// Removes a file if it is there.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Makes the new name durable, where a folder can be opened.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    match cfg!(unix) {
        true => File::open(folder_of(path))?.sync_all(),
        false => Ok(()),
    }
}

/// The folder that a file is in.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}
