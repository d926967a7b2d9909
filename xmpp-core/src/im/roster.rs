//! Rosters (RFC 6121 §2): who the user's contacts are, kept on the server and pushed
//! to every client that has asked for them.

use std::sync::Arc;

use async_trait::async_trait;

use crate::account::{self, Account, AccountWatcher, Before, ChangeError, Changed, ItemChange};
use crate::im::presence;
use crate::module::{Hooks, IqHandler, Module, Request, Scope, Verb};
use crate::server::{AccountLimits, Server};
use crate::session::{Change, Session};
use crate::stanza::{Condition, IqType, Stanza, StanzaError};
use crate::store::RosterItem;
use crate::stream::{Feature, FeatureContext};
use crate::xml::Element;
use crate::{BareJid, Jid};

/// The namespace of roster queries.
pub const NS: &str = "jabber:iq:roster";

const VERSIONING: &str = "urn:xmpp:features:rosterver";

/// Answers roster gets and sets, and advertises roster versioning.
#[derive(Clone, Copy, Debug, Default)]
pub struct Roster;

impl Module for Roster {
    fn register(self: Arc<Self>, on: &mut Hooks) {
        on.feature(Scope::Server, NS);
        on.stream_feature(Arc::new(Versioning));
        on.iq(Scope::Account, "query", NS, self.clone());
        on.watch_accounts(self);
    }
}

/// What other nodes have changed. Of several changes the last one says the version: a client that misses one of
/// them has the version of before, and gets the whole roster the next time.
impl AccountWatcher for Roster {
    fn reloaded(&self, account: &Account, before: &Before, server: &Server) {
        if !account.exists() {
            return;
        }
        let (version, mut changes) = account.roster(|roster| {
            let changes = roster.differences(&before.roster);
            (roster.version, changes)
        });
        changes.retain(|(before, after)| differ(before.as_ref(), after.as_ref()));
        let last = changes.len().saturating_sub(1);
        for (n, (item_before, after)) in changes.into_iter().enumerate() {
            let changed = Changed {
                version: if n == last {
                    version
                } else {
                    before.roster.version
                },
                before: item_before,
                after,
            };
            push(account, &changed, server);
        }
    }
}

#[async_trait]
impl IqHandler for Roster {
    async fn handle(
        &self,
        request: &Request,
        server: &Server,
    ) -> Result<Option<Element>, StanzaError> {
        match (request.own_session(), request.verb) {
            (Some(session), Verb::Get) => get(&request.payload, session, server),
            (Some(session), Verb::Set) => set(&request.payload, session, server).await,
            // §2.1.5: "MUST verify that the sender of the roster set is authorized to
            // update the roster, and if not return a <forbidden/> error". Whether there is
            // such an account makes no difference that could be told from outside.
            (None, Verb::Set) => Err(Condition::Forbidden.into()),
            (None, Verb::Get) => Err(Condition::ServiceUnavailable.into()),
        }
    }

    /// §2.6.3: "Roster pushes MUST occur in order of modification", and none that is newer
    /// before the roster.
    fn is_snapshot(&self, request: &Request) -> bool {
        request.verb == Verb::Get
    }
}

/// §2.2, §2.6
fn get(
    query: &Element,
    session: &Arc<Session>,
    server: &Server,
) -> Result<Option<Element>, StanzaError> {
    // §2.1.3: "the <query/> element MUST NOT contain any <item/> child elements"
    if query.children().next().is_some() {
        return Err(Condition::BadRequest.into());
    }
    if let Some(resource) = server.resource(session) {
        server.directory().update(&resource, Change::Interested);
    }
    let known = query.attr("ver");
    Ok(session.account().roster(|roster| {
        let version = roster.version.to_string();
        // §2.6.3: "or return an empty IQ-result (thus indicating that any roster
        // modifications will be sent via roster pushes)"
        if known == Some(&*version) {
            return None;
        }
        let visible = roster.items().iter().filter(|item| item.is_visible());
        let query = Element::new("query", NS).with_attr("ver", &version);
        Some(query.with_children(visible.map(element)))
    }))
}

/// §2.3, §2.4, §2.5
async fn set(
    query: &Element,
    session: &Arc<Session>,
    server: &Server,
) -> Result<Option<Element>, StanzaError> {
    let mut children = query.children();
    // §2.3.3: "The server MUST return a <bad-request/> stanza error to the client if [...]
    // The <query/> element contains more than one <item/> child element."
    let item = match (children.next(), children.next()) {
        (Some(item), None) if item.is("item", NS) => item,
        _ => return Err(Condition::BadRequest.into()),
    };
    let contact = contact(item, session.bare())?;
    // §2.1.5: "The server MUST ignore any value of the 'subscription' attribute other
    // than "remove""
    if item.attr("subscription") == Some("remove") {
        remove(&contact, session, server).await?;
    } else {
        put(item, contact, session, server).await?;
    }
    Ok(None)
}

async fn put(
    item: &Element,
    contact: BareJid,
    session: &Arc<Session>,
    server: &Server,
) -> Result<(), StanzaError> {
    let account = session.account();
    let limits = server.config().account(account.jid());
    let (name, groups) = details(item, limits)?;
    let put = account.change_roster(
        server.stores(),
        &contact,
        |roster, item| {
            if !item.is_some_and(RosterItem::is_visible) && !has_room(roster, limits.roster_items) {
                return Err(StanzaError::from(Condition::ResourceConstraint)
                    .with_text("The roster is full."));
            }
            // §2.4.1: "the item MUST be updated exactly as provided in the roster set",
            // but for the subscription, which is none of the client's business here.
            let mut item = item
                .cloned()
                .unwrap_or_else(|| RosterItem::new(contact.clone()));
            // §2.4.1: no name and an empty one are the same. The empty one says that the
            // item is the user's own, and not just a stranger's request.
            item.name = Some(name.clone());
            item.groups.clone_from(&groups);
            Ok(ItemChange::Put(item))
        },
        // §2.3.2: "MUST also send a roster push containing the new roster item to all of
        // the user's interested resources, including the resource that generated the roster set"
        |changed| push(account, changed, server),
    );
    put.await
        .map(drop)
        .map_err(|error| refusal(error, account.jid(), server))
}

/// §2.5.2
async fn remove(
    contact: &BareJid,
    session: &Arc<Session>,
    server: &Server,
) -> Result<(), StanzaError> {
    let account = session.account();
    let removed = account.change_roster(
        server.stores(),
        contact,
        |_, item| match item {
            Some(item) if item.is_visible() => Ok(ItemChange::Remove),
            // §2.5.3: "If the value of the 'jid' attribute specifies an item that is not in
            // the roster, then the server MUST return an <item-not-found/> stanza error."
            _ => Err(Condition::ItemNotFound.into()),
        },
        |changed| push(account, changed, server),
    );
    let removed = removed
        .await
        .map_err(|error| refusal(error, account.jid(), server))?;
    if let Some(item) = removed.before {
        let _ = presence::part(&item, account, server).finish().await;
    }
    Ok(())
}

/// Tells the interested resources of an account what has changed, but for those whose node does so itself. To be called where
/// changes are announced ([`Account::change_roster`]): §2.6.3: "Roster pushes MUST occur
/// in order of modification".
pub(super) fn push(account: &Account, changed: &Changed, server: &Server) {
    let visible = |item: &Option<RosterItem>| item.as_ref().is_some_and(|i| i.is_visible());
    let item = match (&changed.after, &changed.before) {
        (Some(after), _) if after.is_visible() => element(after),
        (_, Some(before)) if visible(&changed.before) => Element::new("item", NS)
            .with_attr("jid", before.jid.as_str())
            .with_attr("subscription", "remove"),
        _ => return,
    };
    // §2.6.3: "the server MUST include the updated roster version with each roster push"
    let query = Element::new("query", NS)
        .with_attr("ver", &changed.version.to_string())
        .with_child(item);
    let push = Stanza::iq(IqType::Set, &server.made_up_id())
        .with_from(Jid::from(account.jid()))
        .with_child(&query);
    for resource in server.directory().resources(account.jid().as_str()).iter() {
        if resource.is_interested() && server.speaks_for(resource) {
            let push = push.clone().with_to(Jid::from(resource.jid()));
            server.tell(push, resource);
        }
    }
}

/// The same, but silent when clients see no difference. §2.6.3: "internal states related
/// to roster processing within the server that would not result in a roster push".
pub(super) fn push_difference(account: &Account, changed: &Changed, server: &Server) {
    if differ(changed.before.as_ref(), changed.after.as_ref()) {
        push(account, changed, server);
    }
}

/// Whether clients see a difference.
fn differ(before: Option<&RosterItem>, after: Option<&RosterItem>) -> bool {
    let seen = |item: Option<&RosterItem>| item.filter(|item| item.is_visible()).map(element);
    seen(before) != seen(after)
}

/// Whether another contact fits in.
pub(super) fn has_room(roster: &account::Roster, limit: usize) -> bool {
    let items = roster.items();
    items.len() < limit || items.iter().filter(|item| item.is_visible()).count() < limit
}

/// An item as clients see it (§2.1.2).
fn element(item: &RosterItem) -> Element {
    let mut element = Element::new("item", NS);
    element.set_attr("approved", item.approved.then_some("true"));
    element.set_attr("ask", item.ask.map(|_| "subscribe"));
    element.set_attr("jid", item.jid.as_str());
    element.set_attr("name", item.name.as_deref().filter(|name| !name.is_empty()));
    element.set_attr("subscription", item.subscription.as_str());
    let groups = item.groups.iter();
    element.with_children(groups.map(|group| Element::new("group", NS).with_text(group)))
}

/// Whom a roster set is about.
fn contact(item: &Element, user: &BareJid) -> Result<BareJid, StanzaError> {
    // §2.1.2.3: "The 'jid' attribute is REQUIRED"
    let jid = item.attr("jid").ok_or(Condition::BadRequest)?;
    let jid = Jid::new(jid).map_err(|_| Condition::JidMalformed)?;
    // Subscriptions are between bare JIDs (§3.1.1).
    let contact = BareJid::try_from(jid).map_err(|_| Condition::BadRequest)?;
    // §2.3.3: "Some servers return a <not-allowed/> stanza error to the client if the
    // value of the <item/> element's 'jid' attribute matches the bare JID [...] of the
    // user's account."
    if contact == *user {
        return Err(Condition::NotAllowed.into());
    }
    Ok(contact)
}

/// The name and the groups of a roster set, in order, if they keep to §2.3.3.
fn details(item: &Element, limits: &AccountLimits) -> Result<(String, Vec<String>), StanzaError> {
    let name = item.attr("name").unwrap_or_default().to_owned();
    // §2.3.3: "The server MUST return a <not-acceptable/> stanza error [...] The length
    // of the 'name' attribute is greater than a server-configured limit."
    if name.len() > limits.roster_name {
        return Err(Condition::NotAcceptable.into());
    }
    let mut groups = Vec::new();
    for child in item.children().filter(|child| child.is("group", NS)) {
        let group = child.text().into_owned();
        // §2.3.3: the same if "The XML character data of the <group/> element is of zero
        // length" or "is larger than a server-configured limit"
        if group.is_empty() || group.len() > limits.roster_name {
            return Err(Condition::NotAcceptable.into());
        }
        groups.push(group);
    }
    groups.sort_unstable();
    // §2.3.3: "The server MUST return a <bad-request/> [...] there are duplicate groups"
    if groups.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Condition::BadRequest.into());
    }
    if groups.len() > limits.roster_groups {
        return Err(Condition::NotAcceptable.into());
    }
    Ok((name, groups))
}

/// What a client is told of a change that was not made.
pub(super) fn refusal(
    error: ChangeError<StanzaError>,
    account: &BareJid,
    server: &Server,
) -> StanzaError {
    match error {
        ChangeError::Refused(error) => error,
        ChangeError::NoAccount => Condition::NotAllowed.into(),
        ChangeError::Store(error) => server.store_failed("roster not changed", account, &error),
    }
}

/// §2.6.1
struct Versioning;

impl Feature for Versioning {
    fn advertise(&self, to: &FeatureContext<'_>) -> Option<Element> {
        to.account.map(|_| Element::new("ver", VERSIONING))
    }
}

#[cfg(test)]
mod tests;
