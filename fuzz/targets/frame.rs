#![no_main]
//! Frames of other nodes: whatever they are they do no harm to who is told of them, and what reads as a frame reads as the same when it is written again.

use std::time::Instant;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use xmpp_cluster::frame::{Body, Frame, Parcel, VERSIONS};
use xmpp_cluster::link::{self, Link};
use xmpp_cluster::membership::{self, Membership, Timers};
use xmpp_cluster::node::{Incarnation, Life, NodeInfo};
use xmpp_cluster::table::Table;
use xmpp_core::machine::Machine;
use xmpp_core::time::{Now, Timestamp};

fuzz_target!(|data: &[u8]| {
    let life = Life {
        node: "me".parse().expect("a name"),
        incarnation: Incarnation(1_000),
    };
    let now = Now {
        instant: Instant::now(),
        utc: Timestamp(1_000),
    };
    let me = NodeInfo {
        life: life.clone(),
        site: "home".parse().expect("a name"),
        versions: VERSIONS,
    };
    let mut membership = Membership::new(me, Timers::default());
    let mut link = Link::new(link::Limits::default(), now.utc);
    let mut table = Table::new(life);
    link.handle(link::Input::Up, now, &mut Vec::new());
    // Each frame behind its length.
    let mut rest = data;
    while let [high, low, behind @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(behind.len());
        let (bytes, behind) = behind.split_at(length);
        rest = behind;
        let Ok(frame) = Frame::decode(Bytes::copy_from_slice(bytes)) else {
            continue;
        };
        assert_eq!(Frame::decode(frame.encode()).as_ref(), Ok(&frame));
        let from = frame.from;
        table.up(&from, &mut Vec::new());
        let mut out = Vec::new();
        match frame.body {
            Body::Beat(beat) => {
                let _ = table.seen(&from, beat.table, &mut Vec::new());
                membership.handle(membership::Input::Heard(from, beat), now, &mut Vec::new());
            }
            Body::Data(data) => link.handle(link::Input::Data(data), now, &mut out),
            Body::Ack(ack) => link.handle(link::Input::Ack(ack), now, &mut out),
            Body::Pull(pull) => drop(table.page(&pull)),
            Body::Page(page) => drop(table.paged(&from, page, &mut Vec::new())),
            _ => {}
        }
        for output in out {
            let link::Output::Deliver(parcel) = output else {
                continue;
            };
            if let Ok(Parcel::Table(delta)) = Parcel::decode(parcel) {
                let life = Life {
                    node: "other".parse().expect("a name"),
                    incarnation: Incarnation(1),
                };
                table.up(&life, &mut Vec::new());
                let _ = table.delta(&life, delta, &mut Vec::new());
            }
        }
    }
});
