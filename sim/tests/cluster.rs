//! Nodes of one domain, judged by the invariants; and faults, to judge these.
#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use sim::cluster::{Deed, Fault, simulate};
use sim::invariants::violations;

/// More of them: `simulate --world cluster --seeds 0..100000`.
#[test]
fn whatever_is_cut_dies_or_is_held_up_in_the_end_all_agree_and_nothing_is_lost_or_doubled() {
    let failed: Vec<String> = (0..300)
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
        let found = (0..50).any(|seed| {
            let violations = violations(&simulate(seed, Some(fault)));
            violations.iter().any(|found| found.invariant == invariant)
        });
        assert!(found, "nobody noticed the fault {fault}");
    }
}

/// What the invariants are about happens.
#[test]
fn in_some_world_everything_happens() {
    let records: Vec<_> = (0..60).map(|seed| simulate(seed, None)).collect();
    let happens = |what: &str| {
        let lines = records.iter().flat_map(|record| &record.trace);
        let often = lines.filter(|(_, line)| line.contains(what)).count();
        assert!(often >= 5, "{what} {often} times");
    };
    for what in [
        "Silent",
        "Left",
        "Restarted",
        "HeldUp",
        "Reset",
        "GivenUp",
        "Synced",
    ] {
        happens(what);
    }
    let deeds = || records.iter().flat_map(|record| &record.plan.deeds);
    assert!(deeds().any(|(_, deed)| matches!(deed, Deed::Sleep(..))));
    // What was given up and came all the same.
    let late = records.iter().any(|record| {
        let given_up = record.given_up.iter();
        let mut numbers = given_up.map(|(number, ..)| number);
        numbers.any(|number| record.delivered.iter().any(|(other, ..)| other == number))
    });
    assert!(late);
}
