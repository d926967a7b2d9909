//! Nodes side by side, over a net that takes a moment for each frame and can be cut.

mod bad_input;
mod versions;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use xmpp_core::time::Timestamp;

use super::*;
use crate::frame::tests::later;
use crate::frame::{Data, End, VERSIONS};
use crate::membership::Why;
use xmpp_sm::Counter;

/// How long a frame takes.
const WAY: Duration = Duration::from_millis(10);
/// Between two steps.
const STEP: Duration = Duration::from_millis(5);

struct World {
    now: Now,
    nodes: BTreeMap<NodeId, Node>,
    /// When, from whom, for whom.
    wires: VecDeque<(Instant, NodeId, NodeId, Bytes)>,
    cut: BTreeSet<(NodeId, NodeId)>,
    told: BTreeMap<NodeId, Vec<Event>>,
    /// What nodes of a release to come have read that this one does not know.
    news: BTreeMap<NodeId, Vec<String>>,
    /// Bytes of what was carried, by class.
    carried: u64,
}

fn id(name: &str) -> NodeId {
    name.parse().unwrap()
}

fn info(name: &str, incarnation: u64) -> NodeInfo {
    NodeInfo {
        life: Life {
            node: id(name),
            incarnation: Incarnation(incarnation),
        },
        site: "home".parse().unwrap(),
        versions: VERSIONS,
    }
}

fn entry(jid: &str, n: u64) -> Entry {
    Entry {
        jid: FullJid::new(jid).unwrap(),
        session: SessionId { run: 1, n },
        since: Timestamp(0),
        generation: 0,
        resumable: None,
        priority: Some(1),
        presence: None,
        interested: false,
        carbons: false,
        block_list: false,
    }
}

/// A parcel that can be told from others.
fn parcel(n: u64) -> Parcel {
    Parcel::End(End {
        jid: FullJid::new("a@b/c").unwrap(),
        session: SessionId { run: 0, n },
    })
}

impl World {
    fn new(names: &[&str]) -> World {
        let now = Now {
            #[allow(clippy::disallowed_methods)] // only differences count
            instant: Instant::now(),
            utc: Timestamp(1_000_000),
        };
        let mut world = World {
            now,
            nodes: BTreeMap::new(),
            wires: VecDeque::new(),
            cut: BTreeSet::new(),
            told: BTreeMap::new(),
            news: BTreeMap::new(),
            carried: 0,
        };
        names.iter().for_each(|name| world.start(name, 1));
        world
    }

    fn start(&mut self, name: &str, incarnation: u64) {
        let node = Node::new(info(name, incarnation), Limits::default());
        self.nodes.insert(id(name), node);
    }

    fn node(&mut self, name: &str) -> &mut Node {
        self.nodes.get_mut(&id(name)).unwrap()
    }

    fn cut(&mut self, from: &str, to: &str) {
        self.cut.insert((id(from), id(to)));
    }

    fn run(&mut self, time: Duration) {
        let end = self.now.instant + time;
        while self.now.instant < end {
            self.now.instant += STEP;
            self.now.utc = self.now.utc.plus(STEP);
            while self
                .wires
                .front()
                .is_some_and(|wire| wire.0 <= self.now.instant)
            {
                let (_, from, to, frame) = self.wires.pop_front().unwrap();
                self.input(&to, Input::Frame(from, frame));
            }
            let names: Vec<NodeId> = self.nodes.keys().cloned().collect();
            for name in names {
                let mut out = Vec::new();
                let node = self.nodes.get_mut(&name).unwrap();
                if node.next_timeout().is_some_and(|at| at <= self.now.instant) {
                    node.handle_timeout(self.now, &mut out);
                }
                self.outputs(&name, out);
                self.input(&name, Input::Flush);
            }
        }
    }

    fn input(&mut self, to: &NodeId, input: Input) {
        let mut out = Vec::new();
        if let Some(node) = self.nodes.get_mut(to) {
            if let Input::Frame(_, frame) = &input
                && versions::is_later(node)
            {
                let news = self.news.entry(to.clone()).or_default();
                news.extend(later::read(frame));
            }
            node.handle(input, self.now, &mut out);
        }
        self.outputs(to, out);
    }

    fn outputs(&mut self, of: &NodeId, out: Vec<Output>) {
        let at = self.now.instant + WAY;
        for output in out {
            match output {
                Output::Send(to, _, frame) => self.carry(at, of, to, frame),
                Output::Publish(frame) => {
                    let others = self.nodes.keys().filter(|node| *node != of);
                    for to in others.cloned().collect::<Vec<_>>() {
                        self.carry(at, of, to, frame.clone());
                    }
                }
                Output::Event(event) => self.told.entry(of.clone()).or_default().push(event),
            }
        }
    }

    fn carry(&mut self, at: Instant, from: &NodeId, to: NodeId, frame: Bytes) {
        if !self.cut.contains(&(from.clone(), to.clone())) {
            let frame = match self.nodes.get(from).is_some_and(versions::is_later) {
                true => later::written(&frame),
                false => frame,
            };
            self.carried += frame.len() as u64;
            self.wires.push_back((at, from.clone(), to, frame));
        }
    }

    /// What a node was told since it was last asked.
    fn told(&mut self, name: &str) -> Vec<Event> {
        self.told.remove(&id(name)).unwrap_or_default()
    }

    /// The numbers of the parcels that a node got.
    fn parcels(&mut self, name: &str) -> Vec<u64> {
        let told = self.told(name).into_iter();
        let number = |event| match event {
            Event::Parcel(_, Parcel::End(end)) => Some(end.session.n),
            _ => None,
        };
        told.filter_map(number).collect()
    }

    /// What one node knows of another's slice.
    fn known(&self, by: &str, of: &str) -> Vec<Entry> {
        let account = xmpp_core::BareJid::new("juliet@example.org").unwrap();
        let table = self.nodes[&id(by)].table();
        let all = table.resources(&account);
        all.filter(|(node, _)| node.as_str() == of)
            .map(|(_, entry)| entry.clone())
            .collect()
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn nodes_meet_and_know_who_is_bound_where() {
    let mut world = World::new(&["a", "b"]);
    let balcony = entry("juliet@example.org/balcony", 1);
    world.node("a").put(balcony.clone());
    world.run(3 * SECOND);
    assert_eq!(world.known("b", "a"), std::slice::from_ref(&balcony));
    let told = world.told("b");
    let up = told
        .iter()
        .position(|event| *event == Event::Up(info("a", 1)));
    let put = Event::Put(info("a", 1).life, Box::new(balcony.clone()));
    let put = told.iter().position(|event| *event == put);
    let synced = told
        .iter()
        .position(|event| *event == Event::Synced(info("a", 1).life));
    assert!(up.unwrap() < put.unwrap() && put < synced, "{told:?}");

    // And what changes, as soon as it can be there.
    let mut away = balcony;
    away.priority = None;
    world.node("a").put(away.clone());
    world.run(4 * STEP);
    assert_eq!(world.known("b", "a"), std::slice::from_ref(&away));
    assert!(world.node("a").remove(&away.jid, away.session));
    assert!(!world.node("a").remove(&away.jid, away.session), "once");
    world.run(4 * STEP);
    assert_eq!(world.known("b", "a"), []);
}

#[test]
fn parcels_arrive_once_and_in_order_and_for_the_life_that_they_are_for() {
    let mut world = World::new(&["a", "b"]);
    let b = info("b", 1).life;
    assert_eq!(world.node("a").send(&b, &parcel(0)), Err(SendError::Down));
    world.run(3 * SECOND);
    for n in 1..=500 {
        world.node("a").send(&b, &parcel(n)).unwrap();
    }
    world.run(SECOND / 5);
    assert_eq!(world.parcels("b"), (1..=500).collect::<Vec<_>>());
    assert!(world.node("a").is_idle());
    let traffic = world.node("a").traffic(&b.node).unwrap();
    assert_eq!(traffic.waiting, 0);
    assert_eq!(traffic.link.resent, 0);
    let round_trip = traffic.round_trip.unwrap();
    assert!(
        (2 * WAY..=2 * WAY + 4 * STEP).contains(&round_trip),
        "{round_trip:?}"
    );
    let another = info("b", 2).life;
    let sent = world.node("a").send(&another, &parcel(0));
    assert_eq!(sent, Err(SendError::Down));
    let mut large = entry("juliet@example.org/x", 9);
    large.presence = Some(vec![b'x'; PARCEL].into());
    let delta = Parcel::Table(Delta {
        after: 0,
        changes: vec![crate::frame::Change::Put(Box::new(large))],
    });
    let sent = world.node("a").send(&b, &delta);
    assert_eq!(sent, Err(SendError::TooLong));
}

#[test]
fn a_cut_between_two_of_three_is_gone_round() {
    let mut world = World::new(&["a", "b", "c"]);
    world.run(3 * SECOND);
    world.cut("a", "b");
    world.run(10 * SECOND);
    world.told.clear();
    let (a, b) = (info("a", 1).life, info("b", 1).life);
    for n in 1..=20 {
        world.node("a").send(&b, &parcel(n)).unwrap();
        world.node("b").send(&a, &parcel(n)).unwrap();
    }
    world.node("a").put(entry("juliet@example.org/balcony", 1));
    world.run(SECOND);
    assert_eq!(world.parcels("b"), (1..=20).collect::<Vec<_>>());
    assert_eq!(world.parcels("a"), (1..=20).collect::<Vec<_>>());
    assert_eq!(world.known("b", "a").len(), 1);
    assert!(world.node("c").counts().handed_on >= 4);
    // Mended, the way is the straight one.
    world.cut.clear();
    world.run(3 * SECOND);
    let before = world.node("c").counts().handed_on;
    world.node("a").send(&b, &parcel(21)).unwrap();
    world.run(SECOND);
    assert_eq!(world.parcels("b"), [21]);
    assert_eq!(world.node("c").counts().handed_on, before);
}

#[test]
fn who_is_cut_off_is_taken_out_and_what_was_for_him_is_given_up() {
    let mut world = World::new(&["a", "b"]);
    world.node("b").put(entry("juliet@example.org/balcony", 1));
    world.run(3 * SECOND);
    world.told("a");
    world.told("b");
    world.cut("a", "b");
    world.cut("b", "a");
    let b = info("b", 1).life;
    world.node("a").send(&b, &parcel(1)).unwrap();
    world.node("a").send(&b, &parcel(2)).unwrap();
    world.run(8 * SECOND);
    let told = world.told("a");
    let balcony = Box::new(entry("juliet@example.org/balcony", 1));
    assert_eq!(
        told,
        [
            Event::Lost(b.clone(), balcony.clone()),
            Event::GivenUp(b.clone(), vec![parcel(1), parcel(2)]),
            Event::Down(b.clone(), Why::Silent),
        ]
    );
    assert_eq!(world.node("a").send(&b, &parcel(3)), Err(SendError::Down));
    let traffic = world.node("a").traffic(&b.node).unwrap();
    assert_eq!((traffic.given_up, traffic.waiting), (2, 0));
    world.told("b");

    world.cut.clear();
    world.run(3 * SECOND);
    let traffic = world.node("a").traffic(&b.node).unwrap();
    assert_eq!((traffic.readings, traffic.is_reading), (2, false));
    let told = world.told("a");
    assert!(told.contains(&Event::Up(info("b", 1))));
    assert!(told.contains(&Event::Put(b.clone(), balcony)));
    let told = world.told("b");
    let reset = told
        .iter()
        .filter(|event| **event == Event::Reset(info("a", 1).life));
    assert_eq!(reset.count(), 1, "it hears of what was given up: {told:?}");
    world.node("a").send(&b, &parcel(4)).unwrap();
    world.run(SECOND);
    assert_eq!(world.parcels("b"), [4]);
}

#[test]
fn a_node_that_is_back_has_another_life() {
    let mut world = World::new(&["a", "b"]);
    world.node("b").put(entry("juliet@example.org/balcony", 1));
    world.run(3 * SECOND);
    world.told("a");
    let b = info("b", 1).life;
    world.nodes.remove(&b.node);
    world.node("a").send(&b, &parcel(1)).unwrap();
    world.run(SECOND);
    world.start("b", 2);
    world.run(3 * SECOND);
    let told = world.told("a");
    let given_up = Event::GivenUp(b.clone(), vec![parcel(1)]);
    let given_up = told.iter().position(|event| *event == given_up);
    let down = Event::Down(b.clone(), Why::Restarted);
    let down = told.iter().position(|event| *event == down);
    let up = told
        .iter()
        .position(|event| *event == Event::Up(info("b", 2)));
    assert!(
        given_up.is_some() && given_up < down && down < up,
        "{told:?}"
    );
    assert_eq!(world.known("a", "b"), []);
    assert_eq!(world.node("a").send(&b, &parcel(2)), Err(SendError::Down));
    world
        .node("a")
        .send(&info("b", 2).life, &parcel(3))
        .unwrap();
    world.run(SECOND);
    assert_eq!(world.parcels("b"), [3]);
}

#[test]
fn an_earlier_life_hears_that_it_is_over() {
    let mut world = World::new(&["a", "b"]);
    world.run(3 * SECOND);
    let mut out = Vec::new();
    let now = world.now;
    let mut twin = Node::new(info("b", 2), Limits::default());
    twin.handle_timeout(now, &mut out);
    let Some(Output::Publish(beat)) = out.pop() else {
        panic!("a heartbeat comes first: {out:?}");
    };
    world.input(&id("b"), Input::Frame(id("b"), beat));
    assert!(world.told("b").contains(&Event::Superseded(Incarnation(2))));
    assert_eq!(world.node("b").next_timeout(), None);
    let a = info("a", 1).life;
    assert_eq!(world.node("b").send(&a, &parcel(1)), Err(SendError::Down));
}

#[test]
fn who_leaves_says_so() {
    let mut world = World::new(&["a", "b"]);
    world.run(3 * SECOND);
    world.told("a");
    world.input(&id("b"), Input::Leave);
    world.run(4 * STEP);
    let left = Event::Down(info("b", 1).life, Why::Left);
    assert_eq!(world.told("a"), [left]);
}

#[test]
fn who_was_held_up_hears_that_before_anything_that_has_come() {
    let mut world = World::new(&["a", "b"]);
    world.run(3 * SECOND);
    let a = info("a", 1).life;
    world.node("b").send(&a, &parcel(1)).unwrap();
    world.input(&id("b"), Input::Flush);
    let frame = world.wires.back().unwrap().3.clone();
    world.told("a");
    world.now.instant += 10 * SECOND;
    world.now.utc = world.now.utc.plus(10 * SECOND);
    world.input(&id("a"), Input::Frame(id("b"), frame));
    let told = world.told("a");
    assert!(matches!(&told[0], Event::HeldUp(time) if *time >= 10 * SECOND));
    assert!(matches!(&told[1], Event::Parcel(..)));
}

/// One frame, from whom it says it is.
fn forged(from: Life, to: &str, body: Body) -> Bytes {
    let to = Some((id(to), None));
    Frame { from, to, body }.encode()
}

#[test]
fn what_no_node_may_bring_is_dropped_and_counted() {
    let mut world = World::new(&["a", "b", "c"]);
    world.run(3 * SECOND);
    let (b, c) = (info("b", 1).life, info("c", 1).life);
    let data = |n| {
        Body::Data(Data {
            epoch: u64::MAX,
            after: Counter(0),
            parcels: vec![parcel(n).encode()],
            ack: None,
        })
    };
    world.told("a");
    let a = id("a");
    let stranger = info("x", 1).life;
    let other = info("b", 7).life;
    let before = world.node("a").counts();
    for (from, frame) in [
        ("x", forged(stranger, "a", data(1))),
        ("x", forged(c, "a", data(2))),
        ("b", forged(other, "a", data(3))),
        ("b", Bytes::from_static(b"\xff\xff")),
        ("b", vec![0; FRAME + 1].into()),
    ] {
        world.input(&a, Input::Frame(id(from), frame));
    }
    // For another life of this node.
    let to = Some((a.clone(), Some(Incarnation(7))));
    let body = data(4);
    let late = Frame {
        from: b.clone(),
        to,
        body,
    };
    world.input(&a, Input::Frame(b.node.clone(), late.encode()));
    let counts = world.node("a").counts();
    assert_eq!(counts.strays - before.strays, 3, "{counts:?}");
    assert_eq!(counts.forged - before.forged, 1);
    assert_eq!(counts.damaged - before.damaged, 2);
    // A heartbeat is not handed on, and nothing is handed on twice.
    let mut out = Vec::new();
    Node::new(info("y", 1), Limits::default()).handle_timeout(world.now, &mut out);
    let Some(Output::Publish(beat)) = out.pop() else {
        panic!("a heartbeat comes first");
    };
    world.input(&a, Input::Frame(b.node.clone(), beat));
    let twice = forged(info("c", 1).life, "b", data(5));
    let carried = world.wires.len();
    world.input(&a, Input::Frame(b.node.clone(), twice));
    assert_eq!(world.wires.len(), carried);
    let counts = world.node("a").counts();
    assert_eq!(counts.forged - before.forged, 2);
    assert_eq!(counts.strays - before.strays, 4);
    let dropped = |by, fault| Event::Dropped(id(by), fault);
    assert_eq!(
        world.told("a"),
        [
            dropped("x", Fault::Stray),
            dropped("x", Fault::Forged),
            dropped("b", Fault::Stray),
            dropped("b", Fault::Damaged),
            dropped("b", Fault::Forged),
        ],
        "each is told once"
    );
}

#[test]
fn a_page_that_is_lost_is_asked_for_again() {
    let mut world = World::new(&["a", "b"]);
    for n in 0..(table::PAGE as u64 * 2 + 1) {
        world
            .node("a")
            .put(entry(&format!("juliet@example.org/{n:05}"), n));
    }
    let mut lost = BTreeSet::new();
    for _ in 0..1000 {
        world.run(WAY);
        // Each page's first copy goes astray.
        world.wires.retain(|(.., frame)| {
            let frame = Frame::decode(frame.clone()).unwrap();
            let Body::Page(page) = frame.body else {
                return true;
            };
            let is_first = lost.insert(page.from.map(|jid| jid.to_string()));
            !is_first
        });
    }
    assert_eq!(world.known("b", "a").len(), table::PAGE * 2 + 1);
    assert_eq!(world.node("b").counts().pages_late, 3);
    assert!(world.told("b").contains(&Event::Synced(info("a", 1).life)));
}

#[test]
fn a_change_that_a_node_has_no_room_for_is_found_by_it() {
    let mut world = World::new(&["a", "b"]);
    world.run(3 * SECOND);
    let b = info("b", 1).life;
    while world.node("a").send(&b, &parcel(0)).is_ok() {}
    world.node("a").put(entry("juliet@example.org/balcony", 1));
    assert_eq!(world.node("a").counts().untold, 1);
    assert_eq!(world.known("b", "a"), []);
    world.run(60 * SECOND);
    assert_eq!(world.known("b", "a").len(), 1);
}

#[test]
fn an_idle_hour_costs_little() {
    let mut world = World::new(&["a", "b"]);
    world.run(5 * SECOND);
    let before = world.carried;
    world.run(60 * SECOND);
    let a_minute = world.carried - before;
    // Two heartbeats a second, of fewer than 100 bytes.
    assert!(a_minute < 60 * 2 * 100, "{a_minute}");
}
