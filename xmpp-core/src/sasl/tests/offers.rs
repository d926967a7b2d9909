//! What is offered, and what comes of asking for something else.

use super::*;

#[test]
fn only_what_the_connection_can_bear_is_offered() {
    use Mechanism::*;
    let default = Policy::new(Secret::from([7; 32]));
    let on = |policy: &Policy, channel: &Channel| {
        Offer::to_client(policy, &domain(), channel)
            .mechanisms()
            .to_vec()
    };
    let scram = [ScramSha512, ScramSha256, ScramSha1];

    let bare = Channel::default();
    assert_eq!(on(&default, &bare), scram);
    let tls = Channel { tls: true, ..bare };
    assert_eq!(on(&default, &tls), [&scram[..], &[Plain]].concat());
    let bound = Channel {
        bindings: vec![end_point()],
        ..tls.clone()
    };
    let plus = [ScramSha512Plus, ScramSha256Plus, ScramSha1Plus];
    assert_eq!(on(&default, &bound), [&plus[..], &scram, &[Plain]].concat());
    let named = Channel {
        identities: channel().identities,
        ..tls
    };
    assert_eq!(
        on(&default, &named),
        [&[External], &scram[..], &[Plain]].concat()
    );

    let mut open = default;
    open.plain_without_tls = true;
    open.mechanisms = vec![Anonymous, Plain];
    assert_eq!(on(&open, &Channel::default()), [Anonymous, Plain]);
}

#[test]
fn plain_without_tls_is_refused_by_its_own_condition() {
    let offer = offer_on(&Channel::default());
    // RFC 6120 §6.5.4
    let step = auth(&mut server(&offer), "PLAIN", b"\0juliet\0r0m30myr0m30");
    assert_eq!(failure(step).condition, Condition::EncryptionRequired);

    let mut never = policy();
    never
        .mechanisms
        .retain(|mechanism| *mechanism != Mechanism::Plain);
    let offer = Offer::to_client(&never, &domain(), &Channel::default());
    let step = auth(&mut server(&offer), "PLAIN", b"\0juliet\0r0m30myr0m30");
    assert_eq!(failure(step).condition, Condition::InvalidMechanism);
}

#[test]
fn binding_types_are_advertised_with_plus_mechanisms_only() {
    // XEP-0440 §2
    let names = |offer: Arc<Offer>| offer.binding_names().collect::<Vec<_>>();
    assert_eq!(
        names(offer_on(&channel())),
        ["tls-exporter", "tls-server-end-point"]
    );
    assert!(names(unbound()).is_empty());
    let mut plain = policy();
    plain.mechanisms.retain(|mechanism| !mechanism.is_plus());
    assert!(names(Offer::to_client(&plain, &domain(), &channel())).is_empty());
}

#[test]
fn what_was_not_offered_cannot_be_used() {
    let offer = offer_on(&Channel::default());
    for mechanism in [
        "EXTERNAL",
        "SCRAM-SHA-1-PLUS",
        "",
        "DIGEST-MD5",
        "scram-sha-1",
    ] {
        let step = auth(&mut server(&offer), mechanism, b"juliet@example.com");
        assert_eq!(
            failure(step).condition,
            Condition::InvalidMechanism,
            "{mechanism}"
        );
    }
}
