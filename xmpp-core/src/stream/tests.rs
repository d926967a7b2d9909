//! The stream's state table, and its dialogues.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use super::*;
use crate::sasl::{Channel, Credentials, Policy, SALT_LEN, Secret};
use crate::stanza::Condition;
use crate::time::Timestamp;
use crate::xml::{Limits, Reader};

const HEADER: &str = "<?xml version='1.0'?><stream:stream to='example.org' version='1.0' \
    xml:lang='de' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
// NUL juliet NUL r0m30
const AUTH: &str = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>\
    AGp1bGlldAByMG0zMA==</auth>";
const AUTH_SLOWLY: &str = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>";
const RESPONSE: &str =
    "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>AGp1bGlldAByMG0zMA==</response>";
const ABORT: &str = "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
const BIND: &str = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
    <resource>balcony</resource></bind></iq>";
const SESSION: &str =
    "<iq type='set' id='s'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>";
const REGISTER: &str = "<iq type='get' id='r'><query xmlns='jabber:iq:register'/></iq>";
const MESSAGE: &str = "<message to='romeo@example.org'><body>Wherefore</body></message>";
const BAD_TO: &str = "<message to='@'/>";

struct Zeros;

impl Random for Zeros {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

/// A stream and the reader in front of it, as a driver has them.
struct Bench {
    stream: Stream,
    reader: Reader,
    now: Now,
}

impl Bench {
    fn new(starttls: StartTls, tls: bool) -> Bench {
        Bench::with(starttls, tls, |_| {})
    }

    fn with(starttls: StartTls, tls: bool, change: impl FnOnce(&mut Settings)) -> Bench {
        let secret = Secret::from([7; 32]);
        let mut domain = Domain::new("example.org".parse().unwrap(), secret.clone());
        domain.sasl = Policy::new(secret);
        let mut settings = Settings {
            domains: vec![domain],
            timeouts: Timeouts::default(),
            login_attempts: 2,
            features: Vec::new(),
            strangers: vec!["jabber:iq:register"],
            random: Arc::new(Zeros),
        };
        change(&mut settings);
        #[allow(clippy::disallowed_methods)] // an instant cannot be made of nothing
        let now = Now {
            instant: Instant::now(),
            utc: Timestamp(0),
        };
        let channel = channel(tls);
        Bench {
            stream: Stream::new(Arc::new(settings), channel, starttls, now),
            reader: Reader::new(Limits::default()),
            now,
        }
    }

    fn input(&mut self, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.stream.handle(input, self.now, &mut out);
        if out.iter().any(|output| matches!(output, Output::Restart)) {
            self.reader.restart();
        }
        out
    }

    fn receive(&mut self, text: &str) -> Vec<Output> {
        let mut input = text.as_bytes();
        let mut out = Vec::new();
        loop {
            match self.reader.next(&mut input) {
                Ok(Some(received)) => out.extend(self.input(Input::Received(received))),
                Ok(None) => return out,
                Err(error) => {
                    out.extend(self.input(Input::Unreadable(error)));
                    return out;
                }
            }
        }
    }

    fn after(mut self, steps: &[fn(&mut Bench)]) -> Bench {
        steps.iter().for_each(|step| step(&mut self));
        self
    }

    fn wait(&mut self, by: Duration) -> Vec<Output> {
        self.now.instant += by;
        let mut out = Vec::new();
        self.stream.handle_timeout(self.now, &mut out);
        out
    }
}

fn secured() -> Input {
    Input::Secured(channel(true))
}

fn channel(tls: bool) -> Channel {
    Channel {
        tls,
        ..Channel::default()
    }
}

fn stored() -> sasl::Answer {
    static STORED: LazyLock<Credentials> =
        LazyLock::new(|| Credentials::derive("r0m30", 4096, || [1; SALT_LEN]).unwrap());
    sasl::Answer::Credentials(Some(STORED.clone()))
}

fn bound() -> Input {
    Input::Answered(Answer::Bound(Ok("juliet@example.org/balcony"
        .parse()
        .unwrap())))
}

fn refused() -> Input {
    Input::Answered(Answer::Bound(Err(StanzaError::new(
        Condition::ResourceConstraint,
    ))))
}

fn header(b: &mut Bench) {
    b.receive(HEADER);
}
fn auth(b: &mut Bench) {
    b.receive(AUTH);
}
fn slowly(b: &mut Bench) {
    b.receive(AUTH_SLOWLY);
}
fn credentials(b: &mut Bench) {
    b.input(Input::Answered(Answer::Sasl(stored())));
}
fn right(b: &mut Bench) {
    b.input(Input::Answered(Answer::Sasl(sasl::Answer::Password(true))));
}
fn wrong(b: &mut Bench) {
    b.input(Input::Answered(Answer::Sasl(sasl::Answer::Password(false))));
}
fn bind(b: &mut Bench) {
    b.receive(BIND);
}
fn is_bound(b: &mut Bench) {
    b.input(bound());
}

/// Every state, reached as a client would.
fn states() -> Vec<(&'static str, Bench)> {
    let plain = || Bench::new(StartTls::Required, false);
    let tls = || Bench::new(StartTls::Unavailable, true);
    let login: &[fn(&mut Bench)] = &[header, auth, credentials, right];
    vec![
        ("opening", plain()),
        ("negotiating, plain", plain().after(&[header])),
        (
            "securing",
            plain().after(&[header, |b| drop(b.receive(STARTTLS))]),
        ),
        ("negotiating, TLS", tls().after(&[header])),
        ("challenged", tls().after(&[header, slowly])),
        ("asked SASL", tls().after(&[header, auth])),
        ("failing", tls().after(&[header, auth, credentials, wrong])),
        (
            "asked stranger",
            tls().after(&[header, |b| drop(b.receive(REGISTER))]),
        ),
        ("opening, logged in", tls().after(login)),
        (
            "negotiating, logged in",
            tls().after(login).after(&[header]),
        ),
        ("binding", tls().after(login).after(&[header, bind])),
        (
            "resuming",
            tls()
                .after(login)
                .after(&[header, |b| drop(b.input(Input::Resume(earlier())))]),
        ),
        ("bound", tls().after(login).after(&[header, bind, is_bound])),
        (
            "closing",
            tls().after(login).after(&[header, bind, is_bound, |b| {
                drop(b.input(Input::Close(None)))
            }]),
        ),
        (
            "closed",
            tls().after(login).after(&[header, bind, is_bound, |b| {
                drop(b.receive("</stream:stream>"))
            }]),
        ),
    ]
}

type Event = (&'static str, fn(&mut Bench) -> Vec<Output>);

fn events() -> Vec<Event> {
    fn other_header(b: &mut Bench) -> Vec<Output> {
        b.reader.restart();
        b.receive(HEADER)
    }
    /// A first-level element, whatever the reader of this state expects.
    fn element(b: &mut Bench, text: &str) -> Vec<Output> {
        let mut reader = Reader::new(Limits::default());
        let mut header = HEADER.as_bytes();
        reader.next(&mut header).unwrap();
        let mut input = text.as_bytes();
        match reader.next(&mut input) {
            Ok(Some(received)) => b.input(Input::Received(received)),
            Ok(None) => panic!("{text} is not whole"),
            Err(error) => b.input(Input::Unreadable(error)),
        }
    }
    vec![
        ("header", other_header),
        ("white space", |b| element(b, " ")),
        ("starttls", |b| element(b, STARTTLS)),
        ("auth", |b| element(b, AUTH)),
        ("response", |b| element(b, RESPONSE)),
        ("abort", |b| element(b, ABORT)),
        ("bind", |b| element(b, BIND)),
        ("session", |b| element(b, SESSION)),
        ("register", |b| element(b, REGISTER)),
        ("message", |b| element(b, MESSAGE)),
        ("bad address", |b| element(b, BAD_TO)),
        ("unknown nonza", |b| element(b, "<x xmlns='urn:example'/>")),
        ("bad XML", |b| element(b, "<a b=c/>")),
        ("footer", |b| element(b, "</stream:stream>")),
        ("end of bytes", |b| b.input(Input::Eof)),
        ("injected", |b| b.input(Input::Injected)),
        ("secured", |b| b.input(secured())),
        ("credentials", |b| {
            b.input(Input::Answered(Answer::Sasl(stored())))
        }),
        ("time to tell", |b| b.input(Input::Answered(Answer::Failed))),
        ("bound", |b| b.input(bound())),
        ("not bound", |b| b.input(refused())),
        ("reply to stranger", |b| {
            b.input(Input::Answered(Answer::Stranger(Stanza::iq(
                IqType::Result,
                "r",
            ))))
        }),
        ("send", |b| {
            b.input(Input::Send(Stanza::parse("<message/>").unwrap().into()))
        }),
        ("flush", |b| b.input(Input::Flush)),
        ("settled", |b| b.input(Input::Settled)),
        ("resume", |b| b.input(Input::Resume(earlier()))),
        ("not resumed", |b| {
            let reason = NotResumed::Unknown(None);
            b.input(Input::Answered(Answer::NotResumed(reason)))
        }),
        ("resumed", |b| b.input(Input::Resumed(earlier()))),
        ("suspend", |b| b.input(Input::Suspend)),
        ("restore", |b| {
            let suspended = Suspended {
                jid: FullJid::new("romeo@example.org/garden").unwrap(),
                lang: Some("it".into()),
                resumption: None,
                parts: Vec::new(),
            };
            b.input(Input::Restore(Box::new(suspended)));
            // What it is now, it says.
            b.input(Input::Suspend)
        }),
        ("close", |b| b.input(Input::Close(None))),
        ("close, error", |b| {
            b.input(Input::Close(Some(StreamCondition::SystemShutdown.into())))
        }),
        ("a minute", |b| b.wait(Duration::from_secs(60))),
        ("five minutes", |b| b.wait(Duration::from_secs(300))),
    ]
}

fn earlier() -> Resume {
    Resume {
        id: "earlier".into(),
        h: 0,
        lang: None,
    }
}

/// What an output is, in a word.
fn word(output: &Output) -> String {
    match output {
        Output::Write(bytes) => written(&String::from_utf8_lossy(bytes)),
        Output::Send(Envelope { stanza, .. }) => match stanza.error() {
            Some(error) => format!("error {}", error.condition.name()),
            None => format!("send {}", stanza.id().unwrap_or(""))
                .trim_end()
                .to_owned(),
        },
        Output::Deliver(..) => "deliver".into(),
        Output::Stranger(_) => "ask stranger".into(),
        Output::StartTls(_) => "start TLS".into(),
        Output::Restart => "restart".into(),
        Output::LoggedIn { .. } => "logged in".into(),
        Output::Ask(Ask::Sasl(_)) => "ask SASL".into(),
        Output::Ask(Ask::Failed { .. }) => "ask when".into(),
        Output::Ask(Ask::Bind { .. }) => "ask bind".into(),
        Output::Resume { .. } => "ask resume".into(),
        Output::Refuse(_) => "refuse".into(),
        Output::Suspended(suspended) => {
            let lang = suspended.lang.as_deref().unwrap_or("-");
            format!("suspended {} {lang}", suspended.jid.resource())
        }
        Output::Close(_) => "close".into(),
        Output::S2s(_) => unreachable!("a server's"),
        Output::Resumable(_)
        | Output::Detach
        | Output::Reattach(_)
        | Output::Hold(_)
        | Output::Return(_)
        | Output::NotResumable(_) => unreachable!("a layer's"),
    }
}

fn written(text: &str) -> String {
    if text.starts_with("<?xml") {
        "header".into()
    } else if text.starts_with("<stream:features>") {
        "features".into()
    } else if let Some(error) = text.strip_prefix("<stream:error><") {
        error.split(' ').next().unwrap_or_default().to_uppercase()
    } else if text == "</stream:stream>" {
        "footer".into()
    } else if text == " " {
        "space".into()
    } else {
        let name = text.trim_start_matches('<').split([' ', '/', '>']).next();
        let condition = text
            .split('<')
            .nth(2)
            .filter(|_| text.starts_with("<failure"));
        let condition = condition
            .map(|c| c.trim_end_matches("/>"))
            .unwrap_or_default();
        format!("{} {condition}", name.unwrap_or_default())
            .trim_end()
            .to_owned()
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
            let result = if result.is_empty() {
                "-".to_owned()
            } else {
                result.join(", ")
            };
            table += &format!("{event}: {result}\n");
        }
    }
    let expected = include_str!("table.txt");
    if table != expected {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/stream/table.new.txt");
        std::fs::write(path, &table).unwrap();
        panic!("the table differs from stream/table.txt; what it is now: {path}");
    }
}

fn words(outputs: &[Output]) -> String {
    outputs.iter().map(word).collect::<Vec<_>>().join(", ")
}

fn text(outputs: &[Output]) -> String {
    let mut bytes = Vec::new();
    for output in outputs {
        match output {
            Output::Write(written) => bytes.extend_from_slice(written),
            Output::Send(envelope) => envelope.stanza.write(&mut bytes),
            _ => {}
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn ready() -> Bench {
    let steps: [fn(&mut Bench); 7] = [header, auth, credentials, right, header, bind, is_bound];
    Bench::new(StartTls::Unavailable, true).after(&steps)
}

/// RFC 6120 §4.7 and §4.9.3: a header that will not do is answered with a header
/// of ours and the error.
#[test]
fn headers_are_refused_with_the_error_the_rfc_names() {
    for (change, to, error) in [
        ("to='example.org'", "to='example.com'", "HOST-UNKNOWN"),
        ("to='example.org'", "to='@'", "HOST-UNKNOWN"),
        ("to='example.org'", "", "IMPROPER-ADDRESSING"),
        (" version='1.0' xml", " xml", "UNSUPPORTED-VERSION"),
        (
            " version='1.0' xml",
            " version='0.9' xml",
            "UNSUPPORTED-VERSION",
        ),
        ("'jabber:client'", "'jabber:server'", "INVALID-NAMESPACE"),
        (
            "http://etherx.jabber.org/streams",
            "http://example.org/",
            "INVALID-NAMESPACE",
        ),
        (
            "<?xml version='1.0'?>",
            "<?xml version='1.0' encoding='latin1'?>",
            "UNSUPPORTED-ENCODING",
        ),
        ("<?xml version='1.0'?>", "<!DOCTYPE a>", "RESTRICTED-XML"),
    ] {
        let header = HEADER.replacen(change, to, 1);
        assert_ne!(header, HEADER, "{change}");
        let mut bench = Bench::new(StartTls::Required, false);
        let out = words(&bench.receive(&header));
        assert_eq!(out, format!("header, {error}, footer, close"), "{header}");
    }
}

/// RFC 6120 §4.7.5: a higher version is answered with ours.
#[test]
fn a_newer_version_and_the_domain_in_capitals_are_welcome() {
    let header = HEADER
        .replace("version='1.0' xml", "version='1.7' xml")
        .replace("example", "EXAMPLE");
    let out = Bench::new(StartTls::Required, false).receive(&header);
    assert_eq!(words(&out), "header, features");
    assert!(text(&out).contains("version='1.0'"));
}

#[test]
fn without_tls_nothing_but_tls_is_offered() {
    let out = text(&Bench::new(StartTls::Required, false).receive(HEADER));
    assert!(
        out.contains("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/>"),
        "{out}"
    );
    assert!(!out.contains("mechanism"), "{out}");
}

/// Of listener and domain, the domain has the last word; PLAIN and what else sends a
/// password stays for TLS (RFC 6120 §13.8.3, RFC 4616 §4).
#[test]
fn tls_is_required_or_optional_by_the_listener_unless_the_domain_says_so() {
    use StartTls::{Optional, Required, Unavailable};
    for (listener, domain, required, login) in [
        (Required, None, true, false),
        (Required, Some(false), true, false),
        (Required, Some(true), false, true),
        (Optional, None, false, true),
        (Optional, Some(false), true, false),
        (Optional, Some(true), false, true),
        (Unavailable, None, false, true),
        (Unavailable, Some(false), false, false),
        (Unavailable, Some(true), false, true),
    ] {
        let bench = || {
            Bench::with(listener, false, |settings| {
                settings.domains[0].plaintext = domain;
            })
        };
        let case = format!("{listener:?}, {domain:?}");
        let out = text(&bench().receive(HEADER));
        assert_eq!(out.contains("<starttls"), listener != Unavailable, "{case}");
        assert_eq!(out.contains("<required/>"), required, "{case}");
        let offers = |mechanism| out.contains(&format!("<mechanism>{mechanism}</mechanism>"));
        assert_eq!(offers("SCRAM-SHA-1"), login, "{case}");
        assert!(!offers("PLAIN"), "{case}");

        let mut bench = bench().after(&[header]);
        // RFC 5802 §5: n,,n=juliet,r=abc
        let scram = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>\
            biwsbj1qdWxpZXQscj1hYmM=</auth>";
        let expected = match login {
            true => "ask SASL",
            false => "failure encryption-required",
        };
        assert_eq!(words(&bench.receive(scram)), expected, "{case}");
    }
}

#[test]
fn without_tls_no_password_is_sent_where_tls_is_optional() {
    let optional = || Bench::new(StartTls::Optional, false).after(&[header]);
    let plain = words(&optional().receive(AUTH));
    assert_eq!(plain, "failure encryption-required");
    let stranger = words(&optional().receive(REGISTER));
    assert_eq!(stranger, "NOT-AUTHORIZED, footer, close");

    let mut secured_later = optional();
    assert_eq!(words(&secured_later.receive(STARTTLS)), "start TLS");
    secured_later.input(secured());
    secured_later.reader.restart();
    secured_later.receive(HEADER);
    assert_eq!(words(&secured_later.receive(AUTH)), "ask SASL");
}

/// RFC 6120 §5.4.3.3: after TLS the features are new, and starttls is not among them.
#[test]
fn tls_starts_the_stream_anew() {
    let mut bench = Bench::new(StartTls::Required, false);
    bench.receive(HEADER);
    assert_eq!(words(&bench.receive(STARTTLS)), "start TLS");
    bench.input(secured());
    bench.reader.restart();
    let out = text(&bench.receive(HEADER));
    assert!(
        out.contains("<mechanism>PLAIN</mechanism>") && !out.contains("starttls"),
        "{out}"
    );
}

#[test]
fn a_whole_login_goes_through() {
    let mut bench = Bench::new(StartTls::Unavailable, true);
    bench.receive(HEADER);
    assert_eq!(words(&bench.receive(AUTH)), "ask SASL");
    assert_eq!(
        words(&bench.input(Input::Answered(Answer::Sasl(stored())))),
        "ask SASL"
    );
    let out = bench.input(Input::Answered(Answer::Sasl(sasl::Answer::Password(true))));
    assert_eq!(words(&out), "success, logged in, restart");
    let out = bench.receive(HEADER);
    assert!(text(&out).contains("urn:ietf:params:xml:ns:xmpp-bind"));
    assert!(!text(&out).contains("mechanism"), "RFC 6120 §6.3.6");
    assert_eq!(words(&bench.receive(BIND)), "ask bind");
    let out = text(&bench.input(bound()));
    assert!(
        out.contains("<jid>juliet@example.org/balcony</jid>"),
        "{out}"
    );
}

/// RFC 6120 §6.4.5
#[test]
fn after_too_many_failures_the_stream_is_closed() {
    let steps: [fn(&mut Bench); 4] = [header, auth, credentials, wrong];
    let mut bench = Bench::new(StartTls::Unavailable, true).after(&steps);
    let told = bench.input(Input::Answered(Answer::Failed));
    assert_eq!(words(&told), "failure not-authorized");
    let mut bench = bench.after(&[auth, credentials, wrong]);
    let told = bench.input(Input::Answered(Answer::Failed));
    assert_eq!(
        words(&told),
        "failure not-authorized, POLICY-VIOLATION, footer, close"
    );
}

/// RFC 6120 §8.1.2.1 and §8.1.5
#[test]
fn stanzas_are_stamped_with_sender_and_language() {
    let out = ready().receive(MESSAGE);
    let [Output::Deliver(stanza, None)] = &out[..] else {
        panic!("{out:?}")
    };
    assert_eq!(
        stanza.from().unwrap().as_str(),
        "juliet@example.org/balcony"
    );
    assert_eq!(stanza.lang(), Some("de"));
    let out = ready().receive("<message xml:lang='it' from='juliet@example.org'/>");
    let [Output::Deliver(stanza, None)] = &out[..] else {
        panic!("{out:?}")
    };
    assert_eq!(
        stanza.from().unwrap().as_str(),
        "juliet@example.org/balcony"
    );
    assert_eq!(stanza.lang(), Some("it"));
}

#[test]
fn a_stanza_in_anothers_name_ends_the_stream() {
    for from in [
        "romeo@example.org",
        "juliet@example.org/chamber",
        "example.org",
    ] {
        let out = ready().receive(&format!("<message from='{from}'/>"));
        assert_eq!(words(&out), "INVALID-FROM, footer, close");
    }
}

#[test]
fn a_client_that_speaks_gets_no_white_space_and_a_silent_one_does() {
    let mut bench = ready();
    let keepalive = Timeouts::default().keepalive;
    assert_eq!(words(&bench.wait(keepalive / 2)), "");
    bench.receive(" ");
    assert_eq!(
        words(&bench.wait(keepalive / 2)),
        "",
        "it spoke in the middle"
    );
    assert_eq!(words(&bench.wait(keepalive / 2)), "space");
    assert_eq!(words(&bench.wait(Duration::ZERO)), "", "twice is harmless");
    assert_eq!(words(&bench.wait(keepalive)), "space");
}

#[test]
fn the_deadline_for_the_header_ends_a_slow_stream() {
    let mut bench = Bench::new(StartTls::Required, false);
    let limit = Timeouts::default().header;
    assert_eq!(bench.stream.next_timeout(), Some(bench.now.instant + limit));
    assert_eq!(words(&bench.wait(limit / 2)), "");
    assert_eq!(
        words(&bench.wait(limit / 2)),
        "header, CONNECTION-TIMEOUT, footer, close"
    );
    assert_eq!(bench.stream.next_timeout(), None);
}

#[test]
fn the_deadline_for_login_counts_from_the_connection() {
    let mut bench = Bench::new(StartTls::Unavailable, true);
    let Timeouts { login, .. } = Timeouts::default();
    let end = bench.now.instant + login;
    bench.wait(Duration::from_secs(5));
    let mut bench = bench.after(&[header]);
    assert_eq!(bench.stream.next_timeout(), Some(end));
    assert_eq!(words(&bench.wait(login - Duration::from_secs(6))), "");
    assert_eq!(
        words(&bench.wait(Duration::from_secs(1))),
        "CONNECTION-TIMEOUT, footer, close"
    );
}

#[test]
fn the_deadline_for_login_is_the_same_through_starttls() {
    let mut bench = Bench::new(StartTls::Required, false);
    let end = bench.now.instant + Timeouts::default().login;
    bench.wait(Duration::from_secs(5));
    let mut bench = bench.after(&[header]);
    assert_eq!(bench.stream.next_timeout(), Some(end));
    bench.receive(STARTTLS);
    bench.input(secured());
    bench.reader.restart();
    bench.wait(Duration::from_secs(5));
    let bench = bench.after(&[header]);
    assert_eq!(bench.stream.next_timeout(), Some(end));
}

/// XEP-0077 §11: registration "SHOULD NOT be used unless the channel … has been secured";
/// the table above holds that. It is for the domain that the stream was opened to.
#[test]
fn a_request_before_login_is_for_the_domain_of_the_stream() {
    for (to, answer) in [
        ("", "ask stranger"),
        ("to='example.org'", "ask stranger"),
        ("to='example.net'", "error service-unavailable"),
        ("to='juliet@example.org'", "error service-unavailable"),
    ] {
        let mut b = Bench::new(StartTls::Unavailable, true).after(&[header]);
        let request = REGISTER.replace("<iq", &format!("<iq {to}"));
        let outputs = b.receive(&request);
        assert_eq!(words(&outputs), answer, "{to}");
        if let [Output::Stranger(stanza)] = &outputs[..] {
            assert_eq!(stanza.to().unwrap().as_str(), "example.org");
        } else {
            assert_eq!(words(&b.receive(REGISTER)), "ask stranger", "goes on");
        }
    }
}

/// Go's go-xmpp ends each of its elements with a line break.
#[test]
fn a_line_break_behind_the_last_word_of_a_login_is_no_part_of_the_new_stream() {
    let mut bench = Bench::new(StartTls::Unavailable, true);
    bench.receive(HEADER);
    bench.receive(&format!("{AUTH}\n"));
    credentials(&mut bench);
    right(&mut bench);
    assert_eq!(
        words(&bench.receive(&format!("\r\n{HEADER}"))),
        "header, features"
    );
}
