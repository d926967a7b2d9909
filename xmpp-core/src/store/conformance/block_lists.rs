//! What [`BlockLists`](crate::store::BlockLists) promises.

use super::{assert_same, at_once, bare, jid, longest, lookalikes, ok};
use crate::Jid;
use crate::jid::PART_LEN_MAX;
use crate::store::Stores;

/// Tests [`BlockLists`](crate::store::BlockLists).
pub async fn block_lists(make: impl AsyncFn() -> Stores) {
    entries_are_added_and_removed(make().await).await;
    lists_do_not_see_each_other(make().await).await;
    changes_come_one_after_another(make().await).await;
    long_lists_are_kept(make().await).await;
    a_forgotten_list_is_gone(make().await).await;
}

async fn entries_are_added_and_removed(stores: Stores) {
    let store = stores.block_lists;
    let ann = longest();
    let change = async |add: &[Jid], remove: &[Jid]| ok(store.change(&ann, add, remove).await);
    let check = async |wanted: &[Jid], what: &str| {
        assert_same(ok(store.load(&ann).await), wanted.to_vec(), what);
    };
    check(&[], "at first").await;
    change(&[], &[]).await;
    check(&[], "after no change").await;

    // XEP-0191 §3 names four forms of an entry.
    let forms = [
        "bob@example.com/Büro 🏢 'x' \"y\" a/b@c",
        "bob@example.com",
        "example.com/bob",
        "example.com",
        "bob@example.com/büro",
        "bob@example.com/BÜRO",
        "日本@example.com/日本",
    ]
    .map(jid);
    let resource = "r".repeat(PART_LEN_MAX);
    let with_resource = longest().with_resource(&resource);
    let longest = Jid::from(with_resource.expect("of the greatest length allowed"));
    let forms = [&forms[..], &[longest]].concat();
    change(&forms, &[]).await;
    check(&forms, "every form of an entry").await;
    change(&forms[..2], &[]).await;
    check(&forms, "added what was there").await;
    let twice = [forms[0].clone(), forms[0].clone()];
    change(&twice, &[]).await;
    check(&forms, "added twice in one change").await;
    change(&[], &[forms[0].clone(), jid("nobody@example.com")]).await;
    check(
        &forms[1..],
        "removed one that was there and one that was not",
    )
    .await;
    change(&forms[..1], &forms[1..3]).await;
    let wanted = [&forms[..1], &forms[3..]].concat();
    check(&wanted, "added and removed in one change").await;
    change(&forms[..2], &forms[..2]).await;
    let wanted = [&forms[..2], &forms[3..]].concat();
    check(&wanted, "what is added and removed in one change is there").await;
    change(&[], &forms).await;
    check(&[], "all removed").await;
}

async fn lists_do_not_see_each_other(stores: Stores) {
    let store = stores.block_lists;
    let all = lookalikes();
    let spam = jid("spam.example");
    for account in &all {
        let found = ok(store.load(account).await);
        assert!(found.is_empty(), "{account} at first: {found:?}");
        let add = [account.as_jid().clone(), spam.clone()];
        ok(store.change(account, &add, &[]).await);
    }
    ok(store
        .change(&all[0], &[], std::slice::from_ref(&spam))
        .await);
    for account in &all[1..] {
        let wanted = vec![account.as_jid().clone(), spam.clone()];
        assert_same(ok(store.load(account).await), wanted, account.as_str());
    }
}

async fn changes_come_one_after_another(stores: Stores) {
    let store = stores.block_lists;
    let ann = bare("ann@example.com");
    let entries: Vec<Vec<Jid>> = (0..=100)
        .map(|i| vec![jid(&format!("spam{i}.example"))])
        .collect();
    let changes = entries
        .windows(2)
        .map(|pair| store.change(&ann, &pair[1], &pair[0]));
    for changed in at_once(changes).await {
        ok(changed);
    }
    let found = ok(store.load(&ann).await);
    assert_eq!(
        found, entries[100],
        "each change removes what the one before added"
    );
}

async fn long_lists_are_kept(stores: Stores) {
    let store = stores.block_lists;
    let ann = bare("ann@example.com");
    let entries: Vec<Jid> = (0..3000)
        .map(|i| jid(&format!("spammer{i}@example.com")))
        .collect();
    ok(store.change(&ann, &entries, &[]).await);
    assert_same(ok(store.load(&ann).await), entries.clone(), "3000 entries");
    ok(store.change(&ann, &[], &entries[1..]).await);
    assert_eq!(ok(store.load(&ann).await), entries[..1], "one is left");
}

async fn a_forgotten_list_is_gone(stores: Stores) {
    let store = stores.block_lists;
    let (ann, bob) = (bare("ann@example.com"), bare("bob@example.com"));
    let entry = [jid("spam.example")];
    for account in [&ann, &bob] {
        ok(store.change(account, &entry, &[]).await);
    }
    ok(store.forget(&ann).await);
    ok(store.forget(&ann).await);
    assert!(ok(store.load(&ann).await).is_empty(), "forgotten");
    assert_eq!(ok(store.load(&bob).await), entry, "of another");
}
