//! What happens here, for other nodes to know.

use std::sync::Arc;

use xmpp_core::stanza::Stanza;
use xmpp_core::xml::ns::CLIENT;

use super::crowd::{Known, Via};
use super::event::{Event, Passing};
use super::link::id_of;
use super::node::{Node, Turn};
use super::settings::Payloads;
use crate::room::elsewhere::{self, Occupant, Said};

/// What goes with what is said, and is not worth keeping by itself (§5.6 of the design, D1).
const FLEETING: &[&str] = &[
    "http://jabber.org/protocol/chatstates",
    "urn:xmpp:chat-markers:0",
    "urn:xmpp:receipts",
    "urn:xmpp:hints",
    "urn:xmpp:sid:0",
];

impl Node {
    /// Something has happened in the room here.
    pub(super) fn happened(&mut self, event: elsewhere::Event, turn: &mut Turn<'_>) {
        use elsewhere::Event as Local;
        match event {
            Local::Present {
                occupant,
                instead_of,
            } => {
                self.present(occupant, turn);
                if let Some(old) = instead_of
                    && let Some(known) = self.crowd.get(&old)
                {
                    let nick = known.occupant.nick.clone();
                    self.gone(&old, nick, elsewhere::Parting::default(), turn);
                }
            }
            Local::Renamed { jid, to, .. } => {
                if let Some(known) = self.crowd.get(&jid) {
                    let nick = to;
                    let occupant = known.occupant.clone();
                    self.present(Occupant { nick, ..occupant }, turn);
                }
            }
            Local::Left { jid, nick, parting } => self.gone(&jid, nick, parting, turn),
            Local::Said(said) => self.said(said, turn),
            Local::Subject(said) => self.subject_set(said, turn),
            Local::Private {
                by,
                nick,
                sender,
                to,
                message,
            } => self.whisper_out(&by, &nick, &sender, &to, &message, turn),
            Local::Expelled { jid, parting, .. } => self.ask_to_expel(&jid, &parting, turn),
            Local::Given { jid, role, parting } => self.ask_to_give(&jid, role, &parting, turn),
        }
    }

    fn present(&mut self, occupant: Occupant, turn: &mut Turn<'_>) {
        self.displace(&occupant.nick, turn);
        let known = self.crowd.get(&occupant.jid);
        let same = known.is_some_and(|known| known.occupant.stands_as(&occupant));
        let dot = (!same).then(|| self.dot(turn.now));
        let known = self.crowd.get(&occupant.jid);
        let before = known.and_then(|known| known.dot.clone());
        let lasting = dot.clone().or(before);
        self.crowd.insert(Known::here(occupant.clone(), lasting));
        let event = Event::Here(occupant);
        self.publish(
            &Via::Here,
            &Passing {
                event,
                dot,
                late: None,
            },
            turn,
        );
    }

    fn gone(
        &mut self,
        jid: &xmpp_core::Jid,
        nick: String,
        parting: elsewhere::Parting,
        turn: &mut Turn<'_>,
    ) {
        let dot = self.dot(turn.now);
        self.crowd.remove(jid, Some(&dot));
        let event = Event::Gone {
            jid: jid.clone(),
            nick,
            parting,
        };
        let dot = Some(dot);
        self.publish(
            &Via::Here,
            &Passing {
                event,
                dot,
                late: None,
            },
            turn,
        );
    }

    fn said(&mut self, said: Said, turn: &mut Turn<'_>) {
        let mut message = self.names.outward(portable(&said.message));
        let dot = (!is_fleeting(&message)).then(|| self.dot(turn.now));
        if let Some(dot) = &dot {
            if message.id().is_none() {
                message.set_id(id_of(dot).as_str());
            }
            self.names.note(&message, &said.id);
        }
        let passing = Passing {
            dot,
            event: Event::Said {
                by: said.by,
                nick: said.nick,
                message: Arc::new(message),
            },
            late: (said.at != turn.now.utc).then_some(said.at),
        };
        self.publish(&Via::Here, &passing, turn);
    }

    fn subject_set(&mut self, said: Said, turn: &mut Turn<'_>) {
        let passing = Passing {
            event: Event::Subject {
                by: said.by,
                nick: said.nick,
                message: Arc::new(portable(&said.message)),
                stamp: self.clock.stamp(turn.now.utc),
            },
            dot: Some(self.dot(turn.now)),
            late: None,
        };
        self.publish(&Via::Here, &passing, turn);
        self.subject = Some(passing);
    }
}

/// Whether nothing in a message is worth keeping.
pub(super) fn is_fleeting(message: &Stanza) -> bool {
    let mut children = message.payload().children();
    children.all(|child| FLEETING.contains(&child.ns()))
}

/// A message without what is this room's to say.
pub(super) fn portable(message: &Stanza) -> Stanza {
    let ours = |child: &xmpp_core::stanza::Child<'_>| {
        !Payloads::AllButOurs.pass(child.name(), child.ns()) && !child.is("subject", CLIENT)
    };
    let payload = message.payload().without(ours);
    message
        .clone()
        .with_from(None)
        .with_to(None)
        .with_payload(payload)
}

impl Occupant {
    /// Whether nothing is different but what they say of themselves.
    pub(super) fn stands_as(&self, other: &Occupant) -> bool {
        (&self.nick, self.affiliation, self.role) == (&other.nick, other.affiliation, other.role)
    }
}
