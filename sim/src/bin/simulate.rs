//! Runs many towns: `simulate --seeds 0..500`, `simulate --world reliable --seeds 0..100000`.
#![allow(clippy::disallowed_methods)] // it tells how long it took

use std::collections::BTreeSet;
use std::fmt::Display;
use std::num::NonZero;
use std::ops::Range;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::available_parallelism;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use sim::faults::Fault;
use sim::invariants::{Story, violations};
use sim::{chat, cluster, federation, reliable};

/// Simulates towns, one for each seed, and judges what happened there.
#[derive(Parser)]
struct Options {
    /// What kind of town
    #[arg(long, value_enum, default_value_t)]
    world: Kind,
    /// Which seeds: `0..500`, or one [default: 0..500]
    #[arg(long)]
    seeds: Option<Seeds>,
    /// A fault to plant, to see that it is found
    #[arg(long)]
    fault: Option<Planted>,
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

/// A kind of town.
#[derive(Clone, Copy, Default, ValueEnum)]
enum Kind {
    /// People who chat, and to whom things happen
    #[default]
    Chat,
    /// Devices whose streams are managed, on links that break (XEP-0198)
    Reliable,
    /// Rooms on several servers that are one, and ways between them that are cut (XEP-0289)
    Federation,
    /// Nodes of one domain, between which ways are cut, and that die and are held up
    Cluster,
}

/// A planted fault: what its name means in each world.
#[derive(Clone, Copy)]
struct Planted {
    server: Option<Fault>,
    rooms: Option<federation::Fault>,
    nodes: Option<cluster::Fault>,
}

impl FromStr for Planted {
    type Err = String;

    fn from_str(name: &str) -> Result<Planted, String> {
        let (server, rooms) = (Fault::from_str(name), federation::Fault::from_str(name));
        let nodes = cluster::Fault::from_str(name);
        if let (Err(other), Err(_), Err(_)) = (&server, &rooms, &nodes) {
            return Err(other.clone());
        }
        Ok(Planted {
            server: server.ok(),
            rooms: rooms.ok(),
            nodes: nodes.ok(),
        })
    }
}

impl Options {
    fn server_fault(&self) -> Option<Fault> {
        self.fault.and_then(|fault| fault.server)
    }

    fn federation_fault(&self) -> Option<federation::Fault> {
        self.fault.and_then(|fault| fault.rooms)
    }

    fn cluster_fault(&self) -> Option<cluster::Fault> {
        self.fault.and_then(|fault| fault.nodes)
    }
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
    let all = match (options.sweep, options.world) {
        (false, _) => 500,
        (true, Kind::Chat) => chat::CASES,
        (true, Kind::Reliable) => reliable::CASES,
        (true, Kind::Federation | Kind::Cluster) => 0,
    };
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
        "{} failed; see `simulate {}--seeds {first} --trace`",
        tally.failed.len(),
        match options.world {
            Kind::Chat => "",
            Kind::Reliable => "--world reliable ",
            Kind::Federation => "--world federation ",
            Kind::Cluster => "--world cluster ",
        }
    );
    ExitCode::FAILURE
}

fn judge(seed: u64, options: &Options, tally: &Mutex<Tally>) {
    match (options.world, options.sweep) {
        (Kind::Chat, sweep) => {
            let record = match sweep {
                true => chat::sweep(seed),
                false => chat::simulate(seed, options.server_fault()),
            };
            count(&record, record.received().count(), options, tally);
        }
        (Kind::Federation, _) => {
            let record = federation::simulate(seed, options.federation_fault());
            count(&record, record.messages(), options, tally);
        }
        (Kind::Cluster, _) => {
            let record = cluster::simulate(seed, options.cluster_fault());
            count(&record, record.delivered.len(), options, tally);
        }
        (Kind::Reliable, sweep) => {
            let record = match sweep {
                true => reliable::sweep(seed),
                false => reliable::simulate(seed, options.server_fault()),
            };
            count(&record, record.copies().count(), options, tally);
        }
    }
}

fn count<S: Story + Display>(story: &S, messages: usize, options: &Options, tally: &Mutex<Tally>) {
    let violations = violations(story);
    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    tally.messages += messages;
    if options.trace {
        println!("{story}");
    }
    for violation in violations {
        println!("{violation}");
        tally.failed.insert(story.seed());
    }
}
