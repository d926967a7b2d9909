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

/// Queries that share a snapshot, and so the cost of taking one (some system calls), at most.
const GROUP: usize = 16;

/// The way to the threads that read.
pub(super) struct Readers {
    queue: Sender<Message>,
    backlog: Arc<Backlog>,
}

type Query = Box<dyn FnOnce(&Connection) + Send>;

enum Message {
    Query(Query),
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
    let mut group = Vec::with_capacity(GROUP);
    let mut stop = false;
    while !stop {
        stop = take(&mut group, messages);
        // They were asked before the snapshot is taken, so it holds all that they have to see.
        let shared = group.len() > 1 && execute(connection, "BEGIN").is_ok();
        for query in group.drain(..) {
            query(connection);
        }
        // Who stays in a snapshot would answer with what was true long ago.
        if shared && let Err(error) = execute(connection, "COMMIT") {
            tracing::error!(%error, "a thread that reads from the store ends");
            return;
        }
    }
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<usize> {
    connection.prepare_cached(sql)?.execute([])
}

/// Waits for a query and takes what waits behind it; `true` if that is the end.
fn take(group: &mut Vec<Query>, messages: &Mutex<Receiver<Message>>) -> bool {
    let messages = messages.lock().unwrap_or_else(PoisonError::into_inner);
    let mut next = messages.recv().ok();
    while let Some(message) = next {
        match message {
            Message::Query(query) => group.push(query),
            Message::Stop => return true,
        }
        if group.len() == GROUP {
            return false;
        }
        next = messages.try_recv().ok();
    }
    group.is_empty()
}
