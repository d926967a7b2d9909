//! What somebody says comes after all that they had heard before. Where streams overtake each other nothing of the kind is promised,
//! nor of the history that one is told who enters (it is in the order of the authors' clocks), nor where so little is kept that what was missed comes by another way.
//!
//! Two things come late by design. What was lost on a way, and the room that it was for could not know by the time that it heard something later: what comes is
//! shown, and nothing waits for what may never come. And what was said on two sides of a room that has begun anew with nothing: it hears of each side what that one
//! knows, and of neither what the other one had heard.

use std::collections::BTreeMap;
use std::time::Duration;

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
                let late = places.get(&earlier) > places.get(&number);
                if late
                    && !was_missed(record, who, earlier)
                    && !is_of_two_sides(record, who, earlier, number, at)
                {
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

/// Whether a message was lost on its way to somebody's room, and something later has come by the same way before anybody there could know.
fn was_missed(record: &Record, who: usize, number: usize) -> bool {
    let home = |who: usize| record.plan.people[who].room;
    let way = record.plan.way(home(record.said[number].by), home(who));
    way.iter()
        .any(|room| record.missed.contains(&(*room, number)))
}

/// Whether two messages have come from two sides of a room that has begun anew with nothing since the earlier one was said.
fn is_of_two_sides(
    record: &Record,
    who: usize,
    earlier: usize,
    later: usize,
    told: Duration,
) -> bool {
    let home = |who: usize| record.plan.people[who].room;
    let ways =
        [earlier, later].map(|number| record.plan.way(home(who), home(record.said[number].by)));
    let mut restarts = record
        .restarts
        .iter()
        .filter(|(at, _)| !record.plan.kept && (record.said[earlier].at..=told).contains(at));
    restarts.any(|(_, room)| {
        let beyond = |way: &Vec<usize>| {
            let at = way.iter().position(|one| one == room)?;
            Some(way.get(at + 1).copied())
        };
        matches!(ways.each_ref().map(beyond), [Some(one), Some(other)] if one != other)
    })
}
