//! What the tests of both sides have in common: a machine with the reader in front of it, as a driver has them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{
    Ask, Compression, Input, Known, Output, Pair, Policy, Proof, Settings, Verdict, Verify,
    dialback,
};
use crate::machine::Machine;
use crate::sasl::Channel;
use crate::server::{Random, Timeouts};
use crate::stanza::Stanza;
use crate::stream;
use crate::time::{Now, Timestamp};
use crate::xml::{Limits, Reader};

/// The ID of all streams.
pub(super) const ID: &str = "00000000000000000000000000000000";

struct Zeros;

impl Random for Zeros {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

pub(super) fn settings() -> Settings {
    Settings {
        secret: dialback::Secret::new(b"s3cr3tf0rd14lb4ck"),
        starttls: true,
        timeouts: Timeouts {
            idle: Some(Duration::from_secs(600)),
            ..Timeouts::default()
        },
        limits: super::Limits {
            pairs: 3,
            verifies: 2,
            ..super::Limits::default()
        },
        features: Vec::new(),
        random: Arc::new(Zeros),
    }
}

pub(super) fn now() -> Now {
    #[allow(clippy::disallowed_methods)] // an instant cannot be made of nothing
    let instant = Instant::now();
    Now {
        instant,
        utc: Timestamp(0),
    }
}

pub(super) fn channel(tls: bool) -> Channel {
    Channel {
        tls,
        ..Channel::default()
    }
}

pub(super) fn pair(from: &str, to: &str) -> Pair {
    Pair::new(&from.parse().unwrap(), &to.parse().unwrap())
}

/// Our domain, a certificate that is right or not, and the default policy with this proof.
pub(super) fn known(certified: bool, proof: Proof) -> Known {
    Known {
        ours: true,
        certified,
        policy: Some(Policy {
            proof,
            ..Policy::default()
        }),
        patient: true,
    }
}

pub(super) fn lax(mut known: Known) -> Known {
    known.policy.as_mut().unwrap().tls = false;
    known
}

/// The policy wants compression.
pub(super) fn packed(mut known: Known) -> Known {
    known.policy.as_mut().unwrap().compression = Some(Compression::Zlib);
    known
}

pub(super) fn verify(from: &str, to: &str, id: &str, key: &str) -> Verify {
    Verify {
        pair: pair(from, to),
        id: id.into(),
        key: key.into(),
    }
}

pub(super) struct Bench<M> {
    pub(super) machine: M,
    /// The peer's.
    pub(super) header: &'static str,
    pub(super) reader: Reader,
    pub(super) now: Now,
}

impl<M: Machine<Input = stream::Input, Output = stream::Output>> Bench<M> {
    pub(super) fn new(machine: M, header: &'static str, now: Now) -> Bench<M> {
        Bench {
            machine,
            header,
            reader: Reader::new(Limits::default()),
            now,
        }
    }

    pub(super) fn input(&mut self, input: stream::Input) -> Vec<stream::Output> {
        if matches!(input, stream::Input::Secured(_)) {
            self.reader = Reader::new(Limits::default());
        }
        let mut out = Vec::new();
        self.machine.handle(input, self.now, &mut out);
        let restarts = |output: &stream::Output| {
            matches!(
                output,
                stream::Output::Restart | stream::Output::S2s(Output::Compress(_))
            )
        };
        if out.iter().any(restarts) {
            self.reader.restart();
        }
        out
    }

    pub(super) fn tell(&mut self, input: Input) -> Vec<stream::Output> {
        self.input(stream::Input::S2s(input))
    }

    pub(super) fn receive(&mut self, text: &str) -> Vec<stream::Output> {
        let mut input = text.as_bytes();
        let mut out = Vec::new();
        loop {
            match self.reader.next(&mut input) {
                Ok(Some(received)) => out.extend(self.input(stream::Input::Received(received))),
                Ok(None) => return out,
                Err(error) => {
                    out.extend(self.input(stream::Input::Unreadable(error)));
                    return out;
                }
            }
        }
    }

    /// Something on the first level, whatever the reader of this state expects.
    pub(super) fn element(&mut self, text: &str) -> Vec<stream::Output> {
        let mut reader = Reader::new(Limits::default());
        reader.next(&mut self.header.as_bytes()).unwrap();
        match reader.next(&mut text.as_bytes()) {
            Ok(Some(received)) => self.input(stream::Input::Received(received)),
            Ok(None) => panic!("{text} is not whole"),
            Err(error) => self.input(stream::Input::Unreadable(error)),
        }
    }

    pub(super) fn send(&mut self, from: &str, to: &str) -> Vec<stream::Output> {
        let stanza = Stanza::parse(&format!("<message from='{from}' to='{to}'/>")).unwrap();
        self.input(stream::Input::Send(stanza.into()))
    }

    pub(super) fn wait(&mut self, seconds: u64) -> Vec<stream::Output> {
        self.now.instant += Duration::from_secs(seconds);
        let mut out = Vec::new();
        self.machine.handle_timeout(self.now, &mut out);
        out
    }
}

pub(super) fn words(outputs: &[stream::Output]) -> String {
    outputs.iter().map(word).collect::<Vec<_>>().join(", ")
}

/// What is written.
pub(super) fn text(outputs: &[stream::Output]) -> String {
    let mut bytes = Vec::new();
    for output in outputs {
        match output {
            stream::Output::Write(written) => bytes.extend_from_slice(written),
            stream::Output::Send(envelope) => envelope.stanza.write(&mut bytes),
            _ => {}
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// What an output is, in a word.
fn word(output: &stream::Output) -> String {
    match output {
        stream::Output::Write(bytes) => written(&String::from_utf8_lossy(bytes)),
        stream::Output::Send(_) => "send".into(),
        stream::Output::Deliver(..) => "deliver".into(),
        stream::Output::StartTls(_) => "start TLS".into(),
        stream::Output::Restart => "restart".into(),
        stream::Output::Refuse(_) => "refuse".into(),
        stream::Output::Close(_) => "close".into(),
        stream::Output::S2s(output) => match output {
            Output::Ask(Ask::Pair(pair)) => format!("ask {}", short(pair)),
            Output::Ask(Ask::Stream(pair)) => format!("ask first {}", short(pair)),
            Output::Ask(Ask::Verify(verify)) => format!("ask to verify {}", short(&verify.pair)),
            Output::Accepted(pair) => format!("accepted {}", short(pair)),
            Output::Granted(pair) => format!("granted {}", short(pair)),
            Output::Refused(pair, why) => format!("refused {} {why:?}", short(pair)),
            Output::Verified(_, verdict) => format!("verified {verdict:?}"),
            Output::Unsent(_) => "unsent".into(),
            Output::Bounce(_) => "bounce".into(),
            Output::PeerError(_) => "peer's error".into(),
            Output::Session(_) => "session".into(),
            Output::Denied(_) => "denied".into(),
            Output::Compress(Compression::Zlib) => "pack".into(),
            Output::Ask(Ask::Session(_)) | Output::Ended(_) | Output::Acked(_) => {
                unreachable!("no layer")
            }
        },
        other => unreachable!("{other:?}"),
    }
}

/// The first labels.
fn short(pair: &Pair) -> String {
    let label = |domain: &str| domain.split('.').next().unwrap_or_default().to_owned();
    let (from, to) = (label(pair.from().as_str()), label(pair.to().as_str()));
    format!("{from}>{to}")
}

fn written(text: &str) -> String {
    if text.starts_with("<?xml") {
        return "header".into();
    }
    if text.starts_with("<stream:features>") {
        return "features".into();
    }
    if let Some(error) = text.strip_prefix("<stream:error><") {
        return error.split(' ').next().unwrap_or_default().to_uppercase();
    }
    match text {
        "</stream:stream>" => return "footer".into(),
        " " => return "space".into(),
        _ => {}
    }
    let elements: Vec<_> = text
        .split('<')
        .skip(1)
        .filter(|element| !element.starts_with('/'))
        .map(|element| element.split([' ', '/', '>']).next().unwrap_or_default())
        .collect();
    let kind = text.split(" type='").nth(1);
    let kind = kind.and_then(|rest| rest.split('\'').next());
    let last = elements.last().filter(|_| elements.len() > 1);
    match (kind, last) {
        (Some("error"), Some(last)) => format!("{} {last}", elements[0]),
        (Some(kind), _) => format!("{} {kind}", elements[0]),
        (None, Some(last)) => format!("{} {last}", elements[0]),
        (None, None) => elements[0].to_owned(),
    }
}

/// Something that happens, under its name.
pub(super) type Event<M> = (&'static str, fn(&mut Bench<M>) -> Vec<stream::Output>);

/// What happens to both sides alike.
pub(super) fn common<M: Machine<Input = stream::Input, Output = stream::Output>>() -> Vec<Event<M>>
{
    vec![
        ("header", |b| {
            b.reader.restart();
            b.receive(b.header)
        }),
        ("white space", |b| b.element(" ")),
        ("unknown nonza", |b| b.element("<x xmlns='urn:example'/>")),
        ("peer's error", |b| {
            b.element(
                "<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
            )
        }),
        ("bad XML", |b| b.element("<a b=c/>")),
        ("footer", |b| b.element("</stream:stream>")),
        ("end of bytes", |b| b.input(stream::Input::Eof)),
        ("injected", |b| b.input(stream::Input::Injected)),
        ("secured", |b| {
            b.input(stream::Input::Secured(channel(true)))
        }),
        ("open", |b| b.tell(Input::Open)),
        ("flush", |b| b.input(stream::Input::Flush)),
        ("settled", |b| b.input(stream::Input::Settled)),
        ("resumed", |b| {
            b.input(stream::Input::Resumed(stream::Resume {
                id: "x".into(),
                h: 0,
                lang: None,
            }))
        }),
        ("close", |b| b.input(stream::Input::Close(None))),
        ("close, error", |b| {
            let error = stream::StreamCondition::SystemShutdown.into();
            b.input(stream::Input::Close(Some(error)))
        }),
        ("half a minute", |b| b.wait(30)),
        ("a minute", |b| b.wait(60)),
        ("five minutes", |b| b.wait(300)),
        ("ten minutes", |b| b.wait(600)),
    ]
}

/// What follows of each event in each state. `states` makes them all anew.
pub(super) fn table<M: Machine<Input = stream::Input, Output = stream::Output>>(
    states: fn() -> Vec<(&'static str, Bench<M>)>,
    events: &[Event<M>],
) -> String {
    let mut table = String::new();
    for (i, (state, _)) in states().iter().enumerate() {
        table += &format!("== {state}\n");
        for (event, happens) in events {
            let (_, mut bench) = states().swap_remove(i);
            let result = words(&happens(&mut bench));
            let result = if result.is_empty() { "-" } else { &result };
            table += &format!("{event}: {result}\n");
        }
    }
    table
}

/// Holds a table to what it was.
pub(super) fn hold(table: &str, expected: &str, side: &str) {
    if table != expected {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/src/s2s");
        let path = format!("{dir}/{side}/table.new.txt");
        std::fs::write(&path, table).unwrap();
        panic!("the table differs from s2s/{side}/table.txt; what it is now: {path}");
    }
}

pub(super) fn answer_verified(verify: Verify, verdict: Verdict) -> stream::Input {
    stream::Input::S2s(Input::Verified(verify, verdict))
}

/// Lets these things happen one after the other, and holds what comes of them to what must never be otherwise. The number behind the
/// last event stands for the time-out.
pub(super) fn walk<M: Machine<Input = stream::Input, Output = stream::Output>>(
    mut bench: Bench<M>,
    proven: &[stream::Output],
    events: &[Event<M>],
    steps: &[usize],
) {
    let mut accepted = Vec::new();
    let mut granted = Vec::new();
    let mut closed = bench.machine.next_timeout().is_none();
    note(proven, &mut accepted, &mut granted);
    for step in steps {
        let out = match events.get(*step) {
            Some((_, happens)) => happens(&mut bench),
            None => {
                let Some(at) = bench.machine.next_timeout() else {
                    continue;
                };
                bench.now.instant = bench.now.instant.max(at);
                let out = bench.wait(0);
                let next = bench.machine.next_timeout();
                let later = next.is_none_or(|next| next > bench.now.instant);
                assert!(later, "a time-out that does not go away");
                out
            }
        };
        for output in &out {
            note(std::slice::from_ref(output), &mut accepted, &mut granted);
            match output {
                stream::Output::Deliver(stanza, _) => {
                    let (from, to) = (stanza.from().unwrap(), stanza.to().unwrap());
                    let proven = accepted.iter().any(|pair: &Pair| pair.covers(from, to));
                    assert!(proven, "{stanza:?} is delivered, and was not proven");
                }
                stream::Output::Send(envelope) => {
                    let stanza = &envelope.stanza;
                    let (from, to) = (stanza.from().unwrap(), stanza.to().unwrap());
                    let proven = granted.iter().any(|pair: &Pair| pair.covers(from, to));
                    assert!(proven, "{stanza:?} is sent, and was not granted");
                }
                _ => {}
            }
            let is_answer = matches!(
                output,
                stream::Output::Refuse(_)
                    | stream::Output::S2s(
                        Output::Refused(..) | Output::Verified(..) | Output::Unsent(_)
                    )
            );
            assert!(!closed || is_answer, "{output:?} after the end");
            closed |= matches!(output, stream::Output::Close(_));
        }
        assert_eq!(closed, bench.machine.next_timeout().is_none());
    }
}

fn note(outputs: &[stream::Output], accepted: &mut Vec<Pair>, granted: &mut Vec<Pair>) {
    for output in outputs {
        match output {
            stream::Output::S2s(Output::Accepted(pair)) => accepted.push(pair.clone()),
            stream::Output::S2s(Output::Granted(pair)) => granted.push(pair.clone()),
            _ => {}
        }
    }
}
