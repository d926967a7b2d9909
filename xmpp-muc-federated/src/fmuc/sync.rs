//! What one side of a link lacks that the other one has (§5.5 and §5.7 of the design).

mod delta;
mod missing;

use xmpp_core::BareJid;
use xmpp_core::stanza::Stanza;

use super::child;
use super::crowd::Via;
use super::event::{Event, Passing};
use super::link::{Link, Speech};
use super::node::{Node, Turn};
use super::parent::State;
use super::settings::Dialect;
use super::{Extension, Fmuc, Hello};
use crate::log::{NodeId, Reach, Vector};
use crate::room::elsewhere::Parting;
use delta::{Delta, envelope, wanted_history};

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
        let lacks_subject = self.lacks_subject(vector).cloned();
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
            turn.send(link, stanza, None);
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
                link.tell(&subject, turn);
            }
            let crowd = self.crowd.digest_before(&via, peer);
            let synced = Fmuc::default().with(Extension::Synced);
            let stanza = link.write_own(&synced.with(Extension::Crowd(crowd)));
            turn.send(link, stanza, None);
        } else {
            for stanza in link.write_subject(subject.as_ref()) {
                turn.send(link, stanza, None);
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
        let most = self.settings.limits.refusals;
        let Some(parent) = &mut self.parent else {
            return;
        };
        let link = &mut parent.link;
        if link.may_extend() {
            link.speech = Speech::Ext;
        }
        // The answer to a join that was given up, and on behalf of whom nobody is here any more.
        if parent.state == State::Idle {
            if self.door.answers(&link.peer, most, turn.now.instant) {
                let leave = link.write_own(&Fmuc::default().with(Extension::Leave));
                turn.send(link, leave, None);
            }
            return;
        }
        // What was taken for an answer without our extension was of the session before.
        let guessed = link.speech == Speech::Xep && link.about.dialect == Dialect::Auto;
        if guessed && hello.session == link.session {
            link.speech = Speech::Ext;
            let until = turn.now.instant + link.timers.join;
            parent.unstage();
            parent.state = State::Joining { until };
        }
        let link = &mut parent.link;
        if !matches!(parent.state, State::Joining { .. }) || hello.session != link.session {
            return;
        }
        link.speech = Speech::Ext;
        let Some(vector) = link.aliases.told(&hello.have) else {
            return turn.drop(&link.peer.clone(), "too many names");
        };
        link.take_waiting();
        link.told_by_join = None;
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
        self.splits.doubt_nodes(&Via::Parent);
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
        // What is still said of a session that is to be joined anew ends nothing, be it a copy of its end.
        let child = self.children.get_mut(peer);
        if let Some(child) = child.filter(|child| !child.is_recalled()) {
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

    /// All who have joined this room hear by which way it hangs on the root.
    pub(super) fn tell_path(&mut self, turn: &mut Turn<'_>) {
        let path = self.path();
        for child in self.children.values_mut() {
            if !child.link.is_ext() {
                continue;
            }
            if child.state != child::State::Joined {
                // It is told when it joins anew.
                child.link.missed = true;
                continue;
            }
            let fmuc = Fmuc::default().with(Extension::Path(path.clone()));
            turn.send(&child.link, child.link.write_own(&fmuc), None);
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
