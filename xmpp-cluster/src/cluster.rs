//! One node of a cluster: who is there, a link to each, the session table, and what is handed on for others. No socket, clock or task.
//!
//! A driver runs a [`Node`] over an engine. What is sent waits for the next [`Input::Flush`], so that what was said at once
//! travels together.
//!
//! All nodes are joined to all, whatever their sites.

mod counts;
mod faults;
mod peer;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use xmpp_core::FullJid;
use xmpp_core::machine::Machine;
use xmpp_core::session::SessionId;
use xmpp_core::time::Now;

use crate::frame::{Beat, Body, Delta, Entry, FRAME, Frame, Parcel};
use crate::link;
use crate::membership::{self, Membership, Reach, Refusal, Seen, Timers, Why};
use crate::node::{Incarnation, Life, NodeId, NodeInfo};
use crate::table::{self, Table};
use crate::transport::Class;

pub use counts::Counts;
pub use faults::Fault;
use faults::Faults;
use peer::Peer;
pub use peer::Traffic;

/// Bytes of a parcel, at most: what is around it fits into a frame as well.
pub const PARCEL: usize = FRAME - 4096;

/// Bounds and times of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// When somebody is down.
    pub timers: Timers,
    /// Those of the link to each other node.
    pub link: link::Limits,
    /// How long a page of the session table may take before it is asked for again; default 2 s.
    pub page: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            timers: Timers::default(),
            link: link::Limits::default(),
            page: Duration::from_secs(2),
        }
    }
}

/// What happens to a node.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Input {
    /// The engine brings a frame from the node that it has proven to be its sender.
    Frame(NodeId, Bytes),
    /// All that was to be handled now has been.
    Flush,
    /// This node goes. What [waits](Node::is_idle) on the links is lost.
    Leave,
}

/// What a node wants done, or tells.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Output {
    /// To be sent to that node.
    Send(NodeId, Class, Bytes),
    /// To be sent to all.
    Publish(Bytes),
    /// What becomes of the cluster.
    Event(Event),
}

/// What becomes of a cluster, as one of its nodes sees it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A node is there, in this life. Its entries follow.
    Up(NodeInfo),
    /// These parcels, oldest first, were for a node that is down, and may have come there or not. They can go another way.
    GivenUp(Life, Vec<Parcel>),
    /// A node cannot be reached any more. Before it come its entries, as [lost](Event::Lost), and what it is not known to have, as
    /// [given up](Event::GivenUp).
    Down(Life, Why),
    /// That node has held this one to be down, and has given up what was on its way: answers to what it had been sent may be among it.
    Reset(Life),
    /// This node was held up for as long: others may have what it had. Comes before anything else.
    HeldUp(Duration),
    /// This node has a later life: this one must stop.
    Superseded(Incarnation),
    /// Somebody is not let in, and why. Of each life this is told once for each reason in a row.
    Refused(Life, Refusal),
    /// Something that this node has brought was dropped, and why. Each reason is told once, until the node is up anew.
    Dropped(NodeId, Fault),
    /// A resource is bound at that node, or something about it is different.
    Put(Life, Box<Entry>),
    /// A resource of that node is not there any more.
    Removed(Life, Box<Entry>),
    /// The same, since its node is down.
    Lost(Life, Box<Entry>),
    /// All that is bound at that node is known: it was said since it is up, and what changes follows.
    Synced(Life),
    /// A parcel has come from that node.
    Parcel(Life, Parcel),
}

/// A parcel cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// In that life, the node is not up.
    #[error("that node is not up")]
    Down,
    /// A bound of [`link::Limits`] is reached.
    #[error("too much waits for that node")]
    Full,
    /// It has more than [`PARCEL`] bytes.
    #[error("too long")]
    TooLong,
}

/// One node of a cluster.
#[derive(Debug)]
pub struct Node {
    limits: Limits,
    membership: Membership,
    table: Table,
    /// Those that have been up, as long as their lives are remembered.
    peers: BTreeMap<NodeId, Peer>,
    counts: Counts,
    faults: Faults,
    /// It has left, or is superseded.
    over: bool,
}

impl Node {
    /// A node that knows of nobody. It begins with its first [timeout](Machine::handle_timeout), which is due at once.
    pub fn new(me: NodeInfo, limits: Limits) -> Node {
        Node {
            limits,
            table: Table::new(me.life.clone()),
            membership: Membership::new(me, limits.timers),
            peers: BTreeMap::new(),
            counts: Counts::default(),
            faults: Faults::default(),
            over: false,
        }
    }

    /// This node.
    pub fn me(&self) -> &NodeInfo {
        self.membership.me()
    }

    /// Who is bound where.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The other nodes that are known of, in the order of their names.
    pub fn members(&self) -> impl Iterator<Item = Seen<'_>> {
        self.membership.members()
    }

    /// Whether a node is up in this life.
    pub fn is_up(&self, life: &Life) -> bool {
        self.membership.reach(life).is_some()
    }

    /// The lives of those that are up, in the order of their names.
    pub fn up(&self) -> impl Iterator<Item = &Life> {
        let peers = self.peers.values().map(|peer| &peer.life);
        peers.filter(|life| self.is_up(life))
    }

    /// What has gone to that node and has come from it.
    pub fn traffic(&self, node: &NodeId) -> Option<Traffic> {
        self.peers.get(node).map(Peer::traffic)
    }

    /// What it counts.
    pub fn counts(&self) -> Counts {
        Counts {
            refused: self.membership.refusals(),
            ..self.counts
        }
    }

    /// Whether all others that are up have what they were sent.
    pub fn is_idle(&self) -> bool {
        let up = self.peers.values().filter(|peer| self.is_up(&peer.life));
        up.into_iter().all(|peer| peer.link.is_empty())
    }

    /// Takes a parcel for a node in one of its lives.
    pub fn send(&mut self, to: &Life, parcel: &Parcel) -> Result<(), SendError> {
        self.post(to, parcel.encode())
    }

    /// Enters a resource that is bound here, or what is new about it.
    pub fn put(&mut self, entry: Entry) {
        let delta = self.table.put(entry);
        self.tell(delta);
    }

    /// Changes what is told of a resource that is bound here, if this is its session; whether it is.
    pub fn update(
        &mut self,
        jid: &FullJid,
        session: SessionId,
        change: impl FnOnce(&mut Entry),
    ) -> bool {
        let held = self.table.entry(&self.me().life.node, jid);
        let Some(held) = held.filter(|held| held.session == session) else {
            return false;
        };
        let mut entry = held.clone();
        change(&mut entry);
        if entry != *held {
            self.put(entry);
        }
        true
    }

    /// Takes out a resource that was bound here, if this is its session; whether it is.
    pub fn remove(&mut self, jid: &FullJid, session: SessionId) -> bool {
        let delta = self.table.remove(jid, session);
        delta.map(|delta| self.tell(delta)).is_some()
    }

    fn post(&mut self, to: &Life, parcel: Bytes) -> Result<(), SendError> {
        if parcel.len() > PARCEL {
            return Err(SendError::TooLong);
        }
        if self.over || !self.is_up(to) {
            return Err(SendError::Down);
        }
        let peer = self.peers.get_mut(&to.node).ok_or(SendError::Down)?;
        peer.link.send(parcel).map_err(|_| SendError::Full)
    }

    /// Tells all others of a change of the table.
    fn tell(&mut self, delta: Delta) {
        let parcel = Parcel::Table(delta).encode();
        let up: Vec<Life> = self.up().cloned().collect();
        for life in up {
            if self.post(&life, parcel.clone()).is_err() {
                // Its next change, or a heartbeat, tells that this one is missing.
                self.counts.untold += 1;
            }
        }
    }

    // --- what comes ---

    fn frame(&mut self, hop: NodeId, bytes: Bytes, now: Now, out: &mut Vec<Output>) {
        let size = bytes.len() as u64;
        let frame = match Frame::decode(bytes.clone()) {
            Ok(frame) => frame,
            Err(_) => return self.wrong(&hop, Fault::Damaged, out),
        };
        let me = &self.me().life;
        match &frame.to {
            Some((node, _)) if *node != me.node => return self.hand_on(hop, &frame, bytes, out),
            Some((_, Some(life))) if *life != me.incarnation => {
                self.counts.strays += 1;
                return;
            }
            _ => {}
        }
        let from = frame.from;
        let beat = matches!(frame.body, Body::Beat(_));
        // A heartbeat is nobody's to hand on: it says who is heard.
        if hop != from.node && (beat || !self.is_direct(&hop)) {
            return self.wrong(&hop, Fault::Forged, out);
        }
        if let Body::Beat(beat) = frame.body {
            return self.beat(from, beat, now, out);
        }
        let up = self.is_up(&from);
        let Some(peer) = self.peers.get_mut(&from.node).filter(|_| up) else {
            return self.stray(&hop, &from, out);
        };
        peer.received(size);
        match frame.body {
            Body::Data(data) => self.link(from, link::Input::Data(data), now, out),
            Body::Ack(ack) => self.link(from, link::Input::Ack(ack), now, out),
            Body::Pull(pull) => match self.table.page(&pull) {
                Some(page) => self.transmit(&from, Body::Page(page), out),
                None => self.counts.strays += 1,
            },
            Body::Page(page) => {
                peer.answered(&page);
                let mut told = Vec::new();
                let taken = self.table.paged(&from, page, &mut told);
                self.counts.strays += u64::from(taken.is_err());
                self.table_says(&from, told, now, out);
            }
            Body::Beat(_) | Body::Unknown => self.wrong(&hop, Fault::Unknown, out),
        }
    }

    /// Drops what `by` has brought.
    fn wrong(&mut self, by: &NodeId, fault: Fault, out: &mut Vec<Output>) {
        let counts = &mut self.counts;
        *match fault {
            Fault::Damaged => &mut counts.damaged,
            Fault::Forged => &mut counts.forged,
            Fault::Stray => &mut counts.strays,
            Fault::Unknown => &mut counts.unknown,
            Fault::Nonsense => &mut counts.nonsense,
        } += 1;
        if self.faults.tell(by, fault) {
            out.push(Output::Event(Event::Dropped(by.clone(), fault)));
        }
    }

    /// Drops what is of a life that is not up.
    fn stray(&mut self, hop: &NodeId, from: &Life, out: &mut Vec<Output>) {
        match self.membership.is_known(from) {
            // It is up in a moment, or was a moment ago.
            true => self.counts.strays += 1,
            false => self.wrong(hop, Fault::Stray, out),
        }
    }

    /// Hands on what is for another. Once is enough: its sender and its addressee both hear this node.
    fn hand_on(&mut self, hop: NodeId, frame: &Frame, bytes: Bytes, out: &mut Vec<Output>) {
        let Some((to, _)) = &frame.to else { return };
        if hop != frame.from.node || !self.is_direct(&hop) || !self.is_direct(to) {
            return self.stray(&hop, &frame.from, out);
        }
        self.counts.handed_on += 1;
        out.push(Output::Send(to.clone(), class(&frame.body), bytes));
    }

    fn is_direct(&self, node: &NodeId) -> bool {
        let peer = self.peers.get(node);
        peer.is_some_and(|peer| self.membership.reach(&peer.life) == Some(&Reach::Direct))
    }

    fn beat(&mut self, from: Life, beat: Beat, now: Now, out: &mut Vec<Output>) {
        let changes = beat.table;
        let mut told = Vec::new();
        let heard = membership::Input::Heard(from.clone(), beat);
        self.membership.handle(heard, now, &mut told);
        self.membership_says(told, now, out);
        if !self.is_up(&from) {
            return;
        }
        let mut told = Vec::new();
        // A life that is up has its slice.
        let _ = self.table.seen(&from, changes, &mut told);
        self.table_says(&from, told, now, out);
    }

    // --- what the parts say ---

    fn membership_says(&mut self, told: Vec<membership::Output>, now: Now, out: &mut Vec<Output>) {
        use membership::Output as Says;
        for says in told {
            match says {
                Says::Beat(beat) => {
                    let frame = Frame {
                        from: self.me().life.clone(),
                        to: None,
                        body: Body::Beat(beat),
                    };
                    out.push(Output::Publish(frame.encode()));
                }
                Says::Up(info, _) => self.node_up(info, now, out),
                Says::Way(node, _) => {
                    if let Some(peer) = self.peers.get(&node) {
                        self.link(peer.life.clone(), link::Input::Up, now, out);
                    }
                }
                Says::Down(life, why) => self.node_down(life, why, now, out),
                Says::HeldUp(time) => out.push(Output::Event(Event::HeldUp(time))),
                Says::Superseded(by) => {
                    self.over = true;
                    out.push(Output::Event(Event::Superseded(by)));
                }
                Says::Refused(life, why) => out.push(Output::Event(Event::Refused(life, why))),
            }
        }
    }

    fn node_up(&mut self, info: NodeInfo, now: Now, out: &mut Vec<Output>) {
        let life = info.life.clone();
        self.faults.forget(&life.node);
        let known = self.peers.get(&life.node);
        if known.is_none_or(|peer| peer.life != life) {
            let peer = Peer::new(life.clone(), self.limits.link, now);
            self.peers.insert(life.node.clone(), peer);
        }
        out.push(Output::Event(Event::Up(info)));
        self.link(life.clone(), link::Input::Up, now, out);
        // Nothing is new; but it arrives, and tells that what was before was given up.
        let nothing = Parcel::Table(Delta {
            after: self.table.changes(),
            changes: Vec::new(),
        });
        if self.post(&life, nothing.encode()).is_err() {
            self.counts.untold += 1;
        }
        let mut told = Vec::new();
        self.table.up(&life, &mut told);
        self.table_says(&life, told, now, out);
    }

    fn node_down(&mut self, life: Life, why: Why, now: Now, out: &mut Vec<Output>) {
        let mut told = Vec::new();
        self.table.down(&life.node, &mut told);
        for says in told {
            if let table::Output::Removed(_, entry) = says {
                out.push(Output::Event(Event::Lost(life.clone(), entry)));
            }
        }
        // Whoever is down has been up.
        if let Some(peer) = self.peers.get_mut(&life.node) {
            let given_up = peer.give_up(now);
            if !given_up.is_empty() {
                out.push(Output::Event(Event::GivenUp(life.clone(), given_up)));
            }
        }
        out.push(Output::Event(Event::Down(life, why)));
    }

    fn table_says(&mut self, of: &Life, told: Vec<table::Output>, now: Now, out: &mut Vec<Output>) {
        for says in told {
            match says {
                table::Output::Put(_, entry) => {
                    out.push(Output::Event(Event::Put(of.clone(), entry)));
                }
                table::Output::Removed(node, entry) => {
                    debug_assert_eq!(node, of.node);
                    out.push(Output::Event(Event::Removed(of.clone(), entry)));
                }
                table::Output::Read(_) => out.push(Output::Event(Event::Synced(of.clone()))),
                table::Output::Pull(pull) => {
                    if let Some(peer) = self.peers.get_mut(&of.node) {
                        peer.asks(pull.clone(), now.instant + self.limits.page);
                    }
                    self.transmit(of, Body::Pull(pull), out);
                }
            }
        }
    }

    fn link(&mut self, life: Life, input: link::Input, now: Now, out: &mut Vec<Output>) {
        let mut told = Vec::new();
        if let Some(peer) = self.peers.get_mut(&life.node) {
            peer.link.handle(input, now, &mut told);
        }
        self.link_says(&life, told, now, out);
    }

    fn link_says(&mut self, life: &Life, told: Vec<link::Output>, now: Now, out: &mut Vec<Output>) {
        for says in told {
            match says {
                link::Output::Transmit(body) => self.transmit(life, body, out),
                link::Output::Deliver(bytes) => self.parcel(life, bytes, now, out),
                link::Output::Acked(_) => {}
                link::Output::Reset => out.push(Output::Event(Event::Reset(life.clone()))),
                link::Output::Nonsense(_) => self.wrong(&life.node, Fault::Nonsense, out),
            }
        }
    }

    fn parcel(&mut self, from: &Life, bytes: Bytes, now: Now, out: &mut Vec<Output>) {
        match Parcel::decode(bytes) {
            Ok(Parcel::Table(delta)) => {
                let mut told = Vec::new();
                let taken = self.table.delta(from, delta, &mut told);
                self.counts.strays += u64::from(taken.is_err());
                self.table_says(from, told, now, out);
            }
            Ok(Parcel::Unknown) => self.wrong(&from.node, Fault::Unknown, out),
            Ok(parcel) => out.push(Output::Event(Event::Parcel(from.clone(), parcel))),
            Err(_) => self.wrong(&from.node, Fault::Damaged, out),
        }
    }

    /// Sends a frame by the way that there is.
    fn transmit(&mut self, to: &Life, body: Body, out: &mut Vec<Output>) {
        let by = match self.membership.reach(to) {
            Some(Reach::Direct) => to.node.clone(),
            Some(Reach::Via(relay)) => relay.clone(),
            None => return,
        };
        let class = class(&body);
        let frame = Frame {
            from: self.me().life.clone(),
            to: Some((to.node.clone(), Some(to.incarnation))),
            body,
        };
        let bytes = frame.encode();
        if let Some(peer) = self.peers.get_mut(&to.node) {
            peer.sent(bytes.len() as u64);
        }
        out.push(Output::Send(by, class, bytes));
    }

    /// Those whose lives nobody remembers are nobody's peers.
    fn forget(&mut self) {
        let Node {
            peers, membership, ..
        } = self;
        let known: Vec<&Life> = membership.members().map(|seen| &seen.info.life).collect();
        if peers.len() > known.len() {
            peers.retain(|_, peer| known.contains(&&peer.life));
        }
    }
}

impl Machine for Node {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, input: Input, now: Now, out: &mut Vec<Output>) {
        if self.over {
            return;
        }
        let mut told = Vec::new();
        self.membership.wake(now, &mut told);
        self.membership_says(told, now, out);
        match input {
            Input::Frame(hop, bytes) => self.frame(hop, bytes, now, out),
            Input::Flush => {
                let lives: Vec<Life> = self.up().cloned().collect();
                for life in lives {
                    self.link(life, link::Input::Flush, now, out);
                }
            }
            Input::Leave => {
                let mut told = Vec::new();
                self.membership
                    .handle(membership::Input::Leave, now, &mut told);
                self.membership_says(told, now, out);
                self.over = true;
            }
        }
    }

    fn handle_timeout(&mut self, now: Now, out: &mut Vec<Output>) {
        if self.over {
            return;
        }
        let mut told = Vec::new();
        let changes = membership::Input::Table(self.table.changes());
        self.membership.handle(changes, now, &mut told);
        self.membership.handle_timeout(now, &mut told);
        self.membership_says(told, now, out);
        let lives: Vec<Life> = self.up().cloned().collect();
        for life in lives {
            let Some(peer) = self.peers.get_mut(&life.node) else {
                continue;
            };
            let mut told = Vec::new();
            peer.link.handle_timeout(now, &mut told);
            let asked = peer.ask_again(now, self.limits.page);
            self.link_says(&life, told, now, out);
            if let Some(pull) = asked {
                self.counts.pages_late += 1;
                self.transmit(&life, Body::Pull(pull), out);
            }
        }
        self.forget();
    }

    fn next_timeout(&self) -> Option<Instant> {
        if self.over {
            return None;
        }
        let peers = self.peers.values();
        let peers = peers.filter_map(Peer::next_timeout);
        peers.chain(self.membership.next_timeout()).min()
    }
}

fn class(body: &Body) -> Class {
    match body {
        Body::Beat(_) | Body::Ack(_) => Class::Control,
        Body::Data(_) | Body::Unknown => Class::Live,
        Body::Pull(_) | Body::Page(_) => Class::CatchUp,
    }
}

#[cfg(test)]
mod tests;
