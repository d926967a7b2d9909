//! Towns of devices whose streams are managed, judged by the invariants; and faults, to judge
//! these.
#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use sim::faults::Fault;
use sim::invariants::violations;
use sim::reliable::{CASES, Said, What, simulate, sweep};

/// Within so many seeds every planted fault is found.
const FOUND: u64 = 60;

#[test]
fn in_every_town_the_promise_is_kept() {
    let failed: Vec<String> = (0..25)
        .flat_map(|seed| violations(&simulate(seed, None)))
        .map(|violation| violation.to_string())
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// All of them: `simulate --world reliable --sweep`.
#[test]
fn a_cut_at_any_byte_breaks_no_promise() {
    const EVERY: usize = 1511;
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
fn every_planted_fault_of_a_stream_breaks_its_promise() {
    for (fault, invariant) in Fault::STREAMS {
        let found = (0..FOUND).any(|seed| {
            let violations = violations(&simulate(seed, Some(fault)));
            violations.iter().any(|found| found.invariant == invariant)
        });
        assert!(found, "nobody noticed that a server may {fault}");
    }
}

/// What the invariants are about happens: streams are resumed, and others are too late; sessions
/// outlive the server.
#[test]
fn in_some_town_everything_happens() {
    let records: Vec<_> = (0..20).map(|seed| simulate(seed, None)).collect();
    let events = || records.iter().flat_map(|record| &record.events);
    let happens = |what: &str, is: fn(&What) -> bool| {
        let often = events().filter(|event| is(&event.what)).count();
        assert!(often >= 3, "{what} {often} times");
    };
    happens("resumed", |what| matches!(what, What::Resumed));
    happens("too late", |what| matches!(what, What::Refused(Some(_))));
    happens("unknown", |what| matches!(what, What::Refused(None)));
    happens("handled", |what| {
        matches!(what, What::Acked(Said::Message(..), _))
    });
    let restored: usize = records.iter().map(|record| record.restored).sum();
    assert!(restored >= 10, "{restored} restored");
    let late = records.iter().flat_map(|record| record.copies());
    assert!(late.filter(|copy| copy.late && !copy.carbon).count() >= 5);
}
