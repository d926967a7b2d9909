//! An account that several nodes of a domain work with, over one store.
//!
//! Each node that has sessions of an account holds what the store has of it, and speaks for its own sessions: it tells them, and for them,
//! what has changed when its own copy has. A change goes to the store first, and there nothing that another node has changed in
//! between is lost ([`Rosters::put_since`](crate::store::Rosters::put_since)). Then the others are told ([`AccountEvents`]), and load it anew
//! ([`Server::account_changed`](crate::server::Server::account_changed)).

use super::{Account, Roster};
use crate::server::Server;
use crate::{BareJid, Jid};

/// Tells the other nodes of what changes of accounts here:
/// [`Builder::account_events`](crate::server::Builder::account_events). Over there
/// [`Server::account_changed`](crate::server::Server::account_changed) is to be called with the same.
///
/// What this node has pushed to sessions of that node before should be there before, so that a stanza comes before the roster push that
/// follows from it.
pub trait AccountEvents: Send + Sync + 'static {
    /// Something has changed, and the store has it. Never waits.
    fn changed(&self, account: &BareJid, change: AccountChange);
}

/// What has changed of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AccountChange {
    /// Its roster, its block list, or that it exists now.
    Data,
    /// It has been removed: its sessions end.
    Removed,
    /// Messages have been stored for it, and a session elsewhere may take them.
    Messages,
}

/// What a copy of an account was before it was loaded anew.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Before {
    /// The roster.
    pub roster: Roster,
    /// The block list.
    pub blocked: Vec<Jid>,
}

/// Follows what other nodes change of accounts that have sessions here. Nothing of the account changes while it is called. It may not wait.
pub trait AccountWatcher: Send + Sync + 'static {
    /// The account has been loaded anew. What has changed is to be told to its sessions that live here, and for them, but to
    /// nobody else: other nodes do the same for theirs.
    fn reloaded(&self, account: &Account, before: &Before, server: &Server);
}
