//! Requests to the room itself (XEP-0045 §17.4): "An IQ sent to the JID of the room itself is handled by the room".

use xmpp_core::im::{disco, form};
use xmpp_core::stanza::{Condition, IqType, Kind, Stanza, StanzaError};
use xmpp_core::xml::Element;
use xmpp_core::{BareJid, Jid};

use super::elsewhere::Actor;
use super::occupants::Seat;
use super::privilege::Standing;
use super::rate::Cost;
use super::{Affiliation, Role, Room, Turn};
use crate::ns;

/// Who asks for something.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    /// Who they really are.
    pub(super) user: BareJid,
    /// Where they are in the room, if they are: with the client that asks, or with another of theirs.
    pub(super) seat: Option<Seat>,
    /// What they are.
    pub(super) standing: Standing,
}

/// Why something is not done.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    error: Box<StanzaError>,
    /// §8.4: "return a <not-allowed/> error to the sender along with the offending item(s)"
    offending: Option<Box<Element>>,
}

impl Refusal {
    /// Because of this part of the request.
    pub(super) fn of(error: impl Into<StanzaError>, offending: Element) -> Refusal {
        Refusal {
            error: Box::new(error.into()),
            offending: Some(Box::new(offending)),
        }
    }
}

impl<E: Into<StanzaError>> From<E> for Refusal {
    fn from(error: E) -> Refusal {
        Refusal {
            error: Box::new(error.into()),
            offending: None,
        }
    }
}

impl Asker {
    pub(super) fn affiliation(&self) -> Affiliation {
        self.standing.affiliation
    }
}

impl Room {
    /// A request to the room. There is one answer, always.
    pub(super) fn request(&mut self, request: &Stanza, from: &Jid, turn: &mut Turn<'_>) {
        if let Err(refusal) = self.respond(from, request, turn) {
            turn.deny(request, refusal);
        }
    }

    /// A form in a message to the room: somebody asks for voice, or decides about what others ask for. `None` if there is none.
    pub(super) fn submission(
        &mut self,
        message: &Stanza,
        from: &Jid,
        turn: &mut Turn<'_>,
    ) -> Option<Result<(), StanzaError>> {
        let form = message.payload().child("x", form::NS)?.element();
        let form_type = form::form_type(&form)?.into_owned();
        let is_cancelled = form.attr("type") == Some("cancel");
        if !is_cancelled && form.attr("type") != Some("submit") {
            return None;
        }
        let is_voice = form_type == ns::REQUEST;
        if !is_voice && form_type != ns::REGISTER_FORM {
            return None;
        }
        // §8.6: "To skip this request, click the cancel button."
        if is_cancelled {
            return Some(Ok(()));
        }
        if let Err(error) = self.spend(&from.to_bare(), Cost::Stanza, turn) {
            return Some(Err(error));
        }
        let asker = self.asker(from);
        Some(match is_voice {
            true => self.voice(&asker, &form, turn),
            false => self.decide(&asker, &form, turn).map_err(Into::into),
        })
    }

    /// Does what is asked for, and answers; or says why not.
    fn respond(
        &mut self,
        from: &Jid,
        request: &Stanza,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal> {
        let user = from.to_bare();
        let affiliation = self.affiliation(&user);
        // §7.2.10: to others a room that is not unlocked yet is not there: <item-not-found/>.
        if self.is_new() || self.locked && affiliation < Affiliation::Owner {
            return Err(Condition::ItemNotFound.into());
        }
        let child = request.payload().children().next();
        let payload = child.ok_or(Condition::BadRequest)?.element();
        // Who runs the room may have a lot to do at once.
        if affiliation < Affiliation::Admin {
            self.spend(&user, Cost::Stanza, turn)?;
        }
        // They are looked for among all who are there.
        let asker = &self.asker(from);
        let is_get = request.kind() == Kind::Iq(IqType::Get);
        let result = match (payload.name(), payload.ns(), is_get) {
            ("query", disco::INFO, true) => self.info(asker, &payload)?,
            ("query", disco::ITEMS, true) => self.items(asker, &payload)?,
            ("query", ns::ADMIN, true) => self.list(asker, &payload)?,
            ("query", ns::ADMIN, false) => return self.administer(asker, &payload, request, turn),
            ("query", ns::OWNER, true) => self.configuration(asker)?,
            ("query", ns::OWNER, false) => return self.own(asker, &payload, request, turn),
            ("query", ns::REGISTER, true) => self.registration(asker)?,
            ("query", ns::REGISTER, false) => return self.register(asker, &payload, request, turn),
            ("ping", ns::PING, true) => {
                turn.answer(request.reply());
                return Ok(());
            }
            _ => return Err(Condition::ServiceUnavailable.into()),
        };
        self.spend(&asker.user, Cost::Items(result.children().count()), turn)?;
        turn.answer(request.reply().with_child(&result));
        Ok(())
    }

    /// Who somebody is to the room, and in it.
    pub(super) fn asker(&self, from: &Jid) -> Asker {
        let user = from.to_bare();
        // §8: "the <user@host> of the 'from' address of the request" is what counts: another client of theirs may be in the room.
        let seat = self.occupants.of(from).or_else(|| {
            let here = self.occupants.iter().filter(|(_, one)| !one.is_away());
            let own = here.filter(|(_, one)| one.real == user);
            own.max_by_key(|(_, one)| one.role).map(|(seat, _)| seat)
        });
        let occupant = seat.and_then(|seat| self.occupants.get(seat));
        Asker {
            standing: Standing {
                role: occupant.map_or(Role::None, |one| one.role),
                affiliation: self.affiliation(&user),
            },
            user,
            seat,
        }
    }

    /// One who asks, if they are in the room.
    pub(super) fn actor(&self, asker: &Asker) -> Option<Actor> {
        let occupant = self.occupants.get(asker.seat?)?;
        Some(Actor {
            nick: occupant.address.resource().to_owned(),
            jid: occupant.speaker().cloned(),
        })
    }
}

impl Turn<'_> {
    /// When all before it is stored.
    pub(super) fn answer(&mut self, stanza: Stanza) {
        self.out.push(super::Output::Answer(stanza));
    }

    fn deny(&mut self, request: &Stanza, refusal: Refusal) {
        let Some(reply) = request.error_reply(&refusal.error) else {
            return;
        };
        self.send(match refusal.offending {
            Some(offending) => {
                let error = refusal.error.to_element();
                reply.with_children([&*offending, &error])
            }
            None => reply,
        });
    }
}
