//! Those elsewhere come, take another nick, and go.

use xmpp_core::stanza::{Condition, PresenceType, StanzaError};
use xmpp_core::time::Now;
use xmpp_core::{BareJid, FullJid, Jid};

use super::{Occupant, Parting, Refusal, Seated};
use crate::room::occupants::{Claim, Seat, Session};
use crate::room::presence::Notice;
use crate::room::{Affiliation, Output, Role, Room, Turn};

impl Room {
    /// Somebody who is elsewhere is in the room, or is in it in another way. Who has said the same before is not heard of again;
    /// who comes with another nick than they had is [renamed](Self::rename_elsewhere).
    ///
    /// One whose bare JID has the nick already, here or elsewhere, shares it (§7.2.8). A presence that is larger than one here may be says nothing.
    pub(crate) fn take_in(
        &mut self,
        occupant: &Occupant,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<(), Refusal> {
        if self.locked {
            return Err(Refusal::Locked);
        }
        let real = occupant.jid.to_bare();
        match self.affiliation(&real) {
            Affiliation::Outcast => return Err(Refusal::Outcast),
            Affiliation::None if self.config.members_only => return Err(Refusal::Outcast),
            _ => {}
        }
        self.rename_elsewhere(&occupant.jid, &occupant.nick, now, out)?;
        let (address, holder) = self.place(&real, &occupant.nick)?;
        let claim = Claim {
            session: Session {
                jid: occupant.jid.clone(),
                presence: self.bounded_presence(&occupant.presence, PresenceType::Available),
            },
            role: occupant.role.max(Role::Visitor),
            affiliation: occupant.affiliation.max(Affiliation::None),
        };
        self.sit(claim, real, address, holder, &mut Turn { now, out })
    }

    /// They have another nick: 303, and the presence under the new one. One who shares theirs leaves it to the others. Of one who is not in the room nothing is done.
    pub(crate) fn rename_elsewhere(
        &mut self,
        jid: &Jid,
        nick: &str,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<(), Refusal> {
        let seat = self.occupants.elsewhere(jid);
        let Some((seat, there)) = seat.and_then(|seat| Some((seat, self.occupants.get(seat)?)))
        else {
            return Ok(());
        };
        let real = there.real.clone();
        let (address, holder) = self.place(&real, nick)?;
        let alone = there.is_away() && there.elsewhere.len() == 1;
        if holder == Some(seat) && (!alone || there.address == address) {
            return Ok(());
        }
        let stays = alone && holder.is_none_or(|holder| holder == seat);
        if !stays {
            self.has_place(holder)?;
        }
        let turn = &mut Turn { now, out };
        if alone {
            self.tell_rename(seat, address.resource(), turn);
        }
        if stays {
            self.occupants.rename(seat, address);
            self.tell_others(seat, &Notice::default(), turn);
            return Ok(());
        }
        let seen = there_is(self.occupants.get(seat), jid);
        let Some(claim) = self.occupants.part_elsewhere(jid) else {
            return Ok(());
        };
        if alone {
            self.occupants.leave(seat);
        } else if seen {
            self.tell_others(seat, &Notice::default(), turn);
        }
        self.sit(claim, real, address, holder, turn)
    }

    /// They are gone. Nobody is asked, and no event comes of it. The room ends with the last one, if it is one that does (§7.14).
    pub(crate) fn let_go(&mut self, jid: &Jid, parting: &Parting, now: Now, out: &mut Vec<Output>) {
        let seat = self.occupants.elsewhere(jid);
        let Some((seat, there)) = seat.and_then(|seat| Some((seat, self.occupants.get(seat)?)))
        else {
            return;
        };
        let turn = &mut Turn { now, out };
        let notice = self.notice(parting);
        if there.is_away() && there.elsewhere.len() == 1 {
            if let Some(gone) = self.take_out(seat, &notice, turn) {
                self.report(&gone, &notice, &self.audience(None), turn);
            }
            return self.settle(turn);
        }
        let seen = there_is(Some(there), jid);
        self.occupants.part_elsewhere(jid);
        if seen {
            self.tell_others(seat, &Notice::default(), turn);
        }
    }

    /// Those here take another nick, and leave the one they share to those elsewhere.
    pub(in crate::room) fn part_ways(
        &mut self,
        seat: Seat,
        to: &FullJid,
        turn: &mut Turn<'_>,
    ) -> Result<(), StanzaError> {
        if self.has_place(None).is_err() {
            return Err(Condition::ResourceConstraint.into());
        }
        self.tell_rename(seat, to.resource(), turn);
        let Some(there) = self.occupants.get(seat) else {
            return Ok(());
        };
        let (address, real) = (there.address.clone(), there.real.clone());
        let all = there.elsewhere.iter();
        let all: Vec<Jid> = all.map(|claim| claim.session.jid.clone()).collect();
        self.occupants.rename(seat, to.clone());
        for jid in all {
            if let Some(claim) = self.occupants.part_elsewhere(&jid) {
                let holder = self.occupants.named(address.resource());
                let holder = holder.filter(|holder| *holder != seat);
                let _ = self.sit(claim, real.clone(), address.clone(), holder, turn);
            }
        }
        Ok(())
    }

    /// The address of this nick, and the seat that has it, if it can be theirs.
    fn place(&self, user: &BareJid, nick: &str) -> Result<(FullJid, Option<Seat>), Refusal> {
        let address = self.jid.with_resource(nick).map_err(|_| Refusal::Nick)?;
        if let Err(error) = self.check_nick(address.resource(), user) {
            return Err(match error.condition {
                Condition::Conflict => Refusal::Taken,
                _ => Refusal::Nick,
            });
        }
        let holder = self.occupants.named(address.resource());
        let there = holder.and_then(|seat| self.occupants.get(seat));
        match there.is_some_and(|there| there.real != *user) {
            true => Err(Refusal::Taken),
            false => Ok((address, holder)),
        }
    }

    /// Whether one more fits on this seat, or in the room if it is none.
    fn has_place(&self, seat: Option<Seat>) -> Result<(), Refusal> {
        let limits = &self.settings.limits;
        let there = seat.and_then(|seat| self.occupants.get(seat));
        let fits = match there {
            Some(there) => there.elsewhere.len() < limits.sessions,
            None => self.occupants.len() < limits.occupants,
        };
        fits.then_some(()).ok_or(Refusal::Full)
    }

    /// Takes a seat, or shares it; all hear of what is seen of it.
    fn sit(
        &mut self,
        claim: Claim,
        real: BareJid,
        address: FullJid,
        holder: Option<Seat>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal> {
        let (seat, seen) = match holder.and_then(|seat| Some((seat, self.occupants.get(seat)?))) {
            Some((seat, there)) => {
                let jid = &claim.session.jid;
                let known = there.elsewhere.iter();
                let known = known.rev().find(|one| one.session.jid == *jid);
                if known.is_some_and(|known| *known == claim) {
                    return Ok(());
                }
                if known.is_none() {
                    self.has_place(Some(seat))?;
                }
                let seen = there.is_away();
                self.occupants.join_elsewhere(seat, claim);
                (seat, seen)
            }
            None => {
                self.has_place(None)?;
                let seat = self.occupants.enter(Seated {
                    address,
                    id: self.occupant_id(&real),
                    real,
                    role: claim.role,
                    affiliation: claim.affiliation,
                    sessions: Vec::new(),
                    shown: false,
                    told: claim.role,
                    elsewhere: vec![claim],
                    known: None,
                    heard: Default::default(),
                });
                (seat.ok_or(Refusal::Taken)?, true)
            }
        };
        if seen {
            self.tell_others(seat, &Notice::default(), turn);
        }
        Ok(())
    }
}

/// Whether it is this one at another node whose presence is seen.
fn there_is(occupant: Option<&Seated>, jid: &Jid) -> bool {
    let seen = occupant.filter(|one| one.is_away());
    seen.and_then(Seated::latest)
        .is_some_and(|latest| latest.jid == *jid)
}
