//! No message arrives twice, and none arrives and comes back as well.

use std::collections::BTreeSet;

use crate::chat::Record;

pub fn check(record: &Record) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for (_, message, _) in record.received() {
        if !seen.insert(message) {
            return Err(format!("{message} arrived twice"));
        }
    }
    for (_, message, _) in record.returned() {
        if !seen.insert(message) {
            return Err(format!("{message} came back twice, or arrived and came back"));
        }
    }
    Ok(())
}
