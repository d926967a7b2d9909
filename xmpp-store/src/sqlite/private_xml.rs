//! Private XML.

use async_trait::async_trait;
use rusqlite::{OptionalExtension, params};
use xmpp_core::BareJid;
use xmpp_core::store::{PrivateXml, Result};

use super::{Sqlite, clamp};

#[async_trait]
impl PrivateXml for Sqlite {
    async fn load(&self, account: &BareJid, name: &str, namespace: &str) -> Result<Option<String>> {
        let key = [account.as_str(), namespace, name].map(str::to_owned);
        self.read(move |db| {
            db.prepare_cached(
                "SELECT xml FROM private_xml WHERE account = ?1 AND namespace = ?2 AND name = ?3",
            )?
            .query_row(key, |row| row.get(0))
            .optional()
        })
        .await
    }

    async fn save(
        &self,
        account: &BareJid,
        name: &str,
        namespace: &str,
        xml: &str,
        limit: usize,
    ) -> Result<bool> {
        let [account, namespace, name, xml] =
            [account.as_str(), namespace, name, xml].map(str::to_owned);
        self.write(xml.len(), move |db| {
            let saved = db
                .prepare_cached(
                    "INSERT OR REPLACE INTO private_xml (account, namespace, name, xml)
                     SELECT ?1, ?2, ?3, ?4
                     WHERE octet_length(?4) + (
                         SELECT coalesce(sum(octet_length(xml)), 0) FROM private_xml
                         WHERE account = ?1 AND NOT (namespace = ?2 AND name = ?3)
                     ) <= ?5",
                )?
                .execute(params![account, namespace, name, xml, clamp(limit)])?;
            Ok(saved > 0)
        })
        .await
    }

    async fn forget(&self, account: &BareJid) -> Result<()> {
        let account = account.clone();
        self.write(0, move |db| {
            db.prepare_cached("DELETE FROM private_xml WHERE account = ?1")?
                .execute([account.as_str()])?;
            Ok(())
        })
        .await
    }
}
