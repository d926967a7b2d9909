//! What is being said in one room: messages that not everybody has heard.

use std::{
    cell::RefCell,
    collections::VecDeque,
    rc::Rc,
    time::{Duration, Instant},
};

use super::{Rooms, Seat};

/// What is being said in one room.
#[derive(Debug)]
pub(super) struct Floor {
    occupants: usize,
    window: usize,
    speakers: RefCell<Vec<Speaker>>,
}

#[derive(Debug, Default)]
struct Speaker {
    sent: u64,
    /// Those after `sent - under_way.len()`.
    under_way: VecDeque<UnderWay>,
    seat: Option<Rc<Seat>>,
}

#[derive(Debug)]
struct UnderWay {
    since: Instant,
    /// Who has not heard it.
    missing: usize,
}

impl Floor {
    pub(super) fn new(load: &Rooms) -> Floor {
        let speakers = (0..load.speakers).map(|_| Speaker::default());
        Floor {
            occupants: load.occupants,
            window: load.window,
            speakers: RefCell::new(speakers.collect()),
        }
    }

    /// Rings at this seat when this speaker may say more.
    pub(super) fn take(&self, speaker: usize, seat: Rc<Seat>) {
        self.speakers.borrow_mut()[speaker].seat = Some(seat);
    }

    /// The number of what this speaker says now, if everybody has heard enough of what they said before.
    pub(super) fn speak(&self, speaker: usize, now: Instant) -> Option<u64> {
        let speaker = &mut self.speakers.borrow_mut()[speaker];
        if speaker.under_way.len() >= self.window {
            return None;
        }
        speaker.under_way.push_back(UnderWay {
            since: now,
            missing: self.occupants,
        });
        speaker.sent += 1;
        Some(speaker.sent - 1)
    }

    /// One more has heard this. How long it took, if it was said at all and is not over.
    pub(super) fn heard(&self, speaker: usize, number: u64, now: Instant) -> Option<Duration> {
        let speaker = &mut self.speakers.borrow_mut()[speaker];
        let first = speaker.sent - speaker.under_way.len() as u64;
        let at = usize::try_from(number.checked_sub(first)?).ok()?;
        let message = speaker.under_way.get_mut(at)?;
        message.missing = message.missing.saturating_sub(1);
        let took = now - message.since;
        let before = speaker.under_way.len();
        while speaker.under_way.front().is_some_and(|m| m.missing == 0) {
            speaker.under_way.pop_front();
        }
        if speaker.under_way.len() < before
            && let Some(seat) = &speaker.seat
        {
            seat.bell.notify_one();
        }
        Some(took)
    }

    /// What each has said.
    pub(super) fn sent(&self) -> Vec<u64> {
        let speakers = self.speakers.borrow();
        speakers.iter().map(|speaker| speaker.sent).collect()
    }
}
