//! A node that was held up for longer than others wait hears so before anything else.

use crate::cluster::Record;

pub fn check(record: &Record) -> Result<(), String> {
    match record.unwarned.first() {
        Some((at, line)) => Err(format!("at {at:?} it hears first: {line}")),
        None => Ok(()),
    }
}
