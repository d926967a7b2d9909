//! What is on its way between the rooms of a world, and what comes of what they do.

use std::collections::VecDeque;

use xmpp_core::machine::Machine as _;
use xmpp_core::stanza::{Condition, Stanza};
use xmpp_core::{BareJid, Jid};

use super::lines::client;
use super::{Accept, Input, Node, Output, World, name, short};
use crate::room;

impl World {
    /// Everything that is on its way arrives.
    pub(super) fn settle(&mut self) {
        for _ in 0..100_000 {
            let pairs = self
                .wires
                .iter()
                .filter(|(pair, wire)| !wire.is_empty() && !self.held.contains(*pair));
            let Some(pair) = pairs.map(|(pair, _)| *pair).next() else {
                return;
            };
            let stanza = self.wires.get_mut(&pair).and_then(VecDeque::pop_front);
            if let Some(stanza) = stanza {
                self.deliver(pair, stanza);
            }
        }
        panic!("it never ends");
    }

    /// One stanza arrives.
    pub(super) fn deliver(&mut self, (_, to): (char, char), stanza: Stanza) {
        match self.nodes.contains_key(&to) {
            true => self.handle(to, Input::Stanza(stanza)),
            false => self.at_openfire(to, &stanza),
        }
    }

    pub(super) fn handle(&mut self, name: char, input: Input) {
        let mut out = Vec::new();
        if let Some(node) = self.nodes.get_mut(&name) {
            node.handle(input, self.now, &mut out);
        }
        self.perform(name, out);
    }

    pub(super) fn perform(&mut self, at: char, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Room(output) => self.perform_room(at, output),
                Output::Send { peer, stanza, .. } => {
                    self.sent.push(self.now.instant);
                    self.send(at, &peer, stanza);
                }
                Output::Notice(notice) => {
                    let to = name(&notice.peer);
                    self.notices.push(format!("{at}!{to} {:?}", notice.what));
                }
            }
        }
    }

    pub(super) fn send(&mut self, at: char, peer: &BareJid, stanza: Stanza) {
        let to = name(peer);
        let line = self.wire(at, to, &stanza);
        if self.cut.contains(&(at, to)) {
            self.seen.push(format!("{line} lost"));
            // As whoever runs the streams answers for a server that cannot be reached.
            let error = stanza.error_reply(&Condition::RemoteServerTimeout.into());
            return error.map_or((), |error| self.handle(at, Input::Returned(error)));
        }
        self.seen.push(line);
        let xml = stanza.to_string();
        *self.bytes.entry((at, to)).or_default() += xml.len();
        self.xml.push(((at, to), xml));
        self.wires.entry((at, to)).or_default().push_back(stanza);
    }

    fn perform_room(&mut self, at: char, output: room::Output) {
        match output {
            room::Output::Send(stanza) | room::Output::Answer(stanza) => {
                if let Some(to) = stanza.to().cloned() {
                    self.show(at, &to, &stanza);
                }
            }
            room::Output::Broadcast(stanza, to) => {
                for to in to.iter() {
                    self.show(at, to, &stanza);
                }
            }
            room::Output::Burst(to, stanzas) => {
                for stanza in stanzas.iter() {
                    self.show(at, &to, stanza);
                }
            }
            room::Output::Destroyed => self.seen.push(format!("{at} is gone")),
            room::Output::Store(change) => self.store(at, change),
            room::Output::Event(_) => {}
        }
    }

    /// A client receives something.
    fn show(&mut self, at: char, to: &Jid, stanza: &Stanza) {
        self.seen.push(client(at, to, stanza));
        self.last.insert(short(to), stanza.clone());
    }

    /// All that is on its way from one room to another is so twice.
    pub(super) fn double(&mut self, from: char, to: char) {
        if let Some(wire) = self.wires.get_mut(&(from, to)) {
            *wire = wire.drain(..).flat_map(|one| [one.clone(), one]).collect();
        }
    }

    /// So many stanzas arrive although they are held.
    pub(super) fn pass_on(&mut self, from: char, to: char, count: usize) {
        for _ in 0..count {
            let wire = self.wires.get_mut(&(from, to));
            if let Some(stanza) = wire.and_then(VecDeque::pop_front) {
                self.deliver((from, to), stanza);
            }
        }
    }

    /// The last that is on its way from one room to another: it does not arrive.
    pub(super) fn taken(&mut self, from: char, to: char) -> Stanza {
        self.all_taken(from, to).pop().expect("a stanza")
    }

    /// All that is on its way.
    pub(super) fn all_taken(&mut self, from: char, to: char) -> Vec<Stanza> {
        let wire = self.wires.remove(&(from, to));
        wire.into_iter().flatten().collect()
    }

    /// Another list of who may join.
    pub(super) fn setup_accept(&mut self, name: char, accept: Accept) {
        let mut federation = self.setups[&name].federation.clone();
        federation.accept = accept;
        self.handle(name, Input::Configure(federation));
    }

    /// What is on its way from one room to another, and held.
    pub(super) fn on_the_way(&self, from: char, to: char) -> Vec<String> {
        let wire = self.wires.get(&(from, to)).into_iter().flatten();
        wire.map(ToString::to_string).collect()
    }

    /// Whether nothing is under way, and nobody waits for anything: what there is are links that are joined, and rooms that need none.
    pub(super) fn is_quiet(&self) -> bool {
        let waits = |node: &Node| node.next_timeout().is_some();
        self.wires.values().all(VecDeque::is_empty) && !self.nodes.values().any(waits)
    }
}
