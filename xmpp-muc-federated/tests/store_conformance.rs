//! The conformance suite, held against the store in memory and against stores that are known to be wrong: a suite that lets them
//! pass is worth nothing.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::FutureExt;
use xmpp_core::store::{Result, StoreError};
use xmpp_core::time::Timestamp;
use xmpp_core::{BareJid, Jid};
use xmpp_muc_federated::room::Affiliation;
use xmpp_muc_federated::store::memory::Memory;
use xmpp_muc_federated::store::{
    Change, Entry, FederationChange, Listed, Rooms, StoredEvent, StoredFederation, StoredMessage,
    StoredRoom, conformance,
};

#[tokio::test]
async fn memory_conforms() {
    conformance::rooms(async || Arc::new(Memory::new()) as Arc<dyn Rooms>).await;
}

#[tokio::test]
async fn the_suite_finds_every_planted_fault() {
    assert!(conforms(None).await, "the wrapper itself is at fault");
    for fault in FAULTS {
        assert!(!conforms(Some(fault)).await, "not found: {fault:?}");
    }
}

#[tokio::test]
async fn a_store_that_is_full_takes_no_more_rooms_and_leaves_those_it_has() {
    let store = Memory::with_room(1);
    let state = |state: &str| Change::State {
        state: state.into(),
        listed: true,
        name: None,
    };
    let (a, b) = (bare("a@rooms.example"), bare("b@rooms.example"));
    store.apply(&a, &[state("1")]).await.unwrap();
    // Nobody has to try that again.
    let full = store.apply(&b, &[state("1")]).await;
    assert!(matches!(full, Err(StoreError::Refused(_))), "{full:?}");
    assert_eq!(store.load(&b).await.unwrap(), None);
    store.apply(&a, &[state("2")]).await.unwrap();
    store.apply(&a, &[Change::Destroyed]).await.unwrap();
    store.apply(&b, &[state("1")]).await.unwrap();
}

async fn conforms(fault: Option<Fault>) -> bool {
    let make = async || {
        Arc::new(Faulty {
            inner: Memory::new(),
            fault,
            calls: AtomicUsize::new(0),
            twice: Mutex::default(),
        }) as Arc<dyn Rooms>
    };
    let suite = AssertUnwindSafe(conformance::rooms(make)).catch_unwind();
    suite.await.is_ok()
}

macro_rules! faults {
    ($($fault:ident,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq)]
        enum Fault {
            $($fault,)*
        }

        use Fault::*;

        const FAULTS: [Fault; 80] = [$($fault,)*];
    };
}

faults! {
    StateTrims,
    StateKeepsTheFirst,
    StateForgetsEntries,
    NameIsLost,
    NameStays,
    EntriesForgetTheNick,
    EntriesForgetTheReason,
    EntriesIgnoreTheResource,
    EntriesKeepTheFirst,
    NoneIsNoEntry,
    NoEntryRemovesTheDomain,
    NoEntryDoesNothing,
    MessagesReverse,
    MessagesOrderById,
    MessagesLoseTheirTime,
    MessagesAreCut,
    MessagesComeTwice,
    MessagesAreReplaced,
    MessagesAreOfAll,
    HistoryIsTheOldest,
    HistoryIgnoresLimit,
    KeepDoesNothing,
    KeepKeepsTheOldest,
    KeepIsLate,
    ApplyLosesTheLast,
    ApplyReverses,
    CallsOvertake,
    AnythingMakesRooms,
    DestroyDoesNothing,
    DestroyLeavesMessages,
    DestroyLeavesEntries,
    DestroyIsLate,
    RoomsOfOneNameMix,
    ListShowsHidden,
    ListReverses,
    ListIncludesAfter,
    ListIgnoresLimit,
    ListNeedsAfter,
    ListMixesServices,
    CountIsOfListed,
    CountMixesServices,
    LinksAreCut,
    LinksKeepTheFirst,
    LinksAreOne,
    NoLinkDoesNothing,
    NoLinkRemovesTheDomain,
    HaveIsLost,
    HaveTrims,
    HaveKeepsTheFirst,
    EventsReverse,
    EventsOrderByName,
    EventsLoseTheirTime,
    EventsAreCut,
    EventsComeTwice,
    EventsAreReplaced,
    EventsForgetTheNode,
    EventsForgetTheEpoch,
    EventsAreNarrow,
    KeepEventsDoesNothing,
    KeepEventsKeepsTheOldest,
    KeepEventsIsLate,
    KeepEventsKeepsMessages,
    StateForgetsFederation,
    DestroyLeavesFederation,
    FederationMixes,
    StatesAreListed,
    StatesMixServices,
    StatesLackText,
    StatesReverse,
    StatesIncludeAfter,
    StatesNeedAfter,
    StatesIgnoreLimit,
    LinkedAreListed,
    LinkedAreAll,
    LinkedComeForEachLink,
    LinkedReverse,
    LinkedIncludeAfter,
    LinkedIgnoreLimit,
    LinkedNeedAfter,
    LinkedMixServices,
}

struct Faulty {
    inner: Memory,
    fault: Option<Fault>,
    calls: AtomicUsize,
    twice: Mutex<HashMap<BareJid, Vec<StoredEvent>>>,
}

impl Faulty {
    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// The room that is meant.
    fn room(&self, room: &BareJid) -> BareJid {
        match self.has(RoomsOfOneNameMix) {
            true => bare(&format!("{}@rooms.example.org", room.local().unwrap())),
            false => room.clone(),
        }
    }

    /// All messages of a room as changes.
    async fn messages(&self, room: &BareJid) -> Vec<Change> {
        let all = self.inner.history(room, usize::MAX).await.unwrap();
        all.into_iter().map(Change::Message).collect()
    }

    /// All that a room knows of its other nodes as changes.
    async fn federation_of(&self, room: &BareJid) -> Vec<Change> {
        let stored = self.inner.federation(room).await.unwrap();
        let links = stored.links.into_iter().map(FederationChange::Link);
        let have = stored.have.map(FederationChange::Have);
        let events = stored.events.into_iter().map(FederationChange::Event);
        let all = links.chain(have).chain(events);
        all.map(Change::Federation).collect()
    }

    /// What is really done for a change of what a room knows of its other nodes.
    async fn federate(&self, room: &BareJid, change: FederationChange) -> Vec<Change> {
        use FederationChange::*;
        let fault = self.fault.unwrap_or(ApplyReverses);
        let stored = self.inner.federation(room).await.unwrap();
        let all =
            |changes: Vec<FederationChange>| changes.into_iter().map(Change::Federation).collect();
        let anew = |events: Vec<StoredEvent>| {
            let events = events.into_iter().map(Event);
            all([KeepEvents(0)].into_iter().chain(events).collect())
        };
        match (fault, change) {
            (LinksAreCut, Link(mut link)) => {
                link.record.truncate(65_535);
                all(vec![Link(link)])
            }
            (LinksKeepTheFirst, Link(link))
                if stored.links.iter().any(|held| held.peer == link.peer) =>
            {
                Vec::new()
            }
            (LinksAreOne, Link(link)) => {
                let others = stored.links.into_iter().map(|held| NoLink(held.peer));
                all(others.chain([Link(link)]).collect())
            }
            (NoLinkDoesNothing, NoLink(_)) => Vec::new(),
            (NoLinkRemovesTheDomain, NoLink(peer)) => {
                let of = stored.links.into_iter().map(|held| held.peer);
                let of = of.filter(|held| held.domain() == peer.domain());
                all(of.map(NoLink).collect())
            }
            (HaveIsLost, Have(_)) => Vec::new(),
            (HaveTrims, Have(have)) => all(vec![Have(have.trim().into())]),
            (HaveKeepsTheFirst, Have(_)) if stored.have.is_some() => Vec::new(),
            (EventsLoseTheirTime, Event(event)) => all(vec![Event(StoredEvent {
                at: Timestamp(0),
                ..event
            })]),
            (EventsAreCut, Event(mut event)) => {
                event.xml.truncate(65_535);
                all(vec![Event(event)])
            }
            (EventsComeTwice, Event(event)) => {
                let mut events = stored.events;
                events.push(event);
                self.twice
                    .lock()
                    .unwrap()
                    .insert(room.clone(), events.clone());
                anew(events)
            }
            (EventsAreReplaced, Event(event)) => {
                let mut events = stored.events;
                match events.iter_mut().find(|held| held.dot == event.dot) {
                    Some(held) => *held = event,
                    None => events.push(event),
                }
                anew(events)
            }
            (EventsForgetTheNode, Event(event)) => {
                let is = |held: &StoredEvent| {
                    (held.dot.epoch, held.dot.seq) == (event.dot.epoch, event.dot.seq)
                };
                match stored.events.iter().any(is) {
                    true => Vec::new(),
                    false => all(vec![Event(event)]),
                }
            }
            (EventsForgetTheEpoch, Event(event)) => {
                let is = |held: &StoredEvent| {
                    (&held.dot.node, held.dot.seq) == (&event.dot.node, event.dot.seq)
                };
                match stored.events.iter().any(is) {
                    true => Vec::new(),
                    false => all(vec![Event(event)]),
                }
            }
            (EventsAreNarrow, Event(mut event)) => {
                event.dot.seq = event.dot.seq.min(i64::MAX as u64);
                all(vec![Event(event)])
            }
            (KeepEventsDoesNothing, KeepEvents(_)) => Vec::new(),
            (KeepEventsKeepsTheOldest, KeepEvents(most)) => {
                let mut events = stored.events;
                events.truncate(most);
                anew(events)
            }
            (KeepEventsKeepsMessages, KeepEvents(most)) => {
                let mut both = vec![Change::Keep(most)];
                both.extend(all(vec![KeepEvents(most)]));
                both
            }
            (_, change) => all(vec![change]),
        }
    }

    /// What is really done for a change.
    async fn change(&self, room: &BareJid, change: Change) -> Vec<Change> {
        let fault = self.fault.unwrap_or(ApplyReverses);
        let stored = self.inner.load(room).await.unwrap();
        let entries = stored
            .as_ref()
            .map_or(&[][..], |stored| &stored.affiliations);
        match (fault, change) {
            (StateTrims, change) => match change {
                Change::State {
                    state,
                    listed,
                    name,
                } => vec![Change::State {
                    state: state.trim().into(),
                    listed,
                    name,
                }],
                change => vec![change],
            },
            (
                StateKeepsTheFirst,
                Change::State {
                    state,
                    listed,
                    name,
                },
            ) => vec![Change::State {
                state: stored.as_ref().map_or(state, |stored| stored.state.clone()),
                listed,
                name,
            }],
            (StateForgetsEntries, change @ Change::State { .. }) => {
                vec![Change::Destroyed, change]
            }
            (StateForgetsFederation, change @ Change::State { .. }) => {
                let mut all = vec![Change::Destroyed, change];
                all.extend(entries.iter().cloned().map(Change::Entry));
                all.extend(self.messages(room).await);
                all
            }
            (NameIsLost, Change::State { state, listed, .. }) => vec![Change::State {
                state,
                listed,
                name: None,
            }],
            (
                NameStays,
                Change::State {
                    state,
                    listed,
                    name,
                },
            ) => {
                let service = room.domain_jid();
                let all = self.inner.list(&service, None, usize::MAX).await.unwrap();
                let before = all.into_iter().find(|listed| listed.room == *room);
                vec![Change::State {
                    state,
                    listed,
                    name: name.or(before.and_then(|before| before.name)),
                }]
            }
            (EntriesForgetTheNick, Change::Entry(entry)) => {
                vec![Change::Entry(Entry {
                    nick: None,
                    ..entry
                })]
            }
            (EntriesForgetTheReason, Change::Entry(entry)) => {
                vec![Change::Entry(Entry {
                    reason: None,
                    ..entry
                })]
            }
            (EntriesIgnoreTheResource, Change::Entry(entry)) => vec![Change::Entry(Entry {
                jid: entry.jid.to_bare().into(),
                ..entry
            })],
            (EntriesKeepTheFirst, Change::Entry(entry))
                if entries.iter().any(|held| held.jid == entry.jid) =>
            {
                Vec::new()
            }
            (NoneIsNoEntry, Change::Entry(entry)) if entry.affiliation == Affiliation::None => {
                vec![Change::NoEntry(entry.jid)]
            }
            (NoEntryRemovesTheDomain, Change::NoEntry(jid)) => {
                let of = entries
                    .iter()
                    .filter(|entry| entry.jid.domain() == jid.domain());
                of.map(|entry| Change::NoEntry(entry.jid.clone())).collect()
            }
            (NoEntryDoesNothing, Change::NoEntry(_)) => Vec::new(),
            (MessagesLoseTheirTime, Change::Message(message)) => {
                vec![Change::Message(StoredMessage {
                    at: Timestamp(0),
                    ..message
                })]
            }
            (MessagesAreCut, Change::Message(mut message)) => {
                message.xml.truncate(65_535);
                vec![Change::Message(message)]
            }
            (MessagesComeTwice, Change::Message(mut message)) => {
                let n = self.calls.fetch_add(1, Ordering::Relaxed);
                message.id = format!("{}\u{1}{n}", message.id);
                vec![Change::Message(message)]
            }
            (MessagesAreReplaced, Change::Message(message)) => {
                let all = self.messages(room).await;
                let is = |change: &Change| matches!(change, Change::Message(held) if held.id == message.id);
                match all.iter().any(is) {
                    false => vec![Change::Message(message)],
                    true => {
                        let rest = all.iter().map(|change| match is(change) {
                            true => Change::Message(message.clone()),
                            false => change.clone(),
                        });
                        [Change::Keep(0)].into_iter().chain(rest).collect()
                    }
                }
            }
            (KeepDoesNothing, Change::Keep(_)) => Vec::new(),
            (KeepKeepsTheOldest, Change::Keep(most)) => {
                let oldest = self.messages(room).await.into_iter().take(most);
                [Change::Keep(0)].into_iter().chain(oldest).collect()
            }
            (DestroyDoesNothing, Change::Destroyed) => Vec::new(),
            (AnythingMakesRooms, change) if stored.is_none() => match change {
                Change::State { .. } | Change::Destroyed => vec![change],
                change => vec![empty(), change],
            },
            (_, Change::Federation(change)) => self.federate(room, change).await,
            (_, change) => vec![change],
        }
    }
}

#[async_trait]
impl Rooms for Faulty {
    async fn load(&self, room: &BareJid) -> Result<Option<StoredRoom>> {
        let room = self.room(room);
        let stored = self.inner.load(&room).await?;
        Ok(stored.filter(|stored| stored.state != GHOST))
    }

    async fn history(&self, room: &BareJid, limit: usize) -> Result<Vec<StoredMessage>> {
        let room = self.room(room);
        let mut all = self.inner.history(&room, usize::MAX).await?;
        if self.has(MessagesAreOfAll) {
            for other in ["a@rooms.example.org", "coven@rooms.example.org"] {
                let other = bare(other);
                if other != room {
                    all.extend(self.inner.history(&other, usize::MAX).await?);
                }
            }
        }
        for message in &mut all {
            if let Some((id, _)) = message.id.split_once('\u{1}') {
                message.id = id.to_owned();
            }
        }
        match self.fault {
            Some(MessagesReverse) => all.reverse(),
            Some(MessagesOrderById) => all.sort_by(|a, b| a.id.cmp(&b.id)),
            _ => {}
        }
        let old = all.len().saturating_sub(limit);
        match self.fault {
            Some(HistoryIsTheOldest) => all.truncate(limit),
            Some(HistoryIgnoresLimit) => {}
            _ => drop(all.drain(..old)),
        }
        Ok(all)
    }

    async fn federation(&self, room: &BareJid) -> Result<StoredFederation> {
        let room = self.room(room);
        let is_there = |stored: &StoredRoom| stored.state != GHOST;
        if !self.inner.load(&room).await?.as_ref().is_some_and(is_there) {
            return Ok(StoredFederation::default());
        }
        let mut stored = self.inner.federation(&room).await?;
        match self.fault {
            Some(EventsReverse) => stored.events.reverse(),
            Some(EventsOrderByName) => stored.events.sort_by(|a, b| a.dot.cmp(&b.dot)),
            Some(EventsComeTwice) => {
                let twice = self.twice.lock().unwrap().get(&room).cloned();
                stored.events = twice.unwrap_or(stored.events);
            }
            Some(FederationMixes) => {
                let first = self.inner.federation(&bare("a@rooms.example.org")).await?;
                stored.have = first.have.or(stored.have);
            }
            _ => {}
        }
        Ok(stored)
    }

    async fn apply(&self, room: &BareJid, changes: &[Change]) -> Result<()> {
        let room = self.room(room);
        let mut changes = changes.to_vec();
        match self.fault {
            Some(ApplyLosesTheLast) if changes.len() > 2 => drop(changes.pop()),
            Some(ApplyReverses) => changes.reverse(),
            Some(KeepIsLate) => changes.sort_by_key(|change| matches!(change, Change::Keep(_))),
            Some(KeepEventsIsLate) => changes.sort_by_key(|change| {
                matches!(change, Change::Federation(FederationChange::KeepEvents(_)))
            }),
            Some(DestroyIsLate) => changes.sort_by_key(|change| *change == Change::Destroyed),
            Some(CallsOvertake) => {
                let n = self.calls.fetch_add(1, Ordering::Relaxed);
                for _ in 0..(n % 3) {
                    tokio::task::yield_now().await;
                }
            }
            _ => {}
        }
        for change in changes {
            let before = self.inner.load(&room).await?.filter(|s| s.state != GHOST);
            let messages = self.messages(&room).await;
            let federation = self.federation_of(&room).await;
            let is_end = change == Change::Destroyed;
            let begins = before.is_none() && matches!(change, Change::State { .. });
            let leaves = [
                DestroyLeavesMessages,
                DestroyLeavesEntries,
                DestroyLeavesFederation,
            ];
            if begins && !leaves.iter().any(|fault| self.has(*fault)) {
                self.inner.apply(&room, &[Change::Destroyed]).await?;
            }
            let done = self.change(&room, change).await;
            self.inner.apply(&room, &done).await?;
            let Some(before) = before.filter(|_| is_end) else {
                continue;
            };
            let mut left = vec![ghost()];
            match self.fault {
                Some(DestroyLeavesMessages) => left.extend(messages),
                Some(DestroyLeavesFederation) => left.extend(federation),
                Some(DestroyLeavesEntries) => {
                    left.extend(before.affiliations.into_iter().map(Change::Entry));
                }
                _ => continue,
            }
            self.inner.apply(&room, &left).await?;
        }
        Ok(())
    }

    async fn list(
        &self,
        service: &BareJid,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<Listed>> {
        let mut all = self.inner.list(service, None, usize::MAX).await?;
        if self.has(ListMixesServices) {
            let other = bare("rooms.example.com");
            all.extend(self.inner.list(&other, None, usize::MAX).await?);
        }
        if self.has(ListShowsHidden) {
            let hidden = bare("aaa@rooms.example.org");
            if self.inner.load(&hidden).await?.is_some() {
                all.insert(
                    0,
                    Listed {
                        room: hidden,
                        name: None,
                    },
                );
            }
        }
        if self.has(ListReverses) {
            all.reverse();
        }
        let begin = match after {
            None => 0,
            Some(after) if self.has(ListNeedsAfter) => {
                let at = all.iter().position(|listed| listed.room == *after);
                at.map_or(all.len(), |at| at + 1)
            }
            Some(after) if self.has(ListReverses) => all
                .iter()
                .position(|listed| listed.room < *after)
                .unwrap_or(all.len()),
            Some(after) => {
                let is_after = |listed: &Listed| match self.has(ListIncludesAfter) {
                    true => listed.room >= *after,
                    false => listed.room > *after,
                };
                all.iter().position(is_after).unwrap_or(all.len())
            }
        };
        let limit = if self.has(ListIgnoresLimit) {
            usize::MAX
        } else {
            limit
        };
        Ok(all.into_iter().skip(begin).take(limit).collect())
    }

    async fn states(
        &self,
        service: &BareJid,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<(BareJid, String)>> {
        let mut all = self.inner.states(service, None, usize::MAX).await?;
        match self.fault {
            Some(StatesAreListed) => {
                let listed = self.inner.list(service, None, usize::MAX).await?;
                all.retain(|(room, _)| listed.iter().any(|one| one.room == *room));
            }
            Some(StatesMixServices) => {
                let other = bare("rooms.example.com");
                all.extend(self.inner.states(&other, None, usize::MAX).await?);
                all.sort_unstable();
            }
            Some(StatesLackText) => all.iter_mut().for_each(|(_, state)| state.clear()),
            Some(StatesReverse) => all.reverse(),
            _ => {}
        }
        let is_after = |room: &BareJid| match (after, self.fault) {
            (None, _) => true,
            (Some(after), Some(StatesIncludeAfter)) => room >= after,
            (Some(after), _) => room > after,
        };
        let needs = |after: &BareJid| {
            self.has(StatesNeedAfter) && !all.iter().any(|(room, _)| room == after)
        };
        if after.is_some_and(needs) {
            return Ok(Vec::new());
        }
        all.retain(|(room, _)| is_after(room));
        let ignores = self.has(StatesIgnoreLimit);
        all.truncate(if ignores { usize::MAX } else { limit });
        Ok(all)
    }

    async fn linked(
        &self,
        service: &BareJid,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<BareJid>> {
        let mut all = self.inner.linked(service, None, usize::MAX).await?;
        let listed = self.inner.list(service, None, usize::MAX).await?;
        let listed: Vec<_> = listed.into_iter().map(|listed| listed.room).collect();
        match self.fault {
            Some(LinkedAreListed) => all.retain(|room| listed.contains(room)),
            Some(LinkedAreAll) => {
                all.extend(listed);
                all.sort_unstable();
                all.dedup();
            }
            Some(LinkedComeForEachLink) => {
                let mut each = Vec::new();
                for room in all {
                    let links = self.inner.federation(&room).await?.links.len();
                    each.extend(std::iter::repeat_n(room, links));
                }
                all = each;
            }
            Some(LinkedMixServices) => {
                let other = bare("rooms.example.com");
                all.extend(self.inner.linked(&other, None, usize::MAX).await?);
                all.sort_unstable();
            }
            _ => {}
        }
        let is_after = |room: &BareJid| match (after, self.fault) {
            (None, _) => true,
            (Some(after), Some(LinkedIncludeAfter)) => room >= after,
            (Some(after), _) => room > after,
        };
        let needs = |after: &BareJid| self.has(LinkedNeedAfter) && !all.contains(after);
        if after.is_some_and(needs) {
            return Ok(Vec::new());
        }
        all.retain(is_after);
        if self.has(LinkedReverse) {
            all.reverse();
        }
        let ignores = self.has(LinkedIgnoreLimit);
        all.truncate(if ignores { usize::MAX } else { limit });
        Ok(all)
    }

    async fn count(&self, service: &BareJid) -> Result<usize> {
        match self.fault {
            Some(CountIsOfListed) => Ok(self.inner.list(service, None, usize::MAX).await?.len()),
            Some(CountMixesServices) => {
                let other = bare("rooms.example.com");
                let here = self.inner.count(service).await?;
                Ok(here + self.inner.count(&other).await?)
            }
            _ => self.inner.count(service).await,
        }
    }
}

/// The state of a room that is said not to be there.
const GHOST: &str = "\u{1}";

fn ghost() -> Change {
    Change::State {
        state: GHOST.into(),
        listed: false,
        name: None,
    }
}

fn empty() -> Change {
    Change::State {
        state: String::new(),
        listed: false,
        name: None,
    }
}

fn bare(text: &str) -> BareJid {
    Jid::new(text).unwrap().to_bare()
}
