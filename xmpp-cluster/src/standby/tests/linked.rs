//! Standbys over links, membership and the session table, as they are: frames that take a moment, and can be cut off.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use xmpp_core::FullJid;
use xmpp_core::mailbox::SmPoint;
use xmpp_core::session::SessionId;
use xmpp_core::time::Timestamp;

use super::super::*;
use crate::cluster;
use crate::frame::{Entry, Resumable, VERSIONS};
use crate::node::{Incarnation, NodeInfo};

const WAY: Duration = Duration::from_millis(5);
const STEP: Duration = Duration::from_millis(5);
const JULIET: SessionId = SessionId { run: 1, n: 1 };

struct Nodes {
    now: Now,
    nodes: BTreeMap<NodeId, (cluster::Node, Standby)>,
    wires: VecDeque<(Instant, NodeId, NodeId, Bytes)>,
    cut: BTreeSet<(NodeId, NodeId)>,
    told: Vec<(NodeId, Output)>,
}

fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

fn entry(generation: u32) -> Entry {
    Entry {
        jid: FullJid::new("juliet@example.org/balcony").unwrap(),
        session: JULIET,
        since: Timestamp(0),
        generation,
        resumable: Some(Resumable {
            id: "sm1".into(),
            max: 300,
        }),
        priority: None,
        presence: None,
        interested: false,
        carbons: false,
        block_list: false,
    }
}

impl Nodes {
    fn new(names: &[&str]) -> Nodes {
        let info = |name: &str| NodeInfo {
            life: Life {
                node: node(name),
                incarnation: Incarnation(1),
            },
            site: "home".parse().unwrap(),
            versions: VERSIONS,
        };
        let of = |name: &&str| {
            let machine = cluster::Node::new(info(name), cluster::Limits::default());
            let run = u64::from(name.as_bytes()[0]);
            let standby = Standby::new(node(name), run, Limits::default());
            (node(name), (machine, standby))
        };
        let mut nodes = Nodes {
            now: Now {
                #[allow(clippy::disallowed_methods)] // only differences count
                instant: Instant::now(),
                utc: Timestamp(1_000_000),
            },
            nodes: names.iter().map(of).collect(),
            wires: VecDeque::new(),
            cut: BTreeSet::new(),
            told: Vec::new(),
        };
        nodes.run(3000);
        nodes
    }

    fn standby(&mut self, name: &str) -> &mut Standby {
        &mut self.nodes.get_mut(&node(name)).unwrap().1
    }

    fn open(&mut self, name: &str) {
        let state = Bytes::from_static(b"<session/>");
        let replica = Replica::new(JULIET, "sm1".into(), Duration::from_secs(300), state);
        self.input(&node(name), Input::Open(Box::new(replica)));
    }

    fn queue(&mut self, name: &str, n: u32) {
        let mut out = Vec::new();
        let (now, id) = (self.now, "sm9".into());
        let stanza = Bytes::from(format!("<message id='{n}'/>"));
        let point = Some(SmPoint { id, n });
        let standby = self.standby(name);
        standby
            .queue(JULIET, point, stanza, None, now, &mut out)
            .unwrap();
        self.outputs(&node(name), out);
    }

    fn cut(&mut self, a: &str, b: &str) {
        self.cut.extend([(node(a), node(b)), (node(b), node(a))]);
    }

    fn run(&mut self, ms: u64) {
        let end = self.now.instant + Duration::from_millis(ms);
        while self.now.instant < end {
            self.now.instant += STEP;
            self.now.utc = self.now.utc.plus(STEP);
            let due = |wire: &(Instant, NodeId, NodeId, Bytes)| wire.0 <= self.now.instant;
            let due = self.wires.iter().take_while(|wire| due(wire)).count();
            for wire in self.wires.drain(..due).collect::<Vec<_>>() {
                let (_, from, to, frame) = wire;
                self.frame(&to, cluster::Input::Frame(from, frame));
            }
            for name in self.nodes.keys().cloned().collect::<Vec<_>>() {
                self.turn(&name);
            }
        }
    }

    fn turn(&mut self, name: &NodeId) {
        let now = self.now;
        let (machine, standby) = self.nodes.get_mut(name).unwrap();
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now.instant);
        let (mut out, mut kept) = (Vec::new(), Vec::new());
        if due(machine.next_timeout()) {
            machine.handle_timeout(now, &mut out);
        }
        if due(standby.next_timeout()) {
            standby.handle_timeout(now, &mut kept);
        }
        self.carry(name, out);
        self.outputs(name, kept);
        self.input(name, Input::Flush);
        self.frame(name, cluster::Input::Flush);
    }

    fn frame(&mut self, name: &NodeId, input: cluster::Input) {
        let Some((machine, _)) = self.nodes.get_mut(name) else {
            return;
        };
        let mut out = Vec::new();
        machine.handle(input, self.now, &mut out);
        self.carry(name, out);
    }

    fn carry(&mut self, name: &NodeId, out: Vec<cluster::Output>) {
        let at = self.now.instant + WAY;
        for output in out {
            let (to, frame) = match output {
                cluster::Output::Send(to, _, frame) => (vec![to], frame),
                cluster::Output::Publish(frame) => (self.nodes.keys().cloned().collect(), frame),
                cluster::Output::Event(event) => {
                    if let Some(input) = Input::of(&event, &"home".parse().unwrap()) {
                        self.input(name, input);
                    }
                    continue;
                }
            };
            for to in to.into_iter().filter(|to| to != name) {
                if !self.cut.contains(&(name.clone(), to.clone())) {
                    self.wires.push_back((at, name.clone(), to, frame.clone()));
                }
            }
        }
    }

    fn input(&mut self, name: &NodeId, input: Input) {
        let (_, standby) = self.nodes.get_mut(name).unwrap();
        let mut out = Vec::new();
        standby.handle(input, self.now, &mut out);
        self.outputs(name, out);
    }

    fn outputs(&mut self, name: &NodeId, out: Vec<Output>) {
        for output in out {
            let (machine, standby) = self.nodes.get_mut(name).unwrap();
            match &output {
                Output::Send(to, parcel) => {
                    if machine.send(to, parcel).is_err() {
                        let mut out = Vec::new();
                        standby.handle(Input::NotSent(to.node.clone()), self.now, &mut out);
                        self.outputs(name, out);
                    }
                    continue;
                }
                Output::Raised(_, generation) => machine.put(entry(*generation)),
                Output::Lost(..) => {
                    machine.remove(&entry(0).jid, JULIET);
                }
                _ => {}
            }
            self.told.push((name.clone(), output));
        }
    }

    fn owners(&self) -> Vec<&str> {
        let owns = |(_, standby): &(cluster::Node, Standby)| standby.replica(JULIET).is_some();
        let owners = self.nodes.iter().filter(|(_, node)| owns(node));
        owners.map(|(name, _)| name.as_str()).collect()
    }
}

#[test]
fn a_session_outlives_its_node_and_is_replicated_again() {
    let mut nodes = Nodes::new(&["a", "b", "c"]);
    nodes.open("a");
    nodes.run(100);
    nodes.queue("a", 1);
    nodes.run(100);
    let (protection, home) = nodes.standby("a").protection(JULIET).unwrap();
    assert_eq!(protection, Protection::Replicated);
    let home = home.unwrap().clone();
    let safe = |(_, output): &(NodeId, Output)| matches!(output, Output::Safe(JULIET, 1));
    assert!(nodes.told.iter().any(safe));
    nodes.nodes.remove(&node("a"));
    nodes.run(6000);
    assert_eq!(nodes.owners(), [home.as_str()]);
    let standby = nodes.standby(home.as_str());
    assert_eq!(standby.replica(JULIET).unwrap().waiting.len(), 1);
    assert_eq!(
        standby.protection(JULIET).unwrap().0,
        Protection::Replicated
    );
    let third = nodes.nodes.iter().find(|(name, _)| **name != home).unwrap();
    let account = entry(0).jid.to_bare();
    let entries: Vec<_> = third.1.0.table().resources(&account).collect();
    assert!(matches!(entries[..], [(at, entry)] if *at == home && entry.generation == 3));
}

/// There is no third by way of which they would be up for each other.
#[test]
fn after_a_cut_there_is_one_owner_and_it_has_what_both_have_accepted() {
    let mut nodes = Nodes::new(&["a", "b"]);
    nodes.open("a");
    nodes.run(100);
    nodes.queue("a", 1);
    nodes.run(100);
    nodes.cut("a", "b");
    // Not all of it is safe before each knows of the cut.
    nodes.queue("a", 2);
    nodes.run(8000);
    assert_eq!(nodes.owners(), ["a", "b"]);
    nodes.queue("a", 3);
    nodes.queue("b", 2);
    nodes.queue("b", 4);
    nodes.run(1000);
    nodes.cut.clear();
    nodes.run(8000);
    assert_eq!(nodes.owners(), ["a"], "it has served the client");
    let standby = nodes.standby("a");
    let replica = standby.replica(JULIET).unwrap();
    let mut all: Vec<u32> = replica
        .waiting
        .iter()
        .map(|item| item.point.as_ref().unwrap().n)
        .collect();
    all.sort_unstable();
    assert_eq!(all, [1, 2, 3, 4]);
    assert_eq!(
        standby.protection(JULIET).unwrap().0,
        Protection::Replicated
    );
    let gone = |(at, output): &(NodeId, Output)| {
        *at == node("b") && matches!(output, Output::Gone(JULIET))
    };
    assert!(nodes.told.iter().any(gone));
    assert_eq!(nodes.standby("b").counts().kept, 1);
}
