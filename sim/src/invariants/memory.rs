//! What queues hold is given back: the budget is whole at the end.

use crate::chat::Record;

pub fn check(record: &Record) -> Result<(), String> {
    match record.left.budget {
        0 => Ok(()),
        left => Err(format!("{left} bytes are still taken")),
    }
}
