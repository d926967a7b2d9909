//! Entering (XEP-0045 §7.2), and what an occupant's presence says later (§7.7).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use xmpp_core::stanza::{Condition, ErrorType, PresenceType, Stanza, StanzaError};
use xmpp_core::xml::Element;
use xmpp_core::{BareJid, FullJid, Jid};

use super::occupants::{Occupant, Seat, Session};
use super::presence::{Notice, SELF, Sight, status};
use super::rate::Cost;
use super::{Affiliation, Role, Room, Turn, elsewhere};
use crate::ns;
use crate::store::Entry;

/// A wish to enter.
struct Wish<'a> {
    from: &'a Jid,
    real: BareJid,
    nick: &'a FullJid,
    affiliation: Affiliation,
    /// `<x xmlns='http://jabber.org/protocol/muc'/>`
    x: &'a Element,
}

impl Room {
    /// An available presence to an occupant's address.
    pub(super) fn present(
        &mut self,
        stanza: &Stanza,
        from: &Jid,
        to: &FullJid,
        turn: &mut Turn<'_>,
    ) {
        let x = stanza.payload().child("x", ns::MUC);
        let x = x.map(|x| x.element());
        let seat = self.occupants.of(from);
        if seat.is_none() && x.is_none() {
            return self.expel_stranger(from, to, turn);
        }
        let real = from.to_bare();
        if let Err(error) = self.bounded(stanza, &real, x.is_some(), turn) {
            return turn.refuse(stanza, error);
        }
        let done = match (seat, &x) {
            (Some(seat), x) => self.update(seat, stanza, from, to, x.as_ref(), turn),
            (None, Some(x)) => {
                let wish = Wish {
                    from,
                    affiliation: self.affiliation(&real),
                    real,
                    nick: to,
                    x,
                };
                self.enter(stanza, wish, turn)
            }
            (None, None) => Ok(()),
        };
        if let Err(error) = done {
            turn.refuse(stanza, error);
        }
    }

    /// §7.2.18: it is recommended to answer "with an explicit kick": who only believes to be in the room enters it again.
    fn expel_stranger(&self, from: &Jid, to: &FullJid, turn: &mut Turn<'_>) {
        let reason = Element::new("reason", ns::USER).with_text("You are not in the room.");
        let item = Element::new("item", ns::USER)
            .with_attr("affiliation", Affiliation::None.name())
            .with_attr("role", Role::None.name())
            .with_child(reason);
        // "The kick MUST contain the status codes 110 [...], 307 (kick), and 333"
        let x = Element::new("x", ns::USER)
            .with_child(item)
            .with_children([SELF, 307, 333].map(status));
        let kick = Stanza::presence(PresenceType::Unavailable)
            .with_from(Jid::from(to))
            .with_to(from.clone())
            .with_child(&x);
        turn.send(kick);
    }

    /// What is too much or too large for anybody.
    fn bounded(
        &mut self,
        stanza: &Stanza,
        real: &BareJid,
        whole: bool,
        turn: &Turn<'_>,
    ) -> Result<(), StanzaError> {
        let limits = &self.settings.limits;
        if stanza.payload().as_bytes().len() > limits.presence {
            return Err(
                StanzaError::new(Condition::PolicyViolation).with_text("the presence is too large")
            );
        }
        let cost = if whole { Cost::Entry } else { Cost::Stanza };
        self.spend(real, cost, turn)
    }

    /// Refuses what is one too many, for a while.
    pub(super) fn spend(
        &mut self,
        user: &BareJid,
        cost: Cost,
        turn: &Turn<'_>,
    ) -> Result<(), StanzaError> {
        let limits = &self.settings.limits;
        if self.rates.take(user, cost, limits, turn.now.instant) {
            return Ok(());
        }
        let error = StanzaError::new(Condition::PolicyViolation).with_kind(ErrorType::Wait);
        Err(error.with_text("too much at once"))
    }

    fn enter(
        &mut self,
        stanza: &Stanza,
        wish: Wish<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), StanzaError> {
        let create = self.is_new();
        // Everybody there would own the room.
        if create && wish.real.is_domain() {
            return Err(Condition::NotAllowed.into());
        }
        let affiliation = match create {
            true => Affiliation::Owner,
            false => wish.affiliation,
        };
        let seat = self.admit(&wish, affiliation, create)?;
        let session = Session {
            jid: wish.from.clone(),
            presence: self.said(stanza),
        };
        let mut codes = self.warnings();
        if create {
            // §10.1.1: "the service MUST [...] create the room, assign the user as room owner, and add the owner to the room"
            self.affiliations.set(Entry {
                jid: Jid::from(&wish.real),
                affiliation,
                nick: None,
                reason: None,
            });
            self.creator = Some(wish.real.clone());
            self.setup = Some(turn.now.instant + self.settings.limits.setup);
            codes.push(201);
        }
        let role = self.first_role(&wish.real, affiliation);
        let seat = match seat {
            Some(seat) => {
                // What another node has said of them is no right here.
                if let Some(there) = self.occupants.get_mut(seat).filter(|one| one.is_away()) {
                    (there.role, there.affiliation, there.told) = (role, affiliation, role);
                }
                self.occupants.join(seat, session);
                Some(seat)
            }
            None => self.occupants.enter(Occupant {
                address: wish.nick.clone(),
                id: self.occupant_id(&wish.real),
                real: wish.real,
                role,
                affiliation,
                sessions: vec![session],
                elsewhere: Vec::new(),
                known: None,
                shown: false,
                told: role,
                heard: Default::default(),
            }),
        };
        let Some(seat) = seat else {
            return Err(Condition::Conflict.into());
        };
        self.welcome(seat, wish.from, codes, stanza.id(), wish.x, turn);
        self.tell_own_others(seat, wish.from, turn);
        self.tell_others(seat, &Notice::default(), turn);
        Ok(())
    }

    /// As what one would be who enters; `None` if they may not, or sit there already with another client.
    pub(super) fn would_enter(
        &self,
        stanza: &Stanza,
        from: &Jid,
        nick: &FullJid,
        x: &Element,
    ) -> Option<elsewhere::Occupant> {
        let real = from.to_bare();
        let affiliation = self.affiliation(&real);
        let wish = Wish {
            from,
            affiliation,
            real,
            nick,
            x,
        };
        let seat = self.admit(&wish, affiliation, false).ok()?;
        seat.is_none().then(|| elsewhere::Occupant {
            jid: from.clone(),
            nick: nick.resource().to_owned(),
            affiliation,
            role: self.first_role(&wish.real, affiliation),
            presence: self.said(stanza),
        })
    }

    /// Whether nobody has ever entered it.
    pub(super) fn is_new(&self) -> bool {
        self.locked && self.affiliations.with(Affiliation::Owner).next().is_none()
    }

    /// Whether they may enter; and if they sit there already with another client, where.
    fn admit(
        &self,
        wish: &Wish<'_>,
        affiliation: Affiliation,
        create: bool,
    ) -> Result<Option<Seat>, StanzaError> {
        if affiliation == Affiliation::Outcast {
            // §7.2.7
            return Err(Condition::Forbidden.into());
        }
        if self.locked && !create {
            // §7.2.10
            return Err(Condition::ItemNotFound.into());
        }
        if self.config.members_only && affiliation == Affiliation::None {
            // §7.2.6
            return Err(Condition::RegistrationRequired.into());
        }
        if let Some(password) = &self.config.password
            && !create
        {
            let given = wish.x.child("password", ns::MUC);
            if given.is_none_or(|given| given.text() != *password) {
                // §7.2.5
                return Err(Condition::NotAuthorized.into());
            }
        }
        self.check_nick(wish.nick.resource(), &wish.real)?;
        let holder = self.occupants.named(wish.nick.resource());
        let holder = holder.and_then(|seat| Some((seat, self.occupants.get(seat)?)));
        match holder {
            // §7.2.8: "if the bare JID [...] of the present occupant matches the bare JID of the user seeking to enter the room, then
            // the service SHOULD allow entry"
            Some((seat, there)) if there.real == wish.real && there.address == *wish.nick => {
                match there.sessions.len() < self.settings.limits.sessions {
                    true => Ok(Some(seat)),
                    false => Err(Condition::ResourceConstraint.into()),
                }
            }
            Some(_) => Err(Condition::Conflict.into()),
            None => self.has_room_for(affiliation).map(|()| None),
        }
    }

    fn has_room_for(&self, affiliation: Affiliation) -> Result<(), StanzaError> {
        let (there, most) = (self.occupants.len(), self.settings.limits.occupants);
        let configured = match affiliation {
            // §7.2.9: "the room MUST allow the admin or owner to join, up to some reasonable number of additional occupants"
            Affiliation::Admin | Affiliation::Owner => most,
            _ => self.config.max_users.unwrap_or(most),
        };
        match there < most.min(configured) {
            true => Ok(()),
            false => {
                Err(StanzaError::new(Condition::ServiceUnavailable).with_kind(ErrorType::Wait))
            }
        }
    }

    /// What those who enter are warned of.
    fn warnings(&self) -> Vec<u16> {
        let mut codes = Vec::new();
        if self.config.whois == super::Whois::Anyone {
            // §7.2.3: "the service MUST warn the user by including a status code of "100""
            codes.push(100);
        }
        if self.config.logging {
            // §7.2.12: "MUST also warn the user that the discussions are logged", "170"
            codes.push(170);
        }
        codes
    }

    /// The presence of an occupant: they are here in another way, under another nick, or want to hear everything again.
    fn update(
        &mut self,
        seat: Seat,
        stanza: &Stanza,
        from: &Jid,
        to: &FullJid,
        x: Option<&Element>,
        turn: &mut Turn<'_>,
    ) -> Result<(), StanzaError> {
        let renamed = self.rename(seat, to, turn)?;
        let news = self.occupants.says(from, self.said(stanza));
        if let Some(x) = x {
            // §17.3: "it MUST treat it as a full synchronization request, and send to the client everything that would be sent to it
            // on a normal join."
            self.welcome(seat, from, self.warnings(), stanza.id(), x, turn);
            if renamed || news {
                self.tell_own_others(seat, from, turn);
                self.tell_others(seat, &Notice::default(), turn);
            }
            return Ok(());
        }
        self.tell_itself(seat, &Notice::default(), stanza.id(), turn);
        self.tell_others(seat, &Notice::default(), turn);
        Ok(())
    }

    /// The other clients of an occupant hear what they are.
    pub(super) fn tell_own_others(&self, seat: Seat, but: &Jid, turn: &mut Turn<'_>) {
        if let Some(occupant) = self.occupants.get(seat) {
            let own = self.available(occupant, &Notice::default(), Sight::Own);
            let others = occupant.sessions.iter().filter(|one| one.jid != *but);
            turn.broadcast(own, others.map(|session| session.jid.clone()).collect());
        }
    }

    /// What a presence says, without what is the room's to say (§17.3: "it MUST NOT reflect it to other occupants").
    pub(super) fn said(&self, stanza: &Stanza) -> Stanza {
        let payload = self.clean(stanza.payload());
        let said = stanza.clone().with_from(None).with_to(None).with_id(None);
        said.with_payload(payload)
    }

    /// XEP-0421 §4.1: "an HMAC algorithm to generate the occupant identifier from the real bare JID, the room bare JID and the service
    /// secret key."
    pub(super) fn occupant_id(&self, real: &BareJid) -> Arc<str> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.settings.secret);
        let mac = mac.expect("HMAC takes a key of any length");
        let mac = mac.chain_update(self.jid.as_str()).chain_update([0]);
        let mac = mac.chain_update(real.as_str()).finalize().into_bytes();
        URL_SAFE_NO_PAD.encode(mac).into()
    }
}
