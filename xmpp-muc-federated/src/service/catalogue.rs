//! Which rooms are listed (XEP-0045 §6.3).

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use xmpp_core::BareJid;
use xmpp_core::store::{Result, StoreError};

use super::lock;
use super::shelves::Shelves;
use crate::page::From;
use crate::store::{Listed, Rooms};

/// Rooms that are read from the store at a time.
const PAGE: usize = 1000;
/// Rooms that may be struck while a page is read: with more, it is read again.
const STRUCK_MAX: usize = 10_000;

/// The listed rooms of a service, in memory or not, in the order of their addresses; and how many are stored.
#[derive(Debug)]
pub(super) struct Catalogue {
    listed: Mutex<AllListed>,
    most: usize,
    stored: AtomicUsize,
}

#[derive(Debug, Default)]
struct AllListed {
    rooms: Shelves,
    /// Which have been struck since the page was asked for that the store is reading: it may have them still.
    struck: Option<HashSet<BareJid>>,
}

/// A part of the catalogue.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) rooms: Vec<Listed>,
    /// The place of the first of them among all.
    pub(super) index: usize,
    /// How many are in the whole catalogue.
    pub(super) count: usize,
}

impl Catalogue {
    /// An empty one with room for so many.
    pub(super) fn new(most: usize) -> Catalogue {
        Catalogue {
            listed: Mutex::default(),
            most,
            stored: AtomicUsize::new(0),
        }
    }

    /// Takes in what is stored. Rooms that have said something of themselves meanwhile know better.
    pub(super) async fn load(&self, service: &BareJid, store: &dyn Rooms) -> Result<()> {
        let count = store.count(service).await?;
        self.stored.store(count, Ordering::Relaxed);
        let mut after = None;
        loop {
            lock(&self.listed).struck = Some(HashSet::new());
            let page = store.list(service, after.as_ref(), PAGE).await;
            let mut listed = lock(&self.listed);
            let struck = listed.struck.take().unwrap_or_default();
            let page = page?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            if struck.len() >= STRUCK_MAX {
                let why = "more rooms are gone than can be told from those that are listed";
                return Err(StoreError::Unavailable(why.into()));
            }
            after = Some(last.room.clone());
            for room in page {
                if listed.rooms.len() >= self.most {
                    tracing::warn!(%service, most = self.most, "not all rooms are listed");
                    return Ok(());
                }
                if !struck.contains(&room.room) && !listed.rooms.contains(&room.room) {
                    listed.rooms.put(room);
                }
            }
        }
    }

    /// Persistent rooms.
    pub(super) fn stored(&self) -> usize {
        self.stored.load(Ordering::Relaxed)
    }

    /// One persistent room more, unless there are `most`.
    pub(super) fn keeps(&self, most: usize) -> bool {
        let more = |stored| (stored < most).then_some(stored + 1);
        let ordering = Ordering::Relaxed;
        self.stored.fetch_update(ordering, ordering, more).is_ok()
    }

    /// One persistent room less.
    pub(super) fn forgets(&self) {
        let less = |stored: usize| Some(stored.saturating_sub(1));
        let ordering = Ordering::Relaxed;
        // It always is some.
        let _ = self.stored.fetch_update(ordering, ordering, less);
    }

    /// Lists a room under this name, or under none, unless there are too many.
    pub(super) fn list(&self, room: &BareJid, name: Option<&str>) {
        let mut listed = lock(&self.listed);
        if listed.rooms.len() < self.most || listed.rooms.contains(room) {
            let (room, name) = (room.clone(), name.map(str::to_owned));
            listed.rooms.put(Listed { room, name });
        }
    }

    /// Lists a room no more.
    pub(super) fn strike(&self, room: &BareJid) {
        let mut listed = lock(&self.listed);
        listed.rooms.remove(room);
        if let Some(struck) = &mut listed.struck
            && struck.len() < STRUCK_MAX
        {
            struck.insert(room.clone());
        }
    }

    /// At most `most` rooms.
    pub(super) fn part(&self, from: From<'_>, most: usize) -> Part {
        let rooms = &lock(&self.listed).rooms;
        let count = rooms.len();
        let (index, end) = match from {
            From::After(None) => (0, count),
            From::After(Some(after)) => (rooms.rank(|room| room <= after), count),
            From::Index(index) => (index.min(count), count),
            From::Before(before) => {
                let end = before.map_or(count, |before| rooms.rank(|room| room < before));
                (end.saturating_sub(most), end)
            }
        };
        let most = most.min(end - index);
        Part {
            rooms: rooms.from(index).take(most).cloned().collect(),
            index,
            count,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use futures::executor::block_on;

    use super::*;
    use crate::store::memory::Memory;
    use crate::store::{Change, StoredFederation, StoredMessage, StoredRoom};

    fn bare(text: &str) -> BareJid {
        BareJid::new(text).unwrap()
    }

    /// A store during whose answers rooms go.
    struct Slow {
        inner: Memory,
        catalogue: Arc<Catalogue>,
        gone: Vec<BareJid>,
    }

    #[async_trait]
    impl Rooms for Slow {
        async fn load(&self, room: &BareJid) -> Result<Option<StoredRoom>> {
            self.inner.load(room).await
        }

        async fn history(&self, room: &BareJid, limit: usize) -> Result<Vec<StoredMessage>> {
            self.inner.history(room, limit).await
        }

        async fn federation(&self, room: &BareJid) -> Result<StoredFederation> {
            self.inner.federation(room).await
        }

        async fn apply(&self, room: &BareJid, changes: &[Change]) -> Result<()> {
            self.inner.apply(room, changes).await
        }

        async fn list(
            &self,
            service: &BareJid,
            after: Option<&BareJid>,
            limit: usize,
        ) -> Result<Vec<Listed>> {
            let page = self.inner.list(service, after, limit).await;
            // Once.
            if after.is_none() {
                self.gone
                    .iter()
                    .for_each(|room| self.catalogue.strike(room));
            }
            page
        }

        async fn linked(
            &self,
            service: &BareJid,
            after: Option<&BareJid>,
            limit: usize,
        ) -> Result<Vec<BareJid>> {
            self.inner.linked(service, after, limit).await
        }

        async fn states(
            &self,
            service: &BareJid,
            after: Option<&BareJid>,
            limit: usize,
        ) -> Result<Vec<(BareJid, String)>> {
            self.inner.states(service, after, limit).await
        }

        async fn count(&self, service: &BareJid) -> Result<usize> {
            self.inner.count(service).await
        }
    }

    fn slow(gone: usize) -> Slow {
        let inner = Memory::new();
        for name in ["a", "b"] {
            let state = Change::State {
                state: String::new(),
                listed: true,
                name: None,
            };
            let room = bare(&format!("{name}@rooms.example.org"));
            block_on(inner.apply(&room, &[state])).unwrap();
        }
        let others = (1..gone).map(|n| bare(&format!("{n}@rooms.example.org")));
        Slow {
            inner,
            catalogue: Arc::new(Catalogue::new(10)),
            gone: [bare("a@rooms.example.org")]
                .into_iter()
                .chain(others)
                .collect(),
        }
    }

    /// One that is hidden by its owner, say, while the store is read once more after it has failed.
    #[test]
    fn what_is_struck_while_the_store_is_read_is_not_listed_by_it() {
        let store = slow(1);
        let (catalogue, service) = (store.catalogue.clone(), bare("rooms.example.org"));
        block_on(catalogue.load(&service, &store)).unwrap();
        let part = catalogue.part(From::After(None), 10);
        let rooms: Vec<_> = part
            .rooms
            .iter()
            .map(|listed| listed.room.as_str())
            .collect();
        assert_eq!(rooms, ["b@rooms.example.org"]);
        assert_eq!(catalogue.stored(), 2);
        // Later it is there again.
        catalogue.list(&bare("a@rooms.example.org"), None);
        assert_eq!(catalogue.part(From::After(None), 10).count, 2);
    }

    #[test]
    fn with_too_much_that_is_struck_meanwhile_nothing_is_taken_in() {
        let store = slow(STRUCK_MAX);
        let (catalogue, service) = (store.catalogue.clone(), bare("rooms.example.org"));
        assert!(block_on(catalogue.load(&service, &store)).is_err());
        assert_eq!(catalogue.part(From::After(None), 10).count, 0);
        assert!(lock(&catalogue.listed).struck.is_none());
    }
}
