//! RFC 6121 §4: initial presence, updates, the end, probes, directed presence.

use super::*;
use crate::stanza::Condition;

#[test]
fn initial_presence_goes_to_subscribers_and_own_resources_and_asks_contacts() {
    // §4.2.2
    let world = world();
    friends(&world);
    let juliet = online(&world, JULIET);
    juliet.send("<presence id='j'><show>dnd</show></presence>");
    juliet.skip();
    let romeo = world.login(ROMEO);
    romeo.send("<presence id='r'><priority>5</priority></presence>");
    romeo.expect(&[
        "<presence to='romeo@example.org' from='romeo@example.org/orchard' id='r'><priority>5</priority></presence>",
        "<presence to='romeo@example.org/orchard' from='juliet@example.org/balcony' id='j'><show>dnd</show></presence>",
    ]);
    juliet.expect(&["<presence to='juliet@example.org' from='romeo@example.org/orchard' id='r'><priority>5</priority></presence>"]);
    assert_eq!(romeo.resource.priority(), Some(5));
}

#[test]
fn a_second_resource_and_the_first_see_each_other() {
    let world = world();
    let balcony = online(&world, JULIET);
    let chamber = world.login("juliet@example.org/chamber");
    chamber.send("<presence/>");
    chamber.expect(&[
        "<presence to='juliet@example.org' from='juliet@example.org/chamber'/>",
        "<presence to='juliet@example.org/chamber' from='juliet@example.org/balcony'/>",
    ]);
    balcony.expect(&["<presence to='juliet@example.org' from='juliet@example.org/chamber'/>"]);
}

#[test]
fn a_login_without_contacts_waits_for_nothing() {
    let world = world();
    let romeo = world.login(ROMEO);
    assert!(matches!(romeo.submit("<presence/>"), Dispatch::Done(_)));
    // nor does one whose contacts are here and away
    for n in 0..20 {
        contact(
            &world,
            "juliet@example.org",
            &format!("c{n}@example.org"),
            Subscription::Both,
        );
    }
    let juliet = world.login(JULIET);
    assert!(matches!(juliet.submit("<presence/>"), Dispatch::Done(_)));
    assert!(world.server.held_account(&bare("c0@example.org")).is_none());
}

#[test]
fn contacts_elsewhere_are_told_and_probed() {
    let world = world();
    contact(
        &world,
        "juliet@example.org",
        "both@elsewhere.example",
        Subscription::Both,
    );
    contact(
        &world,
        "juliet@example.org",
        "from@elsewhere.example",
        Subscription::From,
    );
    contact(
        &world,
        "juliet@example.org",
        "to@elsewhere.example",
        Subscription::To,
    );
    let elsewhere = world.entity("elsewhere.example");
    let juliet = world.login(JULIET);
    juliet.send("<presence to='asked@elsewhere.example' type='subscribe'/>");
    elsewhere.expect(&[
        "<presence to='asked@elsewhere.example' from='juliet@example.org' type='subscribe'/>",
    ]);
    juliet.send("<presence/>");
    // §4.3: the probe is "from" the bare JID. §3.1.2: "SHOULD resend the subscription request"
    elsewhere.expect(&[
        "<presence to='both@elsewhere.example' from='juliet@example.org/balcony'/>",
        "<presence to='from@elsewhere.example' from='juliet@example.org/balcony'/>",
        "<presence to='both@elsewhere.example' from='juliet@example.org' id='*' type='probe'/>",
        "<presence to='to@elsewhere.example' from='juliet@example.org' id='*' type='probe'/>",
        "<presence to='asked@elsewhere.example' from='juliet@example.org' id='*' type='subscribe'/>",
    ]);
    // §4.4.2: no probe goes with an update
    juliet.send("<presence><show>xa</show></presence>");
    assert_eq!(elsewhere.read().len(), 2);
    // §4.5.2
    juliet.send("<presence type='unavailable'><status>night</status></presence>");
    elsewhere.expect(&[
        "<presence to='both@elsewhere.example' from='juliet@example.org/balcony' type='unavailable'><status>night</status></presence>",
        "<presence to='from@elsewhere.example' from='juliet@example.org/balcony' type='unavailable'><status>night</status></presence>",
    ]);
}

#[test]
fn unavailable_presence_reaches_everyone_who_saw_the_resource() {
    // §4.5.2
    let world = world();
    friends(&world);
    let romeo = online(&world, ROMEO);
    let juliet = online(&world, JULIET);
    let chamber = online(&world, "juliet@example.org/chamber");
    for client in [&romeo, &juliet, &chamber] {
        client.skip();
    }
    juliet.send("<presence type='unavailable'><status>gone</status></presence>");
    let to_own = "<presence to='juliet@example.org' from='juliet@example.org/balcony' type='unavailable'><status>gone</status></presence>";
    juliet.expect(&[to_own]);
    chamber.expect(&[to_own]);
    romeo.expect(&["<presence to='romeo@example.org' from='juliet@example.org/balcony' type='unavailable'><status>gone</status></presence>"]);
    assert_eq!(juliet.resource.priority(), None);
    // and once
    juliet.send("<presence type='unavailable'/>");
    juliet.end();
    romeo.expect(&[]);
    chamber.expect(&[]);
}

#[test]
fn presence_after_unavailable_presence_is_initial_again() {
    // §4.5.2: "MUST be treated as equivalent to initial presence for a new presence session"
    let world = world();
    friends(&world);
    let romeo = online(&world, ROMEO);
    let juliet = online(&world, JULIET);
    juliet.send("<presence type='unavailable'/>");
    juliet.skip();
    romeo.skip();
    juliet.send("<presence/>");
    juliet.expect(&[
        "<presence to='juliet@example.org' from='juliet@example.org/balcony'/>",
        "<presence to='juliet@example.org/balcony' from='romeo@example.org/orchard'/>",
    ]);
    romeo.expect(&["<presence to='romeo@example.org' from='juliet@example.org/balcony'/>"]);
}

#[test]
fn a_session_that_ends_is_taken_leave_of() {
    // §4.5.2: "MUST generate the unavailable presence broadcast on the user's behalf"
    let world = world();
    friends(&world);
    let romeo = online(&world, ROMEO);
    let juliet = online(&world, JULIET);
    romeo.skip();
    juliet.end();
    romeo.expect(&[
        "<presence to='romeo@example.org' from='juliet@example.org/balcony' type='unavailable'/>",
    ]);
    // One that was never available takes no leave.
    interested(&world, JULIET).end();
    romeo.expect(&[]);
}

#[test]
fn priorities_are_between_minus_128_and_127() {
    // §4.7.2.3
    let world = world();
    let romeo = world.login(ROMEO);
    for (text, priority) in [("-128", -128), ("127", 127), (" 0 ", 0)] {
        romeo.send(&format!("<presence><priority>{text}</priority></presence>"));
        assert_eq!(romeo.resource.priority(), Some(priority));
    }
    romeo.skip();
    for bad in ["128", "-129", "high", ""] {
        romeo.send(&format!(
            "<presence id='p'><priority>{bad}</priority></presence>"
        ));
        let read = romeo.read();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].error().unwrap().condition, Condition::BadRequest);
    }
    romeo.send("<presence><priority>1</priority><priority>2</priority></presence>");
    assert_eq!(
        romeo.read()[0].error().unwrap().condition,
        Condition::BadRequest
    );
    assert_eq!(romeo.resource.priority(), Some(0), "unchanged");
    romeo.send("<presence/>");
    assert_eq!(
        romeo.resource.priority(),
        Some(0),
        "§4.7.2.3: zero if none is given"
    );
}

#[test]
fn probes_of_subscribers_are_answered_with_full_presence() {
    // §4.3.2 rule 4, §4.3.2.1
    let world = world();
    friends(&world);
    let outside = world.entity("elsewhere.example");
    contact(
        &world,
        "mercutio@example.org",
        "benvolio@elsewhere.example",
        Subscription::From,
    );
    let foo = online(&world, "mercutio@example.org/foo");
    let bar = online(&world, "mercutio@example.org/bar");
    foo.send("<presence id='pres1'><show>dnd</show></presence>");
    bar.send("<presence id='pres2'/>");
    outside.read();
    world.inject("<presence from='benvolio@elsewhere.example' to='mercutio@example.org' id='probe1' type='probe'/>");
    outside.expect(&[
        "<presence to='benvolio@elsewhere.example' from='mercutio@example.org/foo' id='pres1'><show>dnd</show></presence>",
        "<presence to='benvolio@elsewhere.example' from='mercutio@example.org/bar' id='pres2'/>",
    ]);
    // A full JID: "only the fact that the resource is available"
    world.inject("<presence from='benvolio@elsewhere.example' to='mercutio@example.org/foo' id='probe2' type='probe'/>");
    outside
        .expect(&["<presence to='benvolio@elsewhere.example' from='mercutio@example.org/foo'/>"]);
    world.inject("<presence from='benvolio@elsewhere.example' to='mercutio@example.org/none' id='probe3' type='probe'/>");
    outside.expect(&["<presence to='benvolio@elsewhere.example' from='mercutio@example.org/none' id='probe3' type='unavailable'/>"]);
}

#[test]
fn probes_for_one_who_is_away_are_answered_from_the_bare_jid() {
    // §4.3.2 rule 3
    let world = world();
    let outside = world.entity("elsewhere.example");
    contact(
        &world,
        "mercutio@example.org",
        "benvolio@elsewhere.example",
        Subscription::From,
    );
    let probe = "<presence from='benvolio@elsewhere.example' to='mercutio@example.org' id='probe1' type='probe'/>";
    world.inject(probe);
    outside.expect(&["<presence to='benvolio@elsewhere.example' from='mercutio@example.org' id='probe1' type='unavailable'/>"]);
    let accounts = world.server.stores().accounts.clone();
    let mercutio = bare("mercutio@example.org");
    world
        .run(accounts.set_last_activity(&mercutio, crate::time::Timestamp(1_031_701_267_000), ""))
        .unwrap();
    world.inject(probe);
    outside.expect(&["<presence to='benvolio@elsewhere.example' from='mercutio@example.org' id='probe1' type='unavailable'><delay xmlns='urn:xmpp:delay' stamp='2002-09-10T23:41:07Z'/></presence>"]);
}

#[test]
fn probes_of_strangers_do_not_tell_whether_anybody_is_there() {
    // §4.3.2 rule 1: the same for an account that exists and one that does not
    let world = world();
    let outside = world.entity("elsewhere.example");
    let mercutio = online(&world, "mercutio@example.org/foo");
    for (to, account) in [
        ("mercutio@example.org", "mercutio@example.org"),
        ("mercutio@example.org/foo", "mercutio@example.org"),
        ("nobody@example.org", "nobody@example.org"),
        ("nobody@example.org/foo", "nobody@example.org"),
    ] {
        world.inject(&format!(
            "<presence from='tybalt@elsewhere.example' to='{to}' id='p' type='probe'/>"
        ));
        outside.expect(&[&format!(
            "<presence to='tybalt@elsewhere.example' from='{account}' id='p' type='unsubscribed'/>"
        )]);
    }
    mercutio.expect(&[]);
}

#[test]
fn a_client_may_probe() {
    // §4.3: "SHOULD [...] process the probe"
    let world = world();
    friends(&world);
    let juliet = online(&world, JULIET);
    let romeo = online(&world, ROMEO);
    romeo.send("<presence to='juliet@example.org' type='probe'/>");
    romeo.expect(&["<presence to='romeo@example.org/orchard' from='juliet@example.org/balcony'/>"]);
    romeo.send("<presence type='probe'/>");
    romeo.expect(&[]);
    assert_eq!(juliet.read().len(), 1, "nothing but romeo's presence");
}

#[test]
fn directed_presence_is_taken_back_when_the_session_ends() {
    // §4.6.3 rule 2
    let world = world();
    let room = world.entity("rooms.example");
    let romeo = online(&world, ROMEO);
    romeo.send("<presence to='garden@rooms.example/Romeo'><x xmlns='http://jabber.org/protocol/muc'/></presence>");
    room.expect(&["<presence to='garden@rooms.example/Romeo' from='romeo@example.org/orchard'><x xmlns='http://jabber.org/protocol/muc'/></presence>"]);
    romeo.send("<presence><show>away</show></presence>");
    room.expect(&[]);
    romeo.end();
    room.expect(&["<presence to='garden@rooms.example/Romeo' from='romeo@example.org/orchard' type='unavailable'/>"]);
}

#[test]
fn directed_presence_is_taken_back_with_unavailable_presence() {
    let world = world();
    let room = world.entity("rooms.example");
    // §4.6.3 rule 3: without initial presence too
    let romeo = world.login(ROMEO);
    romeo.send("<presence to='garden@rooms.example/Romeo'/>");
    room.read();
    romeo.send("<presence type='unavailable'><status>bye</status></presence>");
    room.expect(&["<presence to='garden@rooms.example/Romeo' from='romeo@example.org/orchard' type='unavailable'><status>bye</status></presence>"]);
    romeo.end();
    room.expect(&[]);
}

#[test]
fn directed_unavailable_presence_ends_it_for_both_sides() {
    // §4.6.1: "MUST remove [...] any entity to which the user sends directed unavailable
    // presence and SHOULD remove any entity that sends unavailable presence to the user"
    let world = world();
    let room = world.entity("rooms.example");
    let romeo = world.login(ROMEO);
    romeo.send("<presence to='garden@rooms.example/Romeo'/>");
    romeo.send("<presence to='garden@rooms.example/Romeo' type='unavailable'/>");
    assert_eq!(room.read().len(), 2);
    romeo.send("<presence to='crypt@rooms.example/Romeo'/>");
    world.inject("<presence from='crypt@rooms.example/Romeo' to='romeo@example.org/orchard' type='unavailable'/>");
    room.read();
    romeo.end();
    room.expect(&[]);
}

#[test]
fn a_subscriber_hears_the_end_once() {
    // §4.6.3 rule 1
    let world = world();
    friends(&world);
    let juliet = online(&world, JULIET);
    let romeo = world.login(ROMEO);
    romeo.send("<presence to='juliet@example.org'/>");
    romeo.send("<presence/>");
    romeo.send("<presence to='juliet@example.org/balcony'><show>chat</show></presence>");
    juliet.skip();
    romeo.end();
    juliet.expect(&[
        "<presence to='juliet@example.org' from='romeo@example.org/orchard' type='unavailable'/>",
    ]);
}

#[test]
fn who_got_directed_presence_may_probe() {
    // §4.6.6
    let world = world();
    let room = world.entity("rooms.example");
    let romeo = world.login(ROMEO);
    romeo.send("<presence to='garden@rooms.example/Romeo'><show>dnd</show></presence>");
    room.read();
    world.inject("<presence from='garden@rooms.example/Romeo' to='romeo@example.org/orchard' id='ghost' type='probe'/>");
    room.expect(&["<presence to='garden@rooms.example/Romeo' from='romeo@example.org/orchard'/>"]);
    // "and only for that full JID"
    world.inject("<presence from='garden@rooms.example/Romeo' to='romeo@example.org' id='ghost' type='probe'/>");
    room.expect(&["<presence to='garden@rooms.example' from='romeo@example.org' id='ghost' type='unsubscribed'/>"]);
}

#[test]
fn directed_presence_is_limited() {
    let world = configured(|config| config.account.directed_presences = 2);
    let _room = world.entity("rooms.example");
    let romeo = world.login(ROMEO);
    for nick in ["a", "b", "b", "c"] {
        romeo.send(&format!("<presence to='garden@rooms.example/{nick}'/>"));
    }
    let errors = romeo.read();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].from().unwrap().resource(), Some("c"));
    assert_eq!(
        errors[0].error().unwrap().condition,
        Condition::ResourceConstraint
    );
}

#[test]
fn errors_go_where_they_are_addressed_and_start_nothing() {
    let world = world();
    let outside = world.entity("elsewhere.example");
    let romeo = world.login(ROMEO);
    romeo.send("<presence type='error'/>");
    assert!(!romeo.resource.is_available());
    romeo.send("<presence to='elsewhere.example' type='error'/>");
    assert_eq!(outside.read().len(), 1);
    romeo.expect(&[]);
}
