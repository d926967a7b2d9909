//! How many connections are taken.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::control::{Call, Control};
use crate::server::network;

/// How many connections are taken.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct AcceptLimits {
    /// All connections at a time; default 200 000.
    pub connections: usize,
    /// Connections that have not logged in, at a time; default 10 000: at 10 kB of
    /// XML each, what strangers can make the server hold is 100 MB. When there are as many,
    /// a newcomer takes the place of one that has said nothing, or else of one that has,
    /// and among these of the oldest of the network that has the most.
    pub before_login: usize,
    /// Connections that have not logged in of one address at a time (for IPv6, of one
    /// /64 network); default 500, so that people behind one address can share it.
    pub before_login_per_address: usize,
}

impl Default for AcceptLimits {
    fn default() -> AcceptLimits {
        AcceptLimits {
            connections: 200_000,
            before_login: 10_000,
            before_login_per_address: 500,
        }
    }
}

pub(super) struct Admission {
    limits: AcceptLimits,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    all: usize,
    /// The last id.
    last: u64,
    silent: Crowd,
    greeted: Crowd,
}

/// Connections that have not logged in, all as far as each other, by network.
///
/// Each change and each choice costs the logarithm of their number.
#[derive(Default)]
struct Crowd {
    len: usize,
    networks: HashMap<Network, BTreeMap<u64, Arc<Control>>>,
    /// The networks, the one with the most connections last; among equals the one whose
    /// oldest connection is the oldest.
    ranks: BTreeSet<(usize, Reverse<u64>, Network)>,
}

/// One subscriber's; all that have no address are one.
type Network = Option<IpAddr>;

/// A place among the connections; given back when dropped.
pub(super) struct Ticket {
    admission: Arc<Admission>,
    /// What is to be known of it until it has logged in.
    stranger: Option<Box<Stranger>>,
}

struct Stranger {
    id: u64,
    network: Network,
    /// Whether its header has come.
    greeted: bool,
}

impl Admission {
    pub(super) fn new(limits: AcceptLimits) -> Admission {
        Admission {
            limits,
            table: Mutex::default(),
        }
    }

    /// Lets in one more, if need be in the place of another that has not logged in: of one
    /// that has said nothing rather than of one that has, then of one of the network that
    /// has the most of them, then of the oldest.
    pub(super) fn admit(
        admission: &Arc<Admission>,
        peer: Option<IpAddr>,
        control: &Arc<Control>,
    ) -> Option<Ticket> {
        let network = peer.map(network);
        let limits = admission.limits;
        let mut table = admission.lock();
        let theirs = table.silent.of(network) + table.greeted.of(network);
        if table.all >= limits.connections
            || limits.before_login == 0
            || (network.is_some() && theirs >= limits.before_login_per_address)
        {
            return None;
        }
        if table.silent.len + table.greeted.len >= limits.before_login {
            let evicted = table.silent.evict().or_else(|| table.greeted.evict())?;
            evicted.call(Call::MakeRoom);
        }
        table.all += 1;
        table.last += 1;
        let id = table.last;
        table.silent.insert(id, network, control.clone());
        drop(table);
        Some(Ticket {
            admission: admission.clone(),
            stranger: Some(Box::new(Stranger {
                id,
                network,
                greeted: false,
            })),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Crowd {
    /// How many are of this network.
    fn of(&self, network: Network) -> usize {
        self.networks.get(&network).map_or(0, BTreeMap::len)
    }

    fn insert(&mut self, id: u64, network: Network, control: Arc<Control>) {
        self.change(network, |members| members.insert(id, control));
        self.len += 1;
    }

    /// Removes one, unless it has been evicted.
    fn remove(&mut self, id: u64, network: Network) -> Option<Arc<Control>> {
        let removed = self.change(network, |members| members.remove(&id));
        self.len -= usize::from(removed.is_some());
        removed
    }

    /// Removes the oldest one of the network that has the most.
    fn evict(&mut self) -> Option<Arc<Control>> {
        let &(_, Reverse(oldest), network) = self.ranks.last()?;
        self.remove(oldest, network)
    }

    fn change<T>(
        &mut self,
        network: Network,
        change: impl FnOnce(&mut BTreeMap<u64, Arc<Control>>) -> T,
    ) -> T {
        let members = self.networks.entry(network).or_default();
        let rank = |members: &BTreeMap<u64, _>| {
            let (oldest, _) = members.first_key_value()?;
            Some((members.len(), Reverse(*oldest), network))
        };
        let before = rank(members);
        let result = change(members);
        let after = rank(members);
        if before != after {
            before.map(|rank| self.ranks.remove(&rank));
            self.ranks.extend(after);
        }
        if after.is_none() {
            self.networks.remove(&network);
        }
        result
    }
}

impl Ticket {
    /// The connection's header has come.
    pub(super) fn greeted(&mut self) {
        let Some(stranger) = &mut self.stranger else {
            return;
        };
        if !std::mem::replace(&mut stranger.greeted, true) {
            let mut table = self.admission.lock();
            if let Some(control) = table.silent.remove(stranger.id, stranger.network) {
                let greeted = &mut table.greeted;
                greeted.insert(stranger.id, stranger.network, control);
            }
        }
    }

    /// The connection has logged in.
    pub(super) fn logged_in(&mut self) {
        let Some(stranger) = self.stranger.take() else {
            return;
        };
        let mut table = self.admission.lock();
        let crowd = match stranger.greeted {
            true => &mut table.greeted,
            false => &mut table.silent,
        };
        crowd.remove(stranger.id, stranger.network);
    }

    /// Whether no whole header has come.
    pub(super) fn is_silent(&self) -> bool {
        self.stranger.as_ref().is_some_and(|s| !s.greeted)
    }

    /// Whether the connection has not logged in.
    pub(super) fn is_stranger(&self) -> bool {
        self.stranger.is_some()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.logged_in();
        self.admission.lock().all -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(all: usize, strangers: usize, each: usize) -> Arc<Admission> {
        Arc::new(Admission::new(AcceptLimits {
            connections: all,
            before_login: strangers,
            before_login_per_address: each,
        }))
    }

    fn admit(admission: &Arc<Admission>, peer: &str) -> Option<(Ticket, Arc<Control>)> {
        let control = Arc::new(Control::default());
        let ticket = Admission::admit(admission, Some(peer.parse().unwrap()), &control)?;
        Some((ticket, control))
    }

    /// Lets in those of `peers`, of whom those with an exclamation mark send a header, and
    /// then newcomers, until all of the former are evicted; returns in which order.
    fn evicted(peers: &[&str]) -> Vec<usize> {
        let admission = admission(100, peers.len(), 100);
        let mut held: Vec<_> = peers
            .iter()
            .map(|peer| {
                let (mut ticket, control) = admit(&admission, peer.trim_end_matches('!')).unwrap();
                if peer.ends_with('!') {
                    ticket.greeted();
                }
                (ticket, control)
            })
            .collect();
        let mut order = Vec::new();
        for newcomer in 0..peers.len() {
            let (mut ticket, control) =
                admit(&admission, &format!("203.0.113.{newcomer}")).unwrap();
            let called = |at: &usize| held[*at].1.answer() == Some(Call::MakeRoom);
            let called: Vec<_> = (0..peers.len()).filter(called).collect();
            assert_eq!(called.len(), 1, "one for one");
            order.extend(called);
            // So that it is not the next.
            ticket.greeted();
            held.push((ticket, control));
        }
        drop(held);
        let table = admission.lock();
        for crowd in [&table.silent, &table.greeted] {
            assert!(crowd.len == 0 && crowd.networks.is_empty() && crowd.ranks.is_empty());
        }
        assert_eq!(table.all, 0);
        order
    }

    #[test]
    fn the_silent_go_first_then_the_many_then_the_old() {
        let (a, b, c) = ("192.0.2.1", "192.0.2.2", "192.0.2.3");
        assert_eq!(evicted(&[a, b, c]), [0, 1, 2], "equal networks: the oldest");
        assert_eq!(evicted(&[a, b, b, c]), [1, 0, 2, 3], "the largest first");
        assert_eq!(evicted(&[a, c, b, b, b]), [2, 3, 0, 1, 4]);
        let same = ["2001:db8::1", a, "2001:db8::2"];
        assert_eq!(evicted(&same), [0, 1, 2], "one /64 network");
        let (x, y) = ("192.0.2.8!", "192.0.2.9!");
        assert_eq!(evicted(&[y, y, y, a]), [3, 0, 1, 2], "the silent first");
        assert_eq!(evicted(&[x, a, y, y, a]), [1, 4, 2, 0, 3]);
    }

    #[test]
    fn one_that_logs_in_while_it_is_evicted_stays() {
        let admission = admission(10, 1, 10);
        let (mut first, control) = admit(&admission, "192.0.2.1").unwrap();
        first.greeted();
        let second = admit(&admission, "192.0.2.2");
        assert_eq!(control.answer(), Some(Call::MakeRoom));
        first.logged_in();
        assert!(!first.is_stranger() && second.is_some());
        assert_eq!(admission.lock().all, 2);
        let table = admission.lock();
        assert_eq!((table.silent.len, table.greeted.len), (1, 0));
    }

    #[test]
    fn one_address_cannot_take_all_places_before_login() {
        let admission = admission(10, 10, 2);
        let first = admit(&admission, "2001:db8::1");
        let second = admit(&admission, "2001:db8::2");
        assert!(first.is_some() && second.is_some());
        let third = admit(&admission, "2001:db8::3");
        assert!(third.is_none(), "same /64");
        let elsewhere = admit(&admission, "2001:db8:0:1::1");
        assert!(elsewhere.is_some(), "another /64");
        // A header is no login.
        first.unwrap().0.greeted();
        let fourth = admit(&admission, "2001:db8::4");
        assert!(fourth.is_some(), "given back");
    }

    #[test]
    fn a_login_makes_room_for_strangers_but_not_for_more_connections() {
        let admission = admission(2, 1, 1);
        let mut one = admit(&admission, "192.0.2.1").unwrap();
        assert!(admit(&admission, "192.0.2.1").is_none());
        one.0.logged_in();
        let two = admit(&admission, "192.0.2.1");
        assert!(two.is_some());
        drop(two);
        let mut three = admit(&admission, "192.0.2.3").unwrap();
        three.0.logged_in();
        let four = admit(&admission, "192.0.2.4");
        assert!(four.is_none(), "both places taken");
    }
}
