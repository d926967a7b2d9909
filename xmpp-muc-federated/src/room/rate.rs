//! How much one user may do in a room (XEP-0045 §14.6).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use xmpp_core::BareJid;

use crate::settings::Limits;

/// A token bucket for each user who has done something just now, whether they are still in the room or not: who leaves and
/// enters again has no more for it.
#[derive(Debug, Default)]
pub(super) struct Rates {
    /// When the bucket of a user will be full again.
    pub(super) full: HashMap<BareJid, Instant>,
    /// With so many, those that are full are thrown away.
    sweep: usize,
}

/// What something takes out of the bucket.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cost {
    /// A message or a change of presence.
    Stanza,
    /// What is answered with the whole room, or sent to somebody outside.
    Entry,
    /// So many entries of a list, beside the request for them.
    Items(usize),
}

/// Entries of a list that are as much as a message.
const ITEMS: usize = 200;

impl Cost {
    fn tokens(self) -> u32 {
        match self {
            Cost::Stanza => 1,
            Cost::Entry => 5,
            Cost::Items(items) => (items / ITEMS).min(5) as u32,
        }
    }
}

impl Rates {
    /// Takes it, if there is so much.
    pub(super) fn take(
        &mut self,
        user: &BareJid,
        cost: Cost,
        limits: &Limits,
        now: Instant,
    ) -> bool {
        let token = Duration::from_secs(1) / limits.rate.max(1);
        let full = self.full.get(user).copied().unwrap_or(now).max(now);
        let then = full + token * cost.tokens();
        if then.duration_since(now) > token * limits.burst.max(Cost::Entry.tokens()) {
            return false;
        }
        let most = limits.occupants.max(SWEEP);
        if self.full.len() >= self.sweep.clamp(SWEEP, most) {
            self.full.retain(|_, full| *full > now);
            self.sweep = self.full.len() * 2;
        }
        if self.full.len() >= most && !self.full.contains_key(user) {
            return false;
        }
        self.full.insert(user.clone(), then);
        true
    }
}

/// Below that it is not worth the while.
const SWEEP: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn user(n: usize) -> BareJid {
        format!("u{n}@example.org").parse().unwrap()
    }

    #[test]
    fn a_bucket_empties_and_fills_again() {
        let limits = Limits {
            burst: 10,
            rate: 2,
            ..Limits::default()
        };
        let (mut rates, start) = (Rates::default(), crate::room::tests::now().instant);
        let mut take = |cost, after| rates.take(&user(1), cost, &limits, start + after);
        let taken = (0..20).filter(|_| take(Cost::Stanza, Duration::ZERO));
        assert_eq!(taken.count(), 10);
        assert!(!take(Cost::Stanza, Duration::from_millis(499)));
        assert!(take(Cost::Stanza, Duration::from_millis(500)));
        assert!(!take(Cost::Entry, Duration::from_millis(2999)));
        assert!(take(Cost::Entry, Duration::from_millis(3000)));
    }

    #[test]
    fn a_list_costs_what_it_has() {
        let tokens = |items| Cost::Items(items).tokens();
        assert_eq!([0, 199, 200, 999, 1 << 40].map(tokens), [0, 0, 1, 4, 5]);
    }

    #[test]
    fn who_has_done_nothing_for_a_while_takes_no_room() {
        let (mut rates, start) = (Rates::default(), crate::room::tests::now().instant);
        let limits = Limits {
            occupants: 1000,
            ..Limits::default()
        };
        for n in 0..1500 {
            assert_eq!(rates.take(&user(n), Cost::Stanza, &limits, start), n < 1000);
        }
        let later = start + Duration::from_secs(10);
        assert!(rates.take(&user(2000), Cost::Stanza, &limits, later));
        assert_eq!(rates.full.len(), 1);
    }
}
