//! Who lives in a town of devices, and what they will do.

use std::time::Duration;

use crate::link::{Cut, Line, Mishap, Pieces};
use crate::rng::Rng;

/// More than ever waits for a session.
pub const AMPLE: usize = 1000;

/// A town.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many people there are: accounts.
    pub people: usize,
    /// What they use.
    pub devices: Vec<Device>,
    /// How long the store takes for anything, at most.
    pub store: Duration,
    /// Stanzas that wait to be acknowledged before a client is sent no more.
    pub window: usize,
    /// Stanzas that wait for a session before it is full.
    pub queue: usize,
    /// How often a connection is cut at the very moment at which a sender hears that his
    /// message is handled: once in so many times; 0: never.
    pub spite: u64,
    /// Whether a count waits for a recipient no longer than `Timeouts::settle`. Then what a device
    /// leaves waiting is stored, and goes to whichever device of that person is first to take it.
    pub hurry: bool,
    /// When the server is restarted.
    pub restarts: Vec<Restart>,
}

/// The server stops for its sessions to go on in the next run.
#[derive(Clone, Copy, Debug)]
pub struct Restart {
    /// How long the run lasts.
    pub after: Duration,
    /// How long nobody is there then.
    pub down: Duration,
}

/// A device of somebody.
#[derive(Clone, Debug)]
pub struct Device {
    /// Whose.
    pub person: usize,
    /// How its stream is managed.
    pub mode: Mode,
    /// Whether it wants carbons.
    pub carbons: bool,
    /// Its connections, one after another. The last one is made until it holds, and lasts.
    pub visits: Vec<Visit>,
}

/// How a stream is managed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is not.
    Plain,
    /// Stanzas are acknowledged.
    Acks,
    /// It is resumed within this time.
    Resumes(Duration),
}

/// A connection and what is done with it.
#[derive(Clone, Debug)]
pub struct Visit {
    /// How long the device waits before it.
    pub after: Duration,
    /// The line to the server.
    pub up: Line,
    /// The line from the server.
    pub down: Line,
    /// Whether two connections are made, which try to resume at the same moment.
    pub twice: bool,
    /// What it does.
    pub deeds: Vec<Deed>,
    /// How the connection ends, unless the link ends it.
    pub leave: Leave,
}

/// Something a device does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Writes to a device, by its number, or to a person: his number after all devices.
    Write(usize),
    /// Asks a device something; the server: the number after all devices.
    Ask(usize),
    /// Tells everybody that it is there.
    Show,
    /// Asks what the server has handled.
    Request,
    /// Does nothing for a while.
    Rest(Duration),
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// In good order.
    Goodbye,
    /// Closed without a word.
    Silently,
    /// Reset.
    Reset,
    /// The device goes where there is no network.
    Away,
    /// It stays, and the next one is made nevertheless.
    Stays,
}

impl Plan {
    /// A town of two to four people.
    pub fn new(rng: &mut Rng) -> Plan {
        let people = rng.between(2..=4) as usize;
        let mut kinds = Vec::new();
        for person in 0..people {
            // Two people at least want nothing to be lost.
            let plain = person >= 2 && rng.one_in(3);
            let devices = if plain { 1 } else { rng.between(1..=3) };
            for _ in 0..devices {
                let mode = match plain {
                    true => Mode::Plain,
                    false if rng.one_in(4) => Mode::Acks,
                    false => Mode::Resumes(Duration::from_secs(rng.between(10..=120))),
                };
                kinds.push((person, mode));
            }
        }
        let all = kinds.len();
        let devices = kinds.into_iter().map(|(person, mode)| Device {
            person,
            mode,
            carbons: rng.one_in(2),
            visits: visits(all, people, rng),
        });
        let mut plan = Plan {
            people,
            devices: devices.collect(),
            store: Duration::from_millis(*rng.pick(&[0, 0, 50, 3000, 3000])),
            window: *rng.pick(&[500, 500, 3]),
            queue: AMPLE,
            spite: *rng.pick(&[0, 0, 4, 1]),
            hurry: rng.one_in(2),
            restarts: Vec::new(),
        };
        // Where settlements have no bound a server would not stop.
        if plan.hurry && !rng.one_in(4) {
            plan.restarts = restarts(rng);
        }
        let queue = *rng.pick(&[AMPLE, AMPLE, 8]);
        // A client that does not resume and repeats in one go more than so small a queue has answers for never comes to the end of it: its
        // acknowledgement stands behind what waits, and it begins anew.
        let resume = |device: &Device| device.mode != Mode::Acks;
        plan.queue = match plan.devices.iter().all(resume) {
            true => queue,
            false => AMPLE,
        };
        plan
    }

    /// Whether a session may be full.
    pub fn is_tight(&self) -> bool {
        self.queue < AMPLE
    }
}

fn restarts(rng: &mut Rng) -> Vec<Restart> {
    let count = rng.between(1..=6);
    let restarts = (0..count).map(|_| Restart {
        after: Duration::from_millis(rng.between(0..=120_000)),
        down: Duration::from_millis(match rng.below(3) {
            0 => 0,
            1 => rng.between(0..=5000),
            _ => rng.between(0..=150_000),
        }),
    });
    restarts.collect()
}

fn visits(devices: usize, people: usize, rng: &mut Rng) -> Vec<Visit> {
    // Some come back at once, some rarely, most as it happens.
    let pace = rng.below(4);
    let mut visits: Vec<_> = (0..rng.between(1..=6))
        .map(|_| troubled(pace, devices, people, rng))
        .collect();
    let last = Visit {
        up: Line::ordinary(rng),
        down: Line::ordinary(rng),
        leave: Leave::Goodbye,
        ..troubled(pace, devices, people, rng)
    };
    visits.push(last);
    visits
}

fn troubled(pace: usize, devices: usize, people: usize, rng: &mut Rng) -> Visit {
    let after = match (pace, rng.below(6)) {
        (0, 1..) | (_, 0) => rng.between(0..=20),
        (1, _) | (_, 1) => rng.between(100_000..=400_000),
        (_, 2) => rng.between(8_000..=130_000),
        _ => rng.between(0..=6000),
    };
    let mut visit = Visit {
        after: Duration::from_millis(after),
        up: Line::ordinary(rng),
        down: Line::ordinary(rng),
        twice: rng.one_in(6),
        deeds: deeds(rng.between(0..=14), devices, people, rng),
        leave: *rng.pick(&[
            Leave::Goodbye,
            Leave::Silently,
            Leave::Silently,
            Leave::Reset,
            Leave::Reset,
            Leave::Away,
            Leave::Away,
            Leave::Stays,
        ]),
    };
    for line in [&mut visit.up, &mut visit.down] {
        // Most of what is said before is the login.
        let most = if rng.one_in(4) { 1500 } else { 6000 };
        let after = rng.between(0..=most);
        let mishap = match rng.below(9) {
            0 => cut(after, Cut::Finish),
            1 | 2 => cut(after, Cut::Reset),
            3 => cut(after, Cut::Vanish),
            4 => Mishap::Stall {
                after,
                pause: Some(Duration::from_millis(rng.between(1..=200_000))),
            },
            5 => Mishap::Stall { after, pause: None },
            _ => continue,
        };
        line.mishaps.push(mishap);
    }
    if rng.one_in(4) {
        visit.up.pieces = Pieces::Of(1);
    }
    visit
}

fn cut(after: u64, how: Cut) -> Mishap {
    Mishap::Cut { after, how }
}

fn deeds(count: u64, devices: usize, people: usize, rng: &mut Rng) -> Vec<Deed> {
    let mut deeds = Vec::new();
    for _ in 0..count {
        deeds.push(match rng.below(12) {
            0 => Deed::Ask(rng.below(devices + 1)),
            1 => Deed::Show,
            2..=4 => Deed::Request,
            _ => Deed::Write(rng.below(devices + people)),
        });
        match rng.below(40) {
            // Long enough for a server that asks to lose its patience.
            0 => deeds.push(Deed::Rest(Duration::from_secs(rng.between(20..=100)))),
            1..=16 => deeds.push(Deed::Rest(Duration::from_millis(rng.between(1..=3000)))),
            _ => {}
        }
    }
    deeds
}
