//! What is cut off: those behind a link that is down, or behind one further away (§5.10 of the design).

use std::time::Instant;

use xmpp_core::xml::{Element, ns::CLIENT};

use super::crowd::{Known, Sight, Via};
use super::event::{Event, Passing};
use super::node::{Node, Turn};
use super::settings::OnLoss;
use super::{Alias, Extension, Fmuc};
use crate::log::NodeId;
use crate::room::elsewhere::{Occupant, Parting};

/// All that is cut off.
#[derive(Debug, Default)]
pub(super) struct Splits {
    all: Vec<Split>,
}

#[derive(Debug)]
struct Split {
    via: Via,
    /// One node behind the link; `None` for all that is behind it, since it is down.
    node: Option<NodeId>,
    /// When those behind it leave, as the room here has to see it; `None`: they have, or do not.
    until: Option<Instant>,
    /// A session has begun since in which the peer has not said so again.
    doubtful: bool,
}

/// "The user was removed because of an error: a technical problem" (XEP-0045 §16.6.2).
const TECHNICAL: u16 = 333;

impl Splits {
    /// A session begins: the peer is about to say which nodes behind it cannot be heard of.
    pub(super) fn doubt_nodes(&mut self, via: &Via) {
        let nodes = self.all.iter_mut().filter(|split| split.via == *via);
        nodes.for_each(|split| split.doubtful = split.node.is_some());
    }

    /// The nodes of which it has not said so again, or all: they are forgotten.
    fn take_nodes(&mut self, via: &Via, all: bool) -> Vec<NodeId> {
        let those = |split: &mut Split| split.via == *via && (split.doubtful || all);
        let taken = self.all.extract_if(.., those);
        taken.filter_map(|split| split.node).collect()
    }

    /// The nodes that cannot be heard of, behind other links than this one.
    fn nodes(&self, but: &Via) -> Vec<NodeId> {
        let others = self.all.iter().filter(|split| split.via != *but);
        others.filter_map(|split| split.node.clone()).collect()
    }

    /// Whether the link is down.
    pub(super) fn has(&self, via: &Via) -> bool {
        let down = |split: &Split| split.via == *via && split.node.is_none();
        self.all.iter().any(down)
    }

    /// Whether a node behind it is cut off.
    fn has_node(&self, via: &Via, node: &NodeId) -> bool {
        let cut = |split: &Split| split.via == *via && split.node.as_ref() == Some(node);
        self.all.iter().any(cut)
    }

    /// The link is as good as down after a restart: those behind it are not shown until it is heard of.
    pub(super) fn expect(&mut self, via: &Via) {
        self.all.push(Split {
            via: via.clone(),
            node: None,
            until: None,
            doubtful: false,
        });
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.all.iter().filter_map(|split| split.until).min()
    }
}

impl Node {
    /// A link is down.
    pub(super) fn split(&mut self, via: &Via, turn: &mut Turn<'_>) {
        if self.splits.has(via) {
            return;
        }
        let until = self.grace(via, turn);
        self.splits.all.push(Split {
            via: via.clone(),
            node: None,
            until,
            doubtful: false,
        });
        self.fade(via, None, turn);
        let nodes = self.nodes_behind(via);
        self.spread(via, &nodes, Extension::Unreach, turn);
    }

    /// A link is up again, and what has become of those behind it is known.
    pub(super) fn reunite(&mut self, via: &Via, turn: &mut Turn<'_>) {
        let mut back = self.splits.take_nodes(via, false);
        if self.splits.has(via) {
            self.splits
                .all
                .retain(|split| split.via != *via || split.node.is_some());
            back = self.nodes_behind(via);
            back.retain(|node| !self.splits.has_node(via, node));
        }
        self.spread(via, &back, Extension::Reach, turn);
        for jid in self.crowd.jids_behind(via) {
            let dot = self.crowd.get(&jid).and_then(|known| known.dot.as_ref());
            if !dot.is_some_and(|dot| self.splits.has_node(via, &dot.node)) {
                self.find_again(via, &jid, turn);
            }
        }
    }

    /// Nobody is behind a link any more: of whatever node was cut off one hears as soon as somebody is there again.
    pub(super) fn forget_splits(&mut self, via: &Via, turn: &mut Turn<'_>) {
        let mut back = match self.splits.has(via) {
            true => self.nodes_behind(via),
            false => Vec::new(),
        };
        back.extend(self.splits.take_nodes(via, true));
        back.sort();
        back.dedup();
        self.spread(via, &back, Extension::Reach, turn);
    }

    /// The nodes on this side of a link that cannot be heard of.
    pub(super) fn cut_off(&self, via: &Via) -> Vec<NodeId> {
        let mut nodes = self.splits.nodes(via);
        let down = self
            .routes
            .iter()
            .filter(|(_, by)| *by != via && self.splits.has(by));
        nodes.extend(down.map(|(node, _)| node.clone()));
        nodes.sort();
        nodes.dedup();
        nodes
    }

    /// What a peer says of nodes further away: whether one hears of them. The others are told once of all of which this is news.
    pub(super) fn nodes_changed(&mut self, via: &Via, fmuc: &Fmuc, turn: &mut Turn<'_>) {
        let (mut lost, mut back) = (Vec::new(), Vec::new());
        for extension in &fmuc.extensions {
            match extension {
                Extension::Unreach(alias) => lost.extend(self.node_split(via, *alias, turn)),
                Extension::Reach(alias) => back.extend(self.node_back(via, *alias, turn)),
                _ => {}
            }
        }
        self.spread(via, &lost, Extension::Unreach, turn);
        self.spread(via, &back, Extension::Reach, turn);
    }

    /// A node further away cannot be heard of.
    fn node_split(&mut self, via: &Via, alias: Alias, turn: &mut Turn<'_>) -> Option<NodeId> {
        let node = self.node_named(via, alias)?;
        let until = self.grace(via, turn);
        let mut all = self.splits.all.iter_mut();
        let same = |split: &&mut Split| split.via == *via && split.node.as_ref() == Some(&node);
        if let Some(split) = all.find(same) {
            split.doubtful = false;
            return None;
        }
        if self.splits.all.len() >= self.settings.have.nodes {
            return None;
        }
        self.splits.all.push(Split {
            via: via.clone(),
            node: Some(node.clone()),
            until,
            doubtful: false,
        });
        self.fade(via, Some(&node), turn);
        Some(node)
    }

    /// It can again.
    fn node_back(&mut self, via: &Via, alias: Alias, turn: &mut Turn<'_>) -> Option<NodeId> {
        let node = self.node_named(via, alias)?;
        if !self.splits.has_node(via, &node) {
            return None;
        }
        let same = |split: &Split| split.via == *via && split.node.as_ref() == Some(&node);
        self.splits.all.retain(|split| !same(split));
        let of = |dot: &crate::log::Dot| dot.node == node;
        let back = self
            .crowd
            .behind(via)
            .filter(|known| known.dot.as_ref().is_some_and(of));
        let back: Vec<_> = back.map(|known| known.occupant.jid.clone()).collect();
        for jid in back {
            self.find_again(via, &jid, turn);
        }
        Some(node)
    }

    /// Somebody has this nick here from now on. If it was that of one who has not been heard of for too long, they have another one now, and are told of
    /// under it. Else whoever hears of both would give one of them another for itself alone.
    pub(super) fn displace(&mut self, nick: &str, turn: &mut Turn<'_>) {
        if self.splits.all.is_empty() {
            return;
        }
        let lost = self.crowd.lost_as(nick).filter(|known| {
            let (jid, nick) = (&known.occupant.jid, &known.occupant.nick);
            !self.is_lost(known) && self.other_holder(nick, &jid.to_bare()).is_some()
        });
        for known in lost.cloned().collect::<Vec<_>>() {
            let bare = known.occupant.jid.to_bare();
            let nick = self.alias(&known.occupant.nick, &bare);
            let occupant = Occupant {
                nick,
                ..known.occupant
            };
            let there = occupant.clone();
            self.crowd
                .change(&occupant.jid, |known| known.occupant = there);
            let passing = Passing {
                event: Event::Here(occupant),
                dot: None,
                late: None,
            };
            self.tell_ext(&known.via, &passing, turn);
        }
    }

    /// Whether nothing is heard of a node, or of anybody behind the link that it is behind.
    pub(super) fn is_cut_off(&self, via: &Via, node: &NodeId) -> bool {
        self.splits.has(via) || self.splits.has_node(via, node)
    }

    pub(super) fn splits_timeout(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now.instant;
        let mut due = Vec::new();
        for split in &mut self.splits.all {
            if split.until.is_some_and(|until| until <= now) {
                split.until = None;
                due.push((split.via.clone(), split.node.clone()));
            }
        }
        for (via, node) in due {
            let behind = self.crowd.behind(&via).filter(|known| match &node {
                Some(node) => known.dot.as_ref().is_some_and(|dot| dot.node == *node),
                None => true,
            });
            let behind: Vec<_> = behind.map(|known| known.occupant.jid.clone()).collect();
            for jid in behind {
                self.lose(&via, &jid, turn);
            }
        }
    }

    /// Somebody has not been heard of for too long: here, and where nothing is known of nodes, they are gone.
    fn lose(&mut self, via: &Via, jid: &xmpp_core::Jid, turn: &mut Turn<'_>) {
        let known = self.crowd.get(jid);
        let Some(known) = known.filter(|known| known.sight == Sight::Shown) else {
            return;
        };
        let nick = known.occupant.nick.clone();
        self.crowd.change(jid, |known| known.sight = Sight::Lost);
        let parting = Parting {
            codes: vec![TECHNICAL],
            ..Parting::default()
        };
        self.in_room(turn, |room, now, out| room.let_go(jid, &parting, now, out));
        let named_here = self.is_named_here(jid);
        let passing = Passing {
            event: Event::Gone {
                jid: jid.clone(),
                nick,
                parting,
            },
            dot: None,
            late: None,
        };
        match named_here {
            true => self.publish(via, &passing, turn),
            false => self.tell_simple(via, &passing, turn),
        }
    }

    /// Whether those behind a link are shown as away while they cannot be heard of.
    fn fades(&mut self, via: &Via) -> bool {
        let policy = self.link(via).map(|link| link.about.on_loss);
        policy == Some(OnLoss::Away)
    }

    /// Shows those who cannot be heard of as away, if the configuration has it so.
    fn fade(&mut self, via: &Via, node: Option<&NodeId>, turn: &mut Turn<'_>) {
        if !self.fades(via) {
            return;
        }
        let of = |known: &&Known| {
            let home = known.dot.as_ref().map(|dot| &dot.node);
            known.sight == Sight::Shown && node.is_none_or(|node| home == Some(node))
        };
        let behind = self.crowd.behind(via).filter(of);
        for known in behind.cloned().collect::<Vec<_>>() {
            self.look(via, &known, &away(&known.occupant), turn);
        }
    }

    /// Shows somebody who is shown as they look now.
    fn look(&mut self, via: &Via, known: &Known, now: &Occupant, turn: &mut Turn<'_>) {
        let sight = self.show(via, now, Some(known), turn);
        let jid = &known.occupant.jid;
        self.crowd.change(jid, |known| known.sight = sight);
    }

    fn find_again(&mut self, via: &Via, jid: &xmpp_core::Jid, turn: &mut Turn<'_>) {
        let Some(known) = self.crowd.get(jid).cloned() else {
            return;
        };
        if known.sight == Sight::Shown && self.fades(via) {
            self.look(via, &known, &known.occupant, turn);
        }
        if known.sight != Sight::Lost {
            return;
        }
        let mut occupant = known.occupant.clone();
        occupant.nick = self.free_nick(via, jid, &known.nick_there, turn);
        let sight = self.show(via, &occupant, None, turn);
        let there = occupant.clone();
        self.crowd.change(jid, |known| {
            known.sight = sight;
            known.occupant = there;
        });
        let other_nick = occupant.nick != known.occupant.nick;
        let event = Event::Here(occupant);
        let passing = Passing {
            event,
            dot: None,
            late: None,
        };
        if self.is_named_here(jid) {
            return self.publish(via, &passing, turn);
        }
        self.tell_simple(via, &passing, turn);
        if other_nick {
            self.tell_ext(via, &passing, turn);
        }
    }

    /// Whether somebody elsewhere has no node that speaks for them, and what becomes of them is an event of this one.
    fn is_named_here(&self, jid: &xmpp_core::Jid) -> bool {
        let known = self.crowd.get(jid);
        known.is_some_and(|known| known.dot.as_ref().is_none_or(|dot| dot.node == self.id))
    }

    /// Whether all others have been told that somebody is gone, who may come back.
    pub(super) fn is_lost(&self, known: &super::crowd::Known) -> bool {
        known.sight == Sight::Lost && known.dot.as_ref().is_some_and(|dot| dot.node == self.id)
    }

    /// Tells the peers that do not speak our extension.
    fn tell_simple(&mut self, via: &Via, passing: &Passing, turn: &mut Turn<'_>) {
        if *via != Via::Parent
            && let Some(parent) = self.parent.as_mut().filter(|parent| !parent.link.is_ext())
        {
            parent.tell(passing, turn);
        }
        for (peer, child) in &mut self.children {
            let source = matches!(via, Via::Child(from) if from == peer);
            if !source && !child.link.is_ext() {
                child.tell(passing, turn);
            }
        }
    }

    /// Tells those that do.
    fn tell_ext(&mut self, via: &Via, passing: &Passing, turn: &mut Turn<'_>) {
        if *via != Via::Parent
            && let Some(parent) = self.parent.as_mut().filter(|parent| parent.link.is_ext())
        {
            parent.tell(passing, turn);
        }
        for (peer, child) in &mut self.children {
            let source = matches!(via, Via::Child(from) if from == peer);
            if !source && child.link.is_ext() {
                child.tell(passing, turn);
            }
        }
    }

    /// Tells the peers that do, of these nodes.
    fn spread(
        &mut self,
        via: &Via,
        nodes: &[NodeId],
        what: fn(Alias) -> Extension,
        turn: &mut Turn<'_>,
    ) {
        if nodes.is_empty() {
            return;
        }
        let mut others: Vec<Via> = self.children.keys().cloned().map(Via::Child).collect();
        others.push(Via::Parent);
        // One that begins a session now is told in it, or has been already.
        let live = |other: &Via| match other {
            Via::Here => false,
            Via::Parent => self.parent.as_ref().is_some_and(|one| one.is_live()),
            Via::Child(peer) => {
                let child = self.children.get(peer);
                child.is_some_and(|child| child.state == super::child::State::Joined)
            }
        };
        let (live, down): (Vec<_>, Vec<_>) = others
            .into_iter()
            .filter(|other| other != via)
            .partition(live);
        let vector = self.have.vector();
        let epochs: Vec<_> = nodes
            .iter()
            .filter_map(|node| Some((node, vector.get(node)?.epoch)))
            .collect();
        // Of one of which no event is known there is nothing to tell.
        if epochs.is_empty() {
            return;
        }
        // One that is down is told in the next session, so there has to be one.
        for other in down {
            if let Some(link) = self.link(&other) {
                link.missed |= link.is_ext();
            }
        }
        for other in live {
            let Some(link) = self.link(&other).filter(|link| link.is_ext()) else {
                continue;
            };
            let mut fmuc = Fmuc::default();
            for (node, epoch) in &epochs {
                let (alias, definition) = link.aliases.name(node, *epoch);
                fmuc.extensions.extend(definition);
                fmuc.extensions.push(what(alias));
            }
            let stanza = link.write_own(&fmuc);
            turn.send(&*link, stanza, None);
        }
    }

    fn node_named(&mut self, via: &Via, alias: Alias) -> Option<NodeId> {
        let (node, _) = self.link(via)?.aliases.of_theirs(alias)?;
        Some(node.clone()).filter(|node| self.routes.get(node) == Some(via))
    }

    fn nodes_behind(&self, via: &Via) -> Vec<NodeId> {
        let behind = self.routes.iter().filter(|(_, by)| *by == via);
        behind.map(|(node, _)| node.clone()).collect()
    }

    fn grace(&mut self, via: &Via, turn: &Turn<'_>) -> Option<Instant> {
        let link = self.link(via)?;
        let stays = link.about.on_loss == OnLoss::Keep;
        let grace = link.timers.grace.filter(|_| !stays)?;
        Some(turn.now.instant + grace)
    }
}

/// The same, away for long (RFC 6121 §4.7.2.1).
fn away(occupant: &Occupant) -> Occupant {
    let presence = &occupant.presence;
    let rest = presence.payload().without(|child| child.is("show", CLIENT));
    let show = Element::new("show", CLIENT).with_text("xa");
    Occupant {
        presence: presence.clone().with_payload(rest.with(&show)),
        ..occupant.clone()
    }
}
