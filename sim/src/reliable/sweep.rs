//! One cut at one byte, for every byte of every kind of exchange.

use std::time::Duration;

use super::plan::{AMPLE, Deed, Device, Leave, Mode, Plan, Visit};
use super::record::Record;
use crate::link::{Cut, Line, Mishap, Side};

/// How far each of the two connections gets that nothing happens to: bytes up, bytes down.
const REACH: [[u64; 2]; 2] = [[2000, 4600], [1700, 3600]];

/// What can happen, at byte 0.
const KINDS: [Mishap; 4] = [
    Mishap::Cut {
        after: 0,
        how: Cut::Finish,
    },
    Mishap::Cut {
        after: 0,
        how: Cut::Reset,
    },
    Mishap::Cut {
        after: 0,
        how: Cut::Vanish,
    },
    Mishap::Stall {
        after: 0,
        pause: None,
    },
];

/// When the cut device comes back: in time, or too late.
const BACK: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(400)];
/// How long its session waits for it.
const MAX: Duration = Duration::from_secs(60);

/// How many cases there are.
pub const CASES: u64 = (REACH[0][0] + REACH[0][1] + REACH[1][0] + REACH[1][1])
    * KINDS.len() as u64
    * BACK.len() as u64;

/// One of the [`CASES`]: the device of somebody who has two gets and sends a thing of every
/// kind, and this happens to its first connection, or to the second, which resumes.
pub fn sweep(case: u64) -> Record {
    let back = BACK[(case % 2) as usize];
    let kind = KINDS[(case / 2 % KINDS.len() as u64) as usize];
    let (visit, side, byte) = place(case / 2 / KINDS.len() as u64);
    super::live(case, plan(visit, side, kind.at(byte), back), None)
}

/// On which connection, in which direction and after how many bytes.
fn place(mut byte: u64) -> (usize, Side, u64) {
    for (visit, reach) in REACH.iter().enumerate() {
        for (side, reach) in [Side::Client, Side::Server].into_iter().zip(reach) {
            match byte.checked_sub(*reach) {
                Some(rest) => byte = rest,
                None => return (visit, side, byte),
            }
        }
    }
    // Behind the last of the cases.
    (REACH.len() - 1, Side::Server, byte)
}

fn plan(visit: usize, side: Side, mishap: Mishap, back: Duration) -> Plan {
    let secs = Duration::from_secs;
    let ms = Duration::from_millis;
    let device = |person, visits| Device {
        person,
        mode: Mode::Resumes(MAX),
        carbons: true,
        visits,
    };
    // Juliet writes before anybody else is there, and goes on when they are.
    let juliet = self::visit(
        Duration::ZERO,
        vec![
            Deed::Write(4),
            Deed::Write(4),
            Deed::Request,
            Deed::Rest(secs(2)),
            Deed::Write(1),
            Deed::Ask(1),
            Deed::Write(2),
            Deed::Write(4),
            Deed::Request,
            Deed::Rest(secs(5)),
            Deed::Write(1),
            Deed::Write(4),
            Deed::Request,
        ],
    );
    let mut first = self::visit(
        secs(1),
        vec![
            Deed::Rest(ms(300)),
            Deed::Write(0),
            Deed::Ask(0),
            Deed::Request,
            Deed::Show,
            Deed::Rest(ms(700)),
            Deed::Write(0),
            Deed::Ask(3),
            Deed::Rest(ms(500)),
        ],
    );
    first.leave = Leave::Reset;
    let mut second = self::visit(
        if visit == 0 { back } else { secs(4) },
        vec![
            Deed::Write(0),
            Deed::Request,
            Deed::Rest(secs(1)),
            Deed::Write(0),
            Deed::Rest(secs(1)),
        ],
    );
    second.leave = Leave::Reset;
    let third = self::visit(if visit == 1 { back } else { secs(1) }, Vec::new());
    let mut cut = vec![first, second, third];
    let line = match side {
        Side::Client => &mut cut[visit].up,
        Side::Server => &mut cut[visit].down,
    };
    line.mishaps.push(mishap);
    let other = self::visit(
        ms(1200),
        vec![
            Deed::Rest(ms(600)),
            Deed::Write(0),
            Deed::Show,
            Deed::Rest(secs(5)),
            Deed::Write(0),
        ],
    );
    Plan {
        people: 2,
        devices: vec![
            device(0, vec![juliet]),
            device(1, cut),
            device(1, vec![other]),
        ],
        store: ms(20),
        window: 500,
        queue: AMPLE,
        spite: 0,
        hurry: false,
        restarts: Vec::new(),
    }
}

fn visit(after: Duration, deeds: Vec<Deed>) -> Visit {
    let line = Line {
        latency: Duration::from_millis(10),
        ..Line::perfect()
    };
    Visit {
        after,
        up: line.clone(),
        down: line,
        twice: false,
        deeds,
        leave: Leave::Goodbye,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reliable::What;

    /// Whether the mishap reached the one whom it was for, before his connection was reset.
    fn is_felt(visit: usize, side: Side, after: u64) -> bool {
        let plan = plan(visit, side, KINDS[1].at(after), BACK[0]);
        let record = super::super::live(0, plan, None);
        let mut events = record
            .events
            .iter()
            .filter(|event| event.device == 1 && event.visit == visit);
        !events.any(|event| matches!(event.what, What::Leaves))
    }

    #[test]
    fn the_sweep_goes_from_the_first_byte_to_the_last() {
        for (visit, reach) in REACH.iter().enumerate() {
            for (side, reach) in [Side::Client, Side::Server].into_iter().zip(reach) {
                assert!(is_felt(visit, side, 0), "{visit} {side:?}");
                assert!(is_felt(visit, side, reach / 2), "{visit} {side:?}");
                assert!(!is_felt(visit, side, *reach), "{visit} {side:?}");
            }
        }
    }
}
