//! Who lives in a town, and what they will do.

use std::time::Duration;

use crate::link::{Cut, Line, Mishap, Pieces};
use crate::rng::Rng;

/// A town.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its people.
    pub people: Vec<Person>,
}

/// Somebody who chats.
#[derive(Clone, Debug)]
pub struct Person {
    /// The name of the account.
    pub name: String,
    /// What kind of person.
    pub nature: Nature,
    /// When he is there, one after another.
    pub visits: Vec<Visit>,
}

/// What kind of person somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// Nothing happens to him.
    Calm,
    /// Nothing happens to him, but he reads slowly.
    Slow,
    /// His connections break.
    Troubled,
    /// Bytes on his connections are changed as well: nobody knows what he says.
    Garbled,
}

/// A connection and what is done with it.
#[derive(Clone, Debug)]
pub struct Visit {
    /// How long he waits before it.
    pub after: Duration,
    /// The line to the server.
    pub up: Line,
    /// The line from the server.
    pub down: Line,
    /// How long it takes him to read a stanza.
    pub reads: Duration,
    /// What he does.
    pub deeds: Vec<Deed>,
    /// How he leaves.
    pub leave: Leave,
}

/// Something somebody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Writes to somebody.
    Write(usize),
    /// Asks the server something.
    Ask,
    /// Does nothing for a while.
    Rest(Duration),
}

/// How somebody leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// When everybody does, in good order.
    Last,
    /// In good order.
    Goodbye,
    /// Closes the connection without a word.
    Silently,
    /// The connection is reset.
    Reset,
    /// Goes where there is no network.
    Away,
}

impl Plan {
    /// A town of four to eight people, three of them calm at least.
    pub fn new(rng: &mut Rng) -> Plan {
        let calm = rng.between(3..=4) as usize;
        let all = calm + rng.between(1..=4) as usize;
        let people = (0..all).map(|who| {
            let nature = match who {
                who if who < calm => Nature::Calm,
                _ => *rng.pick(&[
                    Nature::Slow,
                    Nature::Troubled,
                    Nature::Troubled,
                    Nature::Garbled,
                ]),
            };
            Person::new(who, nature, all, rng)
        });
        Plan {
            people: people.collect(),
        }
    }
}

impl Person {
    /// Somebody in a town of so many.
    pub fn new(who: usize, nature: Nature, of: usize, rng: &mut Rng) -> Person {
        let visits = match nature {
            Nature::Calm | Nature::Slow => vec![Visit::undisturbed(nature, of, rng)],
            Nature::Troubled | Nature::Garbled => (0..rng.between(1..=5))
                .map(|_| Visit::troubled(nature, of, rng))
                .collect(),
        };
        Person {
            name: format!("p{who}"),
            nature,
            visits,
        }
    }

    /// Whether his connection stays from the beginning to the end.
    pub fn is_undisturbed(&self) -> bool {
        matches!(self.nature, Nature::Calm | Nature::Slow)
    }

    /// Whether what he says is what he means, and what he hears what was said.
    pub fn is_clear(&self) -> bool {
        self.nature != Nature::Garbled
    }
}

impl Visit {
    fn undisturbed(nature: Nature, of: usize, rng: &mut Rng) -> Visit {
        let slow = nature == Nature::Slow;
        let mut down = Line::ordinary(rng);
        if slow {
            down.window = 512;
        }
        Visit {
            after: Duration::from_millis(rng.between(0..=2000)),
            up: Line::ordinary(rng),
            down,
            reads: Duration::from_millis(if slow { rng.between(500..=4000) } else { 0 }),
            deeds: deeds(rng.between(10..=40), of, rng),
            leave: Leave::Last,
        }
    }

    fn troubled(nature: Nature, of: usize, rng: &mut Rng) -> Visit {
        let mut visit = Visit {
            after: Duration::from_millis(rng.between(0..=30_000)),
            deeds: deeds(rng.between(0..=20), of, rng),
            leave: *rng.pick(&[
                Leave::Goodbye,
                Leave::Silently,
                Leave::Reset,
                Leave::Away,
                Leave::Away,
            ]),
            ..Visit::undisturbed(nature, of, rng)
        };
        for line in [&mut visit.up, &mut visit.down] {
            let after = rng.between(0..=4000);
            let mishap = match rng.below(8) {
                0 => Mishap::Cut {
                    after,
                    how: Cut::Finish,
                },
                1 => Mishap::Cut {
                    after,
                    how: Cut::Reset,
                },
                2 => Mishap::Cut {
                    after,
                    how: Cut::Vanish,
                },
                3 => Mishap::Stall {
                    after,
                    pause: Some(Duration::from_millis(rng.between(1..=400_000))),
                },
                4 => Mishap::Stall { after, pause: None },
                _ => continue,
            };
            line.mishaps.push(mishap);
        }
        if nature == Nature::Garbled {
            for _ in 0..rng.between(1..=3) {
                let line = if rng.one_in(4) {
                    &mut visit.down
                } else {
                    &mut visit.up
                };
                line.mishaps.push(Mishap::Garble {
                    after: rng.between(0..=4000),
                    flip: 1 << rng.below(8),
                });
            }
        }
        if rng.one_in(4) {
            visit.up.pieces = Pieces::Of(1);
        }
        visit
    }
}

fn deeds(count: u64, of: usize, rng: &mut Rng) -> Vec<Deed> {
    let mut deeds = Vec::new();
    for _ in 0..count {
        deeds.push(match rng.below(10) {
            0 => Deed::Ask,
            _ => Deed::Write(rng.below(of)),
        });
        match rng.below(30) {
            // Long enough for the server to ask whether he is still there.
            0 => deeds.push(Deed::Rest(Duration::from_secs(rng.between(60..=900)))),
            1..=12 => deeds.push(Deed::Rest(Duration::from_millis(rng.between(1..=3000)))),
            _ => {}
        }
    }
    deeds
}
