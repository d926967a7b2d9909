//! Runs many towns: `simulate --seeds 0..500`.
#![allow(clippy::disallowed_methods)] // it tells how long it took

use std::ops::Range;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Instant;

use clap::Parser;
use sim::chat;
use sim::faults::Fault;
use sim::invariants::violations;

/// Simulates towns of people who chat, one for each seed, and judges what happened there.
#[derive(Parser)]
struct Options {
    /// Which seeds: `0..500`, or one
    #[arg(long, default_value = "0..500")]
    seeds: Seeds,
    /// A fault to plant, to see that it is found
    #[arg(long)]
    fault: Option<Fault>,
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

fn main() -> ExitCode {
    let options = Options::parse();
    let start = Instant::now();
    let (mut failed, mut messages) = (Vec::new(), 0);
    for seed in options.seeds.0.clone() {
        let record = chat::simulate(seed, options.fault);
        messages += record.received().count();
        if options.trace {
            println!("{record}");
        }
        let violations = violations(&record);
        for violation in &violations {
            println!("{violation}");
        }
        if !violations.is_empty() {
            failed.push(seed);
        }
    }
    let count = options.seeds.0.end - options.seeds.0.start;
    let took = start.elapsed().as_secs_f64();
    let speed = count as f64 / took;
    println!("{count} seeds in {took:.1} s, {speed:.0} seeds/s, {messages} messages received");
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!(
        "{} failed; see `simulate --seeds {} --trace`",
        failed.len(),
        failed[0]
    );
    ExitCode::FAILURE
}
