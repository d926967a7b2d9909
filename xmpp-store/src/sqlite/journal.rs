//! What other stores are to have of the accounts.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};
use xmpp_core::BareJid;
use xmpp_core::store::{Journal, JournalEntry, JournalState, Mark, Record, Result};
use xmpp_core::time::Timestamp;

use super::{Sqlite, clamp, parsed};

const RECORD: &str = "SELECT account, key, body, source, number FROM journal_record";

#[async_trait]
impl Journal for Sqlite {
    async fn state(&self, fresh: u64) -> Result<JournalState> {
        self.write(0, move |db| {
            name(db, fresh)?;
            let mut state = JournalState::default();
            (state.log, state.last, state.clock) =
                db.query_row("SELECT log, last, clock FROM journal", [], |row| {
                    let clock: Option<i64> = row.get(2)?;
                    Ok((row.get(0)?, row.get(1)?, clock.map(Timestamp)))
                })?;
            state.heads = db
                .prepare_cached("SELECT log, number FROM journal_head ORDER BY log")?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?;
            state.marks = db
                .prepare_cached("SELECT account, mark FROM journal_mark ORDER BY account")?
                .query_map([], |row| {
                    let mark = match row.get(1)? {
                        1 => Mark::Writing,
                        _ => Mark::Applying,
                    };
                    Ok((parsed(row, 0)?, mark))
                })?
                .collect::<rusqlite::Result<_>>()?;
            Ok(state)
        })
        .await
    }

    async fn record(&self, account: &BareJid, key: &str) -> Result<Option<Record>> {
        let (account, key) = (account.clone(), key.to_owned());
        self.read(move |db| {
            db.prepare_cached(&format!("{RECORD} WHERE account = ?1 AND key = ?2"))?
                .query_row([account.as_str(), &key], record)
                .optional()
        })
        .await
    }

    async fn records(&self, account: &BareJid) -> Result<Vec<Record>> {
        let account = account.clone();
        self.read(move |db| {
            db.prepare_cached(&format!("{RECORD} WHERE account = ?1 ORDER BY key"))?
                .query_map([account.as_str()], record)?
                .collect()
        })
        .await
    }

    async fn since(&self, after: u64, limit: usize, octets: usize) -> Result<Vec<Record>> {
        self.read(move |db| {
            let mut select = db.prepare_cached(&format!(
                "{RECORD} WHERE number > ?1 ORDER BY number LIMIT ?2"
            ))?;
            let mut rows = select.query([clamp(after), clamp(limit)])?;
            let (mut records, mut size) = (Vec::new(), 0);
            while size < octets {
                let Some(row) = rows.next()? else { break };
                let record = record(row)?;
                size += record.body.len();
                records.push(record);
            }
            Ok(records)
        })
        .await
    }

    async fn write(&self, entry: &JournalEntry) -> Result<u64> {
        let entry = entry.clone();
        let octets = entry.put.iter().map(|record| record.body.len()).sum();
        self.write(octets, move |db| write(db, &entry)).await
    }
}

/// Gives the journal a name if it has none.
fn name(db: &Connection, name: u64) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO journal (only, log, last) VALUES (1, ?1, 0)
         ON CONFLICT DO UPDATE SET log = ?1 WHERE log = 0",
    )?
    .execute([clamp(name)])?;
    Ok(())
}

fn write(db: &Connection, entry: &JournalEntry) -> rusqlite::Result<u64> {
    name(db, 0)?;
    let mut last: u64 = db
        .prepare_cached("SELECT last FROM journal")?
        .query_row([], |row| row.get(0))?;
    let mut delete =
        db.prepare_cached("DELETE FROM journal_record WHERE account = ?1 AND key = ?2")?;
    for (account, key) in &entry.remove {
        delete.execute([account.as_str(), key])?;
    }
    let mut insert = db.prepare_cached(
        "INSERT INTO journal_record (number, account, key, source, body)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for record in &entry.put {
        last += 1;
        let (account, key) = (record.account.as_str(), &record.key);
        delete.execute([account, key])?;
        let source = clamp(record.source);
        insert.execute(params![clamp(last), account, key, source, record.body])?;
    }
    for (account, mark) in &entry.marks {
        let Some(mark) = mark else {
            db.prepare_cached("DELETE FROM journal_mark WHERE account = ?1")?
                .execute([account.as_str()])?;
            continue;
        };
        let mark = match mark {
            Mark::Writing => 1,
            Mark::Applying => 2,
        };
        db.prepare_cached("INSERT OR REPLACE INTO journal_mark (account, mark) VALUES (?1, ?2)")?
            .execute(params![account.as_str(), mark])?;
    }
    if let Some((log, number)) = entry.head {
        db.prepare_cached("INSERT OR REPLACE INTO journal_head (log, number) VALUES (?1, ?2)")?
            .execute([clamp(log), clamp(number)])?;
    }
    let clock = entry.clock.map(|clock| clock.0);
    db.prepare_cached(
        "UPDATE journal SET last = ?1, log = ifnull(?2, log), clock = max(ifnull(?3, clock), ifnull(clock, ?3))",
    )?
    .execute(params![clamp(last), entry.log.map(clamp), clock])?;
    Ok(last)
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record {
        account: parsed(row, 0)?,
        key: row.get(1)?,
        body: row.get(2)?,
        source: row.get(3)?,
        number: row.get(4)?,
    })
}
