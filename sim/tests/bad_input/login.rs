//! Logins by those who do not know the password.

use std::net::Ipv4Addr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sim::client::Client;
use sim::link::{End, Line};
use sim::world::PASSWORD;
use sim::xml::Tree;
use sim::{World, run};
use tokio::time::{Instant, timeout};
use xmpp_core::io::{DriverConfig, Security};
use xmpp_core::sasl::client::{self as sasl, Scram};
use xmpp_core::sasl::{Hash, NONCE_LEN, Nonce};

use super::{Bystanders, end};

pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";

fn scram(user: &str, password: &str) -> sasl::Client {
    let nonce = Nonce::from([7; NONCE_LEN]);
    sasl::Client::scram(Scram::new(Hash::Sha256, user, password, nonce))
}

async fn auth(client: &mut Client<End>, mechanism: &str, message: &str) -> Tree {
    let auth = format!("<auth xmlns='{SASL}' mechanism='{mechanism}'>{message}</auth>");
    client.send(auth).await.unwrap();
    client.element().await.unwrap()
}

async fn respond(client: &mut Client<End>, message: &str) -> Tree {
    let response = format!("<response xmlns='{SASL}'>{message}</response>");
    client.send(response).await.unwrap();
    client.element().await.unwrap()
}

fn failure(element: &Tree) -> Option<&str> {
    let condition = element
        .is("failure", SASL)
        .then(|| element.children().next())?;
    condition.map(|condition| condition.name.as_str())
}

/// RFC 5802 §9: "the nonce … protects against replay".
#[test]
fn a_login_that_was_overheard_is_of_no_use() {
    run(async {
        let world = World::new(0);
        let mut bystanders = Bystanders::new(&world).await;
        let mut victim = world.client();
        victim.greet("example.org").await.unwrap();
        let mut sasl = scram("romeo", PASSWORD);
        let first = BASE64.encode(sasl.initial());
        let challenge = auth(&mut victim, "SCRAM-SHA-256", &first).await;
        let last = sasl
            .challenge(&BASE64.decode(challenge.text()).unwrap())
            .unwrap();
        let last = BASE64.encode(last);
        assert!(respond(&mut victim, &last).await.is("success", SASL));

        // The same words again, on another connection.
        let mut thief = world.client();
        thief.greet("example.org").await.unwrap();
        let other = auth(&mut thief, "SCRAM-SHA-256", &first).await;
        assert!(other.is("challenge", SASL) && other.text() != challenge.text());
        let reply = bystanders.chat_while(respond(&mut thief, &last)).await;
        assert_eq!(failure(&reply), Some("not-authorized"));
    });
}

/// Guesses cost more and more time (100 ms, doubled each time, up to 10 s), and some of
/// them the stream. The owner does not wait.
#[test]
fn guesses_are_slowed_but_the_owner_is_not() {
    run(async {
        let world = World::new(0);
        let mut bystanders = Bystanders::new(&world).await;
        let victim = world.account("mercutio").await;
        let start = Instant::now();
        let mut waits = Vec::new();
        for round in 0..3 {
            let mut thief = world.client();
            thief.greet("example.org").await.unwrap();
            for guess in 0..world.server.config().login_attempts {
                let before = Instant::now();
                let message = BASE64.encode(format!("\0mercutio\0guess{round}{guess}"));
                let reply = auth(&mut thief, "PLAIN", &message).await;
                assert_eq!(failure(&reply), Some("not-authorized"));
                waits.push(before.elapsed());
            }
            // RFC 6120 §6.4.5: "SHOULD be <policy-violation/>"
            assert_eq!(end(&mut thief).await, "policy-violation");
            bystanders.chat().await;
        }
        let at_least = |ms| Duration::from_millis(ms);
        assert!(
            waits[0] >= at_least(100) && waits[0] < at_least(200),
            "{waits:?}"
        );
        assert!(waits[waits.len() - 1] >= at_least(9_900), "{waits:?}");
        assert!(
            start.elapsed() > Duration::from_secs(40),
            "{:?}",
            start.elapsed()
        );

        let before = Instant::now();
        let mut owner = world.client();
        owner.login(&victim, None, &mut world.rng()).await.unwrap();
        assert!(before.elapsed() < at_least(10));
    });
}

/// Whoever has failed often does not begin many logins, to finish them all at one moment. A
/// SCRAM proof is checked without another question.
#[test]
fn a_guesser_has_few_logins_under_way() {
    const MANY: usize = 50;
    run(async {
        let world = World::new(0);
        let victim = world.account("mercutio").await;
        let pending = DriverConfig::default().throttle.pending as usize;
        let connect = |last| {
            let peer = Some(Ipv4Addr::new(192, 0, 2, last).into());
            let line = Line::perfect;
            Client::new(world.connect_as(peer, Security::Plain, line(), line()))
        };
        let mut clients = Vec::new();
        let first = BASE64.encode(scram("mercutio", "guess").initial());
        for guess in 0..MANY {
            let mut thief = connect(1);
            thief.greet("example.org").await.unwrap();
            if guess < pending {
                let message = BASE64.encode("\0mercutio\0guess");
                let reply = auth(&mut thief, "PLAIN", &message).await;
                assert_eq!(failure(&reply), Some("not-authorized"));
            }
            clients.push(thief);
        }
        let mut challenged = 0;
        for thief in &mut clients {
            let challenge = auth(thief, "SCRAM-SHA-256", &first);
            let challenge = timeout(Duration::from_millis(50), challenge).await;
            challenged += usize::from(challenge.is_ok());
        }
        assert_eq!(challenged, pending);
        // Who comes from elsewhere is not held up.
        let before = Instant::now();
        let mut owner = connect(2);
        owner.login(&victim, None, &mut world.rng()).await.unwrap();
        assert!(before.elapsed() < Duration::from_millis(10));
    });
}

/// An account that does not exist is told from one that does by nothing: the same
/// challenge each time, the same rounds, the same failure.
#[test]
fn nobody_finds_out_who_has_an_account() {
    run(async {
        let world = World::new(0);
        world.account("romeo").await;
        let mut shapes = Vec::new();
        for user in ["romeo", "nobody", "nobody"] {
            let mut client = world.client();
            client.greet("example.org").await.unwrap();
            let mut sasl = scram(user, "guess");
            let first = BASE64.encode(sasl.initial());
            let challenge = auth(&mut client, "SCRAM-SHA-256", &first).await;
            let challenge = BASE64.decode(challenge.text()).unwrap();
            let last = BASE64.encode(sasl.challenge(&challenge).unwrap());
            let reply = respond(&mut client, &last).await;
            let text = String::from_utf8(challenge).unwrap();
            let (_, salt) = text.split_once(",s=").unwrap();
            shapes.push((reply.to_string(), salt.to_owned(), salt.len()));
        }
        let [known, unknown, again] = &shapes[..] else {
            unreachable!()
        };
        assert_eq!((&known.0, known.2), (&unknown.0, unknown.2));
        assert_eq!(unknown.1, again.1, "a salt that changes tells the truth");
    });
}

/// Messages that no client would send: each has its failure (RFC 6120 §6.5).
#[test]
fn nonsense_is_told_what_it_is() {
    let long = BASE64.encode("n,,n=romeo,r=".to_owned() + &"x".repeat(6000));
    let cases = [
        ("SCRAM-SHA-256", "=".to_owned(), "malformed-request"),
        ("SCRAM-SHA-256", "?".to_owned(), "incorrect-encoding"),
        (
            "SCRAM-SHA-256",
            BASE64.encode("n,,n=romeo"),
            "malformed-request",
        ),
        (
            "SCRAM-SHA-256",
            BASE64.encode("p=tls-unique,,n=romeo,r=abc"),
            "malformed-request",
        ),
        (
            "SCRAM-SHA-256",
            BASE64.encode("n,a=juliet@example.org,n=romeo,r=abc"),
            "invalid-authzid",
        ),
        ("SCRAM-SHA-256", long, "malformed-request"),
        (
            "SCRAM-SHA-256-PLUS",
            BASE64.encode("n,,n=romeo,r=abc"),
            "invalid-mechanism",
        ),
        ("EXTERNAL", "=".to_owned(), "invalid-mechanism"),
        ("ANONYMOUS", "=".to_owned(), "invalid-mechanism"),
        ("PLAIN", BASE64.encode("romeo"), "malformed-request"),
        (
            "PLAIN",
            BASE64.encode("juliet@example.org\0romeo\0r0m30myr0m30"),
            "invalid-authzid",
        ),
    ];
    run(async {
        let world = World::builder(0)
            .configure(|config| config.login_attempts = 1000)
            .build();
        world.account("romeo").await;
        let mut client = world.client();
        client.greet("example.org").await.unwrap();
        for (mechanism, message, expected) in cases {
            let reply = auth(&mut client, mechanism, &message).await;
            assert_eq!(failure(&reply), Some(expected), "{mechanism} {message:.60}");
        }
    });
}
