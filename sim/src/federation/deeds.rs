//! What people do, and what befalls the servers and the ways between them.

use std::time::Duration;

use xmpp_core::Jid;
use xmpp_core::stanza::{MessageType, PresenceType, Stanza};
use xmpp_core::xml::{Element, ns::CLIENT};
use xmpp_muc_federated::fmuc::Input;
use xmpp_muc_federated::ns;

use super::record::{Said, Stay};
use super::{Deed, EMPTY, Fault, NICKS, UNHEARD, World, address, jid};

impl World {
    pub(super) fn happen(&mut self, deed: Deed) {
        self.note(format!("{deed:?}"));
        match deed {
            Deed::Enter(who) => self.enter(who),
            Deed::Leave(who) if self.is_in(who) => {
                let stanza = Stanza::presence(PresenceType::Unavailable);
                self.client(who, self.nick(who), stanza);
            }
            Deed::Say(who) if self.is_in(who) => self.say(who),
            Deed::Rename(who, nick) if self.is_in(who) => {
                let stanza = Stanza::presence(PresenceType::Available);
                self.client(who, Some(NICKS[nick].to_owned()), stanza);
            }
            Deed::Show(who) if self.is_in(who) => {
                let stanza = Stanza::presence(PresenceType::Available);
                let show = Element::new("show", CLIENT);
                let stanza = match self.rng.below(3) {
                    0 => stanza,
                    1 => stanza.with_child(&show.with_text("away")),
                    _ => stanza.with_child(&show.with_text("dnd")),
                };
                self.client(who, self.nick(who), stanza);
            }
            Deed::Subject(who) if self.is_in(who) => {
                let text = format!("subject {}", self.record.trace.len());
                let subject = Element::new("subject", CLIENT).with_text(&text);
                let stanza = Stanza::message(MessageType::Groupchat).with_child(&subject);
                self.client(who, None, stanza);
            }
            Deed::Kick(who, whom) if self.is_in(who) && self.record.plan.people[who].owner => {
                self.kick(who, whom);
            }
            Deed::Cut(edge, notice) => self.cut(edge, notice),
            Deed::Heal(edge, notice) => self.heal(edge, notice),
            Deed::Pause(edge, time) => {
                if let Some(parent) = self.record.plan.parents[edge] {
                    let time = Duration::from_millis(time);
                    self.wires.pause(edge, parent, time, self.time);
                }
            }
            Deed::Restart(room, notice) => self.restart(room, notice),
            Deed::Forge(edge, who) => self.forge(edge, who),
            _ => {}
        }
    }

    /// A client sends this to its room, or to a nick in it.
    fn client(&mut self, who: usize, nick: Option<String>, stanza: Stanza) {
        let plan = &self.record.plan;
        let room = plan.people[who].room;
        let address = address(plan, room);
        let to = match nick {
            Some(nick) => Jid::from(&address.with_resource(&nick).expect("it is a nick")),
            None => Jid::from(&address),
        };
        let stanza = stanza.with_from(jid(plan, who)).with_to(to);
        self.handle(room, Input::Stanza(stanza));
    }

    fn enter(&mut self, who: usize) {
        if self.is_in(who) {
            return;
        }
        self.record.stays[who].push(Stay {
            since: self.time,
            until: None,
            told: Vec::new(),
        });
        let x = Element::new("x", ns::MUC);
        let stanza = Stanza::presence(PresenceType::Available).with_child(&x);
        let nick = self.record.plan.people[who].nick.clone();
        self.client(who, Some(nick), stanza);
        if self.nick(who).is_none() {
            self.record.stays[who].pop();
        }
        self.count();
    }

    fn say(&mut self, who: usize) {
        let number = self.record.said.len();
        let stay = self.record.stays[who].len() - 1;
        let after = self.record.stays[who][stay].told.len();
        self.record.said.push(Said {
            by: who,
            at: self.time,
            stay,
            after,
        });
        let text = format!("m{number}");
        let body = Element::new("body", CLIENT).with_text(&text);
        let stanza = Stanza::message(MessageType::Groupchat)
            .with_id(text.as_str())
            .with_child(&body);
        self.client(who, None, stanza);
        let mut heard = self.record.stays[who][stay].heard();
        if !heard.any(|(_, heard)| heard == number) {
            self.record.said.pop();
        }
    }

    fn kick(&mut self, who: usize, whom: usize) {
        let me = &self.record.people[who];
        let Some(stay) = self.record.stays[who].last() else {
            return;
        };
        let roster = Stay::roster(&stay.told);
        let people = &self.record.plan.people;
        let is_owner = |jid: &String| {
            let who = self.record.people.iter().position(|one| one == jid);
            who.is_some_and(|who| people[who].owner)
        };
        // An owner is not taken out of their room from elsewhere.
        let others = roster
            .iter()
            .filter(|(_, (jid, _))| jid != me && !is_owner(jid));
        let others: Vec<_> = others.map(|(nick, _)| nick.clone()).collect();
        if others.is_empty() {
            return;
        }
        let item = Element::new("item", ns::ADMIN)
            .with_attr("nick", &others[whom % others.len()])
            .with_attr("role", "none");
        let query = Element::new("query", ns::ADMIN).with_child(item);
        let iq = Stanza::iq(xmpp_core::stanza::IqType::Set, "kick").with_child(&query);
        self.client(who, None, iq);
    }

    fn cut(&mut self, edge: usize, notice: [u64; 2]) {
        if let Some(parent) = self.record.plan.parents[edge] {
            let notice = notice.map(Duration::from_millis);
            // That the last one has left may be on its way, or not even known in the room.
            if self.empty[edge].is_some_and(|since| self.time < since + EMPTY) {
                self.unheard.insert(edge, UNHEARD);
            }
            self.wires.cut(edge, parent, notice, self.time);
        }
    }

    pub(super) fn heal(&mut self, edge: usize, notice: [u64; 2]) {
        if let Some(parent) = self.record.plan.parents[edge] {
            let notice = notice.map(Duration::from_millis);
            self.wires.heal(edge, parent, notice, self.time);
            self.stir(edge);
        }
    }

    /// What is known above a way of those below it is news from now on: that nobody is there, too.
    fn stir(&mut self, edge: usize) {
        let mut above = self.record.plan.parents[edge];
        while let Some(room) = above {
            if let Some(since) = &mut self.empty[room] {
                *since = self.time;
            }
            above = self.record.plan.parents[room];
        }
    }

    /// A server begins anew: its clients are gone, and what was on its way to it is lost.
    fn restart(&mut self, room: usize, notice: u64) {
        for who in 0..self.record.people.len() {
            if self.record.plan.people[who].room == room
                && let Some(stay) = self.record.stays[who].last_mut()
            {
                stay.until.get_or_insert(self.time);
            }
        }
        self.count();
        // What begins anew may end again at once.
        self.begin_anew(room, notice);
        self.pass(Duration::from_secs(3));
        self.begin_anew(room, notice);
    }

    fn begin_anew(&mut self, room: usize, notice: u64) {
        self.record.restarts.push((self.time, room));
        self.nodes[room] = self.begin(room);
        // It asks anew, or is asked.
        for (child, rest) in &mut self.unheard {
            if *child == room || self.record.plan.parents[*child] == Some(room) {
                *rest = UNHEARD;
            }
        }
        for other in 0..self.nodes.len() {
            let parents = &self.record.plan.parents;
            if parents[other] == Some(room) || parents[room] == Some(other) {
                let after = Duration::from_millis(notice);
                self.wires.forget(room, other, after, self.time);
            }
        }
    }

    /// A room says something in the name of somebody who is somewhere else: if all know where that is.
    fn forge(&mut self, edge: usize, who: usize) {
        let plan = &self.record.plan;
        let Some(parent) = plan.parents[edge] else {
            return;
        };
        let below = plan.below(edge).any(|room| room == plan.people[who].room);
        let (from, to) = match below {
            true => (parent, edge),
            false => (edge, parent),
        };
        let author = &self.record.people[who];
        let seen = |one: usize| {
            let stay = self.record.stays[one]
                .last()
                .filter(|stay| stay.until.is_none());
            let roster = stay.map(|stay| Stay::roster(&stay.told));
            roster.is_some_and(|roster| roster.values().any(|(jid, _)| jid == author))
        };
        let mut there = (0..plan.people.len()).filter(|one| plan.people[*one].room == to);
        // One that has not joined is told so.
        let joined = self.empty[edge].is_none();
        if !self.wires.is_whole() || !joined || !self.is_in(who) || !there.any(seen) {
            return;
        }
        let speaks = match self.fault {
            // The one by which it would have to come.
            Some(Fault::Impersonate) => {
                let toward = |room: &usize| {
                    plan.parents[*room] == Some(to)
                        && plan.below(*room).any(|room| room == plan.people[who].room)
                };
                let home = plan.people[who].room;
                let hop = (0..plan.parents.len()).find(toward);
                match hop.or(plan.parents[to]) {
                    Some(hop) if home != to => hop,
                    _ => from,
                }
            }
            _ => from,
        };
        let nick = self.nick(who).unwrap_or_default();
        let speaker = address(plan, speaks);
        let speaker = speaker.with_resource(&nick).expect("it is a nick");
        let fmuc = Element::new("fmuc", ns::FMUC).with_attr("from", author);
        let body = Element::new("body", CLIENT).with_text("forged");
        let stanza = Stanza::message(MessageType::Groupchat)
            .with_from(Jid::from(&speaker))
            .with_to(Jid::from(&address(plan, to)))
            .with_child(&body)
            .with_child(&fmuc);
        self.handle(to, Input::Stanza(stanza));
    }
}
