//! When all is healed and quiet, everybody sees those who are there, and nobody else, and all in the same way: nick, address, and show
//! (but for show where streams overtake each other). They have the same
//! subject, too.

use crate::federation::{Record, Roster, Stay, Told};

pub fn check(record: &Record) -> Result<(), String> {
    let there = |stay: &&Stay| stay.covers(record.quiet);
    let stays = record.all_stays().filter(|(_, stay)| there(stay));
    let stays: Vec<_> = stays.collect();
    let mut expected: Vec<_> = stays.iter().map(|(who, _)| &record.people[*who]).collect();
    expected.sort();
    let mut first: Option<(usize, Roster, Option<String>)> = None;
    for (who, stay) in &stays {
        let told = stay.told.iter().take_while(|(at, _)| *at <= record.quiet);
        let subject = told.clone().fold(None, |before, (_, told)| match told {
            Told::Subject(subject) => Some(subject.clone()),
            _ => before,
        });
        let mut roster = Stay::roster(told);
        if record.plan.parallel {
            // Changes of presence have no order but that of their stream.
            roster.values_mut().for_each(|(_, show)| show.clear());
        }
        let mut seen: Vec<_> = roster.values().map(|(jid, _)| jid).collect();
        seen.sort();
        if seen != expected {
            return Err(format!("{who} sees {roster:?}, and there are {expected:?}"));
        }
        match &first {
            None => first = Some((*who, roster, subject)),
            Some((other, theirs, _)) if *theirs != roster => {
                return Err(format!("{who} sees {roster:?}, and {other} {theirs:?}"));
            }
            Some((other, _, theirs)) if *theirs != subject => {
                return Err(format!(
                    "{who} has the subject {subject:?}, and {other} {theirs:?}"
                ));
            }
            Some(_) => {}
        }
    }
    Ok(())
}
