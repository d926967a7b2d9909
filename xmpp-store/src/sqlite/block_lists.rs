//! Block lists.

use async_trait::async_trait;
use xmpp_core::store::{BlockLists, Result};
use xmpp_core::{BareJid, Jid};

use super::{Sqlite, parsed};

#[async_trait]
impl BlockLists for Sqlite {
    async fn load(&self, account: &BareJid) -> Result<Vec<Jid>> {
        let account = account.clone();
        self.read(move |db| {
            db.prepare_cached("SELECT jid FROM blocked WHERE account = ?1")?
                .query_map([account.as_str()], |row| parsed(row, 0))?
                .collect()
        })
        .await
    }

    async fn change(&self, account: &BareJid, add: &[Jid], remove: &[Jid]) -> Result<()> {
        let (account, add, remove) = (account.clone(), add.to_vec(), remove.to_vec());
        let octets = add.iter().chain(&remove).map(|jid| jid.as_str().len());
        self.write(octets.sum(), move |db| {
            let mut delete =
                db.prepare_cached("DELETE FROM blocked WHERE account = ?1 AND jid = ?2")?;
            for jid in &remove {
                delete.execute([account.as_str(), jid.as_str()])?;
            }
            let mut insert = db.prepare_cached(
                "INSERT INTO blocked (account, jid) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            )?;
            for jid in &add {
                insert.execute([account.as_str(), jid.as_str()])?;
            }
            Ok(())
        })
        .await
    }

    async fn forget(&self, account: &BareJid) -> Result<()> {
        let account = account.clone();
        self.write(0, move |db| {
            db.prepare_cached("DELETE FROM blocked WHERE account = ?1")?
                .execute([account.as_str()])?;
            Ok(())
        })
        .await
    }
}
