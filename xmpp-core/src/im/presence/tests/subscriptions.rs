//! RFC 6121 §3: both sides are online.

use super::*;

#[test]
fn romeo_subscribes_and_juliet_approves() {
    let world = world();
    let romeo = online(&world, ROMEO);
    let juliet = online(&world, JULIET);

    // §3.1.2: stamped with the bare JID, and asked of the bare JID
    romeo.send("<presence to='juliet@example.org/balcony' id='s1' type='subscribe'><status>It is I</status></presence>");
    romeo.expect(&[&push(
        ROMEO,
        "<item ask='subscribe' jid='juliet@example.org' subscription='none'/>",
    )]);
    // §3.1.3: "MUST NOT add an item for the user to the contact's roster": no push
    juliet.expect(&["<presence to='juliet@example.org' from='romeo@example.org' id='s1' type='subscribe'><status>It is I</status></presence>"]);
    assert_eq!(
        state(&world, "juliet@example.org", "romeo@example.org"),
        "None + Pending In"
    );

    juliet.send("<presence to='romeo@example.org' id='s2' type='subscribed'/>");
    juliet.expect(&[&push(
        JULIET,
        "<item jid='romeo@example.org' subscription='from'/>",
    )]);
    // §3.1.6: the approval, the push, and §3.1.5 the present presence, in this order
    romeo.expect(&[
        "<presence to='romeo@example.org' from='juliet@example.org' id='s2' type='subscribed'/>",
        &push(ROMEO, "<item jid='juliet@example.org' subscription='to'/>"),
        "<presence to='romeo@example.org' from='juliet@example.org/balcony'/>",
    ]);
    juliet.send("<presence><show>away</show></presence>");
    romeo.expect(&["<presence to='romeo@example.org' from='juliet@example.org/balcony'><show>away</show></presence>"]);
}

#[test]
fn both_directions_make_a_subscription_that_is_both() {
    let world = world();
    let romeo = online(&world, ROMEO);
    let juliet = online(&world, JULIET);
    romeo.send("<presence to='juliet@example.org' type='subscribe'/>");
    juliet.send("<presence to='romeo@example.org' type='subscribe'/>");
    assert_eq!(
        state(&world, "romeo@example.org", "juliet@example.org"),
        "None + Pending Out+In"
    );
    romeo.send("<presence to='juliet@example.org' type='subscribed'/>");
    assert_eq!(
        state(&world, "romeo@example.org", "juliet@example.org"),
        "From + Pending Out"
    );
    assert_eq!(
        state(&world, "juliet@example.org", "romeo@example.org"),
        "To + Pending In"
    );
    juliet.skip();
    juliet.send("<presence to='romeo@example.org' type='subscribed'/>");
    juliet.expect(&[&push(
        JULIET,
        "<item jid='romeo@example.org' subscription='both'/>",
    )]);
    assert_eq!(
        state(&world, "romeo@example.org", "juliet@example.org"),
        "Both"
    );
}

#[test]
fn juliet_denies() {
    // §3.1.4, §3.2
    let world = world();
    let romeo = online(&world, ROMEO);
    let juliet = online(&world, JULIET);
    romeo.send("<presence to='juliet@example.org' type='subscribe'/>");
    romeo.skip();
    juliet.skip();
    juliet.send("<presence to='romeo@example.org' id='n' type='unsubscribed'/>");
    juliet.expect(&[]);
    romeo.expect(&[
        "<presence to='romeo@example.org' from='juliet@example.org' id='n' type='unsubscribed'/>",
        &push(
            ROMEO,
            "<item jid='juliet@example.org' subscription='none'/>",
        ),
    ]);
    let stored = world.run(
        world
            .server
            .stores()
            .rosters
            .load(&bare("juliet@example.org")),
    );
    assert_eq!(stored.unwrap().items, []);
}

#[test]
fn juliet_cancels() {
    let world = world();
    friends(&world);
    let romeo = online(&world, ROMEO);
    let juliet = online(&world, JULIET);
    let chamber = online(&world, "juliet@example.org/chamber");
    romeo.skip();
    juliet.skip();
    chamber.skip();
    juliet.send("<presence to='romeo@example.org' id='c' type='unsubscribed'/>");
    // §3.2.2: unavailable "from all of the contact's online resources", then "unsubscribed"
    romeo.expect(&[
        "<presence to='romeo@example.org' from='juliet@example.org/balcony' type='unavailable'/>",
        "<presence to='romeo@example.org' from='juliet@example.org/chamber' type='unavailable'/>",
        "<presence to='romeo@example.org' from='juliet@example.org' id='c' type='unsubscribed'/>",
        &push(
            ROMEO,
            "<item jid='juliet@example.org' subscription='from'/>",
        ),
    ]);
    for (client, jid) in [(&juliet, JULIET), (&chamber, "juliet@example.org/chamber")] {
        client.expect(&[&push(
            jid,
            "<item jid='romeo@example.org' subscription='to'/>",
        )]);
    }
}

#[test]
fn romeo_unsubscribes() {
    let world = world();
    friends(&world);
    let romeo = online(&world, ROMEO);
    let juliet = online(&world, JULIET);
    romeo.skip();
    romeo.send("<presence to='juliet@example.org' id='u' type='unsubscribe'/>");
    // §3.3.3: the unsubscribe, then the push; and unavailable presence to the user
    juliet.expect(&[
        "<presence to='juliet@example.org' from='romeo@example.org' id='u' type='unsubscribe'/>",
        &push(JULIET, "<item jid='romeo@example.org' subscription='to'/>"),
    ]);
    // §A.3.2: the reply "unsubscribed" changes nothing any more and is not delivered.
    romeo.expect(&[
        &push(
            ROMEO,
            "<item jid='juliet@example.org' subscription='from'/>",
        ),
        "<presence to='romeo@example.org' from='juliet@example.org/balcony' type='unavailable'/>",
    ]);
    assert_eq!(
        state(&world, "romeo@example.org", "juliet@example.org"),
        "From"
    );
    assert_eq!(
        state(&world, "juliet@example.org", "romeo@example.org"),
        "To"
    );
}

#[test]
fn a_request_is_withdrawn_before_it_is_answered() {
    let world = world();
    let romeo = online(&world, ROMEO);
    let juliet = online(&world, JULIET);
    romeo.send("<presence to='juliet@example.org' type='subscribe'/>");
    juliet.skip();
    romeo.send("<presence to='juliet@example.org' type='unsubscribe'/>");
    juliet.expect(&[
        "<presence to='juliet@example.org' from='romeo@example.org' type='unsubscribe'/>",
    ]);
    assert_eq!(
        state(&world, "juliet@example.org", "romeo@example.org"),
        "None"
    );
    juliet.end();
    let juliet = online(&world, JULIET);
    juliet.expect(&[]);
}

#[test]
fn a_contact_that_is_subscribed_already_is_answered_at_once() {
    // §3.1.3: "MUST auto-reply on behalf of the contact", here after the user's server lost its state
    let world = world();
    contact(
        &world,
        "juliet@example.org",
        "romeo@example.org",
        Subscription::From,
    );
    let romeo = online(&world, ROMEO);
    let juliet = online(&world, JULIET);
    romeo.skip();
    romeo.send("<presence to='juliet@example.org' id='again' type='subscribe'/>");
    juliet.expect(&[]);
    romeo.expect(&[
        &push(
            ROMEO,
            "<item ask='subscribe' jid='juliet@example.org' subscription='none'/>",
        ),
        "<presence to='romeo@example.org' from='juliet@example.org' id='again' type='subscribed'/>",
        &push(ROMEO, "<item jid='juliet@example.org' subscription='to'/>"),
        "<presence to='romeo@example.org' from='juliet@example.org/balcony'/>",
    ]);
}

#[test]
fn a_request_that_was_approved_in_advance_is_granted_at_once() {
    // §3.4
    let world = world();
    let romeo = online(&world, ROMEO);
    let juliet = online(&world, JULIET);
    juliet.send("<presence to='romeo@example.org' type='subscribed'/>");
    juliet.expect(&[&push(
        JULIET,
        "<item approved='true' jid='romeo@example.org' subscription='none'/>",
    )]);
    romeo.expect(&[]);
    romeo.send("<presence to='juliet@example.org' id='s' type='subscribe'/>");
    juliet.expect(&[&push(
        JULIET,
        "<item approved='true' jid='romeo@example.org' subscription='from'/>",
    )]);
    romeo.expect(&[
        &push(
            ROMEO,
            "<item ask='subscribe' jid='juliet@example.org' subscription='none'/>",
        ),
        "<presence to='romeo@example.org' from='juliet@example.org' id='s' type='subscribed'/>",
        &push(ROMEO, "<item jid='juliet@example.org' subscription='to'/>"),
        "<presence to='romeo@example.org' from='juliet@example.org/balcony'/>",
    ]);
}

#[test]
fn an_approval_in_advance_is_taken_back_in_silence() {
    // §3.2.2: "MUST remove the pre-approval and MUST NOT route or deliver"
    let world = world();
    let romeo = online(&world, ROMEO);
    let juliet = online(&world, JULIET);
    juliet.send("<presence to='romeo@example.org' type='subscribed'/>");
    juliet.skip();
    juliet.send("<presence to='romeo@example.org' type='unsubscribed'/>");
    juliet.expect(&[&push(
        JULIET,
        "<item jid='romeo@example.org' subscription='none'/>",
    )]);
    romeo.expect(&[]);
}

#[test]
fn an_approval_nobody_asked_for_is_ignored() {
    // §3.1.6: "MUST silently ignore the subscription approval notification"
    let world = world();
    let romeo = online(&world, ROMEO);
    world.inject("<presence from='juliet@example.org' to='romeo@example.org' type='subscribed'/>");
    world
        .inject("<presence from='juliet@example.org' to='romeo@example.org' type='unsubscribed'/>");
    world.inject("<presence from='juliet@example.org' to='romeo@example.org' type='unsubscribe'/>");
    romeo.expect(&[]);
    assert_eq!(
        state(&world, "romeo@example.org", "juliet@example.org"),
        "None"
    );
}

#[test]
fn approvals_go_to_interested_resources_and_requests_to_available_ones() {
    // §2.2: "if a resource wishes to receive both subscription requests and roster pushes,
    // it MUST both send initial presence and request the roster"
    let world = world();
    let romeo = interested(&world, ROMEO);
    let available = world.login("juliet@example.org/available");
    available.send("<presence/>");
    available.skip();
    let silent = interested(&world, "juliet@example.org/interested");
    romeo.send("<presence to='juliet@example.org' type='subscribe'/>");
    romeo.skip();
    assert_eq!(available.read().len(), 1);
    silent.expect(&[]);
    silent.send("<presence to='romeo@example.org' type='subscribed'/>");
    silent.expect(&[&push(
        "juliet@example.org/interested",
        "<item jid='romeo@example.org' subscription='from'/>",
    )]);
    available.expect(&[]);
    // Romeo has asked for the roster and is not available: no presence.
    romeo.expect(&[
        "<presence to='romeo@example.org' from='juliet@example.org' type='subscribed'/>",
        &push(ROMEO, "<item jid='juliet@example.org' subscription='to'/>"),
    ]);
}

#[test]
fn nobody_subscribes_to_themselves_or_to_nobody() {
    let world = world();
    let romeo = online(&world, ROMEO);
    romeo.send("<presence to='romeo@example.org' id='self' type='subscribe'/>");
    romeo.send("<presence id='nobody' type='subscribe'/>");
    let errors: Vec<_> = romeo
        .read()
        .iter()
        .map(|s| s.error().unwrap().condition)
        .collect();
    use crate::stanza::Condition;
    assert_eq!(errors[0], Condition::NotAllowed);
    assert_eq!(errors[1..], [Condition::BadRequest]);
}

#[test]
fn what_cannot_be_routed_comes_back() {
    // §3.1.2: "the user's server MUST return an appropriate error stanza to the user"
    let world = world();
    let romeo = online(&world, ROMEO);
    romeo.send("<presence to='juliet@elsewhere.example' id='far' type='subscribe'/>");
    let read = romeo.read();
    let error = read.iter().find_map(|stanza| stanza.error()).unwrap();
    assert_eq!(
        error.condition,
        crate::stanza::Condition::RemoteServerNotFound
    );
}

#[test]
fn a_roster_that_is_full_takes_no_request() {
    let world = configured(|config| config.account.roster_items = 1);
    contact(
        &world,
        "romeo@example.org",
        "rosaline@example.org",
        Subscription::None,
    );
    let romeo = online(&world, ROMEO);
    let juliet = online(&world, JULIET);
    romeo.send("<presence to='juliet@example.org' type='subscribe'/>");
    juliet.expect(&[]);
    let error = romeo.read()[0].error().unwrap();
    assert_eq!(
        error.condition,
        crate::stanza::Condition::ResourceConstraint
    );
}

/// What was accepted under other limits than those of today is shown all the same.
#[test]
fn a_stored_request_is_shown_whatever_the_limits_for_new_stanzas_are() {
    let world = world();
    let deep = format!("{}{}", "<a xmlns='urn:x'>".repeat(200), "</a>".repeat(200));
    let mut item = RosterItem::new(bare("juliet@elsewhere.example"));
    item.pending_in = Some(format!(
        "<presence from='juliet@elsewhere.example' to='romeo@example.org' \
         type='subscribe'>{deep}</presence>"
    ));
    let romeo = world.account("romeo@example.org");
    world
        .run(world.server.stores().rosters.put(&romeo, &item))
        .unwrap();
    let romeo = world.login(ROMEO);
    romeo.send("<presence/>");
    let kinds: Vec<_> = romeo.read().iter().map(Stanza::kind).collect();
    assert!(kinds.contains(&Kind::Presence(PresenceType::Subscribe)));
}
