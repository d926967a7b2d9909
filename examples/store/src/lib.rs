//! A store of one's own: people who may log in because they are on a table that is kept
//! elsewhere, in front of another store that keeps everybody else.
//!
//! The ports of `xmpp_core::store` are traits, one for each kind of data, and a server
//! takes each from wherever the embedder likes: here [`Accounts`] is ours, and rosters,
//! offline messages and the rest stay with a store that ships (`tests/staff.rs`). The
//! suite of `xmpp_core::store::conformance` says whether an implementation keeps the
//! contract.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use xmpp_core::BareJid;
use xmpp_core::sasl::Credentials;
use xmpp_core::store::{Accounts, Result, StoreError};
use xmpp_core::time::Timestamp;

/// The accounts of a table, which nobody can change, and those of another store.
pub struct Staff {
    table: BTreeMap<BareJid, Credentials>,
    /// When they were last here: as long as the process runs.
    seen: Mutex<BTreeMap<BareJid, (Timestamp, String)>>,
    others: Arc<dyn Accounts>,
}

impl Staff {
    /// The people of `table`, and in `others` everybody else.
    pub fn new(
        table: impl IntoIterator<Item = (BareJid, Credentials)>,
        others: Arc<dyn Accounts>,
    ) -> Staff {
        Staff {
            table: table.into_iter().collect(),
            seen: Mutex::default(),
            others,
        }
    }

    fn may_change(&self, account: &BareJid) -> Result<()> {
        match self.table.contains_key(account) {
            true => Err(StoreError::Refused(format!("{account} is kept elsewhere"))),
            false => Ok(()),
        }
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<BareJid, (Timestamp, String)>> {
        // Nothing panics half way through a change of the map.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Accounts for Staff {
    async fn create(&self, account: &BareJid, credentials: &Credentials) -> Result<bool> {
        match self.table.contains_key(account) {
            true => Ok(false), // it is there already
            false => self.others.create(account, credentials).await,
        }
    }

    async fn credentials(&self, account: &BareJid) -> Result<Option<Credentials>> {
        match self.table.get(account) {
            Some(credentials) => Ok(Some(credentials.clone())),
            None => self.others.credentials(account).await,
        }
    }

    async fn exists(&self, account: &BareJid) -> Result<bool> {
        Ok(self.table.contains_key(account) || self.others.exists(account).await?)
    }

    async fn set_credentials(&self, account: &BareJid, credentials: &Credentials) -> Result<bool> {
        self.may_change(account)?;
        self.others.set_credentials(account, credentials).await
    }

    async fn delete(&self, account: &BareJid) -> Result<bool> {
        self.may_change(account)?;
        self.others.delete(account).await
    }

    async fn list(
        &self,
        domain: &str,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<BareJid>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let table = self.table.range::<BareJid, _>((from, Bound::Unbounded));
        let staff = table.map(|(account, _)| account.clone());
        let mut page: BTreeSet<_> = staff.filter(|jid| jid.domain() == domain).collect();
        page.extend(self.others.list(domain, after, limit).await?);
        Ok(page.into_iter().take(limit).collect())
    }

    async fn set_last_activity(
        &self,
        account: &BareJid,
        at: Timestamp,
        status: &str,
    ) -> Result<()> {
        if self.table.contains_key(account) {
            self.seen().insert(account.clone(), (at, status.to_owned()));
            return Ok(());
        }
        self.others.set_last_activity(account, at, status).await
    }

    async fn last_activity(&self, account: &BareJid) -> Result<Option<(Timestamp, String)>> {
        match self.table.contains_key(account) {
            true => Ok(self.seen().get(account).cloned()),
            false => self.others.last_activity(account).await,
        }
    }
}
