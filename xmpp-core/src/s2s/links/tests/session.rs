//! Sessions of XEP-0198 between two connections.

use super::*;
use crate::s2s::{Ask, Claim, Sent, Session};

pub(super) fn session(name: &str, from: &str, to: &str, ids: &[&str]) -> Box<Session> {
    let sent = |id: &&str| Sent {
        envelope: message(from, to, id),
        at: crate::time::Timestamp(0),
    };
    Box::new(Session {
        id: name.into(),
        granted: vec![pair(from, to)],
        accepted: Vec::new(),
        encrypted: true,
        max: Duration::from_secs(600),
        handled: 0,
        acked: 0,
        queue: ids.iter().map(sent).collect(),
    })
}

/// A link from a to x that was lost with two stanzas unacknowledged and one unwritten.
pub(super) fn lost() -> Bench {
    let mut bench = Bench::up();
    bench.wait(5.0);
    let session = session("one", "a", "x", &["1", "2"]);
    assert_eq!(bench.told(OUT_1, s2s::Output::Session(session)), nothing());
    bench.send("a", "x", "4");
    assert_eq!(
        bench.ended(OUT_1, vec![message("a", "x", "3")]),
        ["dial out 2 a>x"]
    );
    bench
}

#[test]
fn a_session_is_taken_up_at_once_and_all_else_waits_behind_it() {
    let mut bench = lost();
    assert_eq!(bench.send("a", "x", "5"), nothing());
    assert_eq!(
        bench.give(Input::Connected(OUT_2)),
        ["out 2: session one", "out 2: request a>x", "out 2: open"]
    );
    bench.give(Input::Resumable(OUT_2, "one".into()));
    let granted = s2s::Output::Granted(pair("a", "x"));
    let words = bench.give_all(Input::Stream(OUT_2, granted));
    assert!(words[0].ends_with("resumed: true }"), "{words:?}");
    assert_eq!(
        &words[1..4],
        ["out 2: a>x 3", "out 2: a>x 4", "out 2: a>x 5"]
    );
}

#[test]
fn what_a_session_gives_back_goes_before_what_waits() {
    let mut bench = lost();
    bench.give(Input::Connected(OUT_2));
    for id in ["1", "2"] {
        let unsent = s2s::Output::Unsent(message("a", "x", id));
        assert_eq!(bench.told(OUT_2, unsent), nothing());
    }
    assert_eq!(
        bench.granted(OUT_2, "a", "x"),
        [
            "out 2: a>x 1",
            "out 2: a>x 2",
            "out 2: a>x 3",
            "out 2: a>x 4"
        ]
    );
}

#[test]
fn no_other_way_is_taken_while_a_session_waits_or_is_being_resumed() {
    let mut bench = lost();
    bench.give(Input::Accepted(IN_1));
    bench.accepted(IN_1, "x", "a");
    assert_eq!(bench.granted(IN_1, "a", "x"), nothing());
    bench.give(Input::Connected(OUT_2));
    assert_eq!(bench.granted(IN_1, "a", "x"), nothing());
    // The connection is lost again, and the session with it.
    assert_eq!(
        bench.refused(OUT_2, "a", "x", Refusal::Timeout),
        ["out 2: close"]
    );
    let back = session("one", "a", "x", &["1", "2"]);
    assert_eq!(bench.told(OUT_2, s2s::Output::Session(back)), nothing());
    assert_eq!(bench.ended(OUT_2, Vec::new()), nothing());
    assert_eq!(bench.wait(1.0), ["dial out 3 a>x"]);
}

#[test]
fn a_session_that_nobody_takes_up_is_answered_with_an_error() {
    let mut bench = lost();
    let mut dials = 2;
    let mut returned = Vec::new();
    for _ in 0..6100 {
        let why = Condition::RemoteServerTimeout;
        bench.give(Input::NotConnected(LinkId::Out(dials), why));
        for word in bench.wait(0.1) {
            match word.starts_with("dial") {
                true => dials += 1,
                false => returned.push(word),
            }
        }
    }
    let error = |id: u8| format!("return a>x {id} remote-server-timeout");
    assert_eq!(returned, [1, 2, 3, 4].map(error));
    assert!((8..16).contains(&dials), "{dials}");
    assert_eq!((bench.links.held.len(), bench.budget.used()), (0, 0));
}

#[test]
fn a_session_of_which_nothing_waits_is_taken_up_when_there_is_something_to_send() {
    let mut bench = Bench::up();
    bench.wait(5.0);
    let session = session("one", "a", "x", &[]);
    bench.told(OUT_1, s2s::Output::Session(session));
    assert_eq!(bench.ended(OUT_1, Vec::new()), nothing());
    assert_eq!(bench.send("a", "x", "2"), ["dial out 2 a>x"]);
}

#[test]
fn a_peer_goes_on_with_the_session_that_it_had_with_us() {
    let mut bench = Bench::new(limits());
    bench.give(Input::Accepted(IN_1));
    bench.accepted(IN_1, "x", "a");
    bench.give(Input::Resumable(IN_1, "one".into()));
    bench.granted(IN_1, "a", "x");
    assert_eq!(bench.send("a", "x", "1"), ["in 1: a>x 1"]);
    let mut session = session("one", "a", "x", &["1"]);
    session.accepted = vec![pair("x", "a")];
    bench.told(IN_1, s2s::Output::Session(session));
    bench.ended(IN_1, Vec::new());
    // It is the peer that opens the next connection: nothing is dialled meanwhile.
    assert_eq!(bench.send("a", "x", "2"), nothing());
    bench.give(Input::Accepted(IN_2));
    bench.accepted(IN_2, "x", "a");
    let claim = Claim {
        id: "one".into(),
        accepted: vec![pair("x", "a")],
        encrypted: true,
    };
    assert_eq!(
        bench.told(IN_2, s2s::Output::Ask(Ask::Session(claim))),
        ["in 2: session one", "in 2: request a>x"]
    );
    bench.give(Input::Resumable(IN_2, "one".into()));
    assert_eq!(bench.granted(IN_2, "a", "x"), ["in 2: a>x 2"]);
}

#[test]
fn a_peer_that_goes_on_without_its_session_has_ended_it() {
    let mut bench = Bench::new(limits());
    bench.give(Input::Accepted(IN_1));
    bench.accepted(IN_1, "x", "a");
    bench.granted(IN_1, "a", "x");
    let mut session = session("one", "a", "x", &["1"]);
    session.accepted = vec![pair("x", "a")];
    bench.told(IN_1, s2s::Output::Session(session));
    bench.ended(IN_1, Vec::new());
    bench.send("a", "x", "2");
    bench.give(Input::Accepted(IN_2));
    bench.accepted(IN_2, "x", "a");
    assert_eq!(
        bench.granted(IN_2, "a", "x"),
        ["in 2: a>x 1", "in 2: a>x 2"]
    );
}

#[test]
fn what_a_peer_does_not_resume_in_time_goes_over_a_connection_of_ours() {
    let mut bench = Bench::new(limits());
    bench.give(Input::Accepted(IN_1));
    bench.accepted(IN_1, "x", "a");
    bench.granted(IN_1, "a", "x");
    let mut session = session("one", "a", "x", &["1"]);
    session.accepted = vec![pair("x", "a")];
    bench.told(IN_1, s2s::Output::Session(session));
    bench.ended(IN_1, Vec::new());
    bench.send("a", "x", "2");
    assert_eq!(bench.wait(599.0), nothing());
    assert_eq!(bench.wait(1.0), ["dial out 1 a>x"]);
    bench.give(Input::Connected(OUT_1));
    assert_eq!(
        bench.granted(OUT_1, "a", "x"),
        ["out 1: a>x 1", "out 1: a>x 2"]
    );
}

#[test]
fn only_so_many_sessions_wait() {
    let mut limits = limits();
    limits.held = 1;
    let mut bench = Bench::new(limits);
    for (n, to) in [(1, "x"), (2, "y")] {
        bench.send("a", to, "1");
        bench.give(Input::Connected(LinkId::Out(n)));
        bench.granted(LinkId::Out(n), "a", to);
    }
    let one = session("one", "a", "x", &["1"]);
    bench.told(OUT_1, s2s::Output::Session(one));
    let two = session("two", "a", "y", &["1"]);
    assert_eq!(
        bench.told(OUT_2, s2s::Output::Session(two)),
        ["return a>x 1 remote-server-timeout"]
    );
}
