//! Which rooms are listed (XEP-0045 §6.3).

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use xmpp_core::BareJid;
use xmpp_core::store::Result;

use super::lock;
use crate::store::{Listed, Rooms};

/// Rooms that are read from the store at a time.
const PAGE: usize = 1000;

/// The listed rooms of a service, in memory or not, in the order of their addresses; and how many are stored.
#[derive(Debug)]
pub(super) struct Catalogue {
    rooms: Mutex<BTreeMap<BareJid, Option<Box<str>>>>,
    most: usize,
    stored: AtomicUsize,
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

/// Where a part begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From<'a> {
    /// The first after this one, which need not exist; the very first.
    After(Option<&'a str>),
    /// The last before this one, which need not exist; the very last.
    Before(Option<&'a str>),
    /// The one at this place.
    Index(usize),
}

impl Catalogue {
    /// An empty one with room for so many.
    pub(super) fn new(most: usize) -> Catalogue {
        Catalogue {
            rooms: Mutex::default(),
            most,
            stored: AtomicUsize::new(0),
        }
    }

    /// Takes in what is stored. Rooms that have said something of themselves meanwhile know better.
    pub(super) async fn load(&self, service: &BareJid, store: &dyn Rooms) -> Result<()> {
        self.stored
            .store(store.count(service).await?, Ordering::Relaxed);
        let mut after = None;
        loop {
            let page = store.list(service, after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.room.clone());
            let mut rooms = lock(&self.rooms);
            for listed in page {
                if rooms.len() >= self.most {
                    tracing::warn!(%service, most = self.most, "not all rooms are listed");
                    return Ok(());
                }
                let name = listed.name.map(Into::into);
                rooms.entry(listed.room).or_insert(name);
            }
        }
    }

    /// Persistent rooms.
    pub(super) fn stored(&self) -> usize {
        self.stored.load(Ordering::Relaxed)
    }

    /// One persistent room more.
    pub(super) fn keeps(&self) {
        self.stored.fetch_add(1, Ordering::Relaxed);
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
        let mut rooms = lock(&self.rooms);
        if rooms.len() < self.most || rooms.contains_key(room) {
            rooms.insert(room.clone(), name.map(Into::into));
        }
    }

    /// Lists a room no more.
    pub(super) fn strike(&self, room: &BareJid) {
        lock(&self.rooms).remove(room);
    }

    /// At most `most` rooms.
    pub(super) fn part(&self, from: From<'_>, most: usize) -> Part {
        let all = lock(&self.rooms);
        let count = all.len();
        let listed = |(room, name): (&BareJid, &Option<Box<str>>)| Listed {
            room: room.clone(),
            name: name.as_deref().map(str::to_owned),
        };
        let rooms: Vec<_> = match from {
            From::After(Some(after)) => {
                let rest = all.range::<str, _>((Excluded(after), Unbounded));
                rest.take(most).map(listed).collect()
            }
            From::After(None) => all.iter().take(most).map(listed).collect(),
            From::Before(before) => {
                let end = before.map_or(Unbounded, Excluded);
                let rest = all.range::<str, _>((Unbounded, end));
                let mut rooms: Vec<_> = rest.rev().take(most).map(listed).collect();
                rooms.reverse();
                rooms
            }
            From::Index(index) => all.iter().skip(index).take(most).map(listed).collect(),
        };
        let first = rooms.first().map(|first| &first.room);
        let index = match (from, first) {
            (From::Index(index), _) => index,
            (_, Some(first)) => all.range(..first.clone()).count(),
            (_, None) => 0,
        };
        Part {
            rooms,
            index,
            count,
        }
    }
}
