//! What a peer's stream error means for those who wait.

use super::session::{lost, session};
use super::verify;
use super::*;
use crate::xml::{Element, ns};

pub(super) fn error(name: &'static str) -> s2s::Output {
    let condition = Element::new(name, ns::STREAM_ERROR);
    s2s::Output::PeerError(Box::new(
        Element::new("error", ns::STREAM).with_child(condition),
    ))
}

/// A connection for a>x on which b>x is asked for as well and the peer says nothing but this error.
fn rejected(name: &'static str) -> (Bench, Vec<String>) {
    let mut bench = Bench::new(limits());
    bench.send("a", "x", "1");
    bench.send("a", "x", "2");
    bench.send("b", "x", "3");
    bench.give(Input::Connected(OUT_1));
    let mut words = bench.told(OUT_1, error(name));
    for from in ["a", "b"] {
        words.extend(bench.refused(OUT_1, from, "x", Refusal::Timeout));
    }
    words.extend(bench.ended(OUT_1, Vec::new()));
    (bench, words)
}

/// RFC 6120 §4.9.3.5, §4.9.3.6: the domain "is no longer serviced" or "does not correspond to an FQDN that is serviced"; §8.3.3.16.
#[test]
fn a_domain_that_its_server_does_not_know_is_told_at_once() {
    for name in ["host-unknown", "host-gone"] {
        let (mut bench, words) = rejected(name);
        assert_eq!(
            words,
            [
                "return a>x 1 remote-server-not-found",
                "return a>x 2 remote-server-not-found",
                "return b>x 3 remote-server-not-found"
            ],
            "{name}"
        );
        // What comes later is tried again, but not now.
        assert_eq!(bench.send("a", "x", "4"), nothing());
        assert_eq!(bench.wait(1.0), ["dial out 2 a>x"]);
    }
}

/// RFC 6120 §8.3.3.17: "an XML stream can be established but stream negotiation fails".
#[test]
fn a_stream_that_the_peer_will_not_have_is_told_at_once_and_another_pair_tries_its_own() {
    for name in ["policy-violation", "not-authorized", "unsupported-version"] {
        let (mut bench, words) = rejected(name);
        assert_eq!(
            words,
            [
                "return a>x 1 remote-server-timeout",
                "return a>x 2 remote-server-timeout",
            ],
            "{name}"
        );
        assert_eq!(bench.wait(1.0), ["dial out 2 b>x"]);
    }
}

#[test]
fn what_passes_is_tried_again() {
    for name in [
        "resource-constraint",
        "system-shutdown",
        "connection-timeout",
        "reset",
        "conflict",
        "internal-server-error",
        "remote-connection-failed",
        "undefined-condition",
        "never-heard-of",
    ] {
        let (mut bench, words) = rejected(name);
        assert_eq!(words, nothing(), "{name}");
        let again = bench.wait(1.0);
        assert_eq!(again.len(), 1, "{name}: {again:?}");
        assert!(again[0].starts_with("dial out 2"), "{name}: {again:?}");
    }
}

/// An error that a stanza has caused says nothing of those that wait behind it.
#[test]
fn a_link_that_was_of_use_is_tried_again_unless_the_domain_is_gone() {
    for (name, expected) in [
        ("policy-violation", "dial out 2 a>x"),
        ("host-gone", "return a>x 2 remote-server-not-found"),
    ] {
        let mut bench = Bench::up();
        bench.wait(5.0);
        assert_eq!(bench.told(OUT_1, error(name)), nothing());
        let returned = vec![message("a", "x", "2")];
        assert_eq!(bench.ended(OUT_1, returned), [expected]);
    }
}

/// XEP-0220 §2.5: nobody waits for an authoritative server that does not have the domain.
#[test]
fn a_key_of_a_domain_that_its_server_does_not_know_is_not_asked_about_again() {
    let mut bench = Bench::new(limits());
    bench.give(Input::Accepted(IN_1));
    assert_eq!(
        bench.told(IN_1, verify::ask("x", "a", "one")),
        ["dial out 1 a>x"]
    );
    bench.give(Input::Connected(OUT_1));
    let verdict = s2s::Output::Verified(verify::key("x", "a", "one"), s2s::Verdict::Timeout);
    bench.told(OUT_1, error("host-unknown"));
    assert_eq!(bench.told(OUT_1, verdict), nothing());
    assert_eq!(
        bench.ended(OUT_1, Vec::new()),
        ["in 1: verified x>a NotFound"]
    );
}

#[test]
fn a_session_with_a_domain_that_is_gone_is_over() {
    let mut bench = lost();
    bench.give(Input::Connected(OUT_2));
    bench.told(OUT_2, error("host-unknown"));
    let mut words = bench.refused(OUT_2, "a", "x", Refusal::Timeout);
    let back = session("one", "a", "x", &["1", "2"]);
    words.extend(bench.told(OUT_2, s2s::Output::Session(back)));
    words.extend(bench.ended(OUT_2, Vec::new()));
    words.sort();
    assert_eq!(
        words,
        [
            "out 2: close",
            "return a>x 1 remote-server-not-found",
            "return a>x 2 remote-server-not-found",
            "return a>x 3 remote-server-not-found",
            "return a>x 4 remote-server-not-found"
        ]
    );
    assert!(bench.links.held.is_empty());
}
