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
fn three_nodes_over_nats_are_one_server() {
    let (_server, engine) = nats();
    are_one(cluster(engine));
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
