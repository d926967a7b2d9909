//! Nicks: what may be one, and another one (XEP-0045 §7.6, §17.1).

use xmpp_core::jid::nickname;
use xmpp_core::stanza::{Condition, StanzaError};
use xmpp_core::{BareJid, FullJid};

use super::occupants::Seat;
use super::{Room, Turn};

impl Room {
    /// Whether the user may have this nick, as far as those are concerned who are not there.
    pub(super) fn check_nick(&self, nick: &str, user: &BareJid) -> Result<(), StanzaError> {
        if nick.len() > self.settings.limits.nick {
            return Err(
                StanzaError::new(Condition::PolicyViolation).with_text("the nick is too long")
            );
        }
        // §17.1: "a MUC service MUST NOT allow empty or invisible Room Nicknames"
        if nickname(nick).is_err() {
            return Err(Condition::JidMalformed.into());
        }
        match self.affiliations.holder(nick) {
            // §7.12: "the service MUST deny entry to the second user and return a conflict error"
            Some(holder) if *holder != *user.as_jid() => Err(Condition::Conflict.into()),
            _ => Ok(()),
        }
    }

    /// Another nick for an occupant, if it is another. That the new one is there is for the caller to tell.
    pub(super) fn rename(
        &mut self,
        seat: Seat,
        to: &FullJid,
        turn: &mut Turn<'_>,
    ) -> Result<bool, StanzaError> {
        let Some(occupant) = self.occupants.get(seat) else {
            return Ok(false);
        };
        if occupant.address == *to {
            return Ok(false);
        }
        self.check_nick(to.resource(), &occupant.real)?;
        // §7.6: "that is already in use by another user [...]: the service MUST deny the nickname change request"
        if self
            .occupants
            .named(to.resource())
            .is_some_and(|holder| holder != seat)
        {
            return Err(Condition::Conflict.into());
        }
        let respelt = self.occupants.named(to.resource()).is_some();
        if !occupant.elsewhere.is_empty() && !respelt {
            return self.part_ways(seat, to, turn).map(|()| true);
        }
        self.tell_rename(seat, to.resource(), turn);
        self.occupants.rename(seat, to.clone());
        Ok(true)
    }
}
