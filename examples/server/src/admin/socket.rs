//! The running server's side of the socket.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::address::Address;
use super::{MAX_LINE, Office, Reply};

/// Commands served at a time; more wait.
const CLIENTS: usize = 8;
/// A command that says nothing for so long is gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// Listens. The socket goes when this is dropped.
pub struct Socket {
    path: PathBuf,
    file: FileId,
    task: tokio::task::JoinHandle<()>,
}

impl Socket {
    /// Listens at a path, in the place of a socket that an earlier process left. The caller
    /// has locked the folder, so no other server listens there.
    ///
    /// If that cannot be, the log says why, and the server goes on without: clients do not
    /// miss it.
    pub fn listen(path: &Path, office: Office) -> Option<Socket> {
        let open = || -> io::Result<(UnixListener, u32, FileId)> {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let address = Address::of(path)?;
            let listener = UnixListener::bind(address.path())?;
            fs::set_permissions(path, Permissions::from_mode(0o600))?;
            let file = fs::metadata(path)?;
            Ok((listener, file.uid(), FileId::of(&file)))
        };
        match open() {
            Ok((listener, owner, file)) => Some(Socket {
                path: path.to_owned(),
                file,
                task: tokio::spawn(accept(listener, owner, Arc::new(office))),
            }),
            Err(error) => {
                tracing::error!(%error, path = %path.display(), "no admin socket: commands cannot reach this server");
                None
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.task.abort();
        // Somebody may have put another into its place.
        let there = fs::symlink_metadata(&self.path);
        if there.is_ok_and(|there| FileId::of(&there) == self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Which file it is, whatever its name: device and inode.
#[derive(PartialEq, Eq)]
struct FileId(u64, u64);

impl FileId {
    fn of(file: &Metadata) -> FileId {
        FileId(file.dev(), file.ino())
    }
}

async fn accept(listener: UnixListener, owner: u32, office: Arc<Office>) {
    let places = Arc::new(Semaphore::new(CLIENTS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "admin socket");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // The permissions say so too, but not in the moment between bind and chmod.
        match stream.peer_cred() {
            Ok(peer) if peer.uid() == owner || peer.uid() == 0 => {}
            _ => continue,
        }
        let office = office.clone();
        tokio::spawn(async move {
            if let Err(error) = serve(stream, &office).await {
                tracing::debug!(%error, "admin socket");
            }
            drop(place);
        });
    }
}

async fn serve(stream: UnixStream, office: &Office) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        let mut bounded = (&mut stream).take(MAX_LINE as u64);
        let read = bounded.read_until(b'\n', &mut line);
        match tokio::time::timeout(PATIENCE, read).await {
            Ok(Ok(0)) | Err(_) => return Ok(()),
            Ok(read) => read?,
        };
        if line.last() != Some(&b'\n') {
            return Err(io::Error::other("a line without end"));
        }
        let reply = match serde_json::from_slice(&line) {
            Ok(request) => office.answer(request).await,
            Err(error) => Reply::Error {
                error: format!("not a request: {error}"),
            },
        };
        let mut line = serde_json::to_vec(&reply)?;
        line.push(b'\n');
        stream.write_all(&line).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::rooms::Rooms;
    use crate::{run, store};

    #[tokio::test]
    async fn a_socket_that_another_has_put_in_its_place_stays() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            data: folder.path().to_owned(),
            ..Config::default()
        };
        let store = store::open_stores(&config).await.unwrap();
        let rooms = Rooms::default();
        let server = run::build(
            &config,
            store.stores.clone(),
            [0; 32].into(),
            false,
            None,
            &rooms,
            None,
        )
        .unwrap();
        let path = config.socket();
        let listen = || {
            Socket::listen(
                &path,
                Office::new(store.clone(), server.clone(), None, rooms.clone(), None),
            )
            .unwrap()
        };
        let (first, second) = (listen(), listen());
        drop(first);
        assert!(UnixStream::connect(&path).await.is_ok());
        drop(second);
        assert!(!path.exists());
    }
}
