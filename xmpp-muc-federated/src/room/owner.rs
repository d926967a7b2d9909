//! A room's configuration and its end (XEP-0045 §10).

use std::collections::BTreeSet;
use std::mem;

use xmpp_core::im::form as data_form;
use xmpp_core::stanza::{Condition, MessageType, Stanza};
use xmpp_core::xml::Element;
use xmpp_core::{BareJid, Jid};

use super::form::{self, Submitted};
use super::occupants::Seat;
use super::plan::Plan;
use super::presence::{Notice, status};
use super::privilege::{Privilege, Right};
use super::request::{Asker, Refusal};
use super::{Affiliation, Config, Output, Room, Turn, Whois};
use crate::ns;
use crate::store::Change;

/// "Inform occupants that a non-privacy-related room configuration change has occurred" (§16.6.2).
const CONFIGURED: u16 = 104;

/// Presences that are sent because of a change of what is broadcast.
const SHOWN_MAX: usize = 1_000_000;

impl Room {
    /// The form of the configuration (§10.2).
    pub(super) fn configuration(&self, asker: &Asker) -> Result<Element, Refusal> {
        if !asker.affiliation().may(Right::Configure) {
            return Err(Condition::Forbidden.into());
        }
        // A list that is too long for one answer is left to §10.5 and §10.8, and stays as it is when the form comes back without it.
        let jids = |affiliation| {
            let all = || self.affiliations.with(affiliation).map(|entry| &entry.jid);
            let bytes: usize = all().map(|jid| jid.as_str().len()).sum();
            (bytes <= self.settings.limits.page).then(all)
        };
        let form = form::offer(
            &self.jid,
            &self.config,
            self.offered_federation(),
            jids(Affiliation::Admin),
            jids(Affiliation::Owner),
            &self.settings.limits,
        );
        Ok(Element::new("query", ns::OWNER).with_child(form))
    }

    /// What only owners do: to configure (§10.1, §10.2), and to destroy (§10.9).
    pub(super) fn own(
        &mut self,
        asker: &Asker,
        query: &Element,
        request: &Stanza,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal> {
        // §10.2, §10.9: "If the <user@host> of the 'from' address [...] does not match the bare JID of a room owner, the service
        // MUST return a <forbidden/> error"
        let destroy = query.child("destroy", ns::OWNER);
        let right = destroy.map_or(Right::Configure, |_| Right::Destroy);
        if !asker.affiliation().may(right) {
            return Err(Condition::Forbidden.into());
        }
        let mut children = query.children();
        let (Some(child), None) = (children.next(), children.next()) else {
            return Err(Condition::BadRequest.into());
        };
        if destroy.is_some() {
            let destroy = self.venue(child)?;
            self.destroy(destroy, Some(request.reply()), turn);
            return Ok(());
        }
        match child.attr("type").filter(|_| child.is("x", data_form::NS)) {
            Some("submit") => self.configure(asker, child, request, turn),
            // §10.1.3: "If the room owner cancels the initial configuration, the service MUST destroy the room"
            Some("cancel") if self.locked => {
                let destroy = Element::new("destroy", ns::USER);
                self.destroy(destroy, Some(request.reply()), turn);
                Ok(())
            }
            // §10.2: "the service MUST leave the configuration of the room as it was"
            Some("cancel") => {
                turn.answer(request.reply());
                Ok(())
            }
            _ => Err(Condition::BadRequest.into()),
        }
    }

    fn configure(
        &mut self,
        asker: &Asker,
        submitted: &Element,
        request: &Stanza,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal> {
        let mut submitted = form::read(submitted, &self.config, &self.settings.limits)?;
        self.check_federation(&mut submitted.config)?;
        let plan = self.plan_lists(asker, &submitted)?;
        self.check(&plan)?;
        let was_kept = self.is_kept();
        if self.transient && !was_kept && submitted.config.persistent {
            return Err(Condition::ResourceConstraint.into());
        }
        let old = mem::replace(&mut self.config, submitted.config);
        if !self.config.moderated {
            self.voices.clear();
        }
        // §10.1.1: "the service MUST "unlock" the room"
        (self.locked, self.setup) = (false, None);
        let bounds = self.bounds();
        self.history.trim(bounds);
        let mut made = self.make(plan);
        let changes = mem::take(&mut made.changes);
        match (was_kept, self.is_kept()) {
            (true, true) => {
                turn.store(self.state());
                self.keep(changes, turn);
                // What nobody gets any more is not kept either.
                if self.config.history < old.history {
                    turn.store(Change::Keep(bounds.messages));
                }
            }
            (false, true) => self.keep(self.all(), turn),
            (true, false) => turn.store(Change::Destroyed),
            (false, false) => {}
        }
        self.tell(made, Some(asker), Some(request.reply()), turn);
        self.notify(&old, turn);
        if self.config.members_only && !old.members_only {
            self.evict(asker, turn);
        }
        self.show(turn);
        Ok(())
    }

    /// §10.1: "An implementation MAY set a timeout for initial configuration, such that if the room owner does not configure the room
    /// within the timeout period, the room owner is assumed to have [...] cancelled the configuration process."
    pub(super) fn give_up_setup(&mut self, turn: &mut Turn<'_>) {
        let reason = "The room was not configured in time.";
        let reason = Element::new("reason", ns::USER).with_text(reason);
        let destroy = Element::new("destroy", ns::USER).with_child(reason);
        self.destroy(destroy, None, turn);
    }

    /// The lists of admins and owners are whole in this form (§10.5: "This is different from [...] the delta").
    fn plan_lists(&self, asker: &Asker, submitted: &Submitted) -> Result<Plan, Condition> {
        let Submitted {
            config,
            admins,
            owners,
        } = submitted;
        let mut plan = Plan::default();
        let listed = |affiliation| {
            let all = self.affiliations.with(affiliation);
            all.map(|entry| entry.jid.to_bare())
                .collect::<BTreeSet<_>>()
        };
        let old_owners = listed(Affiliation::Owner);
        let old_admins = listed(Affiliation::Admin);
        let new_owners: BTreeSet<BareJid> = match owners {
            Some(owners) => owners.iter().cloned().collect(),
            None => old_owners.clone(),
        };
        // Who is on both lists is an owner.
        let new_admins: BTreeSet<BareJid> = match admins {
            Some(admins) => admins.iter().cloned().collect(),
            // §10.2: an owner who "loses owner status" is an admin, where it is not said otherwise.
            None => old_admins.union(&old_owners).cloned().collect(),
        };
        let new_admins: BTreeSet<BareJid> = new_admins.difference(&new_owners).cloned().collect();
        // §10.7: "typically to "member" in a members-only room or to "none" in other types of room"
        let rest = match config.members_only {
            true => Affiliation::Member,
            false => Affiliation::None,
        };
        let mut change = |jid: &BareJid, affiliation| {
            self.plan_affiliation(&mut plan, asker, jid.as_jid(), affiliation, None, None)
        };
        for jid in new_owners.difference(&old_owners) {
            change(jid, Affiliation::Owner)?;
        }
        for jid in new_admins.difference(&old_admins) {
            change(jid, Affiliation::Admin)?;
        }
        for jid in old_owners.union(&old_admins) {
            if !new_owners.contains(jid) && !new_admins.contains(jid) {
                change(jid, rest)?;
            }
        }
        Ok(plan)
    }

    /// §10.2.1: "A room MUST send notification to all occupants when the room configuration changes in a way that has an impact
    /// on the privacy or security profile of the room. This notification shall consist of a <message/> stanza containing an <x/>
    /// element [...], which shall contain only a <status/> element with an appropriate value": a message for each.
    fn notify(&self, old: &Config, turn: &mut Turn<'_>) {
        let new = &self.config;
        let mut codes = Vec::new();
        if new.logging != old.logging {
            codes.push(if new.logging { 170 } else { 171 });
        }
        if new.whois != old.whois {
            codes.push(match new.whois {
                Whois::Anyone => 172,
                Whois::Moderators => 173,
            });
        }
        let mut other = old.clone();
        (other.logging, other.whois) = (new.logging, new.whois);
        if other != *new {
            codes.push(CONFIGURED);
        }
        for code in codes {
            let x = Element::new("x", ns::USER).with_child(status(code));
            let message = Stanza::message(MessageType::Groupchat)
                .with_from(Jid::from(&self.jid))
                .with_child(&x);
            self.send_to_all(message, turn);
        }
    }

    /// Others begin to hear of those, and only of those, whose role is broadcast now. Where it would be too much at once, they
    /// hear it with the next change of each of them.
    fn show(&mut self, turn: &mut Turn<'_>) {
        let is_shown = |role| self.config.allows(role, Privilege::BroadcastPresence);
        let all = self.occupants.iter();
        let changed = all.filter(|(_, one)| one.shown != is_shown(one.role));
        let changed: Vec<Seat> = changed.map(|(seat, _)| seat).collect();
        if changed.len().saturating_mul(self.occupants.len()) > SHOWN_MAX {
            return;
        }
        for seat in changed {
            self.tell_others(seat, &Notice::default(), turn);
        }
    }

    /// What an owner says of the end of the room: an alternate venue, its password, the reason.
    fn venue(&self, destroy: &Element) -> Result<Element, Condition> {
        let mut told = Element::new("destroy", ns::USER);
        if let Some(jid) = destroy.attr("jid").filter(|jid| !jid.is_empty()) {
            let jid = Jid::new(jid).map_err(|_| Condition::JidMalformed)?;
            told.set_attr("jid", jid.as_str());
        }
        for name in ["password", "reason"] {
            let text = destroy.child(name, ns::OWNER).map(Element::text);
            let Some(text) = text.filter(|text| !text.is_empty()) else {
                continue;
            };
            if text.len() > self.settings.limits.text {
                return Err(Condition::NotAcceptable);
            }
            told.push(Element::new(name, ns::USER).with_text(&text));
        }
        Ok(told)
    }

    /// The room is no more (§10.9); `destroy` is what its occupants are told.
    pub(super) fn destroy(
        &mut self,
        destroy: Element,
        answer: Option<Stanza>,
        turn: &mut Turn<'_>,
    ) {
        if self.is_kept() {
            turn.store(Change::Destroyed);
        }
        let notice = Notice {
            destroy: Some(destroy),
            ..Notice::default()
        };
        // §10.9 shows it so: to a room that is no more nobody is anything.
        let all: Vec<Seat> = self.occupants.iter().map(|(seat, _)| seat).collect();
        for seat in all {
            if let Some(occupant) = self.occupants.get_mut(seat) {
                occupant.affiliation = Affiliation::None;
            }
        }
        self.dismiss_all(&notice, turn);
        turn.out.extend(answer.map(Output::Answer));
        *self = Room::new(self.jid.clone(), self.settings.clone());
    }
}
