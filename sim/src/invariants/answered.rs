//! Every question of somebody whom nothing happens to is answered, once.
//!
//! RFC 6120 §8.2.3: "an entity that receives an IQ request of type "get" or "set" MUST
//! reply with an IQ response of type "result" or "error"".

use crate::chat::{Record, What};

pub fn check(record: &Record) -> Result<(), String> {
    for event in &record.events {
        let What::Asked(n) = event.what else { continue };
        if !record.people[event.who].is_undisturbed() {
            continue;
        }
        let id = format!("q{n}");
        let answers = record.heard().filter(|(other, stanza)| {
            other.who == event.who && stanza.name == "iq" && stanza.attr("id") == Some(&id)
        });
        let answers = answers.count();
        if answers != 1 {
            return Err(format!(
                "p{}'s question {n} has {answers} answers",
                event.who
            ));
        }
    }
    Ok(())
}
