//! From a stanza to a link and back.

use std::collections::HashMap;

use super::*;
use crate::mailbox::{Later, Outcome};

#[test]
fn the_first_stanza_has_a_connection_opened_and_goes_when_its_pair_is_granted() {
    let mut bench = Bench::new(limits());
    assert_eq!(bench.send("a", "x", "1"), ["dial out 1 a>x"]);
    assert_eq!(bench.send("a", "x", "2"), nothing());
    // Another pair of the same domain goes the same way.
    assert_eq!(bench.send("b", "x", "3"), nothing());
    assert_eq!(
        bench.give(Input::Connected(OUT_1)),
        ["out 1: request a>x", "out 1: request b>x", "out 1: open"]
    );
    assert_eq!(
        bench.granted(OUT_1, "a", "x"),
        ["out 1: a>x 1", "out 1: a>x 2"]
    );
    assert_eq!(bench.granted(OUT_1, "b", "x"), ["out 1: b>x 3"]);
    assert_eq!(bench.send("a", "x", "4"), ["out 1: a>x 4"]);
    // One that is new is requested there.
    assert_eq!(bench.send("c", "x", "5"), ["out 1: request c>x"]);
}

#[test]
fn what_was_not_written_goes_first_over_the_next_connection() {
    let mut bench = Bench::up();
    for id in ["2", "3"] {
        bench.send("a", "x", id);
    }
    bench.wait(5.0);
    // Of what was handed over the first is written. The stream has given back one while it ended.
    let unsent = s2s::Output::Unsent(message("a", "x", "2"));
    assert_eq!(bench.told(OUT_1, unsent), ["out 1: close"]);
    assert_eq!(bench.send("a", "x", "4"), nothing());
    let returned = vec![message("a", "x", "3")];
    assert_eq!(bench.ended(OUT_1, returned), ["dial out 2 a>x"]);
    bench.send("a", "x", "5");
    bench.give(Input::Connected(OUT_2));
    assert_eq!(
        bench.granted(OUT_2, "a", "x"),
        [
            "out 2: a>x 2",
            "out 2: a>x 3",
            "out 2: a>x 4",
            "out 2: a>x 5"
        ]
    );
}

#[test]
fn a_link_that_ends_with_nothing_to_do_is_not_replaced_and_all_is_forgotten() {
    let mut bench = Bench::up();
    let size = message("a", "x", "1").stanza.size();
    assert_eq!(bench.budget.used(), size);
    bench.give(Input::Written(OUT_1, size));
    assert_eq!(bench.budget.used(), 0);
    assert_eq!(bench.ended(OUT_1, Vec::new()), nothing());
    assert!(bench.links.lines.is_empty() && bench.links.domains.is_empty());
    assert_eq!(bench.links.next_timeout(), None);
    // It is no failure: the next stanza has a connection opened at once.
    assert_eq!(bench.send("a", "x", "2"), ["dial out 2 a>x"]);
}

#[test]
fn a_domain_without_a_server_is_told_at_once_and_left_alone_for_longer_each_time() {
    let mut bench = Bench::new(limits());
    let not_found = || Input::NotConnected(OUT_1, Condition::RemoteServerNotFound);
    bench.send("a", "x", "1");
    assert_eq!(
        bench.give(not_found()),
        ["return a>x 1 remote-server-not-found"]
    );
    // It is tried again, but not now.
    assert_eq!(bench.send("a", "x", "2"), nothing());
    assert_eq!(bench.wait(0.9), nothing());
    assert_eq!(bench.wait(0.1), ["dial out 2 a>x"]);
    let not_found = Input::NotConnected(OUT_2, Condition::RemoteServerNotFound);
    bench.give(not_found);
    bench.send("a", "x", "3");
    assert_eq!(bench.wait(1.9), nothing());
    assert_eq!(bench.wait(0.1), ["dial out 3 a>x"]);
}

#[test]
fn a_domain_that_cannot_be_reached_is_tried_until_the_stanzas_have_waited_for_long_enough() {
    let mut bench = Bench::new(limits());
    bench.send("a", "x", "1");
    let mut dials = 1;
    let mut returned = Vec::new();
    for _ in 0..700 {
        let id = LinkId::Out(dials);
        let mut words = bench.give(Input::NotConnected(id, Condition::RemoteServerTimeout));
        words.extend(bench.wait(0.1));
        for word in words {
            match word.starts_with("dial") {
                true => dials += 1,
                false => returned.push(word),
            }
        }
    }
    // After 1, 2, 4, 8 and 16 s; 32 s more would be too many.
    assert_eq!(dials, 6);
    assert_eq!(returned, ["return a>x 1 remote-server-timeout"]);
}

#[test]
fn for_a_domain_with_patience_stanzas_wait_so_many_times_longer() {
    let mut bench = Bench::new(limits());
    let slow = HashMap::from([(domain("x.example"), 20)]);
    bench.give(Input::Patience(slow));
    for (to, link) in [("x", OUT_1), ("y", OUT_2)] {
        bench.send("a", to, "1");
        bench.give(Input::Connected(link));
    }
    assert_eq!(bench.wait(59.9), nothing());
    assert_eq!(bench.wait(0.1), ["return a>y 1 remote-server-timeout"]);
    assert_eq!(bench.wait(19.0 * 60.0 - 0.1), nothing());
    assert_eq!(bench.wait(0.1), ["return a>x 1 remote-server-timeout"]);
}

#[test]
fn while_a_pause_is_longer_than_a_stanza_may_wait_it_comes_back_at_once() {
    let mut bench = Bench::new(limits());
    for n in 1..=8 {
        bench.send("a", "x", "1");
        bench.give(Input::NotConnected(
            LinkId::Out(n),
            Condition::RemoteServerNotFound,
        ));
        if n < 8 {
            // The pause doubles: 64 s after the seventh failure.
            bench.wait(128.0);
        }
    }
    assert_eq!(
        bench.send("a", "x", "2"),
        ["return a>x 2 remote-server-not-found"]
    );
    // It is not remembered for ever.
    bench.wait(1000.0);
    assert!(bench.links.domains.is_empty() && bench.links.remembered.is_empty());
    assert_eq!(bench.links.next_timeout(), None);
}

#[test]
fn a_domain_that_proves_itself_to_us_is_there_again() {
    let mut bench = Bench::new(limits());
    bench.send("a", "x", "1");
    for n in 1..=3 {
        let id = LinkId::Out(n);
        bench.give(Input::NotConnected(id, Condition::RemoteServerTimeout));
        if n < 3 {
            bench.wait(2.0);
        }
    }
    bench.give(Input::Accepted(IN_1));
    // Not at once: it may be that it cannot be reached from here.
    assert_eq!(bench.accepted(IN_1, "x", "a"), nothing());
    bench.give(Input::Accepted(IN_2));
    bench.wait(1.5);
    assert_eq!(bench.accepted(IN_2, "x", "a"), ["dial out 4 a>x"]);
}

#[test]
fn a_refused_pair_gets_the_error_for_it_and_is_not_requested_again_at_once() {
    for (why, error) in [
        // XEP-0220 §2.1.1: "an <internal-server-error/> stanza error"
        (Refusal::Invalid, "internal-server-error"),
        // §2.5: "a <remote-server-timeout/> stanza error"
        (
            Refusal::Error(Condition::ItemNotFound),
            "remote-server-timeout",
        ),
        (Refusal::Policy, "remote-server-timeout"),
    ] {
        let mut bench = Bench::up();
        bench.send("b", "x", "1");
        assert_eq!(
            bench.refused(OUT_1, "b", "x", why),
            [format!("return b>x 1 {error}")]
        );
        assert_eq!(bench.send("b", "x", "2"), nothing());
        assert_eq!(bench.wait(1.0), ["out 1: request b>x"]);
        // The other pair is none the worse for it.
        assert_eq!(bench.send("a", "x", "3"), ["out 1: a>x 3"]);
    }
}

#[test]
fn a_pair_that_this_stream_cannot_carry_gets_another() {
    for why in [
        Refusal::Multiplexing,
        Refusal::Full,
        Refusal::Direction,
        // It is the pair of another stream, and there is only EXTERNAL.
        Refusal::NoMethod,
    ] {
        let mut bench = Bench::up();
        bench.send("b", "x", "1");
        assert_eq!(bench.refused(OUT_1, "b", "x", why), ["dial out 2 b>x"]);
        // What is new does not try the first one again.
        assert_eq!(bench.send("c", "x", "2"), nothing());
        assert_eq!(
            bench.give(Input::Connected(OUT_2)),
            ["out 2: request b>x", "out 2: request c>x", "out 2: open"]
        );
    }
    let mut bench = Bench::new(limits());
    bench.send("a", "x", "1");
    bench.give(Input::Connected(OUT_1));
    assert_eq!(
        bench.refused(OUT_1, "a", "x", Refusal::NoMethod),
        ["return a>x 1 remote-server-timeout"]
    );
}

#[test]
fn a_stream_that_ends_before_it_is_open_is_a_failure_and_its_stanzas_wait() {
    let mut bench = Bench::new(limits());
    bench.send("a", "x", "1");
    bench.give(Input::Connected(OUT_1));
    assert_eq!(bench.refused(OUT_1, "a", "x", Refusal::Timeout), nothing());
    assert_eq!(bench.ended(OUT_1, Vec::new()), nothing());
    assert_eq!(bench.wait(1.0), ["dial out 2 a>x"]);
}

#[test]
fn a_stream_that_is_used_both_ways_is_a_way_for_what_the_peer_has_proven() {
    let mut bench = Bench::new(limits());
    bench.give(Input::Accepted(IN_1));
    bench.accepted(IN_1, "x", "a");
    // Nothing says that it may be used for more.
    assert_eq!(bench.send("a", "x", "1"), ["dial out 1 a>x"]);
    // XEP-0288 §2.2
    assert_eq!(bench.granted(IN_1, "a", "x"), ["in 1: a>x 1"]);
    assert_eq!(bench.send("b", "x", "2"), ["in 1: request b>x"]);
    assert_eq!(bench.send("a", "y", "3"), ["dial out 2 a>y"]);
    // The connection that is not needed any more is for the next one, if need be.
    assert_eq!(bench.give(Input::Connected(OUT_1)), ["out 1: open"]);
    assert_eq!(bench.ended(IN_1, Vec::new()), ["out 1: request b>x"]);
}

#[test]
fn nothing_goes_two_ways_at_once() {
    let mut bench = Bench::up();
    bench.give(Input::Accepted(IN_1));
    bench.accepted(IN_1, "x", "a");
    assert_eq!(bench.granted(IN_1, "a", "x"), nothing());
    assert_eq!(bench.send("a", "x", "2"), ["out 1: a>x 2"]);
    // It takes over with what has not been written.
    let returned = vec![message("a", "x", "1"), message("a", "x", "2")];
    assert_eq!(bench.ended(OUT_1, returned), ["in 1: a>x 1", "in 1: a>x 2"]);
}

#[test]
fn those_above_are_told() {
    let mut bench = Bench::new(limits());
    bench.give(Input::Send(message("a", "x", "1")));
    let bytes = message("a", "x", "1").stanza.size();
    bench.give(Input::Connected(OUT_1));
    let pair = pair("a", "x");
    let event = format!("{{ link: Out(1), pair: {pair:?}, ");
    let mut events = bench.give_all(Input::Stream(OUT_1, s2s::Output::Granted(pair.clone())));
    events.retain(|word| word.contains(" { "));
    assert_eq!(
        events,
        [
            format!("Up {event}resumed: false }}"),
            "Waiting { to: \"x.example\", bytes: 0 }".to_owned()
        ]
    );
    let error = crate::xml::Element::new("error", crate::xml::ns::STREAM).with_child(
        crate::xml::Element::new("policy-violation", "urn:ietf:params:xml:ns:xmpp-streams"),
    );
    bench.told(OUT_1, s2s::Output::PeerError(Box::new(error)));
    let ended = Ended {
        error: None,
        lost: false,
        returned: vec![message("a", "x", "1")],
    };
    assert_eq!(
        bench.give_all(Input::Ended(OUT_1, ended)),
        [
            format!("Down {event}why: Peer(\"policy-violation\") }}"),
            format!("Waiting {{ to: \"x.example\", bytes: {bytes} }}"),
        ]
    );
}

#[test]
fn a_connection_that_is_lost_is_told_from_a_stream_that_was_ended() {
    for (lost, why) in [(false, "why: Ended"), (true, "why: Lost")] {
        let mut bench = Bench::new(limits());
        bench.give(Input::Send(message("a", "x", "1")));
        bench.give(Input::Connected(OUT_1));
        bench.granted(OUT_1, "a", "x");
        let ended = Ended {
            lost,
            ..Ended::default()
        };
        let events = bench.give_all(Input::Ended(OUT_1, ended));
        assert!(events.iter().any(|event| event.contains(why)), "{events:?}");
    }
}

#[test]
fn whoever_has_taken_a_stanza_back_has_it_alone() {
    let mut bench = Bench::new(limits());
    let (first, later) = message("a", "x", "1").withdrawable();
    bench.give(Input::Send(first));
    let (second, kept): (_, Later) = message("a", "x", "2").withdrawable();
    bench.give(Input::Send(second));
    assert!(later.withdraw().is_some());
    bench.give(Input::Connected(OUT_1));
    assert_eq!(bench.granted(OUT_1, "a", "x"), ["out 1: a>x 2"]);
    assert!(kept.withdraw().is_none(), "it is on its way");
    // Nor does it come back as an error.
    let mut bench = Bench::new(limits());
    let (first, later) = message("a", "x", "1").withdrawable();
    bench.give(Input::Send(first));
    assert!(later.withdraw().is_some());
    let why = Condition::RemoteServerNotFound;
    assert_eq!(bench.give(Input::NotConnected(OUT_1, why)), nothing());
    assert_eq!(bench.budget.used(), 0);
    let outcome = futures::executor::block_on(later);
    assert_eq!(outcome, Outcome::Returned);
}

#[test]
fn at_the_end_all_that_waits_comes_back_and_all_links_are_closed() {
    let mut bench = Bench::up();
    bench.send("a", "y", "2");
    bench.give(Input::Accepted(IN_1));
    assert_eq!(
        bench.give(Input::Close),
        [
            "return a>y 2 remote-server-timeout",
            "out 1: close",
            "out 2: close",
            "in 1: close"
        ]
    );
    assert_eq!(
        bench.send("a", "x", "3"),
        ["return a>x 3 remote-server-timeout"]
    );
    bench.give(Input::Accepted(IN_2));
    assert_eq!(bench.give(Input::Connected(OUT_2)), ["out 2: close"]);
    assert!(!bench.links.is_over());
    for link in [OUT_2, IN_1, IN_2] {
        bench.ended(link, Vec::new());
    }
    assert_eq!(
        bench.ended(OUT_1, vec![message("a", "x", "1")]),
        ["return a>x 1 remote-server-timeout"]
    );
    assert!(bench.links.is_over());
    assert_eq!(bench.budget.used(), 0);
}
