//! Sessions over a restart.

use async_trait::async_trait;
use rusqlite::params;
use xmpp_core::BareJid;
use xmpp_core::store::{KeptSession, Result, Sessions};

use super::{Sqlite, clamp, parsed};

#[async_trait]
impl Sessions for Sqlite {
    async fn keep(&self, account: &BareJid, name: &str, state: &str) -> Result<()> {
        let (account, name, state) = (account.clone(), name.to_owned(), state.to_owned());
        self.write(state.len(), move |db| {
            db.prepare_cached(
                "INSERT OR REPLACE INTO session (account, name, state) VALUES (?1, ?2, ?3)",
            )?
            .execute([account.as_str(), &name, &state])?;
            Ok(())
        })
        .await
    }

    async fn kept(
        &self,
        after: Option<(&BareJid, &str)>,
        limit: usize,
    ) -> Result<Vec<KeptSession>> {
        // No account is called so.
        let (account, name) = match after {
            Some((account, name)) => (account.as_str().to_owned(), name.to_owned()),
            None => (String::new(), String::new()),
        };
        self.read(move |db| {
            db.prepare_cached(
                "SELECT account, name, state FROM session
                 WHERE (account, name) > (?1, ?2) ORDER BY account, name LIMIT ?3",
            )?
            .query_map(params![account, name, clamp(limit)], |row| {
                Ok(KeptSession {
                    account: parsed(row, 0)?,
                    name: row.get(1)?,
                    // What is no UTF-8 any more must not hold up the others.
                    state: row.get_ref(2)?.as_str().unwrap_or_default().to_owned(),
                })
            })?
            .collect()
        })
        .await
    }

    async fn release(&self, account: &BareJid, name: &str) -> Result<()> {
        let (account, name) = (account.clone(), name.to_owned());
        self.write(0, move |db| {
            db.prepare_cached("DELETE FROM session WHERE account = ?1 AND name = ?2")?
                .execute([account.as_str(), &name])?;
            Ok(())
        })
        .await
    }

    async fn forget(&self, account: &BareJid) -> Result<()> {
        let account = account.clone();
        self.write(0, move |db| {
            db.prepare_cached("DELETE FROM session WHERE account = ?1")?
                .execute([account.as_str()])?;
            Ok(())
        })
        .await
    }
}
