//! What of a room is stored.

use xmpp_core::stanza::{Condition, StanzaError};
use xmpp_core::store::StoreError;

use super::Keeper;
use crate::room::Room;

impl Keeper {
    /// Stores what has changed, in one step.
    pub(super) async fn save(&mut self) -> Result<(), StanzaError> {
        if self.unsaved.is_empty() {
            return Ok(());
        }
        if self.retry.is_some() {
            return Err(Condition::InternalServerError.into());
        }
        let changes = self.unsaved.take();
        let room = &self.seat.post.room;
        let error = match self.options().store.apply(room, &changes).await {
            Ok(()) => {
                self.stored = self.room().is_some_and(Room::is_persistent);
                return Ok(());
            }
            Err(error) => error,
        };
        // What the store is not meant to do it will not do later either.
        if !matches!(error, StoreError::Refused(_)) {
            self.unsaved.put_back(changes);
            self.retry = Some(self.server.now().instant + self.options().limits.retry);
        }
        Err(self.failed("room not stored", &error))
    }
}
