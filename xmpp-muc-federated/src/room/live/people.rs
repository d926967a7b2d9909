//! Who is in the room, and what was said.

use super::super::elsewhere;
use super::super::history::{History, Kept};
use super::super::occupants::{Claim, Occupant, Occupants, Seat, Session};
use super::super::subject::Subject;
use super::*;

impl Subject {
    pub(super) fn write(&self) -> Element {
        holding("subject", &self.message).with_attr("at", &self.at.0.to_string())
    }

    pub(super) fn read(element: &Element) -> Result<Subject, RecordError> {
        Ok(Subject {
            message: held(element)?,
            at: at(element)?,
        })
    }
}

impl History {
    pub(super) fn write(&self) -> Element {
        let said = self.kept.iter().map(|kept| {
            let said = holding("said", &kept.stanza);
            said.with_attr("at", &kept.at.0.to_string())
        });
        let history = element("history").with_attr("untold", &self.untold.to_string());
        history.with_children(said)
    }

    pub(super) fn read(element: &Element) -> Result<History, RecordError> {
        let mut history = History {
            untold: parsed(wanted(element, "untold")?)?,
            ..History::default()
        };
        for said in element.children().filter(|child| child.is("said", NS)) {
            let kept = Kept::new(held(said)?, at(said)?);
            history.bytes += kept.bytes;
            history.kept.push_back(kept);
        }
        Ok(history)
    }
}

impl Occupants {
    /// Everybody at their seat: who sits where decides in which order others hear of them.
    pub(super) fn write(&self) -> Element {
        let free: Vec<_> = self.free.iter().map(usize::to_string).collect();
        let mut all = element("occupants").with_attr("free", &free.join(" "));
        for (seat, occupant) in self.iter() {
            let one = occupant.write();
            all.push(one.with_attr("seat", &seat.0.to_string()));
        }
        all
    }

    pub(super) fn read(element: &Element, room: &Room) -> Result<Occupants, RecordError> {
        let free = wanted(element, "free")?.split_whitespace().map(parsed);
        let mut all = Occupants::default();
        all.free = free.collect::<Result<_, _>>()?;
        let there: Vec<&Element> = element
            .children()
            .filter(|child| child.is("occupant", NS))
            .collect();
        let seats = there.len() + all.free.len();
        all.seats.resize_with(seats, || None);
        for one in there {
            let at: usize = parsed(wanted(one, "seat")?)?;
            let is_free = all.seats.get(at).is_some_and(Option::is_none);
            if !is_free || !all.sit(Seat(at), Occupant::read(one, room)?) {
                return Err(RecordError::new("two occupants where one can be"));
            }
        }
        let mut free = all.free.iter();
        match free.all(|at| all.seats.get(*at).is_some_and(Option::is_none)) {
            true => Ok(all),
            false => Err(RecordError::new("a seat that is free and is not")),
        }
    }
}

impl Occupant {
    fn write(&self) -> Element {
        let mut one = element("occupant")
            .with_attr("nick", self.address.resource())
            .with_attr("jid", self.real.as_str())
            .with_attr("role", self.role.name())
            .with_attr("affiliation", self.affiliation.name())
            .with_attr("id", &self.id)
            .with_attr("told", self.told.name());
        one.set_attr("shown", self.shown.then_some("1"));
        let sessions = self.sessions.iter().map(Session::write);
        let claims = self.elsewhere.iter().map(|claim| {
            let there = claim.session.write();
            element("elsewhere")
                .with_attr("role", claim.role.name())
                .with_attr("affiliation", claim.affiliation.name())
                .with_child(there)
        });
        let known = self.known.as_ref().map(|known| {
            holding("known", &known.presence)
                .with_attr("jid", known.jid.as_str())
                .with_attr("nick", &known.nick)
                .with_attr("role", known.role.name())
                .with_attr("affiliation", known.affiliation.name())
        });
        one.with_children(sessions)
            .with_children(claims)
            .with_children(known)
    }

    fn read(element: &Element, room: &Room) -> Result<Occupant, RecordError> {
        let nick = wanted(element, "nick")?;
        let children = |name: &'static str| element.children().filter(move |one| one.is(name, NS));
        let known = children("known").next().map(|known| {
            Ok::<_, RecordError>(Box::new(elsewhere::Occupant {
                jid: jid(known)?,
                nick: wanted(known, "nick")?.to_owned(),
                affiliation: affiliation(known)?,
                role: role(known, "role")?,
                presence: held(known)?,
            }))
        });
        let occupant = Occupant {
            address: room.jid.with_resource(nick).map_err(RecordError::new)?,
            real: parsed(wanted(element, "jid")?)?,
            role: role(element, "role")?,
            affiliation: affiliation(element)?,
            id: wanted(element, "id")?.into(),
            sessions: children("session")
                .map(Session::read)
                .collect::<Result<_, _>>()?,
            elsewhere: children("elsewhere")
                .map(Claim::read)
                .collect::<Result<_, _>>()?,
            known: known.transpose()?,
            shown: element.attr("shown").is_some(),
            told: role(element, "told")?,
            heard: Default::default(),
        };
        match occupant.latest() {
            Some(_) => Ok(occupant),
            None => Err(lacks(element, "session")),
        }
    }
}

impl Session {
    fn write(&self) -> Element {
        holding("session", &self.presence).with_attr("jid", self.jid.as_str())
    }

    fn read(element: &Element) -> Result<Session, RecordError> {
        Ok(Session {
            jid: jid(element)?,
            presence: held(element)?,
        })
    }
}

impl Claim {
    fn read(element: &Element) -> Result<Claim, RecordError> {
        let session = element.child("session", NS);
        Ok(Claim {
            session: Session::read(session.ok_or_else(|| lacks(element, "session"))?)?,
            role: role(element, "role")?,
            affiliation: affiliation(element)?,
        })
    }
}
