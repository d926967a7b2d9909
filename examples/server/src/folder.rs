//! The data folder and the small files in it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use xmpp_core::sasl::Secret;

const SECRET: &str = "secret";
const LOCK: &str = "server.lock";

/// Keeps other servers out of the folder while it lives, whatever store they have.
pub struct Lock {
    _file: File,
}

/// Makes the folder, for its owner only, if it is not there.
pub fn prepare(folder: &Path) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))
}

/// Takes the folder for one server.
pub fn lock(folder: &Path) -> anyhow::Result<Lock> {
    let path = folder.join(LOCK);
    let what = || format!("cannot lock {}", path.display());
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.mode(0o600).open(&path).with_context(what)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut process = String::new();
            let _ = file.read_to_string(&mut process);
            let folder = folder.display();
            bail!("{folder} is in use by another process ({})", process.trim());
        }
        Err(TryLockError::Error(error)) => return Err(error).with_context(what),
    }
    // Only to tell the operator: a full disk is no reason to stop.
    let _ = file.set_len(0);
    let _ = writeln!(file, "{}", std::process::id());
    Ok(Lock { _file: file })
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
    Ok(read_key(folder)?.map(Secret::from))
}

/// A key of its own for each purpose, the same in every run; the [`secret`] has been made.
pub fn key_for(purpose: &str, folder: &Path) -> anyhow::Result<[u8; 32]> {
    let key = read_key(folder)?.context("the secret is gone")?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).context("no key")?;
    mac.update(purpose.as_bytes());
    Ok(mac.finalize().into_bytes().into())
}

/// The same on all nodes of a cluster: made of the secret that they share, for one purpose.
pub fn key_of(purpose: &str, shared: &str) -> anyhow::Result<[u8; 32]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(shared.as_bytes()).context("no key")?;
    mac.update(b"cluster\0");
    mac.update(purpose.as_bytes());
    Ok(mac.finalize().into_bytes().into())
}

fn read_key(folder: &Path) -> anyhow::Result<Option<[u8; 32]>> {
    let path = folder.join(SECRET);
    match fs::read(&path) {
        Ok(bytes) => {
            let bytes = <[u8; 32]>::try_from(bytes)
                .map_err(|_| anyhow!("{} is not 32 bytes", path.display()))?;
            Ok(Some(bytes))
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
        let key = |purpose| key_for(purpose, &folder).unwrap();
        assert_eq!(key("rooms"), key("rooms"));
        assert_ne!(key("rooms"), key("others"));
        assert_ne!(key("rooms").as_slice(), first);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder.join("secret")), 0o600);
        assert_eq!(mode(&folder), 0o700);
    }

    #[test]
    fn a_folder_is_for_one_server_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = lock(folder.path()).unwrap();
        let error = lock(folder.path()).err().unwrap().to_string();
        let process = format!("({})", std::process::id());
        assert!(error.contains("in use by another process"), "{error}");
        assert!(error.contains(&process), "{error}");
        drop(first);
        assert!(lock(folder.path()).is_ok());
    }

    #[test]
    fn a_key_that_nodes_share_is_another_for_each_purpose_and_secret() {
        let key = key_of("accounts", "a secret of the nodes").unwrap();
        assert_eq!(key, key_of("accounts", "a secret of the nodes").unwrap());
        assert_ne!(key, key_of("rooms", "a secret of the nodes").unwrap());
        assert_ne!(key, key_of("accounts", "another of theirs").unwrap());
    }

    #[test]
    fn a_damaged_secret_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("secret"), b"short").unwrap();
        let error = secret(folder.path()).unwrap_err().to_string();
        assert!(error.contains("not 32 bytes"), "{error}");
    }
}
