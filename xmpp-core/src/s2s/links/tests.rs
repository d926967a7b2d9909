//! What the manager does, one behaviour at a time; and [a world](world) in which it does all at once.

mod world;

use std::time::Duration;

use super::{Input, Limits, Output};
use crate::BareJid;
use crate::s2s::{self, Pair};
use crate::stream;
use world::{Fault, World};

fn domain(name: &str) -> BareJid {
    name.parse().unwrap()
}

/// Small, so that they are met.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.pair.stanzas = 40;
    limits.pair.bytes = 8 << 10;
    limits.domain.stanzas = 60;
    limits.window = 1000;
    limits.outgoing = 5;
    limits.outgoing_domain = 2;
    limits.incoming = 6;
    limits.incoming_domain = 2;
    limits.stable = Duration::from_secs(5);
    limits
}

fn short(pair: &Pair) -> String {
    let label = |domain: &BareJid| {
        domain
            .as_str()
            .split('.')
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    format!("{}>{}", label(pair.from()), label(pair.to()))
}

fn stanza(envelope: &crate::mailbox::Envelope) -> String {
    let stanza = &envelope.stanza;
    let label = |jid: Option<&crate::Jid>| {
        let jid = jid.map(|jid| jid.domain().to_owned()).unwrap_or_default();
        jid.split('.').next().unwrap_or_default().to_owned()
    };
    let id = stanza.id().unwrap_or_default();
    format!("{}>{} {id}", label(stanza.from()), label(stanza.to()))
}

fn shown_input(input: &Input) -> String {
    match input {
        Input::Send(envelope) => format!("send {}", stanza(envelope)),
        Input::Stream(link, output) => format!("{link}: {}", shown_stream(output)),
        Input::Ended(link, ended) => {
            let returned: Vec<_> = ended.returned.iter().map(stanza).collect();
            format!("{link} ended {}", returned.join(", "))
        }
        Input::Lost(link, envelope) => format!("{link} lost {}", stanza(envelope)),
        other => format!("{other:?}"),
    }
}

fn shown_stream(output: &s2s::Output) -> String {
    match output {
        s2s::Output::Accepted(pair) => format!("accepted {}", short(pair)),
        s2s::Output::Granted(pair) => format!("granted {}", short(pair)),
        s2s::Output::Refused(pair, why) => format!("refused {} {why:?}", short(pair)),
        s2s::Output::Unsent(envelope) => format!("unsent {}", stanza(envelope)),
        s2s::Output::Session(session) => {
            let sent: Vec<_> = session
                .queue
                .iter()
                .map(|sent| stanza(&sent.envelope))
                .collect();
            format!("session {} {}", session.id, sent.join(", "))
        }
        s2s::Output::Ask(ask) => format!("ask {ask:?}"),
        s2s::Output::Verified(verify, verdict) => {
            format!("verified {} {verdict:?}", short(&verify.pair))
        }
        other => format!("{other:?}"),
    }
}

/// An output, in a few words.
fn shown(output: &Output) -> String {
    match output {
        Output::Dial(link, pair) => format!("dial {link} {}", short(pair)),
        Output::Return(envelope, why) => format!("return {} {}", stanza(envelope), why.name()),
        Output::Event(event) => format!("{event:?}"),
        Output::Stream(link, input) => {
            let what = match input {
                stream::Input::Send(envelope) => stanza(envelope),
                stream::Input::Close(error) => match error {
                    Some(error) => format!("close {:?}", error.condition),
                    None => "close".into(),
                },
                stream::Input::S2s(s2s::Input::Request(pair)) => format!("request {}", short(pair)),
                stream::Input::S2s(s2s::Input::Verify(verify)) => {
                    format!("verify {}", short(&verify.pair))
                }
                stream::Input::S2s(s2s::Input::Verified(verify, verdict)) => {
                    format!("verified {} {verdict:?}", short(&verify.pair))
                }
                stream::Input::S2s(s2s::Input::Session(s2s::Found::Session(session))) => {
                    format!("session {}", session.id)
                }
                stream::Input::S2s(s2s::Input::Open) => "open".into(),
                other => format!("{other:?}"),
            };
            format!("{link}: {what}")
        }
    }
}

#[test]
fn whatever_happens_each_stanza_has_one_end_and_pairs_keep_their_order() {
    let mut resumed = 0;
    for seed in 0..80 {
        let mut world = World::new(seed, None);
        world.run(600);
        resumed += world.resumed;
        if !world.wrong.is_empty() {
            let path = std::env::temp_dir().join("links.log");
            std::fs::write(&path, world.log.join("\n")).unwrap();
            panic!(
                "seed {seed}: {:#?}",
                &world.wrong[..world.wrong.len().min(8)]
            );
        }
    }
    assert!(resumed > 20, "{resumed} pairs went on with a session");
}

#[test]
fn the_world_notices_what_is_done_wrong() {
    for fault in [
        Fault::DropsOne,
        Fault::Swaps,
        Fault::ForgetsReturned,
        Fault::ReturnsBackwards,
        Fault::Doubles,
        Fault::DropsSession,
    ] {
        let red = (0..80).any(|seed| {
            let mut world = World::new(seed, Some(fault));
            world.run(600);
            !world.wrong.is_empty()
        });
        assert!(red, "{fault:?} is not noticed");
    }
}
