//! What happened in a town.

use std::fmt;
use std::time::Duration;

use super::plan::{Person, Visit};
use crate::client::Heard;
use crate::rng::Rng;
use crate::xml::{CLIENT, Tree};

/// What messages are made of: with all that has to be escaped.
const WORDS: [&str; 7] = [
    " love", " <night>", " & day", " 'tis", " 🌹", " \"oh\"", " ]]>",
];
/// What everybody binds.
pub(super) const RESOURCE: &str = "home";

/// What happened in a town, and what was left at the end.
#[derive(Clone, Debug)]
pub struct Record {
    /// The seed.
    pub seed: u64,
    /// The server's domain.
    pub domain: String,
    /// Who lived there.
    pub people: Vec<Person>,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// The most stanzas, and the most bytes, that were seen waiting for one session.
    pub most_queued: (usize, usize),
    /// What was left.
    pub left: Left,
}

/// Something that happened to somebody.
#[derive(Clone, Debug)]
pub struct Event {
    /// When.
    pub at: Duration,
    /// To whom.
    pub who: usize,
    /// On which of his visits.
    pub visit: usize,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum What {
    /// He logged in and bound his resource.
    Bound,
    /// He could not.
    Failed(String),
    /// He is about to say this.
    Wrote(Message),
    /// He is about to ask this.
    Asked(u32),
    /// He heard this stanza.
    Heard(Tree),
    /// His connection ended, or the stream before it.
    Ended(Heard),
    /// He is about to leave.
    Leaves,
}

/// A message by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Message {
    /// Who wrote it.
    pub from: usize,
    /// To whom.
    pub to: usize,
    /// The how manieth from him to her, from 0.
    pub n: u32,
}

/// What was left when everybody had gone.
#[derive(Clone, Debug, Default)]
pub struct Left {
    /// Resources in the directory.
    pub sessions: usize,
    /// Bytes that queues hold.
    pub budget: usize,
    /// Connections of the driver.
    pub connections: usize,
    /// Messages in the offline store.
    pub kept: Vec<Message>,
}

impl Message {
    /// What a stanza is, if it is a message of ours or came back as an error.
    pub fn of(stanza: &Tree) -> Option<Message> {
        if !stanza.is("message", CLIENT) {
            return None;
        }
        let mut numbers = stanza.attr("id")?.strip_prefix('m')?.split('.');
        let message = Message {
            from: numbers.next()?.parse().ok()?,
            to: numbers.next()?.parse().ok()?,
            n: numbers.next()?.parse().ok()?,
        };
        numbers.next().is_none().then_some(message)
    }

    /// What it says: nobody else says it, and it needs escaping.
    pub fn body(&self) -> String {
        let mut rng =
            Rng::new((self.from as u64) << 40 | (self.to as u64) << 32 | u64::from(self.n));
        let words = rng.between(0..=120);
        let mut body = self.to_string();
        for _ in 0..words {
            body += *rng.pick(&WORDS);
        }
        body
    }
}

/// Its id.
impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m{}.{}.{}", self.from, self.to, self.n)
    }
}

impl Record {
    /// Somebody's full JID.
    pub fn jid(&self, who: usize) -> String {
        let name = self.people.get(who).map_or("nobody", |person| &person.name);
        format!("{name}@{}/{RESOURCE}", self.domain)
    }

    /// Stanzas that were heard by those whose connections change nothing.
    pub fn heard(&self) -> impl Iterator<Item = (&Event, &Tree)> {
        self.events.iter().filter_map(|event| match &event.what {
            What::Heard(tree) if self.people[event.who].is_clear() => Some((event, tree)),
            _ => None,
        })
    }

    /// Messages of people whose connections change nothing, as they were received
    /// by others of this kind.
    pub fn received(&self) -> impl Iterator<Item = (&Event, Message, &Tree)> {
        self.messages()
            .filter(|(_, _, tree)| tree.attr("type") != Some("error"))
    }

    /// Such messages that came back to their senders.
    pub fn returned(&self) -> impl Iterator<Item = (&Event, Message, &Tree)> {
        self.messages()
            .filter(|(_, _, tree)| tree.attr("type") == Some("error"))
    }

    fn messages(&self) -> impl Iterator<Item = (&Event, Message, &Tree)> {
        self.heard().filter_map(|(event, tree)| {
            let message = Message::of(tree)?;
            let sender = self.people.get(message.from)?;
            sender.is_clear().then_some((event, message, tree))
        })
    }

    /// Messages that were written by people who met no trouble.
    pub fn written(&self) -> impl Iterator<Item = Message> {
        self.events.iter().filter_map(|event| match event.what {
            What::Wrote(message) if self.people[event.who].is_undisturbed() => Some(message),
            _ => None,
        })
    }

    /// When everybody who was still there left; the end if nobody was.
    pub fn curtain(&self) -> Duration {
        let mut ends = self.events.iter().filter(|event| {
            matches!(event.what, What::Leaves) && self.people[event.who].is_undisturbed()
        });
        ends.next().map_or(Duration::MAX, |event| event.at)
    }
}

/// For people who look for the reason of a failure.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (who, person) in self.people.iter().enumerate() {
            writeln!(f, "{who}: {} {:?}", person.name, person.nature)?;
            for (
                visit,
                Visit {
                    up, down, leave, ..
                },
            ) in person.visits.iter().enumerate()
            {
                writeln!(
                    f,
                    "  visit {visit}: up {up:?}\n    down {down:?}, leaves {leave:?}"
                )?;
            }
        }
        for Event {
            at,
            who,
            visit,
            what,
        } in &self.events
        {
            write!(f, "{:>10.3} p{who}/{visit} ", at.as_secs_f64())?;
            match what {
                What::Wrote(message) => writeln!(f, "writes {message}"),
                What::Heard(tree) => writeln!(f, "hears {:.300}", tree.to_string()),
                What::Ended(heard) => writeln!(f, "ends: {heard}"),
                other => writeln!(f, "{other:?}"),
            }?;
        }
        writeln!(f, "{:?}, most queued {:?}", self.left, self.most_queued)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_known_by_its_id() {
        let message = Message {
            from: 1,
            to: 22,
            n: 3,
        };
        let stanza = format!("<message id='{message}'/>");
        assert_eq!(Message::of(&Tree::parse(&stanza).unwrap()), Some(message));
        for other in [
            "<iq id='m1.2.3'/>",
            "<message id='m1.2'/>",
            "<message id='m1.2.3.4'/>",
        ] {
            assert_eq!(Message::of(&Tree::parse(other).unwrap()), None, "{other}");
        }
    }
}
