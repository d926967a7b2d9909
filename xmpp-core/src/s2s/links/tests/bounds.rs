//! What is bounded, and what happens then.

use super::*;

#[test]
fn what_does_not_fit_comes_back_and_what_waits_stays() {
    let mut limits = limits();
    limits.pair.stanzas = 2;
    limits.domain.stanzas = 3;
    limits.total.stanzas = 4;
    let mut bench = Bench::new(limits);
    let full = |word: &str| vec![format!("return {word} resource-constraint")];
    bench.send("a", "x", "1");
    bench.send("a", "x", "2");
    assert_eq!(bench.send("a", "x", "3"), full("a>x 3"));
    bench.send("b", "x", "4");
    assert_eq!(bench.send("b", "x", "5"), full("b>x 5"));
    bench.send("a", "y", "6");
    assert_eq!(bench.send("a", "y", "7"), full("a>y 7"));
    bench.give(Input::Connected(OUT_1));
    assert_eq!(
        bench.granted(OUT_1, "a", "x"),
        ["out 1: a>x 1", "out 1: a>x 2"]
    );
    assert_eq!(bench.send("a", "y", "8"), nothing());
}

/// Whoever has sent it was told that it is handled.
#[test]
fn what_an_earlier_run_has_left_is_taken_whatever_the_bounds_are() {
    let mut limits = limits();
    limits.pair.stanzas = 2;
    let mut bench = Bench::new(limits);
    let all = bench.budget.free();
    assert!(bench.budget.take(all));
    for id in ["1", "2", "3"] {
        let again = bench.give(Input::Again(message("a", "x", id)));
        assert!(
            !again.iter().any(|it| it.starts_with("return")),
            "{again:?}"
        );
    }
    assert_eq!(
        bench.send("a", "x", "4"),
        ["return a>x 4 resource-constraint"]
    );
    bench.give(Input::Connected(OUT_1));
    assert_eq!(
        bench.granted(OUT_1, "a", "x"),
        ["out 1: a>x 1", "out 1: a>x 2", "out 1: a>x 3"]
    );
    let size = message("a", "x", "1").stanza.size();
    bench.give(Input::Written(OUT_1, 3 * size));
    assert_eq!(bench.budget.used(), all);
}

/// A session that comes sends presence and a probe to each of its contacts, and after a start they all come at once; most servers have one
/// domain, and most contacts are at a few.
#[test]
fn a_burst_for_one_pair_has_room_by_default() {
    let mut bench = Bench::new(Limits::default());
    assert_eq!(bench.send("a", "x", "0"), ["dial out 1 a>x"]);
    for n in 1..4000 {
        let text = format!("<presence from='juliet@a.example/b' to='r{n}@x.example'/>");
        let presence = Stanza::parse(&text).unwrap();
        assert_eq!(bench.give(Input::Send(presence.into())), nothing());
    }
    assert_eq!(bench.links.counts().stanzas, 4000);
}

/// Whoever writes to servers that are not there does not keep others from being written to.
#[test]
fn one_domain_has_an_eighth_of_the_room_at_most() {
    let limits = Limits::default();
    assert!(
        limits.pair.stanzas <= limits.domain.stanzas && limits.pair.bytes <= limits.domain.bytes
    );
    assert!(limits.domain.stanzas * 8 <= limits.total.stanzas);
    assert!(limits.domain.bytes * 8 <= limits.total.bytes);
}

#[test]
fn what_waits_counts_against_the_servers_memory_until_it_is_written() {
    let mut bench = Bench::new(limits());
    let size = message("a", "x", "1").stanza.size();
    let others = bench.budget.free() - 2 * size;
    assert!(bench.budget.take(others));
    bench.send("a", "x", "1");
    bench.send("a", "x", "2");
    assert_eq!(
        bench.send("a", "x", "3"),
        ["return a>x 3 resource-constraint"]
    );
    bench.give(Input::Connected(OUT_1));
    bench.granted(OUT_1, "a", "x");
    assert_eq!(
        bench.send("a", "x", "4"),
        ["return a>x 4 resource-constraint"]
    );
    bench.give(Input::Written(OUT_1, size));
    assert_eq!(bench.send("a", "x", "5"), ["out 1: a>x 5"]);
    // One that says that it has written what it never had is not believed.
    bench.give(Input::Written(OUT_1, 100 * size));
    assert_eq!(bench.budget.used(), others);
}

#[test]
fn a_link_is_handed_as_much_as_it_has_room_for_and_each_pair_has_its_turn() {
    let mut limits = limits();
    let size = message("a", "x", "1").stanza.size();
    limits.window = 2 * size;
    let mut bench = Bench::new(limits);
    for id in ["1", "2", "3"] {
        bench.send("a", "x", id);
        bench.send("b", "x", id);
    }
    bench.give(Input::Connected(OUT_1));
    assert_eq!(
        bench.granted(OUT_1, "a", "x"),
        ["out 1: a>x 1", "out 1: a>x 2"]
    );
    assert_eq!(bench.granted(OUT_1, "b", "x"), nothing());
    let written = || Input::Written(OUT_1, size);
    assert_eq!(bench.give(written()), ["out 1: a>x 3"]);
    assert_eq!(bench.give(written()), ["out 1: b>x 1"]);
    // While it waits for acknowledgements it gets nothing.
    assert_eq!(bench.give(Input::Hold(OUT_1, true)), nothing());
    assert_eq!(bench.give(written()), nothing());
    assert_eq!(bench.give(Input::Hold(OUT_1, false)), ["out 1: b>x 2"]);
    // What a link leaves waiting for too long comes back.
    assert_eq!(bench.wait(60.0), ["return b>x 3 remote-server-timeout"]);
}

#[test]
fn a_stanza_larger_than_the_window_goes_alone() {
    let mut limits = limits();
    limits.window = 10;
    let mut bench = Bench::new(limits);
    bench.send("a", "x", "1");
    bench.send("a", "x", "2");
    bench.give(Input::Connected(OUT_1));
    assert_eq!(bench.granted(OUT_1, "a", "x"), ["out 1: a>x 1"]);
    let size = message("a", "x", "1").stanza.size();
    assert_eq!(bench.give(Input::Written(OUT_1, size)), ["out 1: a>x 2"]);
}

#[test]
fn with_too_many_connections_what_needs_one_waits_for_one_to_go() {
    let mut limits = limits();
    limits.outgoing = 1;
    let mut bench = Bench::new(limits);
    bench.send("a", "x", "1");
    assert_eq!(bench.send("a", "y", "2"), nothing());
    assert_eq!(bench.send("a", "z", "3"), nothing());
    bench.give(Input::Connected(OUT_1));
    bench.granted(OUT_1, "a", "x");
    bench.wait(30.0);
    assert_eq!(bench.ended(OUT_1, Vec::new()), ["dial out 2 a>y"]);
    assert_eq!(
        bench.wait(30.0),
        [
            "return a>y 2 remote-server-timeout",
            "return a>z 3 resource-constraint"
        ]
    );
}

/// Keys are verified for whoever asks, over connections to wherever that says: these are not to keep stanzas from their way.
#[test]
fn with_too_many_connections_the_one_that_was_of_use_longest_ago_gives_way() {
    use crate::s2s::{Ask, Verdict, Verify};
    let mut limits = limits();
    limits.outgoing = 2;
    let mut bench = Bench::new(limits);
    bench.give(Input::Accepted(IN_1));
    for (domain, link) in [("x", OUT_1), ("y", OUT_2)] {
        let verify = Verify {
            pair: pair(domain, "a"),
            id: "one".into(),
            key: "k".into(),
        };
        bench.told(IN_1, s2s::Output::Ask(Ask::Verify(verify.clone())));
        bench.give(Input::Connected(link));
        bench.told(link, s2s::Output::Verified(verify, Verdict::Valid));
        bench.wait(1.0);
    }
    // They may still be of use.
    assert_eq!(bench.send("a", "v", "1"), nothing());
    bench.wait(60.0);
    assert_eq!(bench.send("a", "w", "1"), ["out 1: close"]);
    assert_eq!(bench.ended(OUT_1, Vec::new()), ["dial out 3 a>w"]);
    // What carries something, or has just been opened, stays.
    assert_eq!(bench.send("a", "y", "1"), ["out 2: request a>y"]);
    assert_eq!(bench.granted(OUT_2, "a", "y"), ["out 2: a>y 1"]);
    bench.wait(31.0);
    assert_eq!(bench.send("a", "z", "1"), nothing());
}

#[test]
fn with_too_many_connections_to_one_domain_its_pairs_wait() {
    let mut bench = Bench::up();
    for (from, link) in [("b", OUT_1), ("c", OUT_2)] {
        bench.send(from, "x", "1");
        bench.refused(link, from, "x", Refusal::Multiplexing);
        bench.give(Input::Connected(OUT_2));
    }
    // It is the bound for one domain: no third one.
    assert_eq!(
        bench.wait(60.0).last().map(String::as_str),
        Some("return c>x 1 resource-constraint")
    );
}

#[test]
fn of_one_domains_incoming_connections_the_newest_stay() {
    let mut bench = Bench::new(limits());
    for n in 1..=3 {
        bench.give(Input::Accepted(LinkId::In(n)));
    }
    bench.accepted(IN_1, "x", "a");
    bench.accepted(IN_2, "x", "a");
    // Once more, and another pair, is nothing new.
    assert_eq!(bench.accepted(IN_2, "x", "a"), nothing());
    assert_eq!(bench.accepted(IN_2, "x", "b"), nothing());
    assert_eq!(
        bench.accepted(LinkId::In(3), "x", "a"),
        ["in 1: close Conflict"]
    );
    assert_eq!(bench.accepted(IN_2, "y", "a"), nothing());
}

#[test]
fn of_domains_that_could_not_be_reached_only_so_many_are_remembered() {
    let mut limits = limits();
    limits.domains = 2;
    let mut bench = Bench::new(limits);
    let mut fail = |n: u64, to: &str| {
        bench.send("a", to, "1");
        let why = Condition::RemoteServerNotFound;
        bench.give(Input::NotConnected(LinkId::Out(n), why));
        bench.links.domains.len()
    };
    assert_eq!(
        [fail(1, "w"), fail(2, "x"), fail(3, "y"), fail(4, "z")],
        [1, 2, 2, 2]
    );
    // Those that are in use do not make room.
    assert_eq!(bench.send("a", "v", "1"), ["dial out 5 a>v"]);
    assert_eq!(bench.send("a", "u", "1"), ["dial out 6 a>u"]);
    assert_eq!(
        bench.send("a", "t", "1"),
        ["return a>t 1 resource-constraint"]
    );
}

#[test]
fn only_so_many_pairs_are_known() {
    let mut limits = limits();
    limits.pairs = 1;
    let mut bench = Bench::new(limits);
    bench.send("a", "x", "1");
    assert_eq!(
        bench.send("b", "x", "1"),
        ["return b>x 1 resource-constraint"]
    );
}
