//! Few nodes, step by step.

use std::time::Duration;

use bytes::Bytes;
use xmpp_core::mailbox::SmPoint;
use xmpp_core::session::SessionId;
use xmpp_core::time::Timestamp;
use xmpp_sm::Counter;

use super::super::*;
use crate::frame::standby::Op;
use crate::node::Incarnation;

const JULIET: SessionId = SessionId { run: 1, n: 1 };

struct Nodes {
    now: Now,
    nodes: BTreeMap<NodeId, Standby>,
    told: Vec<(NodeId, Output)>,
}

fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

fn life(name: &str) -> Life {
    Life {
        node: node(name),
        incarnation: Incarnation(1),
    }
}

fn juliet() -> Input {
    let state = Bytes::from_static(b"<session/>");
    let replica = Replica::new(JULIET, "sm1".into(), Duration::from_secs(300), state);
    Input::Open(Box::new(replica))
}

impl Nodes {
    fn new(names: &[&str], limits: Limits) -> Nodes {
        #[allow(clippy::disallowed_methods)] // only differences count
        let instant = Instant::now();
        let of = |name: &&str| {
            let run = u64::from(name.as_bytes()[0]);
            (node(name), Standby::new(node(name), run, limits))
        };
        let mut nodes = Nodes {
            now: Now {
                instant,
                utc: Timestamp(0),
            },
            nodes: names.iter().map(of).collect(),
            told: Vec::new(),
        };
        for a in names {
            for b in names.iter().filter(|b| *b != a) {
                nodes.input(a, Input::Up(life(b)));
            }
        }
        nodes
    }

    fn at(&mut self, name: &str) -> &mut Standby {
        self.nodes.get_mut(&node(name)).unwrap()
    }

    fn input(&mut self, name: &str, input: Input) {
        let mut out = Vec::new();
        let now = self.now;
        self.at(name).handle(input, now, &mut out);
        self.told.extend(out.into_iter().map(|o| (node(name), o)));
    }

    fn queue(&mut self, name: &str, n: u32) -> Queued {
        let mut out = Vec::new();
        let (now, id) = (self.now, "sm9".into());
        let stanza = Bytes::from(format!("<message id='{n}'/>"));
        let point = Some(SmPoint { id, n });
        let queued = self
            .at(name)
            .queue(JULIET, point, stanza, None, now, &mut out);
        self.told.extend(out.into_iter().map(|o| (node(name), o)));
        queued.unwrap()
    }

    fn pass(&mut self, ms: u64) {
        self.now.instant += Duration::from_millis(ms);
        self.now.utc = self.now.utc.plus(Duration::from_millis(ms));
        for name in self.nodes.keys().cloned().collect::<Vec<_>>() {
            let mut out = Vec::new();
            let now = self.now;
            self.at(name.as_str()).handle_timeout(now, &mut out);
            self.told.extend(out.into_iter().map(|o| (name.clone(), o)));
        }
    }

    /// Brings everything where it belongs but what is for those nodes; the rest of what was told.
    fn settle(&mut self, lost: &[&str]) -> Vec<(NodeId, Output)> {
        let mut told = Vec::new();
        loop {
            for name in self.nodes.keys().cloned().collect::<Vec<_>>() {
                self.input(name.as_str(), Input::Flush);
            }
            let all = std::mem::take(&mut self.told);
            let before = all.len();
            let mut sent = 0;
            for (from, output) in all {
                match output {
                    Output::Send(to, parcel) => {
                        sent += 1;
                        if !lost.contains(&to.node.as_str()) && self.nodes.contains_key(&to.node) {
                            self.input(to.node.as_str(), Input::Parcel(from, parcel));
                        }
                    }
                    output => told.push((from, output)),
                }
            }
            if before == 0 || sent == 0 && self.told.is_empty() {
                return told;
            }
        }
    }
}

fn safe(told: &[(NodeId, Output)]) -> Option<u64> {
    told.iter().rev().find_map(|(_, output)| match output {
        Output::Safe(JULIET, upto) => Some(*upto),
        _ => None,
    })
}

#[test]
fn where_there_is_no_other_node_all_is_safe_at_once_and_nothing_is_sent() {
    let mut nodes = Nodes::new(&["a"], Limits::default());
    nodes.input("a", juliet());
    assert_eq!(
        nodes.at("a").protection(JULIET),
        Some((Protection::Single, None))
    );
    let Queued::New(_, told) = nodes.queue("a", 1) else {
        panic!("it is new");
    };
    let out = nodes.settle(&[]);
    assert_eq!(safe(&out), Some(told));
    assert_eq!(nodes.at("a").next_timeout(), None);
    assert_eq!(nodes.queue("a", 1), Queued::Copy(told));
}

#[test]
fn a_standby_goes_on_where_its_owner_has_ended() {
    let mut nodes = Nodes::new(&["a", "b"], Limits::default());
    nodes.input("a", juliet());
    nodes.settle(&[]);
    let kept = (Protection::Replicated, Some(&node("b")));
    assert_eq!(nodes.at("a").protection(JULIET), Some(kept));
    assert_eq!(
        nodes.at("b").arbiter("sm1"),
        Arbiter::Owner(node("a"), JULIET)
    );
    let Queued::New(item, told) = nodes.queue("a", 1) else {
        panic!("it is new");
    };
    assert!(nodes.told.is_empty(), "it is nowhere else yet");
    assert_eq!(safe(&nodes.settle(&[])), Some(told));
    let (now, mut out) = (nodes.now, Vec::new());
    for op in [Op::Sent(item, now.utc), Op::Handled(Counter(7))] {
        nodes.at("a").tell(JULIET, op, now, &mut out).unwrap();
    }
    nodes.settle(&[]);
    let before = format!("{:?}", nodes.at("a").replica(JULIET).unwrap());
    nodes.nodes.remove(&node("a"));
    nodes.input("b", Input::Down(life("a")));
    let told = nodes.settle(&[]);
    let took = told.iter().find_map(|(_, output)| match output {
        Output::TookOver(replica) => Some((**replica).clone()),
        _ => None,
    });
    let mut took = took.expect("it has a replica");
    assert_eq!(took.generation, 3);
    assert_eq!(took.until, Some(now.utc.plus(Duration::from_secs(300))));
    (took.generation, took.until) = (2, None);
    // The clocks of what is remembered of senders are each node's own, and here the same.
    assert_eq!(format!("{took:?}"), before);
    assert_eq!(nodes.at("b").arbiter("sm1"), Arbiter::Here(JULIET));
    assert_eq!(nodes.at("b").arbiter("sm2"), Arbiter::Unknown);
    nodes.input("b", Input::Resumed(JULIET));
    let told = nodes.settle(&[]);
    let raised = |(_, output): &(NodeId, Output)| matches!(output, Output::Raised(JULIET, 6));
    assert!(told.iter().any(raised), "{told:?}");
}

#[test]
fn a_stanza_that_a_silent_standby_holds_up_is_complained_about_and_then_the_standby_given_up() {
    let limits = Limits::default();
    let mut nodes = Nodes::new(&["a", "b"], limits);
    nodes.input("a", juliet());
    nodes.settle(&[]);
    let Queued::New(item, told) = nodes.queue("a", 1) else {
        panic!("it is new");
    };
    nodes.settle(&["b"]);
    assert!(nodes.at("a").next_timeout().is_some());
    nodes.pass(249);
    assert!(nodes.settle(&["b"]).is_empty());
    nodes.pass(1);
    let out = nodes.settle(&["b"]);
    assert!(
        matches!(&out[..], [(_, Output::Overdue(JULIET, overdue))] if *overdue == item),
        "{out:?}"
    );
    nodes.pass(1000);
    assert!(nodes.settle(&["b"]).is_empty(), "once");
    nodes.pass(750);
    let out = nodes.settle(&["b"]);
    assert_eq!(safe(&out), Some(told));
    assert_eq!(
        nodes.at("a").protection(JULIET),
        Some((Protection::Single, None))
    );
    // It is tried again after a while.
    nodes.pass(29_999);
    assert_eq!(
        nodes.at("a").protection(JULIET),
        Some((Protection::Single, None))
    );
    nodes.pass(1);
    nodes.settle(&[]);
    let kept = (Protection::Replicated, Some(&node("b")));
    assert_eq!(nodes.at("a").protection(JULIET), Some(kept));
}

#[test]
fn who_has_no_room_refuses_and_another_is_asked() {
    let mut nodes = Nodes::new(&["a", "b", "c"], Limits::default());
    let wanted = ["b", "c"].map(node);
    let wanted = crate::rendezvous::first("sm1", &wanted).unwrap().clone();
    let full = Limits {
        kept: 0,
        ..Limits::default()
    };
    nodes.at(wanted.as_str()).limits = full;
    nodes.input("a", juliet());
    nodes.settle(&[]);
    let (protection, home) = nodes.at("a").protection(JULIET).unwrap();
    assert_eq!(protection, Protection::Replicated);
    assert_ne!(home, Some(&wanted));
    assert_eq!(nodes.at(wanted.as_str()).counts().kept, 0);
}

#[test]
fn what_ends_is_kept_by_nobody() {
    let mut nodes = Nodes::new(&["a", "b"], Limits::default());
    nodes.input("a", juliet());
    nodes.settle(&[]);
    let counts = nodes.at("b").counts();
    assert!(counts.kept == 1 && counts.bytes > 0);
    let (now, mut out) = (nodes.now, Vec::new());
    nodes
        .at("a")
        .tell(JULIET, Op::Ended, now, &mut out)
        .unwrap();
    nodes.settle(&[]);
    let counts = nodes.at("b").counts();
    assert_eq!((counts.kept, counts.bytes), (0, 0));
    let told = nodes.at("a").tell(JULIET, Op::Until(None), now, &mut out);
    assert_eq!(told, Err(Error::NotHere));
}

/// A part of what was told that got lost, whatever the reason, is noticed: a replica with a hole is none.
#[test]
fn a_log_with_a_gap_is_begun_anew() {
    let mut nodes = Nodes::new(&["a", "b"], Limits::default());
    nodes.input("a", juliet());
    nodes.settle(&[]);
    nodes.queue("a", 1);
    nodes.settle(&["b"]);
    let Queued::New(_, told) = nodes.queue("a", 2) else {
        panic!("it is new");
    };
    let out = nodes.settle(&[]);
    assert_eq!(safe(&out), Some(told));
    let kept = (Protection::Replicated, Some(&node("b")));
    assert_eq!(nodes.at("a").protection(JULIET), Some(kept));
    nodes.input("b", Input::Down(life("a")));
    assert_eq!(nodes.at("b").replica(JULIET).unwrap().waiting.len(), 2);
}

/// Node a is held up, b takes over; then a goes on and asks. What happens to a, in order.
fn held_up(nodes: &mut Nodes, meanwhile: impl FnOnce(&mut Nodes)) -> Vec<Output> {
    nodes.input("a", juliet());
    nodes.settle(&[]);
    nodes.input("b", Input::Down(life("a")));
    nodes.queue("b", 2);
    meanwhile(nodes);
    nodes.settle(&["a"]);
    nodes.input("a", Input::HeldUp);
    nodes.queue("a", 1);
    nodes.input("b", Input::Up(life("a")));
    nodes.input("a", Input::Reset(life("b")));
    let told = nodes.settle(&[]).into_iter();
    told.filter(|(at, _)| *at == node("a"))
        .map(|(_, output)| output)
        .collect()
}

#[test]
fn who_was_held_up_reads_nothing_before_it_is_known_who_has_the_sessions() {
    let mut nodes = Nodes::new(&["a", "b"], Limits::default());
    let told = held_up(&mut nodes, |nodes| nodes.input("b", Input::Resumed(JULIET)));
    let place = |is: &dyn Fn(&Output) -> bool| told.iter().position(is);
    let frozen = place(&|output| matches!(output, Output::Freeze)).unwrap();
    let lost = place(&|output| matches!(output, Output::Lost(JULIET, _))).unwrap();
    let thawed = place(&|output| matches!(output, Output::Thaw)).unwrap();
    assert!(frozen < lost && lost < thawed);
    assert!(nodes.at("a").replica(JULIET).is_none());
    let replica = nodes.at("b").replica(JULIET).unwrap();
    assert_eq!(replica.waiting.len(), 2, "and it has all that was accepted");
}

/// Nobody has resumed it: the owner of before, whose client may not even have noticed, goes on.
#[test]
fn a_session_that_nobody_has_resumed_elsewhere_goes_back() {
    let mut nodes = Nodes::new(&["a", "b"], Limits::default());
    held_up(&mut nodes, |_| {});
    assert_eq!(nodes.at("a").replica(JULIET).unwrap().generation, 4);
    assert!(nodes.at("b").replica(JULIET).is_none());
    assert_eq!(nodes.at("b").counts().yielding, 0);
    let replica = nodes.at("a").replica(JULIET).unwrap();
    assert_eq!(replica.waiting.len(), 2, "and it has all that was accepted");
}

/// Whoever takes a session over may have heard of a better claim before, when it had nothing to compare it with.
#[test]
fn a_claim_is_answered_by_whoever_is_more_right() {
    let mut nodes = Nodes::new(&["a", "b"], Limits::default());
    let of = |generation| {
        let mut replica =
            Replica::new(JULIET, "sm1".into(), Duration::from_secs(300), Bytes::new());
        replica.generation = generation;
        Input::Open(Box::new(replica))
    };
    nodes.input("b", Input::Claimed(node("a"), JULIET, 4));
    nodes.input("b", of(2));
    nodes.input("a", of(4));
    nodes
        .told
        .retain(|(_, output)| !matches!(output, Output::Send(..)));
    nodes.input("a", Input::Claimed(node("b"), JULIET, 2));
    nodes.settle(&[]);
    assert!(nodes.at("a").replica(JULIET).is_some());
    assert!(nodes.at("b").replica(JULIET).is_none());
}
