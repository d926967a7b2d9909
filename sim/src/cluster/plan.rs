//! What is to happen.

use std::time::Duration;

use super::ADDRESSES;
use crate::rng::Rng;

/// What happens in a world.
#[derive(Clone, Debug)]
pub struct Plan {
    /// By how many milliseconds each node's clock is wrong.
    pub skews: Vec<i64>,
    /// What is done, and how long after what was done before.
    pub deeds: Vec<(Duration, Deed)>,
}

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Nothing goes from the first to the second any more.
    Cut(usize, usize),
    /// All ways are there again.
    Heal,
    /// One frame in so many is lost from now on.
    Loss(Option<u64>),
    /// A node is gone, without a word.
    Kill(usize),
    /// It goes, and says so.
    Leave(usize),
    /// It begins anew.
    Start(usize),
    /// It does nothing for so long.
    Freeze(usize, Duration),
    /// The same, and its steady clock stands still.
    Sleep(usize, Duration),
    /// It enters this address.
    Bind(usize, usize),
    /// It takes it out.
    Free(usize, usize),
    /// The first sends the second a parcel.
    Send(usize, usize),
}

impl Plan {
    pub(super) fn new(rng: &mut Rng) -> Plan {
        let nodes = rng.between(2..=4) as usize;
        // Two that are as far apart as can be are within what is allowed.
        let skews = (0..nodes).map(|_| rng.between(0..=4000) as i64 - 2000);
        let skews = skews.collect();
        let mut deeds = Vec::new();
        for _ in 0..rng.between(20..=80) {
            let pause = match rng.below(10) {
                0 | 1 => rng.between(1000..=9000),
                2..=4 => rng.between(50..=1000),
                _ => rng.between(0..=50),
            };
            let (n, other) = (rng.below(nodes), rng.below(nodes));
            let pause = Duration::from_millis(pause);
            let mut then = |deed| deeds.push((pause, deed));
            match rng.below(40) {
                0 | 1 => then(Deed::Cut(n, other)),
                2 | 3 => {
                    then(Deed::Cut(n, other));
                    deeds.push((Duration::ZERO, Deed::Cut(other, n)));
                }
                4..=6 => then(Deed::Heal),
                7 => then(Deed::Loss(Some(rng.between(2..=20)))),
                8 => then(Deed::Loss(None)),
                9 => then(Deed::Kill(n)),
                10 => then(Deed::Leave(n)),
                11 | 12 => then(Deed::Start(n)),
                13 => then(Deed::Freeze(n, held_up(rng))),
                14 => then(Deed::Sleep(n, held_up(rng))),
                15..=22 => then(Deed::Bind(n, rng.below(ADDRESSES))),
                23..=25 => then(Deed::Free(n, rng.below(ADDRESSES))),
                _ => {
                    then(Deed::Send(n, other));
                    for _ in 0..rng.below(6) {
                        deeds.push((Duration::ZERO, Deed::Send(n, other)));
                    }
                }
            }
        }
        Plan { skews, deeds }
    }
}

fn held_up(rng: &mut Rng) -> Duration {
    Duration::from_millis(rng.between(200..=12_000))
}
