//! A server with rooms in one thread: a manual clock, tasks that run when the test says so, text in and text out.

use std::cell::RefCell;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::executor::LocalPool;
use futures::future::BoxFuture;
use futures::task::LocalSpawnExt as _;
use xmpp_core::mailbox::{Origin, QueueLimits};
use xmpp_core::sasl::Secret;
use xmpp_core::server::{Config, Domain, Random, Served, Server, Spawn, Surroundings};
use xmpp_core::session::Session;
use xmpp_core::stanza::Stanza;
use xmpp_core::store::{Result, StoreError, Stores};
use xmpp_core::time::{Clock, Now, Timestamp};
use xmpp_core::{BareJid, FullJid, Jid, im};

use super::COVEN;
use crate::room::Config as RoomConfig;
use crate::service::{Options, Service};
use crate::settings::Settings;
use crate::store::memory::Memory;
use crate::store::{Change, Listed, Rooms, StoredFederation, StoredMessage, StoredRoom};

/// Where the rooms are.
pub(super) const ROOMS: &str = "rooms.example.org";

pub(super) struct World {
    pub(super) server: Server,
    pub(super) service: Service,
    pub(super) store: Arc<Store>,
    pool: RefCell<LocalPool>,
    tasks: Arc<Tasks>,
    clock: Arc<ManualClock>,
}

impl World {
    pub(super) fn new() -> World {
        World::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut Options)) -> World {
        World::on(Arc::default(), change, |_| {})
    }

    /// A server on what another has stored.
    pub(super) fn on(
        store: Arc<Store>,
        change: impl FnOnce(&mut Options),
        configure: impl FnOnce(&mut Config),
    ) -> World {
        let random: Arc<dyn Random> = Arc::new(Counted::default());
        let settings = Settings {
            admins: vec![bare("admin@example.org")],
            defaults: RoomConfig::default(),
            limits: Default::default(),
            secret: [7; 32],
            random: random.clone(),
        };
        let mut options = Options::new(bare(ROOMS), Arc::new(settings), store.clone());
        options.listed_by = vec![bare("example.org")];
        change(&mut options);
        let service = Service::new(options);
        let (tasks, clock) = (Arc::new(Tasks::default()), Arc::new(ManualClock::default()));
        let server = Server::builder()
            .domain(Domain::new(bare("example.org"), Secret::from([7; 32])))
            .configure(configure)
            .stores(Stores::memory())
            .modules(im::all())
            .module(service.clone())
            .build(Surroundings {
                clock: clock.clone(),
                random,
                spawn: tasks.clone(),
            })
            .unwrap();
        let world = World {
            server,
            service,
            store,
            pool: RefCell::default(),
            tasks,
            clock,
        };
        world.settle();
        world
    }

    /// Runs a future to its end, and everything that follows.
    pub(super) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = Box::pin(future);
        for _ in 0..100 {
            let polled = self
                .pool
                .borrow_mut()
                .run_until(async { futures::poll!(future.as_mut()) });
            if let Poll::Ready(value) = polled {
                self.settle();
                return value;
            }
            self.settle();
        }
        panic!("nothing will ever wake this future");
    }

    /// Runs all tasks until each waits for something that does not come by itself.
    pub(super) fn settle(&self) {
        let mut pool = self.pool.borrow_mut();
        loop {
            let fresh = std::mem::take(&mut *self.tasks.0.lock().unwrap());
            for task in fresh {
                pool.spawner().spawn_local(task).unwrap();
            }
            pool.run_until_stalled();
            if self.tasks.0.lock().unwrap().is_empty() {
                return;
            }
        }
    }

    /// Lets tasks run and time pass.
    pub(super) fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.settle();
    }

    /// Somebody whose resource is bound.
    pub(super) fn login(&self, jid: &str) -> Client<'_> {
        let jid = FullJid::new(jid).unwrap();
        let account = self.run(self.server.account(&jid.to_bare())).unwrap();
        let bound = self.server.bind(account, Some(jid.resource())).unwrap();
        self.settle();
        Client {
            world: self,
            session: bound.session,
        }
    }

    /// Whoever stands behind an address that is no account's: here, somebody on another server.
    pub(super) fn outside(&self, address: &str, stanzas: usize) -> Outside {
        let address = Jid::new(address).unwrap();
        let mut limits = QueueLimits::default();
        (limits.stanzas, limits.bytes) = (stanzas, 1 << 30);
        Outside {
            served: self.server.serve(&address, limits).unwrap(),
        }
    }

    /// Has a stanza arrive.
    pub(super) fn inject(&self, stanza: &str) {
        let stanza = Stanza::parse(stanza).unwrap();
        let dispatch = self.server.route(stanza, Origin::SERVER);
        let _ = self.run(dispatch.finish());
    }

    /// Somebody of another server enters the coven.
    pub(super) fn enters(&self, user: &str, nick: &str) {
        let x = "<x xmlns='http://jabber.org/protocol/muc'/>";
        self.inject(&format!(
            "<presence from='{user}' to='{COVEN}/{nick}'>{x}</presence>"
        ));
    }

    /// The same as the first, who takes it as it is.
    pub(super) fn opened_by(&self, user: &str, nick: &str) {
        self.enters(user, nick);
        self.inject(&format!(
            "<iq type='set' id='c' from='{user}' to='{COVEN}'>\
             <query xmlns='http://jabber.org/protocol/muc#owner'>\
             <x xmlns='jabber:x:data' type='submit'/></query></iq>"
        ));
    }

    /// The rooms in memory.
    pub(super) fn rooms(&self) -> Vec<String> {
        let rooms = self.service.rooms();
        rooms.iter().map(|view| view.room.to_string()).collect()
    }
}

pub(super) struct Client<'a> {
    world: &'a World,
    pub(super) session: Arc<Session>,
}

impl Client<'_> {
    /// Sends stanzas and has everything follow.
    #[track_caller]
    pub(super) fn send(&self, stanza: &str) {
        let stanza = Stanza::parse(stanza).unwrap();
        let stanza = stanza.with_from(Jid::from(self.session.jid()));
        let origin = Origin::session(self.session.id());
        let dispatch = self.world.server.submit(stanza, &self.session, origin);
        let _ = self.world.run(dispatch.finish());
    }

    pub(super) fn enter(&self, occupant: &str) {
        let muc = "<x xmlns='http://jabber.org/protocol/muc'/>";
        self.send(&format!("<presence to='{occupant}'>{muc}</presence>"));
    }

    /// Makes a room that is what rooms are by default.
    pub(super) fn make(&self, occupant: &str) {
        self.enter(occupant);
        self.configure(occupant, &[]);
        self.read();
    }

    /// Sets fields of the configuration of the room; what it answers is to be read.
    pub(super) fn configure(&self, occupant: &str, fields: &[(&str, &str)]) {
        let room = Jid::new(occupant).unwrap().to_bare();
        let fields = fields
            .iter()
            .map(|(var, value)| format!("<field var='{var}'><value>{value}</value></field>"));
        let fields: String = fields.collect();
        self.send(&format!(
            "<iq type='set' id='config' to='{room}'><query xmlns='http://jabber.org/protocol/muc#owner'>\
             <x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
             <value>http://jabber.org/protocol/muc#roomconfig</value></field>{fields}</x></query></iq>"
        ));
    }

    pub(super) fn say(&self, room: &str, text: &str) {
        self.send(&format!(
            "<message type='groupchat' to='{room}' id='{text}'><body>{text}</body></message>"
        ));
    }

    /// Asks, and has the answer.
    #[track_caller]
    pub(super) fn ask(&self, to: &str, payload: &str) -> String {
        self.read();
        self.send(&format!("<iq type='get' id='ask' to='{to}'>{payload}</iq>"));
        let read = self.read();
        let answers = read.iter().filter(|stanza| stanza.contains("id='ask'"));
        let answers: Vec<_> = answers.collect();
        assert_eq!(answers.len(), 1, "{read:?}");
        answers[0].clone()
    }

    /// Everything that it has been sent since the last call, in order.
    pub(super) fn read(&self) -> Vec<String> {
        let mut read = Vec::new();
        loop {
            if let Some(mut feed) = self.session.take_feed() {
                loop {
                    let page = self.world.run(feed.next());
                    if page.is_empty() {
                        break;
                    }
                    read.extend(page.iter().map(Stanza::to_string));
                }
            } else if let Some(envelopes) = self.session.take(usize::MAX) {
                read.extend(envelopes.iter().map(|envelope| envelope.stanza.to_string()));
            } else {
                return read;
            }
        }
    }

    /// The bodies of what it has been sent.
    pub(super) fn heard(&self) -> Vec<String> {
        bodies(&self.read())
    }
}

pub(super) struct Outside {
    served: Served,
}

impl Outside {
    pub(super) fn read(&self) -> Vec<String> {
        let waiting = self.served.queue().take(usize::MAX).flatten();
        let waiting = waiting.into_iter().flatten();
        waiting
            .map(|envelope| envelope.stanza.to_string())
            .collect()
    }
}

/// What is in the bodies of messages.
pub(super) fn bodies(stanzas: &[String]) -> Vec<String> {
    let body = |stanza: &String| {
        let (_, rest) = stanza.split_once("<body>")?;
        Some(rest.split_once("</body>")?.0.to_owned())
    };
    stanzas.iter().filter_map(body).collect()
}

pub(super) fn bare(text: &str) -> BareJid {
    BareJid::new(text).unwrap()
}

/// The store in memory, which can fail and counts.
#[derive(Default)]
pub(super) struct Store {
    pub(super) inner: Memory,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    fails: bool,
    held: bool,
    /// After so many calls more it does nothing.
    free: Option<usize>,
    refused: Option<&'static str>,
    /// After so many calls more it fails.
    good: Option<usize>,
    waiting: Vec<Waker>,
    applied: Vec<usize>,
}

impl Store {
    /// From now on it fails, or not.
    pub(super) fn fail(&self, fails: bool) {
        self.state.lock().unwrap().fails = fails;
    }

    /// After so many calls more it fails.
    pub(super) fn fail_after(&self, calls: usize) {
        self.state.lock().unwrap().good = Some(calls);
    }

    /// From now on it takes no changes in which this stands.
    pub(super) fn refuse(&self, text: &'static str) {
        self.state.lock().unwrap().refused = Some(text);
    }

    /// From now on it does nothing, or goes on.
    pub(super) fn hold(&self, held: bool) {
        let mut state = self.state.lock().unwrap();
        (state.held, state.free) = (held, None);
        state.waiting.drain(..).for_each(Waker::wake);
    }

    /// After so many calls more it does nothing.
    pub(super) fn hold_after(&self, calls: usize) {
        let mut state = self.state.lock().unwrap();
        (state.held, state.free) = (false, Some(calls));
        state.waiting.drain(..).for_each(Waker::wake);
    }

    /// How many changes each call had since this was called last.
    pub(super) fn applied(&self) -> Vec<usize> {
        std::mem::take(&mut self.state.lock().unwrap().applied)
    }

    async fn begin(&self) -> Result<()> {
        std::future::poll_fn(|cx| {
            let mut state = self.state.lock().unwrap();
            state.held |= state.free == Some(0);
            match state.held {
                true => {
                    state.waiting.push(cx.waker().clone());
                    Poll::Pending
                }
                false => {
                    state.free = state.free.and_then(|free| free.checked_sub(1));
                    Poll::Ready(())
                }
            }
        })
        .await;
        let mut state = self.state.lock().unwrap();
        state.fails |= state.good == Some(0);
        state.good = state.good.and_then(|good| good.checked_sub(1));
        match state.fails {
            true => Err(StoreError::Unavailable("told to".into())),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Rooms for Store {
    async fn load(&self, room: &BareJid) -> Result<Option<StoredRoom>> {
        self.begin().await?;
        self.inner.load(room).await
    }

    async fn history(&self, room: &BareJid, limit: usize) -> Result<Vec<StoredMessage>> {
        self.begin().await?;
        self.inner.history(room, limit).await
    }

    async fn federation(&self, room: &BareJid) -> Result<StoredFederation> {
        self.begin().await?;
        self.inner.federation(room).await
    }

    async fn apply(&self, room: &BareJid, changes: &[Change]) -> Result<()> {
        self.state.lock().unwrap().applied.push(changes.len());
        self.begin().await?;
        let refused = self.state.lock().unwrap().refused;
        if refused.is_some_and(|text| format!("{changes:?}").contains(text)) {
            return Err(StoreError::Refused("told to".into()));
        }
        self.inner.apply(room, changes).await
    }

    async fn list(
        &self,
        service: &BareJid,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<Listed>> {
        self.begin().await?;
        self.inner.list(service, after, limit).await
    }

    async fn linked(
        &self,
        service: &BareJid,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<BareJid>> {
        self.begin().await?;
        self.inner.linked(service, after, limit).await
    }

    async fn states(
        &self,
        service: &BareJid,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<(BareJid, String)>> {
        self.begin().await?;
        self.inner.states(service, after, limit).await
    }

    async fn count(&self, service: &BareJid) -> Result<usize> {
        self.begin().await?;
        self.inner.count(service).await
    }
}

#[derive(Default)]
struct Tasks(Mutex<Vec<BoxFuture<'static, ()>>>);

impl Spawn for Tasks {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.lock().unwrap().push(task);
    }
}

struct ManualClock {
    start: Instant,
    passed: Arc<Mutex<(Duration, Vec<Waker>)>>,
    /// How often somebody went to sleep since time has passed.
    sleeps: AtomicU64,
}

/// So often nobody goes to sleep at one moment who is not awake for nothing.
const SLEEPS: u64 = 10_000;

impl ManualClock {
    fn advance(&self, by: Duration) {
        self.sleeps.store(0, Ordering::Relaxed);
        let mut passed = self.passed.lock().unwrap();
        passed.0 += by;
        passed.1.drain(..).for_each(Waker::wake);
    }
}

impl Default for ManualClock {
    #[allow(clippy::disallowed_methods)] // only differences count
    fn default() -> ManualClock {
        ManualClock {
            start: Instant::now(),
            passed: Arc::default(),
            sleeps: AtomicU64::new(0),
        }
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Now {
        let passed = self.passed.lock().unwrap().0;
        Now {
            instant: self.start + passed,
            utc: Timestamp(1_767_225_600_000).plus(passed),
        }
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        let sleeps = self.sleeps.fetch_add(1, Ordering::Relaxed);
        assert!(sleeps < SLEEPS, "a task goes round and round");
        let passed = self.passed.clone();
        let due = passed.lock().unwrap().0 + time;
        Box::pin(std::future::poll_fn(move |cx| {
            let mut passed = passed.lock().unwrap();
            if passed.0 >= due {
                return Poll::Ready(());
            }
            passed.1.push(cx.waker().clone());
            Poll::Pending
        }))
    }
}

/// Every draw is another, and the same in every run.
#[derive(Default)]
struct Counted(AtomicU64);

impl Random for Counted {
    fn fill(&self, bytes: &mut [u8]) {
        let n = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        for (i, byte) in bytes.iter_mut().rev().enumerate() {
            *byte = n[7 - i % 8];
        }
    }
}
