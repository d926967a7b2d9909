//! The machine as a whole: the RFCs' own examples, every state with every input, and attackers.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::client::{Binding, Client, Scram};
use super::hash::count;
use super::*;

const PASSWORD: &str = "r0m30myr0m30";

/// What a store holds for Juliet.
static JULIET: LazyLock<Credentials> = LazyLock::new(|| {
    let mut next = 0;
    Credentials::derive(PASSWORD, MIN_ITERATIONS, || {
        next += 1;
        [next; SALT_LEN]
    })
    .unwrap()
});

fn policy() -> Policy {
    let mut policy = Policy::new(Secret::from([7; 32]));
    policy.mechanisms = Mechanism::ALL.to_vec();
    policy.iterations = MIN_ITERATIONS;
    policy
}

fn exporter() -> ChannelBinding {
    ChannelBinding::TlsExporter(std::array::from_fn(|at| at as u8))
}

fn end_point() -> ChannelBinding {
    ChannelBinding::TlsServerEndPoint(vec![9; 32])
}

/// A channel with everything there is.
fn channel() -> Channel {
    Channel {
        tls: true,
        bindings: vec![exporter(), end_point()],
        identities: vec!["juliet@example.com".parse().unwrap()],
    }
}

fn domain() -> BareJid {
    "example.com".parse().unwrap()
}

fn offer_on(channel: &Channel) -> Arc<Offer> {
    Offer::to_client(&policy(), &domain(), channel)
}

fn unbound() -> Arc<Offer> {
    offer_on(&Channel {
        bindings: Vec::new(),
        ..channel()
    })
}

fn nonce(text: &str) -> Nonce {
    text.parse().unwrap()
}

fn server(offer: &Arc<Offer>) -> Negotiation {
    Negotiation::new(offer.clone(), nonce("server-nonce"))
}

/// Answers questions as a store with Juliet in it would.
fn answer(ask: Ask) -> Answer {
    let known = |jid: &BareJid| jid.as_str() == "juliet@example.com";
    match ask {
        Ask::Credentials(jid) => Answer::Credentials(known(&jid).then(|| JULIET.clone())),
        Ask::Password(check) => Answer::Password(check.run()),
        Ask::Account(jid) => Answer::Account(known(&jid)),
    }
}

/// Handles an input, and then all questions that follow from it.
fn settle(server: &mut Negotiation, input: Input<'_>) -> Step {
    let mut step = server.handle(input);
    while let Step::Ask(ask) = step {
        step = server.handle(Input::Answer(answer(ask)));
    }
    step
}

fn auth(server: &mut Negotiation, mechanism: &str, message: &[u8]) -> Step {
    let initial = Some(message);
    settle(server, Input::Auth { mechanism, initial })
}

fn challenge(step: Step) -> Vec<u8> {
    match step {
        Step::Challenge(message) => message,
        other => panic!("{other:?}"),
    }
}

fn failure(step: Step) -> Failure {
    match step {
        Step::Failure(failure) => failure,
        other => panic!("{other:?}"),
    }
}

/// Runs a login, letting `tamper` at every message (numbered from 0). The outcome counts only if both sides are content.
fn run(
    server: &mut Negotiation,
    client: &mut Client,
    mut tamper: impl FnMut(usize, &mut Vec<u8>),
) -> Result<Identity, String> {
    let mut sent = 0;
    let mut pass = |mut message: Vec<u8>| {
        tamper(sent, &mut message);
        sent += 1;
        message
    };
    let initial = pass(client.initial());
    let mut step = auth(server, client.mechanism().name(), &initial);
    loop {
        match step {
            Step::Challenge(message) => {
                let response = client
                    .challenge(&pass(message))
                    .map_err(|e| e.to_string())?;
                step = settle(server, Input::Response(&pass(response)));
            }
            Step::Success { identity, data } => {
                let data = data.map(&mut pass);
                client.success(data.as_deref()).map_err(|e| e.to_string())?;
                return Ok(identity);
            }
            Step::Failure(failure) => return Err(failure.to_string()),
            Step::Ask(_) => unreachable!("settled"),
        }
    }
}

fn login(offer: &Arc<Offer>, mut client: Client) -> Result<Identity, String> {
    run(&mut server(offer), &mut client, |_, _| {})
}

fn juliet() -> Result<Identity, String> {
    Ok(Identity::Jid("juliet@example.com".parse().unwrap()))
}

fn scram(hash: Hash, password: &str) -> Scram {
    Scram::new(hash, "juliet", password, nonce("client-nonce"))
}

// ---- The examples of the specifications ----

struct Vector {
    mechanism: Mechanism,
    salt: &'static str,
    /// The nonces of the client and of the server.
    nonces: [&'static str; 2],
    /// The four messages in order.
    messages: [&'static str; 4],
}

const VECTORS: [Vector; 4] = [
    // RFC 5802 §5
    Vector {
        mechanism: Mechanism::ScramSha1,
        salt: "QSXCR+Q6sek8bf92",
        nonces: ["fyko+d2lbbFgONRv9qkxdawL", "3rfcNHYJY1ZVvWVs7j"],
        messages: [
            "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
            "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        ],
    },
    // RFC 7677 §3
    Vector {
        mechanism: Mechanism::ScramSha256,
        salt: "W22ZaJ0SNY7soEsUEjb6gQ==",
        nonces: ["rOprNGfwEbeRWgbNEkqO", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"],
        messages: [
            "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ],
    },
    // No RFC has one for SHA-512. Computed with Python's hashlib.pbkdf2_hmac and hmac, by a script of the formulas of
    // RFC 5802 §3 that also gives the two above.
    Vector {
        mechanism: Mechanism::ScramSha512,
        salt: "W22ZaJ0SNY7soEsUEjb6gQ==",
        nonces: ["rOprNGfwEbeRWgbNEkqO", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"],
        messages: [
            "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==",
            "v=ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw==",
        ],
    },
    // By the same script: bound to an exporter of the bytes 0 to 31 (RFC 9266).
    Vector {
        mechanism: Mechanism::ScramSha512Plus,
        salt: "W22ZaJ0SNY7soEsUEjb6gQ==",
        nonces: ["rOprNGfwEbeRWgbNEkqO", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"],
        messages: [
            "p=tls-exporter,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "c=cD10bHMtZXhwb3J0ZXIsLAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f,\
             r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=jVaGV/PIJ7hgkpxV9a1jdpzyYkHQH9gW6fn3DbAL2oEA+5w4CCSJjoq8G37bn2FsGaVEMsk4kiHRqMUoN/aiiA==",
            "v=bTvxua5nsJsvSd2bk+1WbSe84MBgjkACQPOqiN7MhTBLYxVX2QUqwET2NLcZEv2CfexR6NbAMluKltOEs5vLYw==",
        ],
    },
];

#[test]
fn the_server_speaks_as_the_rfcs_examples_do() {
    for Vector {
        mechanism,
        salt,
        nonces,
        messages,
    } in &VECTORS
    {
        let hash = mechanism.hash().unwrap();
        let keys = Keys::derive(hash, "pencil", 4096, &decode(salt).unwrap()).unwrap();
        let mut server = Negotiation::new(offer_on(&channel()), nonce(nonces[1]));

        let initial = Some(messages[0].as_bytes());
        let step = server.handle(Input::Auth {
            mechanism: mechanism.name(),
            initial,
        });
        let Step::Ask(Ask::Credentials(account)) = step else {
            panic!("{step:?}")
        };
        assert_eq!(account.as_str(), "user@example.com");

        let found = Answer::Credentials(Some([keys].into_iter().collect()));
        let first = challenge(server.handle(Input::Answer(found)));
        assert_eq!(str::from_utf8(&first), Ok(messages[1]));

        let step = server.handle(Input::Response(messages[2].as_bytes()));
        let Step::Success {
            identity,
            data: Some(data),
        } = step
        else {
            panic!("{step:?}")
        };
        assert_eq!(identity, Identity::Jid(account));
        assert_eq!(str::from_utf8(&data), Ok(messages[3]));
    }
}

#[test]
fn the_client_speaks_as_the_rfcs_examples_do() {
    for Vector {
        mechanism,
        nonces,
        messages,
        ..
    } in &VECTORS
    {
        let mut scram = Scram::new(
            mechanism.hash().unwrap(),
            "user",
            "pencil",
            nonce(nonces[0]),
        );
        if mechanism.is_plus() {
            scram = scram.binding(Binding::Channel(exporter()));
        }
        let mut client = Client::scram(scram);
        assert_eq!(client.mechanism(), *mechanism);
        assert_eq!(client.initial(), messages[0].as_bytes());
        let last = client.challenge(messages[1].as_bytes()).unwrap();
        assert_eq!(str::from_utf8(&last), Ok(messages[2]));
        assert_eq!(client.success(Some(messages[3].as_bytes())), Ok(()));
    }
}

// ---- Every state with every input ----

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

fn copy<'a>(input: &Input<'a>) -> Input<'a> {
    match input {
        Input::Auth { mechanism, initial } => Input::Auth {
            mechanism,
            initial: *initial,
        },
        Input::Response(message) => Input::Response(message),
        Input::Abort => Input::Abort,
        Input::Answer(answer) => Input::Answer(answer.clone()),
    }
}

/// Takes a fresh machine `steps` along the way.
fn reach(way: Way<'_>, steps: usize) -> Negotiation {
    let mut server = server(&unbound());
    for input in &way[..steps] {
        let step = server.handle(copy(input));
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
        let mut server = reach(way, steps);
        let step = server.handle(row);
        column.push(letter(&step));
        // Whatever ended the exchange ended it for good: the good client's own way is closed too.
        if matches!(step, Step::Success { .. } | Step::Failure(_)) {
            for input in way {
                assert!(matches!(server.handle(copy(input)), Step::Failure(_)));
            }
        }
    }
    column
}

fn credentials() -> Input<'static> {
    Input::Answer(Answer::Credentials(Some(JULIET.clone())))
}

// The rows, from left to right: <auth/> with an unknown mechanism | with ours and no, a good, an empty, a garbled, a too long
// initial response | <response/> good, empty, garbled, too long | <abort/> | answers: credentials, none, password right,
// wrong, account, none, store unavailable.

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
    assert_eq!(
        column(0),
        "ieKmmm".to_owned() + "mmmm" + "a" + "ttttttt",
        "at the start"
    );
    assert_eq!(
        column(1),
        "mmmmmm".to_owned() + "Kmmm" + "a" + "ttttttt",
        "challenged"
    );
    assert_eq!(
        column(2),
        "mmmmmm".to_owned() + "mmmm" + "a" + "PPttttt",
        "credentials asked for"
    );
    assert_eq!(
        column(3),
        "mmmmmm".to_owned() + "mmmm" + "a" + "ttSnttt",
        "password being checked"
    );
    assert_eq!(
        column(4),
        "mmmmmm".to_owned() + "mmmm" + "m" + "ttttttt",
        "done"
    );
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
        let [_, _, step] = way.each_ref().map(|input| server.handle(copy(input)));
        let last = client.challenge(&challenge(step)).unwrap();
        let [auth, response, found] = way;
        let way = [auth, response, found, Input::Response(&last)];

        let column = |steps, good| column(&way, steps, name, good);
        assert_eq!(
            column(0, &first),
            "ieKmmm".to_owned() + "mmmm" + "a" + "ttttttt",
            "at the start"
        );
        assert_eq!(
            column(1, &first),
            "mmmmmm".to_owned() + "Kmmm" + "a" + "ttttttt",
            "challenged"
        );
        assert_eq!(
            column(2, &last),
            "mmmmmm".to_owned() + "mmmm" + "a" + "CCttttt",
            "asked"
        );
        assert_eq!(
            column(3, &last),
            "mmmmmm".to_owned() + "Smmm" + "a" + "ttttttt",
            "answered"
        );
        assert_eq!(
            column(3, &first),
            "mmmmmm".to_owned() + "mmmm" + "a" + "ttttttt",
            "first again"
        );
        assert_eq!(
            column(4, &last),
            "mmmmmm".to_owned() + "mmmm" + "m" + "ttttttt",
            "done"
        );
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
    assert_eq!(
        column(0),
        "ieAAmm".to_owned() + "mmmm" + "a" + "ttttttt",
        "at the start"
    );
    assert_eq!(
        column(1),
        "mmmmmm".to_owned() + "AAmm" + "a" + "ttttttt",
        "challenged"
    );
    assert_eq!(
        column(2),
        "mmmmmm".to_owned() + "mmmm" + "a" + "ttttSnt",
        "account asked for"
    );
    assert_eq!(
        column(3),
        "mmmmmm".to_owned() + "mmmm" + "m" + "ttttttt",
        "done"
    );
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
    assert_eq!(
        column(0),
        "ieSSmm".to_owned() + "mmmm" + "a" + "ttttttt",
        "at the start"
    );
    assert_eq!(
        column(1),
        "mmmmmm".to_owned() + "SSmm" + "a" + "ttttttt",
        "challenged"
    );
    assert_eq!(
        column(2),
        "mmmmmm".to_owned() + "mmmm" + "m" + "ttttttt",
        "done"
    );
}

// ---- Offers ----

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

// ---- PLAIN ----

#[test]
fn plain_takes_exactly_its_three_parts() {
    // RFC 4616 §2
    for (message, expected) in [
        (&b"\0juliet\0r0m30myr0m30"[..], None),
        (b"juliet@example.com\0juliet\0r0m30myr0m30", None),
        (b"JULIET@Example.COM\0Juliet\0r0m30myr0m30", None),
        (b"\0juliet\0wrong", Some(Condition::NotAuthorized)),
        (b"\0romeo\0r0m30myr0m30", Some(Condition::NotAuthorized)),
        (b"\0jul iet\0r0m30myr0m30", Some(Condition::NotAuthorized)),
        (
            b"\0juliet@example.com\0r0m30myr0m30",
            Some(Condition::NotAuthorized),
        ),
        (
            b"juliet\0juliet\0r0m30myr0m30",
            Some(Condition::InvalidAuthzid),
        ),
        (
            b"romeo@example.com\0juliet\0r0m30myr0m30",
            Some(Condition::InvalidAuthzid),
        ),
        (
            b"juliet@example.net\0juliet\0r0m30myr0m30",
            Some(Condition::InvalidAuthzid),
        ),
        (
            b"juliet@example.com/balcony\0juliet\0r0m30myr0m30",
            Some(Condition::InvalidAuthzid),
        ),
        (b"@\0juliet\0r0m30myr0m30", Some(Condition::InvalidAuthzid)),
        (b"juliet\0r0m30myr0m30", Some(Condition::MalformedRequest)),
        (
            b"\0juliet\0r0m30myr0m30\0",
            Some(Condition::MalformedRequest),
        ),
        (b"\0\0r0m30myr0m30", Some(Condition::MalformedRequest)),
        (b"\0juliet\0", Some(Condition::MalformedRequest)),
        (b"\0juliet\0\xff", Some(Condition::MalformedRequest)),
        (b"", Some(Condition::MalformedRequest)),
    ] {
        let text = String::from_utf8_lossy(message).replace('\0', "|");
        match auth(&mut server(&unbound()), "PLAIN", message) {
            Step::Success {
                identity,
                data: None,
            } => assert_eq!((Ok(identity), None), (juliet(), expected), "{text}"),
            step => assert_eq!(Some(failure(step).condition), expected, "{text}"),
        }
    }
}

#[test]
fn plain_takes_parts_of_255_octets() {
    // RFC 4616 §2, of each of the three: "MUST accept up to 255 octets".
    let [user, password] = ["u".repeat(255), "p".repeat(255)];
    let message = format!("{user}@example.com\0{user}\0{password}");
    let initial = Some(message.as_bytes());
    let step = server(&unbound()).handle(Input::Auth {
        mechanism: "PLAIN",
        initial,
    });
    assert!(matches!(step, Step::Ask(Ask::Credentials(jid)) if jid.local() == Some(&user)));
}

// ---- EXTERNAL ----

fn certificate(identities: &[&str]) -> Channel {
    Channel {
        identities: identities.iter().map(|jid| jid.parse().unwrap()).collect(),
        ..channel()
    }
}

#[test]
fn a_certificate_lets_in_whom_it_names() {
    // XEP-0178 §2
    let invalid = || Err("invalid-authzid".to_owned());
    let one = offer_on(&certificate(&["juliet@example.com", "Juliet@example.com"]));
    assert_eq!(login(&one, Client::external("")), juliet());
    assert_eq!(
        login(&one, Client::external("juliet@example.com")),
        juliet()
    );
    assert_eq!(
        login(&one, Client::external("romeo@example.com")),
        invalid()
    );
    assert_eq!(login(&one, Client::external("not a jid@")), invalid());

    let two = offer_on(&certificate(&["romeo@example.com", "juliet@example.com"]));
    assert_eq!(
        login(&two, Client::external("juliet@example.com")),
        juliet()
    );
    // §2: "If no authorization identity is included, then the server SHOULD return a SASL failure case of
    // <invalid-authzid/>".
    assert_eq!(login(&two, Client::external("")), invalid());
    // There is no such account any more.
    let gone = Err("not-authorized".to_owned());
    assert_eq!(login(&two, Client::external("romeo@example.com")), gone);
}

#[test]
fn a_certificate_for_others_is_no_ground_to_offer_external() {
    for identities in [
        &[][..],
        &["juliet@example.net"],
        &["example.com"],
        &["other.example"],
    ] {
        let offer = offer_on(&certificate(identities));
        assert!(
            !offer.mechanisms().contains(&Mechanism::External),
            "{identities:?}"
        );
    }
    let offer = offer_on(&certificate(&["juliet@example.net", "juliet@example.com"]));
    assert_eq!(login(&offer, Client::external("")), juliet());
}

#[test]
fn a_server_is_known_by_its_domain() {
    // XEP-0178 §3
    let channel = certificate(&["example.net", "juliet@example.net"]);
    let offer = Offer::to_server(&policy(), &domain(), &channel);
    assert_eq!(offer.mechanisms(), [Mechanism::External]);
    let expected = Ok(Identity::Jid("example.net".parse().unwrap()));
    assert_eq!(login(&offer, Client::external("")), expected);
    assert_eq!(login(&offer, Client::external("example.net")), expected);
    let invalid = Err("invalid-authzid".to_owned());
    assert_eq!(login(&offer, Client::external("example.org")), invalid);
    let none = Offer::to_server(&policy(), &domain(), &certificate(&["juliet@example.net"]));
    assert!(none.mechanisms().is_empty());
}

// ---- ANONYMOUS ----

#[test]
fn anybody_may_be_nobody_where_that_is_on() {
    // RFC 4505 §2
    assert_eq!(
        login(&unbound(), Client::anonymous()),
        Ok(Identity::Anonymous)
    );
    let anonymous = |trace: &str| auth(&mut server(&unbound()), "ANONYMOUS", trace.as_bytes());
    assert!(matches!(anonymous(&"é".repeat(255)), Step::Success { .. }));
    for trace in ["e".repeat(256), "a\0b".to_owned(), "a\n".to_owned()] {
        assert_eq!(
            failure(anonymous(&trace)).condition,
            Condition::MalformedRequest
        );
    }
}

// ---- SCRAM ----

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
    let theirs = ChannelBinding::TlsExporter([1; 32]);
    let client = Client::scram(scram(Hash::Sha256, PASSWORD).binding(Binding::Channel(theirs)));
    let mut refused = None;
    let mut server = server(&offer_on(&channel()));
    let mut client = client;
    let first = challenge(auth(&mut server, "SCRAM-SHA-256-PLUS", &client.initial()));
    let last = client.challenge(&first).unwrap();
    if let Step::Failure(failure) = server.handle(Input::Response(&last)) {
        refused = failure.text;
    }
    assert_eq!(refused, Some("channel-bindings-dont-match"));
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

// ---- The client ----

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
    assert_eq!(early.success(None), Err(client::Error::Signature));
}

#[test]
fn a_client_refuses_challenges_that_ask_too_little_or_too_much() {
    use client::Error;
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
    assert_eq!(client.success(Some(&data)), Err(client::Error::OutOfTurn));
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
    assert_eq!(client.challenge(b"?"), Err(client::Error::OutOfTurn));
    assert_eq!(client.success(Some(b"?")), Err(client::Error::OutOfTurn));
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

// ---- Attackers ----

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
