//! Streams that are resumed on another node of a cluster, and sessions that are sent there.
#![allow(clippy::unwrap_used)] // a test that cannot go on has failed
#![allow(clippy::disallowed_methods)] // tasks of a test

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use sim::client::{Client, Heard};
use sim::link::End;
use sim::rng::Rng;
use sim::world::quiet;
use sim::{World, run, xml};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use xmpp_cluster::cluster::{Event, Limits};
use xmpp_cluster::directory::ClusterDirectory;
use xmpp_cluster::exchange::Exchange;
use xmpp_cluster::frame::moves::Decided;
use xmpp_cluster::frame::{Parcel, VERSIONS};
use xmpp_cluster::io::{Cluster, Ended, Handler};
use xmpp_cluster::moves::{Moves, NotSent};
use xmpp_cluster::node::{Incarnation, Life, NodeId, NodeInfo};
use xmpp_cluster::transport::local::Net;
use xmpp_core::mailbox::Origin;
use xmpp_core::server::Server;
use xmpp_core::stanza::Stanza;
use xmpp_core::store::Stores;
use xmpp_core::time::{Clock, Now, Timestamp};

const SM: &str = "xmlns='urn:xmpp:sm:3'";
const SECOND: Duration = Duration::from_secs(1);

struct Virtual(std::time::Instant);

impl Clock for Virtual {
    fn now(&self) -> Now {
        let instant = Instant::now().into_std();
        let passed = instant.saturating_duration_since(self.0);
        let utc = Timestamp(1_767_225_600_000).plus(passed);
        Now { instant, utc }
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(sleep(time))
    }
}

/// What goes wrong between a node and its sessions' moves.
#[derive(Default)]
struct Trouble {
    /// Which way is cut when a session has been frozen and offered.
    cut: Mutex<Option<(Net, NodeId, NodeId)>>,
    /// A fault that must be found: whoever asks hears that the session is its own, and it goes on where it was as well.
    twice: AtomicBool,
}

/// Stands before the moves of a node.
struct Between {
    moves: Moves,
    trouble: Arc<Trouble>,
}

impl Handler for Between {
    fn handle(&self, event: &Event, cluster: &Cluster) {
        if let Event::Parcel(_, Parcel::Offer(_)) = event
            && let Some((net, one, other)) = self.trouble.cut.lock().unwrap().take()
        {
            net.cut(&one, &other);
            net.cut(&other, &one);
        }
        if let Event::Parcel(from, Parcel::Taken(taken)) = event
            && self.trouble.twice.load(Ordering::Relaxed)
        {
            let decided = Decided {
                number: taken.number,
                gone: true,
            };
            let _ = cluster.send(from, &Parcel::Decided(decided));
            return;
        }
        self.moves.handle(event, cluster);
    }
}

struct Node {
    id: NodeId,
    world: World,
    cluster: Cluster,
    moves: Moves,
    runs: JoinHandle<Ended>,
}

/// Three nodes of one domain, over the same stores.
struct Three {
    net: Net,
    nodes: Vec<Node>,
    trouble: Arc<Trouble>,
    stores: Stores,
}

impl Three {
    async fn new(seed: u64) -> Three {
        let (start, stores) = (Instant::now(), Stores::memory());
        let clock: Arc<dyn Clock> = Arc::new(Virtual(start.into_std()));
        let (net, trouble) = (Net::new(), Arc::<Trouble>::default());
        let mut nodes = Vec::new();
        for n in 0..3 {
            let id: NodeId = format!("n{n}").parse().unwrap();
            let me = NodeInfo {
                life: Life {
                    node: id.clone(),
                    incarnation: Incarnation::begin(clock.now().utc, None),
                },
                site: "home".parse().unwrap(),
                versions: VERSIONS,
            };
            let engine = Arc::new(net.node(clock.clone()));
            let cluster = Cluster::new(me, Limits::default(), engine, clock.clone());
            let directory = Arc::new(ClusterDirectory::new(cluster.clone()));
            let builder = World::builder(3 * seed + n).stores(stores.clone());
            let world = builder.directory(directory.clone()).after(start).build();
            let exchange = Exchange::new(directory.clone(), world.server.clone());
            let moves = Moves::new(directory, world.server.clone(), world.driver.clone());
            let between = Between {
                moves: moves.clone(),
                trouble: trouble.clone(),
            };
            let handlers: Vec<Arc<dyn Handler>> = vec![Arc::new(exchange), Arc::new(between)];
            let runs = tokio::spawn(cluster.join(handlers).await.unwrap().run());
            nodes.push(Node {
                id,
                world,
                cluster,
                moves,
                runs,
            });
        }
        quiet(3 * SECOND).await;
        Three {
            net,
            nodes,
            trouble,
            stores,
        }
    }

    fn server(&self, at: usize) -> &Server {
        &self.nodes[at].world.server
    }

    /// A client that can resume its stream; the stream's name.
    async fn login(&self, at: usize, name: &str) -> (Client<End>, String) {
        let mut client = self.nodes[at].world.login(name).await;
        let enable = format!("<enable {SM} resume='true'/>");
        client.send(enable).await.unwrap();
        let enabled = client.element().await.unwrap();
        quiet(SECOND).await;
        (client, enabled.attr("id").unwrap().to_owned())
    }

    /// A connection that resumes; what the server says to that.
    async fn resume(&self, at: usize, name: &str, id: &str, h: u32) -> (Client<End>, String) {
        let world = &self.nodes[at].world;
        let account = world.account(name).await;
        let mut client = world.client();
        let logged_in = client.authenticate(&account, &mut world.rng()).await;
        logged_in.unwrap();
        let resume = format!("<resume {SM} previd='{id}' h='{h}'/>");
        client.send(resume).await.unwrap();
        let answer = client.element().await.unwrap();
        (client, answer.to_string())
    }

    async fn send_away(&self, from: usize, name: &str, to: usize) -> Result<(), NotSent> {
        let to = self.nodes[to].cluster.me().life.clone();
        self.nodes[from].moves.send_away(name, &to).await
    }

    /// How many sessions of an account live on each node.
    fn live(&self, name: &str) -> Vec<usize> {
        let account = format!("{name}@example.org");
        let live = |node: &Node| {
            let all = node.world.server.directory().resources(&account);
            all.iter().filter(|r| r.session().is_some()).count()
        };
        self.nodes.iter().map(live).collect()
    }

    /// What each node shows of an account.
    fn shown(&self, name: &str) -> Vec<Vec<Option<i8>>> {
        let account = format!("{name}@example.org");
        let shown = |node: &Node| {
            let all = node.world.server.directory().resources(&account);
            all.iter().map(|r| r.priority()).collect()
        };
        self.nodes.iter().map(shown).collect()
    }

    async fn offline(&self, name: &str) -> usize {
        let account = format!("{name}@example.org").parse().unwrap();
        self.stores.offline.count(&account).await.unwrap()
    }

    fn cut(&self, one: usize, other: usize) {
        let [one, other] = [one, other].map(|n| &self.nodes[n].id);
        self.net.cut(one, other);
        self.net.cut(other, one);
    }

    /// When the second of the two has been offered a session by the first, they do not hear each other any more.
    fn cut_when_offered(&self, one: usize, other: usize) {
        let [one, other] = [one, other].map(|n| self.nodes[n].id.clone());
        *self.trouble.cut.lock().unwrap() = Some((self.net.clone(), one, other));
    }
}

/// All stanzas that come until nothing more does.
async fn hear(client: &mut Client<End>) -> Vec<String> {
    let mut heard = Vec::new();
    while let Ok(Heard::Xml(xml::Heard::Element(tree))) = timeout(SECOND, client.hear()).await {
        if tree.ns == xml::CLIENT {
            heard.push(tree.to_string());
        }
    }
    heard
}

fn bodies(heard: &[String]) -> Vec<String> {
    let body = |text: &String| {
        let (_, rest) = text.split_once("<body>")?;
        rest.split('<').next().map(str::to_owned)
    };
    heard.iter().filter_map(body).collect()
}

async fn route(server: &Server, to: &str, body: &str) {
    let text = format!(
        "<message from='juliet@example.org/x' to='{to}' type='chat'><body>{body}</body></message>"
    );
    let dispatch = server.route(Stanza::restore(&text).unwrap(), Origin::SERVER);
    let _ = dispatch.finish().await;
}

#[test]
fn a_stream_resumes_on_any_node_and_nobody_sees_it_go() {
    run(async {
        let three = Three::new(1).await;
        let (mut romeo, id) = three.login(0, "romeo").await;
        romeo.send("<presence/>").await.unwrap();
        let had = hear(&mut romeo).await.len() as u32;
        route(three.server(2), "romeo@example.org/romeo", "one").await;
        assert_eq!(bodies(&hear(&mut romeo).await), ["one"]);
        drop(romeo);
        quiet(SECOND).await;
        route(three.server(1), "romeo@example.org", "two").await;
        quiet(SECOND).await;
        let (mut romeo, answer) = three.resume(1, "romeo", &id, had).await;
        assert!(answer.starts_with("<resumed "), "{answer}");
        assert_eq!(bodies(&hear(&mut romeo).await), ["one", "two"]);
        assert_eq!(three.live("romeo"), [0, 1, 0]);
        assert_eq!(three.shown("romeo"), [[Some(0)], [Some(0)], [Some(0)]]);
        for at in [0, 1, 2] {
            route(three.server(at), "romeo@example.org/romeo", &at.to_string()).await;
            quiet(SECOND).await;
        }
        assert_eq!(bodies(&hear(&mut romeo).await), ["0", "1", "2"]);
        // On to a third one, though it has a connection still.
        let (mut again, answer) = three.resume(2, "romeo", &id, had + 5).await;
        assert!(answer.starts_with("<resumed "), "{answer}");
        let told: String = romeo.rest().await.iter().map(|h| h.to_string()).collect();
        assert!(told.contains("<conflict"), "{told}");
        assert_eq!(three.live("romeo"), [0, 0, 1]);
        assert_eq!(hear(&mut again).await, [""; 0]);
        // And when it has ended, nobody has it.
        again.send("</stream:stream>").await.unwrap();
        quiet(SECOND).await;
        assert_eq!(three.shown("romeo"), [[None; 0]; 3]);
        assert_eq!(three.offline("romeo").await, 0);
    });
}

#[test]
fn a_record_of_many_pieces_is_whole() {
    run(async {
        let three = Three::new(2).await;
        let (romeo, id) = three.login(0, "romeo").await;
        drop(romeo);
        quiet(SECOND).await;
        let said: Vec<String> = (0..60)
            .map(|n| format!("{n}{}", "x".repeat(5000)))
            .collect();
        for body in &said {
            route(three.server(1), "romeo@example.org/romeo", body).await;
        }
        quiet(SECOND).await;
        let (mut romeo, answer) = three.resume(2, "romeo", &id, 0).await;
        assert!(answer.starts_with("<resumed "), "{answer}");
        assert_eq!(bodies(&hear(&mut romeo).await), said);
    });
}

#[test]
fn nobody_resumes_what_is_not_theirs_or_not_there() {
    run(async {
        let three = Three::new(3).await;
        let (mut romeo, id) = three.login(0, "romeo").await;
        for name in [&*id, "", "\u{1f480}", "../../etc"] {
            let (_, answer) = three.resume(1, "nurse", name, 0).await;
            assert!(answer.contains("<item-not-found"), "{answer}");
        }
        romeo.send("<presence/>").await.unwrap();
        assert_eq!(hear(&mut romeo).await.len(), 1);
        assert_eq!(three.live("romeo"), [1, 0, 0]);
    });
}

#[test]
fn a_session_is_sent_away_and_its_client_notices_only_when_it_is_there() {
    run(async {
        let three = Three::new(4).await;
        let (mut romeo, id) = three.login(0, "romeo").await;
        romeo.send("<presence/>").await.unwrap();
        let had = hear(&mut romeo).await.len() as u32;
        // One that is not there takes nothing.
        three.cut(0, 2);
        three.cut(1, 2);
        quiet(10 * SECOND).await;
        assert_eq!(three.send_away(0, &id, 2).await, Err(NotSent::NotTaken));
        route(three.server(1), "romeo@example.org/romeo", "one").await;
        assert_eq!(bodies(&hear(&mut romeo).await), ["one"]);
        assert_eq!(
            three.send_away(0, "nobody's", 1).await,
            Err(NotSent::Unknown)
        );
        three.send_away(0, &id, 1).await.unwrap();
        let rest = romeo.rest().await;
        let footer = |heard: &Heard| matches!(heard, Heard::Xml(xml::Heard::Footer));
        assert!(!rest.iter().any(footer), "{rest:?}");
        route(three.server(0), "romeo@example.org/romeo", "two").await;
        quiet(SECOND).await;
        assert_eq!(three.live("romeo"), [0, 1, 0]);
        let (mut romeo, answer) = three.resume(0, "romeo", &id, had + 1).await;
        assert!(answer.starts_with("<resumed "), "{answer}");
        assert_eq!(bodies(&hear(&mut romeo).await), ["two"]);
        assert_eq!(three.live("romeo"), [1, 0, 0]);
    });
}

#[test]
fn a_drained_node_gives_away_all_that_can_be_resumed_and_takes_nobody() {
    run(async {
        let three = Three::new(7).await;
        let mut clients = Vec::new();
        for n in 0..20 {
            let name = format!("user{n}");
            let (mut client, id) = three.login(0, &name).await;
            client.send("<presence/>").await.unwrap();
            hear(&mut client).await;
            clients.push((name, client, id));
        }
        // She cannot resume.
        let mut nurse = three.nodes[0].world.login("nurse").await;
        let drained = three.nodes[0].moves.drain().await;
        assert_eq!((drained.moved, drained.kept), (20, 0));
        let account = three.nodes[1].world.account("user0").await;
        let mut late = three.nodes[0].world.client();
        let mut rng = three.nodes[0].world.rng();
        assert!(late.authenticate(&account, &mut rng).await.is_err());
        let mut places = [0; 3];
        for (name, client, id) in clients {
            drop(client);
            let live = three.live(&name);
            assert_eq!((live[0], live[1] + live[2]), (0, 1), "{name}");
            (1..3).for_each(|n| places[n] += live[n]);
            route(three.server(0), &format!("{name}@example.org"), "on").await;
            let (mut client, answer) = three.resume(1, &name, &id, 1).await;
            assert!(answer.starts_with("<resumed "), "{answer}");
            assert_eq!(bodies(&hear(&mut client).await), ["on"]);
        }
        assert!(places[1] > 3 && places[2] > 3, "{places:?}");
        route(three.server(1), "nurse@example.org/nurse", "still").await;
        assert_eq!(bodies(&hear(&mut nurse).await), ["still"]);
    });
}

/// The way between two nodes is cut when the one has been offered the session and has not answered yet.
#[test]
fn a_cut_in_the_middle_of_a_move_leaves_one_session_when_it_is_healed() {
    run(async {
        let three = Three::new(5).await;
        let (mut romeo, id) = three.login(0, "romeo").await;
        romeo.send("<presence/>").await.unwrap();
        let had = hear(&mut romeo).await.len() as u32;
        drop(romeo);
        quiet(SECOND).await;
        three.cut_when_offered(0, 1);
        three.cut(0, 2);
        three.cut(1, 2);
        let resuming = three.resume(1, "romeo", &id, had);
        let (_, answer) = resuming.await;
        let here = answer.starts_with("<resumed ");
        quiet(20 * SECOND).await;
        // The owner has kept it; the one that was offered it has taken the owner for dead.
        assert_eq!(
            (three.live("romeo")[0], three.live("romeo")[1]),
            (1, 1),
            "{here}"
        );
        route(three.server(0), "romeo@example.org/romeo", "here").await;
        route(three.server(1), "romeo@example.org/romeo", "there").await;
        three.net.heal();
        quiet(20 * SECOND).await;
        assert_eq!(three.live("romeo"), [0, 1, 0]);
        assert_eq!(three.shown("romeo"), [[Some(0)]; 3]);
        let (mut romeo, answer) = three.resume(2, "romeo", &id, had).await;
        assert!(answer.starts_with("<resumed "), "{answer}");
        let mut heard = bodies(&hear(&mut romeo).await);
        heard.sort();
        assert_eq!(heard, ["here", "there"]);
    });
}

#[test]
fn the_death_of_the_node_that_gives_leaves_the_session_with_the_one_that_takes() {
    run(async {
        let three = Three::new(6).await;
        let (mut romeo, id) = three.login(0, "romeo").await;
        romeo.send("<presence/>").await.unwrap();
        let had = hear(&mut romeo).await.len() as u32;
        drop(romeo);
        quiet(SECOND).await;
        three.cut_when_offered(0, 1);
        three.cut(0, 2);
        let (_, first) = three.resume(1, "romeo", &id, had).await;
        three.nodes[0].runs.abort();
        quiet(20 * SECOND).await;
        assert_eq!(
            &three.shown("romeo")[1..],
            [[Some(0)], [Some(0)]],
            "{first}"
        );
        let (_, answer) = three.resume(2, "romeo", &id, had).await;
        assert!(answer.starts_with("<resumed "), "{answer}");
    });
}

/// What one run of moves under traffic has come to: per sender, what was heard.
async fn storm(seed: u64, twice: bool) -> Result<(), String> {
    let three = Three::new(100 + seed).await;
    three.trouble.twice.store(twice, Ordering::Relaxed);
    let mut rng = Rng::new(seed);
    let (mut romeo, id) = three.login(0, "romeo").await;
    romeo.send("<presence/>").await.unwrap();
    quiet(SECOND).await;
    let mut talkers = Vec::new();
    for n in 0..3 {
        let (server, mut rng) = (three.server(n).clone(), Rng::new(seed ^ (n as u64 + 7)));
        talkers.push(tokio::spawn(async move {
            for k in 0..60 {
                route(&server, "romeo@example.org/romeo", &format!("{n}-{k}")).await;
                sleep(Duration::from_millis(rng.below(40) as u64)).await;
            }
        }));
    }
    let (mut count, mut heard) = (0, Vec::new());
    for round in 0..14 {
        let last = round == 13;
        let wait = if last { 3000 } else { rng.below(150) };
        let until = Instant::now() + Duration::from_millis(wait as u64);
        while let Ok(Heard::Xml(xml::Heard::Element(tree))) =
            tokio::time::timeout_at(until, romeo.hear()).await
        {
            if tree.ns == xml::CLIENT {
                count += 1;
                heard.push(tree.to_string());
            }
        }
        if last {
            break;
        }
        if rng.below(3) == 0
            && let Some(from) = three.live("romeo").iter().position(|live| *live > 0)
        {
            let _ = three.send_away(from, &id, rng.below(3)).await;
        }
        let (client, answer) = three.resume(rng.below(3), "romeo", &id, count).await;
        if !answer.starts_with("<resumed ") {
            return Err(format!("round {round}: {answer}"));
        }
        romeo = client;
    }
    for talker in talkers {
        talker.await.unwrap();
    }
    let mut by = BTreeMap::<String, Vec<u32>>::new();
    for body in bodies(&heard) {
        if let Some((who, n)) = body.split_once('-') {
            by.entry(who.to_owned())
                .or_default()
                .push(n.parse().unwrap());
        }
    }
    for who in ["0", "1", "2"] {
        let mut got = by.remove(who).unwrap_or_default();
        // Two ways to it may be on their way at once: see docs/design/resumption.md.
        got.sort_unstable();
        if got != (0..60).collect::<Vec<_>>() {
            return Err(format!("from {who}: {got:?}"));
        }
    }
    match (
        three.live("romeo").iter().sum(),
        three.offline("romeo").await,
    ) {
        (1, 0) => Ok(()),
        (live, offline) => Err(format!("{live} live, {offline} stored")),
    }
}

fn seeds() -> u64 {
    let seeds = std::env::var("SEEDS").ok();
    seeds.and_then(|seeds| seeds.parse().ok()).unwrap_or(20)
}

#[test]
fn through_many_moves_under_traffic_nothing_is_lost_or_doubled() {
    for seed in 0..seeds() {
        if let Err(what) = run(storm(seed, false)) {
            panic!("seed {seed}: {what}");
        }
    }
}

#[test]
fn a_session_that_goes_on_in_both_places_is_found() {
    assert!((0..5).any(|seed| run(storm(seed, true)).is_err()));
}
