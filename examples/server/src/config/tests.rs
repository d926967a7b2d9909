use super::*;

const DOCUMENTED: &str = include_str!("../../server.toml");

fn variables(all: &[(&str, &str)]) -> Vec<environment::Override> {
    environment::overrides(all.iter().map(|(name, value)| (name.into(), value.into())))
}

fn refused(text: &str) -> String {
    format!("{:#}", Config::parse(text, Vec::new()).unwrap_err())
}

#[test]
fn the_documented_settings_are_the_defaults() {
    let documented = Config::parse(DOCUMENTED, Vec::new()).unwrap();
    assert_eq!(documented, Config::default());
}

#[test]
fn every_setting_is_documented() {
    // What is off by default stands behind a "#" without a space.
    let all: String = DOCUMENTED
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => {
                setting
            }
            _ => line,
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let read = Config::parse(&all, Vec::new()).unwrap();
    // In JSON a setting that is missing shows as null; a list or a table that is not
    // there at all would leave a difference between the text and what was read.
    let value = serde_json::to_value(&read).unwrap();
    assert_eq!(missing("", &value), Vec::<String>::new());
    let stated: toml::Table = toml::from_str(&all).unwrap();
    let known = serde_json::to_value(&stated).unwrap();
    assert_eq!(keys("", &value), keys("", &known));
}

fn missing(path: &str, value: &serde_json::Value) -> Vec<String> {
    use serde_json::Value::{Array, Null, Object};
    match value {
        Null => vec![path.to_owned()],
        Object(fields) => {
            let each = fields.iter();
            each.flat_map(|(key, value)| missing(&format!("{path}.{key}"), value))
                .collect()
        }
        Array(items) => items.iter().flat_map(|item| missing(path, item)).collect(),
        _ => Vec::new(),
    }
}

fn keys(path: &str, value: &serde_json::Value) -> std::collections::BTreeSet<String> {
    use serde_json::Value::{Array, Object};
    let mut all = std::collections::BTreeSet::from([path.to_owned()]);
    match value {
        Object(fields) => {
            for (key, value) in fields {
                all.extend(keys(&format!("{path}.{key}"), value));
            }
        }
        Array(items) => items.iter().for_each(|item| all.extend(keys(path, item))),
        _ => {}
    }
    all
}

#[test]
fn an_error_is_told_with_its_line_and_reason() {
    for (text, line, reason) in [
        ("data = \"x\"\ndtaa = 1", "line 2", "unknown field `dtaa`"),
        ("[limits]\n\nmemory = \"1 GB\"", "line 3", "number of bytes"),
        ("[limits.xml]\ndepth = -1", "line 2", "invalid value"),
        ("[timeouts]\nlogin = 60", "line 2", "expected a string"),
        (
            "[login]\nmechanisms = [\"MD5\"]",
            "line 2",
            "unknown SASL mechanism",
        ),
        ("[login]\nrounds = 4096", "line 2", "10000"),
        (
            "[listen]\nstarttls = [\"localhost\"]",
            "line 2",
            "socket address",
        ),
        ("[[domains]]\nname = \"a@b\"", "line 1", "not a domain"),
        ("[[domains]]\nname = \"exa mple\"", "line 2", "exa mple"),
        (
            "[[domains]]\nname = \"a\"\n[[domains]]\nname = \"A\"",
            "line 1",
            "twice",
        ),
        (
            "[[domains]]\nname = \"a\"\nkey = \"k\"",
            "line 1",
            "go together",
        ),
        (
            "[[domains]]\ncertificate = \"c\"",
            "line 1",
            "missing field `name`",
        ),
        ("domains = []", "line 1", "no domain"),
        ("[rooms]\ncreation = \"all\"", "line 2", "unknown variant"),
        ("[log]\nformat = \"xml\"", "line 2", "unknown variant"),
        ("[listen", "line 1", "unclosed"),
    ] {
        let error = refused(text);
        assert!(error.contains(line), "{text}: {error}");
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn what_is_out_of_range_is_told_with_its_line_and_reason() {
    for (text, line, setting, reason) in [
        (
            "[cluster.times]\nbeat = \"2 s\"\ndead = \"3 s\"",
            3,
            "cluster.times.dead",
            "less than two beats",
        ),
        (
            "[cluster.times]\nbeat = \"1 ms\"",
            2,
            "cluster.times.beat",
            "less than 10 ms",
        ),
        (
            "[cluster]\nnode = \"a\"\nsecret = \"short\"",
            3,
            "cluster.secret",
            "less than 16 bytes",
        ),
        (
            "[cluster]\nnode = \"a\"\n[cluster.zenoh]\nlisten = []",
            4,
            "cluster.zenoh.listen",
            "nobody connects",
        ),
        (
            "[cluster]\nnode = \"a\"\nengine = \"nats\"\n[cluster.nats]\nuser = \"a\"",
            5,
            "cluster.nats.user",
            "go together",
        ),
        (
            "[cluster]\nnode = \"a\"\nengine = \"nats\"\n[cluster.nats]\nservers = []",
            5,
            "cluster.nats.servers",
            "there is none",
        ),
        (
            "[rooms]\naddress = \"rooms\"\n[[domains]]\nname = \"a\"\n[[domains]]\nname = \"b\"",
            2,
            "rooms.address",
            "rooms has the rooms of another domain",
        ),
        (
            "rooms.address = \"{domain}\"",
            1,
            "rooms.address",
            "a domain with accounts",
        ),
        (
            "[[domains]]\nname = \"a\"\n[domains.rooms]\naddress = \"x@a\"",
            4,
            "domains.0.rooms.address",
            "is not a domain",
        ),
        (
            "[rooms.limits.queue]\nbytes = \"1 KiB\"",
            2,
            "rooms.limits.queue.bytes",
            "would never fit",
        ),
        // RFC 6120 §13.12
        (
            "[limits.xml]\n\nstanza_bytes = 9999",
            3,
            "limits.xml.stanza_bytes",
            "9999 is less than 10000",
        ),
        (
            "[limits.xml_before_login]\ndepth = 2000",
            2,
            "limits.xml_before_login.depth",
            "more than 1024",
        ),
        (
            "[limits.account]\nresources = 0",
            2,
            "limits.account.resources",
            "less than 1",
        ),
        (
            "[limits.session_queue]\nbytes = \"1 KiB\"",
            2,
            "limits.session_queue.bytes",
            "262144) would never fit",
        ),
        (
            "[limits]\nmemory = \"1 MiB\"",
            2,
            "limits.memory",
            "2097152) would not fit",
        ),
        (
            "[timeouts]\nlogin = \"10 ms\"",
            2,
            "timeouts.login",
            "less than 1s",
        ),
        (
            "timeouts.idle = \"0 s\"",
            1,
            "timeouts.idle",
            "less than 1s",
        ),
        (
            "[login]\nattempts = 0",
            2,
            "login.attempts",
            "nobody could log in",
        ),
        (
            "[login]\nmechanisms = []",
            2,
            "login.mechanisms",
            "nobody could log in",
        ),
        (
            "[accept]\nconnections = 0",
            2,
            "accept.connections",
            "less than 1",
        ),
        (
            "[accept]\nbefore_login = 0",
            2,
            "accept.before_login",
            "less than 1",
        ),
        (
            "[accept]\nbefore_login_per_address = 0",
            2,
            "accept.before_login_per_address",
            "less",
        ),
        (
            "[throttle]\npending = 0",
            2,
            "throttle.pending",
            "less than 1",
        ),
        (
            "[throttle]\nremembered = 0",
            2,
            "throttle.remembered",
            "less than 1",
        ),
        (
            "[registration]\nattempts = 0",
            2,
            "registration.attempts",
            "less than 1",
        ),
        (
            "[registration]\nremembered = 0",
            2,
            "registration.remembered",
            "less than 1",
        ),
        (
            "[registration]\nwindow = \"0 s\"",
            2,
            "registration.window",
            "no time",
        ),
        (
            "[registration]\ndomains = [\"localhost\",\n \"a\"]",
            3,
            "registration.domains.1",
            "a is not a domain of",
        ),
        (
            "[postgresql]\nreaders = 0",
            2,
            "postgresql.readers",
            "less than 1",
        ),
        (
            "[postgresql]\ntimeout = \"0 ms\"",
            2,
            "postgresql.timeout",
            "no time",
        ),
        (
            "[[domains]]\nname = \"a\"\nadministrators = [\"a\"]",
            3,
            "domains.0.administrators.0",
            "not an account",
        ),
        (
            "[[domains]]\nname = \"a\"\naccount.resources = 0",
            3,
            "domains.0.account.resources",
            "less than 1",
        ),
        (
            "[listen]\nstarttls = [\"[::1]:1\"]\nmonitoring = [\"[::1]:1\"]",
            3,
            "listen.monitoring.0",
            "(listen.starttls.0)",
        ),
        // A default that no longer fits is told without a line.
        (
            "[limits.xml]\nstanza_bytes = \"3 MiB\"",
            0,
            "limits.session_queue.bytes",
            "3145728) would never fit",
        ),
    ] {
        let error = refused(text);
        let place = match line {
            0 => format!("{setting}: "),
            line => format!("line {line}: {setting}: "),
        };
        assert!(error.starts_with(&place), "{text}: {error}");
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn a_variable_that_is_out_of_range_is_named() {
    for (name, value) in [
        ("XMPP__limits__xml__DEPTH", "1"),
        ("XMPP__timeouts", "{ login = \"0 s\" }"),
    ] {
        let text = "[limits.xml]\ndepth = 20";
        let error = Config::parse(text, variables(&[(name, value)])).unwrap_err();
        let error = error.to_string();
        assert!(
            error.starts_with(&format!("environment: {name}: ")),
            "{error}"
        );
    }
}

#[test]
fn a_table_that_names_some_settings_leaves_the_others_as_they_are() {
    let config = Config::parse("[limits.xml_before_login]\ndepth = 9", Vec::new()).unwrap();
    let mut expected = Config::default();
    expected.limits.xml_before_login.depth = 9;
    assert_eq!(config, expected);
    assert_eq!(config.limits.xml_before_login.stanza_bytes.0, 10_000);
}

#[test]
fn a_domain_can_differ_from_the_limits_of_all() {
    let text = "[limits.account]\nblocked = 7\nvcard = \"1 KiB\"\n\
        [[domains]]\nname = \"a\"\n[domains.account]\nvcard = \"2 KiB\"\n\
        [[domains]]\nname = \"b\"";
    let config = Config::parse(text, Vec::new()).unwrap();
    let limits = |i: usize| config.domains[i].account.from(&config.limits.account);
    assert_eq!((limits(0).blocked, limits(0).vcard.0), (7, 2048));
    assert_eq!((limits(1).blocked, limits(1).vcard.0), (7, 1024));
    assert!(refused("[[domains]]\nname = \"a\"\n[domains.account]\nvcrad = 1").contains("line 4"));
}

#[test]
fn a_domain_can_differ_from_the_contacts_of_all() {
    let text = "[contacts]\nabuse = [\"mailto:all\"]\nadmin = [\"mailto:all\"]\n\
        [[domains]]\nname = \"a\"\n[domains.contacts]\nadmin = [\"mailto:a\"]\nabuse = []\n\
        [[domains]]\nname = \"b\"";
    let config = Config::parse(text, Vec::new()).unwrap();
    let contacts = |i: usize| config.domains[i].contacts.from(&config.contacts);
    let (a, b) = (contacts(0), contacts(1));
    assert_eq!(
        (a.abuse.0, a.admin.0),
        (vec![], vec!["mailto:a".to_owned()])
    );
    let all = vec!["mailto:all".to_owned()];
    assert_eq!((b.abuse.0, b.admin.0), (all.clone(), all));
    let bad = refused("[[domains]]\nname = \"a\"\n[domains.contacts]\nadmin = [\"a@b\"]");
    assert!(bad.contains("line 4") && bad.contains("not a URI"), "{bad}");
}

#[test]
fn settings_reach_the_server_as_they_are() {
    let text =
        "[limits]\nmemory = \"3 MiB\"\n[limits.xml]\nchildren = 9\n[timeouts]\nidle = \"1 h\"";
    let config = Config::parse(text, Vec::new()).unwrap();
    let server = server::Config::from(config.limits.clone());
    assert_eq!((server.memory, server.xml.children), (3 << 20, 9));
    let timeouts = server::Timeouts::from(config.timeouts);
    assert_eq!(timeouts.idle, Some(Duration::from_secs(3600)));
}

#[test]
fn the_environment_overrides_the_file() {
    let text = "[log]\nlevel = \"warn\"\n[[domains]]\nname = \"a.example\"";
    let config = Config::parse(
        text,
        variables(&[
            ("XMPP__log__level", "debug"),
            ("XMPP__LIMITS__MEMORY", "2 MiB"),
            ("XMPP__limits__account__blocked", "5"),
            ("XMPP__listen__starttls", r#"["127.0.0.1:1"]"#),
            ("XMPP__domains__0__tls", "optional"),
            ("XMPP__domains__1__name", "b.example"),
            ("XMPP__registration__enabled", "true"),
            ("XMPP_OTHER", "of somebody else"),
        ]),
    )
    .unwrap();
    assert_eq!(config.log.level, "debug");
    assert_eq!(config.limits.memory.0, 2 << 20);
    assert_eq!(config.limits.account.blocked, 5);
    let door = config.listen.starttls.iter().next().unwrap();
    assert_eq!(door.address, "127.0.0.1:1".parse().unwrap());
    assert_eq!(config.domains[0].name.0.as_str(), "a.example");
    assert_eq!(config.domains[0].tls, Some(Encryption::Optional));
    assert_eq!(config.domains[1].name.0.as_str(), "b.example");
    assert!(config.registration.enabled);
}

#[test]
fn the_environment_can_name_the_first_domain() {
    let config =
        Config::parse("", variables(&[("XMPP__domains__0__name", "example.org")])).unwrap();
    assert_eq!(config.domains.len(), 1);
    assert_eq!(config.domains[0].name.0.as_str(), "example.org");
}

#[test]
fn a_bad_variable_is_named() {
    for (name, value, reason) in [
        ("XMPP__log__levle", "debug", "levle"),
        ("XMPP__limits__account__blocked", "many", "blocked"),
        ("XMPP__domains__3__name", "a", "entries"),
        ("XMPP__data__x", "a", "no such setting"),
    ] {
        let text = "data = \"d\"\n[[domains]]\nname = \"a\"";
        let error = Config::parse(text, variables(&[(name, value)])).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains(name), "{error}");
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn relative_paths_are_relative_to_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("server.toml");
    let text = "data = \"d\"\n[[domains]]\nname = \"a\"\ncertificate = \"c\"\nkey = \"/k\"";
    std::fs::write(&file, text).unwrap();
    let config = Config::load(Some(&file)).unwrap();
    assert_eq!(config.data, folder.path().join("d"));
    assert_eq!(config.domains[0].certificate, Some(folder.path().join("c")));
    assert_eq!(config.domains[0].key, Some("/k".into()));
    assert_eq!(Config::load(None).unwrap().data, PathBuf::from("data"));
}

/// The names of a struct's fields, from how it shows itself.
fn fields(value: &impl std::fmt::Debug) -> Vec<String> {
    let shown = format!("{value:#?}");
    let lines = shown.lines().filter_map(|line| line.strip_prefix("    "));
    lines
        .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()))
        .filter_map(|line| Some(line.split_once(':')?.0.to_owned()))
        .collect()
}

#[test]
fn every_setting_of_the_library_can_be_set() {
    let known: toml::Table = toml::from_str(DOCUMENTED).unwrap();
    let table = |path: &str| -> &toml::Table {
        let mut at = &known;
        for key in path.split('.') {
            at = at[key].as_table().unwrap();
        }
        at
    };
    // What stands elsewhere (and the domain of contacts in their domain), and how the server names itself.
    let elsewhere = [
        "domains",
        "domain",
        "timeouts",
        "software",
        "conflict",
        "login_attempts",
        "location",
    ];
    let core = server::Config::default();
    let all: [(&str, Vec<String>); 16] = [
        ("limits", fields(&core)),
        ("limits.account", fields(&core.account)),
        ("limits.xml", fields(&core.xml)),
        ("limits.xml_before_login", fields(&core.xml_before_login)),
        ("limits.session_queue", fields(&core.session_queue)),
        ("timeouts", fields(&core.timeouts)),
        ("stream_management", fields(&xmpp_sm::Options::default())),
        (
            "stream_management.requests",
            fields(&xmpp_sm::RequestPolicy::default()),
        ),
        ("accept", fields(&xmpp_core::io::AcceptLimits::default())),
        (
            "throttle",
            fields(&xmpp_core::io::ThrottleLimits::default()),
        ),
        (
            "contacts",
            fields(&xmpp_core::im::service_contacts::ServiceContacts::default()),
        ),
        ("rooms.room", fields(&xmpp_muc_federated::Limits::default())),
        (
            "rooms.limits",
            fields(&xmpp_muc_federated::service::Limits::default()),
        ),
        (
            "rooms.federation.limits",
            fields(&xmpp_muc_federated::fmuc::Limits::default()),
        ),
        (
            "rooms.federation.log",
            fields(&xmpp_muc_federated::log::Retention::default()),
        ),
        (
            "rooms.limits.queue",
            fields(&xmpp_core::mailbox::QueueLimits::default()),
        ),
    ];
    for (path, fields) in all {
        assert!(!fields.is_empty());
        for field in fields {
            let set = table(path).contains_key(&field);
            assert!(set || elsewhere.contains(&&*field), "{path}.{field}");
        }
    }
}

#[test]
fn the_password_of_the_database_is_not_shown() {
    let text = "[postgresql]\nurl = \"postgresql://xmpp:hush@localhost/xmpp\"";
    let config = Config::parse(text, Vec::new()).unwrap();
    assert!(!format!("{config:?}").contains("hush"));
}
