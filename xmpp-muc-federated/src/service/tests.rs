//! The service as its users and its server see it.

mod bounds;
mod federation;
mod gather;
mod world;

use std::time::Duration;

use futures::FutureExt as _;
use xmpp_core::mailbox::{Origin, Outcome, Settlement, SmPoint};
use xmpp_core::session::{FEEDS, Feed};
use xmpp_core::stanza::Stanza;

use super::*;
use crate::store::Rooms as _;
use world::{ROOMS, World, bare};

const COVEN: &str = "coven@rooms.example.org";
const INFO: &str = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
const ITEMS: &str = "<query xmlns='http://jabber.org/protocol/disco#items'/>";

fn nick(nick: &str) -> String {
    format!("{COVEN}/{nick}")
}

/// XEP-0045 §6.1, §6.2
#[test]
fn the_service_is_found_and_says_what_it_is() {
    let world = World::new();
    let hag = world.login("hag@example.org/pda");
    let items = hag.ask("example.org", ITEMS);
    assert!(
        items.contains("<item jid='rooms.example.org' name='Rooms'/>"),
        "{items}"
    );
    let info = hag.ask(ROOMS, INFO);
    for part in [
        "<identity category='conference' type='text' name='Rooms'/>",
        "<feature var='http://jabber.org/protocol/muc'/>",
        "<feature var='http://jabber.org/protocol/rsm'/>",
        "<feature var='urn:xmpp:ping'/>",
        "<feature var='jabber:iq:version'/>",
    ] {
        assert!(info.contains(part), "{info}");
    }
    let ping = hag.ask(ROOMS, "<ping xmlns='urn:xmpp:ping'/>");
    assert!(ping.contains("type='result'"), "{ping}");
    let version = hag.ask(ROOMS, "<query xmlns='jabber:iq:version'/>");
    assert!(version.contains("<version>"), "{version}");
    for (to, asked) in [(ROOMS, "<x xmlns='urn:x'/>"), ("rooms.example.org/x", INFO)] {
        let refused = hag.ask(to, asked);
        assert!(refused.contains("<service-unavailable"), "{refused}");
    }
    assert_eq!(world.rooms(), [""; 0]);
}

#[test]
fn a_room_is_made_by_who_enters_and_gone_with_the_last() {
    let world = World::new();
    let (hag, crone) = (
        world.login("hag@example.org/pda"),
        world.login("crone@example.org/desk"),
    );
    hag.make(&nick("firstwitch"));
    crone.enter(&nick("secondwitch"));
    let entered = crone.read();
    let order = [
        "from='coven@rooms.example.org/firstwitch'",
        "<status code='110'/>",
        "<subject",
    ];
    assert_eq!(entered.len(), order.len(), "{entered:#?}");
    for (stanza, part) in entered.iter().zip(order) {
        assert!(stanza.contains(part), "{stanza}");
        assert!(stanza.contains("to='crone@example.org/desk'"), "{stanza}");
    }
    hag.say(COVEN, "Harpier cries");
    crone.say(COVEN, "It is time");
    for witch in [&hag, &crone] {
        assert_eq!(witch.heard(), ["Harpier cries", "It is time"]);
    }
    assert_eq!(world.rooms(), [COVEN]);
    let metrics = world.service.metrics();
    assert_eq!((metrics.occupants(), metrics.messages.value()), (2, 2));
    for witch in [&hag, &crone] {
        witch.send(&format!(
            "<presence type='unavailable' to='{}'/>",
            nick("x")
        ));
    }
    assert_eq!(world.rooms(), [""; 0]);
    assert_eq!((metrics.occupants(), metrics.rooms.value()), (0, 0));
}

/// RFC 6120 §10.1: in order between two entities, though a burst is pulled and the rest is not.
#[test]
fn who_leaves_and_enters_again_hears_it_in_that_order() {
    let world = World::new();
    let (hag, crone) = (
        world.login("hag@example.org/pda"),
        world.login("crone@example.org/desk"),
    );
    hag.make(&nick("firstwitch"));
    crone.enter(&nick("secondwitch"));
    crone.read();
    crone.send(&format!(
        "<presence type='unavailable' to='{}'/>",
        nick("secondwitch")
    ));
    crone.enter(&nick("secondwitch"));
    hag.say(COVEN, "again");
    let kinds = crone.read();
    let of = |stanza: &String| match stanza {
        s if s.contains("type='unavailable'") => "left",
        s if s.contains("<status code='110'/>") => "entered",
        s if s.contains("<body>") => "heard",
        s if s.contains("<subject") => "subject",
        _ => "other",
    };
    let kinds: Vec<_> = kinds.iter().map(of).collect();
    assert_eq!(kinds, ["left", "other", "entered", "subject", "heard"]);
}

#[test]
fn what_is_for_a_room_that_does_not_exist_comes_back() {
    let world = World::new();
    let hag = world.login("hag@example.org/pda");
    let condition = |to: &str, payload| {
        let answer = hag.ask(to, payload);
        let (_, rest) = answer
            .split_once("'><")
            .unwrap()
            .1
            .split_once("'><")
            .unwrap();
        rest.split_once(' ').unwrap().0.to_owned()
    };
    assert_eq!(condition(COVEN, INFO), "item-not-found");
    // XEP-0410 §3.3: <item-not-found/> would say that they are in it.
    let ping = "<ping xmlns='urn:xmpp:ping'/>";
    assert_eq!(condition(&nick("firstwitch"), ping), "not-acceptable");
    hag.say(COVEN, "hello");
    let read = hag.read();
    assert!(read[0].contains("<item-not-found"), "{read:?}");
    hag.send(&format!(
        "<presence type='unavailable' to='{}'/>",
        nick("x")
    ));
    hag.send(&format!("<message type='error' to='{}'/>", nick("x")));
    assert_eq!(hag.read(), [""; 0]);
    assert_eq!(world.rooms(), [""; 0]);
}

/// XEP-0045 §10.1.1
#[test]
fn who_may_make_rooms_is_a_matter_of_policy() {
    use Creation::*;
    for (policy, local, stranger, admin) in [
        (Anyone, true, true, true),
        (Local, true, false, true),
        (Admins, false, false, true),
        (Nobody, false, false, false),
    ] {
        let world = World::with(|options| options.creation = policy);
        let outside = world.outside("example.net", 100);
        let made = |room: &str| world.rooms().iter().any(|made| made == room);
        for (user, may) in [
            ("hag@example.org/pda", local),
            ("admin@example.org/x", admin),
        ] {
            let client = world.login(user);
            client.enter(&nick("witch"));
            assert_eq!(made(COVEN), may, "{policy:?} {user}");
            let read = client.read().concat();
            assert_eq!(read.contains("<not-allowed"), !may, "{policy:?} {read}");
            client.send(&format!(
                "<presence type='unavailable' to='{}'/>",
                nick("witch")
            ));
        }
        world.inject(&format!(
            "<presence from='hag@example.net/x' to='{}'>\
             <x xmlns='http://jabber.org/protocol/muc'/></presence>",
            nick("witch")
        ));
        assert_eq!(made(COVEN), stranger, "{policy:?} from elsewhere");
        let read = outside.read().concat();
        assert_eq!(
            read.contains("<not-allowed"),
            !stranger,
            "{policy:?} {read}"
        );
    }
}

#[test]
fn a_persistent_room_leaves_memory_when_nobody_is_there_and_comes_back_as_it_was() {
    let world = World::new();
    let hag = world.login("hag@example.org/pda");
    hag.enter(&nick("firstwitch"));
    let fields = [
        ("muc#roomconfig_persistentroom", "1"),
        ("muc#roomconfig_roomname", "A Dark Cave"),
    ];
    hag.configure(COVEN, &fields);
    hag.say(COVEN, "Harpier cries");
    hag.send(&format!(
        "<message type='groupchat' to='{COVEN}'><subject>Fire Burn!</subject></message>"
    ));
    hag.send(&format!(
        "<presence type='unavailable' to='{}'/>",
        nick("firstwitch")
    ));
    assert_eq!(world.rooms(), [COVEN], "it may be entered again at once");
    world.advance(Duration::from_secs(61));
    assert_eq!(world.rooms(), [""; 0]);

    // Here, and after a restart.
    let other = World::on(world.store.clone(), |_| {}, |_| {});
    for world in [&world, &other] {
        let crone = world.login("crone@example.org/desk");
        let items = crone.ask(ROOMS, ITEMS);
        let item = "<item jid='coven@rooms.example.org' name='A Dark Cave'/>";
        assert!(items.contains(item), "{items}");
        assert_eq!(world.rooms(), [""; 0]);
        crone.enter(&nick("secondwitch"));
        let entered = crone.read().concat();
        for part in [
            "role='participant'",
            "<body>Harpier cries</body>",
            "<delay",
            "<subject>Fire Burn!</subject>",
        ] {
            assert!(entered.contains(part), "{part}: {entered}");
        }
        let hag = world.login("hag@example.org/other");
        hag.enter(&nick("firstwitch"));
        assert!(hag.read().concat().contains("affiliation='owner'"));
    }
}

#[test]
fn nothing_is_lost_or_overtaken_while_a_room_is_loaded() {
    let world = World::new();
    let hag = world.login("hag@example.org/pda");
    world.store.hold(true);
    hag.enter(&nick("firstwitch"));
    hag.configure(COVEN, &[]);
    for n in 0..5 {
        hag.say(COVEN, &n.to_string());
    }
    assert_eq!(hag.read(), [""; 0]);
    world.store.hold(false);
    world.advance(Duration::ZERO);
    let read = hag.read();
    assert!(read[0].contains("<status code='110'/>"), "{read:?}");
    assert_eq!(world::bodies(&read), ["0", "1", "2", "3", "4"]);
}

#[test]
fn what_one_batch_changes_is_stored_in_one_step() {
    let world = World::new();
    let hag = world.login("hag@example.org/pda");
    hag.enter(&nick("firstwitch"));
    hag.configure(COVEN, &[("muc#roomconfig_persistentroom", "1")]);
    world.store.applied();
    world.store.hold(true);
    for n in 0..5 {
        hag.say(COVEN, &n.to_string());
    }
    world.store.hold(false);
    world.advance(Duration::ZERO);
    // The first was alone.
    let applied = world.store.applied();
    assert_eq!(applied.len(), 2, "{applied:?}");
    let stored = world
        .run(world.store.inner.history(&bare(COVEN), 9))
        .unwrap();
    assert_eq!(stored.len(), 5);
}

#[test]
fn what_could_not_be_stored_is_tried_again_and_who_asked_is_told() {
    let world = World::new();
    let hag = world.login("hag@example.org/pda");
    hag.enter(&nick("firstwitch"));
    hag.configure(COVEN, &[("muc#roomconfig_persistentroom", "1")]);
    hag.read();
    world.store.fail(true);
    hag.say(COVEN, "unheard of");
    assert_eq!(hag.heard(), ["unheard of"], "it is heard all the same");
    hag.configure(COVEN, &[("muc#roomconfig_roomname", "Cave")]);
    let read = hag.read();
    let answer = read.iter().find(|stanza| stanza.starts_with("<iq"));
    assert!(
        answer.unwrap().contains("<internal-server-error"),
        "{read:?}"
    );
    assert!(world.service.metrics().store_errors.value() > 0);
    world.store.fail(false);
    world.advance(Duration::from_secs(5));
    let stored = world
        .run(world.store.inner.history(&bare(COVEN), 9))
        .unwrap();
    assert_eq!(stored.len(), 1);
    let listed = world
        .run(world.store.inner.list(&bare(ROOMS), None, 9))
        .unwrap();
    assert_eq!(listed[0].name.as_deref(), Some("Cave"));
}

/// Two who have their turn together do not answer for each other.
#[test]
fn what_the_store_refuses_of_one_is_no_answer_to_another() {
    let world = World::new();
    let hag = world.login("hag@example.org/pda");
    hag.enter(&nick("firstwitch"));
    hag.configure(COVEN, &[("muc#roomconfig_persistentroom", "1")]);
    hag.read();
    world.store.refuse("poison");
    let ban = |id: &str, reason: &str| {
        format!(
            "<iq type='set' from='hag@example.org/pda' to='{COVEN}' id='{id}'><query xmlns='http://jabber.org/protocol/muc#admin'>\
             <item affiliation='outcast' jid='{id}@x.example'><reason>{reason}</reason></item></query></iq>"
        )
    };
    let said = format!(
        "<message type='groupchat' from='hag@example.org/pda' to='{COVEN}'><body>poison</body></message>"
    );
    // All are there before the room's task runs.
    for stanza in [said, ban("a", "weed"), ban("b", "poison"), ban("c", "brew")] {
        let stanza = Stanza::parse(&stanza).unwrap();
        let _ = world.server.route(stanza, Origin::SERVER);
    }
    world.settle();
    let read = hag.read();
    let answers = read.iter().filter(|stanza| stanza.starts_with("<iq"));
    let answers: Vec<_> = answers
        .map(|answer| (answer.contains("type='error'"), answer.contains("id='b'")))
        .collect();
    assert_eq!(
        answers,
        [(false, false), (true, true), (false, false)],
        "{read:?}"
    );
    let stored = world.run(world.store.inner.load(&bare(COVEN))).unwrap();
    let banned = stored.unwrap().affiliations.into_iter();
    let banned = banned.filter(|entry| entry.affiliation == crate::room::Affiliation::Outcast);
    let mut banned: Vec<_> = banned.map(|entry| entry.jid.to_string()).collect();
    banned.sort();
    assert_eq!(banned, ["a@x.example", "c@x.example"]);
}

/// Changes are stored together; one that no store takes is as good as lost, and the others are not.
#[test]
fn what_the_store_refuses_takes_nothing_else_with_it() {
    // The store may fail meanwhile: what was left is tried again, in its order.
    for good in [None, Some(1), Some(2), Some(3), Some(4)] {
        let world = World::new();
        let hag = world.login("hag@example.org/pda");
        hag.enter(&nick("firstwitch"));
        hag.configure(COVEN, &[("muc#roomconfig_persistentroom", "1")]);
        hag.read();
        world.store.applied();
        world.store.refuse("poison");
        if let Some(good) = good {
            world.store.fail_after(good);
        }
        // All are there before the room's task runs.
        for body in ["0", "1", "poison", "3", "4"] {
            let stanza = format!(
                "<message type='groupchat' from='hag@example.org/pda' to='{COVEN}' id='{body}'>\
                 <body>{body}</body></message>"
            );
            let stanza = Stanza::parse(&stanza).unwrap();
            let _ = world.server.route(stanza, Origin::SERVER);
        }
        world.settle();
        assert_eq!(hag.heard(), ["0", "1", "poison", "3", "4"]);
        assert_eq!(world.store.applied()[0], 5, "stored together");
        world.store.fail(false);
        world.advance(Duration::from_secs(5));
        let stored = world.run(world.store.inner.history(&bare(COVEN), 9));
        let stored: Vec<_> = stored.unwrap().into_iter().map(|said| said.xml).collect();
        assert_eq!(world::bodies(&stored), ["0", "1", "3", "4"], "{good:?}");
        assert_eq!(
            world.service.metrics().store_errors.value(),
            if good.is_some() { 2 } else { 1 }
        );
        // Whoever changes something else hears nothing of it.
        hag.configure(COVEN, &[("muc#roomconfig_roomname", "Cave")]);
        let read = hag.read();
        assert!(
            read.iter().any(|stanza| stanza.contains("type='result'")),
            "{read:?}"
        );
    }
}

#[test]
fn a_room_that_nobody_is_in_waits_for_its_store_and_does_nothing_meanwhile() {
    let world = World::new();
    let hag = world.login("hag@example.org/pda");
    hag.enter(&nick("firstwitch"));
    hag.configure(COVEN, &[("muc#roomconfig_persistentroom", "1")]);
    world.store.fail(true);
    hag.say(COVEN, "unheard of");
    let leave = format!("<presence type='unavailable' to='{}'/>", nick("firstwitch"));
    hag.send(&leave);
    // Just not yet when it is tried again, though it would have rested for long enough.
    world.advance(Duration::from_secs(58));
    world.advance(Duration::from_secs(3));
    assert_eq!(world.rooms(), [COVEN]);
    world.store.fail(false);
    world.advance(Duration::from_secs(5));
    assert_eq!(world.rooms(), [""; 0]);
}

#[test]
fn a_room_with_too_much_that_is_not_stored_takes_nothing_more_until_it_is() {
    let world = World::with(|options| options.limits.unsaved = 3);
    let hag = world.login("hag@example.org/pda");
    hag.enter(&nick("firstwitch"));
    hag.configure(COVEN, &[("muc#roomconfig_persistentroom", "1")]);
    hag.read();
    world.store.fail(true);
    for n in 0..5 {
        hag.say(COVEN, &n.to_string());
    }
    assert_eq!(hag.heard(), ["0", "1", "2"]);
    let leave = format!("<presence type='unavailable' to='{}'/>", nick("firstwitch"));
    hag.send(&leave);
    world.advance(Duration::from_secs(120));
    assert_eq!(world.rooms(), [COVEN], "it waits for the store");
    world.store.fail(false);
    world.advance(Duration::from_secs(5));
    assert_eq!(hag.heard(), ["3", "4"]);
    let stored = world
        .run(world.store.inner.history(&bare(COVEN), 9))
        .unwrap();
    assert_eq!(stored.len(), 5);
    world.advance(Duration::from_secs(120));
    assert_eq!(world.rooms(), [""; 0]);
}

#[test]
fn a_store_that_fails_at_the_start_keeps_nobody_waiting() {
    let store = Arc::new(world::Store::default());
    let world = World::on(store.clone(), |_| {}, |_| {});
    let hag = world.login("hag@example.org/pda");
    hag.enter(&nick("firstwitch"));
    hag.configure(COVEN, &[("muc#roomconfig_persistentroom", "1")]);

    store.fail(true);
    let later = World::on(store.clone(), |_| {}, |_| {});
    let crone = later.login("crone@example.org/desk");
    assert!(!crone.ask(ROOMS, ITEMS).contains("<item"));
    store.fail(false);
    later.advance(Duration::from_secs(5));
    assert!(crone.ask(ROOMS, ITEMS).contains(COVEN));
}

#[test]
fn a_room_that_cannot_be_loaded_is_tried_again_by_who_comes_next() {
    let world = World::new();
    world.store.fail(true);
    let hag = world.login("hag@example.org/pda");
    hag.enter(&nick("firstwitch"));
    let read = hag.read();
    assert!(read[0].contains("<internal-server-error"), "{read:?}");
    assert_eq!(world.rooms(), [""; 0]);
    world.store.fail(false);
    hag.enter(&nick("firstwitch"));
    assert!(hag.read()[0].contains("<status code='110'/>"));
}

/// XEP-0045 §6.3, XEP-0059
#[test]
fn public_rooms_are_listed_page_by_page() {
    let world = World::with(|options| options.limits.page = 3);
    let hag = world.login("hag@example.org/pda");
    for room in ["e", "d", "c", "b", "a"] {
        hag.make(&format!("{room}@{ROOMS}/witch"));
    }
    hag.enter(&format!("hidden@{ROOMS}/witch"));
    hag.configure(
        &format!("hidden@{ROOMS}"),
        &[("muc#roomconfig_publicroom", "0")],
    );
    let list = |set: &str| {
        let set = match set {
            "" => String::new(),
            set => format!("<set xmlns='http://jabber.org/protocol/rsm'>{set}</set>"),
        };
        let query = format!("<query xmlns='http://jabber.org/protocol/disco#items'>{set}</query>");
        let answer = hag.ask(ROOMS, &query);
        let (_, answer) = answer.split_once("disco#items'>").unwrap();
        let answer = answer.replace("@rooms.example.org", "");
        answer.split_once("</query>").unwrap().0.to_owned()
    };
    let page = |rooms: &str, index: usize| {
        let items: String = rooms
            .chars()
            .map(|room| format!("<item jid='{room}'/>"))
            .collect();
        let first = rooms.chars().next().unwrap();
        let last = rooms.chars().last().unwrap();
        format!(
            "{items}<set xmlns='http://jabber.org/protocol/rsm'>\
             <first index='{index}'>{first}</first><last>{last}</last><count>5</count></set>"
        )
    };
    for (set, rooms, index) in [
        ("", "abc", 0),
        ("<max>2</max>", "ab", 0),
        ("<max>2</max><after>b@rooms.example.org</after>", "cd", 2),
        ("<max>2</max><after>bb@rooms.example.org</after>", "cd", 2),
        ("<max>2</max><before>d@rooms.example.org</before>", "bc", 1),
        ("<max>2</max><before/>", "de", 3),
        ("<max>2</max><index>3</index>", "de", 3),
        ("<max>9</max><index>1</index>", "bcd", 1),
    ] {
        assert_eq!(list(set), page(rooms, index), "{set}");
    }
    // §2.6: "greater than or equal to the number of items in the full set then the responding entity MUST return an empty page"
    for set in ["<max>0</max>", "<max>2</max><index>5</index>"] {
        let count = "<set xmlns='http://jabber.org/protocol/rsm'><count>5</count></set>";
        assert_eq!(list(set), count, "{set}");
    }
    // What is gone is not listed.
    hag.send(&format!(
        "<presence type='unavailable' to='a@{ROOMS}/witch'/>"
    ));
    assert!(list("<max>1</max>").starts_with("<item jid='b'/>"));
}

#[test]
fn the_table_of_rooms_is_bounded() {
    let world = World::with(|options| options.limits.rooms = 1);
    let hag = world.login("hag@example.org/pda");
    hag.make(&nick("firstwitch"));
    hag.enter(&format!("heath@{ROOMS}/witch"));
    let read = hag.read();
    assert!(read[0].contains("<resource-constraint"), "{read:?}");
    assert_eq!(world.rooms(), [COVEN]);

    let world = World::with(|options| options.limits.user = 1);
    let hag = world.login("hag@example.org/pda");
    hag.make(&nick("firstwitch"));
    hag.enter(&format!("heath@{ROOMS}/witch"));
    let read = hag.read();
    assert!(read[0].contains("<resource-constraint"), "{read:?}");
    hag.send(&format!(
        "<presence type='unavailable' to='{}'/>",
        nick("firstwitch")
    ));
    hag.make(&format!("heath@{ROOMS}/witch"));
    assert_eq!(world.rooms(), [format!("heath@{ROOMS}")]);
}

#[test]
fn who_cannot_take_what_they_are_to_be_told_does_not_enter() {
    struct Full;
    #[async_trait::async_trait]
    impl Feed for Full {
        async fn next(&mut self) -> Vec<Stanza> {
            Vec::new()
        }
    }
    let world = World::new();
    let (hag, crone) = (
        world.login("hag@example.org/pda"),
        world.login("crone@example.org/desk"),
    );
    hag.make(&nick("firstwitch"));
    for _ in 0..FEEDS {
        assert!(crone.session.add_feed(Box::new(Full)));
    }
    crone.enter(&nick("secondwitch"));
    assert_eq!(world.service.metrics().occupants(), 1);
    let seen = hag.read().concat();
    let gone = "from='coven@rooms.example.org/secondwitch' type='unavailable'";
    assert!(seen.contains(gone), "{seen}");
}

/// What may wait on the way to another server has bounds, which a crowd exceeds.
#[test]
fn who_enters_a_crowd_from_elsewhere_is_told_of_it_little_by_little_and_in_order() {
    const CROWD: usize = 300;
    let world = World::with(|options| options.creation = Creation::Anyone);
    let crowd = world.outside("crowd.example", 1 << 20);
    let slow = world.outside("slow.example", 250);
    world.opened_by("u0@crowd.example/x", "n0");
    for n in 1..CROWD {
        world.enters(&format!("u{n}@crowd.example/x"), &format!("n{n}"));
        crowd.read();
    }
    // Those who came last were told little by little as well.
    world.advance(Duration::from_millis(100));
    crowd.read();
    world.enters("hag@slow.example/pda", "hag");
    world.inject(&format!(
        "<message type='groupchat' from='u0@crowd.example/x' to='{COVEN}'><body>x</body></message>"
    ));
    let mut told = slow.read();
    assert!(told.len() < CROWD, "{}", told.len());
    for _ in 0..5 {
        world.advance(Duration::from_millis(100));
        told.extend(slow.read());
    }
    // Everybody, themself, the subject and the message.
    assert_eq!(told.len(), CROWD + 3);
    assert!(
        told[CROWD].contains("<status code='110'/>"),
        "{}",
        told[CROWD]
    );
    assert!(told[CROWD + 1].contains("<subject"), "{}", told[CROWD + 1]);
    assert!(told[CROWD + 2].contains("<body>"), "{}", told[CROWD + 2]);
    assert_eq!(world.service.metrics().occupants(), CROWD as u64 + 1);
}

/// XEP-0198 §4: what is acknowledged is safe.
#[test]
fn what_a_persistent_room_is_told_is_settled_when_it_is_stored() {
    let world = World::new();
    let hag = world.login("hag@example.org/pda");
    hag.enter(&nick("firstwitch"));
    let say = |n| {
        let text = format!("<message type='groupchat' to='{COVEN}'><body>x</body></message>");
        let stanza = Stanza::parse(&text).unwrap();
        let stanza = stanza.with_from(Jid::from(hag.session.jid()));
        let mut origin = Origin::session(hag.session.id());
        origin.sm = Some(SmPoint {
            id: "stream".into(),
            n,
        });
        let dispatch = world.server.submit(stanza, &hag.session, origin);
        let Settlement::Later(later) = world.run(dispatch.finish()) else {
            panic!("settled before it was heard");
        };
        world.settle();
        later
    };
    hag.configure(COVEN, &[]);
    assert_eq!(say(1).now_or_never(), Some(Outcome::Settled));
    hag.configure(COVEN, &[("muc#roomconfig_persistentroom", "1")]);
    world.store.hold(true);
    let mut later = say(2);
    assert_eq!((&mut later).now_or_never(), None);
    world.store.hold(false);
    world.settle();
    assert_eq!(later.now_or_never(), Some(Outcome::Settled));
}

/// XEP-0045 §11.2
#[test]
fn everybody_hears_that_the_service_is_shut_down_and_what_they_said_is_stored() {
    let world = World::new();
    let hag = world.login("hag@example.org/pda");
    hag.enter(&nick("firstwitch"));
    hag.configure(COVEN, &[("muc#roomconfig_persistentroom", "1")]);
    hag.make(&format!("heath@{ROOMS}/witch"));
    hag.read();
    world.store.hold(true);
    hag.say(COVEN, "first");
    hag.say(COVEN, "second");
    let mut close = Box::pin(world.service.close());
    assert!(futures::FutureExt::now_or_never(close.as_mut()).is_none());
    world.store.hold(false);
    world.run(close);
    let read = hag.read();
    let told = read
        .iter()
        .filter(|stanza| stanza.contains("<status code='332'/>"));
    assert_eq!(told.count(), 2, "{read:#?}");
    assert_eq!(world::bodies(&read), ["first", "second"]);
    assert_eq!(world.rooms(), [""; 0]);
    let stored = world
        .run(world.store.inner.history(&bare(COVEN), 9))
        .unwrap();
    assert_eq!(stored.len(), 2);
    assert_eq!(world.run(world.store.inner.count(&bare(ROOMS))).unwrap(), 1);
    hag.enter(&nick("firstwitch"));
    let read = hag.read();
    assert!(read[0].contains("<service-unavailable"), "{read:?}");
    world.run(world.server.close());
}

#[test]
fn a_server_that_closes_takes_its_rooms_with_it() {
    let world = World::new();
    let hag = world.login("hag@example.org/pda");
    hag.make(&nick("firstwitch"));
    world.run(world.server.close());
    assert!(hag.read().concat().contains("<status code='332'/>"));
    assert_eq!(world.rooms(), [""; 0]);
    assert!(!world.server.hosts(ROOMS), "the address is free again");
}

#[test]
fn a_service_is_one_servers_and_has_an_address_of_its_own() {
    use xmpp_core::module::Module as _;
    let world = World::new();
    let refused = |service: &Service| service.ready(&world.server).unwrap_err().to_string();
    assert!(refused(&world.service).contains("another server's"));
    for (address, why) in [
        ("example.org", "accounts"),
        ("x@rooms.example.org", "no mere domain"),
        (ROOMS, "something else"),
    ] {
        let options = &world.service.house.options;
        let options = Options::new(
            bare(address),
            options.settings.clone(),
            options.store.clone(),
        );
        assert!(refused(&Service::new(options)).contains(why), "{address}");
    }
}
