//! What [`Sessions`](crate::store::Sessions) promises.

use super::{TEXTS, at_once, bare, large, longest, lookalikes, ok};
use crate::BareJid;
use crate::store::{KeptSession, Stores};

/// Tests [`Sessions`](crate::store::Sessions).
pub async fn sessions(make: impl AsyncFn() -> Stores) {
    sessions_come_back_as_they_were(make().await).await;
    the_last_of_a_name_counts(make().await).await;
    sessions_are_listed_page_by_page(make().await).await;
    released_sessions_are_gone(make().await).await;
    forgotten_sessions_are_gone(make().await).await;
}

async fn sessions_come_back_as_they_were(stores: Stores) {
    assert_eq!(names(&stores).await, [], "at first");
    let large = large();
    let longest_name = "n".repeat(255);
    let states = TEXTS.iter().copied().chain([&*large, ""]);
    for (account, name) in [
        (bare("ann@example.com"), "one"),
        (longest(), &*longest_name),
    ] {
        for state in states.clone() {
            ok(stores.sessions.keep(&account, name, state).await);
            let wanted = KeptSession {
                account: account.clone(),
                name: name.to_owned(),
                state: state.to_owned(),
            };
            let found = ok(stores.sessions.kept(None, 9).await);
            assert!(found == [wanted], "{found:?} for {state:?}");
        }
        ok(stores.sessions.release(&account, name).await);
    }
}

async fn the_last_of_a_name_counts(stores: Stores) {
    let ann = bare("ann@example.com");
    let numbers: Vec<String> = (0..100).map(|i| i.to_string()).collect();
    let keep = |state| stores.sessions.keep(&ann, "one", state);
    for kept in at_once(numbers.iter().map(|state| keep(state))).await {
        ok(kept);
    }
    let found = ok(stores.sessions.kept(None, 9).await);
    let states: Vec<&str> = found.iter().map(|session| &*session.state).collect();
    assert_eq!(states, ["99"], "of calls made at once the last wins");
}

async fn sessions_are_listed_page_by_page(stores: Stores) {
    let mut wanted = Vec::new();
    for account in lookalikes() {
        for name in ["0a", "B", "_", "a", "a_", "ab", "b", "é"] {
            ok(stores.sessions.keep(&account, name, account.as_str()).await);
            wanted.push((account.clone(), name.to_owned()));
        }
    }
    wanted.sort_by(|(a, x), (b, y)| (a.as_str(), x).cmp(&(b.as_str(), y)));
    for limit in [1, 7, wanted.len(), usize::MAX] {
        let mut found: Vec<(BareJid, String)> = Vec::new();
        loop {
            let after = found.last().map(|(account, name)| (account, &**name));
            let page = ok(stores.sessions.kept(after, limit).await);
            assert!(
                page.len() <= limit,
                "{} sessions, {limit} asked for",
                page.len()
            );
            if page.is_empty() {
                break;
            }
            assert!(
                page.iter().all(|kept| kept.state == kept.account.as_str()),
                "the session of another account"
            );
            found.extend(page.into_iter().map(|kept| (kept.account, kept.name)));
        }
        assert!(found == wanted, "{limit} at a time: {found:?}");
    }
    let ann = bare("ann@example.com");
    let after = ok(stores.sessions.kept(Some((&ann, "aa")), 1).await);
    assert_eq!(after[0].name, "ab", "after a session that is not there");
}

async fn released_sessions_are_gone(stores: Stores) {
    let (ann, bob) = (bare("ann@example.com"), bare("bob@example.com"));
    for (account, name) in [(&ann, "one"), (&ann, "two"), (&bob, "one")] {
        ok(stores.sessions.keep(account, name, "state").await);
    }
    for _ in 0..2 {
        ok(stores.sessions.release(&ann, "one").await);
        let wanted = [(ann.clone(), "two"), (bob.clone(), "one")];
        let wanted = wanted.map(|(account, name)| (account, name.to_owned()));
        assert_eq!(names(&stores).await, wanted, "one was released");
    }
}

async fn forgotten_sessions_are_gone(stores: Stores) {
    let (ann, bob) = (bare("ann@example.com"), bare("bob@example.com"));
    for (account, name) in [(&ann, "one"), (&ann, "two"), (&bob, "one")] {
        ok(stores.sessions.keep(account, name, "state").await);
    }
    ok(stores.sessions.forget(&ann).await);
    ok(stores.sessions.forget(&ann).await);
    let wanted = [(bob, "one".to_owned())];
    assert_eq!(
        names(&stores).await,
        wanted,
        "those of one account are forgotten"
    );
}

async fn names(stores: &Stores) -> Vec<(BareJid, String)> {
    let all = ok(stores.sessions.kept(None, 99).await).into_iter();
    all.map(|kept| (kept.account, kept.name)).collect()
}
