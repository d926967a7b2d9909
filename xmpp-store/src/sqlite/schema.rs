//! The schema and its migrations.
//!
//! Each step is a file `schema/NNNN.sql` that is never changed once it was released; the
//! file's `user_version` says how many were taken. Steps expand, then contract: one adds
//! tables, columns and indexes, so that the release before could still have worked with the
//! result; what that made superfluous goes in a later release.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::error::{OpenError, Trying};

/// All steps in their order.
pub(super) const STEPS: &[&str] = &[
    include_str!("schema/0001.sql"),
    include_str!("schema/0002.sql"),
    include_str!("schema/0003.sql"),
    include_str!("schema/0004.sql"),
    include_str!("schema/0005.sql"),
    include_str!("schema/0006.sql"),
    include_str!("schema/0007.sql"),
];

/// Marks the file as ours (`PRAGMA application_id`): "xmpp".
const APPLICATION: u32 = u32::from_be_bytes(*b"xmpp");

/// Refuses a file of another program, before anything is changed in it.
pub(super) fn recognise(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let ours = is_ours(connection);
    match ours.trying(|| format!("read the schema of {}", path.display()))? {
        true => Ok(()),
        false => Err(OpenError::Foreign(path.to_owned())),
    }
}

/// Refuses what is no store with a schema that this release knows.
pub(super) fn check(connection: &Connection, path: &Path, steps: &[&str]) -> Result<(), OpenError> {
    recognise(connection, path)?;
    let known = steps.len() as u32;
    let found = version(connection);
    match found.trying(|| format!("read the schema of {}", path.display()))? {
        0 => Err(OpenError::Foreign(path.to_owned())),
        found if found > known => Err(OpenError::Newer { found, known }),
        _ => Ok(()),
    }
}

/// Takes the steps that the file lacks, each in a transaction of its own.
pub(super) fn migrate(
    connection: &mut Connection,
    path: &Path,
    steps: &[&str],
) -> Result<(), OpenError> {
    let known = steps.len() as u32;
    let found = version(connection);
    let found = found.trying(|| format!("read the schema of {}", path.display()))?;
    if found > known {
        return Err(OpenError::Newer { found, known });
    }
    for (step, version) in steps.iter().zip(1..).skip(found as usize) {
        let taken = take(connection, step, version);
        taken.trying(|| format!("bring {} to schema {version}", path.display()))?;
        tracing::info!(version, path = %path.display(), "schema migrated");
    }
    Ok(())
}

fn take(connection: &mut Connection, step: &str, version: u32) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(step)?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", version)?;
    transaction.commit()
}

fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Whether the file bears our mark, or nothing at all.
fn is_ours(connection: &Connection) -> rusqlite::Result<bool> {
    let application: u32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let count = "SELECT count(*) FROM sqlite_schema";
    let tables: u32 = connection.query_row(count, [], |row| row.get(0))?;
    Ok(application == APPLICATION || (tables == 0 && version(connection)? == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(connection: &Connection) -> Vec<String> {
        let names = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
        let mut statement = connection.prepare(names).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    #[test]
    fn each_step_is_taken_once() {
        let mut connection = Connection::open_in_memory().unwrap();
        let steps = [
            "CREATE TABLE one (x); INSERT INTO one VALUES (1)",
            "CREATE TABLE two AS SELECT x FROM one",
        ];
        for known in [1, 1, 2, 2] {
            migrate(&mut connection, Path::new("x"), &steps[..known]).unwrap();
            assert_eq!(version(&connection).unwrap(), known as u32);
        }
        assert_eq!(tables(&connection), ["one", "two"]);
    }

    #[test]
    fn a_step_that_fails_leaves_the_file_as_it_was() {
        let mut connection = Connection::open_in_memory().unwrap();
        let steps = ["CREATE TABLE one (x)", "CREATE TABLE two (x); nonsense"];
        let error = migrate(&mut connection, Path::new("x"), &steps).unwrap_err();
        assert!(error.to_string().contains("to schema 2"), "{error}");
        assert_eq!(tables(&connection), ["one"]);
        assert_eq!(version(&connection).unwrap(), 1);
    }

    #[test]
    fn a_newer_file_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        let steps = ["CREATE TABLE one (x)", "CREATE TABLE two (x)"];
        migrate(&mut connection, Path::new("x"), &steps).unwrap();
        let error = migrate(&mut connection, Path::new("x"), &steps[..1]).unwrap_err();
        assert!(matches!(error, OpenError::Newer { found: 2, known: 1 }));
    }

    #[test]
    fn a_file_of_another_program_is_refused() {
        for made in ["CREATE TABLE x (x)", "PRAGMA user_version = 1"] {
            let connection = Connection::open_in_memory().unwrap();
            connection.execute_batch(made).unwrap();
            let error = recognise(&connection, Path::new("x")).unwrap_err();
            assert!(matches!(error, OpenError::Foreign(_)), "{error}");
        }
    }
}
