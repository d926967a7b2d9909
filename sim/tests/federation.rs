//! Rooms on several servers that are one, judged by the invariants; and faults, to judge these.
#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use sim::federation::{Fault, Told, simulate};
use sim::invariants::violations;

/// Within so many seeds every planted fault is found: most of them in the first few, and last what a store forgets, which rooms mostly make good.
const FOUND: u64 = 300;

/// Worlds in which something is still wrong: what, is said in `docs/reliability.md`. Nothing is to be added here.
const OPEN: &[u64] = &[];

/// More of them: `simulate --world federation --seeds 0..10000`.
#[test]
fn whatever_is_cut_in_the_end_all_are_one_room() {
    let failed: Vec<String> = (0..300)
        .filter(|seed| !OPEN.contains(seed))
        .flat_map(|seed| violations(&simulate(seed, None)))
        .map(|violation| violation.to_string())
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn a_seed_is_a_world() {
    let once = simulate(3, None).to_string();
    assert_eq!(once, simulate(3, None).to_string());
    assert_ne!(once, simulate(4, None).to_string());
}

#[test]
fn every_planted_fault_breaks_its_promise() {
    for (fault, invariant) in Fault::ALL {
        let found = (0..FOUND).any(|seed| {
            let violations = violations(&simulate(seed, Some(fault)));
            violations.iter().any(|found| found.invariant == invariant)
        });
        assert!(found, "nobody noticed that rooms may {fault}");
    }
}

/// What the invariants are about happens: messages arrive late, people are lost from sight and seen again, servers begin anew.
#[test]
fn in_some_world_everything_happens() {
    let records: Vec<_> = (0..40).map(|seed| simulate(seed, None)).collect();
    let told = || {
        let stays = records.iter().flat_map(|record| record.all_stays());
        stays.flat_map(|(_, stay)| stay.told.iter().map(|(_, told)| told))
    };
    let happens = |what: &str, is: fn(&Told) -> bool| {
        let often = told().filter(|told| is(told)).count();
        assert!(often >= 5, "{what} {often} times");
    };
    let code =
        |told: &Told, code| matches!(told, Told::Gone { codes, .. } if codes.contains(&code));
    happens("said late", |told| {
        matches!(told, Told::Message { late: true, .. })
    });
    assert!(told().filter(|told| code(told, 333)).count() >= 5);
    assert!(told().filter(|told| code(told, 303)).count() >= 5);
    assert!(told().filter(|told| code(told, 307)).count() >= 5);
    let restarts: usize = records.iter().map(|record| record.restarts.len()).sum();
    assert!(restarts >= 5, "{restarts} restarts");
}
