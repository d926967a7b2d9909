//! Presence probes that come in (RFC 6121 §4.3.2, §4.6.6).

use std::sync::Arc;

use super::{between, show_one};
use crate::Jid;
use crate::account::Account;
use crate::im::subscription::Act;
use crate::mailbox::Origin;
use crate::module::Dispatch;
use crate::server::Server;
use crate::session::Resource;
use crate::stanza::{PresenceType, Stanza};
use crate::time::Timestamp;
use crate::xml::Element;

const DELAY: &str = "urn:xmpp:delay";

/// Answers a probe for an account, which may not exist.
pub(super) async fn received(probe: Stanza, account: &Arc<Account>, server: &Server) {
    let (Some(from), Some(to)) = (probe.from(), probe.to()) else {
        return;
    };
    let resources = server.directory().resources(account.jid().as_str());
    let mut shown = None;
    let asked = resources.iter().find(|r| r.jid().as_str() == to.as_str());
    let answer = if !account.exists() || !account.shows_presence_to(from) {
        match asked {
            // §4.6.6: "MUST check if the user has sent directed presence to the entity during
            // its current session; if so, the server SHOULD answer the probe with only mere
            // presence"
            Some(resource) if has_directed(resource, from) => {
                shown = Some(resource);
                mere(to, from)
            }
            // §4.3.2: "SHOULD return a presence stanza of type "unsubscribed" [...] Here the
            // 'from' address MUST be the bare JID of the contact"
            _ => between(account, &from.to_bare(), Act::Unsubscribed).with_id(probe.id()),
        }
    } else if to.resource().is_some() {
        // §4.3.2: "MUST NOT return presence information about any resource except the
        // resource specified", and of that "only the fact that the resource is available"
        match asked {
            Some(resource) if resource.is_available() => {
                shown = Some(resource);
                mere(to, from)
            }
            _ => gone(to, &probe),
        }
    } else {
        // §4.3.2: "the full XML of the last presence stanza with no 'to' attribute received
        // by the server from each of the contact's available resources"
        let presences = resources.iter().filter_map(|r| show_one(r, from, server));
        let presences: Vec<_> = presences.collect();
        if !presences.is_empty() {
            let _ = Dispatch::all(presences).finish().await;
            return;
        }
        // §4.3.2: "SHOULD include information about the time when the last unavailable
        // presence stanza was generated"
        let gone = gone(to, &probe);
        match server.stores().accounts.last_activity(account.jid()).await {
            Ok(Some((at, _))) => gone.with_child(&delay(at)),
            Ok(None) => gone,
            Err(error) => {
                tracing::error!(account = %account.jid(), %error, "last activity not read");
                gone
            }
        }
    };
    let _ = server.route(answer, Origin::SERVER).finish().await;
    if let Some(resource) = shown {
        // Its goodbye may have been faster than the answer.
        let is_still_there = server.bound(resource.jid()).is_some_and(|bound| {
            bound.is_available() && account.shows_presence_to(from)
                || bound.id() == resource.id() && has_directed(&bound, from)
        });
        if !is_still_there {
            let gone = gone(to, &probe);
            let _ = server.route(gone, Origin::SERVER).finish().await;
        }
    }
}

fn has_directed(resource: &Resource, to: &Jid) -> bool {
    resource.session().is_some_and(|session| {
        session.has_directed(to) || session.has_directed(to.to_bare().as_jid())
    })
}

/// Available, and no more.
fn mere(from: &Jid, to: &Jid) -> Stanza {
    Stanza::presence(PresenceType::Available)
        .with_from(from.clone())
        .with_to(to.clone())
}

/// §4.3.2.1: "if the contact currently has no available resources, [...] SHOULD mirror the
/// 'id' of the user's presence probe".
fn gone(from: &Jid, probe: &Stanza) -> Stanza {
    Stanza::presence(PresenceType::Unavailable)
        .with_from(from.clone())
        .with_to(probe.from().cloned())
        .with_id(probe.id())
}

fn delay(at: Timestamp) -> Element {
    Element::new("delay", DELAY).with_attr("stamp", &at.to_string())
}
