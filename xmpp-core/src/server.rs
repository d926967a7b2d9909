//! The server: everything wired, and the way of a stanza through it.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::BoxFuture;

use crate::account::{Account, Accounts};
use crate::directory::Directory;
use crate::mailbox::{
    Budget, Depths, Envelope, Mailbox, Origin, Queue, QueueLimits, Reason, Settlement,
};
use crate::metrics::Metrics;
use crate::module::{Dispatch, Hooks, SessionEvent, Verdict};
use crate::router::{Route, Router};
use crate::session::{Change, Resource, Session, SessionId};
use crate::standby::Copies;
use crate::stanza::{Condition, Kind, Stanza, StanzaError};
use crate::store::Stores;
use crate::stream::StreamError;
use crate::time::{Clock, Now};
use crate::{FullJid, Jid};

mod accounts;
mod answers;
mod builder;
mod config;
mod delivery;
#[cfg(feature = "io")]
pub(crate) mod moving;
mod nodes;
mod ranges;
#[cfg(feature = "io")]
pub(crate) mod restart;
mod served;
mod tasks;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use builder::{BuildError, Builder, Surroundings};
pub use config::{
    AccountLimits, Config, Conflict, Domain, Random, Software, Spawn, Timeouts, network,
};
pub use served::Served;
use tasks::Tasks;

/// A running server. Clone is cheap and names the same server.
///
/// It owns no socket: the `io` module accepts connections and drives their
/// streams, and hands in here what clients send.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    directory: Arc<dyn Directory>,
    router: Arc<dyn Router>,
    /// Where what is for other servers goes.
    remote: Option<Mailbox>,
    /// Who keeps copies of sessions that can be resumed.
    copies: Option<Arc<dyn Copies>>,
    hooks: Hooks,
    stores: Stores,
    accounts: Arc<Accounts>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    spawn: Arc<dyn Spawn>,
    tasks: Arc<Tasks>,
    budget: Arc<Budget>,
    metrics: Metrics,
    /// What sets the sessions of this run apart from those of any other.
    run: u64,
    sessions: AtomicU64,
}

impl Server {
    /// Starts to build a server.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Its configuration.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// Who is where.
    pub fn directory(&self) -> &dyn Directory {
        &*self.inner.directory
    }

    /// The stores.
    pub fn stores(&self) -> &Stores {
        &self.inner.stores
    }

    /// What modules registered.
    pub fn hooks(&self) -> &Hooks {
        &self.inner.hooks
    }

    /// Who keeps copies of sessions that can be resumed, if anybody does.
    pub fn copies(&self) -> Option<&Arc<dyn Copies>> {
        self.inner.copies.as_ref()
    }

    /// The memory that queues hold.
    pub fn budget(&self) -> &Arc<Budget> {
        &self.inner.budget
    }

    /// What waits in the queues of its sessions. Looks at each of them, so it takes
    /// milliseconds where there are many: for who watches, not for each stanza.
    pub fn session_queues(&self) -> Depths {
        let mut depths = Depths::default();
        let directory = self.directory();
        directory.sessions(&mut |session| depths.add(session.queue().depth()));
        depths
    }

    /// What it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// The present moment.
    pub fn now(&self) -> Now {
        self.inner.clock.now()
    }

    /// Random bytes.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.inner.random.fill(&mut bytes);
        bytes
    }

    /// The source of random bytes.
    pub fn random_source(&self) -> Arc<dyn Random> {
        self.inner.random.clone()
    }

    /// Runs something beside what is going on. [`Server::close`] waits for it.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.inner.spawn.spawn(self.inner.tasks.counted(task));
    }

    /// Waits for `time`, but no longer than until the server closes: for tasks that have
    /// something to do every now and then, and once more at the end.
    pub async fn rest(&self, time: Duration) {
        let sleep = self.inner.clock.sleep(time);
        self.inner.tasks.rest(sleep).await;
    }

    /// Waits until the server closes: for what a task otherwise waits for without end.
    pub async fn closing(&self) {
        self.inner.tasks.closing().await;
    }

    /// Waits until everything that runs beside is done; what rests is told to come to its
    /// end, and so are the connections to other servers. To be called when no client is left and before the
    /// stores are closed.
    pub async fn close(&self) {
        self.inner.tasks.close().await;
    }

    /// Does work that takes a thread for milliseconds where it keeps nobody waiting; `None`
    /// if it came to no end.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (done, result) = oneshot::channel();
        self.inner.spawn.blocking(Box::new(move || {
            // Whoever waited may have gone.
            let _ = done.send(work());
        }));
        result.await.ok()
    }

    // --- sessions ---

    /// Binds a resource (RFC 6120 §7). On conflict the [`Conflict`] policy decides.
    /// With no resource asked for, one is made up.
    pub fn bind(
        &self,
        account: Arc<Account>,
        resource: Option<&str>,
    ) -> Result<Bound, StanzaError> {
        let mut asked = resource.map(str::to_owned);
        loop {
            let name = asked.clone().unwrap_or_else(|| self.made_up_id());
            // RFC 6120 §7.7.2.1: what cannot be a resource is a <bad-request/>
            let jid = account
                .jid()
                .with_resource(&name)
                .map_err(|_| StanzaError::new(Condition::BadRequest))?;
            let limit = self.inner.config.account(account.jid()).resources;
            let bound = self.inner.directory.resources(account.jid().as_str());
            let replaces = self.inner.config.conflict == Conflict::Replace
                && bound.iter().any(|r| *r.jid() == jid);
            if bound.len() >= limit && !replaces {
                // RFC 6120 §7.6.2.1: too many connected resources
                return Err(StanzaError::new(Condition::ResourceConstraint));
            }
            let id = SessionId {
                run: self.inner.run,
                n: self.inner.sessions.fetch_add(1, Ordering::Relaxed),
            };
            let queue = Queue::new(self.inner.config.session_queue, self.inner.budget.clone());
            let session = Arc::new(Session::new(id, jid, account.clone(), queue));
            let resource = Arc::new(Resource::local(&session));
            session.enter(resource.clone());
            let Err(holder) = self.inner.directory.bind(resource.clone()) else {
                self.inner.metrics.sessions.came();
                self.watch(SessionEvent::Bound, &session);
                return Ok(Bound { session, resource });
            };
            session.leave();
            match self.inner.config.conflict {
                // RFC 6120 §7.7.2.2, the second of three ways: the older session ends
                Conflict::Replace => self.replace(&holder),
                Conflict::Rename => asked = None,
                Conflict::Refuse => return Err(StanzaError::new(Condition::Conflict)),
            }
        }
    }

    /// Ends a session: it leaves the directory, everyone who should hears so, and
    /// what its client had not been given goes the way it would have gone without
    /// it (RFC 6121 §8.5). Ending it twice is harmless.
    pub fn end(&self, session: &Arc<Session>) -> Dispatch {
        self.end_with(session, Vec::new())
    }

    /// Ends a session as [`end`](Server::end) does; `unacknowledged` is what its client was sent
    /// and has perhaps not received, older than what waits.
    pub fn end_with(&self, session: &Arc<Session>, unacknowledged: Vec<Envelope>) -> Dispatch {
        let mut left = VecDeque::from(unacknowledged);
        let Some(resource) = session.leave() else {
            // Another session has taken its place, before its connection knew what was left.
            return self.give_back(left);
        };
        // A directory that spans servers may have taken it out, and given its address away.
        self.inner.directory.unbind(session.jid(), session.id());
        self.inner.metrics.sessions.went();
        left.append(&mut session.queue().close());
        let farewell = match &self.inner.hooks.presence {
            Some(handler) => handler.ended(session, &resource, self),
            None => Dispatch::DONE,
        };
        resource.apply(Change::Unavailable);
        self.watch(SessionEvent::Ended, session);
        match self.give_back(left) {
            Dispatch::Pending(rest) => Dispatch::Pending(Box::pin(async move {
                let _ = farewell.finish().await;
                rest.await
            })),
            Dispatch::Done(_) => farewell,
        }
    }

    /// The directory's entry for a session, as long as it is bound.
    pub fn resource(&self, session: &Session) -> Option<Arc<Resource>> {
        let all = self.inner.directory.resources(session.bare().as_str());
        all.iter().find(|r| r.id() == session.id()).cloned()
    }

    /// Tells everyone who follows sessions.
    pub fn watch(&self, event: SessionEvent, session: &Arc<Session>) {
        for watcher in &self.inner.hooks.watchers {
            watcher.session(event, session, self);
        }
    }

    // --- the way of a stanza ---

    /// Takes a stanza that the client of one of our sessions sent. `from` is stamped.
    pub fn submit(&self, mut stanza: Stanza, session: &Arc<Session>, origin: Origin) -> Dispatch {
        for filter in &self.inner.hooks.outbound {
            match filter.outbound(&mut stanza, session, self) {
                Verdict::Pass => {}
                Verdict::Refuse(error) => return self.refuse(&stanza, &error),
                Verdict::Drop => return Dispatch::DONE,
            }
        }
        // Before the answer can come.
        session.queue().sent(&stanza);
        match stanza.kind() {
            Kind::Presence(_) => match &self.inner.hooks.presence {
                Some(handler) => handler.sent(stanza, session, origin, self),
                None if stanza.to().is_none() => Dispatch::DONE,
                None => self.route(stanza, origin),
            },
            _ => {
                if stanza.to().is_none() {
                    // RFC 6120 §10.3: as if addressed to the sender's bare JID
                    stanza.set_to(Jid::from(session.bare().clone()));
                }
                self.route(stanza, origin)
            }
        }
    }

    /// Sends a stanza that is the server's own or a module's, and waits for nothing.
    pub fn send(&self, stanza: Stanza) {
        self.leave_to_itself(self.route(stanza, Origin::SERVER));
    }

    /// Sees to it that something comes to its end that nobody waits for.
    pub(crate) fn leave_to_itself(&self, dispatch: Dispatch) {
        if let Dispatch::Pending(rest) = dispatch {
            self.spawn(async move {
                let _ = rest.await;
            });
        }
    }

    /// Sends a stanza with `from` and `to` on its way.
    pub fn route(&self, stanza: Stanza, origin: Origin) -> Dispatch {
        let Some(to) = stanza.to().cloned() else {
            return Dispatch::DONE;
        };
        match self.inner.router.route(&stanza, &to, &origin) {
            Route::Account(account) => self.ask_where_it_is_known(stanza, to, origin, account),
            route => self.follow(route, stanza, to, origin),
        }
    }

    fn follow(&self, route: Route, stanza: Stanza, to: Jid, origin: Origin) -> Dispatch {
        match route {
            Route::Deliver {
                account,
                to: recipients,
            } => self.deliver(stanza, origin, account, recipients),
            Route::Entity(mailbox) => self.push(&mailbox, stanza, origin),
            Route::Server => self.ask_server(stanza, to, origin),
            Route::Account(account) => self.ask_account(stanza, origin, account),
            Route::Offline(account) => self.keep(stanza, origin, account),
            Route::Remote => match &self.inner.remote {
                Some(mailbox) => self.push(mailbox, stanza, origin),
                // RFC 6120 §8.3.3.16: no other server can be reached
                None => self.refuse(&stanza, &Condition::RemoteServerNotFound.into()),
            },
            Route::Refuse(condition) => self.refuse(&stanza, &condition.into()),
            Route::Ignore => Dispatch::DONE,
        }
    }

    /// To a mailbox that is no session's.
    fn push(&self, mailbox: &Mailbox, stanza: Stanza, origin: Origin) -> Dispatch {
        match mailbox.push(stanza, origin) {
            Settlement::Failed(failed) => self.refuse(&failed.stanza, &failed.reason.into()),
            settlement => Dispatch::Done(settlement),
        }
    }

    /// Returns an error to the sender, unless the stanza may not be answered
    /// (RFC 6120 §8.3.1: errors never are).
    pub fn refuse(&self, stanza: &Stanza, error: &StanzaError) -> Dispatch {
        match stanza.error_reply(error) {
            Some(reply) => self.route(reply, Origin::SERVER),
            None => Dispatch::DONE,
        }
    }

    /// The session that lives here and has exactly this full JID.
    pub fn session_of(&self, jid: &Jid) -> Option<Arc<Session>> {
        let all = self.inner.directory.resources(jid.bare_str());
        let resource = crate::directory::find(&all, jid.as_str())?;
        resource.session().cloned()
    }

    fn replace(&self, holder: &Arc<Resource>) {
        let Some(session) = holder.session() else {
            // On another node: the directory that knows of it settles the conflict.
            self.inner.directory.unbind(holder.jid(), holder.id());
            return;
        };
        session.end(StreamError::conflict());
        self.leave_to_itself(self.end(session));
    }

    /// An identifier nobody can guess: for stanzas the server sends, and for resources.
    pub fn made_up_id(&self) -> String {
        self.random::<8>()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Serves an address that is no account's with a mailbox of its own, bounded
    /// by `limits`; `None` if the address is taken.
    pub fn serve(&self, address: &Jid, limits: QueueLimits) -> Option<Served> {
        let queue = Arc::new(Queue::new(limits, self.inner.budget.clone()));
        let mailbox = Mailbox::new(queue.clone());
        let free = self.inner.directory.serve(address, mailbox);
        free.then(|| Served::new(self.clone(), address.clone(), queue))
    }

    /// Whether `domain` is one of ours.
    pub fn is_local(&self, domain: &str) -> bool {
        self.inner.config.domain(domain).is_some()
    }

    /// Whether `domain` is one of ours, or one that an entity here [serves](Server::serve): other servers may send to it, and
    /// nobody else may speak for it.
    pub fn hosts(&self, domain: &str) -> bool {
        self.is_local(domain) || self.inner.directory.entity(&[domain]).is_some()
    }

    /// A full JID's session, wherever it lives.
    pub fn bound(&self, jid: &FullJid) -> Option<Arc<Resource>> {
        crate::directory::find(
            &self.inner.directory.resources(jid.bare_str()),
            jid.as_str(),
        )
    }
}

/// A freshly bound session and its entry in the directory.
#[derive(Clone, Debug)]
pub struct Bound {
    /// The session.
    pub session: Arc<Session>,
    /// Its entry.
    pub resource: Arc<Resource>,
}

impl Dispatch {
    /// [`finish`](Dispatch::finish) in a box: for code that is part of a dispatch itself.
    fn finish_boxed(self) -> BoxFuture<'static, Settlement> {
        match self {
            Dispatch::Done(settlement) => Box::pin(std::future::ready(settlement)),
            Dispatch::Pending(future) => future,
        }
    }
}

impl From<Reason> for StanzaError {
    fn from(reason: Reason) -> StanzaError {
        StanzaError::new(match reason {
            Reason::Full => Condition::ResourceConstraint,
            Reason::Closed => Condition::ServiceUnavailable,
        })
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Server")
    }
}
