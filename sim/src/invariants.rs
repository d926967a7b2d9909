//! What has to hold in every town, whatever happens there. One invariant a file; each
//! has a [planted fault](crate::faults) that breaks it.

mod accounted;
mod addressed;
mod answered;
mod bounded;
mod complete;
mod connections;
mod isolated;
mod memory;
mod once;
mod ordered;
mod sessions;
mod untouched;

use std::fmt;

use crate::chat::Record;

/// Something that has to hold.
#[derive(Clone, Copy)]
pub struct Invariant {
    /// Its name, which is that of its file.
    pub name: &'static str,
    /// Whether it holds, and if not, where it is broken first.
    pub check: fn(&Record) -> Result<(), String>,
}

/// All of them.
pub const ALL: [Invariant; 12] = [
    of("accounted", accounted::check),
    of("addressed", addressed::check),
    of("answered", answered::check),
    of("bounded", bounded::check),
    of("complete", complete::check),
    of("connections", connections::check),
    of("isolated", isolated::check),
    of("memory", memory::check),
    of("once", once::check),
    of("ordered", ordered::check),
    of("sessions", sessions::check),
    of("untouched", untouched::check),
];

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The seed of the town.
    pub seed: u64,
    /// The invariant.
    pub invariant: &'static str,
    /// What is wrong.
    pub why: String,
}

/// What of all this does not hold.
pub fn violations(record: &Record) -> Vec<Violation> {
    let all = ALL.iter().filter_map(|invariant| {
        let why = (invariant.check)(record).err()?;
        Some(Violation {
            seed: record.seed,
            invariant: invariant.name,
            why,
        })
    });
    all.collect()
}

const fn of(name: &'static str, check: fn(&Record) -> Result<(), String>) -> Invariant {
    Invariant { name, check }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {}: not {}: {}",
            self.seed, self.invariant, self.why
        )
    }
}
