//! What happens in a world of federated rooms, and when.

use std::time::Duration;

use crate::rng::Rng;

/// Everything that is decided beforehand.
#[derive(Clone, Debug)]
pub struct Plan {
    /// For each room the one that it joins; a tree.
    pub parents: Vec<Option<usize>>,
    /// The letters that the rooms' names begin with: which of two has the greater name.
    pub letters: Vec<char>,
    /// How wrong the clock of each is, in milliseconds.
    pub skews: Vec<i64>,
    /// Who there is.
    pub people: Vec<Person>,
    /// How long a stanza takes at most, in milliseconds.
    pub latency: u64,
    /// Between two servers there are several streams at once: one overtakes another.
    pub parallel: bool,
    /// Stanzas come twice, now and then.
    pub doubled: bool,
    /// Servers begin anew, now and then.
    pub restarts: bool,
    /// They begin again with what their rooms have stored; else with nothing.
    pub kept: bool,
    /// The most events that are kept for others, if that is less than usual.
    pub log: Option<usize>,
    /// What happens, and how long after the deed before it.
    pub deeds: Vec<(Duration, Deed)>,
}

/// Somebody who talks.
#[derive(Clone, Debug)]
pub struct Person {
    /// The room of their server.
    pub room: usize,
    /// The nick that they like.
    pub nick: String,
    /// Whether they own the room.
    pub owner: bool,
}

/// Something that happens. People and rooms are named by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Somebody enters their room.
    Enter(usize),
    /// Or leaves it.
    Leave(usize),
    /// Somebody says something.
    Say(usize),
    /// Somebody takes another nick, one of so many.
    Rename(usize, usize),
    /// Somebody is away, or is not any more.
    Show(usize),
    /// Somebody changes the subject.
    Subject(usize),
    /// Somebody who may takes somebody else out of the room: one of those that they see.
    Kick(usize, usize),
    /// The way between a room and the one that it joins is gone; each side notices after so many milliseconds.
    Cut(usize, [u64; 2]),
    /// And is there again; each side notices after so many milliseconds.
    Heal(usize, [u64; 2]),
    /// Nothing goes there for so many milliseconds, and nothing is lost.
    Pause(usize, u64),
    /// A server begins anew; those that it is connected with notice after so many milliseconds.
    Restart(usize, u64),
    /// A room says something in the name of somebody who is not behind it.
    Forge(usize, usize),
}

/// The most rooms.
pub const ROOMS: u64 = 6;

/// Nicks that several would like.
pub const NICKS: [&str; 4] = ["Rosencrantz", "Guildenstern", "Yorick", "Osric"];

impl Plan {
    /// One of all that may be.
    pub fn new(rng: &mut Rng) -> Plan {
        let rooms = rng.between(2..=ROOMS) as usize;
        let parents = (0..rooms)
            .map(|room| (room > 0).then(|| rng.below(room)))
            .collect();
        let mut letters: Vec<char> = ('a'..='f').take(rooms).collect();
        for at in (1..rooms).rev() {
            letters.swap(at, rng.below(at + 1));
        }
        let skewed = rng.one_in(3);
        let skews = (0..rooms).map(|_| match skewed {
            true => rng.between(0..=7_200_000) as i64 - 3_600_000,
            false => 0,
        });
        let skews = skews.collect();
        let alike = rng.one_in(2);
        let mut people = Vec::new();
        for room in 0..rooms {
            for of_room in 0..rng.between(1..=2) {
                let nick = match alike && rng.one_in(3) {
                    true => (*rng.pick(&NICKS)).to_owned(),
                    false => format!("Nick{}", people.len()),
                };
                people.push(Person {
                    room,
                    nick,
                    owner: of_room == 0,
                });
            }
        }
        let mut plan = Plan {
            parents,
            letters,
            skews,
            people,
            latency: *rng.pick(&[5, 100, 1000, 8000]),
            parallel: rng.one_in(6),
            doubled: rng.one_in(4),
            restarts: rng.one_in(3),
            kept: false,
            log: rng.one_in(8).then(|| rng.between(3..=12) as usize),
            deeds: Vec::new(),
        };
        let calm = rng.one_in(6);
        for _ in 0..rng.between(10..=70) {
            let pause = match rng.below(10) {
                0..=3 => rng.between(0..=50),
                4..=7 => rng.between(0..=3000),
                8 => rng.between(1000..=60_000),
                _ => rng.between(10_000..=400_000),
            };
            let deed = plan.deed(calm, rng);
            plan.deeds.push((Duration::from_millis(pause), deed));
        }
        plan.kept = plan.restarts && rng.one_in(2);
        plan
    }

    fn deed(&self, calm: bool, rng: &mut Rng) -> Deed {
        let who = rng.below(self.people.len());
        let room = rng.below(self.parents.len());
        let edge = rng.between(1..=self.parents.len() as u64 - 1) as usize;
        let notice = |rng: &mut Rng| match rng.below(4) {
            0 => 0,
            1 => rng.between(0..=500),
            2 => rng.between(0..=5000),
            _ => rng.between(0..=60_000),
        };
        match rng.below(if calm { 60 } else { 100 }) {
            0..=15 => Deed::Enter(who),
            16..=22 => Deed::Leave(who),
            23..=43 => Deed::Say(who),
            44..=47 => Deed::Rename(who, rng.below(NICKS.len())),
            48..=50 => Deed::Show(who),
            51..=53 => Deed::Subject(who),
            54..=56 => Deed::Kick(who, rng.below(16)),
            57..=59 => Deed::Forge(edge, rng.below(self.people.len())),
            60..=77 => Deed::Cut(edge, [notice(rng), notice(rng)]),
            78..=91 => Deed::Heal(edge, [notice(rng), notice(rng)]),
            92..=95 => Deed::Pause(edge, rng.between(100..=90_000)),
            _ if self.restarts => Deed::Restart(room, notice(rng)),
            _ => Deed::Say(who),
        }
    }

    /// The rooms from one to another, both included.
    pub fn way(&self, from: usize, to: usize) -> Vec<usize> {
        let up = |room: usize| std::iter::successors(Some(room), |room| self.parents[*room]);
        let top = up(from).find(|room| up(to).any(|other| other == *room));
        let below = |end: usize| up(end).take_while(move |room| Some(*room) != top);
        let mut way: Vec<usize> = below(from).chain(top).collect();
        let down: Vec<usize> = below(to).collect();
        way.extend(down.into_iter().rev());
        way
    }

    /// The rooms of the tree below one, itself included.
    pub fn below(&self, top: usize) -> impl Iterator<Item = usize> {
        let is_below = move |room: &usize| {
            let mut at = Some(*room);
            while let Some(here) = at {
                if here == top {
                    return true;
                }
                at = self.parents[here];
            }
            false
        };
        (0..self.parents.len()).filter(is_below)
    }
}
