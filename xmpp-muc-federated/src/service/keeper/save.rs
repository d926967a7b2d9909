//! What of a room is stored.

use xmpp_core::stanza::{Condition, StanzaError};
use xmpp_core::store::StoreError;

use super::Keeper;
use crate::store::Change;

impl Keeper {
    /// Stores what has changed: in one step, unless there is something among it that the store does not take. That takes nothing else with it.
    pub(super) async fn save(&mut self) -> Result<(), StanzaError> {
        if self.unsaved.is_empty() {
            return Ok(());
        }
        if self.retry.is_some() {
            return Err(Condition::InternalServerError.into());
        }
        let mut parts = vec![self.unsaved.take()];
        let mut refused = None;
        while let Some(mut part) = parts.pop() {
            let room = &self.seat.post.room;
            match self.options().store.apply(room, &part).await {
                Ok(()) => self.took(&part),
                Err(StoreError::Refused(_)) if part.len() > 1 => {
                    let later = part.split_off(part.len() / 2);
                    parts.extend([later, part]);
                }
                // What the store is not meant to do it will not do later either.
                Err(error @ StoreError::Refused(_)) => {
                    refused = Some(self.failed("change of a room refused", &error));
                }
                Err(error) => {
                    parts.push(part);
                    let left = parts.into_iter().rev().flatten();
                    self.unsaved.put_back(left.collect());
                    self.retry = Some(self.server.now().instant + self.options().limits.retry);
                    return Err(self.failed("room not stored", &error));
                }
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// Stores what this turn has changed, apart from what others have: if the store refuses one of theirs, that is no answer to this.
    pub(super) async fn save_own(&mut self) -> Result<(), StanzaError> {
        let _ = self.save().await;
        self.add_own();
        self.save().await
    }

    /// These are stored.
    fn took(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::State { .. } => self.stored = true,
                Change::Destroyed => self.stored = false,
                _ => {}
            }
        }
    }
}
