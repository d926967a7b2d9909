//! The counter does not lie: a message to somebody of whom no device is there is stored
//! before its sender is told that it is handled.

use crate::reliable::{Proof, Record, Said, What};

pub fn check(record: &Record) -> Result<(), String> {
    let early = record.events.iter().find_map(|event| match event.what {
        What::Acked(Said::Message(message, _), Proof::Missing) => Some((event.device, message)),
        _ => None,
    });
    match early {
        Some((device, message)) => Err(format!(
            "d{device} was told that {message} is handled before it was stored"
        )),
        None => Ok(()),
    }
}
