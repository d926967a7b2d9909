//! A session as text, for the time between two runs of the server.
//!
//! It is what could stand on a stream: one element with the state, and behind it the stanzas that
//! the client has not acknowledged or not been sent, each after an element that says what it is.
//! The state bears a version. A release that adds something that others can do without
//! leaves the version as it is: what is unknown is passed over. Whatever the version, the stanzas
//! can be [found](salvage).

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::SessionId;
use crate::Jid;
use crate::mailbox::{Envelope, Origin, Share, Source};
use crate::stanza::Stanza;
use crate::stream::{Resumption, Sent, Suspended};
use crate::time::Timestamp;
use crate::xml::{Element, Limits, Reader, Received, ns};

/// The namespace of what is not a stanza.
const NS: &str = "urn:uuid:7f0b6d52-90c5-4c0c-a1c4-6a1d0f3c8e57";
/// The version that this release writes and reads.
const VERSION: u32 = 1;
const HEADER: &str = "<stream:stream version='1.0' xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams'>";

/// Everything that a session is, but for its account.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) id: SessionId,
    /// When it was written down.
    pub(crate) at: Timestamp,
    /// Its stream, which can be resumed.
    pub(crate) stream: Suspended,
    pub(crate) resumption: Resumption,
    pub(crate) seen: Seen,
    /// Who was sent directed presence.
    pub(crate) directed: Vec<Jid>,
    /// What modules keep of it.
    pub(crate) kept: Vec<Element>,
    /// What waits in its queue, oldest first.
    pub(crate) waiting: VecDeque<Envelope>,
    /// Whether bursts come before what waits.
    pub(crate) bursts: bool,
}

/// What others see of the session.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Its presence and its priority, if it is available.
    pub(crate) available: Option<(Stanza, i8)>,
    pub(crate) interested: bool,
    pub(crate) carbons: bool,
    pub(crate) block_list: bool,
}

/// The shares of messages that several sessions have, by the names under which they are
/// written down.
#[derive(Debug, Default)]
pub(crate) struct Shares(HashMap<u64, Share>);

/// Why a record cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It is of another version.
    Version(u32),
    /// It is damaged, or lacks this.
    Without(&'static str),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreadable::Version(version) => write!(f, "version {version}, not {VERSION}"),
            Unreadable::Without(what) => write!(f, "no {what}"),
        }
    }
}

impl Record {
    /// The record as text; `random` gives names for shares.
    pub(crate) fn write(&self, random: impl Fn() -> u64) -> String {
        let mut text = Vec::new();
        self.state().write(ns::CLIENT, &mut text);
        for Sent { envelope, at } in &self.resumption.sent {
            let sent = Element::new("sent", NS).with_attr("at", &at.0.to_string());
            write(envelope, sent, &random, &mut text);
        }
        for envelope in &self.waiting {
            write(envelope, Element::new("waiting", NS), &random, &mut text);
        }
        // Stanzas and elements are UTF-8.
        String::from_utf8(text).unwrap_or_default()
    }

    fn state(&self) -> Element {
        let Record { stream, seen, .. } = self;
        let Resumption {
            id,
            max,
            until,
            handled,
            acked,
            ..
        } = &self.resumption;
        let resumption = Element::new("resumption", NS)
            .with_attr("id", id)
            .with_attr("max", &max.as_secs().to_string())
            .with_attr("until", &until.0.to_string())
            .with_attr("handled", &handled.to_string())
            .with_attr("acked", &acked.to_string());
        let mut state = Element::new("session", NS)
            .with_attr("v", &VERSION.to_string())
            .with_attr("jid", stream.jid.as_str())
            .with_attr("run", &self.id.run.to_string())
            .with_attr("n", &self.id.n.to_string())
            .with_attr("at", &self.at.0.to_string())
            .with_child(resumption);
        let flags = [
            ("interested", seen.interested),
            ("carbons", seen.carbons),
            ("block-list", seen.block_list),
            ("bursts", self.bursts),
        ];
        for (name, _) in flags.into_iter().filter(|(_, set)| *set) {
            state.set_attr(name, "true");
        }
        if let Some(lang) = &stream.lang {
            state.push(Element::new("lang", NS).with_text(lang));
        }
        if let Some((presence, priority)) = &seen.available {
            let available = Element::new("available", NS)
                .with_attr("priority", &priority.to_string())
                .with_child(presence.to_element());
            state.push(available);
        }
        let directed = |jid: &Jid| Element::new("directed", NS).with_text(jid.as_str());
        state = state.with_children(self.directed.iter().map(directed));
        for (name, elements) in [("layers", &stream.parts), ("modules", &self.kept)] {
            if !elements.is_empty() {
                let all = elements.iter().cloned();
                state.push(Element::new(name, NS).with_children(all));
            }
        }
        state
    }

    /// Reads what [`write`](Record::write) has written.
    pub(crate) fn read(text: &str, shares: &mut Shares) -> Result<Record, Unreadable> {
        let mut items = Items::new(text);
        let Some(Item::Other(state)) = items.next().filter(|_| !text.is_empty()) else {
            return Err(Unreadable::Without("state"));
        };
        if !state.is("session", NS) {
            return Err(Unreadable::Without("state"));
        }
        match number(&state, "v") {
            Some(VERSION) => {}
            Some(version) => return Err(Unreadable::Version(version)),
            None => return Err(Unreadable::Without("version")),
        }
        let mut record = Record::of(&state).map_err(Unreadable::Without)?;
        for item in &mut items {
            match item {
                Item::Stanza(stanza, Some(mark)) if mark.is("sent", NS) => {
                    let at = number(&mark, "at").ok_or(Unreadable::Without("time"))?;
                    let envelope = shares.envelope(stanza, &mark);
                    let at = Timestamp(at);
                    record.resumption.sent.push_back(Sent { envelope, at });
                }
                Item::Stanza(stanza, Some(mark)) if mark.is("waiting", NS) => {
                    record.waiting.push_back(shares.envelope(stanza, &mark));
                }
                // Without one of them the counts are wrong.
                Item::Stanza(..) | Item::Damaged => return Err(Unreadable::Without("end")),
                Item::Other(_) => {}
            }
        }
        Ok(record)
    }

    /// All but the stanzas.
    fn of(state: &Element) -> Result<Record, &'static str> {
        let resumption = state.child("resumption", NS).ok_or("resumption")?;
        let jid = state.attr("jid").and_then(|jid| jid.parse().ok());
        let child = |name| state.children().filter(move |child| child.is(name, NS));
        let all = |name| child(name).flat_map(Element::children).cloned().collect();
        let is = |name| state.attr(name) == Some("true");
        let available = child("available").next().and_then(|available| {
            let presence = available.children().next()?;
            let presence = Stanza::from_element(presence).ok()?;
            Some((presence, number(available, "priority")?))
        });
        let lang = child("lang").next().map(|lang| Arc::from(&*lang.text()));
        Ok(Record {
            id: SessionId {
                run: number(state, "run").ok_or("run")?,
                n: number(state, "n").ok_or("number")?,
            },
            at: Timestamp(number(state, "at").ok_or("time")?),
            stream: Suspended {
                jid: jid.ok_or("address")?,
                lang,
                resumption: None,
                parts: all("layers"),
            },
            resumption: Resumption {
                id: resumption.attr("id").ok_or("name")?.into(),
                max: Duration::from_secs(number(resumption, "max").ok_or("max")?),
                until: Timestamp(number(resumption, "until").ok_or("until")?),
                handled: number(resumption, "handled").ok_or("handled")?,
                acked: number(resumption, "acked").ok_or("acked")?,
                sent: VecDeque::new(),
            },
            seen: Seen {
                available,
                interested: is("interested"),
                carbons: is("carbons"),
                block_list: is("block-list"),
            },
            directed: child("directed")
                .filter_map(|jid| jid.text().parse().ok())
                .collect(),
            kept: all("modules"),
            waiting: VecDeque::new(),
            bursts: is("bursts"),
        })
    }
}

/// The stanzas of a record that cannot be read as a whole, oldest first, as far as it is not
/// damaged; each with the time at which it was sent, if it was. Each is for itself:
/// what several sessions were to get may come more than once.
pub(crate) fn salvage(text: &str) -> Vec<(Envelope, Option<Timestamp>)> {
    let mut shares = Shares::default();
    let stanzas = Items::new(text).filter_map(|item| match item {
        Item::Stanza(stanza, mark) => Some((stanza, mark)),
        _ => None,
    });
    let envelopes = stanzas.map(|(stanza, mark)| match mark {
        Some(mark) => {
            let at = number(&mark, "at").map(Timestamp);
            (shares.envelope(stanza, &mark), at)
        }
        None => (Envelope::from(stanza), None),
    });
    envelopes.collect()
}

impl Shares {
    fn envelope(&mut self, stanza: Stanza, mark: &Element) -> Envelope {
        // Whoever sent it has been told what became of it.
        let mut envelope = Envelope::from(stanza);
        if mark.attr("copy") == Some("true") {
            envelope.origin = Origin::COPY;
        }
        if let (Some(name), Some(left)) = (number(mark, "share"), number(mark, "left")) {
            let share = self.0.entry(name).or_insert_with(|| Share::among(left));
            envelope.share = Some(share.clone());
        }
        envelope
    }
}

fn write(envelope: &Envelope, mut mark: Element, random: &impl Fn() -> u64, text: &mut Vec<u8>) {
    if envelope.origin.source == Source::Copy {
        mark.set_attr("copy", "true");
    }
    if let Some(share) = &envelope.share {
        mark.set_attr("share", &*share.name(random).to_string());
        mark.set_attr("left", &*share.left().to_string());
    }
    mark.write(ns::CLIENT, text);
    envelope.stanza.write(text);
}

/// The first-level elements of a record.
struct Items<'a> {
    reader: Reader,
    rest: &'a [u8],
}

enum Item {
    /// A stanza, and what stood before it.
    Stanza(Stanza, Option<Element>),
    Other(Element),
    /// Nothing more can be read, though there is something.
    Damaged,
}

impl<'a> Items<'a> {
    fn new(text: &'a str) -> Items<'a> {
        let mut reader = Reader::new(Limits::NONE);
        // The header is one that it takes; else nothing can be read.
        let _ = reader.next(&mut HEADER.as_bytes());
        let rest = text.as_bytes();
        Items { reader, rest }
    }

    fn element(&mut self) -> Option<Item> {
        if self.rest.is_empty() {
            return None;
        }
        let damaged = match self.reader.next(&mut self.rest) {
            Ok(Some(Received::Stanza(stanza))) => return Some(Item::Stanza(stanza, None)),
            Ok(Some(Received::Element(element))) => return Some(Item::Other(element)),
            Ok(Some(Received::Whitespace)) => return None,
            Ok(None) => !self.reader.is_at_boundary(),
            // One that was no stanza when it was written.
            Ok(Some(_)) | Err(_) => true,
        };
        self.rest = &[];
        damaged.then_some(Item::Damaged)
    }
}

impl Iterator for Items<'_> {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        let item = self.element()?;
        let Item::Other(mark) = item else {
            return Some(item);
        };
        if !mark.is("sent", NS) && !mark.is("waiting", NS) {
            return Some(Item::Other(mark));
        }
        match self.element()? {
            Item::Stanza(stanza, _) => Some(Item::Stanza(stanza, Some(mark))),
            _ => Some(Item::Damaged),
        }
    }
}

fn number<T: FromStr>(element: &Element, name: &str) -> Option<T> {
    element.attr(name)?.parse().ok()
}

#[cfg(test)]
mod tests;
