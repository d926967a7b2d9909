//! Towns of people who chat, judged by the invariants; and faults, to judge these.
#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use sim::chat::{self, CASES, simulate, sweep};
use sim::faults::Fault;
use sim::invariants::{Story, violations};

#[test]
fn in_every_town_all_invariants_hold() {
    let failed: Vec<String> = (0..25)
        .flat_map(|seed| violations(&simulate(seed, None)))
        .map(|violation| violation.to_string())
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// All of them: `simulate --sweep`.
#[test]
fn a_mishap_at_any_byte_breaks_no_invariant() {
    const EVERY: usize = 97;
    let failed: Vec<String> = (0..CASES)
        .step_by(EVERY)
        .flat_map(|case| violations(&sweep(case)))
        .map(|violation| violation.to_string())
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn a_seed_is_a_town() {
    let once = simulate(3, None).to_string();
    assert_eq!(once, simulate(3, None).to_string());
    assert_ne!(once, simulate(4, None).to_string());
}

#[test]
fn every_planted_fault_breaks_its_invariant() {
    for (fault, invariant) in Fault::CHAT {
        let found = (0..100).any(|seed| {
            let violations = violations(&simulate(seed, Some(fault)));
            violations.iter().any(|found| found.invariant == invariant)
        });
        assert!(found, "nobody noticed that a server may {fault}");
    }
}

#[test]
fn every_invariant_has_a_fault_that_breaks_it() {
    for invariant in chat::Record::INVARIANTS {
        let broken = Fault::CHAT.iter().any(|(_, name)| *name == invariant.name);
        assert!(broken, "{}", invariant.name);
    }
}
