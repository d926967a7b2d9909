//! The table that a run prints.

use std::time::Duration;

use crate::run::Row;

/// Its first two lines, in Markdown.
pub const HEAD: &str = "| | asserted | acknowledged | lost | twice | out of order | came back | unknown | sessions resumed elsewhere | at the same node | logged in anew | again / late after that | stored till the end | noticed after | one again after | longest without a stream | KiB/s between nodes |\n\
    |---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|";

/// A line of it.
pub fn row(row: &Row, asserted: bool) -> String {
    let (fates, troubles, times) = (&row.fates, &row.troubles, &row.times);
    let asserted = match (asserted, row.holds()) {
        (true, true) => "holds",
        (true, false) => "**broken**",
        (false, _) => "not yet",
    };
    let rate = row.bytes as f64 / 1024.0 / row.lasted.as_secs_f64();
    format!(
        "| {:?} | {asserted} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} / {} | {} | {} | {} | {:.1} s | {rate:.0} |",
        row.scenario,
        fates.acknowledged,
        fates.lost,
        fates.duplicated,
        fates.reordered + fates.foreign,
        fates.returned,
        fates.unknown,
        troubles.resumed_elsewhere,
        troubles.resumed_here,
        troubles.ended,
        fates.again,
        fates.late,
        fates.stored,
        time(times.detect),
        time(times.heal),
        troubles.longest.as_secs_f64(),
    )
}

fn time(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".into(), |time| format!("{:.1} s", time.as_secs_f64()))
}
