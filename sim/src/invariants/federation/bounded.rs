//! Nothing grows without bound, and in the end all comes to rest.

use crate::federation::Record;

pub fn check(record: &Record) -> Result<(), String> {
    if let Some((at, what)) = record.swollen.first() {
        return Err(format!("at {:.3} too many {what}", at.as_secs_f64()));
    }
    match record.restless.first() {
        None => Ok(()),
        Some(left) => Err(format!("at the end {left}")),
    }
}
