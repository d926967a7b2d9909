//! All that happened in a world of federated rooms.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::Plan;

/// What is judged.
#[derive(Debug)]
pub struct Record {
    /// The seed of it all.
    pub seed: u64,
    /// What was to happen.
    pub plan: Plan,
    /// What did, for people to read.
    pub trace: Vec<(Duration, String)>,
    /// What was said, in this order.
    pub said: Vec<Said>,
    /// For each person all their stays in the room.
    pub stays: Vec<Vec<Stay>>,
    /// Each stanza between two rooms that one should not have needed to send: neither of them had anybody behind it.
    pub needless: Vec<(Duration, String)>,
    /// What was to be between rooms alone, and was sent to a client.
    pub leaked: Vec<(Duration, String)>,
    /// Each time that there was more of something than there may be.
    pub swollen: Vec<(Duration, String)>,
    /// When the last one left a room and all those below it.
    pub empties: Vec<(Duration, usize)>,
    /// When servers began anew, and whose room it was.
    pub restarts: Vec<(Duration, usize)>,
    /// Messages that were lost on their way to a room, which has heard later ones before it could notice.
    pub missed: BTreeSet<(usize, usize)>,
    /// When all was healed, and quiet: from then on all agree.
    pub quiet: Duration,
    /// What has not come to rest at the very end.
    pub restless: Vec<String>,
    /// The addresses of the people.
    pub people: Vec<String>,
}

/// Something that was said, and that the speaker's room took.
#[derive(Clone, Debug)]
pub struct Said {
    /// By whom.
    pub by: usize,
    /// When.
    pub at: Duration,
    /// In which of their stays.
    pub stay: usize,
    /// How much the speaker had been told in it by then.
    pub after: usize,
}

/// Somebody is in their room.
#[derive(Debug)]
pub struct Stay {
    /// Since when.
    pub since: Duration,
    /// Until when.
    pub until: Option<Duration>,
    /// What they were told, in this order.
    pub told: Vec<(Duration, Told)>,
}

/// What a client in a room is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Somebody is there.
    There {
        /// Under this nick.
        nick: String,
        /// Who.
        jid: String,
        /// In which way.
        show: String,
        /// That is the client itself.
        own: bool,
    },
    /// Somebody is gone, or has another nick.
    Gone {
        /// The nick.
        nick: String,
        /// Why.
        codes: Vec<u16>,
    },
    /// A message.
    Message {
        /// Its number in [`Record::said`]; `None` for one that nobody has said.
        number: Option<usize>,
        /// Under which nick.
        nick: String,
        /// It is of an earlier time.
        late: bool,
    },
    /// The subject.
    Subject(String),
}

/// Whom somebody sees: for each nick who it is, and how they are there.
pub type Roster = BTreeMap<String, (String, String)>;

impl Stay {
    /// Whom one sees who was told this.
    pub fn roster<'a>(told: impl IntoIterator<Item = &'a (Duration, Told)>) -> Roster {
        let mut roster = Roster::new();
        for (_, told) in told {
            match told {
                Told::There {
                    nick, jid, show, ..
                } => {
                    roster.insert(nick.clone(), (jid.clone(), show.clone()));
                }
                Told::Gone { nick, .. } => {
                    roster.remove(nick);
                }
                Told::Message { .. } | Told::Subject(_) => {}
            }
        }
        roster
    }

    /// All whom one has seen who was told this.
    pub fn ever<'a>(
        told: impl Iterator<Item = &'a (Duration, Told)>,
    ) -> impl Iterator<Item = &'a String> {
        told.filter_map(|(_, told)| match told {
            Told::There { jid, .. } => Some(jid),
            _ => None,
        })
    }

    /// The messages, in order: when, and which.
    pub fn heard(&self) -> impl Iterator<Item = (Duration, usize)> {
        self.told.iter().filter_map(|(at, told)| match told {
            Told::Message { number, .. } => Some((*at, (*number)?)),
            _ => None,
        })
    }

    /// Whether somebody is there at that time.
    pub fn covers(&self, at: Duration) -> bool {
        self.since <= at && self.until.is_none_or(|until| until > at)
    }
}

impl Record {
    /// Whether somebody was in a room, or below it, all the time from then on: what was said there had not to wait for the next one who comes.
    pub fn stayed(&self, room: usize, since: Duration) -> bool {
        let mut at = Some(room);
        while let Some(room) = at {
            let emptied = |(when, empty): &(Duration, usize)| {
                *empty == room && (since..self.quiet).contains(when)
            };
            at = self.plan.parents[room];
            if at.is_some() && self.empties.iter().any(emptied) {
                return false;
            }
        }
        true
    }

    /// All stays, with whose they are.
    pub fn all_stays(&self) -> impl Iterator<Item = (usize, &Stay)> {
        let all = self.stays.iter().enumerate();
        all.flat_map(|(who, stays)| stays.iter().map(move |stay| (who, stay)))
    }

    /// How many messages clients were told.
    pub fn messages(&self) -> usize {
        self.all_stays().map(|(_, stay)| stay.heard().count()).sum()
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}", self.seed)?;
        for (room, parent) in self.plan.parents.iter().enumerate() {
            let name = |room: usize| super::name(&self.plan, room);
            let parent = parent.map_or_else(|| "nobody".to_owned(), name);
            writeln!(f, "room {room} is {}, and joins {parent}", name(room))?;
        }
        let plan = &self.plan;
        writeln!(
            f,
            "skews {:?}, latency {} ms, parallel {}, doubled {}, kept {}, log {:?}",
            plan.skews, plan.latency, plan.parallel, plan.doubled, plan.kept, plan.log
        )?;
        for (at, line) in &self.trace {
            writeln!(f, "{:>12.3} {line}", at.as_secs_f64())?;
        }
        Ok(())
    }
}
