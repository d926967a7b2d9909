//! Sessions over a restart.

use async_trait::async_trait;
use xmpp_core::BareJid;
use xmpp_core::store::{KeptSession, Result, Sessions};

use super::writer::Write;
use super::{Postgres, clamp, column, parsed};

#[async_trait]
impl Sessions for Postgres {
    async fn keep(&self, account: &BareJid, name: &str, state: &str) -> Result<()> {
        let insert = "INSERT INTO session (account, name, state) VALUES ($1, $2, $3)
             ON CONFLICT (account, name) DO UPDATE SET state = excluded.state";
        let write = Write::new(account, state.len(), insert);
        let write = write.with(name.to_owned()).with(state.to_owned());
        self.write(write).await.map(drop)
    }

    async fn kept(
        &self,
        after: Option<(&BareJid, &str)>,
        limit: usize,
    ) -> Result<Vec<KeptSession>> {
        let select = "SELECT account, name, state FROM session
             WHERE (account, name) > ($1, $2) ORDER BY account, name LIMIT $3";
        // No account is called so.
        let (account, name) = after.map_or(("", ""), |(account, name)| (account.as_str(), name));
        let rows = self.read(select, &[&account, &name, &clamp(limit)]).await?;
        let kept = rows.iter().map(|row| {
            Ok(KeptSession {
                account: parsed(row, 0)?,
                name: column(row, 1)?,
                state: column(row, 2)?,
            })
        });
        kept.collect()
    }

    async fn release(&self, account: &BareJid, name: &str) -> Result<()> {
        let delete = "DELETE FROM session WHERE account = $1 AND name = $2";
        let write = Write::new(account, 0, delete).with(name.to_owned());
        self.write(write).await.map(drop)
    }

    async fn forget(&self, account: &BareJid) -> Result<()> {
        let delete = "DELETE FROM session WHERE account = $1";
        self.write(Write::new(account, 0, delete)).await.map(drop)
    }
}
