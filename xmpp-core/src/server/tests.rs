//! What becomes of what a session leaves behind (RFC 6121 §8.5).

use std::sync::Arc;

use super::testing::{Client, World, bare};
use crate::im::carbons::Carbons;
use crate::im::offline::Offline;
use crate::mailbox::Depths;

const TO_BARE: &str = "<message to='romeo@example.org' type='chat'><body>1</body></message>";
const TO_PHONE: &str = "<message to='romeo@example.org/phone' type='chat'><body>1</body></message>";

fn world() -> World {
    World::new(vec![
        Arc::new(Offline::default()),
        Arc::new(Carbons::default()),
    ])
}

/// A client that is available.
fn online(world: &World, jid: &str) -> Client {
    let client = world.login(jid);
    client.shows("<presence/>");
    client.skip();
    client
}

fn with_carbons(client: Client) -> Client {
    client.send("<iq id='c' type='set'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
    client.skip();
    client
}

fn phone_and_laptop(world: &World) -> (Client, Client) {
    let [phone, laptop] =
        ["phone", "laptop"].map(|name| online(world, &format!("romeo@example.org/{name}")));
    (phone, laptop)
}

/// How many messages with a body it was sent, in whatever wrapping.
fn messages(client: &Client) -> usize {
    let read = client.read();
    let read = read.iter().map(ToString::to_string);
    read.filter(|stanza| stanza.contains("<body>1</body>"))
        .count()
}

fn stored(world: &World) -> Vec<String> {
    let store = world.server.stores().offline.clone();
    let romeo = bare("romeo@example.org");
    let page = world.run(store.page(&romeo, 0, 100)).unwrap();
    page.into_iter().map(|message| message.xml).collect()
}

/// Two clients got it, and one of them died before it had read it.
#[test]
fn a_message_that_one_of_two_sessions_lost_is_not_repeated_to_the_other() {
    let world = world();
    let (phone, laptop) = phone_and_laptop(&world);
    online(&world, "juliet@example.org/balcony").send(TO_BARE);
    phone.end();
    assert_eq!(messages(&laptop), 1);
    assert_eq!(stored(&world), [""; 0]);
    laptop.end();
    assert_eq!(stored(&world), [""; 0], "it has been read");
}

/// The same, and the other died too. RFC 6121 §8.5.2.2.1
#[test]
fn a_message_that_all_sessions_lost_is_stored_once() {
    let world = world();
    let (phone, laptop) = phone_and_laptop(&world);
    online(&world, "juliet@example.org/balcony").send(TO_BARE);
    phone.end();
    laptop.end();
    assert_eq!(stored(&world).len(), 1);
    let again = world.login("romeo@example.org/phone");
    again.shows("<presence/>");
    assert_eq!(messages(&again), 1);
}

/// XEP-0280 §7: a copy is for those that "did not receive it under the RFC 6121 delivery
/// rules"
#[test]
fn a_message_whose_copy_another_session_has_is_not_delivered_there_besides() {
    let world = world();
    let (phone, laptop) = phone_and_laptop(&world);
    let laptop = with_carbons(laptop);
    online(&world, "juliet@example.org/balcony").send(TO_PHONE);
    phone.end();
    assert_eq!(messages(&laptop), 1);
    assert_eq!(stored(&world), [""; 0]);
}

#[test]
fn a_message_that_is_lost_with_all_its_copies_is_stored_as_it_was() {
    for phone_first in [true, false] {
        let world = world();
        let (phone, laptop) = phone_and_laptop(&world);
        let laptop = with_carbons(laptop);
        online(&world, "juliet@example.org/balcony").send(TO_PHONE);
        let (first, second) = match phone_first {
            true => (phone, laptop),
            false => (laptop, phone),
        };
        first.end();
        assert_eq!(stored(&world), [""; 0]);
        second.end();
        let stored = stored(&world);
        assert_eq!(stored.len(), 1, "{stored:?}");
        assert!(stored[0].starts_with("<message "), "{stored:?}");
        assert!(stored[0].contains("to='romeo@example.org/phone'"));
        assert!(!stored[0].contains("forwarded"), "{stored:?}");
    }
}

/// One with a negative priority is not given what the account's other clients lose, so its
/// copy does not stand in for the message.
#[test]
fn a_copy_for_a_session_that_takes_no_messages_does_not_keep_them_from_being_stored() {
    let world = world();
    let (phone, laptop) = phone_and_laptop(&world);
    let laptop = with_carbons(laptop);
    laptop.shows("<presence><priority>-1</priority></presence>");
    online(&world, "juliet@example.org/balcony").send(TO_PHONE);
    phone.end();
    assert_eq!(messages(&laptop), 1);
    assert_eq!(stored(&world).len(), 1);
}

#[test]
fn the_queues_of_all_sessions_are_counted() {
    let world = world();
    let (phone, laptop) = phone_and_laptop(&world);
    let juliet = online(&world, "juliet@example.org/balcony");
    assert_eq!(world.server.session_queues(), Depths::default());
    for _ in 0..3 {
        juliet.send(TO_PHONE);
    }
    let three = world.server.session_queues();
    assert_eq!((three.stanzas, three.most_stanzas), (3, 3));
    assert_eq!(three.bytes, world.server.budget().used());
    assert_eq!(three.most_bytes, three.bytes);
    // Both get it.
    juliet.send(TO_BARE);
    let all = world.server.session_queues();
    assert_eq!((all.stanzas, all.most_stanzas), (5, 4));
    assert_eq!(all.bytes, world.server.budget().used());
    assert!(all.most_bytes > three.bytes && all.most_bytes < all.bytes);
    phone.skip();
    laptop.end();
    assert_eq!(world.server.session_queues(), Depths::default());
}
