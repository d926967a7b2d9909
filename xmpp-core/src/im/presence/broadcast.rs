//! Presence without an addressee: to all who may see it (RFC 6121 §4.2, §4.4, §4.5).

use std::sync::Arc;

use crate::account::Account;
use crate::im::subscription::Act;
use crate::mailbox::Origin;
use crate::module::{Dispatch, SessionEvent};
use crate::server::Server;
use crate::session::{Change, Resource, Session};
use crate::stanza::{Condition, PresenceType, Stanza};
use crate::store::RosterItem;
use crate::xml::ns;
use crate::{BareJid, FullJid, Jid};

use super::{between, successor};

/// A client says that it is available, for the first time or in another way.
pub(super) fn available(stanza: Stanza, session: &Arc<Session>, server: &Server) -> Dispatch {
    let Some(priority) = priority(&stanza) else {
        let stanza = stanza.with_to(Jid::from(session.bare()));
        return server.refuse(&stanza, &Condition::BadRequest.into());
    };
    let Some(resource) = server.resource(session) else {
        return Dispatch::DONE; // it has ended meanwhile
    };
    let initial = !resource.is_available();
    let change = Change::Available(stanza.clone(), priority);
    server.directory().update(&resource, change);
    let account = session.account();
    let told = tell(&stanza, account, server);
    if let Some(truth) = successor(&resource, server) {
        // The session has ended meanwhile, and may have looked unavailable then.
        resource.apply(Change::Unavailable);
        return Dispatch::all([told, tell(&truth, account, server)]);
    }
    let dispatch = if initial {
        show_others(&resource, server);
        show_requests(account, &resource);
        Dispatch::all([told, probe_contacts(account, &resource, server)])
    } else {
        told
    };
    server.watch(SessionEvent::Available { initial }, session);
    dispatch
}

/// A client says that it is no longer available.
pub(super) fn unavailable(stanza: Stanza, session: &Arc<Session>, server: &Server) -> Dispatch {
    let Some(resource) = server.resource(session) else {
        return Dispatch::DONE;
    };
    let was_available = resource.is_available();
    if was_available {
        // Before anybody hears it: who comes online in between and asks must not be shown it.
        server.directory().update(&resource, Change::Unavailable);
        // §4.5.2: "MUST also send the unavailable notification to all of the user's available
        // resources (as well as to the resource that generated the unavailable presence in
        // the first place)", which is none of the available ones any more.
        let own = stanza.clone().with_to(Jid::from(session.bare()));
        let _ = resource.mailbox().push(own, Origin::SERVER);
    }
    let dispatch = leave(stanza, session, was_available, server);
    if was_available {
        server.watch(SessionEvent::Unavailable, session);
    }
    dispatch
}

/// A session has ended. §4.5.2: "If the server detects that the user has gone offline
/// ungracefully, then the server MUST generate the unavailable presence broadcast on the
/// user's behalf."
pub(super) fn ended(session: &Arc<Session>, resource: &Resource, server: &Server) -> Dispatch {
    let stanza = Stanza::presence(PresenceType::Unavailable).with_from(Jid::from(resource.jid()));
    let left = leave(stanza, session, resource.is_available(), server);
    show_again(left, resource.jid(), session.account(), server)
}

/// The same for one that has ended with its node. To whom it had directed presence nobody knows.
pub(super) fn lost(jid: &FullJid, account: &Account, server: &Server) -> Dispatch {
    let stanza = Stanza::presence(PresenceType::Unavailable).with_from(Jid::from(jid));
    let left = tell(&stanza, account, server);
    show_again(left, jid, account, server)
}

/// The address of one that has left may have been bound anew on another server of ours, and shown there already.
fn show_again(left: Dispatch, jid: &FullJid, account: &Account, server: &Server) -> Dispatch {
    match server.bound(jid).and_then(|bound| bound.presence()) {
        Some(presence) => Dispatch::all([left, tell(&presence, account, server)]),
        None => left,
    }
}

/// Shows a session those of its contacts' and of its account's resources that `theirs` picks, as if they had become available now.
pub(super) fn met(session: &Arc<Session>, theirs: &dyn Fn(&Resource) -> bool, server: &Server) {
    let account = session.account();
    let Some(resource) = server.resource(session).filter(|r| r.is_available()) else {
        return;
    };
    let shown = contacts(account, |item| item.subscription.to());
    let directory = server.directory();
    for contact in shown.iter().chain([account.jid()]) {
        let all = directory.resources(contact.as_str());
        for other in all.iter().filter(|other| theirs(other)) {
            if let Some(presence) = other.presence() {
                let presence = presence.with_to(Jid::from(resource.jid()));
                let _ = resource.mailbox().push(presence, Origin::SERVER);
            }
        }
    }
}

/// Tells all who think the resource available that it is not.
fn leave(stanza: Stanza, session: &Session, was_available: bool, server: &Server) -> Dispatch {
    let account = session.account();
    let told = match was_available {
        true => tell(&stanza, account, server),
        false => Dispatch::DONE,
    };
    // §4.6.3: "if the available resource from which the user sent the directed presence
    // becomes unavailable, the user's server MUST route that unavailable presence to the entity"
    let directed = session.take_directed().into_iter();
    let directed = directed.filter(|to| !(was_available && account.shows_presence_to(to)));
    // XEP-0191 §3: who is blocked has been told when that was done, and hears nothing now.
    let directed = directed.filter(|to| !account.blocks(to));
    let directed = directed.map(|to| server.route(stanza.clone().with_to(to), Origin::SERVER));
    Dispatch::all([told].into_iter().chain(directed))
}

/// Sends presence to all available resources of the account and to all contacts that
/// are subscribed to it.
fn tell(stanza: &Stanza, account: &Account, server: &Server) -> Dispatch {
    // §4.2.2: "MUST also broadcast initial presence from the user's newly available
    // resource to all of the user's available resources, including the resource that
    // generated the presence notification in the first place". §4.4.2, §4.5.2 the same.
    let own = [account.jid().clone()];
    // §4.2.2, §4.4.2, §4.5.2: "with the 'subscription' attribute set to a value of "from" or "both""
    let subscribed = contacts(account, |item| item.subscription.from());
    let all = own.into_iter().chain(subscribed);
    Dispatch::all(all.map(|to| {
        let stanza = stanza.clone().with_to(Jid::from(to));
        server.route(stanza, Origin::SERVER)
    }))
}

/// Shows a resource that has become available the other ones of its account.
fn show_others(resource: &Resource, server: &Server) {
    let all = server.directory().resources(resource.jid().bare_str());
    for other in all.iter().filter(|other| other.id() != resource.id()) {
        if let Some(presence) = other.presence() {
            let push = |presence: Stanza| {
                let presence = presence.with_to(Jid::from(resource.jid()));
                let _ = resource.mailbox().push(presence, Origin::SERVER);
            };
            push(presence);
            successor(other, server).map(push);
        }
    }
}

/// §3.1.3: "MUST continue to deliver the subscription request whenever the contact creates
/// an available resource, until the contact either approves or denies the request".
fn show_requests(account: &Account, resource: &Resource) {
    for contact in contacts(account, |item| item.pending_in.is_some()) {
        let request = account.roster(|roster| {
            let item = roster.item(contact.as_str());
            item.and_then(|item| item.pending_in.clone())
        });
        match request.as_deref().map(Stanza::restore) {
            Some(Ok(request)) => {
                let _ = resource.mailbox().push(request, Origin::SERVER);
            }
            Some(Err(error)) => {
                tracing::error!(account = %account.jid(), %error, "request not readable");
            }
            None => {} // answered meanwhile
        }
    }
}

/// §4.3.1: "SHOULD send a presence probe whenever the user starts a new presence session".
fn probe_contacts(account: &Account, resource: &Resource, server: &Server) -> Dispatch {
    let shown = contacts(account, |item| item.subscription.to());
    let probes = shown
        .into_iter()
        .map(|contact| probe(account, &contact, resource, server));
    // §3.1.2: "SHOULD resend the subscription request to the contact [...] (e.g., whenever
    // a new resource becomes available for the user"
    let asked = contacts(account, |item| item.ask.is_some());
    let asked = asked
        .into_iter()
        .filter(|contact| !is_ours(contact, server));
    let requests = asked.map(|contact| {
        let request = between(account, &contact, Act::Subscribe);
        server.route(request.with_id(&*server.made_up_id()), Origin::SERVER)
    });
    Dispatch::all(probes.chain(requests))
}

fn probe(account: &Account, contact: &BareJid, resource: &Resource, server: &Server) -> Dispatch {
    let probe = Stanza::presence(PresenceType::Probe).with_to(Jid::from(contact));
    let probe = if is_ours(contact, server) {
        // §4.3.1: "the user's server does not need to send a presence probe to a contact if
        // the contact's account resides on the same server". So this one never leaves the
        // server, may ask for one resource alone, and need not be when nobody is there.
        let resources = server.directory().resources(contact.as_str());
        if !resources.iter().any(|resource| resource.is_available()) {
            return Dispatch::DONE;
        }
        probe.with_from(Jid::from(resource.jid()))
    } else {
        // §4.3: "the value of the 'from' address MUST be the bare JID of the subscribed user"
        let probe = probe.with_from(Jid::from(account.jid()));
        probe.with_id(&*server.made_up_id())
    };
    server.route(probe, Origin::SERVER)
}

/// Whether the address is one of an account here.
fn is_ours(contact: &BareJid, server: &Server) -> bool {
    server.is_local(contact.domain()) && server.directory().entity(&[contact.as_str()]).is_none()
}

fn contacts(account: &Account, wanted: impl Fn(&RosterItem) -> bool) -> Vec<BareJid> {
    let mut contacts: Vec<_> = account.roster(|roster| {
        let items = roster.items().iter().filter(|item| wanted(item));
        items.map(|item| item.jid.clone()).collect()
    });
    // XEP-0191 §3: who is blocked hears nothing, and is not asked.
    contacts.retain(|contact| !account.blocks(contact.as_jid()));
    contacts
}

/// §4.7.2.3: "The value MUST be an integer between -128 and +127. A presence stanza MUST
/// NOT contain more than one <priority/> element."; zero if there is none.
fn priority(stanza: &Stanza) -> Option<i8> {
    let children = stanza.payload().children();
    let mut all = children.filter(|child| child.is("priority", ns::CLIENT));
    match (all.next(), all.next()) {
        (None, _) => Some(0),
        (Some(priority), None) => priority.element().text().trim().parse().ok(),
        (Some(_), Some(_)) => None,
    }
}
