//! The binary with PostgreSQL instead of SQLite, on database servers that the tests start
//! themselves: `cargo test -p example-server --test postgres -- --ignored`.
//! Needs PostgreSQL: `apt-get install -y postgresql`.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // a test, with a clock

#[allow(dead_code, reason = "xmpp-store's tests need more of it")]
#[path = "../../../xmpp-store/tests/postgres/cluster.rs"]
mod cluster;
#[allow(dead_code, reason = "the tests in cli.rs need more of it")]
#[path = "cli/harness.rs"]
mod harness;

use cluster::{Cluster, PASSWORD};
use harness::{Client, Running, Site};

/// A working directory whose settings name this database.
fn site(cluster: &Cluster) -> Site {
    let site = Site::new();
    site.set("postgresql__url", &cluster.tcp("127.0.0.1"));
    site.set("postgresql__timeout", "2 s");
    site.set("listen__monitoring", r#"["127.0.0.1:0"]"#);
    // Clients that stay are not what is tested here.
    site.set("shutdown__patience", "1 s");
    site.set("log__level", "debug");
    site
}

fn start(site: &Site) -> Running {
    site.start(&["--insecure-plaintext"])
}

#[track_caller]
fn end(mut server: Running) -> String {
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
    server.log()
}

/// Sends an IQ that succeeds.
#[track_caller]
fn ask(client: &mut Client, id: &str, iq: &str) {
    client.send(iq);
    let reply = client.read_until(&[&format!("id='{id}'")]);
    assert!(!reply.contains("<error"), "{reply}");
}

/// Returns when the server is done with all that the client has sent.
fn settle(client: &mut Client) {
    ask(
        client,
        "p",
        "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>",
    );
}

fn roster(client: &mut Client) -> String {
    client.send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
    client.read_until(&["</iq>"])
}

fn say(client: &mut Client, to: &str, text: &str) {
    client.send(&format!(
        "<message to='{to}@localhost' type='chat'><body>{text}</body></message>"
    ));
}

#[test]
#[ignore = "needs PostgreSQL"]
fn accounts_messages_and_rosters_outlive_a_restart() {
    let cluster = Cluster::start(None);
    let site = site(&cluster);
    let add = |jid, password| site.run(&["adduser", jid, "--password", password]);

    // Without a server the commands work on the database themselves.
    add("juliet@localhost", "before").succeeds("added juliet@localhost");
    add("juliet@localhost", "again").fails("is there already");
    let server = start(&site);
    add("romeo@localhost", "pw").succeeds("added romeo@localhost");
    add("nurse@localhost", "pw").succeeds("added");
    site.run(&["deluser", "nurse@localhost"])
        .succeeds("deleted");
    site.run(&["passwd", "juliet@localhost", "--password", "after"])
        .succeeds("set the password");
    site.run(&["users"])
        .is("juliet@localhost\nromeo@localhost\n");
    assert!(!server.login("juliet", "before"));
    assert!(!server.login("nurse", "pw"));

    let mut juliet = server.bind("juliet", "after");
    let mut romeo = server.bind("romeo", "pw");
    juliet.send("<presence/>");
    juliet.read_until(&["<presence"]);
    say(&mut romeo, "juliet", "Call me but love");
    let live = juliet.read_until(&["</message>"]);
    assert!(live.contains("<body>Call me but love</body>"), "{live}");
    assert!(!live.contains("urn:xmpp:delay"), "{live}");
    ask(
        &mut juliet,
        "s",
        "<iq type='set' id='s'><query xmlns='jabber:iq:roster'>\
         <item jid='romeo@localhost' name='Romeo'><group>Montague</group></item></query></iq>",
    );
    juliet.send("</stream:stream>");
    juliet.read_to_end();
    for text in ["first", "second", "third"] {
        say(&mut romeo, "juliet", text);
    }
    settle(&mut romeo);
    // A second start takes nothing from the first, its socket neither.
    site.run(&["run"]).fails("in use by another process");
    assert!(site.path("data/admin.sock").exists());
    site.run(&["backup", "copy"]).fails("pg_dump");
    let mut log = end(server);

    let server = start(&site);
    let mut juliet = server.bind("juliet", "after");
    let kept = roster(&mut juliet);
    for part in ["romeo@localhost", "Romeo", "<group>Montague</group>"] {
        assert!(kept.contains(part), "{part} in {kept}");
    }
    juliet.send("<presence/>");
    let stored = juliet.read_until(&["third</body>"]);
    let place = |text: &str| stored.find(&format!("<body>{text}</body>")).expect(text);
    assert!(place("first") < place("second") && place("second") < place("third"));
    assert!(stored.contains("urn:xmpp:delay"), "{stored}");
    assert!(!stored.contains("Call me but love"), "{stored}");
    juliet.send("</stream:stream>");
    juliet.read_to_end();
    log += &end(server);

    // They were delivered, so that the next start has none of them.
    let server = start(&site);
    let mut juliet = server.bind("juliet", "after");
    juliet.send("<presence/>");
    let mut romeo = server.bind("romeo", "pw");
    say(&mut romeo, "juliet", "last");
    let rest = juliet.read_until(&["last</body>"]);
    assert_eq!(rest.matches("<message").count(), 1, "{rest}");
    log += &end(server);

    assert!(!site.path("data/xmpp.sqlite3").exists());
    assert!(!log.contains(PASSWORD), "{log}");
}

#[test]
#[ignore = "needs PostgreSQL"]
fn what_was_kept_survives_kill_9() {
    let cluster = Cluster::start(None);
    let site = site(&cluster);
    for user in ["juliet", "romeo"] {
        let jid = format!("{user}@localhost");
        site.run(&["adduser", &jid, "--password", "pw"])
            .succeeds("added");
    }
    let mut server = start(&site);
    let mut romeo = server.bind("romeo", "pw");
    say(&mut romeo, "juliet", "O blessed night");
    settle(&mut romeo);
    server.signal("KILL");
    assert_eq!(server.wait().code(), None);

    let server = start(&site);
    let mut juliet = server.bind("juliet", "pw");
    juliet.send("<presence/>");
    juliet.read_until(&["<body>O blessed night</body>"]);
    end(server);
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_database_that_is_away_for_a_while_fails_requests_but_not_the_server() {
    let mut cluster = Cluster::start(None);
    let site = site(&cluster);
    site.run(&["adduser", "juliet@localhost", "--password", "pw"])
        .succeeds("added");
    let server = start(&site);
    let mut juliet = server.bind("juliet", "pw");
    let vcard = "<vCard xmlns='vcard-temp'><FN>Juliet</FN></vCard>";
    let set = format!("<iq type='set' id='s'>{vcard}</iq>");
    ask(&mut juliet, "s", &set);
    assert_eq!(server.http("GET /readyz").0, 200);

    cluster.crash();
    assert_eq!(server.http("GET /readyz").0, 503);
    assert_eq!(server.http("GET /healthz").0, 200);
    // RFC 6120 §8.3.3.6
    let get = "<iq type='get' id='v'><vCard xmlns='vcard-temp'/></iq>";
    juliet.send(get);
    let refused = juliet.read_until(&["</iq>"]);
    assert!(refused.contains("<internal-server-error"), "{refused}");
    site.run(&["adduser", "romeo@localhost", "--password", "pw"])
        .fails("error connecting");

    cluster.restart(false);
    harness::soon("it is ready again", || {
        (server.http("GET /readyz").0 == 200).then_some(())
    });
    juliet.send(get);
    let kept = juliet.read_until(&["</iq>"]);
    assert!(kept.contains("<FN>Juliet</FN>"), "{kept}");
    assert!(server.login("juliet", "pw"));
    end(server);
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_server_without_its_database_does_not_start_and_says_why() {
    let mut cluster = Cluster::start(None);
    cluster.crash();
    let site = site(&cluster);
    let refused = site.run(&["run"]);
    refused.fails("error connecting");
}
