//! The blocking command (XEP-0191).
//!
//! The list itself lives in the [`Account`]; [`Account::blocks`] tells what it means (§6).

use std::sync::Arc;

use async_trait::async_trait;

use crate::account::{Account, AccountWatcher, Before, BlockListChange, ChangeError, covers};
use crate::im::presence;
use crate::mailbox::Source;
use crate::module::{
    Delivery, Dispatch, Hooks, InboundFilter, IqHandler, Module, OutboundFilter, Request, Scope,
    Verb, Verdict,
};
use crate::server::Server;
use crate::session::{Change, Resource, Session};
use crate::stanza::{Condition, ErrorType, IqType, Kind, PresenceType, Stanza, StanzaError};
use crate::xml::Element;
use crate::{BareJid, Jid};

/// The namespace.
pub const NS: &str = "urn:xmpp:blocking";
/// The namespace of `<blocked/>`.
pub const ERRORS: &str = "urn:xmpp:blocking:errors";

/// The module. Register it before filters that copy or store.
#[derive(Clone, Copy, Debug, Default)]
pub struct Blocking;

impl Module for Blocking {
    fn register(self: Arc<Self>, on: &mut Hooks) {
        // §3.1: "If the server supports the protocol defined herein, it MUST return a feature
        // of "urn:xmpp:blocking""
        on.feature(Scope::Server, NS);
        for name in ["blocklist", "block", "unblock"] {
            on.iq(Scope::Account, name, NS, self.clone());
        }
        on.outbound(self.clone());
        on.watch_accounts(self.clone());
        on.inbound(self);
    }
}

/// What other nodes have changed.
impl AccountWatcher for Blocking {
    fn reloaded(&self, account: &Account, before: &Before, server: &Server) {
        if !account.exists() {
            return;
        }
        let left = account.blocked(<[Jid]>::to_vec);
        let without = |list: &[Jid], other: &[Jid]| -> Vec<Jid> {
            let only = list.iter().filter(|jid| !other.contains(jid));
            only.cloned().collect()
        };
        let removed = without(&before.blocked, &left);
        if !removed.is_empty() {
            push(account, &items("unblock", &removed), server);
            reappear(account, &removed, &left, server);
        }
        let added = without(&left, &before.blocked);
        if !added.is_empty() {
            push(account, &items("block", &added), server);
            disappear(account, &added, &without(&left, &added), server);
        }
    }
}

impl InboundFilter for Blocking {
    /// §3.3: "the user's server MUST NOT deliver any XML stanzas from the JID to the user".
    fn inbound(&self, delivery: &mut Delivery<'_>, _: &Server) -> Verdict {
        let kind = delivery.stanza.kind();
        // What tells the user that a stanza to the JID was refused comes from ourselves.
        let ours = delivery.origin.source == Source::Server && kind.is_error();
        let blocked = |from| !ours && delivery.account.blocks(from);
        if !delivery.stanza.from().is_some_and(blocked) {
            return Verdict::Pass;
        }
        match kind {
            // "For presence stanzas (including notifications, subscriptions, and probes), the
            // server MUST NOT respond and MUST NOT return an error."
            Kind::Presence(_) => Verdict::Drop,
            // "For message stanzas, the server SHOULD return an error, which SHOULD be
            // <service-unavailable/>."
            Kind::Message(_) => Verdict::Refuse(Condition::ServiceUnavailable.into()),
            // "For IQ stanzas of type "get" or "set", the server MUST return an error, which
            // SHOULD be <service-unavailable/>. IQ stanzas of other types MUST be silently
            // dropped by the server."
            Kind::Iq(IqType::Get | IqType::Set) => {
                Verdict::Refuse(Condition::ServiceUnavailable.into())
            }
            Kind::Iq(_) => Verdict::Drop,
        }
    }
}

impl OutboundFilter for Blocking {
    /// §3.3: "the user's server MUST NOT route the stanza to the JID but instead MUST return
    /// a `<not-acceptable/>` error containing an application-specific error condition of
    /// `<blocked/>`"
    fn outbound(&self, stanza: &mut Stanza, session: &Arc<Session>, _: &Server) -> Verdict {
        match stanza.to() {
            Some(to) if session.account().blocks(to) => {
                let error = StanzaError::new(Condition::NotAcceptable)
                    // As in the example there.
                    .with_kind(ErrorType::Cancel)
                    .with_extra(Element::new("blocked", ERRORS));
                Verdict::Refuse(error)
            }
            _ => Verdict::Pass,
        }
    }
}

#[async_trait]
impl IqHandler for Blocking {
    async fn handle(
        &self,
        request: &Request,
        server: &Server,
    ) -> Result<Option<Element>, StanzaError> {
        let session = request.own_session().ok_or(Condition::Forbidden)?;
        let account = session.account();
        match request.payload.name() {
            "blocklist" => {
                request.must_be(Verb::Get)?;
                if let Some(resource) = server.resource(session) {
                    server.directory().update(&resource, Change::BlockList);
                }
                Ok(Some(account.blocked(|list| items("blocklist", list))))
            }
            name => {
                request.must_be(Verb::Set)?;
                let named = named(&request.payload)?;
                if name == "block" {
                    block(account, &request.payload, &named, server).await?;
                } else {
                    unblock(account, &request.payload, &named, server).await?;
                }
                Ok(None)
            }
        }
    }

    fn is_snapshot(&self, request: &Request) -> bool {
        request.payload.name() == "blocklist"
    }
}

async fn block(
    account: &Arc<Account>,
    command: &Element,
    named: &[Jid],
    server: &Server,
) -> Result<(), StanzaError> {
    // §3.3: "If the <block/> element does not contain at least one <item/> child element, the
    // server MUST return a <bad-request/> error."
    if named.is_empty() {
        return Err(Condition::BadRequest.into());
    }
    let limit = server.config().account(account.jid()).blocked;
    let change = |list: &[Jid]| {
        let mut change = BlockListChange::default();
        for jid in named {
            if !list.contains(jid) && !change.add.contains(jid) {
                change.add.push(jid.clone());
            }
        }
        match list.len() + change.add.len() > limit {
            true => Err(StanzaError::new(Condition::PolicyViolation)
                .with_text(&format!("a block list has at most {limit} entries"))),
            false => Ok(change),
        }
    };
    let announce = |change: &BlockListChange, list: &[Jid]| {
        push(account, command, server);
        let before: Vec<_> = list
            .iter()
            .filter(|jid| !change.add.contains(jid))
            .cloned()
            .collect();
        disappear(account, &change.add, &before, server);
    };
    let changed = account.change_blocked(server.stores(), change, announce);
    changed
        .await
        .map_err(|error| refusal(error, account.jid(), server))
}

async fn unblock(
    account: &Arc<Account>,
    command: &Element,
    named: &[Jid],
    server: &Server,
) -> Result<(), StanzaError> {
    let change = |list: &[Jid]| {
        // §3.5: an empty <unblock/> means all.
        let goes = |jid: &&Jid| named.is_empty() || named.contains(jid);
        Ok(BlockListChange {
            add: Vec::new(),
            remove: list.iter().filter(goes).cloned().collect(),
        })
    };
    let announce = |change: &BlockListChange, list: &[Jid]| {
        push(account, command, server);
        reappear(account, &change.remove, list, server);
    };
    let changed = account.change_blocked(server.stores(), change, announce);
    changed
        .await
        .map_err(|error| refusal(error, account.jid(), server))
}

/// §3.3: "When the user blocks communications with a JID, the user's server MUST send
/// unavailable presence information to the JID (but only if the JID is allowed to receive
/// presence notifications from the user in accordance with the rules defined in RFC 3921)."
fn disappear(account: &Account, added: &[Jid], before: &[Jid], server: &Server) {
    let contacts = watchers(account, added, before);
    let resources = server.directory().resources(account.jid().as_str());
    for resource in resources.iter().filter(|r| server.speaks_for(r)) {
        let mut told = match resource.is_available() {
            true => contacts.clone(),
            false => Vec::new(),
        };
        if let Some(session) = resource.session() {
            // Who got directed presence sees the user too (RFC 6121 §4.6), also if nobody
            // else does.
            told.extend(session.take_directed_where(|jid| is_in(added, jid)));
        }
        told.sort_unstable();
        told.dedup();
        for to in told {
            let gone = Stanza::presence(PresenceType::Unavailable);
            server.send(gone.with_from(Jid::from(resource.jid())).with_to(to));
        }
    }
}

/// §3.4: "When the user unblocks communications with a JID, the user's server MUST send the
/// user's current presence information to the JID (but only if …)."
///
/// To be called where the change is announced, so that nobody of them is blocked again before
/// it is done. The sessions may end meanwhile, or become unavailable.
fn reappear(account: &Account, removed: &[Jid], left: &[Jid], server: &Server) {
    let contacts = watchers(account, removed, left);
    for resource in available(account, server) {
        for contact in &contacts {
            match presence::show_one(&resource, contact, server) {
                Some(Dispatch::Pending(rest)) => server.spawn(async move {
                    let _ = rest.await;
                }),
                Some(Dispatch::Done(_)) | None => {}
            }
        }
    }
}

/// Those that may see the account's presence and that `changed` means but not `others`: for
/// them, something changes.
fn watchers(account: &Account, changed: &[Jid], others: &[Jid]) -> Vec<Jid> {
    let concerned = |jid: &Jid| is_in(changed, jid) && !is_in(others, jid);
    let mut found: Vec<Jid> = account.roster(|roster| {
        let items = roster.items().iter();
        let subscribed = items.filter(|item| item.subscription.from());
        subscribed
            .map(|item| Jid::from(&item.jid))
            .filter(concerned)
            .collect()
    });
    // One resource of a contact.
    let full = changed.iter().filter(|jid| {
        !jid.is_bare()
            && concerned(jid)
            && jid.bare_str() != account.jid().as_str()
            && account.shows_presence_to(jid)
    });
    found.extend(full.cloned());
    found
}

fn is_in(list: &[Jid], jid: &Jid) -> bool {
    list.iter().any(|entry| covers(entry, jid))
}

fn available(account: &Account, server: &Server) -> Vec<Arc<Resource>> {
    let resources = server.directory().resources(account.jid().as_str());
    let available = resources.iter().filter(|resource| resource.is_available());
    let ours = available.filter(|resource| server.speaks_for(resource));
    ours.cloned().collect()
}

/// §3.3: "The server MUST also send an IQ-set to all of the user's resources that have
/// requested the blocklist, containing the blocked item(s)"; §3.4, §3.5 the same.
fn push(account: &Account, change: &Element, server: &Server) {
    let resources = server.directory().resources(account.jid().as_str());
    let told = resources.iter().filter(|r| r.knows_block_list());
    for resource in told.filter(|resource| server.speaks_for(resource)) {
        let id = u64::from_be_bytes(server.random());
        let push = Stanza::iq(IqType::Set, &format!("block-{id:016x}"))
            .with_from(Jid::from(account.jid()))
            .with_to(Jid::from(resource.jid()))
            .with_child(change);
        server.send(push);
    }
}

fn items(name: &'static str, list: &[Jid]) -> Element {
    let item = |jid: &Jid| Element::new("item", NS).with_attr("jid", jid.as_str());
    Element::new(name, NS).with_children(list.iter().map(item))
}

fn named(payload: &Element) -> Result<Vec<Jid>, StanzaError> {
    let items = payload.children().filter(|child| child.is("item", NS));
    items
        .map(|item| {
            let jid = item.attr("jid").ok_or(Condition::BadRequest)?;
            Jid::new(jid).map_err(|_| Condition::JidMalformed.into())
        })
        .collect()
}

/// What a client is told of a change that was not made.
fn refusal(error: ChangeError<StanzaError>, account: &BareJid, server: &Server) -> StanzaError {
    match error {
        ChangeError::Refused(error) => error,
        ChangeError::NoAccount => Condition::NotAllowed.into(),
        ChangeError::Store(error) => server.store_failed("block list not changed", account, &error),
    }
}

#[cfg(test)]
mod tests;
