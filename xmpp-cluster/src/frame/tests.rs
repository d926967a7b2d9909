use proptest::prelude::*;
use prost::Message;
use xmpp_core::FullJid;
use xmpp_core::account::AccountChange;
use xmpp_core::mailbox::{Origin, SmPoint, Source};
use xmpp_core::session::SessionId;

use super::moves::{Decided, Declined, Fetch, More, NotHere, Offer, PIECE, Piece, RECORD, Taken};
use super::standby::{
    Begin, Claim, Item, ItemId, Known, Log, Logged, Mine, Op, Whose, Yield, Yielded,
};
use super::*;
use crate::standby::dedupe::Window;

fn life() -> Life {
    Life {
        node: "a".parse().unwrap(),
        incarnation: Incarnation(1_700_000_000_000),
    }
}

fn entry() -> Entry {
    Entry {
        jid: FullJid::new("juliet@example.org/balcony").unwrap(),
        session: SessionId { run: 7, n: 9 },
        since: Timestamp(1_700_000_000_456),
        generation: 2,
        resumable: Some(Resumable {
            id: "s1".into(),
            max: 300,
        }),
        priority: Some(-1),
        presence: Some(Bytes::from_static(b"<presence/>")),
        interested: true,
        carbons: false,
        block_list: true,
    }
}

fn frame(to: Option<(NodeId, Option<Incarnation>)>, body: Body) -> Frame {
    Frame {
        from: life(),
        to,
        body,
    }
}

/// One of each kind that this release writes.
fn samples() -> Vec<(&'static str, Frame)> {
    let b: NodeId = "b".parse().unwrap();
    let ack = Ack {
        epoch: 1,
        handled: Counter(3),
        gap: true,
    };
    let delta = Parcel::Table(Delta {
        after: 4,
        changes: vec![Change::Put(Box::new(entry())), Change::Remove(entry().jid)],
    });
    let beat = Beat {
        site: "home".parse().unwrap(),
        versions: VERSIONS,
        clock: Timestamp(1_700_000_000_123),
        hears: vec![Heard {
            life: life(),
            ago: 250,
            mutual: true,
        }],
        table: 12,
        leaving: true,
    };
    let data = Data {
        epoch: 2,
        after: Counter(u32::MAX),
        parcels: vec![delta.encode(), Parcel::Unknown.encode()],
        ack: Some(ack),
    };
    let pull = Pull {
        of: life(),
        from: Some(entry().jid),
        round: 3,
    };
    let page = Page {
        of: life(),
        from: None,
        until: Some(entry().jid),
        at: 12,
        round: 3,
        entries: vec![(5, entry())],
    };
    let carried = Carried {
        stanza: Bytes::from_static(b"<message/>"),
        origin: Origin {
            source: Source::Session(SessionId { run: 1, n: 2 }),
            sm: Some(SmPoint {
                id: "sm".into(),
                n: 4,
            }),
        },
    };
    let push = Push {
        number: 11,
        to: entry().jid,
        session: entry().session,
        shared: true,
        carried: carried.clone(),
    };
    let mut remote = carried;
    remote.origin.source = Source::Remote("example.net".parse().unwrap());
    let route = Route {
        number: 12,
        carried: remote,
    };
    let outcome = Outcome {
        number: 11,
        verdict: Verdict::Safe,
    };
    let end = End {
        jid: entry().jid,
        session: entry().session,
    };
    let changed = AccountChanged {
        account: Some(entry().jid.to_bare()),
        change: AccountChange::Removed,
    };
    let stanzas = Data {
        epoch: 3,
        after: Counter(0),
        parcels: [
            Parcel::Push(Box::new(push)),
            Parcel::Route(Box::new(route)),
            Parcel::Outcome(outcome),
            Parcel::End(end),
            Parcel::AccountChanged(changed),
        ]
        .iter()
        .map(Parcel::encode)
        .collect(),
        ack: None,
    };
    let standby = Data {
        epoch: 4,
        after: Counter(0),
        parcels: standby().iter().map(Parcel::encode).collect(),
        ack: None,
    };
    let served = Served {
        addresses: vec!["rooms.example.org".parse().unwrap()],
        outlet: false,
    };
    let served = Data {
        epoch: 5,
        after: Counter(0),
        parcels: vec![Parcel::Served(served).encode()],
        ack: None,
    };
    let outlet = Served {
        addresses: Vec::new(),
        outlet: true,
    };
    let outlet = Data {
        epoch: 7,
        after: Counter(0),
        parcels: vec![Parcel::Served(outlet).encode()],
        ack: None,
    };
    let moved = Data {
        epoch: 6,
        after: Counter(0),
        parcels: moves().iter().map(Parcel::encode).collect(),
        ack: None,
    };
    let known = Some((b.clone(), Some(Incarnation(5))));
    vec![
        ("beat", frame(None, Body::Beat(beat))),
        ("data", frame(known.clone(), Body::Data(data))),
        ("ack", frame(Some((b, None)), Body::Ack(ack))),
        ("pull", frame(known.clone(), Body::Pull(pull))),
        ("page", frame(known.clone(), Body::Page(page))),
        ("stanzas", frame(known.clone(), Body::Data(stanzas))),
        ("replicas", frame(known.clone(), Body::Data(standby))),
        ("served", frame(known.clone(), Body::Data(served))),
        ("moves", frame(known.clone(), Body::Data(moved))),
        ("outlet", frame(known, Body::Data(outlet))),
    ]
}

/// What is told of sessions that others keep replicas of.
fn standby() -> Vec<Parcel> {
    let session = entry().session;
    let id = ItemId { run: 3, n: 12 };
    let point = SmPoint {
        id: "s2".into(),
        n: u32::MAX,
    };
    let item = Item {
        id,
        point: Some(point),
        at: Some(Timestamp(1_700_000_000_456)),
        stanza: Bytes::from_static(b"<message/>"),
    };
    let begin = Begin {
        name: "s1".into(),
        max: 600,
        generation: 4,
        served: 2,
        steps: 40,
        state: Bytes::from_static(b"<session/>"),
        until: Some(Timestamp(1_700_000_000_789)),
        handled: Counter(5),
        acked: Counter(u32::MAX),
        have: vec![(3, 11)],
    };
    let window = Window {
        last: Counter(9),
        seen: 5 << 64 | 1,
    };
    let known = Known {
        id: "s2".into(),
        window,
    };
    let ops = [
        Op::Begin(Box::new(begin)),
        Op::Known(known),
        Op::Queued(item.clone()),
        Op::Whole,
        Op::Sent(id, Timestamp(1_700_000_000_500)),
        Op::Withdrawn(id),
        Op::Acked(Counter(0)),
        Op::Handled(Counter(6)),
        Op::State(Bytes::from_static(b"<session a=''/>")),
        Op::Until(None),
        Op::Raised {
            generation: 7,
            served: 6,
        },
        Op::Ended,
        Op::Unknown,
    ];
    let claim = Claim {
        session,
        generation: 5,
    };
    vec![
        Parcel::Log(Log {
            stream: 2,
            after: 9,
            ops: ops.map(|op| (session, op)).to_vec(),
        }),
        Parcel::Logged(Logged {
            stream: 2,
            upto: 22,
            broken: true,
            refused: vec![claim],
        }),
        Parcel::Yield(Yield {
            session,
            round: 3,
            ops: vec![Op::Queued(item), Op::Whole],
        }),
        Parcel::Yielded(Yielded { session, round: 3 }),
        Parcel::Whose(Whose { round: 4 }),
        Parcel::Mine(Mine {
            round: 4,
            claims: vec![claim],
            last: true,
        }),
    ]
}

/// What is said of a session that moves.
fn moves() -> Vec<Parcel> {
    let Entry { jid, session, .. } = entry();
    vec![
        Parcel::Fetch(Fetch {
            number: 5,
            name: "s1".into(),
            account: jid.to_bare(),
        }),
        Parcel::NotHere(NotHere {
            number: 5,
            handled: Some(u32::MAX),
            at: Some("c".parse().unwrap()),
        }),
        Parcel::Offer(Box::new(Offer {
            number: 6,
            fetch: 5,
            jid,
            session,
            name: "s1".into(),
            size: 12,
            first: Bytes::from_static(b"<session"),
        })),
        Parcel::More(More { number: 6, from: 8 }),
        Parcel::Piece(Piece {
            number: 6,
            from: 8,
            bytes: Bytes::from_static(b" v/>"),
        }),
        Parcel::Taken(Taken { number: 6 }),
        Parcel::Decided(Decided {
            number: 6,
            gone: true,
        }),
        Parcel::Declined(Declined { number: 6 }),
    ]
}

#[test]
fn what_is_told_of_replicas_and_moves_reads_as_it_was_written() {
    for parcel in [standby(), moves()].concat() {
        assert_eq!(Parcel::decode(parcel.encode()), Ok(parcel));
    }
}

#[test]
fn what_is_said_of_a_move_keeps_its_bounds() {
    let bad = |change: fn(&mut Offer, &mut Fetch, &mut Piece)| {
        let mut all = moves();
        let mut left = 3;
        let (mut offer, mut fetch, mut piece) = (None, None, None);
        for parcel in all.drain(..) {
            match parcel {
                Parcel::Offer(it) => offer = Some(*it),
                Parcel::Fetch(it) => fetch = Some(it),
                Parcel::Piece(it) => piece = Some(it),
                _ => {}
            }
        }
        let (mut offer, mut fetch, mut piece) = (offer.unwrap(), fetch.unwrap(), piece.unwrap());
        change(&mut offer, &mut fetch, &mut piece);
        let all = [
            Parcel::Offer(Box::new(offer)),
            Parcel::Fetch(fetch),
            Parcel::Piece(piece),
        ];
        for parcel in all {
            left -= usize::from(Parcel::decode(parcel.encode()).is_err());
        }
        assert_eq!(left, 2, "one of three is refused");
    };
    bad(|offer, _, _| offer.size = RECORD as u64 + 1);
    bad(|offer, _, _| offer.size = offer.first.len() as u64 - 1);
    bad(|offer, _, _| offer.number = 0);
    bad(|offer, _, _| offer.first = vec![b' '; PIECE + 1].into());
    bad(|_, fetch, _| fetch.name = "n".repeat(xmpp_core::io::NAME + 1));
    bad(|_, fetch, _| fetch.number = 0);
    bad(|_, _, piece| piece.bytes = vec![b' '; PIECE + 1].into());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the first release writes every later one has to read; a change of these bytes is a change of the protocol.
#[test]
fn the_frames_of_version_1_are_what_they_were() {
    let lines: Vec<String> = samples()
        .iter()
        .map(|(name, frame)| format!("{name} {}", hex(&frame.encode())))
        .collect();
    let golden = include_str!("golden-1.txt");
    assert_eq!(lines.join("\n"), golden.trim_end());
    for (line, (_, frame)) in golden.lines().zip(samples()) {
        let (_, text) = line.split_once(' ').unwrap();
        let byte = |i| u8::from_str_radix(&text[i..i + 2], 16).unwrap();
        let bytes: Vec<u8> = (0..text.len()).step_by(2).map(byte).collect();
        assert_eq!(Frame::decode(bytes.into()), Ok(frame));
    }
}

/// A release to come: a field more in the frame and in what it bears, and a kind that this one does not know.
#[derive(Clone, PartialEq, Message)]
struct Later {
    #[prost(message, optional, tag = "1")]
    from: Option<LaterLife>,
    #[prost(message, optional, tag = "90")]
    novelty: Option<LaterLife>,
    #[prost(string, tag = "91")]
    trace: String,
}

#[derive(Clone, PartialEq, Message)]
struct LaterLife {
    #[prost(string, tag = "1")]
    node: String,
    #[prost(uint64, tag = "2")]
    incarnation: u64,
    #[prost(bytes = "vec", tag = "17")]
    colour: Vec<u8>,
}

#[test]
fn what_a_later_release_adds_is_passed_over() {
    let colour = b"green".to_vec();
    let from = LaterLife {
        node: "a".into(),
        incarnation: life().incarnation.0,
        colour,
    };
    let later = Later {
        from: Some(from.clone()),
        novelty: Some(from),
        trace: "1".into(),
    };
    let read = Frame::decode(later.encode_to_vec().into());
    assert_eq!(read, Ok(frame(None, Body::Unknown)));
    // And what is behind a frame that both know.
    for (name, frame) in samples() {
        let mut bytes = frame.encode().to_vec();
        Later {
            trace: "2".into(),
            ..Later::default()
        }
        .encode(&mut bytes)
        .unwrap();
        assert_eq!(Frame::decode(bytes.into()), Ok(frame), "{name}");
    }
    let parcel = Later {
        trace: "3".into(),
        ..Later::default()
    };
    let read = Parcel::decode(parcel.encode_to_vec().into());
    assert_eq!(read, Ok(Parcel::Unknown));
}

/// And the other way: what a later release has made of this one's fields reads as if they were not set.
#[test]
fn a_later_release_reads_what_this_one_writes() {
    for (name, frame) in samples() {
        let later = Later::decode(frame.encode()).unwrap();
        assert_eq!(later.from.unwrap().node, "a", "{name}");
        assert_eq!(later.trace, "");
    }
}

#[test]
fn a_frame_without_what_each_must_have_is_an_error() {
    assert_eq!(Frame::decode(Bytes::new()), Err(Error::Without("sender")));
    let long = Bytes::from(vec![0; FRAME + 1]);
    assert_eq!(Frame::decode(long), Err(Error::TooLong));
    let anybody = LaterLife {
        node: "Not A Name".into(),
        incarnation: 1,
        colour: vec![],
    };
    for from in [
        anybody.clone(),
        LaterLife {
            node: "a".into(),
            incarnation: 0,
            ..anybody
        },
    ] {
        let later = Later {
            from: Some(from),
            ..Later::default()
        };
        let read = Frame::decode(later.encode_to_vec().into());
        assert_eq!(read, Err(Error::Without("sender")));
    }
}

proptest! {
    #[test]
    fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Frame::decode(bytes.clone().into());
        let _ = Parcel::decode(bytes.into());
    }

    /// Closer to what is right: a frame with a byte changed, or an end missing. What still reads as a frame reads as the same when it
    /// is written again.
    #[test]
    fn a_damaged_frame_does_no_harm(which in 0..samples().len(), at in 0..400usize, byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = samples()[which].1.encode().to_vec();
        let at = at % bytes.len();
        match cut {
            true => bytes.truncate(at),
            false => bytes[at] = byte,
        }
        if let Ok(frame) = Frame::decode(bytes.into()) {
            prop_assert_eq!(Frame::decode(frame.encode()), Ok(frame));
        }
    }
}
