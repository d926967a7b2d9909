//! Every input in every state.

use super::*;

/// One letter for what came of an input.
fn letter(step: &Step) -> char {
    match step {
        Step::Challenge(message) if message.is_empty() => 'e',
        Step::Challenge(_) => 'C',
        Step::Ask(Ask::Credentials(_)) => 'K',
        Step::Ask(Ask::Password(_)) => 'P',
        Step::Ask(Ask::Account(_)) => 'A',
        Step::Success { .. } => 'S',
        Step::Failure(failure) => match failure.condition {
            Condition::Aborted => 'a',
            Condition::InvalidAuthzid => 'z',
            Condition::InvalidMechanism => 'i',
            Condition::MalformedRequest => 'm',
            Condition::NotAuthorized => 'n',
            Condition::TemporaryAuthFailure => 't',
            other => panic!("{other}"),
        },
    }
}

/// The way of a good client: what leads from each state to the next.
type Way<'a> = &'a [Input<'a>];

/// Takes a fresh machine `steps` along the way.
fn reach(way: Way<'_>, steps: usize) -> Negotiation {
    let mut server = server(&unbound());
    for input in &way[..steps] {
        let step = server.handle(input.clone());
        assert!(!matches!(step, Step::Failure(_)), "{step:?}");
    }
    server
}

/// A column of the table: what each input, in the order of the rows, leads to after `steps` along the way.
fn column(way: Way<'_>, steps: usize, mechanism: &str, good: &[u8]) -> String {
    let long = vec![b'a'; MAX_MESSAGE + 1];
    let auth = |initial| Input::Auth { mechanism, initial };
    let rows = [
        Input::Auth {
            mechanism: "X-NO-SUCH",
            initial: None,
        },
        auth(None),
        auth(Some(good)),
        auth(Some(b"")),
        auth(Some(b"\xff\xfe")),
        auth(Some(&long)),
        Input::Response(good),
        Input::Response(b""),
        Input::Response(b"\xff\xfe"),
        Input::Response(&long),
        Input::Abort,
        Input::Answer(Answer::Credentials(Some(JULIET.clone()))),
        Input::Answer(Answer::Credentials(None)),
        Input::Answer(Answer::Password(true)),
        Input::Answer(Answer::Password(false)),
        Input::Answer(Answer::Account(true)),
        Input::Answer(Answer::Account(false)),
        Input::Answer(Answer::Unavailable),
    ];
    let mut column = String::new();
    for row in rows {
        if matches!(column.len(), 6 | 11 | 13) {
            column.push(' ');
        }
        let mut server = reach(way, steps);
        let step = server.handle(row);
        column.push(letter(&step));
        // Whatever ended the exchange ended it for good: the good client's own way is closed too.
        if matches!(step, Step::Success { .. } | Step::Failure(_)) {
            for input in way {
                assert!(matches!(server.handle(input.clone()), Step::Failure(_)));
            }
        }
    }
    column
}

// The inputs, from left to right, in four groups: <auth/> with an unknown mechanism, with ours and no, a good, an empty,
// a garbled, a too long initial response; <response/> good, empty, garbled, too long; <abort/>; answers: credentials, none,
// password right, wrong, account there, not there, store unavailable. The letters are those of `letter`.

#[test]
fn every_input_in_every_state_of_plain() {
    let good = b"\0juliet\0r0m30myr0m30";
    let way = [
        Input::Auth {
            mechanism: "PLAIN",
            initial: None,
        },
        Input::Response(good),
        credentials(),
        Input::Answer(Answer::Password(true)),
    ];
    let column = |steps| column(&way, steps, "PLAIN", good);
    for (steps, state, row) in [
        (0, "at the start", "ieKmmm mmmm a ttttttt"),
        (1, "challenged", "mmmmmm Kmmm a ttttttt"),
        (2, "credentials asked for", "mmmmmm mmmm a PPttttt"),
        (3, "password being checked", "mmmmmm mmmm a ttSnttt"),
        (4, "done", "mmmmmm mmmm m ttttttt"),
    ] {
        assert_eq!(column(steps), row, "{state}");
    }
}

#[test]
fn every_input_in_every_state_of_scram() {
    for hash in Hash::ALL {
        let mut client = Client::scram(scram(hash, PASSWORD));
        let name = client.mechanism().name();
        let first = client.initial();
        let way = [
            Input::Auth {
                mechanism: name,
                initial: None,
            },
            Input::Response(&first),
            credentials(),
        ];
        let mut server = server(&unbound());
        let [_, _, step] = way.each_ref().map(|input| server.handle(input.clone()));
        let last = client.challenge(&challenge(step)).unwrap();
        let [auth, response, found] = way;
        let way = [auth, response, found, Input::Response(&last)];

        let column = |steps, good| column(&way, steps, name, good);
        for (steps, good, state, row) in [
            (0, &first, "at the start", "ieKmmm mmmm a ttttttt"),
            (1, &first, "challenged", "mmmmmm Kmmm a ttttttt"),
            (2, &last, "asked", "mmmmmm mmmm a CCttttt"),
            (3, &last, "answered", "mmmmmm Smmm a ttttttt"),
            (3, &first, "first again", "mmmmmm mmmm a ttttttt"),
            (4, &last, "done", "mmmmmm mmmm m ttttttt"),
        ] {
            assert_eq!(column(steps, good), row, "{state}");
        }
    }
}

#[test]
fn every_input_in_every_state_of_external() {
    let good = b"juliet@example.com";
    let way = [
        Input::Auth {
            mechanism: "EXTERNAL",
            initial: None,
        },
        Input::Response(good),
        Input::Answer(Answer::Account(true)),
    ];
    let column = |steps| column(&way, steps, "EXTERNAL", good);
    // An empty message is a good one here: the certificate has one address only.
    for (steps, state, row) in [
        (0, "at the start", "ieAAmm mmmm a ttttttt"),
        (1, "challenged", "mmmmmm AAmm a ttttttt"),
        (2, "account asked for", "mmmmmm mmmm a ttttSnt"),
        (3, "done", "mmmmmm mmmm m ttttttt"),
    ] {
        assert_eq!(column(steps), row, "{state}");
    }
}

#[test]
fn every_input_in_every_state_of_anonymous() {
    let way = [
        Input::Auth {
            mechanism: "ANONYMOUS",
            initial: None,
        },
        Input::Response(b"sirhc"),
    ];
    let column = |steps| column(&way, steps, "ANONYMOUS", b"sirhc");
    for (steps, state, row) in [
        (0, "at the start", "ieSSmm mmmm a ttttttt"),
        (1, "challenged", "mmmmmm SSmm a ttttttt"),
        (2, "done", "mmmmmm mmmm m ttttttt"),
    ] {
        assert_eq!(column(steps), row, "{state}");
    }
}
