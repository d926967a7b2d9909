//! Nodes that tell each other that they are there, over a net that is cut in all ways.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use xmpp_core::machine::Machine;
use xmpp_core::time::{Now, Timestamp};

use super::*;
use crate::frame::VERSIONS;
use crate::node::Versions;

const EPOCH: i64 = 1_000_000_000_000;

struct Net {
    nodes: BTreeMap<&'static str, Membership>,
    /// What each node has said of the others, newest last.
    said: BTreeMap<&'static str, Vec<String>>,
    /// Directions that carry nothing.
    cut: BTreeSet<(&'static str, &'static str)>,
    /// Nodes that are held up.
    frozen: BTreeSet<&'static str>,
    /// Milliseconds by which a node's clock is wrong.
    skew: BTreeMap<&'static str, i64>,
    start: Instant,
    ms: u64,
}

impl Net {
    fn new(names: &[&'static str]) -> Net {
        let mut net = Net {
            nodes: BTreeMap::new(),
            said: BTreeMap::new(),
            cut: BTreeSet::new(),
            frozen: BTreeSet::new(),
            skew: BTreeMap::new(),
            #[allow(clippy::disallowed_methods)] // only differences count
            start: Instant::now(),
            ms: 0,
        };
        names.iter().for_each(|name| net.begin(name));
        net
    }

    fn begin(&mut self, name: &'static str) {
        let me = info(name, Incarnation(EPOCH as u64 + self.ms), VERSIONS);
        self.nodes
            .insert(name, Membership::new(me, Timers::default()));
    }

    fn now(&self, name: &str) -> Now {
        let skew = self.skew.get(name).copied().unwrap_or_default();
        Now {
            instant: self.start + Duration::from_millis(self.ms),
            utc: Timestamp(EPOCH + self.ms as i64 + skew),
        }
    }

    fn cut(&mut self, a: &'static str, b: &'static str) {
        self.cut.extend([(a, b), (b, a)]);
    }

    /// Lets so many milliseconds pass, a tenth of a second at a time.
    fn run(&mut self, ms: u64) {
        for _ in 0..ms / 100 {
            self.ms += 100;
            for name in self.nodes.keys().copied().collect::<Vec<_>>() {
                if self.frozen.contains(name) {
                    continue;
                }
                let now = self.now(name);
                let mut out = Vec::new();
                let node = self.nodes.get_mut(name).unwrap();
                if node.next_timeout().is_none_or(|at| at <= now.instant) {
                    node.handle_timeout(now, &mut out);
                }
                self.outputs(name, out);
            }
        }
    }

    fn input(&mut self, name: &'static str, input: Input) {
        let (now, mut out) = (self.now(name), Vec::new());
        let Some(node) = self.nodes.get_mut(name) else {
            return;
        };
        node.handle(input, now, &mut out);
        self.outputs(name, out);
    }

    fn outputs(&mut self, name: &'static str, out: Vec<Output>) {
        let life = self.nodes[name].me().life.clone();
        for output in out {
            let text = match output {
                Output::Beat(beat) => {
                    for other in self.nodes.keys().copied().collect::<Vec<_>>() {
                        let lost = self.cut.contains(&(name, other)) || self.frozen.contains(other);
                        if other != name && !lost {
                            self.input(other, Input::Heard(life.clone(), beat.clone()));
                        }
                    }
                    continue;
                }
                Output::Up(info, Reach::Direct) => format!("{} up", info.life.node),
                Output::Up(info, Reach::Via(by)) => format!("{} up by {by}", info.life.node),
                Output::Way(node, Reach::Direct) => format!("{node} direct"),
                Output::Way(node, Reach::Via(by)) => format!("{node} by {by}"),
                Output::Down(life, why) => format!("{} down: {why:?}", life.node),
                Output::HeldUp(_) => "held up".to_owned(),
                Output::Superseded(_) => "superseded".to_owned(),
                Output::Refused(life, why) => format!("{} refused: {why}", life.node),
            };
            self.said.entry(name).or_default().push(text);
        }
    }

    /// What a node has said since it was last asked.
    fn said(&mut self, name: &str) -> Vec<String> {
        self.said.remove(name).unwrap_or_default()
    }
}

fn info(name: &str, incarnation: Incarnation, versions: Versions) -> NodeInfo {
    NodeInfo {
        life: Life {
            node: name.parse().unwrap(),
            incarnation,
        },
        site: "home".parse().unwrap(),
        versions,
    }
}

#[test]
fn nodes_find_each_other_and_notice_who_is_gone() {
    let mut net = Net::new(&["a", "b", "c"]);
    net.run(3000);
    assert_eq!(net.said("a"), ["b up", "c up"]);
    net.nodes.remove("c");
    net.run(3000);
    assert_eq!(net.said("a"), [""; 0], "too early");
    net.run(3000);
    assert_eq!(net.said("a"), ["c down: Silent"]);
    assert_eq!(net.nodes["a"].members().count(), 2, "it may come back");
    net.begin("c");
    net.run(3000);
    assert_eq!(net.said("a"), ["c up"]);
}

#[test]
fn a_node_that_is_back_before_it_was_missed_is_another_life() {
    let mut net = Net::new(&["a", "b"]);
    net.run(3000);
    net.said("a");
    net.begin("b");
    net.run(3000);
    assert_eq!(net.said("a"), ["b down: Restarted", "b up"]);
}

#[test]
fn who_leaves_is_gone_at_once_and_that_life_does_not_come_back() {
    let mut net = Net::new(&["a", "b"]);
    net.run(3000);
    net.said("a");
    let life = net.nodes["b"].me().life.clone();
    let beat = net.nodes["b"].beat(net.now("b"));
    net.input("b", Input::Leave);
    assert_eq!(net.said("a"), ["b down: Left"]);
    net.input("a", Input::Heard(life, beat));
    assert_eq!(net.said("a"), ["b refused: a later life of it is known"]);
    net.run(10_000);
    assert_eq!(net.said("a"), [""; 0]);
}

#[test]
fn what_goes_one_way_only_is_cut_for_both() {
    let mut net = Net::new(&["a", "b"]);
    net.run(3000);
    net.said.clear();
    net.cut.insert(("a", "b"));
    net.run(10_000);
    assert_eq!(net.said("b"), ["a down: Silent"], "it hears nothing");
    assert_eq!(net.said("a"), ["b down: Silent"], "it is not heard");
    net.cut.clear();
    net.run(3000);
    assert_eq!(
        (net.said("a"), net.said("b")),
        (vec!["b up".into()], vec!["a up".into()])
    );
}

#[test]
fn two_that_cannot_hear_each_other_go_by_a_third() {
    let mut net = Net::new(&["a", "b", "c"]);
    net.run(3000);
    net.said("a");
    net.cut("a", "c");
    net.run(6000);
    assert_eq!(net.said("a"), ["c by b"]);
    net.cut("a", "b");
    net.run(6000);
    assert_eq!(net.said("a"), ["c down: Silent", "b down: Silent"]);
    net.cut.clear();
    net.run(3000);
    for (a, b) in [("a", "b"), ("a", "c"), ("c", "a")] {
        let life = &net.nodes[b].me().life;
        assert_eq!(
            net.nodes[a].reach(life),
            Some(&Reach::Direct),
            "{b} for {a}"
        );
    }
}

#[test]
fn who_was_held_up_hears_that_first_and_forgives_the_others() {
    let mut net = Net::new(&["a", "b"]);
    net.run(3000);
    net.said.clear();
    net.frozen.insert("a");
    net.run(20_000);
    assert_eq!(net.said("b"), ["a down: Silent"]);
    net.frozen.clear();
    net.run(3000);
    assert_eq!(net.said("a"), ["held up"]);
    assert_eq!(net.said("b"), ["a up"]);
}

/// Before it reads what has come meanwhile, whichever clock has noticed.
#[test]
fn a_pause_is_noticed_by_either_clock() {
    for (steady, utc) in [(9000, 0), (0, 9000)] {
        let me = info("a", Incarnation(1), VERSIONS);
        let mut node = Membership::new(me, Timers::default());
        let mut now = Net::new(&[]).now("a");
        node.handle_timeout(now, &mut Vec::new());
        now.instant += Duration::from_millis(steady);
        now.utc = now.utc.plus(Duration::from_millis(utc));
        let mut out = Vec::new();
        node.handle(Input::Table(1), now, &mut out);
        assert_eq!(out, [Output::HeldUp(Duration::from_secs(9))]);
    }
}

#[test]
fn an_earlier_life_of_this_node_has_to_stop() {
    let mut net = Net::new(&["a", "b"]);
    net.run(1000);
    let later = Life {
        node: "a".parse().unwrap(),
        incarnation: Incarnation(EPOCH as u64 + 1),
    };
    let beat = net.nodes["b"].beat(net.now("b"));
    net.input("a", Input::Heard(later, beat));
    assert_eq!(net.said("a").last().map(String::as_str), Some("superseded"));
}

#[test]
fn who_would_harm_the_others_is_refused_and_that_is_said_once() {
    let mut net = Net::new(&["a", "b"]);
    net.run(3000);
    net.said("a");
    let beat = net.nodes["b"].beat(net.now("b"));
    let b = |incarnation| Life {
        node: "b".parse().unwrap(),
        incarnation: Incarnation(incarnation),
    };
    let born = net.nodes["b"].me().life.incarnation.0;
    let clock = |clock: i64| Beat {
        clock: Timestamp(EPOCH + 3000 + clock),
        ..beat.clone()
    };
    let versions = Versions {
        oldest: 7,
        newest: 9,
    };
    let other = Beat {
        versions,
        ..beat.clone()
    };
    for (life, beat, refusal) in [
        (b(born - 1), clock(0), "a later life of it is known"),
        (
            b(born),
            clock(5001),
            "its clock and ours are 5.001s apart, which is more than clocks of one cluster may be",
        ),
        (b(born), clock(-6000), ""),
        (
            b(born + 365 * 86_400_000),
            clock(0),
            "its life begins in the future",
        ),
        (
            b(born + 1),
            other,
            "it reads no version of frames that we read",
        ),
    ] {
        for _ in 0..3 {
            net.input("a", Input::Heard(life.clone(), beat.clone()));
        }
        let expected: Vec<String> = match refusal {
            "" => vec![],
            refusal => vec![format!("b refused: {refusal}")],
        };
        assert_eq!(net.said("a"), expected);
    }
    net.run(1000);
    assert_eq!(
        net.said("a"),
        [""; 0],
        "the one that is there is not harmed"
    );
}

#[test]
fn there_are_no_more_nodes_than_a_heartbeat_can_name() {
    let mut net = Net::new(&["a"]);
    net.run(1000);
    let beat = net.nodes["a"].beat(net.now("a"));
    for i in 1..MEMBERS + 5 {
        let life = info(&format!("n{i}"), Incarnation(EPOCH as u64), VERSIONS).life;
        net.input("a", Input::Heard(life, beat.clone()));
    }
    assert_eq!(net.nodes["a"].members().count(), MEMBERS - 1);
    assert_eq!(net.said("a").len(), 5);
}

/// What the cluster stands on: two that live and are joined by a way of one or two steps are up for each other, all others are not,
/// once nothing has changed for a while. And nobody is up for one that they are not up for.
#[test]
fn after_any_cuts_all_agree_who_is_up() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let names = ["a", "b", "c", "d", "e"];
        let mut net = Net::new(&names);
        net.run(2000);
        for _ in 0..random.usize(1..8) {
            let (a, b) = (names[random.usize(..5)], names[random.usize(..5)]);
            match random.u8(..6) {
                0 | 1 if a != b => net.cut(a, b),
                2 if a != b => {
                    net.cut.insert((a, b));
                }
                3 => net.cut.clear(),
                4 => net.begin(a),
                _ => {
                    net.nodes.remove(a);
                }
            }
            net.run(random.u64(0..80) * 100);
        }
        net.run(15_000);
        let joined = |a: &str, b: &str| {
            let lives = net.nodes.contains_key(a) && net.nodes.contains_key(b);
            let cut = |x, y| {
                net.cut
                    .iter()
                    .any(|pair| *pair == (x, y) || *pair == (y, x))
            };
            lives && !cut(a, b)
        };
        for a in net.nodes.keys() {
            for b in net.nodes.keys().filter(|b| *b != a) {
                let life = &net.nodes[b].me().life;
                let expected = joined(a, b) || names.iter().any(|m| joined(a, m) && joined(m, b));
                let reach = net.nodes[a].reach(life);
                // A life that began behind a cut was never heard directly: nobody knows what it reads.
                let heard = net.nodes[a].members().any(|seen| seen.info.life == *life);
                assert_eq!(
                    reach.is_some(),
                    expected && heard,
                    "seed {seed}: {b} for {a}"
                );
                if let (Some(Reach::Via(relay)), true) = (reach, heard) {
                    assert!(
                        joined(a, relay.as_str()) && joined(relay.as_str(), b),
                        "seed {seed}"
                    );
                }
            }
        }
    }
}
