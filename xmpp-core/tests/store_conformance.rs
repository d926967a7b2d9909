//! The conformance suite, held against the store in memory and against stores that are
//! known to be wrong: a suite that lets them pass is worth nothing.

#![allow(clippy::unwrap_used)]

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::FutureExt;
use xmpp_core::sasl::{Credentials, Keys};
use xmpp_core::store::memory::Memory;
use xmpp_core::store::*;
use xmpp_core::time::Timestamp;
use xmpp_core::{BareJid, Jid};

#[tokio::test]
async fn memory_conforms() {
    conformance::all(async || Stores::memory()).await;
    conformance::shared(async || Stores::memory()).await;
    conformance::journal(async || Arc::new(Memory::new()) as Arc<dyn Journal>).await;
}

#[tokio::test]
async fn the_suite_finds_every_planted_fault() {
    assert!(conforms(None).await, "the wrapper itself is at fault");
    for fault in FAULTS {
        assert!(!conforms(Some(fault)).await, "not found: {fault:?}");
    }
}

async fn conforms(fault: Option<Fault>) -> bool {
    let make = async || {
        Stores::from_one(Arc::new(Faulty {
            inner: Stores::memory(),
            fault,
            pushes: AtomicUsize::new(0),
            restart: AtomicU64::new(0),
        }))
    };
    let suite = AssertUnwindSafe(conformance::all(make)).catch_unwind();
    suite.await.is_ok()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    CreateOverwrites,
    CreateKeepsLeftovers,
    CreateManyCountsAll,
    CredentialsLoseAHash,
    DeleteLeavesData,
    DeleteSaysAlwaysYes,
    ListForgetsOrder,
    ListMixesDomains,
    ListIncludesAfter,
    LastActivityOfNobody,
    RosterVersionStands,
    RosterVersionRestarts,
    RosterLosesGroups,
    RosterOfAnother,
    RosterRemoveDoesNothing,
    RosterChangesOvertake,
    PushDropsEveryTenth,
    PushDropsLongTexts,
    PushesOvertake,
    PushIgnoresLimit,
    PushIgnoresOctets,
    PushLimitIsGlobal,
    PushNormalises,
    PageLeaksAnother,
    PageRepeats,
    OfflineDeletesAllButTheLast,
    OfflineDeletesAll,
    OfflineDeletesUpTo,
    OfflineDeletesOfAnother,
    IdsRestart,
    PrivateIgnoresNamespace,
    PrivateLimitForgetsOthers,
    PrivateLimitCountsCharacters,
    PrivateSavesTheFirst,
    PrivateSavesOneByOne,
    VCardKeepsTheFirst,
    VCardTrims,
    BlockListIsReplaced,
    BlockListIgnoresResource,
    BlockListRemovesLast,
    SessionsShareAName,
    SessionKeepsTheFirst,
    SessionTrims,
    SessionPageSkipsTheAccount,
    SessionPageForgetsOrder,
    SessionIsNeverReleased,
    SessionReleasesAll,
    OutboxForgetsTheLast,
    OutboxReverses,
    OutboxTrims,
    OutboxStampsAnew,
    OutboxMixesDomains,
    OutboxPutsOvertake,
    OutboxPageRepeats,
    OutboxPageIgnoresLimit,
    OutboxIsNeverEmptied,
    OutboxDeletesUpTo,
    OutboxDeletesOfAnother,
    OutboxIdsRestart,
    ForgetDoesNothing,
}

use Fault::*;

/// Limits that are not reached.
const MANY: OfflineLimits = OfflineLimits {
    messages: 9,
    octets: 9999,
};

const FAULTS: [Fault; 60] = [
    CreateOverwrites,
    CreateKeepsLeftovers,
    CreateManyCountsAll,
    CredentialsLoseAHash,
    DeleteLeavesData,
    DeleteSaysAlwaysYes,
    ListForgetsOrder,
    ListMixesDomains,
    ListIncludesAfter,
    LastActivityOfNobody,
    RosterVersionStands,
    RosterVersionRestarts,
    RosterLosesGroups,
    RosterOfAnother,
    RosterRemoveDoesNothing,
    RosterChangesOvertake,
    PushDropsEveryTenth,
    PushDropsLongTexts,
    PushesOvertake,
    PushIgnoresLimit,
    PushIgnoresOctets,
    PushLimitIsGlobal,
    PushNormalises,
    PageLeaksAnother,
    PageRepeats,
    OfflineDeletesAllButTheLast,
    OfflineDeletesAll,
    OfflineDeletesUpTo,
    OfflineDeletesOfAnother,
    IdsRestart,
    PrivateIgnoresNamespace,
    PrivateLimitForgetsOthers,
    PrivateLimitCountsCharacters,
    PrivateSavesTheFirst,
    PrivateSavesOneByOne,
    VCardKeepsTheFirst,
    VCardTrims,
    BlockListIsReplaced,
    BlockListIgnoresResource,
    BlockListRemovesLast,
    SessionsShareAName,
    SessionKeepsTheFirst,
    SessionTrims,
    SessionPageSkipsTheAccount,
    SessionPageForgetsOrder,
    SessionIsNeverReleased,
    SessionReleasesAll,
    OutboxForgetsTheLast,
    OutboxReverses,
    OutboxTrims,
    OutboxStampsAnew,
    OutboxMixesDomains,
    OutboxPutsOvertake,
    OutboxPageRepeats,
    OutboxPageIgnoresLimit,
    OutboxIsNeverEmptied,
    OutboxDeletesUpTo,
    OutboxDeletesOfAnother,
    OutboxIdsRestart,
    ForgetDoesNothing,
];

/// A good store with one fault.
struct Faulty {
    inner: Stores,
    fault: Option<Fault>,
    pushes: AtomicUsize,
    restart: AtomicU64,
}

impl Faulty {
    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// Where what belongs to all accounts of some kind is kept by mistake.
    fn one(&self, fault: Fault, account: &BareJid) -> BareJid {
        match self.has(fault) {
            true => account.domain_jid(),
            false => account.clone(),
        }
    }

    /// Lets every third call wait, so that the next overtakes it.
    async fn tarry(&self, fault: Fault) {
        let turn = self.pushes.fetch_add(1, Ordering::Relaxed);
        if self.has(fault) && turn.is_multiple_of(3) {
            tokio::task::yield_now().await;
        }
    }
}

#[async_trait]
impl Accounts for Faulty {
    async fn create(&self, account: &BareJid, credentials: &Credentials) -> Result<bool> {
        let store = &self.inner.accounts;
        if self.has(CreateOverwrites) {
            store.set_credentials(account, credentials).await?;
        }
        if self.has(CreateKeepsLeftovers) && !store.exists(account).await? {
            let left = self.inner.offline.page(account, 0, 9).await?;
            let created = store.create(account, credentials).await?;
            for message in left {
                let (at, xml) = (message.at, &message.xml);
                self.inner.offline.push(account, at, xml, MANY).await?;
            }
            return Ok(created);
        }
        store.create(account, credentials).await
    }

    async fn create_many(&self, accounts: &[(BareJid, Credentials)]) -> Result<usize> {
        let new = self.inner.accounts.create_many(accounts).await?;
        match self.has(CreateManyCountsAll) {
            true => Ok(accounts.len()),
            false => Ok(new),
        }
    }

    async fn credentials(&self, account: &BareJid) -> Result<Option<Credentials>> {
        let found = self.inner.accounts.credentials(account).await?;
        if self.has(CredentialsLoseAHash) {
            let all_but_one = |all: Credentials| {
                let kept: Vec<Keys> = all.iter().skip(1).cloned().collect();
                kept.into_iter().collect()
            };
            return Ok(found.map(all_but_one));
        }
        Ok(found)
    }

    async fn exists(&self, account: &BareJid) -> Result<bool> {
        self.inner.accounts.exists(account).await
    }

    async fn set_credentials(&self, account: &BareJid, credentials: &Credentials) -> Result<bool> {
        let store = &self.inner.accounts;
        store.set_credentials(account, credentials).await
    }

    async fn delete(&self, account: &BareJid) -> Result<bool> {
        let vcard = self.inner.vcards.load(account).await?;
        let deleted = self.inner.accounts.delete(account).await?;
        if self.has(DeleteLeavesData)
            && let Some(vcard) = vcard
        {
            self.inner.vcards.save(account, &vcard).await?;
        }
        Ok(deleted || self.has(DeleteSaysAlwaysYes))
    }

    async fn list(
        &self,
        domain: &str,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<BareJid>> {
        let store = &self.inner.accounts;
        let mut found = store.list(domain, after, limit).await?;
        if self.has(ListForgetsOrder) {
            found.reverse();
        }
        if self.has(ListMixesDomains) {
            found.extend(store.list("sub.example.com", after, limit).await?);
            found.truncate(limit);
        }
        if self.has(ListIncludesAfter) {
            found.splice(0..0, after.cloned());
            found.truncate(limit);
        }
        Ok(found)
    }

    async fn set_last_activity(
        &self,
        account: &BareJid,
        at: Timestamp,
        status: &str,
    ) -> Result<()> {
        let store = &self.inner.accounts;
        if self.has(LastActivityOfNobody) {
            store.create(account, &Credentials::default()).await?;
        }
        store.set_last_activity(account, at, status).await
    }

    async fn last_activity(&self, account: &BareJid) -> Result<Option<(Timestamp, String)>> {
        self.inner.accounts.last_activity(account).await
    }
}

#[async_trait]
impl Rosters for Faulty {
    async fn load(&self, account: &BareJid) -> Result<StoredRoster> {
        let account = self.one(RosterOfAnother, account);
        let mut roster = self.inner.rosters.load(&account).await?;
        if self.has(RosterVersionStands) {
            roster.version = u64::from(roster.version > 0);
        }
        roster.version -= self.restart.load(Ordering::Relaxed).min(roster.version);
        if self.has(RosterLosesGroups) {
            for item in &mut roster.items {
                item.groups.truncate(100);
            }
        }
        Ok(roster)
    }

    async fn put(&self, account: &BareJid, item: &RosterItem) -> Result<u64> {
        self.tarry(RosterChangesOvertake).await;
        let account = self.one(RosterOfAnother, account);
        let version = self.inner.rosters.put(&account, item).await?;
        if self.has(RosterVersionStands) {
            return Ok(1);
        }
        Ok(version - self.restart.load(Ordering::Relaxed))
    }

    async fn remove(&self, account: &BareJid, contact: &BareJid) -> Result<u64> {
        let account = self.one(RosterOfAnother, account);
        if self.has(RosterRemoveDoesNothing) {
            return Ok(self.inner.rosters.load(&account).await?.version);
        }
        self.inner.rosters.remove(&account, contact).await
    }

    async fn forget(&self, account: &BareJid) -> Result<()> {
        if self.has(RosterVersionRestarts) {
            let version = self.inner.rosters.load(account).await?.version;
            self.restart.fetch_max(version, Ordering::Relaxed);
        }
        self.inner.rosters.forget(account).await
    }
}

#[async_trait]
impl Offline for Faulty {
    async fn push(
        &self,
        account: &BareJid,
        at: Timestamp,
        xml: &str,
        limits: OfflineLimits,
    ) -> Result<bool> {
        let limit = limits.messages;
        let store = &self.inner.offline;
        self.tarry(PushesOvertake).await;
        let turn = self.pushes.load(Ordering::Relaxed);
        if self.has(PushDropsEveryTenth) && turn.is_multiple_of(10)
            || self.has(PushDropsLongTexts) && xml.len() > 65_535
        {
            return Ok(store.count(account).await? < limit);
        }
        if self.has(PushIgnoresLimit) {
            let messages = usize::MAX;
            let limits = OfflineLimits { messages, ..limits };
            return store.push(account, at, xml, limits).await;
        }
        if self.has(PushIgnoresOctets) {
            let octets = usize::MAX;
            let limits = OfflineLimits { octets, ..limits };
            return store.push(account, at, xml, limits).await;
        }
        if self.has(PushLimitIsGlobal) {
            let bob: BareJid = "bob@example.com".parse().unwrap();
            let ann: BareJid = "ann@example.com".parse().unwrap();
            let count = store.count(&ann).await? + store.count(&bob).await?;
            return match count < limit {
                true => store.push(account, at, xml, limits).await,
                false => Ok(false),
            };
        }
        if self.has(PushNormalises) {
            let xml = xml.replace("U\u{308}", "Ü");
            return store.push(account, at, &xml, limits).await;
        }
        store.push(account, at, xml, limits).await
    }

    async fn page(
        &self,
        account: &BareJid,
        after: u64,
        limit: usize,
    ) -> Result<Vec<OfflineMessage>> {
        let store = &self.inner.offline;
        if self.has(PageLeaksAnother) && store.count(account).await? == 0 {
            let ann: BareJid = "ann@example.com".parse().unwrap();
            return store.page(&ann, after, limit).await;
        }
        if self.has(PageRepeats) {
            return store.page(account, after.saturating_sub(1), limit).await;
        }
        let mut page = store.page(account, after, limit).await?;
        if self.has(IdsRestart) {
            for (message, id) in page.iter_mut().zip(after + 1..) {
                message.id = id;
            }
        }
        Ok(page)
    }

    async fn delete(&self, account: &BareJid, ids: &[u64]) -> Result<()> {
        let store = &self.inner.offline;
        let (last, others) = ids.split_last().unzip();
        match self.fault {
            Some(OfflineDeletesAllButTheLast) => store.delete(account, others.unwrap_or(&[])).await,
            Some(OfflineDeletesAll) => store.forget(account).await,
            // And what lies between them.
            Some(OfflineDeletesUpTo) => {
                let page = store.page(account, 0, usize::MAX).await?;
                let ids = page.iter().map(|message| message.id);
                let ids: Vec<u64> = ids.filter(|id| Some(id) <= last).collect();
                store.delete(account, &ids).await
            }
            Some(OfflineDeletesOfAnother) => {
                for other in ["ann@example.com", "bob@example.com"] {
                    store.delete(&other.parse().unwrap(), ids).await?;
                }
                store.delete(account, ids).await
            }
            _ => store.delete(account, ids).await,
        }
    }

    async fn count(&self, account: &BareJid) -> Result<usize> {
        self.inner.offline.count(account).await
    }

    async fn forget(&self, account: &BareJid) -> Result<()> {
        self.inner.offline.forget(account).await
    }
}

#[async_trait]
impl PrivateXml for Faulty {
    async fn load(&self, account: &BareJid, name: &str, namespace: &str) -> Result<Option<String>> {
        let namespace = match self.has(PrivateIgnoresNamespace) {
            true => "",
            false => namespace,
        };
        self.inner.private_xml.load(account, name, namespace).await
    }

    async fn save(
        &self,
        account: &BareJid,
        elements: &[PrivateElement],
        limit: usize,
    ) -> Result<bool> {
        let store = &self.inner.private_xml;
        let mut elements = elements.to_vec();
        let octets: usize = elements.iter().map(|element| element.xml.len()).sum();
        let mut limit = limit;
        match self.fault {
            Some(PrivateIgnoresNamespace) => {
                for element in &mut elements {
                    element.namespace.clear();
                }
            }
            Some(PrivateLimitForgetsOthers) if octets > limit => return Ok(false),
            Some(PrivateLimitForgetsOthers) => limit = usize::MAX,
            Some(PrivateLimitCountsCharacters) => {
                let xml = elements.iter().map(|element| &element.xml);
                limit += octets - xml.map(|xml| xml.chars().count()).sum::<usize>();
            }
            Some(PrivateSavesTheFirst) => elements.truncate(1),
            Some(PrivateSavesOneByOne) => {
                for element in elements {
                    if !store.save(account, &[element], limit).await? {
                        return Ok(false);
                    }
                }
                return Ok(true);
            }
            _ => {}
        }
        store.save(account, &elements, limit).await
    }

    async fn forget(&self, account: &BareJid) -> Result<()> {
        self.inner.private_xml.forget(account).await
    }
}

#[async_trait]
impl VCards for Faulty {
    async fn load(&self, account: &BareJid) -> Result<Option<String>> {
        self.inner.vcards.load(account).await
    }

    async fn save(&self, account: &BareJid, xml: &str) -> Result<()> {
        let store = &self.inner.vcards;
        if self.has(VCardKeepsTheFirst) && store.load(account).await?.is_some() {
            return Ok(());
        }
        let xml = match self.has(VCardTrims) {
            true => xml.trim(),
            false => xml,
        };
        store.save(account, xml).await
    }

    async fn forget(&self, account: &BareJid) -> Result<()> {
        if self.has(ForgetDoesNothing) {
            return Ok(());
        }
        self.inner.vcards.forget(account).await
    }
}

#[async_trait]
impl BlockLists for Faulty {
    async fn load(&self, account: &BareJid) -> Result<Vec<Jid>> {
        self.inner.block_lists.load(account).await
    }

    async fn change(&self, account: &BareJid, add: &[Jid], remove: &[Jid]) -> Result<()> {
        let store = &self.inner.block_lists;
        if self.has(BlockListIsReplaced) {
            store.forget(account).await?;
        }
        if self.has(BlockListIgnoresResource) {
            let add: Vec<Jid> = add.iter().map(|jid| jid.to_bare().into()).collect();
            return store.change(account, &add, remove).await;
        }
        if self.has(BlockListRemovesLast) {
            store.change(account, add, &[]).await?;
            return store.change(account, &[], remove).await;
        }
        store.change(account, add, remove).await
    }

    async fn forget(&self, account: &BareJid) -> Result<()> {
        self.inner.block_lists.forget(account).await
    }
}

#[async_trait]
impl Sessions for Faulty {
    async fn keep(&self, account: &BareJid, name: &str, state: &str) -> Result<()> {
        let store = &self.inner.sessions;
        let name = match self.has(SessionsShareAName) {
            true => "one",
            false => name,
        };
        if self.has(SessionKeepsTheFirst) {
            let kept = store.kept(None, usize::MAX).await?;
            let is_same = |kept: &KeptSession| kept.account == *account && kept.name == name;
            if kept.iter().any(is_same) {
                return Ok(());
            }
        }
        let state = match self.has(SessionTrims) {
            true => state.trim(),
            false => state,
        };
        store.keep(account, name, state).await
    }

    async fn kept(
        &self,
        after: Option<(&BareJid, &str)>,
        limit: usize,
    ) -> Result<Vec<KeptSession>> {
        let store = &self.inner.sessions;
        // As one who compares the account alone.
        if let (true, Some((account, _))) = (self.has(SessionPageSkipsTheAccount), after) {
            let mut kept = store.kept(after, usize::MAX).await?;
            kept.retain(|kept| kept.account != *account);
            kept.truncate(limit);
            return Ok(kept);
        }
        let mut kept = store.kept(after, limit).await?;
        if self.has(SessionPageForgetsOrder) {
            kept.reverse();
        }
        Ok(kept)
    }

    async fn release(&self, account: &BareJid, name: &str) -> Result<()> {
        if self.has(SessionIsNeverReleased) {
            return Ok(());
        }
        if self.has(SessionReleasesAll) {
            return self.inner.sessions.forget(account).await;
        }
        self.inner.sessions.release(account, name).await
    }

    async fn forget(&self, account: &BareJid) -> Result<()> {
        if self.has(ForgetDoesNothing) {
            return Ok(());
        }
        self.inner.sessions.forget(account).await
    }
}

#[async_trait]
impl Outbox for Faulty {
    async fn enqueue(&self, domain: &BareJid, stanzas: &[(Timestamp, String)]) -> Result<Vec<u64>> {
        self.tarry(OutboxPutsOvertake).await;
        let store = &self.inner.outbox;
        let mut stanzas = stanzas.to_vec();
        if self.has(OutboxReverses) {
            stanzas.reverse();
        }
        for (at, text) in &mut stanzas {
            if self.has(OutboxTrims) {
                *text = text.trim().to_owned();
            }
            if self.has(OutboxStampsAnew) {
                *at = Timestamp(2);
            }
        }
        let domain = match self.has(OutboxMixesDomains) {
            true => &"example.org".parse().unwrap(),
            false => domain,
        };
        let ids = store.enqueue(domain, &stanzas).await?;
        if self.has(OutboxForgetsTheLast)
            && let Some(last) = ids.last()
        {
            store.dequeue(domain, &[*last]).await?;
        }
        if self.has(OutboxIdsRestart) {
            let first = store.queued(domain, 0, 1).await?;
            let first = first.first().map_or(0, |stanza| stanza.id);
            return Ok(ids.into_iter().map(|id| id - first + 1).collect());
        }
        Ok(ids)
    }

    async fn queued(
        &self,
        domain: &BareJid,
        after: u64,
        limit: usize,
    ) -> Result<Vec<QueuedStanza>> {
        let store = &self.inner.outbox;
        let domain = match self.has(OutboxMixesDomains) {
            true => &"example.org".parse().unwrap(),
            false => domain,
        };
        let after = match self.has(OutboxPageRepeats) {
            true => after.saturating_sub(1),
            false => after,
        };
        let limit = match self.has(OutboxPageIgnoresLimit) {
            true => usize::MAX,
            false => limit,
        };
        let mut page = store.queued(domain, after, limit).await?;
        if self.has(OutboxIdsRestart) {
            let first = store.queued(domain, 0, 1).await?;
            let first = first.first().map_or(0, |stanza| stanza.id);
            page.iter_mut()
                .for_each(|stanza| stanza.id = stanza.id - first + 1);
        }
        Ok(page)
    }

    async fn dequeue(&self, domain: &BareJid, ids: &[u64]) -> Result<()> {
        let store = &self.inner.outbox;
        if self.has(OutboxIsNeverEmptied) {
            return Ok(());
        }
        if self.has(OutboxDeletesUpTo)
            && let Some(last) = ids.iter().max()
        {
            let all = store.queued(domain, 0, usize::MAX).await?;
            let ids = all.iter().map(|stanza| stanza.id);
            let ids: Vec<u64> = ids.filter(|id| id <= last).collect();
            return store.dequeue(domain, &ids).await;
        }
        if self.has(OutboxDeletesOfAnother) {
            for domain in ["example.com", "sub.example.com"] {
                store.dequeue(&domain.parse().unwrap(), ids).await?;
            }
        }
        store.dequeue(domain, ids).await
    }
}

#[tokio::test]
async fn a_memory_store_without_room_fails_the_suite_with_the_stores_own_words() {
    let make = async || Stores::from_one(Arc::new(Memory::with_room(0)));
    let suite = AssertUnwindSafe(conformance::accounts(make)).catch_unwind();
    let panic = suite.await.unwrap_err();
    let text = panic.downcast::<String>().unwrap();
    assert!(text.contains("all 0 accounts in use"), "{text}");
}
