//! Persistent rooms.

use async_trait::async_trait;
use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};
use xmpp_core::BareJid;
use xmpp_core::store::Result;
use xmpp_core::time::Timestamp;
use xmpp_muc_federated::room::Affiliation;
use xmpp_muc_federated::store::{
    Change, Entry, FederationChange, Listed, Rooms, StoredFederation, StoredMessage, StoredRoom,
};

use super::{Sqlite, clamp, parsed};

mod federation;

#[async_trait]
impl Rooms for Sqlite {
    async fn load(&self, room: &BareJid) -> Result<Option<StoredRoom>> {
        let room = room.clone();
        self.read(move |db| {
            // One statement, because it sees one moment.
            let mut select = db.prepare_cached(
                "SELECT state, NULL, NULL, NULL, NULL FROM room WHERE jid = ?1
                 UNION ALL SELECT NULL, jid, affiliation, nick, reason FROM room_entry WHERE room = ?1",
            )?;
            let mut rows = select.query([room.as_str()])?;
            let (mut state, mut affiliations) = (None, Vec::new());
            while let Some(row) = rows.next()? {
                match row.get(0)? {
                    Some(found) => state = Some(found),
                    None => affiliations.push(entry(row)?),
                }
            }
            Ok(state.map(|state| StoredRoom {
                state,
                affiliations,
            }))
        })
        .await
    }

    async fn history(&self, room: &BareJid, limit: usize) -> Result<Vec<StoredMessage>> {
        let room = room.clone();
        self.read(move |db| {
            let mut newest: Vec<_> = db
                .prepare_cached(
                    "SELECT id, at, xml FROM room_message
                     WHERE room = ?1 ORDER BY number DESC LIMIT ?2",
                )?
                .query_map(params![room.as_str(), clamp(limit)], |row| {
                    Ok(StoredMessage {
                        id: row.get(0)?,
                        at: Timestamp(row.get(1)?),
                        // What is no UTF-8 any more must not hold up the others.
                        xml: row.get_ref(2)?.as_str().unwrap_or_default().to_owned(),
                    })
                })?
                .collect::<rusqlite::Result<_>>()?;
            newest.reverse();
            Ok(newest)
        })
        .await
    }

    async fn federation(&self, room: &BareJid) -> Result<StoredFederation> {
        let room = room.clone();
        self.read(move |db| federation::load(db, &room)).await
    }

    async fn apply(&self, room: &BareJid, changes: &[Change]) -> Result<()> {
        let (room, changes) = (room.clone(), changes.to_vec());
        let octets = changes.iter().map(octets).sum();
        self.write(octets, move |db| {
            let made = changes
                .iter()
                .try_for_each(|change| make(db, &room, change));
            made.map(drop)
        })
        .await
    }

    async fn list(
        &self,
        service: &BareJid,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<Listed>> {
        let service = service.clone();
        // No room is called so.
        let after = after.map_or(String::new(), |after| after.as_str().to_owned());
        self.read(move |db| {
            db.prepare_cached(
                "SELECT jid, name FROM room
                 WHERE service = ?1 AND jid > ?2 AND listed ORDER BY jid LIMIT ?3",
            )?
            .query_map(params![service.as_str(), after, clamp(limit)], |row| {
                Ok(Listed {
                    room: parsed(row, 0)?,
                    name: row.get(1)?,
                })
            })?
            .collect()
        })
        .await
    }

    async fn linked(
        &self,
        service: &BareJid,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<BareJid>> {
        let service = service.clone();
        // No room is called so.
        let after = after.map_or(String::new(), |after| after.as_str().to_owned());
        self.read(move |db| {
            db.prepare_cached(
                "SELECT DISTINCT room FROM room_link WHERE room > ?2
                 AND EXISTS (SELECT 1 FROM room WHERE jid = room_link.room AND service = ?1)
                 ORDER BY room LIMIT ?3",
            )?
            .query_map(params![service.as_str(), after, clamp(limit)], |row| {
                parsed(row, 0)
            })?
            .collect()
        })
        .await
    }

    async fn states(
        &self,
        service: &BareJid,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<(BareJid, String)>> {
        let service = service.clone();
        // No room is called so.
        let after = after.map_or(String::new(), |after| after.as_str().to_owned());
        self.read(move |db| {
            db.prepare_cached(
                "SELECT jid, state FROM room
                 WHERE service = ?1 AND jid > ?2 ORDER BY jid LIMIT ?3",
            )?
            .query_map(params![service.as_str(), after, clamp(limit)], |row| {
                Ok((parsed(row, 0)?, row.get(1)?))
            })?
            .collect()
        })
        .await
    }

    async fn count(&self, service: &BareJid) -> Result<usize> {
        let service = service.clone();
        self.read(move |db| {
            db.prepare_cached("SELECT count(*) FROM room WHERE service = ?1")?
                .query_row([service.as_str()], |row| row.get(0))
        })
        .await
    }
}

fn make(db: &Connection, room: &BareJid, change: &Change) -> rusqlite::Result<()> {
    let name = room.as_str();
    let execute = |sql, parameters: &[&dyn rusqlite::ToSql]| {
        db.prepare_cached(sql)?.execute(parameters).map(drop)
    };
    match change {
        Change::State {
            state,
            listed,
            name: title,
        } => execute(
            "INSERT INTO room (jid, service, state, listed, name) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (jid) DO UPDATE SET
             state = excluded.state, listed = excluded.listed, name = excluded.name",
            &[&name, &room.domain(), state, listed, title],
        ),
        Change::Entry(entry) => execute(
            "INSERT INTO room_entry (room, jid, affiliation, nick, reason)
             SELECT ?1, ?2, ?3, ?4, ?5 WHERE EXISTS (SELECT 1 FROM room WHERE jid = ?1)
             ON CONFLICT (room, jid) DO UPDATE SET
             affiliation = excluded.affiliation, nick = excluded.nick, reason = excluded.reason",
            &[
                &name,
                &entry.jid.as_str(),
                &entry.affiliation.name(),
                &entry.nick,
                &entry.reason,
            ],
        ),
        Change::NoEntry(jid) => execute(
            "DELETE FROM room_entry WHERE room = ?1 AND jid = ?2",
            &[&name, &jid.as_str()],
        ),
        Change::Message(message) => execute(
            "INSERT INTO room_message (room, id, at, xml)
             SELECT ?1, ?2, ?3, ?4 WHERE EXISTS (SELECT 1 FROM room WHERE jid = ?1)
             ON CONFLICT (room, id) DO NOTHING",
            &[&name, &message.id, &message.at.0, &message.xml],
        ),
        Change::Keep(most) => execute(
            "DELETE FROM room_message WHERE room = ?1 AND number <=
             (SELECT number FROM room_message WHERE room = ?1
              ORDER BY number DESC LIMIT 1 OFFSET ?2)",
            &[&name, &clamp(*most)],
        ),
        Change::Federation(change) => federation::make(db, room, change),
        Change::Destroyed => {
            for delete in [
                "DELETE FROM room WHERE jid = ?1",
                "DELETE FROM room_entry WHERE room = ?1",
                "DELETE FROM room_message WHERE room = ?1",
                "DELETE FROM room_link WHERE room = ?1",
                "DELETE FROM room_event WHERE room = ?1",
            ] {
                execute(delete, &[&name])?;
            }
            Ok(())
        }
    }
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let affiliation = row.get_ref(2)?.as_str()?;
    let affiliation = Affiliation::named(affiliation).ok_or_else(|| {
        let error = format!("affiliation {affiliation:?}");
        rusqlite::Error::FromSqlConversionFailure(2, Type::Text, error.into())
    })?;
    Ok(Entry {
        jid: parsed(row, 1)?,
        affiliation,
        nick: row.get(3)?,
        reason: row.get(4)?,
    })
}

/// The octets of text that a change carries.
fn octets(change: &Change) -> usize {
    match change {
        Change::State { state, .. } => state.len(),
        Change::Entry(entry) => {
            entry.jid.as_str().len() + entry.reason.as_ref().map_or(0, String::len)
        }
        Change::Message(message) => message.xml.len(),
        Change::Federation(FederationChange::Link(link)) => link.record.len(),
        Change::Federation(FederationChange::Have(have)) => have.len(),
        Change::Federation(FederationChange::Event(event)) => event.xml.len(),
        _ => 0,
    }
}
