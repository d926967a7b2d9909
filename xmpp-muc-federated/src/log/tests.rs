use std::collections::BTreeSet;
use std::time::Instant;

use proptest::prelude::*;

use super::*;

fn node(name: &str) -> NodeId {
    NodeId::new(name)
}

/// `a:2.5`: the fifth of a's second life.
fn dot(text: &str) -> Dot {
    let (name, numbers) = text.split_once(':').unwrap();
    let (epoch, seq) = numbers.split_once('.').unwrap();
    Dot {
        node: node(name),
        epoch: epoch.parse().unwrap(),
        seq: seq.parse().unwrap(),
    }
}

fn entry(text: &str) -> Entry<()> {
    Entry {
        dot: dot(text),
        at: Timestamp(0),
        size: 10,
        event: (),
    }
}

#[allow(clippy::disallowed_methods)] // a moment like any other
fn start() -> Instant {
    Instant::now()
}

fn vector(reaches: &[&str]) -> Vector {
    let reach = |text: &&str| {
        let Dot { node, epoch, seq } = dot(text);
        (node, Reach { epoch, seq })
    };
    reaches.iter().map(reach).collect()
}

fn told<E>(missing: &Missing<'_, E>) -> (Vec<String>, Vec<String>) {
    let entries = missing.entries.iter().map(|entry| entry.dot.to_string());
    let gone = missing.gone.iter();
    let gone =
        gone.map(|(node, epoch, seqs)| format!("{node}:{epoch}.{}-{}", seqs.start(), seqs.end()));
    (entries.collect(), gone.collect())
}

#[test]
fn a_node_tells_new_events_from_old_ones_and_notices_what_is_missing() {
    use Seen::*;
    let now = start();
    let mut have = Have::new(HaveLimits::default());
    for (text, expected, reach) in [
        ("a:1.1", Next, "a:1.1"),
        ("a:1.2", Next, "a:1.2"),
        ("a:1.2", Again, "a:1.2"),
        ("a:1.6", Ahead, "a:1.2"),
        ("a:1.4", Late, "a:1.2"),
        ("a:1.4", Again, "a:1.2"),
        ("a:1.3", Late, "a:1.4"),
        ("a:1.5", Late, "a:1.6"),
        // Another life: the one before it is over.
        ("a:2.2", Ahead, "a:2.0"),
        ("a:1.7", Again, "a:2.0"),
        ("a:2.1", Late, "a:2.2"),
        ("a:2.0", Again, "a:2.2"),
    ] {
        assert_eq!(have.see(&dot(text), now), expected, "{text}");
        assert_eq!(have.vector(), vector(&[reach]), "{text}");
    }
    // The first that is heard of a node need not be its first.
    assert_eq!(have.see(&dot("b:7.3"), now), Ahead);
    assert_eq!(have.vector(), vector(&["a:2.2", "b:7.0"]));
    assert!(have.has(&dot("b:7.3")) && !have.has(&dot("b:7.2")));
}

#[test]
fn the_last_event_before_a_silence_is_missing_when_one_hears_of_it() {
    let now = start();
    let patience = Duration::from_secs(5);
    let mut have = Have::new(HaveLimits::default());
    have.see(&dot("a:1.1"), now);
    for (told, wanted) in [
        ("a:1.1", None),
        ("a:0.9", None),
        ("a:1.3", Some((node("a"), 1, 2..=3))),
        ("b:2.1", Some((node("b"), 2, 1..=1))),
        ("a:1.3", None),
    ] {
        have.expect(&dot(told), now);
        let missing = have.wanted(patience, now + patience);
        assert_eq!(missing, wanted.into_iter().collect::<Vec<_>>(), "{told}");
    }
    assert!(!have.has(&dot("a:1.3")) && !have.has(&dot("b:2.1")));
    assert_eq!(have.vector(), vector(&["a:1.1", "b:2.0"]));
    assert_eq!(have.see(&dot("a:1.3"), now), Seen::Late);
    assert_eq!(have.see(&dot("a:1.4"), now), Seen::Next);
}

#[test]
fn what_is_missing_is_asked_for_after_a_while_and_not_for_ever() {
    let now = start();
    let patience = Duration::from_secs(5);
    let mut have = Have::new(HaveLimits::default());
    have.see(&dot("a:1.4"), now);
    assert_eq!(have.next_wanted(patience), Some(now + patience));
    assert_eq!(have.wanted(patience, now), []);
    let later = now + patience;
    assert_eq!(have.wanted(patience, later), [(node("a"), 1, 1..=3)]);
    assert_eq!(have.wanted(patience, later), []);
    // The answer may be lost; some of it has come meanwhile.
    assert_eq!(have.next_wanted(patience), Some(now + patience * 2));
    have.see(&dot("a:1.2"), later);
    for times in [2, 4] {
        assert_eq!(have.wanted(patience, now + patience * (times - 1)), []);
        assert_eq!(
            have.wanted(patience, now + patience * times),
            [(node("a"), 1, 1..=1), (node("a"), 1, 3..=3)]
        );
    }
    assert_eq!(have.next_wanted(patience), None);
    have.give_up(&(node("a"), 1, 1..=3));
    assert_eq!(have.vector(), vector(&["a:1.4"]));
}

#[test]
fn whoever_joins_takes_over_how_far_the_others_are() {
    let now = start();
    let mut have = Have::new(HaveLimits::default());
    let reach = |epoch, seq| Reach { epoch, seq };
    have.adopt(&node("a"), reach(3, 100));
    assert_eq!(have.see(&dot("a:3.100"), now), Seen::Again);
    assert_eq!(have.see(&dot("a:3.101"), now), Seen::Next);
    assert_eq!(have.see(&dot("a:3.110"), now), Seen::Ahead);
    // What is behind changes nothing, what is ahead closes what was open.
    have.adopt(&node("a"), reach(2, 500));
    have.adopt(&node("a"), reach(3, 50));
    assert_eq!(have.vector(), vector(&["a:3.101"]));
    have.adopt(&node("a"), reach(3, 105));
    assert_eq!(have.vector(), vector(&["a:3.105"]));
    have.adopt(&node("a"), reach(3, 120));
    assert_eq!(have.vector(), vector(&["a:3.120"]));
    have.adopt(&node("a"), reach(4, 1));
    assert_eq!(have.vector(), vector(&["a:4.1"]));
}

#[test]
fn a_node_knows_only_so_many_others_and_so_many_holes() {
    let now = start();
    let mut have = Have::new(HaveLimits { nodes: 1, gaps: 2 });
    have.see(&dot("a:1.1"), now);
    assert_eq!(have.see(&dot("b:1.1"), now), Seen::Unknown);
    have.adopt(&node("b"), Reach { epoch: 1, seq: 1 });
    assert_eq!(have.vector(), vector(&["a:1.1"]));
    for seq in [3, 5, 7] {
        have.see(&dot(&format!("a:1.{seq}")), now);
    }
    // The oldest hole is given up.
    assert_eq!(have.vector(), vector(&["a:1.3"]));
    have.see(&dot(&format!("a:1.{}", u64::MAX)), now);
    assert_eq!(have.vector(), vector(&["a:1.5"]));
    assert_eq!(have.see(&dot("a:1.7"), now), Seen::Again);
    assert_eq!(
        have.see(&dot(&format!("a:1.{}", u64::MAX)), now),
        Seen::Again
    );
}

#[test]
fn what_is_there_is_what_was_seen_or_given_up() {
    let mut have = Have::new(HaveLimits::default());
    for seq in [2, 3, 6] {
        have.see(&dot(&format!("a:1.{seq}")), start());
    }
    let there = |have: &Have, seqs| {
        let there = have.there(&(node("a"), 1, seqs)).into_iter();
        there
            .map(|(_, _, seqs)| (*seqs.start(), *seqs.end()))
            .collect::<Vec<_>>()
    };
    assert_eq!(there(&have, 1..=u64::MAX), [(2, 3), (6, 6)]);
    assert_eq!(there(&have, 4..=5), []);
    have.give_up(&(node("a"), 1, 1..=4));
    assert_eq!(there(&have, 1..=5), [(1, 4)]);
    assert_eq!(have.there(&(node("a"), 2, 1..=5)), []);
}

#[test]
fn a_log_has_what_another_node_lacks_and_knows_what_it_has_forgotten() {
    let mut log = Log::new(Retention {
        events: 4,
        ..Retention::default()
    });
    for text in ["a:1.1", "b:1.1", "a:1.3", "a:1.2", "b:1.2", "a:1.4"] {
        log.push(entry(text), Timestamp(0));
    }
    let nobody = log.missing(&Vector::default());
    assert_eq!(
        told(&nobody),
        (
            ["a:1.3", "a:1.2", "b:1.2", "a:1.4"]
                .map(String::from)
                .to_vec(),
            ["a:1.1-1", "b:1.1-1"].map(String::from).to_vec()
        )
    );
    let some = log.missing(&vector(&["a:1.3", "b:1.1"]));
    assert_eq!(told(&some).0, ["b:1.2", "a:1.4"]);
    assert_eq!(told(&some).1, [""; 0]);
    // Of a life of which nothing is known here there is nothing to tell.
    let other = log.missing(&vector(&["a:2.1", "b:1.2"]));
    assert_eq!(told(&other), (Vec::new(), Vec::new()));

    let asked = log.range(&(node("a"), 1, 1..=3));
    assert_eq!(told(&asked).0, ["a:1.3", "a:1.2"]);
    assert_eq!(told(&asked).1, ["a:1.1-1"]);
}

/// What came out of order is forgotten out of order.
#[test]
fn what_is_kept_is_not_called_gone() {
    let mut log = Log::new(Retention {
        events: 1,
        ..Retention::default()
    });
    for text in ["a:1.5", "a:1.2"] {
        log.push(entry(text), Timestamp(0));
    }
    let missing = log.missing(&vector(&["a:1.1"]));
    assert_eq!(told(&missing).0, ["a:1.2"]);
    assert_eq!(told(&missing).1, ["a:1.3-5"]);
}

#[test]
fn numbers_end_where_they_end() {
    let last = format!("a:1.{}", u64::MAX);
    let mut log = Log::new(Retention {
        events: 1,
        ..Retention::default()
    });
    log.push(entry("a:1.1"), Timestamp(0));
    log.push(entry(&last), Timestamp(0));
    assert_eq!(
        told(&log.missing(&vector(&[&last]))),
        (Vec::new(), Vec::new())
    );
    let all = log.range(&(node("a"), 1, 0..=u64::MAX));
    assert_eq!(told(&all), (vec![last], vec!["a:1.0-1".to_owned()]));
}

#[test]
fn a_log_is_bounded_in_bytes_and_in_time() {
    let mut log = Log::new(Retention {
        bytes: 25,
        age: Duration::from_secs(10),
        ..Retention::default()
    });
    for text in ["a:1.1", "a:1.2", "a:1.3"] {
        log.push(entry(text), Timestamp(0));
    }
    assert_eq!((log.len(), log.bytes()), (2, 20));
    let mut late = entry("a:1.4");
    late.at = Timestamp(11_000);
    log.push(late, Timestamp(11_000));
    assert_eq!(
        log.iter().map(|entry| entry.dot.seq).collect::<Vec<_>>(),
        [4]
    );
}

#[test]
fn a_change_that_knows_of_another_is_later_whatever_the_clocks_say() {
    let mut slow = Clock::new(node("slow"));
    let mut fast = Clock::new(node("fast"));
    let first = fast.stamp(Timestamp(1_000_000));
    assert!(slow.see(&first, Timestamp(0)));
    let second = slow.stamp(Timestamp(1));
    assert!(second > first);
    assert!(slow.stamp(Timestamp(1)) > second);
    assert!(slow.stamp(Timestamp(2_000_000)).at == Timestamp(2_000_000));
    // At the same moment without knowing of each other: one of them, the same everywhere.
    let (a, b) = (
        Clock::new(node("a")).stamp(Timestamp(5)),
        Clock::new(node("b")).stamp(Timestamp(5)),
    );
    assert!(a < b);
}

#[test]
fn nobody_has_the_last_word_for_ever() {
    let mut clock = Clock::new(node("a"));
    let now = Timestamp(1_000_000);
    let far = Stamp {
        at: Timestamp(i64::MAX),
        count: u32::MAX,
        node: node("b"),
    };
    assert!(!clock.see(&far, now));
    assert_eq!(clock.stamp(now).at, now);
    let edge = Stamp {
        at: now.plus(AHEAD),
        count: u32::MAX,
        node: node("b"),
    };
    assert!(clock.see(&edge, now));
    assert!(clock.stamp(now) > edge);
}

/// One node of the model: what it has, and the naive way to say it.
struct Peer {
    name: NodeId,
    have: Have,
    log: Log<()>,
    naive: BTreeSet<Dot>,
    next: u64,
}

impl Peer {
    fn new(name: &str) -> Peer {
        Peer {
            name: node(name),
            have: Have::new(HaveLimits::default()),
            log: Log::new(Retention::default()),
            naive: BTreeSet::new(),
            next: 1,
        }
    }

    fn receive(&mut self, dot: Dot, now: Instant) {
        let new = self.naive.insert(dot.clone());
        let seen = self.have.see(&dot, now);
        assert_eq!(
            matches!(seen, Seen::Next | Seen::Ahead | Seen::Late),
            new,
            "{dot} is {seen:?}"
        );
        if new {
            let entry = Entry {
                dot,
                at: Timestamp(0),
                size: 1,
                event: (),
            };
            self.log.push(entry, Timestamp(0));
        }
    }

    fn say(&mut self, now: Instant) -> Dot {
        let dot = Dot {
            node: self.name.clone(),
            epoch: 1,
            seq: self.next,
        };
        self.next += 1;
        self.receive(dot.clone(), now);
        dot
    }

    /// Everything below the first one that is missing.
    fn naive_reach(&self, of: &NodeId) -> u64 {
        let seqs = self.naive.iter().filter(|dot| dot.node == *of);
        seqs.zip(1..).take_while(|(dot, n)| dot.seq == *n).count() as u64
    }
}

proptest! {
    /// Whatever is lost, doubled or overtaken on the way: after each has told the other what it has, both have everything once.
    #[test]
    fn two_that_meet_have_everything_once(
        steps in prop::collection::vec((0..3usize, 0..4u8), 0..60)
    ) {
        let now = start();
        let mut peers = ["a", "b", "c"].map(Peer::new);
        let mut on_the_way: Vec<Dot> = Vec::new();
        for (who, what) in steps {
            let dot = peers[who].say(now);
            match what {
                0 => {}
                1 => on_the_way.push(dot),
                2 => on_the_way.insert(0, dot),
                _ => on_the_way.extend([dot.clone(), dot]),
            }
            if on_the_way.len() > 3 {
                let dot = on_the_way.remove(0);
                for peer in &mut peers {
                    peer.receive(dot.clone(), now);
                }
            }
        }
        for peer in &peers {
            for (of, reach) in peer.have.vector().iter() {
                prop_assert_eq!(reach.seq, peer.naive_reach(of));
            }
        }
        // Twice around: what c has reaches a by b.
        for (one, other) in [(0, 1), (1, 2), (0, 1)] {
            let theirs = peers[other].have.vector();
            let ours = peers[one].have.vector();
            let missing: Vec<_> = peers[one].log.missing(&theirs).entries.iter().map(|e| e.dot.clone()).collect();
            let back: Vec<_> = peers[other].log.missing(&ours).entries.iter().map(|e| e.dot.clone()).collect();
            missing.into_iter().for_each(|dot| peers[other].receive(dot, now));
            back.into_iter().for_each(|dot| peers[one].receive(dot, now));
        }
        prop_assert_eq!(&peers[0].naive, &peers[1].naive);
        prop_assert_eq!(&peers[1].naive, &peers[2].naive);
        prop_assert_eq!(peers[0].have.vector(), peers[2].have.vector());
        prop_assert_eq!(peers[0].log.len(), peers[0].naive.len());
    }
}
