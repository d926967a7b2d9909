//! The SQLite store: conformance, the file's care, backup, bounds.

#![allow(clippy::unwrap_used)]

#[path = "nodes/edits.rs"]
mod edits;

use std::path::Path;
use std::sync::{Arc, Mutex};

use futures::future::join_all;
use rusqlite::Connection;
use tempfile::TempDir;
use xmpp_core::BareJid;
use xmpp_core::sasl::Credentials;
use xmpp_core::store::*;
use xmpp_core::time::Timestamp;
use xmpp_muc_federated::store as rooms;
use xmpp_store::{Existing, MAX_QUEUED, OpenError, Sqlite};

const FILE: &str = "xmpp.sqlite3";

fn ann() -> BareJid {
    "ann@example.com".parse().unwrap()
}

fn open(folder: &TempDir) -> Sqlite {
    Sqlite::open(folder.path().join(FILE)).unwrap()
}

#[tokio::test]
async fn sqlite_conforms() {
    let folders = Mutex::new(Vec::new());
    let make = async || {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder);
        folders.lock().unwrap().push(folder);
        Stores::from_one(Arc::new(store))
    };
    conformance::all(&make).await;
    conformance::shared(make).await;
}

#[tokio::test]
async fn sqlite_conforms_as_a_journal() {
    let folders = Mutex::new(Vec::new());
    let make = async || {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder);
        folders.lock().unwrap().push(folder);
        Arc::new(store) as Arc<dyn Journal>
    };
    conformance::journal(make).await;
}

/// Its numbers go back to where they were: what is written from now on must not be taken for what others have.
#[tokio::test]
async fn a_restored_store_has_another_name_for_its_journal() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    assert_eq!(store.state(7).await.unwrap().log, 7);
    let copy = folder.path().join("copy");
    store.backup_to(&copy).await.unwrap();
    store.close().await.unwrap();
    Sqlite::restore(folder.path().join(FILE), &copy, Existing::Replace).unwrap();
    assert_eq!(open(&folder).state(8).await.unwrap().log, 8);
}

#[tokio::test]
async fn two_servers_change_one_roster() {
    let folder = tempfile::tempdir().unwrap();
    let stores = Stores::from_one(Arc::new(open(&folder)));
    edits::edits_on_two_servers_are_not_lost([stores.clone(), stores]).await;
}

#[tokio::test]
async fn sqlite_conforms_for_rooms() {
    let folders = Mutex::new(Vec::new());
    let make = async || {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder);
        folders.lock().unwrap().push(folder);
        Arc::new(store) as Arc<dyn rooms::Rooms>
    };
    rooms::conformance::rooms(make).await;
}

#[tokio::test]
async fn a_room_is_there_when_the_file_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let room: BareJid = "coven@rooms.example.com".parse().unwrap();
    let state = rooms::Change::State {
        state: "<room/>".into(),
        listed: true,
        name: None,
    };
    rooms::Rooms::apply(&store, &room, &[state]).await.unwrap();
    drop(store);
    let store = open(&folder);
    let stored = rooms::Rooms::load(&store, &room).await.unwrap().unwrap();
    assert_eq!(stored.state, "<room/>");
}

#[tokio::test]
async fn what_is_stored_is_there_when_the_file_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    assert!(store.create(&ann(), &Credentials::default()).await.unwrap());
    let item = RosterItem::new("bob@example.com".parse().unwrap());
    let version = store.put(&ann(), &item).await.unwrap();
    drop(store);

    let store = open(&folder);
    assert!(store.exists(&ann()).await.unwrap());
    let roster = Rosters::load(&store, &ann()).await.unwrap();
    assert_eq!((roster.version, roster.items), (version, vec![item]));
}

#[tokio::test]
async fn a_message_whose_text_is_damaged_comes_without_it_and_the_others_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    for xml in ["1", "2", "3"] {
        let limits = OfflineLimits::messages(3);
        let pushed = store.push(&ann(), Timestamp(0), xml, limits).await;
        assert!(pushed.unwrap());
    }
    drop(store);
    let db = Connection::open(folder.path().join(FILE)).unwrap();
    let damage = "UPDATE offline SET xml = CAST(x'ff' AS TEXT) WHERE xml = '2'";
    assert_eq!(db.execute(damage, []).unwrap(), 1);
    db.close().unwrap();

    let page = open(&folder).page(&ann(), 0, 9).await.unwrap();
    let texts: Vec<&str> = page.iter().map(|message| &*message.xml).collect();
    assert_eq!(texts, ["1", "", "3"]);
}

#[tokio::test]
async fn a_second_store_on_the_file_is_refused_until_the_first_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    let store = open(&folder);
    let error = Sqlite::open(&path).unwrap_err();
    let text = error.to_string();
    let OpenError::InUse {
        path: named,
        process,
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(named, path);
    assert_eq!(process, Some(std::process::id()));
    assert!(text.contains("is in use by another process"), "{text}");

    store.close().await.unwrap();
    let second = Sqlite::open(&path).unwrap();
    let late = store.exists(&ann()).await;
    assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
    let late = VCards::save(&store, &ann(), "<vCard/>").await;
    assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
    store.close().await.expect("closing twice is no error");
    assert!(!second.exists(&ann()).await.unwrap());
}

#[tokio::test]
async fn what_was_asked_for_before_closing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let account = ann();
    let pushes = (0..1000).map(|_| {
        store.push(
            &account,
            Timestamp(0),
            "<message/>",
            OfflineLimits::messages(1000),
        )
    });
    let (pushed, closed) = futures::join!(join_all(pushes), store.close());
    closed.unwrap();
    let pushed = pushed
        .into_iter()
        .filter(|pushed| matches!(pushed, Ok(true)));
    let pushed = pushed.count();
    assert!(pushed > 0, "nothing was pushed before closing");
    assert_eq!(open(&folder).count(&ann()).await.unwrap(), pushed);
    let log = folder.path().join(format!("{FILE}-wal"));
    drop(store);
    assert!(!log.exists(), "a closed store is one file");
}

#[cfg(unix)]
#[tokio::test]
async fn files_can_be_read_by_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    store.create(&ann(), &Credentials::default()).await.unwrap();
    store.backup_to(folder.path().join("copy")).await.unwrap();
    let files: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|file| file.unwrap())
        .collect();
    assert_eq!(files.len(), 5, "database, log, index, lock, copy");
    for file in files {
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", file.path());
    }
}

#[test]
fn a_file_of_a_newer_release_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    drop(open(&folder));
    let newer = "PRAGMA user_version = 999; CREATE TABLE future (x)";
    Connection::open(&path)
        .unwrap()
        .execute_batch(newer)
        .unwrap();
    let error = Sqlite::open(&path).unwrap_err();
    assert!(
        matches!(error, OpenError::Newer { found: 999, .. }),
        "{error}"
    );
}

#[test]
fn a_file_that_is_something_else_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "buy milk\n".repeat(1000)).unwrap();
    let error = Sqlite::open(&text).unwrap_err();
    assert!(error.to_string().contains("not a database"), "{error}");
    assert!(
        std::fs::read_to_string(&text)
            .unwrap()
            .starts_with("buy milk")
    );

    let other = folder.path().join("other.sqlite3");
    let made = "CREATE TABLE recipes (x)";
    Connection::open(&other)
        .unwrap()
        .execute_batch(made)
        .unwrap();
    let before = std::fs::read(&other).unwrap();
    let error = Sqlite::open(&other).unwrap_err();
    assert!(matches!(error, OpenError::Foreign(_)), "{error}");
    assert!(std::fs::read(&other).unwrap() == before, "it was changed");

    let missing = folder.path().join("missing/xmpp.sqlite3");
    let error = Sqlite::open(&missing).unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
}

#[tokio::test]
async fn a_backup_made_while_others_write_is_a_whole_store_of_one_moment() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.sqlite3");
    let store = open(&folder);
    let (account, spouse) = (ann(), "bob@example.com".parse().unwrap());
    let xml = "x".repeat(2000);
    // A message for one, and when it is there, the same for the other.
    let write = async {
        for _ in 0..300 {
            for to in [&account, &spouse] {
                assert!(
                    store
                        .push(to, Timestamp(0), &xml, OfflineLimits::messages(1000))
                        .await
                        .unwrap()
                );
            }
        }
    };
    let backup = async {
        while store.count(&account).await.unwrap() < 100 {}
        store.backup_to(&copy).await.unwrap();
        store.count(&spouse).await.unwrap()
    };
    let ((), during) = futures::join!(write, backup);
    assert!(during < 300, "the backup was made after all was written");

    let restored = Sqlite::open(&copy).unwrap();
    let of_ann = restored.count(&account).await.unwrap();
    let of_bob = restored.count(&spouse).await.unwrap();
    assert!(of_ann >= 100, "what was there before is missing: {of_ann}");
    assert!(
        of_ann - of_bob <= 1,
        "not of one moment: {of_ann} and {of_bob}"
    );
    assert!(
        restored
            .push(&account, Timestamp(0), "x", OfflineLimits::messages(1000))
            .await
            .unwrap()
    );
    drop(restored);
    check_integrity(&copy);
}

#[tokio::test]
async fn a_backup_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let taken = folder.path().join("taken");
    std::fs::write(&taken, "precious").unwrap();
    for path in [&taken, &folder.path().join(FILE)] {
        let error = store.backup_to(path).await.unwrap_err();
        assert!(error.to_string().contains("exists"), "{error}");
    }
    assert_eq!(std::fs::read_to_string(&taken).unwrap(), "precious");
    let nowhere = folder.path().join("nowhere/copy");
    assert!(store.backup_to(&nowhere).await.is_err());
}

#[tokio::test]
async fn more_than_the_queue_holds_is_refused_and_the_rest_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    // While another program holds the file, everything waits in the queue.
    let other = Connection::open(folder.path().join(FILE)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let account = ann();
    let pushes = (0..MAX_QUEUED + 10).map(|_| {
        store.push(
            &account,
            Timestamp(0),
            "x",
            OfflineLimits::messages(usize::MAX),
        )
    });
    let pushes = futures::future::join_all(pushes);
    let release = async { other.execute_batch("ROLLBACK").unwrap() };
    let (pushed, ()) = futures::join!(pushes, release);
    let refused = pushed.iter().filter(|pushed| {
        let refused = matches!(pushed, Err(StoreError::Unavailable(_)));
        assert!(refused || matches!(pushed, Ok(true)), "{pushed:?}");
        refused
    });
    assert_eq!(refused.count(), 10);
    assert_eq!(store.count(&account).await.unwrap(), MAX_QUEUED);
    assert!(
        store
            .push(
                &account,
                Timestamp(0),
                "x",
                OfflineLimits::messages(usize::MAX)
            )
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn what_cannot_be_understood_is_corrupt() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    store.create(&ann(), &Credentials::default()).await.unwrap();
    let item = RosterItem::new("bob@example.com".parse().unwrap());
    store.put(&ann(), &item).await.unwrap();
    let other = Connection::open(folder.path().join(FILE)).unwrap();
    let broken = "UPDATE roster_item SET contact = 'b b@@'";
    other.execute_batch(broken).unwrap();
    let found = Rosters::load(&store, &ann()).await;
    assert!(matches!(found, Err(StoreError::Corrupt(_))), "{found:?}");
}

fn check_integrity(path: &Path) {
    let connection = Connection::open(path).unwrap();
    let check = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0));
    let check: String = check.unwrap();
    assert_eq!(check, "ok");
}
