//! What happens to others disturbs nobody: who meets no trouble logs in once, and
//! stays until the end.

use crate::chat::{Record, What};
use crate::client::Heard;
use crate::xml;

pub fn check(record: &Record) -> Result<(), String> {
    let curtain = record.curtain();
    for (who, _) in record
        .people
        .iter()
        .enumerate()
        .filter(|(_, p)| p.is_undisturbed())
    {
        let mut logins = 0;
        for event in record.events.iter().filter(|event| event.who == who) {
            match &event.what {
                What::Bound => logins += 1,
                What::Failed(why) => return Err(format!("p{who} could not log in: {why}")),
                What::Heard(tree) if tree.is("error", xml::STREAM) => {
                    return Err(format!("p{who} hears {tree}"));
                }
                What::Ended(Heard::Xml(xml::Heard::Footer) | Heard::End) if event.at >= curtain => {
                }
                What::Ended(how) => return Err(format!("p{who}'s connection ends: {how}")),
                _ => {}
            }
        }
        if logins != 1 {
            return Err(format!("p{who} logged in {logins} times"));
        }
    }
    Ok(())
}
