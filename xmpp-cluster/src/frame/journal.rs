//! What stores tell each other of accounts.

use prost::Message;
use xmpp_core::BareJid;
use xmpp_core::store::Record;

use super::Error;

/// What a node keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The name of its journal.
    pub log: u64,
    /// How far it has those of others: their names, and a number of each.
    pub heads: Vec<(u64, u64)>,
}

/// A page of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Of which journal.
    pub log: u64,
    /// The number before it.
    pub after: u64,
    /// Whoever takes it has the journal up to there.
    pub last: u64,
    /// What has changed in between, and the addressee may not have. Their numbers and sources do not travel.
    pub records: Vec<Record>,
}

/// How far a journal is at the sender's, for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Have {
    /// Which.
    pub log: u64,
    /// All up to this number.
    pub number: u64,
}

// --- the schema ---

#[derive(Clone, PartialEq, Message)]
pub(super) struct WireHello {
    #[prost(uint64, tag = "1")]
    log: u64,
    #[prost(message, repeated, tag = "2")]
    heads: Vec<WireHave>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WireHave {
    #[prost(uint64, tag = "1")]
    log: u64,
    #[prost(uint64, tag = "2")]
    number: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WireBatch {
    #[prost(uint64, tag = "1")]
    log: u64,
    #[prost(uint64, tag = "2")]
    after: u64,
    #[prost(uint64, tag = "3")]
    last: u64,
    #[prost(message, repeated, tag = "4")]
    records: Vec<WireRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct WireRecord {
    #[prost(string, tag = "1")]
    account: String,
    #[prost(string, tag = "2")]
    key: String,
    #[prost(bytes = "vec", tag = "3")]
    body: Vec<u8>,
}

impl From<&Hello> for WireHello {
    fn from(hello: &Hello) -> WireHello {
        let have = |(log, number): &(u64, u64)| WireHave {
            log: *log,
            number: *number,
        };
        WireHello {
            log: hello.log,
            heads: hello.heads.iter().map(have).collect(),
        }
    }
}

impl From<WireHello> for Hello {
    fn from(hello: WireHello) -> Hello {
        let heads = hello.heads.into_iter();
        Hello {
            log: hello.log,
            heads: heads.map(|head| (head.log, head.number)).collect(),
        }
    }
}

impl From<Have> for WireHave {
    fn from(have: Have) -> WireHave {
        let Have { log, number } = have;
        WireHave { log, number }
    }
}

impl From<WireHave> for Have {
    fn from(have: WireHave) -> Have {
        let WireHave { log, number } = have;
        Have { log, number }
    }
}

impl From<&Batch> for WireBatch {
    fn from(batch: &Batch) -> WireBatch {
        let record = |record: &Record| WireRecord {
            account: record.account.to_string(),
            key: record.key.clone(),
            body: record.body.clone(),
        };
        WireBatch {
            log: batch.log,
            after: batch.after,
            last: batch.last,
            records: batch.records.iter().map(record).collect(),
        }
    }
}

impl TryFrom<WireBatch> for Batch {
    type Error = Error;

    fn try_from(batch: WireBatch) -> Result<Batch, Error> {
        let record = |record: WireRecord| {
            let account = BareJid::new(&record.account).ok();
            let account = account.filter(|account| account.as_str() == record.account);
            Ok(Record {
                account: account.ok_or(Error::Without("account"))?,
                key: record.key,
                body: record.body,
                source: 0,
                number: 0,
            })
        };
        let records = batch.records.into_iter().map(record);
        Ok(Batch {
            log: batch.log,
            after: batch.after,
            last: batch.last,
            records: records.collect::<Result<_, _>>()?,
        })
    }
}
