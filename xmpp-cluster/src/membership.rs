//! Who is there, who can be reached, and by which way.
//!
//! Every node says every now and then that it is there, and whom it hears ([`Beat`]). Two nodes are up for each other if each
//! hears the other and knows that it is heard: a cut of one direction is a cut. Where that is not so, but a third is up for both, what
//! they have for each other goes by that one, so a cut between two nodes of three divides nobody.
//!
//! What the engine says of its connections is a hint at most; only heartbeats count. A node that was itself held up (a process
//! that was stopped, a machine that was paused) hears so before anything that has come meanwhile: others may have its
//! sessions by now.
//!
//! A node is let in by the transport, which has proven its name. What is refused here is what could harm the others: an earlier life, a
//! clock that is wrong, a version that nobody reads, one node too many.

mod member;

use std::collections::BTreeMap;
use std::mem::{Discriminant, discriminant};
use std::time::{Duration, Instant};

use xmpp_core::machine::Machine;
use xmpp_core::time::Now;

use crate::frame::{Beat, Heard, MEMBERS};
use crate::node::{Incarnation, Life, NodeId, NodeInfo};

use member::Member;
pub use member::{Reach, Seen};

/// Times of a cluster, the same on all its nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timers {
    /// Between two heartbeats; default 1 s.
    pub beat: Duration,
    /// A node that has not been heard for as long is down; default 4 s. Between sites a line may need more.
    pub dead: Duration,
    /// How far a node's clock may be from this one's before it is refused; default 5 s.
    pub drift: Duration,
    /// How long is remembered which life a node was in that is not there any more; default one week.
    pub forget: Duration,
}

impl Default for Timers {
    fn default() -> Timers {
        Timers {
            beat: Duration::from_secs(1),
            dead: Duration::from_secs(4),
            drift: Duration::from_secs(5),
            forget: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

/// What happens to a node's view of the others.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Input {
    /// A heartbeat has come.
    Heard(Life, Beat),
    /// What a node's own slice of the session table has seen, for the next heartbeats.
    Table(u64),
    /// This node goes; the last heartbeat says so.
    Leave,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Output {
    /// To be sent to all nodes.
    Beat(Beat),
    /// A node is there and can be reached: it is new, or has come back in the same life or a later one.
    Up(NodeInfo, Reach),
    /// The way to a node is another one.
    Way(NodeId, Reach),
    /// A node cannot be reached any more. It may live: others may reach it, or it them.
    Down(Life, Why),
    /// This node was held up for as long, and longer than [`Timers::dead`]: others hold it to be down, and may have what it had. Comes before
    /// anything else.
    HeldUp(Duration),
    /// A later life of this node is there: this one is over, and must stop.
    Superseded(Incarnation),
    /// Somebody is not let in, and why; of each life once for each reason in a row.
    Refused(Life, Refusal),
}

/// Why a node is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It has said that it goes.
    Left,
    /// Nothing was heard of it, or it has not heard this node.
    Silent,
    /// It is in a later life.
    Restarted,
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It is of a life that is over.
    #[error("a later life of it is known")]
    Earlier,
    /// Its clock and this one's are further apart than [`Timers::drift`].
    #[error("its clock and ours are {0:?} apart, which is more than clocks of one cluster may be")]
    Clock(Duration),
    /// Its life begins further in the future than clocks may differ.
    #[error("its life begins in the future")]
    Future,
    /// There is no version that both read.
    #[error("it reads no version of frames that we read")]
    Version,
    /// There are [`MEMBERS`] nodes already.
    #[error("too many nodes")]
    TooMany,
}

/// One node's view of the others.
#[derive(Debug)]
pub struct Membership {
    me: NodeInfo,
    timers: Timers,
    members: BTreeMap<NodeId, Member>,
    /// The last reason for which each of these was not let in, and when that was; [`MEMBERS`] of them at most.
    refused: BTreeMap<Life, (Discriminant<Refusal>, Instant)>,
    refusals: u64,
    table: u64,
    next_beat: Option<Instant>,
    /// When this machine was last called.
    last: Option<Now>,
    leaving: bool,
}

impl Membership {
    /// The view of a node that has heard of nobody. The first [timeout](Machine::handle_timeout) is due at once.
    pub fn new(me: NodeInfo, timers: Timers) -> Membership {
        Membership {
            me,
            timers,
            members: BTreeMap::new(),
            refused: BTreeMap::new(),
            refusals: 0,
            table: 0,
            next_beat: None,
            last: None,
            leaving: false,
        }
    }

    /// This node.
    pub fn me(&self) -> &NodeInfo {
        &self.me
    }

    /// The other nodes that are known of, in the order of their names.
    pub fn members(&self) -> impl Iterator<Item = Seen<'_>> {
        self.members.values().map(Member::seen)
    }

    /// By which way a node in this life can be reached.
    pub fn reach(&self, life: &Life) -> Option<&Reach> {
        let member = self.members.get(&life.node)?;
        let reach = member.reach.as_ref();
        reach.filter(|_| member.info.life.incarnation == life.incarnation)
    }

    /// Heartbeats of those that were not let in.
    pub fn refusals(&self) -> u64 {
        self.refusals
    }

    /// Whether a node in this life is known of and was let in, up or not.
    pub fn is_known(&self, life: &Life) -> bool {
        let member = self.members.get(&life.node);
        let known = member.is_some_and(|member| member.info.life == *life);
        known && !self.refused.contains_key(life)
    }

    /// Notices whether this node was held up. Whoever calls does so before anything of what has come is looked at.
    pub(crate) fn wake(&mut self, now: Now, out: &mut Vec<Output>) {
        let Some(last) = self.last.replace(now) else {
            return;
        };
        // Whichever clock has gone on: the steady one of some systems stands still while the machine sleeps.
        let steady = now.instant.saturating_duration_since(last.instant);
        let lost = steady.max(now.utc.since(last.utc));
        if lost < self.timers.dead {
            return;
        }
        out.push(Output::HeldUp(lost));
        // Nobody was heard because nobody was listened to.
        for member in self.members.values_mut() {
            member.forgive(now.instant);
        }
        self.next_beat = Some(now.instant);
    }

    fn hear(&mut self, from: Life, beat: Beat, now: Now, out: &mut Vec<Output>) {
        if from.node == self.me.life.node {
            // Of the same life it is an echo.
            if from.incarnation > self.me.life.incarnation {
                match self.has_the_time(&from, &beat, now) {
                    Ok(()) => out.push(Output::Superseded(from.incarnation)),
                    // The others do not let it in, and would be left with neither.
                    Err(refusal) => self.refuse(from, refusal, now.instant, out),
                }
            }
            return;
        }
        if let Err(refusal) = self.may_enter(&from, &beat, now) {
            self.refuse(from, refusal, now.instant, out);
            return;
        }
        self.refused.remove(&from);
        let life = from.clone();
        let member = match self.members.entry(from.node.clone()) {
            std::collections::btree_map::Entry::Vacant(vacant) => {
                vacant.insert(Member::new(life, &beat, now.instant))
            }
            std::collections::btree_map::Entry::Occupied(member) => {
                let member = member.into_mut();
                if member.info.life.incarnation < from.incarnation {
                    if member.reach.take().is_some() {
                        out.push(Output::Down(member.info.life.clone(), Why::Restarted));
                    }
                    *member = Member::new(life, &beat, now.instant);
                }
                member
            }
        };
        if beat.leaving {
            member.left(now.instant);
        } else {
            member.hear(beat, &self.me.life, now.instant);
        }
        self.settle(now, out);
    }

    fn may_enter(&self, from: &Life, beat: &Beat, now: Now) -> Result<(), Refusal> {
        let known = self.members.get(&from.node);
        if known.is_some_and(|known| known.is_over(from.incarnation)) {
            return Err(Refusal::Earlier);
        }
        self.has_the_time(from, beat, now)?;
        if self.me.versions.common(beat.versions).is_none() {
            return Err(Refusal::Version);
        }
        if known.is_none() && self.members.len() + 1 >= MEMBERS {
            return Err(Refusal::TooMany);
        }
        Ok(())
    }

    fn has_the_time(&self, from: &Life, beat: &Beat, now: Now) -> Result<(), Refusal> {
        let ahead = beat.clock.since(now.utc);
        let apart = ahead.max(now.utc.since(beat.clock));
        if apart > self.timers.drift {
            return Err(Refusal::Clock(apart));
        }
        // It would shut out every later life of that node.
        if from.incarnation.began().since(now.utc) > self.timers.drift {
            return Err(Refusal::Future);
        }
        Ok(())
    }

    /// Its heartbeats go on, and an operator needs to be told once.
    fn refuse(&mut self, from: Life, refusal: Refusal, now: Instant, out: &mut Vec<Output>) {
        self.refusals += 1;
        let kind = discriminant(&refusal);
        let known = self.refused.insert(from.clone(), (kind, now));
        if known.is_some_and(|(known, _)| known == kind) {
            return;
        }
        if self.refused.len() > MEMBERS {
            let oldest = self.refused.iter().min_by_key(|(_, (_, at))| *at);
            if let Some(life) = oldest.map(|(life, _)| life.clone()) {
                self.refused.remove(&life);
            }
        }
        out.push(Output::Refused(from, refusal));
    }

    /// Who is up, and by which way, as things are.
    fn settle(&mut self, now: Now, out: &mut Vec<Output>) {
        let mut ways = self.ways(now.instant);
        for (node, member) in &mut self.members {
            let way = ways.remove(node).unwrap_or_default().choose(&member.reach);
            match (&member.reach, &way) {
                (None, Some(way)) => out.push(Output::Up(member.info.clone(), way.clone())),
                (Some(before), Some(way)) if before != way => {
                    out.push(Output::Way(node.clone(), way.clone()));
                }
                (Some(_), None) => {
                    let why = match member.has_left() {
                        true => Why::Left,
                        false => Why::Silent,
                    };
                    out.push(Output::Down(member.info.life.clone(), why));
                }
                _ => {}
            }
            member.reach = way;
        }
    }

    /// The ways to all that can be reached.
    fn ways(&self, now: Instant) -> BTreeMap<NodeId, Ways> {
        let alive = |heard: Instant| heard + self.timers.dead > now;
        let mut ways: BTreeMap<NodeId, Ways> = BTreeMap::new();
        for (relay, member) in &self.members {
            if !member.is_mutual(alive) {
                continue;
            }
            ways.entry(relay.clone()).or_default().direct = true;
            for heard in member.hears.iter().filter(|heard| heard.mutual) {
                let known = self.members.get(&heard.life.node);
                // A life that this node has never heard itself says nothing of where it stands and what it reads.
                let known =
                    known.is_some_and(|known| known.info.life == heard.life && !known.has_left());
                // What a relay has last heard gets no younger by being told once more: who is dead is dead for all at a time.
                let at = member
                    .heard
                    .checked_sub(Duration::from_millis(heard.ago.into()));
                if known && at.is_some_and(alive) {
                    let ways = ways.entry(heard.life.node.clone()).or_default();
                    ways.relays.push(relay.clone());
                }
            }
        }
        ways
    }

    fn beat(&self, now: Now) -> Beat {
        let heard = |member: &&Member| member.is_heard(|at| at + self.timers.dead > now.instant);
        let hears = self.members.values().filter(heard).map(|member| Heard {
            life: member.info.life.clone(),
            ago: member.silent_for(now.instant),
            mutual: member.is_mutual(|at| at + self.timers.dead > now.instant),
        });
        Beat {
            site: self.me.site.clone(),
            versions: self.me.versions,
            clock: now.utc,
            hears: hears.collect(),
            table: self.table,
            leaving: self.leaving,
        }
    }
}

impl Machine for Membership {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, input: Input, now: Now, out: &mut Vec<Output>) {
        self.wake(now, out);
        match input {
            Input::Heard(_, _) if self.leaving => {}
            Input::Heard(from, beat) => self.hear(from, beat, now, out),
            Input::Table(changes) => self.table = changes,
            Input::Leave => {
                self.leaving = true;
                self.next_beat = None;
                out.push(Output::Beat(self.beat(now)));
            }
        }
    }

    fn handle_timeout(&mut self, now: Now, out: &mut Vec<Output>) {
        self.wake(now, out);
        if self.leaving {
            return;
        }
        self.settle(now, out);
        let forget = self.timers.forget;
        self.members
            .retain(|_, member| member.reach.is_some() || member.heard + forget > now.instant);
        self.refused.retain(|_, (_, at)| *at + forget > now.instant);
        if self.next_beat.is_none_or(|at| at <= now.instant) {
            self.next_beat = Some(now.instant + self.timers.beat);
            out.push(Output::Beat(self.beat(now)));
        }
    }

    /// The next heartbeat; whoever falls silent is noticed then.
    fn next_timeout(&self) -> Option<Instant> {
        if self.leaving {
            return None;
        }
        self.next_beat.or(self.last.map(|last| last.instant))
    }
}

/// The ways to one node.
#[derive(Default)]
struct Ways {
    direct: bool,
    /// By these, in the order of their names.
    relays: Vec<NodeId>,
}

impl Ways {
    /// The direct one if there is one; otherwise the one before, as long as it serves.
    fn choose(self, before: &Option<Reach>) -> Option<Reach> {
        if self.direct {
            return Some(Reach::Direct);
        }
        match before {
            Some(Reach::Via(relay)) if self.relays.contains(relay) => before.clone(),
            _ => self.relays.into_iter().next().map(Reach::Via),
        }
    }
}

#[cfg(test)]
mod tests;
