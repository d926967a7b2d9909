//! What bad peers do, each with its specified answer, and nobody else harmed.

use super::*;
use crate::s2s::dialback;

/// A server that takes peers without TLS, so that the test can speak with it, and whose keys the test knows for `evil.example`.
async fn victims(net: &Net) -> (Site, Person, Site) {
    let a = Site::with(net, "a.example", With::plain());
    let juliet = a.login("juliet@a.example/balcony").await;
    juliet.appear().await;
    let mut with = With::plain();
    with.config.secret = Some(dialback::Secret::new(b"known"));
    let evil = Site::with(net, "evil.example", with);
    (a, juliet, evil)
}

/// A stream on which `evil.example` has proven itself, by the key that its server says is its own.
async fn proven(site: &Site) -> Raw {
    let mut raw = Raw::to(site);
    let id = raw.open("evil.example", "a.example").await;
    let [from, to] = ["evil.example", "a.example"].map(|name| name.parse().unwrap());
    let key = dialback::Secret::new(b"known").key(&Pair::new(&from, &to), &id);
    raw.send(&format!(
        "<db:result from='evil.example' to='a.example'>{key}</db:result>"
    ))
    .await;
    raw.until("type='valid'").await;
    raw
}

fn forged(from: &str, to: &str) -> String {
    format!("<message from='{from}' to='{to}' type='chat'><body>hark</body></message>")
}

/// RFC 6120 §4.9.3.9
#[tokio::test]
async fn a_forged_sender_ends_the_stream_and_no_other() {
    let net = Net::default();
    let (a, juliet, _evil) = victims(&net).await;
    let honest = Site::with(&net, "b.example", With::plain());
    let romeo = honest.login("romeo@b.example/orchard").await;
    romeo
        .send(&message("juliet@a.example/balcony", "before"))
        .await;
    juliet.hears("before").await;

    let mut raw = proven(&a).await;
    raw.send(&forged("x@evil.example", "juliet@a.example/balcony"))
        .await;
    juliet.hears("from='x@evil.example'").await;
    for from in [
        "romeo@b.example/orchard",
        "juliet@a.example/balcony",
        "a.example",
    ] {
        let mut raw = proven(&a).await;
        raw.send(&forged(from, "juliet@a.example/balcony")).await;
        let rest = raw.until("</stream:stream>").await;
        assert!(rest.contains("<invalid-from"), "{from}: {rest}");
    }
    romeo
        .send(&message("juliet@a.example/balcony", "after"))
        .await;
    juliet.hears("after").await;
    raw.send(&forged("x@evil.example", "juliet@a.example/balcony"))
        .await;
    juliet.hears("from='x@evil.example'").await;
}

#[tokio::test]
async fn what_is_not_allowed_has_its_stream_error() {
    let net = Net::default();
    let (a, juliet, _evil) = victims(&net).await;
    let to = "juliet@a.example/balcony";
    let long = "x".repeat(600 * 1024);
    for (what, expected) in [
        // RFC 6120 §4.9.3.7
        (
            "<message from='x@evil.example'/>".to_owned(),
            "<improper-addressing",
        ),
        (format!("<message to='{to}'/>"), "<improper-addressing"),
        (
            format!("<message from='x@evil@x' to='{to}'/>"),
            "<improper-addressing",
        ),
        // §4.9.3.9: a target that is not of the pair
        (forged("x@evil.example", "x@b.example"), "<invalid-from"),
        // §4.9.3.13
        ("<message></presence>".to_owned(), "<not-well-formed"),
        // §4.9.3.14, §13.12
        (
            format!("<message from='x@evil.example' to='{to}'><body>{long}</body></message>"),
            "<policy-violation",
        ),
        // §4.9.3.24
        (
            "<x xmlns='urn:example'/>".to_owned(),
            "<unsupported-stanza-type",
        ),
        ("<?x y?>".to_owned(), "<restricted-xml"),
    ] {
        let mut raw = proven(&a).await;
        raw.send(&what).await;
        let rest = raw.until("</stream:stream>").await;
        assert!(rest.contains(expected), "{expected}: {rest}");
    }
    juliet.hears_nothing().await;
}

#[tokio::test]
async fn nothing_is_taken_from_those_who_have_proven_nothing() {
    let net = Net::default();
    let (a, juliet, _evil) = victims(&net).await;
    let mut raw = Raw::to(&a);
    raw.open("evil.example", "a.example").await;
    raw.send(&forged("x@evil.example", "juliet@a.example"))
        .await;
    let rest = raw.until("</stream:stream>").await;
    assert!(rest.contains("<not-authorized"), "{rest}");

    // A key that its server does not know (XEP-0220 §2.2.1).
    let mut raw = Raw::to(&a);
    raw.open("evil.example", "a.example").await;
    raw.send("<db:result from='evil.example' to='a.example'>abcdef</db:result>")
        .await;
    let rest = raw.until("</stream:stream>").await;
    assert!(rest.contains("type='invalid'"), "{rest}");

    // A domain without a server, one of ours, and for one that is not ours.
    for (from, to, expected) in [
        ("nowhere.example", "a.example", "remote-server-not-found"),
        ("a.example", "a.example", "policy-violation"),
        ("evil.example", "b.example", "item-not-found"),
    ] {
        let mut raw = Raw::to(&a);
        raw.open("evil.example", "a.example").await;
        raw.send(&format!(
            "<db:result from='{from}' to='{to}'>abcdef</db:result>"
        ))
        .await;
        let answer = raw.until("</db:result>").await;
        assert!(answer.contains(expected), "{from} {to}: {answer}");
    }
    // RFC 6120 §4.9.3.6
    let mut raw = Raw::to(&a);
    raw.send(
        "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
        version='1.0' from='evil.example' to='b.example'>",
    )
    .await;
    let rest = raw.until("</stream:stream>").await;
    assert!(rest.contains("<host-unknown"), "{rest}");
    juliet.hears_nothing().await;
}

/// A key is good for the stream whose ID it was made of (XEP-0220 §3).
#[tokio::test]
async fn a_key_of_another_stream_is_worth_nothing() {
    let net = Net::default();
    let (a, _juliet, _evil) = victims(&net).await;
    let mut first = Raw::to(&a);
    let id = first.open("evil.example", "a.example").await;
    let [from, to] = ["evil.example", "a.example"].map(|name| name.parse().unwrap());
    let key = dialback::Secret::new(b"known").key(&Pair::new(&from, &to), &id);
    let mut second = Raw::to(&a);
    second.open("evil.example", "a.example").await;
    second
        .send(&format!(
            "<db:result from='evil.example' to='a.example'>{key}</db:result>"
        ))
        .await;
    let rest = second.until("</stream:stream>").await;
    assert!(rest.contains("type='invalid'"), "{rest}");
}

#[tokio::test]
async fn a_peer_that_does_not_read_holds_up_nobody_else_and_is_given_up() {
    let net = Net::default();
    let mut with = With::plain();
    with.config.stall = Duration::from_millis(500);
    with.config.links.pair.bytes = 1 << 20;
    let a = Site::with(&net, "a.example", with);
    let juliet = a.login("juliet@a.example/balcony").await;
    let b = Site::with(&net, "b.example", With::plain());
    let romeo = b.login("romeo@b.example/orchard").await;

    // It takes the stream and then reads no more.
    let mut raw = Raw::on(net.expect("deaf.example"));
    juliet.send(&message("x@deaf.example", "first")).await;
    raw.until("to='deaf.example'").await;
    raw.send("<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' \
        xmlns:stream='http://etherx.jabber.org/streams' version='1.0' id='1' from='deaf.example' to='a.example'>\
        <stream:features><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback></stream:features>").await;
    raw.until("</db:result>").await;
    raw.send("<db:result from='deaf.example' to='a.example' type='valid'/>")
        .await;
    raw.until("first").await;
    let body = "y".repeat(10_000);
    let mut sent = 0;
    let refused = loop {
        juliet.send(&message("x@deaf.example", &body)).await;
        sent += 1;
        if let Ok(error) = timeout(Duration::from_millis(1), juliet.next()).await {
            break error;
        }
        assert!(sent < 10_000, "there is no bound");
    };
    // RFC 6120 §8.3.3.18
    assert!(
        refused.to_string().contains("resource-constraint"),
        "{refused}"
    );
    juliet
        .send(&message("romeo@b.example/orchard", "hark"))
        .await;
    romeo.hears("hark").await;

    // All that it was not given comes back.
    a.until("it is given up", |links| {
        !links.iter().any(|link| link.peer.contains("deaf"))
    })
    .await;
}

#[tokio::test]
async fn one_network_does_not_keep_all_places_whatever_it_proves() {
    let net = Net::default();
    let mut with = With::plain();
    with.config.accept.connections = 3;
    let a = Site::with(&net, "a.example", with);
    let mut with = With::plain();
    with.config.secret = Some(dialback::Secret::new(b"known"));
    let _evil = Site::with(&net, "evil.example", with);
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(proven(&a).await);
    }
    let mut one_more = Raw::to(&a);
    one_more.send("<stream:stream>").await;
    assert_eq!(one_more.io.read(&mut [0; 16]).await.unwrap_or(0), 0);
    let b = Site::with(&net, "b.example", With::plain());
    let romeo = b.login("romeo@b.example/orchard").await;
    romeo
        .send("<iq type='get' id='p' to='a.example'><ping xmlns='urn:xmpp:ping'/></iq>")
        .await;
    romeo.hears("id='p'").await;
    // RFC 6120 §4.9.3.17
    let rest = held[0].until("</stream:stream>").await;
    assert!(rest.contains("<resource-constraint"), "{rest}");
    assert_eq!(a.server.metrics().s2s.evicted.value(), 1);
}

#[tokio::test]
async fn strangers_have_so_many_connections_and_no_more() {
    let net = Net::default();
    let mut with = With::plain();
    with.config.accept.before_login = 4;
    with.config.accept.before_login_per_address = 3;
    let a = Site::with(&net, "a.example", with);
    let held: Vec<Raw> = (0..3).map(|_| Raw::to(&a)).collect();
    let mut refused = Raw::to(&a);
    refused.send("<stream:stream>").await;
    assert_eq!(refused.io.read(&mut [0; 16]).await.unwrap_or(0), 0);
    assert_eq!(a.server.metrics().s2s.refused.value(), 1);
    // Another network has room.
    let b = Site::with(&net, "b.example", With::plain());
    let romeo = b.login("romeo@b.example/orchard").await;
    romeo
        .send("<iq type='get' id='p' to='a.example'><ping xmlns='urn:xmpp:ping'/></iq>")
        .await;
    romeo.hears("id='p'").await;
    drop(held);
    a.until("they are gone", |links| {
        let incoming = links
            .iter()
            .filter(|link| link.direction == Direction::Incoming);
        incoming.count() == 1
    })
    .await;
}

/// Whoever says to be a peer behind a slow link has its time, but not for as many connections as they please.
#[tokio::test]
async fn who_says_to_be_a_peer_with_patience_has_its_times_on_few_connections() {
    let net = Net::default();
    let mut with = With::plain();
    with.config.accept.before_login_per_address = 30;
    with.config.timeouts.login = Duration::from_millis(500);
    let slow = Policy {
        tls: false,
        patience: 40,
        ..Policy::default()
    };
    let exceptions = &mut with.rules.exceptions;
    exceptions.insert("slow.example".parse().unwrap(), Some(slow));
    let a = Site::with(&net, "a.example", with);
    let mut held = [Raw::to(&a), Raw::to(&a)];
    for raw in &mut held {
        raw.open("slow.example", "a.example").await;
    }
    let rest = held[1].until("</stream:stream>").await;
    // RFC 6120 §4.9.3.4
    assert!(rest.contains("<connection-timeout"), "{rest}");
    a.until("the first one stays", |links| {
        links.len() == 1 && links[0].state == State::Opening
    })
    .await;
}
