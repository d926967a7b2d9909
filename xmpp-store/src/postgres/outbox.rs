//! Stanzas that wait for other servers.

use async_trait::async_trait;
use xmpp_core::BareJid;
use xmpp_core::store::{Outbox, QueuedStanza, Result};
use xmpp_core::time::Timestamp;

use super::writer::Write;
use super::{Postgres, clamp, column, natural};

#[async_trait]
impl Outbox for Postgres {
    async fn enqueue(&self, domain: &BareJid, stanzas: &[(Timestamp, String)]) -> Result<Vec<u64>> {
        let octets = stanzas.iter().map(|(_, xml)| xml.len()).sum();
        let insert = "INSERT INTO outbox (domain, at, xml)
             SELECT $1, at, xml FROM unnest($2::bigint[], $3::text[]) WITH ORDINALITY AS new (at, xml, n)
             ORDER BY n RETURNING id";
        let (times, texts): (Vec<i64>, Vec<String>) =
            stanzas.iter().map(|(at, xml)| (at.0, xml.clone())).unzip();
        let write = Write::new(domain, octets, insert).with(times).with(texts);
        let rows = self.write(write).await?;
        let ids: Result<Vec<u64>> = rows.iter().map(|row| natural(row, 0)).collect();
        let mut ids = ids?;
        // They were given in the order of the stanzas.
        ids.sort_unstable();
        Ok(ids)
    }

    async fn queued(
        &self,
        domain: &BareJid,
        after: u64,
        limit: usize,
    ) -> Result<Vec<QueuedStanza>> {
        let select = "SELECT id, at, xml FROM outbox
             WHERE domain = $1 AND id > $2 ORDER BY id LIMIT $3";
        let (after, limit) = (clamp(after), clamp(limit));
        let rows = self
            .read(select, &[&domain.as_str(), &after, &limit])
            .await?;
        let stanzas = rows.iter().map(|row| {
            Ok(QueuedStanza {
                id: natural(row, 0)?,
                at: Timestamp(column(row, 1)?),
                xml: column(row, 2)?,
            })
        });
        stanzas.collect()
    }

    async fn dequeue(&self, domain: &BareJid, ids: &[u64]) -> Result<()> {
        let delete = "DELETE FROM outbox WHERE domain = $1 AND id = ANY ($2)";
        let ids: Vec<i64> = ids.iter().map(|id| clamp(*id)).collect();
        let write = Write::new(domain, 0, delete).with(ids);
        self.write(write).await.map(drop)
    }
}
