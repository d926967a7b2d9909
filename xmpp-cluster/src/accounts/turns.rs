//! Who works with an account, one after the other in the order in which they have asked.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Mutex, PoisonError};

use futures::channel::oneshot;
use xmpp_core::BareJid;

/// Lines in which they stand; some accounts share one.
const LINES: usize = 64;

/// What the one in front leaves to the next: nothing, or the one that it has waited for itself.
type Before = oneshot::Receiver<Option<Waiting>>;

#[derive(Debug)]
struct Waiting(Before);

#[derive(Debug)]
pub(super) struct Turns([Mutex<Option<Waiting>>; LINES]);

/// The turn, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    next: Option<oneshot::Sender<Option<Waiting>>>,
    before: Option<Waiting>,
}

impl Default for Turns {
    fn default() -> Turns {
        Turns(std::array::from_fn(|_| Mutex::default()))
    }
}

impl Turns {
    /// Stands in line when it is called, and not when it is polled.
    pub(super) fn of(&self, account: &BareJid) -> impl Future<Output = Turn> + Send + use<> {
        let mut hasher = DefaultHasher::new();
        account.hash(&mut hasher);
        let line = &self.0[hasher.finish() as usize % LINES];
        let (next, mine) = oneshot::channel();
        let mut last = line.lock().unwrap_or_else(PoisonError::into_inner);
        let mut turn = Turn {
            next: Some(next),
            before: last.replace(Waiting(mine)),
        };
        drop(last);
        async move {
            while let Some(Waiting(before)) = &mut turn.before {
                turn.before = before.await.unwrap_or(None);
            }
            turn
        }
    }
}

impl Drop for Turn {
    /// Whoever stops waiting leaves the next one behind the one in front.
    fn drop(&mut self) {
        if let Some(next) = self.next.take() {
            let _ = next.send(self.before.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn each_has_its_turn_though_one_stops_waiting() {
        let turns = Turns::default();
        let ann: BareJid = "ann@example.com".parse().unwrap();
        let first = turns.of(&ann).now_or_never().unwrap();
        let mut second = Box::pin(turns.of(&ann));
        let mut third = Box::pin(turns.of(&ann));
        assert!((&mut second).now_or_never().is_none());
        assert!((&mut third).now_or_never().is_none());
        drop(second);
        assert!(
            (&mut third).now_or_never().is_none(),
            "the first has it yet"
        );
        drop(first);
        assert!((&mut third).now_or_never().is_some());
    }
}
