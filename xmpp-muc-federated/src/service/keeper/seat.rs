//! The place of a room in the table.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use xmpp_core::mailbox::Outcome;
use xmpp_core::server::Server;
use xmpp_core::stanza::{Condition, StanzaError};

use super::super::table::{Post, Table};
use crate::fmuc::is_between_rooms;
use crate::room::refusal;

/// A room's place in the table.
pub(super) struct Seat {
    server: Server,
    table: Arc<Table>,
    pub(super) post: Arc<Post>,
    left: bool,
    loading: bool,
    /// Since when it can make place for another room, as the table knows it.
    pub(super) rests: Option<Instant>,
}

impl Seat {
    pub(super) fn new(server: Server, table: Arc<Table>, post: Arc<Post>) -> Seat {
        Seat {
            server,
            table,
            post,
            left: false,
            loading: true,
            rests: None,
        }
    }

    /// What is stored is in memory.
    pub(super) fn loaded(&mut self) {
        if std::mem::take(&mut self.loading) {
            self.table.loaded();
        }
    }

    /// It can make place for another room since then, or cannot.
    pub(super) fn rest(&mut self, since: Option<Instant>) {
        if self.rests != since {
            self.table.rests(&self.post.room, self.rests, since);
            self.rests = since;
        }
    }

    /// It was asked to make place, and has something to do.
    pub(super) fn stay(&mut self) {
        self.rest(None);
        self.table.stays(&self.post);
    }

    /// Gives the place back, unless something waits for the room.
    pub(super) fn leave(&mut self) -> bool {
        self.rest(None);
        self.left = self.table.leave(&self.post);
        self.left
    }

    /// Gives the place back; what waits is answered with this error.
    pub(super) fn abandon(&mut self, error: &StanzaError) {
        self.rest(None);
        self.left = true;
        for envelope in self.table.abandon(&self.post) {
            let is_of_node = is_between_rooms(&envelope.stanza);
            if !is_of_node && let Some(reply) = refusal(&envelope.stanza, error) {
                self.server.send(reply);
            }
            envelope.settle(Outcome::Returned);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.left {
            // The task has come to no good end. What was not stored is lost.
            let house = &self.table.house;
            let is_stored = self.loading || self.post.persistent.load(Ordering::Relaxed);
            if !is_stored {
                house.catalogue.strike(&self.post.room);
                house.creators.gone(&self.post.room);
            }
            self.abandon(&Condition::ServiceUnavailable.into());
        }
        self.loaded();
        let occupants = self.post.occupants.swap(0, Ordering::Relaxed);
        self.table.house.metrics.populate(occupants, 0);
    }
}
