//! Between two people whom nothing happens to, every message arrives that is written
//! when both are there.

use std::collections::BTreeSet;

use crate::chat::{Nature, Record, What};

pub fn check(record: &Record) -> Result<(), String> {
    let received: BTreeSet<_> = record.received().map(|(_, message, _)| message).collect();
    let mut there = BTreeSet::new();
    for event in &record.events {
        if record.people[event.who].nature != Nature::Calm {
            continue;
        }
        match event.what {
            What::Bound => drop(there.insert(event.who)),
            What::Wrote(message) if there.contains(&message.to) && !received.contains(&message) => {
                return Err(format!("{message} never arrived"));
            }
            _ => {}
        }
    }
    Ok(())
}
