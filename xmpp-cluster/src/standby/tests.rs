mod linked;
mod model;
mod pair;

use model::{Fault, Plan, World};

/// Schedules of each kind that every run of the tests tries; `SEEDS` in the environment for more.
fn seeds() -> u64 {
    std::env::var("SEEDS").map_or(200, |seeds| seeds.parse().expect("a number"))
}

/// Runs so many schedules; how much was broken in them, and the first that went wrong.
fn run(seeds: u64, plan: Plan, fault: Fault) -> (usize, Option<String>) {
    let mut faults = 0;
    for seed in 0..seeds {
        let mut world = World::new(seed, plan, fault);
        let result = world.run(1500);
        faults += world.faults;
        if let Err(error) = result {
            return (faults, Some(format!("seed {seed}: {error}")));
        }
    }
    (faults, None)
}

/// G1 of the guarantees: while each session has its two copies, any one node may die.
#[test]
fn what_is_settled_comes_once_whatever_dies_freezes_or_is_cut_off_one_at_a_time() {
    let (faults, error) = run(seeds(), Plan::OneByOne, Fault::Nothing);
    assert_eq!(error, None);
    assert!(faults as u64 > seeds(), "{faults}");
}

#[test]
fn whatever_happens_all_agree_in_the_end_whose_a_session_is() {
    let (faults, error) = run(seeds(), Plan::Chaos, Fault::Nothing);
    assert_eq!(error, None);
    assert!(faults as u64 > seeds(), "{faults}");
}

#[test]
fn each_planted_fault_is_noticed() {
    for fault in [
        Fault::AckEarly,
        Fault::SkipDedupe,
        Fault::DropDelta,
        Fault::DropBehindSnapshots,
        Fault::DropClaims,
    ] {
        let (_, error) = run(300, Plan::OneByOne, fault);
        assert!(error.is_some(), "{fault:?}");
    }
}
