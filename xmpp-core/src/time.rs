//! The two clocks a machine is shown, and how XMPP writes a date.

use std::fmt;
use std::str::FromStr;
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
/// `2026-11-23T04:29:00.123Z`, the fraction left out when it is zero; reads any DateTime of
/// that section, a finer fraction cut off.
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

/// The text is no DateTime of XEP-0082 §3.2.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
#[error("not a date and time as XEP-0082 has it")]
pub struct NotADateTime;

impl FromStr for Timestamp {
    type Err = NotADateTime;

    fn from_str(text: &str) -> Result<Timestamp, NotADateTime> {
        date_time(text).ok_or(NotADateTime)
    }
}

/// `CCYY-MM-DDThh:mm:ss[.sss]TZD`
fn date_time(text: &str) -> Option<Timestamp> {
    let (date, time) = text.split_once('T')?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let (time, offset) = match time.strip_suffix('Z') {
        Some(time) => (time, 0),
        None => {
            let at = time.rfind(['+', '-'])?;
            let (time, zone) = time.split_at(at);
            let [h, m] = numbers(zone.get(1..)?, ':', [2, 2])?;
            let offset = (h < 24 && m < 60).then_some(h * 60 + m)?;
            (
                time,
                if zone.starts_with('-') {
                    -offset
                } else {
                    offset
                },
            )
        }
    };
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let digits = !fraction.is_empty() && fraction.bytes().all(|c| c.is_ascii_digit());
    let ms = fraction.bytes().chain(*b"000").take(3);
    let ms = ms.fold(0, |ms, digit| ms * 10 + i64::from(digit - b'0').min(9));
    let [h, m, s] = numbers(time, ':', [2, 2, 2])?;
    // A leap second is the second after.
    (digits && h < 24 && m < 60 && s <= 60).then_some(())?;
    let days = days(year, month, day);
    (civil(days) == (year, month, day)).then_some(())?;
    let seconds = days * 86_400 + h * 3600 + (m - offset) * 60 + s;
    Some(Timestamp(seconds * 1000 + ms))
}

/// Numbers of so many digits each.
fn numbers<const N: usize>(text: &str, between: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(between);
    let mut all = [0; N];
    for (number, digits) in all.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits)?;
        let part = part.bytes().all(|c| c.is_ascii_digit()).then_some(part)?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(all)
}

/// The day of a date, counted from 1970-01-01 (the same paper, §days_from_civil).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let yoe = year - era * 400;
    let doy = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
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

    #[test]
    fn timestamps_are_read_as_xep_0082_writes_them() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59.999Z", -1),
            ("1969-07-20T21:56:15-05:00", -14_159_025_000),
            ("1969-07-21T02:56:15Z", -14_159_025_000),
            ("2000-02-29T00:00:00.0001Z", 951_782_400_000),
            ("2024-02-29T23:59:59.05+00:00", 1_709_251_199_050),
        ] {
            assert_eq!(text.parse(), Ok(Timestamp(ms)), "{text}");
        }
        for at in (-5_000_000_000_000..5_000_000_000_000).step_by(86_399_999) {
            assert_eq!(Timestamp(at).to_string().parse(), Ok(Timestamp(at)));
        }
        for text in [
            "",
            "1970-01-01",
            "1970-01-01T00:00:00",
            "1970-01-01 00:00:00Z",
            "1970-1-01T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2023-13-01T00:00:00Z",
            "2023-00-10T00:00:00Z",
            "1970-01-01T24:00:00Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00.aZ",
            "1970-01-01T00:00:00+24:00",
            "1970-01-01T00:00:+1Z",
            "1970-01-01T00:00:00Z-é",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(NotADateTime), "{text}");
        }
    }
}
