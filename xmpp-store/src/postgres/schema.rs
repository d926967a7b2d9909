//! The schema and its migrations.
//!
//! Each step is a file `schema/NNNN.sql` that is never changed once it was released.
//! Servers of two releases may work on one database while a site is being upgraded, so
//! steps expand, then contract: one adds tables, columns and indexes, with which the
//! release before can go on (`tests/postgres.rs` has this release as the one before); only when no server of that release is left does another step
//! remove what is superfluous. The table `store_schema` says which step was the last, and
//! the least that a program has to know to work with the result.

use deadpool_postgres::{GenericClient, Pool, PoolError};
use tokio_postgres::Error;

use super::{failure, lost};
use crate::error::{OpenError, Trying};

/// One step.
pub(super) struct Step {
    sql: &'static str,
    /// The last step that a program has to know to work with the result of this one:
    /// grows when a step contracts.
    needs: i32,
}

/// All steps in their order.
pub(super) const STEPS: &[Step] = &[
    Step {
        sql: include_str!("schema/0001.sql"),
        needs: 1,
    },
    // A release that does not know it leaves the sessions of deleted accounts behind, which
    // whoever knows it refuses.
    Step {
        sql: include_str!("schema/0002.sql"),
        needs: 1,
    },
    // What a release that does not know it leaves there waits for one that does.
    Step {
        sql: include_str!("schema/0003.sql"),
        needs: 1,
    },
    // A release that does not know it has no rooms.
    Step {
        sql: include_str!("schema/0004.sql"),
        needs: 1,
    },
    // A room that is destroyed takes it along, whatever release destroys it.
    Step {
        sql: include_str!("schema/0005.sql"),
        needs: 1,
    },
    // Beside a release that does not know it messages may be given out twice.
    Step {
        sql: include_str!("schema/0006.sql"),
        needs: 1,
    },
];

/// Held while a server migrates: the two numbers of an advisory lock ("xmpp", "stor").
const LOCK: &str = "SELECT pg_advisory_xact_lock(2020437104, 1937010546)";

/// Takes the steps that the database lacks, in one transaction.
pub(super) async fn migrate(pool: &Pool, steps: &[Step]) -> Result<(), OpenError> {
    let known = steps.len() as u32;
    let client = pool.get().await;
    let connect = || "connect to the database".into();
    let mut client = client
        .map_err(|error: PoolError| lost(&error))
        .trying(connect)?;
    let what = || "migrate the database".to_owned();
    let failed = |error: Error| failure(&error);

    let encoding = client.query_one("SHOW server_encoding", &[]).await;
    let encoding: String = encoding.map_err(failed).trying(what)?.get(0);
    if encoding != "UTF8" {
        let error = format!("the encoding of the database is {encoding}, not UTF8");
        return Err(error).trying(what);
    }

    let transaction = client.transaction().await.map_err(failed).trying(what)?;
    let (found, needs) = version(&transaction).await.map_err(failed).trying(what)?;
    if needs > known {
        return Err(OpenError::Newer { found, known });
    }
    for (step, version) in steps.iter().zip(1u32..).skip(found as usize) {
        let what = || format!("bring the database to schema {version}");
        let taken = take(&transaction, step, version).await;
        taken.map_err(failed).trying(what)?;
        tracing::info!(version, "schema migrated");
    }
    transaction.commit().await.map_err(failed).trying(what)
}

/// The last step that was taken, and what a program has to know. Waits for others that
/// migrate, until the transaction ends.
async fn version(client: &impl GenericClient) -> Result<(u32, u32), Error> {
    client.batch_execute(LOCK).await?;
    let create = "CREATE TABLE IF NOT EXISTS store_schema (version integer NOT NULL, needs integer NOT NULL)";
    client.batch_execute(create).await?;
    let select = "SELECT max(version), max(needs) FROM store_schema";
    let row = client.query_one(select, &[]).await?;
    let number = |column| -> Result<u32, Error> {
        let number: Option<i32> = row.try_get(column)?;
        Ok(number.unwrap_or(0).max(0) as u32)
    };
    Ok((number(0)?, number(1)?))
}

async fn take(client: &impl GenericClient, step: &Step, version: u32) -> Result<(), Error> {
    client.batch_execute(step.sql).await?;
    client.execute("DELETE FROM store_schema", &[]).await?;
    let insert = "INSERT INTO store_schema (version, needs) VALUES ($1, $2)";
    client
        .execute(insert, &[&(version as i32), &step.needs])
        .await?;
    Ok(())
}
