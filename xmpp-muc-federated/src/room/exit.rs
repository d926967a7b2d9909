//! Leaving (XEP-0045 §7.14).

use xmpp_core::Jid;
use xmpp_core::stanza::Stanza;

use super::presence::{Notice, Sight};
use super::{Room, Turn};

impl Room {
    /// An unavailable presence. To whatever address of the room it goes, the client has left: its server sends it to all that it
    /// has ever sent a presence to.
    pub(super) fn absent(&mut self, stanza: &Stanza, from: &Jid, turn: &mut Turn<'_>) {
        let bounded = stanza.payload().as_bytes().len() <= self.settings.limits.presence;
        let payload = self.clean(stanza.payload());
        let said = stanza.clone().with_from(None).with_to(None).with_id(None);
        let notice = Notice {
            farewell: bounded.then(|| said.with_payload(payload)),
            ..Notice::default()
        };
        self.depart(from, &notice, turn);
    }

    /// A client has left; if it was the only one, so has the occupant.
    ///
    /// §17.3: "A room MUST silently ignore unavailable presence received from a user who has a role of "none"."
    pub(super) fn depart(&mut self, jid: &Jid, notice: &Notice, turn: &mut Turn<'_>) {
        let Some(seat) = self.occupants.of(jid) else {
            return;
        };
        let Some(occupant) = self.occupants.get(seat) else {
            return;
        };
        let alone = occupant.sessions.len() < 2;
        if alone && occupant.elsewhere.is_empty() {
            return self.remove(seat, notice, turn);
        }
        let news = occupant.latest().is_some_and(|latest| latest.jid == *jid);
        let own = self.unavailable_of(occupant, jid, notice, Sight::Own);
        turn.send(own.with_to(jid.clone()));
        self.occupants.part(jid);
        self.ask_no_more(jid, turn);
        if alone {
            self.tell_nodes_left(seat, notice, turn);
        }
        if news {
            self.tell_itself(seat, &Notice::default(), None, turn);
            self.tell_others(seat, &Notice::default(), turn);
        }
        // It may have been the one that speaks for the others.
        self.tell_nodes(seat, turn);
    }

    /// Each occupant hears that they are out, and nobody hears it of others: the room itself is what ends (§10.9, §11.2). Nor is
    /// there an [event](super::elsewhere::Event) for each: other nodes hear that this one is gone.
    pub(super) fn dismiss_all(&mut self, notice: &Notice, turn: &mut Turn<'_>) {
        let seats: Vec<_> = self.occupants.iter().map(|(seat, _)| seat).collect();
        for seat in seats {
            self.take_out(seat, notice, turn);
        }
    }
}
