//! Messages for those who are away (XEP-0160), stamped with their time (XEP-0203).

use std::sync::Arc;

use async_trait::async_trait;

use crate::account::Account;
use crate::mailbox::Source;
use crate::module::{
    Delivery, Hooks, InboundFilter, Module, OfflineHandler, Scope, SessionEvent, SessionWatcher,
    Verdict,
};
use crate::server::Server;
use crate::session::{Resource, Session};
use crate::stanza::{Child, Condition, Kind, Stanza, StanzaError};
use crate::store::{OfflineLimits, StoreError};
use crate::xml::ns;
use crate::{BareJid, Jid};

mod deliveries;

use deliveries::Deliveries;

/// The disco feature.
pub const FEATURE: &str = "msgoffline";
/// The namespace of `<delay/>`.
pub const DELAY: &str = "urn:xmpp:delay";

const HINTS: &str = "urn:xmpp:hints";
const CHAT_STATES: &str = "http://jabber.org/protocol/chatstates";

/// The module.
///
/// One session of an account at a time is given the stored messages, page by page as its
/// client takes them; a page leaves the store when it has been written. A message that the
/// store returns but that cannot be read is passed over and stays there; it is logged and
/// counted ([`Metrics::unreadable_messages`](crate::metrics::Metrics::unreadable_messages)).
#[derive(Default)]
pub struct Offline {
    deliveries: Arc<Deliveries>,
}

impl Module for Offline {
    fn register(self: Arc<Self>, on: &mut Hooks) {
        on.feature(Scope::Server, FEATURE);
        on.offline(self.clone());
        on.inbound(self.clone());
        on.watch(self);
    }
}

#[async_trait]
impl OfflineHandler for Offline {
    async fn keep(
        &self,
        stanza: Stanza,
        account: &Arc<Account>,
        missed: Option<&Arc<Session>>,
        server: &Server,
    ) -> Result<(), StanzaError> {
        match worth(&stanza) {
            Worth::Storing => {}
            Worth::Nothing => return Ok(()),
            // RFC 6121 §8.5.2.2.1: to store it or to "return a stanza error to the sender,
            // which SHOULD be <service-unavailable/>"
            Worth::Telling => return Err(Condition::ServiceUnavailable.into()),
        }
        let limits = server.config().account(account.jid());
        let limits = OfflineLimits {
            messages: limits.offline_messages,
            octets: limits.offline_octets,
        };
        let store = &server.stores().offline;
        let now = server.now().utc;
        let xml = stanza.to_string();
        match store.push(account.jid(), now, &xml, limits).await {
            Ok(true) => {}
            // XEP-0160 §2: "if not (e.g., because the recipient's offline message queue is
            // full), the server returns a <service-unavailable/> error to the sender"
            Ok(false) => return Err(Condition::ServiceUnavailable.into()),
            // RFC 6121 §8.5.2.2.1, as if there were no store: to the sender it is no matter
            // of what is allowed.
            Err(StoreError::Refused(_)) => return Err(Condition::ServiceUnavailable.into()),
            Err(error) => {
                return Err(server.store_failed("message not stored", account.jid(), &error));
            }
        }
        // One that has become available meanwhile looked at the store before this was in it.
        let missed = missed.filter(|session| server.resource(session).is_some_and(|r| is_able(&r)));
        if let Some(session) = missed.cloned().or_else(|| able(account.jid(), server)) {
            self.deliveries.begin(&session, server);
        } else if server.shares_accounts() {
            self.deliveries.tell_nodes(account.jid(), server);
        }
        Ok(())
    }

    fn stored(&self, account: &BareJid, server: &Server) {
        if let Some(session) = able(account, server) {
            self.deliveries.begin(&session, server);
        }
    }
}

/// What storing a message is worth.
enum Worth {
    /// Somebody wants to read it later.
    Storing,
    /// It must not be stored, and the sender would like to know.
    Telling,
    /// It means nothing later, and nobody waits for it.
    Nothing,
}

fn worth(stanza: &Stanza) -> Worth {
    let payload = stanza.payload();
    // XEP-0160 §3: messages "that contain only XEP-0085 content … SHOULD NOT be stored
    // offline". A thread belongs to a chat state (XEP-0085 §5.4), hints to anything.
    let means_something = payload
        .children()
        .any(|child| !matches!(child.ns(), CHAT_STATES | HINTS) && !child.is("thread", ns::CLIENT));
    // XEP-0334 §4.2, §4.4. <no-permanent-store/> speaks of archives only (§3.3: "may be happy
    // for it to be stored temporarily … (e.g. if the recipient is offline …)").
    let hint = |name| payload.has(name, HINTS);
    match means_something {
        true if hint("no-store") => Worth::Telling,
        true => Worth::Storing,
        false if hint("store") && !hint("no-store") => Worth::Storing,
        false => Worth::Nothing,
    }
}

impl SessionWatcher for Offline {
    fn session(&self, event: SessionEvent, session: &Arc<Session>, server: &Server) {
        match event {
            // XEP-0160 §2: "When the recipient next sends non-negative available presence to
            // the server, the server delivers the message to the resource that has sent that
            // presence."
            SessionEvent::Available { initial } => {
                let able = server.resource(session).is_some_and(|r| is_able(&r));
                let was_unable = self.deliveries.is_able(session.id(), able);
                if server.resource(session).is_none() {
                    // It has ended meanwhile, and nothing more will be heard of it.
                    self.deliveries.is_able(session.id(), true);
                    return;
                }
                if able && (initial || was_unable) {
                    self.deliveries.begin(session, server);
                }
            }
            // What was stored while it was put away comes behind what it had then.
            SessionEvent::Restored { since } => {
                let Some(resource) = server.resource(session) else {
                    return;
                };
                if is_able(&resource) {
                    self.deliveries.begin_until(since, session, server);
                } else if resource.is_available() {
                    self.deliveries.is_able(session.id(), false);
                }
            }
            SessionEvent::Unavailable | SessionEvent::Ended | SessionEvent::Moved => {
                self.deliveries.is_able(session.id(), true);
            }
            _ => {}
        }
    }
}

impl InboundFilter for Offline {
    /// XEP-0203 §5: "the recipient's server SHOULD discard a delayed delivery notation whose
    /// 'from' attribute matches the server's JabberID"
    fn inbound(&self, delivery: &mut Delivery<'_>, _: &Server) -> Verdict {
        let domain = delivery.account.jid().domain();
        let forged = |child: &Child<'_>| {
            child.is("delay", DELAY)
                && child
                    .attr("from")
                    .is_some_and(|from| Jid::new(&from).is_ok_and(|from| from == *domain))
        };
        // A module's own messages may say when they were sent. Presence of our accounts comes
        // from the server too, but says what a client said.
        let judged = match delivery.stanza.kind() {
            Kind::Message(_) => delivery.origin.source != Source::Server,
            Kind::Presence(_) => true,
            Kind::Iq(_) => false,
        };
        if judged && delivery.stanza.payload().children().any(|c| forged(&c)) {
            let payload = delivery.stanza.payload().without(forged);
            delivery.stanza.set_payload(payload);
        }
        Verdict::Pass
    }
}

#[cfg(test)]
impl Offline {
    /// Whether it keeps nothing of any session.
    pub(crate) fn remembers_nobody(&self) -> bool {
        self.deliveries.is_empty()
    }
}

/// The session of an account that gets what is stored: the most available one.
fn able(account: &BareJid, server: &Server) -> Option<Arc<Session>> {
    let resources = server.directory().resources(account.as_str());
    let able = resources
        .iter()
        .filter(|resource| resource.session().is_some() && is_able(resource));
    able.max_by_key(|resource| resource.priority())?
        .session()
        .cloned()
}

/// Whether a session on another node takes messages.
fn is_able_elsewhere(account: &BareJid, server: &Server) -> bool {
    let resources = server.directory().resources(account.as_str());
    let mut elsewhere = resources.iter().filter(|r| r.session().is_none());
    elsewhere.any(|resource| is_able(resource))
}

/// Whether a resource takes messages.
fn is_able(resource: &Resource) -> bool {
    resource.priority().is_some_and(|priority| priority >= 0)
}

#[cfg(test)]
mod tests;
