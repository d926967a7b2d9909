//! What [`Offline`](crate::store::Offline) promises.

use super::{TEXTS, at_once, bare, large, lookalikes, ok};
use crate::BareJid;
use crate::store::{Offline, OfflineLimits, OfflineMessage, Stores};
use crate::time::Timestamp;

/// Tests [`Offline`](crate::store::Offline).
pub async fn offline(make: impl AsyncFn() -> Stores) {
    messages_come_back_as_they_were(make().await).await;
    messages_are_read_page_by_page_and_deleted(make().await).await;
    what_is_not_named_is_not_deleted(make().await).await;
    the_limit_holds_for_one_account(make().await).await;
    the_limit_of_octets_holds_for_one_account(make().await).await;
    messages_do_not_reach_another_account(make().await).await;
    messages_keep_their_order(make().await).await;
    the_limit_holds_for_calls_made_at_once(make().await).await;
    messages_are_read_while_others_come(make().await).await;
    forgotten_messages_are_gone(make().await).await;
}

/// A limit that is not reached.
const MANY: usize = 100_000;

async fn push(store: &dyn Offline, account: &BareJid, xml: &str) {
    let pushed = store
        .push(account, Timestamp(0), xml, OfflineLimits::messages(MANY))
        .await;
    assert!(ok(pushed), "a message below the limit is refused");
}

async fn texts(store: &dyn Offline, account: &BareJid) -> Vec<String> {
    let messages = ok(store.page(account, 0, MANY).await);
    check_ids(&messages);
    messages.into_iter().map(|message| message.xml).collect()
}

fn ids(messages: &[OfflineMessage]) -> Vec<u64> {
    messages.iter().map(|message| message.id).collect()
}

fn check_ids(messages: &[OfflineMessage]) {
    let ids = ids(messages);
    assert!(ids.is_sorted_by(|a, b| a < b), "ids do not grow: {ids:?}");
    assert!(!ids.contains(&0), "0 is no id, but where pages begin");
}

async fn messages_come_back_as_they_were(stores: Stores) {
    let store = stores.offline;
    let ann = bare("ann@example.com");
    assert_eq!(ok(store.page(&ann, 0, MANY).await), [], "at first");
    assert_eq!(ok(store.count(&ann).await), 0, "number at first");
    let large = large();
    let all: Vec<&str> = TEXTS.iter().copied().chain([&*large, ""]).collect();
    let times = [0, 1, -1, 1_795_408_140_123, i64::MAX, i64::MIN];
    for (at, xml) in times.iter().cycle().zip(&all) {
        let pushed = store
            .push(&ann, Timestamp(*at), xml, OfflineLimits::messages(MANY))
            .await;
        assert!(ok(pushed), "a message below the limit is refused");
    }
    assert_eq!(ok(store.count(&ann).await), all.len(), "number");
    let found = ok(store.page(&ann, 0, MANY).await);
    check_ids(&found);
    assert_eq!(found.len(), all.len(), "messages");
    for (found, (at, xml)) in found.iter().zip(times.iter().cycle().zip(&all)) {
        assert!(found.xml == **xml, "{:?} instead of {xml:?}", found.xml);
        assert_eq!(found.at, Timestamp(*at), "time of {xml:?}");
    }
}

async fn messages_are_read_page_by_page_and_deleted(stores: Stores) {
    let store = stores.offline;
    let ann = bare("ann@example.com");
    for i in 0..10 {
        push(&*store, &ann, &i.to_string()).await;
    }
    let first = ok(store.page(&ann, 0, 4).await);
    let second = ok(store.page(&ann, first[3].id, 4).await);
    let third = ok(store.page(&ann, second[3].id, 4).await);
    let last = third[1].id;
    assert_eq!(ok(store.page(&ann, last, 4).await), [], "after the last");
    assert_eq!(ok(store.page(&ann, u64::MAX, 4).await), [], "after the end");
    assert_eq!(ok(store.page(&ann, 0, 0).await), [], "at most none");
    let pages = [first.clone(), second.clone(), third].concat();
    check_ids(&pages);
    let read: Vec<&str> = pages.iter().map(|message| &*message.xml).collect();
    let wanted = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    assert_eq!(read, wanted, "page by page");

    ok(store.delete(&ann, &[]).await);
    assert_eq!(ok(store.count(&ann).await), 10, "nothing deleted");
    ok(store.delete(&ann, &ids(&first)).await);
    assert_eq!(
        texts(&*store, &ann).await,
        wanted[4..],
        "first page deleted"
    );
    push(&*store, &ann, "10").await;
    ok(store.delete(&ann, &ids(&second)).await);
    ok(store.delete(&ann, &ids(&first)).await);
    assert_eq!(texts(&*store, &ann).await, ["8", "9", "10"]);
    let rest = ok(store.page(&ann, 0, MANY).await);
    ok(store.delete(&ann, &ids(&rest)).await);
    assert_eq!(ok(store.count(&ann).await), 0, "all deleted");
    assert_eq!(ok(store.count(&ann).await), 0, "deleted through the end");

    push(&*store, &ann, "new").await;
    let new = ok(store.page(&ann, last, MANY).await);
    assert_eq!(new.len(), 1, "an id was given again after a deletion");
    assert_eq!(new[0].xml, "new");
}

async fn what_is_not_named_is_not_deleted(stores: Stores) {
    let store = stores.offline;
    let (ann, bob) = (bare("ann@example.com"), bare("bob@example.com"));
    for i in 0..6 {
        push(&*store, &ann, &i.to_string()).await;
        push(&*store, &bob, &i.to_string()).await;
    }
    let all = ids(&ok(store.page(&ann, 0, MANY).await));
    // The one between them could not be read, say.
    ok(store.delete(&ann, &[all[1], all[3]]).await);
    assert_eq!(texts(&*store, &ann).await, ["0", "2", "4", "5"]);
    ok(store.delete(&ann, &[all[4], all[1], all[0]]).await);
    assert_eq!(texts(&*store, &ann).await, ["2", "5"], "in no order");
    ok(store.delete(&ann, &[0, u64::MAX]).await);
    assert_eq!(texts(&*store, &ann).await, ["2", "5"], "ids of none");
    let others = ids(&ok(store.page(&bob, 0, MANY).await));
    ok(store.delete(&ann, &others).await);
    let wanted = ["0", "1", "2", "3", "4", "5"];
    assert_eq!(texts(&*store, &bob).await, wanted, "of another");
}

async fn the_limit_holds_for_one_account(stores: Stores) {
    let store = stores.offline;
    let (ann, bob) = (bare("ann@example.com"), bare("bob@example.com"));
    let at = Timestamp(1);
    assert!(
        !ok(store.push(&ann, at, "x", OfflineLimits::messages(0)).await),
        "a limit of none"
    );
    for i in 0..5 {
        let pushed = ok(store
            .push(&ann, at, &i.to_string(), OfflineLimits::messages(3))
            .await);
        assert_eq!(pushed, i < 3, "message {i} with a limit of 3");
    }
    assert_eq!(
        texts(&*store, &ann).await,
        ["0", "1", "2"],
        "with a limit of 3"
    );
    let others = ok(store.push(&bob, at, "x", OfflineLimits::messages(3)).await);
    assert!(others, "the limit counts the messages of another");
    assert!(
        !ok(store.push(&ann, at, "x", OfflineLimits::messages(2)).await),
        "a lower limit"
    );
    assert!(
        ok(store.push(&ann, at, "3", OfflineLimits::messages(4)).await),
        "a higher limit"
    );
    let first = ok(store.page(&ann, 0, 1).await)[0].id;
    ok(store.delete(&ann, &[first]).await);
    assert!(
        ok(store.push(&ann, at, "4", OfflineLimits::messages(4)).await),
        "room was made"
    );
    assert_eq!(texts(&*store, &ann).await, ["1", "2", "3", "4"]);
}

async fn the_limit_of_octets_holds_for_one_account(stores: Stores) {
    let store = stores.offline;
    let (ann, bob) = (bare("ann@example.com"), bare("bob@example.com"));
    let push = async |account: &BareJid, xml: &str, octets: usize| {
        let limits = OfflineLimits {
            messages: MANY,
            octets,
        };
        ok(store.push(account, Timestamp(1), xml, limits).await)
    };
    assert!(!push(&ann, "x", 0).await, "a limit of no octets");
    assert!(push(&ann, "", 0).await, "nothing fits into nothing");
    assert!(!push(&ann, "12345", 4).await, "one that is too long");
    assert!(push(&ann, "1234", 4).await, "one that just fits");
    assert!(!push(&ann, "5", 4).await, "one beyond it");
    // Two octets each in UTF-8.
    assert!(
        !push(&ann, "\u{e4}\u{f6}", 7).await,
        "octets, not characters"
    );
    assert!(push(&ann, "\u{e4}\u{f6}", 8).await, "a higher limit");
    assert!(push(&bob, "1234", 4).await, "the octets of another count");
    let found = texts(&*store, &ann).await;
    assert_eq!(found, ["", "1234", "\u{e4}\u{f6}"]);
    let two = ok(store.page(&ann, 0, 2).await);
    ok(store.delete(&ann, &ids(&two)).await);
    assert!(push(&ann, "1234", 8).await, "room was made");
    assert_eq!(texts(&*store, &ann).await, ["\u{e4}\u{f6}", "1234"]);
}

async fn messages_do_not_reach_another_account(stores: Stores) {
    let store = stores.offline;
    let all = lookalikes();
    for account in &all {
        let found = texts(&*store, account).await;
        assert_eq!(found, [""; 0], "messages of {account} at first");
        assert_eq!(ok(store.count(account).await), 0, "{account} at first");
        push(&*store, account, account.as_str()).await;
    }
    for account in &all {
        let found = texts(&*store, account).await;
        assert_eq!(found, [account.as_str()], "messages of {account}");
        assert_eq!(ok(store.count(account).await), 1, "{account}");
    }
    let own = ok(store.page(&all[0], 0, MANY).await);
    ok(store.delete(&all[0], &ids(&own)).await);
    for account in &all[1..] {
        let found = texts(&*store, account).await;
        assert_eq!(found, [account.as_str()], "messages of {account}");
    }
}

async fn messages_keep_their_order(stores: Stores) {
    let store = stores.offline;
    let accounts: Vec<_> = (0..7)
        .map(|i| bare(&format!("user{i}@example.com")))
        .collect();
    let sent: Vec<(&BareJid, String)> = (0..2000)
        .map(|i: usize| (&accounts[i * i % 7], i.to_string()))
        .collect();
    let pushes = sent.iter().map(|(account, xml)| {
        store.push(account, Timestamp(0), xml, OfflineLimits::messages(MANY))
    });
    for pushed in at_once(pushes).await {
        assert!(ok(pushed), "a message below the limit is refused");
    }
    for account in &accounts {
        let to_account = sent.iter().filter(|(to, _)| *to == account);
        let wanted: Vec<String> = to_account.map(|(_, xml)| xml.clone()).collect();
        let found = texts(&*store, account).await;
        assert_eq!(found, wanted, "{account}: order of messages pushed at once");
    }
}

async fn the_limit_holds_for_calls_made_at_once(stores: Stores) {
    let store = stores.offline;
    let ann = bare("ann@example.com");
    let numbers: Vec<String> = (0..100).map(|i| i.to_string()).collect();
    let pushes = numbers
        .iter()
        .map(|xml| store.push(&ann, Timestamp(0), xml, OfflineLimits::messages(40)));
    let pushed: Vec<bool> = at_once(pushes).await.into_iter().map(ok).collect();
    let wanted: Vec<bool> = (0..100).map(|i| i < 40).collect();
    assert_eq!(
        pushed, wanted,
        "which of 100 calls made at once were within 40"
    );
    assert_eq!(texts(&*store, &ann).await, numbers[..40]);
}

async fn messages_are_read_while_others_come(stores: Stores) {
    let store = stores.offline;
    let ann = bare("ann@example.com");
    let numbers: Vec<String> = (0..400).map(|i| i.to_string()).collect();
    let write = async {
        for numbers in numbers.chunks(16) {
            let pushes = numbers
                .iter()
                .map(|xml| store.push(&ann, Timestamp(0), xml, OfflineLimits::messages(MANY)));
            for pushed in at_once(pushes).await {
                assert!(ok(pushed), "a message below the limit is refused");
            }
        }
    };
    let read = async {
        let mut read = Vec::new();
        let mut after = 0;
        while read.len() < numbers.len() {
            let page = ok(store.page(&ann, after, 7).await);
            check_ids(&page);
            let Some(last) = page.last() else {
                continue_later().await;
                continue;
            };
            assert!(last.id > after, "a page repeats message {}", last.id);
            after = last.id;
            ok(store.delete(&ann, &ids(&page)).await);
            read.extend(page.into_iter().map(|message| message.xml));
        }
        read
    };
    let (read, ()) = futures::join!(read, write);
    assert_eq!(read, numbers, "read and deleted while others came");
    assert_eq!(ok(store.count(&ann).await), 0, "left");
}

/// Lets others run before the next step.
async fn continue_later() {
    let mut polled = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut polled, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await
}

async fn forgotten_messages_are_gone(stores: Stores) {
    let store = stores.offline;
    let (ann, bob) = (bare("ann@example.com"), bare("bob@example.com"));
    for account in [&ann, &bob] {
        push(&*store, account, "1").await;
        push(&*store, account, "2").await;
    }
    ok(store.forget(&ann).await);
    ok(store.forget(&ann).await);
    assert_eq!(ok(store.count(&ann).await), 0, "forgotten");
    assert_eq!(texts(&*store, &ann).await, [""; 0], "forgotten");
    assert_eq!(texts(&*store, &bob).await, ["1", "2"], "of another");
}

/// Tests claims.
pub(super) async fn shared(make: impl AsyncFn() -> Stores) {
    one_gives_messages_out_at_a_time(make().await).await;
}

async fn one_gives_messages_out_at_a_time(stores: Stores) {
    let store = stores.offline;
    let (ann, bob) = (bare("ann@example.com"), bare("bob@example.com"));
    let claim = async |account, holder, now, until| {
        ok(store
            .claim(account, holder, Timestamp(now), Timestamp(until))
            .await)
    };
    let (one, two) = (u64::MAX, 1);
    assert!(claim(&ann, one, 100, 200).await, "nobody has it");
    assert!(!claim(&ann, two, 199, 300).await, "another has it");
    assert!(claim(&bob, two, 199, 300).await, "of another account");
    assert!(claim(&ann, one, 150, 250).await, "for longer");
    assert!(
        !claim(&ann, two, 249, 300).await,
        "another has it for longer"
    );
    assert!(claim(&ann, two, 250, 350).await, "its time is over");
    assert!(!claim(&ann, one, 260, 360).await, "now the other has it");
    assert!(claim(&ann, one, 260, 260).await);
    assert!(
        !claim(&ann, one, 260, 360).await,
        "not the holder's to give up"
    );
    assert!(claim(&ann, two, 260, 260).await);
    assert!(claim(&ann, one, 260, 360).await, "given up");
    let claims = at_once((10..30).map(|holder| claim(&bob, holder, 300, 400))).await;
    let claimed = claims.into_iter().filter(|claimed| *claimed).count();
    assert_eq!(claimed, 1, "claims at once");
}
