//! Presence and XEP-0191: who is blocked neither sees nor is asked.

use super::*;
use crate::im::blocking::Blocking;

const BLOCK: &str = "<iq id='b' type='set'><block xmlns='urn:xmpp:blocking'>\
    <item jid='juliet@elsewhere.example'/></block></iq>";

fn world() -> World {
    let world = World::new(vec![
        Arc::new(Roster),
        Arc::new(Presence),
        Arc::new(Blocking),
    ]);
    contact(
        &world,
        "romeo@example.org",
        "juliet@elsewhere.example",
        Subscription::Both,
    );
    world
}

#[test]
fn a_blocked_contact_is_neither_told_nor_probed() {
    let world = world();
    let juliet = world.entity("elsewhere.example");
    let romeo = world.login(ROMEO);
    romeo.send(BLOCK);
    romeo.send("<presence/>");
    romeo.send("<presence><show>away</show></presence>");
    romeo.send("<presence type='unavailable'/>");
    romeo.end();
    juliet.expect(&[]);
}

#[test]
fn a_blocked_contact_that_probes_hears_nothing() {
    let world = world();
    let juliet = world.entity("elsewhere.example");
    let romeo = online(&world, ROMEO);
    romeo.send(BLOCK);
    juliet.read();
    world.inject("<presence from='juliet@elsewhere.example' to='romeo@example.org' type='probe'/>");
    juliet.expect(&[]);
}

#[test]
fn a_request_of_somebody_blocked_is_not_shown_again() {
    let world = World::new(vec![
        Arc::new(Roster),
        Arc::new(Presence),
        Arc::new(Blocking),
    ]);
    world.account("romeo@example.org");
    let request =
        "<presence to='romeo@example.org' from='juliet@elsewhere.example' type='subscribe'/>";
    world.inject(request);
    let romeo = world.login(ROMEO);
    romeo.send(BLOCK);
    romeo.skip();
    romeo.send("<presence/>");
    romeo.expect(&["<presence to='romeo@example.org' from='romeo@example.org/orchard'/>"]);
}

/// XEP-0191 §3.3. Directed presence needs no presence for everybody before it (RFC 6121 §4.6).
#[test]
fn who_got_directed_presence_sees_the_user_go_when_blocked_and_then_nothing_more() {
    let world = world();
    let stranger = world.entity("elsewhere.example");
    let romeo = world.login(ROMEO);
    let to = "juliet@elsewhere.example/x";
    romeo.send(&format!("<presence to='{to}'/>"));
    stranger.read();
    romeo.send(BLOCK);
    let gone = format!("<presence from='{ROMEO}' to='{to}' type='unavailable'/>");
    stranger.expect(&[&gone]);
    romeo.end();
    stranger.expect(&[]);
}

/// The list may have been changed where the session's directed presence was not known.
#[test]
fn who_is_blocked_does_not_hear_the_user_leave() {
    let world = world();
    let stranger = world.entity("elsewhere.example");
    let romeo = world.login(ROMEO);
    romeo.send(BLOCK);
    let to = crate::server::testing::jid("juliet@elsewhere.example/x");
    assert!(romeo.session.direct_presence(&to, 1));
    stranger.read();
    romeo.end();
    stranger.expect(&[]);
}
