//! Three servers that are one: over zenoh, and over a server of NATS.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // a test, with a clock

#[path = "cli/harness.rs"]
#[allow(dead_code, reason = "the tests in cli.rs need more of it")]
mod harness;

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use harness::{Client, Running, Site, free_address, soon};

const NODES: [&str; 3] = ["a", "b", "c"];

/// Three nodes of one cluster; the first of them has the rooms.
fn cluster(engine: impl Fn(&Site, usize)) -> Vec<(Site, Running)> {
    let start = |(n, name): (usize, &&str)| {
        let site = Site::new();
        site.set("s2s__enabled", "false");
        site.set("cluster__node", name);
        site.set("rooms__enabled", if n == 0 { "true" } else { "false" });
        engine(&site, n);
        let accounts = ["adduser", "romeo@localhost", "juliet@localhost"];
        let added = site.run(&[&accounts[..], &["--password", "pw"]].concat());
        added.succeeds("added");
        let server = site.start(&["--insecure-plaintext"]);
        (site, server)
    };
    let nodes: Vec<_> = NODES.iter().enumerate().map(start).collect();
    for (site, _) in &nodes {
        soon("all nodes see each other", || {
            let status = site.run(&["cluster", "status"]);
            (status.stdout().matches(" up ").count() == 2).then_some(())
        });
    }
    nodes
}

fn zenoh() -> (tempfile::TempDir, impl Fn(&Site, usize)) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap().to_owned();
    let make = [&["cluster", "certificates", "--out", &out][..], &NODES].concat();
    Site::new().run(&make).succeeds("a.key.pem");
    let all: [SocketAddr; 3] = std::array::from_fn(|_| free_address());
    let engine = move |site: &Site, n: usize| {
        let list = |all: &[SocketAddr]| {
            format!(
                "{:?}",
                all.iter().map(ToString::to_string).collect::<Vec<_>>()
            )
        };
        site.set("cluster__zenoh__listen", &list(&all[n..=n]));
        // Those that are there already; the others are found.
        site.set("cluster__zenoh__connect", &list(&all[..n.min(1)]));
        site.set("cluster__zenoh__nodes", &format!("{NODES:?}"));
        let name = NODES[n];
        site.set(
            "cluster__zenoh__authority",
            &format!("{out}/authority.crt.pem"),
        );
        site.set(
            "cluster__zenoh__certificate",
            &format!("{out}/{name}.crt.pem"),
        );
        site.set("cluster__zenoh__key", &format!("{out}/{name}.key.pem"));
    };
    (folder, engine)
}

struct Nats(Child);

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn nats() -> (Nats, impl Fn(&Site, usize)) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cluster/nats.conf");
    let address = free_address();
    let mut command = Command::new("nats-server");
    command.arg("--config").arg(file);
    command.args(["--addr", "127.0.0.1", "--port", &address.port().to_string()]);
    let server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let server = Nats(server.expect(
        "this test runs nats-server (Debian's package nats-server; .ci/install brings it in)",
    ));
    soon("nats-server listens", || TcpStream::connect(address).ok());
    let engine = move |site: &Site, n: usize| {
        site.set("cluster__engine", "nats");
        site.set("cluster__nats__servers", &format!("[\"{address}\"]"));
        site.set("cluster__nats__user", NODES[n]);
        site.set(
            "cluster__nats__password",
            &format!("password of {}", NODES[n]),
        );
    };
    (server, engine)
}

fn message(to: &str, body: &str) -> String {
    format!("<message to='{to}' type='chat'><body>{body}</body></message>")
}

fn available(client: &mut Client) {
    client.send("<presence/>");
    client.read_until(&["<presence"]);
}

/// A client with a stream that can be resumed; the stream's name and its full JID.
fn resumable(server: &Running, user: &str) -> (Client, String, String) {
    let mut client = server.connect("starttls");
    assert!(client.login_at("localhost", user, "pw"));
    client.open("localhost");
    client.send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
    let bound = client.read_until(&["</iq>"]);
    client.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
    let enabled = client.read_until(&["<enabled"]);
    let between = |text: &str, from: &str, to: &str| {
        let (_, rest) = text.split_once(from).unwrap();
        rest.split_once(to).unwrap().0.to_owned()
    };
    let quote = match enabled.contains(" id='") {
        true => "'",
        false => "\"",
    };
    let id = between(&enabled, &format!(" id={quote}"), quote);
    (client, id, between(&bound, "<jid>", "</jid>"))
}

/// A client that resumes a stream; what it is sent up to there.
#[track_caller]
fn resume(server: &Running, user: &str, id: &str, h: u32, until: &str) -> (Client, String) {
    let mut client = server.connect("starttls");
    assert!(client.login_at("localhost", user, "pw"));
    client.open("localhost");
    client.send(&format!(
        "<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='{h}'/>"
    ));
    let heard = client.read_until(&[until, "<failed"]);
    assert!(heard.contains("<resumed"), "{heard}");
    (client, heard)
}

/// Streams are resumed where they were not begun, sessions are sent away, and a node that is drained or stopped leaves nobody behind.
fn sessions_move(mut nodes: Vec<(Site, Running)>) {
    let mut romeo = nodes[0].1.bind("romeo", "pw");
    available(&mut romeo);
    let (mut juliet, id, jid) = resumable(&nodes[2].1, "juliet");
    available(&mut juliet);
    let at = |nodes: &[(Site, Running)], node: &str| {
        soon(&format!("she is at {node}, available"), || {
            let place = nodes[0].0.run(&["cluster", "where", &jid]);
            let place = place.stdout();
            (place.starts_with(&format!("{node} ")) && place.contains(" available")).then_some(())
        });
    };
    at(&nodes, "c");
    drop(juliet);
    romeo.send(&message("juliet@localhost", "while you were away"));
    let (juliet, heard) = resume(&nodes[1].1, "juliet", &id, 1, "while you were away");
    assert_eq!(heard.matches("while you were away").count(), 1, "{heard}");
    at(&nodes, "b");
    nodes[0]
        .0
        .run(&["cluster", "move", &jid, "c"])
        .fails("no session here");
    nodes[1]
        .0
        .run(&["cluster", "move", &jid, "nowhere"])
        .fails("is up");
    nodes[1]
        .0
        .run(&["cluster", "move", &jid, "c"])
        .succeeds("is at c");
    at(&nodes, "c");
    drop(juliet);
    romeo.send(&message("juliet@localhost", "at another place"));
    nodes[2]
        .0
        .run(&["cluster", "drain"])
        .is("moved 1, kept 0\n");
    let (juliet, heard) = resume(&nodes[0].1, "juliet", &id, 2, "at another place");
    assert_eq!(heard.matches("at another place").count(), 1, "{heard}");
    at(&nodes, "a");
    // A node that is stopped drains itself.
    drop(juliet);
    nodes[0].1.signal("TERM");
    assert_eq!(nodes[0].1.wait().code(), Some(0), "{}", nodes[0].1.log());
    let (mut juliet, _) = resume(&nodes[1].1, "juliet", &id, 3, "<resumed");
    let mut romeo = nodes[1].1.bind("romeo", "pw");
    romeo.send(&message(&jid, "still the same"));
    juliet.read_until(&["still the same"]);
}

/// What is to be seen of any three nodes.
fn are_one(mut nodes: Vec<(Site, Running)>) {
    let mut romeo = nodes[0].1.bind("romeo", "pw");
    let mut juliet = nodes[2].1.bind("juliet", "pw");
    available(&mut romeo);
    available(&mut juliet);
    for (site, _) in &nodes {
        soon("each node knows where everybody is", || {
            let romeo = site.run(&["cluster", "where", "romeo@localhost"]);
            let juliet = site.run(&["cluster", "where", "juliet@localhost"]);
            let known = romeo.stdout().starts_with("a ") && juliet.stdout().starts_with("c ");
            known.then_some(())
        });
    }
    for n in 0..3 {
        romeo.send(&message("juliet@localhost", &format!("there {n}")));
        juliet.read_until(&[&format!("there {n}")]);
        juliet.send(&message("romeo@localhost", &format!("back {n}")));
        romeo.read_until(&[&format!("back {n}")]);
    }

    // The rooms are at a, and entered from c.
    for (client, nick) in [(&mut romeo, "romeo"), (&mut juliet, "juliet")] {
        client.send(&format!(
            "<presence to='hall@rooms.localhost/{nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
        ));
        client.read_until(&["<subject"]);
        if nick == "romeo" {
            client.send("<iq type='set' id='o' to='hall@rooms.localhost'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>");
            client.read_until(&["id='o'"]);
        }
    }
    juliet.send(
        "<message to='hall@rooms.localhost' type='groupchat'><body>all of you</body></message>",
    );
    romeo.read_until(&["all of you"]);

    // Nobody has said goodbye: that she is gone is noticed, and what is for her is kept.
    let (_site, mut dead) = nodes.pop().unwrap();
    dead.signal("KILL");
    dead.wait();
    let site = &nodes[0].0;
    soon("c is noticed to be down", || {
        site.run(&["cluster", "status"])
            .stdout()
            .contains(" down ")
            .then_some(())
    });
    site.run(&["cluster", "where", "juliet@localhost"])
        .fails("nowhere");
    romeo.send(&message("juliet@localhost", "come back"));
    let mut juliet = nodes[0].1.bind("juliet", "pw");
    juliet.send("<presence/>");
    juliet.read_until(&["come back"]);

    let log = nodes[1].1.log();
    assert!(log.contains("is down: nothing is heard"), "{log}");
    for (_, mut server) in nodes {
        server.signal("TERM");
        assert_eq!(server.wait().code(), Some(0), "{}", server.log());
    }
}

#[test]
fn three_nodes_over_zenoh_are_one_server() {
    let (_folder, engine) = zenoh();
    are_one(cluster(engine));
}

#[test]
fn sessions_move_between_nodes_over_zenoh() {
    let (_folder, engine) = zenoh();
    sessions_move(cluster(engine));
}

#[test]
fn sessions_move_between_nodes_over_nats() {
    let (_server, engine) = nats();
    sessions_move(cluster(engine));
}

#[test]
fn three_nodes_over_nats_are_one_server() {
    let (_server, engine) = nats();
    are_one(cluster(engine));
}

/// Another server is reached over one of them, and calls back at another.
fn another_server_is_reached_over_one(engine: impl Fn(&Site, usize)) {
    // Of the three it is b that is first for this name.
    const DOMAIN: &str = "verona.example";
    let (here, there) = (free_address(), free_address());
    let nodes = cluster(|site, n| {
        engine(site, n);
        let listen = if n == 0 { here } else { free_address() };
        site.set("s2s__enabled", "true");
        site.set("s2s__secret", "the same on all");
        site.set("s2s__listen", &format!("[\"{listen}\"]"));
        site.set(
            "s2s__peers",
            &format!("{{ \"{DOMAIN}\" = {{ host = \"{there}\" }} }}"),
        );
    });
    let site = Site::new();
    site.set("domains__0__name", DOMAIN);
    site.set("s2s__listen", &format!("[\"{there}\"]"));
    site.set(
        "s2s__peers",
        &format!("{{ \"localhost\" = {{ host = \"{here}\" }} }}"),
    );
    let paris = format!("paris@{DOMAIN}");
    site.run(&["adduser", &paris, "--password", "pw"])
        .succeeds("added");
    let verona = site.start(&["--insecure-plaintext"]);
    let mut paris = verona.bind_at(DOMAIN, "paris", "pw");
    available(&mut paris);
    let mut romeo = nodes[0].1.bind("romeo", "pw");
    let mut juliet = nodes[2].1.bind("juliet", "pw");
    available(&mut romeo);
    available(&mut juliet);
    for (site, _) in &nodes {
        soon("each node knows the way", || {
            let place = site.run(&["cluster", "where", DOMAIN]);
            place.stdout().starts_with("b ").then_some(())
        });
    }
    for n in 0..3 {
        for from in [&mut romeo, &mut juliet] {
            from.send(&message(&format!("paris@{DOMAIN}"), &format!("hear {n}")));
            paris.read_until(&[&format!("hear {n}")]);
        }
    }
    let links = |n: usize| nodes[n].0.run(&["links"]).stdout().to_owned();
    assert!(links(1).contains(DOMAIN), "{}", links(1));
    assert!(!links(2).contains(DOMAIN), "{}", links(2));
    paris.send(&message("juliet@localhost", "heard"));
    juliet.read_until(&["heard"]);
    // The next one takes over.
    nodes[1].1.signal("KILL");
    juliet.send(&message(&format!("paris@{DOMAIN}"), "still there"));
    paris.read_until(&["still there"]);
}

#[test]
fn another_server_is_reached_over_one_node() {
    let (_certificates, engine) = zenoh();
    another_server_is_reached_over_one(engine);
}

#[test]
fn a_node_that_cannot_join_says_so() {
    let site = Site::new();
    site.set("cluster__node", "a");
    site.set("cluster__engine", "nats");
    site.set(
        "cluster__nats__servers",
        &format!("[\"{}\"]", free_address()),
    );
    site.set("cluster__nats__user", "a");
    site.set("cluster__nats__password", "x");
    site.run(&["run"]).fails("a cannot join the cluster");
    site.run(&["cluster", "status"])
        .fails("no server runs that is a node of a cluster");
}
