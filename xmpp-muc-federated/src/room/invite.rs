//! Mediated invitations (XEP-0045 §7.8.2).

use std::collections::VecDeque;

use xmpp_core::stanza::{Condition, MessageType, Stanza, StanzaError};
use xmpp_core::xml::Element;
use xmpp_core::{BareJid, Jid};

use super::occupants::Occupant;
use super::rate::Cost;
use super::{Affiliation, Output, Room, Turn};
use crate::ns;
use crate::store::{Change, Entry};

/// The last invitations: who was not invited declines nothing.
#[derive(Debug, Default)]
pub(super) struct Invitations {
    pub(super) last: VecDeque<(BareJid, BareJid)>,
}

/// So many of them.
const INVITATIONS_MAX: usize = 256;

impl Invitations {
    pub(super) fn note(&mut self, inviter: BareJid, invitee: BareJid) {
        if self.last.len() >= INVITATIONS_MAX {
            self.last.pop_front();
        }
        self.last.push_back((inviter, invitee));
    }

    fn take(&mut self, inviter: &BareJid, invitee: &BareJid) -> bool {
        let of = |(from, to): &(BareJid, BareJid)| from == inviter && to == invitee;
        let at = self.last.iter().position(of);
        at.and_then(|at| self.last.remove(at)).is_some()
    }
}

impl Room {
    /// A message to the room that is not for all.
    pub(super) fn told_the_room(&mut self, stanza: &Stanza, from: &Jid, turn: &mut Turn<'_>) {
        let x = stanza.payload().child("x", ns::USER).map(|x| x.element());
        let submission = self.submission(stanza, from, turn);
        let done = match x {
            _ if submission.is_some() => submission.unwrap_or(Ok(())),
            Some(x) if x.child("decline", ns::USER).is_some() => {
                self.decline(stanza, &x, from, turn);
                Ok(())
            }
            Some(x) if x.child("invite", ns::USER).is_some() => self.invite(stanza, &x, from, turn),
            _ if self.occupants.of(from).is_none() => Err(self.stranger()),
            // §17.2: "A service MAY ignore messages that are improperly typed, or reject them with a <bad-request/> error."
            _ => Err(Condition::BadRequest.into()),
        };
        if let Err(error) = done {
            turn.refuse(stanza, error);
        }
    }

    fn invite(
        &mut self,
        stanza: &Stanza,
        x: &Element,
        from: &Jid,
        turn: &mut Turn<'_>,
    ) -> Result<(), StanzaError> {
        let Some(seat) = self.occupants.of(from) else {
            return Err(self.stranger());
        };
        let inviter = from.to_bare();
        let invites = || x.children().filter(|child| child.is("invite", ns::USER));
        // All or nothing: one answer says for all what became of them.
        let mut invitees = Vec::new();
        for invite in invites() {
            let to = invite.attr("to").ok_or(Condition::BadRequest)?;
            let to = Jid::new(to).map_err(|_| Condition::JidMalformed)?;
            self.may_invite(self.occupants.get(seat), &to)?;
            self.spend(&inviter, Cost::Entry, turn)?;
            invitees.push(to);
        }
        for (to, invite) in invitees.into_iter().zip(invites()) {
            self.admit_invitee(&to, turn);
            self.invitations.note(inviter.clone(), to.to_bare());
            // "MUST then add a 'from' address to the <invite/> element whose value is the bare JID, full JID, or occupant JID"
            let mut passed = Element::new("invite", ns::USER).with_attr("from", inviter.as_str());
            for name in ["reason", "continue"] {
                passed = passed.with_children(invite.child(name, ns::USER).cloned());
            }
            let mut x = Element::new("x", ns::USER).with_child(passed);
            if let Some(password) = &self.config.password {
                // "the room SHOULD add the password if the room is password-protected"
                x.push(Element::new("password", ns::USER).with_text(password));
            }
            let invitation = Stanza::message(MessageType::Normal)
                .with_from(Jid::from(&self.jid))
                .with_to(to)
                .with_id(stanza.id())
                .with_child(&x);
            turn.send(invitation);
        }
        Ok(())
    }

    /// "if a member without privileges to edit the member list attempts to invite another user, the service SHOULD return a
    /// <forbidden/> error"
    fn may_invite(&self, inviter: Option<&Occupant>, invitee: &Jid) -> Result<(), StanzaError> {
        let needs = match (self.config.members_only, self.config.allow_invites) {
            (true, false) => Affiliation::Admin,
            (true, true) => Affiliation::Member,
            (false, _) => Affiliation::None,
        };
        let may = inviter.is_some_and(|inviter| inviter.affiliation >= needs);
        match self.affiliation(&invitee.to_bare()) {
            // The ban is lifted first, by who may do that.
            Affiliation::Outcast => Err(Condition::NotAllowed.into()),
            _ if !may => Err(Condition::Forbidden.into()),
            // A whole domain is for admins to let in.
            Affiliation::None if self.config.members_only && invitee.local().is_none() => {
                Err(Condition::NotAllowed.into())
            }
            Affiliation::None if self.is_full_of_members() => {
                Err(Condition::ResourceConstraint.into())
            }
            _ => Ok(()),
        }
    }

    /// Those who are invited do not take the room that admins need for their bans.
    fn is_full_of_members(&self) -> bool {
        let most = self.settings.limits.affiliations / 2;
        self.config.members_only && self.affiliations.len() >= most
    }

    /// "If the room is members-only, the service MAY also add the invitee to the member list."
    fn admit_invitee(&mut self, invitee: &Jid, turn: &mut Turn<'_>) {
        let invitee = invitee.to_bare();
        if !self.config.members_only
            || self.affiliation(&invitee) != Affiliation::None
            || self.is_full_of_members()
        {
            return;
        }
        let known = self.affiliations.get(invitee.as_jid()).cloned();
        let entry = Entry {
            jid: Jid::from(&invitee),
            affiliation: Affiliation::Member,
            nick: known.and_then(|known| known.nick),
            reason: None,
        };
        if self.config.persistent && !self.locked {
            turn.out.push(Output::Store(Change::Entry(entry.clone())));
        }
        self.affiliations.set(entry);
    }

    /// To the inviter, if they are still here.
    fn decline(&mut self, stanza: &Stanza, x: &Element, from: &Jid, turn: &mut Turn<'_>) {
        let decline = x.child("decline", ns::USER);
        let to = decline.and_then(|decline| Jid::new(decline.attr("to")?).ok());
        let (Some(decline), Some(to)) = (decline, to) else {
            return turn.refuse(stanza, Condition::BadRequest);
        };
        let invitee = from.to_bare();
        if !self.invitations.take(&to.to_bare(), &invitee) {
            return;
        }
        let inviter = to.to_bare();
        let here = self.occupants.iter().filter(|(_, one)| one.real == inviter);
        let clients =
            here.flat_map(|(_, one)| one.sessions.iter().map(|session| session.jid.clone()));
        let passed = Element::new("decline", ns::USER)
            .with_attr("from", invitee.as_str())
            .with_children(decline.child("reason", ns::USER).cloned());
        let message = Stanza::message(MessageType::Normal)
            .with_from(Jid::from(&self.jid))
            .with_id(stanza.id())
            .with_child(&Element::new("x", ns::USER).with_child(passed));
        turn.broadcast(message, clients.collect());
    }
}
