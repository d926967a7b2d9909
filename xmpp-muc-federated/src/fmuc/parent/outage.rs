//! The link to the room that this one has joined is down, or up again; and what is tried once more.

use std::time::{Duration, Instant};

use super::{Parent, State};
use crate::fmuc::crowd::Via;
use crate::fmuc::node::{Matter, Node, Turn};

/// Tries in a row to join a room anew that was joined, before another one is tried.
const TRIES: u32 = 4;

impl Parent {
    /// Whether another room is tried instead of this one, which was joined.
    fn gives_up(&self, several: bool) -> bool {
        several && self.link.is_ext() && self.tries >= TRIES
    }

    /// Whether after an outage both sides still know what they knew: without our extension it cannot be asked for (§5.7 of the design).
    fn is_intact(&self, now: Instant) -> bool {
        let short = |lost: Instant| now < lost + self.link.timers.rejoin;
        self.link.is_plain() && !self.bounced && self.lost.is_some_and(short)
    }

    /// When it is asked again after one more try that came to nothing.
    fn back_off(&mut self, by: u64, now: Instant) -> Option<Instant> {
        let backoff = self.link.timers.backoff?;
        let pause = backoff.first.saturating_mul(1 << self.tries.min(16));
        let pause = pause.min(backoff.longest);
        self.tries += 1;
        // Up to a quarter less, so that not all that have lost the same link come back at once.
        let quarter = u64::try_from(pause.as_millis() / 4).unwrap_or(u64::MAX);
        Some(now + pause - Duration::from_millis(by % (quarter + 1)))
    }
}

impl Node {
    /// The link is down.
    pub(in crate::fmuc) fn parent_lost(&mut self, turn: &mut Turn<'_>) {
        let by = self.chance(turn);
        let several = self.federation.parents.len() > 1;
        let Some(parent) = &mut self.parent else {
            return;
        };
        let now = turn.now.instant;
        match parent.state {
            State::Leaving { .. }
                if parent.link.is_plain() && !parent.link.announced.is_empty() =>
            {
                let retry = parent.back_off(by, now);
                // What was still to be told is not, even if nothing is lost.
                parent.link.missed |= parent.state != State::Joined;
                parent.state = State::Suspect { retry };
            }
            State::Joined | State::Syncing { .. } => {
                let complete = parent.state == State::Joined;
                let retry = parent.back_off(by, now);
                // Before that nothing would be done anew.
                let least = now + parent.link.timers.rejoin;
                let retry = match parent.link.is_plain() && complete {
                    true => retry.map(|retry| retry.max(least)),
                    false => retry,
                };
                parent.lost = Some(now);
                parent.bounced = !complete;
                parent.state = State::Suspect { retry };
                parent.unstage();
                parent.link.lose(now);
                self.split(&Via::Parent, turn);
            }
            // It was joined, and has not answered for a while: perhaps the next one does.
            State::Joining { .. } if self.splits.has(&Via::Parent) && !parent.gives_up(several) => {
                let retry = parent.back_off(by, now);
                parent.state = State::Suspect { retry };
                parent.link.missed = true;
            }
            State::Joining { .. } => self.try_later(false, turn),
            State::Idle | State::Suspect { .. } | State::Leaving { .. } | State::Backoff { .. } => {
            }
        }
    }

    /// The link is up.
    pub(in crate::fmuc) fn parent_up(&mut self, resumed: bool, turn: &mut Turn<'_>) {
        let Some(parent) = &mut self.parent else {
            return;
        };
        match parent.state {
            State::Suspect { .. } if resumed && !parent.link.missed => {
                parent.state = State::Joined;
                parent.tries = 0;
                self.parent_back(turn);
                self.flush_parent(turn);
            }
            State::Suspect { .. } if parent.is_intact(turn.now.instant) => {
                parent.state = State::Joined;
                (parent.tries, parent.lost) = (0, None);
                self.parent_back(turn);
                self.flush_parent(turn);
            }
            State::Suspect { .. } | State::Backoff { .. } => self.join(turn),
            _ => {}
        }
    }

    /// Something that was sent to the parent has come back.
    pub(in crate::fmuc) fn parent_bounced(&mut self) {
        if let Some(parent) = &mut self.parent {
            parent.bounced = true;
        }
    }

    fn flush_parent(&mut self, turn: &mut Turn<'_>) {
        if let Some(parent) = &mut self.parent {
            for passing in parent.link.take_waiting() {
                parent.link.tell(&passing, turn);
            }
            parent.link.tell_due(turn);
        }
    }

    /// Those behind the parent are there again.
    pub(super) fn parent_back(&mut self, turn: &mut Turn<'_>) {
        self.reunite(&Via::Parent, turn);
    }

    /// Asks again later, the next room of the list if there is one.
    pub(in crate::fmuc) fn try_later(&mut self, long: bool, turn: &mut Turn<'_>) {
        let by = self.chance(turn);
        let several = self.federation.parents.len();
        let Some(parent) = &mut self.parent else {
            return;
        };
        let now = turn.now.instant;
        let until = match (long, parent.link.timers.backoff) {
            (true, Some(backoff)) => Some(now + backoff.longest),
            _ => parent.back_off(by, now),
        };
        let (next, tries) = ((parent.which + 1) % several.max(1), parent.tries);
        let rejections = parent.rejections;
        if next != parent.which && next < several {
            let mut other = Parent::new(next, self.room.jid(), &self.federation, &self.settings);
            (other.tries, other.rejections) = (tries, rejections);
            self.parent = Some(other);
        }
        if let Some(parent) = &mut self.parent {
            parent.state = State::Backoff { until };
        }
        self.ask_in_time(turn);
    }

    /// That the link comes up is not waited for where it may be up: the parent is asked again after as long as an answer may take.
    pub(in crate::fmuc) fn ask_in_time(&mut self, turn: &Turn<'_>) {
        if let Some(Parent { link, state, .. }) = &mut self.parent
            && let State::Suspect {
                retry: until @ None,
            }
            | State::Backoff {
                until: until @ None,
            } = state
        {
            *until = Some(turn.now.instant + link.timers.join);
        }
    }

    /// The link is down: where nothing is tried over such a link before it is up again, that is waited for.
    pub(in crate::fmuc) fn await_link(&mut self) {
        if let Some(Parent { link, state, .. }) = &mut self.parent
            && link.timers.backoff.is_none()
            && let State::Suspect { retry: until } | State::Backoff { until } = state
        {
            *until = None;
        }
    }

    pub(in crate::fmuc) fn parent_timeout(&mut self, turn: &mut Turn<'_>) {
        let Some(parent) = &mut self.parent else {
            return;
        };
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= turn.now.instant);
        if !is_due(parent.next_timeout()) {
            return;
        }
        match parent.state {
            State::Joining { .. } | State::Syncing { .. } => {
                turn.notice(&parent.link.peer, Matter::silent(&parent.link));
                self.refuse_held(turn);
                match self.splits.has(&Via::Parent) {
                    true => self.parent_lost(turn),
                    false => self.try_later(false, turn),
                }
                self.ask_in_time(turn);
            }
            State::Leaving { .. } => {
                self.parted(turn);
            }
            State::Suspect { .. } | State::Backoff { .. } => self.join(turn),
            State::Joined => parent.link.tell_due(turn),
            State::Idle => {}
        }
    }

    /// A number that is another one each time, and the same in a repeated run.
    fn chance(&self, turn: &Turn<'_>) -> u64 {
        let seed = turn.now.utc.0.unsigned_abs();
        let name = self.id.as_str().bytes();
        name.fold(seed, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(u64::from(byte))
        })
    }
}
