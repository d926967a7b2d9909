//! The server never counts what was not said, nor backwards, nor complains of a client that
//! counts well.

use crate::reliable::{Record, What};
use crate::xml;

const STREAMS: &str = "urn:ietf:params:xml:ns:xmpp-streams";

pub fn check(record: &Record) -> Result<(), String> {
    for event in &record.events {
        let device = event.device;
        match &event.what {
            What::Lied(why) => return Err(format!("d{device} is told nonsense: {why}")),
            What::Told(tree) if tree.is("error", xml::STREAM) => {
                // Its session or stream went on elsewhere, or it was silent for too long; or the
                // server stops, and this is not a stream that could go on; or it has missed an answer.
                let stops = (!record.plan.restarts.is_empty()).then_some("system-shutdown");
                let misses = record.plan.is_tight().then_some("resource-constraint");
                let usual = ["conflict", "connection-timeout"].into_iter();
                let mut usual = usual.chain(stops).chain(misses);
                if usual.all(|name| tree.child(name, STREAMS).is_none()) {
                    return Err(format!("d{device} hears {tree}"));
                }
            }
            _ => {}
        }
    }
    Ok(())
}
