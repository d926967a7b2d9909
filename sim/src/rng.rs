//! Randomness from one seed.

use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};

use xmpp_core::server::Random;

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators", 2014): a word of state, good enough to choose faults with, and the
/// same on every platform for ever, which is what a printed seed needs.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator of its own for each seed.
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    /// A generator that is independent of what this one is asked later.
    pub fn fork(&mut self) -> Rng {
        Rng(self.word())
    }

    /// 64 bits.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number of the range, each as likely as the others (but for a bias of less
    /// than one in 2⁴⁰ for the ranges of a simulation).
    pub fn between(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (low, high) = range.into_inner();
        match high.saturating_sub(low).checked_add(1) {
            Some(width) => low + self.word() % width,
            None => self.word(),
        }
    }

    /// An index into something of this length, which is not 0.
    pub fn below(&mut self, length: usize) -> usize {
        (self.word() % length.max(1) as u64) as usize
    }

    /// True once in so many times.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.word().is_multiple_of(times.max(1))
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// Bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.word() as u8)
    }
}

/// A seeded source of random bytes for a server. Not for the world outside: whoever
/// knows the seed knows every nonce.
#[derive(Debug)]
pub struct SeededRandom(Mutex<Rng>);

impl SeededRandom {
    /// From a generator.
    pub fn new(rng: Rng) -> SeededRandom {
        SeededRandom(Mutex::new(rng))
    }
}

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) {
        let mut rng = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.fill_with(|| rng.word() as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_splitmix64() {
        // The first outputs for seed 0, as the authors' code prints them.
        let mut rng = Rng::new(0);
        let words = [rng.word(), rng.word(), rng.word()];
        assert_eq!(
            words,
            [
                0xe220_a839_7b1d_cdaf,
                0x6e78_9e6a_a1b9_65f4,
                0x06c4_5d18_8009_454f
            ]
        );
    }

    #[test]
    fn ranges_are_kept_to_their_ends() {
        let mut rng = Rng::new(1);
        let seen: Vec<u64> = (0..200).map(|_| rng.between(3..=5)).collect();
        assert!([3, 4, 5].iter().all(|n| seen.contains(n)));
        assert!(seen.iter().all(|n| (3..=5).contains(n)));
        assert_eq!(rng.between(7..=7), 7);
    }
}
