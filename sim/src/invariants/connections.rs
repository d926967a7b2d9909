//! Every connection ends: the driver has none at the end.

use super::Town;

pub fn check(story: &impl Town) -> Result<(), String> {
    match story.left().connections {
        0 => Ok(()),
        left => Err(format!("{left} are left")),
    }
}
