//! Who is given the messages that are stored for an account.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::{DELAY, able, is_able_elsewhere};
use crate::account::{Account, AccountChange};
use crate::server::Server;
use crate::session::{Feed, Session, SessionId};
use crate::stanza::{Child, Stanza};
use crate::store::{OfflineMessage, StoreError};
use crate::time::Timestamp;
use crate::xml::Element;
use crate::{BareJid, FullJid};

/// Messages that are read from the store and written to a client at a time.
pub(super) const PAGE: usize = 20;
/// Bytes of them that are written at a time, but at least one message: a page is held while
/// its client takes it.
pub(super) const PAGE_BYTES: usize = 64 << 10;

/// How long other nodes leave it to one to give out an account's messages, should that one say nothing more.
const CLAIM: Duration = Duration::from_secs(60);
/// How long it may take until a node hears of a session that has become available on another.
const HEARSAY: Duration = Duration::from_secs(2);
/// Accounts that are looked at again after a while, at most.
const STORED: usize = 4096;

/// Who is being given their messages.
#[derive(Default)]
pub(super) struct Deliveries(Mutex<State>);

#[derive(Default)]
struct State {
    /// Accounts of which one session is at it; `true` if messages have come since it last
    /// looked.
    running: HashMap<BareJid, bool>,
    /// Available sessions with a negative priority.
    unable: HashSet<SessionId>,
    /// Accounts for which messages were stored a moment ago.
    stored: HashSet<BareJid>,
}

impl Deliveries {
    /// Notes whether a session that is available takes messages; answers whether it did not
    /// before.
    pub(super) fn is_able(&self, id: SessionId, able: bool) -> bool {
        let unable = &mut self.lock().unable;
        if able {
            unable.remove(&id)
        } else {
            unable.insert(id);
            false
        }
    }

    pub(super) fn begin(self: &Arc<Self>, session: &Arc<Session>, server: &Server) {
        self.begin_until(server.now().utc, session, server);
    }

    /// First with what was stored until then.
    pub(super) fn begin_until(
        self: &Arc<Self>,
        until: Timestamp,
        session: &Arc<Session>,
        server: &Server,
    ) {
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
            claimed: false,
        }));
    }

    /// Messages were stored that nobody here can take: who can elsewhere gets them, also one of which this node has
    /// not heard yet.
    pub(super) fn tell_nodes(self: &Arc<Self>, account: &BareJid, server: &Server) {
        if is_able_elsewhere(account, server) {
            server.tell_nodes(account, AccountChange::Messages);
            return;
        }
        let mut state = self.lock();
        if state.stored.len() >= STORED || !state.stored.insert(account.clone()) {
            return;
        }
        drop(state);
        let (deliveries, held, account) = (self.clone(), server.clone(), account.clone());
        server.spawn(async move {
            held.rest(HEARSAY).await;
            deliveries.lock().stored.remove(&account);
            if let Some(session) = able(&account, &held) {
                deliveries.begin(&session, &held);
            } else if is_able_elsewhere(&account, &held) {
                held.tell_nodes(&account, AccountChange::Messages);
            }
        });
    }

    /// Another node gives out an account's messages. Should it not come to an end, somebody here does.
    fn look_again(self: &Arc<Self>, account: &BareJid, server: &Server) {
        let mut state = self.lock();
        state.running.remove(account.as_str());
        if state.stored.len() >= STORED || !state.stored.insert(account.clone()) {
            return;
        }
        drop(state);
        let (deliveries, held, account) = (self.clone(), server.clone(), account.clone());
        server.spawn(async move {
            held.rest(CLAIM).await;
            deliveries.lock().stored.remove(&account);
            if let Some(session) = able(&account, &held) {
                deliveries.begin(&session, &held);
            }
        });
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

    /// Whether nothing is kept of any session.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.lock().unable.is_empty()
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
    /// Whether no other node gives them out.
    claimed: bool,
}

#[async_trait]
impl Feed for Stored {
    async fn next(&mut self) -> Vec<Stanza> {
        loop {
            let page = match self.page().await {
                Ok(Some(page)) => page,
                Ok(None) => {
                    self.running = false;
                    let account = self.account.jid();
                    self.deliveries.look_again(account, &self.server);
                    return Vec::new();
                }
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
                if std::mem::take(&mut self.claimed) {
                    unclaim(self.account.jid(), &self.server).await;
                }
                return Vec::new();
            }
        }
    }

    async fn pause(&mut self) -> bool {
        let account = self.account.jid();
        let store = &self.server.stores().offline;
        if !self.done.is_empty() {
            if let Err(error) = store.delete(account, &self.done).await {
                self.server
                    .store_failed("messages delivered, but stored still", account, &error);
                return false;
            }
            self.done.clear();
        }
        if std::mem::take(&mut self.claimed) {
            unclaim(account, &self.server).await;
        }
        true
    }
}

impl Stored {
    /// The next messages, when those of the page before have been written; `None` if another node
    /// gives them out.
    async fn page(&mut self) -> Result<Option<Vec<OfflineMessage>>, StoreError> {
        let (store, account) = (&self.server.stores().offline, self.account.jid());
        if !self.done.is_empty() {
            store.delete(account, &self.done).await?;
            self.done.clear();
        }
        let page = store.page(account, self.given, self.fit).await?;
        if page.is_empty() || !self.server.shares_accounts() {
            return Ok(Some(page));
        }
        let (holder, now) = (self.server.run(), self.server.now().utc);
        let was_claimed = self.claimed;
        self.claimed = store.claim(account, holder, now, now.plus(CLAIM)).await?;
        match (was_claimed, self.claimed) {
            (_, false) => Ok(None),
            (true, true) => Ok(Some(page)),
            // Whoever had the claim before may have given these.
            (false, true) => store.page(account, self.given, self.fit).await.map(Some),
        }
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
            claimed: std::mem::take(&mut self.claimed),
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
        let account = self.account.jid();
        if self.claimed {
            let (server, account) = (self.server.clone(), account.clone());
            let is_over = !self.running;
            self.server.spawn(async move {
                unclaim(&account, &server).await;
                if !is_over && able(&account, &server).is_none() {
                    server.tell_nodes(&account, AccountChange::Messages);
                }
            });
        }
        if !self.running {
            return;
        }
        self.deliveries.lock().running.remove(account.as_str());
        // If the session ended in the middle, another one of the account gets the rest.
        let ended = self.server.bound(&self.to).map(|r| r.id()) != Some(self.session);
        if ended && let Some(session) = able(account, &self.server) {
            self.deliveries.begin(&session, &self.server);
        }
    }
}

/// Lets other nodes give out an account's messages.
async fn unclaim(account: &BareJid, server: &Server) {
    let (holder, now) = (server.run(), server.now().utc);
    let store = &server.stores().offline;
    if let Err(error) = store.claim(account, holder, now, now).await {
        // It ends by itself.
        tracing::debug!(%account, %error, "claim not given up");
    }
}
