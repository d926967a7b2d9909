//! Nodes of this release beside nodes of one to come, which adds fields everywhere, and kinds of frames and parcels.

use super::*;
use crate::frame::VERSION;
use crate::frame::tests::later;
use crate::membership::Refusal;
use crate::node::Versions;

/// A node that is of the release to come.
pub(super) fn is_later(node: &Node) -> bool {
    node.me().versions.newest > VERSION
}

impl World {
    /// Puts a node of the release to come in the place of that name.
    fn upgrade(&mut self, name: &str, incarnation: u64) {
        let mut info = info(name, incarnation);
        info.versions = later::VERSIONS;
        self.nodes
            .insert(info.life.node.clone(), Node::new(info, Limits::default()));
    }

    /// The newest version that two nodes have in common, as one of them sees it.
    fn common(&self, of: &str, with: &str) -> Option<u32> {
        let node = &self.nodes[&id(of)];
        let mut members = node.members();
        let other = members.find(|seen| seen.info.life.node == id(with))?;
        node.me().versions.common(other.info.versions)
    }

    /// What that release does with parcels that nobody can do without: they go to nodes only that read them.
    fn send_if_read(&mut self, from: &str, to: &str, text: &str) -> bool {
        let reads = self.common(from, to) >= Some(2);
        if reads {
            self.send_new(from, to, text);
        }
        reads
    }

    fn send_new(&mut self, from: &str, to: &str, text: &str) {
        let life = self.nodes[&id(to)].me().life.clone();
        self.node(from).post(&life, later::parcel(text)).unwrap();
    }

    /// And with frames: what is of use only to those that read it goes to all.
    fn publish_new(&mut self, from: &str) {
        let from = self.nodes[&id(from)].me().life.clone();
        let to = None;
        let frame = later::novelty(&Frame {
            from: from.clone(),
            to,
            body: Body::Unknown,
        });
        self.outputs(&from.node, vec![Output::Publish(frame)]);
    }

    /// What a node of that release has read that others do not know.
    fn news(&mut self, name: &str) -> Vec<String> {
        self.news.remove(&id(name)).unwrap_or_default()
    }

    /// All that are there say parcels and entries to all others, and each has them, once.
    #[track_caller]
    fn all_hear_all(&mut self, n: u64) {
        let lives: Vec<Life> = self.nodes.values().map(|n| n.me().life.clone()).collect();
        for from in &lives {
            let name = from.node.as_str();
            let jid = format!("juliet@example.org/{name}");
            self.node(name).put(entry(&jid, n));
            for to in lives.iter().filter(|to| *to != from) {
                self.node(name).send(to, &parcel(n)).unwrap();
            }
        }
        self.run(SECOND);
        for by in &lives {
            let got = self.parcels(by.node.as_str());
            assert_eq!(got, vec![n; lives.len() - 1], "{by}");
            for of in lives.iter().filter(|of| *of != by) {
                let known = self.known(by.node.as_str(), of.node.as_str());
                let known: Vec<u64> = known.iter().map(|entry| entry.session.n).collect();
                assert_eq!(known, [n], "{by} of {of}");
            }
        }
    }
}

#[test]
fn what_each_release_says_the_other_understands() {
    let mut world = World::new(&["a", "b"]);
    world.upgrade("c", 1);
    world.upgrade("d", 1);
    world.run(3 * SECOND);
    for (one, other, common) in [("a", "b", 1), ("a", "c", 1), ("c", "a", 1), ("c", "d", 2)] {
        assert_eq!(world.common(one, other), Some(common), "{one} {other}");
    }
    for n in 1..=5 {
        world.all_hear_all(n);
    }
    let told = world.told("a");
    assert_eq!(told, [], "nothing is wrong with any");
    assert_eq!(world.node("a").counts().unknown, 0);
}

#[test]
fn what_only_the_later_release_says_is_passed_over_or_not_sent() {
    let mut world = World::new(&["a"]);
    world.upgrade("b", 1);
    world.upgrade("c", 1);
    world.run(3 * SECOND);
    world.told.clear();
    // To be had without: it is in the midst of what all know, and the rest comes as ever.
    world.publish_new("b");
    let a = info("a", 1).life;
    world.node("b").send(&a, &parcel(1)).unwrap();
    world.send_new("b", "a", "colours");
    world.send_new("b", "c", "colours");
    world.node("b").send(&a, &parcel(2)).unwrap();
    world.run(SECOND);
    assert_eq!(world.news("c"), ["news", "colours"]);
    assert_eq!(world.news("a"), [""; 0]);
    let told = world.told("a");
    let b = info("b", 1).life;
    assert_eq!(
        told,
        [
            Event::Dropped(b.node.clone(), Fault::Unknown),
            Event::Parcel(b.clone(), parcel(1)),
            Event::Parcel(b, parcel(2)),
        ]
    );
    assert_eq!(world.node("a").counts().unknown, 2, "each is counted");
    assert!(world.node("b").is_idle(), "it is acknowledged nevertheless");

    // Not to be had without.
    assert!(!world.send_if_read("b", "a", "keys"));
    assert!(world.send_if_read("b", "c", "keys"));
    world.run(SECOND);
    assert_eq!(world.news("c"), ["keys"]);
    assert_eq!(world.node("a").counts().unknown, 2);
    world.all_hear_all(3);
}

/// Whoever hands something on need not know what it is.
#[test]
fn what_a_node_does_not_know_it_hands_on() {
    let mut world = World::new(&["a"]);
    world.upgrade("b", 1);
    world.upgrade("c", 1);
    world.run(3 * SECOND);
    world.cut("b", "c");
    world.cut("c", "b");
    world.run(10 * SECOND);
    world.told.clear();
    assert!(world.send_if_read("b", "c", "keys"));
    world.run(SECOND);
    assert_eq!(world.news("c"), ["keys"]);
    let c = info("c", 1).life;
    let frame = later::novelty(&Frame {
        from: info("b", 1).life,
        to: Some((c.node, Some(c.incarnation))),
        body: Body::Unknown,
    });
    world.input(&id("a"), Input::Frame(id("b"), frame));
    world.run(SECOND);
    assert_eq!(world.news("c"), ["news"]);
    assert_eq!(world.node("a").counts().unknown, 0);
    world.all_hear_all(1);
}

#[test]
fn a_cluster_is_upgraded_and_taken_back_node_by_node() {
    let mut world = World::new(&["a", "b", "c"]);
    world.run(3 * SECOND);
    let mut life = 1;
    for later in [true, false] {
        for name in ["a", "b", "c"] {
            life += 1;
            world.all_hear_all(life);
            world.input(&id(name), Input::Leave);
            match later {
                true => world.upgrade(name, life),
                false => world.start(name, life),
            }
            world.run(3 * SECOND);
            world.told.clear();
        }
        assert_eq!(world.common("a", "b"), Some(1 + u32::from(later)));
    }
    world.all_hear_all(life + 1);
}

/// A release later still reads version 1 no more: it is for a cluster in which no node of this release is left.
#[test]
fn two_releases_apart_are_refused_by_each_other_and_heard_by_the_one_between() {
    let mut world = World::new(&["a"]);
    world.upgrade("b", 1);
    let mut last = info("c", 1);
    last.versions = Versions {
        oldest: 2,
        newest: 3,
    };
    let c = last.life.clone();
    world
        .nodes
        .insert(c.node.clone(), Node::new(last, Limits::default()));
    world.run(5 * SECOND);
    let a = info("a", 1).life;
    for (by, of) in [("a", &c), ("c", &a)] {
        let told = world.told(by);
        let refused = Event::Refused(of.clone(), Refusal::Version);
        let refusals = told.iter().filter(|event| **event == refused);
        assert_eq!(refusals.count(), 1, "{told:?}");
        assert!(!world.node(by).is_up(of), "nor by way of b");
    }
    for life in [&a, &c] {
        world.node("b").send(life, &parcel(1)).unwrap();
    }
    world.run(SECOND);
    assert_eq!((world.parcels("a"), world.parcels("c")), (vec![1], vec![1]));
}
