//! Whoever reads slowly, or not at all, makes the server hold no more than the queue
//! of his session may, with the room for answers.

use xmpp_core::mailbox::QueueLimits;

use crate::chat::{QUEUE_BYTES, QUEUE_STANZAS, Record};

pub fn check(record: &Record) -> Result<(), String> {
    let (stanzas, bytes) = record.most_queued;
    let mut limits = QueueLimits::default();
    (limits.stanzas, limits.bytes) = (QUEUE_STANZAS, QUEUE_BYTES);
    let room = limits.answers();
    // The last answer may go beyond; none is larger than a stanza may be.
    let most = limits.bytes + room.bytes + QUEUE_BYTES;
    if stanzas > limits.stanzas + room.stanzas || bytes > most {
        return Err(format!("{stanzas} stanzas and {bytes} bytes waited"));
    }
    Ok(())
}
