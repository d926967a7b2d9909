//! Sessions that outlive the server.

use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument as _;

use super::connection::Connection;
use super::control::{Call, Control};
use super::listener::{Driver, Shared};
use super::wire::Wire;
use crate::sasl::Channel;
use crate::server::restart::{Kept, Restored};
use crate::store;
use crate::stream::{BoxStream, StartTls, Stream};

/// Where a session comes from that is taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// The store, which has it until it is resumed.
    Store,
    /// Another node, which has let go of it.
    Node,
}

impl Driver {
    /// Stops accepting and puts away every session whose stream can be resumed (XEP-0198 §5): it is
    /// written to the store ([`Sessions`](store::Sessions)), and its connection is cut without a
    /// `</stream:stream>`, so that its client resumes when a server is there again that has
    /// [restored](Driver::restore) it. All other streams are closed with `<system-shutdown/>`, and so
    /// is one whose session the store does not take; what its client has not received goes
    /// where it would go when any session ends. Waits until all connections are gone or `limit`
    /// is over; `true` if all are gone.
    ///
    /// What clients have sent is settled before, for half of the time at most. A stanza that is
    /// not settled by then, since a store or a module takes too long, is not counted, so that
    /// its client sends it once more; it may arrive twice then.
    pub async fn suspend(&self, limit: Duration) -> bool {
        if !self.settle(limit / 2).await {
            tracing::warn!("stanzas are under way, and may come twice");
        }
        self.shared.call(Call::PutAway);
        self.shared.gone(limit / 2).await
    }

    /// The first part of [`suspend`](Driver::suspend), alone: stops accepting, closes streams that cannot be resumed, reads nothing
    /// more, and settles what has been read; `true` if that is done before `limit` is over. The sessions that are left hear what still comes
    /// for them. So this is the time to end what their stanzas have gone to, such as connections to other servers
    /// ([`Federation::close`](super::s2s::Federation::close)): who has sent something that comes back is told so, and if that is not in this run, in
    /// the next one. `suspend` or [`shutdown`](Driver::shutdown) has to follow.
    pub async fn settle(&self, limit: Duration) -> bool {
        let shared = &self.shared;
        shared.stop_accepting();
        shared.set_settling();
        shared.call(Call::Settle);
        // What one session has sent may be on its way into the queue of another: none is
        // written down before all is where it belongs.
        let settled = |connections: &_| shared.are_settled(connections);
        shared.until(limit, settled).await
    }

    /// Takes up the sessions that another run of the server has [put away](Driver::suspend): they
    /// are bound and wait for their clients as if their connections had been lost just then;
    /// whose time is over ends. To be called before anybody is let in. Gives their number.
    ///
    /// # Errors
    ///
    /// If the store cannot be read. Then sessions and what waits for their clients would be
    /// missing; they are not lost, and are there when the store is.
    #[allow(clippy::disallowed_methods)] // io owns tasks
    pub async fn restore(&self) -> store::Result<usize> {
        let shared = &self.shared;
        let mut kept = Kept::default();
        let mut all = Vec::new();
        loop {
            match shared.server.restore(&mut kept).await {
                Ok(Some(page)) => all.extend(page),
                Ok(None) => break,
                Err(error) => {
                    let sessions = all.iter().map(|one: &Restored| &one.bound.session);
                    sessions.for_each(|session| shared.server.put_away(session));
                    return Err(error);
                }
            }
        }
        let restored = all.len();
        // All are bound by now: what becomes of those whose time is over is for the others too.
        for one in all {
            tokio::spawn(shared.take_up(one, From::Store));
        }
        let metrics = shared.server.metrics();
        metrics.restored_sessions.add(restored as u64);
        Ok(restored)
    }
}

impl Shared {
    /// The task of a session that waits for its client.
    pub(super) fn take_up(
        self: &Arc<Shared>,
        restored: Restored,
        from: From,
    ) -> impl Future<Output = ()> + Send + 'static + use<> {
        let now = self.server.now();
        let settings = self.settings.clone();
        let inner = Stream::new(settings, Channel::default(), StartTls::Unavailable, now);
        let stream = self.server.hooks().wrap(Box::new(inner) as BoxStream);
        let control = Arc::<Control>::default();
        let place = self.enter(control.clone());
        let span = tracing::debug_span!("connection", id = place.id, restored = true);
        let mut connection = Connection::new(self.clone(), control, None, Wire::Gone, stream, None);
        connection.restore(restored, from, now);
        let drive = async move {
            connection.await;
            drop(place);
        };
        drive.instrument(span)
    }
}
