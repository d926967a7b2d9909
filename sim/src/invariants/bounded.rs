//! Whoever reads slowly, or not at all, makes the server hold no more than the queue
//! of his session may.

use crate::chat::{QUEUE_BYTES, QUEUE_STANZAS, Record};

pub fn check(record: &Record) -> Result<(), String> {
    let (stanzas, bytes) = record.most_queued;
    if stanzas > QUEUE_STANZAS || bytes > QUEUE_BYTES {
        return Err(format!("{stanzas} stanzas and {bytes} bytes waited"));
    }
    Ok(())
}
