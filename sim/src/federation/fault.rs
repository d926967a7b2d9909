//! Planted faults: what a node, or what carries its stanzas, does wrong.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use xmpp_core::stanza::Stanza;

use super::{EMPTY, UNDERWAY, World};

/// Something that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Now and then a message comes twice, and nothing in it tells that it is the same.
    Repeat,
    /// Now and then a message is overtaken by all that is said in more than a minute.
    Overtake,
    /// Of what a room has missed now and then one message is told after the next one.
    Shuffle,
    /// Now and then somebody's leave is lost, and nothing tells that it was there.
    Linger,
    /// Now and then a message is lost, and nothing tells that it was there.
    Drop,
    /// A room that nobody is in is told of messages all the same.
    Chatter,
    /// What is between rooms goes on to clients.
    Leak,
    /// A room's forgeries bear the address of the one that they would have to come from.
    Impersonate,
    /// The end of what one room lacks is told it thousands of times.
    Swell,
    /// A store forgets what it was told last.
    Forget,
}

impl Fault {
    /// All of them, with the invariants that they break.
    pub const ALL: [(Fault, &'static str); 10] = [
        (Fault::Repeat, "once"),
        (Fault::Overtake, "causal"),
        (Fault::Shuffle, "causal"),
        (Fault::Linger, "agreed"),
        (Fault::Drop, "complete"),
        (Fault::Chatter, "spared"),
        (Fault::Leak, "clean"),
        (Fault::Impersonate, "owned"),
        (Fault::Swell, "bounded"),
        (Fault::Forget, "once"),
    ];

    /// How many changes a store forgets.
    pub(super) fn forgotten(fault: Option<Fault>) -> usize {
        match fault {
            Some(Fault::Forget) => 12,
            _ => 0,
        }
    }
}

impl World {
    /// What becomes of a stanza by the fault that is planted.
    pub(super) fn tamper(&mut self, from: usize, to: usize, stanza: Stanza) -> Option<Stanza> {
        let text = stanza.to_string();
        let said = text.contains("<body>");
        match self.fault {
            Some(Fault::Repeat) if said && self.rng.one_in(4) => {
                let copy = without(&text, "<o ", "/>");
                let copy = Stanza::parse(&copy).ok()?;
                self.wires.send(from, to, stanza, self.time, &mut self.rng);
                Some(copy)
            }
            Some(Fault::Overtake) if said && self.rng.one_in(3) => {
                self.wires
                    .delay(from, to, stanza, self.time + Duration::from_secs(100));
                None
            }
            Some(Fault::Shuffle) if said && text.contains("<delay ") => {
                match self.shuffled.take_if(|(way, _)| *way == (from, to)) {
                    Some((_, before)) => {
                        self.wires.send(from, to, stanza, self.time, &mut self.rng);
                        Some(before)
                    }
                    None if self.rng.one_in(2) => {
                        self.shuffled = Some(((from, to), stanza));
                        None
                    }
                    None => Some(stanza),
                }
            }
            Some(Fault::Linger) if self.rng.one_in(3) => {
                Stanza::parse(&without(&text, " type='unavailable", "'")).ok()
            }
            Some(Fault::Drop) if said && self.rng.one_in(3) => {
                Stanza::parse(&without(&text, "<body>", "</body>")).ok()
            }
            Some(Fault::Chatter) if said => {
                for child in 0..self.nodes.len() {
                    let empty = self.empty[child].is_some_and(|since| self.time >= since + EMPTY);
                    if self.record.plan.parents[child] == Some(from) && empty {
                        self.record.needless.push((self.time, text.clone()));
                        self.wires
                            .send(from, child, stanza.clone(), self.time, &mut self.rng);
                    }
                }
                Some(stanza)
            }
            Some(Fault::Swell) if text.contains("<synced ") => {
                for _ in 0..UNDERWAY {
                    self.wires
                        .send(from, to, stanza.clone(), self.time, &mut self.rng);
                }
                Some(stanza)
            }
            _ => Some(stanza),
        }
    }
}

/// A stanza without the first thing that begins and ends like this.
fn without(text: &str, begins: &str, ends: &str) -> String {
    let part = text.find(begins).and_then(|begin| {
        let end = text[begin + begins.len()..].find(ends)?;
        Some((begin, begin + begins.len() + end + ends.len()))
    });
    match part {
        Some((begin, end)) => format!("{}{}", &text[..begin], &text[end..]),
        None => text.to_owned(),
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Fault, String> {
        let mut all = Fault::ALL.iter().map(|(fault, _)| *fault);
        all.find(|fault| fault.to_string() == name)
            .ok_or_else(|| format!("there is no fault {name} here"))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_lowercase())
    }
}
