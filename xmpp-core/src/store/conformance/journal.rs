//! What [`Journal`](crate::store::Journal) promises.

use std::sync::Arc;

use super::{bare, lookalikes, ok};
use crate::BareJid;
use crate::store::{Journal, JournalEntry, Mark, Record};
use crate::time::Timestamp;

/// Tests [`Journal`](crate::store::Journal).
pub async fn journal(make: impl AsyncFn() -> Arc<dyn Journal>) {
    what_is_beside_the_records_is_kept(&*make().await).await;
    records_are_in_the_order_of_their_last_change(&*make().await).await;
    records_of_accounts_do_not_see_each_other(&*make().await).await;
    a_page_is_bounded(&*make().await).await;
}

fn record(account: &BareJid, key: &str, body: &[u8]) -> Record {
    Record {
        account: account.clone(),
        key: key.into(),
        body: body.into(),
        source: 0,
        number: 0,
    }
}

async fn put(journal: &dyn Journal, put: Vec<Record>) -> u64 {
    let entry = JournalEntry {
        put,
        ..JournalEntry::default()
    };
    ok(journal.write(&entry).await)
}

async fn keys(journal: &dyn Journal, after: u64) -> Vec<String> {
    let records = ok(journal.since(after, 100, 1 << 20).await);
    let mut number = after;
    for record in &records {
        assert!(record.number > number, "numbers rise");
        number = record.number;
    }
    records.into_iter().map(|record| record.key).collect()
}

async fn what_is_beside_the_records_is_kept(journal: &dyn Journal) {
    let ann = bare("ann@example.com");
    let state = ok(journal.state(7).await);
    assert_eq!(
        (state.log, state.last, state.clock),
        (7, 0, None),
        "at first"
    );
    assert_eq!((state.heads, state.marks), (vec![], vec![]), "at first");
    assert_eq!(ok(journal.state(8).await).log, 7, "it has a name");
    let large = i64::MAX as u64;
    let mut entry = JournalEntry {
        marks: vec![
            (ann.clone(), Some(Mark::Writing)),
            (bare("bob@example.com"), Some(Mark::Applying)),
        ],
        clock: Some(Timestamp(5)),
        head: Some((large, 3)),
        ..JournalEntry::default()
    };
    ok(journal.write(&entry).await);
    entry.marks = vec![(ann.clone(), None)];
    entry.clock = Some(Timestamp(4));
    entry.head = Some((large, 2));
    entry.log = Some(9);
    ok(journal.write(&entry).await);
    let state = ok(journal.state(8).await);
    assert_eq!((state.log, state.clock), (9, Some(Timestamp(5))));
    assert_eq!(state.heads, [(large, 2)]);
    assert_eq!(state.marks, [(bare("bob@example.com"), Mark::Applying)]);
}

async fn records_are_in_the_order_of_their_last_change(journal: &dyn Journal) {
    let ann = bare("ann@example.com");
    let all = ["a", "b", "c"].map(|key| record(&ann, key, key.as_bytes()));
    let last = put(journal, all.to_vec()).await;
    assert_eq!(keys(journal, 0).await, ["a", "b", "c"]);
    assert_eq!(keys(journal, last).await, [""; 0]);
    let mut other = record(&ann, "a", &[0, 255]);
    other.source = i64::MAX as u64;
    let later = put(journal, vec![other.clone()]).await;
    other.number = later;
    assert_eq!(ok(journal.record(&ann, "a").await), Some(other));
    assert_eq!(keys(journal, 0).await, ["b", "c", "a"]);
    assert_eq!(keys(journal, last).await, ["a"]);
    let entry = JournalEntry {
        remove: vec![(ann.clone(), "b".into()), (ann.clone(), "x".into())],
        ..JournalEntry::default()
    };
    assert_eq!(ok(journal.write(&entry).await), later, "nothing was put");
    assert_eq!(keys(journal, 0).await, ["c", "a"]);
    assert_eq!(ok(journal.state(1).await).last, later);
    let entry = JournalEntry {
        remove: vec![(ann.clone(), "a".into())],
        ..JournalEntry::default()
    };
    ok(journal.write(&entry).await);
    let next = put(journal, vec![record(&ann, "d", b"")]).await;
    assert!(next > later, "no number is given twice");
}

async fn records_of_accounts_do_not_see_each_other(journal: &dyn Journal) {
    let all = lookalikes();
    for account in &all {
        let of = record(account, "k", account.as_str().as_bytes());
        put(journal, vec![of]).await;
    }
    for account in &all {
        let found = ok(journal.records(account).await);
        assert_eq!(found.len(), 1, "{account}");
        assert_eq!(found[0].body, account.as_str().as_bytes());
    }
}

async fn a_page_is_bounded(journal: &dyn Journal) {
    let ann = bare("ann@example.com");
    for key in ["a", "b", "c"] {
        put(journal, vec![record(&ann, key, &[1; 100])]).await;
    }
    let page = async |limit, octets| ok(journal.since(0, limit, octets).await).len();
    assert_eq!(page(2, 1 << 20).await, 2);
    assert_eq!(page(100, 1).await, 1);
    assert_eq!(page(100, 101).await, 2);
    assert_eq!(page(100, 1000).await, 3);
}
