//! What queues hold is given back: the budget is whole at the end.

use super::Story;

pub fn check(story: &impl Story) -> Result<(), String> {
    match story.left().budget {
        0 => Ok(()),
        left => Err(format!("{left} bytes are still taken")),
    }
}
