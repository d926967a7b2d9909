//! Drivers on a clock that runs when none of them has anything to do.
#![allow(clippy::disallowed_methods)] // a test starts tasks, and reads the runtime's clock

use tokio::task::JoinHandle;
use xmpp_core::time::Timestamp;

use super::*;
use crate::cluster::{Fault, SendError};
use crate::frame::{End, VERSIONS};
use crate::membership::Reach;
use crate::node::NodeId;
use crate::transport::Class;
use crate::transport::local::Net;

struct Paused(Instant);

impl Clock for Paused {
    fn now(&self) -> Now {
        let instant = tokio::time::Instant::now().into_std();
        let passed = instant.saturating_duration_since(self.0);
        let utc = Timestamp(1_000_000).plus(passed);
        Now { instant, utc }
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(time))
    }
}

/// Keeps what it is told, and sends back each parcel that is not its own.
#[derive(Default)]
struct Echo(Mutex<Vec<Event>>);

impl Handler for Echo {
    fn handle(&self, event: &Event, cluster: &Cluster) {
        lock(&self.0).push(event.clone());
        if let Event::Parcel(from, Parcel::End(end)) = event
            && end.session.run == 0
        {
            let mut back = end.clone();
            back.session.run = 1;
            cluster.send(from, &Parcel::End(back)).unwrap();
        }
    }
}

struct Node {
    cluster: Cluster,
    echo: Arc<Echo>,
    driver: JoinHandle<Ended>,
}

impl Node {
    fn parcels(&self) -> Vec<u64> {
        let told = lock(&self.echo.0);
        let parcels = told.iter().filter_map(|event| match event {
            Event::Parcel(_, Parcel::End(end)) => Some(end.session.n),
            _ => None,
        });
        parcels.collect()
    }
}

fn info(name: &str, incarnation: u64) -> NodeInfo {
    let node = name.parse().unwrap();
    let incarnation = Incarnation(incarnation);
    NodeInfo {
        life: Life { node, incarnation },
        site: "home".parse().unwrap(),
        versions: VERSIONS,
    }
}

fn parcel(n: u64) -> Parcel {
    Parcel::End(End {
        jid: FullJid::new("a@b/c").unwrap(),
        session: SessionId { run: 0, n },
    })
}

async fn start(net: &Net, name: &str, incarnation: u64) -> Node {
    let now = tokio::time::Instant::now().into_std();
    let clock: Arc<dyn Clock> = Arc::new(Paused(now));
    let engine = Arc::new(net.node(clock.clone()));
    let cluster = Cluster::new(info(name, incarnation), Limits::default(), engine, clock);
    let echo = Arc::<Echo>::default();
    let driver = cluster.join(vec![echo.clone()]).await.unwrap();
    Node {
        cluster,
        echo,
        driver: tokio::spawn(driver.run()),
    }
}

async fn wait(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_arrives_and_handlers_may_send() {
    let net = Net::new();
    let (a, b) = (start(&net, "a", 1).await, start(&net, "b", 1).await);
    wait(3).await;
    assert_eq!(a.cluster.up(), [info("b", 1).life]);
    // More than an engine has room for at a time.
    let mut sent = 0;
    for n in 0..20_000 {
        while a.cluster.send(&info("b", 1).life, &parcel(n)) == Err(SendError::Full) {
            wait(1).await;
        }
        sent += 1;
    }
    wait(10).await;
    assert_eq!(b.parcels(), (0..sent).collect::<Vec<_>>());
    assert_eq!(a.parcels(), (0..sent).collect::<Vec<_>>(), "and back");
}

#[tokio::test(start_paused = true)]
async fn the_status_shows_who_is_there_and_what_goes_between() {
    let net = Net::new();
    let (a, b) = (start(&net, "a", 1).await, start(&net, "b", 1).await);
    wait(3).await;
    a.cluster.send(&info("b", 1).life, &parcel(1)).unwrap();
    wait(1).await;
    let status = a.cluster.status();
    assert_eq!(status.me, info("a", 1));
    let [other] = &status.members[..] else {
        panic!("one other: {status:?}");
    };
    assert_eq!(other.info, info("b", 1));
    assert_eq!(other.reach, Some(Reach::Direct));
    assert!(other.silent <= Duration::from_secs(1));
    assert!(other.traffic.bytes_sent > 0 && other.traffic.bytes_received > 0);
    assert_eq!(other.traffic.waiting, 0);
    assert!(other.traffic.round_trip.is_some());
    let nodes: [NodeId; 2] = ["a", "b"].map(|name| name.parse().unwrap());
    net.cut(&nodes[0], &nodes[1]);
    wait(10).await;
    assert_eq!(a.cluster.status().members[0].reach, None);
    assert!(b.cluster.up().is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_leaves_waits_for_what_waits_but_not_for_ever() {
    let net = Net::new();
    let (a, b) = (start(&net, "a", 1).await, start(&net, "b", 1).await);
    wait(3).await;
    for n in 0..100 {
        a.cluster.send(&info("b", 1).life, &parcel(n)).unwrap();
    }
    a.cluster.leave(Duration::from_secs(5)).await;
    assert_eq!(a.driver.await.unwrap(), Ended::Left);
    wait(1).await;
    assert_eq!(b.parcels().len(), 100);
    // Once is enough, and nothing goes any more.
    a.cluster.leave(Duration::from_secs(5)).await;
    let sent = a.cluster.send(&info("b", 1).life, &parcel(0));
    assert_eq!(sent, Err(SendError::Down));

    let c = start(&net, "c", 1).await;
    wait(3).await;
    let nodes: [NodeId; 2] = ["b", "c"].map(|name| name.parse().unwrap());
    net.cut(&nodes[0], &nodes[1]);
    b.cluster.send(&info("c", 1).life, &parcel(0)).unwrap();
    let before = tokio::time::Instant::now();
    b.cluster.leave(Duration::from_secs(2)).await;
    assert_eq!(before.elapsed().as_secs(), 2);
    assert_eq!(b.driver.await.unwrap(), Ended::Left);
    drop(c);
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_is_dropped_keeps_nobody_waiting() {
    let net = Net::new();
    let a = start(&net, "a", 1).await;
    wait(1).await;
    a.driver.abort();
    a.cluster.leave(Duration::from_secs(60)).await;
}

/// An engine in whose place a test tells what comes.
#[derive(Default)]
struct ByHand(Mutex<Option<mpsc::Sender<transport::Event>>>);

#[async_trait::async_trait]
impl Transport for ByHand {
    async fn join(
        &self,
        _: NodeInfo,
        events: mpsc::Sender<transport::Event>,
    ) -> Result<(), JoinError> {
        *lock(&self.0) = Some(events);
        Ok(())
    }

    fn send(&self, _: &NodeId, _: Class, _: Bytes) -> Result<(), transport::SendError> {
        Err(transport::SendError::Full)
    }

    async fn request(
        &self,
        _: &NodeId,
        _: Bytes,
        _: Duration,
    ) -> Result<Bytes, transport::RequestError> {
        Err(transport::RequestError::Unreachable)
    }

    fn publish(&self, _: Scope, _: Bytes) -> Result<(), transport::SendError> {
        Err(transport::SendError::Full)
    }

    async fn leave(&self) {
        *lock(&self.0) = None;
    }
}

/// The first heartbeat of a life.
fn beat(info: NodeInfo, now: Now) -> Bytes {
    let mut out = Vec::new();
    crate::cluster::Node::new(info, Limits::default()).handle_timeout(now, &mut out);
    match out.pop() {
        Some(Output::Publish(frame)) => frame,
        other => panic!("no heartbeat: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_earlier_life_ends_and_one_whose_engine_ends_does() {
    for superseded in [true, false] {
        let now = tokio::time::Instant::now().into_std();
        let clock: Arc<dyn Clock> = Arc::new(Paused(now));
        let engine = Arc::new(ByHand::default());
        let limits = Limits::default();
        let cluster = Cluster::new(info("a", 1), limits, engine.clone(), clock.clone());
        let driver = tokio::spawn(cluster.join(Vec::new()).await.unwrap().run());
        wait(3).await;
        assert!(cluster.status().unsent >= 3, "its heartbeats");
        let sender = lock(&engine.0).take().unwrap();
        let ended = match superseded {
            true => {
                let beat = beat(info("a", 2), clock.now());
                let frame = transport::Event::Frame("a".parse().unwrap(), beat);
                sender.clone().try_send(frame).unwrap();
                Ended::Superseded(Incarnation(2))
            }
            false => {
                drop(sender);
                Ended::Engine
            }
        };
        assert_eq!(driver.await.unwrap(), ended);
    }
}

/// A node of the engine's that is none of the cluster's: it says what it likes.
#[tokio::test(start_paused = true)]
async fn what_a_stranger_sends_is_told_once_and_holds_up_nobody() {
    let net = Net::new();
    let (a, b) = (start(&net, "a", 1).await, start(&net, "b", 1).await);
    wait(3).await;
    let stranger = net.node(a.cluster.0.clock.clone());
    let (sender, _events) = mpsc::channel(1);
    stranger.join(info("x", 1), sender).await.unwrap();
    let to: NodeId = "a".parse().unwrap();
    for n in 0..2000 {
        // The engine has room for as many at a time.
        let garbage = Bytes::from_static(b"\xff\xff\xff");
        let sent = stranger.send(&to, Class::Live, garbage);
        assert_eq!(sent, Ok(()), "{n}");
    }
    a.cluster.send(&info("b", 1).life, &parcel(1)).unwrap();
    wait(10).await;
    assert_eq!(a.cluster.status().counts.damaged, 2000);
    let told = lock(&a.echo.0).clone();
    let dropped = told
        .iter()
        .filter(|event| matches!(event, Event::Dropped(..)));
    let of_x = Event::Dropped("x".parse().unwrap(), Fault::Damaged);
    assert_eq!(dropped.collect::<Vec<_>>(), [&of_x]);
    assert_eq!((a.parcels(), b.parcels()), (vec![1], vec![1]));
    assert_eq!(a.cluster.up(), [info("b", 1).life]);
}
