//! Accounts and their credentials.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};
use xmpp_core::BareJid;
use xmpp_core::sasl::{Credentials, Hash, Keys};
use xmpp_core::store::{Accounts, Result};
use xmpp_core::time::Timestamp;

use super::{Sqlite, clamp, parsed};

/// Accounts that [`Accounts::create_many`] creates in one change.
const CHUNK: usize = 1000;

/// About what an account takes in memory, in octets.
const ACCOUNT: usize = 512;

#[async_trait]
impl Accounts for Sqlite {
    async fn create(&self, account: &BareJid, credentials: &Credentials) -> Result<bool> {
        let (account, credentials) = (account.clone(), credentials.clone());
        self.write(ACCOUNT, move |db| create(db, &account, &credentials))
            .await
    }

    async fn create_many(&self, accounts: &[(BareJid, Credentials)]) -> Result<usize> {
        let mut new = 0;
        for chunk in accounts.chunks(CHUNK) {
            let chunk = chunk.to_vec();
            let created = self.write(chunk.len() * ACCOUNT, move |db| {
                chunk.iter().try_fold(0, |new, (account, credentials)| {
                    Ok(new + usize::from(create(db, account, credentials)?))
                })
            });
            new += created.await?;
        }
        Ok(new)
    }

    async fn credentials(&self, account: &BareJid) -> Result<Option<Credentials>> {
        let account = account.clone();
        self.read(move |db| {
            let mut select = db.prepare_cached(
                "SELECT hash, salt, iterations, stored_key, server_key
                 FROM account LEFT JOIN account_key ON account = jid WHERE jid = ?1",
            )?;
            let mut rows = select.query([account.as_str()])?;
            let mut found: Option<Vec<Keys>> = None;
            while let Some(row) = rows.next()? {
                found.get_or_insert_default().extend(keys(row)?);
            }
            Ok(found.map(Credentials::from_iter))
        })
        .await
    }

    async fn exists(&self, account: &BareJid) -> Result<bool> {
        let account = account.clone();
        self.read(move |db| {
            db.prepare_cached("SELECT 1 FROM account WHERE jid = ?1")?
                .exists([account.as_str()])
        })
        .await
    }

    async fn set_credentials(&self, account: &BareJid, credentials: &Credentials) -> Result<bool> {
        let (account, credentials) = (account.clone(), credentials.clone());
        self.write(ACCOUNT, move |db| {
            let known = db
                .prepare_cached("SELECT 1 FROM account WHERE jid = ?1")?
                .exists([account.as_str()])?;
            if known {
                db.prepare_cached("DELETE FROM account_key WHERE account = ?1")?
                    .execute([account.as_str()])?;
                insert_keys(db, &account, &credentials)?;
            }
            Ok(known)
        })
        .await
    }

    async fn delete(&self, account: &BareJid) -> Result<bool> {
        let account = account.clone();
        self.write(ACCOUNT, move |db| {
            clear(db, &account)?;
            db.prepare_cached("DELETE FROM account_key WHERE account = ?1")?
                .execute([account.as_str()])?;
            let deleted = db
                .prepare_cached("DELETE FROM account WHERE jid = ?1")?
                .execute([account.as_str()])?;
            Ok(deleted > 0)
        })
        .await
    }

    async fn list(
        &self,
        domain: &str,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<BareJid>> {
        let domain = domain.to_owned();
        let after = after.map_or(String::new(), BareJid::to_string);
        self.read(move |db| {
            db.prepare_cached(
                "SELECT jid FROM account WHERE domain = ?1 AND jid > ?2 ORDER BY jid LIMIT ?3",
            )?
            .query_map(params![domain, after, clamp(limit)], |row| parsed(row, 0))?
            .collect()
        })
        .await
    }

    async fn set_last_activity(
        &self,
        account: &BareJid,
        at: Timestamp,
        status: &str,
    ) -> Result<()> {
        let (account, status) = (account.clone(), status.to_owned());
        self.write(status.len(), move |db| {
            db.prepare_cached(
                "UPDATE account SET last_seen = ?2, last_status = ?3 WHERE jid = ?1",
            )?
            .execute(params![account.as_str(), at.0, status])?;
            Ok(())
        })
        .await
    }

    async fn last_activity(&self, account: &BareJid) -> Result<Option<(Timestamp, String)>> {
        let account = account.clone();
        self.read(move |db| {
            db.prepare_cached(
                "SELECT last_seen, last_status FROM account
                 WHERE jid = ?1 AND last_seen IS NOT NULL",
            )?
            .query_row([account.as_str()], |row| {
                Ok((Timestamp(row.get(0)?), row.get(1)?))
            })
            .optional()
        })
        .await
    }
}

fn create(db: &Connection, account: &BareJid, credentials: &Credentials) -> rusqlite::Result<bool> {
    let created = db
        .prepare_cached("INSERT INTO account (jid, domain) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute([account.as_str(), account.domain()])?;
    if created == 0 {
        return Ok(false);
    }
    clear(db, account)?;
    insert_keys(db, account, credentials)?;
    Ok(true)
}

/// Deletes what the other ports hold of an account.
fn clear(db: &Connection, account: &BareJid) -> rusqlite::Result<()> {
    for delete in [
        "DELETE FROM roster WHERE account = ?1",
        "DELETE FROM roster_item WHERE account = ?1",
        "DELETE FROM offline WHERE account = ?1",
        "DELETE FROM offline_claim WHERE account = ?1",
        "DELETE FROM private_xml WHERE account = ?1",
        "DELETE FROM vcard WHERE account = ?1",
        "DELETE FROM blocked WHERE account = ?1",
        "DELETE FROM session WHERE account = ?1",
    ] {
        db.prepare_cached(delete)?.execute([account.as_str()])?;
    }
    Ok(())
}

fn insert_keys(
    db: &Connection,
    account: &BareJid,
    credentials: &Credentials,
) -> rusqlite::Result<()> {
    let mut insert = db.prepare_cached(
        "INSERT INTO account_key (account, hash, iterations, salt, stored_key, server_key)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for keys in credentials.iter() {
        insert.execute(params![
            account.as_str(),
            keys.hash().name(),
            keys.iterations(),
            keys.salt(),
            keys.stored_key(),
            keys.server_key(),
        ])?;
    }
    Ok(())
}

/// The keys of a row; `None` where an account has none, or for a hash that this release
/// does not know.
fn keys(row: &Row<'_>) -> rusqlite::Result<Option<Keys>> {
    let name = row.get_ref(0)?.as_str_or_null()?;
    let Some(hash) = Hash::ALL.into_iter().find(|hash| Some(hash.name()) == name) else {
        return Ok(None);
    };
    let keys = Keys::new(hash, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
    keys.map(Some).map_err(|error| {
        let kind = rusqlite::types::Type::Blob;
        rusqlite::Error::FromSqlConversionFailure(3, kind, Box::new(error))
    })
}
