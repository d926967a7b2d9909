use super::*;
use crate::im::last_activity::LastActivity;
use crate::im::offline::Offline;
use crate::server::testing::{Client, World};
use crate::store::Subscription;

const CHAMBER: &str = "juliet@example.org/chamber";

fn world() -> World {
    World::new(vec![
        Arc::new(Blocking),
        Arc::new(LastActivity::default()),
        Arc::new(Offline::default()),
    ])
}

#[track_caller]
fn command(client: &Client, kind: &str, command: &str) -> Vec<Stanza> {
    client.send(&format!("<iq type='{kind}' id='b'>{command}</iq>"));
    client.read()
}

#[track_caller]
fn block(client: &Client, jids: &[&str]) {
    let items = |jid: &&str| format!("<item jid='{jid}'/>");
    let items: String = jids.iter().map(items).collect();
    let block = format!("<block xmlns='urn:xmpp:blocking'>{items}</block>");
    let answer = command(client, "set", &block);
    assert_eq!(
        answer.last().map(Stanza::kind),
        Some(Kind::Iq(IqType::Result))
    );
}

fn list(client: &Client) -> String {
    let answer = command(client, "get", "<blocklist xmlns='urn:xmpp:blocking'/>");
    answer[0]
        .payload()
        .elements()
        .map(|e| e.to_string())
        .collect()
}

fn condition(answer: &[Stanza]) -> &'static str {
    match answer {
        [error] => error.error().unwrap().condition.name(),
        other => panic!("{other:?}"),
    }
}

/// XEP-0191 §3.2–§3.5
#[test]
fn the_list_is_kept_and_its_changes_are_pushed_to_those_that_asked_for_it() {
    let world = world();
    let chamber = world.login(CHAMBER);
    let balcony = world.login("juliet@example.org/balcony");
    let deaf = world.login("juliet@example.org/deaf");
    // "If the user has no JIDs in its blocklist, the server MUST return an IQ-result containing
    // an empty <blocklist/> element"
    let empty = "<blocklist xmlns='urn:xmpp:blocking'/>";
    assert_eq!(
        (list(&chamber).as_str(), list(&balcony).as_str()),
        (empty, empty)
    );

    let blocks = "<block xmlns='urn:xmpp:blocking'><item jid='romeo@montague.net'/>\
         <item jid='iago@shakespeare.lit'/></block>";
    let unblock = "<unblock xmlns='urn:xmpp:blocking'><item jid='romeo@montague.net'/></unblock>";
    let all = "<unblock xmlns='urn:xmpp:blocking'/>";
    for (change, after) in [
        (
            blocks,
            "<blocklist xmlns='urn:xmpp:blocking'><item jid='romeo@montague.net'/>\
             <item jid='iago@shakespeare.lit'/></blocklist>",
        ),
        (
            unblock,
            "<blocklist xmlns='urn:xmpp:blocking'><item jid='iago@shakespeare.lit'/></blocklist>",
        ),
        (all, empty),
    ] {
        let answer = command(&chamber, "set", change);
        let [push, result] = &answer[..] else {
            panic!("{answer:?}")
        };
        assert_eq!(
            result.to_string(),
            "<iq to='juliet@example.org/chamber' from='juliet@example.org' id='b' type='result'/>"
        );
        for push in [push, &balcony.read()[0]] {
            assert_eq!(push.kind(), Kind::Iq(IqType::Set));
            assert_eq!(push.from().unwrap().as_str(), "juliet@example.org");
            let pushed: String = push.payload().elements().map(|e| e.to_string()).collect();
            assert_eq!(pushed, change);
        }
        deaf.expect(&[]);
        assert_eq!(list(&chamber), after);
    }
}

/// XEP-0191 §3.3; RFC 6120 §8.3.3
#[test]
fn bad_commands_are_refused() {
    let world = World::with(vec![Arc::new(Blocking)], |config| {
        config.account.blocked = 2
    });
    let juliet = world.login(CHAMBER);
    let item = |jid: &str| format!("<item jid='{jid}'/>");
    for (kind, name, items, wanted) in [
        ("set", "block", String::new(), "bad-request"),
        ("set", "block", "<item/>".to_owned(), "bad-request"),
        ("set", "block", item("a@@b"), "jid-malformed"),
        ("set", "unblock", item("@"), "jid-malformed"),
        ("get", "block", item("a@b"), "not-allowed"),
        ("set", "blocklist", String::new(), "not-allowed"),
        (
            "set",
            "block",
            [item("a@b"), item("b@b"), item("c@b")].concat(),
            "policy-violation",
        ),
    ] {
        let text = format!("<{name} xmlns='urn:xmpp:blocking'>{items}</{name}>");
        assert_eq!(condition(&command(&juliet, kind, &text)), wanted, "{text}");
    }
    assert_eq!(list(&juliet), "<blocklist xmlns='urn:xmpp:blocking'/>");
    // What is there already counts once.
    block(&juliet, &["a@b", "b@b"]);
    block(&juliet, &["a@b", "b@b", "a@b"]);
    juliet.send(
        "<iq type='get' to='romeo@example.org' id='b'><blocklist xmlns='urn:xmpp:blocking'/></iq>",
    );
    assert_eq!(condition(&juliet.read()), "forbidden");
}

/// XEP-0191 §3.3: what comes from a blocked JID.
#[test]
fn a_blocked_sender_sees_the_user_as_if_offline() {
    let world = world();
    world.contact(
        "juliet@example.org",
        "romeo@example.org",
        Subscription::Both,
    );
    let romeo = world.login("romeo@example.org/orchard");
    let juliet = world.login(CHAMBER);
    juliet.shows("<presence/>");
    block(&juliet, &["romeo@example.org"]);
    romeo.skip();
    for to in ["juliet@example.org", CHAMBER] {
        for kind in ["", "type='unavailable'", "type='subscribe'", "type='probe'"] {
            romeo.send(&format!("<presence to='{to}' {kind}/>"));
            romeo.expect(&[]);
        }
        for kind in ["chat", "normal", "headline", "groupchat"] {
            romeo.send(&format!(
                "<message to='{to}' type='{kind}'><body>1</body></message>"
            ));
            assert_eq!(
                condition(&romeo.read()),
                "service-unavailable",
                "{kind} {to}"
            );
        }
        for kind in ["get", "set"] {
            romeo.send(&format!(
                "<iq to='{to}' type='{kind}' id='1'><x xmlns='urn:x'/></iq>"
            ));
            assert_eq!(
                condition(&romeo.read()),
                "service-unavailable",
                "{kind} {to}"
            );
        }
        for kind in ["result", "error"] {
            romeo.send(&format!("<iq to='{to}' type='{kind}' id='1'/>"));
            romeo.send(&format!("<message to='{to}' type='error'/>"));
            romeo.expect(&[]);
        }
        romeo.send(&format!(
            "<iq to='{to}' type='get' id='1'><query xmlns='jabber:iq:last'/></iq>"
        ));
        assert_eq!(condition(&romeo.read()), "service-unavailable");
    }
    juliet.expect(&[]);
    // Nothing is stored for later either.
    juliet.end();
    romeo.send("<message to='juliet@example.org' type='chat'><body>1</body></message>");
    assert_eq!(condition(&romeo.read()), "service-unavailable");
    let again = world.login(CHAMBER);
    again.shows("<presence/>");
    again.expect(&[]);
}

/// XEP-0191 §3.3: "the user's server MUST NOT route the stanza to the JID but instead MUST
/// return a <not-acceptable/> error containing … <blocked/>"
#[test]
fn what_the_user_sends_to_a_blocked_jid_comes_back() {
    let world = world();
    let romeo = world.login("romeo@example.org/orchard");
    let juliet = world.login(CHAMBER);
    block(&juliet, &["romeo@example.org"]);
    juliet.send(
        "<message to='romeo@example.org' type='chat'><body>Can you hear me?</body></message>",
    );
    juliet.expect(&[
        "<message to='juliet@example.org/chamber' from='romeo@example.org' type='error'>\
         <error type='cancel'>\
         <not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
         <blocked xmlns='urn:xmpp:blocking:errors'/></error></message>",
    ]);
    for stanza in [
        "<presence to='romeo@example.org/orchard'/>",
        "<iq to='romeo@example.org/orchard' type='get' id='1'><x xmlns='urn:x'/></iq>",
    ] {
        juliet.send(stanza);
        assert_eq!(condition(&juliet.read()), "not-acceptable");
    }
    // RFC 6120 §8.3.1: errors and results are not answered.
    juliet.send("<iq to='romeo@example.org/orchard' type='result' id='1'/>");
    juliet.expect(&[]);
    romeo.expect(&[]);
}

/// XEP-0191 §6, §5: "MUST NOT block communications from one of a user's resources to another"
#[test]
fn entries_mean_what_the_specification_says() {
    for (entry, blocked, not) in [
        (
            "a@b.c/r",
            &["a@b.c/r"][..],
            &["a@b.c", "a@b.c/s", "b.c"][..],
        ),
        ("a@b.c", &["a@b.c", "a@b.c/r"], &["x@b.c", "b.c", "b.c/r"]),
        ("b.c/r", &["b.c/r"], &["b.c", "b.c/s", "a@b.c/r"]),
        (
            "b.c",
            &["b.c", "b.c/r", "a@b.c", "a@b.c/r"],
            &["x.b.c", "c"],
        ),
        (
            "example.org",
            &["romeo@example.org", "romeo@example.org/x", "example.org/x"],
            &[
                "example.org",
                "juliet@example.org",
                "juliet@example.org/balcony",
            ],
        ),
        ("juliet@example.org", &[], &["juliet@example.org/balcony"]),
    ] {
        let world = world();
        let juliet = world.login(CHAMBER);
        block(&juliet, &[entry]);
        let blocks = |jid: &&&str| juliet.session.account().blocks(&Jid::new(jid).unwrap());
        assert_eq!(
            blocked.iter().filter(blocks).count(),
            blocked.len(),
            "{entry}"
        );
        assert_eq!(not.iter().filter(blocks).count(), 0, "{entry}");
    }
}

/// XEP-0191 §3.3, §3.4: "(but only if the JID is allowed to receive presence notifications
/// from the user …)"
#[test]
fn subscribers_see_the_user_go_and_come_back() {
    let world = world();
    let juliet = "juliet@example.org";
    world.contact(juliet, "both@example.org", Subscription::Both);
    world.contact(juliet, "from@example.org", Subscription::From);
    world.contact(juliet, "to@example.org", Subscription::To);
    let watchers = ["both", "from", "to", "none", "directed"]
        .map(|name| world.login(&format!("{name}@example.org/1")));
    let chamber = world.login(CHAMBER);
    world.login("juliet@example.org/silent");
    for watcher in &watchers {
        watcher.shows("<presence/>");
    }
    chamber.shows("<presence><show>away</show></presence>");
    let directed = Jid::new("directed@example.org/1").unwrap();
    chamber.session.direct_presence(&directed, 10);

    block(&chamber, &["example.org"]);
    let got = || watchers.each_ref().map(Client::read);
    let gone = |to: &str| {
        format!("<presence to='{to}' from='juliet@example.org/chamber' type='unavailable'/>")
    };
    let [both, from, to, none, directed] = got();
    assert_eq!(both[0].to_string(), gone("both@example.org"));
    assert_eq!(from[0].to_string(), gone("from@example.org"));
    assert_eq!(directed[0].to_string(), gone("directed@example.org/1"));
    assert_eq!((both.len(), from.len(), directed.len()), (1, 1, 1));
    assert_eq!((to.len(), none.len()), (0, 0));

    // Blocked in two ways, nothing changes with the second, nor when it goes.
    block(&chamber, &["both@example.org"]);
    let unblock = |jid| {
        let item = format!("<unblock xmlns='urn:xmpp:blocking'><item jid='{jid}'/></unblock>");
        command(&chamber, "set", &item);
    };
    unblock("both@example.org");
    assert!(got().iter().all(Vec::is_empty));

    unblock("example.org");
    let back = |to: &str| {
        format!(
            "<presence to='{to}' from='juliet@example.org/chamber'><show>away</show></presence>"
        )
    };
    let [both, from, to, none, directed] = got();
    assert_eq!(both[0].to_string(), back("both@example.org"));
    assert_eq!(from[0].to_string(), back("from@example.org"));
    assert_eq!((both.len(), from.len()), (1, 1));
    assert_eq!((to.len(), none.len(), directed.len()), (0, 0, 0));
}

/// The hot path: a stanza is not even compared while the list is empty.
#[test]
fn an_account_knows_whether_it_blocks_anybody_when_it_is_loaded_again() {
    let world = world();
    let juliet = world.login(CHAMBER);
    block(&juliet, &["romeo@example.net"]);
    juliet.end();
    drop(juliet);
    let juliet = world.login(CHAMBER);
    let romeo = Jid::new("romeo@example.net/x").unwrap();
    assert!(juliet.session.account().blocks(&romeo));
    command(&juliet, "set", "<unblock xmlns='urn:xmpp:blocking'/>");
    assert!(!juliet.session.account().blocks(&romeo));
}
