//! XEP-0138, of the side that accepted the connection.

use super::*;
use crate::s2s::Compression;

fn features(outputs: &[stream::Output]) -> String {
    let text = text(outputs);
    text[text.find("<stream:features>").unwrap()..].to_owned()
}

fn offers(outputs: &[stream::Output]) -> bool {
    features(outputs).contains(
        "<compression xmlns='http://jabber.org/features/compress'><method>zlib</method></compression>",
    )
}

/// XEP-0170 §3.3: behind TLS; behind SASL where there is that, else beside dialback; and only to those for whom it is configured.
#[test]
fn it_is_offered_in_its_order_and_to_nobody_else() {
    let opened = |b: B, known| header(b).tell(Input::Known(ours(), known));
    // XEP-0170 §4: "TLS MUST be negotiated first."
    assert!(!offers(&opened(plain(), packed(wrong()))));
    assert!(!offers(&opened(plain(), lax(packed(wrong())))));
    // SASL is to come.
    assert!(!offers(&opened(tls(), packed(right()))));
    let authenticated = || with(open(tls(), packed(right())), AUTH);
    assert!(offers(&opened(authenticated(), packed(right()))));
    // There is only dialback, behind which there are no features.
    assert!(offers(&opened(tls(), packed(wrong()))));
    assert!(offers(&opened(tls(), packed(known(true, Proof::Dialback)))));
    for (b, known) in [
        (tls(), wrong()),
        (tls(), right()),
        (authenticated(), right()),
    ] {
        assert!(!offers(&opened(b, known)));
    }
}

/// XEP-0138 §2: "MUST begin compressed communications with a new (compressed) stream"; what is proven stays so, as behind SASL. Of what
/// could be negotiated before nothing is offered again.
#[test]
fn the_stream_begins_anew_and_the_pair_stays_proven() {
    let mut b = compressible();
    let out = b.receive(COMPRESS);
    assert_eq!(
        text(&out),
        "<compressed xmlns='http://jabber.org/protocol/compress'/>"
    );
    assert!(matches!(
        out[..],
        [
            stream::Output::Write(_),
            stream::Output::S2s(Output::Compress(Compression::Zlib))
        ]
    ));
    assert_eq!(words(&b.receive(HEADER)), "ask first capulet>montague");
    let out = b.tell(Input::Known(ours(), packed(right())));
    assert_eq!(
        features(&out),
        "<stream:features><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback></stream:features>"
    );
    assert_eq!(words(&b.receive(MESSAGE)), "deliver");
    // Its language is the new header's.
    let out = b.receive(MESSAGE);
    let [stream::Output::Deliver(stanza, _)] = &out[..] else {
        panic!("{out:?}");
    };
    assert_eq!(stanza.lang(), Some("de"));
}

#[test]
fn it_remains_the_stream_of_its_pair() {
    for (change, error) in [
        ("capulet.example", "INVALID-FROM"),
        ("montague.example", "HOST-UNKNOWN"),
    ] {
        let mut b = with(compressible(), COMPRESS);
        let other = HEADER.replace(change, "rooms.example");
        let expected = format!("header, {error}, footer, close");
        assert_eq!(words(&b.receive(&other)), expected);
    }
}

/// XEP-0138 §2: "MUST return an <unsupported-method/> error", "MUST return a <setup-failed/> error"; and it "SHOULD NOT result in a stream
/// error".
#[test]
fn a_refusal_is_no_end() {
    let other = COMPRESS.replace("zlib", "lzw");
    let none = "<compress xmlns='http://jabber.org/protocol/compress'/>";
    let setup = "failure setup-failed";
    for (b, request, expected) in [
        // Nobody is proven: "to prevent certain denial-of-service attacks" (XEP-0170 §3.3).
        (open(tls(), packed(wrong())), COMPRESS, setup),
        (
            open(with(open(tls(), right()), AUTH), right()),
            COMPRESS,
            setup,
        ),
        (proven(tls()), COMPRESS, setup),
        (compressed(), COMPRESS, setup),
        (compressible(), &*other, "failure unsupported-method"),
        (compressible(), none, "failure unsupported-method"),
    ] {
        let mut b = b;
        assert_eq!(words(&b.receive(request)), expected);
        let key = words(&b.receive(RESULT));
        assert!(
            key == "db:result valid" || key == "ask capulet>montague",
            "{key}"
        );
    }
    // One method of several.
    let both = COMPRESS.replace("<method>", "<method>lzw</method><method>");
    assert_eq!(words(&compressible().receive(&both)), "compressed, pack");
}

/// What the server has for a peer that is just about to begin anew waits for that, in its order.
#[test]
fn what_is_sent_between_the_two_streams_goes_over_the_second() {
    let send = |b: &mut B| words(&b.send("romeo@montague.example", "juliet@capulet.example"));
    let mut b = with(compressible(), COMPRESS);
    assert_eq!(send(&mut b), "");
    b.tell(Input::Request(pair("chat.example", "capulet.example")));
    b.receive(HEADER);
    assert_eq!(send(&mut b), "");
    assert_eq!(
        words(&b.tell(Input::Known(ours(), packed(wrong())))),
        "header, features, db:result, send, send"
    );
    // Or it comes back.
    let mut b = with(compressible(), COMPRESS);
    send(&mut b);
    assert_eq!(words(&b.input(stream::Input::Eof)), "unsent, close");
}

/// XEP-0138 §2: the old stream is "null and void". Keys are made for its ID.
#[test]
fn what_was_asked_and_not_answered_is_asked_again() {
    let mut b = compressible();
    let request = pair("chat.example", "capulet.example");
    let before = text(&b.tell(Input::Request(request)));
    assert!(before.starts_with("<db:result from='chat.example'"));
    b.receive(OTHER_RESULT);
    let other = pair("rooms.example", "montague.example");
    assert_eq!(
        words(&b.tell(Input::Known(other, wrong()))),
        "ask to verify rooms>montague"
    );
    b.receive(COMPRESS);
    // Its key was for the other stream: XEP-0220 §2.1.2, "SHOULD be dropped silently".
    let late = asked_of("rooms.example", "montague.example");
    assert_eq!(words(&b.input(answer_verified(late, Verdict::Valid))), "");
    b.receive(HEADER);
    let out = b.tell(Input::Known(ours(), packed(wrong())));
    assert_eq!(words(&out), "header, features, db:result");
    assert_eq!(words(&b.receive(OTHER_RESULT)), "ask rooms>montague");
    let valid = "<db:result from='capulet.example' to='chat.example' type='valid'/>";
    assert_eq!(
        words(&b.receive(valid)),
        "granted chat>capulet, accepted capulet>chat"
    );
}
