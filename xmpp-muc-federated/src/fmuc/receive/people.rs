//! Who is there, and who is gone, as other nodes say.

use xmpp_core::Jid;

use super::REMOVED;
use super::known_nick;
use crate::fmuc::crowd::{Known, Sight, Via};
use crate::fmuc::event::{Event, Passing};
use crate::fmuc::node::{Node, Turn};
use crate::fmuc::{Extension, Fmuc};
use crate::log::Dot;
use crate::room::elsewhere::{Occupant, Parting, Refusal};

impl Node {
    /// Somebody is there.
    pub(super) fn take_here(
        &mut self,
        via: &Via,
        mut occupant: Occupant,
        dot: Option<Dot>,
        news: bool,
        turn: &mut Turn<'_>,
    ) {
        let jid = occupant.jid.clone();
        if !self.may_speak_for(via, &jid, dot.as_ref(), turn) {
            return;
        }
        // Who was forgotten with the link is told of once more, and by the same event.
        let better = dot
            .as_ref()
            .is_some_and(|dot| self.crowd.knows_better(&jid, dot));
        let known = self.crowd.get(&jid);
        let elsewhere = known.is_some_and(|known| known.via != *via);
        // In which way they are there may be told once more by the event that has brought them.
        let same_event = known.is_some_and(|known| dot.is_some() && known.dot == dot);
        let theirs = self.crowd.get_mut(&jid).filter(|known| known.via == *via);
        if let Some(known) = theirs.filter(|_| !news && better && !same_event) {
            known.stale = false;
            return;
        }
        if better && !same_event && !elsewhere {
            if !news {
                return;
            }
            // Who has not heard of what came after it would take them for there.
            if let Some(Dot { node, epoch, seq }) = dot {
                self.tell_gone(via, &[(node, epoch, seq..=seq)], turn);
            }
            return;
        }
        let before = self.crowd.get(&jid).cloned();
        let nick_there = occupant.nick.clone();
        let same_nick = before
            .as_ref()
            .is_some_and(|known| known.nick_there == nick_there);
        if !same_nick && self.turns_away(via, &jid, &nick_there, turn) {
            return;
        }
        occupant.nick = match &before {
            // Whoever is not shown has no nick here: it may be another's by now.
            Some(known) if same_nick && known.sight != Sight::Lost => known.occupant.nick.clone(),
            _ => self.free_nick(via, &jid, &nick_there, turn),
        };
        let mut sight = before.as_ref().map_or(Sight::Shown, |known| known.sight);
        if sight != Sight::Suppressed {
            sight = self.show(via, &occupant, before.as_ref(), turn);
        }
        self.displace(&occupant.nick, turn);
        let lasting = dot.clone().or_else(|| before.as_ref()?.dot.clone());
        self.crowd.insert(Known {
            occupant: occupant.clone(),
            via: via.clone(),
            nick_there,
            dot: lasting,
            sight,
            others: before
                .as_ref()
                .map_or_else(Vec::new, |known| known.others.clone()),
            expelled: before.as_ref().and_then(|known| known.expelled.clone()),
            stale: false,
        });
        let same = before.is_some_and(|known| known.occupant == occupant);
        if (dot.is_some() && news) || !same {
            let event = Event::Here(occupant);
            let passing = Passing {
                event,
                dot,
                late: None,
            };
            match news {
                true => self.publish(via, &passing, turn),
                false => {
                    self.doubt(via, &jid, turn);
                    self.tell_all(via, &passing, turn);
                }
            }
        }
        self.avoid(via, &jid, turn);
    }

    /// Has the room show somebody who is elsewhere.
    pub(in crate::fmuc) fn show(
        &mut self,
        via: &Via,
        occupant: &Occupant,
        before: Option<&Known>,
        turn: &mut Turn<'_>,
    ) -> Sight {
        let renamed = before
            .filter(|known| known.sight == Sight::Shown && known.occupant.nick != occupant.nick);
        let mut shown = occupant.clone();
        if let Some(link) = self.link(via) {
            shown.role = shown.role.min(link.about.shown_role);
            shown.affiliation = shown.affiliation.min(link.about.shown_affiliation);
        }
        let done = self.in_room(turn, |room, now, out| {
            if renamed.is_some() {
                room.rename_elsewhere(&shown.jid, &shown.nick, now, out)?;
            }
            room.take_in(&shown, now, out)
        });
        match done {
            Ok(()) => Sight::Shown,
            Err(why) => {
                // Whom it does not let in any more it does not keep.
                if before.is_some_and(|known| known.sight == Sight::Shown) {
                    let parting = Parting::default();
                    self.in_room(turn, |room, now, out| {
                        room.let_go(&occupant.jid, &parting, now, out);
                    });
                }
                self.not_shown(via, occupant, why, turn);
                Sight::Refused
            }
        }
    }

    fn not_shown(&mut self, via: &Via, occupant: &Occupant, why: Refusal, turn: &mut Turn<'_>) {
        let condition = match why {
            Refusal::Outcast => "forbidden",
            Refusal::Taken => "conflict",
            Refusal::Nick => "jid-malformed",
            Refusal::Full => "service-unavailable",
            Refusal::Locked => "item-not-found",
        };
        let Some(link) = self.link(via) else {
            return;
        };
        if link.is_ext() {
            let fmuc = Fmuc::from(occupant.jid.clone());
            let refuse = Extension::Refuse(condition.to_owned());
            let stanza = link.write_own(&fmuc.with(refuse));
            let link = &*link;
            turn.send(link, stanza, None);
        }
    }

    /// Somebody is gone; or somebody behind that link asks that one of another go.
    pub(super) fn take_gone(
        &mut self,
        via: &Via,
        author: &Jid,
        nick: &str,
        parting: Parting,
        dot: Option<Dot>,
        turn: &mut Turn<'_>,
    ) {
        let known = self.crowd.get_mut(author);
        if let Some(known) = known.filter(|known| known.via != *via) {
            known.others.retain(|(other, _)| other != via);
            if parting.codes.iter().any(|code| REMOVED.contains(code)) {
                self.asked_to_expel(via, author, &parting, turn);
            }
            return;
        }
        // The first half of a change of nick, without our extension: the other one says it all.
        if parting.codes.contains(&303) {
            return;
        }
        if self.crowd.get(author).is_none() && !self.may_speak_for(via, author, dot.as_ref(), turn)
        {
            return;
        }
        // The link says it, not their own node.
        if dot.is_none() && self.inherit(author, turn) {
            return;
        }
        let late = dot
            .as_ref()
            .is_some_and(|dot| self.crowd.knows_better(author, dot));
        let shown = known_nick(&self.crowd, author).unwrap_or_else(|| nick.to_owned());
        if !late && let Some(known) = self.crowd.remove(author, dot.as_ref()) {
            if known.sight == Sight::Shown {
                self.in_room(turn, |room, now, out| {
                    room.let_go(author, &parting, now, out);
                });
            }
        } else if dot.is_none() {
            return;
        }
        let event = Event::Gone {
            jid: author.clone(),
            nick: shown,
            parting,
        };
        self.publish(
            via,
            &Passing {
                event,
                dot,
                late: None,
            },
            turn,
        );
    }

    /// Whether somebody who is behind another link is told of by this one, and by the same event: then there is a ring of rooms. It will be broken
    /// somewhere, and perhaps they are behind this link then.
    pub(super) fn heard_twice(
        &mut self,
        via: &Via,
        jid: &Jid,
        nick: &str,
        dot: Option<&Dot>,
    ) -> bool {
        let about = self.link(via).map(|link| link.about.clone());
        let may = about.is_some_and(|about| self.settings.may_introduce(&about, jid));
        let Some(known) = self.crowd.get_mut(jid).filter(|_| may) else {
            return false;
        };
        if known.via == Via::Here
            || known.via == *via
            || self.splits.has(&known.via)
            || dot.is_none()
            || known.dot.as_ref() != dot
        {
            return false;
        }
        known.others.retain(|(other, _)| other != via);
        known.others.push((via.clone(), nick.to_owned()));
        true
    }

    /// All behind a link are gone, as this room has to see it.
    pub(in crate::fmuc) fn drop_behind(
        &mut self,
        via: &Via,
        parting: &Parting,
        turn: &mut Turn<'_>,
    ) {
        if let Some(parent) = self.parent.as_mut().filter(|_| *via == Via::Parent) {
            parent.whole = false;
        }
        if *via == Via::Parent && !std::mem::take(&mut self.ancestors).is_empty() {
            self.tell_path(turn);
        }
        self.crowd.forget_other(via);
        for jid in self.crowd.jids_behind(via) {
            self.drop_one(via, &jid, parting, turn);
        }
    }

    /// Those whom the peer has not named since it has joined anew are gone.
    pub(in crate::fmuc) fn drop_stale(&mut self, via: &Via, turn: &mut Turn<'_>) {
        let stale = self.crowd.behind(via).filter(|known| known.stale);
        let stale: Vec<_> = stale.map(|known| known.occupant.jid.clone()).collect();
        for jid in stale {
            self.drop_one(via, &jid, &Parting::default(), turn);
        }
    }

    /// Somebody is gone, and their own node has not said so.
    pub(in crate::fmuc) fn drop_one(
        &mut self,
        via: &Via,
        jid: &Jid,
        parting: &Parting,
        turn: &mut Turn<'_>,
    ) {
        if self.inherit(jid, turn) {
            return;
        }
        let Some(known) = self.crowd.remove(jid, None) else {
            return;
        };
        if known.sight == Sight::Shown {
            self.in_room(turn, |room, now, out| room.let_go(jid, parting, now, out));
        }
        // Who had no node of their own to speak for them was named here.
        let ours = known.dot.as_ref().is_some_and(|dot| dot.node == self.id);
        let dot = (ours && *via != Via::Here).then(|| self.dot(turn.now));
        let event = Event::Gone {
            jid: jid.clone(),
            nick: known.occupant.nick,
            parting: parting.clone(),
        };
        let passing = Passing {
            event,
            dot,
            late: None,
        };
        self.publish(via, &passing, turn);
    }

    /// Whether one who is not behind the link any more that they were behind is behind another one by which one has heard of them. That one is told that
    /// one does not hear of them from this side, and all others that one does: they may have had it the other way round.
    fn inherit(&mut self, jid: &Jid, turn: &mut Turn<'_>) -> bool {
        let Some(known) = self.crowd.get_mut(jid) else {
            return false;
        };
        let Some((heir, nick)) = known.others.pop() else {
            return false;
        };
        let known = known.clone();
        self.crowd.hand_over(jid, &heir, nick);
        let passing = |event, dot| Passing {
            event,
            dot,
            late: None,
        };
        let here = passing(Event::Here(known.occupant.clone()), known.dot.clone());
        let gone = Event::Gone {
            jid: jid.clone(),
            nick: known.occupant.nick.clone(),
            parting: Parting::default(),
        };
        if let Some(link) = self.link(&heir) {
            link.tell(&passing(gone, None), turn);
        }
        self.tell_all(&heir, &here, turn);
        true
    }
}
