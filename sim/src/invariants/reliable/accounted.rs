//! Nothing vanishes without a word: a message that somebody with a managed stream has said,
//! and says again until he is told that it is handled, in the end has been heard by one of
//! its recipient's devices, or is stored for them, or has come back.
//!
//! XEP-0198 §4: "By 'handled' we mean that the server has accepted responsibility for a
//! stanza". A recipient who does not acknowledge may lose what was written to his connection.

use std::collections::BTreeSet;

use crate::reliable::{Mode, Record, Said, What};

pub fn check(record: &Record) -> Result<(), String> {
    let plan = &record.plan;
    let heard = record
        .copies()
        .map(|copy| (plan.person(copy.event.device), copy.message));
    let known: BTreeSet<_> = heard.chain(record.kept.iter().copied()).collect();
    let returned: BTreeSet<_> = record.returned().collect();
    for (message, said) in record.messages() {
        let recipient = plan.recipient(message.to);
        if plan.devices[message.from].mode == Mode::Plain
            || !plan.is_careful(recipient)
            || known.contains(&(recipient, message))
            || returned.contains(&message)
        {
            continue;
        }
        let from = said[0].at;
        if record.may_be_lost(recipient, from, record.acked(Said::Message(message, false))) {
            continue;
        }
        let acked = record.events.iter().any(|event| {
            matches!(event.what, What::Acked(Said::Message(acked, _), _) if acked == message)
        });
        let how = if acked {
            "acknowledged and"
        } else {
            "not acknowledged, but"
        };
        return Err(format!("{message} was {how} lost without a word"));
    }
    Ok(())
}
