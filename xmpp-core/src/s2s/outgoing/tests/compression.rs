//! XEP-0138, of the side that opened the connection.

use super::*;
use crate::s2s::Compression;

fn and_header(b: B) -> B {
    with(with(b, COMPRESSED), HEADER)
}

/// XEP-0170 §3.3: "If stream compression is negotiated in addition to TLS and dialback, it is RECOMMENDED to negotiate it after both", and
/// nothing is sent before.
#[test]
fn it_is_asked_for_when_dialback_has_proven_the_pair() {
    let mut b = compressible();
    let out = b.receive(VALID);
    assert_eq!(
        text(&out),
        "<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>"
    );
    assert_eq!(words(&out), "compress method");
    let out = b.receive(COMPRESSED);
    assert!(matches!(
        out[..],
        [
            stream::Output::S2s(Output::Compress(Compression::Zlib)),
            stream::Output::Write(_)
        ]
    ));
    // XEP-0138 §2: "the initiating entity MUST initiate a new stream"
    assert!(text(&out).starts_with("<?xml version='1.0'?><stream:stream "));
    b.receive(HEADER);
    // Offered again or not, it is there.
    let out = b.receive(&and_compression(DIALBACK_FEATURES));
    assert_eq!(words(&out), "granted capulet>montague");
    assert_eq!(
        words(&b.send("juliet@capulet.example", "romeo@montague.example")),
        "send"
    );
}

/// XEP-0170 §3.3: TLS, SASL, stream compression.
#[test]
fn or_when_sasl_has() {
    let mut b = told(featured(tls(), ALL_FEATURES), packed(right()));
    b.receive(SUCCESS);
    b.receive(HEADER);
    assert_eq!(
        words(&b.receive(&and_compression(DIALBACK_FEATURES))),
        "accepted montague>capulet, compress method"
    );
    assert_eq!(words(&b.receive(COMPRESSED)), "pack, header");
    b.receive(HEADER);
    assert_eq!(
        words(&b.receive(DIALBACK_FEATURES)),
        "granted capulet>montague"
    );
}

#[test]
fn it_is_not_asked_for_where_one_side_does_without() {
    let offered = and_compression(DIALBACK_FEATURES);
    let others = offered.replace("<method>zlib</method>", "");
    for (features, known) in [
        (&*offered, wrong()),
        (DIALBACK_FEATURES, packed(wrong())),
        // "If the initiating entity did not understand any of the advertised compression methods, it SHOULD ignore the compression option"
        (&others, packed(wrong())),
    ] {
        let mut b = told(featured(tls(), features), known);
        assert_eq!(words(&b.receive(VALID)), "granted capulet>montague");
    }
    // Nor without TLS: XEP-0170 §4, "TLS MUST be negotiated first."
    let policy = lax(packed(wrong()));
    let plain = bench(false, policy.policy.unwrap());
    let mut b = told(featured(plain, &offered), policy);
    assert_eq!(words(&b.receive(VALID)), "granted capulet>montague");
}

/// XEP-0138 §2: "Failure of the negotiation SHOULD NOT be treated as an unrecoverable error and therefore SHOULD NOT result in a stream
/// error."
#[test]
fn a_peer_that_refuses_is_spoken_with_as_before() {
    let mut b = compressing();
    b.tell(Input::Request(pair("rooms.example", "montague.example")));
    assert_eq!(
        words(&b.receive(NOT_COMPRESSED)),
        "granted capulet>montague, db:result"
    );
    // It is not asked again.
    let valid = VALID.replace("capulet", "rooms");
    assert_eq!(words(&b.receive(&valid)), "granted rooms>montague");
    let method = NOT_COMPRESSED.replace("setup-failed", "unsupported-method");
    assert_eq!(
        words(&compressing_after_sasl().receive(&method)),
        "granted capulet>montague"
    );
}

/// XEP-0138 §2: the old stream is "null and void"; what was asked on it has to be asked again, with a key for the ID of the new one.
#[test]
fn what_was_asked_and_not_answered_is_asked_again() {
    let mut b = compressible();
    let rooms = pair("rooms.example", "montague.example");
    let before = text(&b.tell(Input::Request(rooms)));
    b.tell(Input::Verify(verify(
        "montague.example",
        "capulet.example",
        "x",
        "k",
    )));
    b.receive(VALID);
    b.receive(COMPRESSED);
    b.receive(&HEADER.replace("D60000229F", "417GAF25"));
    let out = b.receive(DIALBACK_FEATURES);
    assert_eq!(
        words(&out),
        "granted capulet>montague, db:result, db:verify"
    );
    let key = |text: &str| {
        let (_, rest) = text.split_once("from='rooms.example'").unwrap();
        rest.split(['<', '>']).nth(1).unwrap().to_owned()
    };
    assert_ne!(key(&before), key(&text(&out)));
}

/// Nothing may be written behind `<compress/>`, or it would be taken for what it is not.
#[test]
fn what_crosses_the_request_waits_for_its_answer() {
    let other = "<db:result from='chat.example' to='capulet.example'>k</db:result>";
    let ends = || pair("chat.example", "capulet.example");
    let mut b = compressing_after_sasl();
    // The peer has been proven to us, and need not know that there is something to come.
    assert_eq!(words(&b.receive(MESSAGE)), "deliver");
    assert_eq!(words(&b.receive(other)), "");
    assert_eq!(words(&b.tell(Input::Known(ends(), right()))), "");
    assert_eq!(
        words(&b.receive(NOT_COMPRESSED)),
        "granted capulet>montague, ask chat>capulet"
    );
    assert_eq!(
        words(&b.tell(Input::Known(ends(), right()))),
        "db:result valid, accepted chat>capulet, granted capulet>chat"
    );
    // Of what was asked on the old stream nothing is left.
    let mut b = with(compressing_after_sasl(), other);
    b.receive(COMPRESSED);
    b.receive(HEADER);
    assert_eq!(
        words(&b.receive(DIALBACK_FEATURES)),
        "granted capulet>montague"
    );
    // And it is bounded: three pairs and two keys are as many as a stream may have.
    let mut b = compressing_after_sasl();
    for _ in 0..5 {
        assert_eq!(words(&b.receive(other)), "");
    }
    assert!(words(&b.receive(other)).starts_with("POLICY-VIOLATION, footer"));
}

#[test]
fn an_answer_to_what_was_asked_before_counts() {
    let mut b = compressible();
    b.tell(Input::Request(pair("rooms.example", "montague.example")));
    b.receive(VALID);
    let valid = VALID.replace("capulet", "rooms");
    assert_eq!(words(&b.receive(&valid)), "");
    let mut b = and_header(b);
    assert_eq!(
        words(&b.receive(DIALBACK_FEATURES)),
        "granted capulet>montague, granted rooms>montague"
    );
}

/// The peer waits for an answer that would get lost.
#[test]
fn while_the_peer_waits_for_an_answer_the_stream_stays_as_it_is() {
    let bidi = "<stream:features><bidi xmlns='urn:xmpp:features:bidi'/>";
    let features = and_compression(DIALBACK_FEATURES).replace("<stream:features>", bidi);
    let mut b = told(featured(tls(), &features), packed(wrong()));
    assert_eq!(words(&b.receive(KEY)), "ask montague>capulet");
    assert_eq!(
        words(&b.receive(VALID)),
        "granted capulet>montague, accepted montague>capulet"
    );
}

/// The way round by which a pair is granted: the peer has proven its inverse.
#[test]
fn it_comes_before_a_pair_that_is_granted_by_the_peers_own_proof() {
    let bidi = "<stream:features><bidi xmlns='urn:xmpp:features:bidi'/>";
    let features = and_compression(DIALBACK_FEATURES).replace("<stream:features>", bidi);
    let known = packed(right());
    let mut b = bench(true, Policy::default());
    b.tell(Input::Open);
    b.receive(HEADER);
    b.receive(&features);
    b.tell(Input::Known(theirs(), known));
    assert_eq!(words(&b.receive(KEY)), "ask montague>capulet");
    assert_eq!(
        words(&b.tell(Input::Known(theirs(), known))),
        "db:result valid, accepted montague>capulet, compress method"
    );
}

#[test]
fn a_peer_that_does_not_answer_is_given_up() {
    // However late it is asked: the time for the login is nearly over.
    let mut b = compressible();
    assert_eq!(words(&b.wait(30)), "refused capulet>montague Timeout");
    b.tell(Input::Request(ours()));
    assert_eq!(words(&b.wait(29)), "");
    assert_eq!(words(&b.receive(VALID)), "compress method");
    assert_eq!(words(&b.wait(29)), "");
    assert_eq!(
        words(&b.wait(1)),
        "CONNECTION-TIMEOUT, footer, refused capulet>montague Timeout, close"
    );
}

/// Both sides, with each other.
#[test]
fn our_own_machines_agree_on_it() {
    for (certified, bidi) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut known = packed(known(certified, Proof::Either));
        known.policy.as_mut().unwrap().bidi = bidi;
        let said = converse(known);
        assert!(
            said.contains("granted capulet>montague") && said.contains("accepted capulet>montague"),
            "{certified} {bidi}: {said}"
        );
        let granted = said.find("granted capulet>montague").unwrap();
        assert_eq!(said.matches("pack").count(), 2, "{said}");
        assert!(said.rfind("pack").unwrap() < granted, "{said}");
    }
}

/// Lets the two sides talk until they have nothing more to say; tells what each wanted done.
fn converse(known: Known) -> String {
    let now = now();
    let header = "<?xml version='1.0'?><stream:stream from='capulet.example' to='montague.example' version='1.0' \
        xmlns='jabber:server' xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams'>";
    let mut b = Bench::new(
        Incoming::new(Arc::new(settings()), &channel(true), now),
        header,
        now,
    );
    let mut a = bench(true, known.policy.unwrap());
    a.tell(Input::Request(ours()));
    let mut out = a.tell(Input::Open);
    let mut said = String::new();
    let mut ours = true;
    for _ in 0..40 {
        said += &format!("{}; ", words(&out));
        let mut next = Vec::new();
        for output in &out {
            let stream::Output::S2s(Output::Ask(asked)) = output else {
                continue;
            };
            let input = match asked.clone() {
                Ask::Pair(pair) | Ask::Stream(pair) => Input::Known(pair, known),
                Ask::Verify(verify) => Input::Verified(verify, Verdict::Valid),
                Ask::Session(_) => unreachable!("no layer"),
            };
            next.extend(match ours {
                true => a.tell(input),
                false => b.tell(input),
            });
        }
        if next.is_empty() {
            let text = text(&out);
            next = match ours {
                true => b.receive(&text),
                false => a.receive(&text),
            };
            ours = !ours;
        } else {
            // What was written before the answer goes with it.
            out.retain(|output| matches!(output, stream::Output::Write(_)));
            out.append(&mut next);
            next = out;
        }
        out = next;
    }
    said
}
