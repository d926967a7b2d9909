//! Message carbons (XEP-0280): every client of an account sees both sides of its
//! conversations.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::directory::Resources;
use crate::mailbox::{Origin, Settlement, Share, Source};
use crate::module::{
    Delivery, Hooks, InboundFilter, IqHandler, Module, OutboundFilter, Request, Scope,
    SessionEvent, SessionWatcher, Verb, Verdict,
};
use crate::router::Recipients;
use crate::server::Server;
use crate::session::{Change, Resource, Session};
use crate::stanza::{Child, Condition, Kind, MessageType, Payload, Stanza, StanzaError};
use crate::xml::{Element, ns};
use crate::{BareJid, Jid};

/// The namespace.
pub const NS: &str = "urn:xmpp:carbons:2";
/// What says that the rules of §6.1 are followed to the letter (§6.2).
pub const RULES: &str = "urn:xmpp:carbons:rules:0";

const DELAY: &str = "urn:xmpp:delay";
const FORWARD: &str = "urn:xmpp:forward:0";
const HINTS: &str = "urn:xmpp:hints";
const MUC_USER: &str = "http://jabber.org/protocol/muc#user";
const INVITATION: &str = "jabber:x:conference";
/// §6.1: "payload elements typically used in IM": receipts, chat states, markers.
const IM: [&str; 3] = [
    "urn:xmpp:receipts",
    "http://jabber.org/protocol/chatstates",
    "urn:xmpp:chat-markers:0",
];

/// Copied messages of one account that an error may still come back for.
const REMEMBERED: usize = 64;

/// The module.
///
/// Register it behind all filters that refuse, drop or change messages: it copies what
/// they let pass.
#[derive(Debug, Default)]
pub struct Carbons {
    copied: Mutex<HashMap<BareJid, VecDeque<u64>>>,
    hasher: RandomState,
}

impl Module for Carbons {
    fn register(self: Arc<Self>, on: &mut Hooks) {
        on.feature(Scope::Server, NS);
        on.feature(Scope::Server, RULES);
        for name in ["enable", "disable"] {
            on.iq(Scope::Account, name, NS, self.clone());
        }
        on.outbound(self.clone());
        on.inbound(self.clone());
        on.watch(self);
    }
}

#[async_trait]
impl IqHandler for Carbons {
    async fn handle(
        &self,
        request: &Request,
        server: &Server,
    ) -> Result<Option<Element>, StanzaError> {
        request.must_be(Verb::Set)?;
        // §4.1, §5.1: "<not-allowed/> if the request is from a client that is not hosted on
        // this server", or means another's account
        let session = request.own_session().ok_or(Condition::NotAllowed)?;
        let resource = server.resource(session).ok_or(Condition::NotAllowed)?;
        // §10.1: "The server SHOULD NOT treat multiple enable requests … as an error"
        let wanted = request.payload.name() == "enable";
        server
            .directory()
            .update(&resource, Change::Carbons(wanted));
        Ok(None)
    }
}

impl OutboundFilter for Carbons {
    fn outbound(&self, stanza: &mut Stanza, session: &Arc<Session>, server: &Server) -> Verdict {
        let Kind::Message(kind) = stanza.kind() else {
            return Verdict::Pass;
        };
        // What an account sends to itself is copied when it arrives.
        let peer = match stanza.to() {
            Some(to) if to.bare_str() != session.bare().as_str() => to.clone(),
            _ => return Verdict::Pass,
        };
        let resources = server.directory().resources(session.bare().as_str());
        // §8: "to each Carbons-enabled resource for the matching bare JID sender, excluding
        // the sending client"
        let others = |resource: &Resource| resource.id() != session.id();
        if !wanted(&resources, others) {
            return Verdict::Pass;
        }
        let eligible = match kind {
            MessageType::Error => self.answers_a_copied_one(session.bare(), &peer, stanza),
            _ => is_eligible(kind, stanza),
        };
        if eligible {
            self.remember(session.bare(), &peer, stanza);
            let copy = Copy::new("sent", stanza, session.bare());
            for resource in resources.iter().filter(|r| r.wants_carbons() && others(r)) {
                copy.give(resource, None);
            }
        }
        Verdict::Pass
    }
}

impl InboundFilter for Carbons {
    fn inbound(&self, delivery: &mut Delivery<'_>, _: &Server) -> Verdict {
        let Kind::Message(kind) = delivery.stanza.kind() else {
            return Verdict::Pass;
        };
        let recipients = delivery.to.map_or(&[][..], Recipients::as_slice);
        // §7: "to each Carbons-enabled resource … that did not receive it under the RFC 6121
        // delivery rules"; one that has sent it knows it.
        let origin = delivery.origin;
        let others = |resource: &Resource| {
            recipients.iter().all(|r| r.id() != resource.id())
                && origin.source != Source::Session(resource.id())
        };
        if !wanted(delivery.resources, others) {
            return Verdict::Pass;
        }
        let account = delivery.account.jid();
        let stanza = &*delivery.stanza;
        let Some(peer) = stanza.from() else {
            return Verdict::Pass;
        };
        let eligible = match kind {
            MessageType::Error => self.answers_a_copied_one(account, peer, stanza),
            // §6.1: "A private MESSAGE from a MUC participant (received from a full JID) to a
            // local user SHOULD NOT be carbon-copied"
            _ if !peer.is_bare()
                && stanza.payload().has("x", MUC_USER)
                && !is_invitation(stanza) =>
            {
                false
            }
            _ => is_eligible(kind, stanza),
        };
        if eligible {
            self.remember(account, peer, stanza);
            let copy = Copy::new("received", stanza, account);
            let resources = delivery.resources;
            for resource in resources.iter().filter(|r| r.wants_carbons() && others(r)) {
                // Who might get the message itself if its recipients lose it must not get
                // it besides the copy.
                let is_able = resource.priority().is_some_and(|priority| priority >= 0);
                let share = if is_able { delivery.join() } else { None };
                copy.give(resource, share);
            }
        }
        Verdict::Pass
    }
}

impl SessionWatcher for Carbons {
    fn session(&self, event: SessionEvent, session: &Arc<Session>, server: &Server) {
        let account = session.bare();
        if matches!(event, SessionEvent::Ended | SessionEvent::Moved)
            && server.directory().resources(account.as_str()).is_empty()
        {
            self.lock().remove(account.as_str());
        }
    }
}

impl Carbons {
    /// §6.1: "it is of type "error" and it was sent in response to a MESSAGE that was
    /// eligible for carbons delivery". §10.3: what is in a bounce is no proof, so we know
    /// by what we have copied.
    fn answers_a_copied_one(&self, account: &BareJid, peer: &Jid, error: &Stanza) -> bool {
        let Some(key) = self.key(peer, error) else {
            return false;
        };
        let copied = self.lock();
        copied
            .get(account.as_str())
            .is_some_and(|keys| keys.contains(&key))
    }

    /// An error in response has the same `id` and comes from the addressee, or goes to the
    /// sender.
    fn remember(&self, account: &BareJid, peer: &Jid, stanza: &Stanza) {
        let Some(key) = self.key(peer, stanza) else {
            return;
        };
        let mut copied = self.lock();
        let keys = copied.entry(account.clone()).or_default();
        if keys.len() == REMEMBERED {
            keys.pop_front();
        }
        keys.push_back(key);
    }

    fn key(&self, peer: &Jid, stanza: &Stanza) -> Option<u64> {
        Some(self.hasher.hash_one((peer.as_str(), stanza.id()?)))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BareJid, VecDeque<u64>>> {
        // Nothing that runs under this lock can panic half way through a change.
        self.copied.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wanted(resources: &Resources, others: impl Fn(&Resource) -> bool) -> bool {
    resources.iter().any(|r| r.wants_carbons() && others(r))
}

/// §6.1, for messages that are no errors.
fn is_eligible(kind: MessageType, stanza: &Stanza) -> bool {
    let payload = stanza.payload();
    if payload.has("private", NS) || payload.has("no-copy", HINTS) {
        return false;
    }
    match kind {
        MessageType::Chat => true,
        MessageType::Groupchat => false,
        _ if is_invitation(stanza) => true,
        MessageType::Normal if payload.has("body", ns::CLIENT) => true,
        _ => payload.children().any(|child| IM.contains(&child.ns())),
    }
}

/// §6.1: "A MESSAGE containing a Direct MUC Invitation", "… a Mediated Invitation".
fn is_invitation(stanza: &Stanza) -> bool {
    let payload = stanza.payload();
    payload.has("x", INVITATION)
        || payload
            .child("x", MUC_USER)
            .is_some_and(|x| x.element().child("invite", MUC_USER).is_some())
}

/// The message that a copy was made of; if the copy came late, so has the message.
pub(crate) fn original(copy: &Stanza) -> Option<Stanza> {
    let delay = copy.payload().child("delay", DELAY).map(Child::element);
    let copy = copy.payload().children().find(|child| child.ns() == NS)?;
    let copy = copy.element();
    let original = copy.child("forwarded", FORWARD)?.children().next()?;
    let original = Stanza::from_element(original).ok()?;
    match delay.filter(|_| !original.payload().has("delay", DELAY)) {
        Some(delay) => Some(original.with_child(&delay)),
        None => Some(original),
    }
}

/// What those who did not get a message themselves get. §7, §8: "the 'from' attribute MUST
/// be the Carbons-enabled user's bare JID", "the 'to' attribute MUST be the full JID of the
/// resource receiving the copy", "The wrapping message SHOULD maintain the same 'type'
/// attribute value".
struct Copy(Stanza);

impl Copy {
    fn new(direction: &'static str, stanza: &Stanza, account: &BareJid) -> Copy {
        let payload = Payload::forwarding(stanza, &[(direction, NS), ("forwarded", FORWARD)]);
        let copy = Stanza::new(stanza.kind()).with_from(Jid::from(account));
        Copy(copy.with_payload(payload))
    }

    fn give(&self, to: &Resource, share: Option<Share>) {
        let copy = self.0.clone().with_to(Jid::from(to.jid()));
        // §10.3: "the server MUST NOT forward that error back to the original sender"
        let pushed = to.mailbox().push_shared(copy, Origin::COPY, share.clone());
        if let (Settlement::Failed(_), Some(share)) = (pushed, share) {
            share.give_up(); // never the last: the message is still on its way
        }
    }
}

#[cfg(test)]
mod tests;
