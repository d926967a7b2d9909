//! What proves that a server is who it says, and what does not.

use super::*;
use crate::stanza::Condition;

fn policy(proof: Proof) -> Policy {
    Policy {
        proof,
        ..Policy::default()
    }
}

/// Two servers under these policies, with these certificates, and somebody at each.
async fn servers(net: &Net, [a, b]: [(Policy, Identity); 2]) -> (Site, Person, Site, Person) {
    let with = |(policy, identity): (Policy, Identity), domain| With {
        identity: Some(identity),
        ..With::policy(domain, policy)
    };
    let a = Site::with(net, "a.example", with(a, "a.example"));
    let b = Site::with(net, "b.example", with(b, "b.example"));
    let romeo = a.login("romeo@a.example/orchard").await;
    let juliet = b.login("juliet@b.example/balcony").await;
    (a, romeo, b, juliet)
}

/// Whether a message from the one to the other arrives.
async fn arrives(romeo: &Person, juliet: &Person) -> Result<(), Condition> {
    romeo
        .send(&message("juliet@b.example/balcony", "hark"))
        .await;
    tokio::select! {
        _ = juliet.hears("hark") => Ok(()),
        error = romeo.next() => Err(error.error().unwrap().condition),
    }
}

#[tokio::test]
async fn the_certificate_is_enough_where_it_is_right() {
    let net = Net::default();
    let strict = policy(Proof::Certificate);
    let [a, b] = ["a.example", "b.example"].map(|name| (strict, AUTHORITY.vouch(name)));
    let (a, romeo, b, juliet) = servers(&net, [a, b]).await;
    assert_eq!(arrives(&romeo, &juliet).await, Ok(()));
    assert_eq!(net.dialled(), 1, "nobody is called back");
    let ours = &a.federation.links()[0];
    assert!(ours.certified && ours.encrypted, "{ours:?}");
    assert_eq!(ours.domain.as_ref().unwrap().as_str(), "b.example");
    assert_eq!(ours.direction, Direction::Outgoing);
    let theirs = &b.federation.links()[0];
    assert!(theirs.certified && theirs.encrypted, "{theirs:?}");
    assert_eq!(theirs.direction, Direction::Incoming);
    assert!(theirs.received > 0 && ours.sent > 0);
}

#[tokio::test]
async fn tls_may_come_first() {
    let net = Net::default();
    *net.0.security.lock().unwrap() = Some(Security::Direct);
    let strict = policy(Proof::Certificate);
    let [a, b] = ["a.example", "b.example"].map(|name| (strict, AUTHORITY.vouch(name)));
    let (_a, romeo, b, juliet) = servers(&net, [a, b]).await;
    assert_eq!(arrives(&romeo, &juliet).await, Ok(()));
    assert!(b.federation.links()[0].encrypted);
}

/// XEP-0368 §5: "provide additional SRV record(s) that do not require multiplexing": they are of use.
#[tokio::test]
async fn where_direct_tls_fails_the_next_server_of_the_domain_is_tried() {
    let net = Net::default();
    *net.0.security.lock().unwrap() = Some(Security::Direct);
    net.0.mute.store(1, Ordering::Relaxed);
    let strict = policy(Proof::Certificate);
    let [a, b] = ["a.example", "b.example"].map(|name| (strict, AUTHORITY.vouch(name)));
    let (a, romeo, _b, juliet) = servers(&net, [a, b]).await;
    assert_eq!(arrives(&romeo, &juliet).await, Ok(()));
    assert_eq!(a.server.metrics().s2s.failed_handshakes.value(), 1);
}

/// The time for connecting is a minute, in which it is tried again.
#[tokio::test]
async fn where_direct_tls_fails_at_every_server_it_is_tried_again() {
    let net = Net::default();
    *net.0.security.lock().unwrap() = Some(Security::Direct);
    net.0.mute.store(100, Ordering::Relaxed);
    let [a, b] = ["a.example", "b.example"].map(|name| (Policy::default(), AUTHORITY.vouch(name)));
    let (a, romeo, _b, juliet) = servers(&net, [a, b]).await;
    romeo
        .send(&message("juliet@b.example/balcony", "hark"))
        .await;
    let failed = &a.server.metrics().s2s.failed_handshakes;
    a.until("so many are tried", |links| {
        failed.value() > 0 && links.is_empty()
    })
    .await;
    assert_eq!(failed.value(), 4);
    net.0.mute.store(0, Ordering::Relaxed);
    juliet.hears("hark").await;
}

#[tokio::test]
async fn without_an_authority_a_server_is_called_back() {
    let net = Net::default();
    let [a, b] = ["a.example", "b.example"].map(|name| (Policy::default(), unknown(name)));
    let (a, romeo, b, juliet) = servers(&net, [a, b]).await;
    assert_eq!(arrives(&romeo, &juliet).await, Ok(()));
    assert_eq!(net.dialled(), 2, "once there, and once back");
    let certified = |site: &Site| site.federation.links().iter().any(|link| link.certified);
    assert!(!certified(&a) && !certified(&b));
}

#[tokio::test]
async fn a_certificate_is_required_of_those_who_are_dialled_and_of_those_who_dial() {
    let strict = policy(Proof::Certificate);
    let (lax, right) = (Policy::default(), AUTHORITY.vouch("a.example"));
    let theirs = AUTHORITY.vouch("b.example");
    let other = || AUTHORITY.vouch("c.example");
    for (what, a, b) in [
        (
            "dialled, unknown",
            (strict, right.clone()),
            (lax, unknown("b.example")),
        ),
        (
            "dialled, another's",
            (strict, right.clone()),
            (lax, other()),
        ),
        (
            "dials, unknown",
            (lax, unknown("a.example")),
            (strict, theirs.clone()),
        ),
        ("dials, another's", (lax, other()), (strict, theirs.clone())),
    ] {
        let net = Net::default();
        let (_a, romeo, _b, juliet) = servers(&net, [a, b]).await;
        let arrived = arrives(&romeo, &juliet).await;
        assert_eq!(arrived, Err(Condition::RemoteServerTimeout), "{what}");
    }
}

#[tokio::test]
async fn certificates_can_be_held_to_nothing_or_be_wanted_besides() {
    for proof in [Proof::Dialback, Proof::Both] {
        let net = Net::default();
        let [a, b] = ["a.example", "b.example"].map(|name| (policy(proof), AUTHORITY.vouch(name)));
        let (_a, romeo, _b, juliet) = servers(&net, [a, b]).await;
        assert_eq!(arrives(&romeo, &juliet).await, Ok(()));
        assert_eq!(net.dialled(), 2, "{proof:?}");
    }
}

#[tokio::test]
async fn nothing_is_sent_in_the_clear_unless_it_may() {
    let net = Net::default();
    let a = Site::new(&net, "a.example");
    let romeo = a.login("romeo@a.example/orchard").await;
    let b = Site::with(&net, "b.example", With::plain());
    let juliet = b.login("juliet@b.example/balcony").await;
    let refused = Err(Condition::RemoteServerTimeout);
    assert_eq!(arrives(&romeo, &juliet).await, refused, "we want TLS");

    let net = Net::default();
    let a = Site::with(&net, "a.example", With::plain());
    let romeo = a.login("romeo@a.example/orchard").await;
    let b = Site::with(&net, "b.example", With::plain());
    let juliet = b.login("juliet@b.example/balcony").await;
    assert_eq!(arrives(&romeo, &juliet).await, Ok(()));
    assert!(!b.federation.links()[0].encrypted);
}

/// RFC 6120 §8.3.3.8
#[tokio::test]
async fn blocked_domains_are_not_spoken_with_either_way() {
    let net = Net::default();
    let mut with = With::default("a.example");
    with.rules.exceptions = [("b.example".parse().unwrap(), None)].into();
    let a = Site::with(&net, "a.example", with);
    let romeo = a.login("romeo@a.example/orchard").await;
    let mut with = With::default("b.example");
    with.config.links.connect = Duration::from_secs(1);
    let b = Site::with(&net, "b.example", with);
    let juliet = b.login("juliet@b.example/balcony").await;
    assert_eq!(arrives(&romeo, &juliet).await, Err(Condition::NotAllowed));
    assert_eq!(net.dialled(), 0);
    juliet.send(&message("romeo@a.example", "hark")).await;
    let error = juliet.next().await.error().unwrap();
    assert_eq!(error.condition, Condition::RemoteServerTimeout);

    // The rules change while both run.
    a.federation.peers().replace(Rules::default());
    assert_eq!(arrives(&romeo, &juliet).await, Ok(()));
}

#[tokio::test]
async fn a_certificate_is_right_in_its_time_and_for_what_it_is_for() {
    use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
    let strict = policy(Proof::Certificate);
    let for_a = |purposes: &[rcgen::ExtendedKeyUsagePurpose]| {
        AUTHORITY.vouch_with("a.example", |parameters| {
            parameters.extended_key_usages = purposes.to_vec();
        })
    };
    let expired = AUTHORITY.vouch_with("a.example", |parameters| {
        parameters.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    let refused = Err(Condition::RemoteServerTimeout);
    // Whoever opens a connection may show one that is for servers of TLS, or one that is for clients.
    for (what, identity, expected) in [
        ("expired", expired, refused),
        ("for servers", for_a(&[ServerAuth]), Ok(())),
        ("for clients", for_a(&[ClientAuth]), Ok(())),
        (
            "for nothing of that",
            for_a(&[rcgen::ExtendedKeyUsagePurpose::EmailProtection]),
            refused,
        ),
    ] {
        let net = Net::default();
        let (a, b) = (
            (Policy::default(), identity),
            (strict, AUTHORITY.vouch("b.example")),
        );
        let (_a, romeo, _b, juliet) = servers(&net, [a, b]).await;
        assert_eq!(arrives(&romeo, &juliet).await, expected, "{what}");
    }
    // Whoever accepts it is a server of TLS.
    let for_clients = AUTHORITY.vouch_with("b.example", |parameters| {
        parameters.extended_key_usages = vec![ClientAuth];
    });
    let net = Net::default();
    let (a, b) = (
        (strict, AUTHORITY.vouch("a.example")),
        (Policy::default(), for_clients),
    );
    let (_a, romeo, _b, juliet) = servers(&net, [a, b]).await;
    assert_eq!(arrives(&romeo, &juliet).await, refused);
}
