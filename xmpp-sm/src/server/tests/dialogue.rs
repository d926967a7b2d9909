//! What is said, and why.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use xmpp_core::mailbox::{Inbox as _, Origin, Outcome, Queue, QueueLimits, Settlement, SmPoint};
use xmpp_core::s2s::{Found, Policy, Sent};

use super::table::*;
use super::*;

/// A stanza of which somebody waits to hear.
fn awaited(id: &str) -> (xmpp_core::mailbox::Envelope, xmpp_core::mailbox::Later) {
    let queue = Queue::new(QueueLimits::default(), Arc::new(Budget::new(1 << 20)));
    let mut envelope = message("capulet.example", "montague.example", id);
    envelope.origin = Origin {
        sm: Some(SmPoint {
            id: "sender".into(),
            n: 1,
        }),
        ..Origin::SERVER
    };
    let Settlement::Later(later) = queue.push(envelope) else {
        panic!("it is awaited");
    };
    let taken = queue.take(1).unwrap().unwrap().pop_front().unwrap();
    (taken, later)
}

fn heard(later: &mut xmpp_core::mailbox::Later) -> Option<Outcome> {
    match Pin::new(later).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}

fn resumable() -> Bench {
    let mut bench = Bench::outgoing(None).after(&[features_bidi, valid, enabled_resume]);
    bench.take();
    bench
}

/// XEP-0198 §4: "By 'handled' we mean that the server has accepted responsibility for a stanza".
#[test]
fn who_waits_for_a_stanza_hears_of_it_when_the_peer_has_handled_it() {
    let mut b = resumable();
    let (envelope, mut later) = awaited("one");
    b.input(Input::Send(envelope));
    assert_eq!(b.take(), "send one");
    assert_eq!(heard(&mut later), None, "it is only sent");
    b.receive("<a xmlns='urn:xmpp:sm:3' h='1'/>");
    assert_eq!(heard(&mut later), Some(Outcome::Settled));
}

#[test]
fn who_waits_still_waits_while_there_is_no_connection() {
    let mut b = resumable();
    let (envelope, mut later) = awaited("one");
    b.input(Input::Send(envelope));
    b.out.clear();
    cut(&mut b);
    let Output::S2s(s2s::Output::Session(session)) = b.out.remove(0) else {
        panic!("it outlives the connection");
    };
    drop(b);
    assert_eq!(heard(&mut later), None);
    let mut b = Bench::outgoing(Some(*session)).after(&[features_bidi, valid]);
    b.out.clear();
    b.receive("<resumed xmlns='urn:xmpp:sm:3' previd='theirs' h='0'/>");
    assert_eq!(b.take(), "send one, resumable thei, granted");
    assert_eq!(heard(&mut later), None);
    b.receive("<a xmlns='urn:xmpp:sm:3' h='1'/>");
    assert_eq!(heard(&mut later), Some(Outcome::Settled));
}

/// XEP-0198 §5: "the server MAY also include a 'h' attribute indicating the number of stanzas received before the timeout".
#[test]
fn the_count_of_a_session_that_is_over_settles_what_it_covers() {
    let mut session = session();
    let (one, mut first) = awaited("one");
    let (two, mut second) = awaited("two");
    let at = Timestamp(1_000_000_000_000);
    session.queue = [one, two].map(|envelope| Sent { envelope, at }).into();
    let mut b = Bench::outgoing(Some(session)).after(&[features, valid]);
    b.out.clear();
    b.receive(
        "<failed xmlns='urn:xmpp:sm:3' h='6'>\
        <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>",
    );
    assert_eq!(heard(&mut first), Some(Outcome::Settled));
    assert_eq!(heard(&mut second), None);
    let late = b.out.iter().find_map(|output| match output {
        Output::S2s(s2s::Output::Unsent(envelope)) => Some(envelope),
        _ => None,
    });
    // §4: "servers SHOULD add a delay element with the original (failed) delivery timestamp"
    let delay =
        "<delay xmlns='urn:xmpp:delay' from='capulet.example' stamp='2001-09-09T01:46:40Z'/>";
    let text = late.unwrap().stanza.to_string();
    assert!(text.contains(delay) && text.contains("id='two'"), "{text}");
    assert_eq!(
        b.take(),
        "acked 1, unsent two late, <enable resume='true' max='600'/>"
    );
}

/// RFC 6120 §4.9.3.9: a stanza of a pair that is not proven would be `<invalid-from/>`.
#[test]
fn what_is_not_granted_any_more_leaves_the_session() {
    let rooms = pair("rooms.capulet.example", "montague.example");
    let mut session = session();
    session.granted.push(rooms);
    let waits = [
        ("rooms.capulet.example", "a"),
        ("capulet.example", "b"),
        ("rooms.capulet.example", "c"),
    ];
    session.queue = waits
        .map(|(from, id)| Sent {
            envelope: message(from, "montague.example", id),
            at: Timestamp(0),
        })
        .into();
    let mut b = Bench::outgoing(Some(session)).after(&[features_bidi, valid]);
    b.out.clear();
    resumed(&mut b);
    assert_eq!(
        b.take(),
        "unsent a, send b, unsent c, resumable befo, granted",
        "unstamped: they have certainly not arrived"
    );
    // The count goes on from h.
    b.receive("<a xmlns='urn:xmpp:sm:3' h='6'/>");
    assert_eq!(b.take(), "acked 1");
}

/// XEP-0198 §4: "the value of 'h' SHALL be reset from 2³²-1 back to zero".
#[test]
fn counters_wrap_over_connections_too() {
    let mut session = session();
    session.acked = u32::MAX;
    session.handled = u32::MAX;
    let mut b = Bench::outgoing(Some(session)).after(&[features_bidi, valid]);
    assert!(
        b.take()
            .ends_with("<resume previd='before' h='4294967295'/>")
    );
    b.receive("<resumed xmlns='urn:xmpp:sm:3' previd='before' h='0'/>");
    assert_eq!(b.take(), "acked 1, resumable befo, granted");
    stanza(&mut b);
    settled(&mut b);
    b.receive("<r xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(b.take(), "deliver 0, <a h='0'/>");
}

#[test]
fn an_encrypted_session_is_not_resumed_without_encryption() {
    let mut b = Bench::plain(session());
    features(&mut b);
    valid(&mut b);
    let said = b.take();
    assert!(!said.contains("<resume"), "{said}");
    assert!(
        said.ends_with("unsent old late, <enable resume='true' max='600'/>"),
        "{said}"
    );
}

#[test]
fn a_session_waits_for_the_first_of_its_pairs_that_is_granted() {
    let rooms = pair("rooms.capulet.example", "montague.example");
    let mut before = session();
    before.granted = vec![rooms.clone()];
    let mut b = Bench::outgoing(Some(before));
    b.tell(s2s::Input::Request(rooms.clone()));
    features(&mut b);
    valid(&mut b);
    let said = b.take();
    assert!(
        !said.contains("able") && !said.contains("granted"),
        "{said}"
    );
    b.receive("<db:result from='montague.example' to='rooms.capulet.example' type='valid'/>");
    assert_eq!(b.take(), "<resume previd='before' h='2'/>");

    // If it is refused, the session is over, and the stream goes on without.
    let mut before = session();
    before.granted = vec![rooms.clone()];
    let mut b = Bench::outgoing(Some(before));
    b.tell(s2s::Input::Request(rooms));
    features(&mut b);
    valid(&mut b);
    b.out.clear();
    b.receive(
        "<db:result from='montague.example' to='rooms.capulet.example' type='error'><error type='cancel'>\
        <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>",
    );
    assert_eq!(
        b.take(),
        "refused, unsent old late, <enable resume='true' max='600'/>"
    );
}

#[test]
fn a_peer_that_closes_hears_first_of_all_that_it_has_sent() {
    let mut b = Bench::incoming(one_way()).after(&[key, enable_resume, stanza, stanza]);
    b.out.clear();
    b.receive("</stream:stream>");
    settled(&mut b);
    assert_eq!(b.take(), "", "one is not settled");
    settled(&mut b);
    assert_eq!(b.take(), "<a h='2'/>, footer, ended at 2, close");
}

#[test]
fn the_count_of_a_session_that_ends_covers_what_was_on_its_way() {
    let mut b = Bench::incoming(one_way()).after(&[key, enable_resume, stanza]);
    b.out.clear();
    b.receive("<a xmlns='urn:xmpp:sm:3' h='1'/>");
    assert_eq!(b.take(), "UNDEFINED-CONDITION, footer, detach");
    settled(&mut b);
    assert_eq!(b.take(), "ended at 1, close");
}

/// RFC 6120 §4.9.3.9: what the stream ends with is not delivered, so that nobody will ever say that it is settled.
#[test]
fn a_stanza_that_ends_its_stream_does_not_hold_it_up() {
    let forged = "<message from='x@verona.example' to='juliet@capulet.example'/>";
    let mut b = Bench::incoming(one_way()).after(&[key, enable_resume]);
    b.out.clear();
    b.receive(forged);
    assert_eq!(b.take(), "INVALID-FROM, footer, detach, ended at 1, close");

    let mut b = Bench::incoming(one_way()).after(&[key, enable_resume, stanza]);
    b.out.clear();
    b.receive(forged);
    assert_eq!(b.take(), "INVALID-FROM, footer, detach");
    settled(&mut b);
    assert_eq!(b.take(), "ended at 2, close");

    let mut b = resumable();
    b.receive(forged);
    assert_eq!(b.take(), "INVALID-FROM, footer, detach, close");
}

/// Else it would be sent once more, and arrive twice.
#[test]
fn a_session_is_let_go_when_what_came_over_its_connection_is_settled() {
    let mut b = Bench::incoming(one_way()).after(&[key, enable_resume, stanza]);
    b.out.clear();
    b.tell(claim(
        "07070707070707070707070707070707",
        "montague.example",
        true,
    ));
    assert_eq!(b.take(), "CONFLICT, footer, detach");
    stanza(&mut b);
    assert_eq!(b.take(), "", "what it still sends does not count");
    settled(&mut b);
    assert_eq!(b.take(), "session 0707 1/0+0, close");
}

/// As Prosody does: it acknowledges, and nothing more.
/// There each question and its answer cost as much as half a message.
#[test]
fn a_peer_with_patience_is_asked_less_often() {
    let ours = Options::default();
    let theirs = ours.patient(10);
    assert_eq!(ours.requests.interval, Duration::from_millis(100));
    assert_eq!(theirs.requests.interval, Duration::from_secs(30));
    assert_eq!(theirs.requests.stanzas, ours.requests.stanzas);
}

/// On a slow link an answer may stand behind minutes of other things.
#[test]
fn a_peer_with_patience_has_so_many_times_longer_to_acknowledge() {
    for patience in [1, 20] {
        let policy = Policy {
            patience,
            ..Policy::default()
        };
        let mut b = Bench::incoming(policy).after(&[bidi, key, enable_resume]);
        b.tell(s2s::Input::Request(ours()));
        b.receive("<db:result from='montague.example' to='capulet.example' type='valid'/>");
        b.input(Input::Send(message(
            "capulet.example",
            "montague.example",
            "1",
        )));
        b.input(Input::Flush);
        b.take();
        b.wait(60 * u64::from(patience) - 1);
        assert_eq!(b.take(), "", "{patience}");
        b.wait(1);
        assert_ne!(b.take(), "", "{patience}");
    }
}

#[test]
fn what_a_peer_without_resumption_has_not_acknowledged_is_returned() {
    let mut b = Bench::outgoing(None).after(&[features, valid, enabled, send, send]);
    b.receive("<a xmlns='urn:xmpp:sm:3' h='1'/>");
    b.out.clear();
    cut(&mut b);
    assert_eq!(b.take(), "return new, close");
}

/// RFC 6120 §10.1: what is handed over while the peer's last words are waited for is newer than what it has not acknowledged.
#[test]
fn what_comes_back_from_a_stream_that_was_closed_does_so_in_its_order() {
    let hand = |b: &mut Bench, id: &str| {
        let envelope = message("capulet.example", "montague.example", id);
        b.input(Input::Send(envelope));
    };
    let mut b = Bench::incoming(Policy::default()).after(&[bidi, key, enable_resume]);
    hand(&mut b, "one");
    b.input(Input::Close(None));
    b.out.clear();
    hand(&mut b, "two");
    hand(&mut b, "three");
    b.receive("</stream:stream>");
    assert_eq!(
        b.take(),
        "unsent one late, ended at 0, unsent two, unsent three, close"
    );
    // So it is if the session goes on.
    let mut b = resumable();
    hand(&mut b, "one");
    b.input(Input::Close(None));
    b.out.clear();
    hand(&mut b, "two");
    cut(&mut b);
    assert_eq!(b.take(), "session thei 0/0+1, unsent two, close");
}

/// XEP-0198 §3: "The SM-ID SHOULD NOT be longer than 4000 bytes." Sessions are kept by their names, in memory that is not counted.
#[test]
fn a_session_with_a_name_beyond_measure_is_none() {
    for (length, left) in [(4000, "session"), (4001, "return new")] {
        let mut b = Bench::outgoing(None).after(&[features, valid]);
        let name = "x".repeat(length);
        b.receive(&format!(
            "<enabled xmlns='urn:xmpp:sm:3' id='{name}' resume='true'/>"
        ));
        send(&mut b);
        b.out.clear();
        cut(&mut b);
        let said = b.take();
        assert!(said.starts_with(left), "{length}: {said}");
    }
}

#[test]
fn what_is_delivered_before_counting_begins_does_not_count() {
    let mut b = Bench::incoming(one_way()).after(&[key, stanza, enable, stanza]);
    b.out.clear();
    settled(&mut b);
    b.receive("<r xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(b.take(), "<a h='0'/>", "that was the first one");
    settled(&mut b);
    b.input(Input::Flush);
    assert_eq!(b.take(), "<a h='1'/>");
}

#[test]
fn a_session_that_nobody_asked_for_comes_back() {
    for mut b in [
        Bench::incoming(Policy::default()).after(&[bidi, key]),
        Bench::incoming(Policy::default()).after(&[bidi, key, enable_resume]),
        Bench::incoming(Policy::default()).after(&[cut]),
        resumable(),
        Bench::outgoing(Some(session())),
        Bench::outgoing(None).after(&[cut]),
    ] {
        b.out.clear();
        b.tell(s2s::Input::Session(Found::Session(Box::new(session()))));
        assert_eq!(b.take(), "session befo 2/5+1");
    }
}

const COMPRESS: &str =
    "<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>";

/// XEP-0138 §2 has the stream begin anew, and what is counted belongs to the old one. XEP-0170 §3.3: compression has its place before.
#[test]
fn a_stream_that_is_managed_is_not_compressed_any_more() {
    let mut b = Bench::incoming(packed()).after(&[bidi, key, enable_resume]);
    b.out.clear();
    b.receive(COMPRESS);
    assert_eq!(b.take(), "<failure><setup-failed/></failure>");
    stanza(&mut b);
    settled(&mut b);
    b.receive("<r xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(b.take(), "deliver 1, <a h='1'/>");
}

/// A session goes on over a stream that negotiates compression anew, and before it.
#[test]
fn a_session_is_resumed_when_the_stream_is_compressed() {
    let offer = "<stream:features><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>\
        <sm xmlns='urn:xmpp:sm:3'/><compression xmlns='http://jabber.org/features/compress'>\
        <method>zlib</method></compression></stream:features>";
    let mut b = Bench::outgoing(Some(session()));
    b.receive(offer);
    b.tell(s2s::Input::Known(theirs(), known(packed())));
    b.out.clear();
    valid(&mut b);
    assert_eq!(b.take(), "<compress><method>zlib</method></compress>");
    b.receive("<compressed xmlns='http://jabber.org/protocol/compress'/>");
    assert_eq!(b.take(), "Compress(Zlib), header");
    b.reader.restart();
    b.receive(HEADER);
    b.receive(&offer.replace("zlib", "lzw"));
    assert_eq!(b.take(), "<resume previd='before' h='2'/>");
}
