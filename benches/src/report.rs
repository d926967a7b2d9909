//! The result of a run, for people or as JSON.

use std::fmt;

use serde::Serialize;

use crate::{latency::Latency, oracle::Tally, outages::Survived, rooms::Crowd};

/// What a run found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The load and its size.
    pub load: String,
    /// Operations in the measured interval.
    pub operations: u64,
    /// The length of the measured interval.
    pub seconds: f64,
    /// CPU seconds of the server in the measured interval, if its process was given.
    pub server_cpu_seconds: Option<f64>,
    /// The same, per million operations.
    pub server_cpu_seconds_per_million: Option<f64>,
    /// CPU seconds of the generator per million operations.
    pub generator_cpu_seconds_per_million: Option<f64>,
    /// How long an operation took.
    pub latency: Option<Latency>,
    /// The oracle's verdict.
    pub oracle: Option<Tally>,
    /// What idle sessions cost.
    pub memory: Option<Memory>,
    /// What the connections went through.
    pub survived: Option<Survived>,
    /// What the rooms were like before anybody spoke.
    pub rooms: Option<Crowd>,
}

/// Resident memory of the server.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Memory {
    /// Sessions open.
    pub sessions: usize,
    /// Sessions that ended while they should have been idle.
    pub ended: usize,
    /// Before the first login.
    pub before_kib: u64,
    /// With all of them open and quiet.
    pub after_kib: u64,
    /// The difference, by session.
    pub kib_per_session: f64,
}

impl Report {
    /// Whether nothing that was owed is missing. Where nothing was resumed, resumption is not shown to work.
    pub fn is_clean(&self) -> bool {
        self.oracle.is_none_or(|tally| tally.is_clean())
            && self.memory.is_none_or(|memory| memory.ended == 0)
            && self
                .survived
                .is_none_or(|survived| survived.resumptions > 0)
            && self.rooms.is_none_or(|crowd| crowd.unknown == 0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.load)?;
        if self.seconds > 0.0 {
            let rate = self.operations as f64 / self.seconds;
            writeln!(
                f,
                "  {} operations in {:.1} s, {rate:.0} a second",
                self.operations, self.seconds
            )?;
        }
        if let (Some(cpu), Some(each)) =
            (self.server_cpu_seconds, self.server_cpu_seconds_per_million)
        {
            writeln!(f, "  server: {cpu:.2} CPU s, {each:.2} per million")?;
        }
        if let Some(each) = self.generator_cpu_seconds_per_million {
            writeln!(f, "  generator: {each:.2} CPU s per million")?;
        }
        if let Some(Latency {
            p50_ms,
            p99_ms,
            max_ms,
        }) = self.latency
        {
            writeln!(
                f,
                "  latency: p50 {p50_ms:.3} ms, p99 {p99_ms:.3} ms, max {max_ms:.3} ms"
            )?;
        }
        if let Some(Memory {
            sessions,
            ended,
            before_kib,
            after_kib,
            kib_per_session,
        }) = self.memory
        {
            writeln!(
                f,
                "  {sessions} sessions, {ended} ended: {before_kib} KiB before, {after_kib} KiB after, {kib_per_session:.1} KiB each"
            )?;
        }
        if let Some(survived) = &self.survived {
            let (cuts, resumptions) = (survived.cuts, survived.resumptions);
            write!(f, "  connections: {cuts}; {resumptions} resumptions")?;
            if let Some(back) = survived.back_after {
                write!(
                    f,
                    ", back after p50 {:.1} ms, p99 {:.1} ms",
                    back.p50_ms, back.p99_ms
                )?;
            }
            writeln!(f)?;
        }
        if let Some(crowd) = &self.rooms {
            writeln!(f, "  rooms: {crowd}")?;
        }
        if let Some(tally) = &self.oracle {
            writeln!(f, "  oracle: {tally}")?;
        }
        Ok(())
    }
}
