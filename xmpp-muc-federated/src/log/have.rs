//! What a node has seen.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use super::{Dot, NodeId, Range, Reach, Vector};

/// What a node has seen of all nodes, itself included.
#[derive(Debug)]
pub struct Have {
    limits: HaveLimits,
    nodes: BTreeMap<NodeId, Known>,
}

/// Bounds of a [`Have`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HaveLimits {
    /// Nodes; default 1000. Of one more nothing is accepted.
    pub nodes: usize,
    /// Holes in what is known of one node; default 64. With one more the oldest is given up.
    pub gaps: usize,
}

impl Default for HaveLimits {
    fn default() -> HaveLimits {
        HaveLimits {
            nodes: 1000,
            gaps: 64,
        }
    }
}

/// What an event is to whoever gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It is the next one.
    Next,
    /// It is new, and some before it are missing.
    Ahead,
    /// It is new, and was missing.
    Late,
    /// It was there before, or belongs to a life of the node that is over.
    Again,
    /// It cannot be told ([`HaveLimits::nodes`]), and is not to be accepted.
    Unknown,
}

/// How often something is asked for.
const ASKED_MAX: u32 = 3;

/// One node.
#[derive(Debug)]
struct Known {
    epoch: u64,
    /// The greatest number that was seen.
    top: u64,
    /// What is missing below it, in order.
    gaps: Vec<Gap>,
}

#[derive(Debug)]
struct Gap {
    seqs: RangeInclusive<u64>,
    since: Instant,
    /// How often somebody was asked for it.
    asked: u32,
}

impl Have {
    /// Nothing yet.
    pub fn new(limits: HaveLimits) -> Have {
        Have {
            limits,
            nodes: BTreeMap::new(),
        }
    }

    /// Takes note of an event.
    pub fn see(&mut self, dot: &Dot, now: Instant) -> Seen {
        let full = self.nodes.len() >= self.limits.nodes;
        let known = match self.nodes.entry(dot.node.clone()) {
            Entry::Vacant(_) if full || dot.seq == 0 => return Seen::Unknown,
            Entry::Vacant(new) => new.insert(Known::new(dot.epoch)),
            Entry::Occupied(known) => known.into_mut(),
        };
        if dot.epoch < known.epoch {
            return Seen::Again;
        }
        if dot.epoch > known.epoch {
            *known = Known::new(dot.epoch);
        }
        known.see(dot.seq, self.limits.gaps, now)
    }

    /// Takes note that an event has happened which is not here: until it comes it is missing, as if one after it had come.
    pub fn expect(&mut self, dot: &Dot, now: Instant) {
        let full = self.nodes.len() >= self.limits.nodes;
        let known = match self.nodes.entry(dot.node.clone()) {
            Entry::Vacant(_) if full => return,
            Entry::Vacant(new) => new.insert(Known::new(dot.epoch)),
            Entry::Occupied(known) => known.into_mut(),
        };
        if dot.epoch > known.epoch {
            *known = Known::new(dot.epoch);
        }
        if dot.epoch == known.epoch && dot.seq > known.top {
            known.miss(dot.seq, self.limits.gaps, now);
            known.top = dot.seq;
        }
    }

    /// Takes over that everything up to here is there, or will never be: what a node is given instead of the events themselves.
    pub fn adopt(&mut self, node: &NodeId, reach: Reach) {
        if !self.nodes.contains_key(node) && self.nodes.len() >= self.limits.nodes {
            return;
        }
        let known = self.nodes.entry(node.clone());
        let known = known.or_insert_with(|| Known::new(reach.epoch));
        if reach.epoch > known.epoch {
            *known = Known::new(reach.epoch);
        }
        if reach.epoch == known.epoch {
            known.fill(0..=reach.seq);
            known.top = known.top.max(reach.seq);
        }
    }

    /// These will never come: those that are missing, and those that are next.
    pub fn give_up(&mut self, (node, epoch, seqs): &Range) {
        let known = self.nodes.get_mut(node);
        match known.filter(|known| known.epoch >= *epoch) {
            Some(known) if known.epoch > *epoch => {}
            Some(known) => {
                known.fill(seqs.clone());
                if *seqs.start() <= known.top.saturating_add(1) {
                    known.top = known.top.max(*seqs.end());
                }
            }
            None if *seqs.start() <= 1 => {
                let (epoch, seq) = (*epoch, *seqs.end());
                self.adopt(node, Reach { epoch, seq });
            }
            None => {}
        }
    }

    /// Whether the event is there, or was given up.
    pub fn has(&self, dot: &Dot) -> bool {
        self.nodes.get(&dot.node).is_some_and(|known| {
            dot.epoch < known.epoch || (dot.epoch == known.epoch && known.has(dot.seq))
        })
    }

    /// What of a range is there, or was given up.
    pub fn there(&self, (node, epoch, seqs): &Range) -> Vec<Range> {
        let known = self.nodes.get(node).filter(|known| known.epoch == *epoch);
        let Some(known) = known else {
            return Vec::new();
        };
        let mut there = vec![*seqs.start()..=(*seqs.end()).min(known.top)];
        for gap in &known.gaps {
            let parts = there.into_iter().flat_map(|part| except(&part, &gap.seqs));
            there = parts.collect();
        }
        there.retain(|part| !part.is_empty());
        let named = there.into_iter().map(|seqs| (node.clone(), *epoch, seqs));
        named.collect()
    }

    /// How far everything is there.
    pub fn vector(&self) -> Vector {
        let reach = |(node, known): (&NodeId, &Known)| (node.clone(), known.reach());
        self.nodes.iter().map(reach).collect()
    }

    /// What has been missing for so long: it is to be asked for. An answer may be lost, so it is wanted three times, each time after twice as long.
    pub fn wanted(&mut self, patience: Duration, now: Instant) -> Vec<Range> {
        let mut wanted = Vec::new();
        for (node, known) in &mut self.nodes {
            for gap in &mut known.gaps {
                if gap.due(patience).is_some_and(|due| due <= now) {
                    gap.asked += 1;
                    wanted.push((node.clone(), known.epoch, gap.seqs.clone()));
                }
            }
        }
        wanted
    }

    /// When there is next something [wanted](Have::wanted).
    pub fn next_wanted(&self, patience: Duration) -> Option<Instant> {
        let gaps = self.nodes.values().flat_map(|known| &known.gaps);
        gaps.filter_map(|gap| gap.due(patience)).min()
    }
}

impl Gap {
    /// When it is next asked for, if it still is.
    fn due(&self, patience: Duration) -> Option<Instant> {
        let pause = patience.saturating_mul(1 << self.asked.min(ASKED_MAX));
        (self.asked < ASKED_MAX).then(|| self.since + pause)
    }
}

impl Known {
    fn new(epoch: u64) -> Known {
        Known {
            epoch,
            top: 0,
            gaps: Vec::new(),
        }
    }

    fn see(&mut self, seq: u64, most_gaps: usize, now: Instant) -> Seen {
        if seq > self.top {
            let next = self.top + 1;
            if seq == next {
                self.top = seq;
                return Seen::Next;
            }
            self.miss(seq - 1, most_gaps, now);
            self.top = seq;
            return Seen::Ahead;
        }
        if self.has(seq) {
            return Seen::Again;
        }
        self.fill(seq..=seq);
        self.bound(most_gaps);
        Seen::Late
    }

    /// What comes after the last that was seen, up to this one, is missing.
    fn miss(&mut self, last: u64, most_gaps: usize, now: Instant) {
        self.gaps.push(Gap {
            seqs: self.top + 1..=last,
            since: now,
            asked: 0,
        });
        self.bound(most_gaps);
    }

    fn has(&self, seq: u64) -> bool {
        seq <= self.top && !self.gaps.iter().any(|gap| gap.seqs.contains(&seq))
    }

    /// Nothing of this is missing any more.
    fn fill(&mut self, seqs: RangeInclusive<u64>) {
        let gaps = std::mem::take(&mut self.gaps);
        for gap in gaps {
            let parts = except(&gap.seqs, &seqs);
            self.gaps.extend(parts.map(|seqs| Gap { seqs, ..gap }));
        }
    }

    fn bound(&mut self, most: usize) {
        let excess = self.gaps.len().saturating_sub(most);
        self.gaps.drain(..excess);
    }

    fn reach(&self) -> Reach {
        let first = self.gaps.first();
        Reach {
            epoch: self.epoch,
            seq: first.map_or(self.top, |gap| gap.seqs.start() - 1),
        }
    }
}

/// What is left of some numbers without others.
fn except(
    all: &RangeInclusive<u64>,
    these: &RangeInclusive<u64>,
) -> impl Iterator<Item = RangeInclusive<u64>> + use<> {
    let (first, last) = (*all.start(), *all.end());
    let before = first..=last.min(these.start().saturating_sub(1));
    let after = first.max(these.end().saturating_add(1))..=last;
    [before, after].into_iter().filter(|part| !part.is_empty())
}
