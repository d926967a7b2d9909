//! SCRAM: who gets in, and who is kept out by what.

use super::*;
use crate::sasl::credentials::SaltedPassword;
use crate::sasl::scram as machine;

#[test]
fn scram_lets_in_with_every_hash_and_every_binding() {
    for hash in Hash::ALL {
        for (binding, offer) in [
            (Binding::Unsupported, offer_on(&channel())),
            (Binding::Unsupported, unbound()),
            (Binding::NotOffered, unbound()),
            (Binding::Channel(exporter()), offer_on(&channel())),
            (Binding::Channel(end_point()), offer_on(&channel())),
        ] {
            let with = |password| Client::scram(scram(hash, password).binding(binding.clone()));
            assert_eq!(
                login(&offer, with(PASSWORD)),
                juliet(),
                "{hash:?} {binding:?}"
            );
            let wrong = Err("not-authorized".to_owned());
            assert_eq!(login(&offer, with("wrong")), wrong, "{hash:?} {binding:?}");
        }
    }
}

#[test]
fn a_client_that_missed_our_plus_mechanisms_is_told_of_the_downgrade() {
    // RFC 5802 §6: "If the flag is set to "y" and the server supports channel binding, the server MUST fail
    // authentication."
    let downgraded =
        |offer: &Arc<Offer>| auth(&mut server(offer), "SCRAM-SHA-1", b"y,,n=juliet,r=client");
    let refused = failure(downgraded(&offer_on(&channel())));
    assert_eq!(refused.condition, Condition::NotAuthorized);
    assert_eq!(refused.text, Some("server-does-support-channel-binding"));
    challenge(downgraded(&unbound()));
}

#[test]
fn a_binding_that_we_have_not_is_refused() {
    // RFC 5802 §6
    let bound = offer_on(&channel());
    let step = auth(
        &mut server(&bound),
        "SCRAM-SHA-1-PLUS",
        b"p=tls-unique,,n=juliet,r=client",
    );
    let refused = failure(step);
    assert_eq!(refused.condition, Condition::NotAuthorized);
    assert_eq!(refused.text, Some("unsupported-channel-binding-type"));
}

#[test]
fn binding_and_mechanism_must_agree() {
    let bound = offer_on(&channel());
    for (mechanism, flag) in [
        ("SCRAM-SHA-1", "p=tls-exporter"),
        ("SCRAM-SHA-1-PLUS", "n"),
        ("SCRAM-SHA-1-PLUS", "y"),
    ] {
        let message = format!("{flag},,n=juliet,r=client");
        let step = auth(&mut server(&bound), mechanism, message.as_bytes());
        assert_eq!(
            failure(step),
            Condition::MalformedRequest.into(),
            "{mechanism} {flag}"
        );
    }
}

#[test]
fn a_login_through_another_channel_is_refused() {
    // Somebody in the middle has a TLS connection of his own with each side.
    let theirs = Binding::Channel(ChannelBinding::TlsExporter([1; 32]));
    let mut client = Client::scram(scram(Hash::Sha256, PASSWORD).binding(theirs));
    let mut server = server(&offer_on(&channel()));
    let first = challenge(auth(&mut server, "SCRAM-SHA-256-PLUS", &client.initial()));
    let last = client.challenge(&first).unwrap();
    let refused = failure(server.handle(Input::Response(&last)));
    assert_eq!(refused.condition, Condition::NotAuthorized);
    assert_eq!(refused.text, Some("channel-bindings-dont-match"));
}

#[test]
fn the_header_of_the_first_message_cannot_be_changed_on_the_way() {
    // The attacker makes an `n` of a `y`, so that the server does not notice the downgrade; `c=` gives him away.
    let mut client = Client::scram(scram(Hash::Sha256, PASSWORD).binding(Binding::NotOffered));
    let outcome = run(
        &mut server(&offer_on(&channel())),
        &mut client,
        |at, message| {
            if at == 0 {
                message[0] = b'n';
            }
        },
    );
    assert_eq!(outcome, Err("not-authorized".to_owned()));
}

#[test]
fn a_replayed_login_is_refused() {
    let mut client = Client::scram(scram(Hash::Sha256, PASSWORD));
    let (mut messages, offer) = (Vec::new(), unbound());
    let outcome = run(&mut server(&offer), &mut client, |_, message| {
        messages.push(message.clone())
    });
    assert_eq!(outcome, juliet());

    let replay = |nonce: Nonce| {
        let mut server = Negotiation::new(offer.clone(), nonce);
        challenge(auth(&mut server, "SCRAM-SHA-256", &messages[0]));
        server.handle(Input::Response(&messages[2]))
    };
    assert_eq!(
        failure(replay(nonce("another-nonce"))),
        Condition::NotAuthorized.into()
    );
    // The nonce is all that keeps it out.
    assert!(matches!(
        replay(nonce("server-nonce")),
        Step::Success { .. }
    ));
}

#[test]
fn a_right_proof_with_another_nonce_is_refused() {
    // RFC 5802 §5.1: "The server MUST verify that the nonce sent by the client in the second message is the same as the
    // one sent by the server in its first message."
    let keys = JULIET.keys(Hash::Sha256).unwrap();
    let salted = SaltedPassword::new(keys.hash(), PASSWORD, keys.salt(), keys.iterations());
    let client_key = salted.unwrap().client_key();
    let finish = |nonce: &str| {
        let mut server = server(&unbound());
        let first = challenge(auth(&mut server, "SCRAM-SHA-256", b"n,,n=juliet,r=client"));
        let first = String::from_utf8(first).unwrap();
        let without_proof = format!("c=biws,r={nonce}");
        let auth_message = format!("n=juliet,r=client,{first},{without_proof}");
        let signature = Hash::Sha256.hmac(keys.stored_key(), auth_message.as_bytes());
        let proof = encode(&machine::xor(&client_key, &signature));
        server.handle(Input::Response(
            format!("{without_proof},p={proof}").as_bytes(),
        ))
    };
    assert!(matches!(finish("clientserver-nonce"), Step::Success { .. }));
    for nonce in [
        "client",
        "server-nonce",
        "clientserver-nonc",
        "clientserver-nonce2",
    ] {
        assert_eq!(
            failure(finish(nonce)),
            Condition::NotAuthorized.into(),
            "{nonce}"
        );
    }
}

#[test]
fn a_mandatory_extension_fails_the_login() {
    // RFC 5802 §5.1
    for message in ["n,,m=x,n=juliet,r=client", "n,,n=juliet,r=client,m=x"] {
        let refused = failure(auth(
            &mut server(&unbound()),
            "SCRAM-SHA-1",
            message.as_bytes(),
        ));
        assert_eq!(refused.text, Some("extensions-not-supported"), "{message}");
    }
}

#[test]
fn nobody_logs_in_for_somebody_else() {
    let with = |authzid| Client::scram(scram(Hash::Sha1, PASSWORD).authzid(authzid));
    assert_eq!(login(&unbound(), with("juliet@example.com")), juliet());
    for authzid in ["romeo@example.com", "juliet", "juliet@example.com/balcony"] {
        let invalid = Err("invalid-authzid".to_owned());
        assert_eq!(login(&unbound(), with(authzid)), invalid, "{authzid}");
    }
}

#[test]
fn a_user_name_is_unescaped_and_prepared() {
    let asked = |name: &str| {
        let message = format!("n,,n={name},r=client");
        let initial = Some(message.as_bytes());
        server(&unbound()).handle(Input::Auth {
            mechanism: "SCRAM-SHA-1",
            initial,
        })
    };
    for (name, local) in [
        ("a=2Cb=3Dc", "a,b=c"),
        ("JULIET", "juliet"),
        ("Jos\u{c9}", "jos\u{e9}"),
    ] {
        let step = asked(name);
        assert!(
            matches!(&step, Step::Ask(Ask::Credentials(jid)) if jid.local() == Some(local)),
            "{step:?}"
        );
    }
    assert_eq!(failure(asked("a b")).condition, Condition::NotAuthorized);
    assert_eq!(
        failure(asked("a=2c")).condition,
        Condition::MalformedRequest
    );
}

#[test]
fn a_stranger_cannot_tell_a_known_account_from_an_unknown_one() {
    // RFC 5802 §9; the same answers, and on the way the same hash operations.
    for hash in Hash::ALL {
        let only_others: Credentials = JULIET
            .iter()
            .filter(|keys| keys.hash() != hash)
            .cloned()
            .collect();
        let mut seen = Vec::new();
        for found in [Some(JULIET.clone()), None, Some(only_others)] {
            for _ in 0..2 {
                let mut client = Client::scram(scram(hash, "a guess"));
                let (mechanism, initial) = (client.mechanism().name(), client.initial());
                let mut server = server(&unbound());
                server.handle(Input::Auth {
                    mechanism,
                    initial: Some(&initial),
                });

                count::take();
                let first =
                    challenge(server.handle(Input::Answer(Answer::Credentials(found.clone()))));
                let mut work = vec![count::take()];
                let last = client.challenge(&first).unwrap();
                count::take();
                let refused = failure(server.handle(Input::Response(&last)));
                work.push(count::take());
                assert!(work[1].values().sum::<u32>() > 0);
                seen.push((first, refused, work));
            }
        }
        let [known, again, unknown, unknown_again, other, _] = &seen[..] else {
            panic!("{}", seen.len())
        };
        assert_eq!(known, again);
        // The same unknown account shows the same salt each time, and it makes no difference why there are no keys.
        assert_eq!(unknown, unknown_again);
        assert_eq!(unknown, other);
        assert_eq!((&known.1, &known.2), (&unknown.1, &unknown.2));
        assert_eq!(known.1, Condition::NotAuthorized.into());
        let shape = |message: &[u8]| {
            let text = str::from_utf8(message).unwrap();
            let (nonce, rest) = text.split_once(",s=").unwrap();
            let (salt, rounds) = rest.split_once(",i=").unwrap();
            (
                nonce.to_owned(),
                decode(salt).unwrap().len(),
                rounds.to_owned(),
            )
        };
        assert_ne!(known.0, unknown.0);
        assert_eq!(shape(&known.0), shape(&unknown.0));
    }
}

#[test]
fn plain_costs_the_same_for_an_account_that_does_not_exist() {
    let work = |found: Option<Credentials>| {
        let mut server = server(&unbound());
        let initial = Some(&b"\0juliet\0a guess"[..]);
        server.handle(Input::Auth {
            mechanism: "PLAIN",
            initial,
        });
        count::take();
        let Step::Ask(Ask::Password(check)) =
            server.handle(Input::Answer(Answer::Credentials(found)))
        else {
            panic!("no check")
        };
        assert!(!check.run());
        count::take()
    };
    let known = work(Some(JULIET.clone()));
    assert_eq!(known[&(Hash::Sha256, "round")], MIN_ITERATIONS);
    assert_eq!(work(None), known);
    assert_eq!(work(Some(Credentials::default())), known);
}
