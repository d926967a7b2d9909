//! What those elsewhere say.

use xmpp_core::stanza::{Condition, MessageType, Stanza, StanzaError};
use xmpp_core::time::{Now, Timestamp};
use xmpp_core::{FullJid, Jid};

use crate::room::history::stamped;
use crate::room::presence::occupant_id;
use crate::room::privilege::Privilege;
use crate::room::subject::{self, Subject};
use crate::room::{Affiliation, Output, Role, Room, Turn};

impl Room {
    /// Says to all here what somebody elsewhere has said, and remembers it. `at` is when, for what comes late: then it bears a delay (XEP-0203).
    /// Its id in this room (XEP-0359); `None` if nobody here hears it: they have no voice here (§7.4), or are not in the room, or it is a [subject](Self::adopt_subject).
    pub(crate) fn hear(
        &mut self,
        by: &Jid,
        message: &Stanza,
        at: Option<Timestamp>,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Option<String> {
        let seat = self.occupants.elsewhere(by);
        let occupant = seat.and_then(|seat| self.occupants.get(seat))?;
        if !self.config.allows(occupant.role, Privilege::SpeakToAll)
            || subject::is_change(message.payload())
        {
            return None;
        }
        let (address, id) = (occupant.address.clone(), occupant.id.clone());
        let turn = &mut Turn { now, out };
        Some(self.repeat(address, &id, message, at, turn))
    }

    /// The same of one who is not in the room any more, under the nick they had. `None` if they are banned here, or if a moderator here
    /// has taken their voice, or if it is no nick, or a subject.
    pub(crate) fn hear_of_old(
        &mut self,
        by: &Jid,
        nick: &str,
        message: &Stanza,
        at: Timestamp,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Option<String> {
        let user = by.to_bare();
        let voice = self.voices.get(&user).copied();
        let voice = voice.unwrap_or(Role::Participant);
        let address = self.jid.with_resource(nick).ok()?;
        let shut_out = match self.affiliation(&user) {
            Affiliation::Outcast => true,
            Affiliation::None => self.config.members_only,
            _ => false,
        };
        if shut_out
            || self.check_nick(nick, &user).is_err()
            || !self.config.allows(voice, Privilege::SpeakToAll)
            || subject::is_change(message.payload())
        {
            return None;
        }
        let id = self.occupant_id(&user);
        let turn = &mut Turn { now, out };
        Some(self.repeat(address, &id, message, Some(at), turn))
    }

    /// Another subject, set elsewhere by this nick. Whether they may is for the caller to know ([`Config::change_subject`](crate::room::Config)).
    /// It bears a delay (XEP-0203) if it is of an earlier time; one that is too long, or that is there already, is passed over.
    pub(crate) fn adopt_subject(
        &mut self,
        by: &Jid,
        nick: Option<&str>,
        message: &Stanza,
        at: Timestamp,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let turn = &mut Turn { now, out };
        let payload = self.clean(message.payload());
        if payload.as_bytes().len() > self.settings.limits.subject {
            return;
        }
        let address = nick.and_then(|nick| self.jid.with_resource(nick).ok());
        let from = address.map_or_else(|| Jid::from(&self.jid), Jid::from);
        let at = at.min(now.utc);
        let mut payload = payload.with(&self.stanza_id(&self.fresh_id()));
        if !from.is_bare() {
            payload = payload.with(&occupant_id(&self.occupant_id(&by.to_bare())));
        }
        let subject = Subject {
            message: groupchat(message).with_from(from).with_payload(payload),
            at,
        };
        let is_there = |there: &Subject| {
            there.at == at
                && there.text() == subject.text()
                && there.message.from() == subject.message.from()
        };
        if self.subject.as_ref().is_some_and(is_there) {
            return;
        }
        let told = match at < now.utc {
            true => stamped(&self.jid, &subject.message, at),
            false => subject.message.clone(),
        };
        self.subject = Some(subject);
        self.changed = true;
        self.send_to_all(told, turn);
        self.settle(turn);
    }

    /// Says something to one occupant here, on behalf of one who is elsewhere (§7.5). The error that comes back for it is an
    /// [`Event::Private`] of type `error`.
    pub(crate) fn whisper_in(
        &mut self,
        by: &Jid,
        to: &str,
        message: &Stanza,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<(), StanzaError> {
        let to = self.jid.with_resource(to);
        let to = to.map_err(|_| Condition::ItemNotFound)?;
        self.whisper_from(by, &to, message, &mut Turn { now, out })
    }

    /// Says to all what comes from elsewhere, and remembers it.
    fn repeat(
        &mut self,
        from: FullJid,
        occupant: &str,
        message: &Stanza,
        at: Option<Timestamp>,
        turn: &mut Turn<'_>,
    ) -> String {
        let id = self.fresh_id();
        let payload = self.clean(message.payload());
        let payload = payload.with(&self.stanza_id(&id));
        let message = groupchat(message)
            .with_from(Jid::from(from))
            .with_payload(payload.with(&occupant_id(occupant)));
        let at = at.map(|at| at.min(turn.now.utc));
        let message = match at {
            Some(at) => stamped(&self.jid, &message, at),
            None => message,
        };
        self.remember(&message, id.clone(), at.unwrap_or(turn.now.utc), turn);
        self.send_to_all(message, turn);
        id
    }
}

/// A message to all without its addresses and without what it says.
fn groupchat(message: &Stanza) -> Stanza {
    Stanza::message(MessageType::Groupchat)
        .with_id(message.id())
        .with_lang(message.lang())
}
