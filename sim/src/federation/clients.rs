//! What clients are told.

use xmpp_core::Jid;
use xmpp_core::stanza::{Kind, MessageType, PresenceType, Stanza};
use xmpp_core::xml::{Element, ns::CLIENT};
use xmpp_muc_federated::{ns, room};

use super::{Fault, Told, UNHEARD, World, address, number};

impl World {
    pub(super) fn perform_room(&mut self, at: usize, output: room::Output) {
        match output {
            room::Output::Send(stanza) | room::Output::Answer(stanza) => {
                if let Some(to) = stanza.to().cloned() {
                    self.tell(&to, &stanza);
                }
            }
            room::Output::Broadcast(stanza, to) => to.iter().for_each(|to| self.tell(to, &stanza)),
            room::Output::Burst(to, stanzas) => {
                stanzas.iter().for_each(|stanza| self.tell(&to, stanza));
            }
            room::Output::Store(change) => {
                let address = address(&self.record.plan, at);
                if let Some(store) = &mut self.store {
                    store.apply(&address, change);
                }
            }
            _ => {}
        }
    }

    /// A client is told something.
    fn tell(&mut self, to: &Jid, stanza: &Stanza) {
        let leaks = self.fault == Some(Fault::Leak) && self.rng.one_in(20);
        let leak = leaks.then(|| stanza.clone().with_child(&Element::new("fmuc", ns::FMUC)));
        let stanza = leak.as_ref().unwrap_or(stanza);
        let Some(who) = self
            .record
            .people
            .iter()
            .position(|one| *one == to.as_str())
        else {
            return;
        };
        let text = stanza.to_string();
        if text.contains(ns::FMUC) || text.contains(ns::SYNC) {
            self.record.leaked.push((self.time, text.clone()));
        }
        let Some(told) = told(stanza) else {
            return;
        };
        self.note(format!("        {who}: {told:?}"));
        let goes = matches!(&told, Told::Gone { codes, .. } if codes.contains(&110) && !codes.contains(&303));
        let time = self.time;
        if let Some(stay) = self.record.stays[who]
            .last_mut()
            .filter(|stay| stay.until.is_none())
        {
            stay.told.push((time, told));
            if goes {
                stay.until = Some(time);
            }
        }
        self.count();
    }

    /// Which rooms have anybody in them.
    pub(super) fn count(&mut self) {
        for room in 0..self.nodes.len() {
            let below: Vec<usize> = self.record.plan.below(room).collect();
            let people = self.record.plan.people.iter().enumerate();
            let mut here = people.filter(|(_, one)| below.contains(&one.room));
            let some = here.any(|(who, _)| self.is_in(who));
            match (some, self.empty[room]) {
                (true, _) => {
                    self.empty[room] = None;
                    self.unheard.remove(&room);
                }
                (false, None) => {
                    self.empty[room] = Some(self.time);
                    self.record.empties.push((self.time, room));
                    let parent = self.record.plan.parents[room];
                    if parent.is_some_and(|parent| self.wires.is_cut(room, parent)) {
                        self.unheard.insert(room, UNHEARD);
                    }
                }
                (false, Some(_)) => {}
            }
        }
    }

    pub(super) fn is_in(&self, who: usize) -> bool {
        let last = self.record.stays[who].last();
        last.is_some_and(|stay| stay.until.is_none())
    }

    /// The last thing that somebody was told of themselves: their nick.
    pub(super) fn nick(&self, who: usize) -> Option<String> {
        let stay = self.record.stays[who]
            .last()
            .filter(|stay| stay.until.is_none())?;
        stay.told.iter().rev().find_map(|(_, told)| match told {
            Told::There {
                nick, own: true, ..
            } => Some(nick.clone()),
            _ => None,
        })
    }
}

/// What is said to a client, as far as it matters here.
fn told(stanza: &Stanza) -> Option<Told> {
    let payload = stanza.payload();
    let nick = stanza.from()?.resource().unwrap_or_default().to_owned();
    let x = payload.child("x", ns::USER).map(|x| x.element());
    let statuses = x.iter().flat_map(|x| x.children());
    let statuses = statuses.filter(|one| one.is("status", ns::USER));
    let codes: Vec<u16> = statuses
        .filter_map(|status| status.attr("code")?.parse().ok())
        .collect();
    let item = x.as_ref().and_then(|x| x.child("item", ns::USER));
    let text = |name: &str| {
        let child = payload.child(name, CLIENT)?;
        Some(child.element().text().into_owned())
    };
    match stanza.kind() {
        Kind::Presence(PresenceType::Available) => Some(Told::There {
            nick,
            jid: item?.attr("jid").unwrap_or_default().to_owned(),
            show: text("show").unwrap_or_default(),
            own: codes.contains(&110),
        }),
        Kind::Presence(PresenceType::Unavailable) => Some(Told::Gone { nick, codes }),
        Kind::Message(MessageType::Groupchat) => match (text("body"), text("subject")) {
            (Some(_), _) => Some(Told::Message {
                number: number(stanza),
                nick,
                late: payload.has("delay", ns::DELAY),
            }),
            (None, Some(subject)) => Some(Told::Subject(subject)),
            (None, None) => None,
        },
        _ => None,
    }
}
