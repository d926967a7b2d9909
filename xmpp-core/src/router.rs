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
    /// Adds one more.
    pub fn add(&mut self, resource: Arc<Resource>) {
        match self {
            Recipients::Many(many) => many.push(resource),
            Recipients::One(first) => *self = Recipients::Many(vec![first.clone(), resource]),
        }
    }

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
        let ours = self.domains.contains(to.domain());
        // Who serves a whole domain serves every address in it, but not the accounts of ours.
        let names = [to.as_str(), to.bare_str(), to.domain()];
        let names = if ours && to.local().is_some() {
            &names[..2]
        } else {
            &names
        };
        if let Some(mailbox) = self.directory.entity(names) {
            return Route::Entity(mailbox);
        }
        if !ours {
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

/// RFC 6120 §10.5.1, §10.5.2: `domainpart` and `domainpart/resourcepart`: "the server MUST
/// either (a) handle the stanza as appropriate for the stanza kind or (b) return an error
/// stanza to the sender". Requests to a resource that the server does not have come back.
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
        // §8.5.2.1.2: "the server MUST deliver it to all available resources"; §8.5.2.2.2
        // with none: "SHOULD silently ignore the stanza by not storing it".
        PresenceType::Available | PresenceType::Unavailable => all(account, |r| r.is_available()),
        // What became of a request that was stamped with the bare JID. §3.1.2: "the user's
        // server MUST return an appropriate error stanza to the user".
        PresenceType::Error => all(account, |r| r.is_available()),
        // §8.5.2.1.2: "the server MUST adhere to the rules defined under Section 3", for
        // probes "as described under Section 4.3".
        _ => Route::Account(to.to_bare()),
    }
}

fn message_to_account(kind: MessageType, to: &Jid, account: Resources) -> Route {
    let able = |r: &Resource| r.priority().is_some_and(|p| p >= 0);
    match kind {
        MessageType::Normal | MessageType::Chat => {
            // §8.5.2.1.1: "(a) deliver the message to the "most available" resource or
            // resources (according to the server's implementation-specific algorithm, e.g.,
            // treating the resource or resources with the highest presence priority as "most
            // available")". With none, and with none but negative ones, §8.5.2.2.1: "(a) add
            // the message to offline storage".
            most_available(account).unwrap_or_else(|| Route::Offline(to.to_bare()))
        }
        // §8.5.2.1.1: "MUST NOT deliver the stanza to any of the available resources but
        // instead MUST return a stanza error to the sender, which SHOULD be
        // <service-unavailable/>"; §8.5.2.2.1 the same.
        MessageType::Groupchat => Route::Refuse(Condition::ServiceUnavailable),
        // §8.5.2.1.1: "the server MUST deliver the message to all of the non-negative
        // resources"; without any, there and in §8.5.2.2.1, "MUST silently ignore".
        MessageType::Headline => all(account, able),
        // §8.5.2.1.1: "the server MUST silently ignore the message"
        MessageType::Error => Route::Ignore,
    }
}

/// RFC 6121 §8.5.3.1, "Resource Matches".
fn full(kind: Kind, to: &Jid, account: Resources, resource: Arc<Resource>) -> Route {
    match kind {
        // §8.5.3.1: "the server MUST follow the guidelines provided under Section 3", for
        // probes "under Section 4.3": they concern the account, whatever resource they name.
        Kind::Presence(
            PresenceType::Subscribe
            | PresenceType::Subscribed
            | PresenceType::Unsubscribe
            | PresenceType::Unsubscribed
            | PresenceType::Probe,
        ) => Route::Account(to.to_bare()),
        // §8.5.3.1: "If an available resource or connected resource exactly matches the full
        // JID [...] the server MUST deliver the stanza to the resource", whatever its priority.
        // It also says of IQ requests of those who do not share presence: "SHOULD NOT
        // deliver". Like other servers we do deliver them: who knows a full JID has been told
        // it, and clients that transfer files or call each other count on it.
        _ => Route::Deliver {
            account,
            to: Recipients::One(resource),
        },
    }
}

/// RFC 6121 §8.5.3.2, "No Resource Matches".
fn full_without_match(kind: Kind, to: &Jid, account: Resources) -> Route {
    match kind {
        // §8.5.3.2.3: "the server MUST return a <service-unavailable/> stanza error"
        Kind::Iq(IqType::Get | IqType::Set) => Route::Refuse(Condition::ServiceUnavailable),
        // RFC 6120 §8.2.3: which are never answered.
        Kind::Iq(IqType::Result | IqType::Error) => Route::Ignore,
        Kind::Presence(kind) => match kind {
            // §8.5.3.2.2: "MUST follow the guidelines provided under Section 3.1.3", "under
            // Section 4.3"
            PresenceType::Subscribe | PresenceType::Probe => Route::Account(to.to_bare()),
            // §8.5.3.2.2: "the server MUST silently ignore the stanza", "MUST ignore the stanza"
            _ => Route::Ignore,
        },
        Kind::Message(kind) => match kind {
            // §8.5.3.2.1: what it says of each case is what §8.5.2 says of the bare JID.
            MessageType::Chat => message_to_account(kind, to, account),
            // §8.5.3.2.1: "the server MUST either (a) silently ignore the stanza or (b) return
            // an error stanza to the sender, which SHOULD be <service-unavailable/>". Silence
            // for a headline, which nobody waits for, and never else: not for a `normal`
            // message either, which is not kept for a resource that is gone.
            MessageType::Normal | MessageType::Groupchat => {
                Route::Refuse(Condition::ServiceUnavailable)
            }
            MessageType::Headline | MessageType::Error => Route::Ignore,
        },
    }
}

/// To the resources of the highest non-negative priority. Each priority is read once: a
/// client that changes its own meanwhile gets the message, or another one does.
fn most_available(account: Resources) -> Option<Route> {
    let mut best: Option<(i8, Recipients)> = None;
    for resource in account.iter() {
        let Some(priority) = resource.priority().filter(|&p| p >= 0) else {
            continue;
        };
        match &mut best {
            Some((top, _)) if *top > priority => {}
            Some((top, recipients)) if *top == priority => recipients.add(resource.clone()),
            _ => best = Some((priority, Recipients::One(resource.clone()))),
        }
    }
    best.map(|(_, to)| Route::Deliver { account, to })
}

fn all(account: Resources, wanted: impl Fn(&Resource) -> bool) -> Route {
    let mut chosen = account.iter().filter(|r| wanted(r)).cloned();
    let Some(first) = chosen.next() else {
        return Route::Ignore;
    };
    let mut to = Recipients::One(first);
    chosen.for_each(|resource| to.add(resource));
    Route::Deliver { account, to }
}

#[cfg(test)]
mod tests;
