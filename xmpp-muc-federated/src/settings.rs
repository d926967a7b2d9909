//! What all rooms of a service share.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use xmpp_core::BareJid;
use xmpp_core::server::Random;

use crate::room::Config;

/// What all rooms of a service share.
pub struct Settings {
    /// Who is an owner of every room.
    pub admins: Vec<BareJid>,
    /// What a new room is like.
    pub defaults: Config,
    /// Bounds.
    pub limits: Limits,
    /// Of what occupant ids are made (XEP-0421): secret, and the same after a restart.
    pub secret: [u8; 32],
    /// For ids that nobody can guess.
    pub random: Arc<dyn Random>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limits = &self.limits;
        f.debug_struct("Settings").field("limits", limits).finish()
    }
}

/// What one room may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Occupants, whatever the room's owner has configured; default 20 000. Owners and admins of the room may enter beyond the
    /// configured number (§7.2.9), not beyond this one.
    pub occupants: usize,
    /// Sessions of one user on one nick; default 10.
    pub sessions: usize,
    /// Entries of the lists of owners, admins, members and outcasts together; default 50 000.
    pub affiliations: usize,
    /// Users who wait for an admin to approve their registration (§9.9); default 100.
    pub applicants: usize,
    /// Messages of history, whatever the owner has configured; default 100.
    pub history: usize,
    /// Bytes of history; default 1 MiB. All that there is counts as [memory](xmpp_core::server::Config::memory) of the server; where that is short, there is less.
    pub history_bytes: usize,
    /// Bytes of a nick; default 128.
    pub nick: usize,
    /// Bytes of a subject; default 4096.
    pub subject: usize,
    /// Bytes of a presence's payload; default 8 KiB. It is kept for each occupant.
    pub presence: usize,
    /// Bytes of each text of the configuration: name, description, password; default 1024.
    pub text: usize,
    /// Bytes of the entries in one answer that lists occupants, or those with a role or an affiliation; default 128 KiB, which is some
    /// thousand. There are more pages (XEP-0059).
    pub page: usize,
    /// How long a new room waits for its owner to accept or change its configuration (§10.1), before it is destroyed; default 10 min.
    pub setup: Duration,
    /// Requests from occupants to others that wait for their answer; default 1000 in a room. One client has at most a quarter of them.
    pub requests: usize,
    /// For how long, before the room answers in their place; default 60 s.
    pub request: Duration,
    /// Messages and changes of presence or nick that one user may send at once; default 50. Entering, hearing everything again and
    /// inviting are as much as five of them.
    pub burst: u32,
    /// And from then on in a second; default 10.
    pub rate: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            occupants: 20_000,
            sessions: 10,
            affiliations: 50_000,
            applicants: 100,
            history: 100,
            history_bytes: 1 << 20,
            nick: 128,
            subject: 4096,
            presence: 8 << 10,
            text: 1024,
            page: 128 << 10,
            setup: Duration::from_secs(600),
            requests: 1000,
            request: Duration::from_secs(60),
            burst: 50,
            rate: 10,
        }
    }
}
