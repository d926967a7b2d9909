//! What a store has to remember so that other stores can have the same accounts.

use async_trait::async_trait;

use super::Result;
use crate::BareJid;
use crate::time::Timestamp;

/// Something that is known of an account, in the words of whoever merges stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Of which account.
    pub account: BareJid,
    /// What of it: at most one record for each account and key.
    pub key: String,
    /// What is known of it.
    pub body: Vec<u8>,
    /// The store it has come from as it is, and so need not be told; 0 if it is from here.
    pub source: u64,
    /// Given when it is written: above those of all records written before.
    pub number: u64,
}

/// What has been begun with an account, and not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The stores may have what the records do not.
    Writing,
    /// The records may have what the stores do not.
    Applying,
}

/// What a journal keeps beside the records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JournalState {
    /// The name of this store, above 0.
    pub log: u64,
    /// The greatest number of a record.
    pub last: u64,
    /// The greatest time that was written down.
    pub clock: Option<Timestamp>,
    /// How much of other stores' records is here: the name of each, and a number of its own.
    pub heads: Vec<(u64, u64)>,
    /// Accounts that are marked.
    pub marks: Vec<(BareJid, Mark)>,
}

/// What is written in one step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalEntry {
    /// Records in place of those of the same account and key. Each gets the next number, whatever its own is.
    pub put: Vec<Record>,
    /// Records that go, by account and key. One that is not there is no error.
    pub remove: Vec<(BareJid, String)>,
    /// Accounts that are marked from now on, or not any more.
    pub marks: Vec<(BareJid, Option<Mark>)>,
    /// A time to be written down, if it is the greatest.
    pub clock: Option<Timestamp>,
    /// How much of another store's records is here now.
    pub head: Option<(u64, u64)>,
    /// Another name for this store.
    pub log: Option<u64>,
}

/// The records of all accounts of a store, in the order in which they were written last: at the same time the list of what
/// other stores are owed, since whoever has all up to a number lacks only those behind it.
///
/// It is not one of [`Stores`](super::Stores): a server that is alone needs none. It is best kept where the accounts are, so that a
/// copy of one has the other.
#[async_trait]
pub trait Journal: Send + Sync {
    /// What is kept beside the records. A journal that has no name yet is called `fresh` from now on (above 0, below 2^63).
    async fn state(&self, fresh: u64) -> Result<JournalState>;
    /// One record.
    async fn record(&self, account: &BareJid, key: &str) -> Result<Option<Record>>;
    /// All records of an account, in the order of their keys (octet by octet).
    async fn records(&self, account: &BareJid) -> Result<Vec<Record>>;
    /// Records whose numbers are above `after`, in the order of these: at most `limit`, and no more behind one
    /// with which their bodies have `octets`.
    async fn since(&self, after: u64, limit: usize, octets: usize) -> Result<Vec<Record>>;
    /// Writes all of this, or nothing. Gives the greatest number of a record.
    async fn write(&self, entry: &JournalEntry) -> Result<u64>;
}
