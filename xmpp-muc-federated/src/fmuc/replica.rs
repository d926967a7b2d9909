//! A room that is a replica of the one that it has joined: nothing is so here until it is so there (XEP-0289 §3, §5.9 of the design).
//!
//! What somebody here would do waits for its echo: that the room that was joined has done it, in the order in which it does everything. Whoever leaves
//! does not wait, and what is not kept (chat states) does not either.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use xmpp_core::Jid;
use xmpp_core::stanza::{
    Condition, ErrorType, Kind, MessageType, PresenceType, Stanza, StanzaError,
};

use super::crowd::Via;
use super::event::{Event, Passing};
use super::link::Speech;
use super::local::{is_fleeting, portable};
use super::node::{Matter, Node, Output, Turn};
use super::parent::State;
use super::{Extension, Fmuc, Mode};
use crate::log::{Dot, Range, Reach, Vector};
use crate::room::elsewhere::{Occupant, Prepared};
use crate::room::{self, refusal};

/// All that waits for its echo, in the order in which it was asked for.
#[derive(Debug, Default)]
pub(super) struct Held {
    all: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    passing: Passing,
    dot: Dot,
    what: What,
    /// When whoever waits is told that there is no answer; `None`: they have been.
    until: Option<Instant>,
    /// It was sent to the room that was joined.
    sent: bool,
}

#[derive(Debug)]
enum What {
    /// Somebody here would say this.
    Say(Stanza, Box<Prepared>),
    /// Somebody here would come, or have another nick; and what they have sent since.
    Come(Stanza, Vec<Stanza>),
    /// It came from a room that has joined this one.
    Pass(Via, Stanza, Box<Fmuc>),
}

impl Held {
    /// Who would come, and waits for it still.
    pub(super) fn coming(&self) -> Option<(Occupant, Dot)> {
        self.all
            .iter()
            .filter(|one| one.until.is_some())
            .find_map(|one| match (&one.what, &one.passing.event) {
                (What::Come(..) | What::Pass(..), Event::Here(occupant)) => {
                    Some((occupant.clone(), one.dot.clone()))
                }
                _ => None,
            })
    }

    /// Whether something of those behind this link waits.
    pub(super) fn passes(&self, via: &Via) -> bool {
        let mut all = self.all.iter();
        all.any(|one| matches!(&one.what, What::Pass(by, ..) if by == via))
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.all.iter().filter_map(|one| one.until).min()
    }

    /// Whether something that somebody would do waits.
    pub(super) fn is_of(&self, jid: &Jid) -> bool {
        let mut all = self.all.iter();
        all.any(|one| one.passing.event.author() == jid)
    }

    fn take(&mut self, dot: &Dot) -> Option<Waiting> {
        let at = self.all.iter().position(|one| one.dot == *dot)?;
        self.all.remove(at)
    }

    /// What of these does not wait.
    fn without(&self, ranges: Vec<Range>) -> Vec<Range> {
        self.all.iter().fold(ranges, |parts, one| {
            let Dot { node, epoch, seq } = &one.dot;
            let split = |(of, life, seqs): Range| {
                let apart = of == *node && life == *epoch && seqs.contains(seq);
                let (first, last) = (*seqs.start(), *seqs.end());
                let parts = match apart {
                    true => vec![first..=seq.saturating_sub(1), seq.saturating_add(1)..=last],
                    false => vec![seqs],
                };
                let parts = parts.into_iter().filter(|part| !part.is_empty());
                parts.map(move |part| (of.clone(), life, part))
            };
            parts.into_iter().flat_map(split).collect()
        })
    }

    /// It was sent with the stanza that joins.
    pub(super) fn was_sent(&mut self, dot: &Dot) {
        if let Some(one) = self.all.iter_mut().find(|one| one.dot == *dot) {
            one.sent = true;
        }
    }
}

impl Node {
    pub(super) fn is_replica(&self) -> bool {
        self.federation.mode == Mode::Replica && self.parent.is_some()
    }

    /// How far this node has everything, as others are to believe it: what waits for its echo has not happened yet.
    pub(super) fn vector(&self) -> Vector {
        let mut vector = self.have.vector();
        let all = self.held.all.iter().map(|one| &one.dot);
        let ours = all.filter(|dot| dot.node == self.id && dot.epoch == self.epoch);
        if let Some(first) = ours.map(|dot| dot.seq).min()
            && let Some(reach) = vector.get(&self.id)
        {
            let seq = reach.seq.min(first.saturating_sub(1));
            vector.set(self.id.clone(), Reach { seq, ..reach });
        }
        vector
    }

    /// What of a range has happened, or never will.
    pub(super) fn decided(&self, range: &Range) -> Vec<Range> {
        self.held.without(self.have.there(range))
    }

    /// Holds back what a client has sent until the room that was joined has done it. `false` if that is nothing to wait for.
    pub(super) fn hold(&mut self, stanza: &Stanza, turn: &mut Turn<'_>) -> bool {
        match stanza.kind() {
            Kind::Message(MessageType::Groupchat) => self.hold_message(stanza, turn),
            Kind::Presence(PresenceType::Available) => self.hold_entry(stanza, turn),
            Kind::Presence(PresenceType::Unavailable) => self.hold_leave(stanza),
            _ => false,
        }
    }

    fn hold_message(&mut self, stanza: &Stanza, turn: &mut Turn<'_>) -> bool {
        if stanza.to().is_none_or(|to| !to.is_bare()) || is_fleeting(stanza) {
            return false;
        }
        let prepared = self.in_room(turn, |room, now, out| room.prepare(stanza, now, out));
        let Some(mut prepared) = prepared else {
            return true;
        };
        let Some(said) = prepared.said.clone().filter(|_| self.takes_more()) else {
            refuse(stanza, &unavailable(), turn);
            return true;
        };
        let message = Arc::new(self.names.outward(portable(&said.message)));
        let (by, nick) = (said.by, said.nick);
        let event = match prepared.changes_subject {
            true => Event::Subject {
                by,
                nick,
                message,
                stamp: self.clock.stamp(turn.now.utc),
            },
            false => Event::Said { by, nick, message },
        };
        prepared.said = prepared.said.take();
        self.ask(event, What::Say(stanza.clone(), Box::new(prepared)), turn);
        true
    }

    fn hold_entry(&mut self, stanza: &Stanza, turn: &mut Turn<'_>) -> bool {
        let Some(occupant) = self.room.would_be(stanza) else {
            return false;
        };
        let from = &occupant.jid;
        let waits = |one: &Waiting| {
            matches!(&one.what, What::Come(..)) && one.passing.event.author() == from
        };
        if self.held.all.iter().any(waits) {
            refuse(stanza, &unavailable(), turn);
            return true;
        }
        let state = self.parent.as_ref().map(|parent| parent.state);
        let cut_off = matches!(
            state,
            None | Some(State::Suspect { .. } | State::Backoff { .. })
        );
        if cut_off || self.held.all.len() >= self.settings.limits.pending {
            refuse(stanza, &unavailable(), turn);
            return true;
        }
        self.ask(
            Event::Here(occupant),
            What::Come(stanza.clone(), Vec::new()),
            turn,
        );
        true
    }

    /// Whoever leaves while they wait to come leaves as soon as they have.
    fn hold_leave(&mut self, stanza: &Stanza) -> bool {
        let Some(from) = stanza.from() else {
            return false;
        };
        for one in &mut self.held.all {
            if let What::Come(_, then) = &mut one.what
                && one.passing.event.author() == from
            {
                then.clear();
                then.push(stanza.clone());
                return true;
            }
        }
        false
    }

    /// An event of a room that has joined this one waits as well. `false` if it need not.
    pub(super) fn hold_back(
        &mut self,
        via: &Via,
        passing: &Passing,
        stanza: &Stanza,
        fmuc: &Fmuc,
        turn: &mut Turn<'_>,
    ) -> bool {
        let Some(dot) = passing.dot.clone() else {
            return false;
        };
        if self.confirming.is_some() || !self.is_replica() || *via == Via::Parent {
            return false;
        }
        if matches!(passing.event, Event::Gone { .. }) || self.have.has(&dot) {
            return false;
        }
        if self.held.all.iter().any(|one| one.dot == dot) {
            return true;
        }
        if self.held.all.len() >= self.settings.limits.pending {
            return false;
        }
        let what = What::Pass(via.clone(), stanza.clone(), Box::new(fmuc.clone()));
        self.park(passing.clone(), dot, what, turn);
        true
    }

    fn takes_more(&self) -> bool {
        let joined = self
            .parent
            .as_ref()
            .is_some_and(|parent| parent.state == State::Joined);
        joined && self.held.all.len() < self.settings.limits.pending
    }

    fn ask(&mut self, event: Event, what: What, turn: &mut Turn<'_>) {
        let dot = self.dot(turn.now);
        let passing = Passing {
            event,
            dot: Some(dot.clone()),
            late: None,
        };
        self.park(passing, dot, what, turn);
    }

    fn park(&mut self, passing: Passing, dot: Dot, what: What, turn: &mut Turn<'_>) {
        let Some(parent) = &mut self.parent else {
            return;
        };
        let sent = parent.state == State::Joined;
        if sent {
            parent.link.tell(&passing, turn);
        }
        self.held.all.push_back(Waiting {
            passing,
            dot,
            what,
            until: Some(turn.now.instant + parent.link.timers.echo),
            sent,
        });
    }

    /// The room that was joined has done it. `false` if it is not waited for.
    pub(super) fn echoed(&mut self, dot: &Dot, turn: &mut Turn<'_>) -> bool {
        let Some(waiting) = self.held.take(dot) else {
            return false;
        };
        self.confirming = Some(dot.clone());
        match waiting.what {
            What::Say(_, prepared) => {
                self.in_room(turn, |room, now, out| room.publish(*prepared, now, out));
            }
            What::Come(stanza, then) => {
                self.enact(stanza, turn);
                self.confirming = None;
                then.into_iter().for_each(|stanza| self.enact(stanza, turn));
            }
            What::Pass(via, stanza, fmuc) => self.take(&via, &stanza, &fmuc, turn),
        }
        self.confirming = None;
        true
    }

    fn enact(&mut self, stanza: Stanza, turn: &mut Turn<'_>) {
        use xmpp_core::machine::Machine as _;
        self.in_room(turn, |room, now, out| {
            room.handle(room::Input::Stanza(stanza), now, out);
        });
    }

    /// The two are one again: what the room that was joined has done already is done here too, and it is asked for the rest.
    pub(super) fn ask_again(&mut self, theirs: Option<&Vector>, turn: &mut Turn<'_>) {
        if !self.is_replica() {
            return;
        }
        let done = |one: &&Waiting| theirs.is_some_and(|theirs| theirs.covers(&one.dot));
        let done: Vec<_> = self
            .held
            .all
            .iter()
            .filter(done)
            .map(|one| one.dot.clone())
            .collect();
        for dot in done {
            self.echoed(&dot, turn);
        }
        // Those who were told that there is no answer may have said it again.
        let passes = |one: &Waiting| matches!(one.what, What::Pass(..));
        let stays = |one: &Waiting| one.until.is_some() || passes(one);
        let over = self.held.all.iter().filter(|one| !stays(one));
        let over: Vec<_> = over.map(|one| one.dot.clone()).collect();
        self.held.all.retain(stays);
        self.never(&over, turn);
        let Some(parent) = &mut self.parent else {
            return;
        };
        for one in &mut self.held.all {
            let by_joining = parent
                .link
                .announced
                .contains_key(one.passing.event.author())
                && matches!(one.passing.event, Event::Here(_))
                && one.sent;
            if !by_joining {
                parent.link.tell(&one.passing, turn);
            }
            one.sent = true;
        }
    }

    /// These events of ours will not happen: who knows that there are some need not wait for them.
    fn never(&mut self, dots: &[Dot], turn: &mut Turn<'_>) {
        let parent = self.parent.as_mut().map(|parent| &mut parent.link);
        let children = self.children.values_mut().map(|child| &mut child.link);
        for link in parent.into_iter().chain(children) {
            if dots.is_empty() || !link.is_ext() {
                continue;
            }
            let mut fmuc = Fmuc::default();
            for Dot { node, epoch, seq } in dots {
                let (alias, definition) = link.aliases.name(node, *epoch);
                fmuc.extensions.extend(definition);
                fmuc.extensions.push(Extension::Gone(alias, *seq..=*seq));
            }
            let stanza = link.write_own(&fmuc);
            turn.send(link, stanza, None);
        }
    }

    /// The nick is somebody else's there: who would come is told so. `false` if nobody would.
    pub(super) fn come_refused(&mut self, loser: &Jid, turn: &mut Turn<'_>) -> bool {
        let coming = |one: &Waiting| {
            matches!(one.what, What::Come(..)) && one.passing.event.author() == loser
        };
        let Some(at) = self.held.all.iter().position(coming) else {
            return false;
        };
        if let Some(Waiting {
            what: What::Come(stanza, _),
            ..
        }) = self.held.all.remove(at)
        {
            refuse(&stanza, &Condition::Conflict.into(), turn);
        }
        true
    }

    /// The room that was joined does not say what it has done: this one can be no replica of it.
    pub(super) fn no_echo(&mut self, turn: &mut Turn<'_>) {
        let Some(parent) = &mut self.parent else {
            return;
        };
        turn.notice(&parent.link.peer, Matter::NoEcho);
        parent.link.leave_all(turn);
        self.refuse_held(turn);
        self.try_later(true, turn);
    }

    /// Nobody who waits is answered any more. What was sent may have been done all the same: that shows when the two are one again.
    pub(super) fn refuse_held(&mut self, turn: &mut Turn<'_>) {
        for waiting in &mut self.held.all {
            if let What::Say(stanza, _) | What::Come(stanza, _) = &waiting.what
                && waiting.until.is_some()
            {
                refuse(stanza, &unavailable(), turn);
            }
            waiting.until = None;
        }
        self.held.all.retain(|one| one.sent);
    }

    pub(super) fn held_timeout(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now.instant;
        let joined = self
            .parent
            .as_ref()
            .is_some_and(|parent| parent.state == State::Joined);
        let mut silent = false;
        for one in &mut self.held.all {
            if one.until.is_none_or(|until| until > now) {
                continue;
            }
            one.until = None;
            let error = StanzaError::new(Condition::RemoteServerTimeout).with_kind(ErrorType::Wait);
            match &one.what {
                What::Say(stanza, _) => refuse(stanza, &error, turn),
                // Whoever would come is not kept waiting: they enter again.
                What::Come(stanza, _) => {
                    refuse(stanza, &error, turn);
                    silent |= one.sent && joined;
                }
                What::Pass(..) => {}
            }
        }
        if silent {
            self.no_echo(turn);
        }
    }

    /// Tells a room that has joined this one as a replica that its event has happened.
    pub(super) fn echo(&mut self, via: &Via, passing: &Passing, turn: &mut Turn<'_>) {
        let (Via::Child(peer), Some(dot)) = (via, &passing.dot) else {
            return;
        };
        if let Some(child) = self.children.get_mut(peer).filter(|child| child.replica)
            && child.link.speech == Speech::Ext
        {
            let mut fmuc = Fmuc::from(passing.event.author().clone());
            fmuc.extensions = child.link.aliases.write(dot);
            let stanza = child.link.write_own(&fmuc);
            turn.send(&child.link, stanza, Some(dot));
        }
    }
}

fn unavailable() -> StanzaError {
    StanzaError::new(Condition::ServiceUnavailable).with_kind(ErrorType::Wait)
}

fn refuse(stanza: &Stanza, error: &StanzaError, turn: &mut Turn<'_>) {
    if let Some(reply) = refusal(stanza, error) {
        turn.out.push(Output::Room(room::Output::Send(reply)));
    }
}
