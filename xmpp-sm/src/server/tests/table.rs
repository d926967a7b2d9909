//! What follows of each event in each state.

use xmpp_core::mailbox::Envelope;
use xmpp_core::s2s::{Ask, Claim, Compression, Found, Known, Policy, Sent, Session};
use xmpp_core::stream::StreamError;
use xmpp_core::xml::{Limits, Reader};

use super::*;

const NAME: &str = "07070707070707070707070707070707";
const SM: &str = "xmlns='urn:xmpp:sm:3'";

pub(super) const HEADER: &str = "<stream:stream from='montague.example' to='capulet.example' id='1' version='1.0' \
    xmlns='jabber:server' xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams'>";

pub(super) struct Bench {
    pub(super) machine: s2s::BoxStream,
    pub(super) reader: Reader,
    pub(super) now: Now,
    pub(super) budget: Arc<Budget>,
    /// What the last event has led to.
    pub(super) out: Vec<Output>,
}

type Event = (&'static str, fn(&mut Bench));
type State = (&'static str, fn() -> Bench);

pub(super) fn ours() -> Pair {
    pair("capulet.example", "montague.example")
}

pub(super) fn theirs() -> Pair {
    ours().inverse()
}

fn surroundings() -> (Arc<Surroundings>, Arc<Budget>) {
    let budget = Arc::new(Budget::new(1 << 20));
    let options = Options {
        stanzas: 3,
        ..Options::default()
    };
    let surroundings = Surroundings {
        options,
        random: Arc::new(Sevens),
        budget: budget.clone(),
    };
    (Arc::new(surroundings), budget)
}

impl Bench {
    fn new(make: fn(Now, Arc<Surroundings>) -> s2s::BoxStream) -> Bench {
        let (surroundings, budget) = surroundings();
        let now = now();
        Bench {
            machine: make(now, surroundings),
            reader: Reader::new(Limits::default()),
            now,
            budget,
            out: Vec::new(),
        }
    }

    /// A stream that montague.example has opened to us, with this policy, as far as the features.
    pub(super) fn incoming(policy: Policy) -> Bench {
        let mut bench = Bench::new(|now, surroundings| {
            let settings = Arc::new(settings(b"ours"));
            let inner = s2s::Incoming::new(settings, &encrypted(), now);
            Box::new(Incoming::new(Box::new(inner), surroundings))
        });
        bench.receive(
            "<stream:stream from='montague.example' to='capulet.example' version='1.0' \
            xmlns='jabber:server' xmlns:db='jabber:server:dialback' \
            xmlns:stream='http://etherx.jabber.org/streams'>",
        );
        bench.tell(s2s::Input::Known(theirs(), known(policy)));
        bench
    }

    /// A stream that we open to montague.example, as far as the header. `session` is to be resumed.
    pub(super) fn outgoing(session: Option<Session>) -> Bench {
        let mut bench = Bench::new(|now, surroundings| {
            let settings = Arc::new(settings(b"ours"));
            let inner = s2s::Outgoing::new(settings, ours(), Policy::default(), &encrypted(), now);
            Box::new(Outgoing::new(Box::new(inner), surroundings))
        });
        if let Some(session) = session {
            bench.tell(s2s::Input::Session(Found::Session(Box::new(session))));
        }
        bench.tell(s2s::Input::Request(ours()));
        bench.tell(s2s::Input::Open);
        bench.receive(HEADER);
        bench
    }

    /// The same, without encryption, which the policy allows.
    pub(super) fn plain(session: Session) -> Bench {
        let mut bench = Bench::new(|now, surroundings| {
            let settings = Arc::new(settings(b"ours"));
            let channel = Channel::default();
            let inner = s2s::Outgoing::new(settings, ours(), lax(), &channel, now);
            Box::new(Outgoing::new(Box::new(inner), surroundings))
        });
        bench.tell(s2s::Input::Session(Found::Session(Box::new(session))));
        bench.tell(s2s::Input::Request(ours()));
        bench.tell(s2s::Input::Open);
        bench.receive(HEADER);
        bench
    }

    pub(super) fn after(mut self, events: &[fn(&mut Bench)]) -> Bench {
        for event in events {
            event(&mut self);
        }
        self
    }

    pub(super) fn input(&mut self, input: Input) {
        self.machine.handle(input, self.now, &mut self.out);
    }

    pub(super) fn tell(&mut self, input: s2s::Input) {
        self.input(Input::S2s(input));
    }

    pub(super) fn receive(&mut self, text: &str) {
        let mut input = text.as_bytes();
        while let Some(received) = self.reader.next(&mut input).unwrap() {
            self.input(Input::Received(received));
        }
    }

    pub(super) fn wait(&mut self, seconds: u64) {
        self.now.instant += Duration::from_secs(seconds);
        self.machine.handle_timeout(self.now, &mut self.out);
    }

    pub(super) fn take(&mut self) -> String {
        let words: Vec<_> = self.out.drain(..).map(|output| word(&output)).collect();
        words.join(", ")
    }
}

fn encrypted() -> Channel {
    let mut channel = Channel::default();
    channel.tls = true;
    channel
}

pub(super) fn known(policy: Policy) -> Known {
    Known {
        ours: true,
        certified: true,
        policy: Some(policy),
        patient: true,
    }
}

pub(super) fn one_way() -> Policy {
    Policy {
        bidi: false,
        ..Policy::default()
    }
}

/// To be compressed.
pub(super) fn packed() -> Policy {
    Policy {
        compression: Some(Compression::Zlib),
        ..Policy::default()
    }
}

fn lax() -> Policy {
    Policy {
        tls: false,
        ..Policy::default()
    }
}

pub(super) fn message(from: &str, to: &str, id: &str) -> Envelope {
    let text = format!("<message from='x@{from}' to='y@{to}' id='{id}'/>");
    Stanza::parse(&text).unwrap().into()
}

/// With one stanza that waits, and of theirs two handled.
pub(super) fn session() -> Session {
    let sent = Sent {
        envelope: message("capulet.example", "montague.example", "old"),
        at: Timestamp(0),
    };
    Session {
        id: "before".into(),
        granted: vec![ours()],
        accepted: vec![theirs()],
        encrypted: true,
        max: Duration::from_secs(60),
        handled: 2,
        acked: 5,
        queue: [sent].into(),
    }
}

pub(super) fn key(b: &mut Bench) {
    b.receive("<db:result from='montague.example' to='capulet.example'>k</db:result>");
    b.tell(s2s::Input::Known(theirs(), known(one_way())));
}

pub(super) fn bidi(b: &mut Bench) {
    b.receive("<bidi xmlns='urn:xmpp:bidi'/>");
}

pub(super) fn enable(b: &mut Bench) {
    b.receive(&format!("<enable {SM}/>"));
}

pub(super) fn enable_resume(b: &mut Bench) {
    b.receive(&format!("<enable {SM} resume='true' max='90'/>"));
}

pub(super) fn resume(b: &mut Bench) {
    b.receive(&format!("<resume {SM} previd='before' h='5'/>"));
}

pub(super) fn found(b: &mut Bench) {
    b.tell(s2s::Input::Session(Found::Session(Box::new(session()))));
}

pub(super) fn stanza(b: &mut Bench) {
    b.receive("<message from='romeo@montague.example' to='juliet@capulet.example'/>");
}

pub(super) fn send(b: &mut Bench) {
    b.input(Input::Send(message(
        "capulet.example",
        "montague.example",
        "new",
    )));
}

pub(super) fn settled(b: &mut Bench) {
    b.input(Input::Settled);
}

pub(super) fn cut(b: &mut Bench) {
    b.input(Input::Eof);
}

pub(super) fn close(b: &mut Bench) {
    b.input(Input::Close(None));
}

fn flush(b: &mut Bench) {
    b.input(Input::Flush);
}

fn footer(b: &mut Bench) {
    b.receive("</stream:stream>");
}

fn ack(b: &mut Bench, h: u32) {
    b.receive(&format!("<a {SM} h='{h}'/>"));
}

pub(super) fn claim(id: &str, from: &str, encrypted: bool) -> s2s::Input {
    s2s::Input::Claimed(Claim {
        id: id.into(),
        accepted: vec![pair(from, "capulet.example")],
        encrypted,
    })
}

pub(super) fn valid(b: &mut Bench) {
    b.receive("<db:result from='montague.example' to='capulet.example' type='valid'/>");
}

pub(super) fn features(b: &mut Bench) {
    b.receive(
        "<stream:features><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>\
        <sm xmlns='urn:xmpp:sm:3'/></stream:features>",
    );
    b.tell(s2s::Input::Known(theirs(), known(lax())));
}

pub(super) fn features_bidi(b: &mut Bench) {
    b.receive(
        "<stream:features><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>\
        <bidi xmlns='urn:xmpp:features:bidi'/><sm xmlns='urn:xmpp:sm:3'/></stream:features>",
    );
    b.tell(s2s::Input::Known(theirs(), known(Policy::default())));
}

fn features_without(b: &mut Bench) {
    b.receive(
        "<stream:features><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>\
        </stream:features>",
    );
    b.tell(s2s::Input::Known(theirs(), known(Policy::default())));
}

pub(super) fn enabled(b: &mut Bench) {
    b.receive(&format!("<enabled {SM}/>"));
}

pub(super) fn enabled_resume(b: &mut Bench) {
    b.receive(&format!(
        "<enabled {SM} id='theirs' resume='true' max='30'/>"
    ));
}

pub(super) fn resumed(b: &mut Bench) {
    b.receive(&format!("<resumed {SM} previd='before' h='5'/>"));
}

pub(super) fn failed(b: &mut Bench) {
    let condition = "<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>";
    b.receive(&format!("<failed {SM}>{condition}</failed>"));
}

/// What both sides hear.
const BOTH: &[Event] = &[
    ("request", |b| b.receive(&format!("<r {SM}/>"))),
    ("ack 0", |b| ack(b, 0)),
    ("ack 1", |b| ack(b, 1)),
    ("ack 6", |b| ack(b, 6)),
    ("ack without h", |b| b.receive(&format!("<a {SM}/>"))),
    ("stanza", stanza),
    ("send", send),
    ("settled", settled),
    ("flush", flush),
    ("session", found),
    ("claimed", |b| b.tell(claim(NAME, "montague.example", true))),
    ("claimed by a stranger", |b| {
        b.tell(claim(NAME, "verona.example", true));
    }),
    ("claimed without encryption", |b| {
        b.tell(claim(NAME, "montague.example", false));
    }),
    ("another's claimed", |b| {
        b.tell(claim("another", "montague.example", true));
    }),
    ("30 s", |b| b.wait(30)),
    ("60 s", |b| b.wait(60)),
    ("we close", close),
    ("we fail", |b| {
        let error = StreamError::new(StreamCondition::SystemShutdown);
        b.input(Input::Close(Some(error)));
    }),
    ("the peer closes", footer),
    ("cut", cut),
];

fn table(states: &[State], events: &[Event]) -> String {
    let mut table = String::new();
    for (state, make) in states {
        table += &format!("== {state}\n");
        for (event, happens) in events.iter().chain(BOTH) {
            let mut bench = make();
            bench.out.clear();
            happens(&mut bench);
            let result = bench.take();
            let result = if result.is_empty() { "-" } else { &result };
            table += &format!("{event}: {result}\n");
            let budget = bench.budget.clone();
            drop(bench);
            assert_eq!(budget.used(), 0, "{state}, {event}");
        }
    }
    table
}

#[test]
fn every_event_in_every_state_of_an_incoming_stream() {
    let states: &[State] = &[
        ("nothing proven", || Bench::incoming(one_way())),
        ("proven", || Bench::incoming(one_way()).after(&[key])),
        ("proven, both ways", || {
            Bench::incoming(Policy::default()).after(&[bidi, key])
        }),
        ("asked for a session", || {
            Bench::incoming(Policy::default()).after(&[bidi, key, resume])
        }),
        ("managed", || {
            Bench::incoming(Policy::default()).after(&[bidi, key, enable])
        }),
        ("managed, both owe", || {
            Bench::incoming(Policy::default()).after(&[bidi, key, enable, send, stanza])
        }),
        ("resumable", || {
            Bench::incoming(Policy::default()).after(&[bidi, key, enable_resume])
        }),
        ("resumable, both owe", || {
            let events = [bidi, key, enable_resume, send, stanza];
            Bench::incoming(Policy::default()).after(&events)
        }),
        ("resumable, full and asked", || {
            let events = [bidi, key, enable_resume, send, send, send, flush];
            Bench::incoming(Policy::default()).after(&events)
        }),
        ("resumed", || {
            Bench::incoming(Policy::default()).after(&[bidi, key, resume, found])
        }),
        ("resumed, one way", || {
            Bench::incoming(one_way()).after(&[key, resume, found])
        }),
        ("without a connection", || {
            let events = [bidi, key, enable_resume, send, stanza, cut];
            Bench::incoming(Policy::default()).after(&events)
        }),
        ("closing, both owe", || {
            let events = [bidi, key, enable_resume, send, stanza, close];
            Bench::incoming(Policy::default()).after(&events)
        }),
        ("closed", || {
            let events = [bidi, key, enable_resume, cut];
            Bench::incoming(Policy::default()).after(&events)
        }),
    ];
    let events: &[Event] = &[
        ("key", key),
        ("enable", enable),
        ("enable resume", enable_resume),
        ("resume", resume),
        ("resume without h", |b| {
            b.receive(&format!("<resume {SM} previd='before'/>"));
        }),
        ("enabled", enabled),
        ("ended", |b| b.tell(s2s::Input::Session(Found::Ended(7)))),
        ("unknown", |b| b.tell(s2s::Input::Session(Found::Unknown))),
        ("another's session", |b| {
            let mut session = session();
            session.accepted = vec![pair("verona.example", "capulet.example")];
            b.tell(s2s::Input::Session(Found::Session(Box::new(session))));
        }),
        ("a session that has sent more", |b| {
            let mut session = session();
            session.acked = 6;
            b.tell(s2s::Input::Session(Found::Session(Box::new(session))));
        }),
        ("a session that has sent less", |b| {
            let mut session = session();
            session.acked = 3;
            b.tell(s2s::Input::Session(Found::Session(Box::new(session))));
        }),
    ];
    hold("incoming", &table(states, events));
}

#[test]
fn every_event_in_every_state_of_an_outgoing_stream() {
    let states: &[State] = &[
        ("nothing offered", || Bench::outgoing(None)),
        ("nothing granted", || {
            Bench::outgoing(None).after(&[features])
        }),
        ("nothing granted, with a session", || {
            Bench::outgoing(Some(session())).after(&[features])
        }),
        ("not managed", || {
            Bench::outgoing(None).after(&[features_without, valid])
        }),
        ("enabling", || {
            Bench::outgoing(None).after(&[features, valid])
        }),
        ("resuming", || {
            Bench::outgoing(Some(session())).after(&[features_bidi, valid])
        }),
        ("managed", || {
            Bench::outgoing(None).after(&[features_bidi, valid, enabled])
        }),
        ("managed, both owe", || {
            Bench::outgoing(None).after(&[features_bidi, valid, enabled, send, stanza])
        }),
        ("resumable", || {
            Bench::outgoing(None).after(&[features_bidi, valid, enabled_resume])
        }),
        ("resumable, both owe", || {
            let events = [features_bidi, valid, enabled_resume, send, stanza];
            Bench::outgoing(None).after(&events)
        }),
        ("resumed", || {
            Bench::outgoing(Some(session())).after(&[features_bidi, valid, resumed])
        }),
        ("without a connection", || {
            let events = [features_bidi, valid, enabled_resume, send, stanza, cut];
            Bench::outgoing(None).after(&events)
        }),
        ("closing, both owe", || {
            let events = [features_bidi, valid, enabled_resume, send, stanza, close];
            Bench::outgoing(None).after(&events)
        }),
        ("closed", || {
            Bench::outgoing(None).after(&[features_bidi, valid, enabled_resume, cut])
        }),
    ];
    let events: &[Event] = &[
        ("valid", valid),
        ("refused", |b| {
            b.receive(
                "<db:result from='montague.example' to='capulet.example' type='error'><error type='cancel'>\
                <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>",
            );
        }),
        ("features without it, valid", |b| {
            features_without(b);
            valid(b);
        }),
        ("enabled", enabled),
        ("enabled resume", enabled_resume),
        ("resumed", resumed),
        ("resumed, more than was sent", |b| {
            b.receive(&format!("<resumed {SM} previd='before' h='7'/>"));
        }),
        ("resumed, less than before", |b| {
            b.receive(&format!("<resumed {SM} previd='before' h='4'/>"));
        }),
        ("another resumed", |b| {
            b.receive(&format!("<resumed {SM} previd='another' h='5'/>"));
        }),
        ("failed", failed),
        ("failed at 6", |b| {
            let condition = "<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>";
            b.receive(&format!("<failed {SM} h='6'>{condition}</failed>"));
        }),
        ("enable", enable),
    ];
    hold("outgoing", &table(states, events));
}

/// Holds a table to what it was.
fn hold(side: &str, table: &str) {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/src/server/tests");
    let expected = std::fs::read_to_string(format!("{dir}/{side}.txt")).unwrap_or_default();
    if table != expected {
        let path = format!("{dir}/{side}.new.txt");
        std::fs::write(&path, table).unwrap();
        panic!("the table differs from {side}.txt; what it is now: {path}");
    }
}

/// What an output is, in a word.
fn word(output: &Output) -> String {
    match output {
        Output::Write(bytes) => written(&String::from_utf8_lossy(bytes)),
        Output::Send(envelope) => format!("send {}", envelope.stanza.id().unwrap()),
        Output::Deliver(_, Some(point)) => format!("deliver {}", point.n),
        Output::Deliver(_, None) => "deliver".into(),
        Output::Resumable(id) => format!("resumable {}", &id[..4]),
        Output::Detach => "detach".into(),
        Output::Hold(hold) => format!("hold {hold}"),
        Output::Return(envelope) => format!("return {}", envelope.stanza.id().unwrap()),
        Output::Close(_) => "close".into(),
        Output::S2s(output) => match output {
            s2s::Output::Ask(Ask::Session(_)) => "ask for the session".into(),
            s2s::Output::Ask(Ask::Stream(_)) => "ask first".into(),
            s2s::Output::Ask(_) => "ask".into(),
            s2s::Output::Accepted(_) => "accepted".into(),
            s2s::Output::Granted(_) => "granted".into(),
            s2s::Output::Refused(..) => "refused".into(),
            s2s::Output::Unsent(envelope) => {
                let payload = envelope.stanza.payload();
                let late = payload.has("delay", "urn:xmpp:delay");
                let late = if late { " late" } else { "" };
                format!("unsent {}{late}", envelope.stanza.id().unwrap())
            }
            s2s::Output::Session(session) => {
                let (id, waits) = (&session.id[..4], session.queue.len());
                let (handled, acked) = (session.handled, session.acked);
                format!("session {id} {handled}/{acked}+{waits}")
            }
            s2s::Output::Acked(n) => format!("acked {n}"),
            s2s::Output::Ended(ended) => format!("ended at {}", ended.handled),
            s2s::Output::Denied(_) => "denied".into(),
            other => format!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn written(text: &str) -> String {
    if text.starts_with("<?xml") {
        return "header".into();
    }
    if text == "</stream:stream>" {
        return "footer".into();
    }
    if let Some(error) = text.strip_prefix("<stream:error><") {
        return error.split(' ').next().unwrap().to_uppercase();
    }
    let text = text.replace(" xmlns='urn:xmpp:sm:3'", "");
    let text = text.replace(" xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'", "");
    let text = text.replace(" xmlns='http://jabber.org/protocol/compress'", "");
    text.replace(NAME, "ID")
}
