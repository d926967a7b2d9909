//! Modules: how a server learns a XEP.
//!
//! A module registers handlers; the order of registration is the order of
//! running. Two handlers for one name are an error when the server is built.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;

use crate::account::{Account, AccountWatcher};
use crate::directory::Resources;
use crate::im::form;
use crate::mailbox::{Origin, Settlement, Share};
use crate::router::Recipients;
use crate::s2s;
use crate::s2s::links::LinkEvent;
use crate::server::{BuildError, Server};
use crate::session::{Resource, Session};
use crate::stanza::{Condition, Stanza, StanzaError};
use crate::store::RosterItem;
use crate::stream::{BoxStream, Feature, Layer};
use crate::time::Timestamp;
use crate::xml::Element;
use crate::{BareJid, FullJid, Jid};

/// One extension's handlers, filters and disco features.
pub trait Module: Send + Sync + 'static {
    /// Registers everything the module does.
    fn register(self: Arc<Self>, on: &mut Hooks);

    /// The server is complete: [`Server::hooks`] holds what all modules registered.
    /// Called once, before anybody connects, in the order of registration.
    ///
    /// A module that cannot do its work with this server, or without something that it needs,
    /// refuses: [`BuildError::Module`]. Then there is no server, and what the modules before
    /// it have kept of this one or have spawned on it is for them to drop with it.
    fn ready(&self, server: &Server) -> Result<(), BuildError> {
        let _ = server;
        Ok(())
    }
}

/// On whose behalf something is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// A domain of ours (`to='example.org'`).
    Server,
    /// An account (`to='romeo@example.org'`, or no `to`, RFC 6120 §10.3.3).
    Account,
}

/// An IQ request to the server or to an account.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who asks.
    pub from: Jid,
    /// Whether it is a `set` or a `get`.
    pub verb: Verb,
    /// The one child of the request.
    pub payload: Element,
    /// Who is asked.
    pub target: Target,
    /// The session that asks, if it is one of ours.
    pub session: Option<Arc<Session>>,
    /// The language of the request, `xml:lang`.
    pub lang: Option<String>,
}

/// `get` or `set`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `type='get'`
    Get,
    /// `type='set'`
    Set,
}

/// Who is asked.
#[derive(Clone, Debug)]
pub enum Target {
    /// The server, by one of its domains.
    Server(BareJid),
    /// An account that exists or not; see [`Account::exists`].
    Account(Arc<Account>),
}

impl Request {
    /// The session, if the account asks itself: most account data is nobody else's business.
    pub fn own_session(&self) -> Option<&Arc<Session>> {
        let session = self.session.as_ref()?;
        match &self.target {
            Target::Account(account) => (account.jid() == session.bare()).then_some(session),
            Target::Server(_) => None,
        }
    }

    /// `<not-allowed/>` unless this is the verb that the request is defined for.
    pub fn must_be(&self, verb: Verb) -> Result<(), StanzaError> {
        match self.verb == verb {
            true => Ok(()),
            false => Err(Condition::NotAllowed.into()),
        }
    }
}

/// Answers an IQ request.
#[async_trait]
pub trait IqHandler: Send + Sync + 'static {
    /// The child of the result (`None` for an empty result), or the error.
    async fn handle(
        &self,
        request: &Request,
        server: &Server,
    ) -> Result<Option<Element>, StanzaError>;

    /// Whether the result of this request shows what [`Account::change_roster`] and
    /// [`Account::change_blocked`] change, so that a client that hears of changes too has to
    /// get it before it hears of the next one; by default it does not.
    ///
    /// Then nothing of the account that is asked changes from before
    /// [`handle`](IqHandler::handle) is called until the result is on its way, and `handle`
    /// may not change it: it would wait for itself.
    fn is_snapshot(&self, request: &Request) -> bool {
        let _ = request;
        false
    }
}

/// What a filter says of a stanza.
#[derive(Debug)]
pub enum Verdict {
    /// Go on, perhaps with a changed stanza.
    Pass,
    /// Back to the sender with an error, if it may be answered.
    Refuse(StanzaError),
    /// Goes no further, and nobody is told.
    Drop,
}

/// Sees what our sessions send, before it is routed. It may change the stanza,
/// and may not wait.
pub trait OutboundFilter: Send + Sync + 'static {
    /// Judges one stanza. `from` is stamped; there may be no `to`.
    fn outbound(&self, stanza: &mut Stanza, session: &Arc<Session>, server: &Server) -> Verdict;
}

/// Sees what comes for a local account, whoever sent it, before it is delivered,
/// stored or answered. It may change the stanza and the recipients, and may not wait.
pub trait InboundFilter: Send + Sync + 'static {
    /// Judges one stanza.
    fn inbound(&self, delivery: &mut Delivery<'_>, server: &Server) -> Verdict;
}

/// A stanza about to reach a local account.
#[derive(Debug)]
pub struct Delivery<'a> {
    /// The stanza.
    pub stanza: &'a mut Stanza,
    /// The account it is for.
    pub account: &'a Arc<Account>,
    /// All bound resources of the account.
    pub resources: &'a Resources,
    /// Those that get it; `None` when no session does (offline messages,
    /// requests to the account).
    pub to: Option<&'a Recipients>,
    /// Who sent it.
    pub origin: &'a Origin,
    pub(crate) share: Option<Share>,
}

impl Delivery<'_> {
    /// A share in the message for one who gets a copy of it and is not among the
    /// recipients: as long as the copy is there, the message is not lost. `None` if no
    /// session is to get the message itself.
    pub fn join(&mut self) -> Option<Share> {
        let recipients = self.to?.as_slice().len();
        let share = self.share.get_or_insert_with(|| Share::among(recipients));
        share.join();
        Some(share.clone())
    }
}

/// Deals with the presence of local accounts (RFC 6121 §3, §4). There is one.
#[async_trait]
pub trait PresenceHandler: Send + Sync + 'static {
    /// Presence of any type that one of our sessions sent, `from` stamped with
    /// its full JID. It is routed no further unless the handler does so.
    fn sent(
        &self,
        stanza: Stanza,
        session: &Arc<Session>,
        origin: Origin,
        server: &Server,
    ) -> Dispatch;

    /// A session has ended. `resource`, its entry, has left the directory, and tells
    /// whether it was available.
    fn ended(&self, session: &Arc<Session>, resource: &Resource, server: &Server) -> Dispatch;

    /// A session of an account has ended with the node on which it lived: whoever may see it is told that it is not available. By default
    /// nobody is.
    fn lost(&self, jid: &FullJid, account: &Arc<Account>, server: &Server) -> Dispatch {
        let _ = (jid, account, server);
        Dispatch::DONE
    }

    /// Another node has been met: a session that lives here is shown those of its contacts' resources that `theirs` picks. By default it is not.
    fn met(&self, session: &Arc<Session>, theirs: &dyn Fn(&Resource) -> bool, server: &Server) {
        let _ = (session, theirs, server);
    }

    /// Ends what there is between an account and a contact that is no longer in its roster
    /// (RFC 6121 §2.5.2), because the account has been removed. `item` is what was there.
    fn part(&self, item: &RosterItem, account: &Arc<Account>, server: &Server) -> Dispatch;

    /// A subscription stanza or a probe for a local account, which may not exist.
    async fn received(
        &self,
        stanza: Stanza,
        account: Arc<Account>,
        origin: Origin,
        server: &Server,
    );
}

/// Keeps messages for accounts that are away. There is one.
#[async_trait]
pub trait OfflineHandler: Send + Sync + 'static {
    /// Keeps a message for an account that exists. An error goes back to the sender.
    ///
    /// `missed` is the session that had no room for it, if that is why. Nothing newer overtakes
    /// the message there, so as long as that session takes messages the message is for it.
    async fn keep(
        &self,
        stanza: Stanza,
        account: &Arc<Account>,
        missed: Option<&Arc<Session>>,
        server: &Server,
    ) -> Result<(), StanzaError>;

    /// Another node has stored messages for an account: a session here that can take them gets them. By default nothing is done.
    fn stored(&self, account: &BareJid, server: &Server) {
        let _ = (account, server);
    }
}

/// Follows the lives of sessions. Calls do not wait; what takes longer is spawned
/// ([`Server::spawn`]) or becomes a [`Feed`](crate::session::Feed).
pub trait SessionWatcher: Send + Sync + 'static {
    /// Something happened to a session of ours.
    fn session(&self, event: SessionEvent, session: &Arc<Session>, server: &Server);
}

/// Follows the links to other servers. Calls do not wait; what takes longer is spawned ([`Server::spawn`]).
pub trait LinkWatcher: Send + Sync + 'static {
    /// Something happened to a link. Events of one link come in their order.
    fn link(&self, event: &LinkEvent, server: &Server);
}

/// What happens to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEvent {
    /// A resource is bound, and a connection attached.
    Bound,
    /// It sent available presence; `initial` if it was not available before.
    Available {
        /// First available presence since it was bound or unavailable.
        initial: bool,
    },
    /// It sent unavailable presence.
    Unavailable,
    /// Its connection is gone; the session waits for another.
    Detached,
    /// Another connection took it up.
    Attached,
    /// It was put away when the server stopped before, and has been taken up in this run; or it lived on another
    /// node. It is what it was, and waits for its client; available, if it was, and nobody has been told.
    Restored {
        /// When it was put away.
        since: Timestamp,
    },
    /// Another node has it now, as it is, and it is no longer in the directory here: what is kept of it here can be
    /// forgotten, and nobody is to be told.
    Moved,
    /// It has ended and is no longer in the directory. What it had not been
    /// given has been dealt with.
    Ended,
}

/// Has something of each session that is to be there again when the session goes on in another
/// run of the server ([`Driver::suspend`](crate::io::Driver::suspend)). What the directory
/// knows, and who was sent directed presence, is there by itself.
pub trait SessionKeeper: Send + Sync + 'static {
    /// What is written down of a session, in the keeper's namespace; `None` if there is nothing.
    fn write_down(&self, session: &Arc<Session>, server: &Server) -> Option<Element>;

    /// What was written down, perhaps by another release. The session is bound, and its
    /// watchers have yet to be told so ([`SessionEvent::Restored`]).
    fn take_up(&self, kept: &Element, session: &Arc<Session>, server: &Server);
}

/// What becomes of a stanza handed to the server.
#[must_use]
pub enum Dispatch {
    /// It is dealt with.
    Done(Settlement),
    /// It waits for something outside (a store). Whoever handed it in awaits
    /// this before the next one, so that order is kept.
    Pending(BoxFuture<'static, Settlement>),
}

impl Dispatch {
    /// Dealt with, nothing to wait for.
    pub const DONE: Dispatch = Dispatch::Done(Settlement::Done);

    /// Several, one after the other; nothing to wait for if none of them has.
    pub fn all(dispatches: impl IntoIterator<Item = Dispatch>) -> Dispatch {
        let pending = dispatches
            .into_iter()
            .filter_map(|dispatch| match dispatch {
                Dispatch::Done(_) => None,
                Dispatch::Pending(future) => Some(future),
            });
        let pending: Vec<_> = pending.collect();
        if pending.is_empty() {
            return Dispatch::DONE;
        }
        Dispatch::Pending(Box::pin(async move {
            for future in pending {
                let _ = future.await;
            }
            Settlement::Done
        }))
    }

    /// Waits for the settlement, if it is not there yet.
    pub async fn finish(self) -> Settlement {
        match self {
            Dispatch::Done(settlement) => settlement,
            Dispatch::Pending(future) => future.await,
        }
    }
}

impl fmt::Debug for Dispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dispatch::Done(settlement) => f.debug_tuple("Done").field(settlement).finish(),
            Dispatch::Pending(_) => f.write_str("Pending"),
        }
    }
}

/// A disco identity (XEP-0030 §3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// For example `server`.
    pub category: &'static str,
    /// For example `im`.
    pub kind: &'static str,
    /// A name for people.
    pub name: Option<String>,
}

/// A disco item of a domain (XEP-0030 §4.1): a service that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The domain that lists it.
    pub of: BareJid,
    /// Its address.
    pub jid: Jid,
    /// A name for people.
    pub name: Option<String>,
}

/// A form of the disco answer.
pub(crate) struct Form {
    scope: Scope,
    /// The one domain that has it, or else all of them do.
    of: Option<BareJid>,
    form: Element,
}

/// Handlers by the namespace and the name of what they answer.
pub(crate) type Handlers<H> = HashMap<&'static str, HashMap<&'static str, Arc<H>>>;

/// Everything that modules registered.
#[derive(Default)]
pub struct Hooks {
    pub(crate) features: Vec<(Scope, &'static str)>,
    pub(crate) identities: Vec<(Scope, Identity)>,
    pub(crate) forms: Vec<Form>,
    pub(crate) items: Vec<Item>,
    pub(crate) iq: HashMap<Scope, Handlers<dyn IqHandler>>,
    pub(crate) outbound: Vec<Arc<dyn OutboundFilter>>,
    pub(crate) inbound: Vec<Arc<dyn InboundFilter>>,
    pub(crate) watchers: Vec<Arc<dyn SessionWatcher>>,
    pub(crate) account_watchers: Vec<Arc<dyn AccountWatcher>>,
    pub(crate) keepers: Vec<(&'static str, Arc<dyn SessionKeeper>)>,
    pub(crate) presence: Option<Arc<dyn PresenceHandler>>,
    pub(crate) offline: Option<Arc<dyn OfflineHandler>>,
    pub(crate) stream_features: Vec<Arc<dyn Feature>>,
    pub(crate) layers: Vec<Arc<dyn Layer>>,
    pub(crate) peer_layers: Vec<Arc<dyn s2s::Layer>>,
    pub(crate) link_watchers: Vec<Arc<dyn LinkWatcher>>,
    pub(crate) stranger_iq: Handlers<dyn StrangerHandler>,
    pub(crate) error: Option<BuildError>,
}

/// Answers an IQ on a stream that has not logged in (in-band registration, XEP-0077 §3.1).
#[async_trait]
pub trait StrangerHandler: Send + Sync + 'static {
    /// The child of the result, or the error. `stranger` tells where the request came from.
    async fn handle(
        &self,
        request: &StrangerRequest,
        server: &Server,
    ) -> Result<Option<Element>, StanzaError>;
}

/// A request on a stream that has not logged in.
#[derive(Clone, Debug)]
pub struct StrangerRequest {
    /// Whether it is a `set` or a `get`.
    pub verb: Verb,
    /// The one child of the request.
    pub payload: Element,
    /// The domain that the stream was opened to.
    pub domain: BareJid,
    /// The address of the peer, for limits.
    pub peer: Option<std::net::IpAddr>,
}

impl Hooks {
    /// Advertises a disco feature (XEP-0030 §3.1).
    pub fn feature(&mut self, scope: Scope, var: &'static str) {
        if !self.features.contains(&(scope, var)) {
            self.features.push((scope, var));
        }
    }

    /// Advertises a disco identity. One scope has no two of the same category and type.
    pub fn identity(&mut self, scope: Scope, identity: Identity) {
        let Identity { category, kind, .. } = identity;
        if self
            .identities(scope)
            .any(|other| (other.category, other.kind) == (category, kind))
        {
            // XEP-0115 §5.4: an answer with such two is "ill-formed"
            self.clash(format!("two identities {category}/{kind} ({scope:?})"));
        }
        self.identities.push((scope, identity));
    }

    /// Adds a form to the disco answer (XEP-0128), of all domains or of all accounts. One
    /// answer has no two of the same `FORM_TYPE` (XEP-0068).
    pub fn form(&mut self, scope: Scope, form: Element) {
        self.add_form(Form {
            scope,
            of: None,
            form,
        });
    }

    /// Adds a form to the disco answer of one domain, otherwise as [`form`](Hooks::form).
    pub fn domain_form(&mut self, of: BareJid, form: Element) {
        self.add_form(Form {
            scope: Scope::Server,
            of: Some(of),
            form,
        });
    }

    fn add_form(&mut self, new: Form) {
        let kind = form::form_type(&new.form);
        let is_beside = |other: &&Form| {
            let apart = matches!((&other.of, &new.of), (Some(a), Some(b)) if a != b);
            other.scope == new.scope && !apart
        };
        let mut beside = self.forms.iter().filter(is_beside);
        if kind.is_some() && beside.any(|other| form::form_type(&other.form) == kind) {
            // XEP-0115 §5.4: an answer with such two is "ill-formed"
            let kind = kind.unwrap_or_default();
            self.clash(format!("two forms {kind} ({:?})", new.scope));
        }
        self.forms.push(new);
    }

    /// Lists a service among the disco items of a domain.
    pub fn item(&mut self, item: Item) {
        self.items.push(item);
    }

    /// Answers IQ requests whose child has this name and namespace.
    pub fn iq(
        &mut self,
        scope: Scope,
        name: &'static str,
        ns: &'static str,
        handler: Arc<dyn IqHandler>,
    ) {
        if self
            .iq
            .entry(scope)
            .or_default()
            .entry(ns)
            .or_default()
            .insert(name, handler)
            .is_some()
        {
            self.clash(format!(
                "two handlers for <{name} xmlns='{ns}'/> ({scope:?})"
            ));
        }
    }

    /// Answers IQ requests on streams that have not logged in.
    pub fn stranger_iq(
        &mut self,
        name: &'static str,
        ns: &'static str,
        handler: Arc<dyn StrangerHandler>,
    ) {
        if self
            .stranger_iq
            .entry(ns)
            .or_default()
            .insert(name, handler)
            .is_some()
        {
            self.clash(format!(
                "two handlers for <{name} xmlns='{ns}'/> before login"
            ));
        }
    }

    /// Filters what our sessions send.
    pub fn outbound(&mut self, filter: Arc<dyn OutboundFilter>) {
        self.outbound.push(filter);
    }

    /// Filters what comes for our accounts.
    pub fn inbound(&mut self, filter: Arc<dyn InboundFilter>) {
        self.inbound.push(filter);
    }

    /// Follows sessions.
    pub fn watch(&mut self, watcher: Arc<dyn SessionWatcher>) {
        self.watchers.push(watcher);
    }

    /// Follows what other nodes change of accounts.
    pub fn watch_accounts(&mut self, watcher: Arc<dyn AccountWatcher>) {
        self.account_watchers.push(watcher);
    }

    /// Keeps something of each session over a restart, in an element of this namespace.
    pub fn keep(&mut self, ns: &'static str, keeper: Arc<dyn SessionKeeper>) {
        if self.keepers.iter().any(|(other, _)| *other == ns) {
            self.clash(format!("two keepers of sessions for {ns}"));
        }
        self.keepers.push((ns, keeper));
    }

    /// Deals with presence.
    pub fn presence(&mut self, handler: Arc<dyn PresenceHandler>) {
        if self.presence.replace(handler).is_some() {
            self.clash("two handlers for presence".into());
        }
    }

    /// Keeps offline messages.
    pub fn offline(&mut self, handler: Arc<dyn OfflineHandler>) {
        if self.offline.replace(handler).is_some() {
            self.clash("two handlers for offline messages".into());
        }
    }

    /// Adds a stream feature (RFC 6120 §4.3.2).
    pub fn stream_feature(&mut self, feature: Arc<dyn Feature>) {
        self.stream_features.push(feature);
    }

    /// Wraps every client's stream; the layer registered last is outermost.
    pub fn layer(&mut self, layer: Arc<dyn Layer>) {
        if let Some(feature) = layer.feature() {
            self.stream_features.push(feature);
        }
        self.layers.push(layer);
    }

    /// Wraps every stream with another server; the layer registered last is outermost.
    pub fn peer_layer(&mut self, layer: Arc<dyn s2s::Layer>) {
        self.peer_layers.push(layer);
    }

    /// Follows the links to other servers.
    pub fn watch_links(&mut self, watcher: Arc<dyn LinkWatcher>) {
        self.link_watchers.push(watcher);
    }

    /// The handler of IQ requests with this child.
    pub fn iq_handler(&self, scope: Scope, name: &str, ns: &str) -> Option<&Arc<dyn IqHandler>> {
        self.iq.get(&scope)?.get(ns)?.get(name)
    }

    /// The handler of requests before login with this child.
    pub fn stranger_handler(&self, name: &str, ns: &str) -> Option<&Arc<dyn StrangerHandler>> {
        self.stranger_iq.get(ns)?.get(name)
    }

    /// The namespaces of requests that are answered before login.
    pub fn stranger_namespaces(&self) -> Vec<&'static str> {
        self.stranger_iq.keys().copied().collect()
    }

    /// All stream features.
    pub fn stream_features(&self) -> Vec<Arc<dyn Feature>> {
        self.stream_features.clone()
    }

    /// A stream in all layers.
    pub fn wrap(&self, stream: BoxStream) -> BoxStream {
        self.layers
            .iter()
            .fold(stream, |inner, layer| layer.wrap(inner))
    }

    /// What layers advertise to other servers: [`s2s::Settings::features`].
    pub fn peer_features(&self) -> Vec<Element> {
        let layers = self.peer_layers.iter();
        layers.filter_map(|layer| layer.feature()).collect()
    }

    /// A stream that another server has opened, in all layers.
    pub fn wrap_incoming(&self, stream: s2s::BoxStream) -> s2s::BoxStream {
        let layers = self.peer_layers.iter();
        layers.fold(stream, |inner, layer| layer.incoming(inner))
    }

    /// A stream that we open to another server, in all layers.
    pub fn wrap_outgoing(&self, stream: s2s::BoxStream) -> s2s::BoxStream {
        let layers = self.peer_layers.iter();
        layers.fold(stream, |inner, layer| layer.outgoing(inner))
    }

    /// Tells everyone who follows links.
    pub fn tell_of_link(&self, event: &LinkEvent, server: &Server) {
        for watcher in &self.link_watchers {
            watcher.link(event, server);
        }
    }

    /// Disco features of a scope, in the order of registration.
    pub fn features(&self, scope: Scope) -> impl Iterator<Item = &'static str> {
        self.features
            .iter()
            .filter(move |(s, _)| *s == scope)
            .map(|(_, var)| *var)
    }

    /// Disco identities of a scope.
    pub fn identities(&self, scope: Scope) -> impl Iterator<Item = &Identity> {
        self.identities
            .iter()
            .filter(move |(s, _)| *s == scope)
            .map(|(_, identity)| identity)
    }

    /// Disco forms of a domain, or of an account of the domain.
    pub fn forms(&self, scope: Scope, domain: &str) -> impl Iterator<Item = &Element> {
        let here = move |form: &&Form| {
            let of = form.of.as_ref();
            form.scope == scope && of.is_none_or(|of| of.as_str() == domain)
        };
        self.forms.iter().filter(here).map(|form| &form.form)
    }

    /// Disco items of a domain.
    pub fn items(&self, of: &BareJid) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(move |item| item.of == *of)
    }

    fn clash(&mut self, what: String) {
        self.error.get_or_insert(BuildError::Clash(what));
    }
}
