//! A message arrives as it was written.
//!
//! RFC 6120 §8.4: a server "MUST ignore" payloads that it does not understand, which
//! for what it relays means to leave them alone.

use crate::chat::Record;
use crate::xml::CLIENT;

pub fn check(record: &Record) -> Result<(), String> {
    for (_, message, stanza) in record.received() {
        let body = stanza.child("body", CLIENT).map(|body| body.text());
        if body.as_deref() != Some(&message.body()) {
            return Err(format!("{message} says {body:?}"));
        }
        if stanza.attr("type") != Some("chat") {
            return Err(format!("{message} is of another type"));
        }
    }
    Ok(())
}
