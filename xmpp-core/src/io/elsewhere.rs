//! Sessions that go from one node of a domain to another: resumed there, or sent away.
//!
//! Neither a lost message nor a death in between loses a session or has it twice. Its node
//! [freezes](Driver::hand_out) it and says what it is; the other one [takes it in](Driver::take_in), and says so; then the first one
//! [lets go](HandedOut::taken) of it. What comes for it meanwhile waits for it on the first, and follows.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::channel::oneshot;
use futures::future::BoxFuture;

use super::control::Control;
use super::listener::{Driver, Shared};
use crate::mailbox::Mailbox;
use crate::session::SessionId;
use crate::stream::NotResumed;
use crate::{BareJid, FullJid};

/// How long a client that resumes waits for other nodes to be asked for its stream.
pub const WAITING: Duration = Duration::from_secs(5);

/// The longest name of a stream that other nodes are asked for, in bytes; what a client makes up is not theirs.
pub const NAME: usize = 128;

/// Streams that other nodes have. Whoever joins nodes implements it, and gives it to the [driver](Driver::set_elsewhere).
#[async_trait]
pub trait Elsewhere: Send + Sync + 'static {
    /// Fetches the stream of that name, of which nothing is known here, if another node has it and it is this account's. The
    /// node that has it is to [hand it out](Driver::hand_out).
    ///
    /// Dropped before it is done, or its [`Offer`] dropped, it leaves the session where it is.
    ///
    /// # Errors
    ///
    /// [`NotResumed::Unknown`] if no node has it, or the one that does cannot be reached; with the count of handled stanzas if
    /// that is known.
    async fn fetch(&self, name: &str, account: &BareJid) -> Result<Offer, NotResumed>;
}

/// A session that another node has frozen for this one.
pub struct Offer {
    state: String,
    taken: BoxFuture<'static, Result<(), NotResumed>>,
}

impl Offer {
    /// What the session is, as [`HandedOut::state`] has it, and what tells its node that it is here now.
    ///
    /// `taken` is awaited when the session is bound here. It fails if the session is still over there, for sure; then nothing is left
    /// of it here. If its node is dead, or has let go of it, the session is here. Never awaited, the session stays there.
    pub fn new(
        state: String,
        taken: impl Future<Output = Result<(), NotResumed>> + Send + 'static,
    ) -> Offer {
        Offer {
            state,
            taken: Box::pin(taken),
        }
    }
}

impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Offer({} bytes)", self.state.len())
    }
}

/// A session that is frozen until it is known whether another node has [taken](HandedOut::taken) it. Dropped, it is
/// [kept](HandedOut::keep).
pub struct HandedOut {
    pub(super) jid: FullJid,
    pub(super) id: SessionId,
    pub(super) name: Arc<str>,
    pub(super) state: String,
    pub(super) decide: oneshot::Sender<Taken>,
}

/// Where a session has gone.
pub(super) struct Taken {
    pub(super) to: Mailbox,
    pub(super) done: oneshot::Sender<()>,
}

impl HandedOut {
    /// Its address.
    pub fn jid(&self) -> &FullJid {
        &self.jid
    }

    /// Its id, which stays the same.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The name of its stream.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the session is, for the other node: text that is understood by this and later releases.
    pub fn state(&self) -> &str {
        &self.state
    }

    /// Another node has it, and it is no longer here. Nobody is told; its connection, if it has one, is cut without a
    /// `</stream:stream>`, so that its client resumes. What has come for it meanwhile goes to `to`, before anything that
    /// comes later.
    ///
    /// # Errors
    ///
    /// If it has ended meanwhile: then the other node has to forget it.
    pub async fn taken(self, to: Mailbox) -> Result<(), NotResumed> {
        let (done, is_done) = oneshot::channel();
        let _ = self.decide.send(Taken { to, done });
        is_done.await.map_err(|_| NotResumed::Unknown(None))
    }

    /// No other node has it: it goes on here as if nothing had been asked, for as long as it would have waited.
    pub fn keep(self) {}
}

impl fmt::Debug for HandedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HandedOut({}, {:?})", self.jid, self.id)
    }
}

/// A session that can go on elsewhere, as [`Driver::movable`] lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Movable {
    /// Its address.
    pub jid: FullJid,
    /// The name of its stream.
    pub name: Arc<str>,
}

/// Somebody who wants a session.
pub(super) struct Wanted {
    pub(super) why: Why,
    pub(super) reply: oneshot::Sender<HandedOut>,
}

/// Why a session is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Its client resumes elsewhere: the connection that it has here, if any, is not its client's any more.
    Resumed,
    /// It is sent away. As long as nobody has it, it keeps its connection.
    Sent,
}

impl Driver {
    /// Who knows what streams other nodes have, once and for all; `false` if that was said before. A client that resumes
    /// a stream that is unknown here waits for them for [`DriverConfig::elsewhere`](super::DriverConfig::elsewhere) at most.
    pub fn set_elsewhere(&self, elsewhere: Arc<dyn Elsewhere>) -> bool {
        self.shared.elsewhere.set(elsewhere).is_ok()
    }

    /// Freezes the session whose stream has that name, if it is this account's, since its client resumes on another node. Its
    /// connection, if there is one still, is closed with `<conflict/>`, as it is when the client resumes here (XEP-0198 §5), and what has come over it is settled.
    /// A session that is frozen for somebody else is unknown.
    ///
    /// Dropped before it is done, it leaves the session as it is.
    ///
    /// # Errors
    ///
    /// If it cannot be resumed, and as [`Elsewhere::fetch`] has it.
    pub async fn hand_out(&self, name: &str, account: &BareJid) -> Result<HandedOut, NotResumed> {
        let find = || self.shared.resumable.find(name, account);
        let handed_out = self.shared.want(find()?, Why::Resumed).await;
        // It may have come to its end meanwhile, and then more is known of it.
        handed_out.ok_or_else(|| find().err().unwrap_or(NotResumed::Unknown(None)))
    }

    /// The same for a session that is sent away, though its client has not asked for that: its connection stays until
    /// another node has [taken](HandedOut::taken) the session, and then it is cut. What its client sends meanwhile is not read.
    ///
    /// # Errors
    ///
    /// As [`hand_out`](Driver::hand_out).
    pub async fn send_away(&self, name: &str) -> Result<HandedOut, NotResumed> {
        let unknown = NotResumed::Unknown(None);
        let control = self.shared.resumable.control(name).ok_or(unknown)?;
        self.shared.want(control, Why::Sent).await.ok_or(unknown)
    }

    /// The sessions whose streams can be resumed, and so can go on on another node ([`send_away`](Driver::send_away)): those that have a connection and
    /// those that wait for one. Of guests there are none.
    pub fn movable(&self) -> Vec<Movable> {
        self.shared.resumable.list()
    }

    /// Takes in a session of this account that another node offers: it is bound, and as soon as the other node has let go of it, it waits for its
    /// client as if its connection had been lost just then. What is left of its time is the same.
    ///
    /// It runs to its end also if nobody waits for that.
    ///
    /// # Errors
    ///
    /// If it is not here. Then its node has it still, or it has ended there.
    pub async fn take_in(&self, account: &BareJid, offer: Offer) -> Result<(), NotResumed> {
        if self.shared.is_stopping() {
            return Err(NotResumed::Unknown(None));
        }
        let (done, is_done) = oneshot::channel();
        let (shared, account) = (self.shared.clone(), account.clone());
        spawn(async move {
            let _ = done.send(shared.take_in(&account, None, offer).await);
        });
        is_done.await.unwrap_or(Err(NotResumed::Unknown(None)))
    }
}

impl Shared {
    async fn want(&self, control: Arc<Control>, why: Why) -> Option<HandedOut> {
        let (reply, handed_out) = oneshot::channel();
        control.want(Wanted { why, reply });
        // Should the connection end, nobody answers.
        drop(control);
        handed_out.await.ok()
    }

    /// Asks other nodes for a stream that is unknown here. `None` if there is nobody to ask.
    pub(super) fn fetch(
        self: &Arc<Shared>,
        name: &str,
        account: BareJid,
    ) -> Option<BoxFuture<'static, Result<Arc<Control>, NotResumed>>> {
        // What comes to a server that stops would end with it.
        let asks = name.len() <= NAME && !self.is_stopping();
        let elsewhere = self.elsewhere.get().filter(|_| asks)?.clone();
        let (shared, name) = (self.clone(), Arc::<str>::from(name));
        Some(Box::pin(async move {
            let limit = shared.patience;
            let unknown = Err(NotResumed::Unknown(None));
            let (done, is_done) = oneshot::channel();
            let (held, whose, what) = (shared.clone(), account.clone(), name.clone());
            // A session that has come so far is here, whether its client waits for it or not.
            spawn(async move {
                let fetched = tokio::time::timeout(limit, elsewhere.fetch(&what, &whose)).await;
                let taken = match fetched {
                    Ok(Ok(offer)) => held.take_in(&whose, Some(&*what), offer).await,
                    Ok(Err(reason)) => Err(reason),
                    Err(_) => unknown.map(|_: ()| ()),
                };
                let _ = done.send(taken);
            });
            match tokio::time::timeout(limit, is_done).await {
                Ok(Ok(Ok(()))) => shared.resumable.find(&name, &account),
                Ok(Ok(Err(reason))) => Err(reason),
                _ => Err(NotResumed::Unknown(None)),
            }
        }))
    }

    /// `name` is what the stream should be called, if that is known.
    async fn take_in(
        self: &Arc<Shared>,
        account: &BareJid,
        name: Option<&str>,
        offer: Offer,
    ) -> Result<(), NotResumed> {
        let Offer { state, taken } = offer;
        let Some(arriving) = self.server.arrive(account, name, &state).await else {
            return Err(NotResumed::Unknown(None));
        };
        drop(state);
        if let Err(reason) = taken.await {
            self.server.turn_back(arriving);
            return Err(reason);
        }
        let restored = self.server.arrived(arriving);
        spawn(self.take_up(restored, super::restart::From::Node));
        Ok(())
    }
}

#[allow(clippy::disallowed_methods)] // io owns tasks
fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}
