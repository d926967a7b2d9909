//! What is between rooms and comes from another server for one of our users.

use xmpp_core::mailbox::Source;
use xmpp_core::module::{Delivery, InboundFilter, Verdict};
use xmpp_core::server::Server;

use crate::fmuc::is_between_rooms;

/// Drops it, and nobody is told.
///
/// XEP-0289: "It also MUST NOT pass the fmuc payloads through to local clients." Openfire addresses what one of its users says in private to one of ours to that user
/// and not to the room, with the address in its own room for a sender that nobody here could answer.
pub(super) struct Stray;

impl InboundFilter for Stray {
    fn inbound(&self, delivery: &mut Delivery<'_>, _: &Server) -> Verdict {
        let is_remote = matches!(delivery.origin.source, Source::Remote(_));
        match is_remote && is_between_rooms(delivery.stanza) {
            true => Verdict::Drop,
            false => Verdict::Pass,
        }
    }
}
