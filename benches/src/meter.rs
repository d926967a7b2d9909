//! The phases of a run: warm-up, the measured interval, and the wait for what is still owed.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    time::Duration,
};

use indicatif::ProgressBar;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, interval},
};

use crate::{latency::Histogram, process::ProcessTree, report::Report};

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The load is on, nothing counts yet.
    WarmUp,
    /// What happens now is measured.
    Measured,
    /// Nothing new is sent.
    Draining,
    /// What has not come will not, and what comes twice has.
    Over,
}

/// How long the phases last, and who is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Load before the measured interval.
    pub warm_up: Duration,
    /// The measured interval.
    pub measured: Duration,
    /// Silence after which what is owed counts as lost.
    pub stall: Duration,
    /// The server.
    pub server: Option<ProcessTree>,
    /// Whether to show progress.
    pub progress: bool,
}

/// Shared by the tasks of a run; they live on one thread.
#[derive(Debug, Clone)]
pub struct Meter(Rc<Shared>);

#[derive(Debug)]
struct Shared {
    plan: Plan,
    departed: Cell<u64>,
    operations: Cell<u64>,
    latency: RefCell<Histogram>,
    phase: watch::Sender<Phase>,
    bar: ProgressBar,
}

const TICK: Duration = Duration::from_millis(200);
/// How long to listen for what should not come once everything has.
const LINGER: Duration = Duration::from_millis(500);

impl Meter {
    /// A meter in [`Phase::WarmUp`].
    pub fn new(plan: Plan) -> Meter {
        let bar = match plan.progress {
            true => ProgressBar::new_spinner(),
            false => ProgressBar::hidden(),
        };
        Meter(Rc::new(Shared {
            plan,
            departed: Cell::new(0),
            operations: Cell::new(0),
            latency: RefCell::default(),
            phase: watch::Sender::new(Phase::WarmUp),
            bar,
        }))
    }

    /// This many operations began.
    pub fn departed(&self, count: usize) {
        self.0.departed.set(self.0.departed.get() + count as u64);
    }

    /// One operation was completed, and took this long.
    pub fn completed(&self, took: Duration) {
        self.0.operations.set(self.0.operations.get() + 1);
        if *self.0.phase.borrow() == Phase::Measured {
            self.0.latency.borrow_mut().record(took);
        }
    }

    /// Follows the phases.
    pub fn phases(&self) -> watch::Receiver<Phase> {
        self.0.phase.subscribe()
    }

    /// Shows what is being done before the load begins.
    pub fn show(&self, message: String) {
        self.0.bar.set_message(message);
        self.0.bar.tick();
    }

    /// Runs all phases over `tasks`, which carry the load. A task ends at [`Phase::Over`], or after [`Phase::Draining`] if it owes nothing. Gives the figures of the measured
    /// interval and what the tasks returned.
    pub async fn run<T: 'static>(
        &self,
        load: String,
        mut tasks: JoinSet<io::Result<T>>,
    ) -> io::Result<(Report, Vec<T>)> {
        let plan = &self.0.plan;
        self.watch("warm-up", plan.warm_up, &mut tasks).await?;
        self.0.phase.send_replace(Phase::Measured);
        let before = self.sample()?;
        self.watch("measuring", plan.measured, &mut tasks).await?;
        let after = self.sample()?;
        self.0.phase.send_replace(Phase::Draining);
        let results = self.drain(tasks).await?;
        self.0.bar.finish_and_clear();

        let operations = after.operations - before.operations;
        let per_million = |cpu: Duration| cpu.as_secs_f64() * 1e6 / operations as f64;
        let server = after.server.zip(before.server).map(|(a, b)| a - b);
        let some = operations > 0;
        let report = Report {
            load,
            operations,
            seconds: (after.at - before.at).as_secs_f64(),
            server_cpu_seconds: server.map(|cpu| cpu.as_secs_f64()),
            server_cpu_seconds_per_million: server.filter(|_| some).map(per_million),
            generator_cpu_seconds_per_million: some.then(|| per_million(after.own - before.own)),
            latency: self.0.latency.borrow().summary(),
            ..Report::default()
        };
        Ok((report, results))
    }

    async fn watch<T: 'static>(
        &self,
        what: &str,
        length: Duration,
        tasks: &mut JoinSet<io::Result<T>>,
    ) -> io::Result<()> {
        let end = Instant::now() + length;
        let mut tick = interval(TICK);
        let mut last = (Instant::now(), self.0.operations.get());
        loop {
            tokio::select! {
                _ = tokio::time::sleep_until(end) => return Ok(()),
                now = tick.tick() => {
                    let count = self.0.operations.get();
                    let passed = (now - last.0).as_secs_f64().max(1e-3);
                    let rate = (count - last.1) as f64 / passed;
                    last = (now, count);
                    let left = (end - now).as_secs();
                    self.show(format!("{what}: {left} s left, {count} done, {rate:.0} a second"));
                }
                Some(ended) = tasks.join_next() => {
                    ended.map_err(io::Error::other)??;
                    return Err(io::Error::other("a part of the load ended before its time"));
                }
            }
        }
    }

    async fn drain<T: 'static>(&self, mut tasks: JoinSet<io::Result<T>>) -> io::Result<Vec<T>> {
        let stall = self.0.plan.stall;
        let mut tick = interval(TICK);
        let mut results = Vec::new();
        let mut progress = (Instant::now(), self.0.operations.get());
        loop {
            tokio::select! {
                ended = tasks.join_next() => match ended {
                    Some(ended) => results.push(ended.map_err(io::Error::other)??),
                    None => return Ok(results),
                },
                now = tick.tick() => {
                    let count = self.0.operations.get();
                    let patience = match count >= self.0.departed.get() {
                        true => LINGER,
                        false => stall,
                    };
                    if count != progress.1 {
                        progress = (now, count);
                    } else if now - progress.0 >= patience {
                        self.0.phase.send_if_modified(|phase| {
                            std::mem::replace(phase, Phase::Over) != Phase::Over
                        });
                    }
                    self.show(format!("waiting for {} to finish", tasks.len()));
                }
            }
        }
    }

    fn sample(&self) -> io::Result<Sample> {
        Ok(Sample {
            at: Instant::now(),
            operations: self.0.operations.get(),
            server: self
                .0
                .plan
                .server
                .as_ref()
                .map(ProcessTree::cpu)
                .transpose()?,
            own: ProcessTree::own().cpu()?,
        })
    }
}

struct Sample {
    at: Instant,
    operations: u64,
    server: Option<Duration>,
    own: Duration,
}
