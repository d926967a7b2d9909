//! Private XML.

use async_trait::async_trait;
use xmpp_core::BareJid;
use xmpp_core::store::{PrivateXml, Result};

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
        name: &str,
        namespace: &str,
        xml: &str,
        limit: usize,
    ) -> Result<bool> {
        let write = Write::new(
            account,
            xml.len(),
            "INSERT INTO private_xml (account, key, namespace, name, xml) SELECT $1, $2, $3, $4, $5
             WHERE octet_length($5) + (
                 SELECT coalesce(sum(octet_length(xml)), 0) FROM private_xml
                 WHERE account = $1 AND key <> $2
             ) <= $6::bigint
             ON CONFLICT (account, key) DO UPDATE SET xml = excluded.xml RETURNING 1",
        );
        let write = write
            .with(digest(&[namespace, name]))
            .with(namespace.to_owned())
            .with(name.to_owned())
            .with(xml.to_owned())
            .with(clamp(limit));
        Ok(!self.write(write).await?.is_empty())
    }

    async fn forget(&self, account: &BareJid) -> Result<()> {
        let delete = "DELETE FROM private_xml WHERE account = $1";
        self.write(Write::new(account, 0, delete)).await.map(drop)
    }
}
