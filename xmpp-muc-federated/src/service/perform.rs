//! Does what a room wants done.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use xmpp_core::Jid;
use xmpp_core::mailbox::Origin;
use xmpp_core::server::Server;
use xmpp_core::stanza::{Condition, Kind, MessageType, PresenceType, Stanza, StanzaError};

use super::burst::Burst;
use super::metrics::Metrics;

/// Stanzas that are sent before others have their turn.
const STRETCH: usize = 512;

/// Sends a stanza that has both addresses. It is on its way when this returns, so what comes after it comes after it.
pub(super) async fn send(stanza: Stanza, server: &Server, metrics: &Metrics) {
    metrics.sent.increment();
    // What becomes of it is the recipient's matter; an error comes back to the room.
    let _ = server.route(stanza, Origin::ENTITY).finish().await;
}

/// Sends a stanza to each of these.
pub(super) async fn broadcast(stanza: &Stanza, to: &[Jid], server: &Server, metrics: &Metrics) {
    if stanza.kind() == Kind::Message(MessageType::Groupchat) {
        metrics.messages.increment();
    }
    for stretch in to.chunks(STRETCH) {
        for recipient in stretch {
            let copy = stanza.clone().with_to(recipient.clone());
            let _ = server.route(copy, Origin::ENTITY).finish().await;
        }
        metrics.sent.add(stretch.len() as u64);
        if stretch.len() == STRETCH {
            rest().await;
        }
    }
}

/// Gives a burst to the one who has entered; an error as if they had sent it, if they cannot take it.
pub(super) async fn burst(
    to: Jid,
    stanzas: Vec<Arc<Stanza>>,
    server: &Server,
    metrics: &Metrics,
) -> Option<Stanza> {
    let Some(session) = server.session_of(&to) else {
        // Elsewhere: there its way is as wide as for everything else.
        for stanza in stanzas {
            send(Stanza::clone(&stanza).with_to(to.clone()), server, metrics).await;
        }
        return None;
    };
    let from = stanzas
        .first()
        .and_then(|first| first.from())
        .map(Jid::to_bare);
    metrics.sent.add(stanzas.len() as u64);
    let burst = Burst::new(to.clone(), stanzas, server.budget());
    if burst.is_some_and(|burst| session.add_feed_in_turn(Box::new(burst))) {
        return None;
    }
    let error = StanzaError::new(Condition::RecipientUnavailable);
    let bounce = Stanza::presence(PresenceType::Error).with_children([&error.to_element()]);
    Some(bounce.with_from(to).with_to(from.map(Jid::from)))
}

/// In place of an answer to a request, that what it says is not stored.
pub(super) fn failed(answer: &Stanza, error: &StanzaError) -> Stanza {
    let kind = match answer.kind() {
        Kind::Message(_) => Kind::Message(MessageType::Error),
        Kind::Presence(_) => Kind::Presence(PresenceType::Error),
        Kind::Iq(_) => Kind::Iq(xmpp_core::stanza::IqType::Error),
    };
    Stanza::new(kind)
        .with_to(answer.to().cloned())
        .with_from(answer.from().cloned())
        .with_id(answer.id())
        .with_children([&error.to_element()])
}

/// Lets others have their turn.
async fn rest() {
    let mut rested = false;
    poll_fn(|cx| match std::mem::replace(&mut rested, true) {
        true => Poll::Ready(()),
        false => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}
