//! Rooms of a service that federates them, and what other servers send it.

use super::*;
use crate::fmuc;

/// XEP-0289 §3. An answer that is answered by a room that does not exist either would go to and fro for ever.
#[test]
fn a_room_that_does_not_exist_answers_requests_and_no_answers() {
    let world = federating(Vec::new());
    let other = world.outside("room@rooms.example.net", 100);
    let told = |kind: &str, fmuc: &str| {
        world.inject(&format!(
            "<presence {kind} from='room@rooms.example.net/hag' to='{COVEN}/hag'>\
             <fmuc xmlns='http://isode.com/protocol/fmuc' {fmuc}</fmuc></presence>"
        ));
        other.read()
    };
    let from = "from='hag@example.net/pda'>";
    for (kind, fmuc, answer) in [
        ("", from, "<reject"),
        ("type='unavailable'", from, "<left"),
        ("type='unavailable'", ">", "<left"),
    ] {
        let answers = told(kind, fmuc);
        assert_eq!(answers.len(), 1, "{kind} {fmuc}");
        assert!(answers[0].contains(answer), "{answers:?}");
    }
    for fmuc in ["><reject>no</reject>", "><reject/>", "><left/>", ">"] {
        assert_eq!(told("", fmuc), [""; 0], "{fmuc}");
    }
    assert_eq!(world.rooms(), [""; 0]);
}

/// It is never anybody's who happens to come when it is not there.
#[test]
fn a_room_of_the_operators_that_is_destroyed_is_made_again_and_nobody_owns_it() {
    let federation = fmuc::Federation {
        accept: fmuc::Accept::Any,
        ..fmuc::Federation::default()
    };
    let world = federating(vec![(bare(COVEN), Arc::new(federation))]);
    assert_eq!(world.rooms(), [COVEN]);
    let destroy = format!(
        "<iq type='set' id='d' from='admin@example.org/pda' to='{COVEN}'>\
         <query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query></iq>"
    );
    let enter = format!(
        "<presence from='hag@example.org/pda' to='{}'>\
         <x xmlns='http://jabber.org/protocol/muc'/></presence>",
        nick("hag")
    );
    let hag = world.login("hag@example.org/pda");
    // Both are there before any task runs.
    for stanza in [destroy, enter] {
        let stanza = Stanza::parse(&stanza).unwrap();
        let _ = world.server.route(stanza, Origin::SERVER);
    }
    world.settle();
    let read = hag.read();
    let own = read.iter().find(|stanza| stanza.contains("code='110'"));
    let own = own.unwrap_or_else(|| panic!("{read:?}"));
    assert!(own.contains("affiliation='none'"), "{own}");
    assert!(!own.contains("code='201'"), "{own}");
}

/// B18 of the design: what Openfire sends in private goes to the address of the user. It is "never delivered raw".
#[test]
fn b18_what_is_between_rooms_reaches_no_user() {
    let world = federating(Vec::new());
    let hag = world.login("hag@example.org/pda");
    let told = |fmuc: &str| {
        let stanza = format!(
            "<message type='chat' from='room@rooms.example.net/witch' to='hag@example.org/pda'><body>psst</body>{fmuc}</message>"
        );
        let origin = Origin {
            source: xmpp_core::mailbox::Source::Remote(bare("rooms.example.net")),
            sm: None,
        };
        let _ = world.server.route(Stanza::parse(&stanza).unwrap(), origin);
        world.settle();
        hag.read().len()
    };
    let fmuc = "<fmuc xmlns='http://isode.com/protocol/fmuc' from='witch@example.net/pda'/>";
    assert_eq!(told(fmuc), 0);
    assert_eq!(told(""), 1);
}

/// RFC 6120 §8.2.3: whoever asks for something is answered, by the server here (RFC 6121 §8.5.3.1 has `<service-unavailable/>`).
#[test]
fn a_request_that_is_between_rooms_is_answered_and_reaches_no_user() {
    let world = federating(Vec::new());
    let hag = world.login("hag@example.org/pda");
    let witch = world.outside("witch@rooms.example.net", 100);
    let request = "<iq type='get' id='q' from='witch@rooms.example.net' to='hag@example.org/pda'>\
                   <fmuc xmlns='http://isode.com/protocol/fmuc' from='witch@example.net/pda'/></iq>";
    let origin = Origin {
        source: xmpp_core::mailbox::Source::Remote(bare("rooms.example.net")),
        sm: None,
    };
    let _ = world.server.route(Stanza::parse(request).unwrap(), origin);
    world.settle();
    assert_eq!(hag.read(), [""; 0]);
    let answers = witch.read();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(answers[0].contains("service-unavailable"), "{answers:?}");
}

/// Over a line on which an answer takes half a minute, a session is three messages that nothing else can go with.
#[test]
fn what_is_said_waits_for_more_and_what_the_other_room_waits_for_does_not() {
    let federation = fmuc::Federation {
        accept: fmuc::Accept::Any,
        profile: fmuc::LinkProfile::Hf,
        ..fmuc::Federation::default()
    };
    let world = federating(vec![(bare(COVEN), Arc::new(federation))]);
    let other = world.outside("room@rooms.example.net", 100);
    let hag = world.login("hag@example.org/pda");
    hag.enter(&nick("firstwitch"));
    world.inject(&format!(
        "<presence from='room@rooms.example.net/Hamlet' to='{COVEN}/Hamlet'>\
         <fmuc xmlns='http://isode.com/protocol/fmuc' from='hamlet@example.net/p'>\
         <join xmlns='urn:x-fmuc:1' v='1' m='pp' s='7f3a.1' f='1'><h a='1' n='room@rooms.example.net' e='mhpb0g' s='1'/></join>\
         <o xmlns='urn:x-fmuc:1' i='1.1'/></fmuc><x xmlns='http://jabber.org/protocol/muc'/>\
         <x xmlns='http://jabber.org/protocol/muc#user'><item/></x></presence>"
    ));
    // All that it is told, at once.
    let told = other.read();
    assert!(
        told.first().is_some_and(|first| first.contains("<sync ")),
        "{told:?}"
    );
    assert!(
        told.last().is_some_and(|last| last.contains("<synced")),
        "{told:?}"
    );
    hag.say(COVEN, "Double, double");
    assert_eq!(other.read(), [""; 0]);
    world.advance(Duration::from_secs(10));
    assert_eq!(world::bodies(&other.read()), ["Double, double"]);
}

/// Others would take what happens in it for what has happened before.
#[test]
fn a_room_that_is_made_again_at_once_is_in_another_life() {
    let federation = fmuc::Federation {
        accept: fmuc::Accept::Any,
        ..fmuc::Federation::default()
    };
    let world = federating(vec![(bare(COVEN), Arc::new(federation))]);
    let hag = world.login("hag@example.org/pda");
    let life = || {
        hag.enter(&nick("hag"));
        let stored = world.run(world.store.inner.federation(&bare(COVEN)));
        stored.unwrap().events.last().unwrap().dot.epoch
    };
    let first = life();
    for n in 1..=2 {
        world.inject(&format!(
            "<iq type='set' id='d' from='admin@example.org/pda' to='{COVEN}'>\
             <query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query></iq>"
        ));
        assert_eq!(life(), first + n);
    }
}

/// Whoever is on its links waits to be asked what they have missed, and nobody may come here for long.
#[test]
fn after_a_crash_rooms_go_on_that_were_one_with_others_by_their_owners_form() {
    let world = federating(Vec::new());
    let hag = world.login("hag@example.org/pda");
    let other = world.outside("room@rooms.example.net", 100);
    hag.make(&nick("hag"));
    hag.make("alone@rooms.example.org/hag");
    for room in [nick("hag").as_str(), "alone@rooms.example.org/hag"] {
        let fields = [
            ("muc#roomconfig_persistentroom", "1"),
            ("x-fmuc#accept", "any"),
        ];
        hag.configure(room, &fields);
    }
    world.inject(&format!(
        "<presence from='room@rooms.example.net/cat' to='{COVEN}/cat'>\
         <x xmlns='http://jabber.org/protocol/muc'/>\
         <x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='none' role='participant'/></x>\
         <fmuc xmlns='http://isode.com/protocol/fmuc' from='cat@example.net/pda'/></presence>"
    ));
    let told = other.read();
    assert!(
        told.iter().any(|stanza| stanza.contains("/hag")),
        "{told:?}"
    );
    let store = world.store.clone();
    std::mem::forget(world);
    for owners in [true, false] {
        store.fail(true);
        let world = World::on(
            store.clone(),
            |options| {
                options.federation = Some(Federating {
                    by_owners: owners,
                    ..Federating::default()
                });
            },
            |_| {},
        );
        assert_eq!(world.rooms(), [""; 0], "of a store that does not answer");
        store.fail(false);
        world.advance(Duration::from_secs(10));
        assert_eq!(world.rooms(), [COVEN], "by owners: {owners}");
        std::mem::forget(world);
    }
}

fn federating(rooms: Vec<(xmpp_core::BareJid, Arc<fmuc::Federation>)>) -> World {
    World::with(|options| {
        options.federation = Some(Federating {
            rooms,
            by_owners: true,
            ..Federating::default()
        });
    })
}
