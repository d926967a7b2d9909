//! One mishap at one byte, for every byte and every kind of mishap.

use std::time::Duration;

use super::plan::{Deed, Leave, Nature, Person, Plan, Visit};
use super::record::Record;
use crate::link::{Cut, Line, Mishap, Side};

/// How far a visit gets that nothing happens to: bytes up, bytes down.
const REACH: [u64; 2] = [1300, 3000];

/// What can happen, at byte 0.
const KINDS: [Mishap; 7] = [
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
    Mishap::Stall {
        after: 0,
        pause: Some(Duration::from_secs(90)),
    },
    Mishap::Garble { after: 0, flip: 1 },
    Mishap::Garble {
        after: 0,
        flip: 0x80,
    },
];

/// How many cases there are.
pub const CASES: u64 = KINDS.len() as u64 * (REACH[0] + REACH[1]);

/// One of the [`CASES`]: two calm people, and one whom this happens to, and who comes
/// back afterwards.
pub fn sweep(case: u64) -> Record {
    let (byte, kind) = (
        case / KINDS.len() as u64,
        KINDS[(case % KINDS.len() as u64) as usize],
    );
    let (side, after) = match byte.checked_sub(REACH[0]) {
        None => (Side::Client, byte),
        Some(byte) => (Side::Server, byte),
    };
    super::live(case, plan(Some((side, kind.at(after)))), None)
}

fn plan(mishap: Option<(Side, Mishap)>) -> Plan {
    let person = |who: usize, nature, visits| Person {
        name: format!("p{who}"),
        nature,
        visits,
    };
    let mut first = visit(Duration::from_millis(100), Leave::Silently);
    let mut nature = Nature::Troubled;
    if let Some((side, mishap)) = mishap {
        let line = match side {
            Side::Client => &mut first.up,
            Side::Server => &mut first.down,
        };
        line.mishaps.push(mishap);
        if matches!(mishap, Mishap::Garble { .. }) {
            nature = Nature::Garbled;
        }
    }
    let second = visit(Duration::from_secs(10), Leave::Goodbye);
    Plan {
        people: vec![
            person(0, Nature::Calm, vec![visit(Duration::ZERO, Leave::Last)]),
            person(1, Nature::Calm, vec![visit(Duration::ZERO, Leave::Last)]),
            person(2, nature, vec![first, second]),
        ],
    }
}

fn visit(after: Duration, leave: Leave) -> Visit {
    let line = Line {
        latency: Duration::from_millis(10),
        ..Line::perfect()
    };
    let rest = Deed::Rest(Duration::from_millis(50));
    Visit {
        after,
        up: line.clone(),
        down: line,
        reads: Duration::ZERO,
        deeds: vec![
            Deed::Write(0),
            rest,
            Deed::Write(1),
            Deed::Ask,
            Deed::Write(2),
            rest,
            Deed::Write(2),
            rest,
            rest,
        ],
        leave,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::What;

    /// Whether the mishap reached the one whom it was for.
    fn is_felt(side: Side, after: u64) -> bool {
        let cut = KINDS[1].at(after);
        let record = super::super::live(0, plan(Some((side, cut))), None);
        record.events.iter().any(|event| {
            event.who == 2
                && event.visit == 0
                && matches!(event.what, What::Ended(_) | What::Failed(_))
        })
    }

    #[test]
    fn the_sweep_goes_from_the_first_byte_to_the_last() {
        for side in [Side::Client, Side::Server] {
            assert!(is_felt(side, 0));
            assert!(is_felt(side, REACH[side as usize] / 2));
            assert!(!is_felt(side, REACH[side as usize]));
        }
    }
}
