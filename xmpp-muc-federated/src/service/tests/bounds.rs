//! What the service holds, and who takes whose place.

use super::*;

fn room(name: &str) -> String {
    format!("{name}@{ROOMS}")
}

fn witch(name: &str) -> String {
    format!("{name}@{ROOMS}/witch")
}

impl world::Client<'_> {
    /// Makes a room that stays, or does not.
    fn found(&self, name: &str) -> String {
        self.enter(&witch(name));
        self.persist(name)
    }

    /// Has a room stay; what it answers.
    fn persist(&self, name: &str) -> String {
        self.read();
        self.configure(&room(name), &[("muc#roomconfig_persistentroom", "1")]);
        let read = self.read();
        let answer = read.iter().find(|stanza| stanza.starts_with("<iq"));
        answer.expect("there is one answer, always").clone()
    }

    fn leave(&self, name: &str) {
        self.send(&format!(
            "<presence type='unavailable' to='{}'/>",
            witch(name)
        ));
    }
}

#[test]
fn a_room_does_not_become_persistent_beyond_the_bound() {
    let world = World::with(|options| options.limits.stored = 1);
    let hag = world.login("hag@example.org/pda");
    assert!(hag.found("a").contains("type='result'"));
    let refused = hag.found("b");
    assert!(refused.contains("<resource-constraint"), "{refused}");
    let count = || world.run(world.store.inner.count(&bare(ROOMS))).unwrap();
    assert_eq!(count(), 1);
    hag.configure(&room("b"), &[]);
    assert!(hag.persist("b").contains("<resource-constraint"));
    // It is one already.
    assert!(hag.persist("a").contains("type='result'"));
    hag.configure(&room("a"), &[("muc#roomconfig_persistentroom", "0")]);
    assert!(hag.persist("b").contains("type='result'"));
    assert!(hag.persist("a").contains("<resource-constraint"));
    assert_eq!(count(), 1);

    // Where all are persistent, one that cannot be is not even made.
    let defaults = crate::room::Config {
        persistent: true,
        ..Default::default()
    };
    let world = World::with(|options| {
        options.limits.stored = 0;
        let settings = Arc::get_mut(&mut options.settings).unwrap();
        settings.defaults = defaults;
    });
    let hag = world.login("hag@example.org/pda");
    hag.enter(&witch("a"));
    let read = hag.read();
    assert!(read[0].contains("<resource-constraint"), "{read:?}");
}

#[test]
fn rooms_of_a_user_count_when_they_are_stored_and_nobody_is_there() {
    let world = World::with(|options| options.limits.user = 1);
    let hag = world.login("hag@example.org/pda");
    hag.found("a");
    hag.leave("a");
    world.advance(Duration::from_secs(61));
    assert_eq!(world.rooms(), [""; 0]);
    let refused = |client: &world::Client<'_>, name: &str| {
        client.read();
        client.enter(&witch(name));
        let read = client.read();
        client.leave(name);
        read[0].contains("<resource-constraint")
    };
    assert!(refused(&hag, "b"));
    let admin = world.login("admin@example.org/x");
    for name in ["c", "d"] {
        assert!(!refused(&admin, name), "who administers the rooms may");
    }
    // After a restart it counts as well, whether anybody has asked for it or not.
    let world = World::on(
        world.store.clone(),
        |options| options.limits.user = 1,
        |_| {},
    );
    let hag = world.login("hag@example.org/pda");
    assert!(refused(&hag, "b"));
    hag.enter(&witch("a"));
    hag.send(&format!(
        "<iq type='set' id='d' to='{}'><query xmlns='http://jabber.org/protocol/muc#owner'>\
         <destroy/></query></iq>",
        room("a")
    ));
    assert!(!refused(&hag, "b"));
}

#[test]
fn a_room_that_nobody_is_in_makes_place_for_another() {
    let world = World::with(|options| options.limits.rooms = 3);
    let hag = world.login("hag@example.org/pda");
    for name in ["a", "b", "c"] {
        hag.found(name);
        hag.leave(name);
        world.advance(Duration::from_secs(1));
    }
    // Somebody is in the one that was idle for longest.
    hag.enter(&witch("a"));
    assert_eq!(world.rooms(), [room("a"), room("b"), room("c")]);
    hag.make(&witch("d"));
    assert_eq!(world.rooms(), [room("a"), room("c"), room("d")]);
    hag.say(&room("d"), "made");
    assert_eq!(hag.heard(), ["made"]);
    hag.make(&witch("e"));
    assert_eq!(world.rooms(), [room("a"), room("d"), room("e")]);
    hag.enter(&witch("f"));
    let read = hag.read();
    assert!(read[0].contains("<resource-constraint"), "{read:?}");
    // What has left is there again when it is asked for.
    hag.leave("d");
    let info = hag.ask(&room("b"), INFO);
    assert!(info.contains("muc_persistent"), "{info}");
    assert_eq!(world.service.metrics().rooms.value(), 3);
}

#[test]
fn a_room_with_something_to_store_makes_no_place() {
    let world = World::with(|options| options.limits.rooms = 1);
    let hag = world.login("hag@example.org/pda");
    hag.found("a");
    world.store.fail(true);
    hag.say(&room("a"), "unheard of");
    hag.leave("a");
    hag.read();
    hag.enter(&witch("b"));
    let read = hag.read();
    assert!(read[0].contains("<resource-constraint"), "{read:?}");
    world.store.fail(false);
    world.advance(Duration::from_secs(5));
    hag.make(&witch("b"));
    assert_eq!(world.rooms(), [room("b")]);
    let a = bare(&room("a"));
    let stored = world.run(world.store.inner.history(&a, 9)).unwrap();
    assert_eq!(stored.len(), 1);
}

/// It is asked to go and has something to do by then: it stays, and goes when it is asked once more.
#[test]
fn a_room_that_is_asked_for_while_it_makes_place_stays() {
    let world = World::with(|options| options.limits.rooms = 1);
    let hag = world.login("hag@example.org/pda");
    hag.found("a");
    hag.leave("a");
    hag.read();
    let stanza = |to: &str, x: &str| {
        let text = format!("<presence from='hag@example.org/pda' to='{to}'>{x}</presence>");
        Stanza::parse(&text).unwrap()
    };
    let x = "<x xmlns='http://jabber.org/protocol/muc'/>";
    // Both are there before any task runs.
    for to in [witch("b"), witch("a")] {
        let _ = world.server.route(stanza(&to, x), Origin::SERVER);
    }
    world.settle();
    assert_eq!(world.rooms(), [room("a"), room("b")], "for that moment");
    hag.configure(&room("b"), &[]);
    hag.leave("a");
    hag.read();
    // One of two was too many: the place of the one is no place.
    hag.enter(&witch("c"));
    assert!(hag.read()[0].contains("<resource-constraint"));
    hag.leave("b");
    hag.make(&witch("c"));
    assert_eq!(world.rooms(), [room("c")]);
}

/// XEP-0045 §10.1
#[test]
fn a_room_that_is_not_configured_is_gone_after_a_while() {
    let world = World::new();
    let hag = world.login("hag@example.org/pda");
    hag.enter(&witch("a"));
    hag.read();
    world.advance(Duration::from_secs(599));
    assert_eq!(world.rooms(), [room("a")]);
    world.advance(Duration::from_secs(1));
    assert_eq!(world.rooms(), [""; 0]);
    let read = hag.read();
    assert!(read[0].contains("<destroy") && read.len() == 1, "{read:?}");
}

#[test]
fn an_answer_that_changes_nothing_waits_for_no_store() {
    let world = World::new();
    let hag = world.login("hag@example.org/pda");
    hag.found("a");
    world.store.fail(true);
    hag.say(&room("a"), "unheard of");
    for payload in [
        INFO,
        ITEMS,
        "<query xmlns='http://jabber.org/protocol/muc#owner'/>",
        "<query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='owner'/></query>",
    ] {
        let answer = hag.ask(&room("a"), payload);
        assert!(answer.contains("type='result'"), "{answer}");
    }
    assert!(hag.persist("a").contains("<internal-server-error"));
}

#[test]
fn history_is_in_the_memory_of_the_server_and_goes_first_when_that_is_short() {
    const MEMORY: usize = 4 << 20;
    let world = World::on(Arc::default(), |_| {}, |config| config.memory = MEMORY);
    let hag = world.login("hag@example.org/pda");
    hag.make(&witch("a"));
    let used = || world.server.budget().used();
    let before = used();
    // It is said in the id as well.
    let text = "x".repeat(5_000);
    let say = |n: usize| {
        hag.say(&room("a"), &format!("{n}-{text}"));
        hag.read();
        world.advance(Duration::from_secs(1));
    };
    (0..10).for_each(say);
    assert!(
        (100_000..120_000).contains(&(used() - before)),
        "{}",
        used()
    );
    // Somebody else needs it.
    let budget = world.server.budget();
    let taken = budget.free() - 500_000;
    assert!(budget.take(taken));
    (10..15).for_each(say);
    assert!(used() - taken - before < 120_000, "no more than there was");
    hag.leave("a");
    hag.read();
    assert_eq!(world.rooms(), [""; 0]);
    assert_eq!(used() - taken, before);
    budget.give(taken);
}

/// Else whoever enters again and again has as many of them on their way as they like.
#[test]
fn who_enters_again_from_elsewhere_is_told_of_the_room_once() {
    const CROWD: usize = 450;
    let world = World::new();
    let crowd = world.outside("crowd.example", 1 << 20);
    let slow = world.outside("slow.example", 1 << 20);
    world.opened_by("u0@crowd.example/x", "n0");
    for n in 1..CROWD {
        world.enters(&format!("u{n}@crowd.example/x"), &format!("n{n}"));
        world.advance(Duration::from_millis(500));
        crowd.read();
    }
    let used = world.server.budget().used();
    for _ in 0..8 {
        world.enters("hag@slow.example/pda", "hag");
        world.inject(&format!(
            "<message type='groupchat' from='u0@crowd.example/x' to='{COVEN}'><body>x</body></message>"
        ));
    }
    let mut told = slow.read();
    crowd.read();
    // A pointer and a word for each of them, and what was said.
    let late = world.server.budget().used() - used;
    assert!(late < (CROWD + 2) * 16 + 8 * 2048, "{late}");
    for _ in 0..20 {
        world.advance(Duration::from_millis(100));
        told.extend(slow.read());
    }
    // A page of the first time; all others, themself, seven messages of history and the subject, of the last time; and what was said.
    assert_eq!(told.len(), 200 + (CROWD + 1 + 7 + 1) + 8);
    let at = |part: &str| told.iter().rposition(|stanza| stanza.contains(part));
    assert!(at("n449").is_some());
    assert!(at("<status code='110'/>") < at("<subject") && at("<subject") < at("<body>"));
    assert_eq!(world::bodies(&told).len(), 8 + 7);
}

/// What they hear then is of the others alone: what they had yet to hear of themselves and of what was said stays.
#[test]
fn who_becomes_a_moderator_meanwhile_hears_the_rest_all_the_same() {
    const CROWD: usize = 300;
    let world = World::new();
    let crowd = world.outside("crowd.example", 1 << 20);
    let slow = world.outside("slow.example", 1 << 20);
    world.enters("u0@crowd.example/x", "n0");
    let set = |payload: &str| {
        world.inject(&format!(
            "<iq type='set' id='c' from='u0@crowd.example/x' to='{COVEN}'>{payload}</iq>"
        ));
    };
    set("<query xmlns='http://jabber.org/protocol/muc#owner'>\
         <x xmlns='jabber:x:data' type='submit'/></query>");
    for n in 1..CROWD {
        world.enters(&format!("u{n}@crowd.example/x"), &format!("n{n}"));
        world.advance(Duration::from_millis(500));
        crowd.read();
    }
    world.enters("hag@slow.example/pda", "hag");
    set("<query xmlns='http://jabber.org/protocol/muc#admin'>\
         <item nick='hag' role='moderator'/></query>");
    let mut told = Vec::new();
    for _ in 0..10 {
        world.advance(Duration::from_millis(100));
        told.extend(slow.read());
    }
    let with = |part: &str| told.iter().filter(|stanza| stanza.contains(part)).count();
    assert_eq!(with("<subject"), 1);
    assert_eq!(with("<status code='110'/>"), 2);
    // 200 of them without their addresses, then all with these.
    assert_eq!(with("@crowd.example"), CROWD);
    assert_eq!(told.len(), 200 + CROWD + 3);
}

/// RFC 7622 §3.3: a localpart has 1023 bytes at most, and no symbols.
#[test]
fn a_room_has_an_address_as_long_as_one_may_be() {
    let world = World::new();
    let hag = world.login("hag@example.org/pda");
    for (name, fits) in [
        ("x".repeat(1023), true),
        ("あ".repeat(341), true),
        ("x".repeat(1024), false),
        ("あ".repeat(342), false),
        ("😀".into(), false),
        ("a b".into(), false),
    ] {
        let address = xmpp_core::Jid::new(&room(&name));
        assert_eq!(address.is_ok(), fits, "{name:.20}");
        if fits {
            let stored = hag.found(&name);
            assert!(stored.contains("type='result'"), "{stored:.200}");
            hag.say(&room(&name), "Fair is foul");
            assert_eq!(hag.heard(), ["Fair is foul"]);
            hag.leave(&name);
            world.advance(Duration::from_secs(61));
            assert_eq!(world.rooms(), [""; 0]);
            // It comes back from the store.
            hag.enter(&witch(&name));
            assert_eq!(hag.heard(), ["Fair is foul"], "{name:.20}");
            hag.leave(&name);
            world.advance(Duration::from_secs(61));
        }
    }
}
