//! What has to hold in every town, whatever happens there. One invariant a file; each
//! has a [planted fault](crate::faults) that breaks it, or shares one.

mod accounted;
mod addressed;
mod answered;
mod bounded;
mod cluster;
mod complete;
mod connections;
mod federation;
mod isolated;
mod memory;
mod once;
mod ordered;
mod reliable;
mod sessions;
mod untouched;

use std::fmt;

use crate::chat::{self, Left};

/// What is judged: all that happened in a town.
pub trait Story: Sized + 'static {
    /// What has to hold there.
    const INVARIANTS: &'static [Invariant<Self>];

    /// The seed of the town.
    fn seed(&self) -> u64;
}

/// What happened in a town around a server.
pub trait Town: Story {
    /// What was left at the end.
    fn left(&self) -> &Left;
}

/// Something that has to hold.
pub struct Invariant<S> {
    /// Its name, which is that of its file.
    pub name: &'static str,
    /// Whether it holds, and if not, where it is broken first.
    pub check: fn(&S) -> Result<(), String>,
}

impl Story for chat::Record {
    const INVARIANTS: &'static [Invariant<chat::Record>] = &[
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

    fn seed(&self) -> u64 {
        self.seed
    }
}

impl Town for chat::Record {
    fn left(&self) -> &Left {
        &self.left
    }
}

impl Story for crate::reliable::Record {
    const INVARIANTS: &'static [Invariant<crate::reliable::Record>] = &[
        of("accounted", reliable::accounted::check),
        of("answered", reliable::answered::check),
        of("complete", reliable::complete::check),
        of("connections", connections::check),
        of("counted", reliable::counted::check),
        of("memory", memory::check),
        of("once", reliable::once::check),
        of("ordered", reliable::ordered::check),
        of("sessions", sessions::check),
        of("settled", reliable::settled::check),
    ];

    fn seed(&self) -> u64 {
        self.seed
    }
}

impl Town for crate::reliable::Record {
    fn left(&self) -> &Left {
        &self.left
    }
}

impl Story for crate::cluster::Record {
    const INVARIANTS: &'static [Invariant<crate::cluster::Record>] = &[
        of("agreed", cluster::agreed::check),
        of("complete", cluster::complete::check),
        of("once", cluster::once::check),
        of("ordered", cluster::ordered::check),
        of("reached", cluster::reached::check),
        of("warned", cluster::warned::check),
    ];

    fn seed(&self) -> u64 {
        self.seed
    }
}

impl Story for crate::federation::Record {
    const INVARIANTS: &'static [Invariant<crate::federation::Record>] = &[
        of("agreed", federation::agreed::check),
        of("bounded", federation::bounded::check),
        of("causal", federation::causal::check),
        of("clean", federation::clean::check),
        of("complete", federation::complete::check),
        of("once", federation::once::check),
        of("owned", federation::owned::check),
        of("spared", federation::spared::check),
    ];

    fn seed(&self) -> u64 {
        self.seed
    }
}

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
pub fn violations<S: Story>(story: &S) -> Vec<Violation> {
    let all = S::INVARIANTS.iter().filter_map(|invariant| {
        let why = (invariant.check)(story).err()?;
        Some(Violation {
            seed: story.seed(),
            invariant: invariant.name,
            why,
        })
    });
    all.collect()
}

const fn of<S>(name: &'static str, check: fn(&S) -> Result<(), String>) -> Invariant<S> {
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
