//! The binary itself, as an operator runs it: each test has a data folder of its own and
//! ports that the system chose.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // a test, with a clock

#[path = "cli/certificates.rs"]
mod certificates;
#[path = "cli/federation.rs"]
mod federation;
#[path = "cli/harness.rs"]
mod harness;
#[path = "cli/rooms.rs"]
mod rooms;
#[path = "cli/settings.rs"]
mod settings;

use harness::Site;
use xmpp_core::BareJid;

#[test]
fn a_server_starts_on_the_defaults_and_ends_gracefully() {
    let site = Site::new();
    let mut server = site.start(&[]);
    assert!(server.greeting.contains("adduser"), "{}", server.greeting);
    // What a first start makes, readable for its owner only.
    assert_eq!(site.mode("data"), 0o700);
    for name in [
        "secret",
        "localhost.key.pem",
        "xmpp.sqlite3",
        "admin.sock",
        "server.lock",
    ] {
        assert_eq!(site.mode(&format!("data/{name}")), 0o600, "{name}");
    }

    let mut client = server.connect("starttls");
    let features = client.open("localhost");
    assert!(features.contains("<required/>"), "{features}");
    assert!(!features.contains("<mechanisms"), "{features}");

    server.signal("TERM");
    let rest = client.read_to_end();
    // RFC 6120 §4.9.3.20
    assert!(rest.contains("<system-shutdown"), "{rest}");
    assert!(rest.ends_with("</stream:stream>"), "{rest}");
    assert_eq!(server.wait().code(), Some(0));
    assert!(!site.path("data/admin.sock").exists());
}

#[test]
fn an_interrupt_ends_it_as_well() {
    let site = Site::new();
    let mut server = site.start(&[]);
    server.signal("INT");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn accounts_are_kept_while_the_server_runs_and_while_it_does_not() {
    let site = Site::new();
    let add = |jid, password| site.run(&["adduser", jid, "--password", password]);
    add("juliet@localhost", "before").succeeds("added juliet@localhost");
    add("juliet@localhost", "again").fails("is there already");

    let mut server = site.start(&["--insecure-plaintext"]);
    assert!(server.greeting.contains("--insecure-plaintext"));
    add("romeo@localhost", "while").succeeds("added romeo@localhost");
    site.run(&["users"])
        .is("juliet@localhost\nromeo@localhost\n");
    assert!(server.login("juliet", "before"));
    assert!(server.login("romeo", "while"));
    assert!(!server.login("juliet", "again"));

    site.run_with_input(
        &["passwd", "juliet@localhost", "--password-stdin"],
        "after\n",
    )
    .succeeds("set the password");
    assert!(server.login("juliet", "after"));
    assert!(!server.login("juliet", "before"));
    site.run(&["passwd", "nurse@localhost", "--password", "x"])
        .fails("no account");
    site.run(&["deluser", "romeo@localhost"])
        .succeeds("deleted romeo@localhost");
    site.run(&["deluser", "romeo@localhost"])
        .fails("no account");
    assert!(!server.login("romeo", "while"));

    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    site.run(&["users", "localhost"]).is("juliet@localhost\n");
    site.run(&["passwd", "juliet@localhost", "--password", "later"])
        .succeeds("set");
    let server = site.start(&["--insecure-plaintext"]);
    assert!(server.login("juliet", "later"));
}

#[test]
fn deleting_an_account_ends_its_sessions() {
    let site = Site::new();
    site.run(&["adduser", "juliet@localhost", "--password", "pw"])
        .succeeds("added");
    let server = site.start(&["--insecure-plaintext"]);
    let mut client = server.bind("juliet", "pw");
    site.run(&["deluser", "juliet@localhost"])
        .succeeds("deleted");
    let rest = client.read_to_end();
    assert!(rest.contains("<not-authorized"), "{rest}");
}

#[test]
fn strangers_register_only_where_they_may() {
    const REGISTER: &str = "<iq type='set' id='r'><query xmlns='jabber:iq:register'>\
        <username>romeo</username><password>pw</password></query></iq>";
    let site = Site::new();
    let mut server = site.start(&["--insecure-plaintext"]);
    let mut client = server.connect("starttls");
    assert!(!client.open("localhost").contains("iq-register"));
    client.send(REGISTER);
    // RFC 6120 §4.9.3.12
    let rest = client.read_to_end();
    assert!(rest.contains("<not-authorized"), "{rest}");
    server.signal("TERM");
    server.wait();

    site.set("registration__enabled", "true");
    let server = site.start(&["--insecure-plaintext"]);
    let mut client = server.connect("starttls");
    assert!(client.open("localhost").contains("iq-register"));
    client.send(REGISTER);
    assert!(client.read_until(&["/>", "</iq>"]).contains("result"));
    assert!(server.login("romeo", "pw"));
    site.run(&["users"]).is("romeo@localhost\n");
}

#[test]
fn many_accounts_are_added_from_a_file() {
    let site = Site::new();
    let list: String = (0..20)
        .map(|i| format!("user{i:02}@localhost pw{i}\n"))
        .collect();
    std::fs::write(site.path("accounts.txt"), format!("# people\n\n{list}")).unwrap();
    let server = site.start(&["--insecure-plaintext"]);
    site.run(&["adduser", "user07@localhost", "--password", "mine"])
        .succeeds("added");
    site.run(&["adduser", "--file", "accounts.txt"])
        .succeeds("added 19 accounts; 1 were there already");
    assert!(server.login("user19", "pw19"));
    assert!(server.login("user07", "mine"));

    std::fs::write(site.path("bad.txt"), "a@localhost pw\nb@elsewhere pw\n").unwrap();
    site.run(&["adduser", "--file", "bad.txt"])
        .fails("elsewhere is not a domain");
    assert!(!server.login("a", "pw"), "all or nothing");
}

#[test]
fn more_accounts_than_fit_a_reply_are_listed() {
    let site = Site::new();
    std::fs::create_dir(site.path("data")).unwrap();
    let wanted: Vec<_> = (0..2500)
        .map(|i| BareJid::new(&format!("user{i:04}@localhost")).unwrap())
        .collect();
    site.seed(&wanted);
    let expected: String = wanted.iter().map(|jid| format!("{jid}\n")).collect();
    site.run(&["users"]).is(&expected);
    let _server = site.start(&[]);
    site.run(&["users"]).is(&expected);
}

#[test]
fn a_reply_is_bounded_in_bytes_as_well() {
    let site = Site::new();
    std::fs::create_dir(site.path("data")).unwrap();
    // RFC 7622 §3.3: up to 1023 octets; a backslash is one of those that JSON escapes.
    let wanted: Vec<_> = (0..600)
        .map(|i| BareJid::new(&format!("{}{i:03}@localhost", "\\".repeat(1000))).unwrap())
        .collect();
    site.seed(&wanted);
    let expected: String = wanted.iter().map(|jid| format!("{jid}\n")).collect();
    let _server = site.start(&[]);
    site.run(&["users"]).is(&expected);
}

#[test]
fn commands_reach_a_server_whose_folder_has_a_long_path() {
    let site = Site::new();
    let folder = "f".repeat(200);
    site.set("data", &site.path(&folder).display().to_string());
    let mut server = site.start(&["--insecure-plaintext"]);
    let socket = format!("{folder}/admin.sock");
    assert_eq!(site.mode(&socket), 0o600);
    site.run(&["adduser", "juliet@localhost", "--password", "pw"])
        .succeeds("added juliet@localhost");
    assert!(server.login("juliet", "pw"));
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    assert!(!site.path(&socket).exists());
    site.run(&["users"]).is("juliet@localhost\n");
}

#[test]
fn a_server_that_cannot_have_its_socket_serves_without() {
    let site = Site::new();
    site.run(&["adduser", "juliet@localhost", "--password", "pw"])
        .succeeds("added");
    std::fs::create_dir(site.path("data/admin.sock")).unwrap();
    let server = site.start(&["--insecure-plaintext"]);
    server.log_says("no admin socket");
    assert!(server.login("juliet", "pw"));
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let site = Site::new();
    let _server = site.start(&[]);
    site.run(&["run"])
        .fails("data is in use by another process");
    site.run(&["users"]).is("");
}

#[test]
fn the_store_is_copied_while_it_serves() {
    let site = Site::new();
    site.run(&["adduser", "juliet@localhost", "--password", "pw"])
        .succeeds("added");
    let mut server = site.start(&[]);
    site.run(&["backup", "copy.sqlite3"]).succeeds("copied");
    site.run(&["backup", "copy.sqlite3"])
        .fails("copy.sqlite3: the file exists already\n");
    site.run(&["deluser", "juliet@localhost"])
        .succeeds("deleted");
    server.signal("TERM");
    server.wait();
    // On another machine, say.
    site.set("data", "elsewhere");
    site.run(&["restore", "."])
        .fails("cannot read .: it is not a file\n");
    assert!(!site.path("elsewhere").exists());
    site.run(&["restore", "copy.sqlite3"]).succeeds("restored");
    site.run(&["users"]).is("juliet@localhost\n");
}

#[test]
fn a_restored_store_is_what_it_was_when_the_backup_was_made() {
    const MESSAGES: usize = 400;
    let site = Site::new();
    for user in ["juliet", "romeo"] {
        let jid = format!("{user}@localhost");
        site.run(&["adduser", &jid, "--password", "pw"])
            .succeeds("added");
    }
    let mut server = site.start(&["--insecure-plaintext"]);
    let mut romeo = server.bind("romeo", "pw");
    // Romeo writes before, during and after the backup.
    let mut say = |numbers: std::ops::Range<usize>| {
        for n in numbers {
            romeo.send(&format!(
                "<message to='juliet@localhost' type='chat'><body>{n}</body></message>"
            ));
        }
        romeo.send("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>");
        assert!(!romeo.read_until(&["id='p'"]).contains("<error"));
    };
    say(0..100);
    std::thread::scope(|scope| {
        scope.spawn(|| say(100..MESSAGES));
        site.run(&["backup", "copy.sqlite3"]).succeeds("copied");
    });
    site.run(&["adduser", "nurse@localhost", "--password", "pw"])
        .succeeds("added");
    site.run(&["passwd", "juliet@localhost", "--password", "other"])
        .succeeds("set");

    let restore = ["restore", "copy.sqlite3"];
    let force = ["restore", "--force", "copy.sqlite3"];
    for arguments in [&restore[..], &force[..]] {
        site.run(arguments).fails("stop the server first");
    }
    server.signal("KILL");
    server.wait();
    let log = site.path("data/xmpp.sqlite3-wal");
    assert!(std::fs::metadata(&log).unwrap().len() > 0);
    site.run(&restore).fails("--force");
    std::fs::write(site.path("bad.sqlite3"), "not a backup").unwrap();
    site.run(&["restore", "--force", "bad.sqlite3"])
        .fails("bad.sqlite3: file is not a database\n");
    site.run(&["users"])
        .is("juliet@localhost\nnurse@localhost\nromeo@localhost\n");

    // The commands have emptied the log: another, from another kill.
    let mut server = site.start(&["--insecure-plaintext"]);
    site.run(&["deluser", "romeo@localhost"])
        .succeeds("deleted");
    server.signal("KILL");
    server.wait();
    assert!(std::fs::metadata(&log).unwrap().len() > 0);
    site.run(&force).succeeds("restored");
    assert!(!log.exists());
    site.run(&["users"])
        .is("juliet@localhost\nromeo@localhost\n");
    let server = site.start(&["--insecure-plaintext"]);
    assert!(!server.login("juliet", "other"));
    let mut juliet = server.bind("juliet", "pw");
    juliet.send("<presence/>");
    let mut romeo = server.bind("romeo", "pw");
    romeo.send("<message to='juliet@localhost' type='chat'><body>last</body></message>");
    let got = juliet.read_until(&["<body>last</body>"]);
    let bodies: Vec<&str> = got
        .split("<body>")
        .skip(1)
        .map(|rest| rest.split('<').next().unwrap())
        .collect();
    let (last, stored) = bodies.split_last().unwrap();
    assert_eq!(*last, "last");
    assert!((100..=MESSAGES).contains(&stored.len()), "{}", stored.len());
    // All up to one moment, and none from after it.
    let expected: Vec<String> = (0..stored.len()).map(|n| n.to_string()).collect();
    assert_eq!(stored, expected);
}

#[test]
fn metrics_and_health_are_served_over_http() {
    let site = Site::new();
    site.set("listen__monitoring", r#"["127.0.0.1:0"]"#);
    site.run(&["adduser", "juliet@localhost", "--password", "pw"])
        .succeeds("added");
    let server = site.start(&["--insecure-plaintext"]);
    assert_eq!(server.http("GET /healthz"), (200, "alive\n".into()));
    assert_eq!(server.http("GET /readyz"), (200, "ready\n".into()));
    assert_eq!(server.http("GET /").0, 404);
    assert_eq!(server.http("POST /metrics").0, 405);

    let _client = server.bind("juliet", "pw");
    assert!(!server.login("juliet", "wrong"));
    let (status, text) = server.http("GET /metrics");
    assert_eq!(status, 200);
    let value = |sample: &str| -> f64 {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{sample} in {text}"))
            .parse()
            .unwrap()
    };
    assert_eq!(
        value(r#"xmpp_logins_total{mechanism="PLAIN",result="ok"}"#),
        1.0
    );
    assert_eq!(
        value(r#"xmpp_logins_total{mechanism="PLAIN",result="failed"}"#),
        1.0
    );
    assert_eq!(
        value(r#"xmpp_connections_accepted_total{kind="starttls"}"#),
        2.0
    );
    assert_eq!(value("xmpp_sessions"), 1.0);
    // Its client has read all there is.
    assert_eq!(value("xmpp_session_queue_stanzas"), 0.0);
    assert_eq!(value("xmpp_session_queue_most_stanzas_limit"), 1000.0);
    assert!(value(r#"xmpp_bytes_total{direction="received"}"#) > 300.0);
    assert!(value(r#"xmpp_bytes_total{direction="sent"}"#) > 300.0);
    let days = value(r#"xmpp_certificate_expiry_days{domain="localhost"}"#);
    assert!((364.0..366.0).contains(&days), "{days}");
    for secret in ["juliet", "wrong"] {
        assert!(!text.contains(secret));
    }
}

#[test]
fn a_store_that_takes_no_changes_is_seen_until_it_does() {
    let site = Site::new();
    site.set("listen__monitoring", r#"["127.0.0.1:0"]"#);
    let server = site.start(&[]);
    let failed = || {
        let (_, text) = server.http("GET /metrics");
        let value = text.split("\nxmpp_store_changes_failed_total ").nth(1);
        value.unwrap().lines().next().unwrap().to_owned()
    };
    assert_eq!(failed(), "0");
    // Another program holds the file for longer than is waited for.
    let other = rusqlite::Connection::open(site.path("data/xmpp.sqlite3")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let add = ["adduser", "juliet@localhost", "--password", "pw"];
    site.run(&add).fails("locked");
    assert_eq!(failed(), "1");
    assert_eq!(server.http("GET /readyz").0, 503);
    other.execute_batch("ROLLBACK").unwrap();
    harness::soon("it is ready", || {
        (server.http("GET /readyz").0 == 200).then_some(())
    });
    site.run(&add).succeeds("added");
}

#[test]
fn systemd_is_told() {
    let site = Site::new();
    let socket = std::os::unix::net::UnixDatagram::bind(site.path("notify")).unwrap();
    site.export("NOTIFY_SOCKET", site.path("notify"));
    let mut server = site.start(&[]);
    let told = || {
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    assert_eq!(told(), "READY=1");
    server.signal("TERM");
    assert_eq!(told(), "STOPPING=1");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn no_password_reaches_the_log() {
    let site = Site::new();
    site.set("log__level", "debug");
    site.set("log__format", "json");
    site.run(&["adduser", "juliet@localhost", "--password", "kept-secret"])
        .succeeds("added");
    let mut server = site.start(&["--insecure-plaintext"]);
    assert!(server.login("juliet", "kept-secret"));
    assert!(!server.login("juliet", "guessed-secret"));
    server.signal("TERM");
    server.wait();
    let log = server.log();
    assert!(log.contains("login failed"), "{log}");
    // RFC 4616: what PLAIN sends is base64 of these.
    for secret in ["-secret", "AGp1bGlld"] {
        assert!(!log.contains(secret), "{log}");
    }
    for line in log.lines() {
        assert!(line.starts_with('{') && line.ends_with('}'), "{line}");
    }
}
