//! Every stanza, from whoever, to every address: what comes of it is in `table.txt`.
//!
//! `+self -others` are presences, available and not, and who hears them; `msg:all` is a message. `-` is nothing.

use xmpp_core::stanza::{IqType, MessageType, PresenceType};

use super::*;

const TABLE: &str = include_str!("table.txt");

/// Who sends, and where to. `hag66/pda` is in the room as `thirdwitch`, with `firstwitch`; `macbeth/castle` is not.
const WAYS: [(&str, &str, &str); 7] = [
    ("occupant to room", "hag66/pda", ""),
    ("to itself", "hag66/pda", "/thirdwitch"),
    ("to another", "hag66/pda", "/firstwitch"),
    ("to a free nick", "hag66/pda", "/nobody"),
    ("stranger to room", "macbeth/castle", ""),
    ("to an occupant", "macbeth/castle", "/firstwitch"),
    ("to a free nick", "macbeth/castle", "/nobody"),
];

fn kinds() -> Vec<Kind> {
    use PresenceType::*;
    let presences = [
        Available,
        Unavailable,
        Subscribe,
        Subscribed,
        Unsubscribe,
        Unsubscribed,
        Probe,
        Error,
    ];
    let messages = [
        MessageType::Normal,
        MessageType::Chat,
        MessageType::Groupchat,
        MessageType::Headline,
        MessageType::Error,
    ];
    let iqs = [IqType::Get, IqType::Set, IqType::Result, IqType::Error];
    let presences = presences.map(Kind::Presence).into_iter();
    let messages = messages.map(Kind::Message).into_iter();
    presences.chain(messages).chain(iqs.map(Kind::Iq)).collect()
}

fn bench() -> Bench {
    let mut bench = Bench::open(|_| {});
    bench.happens("crone1/desktop enters firstwitch");
    bench.happens("hag66/pda enters thirdwitch");
    bench
}

/// What comes of it, in a word for each.
fn cell(kind: Kind, who: &str, to: &str, children: &[Element]) -> String {
    let mut stanza = Stanza::new(kind)
        .with_to(Jid::new(&format!("{ROOM}{to}")).unwrap())
        .with_from(real(who))
        .with_children(children);
    if matches!(kind, Kind::Iq(_)) {
        stanza.set_id("1");
    }
    let out = bench().give(Input::Stanza(stanza));
    let is_sender = |to: &Jid| *to == real(who);
    let words: Vec<_> = out
        .iter()
        .map(|output| match output {
            Output::Send(stanza) | Output::Answer(stanza) => match stanza.error() {
                Some(error) => {
                    assert!(!kind.is_error(), "an error is answered with one");
                    error.condition.name().to_owned()
                }
                None if matches!(stanza.kind(), Kind::Iq(IqType::Get | IqType::Set)) => {
                    "relayed".into()
                }
                None if stanza.kind() == Kind::Presence(PresenceType::Unavailable) => {
                    "expelled".into()
                }
                None => "answered".into(),
            },
            Output::Broadcast(stanza, to) => {
                let what = match stanza.kind() {
                    Kind::Presence(PresenceType::Unavailable) => "-",
                    Kind::Presence(_) => "+",
                    _ => "msg:",
                };
                let whom = match (to.iter().any(is_sender), to.len()) {
                    (true, 1) => "self",
                    (true, _) => "all",
                    (false, _) => "others",
                };
                format!("{what}{whom}")
            }
            Output::Burst(..) => "welcome".into(),
            other => format!("{other:?}"),
        })
        .collect();
    match words.is_empty() {
        true => "-".into(),
        false => words.join(" "),
    }
}

fn table() -> String {
    let error = Element::parse(&format!(
        "<error xmlns='{CLIENT}' type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
    ));
    let x = Element::new("x", ns::MUC);
    let mut rows = vec![vec![String::new()]];
    rows[0].extend(WAYS.map(|(way, ..)| way.to_owned()));
    let mut row = |name: String, kind: Kind, children: &[Element]| {
        let cells = WAYS.map(|(_, who, to)| cell(kind, who, to, children));
        rows.push(std::iter::once(name).chain(cells).collect());
    };
    for kind in kinds() {
        let name = format!("{} {}", kind.name(), kind.type_name().unwrap_or_default());
        let name = name.trim_end().to_owned();
        match kind {
            Kind::Presence(PresenceType::Available) => {
                row(name.clone(), kind, &[]);
                row(format!("{name} with <x/>"), kind, std::slice::from_ref(&x));
            }
            _ if kind.is_error() => row(name, kind, &[error.clone().unwrap()]),
            Kind::Iq(_) => row(name, kind, &[Element::new("query", "urn:example:a")]),
            _ => row(name, kind, &[Element::new("body", CLIENT).with_text("a")]),
        }
    }
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].len())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<_> = (0..=WAYS.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let cells: Vec<_> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        cells.join(" | ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[test]
fn every_stanza_to_every_address_has_a_defined_result() {
    let table = table();
    assert!(table == TABLE, "table.txt should be:\n{table}");
}
