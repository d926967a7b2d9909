//! What is done to the nodes while the clients talk.

use std::time::Duration;

use anyhow::Context as _;
use tokio::time::sleep;

use crate::{cluster::Cluster, run::Crowd, watch::Watch};

/// One kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// None.
    Quiet,
    /// All clients go on at other nodes, three times.
    Hop,
    /// A node is drained by command, stopped and started again.
    Drain,
    /// Each node is stopped, which drains it, and started again.
    Rolling,
    /// The database dies and comes back.
    Store,
    /// Two of three nodes do not reach each other.
    Split,
    /// A node is cut off from the others; its clients stay.
    Cut,
    /// The same, and on both sides clients go to the other one.
    CutHop,
    /// Each node in turn is killed, and started again.
    Kill,
    /// A node is stopped for 20 s, and goes on.
    Freeze,
}

/// How long it took the others to notice, and all to be one again; the longest of several.
#[derive(Debug, Default, Clone, Copy)]
pub struct Times {
    /// From the fault until no other node holds the node to be up.
    pub detect: Option<Duration>,
    /// From the end of the fault until each knows all of each other.
    pub heal: Option<Duration>,
}

/// How long each thing lasts.
#[derive(Debug, Clone, Copy)]
pub struct Lengths {
    /// Between two faults.
    pub talk: Duration,
    /// Cut off.
    pub cut: Duration,
    /// Stopped by a signal.
    pub freeze: Duration,
    /// Dead.
    pub away: Duration,
    /// Only one node, where each has its turn.
    pub one: bool,
}

/// What the nodes may take to notice, or to be one again.
const PATIENCE: Duration = Duration::from_secs(60);
/// The node that a fault is for, where it is for one.
const VICTIM: usize = 2;

impl Scenario {
    /// All of them.
    pub const ALL: [Scenario; 10] = [
        Scenario::Quiet,
        Scenario::Hop,
        Scenario::Drain,
        Scenario::Rolling,
        Scenario::Store,
        Scenario::Split,
        Scenario::Cut,
        Scenario::CutHop,
        Scenario::Kill,
        Scenario::Freeze,
    ];

    /// Whether a fault here fails the run. The others want second copies of sessions, which a server does not have yet.
    pub fn is_asserted(self) -> bool {
        matches!(
            self,
            Scenario::Quiet | Scenario::Hop | Scenario::Drain | Scenario::Rolling
        )
    }

    /// Does it to the nodes.
    pub async fn play(
        self,
        cluster: &mut Cluster,
        watch: &Watch,
        crowd: &Crowd,
        lengths: Lengths,
    ) -> anyhow::Result<Times> {
        let mut times = Times::default();
        let all = if lengths.one { 1 } else { cluster.len() };
        match self {
            Scenario::Quiet => sleep(lengths.talk).await,
            Scenario::Hop => {
                for _ in 0..3 {
                    crowd.hop(|_, _| true);
                    sleep(lengths.talk).await;
                }
            }
            Scenario::Drain => {
                cluster.command(VICTIM, &["cluster", "drain"]).await?;
                sleep(lengths.talk).await;
                cluster.stop(VICTIM).await?;
                cluster.run(VICTIM).await?;
                times.healed(watch).await?;
            }
            Scenario::Rolling => {
                for node in 0..all {
                    cluster.stop(node).await?;
                    cluster.run(node).await?;
                    times.healed(watch).await?;
                    sleep(lengths.talk).await;
                }
            }
            Scenario::Store => {
                cluster
                    .postgres()
                    .context("each node has its own store")?
                    .crash()?;
                sleep(lengths.away).await;
                cluster.postgres().context("it was there")?.run()?;
                times.healed(watch).await?;
            }
            Scenario::Split => {
                cluster.network().apart([0, VICTIM], true)?;
                sleep(lengths.cut).await;
                cluster.network().apart([0, VICTIM], false)?;
                times.healed(watch).await?;
            }
            Scenario::Cut | Scenario::CutHop => {
                cluster.network().alone(VICTIM, true)?;
                times.missed(watch, VICTIM).await?;
                if self == Scenario::CutHop {
                    // A third of those on each side, so that partners are torn apart in all ways.
                    crowd.hop(|index, _| index.is_multiple_of(3));
                }
                sleep(lengths.cut).await;
                cluster.network().alone(VICTIM, false)?;
                times.healed(watch).await?;
            }
            Scenario::Kill => {
                for node in (0..cluster.len()).rev().take(all) {
                    cluster.kill(node).await?;
                    times.missed(watch, node).await?;
                    sleep(lengths.away).await;
                    cluster.run(node).await?;
                    times.healed(watch).await?;
                    sleep(lengths.talk).await;
                }
            }
            Scenario::Freeze => {
                cluster.signal(VICTIM, "STOP").await?;
                let begin = tokio::time::Instant::now();
                let missed = times.missed(watch, VICTIM).await;
                sleep(lengths.freeze.saturating_sub(begin.elapsed())).await;
                cluster.signal(VICTIM, "CONT").await?;
                missed?;
                times.healed(watch).await?;
            }
        }
        sleep(lengths.talk).await;
        Ok(times)
    }
}

impl Times {
    async fn missed(&mut self, watch: &Watch, node: usize) -> anyhow::Result<()> {
        let took = watch.missed(node, PATIENCE).await;
        let took = took.context("the other nodes do not notice")?;
        self.detect = self.detect.max(Some(took));
        Ok(())
    }

    async fn healed(&mut self, watch: &Watch) -> anyhow::Result<()> {
        let took = watch.whole(PATIENCE).await;
        let took = took.context("the nodes do not become one again")?;
        self.heal = self.heal.max(Some(took));
        Ok(())
    }
}
