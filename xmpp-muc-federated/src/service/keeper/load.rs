//! Where a room comes from: the store, whoever runs the service, or the first who enters.

use xmpp_core::stanza::{Condition, ErrorType, IqType, Kind, PresenceType, Stanza, StanzaError};

use super::super::held::Held;
use super::Keeper;
use crate::room::{FederatedBy, Room};
use crate::store::StoredFederation;

const NOT_LOADED: &str = "room not loaded";

impl Keeper {
    /// The room as it is stored, if it is.
    pub(super) async fn load(&self) -> Result<Option<Held>, StanzaError> {
        let (options, jid) = (self.options(), &self.seat.post.room);
        let store = &options.store;
        let stored = store.load(jid).await;
        let stored = stored.map_err(|error| self.failed(NOT_LOADED, &error))?;
        let Some(stored) = stored else {
            return Ok(None);
        };
        let most = options.settings.limits.history;
        let history = store.history(jid, most).await;
        let history = history.map_err(|error| self.failed(NOT_LOADED, &error))?;
        let settings = options.settings.clone();
        let room = match Room::restore(jid.clone(), stored, &history, settings) {
            Ok(room) => room,
            Err(error) => {
                self.table.house.metrics.unreadable.increment();
                tracing::error!(room = %jid, %error, "stored room not readable");
                return Err(Condition::InternalServerError.into());
            }
        };
        let Some(federal) = &self.table.house.federal else {
            return Ok(Some(Held::new(room, FederatedBy::Nobody)));
        };
        let stored = store.federation(jid).await;
        let stored = stored.map_err(|error| self.failed(NOT_LOADED, &error))?;
        let by = federal.by(jid);
        let now = self.server.now();
        Ok(Some(Held::restore(
            room,
            by,
            &stored,
            (federal.settings(), &federal.lives),
            now,
        )))
    }

    /// Makes the room if there is none, and whoever runs the service wants one.
    pub(super) async fn establish(&mut self) {
        let Some(federal) = self.table.house.federal.as_ref() else {
            return;
        };
        let by = federal.by(&self.seat.post.room);
        if self.room.is_some() || !matches!(by, FederatedBy::Operator(_)) {
            return;
        }
        let stored = StoredFederation::default();
        let jid = self.seat.post.room.clone();
        let mut room = Room::new(jid, self.options().settings.clone());
        let mut made = Vec::new();
        room.establish(&mut made);
        let now = self.server.now();
        self.room = Some(Held::restore(
            room,
            by,
            &stored,
            (federal.settings(), &federal.lives),
            now,
        ));
        for output in made {
            self.perform(output).await;
        }
        self.add_own();
        self.table.house.metrics.created.increment();
        // If it fails it is tried again.
        let _ = self.save().await;
    }

    fn by(&self) -> FederatedBy {
        let federal = self.table.house.federal.as_ref();
        federal.map_or(FederatedBy::Nobody, |federal| {
            federal.by(&self.seat.post.room)
        })
    }

    /// There is no such room: with one who enters it is made.
    pub(super) fn make(&mut self, stanza: &Stanza) -> Result<(), StanzaError> {
        let jid = &self.seat.post.room;
        let to_occupant = stanza.to().is_some_and(|to| to.resource().is_some());
        let mut refused: StanzaError = match stanza.kind() {
            Kind::Presence(PresenceType::Available) => {
                let from = stanza.from().ok_or(Condition::BadRequest)?;
                match self.table.house.create(jid, from, &self.server) {
                    Ok(()) => {
                        let settings = self.options().settings.clone();
                        let room = Room::new(jid.clone(), settings);
                        self.room = Some(Held::new(room, self.by()));
                        return Ok(());
                    }
                    Err(error) => error,
                }
            }
            // XEP-0410 §3.3: what is not there is not to be taken for an occupant who has changed their nick, as
            // <item-not-found/> would be.
            Kind::Iq(IqType::Get | IqType::Set) if to_occupant => {
                StanzaError::new(Condition::NotAcceptable).with_kind(ErrorType::Cancel)
            }
            _ => Condition::ItemNotFound.into(),
        };
        // RFC 6120 §8.3.1: it is not the occupant who answers.
        refused.by = to_occupant.then(|| jid.clone().into());
        Err(refused)
    }
}
