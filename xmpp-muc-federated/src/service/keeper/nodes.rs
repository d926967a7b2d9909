//! What a room has to do with its other nodes.

use std::time::Duration;

use xmpp_core::stanza::{Condition, Stanza};
use xmpp_core::{BareJid, Jid};

use super::super::federation::nobody_here;
use super::super::held::{Happening, Held};
use super::super::lines::Lines;
use super::Keeper;
use crate::fmuc::{LinkState, Matter, Notice, is_waited_for};

impl Keeper {
    /// The streams to servers of other nodes have gone down, or come up.
    pub(super) async fn links(&mut self, changes: Vec<(BareJid, LinkState)>) {
        for (domain, state) in changes {
            self.turn(Happening::Link(domain, state)).await;
        }
        self.finish().await;
    }

    /// A stanza of another node: no room is made for it, and no error comes of it.
    pub(super) async fn between_rooms(&mut self, stanza: Stanza) {
        if let Some(lines) = &mut self.lines {
            lines.received(&stanza);
        }
        if self.room.is_some() {
            return self.turn(Happening::Stanza(stanza)).await;
        }
        if let Some(answer) = nobody_here(&stanza) {
            self.table.house.metrics.refused.increment();
            self.outlet.send(answer).await;
        }
    }

    /// Whether this says that something has not reached another node.
    pub(super) fn is_returned(&self, stanza: &Stanza) -> bool {
        let from = stanza.from().map(Jid::to_bare);
        let is_node = |lines: &Lines| from.is_some_and(|from| lines.has(&from));
        let Some(error) = stanza
            .error()
            .filter(|_| self.lines.as_ref().is_some_and(is_node))
        else {
            return false;
        };
        // RFC 6120 §8.3.3.16 and §8.3.3.17, and what has no room on its way.
        matches!(
            error.condition,
            Condition::RemoteServerNotFound
                | Condition::RemoteServerTimeout
                | Condition::ResourceConstraint
        )
    }

    /// Sends this to another node, together with what follows if the link is one for that.
    pub(super) async fn tell_node(&mut self, peer: &BareJid, stanza: Stanza) {
        if let Some(lines) = &mut self.lines {
            lines.sent(peer, &stanza);
        }
        let federation = self.room.as_ref().and_then(Held::federation);
        let pause = match (&self.table.house.federal, federation) {
            (Some(federal), Some(federation)) => federal.pause(peer, federation),
            _ => Duration::ZERO,
        };
        let is_waited_for = is_waited_for(&stanza);
        self.outlet.send_together(peer, stanza, pause).await;
        if is_waited_for {
            self.outlet.send_batch(peer).await;
        }
    }

    /// What those who run the service should know.
    pub(super) fn note(&self, Notice { peer, what, .. }: &Notice) {
        let (room, metrics) = (&self.seat.post.room, &self.table.house.metrics);
        match what {
            Matter::Dropped(why) => {
                metrics.dropped.increment();
                tracing::debug!(%room, %peer, why, "stanza of another node dropped");
            }
            Matter::Refused(why) => {
                metrics.refused.increment();
                tracing::info!(%room, %peer, why, "room not let in");
            }
            Matter::Rejected(why) => {
                metrics.rejected.increment();
                tracing::warn!(%room, %peer, why, "room not joined");
            }
            Matter::Ordinary => {
                metrics.rejected.increment();
                tracing::warn!(%room, %peer, "room not joined, since it is not federated");
            }
            Matter::NoEcho => {
                metrics.rejected.increment();
                tracing::warn!(%room, %peer, "room left: it does not say what it has done, so this one can be no replica of it");
            }
            Matter::Silent => {
                metrics.rejected.increment();
                tracing::warn!(%room, %peer, "room not joined, since it does not answer");
            }
            Matter::Stale => {
                metrics.rejected.increment();
                tracing::warn!(%room, %peer, "room not joined: the Openfire there may still know occupants of this room from before; its room has to be emptied of them");
            }
            Matter::Flood => {
                metrics.dropped.increment();
                tracing::warn!(%room, %peer, "another node says too much");
            }
        }
    }
}
