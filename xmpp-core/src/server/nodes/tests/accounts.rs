//! What is in memory of an account on several nodes.

use super::*;
use crate::account::{AccountChange, ChangeError, ItemChange};
use crate::server::testing::{bare, jid};
use crate::store::{RosterItem, Subscription};
use crate::stream::StreamCondition;
use crate::{BareJid, Jid};

const BALCONY: &str = "juliet@example.org/balcony";
const CHAMBER: &str = "juliet@example.org/chamber";

fn set(client: &Client, contact: &str, name: &str) {
    client.send(&format!(
        "<iq id='s' type='set'><query xmlns='jabber:iq:roster'><item jid='{contact}' name='{name}'/></query></iq>"
    ));
}

/// Versions and contacts of roster pushes.
fn pushes(client: &Client) -> Vec<(u64, String)> {
    let read = client.read();
    let queries = read.iter().filter_map(|stanza| {
        let query = stanza
            .payload()
            .child("query", crate::im::roster::NS)?
            .element();
        let item = query.children().next()?.clone();
        let what = item
            .attr("name")
            .or(item.attr("subscription"))
            .unwrap_or_default();
        let text = format!("{} {what}", item.attr("jid")?);
        Some((query.attr("ver")?.parse().ok()?, text))
    });
    queries.collect()
}

fn names(world: &World, account: &BareJid) -> Vec<String> {
    let account = world.run(world.server.account(account)).unwrap();
    account.roster(|roster| {
        let names = roster
            .items()
            .iter()
            .map(|item| item.name.clone().unwrap_or_default());
        names.collect()
    })
}

/// RFC 6121 §2.6.3
#[test]
fn a_roster_that_is_changed_on_one_node_is_pushed_on_the_other_by_itself() {
    let pair = pair();
    let balcony = online(&pair.a, BALCONY, 0);
    let chamber = online(&pair.b, CHAMBER, 0);
    let deaf = pair.b.login("juliet@example.org/deaf");
    set(&balcony, "romeo@example.org", "Romeo");
    set(&chamber, "nurse@example.org", "Nurse");
    let (first, second) = (pushes(&balcony), pushes(&chamber));
    let what = |pushes: &[(u64, String)]| {
        pushes
            .iter()
            .map(|(_, what)| what.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        what(&first),
        ["romeo@example.org Romeo", "nurse@example.org Nurse"]
    );
    assert_eq!(first, second);
    assert!(first[0].0 < first[1].0);
    assert_eq!(pushes(&deaf), []);
    let juliet = bare("juliet@example.org");
    assert_eq!(names(&pair.a, &juliet), ["Nurse", "Romeo"]);
    assert_eq!(names(&pair.b, &juliet), ["Nurse", "Romeo"]);
    balcony.send(
        "<iq id='s' type='set'><query xmlns='jabber:iq:roster'>\
        <item jid='nurse@example.org' subscription='remove'/></query></iq>",
    );
    assert_eq!(what(&pushes(&chamber)), ["nurse@example.org remove"]);
}

#[test]
fn changes_on_two_nodes_that_have_not_heard_of_each_other_are_not_lost() {
    let pair = pair();
    let balcony = online(&pair.a, BALCONY, 0);
    let chamber = online(&pair.b, CHAMBER, 0);
    set(&balcony, "romeo@example.org", "Romeo");
    let account = |world: &World| {
        world
            .run(world.server.account(&bare("juliet@example.org")))
            .unwrap()
    };
    let accounts = [account(&pair.a), account(&pair.b)];
    for client in [&balcony, &chamber] {
        client.skip();
    }
    pair.hold();
    // Two halves of one item: its subscription here, its group there.
    let romeo = bare("romeo@example.org");
    let edit = |world: &World, n: usize, edit: &dyn Fn(&mut RosterItem)| {
        let changed = accounts[n].change_roster(
            world.server.stores(),
            &romeo,
            |_, item| {
                let mut item = item.cloned().unwrap();
                edit(&mut item);
                Ok::<_, ()>(ItemChange::Put(item))
            },
            |_| {},
        );
        world.run(changed).unwrap().version
    };
    let first = edit(&pair.a, 0, &|item| item.subscription = Subscription::To);
    let second = edit(&pair.b, 1, &|item| item.groups = vec!["Friends".into()]);
    let third = edit(&pair.a, 0, &|item| item.name = Some("R".into()));
    assert!(first < second && second < third);
    set(&chamber, "nurse@example.org", "Nurse");
    pair.let_go();
    let stored = pair.a.server.stores().rosters.clone();
    let stored = pair
        .a
        .run(stored.load(&bare("juliet@example.org")))
        .unwrap();
    for account in &accounts {
        account.roster(|roster| {
            assert_eq!(roster.version, stored.version);
            let item = roster.item("romeo@example.org").unwrap();
            assert_eq!(item.subscription, Subscription::To);
            assert_eq!(
                (item.groups.as_slice(), item.name.as_deref()),
                (&["Friends".to_owned()][..], Some("R"))
            );
            assert!(roster.item("nurse@example.org").is_some());
        });
    }
    for client in [&balcony, &chamber] {
        let versions: Vec<_> = pushes(client)
            .into_iter()
            .map(|(version, _)| version)
            .collect();
        assert!(
            versions.is_sorted() && versions.last() == Some(&stored.version),
            "{versions:?}"
        );
    }
}

/// XEP-0191 §3.3–§3.5
#[test]
fn a_block_list_that_is_changed_on_one_node_holds_on_the_other() {
    let pair = pair();
    pair.a.contact(
        "juliet@example.org",
        "romeo@example.net",
        Subscription::Both,
    );
    let outside = pair.a.entity("example.net");
    let balcony = online(&pair.a, BALCONY, 0);
    let chamber = online(&pair.b, CHAMBER, 0);
    chamber.send("<presence to='paris@example.net/x'/>");
    outside.read();
    let command = |client: &Client, name: &str, who: &str| {
        client.send(&format!("<iq id='1' type='set'><{name} xmlns='urn:xmpp:blocking'><item jid='{who}'/></{name}></iq>"));
    };
    let told = |client: &Client, what: &str| {
        let read = client.read();
        assert_eq!(
            read.iter()
                .filter(|s| s.payload().has(what, crate::im::blocking::NS))
                .count(),
            1,
            "{read:?}"
        );
    };
    let outside = || {
        let mut all: Vec<_> = outside
            .read()
            .iter()
            .map(|s| format!("{} {} {:?}", s.from().unwrap(), s.to().unwrap(), s.kind()))
            .collect();
        all.sort();
        all
    };
    balcony.skip();
    command(&balcony, "block", "example.net");
    told(&balcony, "block");
    told(&chamber, "block");
    let gone = |from: &str, to: &str| format!("{from} {to} Presence(Unavailable)");
    assert_eq!(
        outside(),
        [
            gone(BALCONY, "romeo@example.net"),
            gone(CHAMBER, "paris@example.net/x"),
            gone(CHAMBER, "romeo@example.net"),
        ]
    );
    assert!(
        chamber
            .session
            .account()
            .blocks(&jid("romeo@example.net/x"))
    );
    chamber.send("<presence><show>away</show></presence>");
    assert_eq!(outside(), [""; 0]);
    command(&chamber, "unblock", "example.net");
    told(&balcony, "unblock");
    told(&chamber, "unblock");
    let back = |from: &str| format!("{from} romeo@example.net Presence(Available)");
    assert_eq!(outside(), [back(BALCONY), back(CHAMBER)]);
    // Both at once: nothing is lost.
    pair.hold();
    command(&balcony, "block", "a@example.net");
    command(&chamber, "block", "b@example.net");
    pair.let_go();
    for client in [&balcony, &chamber] {
        let account = client.session.account();
        assert_eq!(account.blocked(<[Jid]>::len), 2);
        client.skip();
    }
}

/// XEP-0077 §3.2
#[test]
fn the_sessions_of_an_account_that_is_removed_end_on_all_nodes() {
    let pair = pair();
    let balcony = online(&pair.a, BALCONY, 0);
    let chamber = online(&pair.b, CHAMBER, 0);
    let account = bare("juliet@example.org");
    assert!(pair.a.run(pair.a.server.remove_account(&account)).unwrap());
    for client in [&balcony, &chamber] {
        let ending = client.session.ending().unwrap();
        assert_eq!(ending.condition, StreamCondition::NotAuthorized);
        assert!(!client.session.account().exists());
    }
    let held = chamber.session.account();
    let romeo = bare("romeo@example.org");
    let changed = held.change_roster(
        pair.b.server.stores(),
        &romeo,
        |_, _| Ok::<_, ()>(ItemChange::Put(RosterItem::new(romeo.clone()))),
        |_| {},
    );
    assert!(matches!(pair.b.run(changed), Err(ChangeError::NoAccount)));
}

#[test]
fn an_account_that_is_created_on_one_node_exists_on_the_other() {
    let pair = pair();
    let account = bare("juliet@example.org");
    let before = pair.b.run(pair.b.server.account(&account)).unwrap();
    assert!(!before.exists());
    pair.a.account("juliet@example.org");
    pair.a.run(pair.a.server.account_created(&account));
    assert!(
        pair.b
            .run(pair.b.server.account(&account))
            .unwrap()
            .exists()
    );
}

#[test]
fn what_was_missed_is_loaded_when_it_may_have_been() {
    let pair = pair();
    let balcony = online(&pair.a, BALCONY, 0);
    let chamber = online(&pair.b, CHAMBER, 0);
    pair.cut();
    set(&balcony, "romeo@example.org", "Romeo");
    assert_eq!(pushes(&chamber), []);
    pair.b.server.accounts_changed();
    pair.b.settle();
    assert_eq!(pushes(&chamber).len(), 1);
    // Nobody is told of what they know, and nothing is loaded that nobody holds.
    pair.b.server.accounts_changed();
    pair.b
        .server
        .account_changed(&bare("nobody@example.org"), AccountChange::Data);
    pair.b.settle();
    assert_eq!(pushes(&chamber), []);
    assert!(
        pair.b
            .server
            .held_account(&bare("nobody@example.org"))
            .is_none()
    );
}
