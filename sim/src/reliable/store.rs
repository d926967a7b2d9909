//! A store that takes its time.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;
use xmpp_core::BareJid;
use xmpp_core::store::{
    KeptSession, Offline, OfflineLimits, OfflineMessage, Result, Sessions, Stores,
};
use xmpp_core::time::Timestamp;

use crate::rng::Rng;

/// Offline messages and sessions, after a while.
pub(super) struct Slow {
    inner: Stores,
    most: Duration,
    rng: Mutex<Rng>,
}

impl Slow {
    pub(super) fn new(inner: Stores, most: Duration, rng: Rng) -> Slow {
        Slow {
            inner,
            most,
            rng: Mutex::new(rng),
        }
    }

    async fn wait(&self) {
        let wait = {
            let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
            rng.between(0..=self.most.as_millis() as u64)
        };
        if wait > 0 {
            sleep(Duration::from_millis(wait)).await;
        }
    }
}

#[async_trait]
impl Offline for Slow {
    async fn push(
        &self,
        account: &BareJid,
        at: Timestamp,
        xml: &str,
        limits: OfflineLimits,
    ) -> Result<bool> {
        self.wait().await;
        self.inner.offline.push(account, at, xml, limits).await
    }

    async fn page(
        &self,
        account: &BareJid,
        after: u64,
        limit: usize,
    ) -> Result<Vec<OfflineMessage>> {
        self.wait().await;
        self.inner.offline.page(account, after, limit).await
    }

    async fn delete(&self, account: &BareJid, ids: &[u64]) -> Result<()> {
        self.wait().await;
        self.inner.offline.delete(account, ids).await
    }

    async fn count(&self, account: &BareJid) -> Result<usize> {
        self.inner.offline.count(account).await
    }

    async fn forget(&self, account: &BareJid) -> Result<()> {
        self.inner.offline.forget(account).await
    }
}

#[async_trait]
impl Sessions for Slow {
    async fn keep(&self, account: &BareJid, name: &str, state: &str) -> Result<()> {
        self.wait().await;
        self.inner.sessions.keep(account, name, state).await
    }

    async fn kept(
        &self,
        after: Option<(&BareJid, &str)>,
        limit: usize,
    ) -> Result<Vec<KeptSession>> {
        self.wait().await;
        self.inner.sessions.kept(after, limit).await
    }

    async fn release(&self, account: &BareJid, name: &str) -> Result<()> {
        self.wait().await;
        self.inner.sessions.release(account, name).await
    }

    async fn forget(&self, account: &BareJid) -> Result<()> {
        self.inner.sessions.forget(account).await
    }
}
