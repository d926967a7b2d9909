//! vCards.

use async_trait::async_trait;
use rusqlite::OptionalExtension;
use xmpp_core::BareJid;
use xmpp_core::store::{Result, VCards};

use super::Sqlite;

#[async_trait]
impl VCards for Sqlite {
    async fn load(&self, account: &BareJid) -> Result<Option<String>> {
        let account = account.clone();
        self.read(move |db| {
            db.prepare_cached("SELECT xml FROM vcard WHERE account = ?1")?
                .query_row([account.as_str()], |row| row.get(0))
                .optional()
        })
        .await
    }

    async fn save(&self, account: &BareJid, xml: &str) -> Result<()> {
        let (account, xml) = (account.clone(), xml.to_owned());
        self.write(xml.len(), move |db| {
            db.prepare_cached("INSERT OR REPLACE INTO vcard (account, xml) VALUES (?1, ?2)")?
                .execute([account.as_str(), &xml])?;
            Ok(())
        })
        .await
    }

    async fn forget(&self, account: &BareJid) -> Result<()> {
        let account = account.clone();
        self.write(0, move |db| {
            db.prepare_cached("DELETE FROM vcard WHERE account = ?1")?
                .execute([account.as_str()])?;
            Ok(())
        })
        .await
    }
}
