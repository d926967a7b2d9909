//! What an earlier run has left in the store.

use std::sync::atomic::Ordering;

use super::{BATCH, Key};
use crate::BareJid;
use crate::io::s2s::{Federation, Shared};
use crate::mailbox::{Envelope, Origin};
use crate::stanza::{Kind, PresenceType, Stanza};
use crate::store::{self, QueuedStanza};

/// A stanza that an earlier run has left.
pub(in crate::io::s2s) struct Left {
    pub(super) envelope: Envelope,
    pub(super) domain: BareJid,
    pub(super) key: Key,
}

impl Federation {
    /// Sends what an earlier run of the server has acknowledged to its senders and could not deliver: it was in the
    /// [store](store::Outbox) when that run ended, however it did. It goes before all that comes now, in its order and with a `<delay/>`, and
    /// stays in the store until it is delivered or has come back to its sender. Gives the number of stanzas.
    ///
    /// To be called before anybody is let in, behind [`Driver::restore`](crate::io::Driver::restore), so that whoever can be told that something
    /// comes back is there. A second call does nothing. Presence of a session that has not come back is not sent, but for its end.
    ///
    /// # Errors
    ///
    /// If the store cannot be read. Nothing is sent then, and what is there stays.
    pub async fn restore(&self) -> store::Result<usize> {
        let shared = &self.shared;
        if shared.restored.swap(true, Ordering::AcqRel) {
            return Ok(0);
        }
        let mut all = Vec::new();
        for domain in &shared.server.config().domains {
            if let Err(error) = shared.read(&domain.name, &mut all).await {
                shared.restored.store(false, Ordering::Release);
                return Err(error);
            }
        }
        let restored = all.len();
        shared.post.leave(all);
        Ok(restored)
    }
}

impl Shared {
    async fn read(&self, domain: &BareJid, all: &mut Vec<Left>) -> store::Result<()> {
        let store = &self.server.stores().outbox;
        let mut after = 0;
        loop {
            let page = store.queued(domain, after, BATCH).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = last.id;
            let mut stale = Vec::new();
            for queued in page {
                let id = queued.id;
                match self.left(domain, queued) {
                    Some(left) if self.is_stale(&left.envelope.stanza) => stale.push(id),
                    Some(left) => all.push(left),
                    None => {}
                }
            }
            if !stale.is_empty() {
                store.dequeue(domain, &stale).await?;
            }
        }
    }

    /// What is not readable stays where it is: somebody may want to look at it.
    fn left(&self, domain: &BareJid, queued: QueuedStanza) -> Option<Left> {
        let QueuedStanza { id, at, xml } = queued;
        let stanza = match Stanza::restore(&xml) {
            Ok(stanza) => stanza,
            Err(error) => {
                tracing::error!(%domain, id, %error, "stanza in the outbox unreadable");
                self.server.metrics().unreadable_messages.increment();
                return None;
            }
        };
        let bytes = stanza.size();
        let envelope = Envelope::new(stanza, Origin::SERVER).late(domain.as_str(), at);
        Some(Left {
            envelope,
            domain: domain.clone(),
            key: Key { id, bytes },
        })
    }

    /// Whether it says that somebody is there who is not any more.
    fn is_stale(&self, stanza: &Stanza) -> bool {
        let is_here = || {
            let from = stanza.from()?;
            let all = self.server.directory().resources(from.bare_str());
            crate::directory::find(&all, from.as_str()).map(drop)
        };
        stanza.kind() == Kind::Presence(PresenceType::Available) && is_here().is_none()
    }
}
