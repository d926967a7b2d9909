//! What queues hold is given back: the budget is whole at the end.

use super::Town;

pub fn check(story: &impl Town) -> Result<(), String> {
    match story.left().budget {
        0 => Ok(()),
        left => Err(format!("{left} bytes are still taken")),
    }
}
