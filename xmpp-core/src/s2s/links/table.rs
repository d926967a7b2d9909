//! The connections, by number and by place.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::LinkId;
use crate::BareJid;
use crate::mailbox::Envelope;
use crate::s2s::{Pair, Verify};

/// One connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: LinkId,
    /// For which it was opened, if we have opened it.
    pub(super) dialled: Option<Pair>,
    /// It is there.
    pub(super) open: bool,
    /// It comes to its end: it is handed nothing more.
    pub(super) closing: bool,
    /// It takes no further pairs.
    pub(super) full: bool,
    /// It wants no more until something is acknowledged.
    pub(super) hold: bool,
    /// The pairs that it can carry.
    pub(super) granted: Vec<Pair>,
    /// The pairs that the peer may send.
    pub(super) accepted: Vec<Pair>,
    /// Those whose way it is, or which are requested.
    pub(super) lines: Vec<Pair>,
    /// Of these, those that have more than it has room for.
    pub(super) stalled: VecDeque<Pair>,
    /// To be asked when it is connected.
    pub(super) verifies: Vec<Verify>,
    /// Bytes of stanzas that were handed over and are not written.
    pub(super) flying: usize,
    /// What has come back while it comes to its end.
    pub(super) back: Vec<Envelope>,
    /// Since when it has been of use.
    pub(super) since: Option<Instant>,
    /// When it was there, or was last given something to do.
    pub(super) used: Option<Instant>,
    /// The session that it is to go on with, or has gone on with.
    pub(super) session: Option<Arc<str>>,
    pub(super) resumed: bool,
    /// The pairs of a session that its stream was given and has not gone on with yet: what they have sent before is there.
    pub(super) pending: Vec<Pair>,
    /// The pairs of which something waits in its session, which has come out.
    pub(super) suspended: Option<Vec<Pair>>,
    /// The stream error of the peer.
    pub(super) error: Option<String>,
}

impl Link {
    pub(super) fn new(id: LinkId, dialled: Option<Pair>) -> Link {
        Link {
            id,
            open: dialled.is_none(),
            dialled,
            closing: false,
            full: false,
            hold: false,
            granted: Vec::new(),
            accepted: Vec::new(),
            lines: Vec::new(),
            stalled: VecDeque::new(),
            verifies: Vec::new(),
            flying: 0,
            back: Vec::new(),
            since: None,
            used: None,
            session: None,
            resumed: false,
            pending: Vec::new(),
            suspended: None,
            error: None,
        }
    }

    /// Whether a stanza of so many bytes may be handed over.
    pub(super) fn has_room(&self, bytes: usize, window: usize) -> bool {
        let room = self.flying == 0 || self.flying + bytes <= window;
        room && self.open && !self.closing && !self.hold
    }

    /// Whether nothing is on its way over it.
    pub(super) fn is_idle(&self) -> bool {
        let busy = self.closing || self.hold || self.flying > 0 || !self.pending.is_empty();
        self.open && !busy
    }

    /// Whether it carries the pair.
    pub(super) fn carries(&self, pair: &Pair) -> bool {
        !self.closing && self.granted.contains(pair)
    }

    /// Whether it may be asked for the pair.
    pub(super) fn may_carry(&self, pair: &Pair) -> bool {
        let reaches = match &self.dialled {
            Some(dialled) => dialled.to() == pair.to(),
            // XEP-0288 §2.2: "the receiving server MAY initiate Server Dialback authentications for other domains it hosts to any
            // domain authenticated to be hosted by the connecting server"; that there is bidi at all is known when something is granted.
            None => !self.granted.is_empty() && self.has_proven(pair.to()),
        };
        reaches && !self.closing && !self.full
    }

    /// Whether its stream was given the session of this name and has not gone on with it.
    pub(super) fn is_given(&self, name: &Arc<str>) -> bool {
        self.session.as_ref() == Some(name) && !self.resumed
    }

    /// Whether the peer has proven that it may send for this domain.
    pub(super) fn has_proven(&self, domain: &BareJid) -> bool {
        self.accepted.iter().any(|pair| pair.from() == domain)
    }

    /// Whether a key of this domain can be verified over it.
    pub(super) fn reaches(&self, domain: &BareJid) -> bool {
        let dialled = self.dialled.as_ref();
        !self.closing && dialled.is_some_and(|dialled| dialled.to() == domain)
    }
}

/// The place of a link, as long as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(usize);

/// All links.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Vec<Option<Link>>,
    free: Vec<usize>,
    ids: HashMap<LinkId, Slot>,
    /// Of those in it, how many we have opened.
    pub(super) outgoing: usize,
}

impl Table {
    pub(super) fn insert(&mut self, link: Link) -> Slot {
        let id = link.id;
        self.outgoing += usize::from(link.dialled.is_some());
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = Some(link);
                Slot(slot)
            }
            None => {
                self.slots.push(Some(link));
                Slot(self.slots.len() - 1)
            }
        };
        self.ids.insert(id, slot);
        slot
    }

    pub(super) fn remove(&mut self, slot: Slot) -> Option<Link> {
        let link = self.slots.get_mut(slot.0)?.take()?;
        self.free.push(slot.0);
        self.ids.remove(&link.id);
        self.outgoing -= usize::from(link.dialled.is_some());
        Some(link)
    }

    pub(super) fn slot(&self, id: LinkId) -> Option<Slot> {
        self.ids.get(&id).copied()
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Link> {
        self.slots.get(slot.0)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Link> {
        self.slots.get_mut(slot.0)?.as_mut()
    }

    pub(super) fn by_id(&mut self, id: LinkId) -> Option<&mut Link> {
        let slot = self.slot(id)?;
        self.get_mut(slot)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Link> {
        self.slots.iter_mut().flatten()
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn incoming(&self) -> usize {
        self.len() - self.outgoing
    }
}
