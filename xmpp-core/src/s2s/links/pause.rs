//! How long something that has failed is left alone.

use std::time::Instant;

use super::Backoff;
use crate::server::Random;
use crate::stanza::Condition;

/// After a failure; without one there is none.
#[derive(Debug, Default)]
pub(super) struct Pause {
    failures: u32,
    /// When the last one was.
    last: Option<Instant>,
    until: Option<Instant>,
    why: Option<Condition>,
}

impl Pause {
    /// One more failure.
    pub(super) fn fail(
        &mut self,
        why: Condition,
        backoff: &Backoff,
        random: &dyn Random,
        now: Instant,
    ) {
        let factor = backoff.factor.max(1).saturating_pow(self.failures);
        let time = backoff.start.saturating_mul(factor).min(backoff.max);
        let mut chance = [0; 4];
        random.fill(&mut chance);
        let part = f64::from(u32::from_be_bytes(chance)) / f64::from(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        self.last = Some(now);
        self.until = Some(now + time / 2 + (time / 2).mul_f64(part));
        self.why = Some(why);
    }

    /// It was well for a while.
    pub(super) fn forget(&mut self) {
        *self = Pause::default();
    }

    /// It is well now; whether for long is to be seen.
    pub(super) fn end(&mut self) {
        self.until = None;
    }

    /// Ends it if its time is over; `true` if it is over, or there is none.
    pub(super) fn is_over(&mut self, now: Instant) -> bool {
        if self.until.is_some_and(|until| until <= now) {
            self.until = None;
        }
        self.until.is_none()
    }

    /// Whether the last failure is as long ago as the first pause is long: for what has a reason to believe that it is well again.
    pub(super) fn may_be_cut_short(&self, backoff: &Backoff, now: Instant) -> bool {
        self.last.is_none_or(|last| last + backoff.start <= now)
    }

    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// The error for whoever hears of it.
    pub(super) fn why(&self) -> Condition {
        self.why.unwrap_or(Condition::RemoteServerTimeout)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    struct Constant(u8);

    impl Random for Constant {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    #[test]
    fn each_failure_makes_it_longer_up_to_the_bound_and_half_of_it_is_chance() {
        let now = crate::s2s::testing::now().instant;
        let backoff = Backoff::default();
        for (chance, expected) in [(0, [500, 1000, 2000]), (255, [1000, 2000, 4000])] {
            let mut pause = Pause::default();
            assert!(pause.is_over(now));
            for ms in expected {
                pause.fail(
                    Condition::RemoteServerTimeout,
                    &backoff,
                    &Constant(chance),
                    now,
                );
                assert_eq!(pause.until(), Some(now + Duration::from_millis(ms)));
            }
            for _ in 0..100 {
                pause.fail(
                    Condition::RemoteServerTimeout,
                    &backoff,
                    &Constant(chance),
                    now,
                );
                assert!(pause.until() <= Some(now + backoff.max));
            }
            assert!(!pause.is_over(now) && pause.is_over(now + backoff.max));
        }
    }
}
