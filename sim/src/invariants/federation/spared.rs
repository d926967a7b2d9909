//! A room that nobody is in is not told anything, and tells nothing (XEP-0289 §1: "no bandwidth"). One that the last has left while it was cut off
//! is asked once whether it is still there: nothing could tell the other.

use crate::federation::Record;

pub fn check(record: &Record) -> Result<(), String> {
    match record.needless.first() {
        None => Ok(()),
        Some((at, line)) => Err(format!("at {:.3} {}", at.as_secs_f64(), line.trim())),
    }
}
