//! The machine as a whole. Here is the stage: a server whose store knows Juliet, and a channel with everything.

mod attackers;
mod client;
mod offers;
mod scram;
mod simple;
mod states;
mod vectors;

use std::sync::LazyLock;

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

/// The answer when a machine asks for Juliet's.
fn credentials() -> Input<'static> {
    Input::Answer(Answer::Credentials(Some(JULIET.clone())))
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
