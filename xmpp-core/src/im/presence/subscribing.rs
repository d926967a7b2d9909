//! Subscription stanzas on their way out and in (RFC 6121 §3).

use std::sync::Arc;

use super::{between, hide, show};
use crate::account::{Account, ChangeError, Changed, ItemChange};
use crate::im::roster;
use crate::im::subscription::{Act, Grade, State, inbound, outbound};
use crate::mailbox::{Origin, Settlement};
use crate::module::Dispatch;
use crate::server::{AccountLimits, Server};
use crate::session::Session;
use crate::stanza::{Condition, Stanza, StanzaError};
use crate::store::RosterItem;
use crate::{BareJid, Jid};

/// A client has sent a subscription stanza.
pub(super) fn sent(
    act: Act,
    stanza: Stanza,
    session: &Arc<Session>,
    origin: Origin,
    server: &Server,
) -> Dispatch {
    // §3.1.2: "SHOULD treat it as if the request had been directed to the contact's bare JID"
    let Some(contact) = stanza.to().map(Jid::to_bare) else {
        return server.refuse(&stanza, &Condition::BadRequest.into());
    };
    if contact == *session.bare() {
        // §4.2.2: "an entity is implicitly subscribed to its own presence"
        return server.refuse(&stanza, &Condition::NotAllowed.into());
    }
    let (account, server) = (session.account().clone(), server.clone());
    Dispatch::Pending(Box::pin(async move {
        let changed = account.change_roster(
            server.stores(),
            &contact,
            |roster, item| {
                let before = State::of(item);
                let next = outbound(act, before).next;
                if next == before {
                    return Ok(ItemChange::Keep);
                }
                let is_new = next.is_visible() && !item.is_some_and(RosterItem::is_visible);
                if is_new
                    && !roster::has_room(
                        roster,
                        server.config().account(account.jid()).roster_items,
                    )
                {
                    return Err(StanzaError::from(Condition::ResourceConstraint)
                        .with_text("The roster is full."));
                }
                Ok(with_state(item, &contact, next, None))
            },
            // §3.1.2, §3.1.5 have the push after the stanza that is routed. The answer to
            // that stanza may be a push itself, and §2.6.3 has them in order.
            |changed| roster::push_difference(&account, changed, &server),
        );
        let before = match changed.await {
            Ok(changed) => State::of(changed.before.as_ref()),
            Err(error) => {
                let error = roster::refusal(error, account.jid(), &server);
                return server.refuse(&stanza, &error).finish().await;
            }
        };
        if act == Act::Unsubscribed && before.from == Grade::Granted {
            // §3.2.2: "before the contact's server routes or delivers the presence stanza of
            // type "unsubscribed" [...] MUST send a presence stanza of type "unavailable" from
            // all of the contact's online resources"
            let _ = hide(&account, &contact, &server).finish().await;
        }
        if !outbound(act, before).route {
            return Settlement::Done;
        }
        let stanza = stanza
            .with_from(Jid::from(account.jid()))
            .with_to(Jid::from(&contact));
        let settlement = server.route(stanza, origin).finish().await;
        if act == Act::Subscribed {
            // §3.1.5: "MUST then also send current presence to the user from each of the
            // contact's available resources"
            let _ = show(&account, &contact, &server).finish().await;
        }
        settlement
    }))
}

/// A subscription stanza has come for an account, which may not exist.
pub(super) async fn received(act: Act, stanza: Stanza, account: &Arc<Account>, server: &Server) {
    let Some(contact) = stanza.from().map(Jid::to_bare) else {
        return;
    };
    // §8.5.1: "the server MUST silently ignore the stanza"
    if !account.exists() || contact == *account.jid() {
        return;
    }
    // §3.1.3: "SHOULD treat it as if the request had been directed to the contact's bare JID"
    let stanza = stanza
        .with_from(Jid::from(&contact))
        .with_to(Jid::from(account.jid()));
    let request = (act == Act::Subscribe).then(|| stanza.to_string());
    let changed = account.change_roster(
        server.stores(),
        &contact,
        |roster, item| {
            let before = State::of(item);
            let next = inbound(act, before).next;
            if next == before {
                return Ok(ItemChange::Keep);
            }
            if next.from == Grade::Pending
                && before.from != Grade::Pending
                && !may_wait(
                    request.as_deref(),
                    item,
                    roster.items(),
                    server.config().account(account.jid()),
                )
            {
                return Err(TooMany);
            }
            Ok(with_state(item, &contact, next, request.as_deref()))
        },
        |changed| announce(act, &stanza, changed, account, server),
    );
    let before = match changed.await {
        Ok(changed) => State::of(changed.before.as_ref()),
        Err(ChangeError::Refused(TooMany)) => {
            tracing::debug!(account = %account.jid(), from = %contact, "subscription request dropped");
            return;
        }
        // §8.5.1, as above: it has been deleted meanwhile.
        Err(ChangeError::NoAccount) => return,
        Err(ChangeError::Store(error)) => {
            let error = server.store_failed("roster not changed", account.jid(), &error);
            let _ = server.refuse(&stanza, &error).finish().await;
            return;
        }
    };
    if act == Act::Unsubscribe && before.from == Grade::Granted {
        // §3.3.3: "Generate an outbound presence stanza of type "unavailable" from each of
        // the contact's available resources to the user."
        let _ = hide(account, &contact, server).finish().await;
    }
    if let Some(reply) = inbound(act, before).reply {
        let reply_stanza = between(account, &contact, reply).with_id(stanza.id());
        let _ = server.route(reply_stanza, Origin::SERVER).finish().await;
        if reply == Act::Subscribed {
            let _ = show(account, &contact, server).finish().await;
        }
    }
}

/// There are more requests than are kept, or this one is too large.
struct TooMany;

/// §3.1.3: "administrators to set limits on the number or size of inbound presence
/// subscription requests that the server will store".
fn may_wait(
    request: Option<&str>,
    item: Option<&RosterItem>,
    items: &[RosterItem],
    limits: &AccountLimits,
) -> bool {
    let fits = request.is_none_or(|request| request.len() <= limits.subscription_request);
    let known = item.is_some_and(RosterItem::is_visible);
    let strangers = || items.iter().filter(|item| !item.is_visible()).count();
    fits && (known || strangers() < limits.subscription_requests)
}

/// Shows the clients of an account what has come and what it has changed, in this order.
fn announce(act: Act, stanza: &Stanza, changed: &Changed, account: &Account, server: &Server) {
    if inbound(act, State::of(changed.before.as_ref())).deliver {
        for resource in server.directory().resources(account.jid().as_str()).iter() {
            let wanted = match act {
                // §3.1.3: "MUST send that subscription request to all available resources". On another node one may become
                // available meanwhile: that node sees to its own.
                Act::Subscribe => resource.is_available() && server.speaks_for(resource),
                // §3.1.6, §3.2.3, §3.3.3: "to all of the user's interested resources. [...]
                // This MUST occur before sending the roster push"
                _ => resource.is_interested(),
            };
            if wanted {
                // A request is shown again to the next resource; the rest shows in the roster.
                let _ = resource.mailbox().push(stanza.clone(), Origin::SERVER);
            }
        }
    }
    roster::push_difference(account, changed, server);
}

/// Shows the clients of an account here a request that has come on another node.
pub(super) fn show_request(request: &str, account: &Account, server: &Server) {
    let Ok(request) = Stanza::restore(request) else {
        return; // it was parsed when it came
    };
    for resource in server.directory().resources(account.jid().as_str()).iter() {
        if resource.is_available() && server.speaks_for(resource) {
            let _ = resource.mailbox().push(request.clone(), Origin::SERVER);
        }
    }
}

/// What becomes of a roster item that takes on another state. A contact that the user
/// never did anything about has an item only as long as its request waits (§3.1.3:
/// "Until and unless the contact approves the subscription request [...], the contact's
/// server MUST NOT add an item for the user to the contact's roster").
fn with_state(
    item: Option<&RosterItem>,
    contact: &BareJid,
    next: State,
    request: Option<&str>,
) -> ItemChange {
    let visible = next.is_visible() || item.is_some_and(RosterItem::is_visible);
    if !visible && next.from == Grade::No {
        return ItemChange::Remove;
    }
    let mut item = item
        .cloned()
        .unwrap_or_else(|| RosterItem::new(contact.clone()));
    next.record(&mut item, request);
    if visible {
        // An empty name is none (§2.4.1), but tells the item from a stranger's request.
        item.name.get_or_insert_default();
    }
    ItemChange::Put(item)
}
