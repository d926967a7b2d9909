//! A parcel is delivered once at most, from whom has sent it and to the life that it was for.

use std::collections::BTreeSet;

use crate::cluster::Record;

pub fn check(record: &Record) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for (number, from, to) in &record.delivered {
        if !seen.insert(number) {
            return Err(format!("{to} gets {number} of {from} twice"));
        }
        let sent = usize::try_from(*number).ok();
        let sent = sent.and_then(|number| record.sent.get(number));
        if !sent.is_some_and(|sent| sent.from == *from && sent.to == *to) {
            return Err(format!("{to} gets {number} of {from}, which was {sent:?}"));
        }
    }
    Ok(())
}
