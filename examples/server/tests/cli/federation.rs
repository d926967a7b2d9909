//! Two servers, of two domains.

use std::net::SocketAddr;

use super::harness::{Client, Running, Site, free_address, soon};

/// A server of a domain with one account, whose password is `pw`, which finds the other one by its settings.
fn start(domain: &str, user: &str, here: SocketAddr, other: (&str, SocketAddr)) -> (Site, Running) {
    let site = Site::new();
    site.set("domains__0__name", domain);
    site.set("s2s__listen", &format!("[\"{here}\"]"));
    let (other, there) = other;
    let peers = format!("{{ \"{other}\" = {{ host = \"{there}\" }} }}");
    site.set("s2s__peers", &peers);
    site.run(&["adduser", &format!("{user}@{domain}"), "--password", "pw"])
        .succeeds("added");
    let server = site.start(&["--insecure-plaintext"]);
    (site, server)
}

fn message(to: &str, body: &str) -> String {
    format!("<message to='{to}' type='chat'><body>{body}</body></message>")
}

fn available(client: &mut Client) {
    client.send("<presence/>");
    client.read_until(&["<presence"]);
}

#[test]
fn people_on_two_servers_speak_with_each_other() {
    let (a, b) = (free_address(), free_address());
    let (site, mut verona) = start("verona.example", "juliet", a, ("mantua.example", b));
    let (_other, mut mantua) = start("mantua.example", "romeo", b, ("verona.example", a));
    let mut juliet = verona.bind_at("verona.example", "juliet", "pw");
    let mut romeo = mantua.bind_at("mantua.example", "romeo", "pw");
    available(&mut juliet);
    available(&mut romeo);

    // Their certificates are their own making: they call each other back.
    juliet.send(&message("romeo@mantua.example", "Wherefore art thou?"));
    let heard = romeo.read_until(&["</message>"]);
    assert!(heard.contains("Wherefore"), "{heard}");
    assert!(heard.contains("from='juliet@verona.example/"), "{heard}");
    romeo.send(&message("juliet@verona.example", "Here"));
    let heard = juliet.read_until(&["</message>"]);
    assert!(heard.contains("<body>Here</body>"), "{heard}");

    let links = site.run(&["links"]);
    links.succeeds("mantua.example");
    links.succeeds("open");
    links.succeeds("tls");

    juliet.send("<iq type='get' id='v' to='mantua.example'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>");
    let heard = juliet.read_until(&["</iq>"]);
    assert!(heard.contains("category='server'"), "{heard}");

    // One of them comes back after a while, and is found again.
    mantua.signal("TERM");
    assert_eq!(mantua.wait().code(), Some(0));
    soon("the links are down", || {
        let links = site.run(&["links"]);
        links.is_empty().then_some(())
    });
    verona.signal("TERM");
    assert_eq!(verona.wait().code(), Some(0));
}

#[test]
fn a_server_can_keep_to_itself() {
    let site = Site::new();
    site.set("s2s__enabled", "false");
    site.run(&["adduser", "juliet@localhost", "--password", "pw"])
        .succeeds("added");
    let server = site.start(&["--insecure-plaintext"]);
    assert!(!server.greeting.contains("s2s"), "{}", server.greeting);
    let mut juliet = server.bind("juliet", "pw");
    juliet.send(&message("romeo@mantua.example", "?"));
    let error = juliet.read_until(&["</message>"]);
    assert!(error.contains("remote-server-not-found"), "{error}");
}

#[test]
fn an_address_that_is_taken_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let site = Site::new();
    let address = taken.local_addr().unwrap();
    site.set("s2s__listen", &format!("[\"{address}\"]"));
    let output = site.run(&["run"]);
    output.fails(&format!("cannot listen on {address} (s2s)"));
    output.fails("[s2s]");
}
