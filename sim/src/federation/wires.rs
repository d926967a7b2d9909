//! What is on its way from one room to another, and what becomes of the ways.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use xmpp_core::stanza::{Condition, Stanza};
use xmpp_muc_federated::fmuc::LinkState;

use super::{Plan, number};
use crate::rng::Rng;

/// All of it.
pub(super) struct Wires {
    latency: u64,
    parallel: bool,
    doubled: bool,
    /// What happens, and when.
    due: BTreeMap<(Duration, u64), Happening>,
    count: u64,
    /// For each direction when the last one arrives.
    last: BTreeMap<(usize, usize), Duration>,
    /// And the last one that nothing overtakes.
    floor: BTreeMap<(usize, usize), Duration>,
    /// Directions that are cut.
    cut: BTreeSet<(usize, usize)>,
    /// Those of which the sender knows it.
    known: BTreeSet<(usize, usize)>,
    /// Until when nothing goes there.
    paused: BTreeMap<(usize, usize), Duration>,
    /// Messages that were lost on a way since the room that they were for has noticed that anything was.
    lost: BTreeMap<(usize, usize), BTreeSet<usize>>,
    /// For each side when it has noticed everything so far.
    noticed: BTreeMap<(usize, usize), Duration>,
}

/// Something that happens to a room.
pub(super) enum Happening {
    /// A stanza arrives.
    Stanza {
        from: usize,
        to: usize,
        stanza: Stanza,
    },
    /// A stanza has not arrived.
    Returned { from: usize, stanza: Stanza },
    /// A side notices what has become of the way.
    Link {
        at: usize,
        peer: usize,
        state: LinkState,
    },
}

/// What becomes of a stanza.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Goes,
    Returns,
    Lost,
}

impl Wires {
    pub(super) fn new(plan: &Plan) -> Wires {
        Wires {
            latency: plan.latency,
            parallel: plan.parallel,
            doubled: plan.doubled,
            due: BTreeMap::new(),
            count: 0,
            last: BTreeMap::new(),
            floor: BTreeMap::new(),
            cut: BTreeSet::new(),
            known: BTreeSet::new(),
            paused: BTreeMap::new(),
            lost: BTreeMap::new(),
            noticed: BTreeMap::new(),
        }
    }

    /// When something happens next.
    pub(super) fn next(&self) -> Option<Duration> {
        self.due.keys().next().map(|(due, _)| *due)
    }

    /// What happens next.
    pub(super) fn take(&mut self) -> Option<Happening> {
        self.due.pop_first().map(|(_, happening)| happening)
    }

    /// How much is on its way.
    pub(super) fn underway(&self) -> usize {
        self.due.len()
    }

    /// All of it is lost.
    pub(super) fn drain(&mut self) {
        self.due.clear();
    }

    /// Whether nothing is cut, and all know that.
    pub(super) fn is_whole(&self) -> bool {
        let links = self.due.values();
        let mut links = links.filter(|one| !matches!(one, Happening::Stanza { .. }));
        self.cut.is_empty() && links.next().is_none()
    }

    /// A stanza is sent.
    pub(super) fn send(
        &mut self,
        from: usize,
        to: usize,
        stanza: Stanza,
        now: Duration,
        rng: &mut Rng,
    ) -> Fate {
        let way = (from, to);
        if self.cut.contains(&way) {
            if !self.known.contains(&way) {
                self.lost.entry(way).or_default().extend(number(&stanza));
                return Fate::Lost;
            }
            let error = stanza.error_reply(&Condition::RemoteServerTimeout.into());
            if let Some(stanza) = error {
                self.plan(now, Happening::Returned { from, stanza });
            }
            return Fate::Returns;
        }
        let copies = if self.doubled && rng.one_in(12) { 2 } else { 1 };
        for _ in 0..copies {
            let takes = Duration::from_millis(rng.between(1..=self.latency));
            let earliest = now.max(self.paused.get(&way).copied().unwrap_or_default());
            let mut due = earliest + takes;
            // What begins and ends a session goes by one stream.
            let text = stanza.to_string();
            let apart = !self.parallel
                || !text.contains("<o ")
                || ["<join ", "<synced "].iter().any(|one| text.contains(one));
            let floor = self.floor.entry(way).or_default();
            due = due.max(*floor);
            if apart {
                due = due.max(self.last.get(&way).copied().unwrap_or_default());
                *floor = due;
            }
            let last = self.last.entry(way).or_default();
            *last = due.max(*last);
            let stanza = stanza.clone();
            self.plan(due, Happening::Stanza { from, to, stanza });
        }
        Fate::Goes
    }

    /// A stanza arrives then, whatever is sent meanwhile.
    pub(super) fn delay(&mut self, from: usize, to: usize, stanza: Stanza, due: Duration) {
        self.plan(due, Happening::Stanza { from, to, stanza });
    }

    /// A way is cut: what is on it is lost. Each side notices after its time.
    pub(super) fn cut(&mut self, one: usize, other: usize, notice: [Duration; 2], now: Duration) {
        if self.cut.contains(&(one, other)) {
            return;
        }
        self.lose(one, other);
        for ((at, peer), after) in [(one, other), (other, one)].into_iter().zip(notice) {
            self.cut.insert((at, peer));
            self.notice(at, peer, LinkState::Down, now + after);
        }
    }

    /// It is whole again.
    pub(super) fn heal(&mut self, one: usize, other: usize, notice: [Duration; 2], now: Duration) {
        if !self.cut.contains(&(one, other)) {
            return;
        }
        for ((at, peer), after) in [(one, other), (other, one)].into_iter().zip(notice) {
            self.cut.remove(&(at, peer));
            self.known.remove(&(at, peer));
            self.notice(at, peer, LinkState::Up { resumed: false }, now + after);
        }
    }

    /// Nothing goes there for a while; it is not lost.
    pub(super) fn pause(&mut self, one: usize, other: usize, time: Duration, now: Duration) {
        if self.cut.contains(&(one, other)) {
            return;
        }
        let until = now + time;
        for (at, peer) in [(one, other), (other, one)] {
            let paused = self.paused.entry((at, peer)).or_default();
            *paused = until.max(*paused);
            self.notice(at, peer, LinkState::Down, now);
            self.notice(at, peer, LinkState::Up { resumed: true }, until);
        }
        let of_it = |one_of: &Happening| matches!(one_of, Happening::Stanza { from, to, .. } if (*from, *to) == (one, other) || (*from, *to) == (other, one));
        let (held, rest) = std::mem::take(&mut self.due)
            .into_iter()
            .partition::<Vec<_>, _>(|(_, happening)| of_it(happening));
        self.due = rest.into_iter().collect();
        for ((due, _), happening) in held {
            let due = due + time;
            if let Happening::Stanza { from, to, .. } = &happening {
                let last = self.last.entry((*from, *to)).or_default();
                *last = due.max(*last);
            }
            self.plan(due, happening);
        }
    }

    /// One side begins anew: what is on the way is lost, and the other side notices after its time.
    pub(super) fn forget(&mut self, anew: usize, other: usize, after: Duration, now: Duration) {
        self.lose(anew, other);
        self.due.retain(|_, happening| {
            !matches!(happening, Happening::Link { at, peer, .. } if (*at, *peer) == (anew, other))
        });
        self.lost.remove(&(other, anew));
        if self.cut.contains(&(anew, other)) {
            // A new server finds out when it tries.
            self.known.insert((anew, other));
            return;
        }
        self.notice(other, anew, LinkState::Down, now + after);
        self.notice(other, anew, LinkState::Up { resumed: false }, now + after);
    }

    fn lose(&mut self, one: usize, other: usize) {
        let of_it = |happening: &Happening| matches!(happening, Happening::Stanza { from, to, .. } if (*from, *to) == (one, other) || (*from, *to) == (other, one));
        let (lost, rest) = std::mem::take(&mut self.due)
            .into_iter()
            .partition::<Vec<_>, _>(|(_, happening)| of_it(happening));
        self.due = rest.into_iter().collect();
        for (_, happening) in lost {
            if let Happening::Stanza { from, to, stanza } = happening {
                let lost = self.lost.entry((from, to)).or_default();
                lost.extend(number(&stanza));
            }
        }
        for way in [(one, other), (other, one)] {
            self.last.remove(&way);
            self.floor.remove(&way);
            self.paused.remove(&way);
        }
    }

    /// A side notices something, after all that it notices before.
    fn notice(&mut self, at: usize, peer: usize, state: LinkState, due: Duration) {
        let noticed = self.noticed.entry((at, peer)).or_default();
        let due = due.max(*noticed);
        *noticed = due;
        self.plan(due, Happening::Link { at, peer, state });
    }

    /// Whether nothing goes from one to the other.
    pub(super) fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cut.contains(&(from, to))
    }

    /// Messages that were lost on a way, and the room that they were for does not know that anything was.
    pub(super) fn unnoticed(&self, from: usize, to: usize) -> impl Iterator<Item = usize> {
        let lost = self.lost.get(&(from, to)).into_iter().flatten();
        lost.copied()
    }

    /// A side knows now that the way is cut.
    pub(super) fn noticed(&mut self, at: usize, peer: usize) {
        self.lost.remove(&(peer, at));
        if self.cut.contains(&(at, peer)) {
            self.known.insert((at, peer));
        }
    }

    fn plan(&mut self, due: Duration, happening: Happening) {
        self.count += 1;
        self.due.insert((due, self.count), happening);
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fate::Goes => "",
            Fate::Returns => " (returned)",
            Fate::Lost => " (lost)",
        })
    }
}
