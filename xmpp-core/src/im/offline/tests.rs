use std::time::Duration;

use super::deliveries::{PAGE, PAGE_BYTES};
use super::*;
use crate::server::AccountLimits;
use crate::server::testing::{Client, World, bare};
use crate::stanza::MessageType;

const JULIET: &str = "juliet@example.org";

fn world() -> World {
    let world = World::new(vec![Arc::new(Offline::default())]);
    world.account(JULIET);
    world
}

fn count(world: &World) -> usize {
    let offline = world.server.stores().offline.clone();
    world.run(offline.count(&bare(JULIET))).unwrap()
}

fn bodies(stanzas: &[Stanza]) -> Vec<String> {
    let body = |stanza: &Stanza| {
        let body = stanza.payload().child("body", ns::CLIENT).unwrap();
        body.element().text().into_owned()
    };
    stanzas.iter().map(body).collect()
}

fn say(romeo: &Client, text: &str) {
    romeo.send(&format!(
        "<message to='{JULIET}' type='chat'><body>{text}</body></message>"
    ));
}

/// XEP-0160 §2; XEP-0203 §2
#[test]
fn a_message_waits_for_its_recipient_and_comes_with_its_time() {
    let world = world();
    let romeo = world.login("romeo@example.org/orchard");
    say(&romeo, "O blessed night");
    romeo.expect(&[]);
    world.advance(Duration::from_secs(3600));
    let juliet = world.login("juliet@example.org/balcony");
    juliet.expect(&[]);
    juliet.shows("<presence/>");
    juliet.expect(&[
        "<message to='juliet@example.org' from='romeo@example.org/orchard' \
         type='chat'><body>O blessed night</body><delay xmlns='urn:xmpp:delay' \
         from='example.org' stamp='2026-01-01T00:00:00Z'>Offline Storage</delay></message>",
    ]);
    assert_eq!(count(&world), 0);
}

/// XEP-0160 §2: "When the recipient next sends non-negative available presence"
#[test]
fn a_negative_priority_takes_no_messages_until_it_changes() {
    let world = world();
    let romeo = world.login("romeo@example.org/orchard");
    say(&romeo, "1");
    let juliet = world.login("juliet@example.org/balcony");
    juliet.shows("<presence><priority>-1</priority></presence>");
    say(&romeo, "2");
    assert_eq!(juliet.read().len(), 0);
    juliet.shows("<presence><priority>0</priority></presence>");
    assert_eq!(bodies(&juliet.read()), ["1", "2"]);
    juliet.shows("<presence><show>away</show></presence>");
    assert_eq!(juliet.read().len(), 0);
}

/// XEP-0160 §3, XEP-0085, XEP-0334 §4; RFC 6121 §8.5.2.2.1
#[test]
fn what_is_kept_what_is_refused_and_what_is_forgotten() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Fate {
        Kept,
        Refused,
        Forgotten,
    }
    use Fate::*;
    let state = "<active xmlns='http://jabber.org/protocol/chatstates'/>";
    let hint = |name: &str| format!("<{name} xmlns='urn:xmpp:hints'/>");
    let body = "<body>hi</body>";
    for (kind, content, fate) in [
        ("chat", body.to_owned(), Kept),
        ("normal", body.to_owned(), Kept),
        ("chat", format!("{state}{body}"), Kept),
        (
            "chat",
            "<received xmlns='urn:xmpp:receipts' id='1'/>".into(),
            Kept,
        ),
        ("chat", state.to_owned(), Forgotten),
        ("chat", format!("{state}<thread>1</thread>"), Forgotten),
        ("normal", state.to_owned(), Forgotten),
        ("chat", String::new(), Forgotten),
        ("chat", format!("{body}{}", hint("no-store")), Refused),
        (
            "chat",
            format!("{body}{}", hint("no-permanent-store")),
            Kept,
        ),
        ("chat", format!("{state}{}", hint("store")), Kept),
        ("chat", format!("{state}{}", hint("no-store")), Forgotten),
        ("groupchat", body.to_owned(), Refused),
        ("headline", body.to_owned(), Forgotten),
        ("error", body.to_owned(), Forgotten),
    ] {
        let world = world();
        let romeo = world.login("romeo@example.org/orchard");
        romeo.send(&format!(
            "<message to='{JULIET}' type='{kind}'>{content}</message>"
        ));
        let got = match (count(&world), &romeo.read()[..]) {
            (1, []) => Kept,
            (0, []) => Forgotten,
            (0, [reply]) => {
                assert_eq!(reply.kind(), Kind::Message(MessageType::Error));
                let condition = reply.error().unwrap().condition;
                assert_eq!(condition, Condition::ServiceUnavailable);
                Refused
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(got, fate, "{kind} {content}");
    }
}

/// XEP-0160 §2: "if not (e.g., because the recipient's offline message queue is full), the
/// server returns a <service-unavailable/> error to the sender"
#[test]
fn a_full_store_and_an_account_that_does_not_exist_are_told_alike() {
    full_store(|limits| limits.offline_messages = 2);
    full_store(|limits| limits.offline_octets = 300);
}

/// Two messages fit.
fn full_store(limit: impl FnOnce(&mut AccountLimits)) {
    let world = World::with(vec![Arc::new(Offline::default())], |config| {
        limit(&mut config.account);
    });
    world.account(JULIET);
    let romeo = world.login("romeo@example.org/orchard");
    for text in ["1", "2", "3"] {
        say(&romeo, text);
    }
    romeo.send("<message to='nobody@example.org' type='chat'><body>1</body></message>");
    let conditions: Vec<_> = romeo
        .read()
        .iter()
        .map(|reply| reply.error().unwrap().condition)
        .collect();
    assert_eq!(conditions, [Condition::ServiceUnavailable; 2]);
    let juliet = world.login("juliet@example.org/balcony");
    juliet.shows("<presence/>");
    assert_eq!(bodies(&juliet.read()), ["1", "2"]);
}

/// Each message once, in order, however many there are; a page leaves the store when it has
/// been written.
#[test]
fn messages_come_page_by_page_and_leave_the_store_when_they_are_written() {
    let world = world();
    let romeo = world.login("romeo@example.org/orchard");
    let texts: Vec<_> = (0..2 * PAGE + 3).map(|n| n.to_string()).collect();
    for text in &texts {
        say(&romeo, text);
    }
    let juliet = world.login("juliet@example.org/balcony");
    juliet.shows("<presence/>");
    let mut feed = juliet.session.take_feed().unwrap();
    let mut got = Vec::new();
    for left in [texts.len(), texts.len() - PAGE, 3] {
        let page = world.run(feed.next());
        assert_eq!(
            count(&world),
            left,
            "what is not yet written is still there"
        );
        got.extend(bodies(&page));
    }
    assert!(world.run(feed.next()).is_empty());
    assert_eq!((count(&world), got), (0, texts));
}

/// It is passed over, whatever is around it, and stays: it may be the only copy.
#[test]
fn an_unreadable_message_is_neither_delivered_nor_deleted_and_holds_up_no_other() {
    let world = world();
    let romeo = world.login("romeo@example.org/orchard");
    let offline = world.server.stores().offline.clone();
    let damage = |xml: &str| {
        let (jid, at) = (bare(JULIET), world.server.now().utc);
        let limits = OfflineLimits::messages(100);
        assert!(world.run(offline.push(&jid, at, xml, limits)).unwrap());
    };
    let broken = ["<message><body>2</bo", "", "<message type='", "<iq/>"];
    say(&romeo, "1");
    broken.iter().for_each(|xml| damage(xml));
    say(&romeo, "3");
    // A page of nothing else.
    (0..2 * PAGE).for_each(|_| damage("<message"));
    say(&romeo, "4");
    let juliet = world.login("juliet@example.org/balcony");
    juliet.shows("<presence/>");
    assert_eq!(bodies(&juliet.read()), ["1", "3", "4"]);
    let unreadable = broken.len() + 2 * PAGE;
    assert_eq!(count(&world), unreadable);
    let counted = || world.server.metrics().unreadable_messages.value();
    assert_eq!(counted(), unreadable as u64);

    juliet.end();
    say(&romeo, "5");
    let juliet = world.login("juliet@example.org/balcony");
    juliet.shows("<presence/>");
    assert_eq!(bodies(&juliet.read()), ["5"]);
    assert_eq!(count(&world), unreadable);
    assert_eq!(counted(), 2 * unreadable as u64, "met again");
}

/// The connection goes in the middle: what it may not have got is given to another session
/// of the account that is there already, or to the next.
#[test]
fn what_a_broken_connection_did_not_get_another_session_gets() {
    let world = world();
    let romeo = world.login("romeo@example.org/orchard");
    for n in 0..PAGE + 1 {
        say(&romeo, &n.to_string());
    }
    let balcony = world.login("juliet@example.org/balcony");
    balcony.shows("<presence/>");
    let mut feed = balcony.session.take_feed().unwrap();
    assert_eq!(world.run(feed.next()).len(), PAGE);
    let chamber = world.login("juliet@example.org/chamber");
    chamber.shows("<presence/>");
    assert_eq!(chamber.read().len(), 0, "one session at a time");
    balcony.end();
    drop(feed);
    assert_eq!(bodies(&chamber.read())[0], "0");
    assert_eq!(count(&world), 0);
}

/// A message that is being stored while its recipient becomes available.
#[test]
fn a_message_does_not_get_stuck_when_the_recipient_comes_at_the_same_moment() {
    let world = world();
    let romeo = world.login("romeo@example.org/orchard");
    let sent = romeo.submit(&format!(
        "<message to='{JULIET}' type='chat'><body>late</body></message>"
    ));
    // Routed to the store, which has not been asked yet: juliet looks first.
    let juliet = world.login("juliet@example.org/balcony");
    juliet.shows("<presence/>");
    assert_eq!(juliet.read().len(), 0);
    world.finish(sent);
    assert_eq!(bodies(&juliet.read()), ["late"]);
}

/// The same while a delivery looks at the store for the last time.
#[test]
fn what_comes_during_a_delivery_is_part_of_it() {
    let world = world();
    let romeo = world.login("romeo@example.org/orchard");
    let late = |text: &str| {
        romeo.submit(&format!(
            "<message to='{JULIET}' type='chat'><body>{text}</body></message>"
        ))
    };
    say(&romeo, "1");
    let second = late("2");
    let juliet = world.login("juliet@example.org/balcony");
    juliet.shows("<presence/>");
    let mut feed = juliet.session.take_feed().unwrap();
    assert_eq!(bodies(&world.run(feed.next())), ["1"]);
    world.finish(second);
    assert!(
        juliet.session.take_feed().is_none(),
        "one delivery at a time"
    );
    assert_eq!(bodies(&world.run(feed.next())), ["2"]);
    assert!(world.run(feed.next()).is_empty());
    assert_eq!(count(&world), 0);
}

/// XEP-0203 §5: "the recipient's server SHOULD discard a delayed delivery notation whose
/// 'from' attribute matches the server's JabberID"
#[test]
fn nobody_else_stamps_in_the_servers_name() {
    let world = world();
    let romeo = world.login("romeo@example.org/orchard");
    let juliet = world.login("juliet@example.org/balcony");
    let delay = |from: &str| {
        format!("<delay xmlns='urn:xmpp:delay' from='{from}' stamp='2002-09-10T23:08:25Z'/>")
    };
    romeo.send(&format!(
        "<message to='juliet@example.org/balcony'>{}<body>hi</body>{}{}</message>",
        delay("example.org"),
        delay("room@example.net"),
        delay("EXAMPLE.org")
    ));
    juliet.expect(&[&format!(
        "<message to='juliet@example.org/balcony' from='romeo@example.org/orchard'>\
         <body>hi</body>{}</message>",
        delay("room@example.net")
    )]);
}

/// XEP-0191 §3.3: "the user's server MUST NOT deliver any XML stanzas from the JID"
#[test]
fn what_was_stored_before_its_sender_was_blocked_is_not_delivered() {
    let world = world();
    let romeo = world.login("romeo@example.org/orchard");
    say(&romeo, "1");
    let juliet = world.login("juliet@example.org/balcony");
    let account = juliet.session.account().clone();
    let blocked = account.change_blocked(
        world.server.stores(),
        |_| {
            Ok::<_, ()>(crate::account::BlockListChange {
                add: vec![Jid::new("romeo@example.org").unwrap()],
                remove: Vec::new(),
            })
        },
        |_, _| {},
    );
    world.run(blocked).unwrap();
    juliet.shows("<presence/>");
    juliet.expect(&[]);
    assert_eq!(count(&world), 0);
}

/// A page is held in memory until its client takes it.
#[test]
fn a_page_has_so_many_bytes_and_no_more() {
    let world = world();
    let romeo = world.login("romeo@example.org/orchard");
    let long = "x".repeat(PAGE_BYTES / 2 - 1000);
    let longer = long.repeat(3);
    let all = [&*long, "1", "2", &long, &long, "3", &longer, "4"];
    for text in &all {
        say(&romeo, text);
    }
    let juliet = world.login("juliet@example.org/balcony");
    juliet.shows("<presence/>");
    let mut feed = juliet.session.take_feed().unwrap();
    let mut pages = Vec::new();
    loop {
        let page = bodies(&world.run(feed.next()));
        if page.is_empty() {
            break;
        }
        pages.push(page);
    }
    assert_eq!(pages.concat(), all);
    for page in &pages {
        let bytes: usize = page.iter().map(String::len).sum();
        assert!(bytes <= PAGE_BYTES || page.len() == 1, "{bytes}");
    }
    assert!(pages[0].len() == 4 && pages.len() <= 5, "{}", pages.len());
    assert_eq!(count(&world), 0);
}

/// RFC 6120 §10.1: a session whose client does not read takes no more, and what goes to the
/// store instead comes back when it does, behind what waited and before what is newer.
#[test]
fn what_a_full_queue_did_not_take_comes_in_its_turn() {
    let world = World::with(vec![Arc::new(Offline::default())], |config| {
        config.session_queue.stanzas = 3;
    });
    world.account(JULIET);
    let romeo = world.login("romeo@example.org/orchard");
    for text in ["1", "2"] {
        say(&romeo, text);
        world.advance(Duration::from_millis(1));
    }
    let juliet = world.login("juliet@example.org/balcony");
    juliet.shows("<presence/>");
    // The stored ones are on their way when others come, more than fit.
    let mut feed = juliet.session.take_feed().unwrap();
    let mut got = bodies(&world.run(feed.next()));
    for n in 3..10 {
        world.advance(Duration::from_millis(1));
        say(&romeo, &n.to_string());
    }
    assert_eq!(count(&world), 2 + 4);
    assert!(world.run(feed.next()).is_empty(), "those are not its own");
    drop(feed);
    got.extend(bodies(&juliet.read()));
    say(&romeo, "10");
    got.extend(bodies(&juliet.read()));
    let all: Vec<_> = (1..=10).map(|n| n.to_string()).collect();
    assert_eq!((got, count(&world)), (all, 0));
    romeo.expect(&[]);
}

/// That a message has to stay behind another is no matter of room: answers and presence, which
/// take no other way, still come.
#[test]
fn a_message_that_waits_for_another_keeps_nothing_else_away() {
    let world = world();
    let romeo = world.login("romeo@example.org/orchard");
    let juliet = world.login("juliet@example.org/balcony");
    juliet.shows("<presence/>");
    juliet.skip();
    let send =
        |stanza: &str| romeo.submit(&stanza.replace("TO", "to='juliet@example.org/balcony'"));
    let message = "<message TO type='chat'><body>1</body></message>";
    let budget = world.server.budget();
    let all = budget.free();
    assert!(budget.take(all));
    let first = send(message);
    budget.give(all);
    world.finish(send("<iq TO type='result' id='1'/>"));
    let second = send(message);
    world.finish(send("<iq TO type='result' id='2'/>"));
    world.finish(send("<presence TO/>"));
    assert!(!juliet.session.queue().is_overflowed());
    assert_eq!(juliet.session.queue().depth().0, 3);
    world.finish(first);
    world.finish(second);
    assert_eq!(juliet.read().len(), 5);
}

/// RFC 6120 §10.1: the memory of the server is used up for a moment, so that a message is
/// stored though nothing waits for its recipient. What comes when there is memory again is
/// newer, and stays behind it.
#[test]
fn what_found_no_memory_is_not_overtaken() {
    let world = world();
    let romeo = world.login("romeo@example.org/orchard");
    let budget = world.server.budget();
    let say_later = |text: &str| {
        world.advance(Duration::from_millis(1));
        say(&romeo, text);
    };
    say_later("1");
    let juliet = world.login("juliet@example.org/balcony");
    juliet.shows("<presence/>");
    let mut feed = juliet.session.take_feed().unwrap();
    let mut got = bodies(&world.run(feed.next()));
    for (text, is_full) in [("2", true), ("3", false), ("4", true), ("5", false)] {
        let all = if is_full { budget.free() } else { 0 };
        assert!(budget.take(all));
        say_later(text);
        budget.give(all);
    }
    assert!(world.run(feed.next()).is_empty(), "those are not its own");
    drop(feed);
    got.extend(bodies(&juliet.read()));
    say_later("6");
    assert_eq!(count(&world), 0, "back to normal");
    got.extend(bodies(&juliet.read()));
    assert_eq!(got, ["1", "2", "3", "4", "5", "6"]);
}

/// XEP-0160: of two clients the one that had no room gets it, since that one is kept from
/// getting what is newer.
#[test]
fn what_found_no_memory_goes_to_the_session_that_it_was_for() {
    for device in ["phone", "desktop"] {
        let world = world();
        let romeo = world.login("romeo@example.org/orchard");
        let juliets = ["phone", "desktop"].map(|name| {
            let juliet = world.login(&format!("{JULIET}/{name}"));
            juliet.shows("<presence/>");
            juliet.skip();
            juliet
        });
        let budget = world.server.budget();
        let all = budget.free();
        assert!(budget.take(all));
        let stored = romeo.submit(&format!(
            "<message to='{JULIET}/{device}' type='chat'><body>1</body></message>"
        ));
        budget.give(all);
        world.finish(stored);
        for juliet in juliets {
            let meant = juliet.session.jid().resource() == device;
            assert_eq!(juliet.read().len(), usize::from(meant), "{device}");
        }
    }
}

/// The same while the store has not answered, and somebody does not wait for it.
#[test]
fn what_is_being_stored_is_not_overtaken() {
    let world = world();
    let romeo = world.login("romeo@example.org/orchard");
    let juliet = world.login("juliet@example.org/balcony");
    juliet.shows("<presence/>");
    juliet.skip();
    let budget = world.server.budget();
    let send = |text: &str| {
        romeo.submit(&format!(
            "<message to='{JULIET}/balcony' type='chat'><body>{text}</body></message>"
        ))
    };
    let all = budget.free();
    assert!(budget.take(all));
    let first = send("1");
    budget.give(all);
    let second = send("2");
    assert_eq!(juliet.read().len(), 0);
    // Not only messages wait for a client.
    romeo.send(&format!("<iq to='{JULIET}/balcony' type='result' id='1'/>"));
    world.finish(first);
    world.finish(second);
    let got = juliet.read();
    assert_eq!(bodies(&got[..2]), ["1", "2"]);
    assert_eq!(got.len(), 3);
    world.finish(send("3"));
    assert_eq!(count(&world), 0, "back to normal");
    assert_eq!(bodies(&juliet.read()), ["3"]);
}
