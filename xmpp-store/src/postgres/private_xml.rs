//! Private XML.

use async_trait::async_trait;
use xmpp_core::BareJid;
use xmpp_core::store::{PrivateElement, PrivateXml, Result};

use super::writer::Write;
use super::{Postgres, clamp, column, digest};

#[async_trait]
impl PrivateXml for Postgres {
    async fn load(&self, account: &BareJid, name: &str, namespace: &str) -> Result<Option<String>> {
        let select = "SELECT xml FROM private_xml WHERE account = $1 AND key = $2";
        let key = digest(&[namespace, name]);
        let rows = self.read(select, &[&account.as_str(), &key]).await?;
        rows.first().map(|row| column(row, 0)).transpose()
    }

    async fn save(
        &self,
        account: &BareJid,
        elements: &[PrivateElement],
        limit: usize,
    ) -> Result<bool> {
        let octets = elements.iter().map(|element| element.xml.len()).sum();
        let write = Write::new(
            account,
            octets,
            "WITH room AS (
                 SELECT coalesce(sum(octet_length(xml)), 0) + $6::bigint <= $7::bigint AS enough
                 FROM private_xml WHERE account = $1 AND key <> ALL ($2::bytea[])
             ), saved AS (
                 INSERT INTO private_xml (account, key, namespace, name, xml)
                 SELECT $1, new.* FROM room, unnest($2::bytea[], $3::text[], $4::text[], $5::text[]) AS new
                 WHERE room.enough
                 ON CONFLICT (account, key) DO UPDATE SET xml = excluded.xml
             )
             SELECT enough FROM room",
        );
        let texts = |text: fn(&PrivateElement) -> &String| -> Vec<String> {
            elements.iter().map(text).cloned().collect()
        };
        let keys = elements
            .iter()
            .map(|element| digest(&[&element.namespace, &element.name]));
        let write = write
            .with(keys.collect::<Vec<_>>())
            .with(texts(|element| &element.namespace))
            .with(texts(|element| &element.name))
            .with(texts(|element| &element.xml))
            .with(clamp(octets))
            .with(clamp(limit));
        let rows = self.write(write).await?;
        rows.first().map_or(Ok(false), |row| column(row, 0))
    }

    async fn forget(&self, account: &BareJid) -> Result<()> {
        let delete = "DELETE FROM private_xml WHERE account = $1";
        self.write(Write::new(account, 0, delete)).await.map(drop)
    }
}
