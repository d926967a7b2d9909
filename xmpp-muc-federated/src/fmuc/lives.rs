//! When nodes begin their lives.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use xmpp_core::BareJid;
use xmpp_core::time::Now;

/// Rooms whose last life is remembered.
const REMEMBERED: usize = 10_000;

/// Which lives of rooms have begun in this process. A life is named by the second in which it begins, or the next that no life of that room has: one that is
/// destroyed and made again at once, or after the clock was set back, is not taken for the one before it.
#[derive(Debug, Default)]
pub struct Lives {
    last: Mutex<BTreeMap<BareJid, u64>>,
}

impl Lives {
    /// Another life of a room.
    pub fn begin(&self, room: &BareJid, now: Now) -> u64 {
        let second = by_clock(now);
        // Nothing that runs under this lock can panic half way through a change.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.get(room).copied();
        let life = before.map_or(second, |before| second.max(before + 1));
        if before.is_none() && last.len() >= REMEMBERED {
            // Of an older one nobody will come again within its second.
            last.retain(|_, begun| *begun >= second);
        }
        if before.is_none() && last.len() >= REMEMBERED {
            // So many within a second, or the clock was set back from a later time: one of that makes room. Its room hears from the others of the life that
            // it had; one that is made again within its second may be alone with others that are.
            let latest = last.iter().max_by_key(|(_, begun)| **begun);
            let latest = latest.map(|(room, _)| room.clone());
            latest.and_then(|latest| last.remove(&latest));
        }
        last.insert(room.clone(), life);
        life
    }
}

/// The life that begins now.
pub(super) fn by_clock(now: Now) -> u64 {
    (now.utc.0.max(0).unsigned_abs() / 1000).max(1)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use xmpp_core::time::Timestamp;

    use super::*;

    /// So many seconds after some time.
    #[allow(clippy::disallowed_methods)] // only the time of day counts
    fn at(seconds: f64) -> Now {
        Now {
            instant: Instant::now(),
            utc: Timestamp(1_767_225_600_000).plus(Duration::from_secs_f64(seconds)),
        }
    }

    fn room(n: usize) -> BareJid {
        format!("r{n}@rooms.example").parse().unwrap()
    }

    #[test]
    fn no_life_of_a_room_is_another_one_whatever_its_clock_says() {
        let (lives, other) = (Lives::default(), room(1));
        let first = lives.begin(&room(0), at(100.0));
        assert_eq!(first, by_clock(at(100.0)));
        let begun = [100.0, 100.9, 100.99, 101.0, 0.0, 50.0, 200.0, 200.0];
        let wanted = [1, 2, 3, 4, 5, 100, 101];
        let lives: Vec<_> = begun[1..]
            .iter()
            .map(|second| {
                let _ = lives.begin(&other, at(*second));
                lives.begin(&room(0), at(*second)) - first
            })
            .collect();
        assert_eq!(lives, wanted);
    }

    #[test]
    fn of_many_rooms_those_of_this_second_are_remembered() {
        let lives = Lives::default();
        for n in 0..REMEMBERED {
            lives.begin(&room(n), at(1.0));
        }
        let one_more = room(REMEMBERED);
        let life = lives.begin(&one_more, at(2.0));
        assert_eq!(lives.begin(&one_more, at(2.0)), life + 1);
        assert_eq!(lives.last.lock().unwrap().len(), 1);
    }

    #[test]
    fn what_begins_after_the_clock_was_set_back_is_remembered_too() {
        let lives = Lives::default();
        for n in 0..REMEMBERED {
            lives.begin(&room(n), at(1000.0));
        }
        for n in [REMEMBERED, REMEMBERED + 1] {
            let life = lives.begin(&room(n), at(1.0));
            assert_eq!(life, by_clock(at(1.0)));
        }
        for n in [REMEMBERED, REMEMBERED + 1] {
            assert_eq!(lives.begin(&room(n), at(1.0)), by_clock(at(1.0)) + 1);
        }
        assert_eq!(lives.last.lock().unwrap().len(), REMEMBERED);
    }
}
