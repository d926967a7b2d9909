//! What occupants are told of an occupant (XEP-0045 §7.2.2, §17.3).

use std::mem;
use std::sync::Arc;

use xmpp_core::Jid;
use xmpp_core::stanza::{PresenceType, Stanza};
use xmpp_core::xml::Element;

use super::elsewhere::{Actor, Event, Parting};
use super::occupants::{Occupant, Seat};
use super::privilege::Privilege;
use super::{Output, Role, Room, Turn, Whois};
use crate::ns;

/// "Inform user that presence refers to itself" (§16.6.2).
pub(super) const SELF: u16 = 110;

/// Why something is told of an occupant, beside what they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Notice {
    /// Status codes (§16.6) that all are told; the occupant hears 110 as well.
    pub(super) codes: Vec<u16>,
    /// Who has done it.
    pub(super) actor: Option<Actor>,
    /// Why, in their words.
    pub(super) reason: Option<String>,
    /// `<destroy/>` (§10.9).
    pub(super) destroy: Option<Element>,
    /// What the occupant says when they leave: an unavailable presence without addresses, and without what is the room's to say.
    pub(super) farewell: Option<Stanza>,
}

/// A presence in the making.
struct Told<'a> {
    of: &'a Occupant,
    /// What the occupant says of themself.
    said: Stanza,
    role: Role,
    jid: Option<&'a Jid>,
    /// Where a change of nick leads.
    nick: Option<&'a str>,
    notice: &'a Notice,
    sight: Sight,
}

impl Notice {
    /// With this status code.
    pub(super) fn code(code: u16) -> Notice {
        Notice {
            codes: vec![code],
            ..Notice::default()
        }
    }

    /// What other nodes hear of it.
    pub(super) fn parting(&self) -> Parting {
        Parting {
            codes: self.codes.clone(),
            actor: self.actor.clone(),
            reason: self.reason.clone(),
            farewell: self.farewell.clone(),
        }
    }
}

impl Room {
    /// Tells all what an occupant is, after a change of it.
    ///
    /// Who becomes a moderator hears of the others once more, now that they may see who those are.
    pub(super) fn announce(&mut self, seat: Seat, notice: &Notice, turn: &mut Turn<'_>) {
        self.tell_itself(seat, notice, None, turn);
        self.tell_others(seat, notice, turn);
        let Some(occupant) = self.occupants.get(seat) else {
            return;
        };
        let promoted = occupant.role == Role::Moderator && occupant.told < Role::Moderator;
        if promoted && self.config.whois == Whois::Moderators {
            for session in &occupant.sessions {
                turn.burst(session.jid.clone(), self.others(seat));
            }
        }
        if let Some(occupant) = self.occupants.get_mut(seat) {
            occupant.told = occupant.role;
        }
    }

    /// Takes an occupant out of the room, wherever they are, and tells all so.
    pub(super) fn remove(&mut self, seat: Seat, notice: &Notice, turn: &mut Turn<'_>) {
        if let Some(gone) = self.dismiss(seat, notice, turn) {
            self.report(&gone, notice, &self.audience(None), turn);
        }
    }

    /// The first half of [`remove`](Self::remove), for those to whom §8.2 gives an order: the occupant hears of it.
    pub(super) fn dismiss(
        &mut self,
        seat: Seat,
        notice: &Notice,
        turn: &mut Turn<'_>,
    ) -> Option<Occupant> {
        let gone = self.take_out(seat, notice, turn)?;
        if self.watched {
            self.part_of(&gone, notice, turn);
        }
        Some(gone)
    }

    /// The same, and no other node hears of it.
    pub(super) fn take_out(
        &mut self,
        seat: Seat,
        notice: &Notice,
        turn: &mut Turn<'_>,
    ) -> Option<Occupant> {
        let gone = self.occupants.leave(seat)?;
        if !gone.is_away() {
            turn.broadcast(self.unavailable(&gone, notice, Sight::Own), gone.clients());
        }
        for session in &gone.sessions {
            self.ask_no_more(&session.jid, turn);
        }
        Some(gone)
    }

    /// The other half: all others hear of it, who are the [`audience`](Self::audience).
    pub(super) fn report(
        &self,
        gone: &Occupant,
        notice: &Notice,
        [blind, seeing]: &[Arc<[Jid]>; 2],
        turn: &mut Turn<'_>,
    ) {
        if gone.shown {
            turn.broadcast(self.unavailable(gone, notice, Sight::Hidden), blind.clone());
            turn.broadcast(self.unavailable(gone, notice, Sight::Real), seeing.clone());
        }
    }

    /// A message from the room or an occupant to everybody.
    pub(super) fn send_to_all(&self, message: Stanza, turn: &mut Turn<'_>) {
        turn.broadcast(message, self.occupants.everybody());
    }

    /// All sessions of the occupant hear what they are; `id` is that of their own presence.
    pub(super) fn tell_itself(
        &self,
        seat: Seat,
        notice: &Notice,
        id: Option<&str>,
        turn: &mut Turn<'_>,
    ) {
        if let Some(occupant) = self.occupants.get(seat).filter(|one| !one.is_away()) {
            let own = self.available(occupant, notice, Sight::Own).with_id(id);
            turn.broadcast(own, occupant.clients());
        }
    }

    /// All others hear what the occupant is, if those of their role are shown at all.
    pub(super) fn tell_others(&mut self, seat: Seat, notice: &Notice, turn: &mut Turn<'_>) {
        let Some(occupant) = self.occupants.get(seat) else {
            return;
        };
        let was = occupant.shown;
        let is = self
            .config
            .allows(occupant.role, Privilege::BroadcastPresence);
        let [blind, seeing] = self.audience(Some(seat));
        if is {
            turn.broadcast(self.available(occupant, notice, Sight::Hidden), blind);
            turn.broadcast(self.available(occupant, notice, Sight::Real), seeing);
        } else if was {
            turn.broadcast(self.unavailable(occupant, notice, Sight::Hidden), blind);
            turn.broadcast(self.unavailable(occupant, notice, Sight::Real), seeing);
        }
        if was != is
            && let Some(occupant) = self.occupants.get_mut(seat)
        {
            occupant.shown = is;
        }
        self.tell_nodes(seat, turn);
    }

    /// All hear that an occupant has another nick: the first of two presences (§7.6). Those who are not shown hear it alone.
    pub(super) fn tell_rename(&mut self, seat: Seat, nick: &str, turn: &mut Turn<'_>) {
        let Some(occupant) = self.occupants.get(seat) else {
            return;
        };
        let notice = Notice::code(303);
        let told = |sight| {
            let left = self.left(occupant, &notice, sight);
            let role = occupant.role;
            Told {
                role,
                nick: Some(nick),
                ..left
            }
            .stanza()
        };
        turn.broadcast(told(Sight::Own), occupant.clients());
        if occupant.shown {
            let [blind, seeing] = self.audience(Some(seat));
            turn.broadcast(told(Sight::Hidden), blind);
            turn.broadcast(told(Sight::Real), seeing);
        }
        if let Some(Some(known)) = self.occupants.known(seat) {
            turn.out.push(Output::Event(Event::Renamed {
                jid: known.jid.clone(),
                from: mem::replace(&mut known.nick, nick.to_owned()),
                to: nick.to_owned(),
            }));
        }
    }

    /// The presences of all but one, as that one may see them, without `to`.
    pub(super) fn others(&self, but: Seat) -> Vec<Arc<Stanza>> {
        let sight = match self.occupants.get(but) {
            Some(occupant) if self.sees(occupant) => Sight::Real,
            _ => Sight::Hidden,
        };
        let all = self.occupants.iter();
        all.filter(|(seat, other)| *seat != but && other.shown)
            .map(|(_, other)| self.heard(other, sight))
            .collect()
    }

    /// What an occupant is, for those who may see so much.
    pub(super) fn available(&self, of: &Occupant, notice: &Notice, sight: Sight) -> Stanza {
        Told::of(of, notice, sight).stanza()
    }

    /// That somebody is no occupant any more: §7.14: "the 'role' attribute MUST be set to a value of "none"".
    pub(super) fn unavailable(&self, of: &Occupant, notice: &Notice, sight: Sight) -> Stanza {
        self.left(of, notice, sight).stanza()
    }

    /// The real addresses of those who must not see those of others, and of those who may, but for one occupant.
    pub(super) fn audience(&self, but: Option<Seat>) -> [Arc<[Jid]>; 2] {
        let mut lists = [Vec::new(), Vec::new()];
        for (seat, occupant) in self.occupants.iter() {
            if Some(seat) != but {
                let sessions = occupant.sessions.iter();
                lists[usize::from(self.sees(occupant))]
                    .extend(sessions.map(|session| session.jid.clone()));
            }
        }
        lists.map(Arc::from)
    }

    /// Whether an occupant may see the real addresses of others (§4.2).
    fn sees(&self, occupant: &Occupant) -> bool {
        self.config.whois == Whois::Anyone || occupant.role == Role::Moderator
    }

    /// The same as [`available`](Self::available) without any notice, made once.
    fn heard(&self, of: &Occupant, sight: Sight) -> Arc<Stanza> {
        let made = &of.heard[usize::from(sight != Sight::Hidden)];
        let make = || Arc::new(self.available(of, &Notice::default(), sight));
        made.get_or_init(make).clone()
    }

    /// The same of one of several clients, which alone has left.
    pub(super) fn unavailable_of(
        &self,
        of: &Occupant,
        client: &Jid,
        notice: &Notice,
        sight: Sight,
    ) -> Stanza {
        let mut told = self.left(of, notice, sight);
        told.jid = Some(client);
        told.stanza()
    }

    fn left<'a>(&self, of: &'a Occupant, notice: &'a Notice, sight: Sight) -> Told<'a> {
        let silent = || Stanza::presence(PresenceType::Unavailable);
        let said = notice.farewell.clone().unwrap_or_else(silent);
        Told {
            said,
            role: Role::None,
            ..Told::of(of, notice, sight)
        }
    }
}

/// How much somebody sees of an occupant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// All but who they really are.
    Hidden,
    /// That, too.
    Real,
    /// It is them.
    Own,
}

impl<'a> Told<'a> {
    /// What they are now.
    fn of(of: &'a Occupant, notice: &'a Notice, sight: Sight) -> Told<'a> {
        let latest = of.latest();
        let silent = || Stanza::presence(PresenceType::Available);
        Told {
            of,
            said: latest.map_or_else(silent, |session| session.presence.clone()),
            role: of.role,
            // §17.3: "the value of the 'jid' attribute MUST be the full JID"
            jid: latest.map(|session| &session.jid),
            nick: None,
            notice,
            sight,
        }
    }

    fn stanza(self) -> Stanza {
        let (notice, of) = (self.notice, self.of);
        let jid = self.jid.filter(|_| self.sight != Sight::Hidden);
        let mut item = Element::new("item", ns::USER);
        item.set_attr("affiliation", of.affiliation.name());
        item.set_attr("jid", jid.map(Jid::as_str));
        item.set_attr("nick", self.nick);
        item.set_attr("role", self.role.name());
        if let Some(actor) = &notice.actor {
            item.push(Element::new("actor", ns::USER).with_attr("nick", &actor.nick));
        }
        if let Some(reason) = &notice.reason {
            item.push(Element::new("reason", ns::USER).with_text(reason));
        }
        let own = (self.sight == Sight::Own).then_some(SELF);
        let mut codes: Vec<_> = own
            .into_iter()
            .chain(notice.codes.iter().copied())
            .collect();
        codes.sort_unstable();
        // §7.2.2: "The PRESENCE element MUST NOT include more than once instance of the X element"
        let x = Element::new("x", ns::USER)
            .with_child(item)
            .with_children(notice.destroy.clone())
            .with_children(codes.into_iter().map(status));
        self.said
            .with_from(Jid::from(&of.address))
            .with_child(&x)
            .with_child(&occupant_id(&of.id))
    }
}

/// `<status/>` with a code of §16.6.
pub(crate) fn status(code: u16) -> Element {
    Element::new("status", ns::USER).with_attr("code", &code.to_string())
}

/// XEP-0421 §4: "The <occupant-id> element MUST be attached to every message and every presence sent by a MUC."
pub(super) fn occupant_id(id: &str) -> Element {
    Element::new("occupant-id", ns::OCCUPANT_ID).with_attr("id", id)
}
