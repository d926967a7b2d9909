//! Attackers who try everything.

use proptest::prelude::*;

use super::*;

fn any_hash() -> impl Strategy<Value = Hash> {
    prop::sample::select(&Hash::ALL[..])
}

fn any_binding() -> impl Strategy<Value = Binding> {
    prop::sample::select(vec![
        Binding::Unsupported,
        Binding::Channel(exporter()),
        Binding::Channel(end_point()),
    ])
}

/// Bytes that are more likely than chance to get past a parser.
fn any_message() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..80),
        "[nyp],,n=[a-z=]{0,4},r=[!-~]{0,6}(,[a-z]=x)?".prop_map(String::into_bytes),
        "c=(biws|eSws),r=client-nonceserver-nonce,p=[A-Za-z0-9+/]{0,8}=?"
            .prop_map(String::into_bytes),
        "\\PC{0,3}\0\\PC{0,5}\0\\PC{0,5}".prop_map(String::into_bytes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whoever_knows_the_password_gets_in(
        hash in any_hash(),
        binding in any_binding(),
        username in "[a-z0-9,=é.-]{1,12}",
        password in "[ -~é☃]{1,20}",
    ) {
        let keys = Keys::derive(hash, &password, MIN_ITERATIONS, b"salt").unwrap();
        let stored: Credentials = [keys].into_iter().collect();
        let scram = Scram::new(hash, &username, &password, nonce("c")).binding(binding);
        let mut client = Client::scram(scram);
        let mut server = server(&offer_on(&channel()));
        let (mechanism, initial) = (client.mechanism().name(), client.initial());
        server.handle(Input::Auth { mechanism, initial: Some(&initial) });
        let first = challenge(server.handle(Input::Answer(Answer::Credentials(Some(stored)))));
        let last = client.challenge(&first).unwrap();
        let Step::Success { identity: Identity::Jid(jid), data } = server.handle(Input::Response(&last)) else {
            panic!("refused")
        };
        prop_assert_eq!(jid.local(), Some(&*username));
        prop_assert_eq!(client.success(data.as_deref()), Ok(()));
    }

    #[test]
    fn no_message_of_scram_can_be_changed_by_one_byte(
        hash in any_hash(),
        binding in any_binding(),
        target in 0..4_usize,
        at in any::<prop::sample::Index>(),
        change in 1..=255_u8,
    ) {
        let mut client = Client::scram(scram(hash, PASSWORD).binding(binding));
        let mut reached = false;
        let outcome = run(&mut server(&offer_on(&channel())), &mut client, |number, message| {
            if number == target {
                let at = at.index(message.len());
                message[at] ^= change;
                reached = true;
            }
        });
        prop_assert!(reached);
        prop_assert!(outcome.is_err(), "{:?}", outcome);
    }

    #[test]
    fn no_other_password_passes_for_plain(at in 0..PASSWORD.len(), change in 1..=255_u8) {
        let mut message = b"\0juliet\0r0m30myr0m30".to_vec();
        message[8 + at] ^= change;
        failure(auth(&mut server(&unbound()), "PLAIN", &message));
    }

    #[test]
    fn no_bytes_make_the_machine_panic_or_let_anybody_in(
        mechanism in prop::sample::select(&Mechanism::ALL[1..8]),
        messages in prop::collection::vec(any_message(), 1..4),
        initial in any::<bool>(),
    ) {
        let mut server = server(&offer_on(&channel()));
        let mut messages = messages.iter();
        let first = if initial { messages.next() } else { None };
        let auth = Input::Auth { mechanism: mechanism.name(), initial: first.map(Vec::as_slice) };
        let mut step = settle(&mut server, auth);
        for message in messages {
            prop_assert!(!matches!(step, Step::Success { .. }), "{:?}", step);
            step = settle(&mut server, Input::Response(message));
        }
        prop_assert!(!matches!(step, Step::Success { .. }), "{:?}", step);
    }

    #[test]
    fn no_bytes_make_the_client_panic_or_believe(messages in prop::collection::vec(any_message(), 1..4)) {
        let mut client = Client::scram(scram(Hash::Sha1, PASSWORD));
        for message in &messages {
            let _ = client.challenge(message);
            prop_assert!(client.success(Some(message)).is_err());
        }
    }
}
