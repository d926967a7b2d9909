//! No session outlives its connection: the directory is empty at the end.

use super::Story;

pub fn check(story: &impl Story) -> Result<(), String> {
    match story.left().sessions {
        0 => Ok(()),
        left => Err(format!("{left} are left")),
    }
}
