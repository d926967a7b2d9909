//! What [`Outbox`](crate::store::Outbox) promises.

use super::{TEXTS, at_once, bare, large, longest, ok};
use crate::BareJid;
use crate::store::{Outbox, QueuedStanza, Stores};
use crate::time::Timestamp;

/// Tests [`Outbox`](crate::store::Outbox).
pub async fn outbox(make: impl AsyncFn() -> Stores) {
    stanzas_come_back_as_they_were(make().await).await;
    stanzas_are_read_page_by_page(make().await).await;
    what_is_not_named_stays(make().await).await;
    stanzas_of_another_domain_are_left_alone(make().await).await;
    stanzas_keep_their_order(make().await).await;
    an_id_is_not_given_twice(make().await).await;
}

/// More than there are.
const ALL: usize = 100_000;

fn stanzas(texts: &[&str]) -> Vec<(Timestamp, String)> {
    let stanza = |text: &&str| (Timestamp(1), (*text).to_owned());
    texts.iter().map(stanza).collect()
}

async fn put(store: &dyn Outbox, domain: &BareJid, texts: &[&str]) -> Vec<u64> {
    let ids = ok(store.enqueue(domain, &stanzas(texts)).await);
    assert_eq!(ids.len(), texts.len(), "an id for each");
    ids
}

async fn all(store: &dyn Outbox, domain: &BareJid) -> Vec<QueuedStanza> {
    let all = ok(store.queued(domain, 0, ALL).await);
    let ids: Vec<u64> = all.iter().map(|stanza| stanza.id).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "ids do not grow: {ids:?}");
    assert!(!ids.contains(&0), "0 is no id, but where pages begin");
    all
}

async fn texts(store: &dyn Outbox, domain: &BareJid) -> Vec<String> {
    let all = all(store, domain).await.into_iter();
    all.map(|stanza| stanza.xml).collect()
}

async fn stanzas_come_back_as_they_were(stores: Stores) {
    let store = stores.outbox;
    let large = large();
    let times = [0, 1, -1, 1_795_408_140_123, i64::MAX, i64::MIN];
    let texts = TEXTS.iter().copied().chain([&*large, ""]);
    let wanted: Vec<(Timestamp, String)> = times
        .iter()
        .cycle()
        .zip(texts)
        .map(|(at, text)| (Timestamp(*at), text.to_owned()))
        .collect();
    for domain in [bare("example.com"), longest().domain_jid()] {
        assert_eq!(all(&*store, &domain).await, [], "at first");
        let none = ok(store.enqueue(&domain, &[]).await);
        assert!(none.is_empty(), "ids for nothing");
        let ids = ok(store.enqueue(&domain, &wanted).await);
        let found = all(&*store, &domain).await;
        assert_eq!(found.len(), wanted.len(), "stanzas");
        for ((found, (at, xml)), id) in found.iter().zip(&wanted).zip(ids) {
            assert!(found.xml == *xml, "{:?} instead of {xml:?}", found.xml);
            assert_eq!(found.at, *at, "time of {xml:?}");
            assert_eq!(found.id, id, "id of {xml:?}");
        }
    }
}

async fn stanzas_are_read_page_by_page(stores: Stores) {
    let store = stores.outbox;
    let domain = bare("example.com");
    let wanted = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    put(&*store, &domain, &wanted[..3]).await;
    put(&*store, &domain, &wanted[3..]).await;
    for limit in [1, 4, 10, usize::MAX] {
        let (mut read, mut after) = (Vec::new(), 0);
        loop {
            let page = ok(store.queued(&domain, after, limit).await);
            assert!(page.len() <= limit, "{limit} asked for: {page:?}");
            let Some(last) = page.last() else { break };
            after = last.id;
            read.extend(page.into_iter().map(|stanza| stanza.xml));
            assert!(read.len() <= wanted.len(), "pages repeat: {read:?}");
        }
        assert_eq!(read, wanted, "{limit} at a time");
    }
    assert_eq!(ok(store.queued(&domain, u64::MAX, 4).await), [], "behind");
    assert_eq!(ok(store.queued(&domain, 0, 0).await), [], "at most none");
}

async fn what_is_not_named_stays(stores: Stores) {
    let store = stores.outbox;
    let domain = bare("example.com");
    let ids = put(&*store, &domain, &["0", "1", "2", "3", "4", "5"]).await;
    ok(store.dequeue(&domain, &[]).await);
    assert_eq!(texts(&*store, &domain).await.len(), 6, "nothing is named");
    // The one between them was answered before.
    ok(store.dequeue(&domain, &[ids[1], ids[3]]).await);
    assert_eq!(texts(&*store, &domain).await, ["0", "2", "4", "5"]);
    ok(store.dequeue(&domain, &[ids[4], ids[1], ids[0]]).await);
    assert_eq!(texts(&*store, &domain).await, ["2", "5"], "in no order");
    ok(store.dequeue(&domain, &[0, u64::MAX]).await);
    assert_eq!(texts(&*store, &domain).await, ["2", "5"], "ids of none");
    ok(store.dequeue(&domain, &ids).await);
    assert_eq!(texts(&*store, &domain).await, [""; 0], "all");
}

async fn stanzas_of_another_domain_are_left_alone(stores: Stores) {
    let store = stores.outbox;
    let [ours, theirs] = ["example.com", "sub.example.com"].map(bare);
    let here = put(&*store, &ours, &["a"]).await;
    let there = put(&*store, &theirs, &["b"]).await;
    assert_eq!(texts(&*store, &ours).await, ["a"]);
    assert_eq!(texts(&*store, &theirs).await, ["b"]);
    ok(store.dequeue(&ours, &there).await);
    ok(store.dequeue(&theirs, &here).await);
    assert_eq!(texts(&*store, &ours).await, ["a"], "ids of another domain");
    assert_eq!(
        texts(&*store, &theirs).await,
        ["b"],
        "ids of another domain"
    );
}

async fn stanzas_keep_their_order(stores: Stores) {
    let store = stores.outbox;
    let domain = bare("example.com");
    let numbers: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    let puts = numbers.chunks(3).map(|chunk| {
        let stanzas = chunk.iter().map(|text| (Timestamp(1), text.clone()));
        let stanzas: Vec<_> = stanzas.collect();
        let (store, domain) = (&store, &domain);
        async move { store.enqueue(domain, &stanzas).await }
    });
    let ids: Vec<u64> = at_once(puts).await.into_iter().flat_map(ok).collect();
    let found = all(&*store, &domain).await;
    let texts: Vec<&str> = found.iter().map(|stanza| &*stanza.xml).collect();
    assert_eq!(texts, numbers, "of calls made at once");
    let found: Vec<u64> = found.iter().map(|stanza| stanza.id).collect();
    assert_eq!(found, ids, "ids of calls made at once");
}

async fn an_id_is_not_given_twice(stores: Stores) {
    let store = stores.outbox;
    let domain = bare("example.com");
    let old = put(&*store, &domain, &["0", "1"]).await;
    ok(store.dequeue(&domain, &old).await);
    let new = put(&*store, &domain, &["2"]).await;
    assert!(new[0] > old[1], "{new:?} after {old:?}");
    let page = ok(store.queued(&domain, old[1], ALL).await);
    assert_eq!(page.len(), 1, "an id was given again after a deletion");
}
