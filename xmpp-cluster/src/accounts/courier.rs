//! Brings what is new of accounts from store to store.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures::future::{Either, select};
use xmpp_core::account::AccountChange;
use xmpp_core::server::Server;

use super::Ledger;
use super::outbox::{OCTETS, Outbox, Output, PAGE};
use crate::cluster::{Event, SendError};
use crate::frame::Parcel;
use crate::frame::journal::{Batch, Hello};
use crate::io::{Cluster, Handler};
use crate::node::Life;

/// After this time it is looked what other nodes that keep the same journal have written, and what found no room is said again.
const LOOK: Duration = Duration::from_secs(10);

/// Tells other nodes what their stores lack, takes what they bring, and has the server's sessions see it: a [`Handler`] beside the
/// [`Exchange`](crate::exchange::Exchange), for the server whose stores are those of the [`Ledger`].
///
/// It does its work in one task of the server, from its first event on.
pub struct Courier(Arc<Inner>);

struct Inner {
    ledger: Ledger,
    server: Server,
    cluster: Cluster,
    work: Mutex<Work>,
}

struct Work {
    outbox: Outbox,
    outputs: VecDeque<Output>,
    /// Nodes that could not be told what is here.
    unsaid: Vec<Life>,
    running: bool,
}

impl Courier {
    /// For the server that has the ledger's stores.
    pub fn new(ledger: Ledger, server: Server, cluster: Cluster) -> Courier {
        let outbox = Outbox::new(ledger.log(), ledger.last());
        Courier(Arc::new(Inner {
            ledger,
            server,
            cluster,
            work: Mutex::new(Work {
                outbox,
                outputs: VecDeque::new(),
                unsaid: Vec::new(),
                running: false,
            }),
        }))
    }
}

impl Handler for Courier {
    fn handle(&self, event: &Event, _: &Cluster) {
        let inner = &self.0;
        let mut work = inner.work();
        let mut out = Vec::new();
        let outbox = &mut work.outbox;
        let mut rename = false;
        match event {
            Event::Up(node) => outbox.up(&node.life, &mut out),
            Event::Down(life, _) => outbox.down(life),
            Event::Reset(life) => outbox.reset(life, &mut out),
            Event::Parcel(from, Parcel::JournalHello(hello)) => {
                rename = outbox.hello(from, hello, &mut out);
            }
            Event::Parcel(from, Parcel::JournalBatch(batch)) => {
                let head = inner.ledger.head(batch.log);
                outbox.batch(from, (**batch).clone(), head, &mut out);
            }
            Event::Parcel(from, Parcel::JournalHave(have)) => outbox.have(from, have, &mut out),
            _ => return,
        }
        work.outputs.extend(out);
        let begin = !std::mem::replace(&mut work.running, true);
        drop(work);
        if begin {
            let inner = inner.clone();
            let server = inner.server.clone();
            server.spawn(async move { inner.run().await });
        }
        if rename {
            tracing::warn!(
                "another store has more of this one than there is: it is read anew by all"
            );
            inner.rename();
        }
        inner.ledger.0.courier.wake();
    }
}

impl Inner {
    fn work(&self) -> MutexGuard<'_, Work> {
        // A panic elsewhere while it is held leaves it whole.
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self: Arc<Self>) {
        let closing = self.server.clone();
        let turns = std::pin::pin!(self.turns());
        let closing = std::pin::pin!(closing.closing());
        select(turns, closing).await;
    }

    async fn turns(&self) {
        loop {
            loop {
                let Some(output) = self.work().outputs.pop_front() else {
                    break;
                };
                self.put_out(output).await;
            }
            self.wait().await;
            let now = self.server.now().instant;
            let mut work = self.work();
            let mut out = Vec::new();
            work.outbox.handle_timeout(now, &mut out);
            work.outbox.changed(self.ledger.last(), &mut out);
            let unsaid = std::mem::take(&mut work.unsaid);
            work.outputs.extend(out);
            work.outputs.extend(unsaid.into_iter().map(Output::Hello));
        }
    }

    /// Until there is something to do.
    async fn wait(&self) {
        let now = self.server.now().instant;
        let until = self.work().outbox.next_timeout();
        let until = until.map_or(LOOK, |at| at.saturating_duration_since(now).min(LOOK));
        let woken = poll_fn(|cx| {
            self.ledger.0.courier.register(cx.waker());
            let work = self.work();
            let is_new = work.outbox.is_behind(self.ledger.last());
            match !work.outputs.is_empty() || is_new {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        });
        let rest = std::pin::pin!(self.server.rest(until));
        if let Either::Right(_) = select(woken, rest).await {
            // Others may write to the same journal.
            self.ledger.look().await;
        }
    }

    async fn put_out(&self, output: Output) {
        let mut out = Vec::new();
        match output {
            Output::Hello(life) => {
                let hello = Hello {
                    log: self.ledger.log(),
                    heads: self.ledger.heads(),
                };
                if !self.send(&life, &Parcel::JournalHello(hello)) && self.cluster.is_up(&life) {
                    self.work().unsaid.push(life);
                }
            }
            Output::Read(life, after) => {
                let read = self.ledger.0.journal.since(after, PAGE, OCTETS).await;
                if let Err(error) = &read {
                    tracing::error!(%error, "journal not read");
                }
                let now = self.server.now().instant;
                let mut work = self.work();
                work.outbox.read(&life, after, read.ok(), now, &mut out);
            }
            Output::Batch(life, batch) => {
                // Else it goes again after a while.
                self.send(&life, &Parcel::JournalBatch(Box::new(batch)));
            }
            Output::Take(life, batch) => {
                let head = self.take(&batch).await;
                let mut work = self.work();
                work.outbox.taken(&life, batch.log, head, &mut out);
            }
            Output::Have(life, have) => {
                // Else the page comes again.
                self.send(&life, &Parcel::JournalHave(have));
            }
        }
        self.work().outputs.extend(out);
    }

    fn send(&self, to: &Life, parcel: &Parcel) -> bool {
        let sent = self.cluster.send(to, parcel);
        if sent == Err(SendError::TooLong) {
            tracing::error!(%to, "what is owed to another store is longer than a frame");
        }
        sent.is_ok()
    }

    async fn take(&self, batch: &Batch) -> Option<u64> {
        let taken = self
            .ledger
            .take(batch.log, batch.last, &batch.records)
            .await;
        match taken {
            Ok(changed) => {
                for (account, change) in changed {
                    self.server.account_changed(&account, change);
                    if change == AccountChange::Removed {
                        // It may be there again.
                        self.server.account_changed(&account, AccountChange::Data);
                    }
                }
                Some(batch.last)
            }
            Err(error) => {
                tracing::error!(%error, "what another store has was not taken");
                None
            }
        }
    }

    fn rename(self: &Arc<Self>) {
        let inner = self.clone();
        self.server.spawn(async move {
            let log = u64::from_le_bytes(inner.server.random());
            match inner.ledger.rename(log).await {
                Ok(log) => {
                    let mut out = Vec::new();
                    let mut work = inner.work();
                    work.outbox.renamed(log, &mut out);
                    work.outputs.extend(out);
                }
                Err(error) => tracing::error!(%error, "journal not renamed"),
            }
            inner.ledger.0.courier.wake();
        });
    }
}

impl fmt::Debug for Courier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Courier({:?})", self.0.ledger)
    }
}
