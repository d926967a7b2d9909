//! The binary itself, as an operator runs it: each test has a data folder of its own and
//! ports that the system chose.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // a test, with a clock

#[path = "cli/harness.rs"]
mod harness;

use harness::Site;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use xmpp_core::BareJid;

#[test]
fn a_server_starts_on_the_defaults_and_ends_gracefully() {
    let site = Site::new();
    let mut server = site.start(&[]);
    assert!(server.greeting.contains("adduser"), "{}", server.greeting);
    // What a first start makes, readable for its owner only.
    assert_eq!(site.mode("data"), 0o700);
    for name in ["secret", "localhost.key.pem", "xmpp.sqlite3", "admin.sock"] {
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
fn each_domain_has_its_contacts_and_administrators() {
    let site = Site::new();
    std::fs::write(
        site.path("server.toml"),
        "[[domains]]\nname = \"localhost\"\nadministrators = [\"nurse@localhost\"]\n\
         [domains.contacts]\nabuse = [\"mailto:here\"]\n\
         [[domains]]\nname = \"b.example\"\n\
         [contacts]\nabuse = [\"mailto:all\"]\n",
    )
    .unwrap();
    let accounts = "nurse@localhost pw\njuliet@localhost pw\nromeo@localhost pw\n";
    std::fs::write(site.path("accounts.txt"), accounts).unwrap();
    let configured = ["--config", "server.toml"];
    site.run(&[&["adduser", "--file", "accounts.txt"], &configured[..]].concat())
        .succeeds("added 3");
    site.run(&[&["check-config"], &configured[..]].concat())
        .succeeds("in order");
    let server = site.start(&[&["--insecure-plaintext"], &configured[..]].concat());

    const INFO: &str = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
    const LAST: &str = "<query xmlns='jabber:iq:last'/>";
    let ask = |user, to, query| {
        let mut client = server.bind(user, "pw");
        client.send(&format!("<iq type='get' id='q' to='{to}'>{query}</iq>"));
        client.read_until(&["</iq>"])
    };
    let info = ask("romeo", "localhost", INFO);
    assert!(
        info.contains("mailto:here") && !info.contains("mailto:all"),
        "{info}"
    );
    let info = ask("romeo", "b.example", INFO);
    assert!(
        info.contains("mailto:all") && !info.contains("mailto:here"),
        "{info}"
    );

    let last = ask("romeo", "juliet@localhost", LAST);
    assert!(last.contains("<forbidden"), "{last}");
    let last = ask("nurse", "juliet@localhost", LAST);
    assert!(
        last.contains("<item-not-found"),
        "she was never there: {last}"
    );
    let last = ask("nurse", "nurse@localhost", LAST);
    assert!(last.contains("seconds='0'"), "{last}");
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
fn a_hangup_brings_the_new_certificate_and_a_bad_one_is_refused() {
    let site = Site::new();
    site.run(&["gen-cert", "localhost", "--out", "certificates"])
        .succeeds("localhost.crt.pem");
    let certificate = site.path("certificates/localhost.crt.pem");
    let mut server = site.start(&[]);
    let first = server.certificate();
    assert_ne!(first, harness::leaf(&certificate));

    let ours = site.path("data/localhost.crt.pem");
    std::fs::copy(&certificate, &ours).unwrap();
    server.signal("HUP");
    server.log_says("certificates not reloaded");
    assert_eq!(server.certificate(), first, "the key is another's");

    std::fs::copy(
        site.path("certificates/localhost.key.pem"),
        site.path("data/localhost.key.pem"),
    )
    .unwrap();
    server.signal("HUP");
    server.log_says("certificates reloaded");
    assert_eq!(server.certificate(), harness::leaf(&ours));
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_listener_can_leave_tls_to_the_client() {
    let site = Site::new();
    site.set(
        "listen__starttls",
        r#"["127.0.0.1:0", { address = "127.0.0.1:0", tls = "optional" }]"#,
    );
    site.set("registration__enabled", "true");
    site.run(&["adduser", "juliet@localhost", "--password", "pw"])
        .succeeds("added");
    let server = site.start(&[]);
    let features = server.connect("starttls").open("localhost");
    assert!(features.contains("<required/>"), "{features}");
    assert!(!features.contains("<mechanisms"), "{features}");

    let mut client = server.connect("starttls, TLS optional");
    let features = client.open("localhost");
    assert!(features.contains("<starttls"), "{features}");
    assert!(!features.contains("<required/>"), "{features}");
    assert!(features.contains("SCRAM-SHA-256<"), "{features}");
    for secret in ["PLAIN", "iq-register"] {
        assert!(!features.contains(secret), "{features}");
    }
    client.login_by_scram("juliet", "pw");
    let features = client.open("localhost");
    assert!(features.contains("xmpp-bind"), "{features}");
}

#[test]
fn a_listed_address_that_cannot_be_had_ends_the_start() {
    // TEST-NET-1 (RFC 5737): nobody's.
    for (kind, address) in [
        ("starttls", "192.0.2.1:0"),
        ("direct_tls", "[2001:db8::1]:0"),
        ("monitoring", "192.0.2.1:0"),
    ] {
        let site = Site::new();
        let list = format!("[\"127.0.0.1:0\", \"{address}\"]");
        site.set(&format!("listen__{kind}"), &list);
        site.run(&[]).fails(&format!("cannot listen on {address}"));
    }
    let site = Site::new();
    site.set("listen__starttls", "[]");
    site.set("listen__direct_tls", "[]");
    site.run(&[]).fails("no address for clients");
}

#[test]
fn a_hangup_brings_the_new_client_authorities_and_bad_ones_are_refused() {
    let site = Site::new();
    let (old, new) = (Authority::new(), Authority::new());
    let file = site.path("people.pem");
    std::fs::write(&file, &old.pem).unwrap();
    site.set("tls__client_authorities", file.to_str().unwrap());
    let mut server = site.start(&[]);
    let knows = |server: &harness::Running, authority: &Authority| {
        let (certificate, key) = authority.vouch("juliet@localhost");
        server
            .features_with(&certificate, &key)
            .contains("<mechanism>EXTERNAL</mechanism>")
    };
    assert!(knows(&server, &old) && !knows(&server, &new));

    std::fs::write(&file, "no PEM").unwrap();
    server.signal("HUP");
    server.log_says("certificates not reloaded");
    assert!(knows(&server, &old) && !knows(&server, &new));

    std::fs::write(&file, &new.pem).unwrap();
    server.signal("HUP");
    server.log_says("certificates reloaded");
    assert!(!knows(&server, &old) && knows(&server, &new));
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}

/// Who vouches for clients.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Authority {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = parameters.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(parameters, key);
        Authority { issuer, pem }
    }

    /// A certificate for an address, and its key.
    fn vouch(&self, address: &str) -> (String, String) {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        // id-on-xmppAddr (RFC 6120 §13.7.1.4)
        let id = vec![1, 3, 6, 1, 5, 5, 7, 8, 5];
        let name = SanType::OtherName((id, address.into()));
        parameters.subject_alt_names.push(name);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

#[test]
fn a_certificate_is_overwritten_only_by_force() {
    let site = Site::new();
    let make = |options: &[&str]| site.run(&[&["gen-cert", "localhost"], options].concat());
    let read = || {
        let read = |name| std::fs::read(site.path(name)).unwrap();
        (read("localhost.crt.pem"), read("localhost.key.pem"))
    };
    make(&[]).succeeds("localhost.key.pem");
    assert_eq!(site.mode("localhost.key.pem"), 0o600);
    let first = read();
    make(&[]).fails("localhost.crt.pem is there already");
    std::fs::remove_file(site.path("localhost.crt.pem")).unwrap();
    make(&[]).fails("localhost.key.pem is there already");
    std::fs::write(site.path("localhost.crt.pem"), &first.0).unwrap();
    assert_eq!(read(), first);
    make(&["--force"]).succeeds("localhost.key.pem");
    let second = read();
    assert!(second.0 != first.0 && second.1 != first.1);
    assert_eq!(site.mode("localhost.key.pem"), 0o600);
}

#[test]
fn a_certificate_of_our_own_is_renewed_at_start_when_its_time_is_up() {
    let site = Site::new();
    let make = |days| {
        let made = [
            "gen-cert",
            "localhost",
            "--out",
            "data",
            "--force",
            "--days",
        ];
        site.run(&[&made[..], &[days]].concat()).succeeds("data");
        harness::leaf(&site.path("data/localhost.crt.pem"))
    };
    for (days, renewed) in [("10", true), ("0", true), ("90", false)] {
        let made = make(days);
        let mut server = site.start(&[]);
        let served = server.certificate();
        assert_eq!(served != made, renewed, "{days}");
        assert_eq!(served, harness::leaf(&site.path("data/localhost.crt.pem")));
        server.signal("TERM");
        server.wait();
        assert_eq!(server.log().contains("renewed the certificate"), renewed);
    }
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let site = Site::new();
    let _server = site.start(&[]);
    site.run(&["run"]).fails("in use by another process");
}

#[test]
fn insecure_plaintext_is_for_loopback_only() {
    let site = Site::new();
    site.set("listen__starttls", r#"["0.0.0.0:0"]"#);
    site.run(&["run", "--insecure-plaintext"])
        .fails("not a loopback address");
}

#[test]
fn the_configuration_is_checked_without_serving() {
    let site = Site::new();
    site.run(&["check-config"]).succeeds("in order");
    std::fs::write(
        site.path("bad.toml"),
        "data = \"d\"\n\n[listen]\nstarttsl = []\n",
    )
    .unwrap();
    let bad = site.run(&["check-config", "--config", "bad.toml"]);
    bad.fails("line 4");
    bad.fails("unknown field `starttsl`");
    std::fs::write(
        site.path("bad.toml"),
        "data = \"d\"\n\n[limits.xml]\ndepth = 1\n",
    )
    .unwrap();
    site.run(&["check-config", "--config", "bad.toml"])
        .fails("bad.toml: line 4: limits.xml.depth: 1 is less than 8");
    site.set("log__level", "loud=very");
    site.run(&["check-config"]).fails("log.level");
    assert!(!site.path("data").exists());
}

#[test]
fn what_a_start_would_refuse_the_check_refuses_in_the_same_words() {
    let cases: [(&[(&str, &str)], &str); 9] = [
        (&[("data", "file")], "file"),
        (
            &[("listen__starttls", "[]"), ("listen__direct_tls", "[]")],
            "no address for clients",
        ),
        (
            &[
                ("domains__0__name", "localhost"),
                ("domains__0__certificate", "file"),
                ("domains__0__key", "file"),
            ],
            "localhost: file and file: no certificate found",
        ),
        (
            &[("tls__client_authorities", "missing.pem")],
            "cannot read missing.pem",
        ),
        (
            &[("tls__client_authorities", "file")],
            "no certificate found",
        ),
        (&[("data", "damaged")], "damaged/secret is not 32 bytes"),
        (
            &[("data", "mismatched")],
            "mismatched/localhost.key.pem: key and certificate",
        ),
        (
            &[("postgresql__url", "postgresql://localhost:port/")],
            "URL of the database",
        ),
        (
            &[("registration__domains", r#"["elsewhere.example"]"#)],
            "elsewhere.example is not a domain",
        ),
    ];
    for (settings, reason) in cases {
        let site = Site::new();
        std::fs::write(site.path("file"), "neither folder nor PEM").unwrap();
        std::fs::create_dir(site.path("damaged")).unwrap();
        std::fs::write(site.path("damaged/secret"), "short").unwrap();
        for folder in ["other", "mismatched"] {
            site.run(&["gen-cert", "localhost", "--out", folder])
                .succeeds(folder);
        }
        std::fs::copy(
            site.path("other/localhost.key.pem"),
            site.path("mismatched/localhost.key.pem"),
        )
        .unwrap();
        for (key, value) in settings {
            site.set(key, value);
        }
        site.run(&["check-config"]).fails(reason);
        site.run(&["run"]).fails(reason);
    }
    let site = Site::new();
    site.set("listen__plaintext", r#"["192.0.2.1:0"]"#);
    site.run(&["check-config"]).succeeds("in order");
    for command in ["check-config", "run"] {
        site.run(&[command, "--insecure-plaintext"])
            .fails("not a loopback address");
    }
}

#[test]
fn the_store_is_copied_while_it_serves() {
    let site = Site::new();
    site.run(&["adduser", "juliet@localhost", "--password", "pw"])
        .succeeds("added");
    let mut server = site.start(&[]);
    site.run(&["backup", "copy.sqlite3"]).succeeds("copied");
    site.run(&["backup", "copy.sqlite3"]).fails("copy.sqlite3");
    site.run(&["deluser", "juliet@localhost"])
        .succeeds("deleted");
    server.signal("TERM");
    server.wait();
    // On another machine, say.
    site.set("data", "elsewhere");
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
        .fails("bad.sqlite3");
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
