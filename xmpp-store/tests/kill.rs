//! What the SQLite store has acknowledged survives the death of the process
//! (`kill -9`) in the middle of writing.

#![allow(clippy::unwrap_used)]

#[path = "kill/oracle.rs"]
mod oracle;

use std::path::Path;
use std::sync::Arc;

use futures::executor::block_on;
use oracle::{Fault, Oracle};
use rusqlite::Connection;
use xmpp_core::store::Stores;
use xmpp_store::Sqlite;

const FILE: &str = "KILL_TEST_FILE";

const ROUNDS: usize = 10;

fn open(path: &Path) -> Stores {
    Stores::from_one(Arc::new(Sqlite::open(path).unwrap()))
}

/// In the child: writes to the file it was told. `true` then.
fn was_child() -> bool {
    let Some((round, fault)) = oracle::child() else {
        return false;
    };
    let path = std::env::var_os(FILE).unwrap();
    block_on(oracle::write(&open(path.as_ref()), round, fault));
    true
}

/// Kills a writing process so many times, or until something is missing; what is missing.
fn missing_after(test: &str, fault: Fault, rounds: usize) -> Vec<(usize, usize)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("xmpp.sqlite3");
    let mut oracle = Oracle::default();
    for _ in 0..rounds {
        let env = [(FILE, path.to_str().unwrap())];
        oracle.run_and_kill(test, fault, &env);
        let missing = block_on(oracle.missing(&open(&path)));
        if !missing.is_empty() {
            return missing;
        }
        let connection = Connection::open(&path).unwrap();
        let check = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0));
        let check: String = check.unwrap();
        assert_eq!(check, "ok");
    }
    let acknowledged = oracle.acknowledged();
    oracle::report(&format!("{rounds} rounds, {acknowledged} acknowledged"));
    assert!(acknowledged > rounds, "hardly anything was written");
    Vec::new()
}

#[test]
fn nothing_acknowledged_is_missing_after_kill_9() {
    if was_child() {
        return;
    }
    let test = "nothing_acknowledged_is_missing_after_kill_9";
    let missing = missing_after(test, Fault::None, ROUNDS);
    assert_eq!(missing, [], "session and number of what is missing");
}

#[test]
fn a_store_that_acknowledges_before_it_commits_is_found() {
    if was_child() {
        return;
    }
    let test = "a_store_that_acknowledges_before_it_commits_is_found";
    let missing = missing_after(test, Fault::AcknowledgesEarly, 10 * ROUNDS);
    assert!(!missing.is_empty(), "the fault was not found");
}
