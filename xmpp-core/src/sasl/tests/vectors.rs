//! The examples of the RFCs, spoken by both sides.

use super::*;

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
