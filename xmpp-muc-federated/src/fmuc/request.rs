//! What a moderator of one node wants done to an occupant of another: it is asked of the node that they are at (§5.11 of the design).

use xmpp_core::Jid;
use xmpp_core::stanza::{PresenceType, Stanza};
use xmpp_core::xml::Element;

use super::Fmuc;
use super::crowd::{Sight, Via};
use super::link::parting_item;
use super::node::{Matter, Node, Turn};
use crate::ns;
use crate::room::Role;
use crate::room::elsewhere::Parting;

impl Node {
    /// Somebody who is elsewhere was taken out of the room here.
    pub(super) fn ask_to_expel(&mut self, jid: &Jid, parting: &Parting, turn: &mut Turn<'_>) {
        if self.crowd.get(jid).is_some() {
            self.crowd.change(jid, |known| {
                known.sight = Sight::Suppressed;
                known.expelled = Some(Box::new(parting.clone()));
            });
            self.pass_request(
                jid,
                PresenceType::Unavailable,
                parting_item(parting),
                parting,
                turn,
            );
        }
    }

    /// Somebody who is elsewhere has another role here.
    pub(super) fn ask_to_give(
        &mut self,
        jid: &Jid,
        role: Role,
        parting: &Parting,
        turn: &mut Turn<'_>,
    ) {
        let mut item = Element::new("item", ns::USER).with_attr("role", role.name());
        if let Some(reason) = &parting.reason {
            item.push(Element::new("reason", ns::USER).with_text(reason));
        }
        let x = Element::new("x", ns::USER).with_child(item);
        self.pass_request(jid, PresenceType::Available, Some(x), parting, turn);
    }

    /// A link is up again: what was asked for there may not have arrived.
    pub(super) fn ask_to_expel_again(&mut self, via: &Via, turn: &mut Turn<'_>) {
        let behind = self.crowd.behind(via);
        let expelled = behind.filter_map(|known| {
            let parting = known.expelled.clone()?;
            Some((known.occupant.jid.clone(), parting))
        });
        for (jid, parting) in expelled.collect::<Vec<_>>() {
            let item = parting_item(&parting);
            self.pass_request(&jid, PresenceType::Unavailable, item, &parting, turn);
        }
    }

    /// A peer asks that somebody who is not behind it go.
    pub(super) fn asked_to_expel(
        &mut self,
        via: &Via,
        jid: &Jid,
        parting: &Parting,
        turn: &mut Turn<'_>,
    ) {
        if !self.honours(via, turn) {
            return;
        }
        let here = self
            .crowd
            .get(jid)
            .is_some_and(|known| known.via == Via::Here);
        if here {
            if self.room.is_ruled_by(&jid.to_bare()) {
                return self.not_done(via, turn);
            }
            let parting = Parting {
                farewell: None,
                ..parting.clone()
            };
            self.in_room(turn, |room, now, out| room.expel(jid, &parting, now, out));
        } else {
            if let Some(known) = self.crowd.get_mut(jid) {
                known.expelled = Some(Box::new(parting.clone()));
            }
            self.pass_request(
                jid,
                PresenceType::Unavailable,
                parting_item(parting),
                parting,
                turn,
            );
        }
    }

    /// A peer asks that somebody who is not behind it have another role.
    pub(super) fn asked_to_give(
        &mut self,
        via: &Via,
        jid: &Jid,
        role: Role,
        parting: &Parting,
        turn: &mut Turn<'_>,
    ) {
        if !self.honours(via, turn) {
            return;
        }
        let here = self
            .crowd
            .get(jid)
            .is_some_and(|known| known.via == Via::Here);
        if here {
            let trusted = self.link(via).is_some_and(|link| link.about.trust_roles);
            let too_much = role == Role::Moderator && !trusted;
            if too_much || self.room.is_ruled_by(&jid.to_bare()) {
                return self.not_done(via, turn);
            }
            self.in_room(turn, |room, now, out| {
                room.give(jid, role, parting, now, out)
            });
        } else {
            self.ask_to_give(jid, role, parting, turn);
        }
    }

    /// What a peer has asked for is not for it to ask.
    fn not_done(&mut self, via: &Via, turn: &mut Turn<'_>) {
        if let Some(link) = self.link(via) {
            turn.drop(&link.peer, "it asks for more than a moderator may do");
        }
    }

    /// A peer does not let somebody in who is here or behind this room: only an operator can do something about it.
    pub(super) fn refused(&mut self, via: &Via, fmuc: &Fmuc, condition: &str, turn: &mut Turn<'_>) {
        let named = fmuc
            .from
            .as_ref()
            .map_or("somebody", |from| from.as_str())
            .to_owned();
        if let Some(link) = self.link(via) {
            let what = Matter::Rejected(format!("{named}: {condition}"));
            let peer = link.peer.clone();
            turn.notice(&peer, what);
        }
    }

    fn honours(&mut self, via: &Via, turn: &mut Turn<'_>) -> bool {
        let most = self.settings.limits.requests;
        let Some(link) = self.link(via) else {
            return false;
        };
        let peer = link.peer.clone();
        let honoured = link.about.honour_kicks;
        let fits = link.asked(most, turn.now.instant);
        if !honoured {
            turn.drop(&peer, "its moderators have no say here");
        } else if !fits {
            turn.drop(&peer, "its moderators ask for too much");
        }
        honoured && fits
    }

    fn pass_request(
        &mut self,
        jid: &Jid,
        kind: PresenceType,
        x: Option<Element>,
        parting: &Parting,
        turn: &mut Turn<'_>,
    ) {
        let Some(known) = self.crowd.get(jid) else {
            return;
        };
        let (via, nick) = (known.via.clone(), known.nick_there.clone());
        let Some(link) = self.link(&via) else {
            return;
        };
        // What is no departure is only understood as a request with our extension.
        if kind == PresenceType::Available && !link.is_ext() {
            return;
        }
        let presence = Stanza::presence(kind).with_children(x.as_ref());
        let stanza = link.write_request(jid, &nick, presence, parting);
        turn.send(&*link, stanza, None);
    }
}
