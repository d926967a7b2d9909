//! What one side of a link lacks that the other one has (§5.5 and §5.7 of the design).

use xmpp_core::stanza::Stanza;
use xmpp_core::time::Timestamp;
use xmpp_core::{BareJid, Jid};

use super::crowd::{Sight, Via};
use super::event::{Event, Passing};
use super::link::{Link, Speech, extended};
use super::node::{Class, Node, Turn};
use super::parent::State;
use super::{Extension, Fmuc, Hello, Origin};
use crate::log::{Dot, Entry, NodeId, Range, Reach, Vector};
use crate::ns;
use crate::room::elsewhere::Parting;
use crate::room::{Room, Wanted};

/// What is to be told to one who lacks it.
#[derive(Debug, Default)]
struct Delta {
    /// Who is there, and what was said, in the order in which it is to be told.
    passing: Vec<Passing>,
    /// What is forgotten.
    gone: Vec<Range>,
    /// Something was left out, since something later says it all.
    skipped: bool,
    /// What is told last says that this was all, if something was left out.
    ends: bool,
    /// And in any case: the peer is to see whether it knows now who is there.
    compares: bool,
    /// Who is there of whom the peer knows, or is told of at last.
    known: Vec<(Jid, String)>,
    /// A digest of all of them.
    crowd: u32,
    /// The nodes that cannot be heard of, and which of their lives is known.
    cut_off: Vec<(NodeId, u64)>,
}

impl Node {
    /// All that a room that joins has to know: who is here, what has been said, and the subject, in the order of XEP-0045 §7.1.
    #[expect(clippy::too_many_arguments, reason = "all of one join")]
    pub(super) fn burst(
        &mut self,
        peer: &BareJid,
        join: &Stanza,
        hello: Option<&Hello>,
        vector: &Vector,
        again: bool,
        fresh: bool,
        turn: &mut Turn<'_>,
    ) {
        let via = Via::Child(peer.clone());
        let first = vector
            .get(&self.id)
            .is_none_or(|reach| reach.epoch != self.epoch);
        let wanted = wanted_history(join, turn.now.utc);
        let path = self.path();
        let have = self.vector();
        let anew = hello.is_none_or(|hello| hello.fresh);
        let ext = hello.is_some();
        let bound = |delta: &mut Delta| {
            if !first && ext {
                return;
            }
            let most = self
                .children
                .get(peer)
                .map_or(0, |child| match child.link.speech {
                    // It drops what it gets (O3 of the design).
                    Speech::Openfire => 0,
                    _ => child.link.bandwidth.history,
                });
            let most = if again && !ext { 0 } else { most };
            delta.bound_history(most, wanted, vector, |one| envelope(one, peer, &self.room));
        };
        let mut delta = self.delta(vector, &via, anew);
        bound(&mut delta);
        // Somebody who has left meanwhile may be among what is forgotten.
        let reset = ext && !delta.gone.is_empty();
        if reset {
            delta = self.delta(vector, &via, true);
            bound(&mut delta);
        }
        let joiner = super::parent::fmuc_of(join).and_then(|fmuc| fmuc.from);
        let joiner = joiner
            .and_then(|jid| self.crowd.get(&jid))
            .filter(|known| known.via == via);
        let joiner = joiner.map(|known| (known.occupant.clone(), known.nick_there.clone()));
        let subject = self.subject.clone();
        let lacks_subject = subject
            .as_ref()
            .filter(|subject| subject.dot.as_ref().is_none_or(|dot| !vector.covers(dot)));
        let Some(child) = self.children.get_mut(peer) else {
            return;
        };
        let link = &mut child.link;
        if let Some(hello) = hello {
            let sync = Extension::Sync {
                hello: Hello {
                    mode: hello.mode,
                    session: hello.session.clone(),
                    fresh,
                    have: link.aliases.tell(&have),
                },
                reset,
                path,
            };
            let known = self.crowd.digest_behind(&via);
            let sync = Fmuc::default().with(sync).with(Extension::Crowd(known));
            let stanza = link.write_own(&sync);
            turn.send(link, Class::Control, stanza, None);
        }
        if !ext {
            let said = |one: &Passing| !matches!(one.event, Event::Here(_));
            let (there, then) = delta.passing.split_at(
                delta
                    .passing
                    .iter()
                    .position(said)
                    .unwrap_or(delta.passing.len()),
            );
            there.iter().for_each(|one| link.tell_in_order(one, turn));
            if let Some((joiner, nick)) = &joiner {
                link.echo_joiner(joiner, nick, turn);
            }
            then.iter().for_each(|one| link.tell_in_order(one, turn));
        } else {
            link.catch_up(&delta, turn);
        }
        // It takes over how far everything is here.
        link.pace.take_skipped();
        if ext {
            if let Some(subject) = lacks_subject {
                link.tell(subject, turn);
            }
            let crowd = self.crowd.digest_before(&via, peer);
            let synced = Fmuc::default().with(Extension::Synced);
            let stanza = link.write_own(&synced.with(Extension::Crowd(crowd)));
            turn.send(link, Class::Control, stanza, None);
        } else {
            for stanza in link.write_subject(subject.as_ref()) {
                turn.send(link, Class::Control, stanza, None);
            }
        }
    }

    /// The parent begins to tell what is lacking here: what is lacking there is told at once.
    pub(super) fn synchronise(
        &mut self,
        hello: &Hello,
        reset: bool,
        path: &[NodeId],
        known: Option<u32>,
        turn: &mut Turn<'_>,
    ) {
        let Some(parent) = &mut self.parent else {
            return;
        };
        let link = &mut parent.link;
        if link.may_extend() {
            link.speech = Speech::Ext;
        }
        if !matches!(parent.state, State::Joining { .. }) || hello.session != link.session {
            return;
        }
        link.speech = Speech::Ext;
        let Some(vector) = link.aliases.told(&hello.have) else {
            return turn.drop(&link.peer.clone(), "too many names");
        };
        link.take_waiting();
        parent.state = State::Syncing {
            until: turn.now.instant + link.timers.join,
        };
        parent.promised = Some(vector.clone());
        if hello.fresh {
            parent.link.introduce_anew();
        }
        let peer = NodeId::new(parent.link.peer.as_str());
        let lives = |vector: &Vector| vector.get(&peer).map(|reach| reach.epoch);
        parent.first = lives(&vector) != lives(&self.have.vector());
        self.ancestors = path
            .iter()
            .take(self.settings.limits.path)
            .cloned()
            .collect();
        if self.break_ring(turn) {
            return;
        }
        self.splits.forget_nodes(&Via::Parent);
        self.outlive_itself(&vector, turn);
        self.outlive(&Via::Parent, &vector, turn);
        if reset {
            self.crowd.make_stale(&Via::Parent);
        }
        let mut delta = self.delta(&vector, &Via::Parent, hello.fresh);
        delta.ends = true;
        delta.compares = known.is_some_and(|known| hello.fresh || known != delta.crowd);
        if let Some(parent) = &mut self.parent {
            parent.link.catch_up(&delta, turn);
        }
        self.tell_path(turn);
    }

    /// The parent has told all that was lacking here.
    pub(super) fn synchronised(&mut self, fmuc: &Fmuc, turn: &mut Turn<'_>) {
        let Some(parent) = &mut self.parent else {
            return;
        };
        let theirs = parent.promised.take();
        if let Some(vector) = &theirs {
            self.adopt(&Via::Parent, vector, turn);
            // What was not told is no event that is stored.
            self.write_down_all(turn);
        }
        self.drop_stale(&Via::Parent, turn);
        let syncing = |state| matches!(state, State::Syncing { .. });
        if self
            .parent
            .as_ref()
            .is_some_and(|parent| syncing(parent.state))
        {
            let crowd = self.crowd.digest_behind(&Via::Parent);
            let agreed = fmuc.crowd().is_none_or(|theirs| theirs == crowd);
            let parent = self.parent.as_mut();
            let was_whole = parent.is_some_and(|parent| std::mem::replace(&mut parent.whole, true));
            let parent = self.parent.as_mut();
            let may = |link: &mut Link| link.may_renew(turn.now.instant);
            if was_whole && !agreed && parent.is_some_and(|parent| may(&mut parent.link)) {
                return self.join_anew(turn);
            }
            self.joined(turn);
            self.ask_to_expel_again(&Via::Parent, turn);
            self.ask_again(theirs.as_ref(), turn);
        }
    }

    /// A child has told all that was lacking here, and left out what does not matter any more.
    pub(super) fn completed(&mut self, peer: &BareJid, fmuc: &Fmuc, turn: &mut Turn<'_>) {
        let via = Via::Child(peer.clone());
        let child = self.children.get(peer);
        if let Some(promised) = child.and_then(|child| child.promised.clone()) {
            self.adopt(&via, &promised, turn);
            // What was not told is no event that is stored.
            self.write_down_all(turn);
        }
        self.drop_stale(&via, turn);
        let crowd = self.crowd.digest_behind(&via);
        let agreed = fmuc.crowd().is_none_or(|theirs| theirs == crowd);
        if let Some(child) = self.children.get_mut(peer) {
            let was_whole = std::mem::replace(&mut child.whole, true);
            if was_whole && !agreed && child.link.may_renew(turn.now.instant) {
                child.whole = false;
                self.ask_child(peer, turn);
            }
        }
    }

    /// A child may have told all that was lacking here.
    pub(super) fn reached(&mut self, peer: &BareJid, turn: &mut Turn<'_>) {
        let child = self.children.get(peer);
        if child.is_none_or(|child| child.promised.is_none()) {
            return;
        }
        let have = self.have.vector();
        let Some(child) = self.children.get_mut(peer) else {
            return;
        };
        let has = |(node, reach): (&NodeId, Reach)| {
            reach.seq == 0 || have.get(node).is_some_and(|ours| ours >= reach)
        };
        if child
            .promised
            .as_ref()
            .is_some_and(|promised| promised.iter().all(has))
        {
            child.promised = None;
            child.told_by = None;
            self.reunite(&Via::Child(peer.clone()), turn);
        }
    }

    /// The elements that are about nobody in particular.
    pub(super) fn extensions(&mut self, via: &Via, fmuc: &Fmuc, turn: &mut Turn<'_>) {
        if !self.link(via).is_some_and(|link| link.is_ext()) {
            return;
        }
        self.nodes_changed(via, fmuc, turn);
        for extension in &fmuc.extensions {
            match extension {
                Extension::Want(alias, seqs) => {
                    let range = self.named_range(via, *alias, seqs.clone());
                    if let Some(range) = range {
                        self.give_missing(via, &range, turn);
                    }
                }
                Extension::Gone(alias, seqs) => {
                    let range = self.named_range(via, *alias, seqs.clone());
                    if let Some(range) = range
                        && self.may_name(via, &range.0, range.1, turn.now).is_ok()
                    {
                        self.forgo(via, range, turn);
                    }
                }
                Extension::Last(origin) => self.lags(via, *origin, turn),
                Extension::Path(path) if *via == Via::Parent => self.path_changed(path, turn),
                Extension::Collision { nick, from } if *via == Via::Parent => {
                    self.collided(nick, from, turn);
                }
                Extension::Refuse(condition) => self.refused(via, fmuc, condition, turn),
                _ => {}
            }
        }
    }

    fn named_range(
        &mut self,
        via: &Via,
        alias: super::Alias,
        seqs: std::ops::RangeInclusive<u64>,
    ) -> Option<Range> {
        let (node, epoch) = self.link(via)?.aliases.of_theirs(alias)?;
        Some((node.clone(), epoch, seqs))
    }

    /// What a peer asks for again.
    fn give_missing(&mut self, via: &Via, range: &Range, turn: &mut Turn<'_>) {
        let missing = self.log.range(range);
        // What was not let in here, or is forgotten, will not come.
        let there = self.decided(range);
        let gone: Vec<_> = there
            .iter()
            .flat_map(|range| self.log.lacks(range))
            .collect();
        let most = (self.settings.limits.burst, self.settings.limits.rate);
        let cost = 1 + missing.entries.len() + gone.len();
        let delta = Delta {
            passing: missing.entries.into_iter().map(repeated).collect(),
            gone,
            ..Delta::default()
        };
        if let Some(link) = self.link(via) {
            let cost = u32::try_from(cost).unwrap_or(u32::MAX);
            if !link.repeated.take(cost, most, turn.now.instant) {
                return turn.drop(&link.peer, "it asks for too much once more");
            }
            link.catch_up(&delta, turn);
            let skipped = link.pace.take_skipped();
            if !skipped.is_empty() {
                let fmuc = Fmuc {
                    extensions: link.gone(&skipped),
                    ..Fmuc::default()
                };
                let stanza = link.write_own(&fmuc);
                turn.send(&*link, Class::Control, stanza, None);
            }
        }
    }

    /// A peer says which event of a node it has told last: what is not here is missing.
    fn lags(&mut self, via: &Via, last: Origin, turn: &mut Turn<'_>) {
        let named = self.link(via);
        let Some((node, epoch)) = named.and_then(|link| link.aliases.of_theirs(last.alias)) else {
            return;
        };
        let dot = Dot {
            node: node.clone(),
            epoch,
            seq: last.seq,
        };
        let may = self.may_name(via, &dot.node, epoch, turn.now);
        if dot.node != self.id && may.is_ok() && !self.have.has(&dot) {
            self.have.expect(&dot, turn.now.instant);
            self.routes.entry(dot.node).or_insert_with(|| via.clone());
        }
    }

    /// Asks for what has been missing for so long.
    pub(super) fn ask_for_missing(&mut self, turn: &mut Turn<'_>) {
        let Some(patience) = self.patience() else {
            return;
        };
        for (node, epoch, seqs) in self.have.wanted(patience, turn.now.instant) {
            let via = self.routes.get(&node).cloned();
            if let Some(via) = via
                && let Some(link) = self.link(&via)
                && link.is_ext()
            {
                let (alias, definition) = link.aliases.name(&node, epoch);
                let mut fmuc = Fmuc::default();
                fmuc.extensions.extend(definition);
                fmuc.extensions.push(Extension::Want(alias, seqs));
                let stanza = link.write_own(&fmuc);
                turn.send(&*link, Class::Control, stanza, None);
            }
        }
    }

    pub(super) fn next_missing(&self) -> Option<std::time::Instant> {
        self.have.next_wanted(self.patience()?)
    }

    /// For how long something may be missing; `None` while it is being told.
    fn patience(&self) -> Option<std::time::Duration> {
        let parent = self.parent.as_ref();
        let syncing = parent.is_some_and(|parent| {
            matches!(
                parent.state,
                State::Joining { .. } | State::Syncing { .. } | State::Suspect { .. }
            )
        });
        let telling = self.children.values().any(|child| child.promised.is_some());
        let timers = parent.map(|parent| parent.link.timers.gap);
        let others = self.children.values().map(|child| child.link.timers.gap);
        let longest = timers.into_iter().chain(others).max();
        longest.filter(|_| !syncing && !telling)
    }

    /// Takes over how far a peer has everything. What was left out of what it has told will not come to other nodes either, and they are told so.
    fn adopt(&mut self, via: &Via, vector: &Vector, turn: &mut Turn<'_>) {
        let before = self.have.vector();
        let mut left_out = Vec::new();
        for (node, reach) in self.believed(via, vector, turn.now).iter() {
            let had = before.get(node);
            self.have.adopt(node, reach);
            if had.is_none_or(|had| had < reach) {
                left_out.push((node.clone(), reach.epoch, 1..=reach.seq));
            }
        }
        self.tell_gone(via, &left_out, turn);
    }

    /// Events that will not come.
    fn forgo(&mut self, via: &Via, range: Range, turn: &mut Turn<'_>) {
        let routed = self.routes.get(&range.0).is_none_or(|by| by == via);
        if range.0 == self.id || !routed {
            return;
        }
        let before = self.have.vector();
        self.have.give_up(&range);
        if self.have.vector().get(&range.0) != before.get(&range.0) {
            self.tell_gone(via, &[range], turn);
        }
    }

    /// Tells all links but this one that these events will not come, and of what they were not told; those of which it speaks with the next event need not hear
    /// of it now.
    fn tell_gone(&mut self, via: &Via, ranges: &[Range], turn: &mut Turn<'_>) {
        // A life that has begun, and in which nothing has happened, is none of them.
        let ranges = ranges.iter().filter(|(.., seqs)| !seqs.is_empty());
        let ranges: &[Range] = &ranges.cloned().collect::<Vec<_>>();
        let children = self.children.iter_mut();
        let children = children.filter(|(peer, child)| {
            !matches!(via, Via::Child(from) if from == *peer)
                && child.state == super::child::State::Joined
        });
        let parent = self
            .parent
            .as_mut()
            .filter(|parent| *via != Via::Parent && parent.state == State::Joined);
        let parent = parent.map(|parent| &mut parent.link).into_iter();
        for link in parent.chain(children.map(|(_, child)| &mut child.link)) {
            let mut all = link.pace.take_skipped();
            let covers = |(node, epoch, seqs): &Range, (of, life, these): &Range| {
                (node, epoch) == (of, life)
                    && seqs.start() <= these.start()
                    && these.end() <= seqs.end()
            };
            all.retain(|one| !ranges.iter().any(|range| covers(range, one)));
            all.extend_from_slice(ranges);
            if link.is_ext() && !all.is_empty() {
                let fmuc = Fmuc {
                    extensions: link.gone(&all),
                    ..Fmuc::default()
                };
                let stanza = link.write_own(&fmuc);
                turn.send(&*link, Class::Control, stanza, None);
            }
        }
    }

    /// Whether this is what the room that this one joins tells of the time before.
    pub(super) fn is_history(&self, via: &Via, passing: &Passing) -> bool {
        let parent = self.parent.as_ref().filter(|_| *via == Via::Parent);
        let first = parent.is_some_and(|parent| parent.first && parent.state != State::Joined);
        first && passing.event.is_said() && passing.late.is_some()
    }

    /// Nodes behind a link have begun another life: all that was theirs before is gone.
    pub(super) fn outlive(&mut self, via: &Via, vector: &Vector, turn: &mut Turn<'_>) {
        for (node, reach) in self.believed(via, vector, turn.now).iter() {
            for jid in self.crowd.outlived(node, reach.epoch) {
                if self.crowd.get(&jid).is_some_and(|known| known.via == *via) {
                    self.drop_one(via, &jid, &Parting::default(), turn);
                }
            }
        }
    }

    /// What a peer lacks that has this much: of those who are there how they are now, of those who are gone that they are, and all that was said.
    /// If it is to be told of everybody `anew`, also of those of whom it knows the event.
    fn delta(&self, vector: &Vector, via: &Via, anew: bool) -> Delta {
        let link = match via {
            Via::Parent => self.parent.as_ref().map(|parent| &parent.link),
            Via::Child(peer) => self.children.get(peer).map(|child| &child.link),
            Via::Here => None,
        };
        // By the stanza that has joined.
        let told = |jid: &Jid| link.is_some_and(|link| link.named.as_ref() == Some(jid));
        let ext = link.is_some_and(Link::is_ext);
        let unsure = |jid: &Jid| link.is_some_and(|link| link.unsure.contains_key(jid));
        let mut delta = Delta {
            crowd: link.map_or(0, |link| self.crowd.digest_before(via, &link.peer)),
            ..Delta::default()
        };
        for known in self.crowd.iter().filter(|known| known.via != *via) {
            let (jid, nick) = (&known.occupant.jid, &known.occupant.nick);
            delta.known.push((jid.clone(), nick.clone()));
            let covered = known.dot.as_ref().is_some_and(|dot| vector.covers(dot));
            if (known.sight != Sight::Lost || ext)
                && (!covered || anew || unsure(jid))
                && (!told(jid) || unsure(jid))
            {
                delta.passing.push(Passing {
                    event: Event::Here(known.occupant.clone()),
                    dot: known.dot.clone(),
                    late: None,
                });
            }
        }
        let ours = vector.get(&self.id).unwrap_or_default();
        delta.skipped |= ours.epoch <= self.epoch && ours.seq < self.sparse;
        let missing = self.log.missing(vector);
        for entry in missing.entries {
            match &entry.event {
                Event::Here(_) => delta.skipped = true,
                Event::Gone { jid, .. } => match self
                    .crowd
                    .get(jid)
                    .is_some_and(|known| !self.is_lost(known))
                {
                    true => delta.skipped = true,
                    false => delta.passing.push(repeated(entry)),
                },
                Event::Said { .. } => delta.passing.push(repeated(entry)),
                Event::Subject { .. } => {
                    let dot = self
                        .subject
                        .as_ref()
                        .and_then(|subject| subject.dot.as_ref());
                    match *via == Via::Parent && dot == Some(&entry.dot) {
                        true => delta.passing.push(repeated(entry)),
                        false => delta.skipped = true,
                    }
                }
            }
        }
        delta.gone = missing.gone;
        if ext {
            let cut_off = self.cut_off(via).into_iter();
            let have = self.have.vector();
            let of_now = |node: NodeId| {
                let epoch = have.get(&node)?.epoch;
                Some((node, epoch))
            };
            delta.cut_off = cut_off.filter_map(of_now).collect();
        }
        delta
    }

    /// All who have joined this room hear by which way it hangs on the root.
    pub(super) fn tell_path(&mut self, turn: &mut Turn<'_>) {
        let path = self.path();
        for child in self.children.values() {
            if child.link.is_ext() {
                let fmuc = Fmuc::default().with(Extension::Path(path.clone()));
                turn.send(
                    &child.link,
                    Class::Control,
                    child.link.write_own(&fmuc),
                    None,
                );
            }
        }
    }

    fn path_changed(&mut self, path: &[NodeId], turn: &mut Turn<'_>) {
        let path: Vec<_> = path
            .iter()
            .take(self.settings.limits.path)
            .cloned()
            .collect();
        if path == self.ancestors {
            return;
        }
        self.ancestors = path;
        if !self.break_ring(turn) {
            self.tell_path(turn);
        }
    }
}

impl Delta {
    /// Of the nodes of which a room that joins knows nothing no more than so many messages, the newest, and nothing of those who are gone. What it has missed
    /// of others is no history.
    fn bound_history(
        &mut self,
        most: usize,
        wanted: Wanted,
        vector: &Vector,
        envelope: impl Fn(&Passing) -> usize,
    ) {
        let unknown = |node: &NodeId| vector.get(node).is_none();
        let of_old = |one: &Passing| one.dot.as_ref().is_none_or(|dot| unknown(&dot.node));
        self.passing
            .retain(|one| !matches!(one.event, Event::Gone { .. }) || !of_old(one));
        let said = |one: &&Passing| one.event.is_said() && of_old(one);
        let newest = self.passing.iter().rev().filter(said);
        let newest = newest.map(|one| (one.late.unwrap_or(Timestamp(0)), envelope(one)));
        let count = wanted.count(newest, most);
        let mut excess = self.passing.iter().filter(said).count() - count;
        self.passing.retain(|one| {
            let drop = said(&one) && excess > 0;
            excess -= usize::from(drop);
            !drop
        });
        self.gone.retain(|(node, ..)| !unknown(node));
        self.skipped = true;
    }
}

impl Link {
    /// Tells the peer of an event, now, or when it is time.
    pub(super) fn tell(&mut self, passing: &Passing, turn: &mut Turn<'_>) {
        let class = match &passing.event {
            Event::Here(_) if passing.dot.is_none() => Class::Presence,
            Event::Here(_) | Event::Gone { .. } | Event::Subject { .. } => Class::Control,
            Event::Said { .. } if passing.late.is_some() => Class::CatchUp,
            Event::Said { .. } => Class::Live,
        };
        if let Event::Gone { jid, .. } = &passing.event
            && (passing.dot.is_none() || !self.is_ext())
            && !self.announced.contains_key(jid)
        {
            return;
        }
        self.introduce_author(passing, turn);
        for (stanza, dot) in self.stanzas(passing, turn) {
            turn.send(self, class, stanza, dot.as_ref());
        }
    }

    /// What there is to be sent for an event: nothing if the peer is not told of it, or later, and before it the introduction of its author if they have
    /// not been introduced.
    pub(super) fn stanzas(
        &mut self,
        passing: &Passing,
        turn: &Turn<'_>,
    ) -> Vec<(Stanza, Option<Dot>)> {
        let author = passing.event.author();
        let announced = self.announced.contains_key(author);
        if self.pace.holds_back(passing, announced, turn.now.instant) {
            return Vec::new();
        }
        let introduction = match &passing.event {
            Event::Said { .. } | Event::Subject { .. } => self.pace.introduction(author),
            Event::Here(_) | Event::Gone { .. } => None,
        };
        let mut stanzas = Vec::new();
        for one in introduction.iter().chain([passing]) {
            let dot = one.dot.clone();
            let written = self.write(one);
            if let Some(dot) = dot.as_ref().filter(|_| !written.is_empty()) {
                self.was_told(dot, turn.now.instant);
            }
            let written = written.into_iter();
            stanzas.extend(written.map(|stanza| (stanza, dot.clone())));
        }
        stanzas
    }

    /// In which way those are there of whom it is time to tell, and after a silence what was told last.
    pub(super) fn tell_due(&mut self, turn: &mut Turn<'_>) {
        for occupant in self.pace.due(turn.now.instant) {
            let passing = Passing {
                event: Event::Here(occupant),
                dot: None,
                late: None,
            };
            for stanza in self.write(&passing) {
                turn.send(self, Class::Presence, stanza, None);
            }
        }
        self.tell_tail(turn);
    }

    /// Introduces somebody who is there.
    pub(super) fn introduce(
        &mut self,
        occupant: crate::room::elsewhere::Occupant,
        turn: &mut Turn<'_>,
    ) {
        let event = Event::Here(occupant);
        let passing = Passing {
            event,
            dot: None,
            late: None,
        };
        for (stanza, _) in self.stanzas(&passing, turn) {
            turn.send(self, Class::Control, stanza, None);
        }
    }

    /// All of ours leave this link at once.
    pub(super) fn leave_all(&mut self, turn: &mut Turn<'_>) {
        if self.is_ext() {
            let stanza = self.write_own(&Fmuc::default().with(Extension::Leave));
            turn.send(self, Class::Control, stanza, None);
            return self.forget_all();
        }
        // They are known there until the answer comes.
        let all: Vec<_> = self
            .announced
            .iter()
            .map(|(jid, nick)| (jid.clone(), nick.clone()))
            .collect();
        for (jid, nick) in all {
            let stanza = self.write_gone(&jid, &nick, &Parting::default(), None);
            turn.send(self, Class::Control, stanza, None);
        }
    }

    /// Tells the peer what it lacks; the last of it says so if something of it is not there to be told.
    fn catch_up(&mut self, delta: &Delta, turn: &mut Turn<'_>) {
        if self.is_ext() {
            if self.pace.tells_all() {
                for (jid, nick) in &delta.known {
                    self.announced.insert(jid.clone(), nick.clone());
                }
            }
            for range in &delta.gone {
                let fmuc = Fmuc {
                    extensions: self.gone(std::slice::from_ref(range)),
                    ..Fmuc::default()
                };
                let stanza = self.write_own(&fmuc);
                turn.send(self, Class::Control, stanza, None);
            }
        }
        let (mut all, mut skipped) = (Vec::new(), delta.skipped || delta.compares);
        for passing in &delta.passing {
            let stanzas = self.stanzas(passing, turn);
            skipped |= stanzas.is_empty();
            all.extend(stanzas);
        }
        let ends = self.is_ext() && delta.ends && skipped;
        let end = [Extension::Synced, Extension::Crowd(delta.crowd)];
        let apart = self.is_ext() && !delta.cut_off.is_empty();
        let none = all.is_empty();
        if ends
            && !apart
            && let Some((last, _)) = all.last_mut()
        {
            for extension in end.clone() {
                *last = extended(last.clone(), extension);
            }
        }
        for (stanza, dot) in all {
            turn.send(self, Class::CatchUp, stanza, dot.as_ref());
        }
        if apart || (ends && none) {
            let mut fmuc = Fmuc::default();
            for (node, epoch) in &delta.cut_off {
                let (alias, definition) = self.aliases.name(node, *epoch);
                fmuc.extensions.extend(definition);
                fmuc.extensions.push(Extension::Unreach(alias));
            }
            if ends {
                fmuc.extensions.extend(end);
            }
            let stanza = self.write_own(&fmuc);
            turn.send(self, Class::Control, stanza, None);
        }
    }
}

/// An event that was, told once more.
fn repeated(entry: &Entry<Event>) -> Passing {
    Passing {
        event: entry.event.clone(),
        dot: Some(entry.dot.clone()),
        late: entry.event.is_said().then_some(entry.at),
    }
}

/// How much history a room asks for that joins (XEP-0045 §7.2.14).
fn wanted_history(join: &Stanza, now: Timestamp) -> Wanted {
    let x = join.payload().child("x", ns::MUC).map(|x| x.element());
    let history = x.as_ref().and_then(|x| x.child("history", ns::MUC));
    history.map_or_else(Wanted::default, |history| Wanted::read(history, now))
}

/// Characters of markup around what is said: `<message/>`, `<delay/>` and `<fmuc/>` with all that may be in it, without the addresses.
const MARKUP: usize = 300;

/// What a message of history costs on a link, in characters, or somewhat more.
fn envelope(passing: &Passing, peer: &BareJid, room: &Room) -> usize {
    let Event::Said { by, nick, message } = &passing.event else {
        return 0;
    };
    let addresses = 2 * room.jid().as_str().len() + peer.as_str().len() + by.as_str().len();
    message.to_string().chars().count() + addresses + nick.len() + MARKUP
}
