//! What is heard of a session's copy.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, Weak};

use super::{Name, lock};
use crate::mailbox::{Envelope, Hold, Outcome, Queue, Settle};

/// Stanzas for one session whose senders wait for it to be safe; what comes then finds the queue full.
pub const WAITING: usize = 4096;

/// How far the copy of a session has come. Clone is cheap.
#[derive(Clone)]
pub struct Progress(Arc<Shared>);

struct Shared {
    heard: Mutex<Heard>,
    /// Its reader looks at what is heard.
    queue: Weak<Queue>,
}

#[derive(Default)]
struct Heard {
    safe: u64,
    /// In the order of their numbers.
    waiting: VecDeque<Waiting>,
    overdue: Vec<Overdue>,
}

/// A stanza whose sender waits.
struct Waiting {
    n: u64,
    name: Option<Name>,
    hold: Hold,
    /// Of one that was in before, so nobody else keeps it.
    settle: Option<Settle>,
}

/// A stanza that has waited for too long, and is not to be found in the queue any more.
#[cfg_attr(not(feature = "io"), allow(dead_code))] // for whoever drives the session
pub(crate) struct Overdue {
    pub(crate) name: Name,
    pub(crate) envelope: Envelope,
    pub(crate) hold: Hold,
}

impl Progress {
    pub(super) fn new(queue: Weak<Queue>) -> Progress {
        Progress(Arc::new(Shared {
            heard: Mutex::default(),
            queue,
        }))
    }

    /// All that was told up to this number is where the death of this process does not lose it; or there is nobody else to tell.
    pub fn safe(&self, n: u64) {
        let mut heard = lock(&self.0.heard);
        if n <= heard.safe {
            return;
        }
        heard.safe = n;
        while heard.waiting.front().is_some_and(|first| first.n <= n)
            && let Some(first) = heard.waiting.pop_front()
        {
            first.release();
        }
        if heard.waiting.is_empty() {
            // An idle session keeps no memory.
            heard.waiting = VecDeque::new();
        }
        drop(heard);
        self.wake();
    }

    /// This stanza has waited to be safe for too long. If it still waits for the client, and has another way, it goes that way, and
    /// [`Op::Withdrawn`](super::Op::Withdrawn) is told; else it stays as it is until it is safe. `true` if it goes.
    pub fn overdue(&self, name: Name) -> bool {
        let mut heard = lock(&self.0.heard);
        let at = heard.waiting.iter().position(|one| one.name == Some(name));
        let Some(envelope) = at.and_then(|at| heard.waiting[at].hold.take_back()) else {
            return false;
        };
        let Some(Waiting { hold, .. }) = at.and_then(|at| heard.waiting.remove(at)) else {
            return false;
        };
        heard.overdue.push(Overdue {
            name,
            envelope,
            hold,
        });
        drop(heard);
        self.wake();
        true
    }

    pub(super) fn upto(&self) -> u64 {
        lock(&self.0.heard).safe
    }

    /// Whether nobody else may wait.
    pub(crate) fn is_full(&self) -> bool {
        lock(&self.0.heard).waiting.len() >= WAITING
    }

    /// Somebody waits for that number.
    pub(crate) fn wait(&self, n: u64, name: Option<Name>, hold: Hold, settle: Option<Settle>) {
        let mut heard = lock(&self.0.heard);
        let waiting = Waiting {
            n,
            name,
            hold,
            settle,
        };
        if n <= heard.safe {
            return waiting.release();
        }
        heard.waiting.push_back(waiting);
    }

    /// What has waited for too long.
    #[cfg(feature = "io")]
    pub(crate) fn take_overdue(&self) -> Vec<Overdue> {
        std::mem::take(&mut lock(&self.0.heard).overdue)
    }

    fn wake(&self) {
        if let Some(queue) = self.0.queue.upgrade() {
            queue.wake();
        }
    }
}

impl Waiting {
    fn release(self) {
        self.hold.release();
        if let Some(settle) = self.settle {
            settle.with(Outcome::Settled);
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Progress({})", self.upto())
    }
}
