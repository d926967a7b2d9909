//! Runs many towns: `simulate --seeds 0..500`.
#![allow(clippy::disallowed_methods)] // it tells how long it took

use std::collections::BTreeSet;
use std::num::NonZero;
use std::ops::Range;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::available_parallelism;
use std::time::Instant;

use clap::Parser;
use sim::chat;
use sim::faults::Fault;
use sim::invariants::violations;

/// Simulates towns of people who chat, one for each seed, and judges what happened there.
#[derive(Parser)]
struct Options {
    /// Which seeds: `0..500`, or one [default: 0..500]
    #[arg(long)]
    seeds: Option<Seeds>,
    /// A fault to plant, to see that it is found
    #[arg(long)]
    fault: Option<Fault>,
    /// Instead of towns: one mishap at one byte, for every byte and every kind of mishap;
    /// `--seeds` chooses among the cases [default: all]
    #[arg(long, conflicts_with = "fault")]
    sweep: bool,
    /// How many at a time [default: as many as there are processors]
    #[arg(long)]
    jobs: Option<NonZero<usize>>,
    /// Print all that happened
    #[arg(long)]
    trace: bool,
}

#[derive(Clone)]
struct Seeds(Range<u64>);

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Seeds, String> {
        let parse = |text: &str| {
            text.parse::<u64>()
                .map_err(|error| format!("{text}: {error}"))
        };
        match text.split_once("..") {
            Some((first, end)) => Ok(Seeds(parse(first)?..parse(end)?)),
            None => parse(text).map(|seed| Seeds(seed..seed + 1)),
        }
    }
}

/// What became of the seeds, so far.
#[derive(Default)]
struct Tally {
    failed: BTreeSet<u64>,
    messages: usize,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let start = Instant::now();
    let all = if options.sweep { chat::CASES } else { 500 };
    let seeds = options.seeds.clone().map_or(0..all, |Seeds(seeds)| seeds);
    let (next, tally) = (AtomicU64::new(seeds.start), Mutex::new(Tally::default()));
    let jobs = options
        .jobs
        .or_else(|| available_parallelism().ok())
        .map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if !seeds.contains(&seed) {
                        return;
                    }
                    judge(seed, &options, &tally);
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    let count = seeds.end.saturating_sub(seeds.start);
    let took = start.elapsed().as_secs_f64();
    let (speed, messages) = (count as f64 / took, tally.messages);
    println!("{count} seeds in {took:.1} s, {speed:.0} seeds/s, {messages} messages received");
    let Some(first) = tally.failed.first() else {
        return ExitCode::SUCCESS;
    };
    println!(
        "{} failed; see `simulate --seeds {first} --trace`",
        tally.failed.len()
    );
    ExitCode::FAILURE
}

fn judge(seed: u64, options: &Options, tally: &Mutex<Tally>) {
    let record = match options.sweep {
        true => chat::sweep(seed),
        false => chat::simulate(seed, options.fault),
    };
    let violations = violations(&record);
    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    tally.messages += record.received().count();
    if options.trace {
        println!("{record}");
    }
    for violation in violations {
        println!("{violation}");
        tally.failed.insert(seed);
    }
}
