//! What two servers promise each other, whatever becomes of the connections between them.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};
use xmpp_core::s2s::{Compression, Proof};

use super::world::*;
use super::*;

/// What happens.
#[derive(Clone, Debug)]
enum Step {
    /// Somebody at A sends a stanza of this pair.
    Send(usize),
    /// Somebody at B sends one back.
    Back(usize),
    /// So many bytes arrive at A.
    AtA(usize),
    /// So many bytes arrive at B.
    AtB(usize),
    /// All that is on its way arrives, some times over.
    Flow,
    SettleA,
    SettleB,
    Cut,
    NoticeA,
    NoticeB,
    /// A connects; B refuses some of the pairs, and the policy may have changed.
    Connect(u8, bool),
    CloseA,
    CloseB,
    Wait(u16),
}

fn step(bidi: bool) -> impl Strategy<Value = Step> {
    let back = move |n| if bidi { Step::Back(n) } else { Step::Send(n) };
    prop_oneof![
        8 => (0..2usize).prop_map(Step::Send),
        4 => (0..2usize).prop_map(back),
        4 => (0..300usize).prop_map(Step::AtA),
        4 => (0..300usize).prop_map(Step::AtB),
        10 => Just(Step::Flow),
        4 => Just(Step::SettleA),
        6 => Just(Step::SettleB),
        2 => Just(Step::Cut),
        3 => Just(Step::NoticeA),
        3 => Just(Step::NoticeB),
        6 => (prop_oneof![3 => Just(0u8), 1 => 1..4u8], prop::bool::weighted(0.8))
            .prop_map(|(refused, bidi)| Step::Connect(refused, bidi)),
        1 => prop_oneof![Just(Step::CloseA), Just(Step::CloseB)],
        2 => prop_oneof![3 => 0..10u16, 1 => 0..700u16].prop_map(Step::Wait),
    ]
}

fn play(rules: Rules, steps: &[Step]) -> World {
    let pairs = pairs();
    let mut world = World::new(rules);
    world.connect(&[], true);
    for step in steps {
        match step {
            Step::Send(n) => world.send(&pairs[*n]),
            Step::Back(n) => world.send(&pairs[*n].inverse()),
            Step::AtA(bytes) => world.arrive(Side::A, *bytes),
            Step::AtB(bytes) => world.arrive(Side::B, *bytes),
            Step::Flow => {
                for _ in 0..8 {
                    world.arrive(Side::B, usize::MAX);
                    world.arrive(Side::A, usize::MAX);
                }
            }
            Step::SettleA => drop(world.settle(Side::A)),
            Step::SettleB => drop(world.settle(Side::B)),
            Step::Cut => world.cut(),
            Step::NoticeA => world.notice(Side::A),
            Step::NoticeB => world.notice(Side::B),
            Step::Connect(mask, bidi) => {
                let refused = pairs.iter().enumerate();
                let refused = refused.filter(|(n, _)| mask & (1 << n) != 0);
                let refused: Vec<_> = refused.map(|(_, pair)| pair.clone()).collect();
                world.connect(&refused, *bidi);
            }
            Step::CloseA => world.close(Side::A),
            Step::CloseB => world.close(Side::B),
            Step::Wait(seconds) => world.wait(Duration::from_secs((*seconds).into())),
        }
    }
    world.heal();
    world.judge();
    world
}

fn rules(bidi: bool, resumes: bool, proof: Proof) -> Rules {
    Rules {
        bidi,
        resumes,
        proof,
        compression: None,
        fault: Fault::None,
    }
}

/// `PROPTEST_CASES` says how many times; default 256.
fn hold(rules: Rules) -> Result<Counts, TestError<Vec<Step>>> {
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::default()
    });
    let steps = prop::collection::vec(step(rules.bidi), 1..120);
    let counts = std::cell::Cell::new(Counts::default());
    runner.run(&steps, |steps| {
        let world = play(rules, &steps);
        prop_assert!(world.failures.is_empty(), "{:?}", world.failures);
        counts.set(counts.get().plus(world.counts));
        Ok(())
    })?;
    Ok(counts.get())
}

#[test]
fn nothing_is_lost_or_doubled_or_overtaken_one_way() {
    let counts = hold(rules(false, true, Proof::Either)).unwrap();
    assert!(counts.resumed > 0 && counts.failed > 0, "{counts:?}");
}

#[test]
fn nothing_is_lost_or_doubled_or_overtaken_both_ways() {
    for proof in [Proof::Either, Proof::Dialback] {
        let counts = hold(rules(true, true, proof)).unwrap();
        assert!(counts.resumed > 0 && counts.failed > 0, "{counts:?}");
        assert!(counts.again > 0 && counts.unsent > 0, "{counts:?}");
        assert!(counts.conflicts > 0 && counts.drained > 0, "{counts:?}");
    }
}

/// XEP-0138: the stream begins anew before anything is granted, or counted.
#[test]
fn nor_over_streams_that_are_compressed() {
    for (bidi, proof) in [
        (false, Proof::Either),
        (true, Proof::Either),
        (true, Proof::Dialback),
    ] {
        let compressed = Rules {
            compression: Some(Compression::Zlib),
            ..rules(bidi, true, proof)
        };
        let counts = hold(compressed).unwrap();
        assert!(counts.compressed > 0 && counts.resumed > 0, "{counts:?}");
    }
}

#[test]
fn with_a_peer_that_only_acknowledges_all_is_delivered_or_answered() {
    for bidi in [false, true] {
        let counts = hold(rules(bidi, false, Proof::Dialback)).unwrap();
        assert!(counts.returned > 0 && counts.resumed == 0, "{counts:?}");
    }
}

#[test]
fn the_record_notices_what_is_planted() {
    for fault in [Fault::Early, Fault::Skip, Fault::Repeat] {
        let planted = Rules {
            fault,
            ..rules(true, true, Proof::Dialback)
        };
        let found = hold(planted);
        assert!(matches!(found, Err(TestError::Fail(..))), "{fault:?}");
    }
}
