//! What waits for a link, where our extension does not find out what is missing.

use std::collections::VecDeque;

use xmpp_core::Jid;

use super::Link;
use crate::fmuc::event::{Event, Passing};
use crate::fmuc::node::Turn;

impl Link {
    /// Keeps this for when the peer is there. The oldest that is said makes room; that somebody is there or gone does not.
    pub(in crate::fmuc) fn wait(&mut self, passing: Passing) {
        if let Event::Here(now) = &passing.event {
            // Of several ways in which somebody is there the last one counts.
            let same = |one: &&mut Passing| matches!(&one.event, Event::Here(before) if before.jid == now.jid);
            let last = self.outbox.iter_mut().rev().find(same);
            if let Some(Passing {
                event: Event::Here(before),
                ..
            }) = last
                && before.stands_as(now)
            {
                self.waiting -= before.presence.size();
                self.waiting += now.presence.size();
                *before = now.clone();
                return;
            }
        }
        self.waiting += passing.event.size();
        self.outbox.push_back(passing);
        self.make_room();
    }

    /// The same of what happens now: whoever says something is told to have said it now.
    pub(in crate::fmuc) fn wait_since(&mut self, passing: &Passing, turn: &Turn<'_>) {
        let mut passing = passing.clone();
        if passing.event.is_said() {
            passing.late.get_or_insert(turn.now.utc);
        }
        self.wait(passing);
    }

    /// Keeps this, which was sent and has come back, before what has not been sent.
    pub(in crate::fmuc) fn wait_again(&mut self, passing: Passing) {
        self.waiting += passing.event.size();
        self.outbox.insert(self.came_back, passing);
        self.came_back += 1;
        self.make_room();
    }

    fn make_room(&mut self) {
        while self.outbox.len() > self.most.0 || self.waiting > self.most.1 {
            let said = self.outbox.iter().position(|one| one.event.is_said());
            let at = said.unwrap_or(0);
            self.came_back -= usize::from(at < self.came_back);
            let oldest = self.outbox.remove(at);
            self.waiting -= oldest.map_or(0, |oldest| oldest.event.size());
        }
    }

    /// Events of this kind do not wait any more.
    pub(in crate::fmuc) fn no_wait(&mut self, these: impl Fn(&Event) -> bool) {
        self.outbox.retain(|one| !these(&one.event));
        self.waiting = self.outbox.iter().map(|one| one.event.size()).sum();
    }

    /// How many events wait.
    pub(in crate::fmuc) fn waiting(&self) -> usize {
        self.outbox.len()
    }

    /// That somebody is there has been told in another way.
    pub(in crate::fmuc) fn wait_no_more(&mut self, jid: &Jid) {
        let told = |one: &Passing| matches!(&one.event, Event::Here(one) if one.jid == *jid);
        let before = self.outbox.iter().take(self.came_back);
        self.came_back -= before.filter(|one| told(one)).count();
        self.outbox.retain(|one| !told(one));
        self.waiting = self.outbox.iter().map(|one| one.event.size()).sum();
    }

    /// All that has waited.
    pub(in crate::fmuc) fn take_waiting(&mut self) -> VecDeque<Passing> {
        (self.waiting, self.came_back) = (0, 0);
        std::mem::take(&mut self.outbox)
    }
}
