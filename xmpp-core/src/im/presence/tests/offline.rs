//! RFC 6121 §3.1.3: requests to somebody who is away.

use super::*;

const REQUEST: &str = "<presence to='juliet@example.org' from='romeo@example.org' \
    id='s1' type='subscribe'><status>It is I</status><x xmlns='urn:example'/></presence>";

fn ask(romeo: &Client) {
    romeo.send("<presence to='juliet@example.org' id='s1' type='subscribe'><status>It is I</status><x xmlns='urn:example'/></presence>");
}

#[test]
fn a_request_waits_in_full_until_it_is_answered() {
    let world = world();
    world.account("juliet@example.org");
    let romeo = online(&world, ROMEO);
    ask(&romeo);
    // "MUST keep a record of the complete presence stanza [...] and then deliver the request
    // when the contact next has an available resource"
    let juliet = interested(&world, JULIET);
    juliet.expect(&[]);
    juliet.send("<presence/>");
    juliet.expect(&[
        "<presence to='juliet@example.org' from='juliet@example.org/balcony'/>",
        REQUEST,
    ]);
    // "MUST continue to deliver the subscription request whenever the contact creates an
    // available resource"
    juliet.send("<presence><show>away</show></presence>");
    juliet.expect(&["<presence to='juliet@example.org' from='juliet@example.org/balcony'><show>away</show></presence>"]);
    let chamber = world.login("juliet@example.org/chamber");
    chamber.send("<presence/>");
    assert!(
        chamber
            .read()
            .iter()
            .any(|stanza| stanza.to_string() == REQUEST)
    );
    juliet.send("<presence to='romeo@example.org' type='subscribed'/>");
    juliet.end();
    let juliet = interested(&world, JULIET);
    juliet.send("<presence/>");
    assert!(
        !juliet
            .read()
            .iter()
            .any(|stanza| stanza.to_string() == REQUEST)
    );
}

#[test]
fn a_request_survives_the_server() {
    let before = world();
    before.account("juliet@example.org");
    ask(&online(&before, ROMEO));
    let stores = before.server.stores().clone();
    let after = World::on(stores, vec![Arc::new(Roster), Arc::new(Presence)], |_| {});
    let juliet = after.login(JULIET);
    juliet.send("<presence/>");
    assert_eq!(juliet.read()[1].to_string(), REQUEST);
}

#[test]
fn of_many_requests_of_one_user_one_is_kept() {
    // "MUST deliver only one of the requests"
    let world = world();
    world.account("juliet@example.org");
    let romeo = online(&world, ROMEO);
    ask(&romeo);
    romeo.send("<presence to='juliet@example.org' id='s2' type='subscribe'/>");
    let juliet = world.login(JULIET);
    juliet.send("<presence/>");
    juliet.expect(&[
        "<presence to='juliet@example.org' from='juliet@example.org/balcony'/>",
        REQUEST,
    ]);
}

#[test]
fn requests_are_limited_in_number_and_size() {
    // §3.1.3, second security warning
    let world = configured(|config| {
        config.account.subscription_requests = 2;
        config.account.subscription_request = 200;
    });
    world.account("juliet@example.org");
    let long = "x".repeat(200);
    world.inject(&format!("<presence from='long@elsewhere.example' to='juliet@example.org' type='subscribe'><status>{long}</status></presence>"));
    for n in 0..4 {
        world.inject(&format!(
            "<presence from='spam{n}@elsewhere.example' to='juliet@example.org' type='subscribe'/>"
        ));
    }
    let stored = world
        .run(
            world
                .server
                .stores()
                .rosters
                .load(&bare("juliet@example.org")),
        )
        .unwrap();
    let mut from: Vec<_> = stored
        .items
        .iter()
        .map(|item| item.jid.to_string())
        .collect();
    from.sort();
    assert_eq!(from, ["spam0@elsewhere.example", "spam1@elsewhere.example"]);
    // It is her own contact that asks: that is no spam.
    contact(
        &world,
        "nurse@example.org",
        "romeo@example.org",
        Subscription::To,
    );
    let nurse = online(&world, "nurse@example.org/home");
    for n in 0..2 {
        world.inject(&format!(
            "<presence from='spam{n}@elsewhere.example' to='nurse@example.org' type='subscribe'/>"
        ));
    }
    nurse.skip();
    world.inject("<presence from='romeo@example.org' to='nurse@example.org' type='subscribe'/>");
    assert_eq!(nurse.read().len(), 1);
}

#[test]
fn an_account_that_does_not_exist_stays_silent() {
    // §8.5.1: "the server MUST silently ignore the stanza"
    let world = world();
    let romeo = online(&world, ROMEO);
    for kind in ["subscribe", "subscribed", "unsubscribe", "unsubscribed"] {
        world.inject(&format!(
            "<presence from='romeo@example.org/orchard' to='nobody@example.org' type='{kind}'/>"
        ));
    }
    romeo.expect(&[]);
    let stored = world.run(
        world
            .server
            .stores()
            .rosters
            .load(&bare("nobody@example.org")),
    );
    assert_eq!(stored.unwrap().items, []);
}

#[test]
fn an_approval_reaches_the_roster_of_one_who_is_away() {
    let world = world();
    let romeo = online(&world, ROMEO);
    let juliet = online(&world, JULIET);
    romeo.send("<presence to='juliet@example.org' type='subscribe'/>");
    romeo.end();
    juliet.skip();
    juliet.send("<presence to='romeo@example.org' type='subscribed'/>");
    let romeo = interested(&world, ROMEO);
    romeo.send("<presence/>");
    romeo.expect(&[
        "<presence to='romeo@example.org' from='romeo@example.org/orchard'/>",
        "<presence to='romeo@example.org/orchard' from='juliet@example.org/balcony'/>",
    ]);
}
