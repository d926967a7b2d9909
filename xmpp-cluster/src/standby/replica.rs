//! A session as its owner and its standby have it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use xmpp_core::session::SessionId;
use xmpp_core::time::{Now, Timestamp};
use xmpp_sm::Counter;

use super::dedupe::{self, Dedupe, Verdict};
use crate::frame::standby::{Begin, Item, ItemId, Known, Op};

/// Runs of nodes of which is remembered how far what they have accepted for one session is known.
const RUNS: usize = 64;

/// All that another node needs to go on with a session: what an owner keeps of its own, and a standby of it.
///
/// It is a state machine of [`Op`]s. Who has applied the same has the same.
#[derive(Clone, Debug)]
pub struct Replica {
    /// The session.
    pub session: SessionId,
    /// The name under which its stream is resumed (XEP-0198 §5).
    pub name: Arc<str>,
    /// How long it waits for its client.
    pub max: Duration,
    /// Grows whenever it changes hands, or its owner loses a standby: of two owners, the one with the greater is right. It is odd while its client was not where it was taken over.
    pub generation: u32,
    /// The generation in which its client was last served.
    pub served: u32,
    /// How many things have happened on its stream: of two replicas last served in the same generation, the one with more knows what the client knows.
    pub steps: u64,
    /// What it is besides: its address, presence, flags, directed presences, what modules keep. Read by whoever restores it.
    pub state: Bytes,
    /// Until when it waits for its client; `None` while that is there.
    pub until: Option<Timestamp>,
    /// Inbound stanzas that are handled: the client may have been told so.
    pub handled: Counter,
    /// Outbound stanzas that the client has acknowledged.
    pub acked: Counter,
    /// What the client was sent after that.
    pub sent: VecDeque<Item>,
    /// What is to be sent.
    pub waiting: VecDeque<Item>,
    /// Which inbound stanzas of others it has had.
    pub known: Dedupe,
    /// How far what each run of a node has accepted for it is known.
    have: Vec<(u64, u64)>,
    bytes: usize,
}

/// An [`Op`] that cannot be: the replica is not what its owner has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Nonsense(&'static str);

/// What came of bringing two replicas of one session together.
#[derive(Clone, Debug)]
pub struct Merged {
    /// Whether the other one is the one that its client knows, so this one is now what that one was.
    pub replaced: bool,
    /// What was added to what waits.
    pub added: Vec<Item>,
}

impl Replica {
    /// A session with which nothing has happened yet.
    pub fn new(session: SessionId, name: Arc<str>, max: Duration, state: Bytes) -> Replica {
        let begin = Begin {
            name,
            max: u32::try_from(max.as_secs()).unwrap_or(u32::MAX),
            generation: 2,
            served: 2,
            steps: 0,
            state,
            until: None,
            handled: Counter::default(),
            acked: Counter::default(),
            have: Vec::new(),
        };
        Replica::begin(session, begin, dedupe::Limits::default())
    }

    /// As a snapshot begins.
    pub(super) fn begin(session: SessionId, begin: Begin, limits: dedupe::Limits) -> Replica {
        Replica {
            session,
            name: begin.name,
            max: Duration::from_secs(begin.max.into()),
            generation: begin.generation,
            served: begin.served,
            steps: begin.steps,
            bytes: begin.state.len(),
            state: begin.state,
            until: begin.until,
            handled: begin.handled,
            acked: begin.acked,
            sent: VecDeque::new(),
            waiting: VecDeque::new(),
            known: Dedupe::new(limits),
            have: begin.have,
        }
    }

    /// The time of forgetting and the bound are this node's.
    pub(super) fn remember(&mut self, limits: dedupe::Limits) {
        self.known.bound(limits);
    }

    /// The replica as [`Op`]s, from [`Op::Begin`] to [`Op::Whole`].
    pub(super) fn snapshot(&self) -> impl Iterator<Item = Op> {
        let begin = Op::Begin(Box::new(Begin {
            name: self.name.clone(),
            max: u32::try_from(self.max.as_secs()).unwrap_or(u32::MAX),
            generation: self.generation,
            served: self.served,
            // Those that were sent are counted as they are told.
            steps: self.steps.saturating_sub(self.sent.len() as u64),
            state: self.state.clone(),
            until: self.until,
            handled: self.handled,
            acked: self.acked,
            have: self.have.clone(),
        }));
        let known = self.known.streams().map(|(id, window)| {
            Op::Known(Known {
                id: id.clone(),
                window,
            })
        });
        let items = self.sent.iter().chain(&self.waiting).cloned();
        std::iter::once(begin)
            .chain(known)
            .chain(items.map(Op::Queued))
            .chain(std::iter::once(Op::Whole))
    }

    /// Has something happen.
    pub fn apply(&mut self, op: Op, now: Now) -> Result<(), Nonsense> {
        match op {
            Op::Queued(item) => {
                self.note(item.id);
                if let Some(point) = &item.point {
                    self.known.record(point, now.instant);
                }
                self.bytes += item.stanza.len();
                match item.at {
                    Some(_) => {
                        self.steps += 1;
                        self.sent.push_back(item);
                    }
                    None => self.waiting.push_back(item),
                }
            }
            Op::Sent(id, at) => {
                self.steps += 1;
                let mut item = self.take(id).ok_or(Nonsense("sent and not there"))?;
                item.at = Some(at);
                self.sent.push_back(item);
            }
            Op::Withdrawn(id) => {
                let item = self.take(id).ok_or(Nonsense("withdrawn and not there"))?;
                self.bytes -= item.stanza.len();
                // Stored, say, it comes back when its turn is there.
                if let Some(point) = &item.point {
                    self.known.forget(point);
                }
            }
            Op::Acked(h) => {
                self.steps += 1;
                let had = h.since(self.acked).map(|n| n as usize);
                let had = had.filter(|n| *n <= self.sent.len());
                let had = had.ok_or(Nonsense("acknowledged and never sent"))?;
                let had: usize = self.sent.drain(..had).map(|item| item.stanza.len()).sum();
                self.bytes -= had;
                self.acked = h;
                if self.sent.is_empty() {
                    self.sent = VecDeque::new();
                }
            }
            Op::Handled(h) => {
                self.steps += 1;
                h.since(self.handled).ok_or(Nonsense("handled before"))?;
                self.handled = h;
            }
            Op::State(state) => {
                self.bytes = self.bytes - self.state.len() + state.len();
                self.state = state;
            }
            Op::Until(until) => self.until = until,
            Op::Raised { generation, served } => {
                self.generation = generation;
                self.served = served;
            }
            Op::Known(Known { id, window }) => self.known.learn(&id, window, now.instant),
            // These are about the replica, not of it.
            Op::Begin(_) | Op::Whole | Op::Ended | Op::Unknown => {}
        }
        Ok(())
    }

    /// Brings in what another owner of the session has accepted: each stanza once, and the stream as the client knows it.
    pub(super) fn merge(&mut self, mut other: Replica, now: Now) -> Merged {
        let generation = self.generation;
        let replaced = (other.served, other.steps) > (self.served, self.steps);
        if replaced {
            std::mem::swap(self, &mut other);
            self.generation = generation;
        }
        let mut added = Vec::new();
        let theirs = other.sent.into_iter().chain(other.waiting);
        for mut item in theirs {
            let had = match &item.point {
                // If one of the two has withdrawn it since, it is stored, and comes back as a copy of this one; or it has come to the other.
                Some(point) => self.known.verdict(point) == Verdict::Seen,
                None => self.has(item.id),
            };
            if had {
                continue;
            }
            item.at = None;
            self.bytes += item.stanza.len();
            self.waiting.push_back(item.clone());
            added.push(item);
        }
        for item in &added {
            if let Some(point) = &item.point {
                self.known.record(point, now.instant);
            }
        }
        for (id, window) in other.known.streams() {
            self.known.learn(id, window, now.instant);
        }
        for (run, n) in other.have {
            self.note(ItemId { run, n });
        }
        Merged { replaced, added }
    }

    /// Bytes of what it holds, and what a replica takes besides.
    pub fn size(&self) -> usize {
        const EACH: usize = 128;
        let pieces = self.sent.len() + self.waiting.len() + self.known.len() + 4;
        self.bytes + pieces * EACH
    }

    /// How many outbound stanzas have been sent, as the client counts them.
    pub fn sent_count(&self) -> Counter {
        // What waits for an acknowledgement is bounded far below 2³¹ by whoever sends it.
        self.acked.plus(self.sent.len() as u32)
    }

    /// Whether this was accepted before.
    fn has(&self, id: ItemId) -> bool {
        let known = self.have.iter().find(|(run, _)| *run == id.run);
        known.is_some_and(|(_, n)| id.n <= *n)
    }

    fn note(&mut self, id: ItemId) {
        match self.have.iter_mut().find(|(run, _)| *run == id.run) {
            Some((_, n)) => *n = id.n.max(*n),
            None => {
                if self.have.len() == RUNS {
                    self.have.remove(0);
                }
                self.have.push((id.run, id.n));
            }
        }
    }

    /// Takes one out that waits; most often it is the first.
    fn take(&mut self, id: ItemId) -> Option<Item> {
        let at = self.waiting.iter().position(|item| item.id == id)?;
        let item = self.waiting.remove(at);
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Now {
        #[allow(clippy::disallowed_methods)] // only differences count
        let instant = std::time::Instant::now();
        let utc = Timestamp(0);
        Now { instant, utc }
    }

    fn new() -> Replica {
        let session = SessionId { run: 1, n: 1 };
        Replica::new(session, "sm".into(), Duration::from_secs(60), Bytes::new())
    }

    /// What the node of that run accepts as its `n`th, the `at`th of a sender.
    fn item(run: u64, n: u64, at: Option<u32>) -> Item {
        let id = "sender".into();
        Item {
            id: ItemId { run, n },
            point: at.map(|n| xmpp_core::mailbox::SmPoint { id, n }),
            at: None,
            stanza: Bytes::from_static(b"<message/>"),
        }
    }

    fn apply(replica: &mut Replica, ops: impl IntoIterator<Item = Op>) {
        let now = now();
        for op in ops {
            replica.apply(op, now).unwrap();
        }
    }

    fn waiting(replica: &Replica) -> Vec<(u64, u64)> {
        let ids = replica.waiting.iter().map(|item| item.id);
        ids.map(|id| (id.run, id.n)).collect()
    }

    #[test]
    fn a_snapshot_is_what_was_told_wherever_the_counts_wrap() {
        let mut replica = new();
        replica.acked = Counter(u32::MAX);
        let sent = |n| Op::Sent(ItemId { run: 1, n }, Timestamp(5));
        let queued = (1..=4).map(|n| Op::Queued(item(1, n, Some(n as u32))));
        apply(&mut replica, queued);
        apply(&mut replica, [sent(1), sent(2), sent(3)]);
        assert_eq!(replica.sent_count(), Counter(2));
        apply(
            &mut replica,
            [Op::Acked(Counter(1)), Op::Handled(Counter(8))],
        );
        assert_eq!((replica.sent.len(), replica.waiting.len()), (1, 1));
        let mut ops = replica.snapshot();
        let Some(Op::Begin(begin)) = ops.next() else {
            panic!("it begins");
        };
        let mut copy = Replica::begin(replica.session, *begin, dedupe::Limits::default());
        apply(&mut copy, ops);
        let all = |replica: &Replica| {
            let Replica {
                steps,
                have,
                bytes,
                sent,
                waiting,
                acked,
                handled,
                ..
            } = replica.clone();
            let known: Vec<_> = replica
                .known
                .streams()
                .map(|(id, w)| (id.clone(), w))
                .collect();
            (steps, have, bytes, sent, waiting, acked, handled, known)
        };
        assert_eq!(all(&copy), all(&replica));
        assert_eq!(copy.size(), replica.size());
    }

    #[test]
    fn what_cannot_have_happened_is_an_error() {
        let mut replica = new();
        apply(
            &mut replica,
            [Op::Queued(item(1, 1, None)), Op::Handled(Counter(3))],
        );
        let nobody = ItemId { run: 1, n: 2 };
        for op in [
            Op::Sent(nobody, Timestamp(0)),
            Op::Withdrawn(nobody),
            Op::Acked(Counter(1)),
            Op::Acked(Counter(u32::MAX)),
            Op::Handled(Counter(2)),
        ] {
            assert!(replica.apply(op.clone(), now()).is_err(), "{op:?}");
        }
    }

    #[test]
    fn two_owners_bring_together_what_each_has_accepted_once_and_as_the_client_knows_it() {
        let mut base = new();
        apply(
            &mut base,
            [
                Op::Queued(item(1, 1, Some(1))),
                Op::Queued(item(1, 2, None)),
            ],
        );
        let (mut winner, mut loser) = (base.clone(), base);
        winner.generation = 3;
        // Both got the fifth of a sender, and each something of its own; the client was with the loser.
        let ours = [item(2, 1, Some(5)), item(2, 2, None), item(2, 3, Some(9))];
        apply(&mut winner, ours.map(Op::Queued));
        let theirs = [item(1, 3, Some(5)), item(1, 4, None), item(1, 5, Some(7))];
        apply(&mut loser, theirs.map(Op::Queued));
        let sent = Op::Sent(ItemId { run: 1, n: 1 }, Timestamp(1));
        apply(&mut loser, [sent, Op::Acked(Counter(1))]);
        let merged = winner.merge(loser.clone(), now());
        assert!(merged.replaced);
        assert_eq!(winner.generation, 3);
        assert_eq!(winner.acked, Counter(1));
        assert_eq!(
            waiting(&winner),
            [(1, 2), (1, 3), (1, 4), (1, 5), (2, 2), (2, 3)]
        );
        let again = winner.merge(loser, now());
        assert!(!again.replaced && again.added.is_empty(), "once");
    }

    /// It is stored, and comes back as a copy of that which the other side has.
    #[test]
    fn what_one_owner_has_withdrawn_and_the_other_has_is_there() {
        let mut base = new();
        apply(
            &mut base,
            [
                Op::Queued(item(1, 1, Some(1))),
                Op::Queued(item(1, 2, None)),
            ],
        );
        let (mut winner, loser) = (base.clone(), base);
        let withdrawn = [1, 2].map(|n| Op::Withdrawn(ItemId { run: 1, n }));
        apply(&mut winner, withdrawn);
        let merged = winner.merge(loser, now());
        assert_eq!(waiting(&winner), [(1, 1)]);
        let point = merged.added[0].point.clone().unwrap();
        assert_eq!(winner.known.verdict(&point), Verdict::Seen);
    }
}
