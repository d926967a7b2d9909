//! A store that takes its time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;
use xmpp_core::BareJid;
use xmpp_core::store::{Offline, OfflineLimits, OfflineMessage, Result};
use xmpp_core::time::Timestamp;

use crate::rng::Rng;

/// Offline messages, after a while.
pub(super) struct Slow {
    inner: Arc<dyn Offline>,
    most: Duration,
    rng: Mutex<Rng>,
}

impl Slow {
    pub(super) fn new(inner: Arc<dyn Offline>, most: Duration, rng: Rng) -> Slow {
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
        self.inner.push(account, at, xml, limits).await
    }

    async fn page(
        &self,
        account: &BareJid,
        after: u64,
        limit: usize,
    ) -> Result<Vec<OfflineMessage>> {
        self.wait().await;
        self.inner.page(account, after, limit).await
    }

    async fn delete(&self, account: &BareJid, ids: &[u64]) -> Result<()> {
        self.wait().await;
        self.inner.delete(account, ids).await
    }

    async fn count(&self, account: &BareJid) -> Result<usize> {
        self.inner.count(account).await
    }

    async fn forget(&self, account: &BareJid) -> Result<()> {
        self.inner.forget(account).await
    }
}
