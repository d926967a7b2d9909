//! What a room sends, and how fast.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use xmpp_core::mailbox::Origin;
use xmpp_core::server::Server;
use xmpp_core::stanza::{Condition, IqType, Kind, MessageType, PresenceType, Stanza, StanzaError};
use xmpp_core::{BareJid, Jid};

use super::burst::Burst;
use super::loan::Loan;
use super::table::Table;

/// Stanzas that are sent before others have their turn.
const STRETCH: usize = 512;
/// Bytes of what all are to hear that are gathered at most: what a connection writes at once.
const GATHERED: usize = 16 << 10;
/// Stanzas of a burst that are sent at once to one who is elsewhere: what may wait on the way there has bounds.
const PAGE: usize = 200;
/// When as many more follow.
const PAUSE: Duration = Duration::from_millis(100);
/// What may come up meanwhile for one who is told more than that.
const MEANWHILE: usize = 1000;
/// Bytes for another node that do not wait for more.
const BATCH: usize = 64 << 10;

/// What a stanza of a burst takes: it is shared with others.
const BURST: usize = size_of::<Waiting>();

/// Where a room's stanzas leave it, in order for each recipient.
pub(super) struct Outlet {
    server: Server,
    table: Arc<Table>,
    /// What all are to hear, and nobody has heard yet.
    gathered: Gathered,
    /// What is yet to be sent to those who are told much.
    late: BTreeMap<Jid, Late>,
    /// When they are told more.
    due: Option<Instant>,
    /// What came back at once.
    bounced: Vec<Stanza>,
    /// What goes to other nodes together with what follows.
    batches: BTreeMap<BareJid, Batch>,
}

/// Stanzas for the same recipients, one after the other: each gets all of them and is woken once, so that they are written together. In a large
/// room the others have their turn before all are through, and would be written one by one.
struct Gathered {
    stanzas: Vec<Stanza>,
    bytes: usize,
    to: Arc<[Jid]>,
}

/// Stanzas that go to another node together: one flush, one record, one segment.
struct Batch {
    stanzas: Vec<Stanza>,
    bytes: usize,
    due: Instant,
}

/// What is yet to be sent to somebody.
struct Late {
    waiting: VecDeque<Waiting>,
    /// Of these, what was no part of a burst.
    meanwhile: usize,
    loan: Loan,
}

/// What waits for its turn.
enum Waiting {
    Burst(Arc<Stanza>),
    Meanwhile(Arc<Stanza>),
}

impl Outlet {
    pub(super) fn new(server: Server, table: Arc<Table>) -> Outlet {
        Outlet {
            server,
            table,
            gathered: Gathered::nothing(),
            late: BTreeMap::new(),
            due: None,
            bounced: Vec::new(),
            batches: BTreeMap::new(),
        }
    }

    /// Sends a stanza that has both addresses. It is on its way when this returns, or behind what is.
    pub(super) async fn send(&mut self, stanza: Stanza) {
        self.send_gathered().await;
        self.send_next(stanza).await;
    }

    async fn send_next(&mut self, stanza: Stanza) {
        let to = stanza.to().filter(|to| self.late.contains_key(*to));
        match to.cloned() {
            Some(to) => self.add(to, stanza),
            None => self.route(stanza).await,
        }
    }

    /// Sends a stanza to another node, with what goes there until then; at once if that is no time at all.
    pub(super) async fn send_together(&mut self, peer: &BareJid, stanza: Stanza, pause: Duration) {
        if pause.is_zero() && !self.batches.contains_key(peer) {
            return self.route(stanza).await;
        }
        let now = self.server.now().instant;
        let batch = self.batches.entry(peer.clone()).or_insert_with(|| Batch {
            stanzas: Vec::new(),
            bytes: 0,
            due: now + pause,
        });
        batch.bytes += stanza.size();
        batch.stanzas.push(stanza);
        if batch.bytes > BATCH || batch.due <= now {
            self.send_batch(peer).await;
        }
    }

    /// Sends what waits for more, and does not wait for it.
    pub(super) async fn send_batch(&mut self, peer: &BareJid) {
        let Some(batch) = self.batches.remove(peer) else {
            return;
        };
        for stanza in batch.stanzas {
            self.route(stanza).await;
        }
    }

    async fn send_batches(&mut self, now: Instant) {
        let due = self.batches.iter().filter(|(_, batch)| batch.due <= now);
        let due: Vec<_> = due.map(|(peer, _)| peer.clone()).collect();
        for peer in &due {
            self.send_batch(peer).await;
        }
    }

    /// Sends a stanza to each of these, at the latest with [`send_gathered`](Outlet::send_gathered).
    pub(super) async fn broadcast(&mut self, stanza: Stanza, to: Arc<[Jid]>) {
        if stanza.kind() == Kind::Message(MessageType::Groupchat) {
            self.table.house.metrics.messages.increment();
        }
        if !self.gathered.takes(&to) {
            self.send_gathered().await;
        }
        self.gathered.add(stanza, to);
    }

    /// Sends what all are to hear and has waited for more.
    pub(super) async fn send_gathered(&mut self) {
        let Gathered { stanzas, to, .. } =
            std::mem::replace(&mut self.gathered, Gathered::nothing());
        let stretch = STRETCH.div_ceil(stanzas.len().max(1));
        for recipients in to.chunks(stretch) {
            for recipient in recipients {
                for stanza in &stanzas {
                    let stanza = stanza.clone().with_to(recipient.clone());
                    self.send_next(stanza).await;
                }
            }
            if recipients.len() == stretch {
                rest().await;
            }
        }
    }

    /// Gives a burst to the one who has entered.
    pub(super) async fn burst(&mut self, to: Jid, stanzas: Vec<Arc<Stanza>>) {
        self.send_gathered().await;
        if let Some(session) = self.server.session_of(&to) {
            self.table.house.metrics.sent.add(stanzas.len() as u64);
            let first = stanzas.first().cloned();
            let burst = Burst::new(to.clone(), stanzas, self.server.budget());
            if !burst.is_some_and(|burst| session.add_feed_in_turn(Box::new(burst))) {
                self.bounce(to, first.as_ref().and_then(|first| first.from()));
            }
            return;
        }
        if let Some(late) = self.late.get_mut(&to) {
            late.supersede(&stanzas);
            if late.loan.grow(stanzas.len() * BURST) {
                late.waiting.extend(stanzas.into_iter().map(Waiting::Burst));
            } else {
                self.give_up(to, stanzas.first().and_then(|first| first.from()));
            }
            return;
        }
        let from = stanzas.first().and_then(|first| first.from().cloned());
        let mut late = Late {
            waiting: stanzas.into_iter().map(Waiting::Burst).collect(),
            meanwhile: 0,
            loan: Loan::none(self.server.budget()),
        };
        self.tell(&to, late.page()).await;
        if late.waiting.is_empty() {
            return;
        }
        if !late.loan.grow(late.waiting.len() * BURST) {
            return self.bounce(to, from.as_ref());
        }
        self.late.insert(to, late);
        let due = self.server.now().instant + PAUSE;
        self.due.get_or_insert(due);
    }

    /// When there is more to be sent.
    pub(super) fn due(&self) -> Option<Instant> {
        let batches = self.batches.values().map(|batch| batch.due);
        batches.chain(self.due).min()
    }

    /// Sends more to those who are told much, if it is time.
    pub(super) async fn handle_timeout(&mut self) {
        self.send_gathered().await;
        let now = self.server.now().instant;
        self.send_batches(now).await;
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        for (to, mut late) in std::mem::take(&mut self.late) {
            self.tell(&to, late.page()).await;
            if !late.waiting.is_empty() {
                self.late.insert(to, late);
            }
        }
        self.due = (!self.late.is_empty()).then(|| now + PAUSE);
    }

    /// Sends everything that there is.
    pub(super) async fn flush(&mut self) {
        self.send_gathered().await;
        for (to, mut late) in std::mem::take(&mut self.late) {
            while !late.waiting.is_empty() {
                self.tell(&to, late.page()).await;
            }
        }
        self.due = None;
        for peer in self.batches.keys().cloned().collect::<Vec<_>>() {
            self.send_batch(&peer).await;
        }
    }

    /// What came back at once, as if its recipients had sent it.
    pub(super) fn take_bounced(&mut self) -> Vec<Stanza> {
        std::mem::take(&mut self.bounced)
    }

    async fn tell(&mut self, to: &Jid, page: Vec<Waiting>) {
        for next in page {
            let stanza = Stanza::clone(next.stanza());
            self.route(stanza.with_to(to.clone())).await;
        }
    }

    /// Behind what is yet to be sent to them.
    fn add(&mut self, to: Jid, stanza: Stanza) {
        let Some(late) = self.late.get_mut(&to) else {
            return;
        };
        if late.meanwhile < MEANWHILE && late.loan.grow(stanza.size()) {
            late.meanwhile += 1;
            late.waiting.push_back(Waiting::Meanwhile(Arc::new(stanza)));
        } else {
            self.give_up(to, stanza.from());
        }
    }

    /// They are told nothing more.
    fn give_up(&mut self, to: Jid, from: Option<&Jid>) {
        self.late.remove(&to);
        self.bounce(to, from);
    }

    /// They cannot take what they are to be told.
    fn bounce(&mut self, to: Jid, from: Option<&Jid>) {
        let error = StanzaError::new(Condition::RecipientUnavailable);
        let bounce = Stanza::presence(PresenceType::Error).with_children([&error.to_element()]);
        let room = from.map(|from| Jid::from(from.to_bare()));
        self.bounced.push(bounce.with_from(to).with_to(room));
    }

    async fn route(&self, stanza: Stanza) {
        self.table.house.metrics.sent.increment();
        // What becomes of it is the recipient's matter; an error comes back to the room.
        let _ = self.server.route(stanza, Origin::ENTITY).finish().await;
    }
}

impl Gathered {
    fn nothing() -> Gathered {
        Gathered {
            stanzas: Vec::new(),
            bytes: 0,
            to: Arc::new([]),
        }
    }

    /// Whether there is room for one more stanza, and it is for the same recipients.
    fn takes(&self, to: &Arc<[Jid]>) -> bool {
        self.stanzas.is_empty() || self.bytes < GATHERED && Arc::ptr_eq(&self.to, to)
    }

    fn add(&mut self, stanza: Stanza, to: Arc<[Jid]>) {
        self.bytes += stanza.size();
        self.stanzas.push(stanza);
        self.to = to;
    }
}

impl Late {
    /// What is sent at once, and gives its memory back.
    fn page(&mut self) -> Vec<Waiting> {
        let page = self.waiting.len().min(PAGE);
        let page: Vec<_> = self.waiting.drain(..page).collect();
        for next in &page {
            self.loan.shrink(match next {
                Waiting::Burst(_) => BURST,
                Waiting::Meanwhile(stanza) => {
                    self.meanwhile -= 1;
                    stanza.size()
                }
            });
        }
        page
    }

    /// What is left of older bursts, and is told anew by this one, is not told twice: whoever enters again and again is told of the room once.
    fn supersede(&mut self, newer: &[Arc<Stanza>]) {
        // One who enters hears everything, up to the subject. One who becomes a moderator hears of the others, and of nothing else.
        let is_whole = newer
            .last()
            .is_some_and(|last| matches!(last.kind(), Kind::Message(_)));
        let told: HashSet<_> = newer.iter().filter_map(|newer| newer.from()).collect();
        let is_told = |older: &Stanza| {
            let is_presence = matches!(older.kind(), Kind::Presence(_));
            is_whole || is_presence && older.from().is_some_and(|from| told.contains(from))
        };
        let before = self.waiting.len();
        self.waiting.retain(|waiting| match waiting {
            Waiting::Burst(older) => !is_told(older),
            Waiting::Meanwhile(_) => true,
        });
        self.loan.shrink((before - self.waiting.len()) * BURST);
    }
}

impl Waiting {
    fn stanza(&self) -> &Arc<Stanza> {
        match self {
            Waiting::Burst(stanza) | Waiting::Meanwhile(stanza) => stanza,
        }
    }
}

/// In place of an answer to a request, that what it says is not stored.
pub(super) fn failed(answer: &Stanza, error: &StanzaError) -> Stanza {
    let kind = match answer.kind() {
        Kind::Message(_) => Kind::Message(MessageType::Error),
        Kind::Presence(_) => Kind::Presence(PresenceType::Error),
        Kind::Iq(_) => Kind::Iq(IqType::Error),
    };
    Stanza::new(kind)
        .with_to(answer.to().cloned())
        .with_from(answer.from().cloned())
        .with_id(answer.id())
        .with_children([&error.to_element()])
}

/// Lets others have their turn.
async fn rest() {
    let mut rested = false;
    poll_fn(|cx| match std::mem::replace(&mut rested, true) {
        true => Poll::Ready(()),
        false => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use xmpp_core::mailbox::Budget;

    use super::*;

    #[test]
    fn what_is_gathered_is_for_the_same_recipients_and_bounded() {
        let jid = |text| Jid::new(text).unwrap();
        let all: Arc<[Jid]> = Arc::new([jid("hag@example.org/a"), jid("crone@example.org/b")]);
        let others: Arc<[Jid]> = Arc::new([jid("hag@example.org/a")]);
        let stanza = Stanza::message(MessageType::Groupchat);
        let mut gathered = Gathered::nothing();
        assert!(gathered.takes(&all) && gathered.takes(&others));
        gathered.add(stanza.clone(), all.clone());
        assert!(gathered.takes(&all) && !gathered.takes(&others));
        while gathered.takes(&all) {
            gathered.add(stanza.clone(), all.clone());
        }
        assert!((GATHERED..GATHERED + stanza.size()).contains(&gathered.bytes));
    }

    #[test]
    fn what_is_sent_gives_its_memory_back() {
        let budget = Arc::new(Budget::new(1 << 20));
        let stanza = Arc::new(Stanza::presence(PresenceType::Available));
        let mut late = Late {
            waiting: VecDeque::new(),
            meanwhile: 0,
            loan: Loan::none(&budget),
        };
        for _ in 0..PAGE {
            assert!(late.loan.grow(BURST) && late.loan.grow(stanza.size()));
            late.waiting.push_back(Waiting::Burst(stanza.clone()));
            late.waiting.push_back(Waiting::Meanwhile(stanza.clone()));
            late.meanwhile += 1;
        }
        let all = budget.used();
        assert_eq!(late.page().len(), PAGE);
        assert_eq!((budget.used(), late.meanwhile), (all / 2, PAGE / 2));
        assert_eq!(late.page().len(), PAGE);
        assert_eq!((budget.used(), late.meanwhile), (0, 0));
        assert!(late.waiting.is_empty());
    }
}
