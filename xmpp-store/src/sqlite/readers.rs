//! The few threads that read.

use std::collections::VecDeque;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
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
    queue: Arc<Queue>,
    backlog: Arc<Backlog>,
}

type Query = Box<dyn FnOnce(&Connection) + Send>;

impl Readers {
    pub(super) fn start(path: &Path) -> std::result::Result<(Readers, Threads), OpenError> {
        let queue = Arc::new(Queue::default());
        let mut threads = Threads {
            queue: queue.clone(),
            threads: Vec::new(),
        };
        for _ in 0..READERS {
            let place = Queue::enter(&queue);
            let connection =
                file::open_to_read(path).trying(|| format!("open {}", path.display()))?;
            let thread = std::thread::Builder::new()
                .name("sqlite-reader".into())
                .spawn(move || run(&connection, &place.0))
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
        self.queue.push(Box::new(move |connection| {
            let _place = place;
            if !answer.is_canceled() {
                let _ = answer.send(query(connection));
            }
        }));
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
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

impl Threads {
    /// Blocks until what was asked for before is answered and the connections are closed.
    pub(super) fn stop(self) {
        self.queue.stop();
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

/// What waits to be read. A query wakes at most one thread, and none while one that was
/// woken has not come yet: that one takes all it finds, and calls the next if it leaves any.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Query>,
    /// Threads that sleep.
    idle: usize,
    /// Whether one of them was woken and has not looked yet.
    called: bool,
    threads: usize,
    stopped: bool,
}

/// A thread's part in the queue; given back also if the thread panics.
struct Place(Arc<Queue>);

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.threads -= 1;
        if state.threads == 0 {
            state.stopped = true;
            state.waiting.clear();
        }
    }
}

impl Queue {
    fn enter(queue: &Arc<Queue>) -> Place {
        queue.lock().threads += 1;
        Place(queue.clone())
    }

    /// Drops the query, and so its answer, once there is no thread to read it.
    fn push(&self, query: Query) {
        let mut state = self.lock();
        if !state.stopped {
            state.waiting.push_back(query);
            self.call(state);
        }
    }

    fn stop(&self) {
        self.lock().stopped = true;
        self.news.notify_all();
    }

    fn call(&self, mut state: MutexGuard<'_, State>) {
        if state.idle > 0 && !state.called {
            state.called = true;
            drop(state);
            self.news.notify_one();
        }
    }

    /// Waits for queries and takes those that share a snapshot; none if that is the end.
    fn take(&self, group: &mut Vec<Query>) {
        let mut state = self.lock();
        while state.waiting.is_empty() && !state.stopped {
            state.idle += 1;
            state = self
                .news
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
            if state.called {
                // Whoever asked may be about to ask more. Where it runs on this very core, it
                // was interrupted by this thread; let it finish.
                drop(state);
                std::thread::yield_now();
                state = self.lock();
                state.called = false;
            }
        }
        let end = state.waiting.len().min(GROUP);
        group.extend(state.waiting.drain(..end));
        if !state.waiting.is_empty() {
            self.call(state);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn run(connection: &Connection, queue: &Queue) {
    let mut group = Vec::with_capacity(GROUP);
    loop {
        queue.take(&mut group);
        if group.is_empty() {
            return;
        }
        // They were asked before the snapshot is taken, so it holds all that they have to see.
        let shared = group.len() > 1 && execute(connection, "BEGIN").is_ok();
        for query in group.drain(..) {
            query(connection);
        }
        // Who stays in a snapshot would answer with what was true long ago. A query that the
        // disk has failed may have ended it already.
        if shared
            && !connection.is_autocommit()
            && let Err(error) = execute(connection, "COMMIT")
        {
            tracing::error!(%error, "a thread that reads from the store ends");
            return;
        }
    }
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<usize> {
    connection.prepare_cached(sql)?.execute([])
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::future::join_all;

    use super::*;

    fn start() -> (Readers, Threads, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("CREATE TABLE t (x)").unwrap();
        let (readers, threads) = Readers::start(&path).unwrap();
        (readers, threads, folder)
    }

    /// What the disk fails, SQLite rolls back, and with it the snapshot of the whole group.
    #[test]
    fn a_query_that_loses_the_snapshot_does_not_cost_a_thread() {
        let (readers, threads, _folder) = start();
        for _ in 0..READERS + 1 {
            let bad = readers.read(|db| db.execute_batch("ROLLBACK"));
            let good = (0..GROUP).map(|_| readers.read(|db| db.execute_batch("SELECT 1")));
            let (_, good) = block_on(async { futures::join!(bad, join_all(good)) });
            assert!(good.iter().all(|read| read.is_ok()));
        }
        assert_eq!(readers.queue.lock().threads, READERS);
        threads.stop();
    }

    #[test]
    fn nobody_waits_for_threads_that_are_gone() {
        let (readers, threads, _folder) = start();
        for _ in 0..READERS {
            let panics = readers.read(|_| -> rusqlite::Result<()> { panic!("a bug") });
            assert!(block_on(panics).is_err());
        }
        threads.stop();
        assert!(block_on(readers.read(|db| db.execute_batch("SELECT 1"))).is_err());
    }
}
