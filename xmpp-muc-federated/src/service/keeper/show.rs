//! What others see of a room.

use std::sync::atomic::Ordering;

use super::super::held::Held;
use super::Keeper;
use crate::room::Room;

/// What others have been told of the room.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) persistent: bool,
    /// Its name, if it is listed.
    listing: Option<Option<String>>,
}

impl Keeper {
    /// Has the history be among what the memory is lent for. It is what goes when that is short, the oldest first.
    fn weigh(&mut self) {
        let bytes = self.room().map_or(0, Room::history_bytes);
        let lent = self.history.bytes();
        if bytes < lent {
            self.history.shrink(lent - bytes);
        } else if !self.history.grow_modestly(bytes - lent)
            && let Some(room) = &mut self.room
        {
            room.forget_history(lent);
            self.history.shrink(lent - room.room().history_bytes());
        }
    }

    /// Has others see the room as it is.
    pub(super) fn show(&mut self) {
        self.weigh();
        let (post, catalogue) = (&self.seat.post, &self.table.house.catalogue);
        let held = self.room.as_ref();
        let room = held.map(Held::room);
        let shown = &mut self.shown;

        let occupants = room.map_or(0, Room::population);
        let before = post.occupants.swap(occupants, Ordering::Relaxed);
        self.table.house.metrics.populate(before, occupants);

        let persistent = room.is_some_and(Room::is_persistent);
        match (shown.persistent, persistent) {
            // Whoever runs the service has it so; else there was a place for it before it became so.
            (false, true) => _ = catalogue.keeps(usize::MAX),
            (true, false) => catalogue.forgets(),
            _ => {}
        }
        shown.persistent = persistent;
        post.persistent.store(persistent, Ordering::Relaxed);

        let listing = room.and_then(Room::listing).map(|listing| listing.name);
        let before = shown.listing.as_ref().map(|name| name.as_deref());
        if before != listing {
            match listing {
                Some(name) => catalogue.list(&post.room, name),
                None => catalogue.strike(&post.room),
            }
            shown.listing = listing.map(|name| name.map(str::to_owned));
        }

        let is_idle = held.is_some_and(Held::is_idle);
        let node = held.and_then(Held::node);
        let now = self.server.now();
        if let Some(lines) = &mut self.lines {
            lines.show(node, now);
        }
        let now = now.instant;
        self.idle = is_idle.then(|| self.idle.unwrap_or(now));
        let rests = self.idle.filter(|_| self.is_done());
        self.seat.rest(rests);
    }
}
