//! The way to the sessions of another node, in one of its lives.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use xmpp_core::FullJid;
use xmpp_core::mailbox::{self, Envelope, Inbox, Node, Reason, Settlement};
use xmpp_core::session::SessionId;
use xmpp_core::stanza::{IqType, Kind, MessageType, Stanza};

use super::lock;
use crate::cluster::SendError;
use crate::frame::{Carried, Outcome, Parcel, Push, Route, Verdict};
use crate::io::Cluster;
use crate::node::Life;

/// Stanzas for the sessions of one node of which it has not said yet what has become of them, at most.
pub const HELD: usize = 65_536;

/// Bytes of these, at most.
pub const HELD_BYTES: usize = 32 << 20;

/// A stanza that a node was sent, until it says what has become of it.
#[derive(Debug)]
pub(crate) struct Held {
    /// The stanza; whoever waits for it waits for this.
    pub(crate) envelope: Envelope,
    /// Whether it went whole, with nobody's filters run.
    pub(crate) whole: bool,
    /// What has become of it; `None` if nobody will say.
    pub(crate) verdict: Option<Verdict>,
}

pub(super) struct Gate {
    cluster: Cluster,
    to: Life,
    numbers: Arc<AtomicU64>,
    held: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// Each with its bytes.
    held: BTreeMap<u64, (usize, Held)>,
    bytes: usize,
    closed: bool,
}

/// The mailbox of one session there.
pub(super) struct Door {
    gate: Arc<Gate>,
    to: FullJid,
    session: SessionId,
}

impl Gate {
    pub(super) fn new(cluster: Cluster, to: Life, numbers: Arc<AtomicU64>) -> Gate {
        Gate {
            cluster,
            to,
            numbers,
            held: Mutex::default(),
        }
    }

    pub(super) fn life(&self) -> &Life {
        &self.to
    }

    /// Sends a stanza, and keeps it if anything follows from what becomes of it.
    fn send(&self, mut envelope: Envelope, to: Option<(&FullJid, SessionId)>) -> Settlement {
        let carried = carry(&envelope);
        let shared = envelope.share.is_some();
        let size = carried.stanza.len();
        let parcel = |number| match to {
            Some((to, session)) => Parcel::Push(Box::new(Push {
                number,
                to: to.clone(),
                session,
                shared,
                carried,
            })),
            None => Parcel::Route(Box::new(Route { number, carried })),
        };
        let awaited = envelope.origin.sm.is_some();
        if !awaited && !shared && !has_another_way(&envelope.stanza) {
            return match self.cluster.send(&self.to, &parcel(0)) {
                Ok(()) => Settlement::Done,
                Err(error) => envelope.refused(reason(error)),
            };
        }
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let settlement = {
            let mut table = lock(&self.held);
            if let Err(reason) = table.has_room(size) {
                return envelope.refused(reason);
            }
            let settlement = envelope.taken();
            let whole = to.is_none();
            table.bytes += size;
            let held = Held {
                envelope,
                whole,
                verdict: None,
            };
            table.held.insert(number, (size, held));
            settlement
        };
        match self.cluster.send(&self.to, &parcel(number)) {
            Ok(()) => settlement,
            Err(error) => match lock(&self.held).take(number) {
                Some(held) => held.envelope.refused(reason(error)),
                // The node went down, and what it had been sent goes another way.
                None => settlement,
            },
        }
    }

    /// What has become of one; `None` if that is not the last word, or nobody waits any more.
    pub(super) fn heard(&self, Outcome { number, verdict }: Outcome) -> Option<Held> {
        let mut table = lock(&self.held);
        if verdict == Verdict::Safe {
            let half_full = table.held.len() > HELD / 2 || table.bytes > HELD_BYTES / 2;
            if let Slot::Occupied(mut held) = table.held.entry(number)
                && !half_full
            {
                held.get_mut().1.envelope.settled();
                return None;
            }
            // There is room for those only of which less is known.
        }
        let mut held = table.take(number)?;
        held.verdict = Some(verdict);
        Some(held)
    }

    pub(super) fn held(&self) -> usize {
        lock(&self.held).held.len()
    }

    /// All that it has, oldest first; it takes no more.
    pub(super) fn close(&self) -> Vec<Held> {
        let mut table = lock(&self.held);
        table.closed = true;
        table.bytes = 0;
        let held = std::mem::take(&mut table.held).into_values();
        held.map(|(_, held)| held).collect()
    }
}

impl Table {
    fn has_room(&self, size: usize) -> Result<(), Reason> {
        if self.closed {
            return Err(Reason::Closed);
        }
        match self.held.len() < HELD && self.bytes + size <= HELD_BYTES {
            true => Ok(()),
            false => Err(Reason::Full),
        }
    }

    fn take(&mut self, number: u64) -> Option<Held> {
        let (size, held) = self.held.remove(&number)?;
        self.bytes = self.bytes.saturating_sub(size);
        Some(held)
    }
}

impl Node for Gate {
    fn route(&self, envelope: Envelope) -> Settlement {
        self.send(envelope, None)
    }
}

impl Door {
    pub(super) fn new(gate: Arc<Gate>, to: FullJid, session: SessionId) -> Door {
        Door { gate, to, session }
    }
}

impl Inbox for Door {
    fn push(&self, envelope: Envelope) -> Settlement {
        self.gate.send(envelope, Some((&self.to, self.session)))
    }

    fn node(&self) -> Option<&dyn mailbox::Node> {
        Some(&*self.gate)
    }
}

/// The mailbox of an entity that the node serves.
pub(super) struct Counter(pub(super) Arc<Gate>);

impl Inbox for Counter {
    fn push(&self, envelope: Envelope) -> Settlement {
        self.0.send(envelope, None)
    }
}

fn carry(envelope: &Envelope) -> Carried {
    Carried {
        stanza: text(&envelope.stanza),
        origin: envelope.origin.clone(),
    }
}

fn text(stanza: &Stanza) -> Bytes {
    let mut text = Vec::new();
    stanza.write(&mut text);
    text.into()
}

/// Whether something is done if the session does not get it: it goes elsewhere, or its sender hears so.
fn has_another_way(stanza: &Stanza) -> bool {
    match stanza.kind() {
        Kind::Message(kind) => matches!(kind, MessageType::Chat | MessageType::Normal),
        Kind::Iq(kind) => matches!(kind, IqType::Get | IqType::Set),
        Kind::Presence(_) => false,
    }
}

fn reason(error: SendError) -> Reason {
    match error {
        SendError::Down => Reason::Closed,
        SendError::Full | SendError::TooLong => Reason::Full,
    }
}
