//! What other nodes hear of those here.

use std::sync::Arc;

use xmpp_core::Jid;
use xmpp_core::stanza::Stanza;
use xmpp_core::time::Timestamp;

use super::{Event, Said, Seated};
use crate::room::occupants::Seat;
use crate::room::presence::Notice;
use crate::room::{Output, Room, Turn};

impl Room {
    /// Other nodes hear what somebody here is now, if that is another thing than they know.
    pub(in crate::room) fn tell_nodes(&mut self, seat: Seat, turn: &mut Turn<'_>) {
        if !self.watched {
            return;
        }
        let occupant = self.occupants.get(seat).and_then(Seated::abroad);
        let (Some(occupant), Some(known)) = (occupant, self.occupants.known(seat)) else {
            return;
        };
        if known.as_deref() == Some(&occupant) {
            return;
        }
        let before = known.replace(Box::new(occupant.clone()));
        let before = before.map(|known| known.jid);
        turn.out.push(Output::Event(Event::Present {
            instead_of: before.filter(|before| *before != occupant.jid),
            occupant,
        }));
    }

    /// Nobody is on this seat here any more.
    pub(in crate::room) fn tell_nodes_left(
        &mut self,
        seat: Seat,
        notice: &Notice,
        turn: &mut Turn<'_>,
    ) {
        if let Some(known) = self.occupants.known(seat).and_then(Option::take) {
            turn.out.push(Output::Event(Event::Left {
                jid: known.jid,
                nick: known.nick,
                parting: notice.parting(),
            }));
        }
    }

    /// Other nodes hear that somebody has gone from here, and whom of theirs somebody here has taken out.
    pub(in crate::room) fn part_of(&self, gone: &Seated, notice: &Notice, turn: &mut Turn<'_>) {
        let nick = gone.address.resource();
        if let Some(known) = &gone.known {
            turn.out.push(Output::Event(Event::Left {
                jid: known.jid.clone(),
                nick: nick.to_owned(),
                parting: notice.parting(),
            }));
        }
        for claim in &gone.elsewhere {
            turn.out.push(Output::Event(Event::Expelled {
                jid: claim.session.jid.clone(),
                nick: nick.to_owned(),
                parting: notice.parting(),
            }));
        }
    }

    /// Somebody here has changed what an occupant is.
    pub(in crate::room) fn tell_given(&self, seat: Seat, notice: &Notice, turn: &mut Turn<'_>) {
        let Some(occupant) = self.occupants.get(seat).filter(|_| self.watched) else {
            return;
        };
        for claim in &occupant.elsewhere {
            turn.out.push(Output::Event(Event::Given {
                jid: claim.session.jid.clone(),
                role: claim.role,
                parting: notice.parting(),
            }));
        }
    }

    /// Something is said to all by one who is here, if other nodes want to know.
    pub(in crate::room) fn saying(
        &self,
        by: &Seated,
        message: &Stanza,
        id: &str,
        at: Timestamp,
    ) -> Option<Said> {
        if !self.watched {
            return None;
        }
        Some(Said {
            by: by.speaker()?.clone(),
            nick: by.address.resource().to_owned(),
            message: Arc::new(message.clone()),
            id: id.to_owned(),
            at,
        })
    }

    /// Something is said by one who is here to one who is (also) elsewhere.
    pub(in crate::room) fn whisper_out(
        &self,
        by: &Seated,
        to: &Seated,
        sender: &Jid,
        message: &Stanza,
        turn: &mut Turn<'_>,
    ) {
        for claim in &to.elsewhere {
            self.pass_on(by, &claim.session.jid, sender, message.clone(), turn);
        }
    }

    /// What one who is here says to one who is elsewhere, or the error for what that one has said.
    pub(in crate::room) fn pass_on(
        &self,
        by: &Seated,
        to: &Jid,
        sender: &Jid,
        message: Stanza,
        turn: &mut Turn<'_>,
    ) {
        if let Some(speaker) = by.speaker().filter(|_| self.watched) {
            turn.out.push(Output::Event(Event::Private {
                by: speaker.clone(),
                nick: by.address.resource().to_owned(),
                sender: sender.clone(),
                to: to.clone(),
                message,
            }));
        }
    }
}
