//! What the manager does, one behaviour at a time; and [a world](world) in which it does all at once.

mod bounds;
mod last_word;
mod session;
mod table;
mod verify;
mod way;
mod world;

use std::sync::Arc;
use std::time::Duration;

use super::{Ended, Input, Limits, LinkId, Links, Output};
use crate::BareJid;
use crate::machine::Machine as _;
use crate::mailbox::{Budget, Envelope};
use crate::s2s::{self, Pair, Refusal};
use crate::server::Random;
use crate::stanza::{Condition, Stanza};
use crate::stream;
use crate::time::Now;
use world::{Fault, World};

/// A manager by itself; its driver is the test. Chance is always at its most: a pause is as long as it can be.
struct Bench {
    links: Links,
    budget: Arc<Budget>,
    now: Now,
}

struct Most;

impl Random for Most {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(255);
    }
}

const OUT_1: LinkId = LinkId::Out(1);
const OUT_2: LinkId = LinkId::Out(2);
const IN_1: LinkId = LinkId::In(1);
const IN_2: LinkId = LinkId::In(2);

impl Bench {
    fn new(limits: Limits) -> Bench {
        let budget = Arc::new(Budget::new(1 << 20));
        Bench {
            links: Links::new(limits, Arc::new(Most), budget.clone()),
            budget,
            now: crate::s2s::testing::now(),
        }
    }

    /// What comes of it, but for what is told those above.
    fn give(&mut self, input: Input) -> Vec<String> {
        let all = self.give_all(input);
        let is_event = |word: &String| word.contains(" { ") || word.starts_with("Authenticated");
        all.into_iter().filter(|word| !is_event(word)).collect()
    }

    fn give_all(&mut self, input: Input) -> Vec<String> {
        let mut out = Vec::new();
        self.links.handle(input, self.now, &mut out);
        out.iter().map(shown).collect()
    }

    fn send(&mut self, from: &str, to: &str, id: &str) -> Vec<String> {
        self.give(Input::Send(message(from, to, id)))
    }

    fn told(&mut self, link: LinkId, output: s2s::Output) -> Vec<String> {
        self.give(Input::Stream(link, output))
    }

    fn granted(&mut self, link: LinkId, from: &str, to: &str) -> Vec<String> {
        self.told(link, s2s::Output::Granted(pair(from, to)))
    }

    fn accepted(&mut self, link: LinkId, from: &str, to: &str) -> Vec<String> {
        self.told(link, s2s::Output::Accepted(pair(from, to)))
    }

    fn refused(&mut self, link: LinkId, from: &str, to: &str, why: Refusal) -> Vec<String> {
        self.told(link, s2s::Output::Refused(pair(from, to), why))
    }

    /// The connection ends, with this unwritten.
    fn ended(&mut self, link: LinkId, returned: Vec<Envelope>) -> Vec<String> {
        let ended = Ended {
            error: None,
            lost: false,
            returned,
        };
        self.give(Input::Ended(link, ended))
    }

    /// Up to this moment and at it, with what is due.
    fn wait(&mut self, seconds: f64) -> Vec<String> {
        self.now.instant += Duration::from_secs_f64(seconds);
        let mut out = Vec::new();
        self.links.handle_timeout(self.now, &mut out);
        let is_event = |output: &&Output| matches!(output, Output::Event(_));
        out.iter()
            .filter(|output| !is_event(output))
            .map(shown)
            .collect()
    }

    /// A link from a to x, with a stanza on it.
    fn up() -> Bench {
        let mut bench = Bench::new(limits());
        bench.send("a", "x", "1");
        bench.give(Input::Connected(OUT_1));
        assert_eq!(bench.granted(OUT_1, "a", "x"), ["out 1: a>x 1"]);
        bench
    }
}

fn pair(from: &str, to: &str) -> Pair {
    let full = |name: &str| domain(&format!("{name}.example"));
    Pair::new(&full(from), &full(to))
}

/// Of 200 bytes or so.
fn message(from: &str, to: &str, id: &str) -> Envelope {
    let body = "O Romeo, Romeo! wherefore art thou Romeo? Deny thy father";
    let text = format!(
        "<message from='juliet@{from}.example/balcony' to='romeo@{to}.example' id='{id}'><body>{body}</body></message>"
    );
    Stanza::parse(&text).unwrap().into()
}

fn nothing() -> Vec<String> {
    Vec::new()
}

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

fn stanza(envelope: &Envelope) -> String {
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
