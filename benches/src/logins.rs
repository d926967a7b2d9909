//! Complete logins, one after the other in each worker: connect, secure, authenticate, bind, close.

use std::{io, time::Instant};

use tokio::task::JoinSet;

use crate::{
    login::{Peer, Target},
    meter::{Meter, Phase},
    report::Report,
};

/// A login load.
#[derive(Debug, Clone)]
pub struct Logins {
    /// Workers.
    pub workers: usize,
    /// Accounts they take turns with, at least one for each worker.
    pub accounts: usize,
}

impl Logins {
    /// Logs in and out until the time is over. Latency runs from the first packet to the bound resource.
    pub async fn run(&self, target: &Target, meter: &Meter) -> io::Result<Report> {
        let mut tasks = JoinSet::new();
        for worker in 0..self.workers {
            let accounts = (worker..self.accounts.max(self.workers)).step_by(self.workers);
            tasks.spawn_local(work(target.clone(), accounts.cycle(), meter.clone()));
        }
        let load = match target.peer {
            Peer::Relay => format!(
                "login, {} workers, relay, {:?}",
                self.workers, target.security
            ),
            Peer::Server => format!(
                "login, {} workers, {}, {:?}",
                self.workers, target.mechanism, target.security
            ),
        };
        Ok(meter.run(load, tasks).await?.0)
    }
}

async fn work(
    target: Target,
    mut accounts: impl Iterator<Item = usize>,
    meter: Meter,
) -> io::Result<()> {
    let phases = meter.phases();
    while *phases.borrow() < Phase::Draining {
        let account = accounts.next().expect("a cycle over at least one account");
        let begin = Instant::now();
        let session = target.login(account).await?;
        let took = begin.elapsed();
        session.close(target.peer).await?;
        meter.completed(took);
    }
    Ok(())
}
