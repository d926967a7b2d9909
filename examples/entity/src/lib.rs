//! An address that is no account's: a bot that repeats what it is told.
//!
//! [`Server::serve`] gives an address a mailbox. From then on every stanza for it, for a
//! resource of it, or for an address below it if it is a domain, waits in that mailbox;
//! whoever serves it reads there and answers with [`Served::send`](xmpp_core::server::Served::send). Rooms, components and
//! links to other servers are entities in the same way.

use std::sync::Arc;

use xmpp_core::Jid;
use xmpp_core::mailbox::{Outcome, Queue, QueueLimits};
use xmpp_core::server::Server;
use xmpp_core::stanza::{Condition, Kind, MessageType, Stanza, StanzaError};
use xmpp_core::xml::ns;

/// Bytes of XML that are taken out of the mailbox at a time.
const BATCH: usize = 64 * 1024;

/// Starts the bot at `address`, which need not be below a domain of the server. It stops
/// when the mailbox is [closed](Queue::close), or with the server. `None` if the address is served already.
pub fn start(server: &Server, address: &Jid) -> Option<Arc<Queue>> {
    let served = server.serve(address, QueueLimits::default())?;
    let mailbox = served.queue().clone();
    server.spawn(async move {
        while let Some(batch) = served.next(BATCH).await {
            for envelope in batch {
                let answer = answer(&envelope.stanza);
                // Whoever sent it may rely on it from here on.
                envelope.settle(Outcome::Settled);
                if let Some(answer) = answer {
                    // Awaited, so that two answers to one person keep their order.
                    let _ = served.send(answer).finish().await;
                }
            }
        }
    });
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
