//! A room in memory: by itself, or as a node of a federated one.

use std::sync::Arc;
use std::time::Instant;

use xmpp_core::machine::Machine as _;
use xmpp_core::stanza::Stanza;
use xmpp_core::time::Now;

use crate::fmuc::{self, Federation, Node};
use crate::room::{self, FederatedBy, Room};
use crate::store::StoredFederation;

/// A room in memory.
pub(super) struct Held {
    machine: Machine,
    /// How the node was told last that it is federated.
    federation: Option<Arc<Federation>>,
    /// What the room wants done.
    wanted: Vec<room::Output>,
}

enum Machine {
    Room(Box<Room>),
    Node(Box<Node>),
}

/// What happens to a room in memory.
pub(super) enum Happening {
    /// Somebody has sent this.
    Stanza(Stanza),
    /// Something that went to another node has come back.
    Returned(Stanza),
    /// Something has become of the streams to another domain.
    Link(xmpp_core::BareJid, fmuc::LinkState),
    /// It is time.
    Time,
    /// The service stops.
    Close,
}

impl Held {
    pub(super) fn new(mut room: Room, by: FederatedBy) -> Held {
        room.federate(by);
        Held {
            machine: Machine::Room(Box::new(room)),
            federation: None,
            wanted: Vec::new(),
        }
    }

    /// A room as it was stored, with what it knew of other nodes.
    pub(super) fn restore(
        room: Room,
        by: FederatedBy,
        stored: &StoredFederation,
        (settings, lives): (Arc<fmuc::Settings>, &fmuc::Lives),
        now: Now,
    ) -> Held {
        let held = Held::new(room, by);
        let federation = held.room().federation().cloned();
        let is_new = *stored == StoredFederation::default();
        // Others may take part that it has to leave.
        let is_alone = federation.is_none() && is_new;
        let Machine::Room(room) = held.machine else {
            return held;
        };
        if is_alone {
            return Held {
                machine: Machine::Room(room),
                ..held
            };
        }
        let told = federation.as_deref().cloned().unwrap_or_default();
        let node = match is_new {
            true => {
                let life = lives.begin(room.jid(), now);
                Node::in_life(*room, told, settings, life, now)
            }
            false => Node::restore(*room, told, settings, stored, now),
        };
        Held {
            machine: Machine::Node(Box::new(node)),
            federation,
            wanted: Vec::new(),
        }
    }

    pub(super) fn room(&self) -> &Room {
        match &self.machine {
            Machine::Room(room) => room,
            Machine::Node(node) => node.room(),
        }
    }

    /// The same as [`Room::may_persist`].
    pub(super) fn may_persist(&mut self, may: bool) {
        match &mut self.machine {
            Machine::Room(room) => room.may_persist(may),
            Machine::Node(node) => node.may_persist(may),
        }
    }

    /// The same as [`Room::forget_history`].
    pub(super) fn forget_history(&mut self, bytes: usize) {
        match &mut self.machine {
            Machine::Room(room) => room.forget_history(bytes),
            Machine::Node(node) => node.forget_history(bytes),
        }
    }

    /// The node, if the room is one.
    pub(super) fn node(&self) -> Option<&Node> {
        match &self.machine {
            Machine::Room(_) => None,
            Machine::Node(node) => Some(node),
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        match &self.machine {
            Machine::Room(room) => room.is_idle(),
            Machine::Node(node) => node.is_idle(),
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        match &self.machine {
            Machine::Room(room) => room.next_timeout(),
            Machine::Node(node) => node.next_timeout(),
        }
    }

    pub(super) fn handle(&mut self, what: Happening, now: Now, out: &mut Vec<fmuc::Output>) {
        match &mut self.machine {
            Machine::Room(room) => {
                match what {
                    Happening::Stanza(stanza) => {
                        room.handle(room::Input::Stanza(stanza), now, &mut self.wanted);
                    }
                    Happening::Close => room.handle(room::Input::Close, now, &mut self.wanted),
                    Happening::Time => room.handle_timeout(now, &mut self.wanted),
                    Happening::Returned(_) | Happening::Link(..) => {}
                }
                out.extend(self.wanted.drain(..).map(fmuc::Output::Room));
            }
            Machine::Node(node) => match what {
                Happening::Stanza(stanza) => node.handle(fmuc::Input::Stanza(stanza), now, out),
                Happening::Returned(stanza) => node.handle(fmuc::Input::Returned(stanza), now, out),
                Happening::Link(domain, state) => {
                    node.handle(fmuc::Input::Link { domain, state }, now, out);
                }
                Happening::Close => node.handle(fmuc::Input::Close, now, out),
                Happening::Time => node.handle_timeout(now, out),
            },
        }
    }

    /// How the node was told last that it is federated.
    pub(super) fn federation(&self) -> Option<&Federation> {
        self.federation.as_deref()
    }

    /// Whether it is federated as its owner, or whoever runs the service, wants it now.
    pub(super) fn is_as_wanted(&self) -> bool {
        match (self.room().federation(), &self.federation) {
            (None, None) => true,
            (Some(wanted), Some(told)) => Arc::ptr_eq(wanted, told),
            _ => false,
        }
    }

    /// Has it be federated as its owner, or whoever runs the service, wants it now.
    pub(super) fn configure(
        self,
        (settings, lives): (Arc<fmuc::Settings>, &fmuc::Lives),
        now: Now,
        out: &mut Vec<fmuc::Output>,
    ) -> Held {
        let federation = self.room().federation().cloned();
        let told = federation.as_deref().cloned().unwrap_or_default();
        let machine = match self.machine {
            Machine::Room(room) => {
                let life = lives.begin(room.jid(), now);
                let mut node = Node::in_life(*room, told, settings, life, now);
                // Those who are here already need the others at once.
                node.handle_timeout(now, out);
                Machine::Node(Box::new(node))
            }
            Machine::Node(mut node) => {
                node.handle(fmuc::Input::Configure(told), now, out);
                Machine::Node(node)
            }
        };
        Held {
            machine,
            federation,
            ..self
        }
    }
}
