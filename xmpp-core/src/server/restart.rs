//! Sessions that go on in another run of the server.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::future::join_all;

use super::{Bound, Server};
use crate::BareJid;
use crate::account::Account;
use crate::im::carbons;
use crate::mailbox::{Envelope, Origin, Queue, Source};
use crate::module::SessionEvent;
use crate::session::record::{self, Record, Seen, Shares};
use crate::session::{Change, Resource, Session};
use crate::store::{self, KeptSession};
use crate::stream::{Sent, Suspended};
use crate::xml::Element;

/// Sessions that are read from the store at a time.
const PAGE: usize = 64;

/// A session of an earlier run, and the stream that it had.
pub(crate) struct Restored {
    pub(crate) bound: Bound,
    pub(crate) stream: Suspended,
}

/// What an earlier run has kept, as it is read.
#[derive(Default)]
pub(crate) struct Kept {
    last: Option<KeptSession>,
    shares: Shares,
    /// Those that cannot be taken up.
    given_up: Vec<KeptSession>,
}

impl Server {
    /// A session as text, with what its stream says and what waited in its queue; `bursts` come
    /// before that. `None` if its stream cannot be resumed.
    pub(crate) fn write_down(
        &self,
        session: &Arc<Session>,
        mut stream: Suspended,
        waiting: &VecDeque<Envelope>,
        bursts: bool,
    ) -> Option<String> {
        let resumption = stream.resumption.take()?;
        let resource = self.resource(session)?;
        let keepers = self.inner.hooks.keepers.iter();
        let record = Record {
            id: session.id(),
            at: self.now().utc,
            stream,
            resumption,
            seen: Seen {
                available: resource.presence().zip(resource.priority()),
                interested: resource.is_interested(),
                carbons: resource.wants_carbons(),
                block_list: resource.knows_block_list(),
            },
            directed: session.directed(),
            kept: keepers
                .filter_map(|(_, keeper)| keeper.write_down(session, self))
                .collect(),
            waiting: waiting.iter().map(Envelope::record).collect(),
            bursts,
        };
        Some(record.write(|| u64::from_le_bytes(self.random())))
    }

    /// Takes a session that is in the store out of this run. Nobody is told: it goes on.
    pub(crate) fn put_away(&self, session: &Arc<Session>) {
        if session.leave().is_some() {
            self.inner.directory.unbind(session.jid(), session.id());
            self.inner.metrics.sessions.went();
        }
    }

    /// The next sessions that an earlier run has kept, bound again; `None` at the end. One that
    /// cannot be taken up is given up: what its client had not received goes the way it would
    /// have gone without it.
    pub(crate) async fn restore(&self, kept: &mut Kept) -> store::Result<Option<Vec<Restored>>> {
        let store = &self.inner.stores.sessions;
        let after = kept.last.as_ref();
        let after = after.map(|last| (&last.account, &*last.name));
        let mut page = store.kept(after, PAGE).await?;
        let Some(last) = page.pop() else {
            // Now that it is known who is there to get what others have not received.
            kept.given_up.drain(..).for_each(|kept| self.give_up(kept));
            return Ok(None);
        };
        let accounts = page.iter().chain([&last]).map(|kept| &kept.account);
        let accounts = accounts.map(|jid| self.inner.accounts.load(jid, &self.inner.stores));
        let accounts = join_all(accounts).await;
        let mut restored = Vec::new();
        let sessions = page.iter().chain([&last]);
        for (session, account) in sessions.zip(accounts) {
            // Another server may keep its own in the same store.
            if !self.is_local(session.account.domain()) {
                continue;
            }
            match self.take_up(session, account?, &mut kept.shares) {
                Some(taken) => restored.push(taken),
                None => kept.given_up.push(session.clone()),
            }
        }
        kept.last = Some(last);
        Ok(Some(restored))
    }

    fn take_up(
        &self,
        kept: &KeptSession,
        account: Arc<Account>,
        shares: &mut Shares,
    ) -> Option<Restored> {
        let record = match Record::read(&kept.state, shares) {
            Ok(record) => record,
            Err(error) => {
                let (account, name) = (&kept.account, &kept.name);
                tracing::error!(%account, name, %error, "kept session unreadable");
                self.inner.metrics.unreadable_sessions.increment();
                return None;
            }
        };
        let at = record.at;
        let restored = self.revive(record, account, |queue, waiting, bursts| {
            queue.restore(waiting, !bursts);
        })?;
        self.watch(
            SessionEvent::Restored { since: at },
            &restored.bound.session,
        );
        Some(restored)
    }

    /// Binds a session as it was written down, if it is this account's. Its watchers have yet to be told.
    /// `fill` gives its queue, of which nobody else knows yet,
    /// what waited, and whether bursts come before that.
    pub(super) fn revive(
        &self,
        record: Record,
        account: Arc<Account>,
        fill: impl FnOnce(&Queue, VecDeque<Envelope>, bool),
    ) -> Option<Restored> {
        let Record {
            id,
            at: _,
            mut stream,
            resumption,
            seen,
            directed,
            kept: elements,
            waiting,
            bursts,
        } = record;
        let is_its_own = stream.jid.bare_str() == account.jid().as_str();
        if !is_its_own || !account.exists() {
            tracing::info!(session = %stream.jid, "not restored: there is no such account");
            return None;
        }
        stream.resumption = Some(resumption);
        let queue = Queue::new(self.inner.config.session_queue, self.inner.budget.clone());
        fill(&queue, waiting, bursts);
        let session = Arc::new(Session::new(id, stream.jid.clone(), account, queue));
        for jid in &directed {
            session.direct_presence(jid, usize::MAX);
        }
        let resource = Arc::new(Resource::local(&session));
        session.enter(resource.clone());
        // It is never seen as less than it is.
        let changes = seen.changes();
        changes.iter().cloned().for_each(|c| resource.apply(c));
        if self.inner.directory.adopt(resource.clone()).is_err() {
            // One of the same name that came later, and both were kept.
            session.leave();
            session.queue().close();
            return None;
        }
        self.inner.metrics.sessions.came();
        for change in changes {
            self.inner.directory.update(&resource, change);
        }
        self.remind(&session, &elements);
        let bound = Bound { session, resource };
        Some(Restored { bound, stream })
    }

    fn remind(&self, session: &Arc<Session>, kept: &[Element]) {
        for element in kept {
            let mut keepers = self.inner.hooks.keepers.iter();
            // The module may be gone.
            if let Some((_, keeper)) = keepers.find(|(ns, _)| *ns == element.ns()) {
                keeper.take_up(element, session, self);
            }
        }
    }

    /// What the client of a kept session had not received goes to somebody else or is stored;
    /// then the session is gone.
    fn give_up(&self, kept: KeptSession) {
        let domain = kept.account.domain().to_owned();
        let left = record::salvage(&kept.state);
        let left = left.into_iter().map(|(envelope, at)| match at {
            Some(at) => Sent { envelope, at }.late(&domain),
            None => envelope,
        });
        let left = left.map(alone).collect();
        let server = self.clone();
        self.spawn(async move {
            let _ = server.give_back(left).finish().await;
            server.release_session(&kept.account, &kept.name).await;
        });
    }

    /// Has the store keep a session; whether it does.
    pub(crate) async fn keep_session(&self, account: &BareJid, name: &str, state: &str) -> bool {
        match self.inner.stores.sessions.keep(account, name, state).await {
            Ok(()) => true,
            Err(error) => {
                self.store_failed("session not kept", account, &error);
                false
            }
        }
    }

    /// A session that was kept goes on, or has ended: the store forgets it. Whether it has.
    pub(crate) async fn release_session(&self, account: &BareJid, name: &str) -> bool {
        match self.inner.stores.sessions.release(account, name).await {
            Ok(()) => true,
            Err(error) => {
                self.store_failed("kept session not released", account, &error);
                false
            }
        }
    }
}

impl Seen {
    fn changes(self) -> Vec<Change> {
        let Seen {
            available,
            interested,
            carbons,
            block_list,
        } = self;
        let changes = [
            available.map(|(presence, priority)| Change::Available(presence, priority)),
            interested.then_some(Change::Interested),
            carbons.then_some(Change::Carbons(true)),
            block_list.then_some(Change::BlockList),
        ];
        changes.into_iter().flatten().collect()
    }
}

/// The stanza as if nobody else were to get it. For a session that could not be written down
/// while others were: they count on it, perhaps, and the message would be lost with all of them.
/// So it may come twice, but it comes.
pub(crate) fn alone(mut envelope: Envelope) -> Envelope {
    let shared = envelope.share.take().is_some();
    if shared
        && envelope.origin.source == Source::Copy
        && let Some(original) = carbons::original(&envelope.stanza)
    {
        envelope.stanza = original;
        envelope.origin = Origin::SERVER;
    }
    envelope
}
