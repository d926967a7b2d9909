//! Nobody is held to be down whom there is a way to, and in the end all that are there are up for each other.

use crate::cluster::Record;

pub fn check(record: &Record) -> Result<(), String> {
    if let Some((at, line)) = record.needless.first() {
        return Err(format!("at {at:?} {line}, and there is a way"));
    }
    for view in &record.views {
        for other in record.views.iter().map(|other| &other.life) {
            if *other != view.life && !view.up.contains(other) {
                return Err(format!("{other} is not up for {}", view.life));
            }
        }
    }
    Ok(())
}
