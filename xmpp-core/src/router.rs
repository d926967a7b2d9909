//! Where a stanza goes: RFC 6120 §10 and RFC 6121 §8 as pure rules.

use std::collections::HashSet;
use std::sync::Arc;

use crate::directory::{Directory, Resources, find};
use crate::mailbox::{Mailbox, Origin};
use crate::session::Resource;
use crate::stanza::{Condition, IqType, Kind, MessageType, PresenceType, Stanza};
use crate::{BareJid, Jid};

/// Decides where a stanza goes. Replaceable by the integrator; ours is [`Rules`].
///
/// A router never waits and has no effect: it answers, and the server acts.
pub trait Router: Send + Sync + 'static {
    /// The way of a stanza. It has a `to` and a `from`.
    fn route(&self, stanza: &Stanza, to: &Jid, origin: &Origin) -> Route;
}

/// The way of a stanza.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Route {
    /// To these sessions of a local account. Not empty.
    Deliver {
        /// All resources of the account.
        account: Resources,
        /// Those that get it.
        to: Recipients,
    },
    /// To an entity that serves the address.
    Entity(Mailbox),
    /// The server itself answers for this domain.
    Server,
    /// The server answers on behalf of the account (IQ to a bare JID,
    /// subscriptions and probes).
    Account(BareJid),
    /// No session can take the message: it is kept for later if the account
    /// exists, and answered with `<service-unavailable/>` otherwise.
    Offline(BareJid),
    /// To another server.
    Remote,
    /// Back to the sender with this error; dropped if it may not be answered.
    Refuse(Condition),
    /// Nothing is done and nobody is told.
    Ignore,
}

/// One recipient without an allocation, or several.
#[derive(Clone, Debug)]
pub enum Recipients {
    /// The usual case.
    One(Arc<Resource>),
    /// Several, in no order.
    Many(Vec<Arc<Resource>>),
}

impl Recipients {
    /// The recipients.
    pub fn as_slice(&self) -> &[Arc<Resource>] {
        match self {
            Recipients::One(one) => std::slice::from_ref(one),
            Recipients::Many(many) => many,
        }
    }
}

/// The rules of the RFCs over a directory.
pub struct Rules {
    directory: Arc<dyn Directory>,
    domains: HashSet<Box<str>>,
}

impl Rules {
    /// Rules for a server of these domains.
    pub fn new(directory: Arc<dyn Directory>, domains: impl IntoIterator<Item = BareJid>) -> Rules {
        let domains = domains
            .into_iter()
            .map(|domain| domain.as_str().into())
            .collect();
        Rules { directory, domains }
    }
}

impl Router for Rules {
    fn route(&self, stanza: &Stanza, to: &Jid, _origin: &Origin) -> Route {
        if let Some(mailbox) = self.directory.entity(to) {
            return Route::Entity(mailbox);
        }
        if !self.domains.contains(to.domain()) {
            return Route::Remote; // RFC 6120 §10.4
        }
        if to.local().is_none() {
            return domain(stanza.kind(), to);
        }
        let account = self.directory.resources(to.bare_str());
        match to.resource() {
            None => bare(stanza.kind(), to, account),
            Some(_) => match find(&account, to.as_str()) {
                Some(resource) => full(stanza.kind(), to, account, resource),
                None => full_without_match(stanza.kind(), to, account),
            },
        }
    }
}

/// RFC 6120 §10.3.1, §10.3.2: "mere domain" and "domain with resource". The
/// server has no resources of its own; it answers for any.
fn domain(kind: Kind, to: &Jid) -> Route {
    match kind {
        Kind::Iq(_) if to.is_domain() => Route::Server,
        Kind::Iq(_) => Route::Refuse(Condition::ServiceUnavailable),
        Kind::Message(MessageType::Error) => Route::Ignore,
        Kind::Message(_) => Route::Server,
        Kind::Presence(_) => Route::Server,
    }
}

/// RFC 6121 §8.5.2: `localpart@domainpart`.
fn bare(kind: Kind, to: &Jid, account: Resources) -> Route {
    match kind {
        // §8.5.2.1.3: "the server itself MUST reply on behalf of the user"
        Kind::Iq(IqType::Get | IqType::Set) => Route::Account(to.to_bare()),
        // A result nobody here asked for.
        Kind::Iq(IqType::Result | IqType::Error) => Route::Ignore,
        Kind::Presence(kind) => presence_to_account(kind, to, account),
        Kind::Message(kind) => message_to_account(kind, to, account),
    }
}

fn presence_to_account(kind: PresenceType, to: &Jid, account: Resources) -> Route {
    match kind {
        // §8.5.2.1.2: "MUST deliver the stanza to all of the available resources";
        // §8.5.2.2.2 with none: "MUST silently ignore".
        PresenceType::Available | PresenceType::Unavailable => all(account, |r| r.is_available()),
        // Errors to subscription requests concern the account's state, not its sessions.
        PresenceType::Error => all(account, |r| r.is_available()),
        // §8.5.2.1.2: subscriptions as in §3, probes as in §4.3.
        _ => Route::Account(to.to_bare()),
    }
}

fn message_to_account(kind: MessageType, to: &Jid, account: Resources) -> Route {
    let able = |r: &Resource| r.priority().is_some_and(|p| p >= 0);
    match kind {
        MessageType::Normal | MessageType::Chat => {
            // §8.5.2.1.1: "most available" is, as in other servers, the highest
            // priority; several that share it all get the message. §8.5.2.2.1 without one.
            let top = account
                .iter()
                .filter_map(|r| r.priority())
                .filter(|&p| p >= 0)
                .max();
            match top {
                None => Route::Offline(to.to_bare()),
                top => all(account, |r| r.priority() == top),
            }
        }
        // §8.5.2.1.1: "MUST NOT deliver the stanza to any of the available resources but
        // instead MUST return a stanza error to the sender, which SHOULD be <service-unavailable/>"
        MessageType::Groupchat => Route::Refuse(Condition::ServiceUnavailable),
        // §8.5.2.1.1: "to all of the available resources with non-negative presence priority"
        MessageType::Headline => all(account, able),
        // §8.5.2.1.1: "MUST silently ignore the stanza"
        MessageType::Error => Route::Ignore,
    }
}

/// RFC 6121 §8.5.3.1: a session has exactly this address.
fn full(kind: Kind, to: &Jid, account: Resources, resource: Arc<Resource>) -> Route {
    match kind {
        // §8.5.3.1: subscription stanzas concern accounts, whatever resource they name.
        Kind::Presence(
            PresenceType::Subscribe
            | PresenceType::Subscribed
            | PresenceType::Unsubscribe
            | PresenceType::Unsubscribed
            | PresenceType::Probe,
        ) => Route::Account(to.to_bare()),
        // A message or IQ reaches a connected resource even before its presence.
        _ => Route::Deliver {
            account,
            to: Recipients::One(resource),
        },
    }
}

/// RFC 6121 §8.5.3.2: no session has this address.
fn full_without_match(kind: Kind, to: &Jid, account: Resources) -> Route {
    match kind {
        // §8.5.3.2.3: "the server MUST return a <service-unavailable/> stanza error"
        Kind::Iq(IqType::Get | IqType::Set) => Route::Refuse(Condition::ServiceUnavailable),
        Kind::Iq(IqType::Result | IqType::Error) => Route::Ignore,
        Kind::Presence(kind) => match kind {
            // §8.5.3.2.2: "the server MUST silently ignore the stanza"
            PresenceType::Available | PresenceType::Unavailable | PresenceType::Error => {
                Route::Ignore
            }
            _ => Route::Account(to.to_bare()),
        },
        Kind::Message(kind) => match kind {
            // §8.5.3.2.1: "SHOULD treat the stanza as if it were addressed to <node@domain>"
            MessageType::Chat => message_to_account(kind, to, account),
            // §8.5.3.2.1: "either (a) silently ignore the stanza or (b) return an error
            // stanza to the sender, which SHOULD be <service-unavailable/>". Never silence,
            // but for a headline, which nobody waits for.
            MessageType::Normal | MessageType::Groupchat => {
                Route::Refuse(Condition::ServiceUnavailable)
            }
            MessageType::Headline | MessageType::Error => Route::Ignore,
        },
    }
}

fn all(account: Resources, wanted: impl Fn(&Resource) -> bool) -> Route {
    let mut chosen = account.iter().filter(|r| wanted(r));
    let Some(first) = chosen.next().cloned() else {
        return Route::Ignore;
    };
    let to = match chosen.next() {
        None => Recipients::One(first),
        Some(second) => {
            let rest = [first, second.clone()];
            Recipients::Many(rest.into_iter().chain(chosen.cloned()).collect())
        }
    };
    Route::Deliver { account, to }
}
