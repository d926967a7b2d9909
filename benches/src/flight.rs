//! Numbered operations on their way: when they left, how many may be under way, and the oracle that sees them land.

use std::time::{Duration, Instant};

use crate::oracle::{Fault, Oracle, Tally, Unstruck};

/// The operations of one sender.
#[derive(Debug)]
pub struct Flight {
    sent: u64,
    landed: u64,
    /// Departure of operation `n` at `n % window`.
    departures: Vec<Instant>,
    oracle: Oracle,
}

impl Flight {
    /// At most `window` operations under way at once.
    pub fn new(window: usize, plant: Option<Fault>) -> Flight {
        Flight {
            sent: 0,
            landed: 0,
            departures: vec![Instant::now(); window.max(1)],
            oracle: Oracle::new(plant),
        }
    }

    /// How many more may leave.
    pub fn room(&self) -> usize {
        self.departures.len().saturating_sub(self.under_way())
    }

    /// How many have left and not landed.
    pub fn under_way(&self) -> usize {
        usize::try_from(self.sent.saturating_sub(self.landed)).unwrap_or(usize::MAX)
    }

    /// The number of the operation that leaves now.
    pub fn depart(&mut self, now: Instant) -> u64 {
        let number = self.sent;
        let slot = self.slot(number);
        self.departures[slot] = now;
        self.sent += 1;
        number
    }

    /// Operation `number` landed; gives how long it took. A number that never left is foreign.
    pub fn land(&mut self, number: u64, now: Instant) -> Option<Duration> {
        if number >= self.sent {
            self.oracle.foreign();
            return None;
        }
        self.landed += 1;
        self.oracle.arrived(number);
        Some(now - self.departures[self.slot(number)])
    }

    /// Something landed that cannot be ours.
    pub fn foreign(&mut self) {
        self.oracle.foreign();
    }

    /// The oracle's verdict.
    pub fn verdict(self) -> Result<Tally, Unstruck> {
        self.oracle.verdict(self.sent)
    }

    fn slot(&self, number: u64) -> usize {
        (number % self.departures.len() as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_closes_and_opens() {
        let (mut flight, now) = (Flight::new(2, None), Instant::now());
        assert_eq!((flight.depart(now), flight.depart(now)), (0, 1));
        assert_eq!(flight.room(), 0);
        let took = flight.land(0, now + Duration::from_secs(1));
        assert_eq!((took, flight.room()), (Some(Duration::from_secs(1)), 1));
        assert_eq!(flight.verdict().unwrap().lost, 1);
    }

    #[test]
    fn what_never_left_is_foreign() {
        let mut flight = Flight::new(1, None);
        assert_eq!(flight.land(5, Instant::now()), None);
        let tally = flight.verdict().unwrap();
        assert_eq!((tally.foreign, tally.received), (1, 0));
    }
}
