//! What a persistent room has written down of itself.

use std::sync::Arc;

use xmpp_core::BareJid;
use xmpp_core::im::form;
use xmpp_core::stanza::Stanza;
use xmpp_core::time::Timestamp;
use xmpp_core::xml::{self, Element};

use super::affiliations::Affiliations;
use super::form::{filled, restore};
use super::history::History;
use super::subject::Subject;
use super::{Room, Turn};
use crate::settings::Settings;
use crate::store::{Change, StoredMessage, StoredRoom};

/// The namespace of records.
const NS: &str = "urn:uuid:086f7cd3-4f49-4e65-bdff-1e88165a1699";
/// The version that this release writes and reads. One that adds what others can do without leaves it as it is: what is unknown is
/// passed over.
const VERSION: &str = "1";

/// A record that is none: it says what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a room's record cannot be read: {0}")]
pub struct RecordError(String);

impl RecordError {
    pub(super) fn new(what: impl std::fmt::Display) -> RecordError {
        RecordError(what.to_string())
    }
}

impl Room {
    /// A room as it was stored, with the newest of its history, the oldest first.
    ///
    /// What the record has beyond what this version knows is passed over.
    pub fn restore(
        jid: BareJid,
        stored: StoredRoom,
        history: &[StoredMessage],
        settings: Arc<Settings>,
    ) -> Result<Room, RecordError> {
        let record = Element::restore(&stored.state).map_err(RecordError::new)?;
        if !record.is("room", NS) {
            return Err(RecordError::new(format!("it is a <{}/>", record.name())));
        }
        if record.attr("version") != Some(VERSION) {
            return Err(RecordError::new("it is of another version"));
        }
        let mut room = Room::new(jid, settings);
        room.locked = false;
        if let Some(filled) = record.child("x", form::NS) {
            restore(filled, &mut room.config, &room.settings.limits);
        }
        // It was stored: it is persistent whatever the default is.
        room.config.persistent = true;
        room.creator = record.attr("creator").and_then(|jid| jid.parse().ok());
        room.subject = record.child("subject", NS).and_then(subject);
        room.affiliations = Affiliations::new(stored.affiliations);
        room.history = History::restore(&room.jid, history, room.bounds());
        Ok(room)
    }

    /// Whether what happens to the room is stored.
    pub(super) fn is_kept(&self) -> bool {
        self.config.persistent && !self.locked
    }

    /// Stores this, if the room is one that is.
    pub(super) fn keep(&self, changes: Vec<Change>, turn: &mut Turn<'_>) {
        if self.is_kept() {
            changes.into_iter().for_each(|change| turn.store(change));
        }
    }

    /// The room itself, without its lists and its history.
    pub(super) fn state(&self) -> Change {
        let subject = self.subject.as_ref().map(|subject| {
            Element::new("subject", NS)
                .with_attr("at", &subject.at.0.to_string())
                .with_child(subject.message.to_element())
        });
        let mut record = Element::new("room", NS).with_attr("version", VERSION);
        record.set_attr("creator", self.creator.as_ref().map(BareJid::as_str));
        let record = record
            .with_child(filled(&self.config))
            .with_children(subject);
        Change::State {
            state: record.to_string(),
            listed: self.config.public,
            name: self.config.name.clone(),
        }
    }

    /// All that there is to store of a room that has not been stored yet.
    pub(super) fn all(&self) -> Vec<Change> {
        let entries = self.affiliations.iter().cloned().map(Change::Entry);
        let messages = self.history.stored(&self.jid).map(Change::Message);
        [self.state()]
            .into_iter()
            .chain(entries)
            .chain(messages)
            .collect()
    }
}

/// Who has made the room that has written this down of itself, if it says.
pub(crate) fn creator_of(state: &str) -> Option<BareJid> {
    let record = Element::restore(state).ok()?;
    record.attr("creator")?.parse().ok()
}

fn subject(element: &Element) -> Option<Subject> {
    let mut children = element.children();
    let message = children.find(|child| child.is("message", xml::ns::CLIENT))?;
    Some(Subject {
        message: Stanza::from_element(message).ok()?,
        at: Timestamp(element.attr("at")?.parse().ok()?),
    })
}

impl Turn<'_> {
    pub(super) fn store(&mut self, change: Change) {
        self.out.push(super::Output::Store(change));
    }
}
