//! What those elsewhere have asked to be done with one who is here.

use xmpp_core::Jid;
use xmpp_core::time::Now;

use super::Parting;
use crate::room::presence::{Notice, Sight};
use crate::room::{Output, Role, Room, Turn};

/// "Inform user that service has assigned or modified the occupant's roomnick" (§16.6.2).
const ASSIGNED: u16 = 210;

impl Room {
    /// Takes somebody who is here out of the room, since somebody elsewhere has asked for it; an [`Event::Left`] comes of it. `false` if they are not here.
    /// Where else they are they stay.
    pub(crate) fn expel(
        &mut self,
        jid: &Jid,
        parting: &Parting,
        now: Now,
        out: &mut Vec<Output>,
    ) -> bool {
        let turn = &mut Turn { now, out };
        let seat = self.occupants.of(jid);
        let Some((seat, there)) = seat.and_then(|seat| Some((seat, self.occupants.get(seat)?)))
        else {
            return false;
        };
        let notice = self.notice(parting);
        if there.elsewhere.is_empty() {
            self.remove(seat, &notice, turn);
        } else {
            let clients = there.clients();
            let own = self.unavailable(there, &notice, Sight::Own);
            turn.broadcast(own, clients.clone());
            for client in clients.iter() {
                self.occupants.part(client);
                self.ask_no_more(client, turn);
            }
            self.tell_nodes_left(seat, &notice, turn);
            self.tell_others(seat, &Notice::default(), turn);
        }
        self.settle(turn);
        true
    }

    /// Gives somebody who is here another role, since somebody elsewhere has asked for it; an [`Event::Present`] comes of it.
    /// `false` if they are not here, or it is none.
    pub(crate) fn give(
        &mut self,
        jid: &Jid,
        role: Role,
        parting: &Parting,
        now: Now,
        out: &mut Vec<Output>,
    ) -> bool {
        let notice = self.notice(parting);
        let seat = self.occupants.of(jid).filter(|_| role != Role::None);
        let Some((seat, there)) = seat.and_then(|seat| Some((seat, self.occupants.get_mut(seat)?)))
        else {
            return false;
        };
        let (was, user) = (there.role, there.real.clone());
        there.role = role;
        self.note_voice(&user, role);
        if was != role {
            self.announce(seat, &notice, &mut Turn { now, out });
        }
        true
    }

    /// Gives somebody who is here another nick (§7.6: 303, then 110 and 210), since theirs is somebody else's elsewhere; an [`Event::Renamed`] comes of it.
    /// `false` if they are not here, or cannot have it: somebody has it, or it is too long, or no nick.
    pub(crate) fn rename_here(
        &mut self,
        jid: &Jid,
        nick: &str,
        now: Now,
        out: &mut Vec<Output>,
    ) -> bool {
        let turn = &mut Turn { now, out };
        let (Some(seat), Ok(address)) = (self.occupants.of(jid), self.jid.with_resource(nick))
        else {
            return false;
        };
        if self.rename(seat, &address, turn) != Ok(true) {
            return false;
        }
        self.tell_itself(seat, &Notice::code(ASSIGNED), None, turn);
        self.tell_others(seat, &Notice::default(), turn);
        true
    }
}
