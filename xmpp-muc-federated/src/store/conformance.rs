//! The suite that every implementation of [`Rooms`] has to pass.
//!
//! It takes a closure that makes a new, empty store, calls it many times, and panics with a message that says what was wrong:
//!
//! ```
//! use std::sync::Arc;
//! use xmpp_muc_federated::store::{Rooms, conformance, memory::Memory};
//!
//! async fn my_rooms() -> Arc<dyn Rooms> {
//!     Arc::new(Memory::new()) // the one to be tested
//! }
//! # futures::executor::block_on(
//! conformance::rooms(my_rooms)
//! # );
//! ```
//!
//! That what was acknowledged survives a crash can only be seen from outside the process, and is for the implementor to test.

mod federation;

use std::sync::Arc;

use futures::future::join_all;
use xmpp_core::jid::PART_LEN_MAX;
use xmpp_core::store::Result;
use xmpp_core::time::Timestamp;
use xmpp_core::{BareJid, Jid};

use super::{Change, Entry, Listed, Rooms, StoredMessage, StoredRoom};
use crate::room::Affiliation;

/// Octets of the longest text that the suite stores.
pub const LARGE: usize = 256 * 1024;

/// Tests a store.
pub async fn rooms(make: impl AsyncFn() -> Arc<dyn Rooms>) {
    a_room_comes_back_as_it_was(&*make().await).await;
    entries_are_replaced_and_removed_one_by_one(&*make().await).await;
    the_newest_messages_come_back_in_their_order(&*make().await).await;
    what_is_made_twice_is_made_once(&*make().await).await;
    a_room_that_is_not_there_stays_so(&*make().await).await;
    a_room_that_is_destroyed_leaves_nothing(&*make().await).await;
    changes_are_made_in_their_order(&*make().await).await;
    calls_take_effect_in_their_order(&*make().await).await;
    rooms_do_not_mix(&*make().await).await;
    listed_rooms_come_page_by_page(&*make().await).await;
    states_come_page_by_page(&*make().await).await;
    services_do_not_mix(&*make().await).await;
    long_addresses_are_kept(&*make().await).await;
    federation::suite(make).await;
}

/// Texts that come back octet by octet, or something has normalised them.
const TEXTS: [&str; 9] = [
    "<room xmlns='urn:x'/>",
    "",
    " ",
    " \t\r\n ",
    "'\"\\%_;--$1?1",
    "a\u{308}\u{e4}\u{c4}\u{df}\u{17f}\u{2126}\u{3a9}",
    "\u{1f469}\u{200d}\u{1f4bb}\u{feff}",
    "NULL",
    "\u{10ffff}\u{fffd}",
];

async fn a_room_comes_back_as_it_was(store: &dyn Rooms) {
    let room = bare("coven@rooms.example.org");
    assert_eq!(ok(store.load(&room).await), None, "at first");
    assert_eq!(ok(store.history(&room, 9).await), [], "history at first");
    let large = "x".repeat(LARGE);
    for text in TEXTS.iter().copied().chain([&*large]) {
        let mut changes = vec![state(text, Some(text))];
        let entries = entries(text);
        changes.extend(entries.iter().cloned().map(Change::Entry));
        ok(store.apply(&room, &changes).await);
        let stored = loaded(store, &room).await;
        assert!(
            stored.state == text,
            "state {:?} not {text:?}",
            stored.state
        );
        assert_eq!(stored.affiliations, entries, "entries with {text:?}");
        let listed = ok(store.list(&service(), None, 9).await);
        assert!(listed[0].name.as_deref() == Some(text), "name {text:?}");
    }
    ok(store.apply(&room, &[state("unnamed", None)]).await);
    let listed = ok(store.list(&service(), None, 9).await);
    assert_eq!(listed[0].name, None, "the name that it has no more");
    let stored = loaded(store, &room).await;
    assert_eq!(stored.affiliations.len(), 5, "entries after another state");
}

async fn entries_are_replaced_and_removed_one_by_one(store: &dyn Rooms) {
    let room = made(store, "coven@rooms.example.org").await;
    let addresses = [
        "hag@example.org",
        "hag@example.org/broom",
        "Hag2@example.org",
        "example.org",
        "xn--strae-oqa.example",
    ];
    for address in addresses {
        let entry = entry(address, Affiliation::Member);
        ok(store.apply(&room, &[Change::Entry(entry)]).await);
    }
    let mut again = entry("hag@example.org", Affiliation::Outcast);
    again.reason = Some("banned".into());
    ok(store.apply(&room, &[Change::Entry(again.clone())]).await);
    for address in ["example.org", "nobody@example.org"] {
        let gone = Change::NoEntry(jid(address));
        ok(store.apply(&room, &[gone]).await);
    }
    let left = loaded(store, &room).await.affiliations;
    let mut wanted = vec![again];
    for address in ["hag@example.org/broom", "hag2@example.org", addresses[4]] {
        wanted.push(entry(address, Affiliation::Member));
    }
    assert_eq!(left, sorted(wanted), "entries");
}

async fn the_newest_messages_come_back_in_their_order(store: &dyn Rooms) {
    let room = made(store, "coven@rooms.example.org").await;
    let large = "x".repeat(LARGE);
    let times = [5, -1, i64::MAX, 0, i64::MIN, 1_795_408_140_123];
    let texts = TEXTS.iter().copied().chain([&*large]);
    let all: Vec<_> = texts
        .zip(times.iter().cycle())
        .enumerate()
        // Ids say nothing about the order.
        .map(|(n, (text, at))| StoredMessage {
            id: format!("{}{text:.5}", 9 - n as i64),
            at: Timestamp(*at),
            xml: text.to_owned(),
        })
        .collect();
    for messages in all.chunks(3) {
        let changes: Vec<_> = messages.iter().cloned().map(Change::Message).collect();
        ok(store.apply(&room, &changes).await);
    }
    for limit in [0, 1, 4, all.len(), usize::MAX] {
        let newest = &all[all.len().saturating_sub(limit)..];
        let found = ok(store.history(&room, limit).await);
        assert!(found == newest, "the newest {limit}");
    }
    for (keep, wanted) in [(usize::MAX, all.len()), (4, 4), (5, 4), (0, 0)] {
        ok(store.apply(&room, &[Change::Keep(keep)]).await);
        let found = ok(store.history(&room, 99).await);
        assert!(found == all[all.len() - wanted..], "{keep} are kept");
    }
}

async fn what_is_made_twice_is_made_once(store: &dyn Rooms) {
    let room = bare("coven@rooms.example.org");
    let changes = [
        state("1", None),
        Change::Entry(entry("hag@example.org", Affiliation::Owner)),
        message("1"),
        message("2"),
        Change::NoEntry(jid("toad@example.org")),
    ];
    for _ in 0..2 {
        ok(store.apply(&room, &changes).await);
    }
    assert_eq!(history(store, &room).await, ["1", "2"], "once");
    let mut other = message("1");
    if let Change::Message(other) = &mut other {
        other.xml = "another".into();
    }
    ok(store.apply(&room, &[message("3"), other]).await);
    let found = ok(store.history(&room, 9).await);
    let texts: Vec<_> = found.iter().map(|message| &*message.xml).collect();
    assert_eq!(texts, ["<1/>", "<2/>", "<3/>"], "an id that is there");
    assert_eq!(ok(store.count(&service()).await), 1, "rooms");
}

async fn a_room_that_is_not_there_stays_so(store: &dyn Rooms) {
    let room = bare("coven@rooms.example.org");
    let changes = [
        Change::Entry(entry("hag@example.org", Affiliation::Owner)),
        message("1"),
        Change::NoEntry(jid("hag@example.org")),
        Change::Keep(1),
    ];
    for change in &changes {
        ok(store.apply(&room, std::slice::from_ref(change)).await);
    }
    ok(store.apply(&room, &changes[..2]).await);
    ok(store.apply(&room, &[]).await);
    for what in ["made by what is no state", "made by its destruction"] {
        assert_eq!(ok(store.load(&room).await), None, "{what}");
        ok(store.apply(&room, &[Change::Destroyed]).await);
    }
    assert_eq!(ok(store.count(&service()).await), 0, "rooms");
    ok(store.apply(&room, &[state("1", None)]).await);
    let stored = loaded(store, &room).await;
    assert_eq!(stored.affiliations, [], "entries of before it was there");
    assert_eq!(history(store, &room).await, [""; 0], "of before");
}

async fn a_room_that_is_destroyed_leaves_nothing(store: &dyn Rooms) {
    let room = made(store, "coven@rooms.example.org").await;
    let beside = made(store, "heath@rooms.example.org").await;
    let owner = Change::Entry(entry("hag@example.org", Affiliation::Owner));
    for room in [&room, &beside] {
        ok(store.apply(room, &[owner.clone(), message("1")]).await);
    }
    ok(store.apply(&room, &[Change::Destroyed]).await);
    assert_eq!(ok(store.load(&room).await), None, "destroyed");
    assert_eq!(history(store, &room).await, [""; 0], "of what is destroyed");
    let listed = ok(store.list(&service(), None, 9).await);
    assert_eq!(addresses(&listed), [beside.as_str()], "listed");
    ok(store.apply(&room, &[state("2", None)]).await);
    let stored = loaded(store, &room).await;
    assert_eq!(stored.affiliations, [], "entries of the one before");
    assert_eq!(history(store, &room).await, [""; 0], "of the one before");
    let stored = loaded(store, &beside).await;
    assert_eq!(stored.affiliations.len(), 1, "entries of another room");
    assert_eq!(history(store, &beside).await, ["1"], "of another room");
}

async fn changes_are_made_in_their_order(store: &dyn Rooms) {
    let room = made(store, "coven@rooms.example.org").await;
    let hag = "hag@example.org";
    let changes = [
        Change::Entry(entry(hag, Affiliation::Owner)),
        message("old"),
        Change::Destroyed,
        message("nobody's"),
        state("1", None),
        Change::Entry(entry(hag, Affiliation::Member)),
        Change::Entry(entry(hag, Affiliation::Admin)),
        Change::Entry(entry("toad@example.org", Affiliation::Member)),
        Change::NoEntry(jid("toad@example.org")),
        message("1"),
        message("2"),
        Change::Keep(1),
        message("3"),
        state("2", None),
    ];
    ok(store.apply(&room, &changes).await);
    let stored = loaded(store, &room).await;
    assert_eq!(stored.state, "2", "state");
    assert_eq!(stored.affiliations, [entry(hag, Affiliation::Admin)]);
    assert_eq!(history(store, &room).await, ["2", "3"], "messages");
}

async fn calls_take_effect_in_their_order(store: &dyn Rooms) {
    let room = made(store, "coven@rooms.example.org").await;
    let ids: Vec<_> = (0..100).map(|n| n.to_string()).collect();
    let changes: Vec<_> = ids
        .iter()
        .map(|id| [state(id, None), message(id)])
        .collect();
    let calls = changes.iter().map(|changes| store.apply(&room, changes));
    for made in join_all(calls).await {
        ok(made);
    }
    assert_eq!(loaded(store, &room).await.state, "99", "the last state");
    assert_eq!(history(store, &room).await, ids, "messages");
}

async fn rooms_do_not_mix(store: &dyn Rooms) {
    // Addresses are what they are, octet by octet.
    let names = [
        "a@rooms.example.org",
        "a%@rooms.example.org",
        "_@rooms.example.org",
    ];
    for name in names {
        let room = made(store, name).await;
        let owner = entry(name, Affiliation::Owner);
        let changes = [state(name, None), Change::Entry(owner), message("1")];
        ok(store.apply(&room, &changes).await);
    }
    let first = bare(names[0]);
    let changes = [
        message("2"),
        Change::Keep(1),
        Change::NoEntry(jid(names[1])),
    ];
    ok(store.apply(&first, &changes).await);
    for (name, messages) in names.iter().zip([["2"], ["1"], ["1"]]) {
        let room = bare(name);
        let stored = loaded(store, &room).await;
        assert_eq!(stored.state, **name, "state");
        assert_eq!(stored.affiliations, [entry(name, Affiliation::Owner)]);
        assert_eq!(history(store, &room).await, messages, "messages of {name}");
    }
}

async fn listed_rooms_come_page_by_page(store: &dyn Rooms) {
    let mut wanted = Vec::new();
    for name in ["b", "a", "\u{e4}", "z", "aa", "a-", "0", "c"] {
        let room = made(store, &format!("{name}@rooms.example.org")).await;
        wanted.push(room.as_str().to_owned());
    }
    let hidden = Change::State {
        state: String::new(),
        listed: false,
        name: Some("hidden".into()),
    };
    // One never was listed, one is no more.
    let never = bare("aaa@rooms.example.org");
    ok(store.apply(&never, std::slice::from_ref(&hidden)).await);
    let no_more = bare("c@rooms.example.org");
    ok(store.apply(&no_more, &[hidden]).await);
    wanted.retain(|room| room != no_more.as_str());
    wanted.sort_unstable();
    assert_eq!(ok(store.count(&service()).await), 9, "listed or not");

    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = ok(store.list(&service(), after.as_ref(), 3).await);
        assert!(page.len() <= 3, "a page of more than was asked for");
        let Some(last) = page.last() else { break };
        after = Some(last.room.clone());
        found.extend(addresses(&page).into_iter().map(str::to_owned));
        assert!(found.len() <= wanted.len(), "there is no end");
    }
    assert_eq!(found, wanted, "all pages");
    // It need not exist.
    let after = bare("ab@rooms.example.org");
    let page = ok(store.list(&service(), Some(&after), 1).await);
    assert_eq!(addresses(&page), ["b@rooms.example.org"], "after another");
}

async fn states_come_page_by_page(store: &dyn Rooms) {
    let service = bare("rooms.example.org");
    let first = ok(store.states(&service, None, 9).await);
    assert!(first.is_empty(), "states at first {first:?}");
    let mut wanted = Vec::new();
    for (n, name) in ["b", "a", "\u{e4}", "z", "aa", "a-", "0", "c"]
        .into_iter()
        .enumerate()
    {
        let room = bare(&format!("{name}@rooms.example.org"));
        // Whether it may be listed does not matter.
        let state = Change::State {
            state: format!("<{name}/>"),
            listed: n % 2 == 0,
            name: None,
        };
        ok(store.apply(&room, &[state]).await);
        wanted.push((room, format!("<{name}/>")));
    }
    let (gone, _) = wanted.remove(3);
    ok(store.apply(&gone, &[Change::Destroyed]).await);
    let elsewhere = bare("b@rooms.example.com");
    ok(store.apply(&elsewhere, &[state("elsewhere", None)]).await);
    wanted.sort_unstable();

    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = ok(store.states(&service, after.as_ref(), 3).await);
        assert!(page.len() <= 3, "a page of more states than was asked for");
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        found.extend(page);
        assert!(found.len() <= wanted.len(), "there is no end of states");
    }
    assert_eq!(found, wanted, "all states");
    // It need not exist.
    let after = bare("ab@rooms.example.org");
    let page = ok(store.states(&service, Some(&after), 1).await);
    assert_eq!(page, [(bare("b@rooms.example.org"), "<b/>".to_owned())]);
}

async fn services_do_not_mix(store: &dyn Rooms) {
    for name in [
        "a@rooms.example.org",
        "a@rooms.example.com",
        "a@xrooms.example.org",
    ] {
        made(store, name).await;
    }
    let other = bare("a@rooms.example.com");
    ok(store.apply(&other, &[state("other", None)]).await);
    let listed = ok(store.list(&service(), None, 9).await);
    assert_eq!(addresses(&listed), ["a@rooms.example.org"], "listed");
    assert_eq!(ok(store.count(&service()).await), 1, "rooms");
    let stored = loaded(store, &bare("a@rooms.example.org")).await;
    assert_eq!(stored.state, "made", "the room of that name elsewhere");
}

async fn long_addresses_are_kept(store: &dyn Rooms) {
    let long = "x".repeat(PART_LEN_MAX);
    let label = "y".repeat(60);
    let domain = [&*label; 4].join(".");
    let room = made(store, &format!("{long}@{domain}")).await;
    let member = entry(&format!("{long}@{domain}/{long}"), Affiliation::Member);
    let changes = [Change::Entry(member.clone()), message(&long)];
    ok(store.apply(&room, &changes).await);
    assert_eq!(loaded(store, &room).await.affiliations, [member]);
    assert_eq!(history(store, &room).await, [long], "messages");
    let listed = ok(store.list(&bare(&domain), None, 9).await);
    assert_eq!(addresses(&listed), [room.as_str()], "listed");
}

fn service() -> BareJid {
    bare("rooms.example.org")
}

/// A room that has nothing but a state.
async fn made(store: &dyn Rooms, room: &str) -> BareJid {
    let room = bare(room);
    ok(store.apply(&room, &[state("made", None)]).await);
    room
}

/// What is stored, the entries in the order of their addresses.
async fn loaded(store: &dyn Rooms, room: &BareJid) -> StoredRoom {
    let mut stored = ok(store.load(room).await).expect("the room is not there");
    stored.affiliations = sorted(stored.affiliations);
    stored
}

/// The ids of all messages.
async fn history(store: &dyn Rooms, room: &BareJid) -> Vec<String> {
    let messages = ok(store.history(room, usize::MAX).await);
    messages.into_iter().map(|message| message.id).collect()
}

fn sorted(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort_by(|a, b| a.jid.cmp(&b.jid));
    entries
}

fn addresses(listed: &[Listed]) -> Vec<&str> {
    listed.iter().map(|listed| listed.room.as_str()).collect()
}

fn state(state: &str, name: Option<&str>) -> Change {
    Change::State {
        state: state.into(),
        listed: true,
        name: name.map(str::to_owned),
    }
}

fn message(id: &str) -> Change {
    Change::Message(StoredMessage {
        id: id.into(),
        at: Timestamp(1),
        xml: format!("<{id}/>"),
    })
}

fn entry(address: &str, affiliation: Affiliation) -> Entry {
    Entry {
        jid: jid(address),
        affiliation,
        nick: None,
        reason: None,
    }
}

/// One of each affiliation, with and without this text.
fn entries(text: &str) -> Vec<Entry> {
    let some = || Some(text.to_owned());
    let all = [
        (Affiliation::Outcast, None, some()),
        (Affiliation::None, some(), None),
        (Affiliation::Member, some(), some()),
        (Affiliation::Admin, None, None),
        (Affiliation::Owner, None, None),
    ];
    let entries = all.into_iter().zip('a'..).map(|(of, letter)| Entry {
        affiliation: of.0,
        nick: of.1,
        reason: of.2,
        ..entry(&format!("{letter}@example.org"), of.0)
    });
    entries.collect()
}

fn bare(text: &str) -> BareJid {
    BareJid::new(text).expect("the suite's addresses are some")
}

fn jid(text: &str) -> Jid {
    Jid::new(text).expect("the suite's addresses are some")
}

fn ok<T>(result: Result<T>) -> T {
    result.expect("the store could not do what it was asked")
}
