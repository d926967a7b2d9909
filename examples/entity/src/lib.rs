//! An address that is no account's: a bot that repeats what it is told.
//!
//! [`Server::serve`] gives an address a mailbox. From then on every stanza for it, for a
//! resource of it, or for an address below it if it is a domain, waits in that mailbox;
//! whoever serves it reads there and sends with [`Server::route`]. Rooms, components and
//! links to other servers are entities in the same way.

use std::sync::Arc;

use xmpp_core::Jid;
use xmpp_core::mailbox::{Origin, Outcome, Queue, QueueLimits, Source};
use xmpp_core::server::Server;
use xmpp_core::stanza::{Condition, Kind, MessageType, Stanza, StanzaError};
use xmpp_core::xml::ns;

/// Bytes of XML that are taken out of the mailbox at a time.
const BATCH: usize = 64 * 1024;

/// As whom the bot sends.
const ORIGIN: Origin = Origin {
    source: Source::Entity,
    sm: None,
};

/// Starts the bot at `address`, which need not be below a domain of the server. It stops
/// when the mailbox is [closed](Queue::close). `None` if the address is served already.
pub fn start(server: &Server, address: &Jid) -> Option<Arc<Queue>> {
    let mailbox = server.serve(address, QueueLimits::default())?;
    let (queue, at) = (mailbox.clone(), server.clone());
    server.spawn(Box::pin(async move {
        while let Some(batch) = queue.next(BATCH).await {
            for envelope in batch {
                let answer = answer(&envelope.stanza);
                // Whoever sent it may rely on it from here on.
                envelope.settle(Outcome::Settled);
                if let Some(answer) = answer {
                    // Awaited, so that two answers to one person keep their order.
                    let _ = at.route(answer, ORIGIN).finish().await;
                }
            }
        }
    }));
    Some(mailbox)
}

/// What the bot has to say to that.
fn answer(stanza: &Stanza) -> Option<Stanza> {
    match stanza.kind() {
        Kind::Message(MessageType::Chat | MessageType::Normal) => {
            let body = stanza.payload().child("body", ns::CLIENT)?;
            Some(stanza.reply().with_child(&body.element()))
        }
        // An entity answers the requests to it, or says that it does not (RFC 6120 §8.2.3).
        Kind::Iq(_) => stanza.error_reply(&StanzaError::new(Condition::ServiceUnavailable)),
        // Presence needs no answer; errors and what is meant for many get none.
        _ => None,
    }
}
