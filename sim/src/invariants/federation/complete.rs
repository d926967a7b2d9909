//! Who is in the room from before something is said until all is healed has been told it: if they had seen its author by then, and no server has begun anew
//! with nothing since (what one has forgotten then nobody may have), and somebody has stayed in its author's room (else it waits for the next one who enters that), and nobody keeps too little.

use std::time::Duration;

use crate::federation::{Record, Stay, Told};

pub fn check(record: &Record) -> Result<(), String> {
    let last_restart = record.restarts.last().map(|(at, _)| at);
    for (number, said) in record.said.iter().enumerate() {
        let quiet = said.at >= record.quiet;
        let forgotten = last_restart
            .is_some_and(|restart| *restart >= said.at && !record.plan.kept)
            || !record.stayed(record.plan.people[said.by].room, said.at);
        if forgotten || (record.plan.log.is_some() && !quiet) {
            continue;
        }
        for (who, stay) in record.all_stays() {
            let stays = stay.covers(said.at) && stay.until.is_none_or(|until| until > record.quiet);
            if !stays || stay.heard().any(|(_, heard)| heard == number) {
                continue;
            }
            // Whom a moderator of one's own room has kicked is not heard there any more, whether their own room lets them go or not.
            if kicked(stay, &record.people[said.by], said.at) {
                continue;
            }
            let before = stay.told.iter().take_while(|(at, _)| *at <= said.at);
            let mut before = Stay::ever(before);
            if before.any(|jid| *jid == record.people[said.by]) {
                let at = said.at.as_secs_f64();
                return Err(format!("{who} is not told m{number}, said at {at:.3}"));
            }
        }
    }
    Ok(())
}

/// Whether somebody is shown as kicked then, or afterwards: what comes of them from then on is not heard, be it that they had said it before. What their server
/// says of the time is not to be believed.
fn kicked(stay: &Stay, who: &str, at: Duration) -> bool {
    let (mut nick, mut kicked) = (None, false);
    for (when, told) in &stay.told {
        match told {
            Told::There {
                nick: theirs, jid, ..
            } if jid == who => {
                nick = Some(theirs);
                kicked &= *when > at;
            }
            Told::Gone { nick: gone, codes } if nick == Some(gone) => {
                kicked |= codes.contains(&307)
            }
            _ => {}
        }
    }
    kicked
}
