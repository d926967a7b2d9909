//! Private XML.

use async_trait::async_trait;
use rusqlite::OptionalExtension;
use xmpp_core::BareJid;
use xmpp_core::store::{PrivateElement, PrivateXml, Result};

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
        elements: &[PrivateElement],
        limit: usize,
    ) -> Result<bool> {
        let (account, elements) = (account.clone(), elements.to_vec());
        let octets = elements.iter().map(|element| element.xml.len()).sum();
        self.write(octets, move |db| {
            let account = account.as_str();
            let mut kept: i64 = db
                .prepare_cached(
                    "SELECT coalesce(sum(octet_length(xml)), 0) FROM private_xml
                     WHERE account = ?1",
                )?
                .query_row([account], |row| row.get(0))?;
            let mut replaced = db.prepare_cached(
                "SELECT octet_length(xml) FROM private_xml
                 WHERE account = ?1 AND namespace = ?2 AND name = ?3",
            )?;
            for element in &elements {
                let key = [account, &element.namespace, &element.name];
                let octets = replaced.query_row(key, |row| row.get::<_, i64>(0));
                kept -= octets.optional()?.unwrap_or(0);
            }
            if kept.saturating_add(clamp(octets)) > clamp(limit) {
                return Ok(false);
            }
            let mut put = db.prepare_cached(
                "INSERT OR REPLACE INTO private_xml (account, namespace, name, xml)
                 VALUES (?1, ?2, ?3, ?4)",
            )?;
            for PrivateElement {
                name,
                namespace,
                xml,
            } in &elements
            {
                put.execute([account, namespace, name, xml])?;
            }
            Ok(true)
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
