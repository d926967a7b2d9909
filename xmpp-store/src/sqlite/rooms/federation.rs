//! What persistent rooms know of their other nodes.

use rusqlite::{Connection, Row};
use xmpp_core::BareJid;
use xmpp_core::time::Timestamp;
use xmpp_muc_federated::log::{Dot, NodeId};
use xmpp_muc_federated::store::{FederationChange, StoredEvent, StoredFederation, StoredLink};

use crate::sqlite::{clamp, parsed};

pub(super) fn load(db: &Connection, room: &BareJid) -> rusqlite::Result<StoredFederation> {
    // One statement, because it sees one moment.
    let mut select = db.prepare_cached(
        "SELECT 0, 0, have, NULL, NULL, NULL, NULL FROM room WHERE jid = ?1
         UNION ALL SELECT 1, 0, record, peer, NULL, NULL, NULL FROM room_link WHERE room = ?1
         UNION ALL SELECT 2, number, xml, node, epoch, seq, at FROM room_event WHERE room = ?1
         ORDER BY 1, 2",
    )?;
    let mut rows = select.query([room.as_str()])?;
    let mut stored = StoredFederation::default();
    while let Some(row) = rows.next()? {
        match row.get(0)? {
            0 => stored.have = row.get(2)?,
            1 => stored.links.push(StoredLink {
                record: row.get(2)?,
                peer: parsed(row, 3)?,
            }),
            _ => stored.events.push(event(row)?),
        }
    }
    Ok(stored)
}

pub(super) fn make(
    db: &Connection,
    room: &BareJid,
    change: &FederationChange,
) -> rusqlite::Result<()> {
    let room = room.as_str();
    let execute = |sql, parameters: &[&dyn rusqlite::ToSql]| {
        db.prepare_cached(sql)?.execute(parameters).map(drop)
    };
    match change {
        FederationChange::Link(link) => execute(
            "INSERT INTO room_link (room, peer, record)
             SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM room WHERE jid = ?1)
             ON CONFLICT (room, peer) DO UPDATE SET record = excluded.record",
            &[&room, &link.peer.as_str(), &link.record],
        ),
        FederationChange::NoLink(peer) => execute(
            "DELETE FROM room_link WHERE room = ?1 AND peer = ?2",
            &[&room, &peer.as_str()],
        ),
        FederationChange::Have(have) => {
            execute("UPDATE room SET have = ?2 WHERE jid = ?1", &[&room, have])
        }
        FederationChange::Event(StoredEvent { dot, at, xml }) => execute(
            "INSERT INTO room_event (room, node, epoch, seq, at, xml)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE EXISTS (SELECT 1 FROM room WHERE jid = ?1)
             ON CONFLICT (room, node, epoch, seq) DO NOTHING",
            &[
                &room,
                &dot.node.as_str(),
                &dot.epoch.cast_signed(),
                &dot.seq.cast_signed(),
                &at.0,
                xml,
            ],
        ),
        FederationChange::KeepEvents(most) => execute(
            "DELETE FROM room_event WHERE room = ?1 AND number <=
             (SELECT number FROM room_event WHERE room = ?1
              ORDER BY number DESC LIMIT 1 OFFSET ?2)",
            &[&room, &clamp(*most)],
        ),
    }
}

fn event(row: &Row<'_>) -> rusqlite::Result<StoredEvent> {
    // SQLite has no numbers without a sign.
    let number = |column| row.get(column).map(i64::cast_unsigned);
    Ok(StoredEvent {
        // What is no UTF-8 any more must not hold up the others.
        xml: row.get_ref(2)?.as_str().unwrap_or_default().to_owned(),
        dot: Dot {
            node: NodeId::new(row.get_ref(3)?.as_str()?),
            epoch: number(4)?,
            seq: number(5)?,
        },
        at: Timestamp(row.get(6)?),
    })
}
