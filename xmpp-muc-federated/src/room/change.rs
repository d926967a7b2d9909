//! Changes of roles and affiliations (XEP-0045 §5.1.3, §5.2.2): made together, and told.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use xmpp_core::Jid;
use xmpp_core::stanza::{MessageType, Stanza};
use xmpp_core::xml::Element;

use super::occupants::{Occupant, Seat};
use super::plan::Plan;
use super::presence::Notice;
use super::privilege::Standing;
use super::request::Asker;
use super::{Affiliation, Output, Role, Room, Turn, Whois};
use crate::ns;
use crate::store::{Change, Entry};

/// "A user has been kicked from the room" (§16.6.2).
const KICKED: u16 = 307;
/// "A user has been banned from the room".
const BANNED: u16 = 301;
/// "A user is being removed from the room because of an affiliation change".
const AFFILIATION: u16 = 321;
/// "[...] because the room has been changed to members-only and the user is not a member".
const MEMBERS_ONLY: u16 = 322;

/// Changes that have been made and not been told.
#[derive(Debug)]
pub(super) struct Made {
    /// What is to be stored of them.
    pub(super) changes: Vec<Change>,
    occupants: BTreeMap<Seat, Effect>,
    /// Of those who are not in the room: what they were, and what they are.
    absent: Vec<(Affiliation, Entry)>,
}

/// What becomes of an occupant.
#[derive(Debug)]
struct Effect {
    standing: Standing,
    /// The status code with which they have to go.
    code: Option<u16>,
    reason: Option<String>,
}

impl Room {
    /// Makes the changes of the lists, and finds out what they mean for those who are in the room.
    pub(super) fn make(&mut self, plan: Plan) -> Made {
        let mut made = Made {
            changes: Vec::with_capacity(plan.entries.len()),
            occupants: BTreeMap::new(),
            absent: Vec::new(),
        };
        for (seat, (role, _)) in &plan.roles {
            let occupant = self.occupants.get(*seat);
            if let Some(user) = occupant.map(|occupant| occupant.real.clone()) {
                self.note_voice(&user, *role);
            }
        }
        for entry in plan.entries.values() {
            let jid = entry.jid.to_bare();
            let was = self.affiliation(&jid);
            if was == entry.affiliation {
                continue;
            }
            // With another affiliation they begin anew.
            self.voices.remove(&jid);
            // Bans are for admins to know.
            let secret = was.min(entry.affiliation) == Affiliation::Outcast
                && was.max(entry.affiliation) <= Affiliation::None;
            if !secret && !jid.is_domain() {
                made.absent.push((was, entry.clone()));
            }
        }
        // A nick may go from one to the other.
        for jid in plan.entries.keys() {
            self.affiliations.remove(jid);
        }
        for entry in plan.entries.values() {
            made.changes.push(match entry.is_kept() {
                true => {
                    self.affiliations.set(entry.clone());
                    Change::Entry(entry.clone())
                }
                false => Change::NoEntry(entry.jid.clone()),
            });
        }
        if !made.absent.is_empty() {
            let all = self.occupants.iter();
            let present: BTreeSet<&Jid> = all.map(|(_, one)| one.real.as_jid()).collect();
            made.absent
                .retain(|(_, entry)| !present.contains(&entry.jid));
        }
        for (seat, occupant) in self.occupants.iter() {
            let role = plan.roles.get(&seat);
            let entry = plan.concerns(occupant);
            if role.is_some() || entry.is_some() {
                let effect = self.effect(occupant, role, entry);
                made.occupants.extend(effect.map(|effect| (seat, effect)));
            }
        }
        made
    }

    /// Tells of the changes that have been made, and answers the request for them. What was to be stored of them has to be with
    /// the outputs already.
    pub(super) fn tell(
        &mut self,
        made: Made,
        actor: Option<&Asker>,
        answer: Option<Stanza>,
        turn: &mut Turn<'_>,
    ) {
        let who = actor.and_then(|asker| self.actor(asker));
        let notice = |effect: &Effect| Notice {
            codes: effect.code.into_iter().collect(),
            actor: who.clone(),
            reason: effect.reason.clone(),
            ..Notice::default()
        };
        // §8.2: the kicked occupants hear of it; "After removing the kicked occupant(s), the service MUST then inform the
        // moderator of success"; "After informing the moderator, the service MUST then inform all of the remaining occupants". Of
        // anything else the one who asked hears first.
        let mut gone = Vec::new();
        for (seat, effect) in &made.occupants {
            if effect.code == Some(KICKED) {
                let notice = notice(effect);
                let kicked = self.dismiss(*seat, &notice, turn);
                gone.extend(kicked.map(|kicked| (kicked, notice)));
            }
        }
        turn.out.extend(answer.map(Output::Answer));
        for (seat, effect) in &made.occupants {
            let notice = notice(effect);
            let Some(occupant) = self.occupants.get_mut(*seat) else {
                continue;
            };
            occupant.affiliation = effect.standing.affiliation;
            match effect.code {
                // §9.4: "there is no point in time where a non-member user must be in a members-only room": one presence, not
                // two.
                Some(_) => {
                    let removed = self.dismiss(*seat, &notice, turn);
                    gone.extend(removed.map(|removed| (removed, notice)));
                }
                None => {
                    occupant.role = effect.standing.role;
                    for claim in &mut occupant.elsewhere {
                        claim.role = effect.standing.role;
                        claim.affiliation = effect.standing.affiliation;
                    }
                }
            }
        }
        let audience = self.audience(None);
        for (gone, notice) in &gone {
            self.report(gone, notice, &audience, turn);
        }
        for (seat, effect) in &made.occupants {
            if effect.code.is_none() {
                let notice = notice(effect);
                self.announce(*seat, &notice, turn);
                self.tell_given(*seat, &notice, turn);
            }
        }
        let [_, seeing] = self.audience(None);
        for (was, entry) in &made.absent {
            self.tell_absent(*was, entry, actor, &seeing, turn);
        }
    }

    /// §10.2: "If [...] the room type is changed to members-only but there are non-members in the room, the service MUST remove
    /// any non-members from the room and include a status code of 322"
    pub(super) fn evict(&mut self, actor: &Asker, turn: &mut Turn<'_>) {
        let notice = Notice {
            actor: self.actor(actor),
            ..Notice::code(MEMBERS_ONLY)
        };
        let all = self.occupants.iter();
        let strangers = all.filter(|(_, one)| self.due(one) < Affiliation::Member);
        let strangers: Vec<Seat> = strangers.map(|(seat, _)| seat).collect();
        // Nobody who goes has to hear of the others.
        let gone = strangers.into_iter();
        let gone: Vec<Occupant> = gone
            .filter_map(|seat| self.dismiss(seat, &notice, turn))
            .collect();
        let audience = self.audience(None);
        for gone in &gone {
            self.report(gone, &notice, &audience, turn);
        }
    }

    /// What the changes mean for an occupant.
    fn effect(
        &self,
        occupant: &Occupant,
        role: Option<&(Role, Option<String>)>,
        entry: Option<&Entry>,
    ) -> Option<Effect> {
        // What other nodes say of theirs is shown until somebody here says another thing.
        let affiliation = match entry {
            None if occupant.is_away() => occupant.affiliation,
            _ => self.affiliation(&occupant.real),
        };
        let given = role.map_or(occupant.role, |(role, _)| *role);
        let standing = Standing {
            role: role_after(
                given,
                occupant.affiliation,
                affiliation,
                self.config.moderated,
            ),
            affiliation,
        };
        // Of one elsewhere, what they are shown to be says nothing of what they were here.
        let lost = entry.is_some() && occupant.is_away() || occupant.affiliation != affiliation;
        let code = match affiliation {
            Affiliation::Outcast => Some(BANNED),
            // §9.4: "If the room is members-only, the service MUST remove the user from the room, including a status code of 321"
            Affiliation::None if self.config.members_only && lost => Some(AFFILIATION),
            _ if given == Role::None => Some(KICKED),
            _ => None,
        };
        let before = Standing {
            role: occupant.role,
            affiliation: occupant.affiliation,
        };
        let changed = code.is_some() || standing != before;
        let by_role = || role.and_then(|(_, reason)| reason.clone());
        let reason = entry
            .and_then(|entry| entry.reason.clone())
            .or_else(by_role);
        changed.then_some(Effect {
            standing,
            code,
            reason,
        })
    }

    /// Of somebody who is not in the room: §10.3: "the service MAY send a message from the room itself to the room occupants",
    /// those who may see who it is; and §9.5: "the service SHOULD send an invitation to any user who has been added to the member
    /// list of a members-only room if the user is not currently affiliated with the room".
    fn tell_absent(
        &self,
        was: Affiliation,
        entry: &Entry,
        actor: Option<&Asker>,
        seeing: &Arc<[Jid]>,
        turn: &mut Turn<'_>,
    ) {
        let item = Element::new("item", ns::USER)
            .with_attr("affiliation", entry.affiliation.name())
            .with_attr("jid", entry.jid.as_str())
            .with_attr("role", Role::None.name());
        let x = Element::new("x", ns::USER).with_child(item);
        let message = Stanza::message(MessageType::Normal)
            .with_from(Jid::from(&self.jid))
            .with_child(&x);
        turn.broadcast(message, seeing.clone());
        let Some(actor) = actor else {
            return;
        };
        if was == Affiliation::None
            && entry.affiliation >= Affiliation::Member
            && self.config.members_only
        {
            turn.send(self.invitation(entry, actor));
        }
    }

    fn invitation(&self, entry: &Entry, actor: &Asker) -> Stanza {
        let occupant = actor.seat.and_then(|seat| self.occupants.get(seat));
        let from = match (self.config.whois, occupant) {
            (Whois::Anyone, _) => actor.user.as_str(),
            (Whois::Moderators, Some(occupant)) => occupant.address.as_str(),
            (Whois::Moderators, None) => self.jid.as_str(),
        };
        let mut invite = Element::new("invite", ns::USER).with_attr("from", from);
        if let Some(reason) = &entry.reason {
            invite.push(Element::new("reason", ns::USER).with_text(reason));
        }
        let mut x = Element::new("x", ns::USER).with_child(invite);
        if let Some(password) = &self.config.password {
            x.push(Element::new("password", ns::USER).with_text(password));
        }
        Stanza::message(MessageType::Normal)
            .with_from(Jid::from(&self.jid))
            .with_to(entry.jid.clone())
            .with_child(&x)
    }
}

/// The role that an occupant has after a change of their affiliation.
///
/// §5.1.3: "the role that is gained when an occupant is granted a certain affiliation is stable, whereas the role that is lost
/// when an occupant loses a certain affiliation is not hardcoded": who was moderator as an admin is what others of the new
/// affiliation begin with; else nothing is lost.
fn role_after(role: Role, was: Affiliation, is: Affiliation, moderated: bool) -> Role {
    let initial = is.role(moderated);
    match is.cmp(&was) {
        Ordering::Greater => role.max(initial),
        Ordering::Less if was >= Affiliation::Admin => initial,
        _ => role,
    }
}
