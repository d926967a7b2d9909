//! A town of people who chat, and to whom things happen: every seed is a town.
//!
//! Some people are calm: their links are slow or cut bytes up, but never fail, and
//! they stay. Some read slowly. The others are troubled: their links garble, stall
//! and break, they come back, close their connections without a word, take the place
//! of a session that the server thinks alive. When all troubles are over, the calm
//! talk once more, and everybody leaves. What happened is a [`Record`]; the
//! [invariants](crate::invariants) judge it.

pub(crate) mod person;
mod plan;
mod record;
mod sweep;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use xmpp_core::BareJid;
use xmpp_core::store::Offline;

use crate::client::Account;
use crate::faults::Fault;
use crate::rng::Rng;
use crate::world::{self, DOMAIN, World};

pub use plan::{Deed, Leave, Nature, Person, Plan, Visit};
pub use record::{Event, Left, Message, Record, What};
pub use sweep::{CASES, sweep};

/// What waits for one session at most: little, so that slow readers reach it.
pub const QUEUE_STANZAS: usize = 6;
/// The same in bytes.
pub const QUEUE_BYTES: usize = 10_000;
/// Messages that are kept for one account at most: few, so that some come back.
const KEPT: usize = 4;
/// When everything that was going on has come to an end: stalls, time-outs of the
/// stream, connections that are found dead by what is written to keep them alive.
pub(crate) const REST: Duration = Duration::from_secs(30 * 60);
/// How often the queues are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// A town where somebody still talks after this long has stopped moving.
pub(crate) const TOO_LONG: Duration = Duration::from_secs(7 * 24 * 3600);

/// How far the day has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Phase {
    /// Things happen.
    #[default]
    Troubles,
    /// Nothing goes wrong any more, and the calm talk once more.
    Peace,
    /// Everybody leaves.
    Curtain,
}

/// Tells everybody how far the day has come, always in the same order, which tokio's
/// `watch` does not.
#[derive(Default)]
pub(crate) struct Clock {
    phase: Mutex<Phase>,
    struck: Notify,
}

struct Town {
    world: World,
    plan: Plan,
    accounts: Vec<Account>,
    phase: Clock,
    start: tokio::time::Instant,
    events: Mutex<Vec<Event>>,
    most_queued: Mutex<(usize, usize)>,
}

/// The town of a seed, with a planted fault or without.
pub fn simulate(seed: u64, fault: Option<Fault>) -> Record {
    let plan = Plan::new(&mut Rng::new(seed));
    live(seed, plan, fault)
}

/// A town where these people live.
pub fn live(seed: u64, plan: Plan, fault: Option<Fault>) -> Record {
    world::run(async move {
        let day = tokio::time::timeout(TOO_LONG, day(seed, plan, fault));
        day.await.expect("somebody never stops talking")
    })
}

async fn day(seed: u64, plan: Plan, fault: Option<Fault>) -> Record {
    let mut builder = World::builder(seed).configure(|config| {
        config.session_queue.stanzas = QUEUE_STANZAS;
        config.session_queue.bytes = QUEUE_BYTES;
        config.xml.stanza_bytes = QUEUE_BYTES;
        config.account.offline_messages = KEPT;
    });
    if let Some(fault) = fault {
        builder = fault.plant(builder);
    }
    let world = builder.build();
    let mut accounts = Vec::new();
    for person in &plan.people {
        accounts.push(world.account(&person.name).await);
    }
    let town = Arc::new(Town {
        world,
        plan,
        accounts,
        phase: Clock::default(),
        start: tokio::time::Instant::now(),
        events: Mutex::default(),
        most_queued: Mutex::default(),
    });
    person::live(&town).await;
    tokio::time::sleep(REST).await;
    town.record(seed).await
}

impl Clock {
    pub(crate) fn strike(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
        self.struck.notify_waiters();
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn wait_for(&self, phase: Phase) {
        loop {
            let struck = self.struck.notified();
            if self.phase() >= phase {
                return;
            }
            struck.await;
        }
    }
}

impl Town {
    fn note(&self, who: usize, visit: usize, what: What) {
        let at = self.start.elapsed();
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.push(Event {
            at,
            who,
            visit,
            what,
        });
    }

    /// Remembers how much waits for the one for whom most waits.
    fn look(&self) {
        let mut most = self
            .most_queued
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for account in &self.accounts {
            let resources = self
                .world
                .server
                .directory()
                .resources(account.jid.as_str());
            for session in resources.iter().filter_map(|resource| resource.session()) {
                let (stanzas, bytes) = session.queue().depth();
                *most = (most.0.max(stanzas), most.1.max(bytes));
            }
        }
    }

    async fn record(&self, seed: u64) -> Record {
        let server = &self.world.server;
        let mut kept = Vec::new();
        for account in &self.accounts {
            let offline = &*server.stores().offline;
            kept.extend(self::kept(offline, &account.jid).await);
        }
        let left = Left {
            sessions: server.directory().len(),
            budget: server.budget().used(),
            connections: self.world.driver.connections(),
            kept,
        };
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let most = self
            .most_queued
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Record {
            seed,
            domain: DOMAIN.to_owned(),
            people: self.plan.people.clone(),
            events: std::mem::take(&mut events),
            most_queued: *most,
            left,
        }
    }
}

/// The messages that a store keeps for an account.
pub(crate) async fn kept(offline: &dyn Offline, account: &BareJid) -> Vec<Message> {
    let page = offline.page(account, 0, usize::MAX).await;
    let page = page.expect("the stores of a simulation do not fail");
    let trees = page
        .iter()
        .map(|message| crate::xml::Tree::parse(&message.xml));
    trees
        .filter_map(|tree| Message::of(&tree.expect("what is kept is XML")))
        .collect()
}
