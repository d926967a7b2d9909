//! The links of a room, for an operator to look at.

use std::collections::BTreeMap;

use xmpp_core::BareJid;

use super::crowd::Via;
use super::link::{Link, Speech};
use super::node::Node;
use super::{Dialect, LinkProfile, child, parent};

/// A link of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkView {
    /// The room at the other end.
    pub peer: BareJid,
    /// Who has joined whom.
    pub direction: Direction,
    /// What is spoken there; [`Dialect::Auto`] as long as that is not known.
    pub dialect: Dialect,
    /// What it is like.
    pub profile: LinkProfile,
    /// How far it is.
    pub stage: Stage,
    /// How many occupants are behind it.
    pub occupants: usize,
    /// Events that wait for the peer.
    pub waiting: usize,
}

/// Who has joined whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// This room the other one.
    Parent,
    /// The other one this room.
    Child,
}

/// How far a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Nobody is here who would need it.
    Idle,
    /// The peer was asked to let this room join.
    Joining,
    /// One tells the other what it lacks.
    Syncing,
    /// The rooms are one.
    Joined,
    /// The link is down.
    Suspect,
    /// The peer was told that nobody is here any more.
    Leaving,
    /// It could not be joined, and is tried again later.
    Backoff,
}

impl Direction {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Direction::Parent => "parent",
            Direction::Child => "child",
        }
    }
}

impl Stage {
    /// All of them.
    pub const ALL: [Stage; 7] = [
        Stage::Idle,
        Stage::Joining,
        Stage::Syncing,
        Stage::Joined,
        Stage::Suspect,
        Stage::Leaving,
        Stage::Backoff,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Idle => "idle",
            Stage::Joining => "joining",
            Stage::Syncing => "syncing",
            Stage::Joined => "joined",
            Stage::Suspect => "suspect",
            Stage::Leaving => "leaving",
            Stage::Backoff => "backoff",
        }
    }
}

impl Node {
    /// The rooms with which it has to do, and how far it is with them.
    pub fn peers(&self) -> impl Iterator<Item = (&BareJid, Stage)> {
        let parent = self.parent.iter();
        let parent = parent.map(|parent| (&parent.link.peer, parent.state.stage()));
        let children = self.children.iter();
        parent.chain(children.map(|(peer, child)| (peer, child.state.stage())))
    }

    /// Its links, that to the room that it joins first.
    pub fn view(&self) -> Vec<LinkView> {
        let mut behind: BTreeMap<&Via, usize> = BTreeMap::new();
        for known in self.crowd.iter() {
            *behind.entry(&known.via).or_default() += 1;
        }
        let view = |link: &Link, via: &Via, direction, stage| LinkView {
            peer: link.peer.clone(),
            direction,
            dialect: match link.speech {
                Speech::Unknown => Dialect::Auto,
                Speech::Ext => Dialect::Ext,
                Speech::Xep => Dialect::Xep,
                Speech::Openfire => Dialect::Openfire,
            },
            profile: self.federation.link(&link.about),
            stage,
            occupants: behind.get(via).copied().unwrap_or_default(),
            waiting: link.waiting(),
        };
        let parent = self.parent.iter().map(|parent| {
            let stage = parent.state.stage();
            view(&parent.link, &Via::Parent, Direction::Parent, stage)
        });
        let children = self.children.iter().map(|(peer, child)| {
            let via = Via::Child(peer.clone());
            view(&child.link, &via, Direction::Child, child.state.stage())
        });
        parent.chain(children).collect()
    }
}

impl parent::State {
    fn stage(self) -> Stage {
        match self {
            parent::State::Idle => Stage::Idle,
            parent::State::Joining { .. } => Stage::Joining,
            parent::State::Syncing { .. } => Stage::Syncing,
            parent::State::Joined => Stage::Joined,
            parent::State::Suspect { .. } => Stage::Suspect,
            parent::State::Leaving { .. } => Stage::Leaving,
            parent::State::Backoff { .. } => Stage::Backoff,
        }
    }
}

impl child::State {
    fn stage(self) -> Stage {
        match self {
            child::State::Joined => Stage::Joined,
            child::State::Suspect { .. } => Stage::Suspect,
        }
    }
}
