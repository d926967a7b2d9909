use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::FutureExt as _;
use futures::task::noop_waker;

use super::*;
use crate::im;
use crate::mailbox::{Later, Origin, Outcome, Settlement, SmPoint};
use crate::server::testing::{DOMAIN, World};
use crate::store::{QueuedStanza, Stores};

/// A store that answers when it is told to.
#[derive(Default)]
struct Slow {
    answers: AtomicBool,
    fails: AtomicBool,
    written: AtomicUsize,
    deleted: AtomicUsize,
}

impl Slow {
    async fn answer(&self) -> store::Result<()> {
        std::future::poll_fn(|_| match self.answers.load(Ordering::Relaxed) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
        match self.fails.load(Ordering::Relaxed) {
            true => Err(StoreError::Unavailable("for now".into())),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl store::Outbox for Slow {
    async fn enqueue(
        &self,
        _: &BareJid,
        stanzas: &[(Timestamp, String)],
    ) -> store::Result<Vec<u64>> {
        self.answer().await?;
        let written = self.written.fetch_add(stanzas.len(), Ordering::Relaxed);
        Ok((written as u64 + 1..).take(stanzas.len()).collect())
    }

    async fn queued(&self, _: &BareJid, _: u64, _: usize) -> store::Result<Vec<QueuedStanza>> {
        Ok(Vec::new())
    }

    async fn dequeue(&self, _: &BareJid, ids: &[u64]) -> store::Result<()> {
        self.answer().await?;
        self.deleted.fetch_add(ids.len(), Ordering::Relaxed);
        Ok(())
    }
}

struct Setting {
    world: World,
    store: Arc<Slow>,
    outbox: Outbox,
}

impl Setting {
    fn new(limits: QueueLimits) -> Setting {
        let store = Arc::new(Slow::default());
        let mut stores = Stores::memory();
        stores.outbox = store.clone();
        let world = World::on(stores, im::all(), |_| {});
        let outbox = Outbox::new(world.server.clone(), limits);
        Setting {
            world,
            store,
            outbox,
        }
    }

    /// A message on its way.
    fn send(&mut self) -> (Envelope, Later) {
        self.send_typed("chat")
    }

    fn send_typed(&mut self, kind: &str) -> (Envelope, Later) {
        let text = format!(
            "<message from='romeo@{DOMAIN}/orchard' to='juliet@b.example' type='{kind}'><body>hark</body></message>"
        );
        let mut origin = Origin::SERVER;
        origin.sm = Some(SmPoint {
            id: "s".into(),
            n: 1,
        });
        let mut envelope = Envelope::new(Stanza::parse(&text).unwrap(), origin);
        let Settlement::Later(later) = envelope.pledged() else {
            panic!("somebody waits");
        };
        self.outbox.remember(&envelope, self.world.server.now());
        (envelope, later)
    }

    fn poll(&mut self) {
        let waker = noop_waker();
        let now = self.world.server.now();
        while self.outbox.poll(now, &mut Context::from_waker(&waker)) {}
        self.world.settle();
    }

    /// Lets this pass, and looks.
    fn after(&mut self, time: Duration) {
        self.world.advance(time);
        self.poll();
    }

    fn answers(&self, answers: bool) {
        self.store.answers.store(answers, Ordering::Relaxed);
    }

    fn fails(&self, fails: bool) {
        self.store.fails.store(fails, Ordering::Relaxed);
    }

    fn deleted(&self) -> usize {
        self.store.deleted.load(Ordering::Relaxed)
    }

    fn due(&self) -> Option<Duration> {
        let now = self.world.server.now().instant;
        let due = self.outbox.next_timeout();
        due.map(|at| at.saturating_duration_since(now))
    }
}

const WAIT: Duration = Duration::from_millis(250);

#[test]
fn nothing_is_written_of_what_is_settled_in_time() {
    let mut setting = Setting::new(QueueLimits::default());
    setting.answers(true);
    for _ in 0..10 * SETTLED {
        let (envelope, later) = setting.send();
        envelope.settle(Outcome::Settled);
        assert_eq!(later.now_or_never(), Some(Outcome::Settled));
        assert!(
            setting.outbox.fresh.len() <= 2 * SETTLED,
            "they are forgotten"
        );
    }
    assert_eq!(setting.due(), Some(WAIT));
    setting.after(WAIT);
    assert_eq!(setting.store.written.load(Ordering::Relaxed), 0);
    assert_eq!(setting.due(), None);
}

#[test]
fn a_stanza_is_written_when_its_time_is_over_and_deleted_when_it_is_delivered() {
    let mut setting = Setting::new(QueueLimits::default());
    setting.answers(true);
    let (envelope, mut later) = setting.send();
    setting.after(WAIT - Duration::from_millis(1));
    assert_eq!((&mut later).now_or_never(), None);
    setting.after(Duration::from_millis(1));
    assert_eq!(later.now_or_never(), Some(Outcome::Settled));
    assert!(envelope.is_released());
    assert_eq!((setting.outbox.stanzas, setting.deleted()), (1, 0));
    envelope.settle(Outcome::Settled);
    setting.poll();
    assert_eq!((setting.outbox.stanzas, setting.deleted()), (0, 1));
    assert_eq!((setting.outbox.bytes, setting.due()), (0, None));
}

#[test]
fn what_cannot_be_deleted_counts_and_is_deleted_later() {
    let mut setting = Setting::new(QueueLimits::default());
    setting.answers(true);
    let (envelope, _later) = setting.send();
    setting.after(WAIT);
    setting.fails(true);
    envelope.settle(Outcome::Settled);
    setting.poll();
    assert_eq!((setting.outbox.stanzas, setting.due()), (1, Some(RETRY)));
    setting.fails(false);
    setting.after(RETRY - Duration::from_millis(1));
    assert_eq!(setting.deleted(), 0);
    setting.after(Duration::from_millis(1));
    assert_eq!((setting.outbox.stanzas, setting.deleted()), (0, 1));
}

#[test]
fn nobody_waits_for_ever_for_a_store_that_does_not_answer() {
    let mut setting = Setting::new(QueueLimits::default());
    let (first, mut later) = setting.send();
    setting.after(WAIT);
    let (second, mut behind) = setting.send();
    assert_eq!(setting.due(), Some(PATIENCE));
    setting.after(PATIENCE);
    assert_eq!((&mut later).now_or_never(), Some(Outcome::Returned));
    assert_eq!((&mut behind).now_or_never(), None, "it has WAIT more");
    assert_eq!(setting.due(), Some(WAIT));
    setting.after(WAIT);
    assert_eq!(behind.now_or_never(), Some(Outcome::Returned));
    assert!(!first.read() && !second.read(), "neither is sent now");
    let metrics = &setting.world.server.metrics().s2s;
    assert_eq!(metrics.not_stored.value(), 2);
    // It has written the first after all.
    setting.answers(true);
    setting.poll();
    assert_eq!((setting.outbox.stanzas, setting.deleted()), (0, 1));
}

#[test]
fn what_is_dropped_without_a_word_stays_in_the_store() {
    let mut setting = Setting::new(QueueLimits::default());
    setting.answers(true);
    let (envelope, _later) = setting.send();
    setting.after(WAIT);
    drop(envelope);
    setting.poll();
    assert_eq!((setting.outbox.stanzas, setting.deleted()), (1, 0));
}

/// RFC 6120 §8.3.1: nobody may be told of it, so that it had better arrive.
#[test]
fn an_answer_that_cannot_be_written_stays_on_its_way() {
    let limits = QueueLimits {
        stanzas: 0,
        ..QueueLimits::default()
    };
    let mut setting = Setting::new(limits);
    let (question, heard) = setting.send();
    let (answer, settled) = setting.send_typed("error");
    setting.after(WAIT);
    assert_eq!(heard.now_or_never(), Some(Outcome::Returned));
    assert_eq!(settled.now_or_never(), Some(Outcome::Settled));
    assert!(!question.read() && answer.read());
}
