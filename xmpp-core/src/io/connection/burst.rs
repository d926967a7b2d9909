//! Bursts are pulled page by page, when there is memory for a page.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::mailbox::Budget;
use crate::session::Feed;
use crate::stanza::Stanza;

/// How often one that finds no memory looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How often it does so before it goes on without: what waits behind it holds memory too.
const LOOKS: u32 = 100;

/// The next part of a burst.
pub(super) struct Page {
    pub(super) feed: Box<dyn Feed>,
    pub(super) stanzas: Vec<Stanza>,
    /// What it takes until it is with what is to be written, which counts by itself.
    _loan: Option<Loan>,
}

/// A part of a budget that is given back when it is dropped.
struct Loan {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Loan {
    /// Takes `bytes`, if they are there.
    fn take(budget: &Arc<Budget>, bytes: usize) -> Option<Loan> {
        budget.take(bytes).then(|| Loan {
            budget: budget.clone(),
            bytes,
        })
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.budget.give(self.bytes);
    }
}

/// Has a burst forget where it was stored what of it has been given; whether what has not been given can be had elsewhere.
pub(super) fn pause(mut feed: Box<dyn Feed>) -> BoxFuture<'static, (Box<dyn Feed>, bool)> {
    Box::pin(async move {
        let is_stored = feed.pause().await;
        (feed, is_stored)
    })
}

/// The end of a burst that was being paused.
pub(super) fn unpause(
    paused: BoxFuture<'static, (Box<dyn Feed>, bool)>,
) -> BoxFuture<'static, Page> {
    Box::pin(async move {
        let (feed, _) = paused.await;
        Page {
            feed,
            stanzas: Vec::new(),
            _loan: None,
        }
    })
}

/// The next part of a burst, as soon as there is memory for it. Its end, and what the feed
/// does when the part before has been written, wait for nothing.
pub(super) fn pull(mut feed: Box<dyn Feed>, budget: &Arc<Budget>) -> BoxFuture<'static, Page> {
    let budget = budget.clone();
    Box::pin(async move {
        let stanzas = feed.next().await;
        let bytes = stanzas.iter().map(Stanza::size).sum();
        let mut loan = None;
        if !stanzas.is_empty() {
            loan = Loan::take(&budget, bytes);
            for _ in 0..LOOKS {
                if loan.is_some() {
                    break;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
                loan = Loan::take(&budget, bytes);
            }
        }
        Page {
            feed,
            stanzas,
            _loan: loan,
        }
    })
}
