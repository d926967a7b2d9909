//! A histogram of durations: 3 % wide buckets, fixed size, no allocation while measuring.

use std::time::Duration;

use serde::Serialize;

/// Sub-buckets of each power of two.
const FINE: u32 = 5;
const BUCKETS: usize = (64 - FINE as usize + 1) << FINE;

/// Durations counted by size.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Box<[u64]>,
    total: u64,
    max: Duration,
}

/// The figures that are reported, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Latency {
    /// The median.
    pub p50_ms: f64,
    /// 99 of 100 are not longer.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Histogram {
    /// Counts one.
    pub fn record(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
        self.max = self.max.max(duration);
    }

    /// How many have been counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The duration that a `share` (0 to 1) of all do not exceed, rounded up to its bucket's end.
    pub fn quantile(&self, share: f64) -> Duration {
        let rank = (share * self.total as f64).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank.max(1) {
                return Duration::from_nanos(upper(index)).min(self.max);
            }
        }
        self.max
    }

    /// The figures, if anything was counted.
    pub fn summary(&self) -> Option<Latency> {
        let ms = |d: Duration| d.as_secs_f64() * 1e3;
        (self.total > 0).then(|| Latency {
            p50_ms: ms(self.quantile(0.5)),
            p99_ms: ms(self.quantile(0.99)),
            max_ms: ms(self.max),
        })
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram {
            counts: vec![0; BUCKETS].into(),
            total: 0,
            max: Duration::ZERO,
        }
    }
}

fn bucket(nanos: u64) -> usize {
    let magnitude = 63 - (nanos | 1).leading_zeros();
    if magnitude < FINE {
        return nanos as usize;
    }
    let shift = magnitude - FINE;
    (((shift + 1) as usize) << FINE) + (nanos >> shift) as usize - (1 << FINE)
}

fn upper(index: usize) -> u64 {
    let (row, column) = (index >> FINE, (index & ((1 << FINE) - 1)) as u64);
    match row {
        0 => column,
        _ => {
            let shift = row - 1;
            ((column + (1 << FINE)) << shift) + ((1u64 << shift) - 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_cover_every_value_and_are_narrow() {
        for nanos in (0..64)
            .map(|i| 1u64 << i)
            .chain([0, 3, 31, 33, 1000, 123_456_789, u64::MAX])
        {
            let end = upper(bucket(nanos));
            assert!(end >= nanos, "{nanos}");
            assert!(end - nanos <= nanos / 32, "{nanos} in a bucket to {end}");
        }
    }

    #[test]
    fn quantiles_of_a_ramp_are_where_they_should_be() {
        let mut histogram = Histogram::default();
        (1..=1000).for_each(|us| histogram.record(Duration::from_micros(us)));
        let latency = histogram.summary().unwrap();
        assert!((0.49..0.52).contains(&latency.p50_ms), "{latency:?}");
        assert!((0.98..1.0).contains(&latency.p99_ms), "{latency:?}");
        assert_eq!(latency.max_ms, 1.0);
        assert!(Histogram::default().summary().is_none());
    }
}
