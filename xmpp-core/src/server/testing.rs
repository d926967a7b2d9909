//! A server in one thread, without sockets, for the tests of this crate: a manual
//! clock, counted randomness, tasks that run when the test says so.
//!
//! ```ignore
//! let world = World::new(im::all());
//! let romeo = world.login("romeo@example.org/orchard");
//! romeo.send("<presence/>");
//! romeo.expect(&["<presence from='romeo@example.org/orchard' to='romeo@example.org/orchard'/>"]);
//! ```

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use futures::task::ArcWake;

use super::{
    Bound, BuildError, Builder, Config, Domain, Random, Served, Server, Spawn, Surroundings,
};
use crate::mailbox::Origin;
use crate::module::{Dispatch, Module, SessionEvent};
use crate::sasl::{Credentials, MIN_ITERATIONS, Secret};
use crate::session::{Change, Resource, Session};
use crate::stanza::{Kind, PresenceType, Stanza};
use crate::store::{RosterItem, Stores, Subscription};
use crate::time::{Clock, Now, Timestamp};
use crate::xml::ns;
use crate::{BareJid, FullJid, Jid};

mod pair;

pub(crate) use pair::Pair;

/// The domain of every [`World`].
pub(crate) const DOMAIN: &str = "example.org";

/// When every [`World`] begins: 2026-01-01T00:00:00Z.
pub(crate) const BEGINNING: Timestamp = Timestamp(1_767_225_600_000);

/// A server for [`DOMAIN`] with memory stores.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) server: Server,
    tasks: Arc<Tasks>,
    clock: Arc<ManualClock>,
}

impl World {
    /// A server with these modules.
    pub(crate) fn new(modules: Vec<Arc<dyn Module>>) -> World {
        World::with(modules, |_| {})
    }

    /// A server with these modules and another configuration.
    pub(crate) fn with(
        modules: Vec<Arc<dyn Module>>,
        configure: impl FnOnce(&mut Config),
    ) -> World {
        World::on(Stores::memory(), modules, configure)
    }

    /// A server on these stores, which another world may have filled.
    pub(crate) fn on(
        stores: Stores,
        modules: Vec<Arc<dyn Module>>,
        configure: impl FnOnce(&mut Config),
    ) -> World {
        World::build(stores, modules, configure).unwrap()
    }

    /// The same, unless it cannot be built.
    pub(crate) fn build(
        stores: Stores,
        modules: Vec<Arc<dyn Module>>,
        configure: impl FnOnce(&mut Config),
    ) -> Result<World, BuildError> {
        let builder = World::builder()
            .configure(configure)
            .stores(stores)
            .modules(modules);
        World::run_by(builder, Counted::default(), Arc::default(), Arc::default())
    }

    fn builder() -> Builder {
        Server::builder().domain(Domain::new(bare(DOMAIN), Secret::from([7; 32])))
    }

    /// What the builder has, with this randomness, these tasks and this clock.
    fn run_by(
        builder: Builder,
        random: Counted,
        tasks: Arc<Tasks>,
        clock: Arc<ManualClock>,
    ) -> Result<World, BuildError> {
        let server = builder.build(Surroundings {
            clock: clock.clone(),
            random: Arc::new(random),
            spawn: tasks.clone(),
        })?;
        Ok(World {
            server,
            tasks,
            clock,
        })
    }

    /// Creates an account, unless it is there.
    pub(crate) fn account(&self, jid: &str) -> BareJid {
        let jid = bare(jid);
        let accounts = self.server.stores().accounts.clone();
        self.run(accounts.create(&jid, credentials())).unwrap();
        jid
    }

    /// Enters a contact in the roster of an account that nobody is logged in to.
    pub(crate) fn contact(&self, account: &str, contact: &str, subscription: Subscription) {
        let account = self.account(account);
        let item = RosterItem {
            jid: bare(contact),
            name: None,
            groups: Vec::new(),
            subscription,
            ask: None,
            pending_in: None,
            approved: false,
        };
        let rosters = self.server.stores().rosters.clone();
        self.run(rosters.put(&account, &item)).unwrap();
    }

    /// Binds a resource of an account, which is created if need be. It is not available yet.
    pub(crate) fn login(&self, jid: &str) -> Client {
        self.account(FullJid::new(jid).unwrap().bare_str());
        self.guest(jid)
    }

    /// Binds a resource without an account, as for one who logged in anonymously.
    pub(crate) fn guest(&self, jid: &str) -> Client {
        let jid = FullJid::new(jid).unwrap();
        let account = self.run(self.server.account(&jid.to_bare())).unwrap();
        let Bound { session, resource } = self.server.bind(account, Some(jid.resource())).unwrap();
        session.set_encrypted(true);
        self.settle();
        Client {
            world: self.clone(),
            session,
            resource,
        }
    }

    /// Has a stanza arrive that no session of ours sent.
    pub(crate) fn inject(&self, stanza: &str) {
        let stanza = Stanza::parse(stanza).unwrap();
        self.finish(self.server.route(stanza, Origin::SERVER));
    }

    /// Serves an address that is no account's, for instance as somebody's contact on
    /// another server.
    pub(crate) fn entity(&self, address: &str) -> Outside {
        let limits = Default::default();
        Outside(self.server.serve(&jid(address), limits).unwrap())
    }

    /// Runs a future to its end, and everything it starts.
    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        let waker = futures::task::waker(self.tasks.clone());
        let result = loop {
            self.tasks.woken.store(false, Ordering::Relaxed);
            if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                break result;
            }
            let moved = self.tasks.round();
            assert!(
                moved || self.tasks.woken.load(Ordering::Relaxed),
                "nothing will ever wake this future"
            );
        };
        self.settle();
        result
    }

    /// Runs what has been spawned until all of it has ended or waits for something
    /// that does not come by itself.
    pub(crate) fn settle(&self) {
        while self.tasks.round() {}
    }

    /// Waits for a dispatch, as a connection does.
    pub(crate) fn finish(&self, dispatch: Dispatch) {
        let _ = self.run(dispatch.finish());
    }

    /// Lets time pass.
    pub(crate) fn advance(&self, by: Duration) {
        let ms = by.as_millis().try_into().unwrap();
        self.clock.passed.fetch_add(ms, Ordering::Relaxed);
        self.settle();
    }
}

/// A client whose resource is bound.
#[derive(Clone)]
pub(crate) struct Client {
    world: World,
    pub(crate) session: Arc<Session>,
    pub(crate) resource: Arc<Resource>,
}

impl Client {
    /// Sends a stanza and waits for all that follows from it.
    #[track_caller]
    pub(crate) fn send(&self, stanza: &str) {
        let dispatch = self.submit(stanza);
        self.world.finish(dispatch);
    }

    /// Hands in a stanza as a connection does.
    #[track_caller]
    pub(crate) fn submit(&self, stanza: &str) -> Dispatch {
        let stanza = Stanza::parse(stanza).unwrap();
        let stanza = stanza.with_from(Jid::from(self.session.jid()));
        let origin = Origin::session(self.session.id());
        self.world.server.submit(stanza, &self.session, origin)
    }

    /// Enters presence in the directory as the module for presence does, for tests without
    /// that module.
    pub(crate) fn shows(&self, presence: &str) {
        let directory = self.world.server.directory();
        let stanza = Stanza::parse(presence).unwrap();
        let event = if stanza.kind() == Kind::Presence(PresenceType::Unavailable) {
            directory.update(&self.resource, Change::Unavailable);
            SessionEvent::Unavailable
        } else {
            let priority = stanza.payload().child("priority", ns::CLIENT);
            let priority = priority.map_or(0, |p| p.element().text().parse().unwrap());
            let initial = !self.resource.is_available();
            let stanza = stanza.with_from(Jid::from(self.session.jid()));
            directory.update(&self.resource, Change::Available(stanza, priority));
            SessionEvent::Available { initial }
        };
        self.world.server.watch(event, &self.session);
        self.world.settle();
    }

    /// Everything it was sent since the last call, bursts first.
    pub(crate) fn read(&self) -> Vec<Stanza> {
        let mut all = Vec::new();
        loop {
            while let Some(mut feed) = self.session.take_feed() {
                loop {
                    let page = self.world.run(feed.next());
                    if page.is_empty() {
                        break;
                    }
                    all.extend(page);
                }
            }
            let queued = take(self.session.queue());
            if queued.is_empty() {
                return all;
            }
            all.extend(queued);
        }
    }

    /// Compares what it was sent, in order, with these stanzas. The value `'*'` of an
    /// attribute stands for any.
    #[track_caller]
    pub(crate) fn expect(&self, stanzas: &[&str]) {
        compare(self.session.jid().as_str(), &self.read(), stanzas);
    }

    /// Takes what it was sent and does not look at it.
    pub(crate) fn skip(&self) {
        self.read();
    }

    /// Ends the session, as when the connection is gone for good.
    pub(crate) fn end(&self) {
        let dispatch = self.world.server.end(&self.session);
        self.world.finish(dispatch);
    }
}

/// Whoever stands behind an address that is no account's.
pub(crate) struct Outside(Served);

impl Outside {
    /// Everything it was sent since the last call.
    pub(crate) fn read(&self) -> Vec<Stanza> {
        take(self.0.queue())
    }

    /// Compares what it was sent, in order, with these stanzas.
    #[track_caller]
    pub(crate) fn expect(&self, stanzas: &[&str]) {
        compare("outside", &self.read(), stanzas);
    }
}

/// A bare JID out of a literal.
pub(crate) fn bare(text: &str) -> BareJid {
    BareJid::new(text).unwrap()
}

/// A JID out of a literal.
pub(crate) fn jid(text: &str) -> Jid {
    Jid::new(text).unwrap()
}

/// Whether `text` is `pattern`, in which `'*'` stands for anything between quotes.
fn is_like(text: &str, pattern: &str) -> bool {
    let Some((head, tail)) = pattern.split_once("'*'") else {
        return text == pattern;
    };
    let rest = text
        .strip_prefix(head)
        .and_then(|rest| rest.strip_prefix('\''));
    let rest = rest.and_then(|rest| rest.split_once('\''));
    rest.is_some_and(|(_, rest)| is_like(rest, tail))
}

/// Nobody logs in with these; deriving them once is enough.
fn credentials() -> &'static Credentials {
    static CREDENTIALS: LazyLock<Credentials> =
        LazyLock::new(|| Credentials::derive("secret", MIN_ITERATIONS, || [0; _]).unwrap());
    &CREDENTIALS
}

fn take(queue: &crate::mailbox::Queue) -> Vec<Stanza> {
    let envelopes = queue.take(usize::MAX).flatten().into_iter().flatten();
    envelopes.map(|envelope| envelope.stanza).collect()
}

#[track_caller]
fn compare(who: &str, read: &[Stanza], wanted: &[&str]) {
    let lines = |stanzas: &[Stanza]| -> String {
        let lines = stanzas.iter().map(|stanza| format!("  {stanza}\n"));
        lines.collect()
    };
    let wanted: Vec<_> = wanted
        .iter()
        .map(|text| Stanza::parse(text).unwrap())
        .collect();
    let matches = read.iter().zip(&wanted).all(|(read, wanted)| {
        let (read, wanted) = (read.to_string(), wanted.to_string());
        is_like(&read, &wanted)
    });
    assert!(
        read.len() == wanted.len() && matches,
        "{who} was to get\n{}and got\n{}",
        lines(&wanted),
        lines(read)
    );
}

#[derive(Default)]
struct Tasks {
    waiting: Mutex<Vec<BoxFuture<'static, ()>>>,
    woken: AtomicBool,
}

impl Tasks {
    /// Polls every task once; whether another round may bring something.
    fn round(self: &Arc<Tasks>) -> bool {
        let waker = futures::task::waker(self.clone());
        let tasks = std::mem::take(&mut *self.waiting.lock().unwrap());
        let before = tasks.len();
        self.woken.store(false, Ordering::Relaxed);
        let mut left: Vec<_> = tasks
            .into_iter()
            .filter_map(|mut task| {
                let poll = task.as_mut().poll(&mut Context::from_waker(&waker));
                poll.is_pending().then_some(task)
            })
            .collect();
        let ended = left.len() < before;
        let mut waiting = self.waiting.lock().unwrap();
        let spawned = !waiting.is_empty();
        left.append(&mut waiting);
        *waiting = left;
        ended || spawned || self.woken.load(Ordering::Relaxed)
    }
}

impl ArcWake for Tasks {
    fn wake_by_ref(tasks: &Arc<Tasks>) {
        tasks.woken.store(true, Ordering::Relaxed);
    }
}

impl Spawn for Tasks {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.waiting.lock().unwrap().push(task);
    }
}

struct ManualClock {
    start: Instant,
    passed: Arc<AtomicU64>,
}

impl Default for ManualClock {
    #[allow(clippy::disallowed_methods)] // an `Instant` comes from nowhere else; only differences count
    fn default() -> ManualClock {
        ManualClock {
            start: Instant::now(),
            passed: Arc::default(),
        }
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Now {
        let passed = Duration::from_millis(self.passed.load(Ordering::Relaxed));
        Now {
            instant: self.start + passed,
            utc: BEGINNING.plus(passed),
        }
    }

    /// Wakes nobody: [`World::advance`] has every task look again.
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        let passed = self.passed.clone();
        let due = passed.load(Ordering::Relaxed) + time.as_millis() as u64;
        Box::pin(futures::future::poll_fn(move |_| {
            match passed.load(Ordering::Relaxed) >= due {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        }))
    }
}

/// Every draw is another, and the same in every run.
#[derive(Default)]
struct Counted(AtomicU64);

impl From<u64> for Counted {
    fn from(first: u64) -> Counted {
        Counted(AtomicU64::new(first))
    }
}

impl Random for Counted {
    fn fill(&self, bytes: &mut [u8]) {
        let n = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        for (i, byte) in bytes.iter_mut().rev().enumerate() {
            *byte = n[7 - i % 8];
        }
    }
}

mod tests {
    use super::*;

    #[test]
    fn a_message_goes_from_one_client_to_another() {
        let world = World::new(Vec::new());
        let romeo = world.login("romeo@example.org/orchard");
        let juliet = world.login("juliet@example.org/balcony");
        romeo
            .send("<message to='juliet@example.org/balcony' type='chat'><body>Hi</body></message>");
        juliet.expect(&["<message to='juliet@example.org/balcony' \
             from='romeo@example.org/orchard' type='chat'><body>Hi</body></message>"]);
        juliet.end();
        assert_eq!(world.server.directory().len(), 1);
    }

    #[test]
    fn spawned_tasks_run_and_time_passes_when_told() {
        let world = World::new(Vec::new());
        let (sender, receiver) = futures::channel::oneshot::channel();
        world.server.spawn(async move {
            let _ = sender.send(1);
        });
        assert_eq!(world.run(receiver), Ok(1));
        let before = world.server.now();
        world.advance(Duration::from_secs(5));
        let after = world.server.now();
        assert_eq!(after.instant - before.instant, Duration::from_secs(5));
        assert_eq!(after.utc.since(before.utc), Duration::from_secs(5));
    }
}
