//! What is between rooms reaches no client (XEP-0289 §4: "the fmuc element MUST NOT be sent to clients").

use crate::federation::Record;

pub fn check(record: &Record) -> Result<(), String> {
    match record.leaked.first() {
        None => Ok(()),
        Some((at, stanza)) => Err(format!("at {:.3} {stanza}", at.as_secs_f64())),
    }
}
