//! In the end all know the same of who is bound where, and nothing of nodes that are not there.

use crate::cluster::Record;

pub fn check(record: &Record) -> Result<(), String> {
    for view in &record.views {
        for (node, known) in &view.slices {
            let owner = record.views.iter().find(|other| other.life.node == *node);
            let truth = owner.map_or(&[][..], |owner| &owner.slices[node]);
            if known != truth {
                return Err(format!(
                    "{} knows of {node} {known:?}, and true is {truth:?}",
                    view.life
                ));
            }
        }
    }
    Ok(())
}
