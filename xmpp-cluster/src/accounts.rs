//! The same accounts in several stores: of nodes that have a store each, and of sites.
//!
//! A [`Ledger`] is around the stores of one node, and keeps a [`Journal`]: who may log in, rosters, block lists, vCards and private XML are
//! written as ever, and what is written is known to the journal with the time and the node that has written it. A [`Courier`] brings to the other nodes what their stores lack, and adds
//! to this one what they bring, by the rules of [`heal`](crate::heal). Messages that wait for somebody stay where they were stored.
//!
//! | what is kept here | the rule |
//! |---|---|
//! | whether an account exists | a deletion wins over all that was written beside it |
//! | its keys, a vCard, an element of private XML | the last writer |
//! | a contact: name, groups, open requests | the last writer of each |
//! | a contact, and each direction of its subscription | who takes it away wins over what was written beside that |
//! | a blocked address | a block wins |
//!
//! What a deleted account had is void, and an account of the same name that is made later starts empty everywhere.

mod courier;
mod ledger;
mod outbox;
mod ports;
mod record;
#[cfg(test)]
mod tests;
mod turns;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::task::AtomicWaker;
use xmpp_core::BareJid;
use xmpp_core::store::{Journal, JournalEntry, Mark, Result, Stores};
use xmpp_core::time::Clock;

use crate::clock::{self, DRIFT, Stamp};
use crate::node::NodeId;

pub use courier::Courier;
pub use outbox::{OCTETS, PAGE, PATIENCE};

use turns::Turns;

/// The stores of a node, and the journal of what others are to have of them. Clone is cheap and names the same one.
#[derive(Clone)]
pub struct Ledger(Arc<Inner>);

struct Inner {
    stores: Stores,
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    turns: Turns,
    state: Mutex<State>,
    /// Who brings what is new to others.
    courier: AtomicWaker,
}

struct State {
    stamps: clock::Clock,
    log: u64,
    last: u64,
    heads: HashMap<u64, u64>,
    /// What is marked, or about to be.
    marks: HashMap<BareJid, Mark>,
}

impl Ledger {
    /// Opens the ledger of a node. What the run before has not brought to its end is brought there.
    ///
    /// `fresh` is random, and the name of a journal that has none yet. No two nodes of one name may write to one journal.
    ///
    /// # Errors
    ///
    /// Those of the stores.
    pub async fn open(
        stores: Stores,
        journal: Arc<dyn Journal>,
        node: NodeId,
        clock: Arc<dyn Clock>,
        fresh: u64,
    ) -> Result<Ledger> {
        // A name is above 0 and below 2^63.
        let kept = journal.state((fresh >> 1).max(1)).await?;
        let mut stamps = clock::Clock::new(node.clone(), DRIFT);
        if let Some(time) = kept.clock {
            let count = u32::MAX;
            stamps.restore(&Stamp { time, count, node });
        }
        let ledger = Ledger(Arc::new(Inner {
            stores,
            journal,
            clock,
            turns: Turns::default(),
            state: Mutex::new(State {
                stamps,
                log: kept.log,
                last: kept.last,
                heads: kept.heads.into_iter().collect(),
                marks: kept.marks.iter().cloned().collect(),
            }),
            courier: AtomicWaker::new(),
        }));
        for (account, _) in kept.marks {
            drop(ledger.turn(&account).await?);
        }
        Ok(ledger)
    }

    /// Takes accounts of a domain that are not in the journal into it, as older than all that is: those that
    /// were made before there was one, or past it. Gives how many.
    ///
    /// # Errors
    ///
    /// Those of the stores.
    pub async fn adopt(&self, domain: &str) -> Result<usize> {
        let (mut after, mut adopted) = (None, 0);
        loop {
            let accounts = &self.0.stores.accounts;
            let page = accounts
                .list(domain, after.as_ref(), ledger::ADOPTED)
                .await?;
            for account in &page {
                adopted += usize::from(self.adopt_account(account).await?);
            }
            match page.last() {
                Some(last) => after = Some(last.clone()),
                None => return Ok(adopted),
            }
        }
    }

    /// The stores for the server: as they were given, and what is written to them is known to the journal.
    pub fn stores(&self) -> Stores {
        let mut stores = self.0.stores.clone();
        let ports = Arc::new(self.clone());
        stores.accounts = ports.clone();
        stores.rosters = ports.clone();
        stores.private_xml = ports.clone();
        stores.vcards = ports.clone();
        stores.block_lists = ports;
        stores
    }

    /// The name of the journal.
    pub fn log(&self) -> u64 {
        self.state().log
    }

    /// The greatest number of a record: how far others are when they are owed nothing.
    pub fn last(&self) -> u64 {
        self.state().last
    }

    /// How far another journal is here.
    pub fn head(&self, log: u64) -> u64 {
        self.state().heads.get(&log).copied().unwrap_or(0)
    }

    /// How far all other journals are here.
    fn heads(&self) -> Vec<(u64, u64)> {
        let state = self.state();
        state
            .heads
            .iter()
            .map(|(log, head)| (*log, *head))
            .collect()
    }

    /// Sees what others have written to the same journal.
    async fn look(&self) {
        if let Ok(kept) = self.0.journal.state(self.log()).await {
            let mut state = self.state();
            state.last = state.last.max(kept.last);
        }
    }

    /// Gives the journal another name.
    async fn rename(&self, fresh: u64) -> Result<u64> {
        let log = (fresh >> 1).max(1);
        self.write(JournalEntry {
            log: Some(log),
            ..JournalEntry::default()
        })
        .await?;
        Ok(log)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere while it is held leaves it whole.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stamp of something that is written now.
    fn stamp(&self) -> Stamp {
        let now = self.0.clock.now().utc;
        self.state().stamps.stamp(now)
    }

    async fn write(&self, mut entry: JournalEntry) -> Result<()> {
        // Not behind what is in the records: stamps go on from here after a restart.
        entry.clock = match entry.put.is_empty() {
            true => None,
            false => Some(self.stamp().time),
        };
        let last = self.0.journal.write(&entry).await?;
        let mut state = self.state();
        for (account, mark) in entry.marks {
            if mark.is_none() {
                state.marks.remove(&account);
            }
        }
        if let Some((log, head)) = entry.head {
            state.heads.insert(log, head);
        }
        state.log = entry.log.unwrap_or(state.log);
        let is_new = state.last < last;
        state.last = state.last.max(last);
        drop(state);
        if is_new {
            self.0.courier.wake();
        }
        Ok(())
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        write!(f, "Ledger({} at {})", state.log, state.last)
    }
}
