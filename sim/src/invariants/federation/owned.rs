//! Nobody speaks for another: what comes under a nick was said by the one who has it, and everybody has one nick, and each nick one.

use crate::federation::{Record, Roster, Told};

pub fn check(record: &Record) -> Result<(), String> {
    for (who, stay) in record.all_stays() {
        let mut roster = Roster::new();
        for (at, told) in &stay.told {
            let wrong = wrong(record, &roster, told);
            if let Some(wrong) = wrong {
                return Err(format!("{who} at {:.3}: {wrong}", at.as_secs_f64()));
            }
            match told {
                Told::There {
                    nick, jid, show, ..
                } => {
                    roster.insert(nick.clone(), (jid.clone(), show.clone()));
                }
                Told::Gone { nick, .. } => {
                    roster.remove(nick);
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn wrong(record: &Record, roster: &Roster, told: &Told) -> Option<String> {
    match told {
        Told::There { nick, jid, .. } => {
            let mut others = roster.iter();
            let other = others.find(|(other, (who, _))| (*other == nick) != (who == jid))?;
            Some(format!("{jid} is {nick}, and {other:?} is there"))
        }
        Told::Message {
            number: None, nick, ..
        } => Some(format!("{nick} has not said that")),
        Told::Message {
            number: Some(number),
            nick,
            late: false,
        } => {
            let author = &record.people[record.said.get(*number)?.by];
            let (seen, _) = roster.get(nick)?;
            (seen != author).then(|| format!("m{number} is said by {author}, not {seen}"))
        }
        _ => None,
    }
}
