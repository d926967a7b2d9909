//! What has come from other nodes, each sender's in its order.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use xmpp_core::FullJid;
use xmpp_core::mailbox::{self, Origin, Reason, Settlement, Share};
use xmpp_core::session::SessionId;
use xmpp_core::stanza::Stanza;

use super::{Dispatch, Inner, lock};
use crate::frame::{Carried, Verdict};
use crate::node::Life;

/// Stanzas of other nodes that wait for one before them of the same sender, at most.
pub const LANES: usize = 16_384;

/// Senders of which something is not done yet, with what is behind it.
#[derive(Default)]
pub(super) struct Lanes(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    senders: HashMap<Box<str>, VecDeque<Job>>,
    jobs: usize,
}

/// A stanza that has come.
pub(super) struct Job {
    from: Life,
    number: u64,
    work: Work,
    stanza: Stanza,
    origin: Origin,
}

/// What is to be done with it.
pub(super) enum Work {
    Push {
        to: FullJid,
        session: SessionId,
        shared: bool,
    },
    Route,
}

impl Work {
    fn is_shared(&self) -> bool {
        matches!(self, Work::Push { shared: true, .. })
    }
}

impl Inner {
    /// Does what is to be done with a stanza, after what has come of the same sender.
    pub(super) fn work(self: &Arc<Self>, from: &Life, number: u64, work: Work, carried: &Carried) {
        let stanza = std::str::from_utf8(&carried.stanza).ok();
        let Some(stanza) = stanza.and_then(|text| Stanza::restore(text).ok()) else {
            tracing::error!(node = %from, "has sent what is no stanza");
            return self.answer(from, number, Verdict::Closed);
        };
        let sender = stanza.from().map_or("", |from| from.as_str());
        let sender: Box<str> = sender.into();
        let job = Job {
            from: from.clone(),
            number,
            work,
            stanza,
            origin: carried.origin.clone(),
        };
        {
            let mut waiting = lock(&self.lanes.0);
            let Waiting { senders, jobs } = &mut *waiting;
            if let Some(behind) = senders.get_mut(&sender) {
                if *jobs < LANES {
                    *jobs += 1;
                    behind.push_back(job);
                    return;
                }
                drop(waiting);
                return self.answer(from, number, Verdict::Full);
            }
        }
        let Some(pending) = self.start(job) else {
            return;
        };
        // Only the driver's task comes here, so nobody else has made one meanwhile.
        let mut waiting = lock(&self.lanes.0);
        waiting.senders.insert(sender.clone(), VecDeque::new());
        drop(waiting);
        let inner = self.clone();
        self.server.spawn(async move {
            pending.await;
            while let Some(job) = inner.lanes.next(&sender) {
                if let Some(pending) = inner.start(job) {
                    pending.await;
                }
            }
        });
    }

    /// Begins; what is to be waited for before the next of the same sender comes back.
    fn start(self: &Arc<Self>, job: Job) -> Option<BoxFuture<'static, ()>> {
        let Job {
            from,
            number,
            work,
            stanza,
            origin,
        } = job;
        let shared = work.is_shared();
        let dispatch = match work {
            Work::Route => match self.goes_out(&from, number, stanza, origin) {
                Ok(dispatch) => dispatch?,
                Err((stanza, origin)) => self.server.accept(stanza, origin),
            },
            Work::Push { to, session, .. } => {
                let share = shared.then(|| self.share(&from, number));
                self.server.accept_for(&to, session, stanza, origin, share)
            }
        };
        match dispatch {
            Dispatch::Done(settlement) => {
                self.conclude(from, number, shared, settlement);
                None
            }
            Dispatch::Pending(pending) => {
                let inner = self.clone();
                Some(Box::pin(async move {
                    let settlement = pending.await;
                    inner.conclude(from, number, shared, settlement);
                }))
            }
        }
    }

    /// To another server, if that is where it goes. `None` if this node has no way there any more, which the other one hears.
    #[allow(clippy::result_large_err)] // it goes on from here
    fn goes_out(
        &self,
        from: &Life,
        number: u64,
        stanza: Stanza,
        origin: Origin,
    ) -> Result<Option<Dispatch>, (Stanza, Origin)> {
        let domain = stanza.to().map(|to| to.domain());
        let way = domain.and_then(|domain| self.directory.way_out(domain, &self.server));
        let Some(way) = way else {
            return Err((stanza, origin));
        };
        match way.push(stanza, origin) {
            Settlement::Failed(failed) if failed.reason == Reason::Closed => {
                self.directory.close_outlet();
                self.answer(from, number, Verdict::Closed);
                Ok(None)
            }
            Settlement::Failed(failed) => {
                let refused = self.server.refuse(&failed.stanza, &failed.reason.into());
                Ok(Some(refused))
            }
            settlement => Ok(Some(Dispatch::Done(settlement))),
        }
    }

    /// One recipient's share, of which the node that has sent the stanza hears.
    fn share(self: &Arc<Self>, from: &Life, number: u64) -> Share {
        let inner = Arc::downgrade(self);
        let from = from.clone();
        Share::elsewhere(move |outcome| {
            if let Some(inner) = inner.upgrade() {
                inner.answer(
                    &from,
                    number,
                    match outcome {
                        mailbox::Outcome::Settled => Verdict::Settled,
                        mailbox::Outcome::Returned => Verdict::Closed,
                    },
                );
            }
        })
    }

    /// It was done, or taken: whoever has sent it hears what has become of it.
    fn conclude(self: &Arc<Self>, from: Life, number: u64, shared: bool, settlement: Settlement) {
        if number == 0 {
            return;
        }
        let settled = match shared {
            true => Verdict::Safe,
            false => Verdict::Settled,
        };
        match settlement {
            Settlement::Done => self.answer(&from, number, settled),
            // Of what is shared the share has told.
            Settlement::Failed(_) if shared => {}
            Settlement::Failed(_) => self.answer(&from, number, Verdict::Returned),
            later @ Settlement::Later(_) => {
                let inner = self.clone();
                self.server.spawn(async move {
                    match inner.server.outcome(Dispatch::Done(later)).await {
                        mailbox::Outcome::Settled => inner.answer(&from, number, settled),
                        mailbox::Outcome::Returned if shared => {}
                        mailbox::Outcome::Returned => {
                            inner.answer(&from, number, Verdict::Returned);
                        }
                    }
                });
            }
        }
    }
}

impl Lanes {
    /// The next of a sender; its lane is closed if there is none.
    fn next(&self, sender: &str) -> Option<Job> {
        let mut waiting = lock(&self.0);
        let Waiting { senders, jobs } = &mut *waiting;
        let job = senders.get_mut(sender).and_then(VecDeque::pop_front);
        match job.is_some() {
            true => *jobs -= 1,
            false => {
                senders.remove(sender);
            }
        }
        job
    }
}
