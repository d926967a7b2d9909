//! A town of devices whose streams are managed (XEP-0198), on links that break: every seed is
//! a town.
//!
//! Every person has some devices. Most resume their streams, some only acknowledge, a few do
//! neither. Their links are cut at any byte, stall, hold back; they come back in time or too
//! late, while the server thinks the old connection alive, or twice at once. In some towns the
//! server is restarted, and sessions go on in its next run. In the end every
//! device is there on a good link, says again what it was not told is handled, and hears what
//! was kept for it. The [invariants](crate::invariants) judge the promise:
//!
//! * a session that is resumed has everything once and in order;
//! * one that is not: everything at least once, by the same id, later copies marked as late;
//! * what the server says is handled is never lost without a word.

mod device;
mod plan;
mod record;
mod store;
mod sweep;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use xmpp_core::BareJid;
use xmpp_core::store::Stores;
use xmpp_sm::Options;

use crate::chat::{self, Clock, Left, Message, Phase, REST, TOO_LONG};
use crate::client::Account;
use crate::faults::Fault;
use crate::link::Switch;
use crate::rng::Rng;
use crate::world::{self, World};

pub use plan::{Deed, Device, Leave, Mode, Plan, Visit};
pub use record::{Copy, Event, Proof, Record, Said, What};
pub use sweep::{CASES, sweep};

/// How long a count may take to become exact when nothing else happens.
const SETTLES: Duration = Duration::from_secs(60);

struct Town {
    /// The run of the server that is there, or was last.
    world: Mutex<Arc<World>>,
    /// Whether there is one.
    is_up: AtomicBool,
    /// Sessions that went on in another run.
    restored: AtomicUsize,
    plan: Plan,
    accounts: Vec<Account>,
    /// The stores behind the slow ones.
    stores: Stores,
    clock: Clock,
    start: tokio::time::Instant,
    events: Mutex<Vec<Event>>,
    affairs: Mutex<Affairs>,
}

/// Who is there, and who can be thrown out.
struct Affairs {
    rng: Rng,
    /// For each person: connections that were begun, and those that have not ended.
    visits: Vec<(u32, u32)>,
    /// For each message that was said when nobody was there to get it: how many connections
    /// its recipient had begun.
    unexpected: BTreeMap<Message, u32>,
    /// For each device: its connection, if it may be cut.
    switches: Vec<Option<Switch>>,
}

/// Somebody is there, or is about to be.
struct Coming<'a> {
    town: &'a Town,
    person: usize,
}

/// The town of a seed, with a planted fault or without.
pub fn simulate(seed: u64, fault: Option<Fault>) -> Record {
    let plan = Plan::new(&mut Rng::new(seed));
    live(seed, plan, fault)
}

/// A town with these devices.
pub fn live(seed: u64, plan: Plan, fault: Option<Fault>) -> Record {
    world::run(async move {
        let day = tokio::time::timeout(TOO_LONG, day(seed, plan, fault));
        day.await.expect("some device never stops talking")
    })
}

/// Longer than a day.
const UNBOUNDED: Duration = Duration::from_secs(10 * 86_400);

/// How long a server may take to stop.
const STOPS: Duration = Duration::from_secs(600);

/// What every run of a town's server has in common.
struct Site {
    seed: u64,
    plan: Plan,
    fault: Option<Fault>,
    stores: Stores,
    start: tokio::time::Instant,
}

impl Site {
    fn run(&self, run: u64) -> World {
        let mut options = Options::default();
        options.stanzas = self.plan.window;
        let seed = self.seed ^ run << 48;
        let stores = self.stores.clone();
        let builder = World::managing(seed, options).stores(stores);
        let mut builder = builder.configure(|config| {
            config.session_queue.stanzas = self.plan.queue;
            if !self.plan.hurry {
                config.timeouts.settle = UNBOUNDED;
            }
        });
        if let Some(fault) = self.fault {
            builder = fault.plant(builder);
        }
        builder.after(self.start).build()
    }
}

async fn day(seed: u64, plan: Plan, fault: Option<Fault>) -> Record {
    let stores = Stores::memory();
    let mut rng = Rng::new(seed).fork();
    let slow = store::Slow::new(stores.clone(), plan.store, rng.fork());
    let mut slowly = stores.clone();
    let slow = Arc::new(slow);
    slowly.offline = slow.clone();
    slowly.sessions = slow;
    let site = Site {
        seed,
        plan: plan.clone(),
        fault,
        stores: slowly,
        start: tokio::time::Instant::now(),
    };
    let world = site.run(0);
    let mut accounts = Vec::new();
    for person in 0..plan.people {
        accounts.push(world.account(&format!("p{person}")).await);
    }
    let town = Arc::new(Town {
        affairs: Mutex::new(Affairs {
            rng,
            visits: vec![(0, 0); plan.people],
            unexpected: BTreeMap::new(),
            switches: vec![None; plan.devices.len()],
        }),
        world: Mutex::new(Arc::new(world)),
        is_up: AtomicBool::new(true),
        restored: AtomicUsize::new(0),
        plan,
        accounts,
        stores,
        clock: Clock::default(),
        start: site.start,
        events: Mutex::default(),
    });
    let restarts = pin!(town.restart(&site));
    futures::future::join(device::live(&town), restarts).await;
    tokio::time::sleep(REST).await;
    town.record(seed).await
}

impl Town {
    /// Restarts the server as planned, as long as there are troubles.
    async fn restart(&self, site: &Site) {
        for (restart, run) in self.plan.restarts.iter().zip(1..) {
            tokio::time::sleep(restart.after).await;
            if self.clock.phase() > Phase::Troubles {
                return;
            }
            self.is_up.store(false, Ordering::Relaxed);
            let old = self.world();
            old.driver.suspend(STOPS).await;
            old.server.close().await;
            tokio::time::sleep(restart.down).await;
            let new = site.run(run);
            let restored = new.driver.restore().await;
            let restored = restored.expect("the stores of a simulation do not fail");
            self.restored.fetch_add(restored, Ordering::Relaxed);
            *self.world.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
            self.is_up.store(true, Ordering::Relaxed);
        }
    }

    fn world(&self) -> Arc<World> {
        let world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.clone()
    }

    fn note(&self, device: usize, visit: usize, session: u32, what: What) {
        let at = self.start.elapsed();
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.push(Event {
            at,
            device,
            visit,
            session,
            what,
        });
    }

    /// The address behind a number: a device's full JID, a person's bare one.
    fn jid(&self, to: usize) -> String {
        let account = &self.account(self.plan.recipient(to));
        match to < self.plan.devices.len() {
            true => format!("{account}/d{to}"),
            false => account.to_string(),
        }
    }

    fn account(&self, person: usize) -> &BareJid {
        &self.accounts[person].jid
    }

    /// A device is about to connect.
    fn comes(&self, device: usize) -> Coming<'_> {
        let person = self.plan.person(device);
        let visits = &mut self.affairs().visits[person];
        *visits = (visits.0 + 1, visits.1 + 1);
        Coming { town: self, person }
    }

    fn is_away(&self, person: usize) -> bool {
        let account = self.account(person).as_str();
        let world = self.world();
        // Between two runs nobody is said to be away.
        let is_up = self.is_up.load(Ordering::Relaxed);
        is_up && world.server.directory().resources(account).is_empty()
    }

    /// Whether nobody is there to get what is about to be said.
    fn expects_nobody(&self, message: Message) -> bool {
        let person = self.plan.recipient(message.to);
        let mut affairs = self.affairs();
        let (begun, present) = affairs.visits[person];
        let nobody = present == 0 && self.is_away(person);
        if nobody {
            affairs.unexpected.insert(message, begun);
        }
        nobody
    }

    /// What can be seen of a stanza at the moment at which its sender is told that it is
    /// handled.
    fn proof(&self, said: Said) -> Proof {
        let Said::Message(message, true) = said else {
            return Proof::Anywhere;
        };
        let person = self.plan.recipient(message.to);
        let affairs = self.affairs();
        let (begun, _) = affairs.visits[person];
        if affairs.unexpected.get(&message) != Some(&begun) || !self.is_away(person) {
            return Proof::Anywhere;
        }
        let kept = chat::kept(&*self.stores.offline, self.account(person));
        let kept = kept
            .now_or_never()
            .expect("memory does not keep anybody waiting");
        match kept.contains(&message) {
            true => Proof::Stored,
            false => Proof::Missing,
        }
    }

    /// Somebody has been told that his message is handled: now things get worse.
    fn spite(&self, said: Said, sender: usize) {
        let Said::Message(message, _) = said else {
            return;
        };
        if self.plan.spite == 0 || self.clock.phase() > Phase::Troubles {
            return;
        }
        let person = self.plan.recipient(message.to);
        let mut affairs = self.affairs();
        if !affairs.rng.one_in(self.plan.spite) {
            return;
        }
        let hers = (0..self.plan.devices.len()).filter(|&d| self.plan.person(d) == person);
        let candidates: Vec<_> = hers.chain([sender]).collect();
        let device = *affairs.rng.pick(&candidates);
        if let Some(switch) = affairs.switches[device].take() {
            match affairs.rng.one_in(2) {
                true => switch.reset(),
                false => switch.vanish(),
            }
        }
    }

    fn can_be_cut(&self, device: usize, switch: Option<Switch>) {
        self.affairs().switches[device] = switch;
    }

    fn affairs(&self) -> MutexGuard<'_, Affairs> {
        self.affairs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn record(&self, seed: u64) -> Record {
        let world = self.world();
        let server = &world.server;
        let mut kept = Vec::new();
        for person in 0..self.plan.people {
            let left = chat::kept(&*self.stores.offline, self.account(person)).await;
            kept.extend(left.into_iter().map(|message| (person, message)));
        }
        let put_away = self.stores.sessions.kept(None, usize::MAX).await;
        let put_away = put_away.expect("memory does not fail").len();
        let left = Left {
            sessions: server.directory().len() + put_away,
            budget: server.budget().used(),
            connections: world.driver.connections(),
            kept: kept.iter().map(|(_, message)| *message).collect(),
        };
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        Record {
            seed,
            plan: self.plan.clone(),
            events: std::mem::take(&mut events),
            left,
            kept,
            restored: self.restored.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        self.town.affairs().visits[self.person].1 -= 1;
    }
}
