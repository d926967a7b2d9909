//! The one task that writes, and its group commit.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Pool, Transaction};
use futures::channel::oneshot;
use futures::future::{join_all, maybe_done};
use tokio::sync::mpsc;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};
use xmpp_core::BareJid;
use xmpp_core::store::{Result, StoreError};

use super::{failure, within};
use crate::backlog::{Backlog, Place, Waiting};
use crate::outcome::{Outcomes, Writing, is_of_the_store};

/// Changes that one transaction takes at most: it holds back the answer to the first.
pub(super) const GROUP: usize = 512;

/// Until the transaction ends, no other server changes these accounts: their changes are
/// in one order, and ids and versions become visible in the order of their numbers. The
/// locks are taken in order, so that two servers cannot wait for each other.
const LOCK: &str = "SELECT pg_advisory_xact_lock(key)
    FROM (SELECT DISTINCT hashtextextended(jid, 0) AS key FROM unnest($1::text[]) AS jid ORDER BY key) AS keys";

/// A value for a statement.
pub(super) type Parameter = Box<dyn ToSql + Sync + Send>;

/// A change of one account.
pub(super) struct Write {
    account: BareJid,
    octets: usize,
    /// In their order, all of them or none.
    steps: Vec<Step>,
}

/// One statement of a change.
struct Step {
    sql: &'static str,
    /// From `$2`; `$1` is the account.
    parameters: Vec<Parameter>,
}

impl Write {
    /// A change by one statement, whose first parameter is the account. Carries so many octets.
    pub(super) fn new(account: &BareJid, octets: usize, sql: &'static str) -> Write {
        Write {
            account: account.clone(),
            octets,
            steps: vec![Step::new(sql)],
        }
    }

    /// A change by no statement yet.
    #[cfg(feature = "rooms")]
    pub(super) fn empty(account: &BareJid) -> Write {
        Write {
            account: account.clone(),
            octets: 0,
            steps: Vec::new(),
        }
    }

    /// With the next parameter of the last statement.
    pub(super) fn with(mut self, parameter: impl ToSql + Sync + Send + 'static) -> Write {
        if let Some(step) = self.steps.last_mut() {
            step.parameters.push(Box::new(parameter));
        }
        self
    }

    /// With one more statement, which carries so many octets more.
    #[cfg(feature = "rooms")]
    pub(super) fn and(mut self, octets: usize, sql: &'static str) -> Write {
        self.octets += octets;
        self.steps.push(Step::new(sql));
        self
    }
}

impl Step {
    fn new(sql: &'static str) -> Step {
        Step {
            sql,
            parameters: Vec::new(),
        }
    }
}

/// The way to the task that writes.
pub(super) struct Writer {
    queue: mpsc::UnboundedSender<Message>,
    backlog: Arc<Backlog>,
    outcomes: Arc<Outcomes>,
}

enum Message {
    Write(Pending),
    Stop(oneshot::Sender<()>),
}

/// A change that waits, and who waits for it.
struct Pending {
    write: Write,
    answer: oneshot::Sender<Result<Vec<Row>>>,
    _place: Place,
}

impl Writer {
    /// Starts the task. The pool is for it alone.
    #[expect(clippy::disallowed_methods, reason = "a store has its own task")]
    pub(super) fn start(pool: Pool, timeout: Duration) -> Writer {
        // Bounded by the backlog.
        let (queue, messages) = mpsc::unbounded_channel();
        let outcomes: Arc<Outcomes> = Arc::default();
        let connection = Connection {
            pool,
            timeout,
            outcomes: outcomes.clone(),
        };
        tokio::spawn(run(connection, messages));
        Writer {
            queue,
            backlog: Arc::default(),
            outcomes,
        }
    }

    /// What waits to be durable.
    pub(super) fn waiting(&self) -> Waiting {
        self.backlog.waiting()
    }

    /// How it goes.
    pub(super) fn writing(&self) -> Writing {
        self.outcomes.writing()
    }

    /// Puts a change into the queue; the future is for what comes of it.
    pub(super) fn ask(
        &self,
        write: Write,
    ) -> Result<impl Future<Output = Result<Vec<Row>>> + Send + use<>> {
        let place = self.backlog.admit(write.octets)?;
        let (answer, answered) = oneshot::channel();
        let pending = Pending {
            write,
            answer,
            _place: place,
        };
        let sent = self.queue.send(Message::Write(pending));
        sent.map_err(|_| gone())?;
        Ok(async { answered.await.map_err(|_| gone())? })
    }

    /// Returns when what was asked for before is written.
    pub(super) async fn stop(&self) {
        let (stop, stopped) = oneshot::channel();
        if self.queue.send(Message::Stop(stop)).is_ok() {
            let _ = stopped.await;
        }
    }
}

/// The one connection for writing.
struct Connection {
    pool: Pool,
    timeout: Duration,
    outcomes: Arc<Outcomes>,
}

async fn run(connection: Connection, mut messages: mpsc::UnboundedReceiver<Message>) {
    let mut received = Vec::new();
    let mut group = Vec::new();
    while messages.recv_many(&mut received, GROUP).await > 0 {
        for message in received.drain(..) {
            match message {
                Message::Write(pending) => group.push(pending),
                Message::Stop(stopped) => {
                    write(&connection, std::mem::take(&mut group)).await;
                    connection.pool.close();
                    let _ = stopped.send(());
                    return;
                }
            }
        }
        write(&connection, std::mem::take(&mut group)).await;
    }
}

/// Makes all changes and answers those who wait.
async fn write(connection: &Connection, group: Vec<Pending>) {
    if group.is_empty() {
        return;
    }
    let results = make(connection, &group).await;
    let errors: Vec<_> = results
        .iter()
        .filter_map(|made| made.as_ref().err())
        .collect();
    let failing = errors.iter().any(|error| is_of_the_store(error));
    connection.outcomes.note(errors.len(), failing);
    for (pending, result) in group.into_iter().zip(results) {
        let _ = pending.answer.send(result);
    }
}

/// Makes all changes; what came of each.
async fn make(connection: &Connection, group: &[Pending]) -> Vec<Result<Vec<Row>>> {
    match commit(connection, group).await {
        Ok(rows) => rows.into_iter().map(Ok).collect(),
        // One change is to blame. Its failure has undone all: make each by itself.
        Err(StoreError::Other(_)) if group.len() > 1 => {
            let mut results = Vec::with_capacity(group.len());
            for pending in group {
                let made = commit(connection, std::slice::from_ref(pending)).await;
                results.push(made.map(|rows| rows.into_iter().flatten().collect()));
            }
            results
        }
        Err(error) => {
            tracing::error!(%error, changes = group.len(), "cannot write to the store");
            group.iter().map(|_| Err(again(&error))).collect()
        }
    }
}

/// Makes all changes in one transaction. When it returns `Ok` they are durable.
async fn commit(connection: &Connection, group: &[Pending]) -> Result<Vec<Vec<Row>>> {
    within(connection.timeout, &connection.pool, async |client| {
        let mut statements = Vec::with_capacity(group.len());
        for step in steps(group).map(|(_, step)| step) {
            let statement = client.prepare_cached(step.sql).await;
            statements.push(statement.map_err(|error| failure(&error))?);
        }
        let transaction = client.transaction().await;
        let transaction = transaction.map_err(|error| failure(&error))?;
        lock(&transaction, group).await?;
        let mut rows = pipeline(&transaction, group, &statements)
            .await?
            .into_iter();
        transaction
            .commit()
            .await
            .map_err(|error| failure(&error))?;
        let mut of = |write: &Write| rows.by_ref().take(write.steps.len()).flatten().collect();
        Ok(group.iter().map(|pending| of(&pending.write)).collect())
    })
    .await
}

/// All statements in their order, and whose they are.
fn steps(group: &[Pending]) -> impl Iterator<Item = (&BareJid, &Step)> {
    group.iter().flat_map(|pending| {
        let Write { account, steps, .. } = &pending.write;
        steps.iter().map(move |step| (account, step))
    })
}

async fn lock(transaction: &Transaction<'_>, group: &[Pending]) -> Result<()> {
    let accounts: BTreeSet<&str> = group
        .iter()
        .map(|pending| pending.write.account.as_str())
        .collect();
    let accounts: Vec<&str> = accounts.into_iter().collect();
    let locked = async {
        let statement = transaction.prepare_cached(LOCK).await?;
        transaction.query(&statement, &[&accounts]).await
    };
    locked.await.map(drop).map_err(|error| failure(&error))
}

/// Sends all statements in their order before it waits for the first answer; the rows of each.
async fn pipeline(
    transaction: &Transaction<'_>,
    group: &[Pending],
    statements: &[Statement],
) -> Result<Vec<Vec<Row>>> {
    let mut sent = Vec::with_capacity(statements.len());
    for ((account, step), statement) in steps(group).zip(statements) {
        let query = async {
            let account = account.as_str();
            let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&account];
            for parameter in &step.parameters {
                parameters.push(&**parameter);
            }
            transaction.query(statement, &parameters).await
        };
        let mut query = Box::pin(maybe_done(query));
        // The first poll sends it.
        let _ = futures::poll!(query.as_mut());
        sent.push(query);
    }
    join_all(sent.iter_mut().map(|query| query.as_mut())).await;
    let results = sent
        .iter_mut()
        .filter_map(|query| query.as_mut().take_output());
    // After the one to blame all others fail because of it, so the first error is the one.
    results
        .map(|rows| rows.map_err(|error| failure(&error)))
        .collect()
}

/// The same error for the next who waits.
fn again(error: &StoreError) -> StoreError {
    match error {
        StoreError::Unavailable(text) => StoreError::Unavailable(text.clone()),
        StoreError::Corrupt(text) => StoreError::Corrupt(text.clone()),
        error => StoreError::Other(error.to_string()),
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable("closed".into())
}
