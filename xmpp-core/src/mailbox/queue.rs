//! Bounded queues with one reader.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;

use copied::Told;

use super::owed::{Asked, is_owed};
use super::{Budget, Envelope, Inbox, Later, Mailbox, Origin, Reason, Settlement, Share, Source};
use crate::standby::Copied;
use crate::stanza::{IqType, Kind, Stanza};

mod copied;

/// Bytes that may wait in a queue for an answer to be taken though the memory of all is used, and its reserve with it.
const LITTLE: usize = 4 << 10;

/// Bounds of one mailbox. A quarter as much again is there for [answers](QueueLimits::answers).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct QueueLimits {
    /// Stanzas; default 1000: a burst such as a room's presence fits, a peer
    /// that has stopped reading is noticed.
    pub stanzas: usize,
    /// Bytes of XML; default 2 MiB: eight stanzas of the largest default size.
    pub bytes: usize,
}

impl Default for QueueLimits {
    fn default() -> QueueLimits {
        QueueLimits {
            stanzas: 1000,
            bytes: 2 << 20,
        }
    }
}

impl QueueLimits {
    /// The room for answers when there is none for anything else: a quarter of these bounds, at
    /// least one stanza. One that is begun with so many bytes is taken whole.
    pub fn answers(&self) -> QueueLimits {
        QueueLimits {
            stanzas: (self.stanzas / 4).max(1),
            bytes: (self.bytes / 4).max(1),
        }
    }

    fn half(&self) -> QueueLimits {
        QueueLimits {
            stanzas: self.stanzas / 2,
            bytes: self.bytes / 2,
        }
    }
}

/// What waits in several queues at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Depths {
    /// Stanzas in all of them.
    pub stanzas: usize,
    /// Bytes of XML in all of them.
    pub bytes: usize,
    /// Stanzas in the queue that has the most.
    pub most_stanzas: usize,
    /// Bytes in the queue that has the most, which may be another.
    pub most_bytes: usize,
}

impl Depths {
    /// Counts one queue more, with so many stanzas and bytes.
    pub fn add(&mut self, (stanzas, bytes): (usize, usize)) {
        self.stanzas += stanzas;
        self.bytes += bytes;
        self.most_stanzas = self.most_stanzas.max(stanzas);
        self.most_bytes = self.most_bytes.max(bytes);
    }
}

/// A bounded queue with one reader: the usual [`Inbox`]. Idle, it holds no heap memory.
///
/// When it is full it takes nothing more until the reader has emptied it: what does not
/// fit goes elsewhere (to the store, say), and nothing newer may overtake it. A session's
/// queue takes no messages either while one that it refused is being stored, or has yet to
/// come back as a burst; [copies](Source::Copy), answers and presence it still takes.
///
/// An answer (the result of an IQ, an error) that does not fit would be lost without a word, since RFC 6120 §8.3.1 allows
/// none about it; and so would what the server itself has to say by IQ, such as a roster push. There is
/// [room](QueueLimits::answers) for these when there is none for anything else. They may use the reserve of the [`Budget`], and when that
/// is used as well, each queue that holds little takes some still, 4 KiB together.
///
/// Answers that the reader cannot have asked for, having asked less than has been answered, have half of that room and no
/// reserve: else whoever knows its address could use all of it.
#[derive(Debug)]
pub struct Queue {
    state: Mutex<State>,
    reader: AtomicWaker,
    limits: QueueLimits,
    budget: Arc<Budget>,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Envelope>,
    bytes: usize,
    asked: Asked,
    overflowed: bool,
    closed: bool,
    /// How many of `items` come from where the reader was before; what still comes from there is put behind these, before
    /// what has come here.
    arriving: Option<Arriving>,
    /// Where all that comes goes on to: the reader is on another node now.
    diverted: Option<Mailbox>,
    /// Whether messages that were refused may not be on their way to the reader yet.
    detoured: bool,
    /// Those of which it is not yet settled what becomes of them.
    detours: u32,
    /// The bursts that wait, in their order: how many stanzas have left the queue when one's turn has come, or `None` for one
    /// that comes before what waits here.
    bursts: VecDeque<Option<u64>>,
    /// Stanzas that have left the queue.
    left: u64,
    /// Who keeps a copy of all this, and is told of it first.
    copied: Option<Copied>,
}

/// A queue whose reader comes from another node.
#[derive(Debug)]
struct Arriving {
    /// How many have come from there.
    late: usize,
    /// Whether what a store has comes before them.
    bursts: bool,
}

/// When the turn of a burst comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Before what waits in the queue.
    First,
    /// After what waits now, and before what comes later.
    Last,
}

/// A message that a session's queue has refused takes another way, as long as this lives.
pub(crate) struct Detour(Arc<Queue>);

impl Queue {
    /// An empty, open queue.
    pub fn new(limits: QueueLimits, budget: Arc<Budget>) -> Queue {
        Queue {
            state: Mutex::default(),
            reader: AtomicWaker::new(),
            limits,
            budget,
        }
    }

    /// Takes the oldest stanzas that wait, about `bytes` of XML but at least one;
    /// `Ready(None)` when the queue is closed and empty.
    pub fn poll_take(
        &self,
        cx: &mut Context<'_>,
        bytes: usize,
    ) -> Poll<Option<VecDeque<Envelope>>> {
        self.register(cx);
        self.take(bytes).map_or(Poll::Pending, Poll::Ready)
    }

    /// Takes the oldest stanzas, as [`poll_take`](Queue::poll_take), without waiting:
    /// `None` if there is nothing yet, `Some(None)` when there will never be anything.
    pub fn take(&self, bytes: usize) -> Option<Option<VecDeque<Envelope>>> {
        self.lock()
            .take(bytes, usize::MAX, &self.budget)
            .map(present)
    }

    /// The same, but nothing that is behind a burst.
    pub(crate) fn take_in_turn(&self, bytes: usize) -> Option<Option<VecDeque<Envelope>>> {
        let mut state = self.lock();
        match state.before_burst() {
            0 => None,
            most => state.take(bytes, most, &self.budget).map(present),
        }
    }

    /// Has a burst added by `add`, which answers whether it is.
    pub(crate) fn add_burst(&self, turn: Turn, add: impl FnOnce() -> bool) {
        let mut state = self.lock();
        // What was stored since the reader left the other node is younger than what waited there.
        let turn = match &state.arriving {
            Some(arriving) if !arriving.bursts => Turn::Last,
            _ => turn,
        };
        let behind = match turn {
            Turn::First => None,
            Turn::Last => Some(state.left + state.items.len() as u64),
        };
        if add() {
            state.bursts.push_back(behind);
        }
    }

    /// Has the next burst taken by `take`, if its turn has come.
    pub(crate) fn take_burst<T>(&self, take: impl FnOnce() -> Option<T>) -> Option<T> {
        let mut state = self.lock();
        let taken = match state.before_burst() {
            0 => {
                state.bursts.pop_front();
                take()
            }
            _ => None,
        };
        if !state.overflowed {
            // What was stored is before the reader, so what comes now is behind it.
            state.detoured &= !state.bursts.is_empty() || state.detours > 0;
        }
        taken
    }

    /// To be held while a message that was refused is being stored.
    pub(crate) fn detour(self: &Arc<Queue>) -> Detour {
        let mut state = self.lock();
        state.detoured = true;
        state.detours += 1;
        Detour(self.clone())
    }

    /// Has these in front, which waited in a queue of before, whatever the bounds; `first` if
    /// bursts that were added do not come before them.
    #[cfg(feature = "io")]
    pub(crate) fn restore(&self, waiting: VecDeque<Envelope>, first: bool) {
        let size: usize = waiting.iter().map(|e| e.stanza.size()).sum();
        self.budget.take_anyway(size);
        let mut state = self.lock();
        state.asked = Asked::UNKNOWN;
        state.overflowed = first && !waiting.is_empty();
        state.bytes += size;
        state.items = waiting;
    }

    /// Takes all that waits, bursts or not, and stays open: it may be [put back](Queue::put_back).
    #[cfg(feature = "io")]
    pub(crate) fn take_all(&self) -> VecDeque<Envelope> {
        let taken = self.lock().take(usize::MAX, usize::MAX, &self.budget);
        present(taken.flatten()).unwrap_or_default()
    }

    /// Has these, which waited on the node where the reader was before; bursts that are added come before them, or behind. What
    /// [comes late](Queue::late) from there gets in behind these, and before what comes here; until [`arrived`](Queue::arrived).
    #[cfg(feature = "io")]
    pub(crate) fn arrive(&self, waiting: VecDeque<Envelope>, bursts: bool) {
        let late = waiting.len();
        self.restore(waiting, false);
        self.lock().arriving = Some(Arriving { late, bursts });
    }

    /// Nothing comes late any more.
    #[cfg(feature = "io")]
    pub(crate) fn arrived(&self) {
        self.lock().arriving = None;
    }

    /// Takes a stanza that has come over another node, perhaps the one where the reader was before.
    pub(crate) fn late(&self, envelope: Envelope) -> Settlement {
        self.admit(envelope, |state, envelope| match &mut state.arriving {
            Some(arriving) => {
                state.items.insert(arriving.late, envelope);
                arriving.late += 1;
            }
            None => state.items.push_back(envelope),
        })
    }

    /// Takes so many of the oldest.
    #[cfg(feature = "io")]
    pub(crate) fn take_first(&self, most: usize) -> VecDeque<Envelope> {
        if most == 0 {
            return VecDeque::new();
        }
        let taken = self.lock().take(usize::MAX, most, &self.budget);
        taken.flatten().unwrap_or_default()
    }

    /// Has these in front again, whatever the bounds.
    #[cfg(feature = "io")]
    pub(crate) fn put_back(&self, mut waiting: VecDeque<Envelope>) {
        let size: usize = waiting.iter().map(|e| e.stanza.size()).sum();
        let mut state = self.lock();
        if !state.closed {
            self.budget.take_anyway(size);
            state.bytes += size;
        }
        state.left = state.left.saturating_sub(waiting.len() as u64);
        waiting.append(&mut state.items);
        state.items = waiting;
        drop(state);
        self.reader.wake();
    }

    /// All that waits goes on to `to`, and all that comes from now on behind it, in order: whoever still knows this
    /// queue needs to know no better.
    #[cfg(feature = "io")]
    pub(crate) fn divert(&self, to: Mailbox) -> Diverted {
        let mut diverted = Diverted::default();
        let mut state = self.lock();
        self.budget.give(std::mem::take(&mut state.bytes));
        // Under the lock, so that nothing that comes meanwhile overtakes these.
        for envelope in present(Some(std::mem::take(&mut state.items))).unwrap_or_default() {
            diverted.pass(envelope, &to);
        }
        state.diverted = Some(to);
        let copied = state.copied.take();
        drop(state);
        drop(copied);
        diverted
    }

    /// Whether bursts wait whose turn comes after some stanzas here.
    #[cfg(feature = "io")]
    pub(crate) fn has_bursts_in_turn(&self) -> bool {
        self.lock().bursts.iter().any(Option::is_some)
    }

    /// Whether bursts wait.
    #[cfg(feature = "io")]
    pub(crate) fn has_bursts(&self) -> bool {
        !self.lock().bursts.is_empty()
    }

    /// Waits for the oldest stanzas, as [`poll_take`](Queue::poll_take): for an entity with a
    /// task of its own. Nothing is lost if it is dropped before it is done.
    pub async fn next(&self, bytes: usize) -> Option<VecDeque<Envelope>> {
        poll_fn(|cx| self.poll_take(cx, bytes)).await
    }

    /// Whether so much of the room for answers is used that its reader should ask for nothing more: half of it is for answers
    /// to what has been asked before, and for those who speak without having been asked. Nor should one that has something to take
    /// while the memory of all is [short](Budget::is_short).
    pub fn is_crowded(&self) -> bool {
        let half = self.limits.answers().half();
        let (stanzas, bytes) = self.depth();
        stanzas > self.limits.stanzas + half.stanzas
            || bytes > self.limits.bytes + half.bytes
            // One that has nothing to take would not know when to look again.
            || stanzas > 0 && self.budget.is_short()
    }

    /// The reader has sent this: if it is a request, an answer may be on its way.
    pub(crate) fn sent(&self, stanza: &Stanza) {
        if let Kind::Iq(IqType::Get | IqType::Set) = stanza.kind() {
            self.lock().asked.sent(stanza);
        }
    }

    /// Whether the reader may have asked for something that is owed to it, or the server itself has to say it.
    pub(crate) fn may_await(&self, stanza: &Stanza, origin: &Origin) -> bool {
        self.lock().asked.may_include(stanza, origin)
    }

    /// Whether something did not fit since it was last empty.
    pub fn is_overflowed(&self) -> bool {
        self.lock().overflowed
    }

    /// Has the task of `cx` look again when there is something new, without taking
    /// anything now.
    pub fn register(&self, cx: &Context<'_>) {
        self.reader.register(cx.waker());
    }

    /// Has the reader look again, though nothing was pushed.
    pub fn wake(&self) {
        self.reader.wake();
    }

    /// Stanzas and bytes that wait.
    pub fn depth(&self) -> (usize, usize) {
        let state = self.lock();
        (state.items.len(), state.bytes)
    }

    /// Refuses all further stanzas and hands out those that still wait.
    pub fn close(&self) -> VecDeque<Envelope> {
        let mut state = self.lock();
        state.closed = true;
        self.budget.give(std::mem::take(&mut state.bytes));
        let rest = std::mem::take(&mut state.items);
        let copied = state.copied.take();
        drop(state);
        // Whoever keeps it may look at this queue when it goes.
        drop(copied);
        self.reader.wake();
        present(Some(rest)).unwrap_or_default()
    }

    /// Whether something goes into the room for answers; its memory is taken then.
    fn squeeze(&self, envelope: &Envelope, state: &State) -> bool {
        let Envelope { stanza, origin, .. } = envelope;
        if !is_owed(stanza, origin) {
            return false;
        }
        let (limits, room) = (&self.limits, self.limits.answers());
        match state.asked.may_include(stanza, origin) {
            true => state.fits_beside(limits, &room) && self.lend(stanza.size(), state.bytes),
            false => state.fits_beside(limits, &room.half()) && self.budget.take(stanza.size()),
        }
    }

    /// Takes memory for an answer of this size, beside so many bytes that wait.
    fn lend(&self, size: usize, waiting: usize) -> bool {
        let lent = self.budget.take_reserved(size);
        let little = !lent && waiting + size <= LITTLE;
        if little {
            self.budget.take_anyway(size);
        }
        lent || little
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here can panic half way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// How many stanzas come before the next burst.
    fn before_burst(&self) -> usize {
        let Some(next) = self.bursts.front() else {
            return usize::MAX;
        };
        // While the queue has overflowed, what did not fit comes as such a burst, and what did is older.
        if next.is_none() && !self.overflowed {
            return 0;
        }
        let behind = self.bursts.iter().flatten().next();
        behind.map_or(usize::MAX, |behind| {
            behind.saturating_sub(self.left) as usize
        })
    }

    /// Takes about so many bytes and at most so many stanzas.
    fn take(
        &mut self,
        bytes: usize,
        most: usize,
        budget: &Budget,
    ) -> Option<Option<VecDeque<Envelope>>> {
        if self.items.is_empty() {
            return self.closed.then_some(None);
        }
        if self.bytes <= bytes && self.items.len() <= most {
            self.left += self.items.len() as u64;
            budget.give(std::mem::take(&mut self.bytes));
            self.overflowed = false;
            return Some(Some(std::mem::take(&mut self.items)));
        }
        let mut taken = VecDeque::new();
        let mut size = 0;
        while size < bytes
            && taken.len() < most
            && let Some(envelope) = self.items.pop_front()
        {
            size += envelope.stanza.size();
            taken.push_back(envelope);
        }
        self.bytes -= size;
        self.left += taken.len() as u64;
        self.overflowed &= !self.items.is_empty();
        budget.give(size);
        Some(Some(taken))
    }

    /// Whether something of this size fits in, and would overtake nothing.
    fn has_room(&self, size: usize, limits: &QueueLimits) -> bool {
        !self.overflowed && self.items.len() < limits.stanzas && self.bytes + size <= limits.bytes
    }

    /// Whether something fits in, with so much room more.
    fn fits_beside(&self, limits: &QueueLimits, room: &QueueLimits) -> bool {
        self.items.len() < limits.stanzas + room.stanzas && self.bytes < limits.bytes + room.bytes
    }
}

/// What has not been withdrawn.
fn present(taken: Option<VecDeque<Envelope>>) -> Option<VecDeque<Envelope>> {
    taken.map(|mut envelopes| {
        envelopes.retain(Envelope::read);
        envelopes
    })
}

/// What became of that which waited in a queue that was [diverted](Queue::divert).
#[cfg(feature = "io")]
#[derive(Default)]
pub(crate) struct Diverted {
    /// Those for which somebody waits, with what tells of them now.
    pub(crate) awaited: Vec<(Envelope, Later)>,
    /// Those that were not taken.
    pub(crate) refused: VecDeque<Envelope>,
}

#[cfg(feature = "io")]
impl Diverted {
    fn pass(&mut self, envelope: Envelope, to: &Mailbox) {
        match to.pass(envelope.record()) {
            Settlement::Done => envelope.settle(super::Outcome::Settled),
            Settlement::Later(later) => self.awaited.push((envelope, later)),
            Settlement::Failed(_) => self.refused.push_back(envelope),
        }
    }
}

impl Drop for Detour {
    fn drop(&mut self) {
        self.0.lock().detours -= 1;
        // Only the reader knows when nothing is left.
        self.0.wake();
    }
}

impl Inbox for Queue {
    fn push(&self, envelope: Envelope) -> Settlement {
        self.admit(envelope, |state, envelope| state.items.push_back(envelope))
    }
}

impl Queue {
    fn admit(&self, mut envelope: Envelope, put: impl FnOnce(&mut State, Envelope)) -> Settlement {
        let size = envelope.stanza.size();
        let mut state = self.lock();
        if let Some(to) = state.diverted.clone() {
            drop(state);
            return to.pass(envelope);
        }
        // A copy is lost if it is not taken, and says itself when it was sent.
        let is_behind =
            state.detoured && envelope.stanza.is_kept() && envelope.origin.source != Source::Copy;
        let reason = if state.closed {
            Some(Reason::Closed)
        } else if is_behind {
            // There is room for whatever takes no such way.
            Some(Reason::Full)
        } else if state
            .copied
            .as_ref()
            .is_some_and(|copied| copied.progress().is_full())
        {
            state.overflowed = !state.items.is_empty();
            Some(Reason::Full)
        } else if state.has_room(size, &self.limits) && self.budget.take(size)
            || self.squeeze(&envelope, &state)
        {
            None
        } else {
            // With nothing in it there is nothing that could be overtaken.
            state.overflowed = !state.items.is_empty();
            Some(Reason::Full)
        };
        if let Some(reason) = reason {
            return envelope.refused(reason);
        }
        let settlement = match &state.copied {
            None => waits(&mut envelope),
            Some(copied) => match copied::tell(copied, &mut envelope) {
                Told::In(settlement) => settlement,
                Told::Before(settlement) => {
                    self.budget.give(size);
                    return settlement;
                }
            },
        };
        state.asked.given(&envelope.stanza);
        state.bytes += size;
        let first = state.items.is_empty();
        put(&mut state, envelope);
        drop(state);
        if first {
            self.reader.wake();
        }
        settlement
    }
}

/// What whoever waits for a stanza is given, that is about to wait.
fn waits(envelope: &mut Envelope) -> Settlement {
    if envelope.origin.sm.is_none() {
        return Settlement::Done;
    }
    // Should the reader leave it too long, it takes another way, if it has one.
    let alone = envelope.share.as_ref().is_none_or(Share::is_last);
    let (settle, later) = match alone && envelope.stanza.has_another_way() {
        true => Later::of(Envelope::new(
            envelope.stanza.clone(),
            envelope.origin.clone(),
        )),
        false => Later::new(),
    };
    envelope.settle = Some(settle);
    Settlement::Later(later)
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod turns;
