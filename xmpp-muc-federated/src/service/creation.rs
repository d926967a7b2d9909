//! Who may make rooms (XEP-0045 §10.1.1), and how many.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use xmpp_core::server::Server;
use xmpp_core::stanza::{Condition, StanzaError};
use xmpp_core::store::{Result as Stored, StoreError};
use xmpp_core::{BareJid, Jid};

use super::limits::Limits;
use super::{House, lock};
use crate::room::creator_of;
use crate::store::Rooms;

/// Rooms that are read from the store at a time.
const PAGE: usize = 500;
/// Rooms that may be gone while a page is read: with more, it is read again.
const GONE_MAX: usize = 10_000;

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

/// Who has made which rooms: those in memory, and those that are stored.
#[derive(Debug)]
pub(super) struct Creators {
    user: usize,
    domain: usize,
    made: Mutex<Made>,
}

#[derive(Debug, Default)]
struct Made {
    /// By whom: one of us, or from elsewhere.
    rooms: HashMap<BareJid, (BareJid, bool)>,
    users: HashMap<BareJid, usize>,
    domains: HashMap<BareJid, usize>,
    /// Which are gone since the page was asked for that the store is reading: it may have them still.
    gone: Option<HashSet<BareJid>>,
}

impl House {
    /// Whether `user` may make this room; then it is counted as theirs, until it [is gone](Creators::gone).
    ///
    /// §10.1.1: "If access is restricted and a user attempts to create a room, the service MUST return a <not-allowed/> error".
    pub(super) fn create(
        &self,
        room: &BareJid,
        user: &Jid,
        server: &Server,
    ) -> Result<(), StanzaError> {
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
        // One that becomes persistent later is refused then.
        let is_stored = self.options.settings.defaults.persistent;
        let is_full = is_stored && self.catalogue.stored() >= self.options.limits.stored;
        // §14.6: "limiting the number of rooms that any given non-adminstrative user can own"
        let has_more = is_admin || self.creators.has_more(&user, !is_local);
        if is_full || !has_more {
            // RFC 6120 §8.3.3.18: "lacks the system resources necessary to service the request"
            return Err(Condition::ResourceConstraint.into());
        }
        self.creators.made(room, user, !is_local);
        Ok(())
    }
}

impl Creators {
    pub(super) fn new(limits: &Limits) -> Creators {
        Creators {
            user: limits.user,
            domain: limits.domain,
            made: Mutex::default(),
        }
    }

    /// Takes in who has made the rooms that are stored, as they say themselves. Those that have come into memory meanwhile know better.
    pub(super) async fn load(
        &self,
        service: &BareJid,
        store: &dyn Rooms,
        is_foreign: impl Fn(&BareJid) -> bool,
    ) -> Stored<()> {
        let mut after = None;
        loop {
            lock(&self.made).gone = Some(HashSet::new());
            let page = store.states(service, after.as_ref(), PAGE).await;
            let mut made = lock(&self.made);
            let gone = made.gone.take().unwrap_or_default();
            let page = page?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            if gone.len() >= GONE_MAX {
                let why = "more rooms are gone than can be told from those that are stored";
                return Err(StoreError::Unavailable(why.into()));
            }
            after = Some(last.clone());
            for (room, state) in page {
                if let Some(creator) = creator_of(&state).filter(|_| !gone.contains(&room)) {
                    let is_foreign = is_foreign(&creator);
                    made.add(&room, creator, is_foreign);
                }
            }
        }
    }

    /// Whether this user may have one room more.
    fn has_more(&self, user: &BareJid, is_foreign: bool) -> bool {
        let made = lock(&self.made);
        let of_user = made.users.get(user).copied().unwrap_or_default();
        let of_domain = made.domains.get(&user.domain_jid());
        let of_domain = of_domain.copied().unwrap_or_default();
        of_user < self.user && (!is_foreign || of_domain < self.domain)
    }

    /// A room is this user's, who has made it just now or before it was stored.
    pub(super) fn made(&self, room: &BareJid, user: BareJid, is_foreign: bool) {
        lock(&self.made).add(room, user, is_foreign);
    }

    /// There is no such room any more.
    pub(super) fn gone(&self, room: &BareJid) {
        let mut made = lock(&self.made);
        if let Some(gone) = &mut made.gone
            && gone.len() < GONE_MAX
        {
            gone.insert(room.clone());
        }
        let Some((user, is_foreign)) = made.rooms.remove(room) else {
            return;
        };
        less(&mut made.users, &user);
        if is_foreign {
            less(&mut made.domains, &user.domain_jid());
        }
    }
}

impl Made {
    fn add(&mut self, room: &BareJid, user: BareJid, is_foreign: bool) {
        if self.rooms.contains_key(room) {
            return;
        }
        *self.users.entry(user.clone()).or_default() += 1;
        if is_foreign {
            *self.domains.entry(user.domain_jid()).or_default() += 1;
        }
        self.rooms.insert(room.clone(), (user, is_foreign));
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
        let room = |n: usize| bare(&format!("{n}@rooms.example.org"));
        for (n, (user, is_foreign, may)) in [
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
        ]
        .into_iter()
        .enumerate()
        {
            let user = bare(user);
            assert_eq!(creators.has_more(&user, is_foreign), may, "{user}");
            if may {
                // It is loaded once more.
                creators.made(&room(n), user.clone(), is_foreign);
                creators.made(&room(n), user, is_foreign);
            }
        }
        creators.gone(&room(0));
        creators.gone(&room(0));
        assert!(creators.has_more(&bare("b@x.example"), true));
        (0..10).for_each(|n| creators.gone(&room(n)));
        let made = lock(&creators.made);
        assert!(made.rooms.is_empty() && made.users.is_empty() && made.domains.is_empty());
    }
}
