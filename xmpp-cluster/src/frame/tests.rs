use proptest::prelude::*;
use prost::Message;
use xmpp_core::FullJid;
use xmpp_core::session::SessionId;

use super::*;

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
    let known = Some((b.clone(), Some(Incarnation(5))));
    vec![
        ("beat", frame(None, Body::Beat(beat))),
        ("data", frame(known.clone(), Body::Data(data))),
        ("ack", frame(Some((b, None)), Body::Ack(ack))),
        ("pull", frame(known.clone(), Body::Pull(pull))),
        ("page", frame(known, Body::Page(page))),
    ]
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
    fn a_damaged_frame_does_no_harm(which in 0..5usize, at in 0..400usize, byte in any::<u8>(), cut in any::<bool>()) {
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
