//! In one session, however often it is resumed, nothing arrives twice; and what was delivered
//! to a device in one session is delivered in the next only if it says that it is late, and
//! if the earlier session did not end in good order.
//!
//! XEP-0198 §4: "servers SHOULD add a delay element with the original (failed) delivery
//! timestamp". Who says something again in another session, because nobody told him that it is
//! handled, may be heard twice.

use std::collections::BTreeMap;

use crate::chat::Message;
use crate::reliable::{Record, Said, What};

pub fn check(record: &Record) -> Result<(), String> {
    let said = record.messages();
    let mut copies: BTreeMap<_, usize> = BTreeMap::new();
    let mut last = BTreeMap::new();
    for copy in record.copies() {
        let (device, session) = (copy.event.device, copy.event.session);
        let (message, carbon) = (copy.message, copy.carbon);
        let times = said.get(&message).map_or(0, Vec::len);
        let count = copies
            .entry((device, session, message, carbon))
            .or_default();
        *count += 1;
        if *count > times {
            return Err(format!(
                "{message}, said {times} times, came to d{device} {count} times in session {session}"
            ));
        }
        if carbon {
            continue;
        }
        if let Some((before, at)) = last.insert((device, message), (session, copy.event.at))
            && before != session
            && times == 1
        {
            if !copy.late && !may_wait_elsewhere(record, device, message) {
                return Err(format!(
                    "{message} came to d{device} again, as if it were new"
                ));
            }
            if record
                .closed(device, before)
                .is_some_and(|closed| at < closed)
            {
                return Err(format!(
                    "{message} came to d{device} again, though session {before} had ended well"
                ));
            }
        }
    }
    answers(record)
}

/// Whether another device may have had the message, or a carbon of it, waiting in its session's
/// queue: what that was never sent carries no stamp when it takes another way.
fn may_wait_elsewhere(record: &Record, device: usize, message: Message) -> bool {
    let person = record.plan.person(device);
    let devices = record.plan.devices.iter().enumerate();
    let mut others = devices.filter(|(other, d)| *other != device && d.person == person);
    others.any(|(_, other)| other.carbons || message.to != device)
}

/// What somebody answers is heard no more often than it is said.
fn answers(record: &Record) -> Result<(), String> {
    let mut said: BTreeMap<_, usize> = BTreeMap::new();
    for (_, what) in record.said() {
        if let Said::Answer(who, n) = what {
            *said.entry(format!("q{who}.{n}")).or_default() += 1;
        }
    }
    let mut heard: BTreeMap<_, usize> = BTreeMap::new();
    for event in &record.events {
        let What::Heard(tree) = &event.what else {
            continue;
        };
        if tree.name != "iq" || tree.attr("type") != Some("result") {
            continue;
        }
        let Some(id) = tree.attr("id").filter(|id| said.contains_key(*id)) else {
            continue;
        };
        let count = heard.entry(id.to_owned()).or_default();
        *count += 1;
        if *count > said[id] {
            return Err(format!("the answer to {id} came {count} times"));
        }
    }
    Ok(())
}
