#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use futures::FutureExt as _;

use super::*;
use crate::mailbox::{
    Budget, Inbox as _, Later, Origin, Outcome, Queue, QueueLimits, Settlement, SmPoint, Source,
};
use crate::stanza::Stanza;

/// Has all that it is told, at once or when it is told to.
#[derive(Clone, Default)]
struct Port(Arc<Mutex<Log>>);

#[derive(Default)]
struct Log {
    told: u64,
    /// What waits for the client, as whoever takes over would have it.
    waiting: Vec<(Name, Option<SmPoint>)>,
    progress: Option<Progress>,
    /// It does not hear what is withdrawn.
    forgetful: bool,
}

impl Port {
    fn log(&self) -> MutexGuard<'_, Log> {
        lock(&self.0)
    }

    fn safe(&self, n: u64) {
        let progress = self.log().progress.clone();
        progress.unwrap().safe(n);
    }

    fn overdue(&self, n: u64) -> bool {
        let progress = self.log().progress.clone();
        progress.unwrap().overdue(Name { run: 7, n })
    }

    fn waiting(&self) -> usize {
        self.log().waiting.len()
    }
}

impl Copies for Port {
    fn open(&self, _: Opening, progress: Progress) -> Box<dyn Replica> {
        self.log().progress = Some(progress);
        Box::new(self.clone())
    }
}

impl Replica for Port {
    fn queue(&self, envelope: &Envelope) -> Queued {
        let mut log = self.log();
        let point = envelope.origin.sm.clone();
        if point.is_some() && log.waiting.iter().any(|(_, known)| *known == point) {
            return Queued::Copy(log.told);
        }
        log.told += 1;
        let name = Name {
            run: 7,
            n: log.told,
        };
        log.waiting.push((name, point));
        Queued::New(name, log.told)
    }

    fn sent(&self, envelope: &Envelope, _: Timestamp) -> u64 {
        let mut log = self.log();
        log.waiting
            .retain(|(name, _)| Some(*name) != envelope.name());
        log.told += 1;
        log.told
    }

    fn tell(&self, op: Op) -> u64 {
        let mut log = self.log();
        if let Op::Withdrawn(withdrawn) = op
            && !log.forgetful
        {
            log.waiting.retain(|(name, _)| *name != withdrawn);
        }
        log.told += 1;
        log.told
    }
}

fn queue() -> Arc<Queue> {
    let budget = Arc::new(Budget::new(1 << 20));
    Arc::new(Queue::new(QueueLimits::default(), budget))
}

fn opened(queue: &Arc<Queue>) -> (Copied, Port) {
    let port = Port::default();
    let opening = Opening::new(SessionId { run: 1, n: 1 }, "s".into(), Bytes::new());
    (Copied::open(&port, opening, Arc::downgrade(queue)), port)
}

fn copied() -> (Arc<Queue>, Copied, Port) {
    let queue = queue();
    let (copied, port) = opened(&queue);
    queue.copy(copied.clone());
    (queue, copied, port)
}

/// A message that can be stored, whose sender waits.
fn message(n: u32) -> Envelope {
    let stanza = "<message type='chat' to='romeo@example.org'><body>!</body></message>";
    let origin = Origin {
        source: Source::Server,
        sm: Some(SmPoint {
            id: "sender".into(),
            n,
        }),
    };
    Envelope::new(Stanza::parse(stanza).unwrap(), origin)
}

fn later(settlement: Settlement) -> Later {
    match settlement {
        Settlement::Later(later) => later,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_sender_is_told_when_the_copy_is_safe_and_not_when_the_session_has_it() {
    let (queue, _copied, port) = copied();
    let (mut first, mut second) = (later(queue.push(message(1))), later(queue.push(message(2))));
    assert!(first.is_pledged() && first.withdraw().is_none());
    let mut taken = queue.take(usize::MAX).unwrap().unwrap();
    let mut kept: Vec<_> = taken
        .iter_mut()
        .map(|envelope| {
            port.sent(envelope, Timestamp(0));
            envelope.settled();
            envelope.keep()
        })
        .collect();
    drop(taken);
    assert_eq!((&mut first).now_or_never(), None);
    port.safe(1);
    assert_eq!(first.now_or_never(), Some(Outcome::Settled));
    assert_eq!((&mut second).now_or_never(), None);
    // The session ends before: whoever deals with what it leaves says so.
    kept.remove(1).settle(Outcome::Returned);
    assert_eq!(second.now_or_never(), Some(Outcome::Returned));
    // What is safe at once needs no waiting.
    port.safe(100);
    assert!(matches!(queue.push(message(3)), Settlement::Done));
}

#[test]
fn what_was_there_before_is_not_there_twice_and_its_sender_hears_so() {
    let (queue, _copied, port) = copied();
    let first = later(queue.push(message(1)));
    let again = later(queue.push(message(1)));
    assert_eq!((queue.depth().0, port.waiting()), (1, 1));
    port.safe(1);
    assert_eq!(first.now_or_never(), Some(Outcome::Settled));
    assert_eq!(again.now_or_never(), Some(Outcome::Settled));
    let size = queue.depth().1;
    assert_eq!(queue.take(usize::MAX).unwrap().unwrap().len(), 1);
    assert!(size > 0 && queue.depth() == (0, 0));
}

#[test]
fn a_copy_that_begins_late_has_what_waits() {
    let queue = queue();
    let mut first = later(queue.push(message(1)));
    let second = later(queue.push(message(2)));
    assert!(second.withdraw().is_some());
    let (copied, port) = opened(&queue);
    queue.copy(copied);
    assert_eq!(port.waiting(), 1, "the other one has gone another way");
    assert!(first.withdraw().is_none(), "the copy has it");
    let mut taken = queue.take(usize::MAX).unwrap().unwrap();
    taken[0].settled();
    assert_eq!((&mut first).now_or_never(), None);
    port.safe(1);
    assert_eq!(first.now_or_never(), Some(Outcome::Settled));
}

#[cfg(feature = "io")]
#[test]
fn what_is_overdue_goes_another_way_and_its_sender_waits_for_that() {
    let (queue, copied, port) = copied();
    let mut first = later(queue.push(message(1)));
    assert!(port.overdue(1) && !port.overdue(1));
    let mut overdue = copied.progress().take_overdue();
    let one = overdue.pop().unwrap();
    assert_eq!(one.envelope.origin, message(1).origin);
    // The queue drops it, and nobody is told by that.
    assert!(queue.take(usize::MAX).unwrap().unwrap().is_empty());
    assert_eq!((&mut first).now_or_never(), None);
    drop(one.hold);
    assert_eq!(first.now_or_never(), Some(Outcome::Returned));
    assert_eq!(port.waiting(), 0);

    // What the session has is not overdue.
    let second = later(queue.push(message(2)));
    let _taken = queue.take(usize::MAX);
    assert!(!port.overdue(3));
    port.safe(9);
    assert_eq!(second.now_or_never(), Some(Outcome::Settled));
}

/// Whatever becomes of it: superseded in a layer, given back when the session ends.
#[test]
fn a_stanza_that_is_not_sent_after_all_is_withdrawn() {
    let left = |forgetful: bool| {
        let (queue, _copied, port) = copied();
        port.log().forgetful = forgetful;
        let _first = queue.push(message(1));
        let _second = queue.push(message(2));
        let mut taken = queue.take(usize::MAX).unwrap().unwrap();
        let mut sent = taken.pop_front().unwrap();
        port.sent(&sent, Timestamp(0));
        drop(sent.keep());
        drop(sent);
        drop(taken);
        port.waiting()
    };
    assert_eq!(left(false), 0);
    assert_eq!(left(true), 1, "the planted fault");
}

#[test]
fn so_many_may_wait() {
    let (queue, _copied, port) = {
        let limits = QueueLimits {
            stanzas: 2 * WAITING,
            bytes: 64 << 20,
        };
        let queue = Arc::new(Queue::new(limits, Arc::new(Budget::new(64 << 20))));
        let (copied, port) = opened(&queue);
        queue.copy(copied.clone());
        (queue, copied, port)
    };
    let waiting: Vec<_> = (0..WAITING as u32)
        .map(|n| queue.push(message(n)))
        .collect();
    assert!(matches!(queue.push(message(9999)), Settlement::Failed(_)));
    port.safe(WAITING as u64);
    queue.take(usize::MAX);
    let refused = matches!(queue.push(message(9999)), Settlement::Failed(_));
    assert!(!refused && waiting.len() == WAITING);
}

#[test]
fn the_port_is_told_the_end_when_the_last_one_lets_go() {
    let (queue, copied, port) = copied();
    let left = queue.push(message(1));
    let rest = queue.close();
    assert_eq!((rest.len(), Arc::strong_count(&port.0)), (1, 2));
    drop(copied);
    assert_eq!(Arc::strong_count(&port.0), 1);
    drop(rest);
    assert_eq!(later(left).now_or_never(), Some(Outcome::Returned));
}
