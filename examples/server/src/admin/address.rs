//! The address of a socket, which has room for a short path only.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

/// Longest path in bytes that goes into an address as it is. Linux has room for 107, others
/// for 103.
const ROOM: usize = 100;

/// A path by which a socket can be bound and reached, however long its own path is.
///
/// Where that does not fit an address, its folder is opened, and the path leads through the
/// open folder. That takes Linux's /proc; elsewhere nothing is found there.
pub struct Address {
    path: PathBuf,
    /// Keeps its number while the path is in use.
    _folder: Option<File>,
}

impl Address {
    /// The address of the socket at a path, whose folder is there if the path is long.
    pub fn of(path: &Path) -> io::Result<Address> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        if path.as_os_str().len() <= ROOM {
            return Ok(Address {
                path: path.to_owned(),
                _folder: None,
            });
        }
        let folder = File::open(folder)?;
        let number = folder.as_raw_fd();
        Ok(Address {
            path: Path::new(&format!("/proc/self/fd/{number}")).join(name),
            _folder: Some(folder),
        })
    }

    /// What to bind or connect to, as long as this lives.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    fn a_socket_is_bound_and_reached_whatever_the_length_of_its_path() {
        let temporary = tempfile::tempdir().unwrap();
        for length in [1, 40, ROOM, 200] {
            let folder = temporary.path().join("d".repeat(length));
            std::fs::create_dir(&folder).unwrap();
            let path = folder.join("admin.sock");
            let address = Address::of(&path).unwrap();
            let _listener = UnixListener::bind(address.path()).unwrap();
            assert!(path.exists(), "{}", path.display());
            UnixStream::connect(address.path()).unwrap();
        }
        let nowhere = temporary.path().join("n".repeat(200)).join("admin.sock");
        let error = Address::of(&nowhere).err().map(|error| error.kind());
        assert_eq!(error, Some(io::ErrorKind::NotFound));
    }
}
