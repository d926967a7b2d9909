#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // an `Instant` comes from nowhere else

mod copied;
mod model;

use super::*;
use xmpp_core::BareJid;
use xmpp_core::sasl::Mechanism;
use xmpp_core::stanza::Stanza;
use xmpp_core::time::Timestamp;
use xmpp_core::xml::{Limits, Reader};

const HEADER: &str = "<stream:stream to='example.org' version='1.0' xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams'>";
const SM: &str = "xmlns='urn:xmpp:sm:3'";
/// Stanzas that wait, at most, in these tests.
const FULL: usize = 3;

/// A stream that passes everything on; it answers pings itself.
struct Inner;

impl Machine for Inner {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, input: Input, _: Now, out: &mut Vec<Output>) {
        match input {
            Input::Received(Received::Stanza(stanza))
                if stanza.payload().has("ping", "urn:xmpp:ping") =>
            {
                out.push(Output::Send(stanza.reply().into()));
            }
            Input::Received(Received::Stanza(stanza)) => out.push(Output::Deliver(stanza, None)),
            Input::Received(Received::Close) => {
                out.push(Output::Write(b"</stream:stream>".to_vec()));
                out.push(Output::Close(None));
            }
            Input::Received(Received::Element(element)) => {
                out.push(Output::Write(
                    format!("<inner-{}/>", element.name()).into_bytes(),
                ));
            }
            Input::Send(envelope) => out.push(Output::Send(envelope)),
            Input::Answered(Answer::Failed) => out.push(Output::LoggedIn {
                account: BareJid::new("romeo@example.org").unwrap(),
                mechanism: Mechanism::Plain,
            }),
            Input::Resume(resume) => out.push(Output::Resume {
                account: BareJid::new("romeo@example.org").unwrap(),
                resume,
            }),
            Input::Close(error) => {
                if let Some(error) = &error {
                    let mut bytes = Vec::new();
                    error.write(&mut bytes);
                    out.push(Output::Write(bytes));
                }
                out.push(Output::Close(error.map(|error| error.condition)));
            }
            Input::Eof => out.push(Output::Close(None)),
            Input::Suspend => out.push(Output::Suspended(Box::new(nothing()))),
            _ => {}
        }
    }

    fn handle_timeout(&mut self, _: Now, _: &mut Vec<Output>) {}

    fn next_timeout(&self) -> Option<Instant> {
        None
    }
}

/// What a stream writes down of itself.
fn nothing() -> Suspended {
    Suspended {
        jid: FullJid::new("romeo@example.org/orchard").unwrap(),
        lang: None,
        resumption: None,
        parts: Vec::new(),
    }
}

/// The same bytes again and again.
struct Sevens;

impl Random for Sevens {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

const ID: &str = "07070707070707070707070707070707";

struct Bench {
    stream: Managed<Inner>,
    budget: Arc<Budget>,
    now: Now,
}

impl Bench {
    fn new() -> Bench {
        let budget = Arc::new(Budget::new(1 << 20));
        let shared = Surroundings {
            options: Options {
                stanzas: FULL,
                ..Options::default()
            },
            random: Arc::new(Sevens),
            budget: budget.clone(),
        };
        Bench {
            stream: Managed::new(Inner, Arc::new(shared)),
            budget,
            now: Now {
                instant: Instant::now(),
                utc: Timestamp(0),
            },
        }
    }

    fn after(mut self, events: &[fn(&mut Bench) -> Vec<Output>]) -> Bench {
        for event in events {
            event(&mut self);
        }
        self
    }

    fn input(&mut self, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.stream.handle(input, self.now, &mut out);
        out
    }

    fn receive(&mut self, text: &str) -> Vec<Output> {
        let mut reader = Reader::new(Limits::default());
        reader.next(&mut HEADER.as_bytes()).unwrap();
        let received = reader.next(&mut text.as_bytes()).unwrap().unwrap();
        self.input(Input::Received(received))
    }

    fn send(&mut self, text: &str) -> Vec<Output> {
        self.input(Input::Send(Stanza::parse(text).unwrap().into()))
    }

    fn wait(&mut self, time: Duration) -> Vec<Output> {
        self.now.instant += time;
        self.now.utc = self.now.utc.plus(time);
        let mut out = Vec::new();
        if self
            .stream
            .next_timeout()
            .is_some_and(|due| due <= self.now.instant)
        {
            self.stream.handle_timeout(self.now, &mut out);
        }
        out
    }
}

fn log_in(b: &mut Bench) -> Vec<Output> {
    b.input(Input::Answered(Answer::Failed))
}

fn bind(b: &mut Bench) -> Vec<Output> {
    let jid = FullJid::new("romeo@example.org/orchard").unwrap();
    b.input(Input::Answered(Answer::Bound(Ok(jid))))
}

fn enable(b: &mut Bench) -> Vec<Output> {
    b.receive(&format!("<enable {SM}/>"))
}

fn enable_resume(b: &mut Bench) -> Vec<Output> {
    b.receive(&format!("<enable {SM} resume='true'/>"))
}

fn send(b: &mut Bench) -> Vec<Output> {
    b.send("<message id='out'/>")
}

fn message(b: &mut Bench) -> Vec<Output> {
    b.receive("<message id='in'/>")
}

fn flush(b: &mut Bench) -> Vec<Output> {
    b.input(Input::Flush)
}

fn cut(b: &mut Bench) -> Vec<Output> {
    b.input(Input::Eof)
}

fn suspend(b: &mut Bench) -> Vec<Output> {
    b.input(Input::Suspend)
}

/// The machine that goes on with what another says of itself.
fn next_run(b: &mut Bench) -> Vec<Output> {
    let suspended = suspend(b).into_iter().find_map(|output| match output {
        Output::Suspended(suspended) => Some(suspended),
        _ => None,
    });
    let fresh = Managed::new(Inner, b.stream.shared.clone());
    b.stream = fresh;
    b.input(Input::Restore(suspended.unwrap()))
}

fn resumed(b: &mut Bench, h: u32) -> Vec<Output> {
    let (id, lang) = (ID.to_owned(), None);
    b.input(Input::Resumed(Resume { id, h, lang }))
}

/// Every state, reached as a client would.
fn states() -> Vec<(&'static str, Bench)> {
    let managed = || Bench::new().after(&[log_in, bind, enable]);
    let resumable = || Bench::new().after(&[log_in, bind, enable_resume]);
    vec![
        ("stranger", Bench::new()),
        ("logged in", Bench::new().after(&[log_in])),
        ("bound", Bench::new().after(&[log_in, bind])),
        ("managed", managed()),
        ("managed, both owe", managed().after(&[send, message])),
        ("resumable", resumable()),
        ("resumable, asked", resumable().after(&[send, flush])),
        ("resumable, full", resumable().after(&[send, send, send])),
        ("detached", resumable().after(&[cut])),
        (
            "detached, both owe",
            resumable().after(&[send, message, cut]),
        ),
        (
            "detached, another waits",
            resumable().after(&[send, message, cut, |b| resumed(b, 1)]),
        ),
        ("restored", resumable().after(&[next_run])),
        (
            "restored, both owe",
            resumable().after(&[send, message, next_run]),
        ),
        (
            "closed",
            resumable().after(&[|b| b.receive("</stream:stream>")]),
        ),
    ]
}

type Event = (&'static str, fn(&mut Bench) -> Vec<Output>);

fn events() -> Vec<Event> {
    vec![
        ("logged in", log_in),
        ("bound", bind),
        ("enable", enable),
        ("enable, resume", enable_resume),
        ("r", |b| b.receive(&format!("<r {SM}/>"))),
        ("a 0", |b| b.receive(&format!("<a {SM} h='0'/>"))),
        ("a 1", |b| b.receive(&format!("<a {SM} h='1'/>"))),
        ("a -", |b| b.receive(&format!("<a {SM}/>"))),
        ("resume", |b| {
            b.receive(&format!("<resume {SM} h='0' previd='x'/>"))
        }),
        ("resume, no h", |b| {
            b.receive(&format!("<resume {SM} previd='x'/>"))
        }),
        ("not resumed", |b| {
            let reason = NotResumed::Unknown(Some(7));
            b.input(Input::Answered(Answer::NotResumed(reason)))
        }),
        ("not resumed, too high", |b| {
            let reason = NotResumed::TooHigh { h: 2, sent: 1 };
            b.input(Input::Answered(Answer::NotResumed(reason)))
        }),
        ("message", message),
        ("ping", |b| {
            b.receive("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>")
        }),
        ("other nonza", |b| b.receive("<x xmlns='urn:example'/>")),
        ("unknown of ours", |b| b.receive(&format!("<z {SM}/>"))),
        ("send", send),
        ("settled", |b| b.input(Input::Settled)),
        ("flush", flush),
        ("resumed 0", |b| resumed(b, 0)),
        ("resumed 1", |b| resumed(b, 1)),
        ("resumed 9", |b| resumed(b, 9)),
        ("resumed, another id", |b| {
            let (id, lang) = ("other".to_owned(), None);
            b.input(Input::Resumed(Resume { id, h: 0, lang }))
        }),
        ("footer", |b| b.receive("</stream:stream>")),
        ("close", |b| b.input(Input::Close(None))),
        ("cut", cut),
        ("suspend", suspend),
        ("restore", |b| {
            let mut suspended = nothing();
            suspended.resumption = Some(Resumption {
                id: "earlier".into(),
                max: Duration::from_secs(600),
                until: b.now.utc.plus(Duration::from_secs(6)),
                handled: 7,
                acked: 8,
                sent: VecDeque::new(),
            });
            b.input(Input::Restore(Box::new(suspended)))
        }),
        ("three seconds", |b| b.wait(Duration::from_secs(3))),
        ("a minute", |b| b.wait(Duration::from_secs(60))),
        ("ten minutes", |b| b.wait(Duration::from_secs(600))),
    ]
}

/// What an output is, in a word.
fn word(output: &Output) -> String {
    match output {
        Output::Write(bytes) => String::from_utf8_lossy(bytes)
            .replace(&format!(" {SM}"), "")
            .replace(ID, "ID"),
        Output::Send(envelope) => format!("send {}", envelope.stanza.id().unwrap_or("")),
        Output::Deliver(_, point) => match point {
            Some(point) => format!("deliver {}", point.n),
            None => "deliver".into(),
        },
        Output::Resumable(_) => "resumable".into(),
        Output::Detach => "detach".into(),
        Output::Reattach(bytes) => {
            let text = String::from_utf8_lossy(bytes);
            format!(
                "reattach {}",
                text.replace(&format!(" {SM}"), "").replace(ID, "ID")
            )
        }
        Output::Refuse(reason) => format!("refuse {reason:?}"),
        Output::Hold(held) => format!("hold {held}"),
        Output::Return(envelope) => format!("return {}", envelope.stanza.id().unwrap_or("")),
        Output::NotResumable(handled) => format!("not resumable {handled}"),
        Output::Resume { .. } => "ask resume".into(),
        Output::LoggedIn { .. } => "logged in".into(),
        Output::Close(_) => "close".into(),
        Output::Suspended(suspended) => match &suspended.resumption {
            Some(resumption) => format!(
                "suspended until {}, handled {}, acked {}, sent {}",
                resumption.until,
                resumption.handled,
                resumption.acked,
                resumption.sent.len()
            ),
            None => "suspended".into(),
        },
        other => format!("{other:?}"),
    }
}

#[test]
fn every_input_has_its_result_in_every_state() {
    let mut table = String::new();
    for (i, (state, _)) in states().iter().enumerate() {
        table += &format!("== {state}\n");
        for (event, happens) in events() {
            let (_, mut bench) = states().swap_remove(i);
            let result: Vec<_> = happens(&mut bench).iter().map(word).collect();
            let result = match result.is_empty() {
                true => "-".to_owned(),
                false => result.join(", "),
            };
            table += &format!("{event}: {result}\n");
        }
    }
    let expected = include_str!("table.txt");
    if table != expected {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/managed/table.new.txt");
        std::fs::write(path, &table).unwrap();
        panic!("the table differs from managed/table.txt; what it is now: {path}");
    }
}

#[test]
fn what_waits_is_taken_from_the_budget_and_given_back_whatever_happens() {
    let ends: [fn(Bench) -> Arc<Budget>; 4] = [
        |mut b| {
            b.receive(&format!("<a {SM} h='2'/>"));
            b.budget
        },
        |mut b| {
            b.receive("</stream:stream>");
            b.budget
        },
        |mut b| {
            b.input(Input::Eof);
            b.wait(Duration::from_secs(600));
            b.budget
        },
        |b| b.budget.clone(),
    ];
    for end in ends {
        let bench = Bench::new().after(&[log_in, bind, enable_resume, send, send]);
        assert!(bench.budget.used() > 0);
        assert_eq!(end(bench).used(), 0);
    }
}

/// XEP-0198 §4: "servers SHOULD add a delay element with the original (failed) delivery
/// timestamp"
#[test]
fn what_comes_back_says_when_it_was_sent() {
    let mut bench = Bench::new().after(&[log_in, bind, enable_resume]);
    bench.wait(Duration::from_secs(7));
    bench.send("<message><body>Ay me!</body></message>");
    bench.send("<presence/>");
    bench.input(Input::Eof);
    let out = bench.wait(Duration::from_secs(600));
    let returned: Vec<_> = out
        .iter()
        .filter_map(|output| match output {
            Output::Return(envelope) => Some(envelope.stanza.to_string()),
            _ => None,
        })
        .collect();
    let late = "<message><body>Ay me!</body><delay xmlns='urn:xmpp:delay' from='example.org' \
        stamp='1970-01-01T00:00:07Z'/></message>";
    assert_eq!(returned, [late, "<presence/>"]);
}

/// §3: "The <enable/> element MAY include a 'max' attribute"
#[test]
fn the_shorter_time_to_resume_counts() {
    for (attributes, max) in [
        ("resume='true'", Some("600")),
        ("resume='1' max='30'", Some("30")),
        ("resume='true' max='7200'", Some("600")),
        ("resume='true' max='-1'", Some("600")),
        ("resume='false' max='30'", None),
        ("resume='yes'", None),
    ] {
        let mut bench = Bench::new().after(&[log_in, bind]);
        let out = bench.receive(&format!("<enable {SM} {attributes}/>"));
        let told = word(&out[0]);
        match max {
            Some(max) => assert!(
                told.contains(&format!("max='{max}'")),
                "{attributes}: {told}"
            ),
            None => assert_eq!(told, "<enabled/>", "{attributes}"),
        }
    }
}
