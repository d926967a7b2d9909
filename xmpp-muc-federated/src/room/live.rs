//! A room as it is at one moment, as text: all that it would forget if it left memory now.
//!
//! What is [stored](super::record) of a persistent room is what outlives it. This is the rest as well: who is in it and as what, what they are to be
//! told, what is under way. So a room can go on elsewhere as if nothing had happened, whether it is persistent or not. What it does not say is what it is
//! told anew: its settings, who says how it is federated, and what a [node](crate::fmuc) knows of others.
//!
//! Times are written as how far off they are, since clocks differ. Stanzas stand in it as text, as they are to the octet: whether a presence says
//! anything new is a matter of octets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use xmpp_core::im::form;
use xmpp_core::stanza::Stanza;
use xmpp_core::time::{Now, Timestamp};
use xmpp_core::xml::Element;
use xmpp_core::{BareJid, Jid};

use super::affiliations::Affiliations;
use super::form::{filled, restore};
use super::record::RecordError;
use super::{Affiliation, Role, Room};
use crate::settings::Settings;
use crate::store::Entry;

mod pending;
mod people;

/// The namespace of these records.
pub(super) const NS: &str = "urn:uuid:5b8f0a62-6a0e-4b0e-9d0e-0f6f3c1f7a55";
/// The version that this release writes and reads. One that adds what others can do without leaves it as it is: what is unknown is
/// passed over.
const VERSION: &str = "1";

impl Room {
    /// The room as it is now. To be taken between two turns, when what came out of the last one has been done.
    pub fn snapshot(&self, now: Now) -> String {
        let mut record = element("live").with_attr("version", VERSION);
        record.set_attr("creator", self.creator.as_ref().map(BareJid::as_str));
        for (name, is_set) in [
            ("locked", self.locked),
            ("transient", self.transient),
            ("watched", self.watched),
        ] {
            record.set_attr(name, is_set.then_some("1"));
        }
        let setup = self.setup.map(|until| ahead(until, now));
        record.set_attr("setup", setup.as_deref());
        record.push(filled(&self.config));
        record
            .with_children(self.subject.as_ref().map(|subject| subject.write()))
            .with_children(self.affiliations.iter().map(entry))
            .with_child(self.history.write())
            .with_child(self.occupants.write())
            .with_children(self.rates.write(now))
            .with_children(self.sent.write())
            .with_children(self.requests.write(now))
            .with_children(self.invitations.write())
            .with_children(sorted(self.voices.iter()).map(|(user, role)| {
                let voice = element("voice").with_attr("jid", user.as_str());
                voice.with_attr("role", role.name())
            }))
            .with_children(self.voice_requests.write(now))
            .with_children(self.applicants.iter().map(|(user, nick)| {
                let applicant = element("applicant").with_attr("jid", user.as_str());
                applicant.with_attr("nick", nick)
            }))
            .to_string()
    }

    /// The room of a [snapshot](Room::snapshot), which goes on as the one goes on that it was taken of.
    ///
    /// How it is [federated](Room::federate) is to be told before anything happens to it.
    ///
    /// # Errors
    ///
    /// If it is no snapshot, or one of another version.
    pub fn resume(
        jid: BareJid,
        snapshot: &str,
        settings: Arc<Settings>,
        now: Now,
    ) -> Result<Room, RecordError> {
        let record = Element::restore(snapshot).map_err(RecordError::new)?;
        if !record.is("live", NS) {
            return Err(RecordError::new(format!("it is a <{}/>", record.name())));
        }
        if record.attr("version") != Some(VERSION) {
            return Err(RecordError::new("it is of another version"));
        }
        let mut room = Room::new(jid, settings);
        room.creator = record.attr("creator").map(parsed).transpose()?;
        room.locked = record.attr("locked").is_some();
        room.transient = record.attr("transient").is_some();
        room.watched = record.attr("watched").is_some();
        let setup = record.attr("setup");
        room.setup = setup.map(|text| instant_ahead(text, now)).transpose()?;
        let mut entries = Vec::new();
        for child in record.children() {
            if child.is("x", form::NS) {
                restore(child, &mut room.config, &room.settings.limits);
            }
            if child.ns() != NS {
                continue;
            }
            match child.name() {
                "subject" => room.subject = Some(super::Subject::read(child)?),
                "entry" => entries.push(read_entry(child)?),
                "history" => room.history = super::History::read(child)?,
                "occupants" => room.occupants = super::Occupants::read(child, &room)?,
                "rate" => room.rates.add(child, now)?,
                "sent" => room.sent.add(child)?,
                "request" => room.requests.add(child, now)?,
                "invitation" => room.invitations.add(child)?,
                "voice" => {
                    let role = Role::named(wanted(child, "role")?);
                    let role = role.ok_or_else(|| lacks(child, "role"))?;
                    room.voices.insert(parsed(wanted(child, "jid")?)?, role);
                }
                "asked" => room.voice_requests.add(child, now)?,
                "applicant" => {
                    let nick = wanted(child, "nick")?.to_owned();
                    room.applicants.insert(parsed(wanted(child, "jid")?)?, nick);
                }
                _ => {}
            }
        }
        room.affiliations = Affiliations::new(entries);
        Ok(room)
    }
}

fn entry(entry: &Entry) -> Element {
    let mut element = element("entry").with_attr("jid", entry.jid.as_str());
    element.set_attr("affiliation", Some(entry.affiliation.name()));
    element.set_attr("nick", entry.nick.as_deref());
    element.set_attr("reason", entry.reason.as_deref());
    element
}

fn read_entry(element: &Element) -> Result<Entry, RecordError> {
    Ok(Entry {
        jid: jid(element)?,
        affiliation: affiliation(element)?,
        nick: element.attr("nick").map(str::to_owned),
        reason: element.attr("reason").map(str::to_owned),
    })
}

/// An element of the record.
fn element(name: &'static str) -> Element {
    Element::new(name, NS)
}

/// One with a stanza in it.
fn holding(name: &'static str, stanza: &Stanza) -> Element {
    element(name).with_text(&stanza.to_string())
}

fn held(element: &Element) -> Result<Stanza, RecordError> {
    Stanza::restore(&element.text()).map_err(RecordError::new)
}

fn wanted<'a>(element: &'a Element, name: &str) -> Result<&'a str, RecordError> {
    element.attr(name).ok_or_else(|| lacks(element, name))
}

fn lacks(element: &Element, name: &str) -> RecordError {
    RecordError::new(format!("no {name} in <{}/>", element.name()))
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, RecordError> {
    text.parse().map_err(RecordError::new)
}

fn jid(element: &Element) -> Result<Jid, RecordError> {
    parsed(wanted(element, "jid")?)
}

fn affiliation(element: &Element) -> Result<Affiliation, RecordError> {
    let name = wanted(element, "affiliation")?;
    Affiliation::named(name).ok_or_else(|| lacks(element, "affiliation"))
}

fn role(element: &Element, name: &str) -> Result<Role, RecordError> {
    Role::named(wanted(element, name)?).ok_or_else(|| lacks(element, name))
}

fn at(element: &Element) -> Result<Timestamp, RecordError> {
    Ok(Timestamp(parsed(wanted(element, "at")?)?))
}

/// How long it is until then, in nanoseconds.
fn ahead(then: Instant, now: Now) -> String {
    then.saturating_duration_since(now.instant)
        .as_nanos()
        .to_string()
}

fn instant_ahead(text: &str, now: Now) -> Result<Instant, RecordError> {
    let then = now.instant.checked_add(Duration::from_nanos(parsed(text)?));
    then.ok_or_else(|| RecordError::new("a time that is none"))
}

/// The order of a map is not for others to see.
fn sorted<K: Ord, V>(map: impl Iterator<Item = (K, V)>) -> impl Iterator<Item = (K, V)> {
    let mut all: Vec<_> = map.collect();
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    all.into_iter()
}
