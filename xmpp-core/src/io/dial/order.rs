//! In which order the servers that a domain names are tried (RFC 2782, XEP-0368).

use super::resolver::Srv;
use crate::server::Random;

/// A SRV record, and which service it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) record: Srv,
    /// `_xmpps-server`, and not `_xmpp-server`.
    pub(super) direct_tls: bool,
}

/// The first `most` of them, as they are to be tried: by priority, within one at random by weight.
///
/// XEP-0368 §3: "Both 'xmpp-' and 'xmpps-' records SHOULD be treated as the same record with regard to connection order as
/// specified by RFC 2782, in that all priorities and weights are mixed."
pub(super) fn order(mut offers: Vec<Offer>, most: usize, random: &dyn Random) -> Vec<Offer> {
    // Of one priority, "all those with weight 0 are placed at the beginning of the list".
    offers.sort_by_key(|offer| (offer.record.priority, offer.record.weight > 0));
    let mut ordered = Vec::new();
    while ordered.len() < most && !offers.is_empty() {
        let next = select(&offers, random);
        ordered.push(offers.remove(next));
    }
    ordered
}

/// Selects among those of the first priority, of which there is at least one.
///
/// "choose a uniform random number between 0 and the sum computed (inclusive), and select the RR whose running sum value is the
/// first in the selected order which is greater than or equal to the random number selected."
fn select(offers: &[Offer], random: &dyn Random) -> usize {
    let priority = offers[0].record.priority;
    let weights = offers
        .iter()
        .map(|offer| &offer.record)
        .take_while(|record| record.priority == priority)
        .map(|record| u64::from(record.weight));
    let mut left = uniform(random, weights.clone().sum());
    weights
        .take_while(|&weight| {
            let passed = weight < left;
            left = left.saturating_sub(weight);
            passed
        })
        .count()
}

/// 0 to `last`, inclusive. `last` is so small beside 2^64 that the remainder favours none.
fn uniform(random: &dyn Random, last: u64) -> u64 {
    let mut bytes = [0; 8];
    random.fill(&mut bytes);
    u64::from_le_bytes(bytes) % (last + 1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Mutex;

    use proptest::prelude::*;

    use super::*;

    /// Gives these numbers, one after another and over again.
    struct Drawn(Mutex<(Vec<u64>, usize)>);

    impl Drawn {
        fn new(numbers: &[u64]) -> Drawn {
            Drawn(Mutex::new((numbers.to_vec(), 0)))
        }
    }

    impl Random for Drawn {
        fn fill(&self, bytes: &mut [u8]) {
            let mut drawn = self.0.lock().unwrap();
            let (numbers, next) = &mut *drawn;
            bytes.copy_from_slice(&numbers[*next % numbers.len()].to_le_bytes());
            *next += 1;
        }
    }

    /// SplitMix64.
    struct Seeded(Mutex<u64>);

    impl Random for Seeded {
        fn fill(&self, bytes: &mut [u8]) {
            let mut state = self.0.lock().unwrap();
            for chunk in bytes.chunks_mut(8) {
                *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
                let mut z = *state;
                z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
                z ^= z >> 31;
                chunk.copy_from_slice(&z.to_le_bytes()[..chunk.len()]);
            }
        }
    }

    fn offer(priority: u16, weight: u16, name: &str) -> Offer {
        Offer {
            record: Srv {
                priority,
                weight,
                port: 5269,
                target: name.to_owned(),
            },
            direct_tls: false,
        }
    }

    fn names(offers: &[Offer]) -> String {
        offers
            .iter()
            .map(|offer| offer.record.target.as_str())
            .collect()
    }

    #[test]
    fn the_number_drawn_selects_by_the_running_sum() {
        // Running sums: z 0, a 10, b 40, c 100.
        let offers = || {
            vec![
                offer(1, 10, "a"),
                offer(1, 0, "z"),
                offer(1, 30, "b"),
                offer(1, 60, "c"),
            ]
        };
        let cases = [
            (0, "z"),
            (1, "a"),
            (10, "a"),
            (11, "b"),
            (40, "b"),
            (41, "c"),
            (100, "c"),
            (101, "z"),
        ];
        for (number, first) in cases {
            let ordered = order(offers(), 1, &Drawn::new(&[number]));
            assert_eq!(names(&ordered), first, "{number} was drawn");
        }
    }

    #[test]
    fn lower_priorities_come_first_whatever_is_drawn_and_whichever_service_it_is() {
        let mut direct = offer(5, 0, "b");
        direct.direct_tls = true;
        let offers = vec![
            offer(10, 65535, "c"),
            direct.clone(),
            offer(0, 0, "a"),
            offer(65535, 9, "d"),
        ];
        for number in [0, 1, 65535, u64::MAX] {
            let ordered = order(offers.clone(), 16, &Drawn::new(&[number]));
            assert_eq!(names(&ordered), "abcd");
            assert_eq!(ordered[1], direct, "it is still known for direct TLS");
        }
    }

    #[test]
    fn those_of_no_weight_at_all_are_drawn_from_too() {
        let offers = vec![offer(0, 0, "a"), offer(0, 0, "b")];
        assert_eq!(names(&order(offers, 16, &Drawn::new(&[7]))), "ab");
    }

    #[test]
    fn weights_are_shares() {
        let random = Seeded(Mutex::new(2782));
        let mut first = HashMap::new();
        for _ in 0..10_000 {
            let offers = vec![offer(0, 75, "a"), offer(0, 25, "b"), offer(0, 0, "c")];
            *first
                .entry(names(&order(offers, 1, &random)))
                .or_insert(0u32) += 1;
        }
        assert!((7_200..7_600).contains(&first["a"]), "{first:?}");
        assert!((2_300..2_650).contains(&first["b"]), "{first:?}");
        // "a very small chance of being selected": one in a hundred and one.
        assert!((50..200).contains(&first["c"]), "{first:?}");
    }

    proptest! {
        #[test]
        fn all_are_ordered_by_priority_and_none_is_lost_or_doubled(
            records in proptest::collection::vec((0u16..4, any::<u16>(), any::<bool>()), 0..40),
            most in 0usize..50,
            seed: u64,
        ) {
            let offers: Vec<Offer> = records
                .iter()
                .enumerate()
                .map(|(n, &(priority, weight, direct_tls))| Offer {
                    direct_tls,
                    ..offer(priority, weight, &n.to_string())
                })
                .collect();
            let ordered = order(offers.clone(), most, &Seeded(Mutex::new(seed)));
            prop_assert_eq!(ordered.len(), most.min(offers.len()));
            prop_assert!(ordered.is_sorted_by_key(|offer| offer.record.priority));
            let left: Vec<_> = offers.iter().filter(|offer| !ordered.contains(offer)).collect();
            prop_assert_eq!(left.len(), offers.len() - ordered.len());
            let last = ordered.last().map_or(0, |offer| offer.record.priority);
            prop_assert!(left.iter().all(|offer| offer.record.priority >= last));
        }
    }
}
