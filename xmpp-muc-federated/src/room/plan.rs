//! Changes of roles and affiliations before they are made: what the one who asks may not do is found out before anything is done
//! (XEP-0045 §9.2).

use std::collections::BTreeMap;

use xmpp_core::jid::nickname;
use xmpp_core::stanza::Condition;
use xmpp_core::{BareJid, Jid};

use super::occupants::{Occupant, Seat};
use super::privilege::{Standing, change_affiliation, change_role};
use super::request::Asker;
use super::{Affiliation, Role, Room};
use crate::store::Entry;

/// Changes that have been found allowed, each after those before it, and not been made.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) roles: BTreeMap<Seat, (Role, Option<String>)>,
    pub(super) entries: BTreeMap<Jid, Entry>,
}

impl Plan {
    fn affiliation(&self, jid: &Jid) -> Option<Affiliation> {
        self.entries.get(jid).map(|entry| entry.affiliation)
    }

    /// Whether an occupant's affiliation is in question.
    pub(super) fn concerns(&self, occupant: &Occupant) -> Option<&Entry> {
        if self.entries.is_empty() {
            return None;
        }
        let domain = || self.entries.get(occupant.real.domain_jid().as_jid());
        self.entries.get(occupant.real.as_jid()).or_else(domain)
    }
}

impl Room {
    /// One more occupant gets a role, if the one who asks may give it.
    pub(super) fn plan_role(
        &self,
        plan: &mut Plan,
        asker: &Asker,
        seat: Seat,
        role: Role,
        reason: Option<String>,
    ) -> Result<(), Condition> {
        let target = self.occupants.get(seat).ok_or(Condition::ItemNotFound)?;
        // One thing happens to an occupant: who is kicked cannot be given a role any more, and nobody becomes a moderator by way of that.
        if plan.roles.contains_key(&seat) {
            return Err(Condition::BadRequest);
        }
        let standing = Standing {
            role: target.role,
            affiliation: self.due(target),
        };
        change_role(asker.standing, standing, role, target.real == asker.user)?;
        plan.roles.insert(seat, (role, reason));
        Ok(())
    }

    /// One more affiliation, if the one who asks may give it. `nick` is a change of the reserved nick, an empty one to none.
    pub(super) fn plan_affiliation(
        &self,
        plan: &mut Plan,
        asker: &Asker,
        jid: &Jid,
        affiliation: Affiliation,
        nick: Option<&str>,
        reason: Option<String>,
    ) -> Result<(), Condition> {
        // §10.3: "When processing a request that identifies a user by its full JID, a service SHOULD use the bare JID
        // representation."
        let user = jid.to_bare();
        let from = plan.affiliation(user.as_jid());
        let from = from.unwrap_or_else(|| self.affiliation(&user));
        change_affiliation(asker.affiliation(), from, affiliation, asker.user == user)?;
        // Who owns all rooms owns this one.
        if self.settings.admins.contains(&user) && affiliation != Affiliation::Owner {
            return Err(Condition::NotAllowed);
        }
        if user.is_domain() && affiliation >= Affiliation::Admin {
            return Err(Condition::NotAcceptable);
        }
        let nick = match (affiliation, nick) {
            // §9.1: "MUST remove the outcast's nickname from the list of registered nicknames"
            (Affiliation::Outcast, _) | (_, Some("")) => None,
            (_, Some(nick)) => Some(self.free_nick(plan, &user, nick)?),
            // With their membership the registration ends (§7.10).
            (Affiliation::None, None) => None,
            (_, None) => self.reserved_nick(plan, &user),
        };
        let entry = Entry {
            jid: user.clone().into(),
            affiliation,
            nick,
            reason,
        };
        plan.entries.insert(user.into(), entry);
        Ok(())
    }

    /// What makes a plan impossible as a whole.
    pub(super) fn check(&self, plan: &Plan) -> Result<(), Condition> {
        let demoted = |entry: &Entry| {
            let planned = plan.affiliation(&entry.jid);
            planned.is_some_and(|planned| planned != Affiliation::Owner)
        };
        let mut owners = self.affiliations.with(Affiliation::Owner).peekable();
        let mut planned = plan.entries.values();
        // §10.4: "A service MUST NOT allow an owner to revoke his or her own owner status if there are no other owners; if an
        // owner attempts to do this, the service MUST return a <conflict/> error to the owner."
        if owners.peek().is_some()
            && owners.all(demoted)
            && !planned.any(|entry| entry.affiliation == Affiliation::Owner)
        {
            return Err(Condition::Conflict);
        }
        let new = |entry: &&Entry| entry.is_kept() && self.affiliations.get(&entry.jid).is_none();
        let new = plan.entries.values().filter(new).count();
        if new > 0 && self.affiliations.len() + new > self.settings.limits.affiliations {
            return Err(Condition::ResourceConstraint);
        }
        Ok(())
    }

    /// The nick that is reserved for somebody.
    fn reserved_nick(&self, plan: &Plan, user: &BareJid) -> Option<String> {
        let planned = plan.entries.get(user.as_jid());
        let entry = planned.or_else(|| self.affiliations.get(user.as_jid()))?;
        entry.nick.clone()
    }

    /// A nick that can be reserved: §7.10: "If the desired room nickname is already reserved for that room, the room MUST return
    /// a <conflict/> error"; nor is it one that somebody else has right now.
    pub(super) fn free_nick(
        &self,
        plan: &Plan,
        user: &BareJid,
        nick: &str,
    ) -> Result<String, Condition> {
        let occupant_jid = self.jid.with_resource(nick);
        let (Ok(address), Ok(key)) = (occupant_jid, nickname(nick)) else {
            return Err(Condition::NotAcceptable);
        };
        if address.resource().len() > self.settings.limits.nick {
            return Err(Condition::NotAcceptable);
        }
        let theirs = |entry: &Entry| {
            let nick = entry.nick.as_deref().and_then(|nick| nickname(nick).ok());
            nick.is_some_and(|nick| nick == key) && entry.jid != *user.as_jid()
        };
        let holder = self.affiliations.holder(nick);
        let holder = holder.filter(|holder| *holder != user.as_jid());
        // Whoever has it may lose it by the same plan.
        let holder = holder.filter(|holder| !plan.entries.contains_key(*holder));
        let occupant = self.occupants.named(nick);
        let occupant = occupant.and_then(|seat| self.occupants.get(seat));
        let others = occupant.is_some_and(|occupant| occupant.real != *user);
        if holder.is_some() || others || plan.entries.values().any(theirs) {
            return Err(Condition::Conflict);
        }
        Ok(address.resource().to_owned())
    }
}

impl Entry {
    /// Whether there is anything in it.
    pub(super) fn is_kept(&self) -> bool {
        self.affiliation != Affiliation::None || self.nick.is_some()
    }
}
