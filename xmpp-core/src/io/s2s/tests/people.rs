//! What people on two servers do (RFC 6121).

use super::*;
use crate::stanza::{Condition, Kind, PresenceType};
use crate::store::{RosterItem, Subscription};

const ROMEO: &str = "romeo@a.example";
const JULIET: &str = "juliet@b.example";

/// They see each other.
async fn friends(a: &Site, b: &Site) {
    for (site, account, contact) in [(a, ROMEO, JULIET), (b, JULIET, ROMEO)] {
        let item = RosterItem {
            jid: contact.parse().unwrap(),
            name: None,
            groups: Vec::new(),
            subscription: Subscription::Both,
            ask: None,
            pending_in: None,
            approved: false,
        };
        let account = account.parse().unwrap();
        site.account(&account).await;
        let rosters = &site.server.stores().rosters;
        rosters.put(&account, &item).await.unwrap();
    }
}

#[track_caller]
fn is_error(stanza: &Stanza, condition: Condition) {
    let error = stanza.error().map(|error| error.condition);
    assert_eq!(error, Some(condition), "{stanza}");
}

#[tokio::test]
async fn messages_go_both_ways_and_keep_their_order() {
    let net = Net::default();
    let (a, romeo, b, juliet) = pair(&net).await;
    for n in 0..500 {
        let body = format!("m{n}");
        romeo
            .send(&message("juliet@b.example/balcony", &body))
            .await;
    }
    for n in 0..500 {
        let stanza = juliet.hears(&format!("<body>m{n}</body>")).await;
        assert_eq!(stanza.from().unwrap().as_str(), "romeo@a.example/orchard");
    }
    romeo.appear().await;
    juliet.send(&message(ROMEO, "yes")).await;
    romeo.hears("yes").await;
    a.close().await;
    b.close().await;
}

#[tokio::test]
async fn requests_are_answered_by_servers_accounts_and_clients() {
    let net = Net::default();
    let (_a, romeo, _b, juliet) = pair(&net).await;
    let ask = async |to: &str, child: &str| {
        let request = format!("<iq type='get' id='q' to='{to}'>{child}</iq>");
        romeo.send(&request).await;
        romeo.next().await
    };
    let info = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
    let answer = ask("b.example", info).await.to_string();
    assert!(answer.contains("category='server'"), "{answer}");
    let answer = ask("b.example", "<ping xmlns='urn:xmpp:ping'/>").await;
    assert_eq!(answer.error(), None, "{answer}");
    let vcard = "<vCard xmlns='vcard-temp'/>";
    let answer = ask(JULIET, vcard).await;
    // XEP-0054 §3.3: one who has none, and one who is not there, look the same.
    let nobody = ask("nobody@b.example", vcard).await;
    let condition = |stanza: &Stanza| stanza.error().map(|error| error.condition);
    assert_eq!(condition(&answer), condition(&nobody));
    // XEP-0012 §4: only those who see her presence may know.
    let last = "<query xmlns='jabber:iq:last'/>";
    is_error(&ask(JULIET, last).await, Condition::Forbidden);
    // RFC 6121 §8.5.3.2.3
    let away = ask("juliet@b.example/chamber", info).await;
    is_error(&away, Condition::ServiceUnavailable);

    // What is the account's own is nobody else's business.
    for own in [
        "jabber:iq:roster",
        "jabber:iq:private",
        "jabber:iq:register",
    ] {
        for to in [JULIET, "b.example"] {
            let answer = ask(to, &format!("<query xmlns='{own}'/>")).await;
            assert!(answer.error().is_some(), "{to}: {answer}");
        }
    }

    let to = "juliet@b.example/balcony";
    romeo
        .send(&format!("<iq type='get' id='c' to='{to}'>{info}</iq>"))
        .await;
    let request = juliet.hears("disco#info").await;
    assert_eq!(request.from().unwrap().as_str(), "romeo@a.example/orchard");
    juliet
        .send("<iq type='result' id='c' to='romeo@a.example/orchard'/>")
        .await;
    romeo.hears("type='result'").await;
}

/// RFC 6121 §3.1, §4.2.2
#[tokio::test]
async fn a_subscription_is_asked_for_approved_and_brings_presence() {
    let net = Net::default();
    let (_a, romeo, _b, juliet) = pair(&net).await;
    romeo.appear().await;
    romeo
        .send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
        .await;
    romeo.hears("type='result'").await;
    romeo
        .send("<presence type='subscribe' to='juliet@b.example'/>")
        .await;
    romeo.hears("ask='subscribe'").await;

    // She hears of it when she comes, and not before.
    juliet.appear().await;
    let asked = juliet.hears("type='subscribe'").await;
    assert_eq!(asked.from().unwrap().as_str(), ROMEO);
    juliet
        .send("<presence type='subscribed' to='romeo@a.example'/>")
        .await;
    romeo.hears("type='subscribed'").await;
    romeo.hears("subscription='to'").await;
    let presence = romeo.next().await;
    assert_eq!(
        presence.from().unwrap().as_str(),
        "juliet@b.example/balcony"
    );

    // §3.2
    juliet
        .send("<presence type='unsubscribed' to='romeo@a.example'/>")
        .await;
    romeo.hears("type='unavailable'").await;
    romeo.hears("type='unsubscribed'").await;
    romeo.hears("subscription='none'").await;
}

/// RFC 6121 §4.2.2, §4.3, §4.5
#[tokio::test]
async fn contacts_are_probed_and_told_of_coming_and_going() {
    let net = Net::default();
    let (a, b) = (Site::new(&net, "a.example"), Site::new(&net, "b.example"));
    friends(&a, &b).await;
    let romeo = a.login("romeo@a.example/orchard").await;
    let juliet = b.login("juliet@b.example/balcony").await;
    romeo.send("<presence><show>dnd</show></presence>").await;
    romeo.hears("dnd").await;
    // Nobody is there to answer the probe.
    juliet.appear().await;
    let probed = juliet.hears("<show>dnd</show>").await;
    assert_eq!(probed.from().unwrap().as_str(), "romeo@a.example/orchard");
    let told = romeo.hears("from='juliet@b.example/balcony'").await;
    assert_eq!(told.to().unwrap().as_str(), ROMEO);
    juliet.leave().await;
    // If his probe met her there, he has been told twice.
    let gone = loop {
        let told = romeo.next().await;
        assert_eq!(told.from().unwrap().as_str(), "juliet@b.example/balcony");
        if told.kind() == Kind::Presence(PresenceType::Unavailable) {
            break told;
        }
    };
    assert_eq!(gone.to().unwrap().as_str(), ROMEO);

    // A friend may know when she was last there (XEP-0012).
    let last = "<query xmlns='jabber:iq:last'/>";
    romeo
        .send(&format!("<iq type='get' id='l' to='{JULIET}'>{last}</iq>"))
        .await;
    romeo.hears("seconds='").await;
}

/// RFC 6121 §8.5.2.2.1
#[tokio::test]
async fn a_message_for_somebody_who_is_away_is_kept() {
    let net = Net::default();
    let (_a, romeo, b, juliet) = pair(&net).await;
    juliet.leave().await;
    romeo.send(&message(JULIET, "later")).await;
    // It is there when what was said after it is answered.
    romeo
        .send("<iq type='get' id='p' to='b.example'><ping xmlns='urn:xmpp:ping'/></iq>")
        .await;
    romeo.hears("id='p'").await;
    let juliet = b.login("juliet@b.example/chamber").await;
    juliet.send("<presence/>").await;
    let kept = juliet.hears("later").await.to_string();
    assert!(kept.contains("urn:xmpp:delay"), "{kept}");
    romeo.send(&message("nobody@b.example", "anybody?")).await;
    is_error(&romeo.next().await, Condition::ServiceUnavailable);
}

/// XEP-0191 §3.2
#[tokio::test]
async fn whoever_is_blocked_elsewhere_is_not_heard() {
    let net = Net::default();
    let (_a, romeo, _b, juliet) = pair(&net).await;
    juliet.appear().await;
    for blocked in ["romeo@a.example", "a.example"] {
        let item = format!("<item jid='{blocked}'/>");
        let block = format!("<block xmlns='urn:xmpp:blocking'>{item}</block>");
        juliet
            .send(&format!("<iq type='set' id='b'>{block}</iq>"))
            .await;
        juliet.hears("type='result'").await;
        romeo.send(&message(JULIET, "hark")).await;
        is_error(&romeo.next().await, Condition::ServiceUnavailable);
        romeo.send(&format!("<presence to='{JULIET}'/>")).await;
        // What is answered behind it shows that it has come.
        let ping = "<ping xmlns='urn:xmpp:ping'/>";
        romeo
            .send(&format!("<iq type='get' id='p' to='b.example'>{ping}</iq>"))
            .await;
        romeo.hears("id='p'").await;
        juliet.send(&message(ROMEO, "hark")).await;
        is_error(&juliet.next().await, Condition::NotAcceptable);
        let unblock = format!("<unblock xmlns='urn:xmpp:blocking'>{item}</unblock>");
        juliet
            .send(&format!("<iq type='set' id='u'>{unblock}</iq>"))
            .await;
        juliet.hears("type='result'").await;
    }
    romeo.send(&message(JULIET, "again")).await;
    juliet.hears("again").await;
}

/// XEP-0280
#[tokio::test]
async fn what_comes_and_goes_is_copied_to_the_other_devices() {
    let net = Net::default();
    let (_a, romeo, b, juliet) = pair(&net).await;
    juliet.appear().await;
    let chamber = b.login("juliet@b.example/chamber").await;
    let enable = "<enable xmlns='urn:xmpp:carbons:2'/>";
    chamber
        .send(&format!("<iq type='set' id='c'>{enable}</iq>"))
        .await;
    chamber.hears("type='result'").await;
    romeo.send(&message("juliet@b.example/balcony", "in")).await;
    juliet.hears("in").await;
    chamber.hears("<received").await;
    juliet
        .send(&message("romeo@a.example/orchard", "out"))
        .await;
    romeo.hears("out").await;
    chamber.hears("<sent").await;
}

#[tokio::test]
async fn nobody_is_found_where_there_is_no_server() {
    let net = Net::default();
    let (a, romeo, _b, _juliet) = pair(&net).await;
    romeo.send(&message("x@nowhere.example", "?")).await;
    let error = romeo.next().await;
    is_error(&error, Condition::RemoteServerNotFound);
    assert_eq!(error.from().unwrap().as_str(), "x@nowhere.example");
    assert_eq!(a.server.metrics().s2s.returned.value(), 1);
}
