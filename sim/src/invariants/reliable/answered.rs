//! A question that is asked in a session that lasts is answered, and once if the session of
//! the one who is asked lasts as well.
//!
//! RFC 6120 §8.2.3: "an entity that receives an IQ request of type "get" or "set" MUST reply
//! with an IQ response of type "result" or "error"".

use std::time::Duration;

use crate::reliable::{Mode, Record, Said, What};

pub fn check(record: &Record) -> Result<(), String> {
    let plan = &record.plan;
    for (event, said) in record.said() {
        let Said::Question(n, whom) = said else {
            continue;
        };
        let asker = event.device;
        let asked = plan.devices.get(whom);
        if plan.devices[asker].mode == Mode::Plain
            || event.session < record.sessions(asker)
            || asked.is_some_and(|asked| asked.mode == Mode::Plain)
        {
            continue;
        }
        // It may have been asked in an earlier session as well.
        let again = record.said().filter(|(other, what)| {
            other.device == asker && matches!(what, Said::Question(m, _) if *m == n)
        });
        let lasts = asked.is_none() || record.sessions(whom) == 1;
        let most = if lasts && again.count() == 1 {
            1
        } else {
            usize::MAX
        };
        let id = format!("q{asker}.{n}");
        let answers = record.events.iter().filter(|other| {
            let session = (other.device, other.session) == (asker, event.session);
            let What::Heard(tree) = &other.what else {
                return false;
            };
            let kind = matches!(tree.attr("type"), Some("result" | "error"));
            session && kind && tree.name == "iq" && tree.attr("id") == Some(&id)
        });
        let answers = answers.count();
        // Whoever is asked may not have heard it, or may answer when nobody hears him.
        let lost =
            asked.is_some_and(|asked| record.may_be_lost(asked.person, event.at, Duration::MAX));
        if answers == 0 && lost {
            continue;
        }
        if !(1..=most).contains(&answers) {
            return Err(format!("d{asker}'s question {n} has {answers} answers"));
        }
    }
    Ok(())
}
