//! What a node writes down, so that it goes on after a restart where it was.

use std::sync::Arc;

use xmpp_core::stanza::{PresenceType, Stanza};
use xmpp_core::time::{Now, Timestamp};
use xmpp_core::xml::{Element, ns::CLIENT};
use xmpp_core::{BareJid, Jid};

use super::base36;
use super::child::{self, Child};
use super::event::{Event, Passing};
use super::link::{Link, Speech};
use super::node::{Node, Output, Turn};
use super::settings::{Federation, Settings};
use super::{Extension, Fmuc};
use crate::log::{Dot, Entry, NodeId, Reach, Stamp};
use crate::room::elsewhere::{Actor, Occupant, Parting};
use crate::room::{self, Affiliation, Role, Room};
use crate::store::{Change, FederationChange, StoredEvent, StoredFederation, StoredLink};

/// The namespace of records.
const NS: &str = "urn:uuid:0f0f2f4e-9f6c-4f1b-9c0c-6f3f5d1f6b0a";
/// So many events more than are kept are stored before the oldest are thrown away.
const SLACK: u64 = 100;
/// Events that may have been told and not been stored when the node came to its end: see the service's limit of what is not stored.
const UNSAVED: u64 = 10_000;

impl Node {
    /// A node as it was stored, in the same life. Nobody is in its room: who was here is gone, and those elsewhere are yet to be heard of.
    pub fn restore(
        room: Room,
        federation: Federation,
        settings: Arc<Settings>,
        stored: &StoredFederation,
        now: Now,
    ) -> Node {
        let mut node = Node::new(room, federation, settings, now);
        let record = stored
            .have
            .as_deref()
            .and_then(|have| Element::restore(have).ok());
        let record = record.filter(|record| record.is("node", NS));
        let written = record
            .as_ref()
            .and_then(|record| base36::read(record.attr("epoch")?));
        // How far it has everything is written down now and then: before that there are its events alone.
        let own = stored.events.iter().map(|event| &event.dot);
        let own = own.filter(|dot| dot.node == node.id);
        if let Some(life) = own.map(|dot| dot.epoch).max().max(written) {
            node.have = crate::log::Have::new(node.settings.have);
            node.begin_life(life);
        }
        let mut here = Vec::new();
        if let Some(record) = record {
            node.live_on(&record);
            let all = record.children().filter(|child| child.is("here", NS));
            here.extend(all.filter_map(|one| {
                Some((
                    Jid::new(one.attr("jid")?).ok()?,
                    one.attr("nick")?.to_owned(),
                ))
            }));
        }
        for stored in &stored.events {
            let event = Element::restore(&stored.xml).ok();
            if let Some(event) = event.and_then(|event| Event::read(&event, &stored.dot)) {
                node.remember(event, stored, &mut here, now);
            }
        }
        for stored in &stored.links {
            node.restore_link(stored, now);
        }
        if node.go_on_from(0) {
            node.leave_out(UNSAVED);
        }
        for (jid, nick) in here {
            let dot = Some(node.dot(now));
            let parting = Parting::default();
            let event = Event::Gone { jid, nick, parting };
            let passing = Passing {
                event,
                dot,
                late: None,
            };
            node.fresh.push(passing.clone());
            node.keep(&passing, &super::crowd::Via::Here, now);
        }
        node.wake = Some(now.instant);
        node
    }

    /// The life that was written down goes on.
    fn live_on(&mut self, record: &Element) {
        let number = |element: &Element, name| element.attr(name).and_then(base36::read);
        for one in record.children().filter(|child| child.is("n", NS)) {
            let (Some(node), Some(epoch), Some(seq)) = (
                one.attr("node").map(NodeId::new),
                number(one, "e"),
                number(one, "s"),
            ) else {
                continue;
            };
            self.have.adopt(&node, Reach { epoch, seq });
            if node == self.id && epoch == self.epoch {
                self.go_on_from(seq);
            }
        }
    }

    fn remember(
        &mut self,
        event: Event,
        stored: &StoredEvent,
        here: &mut Vec<(Jid, String)>,
        now: Now,
    ) {
        let dot = &stored.dot;
        if dot.node == self.id {
            if dot.epoch != self.epoch {
                return;
            }
            self.go_on_from(dot.seq);
            match &event {
                Event::Here(occupant) => {
                    here.retain(|(jid, _)| *jid != occupant.jid);
                    here.push((occupant.jid.clone(), occupant.nick.clone()));
                }
                Event::Gone { jid, .. } => here.retain(|(one, _)| one != jid),
                Event::Said { .. } | Event::Subject { .. } => {}
            }
        }
        self.have.see(dot, now.instant);
        if let Event::Subject { stamp, .. } = &event {
            self.clock.see(stamp, now.utc);
            // The latest, not the one that came last.
            let newer = |old: &Passing| matches!(&old.event, Event::Subject { stamp: old, .. } if old < stamp);
            if self.subject.as_ref().is_none_or(newer) {
                self.subject = Some(Passing {
                    event: event.clone(),
                    dot: Some(dot.clone()),
                    late: None,
                });
            }
        }
        let entry = Entry {
            dot: dot.clone(),
            at: stored.at,
            size: event.size(),
            event,
        };
        self.log.push(entry, now.utc);
    }

    fn restore_link(&mut self, stored: &StoredLink, now: Now) {
        let Ok(record) = Element::restore(&stored.record) else {
            return;
        };
        let speech = record.attr("speech").and_then(Speech::named);
        let (true, Some(speech)) = (record.is("link", NS), speech) else {
            return;
        };
        let peer = stored.peer.clone();
        let mut link = match record.attr("side") {
            Some("child") if self.federation.accept.admits(&peer) => Link::new(
                self.room.jid(),
                peer.clone(),
                &self.federation,
                &self.settings,
            ),
            Some("parent") => match self
                .parent
                .as_mut()
                .filter(|parent| parent.link.peer == peer)
            {
                Some(parent) => {
                    parent.link.restore(speech, &record);
                    parent.was_joined();
                    return;
                }
                None => return,
            },
            _ => return,
        };
        link.restore(speech, &record);
        let theirs = theirs_of(&record);
        let mut child = Child::new(link);
        let until = now.instant + child.link.timers.forget;
        child.state = child::State::Suspect {
            until: (speech != Speech::Openfire).then_some(until),
        };
        let via = super::crowd::Via::Child(peer.clone());
        self.children.insert(peer.clone(), child);
        if speech != Speech::Ext {
            self.leave_child_of_old(&peer);
            self.expect(&via, theirs);
            self.splits.expect(&via);
        }
    }

    /// After a restart: those that have joined are asked to say what they have, and the room that this one had joined hears that nobody is here.
    pub(super) fn wake_up(&mut self, turn: &mut Turn<'_>) {
        if self.wake.take().is_none() {
            return;
        }
        for passing in std::mem::take(&mut self.fresh) {
            self.write_down(&passing, turn);
        }
        self.write_down_all(turn);
        for child in self.children.values().filter(|child| child.link.is_ext()) {
            let fmuc = Fmuc::default().with(Extension::Rejoin);
            turn.send(&child.link, child.link.write_own(&fmuc), None);
        }
        self.leave_of_old(turn);
    }

    /// Stores an event that is kept.
    pub(super) fn write_down(&mut self, passing: &Passing, turn: &mut Turn<'_>) {
        let Some(dot) = passing.dot.as_ref().filter(|_| self.room.is_persistent()) else {
            return;
        };
        let event = StoredEvent {
            dot: dot.clone(),
            at: passing.late.unwrap_or(turn.now.utc),
            xml: passing.event.to_element().to_string(),
        };
        turn.store(FederationChange::Event(event));
        self.stored += 1;
        if self.stored.is_multiple_of(SLACK) {
            turn.store(FederationChange::KeepEvents(self.settings.log.events));
            self.write_down_all(turn);
        }
    }

    /// Stores how far this node has everything, and who is here.
    pub(super) fn write_down_all(&mut self, turn: &mut Turn<'_>) {
        if !self.room.is_persistent() {
            return;
        }
        let vector = self.have.vector();
        let nodes = vector.iter().map(|(node, reach)| {
            Element::new("n", NS)
                .with_attr("node", node.as_str())
                .with_attr("e", &base36::write(reach.epoch))
                .with_attr("s", &base36::write(reach.seq))
        });
        let ours = |known: &&super::crowd::Known| {
            known.dot.as_ref().is_some_and(|dot| dot.node == self.id)
        };
        let here = self.crowd.iter().filter(ours).map(|known| {
            Element::new("here", NS)
                .with_attr("jid", known.occupant.jid.as_str())
                .with_attr("nick", &known.occupant.nick)
        });
        let record = Element::new("node", NS)
            .with_attr("epoch", &base36::write(self.epoch))
            .with_children(nodes)
            .with_children(here);
        turn.store(FederationChange::Have(record.to_string()));
    }

    /// Stores that there is a link, and how it is.
    pub(super) fn write_down_link(&self, side: &str, link: &Link, turn: &mut Turn<'_>) {
        if self.room.is_persistent() {
            turn.store(FederationChange::Link(StoredLink {
                peer: link.peer.clone(),
                record: link.record(side).to_string(),
            }));
        }
    }

    /// There is no link any more.
    pub(super) fn strike_link(&self, peer: &BareJid, turn: &mut Turn<'_>) {
        if self.room.is_persistent() {
            turn.store(FederationChange::NoLink(peer.clone()));
        }
    }
}

impl Turn<'_> {
    fn store(&mut self, change: FederationChange) {
        let change = Change::Federation(change);
        self.out.push(Output::Room(room::Output::Store(change)));
    }
}

impl Link {
    /// What there is to write down of a link: without our extension also whom the peer knows, who cannot be told from others but by leaving one by one.
    fn record(&self, side: &str) -> Element {
        let known = self.announced.iter().filter(|_| !self.is_ext());
        let known = known.map(|(jid, nick)| {
            Element::new("here", NS)
                .with_attr("jid", jid.as_str())
                .with_attr("nick", nick)
        });
        let theirs = self.theirs.iter().filter(|_| !self.is_ext());
        let theirs = theirs.map(|(jid, nick)| {
            Element::new("there", NS)
                .with_attr("jid", jid.as_str())
                .with_attr("nick", nick)
        });
        Element::new("link", NS)
            .with_attr("side", side)
            .with_attr("speech", self.speech.name())
            .with_children(known)
            .with_children(theirs)
    }

    fn restore(&mut self, speech: Speech, record: &Element) {
        self.speech = speech;
        for one in record.children().filter(|child| child.is("here", NS)) {
            let jid = one.attr("jid").and_then(|jid| Jid::new(jid).ok());
            if let (Some(jid), Some(nick)) = (jid, one.attr("nick")) {
                self.announced.insert(jid, nick.to_owned());
            }
        }
    }
}

/// Those behind a peer, as they were stored.
fn theirs_of(record: &Element) -> Vec<(Jid, String)> {
    let all = record.children().filter(|child| child.is("there", NS));
    let all = all.filter_map(|one| {
        let jid = Jid::new(one.attr("jid")?).ok()?;
        Some((jid, one.attr("nick")?.to_owned()))
    });
    all.collect()
}

impl Speech {
    /// Its name, for records and operators.
    pub(super) fn name(self) -> &'static str {
        match self {
            Speech::Unknown => "unknown",
            Speech::Ext => "ext",
            Speech::Xep => "xep",
            Speech::Openfire => "openfire",
        }
    }

    fn named(name: &str) -> Option<Speech> {
        let all = [Speech::Unknown, Speech::Ext, Speech::Xep, Speech::Openfire];
        all.into_iter().find(|one| one.name() == name)
    }
}

impl Event {
    fn to_element(&self) -> Element {
        let new = |name: &'static str| {
            Element::new(name, NS)
                .with_attr("jid", self.author().as_str())
                .with_attr("nick", self.nick())
        };
        match self {
            Event::Here(occupant) => new("here")
                .with_attr("affiliation", occupant.affiliation.name())
                .with_attr("role", occupant.role.name())
                .with_child(occupant.presence.to_element()),
            Event::Gone { parting, .. } => {
                let codes: Vec<_> = parting.codes.iter().map(u16::to_string).collect();
                let mut gone = new("gone").with_attr("codes", &codes.join(" "));
                gone.set_attr("reason", parting.reason.as_deref());
                gone.set_attr(
                    "actor",
                    parting.actor.as_ref().map(|actor| actor.nick.as_str()),
                );
                gone.with_children(parting.farewell.as_ref().map(Stanza::to_element))
            }
            Event::Said { message, .. } => new("said").with_child(message.to_element()),
            Event::Subject { message, stamp, .. } => new("subject")
                .with_attr("at", &stamp.at.0.to_string())
                .with_attr("count", &stamp.count.to_string())
                .with_child(message.to_element()),
        }
    }

    fn read(element: &Element, dot: &Dot) -> Option<Event> {
        if element.ns() != NS {
            return None;
        }
        let jid = Jid::new(element.attr("jid")?).ok()?;
        let nick = element.attr("nick")?.to_owned();
        let stanza = |name| {
            let child = element.child(name, CLIENT)?;
            Stanza::from_element(child).ok()
        };
        Some(match element.name() {
            "here" => Event::Here(Occupant {
                jid,
                nick,
                affiliation: element.attr("affiliation").and_then(Affiliation::named)?,
                role: element.attr("role").and_then(Role::named)?,
                presence: stanza("presence")
                    .unwrap_or_else(|| Stanza::presence(PresenceType::Available)),
            }),
            "gone" => {
                let codes = element.attr("codes").unwrap_or_default();
                let parting = Parting {
                    codes: codes
                        .split(' ')
                        .filter_map(|code| code.parse().ok())
                        .collect(),
                    actor: element.attr("actor").map(|nick| Actor {
                        nick: nick.to_owned(),
                        jid: None,
                    }),
                    reason: element.attr("reason").map(str::to_owned),
                    farewell: stanza("presence"),
                };
                Event::Gone { jid, nick, parting }
            }
            "said" => Event::Said {
                by: jid,
                nick,
                message: Arc::new(stanza("message")?),
            },
            "subject" => Event::Subject {
                by: jid,
                nick,
                message: Arc::new(stanza("message")?),
                stamp: Stamp {
                    at: Timestamp(element.attr("at")?.parse().ok()?),
                    count: element.attr("count")?.parse().ok()?,
                    node: dot.node.clone(),
                },
            },
            _ => return None,
        })
    }
}
