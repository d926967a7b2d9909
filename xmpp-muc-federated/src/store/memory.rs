//! Rooms in the process: for tests, examples and servers that keep nothing.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use xmpp_core::store::{Result, StoreError};
use xmpp_core::{BareJid, Jid};

use super::{
    Change, Entry, FederationChange, Listed, Rooms, StoredEvent, StoredFederation, StoredLink,
    StoredMessage, StoredRoom,
};

/// Rooms that [`Memory::new`] has room for.
pub const DEFAULT_ROOMS: usize = 100_000;

/// Persistent rooms in the memory of the process, gone when it ends.
///
/// It holds a bounded number of rooms. What a room holds is bounded by its [limits](crate::Limits).
#[derive(Debug)]
pub struct Memory {
    rooms: Mutex<BTreeMap<BareJid, Held>>,
    most: usize,
}

#[derive(Clone, Debug, Default)]
struct Held {
    state: String,
    listed: bool,
    name: Option<String>,
    entries: BTreeMap<Jid, Entry>,
    messages: Vec<StoredMessage>,
    links: BTreeMap<BareJid, StoredLink>,
    have: Option<String>,
    events: Vec<StoredEvent>,
}

impl Memory {
    /// An empty store with room for [`DEFAULT_ROOMS`].
    pub fn new() -> Memory {
        Memory::with_room(DEFAULT_ROOMS)
    }

    /// An empty store for at most so many rooms. Beyond them it answers [`StoreError::Refused`].
    pub fn with_room(most: usize) -> Memory {
        Memory {
            rooms: Mutex::default(),
            most,
        }
    }

    fn rooms(&self) -> MutexGuard<'_, BTreeMap<BareJid, Held>> {
        // No method panics between two changes that belong together.
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Memory {
    fn default() -> Memory {
        Memory::new()
    }
}

#[async_trait]
impl Rooms for Memory {
    async fn load(&self, room: &BareJid) -> Result<Option<StoredRoom>> {
        let rooms = self.rooms();
        Ok(rooms.get(room).map(|held| StoredRoom {
            state: held.state.clone(),
            affiliations: held.entries.values().cloned().collect(),
        }))
    }

    async fn history(&self, room: &BareJid, limit: usize) -> Result<Vec<StoredMessage>> {
        let rooms = self.rooms();
        let messages = rooms.get(room).map_or(&[][..], |held| &held.messages);
        let old = messages.len().saturating_sub(limit);
        Ok(messages[old..].to_vec())
    }

    async fn federation(&self, room: &BareJid) -> Result<StoredFederation> {
        let rooms = self.rooms();
        let stored = rooms.get(room).map(|held| StoredFederation {
            links: held.links.values().cloned().collect(),
            have: held.have.clone(),
            events: held.events.clone(),
        });
        Ok(stored.unwrap_or_default())
    }

    async fn apply(&self, room: &BareJid, changes: &[Change]) -> Result<()> {
        let mut rooms = self.rooms();
        let before = rooms.remove(room);
        let mut held = before.clone();
        for change in changes {
            make(change, &mut held);
        }
        let fits = before.is_some() || rooms.len() < self.most;
        let after = if fits { held } else { before };
        if let Some(held) = after {
            rooms.insert(room.clone(), held);
        }
        let most = self.most;
        let full = || StoreError::Refused(format!("all {most} rooms in use"));
        fits.then_some(()).ok_or_else(full)
    }

    async fn list(
        &self,
        service: &BareJid,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<Listed>> {
        let rooms = self.rooms();
        let from = after.map_or(Unbounded, Excluded);
        let rest = rooms.range::<BareJid, _>((from, Unbounded));
        let of_service = rest.filter(|(room, held)| is_of(room, service) && held.listed);
        let listed = of_service.map(|(room, held)| Listed {
            room: room.clone(),
            name: held.name.clone(),
        });
        Ok(listed.take(limit).collect())
    }

    async fn linked(
        &self,
        service: &BareJid,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<BareJid>> {
        let rooms = self.rooms();
        let from = after.map_or(Unbounded, Excluded);
        let rest = rooms.range::<BareJid, _>((from, Unbounded));
        let linked = rest.filter(|(room, held)| is_of(room, service) && !held.links.is_empty());
        Ok(linked.take(limit).map(|(room, _)| room.clone()).collect())
    }

    async fn states(
        &self,
        service: &BareJid,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<(BareJid, String)>> {
        let rooms = self.rooms();
        let from = after.map_or(Unbounded, Excluded);
        let rest = rooms.range::<BareJid, _>((from, Unbounded));
        let states = rest.filter(|(room, _)| is_of(room, service));
        let states = states.map(|(room, held)| (room.clone(), held.state.clone()));
        Ok(states.take(limit).collect())
    }

    async fn count(&self, service: &BareJid) -> Result<usize> {
        let rooms = self.rooms();
        Ok(rooms.keys().filter(|room| is_of(room, service)).count())
    }
}

fn is_of(room: &BareJid, service: &BareJid) -> bool {
    room.domain() == service.as_str()
}

fn make(change: &Change, room: &mut Option<Held>) {
    match (change, &mut *room) {
        (Change::Destroyed, _) => *room = None,
        (
            Change::State {
                state,
                listed,
                name,
            },
            _,
        ) => {
            let held = room.get_or_insert_default();
            held.state.clone_from(state);
            held.listed = *listed;
            held.name.clone_from(name);
        }
        (_, None) => {}
        (Change::Entry(entry), Some(held)) => {
            held.entries.insert(entry.jid.clone(), entry.clone());
        }
        (Change::NoEntry(jid), Some(held)) => {
            held.entries.remove(jid);
        }
        (Change::Message(message), Some(held)) => {
            if held.messages.iter().all(|held| held.id != message.id) {
                held.messages.push(message.clone());
            }
        }
        (Change::Keep(most), Some(held)) => {
            let old = held.messages.len().saturating_sub(*most);
            held.messages.drain(..old);
        }
        (Change::Federation(change), Some(held)) => held.federate(change),
    }
}

impl Held {
    fn federate(&mut self, change: &FederationChange) {
        match change {
            FederationChange::Link(link) => {
                self.links.insert(link.peer.clone(), link.clone());
            }
            FederationChange::NoLink(peer) => {
                self.links.remove(peer);
            }
            FederationChange::Have(have) => self.have = Some(have.clone()),
            FederationChange::Event(event) => {
                if self.events.iter().all(|held| held.dot != event.dot) {
                    self.events.push(event.clone());
                }
            }
            FederationChange::KeepEvents(most) => {
                let old = self.events.len().saturating_sub(*most);
                self.events.drain(..old);
            }
        }
    }
}
