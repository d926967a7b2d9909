//! Messages for those who are away (XEP-0160), stamped with their time (XEP-0203).

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::account::Account;
use crate::mailbox::Source;
use crate::module::{
    Delivery, Hooks, InboundFilter, Module, OfflineHandler, Scope, SessionEvent, SessionWatcher,
    Verdict,
};
use crate::server::Server;
use crate::session::{Feed, Resource, Session, SessionId};
use crate::stanza::{Child, Condition, Kind, Stanza, StanzaError};
use crate::store::{OfflineLimits, OfflineMessage, StoreError};
use crate::time::Timestamp;
use crate::xml::{Element, ns};
use crate::{BareJid, FullJid, Jid};

/// The disco feature.
pub const FEATURE: &str = "msgoffline";
/// The namespace of `<delay/>`.
pub const DELAY: &str = "urn:xmpp:delay";

const HINTS: &str = "urn:xmpp:hints";
const CHAT_STATES: &str = "http://jabber.org/protocol/chatstates";

/// Messages that are read from the store and written to a client at a time.
const PAGE: usize = 20;
/// Bytes of them that are written at a time, but at least one message: a page is held while
/// its client takes it.
const PAGE_BYTES: usize = 64 << 10;

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
        }
        Ok(())
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
            SessionEvent::Unavailable | SessionEvent::Ended => {
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
        self.deliveries.lock().unable.is_empty()
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

/// Whether a resource takes messages.
fn is_able(resource: &Resource) -> bool {
    resource.priority().is_some_and(|priority| priority >= 0)
}

/// Who is being given their messages.
#[derive(Default)]
struct Deliveries(Mutex<State>);

#[derive(Default)]
struct State {
    /// Accounts of which one session is at it; `true` if messages have come since it last
    /// looked.
    running: HashMap<BareJid, bool>,
    /// Available sessions with a negative priority.
    unable: HashSet<SessionId>,
}

impl Deliveries {
    /// Notes whether a session that is available takes messages; answers whether it did not
    /// before.
    fn is_able(&self, id: SessionId, able: bool) -> bool {
        let unable = &mut self.lock().unable;
        if able {
            unable.remove(&id)
        } else {
            unable.insert(id);
            false
        }
    }

    fn begin(self: &Arc<Self>, session: &Arc<Session>, server: &Server) {
        self.begin_until(server.now().utc, session, server);
    }

    /// First with what was stored until then.
    fn begin_until(self: &Arc<Self>, until: Timestamp, session: &Arc<Session>, server: &Server) {
        let account = session.bare();
        match self.lock().running.entry(account.clone()) {
            Entry::Occupied(mut running) => {
                running.insert(true);
                return;
            }
            Entry::Vacant(free) => free.insert(false),
        };
        session.add_feed(Box::new(Stored {
            deliveries: self.clone(),
            server: server.clone(),
            account: session.account().clone(),
            to: session.jid().clone(),
            session: session.id(),
            given: 0,
            fit: PAGE,
            done: Vec::new(),
            until,
            running: true,
        }));
    }

    /// There seems to be nothing more in the store: whether that is so and the delivery over.
    fn is_over(&self, account: &BareJid) -> bool {
        let running = &mut self.lock().running;
        match running.get_mut(account.as_str()) {
            Some(again) if *again => {
                *again = false;
                false
            }
            _ => {
                running.remove(account.as_str());
                true
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under this lock can panic half way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The stored messages of one account on their way to one session.
///
/// Those that are stored later than it began are for another delivery behind it: they may be
/// what the session's full queue did not take, and then what is in the queue is older.
struct Stored {
    deliveries: Arc<Deliveries>,
    server: Server,
    account: Arc<Account>,
    to: FullJid,
    session: SessionId,
    /// The last message that was looked at.
    given: u64,
    /// How many may fit into the next page, as far as those before tell.
    fit: usize,
    /// Those of the last page that leave the store when what was given is written.
    done: Vec<u64>,
    until: Timestamp,
    running: bool,
}

#[async_trait]
impl Feed for Stored {
    async fn next(&mut self) -> Vec<Stanza> {
        loop {
            let page = match self.page().await {
                Ok(page) => page,
                // What is left comes with the next presence.
                Err(error) => {
                    let account = self.account.jid();
                    self.server
                        .store_failed("messages not delivered", account, &error);
                    return Vec::new();
                }
            };
            let end = page.partition_point(|message| message.at <= self.until);
            let end = end.min(fitting(&page));
            self.fit = (2 * end).clamp(1, PAGE);
            if let Some(last) = page[..end].last() {
                self.given = last.id;
                let stanzas = self.give(&page[..end]);
                if !stanzas.is_empty() {
                    return stanzas;
                }
            } else if let Some(later) = page.first() {
                self.go_behind(later.at);
                return Vec::new();
            } else if self.deliveries.is_over(self.account.jid()) {
                self.running = false;
                return Vec::new();
            }
        }
    }
}

impl Stored {
    /// The next messages, when those of the page before have been written.
    async fn page(&mut self) -> Result<Vec<OfflineMessage>, StoreError> {
        let (store, account) = (&self.server.stores().offline, self.account.jid());
        if !self.done.is_empty() {
            store.delete(account, &self.done).await?;
            self.done.clear();
        }
        store.page(account, self.given, self.fit).await
    }

    /// What the session gets of some messages.
    fn give(&mut self, messages: &[OfflineMessage]) -> Vec<Stanza> {
        let mut stanzas = Vec::with_capacity(messages.len());
        for message in messages {
            match Stanza::restore(&message.xml) {
                Ok(stanza) => {
                    self.done.push(message.id);
                    stanzas.extend(self.stanza(stanza, message.at));
                }
                // It may be the only copy that there is, for the operator to look at.
                Err(error) => {
                    let (account, id) = (self.account.jid(), message.id);
                    self.server.metrics().unreadable_messages.increment();
                    tracing::error!(%account, id, %error, "stored message unreadable");
                }
            }
        }
        stanzas
    }

    /// Goes on with what was stored since it began, when the session comes to that.
    fn go_behind(&mut self, later: Timestamp) {
        let resource = self.server.bound(&self.to);
        let resource = resource.filter(|resource| resource.id() == self.session);
        let Some(session) = resource.as_ref().and_then(|r| r.session()) else {
            return;
        };
        self.running = false;
        session.add_feed(Box::new(Stored {
            deliveries: self.deliveries.clone(),
            server: self.server.clone(),
            account: self.account.clone(),
            to: self.to.clone(),
            session: self.session,
            given: self.given,
            fit: self.fit,
            done: Vec::new(),
            until: self.server.now().utc.max(later),
            running: true,
        }));
    }

    /// The message as its recipient gets it, if it still does.
    fn stanza(&self, stanza: Stanza, at: Timestamp) -> Option<Stanza> {
        // XEP-0191 §3.3: "the user's server MUST NOT deliver any XML stanzas from the JID"
        if stanza.from().is_some_and(|from| self.account.blocks(from)) {
            return None;
        }
        // It came late to a session already, and was stored when that ended.
        let domain = self.account.jid().domain();
        let is_ours = |child: Child<'_>| {
            child.is("delay", DELAY) && child.attr("from").as_deref() == Some(domain)
        };
        if stanza.payload().children().any(is_ours) {
            return Some(stanza);
        }
        // XEP-0160 §2: "it is RECOMMENDED for the server to add a Delayed Delivery extension"
        let delay = Element::new("delay", DELAY)
            .with_attr("from", domain)
            .with_attr("stamp", &at.to_string())
            .with_text("Offline Storage");
        Some(stanza.with_child(&delay))
    }
}

/// How many of these are a page.
fn fitting(messages: &[OfflineMessage]) -> usize {
    let ends = messages.iter().scan(0, |end, message| {
        *end += message.xml.len();
        Some(*end)
    });
    ends.take_while(|end| *end <= PAGE_BYTES).count().max(1)
}

impl Drop for Stored {
    fn drop(&mut self) {
        if !self.running {
            return;
        }
        let account = self.account.jid();
        self.deliveries.lock().running.remove(account.as_str());
        // If the session ended in the middle, another one of the account gets the rest.
        let ended = self.server.bound(&self.to).map(|r| r.id()) != Some(self.session);
        if ended && let Some(session) = able(account, &self.server) {
            self.deliveries.begin(&session, &self.server);
        }
    }
}

#[cfg(test)]
mod tests;
