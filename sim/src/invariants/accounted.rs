//! No message that is written to somebody who stays vanishes without a word: it
//! arrives, it comes back, or it is kept for later.
//!
//! RFC 6121 §8.5.3.1 lets a server deliver to a resource or treat it as unavailable;
//! silence is not among the choices for chat messages.

use std::collections::BTreeSet;

use crate::chat::Record;

pub fn check(record: &Record) -> Result<(), String> {
    let arrived = record.received().map(|(_, message, _)| message);
    let returned = record.returned().map(|(_, message, _)| message);
    let kept = record.left.kept.iter().copied();
    let known: BTreeSet<_> = arrived.chain(returned).chain(kept).collect();
    let stays = |who: usize| record.people[who].is_undisturbed();
    let mut due = record.written().filter(|message| stays(message.to));
    match due.find(|message| !known.contains(message)) {
        Some(lost) => Err(format!("{lost} is lost, and nobody was told")),
        None => Ok(()),
    }
}
