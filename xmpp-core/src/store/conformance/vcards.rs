//! What [`VCards`](crate::store::VCards) promises.

use super::{TEXTS, at_once, bare, large, lookalikes, ok};
use crate::store::Stores;

/// Tests [`VCards`](crate::store::VCards).
pub async fn vcards(make: impl AsyncFn() -> Stores) {
    vcards_come_back_as_they_were(make().await).await;
    vcards_do_not_see_each_other(make().await).await;
    forgotten_vcards_are_gone(make().await).await;
}

async fn vcards_come_back_as_they_were(stores: Stores) {
    let store = stores.vcards;
    let ann = bare("ann@example.com");
    assert_eq!(ok(store.load(&ann).await), None, "at first");
    let large = large();
    for text in TEXTS.iter().copied().chain([&*large, ""]) {
        ok(store.save(&ann, text).await);
        let found = ok(store.load(&ann).await);
        assert!(found.as_deref() == Some(text), "{found:?} for {text:?}");
    }
    let numbers: Vec<String> = (0..100).map(|i| i.to_string()).collect();
    for saved in at_once(numbers.iter().map(|text| store.save(&ann, text))).await {
        ok(saved);
    }
    let found = ok(store.load(&ann).await);
    assert_eq!(
        found.as_deref(),
        Some("99"),
        "of calls made at once the last wins"
    );
}

async fn vcards_do_not_see_each_other(stores: Stores) {
    let store = stores.vcards;
    let all = lookalikes();
    for account in &all {
        assert_eq!(ok(store.load(account).await), None, "{account} at first");
        ok(store.save(account, account.as_str()).await);
    }
    for account in &all {
        let found = ok(store.load(account).await);
        assert_eq!(found.as_deref(), Some(account.as_str()));
    }
}

async fn forgotten_vcards_are_gone(stores: Stores) {
    let store = stores.vcards;
    let (ann, bob) = (bare("ann@example.com"), bare("bob@example.com"));
    for account in [&ann, &bob] {
        ok(store.save(account, "<vCard/>").await);
    }
    ok(store.forget(&ann).await);
    ok(store.forget(&ann).await);
    assert_eq!(ok(store.load(&ann).await), None, "forgotten");
    assert!(ok(store.load(&bob).await).is_some(), "of another");
}
