//! The joined side of a link: towards a room that has joined this one (§5.4 of the design).

use std::time::Instant;

use xmpp_core::BareJid;
use xmpp_core::stanza::{Kind, PresenceType, Stanza};

use super::crowd::Via;
use super::event::{Event, Passing};
use super::link::{Link, Speech};
use super::node::{Matter, Node, Turn};
use super::settings::Accept;
use super::{Extension, Fmuc, Mode};
use crate::log::Vector;
use crate::ns;
use crate::room::elsewhere::Parting;

/// A room that has joined this one.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) link: Link,
    pub(super) state: State,
    /// It waits for the echo of what it says.
    pub(super) replica: bool,
    /// How far it has everything of those behind it: when so much is here too, it is known what has become of them all.
    pub(super) promised: Option<Vector>,
    /// Who is behind it is known, as of some moment: it need not tell of everybody.
    pub(super) whole: bool,
    /// When it is asked to join anew, if it does not so by itself.
    ask: Option<Instant>,
    /// Until when those are kept whom it has not named since it has joined anew.
    pub(super) stale: Option<Instant>,
    /// Until when it may take to tell what was promised.
    pub(super) told_by: Option<Instant>,
    /// Its link has been down: if it joins now, it has forgotten that it had.
    anew: bool,
    /// When it was asked to join anew.
    recalled: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Joined,
    /// The link is down; it is forgotten then.
    Suspect {
        until: Option<Instant>,
    },
}

impl Child {
    /// One that has just joined.
    pub(super) fn new(link: Link) -> Child {
        Child {
            link,
            state: State::Joined,
            replica: false,
            promised: None,
            whole: false,
            ask: None,
            stale: None,
            told_by: None,
            anew: false,
            recalled: None,
        }
    }

    /// Whether it was asked to join anew, and has not yet.
    pub(super) fn is_recalled(&self) -> bool {
        self.recalled.is_some()
    }

    /// Tells it of an event, now or when it is there.
    pub(super) fn tell(&mut self, passing: &Passing, turn: &mut Turn<'_>) {
        match self.state {
            State::Joined => {
                self.link.trust(turn.now.instant);
                self.link.doubt(passing, turn.now.instant);
                self.link.tell(passing, turn);
            }
            State::Suspect { .. } if !self.link.is_ext() => {
                self.link.wait_since(passing, turn);
            }
            // It says what it lacks when it comes back.
            State::Suspect { .. } => {
                self.link.pace.postpone(passing);
                self.link.miss(passing, turn.now.instant);
            }
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let until = match self.state {
            State::Suspect { until } => until,
            State::Joined => self.link.next_timeout(),
        };
        [until, self.stale, self.ask, self.told_by]
            .into_iter()
            .flatten()
            .min()
    }
}

impl Node {
    /// A stanza of a room that has not joined this one.
    pub(super) fn heard_from_stranger(
        &mut self,
        peer: &BareJid,
        stanza: &Stanza,
        fmuc: &Fmuc,
        turn: &mut Turn<'_>,
    ) {
        match stanza.kind() {
            Kind::Presence(PresenceType::Available) if asks_to_join(stanza, fmuc) => {
                if !self.is_welcome(peer, turn) {
                    return;
                }
                match self.may_join(peer, fmuc) {
                    Ok(()) => {
                        let link = Link::new(
                            self.room.jid(),
                            peer.clone(),
                            &self.federation,
                            &self.settings,
                        );
                        self.children.insert(peer.clone(), Child::new(link));
                        self.welcome_child(peer, stanza, fmuc, false, turn);
                    }
                    Err(why) => self.refuse(peer, why, turn),
                }
            }
            // The answer to the last of them may have been lost.
            Kind::Presence(PresenceType::Unavailable)
                if self.federation.accept.admits(peer) && speaks_for_somebody(fmuc) =>
            {
                if self.is_answered(peer, turn) {
                    self.say_left(peer, None, turn);
                }
            }
            // This room had joined it once, and has joined another one since.
            _ if fmuc.extensions.contains(&Extension::Rejoin)
                && self.federation.parents.contains(peer) =>
            {
                if self.is_answered(peer, turn) {
                    self.say_leave(peer, turn);
                }
            }
            // Whatever it takes itself for: it is told that it is not. Who speaks our extension finds out.
            _ if self.federation.accept.admits(peer)
                && speaks_for_somebody(fmuc)
                && fmuc.extensions.is_empty() =>
            {
                turn.drop(peer, "the room has not joined");
                if self.is_answered(peer, turn) {
                    self.say_left(peer, None, turn);
                }
            }
            _ => turn.drop(peer, "the room has not joined"),
        }
    }

    /// §5.5 of the design.
    fn may_join(&self, peer: &BareJid, fmuc: &Fmuc) -> Result<(), &'static str> {
        let Some(from) = fmuc.from.as_ref().filter(|from| !from.is_bare()) else {
            return Err("nobody is named");
        };
        // Whoever is let in is believed to be a room: at least not a user who says so.
        if from.to_bare() == *peer {
            return Err("it is a user");
        }
        let named = !matches!(self.federation.accept, Accept::Any);
        if !named && self.settings.is_local(peer.domain()) {
            return Err("rooms of this server have to be named");
        }
        if peer == self.room.jid() {
            return Err("it is the same room");
        }
        if !self.federation.accept.admits(peer) {
            return Err("not accepted");
        }
        if self
            .ancestors
            .iter()
            .any(|one| one.as_str() == peer.as_str())
        {
            return Err("this room is behind it");
        }
        if self.children.len() >= self.settings.limits.children {
            return Err("too many rooms");
        }
        Ok(())
    }

    fn refuse(&mut self, peer: &BareJid, why: &'static str, turn: &mut Turn<'_>) {
        turn.notice(peer, Matter::Refused(why));
        if !self.is_answered(peer, turn) {
            return;
        }
        let link = Link::new(
            self.room.jid(),
            peer.clone(),
            &self.federation,
            &self.settings,
        );
        let fmuc = Fmuc {
            reject: Some(why.to_owned()),
            ..Fmuc::default()
        };
        turn.send(&link, link.write_own(&fmuc), None);
    }

    /// Whether a room that has not joined is answered, this time.
    fn is_answered(&mut self, peer: &BareJid, turn: &Turn<'_>) -> bool {
        let most = self.settings.limits.refusals;
        self.door.answers(peer, most, turn.now.instant)
    }

    /// Whether a room may join, or join anew, this time.
    fn is_welcome(&mut self, peer: &BareJid, turn: &mut Turn<'_>) -> bool {
        let most = self.settings.limits.joins;
        let welcome = self.door.joins(peer, most, turn.now.instant);
        if !welcome {
            turn.drop(peer, "it joins too often");
        }
        welcome
    }

    fn say_leave(&mut self, peer: &BareJid, turn: &mut Turn<'_>) {
        let room = self.room.jid();
        let link = Link::new(room, peer.clone(), &self.federation, &self.settings);
        let fmuc = Fmuc::default().with(Extension::Leave);
        turn.send(&link, link.write_own(&fmuc), None);
    }

    fn say_left(&mut self, peer: &BareJid, session: Option<String>, turn: &mut Turn<'_>) {
        let link = Link::new(
            self.room.jid(),
            peer.clone(),
            &self.federation,
            &self.settings,
        );
        let fmuc = Fmuc {
            left: true,
            extensions: session.into_iter().map(Extension::Left).collect(),
            ..Fmuc::default()
        };
        turn.send(&link, link.write_own(&fmuc), None);
    }

    /// A stanza of a room that has joined this one.
    pub(super) fn heard_from_child(
        &mut self,
        peer: &BareJid,
        stanza: &Stanza,
        fmuc: &Fmuc,
        turn: &mut Turn<'_>,
    ) {
        let joins = has_join(fmuc) || self.joins_anew(peer, stanza, fmuc);
        if joins {
            if !self.is_welcome(peer, turn) {
                return;
            }
            return match self.may_join_again(peer) {
                Ok(()) => self.welcome_child(peer, stanza, fmuc, true, turn),
                Err(why) => {
                    self.forget_child(peer, turn);
                    self.refuse(peer, why, turn);
                }
            };
        }
        let via = Via::Child(peer.clone());
        let is_ext = self.link(&via).is_some_and(|link| link.is_ext());
        if is_ext && fmuc.extensions.contains(&Extension::Leave) {
            return self.child_left(peer, turn);
        }
        self.child_heard(peer, turn);
        if self.is_premature(peer, fmuc) {
            return;
        }
        let is_rename = stanza.payload().child("x", ns::USER).is_some_and(|x| {
            let x = x.element();
            x.children()
                .any(|one| one.is("status", ns::USER) && one.attr("code") == Some("303"))
        });
        self.take(&via, stanza, fmuc, turn);
        if fmuc.extensions.contains(&Extension::Synced) {
            self.completed(peer, fmuc, turn);
        }
        self.reached(peer, turn);
        // XEP-0289 §4.6: with its last occupant the room has left.
        let leaves = stanza.kind() == Kind::Presence(PresenceType::Unavailable) && !is_rename;
        if leaves && self.crowd.count_behind(&via) == 0 {
            self.child_left(peer, turn);
        }
    }

    fn may_join_again(&self, peer: &BareJid) -> Result<(), &'static str> {
        if !self.federation.accept.admits(peer) {
            return Err("not accepted");
        }
        if self
            .ancestors
            .iter()
            .any(|one| one.as_str() == peer.as_str())
        {
            return Err("this room is behind it");
        }
        Ok(())
    }

    /// Without our extension: somebody who is known enters once more, so the peer does not know that it has joined.
    fn joins_anew(&mut self, peer: &BareJid, stanza: &Stanza, fmuc: &Fmuc) -> bool {
        let via = Via::Child(peer.clone());
        let known = fmuc.from.as_ref().and_then(|from| self.crowd.get(from));
        let known = known.is_some_and(|known| known.via == via);
        let Some(child) = self.children.get_mut(peer) else {
            return false;
        };
        // XEP-0289 has `<x/>` in the first stanza alone; Openfire in that of everybody who comes (O10 of the design).
        let first = child.link.speech == Speech::Xep;
        let anew = std::mem::take(&mut child.anew) || child.state != State::Joined;
        stanza.kind() == Kind::Presence(PresenceType::Available)
            && stanza.payload().has("x", ns::MUC)
            && (known || first || anew)
    }

    /// A room joins, or joins anew.
    fn welcome_child(
        &mut self,
        peer: &BareJid,
        stanza: &Stanza,
        fmuc: &Fmuc,
        again: bool,
        turn: &mut Turn<'_>,
    ) {
        let via = Via::Child(peer.clone());
        let hello = fmuc.extensions.iter().find_map(|one| match one {
            Extension::Join(hello) => Some(hello.clone()),
            _ => None,
        });
        let Some(child) = self.children.get_mut(peer) else {
            return;
        };
        let session = hello.as_ref().map(|hello| &hello.session);
        if child.link.is_ext() && session == Some(&child.link.session) {
            return turn.drop(peer, "it has joined by this already");
        }
        child.state = State::Joined;
        child.replica = false;
        (child.recalled, child.ask) = (None, None);
        let hello = hello.filter(|_| child.link.may_extend());
        if hello.as_ref().is_none_or(|hello| hello.fresh) {
            child.link.forget_all();
        }
        let vector = match &hello {
            Some(hello) => {
                child.link.speech = Speech::Ext;
                child.link.begin(hello.session.clone());
                child.link.aliases.told(&hello.have)
            }
            None => {
                if !child.link.is_plain() {
                    child.link.guess(stanza);
                }
                Some(Vector::default())
            }
        };
        let Some(vector) = vector else {
            return turn.drop(peer, "too many names");
        };
        let ext = child.link.is_ext();
        if again && !ext {
            child.stale = Some(turn.now.instant + child.link.timers.stale);
            for jid in self.crowd.jids_behind(&via) {
                if let Some(known) = self.crowd.get_mut(&jid) {
                    known.stale = true;
                }
            }
        }
        self.splits.doubt_nodes(&via);
        let since = turn.out.len();
        self.outlive_itself(&vector, turn);
        self.outlive(&via, &vector, turn);
        self.take(&via, stanza, fmuc, turn);
        let fresh = ext && self.must_name_all(peer, fmuc);
        // What the peer speaks is told by the first stanza that it gets: whatever there is to say of its occupant comes after the burst.
        let about = turn.hold_back(since, peer);
        // A room that brings nobody has no business here (V4 of the design): nothing is told to it.
        if self.crowd.count_behind(&via) == 0 && !self.held.passes(&via) {
            self.children.remove(peer);
            self.strike_link(peer, turn);
            return self.refuse(peer, "none of its occupants is let in", turn);
        }
        let promised = self.believed(&via, &vector, turn.now);
        self.burst(peer, stanza, hello.as_ref(), &vector, again, fresh, turn);
        turn.out.extend(about);
        if again {
            self.ask_to_expel_again(&via, turn);
        }
        if let Some(child) = self.children.get_mut(peer) {
            child.promised = ext.then_some(promised);
            child.told_by = ext.then(|| turn.now.instant + child.link.timers.join);
            let mode = hello.map(|hello| hello.mode);
            child.replica = mode == Some(Mode::Replica);
            child.link.tell_due(turn);
        }
        self.echo_join(&via, fmuc, turn);
        if let Some(child) = self.children.get(peer) {
            self.write_down_link("child", &child.link, turn);
        }
        self.reached(peer, turn);
    }

    /// Whether it is not known who is behind a room that joins: neither was it before, nor are they all that have been named by now.
    fn must_name_all(&mut self, peer: &BareJid, fmuc: &Fmuc) -> bool {
        let via = Via::Child(peer.clone());
        let digest = self.crowd.digest_behind(&via);
        let Some(child) = self.children.get_mut(peer) else {
            return false;
        };
        child.whole |= fmuc.crowd().is_none_or(|theirs| theirs == digest);
        if !child.whole {
            self.crowd.make_stale(&via);
            let named = fmuc.from.as_ref();
            if let Some(known) = named.and_then(|from| self.crowd.get_mut(from)) {
                known.stale = false;
            }
        }
        self.children.get(peer).is_some_and(|child| !child.whole)
    }

    /// The one on whose behalf a replica has joined is here.
    fn echo_join(&mut self, via: &Via, fmuc: &Fmuc, turn: &mut Turn<'_>) {
        let known = fmuc.from.as_ref().and_then(|from| self.crowd.get(from));
        if let Some(known) = known.filter(|known| known.via == *via) {
            let passing = Passing {
                event: Event::Here(known.occupant.clone()),
                dot: known.dot.clone(),
                late: None,
            };
            self.echo(via, &passing, turn);
        }
    }

    /// A room that has joined is heard of: its link is up.
    fn child_heard(&mut self, peer: &BareJid, turn: &mut Turn<'_>) {
        let Some(child) = self.children.get_mut(peer) else {
            return;
        };
        if !matches!(child.state, State::Suspect { .. }) {
            return;
        }
        match child.link.is_ext() {
            // Something may be missing in between.
            true => self.ask_child(peer, turn),
            false => self.child_back(peer, turn),
        }
    }

    /// Whether this is an event, or says that others are none, and comes before it is known what was lost with the link. It is told once more, after what came before it.
    fn is_premature(&mut self, peer: &BareJid, fmuc: &Fmuc) -> bool {
        let Some(child) = self.children.get_mut(peer) else {
            return false;
        };
        let of_events = |one: &Extension| {
            matches!(
                one,
                Extension::Origin(_) | Extension::Gone(..) | Extension::Synced
            )
        };
        let premature = child.link.is_ext()
            && matches!(child.state, State::Suspect { .. })
            && fmuc.extensions.iter().any(of_events);
        child.link.missed |= premature;
        premature
    }

    /// A room that has joined is asked to say how far it has everything; not again before it may have answered.
    pub(super) fn ask_child(&mut self, peer: &BareJid, turn: &mut Turn<'_>) {
        if let Some(child) = self.children.get_mut(peer) {
            let now = turn.now.instant;
            let since = child.recalled.map(|at| at + child.link.timers.join);
            if let Some(again) = since.filter(|again| now < *again) {
                child.ask = Some(again);
                return;
            }
            child.recalled = Some(now);
            child.ask = None;
            let rejoin = Fmuc::default().with(Extension::Rejoin);
            let stanza = child.link.write_own(&rejoin);
            turn.send(&child.link, stanza, None);
        }
    }

    /// The link to a room that has joined is up, and nothing was lost.
    pub(super) fn child_back(&mut self, peer: &BareJid, turn: &mut Turn<'_>) {
        let Some(child) = self.children.get_mut(peer) else {
            return;
        };
        if !matches!(child.state, State::Suspect { .. }) {
            return;
        }
        if child.link.missed {
            self.ask_child(peer, turn);
        } else {
            child.state = State::Joined;
            for passing in child.link.take_waiting() {
                child.link.tell(&passing, turn);
            }
            child.link.tell_due(turn);
            self.reunite(&Via::Child(peer.clone()), turn);
        }
    }

    /// The link to a room that has joined is up again, or there is one once more.
    pub(super) fn child_up(&mut self, peer: &BareJid, resumed: bool, turn: &mut Turn<'_>) {
        let Some(child) = self.children.get_mut(peer) else {
            return;
        };
        let plain = !child.link.is_ext();
        child.anew |= plain && !resumed;
        // It has no way to ask for what it has missed.
        if resumed || plain {
            return self.child_back(peer, turn);
        }
        // Something may be lost, also if the link is down once more before it was asked: unless that room joins anew by itself, it is asked to.
        if matches!(child.state, State::Suspect { .. }) {
            child.link.missed = true;
            child.ask = Some(turn.now.instant + child.link.timers.gap);
        }
    }

    /// The link to a room that has joined is down.
    pub(super) fn child_lost(&mut self, peer: &BareJid, turn: &mut Turn<'_>) {
        let Some(child) = self.children.get_mut(peer) else {
            return;
        };
        // What it was asked is lost.
        (child.ask, child.recalled) = (None, None);
        if child.state == State::Joined {
            let forgets = child.link.speech != Speech::Openfire;
            let until = forgets.then(|| turn.now.instant + child.link.timers.forget);
            child.state = State::Suspect { until };
            child.promised = None;
            child.told_by = None;
            child.link.lose(turn.now.instant);
            self.split(&Via::Child(peer.clone()), turn);
        }
    }

    /// A room has no occupants any more: it is told that this is known.
    fn child_left(&mut self, peer: &BareJid, turn: &mut Turn<'_>) {
        let Some(child) = self.children.remove(peer) else {
            return;
        };
        let session = child.link.is_ext().then(|| child.link.session.clone());
        self.strike_link(peer, turn);
        self.say_left(peer, session, turn);
        if let Some(parent) = &mut self.parent {
            parent.take_back(peer);
        }
        let via = Via::Child(peer.clone());
        self.drop_behind(&via, &Parting::default(), turn);
        self.forget_splits(&via, turn);
    }

    /// This side has nothing to do with a room any more.
    pub(super) fn forget_child(&mut self, peer: &BareJid, turn: &mut Turn<'_>) {
        self.child_left(peer, turn);
    }

    pub(super) fn children_timeout(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now.instant;
        let due = |child: &Child| child.next_timeout().is_some_and(|due| due <= now);
        let due = self.children.iter().filter(|(_, child)| due(child));
        let due: Vec<_> = due.map(|(peer, _)| peer.clone()).collect();
        for peer in due {
            let Some(child) = self.children.get_mut(&peer) else {
                continue;
            };
            if child.ask.is_some_and(|ask| ask <= now) {
                child.ask = None;
                self.ask_child(&peer, turn);
            } else if child.told_by.is_some_and(|by| by <= now) {
                // It is as it is: what it has not told may be asked for.
                child.told_by = None;
                child.promised = None;
                if child.state == State::Joined {
                    self.reunite(&Via::Child(peer), turn);
                }
            } else if child.stale.is_some_and(|stale| stale <= now) {
                child.stale = None;
                self.drop_stale(&Via::Child(peer.clone()), turn);
            } else if matches!(child.state, State::Suspect { until: Some(until) } if until <= now) {
                self.forget_child(&peer, turn);
            } else if child.state == State::Joined {
                child.link.tell_due(turn);
            }
        }
    }
}

/// Whether a room would join by this: our extension says so, or both elements are there that XEP-0289 §4.1 shows.
pub(super) fn asks_to_join(stanza: &Stanza, fmuc: &Fmuc) -> bool {
    let payload = stanza.payload();
    has_join(fmuc) || (payload.has("x", ns::MUC) && payload.has("x", ns::USER))
}

/// What is said in nobody's name is never answered: it may be an answer.
fn speaks_for_somebody(fmuc: &Fmuc) -> bool {
    fmuc.from.as_ref().is_some_and(|from| !from.is_bare())
}

pub(super) fn has_join(fmuc: &Fmuc) -> bool {
    fmuc.extensions
        .iter()
        .any(|one| matches!(one, Extension::Join(_)))
}
