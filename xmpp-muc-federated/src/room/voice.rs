//! Voice beyond a visit (XEP-0045 §5.1), requests for it (§7.13), and their approval (§8.6).

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use xmpp_core::im::form;
use xmpp_core::stanza::{Condition, ErrorType, MessageType, Stanza, StanzaError};
use xmpp_core::xml::Element;
use xmpp_core::{BareJid, Jid};

use super::form::boolean;
use super::plan::Plan;
use super::request::Asker;
use super::{Affiliation, Role, Room, Turn};
use crate::ns;

/// How often an occupant may ask: moderators are people.
const PAUSE: Duration = Duration::from_secs(60);

/// Who has asked for voice lately. At most as many as have been visitors in that time.
#[derive(Debug, Default)]
pub(super) struct VoiceRequests {
    pub(super) asked: HashMap<BareJid, Instant>,
}

impl VoiceRequests {
    /// Whether it is too soon to ask again.
    fn is_too_soon(&mut self, user: &BareJid, now: Instant) -> bool {
        self.asked
            .retain(|_, at| now.saturating_duration_since(*at) < PAUSE);
        let soon = self.asked.contains_key(user);
        self.asked.entry(user.clone()).or_insert(now);
        soon
    }
}

/// To whom moderators have given voice, and from whom they have taken it. At most as many as there may be occupants; nobody is
/// forgotten for another, and all of it is when the room leaves memory.
pub(super) type Voices = HashMap<BareJid, Role>;

impl Room {
    /// The role of one who enters (§5.1.2).
    ///
    /// §5.1: "An implementation MAY persist roles across visits and SHOULD do so for moderated rooms": nobody gets rid of what
    /// moderators have decided by coming in again.
    pub(super) fn first_role(&self, user: &BareJid, affiliation: Affiliation) -> Role {
        let role = affiliation.role(self.config.moderated);
        match self.voices.get(user) {
            Some(voice) if self.config.moderated && role < Role::Moderator => *voice,
            _ => role,
        }
    }

    /// Somebody has this role from now on, and will have it when they come again, as far as voice goes.
    pub(super) fn note_voice(&mut self, user: &BareJid, role: Role) {
        let known = self.voices.contains_key(user);
        if role != Role::None && (known || self.voices.len() < self.settings.limits.occupants) {
            self.voices
                .insert(user.clone(), role.min(Role::Participant));
        }
    }

    /// A form of [`ns::REQUEST`]: somebody asks for voice, or a moderator decides.
    pub(super) fn voice(
        &mut self,
        asker: &Asker,
        submitted: &Element,
        turn: &mut Turn<'_>,
    ) -> Result<(), StanzaError> {
        let role = form::value(submitted, "muc#role");
        if role.as_deref().and_then(Role::named) != Some(Role::Participant) {
            return Err(Condition::BadRequest.into());
        }
        match values(submitted, "muc#request_allow") {
            None => self.request_voice(asker, submitted, turn),
            Some(allow) => match boolean(&allow)? {
                Some(true) => Ok(self.grant_voice(asker, submitted, turn)?),
                _ => Ok(()),
            },
        }
    }

    fn request_voice(
        &mut self,
        asker: &Asker,
        submitted: &Element,
        turn: &mut Turn<'_>,
    ) -> Result<(), StanzaError> {
        // Who has voice need not ask for it, and who is not there cannot.
        match asker.standing.role {
            Role::None => return Err(Condition::Forbidden.into()),
            Role::Visitor => {}
            Role::Participant | Role::Moderator => return Err(Condition::UnexpectedRequest.into()),
        }
        let moderators = self.occupants.iter().map(|(_, one)| one);
        let moderators = moderators.filter(|one| one.role == Role::Moderator);
        let sessions = moderators.flat_map(|one| &one.sessions);
        let moderators: Vec<Jid> = sessions.map(|session| session.jid.clone()).collect();
        if moderators.is_empty() {
            return Err(Condition::RecipientUnavailable.into());
        }
        if self
            .voice_requests
            .is_too_soon(&asker.user, turn.now.instant)
        {
            let error = StanzaError::new(Condition::PolicyViolation).with_kind(ErrorType::Wait);
            return Err(error.with_text("the moderators have just been asked"));
        }
        let form = self
            .approval(asker, submitted)
            .ok_or(Condition::Forbidden)?;
        let message = Stanza::message(MessageType::Normal)
            .with_from(Jid::from(&self.jid))
            .with_id(&*self.fresh_id())
            .with_child(&form);
        turn.broadcast(message, moderators.into());
        Ok(())
    }

    fn grant_voice(
        &mut self,
        asker: &Asker,
        submitted: &Element,
        turn: &mut Turn<'_>,
    ) -> Result<(), Condition> {
        if asker.standing.role != Role::Moderator {
            return Err(Condition::Forbidden);
        }
        let nick = form::value(submitted, "muc#roomnick").ok_or(Condition::BadRequest)?;
        let seat = self.occupants.named(&nick).ok_or(Condition::ItemNotFound)?;
        let occupant = self.occupants.get(seat).ok_or(Condition::ItemNotFound)?;
        // The nick may be another's by now.
        let jid = form::value(submitted, "muc#jid").map(|jid| Jid::new(&jid));
        let jid = jid.transpose().map_err(|_| Condition::JidMalformed)?;
        if jid.is_some_and(|jid| jid.to_bare() != occupant.real) {
            return Err(Condition::ItemNotFound);
        }
        // Another moderator was faster.
        if occupant.role != Role::Visitor {
            return Ok(());
        }
        let mut plan = Plan::default();
        self.plan_role(&mut plan, asker, seat, Role::Participant, None)?;
        let made = self.make(plan);
        self.tell(made, Some(asker), None, turn);
        Ok(())
    }

    /// The form of §8.6.
    fn approval(&self, asker: &Asker, submitted: &Element) -> Option<Element> {
        let occupant = self.occupants.get(asker.seat?)?;
        let jid = occupant.latest()?.jid.as_str();
        let nick = occupant.address.resource();
        let role = form::value(submitted, "muc#role")?;
        let field = |var, kind, label, value: &str| {
            form::field(var, [value])
                .with_attr("type", kind)
                .with_attr("label", label)
        };
        Some(
            Element::new("x", form::NS)
                .with_attr("type", "form")
                .with_child(Element::new("title", form::NS).with_text("Voice request"))
                .with_child(Element::new("instructions", form::NS).with_text(
                    "To approve this request for voice, select the \"Grant voice to this person?\" checkbox and click OK. To skip this request, \
                     click the cancel button.",
                ))
                .with_child(form::field("FORM_TYPE", [ns::REQUEST]).with_attr("type", "hidden"))
                .with_child(field("muc#role", "list-single", "Requested role", &role))
                .with_child(field("muc#jid", "jid-single", "User ID", jid))
                .with_child(field("muc#roomnick", "text-single", "Room Nickname", nick))
                .with_child(field(
                    "muc#request_allow",
                    "boolean",
                    "Grant voice to this person?",
                    "false",
                )),
        )
    }
}

/// The values of a field, if it is there.
pub(super) fn values<'a>(form: &'a Element, var: &str) -> Option<Vec<Cow<'a, str>>> {
    let (_, field) = form::fields(form).find(|(name, _)| *name == var)?;
    Some(form::values(field).collect())
}
