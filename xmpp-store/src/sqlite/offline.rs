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
                        // What is no UTF-8 any more must not hold up the others.
                        xml: row.get_ref(2)?.as_str().unwrap_or_default().to_owned(),
                    })
                },
            )?
            .collect()
        })
        .await
    }

    async fn delete(&self, account: &BareJid, ids: &[u64]) -> Result<()> {
        let (account, ids) = (account.clone(), ids.to_vec());
        self.write(0, move |db| {
            let mut delete =
                db.prepare_cached("DELETE FROM offline WHERE id = ?1 AND account = ?2")?;
            for id in ids {
                delete.execute(params![clamp(id), account.as_str()])?;
            }
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

    async fn claim(
        &self,
        account: &BareJid,
        holder: u64,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool> {
        let (account, holder) = (account.clone(), holder.cast_signed());
        self.write(0, move |db| {
            if until <= now {
                db.prepare_cached("DELETE FROM offline_claim WHERE account = ?1 AND holder = ?2")?
                    .execute(params![account.as_str(), holder])?;
                return Ok(true);
            }
            let claimed = db
                .prepare_cached(
                    "INSERT INTO offline_claim (account, holder, until) VALUES (?1, ?2, ?4)
                     ON CONFLICT (account) DO UPDATE SET holder = ?2, until = ?4
                     WHERE holder = ?2 OR until <= ?3",
                )?
                .execute(params![account.as_str(), holder, now.0, until.0])?;
            Ok(claimed > 0)
        })
        .await
    }

    async fn forget(&self, account: &BareJid) -> Result<()> {
        let account = account.clone();
        self.write(0, move |db| {
            db.prepare_cached("DELETE FROM offline WHERE account = ?1")?
                .execute([account.as_str()])?;
            Ok(())
        })
        .await
    }
}
