//! No message arrives twice, and none arrives and comes back as well.
//!
//! One exception: what was kept for later (XEP-0160) leaves the store when it has been
//! written to its recipient. If the connection breaks before that, nobody knows whether
//! it arrived, and it is given again: better twice than never.

use std::collections::{BTreeMap, BTreeSet};

use crate::chat::{Record, What};
use crate::client::Heard;
use crate::xml;

const DELAY: &str = "urn:xmpp:delay";

pub fn check(record: &Record) -> Result<(), String> {
    let mut seen = BTreeMap::new();
    for (event, message, stanza) in record.received() {
        let kept = stanza.child("delay", DELAY).is_some();
        let visit = (event.who, event.visit);
        let Some((was_kept, before)) = seen.insert(message, (kept, visit)) else {
            continue;
        };
        let given_again = kept && was_kept && before != visit && !ended_well(record, before);
        if !given_again {
            return Err(format!("{message} arrived twice"));
        }
    }
    let mut returned = BTreeSet::new();
    for (_, message, _) in record.returned() {
        if seen.contains_key(&message) || !returned.insert(message) {
            return Err(format!(
                "{message} came back twice, or arrived and came back"
            ));
        }
    }
    Ok(())
}

/// Whether the server closed the stream in good order.
fn ended_well(record: &Record, visit: (usize, usize)) -> bool {
    record.events.iter().any(|event| {
        let footer = matches!(event.what, What::Ended(Heard::Xml(xml::Heard::Footer)));
        (event.who, event.visit) == visit && footer
    })
}
