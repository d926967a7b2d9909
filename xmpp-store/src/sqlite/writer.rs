//! The one thread that writes, and its group commit.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

use futures::channel::oneshot;
use rusqlite::{Connection, TransactionBehavior};
use xmpp_core::store::Result;

use super::{failure, gone};
use crate::backlog::{Backlog, Place, Waiting};
use crate::error::{OpenError, Trying};
use crate::outcome::{Outcomes, Writing, is_of_the_store};

/// Changes that one transaction takes at most: it holds back the answer to the first.
const GROUP: usize = 512;

/// The way to the thread that writes.
pub(super) struct Writer {
    queue: Sender<Message>,
    backlog: Arc<Backlog>,
    outcomes: Arc<Outcomes>,
}

impl Writer {
    pub(super) fn start(
        connection: Connection,
    ) -> std::result::Result<(Writer, Thread), OpenError> {
        let (queue, messages) = mpsc::channel();
        let outcomes: Arc<Outcomes> = Arc::default();
        let noted = outcomes.clone();
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || run(connection, &messages, &noted))
            .trying(|| "start a thread".into())?;
        let writer = Writer {
            queue: queue.clone(),
            backlog: Arc::default(),
            outcomes,
        };
        Ok((writer, Thread { queue, thread }))
    }

    /// What waits to be durable.
    pub(super) fn waiting(&self) -> Waiting {
        self.backlog.waiting()
    }

    /// How it goes.
    pub(super) fn writing(&self) -> Writing {
        self.outcomes.writing()
    }

    /// Makes a change and waits until it is durable.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        octets: usize,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let place = self.backlog.admit(octets)?;
        let (answer, answered) = oneshot::channel();
        let message = Message::Change(Box::new(Pending {
            change: Some(change),
            result: None,
            answer,
            _place: place,
        }));
        self.queue.send(message).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Writer").field(&self.backlog).finish()
    }
}

/// The thread that writes.
pub(super) struct Thread {
    queue: Sender<Message>,
    thread: JoinHandle<()>,
}

impl Thread {
    /// Blocks until what was asked for before is written and the connection is closed.
    pub(super) fn stop(self) {
        let _ = self.queue.send(Message::Stop);
        let _ = self.thread.join();
    }
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Thread").field(&self.thread).finish()
    }
}

enum Message {
    Change(Box<dyn Change>),
    Stop,
}

/// A change of any result.
trait Change: Send {
    /// Makes the change within the group's transaction, or leaves no trace of it.
    fn make(&mut self, connection: &Connection);
    /// Why it could not be made, whatever became of the transaction.
    fn error(&self) -> Option<&rusqlite::Error>;
    /// Answers whoever asked, once it is known what became of the transaction.
    fn answer(self: Box<Self>, committed: &rusqlite::Result<()>);
}

struct Pending<T, F> {
    change: Option<F>,
    result: Option<rusqlite::Result<T>>,
    answer: oneshot::Sender<Result<T>>,
    _place: Place,
}

impl<T, F> Change for Pending<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> rusqlite::Result<T> + Send,
{
    fn make(&mut self, connection: &Connection) {
        if let Some(change) = self.change.take() {
            self.result = Some(apart(connection, change));
        }
    }

    fn error(&self) -> Option<&rusqlite::Error> {
        self.result.as_ref()?.as_ref().err()
    }

    fn answer(self: Box<Self>, committed: &rusqlite::Result<()>) {
        let result = match (self.result, committed) {
            (Some(Err(error)), _) => Err(failure(&error)),
            (_, Err(error)) => Err(failure(error)),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(gone()),
        };
        // Whoever asked may have gone away; the change is made all the same.
        let _ = self.answer.send(result);
    }
}

fn run(mut connection: Connection, messages: &Receiver<Message>, outcomes: &Outcomes) {
    let mut group: Vec<Box<dyn Change>> = Vec::new();
    let mut stop = false;
    while !stop {
        let Ok(mut message) = messages.recv() else {
            return;
        };
        loop {
            match message {
                Message::Change(change) => group.push(change),
                Message::Stop => {
                    stop = true;
                    break;
                }
            }
            if group.len() == GROUP {
                break;
            }
            match messages.try_recv() {
                Ok(next) => message = next,
                Err(_) => break,
            }
        }
        let committed = commit(&mut connection, &mut group);
        if let Err(error) = &committed {
            tracing::error!(%error, changes = group.len(), "cannot write to the store");
        }
        note(&group, &committed, outcomes);
        for change in group.drain(..) {
            change.answer(&committed);
        }
    }
}

fn note(group: &[Box<dyn Change>], committed: &rusqlite::Result<()>, outcomes: &Outcomes) {
    if group.is_empty() {
        return;
    }
    let errors: Vec<_> = group.iter().filter_map(|change| change.error()).collect();
    let of_the_store = |error: &&rusqlite::Error| is_of_the_store(&failure(error));
    match committed {
        Ok(()) => outcomes.note(errors.len(), errors.iter().any(of_the_store)),
        Err(_) => outcomes.note(group.len(), true),
    }
}

/// Makes all changes in one transaction. When it returns `Ok` they are durable.
fn commit(connection: &mut Connection, group: &mut [Box<dyn Change>]) -> rusqlite::Result<()> {
    if group.is_empty() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for change in group {
        change.make(&transaction);
        // A full disk, say, undoes the whole transaction and not the one statement.
        if transaction.is_autocommit() {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT_ROLLBACK);
            return Err(rusqlite::Error::SqliteFailure(code, None));
        }
    }
    transaction.commit()
}

/// Makes a change so that it can fail without undoing its neighbours.
fn apart<T>(
    connection: &Connection,
    change: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let execute = |sql| connection.prepare_cached(sql)?.execute([]);
    execute("SAVEPOINT change")?;
    let result = change(connection);
    if result.is_err() && !connection.is_autocommit() {
        execute("ROLLBACK TO change")?;
    }
    if !connection.is_autocommit() {
        execute("RELEASE change")?;
    }
    result
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::future::join_all;
    use xmpp_core::store::StoreError;

    use super::*;

    fn start() -> (Writer, Thread, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let connection = Connection::open(folder.path().join("x")).unwrap();
        let table = "CREATE TABLE t (x INTEGER UNIQUE ON CONFLICT ROLLBACK CHECK (x < 100))";
        connection.execute_batch(table).unwrap();
        let (writer, thread) = Writer::start(connection).unwrap();
        (writer, thread, folder)
    }

    fn insert(db: &Connection, x: i64) -> rusqlite::Result<usize> {
        db.execute("INSERT INTO t VALUES (?1)", [x])
    }

    fn all(writer: &Writer) -> Vec<i64> {
        let select = writer.write(0, |db| {
            let mut select = db.prepare("SELECT x FROM t ORDER BY x")?;
            select.query_map([], |row| row.get(0))?.collect()
        });
        block_on(select).unwrap()
    }

    /// Keeps the thread from taking more until the guard is dropped, so that what comes meanwhile is one group.
    fn hold(writer: &Writer) -> mpsc::Sender<()> {
        let (release, released) = mpsc::channel::<()>();
        let (begun, begins) = mpsc::channel();
        let held = writer.write(0, move |_| {
            let _ = begun.send(());
            let _ = released.recv();
            Ok(())
        });
        // Polled once, the change is in the queue, and is made though nobody waits for it.
        assert!(futures::FutureExt::now_or_never(held).is_none());
        begins.recv().unwrap();
        release
    }

    #[test]
    fn a_change_that_fails_undoes_itself_and_not_its_neighbours() {
        let (writer, thread, _folder) = start();
        let held = hold(&writer);
        let changes = (0..5).map(|x| {
            writer.write(0, move |db| {
                insert(db, x)?;
                // The third has made half of its change when it fails.
                insert(db, if x == 2 { 1000 } else { 10 + x })
            })
        });
        let changes = join_all(changes);
        let results = block_on(async {
            let (results, ()) = futures::join!(changes, async { drop(held) });
            results
        });
        let failed: Vec<_> = results.iter().map(Result::is_err).collect();
        assert_eq!(failed, [false, false, true, false, false]);
        assert_eq!(all(&writer), [0, 1, 3, 4, 10, 11, 13, 14]);
        thread.stop();
    }

    #[test]
    fn where_the_whole_transaction_is_undone_nothing_of_it_is_acknowledged() {
        let (writer, thread, _folder) = start();
        block_on(writer.write(0, |db| insert(db, 3))).unwrap();
        let held = hold(&writer);
        let changes = join_all((0..5).map(|x| writer.write(0, move |db| insert(db, x))));
        let results = block_on(async {
            let (results, ()) = futures::join!(changes, async { drop(held) });
            results
        });
        assert!(results.iter().all(Result::is_err), "{results:?}");
        assert_eq!(all(&writer), [3]);
        block_on(writer.write(0, |db| insert(db, 5))).unwrap();
        assert_eq!(all(&writer), [3, 5], "the writer goes on");
        thread.stop();
    }

    #[test]
    fn a_full_disk_is_known_until_there_is_room_again() {
        let (writer, thread, _folder) = start();
        let set = |pages: u32| {
            let set = writer.write(0, move |db| {
                db.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
            });
            block_on(set).unwrap();
        };
        let blob = || block_on(writer.write(0, |db| db.execute(BLOB, [])));
        const BLOB: &str = "CREATE TABLE blob AS SELECT zeroblob(100000)";
        let known = |failed, is_failing| {
            let expected = Writing { failed, is_failing };
            assert_eq!(writer.writing(), expected);
        };
        known(0, false);
        set(5);
        assert!(matches!(blob(), Err(StoreError::Unavailable(_))));
        known(1, true);
        set(1000);
        known(1, false);
        blob().unwrap();
        // Whoever asks for what cannot be is to blame, and not the disk.
        assert!(blob().is_err());
        known(2, false);
        thread.stop();
    }

    #[test]
    fn a_change_is_made_though_nobody_waits_for_it() {
        let (writer, thread, _folder) = start();
        let change = writer.write(0, |db| insert(db, 1));
        assert!(futures::FutureExt::now_or_never(change).is_none());
        assert_eq!(all(&writer), [1]);
        thread.stop();
    }
}
