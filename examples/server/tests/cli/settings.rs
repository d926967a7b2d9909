//! What the configuration allows, and what the check of it says.

use super::harness::Site;

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
    server.log_says("clients may log in without TLS");
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
    client.send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
    client.read_until(&["</iq>"]);
    client.send(
        "<iq type='set' id='p'><query xmlns='jabber:iq:register'>\
         <username>juliet</username><password>seen</password></query></iq>",
    );
    let refused = client.read_until(&["</iq>", "id='p'/>"]);
    assert!(refused.contains("<not-allowed"), "{refused}");
}

#[test]
fn a_command_warns_on_standard_error() {
    let site = Site::new();
    site.set("domains__0__name", "localhost");
    site.set("domains__0__tls", "optional");
    let checked = site.run(&["check-config"]);
    checked.succeeds("in order");
    checked.warns("clients may log in without TLS");
    site.run(&["users"]).is("");
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
    site.set("log__level", "inof");
    site.run(&["check-config"])
        .fails("log.level: \"inof\" is none of");
    assert!(!site.path("data").exists());
}

#[test]
fn what_a_start_would_refuse_the_check_refuses_in_the_same_words() {
    let cases: [(&[(&str, &str)], &str); 10] = [
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
            &[("data", "halved")],
            "halved/localhost.crt.pem is there without its key halved/localhost.key.pem",
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
        for folder in ["other", "mismatched", "halved"] {
            site.run(&["gen-cert", "localhost", "--out", folder])
                .succeeds(folder);
        }
        std::fs::copy(
            site.path("other/localhost.key.pem"),
            site.path("mismatched/localhost.key.pem"),
        )
        .unwrap();
        std::fs::remove_file(site.path("halved/localhost.key.pem")).unwrap();
        for (key, value) in settings {
            site.set(key, value);
        }
        site.run(&["check-config"]).fails(reason);
        site.run(&["run"]).fails(reason);
        for folder in ["data", "mismatched", "halved"] {
            let store = site.path(folder).join("xmpp.sqlite3");
            assert!(!store.exists(), "opened before it was known: {reason}");
        }
    }
    let site = Site::new();
    site.set("listen__plaintext", r#"["192.0.2.1:0"]"#);
    site.run(&["check-config"]).succeeds("in order");
    for command in ["check-config", "run"] {
        site.run(&[command, "--insecure-plaintext"])
            .fails("not a loopback address");
    }
}
