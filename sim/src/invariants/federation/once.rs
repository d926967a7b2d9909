//! Nobody is told a message twice while they are in the room.

use std::collections::BTreeSet;

use crate::federation::Record;

pub fn check(record: &Record) -> Result<(), String> {
    for (who, stay) in record.all_stays() {
        let mut heard = BTreeSet::new();
        for (at, number) in stay.heard() {
            if !heard.insert(number) {
                let at = at.as_secs_f64();
                return Err(format!("{who} is told m{number} once more at {at:.3}"));
            }
        }
    }
    Ok(())
}
