//! What other servers are held to.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use crate::BareJid;
use crate::s2s::Policy;

/// The policy for each domain on the other side. It can be [replaced](Peers::replace) while streams are open, and holds for
/// whatever is to be proven from then on. Of a domain that is blocked nothing more is read and nothing more is taken for it; what was on its way there
/// goes on.
#[derive(Debug, Default)]
pub struct Peers {
    rules: ArcSwap<Rules>,
    changes: AtomicU64,
}

/// The policy by domain.
#[derive(Clone, Debug)]
pub struct Rules {
    /// For every domain that is not among the others; `None`: only they are spoken with. Default: [`Policy::default`].
    pub default: Option<Policy>,
    /// For these; `None`: the domain is blocked, in both directions.
    pub exceptions: HashMap<BareJid, Option<Policy>>,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            default: Some(Policy::default()),
            exceptions: HashMap::new(),
        }
    }
}

impl Peers {
    /// Peers under these rules.
    pub fn new(rules: Rules) -> Peers {
        Peers {
            rules: ArcSwap::from_pointee(rules),
            changes: AtomicU64::new(0),
        }
    }

    /// Changes the rules.
    pub fn replace(&self, rules: Rules) {
        self.rules.store(rules.into());
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// For whom it is waited longer than for others, and by how many times.
    pub(super) fn patience(&self) -> HashMap<BareJid, u32> {
        let rules = self.rules.load();
        let all = rules.exceptions.iter();
        let all = all.filter_map(|(domain, policy)| Some((domain, (*policy)?.patience)));
        let longer = all.filter(|(_, patience)| *patience > 1);
        longer.map(|(domain, n)| (domain.clone(), n)).collect()
    }

    /// How often they have changed.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Whether there are streams with a domain at all.
    pub(super) fn speaks_with(&self, domain: &str) -> bool {
        let rules = self.rules.load();
        let exception = rules.exceptions.get(domain);
        exception.unwrap_or(&rules.default).is_some()
    }

    /// What a domain is held to; `None`: there are no streams with it.
    pub fn policy(&self, domain: &BareJid) -> Option<Policy> {
        let rules = self.rules.load();
        let exception = rules.exceptions.get(domain);
        exception.copied().unwrap_or(rules.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s2s::Proof;

    #[test]
    fn a_domain_can_be_an_exception_and_the_rules_can_change() {
        let [a, b] = ["a.example", "b.example"].map(|name| name.parse::<BareJid>().unwrap());
        let strict = Policy {
            proof: Proof::Certificate,
            ..Policy::default()
        };
        let peers = Peers::new(Rules {
            exceptions: [(a.clone(), Some(strict)), (b.clone(), None)].into(),
            ..Rules::default()
        });
        assert_eq!(peers.policy(&a), Some(strict));
        assert_eq!(peers.policy(&b), None);
        let other = "c.example".parse().unwrap();
        assert_eq!(peers.policy(&other), Some(Policy::default()));
        // Only those that are listed.
        peers.replace(Rules {
            default: None,
            exceptions: [(a.clone(), Some(strict))].into(),
        });
        assert_eq!(peers.policy(&a), Some(strict));
        assert_eq!(peers.policy(&other), None);
    }
}
