//! Block lists.

use std::collections::BTreeSet;

use async_trait::async_trait;
use xmpp_core::store::{BlockLists, Result};
use xmpp_core::{BareJid, Jid};

use super::writer::Write;
use super::{Postgres, digest, parsed};

#[async_trait]
impl BlockLists for Postgres {
    async fn load(&self, account: &BareJid) -> Result<Vec<Jid>> {
        let select = "SELECT jid FROM blocked WHERE account = $1";
        let rows = self.read(select, &[&account.as_str()]).await?;
        rows.iter().map(|row| parsed(row, 0)).collect()
    }

    async fn change(&self, account: &BareJid, add: &[Jid], remove: &[Jid]) -> Result<()> {
        // The parts of the statement see the table as it was, so what is in both lists must
        // be in one.
        let add: BTreeSet<&str> = add.iter().map(Jid::as_str).collect();
        let remove = remove.iter().map(Jid::as_str);
        let remove: BTreeSet<&str> = remove.filter(|jid| !add.contains(jid)).collect();
        let write = Write::new(
            account,
            add.iter().chain(&remove).map(|jid| jid.len()).sum(),
            "WITH old AS (DELETE FROM blocked WHERE account = $1 AND key = ANY ($4::bytea[]))
             INSERT INTO blocked (account, key, jid)
             SELECT $1, new.* FROM unnest($2::bytea[], $3::text[]) AS new ON CONFLICT DO NOTHING",
        );
        let digests = |jids: &BTreeSet<&str>| -> Vec<Vec<u8>> {
            jids.iter().map(|jid| digest(&[jid])).collect()
        };
        let jids: Vec<String> = add.iter().map(|jid| (*jid).to_owned()).collect();
        let write = write.with(digests(&add)).with(jids).with(digests(&remove));
        self.write(write).await.map(drop)
    }

    async fn forget(&self, account: &BareJid) -> Result<()> {
        let delete = "DELETE FROM blocked WHERE account = $1";
        self.write(Write::new(account, 0, delete)).await.map(drop)
    }
}
