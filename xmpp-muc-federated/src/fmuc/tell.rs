//! How a peer is told what happens.

use xmpp_core::stanza::Stanza;

use super::event::{Event, Passing};
use super::link::Link;
use super::node::Turn;
use super::{Extension, Fmuc};
use crate::log::Dot;
use crate::room::elsewhere::{Occupant, Parting};

impl Link {
    /// Tells the peer of an event, now, or when it is time.
    pub(super) fn tell(&mut self, passing: &Passing, turn: &mut Turn<'_>) {
        if let Event::Gone { jid, .. } = &passing.event
            && (passing.dot.is_none() || !self.is_ext())
            && !self.announced.contains_key(jid)
        {
            return;
        }
        self.introduce_author(passing, turn);
        for (stanza, dot) in self.stanzas(passing, turn) {
            turn.send(self, stanza, dot.as_ref());
        }
    }

    /// What there is to be sent for an event: nothing if the peer is not told of it, or later, and before it the introduction of its author if they have
    /// not been introduced.
    pub(super) fn stanzas(
        &mut self,
        passing: &Passing,
        turn: &Turn<'_>,
    ) -> Vec<(Stanza, Option<Dot>)> {
        let author = passing.event.author();
        let announced = self.announced.contains_key(author);
        if self.pace.holds_back(passing, announced, turn.now.instant) {
            return Vec::new();
        }
        let introduction = match &passing.event {
            Event::Said { .. } | Event::Subject { .. } => self.pace.introduction(author),
            Event::Here(_) | Event::Gone { .. } => None,
        };
        let mut stanzas = Vec::new();
        for one in introduction.iter().chain([passing]) {
            let dot = one.dot.clone();
            let written = self.write(one);
            if let Some(dot) = dot.as_ref().filter(|_| !written.is_empty()) {
                self.was_told(dot, turn.now.instant);
            }
            let written = written.into_iter();
            stanzas.extend(written.map(|stanza| (stanza, dot.clone())));
        }
        stanzas
    }

    /// In which way those are there of whom it is time to tell, and after a silence what was told last.
    pub(super) fn tell_due(&mut self, turn: &mut Turn<'_>) {
        for occupant in self.pace.due(turn.now.instant) {
            let passing = Passing {
                event: Event::Here(occupant),
                dot: None,
                late: None,
            };
            for stanza in self.write(&passing) {
                turn.send(self, stanza, None);
            }
        }
        self.tell_tail(turn);
    }

    /// Introduces somebody who is there.
    pub(super) fn introduce(&mut self, occupant: Occupant, turn: &mut Turn<'_>) {
        let event = Event::Here(occupant);
        let passing = Passing {
            event,
            dot: None,
            late: None,
        };
        for (stanza, _) in self.stanzas(&passing, turn) {
            turn.send(self, stanza, None);
        }
    }

    /// All of ours leave this link at once.
    pub(super) fn leave_all(&mut self, turn: &mut Turn<'_>) {
        if self.is_ext() {
            let stanza = self.write_own(&Fmuc::default().with(Extension::Leave));
            turn.send(self, stanza, None);
            return self.forget_all();
        }
        // They are known there until the answer comes.
        let all: Vec<_> = self
            .announced
            .iter()
            .map(|(jid, nick)| (jid.clone(), nick.clone()))
            .collect();
        for (jid, nick) in all {
            let stanza = self.write_gone(&jid, &nick, &Parting::default(), None);
            turn.send(self, stanza, None);
        }
    }
}
