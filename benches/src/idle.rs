//! Sessions that are logged in, available, and quiet: what one costs in memory.

use std::{cell::Cell, io, rc::Rc, time::Duration};

use tokio::{task::JoinSet, time::sleep};

use crate::{
    login::Target,
    meter::Meter,
    process::ProcessTree,
    report::{Memory, Report},
    session::Session,
};

/// An idle load.
#[derive(Debug, Clone)]
pub struct Idle {
    /// Sessions, each of its own account.
    pub sessions: usize,
    /// Quiet time between the last login and the measurement.
    pub settle: Duration,
    /// The server.
    pub server: ProcessTree,
}

impl Idle {
    /// Logs everybody in, waits, and weighs the server.
    pub async fn run(&self, target: &Target, meter: &Meter) -> io::Result<Report> {
        let before = self.server.resident()?;
        let ended = Rc::new(Cell::new(0));
        let mut held = JoinSet::new();
        let each = |_, mut session: Session| {
            session.connection.rest();
            let ended = ended.clone();
            held.spawn_local(async move {
                let _ = hold(session).await;
                ended.set(ended.get() + 1);
            });
        };
        target.enter_each(self.sessions, meter, each).await?;
        meter.show(format!("{} sessions are quiet", self.sessions));
        sleep(self.settle).await;
        let after = self.server.resident()?;
        Ok(Report {
            load: format!("idle, {} sessions, {:?}", self.sessions, target.security),
            memory: Some(Memory {
                sessions: self.sessions,
                ended: ended.get(),
                before_kib: before / 1024,
                after_kib: after / 1024,
                kib_per_session: (after as f64 - before as f64) / 1024.0 / self.sessions as f64,
            }),
            ..Report::default()
        })
    }
}

/// Answers what the server asks, until the stream ends.
async fn hold(mut session: Session) -> io::Result<()> {
    while session.connection.exchange().await? {
        session.handle_unasked()?;
        session.connection.flush().await?;
        session.connection.rest();
    }
    Ok(())
}
