//! Every row of RFC 6121 §8.5, and of RFC 6120 §10.

use super::*;
use crate::directory::LocalDirectory;
use crate::server::testing::{World, bare, jid};
use crate::stanza::PresenceType as P;

const USER: &str = "juliet@example.org";
const SENDER: &str = "romeo@example.net/orchard";

/// The resources that an account has, named by their priorities: `c` is connected and
/// has not sent presence.
#[derive(Clone, Copy, Debug)]
struct Bound(&'static [&'static str]);

/// "ACCOUNT DOES NOT EXIST", which the server finds out about when it acts on the
/// route, and "ACCOUNT EXISTS, BUT NO ACTIVE RESOURCES".
const NOBODY: Bound = Bound(&[]);
const CONNECTED: Bound = Bound(&["c"]);
const NEGATIVE: Bound = Bound(&["-1", "-5"]);
const ONE: Bound = Bound(&["0"]);
const SEVERAL: Bound = Bound(&["-1", "0", "7", "+7", "c"]);

/// The way of a stanza to an account with these resources, in the letters of RFC 6121
/// §8.5.4: O kept offline, E error, S silence, D(..) delivered to these, P processed
/// for the account (§3, §4.3, IQ).
fn way(kind: Kind, to: &str, bound: Bound) -> String {
    let world = World::new(Vec::new());
    let directory = Arc::new(LocalDirectory::new());
    let clients: Vec<_> = bound
        .0
        .iter()
        .map(|name| {
            let client = world.login(&format!("{USER}/{name}"));
            if let Ok(priority) = name.parse() {
                let presence = Stanza::presence(P::Available);
                let change = crate::session::Change::Available(presence, priority);
                directory.update(&client.resource, change);
            }
            directory.bind(client.resource.clone()).unwrap();
            client
        })
        .collect();
    assert_eq!(clients.len(), bound.0.len());
    let rules = Rules::new(directory, [bare("example.org")]);
    let stanza = Stanza::new(kind).with_from(jid(SENDER)).with_id("id");
    letter(rules.route(&stanza, &jid(to), &Origin::SERVER))
}

fn letter(route: Route) -> String {
    match route {
        Route::Deliver { to, .. } => {
            let mut names: Vec<_> = to.as_slice().iter().map(|r| r.jid().resource()).collect();
            assert_eq!(names.len() == 1, matches!(to, Recipients::One(_)));
            names.sort();
            format!("D({})", names.join(" "))
        }
        Route::Account(account) => {
            assert_eq!(account.as_str(), USER);
            "P".into()
        }
        Route::Offline(account) => {
            assert_eq!(account.as_str(), USER);
            "O".into()
        }
        Route::Refuse(condition) => {
            // "which SHOULD be <service-unavailable/>"
            assert_eq!(condition, Condition::ServiceUnavailable);
            "E".into()
        }
        Route::Ignore => "S".into(),
        Route::Server => "server".into(),
        Route::Remote => "remote".into(),
        Route::Entity(_) => "entity".into(),
    }
}

const BARE: &str = "juliet@example.org";
const MATCH: &str = "juliet@example.org/-1";
const MATCH_ONE: &str = "juliet@example.org/0";
const NO_MATCH: &str = "juliet@example.org/gone";

#[test]
fn messages_go_as_the_summary_table_says() {
    // RFC 6121 §8.5.4, Table 1, and above each row what the table allows: O/E "exclusive or".
    // "most available" (M) is the highest priority.
    #[rustfmt::skip]
    let table: &[(Bound, &str, [&str; 4])] = &[
        //                     Normal       Chat         Groupchat  Headline
        // No such account, or no active resources: O/E O/E E S; S/E O/E S/E S/E
        (NOBODY, BARE,        ["O",         "O",         "E",       "S"]),
        (NOBODY, NO_MATCH,    ["E",         "O",         "E",       "S"]),
        // A connected resource is not available (§2.2): the same
        (CONNECTED, BARE,     ["O",         "O",         "E",       "S"]),
        (CONNECTED, NO_MATCH, ["E",         "O",         "E",       "S"]),
        (CONNECTED, "juliet@example.org/c", ["D(c)", "D(c)", "D(c)", "D(c)"]),
        // Negative resources: O/E O/E E S; D D D D; S/E O/E S/E S/E
        (NEGATIVE, BARE,      ["O",         "O",         "E",       "S"]),
        (NEGATIVE, MATCH,     ["D(-1)",     "D(-1)",     "D(-1)",   "D(-1)"]),
        (NEGATIVE, NO_MATCH,  ["E",         "O",         "E",       "S"]),
        // One non-negative resource: D D E D; D D D D; S/E D S/E S/E
        (ONE, BARE,           ["D(0)",      "D(0)",      "E",       "D(0)"]),
        (ONE, MATCH_ONE,      ["D(0)",      "D(0)",      "D(0)",    "D(0)"]),
        (ONE, NO_MATCH,       ["E",         "D(0)",      "E",       "S"]),
        // Several: M/A M/A* E A; D D/A* D D; S/E M/A* S/E S/E
        (SEVERAL, BARE,       ["D(+7 7)",   "D(+7 7)",   "E",       "D(+7 0 7)"]),
        (SEVERAL, MATCH,      ["D(-1)",     "D(-1)",     "D(-1)",   "D(-1)"]),
        (SEVERAL, NO_MATCH,   ["E",         "D(+7 7)",   "E",       "S"]),
    ];
    let types = [
        MessageType::Normal,
        MessageType::Chat,
        MessageType::Groupchat,
        MessageType::Headline,
    ];
    for (bound, to, ways) in table {
        for (kind, expected) in types.into_iter().zip(ways) {
            let way = way(Kind::Message(kind), to, *bound);
            assert_eq!(way, *expected, "{kind:?} to {to} with {bound:?}");
        }
    }
}

#[test]
fn message_errors_reach_the_full_jid_or_nobody() {
    // RFC 6121 §8.5.2.1.1, §8.5.2.2.1, §8.5.3.2.1: "MUST silently ignore"; §8.5.3.1
    let error = Kind::Message(MessageType::Error);
    for (bound, to, expected) in [
        (NOBODY, BARE, "S"),
        (NOBODY, NO_MATCH, "S"),
        (SEVERAL, BARE, "S"),
        (SEVERAL, MATCH, "D(-1)"),
        (SEVERAL, NO_MATCH, "S"),
    ] {
        assert_eq!(way(error, to, bound), expected, "to {to} with {bound:?}");
    }
}

#[test]
fn presence_goes_to_the_available_resources_or_the_account() {
    let all = "D(+7 -1 0 7)";
    #[rustfmt::skip]
    let table: &[(P, [&str; 5])] = &[
        // RFC 6121        §8.5.2.2.2  §8.5.2.1.2  §8.5.2.1.2  §8.5.3.1  §8.5.3.2.2
        //                 nobody      connected   several     match     no match
        (P::Available,    ["S",        "S",        all,        "D(-1)",  "S"]),
        (P::Unavailable,  ["S",        "S",        all,        "D(-1)",  "S"]),
        (P::Subscribe,    ["P",        "P",        "P",        "P",      "P"]),
        (P::Subscribed,   ["P",        "P",        "P",        "P",      "S"]),
        (P::Unsubscribe,  ["P",        "P",        "P",        "P",      "S"]),
        (P::Unsubscribed, ["P",        "P",        "P",        "P",      "S"]),
        (P::Probe,        ["P",        "P",        "P",        "P",      "P"]),
        (P::Error,        ["S",        "S",        all,        "D(-1)",  "S"]),
    ];
    let columns = [
        (NOBODY, BARE),
        (CONNECTED, BARE),
        (SEVERAL, BARE),
        (SEVERAL, MATCH),
        (SEVERAL, NO_MATCH),
    ];
    for (kind, ways) in table {
        for ((bound, to), expected) in columns.into_iter().zip(ways) {
            let way = way(Kind::Presence(*kind), to, bound);
            assert_eq!(way, *expected, "{kind:?} to {to} with {bound:?}");
        }
        // Nobody is there at all: as §8.5.3.2.2 with others.
        let way = way(Kind::Presence(*kind), NO_MATCH, NOBODY);
        assert_eq!(way, ways[4], "{kind:?}");
    }
}

#[test]
fn requests_are_answered_for_the_account_or_reach_the_full_jid() {
    #[rustfmt::skip]
    let table: &[(IqType, [&str; 5])] = &[
        // RFC 6121       §8.5.2.2.3  §8.5.2.1.3  §8.5.3.1  §8.5.3.2.3  §8.5.3.2.3
        //                nobody      several     match     no match    nobody, full
        (IqType::Get,    ["P",        "P",        "D(-1)",  "E",        "E"]),
        (IqType::Set,    ["P",        "P",        "D(-1)",  "E",        "E"]),
        (IqType::Result, ["S",        "S",        "D(-1)",  "S",        "S"]),
        (IqType::Error,  ["S",        "S",        "D(-1)",  "S",        "S"]),
    ];
    let columns = [
        (NOBODY, BARE),
        (SEVERAL, BARE),
        (SEVERAL, MATCH),
        (SEVERAL, NO_MATCH),
        (NOBODY, NO_MATCH),
    ];
    for (kind, ways) in table {
        for ((bound, to), expected) in columns.into_iter().zip(ways) {
            let way = way(Kind::Iq(*kind), to, bound);
            assert_eq!(way, *expected, "{kind:?} to {to} with {bound:?}");
        }
    }
    // A resource reaches requests before it is available (§8.5.3.1: "available resource or
    // connected resource").
    let connected = way(Kind::Iq(IqType::Get), "juliet@example.org/c", CONNECTED);
    assert_eq!(connected, "D(c)");
}

#[test]
fn the_domain_is_the_servers_and_others_are_remote() {
    // RFC 6120 §10.5.1, §10.5.2, §10.4
    let kinds = [
        (Kind::Iq(IqType::Get), "server", "E"),
        (Kind::Iq(IqType::Set), "server", "E"),
        (Kind::Message(MessageType::Normal), "server", "server"),
        (Kind::Message(MessageType::Chat), "server", "server"),
        (Kind::Message(MessageType::Error), "S", "S"),
        (Kind::Presence(P::Available), "server", "server"),
        (Kind::Presence(P::Subscribe), "server", "server"),
    ];
    for (kind, domain, resource) in kinds {
        assert_eq!(way(kind, "example.org", SEVERAL), domain, "{kind:?}");
        assert_eq!(
            way(kind, "example.org/admin", SEVERAL),
            resource,
            "{kind:?}"
        );
        for to in [
            "example.net",
            "juliet@example.net",
            "juliet@sub.example.org/a",
        ] {
            assert_eq!(way(kind, to, SEVERAL), "remote", "{kind:?} to {to}");
        }
    }
}

#[test]
fn an_entity_comes_before_the_rules() {
    // RFC 6120 §10.5: "the server MUST first determine if the FQDN is serviced by the
    // server itself or by a specialized local service"
    let world = World::new(Vec::new());
    let directory = Arc::new(LocalDirectory::new());
    let limits = crate::mailbox::QueueLimits::default();
    let queue = Arc::new(crate::mailbox::Queue::new(
        limits,
        world.server.budget().clone(),
    ));
    assert!(directory.serve(&jid("rooms.example.org"), Mailbox::new(queue)));
    let rules = Rules::new(directory, [bare("example.org")]);
    let message = Stanza::message(MessageType::Groupchat);
    for (to, expected) in [
        ("rooms.example.org", "entity"),
        ("garden@rooms.example.org", "entity"),
        ("garden@rooms.example.org/Romeo", "entity"),
        ("other.example.org", "remote"),
        ("example.org", "server"),
    ] {
        let route = rules.route(&message, &jid(to), &Origin::SERVER);
        assert_eq!(letter(route), expected, "to {to}");
    }
}

/// RFC 6121 §8.5.3.2.1 as people see it: the client that a message is for has gone.
#[test]
fn of_messages_to_a_client_that_is_gone_chat_is_kept_and_normal_comes_back() {
    let world = World::new(vec![Arc::new(crate::im::offline::Offline::default())]);
    world.account("juliet@example.org");
    let romeo = world.login("romeo@example.org/orchard");
    for kind in ["normal", "chat", "groupchat", "headline"] {
        romeo.send(&format!(
            "<message to='juliet@example.org/gone' id='{kind}' type='{kind}'><body>Hi</body></message>"
        ));
    }
    let returned: Vec<_> = romeo
        .read()
        .iter()
        .map(|s| (s.id().unwrap().to_owned(), s.error().unwrap().condition))
        .collect();
    let unavailable = |id: &str| (id.to_owned(), Condition::ServiceUnavailable);
    assert_eq!(returned, [unavailable("normal"), unavailable("groupchat")]);
    let offline = world.server.stores().offline.clone();
    let kept = world
        .run(offline.page(&bare("juliet@example.org"), 0, 10))
        .unwrap();
    assert_eq!(kept.len(), 1);
    assert!(kept[0].xml.contains("id='chat'"));
    // No account at all (§8.5.1): nothing is kept, as when its offline messages are full.
    romeo.send("<message to='nobody@example.org' id='n' type='chat'><body>Hi</body></message>");
    assert_eq!(
        romeo.read()[0].error().unwrap().condition,
        Condition::ServiceUnavailable
    );
    // §10.3.1: no addressee is the sender's own account.
    romeo.resource.apply(crate::session::Change::Available(
        Stanza::presence(P::Available),
        0,
    ));
    romeo.send("<message id='self'><body>Note</body></message>");
    romeo.expect(&["<message to='romeo@example.org' from='romeo@example.org/orchard' id='self'><body>Note</body></message>"]);
}

#[test]
fn presence_that_a_full_queue_cannot_take_is_lost_in_silence() {
    // RFC 6121 §8.5.3.2.2, as if the resource were not there
    let world = World::with(Vec::new(), |config| config.session_queue.stanzas = 1);
    let juliet = world.login("juliet@example.org/balcony");
    let romeo = world.login("romeo@example.org/orchard");
    for _ in 0..2 {
        romeo.send("<presence to='juliet@example.org/balcony'/>");
    }
    romeo.expect(&[]);
    assert_eq!(juliet.read().len(), 1);
}
