//! How many connections are taken.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::control::{Call, Control};
use super::throttle::Attempt;
use crate::server::network;

mod everyone;

use everyone::Everyone;

/// How many connections are taken.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct AcceptLimits {
    /// All connections at a time; default 200 000.
    pub connections: usize,
    /// Connections that have not logged in, at a time; default 10 000: at 10 kB of
    /// XML each, what strangers can make the server hold is 100 MB. When there are as many,
    /// a newcomer takes the place of the oldest one of the network that has the most; before
    /// that, of one that has been there for 2 s and not said a word.
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

/// Who has said nothing for so long gives way first. A client that means to log in has sent
/// its header before, over any line and through a TLS handshake; younger ones are no worse
/// than those who greet at once and then do nothing.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) struct Admission {
    limits: AcceptLimits,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    all: usize,
    /// The last id.
    last: u64,
    /// Those that have not logged in.
    strangers: HashMap<u64, Arc<Control>>,
    /// By network: all of them, and those that have said nothing for [`PATIENCE`].
    crowd: Crowd,
    silent: Crowd,
    /// Those that have said nothing yet and came less than that ago, and when.
    fresh: BTreeMap<u64, (Instant, Network)>,
    /// How many times longer than others those that have not logged in may stay ([`Ticket::may_stay`]), by network and together.
    stays: HashMap<Network, usize>,
    /// Where no network may take all places ([`Admission::fair`]).
    everyone: Option<Everyone>,
}

/// Connections that have not logged in, by network.
///
/// Each change and each choice costs the logarithm of their number.
#[derive(Default)]
struct Crowd {
    networks: HashMap<Network, BTreeSet<u64>>,
    /// The networks, the one with the most connections last; among equals the one whose
    /// oldest connection is the oldest.
    ranks: BTreeSet<(usize, Reverse<u64>, Network)>,
}

/// One subscriber's; all that have no address are one.
type Network = Option<IpAddr>;

/// A place among the connections; given back when dropped.
pub(super) struct Ticket {
    admission: Arc<Admission>,
    /// What is to be known of it until it has logged in; and then, if its network counts.
    entry: Option<Box<Entry>>,
}

struct Entry {
    id: u64,
    network: Network,
    logged_in: bool,
    /// Whether its header has come.
    greeted: bool,
    /// How many times longer than others it may stay; 0: it has not asked.
    stay: usize,
    /// The login that is under way.
    attempt: Option<Attempt>,
}

impl Admission {
    pub(super) fn new(limits: AcceptLimits) -> Admission {
        Admission {
            limits,
            table: Mutex::default(),
        }
    }

    /// The same, but that no network can take all places: who has logged in may have to give way too ([`Call::GiveWay`]).
    pub(super) fn fair(limits: AcceptLimits) -> Admission {
        let admission = Admission::new(limits);
        admission.lock().everyone = Some(Everyone::default());
        admission
    }

    /// Lets in one more, if need be in the place of another that has not logged in.
    pub(super) fn admit(
        admission: &Arc<Admission>,
        peer: Option<IpAddr>,
        control: &Arc<Control>,
        now: Instant,
    ) -> Option<Ticket> {
        let network = peer.map(network);
        let limits = admission.limits;
        let mut table = admission.lock();
        if limits.before_login == 0
            || (network.is_some() && table.crowd.of(network) >= limits.before_login_per_address)
            || !table.has_room(network, limits.connections)
        {
            return None;
        }
        if table.strangers.len() >= limits.before_login {
            table.evict(now)?.call(Call::MakeRoom);
        }
        let id = table.enter(network, control.clone(), now);
        drop(table);
        Some(Ticket {
            admission: admission.clone(),
            entry: Some(Box::new(Entry {
                id,
                network,
                logged_in: false,
                greeted: false,
                stay: 0,
                attempt: None,
            })),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Whether one more may come where there are to be `most`.
    fn has_room(&mut self, network: Network, most: usize) -> bool {
        match &mut self.everyone {
            Some(everyone) => everyone.has_room(network, most, self.all),
            None => self.all < most,
        }
    }

    fn enter(&mut self, network: Network, control: Arc<Control>, now: Instant) -> u64 {
        self.all += 1;
        self.last += 1;
        let id = self.last;
        if let Some(everyone) = &mut self.everyone {
            everyone.enter(id, network, control.clone());
        }
        self.strangers.insert(id, control);
        self.crowd.insert(id, network);
        self.fresh.insert(id, (now, network));
        id
    }

    /// Removes one of those that have been silent for too long, or else one of all: the oldest
    /// of the network that has the most of them.
    fn evict(&mut self, now: Instant) -> Option<Arc<Control>> {
        while let Some(oldest) = self.fresh.first_entry()
            && now.saturating_duration_since(oldest.get().0) >= PATIENCE
        {
            let (id, (_, network)) = oldest.remove_entry();
            self.silent.insert(id, network);
        }
        let (id, network) = self.silent.first().or_else(|| self.crowd.first())?;
        self.remove(id, network)
    }

    /// Removes one, unless it has been evicted.
    fn remove(&mut self, id: u64, network: Network) -> Option<Arc<Control>> {
        self.speaks(id, network);
        self.crowd.remove(id, network);
        self.strangers.remove(&id)
    }

    /// One does not stay any more as long as it might have.
    fn leave_early(&mut self, network: Network, stay: usize) {
        if stay > 0
            && let Some(all) = self.stays.get_mut(&network)
        {
            *all -= stay;
            if *all == 0 {
                self.stays.remove(&network);
            }
        }
    }

    /// One says something, or nothing ever again.
    fn speaks(&mut self, id: u64, network: Network) {
        if self.fresh.remove(&id).is_none() {
            self.silent.remove(id, network);
        }
    }
}

impl Crowd {
    /// How many are of this network.
    fn of(&self, network: Network) -> usize {
        self.networks.get(&network).map_or(0, BTreeSet::len)
    }

    /// The oldest one of the network that has the most.
    fn first(&self) -> Option<(u64, Network)> {
        let &(_, Reverse(oldest), network) = self.ranks.last()?;
        Some((oldest, network))
    }

    fn insert(&mut self, id: u64, network: Network) {
        self.change(network, |members| members.insert(id));
    }

    fn remove(&mut self, id: u64, network: Network) {
        self.change(network, |members| members.remove(&id));
    }

    fn change(&mut self, network: Network, change: impl FnOnce(&mut BTreeSet<u64>) -> bool) {
        let members = self.networks.entry(network).or_default();
        let rank = |members: &BTreeSet<u64>| {
            let oldest = members.first()?;
            Some((members.len(), Reverse(*oldest), network))
        };
        let before = rank(members);
        change(members);
        let after = rank(members);
        if before != after {
            before.map(|rank| self.ranks.remove(&rank));
            self.ranks.extend(after);
        }
        if after.is_none() {
            self.networks.remove(&network);
        }
    }
}

impl Ticket {
    /// The connection's header has come.
    pub(super) fn greeted(&mut self) {
        let Some(entry) = &mut self.entry else {
            return;
        };
        if !std::mem::replace(&mut entry.greeted, true) {
            let mut table = self.admission.lock();
            table.speaks(entry.id, entry.network);
        }
    }

    /// Whether the connection may take so many times longer than others until it has logged in. Those of one network that may are together there no
    /// longer than all that it may have, unless there is only one.
    pub(super) fn may_stay(&mut self, times: usize) -> bool {
        let stranger = self.entry.as_mut().filter(|entry| !entry.logged_in);
        let counts = |entry: &&mut Box<Entry>| entry.network.is_some() && times > 1.max(entry.stay);
        let Some(entry) = stranger.filter(counts) else {
            return true;
        };
        let limits = self.admission.limits;
        let mut table = self.admission.lock();
        let all = table.stays.entry(entry.network).or_default();
        let others = *all - entry.stay;
        let most = limits.before_login_per_address.saturating_sub(others);
        if others > 0 && times > most {
            return false;
        }
        *all = others + times;
        entry.stay = times;
        true
    }

    /// A login is under way, until it succeeds or the attempt is [taken](Ticket::attempt).
    pub(super) fn tries(&mut self, attempt: Attempt) {
        if let Some(entry) = &mut self.entry {
            entry.attempt = Some(attempt);
        }
    }

    /// The login that is under way.
    pub(super) fn attempt(&mut self) -> Option<Attempt> {
        self.entry.as_mut()?.attempt.take()
    }

    /// The connection has logged in.
    pub(super) fn logged_in(&mut self) {
        let Some(mut entry) = self.entry.take_if(|entry| !entry.logged_in) else {
            return;
        };
        let mut table = self.admission.lock();
        table.remove(entry.id, entry.network);
        table.leave_early(entry.network, std::mem::take(&mut entry.stay));
        if table.everyone.is_some() {
            entry.logged_in = true;
            self.entry = Some(entry);
        }
    }

    /// Whether no whole header has come.
    pub(super) fn is_silent(&self) -> bool {
        self.entry.as_ref().is_some_and(|entry| !entry.greeted)
    }

    /// Whether the connection has not logged in.
    pub(super) fn is_stranger(&self) -> bool {
        self.entry.as_ref().is_some_and(|entry| !entry.logged_in)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.logged_in();
        let mut table = self.admission.lock();
        table.all -= 1;
        if let (Some(entry), Some(everyone)) = (&self.entry, &mut table.everyone) {
            everyone.remove(entry.id, entry.network);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]
    use super::*;

    fn admission(all: usize, strangers: usize, each: usize) -> Arc<Admission> {
        Arc::new(Admission::new(AcceptLimits {
            connections: all,
            before_login: strangers,
            before_login_per_address: each,
        }))
    }

    fn admit(admission: &Arc<Admission>, peer: &str) -> Option<(Ticket, Arc<Control>)> {
        admit_at(admission, peer, Instant::now())
    }

    fn admit_at(
        admission: &Arc<Admission>,
        peer: &str,
        now: Instant,
    ) -> Option<(Ticket, Arc<Control>)> {
        let control = Arc::new(Control::default());
        let ticket = Admission::admit(admission, Some(peer.parse().unwrap()), &control, now)?;
        Some((ticket, control))
    }

    /// Lets in those of `peers`, of whom those with an exclamation mark send a header, and
    /// `later` newcomers, until all of the former are evicted; returns in which order.
    fn evicted(peers: &[&str], later: Duration) -> Vec<usize> {
        let now = Instant::now();
        let admission = admission(100, peers.len(), 100);
        let mut held: Vec<_> = peers
            .iter()
            .map(|peer| {
                let address = peer.trim_end_matches('!');
                let (mut ticket, control) = admit_at(&admission, address, now).unwrap();
                if peer.ends_with('!') {
                    ticket.greeted();
                }
                (ticket, control)
            })
            .collect();
        let mut order = Vec::new();
        for newcomer in 0..peers.len() {
            let address = format!("203.0.113.{newcomer}");
            let (ticket, control) = admit_at(&admission, &address, now + later).unwrap();
            let called = |at: &usize| held[*at].1.answer() == Some(Call::MakeRoom);
            let called: Vec<_> = (0..peers.len()).filter(called).collect();
            assert_eq!(called.len(), 1, "one for one");
            order.extend(called);
            held.push((ticket, control));
        }
        drop(held);
        let table = admission.lock();
        assert!(table.strangers.is_empty() && table.fresh.is_empty());
        for crowd in [&table.crowd, &table.silent] {
            assert!(crowd.networks.is_empty() && crowd.ranks.is_empty());
        }
        assert_eq!(table.all, 0);
        order
    }

    #[test]
    fn the_many_go_first_then_the_old() {
        let evicted = |peers: &[&str]| evicted(peers, Duration::ZERO);
        let (a, b, c) = ("192.0.2.1", "192.0.2.2", "192.0.2.3");
        assert_eq!(evicted(&[a, b, c]), [0, 1, 2], "equal networks: the oldest");
        assert_eq!(evicted(&[a, b, b, c]), [1, 0, 2, 3], "the largest first");
        assert_eq!(evicted(&[a, c, b, b, b]), [2, 3, 0, 1, 4]);
        let same = ["2001:db8::1", a, "2001:db8::2"];
        assert_eq!(evicted(&same), [0, 1, 2], "one /64 network");
        let greeted = ["192.0.2.9!", "192.0.2.9!", a];
        assert_eq!(evicted(&greeted), [0, 1, 2], "to greet is no merit");
    }

    #[test]
    fn those_who_have_been_silent_for_long_go_before_all_others() {
        let evicted = |peers: &[&str]| evicted(peers, PATIENCE);
        let (a, x, y) = ("192.0.2.1", "192.0.2.8!", "192.0.2.9!");
        assert_eq!(evicted(&[y, y, y, a]), [3, 0, 1, 2]);
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
        assert_eq!(table.strangers.len(), 1);
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
    fn those_who_may_stay_longer_are_together_there_as_long_as_all_may_be() {
        let admission = admission(100, 100, 50);
        let come = || admit(&admission, "192.0.2.1").unwrap().0;
        let mut all: Vec<_> = (0..5).map(|_| come()).collect();
        let mut stays = |times| -> Vec<_> { all.iter_mut().map(|it| it.may_stay(times)).collect() };
        assert_eq!(stays(1), [true; 5], "as long as anybody");
        assert_eq!(stays(20), [true, true, false, false, false]);
        // Once more, as behind STARTTLS.
        assert_eq!(stays(20), [true, true, false, false, false]);
        let mut other = admit(&admission, "192.0.2.2").unwrap().0;
        assert!(other.may_stay(1000), "one in any case");
        // Whoever has proven itself may have its time, and no other's.
        all[0].logged_in();
        assert!(all[0].may_stay(20) && all[2].may_stay(20) && !all[3].may_stay(20));
        drop((all, other));
        assert!(admission.lock().stays.is_empty());
    }

    /// Whoever has a zone has as many names as they please, and proves each.
    #[test]
    fn where_it_is_fair_no_network_keeps_all_places() {
        let admission = Arc::new(Admission::fair(AcceptLimits {
            connections: 5,
            before_login: 5,
            before_login_per_address: 5,
        }));
        let come = |peer: &str| {
            let (mut ticket, control) = admit(&admission, peer)?;
            ticket.logged_in();
            Some((ticket, control))
        };
        let goes = |control: &Control| control.answer() == Some(Call::GiveWay);
        let many: Vec<_> = (0..5).filter_map(|_| come("192.0.2.1")).collect();
        assert_eq!(many.len(), 5);
        assert!(come("192.0.2.1").is_none(), "the many have no more");
        let b = come("192.0.2.2").unwrap();
        assert!(goes(&many[0].1), "the oldest of the many");
        let c = come("192.0.2.3").unwrap();
        let c2 = come("192.0.2.3").unwrap();
        assert!(goes(&many[1].1) && goes(&many[2].1));
        // There are two, two and one: nobody has too much.
        assert!(come("192.0.2.2").is_none());
        let newcomer = come("192.0.2.4");
        assert!(newcomer.is_some() && goes(&many[3].1));
        assert!(come("192.0.2.5").is_some_and(|_| goes(&c.1)));
        for (_, control) in [&many[4], &b, &c2] {
            assert!(!goes(control));
        }
        drop((many, b, c, c2, newcomer));
        let table = admission.lock();
        assert_eq!(table.all, 0);
        assert!(table.everyone.as_ref().unwrap().is_empty());
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
