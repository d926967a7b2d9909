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
                // Its session or stream went on elsewhere, or it was silent for too long.
                let usual = ["conflict", "connection-timeout"];
                if usual.iter().all(|name| tree.child(name, STREAMS).is_none()) {
                    return Err(format!("d{device} hears {tree}"));
                }
            }
            _ => {}
        }
    }
    Ok(())
}
