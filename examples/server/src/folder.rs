//! The data folder and the small files in it.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use xmpp_core::sasl::Secret;

const SECRET: &str = "secret";

/// Makes the folder, for its owner only, if it is not there.
pub fn prepare(folder: &Path) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))
}

/// Refuses a data folder that could not be used; one that is not there yet can be made.
pub fn check(folder: &Path) -> anyhow::Result<()> {
    match fs::metadata(folder) {
        Ok(found) if !found.is_dir() => bail!("{} is not a folder", folder.display()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot use {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// The key that accounts which do not exist are made up with. It is made once: were
/// it another after each start, a stranger could tell the made-up accounts by their salts.
pub fn secret(folder: &Path) -> anyhow::Result<Secret> {
    if let Some(secret) = read_secret(folder)? {
        return Ok(secret);
    }
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("no randomness: {error}"))?;
    write_new(&folder.join(SECRET), &bytes, 0o600)?;
    read_secret(folder)?.context("the secret is gone")
}

/// As [`secret`], if it has been made.
pub fn read_secret(folder: &Path) -> anyhow::Result<Option<Secret>> {
    let path = folder.join(SECRET);
    match fs::read(&path) {
        Ok(bytes) => {
            let bytes = <[u8; 32]>::try_from(bytes)
                .map_err(|_| anyhow!("{} is not 32 bytes", path.display()))?;
            Ok(Some(bytes.into()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Writes a file that appears complete or not at all; one that is there is replaced.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    let write = || -> io::Result<()> {
        // What an earlier attempt left may have other permissions.
        match fs::remove_file(part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(part, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_secret_is_made_once_and_for_its_owner_only() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("a/b");
        prepare(&folder).unwrap();
        secret(&folder).unwrap();
        let first = fs::read(folder.join("secret")).unwrap();
        secret(&folder).unwrap();
        assert_eq!(fs::read(folder.join("secret")).unwrap(), first);
        assert_eq!(first.len(), 32);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder.join("secret")), 0o600);
        assert_eq!(mode(&folder), 0o700);
    }

    #[test]
    fn a_damaged_secret_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("secret"), b"short").unwrap();
        let error = secret(folder.path()).unwrap_err().to_string();
        assert!(error.contains("not 32 bytes"), "{error}");
    }
}
