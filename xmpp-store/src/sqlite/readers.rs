//! The few threads that read.

use std::fmt;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use futures::channel::oneshot;
use rusqlite::Connection;
use xmpp_core::store::Result;

use super::{failure, file, gone};
use crate::backlog::Backlog;
use crate::error::{OpenError, Trying};

/// Threads that read, each with a connection. Reading from the page cache is a matter of
/// microseconds; more would only help where the disk is slow.
const READERS: usize = 4;

/// The way to the threads that read.
pub(super) struct Readers {
    queue: Sender<Message>,
    backlog: Arc<Backlog>,
}

enum Message {
    Query(Box<dyn FnOnce(&Connection) + Send>),
    Stop,
}

impl Readers {
    pub(super) fn start(path: &Path) -> std::result::Result<(Readers, Threads), OpenError> {
        let (queue, messages) = mpsc::channel();
        let messages = Arc::new(Mutex::new(messages));
        let mut threads = Threads {
            queue: queue.clone(),
            threads: Vec::new(),
        };
        for _ in 0..READERS {
            let messages = messages.clone();
            let connection =
                file::open_to_read(path).trying(|| format!("open {}", path.display()))?;
            let thread = std::thread::Builder::new()
                .name("sqlite-reader".into())
                .spawn(move || run(&connection, &messages))
                .trying(|| "start a thread".into())?;
            threads.threads.push(thread);
        }
        let readers = Readers {
            queue,
            backlog: Arc::default(),
        };
        Ok((readers, threads))
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let place = self.backlog.admit(0)?;
        let (answer, answered) = oneshot::channel();
        let message = Message::Query(Box::new(move |connection| {
            let _place = place;
            if !answer.is_canceled() {
                let _ = answer.send(query(connection));
            }
        }));
        self.queue.send(message).map_err(|_| gone())?;
        let result = answered.await.map_err(|_| gone())?;
        result.map_err(|error| failure(&error))
    }
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Readers").field(&self.backlog).finish()
    }
}

/// The threads that read.
pub(super) struct Threads {
    queue: Sender<Message>,
    threads: Vec<JoinHandle<()>>,
}

impl Threads {
    /// Blocks until what was asked for before is answered and the connections are closed.
    pub(super) fn stop(self) {
        for _ in &self.threads {
            let _ = self.queue.send(Message::Stop);
        }
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Threads").field(&self.threads).finish()
    }
}

fn run(connection: &Connection, messages: &Mutex<Receiver<Message>>) {
    loop {
        let message = {
            let messages = messages.lock().unwrap_or_else(PoisonError::into_inner);
            messages.recv()
        };
        match message {
            Ok(Message::Query(query)) => query(connection),
            Ok(Message::Stop) | Err(_) => return,
        }
    }
}
