//! Whoever asks is answered, however much waits for him: a request is not counted as handled (XEP-0198 §4) when its answer
//! is lost.
#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use std::time::Duration;

use sim::client::{Client, Heard};
use sim::link::End;
use sim::world::quiet;
use sim::{World, run, xml};
use tokio::time::timeout;
use xmpp_sm::Options;

const SM: &str = "xmlns='urn:xmpp:sm:3'";
/// Stanzas that a client is sent before it acknowledges some.
const WINDOW: usize = 3;
/// What waits in its session's queue then; a quarter as much is for answers.
const QUEUE: usize = 64;
const ROOM: usize = QUEUE / 4;

/// Somebody who can resume, and whose queue is as full as it can be.
struct Laden {
    world: World,
    stream: String,
}

impl Laden {
    async fn new() -> Laden {
        let mut options = Options::default();
        options.stanzas = WINDOW;
        let builder = World::managing(0, options);
        let world = builder
            .configure(|config| config.session_queue.stanzas = QUEUE)
            .build();
        let mut romeo = world.login("romeo").await;
        let enable = format!("<enable {SM} resume='true'/>");
        romeo.send(enable).await.unwrap();
        let enabled = romeo.element().await.unwrap();
        let stream = enabled.attr("id").unwrap().to_owned();
        // Without presence he is sent what is for this resource, and nothing else.
        drop(romeo);
        let mut juliet = world.login("juliet").await;
        for n in 0..WINDOW + QUEUE {
            let to = "to='romeo@example.org/romeo' type='chat'";
            let message = format!("<message {to} id='m{n}'><body>{n}</body></message>");
            juliet.send(message).await.unwrap();
            // What comes at once may exceed the window.
            quiet(Duration::from_millis(1)).await;
        }
        let laden = Laden { world, stream };
        assert_eq!(laden.waits(), QUEUE);
        laden
    }

    /// Stanzas in his queue.
    fn waits(&self) -> usize {
        self.world.server.session_queues().stanzas
    }

    /// A connection on which he resumes, having heard so many stanzas; how many of his are handled.
    async fn resume(&self, h: usize) -> Result<(Client<End>, usize), String> {
        let account = self.world.account("romeo").await;
        let mut client = self.world.client();
        let mut rng = self.world.rng();
        client.authenticate(&account, &mut rng).await.unwrap();
        let resume = format!("<resume {SM} previd='{}' h='{h}'/>", self.stream);
        client.send(resume).await.unwrap();
        let answer = client.element().await.unwrap();
        match answer.name.as_str() {
            "resumed" => Ok((client, answer.attr("h").unwrap().parse().unwrap())),
            _ => Err(answer.to_string()),
        }
    }
}

/// All that comes until nothing more does, acknowledged as it comes; `heard` stanzas had come before. Whether the
/// connection has ended.
async fn hear(client: &mut Client<End>, heard: &mut usize, stanzas: &mut Vec<String>) -> bool {
    loop {
        match timeout(Duration::from_secs(5), client.hear()).await {
            Ok(Heard::Xml(xml::Heard::Element(tree))) if tree.ns == xml::CLIENT => {
                *heard += 1;
                stanzas.push(tree.to_string());
            }
            Ok(Heard::Xml(xml::Heard::Element(tree))) if tree.name == "r" => {
                let ack = format!("<a {SM} h='{heard}'/>");
                let _ = client.send(ack).await;
            }
            Ok(Heard::Xml(xml::Heard::Element(_))) => {}
            Ok(_) => return true,
            Err(_) => return false,
        }
    }
}

fn ping(n: usize) -> String {
    format!("<iq type='get' id='q{n}'><ping xmlns='urn:xmpp:ping'/></iq>")
}

fn count(stanzas: &[String], what: &str) -> usize {
    stanzas.iter().filter(|text| text.contains(what)).count()
}

/// A client had resumed, its window was full and so was its queue, when it asked something: the answer did not fit into the
/// queue of the one who asked, and was lost without a word, though the request counted as handled.
#[test]
fn who_resumes_with_a_full_queue_is_answered() {
    run(async {
        let laden = Laden::new().await;
        let (mut romeo, _) = laden.resume(0).await.unwrap();
        romeo.send(ping(0)).await.unwrap();
        // RFC 6121 §8.5.1: an error comes of it
        let nobody = "<message to='nobody@example.org' type='chat' id='e'><body/></message>";
        romeo.send(nobody).await.unwrap();
        quiet(Duration::from_secs(1)).await;
        assert_eq!(laden.waits(), QUEUE + 2, "there is room for answers");
        let (mut heard, mut stanzas) = (0, Vec::new());
        assert!(!hear(&mut romeo, &mut heard, &mut stanzas).await);
        assert_eq!(count(&stanzas, "<body>"), WINDOW + QUEUE);
        assert_eq!(count(&stanzas, "id='q0'"), 1, "{stanzas:?}");
        assert_eq!(count(&stanzas, "id='e'"), 1, "{stanzas:?}");
    });
}

/// What he asks waits while there is no room for the answers, and is not handled; but his acknowledgements are read, and make room.
#[test]
fn who_asks_much_waits_until_he_has_acknowledged_what_he_was_sent() {
    run(async {
        let laden = Laden::new().await;
        let (mut romeo, _) = laden.resume(0).await.unwrap();
        let asked = ROOM / 2 + ROOM / 4;
        for n in 0..asked {
            romeo.send(ping(n)).await.unwrap();
        }
        romeo.send(format!("<r {SM}/>")).await.unwrap();
        quiet(Duration::from_secs(1)).await;
        let answered = laden.waits() - QUEUE;
        assert_eq!(answered, ROOM / 2 + 1);
        // At once, and with what has been answered.
        loop {
            let told = romeo.element().await.unwrap();
            if told.name == "a" {
                assert_eq!(told.attr("h"), Some(&*answered.to_string()));
                break;
            }
        }
        romeo.send(format!("<a {SM} h='{WINDOW}'/>")).await.unwrap();
        let (mut heard, mut stanzas) = (WINDOW, Vec::new());
        assert!(!hear(&mut romeo, &mut heard, &mut stanzas).await);
        assert_eq!(count(&stanzas, "type='result'"), asked, "{stanzas:?}");
        assert_eq!(laden.waits(), 0);
    });
}

/// His acknowledgement stands behind more than can wait, so it is not read. He is taken to be silent; when he resumes, that says
/// what he has heard, and in the end each question has one answer, and counted when it had.
#[test]
fn who_acknowledges_only_behind_all_that_he_asks_is_answered_in_the_end() {
    const ASKED: usize = 40;
    /// Longer than the server is patient, 5 s at a time.
    const SILENT: usize = 20;
    run(async {
        let laden = Laden::new().await;
        let (mut heard, mut stanzas) = (0, Vec::new());
        let mut resumed = 0;
        while count(&stanzas, "type='result'") < ASKED {
            resumed += 1;
            assert!(resumed < 20, "{stanzas:?}");
            let (mut romeo, handled) = laden.resume(heard).await.unwrap();
            let mut asks: String = (handled..ASKED).map(ping).collect();
            asks += &format!("<a {SM} h='{heard}'/>");
            romeo.send(asks).await.unwrap();
            for _ in 0..SILENT {
                if hear(&mut romeo, &mut heard, &mut stanzas).await {
                    break;
                }
            }
        }
        assert!(resumed > 1, "his acknowledgement was not read");
        assert_eq!(count(&stanzas, "<body>"), WINDOW + QUEUE);
        for n in 0..ASKED {
            assert_eq!(count(&stanzas, &format!("id='q{n}'")), 1, "{stanzas:?}");
        }
        quiet(Duration::from_secs(600)).await;
        assert_eq!(laden.world.server.budget().used(), 0);
    });
}

/// Whoever knew a full JID could end its session by sending answers that nobody had asked for.
#[test]
fn answers_that_nobody_has_asked_for_end_no_session() {
    run(async {
        let laden = Laden::new().await;
        let mut paris = laden.world.login("paris").await;
        for kind in [
            "iq type='result'",
            "iq type='error'",
            "message type='error'",
        ] {
            for n in 0..ROOM {
                let answer = format!("<{kind} to='romeo@example.org/romeo' id='{n}'/>");
                paris.send(answer).await.unwrap();
            }
        }
        quiet(Duration::from_millis(1)).await;
        assert_eq!(laden.waits(), QUEUE + ROOM / 2, "half of it is kept");
        let (mut romeo, _) = laden.resume(0).await.unwrap();
        romeo.send(ping(0)).await.unwrap();
        let (mut heard, mut stanzas) = (0, Vec::new());
        assert!(!hear(&mut romeo, &mut heard, &mut stanzas).await);
        assert_eq!(count(&stanzas, "<body>"), WINDOW + QUEUE);
        assert_eq!(count(&stanzas, "id='q0'"), 1, "{stanzas:?}");
        assert_eq!(laden.world.server.metrics().overflowed_sessions.value(), 0);
    });
}

/// What was asked of others has a bound as well. Behind it the session ends: it cannot be resumed as though nothing were missing.
#[test]
fn a_session_that_misses_an_answer_is_not_resumed() {
    run(async {
        let laden = Laden::new().await;
        let mut paris = laden.world.login("paris").await;
        let (mut romeo, _) = laden.resume(0).await.unwrap();
        for n in 0..=ROOM {
            let ask = ping(n).replace("type", "to='paris@example.org/paris' type");
            romeo.send(ask).await.unwrap();
        }
        quiet(Duration::from_millis(1)).await;
        drop(romeo);
        quiet(Duration::from_millis(1)).await;
        assert_eq!(laden.waits(), QUEUE);
        for n in 0..=ROOM {
            let answer = format!("<iq type='result' to='romeo@example.org/romeo' id='q{n}'/>");
            paris.send(answer).await.unwrap();
            quiet(Duration::from_millis(1)).await;
            if n + 1 == ROOM {
                assert_eq!(laden.waits(), QUEUE + ROOM);
            }
        }
        assert_eq!(laden.world.server.metrics().overflowed_sessions.value(), 1);
        let refused = laden.resume(0).await.err().unwrap();
        assert!(refused.contains("item-not-found"), "{refused}");
        let romeo = "romeo@example.org".parse().unwrap();
        let kept = laden.world.server.stores().offline.count(&romeo).await;
        assert_eq!(kept.unwrap(), WINDOW + QUEUE, "what waited is kept");
        assert_eq!(laden.world.server.metrics().kept_sessions.value(), 0);
    });
}

/// A connection was read no further while a burst was pulled and half of the queue was used: nor were the acknowledgements that the
/// burst waited for.
#[test]
fn acknowledgements_are_read_while_a_burst_waits_for_them() {
    const STORED: usize = 10;
    run(async {
        let mut options = Options::default();
        options.stanzas = WINDOW;
        let builder = World::managing(0, options);
        let world = builder
            .configure(|config| config.session_queue.stanzas = QUEUE)
            .build();
        world.account("romeo").await;
        let mut juliet = world.login("juliet").await;
        for n in 0..STORED {
            let to = "to='romeo@example.org' type='chat'";
            let message = format!("<message {to} id='s{n}'><body>{n}</body></message>");
            juliet.send(message).await.unwrap();
        }
        let mut romeo = world.login("romeo").await;
        romeo.send(format!("<enable {SM}/>")).await.unwrap();
        romeo.element().await.unwrap();
        romeo.send("<presence/>").await.unwrap();
        quiet(Duration::from_millis(1)).await;
        for n in 0..QUEUE {
            let to = "to='romeo@example.org/romeo' type='chat'";
            let message = format!("<message {to} id='m{n}'><body>{n}</body></message>");
            juliet.send(message).await.unwrap();
        }
        quiet(Duration::from_millis(1)).await;
        assert!(world.server.session_queues().stanzas > QUEUE / 2);
        let (mut heard, mut stanzas) = (0, Vec::new());
        assert!(!hear(&mut romeo, &mut heard, &mut stanzas).await);
        assert_eq!(count(&stanzas, "<body>"), STORED + QUEUE);
    });
}
