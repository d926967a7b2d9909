//! Registration with a room (XEP-0045 §7.10), and its approval (§9.9).

use std::collections::BTreeMap;

use xmpp_core::im::form;
use xmpp_core::stanza::{Condition, MessageType, Stanza};
use xmpp_core::xml::Element;
use xmpp_core::{BareJid, Jid};

use super::form::boolean;
use super::plan::Plan;
use super::privilege::{Right, Standing};
use super::request::{Asker, Refusal};
use super::voice::values;
use super::{Affiliation, Role, Room, Turn};
use crate::ns;
use crate::store::{Change, Entry};

/// The field in which the nick stands.
const NICK: &str = "muc#register_roomnick";
/// The field in which an admin decides.
const ALLOW: &str = "muc#register_allow";
/// Our own, hidden in the form that admins get: whose request it is.
const APPLICANT: &str = "x-applicant";

/// Who waits for an admin to approve their registration, with the nick they want. They are asked for again when the room has left
/// memory.
pub(super) type Applicants = BTreeMap<BareJid, String>;

impl Room {
    /// What is needed to register, or that one has registered already.
    pub(super) fn registration(&self, asker: &Asker) -> Result<Element, Refusal> {
        self.may_register(asker)?;
        let entry = self.affiliations.get(asker.user.as_jid());
        let nick = entry.and_then(|entry| entry.nick.as_deref());
        let mut query = Element::new("query", ns::REGISTER);
        // §7.10: "the room MUST reply with an IQ stanza of type "result", which MUST contain an empty <registered/> element and
        // SHOULD contain at least a <username/> element that specifies the user's registered nickname in the room."
        if asker.affiliation() >= Affiliation::Member {
            query.push(Element::new("registered", ns::REGISTER));
        }
        if let Some(nick) = nick {
            query.push(Element::new("username", ns::REGISTER).with_text(nick));
        }
        let text = "Choose a nickname that nobody but you can use in this room.";
        query.push(Element::new("instructions", ns::REGISTER).with_text(text));
        query.push(question("form", nick, "Registration", text));
        Ok(query)
    }

    /// A form that is filled in, or the end of a registration (XEP-0077 §3.2).
    pub(super) fn register(
        &mut self,
        asker: &Asker,
        query: &Element,
        request: &Stanza,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal> {
        self.may_register(asker)?;
        if query.child("remove", ns::REGISTER).is_some() {
            return self.unregister(asker, request, turn);
        }
        // §7.10: "If the user did not include a valid data form, the room MUST return a <bad-request/> error to the user"
        let submitted = query.child("x", form::NS).ok_or(Condition::BadRequest)?;
        match submitted.attr("type") {
            Some("submit") if form::form_type(submitted).as_deref() == Some(ns::REGISTER_FORM) => {}
            Some("cancel") => {
                turn.answer(request.reply());
                return Ok(());
            }
            _ => return Err(Condition::BadRequest.into()),
        }
        let nick = form::value(submitted, NICK).filter(|nick| !nick.is_empty());
        let nick = nick.ok_or(Condition::BadRequest)?;
        let is_member = asker.affiliation() >= Affiliation::Member;
        let own = self.affiliations.get(asker.user.as_jid());
        let own = own.map_or(Affiliation::None, |entry| entry.affiliation);
        if is_member && own < Affiliation::Member {
            return self.reserve(asker, &nick, request, turn);
        }
        let affiliation = own.max(Affiliation::Member);
        let mut plan = Plan::default();
        // The room itself does it, if they may.
        let room = Asker {
            user: self.jid.clone(),
            seat: None,
            standing: Standing {
                role: Role::None,
                affiliation: Affiliation::Owner,
            },
        };
        let user = asker.user.as_jid();
        self.plan_affiliation(&mut plan, &room, user, affiliation, Some(&nick), None)?;
        self.check(&plan)?;
        if !is_member {
            // Strangers do not take the room that admins need for their bans.
            if self.affiliations.len() >= self.settings.limits.affiliations / 2 {
                return Err(Condition::ResourceConstraint.into());
            }
            // Where membership is a privilege, it is not had for the asking.
            if self.config.members_only || self.config.moderated {
                self.apply(asker, &nick, turn)?;
                turn.answer(request.reply());
                return Ok(());
            }
        }
        self.applicants.remove(&asker.user);
        let mut made = self.make(plan);
        self.keep(std::mem::take(&mut made.changes), turn);
        self.tell(made, None, Some(request.reply()), turn);
        Ok(())
    }

    /// A nick for one who is what they are by their domain or by the service, and stays so for as long as these have it so.
    fn reserve(
        &mut self,
        asker: &Asker,
        nick: &str,
        request: &Stanza,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal> {
        let mut plan = Plan::default();
        let entry = Entry {
            jid: asker.user.clone().into(),
            affiliation: Affiliation::None,
            nick: Some(self.free_nick(&plan, &asker.user, nick)?),
            reason: None,
        };
        plan.entries.insert(entry.jid.clone(), entry.clone());
        self.check(&plan)?;
        self.affiliations.set(entry.clone());
        self.keep(vec![Change::Entry(entry)], turn);
        turn.answer(request.reply());
        Ok(())
    }

    /// A form of [`ns::REGISTER_FORM`] in a message: an admin decides.
    pub(super) fn decide(
        &mut self,
        asker: &Asker,
        submitted: &Element,
        turn: &mut Turn<'_>,
    ) -> Result<(), Condition> {
        if !asker.affiliation().may(Right::EditMemberList) {
            return Err(Condition::Forbidden);
        }
        let nick = form::value(submitted, NICK).ok_or(Condition::BadRequest)?;
        let allow = values(submitted, ALLOW).ok_or(Condition::BadRequest)?;
        let allow = boolean(&allow)?.unwrap_or_default();
        let of = form::value(submitted, APPLICANT);
        let asked = |user: &BareJid| of.as_ref().is_none_or(|of| *of == user.as_str());
        let mut applicants = self.applicants.iter();
        let applicant = applicants.find(|(user, wanted)| **wanted == *nick && asked(user));
        // Another admin was faster.
        let Some(user) = applicant.map(|(user, _)| user.clone()) else {
            return Err(Condition::ItemNotFound);
        };
        self.applicants.remove(&user);
        // They have become something else meanwhile: banned, perhaps, or an admin.
        if self.affiliation(&user) != Affiliation::None {
            return Err(Condition::ItemNotFound);
        }
        if !allow {
            return Ok(());
        }
        let mut plan = Plan::default();
        let member = Affiliation::Member;
        self.plan_affiliation(&mut plan, asker, user.as_jid(), member, Some(&nick), None)?;
        self.check(&plan)?;
        let mut made = self.make(plan);
        self.keep(std::mem::take(&mut made.changes), turn);
        self.tell(made, Some(asker), None, turn);
        Ok(())
    }

    /// §7.10: "If the user requesting registration requirements is not allowed to register with the room [...], the room MUST
    /// return a <not-allowed/> error"
    fn may_register(&self, asker: &Asker) -> Result<(), Condition> {
        match asker.affiliation().may(Right::Register) {
            true => Ok(()),
            false => Err(Condition::NotAllowed),
        }
    }

    /// Members are none any more; of admins and owners only the nick goes.
    fn unregister(
        &mut self,
        asker: &Asker,
        request: &Stanza,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal> {
        let applied = self.applicants.remove(&asker.user).is_some();
        let entry = self.affiliations.get(asker.user.as_jid());
        let Some(entry) = entry.filter(|entry| entry.affiliation >= Affiliation::Member) else {
            if applied {
                turn.answer(request.reply());
                return Ok(());
            }
            // XEP-0077 §3.2.1: "the server or service MUST return a <registration-required/> error"
            return Err(Condition::RegistrationRequired.into());
        };
        let affiliation = match entry.affiliation {
            Affiliation::Member => Affiliation::None,
            other => other,
        };
        let room = Asker {
            user: self.jid.clone(),
            seat: None,
            standing: Standing {
                role: Role::None,
                affiliation: Affiliation::Owner,
            },
        };
        let mut plan = Plan::default();
        let user = asker.user.as_jid();
        self.plan_affiliation(&mut plan, &room, user, affiliation, Some(""), None)?;
        let mut made = self.make(plan);
        self.keep(std::mem::take(&mut made.changes), turn);
        self.tell(made, None, Some(request.reply()), turn);
        Ok(())
    }

    /// The admins who are in the room are asked (§9.9).
    fn apply(&mut self, asker: &Asker, nick: &str, turn: &mut Turn<'_>) -> Result<(), Condition> {
        let limit = self.settings.limits.applicants;
        let (user, applicants) = (&asker.user, &self.applicants);
        let wanted = |(who, other): (&BareJid, &String)| who != user && other == nick;
        if applicants.iter().any(wanted) {
            return Err(Condition::Conflict);
        }
        if !applicants.contains_key(user) && applicants.len() >= limit {
            return Err(Condition::ResourceConstraint);
        }
        let admins = self.occupants.iter().map(|(_, one)| one);
        let admins = admins.filter(|one| one.affiliation.may(Right::EditMemberList));
        let sessions = admins.flat_map(|one| &one.sessions);
        let admins: Vec<Jid> = sessions.map(|session| session.jid.clone()).collect();
        // There is nobody who could allow it.
        if admins.is_empty() {
            return Err(Condition::NotAllowed);
        }
        // Who asks again for the same is not told to all again.
        if applicants.get(user).is_some_and(|wanted| wanted == nick) {
            return Ok(());
        }
        let text = format!(
            "To approve this registration request of {user}, select the \"Allow this person to register with the room?\" checkbox and click OK. To skip \
             this request, click the cancel button."
        );
        let allow = form::field(ALLOW, ["0"])
            .with_attr("type", "boolean")
            .with_attr("label", "Allow this person to register with the room?");
        let applicant = form::field(APPLICANT, [user.as_str()]).with_attr("type", "hidden");
        let form = question("form", Some(nick), "Registration request", &text);
        let form = form.with_child(applicant).with_child(allow);
        let message = Stanza::message(MessageType::Normal)
            .with_from(Jid::from(&self.jid))
            .with_id(&*self.fresh_id())
            .with_child(&form);
        self.applicants.insert(user.clone(), nick.to_owned());
        turn.broadcast(message, admins.into());
        Ok(())
    }
}

/// The form, with the field for the nick.
fn question(kind: &str, nick: Option<&str>, title: &str, text: &str) -> Element {
    let field = form::field(NICK, nick)
        .with_attr("type", "text-single")
        .with_attr("label", "Desired Nickname")
        .with_child(Element::new("required", form::NS));
    Element::new("x", form::NS)
        .with_attr("type", kind)
        .with_child(Element::new("title", form::NS).with_text(title))
        .with_child(Element::new("instructions", form::NS).with_text(text))
        .with_child(form::field("FORM_TYPE", [ns::REGISTER_FORM]).with_attr("type", "hidden"))
        .with_child(field)
}
