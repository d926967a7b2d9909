//! A journal in the process.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::Memory;
use crate::BareJid;
use crate::store::{Journal, JournalEntry, JournalState, Mark, Record, Result};
use crate::time::Timestamp;

#[derive(Debug, Default)]
pub(super) struct Kept {
    log: u64,
    last: u64,
    clock: Option<Timestamp>,
    heads: BTreeMap<u64, u64>,
    marks: BTreeMap<BareJid, Mark>,
    records: BTreeMap<(BareJid, String), Record>,
    numbers: BTreeMap<u64, (BareJid, String)>,
}

impl Kept {
    fn remove(&mut self, of: &(BareJid, String)) {
        if let Some(before) = self.records.remove(of) {
            self.numbers.remove(&before.number);
        }
    }
}

#[async_trait]
impl Journal for Memory {
    async fn state(&self, fresh: u64) -> Result<JournalState> {
        let mut state = self.state();
        let kept = &mut state.journal;
        if kept.log == 0 {
            kept.log = fresh;
        }
        Ok(JournalState {
            log: kept.log,
            last: kept.last,
            clock: kept.clock,
            heads: kept.heads.iter().map(|(log, n)| (*log, *n)).collect(),
            marks: kept.marks.iter().map(|(a, m)| (a.clone(), *m)).collect(),
        })
    }

    async fn record(&self, account: &BareJid, key: &str) -> Result<Option<Record>> {
        let of = (account.clone(), key.to_owned());
        Ok(self.state().journal.records.get(&of).cloned())
    }

    async fn records(&self, account: &BareJid) -> Result<Vec<Record>> {
        let state = self.state();
        let from = (account.clone(), String::new());
        let records = state.journal.records.range(from..);
        let records = records.take_while(|((of, _), _)| of == account);
        Ok(records.map(|(_, record)| record.clone()).collect())
    }

    async fn since(&self, after: u64, limit: usize, octets: usize) -> Result<Vec<Record>> {
        let state = self.state();
        let kept = &state.journal;
        let mut size = 0;
        let mut records = Vec::new();
        for of in kept.numbers.range(after.saturating_add(1)..).take(limit) {
            if size >= octets {
                break;
            }
            let record = kept.records.get(of.1);
            size += record.map_or(0, |record| record.body.len());
            records.extend(record.cloned());
        }
        Ok(records)
    }

    async fn write(&self, entry: &JournalEntry) -> Result<u64> {
        let mut state = self.state();
        let kept = &mut state.journal;
        for of in &entry.remove {
            kept.remove(of);
        }
        for record in &entry.put {
            let of = (record.account.clone(), record.key.clone());
            kept.remove(&of);
            kept.last += 1;
            let mut record = record.clone();
            record.number = kept.last;
            kept.numbers.insert(kept.last, of.clone());
            kept.records.insert(of, record);
        }
        for (account, mark) in &entry.marks {
            match mark {
                Some(mark) => kept.marks.insert(account.clone(), *mark),
                None => kept.marks.remove(account),
            };
        }
        kept.clock = kept.clock.max(entry.clock);
        kept.heads.extend(entry.head);
        kept.log = entry.log.unwrap_or(kept.log);
        Ok(kept.last)
    }
}
