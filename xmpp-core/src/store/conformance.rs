//! The suite that every implementation of the ports has to pass.
//!
//! Each function takes a closure that makes a new, empty store, calls it many times,
//! and panics with a message that says what was wrong. An implementation of one port
//! is put beside others that are known to be good:
//!
//! ```
//! use std::sync::Arc;
//! use xmpp_core::store::{Stores, conformance, memory::Memory};
//!
//! async fn my_vcards() -> Stores {
//!     let mut stores = Stores::memory();
//!     stores.vcards = Arc::new(Memory::new()); // the one to be tested
//!     stores
//! }
//! # futures::executor::block_on(
//! conformance::vcards(my_vcards)
//! # );
//! ```
//!
//! That what was acknowledged survives a crash can only be seen from outside the
//! process, and is for the implementor to test.

mod accounts;
mod block_lists;
mod journal;
mod offline;
mod outbox;
mod private_xml;
mod rosters;
mod sessions;
mod vcards;

use std::fmt::Debug;

use futures::future::join_all;

use super::{OfflineLimits, PrivateElement, Result, RosterItem, Stores};
use crate::jid::PART_LEN_MAX;
use crate::sasl::{Credentials, Hash, Keys};
use crate::time::Timestamp;
use crate::{BareJid, Jid};

pub use accounts::accounts;
pub use block_lists::block_lists;
pub use journal::journal;
pub use offline::offline;
pub use outbox::outbox;
pub use private_xml::private_xml;
pub use rosters::rosters;
pub use sessions::sessions;
pub use vcards::vcards;

/// How many calls the suite has under way at once. A store that bounds its queue
/// (as it should) needs room for them.
pub const IN_FLIGHT: usize = 128;

/// Octets of the longest text that the suite stores: the default limit of a stanza.
pub const LARGE: usize = 256 * 1024;

/// All ports, and what holds between them. For ports that come from one store.
pub async fn all(make: impl AsyncFn() -> Stores) {
    accounts(&make).await;
    rosters(&make).await;
    offline(&make).await;
    private_xml(&make).await;
    vcards(&make).await;
    block_lists(&make).await;
    sessions(&make).await;
    outbox(&make).await;
    deleting_an_account_deletes_everything_of_it(make().await).await;
    a_created_account_starts_empty(make().await).await;
    stores_delete_deletes_everything(make().await).await;
}

/// What a store has to do besides that several servers work with at once: the methods of [`Rosters`](super::Rosters) and
/// [`Offline`](super::Offline) that by default leave everything to everybody.
pub async fn shared(make: impl AsyncFn() -> Stores) {
    rosters::shared(&make).await;
    offline::shared(&make).await;
}

async fn deleting_an_account_deletes_everything_of_it(stores: Stores) {
    let (ann, bob) = (bare("ann@example.com"), bare("bob@example.com"));
    fill(&stores, &ann).await;
    fill(&stores, &bob).await;
    let deleted = stores.accounts.delete(&ann).await;
    assert!(ok(deleted), "delete says that there was no account");
    check_empty(&stores, &ann, "after its deletion").await;
    check_full(&stores, &bob, "after the deletion of another").await;
    create(&stores, &ann).await;
    check_empty(&stores, &ann, "deleted and created again").await;
}

async fn a_created_account_starts_empty(stores: Stores) {
    let (ann, bob) = (bare("ann@example.com"), bare("bob@example.com"));
    fill(&stores, &ann).await;
    fill(&stores, &bob).await;
    ok(stores.accounts.delete(&ann).await);
    // A message that was on its way when the account was deleted.
    push(&stores, &ann, "late").await;
    let item = RosterItem::new(bare("late@example.com"));
    ok(stores.rosters.put(&ann, &item).await);
    create(&stores, &ann).await;
    check_empty(&stores, &ann, "created where something was left").await;
    check_full(&stores, &bob, "after another was created").await;
}

async fn stores_delete_deletes_everything(stores: Stores) {
    let (ann, bob) = (bare("ann@example.com"), bare("bob@example.com"));
    fill(&stores, &ann).await;
    fill(&stores, &bob).await;
    assert!(ok(stores.delete(&ann).await), "no account was deleted");
    assert!(!ok(stores.delete(&ann).await), "deleted twice");
    check_empty(&stores, &ann, "after Stores::delete").await;
    check_full(&stores, &bob, "after the deletion of another").await;
}

/// Puts something of an account into each port.
async fn fill(stores: &Stores, account: &BareJid) {
    create(stores, account).await;
    let at = Timestamp(1);
    ok(stores.accounts.set_last_activity(account, at, "gone").await);
    let item = RosterItem::new(bare("contact@example.com"));
    ok(stores.rosters.put(account, &item).await);
    push(stores, account, "<message/>").await;
    let private = [element("x", "urn:x", "<x/>")];
    let saved = stores.private_xml.save(account, &private, 99).await;
    assert!(ok(saved), "private XML below its limit is refused");
    ok(stores.vcards.save(account, "<vCard/>").await);
    let blocked = [jid("blocked.example.com")];
    ok(stores.block_lists.change(account, &blocked, &[]).await);
    ok(stores.sessions.keep(account, "one", "state").await);
}

async fn check_empty(stores: &Stores, account: &BareJid, when: &str) {
    let last = ok(stores.accounts.last_activity(account).await);
    assert_eq!(last, None, "last activity {when}");
    let roster = ok(stores.rosters.load(account).await);
    assert_eq!(roster.items, [], "roster {when}");
    let messages = ok(stores.offline.page(account, 0, 9).await);
    assert_eq!(messages, [], "offline messages {when}");
    let count = ok(stores.offline.count(account).await);
    assert_eq!(count, 0, "number of offline messages {when}");
    let private = ok(stores.private_xml.load(account, "x", "urn:x").await);
    assert_eq!(private, None, "private XML {when}");
    let vcard = ok(stores.vcards.load(account).await);
    assert_eq!(vcard, None, "vCard {when}");
    let blocked = ok(stores.block_lists.load(account).await);
    assert!(blocked.is_empty(), "block list {when}: {blocked:?}");
    assert_eq!(sessions_of(stores, account).await, 0, "sessions {when}");
}

async fn check_full(stores: &Stores, account: &BareJid, when: &str) {
    let known = ok(stores.accounts.exists(account).await);
    assert!(known, "account {when}");
    let last = ok(stores.accounts.last_activity(account).await);
    assert!(last.is_some(), "last activity {when}");
    let roster = ok(stores.rosters.load(account).await);
    assert_eq!(roster.items.len(), 1, "roster {when}");
    let count = ok(stores.offline.count(account).await);
    assert_eq!(count, 1, "number of offline messages {when}");
    let private = ok(stores.private_xml.load(account, "x", "urn:x").await);
    assert!(private.is_some(), "private XML {when}");
    let vcard = ok(stores.vcards.load(account).await);
    assert!(vcard.is_some(), "vCard {when}");
    let blocked = ok(stores.block_lists.load(account).await);
    assert_eq!(blocked.len(), 1, "block list {when}");
    assert_eq!(sessions_of(stores, account).await, 1, "sessions {when}");
}

async fn sessions_of(stores: &Stores, account: &BareJid) -> usize {
    let all = ok(stores.sessions.kept(None, 99).await);
    all.iter().filter(|kept| kept.account == *account).count()
}

async fn create(stores: &Stores, account: &BareJid) {
    let created = stores.accounts.create(account, &credentials(1)).await;
    assert!(ok(created), "{account} is said to be there already");
}

async fn push(stores: &Stores, account: &BareJid, xml: &str) {
    let limits = OfflineLimits {
        messages: 99,
        octets: 9999,
    };
    let pushed = stores
        .offline
        .push(account, Timestamp(1), xml, limits)
        .await;
    assert!(ok(pushed), "an offline message below the limit is refused");
}

fn element(name: &str, namespace: &str, xml: &str) -> PrivateElement {
    PrivateElement {
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        xml: xml.to_owned(),
    }
}

/// Starts all futures in their order, [`IN_FLIGHT`] at a time, and waits for them.
async fn at_once<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut futures = futures.into_iter().peekable();
    let mut done = Vec::new();
    while futures.peek().is_some() {
        let batch: Vec<_> = futures.by_ref().take(IN_FLIGHT).collect();
        done.extend(in_order(batch).await);
    }
    done
}

/// Polls each once in order before it waits for any.
async fn in_order<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut started: Vec<_> = futures
        .into_iter()
        .map(|future| Box::pin(futures::future::maybe_done(future)))
        .collect();
    for future in &mut started {
        let _ = futures::poll!(future.as_mut());
    }
    join_all(started.iter_mut().map(|future| future.as_mut())).await;
    let outputs = started
        .iter_mut()
        .map(|future| future.as_mut().take_output());
    outputs
        .map(|output| output.expect("joined above"))
        .collect()
}

#[track_caller]
fn ok<T>(result: Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("the store failed: {error}"),
    }
}

#[track_caller]
fn bare(text: &str) -> BareJid {
    text.parse().expect("written in the suite")
}

#[track_caller]
fn jid(text: &str) -> Jid {
    text.parse().expect("written in the suite")
}

/// Compares without regard to order.
#[track_caller]
fn assert_same<T: Debug + Ord>(mut found: Vec<T>, mut wanted: Vec<T>, what: &str) {
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted, "{what}");
}

/// Credentials that differ with `seed` in every field. A store only keeps them, so no password is behind them.
fn credentials(seed: u8) -> Credentials {
    let keys = Hash::ALL.map(|hash| {
        let byte = seed ^ hash.len() as u8;
        let key = |first| (0..hash.len()).map(|i| (i as u8) ^ first ^ byte).collect();
        let salt = vec![byte, 0, 0xff, b'\'', seed];
        Keys::new(hash, salt, 4096 + u32::from(seed), key(0), key(0x55))
            .expect("keys of the hash's length")
    });
    keys.into_iter().collect()
}

/// Texts that a careless store would change: quotes, wildcards, escapes, white space,
/// what Unicode normalisation would fold, and the ends of Unicode's planes.
const TEXTS: [&str; 20] = [
    "a",
    " leading and trailing ",
    "\t\r\n",
    "it's",
    "say \"hi\"",
    "'; DROP TABLE account; --",
    "100 %_*?",
    "back\\slash \\n \\x41 \\",
    "${HOME} $1 ?1 :name @name",
    "{\"json\": [1, null]} {a,b}",
    "NULL",
    "<x xmlns='urn:x'>&lt;&amp;&#13;</x>",
    "Ünïcödé",
    "U\u{308}ni\u{308}",
    "ﬁ Å Å Ω",
    "שלום עליכם",
    "日本語",
    "👩\u{200d}👩\u{200d}👧\u{200d}👦",
    "\u{feff}\u{200b}\u{202e}",
    "\u{fffd}\u{10fffd}",
];

/// A text of [`LARGE`] octets with characters of several lengths.
fn large() -> String {
    let part = "<body>aé漢🦀</body>";
    let mut text = part.repeat(LARGE / part.len());
    text.extend(std::iter::repeat_n('x', LARGE - text.len()));
    text
}

/// Accounts that are easily taken for one another, among them some of the greatest length
/// (RFC 7622 §3.1); the last is the longest.
fn lookalikes() -> Vec<BareJid> {
    let local = "l".repeat(PART_LEN_MAX);
    let label = "日".repeat(50);
    let mut all: Vec<String> = [
        "ann@example.com",
        "ann@example.com.example.com",
        "ann@sub.example.com",
        "ann@xexample.com",
        "ann@example.org",
        "annn@example.com",
        "an_@example.com",
        "an%@example.com",
        "an*@example.com",
        "ann_@example.com",
        "example.com",
        "änn@example.com",
        "日本@example.com",
    ]
    .map(str::to_owned)
    .to_vec();
    all.push(format!("{local}@example.com"));
    all.push(format!("{}m@example.com", &local[1..]));
    all.push(format!("{local}@{label}.{label}.{label}"));
    all.iter().map(|text| bare(text)).collect()
}

fn longest() -> BareJid {
    lookalikes().pop().expect("not empty")
}
