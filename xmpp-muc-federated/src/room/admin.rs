//! The lists of roles and affiliations, asked for and changed (XEP-0045 §8.2–§8.5, §9, §10.3–§10.8).

use xmpp_core::Jid;
use xmpp_core::stanza::{Condition, Stanza};
use xmpp_core::xml::Element;

use super::occupants::Occupant;
use super::plan::Plan;
use super::privilege::Right;
use super::request::{Asker, Refusal};
use super::{Affiliation, Role, Room, Turn, Whois};
use crate::ns;
use crate::store::Entry;

impl Room {
    /// A list: of those with a role, or with an affiliation.
    pub(super) fn list(&self, asker: &Asker, query: &Element) -> Result<Element, Refusal> {
        let mut items = query.children().filter(|child| !child.is("set", ns::RSM));
        let item = items.next().filter(|item| item.is("item", ns::ADMIN));
        let (Some(item), None) = (item, items.next()) else {
            return Err(Condition::BadRequest.into());
        };
        let mut answer = Element::new("query", ns::ADMIN);
        match (item.attr("role"), item.attr("affiliation")) {
            (Some(role), None) => {
                let role = Role::named(role).filter(|role| *role != Role::None);
                let role = role.ok_or(Condition::BadRequest)?;
                self.occupants_list(&mut answer, query, asker, role)?;
            }
            (None, Some(affiliation)) => {
                let affiliation = Affiliation::named(affiliation);
                let affiliation = affiliation.filter(|one| *one != Affiliation::None);
                let affiliation = affiliation.ok_or(Condition::BadRequest)?;
                self.affiliations_list(&mut answer, query, asker, affiliation)?;
            }
            _ => return Err(Condition::BadRequest.into()),
        }
        Ok(answer)
    }

    /// Changes of the lists: all of them, or none (§9.2).
    pub(super) fn administer(
        &mut self,
        asker: &Asker,
        query: &Element,
        request: &Stanza,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal> {
        let mut plan = Plan::default();
        for item in query.children() {
            let planned = self.plan(&mut plan, asker, item);
            // §8.4: "along with the offending item(s)"
            planned.map_err(|condition| {
                let query = Element::new("query", ns::ADMIN).with_child(item.clone());
                Refusal::of(condition, query)
            })?;
        }
        if query.children().next().is_none() {
            return Err(Condition::BadRequest.into());
        }
        self.check(&plan)?;
        let mut made = self.make(plan);
        self.keep(std::mem::take(&mut made.changes), turn);
        self.tell(made, Some(asker), Some(request.reply()), turn);
        Ok(())
    }

    fn plan(&self, plan: &mut Plan, asker: &Asker, item: &Element) -> Result<(), Condition> {
        if !item.is("item", ns::ADMIN) {
            return Err(Condition::BadRequest);
        }
        let reason = item.child("reason", ns::ADMIN);
        let reason = reason.map(|reason| reason.text().into_owned());
        if reason
            .as_ref()
            .is_some_and(|text| text.len() > self.settings.limits.text)
        {
            return Err(Condition::NotAcceptable);
        }
        let reason = reason.filter(|reason| !reason.is_empty());
        match (item.attr("role"), item.attr("affiliation")) {
            (Some(role), None) => {
                let role = Role::named(role).ok_or(Condition::BadRequest)?;
                // §17.4: "In IQ sets regarding roles, a MUC client MUST include the 'nick' attribute only"
                let nick = item.attr("nick").ok_or(Condition::BadRequest)?;
                let seat = self.occupants.named(nick);
                // Who is not one to ask does not find out who is there.
                if seat.is_none()
                    && asker.standing.role < Role::Moderator
                    && !asker.affiliation().may(Right::AssignModerators)
                {
                    return Err(Condition::Forbidden);
                }
                let seat = seat.ok_or(Condition::ItemNotFound)?;
                self.plan_role(plan, asker, seat, role, reason)
            }
            (None, Some(affiliation)) => {
                let affiliation = Affiliation::named(affiliation).ok_or(Condition::BadRequest)?;
                let jid = item.attr("jid").ok_or(Condition::BadRequest)?;
                let jid = Jid::new(jid).map_err(|_| Condition::JidMalformed)?;
                let nick = item.attr("nick");
                self.plan_affiliation(plan, asker, &jid, affiliation, nick, reason)
            }
            // §17.4: "if a moderator, admin, or owner attempts to modify both the affiliation and role of the same item in the
            // same IQ set, the service MUST return a <bad-request/> error to the sender"
            _ => Err(Condition::BadRequest),
        }
    }

    /// §17.4: "in IQ results regarding roles, a MUC service MUST include the 'nick', 'role', 'affiliation', and 'jid' attributes
    /// (with the value of the latter set to the user's full JID)"
    fn occupants_list(
        &self,
        answer: &mut Element,
        query: &Element,
        asker: &Asker,
        role: Role,
    ) -> Result<(), Refusal> {
        let may = match role {
            // §9.8 is of admins, §8.5 of moderators.
            Role::Moderator => asker.affiliation().may(Right::AssignModerators),
            _ => asker.standing.role == Role::Moderator,
        };
        if !may {
            return Err(Condition::Forbidden.into());
        }
        let all = self.occupants.iter().map(|(_, occupant)| occupant);
        let all = all.filter(|occupant| occupant.role == role).collect();
        let item = |occupant: &Occupant| {
            let jid = occupant.latest().map(|session| session.jid.as_str());
            let mut item = Element::new("item", ns::ADMIN);
            item.set_attr("affiliation", occupant.affiliation.name());
            item.set_attr("jid", jid);
            item.set_attr("nick", occupant.address.resource());
            item.set_attr("role", role.name());
            item
        };
        self.page(answer, query, all, |one| one.address.resource(), item)
    }

    /// §17.4: "in IQ results regarding affiliations, a MUC service MUST NOT include the 'role' attribute, MUST include the
    /// 'affiliation' attribute and the 'jid' attribute (with the value set to the bare JID), and SHOULD include the 'nick'
    /// attribute"
    fn affiliations_list(
        &self,
        answer: &mut Element,
        query: &Element,
        asker: &Asker,
        affiliation: Affiliation,
    ) -> Result<(), Refusal> {
        if !self.may_list(asker, affiliation) {
            return Err(Condition::Forbidden.into());
        }
        let all = self.affiliations.with(affiliation).collect();
        let item = |entry: &Entry| {
            let mut item = Element::new("item", ns::ADMIN);
            item.set_attr("affiliation", affiliation.name());
            item.set_attr("jid", entry.jid.as_str());
            item.set_attr("nick", entry.nick.as_deref());
            let reason = entry.reason.as_ref();
            item.with_children(reason.map(|text| Element::new("reason", ns::ADMIN).with_text(text)))
        };
        self.page(answer, query, all, |entry| entry.jid.as_str(), item)
    }

    /// Admins may edit the lists of members and outcasts, owners all.
    ///
    /// §9.5: "If the room is non-anonymous, a service SHOULD also allow any member to retrieve the member list even if not yet an
    /// occupant", and occupants of the roles that the owner has set (`getmemberlist`); §10.5, §10.8: the lists of owners and
    /// admins "in non-anonymous rooms, the service MAY" give them as well. §5.2.1: in a semi-anonymous room "members SHOULD NOT
    /// be allowed to retrieve the member list", so there it is for moderators alone, who see who everybody is.
    fn may_list(&self, asker: &Asker, affiliation: Affiliation) -> bool {
        let role = asker.standing.role;
        let is_listener = self.config.get_member_list.contains(&role) && role != Role::None;
        let open = self.config.whois == Whois::Anyone;
        let insider = asker.affiliation().may(Right::GetMemberList) || is_listener;
        match affiliation {
            Affiliation::Owner => asker.affiliation().may(Right::EditOwnerList) || open && insider,
            Affiliation::Admin => asker.affiliation().may(Right::EditAdminList) || open && insider,
            Affiliation::Member => {
                let sees = open || role == Role::Moderator;
                asker.affiliation().may(Right::EditMemberList)
                    || open && insider
                    || sees && is_listener
            }
            Affiliation::Outcast => asker.affiliation().may(Right::Ban),
            Affiliation::None => false,
        }
    }
}
