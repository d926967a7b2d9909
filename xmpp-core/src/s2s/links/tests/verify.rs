//! Keys, and who is asked about them.

use super::*;
use crate::s2s::{Ask, Verdict, Verify};

pub(super) fn key(from: &str, to: &str, id: &str) -> Verify {
    Verify {
        pair: pair(from, to),
        id: id.into(),
        key: "b4835385f37fe2895af6c196b59097b16862406db80559900d96bf6fa7d23df3".into(),
    }
}

pub(super) fn ask(from: &str, to: &str, id: &str) -> s2s::Output {
    s2s::Output::Ask(Ask::Verify(key(from, to, id)))
}

#[test]
fn a_key_is_verified_over_a_connection_of_our_own_to_the_sender_domain() {
    let mut bench = Bench::up();
    bench.give(Input::Accepted(IN_1));
    assert_eq!(
        bench.told(IN_1, ask("x", "a", "one")),
        ["out 1: verify x>a"]
    );
    let answer = s2s::Output::Verified(key("x", "a", "one"), Verdict::Valid);
    assert_eq!(bench.told(OUT_1, answer), ["in 1: verified x>a Valid"]);
}

#[test]
fn without_one_a_connection_is_opened_and_serves_for_stanzas_as_well() {
    let mut bench = Bench::new(limits());
    bench.give(Input::Accepted(IN_1));
    assert_eq!(bench.told(IN_1, ask("x", "a", "one")), ["dial out 1 a>x"]);
    assert_eq!(bench.told(IN_1, ask("x", "b", "one")), nothing());
    assert_eq!(
        bench.give(Input::Connected(OUT_1)),
        ["out 1: verify x>a", "out 1: verify x>b", "out 1: open"]
    );
    assert_eq!(bench.send("a", "x", "1"), ["out 1: request a>x"]);
    // An answer that nobody waits for is of no effect.
    let other = s2s::Output::Verified(key("x", "a", "two"), Verdict::Valid);
    assert_eq!(bench.told(OUT_1, other), nothing());
}

/// XEP-0288 §2.2: "the receiving server MUST NOT attempt to verify a dialback key on the same connection where the corresponding
/// request was issued."
#[test]
fn a_key_is_never_verified_where_it_came_from_nor_over_what_others_have_opened() {
    let mut bench = Bench::new(limits());
    for link in [IN_1, IN_2] {
        bench.give(Input::Accepted(link));
        bench.accepted(link, "x", "a");
        bench.granted(link, "a", "x");
    }
    assert_eq!(bench.told(IN_1, ask("x", "b", "one")), ["dial out 1 b>x"]);
    // One of ours that is used both ways may have a key come as well.
    let mut bench = Bench::up();
    assert_eq!(bench.told(OUT_1, ask("x", "b", "one")), ["dial out 2 b>x"]);
}

#[test]
fn a_domain_without_a_server_is_an_answer() {
    let mut bench = Bench::new(limits());
    bench.give(Input::Accepted(IN_1));
    bench.told(IN_1, ask("x", "a", "one"));
    let why = Condition::RemoteServerNotFound;
    assert_eq!(
        bench.give(Input::NotConnected(OUT_1, why)),
        ["in 1: verified x>a NotFound"]
    );
    // It is not tried again for whoever asks next, but soon: that it speaks with us says that it may be there.
    assert_eq!(
        bench.told(IN_1, ask("x", "a", "two")),
        ["in 1: verified x>a NotFound"]
    );
    bench.wait(1.0);
    assert_eq!(bench.told(IN_1, ask("x", "a", "three")), ["dial out 2 a>x"]);
}

/// XEP-0220 §2.5: "the Initiating Server MUST return queued stanzas to the respective senders" when it hears of an error; so it hears of
/// none that passes.
#[test]
fn a_server_that_cannot_be_reached_is_tried_again_while_there_is_time() {
    let mut bench = Bench::new(limits());
    bench.give(Input::Accepted(IN_1));
    bench.told(IN_1, ask("x", "a", "one"));
    let why = Condition::RemoteServerTimeout;
    assert_eq!(bench.give(Input::NotConnected(OUT_1, why)), nothing());
    // Whoever asks next waits as well.
    assert_eq!(bench.told(IN_1, ask("x", "b", "two")), nothing());
    assert_eq!(bench.wait(1.0), ["dial out 2 a>x"]);
    assert_eq!(
        bench.give(Input::Connected(OUT_2)),
        ["out 2: verify x>a", "out 2: verify x>b", "out 2: open"]
    );
    // The stream says that it has no answer, and ends.
    let none = s2s::Output::Verified(key("x", "a", "one"), Verdict::Timeout);
    assert_eq!(bench.told(OUT_2, none), nothing());
    assert_eq!(bench.ended(OUT_2, Vec::new()), nothing());
    assert_eq!(bench.wait(2.0), ["dial out 3 a>x"]);
    bench.give(Input::Connected(LinkId::Out(3)));
    for (to, id) in [("a", "one"), ("b", "two")] {
        let answer = s2s::Output::Verified(key("x", to, id), Verdict::Valid);
        let expected = format!("in 1: verified x>{to} Valid");
        assert_eq!(bench.told(LinkId::Out(3), answer), [expected]);
    }
}

/// A server that confirms one key and hangs up on the next is not called again and again.
#[test]
fn a_server_that_hangs_up_has_a_pause() {
    let mut bench = Bench::up();
    bench.give(Input::Accepted(IN_1));
    assert_eq!(
        bench.told(IN_1, ask("x", "a", "one")),
        ["out 1: verify x>a"]
    );
    bench.ended(OUT_1, Vec::new());
    assert_eq!(bench.wait(0.4), nothing());
    assert_eq!(bench.wait(0.6), ["dial out 2 a>x"]);
}

#[test]
fn a_server_that_cannot_be_reached_in_time_is_an_answer() {
    let mut bench = Bench::new(limits());
    bench.give(Input::Accepted(IN_1));
    bench.told(IN_1, ask("x", "a", "one"));
    let why = Condition::RemoteServerTimeout;
    let mut said = Vec::new();
    for n in 1..10 {
        said.extend(bench.give(Input::NotConnected(LinkId::Out(n), why)));
        said.extend(bench.wait(5.0));
    }
    said.retain(|line| !line.starts_with("dial"));
    assert_eq!(said, ["in 1: verified x>a Timeout"]);
    assert_eq!(bench.links.counts().verifications, 0);
}

#[test]
fn a_server_that_says_nothing_is_waited_for_only_so_long() {
    let mut bench = Bench::up();
    bench.give(Input::Accepted(IN_1));
    bench.told(IN_1, ask("x", "a", "one"));
    assert_eq!(bench.wait(19.9), nothing());
    assert_eq!(bench.wait(0.1), ["in 1: verified x>a Timeout"]);
    assert_eq!(bench.links.counts().verifications, 0);
}

#[test]
fn only_so_many_keys_are_verified_at_once_and_none_for_a_stream_that_is_gone() {
    let mut limits = limits();
    limits.verifies = 1;
    let mut bench = Bench::new(limits);
    bench.give(Input::Accepted(IN_1));
    bench.give(Input::Accepted(IN_2));
    bench.told(IN_1, ask("x", "a", "one"));
    assert_eq!(
        bench.told(IN_2, ask("y", "a", "two")),
        ["in 2: verified y>a NotFound"]
    );
    bench.ended(IN_1, Vec::new());
    assert_eq!(bench.told(IN_2, ask("y", "a", "two")), ["dial out 2 a>y"]);
}

#[test]
fn a_quarter_of_the_connections_is_kept_for_stanzas() {
    let mut limits = limits();
    limits.outgoing = 4;
    let mut bench = Bench::new(limits);
    bench.give(Input::Accepted(IN_1));
    for (domain, dialled) in [("u", "out 1"), ("v", "out 2"), ("w", "out 3")] {
        let expected = format!("dial {dialled} a>{domain}");
        assert_eq!(bench.told(IN_1, ask(domain, "a", "one")), [expected]);
    }
    assert_eq!(
        bench.told(IN_1, ask("x", "a", "one")),
        ["in 1: verified x>a NotFound"]
    );
    assert_eq!(bench.send("a", "y", "1"), ["dial out 4 a>y"]);
}

/// A stranger can name any number of domains, and have their names lead to one address.
#[test]
fn so_many_connections_a_second_are_opened_for_keys() {
    let mut limits = limits();
    limits.key_dials = 2;
    let mut bench = Bench::new(limits);
    bench.give(Input::Accepted(IN_1));
    assert_eq!(bench.told(IN_1, ask("u", "a", "one")), ["dial out 1 a>u"]);
    assert_eq!(bench.told(IN_1, ask("v", "a", "one")), ["dial out 2 a>v"]);
    assert_eq!(
        bench.told(IN_1, ask("w", "a", "one")),
        ["in 1: verified w>a Timeout"]
    );
    // Stanzas have their connections, and where there is one, keys are verified over it.
    assert_eq!(bench.send("a", "x", "1"), ["dial out 3 a>x"]);
    assert_eq!(bench.told(IN_1, ask("x", "a", "one")), nothing());
    bench.wait(1.0);
    assert_eq!(bench.told(IN_1, ask("w", "a", "two")), ["dial out 4 a>w"]);
}
