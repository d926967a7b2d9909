//! Stanzas for which somebody waits: written down when they are on their way for too long.
//!
//! The link manager's queue, and what streams have sent and not been acknowledged, are lost with the process. Whoever has sent something and
//! is told that it is handled forgets it (XEP-0198), so before that it is in the [store](store::Outbox). Most stanzas are
//! acknowledged long before; of these there is nothing here but an entry of a queue.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, join_all};
use futures::stream::{FuturesUnordered, StreamExt as _};

use crate::BareJid;
use crate::mailbox::{Envelope, QueueLimits, Watch};
use crate::server::Server;
use crate::stanza::{Condition, Stanza, StanzaError};
use crate::store::{self, StoreError};
use crate::time::{Now, Timestamp};

mod left;
#[cfg(test)]
mod tests;

pub(super) use left::Left;

/// Stanzas that are written, deleted or read at once.
const BATCH: usize = 512;
/// Bytes of XML that are written at once, and the stanza with which it is so much.
const BATCH_BYTES: usize = 1 << 20;
/// How long the store may take to write a stanza down, before its sender is sent an error.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long until what could not be deleted is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// Entries of stanzas that are settled, before they are looked for.
const SETTLED: usize = 512;

/// What is on its way to other servers and is not to be lost.
pub(super) struct Outbox {
    server: Server,
    limits: QueueLimits,
    /// How long a stanza may be on its way.
    wait: Duration,
    /// Those that are not written down, by their age.
    fresh: VecDeque<Awaited>,
    /// With so many, those that are settled go.
    tidy: usize,
    writing: Option<Writing>,
    stored: FuturesUnordered<Stored>,
    /// Those of which it is known what has become, and which are still in the store.
    over: BTreeMap<BareJid, Vec<Key>>,
    deleting: Option<BoxFuture<'static, Deleted>>,
    /// When deletions are tried again.
    retry: Option<Instant>,
    /// What is in the store or being written.
    stanzas: usize,
    bytes: usize,
}

struct Awaited {
    stanza: Stanza,
    watch: Watch,
    since: Now,
}

struct Writing {
    batches: Vec<(BareJid, Vec<Awaited>)>,
    /// For each of them.
    results: BoxFuture<'static, Vec<store::Result<Vec<u64>>>>,
    /// When it takes too long; once.
    until: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Key {
    id: u64,
    bytes: usize,
}

struct Deleted {
    domain: BareJid,
    keys: Vec<Key>,
    result: store::Result<()>,
}

/// Ready when it is known what has become of it.
struct Stored {
    watch: Watch,
    /// Taken when it is ready.
    place: Option<(BareJid, Key)>,
}

impl Outbox {
    pub(super) fn new(server: Server, limits: QueueLimits) -> Outbox {
        Outbox {
            limits,
            wait: server.config().timeouts.settle,
            server,
            fresh: VecDeque::new(),
            tidy: SETTLED,
            writing: None,
            stored: FuturesUnordered::new(),
            over: BTreeMap::new(),
            deleting: None,
            retry: None,
            stanzas: 0,
            bytes: 0,
        }
    }

    /// A stanza was taken. Nothing more is done with one for which nobody waits.
    pub(super) fn remember(&mut self, envelope: &Envelope, now: Now) {
        let Some(watch) = envelope.watch() else {
            return;
        };
        if self.fresh.len() >= self.tidy {
            self.fresh.retain(|awaited| awaited.watch.is_open());
            self.tidy = 2 * self.fresh.len() + SETTLED;
        }
        self.fresh.push_back(Awaited {
            stanza: envelope.stanza.clone(),
            watch,
            since: now,
        });
    }

    /// A stanza of an earlier run, which is in the store and stays there until it is known what becomes of it.
    pub(super) fn take_up(&mut self, left: Left) -> Envelope {
        let Left {
            mut envelope,
            domain,
            key,
        } = left;
        let watch = envelope.watch_released();
        self.stanzas += 1;
        self.bytes += key.bytes;
        let place = Some((domain, key));
        self.stored.push(Stored { watch, place });
        envelope
    }

    /// Does what there is to do; `true` if something has come to its end, and another look is worth it.
    pub(super) fn poll(&mut self, now: Now, cx: &mut Context<'_>) -> bool {
        self.expire(now.instant);
        self.write(now.instant);
        let mut busy = self.poll_writing(cx);
        while let Poll::Ready(Some((domain, key))) = self.stored.poll_next_unpin(cx) {
            self.over.entry(domain).or_default().push(key);
        }
        self.delete(now.instant);
        busy |= self.poll_deleting(now.instant, cx);
        busy
    }

    /// When there is something to do though nothing happens.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let first = self.fresh.front().map(|awaited| awaited.since.instant);
        let first = match &self.writing {
            None => first.map(|since| since + self.wait),
            Some(_) => first.map(|since| since + self.wait + PATIENCE),
        };
        let until = self.writing.as_ref().and_then(|writing| writing.until);
        let retry = self.retry.filter(|_| !self.over.is_empty());
        [first, until, retry].into_iter().flatten().min()
    }

    /// Writes down all that is not settled, however short a time it has been on its way, and waits for that.
    pub(super) async fn flush(&mut self) {
        self.wait = Duration::ZERO;
        self.until(|outbox| outbox.fresh.is_empty() && outbox.writing.is_none())
            .await;
    }

    /// Waits until all is deleted of which it is known what has become, or cannot be.
    pub(super) async fn finish(&mut self) {
        self.retry = None;
        self.until(|outbox| {
            let is_idle = outbox.writing.is_none() && outbox.deleting.is_none();
            is_idle && (outbox.over.is_empty() || outbox.retry.is_some())
        })
        .await;
    }

    async fn until(&mut self, done: impl Fn(&Outbox) -> bool) {
        let until = std::future::poll_fn(|cx| {
            let now = self.server.now();
            while self.poll(now, cx) {}
            match done(self) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        });
        // The store has its own idea of how long it tries.
        if tokio::time::timeout(PATIENCE, until).await.is_err() {
            tracing::error!("the store does not answer");
        }
    }

    /// Shows how much there is.
    pub(super) fn count(&self) {
        let metrics = &self.server.metrics().s2s;
        metrics.outbox.set(self.stanzas as u64);
        metrics.outbox_bytes.set(self.bytes as u64);
    }

    /// Begins to write down what has been on its way for too long.
    fn write(&mut self, now: Instant) {
        if self.writing.is_some() {
            return;
        }
        let mut batches: BTreeMap<BareJid, Vec<Awaited>> = BTreeMap::new();
        let (mut stanzas, mut bytes, mut refused) = (0, 0, 0);
        while stanzas < BATCH
            && bytes < BATCH_BYTES
            && let Some(awaited) = self.overdue(now, self.wait)
        {
            let size = awaited.stanza.size();
            if self.stanzas >= self.limits.stanzas || self.bytes + size > self.limits.bytes {
                self.fail(&awaited);
                refused += 1;
                continue;
            }
            self.stanzas += 1;
            self.bytes += size;
            stanzas += 1;
            bytes += size;
            let domain = self.domain(&awaited.stanza);
            batches.entry(domain).or_default().push(awaited);
        }
        if refused > 0 {
            tracing::warn!(refused, "the outbox is full");
        }
        if batches.is_empty() {
            return;
        }
        let batches: Vec<_> = batches.into_iter().collect();
        let texts = batches.iter().map(|(domain, batch)| {
            let text = |it: &Awaited| (it.since.utc, it.stanza.to_string());
            let texts: Vec<(Timestamp, String)> = batch.iter().map(text).collect();
            (domain.clone(), texts)
        });
        let texts: Vec<_> = texts.collect();
        let store = self.server.stores().outbox.clone();
        let results = async move {
            let all = texts.iter();
            join_all(all.map(|(domain, texts)| store.enqueue(domain, texts))).await
        };
        self.writing = Some(Writing {
            batches,
            results: Box::pin(results),
            until: Some(now + PATIENCE),
        });
    }

    /// The oldest that is not settled, if it is as old as that. Those before it go.
    fn overdue(&mut self, now: Instant, age: Duration) -> Option<Awaited> {
        while let Some(first) = self.fresh.front() {
            let is_open = first.watch.is_open();
            if is_open && first.since.instant + age > now {
                return None;
            }
            let first = self.fresh.pop_front();
            if is_open {
                return first;
            }
        }
        None
    }

    fn poll_writing(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(writing) = &mut self.writing else {
            return false;
        };
        let Poll::Ready(results) = writing.results.as_mut().poll(cx) else {
            return false;
        };
        let batches = std::mem::take(&mut writing.batches);
        self.writing = None;
        for ((domain, batch), result) in batches.into_iter().zip(results) {
            self.written(&domain, batch, result);
        }
        true
    }

    fn written(&mut self, domain: &BareJid, batch: Vec<Awaited>, result: store::Result<Vec<u64>>) {
        let ids = match result {
            Ok(ids) if ids.len() == batch.len() => Ok(ids),
            Ok(ids) => Err(StoreError::Other(format!(
                "{} ids for {} stanzas",
                ids.len(),
                batch.len()
            ))),
            Err(error) => Err(error),
        };
        match ids {
            Ok(ids) => {
                self.server.metrics().s2s.stored.add(ids.len() as u64);
                for (awaited, id) in batch.into_iter().zip(ids) {
                    let Awaited { stanza, watch, .. } = awaited;
                    watch.release();
                    let bytes = stanza.size();
                    let place = Some((domain.clone(), Key { id, bytes }));
                    self.stored.push(Stored { watch, place });
                }
            }
            Err(error) => {
                tracing::error!(%domain, %error, "stanzas for other servers not written down");
                for awaited in batch {
                    self.stanzas -= 1;
                    self.bytes -= awaited.stanza.size();
                    self.fail(&awaited);
                }
            }
        }
    }

    /// Nobody waits without end for a store that does not answer.
    fn expire(&mut self, now: Instant) {
        while let Some(awaited) = self.overdue(now, self.wait + PATIENCE) {
            self.fail(&awaited);
        }
        if let Some(mut writing) = self
            .writing
            .take_if(|it| it.until.is_some_and(|at| at <= now))
        {
            tracing::error!("the store does not answer");
            writing.until = None;
            let all = writing.batches.iter().flat_map(|(_, batch)| batch);
            all.for_each(|awaited| self.fail(awaited));
            self.writing = Some(writing);
        }
    }

    /// It cannot be written down: its sender hears so. If it is on its way already it may arrive all the same.
    fn fail(&self, awaited: &Awaited) {
        if !awaited.watch.is_open() {
            return;
        }
        let metrics = &self.server.metrics().s2s;
        metrics.not_stored.increment();
        // RFC 6120 §8.3.3.18: not now; its type is `wait`.
        let error = StanzaError::new(Condition::ResourceConstraint);
        let Some(reply) = awaited.stanza.error_reply(&error) else {
            // An answer, of which nobody may hear: it had better arrive.
            return awaited.watch.release();
        };
        metrics.returned.increment();
        self.server.send(reply);
        awaited.watch.give_up();
    }

    /// Begins to delete that of which it is known what has become.
    fn delete(&mut self, now: Instant) {
        if self.deleting.is_some() || self.retry.is_some_and(|at| now < at) {
            return;
        }
        let Some((domain, mut keys)) = self.over.pop_first() else {
            return;
        };
        if keys.len() > BATCH {
            self.over.insert(domain.clone(), keys.split_off(BATCH));
        }
        let store = self.server.stores().outbox.clone();
        self.deleting = Some(Box::pin(async move {
            let ids: Vec<u64> = keys.iter().map(|key| key.id).collect();
            let result = store.dequeue(&domain, &ids).await;
            Deleted {
                domain,
                keys,
                result,
            }
        }));
    }

    fn poll_deleting(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let Some(deleting) = &mut self.deleting else {
            return false;
        };
        let Poll::Ready(deleted) = deleting.as_mut().poll(cx) else {
            return false;
        };
        self.deleting = None;
        let Deleted {
            domain,
            mut keys,
            result,
        } = deleted;
        self.retry = None;
        match result {
            Ok(()) => {
                self.stanzas -= keys.len();
                self.bytes -= keys.iter().map(|key| key.bytes).sum::<usize>();
            }
            Err(error) => {
                tracing::error!(%domain, %error, "what is delivered stays in the outbox for now");
                self.over.entry(domain).or_default().append(&mut keys);
                self.retry = Some(now + RETRY);
            }
        }
        true
    }

    /// The domain of ours under which a stanza is kept.
    fn domain(&self, stanza: &Stanza) -> BareJid {
        let domains = &self.server.config().domains;
        let from = stanza.from().map(|from| from.domain());
        let its = domains.iter().find(|it| Some(it.name.as_str()) == from);
        let domain = its.or(domains.first());
        domain.expect("a server has a domain").name.clone()
    }
}

impl Future for Stored {
    type Output = (BareJid, Key);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<(BareJid, Key)> {
        let Poll::Ready(_) = Pin::new(&mut self.watch).poll(cx) else {
            return Poll::Pending;
        };
        let place = self.place.take();
        Poll::Ready(place.expect("it is not polled once it was ready"))
    }
}
