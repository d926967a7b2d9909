//! Offline messages.

use async_trait::async_trait;
use rusqlite::params;
use xmpp_core::BareJid;
use xmpp_core::store::{Offline, OfflineLimits, OfflineMessage, Result};
use xmpp_core::time::Timestamp;

use super::{Sqlite, clamp};

#[async_trait]
impl Offline for Sqlite {
    async fn push(
        &self,
        account: &BareJid,
        at: Timestamp,
        xml: &str,
        limits: OfflineLimits,
    ) -> Result<bool> {
        let (account, xml) = (account.clone(), xml.to_owned());
        self.write(xml.len(), move |db| {
            let pushed = db
                .prepare_cached(
                    "INSERT INTO offline (account, at, xml) SELECT ?1, ?2, ?3
                     WHERE (SELECT count(*) FROM offline WHERE account = ?1) < ?4
                     AND (SELECT coalesce(sum(octet_length(xml)), 0) FROM offline
                          WHERE account = ?1) + octet_length(?3) <= ?5",
                )?
                .execute(params![
                    account.as_str(),
                    at.0,
                    xml,
                    clamp(limits.messages),
                    clamp(limits.octets)
                ])?;
            Ok(pushed > 0)
        })
        .await
    }

    async fn page(
        &self,
        account: &BareJid,
        after: u64,
        limit: usize,
    ) -> Result<Vec<OfflineMessage>> {
        let account = account.clone();
        self.read(move |db| {
            db.prepare_cached(
                "SELECT id, at, xml FROM offline
                 WHERE account = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
            )?
            .query_map(
                params![account.as_str(), clamp(after), clamp(limit)],
                |row| {
                    Ok(OfflineMessage {
                        id: row.get(0)?,
                        at: Timestamp(row.get(1)?),
                        xml: row.get(2)?,
                    })
                },
            )?
            .collect()
        })
        .await
    }

    async fn delete_through(&self, account: &BareJid, id: u64) -> Result<()> {
        let account = account.clone();
        self.write(0, move |db| {
            db.prepare_cached("DELETE FROM offline WHERE account = ?1 AND id <= ?2")?
                .execute(params![account.as_str(), clamp(id)])?;
            Ok(())
        })
        .await
    }

    async fn count(&self, account: &BareJid) -> Result<usize> {
        let account = account.clone();
        self.read(move |db| {
            db.prepare_cached("SELECT count(*) FROM offline WHERE account = ?1")?
                .query_row([account.as_str()], |row| row.get(0))
        })
        .await
    }

    async fn forget(&self, account: &BareJid) -> Result<()> {
        self.delete_through(account, u64::MAX).await
    }
}
