//! Stanzas that a connection has brought and that are on their way.

use std::collections::VecDeque;
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use futures::future::BoxFuture;

use crate::mailbox::{Later, Settlement};
use crate::server::Server;

/// Those that the stream has not been told of as handled: it is, in the order in which they came.
#[derive(Default)]
pub(super) struct Settlements {
    open: VecDeque<Unsettled>,
}

impl Settlements {
    /// What has become of the next stanza, for which nobody waits longer than until then. `true` if the stream can be told at
    /// once.
    pub(super) fn push(&mut self, settlement: Settlement, until: Instant) -> bool {
        let next = match settlement {
            Settlement::Later(later) if later.is_pledged() => Unsettled::Pledged(later),
            Settlement::Later(later) => Unsettled::Later(later, until),
            _ if self.open.is_empty() => return true,
            _ => Unsettled::Done,
        };
        self.open.push_back(next);
        false
    }

    /// Sees to those whose time is over.
    pub(super) fn hurry(&mut self, now: Instant, server: &Server) {
        for unsettled in &mut self.open {
            if !unsettled.hurry(now, server) {
                return;
            }
        }
    }

    /// Ready when the first is settled, of which the stream is to be told then.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(first) = self.open.front_mut() else {
            return Poll::Pending;
        };
        let settled = first.poll(cx);
        if settled.is_ready() {
            self.open.pop_front();
        }
        settled
    }

    /// When there is somebody to [hurry](Settlements::hurry), if nothing happens before.
    pub(super) fn until(&self) -> Option<Instant> {
        self.open.iter().find_map(Unsettled::until)
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Nobody is told any more.
    pub(super) fn clear(&mut self) {
        self.open.clear();
    }
}

enum Unsettled {
    /// It is settled, but an earlier one is not.
    Done,
    /// It will be, at the latest then.
    Later(Later, Instant),
    /// It will be: whoever has taken it sees to that.
    Pledged(Later),
    /// It was left too long where it was, and takes another way.
    Moving(BoxFuture<'static, ()>),
}

impl Unsettled {
    /// Until when nothing is done about it.
    fn until(&self) -> Option<Instant> {
        match self {
            Unsettled::Later(_, until) => Some(*until),
            _ => None,
        }
    }

    /// Sees to it that it is settled, if its time is over; `false` if it is not.
    ///
    /// What waits in a mailbox is taken back and goes where it would go if the mailbox were
    /// full. What has no other way (presence, an answer), what others get as well, and what its recipient has
    /// taken counts as handled: at most a connection can lose it that acknowledges nothing.
    fn hurry(&mut self, now: Instant, server: &Server) -> bool {
        let Unsettled::Later(later, until) = self else {
            return true;
        };
        if now < *until {
            return false;
        }
        *self = match later.withdraw() {
            Some(envelope) => {
                let server = server.clone();
                Unsettled::Moving(Box::pin(async move { server.overdue(envelope).await }))
            }
            None => Unsettled::Done,
        };
        true
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Unsettled::Done => Poll::Ready(()),
            Unsettled::Later(later, _) | Unsettled::Pledged(later) => {
                Pin::new(later).poll(cx).map(drop)
            }
            Unsettled::Moving(moving) => moving.as_mut().poll(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)] // an `Instant` comes from nowhere else
    use std::time::Duration;

    use futures::FutureExt as _;

    use super::*;
    use crate::mailbox::Outcome;

    fn told(settlements: &mut Settlements) -> usize {
        let next = || std::future::poll_fn(|cx| settlements.poll_next(cx)).now_or_never();
        std::iter::repeat_with(next)
            .take_while(Option::is_some)
            .count()
    }

    #[test]
    fn a_stanza_is_settled_for_the_stream_when_all_before_it_are() {
        let mut settlements = Settlements::default();
        #[allow(clippy::disallowed_methods)] // only differences count
        let now = Instant::now();
        assert!(settlements.push(Settlement::Done, now));
        let ((first, later), (second, later_still)) = (Later::new(), Later::new());
        let until = now + Duration::from_secs(1);
        assert!(!settlements.push(Settlement::Later(later), until));
        assert!(!settlements.push(Settlement::Done, until));
        assert!(!settlements.push(
            Settlement::Later(later_still),
            until + Duration::from_secs(1)
        ));
        assert_eq!((settlements.len(), settlements.until()), (3, Some(until)));
        second.with(Outcome::Settled);
        assert_eq!(told(&mut settlements), 0);
        first.with(Outcome::Settled);
        assert_eq!(told(&mut settlements), 3);
        assert!(settlements.is_empty());
    }

    /// Whoever has taken it sees to it that it does not take too long; an inbox that has only taken it does not.
    #[test]
    fn nothing_is_settled_early_that_is_pledged() {
        let world = crate::server::testing::World::new(Vec::new());
        let mut settlements = Settlements::default();
        let awaited = || {
            let mut origin = crate::mailbox::Origin::SERVER;
            origin.sm = Some(crate::mailbox::SmPoint {
                id: "s".into(),
                n: 1,
            });
            let stanza = crate::stanza::Stanza::message(crate::stanza::MessageType::Chat);
            crate::mailbox::Envelope::new(stanza, origin)
        };
        let (mut taken, mut pledged) = (awaited(), awaited());
        let until = world.server.now().instant;
        assert!(!settlements.push(pledged.pledged(), until));
        assert_eq!(settlements.until(), None);
        assert!(!settlements.push(taken.taken(), until));
        assert_eq!(settlements.until(), Some(until));
        settlements.hurry(until, &world.server);
        assert_eq!((told(&mut settlements), settlements.until()), (0, None));
        pledged.settle(Outcome::Settled);
        assert_eq!(told(&mut settlements), 2);
    }
}
