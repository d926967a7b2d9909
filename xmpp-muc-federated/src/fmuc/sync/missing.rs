//! What is missing between what was told, and what will not come.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use super::delta::{Delta, repeated};
use crate::fmuc::child;
use crate::fmuc::crowd::Via;
use crate::fmuc::node::{Node, Turn};
use crate::fmuc::parent::State;
use crate::fmuc::{Alias, Extension, Fmuc, Origin};
use crate::log::{Dot, Range};

impl Node {
    /// What a peer asks for again.
    pub(super) fn give_missing(&mut self, via: &Via, range: &Range, turn: &mut Turn<'_>) {
        let missing = self.log.range(range);
        // What was not let in here, or is forgotten, will not come.
        let there = self.decided(range);
        let gone: Vec<_> = there
            .iter()
            .flat_map(|range| self.log.lacks(range))
            .collect();
        let most = (self.settings.limits.burst, self.settings.limits.rate);
        let cost = 1 + missing.entries.len() + gone.len();
        let delta = Delta {
            passing: missing.entries.into_iter().map(repeated).collect(),
            gone,
            ..Delta::default()
        };
        if let Some(link) = self.link(via) {
            let cost = u32::try_from(cost).unwrap_or(u32::MAX);
            if !link.repeated.take(cost, most, turn.now.instant) {
                return turn.drop(&link.peer, "it asks for too much once more");
            }
            link.catch_up(&delta, turn);
            let skipped = link.pace.take_skipped();
            if !skipped.is_empty() {
                let fmuc = Fmuc {
                    extensions: link.gone(&skipped),
                    ..Fmuc::default()
                };
                let stanza = link.write_own(&fmuc);
                turn.send(&*link, stanza, None);
            }
        }
    }

    /// A peer says which event of a node it has told last: what is not here is missing.
    pub(super) fn lags(&mut self, via: &Via, last: Origin, turn: &mut Turn<'_>) {
        let named = self.link(via);
        let Some((node, epoch)) = named.and_then(|link| link.aliases.of_theirs(last.alias)) else {
            return;
        };
        let dot = Dot {
            node: node.clone(),
            epoch,
            seq: last.seq,
        };
        let may = self.may_name(via, &dot.node, epoch, turn.now);
        if dot.node != self.id && may.is_ok() && !self.have.has(&dot) {
            self.have.expect(&dot, turn.now.instant);
            self.routes.entry(dot.node).or_insert_with(|| via.clone());
        }
    }

    /// Asks for what has been missing for so long.
    pub(in crate::fmuc) fn ask_for_missing(&mut self, turn: &mut Turn<'_>) {
        let Some(patience) = self.patience() else {
            return;
        };
        for (node, epoch, seqs) in self.have.wanted(patience, turn.now.instant) {
            let via = self.routes.get(&node).cloned();
            if let Some(via) = via
                && let Some(link) = self.link(&via)
                && link.is_ext()
            {
                let (alias, definition) = link.aliases.name(&node, epoch);
                let mut fmuc = Fmuc::default();
                fmuc.extensions.extend(definition);
                fmuc.extensions.push(Extension::Want(alias, seqs));
                let stanza = link.write_own(&fmuc);
                turn.send(&*link, stanza, None);
            }
        }
    }

    pub(in crate::fmuc) fn next_missing(&self) -> Option<Instant> {
        self.have.next_wanted(self.patience()?)
    }

    /// For how long something may be missing; `None` while it is being told.
    fn patience(&self) -> Option<Duration> {
        let parent = self.parent.as_ref();
        let syncing = parent.is_some_and(|parent| {
            matches!(
                parent.state,
                State::Joining { .. } | State::Syncing { .. } | State::Suspect { .. }
            )
        });
        let telling = self.children.values().any(|child| child.promised.is_some());
        let timers = parent.map(|parent| parent.link.timers.gap);
        let others = self.children.values().map(|child| child.link.timers.gap);
        let longest = timers.into_iter().chain(others).max();
        longest.filter(|_| !syncing && !telling)
    }

    /// Events that will not come.
    pub(super) fn forgo(&mut self, via: &Via, range: Range, turn: &mut Turn<'_>) {
        let routed = self.routes.get(&range.0).is_none_or(|by| by == via);
        if range.0 == self.id || !routed {
            return;
        }
        let before = self.have.vector();
        self.have.give_up(&range);
        if self.have.vector().get(&range.0) != before.get(&range.0) {
            self.tell_gone(via, &[range], turn);
        }
    }

    /// Tells all links but this one that these events will not come, and of what they were not told; those of which it speaks with the next event need not hear
    /// of it now.
    pub(in crate::fmuc) fn tell_gone(&mut self, via: &Via, ranges: &[Range], turn: &mut Turn<'_>) {
        // A life that has begun, and in which nothing has happened, is none of them.
        let ranges = ranges.iter().filter(|(.., seqs)| !seqs.is_empty());
        let ranges: &[Range] = &ranges.cloned().collect::<Vec<_>>();
        let children = self.children.iter_mut();
        let children = children.filter(|(peer, child)| {
            !matches!(via, Via::Child(from) if from == *peer) && child.state == child::State::Joined
        });
        let parent = self
            .parent
            .as_mut()
            .filter(|parent| *via != Via::Parent && parent.state == State::Joined);
        let parent = parent.map(|parent| &mut parent.link).into_iter();
        for link in parent.chain(children.map(|(_, child)| &mut child.link)) {
            let mut all = link.pace.take_skipped();
            let covers = |(node, epoch, seqs): &Range, (of, life, these): &Range| {
                (node, epoch) == (of, life)
                    && seqs.start() <= these.start()
                    && these.end() <= seqs.end()
            };
            all.retain(|one| !ranges.iter().any(|range| covers(range, one)));
            all.extend_from_slice(ranges);
            if link.is_ext() && !all.is_empty() {
                let fmuc = Fmuc {
                    extensions: link.gone(&all),
                    ..Fmuc::default()
                };
                let stanza = link.write_own(&fmuc);
                turn.send(&*link, stanza, None);
            }
        }
    }

    pub(super) fn named_range(
        &mut self,
        via: &Via,
        alias: Alias,
        seqs: RangeInclusive<u64>,
    ) -> Option<Range> {
        let (node, epoch) = self.link(via)?.aliases.of_theirs(alias)?;
        Some((node.clone(), epoch, seqs))
    }
}
