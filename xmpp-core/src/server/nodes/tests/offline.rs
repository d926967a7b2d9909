//! Messages for those who are away.

use super::*;
use crate::server::testing::bare;
use crate::session::Feed;

const BALCONY: &str = "juliet@example.org/balcony";
const CHAMBER: &str = "juliet@example.org/chamber";

fn stored(world: &World) -> usize {
    let offline = world.server.stores().offline.clone();
    world
        .run(offline.count(&bare("juliet@example.org")))
        .unwrap()
}

fn messages(client: &Client) -> Vec<String> {
    let mut heard = heard(client);
    heard.retain(|what| !what.is_empty());
    heard
}

/// A page that a client has taken but not the next one.
fn first_page(world: &World, client: &Client) -> (Box<dyn Feed>, Vec<Stanza>) {
    let mut feed = client.session.take_feed().unwrap();
    let page = world.run(feed.next());
    (feed, page)
}

fn with_messages() -> Pair {
    let pair = pair();
    let romeo = online(&pair.a, ROMEO, 0);
    pair.a.account("juliet@example.org");
    for n in 0..30 {
        romeo.send(&chat("juliet@example.org", &n.to_string()));
    }
    assert_eq!(stored(&pair.a), 30);
    pair
}

#[test]
fn messages_are_given_out_once_if_two_nodes_are_logged_in_to_at_once() {
    let pair = with_messages();
    let balcony = pair.a.login(BALCONY);
    let chamber = pair.b.login(CHAMBER);
    pair.hold();
    for client in [&balcony, &chamber] {
        client.send("<presence/>");
    }
    let (feed, page) = first_page(&pair.a, &balcony);
    let mut given: Vec<_> = page.iter().map(told).collect();
    assert!(!given.is_empty() && given.len() < 30);
    assert_eq!(messages(&chamber), [""; 0]);
    pair.let_go();
    assert_eq!(messages(&chamber), [""; 0]);
    let mut feed = feed;
    while let page = pair.a.run(feed.next())
        && !page.is_empty()
    {
        given.extend(page.iter().map(told));
    }
    let all: Vec<_> = (0..30).map(|n| n.to_string()).collect();
    assert_eq!(given, all);
    drop(feed);
    pair.a.advance(std::time::Duration::from_secs(61));
    assert_eq!(messages(&chamber), [""; 0]);
    assert_eq!(stored(&pair.a), 0);
}

#[test]
fn what_one_node_leaves_another_gives_out() {
    let pair = with_messages();
    let balcony = pair.a.login(BALCONY);
    let chamber = pair.b.login(CHAMBER);
    balcony.send("<presence/>");
    let (feed, page) = first_page(&pair.a, &balcony);
    chamber.send("<presence/>");
    assert_eq!(messages(&chamber), [""; 0]);
    // Its client has not said that it has got the first page.
    drop(feed);
    balcony.end();
    pair.a.settle();
    assert_eq!(
        messages(&chamber).len(),
        30,
        "{} were given before",
        page.len()
    );
    assert_eq!(stored(&pair.a), 0);
}

#[test]
fn what_a_node_leaves_that_dies_another_gives_out_after_a_while() {
    let pair = with_messages();
    let balcony = pair.a.login(BALCONY);
    let chamber = pair.b.login(CHAMBER);
    balcony.send("<presence/>");
    let (feed, _) = first_page(&pair.a, &balcony);
    chamber.send("<presence/>");
    assert_eq!(messages(&chamber), [""; 0]);
    pair.cut();
    pair.b.advance(std::time::Duration::from_secs(61));
    assert_eq!(messages(&chamber).len(), 30);
    drop(feed);
}

#[test]
fn a_message_that_is_stored_while_somebody_comes_elsewhere_is_given_out() {
    let pair = pair();
    let romeo = online(&pair.a, ROMEO, 0);
    pair.hold();
    let balcony = pair.b.login(BALCONY);
    balcony.send("<presence/>");
    assert_eq!(messages(&balcony), [""; 0]);
    romeo.send(&chat("juliet@example.org", "m"));
    assert_eq!(stored(&pair.a), 1);
    pair.let_go();
    assert_eq!(messages(&balcony), [""; 0]);
    pair.a.advance(std::time::Duration::from_secs(2));
    assert_eq!(messages(&balcony), ["m"]);
}
