//! What somebody here would do, before it is done: a room that is a replica asks first (XEP-0289 §3).

use xmpp_core::stanza::{Kind, PresenceType, Stanza};
use xmpp_core::time::Now;

use super::Occupant;
use crate::ns;
use crate::room::message::Prepared;
use crate::room::{Output, Room, Turn};

impl Room {
    /// What somebody here would say to all. If they may not they are told so, and it is `None`.
    pub(crate) fn prepare(
        &mut self,
        stanza: &Stanza,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Option<Prepared> {
        let mut turn = Turn { now, out };
        let from = stanza.from()?.clone();
        match self.prepared(stanza, &from, &turn) {
            Ok(prepared) => Some(prepared),
            Err(error) => {
                turn.refuse(stanza, error);
                None
            }
        }
    }

    /// Says what was [prepared](Self::prepare).
    pub(crate) fn publish(&mut self, prepared: Prepared, now: Now, out: &mut Vec<Output>) {
        let turn = &mut Turn { now, out };
        self.say(prepared, turn);
        self.settle(turn);
    }

    /// As what somebody would be in the room by this presence, if by it they would come or have another nick. `None` also if they may not.
    pub(crate) fn would_be(&self, stanza: &Stanza) -> Option<Occupant> {
        let (from, to) = (stanza.from()?, stanza.to()?.as_full()?);
        if stanza.kind() != Kind::Presence(PresenceType::Available) {
            return None;
        }
        let Some(seat) = self.occupants.of(from) else {
            let x = stanza.payload().child("x", ns::MUC)?;
            return self.would_enter(stanza, from, &to, &x.element());
        };
        let there = self.occupants.get(seat)?;
        let taken = self.occupants.named(to.resource());
        let free = taken.is_none_or(|holder| holder == seat);
        let renamed =
            there.address != to && free && self.check_nick(to.resource(), &there.real).is_ok();
        let occupant = there.abroad().filter(|_| renamed)?;
        Some(Occupant {
            nick: to.resource().to_owned(),
            ..occupant
        })
    }
}
