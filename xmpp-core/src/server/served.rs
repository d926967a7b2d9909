//! An address that a module or an embedder answers for.

use std::collections::VecDeque;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;

use futures::future::{Either, select};

use super::Server;
use crate::Jid;
use crate::mailbox::{Envelope, Origin, Outcome, Queue};
use crate::module::Dispatch;
use crate::stanza::{Condition, Stanza, StanzaError};

/// An address with a mailbox of its own, from [`Server::serve`]: a room service, a
/// component, a bot.
///
/// When it is dropped the address is free again, and what still waits there is answered with
/// `<service-unavailable/>`.
pub struct Served {
    address: Jid,
    queue: Arc<Queue>,
    server: Server,
}

impl Served {
    pub(super) fn new(server: Server, address: Jid, queue: Arc<Queue>) -> Served {
        Served {
            address,
            queue,
            server,
        }
    }

    /// The address.
    pub fn address(&self) -> &Jid {
        &self.address
    }

    /// The mailbox; whoever closes it ends the service.
    pub fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// Waits for stanzas: the oldest, of up to `bytes` together, but at least one. `None` when
    /// the mailbox is closed or the server [closes](Server::close). Nothing is lost if this is
    /// dropped before it is done.
    pub async fn next(&self, bytes: usize) -> Option<VecDeque<Envelope>> {
        let next = pin!(self.queue.next(bytes));
        match select(next, pin!(self.server.closing())).await {
            Either::Left((envelopes, _)) => envelopes,
            Either::Right(_) => None,
        }
    }

    /// Sends a stanza, which should have this address or one below it as `from`.
    pub fn send(&self, stanza: Stanza) -> Dispatch {
        self.queue.sent(&stanza);
        self.server.route(stanza, Origin::ENTITY)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.directory().withdraw(&self.address);
        for envelope in self.queue.close() {
            let unavailable = StanzaError::from(Condition::ServiceUnavailable);
            if let Some(error) = envelope.stanza.error_reply(&unavailable) {
                self.server.send(error);
            }
            envelope.settle(Outcome::Returned);
        }
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Served").field(&self.address).finish()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use crate::mailbox::QueueLimits;
    use crate::server::testing::{World, jid};
    use crate::stanza::{Condition, Stanza};

    #[test]
    fn an_address_is_free_again_and_what_waited_there_is_refused() {
        let world = World::new(Vec::new());
        let bot = jid("bot.example.org");
        let limits = Default::default();
        let served = world.server.serve(&bot, limits).unwrap();
        assert!(world.server.serve(&bot, limits).is_none());
        let romeo = world.login("romeo@example.org/orchard");
        let asked = romeo.submit("<iq type='get' to='bot.example.org' id='1'><x xmlns='y'/></iq>");
        drop(served);
        world.settle();
        world.finish(asked);
        let answer = romeo.read().pop().unwrap();
        assert_eq!(
            answer.error().unwrap().condition,
            Condition::ServiceUnavailable
        );
        assert!(world.server.serve(&bot, limits).is_some());
    }

    #[test]
    fn what_a_service_asks_for_has_room_when_nothing_else_has() {
        let world = World::new(Vec::new());
        let bot = jid("bot.example.org");
        let limits = QueueLimits {
            stanzas: 2,
            ..QueueLimits::default()
        };
        let served = world.server.serve(&bot, limits).unwrap();
        let romeo = world.login("romeo@example.org/orchard");
        for _ in 0..limits.stanzas {
            romeo.send("<message to='bot.example.org'/>");
        }
        let answer = "<iq type='result' to='bot.example.org' id='1'/>";
        romeo.send(answer);
        assert_eq!(served.queue().depth().0, 2, "nobody has asked");
        let ask = "<iq type='get' from='bot.example.org' to='romeo@example.org/orchard' id='1'><x xmlns='y'/></iq>";
        world.finish(served.send(Stanza::parse(ask).unwrap()));
        romeo.send(answer);
        assert_eq!(served.queue().depth().0, 3);
    }

    #[test]
    fn a_service_ends_with_the_server() {
        let world = World::new(Vec::new());
        let served = world
            .server
            .serve(&jid("bot.example.org"), Default::default());
        let served = served.unwrap();
        assert!(served.next(1).now_or_never().is_none());
        world.run(world.server.close());
        assert!(served.next(1).now_or_never().unwrap().is_none());
    }
}
