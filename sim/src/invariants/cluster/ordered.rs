//! What one node sends another arrives in that order.

use std::collections::BTreeMap;

use crate::cluster::Record;

pub fn check(record: &Record) -> Result<(), String> {
    let mut last = BTreeMap::new();
    for (number, from, to) in &record.delivered {
        let before = last.insert((from, to), number);
        if let Some(before) = before.filter(|before| *before > number) {
            return Err(format!("{to} gets {number} of {from} after {before}"));
        }
    }
    Ok(())
}
