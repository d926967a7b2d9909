//! Connections that we open to other servers.

use std::io;
use std::sync::Arc;

use tracing::Instrument as _;

use super::connection::{Connection, Parts};
use super::handle::{Direction, Handle};
use super::{Shared, channel};
use crate::io::tls::Shown;
use crate::io::wire::Wire;
use crate::s2s::links::{self, LinkId};
use crate::s2s::{self, Outgoing, Pair, Policy};
use crate::stanza::Condition;

/// Servers of a domain whose direct TLS may fail before the domain counts as not reachable for now.
const HANDSHAKES: usize = 4;

impl Shared {
    /// Opens a connection for the link manager, and drives it.
    pub(super) fn dial(self: &Arc<Shared>, id: LinkId, pair: Pair) {
        let peer = pair.to().to_string();
        let handle = Arc::new(Handle::new(
            id,
            Direction::Outgoing,
            peer,
            Some(pair.to().clone()),
        ));
        let seat = self.enter(handle.clone());
        let span = tracing::debug_span!("s2s", id = %id, to = %pair.to());
        let shared = self.clone();
        let task = async move {
            let _seat = seat;
            let opened = tokio::select! {
                opened = shared.open(&pair, &handle) => opened,
                () = handle.unwanted() => Err(Condition::RemoteServerTimeout),
            };
            let (wire, shown, stream) = match opened {
                Ok(opened) => opened,
                Err(condition) => {
                    // Nothing can have been handed over: it was not connected.
                    let _ = handle.close();
                    let news = links::Input::NotConnected(id, condition);
                    shared.post.tell(&mut vec![news]);
                    return;
                }
            };
            shared.post.tell(&mut vec![links::Input::Connected(id)]);
            let parts = Parts {
                handle,
                wire,
                shown,
                stream,
                ticket: None,
                opened: Some(pair),
            };
            Connection::new(shared, parts).await;
        };
        self.server.spawn(task.instrument(span));
    }

    async fn open(
        &self,
        pair: &Pair,
        handle: &Handle,
    ) -> Result<(Wire, Shown, s2s::BoxStream), Condition> {
        // It may have been blocked, or become one of ours, since the stanza came.
        let policy = self.policy(pair.to());
        let policy = policy.ok_or(Condition::RemoteServerNotFound)?;
        let (wire, shown) = self.reach(pair, policy, handle).await?;
        let (settings, now) = (self.settings.clone(), self.server.now());
        let inner = Outgoing::new(settings, pair.clone(), policy, &channel(&wire), now);
        let stream = self.server.hooks().wrap_outgoing(Box::new(inner));
        Ok((wire, shown, stream))
    }

    /// A server of the domain with which the stream can begin. Where TLS comes first and fails, others may do better: XEP-0368 §5 has
    /// operators name such, as "ALPN might not be supported by all devices".
    async fn reach(
        &self,
        pair: &Pair,
        policy: Policy,
        handle: &Handle,
    ) -> Result<(Wire, Shown), Condition> {
        let limit = self.config.timeouts.header;
        let limit = limit.saturating_mul(policy.patience.max(1));
        let mut dial = self.dial.clone();
        let mut failure = None;
        for _ in 0..HANDSHAKES {
            let dialled = dial.dial(pair.from(), pair.to()).await;
            let dialled = dialled.map_err(|error| {
                self.server.metrics().s2s.failed_dials.increment();
                tracing::info!(to = %pair.to(), %error, "not connected");
                failure.unwrap_or(error.condition())
            })?;
            tracing::debug!(target = dialled.target, "connected");
            handle.facts().peer = dialled.target;
            if !dialled.direct_tls {
                return Ok((Wire::Plain(dialled.stream), Shown::default()));
            }
            let handshake = self.handshake(dialled.stream, Some(pair), true);
            let secured = tokio::time::timeout(limit, handshake).await;
            match secured.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(secured) => return Ok(secured),
                Err(error) => tracing::info!(to = %pair.to(), %error, "TLS handshake failed"),
            }
            // There is a server, whatever is said of the others.
            failure = Some(Condition::RemoteServerTimeout);
            match dialled.others {
                Some(others) => dial = others,
                None => break,
            }
        }
        Err(Condition::RemoteServerTimeout)
    }
}
