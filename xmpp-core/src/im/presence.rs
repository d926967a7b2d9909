//! Presence (RFC 6121 §3, §4): who is told that somebody is there, and who may ask.

use std::sync::Arc;

use async_trait::async_trait;

use crate::account::{Account, AccountWatcher, Before};
use crate::mailbox::Origin;
use crate::module::{Delivery, Dispatch, Hooks, InboundFilter, Module, PresenceHandler, Verdict};
use crate::server::Server;
use crate::session::{Resource, Session};
use crate::stanza::{Kind, PresenceType, Stanza};
use crate::store::RosterItem;
use crate::stream::{Feature, FeatureContext};
use crate::xml::Element;
use crate::{BareJid, FullJid, Jid};

use super::subscription::{Act, Grade, State};

mod broadcast;
mod directed;
mod probe;
mod subscribing;
#[cfg(test)]
mod tests;

const PRE_APPROVAL: &str = "urn:xmpp:features:pre-approval";

/// Presence, subscriptions and probes of all local accounts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Presence;

impl Module for Presence {
    fn register(self: Arc<Self>, on: &mut Hooks) {
        on.stream_feature(Arc::new(PreApproval));
        on.inbound(self.clone());
        on.watch_accounts(self.clone());
        on.presence(self);
    }
}

/// What other nodes have changed: who sees the account's resources here now, or not any more, and who asks to.
impl AccountWatcher for Presence {
    fn reloaded(&self, account: &Account, before: &Before, server: &Server) {
        if !account.exists() {
            return;
        }
        for (before, after) in account.roster(|roster| roster.differences(&before.roster)) {
            let Some(contact) = before.as_ref().or(after.as_ref()).map(|item| &item.jid) else {
                continue;
            };
            let sees = |item: &Option<RosterItem>| {
                let item = item.as_ref();
                item.is_some_and(|item| item.subscription.from())
            };
            if account.blocks(contact.as_jid()) {
                continue;
            }
            match (sees(&before), sees(&after)) {
                (false, true) => server.leave_to_itself(show(account, contact, server)),
                // It may have been told of one of them after its node had hidden all.
                (true, false) => server.leave_to_itself(hide(account, contact, server)),
                _ => {}
            }
            let asks = |item: &Option<RosterItem>| item.as_ref()?.pending_in.clone();
            if let Some(request) = asks(&after).filter(|_| asks(&before).is_none()) {
                subscribing::show_request(&request, account, server);
            }
        }
    }
}

#[async_trait]
impl PresenceHandler for Presence {
    fn sent(
        &self,
        stanza: Stanza,
        session: &Arc<Session>,
        origin: Origin,
        server: &Server,
    ) -> Dispatch {
        let Kind::Presence(kind) = stanza.kind() else {
            return Dispatch::DONE;
        };
        if let Some(act) = Act::of(kind) {
            return subscribing::sent(act, stanza, session, origin, server);
        }
        match (kind, stanza.to()) {
            (PresenceType::Available, None) => broadcast::available(stanza, session, server),
            (PresenceType::Unavailable, None) => broadcast::unavailable(stanza, session, server),
            (PresenceType::Available, Some(_)) => {
                directed::available(stanza, session, origin, server)
            }
            (PresenceType::Unavailable, Some(_)) => {
                directed::unavailable(stanza, session, origin, server)
            }
            // §4.3: "if a user's client generates an outbound presence probe then the user's
            // server SHOULD route the probe [...] or process the probe". An error goes
            // where it is addressed.
            (_, Some(_)) => server.route(stanza, origin),
            // §4.3: "MUST NOT use its receipt of the presence probe from a connected client
            // as the sole cause for returning a stanza or stream error"
            (_, None) => Dispatch::DONE,
        }
    }

    async fn received(
        &self,
        stanza: Stanza,
        account: Arc<Account>,
        _origin: Origin,
        server: &Server,
    ) {
        let Kind::Presence(kind) = stanza.kind() else {
            return;
        };
        match Act::of(kind) {
            Some(act) => subscribing::received(act, stanza, &account, server).await,
            None if kind == PresenceType::Probe => probe::received(stanza, &account, server).await,
            None => {}
        }
    }

    fn part(&self, item: &RosterItem, account: &Arc<Account>, server: &Server) -> Dispatch {
        part(item, account, server)
    }

    fn ended(&self, session: &Arc<Session>, resource: &Resource, server: &Server) -> Dispatch {
        broadcast::ended(session, resource, server)
    }

    fn lost(&self, jid: &FullJid, account: &Arc<Account>, server: &Server) -> Dispatch {
        broadcast::lost(jid, account, server)
    }

    fn met(&self, session: &Arc<Session>, theirs: &dyn Fn(&Resource) -> bool, server: &Server) {
        broadcast::met(session, theirs, server);
    }
}

impl InboundFilter for Presence {
    fn inbound(&self, delivery: &mut Delivery<'_>, _server: &Server) -> Verdict {
        if delivery.stanza.kind() == Kind::Presence(PresenceType::Unavailable) {
            directed::heard(delivery);
        }
        Verdict::Pass
    }
}

/// Ends what there is between an account and a contact that is no longer in its roster
/// (RFC 6121 §2.5.2), requests that wait for an answer included.
pub(super) fn part(item: &RosterItem, account: &Arc<Account>, server: &Server) -> Dispatch {
    let state = State::of(Some(item));
    let tell = |act: Act| {
        let stanza = between(account, &item.jid, act).with_id(&*server.made_up_id());
        server.route(stanza, Origin::SERVER)
    };
    let mut steps = Vec::new();
    if state.to != Grade::No {
        steps.push(tell(Act::Unsubscribe));
    }
    if state.from == Grade::Granted {
        steps.push(hide(account, &item.jid, server));
    }
    if state.from != Grade::No {
        steps.push(tell(Act::Unsubscribed));
    }
    Dispatch::all(steps)
}

/// Sends a contact the present presence of each available resource of an account (§3.1.5), but for those whose node
/// does so itself, since it alone knows when it is not present any more.
fn show(account: &Account, contact: &BareJid, server: &Server) -> Dispatch {
    let resources = server.directory().resources(account.jid().as_str());
    let shown = resources
        .iter()
        .filter(|resource| server.speaks_for(resource))
        .filter_map(|resource| show_one(resource, &Jid::from(contact), server));
    Dispatch::all(shown)
}

/// Sends `to` the present presence of a resource, if it is available.
pub(super) fn show_one(resource: &Resource, to: &Jid, server: &Server) -> Option<Dispatch> {
    let send = |presence: Stanza| server.route(presence.with_to(to.clone()), Origin::SERVER);
    let shown = send(resource.presence()?);
    let meanwhile = successor(resource, server).map(send);
    Some(Dispatch::all([shown].into_iter().chain(meanwhile)))
}

/// What is true of an address now if the resource, whose presence has just been sent, is not
/// available any more. Its goodbye may have been faster than that presence, and then nobody
/// else would take it back.
fn successor(resource: &Resource, server: &Server) -> Option<Stanza> {
    let bound = server.bound(resource.jid());
    if let Some(bound) = &bound
        && bound.id() == resource.id()
        && bound.is_available()
    {
        return None;
    }
    // The address may have been bound anew.
    let presence = bound.and_then(|bound| bound.presence());
    Some(presence.unwrap_or_else(|| {
        Stanza::presence(PresenceType::Unavailable).with_from(Jid::from(resource.jid()))
    }))
}

/// Sends a contact unavailable presence of each available resource of an account (§3.2.2, §3.3.3).
fn hide(account: &Account, contact: &BareJid, server: &Server) -> Dispatch {
    let resources = server.directory().resources(account.jid().as_str());
    let available = resources.iter().filter(|resource| resource.is_available());
    Dispatch::all(available.map(|resource| {
        let presence = Stanza::presence(PresenceType::Unavailable)
            .with_from(Jid::from(resource.jid()))
            .with_to(Jid::from(contact));
        server.route(presence, Origin::SERVER)
    }))
}

/// A subscription stanza from an account to a contact. §3: "the server MUST stamp the
/// outgoing presence stanza with the bare JID <localpart@domainpart> of the sending entity".
fn between(account: &Account, contact: &BareJid, act: Act) -> Stanza {
    Stanza::presence(act.kind())
        .with_from(Jid::from(account.jid()))
        .with_to(Jid::from(contact))
}

/// §3.4
struct PreApproval;

impl Feature for PreApproval {
    fn advertise(&self, to: &FeatureContext<'_>) -> Option<Element> {
        to.account.map(|_| Element::new("sub", PRE_APPROVAL))
    }
}
