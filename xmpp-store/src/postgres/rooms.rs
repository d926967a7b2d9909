//! Persistent rooms.

use std::collections::BTreeMap;

use async_trait::async_trait;
use tokio_postgres::Row;
use xmpp_core::BareJid;
use xmpp_core::store::{Result, StoreError};
use xmpp_core::time::Timestamp;
use xmpp_muc_federated::room::Affiliation;
use xmpp_muc_federated::store::{
    Change, Entry, FederationChange, Listed, Rooms, StoredFederation, StoredMessage, StoredRoom,
};

use super::writer::Write;
use super::{Postgres, clamp, column, digest, natural, parsed};

mod federation;

#[async_trait]
impl Rooms for Postgres {
    async fn load(&self, room: &BareJid) -> Result<Option<StoredRoom>> {
        // One statement, because it sees one moment.
        let select =
            "SELECT state, NULL::text, NULL::text, NULL::text, NULL::text FROM room WHERE jid = $1
             UNION ALL SELECT NULL, jid, affiliation, nick, reason FROM room_entry WHERE room = $1";
        let rows = self.read(select, &[&room.as_str()]).await?;
        let mut state = None;
        let mut affiliations = Vec::with_capacity(rows.len());
        for row in &rows {
            match column(row, 0)? {
                Some(found) => state = Some(found),
                None => affiliations.push(entry(row)?),
            }
        }
        Ok(state.map(|state| StoredRoom {
            state,
            affiliations,
        }))
    }

    async fn history(&self, room: &BareJid, limit: usize) -> Result<Vec<StoredMessage>> {
        let select = "SELECT id, at, xml FROM room_message
             WHERE room = $1 ORDER BY number DESC LIMIT $2";
        let rows = self.read(select, &[&room.as_str(), &clamp(limit)]).await?;
        let messages = rows.iter().rev().map(|row| {
            Ok(StoredMessage {
                id: column(row, 0)?,
                at: Timestamp(column(row, 1)?),
                xml: column(row, 2)?,
            })
        });
        messages.collect()
    }

    async fn federation(&self, room: &BareJid) -> Result<StoredFederation> {
        let rows = self.read(federation::SELECT, &[&room.as_str()]).await?;
        federation::load(&rows)
    }

    async fn apply(&self, room: &BareJid, changes: &[Change]) -> Result<()> {
        // What concerns one thing is one statement, however many changes it is.
        let same = |a: &Change, b: &Change| {
            use Change::{Entry, Federation, Message, NoEntry};
            use FederationChange::{Event, Link};
            matches!(
                (a, b),
                (Entry(_), Entry(_))
                    | (NoEntry(_), NoEntry(_))
                    | (Message(_), Message(_))
                    | (Federation(Link(_)), Federation(Link(_)))
                    | (Federation(Event(_)), Federation(Event(_)))
            )
        };
        if changes.is_empty() {
            return Ok(());
        }
        let write = Write::empty(room);
        let runs = changes.chunk_by(same);
        let write = runs.fold(write, |write, run| make(write, room, run));
        self.write(write).await.map(drop)
    }

    async fn list(
        &self,
        service: &BareJid,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<Listed>> {
        let select = "SELECT jid, name FROM room
             WHERE hashtextextended(service, 0) = hashtextextended($1, 0) AND service = $1
             AND jid > $2 AND listed ORDER BY jid LIMIT $3";
        // No room is called so.
        let after = after.map_or("", BareJid::as_str);
        let rows = self
            .read(select, &[&service.as_str(), &after, &clamp(limit)])
            .await?;
        let listed = rows.iter().map(|row| {
            Ok(Listed {
                room: parsed(row, 0)?,
                name: column(row, 1)?,
            })
        });
        listed.collect()
    }

    async fn linked(
        &self,
        service: &BareJid,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<BareJid>> {
        let select = "SELECT DISTINCT room FROM room_link WHERE room > $2
             AND EXISTS (SELECT 1 FROM room WHERE jid = room_link.room AND service = $1)
             ORDER BY room LIMIT $3";
        // No room is called so.
        let after = after.map_or("", BareJid::as_str);
        let rows = self
            .read(select, &[&service.as_str(), &after, &clamp(limit)])
            .await?;
        rows.iter().map(|row| parsed(row, 0)).collect()
    }

    async fn states(
        &self,
        service: &BareJid,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<(BareJid, String)>> {
        let select = "SELECT jid, state FROM room
             WHERE hashtextextended(service, 0) = hashtextextended($1, 0) AND service = $1
             AND jid > $2 ORDER BY jid LIMIT $3";
        // No room is called so.
        let after = after.map_or("", BareJid::as_str);
        let rows = self
            .read(select, &[&service.as_str(), &after, &clamp(limit)])
            .await?;
        let states = rows
            .iter()
            .map(|row| Ok((parsed(row, 0)?, column(row, 1)?)));
        states.collect()
    }

    async fn count(&self, service: &BareJid) -> Result<usize> {
        let select = "SELECT count(*) FROM room
             WHERE hashtextextended(service, 0) = hashtextextended($1, 0) AND service = $1";
        let rows = self.read(select, &[&service.as_str()]).await?;
        let counted = rows.first().map(|row| natural(row, 0));
        Ok(counted.transpose()?.unwrap_or(0) as usize)
    }
}

/// Changes of one kind, of which there is at least one; but for entries, messages, links and events, exactly one.
fn make(write: Write, room: &BareJid, changes: &[Change]) -> Write {
    match &changes[0] {
        Change::State {
            state,
            listed,
            name,
        } => write
            .and(
                state.len(),
                "INSERT INTO room (jid, service, state, listed, name) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (jid) DO UPDATE SET
                 state = excluded.state, listed = excluded.listed, name = excluded.name",
            )
            .with(room.domain().to_owned())
            .with(state.clone())
            .with(*listed)
            .with(name.clone()),
        Change::Entry(_) => put_entries(write, changes),
        Change::NoEntry(_) => {
            let jids = changes.iter().filter_map(|change| match change {
                Change::NoEntry(jid) => Some(digest(&[jid.as_str()])),
                _ => None,
            });
            let delete = "DELETE FROM room_entry WHERE room = $1 AND key = ANY ($2)";
            write.and(0, delete).with(jids.collect::<Vec<_>>())
        }
        Change::Message(_) => put_messages(write, changes),
        Change::Keep(most) => write
            .and(
                0,
                "DELETE FROM room_message WHERE room = $1 AND number <=
                 (SELECT number FROM room_message WHERE room = $1
                  ORDER BY number DESC LIMIT 1 OFFSET $2)",
            )
            .with(clamp(*most)),
        Change::Federation(change) => federation::make(write, change, changes),
        Change::Destroyed => write
            .and(0, "DELETE FROM room WHERE jid = $1")
            .and(0, "DELETE FROM room_entry WHERE room = $1")
            .and(0, "DELETE FROM room_message WHERE room = $1"),
    }
}

fn put_entries(write: Write, changes: &[Change]) -> Write {
    // A statement may not change a row twice: of two for one address the last counts.
    let entries = changes.iter().filter_map(|change| match change {
        Change::Entry(entry) => Some((&entry.jid, entry)),
        _ => None,
    });
    let entries: BTreeMap<_, _> = entries.collect();
    let all = |text: fn(&Entry) -> Option<String>| -> Vec<Option<String>> {
        entries.values().map(|entry| text(entry)).collect()
    };
    let keys = entries.keys().map(|jid| digest(&[jid.as_str()]));
    let octets =
        |entry: &&Entry| entry.jid.as_str().len() + entry.reason.as_ref().map_or(0, String::len);
    write
        .and(
            entries.values().map(octets).sum(),
            "INSERT INTO room_entry (room, key, jid, affiliation, nick, reason)
             SELECT $1, new.* FROM unnest($2::bytea[], $3::text[], $4::text[], $5::text[], $6::text[]) AS new
             WHERE EXISTS (SELECT 1 FROM room WHERE room.jid = $1)
             ON CONFLICT (room, key) DO UPDATE SET
             affiliation = excluded.affiliation, nick = excluded.nick, reason = excluded.reason",
        )
        .with(keys.collect::<Vec<_>>())
        .with(all(|entry| Some(entry.jid.as_str().to_owned())))
        .with(all(|entry| Some(entry.affiliation.name().to_owned())))
        .with(all(|entry| entry.nick.clone()))
        .with(all(|entry| entry.reason.clone()))
}

fn put_messages(write: Write, changes: &[Change]) -> Write {
    let messages = changes.iter().filter_map(|change| match change {
        Change::Message(message) => Some(message),
        _ => None,
    });
    let messages: Vec<&StoredMessage> = messages.collect();
    let all = |text: fn(&StoredMessage) -> &String| -> Vec<String> {
        messages
            .iter()
            .map(|message| text(message).clone())
            .collect()
    };
    let keys = messages.iter().map(|message| digest(&[&message.id]));
    let times = messages.iter().map(|message| message.at.0);
    write
        .and(
            messages.iter().map(|message| message.xml.len()).sum(),
            "INSERT INTO room_message (room, key, id, at, xml)
             SELECT $1, key, id, at, xml
             FROM unnest($2::bytea[], $3::text[], $4::bigint[], $5::text[])
                  WITH ORDINALITY AS new (key, id, at, xml, place)
             WHERE EXISTS (SELECT 1 FROM room WHERE room.jid = $1) ORDER BY place
             ON CONFLICT (room, key) DO NOTHING",
        )
        .with(keys.collect::<Vec<_>>())
        .with(all(|message| &message.id))
        .with(times.collect::<Vec<_>>())
        .with(all(|message| &message.xml))
}

fn entry(row: &Row) -> Result<Entry> {
    let name: &str = column(row, 2)?;
    let corrupt = || StoreError::Corrupt(format!("affiliation {name:?}"));
    Ok(Entry {
        jid: parsed(row, 1)?,
        affiliation: Affiliation::named(name).ok_or_else(corrupt)?,
        nick: column(row, 3)?,
        reason: column(row, 4)?,
    })
}
