//! What a room has changed and is not stored yet.

use std::collections::BTreeMap;

use xmpp_core::{BareJid, Jid};

use crate::store::{Change, FederationChange};

/// The changes of a room that wait to be stored: of those that undo each other the last ones.
#[derive(Debug, Default)]
pub(super) struct Unsaved {
    /// What was stored before has to go first.
    destroyed: bool,
    state: Option<Change>,
    entries: BTreeMap<Jid, Change>,
    messages: Vec<Change>,
    keep: Option<usize>,
    links: BTreeMap<BareJid, Change>,
    have: Option<Change>,
    events: Vec<Change>,
    keep_events: Option<usize>,
}

impl Unsaved {
    pub(super) fn add(&mut self, change: Change) {
        match change {
            Change::State { .. } => self.state = Some(change),
            Change::Entry(ref entry) => drop(self.entries.insert(entry.jid.clone(), change)),
            Change::NoEntry(ref jid) => drop(self.entries.insert(jid.clone(), change)),
            Change::Message(_) => {
                self.messages.push(change);
                trim(&mut self.messages, self.keep);
            }
            Change::Keep(most) => {
                self.keep = Some(most);
                trim(&mut self.messages, self.keep);
            }
            Change::Federation(ref federation) => match federation {
                FederationChange::Link(link) => {
                    self.links.insert(link.peer.clone(), change);
                }
                FederationChange::NoLink(peer) => {
                    self.links.insert(peer.clone(), change);
                }
                FederationChange::Have(_) => self.have = Some(change),
                FederationChange::Event(_) => {
                    self.events.push(change);
                    trim(&mut self.events, self.keep_events);
                }
                FederationChange::KeepEvents(most) => {
                    self.keep_events = Some(*most);
                    trim(&mut self.events, self.keep_events);
                }
            },
            Change::Destroyed => {
                *self = Unsaved {
                    destroyed: true,
                    ..Unsaved::default()
                }
            }
        }
    }

    /// How many changes there are.
    pub(super) fn len(&self) -> usize {
        usize::from(self.destroyed)
            + usize::from(self.state.is_some())
            + self.entries.len()
            + self.messages.len()
            + usize::from(self.keep.is_some())
            + self.links.len()
            + usize::from(self.have.is_some())
            + self.events.len()
            + usize::from(self.keep_events.is_some())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, in an order in which they can be made.
    pub(super) fn take(&mut self) -> Vec<Change> {
        let Unsaved {
            destroyed,
            state,
            entries,
            messages,
            keep,
            links,
            have,
            events,
            keep_events,
        } = std::mem::take(self);
        let keep_events = keep_events.map(FederationChange::KeepEvents);
        let destroyed = destroyed.then_some(Change::Destroyed);
        destroyed
            .into_iter()
            .chain(state)
            .chain(entries.into_values())
            .chain(messages)
            .chain(keep.map(Change::Keep))
            .chain(links.into_values())
            .chain(have)
            .chain(events)
            .chain(keep_events.map(Change::Federation))
            .collect()
    }

    /// These were taken and could not be stored; nothing was added since.
    pub(super) fn put_back(&mut self, changes: Vec<Change>) {
        for change in changes {
            self.add(change);
        }
    }
}

/// Of what would go at once only the newest is stored.
fn trim(changes: &mut Vec<Change>, keep: Option<usize>) {
    let excess = keep.map_or(0, |keep| changes.len().saturating_sub(keep));
    changes.drain(..excess);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Dot, NodeId};
    use crate::room::Affiliation;
    use crate::store::{Entry, StoredEvent, StoredLink, StoredMessage};

    fn state(state: &str) -> Change {
        Change::State {
            state: state.into(),
            listed: true,
            name: None,
        }
    }

    fn entry(jid: &str, affiliation: Affiliation) -> Change {
        Change::Entry(Entry {
            jid: Jid::new(jid).unwrap(),
            affiliation,
            nick: None,
            reason: None,
        })
    }

    fn no_entry(jid: &str) -> Change {
        Change::NoEntry(Jid::new(jid).unwrap())
    }

    fn message(id: &str) -> Change {
        Change::Message(StoredMessage {
            id: id.into(),
            at: Default::default(),
            xml: "<message/>".into(),
        })
    }

    #[test]
    fn what_is_undone_is_not_stored() {
        use Affiliation::*;
        let mut unsaved = Unsaved::default();
        for change in [
            state("1"),
            entry("a@x.example", Member),
            message("1"),
            entry("b@x.example", Member),
            Change::Keep(2),
            message("2"),
            entry("a@x.example", Admin),
            no_entry("b@x.example"),
            state("2"),
            message("3"),
        ] {
            unsaved.add(change);
        }
        let wanted = [
            state("2"),
            entry("a@x.example", Admin),
            no_entry("b@x.example"),
            message("2"),
            message("3"),
            Change::Keep(2),
        ];
        assert_eq!(unsaved.len(), wanted.len());
        let taken = unsaved.take();
        assert_eq!(taken, wanted);
        assert!(unsaved.is_empty());
        unsaved.put_back(taken);
        assert_eq!(unsaved.take(), wanted);
    }

    #[test]
    fn of_other_nodes_what_is_undone_is_not_stored() {
        use FederationChange::*;
        let peer = |peer: &str| BareJid::new(peer).unwrap();
        let link = |name: &str, record: &str| {
            Link(StoredLink {
                peer: peer(name),
                record: record.into(),
            })
        };
        let event = |seq| {
            Event(StoredEvent {
                dot: Dot {
                    node: NodeId::new("a"),
                    epoch: 1,
                    seq,
                },
                at: Default::default(),
                xml: String::new(),
            })
        };
        let mut unsaved = Unsaved::default();
        for change in [
            link("a@x.example", "1"),
            event(3),
            Have("1".into()),
            KeepEvents(2),
            link("b@x.example", "1"),
            event(2),
            link("a@x.example", "2"),
            NoLink(peer("b@x.example")),
            event(1),
            Have("2".into()),
        ] {
            unsaved.add(Change::Federation(change));
        }
        let wanted = [
            link("a@x.example", "2"),
            NoLink(peer("b@x.example")),
            Have("2".into()),
            event(2),
            event(1),
            KeepEvents(2),
        ];
        assert_eq!(unsaved.len(), wanted.len());
        let taken = unsaved.take();
        assert_eq!(taken, wanted.map(Change::Federation));
        assert!(unsaved.is_empty());
        unsaved.put_back(taken.clone());
        assert_eq!(unsaved.take(), taken);
    }

    #[test]
    fn a_room_that_is_made_anew_begins_anew() {
        let mut unsaved = Unsaved::default();
        for change in [state("1"), message("1"), Change::Destroyed, state("2")] {
            unsaved.add(change);
        }
        assert_eq!(unsaved.take(), [Change::Destroyed, state("2")]);
    }
}
