//! vCards.

use async_trait::async_trait;
use xmpp_core::BareJid;
use xmpp_core::store::{Result, VCards};

use super::writer::Write;
use super::{Postgres, column};

#[async_trait]
impl VCards for Postgres {
    async fn load(&self, account: &BareJid) -> Result<Option<String>> {
        let select = "SELECT xml FROM vcard WHERE account = $1";
        let rows = self.read(select, &[&account.as_str()]).await?;
        rows.first().map(|row| column(row, 0)).transpose()
    }

    async fn save(&self, account: &BareJid, xml: &str) -> Result<()> {
        let insert = "INSERT INTO vcard (account, xml) VALUES ($1, $2)
             ON CONFLICT (account) DO UPDATE SET xml = excluded.xml";
        let write = Write::new(account, xml.len(), insert).with(xml.to_owned());
        self.write(write).await.map(drop)
    }

    async fn forget(&self, account: &BareJid) -> Result<()> {
        let delete = "DELETE FROM vcard WHERE account = $1";
        self.write(Write::new(account, 0, delete)).await.map(drop)
    }
}
