//! Three example servers that are one, what is done to them, and what becomes of the messages of clients that count.

// A measuring tool owns clocks and tasks by its nature; nothing here is a protocol machine.
#![allow(clippy::disallowed_methods)]

mod client;
mod cluster;
mod engine;
mod ledger;
mod network;
mod postgres;
mod run;
mod scenario;
mod table;
mod watch;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use tokio::{runtime, signal, task::LocalSet};

use crate::{
    cluster::{Cluster, Store},
    engine::Kind,
    ledger::Wrong,
    run::Load,
    scenario::{Lengths, Scenario},
};

/// Runs three nodes of one domain in network namespaces, does things to them while clients of XEP-0198 talk through them, and prints
/// what was lost, doubled and out of order.
///
/// Wants root, iproute2, PostgreSQL or nothing (`--store sqlite`), nats-server for `--engine nats`, and an example server with these engines:
/// `cargo build -p example-server --features nats,zenoh`. The exit code is 1 if something that was acknowledged was lost, doubled or out of order in
/// a scenario that is asserted, and 2 if the run failed.
#[derive(Parser)]
struct Options {
    /// The example server.
    #[arg(long, default_value = "target/debug/example-server")]
    server: PathBuf,
    /// What carries bytes between the nodes.
    #[arg(long, default_value = "zenoh")]
    engine: Kind,
    /// What keeps accounts and messages.
    #[arg(long, default_value = "postgres")]
    store: Store,
    /// What is done to the nodes; all by default.
    #[arg(long, value_delimiter = ',')]
    scenario: Vec<Scenario>,
    /// Scenarios that are asserted besides: those that want second copies of sessions are measured only.
    #[arg(long, value_delimiter = ',')]
    assert: Vec<Scenario>,
    /// All scenarios are asserted.
    #[arg(long)]
    assert_all: bool,
    /// Shorter faults, and one node where each would have its turn.
    #[arg(long)]
    short: bool,
    /// Clients; two talk with each other.
    #[arg(long, default_value_t = 24)]
    clients: usize,
    /// Messages a second of each client.
    #[arg(long, default_value_t = 10.0)]
    rate: f64,
    /// Something wrong with the first client's messages, to see that it is found.
    #[arg(long)]
    plant: Option<Wrong>,
    /// Keep logs and data.
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let run = async {
        let options = Options::parse();
        tokio::select! {
            result = execute(options) => result,
            _ = signal::ctrl_c() => anyhow::bail!("ended from outside"),
        }
    };
    let result = runtime.map_err(Into::into);
    match result.and_then(|runtime| LocalSet::new().block_on(&runtime, run)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("proof: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether everything that is asserted holds.
async fn execute(options: Options) -> anyhow::Result<bool> {
    let mut folder = tempfile::Builder::new().prefix("proof-").tempdir()?;
    // PostgreSQL runs as another user.
    std::fs::set_permissions(
        folder.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )?;
    folder.disable_cleanup(options.keep);
    let server = std::path::absolute(&options.server)?;
    let clients = options.clients.next_multiple_of(2);
    let mut cluster = Cluster::start(
        &server,
        folder.path(),
        options.engine,
        options.store,
        clients,
    )
    .await?;
    let watch = watch::Watch::start(
        (0..cluster.len())
            .map(|node| cluster.monitoring(node))
            .collect(),
    );
    let joined = watch.whole(Duration::from_secs(60)).await;
    anyhow::ensure!(joined.is_some(), "the nodes do not become one");
    let load = Load {
        clients,
        pace: Duration::try_from_secs_f64(1.0 / options.rate)?,
        plant: options.plant,
    };
    let seconds = Duration::from_secs;
    let lengths = match options.short {
        true => Lengths {
            talk: seconds(2),
            cut: seconds(4),
            freeze: seconds(8),
            away: seconds(1),
            one: true,
        },
        false => Lengths {
            talk: seconds(5),
            cut: seconds(30),
            freeze: seconds(20),
            away: seconds(5),
            one: false,
        },
    };
    let mut scenarios = options.scenario;
    if scenarios.is_empty() {
        let has_one =
            |scenario: &Scenario| options.store == Store::Postgres || *scenario != Scenario::Store;
        scenarios.extend(Scenario::ALL.into_iter().filter(has_one));
    }
    let mut all = true;
    println!("{}", table::HEAD);
    for scenario in scenarios {
        let row = load.run(scenario, &mut cluster, &watch, lengths).await?;
        let asserted =
            options.assert_all || scenario.is_asserted() || options.assert.contains(&scenario);
        all &= row.holds() || !asserted;
        println!("{}", table::row(&row, asserted));
        for wrong in row.troubles.wrong.iter().take(5) {
            eprintln!("  {wrong}");
        }
        for (index, numbers) in row.lost.iter().take(5) {
            eprintln!("  lost of u{index}: {:?}", &numbers[..numbers.len().min(8)]);
        }
    }
    if options.keep {
        println!("logs and data are in {}", folder.path().display());
    }
    Ok(all)
}
