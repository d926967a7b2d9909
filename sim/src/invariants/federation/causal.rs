//! What somebody says comes after all that they had heard before. Where streams overtake each other nothing of the kind is promised,
//! nor of the history that one is told who enters (it is in the order of the authors' clocks), nor where so little is kept that what was missed comes by another way.

use std::collections::BTreeMap;

use crate::federation::Record;

pub fn check(record: &Record) -> Result<(), String> {
    if record.plan.parallel || record.plan.log.is_some() {
        return Ok(());
    }
    for (who, stay) in record.all_stays() {
        let live = || stay.heard().filter(|(at, _)| *at > stay.since);
        let places = live().enumerate();
        let places: BTreeMap<usize, usize> =
            places.map(|(place, (_, number))| (number, place)).collect();
        for (at, number) in live() {
            let said = &record.said[number];
            let author = &record.stays[said.by][said.stay];
            let known = author.told[..said.after].iter();
            let before = known.filter_map(|(_, told)| match told {
                crate::federation::Told::Message { number, .. } => *number,
                _ => None,
            });
            for earlier in before {
                if places.get(&earlier) > places.get(&number) {
                    let at = at.as_secs_f64();
                    return Err(format!(
                        "{who} is told m{number} at {at:.3} and m{earlier} only then"
                    ));
                }
            }
        }
    }
    Ok(())
}
