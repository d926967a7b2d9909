//! Mailboxes: how a stanza reaches an entity, and what became of it.
//!
//! A push never waits. It answers with a [`Settlement`], because the recipient
//! may be on another node, and an acknowledgement to the sender (XEP-0198) must
//! not be given before the stanza is safe.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;

use crate::im::offline::DELAY;
use crate::session::SessionId;
use crate::stanza::{Kind, Stanza};
use crate::time::Timestamp;
use crate::xml::Element;

mod budget;
mod settlement;

pub use budget::Budget;
#[cfg(feature = "io")]
pub(crate) use settlement::Watch;
pub use settlement::{Later, Outcome, Settle, Settlement};

/// Where stanzas for one entity go. Clone is cheap.
#[derive(Clone)]
pub struct Mailbox(Arc<dyn Inbox>);

/// What stands behind a [`Mailbox`]: a local queue, or a link to another node or server.
pub trait Inbox: Send + Sync {
    /// Takes a stanza, or gives it back at once. Never waits.
    fn push(&self, envelope: Envelope) -> Settlement;
}

impl Mailbox {
    /// A mailbox in front of an inbox.
    pub fn new(inbox: Arc<dyn Inbox>) -> Mailbox {
        Mailbox(inbox)
    }

    /// Hands over a stanza.
    pub fn push(&self, stanza: Stanza, origin: Origin) -> Settlement {
        self.push_shared(stanza, origin, None)
    }

    /// Hands over a stanza that others get too. Whoever does not deliver it after all
    /// [gives up](Share::give_up) the share; if it is not taken, the caller does.
    pub fn push_shared(&self, stanza: Stanza, origin: Origin, share: Option<Share>) -> Settlement {
        self.0.push(Envelope {
            stanza,
            origin,
            share,
            settle: None,
            kept: false,
        })
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mailbox")
    }
}

/// Who a stanza came from: what a failure is reported to, and what a duplicate
/// is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The kind of sender.
    pub source: Source,
    /// The sender's place in its resumable stream, if it has one. Only then does
    /// anybody wait for the settlement.
    pub sm: Option<SmPoint>,
}

/// The kind of sender.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// This server itself, or a module.
    Server,
    /// A session of one of our accounts.
    Session(SessionId),
    /// This server, with a copy of a stanza that goes its own way besides (a carbon). It
    /// is lost with the session that it waits for, and nobody hears of it.
    Copy,
    /// An entity that lives here: a component, a room.
    Entity,
    /// A domain on another server, as its stream has proven it.
    Remote(crate::BareJid),
}

/// The `n`-th stanza that a resumable stream sent (XEP-0198 §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmPoint {
    /// The stream's resumption id.
    pub id: Arc<str>,
    /// Its inbound counter when the stanza was taken.
    pub n: u32,
}

impl Origin {
    /// This server.
    pub const SERVER: Origin = Origin {
        source: Source::Server,
        sm: None,
    };

    /// An entity that is served here: [`Server::serve`](crate::server::Server::serve).
    pub const ENTITY: Origin = Origin {
        source: Source::Entity,
        sm: None,
    };

    /// This server, with a copy.
    pub const COPY: Origin = Origin {
        source: Source::Copy,
        sm: None,
    };

    /// A session without resumption.
    pub fn session(id: SessionId) -> Origin {
        Origin {
            source: Source::Session(id),
            sm: None,
        }
    }
}

/// A stanza on its way, with its origin.
#[derive(Debug)]
pub struct Envelope {
    /// The stanza.
    pub stanza: Stanza,
    /// Who it came from.
    pub origin: Origin,
    /// Its recipient's share in it, if others get it too.
    pub share: Option<Share>,
    settle: Option<Settle>,
    kept: bool,
}

impl Envelope {
    /// A stanza with its origin, for which nobody waits.
    pub fn new(stanza: Stanza, origin: Origin) -> Envelope {
        Envelope {
            stanza,
            origin,
            share: None,
            settle: None,
            kept: false,
        }
    }

    /// What an [`Inbox`] that takes this stanza answers: whoever waits hears when the envelope is
    /// [settled](Envelope::settle), and cannot take it back meanwhile.
    ///
    /// Whoever waits does so for [`Timeouts::settle`](crate::server::Timeouts::settle) at most; then the
    /// stanza counts as handled, whatever has become of it. An inbox in which it may wait for longer,
    /// and which must not lose it, [pledges](Envelope::pledged) more.
    pub fn taken(&mut self) -> Settlement {
        self.awaited(Later::new)
    }

    /// What an [`Inbox`] answers that takes this stanza and sees to it itself that it is settled in time: within about
    /// [`Timeouts::settle`](crate::server::Timeouts::settle) it is delivered, written down where no crash loses it, or an error is on its way
    /// to its sender. Whoever waits does so until then, without a bound of their own. All later
    /// stanzas of the same sender wait with it for their acknowledgement.
    pub fn pledged(&mut self) -> Settlement {
        self.awaited(Later::pledged)
    }

    fn awaited(&mut self, open: impl FnOnce() -> (Settle, Later)) -> Settlement {
        if self.origin.sm.is_none() {
            return Settlement::Done;
        }
        let (settle, later) = open();
        self.settle = Some(settle);
        Settlement::Later(later)
    }

    /// For whoever has pledged to settle it: what becomes of it, if somebody waits to hear.
    #[cfg(feature = "io")]
    pub(crate) fn watch(&self) -> Option<Watch> {
        self.settle.as_ref().map(Settle::watch)
    }

    /// The same for a stanza that is where nothing loses it, and for which nobody waits.
    #[cfg(feature = "io")]
    pub(crate) fn watch_released(&mut self) -> Watch {
        let (settle, _) = Later::pledged();
        let watch = settle.watch();
        watch.release();
        self.settle = Some(settle);
        watch
    }

    /// Whether whoever waited for it has been told that it is settled, since it is where nothing loses it.
    #[cfg(feature = "io")]
    pub(crate) fn is_released(&self) -> bool {
        self.settle.as_ref().is_some_and(Settle::is_released)
    }

    /// What an [`Inbox`] that does not take this stanza answers.
    pub fn refused(self, reason: Reason) -> Settlement {
        let Envelope { stanza, origin, .. } = self;
        Settlement::Failed(Undelivered {
            stanza,
            origin,
            reason,
        })
    }

    /// Whether somebody waits to hear what becomes of the stanza.
    pub fn is_awaited(&self) -> bool {
        self.settle.is_some()
    }

    /// A second envelope for the same stanza, for whoever is to keep it until it is
    /// acknowledged; the recipient's share in it goes there.
    pub fn keep(&mut self) -> Envelope {
        self.kept = true;
        Envelope {
            stanza: self.stanza.clone(),
            origin: self.origin.clone(),
            share: self.share.take(),
            settle: None,
            kept: true,
        }
    }

    /// A second envelope for the same stanza, for the connection, while whoever keeps this one answers for it: whoever waits
    /// for the stanza waits for this one, and the share stays with it.
    pub fn copy(&self) -> Envelope {
        Envelope {
            stanza: self.stanza.clone(),
            origin: self.origin.clone(),
            share: None,
            settle: None,
            kept: true,
        }
    }

    /// The stanza as it goes another way, `domain` having sent it in vain at that time. XEP-0198 §4: "servers SHOULD add a delay element
    /// with the original (failed) delivery timestamp, as per XEP-0203".
    pub fn late(mut self, domain: &str, at: Timestamp) -> Envelope {
        let is_message = matches!(self.stanza.kind(), Kind::Message(_));
        let payload = self.stanza.payload();
        if is_message && !payload.children().any(|child| child.is("delay", DELAY)) {
            let delay = Element::new("delay", DELAY)
                .with_attr("from", domain)
                .with_attr("stamp", &at.to_string());
            self.stanza = self.stanza.with_child(&delay);
        }
        self
    }

    /// The same once more, for whoever writes it down; nobody waits for it.
    pub fn record(&self) -> Envelope {
        Envelope {
            stanza: self.stanza.clone(),
            origin: self.origin.clone(),
            share: self.share.clone(),
            settle: None,
            kept: false,
        }
    }

    /// Whether somebody [keeps](Envelope::keep) the stanza until it is acknowledged.
    pub fn is_kept(&self) -> bool {
        self.kept
    }

    /// Whoever takes it out of where it waits says so; `false` if it has been
    /// [withdrawn](Later::withdraw), and is not to be delivered.
    pub(crate) fn read(&self) -> bool {
        self.settle.as_ref().is_none_or(Settle::read)
    }

    /// The same stanza, and who waits for it and can take it back.
    #[cfg(test)]
    pub(crate) fn withdrawable(mut self) -> (Envelope, Later) {
        let copy = Envelope::new(self.stanza.clone(), self.origin.clone());
        let (settle, later) = Later::of(copy);
        self.settle = Some(settle);
        (self, later)
    }

    /// Reports that the stanza is safe, and keeps it: it is in a queue that outlives the
    /// connection.
    pub fn settled(&mut self) {
        if let Some(settle) = self.settle.take() {
            settle.with(Outcome::Settled);
        }
    }

    /// Reports what became of the stanza to whoever waits for it.
    pub fn settle(self, outcome: Outcome) {
        if let Some(settle) = self.settle {
            settle.with(outcome);
        }
    }
}

/// The server's own, for which nobody waits.
impl From<Stanza> for Envelope {
    fn from(stanza: Stanza) -> Envelope {
        Envelope::new(stanza, Origin::SERVER)
    }
}

/// What the recipients of one message have in common: each holds a share in it, and
/// whoever gives up the last one knows that nobody has got it. So a message that several
/// sessions were to get is delivered once more, or stored, only if all of them have lost
/// it, and then once.
#[derive(Clone, Debug)]
pub struct Share(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    recipients: AtomicUsize,
    /// What stands for it where it is written down; 0 as long as it is not.
    #[cfg_attr(not(feature = "io"), allow(dead_code))]
    name: AtomicU64,
}

impl Share {
    /// A message with so many recipients; each gets a clone.
    pub fn among(recipients: usize) -> Share {
        Share(Arc::new(Shared {
            recipients: AtomicUsize::new(recipients),
            name: AtomicU64::new(0),
        }))
    }

    /// The recipients that have not given it up.
    pub(crate) fn left(&self) -> usize {
        self.0.recipients.load(Ordering::Acquire)
    }

    /// What stands for it where it is written down, the same for all recipients; `random` if
    /// it was not written down before.
    #[cfg(feature = "io")]
    pub(crate) fn name(&self, random: impl Fn() -> u64) -> u64 {
        let new = random().max(1);
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        match self.0.name.compare_exchange(0, new, success, failure) {
            Ok(_) => new,
            Err(name) => name,
        }
    }

    /// Counts one recipient more.
    pub fn join(&self) {
        self.0.recipients.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether there is no other recipient any more.
    pub fn is_last(&self) -> bool {
        self.left() == 1
    }

    /// One of the recipients will not get it; `true` if none of the others has got it or
    /// still may. To be called once for each recipient at most.
    pub fn give_up(&self) -> bool {
        self.0.recipients.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

/// A stanza that was not taken, given back so that it can take another way.
#[derive(Debug)]
pub struct Undelivered {
    /// The stanza.
    pub stanza: Stanza,
    /// Its origin.
    pub origin: Origin,
    /// Why.
    pub reason: Reason,
}

/// Why a mailbox refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A bound of the mailbox, or the server's memory cap, is reached.
    Full,
    /// The entity has ended.
    Closed,
}

/// Bounds of one mailbox.
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
    overflowed: bool,
    closed: bool,
    /// Whether messages that were refused may not be on their way to the reader yet.
    detoured: bool,
    /// Those of which it is not yet settled what becomes of them.
    detours: u32,
    /// Whether bursts wait.
    bursts: bool,
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
        self.lock().take(bytes, &self.budget).map(present)
    }

    /// The same, but nothing while a burst is to come first.
    pub(crate) fn take_in_turn(&self, bytes: usize) -> Option<Option<VecDeque<Envelope>>> {
        let mut state = self.lock();
        if state.bursts && !state.overflowed {
            return None;
        }
        state.take(bytes, &self.budget).map(present)
    }

    /// Has bursts added or taken by `change`, which answers whether some wait then.
    pub(crate) fn change_bursts(&self, change: impl FnOnce() -> bool) {
        let mut state = self.lock();
        state.bursts = change();
    }

    /// Has a burst taken by `take`, which answers whether more wait. There is none while the
    /// queue has overflowed: what did not fit comes as a burst, and what did is older.
    pub(crate) fn take_burst<T>(&self, take: impl FnOnce() -> (Option<T>, bool)) -> Option<T> {
        let mut state = self.lock();
        if state.overflowed {
            return None;
        }
        let mut taken = None;
        if state.bursts {
            (taken, state.bursts) = take();
        }
        // What was stored is before the reader, so what comes now is behind it.
        state.detoured &= state.bursts || state.detours > 0;
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
        state.overflowed = first && !waiting.is_empty();
        state.bytes += size;
        state.items = waiting;
    }

    /// Whether bursts wait.
    #[cfg(feature = "io")]
    pub(crate) fn has_bursts(&self) -> bool {
        self.lock().bursts
    }

    /// Waits for the oldest stanzas, as [`poll_take`](Queue::poll_take): for an entity with a
    /// task of its own. Nothing is lost if it is dropped before it is done.
    pub async fn next(&self, bytes: usize) -> Option<VecDeque<Envelope>> {
        poll_fn(|cx| self.poll_take(cx, bytes)).await
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
        drop(state);
        self.reader.wake();
        present(Some(rest)).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here can panic half way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, bytes: usize, budget: &Budget) -> Option<Option<VecDeque<Envelope>>> {
        if self.items.is_empty() {
            return self.closed.then_some(None);
        }
        if self.bytes <= bytes {
            budget.give(std::mem::take(&mut self.bytes));
            self.overflowed = false;
            return Some(Some(std::mem::take(&mut self.items)));
        }
        let mut taken = VecDeque::new();
        let mut size = 0;
        while size < bytes
            && let Some(envelope) = self.items.pop_front()
        {
            size += envelope.stanza.size();
            taken.push_back(envelope);
        }
        self.bytes -= size;
        self.overflowed &= !self.items.is_empty();
        budget.give(size);
        Some(Some(taken))
    }
}

/// What has not been withdrawn.
fn present(taken: Option<VecDeque<Envelope>>) -> Option<VecDeque<Envelope>> {
    taken.map(|mut envelopes| {
        envelopes.retain(Envelope::read);
        envelopes
    })
}

impl Drop for Detour {
    fn drop(&mut self) {
        self.0.lock().detours -= 1;
        // Only the reader knows when nothing is left.
        self.0.wake();
    }
}

impl Inbox for Queue {
    fn push(&self, mut envelope: Envelope) -> Settlement {
        let size = envelope.stanza.size();
        let mut state = self.lock();
        // A copy is lost if it is not taken, and says itself when it was sent.
        let is_behind =
            state.detoured && envelope.stanza.is_kept() && envelope.origin.source != Source::Copy;
        let reason = if state.closed {
            Some(Reason::Closed)
        } else if is_behind {
            // There is room for whatever takes no such way.
            Some(Reason::Full)
        } else if state.overflowed
            || state.items.len() >= self.limits.stanzas
            || state.bytes + size > self.limits.bytes
            || !self.budget.take(size)
        {
            // With nothing in it there is nothing that could be overtaken.
            state.overflowed = !state.items.is_empty();
            Some(Reason::Full)
        } else {
            None
        };
        if let Some(reason) = reason {
            return envelope.refused(reason);
        }
        let settlement = match &envelope.origin.sm {
            None => Settlement::Done,
            Some(_) => {
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
        };
        state.bytes += size;
        let first = state.items.is_empty();
        state.items.push_back(envelope);
        drop(state);
        if first {
            self.reader.wake();
        }
        settlement
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.close();
    }
}
