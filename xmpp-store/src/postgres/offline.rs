//! Offline messages.

use async_trait::async_trait;
use xmpp_core::BareJid;
use xmpp_core::store::{Offline, OfflineLimits, OfflineMessage, Result};
use xmpp_core::time::Timestamp;

use super::writer::Write;
use super::{Postgres, clamp, column, natural};

#[async_trait]
impl Offline for Postgres {
    async fn push(
        &self,
        account: &BareJid,
        at: Timestamp,
        xml: &str,
        limits: OfflineLimits,
    ) -> Result<bool> {
        let write = Write::new(
            account,
            xml.len(),
            "INSERT INTO offline (account, at, xml) SELECT $1, $2, $3
             WHERE (SELECT count(*) FROM offline WHERE account = $1) < $4
             AND (SELECT coalesce(sum(octet_length(xml)), 0) FROM offline
                  WHERE account = $1) + octet_length($3::text) <= $5 RETURNING 1",
        );
        let write = write.with(at.0).with(xml.to_owned());
        let write = write
            .with(clamp(limits.messages))
            .with(clamp(limits.octets));
        Ok(!self.write(write).await?.is_empty())
    }

    async fn page(
        &self,
        account: &BareJid,
        after: u64,
        limit: usize,
    ) -> Result<Vec<OfflineMessage>> {
        let select = "SELECT id, at, xml FROM offline
             WHERE account = $1 AND id > $2 ORDER BY id LIMIT $3";
        let (after, limit) = (clamp(after), clamp(limit));
        let rows = self
            .read(select, &[&account.as_str(), &after, &limit])
            .await?;
        let messages = rows.iter().map(|row| {
            Ok(OfflineMessage {
                id: natural(row, 0)?,
                at: Timestamp(column(row, 1)?),
                xml: column(row, 2)?,
            })
        });
        messages.collect()
    }

    async fn delete(&self, account: &BareJid, ids: &[u64]) -> Result<()> {
        let delete = "DELETE FROM offline WHERE account = $1 AND id = ANY ($2)";
        let ids: Vec<i64> = ids.iter().map(|id| clamp(*id)).collect();
        let write = Write::new(account, 0, delete).with(ids);
        self.write(write).await.map(drop)
    }

    async fn count(&self, account: &BareJid) -> Result<usize> {
        let select = "SELECT count(*) FROM offline WHERE account = $1";
        let rows = self.read(select, &[&account.as_str()]).await?;
        let counted = rows.first().map(|row| natural(row, 0));
        Ok(counted.transpose()?.unwrap_or(0) as usize)
    }

    async fn claim(
        &self,
        account: &BareJid,
        holder: u64,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool> {
        let holder = holder.cast_signed();
        if until <= now {
            let delete = "DELETE FROM offline_claim WHERE account = $1 AND holder = $2";
            let write = Write::new(account, 0, delete).with(holder);
            return self.write(write).await.map(|_| true);
        }
        let write = Write::new(
            account,
            0,
            "INSERT INTO offline_claim AS claim (account, holder, until) VALUES ($1, $2, $4)
             ON CONFLICT (account) DO UPDATE SET holder = excluded.holder, until = excluded.until
             WHERE claim.holder = excluded.holder OR claim.until <= $3 RETURNING 1",
        );
        let write = write.with(holder).with(now.0).with(until.0);
        Ok(!self.write(write).await?.is_empty())
    }

    async fn forget(&self, account: &BareJid) -> Result<()> {
        let delete = "DELETE FROM offline WHERE account = $1";
        self.write(Write::new(account, 0, delete)).await.map(drop)
    }
}
