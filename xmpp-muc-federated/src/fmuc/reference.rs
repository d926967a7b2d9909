//! What one message says of another: a correction, a reply, a reaction (§5.12 of the design, B4).
//!
//! A message has an id of its author's client, which goes from room to room with it, and one that each room has given it (XEP-0359), which means nothing
//! elsewhere. So rooms tell each other of a message by the first; a room translates from and to what its own clients say.
//!
//! Over a narrow link a long id does not go: the room at the other end knows the message by the name of its event. It need not know more, since the one
//! that has withheld the id translates, in both directions.

use std::collections::VecDeque;

use xmpp_core::Jid;
use xmpp_core::stanza::{Payload, Stanza};

use super::Dot;
use super::link::id_of;

/// The most messages that are remembered by their ids: of one room, and for each of its narrow links.
const NAMES_MAX: usize = 1000;

/// The elements with an `id` that is another message's, and which of its ids that is in a room.
const REFERENCES: &[(&str, &str, Which)] = &[
    // XEP-0308
    ("replace", "urn:xmpp:message-correct:0", Which::Authors),
    // XEP-0461 §4.1: "in group chat situations, the ID assigned to the stanza by the group chat itself must be used"
    ("reply", REPLY, Which::Rooms),
    // XEP-0444 §4.2, the same
    ("reactions", "urn:xmpp:reactions:0", Which::Rooms),
    // XEP-0424 §5, the same
    ("retract", "urn:xmpp:message-retract:1", Which::Rooms),
    // XEP-0333
    ("received", MARKERS, Which::Rooms),
    ("displayed", MARKERS, Which::Rooms),
    ("acknowledged", MARKERS, Which::Rooms),
];
const REPLY: &str = "urn:xmpp:reply:0";
const MARKERS: &str = "urn:xmpp:chat-markers:0";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    /// That of the author's client.
    Authors,
    /// That of the room.
    Rooms,
}

/// The ids of messages, as their authors have given them and as this room has.
#[derive(Debug, Default)]
pub(super) struct Names {
    all: VecDeque<Name>,
}

#[derive(Debug)]
struct Name {
    authors: String,
    rooms: String,
}

impl Names {
    /// A message has been said in this room.
    pub(super) fn note(&mut self, message: &Stanza, id: &str) {
        if let Some(authors) = message.id() {
            remember(
                &mut self.all,
                Name {
                    authors: authors.to_owned(),
                    rooms: id.to_owned(),
                },
            );
        }
    }

    /// A message of this room, as it is told to others.
    pub(super) fn outward(&self, message: Stanza) -> Stanza {
        translate(message, |which, id| {
            let known = self.all.iter().rev().filter(|_| which == Which::Rooms);
            let name = known.into_iter().find(|name| name.rooms == id)?;
            // Another one may have the id that its author has given it: then it would be taken for that.
            let newest = self.all.iter().rev();
            let newest = newest.into_iter().find(|one| one.authors == name.authors)?;
            (newest.rooms == id).then(|| name.authors.clone())
        })
    }

    /// A message of others, as it is told in this room.
    pub(super) fn inward(&self, message: Stanza) -> Stanza {
        translate(message, |which, id| {
            let mut known = self.all.iter().rev().filter(|_| which == Which::Rooms);
            let name = known.find(|name| name.authors == id)?;
            Some(name.rooms.clone())
        })
    }
}

/// The ids that do not go over a link.
#[derive(Debug, Default)]
pub(super) struct Withheld {
    all: VecDeque<Short>,
}

#[derive(Debug)]
struct Short {
    id: String,
    event: String,
}

impl Withheld {
    /// The id of this event's message did not go.
    pub(super) fn note(&mut self, id: &str, dot: &Dot) {
        let event = id_of(dot);
        if event != id {
            let id = id.to_owned();
            remember(&mut self.all, Short { id, event });
        }
    }

    /// What a message refers to, as the peer knows it.
    pub(super) fn outward(&self, message: Stanza) -> Stanza {
        translate(message, |_, id| {
            let one = self.all.iter().rev().find(|one| one.id == id)?;
            Some(one.event.clone())
        })
    }

    /// And as it is known here.
    pub(super) fn inward(&self, message: Stanza) -> Stanza {
        translate(message, |_, id| {
            let one = self.all.iter().rev().find(|one| one.event == id)?;
            Some(one.id.clone())
        })
    }
}

/// The author of what a message replies to is an occupant of the room that says so (XEP-0461 §3): here they are one of this room.
pub(super) fn replied_to(message: Stanza, place: impl Fn(&Jid) -> Option<Jid>) -> Stanza {
    let to = message.payload().child("reply", REPLY);
    let to = to.and_then(|reply| Jid::new(&reply.attr("to")?).ok());
    match to.and_then(|to| place(&to)) {
        Some(to) => rewrite(message, |element| {
            if element.is("reply", REPLY) {
                element.set_attr("to", to.as_str());
            }
        }),
        None => message,
    }
}

fn remember<T>(all: &mut VecDeque<T>, one: T) {
    if all.len() >= NAMES_MAX {
        all.pop_front();
    }
    all.push_back(one);
}

fn which(name: &str, ns: &str) -> Option<Which> {
    let known = REFERENCES.iter().find(|one| (one.0, one.1) == (name, ns));
    known.map(|(_, _, which)| *which)
}

/// The message with other ids for what it refers to; those for which there is none stay.
fn translate(message: Stanza, other: impl Fn(Which, &str) -> Option<String>) -> Stanza {
    let refers = |message: &Stanza| {
        let mut children = message.payload().children();
        children.any(|child| which(child.name(), child.ns()).is_some())
    };
    if !refers(&message) {
        return message;
    }
    rewrite(message, |element| {
        let which = which(element.name(), element.ns());
        let id = which.and_then(|which| other(which, element.attr("id")?));
        if let Some(id) = id {
            element.set_attr("id", id.as_str());
        }
    })
}

fn rewrite(message: Stanza, change: impl Fn(&mut xmpp_core::xml::Element)) -> Stanza {
    let mut all: Vec<_> = message.payload().elements().collect();
    all.iter_mut().for_each(change);
    let payload = Payload::from_elements(&all);
    message.with_payload(payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::NodeId;

    fn message(id: &str, child: &str) -> Stanza {
        Stanza::parse(&format!(
            "<message id='{id}'><body>x</body>{child}</message>"
        ))
        .unwrap()
    }

    const REACTS: &str =
        "<reactions xmlns='urn:xmpp:reactions:0' id='ID'><reaction>!</reaction></reactions>";
    const CORRECTS: &str = "<replace xmlns='urn:xmpp:message-correct:0' id='ID'/>";

    #[test]
    fn a_room_says_of_which_of_its_messages_it_speaks_by_the_id_of_the_author() {
        let mut names = Names::default();
        names.note(&message("one", ""), "R1");
        names.note(&message("two", ""), "R2");
        let reacts = |id: &str| message("x", &REACTS.replace("ID", id));
        assert_eq!(names.outward(reacts("R1")), reacts("one"));
        assert_eq!(names.inward(reacts("one")), reacts("R1"));
        assert_eq!(names.outward(reacts("R9")), reacts("R9"));
        // XEP-0308 has the author's in a room too.
        let corrects = message("x", &CORRECTS.replace("ID", "two"));
        assert_eq!(names.outward(corrects.clone()), corrects);
        assert_eq!(names.inward(corrects.clone()), corrects);
        // Two clients that count from one.
        names.note(&message("one", ""), "R3");
        assert_eq!(names.outward(reacts("R1")), reacts("R1"));
        assert_eq!(names.outward(reacts("R3")), reacts("one"));
    }

    #[test]
    fn what_does_not_go_is_known_by_its_event() {
        let dot = Dot {
            node: NodeId::new("a@b"),
            epoch: 1,
            seq: 2,
        };
        let mut withheld = Withheld::default();
        withheld.note("a-very-long-id", &dot);
        let corrects = |id: &str| message("x", &CORRECTS.replace("ID", id));
        assert_eq!(
            withheld.outward(corrects("a-very-long-id")),
            corrects(&id_of(&dot))
        );
        assert_eq!(
            withheld.inward(corrects(&id_of(&dot))),
            corrects("a-very-long-id")
        );
        assert_eq!(withheld.outward(corrects("other")), corrects("other"));
    }

    #[test]
    fn only_so_many_are_remembered() {
        let mut names = Names::default();
        for at in 0..NAMES_MAX + 10 {
            names.note(&message(&format!("i{at}"), ""), &format!("R{at}"));
        }
        assert_eq!(names.all.len(), NAMES_MAX);
        assert_eq!(names.all[0].rooms, "R10");
    }
}
