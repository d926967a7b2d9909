//! Every message once and in order: the counting oracle, and the faults that prove it looks.

use std::{collections::BTreeSet, fmt, ops::AddAssign};

use clap::ValueEnum;
use serde::Serialize;

/// Watches one sender's numbered messages arrive: 0, 1, 2, …
#[derive(Debug, Default)]
pub struct Oracle {
    next: u64,
    /// Numbers below `next` that have not come; at most [`MAX_MISSING`].
    missing: BTreeSet<u64>,
    plant: Option<Plant>,
    tally: Tally,
}

/// What became of the messages.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Messages sent.
    pub sent: u64,
    /// Arrivals, duplicates included.
    pub received: u64,
    /// Never came.
    pub lost: u64,
    /// Came again.
    pub duplicated: u64,
    /// Came after a later one.
    pub reordered: u64,
    /// Came to the wrong receiver, or with a changed body.
    pub foreign: u64,
}

/// A fault in what the receiver believes it got, to show that the oracle turns red.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    /// Forget an arrival.
    Drop,
    /// See an arrival twice.
    Duplicate,
    /// See an arrival after the next one.
    Reorder,
}

/// A planted fault had no chance to strike, so the run proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unstruck;

#[derive(Debug)]
struct Plant {
    fault: Fault,
    struck: bool,
    /// Arrivals until it strikes.
    countdown: u64,
    held: Option<u64>,
}

/// Arrivals before a planted fault strikes.
const STRIKE: u64 = 10;
/// Gaps remembered; what is missing beyond them counts as lost at once.
const MAX_MISSING: usize = 1 << 20;

impl Oracle {
    /// An oracle, with a fault planted if the run is to prove that it looks.
    pub fn new(plant: Option<Fault>) -> Oracle {
        let plant = plant.map(|fault| Plant {
            fault,
            struck: false,
            countdown: STRIKE,
            held: None,
        });
        Oracle {
            plant,
            ..Oracle::default()
        }
    }

    /// A message with this number arrived.
    pub fn arrived(&mut self, number: u64) {
        let Some(plant) = &mut self.plant else {
            return self.count(number);
        };
        let strikes = plant.countdown == 0 && !plant.struck;
        plant.countdown = plant.countdown.saturating_sub(1);
        match (plant.fault, plant.held.take()) {
            (_, Some(late)) => {
                plant.struck = true;
                self.count(number);
                self.count(late);
            }
            (Fault::Drop, None) if strikes => plant.struck = true,
            (Fault::Duplicate, None) if strikes => {
                plant.struck = true;
                self.count(number);
                self.count(number);
            }
            (Fault::Reorder, None) if strikes => plant.held = Some(number),
            _ => self.count(number),
        }
    }

    /// Something arrived that this receiver was never sent.
    pub fn foreign(&mut self) {
        self.tally.foreign += 1;
    }

    /// The verdict after `sent` messages.
    pub fn verdict(mut self, sent: u64) -> Result<Tally, Unstruck> {
        if self.plant.as_ref().is_some_and(|plant| !plant.struck) {
            return Err(Unstruck);
        }
        self.tally.sent = sent;
        self.tally.lost += self.missing.len() as u64 + sent.saturating_sub(self.next);
        Ok(self.tally)
    }

    fn count(&mut self, number: u64) {
        self.tally.received += 1;
        if number >= self.next {
            for absent in self.next..number {
                if self.missing.len() < MAX_MISSING {
                    self.missing.insert(absent);
                } else {
                    self.tally.lost += number - absent;
                    break;
                }
            }
            self.next = number + 1;
        } else if self.missing.remove(&number) {
            self.tally.reordered += 1;
        } else {
            self.tally.duplicated += 1;
        }
    }
}

impl Tally {
    /// Whether every message arrived once, in order, whole, and where it was sent.
    pub fn is_clean(&self) -> bool {
        *self
            == Tally {
                sent: self.sent,
                received: self.sent,
                ..Tally::default()
            }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.sent += other.sent;
        self.received += other.received;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.foreign += other.foreign;
    }
}

impl std::error::Error for Unstruck {}

impl fmt::Display for Unstruck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the planted fault had no chance to strike: run longer")
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally {
            sent,
            received,
            lost,
            duplicated,
            reordered,
            foreign,
        } = self;
        write!(
            f,
            "sent {sent}, received {received}, lost {lost}, duplicated {duplicated}, reordered {reordered}, foreign {foreign}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(plant: Option<Fault>, arrivals: &[u64], sent: u64) -> Tally {
        let mut oracle = Oracle::new(plant);
        arrivals.iter().for_each(|&number| oracle.arrived(number));
        oracle.verdict(sent).unwrap()
    }

    #[test]
    fn once_and_in_order_is_clean() {
        assert!(judge(None, &[0, 1, 2, 3], 4).is_clean());
        assert!(judge(None, &[], 0).is_clean());
    }

    #[test]
    fn a_gap_and_a_missing_tail_are_losses() {
        let tally = judge(None, &[0, 2, 3], 6);
        assert_eq!((tally.lost, tally.reordered, tally.duplicated), (3, 0, 0));
        assert!(!tally.is_clean());
    }

    #[test]
    fn a_late_one_is_a_reordering_and_no_loss() {
        let tally = judge(None, &[0, 2, 1, 3], 4);
        assert_eq!((tally.lost, tally.reordered, tally.duplicated), (0, 1, 0));
        assert!(!tally.is_clean());
    }

    #[test]
    fn a_second_arrival_is_a_duplicate_even_of_a_late_one() {
        let tally = judge(None, &[0, 2, 1, 1, 2], 3);
        assert_eq!((tally.lost, tally.reordered, tally.duplicated), (0, 1, 2));
    }

    #[test]
    fn a_foreign_message_is_not_clean() {
        let mut oracle = Oracle::new(None);
        oracle.foreign();
        assert!(!oracle.verdict(0).unwrap().is_clean());
    }

    #[test]
    fn each_planted_fault_turns_it_red_in_its_own_colour() {
        let all: Vec<u64> = (0..40).collect();
        let verdict = |fault| {
            let tally = judge(Some(fault), &all, 40);
            assert!(!tally.is_clean(), "{fault:?}");
            (tally.lost, tally.duplicated, tally.reordered)
        };
        assert_eq!(verdict(Fault::Drop), (1, 0, 0));
        assert_eq!(verdict(Fault::Duplicate), (0, 1, 0));
        assert_eq!(verdict(Fault::Reorder), (0, 0, 1));
    }

    #[test]
    fn a_planted_fault_that_did_not_strike_is_no_proof() {
        for fault in [Fault::Drop, Fault::Duplicate, Fault::Reorder] {
            let mut oracle = Oracle::new(Some(fault));
            (0..STRIKE).for_each(|number| oracle.arrived(number));
            assert_eq!(oracle.verdict(STRIKE), Err(Unstruck), "{fault:?}");
        }
    }
}
