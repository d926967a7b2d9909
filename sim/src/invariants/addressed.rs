//! Everything that is heard comes from whom it says, and is for the one who hears it.
//!
//! RFC 6120 §8.1.2.1: "the server MUST … validate that the value of the 'from'
//! attribute … matches" or stamp it with the full JID.

use crate::chat::{Message, Record};

pub fn check(record: &Record) -> Result<(), String> {
    let everybody: Vec<String> = (0..record.people.len())
        .map(|who| record.jid(who))
        .collect();
    for (event, stanza) in record.heard() {
        let own = &everybody[event.who];
        let from = stanza.attr("from").unwrap_or(own);
        let known = everybody.iter().any(|jid| jid == from || bare(jid) == from);
        if !known && from != record.domain {
            return Err(format!("p{} hears {from}, who is nobody", event.who));
        }
        let to = stanza.attr("to").unwrap_or(own);
        if to != own && to != bare(own) {
            return Err(format!("p{} hears what is for {to}", event.who));
        }
        let Some(message) = Message::of(stanza) else {
            continue;
        };
        let returned = stanza.attr("type") == Some("error");
        let (writer, reader) = match returned {
            false => (message.from, message.to),
            true => (message.to, message.from),
        };
        // One who is garbled says what he does not mean.
        let clear = |who: usize| {
            record
                .people
                .get(who)
                .is_some_and(|person| person.is_clear())
        };
        if clear(message.from)
            && clear(writer)
            && (from != everybody[writer] || event.who != reader)
        {
            return Err(format!("p{} hears {message} from {from}", event.who));
        }
    }
    Ok(())
}

fn bare(jid: &str) -> &str {
    jid.split_once('/').map_or(jid, |(bare, _)| bare)
}
