//! A node of a federated room: the room itself, and what it has to do with other nodes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use xmpp_core::machine::Machine;
use xmpp_core::stanza::{Kind, Stanza};
use xmpp_core::time::Now;
use xmpp_core::{BareJid, Jid};

use super::child::Child;
use super::crowd::{Crowd, Known, Via};
use super::dedupe::Dedupe;
use super::event::{Event, Passing};
use super::guard::Door;
use super::link::Link;
use super::lives::by_clock;
use super::parent::Parent;
use super::reference::Names;
use super::replica::Held;
use super::settings::{Federation, Settings};
use super::split::Splits;
use crate::log::{self, Clock, Dot, Entry, Log, NodeId, Reach};
use crate::room::{self, Room};

/// A node of a federated room. See the [module](super).
pub struct Node {
    pub(super) room: Room,
    pub(super) id: NodeId,
    /// Which of its lives this is: one that has lost what it knew begins another.
    pub(super) epoch: u64,
    /// The number of its last event.
    last: u64,
    /// Up to here some numbers may be those of no event.
    pub(super) sparse: u64,
    pub(super) federation: Federation,
    pub(super) settings: Arc<Settings>,
    pub(super) have: log::Have,
    pub(super) log: Log<Event>,
    pub(super) clock: Clock,
    pub(super) crowd: Crowd,
    /// The event that has made the subject what it is.
    pub(super) subject: Option<Passing>,
    /// The ids of what was said last.
    pub(super) names: Names,
    /// By which way one hears of a node.
    pub(super) routes: BTreeMap<NodeId, Via>,
    pub(super) splits: Splits,
    /// What waits for its echo, in a replica.
    pub(super) held: Held,
    /// The event that is done here now that it is done there.
    pub(super) confirming: Option<Dot>,
    pub(super) parent: Option<Parent>,
    pub(super) children: BTreeMap<BareJid, Child>,
    pub(super) door: Door,
    /// What was said by those whose events have no names.
    pub(super) heard: Dedupe,
    /// The rooms from the one that this one has joined to the root.
    pub(super) ancestors: Vec<NodeId>,
    /// How many sessions it has begun.
    sessions: u64,
    /// Since when it is there after a restart, and has not told anybody.
    pub(super) wake: Option<Instant>,
    /// What has happened by the restart, and is not stored.
    pub(super) fresh: Vec<Passing>,
    /// How many events it has stored.
    pub(super) stored: u64,
}

/// What happens to a node.
#[derive(Debug)]
#[non_exhaustive]
pub enum Input {
    /// Somebody has sent this to the room or to one of its occupants, another node of it or anybody else. `from` is who they really are, as their stream or
    /// their server has proven it.
    Stanza(Stanza),
    /// An error has come for a stanza of ours to another node: it was not delivered. The error is as RFC 6120 §8.3 has it, and need not repeat what it is about.
    Returned(Stanza),
    /// Something has become of the streams between our server and this domain.
    Link {
        /// The domain of other rooms.
        domain: BareJid,
        /// What.
        state: LinkState,
    },
    /// The room is federated in another way from now on.
    Configure(Federation),
    /// The service stops.
    Close,
}

/// What becomes of the streams to another domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Stanzas go there.
    Up {
        /// As if they had never been down: nothing is lost (XEP-0198).
        resumed: bool,
    },
    /// They do not, and what was on its way may be lost.
    Down,
    /// What goes there is acknowledged (XEP-0198), until it is [up](LinkState::Up) anew: what does not arrive is told as [`Down`](LinkState::Down), so no
    /// room has to ask whether it has.
    Acknowledged,
}

/// What is to be done.
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// What the room itself wants done.
    Room(room::Output),
    /// Send this to another node.
    Send {
        /// Which.
        peer: BareJid,
        /// With both addresses.
        stanza: Stanza,
        /// The event in it.
        dot: Option<Dot>,
    },
    /// Something that an operator should know.
    Notice(Notice),
}

/// What an operator should know of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The other room.
    pub peer: BareJid,
    /// What is the matter.
    pub what: Matter,
}

/// What may be the matter with a link.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Matter {
    /// The room was not let in, perhaps with a reason.
    Rejected(String),
    /// The other room is not let in.
    Refused(&'static str),
    /// What is there is no federated room.
    Ordinary,
    /// There was no answer.
    Silent,
    /// There was no answer of an Openfire: it may still count this room among those that have joined, with occupants of which nothing is known here any more.
    /// Then it answers no join until its room is emptied of them over there.
    Stale,
    /// It does not say what it has done, so this room can be no replica of it.
    NoEcho,
    /// It says too much, and is not heard for a minute.
    Flood,
    /// A stanza was dropped.
    Dropped(&'static str),
}

/// What a node is shown while it does something.
pub(super) struct Turn<'a> {
    pub(super) now: Now,
    pub(super) out: &'a mut Vec<Output>,
}

impl Turn<'_> {
    pub(super) fn send(&mut self, link: &Link, stanza: Stanza, dot: Option<&Dot>) {
        self.out.push(Output::Send {
            peer: link.peer.clone(),
            stanza,
            dot: dot.cloned(),
        });
    }

    pub(super) fn notice(&mut self, peer: &BareJid, what: Matter) {
        let peer = peer.clone();
        self.out.push(Output::Notice(Notice { peer, what }));
    }

    /// Takes back what was sent to a peer since then, to be sent later.
    pub(super) fn hold_back(&mut self, since: usize, from: &BareJid) -> Vec<Output> {
        let of_peer = |one: &mut Output| matches!(one, Output::Send { peer, .. } if peer == from);
        self.out.extract_if(since.., of_peer).collect()
    }

    /// Nothing comes of this stanza.
    pub(super) fn drop(&mut self, peer: &BareJid, why: &'static str) {
        self.notice(peer, Matter::Dropped(why));
    }
}

impl Node {
    /// A node in a new life, with those who are in its room: the life of this second, for one that has begun no other in it.
    pub fn new(room: Room, federation: Federation, settings: Arc<Settings>, now: Now) -> Node {
        Node::in_life(room, federation, settings, by_clock(now), now)
    }

    /// The same in a life that its room has not had ([`Lives`](super::Lives)).
    pub fn in_life(
        mut room: Room,
        federation: Federation,
        settings: Arc<Settings>,
        life: u64,
        now: Now,
    ) -> Node {
        room.watch(true);
        let id = NodeId::new(room.jid().as_str());
        let epoch = life;
        let mut have = log::Have::new(settings.have);
        have.adopt(&id, Reach { epoch, seq: 0 });
        let mut node = Node {
            room,
            epoch,
            last: 0,
            sparse: 0,
            have,
            log: Log::new(settings.log),
            clock: Clock::new(id.clone()),
            id,
            federation,
            settings,
            crowd: Crowd::default(),
            subject: None,
            names: Names::default(),
            routes: BTreeMap::new(),
            splits: Splits::default(),
            held: Held::default(),
            confirming: None,
            parent: None,
            children: BTreeMap::new(),
            door: Door::default(),
            heard: Dedupe::default(),
            ancestors: Vec::new(),
            sessions: 0,
            wake: None,
            fresh: Vec::new(),
            stored: 0,
        };
        node.parent = node.first_parent();
        for occupant in node.room.here() {
            let dot = Some(node.dot(now));
            let event = Event::Here(occupant.clone());
            node.crowd.insert(Known::here(occupant, dot.clone()));
            node.keep(
                &Passing {
                    event,
                    dot,
                    late: None,
                },
                &Via::Here,
                now,
            );
        }
        node
    }

    /// The room.
    pub fn room(&self) -> &Room {
        &self.room
    }

    /// The same as [`Room::may_persist`].
    pub fn may_persist(&mut self, may: bool) {
        self.room.may_persist(may);
    }

    /// The same as [`Room::forget_history`].
    pub fn forget_history(&mut self, bytes: usize) {
        self.room.forget_history(bytes);
    }

    /// Whether nobody is in it, and nothing is under way, with other nodes neither.
    pub fn is_idle(&self) -> bool {
        let parent = self.parent.as_ref();
        self.room.is_idle() && self.children.is_empty() && parent.is_none_or(Parent::is_idle)
    }

    /// The number of its last event.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Another life, in which nothing has happened yet.
    pub(super) fn begin_life(&mut self, epoch: u64) {
        self.epoch = epoch;
        (self.last, self.sparse) = (0, 0);
        self.have.adopt(&self.id, Reach { epoch, seq: 0 });
    }

    /// So much has happened in this life. Whether anything has.
    pub(super) fn go_on_from(&mut self, last: u64) -> bool {
        self.last = self.last.max(last);
        self.last > 0
    }

    /// So many numbers are not used: they may be those of events that this node does not know any more.
    pub(super) fn leave_out(&mut self, numbers: u64) {
        self.last += numbers;
        self.sparse = self.last;
        let (epoch, seq) = (self.epoch, self.last);
        self.have.adopt(&self.id, Reach { epoch, seq });
    }

    /// The name of the next event of this node.
    pub(super) fn dot(&mut self, now: Now) -> Dot {
        if let Some(dot) = &self.confirming {
            return dot.clone();
        }
        self.last += 1;
        let dot = Dot {
            node: self.id.clone(),
            epoch: self.epoch,
            seq: self.last,
        };
        self.have.see(&dot, now.instant);
        dot
    }

    /// The name of a session that no session of this room has had.
    pub(super) fn session(&mut self, now: Now) -> String {
        self.sessions += 1;
        let begun = now.utc.0.max(0).unsigned_abs() / 1000;
        format!("{}.{}", super::base36::write(begun), self.sessions)
    }

    /// The link by which one hears of those behind it.
    pub(super) fn link_ref(&self, via: &Via) -> Option<&Link> {
        match via {
            Via::Here => None,
            Via::Parent => self.parent.as_ref().map(|parent| &parent.link),
            Via::Child(peer) => self.children.get(peer).map(|child| &child.link),
        }
    }

    /// The same, to do something with it.
    pub(super) fn link(&mut self, via: &Via) -> Option<&mut Link> {
        match via {
            Via::Here => None,
            Via::Parent => self.parent.as_mut().map(|parent| &mut parent.link),
            Via::Child(peer) => self.children.get_mut(peer).map(|child| &mut child.link),
        }
    }

    /// Has the room do something, and sees to what comes of it here.
    pub(super) fn in_room<T>(
        &mut self,
        turn: &mut Turn<'_>,
        act: impl FnOnce(&mut Room, Now, &mut Vec<room::Output>) -> T,
    ) -> T {
        let mut out = Vec::new();
        let done = act(&mut self.room, turn.now, &mut out);
        for output in out {
            match output {
                room::Output::Event(event) => self.happened(event, turn),
                room::Output::Destroyed => {
                    self.close(turn);
                    turn.out.push(Output::Room(room::Output::Destroyed));
                }
                other => turn.out.push(Output::Room(other)),
            }
        }
        done
    }

    /// Keeps an event, if it is one that is kept, and tells all links but the one by which it came.
    pub(super) fn publish(&mut self, via: &Via, passing: &Passing, turn: &mut Turn<'_>) {
        let passing = &self.name(via, passing, turn);
        self.keep(passing, via, turn.now);
        self.write_down(passing, turn);
        self.tell_all(via, passing, turn);
        self.echo(via, passing, turn);
    }

    /// Takes note that somebody is there in another way, for all links but the one by which one hears of them.
    pub(super) fn doubt(&mut self, via: &Via, jid: &Jid, turn: &Turn<'_>) {
        let now = turn.now.instant;
        if *via != Via::Parent
            && let Some(parent) = &mut self.parent
        {
            parent.link.unsure.insert(jid.clone(), now);
        }
        for (peer, child) in &mut self.children {
            if !matches!(via, Via::Child(from) if from == peer) {
                child.link.unsure.insert(jid.clone(), now);
            }
        }
    }

    /// Tells all links of an event but the one by which it came.
    pub(super) fn tell_all(&mut self, via: &Via, passing: &Passing, turn: &mut Turn<'_>) {
        let history = self.is_history(via, passing);
        if let Some(dot) = passing.dot.as_ref().filter(|dot| dot.node != self.id) {
            self.routes.insert(dot.node.clone(), via.clone());
        }
        if *via != Via::Parent
            && self.confirming.is_none()
            && let Some(parent) = &mut self.parent
        {
            parent.tell(passing, turn);
        }
        for (peer, child) in &mut self.children {
            if matches!(via, Via::Child(from) if from == peer) {
                continue;
            }
            match history && child.link.bandwidth.history == 0 {
                true => child.link.pace.skip(passing.dot.as_ref()),
                false => child.tell(passing, turn),
            }
        }
    }

    pub(super) fn keep(&mut self, passing: &Passing, via: &Via, now: Now) {
        if let Some(dot) = &passing.dot {
            let entry = Entry {
                dot: dot.clone(),
                at: passing.late.unwrap_or(now.utc),
                size: passing.event.size(),
                event: passing.event.clone(),
            };
            self.log.push(entry, now.utc);
            // What is named here is of somebody who is elsewhere, perhaps: this node is where it is.
            if dot.node != self.id {
                self.routes.insert(dot.node.clone(), via.clone());
            }
        }
    }

    /// The room is no more, or the service stops: the others hear of it.
    fn close(&mut self, turn: &mut Turn<'_>) {
        self.ancestors.clear();
        self.leave_parent(turn);
        let children: Vec<_> = self.children.keys().cloned().collect();
        for child in children {
            self.forget_child(&child, turn);
        }
    }

    fn stanza(&mut self, stanza: Stanza, turn: &mut Turn<'_>) {
        if let Some(from) = stanza.from().map(Jid::to_bare) {
            let is_client = stanza.from().is_some_and(|from| self.room.is_in(from));
            if super::is_between_rooms(&stanza) && !is_client {
                return self.received(&from, &stanza, turn);
            }
            if self.is_ordinary_answer(&from, &stanza) {
                return self.found_ordinary(turn);
            }
            // What an ordinary room says to all who are in it; no room is in this one as its user.
            let is_parent = self.federation.parents.contains(&from);
            if is_parent && !matches!(stanza.kind(), Kind::Iq(_)) {
                return;
            }
        }
        if self.is_replica() && self.hold(&stanza, turn) {
            return;
        }
        self.in_room(turn, |room, now, out| {
            room.handle(room::Input::Stanza(stanza), now, out);
        });
    }

    fn link_changed(&mut self, domain: &BareJid, state: LinkState, turn: &mut Turn<'_>) {
        let of = |peer: &BareJid| peer.domain() == domain.as_str();
        let children: Vec<_> = self
            .children
            .keys()
            .filter(|peer| of(peer))
            .cloned()
            .collect();
        let parent = self
            .parent
            .as_ref()
            .is_some_and(|parent| of(&parent.link.peer));
        match state {
            LinkState::Down => {
                if parent {
                    self.parent_lost(turn);
                    self.await_link();
                }
                for child in &children {
                    self.child_lost(child, turn);
                }
            }
            LinkState::Acknowledged => self.rely(parent, &children, true),
            LinkState::Up { resumed } => {
                if !resumed {
                    self.rely(parent, &children, false);
                }
                if parent {
                    self.parent_up(resumed, turn);
                }
                for child in &children {
                    self.child_up(child, resumed, turn);
                }
            }
        }
    }

    /// Whether what goes over these links is acknowledged.
    fn rely(&mut self, parent: bool, children: &[BareJid], reliable: bool) {
        if let Some(parent) = self.parent.as_mut().filter(|_| parent) {
            parent.link.relies(reliable);
        }
        for peer in children {
            if let Some(child) = self.children.get_mut(peer) {
                child.link.relies(reliable);
            }
        }
    }

    /// A stanza of ours has come back.
    fn returned(&mut self, error: &Stanza, turn: &mut Turn<'_>) {
        let Some(peer) = error.from().map(Jid::to_bare) else {
            return;
        };
        if let Some(via) = self.via(&peer) {
            self.came_back(&via, error, turn);
        }
        if self
            .parent
            .as_ref()
            .is_some_and(|parent| parent.link.peer == peer)
        {
            self.parent_lost(turn);
            self.parent_bounced();
            self.ask_in_time(turn);
        }
        if self.children.contains_key(&peer) {
            self.child_lost(&peer, turn);
        }
    }

    /// After a turn: whoever is here needs the parent, or nobody does any more.
    fn settle(&mut self, turn: &mut Turn<'_>) {
        match self.crowd.contributed() {
            0 if self.held.coming().is_none() => self.uncontribute(turn),
            _ => self.contribute(turn),
        }
    }

    fn configure(&mut self, federation: Federation, turn: &mut Turn<'_>) {
        if federation == self.federation {
            return;
        }
        let moved = federation.parents != self.federation.parents
            || federation.mode != self.federation.mode
            || federation.profile != self.federation.profile;
        self.federation = federation;
        let accept = &self.federation.accept;
        let refused = self.children.keys().filter(|peer| !accept.admits(peer));
        for child in refused.cloned().collect::<Vec<_>>() {
            self.forget_child(&child, turn);
        }
        if moved {
            self.leave_parent(turn);
            self.parent = self.first_parent();
        }
    }
}

impl Machine for Node {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, input: Input, now: Now, out: &mut Vec<Output>) {
        let mut turn = Turn { now, out };
        let turn = &mut turn;
        self.wake_up(turn);
        match input {
            Input::Stanza(stanza) => self.stanza(stanza, turn),
            Input::Returned(error) => self.returned(&error, turn),
            Input::Link { domain, state } => self.link_changed(&domain, state, turn),
            Input::Configure(federation) => self.configure(federation, turn),
            Input::Close => {
                self.close(turn);
                self.in_room(turn, |room, now, out| {
                    room.handle(room::Input::Close, now, out);
                });
            }
        }
        self.settle(turn);
        self.write_down_rosters(turn);
    }

    fn handle_timeout(&mut self, now: Now, out: &mut Vec<Output>) {
        let mut turn = Turn { now, out };
        let turn = &mut turn;
        if self
            .room
            .next_timeout()
            .is_some_and(|due| due <= now.instant)
        {
            self.in_room(turn, Room::handle_timeout);
        }
        self.wake_up(turn);
        self.parent_timeout(turn);
        self.held_timeout(turn);
        self.children_timeout(turn);
        self.splits_timeout(turn);
        self.ask_for_missing(turn);
        self.settle(turn);
        self.write_down_rosters(turn);
    }

    fn next_timeout(&self) -> Option<Instant> {
        let parent = self.parent.as_ref();
        let timers = [
            self.room.next_timeout(),
            parent.and_then(Parent::next_timeout),
            self.children.values().filter_map(Child::next_timeout).min(),
            self.splits.next_timeout(),
            self.next_missing(),
            self.held.next_timeout(),
            self.wake,
        ];
        timers.into_iter().flatten().min()
    }
}
