//! Streams that are cut and resumed, one after the other in each worker (XEP-0198 §5).

use std::{io, time::Instant};

use tokio::task::JoinSet;

use crate::{
    login::Target,
    meter::{Meter, Phase},
    report::Report,
};

/// A resumption load.
#[derive(Debug, Clone)]
pub struct Resumptions {
    /// Workers; each has one stream.
    pub workers: usize,
}

impl Resumptions {
    /// Cuts and resumes until the time is over. Latency runs from the first packet to `<resumed/>`, the login included.
    pub async fn run(&self, target: &Target, meter: &Meter) -> io::Result<Report> {
        let target = Target {
            managed: true,
            ..target.clone()
        };
        let mut tasks = JoinSet::new();
        for worker in 0..self.workers {
            tasks.spawn_local(work(target.clone(), worker, meter.clone()));
        }
        let load = format!(
            "resumption, {} workers, {}, {:?}",
            self.workers, target.mechanism, target.security
        );
        Ok(meter.run(load, tasks).await?.0)
    }
}

async fn work(target: Target, index: usize, meter: Meter) -> io::Result<()> {
    let phases = meter.phases();
    let session = target.login(index).await?;
    let id = session.management.as_ref().and_then(|m| m.id());
    let id = id.ok_or_else(|| io::Error::other("the server does not let streams be resumed"))?;
    let id = id.to_owned();
    let mut connection = session.connection;
    while *phases.borrow() < Phase::Draining {
        connection.reset()?;
        let begin = Instant::now();
        let (next, handled) = target.resume(index, &id, 0).await?;
        if handled != Some(0) {
            return Err(io::Error::other(format!("resumed with {handled:?}")));
        }
        meter.completed(begin.elapsed());
        connection = next;
    }
    Ok(())
}
