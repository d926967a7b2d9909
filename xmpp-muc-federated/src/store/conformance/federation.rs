//! What rooms know of their other nodes.

use std::sync::Arc;

use xmpp_core::jid::PART_LEN_MAX;
use xmpp_core::time::Timestamp;

use super::{LARGE, TEXTS, bare, loaded, made, message, ok, state};
use crate::log::{Dot, NodeId};
use crate::store::{Change, FederationChange, Rooms, StoredEvent, StoredFederation, StoredLink};

pub(super) async fn suite(make: impl AsyncFn() -> Arc<dyn Rooms>) {
    links_are_replaced_and_removed_one_by_one(&*make().await).await;
    what_was_seen_comes_back_as_it_was(&*make().await).await;
    events_come_back_in_their_order(&*make().await).await;
    an_event_is_told_by_its_whole_name(&*make().await).await;
    the_newest_events_stay(&*make().await).await;
    a_room_that_is_not_there_has_no_other_nodes(&*make().await).await;
    a_room_that_is_destroyed_has_no_other_nodes(&*make().await).await;
    other_changes_leave_it_as_it_is(&*make().await).await;
    rooms_do_not_share_it(&*make().await).await;
    rooms_with_links_come_page_by_page(&*make().await).await;
}

async fn links_are_replaced_and_removed_one_by_one(store: &dyn Rooms) {
    let room = made(store, "coven@rooms.example.org").await;
    assert_eq!(stored(store, &room).await, StoredFederation::default());
    let long = "x".repeat(PART_LEN_MAX);
    let large = "x".repeat(LARGE);
    for text in TEXTS.iter().copied().chain([&*large]) {
        let peers = ["a@rooms.example.com", "b@rooms.example.com"];
        let links = peers.map(|peer| link(peer, text));
        let changes = links.each_ref().map(change_link);
        ok(store.apply(&room, &changes).await);
        assert!(stored(store, &room).await.links == links, "with {text:.9?}");
    }
    let third = link(&format!("{long}@rooms.example.com"), "3");
    let changes = [
        change_link(&link("a@rooms.example.com", "1")),
        change_link(&link("a@rooms.example.com", "2")),
        change_link(&third),
        no_link("b@rooms.example.com"),
        no_link("c@rooms.example.com"),
        no_link("rooms.example.com"),
    ];
    for _ in 0..2 {
        ok(store.apply(&room, &changes).await);
        let wanted = [link("a@rooms.example.com", "2"), third.clone()];
        assert_eq!(stored(store, &room).await.links, wanted, "what is left");
    }
}

async fn what_was_seen_comes_back_as_it_was(store: &dyn Rooms) {
    let room = made(store, "coven@rooms.example.org").await;
    let large = "x".repeat(LARGE);
    for text in TEXTS.iter().copied().chain([&*large]) {
        ok(store.apply(&room, &[have("before"), have(text)]).await);
        let found = stored(store, &room).await.have;
        assert!(found.as_deref() == Some(text), "with {text:.9?}");
    }
}

async fn events_come_back_in_their_order(store: &dyn Rooms) {
    let room = made(store, "coven@rooms.example.org").await;
    let large = "x".repeat(LARGE);
    let long = "x".repeat(2 * PART_LEN_MAX);
    let nodes = ["b@rooms.example.com", "a@rooms.example.com", &*long];
    let times = [5, -1, i64::MAX, 0, i64::MIN, 1_795_408_140_123];
    let numbers = [7, 1, u64::MAX, i64::MAX as u64, i64::MAX as u64 + 1];
    let texts = TEXTS.iter().copied().chain([&*large]);
    let all: Vec<_> = texts
        .enumerate()
        // Names say nothing about the order.
        .map(|(n, text)| StoredEvent {
            dot: Dot {
                node: NodeId::new(nodes[n % nodes.len()]),
                epoch: numbers[n % numbers.len()],
                seq: numbers[(n / 2) % numbers.len()],
            },
            at: Timestamp(times[n % times.len()]),
            xml: text.to_owned(),
        })
        .collect();
    for events in all.chunks(3) {
        let changes: Vec<_> = events.iter().cloned().map(change_event).collect();
        ok(store.apply(&room, &changes).await);
    }
    assert!(stored(store, &room).await.events == all, "events");
}

async fn an_event_is_told_by_its_whole_name(store: &dyn Rooms) {
    let room = made(store, "coven@rooms.example.org").await;
    let names = [
        ("a", 1, 1),
        ("a", 1, 2),
        ("a", 2, 1),
        ("b", 1, 1),
        ("A", 1, 1),
    ];
    let all: Vec<_> = names
        .iter()
        .map(|(node, epoch, seq)| event(node, *epoch, *seq))
        .collect();
    let changes: Vec<_> = all.iter().cloned().map(change_event).collect();
    for _ in 0..2 {
        ok(store.apply(&room, &changes).await);
        assert_eq!(stored(store, &room).await.events, all, "once");
    }
    let other = StoredEvent {
        xml: "another".into(),
        ..event("a", 1, 1)
    };
    let next = event("a", 1, 3);
    let changes = [change_event(other), change_event(next.clone())];
    ok(store.apply(&room, &changes).await);
    let found = stored(store, &room).await.events;
    assert_eq!(found[0].xml, all[0].xml, "a name that is there");
    assert_eq!(found.last(), Some(&next), "what comes with it");
}

async fn the_newest_events_stay(store: &dyn Rooms) {
    let room = made(store, "coven@rooms.example.org").await;
    // The greatest first: it is the order that counts.
    let all: Vec<_> = (1..=5).rev().map(|seq| event("a", 1, seq)).collect();
    let mut changes: Vec<_> = all.iter().cloned().map(change_event).collect();
    changes.push(message("1"));
    ok(store.apply(&room, &changes).await);
    for (most, wanted) in [(usize::MAX, 5), (4, 4), (5, 4), (1, 1), (0, 0)] {
        ok(store.apply(&room, &[keep(most)]).await);
        let found = stored(store, &room).await.events;
        assert_eq!(found, all[all.len() - wanted..], "{most} stay");
    }
    let messages = ok(store.history(&room, 9).await);
    assert_eq!(messages.len(), 1, "messages are no events");
    let changes = [
        change_event(event("a", 1, 6)),
        keep(0),
        change_event(event("a", 1, 7)),
    ];
    ok(store.apply(&room, &changes).await);
    let found = stored(store, &room).await.events;
    assert_eq!(found, [event("a", 1, 7)], "what came after");
    ok(store.apply(&room, &[Change::Keep(0)]).await);
    let found = stored(store, &room).await.events;
    assert_eq!(found.len(), 1, "events are no messages");
}

async fn a_room_that_is_not_there_has_no_other_nodes(store: &dyn Rooms) {
    let room = bare("coven@rooms.example.org");
    let nothing = StoredFederation::default();
    for change in everything() {
        ok(store.apply(&room, &[change]).await);
        assert_eq!(ok(store.load(&room).await), None, "made by this");
    }
    assert_eq!(stored(store, &room).await, nothing);
    ok(store.apply(&room, &[state("1", None)]).await);
    assert_eq!(
        stored(store, &room).await,
        nothing,
        "of before it was there"
    );
}

async fn a_room_that_is_destroyed_has_no_other_nodes(store: &dyn Rooms) {
    let room = made(store, "coven@rooms.example.org").await;
    let beside = made(store, "heath@rooms.example.org").await;
    for room in [&room, &beside] {
        ok(store.apply(room, &everything()).await);
    }
    ok(store.apply(&room, &[Change::Destroyed]).await);
    let nothing = StoredFederation::default();
    assert_eq!(stored(store, &room).await, nothing, "destroyed");
    ok(store.apply(&room, &[state("2", None)]).await);
    assert_eq!(stored(store, &room).await, nothing, "of the one before");
    assert_ne!(stored(store, &beside).await, nothing, "of another room");
}

async fn other_changes_leave_it_as_it_is(store: &dyn Rooms) {
    let room = made(store, "coven@rooms.example.org").await;
    ok(store.apply(&room, &everything()).await);
    let before = stored(store, &room).await;
    ok(store.apply(&room, &[state("2", Some("name"))]).await);
    assert_eq!(stored(store, &room).await, before, "after another state");
    assert_eq!(loaded(store, &room).await.state, "2", "the other state");
    ok(store.apply(&room, &everything()).await);
    assert_eq!(loaded(store, &room).await.state, "2", "beside it");
}

async fn rooms_do_not_share_it(store: &dyn Rooms) {
    let mut rooms = Vec::new();
    for name in ["a", "a%", "_"] {
        let room = made(store, &format!("{name}@rooms.example.org")).await;
        let changes = [
            change_link(&link("peer@rooms.example.com", name)),
            have(name),
            change_event(event(name, 1, 1)),
            change_event(event("all", 1, 1)),
        ];
        ok(store.apply(&room, &changes).await);
        rooms.push((name, room));
    }
    let changes = [no_link("peer@rooms.example.com"), keep(0), have("first")];
    ok(store.apply(&rooms[0].1, &changes).await);
    for (name, room) in &rooms[1..] {
        let wanted = StoredFederation {
            links: vec![link("peer@rooms.example.com", name)],
            have: Some((*name).to_owned()),
            events: vec![event(name, 1, 1), event("all", 1, 1)],
        };
        assert_eq!(stored(store, room).await, wanted, "of {name}");
    }
}

async fn rooms_with_links_come_page_by_page(store: &dyn Rooms) {
    let service = bare("rooms.example.org");
    let first = ok(store.linked(&service, None, 9).await);
    assert!(first.is_empty(), "at first {first:?}");
    let peers = ["a@rooms.example.com", "b@rooms.example.com"];
    let links = peers.map(|peer| change_link(&link(peer, "1")));
    let mut wanted = Vec::new();
    for name in ["b", "a", "\u{e4}", "z", "aa", "a-", "0", "c"] {
        let room = made(store, &format!("{name}@rooms.example.org")).await;
        ok(store.apply(&room, &links).await);
        wanted.push(room);
    }
    // Whether it may be listed does not matter.
    let hidden = Change::State {
        state: String::new(),
        listed: false,
        name: None,
    };
    ok(store.apply(&wanted[0], &[hidden]).await);
    // One has other things, one has no more, one is gone, and one is another service's.
    let none = made(store, "none@rooms.example.org").await;
    let others = [have("1"), change_event(event("a", 1, 1))];
    ok(store.apply(&none, &others).await);
    let no_more = wanted.remove(3);
    ok(store.apply(&no_more, &peers.map(no_link)).await);
    let one_left = &wanted[3];
    ok(store.apply(one_left, &[no_link(peers[0])]).await);
    let gone = wanted.remove(5);
    ok(store.apply(&gone, &[Change::Destroyed]).await);
    let elsewhere = made(store, "b@rooms.example.com").await;
    ok(store.apply(&elsewhere, &links).await);
    wanted.sort_unstable();

    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = ok(store.linked(&service, after.as_ref(), 3).await);
        assert!(page.len() <= 3, "a page of more than was asked for");
        let Some(last) = page.last() else { break };
        after = Some(last.clone());
        found.extend(page);
        assert!(found.len() <= wanted.len(), "there is no end");
    }
    assert_eq!(found, wanted, "all pages");
    // It need not exist.
    let after = bare("ab@rooms.example.org");
    let page = ok(store.linked(&service, Some(&after), 1).await);
    assert_eq!(page, [bare("b@rooms.example.org")], "after another");
}

/// One change of each kind that leaves something.
fn everything() -> [Change; 3] {
    [
        change_link(&link("peer@rooms.example.com", "1")),
        have("1"),
        change_event(event("a", 1, 1)),
    ]
}

/// What is stored, the links in the order of their peers.
async fn stored(store: &dyn Rooms, room: &xmpp_core::BareJid) -> StoredFederation {
    let mut stored = ok(store.federation(room).await);
    stored.links.sort_by(|a, b| a.peer.cmp(&b.peer));
    stored
}

fn link(peer: &str, record: &str) -> StoredLink {
    StoredLink {
        peer: bare(peer),
        record: record.to_owned(),
    }
}

fn event(node: &str, epoch: u64, seq: u64) -> StoredEvent {
    StoredEvent {
        dot: Dot {
            node: NodeId::new(node),
            epoch,
            seq,
        },
        at: Timestamp(1),
        xml: format!("<{node}{epoch}.{seq}/>"),
    }
}

fn change_link(link: &StoredLink) -> Change {
    Change::Federation(FederationChange::Link(link.clone()))
}

fn no_link(peer: &str) -> Change {
    Change::Federation(FederationChange::NoLink(bare(peer)))
}

fn have(text: &str) -> Change {
    Change::Federation(FederationChange::Have(text.to_owned()))
}

fn change_event(event: StoredEvent) -> Change {
    Change::Federation(FederationChange::Event(event))
}

fn keep(most: usize) -> Change {
    Change::Federation(FederationChange::KeepEvents(most))
}
