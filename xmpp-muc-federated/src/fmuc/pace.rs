//! What of those who are there a link tells, and how often (§5.12 of the design, B5).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use xmpp_core::Jid;

use super::event::{Event, Passing};
use super::settings::PresenceLevel;
use crate::log::{Dot, Range};
use crate::room::elsewhere::Occupant;

/// What one link has told of occupants, and what it has not.
#[derive(Debug)]
pub(super) struct Pace {
    level: PresenceLevel,
    interval: Duration,
    told: BTreeMap<Jid, Told>,
    /// Those of whom it is told later in which way they are there, by when.
    later: BTreeSet<(Instant, Jid)>,
    /// Those whom it introduces when they say something.
    unknown: BTreeMap<Jid, Passing>,
    /// Events that it was not told of, and that it need not miss.
    skipped: Vec<Range>,
}

/// What the peer was told of somebody.
#[derive(Debug)]
struct Told {
    occupant: Occupant,
    /// When it may be told in which way they are there.
    next: Instant,
    /// In which way they are, if that was not told.
    later: bool,
}

impl Pace {
    pub(super) fn new(level: PresenceLevel, interval: Duration) -> Pace {
        Pace {
            level,
            interval,
            told: BTreeMap::new(),
            later: BTreeSet::new(),
            unknown: BTreeMap::new(),
            skipped: Vec::new(),
        }
    }

    /// Whether it is told what those who are there say of themselves.
    pub(super) fn is_full(&self) -> bool {
        self.level == PresenceLevel::Full
    }

    /// Whether it is told of all who are there, also of those who say nothing.
    pub(super) fn tells_all(&self) -> bool {
        self.level != PresenceLevel::None
    }

    /// Whether the peer is not told of this, or not yet.
    pub(super) fn holds_back(&mut self, passing: &Passing, announced: bool, now: Instant) -> bool {
        match &passing.event {
            Event::Here(occupant) if self.level == PresenceLevel::None && !announced => {
                self.unknown.insert(occupant.jid.clone(), passing.clone());
                self.skip(passing.dot.as_ref());
                true
            }
            Event::Here(occupant) => self.is_soon(occupant, passing.dot.is_some(), now),
            Event::Gone { jid, .. } => {
                if let Some(told) = self.told.remove(jid) {
                    self.later.remove(&(told.next, jid.clone()));
                }
                let unknown = self.unknown.remove(jid).is_some();
                if unknown {
                    self.skip(passing.dot.as_ref());
                }
                unknown
            }
            Event::Said { .. } | Event::Subject { .. } => false,
        }
    }

    /// The peer knows of them by the stanza that joins. One who is known already has been told of by that event: in which way they are there is told apart.
    pub(super) fn introduced(&mut self, occupant: &Occupant, now: Instant) {
        self.unknown.remove(&occupant.jid);
        let told = self.told.get(&occupant.jid);
        if !told.is_some_and(|told| told.occupant.stands_as(occupant)) {
            self.is_soon(occupant, true, now);
        }
    }

    /// Whether nothing but what somebody says of themselves is different, and that is not told, or was just now.
    fn is_soon(&mut self, occupant: &Occupant, logged: bool, now: Instant) -> bool {
        let next = now + self.interval;
        let Some(told) = self.told.get_mut(&occupant.jid) else {
            let (jid, occupant) = (occupant.jid.clone(), occupant.clone());
            let later = false;
            self.told.insert(
                jid,
                Told {
                    occupant,
                    next,
                    later,
                },
            );
            return false;
        };
        let update = !logged && told.occupant.stands_as(occupant);
        if update && (self.level != PresenceLevel::Full || told.occupant == *occupant) {
            return true;
        }
        told.occupant = occupant.clone();
        let key = (told.next, occupant.jid.clone());
        told.later = update && now < told.next;
        if told.later {
            self.later.insert(key);
        } else {
            told.next = next;
            self.later.remove(&key);
        }
        told.later
    }

    /// The link is down: in which way they are there is told when it is up.
    pub(super) fn postpone(&mut self, passing: &Passing) {
        // Who comes again is told of by that event; of who goes nothing is told any more, be it that there is no event of it.
        let over = match &passing.event {
            Event::Here(occupant) if passing.dot.is_some() => Some(&occupant.jid),
            Event::Gone { jid, .. } => Some(jid),
            _ => None,
        };
        if let Some(jid) = over
            && let Some(told) = self.told.remove(jid)
        {
            self.later.remove(&(told.next, jid.clone()));
        }
        if let Event::Here(occupant) = &passing.event
            && passing.dot.is_none()
            && self.level == PresenceLevel::Full
            && let Some(told) = self.told.get_mut(&occupant.jid)
            && told.occupant.stands_as(occupant)
        {
            told.later = told.later || told.occupant != *occupant;
            told.occupant = occupant.clone();
            if told.later {
                self.later.insert((told.next, occupant.jid.clone()));
            }
        }
    }

    /// Those of whom it is time to tell in which way they are there.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Occupant> {
        let mut due = Vec::new();
        while let Some((next, _)) = self.later.first()
            && *next <= now
            && let Some((_, jid)) = self.later.pop_first()
        {
            if let Some(told) = self.told.get_mut(&jid) {
                told.later = false;
                told.next = now + self.interval;
                due.push(told.occupant.clone());
            }
        }
        due
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.later.first().map(|(next, _)| *next)
    }

    /// Somebody has to be introduced now.
    pub(super) fn introduction(&mut self, jid: &Jid) -> Option<Passing> {
        self.unknown.remove(jid)
    }

    /// The peer knows nobody but this one.
    pub(super) fn forget(&mut self, but: Option<&Jid>) {
        self.told.retain(|jid, _| Some(jid) == but);
        self.later.retain(|(_, jid)| Some(jid) == but);
        self.unknown.clear();
        self.skipped.clear();
    }

    /// The peer is not told of this event.
    pub(super) fn skip(&mut self, dot: Option<&Dot>) {
        let Some(dot) = dot else {
            return;
        };
        let next = |(node, epoch, seqs): &&mut Range| {
            *node == dot.node && *epoch == dot.epoch && seqs.end().checked_add(1) == Some(dot.seq)
        };
        match self.skipped.iter_mut().find(next) {
            Some((_, _, seqs)) => *seqs = *seqs.start()..=dot.seq,
            None => self
                .skipped
                .push((dot.node.clone(), dot.epoch, dot.seq..=dot.seq)),
        }
    }

    /// What it was not told of since it was last told of that.
    pub(super) fn take_skipped(&mut self) -> Vec<Range> {
        std::mem::take(&mut self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_skipped_in_a_row_is_one_range() {
        let mut pace = Pace::new(PresenceLevel::None, Duration::ZERO);
        let dot = |node: &str, seq| Dot {
            node: crate::log::NodeId::new(node),
            epoch: 1,
            seq,
        };
        for (node, seq) in [("a", 1), ("b", 1), ("a", 2), ("a", 4), ("b", 2)] {
            pace.skip(Some(&dot(node, seq)));
        }
        let ranges = pace.take_skipped().into_iter();
        let ranges: Vec<_> = ranges
            .map(|(node, _, seqs)| (node.as_str().to_owned(), seqs))
            .collect();
        let wanted = [("a", 1..=2), ("b", 1..=2), ("a", 4..=4)];
        assert_eq!(ranges, wanted.map(|(node, seqs)| (node.to_owned(), seqs)));
        assert!(pace.take_skipped().is_empty());
    }
}
