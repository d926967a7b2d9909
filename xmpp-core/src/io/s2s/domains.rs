//! How many connections a domain has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::BareJid;

/// Connections that each domain has opened to us, by those that it has proven to be its own.
pub(super) struct Domains {
    limit: usize,
    table: Mutex<HashMap<BareJid, usize>>,
}

/// One of them; given back when dropped.
pub(super) struct Place {
    domains: Arc<Domains>,
    domain: BareJid,
}

impl Domains {
    pub(super) fn new(limit: usize) -> Domains {
        Domains {
            limit,
            table: Mutex::default(),
        }
    }

    /// A place for one more, if there is one.
    pub(super) fn enter(self: &Arc<Domains>, domain: &BareJid) -> Option<Place> {
        let mut table = self.lock();
        let count = table.entry(domain.clone()).or_default();
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        Some(Place {
            domains: self.clone(),
            domain: domain.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BareJid, usize>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.domains.lock();
        if let Some(count) = table.get_mut(&self.domain) {
            *count -= 1;
            if *count == 0 {
                table.remove(&self.domain);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_domain_has_so_many_and_another_as_many() {
        let domains = Arc::new(Domains::new(2));
        let [a, b] = ["a.example", "b.example"].map(|name| name.parse().unwrap());
        let first = domains.enter(&a);
        let _second = domains.enter(&a);
        assert!(domains.enter(&a).is_none());
        assert!(domains.enter(&b).is_some());
        drop(first);
        let _third = domains.enter(&a).unwrap();
        assert!(domains.enter(&a).is_none());
        assert_eq!(domains.lock().len(), 1, "nothing is kept of those who left");
    }
}
