//! Presence, subscriptions and probes.

use super::*;
use crate::store::Subscription;

const BALCONY: &str = "juliet@example.org/balcony";
const CHAMBER: &str = "juliet@example.org/chamber";

fn friends(pair: &Pair) {
    let (romeo, juliet) = ("romeo@example.org", "juliet@example.org");
    pair.a.contact(romeo, juliet, Subscription::Both);
    pair.a.contact(juliet, romeo, Subscription::Both);
}

/// Senders of presence and its type.
fn seen(client: &Client) -> Vec<String> {
    let all = client.read().into_iter();
    let presences = all.filter(|stanza| matches!(stanza.kind(), crate::stanza::Kind::Presence(_)));
    let mut seen: Vec<_> = presences.map(|stanza| sight(&stanza)).collect();
    seen.sort();
    seen
}

fn sight(stanza: &Stanza) -> String {
    let crate::stanza::Kind::Presence(kind) = stanza.kind() else {
        return String::new();
    };
    format!("{} {kind:?}", stanza.from().unwrap())
}

/// RFC 6121 §4.2.2, §4.3.2, §4.5.2
#[test]
fn contacts_and_own_resources_on_other_nodes_see_a_session_come_and_go_once() {
    let pair = pair();
    friends(&pair);
    let romeo = online(&pair.a, ROMEO, 0);
    let chamber = online(&pair.a, CHAMBER, 0);
    romeo.skip();
    let balcony = pair.b.login(BALCONY);
    balcony.send("<presence><show>dnd</show></presence>");
    let there = format!("{BALCONY} Available");
    assert_eq!(seen(&romeo), [&*there]);
    assert_eq!(seen(&chamber), [&*there]);
    let (a, b) = (format!("{CHAMBER} Available"), format!("{ROMEO} Available"));
    assert_eq!(seen(&balcony), [there.clone(), a, b]);
    balcony.send("<presence><show>xa</show></presence>");
    assert_eq!([&romeo, &chamber].map(seen), [[&*there], [&*there]]);
    balcony.end();
    let gone = format!("{BALCONY} Unavailable");
    assert_eq!([&romeo, &chamber].map(seen), [[&*gone], [&*gone]]);
    assert_eq!(pair.open(), 0);
}

/// RFC 6121 §4.3.2
#[test]
fn probes_are_answered_for_sessions_on_all_nodes() {
    let pair = pair();
    pair.a.contact(
        "juliet@example.org",
        "romeo@example.net",
        Subscription::From,
    );
    let outside = pair.a.entity("example.net");
    let balcony = online(&pair.a, BALCONY, 0);
    let _chamber = online(&pair.b, CHAMBER, 0);
    outside.read();
    for world in [&pair.a, &pair.b] {
        world.inject("<presence from='romeo@example.net' to='juliet@example.org' type='probe'/>");
        let mut answers: Vec<_> = outside.read().iter().map(sight).collect();
        answers.sort();
        assert_eq!(
            answers,
            [BALCONY, CHAMBER].map(|jid| format!("{jid} Available"))
        );
    }
    balcony.end();
    outside.read();
    pair.a
        .inject("<presence from='romeo@example.net' to='juliet@example.org' type='probe'/>");
    let answers: Vec<_> = outside.read().iter().map(sight).collect();
    assert_eq!(answers, [format!("{CHAMBER} Available")]);
}

/// RFC 6121 §4.6.3, §4.6.6
#[test]
fn directed_presence_and_its_end_cross_nodes() {
    let pair = pair();
    let romeo = online(&pair.a, ROMEO, 0);
    let juliet = pair.b.login(BALCONY);
    juliet.send(&format!("<presence to='{ROMEO}'/>"));
    assert_eq!(seen(&romeo), [format!("{BALCONY} Available")]);
    romeo.send(&format!("<presence to='{BALCONY}' type='probe'/>"));
    assert_eq!(seen(&romeo), [format!("{BALCONY} Available")]);
    juliet.end();
    assert_eq!(seen(&romeo), [format!("{BALCONY} Unavailable")]);
}

/// RFC 6121 §3.1
#[test]
fn a_subscription_is_made_between_nodes() {
    let pair = pair();
    let romeo = online(&pair.a, ROMEO, 0);
    let garden = online(&pair.b, "romeo@example.org/garden", 0);
    let balcony = online(&pair.b, BALCONY, 0);
    let chamber = online(&pair.a, CHAMBER, 0);
    let all = [&romeo, &garden, &balcony, &chamber];
    all.into_iter().for_each(Client::skip);
    romeo.send("<presence to='juliet@example.org' type='subscribe'/>");
    let asked = ["romeo@example.org Subscribe"];
    assert_eq!(
        [&balcony, &chamber].map(|client| {
            let read = client.read();
            read.iter().map(sight).collect::<Vec<_>>()
        }),
        [asked; 2]
    );
    for romeo in [&romeo, &garden] {
        let read = romeo.read();
        assert_eq!(read.len(), 1, "{read:?}");
        assert!(read[0].to_string().contains("ask='subscribe'"), "{read:?}");
    }
    // The one on the other node than the request came to.
    balcony.send("<presence to='romeo@example.org' type='subscribed'/>");
    for romeo in [&romeo, &garden] {
        let read = romeo.read();
        let mut presences: Vec<_> = read
            .iter()
            .map(sight)
            .filter(|text| !text.is_empty())
            .collect();
        presences.sort();
        let available = [BALCONY, CHAMBER].map(|jid| format!("{jid} Available"));
        assert_eq!(presences[0], "juliet@example.org Subscribed");
        assert_eq!(presences[1..], available, "{read:?}");
        let place = |what: &dyn Fn(&Stanza) -> bool| read.iter().position(what).unwrap();
        let subscribed = place(&|stanza| sight(stanza).ends_with("Subscribed"));
        let pushed = place(&|stanza| stanza.to_string().contains("subscription='to'"));
        // §3.1.6: "This MUST occur before sending the roster push"
        assert!(subscribed < pushed, "{read:?}");
    }
    for juliet in [&balcony, &chamber] {
        let read = juliet.read();
        assert_eq!(read.len(), 1, "{read:?}");
        assert!(
            read[0].to_string().contains("subscription='from'"),
            "{read:?}"
        );
    }
    // §3.2
    chamber.send("<presence to='romeo@example.org' type='unsubscribed'/>");
    for romeo in [&romeo, &garden] {
        let seen = seen(romeo);
        for jid in [BALCONY, CHAMBER] {
            assert!(seen.contains(&format!("{jid} Unavailable")), "{seen:?}");
        }
        assert!(seen.contains(&"juliet@example.org Unsubscribed".to_owned()));
    }
    assert_eq!(pair.open(), 0);
}

/// RFC 6121 §3.1.3: the request comes to one node while the session becomes available on another.
#[test]
fn a_request_is_shown_to_one_who_becomes_available_meanwhile() {
    let pair = pair();
    let romeo = online(&pair.a, ROMEO, 0);
    let chamber = pair.a.login(CHAMBER);
    let balcony = pair.b.login(BALCONY);
    pair.hold();
    romeo.send("<presence to='juliet@example.org' type='subscribe'/>");
    balcony.send("<presence/>");
    pair.let_go();
    let seen = seen(&balcony);
    let asked = seen.iter().filter(|seen| seen.ends_with("Subscribe"));
    assert_eq!(asked.count(), 1, "{seen:?}");
    chamber.skip();
}

/// XEP-0012 §3
#[test]
fn the_last_activity_of_sessions_that_end_at_once_on_two_nodes_is_kept() {
    let pair = pair();
    pair.a.contact(
        "juliet@example.org",
        "romeo@example.org",
        Subscription::From,
    );
    let romeo = online(&pair.a, ROMEO, 0);
    let balcony = online(&pair.a, BALCONY, 0);
    let chamber = online(&pair.b, CHAMBER, 0);
    pair.hold();
    balcony.end();
    chamber.end();
    pair.let_go();
    pair.a.advance(std::time::Duration::from_secs(10));
    romeo.skip();
    romeo
        .send("<iq type='get' to='juliet@example.org' id='l'><query xmlns='jabber:iq:last'/></iq>");
    romeo.expect(&[
        "<iq type='result' to='romeo@example.org/orchard' from='juliet@example.org' id='l'>\
        <query xmlns='jabber:iq:last' seconds='10'/></iq>",
    ]);
}

/// XEP-0012 §4: who has directed presence may ask, which the session's own node knows.
#[test]
fn a_session_elsewhere_is_asked_by_whom_it_has_directed_presence_to() {
    let pair = pair();
    let romeo = online(&pair.a, ROMEO, 0);
    let _balcony = online(&pair.a, BALCONY, 0);
    let chamber = online(&pair.b, CHAMBER, 0);
    let ask = || {
        romeo.skip();
        chamber.skip();
        romeo.send(&format!(
            "<iq type='get' to='{CHAMBER}' id='l'><query xmlns='jabber:iq:last'/></iq>"
        ));
        (heard(&romeo), chamber.read().len())
    };
    assert_eq!(ask(), (vec!["forbidden".to_owned()], 0));
    chamber.send(&format!("<presence to='{ROMEO}'/>"));
    assert_eq!(ask(), (vec![], 1));
}
