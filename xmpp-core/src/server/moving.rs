//! Sessions that come from another node, or go there.

use std::sync::Arc;

use super::Server;
use super::restart::Restored;
use crate::BareJid;
use crate::mailbox::{Mailbox, Queue, Share};
use crate::module::SessionEvent;
use crate::session::Session;
use crate::session::record::{Record, Shares};
use crate::time::Timestamp;

/// A session that is bound here, while another node has it still.
pub(crate) struct Arriving {
    restored: Restored,
    /// When it was written down.
    at: Timestamp,
    /// What waited for it over there, of what waits for it here.
    waiting: usize,
}

impl Server {
    /// Binds a session that another node has, if it is this account's and its stream has that name.
    pub(crate) async fn arrive(
        &self,
        account: &BareJid,
        name: Option<&str>,
        state: &str,
    ) -> Option<Arriving> {
        let mut record = match Record::read(state, &mut Shares::default()) {
            Ok(record) => record,
            Err(error) => {
                tracing::error!(%account, %error, "session of another node unreadable");
                self.inner.metrics.unreadable_sessions.increment();
                return None;
            }
        };
        if name.is_some_and(|name| *name != *record.resumption.id) {
            return None;
        }
        // What others get too is this session's now, as if it were alone: the others, over there, count on
        // it, and if it ends without a word the message must not be lost with all of them.
        let sent = record.resumption.sent.iter_mut();
        let all = sent
            .map(|sent| &mut sent.envelope)
            .chain(&mut record.waiting);
        for envelope in all.filter(|envelope| envelope.share.is_some()) {
            envelope.share = Some(Share::among(1));
        }
        let (at, waiting) = (record.at, record.waiting.len());
        let account = self.account(account).await.ok()?;
        let restored = self.revive(record, account, Queue::arrive)?;
        Some(Arriving {
            restored,
            at,
            waiting,
        })
    }

    /// The other node has let go of it.
    pub(crate) fn arrived(&self, arriving: Arriving) -> Restored {
        let Arriving { restored, at, .. } = arriving;
        self.metrics().arrived_sessions.increment();
        self.watch(
            SessionEvent::Restored { since: at },
            &restored.bound.session,
        );
        restored.bound.session.queue().arrived();
        restored
    }

    /// The other node keeps it: nothing is left of it here. What has come for it here follows.
    pub(crate) fn turn_back(&self, arriving: Arriving) {
        let session = arriving.restored.bound.session;
        drop(session.queue().take_first(arriving.waiting));
        if session.leave().is_none() {
            return;
        }
        self.inner.directory.unbind(session.jid(), session.id());
        self.inner.metrics.sessions.went();
        self.watch(SessionEvent::Moved, &session);
        match self.bound(session.jid()).filter(|r| r.id() == session.id()) {
            Some(resource) => self.divert(&session, resource.mailbox().clone()),
            None => self.leave_to_itself(self.give_back(session.queue().close())),
        }
    }

    /// Another node has a session that is frozen here: what has come for it since then goes there. `false` if it has
    /// ended meanwhile.
    pub(crate) fn let_go(&self, session: &Arc<Session>, to: Mailbox) -> bool {
        if session.ending().is_some() || session.leave().is_none() {
            return false;
        }
        self.divert(session, to);
        // Behind what waited, whatever is sent to it from here takes the way that the directory knows now.
        self.inner.directory.unbind(session.jid(), session.id());
        self.inner.metrics.sessions.went();
        self.inner.metrics.departed_sessions.increment();
        self.watch(SessionEvent::Moved, session);
        true
    }

    fn divert(&self, session: &Session, to: Mailbox) {
        let diverted = session.queue().divert(to);
        if !diverted.awaited.is_empty() {
            self.spawn(async move {
                for (envelope, later) in diverted.awaited {
                    envelope.settle(later.await);
                }
            });
        }
        self.leave_to_itself(self.give_back(diverted.refused));
    }
}
