//! What happened in a town of devices.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::plan::{Device, Mode, Plan, Visit};
use crate::chat::{Left, Message};
use crate::client::Heard;
use crate::xml::{CLIENT, STREAM, Tree};

const DELAY: &str = "urn:xmpp:delay";
const CARBONS: &str = "urn:xmpp:carbons:2";
const FORWARD: &str = "urn:xmpp:forward:0";

/// What happened in a town, and what was left at the end.
#[derive(Clone, Debug)]
pub struct Record {
    /// The seed.
    pub seed: u64,
    /// Who lived there.
    pub plan: Plan,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// What was left.
    pub left: Left,
    /// For whom what is left in the store was kept.
    pub kept: Vec<(usize, Message)>,
    /// Sessions that went on after a restart, or waited to.
    pub restored: usize,
}

/// Something that happened to a device.
#[derive(Clone, Debug)]
pub struct Event {
    /// When.
    pub at: Duration,
    /// To which device.
    pub device: usize,
    /// On which of its visits.
    pub visit: usize,
    /// In which of its sessions: how many times it has bound a resource.
    pub session: u32,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum What {
    /// It is about to bind a resource.
    Binds,
    /// It has bound a resource: a session begins.
    Bound,
    /// The stream of its session is managed.
    Enabled,
    /// It goes on with its session.
    Resumed,
    /// It could not, and was told what of its stanzas had been handled.
    Refused(Option<String>),
    /// It could not log in.
    Failed(String),
    /// It is about to say this.
    Says(Said),
    /// It is told that this is handled.
    Acked(Said, Proof),
    /// It is told nonsense.
    Lied(String),
    /// It heard this stanza.
    Heard(Tree),
    /// It heard this, which is no stanza.
    Told(Tree),
    /// Its connection ended, or the stream before it.
    Ended(Heard),
    /// It is about to leave.
    Leaves,
}

/// A stanza.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Said {
    /// A message; whether nobody was there to get it when it was said first.
    Message(Message, bool),
    /// A question, to whom.
    Question(u32, usize),
    /// The answer to somebody's question.
    Answer(usize, u32),
    /// The first presence of a session.
    Presence,
    /// Anything else.
    Other,
}

/// What could be seen of a message at the moment at which its sender was told that it is
/// handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Its recipient was there, or had been meanwhile: it may be anywhere.
    Anywhere,
    /// Nobody was there to get it, and it is stored.
    Stored,
    /// Nobody was there to get it, and it is not stored.
    Missing,
}

/// A message as a device heard it.
#[derive(Clone, Copy, Debug)]
pub struct Copy<'a> {
    /// When and where.
    pub event: &'a Event,
    /// Which.
    pub message: Message,
    /// Whether it says that it is late.
    pub late: bool,
    /// Whether it is a carbon of what went to, or came from, another device.
    pub carbon: bool,
}

fn same(one: Said, other: Said) -> bool {
    match (one, other) {
        (Said::Message(one, _), Said::Message(other, _)) => one == other,
        _ => one == other,
    }
}

/// The name of a question.
pub(super) fn question(device: usize, n: u32) -> String {
    format!("q{device}.{n}")
}

/// Whose question it is, and which.
pub(super) fn asked(id: &str) -> Option<(usize, u32)> {
    let (device, n) = id.strip_prefix('q')?.split_once('.')?;
    Some((device.parse().ok()?, n.parse().ok()?))
}

impl Plan {
    /// Whose device it is.
    pub fn person(&self, device: usize) -> usize {
        self.devices[device].person
    }

    /// Who gets what is written to this number.
    pub fn recipient(&self, to: usize) -> usize {
        match self.devices.get(to) {
            Some(device) => device.person,
            None => to - self.devices.len(),
        }
    }

    /// Whether all devices of somebody acknowledge.
    pub fn is_careful(&self, person: usize) -> bool {
        let mut devices = self.devices.iter().filter(|device| device.person == person);
        devices.all(|device| device.mode != Mode::Plain)
    }
}

impl Record {
    /// Every message that was heard, as often as it was.
    pub fn copies(&self) -> impl Iterator<Item = Copy<'_>> {
        self.stanzas().filter_map(|(event, tree)| {
            if tree.attr("type") == Some("error") {
                return None;
            }
            if let Some(message) = Message::of(tree) {
                return Some(Copy {
                    event,
                    message,
                    late: tree.child("delay", DELAY).is_some(),
                    carbon: false,
                });
            }
            let mut wrapped = ["sent", "received"].iter();
            let carbon = wrapped.find_map(|name| tree.child(name, CARBONS))?;
            let message = carbon
                .child("forwarded", FORWARD)?
                .child("message", CLIENT)?;
            Some(Copy {
                event,
                message: Message::of(message)?,
                late: true,
                carbon: true,
            })
        })
    }

    /// Messages that came back as errors.
    pub fn returned(&self) -> impl Iterator<Item = Message> {
        let errors = self
            .stanzas()
            .filter(|(_, tree)| tree.attr("type") == Some("error"));
        errors.filter_map(|(_, tree)| Message::of(tree))
    }

    /// Every stanza that was heard.
    pub fn stanzas(&self) -> impl Iterator<Item = (&Event, &Tree)> {
        self.events.iter().filter_map(|event| match &event.what {
            What::Heard(tree) => Some((event, tree)),
            _ => None,
        })
    }

    /// Every stanza that was said, as often as it was said in a new session: one that is said
    /// again in the same session is the same.
    pub fn said(&self) -> impl Iterator<Item = (&Event, Said)> {
        self.events.iter().filter_map(|event| match event.what {
            What::Says(said) => Some((event, said)),
            _ => None,
        })
    }

    /// Every message that was said, with the sessions in which it was.
    pub fn messages(&self) -> BTreeMap<Message, Vec<&Event>> {
        let mut messages: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (event, said) in self.said() {
            if let Said::Message(message, _) = said {
                messages.entry(message).or_default().push(event);
            }
        }
        messages
    }

    /// How many sessions a device had.
    pub fn sessions(&self, device: usize) -> u32 {
        let events = self.events.iter().filter(|event| event.device == device);
        events.map(|event| event.session).max().unwrap_or(0)
    }

    /// When a device told the server what it had received and that its session ends, and heard
    /// that it did. Not if the server ended it with an error meanwhile: then it has not read that.
    pub fn closed(&self, device: usize, session: u32) -> Option<Duration> {
        use crate::xml::Heard::Footer;
        let mut left = None;
        for event in &self.events {
            if (event.device, event.session) != (device, session) {
                continue;
            }
            match event.what {
                What::Leaves => left = Some(event.at),
                What::Resumed => left = None,
                // The server ends it, and what the device said last may never have come.
                What::Told(ref tree) if tree.is("error", STREAM) => left = None,
                What::Ended(Heard::Xml(Footer)) if left.is_some() => return left,
                _ => {}
            }
        }
        None
    }

    /// When a person's devices, one of them or another, were bound and not yet managed, as far
    /// as they know: what is written to such a session is lost with its connection.
    pub fn gaps(&self, person: usize) -> Vec<RangeInclusive<Duration>> {
        let mut since = BTreeMap::new();
        let mut gaps = Vec::new();
        for event in &self.events {
            if self.plan.person(event.device) != person {
                continue;
            }
            match event.what {
                What::Binds => drop(since.entry(event.device).or_insert((event.at, event.visit))),
                What::Enabled => {
                    let (from, visit) = since.remove(&event.device).unwrap_or_default();
                    // Whatever came in between was heard.
                    if visit != event.visit {
                        gaps.push(from..=event.at);
                    }
                }
                _ => {}
            }
        }
        gaps.extend(since.into_values().map(|(from, _)| from..=Duration::MAX));
        gaps
    }

    /// Whether a stanza that was on its way to somebody in this time may have been written to
    /// a session whose stream was not managed.
    pub fn may_be_lost(&self, person: usize, from: Duration, to: Duration) -> bool {
        let gaps = self.gaps(person);
        gaps.iter()
            .any(|gap| from <= *gap.end() && *gap.start() <= to)
    }

    /// When the sender of a stanza knew that it was handled.
    pub fn acked(&self, said: Said) -> Duration {
        let mut acked = self
            .events
            .iter()
            .rev()
            .filter_map(|event| match event.what {
                What::Acked(acked, _) => same(acked, said).then_some(event.at),
                _ => None,
            });
        acked.next().unwrap_or(Duration::MAX)
    }
}

/// For people who look for the reason of a failure.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan {
            store,
            window,
            queue,
            spite,
            hurry,
            ref restarts,
            ..
        } = self.plan;
        writeln!(
            f,
            "store {store:?}, window {window}, queue {queue}, spite {spite}, hurry {hurry}, {restarts:?}"
        )?;
        for (number, device) in self.plan.devices.iter().enumerate() {
            let Device {
                person,
                mode,
                carbons,
                visits,
            } = device;
            writeln!(f, "d{number} of p{person}: {mode:?}, carbons {carbons}")?;
            for (n, visit) in visits.iter().enumerate() {
                let Visit {
                    after,
                    up,
                    down,
                    twice,
                    leave,
                    ..
                } = visit;
                writeln!(
                    f,
                    "  visit {n} after {after:?}: up {up:?}\n    down {down:?}, twice {twice}, leaves {leave:?}"
                )?;
            }
        }
        for event in &self.events {
            let Event {
                at,
                device,
                visit,
                session,
                what,
            } = event;
            write!(
                f,
                "{:>10.3} d{device}/{visit} s{session} ",
                at.as_secs_f64()
            )?;
            match what {
                What::Heard(tree) | What::Told(tree) => {
                    writeln!(f, "hears {:.400}", tree.to_string())
                }
                What::Ended(heard) => writeln!(f, "ends: {heard}"),
                other => writeln!(f, "{other:?}"),
            }?;
        }
        writeln!(f, "{} restored, {:?}", self.restored, self.left)
    }
}
