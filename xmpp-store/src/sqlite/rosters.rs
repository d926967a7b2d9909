//! Rosters.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use xmpp_core::BareJid;
use xmpp_core::store::{Ask, Result, RosterItem, Rosters, StoreError, StoredRoster, Subscription};

use super::{Sqlite, parsed};

/// Stands behind each group's name.
const END: char = '\u{1f}';

#[async_trait]
impl Rosters for Sqlite {
    async fn load(&self, account: &BareJid) -> Result<StoredRoster> {
        let account = account.clone();
        self.read(move |db| {
            // One statement, so that items and version are of one moment.
            let mut select = db.prepare_cached(
                "SELECT version, contact, name, group_names, subscription, ask, approved, pending_in
                 FROM roster LEFT JOIN roster_item USING (account) WHERE account = ?1",
            )?;
            let mut rows = select.query([account.as_str()])?;
            let mut roster = StoredRoster::default();
            while let Some(row) = rows.next()? {
                roster.version = row.get(0)?;
                roster.items.extend(item(row)?);
            }
            Ok(roster)
        })
        .await
    }

    async fn put(&self, account: &BareJid, item: &RosterItem) -> Result<u64> {
        let changed = self.put_if(account, item, None).await?;
        changed.ok_or_else(unconditional)
    }

    async fn remove(&self, account: &BareJid, contact: &BareJid) -> Result<u64> {
        let changed = self.remove_if(account, contact, None).await?;
        changed.ok_or_else(unconditional)
    }

    async fn put_since(
        &self,
        account: &BareJid,
        item: &RosterItem,
        since: u64,
    ) -> Result<Option<u64>> {
        self.put_if(account, item, Some(since)).await
    }

    async fn remove_since(
        &self,
        account: &BareJid,
        contact: &BareJid,
        since: u64,
    ) -> Result<Option<u64>> {
        self.remove_if(account, contact, Some(since)).await
    }

    async fn forget(&self, account: &BareJid) -> Result<()> {
        let account = account.clone();
        self.write(0, move |db| {
            for delete in [
                "DELETE FROM roster WHERE account = ?1",
                "DELETE FROM roster_item WHERE account = ?1",
            ] {
                db.prepare_cached(delete)?.execute([account.as_str()])?;
            }
            Ok(())
        })
        .await
    }
}

impl Sqlite {
    /// Puts an item, if the version is still `since`.
    async fn put_if(
        &self,
        account: &BareJid,
        item: &RosterItem,
        since: Option<u64>,
    ) -> Result<Option<u64>> {
        let groups = join(&item.groups)?;
        let (account, item) = (account.clone(), item.clone());
        let texts = [&item.name, &item.pending_in].into_iter().flatten();
        let octets = groups.len() + texts.map(String::len).sum::<usize>();
        self.write(octets, move |db| {
            if !is_still(db, &account, since)? {
                return Ok(None);
            }
            db.prepare_cached(
                "INSERT OR REPLACE INTO roster_item
                 (account, contact, name, group_names, subscription, ask, approved, pending_in)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                account.as_str(),
                item.jid.as_str(),
                item.name,
                groups,
                item.subscription.as_str(),
                item.ask.is_some(),
                item.approved,
                item.pending_in,
            ])?;
            next_version(db, &account).map(Some)
        })
        .await
    }

    /// Removes an item, if the version is still `since`.
    async fn remove_if(
        &self,
        account: &BareJid,
        contact: &BareJid,
        since: Option<u64>,
    ) -> Result<Option<u64>> {
        let (account, contact) = (account.clone(), contact.clone());
        self.write(0, move |db| {
            if !is_still(db, &account, since)? {
                return Ok(None);
            }
            db.prepare_cached("DELETE FROM roster_item WHERE account = ?1 AND contact = ?2")?
                .execute([account.as_str(), contact.as_str()])?;
            next_version(db, &account).map(Some)
        })
        .await
    }
}

/// Whether a roster has the version that it is to have. The change that this is part of is made after all before it, and none
/// comes in between.
fn is_still(db: &Connection, account: &BareJid, since: Option<u64>) -> rusqlite::Result<bool> {
    let Some(since) = since else {
        return Ok(true);
    };
    let version: Option<u64> = db
        .prepare_cached("SELECT version FROM roster WHERE account = ?1")?
        .query_row([account.as_str()], |row| row.get(0))
        .optional()?;
    Ok(version.unwrap_or_default() == since)
}

fn unconditional() -> StoreError {
    StoreError::Other("a change without a condition was not made".into())
}

fn next_version(db: &Connection, account: &BareJid) -> rusqlite::Result<u64> {
    db.prepare_cached("INSERT OR REPLACE INTO roster (account) VALUES (?1) RETURNING version")?
        .query_row([account.as_str()], |row| row.get(0))
}

/// The item of a row; `None` where a roster has none.
fn item(row: &Row<'_>) -> rusqlite::Result<Option<RosterItem>> {
    if row.get_ref(1)? == rusqlite::types::ValueRef::Null {
        return Ok(None);
    }
    let groups = row.get_ref(3)?.as_str()?;
    let subscription = row.get_ref(4)?.as_str()?;
    Ok(Some(RosterItem {
        jid: parsed(row, 1)?,
        name: row.get(2)?,
        groups: groups.split_terminator(END).map(str::to_owned).collect(),
        subscription: Subscription::parse(subscription).ok_or_else(|| {
            let kind = rusqlite::types::Type::Text;
            let error = format!("subscription {subscription:?}");
            rusqlite::Error::FromSqlConversionFailure(4, kind, error.into())
        })?,
        ask: row.get::<_, bool>(5)?.then_some(Ask::Subscribe),
        approved: row.get(6)?,
        pending_in: row.get(7)?,
    }))
}

fn join(groups: &[String]) -> Result<String> {
    if groups.iter().any(|name| name.contains(END)) {
        let text = "a group's name holds U+001F, which XML cannot".into();
        return Err(StoreError::Other(text));
    }
    Ok(groups.iter().flat_map(|name| [name, "\u{1f}"]).collect())
}
