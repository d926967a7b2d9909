//! What [`PrivateXml`](crate::store::PrivateXml) promises.

use super::{LARGE, TEXTS, at_once, bare, element, large, lookalikes, ok};
use crate::BareJid;
use crate::store::{PrivateXml, Stores};

/// Tests [`PrivateXml`](crate::store::PrivateXml).
pub async fn private_xml(make: impl AsyncFn() -> Stores) {
    elements_come_back_as_they_were(make().await).await;
    elements_do_not_see_each_other(make().await).await;
    the_limit_is_the_sum_of_all_elements(make().await).await;
    several_elements_are_saved_as_one(make().await).await;
    saves_come_one_after_another(make().await).await;
    forgotten_elements_are_gone(make().await).await;
}

/// Saves one element.
async fn save(
    store: &dyn PrivateXml,
    account: &BareJid,
    [name, namespace, xml]: [&str; 3],
    limit: usize,
) -> bool {
    let element = element(name, namespace, xml);
    ok(store.save(account, &[element], limit).await)
}

async fn elements_come_back_as_they_were(stores: Stores) {
    let store = stores.private_xml;
    let ann = bare("ann@example.com");
    assert_eq!(ok(store.load(&ann, "x", "urn:x").await), None, "at first");
    let large = large();
    for text in TEXTS.iter().copied().chain([&*large, ""]) {
        let saved = save(&*store, &ann, ["x", "urn:x", text], LARGE).await;
        assert!(saved, "refused below the limit");
        let found = ok(store.load(&ann, "x", "urn:x").await);
        assert!(found.as_deref() == Some(text), "{found:?} for {text:?}");
    }
}

async fn elements_do_not_see_each_other(stores: Stores) {
    let store = stores.private_xml;
    let mut all = Vec::new();
    for account in lookalikes() {
        for (name, namespace) in [
            ("x", "urn:x"),
            ("y", "urn:x"),
            ("x", "urn:y"),
            ("urn:x", "x"),
        ] {
            all.push((account.clone(), name, namespace));
        }
    }
    for text in TEXTS {
        all.push((bare("ann@example.com"), "x", text));
        all.push((bare("ann@example.com"), text, "x"));
    }
    all.sort();
    all.dedup();
    for (i, (account, name, namespace)) in all.iter().enumerate() {
        let found = ok(store.load(account, name, namespace).await);
        assert_eq!(found, None, "{{{namespace}}}{name} of {account} at first");
        let xml = i.to_string();
        let saved = save(&*store, account, [name, namespace, &xml], LARGE).await;
        assert!(saved, "refused below the limit");
    }
    for (i, (account, name, namespace)) in all.iter().enumerate() {
        let found = ok(store.load(account, name, namespace).await);
        assert_eq!(
            found,
            Some(i.to_string()),
            "{{{namespace}}}{name} of {account}"
        );
    }
}

async fn the_limit_is_the_sum_of_all_elements(stores: Stores) {
    let store = stores.private_xml;
    let (ann, bob) = (bare("ann@example.com"), bare("bob@example.com"));
    let others = save(&*store, &bob, ["x", "urn:x", "123"], 3);
    let save =
        async |name: &str, xml: &str, limit| save(&*store, &ann, [name, "urn:x", xml], limit).await;
    let load = async |name: &str| ok(store.load(&ann, name, "urn:x").await);
    assert!(!save("a", "12345", 4).await, "5 octets with a limit of 4");
    assert_eq!(load("a").await, None, "refused");
    assert!(save("a", "12345", 5).await, "5 octets with a limit of 5");
    assert!(!save("b", "1", 5).await, "6 octets with a limit of 5");
    assert!(save("b", "12345", 10).await, "10 octets with a limit of 10");
    assert!(
        save("a", "abcde", 10).await,
        "what is replaced does not count"
    );
    assert!(
        !save("a", "abcdef", 10).await,
        "11 octets with a limit of 10"
    );
    assert_eq!(
        load("a").await.as_deref(),
        Some("abcde"),
        "as before the refusal"
    );
    assert!(save("a", "äb", 8).await, "3 octets and 5 with a limit of 8");
    assert!(
        !save("a", "äö", 8).await,
        "the limit counts octets, not characters"
    );
    assert!(save("b", "", 3).await, "no octets");
    assert!(!save("c", "1", 3).await, "4 octets with a limit of 3");
    assert!(others.await, "the limit counts what another account has");
}

async fn several_elements_are_saved_as_one(stores: Stores) {
    let store = stores.private_xml;
    let ann = bare("ann@example.com");
    let save = async |elements: &[(&str, &str)], limit| {
        let elements = elements
            .iter()
            .map(|(name, xml)| element(name, "urn:x", xml));
        let elements: Vec<_> = elements.collect();
        ok(store.save(&ann, &elements, limit).await)
    };
    let load = async |names: &[&str]| {
        let mut found = Vec::new();
        for name in names {
            found.push(ok(store.load(&ann, name, "urn:x").await));
        }
        found
            .iter()
            .map(|xml| xml.as_deref().unwrap_or("none"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert!(save(&[], 0).await, "nothing is refused");
    assert!(save(&[("a", "1"), ("b", "22"), ("c", "333")], 6).await);
    assert_eq!(load(&["a", "b", "c"]).await, "1 22 333", "all of three");
    // The first fits by itself, and so does the last.
    let more = [("a", "A"), ("d", "4444"), ("e", "")];
    assert!(!save(&more, 9).await, "10 octets with a limit of 9");
    let all = ["a", "b", "c", "d", "e"];
    assert_eq!(load(&all).await, "1 22 333 none none", "refused");
    assert!(save(&more, 10).await, "10 octets with a limit of 10");
    assert_eq!(load(&all).await, "A 22 333 4444 ", "some new, some not");
    // What shrinks makes room for what grows, whatever their order.
    assert!(save(&[("b", "55555"), ("d", "1")], 10).await, "10 octets");
    assert!(save(&[("b", "2"), ("d", "55555")], 10).await, "10 octets");
    assert_eq!(load(&all).await, "A 2 333 55555 ", "replaced");
}

async fn saves_come_one_after_another(stores: Stores) {
    let store = stores.private_xml;
    let ann = bare("ann@example.com");
    let texts: Vec<_> = (0..100)
        .map(|i| (format!("n{}", i % 10), i.to_string()))
        .collect();
    let saves = texts
        .iter()
        .map(|(name, xml)| save(&*store, &ann, [name, "urn:x", xml], 18));
    let saved: Vec<bool> = at_once(saves).await;
    // Ten of one octet; then of two octets as long as the sum is within 18.
    for (i, (name, _)) in texts[..10].iter().enumerate() {
        let wanted = (0..10).rev().map(|ten| ten * 10 + i).find(|n| saved[*n]);
        let found = ok(store.load(&ann, name, "urn:x").await);
        assert_eq!(found, wanted.map(|n| n.to_string()), "the last of {name}");
    }
    let wanted: Vec<bool> = (0..100).map(|i| i < 10 || i % 10 < 8).collect();
    assert_eq!(
        saved, wanted,
        "which of the calls made at once were within the limit"
    );
}

async fn forgotten_elements_are_gone(stores: Stores) {
    let store = stores.private_xml;
    let (ann, bob) = (bare("ann@example.com"), bare("bob@example.com"));
    for account in [&ann, &bob] {
        assert!(save(&*store, account, ["x", "urn:x", "12345"], 5).await);
    }
    ok(store.forget(&ann).await);
    ok(store.forget(&ann).await);
    assert_eq!(ok(store.load(&ann, "x", "urn:x").await), None, "forgotten");
    let others = ok(store.load(&bob, "x", "urn:x").await);
    assert!(others.is_some(), "forgot what another account has");
    let saved = save(&*store, &ann, ["y", "urn:x", "12345"], 5).await;
    assert!(saved, "what was forgotten counts for the limit");
}
