//! Two servers, of two domains.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::harness::{Client, Running, Site, free_address, soon};

/// A server of a domain with one account, whose password is `pw`, which finds the other one by its settings.
fn start(domain: &str, user: &str, here: SocketAddr, other: (&str, SocketAddr)) -> (Site, Running) {
    start_with(domain, user, here, other, "")
}

/// The same, with more to say of the other one.
fn start_with(
    domain: &str,
    user: &str,
    here: SocketAddr,
    other: (&str, SocketAddr),
    more: &str,
) -> (Site, Running) {
    let site = Site::new();
    site.set("domains__0__name", domain);
    site.set("s2s__listen", &format!("[\"{here}\"]"));
    let (other, there) = other;
    let peers = format!("{{ \"{other}\" = {{ host = \"{there}\"{more} }} }}");
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

/// XEP-0138, for a peer of whom the settings say so; what proves these two is dialback.
#[test]
fn a_link_is_compressed_where_both_servers_have_it_so() {
    let (a, b) = (free_address(), free_address());
    let zlib = ", compression = \"zlib\"";
    let other = ("mantua.example", b);
    let (site, verona) = start_with("verona.example", "juliet", a, other, zlib);
    let other = ("verona.example", a);
    let (_other, mantua) = start_with("mantua.example", "romeo", b, other, zlib);
    let mut juliet = verona.bind_at("verona.example", "juliet", "pw");
    let mut romeo = mantua.bind_at("mantua.example", "romeo", "pw");
    available(&mut juliet);
    available(&mut romeo);
    for n in 0..3 {
        juliet.send(&message("romeo@mantua.example", &format!("there {n}")));
        romeo.read_until(&[&format!("there {n}")]);
        romeo.send(&message("juliet@verona.example", &format!("back {n}")));
        juliet.read_until(&[&format!("back {n}")]);
    }
    site.run(&["links"]).succeeds("zlib");
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

    drop((juliet, romeo));
    mantua.signal("TERM");
    assert_eq!(mantua.wait().code(), Some(0));
    soon("the links are down", || {
        let links = site.run(&["links"]);
        links.is_empty().then_some(())
    });
    verona.signal("TERM");
    assert_eq!(verona.wait().code(), Some(0));
}

/// A cable between two servers, which can be cut.
struct Cable {
    address: SocketAddr,
    ends: Arc<Mutex<Vec<TcpStream>>>,
}

impl Cable {
    fn to(there: SocketAddr) -> Cable {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let ends: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let held = ends.clone();
        thread::spawn(move || {
            for near in listener.incoming() {
                let (near, far) = (near.unwrap(), TcpStream::connect(there));
                // Not yet, or not any more.
                let Ok(far) = far else { continue };
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    held.lock().unwrap().push(from.try_clone().unwrap());
                    thread::spawn(move || carry(from, to));
                }
            }
        });
        Cable { address, ends }
    }

    fn cut(&self) {
        for end in self.ends.lock().unwrap().drain(..) {
            // One that has ended by itself cannot be.
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    let mut chunk = [0; 4096];
    while let Ok(length) = from.read(&mut chunk)
        && length > 0
        && to.write_all(&chunk[..length]).is_ok()
    {}
    let _ = to.shutdown(Shutdown::Both);
}

/// XEP-0198 between servers: what was on its way is sent again, and nothing twice.
#[test]
fn a_cable_that_is_cut_loses_nothing() {
    const MESSAGES: usize = 300;
    let (a, b) = (free_address(), free_address());
    let cable = Cable::to(b);
    let (site, verona) = start(
        "verona.example",
        "juliet",
        a,
        ("mantua.example", cable.address),
    );
    let (_other, mantua) = start("mantua.example", "romeo", b, ("verona.example", a));
    let mut juliet = verona.bind_at("verona.example", "juliet", "pw");
    let mut romeo = mantua.bind_at("mantua.example", "romeo", "pw");
    available(&mut romeo);
    juliet.send(&message("romeo@mantua.example", "first"));
    romeo.read_until(&["first"]);
    for n in 0..MESSAGES {
        juliet.send(&message("romeo@mantua.example", &format!("m{n}.")));
        if n % 50 == 25 {
            cable.cut();
        }
        thread::sleep(Duration::from_millis(2));
    }
    let last = format!("m{}.</body>", MESSAGES - 1);
    let heard = romeo.read_until(&[&last]);
    let bodies = heard.split("<body>m").skip(1);
    let numbers: Vec<usize> = bodies
        .map(|body| body.split_once('.').unwrap().0.parse().unwrap())
        .collect();
    let expected: Vec<usize> = (0..MESSAGES).collect();
    assert_eq!(numbers, expected, "{}", site.run(&["links"]).stdout());
}

/// A client whose stream is acknowledged and can be resumed, and the name of that.
fn managed(server: &Running) -> (Client, String) {
    let mut client = server.bind_at("verona.example", "juliet", "pw");
    client.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
    let enabled = client.read_until(&["/>"]);
    let (_, id) = enabled.split_once(" id='").unwrap();
    let (id, _) = id.split_once('\'').unwrap();
    (client, id.to_owned())
}

/// What is acknowledged arrives, or its sender hears an error: also if that is known only after a restart.
#[test]
fn what_a_restart_leaves_unsent_is_told_to_whoever_resumes() {
    // It accepts connections, and says nothing.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = ("mantua.example", mute.local_addr().unwrap());
    let (site, mut verona) = start("verona.example", "juliet", free_address(), there);
    let (mut juliet, id) = managed(&verona);
    juliet.send(&message("romeo@mantua.example", "Wherefore?"));
    juliet.send("<r xmlns='urn:xmpp:sm:3'/>");
    juliet.read_until(&["h='1'"]);
    verona.signal("TERM");
    let rest = juliet.read_to_end();
    assert!(!rest.contains("</stream:stream>"), "{rest}");
    assert!(!rest.contains("error"), "there is time yet: {rest}");
    assert_eq!(verona.wait().code(), Some(0));

    site.set("s2s__limits__links__connect", "1 s");
    let verona = site.start(&["--insecure-plaintext"]);
    verona.log_says("stanzas of the run before wait for other servers");
    let mut juliet = verona.connect("starttls");
    assert!(juliet.login_at("verona.example", "juliet", "pw"));
    juliet.open("verona.example");
    juliet.send(&format!(
        "<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='0'/>"
    ));
    let heard = juliet.read_until(&["</message>"]);
    assert!(heard.contains("<resumed "), "{heard}");
    assert!(heard.contains("<remote-server-timeout"), "{heard}");
}

/// The same if the process is killed, and the other server comes only then.
#[test]
fn what_is_acknowledged_reaches_the_other_server_though_this_one_is_killed() {
    let (a, b) = (free_address(), free_address());
    let there = ("mantua.example", b);
    let (site, mut verona) = start("verona.example", "juliet", a, there);
    let (mut juliet, _) = managed(&verona);
    for n in 0..9 {
        juliet.send(&message("romeo@mantua.example", &format!("m{n}.")));
    }
    juliet.send("<r xmlns='urn:xmpp:sm:3'/>");
    juliet.read_until(&["h='9'"]);
    verona.signal("KILL");
    verona.wait();

    let verona = site.start(&["--insecure-plaintext"]);
    let (_other, mantua) = start("mantua.example", "romeo", b, ("verona.example", a));
    let mut romeo = mantua.bind_at("mantua.example", "romeo", "pw");
    available(&mut romeo);
    let heard = romeo.read_until(&["<body>m8.</body>"]);
    let messages: Vec<&str> = heard.split("<message ").skip(1).collect();
    assert_eq!(messages.len(), 9, "{heard}");
    for (n, message) in messages.iter().enumerate() {
        assert!(message.contains(&format!("<body>m{n}.</body>")), "{heard}");
        let delay = "<delay xmlns='urn:xmpp:delay' from='verona.example'";
        // Of the last one the end may be to come.
        assert!(n == 8 || message.contains(delay), "{heard}");
    }
    drop(verona);
}

/// The same while stanzas go to a server that is there, over a cable that is cut at the last moment.
#[test]
fn what_is_acknowledged_arrives_though_the_server_is_killed_in_the_midst_of_it() {
    const ACKNOWLEDGED: usize = 220;
    let (a, b) = (free_address(), free_address());
    let cable = Cable::to(b);
    let there = ("mantua.example", cable.address);
    let (site, mut verona) = start("verona.example", "juliet", a, there);
    let (_other, mantua) = start("mantua.example", "romeo", b, ("verona.example", a));
    let mut romeo = mantua.bind_at("mantua.example", "romeo", "pw");
    available(&mut romeo);
    let (mut juliet, _) = managed(&verona);
    for n in 0..ACKNOWLEDGED {
        juliet.send(&message("romeo@mantua.example", &format!("m{n}.")));
        if [ACKNOWLEDGED / 2, ACKNOWLEDGED - 9].contains(&n) {
            cable.cut();
        }
    }
    juliet.send("<r xmlns='urn:xmpp:sm:3'/>");
    juliet.read_until(&[&format!("h='{ACKNOWLEDGED}'")]);
    for n in 0..30 {
        juliet.send(&message(
            "romeo@mantua.example",
            &format!("m{}.", ACKNOWLEDGED + n),
        ));
    }
    verona.signal("KILL");
    verona.wait();

    let verona = site.start(&["--insecure-plaintext"]);
    let (mut juliet, _) = managed(&verona);
    juliet.send(&message("romeo@mantua.example", "the last"));
    let heard = romeo.read_until(&["the last"]);
    let bodies = heard.split("<body>m").skip(1);
    let mut numbers: Vec<usize> = Vec::new();
    for body in bodies {
        let number = body.split_once('.').unwrap().0.parse().unwrap();
        // What was sent and not acknowledged when the process ended comes twice.
        if !numbers.contains(&number) {
            numbers.push(number);
        }
    }
    assert!(numbers.is_sorted(), "{numbers:?}");
    let acknowledged: Vec<usize> = (0..ACKNOWLEDGED).collect();
    assert!(numbers.starts_with(&acknowledged), "{numbers:?}");
}

#[test]
fn a_hangup_has_the_peers_read_again_and_an_error_changes_nothing() {
    let (a, b) = (free_address(), free_address());
    let site = Site::new();
    site.set("domains__0__name", "verona.example");
    site.set("s2s__listen", &format!("[\"{a}\"]"));
    let write = |rest: &str| {
        let text = format!("[s2s.peers]\n\"mantua.example\" = {{ host = \"{b}\"{rest} }}\n");
        std::fs::write(site.path("server.toml"), text).unwrap();
    };
    write("");
    let options = ["-c", "server.toml"];
    let add = ["adduser", "juliet@verona.example", "--password", "pw"];
    site.run(&[&options, &add[..]].concat()).succeeds("added");
    let verona = site.start(&[&options[..], &["--insecure-plaintext"]].concat());
    let (_other, mantua) = start("mantua.example", "romeo", b, ("verona.example", a));
    let mut juliet = verona.bind_at("verona.example", "juliet", "pw");
    let mut romeo = mantua.bind_at("mantua.example", "romeo", "pw");
    available(&mut juliet);
    available(&mut romeo);
    juliet.send(&message("romeo@mantua.example", "one"));
    romeo.read_until(&["one"]);
    romeo.send(&message("juliet@verona.example", "two"));
    juliet.read_until(&["two"]);

    write(", blocked = true");
    verona.signal("HUP");
    verona.log_says("peers reloaded");
    juliet.send(&message("romeo@mantua.example", "three"));
    juliet.read_until(&["<not-allowed"]);
    romeo.send(&message("juliet@verona.example", "four"));
    let error = romeo.read_until(&["</message>"]);
    assert!(error.contains("<remote-server-timeout"), "{error}");

    write(", blocked = 7");
    verona.signal("HUP");
    verona.log_says("peers not reloaded");
    juliet.send(&message("romeo@mantua.example", "five"));
    juliet.read_until(&["<not-allowed"]);

    write("");
    verona.signal("HUP");
    soon("they are read again", || {
        let log = verona.log();
        (log.matches("peers reloaded").count() == 2).then_some(())
    });
    juliet.send(&message("romeo@mantua.example", "six"));
    let heard = romeo.read_until(&["</message>"]);
    assert!(heard.contains("six"), "{heard}");
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
