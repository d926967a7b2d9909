#![allow(clippy::unwrap_used)]

use super::*;
use crate::stanza::MessageType;

fn envelope(text: &str) -> Envelope {
    Stanza::parse(text).unwrap().into()
}

fn sent(text: &str, at: i64) -> Sent {
    let at = Timestamp(at);
    let envelope = envelope(text);
    Sent { envelope, at }
}

fn record() -> Record {
    let presence = "<presence from='romeo@example.org/orchard'><show>dnd</show></presence>";
    Record {
        id: SessionId {
            run: u64::MAX,
            n: 7,
        },
        at: Timestamp(-1),
        stream: Suspended {
            jid: "romeo@example.org/Büro <&>'\"".parse().unwrap(),
            lang: Some("de".into()),
            resumption: None,
            parts: vec![Element::new("part", "urn:example:layer").with_text("\r\n\t")],
        },
        resumption: Resumption {
            id: "name".into(),
            max: Duration::from_secs(600),
            until: Timestamp(42),
            handled: u32::MAX,
            acked: 3,
            sent: [
                sent(
                    "<message id='a'><body>one\r\n&lt;&amp;]]&gt;</body></message>",
                    5,
                ),
                sent("<iq id='b' type='get'><q xmlns='urn:example'/></iq>", 6),
            ]
            .into(),
        },
        seen: Seen {
            available: Some((Stanza::parse(presence).unwrap(), -7)),
            interested: true,
            carbons: false,
            block_list: true,
        },
        directed: vec![
            "nurse@example.org/x'".parse().unwrap(),
            "b.example".parse().unwrap(),
        ],
        kept: vec![Element::new("kept", "urn:example:module").with_attr("x", "\n")],
        waiting: [envelope(
            "<message id='c' xml:lang='fr'><body>trois</body></message>",
        )]
        .into(),
        bursts: true,
    }
}

/// All that there is to a record; how the names of its elements are held is no matter.
fn all(record: &Record) -> String {
    format!("{record:?}").replace("Shared(", "Static(")
}

fn read(text: &str) -> Result<Record, Unreadable> {
    Record::read(text, &mut Shares::default())
}

#[test]
fn a_record_comes_back_as_it_was() {
    let text = record().write(|| 1);
    let back = read(&text).unwrap();
    assert_eq!(all(&back), all(&record()));
    assert_eq!(back.write(|| 1), text);

    let mut little = record();
    little.stream.lang = None;
    little.stream.parts.clear();
    little.seen = Seen::default();
    little.directed.clear();
    little.kept.clear();
    little.waiting.clear();
    little.resumption.sent.clear();
    little.bursts = false;
    let back = read(&little.write(|| 1)).unwrap();
    assert_eq!(all(&back), all(&little));
}

/// What a release of this version has written is read by each later one.
#[test]
fn the_first_version_is_read() {
    let text = "<session xmlns='urn:uuid:7f0b6d52-90c5-4c0c-a1c4-6a1d0f3c8e57' v='1' \
         jid='romeo@example.org/orchard' run='1' n='2' at='3' interested='true' unknown='x'>\
         <resumption id='name' max='600' until='4' handled='5' acked='6'/><unknown/>\
         <available priority='7'><presence xmlns='jabber:client'/></available></session>\
         <unknown xmlns='urn:example'/>\
         <sent xmlns='urn:uuid:7f0b6d52-90c5-4c0c-a1c4-6a1d0f3c8e57' at='8' copy='true' \
         share='9' left='2'/><message id='m'><body>one</body></message>";
    let record = read(text).unwrap();
    assert_eq!(
        (record.id, record.at),
        (SessionId { run: 1, n: 2 }, Timestamp(3))
    );
    assert_eq!((record.resumption.handled, record.resumption.acked), (5, 6));
    assert_eq!(record.seen.available.map(|(_, priority)| priority), Some(7));
    let Sent { envelope, at } = &record.resumption.sent[0];
    assert_eq!((*at, &envelope.origin), (Timestamp(8), &Origin::COPY));
    assert_eq!(envelope.share.as_ref().map(Share::left), Some(2));
}

/// A message that two sessions were to get is one also when both come back.
#[test]
fn shares_are_the_same_again() {
    let share = Share::among(3);
    let with_share = || {
        let mut record = record();
        for envelope in record.waiting.iter_mut() {
            envelope.share = Some(share.clone());
        }
        record
    };
    let names = std::cell::Cell::new(10);
    let random = || {
        names.set(names.get() + 1);
        names.get()
    };
    let texts = [with_share().write(random), with_share().write(random)];
    let mut shares = Shares::default();
    let [one, two] = texts.map(|text| {
        let mut record = Record::read(&text, &mut shares).unwrap();
        record.waiting.pop_front().unwrap().share.unwrap()
    });
    assert!(!one.give_up() && !two.give_up(), "the third has it");
    assert!(one.give_up());
}

#[test]
fn another_version_is_refused_and_its_stanzas_are_found() {
    let text = record().write(|| 1).replace(" v='1'", " v='2'");
    assert_eq!(read(&text).unwrap_err(), Unreadable::Version(2));
    let found = salvage(&text);
    let ids: Vec<_> = found.iter().map(|(e, at)| (e.stanza.id(), *at)).collect();
    let at = |ms| Some(Timestamp(ms));
    assert_eq!(
        ids,
        [(Some("a"), at(5)), (Some("b"), at(6)), (Some("c"), None)]
    );
}

#[test]
fn no_damage_is_taken_for_less() {
    let text = record().write(|| 1);
    let whole = salvage(&text).len();
    assert_eq!(whole, 3);
    for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
        let found = salvage(&text[..end]).len();
        match read(&text[..end]) {
            Err(_) => assert!(found <= whole),
            // Cut between two stanzas it is a record of less; a store does not do that.
            Ok(_) => assert!(text[end..].starts_with('<'), "{}", &text[..end]),
        }
    }
    for wrong in [
        "",
        "<x/>",
        "<message/>",
        "no",
        "<session xmlns='urn:example' v='1'/>",
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
    let lacks = |what: &str| {
        let start = text.find(what).unwrap();
        let end = start + what.len() + text[start + what.len()..].find('\'').unwrap() + 1;
        format!("{}{}", &text[..start], &text[end..])
    };
    for what in [
        " v='",
        " jid='",
        " run='",
        " handled='",
        " acked='",
        " until='",
    ] {
        assert!(read(&lacks(what)).is_err(), "without{what}'");
    }
}

#[test]
fn a_stanza_of_any_size_comes_back() {
    let mut record = record();
    let body = Element::new("body", ns::CLIENT).with_text(&"漢".repeat(1 << 20));
    let large = Stanza::message(MessageType::Chat).with_child(&body);
    record.waiting.push_back(large.clone().into());
    let back = read(&record.write(|| 1)).unwrap();
    assert_eq!(back.waiting[1].stanza.size(), large.size());
}
