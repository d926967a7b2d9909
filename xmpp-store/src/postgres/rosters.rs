//! Rosters.

use async_trait::async_trait;
use tokio_postgres::Row;
use xmpp_core::BareJid;
use xmpp_core::store::{Ask, Result, RosterItem, Rosters, StoreError, StoredRoster, Subscription};

use super::writer::Write;
use super::{Postgres, clamp, column, digest, natural, parsed};

#[async_trait]
impl Rosters for Postgres {
    async fn load(&self, account: &BareJid) -> Result<StoredRoster> {
        // One statement, so that items and version are of one moment.
        let select =
            "SELECT version, contact, name, group_names, subscription, ask, approved, pending_in
             FROM roster LEFT JOIN roster_item USING (account) WHERE account = $1";
        let rows = self.read(select, &[&account.as_str()]).await?;
        let mut roster = StoredRoster::default();
        for row in &rows {
            roster.version = natural(row, 0)?;
            roster.items.extend(item(row)?);
        }
        Ok(roster)
    }

    async fn put(&self, account: &BareJid, item: &RosterItem) -> Result<u64> {
        let texts = item.groups.iter().chain(&item.name).chain(&item.pending_in);
        let write = Write::new(
            account,
            texts.map(String::len).sum(),
            "WITH item AS (
                 INSERT INTO roster_item
                 (account, key, contact, name, group_names, subscription, ask, approved, pending_in)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
                 ON CONFLICT (account, key) DO UPDATE SET
                     name = excluded.name, group_names = excluded.group_names,
                     subscription = excluded.subscription, ask = excluded.ask,
                     approved = excluded.approved, pending_in = excluded.pending_in
             )
             INSERT INTO roster (account, version) VALUES ($1, nextval('roster_version'))
             ON CONFLICT (account) DO UPDATE SET version = excluded.version RETURNING version",
        );
        let write = write
            .with(digest(&[item.jid.as_str()]))
            .with(item.jid.to_string())
            .with(item.name.clone())
            .with(item.groups.clone())
            .with(item.subscription.as_str())
            .with(item.ask.is_some())
            .with(item.approved)
            .with(item.pending_in.clone());
        version(&self.write(write).await?)
    }

    async fn remove(&self, account: &BareJid, contact: &BareJid) -> Result<u64> {
        let write = Write::new(
            account,
            0,
            "WITH item AS (DELETE FROM roster_item WHERE account = $1 AND key = $2)
             INSERT INTO roster (account, version) VALUES ($1, nextval('roster_version'))
             ON CONFLICT (account) DO UPDATE SET version = excluded.version RETURNING version",
        );
        let write = write.with(digest(&[contact.as_str()]));
        version(&self.write(write).await?)
    }

    async fn put_since(
        &self,
        account: &BareJid,
        item: &RosterItem,
        since: u64,
    ) -> Result<Option<u64>> {
        let texts = item.groups.iter().chain(&item.name).chain(&item.pending_in);
        // The version's row is locked, and looked at as it is then, before anything else is done.
        let write = Write::new(
            account,
            texts.map(String::len).sum(),
            "WITH changed AS (
                 INSERT INTO roster (account, version)
                 SELECT $1, nextval('roster_version')
                 WHERE $10::bigint = 0 OR EXISTS (SELECT FROM roster WHERE account = $1)
                 ON CONFLICT (account) DO UPDATE SET version = excluded.version
                     WHERE roster.version = $10::bigint
                 RETURNING version
             ), item AS (
                 INSERT INTO roster_item
                 (account, key, contact, name, group_names, subscription, ask, approved, pending_in)
                 SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9 FROM changed
                 ON CONFLICT (account, key) DO UPDATE SET
                     name = excluded.name, group_names = excluded.group_names,
                     subscription = excluded.subscription, ask = excluded.ask,
                     approved = excluded.approved, pending_in = excluded.pending_in
             )
             SELECT version FROM changed",
        );
        let write = write
            .with(digest(&[item.jid.as_str()]))
            .with(item.jid.to_string())
            .with(item.name.clone())
            .with(item.groups.clone())
            .with(item.subscription.as_str())
            .with(item.ask.is_some())
            .with(item.approved)
            .with(item.pending_in.clone())
            .with(clamp(since));
        changed(&self.write(write).await?)
    }

    async fn remove_since(
        &self,
        account: &BareJid,
        contact: &BareJid,
        since: u64,
    ) -> Result<Option<u64>> {
        let write = Write::new(
            account,
            0,
            "WITH changed AS (
                 INSERT INTO roster (account, version)
                 SELECT $1, nextval('roster_version')
                 WHERE $3::bigint = 0 OR EXISTS (SELECT FROM roster WHERE account = $1)
                 ON CONFLICT (account) DO UPDATE SET version = excluded.version
                     WHERE roster.version = $3::bigint
                 RETURNING version
             ), item AS (
                 DELETE FROM roster_item
                 WHERE account = $1 AND key = $2 AND EXISTS (SELECT FROM changed)
             )
             SELECT version FROM changed",
        );
        let write = write.with(digest(&[contact.as_str()])).with(clamp(since));
        changed(&self.write(write).await?)
    }

    async fn forget(&self, account: &BareJid) -> Result<()> {
        let delete = "WITH items AS (DELETE FROM roster_item WHERE account = $1)
             DELETE FROM roster WHERE account = $1";
        self.write(Write::new(account, 0, delete)).await.map(drop)
    }
}

fn version(rows: &[Row]) -> Result<u64> {
    match rows {
        [row] => natural(row, 0),
        _ => Err(StoreError::Corrupt("a roster without version".into())),
    }
}

/// The version after a change that was made on a condition.
fn changed(rows: &[Row]) -> Result<Option<u64>> {
    rows.first().map(|row| natural(row, 0)).transpose()
}

/// The item of a row; `None` where a roster has none.
fn item(row: &Row) -> Result<Option<RosterItem>> {
    let Some(subscription) = column::<Option<&str>>(row, 4)? else {
        return Ok(None);
    };
    Ok(Some(RosterItem {
        jid: parsed(row, 1)?,
        name: column(row, 2)?,
        groups: column(row, 3)?,
        subscription: Subscription::parse(subscription)
            .ok_or_else(|| StoreError::Corrupt(format!("subscription {subscription:?}")))?,
        ask: column::<bool>(row, 5)?.then_some(Ask::Subscribe),
        approved: column(row, 6)?,
        pending_in: column(row, 7)?,
    }))
}
