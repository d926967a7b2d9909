//! The initiating side: its state table, and its dialogues.

use super::super::testing::*;
use super::super::{Incoming, Proof};
use super::*;
use crate::stanza::Condition;

mod compression;

/// Domains: ours are capulet.example and rooms.example, the peer's are montague.example and chat.example.
const HEADER: &str = "<?xml version='1.0'?><stream:stream from='montague.example' to='capulet.example' id='D60000229F' \
    version='1.0' xml:lang='de' xmlns='jabber:server' xmlns:db='jabber:server:dialback' \
    xmlns:stream='http://etherx.jabber.org/streams'>";
const TLS_FEATURES: &str = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>\
    <bidi xmlns='urn:xmpp:features:bidi'/></stream:features>";
const DIALBACK_FEATURES: &str = "<stream:features><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback></stream:features>";
const ALL_FEATURES: &str = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
    <mechanism>EXTERNAL</mechanism></mechanisms><bidi xmlns='urn:xmpp:features:bidi'/>\
    <dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback></stream:features>";
const NO_FEATURES: &str = "<stream:features/>";
const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const TLS_FAILURE: &str = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
const CHALLENGE: &str = "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
const FAILURE: &str =
    "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>";
const COMPRESSION: &str = "<compression xmlns='http://jabber.org/features/compress'><method>lzw</method><method>zlib</method></compression>";
const COMPRESSED: &str = "<compressed xmlns='http://jabber.org/protocol/compress'/>";
const NOT_COMPRESSED: &str =
    "<failure xmlns='http://jabber.org/protocol/compress'><setup-failed/></failure>";
const VALID: &str = "<db:result from='montague.example' to='capulet.example' type='valid'/>";
const INVALID: &str = "<db:result from='montague.example' to='capulet.example' type='invalid'/>";
const ERROR: &str = "<db:result from='montague.example' to='capulet.example' type='error'><error type='cancel'>\
    <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>";
const KEY: &str = "<db:result from='montague.example' to='capulet.example'>k</db:result>";
const MESSAGE: &str = "<message from='romeo@montague.example' to='juliet@capulet.example'/>";

type B = Bench<Outgoing>;

fn ours() -> Pair {
    pair("capulet.example", "montague.example")
}

fn theirs() -> Pair {
    ours().inverse()
}

fn bench(tls: bool, policy: Policy) -> B {
    let now = now();
    let machine = Outgoing::new(Arc::new(settings()), ours(), policy, &channel(tls), now);
    Bench::new(machine, HEADER, now)
}

fn plain() -> B {
    bench(false, Policy::default())
}

fn tls() -> B {
    bench(true, Policy::default())
}

/// Begun, with the pair of the stream requested.
fn begun(mut b: B) -> B {
    b.tell(Input::Request(ours()));
    b.tell(Input::Open);
    b
}

fn with(mut b: B, text: &str) -> B {
    b.receive(text);
    b
}

fn featured(b: B, features: &str) -> B {
    with(with(begun(b), HEADER), features)
}

fn right() -> Known {
    known(true, Proof::Either)
}

fn wrong() -> Known {
    known(false, Proof::Either)
}

fn told(mut b: B, known: Known) -> B {
    b.tell(Input::Known(theirs(), known));
    b
}

fn granted() -> B {
    with(told(featured(tls(), DIALBACK_FEATURES), wrong()), VALID)
}

/// The peer offers compression beside this.
fn and_compression(features: &str) -> String {
    features.replace(
        "</stream:features>",
        &format!("{COMPRESSION}</stream:features>"),
    )
}

/// The stream may be compressed, and its pair is requested by dialback.
fn compressible() -> B {
    let features = and_compression(DIALBACK_FEATURES);
    told(featured(tls(), &features), packed(wrong()))
}

/// `<compress/>` is out.
fn compressing() -> B {
    with(compressible(), VALID)
}

/// The same behind EXTERNAL, with bidi.
fn compressing_after_sasl() -> B {
    let b = told(featured(tls(), ALL_FEATURES), packed(right()));
    let features = and_compression(DIALBACK_FEATURES);
    with(with(with(b, SUCCESS), HEADER), &features)
}

fn states() -> Vec<(&'static str, B)> {
    let authenticating = || told(featured(tls(), ALL_FEATURES), right());
    vec![
        ("idle", plain()),
        ("opening", begun(plain())),
        ("waiting", with(begun(plain()), HEADER)),
        ("proceeding", featured(plain(), TLS_FEATURES)),
        ("securing", with(featured(plain(), TLS_FEATURES), PROCEED)),
        ("waiting, TLS", with(begun(tls()), HEADER)),
        ("asked", featured(tls(), ALL_FEATURES)),
        ("authenticating", authenticating()),
        ("opening, authenticated", with(authenticating(), SUCCESS)),
        (
            "open, requested",
            told(featured(tls(), DIALBACK_FEATURES), wrong()),
        ),
        ("open, granted", granted()),
        ("open, granted, bidi", {
            with(
                with(with(authenticating(), SUCCESS), HEADER),
                DIALBACK_FEATURES,
            )
        }),
        ("open, requested, to be compressed", compressible()),
        ("compressing", compressing()),
        ("compressing, authenticated, bidi", compressing_after_sasl()),
        ("opening, compressed", with(compressing(), COMPRESSED)),
        (
            "waiting, compressed",
            with(with(compressing(), COMPRESSED), HEADER),
        ),
        ("open, compressed", {
            let b = with(with(compressing(), COMPRESSED), HEADER);
            with(b, DIALBACK_FEATURES)
        }),
        ("closing", {
            let mut b = granted();
            b.input(stream::Input::Close(None));
            b
        }),
        ("closed", with(granted(), "</stream:stream>")),
    ]
}

fn events() -> Vec<Event<Outgoing>> {
    let mut events: Vec<Event<Outgoing>> = vec![
        ("features with TLS", |b| b.element(TLS_FEATURES)),
        ("features", |b| b.element(ALL_FEATURES)),
        ("no features", |b| b.element(NO_FEATURES)),
        ("proceed", |b| b.element(PROCEED)),
        ("TLS failure", |b| b.element(TLS_FAILURE)),
        ("success", |b| b.element(SUCCESS)),
        ("challenge", |b| b.element(CHALLENGE)),
        ("failure", |b| b.element(FAILURE)),
        ("compressed", |b| b.element(COMPRESSED)),
        ("not compressed", |b| b.element(NOT_COMPRESSED)),
        ("valid", |b| b.element(VALID)),
        ("invalid", |b| b.element(INVALID)),
        ("error", |b| b.element(ERROR)),
        ("key", |b| b.element(KEY)),
        ("bad key", |b| {
            b.element("<db:result from='montague.example'>k</db:result>")
        }),
        ("message", |b| b.element(MESSAGE)),
        ("message to nobody", |b| {
            b.element("<message from='romeo@montague.example'/>")
        }),
        ("bad address", |b| {
            b.element("<message from='@' to='juliet@capulet.example'/>")
        }),
        ("known", |b| b.tell(Input::Known(theirs(), wrong()))),
        ("known and certified", |b| {
            b.tell(Input::Known(theirs(), right()))
        }),
        ("certificate wanted", |b| {
            b.tell(Input::Known(theirs(), known(false, Proof::Certificate)))
        }),
        ("no policy", |b| {
            b.tell(Input::Known(
                theirs(),
                Known {
                    policy: None,
                    ..right()
                },
            ))
        }),
        ("request", |b| b.tell(Input::Request(ours()))),
        ("request, another sender", |b| {
            b.tell(Input::Request(pair("rooms.example", "montague.example")))
        }),
        ("request, another target", |b| {
            b.tell(Input::Request(pair("capulet.example", "chat.example")))
        }),
        ("verify", |b| {
            b.tell(Input::Verify(verify(
                "montague.example",
                "capulet.example",
                "x",
                "k",
            )))
        }),
        ("verified", |b| {
            let verify = verify("montague.example", "capulet.example", "D60000229F", "k");
            b.input(answer_verified(verify, Verdict::Valid))
        }),
        ("send", |b| {
            b.send("juliet@capulet.example", "romeo@montague.example")
        }),
        ("send, another", |b| {
            b.send("hall@rooms.example", "romeo@montague.example")
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
        "outgoing",
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
            stream::Output::S2s(Output::Accepted(theirs())),
            stream::Output::S2s(Output::Granted(ours())),
        ];
        walk(bench, &proven, &events(), &steps);
    }
}

/// RFC 6120 §4.7.1, §4.7.2, §4.7.3: 'from' and 'to', and no 'id'.
#[test]
fn our_header_names_both_domains_and_has_no_id() {
    assert_eq!(
        text(&plain().tell(Input::Open)),
        "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' \
        xmlns:stream='http://etherx.jabber.org/streams' xml:lang='en' version='1.0' from='capulet.example' \
        to='montague.example'>"
    );
}

#[test]
fn a_header_that_will_not_do_ends_the_stream() {
    for (change, to, error) in [
        // RFC 6120 §4.7.3: "the receiving entity MUST include the 'id' attribute"; without it there are no keys.
        (" id='D60000229F'", "", "BAD-FORMAT"),
        ("'jabber:server'", "'jabber:client'", "INVALID-NAMESPACE"),
    ] {
        let out = words(&begun(plain()).receive(&HEADER.replacen(change, to, 1)));
        assert_eq!(
            out,
            format!("{error}, footer, refused capulet>montague Timeout, close")
        );
    }
}

/// XEP-0220 §2.1.1, with the key of its example.
#[test]
fn the_key_is_that_of_the_pair_and_of_the_stream_that_the_peer_named() {
    let mut b = featured(tls(), DIALBACK_FEATURES);
    let out = b.tell(Input::Known(theirs(), wrong()));
    assert_eq!(
        text(&out),
        "<db:result from='capulet.example' to='montague.example'>\
        b4835385f37fe2895af6c196b59097b16862406db80559900d96bf6fa7d23df3</db:result>"
    );
    // "MUST NOT attempt to send stanzas until it has received such authorization"
    let message = ("juliet@capulet.example", "romeo@montague.example");
    assert_eq!(words(&b.send(message.0, message.1)), "unsent");
    assert_eq!(words(&b.receive(VALID)), "granted capulet>montague");
    assert_eq!(words(&b.send(message.0, message.1)), "send");
}

/// XEP-0220 §2.1.1 and §3.1: "MUST ensure that the 'from' and 'to' attributes in this response correlate to a request that was
/// sent over the same XML stream".
#[test]
fn an_answer_that_was_not_asked_for_has_no_effect() {
    let mut b = told(featured(tls(), DIALBACK_FEATURES), wrong());
    for unsolicited in [
        "<db:result from='capulet.example' to='montague.example' type='valid'/>",
        "<db:result from='montague.example' to='rooms.example' type='valid'/>",
        "<db:result from='chat.example' to='capulet.example' type='valid'/>",
        "<db:verify from='montague.example' to='capulet.example' id='D60000229F' type='valid'/>",
    ] {
        assert_eq!(words(&b.receive(unsolicited)), "", "{unsolicited}");
    }
    assert_eq!(
        words(&b.send("juliet@capulet.example", "romeo@montague.example")),
        "unsent"
    );
    b.tell(Input::Verify(verify(
        "montague.example",
        "capulet.example",
        "x",
        "k",
    )));
    let other = "<db:verify from='montague.example' to='capulet.example' id='y' type='valid'/>";
    assert_eq!(words(&b.receive(other)), "");
    let own = "<db:verify from='montague.example' to='capulet.example' id='x' type='invalid'/>";
    assert_eq!(words(&b.receive(own)), "verified Invalid");
    // A late answer finds nothing either.
    assert_eq!(words(&b.wait(30)), "refused capulet>montague Timeout");
    assert_eq!(words(&b.receive(VALID)), "");
}

/// On a slow link a handshake, and an answer behind it, take minutes.
#[test]
fn a_peer_with_patience_has_so_many_times_longer_for_everything() {
    let slow = Policy {
        proof: Proof::Either,
        patience: 20,
        ..Policy::default()
    };
    for (policy, times) in [(Policy::default(), 1), (slow, 20)] {
        let mut b = begun(bench(true, policy));
        let login = settings().timeouts.login.as_secs();
        assert_eq!(words(&b.wait(login * times - 1)), "");
        assert!(words(&b.wait(1)).contains("refused"), "{times}");

        let mut b = with(begun(bench(true, policy)), HEADER);
        b.receive(DIALBACK_FEATURES);
        let mut known = wrong();
        known.policy = Some(policy);
        b.tell(Input::Known(theirs(), known));
        assert_eq!(words(&b.wait(30 * times - 1)), "");
        assert_eq!(words(&b.wait(1)), "refused capulet>montague Timeout");
    }
}

/// XEP-0220 §2.1.1 and §2.5: the errors of stanzas that waited.
#[test]
fn stanzas_come_back_with_the_error_of_the_refusal() {
    let refused = |text| {
        let out = told(featured(tls(), DIALBACK_FEATURES), wrong()).receive(text);
        match &out[..] {
            [stream::Output::S2s(Output::Refused(pair, why))] => {
                assert_eq!(*pair, ours());
                (why.clone(), why.condition())
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        refused(INVALID),
        (Refusal::Invalid, Condition::InternalServerError)
    );
    let error = Refusal::Error(Condition::ItemNotFound);
    assert_eq!(refused(ERROR), (error, Condition::RemoteServerTimeout));
}

/// RFC 6120 §13.7.2, by each policy.
#[test]
fn a_server_is_held_to_the_policy_before_anything_is_asked_of_it() {
    let auth = "bidi, auth";
    let key = "bidi, db:result";
    let gone = "refused capulet>montague Certificate, footer, close";
    for (proof, certified, result) in [
        (Proof::Certificate, true, auth),
        (Proof::Certificate, false, gone),
        (Proof::Either, true, auth),
        (Proof::Either, false, key),
        (Proof::Dialback, true, key),
        (Proof::Dialback, false, key),
        (Proof::Both, true, key),
        (Proof::Both, false, gone),
    ] {
        let known = known(certified, proof);
        let out = featured(tls(), ALL_FEATURES).tell(Input::Known(theirs(), known));
        assert_eq!(words(&out), result, "{known:?}");
    }
    // Without TLS nobody has shown a certificate, whatever is said.
    let open = Policy {
        tls: false,
        ..Policy::default()
    };
    let out = featured(bench(false, open), ALL_FEATURES)
        .tell(Input::Known(theirs(), lax(known(true, Proof::Certificate))));
    assert_eq!(words(&out), gone);
    // A policy that has become stricter meanwhile.
    let out = featured(bench(false, open), ALL_FEATURES).tell(Input::Known(theirs(), right()));
    assert_eq!(
        words(&out),
        "refused capulet>montague Unencrypted, footer, close"
    );
}

#[test]
fn a_peer_without_encryption_is_left_unless_the_policy_allows_it() {
    let left = "refused capulet>montague Unencrypted, footer, close";
    let mut b = with(begun(plain()), HEADER);
    assert_eq!(words(&b.receive(DIALBACK_FEATURES)), left);
    let ancient = HEADER.replace(" version='1.0' ", " ");
    assert_eq!(words(&begun(plain()).receive(&ancient)), left);
    assert_eq!(
        words(&featured(plain(), TLS_FEATURES).receive(TLS_FAILURE)),
        left
    );
    let open = Policy {
        tls: false,
        ..Policy::default()
    };
    let mut b = begun(bench(false, open));
    assert_eq!(words(&b.receive(&ancient)), "ask first montague>capulet");
    assert_eq!(
        words(&b.tell(Input::Known(theirs(), lax(wrong())))),
        "db:result"
    );
}

/// RFC 6120 §5.4.3.3: what was said before TLS does not count after it.
#[test]
fn a_new_stream_begins_behind_the_handshake() {
    let mut b = featured(plain(), TLS_FEATURES);
    assert_eq!(words(&b.receive(PROCEED)), "start TLS");
    assert_eq!(
        words(&b.input(stream::Input::Secured(channel(true)))),
        "header"
    );
    let other = HEADER.replace("D60000229F", "other");
    assert_eq!(words(&b.receive(&other)), "");
    b.receive(DIALBACK_FEATURES);
    let out = text(&b.tell(Input::Known(theirs(), wrong())));
    assert!(out.contains(&settings().secret.key(&ours(), "other")));
    // Bytes behind <proceed/> are not TLS.
    let out = text(&with(featured(plain(), TLS_FEATURES), PROCEED).input(stream::Input::Injected));
    assert!(out.contains("<policy-violation "));
}

/// XEP-0178 §3: "the connecting server SHOULD include the authorization identity for backward compability."
#[test]
fn external_names_our_domain_and_gives_way_to_dialback() {
    let mut b = featured(tls(), ALL_FEATURES);
    let out = text(&b.tell(Input::Known(theirs(), right())));
    assert_eq!(
        out,
        "<bidi xmlns='urn:xmpp:bidi'/><auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>\
        Y2FwdWxldC5leGFtcGxl</auth>"
    );
    assert_eq!(words(&b.receive(FAILURE)), "db:result");
    // RFC 6120 §6.4.6: a new stream; what was granted is told when its features are there.
    let mut b = told(featured(tls(), ALL_FEATURES), right());
    assert_eq!(words(&b.receive(SUCCESS)), "restart, header");
    b.receive(HEADER);
    let out = words(&b.receive(NO_FEATURES));
    assert_eq!(out, "granted capulet>montague, accepted montague>capulet");
}

#[test]
fn a_peer_with_no_way_to_prove_anything_is_left() {
    let header = HEADER.replace(" xmlns:db='jabber:server:dialback'", "");
    let mut b = with(with(begun(tls()), &header), NO_FEATURES);
    let out = words(&b.tell(Input::Known(theirs(), right())));
    assert_eq!(out, "refused capulet>montague NoMethod, footer, close");
}

/// An element of dialback would be the end of a stream to a peer that has none, and of the pair that its certificate has proven.
#[test]
fn a_peer_without_dialback_is_asked_for_nothing_more() {
    let header = HEADER.replace(" xmlns:db='jabber:server:dialback'", "");
    let external = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>\
        </stream:features>";
    let b = with(with(begun(tls()), &header), external);
    let mut b = with(with(told(b, right()), SUCCESS), &header);
    assert_eq!(words(&b.receive(NO_FEATURES)), "granted capulet>montague");
    let other = pair("rooms.example", "montague.example");
    assert_eq!(
        words(&b.tell(Input::Request(other))),
        "refused rooms>montague NoMethod"
    );
    let key = verify("montague.example", "capulet.example", "other", "k");
    assert_eq!(words(&b.tell(Input::Verify(key))), "verified NotFound");
    assert_eq!(
        words(&b.tell(Input::Request(ours()))),
        "granted capulet>montague"
    );
}

#[test]
fn a_stream_for_keys_alone_proves_no_pair() {
    let mut b = tls();
    b.tell(Input::Verify(verify(
        "montague.example",
        "capulet.example",
        "x",
        "k",
    )));
    b.tell(Input::Open);
    let mut b = with(with(b, HEADER), ALL_FEATURES);
    let mut no_bidi = right();
    no_bidi.policy.as_mut().unwrap().bidi = false;
    let out = b.tell(Input::Known(theirs(), no_bidi));
    // XEP-0220 §2.1.2: from the Target Domain to the Sender Domain.
    assert_eq!(
        text(&out),
        "<db:verify from='capulet.example' to='montague.example' id='x'>k</db:verify>"
    );
    let error = "<db:verify from='montague.example' to='capulet.example' id='x' type='error'><error type='cancel'>\
        <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:verify>";
    assert_eq!(words(&b.receive(error)), "verified NotFound");
}

/// XEP-0220 §2.6
#[test]
fn further_pairs_go_over_the_same_stream_as_far_as_the_peer_can_take_them() {
    let mut b = granted();
    // §2.6.1: "sender multiplexing and MAY be used without further negotiation"
    let rooms = pair("rooms.example", "montague.example");
    assert_eq!(words(&b.tell(Input::Request(rooms.clone()))), "db:result");
    assert_eq!(
        words(&b.tell(Input::Request(rooms))),
        "",
        "it is being asked for"
    );
    // Another target is held to the policy as the first one was.
    let chat = pair("capulet.example", "chat.example");
    assert_eq!(
        words(&b.tell(Input::Request(chat.clone()))),
        "ask chat>capulet"
    );
    let no = known(false, Proof::Certificate);
    let out = words(&b.tell(Input::Known(chat.inverse(), no)));
    assert_eq!(out, "refused capulet>chat Certificate");
    b.tell(Input::Request(chat.clone()));
    assert_eq!(
        words(&b.tell(Input::Known(chat.inverse(), right()))),
        "db:result"
    );
    // Bounds: three pairs are all there is room for.
    let more = pair("more.example", "montague.example");
    assert_eq!(
        words(&b.tell(Input::Request(more))),
        "refused more>montague Full"
    );
    // §2.6.2: "SHOULD NOT use target multiplexing unless the Receiving Server has signalled support for dialback error
    // handling"
    let mut b = with(told(featured(tls(), NO_FEATURES), wrong()), VALID);
    b.tell(Input::Request(chat.clone()));
    let out = words(&b.tell(Input::Known(chat.inverse(), right())));
    assert_eq!(out, "refused capulet>chat Multiplexing");
}

/// XEP-0288 §2.2: the peer may send what we may send it, and asks for more by dialback.
#[test]
fn bidi_makes_us_the_receiving_server_as_well() {
    let mut b = with(told(featured(tls(), ALL_FEATURES), wrong()), MESSAGE);
    // Nothing is proven yet.
    assert_eq!(words(&b.receive(VALID)), "");
    let mut b = told(featured(tls(), ALL_FEATURES), wrong());
    assert_eq!(
        words(&b.receive(VALID)),
        "granted capulet>montague, accepted montague>capulet"
    );
    assert_eq!(words(&b.receive(MESSAGE)), "deliver");
    let of_chat = "<db:result from='chat.example' to='capulet.example'>k</db:result>";
    assert_eq!(words(&b.receive(of_chat)), "ask chat>capulet");
    let chat = pair("chat.example", "capulet.example");
    let out = b.tell(Input::Known(chat, wrong()));
    assert_eq!(words(&out), "ask to verify chat>capulet");
    let of_chat = verify("chat.example", "capulet.example", "D60000229F", "k");
    let out = b.input(answer_verified(of_chat, Verdict::Valid));
    assert_eq!(
        words(&out),
        "db:result valid, accepted chat>capulet, granted capulet>chat"
    );
    let other = MESSAGE.replace("capulet", "rooms");
    assert_eq!(words(&b.receive(&other)), "INVALID-FROM, footer, close");
    // Without bidi a stream goes one way.
    assert_eq!(
        words(&granted().receive(MESSAGE)),
        "NOT-AUTHORIZED, footer, close"
    );
    assert_eq!(
        words(&granted().receive(KEY)),
        "UNSUPPORTED-STANZA-TYPE, footer, close"
    );
}

/// Both machines, one at each end.
struct Servers {
    us: B,
    peer: Bench<Incoming>,
    /// What each has told, and not said to the other.
    told: Vec<String>,
}

impl Servers {
    fn new(known_to_us: Known, known_to_peer: Known) -> Servers {
        let us = plain();
        let now = us.now;
        let peer = Incoming::new(Arc::new(settings()), &channel(false), now);
        let mut servers = Servers {
            us,
            peer: Bench::new(peer, HEADER, now),
            told: Vec::new(),
        };
        servers.us.tell(Input::Request(ours()));
        let out = servers.us.tell(Input::Open);
        servers.run(out, known_to_us, known_to_peer);
        servers
    }

    /// Goes on until both are silent.
    fn run(&mut self, first: Vec<stream::Output>, known_to_us: Known, known_to_peer: Known) {
        let mut from_us = first;
        loop {
            let mut to_peer = text(&from_us);
            let mut secured = false;
            let mut answers = Vec::new();
            for output in &from_us {
                match output {
                    stream::Output::S2s(Output::Ask(Ask::Pair(pair) | Ask::Stream(pair))) => {
                        answers.push(Input::Known(pair.clone(), known_to_us));
                    }
                    stream::Output::StartTls(_) => secured = true,
                    stream::Output::S2s(_) => self
                        .told
                        .push(format!("us: {}", words(std::slice::from_ref(output)))),
                    _ => {}
                }
            }
            from_us.clear();
            for answer in answers {
                from_us.extend(self.us.tell(answer));
            }
            if secured {
                from_us.extend(self.us.input(stream::Input::Secured(channel(true))));
                self.peer.input(stream::Input::Secured(channel(true)));
            }
            let mut from_peer = self.peer.receive(&std::mem::take(&mut to_peer));
            let mut at = 0;
            while at < from_peer.len() {
                let answer = match &from_peer[at] {
                    stream::Output::S2s(Output::Ask(Ask::Pair(pair) | Ask::Stream(pair))) => {
                        Input::Known(pair.clone(), known_to_peer)
                    }
                    // The authoritative server has the same secret.
                    stream::Output::S2s(Output::Ask(Ask::Verify(verify))) => {
                        let made =
                            settings()
                                .secret
                                .has_made(&verify.key, &verify.pair, &verify.id);
                        let verdict = if made {
                            Verdict::Valid
                        } else {
                            Verdict::Invalid
                        };
                        Input::Verified(verify.clone(), verdict)
                    }
                    stream::Output::S2s(_) => {
                        self.told
                            .push(format!("peer: {}", words(&from_peer[at..=at])));
                        at += 1;
                        continue;
                    }
                    _ => {
                        at += 1;
                        continue;
                    }
                };
                at += 1;
                from_peer.extend(self.peer.tell(answer));
            }
            let mut to_us = text(&from_peer);
            for output in &from_peer {
                if let stream::Output::StartTls(proceed) = output {
                    to_us += std::str::from_utf8(proceed).unwrap();
                }
            }
            from_us.extend(self.us.receive(&to_us));
            if from_us.is_empty() {
                return;
            }
        }
    }
}

#[test]
fn the_two_sides_come_to_an_agreement_by_external_and_by_dialback() {
    for known in [
        right(),
        wrong(),
        known(true, Proof::Both),
        known(false, Proof::Dialback),
    ] {
        let mut servers = Servers::new(known, known);
        servers.told.sort();
        assert_eq!(
            servers.told,
            [
                "peer: accepted capulet>montague",
                "peer: granted montague>capulet",
                "us: accepted montague>capulet",
                "us: granted capulet>montague",
            ],
            "{known:?}"
        );
    }
    // The peer wants a certificate, and ours is not right.
    let servers = Servers::new(wrong(), known(false, Proof::Certificate));
    assert_eq!(
        servers.told,
        ["us: refused capulet>montague Error(NotAuthorized)"]
    );
}

/// RFC 6120 §5.3.1: where STARTTLS is not required, the initiating entity need not begin it.
#[test]
fn without_tls_of_our_own_none_is_asked_for() {
    let lax = Policy {
        tls: false,
        ..Policy::default()
    };
    let without = Settings {
        starttls: false,
        ..settings()
    };
    let now = now();
    let machine = Outgoing::new(Arc::new(without), ours(), lax, &channel(false), now);
    let mut b = with(begun(Bench::new(machine, HEADER, now)), HEADER);
    let features = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\
        <dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback></stream:features>";
    let out = b.receive(features);
    assert!(!text(&out).contains("starttls"), "{}", text(&out));
    let out = b.tell(Input::Known(theirs(), super::super::testing::lax(wrong())));
    assert!(text(&out).contains("db:result"), "{}", text(&out));
}
