//! All that happened in a world of nodes.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use xmpp_cluster::node::{Life, NodeId};

use super::Plan;

/// What is judged.
#[derive(Debug)]
pub struct Record {
    /// The seed of it all.
    pub seed: u64,
    /// What was to happen.
    pub plan: Plan,
    /// What did, for people to read.
    pub trace: Vec<(Duration, String)>,
    /// The parcels that links took, by their numbers.
    pub sent: Vec<Sent>,
    /// What was delivered, in this order: which, from whom, to whom.
    pub delivered: Vec<(u64, Life, Life)>,
    /// What was given up: which, by whom, for whom it was.
    pub given_up: Vec<(u64, Life, Life)>,
    /// Each time that somebody was held to be down whom there was a way to.
    pub needless: Vec<(Duration, String)>,
    /// What nodes said first that had been held up, and did not say so.
    pub unwarned: Vec<(Duration, String)>,
    /// What those know that are there in the end.
    pub views: Vec<View>,
}

/// A parcel that a link took.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Who has sent it.
    pub from: Life,
    /// For whom.
    pub to: Life,
    /// When.
    pub at: Duration,
}

/// What a node knows at the end.
#[derive(Debug)]
pub struct View {
    /// Who.
    pub life: Life,
    /// Who is up for it.
    pub up: Vec<Life>,
    /// Who is bound at each node, its own included.
    pub slices: BTreeMap<NodeId, Vec<String>>,
}

impl Record {
    pub(super) fn new(seed: u64, plan: Plan) -> Record {
        Record {
            seed,
            plan,
            trace: Vec::new(),
            sent: Vec::new(),
            delivered: Vec::new(),
            given_up: Vec::new(),
            needless: Vec::new(),
            unwarned: Vec::new(),
            views: Vec::new(),
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: clocks {:?}", self.seed, self.plan.skews)?;
        for (at, line) in &self.trace {
            writeln!(f, "{:>9.3} {line}", at.as_secs_f64())?;
        }
        writeln!(
            f,
            "{} sent, {} delivered, {} given up",
            self.sent.len(),
            self.delivered.len(),
            self.given_up.len()
        )
    }
}
