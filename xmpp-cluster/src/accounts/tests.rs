#![allow(clippy::disallowed_methods)] // an origin, from which on time is virtual

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::executor::block_on;
use futures::future::BoxFuture;
use xmpp_core::Jid;
use xmpp_core::account::AccountChange;
use xmpp_core::sasl::{Credentials, Hash, Keys};
use xmpp_core::store::memory::Memory;
use xmpp_core::store::{
    Accounts as _, JournalState, PrivateElement, Record, RosterItem, StoreError, Subscription,
    conformance,
};
use xmpp_core::time::{Now, Timestamp};

use super::outbox::{Outbox, Output, PATIENCE};
use super::*;
use crate::frame::journal::{Batch, Have, Hello};
use crate::node::{Incarnation, Life};

/// What is done wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Nothing is marked.
    NoMarks,
    /// A deletion leaves nothing behind.
    NoTombstones,
    /// A page counts as taken before it is.
    EarlyHead,
}

/// A clock that is put.
struct Hands(Instant, AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Now {
        let ms = self.1.load(Ordering::Relaxed);
        Now {
            instant: self.0 + Duration::from_millis(ms as u64),
            utc: Timestamp(1_000_000 + ms),
        }
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

/// A journal whose process dies at one of its writes.
struct Mortal {
    inner: Arc<Memory>,
    /// Writes that are left to it.
    left: AtomicU32,
    fault: Option<Fault>,
}

#[async_trait]
impl Journal for Mortal {
    async fn state(&self, fresh: u64) -> Result<JournalState> {
        self.inner.state(fresh).await
    }

    async fn record(&self, account: &BareJid, key: &str) -> Result<Option<Record>> {
        self.inner.record(account, key).await
    }

    async fn records(&self, account: &BareJid) -> Result<Vec<Record>> {
        self.inner.records(account).await
    }

    async fn since(&self, after: u64, limit: usize, octets: usize) -> Result<Vec<Record>> {
        // Small pages, so that there are many.
        self.inner.since(after, limit.min(3), octets).await
    }

    async fn write(&self, entry: &JournalEntry) -> Result<u64> {
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 {
            return Err(StoreError::Unavailable("dead".into()));
        }
        self.left.store(left - 1, Ordering::Relaxed);
        let mut entry = entry.clone();
        match self.fault {
            Some(Fault::NoMarks) => entry.marks.clear(),
            Some(Fault::NoTombstones) => entry.put.retain(|record| {
                use super::record::{Known, Subject};
                let known = Known::decode(&Subject::Account, &record.body);
                record.key != "account" || known.is_ok_and(|known| known.credentials().is_some())
            }),
            _ => {}
        }
        self.inner.write(&entry).await
    }
}

enum Message {
    Hello(Hello),
    Batch(Batch),
    Have(Have),
}

struct Node {
    memory: Arc<Memory>,
    journal: Arc<Mortal>,
    ledger: Ledger,
    outbox: Outbox,
    life: Life,
}

/// Nodes with a store each, and ways between them that are cut.
struct World {
    clock: Arc<Hands>,
    nodes: Vec<Node>,
    /// From, to, and what is under way.
    ways: Vec<(usize, usize, bool, VecDeque<Message>)>,
    fault: Option<Fault>,
}

const NAMES: [&str; 3] = ["a", "b", "c"];

impl World {
    fn new(fault: Option<Fault>) -> World {
        let clock = Arc::new(Hands(Instant::now(), AtomicI64::new(0)));
        let mut world = World {
            nodes: Vec::new(),
            ways: Vec::new(),
            clock,
            fault,
        };
        for n in 0..NAMES.len() {
            let node = world.start(n, Arc::new(Memory::new()), 1);
            world.nodes.push(node);
        }
        for from in 0..NAMES.len() {
            for to in (0..NAMES.len()).filter(|to| *to != from) {
                world.ways.push((from, to, false, VecDeque::new()));
            }
        }
        for n in 0..NAMES.len() {
            for m in 0..n {
                world.join(n, m, true);
            }
        }
        world
    }

    fn start(&self, n: usize, memory: Arc<Memory>, life: u64) -> Node {
        let journal = Arc::new(Mortal {
            inner: memory.clone(),
            left: AtomicU32::new(u32::MAX),
            fault: self.fault,
        });
        let name: NodeId = NAMES[n].parse().unwrap();
        let ledger = block_on(Ledger::open(
            Stores::from_one(memory.clone()),
            journal.clone(),
            name.clone(),
            self.clock.clone(),
            (n as u64 + 1) << 1,
        ));
        let ledger = ledger.unwrap();
        let incarnation = Incarnation(life);
        Node {
            outbox: Outbox::new(ledger.log(), ledger.last()),
            life: Life {
                node: name,
                incarnation,
            },
            memory,
            journal,
            ledger,
        }
    }

    /// Both directions at once: the membership sees to that.
    fn join(&mut self, n: usize, m: usize, up: bool) {
        for (from, to) in [(n, m), (m, n)] {
            let way = self
                .ways
                .iter_mut()
                .find(|way| (way.0, way.1) == (from, to));
            let way = way.unwrap();
            if std::mem::replace(&mut way.2, up) == up {
                continue;
            }
            way.3.clear();
            let life = self.nodes[to].life.clone();
            let mut out = Vec::new();
            match up {
                true => self.nodes[from].outbox.up(&life, &mut out),
                false => self.nodes[from].outbox.down(&life),
            }
            self.put_out(from, out);
        }
    }

    fn restart(&mut self, n: usize) {
        let joined: Vec<usize> = self
            .ways
            .iter()
            .filter(|way| way.0 == n && way.2)
            .map(|way| way.1)
            .collect();
        for m in &joined {
            self.join(n, *m, false);
        }
        let (memory, life) = (
            self.nodes[n].memory.clone(),
            self.nodes[n].life.incarnation.0,
        );
        self.nodes[n] = self.start(n, memory, life + 1);
        for m in joined {
            self.join(n, m, true);
        }
    }

    fn put_out(&mut self, n: usize, outputs: Vec<Output>) {
        let mut outputs: VecDeque<Output> = outputs.into();
        while let Some(output) = outputs.pop_front() {
            let now = self.clock.now().instant;
            let node = &mut self.nodes[n];
            let mut out = Vec::new();
            let (to, message) = match output {
                Output::Hello(life) => {
                    let (log, heads) = (node.ledger.log(), node.ledger.heads());
                    (life, Message::Hello(Hello { log, heads }))
                }
                Output::Read(life, after) => {
                    let read = block_on(node.journal.since(after, PAGE, OCTETS));
                    node.outbox.read(&life, after, read.ok(), now, &mut out);
                    outputs.extend(out);
                    continue;
                }
                Output::Batch(life, batch) => (life, Message::Batch(batch)),
                Output::Take(life, batch) => {
                    if self.fault == Some(Fault::EarlyHead) && batch.last % 3 == 0 {
                        let head = Some((batch.log, batch.last));
                        let entry = JournalEntry {
                            head,
                            ..JournalEntry::default()
                        };
                        let _ = block_on(node.ledger.write(entry));
                        node.outbox
                            .taken(&life, batch.log, Some(batch.last), &mut out);
                        outputs.extend(out);
                        continue;
                    }
                    let taken = block_on(node.ledger.take(batch.log, batch.last, &batch.records));
                    let head = taken.is_ok().then_some(batch.last);
                    node.outbox.taken(&life, batch.log, head, &mut out);
                    outputs.extend(out);
                    continue;
                }
                Output::Have(life, have) => (life, Message::Have(have)),
            };
            let to = NAMES
                .iter()
                .position(|name| *name == to.node.as_str())
                .unwrap();
            let way = self
                .ways
                .iter_mut()
                .find(|way| (way.0, way.1) == (n, to))
                .unwrap();
            if way.2 {
                way.3.push_back(message);
            }
        }
    }

    /// Something that is under way arrives; false if there is nothing.
    fn step(&mut self, rng: &mut fastrand::Rng) -> bool {
        self.clock.1.fetch_add(1, Ordering::Relaxed);
        for n in 0..self.nodes.len() {
            let last = self.nodes[n].ledger.last();
            let mut out = Vec::new();
            self.nodes[n].outbox.changed(last, &mut out);
            self.put_out(n, out);
        }
        let full: Vec<usize> = (0..self.ways.len())
            .filter(|way| !self.ways[*way].3.is_empty())
            .collect();
        let Some(way) = rng.choice(full) else {
            return false;
        };
        let (from, to, _, queue) = &mut self.ways[way];
        let (from, to, message) = (*from, *to, queue.pop_front().unwrap());
        let life = self.nodes[from].life.clone();
        let node = &mut self.nodes[to];
        let mut out = Vec::new();
        match message {
            Message::Hello(hello) => {
                assert!(
                    !node.outbox.hello(&life, &hello, &mut out),
                    "numbers have gone back"
                );
            }
            Message::Batch(batch) => {
                let head = node.ledger.head(batch.log);
                node.outbox.batch(&life, batch, head, &mut out);
            }
            Message::Have(have) => node.outbox.have(&life, &have, &mut out),
        }
        self.put_out(to, out);
        true
    }

    fn late(&mut self) {
        let late = PATIENCE.as_millis() as i64;
        self.clock.1.fetch_add(late, Ordering::Relaxed);
        let now = self.clock.now().instant;
        for n in 0..self.nodes.len() {
            let mut out = Vec::new();
            self.nodes[n].outbox.handle_timeout(now, &mut out);
            self.put_out(n, out);
        }
    }

    /// All ways are there, and all has come.
    fn heal(&mut self, rng: &mut fastrand::Rng) {
        for n in 0..self.nodes.len() {
            for m in 0..n {
                self.join(n, m, true);
            }
        }
        for _ in 0..3 {
            while self.step(rng) {}
            self.late();
        }
        while self.step(rng) {}
    }

    fn stores(&self, n: usize) -> Stores {
        self.nodes[n].ledger.stores()
    }

    /// What a store has, as text.
    fn kept(&self, n: usize) -> String {
        let stores = Stores::from_one(self.nodes[n].memory.clone());
        let mut text = String::new();
        for account in accounts() {
            let keys = block_on(stores.accounts.credentials(&account)).unwrap();
            let mut roster = block_on(stores.rosters.load(&account)).unwrap().items;
            roster.sort_by(|one, other| one.jid.cmp(&other.jid));
            let mut blocked = block_on(stores.block_lists.load(&account)).unwrap();
            blocked.sort();
            let vcard = block_on(stores.vcards.load(&account)).unwrap();
            let private = block_on(stores.private_xml.load(&account, "n", "ns")).unwrap();
            let salt = keys
                .as_ref()
                .and_then(|keys| keys.keys(Hash::Sha256).map(Keys::salt));
            text += &format!("{account} {salt:?} {roster:?} {blocked:?} {vcard:?} {private:?}\n");
        }
        text
    }

    fn is_one(&self) -> bool {
        (1..self.nodes.len()).all(|n| self.kept(n) == self.kept(0))
    }
}

fn accounts() -> [BareJid; 2] {
    ["ann@example.com", "bob@example.com"].map(|jid| jid.parse().unwrap())
}

fn contact(n: u8) -> BareJid {
    format!("contact-{n}@example.net").parse().unwrap()
}

fn credentials(n: u8) -> Credentials {
    let keys = Keys::new(Hash::Sha256, vec![n; 8], 4096, vec![n; 32], vec![n; 32]);
    Credentials::from_iter([keys.unwrap()])
}

/// Somebody does something at a node.
fn act(stores: &Stores, rng: &mut fastrand::Rng) -> Result<()> {
    let account = rng.choice(accounts()).unwrap();
    let jid = contact(rng.u8(0..3));
    let address = [Jid::from(jid.clone())];
    let n = rng.u8(1..);
    block_on(async {
        match rng.u8(0..12) {
            0..3 => _ = stores.accounts.create(&account, &credentials(n)).await?,
            3 => _ = stores.delete(&account).await?,
            4 => {
                _ = stores
                    .accounts
                    .set_credentials(&account, &credentials(n))
                    .await?
            }
            // A server changes nothing of an account that does not exist.
            _ if !stores.accounts.exists(&account).await? => {}
            5..8 => {
                let mut item = RosterItem::new(jid);
                item.name = rng.bool().then(|| n.to_string());
                item.subscription = Subscription::of(rng.bool(), rng.bool());
                stores.rosters.put(&account, &item).await?;
            }
            8 => _ = stores.rosters.remove(&account, &jid).await?,
            9 if rng.bool() => stores.block_lists.change(&account, &address, &[]).await?,
            9 => stores.block_lists.change(&account, &[], &address).await?,
            10 => stores.vcards.save(&account, &n.to_string()).await?,
            _ => {
                let element = PrivateElement {
                    name: "n".into(),
                    namespace: "ns".into(),
                    xml: n.to_string(),
                };
                stores.private_xml.save(&account, &[element], 1000).await?;
            }
        }
        Ok(())
    })
}

/// Some people at three nodes, cuts and deaths, and then a heal: whether all have the same.
fn converges(seed: u64, fault: Option<Fault>) -> bool {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut world = World::new(fault);
    for _ in 0..rng.u32(20..120) {
        let n = rng.usize(0..NAMES.len());
        match rng.u8(0..20) {
            0..9 => act(&world.stores(n), &mut rng).unwrap(),
            9 => {
                world.join(n, (n + 1) % NAMES.len(), rng.bool());
            }
            10 => {
                // It dies somewhere in what comes next.
                world.nodes[n]
                    .journal
                    .left
                    .store(rng.u32(0..3), Ordering::Relaxed);
                let _ = act(&world.stores(n), &mut rng);
                world.step(&mut rng);
                world.restart(n);
            }
            _ => {
                world.step(&mut rng);
            }
        }
    }
    world.heal(&mut rng);
    let one = world.is_one();
    if !one && fault.is_none() {
        eprintln!("{}\n{}\n{}", world.kept(0), world.kept(1), world.kept(2));
    }
    one
}

#[test]
fn all_stores_have_the_same_after_cuts_and_deaths() {
    for seed in 0..1000 {
        assert!(converges(seed, None), "seed {seed}");
    }
}

#[test]
fn planted_faults_are_found() {
    for fault in [Fault::NoMarks, Fault::NoTombstones, Fault::EarlyHead] {
        let found = (0..1000).any(|seed| {
            let run = || converges(seed, Some(fault));
            !std::panic::catch_unwind(run).unwrap_or(false)
        });
        assert!(found, "{fault:?}");
    }
}

async fn ledger() -> Stores {
    let clock = Arc::new(Hands(Instant::now(), AtomicI64::new(0)));
    let memory = Arc::new(Memory::new());
    let stores = Stores::from_one(memory.clone());
    let opened = Ledger::open(stores, memory, "a".parse().unwrap(), clock, 7);
    opened.await.unwrap().stores()
}

#[test]
fn a_ledger_conforms_as_a_store() {
    block_on(conformance::all(async || ledger().await));
    block_on(conformance::shared(async || ledger().await));
}

/// The rules, one after the other: what both sides do while they are cut, and what all have then.
#[test]
fn what_both_sides_of_a_cut_have_written_is_merged() {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut world = World::new(None);
    let [ann, bob] = accounts();
    let put = |world: &World, n: usize, name: Option<&str>, groups: &[&str]| {
        let mut item = RosterItem::new(contact(1));
        item.name = name.map(str::to_owned);
        item.groups = groups.iter().map(|group| (*group).to_owned()).collect();
        block_on(world.stores(n).rosters.put(&accounts()[0], &item)).unwrap();
    };
    let create = |world: &World, n, account: &BareJid, keys| {
        block_on(world.stores(n).accounts.create(account, &credentials(keys))).unwrap()
    };
    assert!(create(&world, 0, &ann, 1));
    world.heal(&mut rng);
    assert!(!create(&world, 1, &ann, 2), "it is there");
    put(&world, 2, None, &["friends"]);
    world.heal(&mut rng);
    for m in 1..3 {
        world.join(m, 0, false);
    }
    // A name here, a group there; the same account on both sides.
    put(&world, 0, Some("Juliet"), &["friends"]);
    put(&world, 1, None, &["family"]);
    assert!(create(&world, 0, &bob, 3));
    assert!(create(&world, 1, &bob, 4));
    world.heal(&mut rng);
    assert!(world.is_one());
    let roster = block_on(world.stores(2).rosters.load(&ann)).unwrap();
    assert_eq!(roster.items[0].name.as_deref(), Some("Juliet"));
    assert_eq!(roster.items[0].groups, ["family"]);
    let keys = block_on(world.stores(0).accounts.credentials(&bob)).unwrap();
    assert_eq!(keys, Some(credentials(4)), "the later one");
    // A deletion wins over a password that is set beside it, and later.
    world.join(1, 0, false);
    world.join(2, 0, false);
    block_on(world.stores(0).delete(&ann)).unwrap();
    world.clock.1.fetch_add(1000, Ordering::Relaxed);
    let set = block_on(
        world
            .stores(1)
            .accounts
            .set_credentials(&ann, &credentials(9)),
    );
    assert!(set.unwrap());
    put(&world, 1, Some("later"), &[]);
    world.heal(&mut rng);
    assert!(world.is_one());
    assert!(!block_on(world.stores(1).accounts.exists(&ann)).unwrap());
    // And who makes it anew has an empty one, on all nodes.
    assert!(create(&world, 2, &ann, 5));
    world.heal(&mut rng);
    assert!(world.is_one());
    let stores = world.stores(0);
    assert!(block_on(stores.accounts.exists(&ann)).unwrap());
    assert_eq!(block_on(stores.rosters.load(&ann)).unwrap().items, []);
}

/// What a client was told of a roster on one node is not taken for what another one has.
#[test]
fn versions_of_a_roster_are_of_one_store() {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut world = World::new(None);
    let ann = &accounts()[0];
    block_on(world.stores(0).accounts.create(ann, &credentials(1))).unwrap();
    let item = RosterItem::new(contact(1));
    block_on(world.stores(0).rosters.put(ann, &item)).unwrap();
    world.heal(&mut rng);
    let version = |n| block_on(world.stores(n).rosters.load(ann)).unwrap().version;
    assert_ne!(version(0), version(1));
    let since = version(0);
    let put = block_on(world.stores(1).rosters.put_since(ann, &item, since));
    assert_eq!(put.unwrap(), None);
    let put = block_on(world.stores(0).rosters.put_since(ann, &item, since));
    assert!(put.unwrap().unwrap() > since);
}

#[test]
fn accounts_that_were_there_before_are_older_than_all_that_is_written() {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut world = World::new(None);
    let ann = &accounts()[0];
    block_on(world.nodes[1].memory.create(ann, &credentials(1))).unwrap();
    block_on(world.stores(0).accounts.create(ann, &credentials(2))).unwrap();
    world.clock.1.fetch_add(1000, Ordering::Relaxed);
    assert_eq!(
        block_on(world.nodes[1].ledger.adopt("example.com")).unwrap(),
        1
    );
    assert_eq!(
        block_on(world.nodes[1].ledger.adopt("example.com")).unwrap(),
        0
    );
    world.heal(&mut rng);
    assert!(world.is_one());
    let keys = block_on(world.stores(1).accounts.credentials(ann)).unwrap();
    assert_eq!(keys, Some(credentials(2)));
}

#[test]
fn a_stamp_from_a_clock_that_is_far_ahead_is_not_taken() {
    let world = World::new(None);
    let ann = &accounts()[0];
    world.clock.1.store(100_000, Ordering::Relaxed);
    block_on(world.stores(0).accounts.create(ann, &credentials(1))).unwrap();
    world.clock.1.store(0, Ordering::Relaxed);
    let records = block_on(world.nodes[0].memory.records(ann)).unwrap();
    let taken = block_on(world.nodes[1].ledger.take(1, 1, &records));
    assert!(taken.is_err());
    assert_eq!(world.nodes[1].ledger.head(1), 0);
    world.clock.1.store(99_000, Ordering::Relaxed);
    let taken = block_on(world.nodes[1].ledger.take(1, 1, &records)).unwrap();
    assert_eq!(taken, [(ann.clone(), AccountChange::Data)]);
}

/// Who the users are is decided elsewhere.
struct ReadOnly(Arc<Memory>);

#[async_trait]
impl xmpp_core::store::Accounts for ReadOnly {
    async fn create(&self, _: &BareJid, _: &Credentials) -> Result<bool> {
        Err(StoreError::Refused("read only".into()))
    }

    async fn credentials(&self, account: &BareJid) -> Result<Option<Credentials>> {
        self.0.credentials(account).await
    }

    async fn exists(&self, account: &BareJid) -> Result<bool> {
        self.0.exists(account).await
    }

    async fn set_credentials(&self, _: &BareJid, _: &Credentials) -> Result<bool> {
        Err(StoreError::Refused("read only".into()))
    }

    async fn delete(&self, _: &BareJid) -> Result<bool> {
        Err(StoreError::Refused("read only".into()))
    }

    async fn list(&self, domain: &str, after: Option<&BareJid>, n: usize) -> Result<Vec<BareJid>> {
        self.0.list(domain, after, n).await
    }

    async fn set_last_activity(&self, of: &BareJid, at: Timestamp, status: &str) -> Result<()> {
        self.0.set_last_activity(of, at, status).await
    }

    async fn last_activity(&self, of: &BareJid) -> Result<Option<(Timestamp, String)>> {
        self.0.last_activity(of).await
    }
}

#[test]
fn a_store_that_refuses_an_account_takes_the_rest() {
    let world = World::new(None);
    let [ann, bob] = accounts();
    let stores = world.stores(0);
    for account in [&ann, &bob] {
        block_on(stores.accounts.create(account, &credentials(1))).unwrap();
        let item = RosterItem::new(contact(1));
        block_on(stores.rosters.put(account, &item)).unwrap();
    }
    let memory = Arc::new(Memory::new());
    // One of them is known there, with another password.
    block_on(memory.create(&ann, &credentials(2))).unwrap();
    let mut stores = Stores::from_one(memory.clone());
    stores.accounts = Arc::new(ReadOnly(memory.clone()));
    let name = "r".parse().unwrap();
    let opened = Ledger::open(stores, memory, name, world.clock.clone(), 99);
    let ledger = block_on(opened).unwrap();
    let owed = block_on(world.nodes[0].memory.since(0, 100, OCTETS)).unwrap();
    block_on(ledger.take(1, world.nodes[0].ledger.last(), &owed)).unwrap();
    let stores = ledger.stores();
    let roster = |account| block_on(stores.rosters.load(account)).unwrap().items;
    assert_eq!(roster(&ann).len(), 1);
    assert_eq!(roster(&bob).len(), 0);
    let keys = block_on(stores.accounts.credentials(&ann)).unwrap();
    assert_eq!(keys, Some(credentials(2)));
}
