//! An SQLite store that goes back to a copy.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tempfile::TempDir;
use xmpp_core::BareJid;
use xmpp_core::store::{Offline, OfflineLimits};
use xmpp_core::time::Timestamp;
use xmpp_store::{Existing, OpenError, Sqlite};

/// A store with a killed process's log beside it, and a copy made before it had everything.
struct Site {
    folder: TempDir,
}

impl Site {
    async fn new() -> Site {
        let site = Site {
            folder: tempfile::tempdir().unwrap(),
        };
        let alive = site.path("alive");
        let store = Sqlite::open(&alive).unwrap();
        push(&store, "before").await;
        store.backup_to(site.copy()).await.unwrap();
        push(&store, "after").await;
        // As they are when the process is killed now.
        for suffix in ["", "-wal", "-shm"] {
            let name = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
            fs::copy(name(&alive), name(&site.store())).unwrap();
        }
        assert!(fs::metadata(site.path("store-wal")).unwrap().len() > 0);
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn store(&self) -> PathBuf {
        self.path("store")
    }

    fn copy(&self) -> PathBuf {
        self.path("copy")
    }

    fn restore(&self, existing: Existing) -> Result<(), OpenError> {
        Sqlite::restore(self.store(), self.copy(), existing)
    }

    /// What the store holds.
    async fn texts(&self) -> Vec<String> {
        let store = Sqlite::open(self.store()).unwrap();
        let page = store.page(&ann(), 0, 9999).await.unwrap();
        page.into_iter().map(|message| message.xml).collect()
    }
}

fn ann() -> BareJid {
    "ann@example.com".parse().unwrap()
}

async fn push(store: &Sqlite, xml: &str) {
    let limits = OfflineLimits::messages(9999);
    let pushed = store.push(&ann(), Timestamp(0), xml, limits).await;
    assert!(pushed.unwrap());
}

#[tokio::test]
async fn a_restored_store_is_the_copy_and_nothing_of_the_one_before() {
    let site = Site::new().await;
    site.restore(Existing::Replace).unwrap();
    for rest in ["store-wal", "store-shm", "store.partial"] {
        assert!(!site.path(rest).exists(), "{rest}");
    }
    assert_eq!(site.texts().await, ["before"]);
    // It goes on from there, and the copy is still good.
    push(&Sqlite::open(site.store()).unwrap(), "later").await;
    assert_eq!(site.texts().await, ["before", "later"]);
    site.restore(Existing::Replace).unwrap();
    assert_eq!(site.texts().await, ["before"]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_restored_store_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;

    let site = Site::new().await;
    fs::set_permissions(site.copy(), fs::Permissions::from_mode(0o644)).unwrap();
    site.restore(Existing::Replace).unwrap();
    let mode = fs::metadata(site.store()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_store_is_replaced_only_where_that_is_said() {
    let site = Site::new().await;
    let error = site.restore(Existing::Keep).unwrap_err();
    assert!(matches!(error, OpenError::Exists(_)), "{error}");
    assert_eq!(site.texts().await, ["before", "after"]);
}

#[tokio::test]
async fn a_store_in_use_is_not_replaced() {
    let site = Site::new().await;
    let store = Sqlite::open(site.store()).unwrap();
    for existing in [Existing::Keep, Existing::Replace] {
        let error = site.restore(existing).unwrap_err();
        assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    }
    push(&store, "on").await;
    drop(store);
    assert_eq!(site.texts().await, ["before", "after", "on"]);
}

/// The disk is a new one, or somebody has removed the file and forgot its log.
#[tokio::test]
async fn a_log_without_its_store_is_not_applied_to_the_restored_one() {
    let site = Site::new().await;
    fs::remove_file(site.store()).unwrap();
    site.restore(Existing::Keep).unwrap();
    assert_eq!(site.texts().await, ["before"]);
}

#[tokio::test]
async fn what_an_attempt_that_was_cut_short_left_is_in_nobodys_way() {
    let site = Site::new().await;
    fs::write(site.path("store.partial"), "half of it").unwrap();
    site.restore(Existing::Replace).unwrap();
    assert_eq!(site.texts().await, ["before"]);
}

#[tokio::test]
async fn a_store_that_is_beyond_reading_is_replaced_as_well() {
    let site = Site::new().await;
    fs::write(site.store(), "no database".repeat(1000)).unwrap();
    site.restore(Existing::Replace).unwrap();
    assert_eq!(site.texts().await, ["before"]);
}

/// Its log would be lost: what is in it and not yet in the file is in nobody's backup.
#[tokio::test]
async fn a_store_whose_log_cannot_be_brought_home_is_not_replaced() {
    let site = Site::new().await;
    let reader = Connection::open(site.store()).unwrap();
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM offline")
        .unwrap();
    let log = fs::read(site.path("store-wal")).unwrap();
    let error = site.restore(Existing::Replace).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert!(fs::read(site.path("store-wal")).unwrap() == log);
    assert!(!site.path("store.partial").exists());
    drop(reader);
    assert_eq!(site.texts().await, ["before", "after"]);
}

#[cfg(unix)]
#[tokio::test]
async fn what_restoring_writes_to_is_not_what_it_reads() {
    let site = Site::new().await;
    let partial = site.path("store.partial");
    fs::rename(site.copy(), &partial).unwrap();
    let bytes = fs::read(&partial).unwrap();
    let link = site.path("link");
    std::os::unix::fs::symlink(&partial, &link).unwrap();
    for copy in [&partial, &link] {
        let error = Sqlite::restore(site.store(), copy, Existing::Replace).unwrap_err();
        assert!(error.to_string().contains("restore from"), "{error}");
        assert!(fs::read(&partial).unwrap() == bytes, "it is gone");
    }
    fs::rename(&partial, site.copy()).unwrap();
    site.restore(Existing::Replace).unwrap();
    assert_eq!(site.texts().await, ["before"]);
}

#[tokio::test]
async fn a_copy_that_has_served_as_a_store_stays_one_file() {
    let site = Site::new().await;
    let copy = site.path("50% of copy?#");
    fs::rename(site.copy(), &copy).unwrap();
    // From now on it is in WAL mode.
    drop(Sqlite::open(&copy).unwrap());
    let bytes = fs::read(&copy).unwrap();
    Sqlite::restore(site.store(), &copy, Existing::Replace).unwrap();
    assert_eq!(site.texts().await, ["before"]);
    for suffix in ["-wal", "-shm"] {
        let rest = PathBuf::from(format!("{}{suffix}", copy.display()));
        assert!(!rest.exists(), "{}", rest.display());
    }
    assert!(fs::read(&copy).unwrap() == bytes);
}

#[tokio::test]
async fn what_a_copy_has_in_a_log_beside_it_is_restored_too() {
    let site = Site::new().await;
    let restored = site.path("restored");
    Sqlite::restore(&restored, site.store(), Existing::Keep).unwrap();
    let store = Sqlite::open(&restored).unwrap();
    assert_eq!(store.count(&ann()).await.unwrap(), 2);
}

#[tokio::test]
async fn the_folder_is_made_for_a_copy_that_is_good_and_for_no_other() {
    let site = Site::new().await;
    let store = site.path("new/folder/store");
    fs::write(site.path("bad"), "no database".repeat(1000)).unwrap();
    Sqlite::restore(&store, site.path("bad"), Existing::Keep).unwrap_err();
    assert!(!site.path("new").exists());
    Sqlite::restore(&store, site.copy(), Existing::Keep).unwrap();
    let store = Sqlite::open(&store).unwrap();
    assert_eq!(store.count(&ann()).await.unwrap(), 1);
}

#[tokio::test]
async fn a_copy_that_is_not_good_changes_nothing() {
    let site = Site::new().await;
    let large = Sqlite::open(site.path("large")).unwrap();
    for i in 0..100 {
        push(&large, &i.to_string().repeat(1000)).await;
    }
    large.backup_to(site.path("whole")).await.unwrap();
    let whole = fs::read(site.path("whole")).unwrap();
    let sql = |text: &str| {
        let _ = fs::remove_file(site.copy());
        let connection = Connection::open(site.copy()).unwrap();
        connection.execute_batch(text).unwrap();
    };
    let is = |bytes: &[u8]| fs::write(site.copy(), bytes).unwrap();

    let mut torn = whole.clone();
    let middle = torn.len() / 2;
    torn[middle..middle + 4096].fill(0xff);
    is(&torn);
    refused(&site, |error| matches!(error, OpenError::Damaged { .. })).await;
    is(&whole[..middle]);
    refused(&site, |error| matches!(error, OpenError::Damaged { .. })).await;
    is(b"");
    refused(&site, |error| matches!(error, OpenError::Foreign(_))).await;
    is("buy milk\n".repeat(1000).as_bytes());
    refused(&site, |error| {
        error.to_string().ends_with("copy: file is not a database")
    })
    .await;
    fs::remove_file(site.copy()).unwrap();
    refused(&site, |error| error.to_string().contains("cannot read")).await;
    assert!(!site.copy().exists(), "it was made");
    fs::create_dir(site.copy()).unwrap();
    refused(&site, |error| {
        error.to_string().contains("it is not a file")
    })
    .await;
    fs::remove_dir(site.copy()).unwrap();
    sql("CREATE TABLE recipes (x)");
    refused(&site, |error| matches!(error, OpenError::Foreign(_))).await;
    is(&whole);
    Connection::open(site.copy())
        .unwrap()
        .execute_batch("PRAGMA user_version = 999")
        .unwrap();
    let newer = |error: &OpenError| matches!(error, OpenError::Newer { found: 999, .. });
    refused(&site, newer).await;

    is(&whole);
    site.restore(Existing::Replace).unwrap();
    assert_eq!(site.texts().await.len(), 100);
}

/// The copy is refused, and the store is as it was.
async fn refused(site: &Site, expected: impl Fn(&OpenError) -> bool) {
    let error = site.restore(Existing::Replace).unwrap_err();
    assert!(expected(&error), "{error:?}");
    assert!(!site.path("store.partial").exists(), "{error:?}");
    assert_eq!(site.texts().await, ["before", "after"], "{error:?}");
}
