//! Failed logins are slowed, per address and per account.
//!
//! The answer to a failed attempt waits, and while [`ThrottleLimits::pending`] of them
//! wait in one network, further attempts from there are not looked at: who does not wait
//! for an answer guesses no faster. A network that has failed so often of late has no more
//! attempts under way either, from the first word of a login to its outcome: else hundreds
//! could begin while nobody waits. A right password from anywhere else is never slowed,
//! whoever guesses at the account, so nobody can lock anybody else out; nor are the many who
//! come back at once from behind one address, as long as they know their passwords.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::BareJid;
use crate::server::network;

/// How failed logins are slowed.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ThrottleLimits {
    /// What the first failure costs; each further one doubles it. Default 100 ms.
    pub first: Duration,
    /// What a failure costs at most; default 10 s.
    pub most: Duration,
    /// Time without a failure after which one is forgotten; default 1 min.
    pub forget: Duration,
    /// Failed attempts of one network that may wait for their answer at a time before
    /// its next attempt waits too; default 8. Once as many have failed and are not forgotten,
    /// attempts that are under way count as well.
    pub pending: u32,
    /// Addresses and accounts remembered, each; default 10 000. When more fail,
    /// those that failed longest ago are forgotten.
    pub remembered: usize,
}

impl Default for ThrottleLimits {
    fn default() -> ThrottleLimits {
        ThrottleLimits {
            first: Duration::from_millis(100),
            most: Duration::from_secs(10),
            forget: Duration::from_secs(60),
            pending: 8,
            remembered: 10_000,
        }
    }
}

/// How often an attempt that is held back looks whether it may go on.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Too many failures of the network wait for their answers.
#[derive(Debug)]
pub(super) struct Busy;

/// Remembers who failed to log in.
#[derive(Debug)]
pub struct Throttle {
    limits: ThrottleLimits,
    failures: Mutex<Failures>,
}

#[derive(Debug, Default)]
struct Failures {
    addresses: Counts<IpAddr>,
    accounts: Counts<BareJid>,
    /// Failures that wait for their answer, by network; no entry for none.
    pending: Places,
    /// Attempts that are under way.
    trying: Places,
}

/// How many of each network; no entry for none.
#[derive(Debug, Default)]
struct Places(HashMap<IpAddr, u32>);

impl Places {
    fn of(&self, network: IpAddr) -> u32 {
        self.0.get(&network).copied().unwrap_or(0)
    }

    fn take(&mut self, network: IpAddr) {
        *self.0.entry(network).or_default() += 1;
    }

    fn give_back(&mut self, network: IpAddr) {
        if let Some(taken) = self.0.get_mut(&network) {
            *taken -= 1;
            if *taken == 0 {
                self.0.remove(&network);
            }
        }
    }
}

/// An attempt to log in, from its first word to its outcome.
pub(super) struct Attempt {
    throttle: Arc<Throttle>,
    network: Option<IpAddr>,
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(network) = self.network {
            self.throttle.lock().trying.give_back(network);
        }
    }
}

/// A failed attempt that waits for its answer.
#[derive(Debug)]
pub struct Waiting<'a> {
    throttle: &'a Throttle,
    network: Option<IpAddr>,
    /// How long.
    pub time: Duration,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(network) = self.network {
            self.throttle.lock().pending.give_back(network);
        }
    }
}

/// Who failed how often. Each failure costs the logarithm of how many are remembered, also
/// when somebody has to be forgotten.
#[derive(Debug)]
struct Counts<K> {
    table: HashMap<K, Count>,
    /// The same, the one that failed longest ago first.
    order: BTreeSet<(Instant, K)>,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    failures: u32,
    last: Instant,
}

impl<K: Hash + Ord + Clone> Counts<K> {
    /// Counts a failure; answers how many there are that have not been forgiven.
    fn count(&mut self, key: &K, now: Instant, limits: &ThrottleLimits) -> u32 {
        let before = self.table.get(key).copied();
        let failures = self.of(key, now, limits);
        if let Some(count) = before {
            self.order.remove(&(count.last, key.clone()));
        }
        if before.is_none()
            && self.table.len() >= limits.remembered
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.table.remove(&oldest);
        }
        let failures = failures.saturating_add(1);
        // Of two threads the later one may have the earlier time.
        let last = before.map_or(now, |count| count.last.max(now));
        self.table.insert(key.clone(), Count { failures, last });
        self.order.insert((last, key.clone()));
        failures
    }

    /// How many failures there are that have not been forgiven.
    fn of(&self, key: &K, now: Instant, limits: &ThrottleLimits) -> u32 {
        self.table.get(key).map_or(0, |count| {
            let rest = now.saturating_duration_since(count.last).as_secs_f64();
            let forgiven = rest / limits.forget.as_secs_f64().max(0.001);
            count.failures.saturating_sub(forgiven as u32)
        })
    }
}

impl<K> Default for Counts<K> {
    fn default() -> Counts<K> {
        Counts {
            table: HashMap::new(),
            order: BTreeSet::new(),
        }
    }
}

impl Throttle {
    /// Nobody has failed yet.
    pub fn new(limits: ThrottleLimits) -> Throttle {
        Throttle {
            limits,
            failures: Mutex::default(),
        }
    }

    /// Waits until an attempt from this network is looked at, but no longer than a
    /// failure waits at most.
    pub(super) async fn turn(
        self: &Arc<Self>,
        peer: Option<IpAddr>,
        now: Instant,
    ) -> Result<Attempt, Busy> {
        let mut waited = Duration::ZERO;
        loop {
            if let Some(attempt) = self.begin(peer, now + waited) {
                return Ok(attempt);
            }
            if waited >= self.limits.most {
                return Err(Busy);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
            waited += LOOK_AGAIN;
        }
    }

    /// Takes a place for an attempt from this network, if it is looked at now.
    fn begin(self: &Arc<Self>, peer: Option<IpAddr>, now: Instant) -> Option<Attempt> {
        let network = peer.map(network);
        let mut failures = self.lock();
        if let Some(network) = network {
            let limit = self.limits.pending;
            let failed = failures.addresses.of(&network, now, &self.limits);
            let counted = match failed < limit {
                true => 0,
                false => failures.trying.of(network),
            };
            if failures.pending.of(network) + counted >= limit {
                return None;
            }
            failures.trying.take(network);
        }
        drop(failures);
        let throttle = self.clone();
        Some(Attempt { throttle, network })
    }

    /// Whether an attempt from this network is looked at now, if no other is under way.
    pub fn admits(&self, peer: Option<IpAddr>) -> bool {
        peer.is_none_or(|peer| self.lock().pending.of(network(peer)) < self.limits.pending)
    }

    /// A login failed: the client waits for the answer as long as this says, and its
    /// place is taken as long as the value lives.
    pub fn failed(
        &self,
        peer: Option<IpAddr>,
        account: Option<&BareJid>,
        now: Instant,
    ) -> Waiting<'_> {
        let network = peer.map(network);
        let mut failures = self.lock();
        let by_address = network.map_or(0, |network| {
            failures.pending.take(network);
            failures.addresses.count(&network, now, &self.limits)
        });
        let by_account = account.map_or(0, |account| {
            failures.accounts.count(account, now, &self.limits)
        });
        let doublings = by_address.max(by_account).saturating_sub(1).min(16);
        Waiting {
            throttle: self,
            network,
            time: (self.limits.first * 2_u32.pow(doublings)).min(self.limits.most),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]
    use super::*;

    fn limits() -> ThrottleLimits {
        ThrottleLimits {
            remembered: 3,
            ..ThrottleLimits::default()
        }
    }

    #[test]
    fn each_failure_doubles_the_wait_up_to_a_bound_and_time_forgives() {
        let throttle = Throttle::new(limits());
        let start = Instant::now();
        let peer = Some("192.0.2.1".parse().unwrap());
        let waits: Vec<u64> = (0..9)
            .map(|_| throttle.failed(peer, None, start).time.as_millis() as u64)
            .collect();
        assert_eq!(
            waits,
            [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]
        );
        let later = start + Duration::from_secs(60) * 9;
        assert_eq!(throttle.failed(peer, None, later).time.as_millis(), 100);
    }

    #[test]
    fn an_account_is_slowed_whoever_tries() {
        let throttle = Throttle::new(limits());
        let now = Instant::now();
        let juliet = BareJid::new("juliet@example.org").unwrap();
        throttle.failed(Some("192.0.2.1".parse().unwrap()), Some(&juliet), now);
        let second = throttle.failed(Some("192.0.2.2".parse().unwrap()), Some(&juliet), now);
        assert_eq!(second.time.as_millis(), 200);
    }

    #[test]
    fn who_does_not_wait_for_an_answer_guesses_no_faster() {
        let throttle = Throttle::new(limits());
        let now = Instant::now();
        let (guesser, neighbour) = ("2001:db8::1", "2001:db8::2");
        let peer = |text: &str| Some(text.parse().unwrap());
        let mut waiting: Vec<_> = (0..limits().pending)
            .map(|_| throttle.failed(peer(guesser), None, now))
            .collect();
        assert!(!throttle.admits(peer(guesser)) && !throttle.admits(peer(neighbour)));
        assert!(throttle.admits(peer("192.0.2.1")), "nobody else is slowed");
        waiting.pop();
        assert!(throttle.admits(peer(guesser)), "one has had its answer");
        drop(waiting);
        assert!(throttle.failures.lock().unwrap().pending.0.is_empty());
    }

    #[test]
    fn who_has_failed_begins_no_more_than_may_fail() {
        let limits = ThrottleLimits::default();
        let throttle = Arc::new(Throttle::new(limits));
        let now = Instant::now();
        let guesser = Some("192.0.2.1".parse().unwrap());
        let begin = |count: u32| -> Vec<_> {
            let attempts = (0..count).map(|_| throttle.begin(guesser, now));
            attempts.flatten().collect()
        };
        let many = 100;
        assert_eq!(begin(many).len(), 100, "nobody has failed");
        for _ in 0..limits.pending {
            drop(throttle.failed(guesser, None, now));
        }
        let mut under_way = begin(many);
        assert_eq!(under_way.len(), limits.pending as usize);
        let elsewhere = Some("192.0.2.2".parse().unwrap());
        assert!(
            throttle.begin(elsewhere, now).is_some(),
            "nobody else is held up"
        );
        // One turns out to be wrong, and keeps its place until that is told.
        let waiting = throttle.failed(guesser, None, now);
        under_way.pop();
        assert!(throttle.begin(guesser, now).is_none());
        drop(waiting);
        assert!(throttle.begin(guesser, now).is_some());
        let forgotten = now + limits.forget * (limits.pending + 1);
        assert!(throttle.begin(guesser, forgotten).is_some());
        drop(under_way);
        assert!(throttle.lock().trying.0.is_empty());
    }

    #[test]
    fn those_that_failed_longest_ago_are_forgotten() {
        let throttle = Throttle::new(limits());
        let now = Instant::now();
        let failed = |last: u8, at: u64| {
            let at = now + Duration::from_millis(at);
            let peer = IpAddr::from([192, 0, 2, last]);
            throttle.failed(Some(peer), None, at).time.as_millis()
        };
        for i in 0..100 {
            failed(i, i.into());
        }
        // 97, 98 and 99 are left; 97 fails again, so that 98 is the next to go.
        assert_eq!(failed(97, 200), 200);
        assert_eq!(failed(1, 201), 100);
        assert_eq!(failed(99, 202), 200);
        assert_eq!(failed(97, 203), 400);
        assert_eq!(failed(98, 204), 100, "forgotten");
        let failures = throttle.lock();
        let Counts { table, order } = &failures.addresses;
        assert_eq!((table.len(), order.len()), (3, 3));
        let in_order = |(last, key): &(Instant, IpAddr)| table[key].last == *last;
        assert!(order.iter().all(in_order));
    }
}
