//! Messages from one to another arrive in order, as far as they arrive.
//!
//! RFC 6120 §10.1: "the server MUST process the stanzas and other XML elements in
//! order". What was kept for later is a stream of its own: its stamps say when it was
//! written (XEP-0203), and it is in order, too.

use std::collections::BTreeMap;

use crate::chat::Record;

const DELAY: &str = "urn:xmpp:delay";

pub fn check(record: &Record) -> Result<(), String> {
    let mut last = BTreeMap::new();
    for (event, message, stanza) in record.received() {
        let kept = stanza.child("delay", DELAY).is_some();
        let stream = (event.who, event.visit, message.from, kept);
        let before = last.insert(stream, message.n);
        if let Some(before) = before.filter(|&before| before > message.n) {
            return Err(format!("{message} came after number {before}"));
        }
    }
    Ok(())
}
