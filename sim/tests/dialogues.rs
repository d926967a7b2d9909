//! Every script of `scripts/`, over links that cut the bytes in different ways.
#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use sim::dialogue::{Outcome, Script, Simulated, play};
use sim::link::{Line, Pieces};
use sim::rng::Rng;
use sim::{World, rooms, run};

fn all_play(seeds: std::ops::Range<u64>, line: fn(&mut Rng) -> Line) {
    let scripts = Script::all().expect("the scripts can be read");
    assert!(!scripts.is_empty());
    let mut failures = Vec::new();
    for seed in seeds {
        for script in &scripts {
            let played = run(async {
                let world = World::builder(seed).module(rooms(seed)).build();
                let mut stage = Simulated::new(world, line);
                play(script, &mut stage, seed).await
            });
            match played {
                Ok(outcome) => assert_eq!(outcome, Outcome::Played),
                Err(failure) => failures.push(format!("seed {seed}\n{failure}")),
            }
        }
    }
    let failed = failures.len();
    assert!(failed == 0, "{failed} failed:\n\n{}", failures.join("\n\n"));
}

#[test]
fn scripts_play_over_perfect_links() {
    all_play(0..1, |_| Line::perfect());
}

#[test]
fn scripts_play_over_links_that_cut_at_every_byte() {
    all_play(1..2, |_| Line::perfect().pieces(Pieces::Of(1)));
}

#[test]
fn scripts_play_over_links_that_delay_and_cut_at_random() {
    all_play(2..6, Line::ordinary);
}

#[test]
fn every_script_says_what_it_is_about() {
    for script in Script::all().unwrap() {
        assert!(!script.title.is_empty(), "{}", script.name);
        assert!(!script.steps.is_empty(), "{}", script.name);
    }
}
