//! Every connection ends: the driver has none at the end.

use crate::chat::Record;

pub fn check(record: &Record) -> Result<(), String> {
    match record.left.connections {
        0 => Ok(()),
        left => Err(format!("{left} are left")),
    }
}
