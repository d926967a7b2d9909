//! What persistent rooms know of their other nodes.

use std::collections::BTreeMap;

use tokio_postgres::Row;
use xmpp_core::BareJid;
use xmpp_core::store::Result;
use xmpp_core::time::Timestamp;
use xmpp_muc_federated::log::{Dot, NodeId};
use xmpp_muc_federated::store::{
    Change, FederationChange, StoredEvent, StoredFederation, StoredLink,
};

use crate::postgres::writer::Write;
use crate::postgres::{clamp, column, digest, parsed};

/// One statement, because it sees one moment.
pub(super) const SELECT: &str = "SELECT 0, 0::bigint, have, NULL::text, NULL::bigint, NULL::bigint, NULL::bigint FROM room WHERE jid = $1
     UNION ALL SELECT 1, 0, record, peer, NULL, NULL, NULL FROM room_link WHERE room = $1
     UNION ALL SELECT 2, number, xml, node, epoch, seq, at FROM room_event WHERE room = $1
     ORDER BY 1, 2";

/// What was [selected](SELECT).
pub(super) fn load(rows: &[Row]) -> Result<StoredFederation> {
    let mut stored = StoredFederation::default();
    for row in rows {
        match column::<i32>(row, 0)? {
            0 => stored.have = column(row, 2)?,
            1 => stored.links.push(StoredLink {
                record: column(row, 2)?,
                peer: parsed(row, 3)?,
            }),
            _ => stored.events.push(event(row)?),
        }
    }
    Ok(stored)
}

/// `all` are of the same kind as the `first` of them; but for links and events, they are no more than that.
pub(super) fn make(write: Write, first: &FederationChange, all: &[Change]) -> Write {
    match first {
        FederationChange::Link(_) => put_links(write, all),
        FederationChange::NoLink(peer) => write
            .and(0, "DELETE FROM room_link WHERE room = $1 AND key = $2")
            .with(digest(&[peer.as_str()])),
        FederationChange::Have(have) => write
            .and(have.len(), "UPDATE room SET have = $2 WHERE jid = $1")
            .with(have.clone()),
        FederationChange::Event(_) => put_events(write, all),
        FederationChange::KeepEvents(most) => write
            .and(
                0,
                "DELETE FROM room_event WHERE room = $1 AND number <=
                 (SELECT number FROM room_event WHERE room = $1
                  ORDER BY number DESC LIMIT 1 OFFSET $2)",
            )
            .with(clamp(*most)),
    }
}

fn put_links(write: Write, changes: &[Change]) -> Write {
    // A statement may not change a row twice: of two to one peer the last counts.
    let links = changes.iter().filter_map(|change| match change {
        Change::Federation(FederationChange::Link(link)) => Some((&link.peer, &link.record)),
        _ => None,
    });
    let links: BTreeMap<&BareJid, &String> = links.collect();
    let keys = links.keys().map(|peer| digest(&[peer.as_str()]));
    let peers = links.keys().map(|peer| peer.as_str().to_owned());
    let records = links.values().map(|record| record.to_string());
    write
        .and(
            links.values().map(|record| record.len()).sum(),
            "INSERT INTO room_link (room, key, peer, record)
             SELECT $1, new.* FROM unnest($2::bytea[], $3::text[], $4::text[]) AS new
             WHERE EXISTS (SELECT 1 FROM room WHERE room.jid = $1)
             ON CONFLICT (room, key) DO UPDATE SET record = excluded.record",
        )
        .with(keys.collect::<Vec<_>>())
        .with(peers.collect::<Vec<_>>())
        .with(records.collect::<Vec<_>>())
}

fn put_events(write: Write, changes: &[Change]) -> Write {
    let events = changes.iter().filter_map(|change| match change {
        Change::Federation(FederationChange::Event(event)) => Some(event),
        _ => None,
    });
    let events: Vec<&StoredEvent> = events.collect();
    let numbers = |number: fn(&StoredEvent) -> i64| -> Vec<i64> {
        events.iter().map(|event| number(event)).collect()
    };
    let texts = |text: fn(&StoredEvent) -> &str| -> Vec<String> {
        events.iter().map(|event| text(event).to_owned()).collect()
    };
    let keys = events
        .iter()
        .map(|event| digest(&[event.dot.node.as_str()]));
    write
        .and(
            events.iter().map(|event| event.xml.len()).sum(),
            "INSERT INTO room_event (room, key, node, epoch, seq, at, xml)
             SELECT $1, key, node, epoch, seq, at, xml
             FROM unnest($2::bytea[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[])
                  WITH ORDINALITY AS new (key, node, epoch, seq, at, xml, place)
             WHERE EXISTS (SELECT 1 FROM room WHERE room.jid = $1) ORDER BY place
             ON CONFLICT (room, key, epoch, seq) DO NOTHING",
        )
        .with(keys.collect::<Vec<_>>())
        .with(texts(|event| event.dot.node.as_str()))
        .with(numbers(|event| event.dot.epoch.cast_signed()))
        .with(numbers(|event| event.dot.seq.cast_signed()))
        .with(numbers(|event| event.at.0))
        .with(texts(|event| &event.xml))
}

fn event(row: &Row) -> Result<StoredEvent> {
    // PostgreSQL has no numbers without a sign.
    let number = |place| column(row, place).map(i64::cast_unsigned);
    let node: &str = column(row, 3)?;
    Ok(StoredEvent {
        xml: column(row, 2)?,
        dot: Dot {
            node: NodeId::new(node),
            epoch: number(4)?,
            seq: number(5)?,
        },
        at: Timestamp(column(row, 6)?),
    })
}
