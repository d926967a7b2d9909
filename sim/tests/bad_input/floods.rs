//! XML, and other bytes, that are meant to use up memory or time.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use sim::client::{Client, Heard};
use sim::link::{End, Line, Pieces};
use sim::world::quiet;
use sim::{World, run, xml};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use xmpp_core::io::Security;

use super::{Bystanders, end};

/// What may be on its way to the server when it closes: the link's window, and what it
/// reads in a turn.
const ON_ITS_WAY: usize = (64 << 10) + 4 * (16 << 10);
/// What the server allows before and after a login.
const BEFORE_LOGIN: usize = 10_000;
const AFTER_LOGIN: usize = 256 << 10;
/// What an attacker sends if nobody stops him.
const GIBIBYTE: usize = 1 << 30;

/// Sends `beginning`, and `more` of it until the server has closed its stream; returns
/// how many bytes that took, and the error.
async fn flood(client: Client<End>, beginning: &str, more: &str) -> (usize, String) {
    let (io, mut ears) = client.into_parts();
    let (mut reading, mut writing) = tokio::io::split(io);
    let mut errors = Vec::new();
    let listening = async {
        loop {
            match ears.hear(&mut reading).await {
                Heard::Xml(xml::Heard::Element(error)) => {
                    errors.extend(error.children().next().map(|child| child.name.clone()));
                }
                Heard::Xml(xml::Heard::Header(_)) => {}
                _ => return,
            }
        }
    };
    let chunk = more.repeat(4096 / more.len() + 1);
    let mut sent = beginning.len();
    let flooding = async {
        writing.write_all(beginning.as_bytes()).await.unwrap();
        while sent < GIBIBYTE && writing.write_all(chunk.as_bytes()).await.is_ok() {
            sent += chunk.len();
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        () = listening => {}
        () = flooding => {}
    }
    (sent, errors.join(", "))
}

struct Flood {
    what: &'static str,
    beginning: &'static str,
    more: &'static str,
    error: &'static str,
}

/// RFC 6120 §13.12: limits are the server's to set, `<policy-violation/>` is what it says;
/// §11.1: what XMPP forbids is `<restricted-xml/>`.
const FLOODS: [Flood; 9] = [
    Flood {
        what: "a stanza of a gigabyte",
        beginning: "<message><body>",
        more: "All the world's a stage. ",
        error: "policy-violation",
    },
    Flood {
        what: "deep nesting",
        beginning: "<message>",
        more: "<a>",
        error: "policy-violation",
    },
    Flood {
        what: "a tag without end",
        beginning: "<message ",
        more: "      ",
        error: "policy-violation",
    },
    Flood {
        what: "an attribute without end",
        beginning: "<message to='",
        more: "juliet",
        error: "policy-violation",
    },
    Flood {
        what: "a name without end",
        beginning: "<",
        more: "message",
        error: "policy-violation",
    },
    Flood {
        what: "children without end",
        beginning: "<message>",
        more: "<a/>",
        error: "policy-violation",
    },
    Flood {
        what: "character references without end",
        beginning: "<message><body>",
        more: "&#x1F339;",
        error: "policy-violation",
    },
    Flood {
        what: "CDATA without end",
        beginning: "<message><body><![CDATA[",
        more: "]]",
        error: "policy-violation",
    },
    Flood {
        what: "a comment without end",
        beginning: "<message><!--",
        more: " ",
        error: "restricted-xml",
    },
];

#[test]
fn xml_without_end_is_refused_at_its_limit_while_others_are_served() {
    for Flood {
        what,
        beginning,
        more,
        error,
    } in FLOODS
    {
        for (logged_in, limit) in [(false, BEFORE_LOGIN), (true, AFTER_LOGIN)] {
            run(async {
                let world = World::new(0);
                let mut bystanders = Bystanders::new(&world).await;
                let attacker = match logged_in {
                    true => world.login("tybalt").await,
                    false => {
                        let mut stranger = world.client();
                        stranger.greet("example.org").await.unwrap();
                        stranger
                    }
                };
                let flooding = flood(attacker, beginning, more);
                let (sent, told) = bystanders.chat_while(flooding).await;
                assert!(
                    sent <= limit + ON_ITS_WAY,
                    "{what}: {sent} bytes were taken"
                );
                assert_eq!(told, error, "{what}, {logged_in}");
                quiet(Duration::from_secs(10)).await;
                assert_eq!(world.driver.connections(), 2, "{what}");
                assert_eq!(world.server.budget().used(), 0, "{what}");
                bystanders.chat().await;
            });
        }
    }
}

#[test]
fn a_header_without_end_is_refused_at_its_limit() {
    run(async {
        let world = World::new(0);
        let mut bystanders = Bystanders::new(&world).await;
        for (beginning, more) in [
            (
                "<?xml version='1.0'?><stream:stream to='example.org' x='",
                "x",
            ),
            ("<stream:stream ", "xmlns='jabber:client' "),
            ("<stream:stream ", " "),
            ("<?xml version='1.0'", " "),
            ("", " \n"),
        ] {
            let flooding = flood(world.client(), beginning, more);
            let (sent, error) = bystanders.chat_while(flooding).await;
            assert!(sent <= 8 * 1024 + ON_ITS_WAY, "{beginning}: {sent}");
            let known = ["policy-violation", "not-well-formed"].contains(&error.as_str());
            assert!(known, "{beginning}: {error}");
        }
    });
}

/// RFC 6120 §11.1: "a processing instruction, … an internal or external DTD subset, … an
/// internal or external entity reference … MUST … `<restricted-xml/>`".
#[test]
fn nobody_laughs_a_billion_times() {
    const LAUGHS: &str = "<!DOCTYPE lolz [<!ENTITY lol 'lol'>\
        <!ENTITY lol2 '&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;'>\
        <!ENTITY lol3 '&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;'>]>";
    const HEADER: &str = "<stream:stream to='example.org' version='1.0' xmlns='jabber:client' \
        xmlns:stream='http://etherx.jabber.org/streams'>";
    run(async {
        let world = World::new(0);
        let mut bystanders = Bystanders::new(&world).await;
        let mut early = world.client();
        let text = format!("<?xml version='1.0'?>{LAUGHS}{HEADER}<message>&lol3;</message>");
        bystanders.chat_while(early.send(text)).await.unwrap();
        assert_eq!(end(&mut early).await, "restricted-xml");

        for text in [
            format!("<message><body>{LAUGHS}&lol3;</body></message>"),
            LAUGHS.to_owned(),
            "<message><body>&lol3;</body></message>".to_owned(),
            "<message><body><!ENTITY lol 'lol'></body></message>".to_owned(),
            "<message to='&lol;'/>".to_owned(),
        ] {
            let mut late = world.login("tybalt").await;
            bystanders.chat_while(late.send(&text)).await.unwrap();
            assert_eq!(end(&mut late).await, "restricted-xml", "{text}");
        }
    });
}

/// Many who send as much as they can, of what they may: nobody is starved by them.
#[test]
fn others_are_served_while_many_send_all_they_can() {
    const MANY: usize = 50;
    run(async {
        let world = World::new(0);
        let mut bystanders = Bystanders::new(&world).await;
        let body = "O".repeat(60_000);
        let mut tasks = Vec::new();
        for who in 0..MANY {
            let mut attacker = world.login(&format!("a{who}")).await;
            let text =
                format!("<message to='example.org' type='error'><body>{body}</body></message>");
            tasks.push(tokio::spawn(async move {
                while attacker.send(&text).await.is_ok() {}
            }));
        }
        for _ in 0..100 {
            bystanders.chat().await;
        }
        assert!(tasks.iter().all(|task| !task.is_finished()));
        tasks.iter().for_each(|task| task.abort());
    });
}

/// The same for the lines of a link that carries single bytes.
#[test]
fn single_bytes_are_no_way_to_starve_others() {
    run(async {
        let world = World::new(0);
        let mut bystanders = Bystanders::new(&world).await;
        let account = world.account("tybalt").await;
        let line = Line::perfect().pieces(Pieces::Of(1));
        let mut attacker = Client::new(world.connect(line, Line::perfect()));
        attacker
            .login(&account, None, &mut world.rng())
            .await
            .unwrap();
        let flooding = flood(attacker, "<message><body>", "x");
        let (sent, error) = bystanders.chat_while(flooding).await;
        assert!(sent <= AFTER_LOGIN + ON_ITS_WAY);
        assert_eq!(error, "policy-violation");
    });
}

/// Who goes on sending when the stream has ended, and always has more, is not listened to
/// for longer than others are made to wait.
#[test]
fn who_never_ends_has_his_turn_like_others_when_his_stream_has_ended() {
    /// As many bytes as anybody wants to read, and a hole to write into.
    struct Endless;

    impl AsyncRead for Endless {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            buf.initialize_unfilled().fill(b'x');
            buf.advance(buf.remaining());
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Endless {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    run(async {
        let world = World::new(0);
        let mut bystanders = Bystanders::new(&world).await;
        world.driver.connect(Endless, None, Security::Plain);
        for _ in 0..20 {
            bystanders.chat().await;
        }
        // As long as somebody is always ready, virtual time has to be pushed.
        tokio::time::advance(Duration::from_secs(10)).await;
        bystanders.chat().await;
        assert_eq!(world.driver.connections(), 2);
    });
}
