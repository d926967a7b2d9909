use super::*;
use crate::im::offline::Offline;
use crate::server::testing::{Client, World};

const BODY: &str = "<body>What man art thou</body>";

fn world() -> World {
    World::new(vec![
        Arc::new(Offline::default()),
        Arc::new(Carbons::default()),
    ])
}

/// A client that has turned carbons on.
fn enabled(world: &World, jid: &str) -> Client {
    let client = world.login(jid);
    client.shows("<presence/>");
    client.send("<iq id='on' type='set'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
    client.skip();
    client
}

fn carbon(direction: &str, to: &str, kind: &str, message: &str) -> String {
    let bare = to.split('/').next().unwrap();
    let message = message.replacen("<message", "<message xmlns='jabber:client'", 1);
    format!(
        "<message from='{bare}' to='{to}' type='{kind}'><{direction} xmlns='urn:xmpp:carbons:2'>\
         <forwarded xmlns='urn:xmpp:forward:0'>{message}</forwarded></{direction}></message>"
    )
}

/// XEP-0280 §7
#[test]
fn what_one_client_receives_is_copied_to_the_others_that_asked() {
    let world = world();
    let garden = enabled(&world, "romeo@example.org/garden");
    let home = enabled(&world, "romeo@example.org/home");
    let old = world.login("romeo@example.org/old");
    old.shows("<presence/>");
    let juliet = world.login("juliet@example.org/balcony");
    juliet.send(&format!(
        "<message to='romeo@example.org/garden' type='chat'>{BODY}</message>"
    ));
    let message = format!(
        "<message to='romeo@example.org/garden' from='juliet@example.org/balcony' type='chat'>\
         {BODY}</message>"
    );
    garden.expect(&[&message]);
    home.expect(&[&carbon(
        "received",
        "romeo@example.org/home",
        "chat",
        &message,
    )]);
    old.expect(&[]);
    juliet.expect(&[]);
}

/// XEP-0280 §8: "Note that this happens irrespective of whether the sending client has
/// carbons enabled."
#[test]
fn what_one_client_sends_is_copied_to_the_others_that_asked() {
    let world = world();
    let home = world.login("romeo@example.org/home");
    let garden = enabled(&world, "romeo@example.org/garden");
    let juliet = world.login("juliet@example.org/balcony");
    home.send(&format!(
        "<message to='juliet@example.org/balcony' type='chat'>{BODY}</message>"
    ));
    let message = format!(
        "<message to='juliet@example.org/balcony' from='romeo@example.org/home' type='chat'>\
         {BODY}</message>"
    );
    juliet.expect(&[&message]);
    garden.expect(&[&carbon(
        "sent",
        "romeo@example.org/garden",
        "chat",
        &message,
    )]);
    home.expect(&[]);
}

/// XEP-0280 §7: "The receiving server MUST NOT send a forwarded copy to the client(s) the
/// original MESSAGE stanza was addressed to"
#[test]
fn those_that_a_message_to_the_account_reaches_get_no_copy() {
    let world = world();
    let garden = enabled(&world, "romeo@example.org/garden");
    let home = enabled(&world, "romeo@example.org/home");
    let low = enabled(&world, "romeo@example.org/low");
    low.shows("<presence><priority>-1</priority></presence>");
    let juliet = world.login("juliet@example.org/balcony");
    juliet.send(&format!(
        "<message to='romeo@example.org' type='chat'>{BODY}</message>"
    ));
    let message = format!(
        "<message to='romeo@example.org' from='juliet@example.org/balcony' type='chat'>\
         {BODY}</message>"
    );
    garden.expect(&[&message]);
    home.expect(&[&message]);
    low.expect(&[&carbon(
        "received",
        "romeo@example.org/low",
        "chat",
        &message,
    )]);
}

/// A message to oneself is seen once by each client and not by the one that sent it.
#[test]
fn a_message_to_oneself_reaches_every_other_client_once() {
    let world = world();
    let home = enabled(&world, "romeo@example.org/home");
    let garden = enabled(&world, "romeo@example.org/garden");
    let attic = enabled(&world, "romeo@example.org/attic");
    home.send(&format!(
        "<message to='romeo@example.org/garden' type='chat'>{BODY}</message>"
    ));
    home.expect(&[]);
    assert_eq!((garden.read().len(), attic.read().len()), (1, 1));
}

/// XEP-0280 §6.1 (and §6.2, which makes it binding), §9; XEP-0334 §4.3, §5
#[test]
fn the_rules_of_eligibility_hold_in_both_directions() {
    let muc = "<x xmlns='http://jabber.org/protocol/muc#user'/>";
    let mediated = "<x xmlns='http://jabber.org/protocol/muc#user'>\
         <invite to='a@example.org'/></x>";
    let direct = "<x xmlns='jabber:x:conference' jid='room@example.org'/>";
    let receipt = "<received xmlns='urn:xmpp:receipts' id='1'/>";
    let state = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
    let marker = "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>";
    let private = format!("{BODY}<private xmlns='urn:xmpp:carbons:2'/>");
    let no_copy = format!("{BODY}<no-copy xmlns='urn:xmpp:hints'/>");
    let muc_body = format!("{BODY}{muc}");
    let odd = "<x xmlns='urn:odd'/>";
    for (kind, content, sent, received) in [
        ("chat", BODY, true, true),
        ("chat", odd, true, true),
        ("normal", BODY, true, true),
        ("normal", odd, false, false),
        ("normal", receipt, true, true),
        ("normal", state, true, true),
        ("normal", marker, true, true),
        ("normal", direct, true, true),
        ("normal", mediated, true, true),
        ("groupchat", BODY, false, false),
        ("groupchat", state, false, false),
        ("headline", BODY, false, false),
        ("error", BODY, false, false),
        ("chat", &private, false, false),
        ("chat", &no_copy, false, false),
        // "A private MESSAGE from a local user to a MUC participant … SHOULD be
        // carbon-copied", "… from a MUC participant … SHOULD NOT".
        ("chat", &muc_body, true, false),
    ] {
        let world = world();
        let home = world.login("romeo@example.org/home");
        let garden = enabled(&world, "romeo@example.org/garden");
        let peer = world.login("peer@example.org/1");
        home.send(&format!(
            "<message to='peer@example.org/1' type='{kind}'>{content}</message>"
        ));
        assert_eq!(garden.read().len(), sent.into(), "sent {kind} {content}");
        peer.send(&format!(
            "<message to='romeo@example.org/home' type='{kind}'>{content}</message>"
        ));
        assert_eq!(
            garden.read().len(),
            received.into(),
            "received {kind} {content}"
        );
        // XEP-0280 §9: <private/> is not taken away.
        let got = peer.read().remove(0);
        assert!(got.to_string().contains(content), "{got}");
    }
}

/// XEP-0280 §6.1: "it is of type "error" and it was sent in response to a MESSAGE that was
/// eligible"
#[test]
fn errors_are_copied_if_what_they_answer_was() {
    let world = world();
    let home = world.login("romeo@example.org/home");
    let garden = enabled(&world, "romeo@example.org/garden");
    let peer = world.login("peer@example.org/1");
    let error = "<error type='cancel'>\
         <gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    let answer =
        format!("<message to='romeo@example.org/home' id='1' type='error'>{error}</message>");
    peer.send(&answer);
    assert_eq!(garden.read().len(), 0, "answers nothing");
    home.send(&format!(
        "<message to='peer@example.org/1' id='1' type='chat'>{BODY}</message>"
    ));
    assert_eq!(garden.read().len(), 1);
    peer.send(&answer);
    let copies = garden.read();
    assert_eq!(copies[0].kind(), Kind::Message(MessageType::Error));
    assert!(copies[0].payload().has("received", NS));
    // The other way round.
    peer.send(&format!(
        "<message to='romeo@example.org/home' id='2' type='chat'>{BODY}</message>"
    ));
    garden.skip();
    home.send(&format!(
        "<message to='peer@example.org/1' id='2' type='error'>{error}</message>"
    ));
    assert!(garden.read()[0].payload().has("sent", NS));
}

/// XEP-0280 §4.1, §10.1
#[test]
fn carbons_are_turned_on_and_off_any_number_of_times_but_only_ones_own() {
    let world = world();
    let garden = enabled(&world, "romeo@example.org/garden");
    let ok = "<iq to='romeo@example.org/garden' from='romeo@example.org' id='1' type='result'/>";
    for command in ["enable", "disable", "disable", "enable"] {
        garden.send(&format!(
            "<iq id='1' type='set'><{command} xmlns='urn:xmpp:carbons:2'/></iq>"
        ));
        garden.expect(&[ok]);
        assert_eq!(garden.resource.wants_carbons(), command == "enable");
    }
    let juliet = world.login("juliet@example.org/balcony");
    juliet.send(
        "<iq to='romeo@example.org' id='1' type='set'><disable xmlns='urn:xmpp:carbons:2'/></iq>",
    );
    juliet.expect(&[
        "<iq to='juliet@example.org/balcony' from='romeo@example.org' id='1' \
         type='error'><error type='cancel'>\
         <not-allowed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
    ]);
    assert!(garden.resource.wants_carbons());
}

/// XEP-0280 §10.3: "when … that carbon copy bounces with an error for any reason, the server
/// MUST NOT forward that error back to the original sender"
#[test]
fn a_bounced_copy_goes_nowhere() {
    let world = world();
    let home = world.login("romeo@example.org/home");
    let garden = enabled(&world, "romeo@example.org/garden");
    let juliet = enabled(&world, "juliet@example.org/balcony");
    home.send(&format!(
        "<message to='juliet@example.org/balcony' id='1' type='chat'>{BODY}</message>"
    ));
    juliet.skip();
    let copy = garden.read().remove(0);
    let bounce = copy
        .error_reply(&Condition::ServiceUnavailable.into())
        .unwrap();
    garden.send(&bounce.to_string());
    for client in [&home, &garden, &juliet] {
        client.expect(&[]);
    }
}

/// A copy belongs to the session that it was made for.
#[test]
fn a_copy_that_was_not_read_is_not_stored_when_its_session_ends() {
    let world = world();
    let home = world.login("romeo@example.org/home");
    let garden = enabled(&world, "romeo@example.org/garden");
    home.send(&format!(
        "<message to='juliet@example.org' type='chat'>{BODY}</message>"
    ));
    home.skip();
    garden.end();
    let stored = world.run(
        world
            .server
            .stores()
            .offline
            .count(&crate::server::testing::bare("romeo@example.org")),
    );
    assert_eq!(stored.unwrap(), 0);
    home.expect(&[]);
}

/// The one that gets the message sends it on to the store when it ends; that is no reason
/// for a second copy.
#[test]
fn a_message_that_goes_on_to_the_store_is_copied_once() {
    let world = World::with(
        vec![Arc::new(Offline::default()), Arc::new(Carbons::default())],
        |config| config.session_queue.stanzas = 2,
    );
    let home = world.login("romeo@example.org/home");
    let low = enabled(&world, "romeo@example.org/low");
    low.shows("<presence><priority>-1</priority></presence>");
    let juliet = world.login("juliet@example.org/balcony");
    for _ in 0..2 {
        juliet.send("<message to='romeo@example.org/home'><body>full</body></message>");
    }
    assert_eq!(low.read().len(), 2);
    // Does not fit any more.
    juliet.send("<message to='romeo@example.org/home'><body>stored</body></message>");
    home.end();
    juliet.skip();
    assert_eq!(low.read().len(), 1);
}

/// A copy that is not taken is lost, so it is not kept away for what is being stored.
#[test]
fn copies_come_while_a_message_is_being_stored() {
    let world = World::new(vec![
        Arc::new(Offline::default()),
        Arc::new(Carbons::default()),
    ]);
    let phone = enabled(&world, "romeo@example.org/phone");
    phone.shows("<presence/>");
    let home = world.login("romeo@example.org/home");
    let juliet = world.login("juliet@example.org/balcony");
    let to =
        |who: &str| format!("<message to='romeo@example.org/{who}' type='chat'>{BODY}</message>");
    let all = world.server.budget().free();
    assert!(world.server.budget().take(all));
    let stored = juliet.submit(&to("phone"));
    world.server.budget().give(all);
    juliet.send(&to("home"));
    assert_eq!(home.read().len(), 1);
    assert_eq!(phone.session.queue().depth().0, 1);
    world.finish(stored);
    assert_eq!(phone.read().len(), 2);
}

/// The bound holds, and nothing is remembered of those who are gone.
#[test]
fn what_is_remembered_is_bounded() {
    let carbons = Arc::new(Carbons::default());
    let world = World::new(vec![carbons.clone()]);
    let home = world.login("romeo@example.org/home");
    let garden = enabled(&world, "romeo@example.org/garden");
    for id in 0..REMEMBERED + 5 {
        home.send(&format!(
            "<message to='peer@example.net' id='{id}' type='chat'>{BODY}</message>"
        ));
    }
    assert_eq!(carbons.lock()["romeo@example.org"].len(), REMEMBERED);
    home.end();
    assert!(!carbons.lock().is_empty());
    garden.end();
    assert!(carbons.lock().is_empty());
}

/// A server may be configured to take more than is usual: what it has taken, it unwraps.
#[test]
fn the_original_is_found_in_a_copy_whatever_its_size() {
    let mut deep = Element::new("x", "urn:example:deep");
    for _ in 0..100 {
        deep = Element::new("x", "urn:example:deep").with_child(deep);
    }
    let message = Stanza::message(MessageType::Chat)
        .with_from(Jid::new("romeo@example.net/orchard").unwrap())
        .with_to(Jid::new("juliet@example.org/balcony").unwrap())
        .with_child(&Element::new("body", ns::CLIENT).with_text(&"O ".repeat(200_000)))
        .with_child(&deep);
    let account = BareJid::new("juliet@example.org").unwrap();
    let copy = Copy::new("received", &message, &account);
    let found = original(&copy.0).expect("it is in there");
    assert_eq!(found.to_string(), message.to_string());
}
