//! The task that drives the links: what has come is given to them, and what they want is done.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt as _;

use super::gate::Batch;
use super::handle::Back;
use super::outbox::Outbox;
use super::{End, Shared};
use crate::machine::Machine as _;
use crate::mailbox::{Envelope, Outcome};
use crate::s2s;
use crate::s2s::links::{Input, LinkId, Links, Output};
use crate::stanza::{Condition, StanzaError};
use crate::stream;
use crate::time::Now;

/// Batches in one go before others have their turn.
const TURNS: usize = 4;
/// For the way to the socket and back, beside what a stream's end may take.
const SLACK: Duration = Duration::from_secs(1);

/// Runs until the federation or the server closes and all connections are gone.
pub(super) async fn run(shared: Arc<Shared>) {
    let server = shared.server.clone();
    let end = shared.end.clone();
    let links = Links::new(
        shared.config.links,
        server.random_source(),
        server.budget().clone(),
    );
    let mut manager = Manager {
        outbox: Outbox::new(server.clone(), shared.config.outbox),
        shared,
        links,
        outputs: Vec::new(),
        late: HashMap::new(),
        rules: None,
    };
    manager.serve().await;
    manager.end().await;
    end.send_replace(End::Over);
}

struct Manager {
    shared: Arc<Shared>,
    links: Links,
    outbox: Outbox,
    outputs: Vec<Output>,
    /// What was for a link of whose end we had not been told, and comes back with that.
    late: HashMap<LinkId, Vec<Envelope>>,
    /// Which rules for the peers the links have been told of.
    rules: Option<u64>,
}

impl Manager {
    /// Until nobody wants more.
    async fn serve(&mut self) {
        let shared = self.shared.clone();
        let closing = pin!(shared.closing());
        self.work(closing).await;
    }

    /// Closes all links and waits until they are gone, or for so long that those which are left are cut.
    async fn end(&mut self) {
        let shared = self.shared.clone();
        shared.stopping.store(true, Ordering::Release);
        // What stands before the end is still sent, if it can be.
        self.take(&mut Batch::default());
        shared.post.close();
        if shared.suspending.load(Ordering::Acquire) {
            self.outbox.flush().await;
        }
        let now = shared.server.now();
        self.give(Input::Close, now);
        // The streams wait for the peers' ends for so long; then they are stopped.
        for (limit, last) in [(shared.config.timeouts.close + SLACK, false), (SLACK, true)] {
            let gone = async {
                while !shared.lock().is_empty() {
                    shared.gone.notified().await;
                }
            };
            let late = tokio::time::sleep(limit);
            let until = pin!(async {
                tokio::select! {
                    () = gone => false,
                    () = late => true,
                }
            });
            if !self.work(until).await {
                break;
            }
            if last {
                tracing::warn!("connections to other servers did not end");
            }
            shared.stop();
        }
        self.take(&mut Batch::default());
        self.outbox.finish().await;
    }

    /// Does what there is to do until `end` comes; answers what that says.
    async fn work<T>(&mut self, end: impl Future<Output = T> + Unpin) -> T {
        let mut end = end;
        let mut batch = Batch::default();
        let mut sleep = pin!(tokio::time::sleep(Duration::ZERO));
        std::future::poll_fn(|cx| {
            for _ in 0..TURNS {
                let post = self.shared.post.clone();
                let news = post.poll_take(&mut batch, cx).is_ready();
                if news {
                    self.deal_with(&mut batch);
                }
                let now = self.shared.server.now();
                let busy = news | self.outbox.poll(now, cx);
                if busy {
                    self.count();
                }
                let due = self.links.next_timeout();
                let due = due.into_iter().chain(self.outbox.next_timeout()).min();
                if let Some(due) = due {
                    // A timer that fires too early is left alone: then it is looked at again.
                    let at = sleep.deadline();
                    if tokio::time::Instant::from(due) < at || sleep.is_elapsed() {
                        sleep.as_mut().reset(due.into());
                    }
                    if sleep.as_mut().poll(cx).is_ready() {
                        let now = self.shared.server.now();
                        let mut outputs = std::mem::take(&mut self.outputs);
                        self.links.handle_timeout(now, &mut outputs);
                        self.perform(outputs);
                        self.count();
                        continue;
                    }
                }
                if let Poll::Ready(end) = end.poll_unpin(cx) {
                    return Poll::Ready(end);
                }
                if !busy {
                    return Poll::Pending;
                }
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await
    }

    /// Shows what there is now.
    fn count(&self) {
        let (counts, metrics) = (self.links.counts(), self.shared.server.metrics());
        metrics.s2s.waiting.set(counts.stanzas as u64);
        metrics.s2s.waiting_bytes.set(counts.bytes as u64);
        metrics.s2s.sessions.set(counts.sessions as u64);
        self.outbox.count();
    }

    /// Takes what is there and does not wait.
    fn take(&mut self, batch: &mut Batch) {
        let post = self.shared.post.clone();
        let taken = std::future::poll_fn(|cx| post.poll_take(batch, cx)).now_or_never();
        if taken.is_some() {
            self.deal_with(batch);
        }
    }

    fn deal_with(&mut self, batch: &mut Batch) {
        let now = self.shared.server.now();
        self.check_rules(now);
        for mut news in batch.news.drain(..) {
            if let Input::Ended(link, ended) = &mut news
                && let Some(mut late) = self.late.remove(link)
            {
                ended.returned.append(&mut late);
            }
            self.give(news, now);
        }
        for left in batch.left.drain(..) {
            let envelope = self.outbox.take_up(left);
            if let Some(envelope) = self.allowed(envelope) {
                self.give(Input::Again(envelope), now);
            }
        }
        for envelope in batch.stanzas.drain(..) {
            if let Some(envelope) = self.allowed(envelope) {
                self.outbox.remember(&envelope, now);
                self.give(Input::Send(envelope), now);
            }
        }
    }

    /// The rules for the peers may have changed.
    fn check_rules(&mut self, now: Now) {
        let peers = self.shared.peers.clone();
        let changes = Some(peers.changes());
        if std::mem::replace(&mut self.rules, changes) != changes {
            self.give(Input::Patience(peers.patience()), now);
        }
    }

    /// The stanza, if there are streams with its domain.
    fn allowed(&self, envelope: Envelope) -> Option<Envelope> {
        let to = envelope.stanza.to().map(|to| to.domain());
        match to.is_some_and(|to| self.shared.peers.speaks_with(to)) {
            true => Some(envelope),
            false => {
                // RFC 6120 §8.3.3.8: "e.g., sending to entities at a blacklisted domain"
                self.give_back(envelope, Condition::NotAllowed);
                None
            }
        }
    }

    fn give(&mut self, input: Input, now: Now) {
        let mut outputs = std::mem::take(&mut self.outputs);
        self.links.handle(input, now, &mut outputs);
        self.perform(outputs);
    }

    fn perform(&mut self, mut outputs: Vec<Output>) {
        for output in outputs.drain(..) {
            match output {
                Output::Dial(link, pair) => self.shared.dial(link, pair),
                Output::Stream(link, input) => self.hand_over(link, input),
                Output::Return(envelope, condition) => self.give_back(envelope, condition),
                Output::Event(event) => {
                    tracing::debug!(?event, "link");
                    let server = &self.shared.server;
                    server.hooks().tell_of_link(&event, server);
                }
            }
        }
        // Its memory serves the next ones.
        if self.outputs.is_empty() {
            self.outputs = outputs;
        }
    }

    /// To the stream of a link, which may just have gone; then its end is on the way here.
    fn hand_over(&mut self, link: LinkId, input: stream::Input) {
        let back = match self.shared.handle(link) {
            Some(handle) => handle.push(input),
            None => Back::of(input),
        };
        match back {
            Some(Back::Stanza(envelope)) => self.late.entry(link).or_default().push(envelope),
            Some(Back::Session(session)) => {
                let now = self.shared.server.now();
                let back = s2s::Output::Session(session);
                self.give(Input::Stream(link, back), now);
            }
            None => {}
        }
    }

    /// Back to its sender.
    fn give_back(&self, envelope: Envelope, condition: Condition) {
        // It is in the store, for the next run to send.
        if envelope.is_released() && self.shared.suspending.load(Ordering::Acquire) {
            return;
        }
        let server = &self.shared.server;
        server.metrics().s2s.returned.increment();
        let error = StanzaError::new(condition);
        server.leave_to_itself(server.refuse(&envelope.stanza, &error));
        envelope.settle(Outcome::Returned);
    }
}

/// Also when it panics: nobody waits for what nobody sends.
impl Drop for Manager {
    fn drop(&mut self) {
        self.shared.post.abandon();
    }
}
