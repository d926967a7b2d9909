//! What a service may hold.

use std::time::Duration;

use xmpp_core::mailbox::QueueLimits;

/// What a service may hold. What one room may hold is in its [settings](crate::settings::Limits).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Rooms in memory; default 10 000. With as many, the one makes place for another that nobody has been in for longest.
    pub rooms: usize,
    /// Of these, those that are being loaded; default 500: whoever asks for rooms that do not exist occupies no more.
    pub loading: usize,
    /// Persistent rooms; default 100 000. With as many, no other becomes one (`<resource-constraint/>`).
    pub stored: usize,
    /// Rooms that one user has made, but for those who [administer](crate::Settings::admins) the rooms; default 100. Those in the store count if
    /// they have been in memory since the start.
    pub user: usize,
    /// The same of all users of one domain that is not ours; default 1000.
    pub domain: usize,
    /// Rooms that are listed (XEP-0045 §6.3); default 100 000. Each takes its address and its name in memory.
    pub listed: usize,
    /// Rooms in one answer; default 500. There are more pages (XEP-0059).
    pub page: usize,
    /// What may wait for one room, and for the service itself; default 1000 stanzas, 2 MiB.
    pub queue: QueueLimits,
    /// Changes of one room that could not be stored and are tried again; default 10 000. With as many it takes nothing more until they are.
    pub unsaved: usize,
    /// How long a room that nobody is in stays in memory; default 1 min.
    pub idle: Duration,
    /// When what could not be stored is tried again; default 5 s.
    pub retry: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            rooms: 10_000,
            loading: 500,
            stored: 100_000,
            user: 100,
            domain: 1000,
            listed: 100_000,
            page: 500,
            queue: QueueLimits::default(),
            unsaved: 10_000,
            idle: Duration::from_secs(60),
            retry: Duration::from_secs(5),
        }
    }
}
