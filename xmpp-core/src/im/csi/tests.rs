#![allow(clippy::disallowed_methods)] // an `Instant` comes from nowhere else
use super::*;
use crate::stream::{Answer, StreamError};
use crate::time::Timestamp;
use crate::xml;

/// A stream that passes on what it is told to send, and notes the rest.
struct Inner;

impl Machine for Inner {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, input: Input, _: Now, out: &mut Vec<Output>) {
        match input {
            Input::Send(stanza) => out.push(Output::Send(stanza)),
            Input::Answered(Answer::Failed) => {
                let account = crate::BareJid::new("romeo@example.org").unwrap();
                let mechanism = crate::sasl::Mechanism::Plain;
                out.push(Output::LoggedIn { account, mechanism });
            }
            Input::Received(Received::Stanza(stanza)) => out.push(Output::Deliver(stanza, None)),
            other => out.push(Output::Write(format!("{other:?}").into_bytes())),
        }
    }

    fn handle_timeout(&mut self, _: Now, _: &mut Vec<Output>) {}

    fn next_timeout(&self) -> Option<Instant> {
        None
    }
}

struct Test(BoxStream);

impl Test {
    fn new() -> Test {
        Test(ClientState::default().wrap(Box::new(Inner)))
    }

    fn logged_in() -> Test {
        let mut test = Test::new();
        test.input(Input::Answered(Answer::Failed));
        test
    }

    fn input(&mut self, input: Input) -> Vec<String> {
        let now = Now {
            instant: Instant::now(),
            utc: Timestamp(0),
        };
        let mut out = Vec::new();
        self.0.handle(input, now, &mut out);
        out.into_iter()
            .map(|output| match output {
                Output::Send(envelope) => envelope.stanza.to_string(),
                Output::Deliver(stanza, _) => format!("deliver {stanza}"),
                Output::Write(bytes) => String::from_utf8(bytes).unwrap(),
                other => format!("{other:?}"),
            })
            .collect()
    }

    fn indicate(&mut self, name: &str) -> Vec<String> {
        let element = Element::new(name.to_owned(), NS);
        self.input(Input::Received(Received::Element(element)))
    }

    fn send(&mut self, stanza: &str) -> Vec<String> {
        self.input(Input::Send(Stanza::parse(stanza).unwrap().into()))
    }
}

const STATE: &str = "<message type='chat'>\
     <composing xmlns='http://jabber.org/protocol/chatstates'/></message>";
const BODY: &str = "<message type='chat'><body>hi</body></message>";

fn presence(from: &str, show: &str) -> String {
    format!("<presence from='{from}'><show>{show}</show></presence>")
}

/// XEP-0352 §4.2: every state with every event.
#[test]
fn every_state_with_every_event_has_its_result() {
    let held = presence("a@example.org/1", "away");
    // What is sent, and whether the client is inactive afterwards and something is held.
    type Outcome<'a> = (&'a [&'a str], bool, bool);
    let table: [(&str, Outcome, Outcome, Outcome); 6] = [
        // event, when active, when inactive, when inactive and something is held
        (
            "active",
            (&[], false, false),
            (&[], false, false),
            (&[&held], false, false),
        ),
        (
            "inactive",
            (&[], true, false),
            (&[], true, false),
            (&[], true, true),
        ),
        (
            &held,
            (&[&held], false, false),
            (&[], true, true),
            (&[], true, true),
        ),
        (
            STATE,
            (&[STATE], false, false),
            (&[], true, false),
            (&[], true, true),
        ),
        (
            BODY,
            (&[BODY], false, false),
            (&[BODY], true, false),
            (&[&held, BODY], true, false),
        ),
        (
            "end",
            (&["Eof"], false, false),
            (&["Eof"], true, false),
            (&[&held, "Eof"], true, false),
        ),
    ];
    for (event, active, inactive, holding) in table {
        for (state, (sent, stays, holds)) in [active, inactive, holding].into_iter().enumerate() {
            let mut test = Test::logged_in();
            if state > 0 {
                test.indicate("inactive");
            }
            if state > 1 {
                test.send(&held);
            }
            let got = match event {
                "active" | "inactive" => test.indicate(event),
                "end" => test.input(Input::Eof),
                stanza => test.send(stanza),
            };
            assert_eq!(got, sent, "{event} in state {state}");
            let probe = test.send(&presence("probe@example.org/1", "xa"));
            assert_eq!(probe.is_empty(), stays, "{event} in state {state}");
            let left = test.indicate("active").len();
            let probes = usize::from(stays);
            assert_eq!(left - probes, holds.into(), "{event} in state {state}");
        }
    }
}

/// XEP-0352 §3.2: "On becoming active, push the latest presence from each contact."
#[test]
fn the_newest_presence_of_each_sender_comes_in_the_order_of_coming() {
    let mut test = Test::logged_in();
    test.indicate("inactive");
    for (from, show) in [
        ("a@example.org/1", "away"),
        ("b@example.org/1", "dnd"),
        ("a@example.org/2", "away"),
        ("a@example.org/1", "xa"),
    ] {
        assert!(test.send(&presence(from, show)).is_empty());
    }
    let gone = "<presence from='b@example.org/1' type='unavailable'/>";
    assert!(test.send(gone).is_empty());
    assert_eq!(
        test.indicate("active"),
        [
            presence("a@example.org/2", "away"),
            presence("a@example.org/1", "xa"),
            gone.to_owned()
        ]
    );
    assert!(test.indicate("active").is_empty());
}

/// XEP-0352 §5.1: "The server first changes the CSI state to active and flushes all
/// eventually queued stanzas … the server sends the pong."
#[test]
fn what_was_held_goes_before_the_answer_to_what_the_client_asks_next() {
    let mut test = Test::logged_in();
    test.indicate("inactive");
    let away = presence("a@example.org/1", "away");
    test.send(&away);
    assert_eq!(test.indicate("active"), [away]);
    let ping = "<iq id='1' type='get'><ping xmlns='urn:xmpp:ping'/></iq>";
    let stanza = Stanza::parse(ping).unwrap();
    let asked = test.input(Input::Received(Received::Stanza(stanza)));
    assert_eq!(asked, [format!("deliver {ping}")]);
}

#[test]
fn what_a_person_or_a_program_waits_for_is_never_held() {
    let carbon = |content: &str| {
        format!(
            "<message type='chat'><received xmlns='urn:xmpp:carbons:2'>\
             <forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' type='chat'>\
             {content}</message></forwarded></received></message>"
        )
    };
    let state = "<paused xmlns='http://jabber.org/protocol/chatstates'/>";
    let body = "<body>hi</body>";
    for (stanza, importance) in [
        (carbon(state), Importance::Never),
        (
            carbon(&format!("{state}<thread>1</thread>")),
            Importance::Never,
        ),
        (carbon(&format!("{state}{body}")), Importance::Now),
        (carbon(body), Importance::Now),
        (format!("<message>{state}{body}</message>"), Importance::Now),
        ("<message/>".into(), Importance::Now),
        (
            format!("<message type='error'>{state}</message>"),
            Importance::Now,
        ),
        (
            "<message type='headline'><x xmlns='urn:x'/></message>".into(),
            Importance::Now,
        ),
        ("<presence type='subscribe'/>".into(), Importance::Now),
        ("<presence type='error'/>".into(), Importance::Now),
        ("<presence type='unavailable'/>".into(), Importance::Later),
        ("<iq type='result' id='1'/>".into(), Importance::Now),
    ] {
        let stanza = Stanza::parse(&stanza).unwrap();
        assert_eq!(super::importance(&stanza), importance, "{stanza}");
    }
}

/// Both bounds: what does not fit is sent, not lost.
#[test]
fn what_is_held_is_bounded_and_nothing_of_it_is_lost() {
    let mut test = Test::logged_in();
    test.indicate("inactive");
    let of = |n: usize| presence(&format!("a@example.org/{n}"), "x");
    let mut sent = 0;
    for n in 0..=HELD {
        sent += test.send(&of(n)).len();
    }
    assert!(sent > HELD / 2, "{sent} were sent early");
    assert_eq!(sent + test.indicate("active").len(), HELD + 1);

    test.indicate("inactive");
    let large = |n| presence(&format!("a@example.org/{n}"), &"x".repeat(HELD_BYTES / 4));
    assert_eq!((0..4).map(|n| test.send(&large(n)).len()).sum::<usize>(), 4);
    // The same sender takes its place once.
    for _ in 0..40 {
        assert!(test.send(&large(0)).is_empty());
    }
}

/// XEP-0352 §4.1: the feature is there "after the client has authenticated"; before that the
/// elements mean nothing.
#[test]
fn before_login_the_elements_are_no_indication() {
    let mut test = Test::new();
    assert_eq!(test.indicate("inactive").len(), 1, "given to the stream");
    test.input(Input::Answered(Answer::Failed));
    assert_eq!(test.send(STATE), [STATE]);
    assert_eq!(test.indicate("odd").len(), 1, "given to the stream");
    let domain = crate::BareJid::new("example.org").unwrap();
    let context = |account| FeatureContext {
        domain: &domain,
        account,
        tls: true,
        passwords: true,
    };
    assert_eq!(Offer.advertise(&context(None)), None);
    let account = crate::BareJid::new("romeo@example.org").unwrap();
    let feature = Offer.advertise(&context(Some(&account))).unwrap();
    assert_eq!(feature.to_string(), "<csi xmlns='urn:xmpp:csi:0'/>");
}

/// However the stream ends, a layer further in gets what was held.
#[test]
fn every_end_of_the_stream_gives_up_what_is_held() {
    let ends: [fn() -> Input; 3] = [
        || Input::Eof,
        || Input::Close(Some(StreamError::conflict())),
        || Input::Unreadable(xml::Error::NotWellFormed),
    ];
    for end in ends {
        let mut test = Test::logged_in();
        test.indicate("inactive");
        let away = presence("a@example.org/1", "away");
        test.send(&away);
        assert_eq!(test.input(end())[0], away);
    }
}

/// As in a server that has `memory` bytes left.
fn within(memory: usize) -> (crate::server::testing::World, Test) {
    let module = Arc::new(ClientState::default());
    let world = crate::server::testing::World::new(vec![module.clone()]);
    let others = world.server.budget().free() - memory;
    assert!(world.server.budget().take(others));
    let mut test = Test(module.wrap(Box::new(Inner)));
    test.input(Input::Answered(Answer::Failed));
    test.indicate("inactive");
    (world, test)
}

#[test]
fn what_is_held_counts_as_memory_until_it_is_sent_or_dropped() {
    let (world, mut test) = within(100_000);
    let others = world.server.budget().used();
    let used = || world.server.budget().used() - others;
    let presence = |show: &str| {
        format!("<presence from='juliet@example.org/1'><show>{show}</show></presence>")
    };
    assert_eq!(test.send(&presence("away")), [""; 0]);
    let once = used();
    assert_eq!(once, Stanza::parse(&presence("away")).unwrap().size());
    assert_eq!(test.send(&presence("chat")), [""; 0]);
    assert_eq!(used(), once, "in place of the other");
    assert_eq!(test.indicate("active").len(), 1);
    assert_eq!(used(), 0, "sent");
    test.indicate("inactive");
    test.send(&presence("away"));
    assert_eq!(used(), once);
    drop(test);
    assert_eq!(used(), 0, "dropped");
}

#[test]
fn nothing_is_held_when_there_is_no_memory_for_it() {
    let (world, mut test) = within(100);
    let presence =
        |n: usize| format!("<presence from='juliet@example.org/{n}'><show>away</show></presence>");
    let mut sent = 0;
    for n in 1..=10 {
        sent += test.send(&presence(n)).len();
        assert!(world.server.budget().used() <= world.server.config().memory);
    }
    assert!(sent >= 8, "{sent} of 10 sent");
}
