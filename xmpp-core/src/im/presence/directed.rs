//! Presence with an addressee (RFC 6121 §4.6).

use std::sync::Arc;

use crate::Jid;
use crate::mailbox::Origin;
use crate::module::{Delivery, Dispatch};
use crate::server::Server;
use crate::session::Session;
use crate::stanza::{Condition, PresenceType, Stanza, StanzaError};

/// §4.6.3: "MUST locally deliver or remotely route the full XML of that presence stanza".
pub(super) fn available(
    stanza: Stanza,
    session: &Arc<Session>,
    origin: Origin,
    server: &Server,
) -> Dispatch {
    let Some(to) = stanza.to() else {
        return Dispatch::DONE;
    };
    let Some(resource) = server.resource(session) else {
        return Dispatch::DONE; // it has ended meanwhile
    };
    // §4.6.3: rule 1 for a contact that hears broadcasts anyway; rules 2 and 3 for everyone
    // else, who has to hear when the resource becomes unavailable.
    let told = resource.is_available() && session.account().shows_presence_to(to);
    if !told
        && !session.direct_presence(
            to,
            server.config().account(session.bare()).directed_presences,
        )
    {
        let error = StanzaError::from(Condition::ResourceConstraint)
            .with_text("Presence is directed to too many addresses.");
        return server.refuse(&stanza, &error);
    }
    let to = to.clone();
    let sent = server.route(stanza, origin);
    if server.resource(session).is_some() {
        return sent;
    }
    // It has ended meanwhile, and its goodbye may have been faster than this.
    let gone = Stanza::presence(PresenceType::Unavailable)
        .with_from(Jid::from(session.jid()))
        .with_to(to);
    Dispatch::all([sent, server.route(gone, Origin::SERVER)])
}

/// §4.6.1: "MUST remove from the directed presence list [...] any entity to which the user
/// sends directed unavailable presence".
pub(super) fn unavailable(
    stanza: Stanza,
    session: &Arc<Session>,
    origin: Origin,
    server: &Server,
) -> Dispatch {
    if let Some(to) = stanza.to() {
        session.forget_directed(to);
    }
    server.route(stanza, origin)
}

/// §4.6.1: "and SHOULD remove any entity that sends unavailable presence to the user".
pub(super) fn heard(delivery: &Delivery<'_>) {
    let (Some(from), Some(to)) = (delivery.stanza.from(), delivery.to) else {
        return;
    };
    for session in to.as_slice().iter().filter_map(|r| r.session()) {
        session.forget_directed(from);
    }
}
