//! The receiving side: its state table, and its dialogues.

use super::super::testing::*;
use super::super::{Proof, Verify};
use super::*;
use crate::s2s::{Ask, dialback};
use crate::sasl;
use crate::xml::Element;

mod compression;

/// Domains: the peer's are capulet.example and rooms.example, ours are montague.example and chat.example.
const HEADER: &str = "<?xml version='1.0'?><stream:stream from='capulet.example' to='montague.example' version='1.0' \
    xml:lang='de' xmlns='jabber:server' xmlns:db='jabber:server:dialback' \
    xmlns:stream='http://etherx.jabber.org/streams'>";
const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const BIDI: &str = "<bidi xmlns='urn:xmpp:bidi'/>";
const AUTH: &str = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>";
const AUTH_SLOWLY: &str = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'/>";
const RESPONSE: &str = "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
const ABORT: &str = "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
const COMPRESS: &str =
    "<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>";
const RESULT: &str = "<db:result from='capulet.example' to='montague.example'>k</db:result>";
const OTHER_RESULT: &str = "<db:result from='rooms.example' to='montague.example'>k</db:result>";
const MESSAGE: &str = "<message from='juliet@capulet.example/b' to='romeo@montague.example'/>";
const OTHER_MESSAGE: &str = "<message from='hall@rooms.example/j' to='romeo@montague.example'/>";

type B = Bench<Incoming>;

fn bench(tls: bool, change: impl FnOnce(&mut Settings)) -> B {
    let mut settings = settings();
    change(&mut settings);
    let now = now();
    Bench::new(
        Incoming::new(Arc::new(settings), &channel(tls), now),
        HEADER,
        now,
    )
}

fn plain() -> B {
    bench(false, |_| {})
}

fn tls() -> B {
    bench(true, |_| {})
}

fn ours() -> Pair {
    pair("capulet.example", "montague.example")
}

fn header(mut b: B) -> B {
    b.receive(HEADER);
    b
}

/// The stream is open, and this is known of the peer.
fn open(b: B, known: Known) -> B {
    let mut b = header(b);
    b.tell(Input::Known(ours(), known));
    b
}

fn right() -> Known {
    known(true, Proof::Either)
}

fn wrong() -> Known {
    known(false, Proof::Either)
}

fn asked_of(from: &str, to: &str) -> Verify {
    verify(from, to, ID, "k")
}

fn proven(b: B) -> B {
    proven_with(open(b, wrong()), wrong())
}

/// By dialback, for a peer of whom this is known.
fn proven_with(mut b: B, known: Known) -> B {
    b.receive(RESULT);
    b.tell(Input::Known(ours(), known));
    b.input(answer_verified(
        asked_of("capulet.example", "montague.example"),
        Verdict::Valid,
    ));
    b
}

fn with(mut b: B, text: &str) -> B {
    b.receive(text);
    b
}

/// Proven by dialback, with bidi, and the policy wants compression.
fn compressible() -> B {
    let b = with(open(tls(), packed(wrong())), BIDI);
    proven_with(b, packed(wrong()))
}

fn compressed() -> B {
    open(with(compressible(), COMPRESS), packed(wrong()))
}

fn states() -> Vec<(&'static str, B)> {
    let verifying = || {
        let mut b = with(open(tls(), wrong()), RESULT);
        b.tell(Input::Known(ours(), wrong()));
        b
    };
    vec![
        ("opening", plain()),
        ("asked", header(plain())),
        ("open, plain", open(plain(), wrong())),
        ("securing", with(open(plain(), wrong()), STARTTLS)),
        ("open, TLS", open(tls(), wrong())),
        ("open, TLS, certified", open(tls(), right())),
        ("challenged", with(open(tls(), right()), AUTH_SLOWLY)),
        ("opening, authenticated", with(open(tls(), right()), AUTH)),
        (
            "asked, authenticated",
            header(with(open(tls(), right()), AUTH)),
        ),
        (
            "open, authenticated",
            open(with(open(tls(), right()), AUTH), right()),
        ),
        ("open, key came", with(open(tls(), wrong()), RESULT)),
        ("open, verifying", verifying()),
        ("open, proven", proven(tls())),
        (
            "open, proven, bidi",
            proven_with(with(open(tls(), wrong()), BIDI), wrong()),
        ),
        ("open, to be compressed", open(tls(), packed(wrong()))),
        ("open, proven, to be compressed", compressible()),
        (
            "open, authenticated, to be compressed",
            open(with(open(tls(), right()), AUTH), packed(right())),
        ),
        ("opening, compressed", with(compressible(), COMPRESS)),
        ("asked, compressed", header(with(compressible(), COMPRESS))),
        ("open, compressed", compressed()),
        ("closing", {
            let mut b = proven(tls());
            b.input(stream::Input::Close(None));
            b
        }),
        ("closed", with(proven(tls()), "</stream:stream>")),
    ]
}

fn events() -> Vec<Event<Incoming>> {
    let mut events: Vec<Event<Incoming>> = vec![
        ("starttls", |b| b.element(STARTTLS)),
        ("bidi", |b| b.element(BIDI)),
        ("auth", |b| b.element(AUTH)),
        ("auth, slowly", |b| b.element(AUTH_SLOWLY)),
        ("response", |b| b.element(RESPONSE)),
        ("abort", |b| b.element(ABORT)),
        ("compress", |b| b.element(COMPRESS)),
        ("compress, another way", |b| {
            b.element(&COMPRESS.replace("zlib", "lzw"))
        }),
        ("key", |b| b.element(RESULT)),
        ("another key", |b| b.element(OTHER_RESULT)),
        ("key of ours", |b| {
            b.element(
                "<db:verify from='capulet.example' to='montague.example' id='x'>k</db:verify>",
            )
        }),
        ("result", |b| {
            b.element("<db:result from='capulet.example' to='montague.example' type='valid'/>")
        }),
        ("bad key", |b| {
            b.element("<db:result from='capulet.example' to='@'>k</db:result>")
        }),
        ("message", |b| b.element(MESSAGE)),
        ("another's message", |b| b.element(OTHER_MESSAGE)),
        ("message to nobody", |b| {
            b.element("<message from='juliet@capulet.example'/>")
        }),
        ("bad address", |b| {
            b.element("<message from='juliet@capulet.example' to='@'/>")
        }),
        ("bad IQ", |b| {
            b.element(
                "<iq from='juliet@capulet.example' to='romeo@montague.example' id='i' type='x'/>",
            )
        }),
        ("known", |b| b.tell(Input::Known(ours(), wrong()))),
        ("known and certified", |b| {
            b.tell(Input::Known(ours(), right()))
        }),
        ("not ours", |b| {
            b.tell(Input::Known(
                ours(),
                Known {
                    ours: false,
                    ..wrong()
                },
            ))
        }),
        ("no policy", |b| {
            b.tell(Input::Known(
                ours(),
                Known {
                    policy: None,
                    ..wrong()
                },
            ))
        }),
        ("known of another", |b| {
            b.tell(Input::Known(
                pair("rooms.example", "montague.example"),
                right(),
            ))
        }),
        ("valid", |b| {
            b.input(answer_verified(
                asked_of("capulet.example", "montague.example"),
                Verdict::Valid,
            ))
        }),
        ("invalid", |b| {
            b.input(answer_verified(
                asked_of("capulet.example", "montague.example"),
                Verdict::Invalid,
            ))
        }),
        ("not found", |b| {
            b.input(answer_verified(
                asked_of("capulet.example", "montague.example"),
                Verdict::NotFound,
            ))
        }),
        ("request", |b| {
            b.tell(Input::Request(pair("chat.example", "capulet.example")))
        }),
        ("verify", |b| {
            b.tell(Input::Verify(asked_of("capulet.example", "chat.example")))
        }),
        ("send", |b| {
            b.send("romeo@montague.example", "juliet@capulet.example")
        }),
    ];
    events.extend(common());
    events
}

#[test]
fn every_input_has_its_result_in_every_state() {
    hold(
        &table(states, &events()),
        include_str!("table.txt"),
        "incoming",
    );
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]
    #[test]
    fn no_order_of_events_lets_through_what_is_not_proven(
        steps in proptest::collection::vec(0..=events().len(), 0..60)
    ) {
        walk(plain(), &[], &events(), &steps);
    }

    #[test]
    fn nor_one_that_begins_in_the_midst(
        start in 0..states().len(),
        steps in proptest::collection::vec(0..=events().len(), 0..20)
    ) {
        let (_, bench) = states().swap_remove(start);
        // What may have been proven on the way there.
        let proven = [
            stream::Output::S2s(Output::Accepted(ours())),
            stream::Output::S2s(Output::Granted(ours().inverse())),
        ];
        walk(bench, &proven, &events(), &steps);
    }
}

/// RFC 6120 §4.7 and §4.9.3: a header that will not do is answered with a header of ours and the error.
#[test]
fn headers_are_refused_with_the_error_the_rfc_names() {
    for (change, to, error) in [
        ("to='montague.example'", "to='@'", "HOST-UNKNOWN"),
        (
            "to='montague.example'",
            "to='romeo@montague.example'",
            "HOST-UNKNOWN",
        ),
        (" to='montague.example'", "", "IMPROPER-ADDRESSING"),
        // §4.7.1: between servers 'from' is required.
        (" from='capulet.example'", "", "IMPROPER-ADDRESSING"),
        (
            "'capulet.example'",
            "'juliet@capulet.example'",
            "IMPROPER-ADDRESSING",
        ),
        ("'capulet.example'", "''", "IMPROPER-ADDRESSING"),
        ("'jabber:server'", "'jabber:client'", "INVALID-NAMESPACE"),
        (
            "http://etherx.jabber.org/streams",
            "http://example.org/",
            "INVALID-NAMESPACE",
        ),
        ("<?xml version='1.0'?>", "<!DOCTYPE a>", "RESTRICTED-XML"),
    ] {
        let header = HEADER.replacen(change, to, 1);
        assert_ne!(header, HEADER, "{change}");
        let out = words(&plain().receive(&header));
        assert_eq!(out, format!("header, {error}, footer, close"), "{header}");
    }
    // Neither features nor dialback: there is nothing to talk about.
    let ancient = HEADER.replace(" version='1.0' ", " ");
    let ancient = ancient.replace(" xmlns:db='jabber:server:dialback'", "");
    let out = words(&plain().receive(&ancient));
    assert_eq!(out, "header, UNSUPPORTED-VERSION, footer, close");
}

/// RFC 6120 §4.7: whom the answer is from, and whom it is for; XEP-0220 §2.4.1: the namespace of dialback.
#[test]
fn our_header_has_the_domains_exchanged_and_an_id() {
    let out = header(plain()).tell(Input::Known(ours(), wrong()));
    assert!(text(&out).starts_with(&format!(
        "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' \
        xmlns:stream='http://etherx.jabber.org/streams' xml:lang='en' version='1.0' id='{ID}' \
        from='montague.example' to='capulet.example'>"
    )));
    // A domain that is not ours is not named as if it were.
    let out = header(plain()).tell(Input::Known(
        ours(),
        Known {
            ours: false,
            ..wrong()
        },
    ));
    assert!(!text(&out).contains("montague.example"));
}

/// RFC 6120 §4.7.5, XEP-0220 §2.4.1: a peer from before 1.0 has dialback and no features, so it cannot start TLS.
#[test]
fn a_peer_without_features_is_taken_where_it_need_not_encrypt() {
    let ancient = HEADER.replace(" version='1.0' ", " ");
    let come = |mut b: B, known| {
        b.receive(&ancient);
        let out = b.tell(Input::Known(ours(), known));
        (b, out)
    };
    let (_, out) = come(plain(), wrong());
    assert_eq!(words(&out), "header, UNSUPPORTED-VERSION, footer, close");
    let (mut b, out) = come(plain(), lax(wrong()));
    assert_eq!(words(&out), "header");
    assert!(!text(&out).contains(" version='1.0' id"));
    assert_eq!(words(&b.receive(RESULT)), "ask capulet>montague");
    assert_eq!(words(&come(tls(), wrong()).1), "header");
}

#[test]
fn features_are_those_that_the_policy_and_the_certificate_allow() {
    let features = |b: B, known| {
        let out = text(&header(b).tell(Input::Known(ours(), known)));
        out[out.find("<stream:features>").unwrap()..].to_owned()
    };
    let tls_required = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>";
    let tls_offered = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
    let bidi = "<bidi xmlns='urn:xmpp:features:bidi'/>";
    let external = "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>";
    let dialback = "<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>";
    let all =
        |children: &[&str]| format!("<stream:features>{}</stream:features>", children.concat());
    // RFC 6120 §5.3.1; XEP-0288 §2.1: "both before and after TLS negotiation"
    assert_eq!(features(plain(), right()), all(&[tls_required, bidi]));
    assert_eq!(
        features(plain(), lax(right())),
        all(&[tls_offered, bidi, dialback])
    );
    // XEP-0178 §3, XEP-0220 §2.4.2
    assert_eq!(features(tls(), right()), all(&[bidi, external, dialback]));
    assert_eq!(features(tls(), wrong()), all(&[bidi, dialback]));
    assert_eq!(
        features(tls(), known(true, Proof::Dialback)),
        all(&[bidi, dialback])
    );
    assert_eq!(
        features(tls(), known(true, Proof::Both)),
        all(&[bidi, dialback])
    );
    assert_eq!(
        features(with(open(tls(), right()), AUTH), right()),
        all(&[dialback])
    );
    let mut one_way = right();
    one_way.policy.as_mut().unwrap().bidi = false;
    assert_eq!(features(tls(), one_way), all(&[external, dialback]));
    let layer = Element::new("sm", "urn:xmpp:sm:3");
    let managed = bench(true, |settings| settings.features.push(layer.clone()));
    assert_eq!(
        features(managed, wrong()),
        all(&[bidi, dialback, "<sm xmlns='urn:xmpp:sm:3'/>"])
    );
    let without = bench(false, |settings| settings.starttls = false);
    assert_eq!(features(without, lax(wrong())), all(&[bidi, dialback]));
}

/// XEP-0178 §3: the authorization identity may be there, and is that of the header.
#[test]
fn external_proves_the_domain_of_the_header_and_no_other() {
    let auth = |authzid: &str| {
        let authzid = sasl::encode_optional(Some(authzid.as_bytes()));
        let auth = AUTH.replace("=<", &format!("{authzid}<"));
        words(&open(tls(), right()).receive(&auth))
    };
    let success = "success, restart";
    assert_eq!(auth(""), success);
    assert_eq!(auth("capulet.example"), success);
    assert_eq!(auth("CAPULET.example"), success);
    assert_eq!(auth("rooms.example"), "failure invalid-authzid");
    assert_eq!(auth("juliet@capulet.example"), "failure invalid-authzid");
    // §3: "Else Server2 SHOULD return a not-authorized error and […] continue with a Server Dialback"
    let mut b = open(tls(), wrong());
    assert_eq!(words(&b.receive(AUTH)), "failure not-authorized");
    assert_eq!(words(&b.receive(RESULT)), "ask capulet>montague");
    // The stream remains that pair's: RFC 6120 §4.9.3.9, §4.9.3.6.
    let mut b = with(open(tls(), right()), AUTH);
    let other = HEADER.replace("capulet.example", "rooms.example");
    assert_eq!(
        words(&b.receive(&other)),
        "header, INVALID-FROM, footer, close"
    );
    let mut b = with(open(tls(), right()), AUTH);
    let other = HEADER.replace("montague.example", "chat.example");
    assert_eq!(
        words(&b.receive(&other)),
        "header, HOST-UNKNOWN, footer, close"
    );
}

#[test]
fn nobody_gets_another_mechanism_or_attempts_without_end() {
    let mut b = open(tls(), right());
    let plain = AUTH.replace("EXTERNAL", "PLAIN");
    assert_eq!(words(&b.receive(&plain)), "failure invalid-mechanism");
    let broken = AUTH.replace("=<", "Y<");
    assert_eq!(words(&b.receive(&broken)), "failure incorrect-encoding");
    // RFC 6120 §6.4.5: "If the initiating entity exceeds the number of retries"
    let out = words(&b.receive(&plain));
    assert_eq!(
        out,
        "failure invalid-mechanism, POLICY-VIOLATION, footer, close"
    );
}

/// XEP-0220 §2.2.1, §2.5, by each policy.
#[test]
fn a_key_is_taken_verified_or_refused_as_the_policy_has_it() {
    let accepted = "db:result valid, accepted capulet>montague";
    let verify = "ask to verify capulet>montague";
    let refused = "db:result not-authorized";
    for (proof, certified, result) in [
        (Proof::Certificate, true, accepted),
        (Proof::Certificate, false, refused),
        (Proof::Either, true, accepted),
        (Proof::Either, false, verify),
        (Proof::Dialback, true, verify),
        (Proof::Dialback, false, verify),
        (Proof::Both, true, verify),
        (Proof::Both, false, refused),
    ] {
        let known = known(certified, proof);
        let mut b = with(open(tls(), known), RESULT);
        assert_eq!(
            words(&b.tell(Input::Known(ours(), known))),
            result,
            "{known:?}"
        );
    }
    // §2.5: "a policy mandating usage of TLS before dialback"
    let mut b = with(open(plain(), wrong()), RESULT);
    let out = b.tell(Input::Known(ours(), wrong()));
    assert_eq!(words(&out), "db:result policy-violation");
}

/// XEP-0220 §2.1.2: "an 'id' attribute whose value is the stream ID of the response stream header".
#[test]
fn what_is_to_be_verified_has_the_key_and_the_id_of_the_stream() {
    let mut b = with(open(tls(), wrong()), RESULT);
    let out = b.tell(Input::Known(ours(), wrong()));
    let [stream::Output::S2s(Output::Ask(Ask::Verify(asked)))] = &out[..] else {
        panic!("{out:?}");
    };
    assert_eq!(*asked, asked_of("capulet.example", "montague.example"));
    // §2.1.2: "If no inbound connection is found that matches this combination, the verification result SHOULD be dropped
    // silently."
    for other in [
        verify("capulet.example", "montague.example", "other", "k"),
        verify("capulet.example", "montague.example", ID, "other"),
        verify("capulet.example", "chat.example", ID, "k"),
        verify("rooms.example", "montague.example", ID, "k"),
    ] {
        assert!(b.input(answer_verified(other, Verdict::Valid)).is_empty());
    }
    assert_eq!(words(&b.receive(MESSAGE)), "NOT-AUTHORIZED, footer, close");
}

/// XEP-0220 §2.6; §2.2.1: "MUST continue to accept and process stanzas for already verified domain pairs".
#[test]
fn one_stream_carries_several_pairs_and_none_stands_in_the_way_of_another() {
    let mut b = proven(tls());
    b.receive(OTHER_RESULT);
    b.tell(Input::Known(
        pair("rooms.example", "montague.example"),
        wrong(),
    ));
    assert_eq!(words(&b.receive(MESSAGE)), "deliver");
    // §2.2.1: a domain that is not ours "MUST NOT result in closing of the stream".
    let nobodys = "<db:result from='capulet.example' to='nobody.example'>k</db:result>";
    assert_eq!(words(&b.receive(nobodys)), "ask capulet>nobody");
    let not_ours = Known {
        ours: false,
        ..wrong()
    };
    let out = b.tell(Input::Known(
        pair("capulet.example", "nobody.example"),
        not_ours,
    ));
    assert_eq!(
        text(&out),
        "<db:result from='nobody.example' to='capulet.example' type='error'><error type='cancel'>\
        <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>"
    );
    // §2.2.1: with other pairs on the stream a wrong key is an error, and the stream stays.
    let of_rooms = asked_of("rooms.example", "montague.example");
    let out = b.input(answer_verified(of_rooms, Verdict::Invalid));
    assert_eq!(words(&out), "db:result forbidden");
    // It may try again.
    b.receive(OTHER_RESULT);
    let out = b.tell(Input::Known(
        pair("rooms.example", "montague.example"),
        right(),
    ));
    assert_eq!(words(&out), "db:result valid, accepted rooms>montague");
    assert_eq!(words(&b.receive(OTHER_MESSAGE)), "deliver");
    // RFC 6120 §4.9.3.9: what is proven are pairs.
    let other_target = MESSAGE.replace("montague.example", "chat.example");
    assert_eq!(
        words(&b.receive(&other_target)),
        "INVALID-FROM, footer, close"
    );
}

/// XEP-0220 §2.5: "The Receiving Server lacks the resources to add the requested domain pair".
#[test]
fn pairs_and_keys_have_a_bound() {
    let mut b = proven(tls());
    let (rooms, more) = (OTHER_RESULT, OTHER_RESULT.replace("rooms", "more"));
    assert_eq!(words(&b.receive(rooms)), "ask rooms>montague");
    assert_eq!(words(&b.receive(&more)), "ask more>montague");
    let most = OTHER_RESULT.replace("rooms", "most");
    assert_eq!(words(&b.receive(&most)), "db:result resource-constraint");
    let verify = |id: u32| {
        format!("<db:verify from='capulet.example' to='montague.example' id='{id}'>k</db:verify>")
    };
    assert_eq!(words(&b.receive(&verify(1))), "ask capulet>montague");
    assert_eq!(words(&b.receive(&verify(2))), "ask capulet>montague");
    assert_eq!(
        words(&b.receive(&verify(3))),
        "db:verify resource-constraint"
    );
    assert_eq!(words(&b.receive(MESSAGE)), "deliver");
    // What is answered makes room.
    assert!(words(&b.wait(30)).contains("remote-server-timeout"));
    assert_eq!(words(&b.receive(&most)), "ask most>montague");
}

/// XEP-0220 §2.2.2: we are the authoritative server for montague.example.
#[test]
fn a_key_of_ours_is_told_from_any_other() {
    let secret = dialback::Secret::new(b"s3cr3tf0rd14lb4ck");
    let key = secret.key(&pair("montague.example", "capulet.example"), "417GAF25");
    let ask = |id: &str, key: &str, known| {
        let mut b = open(tls(), wrong());
        let verify = format!(
            "<db:verify from='capulet.example' to='montague.example' id='{id}'>{key}</db:verify>"
        );
        assert_eq!(words(&b.receive(&verify)), "ask capulet>montague");
        text(&b.tell(Input::Known(ours(), known)))
    };
    assert_eq!(
        ask("417GAF25", &key, wrong()),
        "<db:verify from='montague.example' to='capulet.example' id='417GAF25' type='valid'/>"
    );
    // A key is good for one stream: it cannot be used again on another.
    let replayed = ask("417GAF26", &key, wrong());
    assert_eq!(
        replayed,
        "<db:verify from='montague.example' to='capulet.example' id='417GAF26' type='invalid'/>"
    );
    assert!(ask("417GAF25", &key[..63], wrong()).ends_with("type='invalid'/>"));
    // "If the Target Domain […] does not match a configured local domain […], this results in a dialback error."
    let not_ours = Known {
        ours: false,
        ..wrong()
    };
    assert!(ask("417GAF25", &key, not_ours).contains("<item-not-found "));
    let no_policy = Known {
        policy: None,
        ..wrong()
    };
    assert!(ask("417GAF25", &key, no_policy).contains("<policy-violation "));
    // Who asks has not proven anything thereby.
    let mut b = open(tls(), wrong());
    b.receive("<db:verify from='capulet.example' to='montague.example' id='x'>k</db:verify>");
    b.tell(Input::Known(ours(), wrong()));
    assert_eq!(words(&b.receive(MESSAGE)), "NOT-AUTHORIZED, footer, close");
}

/// RFC 6120 §5.4.3.3: "MUST discard any information […] that it obtained […] before TLS took effect".
#[test]
fn tls_begins_anew() {
    let mut b = open(plain(), lax(wrong()));
    assert!(b.receive(BIDI).is_empty());
    assert_eq!(words(&b.receive(STARTTLS)), "start TLS");
    b.input(stream::Input::Secured(channel(true)));
    let mut b = open(b, wrong());
    // It is off again.
    assert!(b.receive(BIDI).is_empty());
    // What is proven would have to be forgotten.
    let mut b = with(open(plain(), lax(wrong())), RESULT);
    assert_eq!(
        words(&b.receive(STARTTLS)),
        "POLICY-VIOLATION, footer, close"
    );
}

#[test]
fn bytes_behind_starttls_end_the_stream() {
    let mut b = with(open(plain(), wrong()), STARTTLS);
    let out = text(&b.input(stream::Input::Injected));
    assert!(out.contains("<policy-violation "));
    assert!(out.contains("data behind &lt;starttls/"));
}

/// RFC 6120 §8.1.5: what has no language is in the stream's.
#[test]
fn stanzas_are_in_the_language_of_the_header() {
    let out = proven(tls()).receive(MESSAGE);
    let [stream::Output::Deliver(stanza, None)] = &out[..] else {
        panic!("{out:?}");
    };
    assert_eq!(stanza.lang(), Some("de"));
    assert_eq!(stanza.from().unwrap().as_str(), "juliet@capulet.example/b");
}

/// XEP-0288 §2.2
#[test]
fn bidi_lets_us_send_what_the_peer_has_proven_and_no_more() {
    let mut b = with(open(tls(), wrong()), BIDI);
    // "The receiving server MUST NOT send stanzas to the peer before it has authenticated via SASL, or the peer's identity
    // has been verified via Server Dialback."
    let back = ("romeo@montague.example", "juliet@capulet.example");
    assert_eq!(words(&b.send(back.0, back.1)), "unsent");
    b.receive(RESULT);
    b.tell(Input::Known(ours(), wrong()));
    let of_capulet = asked_of("capulet.example", "montague.example");
    let out = b.input(answer_verified(of_capulet, Verdict::Valid));
    assert_eq!(
        words(&out),
        "db:result valid, accepted capulet>montague, granted montague>capulet"
    );
    assert_eq!(words(&b.send(back.0, back.1)), "send");
    // "in the case of Server Dialback this is the inverse of any domain pair that has been used in a dialback request"
    assert_eq!(words(&b.send("room@chat.example", back.1)), "unsent");
    // "the receiving server MAY initiate Server Dialback authentications for other domains it hosts"
    let chat = pair("chat.example", "capulet.example");
    let out = b.tell(Input::Request(chat.clone()));
    let key = dialback::Secret::new(b"s3cr3tf0rd14lb4ck").key(&chat, ID);
    assert_eq!(
        text(&out),
        format!("<db:result from='chat.example' to='capulet.example'>{key}</db:result>")
    );
    let valid = "<db:result from='capulet.example' to='chat.example' type='valid'/>";
    assert_eq!(
        words(&b.receive(valid)),
        "granted chat>capulet, accepted capulet>chat"
    );
    assert_eq!(words(&b.send("room@chat.example", back.1)), "send");
    // "to any domain authenticated to be hosted by the connecting server": or it could lend itself another's name.
    let strangers = b.tell(Input::Request(pair("montague.example", "rooms.example")));
    assert_eq!(words(&strangers), "refused montague>rooms Direction");
    let stolen = "<db:result from='rooms.example' to='montague.example' type='valid'/>";
    assert!(b.receive(stolen).is_empty());
    assert_eq!(
        words(&b.receive(OTHER_MESSAGE)),
        "INVALID-FROM, footer, close"
    );
}

/// XEP-0288 §2.2: "MUST NOT attempt to verify a dialback key on the same connection where the corresponding request was
/// issued."
#[test]
fn a_key_is_not_verified_where_it_came_from() {
    let mut b = open(with(with(open(tls(), right()), BIDI), AUTH), right());
    let here = asked_of("capulet.example", "chat.example");
    assert_eq!(words(&b.tell(Input::Verify(here))), "verified NotFound");
    let elsewhere = verify("capulet.example", "chat.example", "elsewhere", "k");
    assert_eq!(
        text(&b.tell(Input::Verify(elsewhere))),
        "<db:verify from='chat.example' to='capulet.example' id='elsewhere'>k</db:verify>"
    );
    let valid = "<db:verify from='capulet.example' to='chat.example' id='elsewhere' type='valid'/>";
    assert_eq!(words(&b.receive(valid)), "verified Valid");
    // It is answered once.
    assert!(b.receive(valid).is_empty());
}

/// XEP-0220 §2.1.1: a stream that ends has answered nothing.
#[test]
fn a_peer_without_dialback_is_not_asked_for_pairs_back() {
    let without = HEADER.replace(" xmlns:db='jabber:server:dialback'", "");
    assert_ne!(without, HEADER);
    let mut b = tls();
    b.receive(&without);
    b.tell(Input::Known(ours(), right()));
    b.receive(BIDI);
    b.receive(AUTH);
    b.receive(&without);
    b.tell(Input::Known(ours(), right()));
    let other = pair("rooms.example", "capulet.example");
    assert_eq!(
        words(&b.tell(Input::Request(other))),
        "refused rooms>capulet NoMethod"
    );
    assert_eq!(
        words(&b.tell(Input::Request(ours().inverse()))),
        "granted montague>capulet"
    );
}

#[test]
fn what_we_ask_over_a_bidi_stream_is_answered_when_it_ends() {
    let mut b = with(with(open(tls(), right()), BIDI), RESULT);
    b.tell(Input::Known(ours(), right()));
    b.tell(Input::Request(pair("chat.example", "capulet.example")));
    b.tell(Input::Verify(verify(
        "capulet.example",
        "chat.example",
        "x",
        "k",
    )));
    let out = words(&b.input(stream::Input::Eof));
    assert_eq!(out, "refused chat>capulet Timeout, verified Timeout, close");
}

/// From its first header on; that has to come as soon as anybody's.
#[test]
fn a_peer_with_patience_has_so_many_times_longer_for_its_proof() {
    let login = settings().timeouts.login.as_secs();
    for patience in [1, 20] {
        let mut b = tls();
        b.receive(HEADER);
        let mut known = known(false, Proof::Either);
        known.policy.as_mut().unwrap().patience = patience;
        b.tell(Input::Known(ours(), known));
        // Once more, as behind STARTTLS.
        b.tell(Input::Known(ours(), known));
        let times = u64::from(patience);
        assert_eq!(words(&b.wait(login * times - 1)), "", "{patience}");
        assert_ne!(words(&b.wait(1)), "", "{patience}");
    }
    let mut b = tls();
    assert_ne!(words(&b.wait(settings().timeouts.header.as_secs())), "");
}

/// The header proves nothing, and there may be others that say the same.
#[test]
fn a_peer_that_may_not_have_its_patience_has_it_once_it_is_proven() {
    let mut known = known(true, Proof::Either);
    known.policy.as_mut().unwrap().patience = 20;
    known.patient = false;
    let mut b = tls();
    b.receive(HEADER);
    b.tell(Input::Known(ours(), known));
    assert_ne!(words(&b.wait(settings().timeouts.login.as_secs())), "");

    let mut b = tls();
    b.receive(HEADER);
    b.tell(Input::Known(ours(), known));
    let soon = b.machine.next_timeout();
    b.receive(RESULT);
    b.tell(Input::Known(ours(), known));
    assert!(b.machine.link.is_proven());
    assert!(b.machine.patient && b.machine.next_timeout() > soon);
    let keepalive = settings().timeouts.keepalive;
    assert_eq!(b.machine.link.settings.timeouts.keepalive, keepalive * 20);
}

#[test]
fn the_next_time_out_is_that_of_the_oldest_question() {
    let mut b = proven(tls());
    let calm = b.machine.next_timeout().unwrap();
    b.receive(OTHER_RESULT);
    let asked = b.machine.next_timeout().unwrap();
    assert_eq!(asked, b.now.instant + std::time::Duration::from_secs(30));
    assert!(asked < calm);
    assert_eq!(words(&b.wait(29)), "");
    assert_eq!(words(&b.wait(1)), "db:result remote-server-timeout");
    let of_rooms = asked_of("rooms.example", "montague.example");
    assert!(
        b.input(answer_verified(of_rooms, Verdict::Valid))
            .is_empty()
    );
}
