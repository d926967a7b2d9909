//! What a client believes.

use super::*;
use crate::sasl::client::Error;

#[test]
fn a_client_refuses_a_server_that_does_not_know_the_password() {
    for data in [
        None,
        Some(&b""[..]),
        Some(b"v=AAAA"),
        Some(b"e=other-error"),
        Some(b"nonsense"),
    ] {
        let mut client = Client::scram(scram(Hash::Sha256, PASSWORD));
        client.initial();
        client
            .challenge(b"r=client-nonceX,s=c2FsdA==,i=4096")
            .unwrap();
        assert!(client.success(data).is_err(), "{data:?}");
    }
    let mut early = Client::scram(scram(Hash::Sha256, PASSWORD));
    assert_eq!(early.success(None), Err(Error::Signature));
}

#[test]
fn a_client_refuses_challenges_that_ask_too_little_or_too_much() {
    for (challenge, expected) in [
        ("r=client-nonce,s=c2FsdA==,i=4096", Error::Nonce),
        ("r=other,s=c2FsdA==,i=4096", Error::Nonce),
        ("r=client-nonceX,s=c2FsdA==,i=4095", Error::Iterations),
        ("r=client-nonceX,s=c2FsdA==,i=10000001", Error::Iterations),
        ("r=client-nonceX,s=c2FsdA==", Error::Malformed),
        ("m=x,r=client-nonceX,s=c2FsdA==,i=4096", Error::Malformed),
    ] {
        let mut client = Client::scram(scram(Hash::Sha1, PASSWORD));
        assert_eq!(
            client.challenge(challenge.as_bytes()),
            Err(expected),
            "{challenge}"
        );
    }
    let salt = encode(&vec![1; MAX_SALT + 1]);
    let challenge = format!("r=client-nonceX,s={salt},i=4096");
    let mut client = Client::scram(scram(Hash::Sha1, PASSWORD));
    assert_eq!(
        client.challenge(challenge.as_bytes()),
        Err(Error::Malformed)
    );
}

#[test]
fn a_client_with_the_keys_of_an_earlier_login_spends_no_rounds() {
    let mut client = Client::scram(scram(Hash::Sha256, PASSWORD));
    assert_eq!(
        run(&mut server(&unbound()), &mut client, |_, _| {}),
        juliet()
    );
    let keys = client.keys().unwrap().clone();
    let rounds = |scram| {
        count::take();
        assert_eq!(login(&unbound(), Client::scram(scram)), juliet());
        count::take()
            .iter()
            .filter(|((_, what), _)| *what == "round")
            .map(|(_, n)| n)
            .sum::<u32>()
    };
    assert_eq!(rounds(scram(Hash::Sha256, PASSWORD).keys(keys.clone())), 0);
    // Of another hash they are no use, and do no harm.
    assert_eq!(
        rounds(scram(Hash::Sha1, PASSWORD).keys(keys)),
        MIN_ITERATIONS
    );
}

#[test]
fn a_server_may_send_its_signature_as_a_challenge() {
    // RFC 4422 §5 has it so for protocols without additional data with success.
    let mut client = Client::scram(scram(Hash::Sha256, PASSWORD));
    let mut server = server(&unbound());
    let first = challenge(auth(&mut server, "SCRAM-SHA-256", &client.initial()));
    let last = client.challenge(&first).unwrap();
    let Step::Success {
        data: Some(data), ..
    } = server.handle(Input::Response(&last))
    else {
        panic!("refused")
    };
    assert_eq!(client.challenge(&data), Ok(Vec::new()));
    assert_eq!(client.success(None), Ok(()));
    assert_eq!(client.success(Some(&data)), Err(Error::OutOfTurn));
}

#[test]
fn a_client_repeats_its_first_message_when_asked_for_it() {
    for mut client in [
        Client::plain("", "juliet", PASSWORD),
        Client::external("juliet@example.com"),
        Client::scram(scram(Hash::Sha1, PASSWORD)),
    ] {
        let initial = client.initial();
        let mut server = server(&unbound());
        let mechanism = client.mechanism().name();
        let step = server.handle(Input::Auth {
            mechanism,
            initial: None,
        });
        assert_eq!(client.challenge(&challenge(step)), Ok(initial));
    }
    let mut client = Client::plain("", "juliet", PASSWORD);
    assert_eq!(client.challenge(b"?"), Err(Error::OutOfTurn));
    assert_eq!(client.success(Some(b"?")), Err(Error::OutOfTurn));
}

#[test]
fn nothing_secret_is_in_a_debug_text() {
    let mut server = server(&unbound());
    let mut texts = Vec::new();
    for client in [
        Client::plain("", "juliet", PASSWORD),
        Client::scram(scram(Hash::Sha1, PASSWORD)),
    ] {
        texts.push(format!("{client:?}"));
    }
    texts.push(format!("{:?}", scram(Hash::Sha1, PASSWORD)));
    let initial = Some(&b"\0juliet\0r0m30myr0m30"[..]);
    server.handle(Input::Auth {
        mechanism: "PLAIN",
        initial,
    });
    texts.push(format!("{server:?}"));
    texts.push(format!("{:?}", server.handle(credentials())));
    for text in texts {
        assert!(
            !text.contains(PASSWORD) && !text.contains("[7, 7"),
            "{text}"
        );
    }
}
