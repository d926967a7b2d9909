//! What [`Accounts`](crate::store::Accounts) promises.

use super::{TEXTS, assert_same, at_once, bare, create, credentials, lookalikes, ok};
use crate::BareJid;
use crate::sasl::{Credentials, Hash};
use crate::store::{Accounts, Stores};
use crate::time::Timestamp;

/// Tests [`Accounts`](crate::store::Accounts).
pub async fn accounts(make: impl AsyncFn() -> Stores) {
    an_account_is_there_from_its_creation_to_its_deletion(make().await).await;
    credentials_come_back_as_they_were(make().await).await;
    accounts_do_not_see_each_other(make().await).await;
    many_are_created_in_one_go(make().await).await;
    a_domain_is_listed_page_by_page(make().await).await;
    last_activity_is_kept(make().await).await;
    of_many_that_create_one_account_one_does(make().await).await;
}

/// The credentials of an account, with their keys in the order of [`credentials`]: a store
/// need not keep it.
async fn stored(store: &dyn Accounts, account: &BareJid) -> Option<Credentials> {
    let found = ok(store.credentials(account).await)?;
    let keys = Hash::ALL.into_iter().filter_map(|hash| found.keys(hash));
    Some(keys.cloned().collect())
}

async fn an_account_is_there_from_its_creation_to_its_deletion(stores: Stores) {
    let store = stores.accounts;
    let ann = bare("ann@example.com");
    assert!(!ok(store.exists(&ann).await), "exists in an empty store");
    assert_eq!(stored(&*store, &ann).await, None, "in an empty store");
    assert!(
        !ok(store.set_credentials(&ann, &credentials(1)).await),
        "credentials of an account that is not there were set"
    );
    assert!(
        !ok(store.exists(&ann).await),
        "setting credentials has created an account"
    );
    assert!(
        !ok(store.delete(&ann).await),
        "an account that is not there was deleted"
    );

    assert!(
        ok(store.create(&ann, &credentials(1)).await),
        "was there before it was created"
    );
    assert!(ok(store.exists(&ann).await), "does not exist once created");
    assert!(
        !ok(store.create(&ann, &credentials(2)).await),
        "was created twice"
    );
    let found = stored(&*store, &ann).await;
    assert_eq!(
        found,
        Some(credentials(1)),
        "the second creation has changed the account"
    );
    assert!(
        ok(store.set_credentials(&ann, &credentials(3)).await),
        "credentials could not be set"
    );
    let found = stored(&*store, &ann).await;
    assert_eq!(found, Some(credentials(3)), "not replaced");

    assert!(ok(store.delete(&ann).await), "could not be deleted");
    assert!(!ok(store.delete(&ann).await), "was deleted twice");
    assert!(!ok(store.exists(&ann).await), "exists after its deletion");
    let found = stored(&*store, &ann).await;
    assert_eq!(found, None, "after the deletion");
    assert!(
        ok(store.create(&ann, &credentials(4)).await),
        "could not be created again"
    );
    let found = stored(&*store, &ann).await;
    assert_eq!(found, Some(credentials(4)), "created again");
}

async fn credentials_come_back_as_they_were(stores: Stores) {
    let store = stores.accounts;
    let all: Vec<_> = credentials(7).iter().cloned().collect();
    let subsets: Vec<Credentials> = (0..1 << all.len())
        .map(|set: usize| {
            let chosen = all.iter().enumerate().filter(|(i, _)| set & (1 << i) != 0);
            chosen.map(|(_, keys)| keys.clone()).collect()
        })
        .collect();
    let ann = bare("ann@example.com");
    ok(store.create(&ann, &credentials(1)).await);
    for (i, wanted) in subsets.iter().enumerate() {
        let new = bare(&format!("user{i}@example.com"));
        ok(store.create(&new, wanted).await);
        ok(store.set_credentials(&ann, wanted).await);
        for account in [&new, &ann] {
            let found = stored(&*store, account).await;
            let found = found.expect("an account without keys is an account");
            for keys in &all {
                let hash = keys.hash();
                assert_eq!(found.keys(hash), wanted.keys(hash), "keys of {hash:?}");
            }
        }
    }
}

async fn accounts_do_not_see_each_other(stores: Stores) {
    let store = stores.accounts;
    let all = lookalikes();
    for (i, account) in all.iter().enumerate() {
        assert!(
            ok(store.create(account, &credentials(i as u8)).await),
            "{account} was taken for another"
        );
    }
    for (i, account) in all.iter().enumerate() {
        let found = stored(&*store, account).await;
        assert_eq!(found, Some(credentials(i as u8)), "{account}");
    }
    for (i, account) in all.iter().enumerate() {
        ok(store.delete(account).await);
        for (j, other) in all.iter().enumerate() {
            let there = ok(store.exists(other).await);
            assert_eq!(there, j > i, "{other} after {account} was deleted");
        }
    }
}

async fn many_are_created_in_one_go(stores: Stores) {
    let store = stores.accounts;
    let many: Vec<(BareJid, Credentials)> = (0..1000)
        .map(|i| {
            let account = bare(&format!("user{i}@example.com"));
            (account, credentials(i as u8))
        })
        .collect();
    assert_eq!(ok(store.create_many(&[]).await), 0, "created of none");
    assert_eq!(ok(store.create_many(&many[..10]).await), 10);
    let changed: Vec<_> = many[..12]
        .iter()
        .chain(&many[..12])
        .map(|(account, _)| (account.clone(), credentials(255)))
        .collect();
    assert_eq!(
        ok(store.create_many(&changed).await),
        2,
        "of twelve named twice two were new"
    );
    assert_eq!(ok(store.create_many(&many).await), 988, "new ones");
    for (i, (account, wanted)) in many.iter().enumerate() {
        let found = stored(&*store, account).await;
        let wanted = match i {
            10 | 11 => credentials(255),
            _ => wanted.clone(),
        };
        assert_eq!(found, Some(wanted), "{account}");
    }
}

async fn a_domain_is_listed_page_by_page(stores: Stores) {
    let store = stores.accounts;
    let mut wanted = Vec::new();
    for account in lookalikes() {
        create_one(&*store, &account).await;
        if account.domain() == "example.com" {
            wanted.push(account);
        }
    }
    for i in 0..25 {
        let account = bare(&format!("user{i}@example.com"));
        create_one(&*store, &account).await;
        wanted.push(account);
    }
    wanted.sort();

    let all = ok(store.list("example.com", None, 1000).await);
    assert_eq!(all, wanted, "the accounts of a domain in their order");
    let none = ok(store.list("example.com", None, 0).await);
    assert!(none.is_empty(), "at most none");
    let none = ok(store.list("example", None, 9).await);
    assert!(none.is_empty(), "accounts of a domain that has none");
    let none = ok(store.list("%", None, 9).await);
    assert!(none.is_empty(), "accounts of a domain that has none");

    let mut paged: Vec<BareJid> = Vec::new();
    loop {
        let page = ok(store.list("example.com", paged.last(), 7).await);
        assert!(page.len() <= 7, "a page of {}", page.len());
        if page.is_empty() {
            break;
        }
        paged.extend(page);
        assert!(paged.len() <= wanted.len(), "pages overlap: {paged:?}");
    }
    assert_eq!(paged, wanted, "page by page");

    let gone = wanted[9].clone();
    ok(store.delete(&gone).await);
    let page = ok(store.list("example.com", Some(&gone), 1).await);
    assert_eq!(page, wanted[10..11], "the one after a deleted one");
}

async fn create_one(store: &dyn Accounts, account: &BareJid) {
    ok(store.create(account, &Credentials::default()).await);
}

async fn last_activity_is_kept(stores: Stores) {
    let (ann, bob) = (bare("ann@example.com"), bare("bob@example.com"));
    create(&stores, &ann).await;
    create(&stores, &bob).await;
    let store = stores.accounts;
    assert_eq!(ok(store.last_activity(&ann).await), None, "never seen");
    let times = [0, 1, -1, 1_795_408_140_123, i64::MAX, i64::MIN];
    let statuses = TEXTS.iter().chain([&""]);
    for (at, status) in times.into_iter().cycle().zip(statuses) {
        let at = Timestamp(at);
        ok(store.set_last_activity(&ann, at, status).await);
        let found = ok(store.last_activity(&ann).await);
        assert_eq!(found, Some((at, (*status).to_owned())));
    }
    assert_eq!(ok(store.last_activity(&bob).await), None, "of another");
    ok(store.set_credentials(&ann, &credentials(2)).await);
    let found = ok(store.last_activity(&ann).await);
    assert!(found.is_some(), "a new password has deleted it");

    let nobody = bare("nobody@example.com");
    ok(store.set_last_activity(&nobody, Timestamp(1), "").await);
    assert_eq!(ok(store.last_activity(&nobody).await), None, "of nobody");
    assert!(!ok(store.exists(&nobody).await), "an account was created");
}

async fn of_many_that_create_one_account_one_does(stores: Stores) {
    let store = stores.accounts;
    let ann = bare("ann@example.com");
    let several: Vec<_> = (0..32).map(credentials).collect();
    let created = at_once(several.iter().map(|one| store.create(&ann, one))).await;
    let created: Vec<_> = created.into_iter().map(ok).collect();
    assert_eq!(
        created.iter().position(|new| *new),
        Some(0),
        "the first to create an account does"
    );
    assert_same(
        created,
        vec![true].into_iter().chain(vec![false; 31]).collect(),
        "created",
    );
    let found = stored(&*store, &ann).await;
    assert_eq!(found, Some(credentials(0)), "those of the first");
}
