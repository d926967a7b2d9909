//! A room of Openfire, as far as XEP-0289 is concerned: what §2 of the design has found in its code, with what is wrong in it. The numbers are those of §2.3.

use std::collections::{BTreeMap, BTreeSet};

use xmpp_core::stanza::{Kind, MessageType, PresenceType, Stanza};
use xmpp_core::xml::{Element, ns::CLIENT};
use xmpp_core::{BareJid, Jid};

use super::{World, address, name, short};
use crate::ns;

/// The room.
#[derive(Debug)]
pub(super) struct Openfire {
    room: BareJid,
    /// The room that it is configured to join.
    outbound: Option<BareJid>,
    joined: Option<BTreeSet<Jid>>,
    /// While it joins: what has come, and what is to be sent then. There is no bound, and no end (O2).
    joining: Option<(Vec<Stanza>, Vec<Stanza>)>,
    inbound: BTreeMap<BareJid, BTreeSet<Jid>>,
    here: BTreeMap<Jid, String>,
    elsewhere: BTreeMap<Jid, String>,
    history: Vec<Stanza>,
    subject: Option<Stanza>,
    said: u32,
}

/// What comes of something.
#[derive(Debug, Default)]
struct Turn {
    /// To other rooms.
    sent: Vec<Stanza>,
    /// What those here see.
    seen: Vec<String>,
}

impl World {
    /// A room is one of Openfire, and would join that other one.
    pub(super) fn openfire(&mut self, room: char, joins: Option<char>) {
        let openfire = Openfire {
            room: address(room),
            outbound: joins.map(address),
            joined: None,
            joining: None,
            inbound: BTreeMap::new(),
            here: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
            history: Vec::new(),
            subject: None,
            said: 0,
        };
        self.nodes.remove(&room);
        self.openfires.insert(room, openfire);
    }

    /// It loses all that it knows of other rooms and of those who were here (O1, O27).
    pub(super) fn restart_openfire(&mut self, room: char) {
        let joins = self.openfires[&room].outbound.clone();
        self.openfire(room, joins.map(|peer| name(&peer)));
    }

    pub(super) fn at_openfire(&mut self, room: char, stanza: &Stanza) {
        let Some(openfire) = self.openfires.get_mut(&room) else {
            return;
        };
        let mut turn = Turn::default();
        match stanza.payload().has("fmuc", ns::FMUC) {
            true => openfire.receive(stanza, &mut turn),
            false => openfire.client(stanza, &mut turn),
        }
        self.seen.extend(turn.seen);
        for stanza in turn.sent {
            let to = stanza.to().map(Jid::to_bare).unwrap();
            match name(&to) {
                // O13: a private message goes to where the user is.
                '?' => self.seen.push(format!("{room}> {stanza}")),
                _ => self.send(room, &to, stanza),
            }
        }
    }

    /// Who is in it, as those see it who are.
    pub(super) fn openfire_roster(&self, room: char) -> Vec<String> {
        let openfire = &self.openfires[&room];
        let all = openfire.here.values().chain(openfire.elsewhere.values());
        let mut all: Vec<_> = all.cloned().collect();
        all.sort();
        all
    }
}

impl Openfire {
    /// `FMUCHandler.process`.
    fn receive(&mut self, stanza: &Stanza, turn: &mut Turn) {
        let Some(peer) = stanza.from().map(Jid::to_bare) else {
            return;
        };
        let is_outbound = self.outbound.as_ref() == Some(&peer);
        if is_outbound && let Some((buffer, _)) = &mut self.joining {
            buffer.push(stanza.clone());
            let fmuc = stanza
                .payload()
                .child("fmuc", ns::FMUC)
                .map(|fmuc| fmuc.element());
            if fmuc.is_some_and(|fmuc| fmuc.child("reject", ns::FMUC).is_some()) {
                self.joining = None;
            } else if stanza.payload().has("subject", CLIENT) {
                // O5: also one with a body.
                self.complete(&peer, turn);
            }
        } else if is_outbound && self.joined.is_some() {
            let fmuc = stanza
                .payload()
                .child("fmuc", ns::FMUC)
                .map(|fmuc| fmuc.element());
            if fmuc.is_some_and(|fmuc| fmuc.child("left", ns::FMUC).is_some()) {
                // O25: everybody whom it has listed goes.
                for jid in self.joined.take().unwrap_or_default() {
                    self.gone(&jid, None, turn);
                }
            } else {
                self.regular(&peer, stanza, turn);
            }
        } else if self.inbound.contains_key(&peer) {
            // O1: a join as well.
            self.regular(&peer, stanza, turn);
        } else if stanza.payload().has("x", ns::MUC) && stanza.payload().has("x", ns::USER) {
            self.asked(&peer, stanza, turn);
        }
    }

    /// The burst is there.
    fn complete(&mut self, peer: &BareJid, turn: &mut Turn) {
        let (buffer, queue) = self.joining.take().unwrap_or_default();
        self.joined = Some(BTreeSet::new());
        for stanza in buffer {
            match stanza.kind() {
                // O4: whatever it says.
                Kind::Presence(_) => {
                    let Some(jid) = from_of(&stanza) else {
                        break;
                    };
                    self.come(peer, jid, &stanza, turn);
                }
                // O3: the history is dropped.
                Kind::Message(_) if stanza.payload().has("subject", CLIENT) => {
                    let subject = stanza.payload().child("subject", CLIENT).unwrap().element();
                    self.tell(format!("S {}", subject.text()).trim(), turn);
                }
                _ => {}
            }
        }
        turn.sent.extend(queue);
    }

    /// `isFMUCJoinRequest`
    fn asked(&mut self, peer: &BareJid, stanza: &Stanza, turn: &mut Turn) {
        let Some(jid) = from_of(stanza) else {
            return;
        };
        if self.outbound.as_ref() == Some(peer) {
            // O21
            let reject =
                Element::new("reject", ns::FMUC).with_text("Already joined the other way round");
            let fmuc = Element::new("fmuc", ns::FMUC).with_child(reject);
            let to = stanza.from().unwrap().clone();
            turn.sent.push(
                presence(PresenceType::Available, &Jid::from(&self.room), &to).with_child(&fmuc),
            );
            return;
        }
        self.inbound.insert(peer.clone(), BTreeSet::new());
        self.come(peer, jid, stanza, turn);
        self.burst(peer, turn);
    }

    /// `afterJoinSendOccupants`, `afterJoinSendHistory`, `afterJoinSendSubject`
    fn burst(&self, peer: &BareJid, turn: &mut Turn) {
        let own = &self.inbound[peer];
        let all = self.here.iter().chain(&self.elsewhere);
        for (jid, nick) in all.filter(|(jid, _)| !own.contains(*jid)) {
            let item = Element::new("item", ns::USER)
                .with_attr("affiliation", "none")
                .with_attr("role", "participant")
                .with_attr("jid", self.at(nick).as_str());
            let x = Element::new("x", ns::USER).with_child(item);
            let stanza = presence(PresenceType::Available, &self.at(nick), &Jid::from(peer));
            turn.sent.push(stanza.with_child(&fmuc(jid)).with_child(&x));
        }
        // O6: whatever was asked for.
        for message in self.history.iter().rev().take(25).rev() {
            let nick = message.from().unwrap().clone();
            let delay = Element::new("delay", ns::DELAY)
                .with_attr("from", self.room.as_str())
                .with_attr("stamp", "2012-04-19T16:00:00.000Z");
            turn.sent.push(
                message
                    .clone()
                    .with_to(Jid::from(peer))
                    .with_child(&delay)
                    .with_child(&fmuc(&nick)),
            );
        }
        let none = Stanza::message(MessageType::Groupchat)
            .with_from(Jid::from(&self.room))
            .with_child(&Element::new("subject", CLIENT));
        let subject = self.subject.clone().unwrap_or(none);
        let from = subject.from().unwrap().clone();
        turn.sent
            .push(subject.with_to(Jid::from(peer)).with_child(&fmuc(&from)));
    }

    fn regular(&mut self, peer: &BareJid, stanza: &Stanza, turn: &mut Turn) {
        // O11, and what else throws: nothing comes of it.
        let Some(jid) = from_of(stanza) else {
            return;
        };
        let known = self.here.contains_key(&jid) || self.elsewhere.contains_key(&jid);
        match stanza.kind() {
            Kind::Presence(PresenceType::Unavailable) if known => self.gone(&jid, Some(peer), turn),
            // O17: what somebody says of themselves is passed over.
            Kind::Presence(PresenceType::Available) if !known => self.come(peer, jid, stanza, turn),
            Kind::Message(_) if known => {
                // O12: whatever its type.
                let nick = self.nick(&jid);
                let children = stanza.payload().without(|child| child.is("fmuc", ns::FMUC));
                let kind = Stanza::message(MessageType::Groupchat).with_id(stanza.id());
                let message = kind.with_payload(children).with_from(self.at(&nick));
                self.broadcast(&jid, Some(peer), message, turn);
            }
            _ => {}
        }
    }

    /// Somebody elsewhere comes.
    fn come(&mut self, peer: &BareJid, jid: Jid, stanza: &Stanza, turn: &mut Turn) {
        if self.here.contains_key(&jid) {
            return;
        }
        let nick = stanza
            .from()
            .and_then(Jid::resource)
            .unwrap_or_default()
            .to_owned();
        let set = match self.inbound.get_mut(peer) {
            Some(set) => Some(set),
            None => self.joined.as_mut(),
        };
        set.map(|set| set.insert(jid.clone()));
        self.tell(&format!("P {nick}"), turn);
        self.elsewhere.insert(jid.clone(), nick.clone());
        // O22: it makes no join of it.
        let item = Element::new("item", ns::USER)
            .with_attr("affiliation", "none")
            .with_attr("role", "participant");
        let x = Element::new("x", ns::USER).with_child(item.with_attr("jid", jid.as_str()));
        let presence = Stanza::presence(PresenceType::Available)
            .with_child(&x)
            .with_child(&fmuc(&jid));
        self.propagate(&nick, Some(peer), &presence, turn);
    }

    /// Somebody goes, of ours as well: nobody asks who says so (O16).
    fn gone(&mut self, jid: &Jid, from: Option<&BareJid>, turn: &mut Turn) {
        let nick = self.nick(jid);
        self.here.remove(jid);
        self.elsewhere.remove(jid);
        if let Some(set) = &mut self.joined {
            set.remove(jid);
        }
        self.tell(&format!("U {nick}"), turn);
        let item = Element::new("item", ns::USER)
            .with_attr("affiliation", "none")
            .with_attr("role", "none");
        let x = Element::new("x", ns::USER).with_child(item);
        let presence = Stanza::presence(PresenceType::Unavailable)
            .with_child(&x)
            .with_child(&fmuc(jid));
        self.propagate(&nick, from, &presence, turn);
        if let Some(peer) = from
            && let Some(set) = self.inbound.get_mut(peer)
        {
            set.remove(jid);
            if set.is_empty() {
                self.inbound.remove(peer);
                let left =
                    Element::new("fmuc", ns::FMUC).with_child(Element::new("left", ns::FMUC));
                let to = Jid::from(peer);
                turn.sent
                    .push(presence_of(&Jid::from(&self.room), &to).with_child(&left));
            }
        }
    }

    /// What somebody here does.
    fn client(&mut self, stanza: &Stanza, turn: &mut Turn) {
        let who = stanza.from().unwrap().clone();
        let nick = stanza
            .to()
            .and_then(Jid::resource)
            .unwrap_or_default()
            .to_owned();
        match stanza.kind() {
            Kind::Presence(PresenceType::Available) if self.here.contains_key(&who) => {
                self.rename(&who, &nick, turn)
            }
            Kind::Presence(PresenceType::Available) => self.enter(&who, &nick, turn),
            Kind::Presence(_) => {
                turn.seen
                    .push(format!("{}: U {} 110", short(&who), self.nick(&who)));
                self.gone(&who, None, turn);
            }
            Kind::Message(MessageType::Groupchat) => {
                self.said += 1;
                let id = Element::new("stanza-id", ns::STANZA_ID)
                    .with_attr("by", self.room.as_str())
                    .with_attr("id", &format!("of{}", self.said));
                let message = stanza
                    .clone()
                    .with_from(self.at(&self.nick(&who)))
                    .with_to(None);
                self.broadcast(&who, None, message.with_child(&id), turn);
            }
            // O13
            Kind::Message(_) => {
                let to = self.elsewhere.iter().find(|(_, theirs)| **theirs == nick);
                let to = to.map(|(jid, _)| jid.clone()).unwrap();
                let message = stanza
                    .clone()
                    .with_from(self.at(&self.nick(&who)))
                    .with_to(to);
                turn.sent.push(message.with_child(&fmuc(&who)));
            }
            _ => self.kick(&who, stanza, turn),
        }
    }

    fn enter(&mut self, who: &Jid, nick: &str, turn: &mut Turn) {
        for other in self.here.values().chain(self.elsewhere.values()) {
            turn.seen.push(format!("{}: P {other}", short(who)));
        }
        turn.seen.push(format!("{}: P {nick} 110", short(who)));
        self.tell(&format!("P {nick}"), turn);
        self.here.insert(who.clone(), nick.to_owned());
        let item = Element::new("item", ns::USER)
            .with_attr("affiliation", "none")
            .with_attr("role", "participant");
        let x = Element::new("x", ns::USER).with_child(item.clone());
        let muc = Element::new("x", ns::MUC);
        let join = Stanza::presence(PresenceType::Available)
            .with_child(&muc)
            .with_child(&x)
            .with_child(&fmuc(who));
        // O9: what the client has sent, and once more.
        let caps = Element::new("c", "http://jabber.org/protocol/caps").with_attr("ver", "x");
        let jid = Element::new("x", ns::USER).with_child(item.with_attr("jid", who.as_str()));
        let again = Stanza::presence(PresenceType::Available)
            .with_child(&caps)
            .with_child(&jid)
            .with_child(&fmuc(who));
        if let Some(peer) = self.outbound.clone()
            && self.joined.is_none()
            && self.joining.is_none()
        {
            self.joining = Some(Default::default());
            turn.sent.push(
                join.clone()
                    .with_from(self.at(nick))
                    .with_to(at(&peer, nick)),
            );
            for (peer, _) in self.inbound.clone() {
                turn.sent.push(
                    join.clone()
                        .with_from(self.at(nick))
                        .with_to(Jid::from(&peer)),
                );
            }
        } else {
            self.propagate(nick, None, &join, turn);
        }
        self.propagate(nick, None, &again, turn);
    }

    /// O18
    fn rename(&mut self, who: &Jid, nick: &str, turn: &mut Turn) {
        let before = self.nick(who);
        let item = Element::new("item", ns::USER)
            .with_attr("nick", nick)
            .with_attr("role", "participant");
        let status = Element::new("status", ns::USER).with_attr("code", "303");
        let x = Element::new("x", ns::USER)
            .with_child(item)
            .with_child(status);
        let gone = Stanza::presence(PresenceType::Unavailable)
            .with_child(&x)
            .with_child(&fmuc(who));
        self.propagate(&before, None, &gone, turn);
        self.here.insert(who.clone(), nick.to_owned());
        let item = Element::new("item", ns::USER)
            .with_attr("affiliation", "none")
            .with_attr("role", "participant");
        let x = Element::new("x", ns::USER).with_child(item);
        let here = Stanza::presence(PresenceType::Available)
            .with_child(&x)
            .with_child(&fmuc(who));
        self.propagate(nick, None, &here, turn);
    }

    /// O15: it is the moderator who is said to go.
    fn kick(&mut self, who: &Jid, iq: &Stanza, turn: &mut Turn) {
        let query = iq.payload().child("query", ns::ADMIN).unwrap().element();
        let nick = query
            .child("item", ns::ADMIN)
            .and_then(|item| item.attr("nick"))
            .unwrap()
            .to_owned();
        let named = self
            .here
            .iter()
            .chain(&self.elsewhere)
            .find(|(_, theirs)| **theirs == nick);
        let victim = named.unwrap().0.clone();
        let item = Element::new("item", ns::USER)
            .with_attr("jid", victim.as_str())
            .with_attr("affiliation", "none")
            .with_attr("role", "none");
        let status = Element::new("status", ns::USER).with_attr("code", "307");
        let x = Element::new("x", ns::USER)
            .with_child(item)
            .with_child(status);
        let gone = Stanza::presence(PresenceType::Unavailable).with_child(&x);
        self.elsewhere.remove(&victim);
        self.here.remove(&victim);
        self.tell(&format!("U {nick} 307"), turn);
        let actor = self.nick(who);
        self.propagate(&actor, None, &gone.clone().with_child(&fmuc(who)), turn);
        self.propagate(
            "",
            None,
            &gone.with_child(&fmuc(&Jid::from(&self.room))),
            turn,
        );
    }

    fn broadcast(
        &mut self,
        author: &Jid,
        from: Option<&BareJid>,
        message: Stanza,
        turn: &mut Turn,
    ) {
        let nick = self.nick(author);
        let text = |name: &str| {
            let child = message.payload().child(name, CLIENT);
            child.map_or_else(String::new, |child| child.element().text().into_owned())
        };
        match message.payload().has("subject", CLIENT) {
            true => {
                // O24: only one of its own is kept.
                if from.is_none() {
                    self.subject = Some(message.clone());
                }
                self.tell(&format!("S {}", text("subject")), turn);
            }
            false => {
                self.history.push(message.clone());
                self.tell(&format!("M {nick}: {}", text("body")), turn);
            }
        }
        self.propagate(&nick, from, &message.with_child(&fmuc(author)), turn);
    }

    /// To all other rooms but the one by which it came: upwards with the nick in both addresses, downwards in one (§2.1).
    fn propagate(&mut self, nick: &str, from: Option<&BareJid>, stanza: &Stanza, turn: &mut Turn) {
        let of_room = |stanza: &Stanza| match nick {
            "" => stanza.clone().with_from(Jid::from(&self.room)),
            nick => stanza.clone().with_from(self.at(nick)),
        };
        for peer in self.inbound.keys().filter(|peer| Some(*peer) != from) {
            turn.sent.push(of_room(stanza).with_to(Jid::from(peer)));
        }
        if let Some(peer) = self.outbound.clone().filter(|peer| Some(peer) != from) {
            let stanza = of_room(stanza).with_to(at(&peer, nick));
            match &mut self.joining {
                Some((_, queue)) => queue.push(stanza),
                None if self.joined.is_some() => turn.sent.push(stanza),
                None => {}
            }
        }
    }

    fn tell(&self, what: &str, turn: &mut Turn) {
        for who in self.here.keys() {
            turn.seen.push(format!("{}: {what}", short(who)));
        }
    }

    fn nick(&self, jid: &Jid) -> String {
        let nick = self.here.get(jid).or_else(|| self.elsewhere.get(jid));
        nick.cloned().unwrap_or_default()
    }

    fn at(&self, nick: &str) -> Jid {
        at(&self.room, nick)
    }
}

fn at(room: &BareJid, nick: &str) -> Jid {
    match nick {
        "" => Jid::from(room),
        nick => Jid::from(&room.with_resource(nick).unwrap()),
    }
}

fn fmuc(jid: &Jid) -> Element {
    Element::new("fmuc", ns::FMUC).with_attr("from", jid.as_str())
}

fn presence(kind: PresenceType, from: &Jid, to: &Jid) -> Stanza {
    Stanza::presence(kind)
        .with_from(from.clone())
        .with_to(to.clone())
}

fn presence_of(from: &Jid, to: &Jid) -> Stanza {
    presence(PresenceType::Available, from, to)
}

/// The author, byte for byte as it stands there.
fn from_of(stanza: &Stanza) -> Option<Jid> {
    let fmuc = stanza.payload().child("fmuc", ns::FMUC)?.element();
    fmuc.attr("from").and_then(|from| Jid::new(from).ok())
}

/// The peer does what §2.2 says of a stanza that ends a burst with a body in it (O5): a test of the double itself.
#[test]
fn a_message_with_a_subject_and_a_body_ends_its_burst() {
    let mut world = World::new("A");
    world.openfire('D', Some('E'));
    world.run("ro enters D");
    world.run("E> D <message type='groupchat' from='ship@muc.illyria.lit/Viola' to='forest@muc.arden.lit'><subject>s</subject><body>b</body><fmuc xmlns='http://isode.com/protocol/fmuc' from='viola@illyria.lit/s'/></message>");
    assert!(world.openfires[&'D'].joined.is_some());
}
