//! Every connection ends: the driver has none at the end.

use super::Story;

pub fn check(story: &impl Story) -> Result<(), String> {
    match story.left().connections {
        0 => Ok(()),
        left => Err(format!("{left} are left")),
    }
}
