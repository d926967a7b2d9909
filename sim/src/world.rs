//! A server in a world of its own: its clock is virtual, its randomness comes from
//! one seed, its connections are simulated links. The driver, the streams, the
//! routing and the modules are the real ones.

use std::cell::Cell;
use std::future::Future;
use std::net::IpAddr;
use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tokio::task::JoinHandle;
use xmpp_core::BareJid;
use xmpp_core::account::AccountEvents;
use xmpp_core::directory::Directory;
use xmpp_core::im;
use xmpp_core::io::{Driver, DriverConfig, Security, Tls, TokioSpawn};
use xmpp_core::module::Module;
use xmpp_core::router::Router;
use xmpp_core::sasl::{Credentials, Secret};
use xmpp_core::server::{Builder, Config, Domain, Server, Surroundings};
use xmpp_core::standby::Copies;
use xmpp_core::store::Stores;
use xmpp_core::time::{Clock, Now, Timestamp};
use xmpp_sm::{Options, StreamManagement};

use crate::client::{Account, Client};
use crate::link::{End, Line, cable};
use crate::rng::{Rng, SeededRandom};

/// The domain of every world.
pub const DOMAIN: &str = "example.org";
/// The password of every account.
pub const PASSWORD: &str = "r0m30myr0m30";
/// The fewest rounds that are allowed: here nobody guesses passwords.
const ROUNDS: u32 = 4096;
/// Every world begins at 2026-01-01T00:00:00Z.
const EPOCH: Timestamp = Timestamp(1_767_225_600_000);

/// A server and its surroundings. To be made and used within [`run`].
pub struct World {
    /// The server.
    pub server: Server,
    /// Its driver.
    pub driver: Driver,
    rng: Mutex<Rng>,
    pattern: Account,
}

/// Makes a [`World`] that is not as usual.
pub struct WorldBuilder {
    seed: u64,
    builder: Builder,
    driver: DriverConfig,
    tls: Option<Tls>,
    start: Instant,
}

/// Runs a future on a runtime of its own, with virtual time: when nobody has anything
/// to do, the clock jumps to the next moment at which somebody has.
///
/// # Panics
/// If any task on it did: whatever a client sends, nothing in a server may.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICS.set(PANICS.get() + 1);
            usual(info);
        }));
    });
    let before = PANICS.get();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        // The future has its turn like any task, not once in 61 of theirs.
        .event_interval(1)
        .build()
        .expect("a runtime without I/O needs nothing from the system");
    let output = runtime.block_on(future);
    drop(runtime);
    assert_eq!(PANICS.get(), before, "a task panicked");
    output
}

thread_local! {
    static PANICS: Cell<usize> = const { Cell::new(0) };
}

impl World {
    /// A server with memory stores and all modules for people.
    pub fn new(seed: u64) -> World {
        World::builder(seed).build()
    }

    /// A world that is not as usual.
    pub fn builder(seed: u64) -> WorldBuilder {
        World::managing(seed, Options::default())
    }

    /// A world that is not as usual, where streams are managed in this way.
    pub fn managing(seed: u64, streams: Options) -> WorldBuilder {
        let mut rng = Rng::new(seed);
        let name = BareJid::new(DOMAIN).expect("it is a domain");
        let mut domain = Domain::new(name, Secret::from(rng.bytes()));
        domain.plaintext = Some(true);
        domain.sasl.plain_without_tls = true;
        domain.sasl.iterations = ROUNDS;
        WorldBuilder {
            seed,
            builder: Server::builder()
                .domain(domain)
                .modules(im::all())
                .module(StreamManagement::new(streams)),
            driver: DriverConfig::default(),
            tls: None,
            start: tokio::time::Instant::now().into_std(),
        }
    }

    /// An account, created unless it is there.
    pub async fn account(&self, name: &str) -> Account {
        let jid = BareJid::new(&format!("{name}@{DOMAIN}")).expect("names in tests are valid");
        let accounts = &self.server.stores().accounts;
        accounts
            .create(&jid, credentials())
            .await
            .expect("the stores of a simulation do not fail");
        self.pattern.like(jid)
    }

    /// A connection over these lines: the client's end of it.
    pub fn connect(&self, up: Line, down: Line) -> End {
        self.connect_as(None, Security::Plain, up, down)
    }

    /// A connection from an address, to a listener with this security.
    pub fn connect_as(
        &self,
        peer: Option<IpAddr>,
        security: Security,
        up: Line,
        down: Line,
    ) -> End {
        let (client, server) = cable(up, down, self.rng());
        self.driver.connect(server, peer, security);
        client
    }

    /// A client that has just connected over a perfect link.
    pub fn client(&self) -> Client<End> {
        Client::new(self.connect(Line::perfect(), Line::perfect()))
    }

    /// A client that has logged in over a perfect link. What it is called is its
    /// resource as well.
    pub async fn login(&self, name: &str) -> Client<End> {
        let account = self.account(name).await;
        let mut client = self.client();
        let login = client.login(&account, Some(name), &mut self.rng()).await;
        if let Err(error) = login {
            panic!("{name} could not log in: {error}");
        }
        client
    }

    /// Randomness for something new in this world.
    pub fn rng(&self) -> Rng {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        rng.fork()
    }
}

impl WorldBuilder {
    /// Changes the server's configuration.
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> WorldBuilder {
        self.builder = self.builder.configure(change);
        self
    }

    /// Changes how the driver treats connections.
    pub fn driver(mut self, change: impl FnOnce(&mut DriverConfig)) -> WorldBuilder {
        change(&mut self.driver);
        self
    }

    /// Certificates, for connections that are to be encrypted.
    pub fn tls(mut self, tls: Tls) -> WorldBuilder {
        self.tls = Some(tls);
        self
    }

    /// Its clock goes on from that of a world that began then, and has ended.
    pub fn after(mut self, start: tokio::time::Instant) -> WorldBuilder {
        self.start = start.into_std();
        self
    }

    /// Other stores than those in memory.
    pub fn stores(mut self, stores: Stores) -> WorldBuilder {
        self.builder = self.builder.stores(stores);
        self
    }

    /// Who keeps copies of sessions.
    pub fn copies(mut self, copies: Arc<dyn Copies>) -> WorldBuilder {
        self.builder = self.builder.copies(copies);
        self
    }

    /// Another router.
    pub fn router(
        mut self,
        make: impl FnOnce(Arc<dyn Directory>, &Config) -> Arc<dyn Router> + 'static,
    ) -> WorldBuilder {
        self.builder = self.builder.router(make);
        self
    }

    /// Another directory.
    pub fn directory(mut self, directory: Arc<dyn Directory>) -> WorldBuilder {
        self.builder = self.builder.directory(directory);
        self
    }

    /// Who tells other nodes what changes of accounts.
    pub fn account_events(mut self, events: Arc<dyn AccountEvents>) -> WorldBuilder {
        self.builder = self.builder.account_events(events);
        self
    }

    /// One more module.
    pub fn module(mut self, module: impl Module) -> WorldBuilder {
        self.builder = self.builder.module(module);
        self
    }

    /// The world.
    pub fn build(self) -> World {
        let mut rng = Rng::new(self.seed);
        let surroundings = Surroundings {
            clock: Arc::new(VirtualClock { start: self.start }),
            random: Arc::new(SeededRandom::new(rng.fork())),
            spawn: Arc::new(TokioSpawn),
        };
        let server = self
            .builder
            .build(surroundings)
            .expect("one domain, and modules that do not clash");
        let nobody = BareJid::new(DOMAIN).expect("it is a domain");
        World {
            driver: Driver::new(server.clone(), self.tls, self.driver),
            server,
            rng: Mutex::new(rng),
            pattern: Account::new(nobody, PASSWORD),
        }
    }
}

/// The clock of the runtime.
struct VirtualClock {
    start: Instant,
}

impl Clock for VirtualClock {
    fn now(&self) -> Now {
        let instant = tokio::time::Instant::now().into_std();
        let elapsed = instant.saturating_duration_since(self.start);
        Now {
            instant,
            utc: EPOCH.plus(elapsed),
        }
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(time))
    }
}

/// All accounts have the same, derived once.
fn credentials() -> &'static Credentials {
    static CREDENTIALS: OnceLock<Credentials> = OnceLock::new();
    CREDENTIALS.get_or_init(|| {
        let mut rng = Rng::new(0);
        Credentials::derive(PASSWORD, ROUNDS, || rng.bytes()).expect("it is a good password")
    })
}

/// Waits until nothing happens any more but for what `of` virtual time brings.
pub async fn quiet(of: Duration) {
    tokio::time::sleep(of).await;
}

/// Awaits a future, and tells how many turns of the scheduler it took: in each every
/// task that is ready runs once. Meanwhile virtual time stands still.
#[allow(clippy::disallowed_methods)] // what counts is a task
pub async fn turns<F: Future>(future: F) -> (F::Output, usize) {
    /// Stops when nobody waits any more.
    struct Counter(JoinHandle<()>);

    impl Drop for Counter {
        fn drop(&mut self) {
            self.0.abort();
        }
    }

    let turns = Arc::new(AtomicUsize::new(0));
    let counted = turns.clone();
    let _counter = Counter(tokio::spawn(std::future::poll_fn(move |cx| {
        counted.fetch_add(1, Ordering::Relaxed);
        // It goes to the end of the queue.
        cx.waker().wake_by_ref();
        Poll::Pending
    })));
    let output = future.await;
    (output, turns.load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_clients_chat_over_links_cut_at_every_byte() {
        run(async {
            let world = World::new(1);
            let mut clients = Vec::new();
            for name in ["romeo", "juliet"] {
                let account = world.account(name).await;
                let line = || Line::perfect().pieces(crate::link::Pieces::Of(1));
                let mut client = Client::new(world.connect(line(), line()));
                let jid = client
                    .login(&account, Some("garden"), &mut world.rng())
                    .await;
                assert_eq!(jid.unwrap().as_str(), format!("{name}@{DOMAIN}/garden"));
                clients.push(client);
            }
            let [romeo, juliet] = &mut clients[..] else {
                unreachable!()
            };
            let message = "<message to='juliet@example.org/garden'><body>Hi</body></message>";
            romeo.send(message).await.unwrap();
            let got = juliet.element().await.unwrap();
            assert_eq!(got.attr("from"), Some("romeo@example.org/garden"));
            assert_eq!(world.server.directory().len(), 2);
            drop(clients);
            quiet(Duration::from_secs(10)).await;
            assert_eq!(world.server.directory().len(), 0);
            assert_eq!(world.driver.connections(), 0);
        });
    }

    #[test]
    #[should_panic = "a task panicked"]
    #[allow(clippy::disallowed_methods)]
    fn a_panic_anywhere_is_noticed() {
        run(async {
            let task = tokio::spawn(async { panic!("on purpose") });
            assert!(task.await.is_err());
        });
    }

    #[test]
    fn time_flies() {
        let world = run(async {
            let world = World::new(1);
            let mut client = world.client();
            let rest = client.rest().await;
            assert_eq!(rest.len(), 4, "header, error, footer, end: {rest:?}");
            world.server.now().utc.since(EPOCH)
        });
        assert_eq!(world.as_secs(), 10, "the time for a header");
    }
}
