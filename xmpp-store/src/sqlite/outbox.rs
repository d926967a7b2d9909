//! Stanzas that wait for other servers.

use async_trait::async_trait;
use rusqlite::params;
use xmpp_core::BareJid;
use xmpp_core::store::{Outbox, QueuedStanza, Result};
use xmpp_core::time::Timestamp;

use super::{Sqlite, clamp};

#[async_trait]
impl Outbox for Sqlite {
    async fn enqueue(&self, domain: &BareJid, stanzas: &[(Timestamp, String)]) -> Result<Vec<u64>> {
        let octets = stanzas.iter().map(|(_, xml)| xml.len()).sum();
        let (domain, stanzas) = (domain.clone(), stanzas.to_vec());
        self.write(octets, move |db| {
            let mut insert = db.prepare_cached(
                "INSERT INTO outbox (domain, at, xml) VALUES (?1, ?2, ?3) RETURNING id",
            )?;
            let ids = stanzas.iter().map(|(at, xml)| {
                insert.query_row(params![domain.as_str(), at.0, xml], |row| row.get(0))
            });
            ids.collect()
        })
        .await
    }

    async fn queued(
        &self,
        domain: &BareJid,
        after: u64,
        limit: usize,
    ) -> Result<Vec<QueuedStanza>> {
        let domain = domain.clone();
        self.read(move |db| {
            db.prepare_cached(
                "SELECT id, at, xml FROM outbox
                 WHERE domain = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
            )?
            .query_map(
                params![domain.as_str(), clamp(after), clamp(limit)],
                |row| {
                    Ok(QueuedStanza {
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

    async fn dequeue(&self, domain: &BareJid, ids: &[u64]) -> Result<()> {
        let (domain, ids) = (domain.clone(), ids.to_vec());
        self.write(0, move |db| {
            let mut delete =
                db.prepare_cached("DELETE FROM outbox WHERE id = ?1 AND domain = ?2")?;
            for id in ids {
                delete.execute(params![clamp(id), domain.as_str()])?;
            }
            Ok(())
        })
        .await
    }
}
