//! What one device says in one session to another arrives in order in the session that the
//! other has then, however often both are resumed.
//!
//! RFC 6120 §10.1: "the server MUST process the stanzas and other XML elements in order".
//! What was said to another device and comes here when that is gone may come anywhere, and so
//! may what was said in another session or had to be said again.

use std::collections::BTreeMap;

use crate::reliable::{Record, What};

pub fn check(record: &Record) -> Result<(), String> {
    let said = record.messages();
    let mut last = BTreeMap::new();
    let mut bound = BTreeMap::new();
    for event in &record.events {
        if matches!(event.what, What::Enabled) {
            bound.insert((event.device, event.session), event.at);
        }
    }
    for copy in record.copies() {
        let (device, session) = (copy.event.device, copy.event.session);
        let message = copy.message;
        let Some([said]) = said.get(&message).map(Vec::as_slice) else {
            continue;
        };
        let there = bound
            .get(&(device, session))
            .is_some_and(|at| *at < said.at);
        if copy.late || !there || message.to != device {
            continue;
        }
        let stream = (device, session, message.from, said.session);
        let before = last.insert(stream, message.n);
        if let Some(before) = before.filter(|&before| before >= message.n) {
            return Err(format!("{message} came to d{device} after number {before}"));
        }
    }
    Ok(())
}
