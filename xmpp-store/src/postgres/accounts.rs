//! Accounts and their credentials.

use async_trait::async_trait;
use tokio_postgres::Row;
use xmpp_core::BareJid;
use xmpp_core::sasl::{Credentials, Hash, Keys};
use xmpp_core::store::{Accounts, Result, StoreError};
use xmpp_core::time::Timestamp;

use super::writer::{GROUP, Write};
use super::{Postgres, clamp, column, parsed};

/// About what an account takes in memory, in octets.
const ACCOUNT: usize = 512;

#[async_trait]
impl Accounts for Postgres {
    async fn create(&self, account: &BareJid, credentials: &Credentials) -> Result<bool> {
        let rows = self.write(create(account, credentials)).await?;
        Ok(!rows.is_empty())
    }

    async fn create_many(&self, accounts: &[(BareJid, Credentials)]) -> Result<usize> {
        let mut new = 0;
        for chunk in accounts.chunks(GROUP) {
            let asked: Vec<_> = chunk
                .iter()
                .map(|(account, credentials)| self.writer.ask(create(account, credentials)))
                .collect::<Result<_>>()?;
            for created in asked {
                new += usize::from(!created.await?.is_empty());
            }
        }
        Ok(new)
    }

    async fn credentials(&self, account: &BareJid) -> Result<Option<Credentials>> {
        let select = "SELECT hash, salt, iterations, stored_key, server_key
             FROM account LEFT JOIN account_key ON account = jid WHERE jid = $1";
        let rows = self.read(select, &[&account.as_str()]).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let keys = rows.iter().filter_map(|row| keys(row).transpose());
        keys.collect::<Result<_>>().map(Some)
    }

    async fn exists(&self, account: &BareJid) -> Result<bool> {
        let select = "SELECT 1 FROM account WHERE jid = $1";
        let rows = self.read(select, &[&account.as_str()]).await?;
        Ok(!rows.is_empty())
    }

    async fn set_credentials(&self, account: &BareJid, credentials: &Credentials) -> Result<bool> {
        let write = Write::new(
            account,
            ACCOUNT,
            "WITH known AS (SELECT jid FROM account WHERE jid = $1),
             old AS (
                 DELETE FROM account_key USING known WHERE account = jid AND hash <> ALL ($2::text[])
             ),
             new AS (
                 INSERT INTO account_key (account, hash, iterations, salt, stored_key, server_key)
                 SELECT jid, key.* FROM known,
                     unnest($2::text[], $3::bigint[], $4::bytea[], $5::bytea[], $6::bytea[]) AS key
                 ON CONFLICT (account, hash) DO UPDATE SET
                     iterations = excluded.iterations, salt = excluded.salt,
                     stored_key = excluded.stored_key, server_key = excluded.server_key
             )
             SELECT 1 FROM known",
        );
        let rows = self.write(with_keys(write, credentials)).await?;
        Ok(!rows.is_empty())
    }

    async fn delete(&self, account: &BareJid) -> Result<bool> {
        let rows = self.write(Write::new(
            account,
            0,
            "WITH a AS (DELETE FROM roster WHERE account = $1),
             b AS (DELETE FROM roster_item WHERE account = $1),
             c AS (DELETE FROM offline WHERE account = $1),
             d AS (DELETE FROM private_xml WHERE account = $1),
             e AS (DELETE FROM vcard WHERE account = $1),
             f AS (DELETE FROM blocked WHERE account = $1),
             g AS (DELETE FROM session WHERE account = $1),
             h AS (DELETE FROM account_key WHERE account = $1),
             i AS (DELETE FROM offline_claim WHERE account = $1)
             DELETE FROM account WHERE jid = $1 RETURNING 1",
        ));
        Ok(!rows.await?.is_empty())
    }

    async fn list(
        &self,
        domain: &str,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<BareJid>> {
        let select = "SELECT jid FROM account
             WHERE hashtextextended(domain, 0) = hashtextextended($1, 0) AND domain = $1 AND jid > $2
             ORDER BY jid LIMIT $3";
        let after = after.map_or("", BareJid::as_str);
        let rows = self.read(select, &[&domain, &after, &clamp(limit)]).await?;
        rows.iter().map(|row| parsed(row, 0)).collect()
    }

    async fn set_last_activity(
        &self,
        account: &BareJid,
        at: Timestamp,
        status: &str,
    ) -> Result<()> {
        let update = "UPDATE account SET last_seen = $2, last_status = $3 WHERE jid = $1";
        let write = Write::new(account, status.len(), update);
        self.write(write.with(at.0).with(status.to_owned())).await?;
        Ok(())
    }

    async fn last_activity(&self, account: &BareJid) -> Result<Option<(Timestamp, String)>> {
        let select = "SELECT last_seen, last_status FROM account
             WHERE jid = $1 AND last_seen IS NOT NULL";
        let rows = self.read(select, &[&account.as_str()]).await?;
        let found = rows.first().map(|row| {
            let at = Timestamp(column(row, 0)?);
            Ok((at, column(row, 1)?))
        });
        found.transpose()
    }
}

fn create(account: &BareJid, credentials: &Credentials) -> Write {
    let write = Write::new(
        account,
        ACCOUNT,
        "WITH new AS (
             INSERT INTO account (jid, domain) VALUES ($1, $7) ON CONFLICT DO NOTHING RETURNING jid
         ),
         keys AS (
             INSERT INTO account_key (account, hash, iterations, salt, stored_key, server_key)
             SELECT jid, key.* FROM new,
                 unnest($2::text[], $3::bigint[], $4::bytea[], $5::bytea[], $6::bytea[]) AS key
         ),
         a AS (DELETE FROM roster USING new WHERE account = jid),
         b AS (DELETE FROM roster_item USING new WHERE account = jid),
         c AS (DELETE FROM offline USING new WHERE account = jid),
         d AS (DELETE FROM private_xml USING new WHERE account = jid),
         e AS (DELETE FROM vcard USING new WHERE account = jid),
         f AS (DELETE FROM blocked USING new WHERE account = new.jid),
         g AS (DELETE FROM session USING new WHERE account = jid),
         h AS (DELETE FROM offline_claim USING new WHERE account = jid)
         SELECT 1 FROM new",
    );
    with_keys(write, credentials).with(account.domain().to_owned())
}

/// With five parameters, an array for each column of the keys.
fn with_keys(write: Write, credentials: &Credentials) -> Write {
    let names: Vec<&str> = credentials.iter().map(|keys| keys.hash().name()).collect();
    let iterations: Vec<i64> = credentials
        .iter()
        .map(|keys| i64::from(keys.iterations()))
        .collect();
    let octets = |of: fn(&Keys) -> &[u8]| -> Vec<Vec<u8>> {
        credentials.iter().map(|keys| of(keys).to_vec()).collect()
    };
    write
        .with(names)
        .with(iterations)
        .with(octets(Keys::salt))
        .with(octets(Keys::stored_key))
        .with(octets(Keys::server_key))
}

/// The keys of a row; `None` where an account has none, or for a hash that this release
/// does not know.
fn keys(row: &Row) -> Result<Option<Keys>> {
    let name: Option<&str> = column(row, 0)?;
    let Some(hash) = Hash::ALL.into_iter().find(|hash| Some(hash.name()) == name) else {
        return Ok(None);
    };
    let iterations: i64 = column(row, 2)?;
    let corrupt = |error: &dyn std::fmt::Display| StoreError::Corrupt(error.to_string());
    let iterations = u32::try_from(iterations).map_err(|error| corrupt(&error))?;
    let (salt, stored, server) = (column(row, 1)?, column(row, 3)?, column(row, 4)?);
    let keys = Keys::new(hash, salt, iterations, stored, server);
    keys.map(Some).map_err(|error| corrupt(&error))
}
