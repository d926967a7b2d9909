//! Of two nodes that are there in the end, what one has sent the other has come, or was given up.

use std::collections::BTreeSet;

use crate::cluster::Record;

pub fn check(record: &Record) -> Result<(), String> {
    let delivered = record.delivered.iter().map(|(number, ..)| *number);
    let given_up = record.given_up.iter().map(|(number, ..)| *number);
    let known: BTreeSet<u64> = delivered.chain(given_up).collect();
    let lives: BTreeSet<_> = record.views.iter().map(|view| &view.life).collect();
    for (number, sent) in record.sent.iter().enumerate() {
        let both = lives.contains(&sent.from) && lives.contains(&sent.to);
        if both && !known.contains(&(number as u64)) {
            return Err(format!("{number} is lost: {sent:?}"));
        }
    }
    Ok(())
}
