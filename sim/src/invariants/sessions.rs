//! No session outlives its connection: the directory is empty at the end.

use crate::chat::Record;

pub fn check(record: &Record) -> Result<(), String> {
    match record.left.sessions {
        0 => Ok(()),
        left => Err(format!("{left} are left")),
    }
}
