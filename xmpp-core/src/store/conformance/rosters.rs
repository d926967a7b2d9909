//! What [`Rosters`](crate::store::Rosters) promises.

use super::{TEXTS, at_once, bare, large, longest, lookalikes, ok};
use crate::store::{Ask, RosterItem, Stores, Subscription};

/// Tests [`Rosters`](crate::store::Rosters).
pub async fn rosters(make: impl AsyncFn() -> Stores) {
    a_roster_begins_empty_and_grows(make().await).await;
    items_come_back_as_they_were(make().await).await;
    rosters_do_not_see_each_other(make().await).await;
    changes_come_one_after_another(make().await).await;
    large_rosters_are_kept(make().await).await;
    a_forgotten_roster_is_gone_and_its_version_does_not_return(make().await).await;
}

/// Tests changes on a condition.
pub(super) async fn shared(make: impl AsyncFn() -> Stores) {
    a_change_is_made_on_its_condition_only(make().await).await;
    of_changes_on_the_same_condition_one_is_made(make().await).await;
}

async fn a_change_is_made_on_its_condition_only(stores: Stores) {
    let store = stores.rosters;
    let (ann, bob) = (bare("ann@example.com"), bare("bob@example.com"));
    let mut item = RosterItem::new(bob.clone());
    ok(store.put(&bob, &item).await);
    assert_eq!(ok(store.put_since(&ann, &item, 1 << 40).await), None);
    assert_eq!(ok(store.remove_since(&ann, &bob, 1 << 40).await), None);
    assert_eq!(ok(store.load(&ann).await).version, 0, "nothing has changed");
    let first = ok(store.put_since(&ann, &item, 0).await).expect("no version before");
    assert!(first > 0, "the version has not grown from 0");
    let kept = item.clone();
    item.name = Some("Bob".into());
    for since in [0, first - 1, first + 1] {
        assert_eq!(ok(store.put_since(&ann, &item, since).await), None);
        assert_eq!(ok(store.remove_since(&ann, &bob, since).await), None);
    }
    let roster = ok(store.load(&ann).await);
    assert_eq!((roster.version, roster.items), (first, vec![kept]));
    let second = ok(store.put_since(&ann, &item, first).await).expect("the same version");
    assert!(second > first, "version {second} after {first}");
    assert_eq!(ok(store.load(&ann).await).items, [item.clone()]);
    let third = ok(store.remove_since(&ann, &bob, second).await).expect("the same version");
    let roster = ok(store.load(&ann).await);
    assert_eq!((roster.version, roster.items), (third, vec![]));
    assert!(third > second, "version {third} after {second}");
}

async fn of_changes_on_the_same_condition_one_is_made(stores: Stores) {
    let store = stores.rosters;
    let ann = bare("ann@example.com");
    let mut since = 0;
    for round in 0..20 {
        let items = (0..10).map(|n| RosterItem::new(bare(&format!("c{round}.{n}@example.com"))));
        let items: Vec<_> = items.collect();
        let puts = items.iter().map(|item| store.put_since(&ann, item, since));
        let made: Vec<_> = at_once(puts).await.into_iter().filter_map(ok).collect();
        let roster = ok(store.load(&ann).await);
        assert_eq!(made, [roster.version], "changes that were made");
        assert_eq!(roster.items.len(), round + 1, "items after {round} rounds");
        since = roster.version;
    }
}

async fn a_roster_begins_empty_and_grows(stores: Stores) {
    let store = stores.rosters;
    let ann = bare("ann@example.com");
    let roster = ok(store.load(&ann).await);
    assert_eq!((roster.version, roster.items), (0, vec![]), "at first");

    let mut item = RosterItem::new(bare("bob@example.com"));
    let first = ok(store.put(&ann, &item).await);
    assert!(first > 0, "the version has not grown from 0");
    let roster = ok(store.load(&ann).await);
    assert_eq!(roster.version, first, "version of the change and as loaded");
    assert_eq!(roster.items, [item.clone()], "one item");

    item.name = Some("Bob".into());
    item.groups = vec!["Friends".into()];
    let second = ok(store.put(&ann, &item).await);
    assert!(second > first, "version {second} after {first}");
    let roster = ok(store.load(&ann).await);
    assert_eq!(
        roster.version, second,
        "version of the change and as loaded"
    );
    assert_eq!(roster.items, [item.clone()], "replaced");

    let nobody = ok(store.remove(&ann, &bare("nobody@example.com")).await);
    assert!(nobody > second, "version {nobody} after {second}");
    assert_eq!(ok(store.load(&ann).await).items, [item.clone()]);

    let removed = ok(store.remove(&ann, &item.jid).await);
    assert!(removed > nobody, "version {removed} after {nobody}");
    let roster = ok(store.load(&ann).await);
    assert_eq!((roster.version, roster.items), (removed, vec![]), "removed");
}

async fn items_come_back_as_they_were(stores: Stores) {
    let store = stores.rosters;
    let ann = longest();
    let mut items = Vec::new();
    for (to, from, flags) in (0..32).map(|bits: u32| (bits & 1 != 0, bits & 2 != 0, bits >> 2)) {
        let number = items.len();
        items.push(RosterItem {
            subscription: Subscription::of(to, from),
            ask: (flags & 1 != 0).then_some(Ask::Subscribe),
            approved: flags & 2 != 0,
            pending_in: (flags & 4 != 0).then(|| "<presence type='subscribe'/>".into()),
            ..RosterItem::new(bare(&format!("contact{number}@example.com")))
        });
    }
    for text in TEXTS.iter().chain([&""]) {
        let number = items.len();
        items.push(RosterItem {
            name: Some((*text).into()),
            groups: vec![(*text).into()],
            pending_in: Some((*text).into()),
            ..RosterItem::new(bare(&format!("contact{number}@example.com")))
        });
    }
    let mut groups: Vec<String> = TEXTS.iter().map(|text| (*text).into()).collect();
    groups.sort();
    for groups in [
        groups,
        vec!["".into(), "a".into(), "a,b".into(), "a\nb".into()],
    ] {
        let number = items.len();
        items.push(RosterItem {
            groups,
            ..RosterItem::new(bare(&format!("contact{number}@example.com")))
        });
    }
    for item in lookalikes().into_iter().map(RosterItem::new) {
        items.push(item);
    }

    // Each is put twice, the second time in place of what differs in every field.
    let other = RosterItem {
        jid: ann.clone(),
        name: Some("other".into()),
        groups: vec!["other".into()],
        subscription: Subscription::Both,
        ask: Some(Ask::Subscribe),
        pending_in: Some("other".into()),
        approved: true,
    };
    for item in &items {
        let jid = item.jid.clone();
        let other = RosterItem {
            jid,
            ..other.clone()
        };
        ok(store.put(&ann, &other).await);
    }
    for item in &items {
        ok(store.put(&ann, item).await);
    }
    let mut found = ok(store.load(&ann).await).items;
    found.sort_by(|a, b| a.jid.cmp(&b.jid));
    items.sort_by(|a, b| a.jid.cmp(&b.jid));
    assert_eq!(found.len(), items.len(), "items in the roster");
    for (found, wanted) in found.iter().zip(&items) {
        assert_eq!(found, wanted);
    }
}

async fn rosters_do_not_see_each_other(stores: Stores) {
    let store = stores.rosters;
    let all = lookalikes();
    let contact = bare("contact@example.com");
    for owner in &all {
        let roster = ok(store.load(owner).await);
        assert_eq!(roster.items, [], "roster of {owner} at first");
        let mut item = RosterItem::new(contact.clone());
        item.name = Some(owner.to_string());
        ok(store.put(owner, &item).await);
    }
    for owner in &all {
        let roster = ok(store.load(owner).await);
        let names: Vec<_> = roster.items.iter().map(|item| &item.name).collect();
        assert_eq!(names, [&Some(owner.to_string())], "roster of {owner}");
    }
    ok(store.remove(&all[0], &contact).await);
    for owner in &all[1..] {
        let roster = ok(store.load(owner).await);
        assert_eq!(roster.items.len(), 1, "roster of {owner}");
    }
}

async fn changes_come_one_after_another(stores: Stores) {
    let store = stores.rosters;
    let (ann, bob) = (bare("ann@example.com"), bare("bob@example.com"));
    let contact = bare("contact@example.com");
    let items: Vec<_> = (0..500)
        .map(|number| {
            let jid = match number % 2 {
                0 => contact.clone(),
                _ => bare(&format!("contact{number}@example.com")),
            };
            let name = Some(number.to_string());
            RosterItem {
                name,
                ..RosterItem::new(jid)
            }
        })
        .collect();
    let owners = [&ann, &bob];
    let puts = items.iter().enumerate();
    let versions = at_once(puts.map(|(i, item)| store.put(owners[i / 2 % 2], item))).await;
    let versions: Vec<u64> = versions.into_iter().map(ok).collect();
    for (owner, owned) in owners.iter().zip([0, 1]) {
        let of_owner = |i: &usize| i / 2 % 2 == owned;
        let grown: Vec<u64> = (0..500).filter(of_owner).map(|i| versions[i]).collect();
        assert!(
            grown.is_sorted_by(|a, b| a < b),
            "versions of changes made at once: {grown:?}"
        );
        let roster = ok(store.load(owner).await);
        assert_eq!(Some(&roster.version), grown.last(), "the last version");
        assert_eq!(roster.items.len(), 126, "items put at once");
        let last = roster.items.iter().find(|item| item.jid == contact);
        let name = last.and_then(|item| item.name.clone());
        let wanted = (0..500).filter(of_owner).filter(|i| i % 2 == 0).max();
        assert_eq!(
            name,
            wanted.map(|i| i.to_string()),
            "of changes to one item the last has to win"
        );
    }
}

async fn large_rosters_are_kept(stores: Stores) {
    let store = stores.rosters;
    let ann = bare("ann@example.com");
    let mut items: Vec<_> = (0..2000)
        .map(|i| RosterItem::new(bare(&format!("contact{i}@example.com"))))
        .collect();
    items[0].name = Some(large());
    items[0].groups = vec![large()];
    items[0].pending_in = Some(large());
    items[1].groups = (1000..1500).map(|i| format!("Group {i}")).collect();
    for put in at_once(items.iter().map(|item| store.put(&ann, item))).await {
        ok(put);
    }
    let mut found = ok(store.load(&ann).await).items;
    found.sort_by(|a, b| a.jid.cmp(&b.jid));
    items.sort_by(|a, b| a.jid.cmp(&b.jid));
    assert!(found == items, "a roster of 2000 items is not the same");
}

async fn a_forgotten_roster_is_gone_and_its_version_does_not_return(stores: Stores) {
    let store = stores.rosters;
    let (ann, bob) = (bare("ann@example.com"), bare("bob@example.com"));
    let item = RosterItem::new(bare("contact@example.com"));
    ok(store.put(&bob, &item).await);
    ok(store.put(&ann, &item).await);
    let last = ok(store.put(&ann, &item).await);
    ok(store.forget(&ann).await);
    ok(store.forget(&ann).await);
    let roster = ok(store.load(&ann).await);
    assert_eq!(roster.items, [], "forgotten");
    assert!(
        roster.version == 0 || roster.version > last,
        "version {} after {last}: a client would think that nothing has changed",
        roster.version
    );
    let next = ok(store.put(&ann, &item).await);
    assert!(next > last, "version {next} after {last} was forgotten");
    let others = ok(store.load(&bob).await);
    assert_eq!(others.items, [item], "the roster of another");
}
