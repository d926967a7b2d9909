//! Who may make rooms (XEP-0045 §10.1.1), and how many.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use xmpp_core::server::Server;
use xmpp_core::stanza::{Condition, StanzaError};
use xmpp_core::{BareJid, Jid};

use super::limits::Limits;
use super::{House, lock};

/// Who may make rooms. Those who [administer](crate::Settings::admins) the rooms may always, unless nobody may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Creation {
    /// Anyone.
    #[default]
    Anyone,
    /// Those who have an account on this server.
    Local,
    /// Those who administer the rooms.
    Admins,
    /// Nobody: there are the rooms that there are.
    Nobody,
}

/// Whose rooms are in memory.
#[derive(Debug)]
pub(super) struct Creators {
    user: usize,
    domain: usize,
    count: Mutex<Count>,
}

#[derive(Debug, Default)]
struct Count {
    users: HashMap<BareJid, usize>,
    domains: HashMap<BareJid, usize>,
}

/// One room of somebody's, until it is dropped.
#[derive(Debug)]
pub(super) struct Creator {
    creators: Arc<Creators>,
    user: BareJid,
    is_foreign: bool,
}

impl House {
    /// Whether `user` may make one more room.
    ///
    /// §10.1.1: "If access is restricted and a user attempts to create a room, the service MUST return a <not-allowed/> error".
    pub(super) fn may_create(&self, user: &Jid, server: &Server) -> Result<Creator, StanzaError> {
        let user = user.to_bare();
        let is_local = server.is_local(user.domain());
        let is_admin = self.options.settings.admins.contains(&user);
        let may = match self.options.creation {
            Creation::Anyone => true,
            Creation::Local => is_local || is_admin,
            Creation::Admins => is_admin,
            Creation::Nobody => false,
        };
        if !may {
            return Err(Condition::NotAllowed.into());
        }
        // RFC 6120 §8.3.3.18: "lacks the system resources necessary to service the request"
        let constraint = || StanzaError::new(Condition::ResourceConstraint);
        if self.catalogue.stored() >= self.options.limits.stored {
            return Err(constraint());
        }
        self.creators.enter(user, !is_local).ok_or_else(constraint)
    }
}

impl Creators {
    pub(super) fn new(limits: &Limits) -> Arc<Creators> {
        Arc::new(Creators {
            user: limits.user,
            domain: limits.domain,
            count: Mutex::default(),
        })
    }

    /// One room more of this user; `None` if there are too many.
    fn enter(self: &Arc<Creators>, user: BareJid, is_foreign: bool) -> Option<Creator> {
        let mut count = lock(&self.count);
        let of_user = count.users.get(&user).copied().unwrap_or_default();
        let domain = user.domain_jid();
        let of_domain = count.domains.get(&domain).copied().unwrap_or_default();
        if of_user >= self.user || (is_foreign && of_domain >= self.domain) {
            return None;
        }
        *count.users.entry(user.clone()).or_default() += 1;
        if is_foreign {
            *count.domains.entry(domain).or_default() += 1;
        }
        Some(Creator {
            creators: self.clone(),
            user,
            is_foreign,
        })
    }
}

impl Drop for Creator {
    fn drop(&mut self) {
        let mut count = lock(&self.creators.count);
        less(&mut count.users, &self.user);
        if self.is_foreign {
            less(&mut count.domains, &self.user.domain_jid());
        }
    }
}

fn less(counts: &mut HashMap<BareJid, usize>, of: &BareJid) {
    if let Some(count) = counts.get_mut(of) {
        *count -= 1;
        if *count == 0 {
            counts.remove(of);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bare(text: &str) -> BareJid {
        BareJid::new(text).unwrap()
    }

    #[test]
    fn a_user_and_a_foreign_domain_have_so_many_rooms_and_no_more() {
        let limits = Limits {
            user: 2,
            domain: 3,
            ..Limits::default()
        };
        let creators = Creators::new(&limits);
        let enter = |user: &str, is_foreign| creators.enter(bare(user), is_foreign);
        let mut made = Vec::new();
        for (user, is_foreign, taken) in [
            ("a@x.example", true, true),
            ("a@x.example", true, true),
            ("a@x.example", true, false),
            ("b@x.example", true, true),
            ("b@x.example", true, false),
            ("a@y.example", true, true),
            ("a@z.example", false, true),
            ("b@z.example", false, true),
            ("c@z.example", false, true),
            ("d@z.example", false, true),
        ] {
            let creator = enter(user, is_foreign);
            assert_eq!(creator.is_some(), taken, "{user}");
            made.extend(creator);
        }
        made.remove(0);
        assert!(enter("b@x.example", true).is_some());
        drop(made);
        let count = lock(&creators.count);
        assert!(count.users.is_empty() && count.domains.is_empty());
    }
}
