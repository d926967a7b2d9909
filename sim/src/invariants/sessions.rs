//! No session outlives its connection: the directory is empty at the end.

use super::Town;

pub fn check(story: &impl Town) -> Result<(), String> {
    match story.left().sessions {
        0 => Ok(()),
        left => Err(format!("{left} are left")),
    }
}
