//! The two clocks a machine is shown, and how XMPP writes a date.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::future::BoxFuture;

/// The moment at which a machine is called: a monotonic clock for time-outs
/// and a wall clock for stamps. Machines never read a clock themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic; what time-outs are counted on.
    pub instant: Instant,
    /// UTC; what is written into stanzas and stores.
    pub utc: Timestamp,
}

/// A clock that the embedder (or a simulation) provides to the server.
pub trait Clock: Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> Now;

    /// Waits until `time` has passed on the monotonic clock.
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()>;
}

/// Milliseconds since 1970-01-01T00:00:00Z. Displays as XEP-0082 §3.2 asks:
/// `2026-11-23T04:29:00.123Z`, the fraction left out when it is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The timestamp `by` later; saturates.
    pub fn plus(self, by: Duration) -> Timestamp {
        Timestamp(
            self.0
                .saturating_add(by.as_millis().min(i64::MAX as u128) as i64),
        )
    }

    /// How long after `earlier` this is; zero if it is not.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0).max(0) as u64)
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Timestamp {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Timestamp(after.as_millis().min(i64::MAX as u128) as i64),
            Err(before) => Timestamp(-(before.duration().as_millis().min(i64::MAX as u128) as i64)),
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, ms) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        let (year, month, day) = civil(days);
        let (s, ms) = (ms / 1000, ms % 1000);
        let (h, m, s) = (s / 3600, s / 60 % 60, s % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}")?;
        if ms != 0 {
            write!(f, ".{ms:03}")?;
        }
        f.write_str("Z")
    }
}

/// The proleptic Gregorian date of a day counted from 1970-01-01
/// (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", §civil_from_days).
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    (year, month, doy - (153 * mp + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_written_as_xep_0082_asks() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_709_251_199_050, "2024-02-29T23:59:59.050Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(Timestamp(ms).to_string(), text);
        }
    }
}
