//! How many connections are taken.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::server::network;

/// How many connections are taken.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct AcceptLimits {
    /// All connections at a time; default 200 000.
    pub connections: usize,
    /// Connections that have not logged in, at a time; default 10 000: at 10 kB of
    /// XML each, what strangers can make the server hold is 100 MB.
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
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    all: usize,
    before_login: usize,
    per_address: HashMap<IpAddr, usize>,
}

/// A place among the connections; given back when dropped.
pub(super) struct Ticket {
    admission: Arc<Admission>,
    stranger: Option<Option<IpAddr>>,
}

impl Admission {
    pub(super) fn new(limits: AcceptLimits) -> Admission {
        Admission {
            limits,
            counts: Mutex::default(),
        }
    }

    pub(super) fn admit(admission: &Arc<Admission>, peer: Option<IpAddr>) -> Option<Ticket> {
        let network = peer.map(network);
        let limits = admission.limits;
        let mut counts = admission.lock();
        let theirs = network.map_or(0, |network| {
            counts.per_address.get(&network).copied().unwrap_or(0)
        });
        if counts.all >= limits.connections
            || counts.before_login >= limits.before_login
            || theirs >= limits.before_login_per_address
        {
            return None;
        }
        counts.all += 1;
        counts.before_login += 1;
        if let Some(network) = network {
            counts.per_address.insert(network, theirs + 1);
        }
        drop(counts);
        Some(Ticket {
            admission: admission.clone(),
            stranger: Some(network),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// The connection has logged in.
    pub(super) fn logged_in(&mut self) {
        let Some(network) = self.stranger.take() else {
            return;
        };
        let mut counts = self.admission.lock();
        counts.before_login -= 1;
        let Some(network) = network else { return };
        if let Some(theirs) = counts.per_address.get_mut(&network) {
            *theirs -= 1;
            if *theirs == 0 {
                counts.per_address.remove(&network);
            }
        }
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

    fn peer(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn one_address_cannot_take_all_places_before_login() {
        let admission = admission(10, 10, 2);
        let first = Admission::admit(&admission, peer("2001:db8::1"));
        let second = Admission::admit(&admission, peer("2001:db8::2"));
        assert!(first.is_some() && second.is_some());
        assert!(
            Admission::admit(&admission, peer("2001:db8::3")).is_none(),
            "same /64"
        );
        assert!(
            Admission::admit(&admission, peer("2001:db8:0:1::1")).is_some(),
            "another /64"
        );
        drop(first);
        assert!(
            Admission::admit(&admission, peer("2001:db8::4")).is_some(),
            "given back"
        );
    }

    #[test]
    fn a_login_makes_room_for_strangers_but_not_for_more_connections() {
        let admission = admission(2, 1, 1);
        let mut one = Admission::admit(&admission, peer("192.0.2.1")).unwrap();
        assert!(Admission::admit(&admission, peer("192.0.2.2")).is_none());
        one.logged_in();
        let two = Admission::admit(&admission, peer("192.0.2.1"));
        assert!(two.is_some());
        drop(two);
        let mut three = Admission::admit(&admission, peer("192.0.2.3")).unwrap();
        three.logged_in();
        assert!(
            Admission::admit(&admission, peer("192.0.2.4")).is_none(),
            "both places taken"
        );
    }
}
