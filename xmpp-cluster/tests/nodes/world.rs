//! Servers in one process, and clients that are their sessions without a connection.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tokio::task::JoinHandle;
use xmpp_cluster::cluster::Limits;
use xmpp_cluster::directory::ClusterDirectory;
use xmpp_cluster::exchange::Exchange;
use xmpp_cluster::frame::VERSIONS;
use xmpp_cluster::io::{Cluster, Ended, Handler, Status};
use xmpp_cluster::news::AccountNews;
use xmpp_cluster::node::{Incarnation, Life, NodeId, NodeInfo};
use xmpp_cluster::transport::local::Net;
use xmpp_core::mailbox::{
    Envelope, Inbox, Mailbox, Origin, Outcome, QueueLimits, Reason, Settlement, SmPoint, Source,
};
use xmpp_core::module::Dispatch;
use xmpp_core::sasl::{Credentials, MIN_ITERATIONS, Secret};
use xmpp_core::server::{Domain, Random, Server, Spawn, Surroundings};
use xmpp_core::session::Session;
use xmpp_core::stanza::{Kind, PresenceType, Stanza};
use xmpp_core::store::{RosterItem, Stores, Subscription};
use xmpp_core::stream::StreamError;
use xmpp_core::time::{Clock, Now, Timestamp};
use xmpp_core::{BareJid, FullJid, Jid, im};

pub const SECOND: Duration = Duration::from_secs(1);

/// The runtime's clock, which stands still while anybody has something to do.
struct Paused(Instant);

impl Clock for Paused {
    fn now(&self) -> Now {
        let instant = tokio::time::Instant::now().into_std();
        let passed = instant.saturating_duration_since(self.0);
        let utc = Timestamp(1_700_000_000_000).plus(passed);
        Now { instant, utc }
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(time))
    }
}

struct Tokio;

impl Spawn for Tokio {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }
}

/// Never the same number, on no node.
struct Counted(Arc<AtomicU64>);

impl Random for Counted {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let n = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            chunk.copy_from_slice(&n[8 - chunk.len()..]);
        }
    }
}

pub struct World {
    net: Net,
    stores: Stores,
    nodes: Vec<Node>,
    clock: Arc<dyn Clock>,
    random: Arc<AtomicU64>,
}

/// A way to other servers, of which the test has what goes out.
#[derive(Default)]
pub struct Post {
    pub out: Mutex<Vec<Envelope>>,
    pub closed: AtomicBool,
}

impl Inbox for Post {
    fn push(&self, mut envelope: Envelope) -> Settlement {
        if self.closed.load(Ordering::Relaxed) {
            return envelope.refused(Reason::Closed);
        }
        let settlement = envelope.pledged();
        self.out.lock().unwrap().push(envelope);
        settlement
    }
}

struct Node {
    id: NodeId,
    server: Server,
    cluster: Cluster,
    directory: Arc<ClusterDirectory>,
    post: Arc<Post>,
    driver: Mutex<Option<JoinHandle<Ended>>>,
}

/// A session that nobody has connected to.
pub struct Client {
    server: Server,
    session: Arc<Session>,
    sent: AtomicU64,
    got: Arc<Mutex<Vec<Stanza>>>,
    /// Whether it takes what comes.
    pub reads: Arc<AtomicBool>,
    reader: JoinHandle<()>,
}

impl World {
    /// Nodes that know each other, over one store.
    pub async fn new(count: usize) -> World {
        World::of(count, false).await
    }

    /// The same, each with a way to other servers.
    pub async fn with_outlets(count: usize) -> World {
        World::of(count, true).await
    }

    async fn of(count: usize, outlets: bool) -> World {
        let mut world = World {
            net: Net::new(),
            stores: Stores::memory(),
            nodes: Vec::new(),
            clock: Arc::new(Paused(tokio::time::Instant::now().into_std())),
            random: Arc::new(AtomicU64::new(1)),
        };
        for n in 0..count {
            let node = world.start(n, outlets).await;
            world.nodes.push(node);
        }
        world.wait(3 * SECOND).await;
        world
    }

    /// One node more, perhaps without a way to other servers.
    pub async fn join(&mut self, outlet: bool) {
        let node = self.start(self.nodes.len(), outlet).await;
        self.nodes.push(node);
        self.wait(3 * SECOND).await;
    }

    async fn start(&self, n: usize, outlet: bool) -> Node {
        let id: NodeId = format!("n{n}").parse().unwrap();
        let clock = &self.clock;
        let random = Counted(self.random.clone());
        let post = Arc::new(Post::default());
        let me = NodeInfo {
            life: Life {
                node: id.clone(),
                incarnation: Incarnation::begin(clock.now().utc, None),
            },
            site: "home".parse().unwrap(),
            versions: VERSIONS,
        };
        let engine = Arc::new(self.net.node(clock.clone()));
        let cluster = Cluster::new(me, Limits::default(), engine, clock.clone());
        let directory = Arc::new(ClusterDirectory::new(cluster.clone()));
        let news = Arc::new(AccountNews::new(cluster.clone()));
        let server = Server::builder()
            .domain(Domain::new(bare("example.org"), Secret::from([7; 32])))
            .stores(self.stores.clone())
            .directory(directory.clone())
            .remote(directory.remote(outlet.then(|| Mailbox::new(post.clone()))))
            .account_events(news.clone())
            .modules(im::all())
            .build(Surroundings {
                clock: clock.clone(),
                random: Arc::new(random),
                spawn: Arc::new(Tokio),
            })
            .unwrap();
        let exchange = Arc::new(Exchange::new(directory.clone(), server.clone()));
        let handlers: Vec<Arc<dyn Handler>> = vec![news, exchange];
        let driver = cluster.join(handlers).await.unwrap();
        Node {
            id,
            server,
            cluster,
            directory,
            post,
            driver: Mutex::new(Some(tokio::spawn(driver.run()))),
        }
    }

    pub async fn wait(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Creates two accounts whose presence is shown to each other.
    pub async fn befriend(&self, one: &str, other: &str) {
        for (account, contact) in [(one, other), (other, one)] {
            let [account, contact] = [account, contact].map(|n| bare(&format!("{n}@example.org")));
            self.account(&account).await;
            let item = RosterItem {
                subscription: Subscription::Both,
                ..RosterItem::new(contact)
            };
            self.stores.rosters.put(&account, &item).await.unwrap();
            let server = &self.nodes[0].server;
            server.account_created(&account).await;
            for node in &self.nodes {
                let change = xmpp_core::account::AccountChange::Data;
                node.server.account_changed(&account, change);
            }
        }
        // Who is there already is shown to the new contact.
        self.wait(SECOND).await;
    }

    async fn account(&self, account: &BareJid) {
        static CREDENTIALS: LazyLock<Credentials> =
            LazyLock::new(|| Credentials::derive("secret", MIN_ITERATIONS, || [0; _]).unwrap());
        // It may be there.
        let _ = self.stores.accounts.create(account, &CREDENTIALS).await;
    }

    pub async fn login(&self, node: usize, jid: &str) -> Client {
        let jid = FullJid::new(jid).unwrap();
        self.account(&jid.to_bare()).await;
        let server = self.nodes[node].server.clone();
        let account = server.account(&jid.to_bare()).await.unwrap();
        let bound = server.bind(account, Some(jid.resource())).unwrap();
        bound.session.set_encrypted(true);
        let got = Arc::default();
        let reads = Arc::new(AtomicBool::new(true));
        let (session, into) = (bound.session.clone(), Arc::clone(&got));
        let reader = tokio::spawn(read(session, into, reads.clone()));
        Client {
            server,
            session: bound.session,
            sent: AtomicU64::new(0),
            got,
            reads,
            reader,
        }
    }

    /// An entity of one node, which answers whatever it is sent with the same body.
    pub fn echo(&self, node: usize, address: &str) -> JoinHandle<()> {
        let address: Jid = address.parse().unwrap();
        let served = self.nodes[node]
            .server
            .serve(&address, QueueLimits::default());
        let served = served.expect("nobody has it");
        tokio::spawn(async move {
            while let Some(envelopes) = served.next(usize::MAX).await {
                for envelope in envelopes {
                    let stanza = &envelope.stanza;
                    let to = stanza.from().cloned().unwrap();
                    let answer = stanza.clone().with_to(to);
                    let answer = answer.with_from(served.address().clone());
                    envelope.settle(Outcome::Settled);
                    let _ = served.send(answer).finish().await;
                }
            }
        })
    }

    pub fn cut(&self, one: usize, other: usize) {
        let [one, other] = [one, other].map(|n| &self.nodes[n].id);
        self.net.cut(one, other);
        self.net.cut(other, one);
    }

    pub fn cut_one_way(&self, from: usize, to: usize) {
        self.net.cut(&self.nodes[from].id, &self.nodes[to].id);
    }

    pub fn heal(&self) {
        self.net.heal();
    }

    /// A node does nothing any more.
    pub fn kill(&self, node: usize) {
        for other in 0..self.nodes.len() {
            if other != node {
                self.cut(node, other);
            }
        }
        if let Some(driver) = self.nodes[node].driver.lock().unwrap().take() {
            driver.abort();
        }
    }

    pub async fn leave(&self, node: usize) {
        self.nodes[node].cluster.leave(5 * SECOND).await;
        let driver = self.nodes[node].driver.lock().unwrap().take();
        assert_eq!(driver.unwrap().await.unwrap(), Ended::Left);
    }

    pub fn status(&self, node: usize) -> Status {
        self.nodes[node].cluster.status()
    }

    /// The way of a node to other servers.
    pub fn post(&self, node: usize) -> &Post {
        &self.nodes[node].post
    }

    /// The nodes over which something has gone out, each with what it was.
    pub fn out(&self) -> Vec<(usize, Vec<String>)> {
        let ids = |node: &Node| {
            let out = node.post.out.lock().unwrap();
            let ids = out.iter().filter_map(|envelope| envelope.stanza.id());
            ids.map(str::to_owned).collect::<Vec<_>>()
        };
        let all = self.nodes.iter().map(ids).enumerate();
        all.filter(|(_, ids)| !ids.is_empty()).collect()
    }

    /// The other servers have what has gone out.
    pub fn delivered(&self) {
        for node in &self.nodes {
            for envelope in std::mem::take(&mut *node.post.out.lock().unwrap()) {
                envelope.settle(Outcome::Settled);
            }
        }
    }

    /// Over which node a domain goes, as a node has it.
    pub fn outlet(&self, node: usize, domain: &str) -> Option<String> {
        let outlet = self.nodes[node].directory.outlet(domain);
        outlet.map(|node| node.to_string())
    }

    /// A node hears a stanza of another server.
    pub async fn hear(&self, node: usize, stanza: &str, domain: &str) {
        let origin = Origin {
            source: Source::Remote(bare(domain)),
            sm: None,
        };
        let stanza = Stanza::parse(stanza).unwrap();
        let _ = self.nodes[node].server.route(stanza, origin).finish().await;
    }

    pub fn close_outlet(&self, node: usize) {
        self.nodes[node].directory.close_outlet();
    }

    pub async fn stored(&self, account: &str) -> usize {
        self.stores.offline.count(&bare(account)).await.unwrap()
    }

    /// Stanzas of which nodes still wait to hear.
    pub fn held(&self) -> usize {
        self.nodes.iter().map(|node| node.directory.held()).sum()
    }

    /// All nodes that go on show the same sessions.
    pub fn all_agree(&self) {
        let mut shown = Vec::new();
        for node in &self.nodes {
            if node.driver.lock().unwrap().is_none() {
                continue;
            }
            let mut all: Vec<String> = ["romeo", "juliet", "nurse"]
                .iter()
                .flat_map(|name| {
                    let account = format!("{name}@example.org");
                    let all = node.server.directory().resources(&account);
                    let shown = all
                        .iter()
                        .map(|r| format!("{} {:?} {:?}", r.jid(), r.id(), r.priority()));
                    shown.collect::<Vec<_>>()
                })
                .collect();
            all.sort();
            shown.push(all);
        }
        assert!(shown.windows(2).all(|two| two[0] == two[1]), "{shown:#?}");
    }
}

impl Client {
    /// Sends a stanza, in a stream that can be resumed, and waits until it has been dealt with.
    pub async fn send(&self, stanza: &str) {
        let _ = self.submit(stanza).finish().await;
    }

    /// The same, without the waiting.
    pub fn leave_sending(&self, stanza: &str) {
        let sent = self.submit(stanza);
        tokio::spawn(async move {
            let _ = sent.finish().await;
        });
    }

    fn submit(&self, stanza: &str) -> Dispatch {
        let stanza = Stanza::parse(stanza).unwrap();
        let stanza = stanza.with_from(Jid::from(self.session.jid()));
        let mut origin = Origin::session(self.session.id());
        let n = self.sent.fetch_add(1, Ordering::Relaxed) as u32;
        origin.sm = Some(SmPoint {
            id: self.session.jid().as_str().into(),
            n,
        });
        self.server.submit(stanza, &self.session, origin)
    }

    /// What it was sent since it was last read.
    pub fn read(&self) -> Vec<Stanza> {
        std::mem::take(&mut self.got.lock().unwrap())
    }

    /// Compares what it was sent with these stanzas: their names, and those attributes that they name.
    #[track_caller]
    pub fn expect(&self, stanzas: &[&str]) {
        let read = self.read();
        let like = |stanza: &Stanza, wanted: &&str| {
            let wanted = Stanza::parse(wanted).unwrap();
            let unavailable = Kind::Presence(PresenceType::Unavailable);
            std::mem::discriminant(&stanza.kind()) == std::mem::discriminant(&wanted.kind())
                && (stanza.kind() == unavailable) == (wanted.kind() == unavailable)
                && stanza.from() == wanted.from()
                && wanted.id().is_none_or(|id| stanza.id() == Some(id))
        };
        let same = read.len() == stanzas.len() && read.iter().zip(stanzas).all(|(a, b)| like(a, b));
        let read: Vec<String> = read.iter().map(Stanza::to_string).collect();
        assert!(
            same,
            "{} has {read:#?}, not {stanzas:#?}",
            self.session.jid()
        );
    }

    pub fn has_conflict(&self) -> bool {
        self.session.ending() == Some(StreamError::conflict())
    }

    pub fn end(&self) {
        let server = self.server.clone();
        let session = self.session.clone();
        tokio::spawn(async move {
            let _ = server.end(&session).finish().await;
        });
    }
}

/// Takes what comes, as a connection does, and acknowledges it.
async fn read(session: Arc<Session>, got: Arc<Mutex<Vec<Stanza>>>, reads: Arc<AtomicBool>) {
    loop {
        while !reads.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        while let Some(mut feed) = session.take_feed() {
            loop {
                let page = feed.next().await;
                if page.is_empty() {
                    break;
                }
                got.lock().unwrap().extend(page);
            }
        }
        for envelope in session.take(usize::MAX).into_iter().flatten() {
            got.lock().unwrap().push(envelope.stanza.clone());
            envelope.settle(Outcome::Settled);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

fn bare(text: &str) -> BareJid {
    BareJid::new(text).unwrap()
}
