//! What is between rooms and comes from another server for one of our users.

use xmpp_core::mailbox::Source;
use xmpp_core::module::{Delivery, InboundFilter, Verdict};
use xmpp_core::server::Server;
use xmpp_core::stanza::{Condition, Kind};

use crate::fmuc::is_between_rooms;

/// Drops it, and nobody is told but who asks for something (RFC 6120 §8.2.3: "An entity that receives an IQ request of type \"get\" or \"set\" MUST reply").
///
/// XEP-0289: "It also MUST NOT pass the fmuc payloads through to local clients." Openfire addresses what one of its users says in private to one of ours to that user
/// and not to the room, with the address in its own room for a sender that nobody here could answer.
pub(super) struct Stray;

impl InboundFilter for Stray {
    fn inbound(&self, delivery: &mut Delivery<'_>, _: &Server) -> Verdict {
        let is_remote = matches!(delivery.origin.source, Source::Remote(_));
        match (delivery.stanza.kind(), is_between_rooms(delivery.stanza)) {
            (Kind::Iq(_), true) if is_remote => {
                Verdict::Refuse(Condition::ServiceUnavailable.into())
            }
            (_, true) if is_remote => Verdict::Drop,
            _ => Verdict::Pass,
        }
    }
}
