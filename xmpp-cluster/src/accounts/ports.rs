//! The ports of the stores, as the server sees them.

use async_trait::async_trait;
use futures::future::join_all;
use xmpp_core::sasl::Credentials;
use xmpp_core::store::{
    Accounts, BlockLists, Mark, PrivateElement, PrivateXml, Result, RosterItem, Rosters,
    StoredRoster, VCards,
};
use xmpp_core::time::Timestamp;
use xmpp_core::{BareJid, Jid};

use super::Ledger;
use super::record::Subject;

/// Accounts that are made at once when many are.
const AT_ONCE: usize = 64;

/// Bits of a roster's version that are of the journal's name. Those above are the store's own version.
const NAME: u32 = 24;

#[async_trait]
impl Accounts for Ledger {
    async fn create(&self, account: &BareJid, credentials: &Credentials) -> Result<bool> {
        let _turn = self.turn(account).await?;
        let accounts = &self.0.stores.accounts;
        self.begin(account, Mark::Writing, Vec::new()).await?;
        if !accounts.create(account, credentials).await? {
            self.end(account, Vec::new()).await?;
            return Ok(false);
        }
        let edited = self.edit(account, &Subject::Account, None, |known, at| {
            known.set_credentials(credentials, at);
        });
        let edited = edited.await?;
        self.end(account, edited.into_iter().collect()).await?;
        self.apply_early(account).await?;
        Ok(true)
    }

    async fn create_many(&self, accounts: &[(BareJid, Credentials)]) -> Result<usize> {
        let mut new = 0;
        for chunk in accounts.chunks(AT_ONCE) {
            let mut made = Vec::with_capacity(chunk.len());
            for (account, credentials) in chunk {
                made.push(self.create(account, credentials));
            }
            for made in join_all(made).await {
                new += usize::from(made?);
            }
        }
        Ok(new)
    }

    async fn credentials(&self, account: &BareJid) -> Result<Option<Credentials>> {
        self.0.stores.accounts.credentials(account).await
    }

    async fn exists(&self, account: &BareJid) -> Result<bool> {
        self.0.stores.accounts.exists(account).await
    }

    async fn set_credentials(&self, account: &BareJid, credentials: &Credentials) -> Result<bool> {
        let _turn = self.turn(account).await?;
        let accounts = &self.0.stores.accounts;
        self.begin(account, Mark::Writing, Vec::new()).await?;
        if !accounts.set_credentials(account, credentials).await? {
            self.end(account, Vec::new()).await?;
            return Ok(false);
        }
        let edited = self.edit(account, &Subject::Account, None, |known, at| {
            known.set_credentials(credentials, at);
        });
        let edited = edited.await?;
        self.end(account, edited.into_iter().collect()).await?;
        Ok(true)
    }

    async fn delete(&self, account: &BareJid) -> Result<bool> {
        let _turn = self.turn_to_forget(account).await?;
        self.begin(account, Mark::Writing, Vec::new()).await?;
        let deleted = self.0.stores.accounts.delete(account).await?;
        match deleted {
            true => self.deleted(account).await?,
            false => self.end(account, Vec::new()).await?,
        }
        Ok(deleted)
    }

    async fn list(
        &self,
        domain: &str,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<BareJid>> {
        self.0.stores.accounts.list(domain, after, limit).await
    }

    async fn set_last_activity(
        &self,
        account: &BareJid,
        at: Timestamp,
        status: &str,
    ) -> Result<()> {
        let accounts = &self.0.stores.accounts;
        accounts.set_last_activity(account, at, status).await
    }

    async fn last_activity(&self, account: &BareJid) -> Result<Option<(Timestamp, String)>> {
        self.0.stores.accounts.last_activity(account).await
    }
}

#[async_trait]
impl Rosters for Ledger {
    async fn load(&self, account: &BareJid) -> Result<StoredRoster> {
        let mut roster = self.0.stores.rosters.load(account).await?;
        roster.version = self.version(roster.version);
        Ok(roster)
    }

    async fn put(&self, account: &BareJid, item: &RosterItem) -> Result<u64> {
        let put = async || {
            let rosters = &self.0.stores.rosters;
            rosters.put(account, item).await.map(Some)
        };
        let put = self.put_item(account, item, put).await?;
        Ok(put.unwrap_or_default())
    }

    async fn remove(&self, account: &BareJid, contact: &BareJid) -> Result<u64> {
        let remove = async || {
            let rosters = &self.0.stores.rosters;
            rosters.remove(account, contact).await.map(Some)
        };
        let removed = self.remove_item(account, contact, remove).await?;
        Ok(removed.unwrap_or_default())
    }

    async fn put_since(
        &self,
        account: &BareJid,
        item: &RosterItem,
        since: u64,
    ) -> Result<Option<u64>> {
        let put = async || match self.own(since) {
            Some(since) => {
                let rosters = &self.0.stores.rosters;
                rosters.put_since(account, item, since).await
            }
            None => Ok(None),
        };
        self.put_item(account, item, put).await
    }

    async fn remove_since(
        &self,
        account: &BareJid,
        contact: &BareJid,
        since: u64,
    ) -> Result<Option<u64>> {
        let remove = async || match self.own(since) {
            Some(since) => {
                let rosters = &self.0.stores.rosters;
                rosters.remove_since(account, contact, since).await
            }
            None => Ok(None),
        };
        self.remove_item(account, contact, remove).await
    }

    async fn forget(&self, account: &BareJid) -> Result<()> {
        let _turn = self.turn_to_forget(account).await?;
        self.0.stores.rosters.forget(account).await
    }
}

impl Ledger {
    /// A version of this store, as clients see it.
    fn version(&self, version: u64) -> u64 {
        match version {
            0 => 0,
            version => version << NAME | self.name(),
        }
    }

    /// The store's own version; `None` for one of another store.
    fn own(&self, version: u64) -> Option<u64> {
        let own = version == 0 || version & ((1 << NAME) - 1) == self.name();
        own.then_some(version >> NAME)
    }

    fn name(&self) -> u64 {
        self.log() & ((1 << NAME) - 1)
    }

    async fn put_item(
        &self,
        account: &BareJid,
        item: &RosterItem,
        put: impl AsyncFnOnce() -> Result<Option<u64>>,
    ) -> Result<Option<u64>> {
        let subject = Subject::Contact(item.jid.clone());
        let edit = |known: &mut super::record::Known, at| known.put(item, &at);
        self.change(account, vec![subject], put, |_, known, at| edit(known, at))
            .await
            .map(|version| version.map(|version| self.version(version)))
    }

    async fn remove_item(
        &self,
        account: &BareJid,
        contact: &BareJid,
        remove: impl AsyncFnOnce() -> Result<Option<u64>>,
    ) -> Result<Option<u64>> {
        let subject = Subject::Contact(contact.clone());
        let change = self.change(account, vec![subject], remove, |_, known, at| {
            // One that was never there leaves nothing behind.
            if known.item(contact).is_some() {
                known.remove(at);
            }
        });
        let version = change.await?;
        Ok(version.map(|version| self.version(version)))
    }

    /// Changes something in the stores, and then what is known of these subjects; neither if the stores say `None`.
    async fn change<T>(
        &self,
        account: &BareJid,
        subjects: Vec<Subject>,
        write: impl AsyncFnOnce() -> Result<Option<T>>,
        mut edit: impl FnMut(&Subject, &mut super::record::Known, crate::clock::Stamp),
    ) -> Result<Option<T>> {
        let _turn = self.turn(account).await?;
        // What is kept for whoever has no account is nobody else's.
        let Some(epoch) = self.epoch(account).await? else {
            return write().await;
        };
        let mut named = Vec::new();
        for subject in &subjects {
            named.extend(self.named(account, subject, &epoch).await?);
        }
        self.begin(account, Mark::Writing, named).await?;
        let written = write().await?;
        let mut put = Vec::new();
        if written.is_some() {
            for subject in &subjects {
                let edit = |known: &mut super::record::Known, at| edit(subject, known, at);
                put.extend(self.edit(account, subject, epoch.clone(), edit).await?);
            }
        }
        self.end(account, put).await?;
        Ok(written)
    }
}

#[async_trait]
impl PrivateXml for Ledger {
    async fn load(&self, account: &BareJid, name: &str, namespace: &str) -> Result<Option<String>> {
        let private_xml = &self.0.stores.private_xml;
        private_xml.load(account, name, namespace).await
    }

    async fn save(
        &self,
        account: &BareJid,
        elements: &[PrivateElement],
        limit: usize,
    ) -> Result<bool> {
        let of = |e: &PrivateElement| Subject::Private(e.name.clone(), e.namespace.clone());
        let subjects = elements.iter().map(of).collect();
        let save = async || {
            let private_xml = &self.0.stores.private_xml;
            let saved = private_xml.save(account, elements, limit).await?;
            Ok(saved.then_some(()))
        };
        let saved = self.change(account, subjects, save, |subject, known, at| {
            let element = elements.iter().find(|element| of(element) == *subject);
            known.set_text(element.map(|element| &*element.xml), at);
        });
        Ok(saved.await?.is_some())
    }

    async fn forget(&self, account: &BareJid) -> Result<()> {
        let _turn = self.turn_to_forget(account).await?;
        self.0.stores.private_xml.forget(account).await
    }
}

#[async_trait]
impl VCards for Ledger {
    async fn load(&self, account: &BareJid) -> Result<Option<String>> {
        self.0.stores.vcards.load(account).await
    }

    async fn save(&self, account: &BareJid, xml: &str) -> Result<()> {
        let save = async || self.0.stores.vcards.save(account, xml).await.map(Some);
        let saved = self.change(account, vec![Subject::VCard], save, |_, known, at| {
            known.set_text(Some(xml), at);
        });
        saved.await.map(drop)
    }

    async fn forget(&self, account: &BareJid) -> Result<()> {
        let _turn = self.turn_to_forget(account).await?;
        self.0.stores.vcards.forget(account).await
    }
}

#[async_trait]
impl BlockLists for Ledger {
    async fn load(&self, account: &BareJid) -> Result<Vec<Jid>> {
        self.0.stores.block_lists.load(account).await
    }

    async fn change(&self, account: &BareJid, add: &[Jid], remove: &[Jid]) -> Result<()> {
        let removed = remove.iter().filter(|jid| !add.contains(jid));
        let all = add.iter().chain(removed);
        let subjects = all.map(|jid| Subject::Blocked(jid.clone())).collect();
        let change = async || {
            let block_lists = &self.0.stores.block_lists;
            block_lists.change(account, add, remove).await.map(Some)
        };
        let changed = Ledger::change(self, account, subjects, change, |subject, known, at| {
            let blocked = matches!(subject, Subject::Blocked(jid) if add.contains(jid));
            known.set_blocked(blocked, &at);
        });
        changed.await.map(drop)
    }

    async fn forget(&self, account: &BareJid) -> Result<()> {
        let _turn = self.turn_to_forget(account).await?;
        self.0.stores.block_lists.forget(account).await
    }
}
