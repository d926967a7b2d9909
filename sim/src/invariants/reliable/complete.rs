//! To a session that is resumed until the end everything comes that is written to it; or, where
//! what it leaves waiting is stored, to another device of that person, and late.
//!
//! XEP-0198 §5: the server "MUST re-send to the peer any stanzas that are still marked as
//! unhandled".

use std::collections::{BTreeMap, BTreeSet};

use crate::reliable::{Mode, Record, Said, What};

pub fn check(record: &Record) -> Result<(), String> {
    let plan = &record.plan;
    // When each device was known to be available in its last session.
    let mut since = BTreeMap::new();
    for event in &record.events {
        if matches!(event.what, What::Acked(Said::Presence, _))
            && event.session == record.sessions(event.device)
        {
            since.entry(event.device).or_insert(event.at);
        }
    }
    let heard: BTreeSet<_> = record
        .copies()
        .filter(|copy| !copy.carbon)
        .map(|copy| (copy.event.device, copy.event.session, copy.message))
        .collect();
    for (message, said) in record.messages() {
        let to = message.to;
        let Some(since) = since.get(&to) else {
            continue;
        };
        let lasts = matches!(plan.devices[to].mode, Mode::Resumes(_));
        let careful = plan.devices[message.from].mode != Mode::Plain;
        // When it was said last, it was so at the earliest.
        let Some(last) = said.last().filter(|last| last.at > *since) else {
            continue;
        };
        if lasts && careful && !heard.contains(&(to, record.sessions(to), message)) {
            // It may have arrived in an earlier session, from an earlier one.
            let before = said.len() > 1 && heard.iter().any(|(d, _, m)| (*d, *m) == (to, message));
            // Where counts do not wait, or queues are small, it may have been stored for the person.
            let stored = (plan.hurry || plan.is_tight())
                && record.copies().any(|copy| {
                    let person = plan.devices[copy.event.device].person;
                    copy.message == message && copy.late && person == plan.devices[to].person
                });
            if !before && !stored {
                let at = last.at.as_secs_f64();
                return Err(format!("{message}, said at {at:.3}, never reached d{to}"));
            }
        }
    }
    Ok(())
}
