//! All ports in the process: for tests, examples and servers that keep nothing.

mod journal;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{
    Accounts, BlockLists, KeptSession, Offline, OfflineLimits, OfflineMessage, Outbox,
    PrivateElement, PrivateXml, QueuedStanza, Result, RosterItem, Rosters, Sessions, StoreError,
    StoredRoster, VCards,
};
use crate::sasl::Credentials;
use crate::time::Timestamp;
use crate::{BareJid, Jid};

/// Accounts that [`Memory::new`] has room for.
pub const DEFAULT_ACCOUNTS: usize = 100_000;

/// Everything in the memory of the process, gone when it ends.
///
/// It holds a bounded number of accounts. What an account holds is bounded by the
/// limits that the server passes or checks, as with every store.
///
/// ```
/// # futures::executor::block_on(async {
/// use xmpp_core::store::{VCards, memory::Memory};
///
/// let store = Memory::new();
/// let juliet = "juliet@example.com".parse().unwrap();
/// VCards::save(&store, &juliet, "<vCard xmlns='vcard-temp'/>").await?;
/// assert!(VCards::load(&store, &juliet).await?.is_some());
/// # Ok::<(), xmpp_core::store::StoreError>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct Memory {
    state: Mutex<State>,
    room: usize,
}

impl Memory {
    /// An empty store with room for [`DEFAULT_ACCOUNTS`].
    pub fn new() -> Memory {
        Memory::with_room(DEFAULT_ACCOUNTS)
    }

    /// An empty store for at most `accounts` accounts. Beyond them it answers
    /// [`StoreError::Unavailable`].
    pub fn with_room(accounts: usize) -> Memory {
        Memory {
            state: Mutex::default(),
            room: accounts,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No method panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `change` on what is held of an account, with a number that is above all before.
    fn change<T>(&self, account: &BareJid, change: impl FnOnce(&mut Held, u64) -> T) -> Result<T> {
        let mut state = self.state();
        let room = self.has_room(state.held.len(), state.held.contains_key(account));
        state.number += 1;
        let number = state.number;
        room.map(|()| change(state.held.entry(account.clone()).or_default(), number))
    }

    /// Reads what is held of an account; the default if there is nothing.
    fn read<T: Default>(&self, account: &BareJid, read: impl FnOnce(&Held) -> T) -> Result<T> {
        Ok(self.state().held.get(account).map(read).unwrap_or_default())
    }

    /// Clears what a port holds of an account.
    fn clear(&self, account: &BareJid, clear: impl FnOnce(&mut Held)) -> Result<()> {
        let mut state = self.state();
        if let Some(held) = state.held.get_mut(account) {
            clear(held);
            if *held == Held::default() {
                state.held.remove(account);
            }
        }
        Ok(())
    }

    fn has_room(&self, used: usize, known: bool) -> Result<()> {
        if known || used < self.room {
            return Ok(());
        }
        let room = self.room;
        Err(StoreError::Unavailable(format!(
            "all {room} accounts in use"
        )))
    }
}

impl Default for Memory {
    fn default() -> Memory {
        Memory::new()
    }
}

#[derive(Debug, Default)]
struct State {
    /// The last number that was given: to a roster's version, a message's or a stanza's id.
    number: u64,
    accounts: BTreeMap<BareJid, Account>,
    held: BTreeMap<BareJid, Held>,
    /// By domain; none is empty.
    outbox: BTreeMap<BareJid, VecDeque<QueuedStanza>>,
    journal: journal::Kept,
}

#[derive(Debug)]
struct Account {
    credentials: Credentials,
    last_activity: Option<(Timestamp, String)>,
}

/// What the other ports hold of an account, whether or not it is one of ours.
#[derive(Debug, Default, PartialEq)]
struct Held {
    roster_version: u64,
    roster: BTreeMap<BareJid, RosterItem>,
    offline: VecDeque<OfflineMessage>,
    /// Who gives them out, and until when.
    offline_claim: Option<(u64, Timestamp)>,
    /// By name and namespace.
    private_xml: BTreeMap<(String, String), String>,
    vcard: Option<String>,
    block_list: BTreeSet<Jid>,
    /// By name.
    sessions: BTreeMap<String, String>,
}

#[async_trait]
impl Accounts for Memory {
    async fn create(&self, account: &BareJid, credentials: &Credentials) -> Result<bool> {
        let mut state = self.state();
        if state.accounts.contains_key(account) {
            return Ok(false);
        }
        self.has_room(state.accounts.len(), false)?;
        state.held.remove(account);
        state.accounts.insert(
            account.clone(),
            Account {
                credentials: credentials.clone(),
                last_activity: None,
            },
        );
        Ok(true)
    }

    async fn credentials(&self, account: &BareJid) -> Result<Option<Credentials>> {
        let state = self.state();
        let found = state.accounts.get(account);
        Ok(found.map(|account| account.credentials.clone()))
    }

    async fn exists(&self, account: &BareJid) -> Result<bool> {
        Ok(self.state().accounts.contains_key(account))
    }

    async fn set_credentials(&self, account: &BareJid, credentials: &Credentials) -> Result<bool> {
        let mut state = self.state();
        let Some(account) = state.accounts.get_mut(account) else {
            return Ok(false);
        };
        account.credentials = credentials.clone();
        Ok(true)
    }

    async fn delete(&self, account: &BareJid) -> Result<bool> {
        let mut state = self.state();
        state.held.remove(account);
        Ok(state.accounts.remove(account).is_some())
    }

    async fn list(
        &self,
        domain: &str,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<BareJid>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let state = self.state();
        let of_domain = state
            .accounts
            .range::<BareJid, _>((from, Bound::Unbounded))
            .map(|(account, _)| account)
            .filter(|account| account.domain() == domain);
        Ok(of_domain.take(limit).cloned().collect())
    }

    async fn set_last_activity(
        &self,
        account: &BareJid,
        at: Timestamp,
        status: &str,
    ) -> Result<()> {
        if let Some(account) = self.state().accounts.get_mut(account) {
            account.last_activity = Some((at, status.to_owned()));
        }
        Ok(())
    }

    async fn last_activity(&self, account: &BareJid) -> Result<Option<(Timestamp, String)>> {
        let state = self.state();
        let found = state.accounts.get(account);
        Ok(found.and_then(|account| account.last_activity.clone()))
    }
}

#[async_trait]
impl Rosters for Memory {
    async fn load(&self, account: &BareJid) -> Result<StoredRoster> {
        self.read(account, |held| StoredRoster {
            version: held.roster_version,
            items: held.roster.values().cloned().collect(),
        })
    }

    async fn put(&self, account: &BareJid, item: &RosterItem) -> Result<u64> {
        self.change(account, |held, number| {
            held.roster.insert(item.jid.clone(), item.clone());
            held.roster_version = number;
            number
        })
    }

    async fn remove(&self, account: &BareJid, contact: &BareJid) -> Result<u64> {
        self.change(account, |held, number| {
            held.roster.remove(contact);
            held.roster_version = number;
            number
        })
    }

    async fn put_since(
        &self,
        account: &BareJid,
        item: &RosterItem,
        since: u64,
    ) -> Result<Option<u64>> {
        self.change(account, |held, number| {
            (held.roster_version == since).then(|| {
                held.roster.insert(item.jid.clone(), item.clone());
                held.roster_version = number;
                number
            })
        })
    }

    async fn remove_since(
        &self,
        account: &BareJid,
        contact: &BareJid,
        since: u64,
    ) -> Result<Option<u64>> {
        self.change(account, |held, number| {
            (held.roster_version == since).then(|| {
                held.roster.remove(contact);
                held.roster_version = number;
                number
            })
        })
    }

    async fn forget(&self, account: &BareJid) -> Result<()> {
        self.clear(account, |held| {
            held.roster.clear();
            held.roster_version = 0;
        })
    }
}

#[async_trait]
impl Offline for Memory {
    async fn push(
        &self,
        account: &BareJid,
        at: Timestamp,
        xml: &str,
        limits: OfflineLimits,
    ) -> Result<bool> {
        self.change(account, |held, id| {
            let octets: usize = held.offline.iter().map(|message| message.xml.len()).sum();
            if held.offline.len() >= limits.messages || octets + xml.len() > limits.octets {
                return false;
            }
            let xml = xml.to_owned();
            held.offline.push_back(OfflineMessage { id, at, xml });
            true
        })
    }

    async fn page(
        &self,
        account: &BareJid,
        after: u64,
        limit: usize,
    ) -> Result<Vec<OfflineMessage>> {
        self.read(account, |held| {
            let start = held.offline.partition_point(|message| message.id <= after);
            held.offline.range(start..).take(limit).cloned().collect()
        })
    }

    async fn delete(&self, account: &BareJid, ids: &[u64]) -> Result<()> {
        self.clear(account, |held| {
            for id in ids {
                if let Ok(at) = held.offline.binary_search_by_key(id, |message| message.id) {
                    held.offline.remove(at);
                }
            }
        })
    }

    async fn claim(
        &self,
        account: &BareJid,
        holder: u64,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool> {
        if until <= now {
            let others = |claim: &(u64, Timestamp)| claim.0 != holder;
            self.clear(account, |held| {
                held.offline_claim = held.offline_claim.filter(others)
            })?;
            return Ok(true);
        }
        self.change(account, |held, _| {
            let claim = &mut held.offline_claim;
            let free = claim.is_none_or(|(by, until)| by == holder || until <= now);
            if free {
                *claim = Some((holder, until));
            }
            free
        })
    }

    async fn count(&self, account: &BareJid) -> Result<usize> {
        self.read(account, |held| held.offline.len())
    }

    async fn forget(&self, account: &BareJid) -> Result<()> {
        self.clear(account, |held| held.offline = VecDeque::new())
    }
}

#[async_trait]
impl PrivateXml for Memory {
    async fn load(&self, account: &BareJid, name: &str, namespace: &str) -> Result<Option<String>> {
        let key = (name.to_owned(), namespace.to_owned());
        self.read(account, |held| held.private_xml.get(&key).cloned())
    }

    async fn save(
        &self,
        account: &BareJid,
        elements: &[PrivateElement],
        limit: usize,
    ) -> Result<bool> {
        let new = elements.iter().map(|element| {
            let key = (element.name.clone(), element.namespace.clone());
            (key, element.xml.clone())
        });
        self.change(account, |held, _| {
            let mut all = held.private_xml.clone();
            all.extend(new);
            let fits = all.values().map(String::len).sum::<usize>() <= limit;
            if fits {
                held.private_xml = all;
            }
            fits
        })
    }

    async fn forget(&self, account: &BareJid) -> Result<()> {
        self.clear(account, |held| held.private_xml.clear())
    }
}

#[async_trait]
impl VCards for Memory {
    async fn load(&self, account: &BareJid) -> Result<Option<String>> {
        self.read(account, |held| held.vcard.clone())
    }

    async fn save(&self, account: &BareJid, xml: &str) -> Result<()> {
        self.change(account, |held, _| held.vcard = Some(xml.to_owned()))
    }

    async fn forget(&self, account: &BareJid) -> Result<()> {
        self.clear(account, |held| held.vcard = None)
    }
}

#[async_trait]
impl BlockLists for Memory {
    async fn load(&self, account: &BareJid) -> Result<Vec<Jid>> {
        self.read(account, |held| held.block_list.iter().cloned().collect())
    }

    async fn change(&self, account: &BareJid, add: &[Jid], remove: &[Jid]) -> Result<()> {
        Memory::change(self, account, |held, _| {
            for jid in remove {
                held.block_list.remove(jid);
            }
            held.block_list.extend(add.iter().cloned());
        })
    }

    async fn forget(&self, account: &BareJid) -> Result<()> {
        self.clear(account, |held| held.block_list.clear())
    }
}

#[async_trait]
impl Sessions for Memory {
    async fn keep(&self, account: &BareJid, name: &str, state: &str) -> Result<()> {
        self.change(account, |held, _| {
            held.sessions.insert(name.to_owned(), state.to_owned());
        })
    }

    async fn kept(
        &self,
        after: Option<(&BareJid, &str)>,
        limit: usize,
    ) -> Result<Vec<KeptSession>> {
        let state = self.state();
        let from = after.map_or(Bound::Unbounded, |(account, _)| Bound::Included(account));
        let sessions = state
            .held
            .range::<BareJid, _>((from, Bound::Unbounded))
            .flat_map(|(account, held)| held.sessions.iter().map(move |kept| (account, kept)))
            .filter(|(account, (name, _))| {
                after.is_none_or(|after| (*account, name.as_str()) > after)
            });
        let kept = sessions.map(|(account, (name, state))| KeptSession {
            account: account.clone(),
            name: name.clone(),
            state: state.clone(),
        });
        Ok(kept.take(limit).collect())
    }

    async fn release(&self, account: &BareJid, name: &str) -> Result<()> {
        self.clear(account, |held| {
            held.sessions.remove(name);
        })
    }

    async fn forget(&self, account: &BareJid) -> Result<()> {
        self.clear(account, |held| held.sessions.clear())
    }
}

#[async_trait]
impl Outbox for Memory {
    async fn enqueue(&self, domain: &BareJid, stanzas: &[(Timestamp, String)]) -> Result<Vec<u64>> {
        let mut state = self.state();
        self.has_room(state.outbox.len(), state.outbox.contains_key(domain))?;
        if stanzas.is_empty() {
            return Ok(Vec::new());
        }
        let first = state.number + 1;
        let ids: Vec<u64> = (first..).take(stanzas.len()).collect();
        state.number += stanzas.len() as u64;
        let new = ids.iter().zip(stanzas).map(|(id, (at, xml))| QueuedStanza {
            id: *id,
            at: *at,
            xml: xml.clone(),
        });
        let queue = state.outbox.entry(domain.clone()).or_default();
        queue.extend(new);
        Ok(ids)
    }

    async fn queued(
        &self,
        domain: &BareJid,
        after: u64,
        limit: usize,
    ) -> Result<Vec<QueuedStanza>> {
        let state = self.state();
        let Some(queue) = state.outbox.get(domain) else {
            return Ok(Vec::new());
        };
        let start = queue.partition_point(|stanza| stanza.id <= after);
        Ok(queue.range(start..).take(limit).cloned().collect())
    }

    async fn dequeue(&self, domain: &BareJid, ids: &[u64]) -> Result<()> {
        let mut state = self.state();
        let Some(queue) = state.outbox.get_mut(domain) else {
            return Ok(());
        };
        for id in ids {
            if let Ok(at) = queue.binary_search_by_key(id, |stanza| stanza.id) {
                queue.remove(at);
            }
        }
        if queue.is_empty() {
            state.outbox.remove(domain);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_store_takes_no_account_and_keeps_those_it_has() {
        let store = Memory::with_room(1);
        let none = Credentials::default();
        let [ann, bob] = ["ann@example.com", "bob@example.com"].map(|jid| {
            let jid: BareJid = jid.parse().unwrap();
            jid
        });
        assert!(store.create(&ann, &none).await.unwrap());
        VCards::save(&store, &ann, "<vCard/>").await.unwrap();
        assert!(matches!(
            store.create(&bob, &none).await,
            Err(StoreError::Unavailable(_))
        ));
        assert!(matches!(
            VCards::save(&store, &bob, "<vCard/>").await,
            Err(StoreError::Unavailable(_))
        ));
        VCards::save(&store, &ann, "<vCard>new</vCard>")
            .await
            .unwrap();
        assert!(Accounts::delete(&store, &ann).await.unwrap());
        assert!(store.create(&bob, &none).await.unwrap());
    }
}
