//! The joining side of a link: towards the room that this one has joined (§5.3 of the design).

use std::time::Instant;

use xmpp_core::stanza::Stanza;
use xmpp_core::{BareJid, Jid};

use super::crowd::Via;
use super::event::{Event, Passing};
use super::legacy::{begins_burst, ends_burst};
use super::link::{Link, Speech, extended};
use super::node::{Node, Turn};
use super::settings::{Dialect, Federation, Settings};
use super::{Extension, Fmuc, Hello};
use crate::log::Vector;

mod leaving;
mod outage;
mod ring;

pub(super) use ring::Crossing;

/// The room that this one has joined, or would.
#[derive(Debug)]
pub(super) struct Parent {
    pub(super) link: Link,
    pub(super) state: State,
    /// Which of the rooms in the list it is.
    which: usize,
    /// Tries in a row that came to nothing.
    tries: u32,
    /// How many of them were rejected: each time it is tried on behalf of another occupant.
    rejections: usize,
    /// What has come of the burst: without our extension it counts when it is complete.
    staged: Vec<Stanza>,
    staged_bytes: usize,
    /// How far the peer had everything when it began to tell us what we lack.
    pub(super) promised: Option<Vector>,
    /// It is joined for the first time in its life: what it tells of the time before is history.
    pub(super) first: bool,
    /// It has joined this room instead.
    yielded: bool,
    /// Who is behind it is known, as of some moment: it need not tell of everybody.
    pub(super) whole: bool,
    /// It was joined before a restart, and has not heard of that.
    of_old: bool,
    /// Since when the link is down, and whether anything has come back since.
    lost: Option<Instant>,
    bounced: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nobody is here who would need it.
    Idle,
    /// It was asked.
    Joining { until: Instant },
    /// It tells us what we lack.
    Syncing { until: Instant },
    /// The two are one.
    Joined,
    /// The link is down; `None`: until it comes up.
    Suspect { retry: Option<Instant> },
    /// It was told that nobody is here any more.
    Leaving { until: Instant },
    /// It is asked again then; `None`: when the link comes up.
    Backoff { until: Option<Instant> },
}

/// The most stanzas of a burst that is not complete, and their bytes.
const STAGED_MAX: usize = 10_000;
const STAGED_BYTES_MAX: usize = 8 << 20;

impl Parent {
    fn new(which: usize, room: &BareJid, federation: &Federation, settings: &Settings) -> Parent {
        let peer = federation.parents[which].clone();
        let mut link = Link::new(room, peer, federation, settings);
        link.upward = true;
        Parent {
            link,
            state: State::Idle,
            which,
            tries: 0,
            rejections: 0,
            staged: Vec::new(),
            staged_bytes: 0,
            promised: None,
            first: false,
            yielded: false,
            whole: false,
            of_old: false,
            lost: None,
            bounced: false,
        }
    }

    /// It was joined when this node was stored.
    pub(super) fn was_joined(&mut self) {
        self.of_old = true;
    }

    /// The peer has left, which had joined this room instead.
    pub(super) fn take_back(&mut self, peer: &BareJid) {
        if self.link.peer == *peer {
            self.yielded = false;
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle | State::Backoff { .. })
    }

    /// Whether what happens here goes there at once.
    pub(super) fn is_live(&self) -> bool {
        match self.state {
            State::Joined => true,
            State::Syncing { .. } => self.link.is_ext(),
            _ => false,
        }
    }

    pub(super) fn unstage(&mut self) {
        self.staged.clear();
        self.staged_bytes = 0;
    }

    /// Tells it of an event, now or when it is there.
    pub(super) fn tell(&mut self, passing: &Passing, turn: &mut Turn<'_>) {
        if self.is_live() {
            self.link.trust(turn.now.instant);
            self.link.doubt(passing, turn.now.instant);
            self.link.tell(passing, turn);
            return;
        }
        if self.link.may_extend() {
            self.link.miss(passing, turn.now.instant);
        }
        if !self.link.is_ext()
            && matches!(
                self.state,
                State::Joining { .. }
                    | State::Syncing { .. }
                    | State::Suspect { .. }
                    | State::Leaving { .. }
            )
        {
            self.link.wait_since(passing, turn);
        } else {
            self.link.pace.postpone(passing);
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Joining { until } | State::Syncing { until } | State::Leaving { until } => {
                Some(until)
            }
            State::Suspect { retry: until } | State::Backoff { until } => until,
            State::Joined => self.link.next_timeout(),
            State::Idle => None,
        }
    }
}

impl Node {
    pub(super) fn first_parent(&self) -> Option<Parent> {
        let some = !self.federation.parents.is_empty();
        some.then(|| Parent::new(0, self.room.jid(), &self.federation, &self.settings))
    }

    /// There is somebody now whom the parent has to know of.
    pub(super) fn contribute(&mut self, turn: &mut Turn<'_>) {
        let Some(parent) = self.parent.as_ref().filter(|parent| !parent.yielded) else {
            return;
        };
        match parent.state {
            State::Idle => self.join(turn),
            // A new session; what is still said of the one before does not count, and what was said of it last is lost.
            State::Leaving { .. } if parent.link.is_ext() => self.join_anew(turn),
            _ => {}
        }
    }

    /// Asks the parent (J of the design), if there is anybody for whom.
    fn join(&mut self, turn: &mut Turn<'_>) {
        let knows_us =
            |parent: &Parent| parent.link.is_plain() && !parent.link.announced.is_empty();
        if self.parent.as_ref().is_some_and(knows_us) {
            return self.part(turn);
        }
        let session = self.session(turn.now);
        let fresh = self.parent.as_ref().is_some_and(|parent| !parent.whole);
        if fresh {
            self.crowd.make_stale(&Via::Parent);
        }
        let peer = self.parent.as_ref().map(|parent| &parent.link.peer);
        let crowd = peer.map(|peer| self.crowd.digest_before(&Via::Parent, peer));
        let vector = self.vector();
        let mode = self.federation.mode;
        let rejections = self.parent.as_ref().map_or(0, |parent| parent.rejections);
        let other = rejections % self.crowd.contributed().max(1);
        let mut all = self.crowd.iter().filter(|known| known.via != Via::Parent);
        let first = all.nth(other);
        let first = first.map(|known| (known.occupant.clone(), known.dot.clone()));
        let coming = || {
            self.held
                .coming()
                .map(|(occupant, dot)| (occupant, Some(dot)))
        };
        let Some((occupant, dot)) = first.or_else(coming) else {
            if let Some(parent) = &mut self.parent {
                parent.state = State::Idle;
            }
            return;
        };
        if let Some(dot) = &dot {
            self.held.was_sent(dot);
        }
        let Some(parent) = &mut self.parent else {
            return;
        };
        let known = self.crowd.get(&occupant.jid).is_some();
        let link = &mut parent.link;
        link.begin(session.clone());
        if !link.is_ext() {
            link.forget_all();
            // How they are now is told by joining.
            let here = |jid: &Jid| self.crowd.get(jid).is_some();
            link.no_wait(|event| matches!(event, Event::Here(one) if here(&one.jid)));
        }
        link.pace.introduced(&occupant, turn.now.instant);
        let offered = link.may_extend();
        let join = offered.then(|| {
            Extension::Join(Hello {
                mode,
                session,
                fresh,
                have: link.aliases.tell(&vector),
            })
        });
        let mut stanza = link.write_join(&occupant, dot.as_ref(), join);
        if let Some(crowd) = crowd.filter(|_| offered && known) {
            stanza = extended(stanza, Extension::Crowd(crowd));
        }
        turn.send(link, stanza, dot.as_ref());
        parent.unstage();
        parent.promised = None;
        parent.state = State::Joining {
            until: turn.now.instant + parent.link.timers.join,
        };
    }

    /// A stanza of the parent.
    pub(super) fn heard_from_parent(&mut self, stanza: &Stanza, fmuc: &Fmuc, turn: &mut Turn<'_>) {
        let Some(parent) = &mut self.parent else {
            return;
        };
        if let Some(text) = &fmuc.reject {
            return self.rejected(text.clone(), turn);
        }
        if fmuc.left {
            return self.parent_left(fmuc, turn);
        }
        if let Some(sync) = fmuc.extensions.iter().find_map(|one| match one {
            Extension::Sync { hello, reset, path } => Some((hello, *reset, path)),
            _ => None,
        }) {
            if matches!(parent.state, State::Idle) {
                return self.decline(turn);
            }
            return self.synchronise(sync.0, sync.1, sync.2, fmuc.crowd(), turn);
        }
        if fmuc.extensions.contains(&Extension::Rejoin) {
            return self.told_to_rejoin(turn);
        }
        match parent.state {
            // Of the session before, or it has overtaken the answer.
            State::Joining { .. } if !fmuc.extensions.is_empty() => {}
            // What it speaks shows by its first answer.
            State::Joining { .. }
                if (parent.link.speech != Speech::Ext || parent.link.session.is_empty())
                    && begins_burst(stanza) =>
            {
                if parent.link.about.dialect == Dialect::Ext {
                    return turn.drop(&parent.link.peer, "our extension is not spoken");
                }
                if parent.link.speech == Speech::Unknown {
                    parent.link.speech = Speech::Xep;
                }
                if self.federation.mode == super::Mode::Replica {
                    return self.no_echo(turn);
                }
                let until = turn.now.instant + parent.link.timers.join;
                parent.state = State::Syncing { until };
                self.stage(stanza.clone(), turn);
            }
            State::Syncing { .. } if !parent.link.is_ext() => self.stage(stanza.clone(), turn),
            // It counts this room among those that have joined: it has heard of the join, and not of the leave.
            State::Idle if !fmuc.extensions.is_empty() => self.decline(turn),
            // What was under way when this side began anew.
            State::Joining { .. } | State::Idle | State::Backoff { .. } => {}
            State::Suspect { .. } if !parent.link.is_ext() => {
                self.parent_up(false, turn);
                self.take(&Via::Parent, stanza, fmuc, turn);
            }
            State::Suspect { .. } => {}
            State::Syncing { .. } | State::Joined | State::Leaving { .. } => {
                self.take(&Via::Parent, stanza, fmuc, turn);
                if fmuc.extensions.contains(&Extension::Synced) {
                    self.synchronised(fmuc, turn);
                }
            }
        }
    }

    /// A part of the burst, without our extension: it ends with the subject.
    fn stage(&mut self, stanza: Stanza, turn: &mut Turn<'_>) {
        let Some(parent) = &mut self.parent else {
            return;
        };
        let ends = ends_burst(&stanza);
        parent.staged_bytes += stanza.size();
        if parent.staged.len() >= STAGED_MAX || parent.staged_bytes > STAGED_BYTES_MAX {
            return turn.drop(&parent.link.peer, "the burst is too long");
        }
        parent.staged.push(stanza);
        if !ends {
            return;
        }
        let burst = std::mem::take(&mut parent.staged);
        parent.staged_bytes = 0;
        self.take_burst(burst, turn);
        self.joined(turn);
    }

    /// Both sides have everything.
    pub(super) fn joined(&mut self, turn: &mut Turn<'_>) {
        let Some(parent) = &mut self.parent else {
            return;
        };
        parent.state = State::Joined;
        (parent.tries, parent.rejections) = (0, 0);
        (parent.lost, parent.bounced) = (None, false);
        if let Some(parent) = &self.parent {
            self.write_down_link("parent", &parent.link, turn);
        }
        self.parent_back(turn);
        let Some(parent) = &mut self.parent else {
            return;
        };
        if !parent.link.is_ext() {
            // All others of ours whose coming does not wait to be told; then what has happened since.
            let waiting = parent.link.take_waiting();
            let comes = |jid: &Jid| {
                let mut all = waiting.iter().map(|passing| &passing.event);
                all.any(|event| matches!(event, Event::Here(one) if one.jid == *jid))
            };
            let unknown = self.crowd.iter().filter(|known| known.via != Via::Parent);
            let unknown: Vec<_> = unknown
                .map(|known| &known.occupant)
                .filter(|one| !parent.link.announced.contains_key(&one.jid) && !comes(&one.jid))
                .cloned()
                .collect();
            for occupant in unknown {
                parent.link.introduce(occupant, turn);
            }
            // Another subject than that of the room that was joined is none any more (XEP-0289 §5.1).
            let subject = self.subject.as_ref().map(|subject| &subject.event);
            let stands =
                |event: &Event| !matches!(event, Event::Subject { .. }) || subject == Some(event);
            for passing in waiting.into_iter().filter(|one| stands(&one.event)) {
                parent.link.tell(&passing, turn);
            }
        }
        parent.link.tell_due(turn);
    }

    /// The parent does not know how far this side is.
    fn told_to_rejoin(&mut self, turn: &mut Turn<'_>) {
        let nobody = self.crowd.contributed() == 0 && self.held.coming().is_none();
        let most = self.settings.limits.joins;
        let Some(parent) = self.parent.as_ref().filter(|one| one.link.may_extend()) else {
            return;
        };
        let asked = matches!(parent.state, State::Joining { .. } | State::Backoff { .. });
        let peer = parent.link.peer.clone();
        if asked || !self.door.joins(&peer, most, turn.now.instant) {
            return;
        }
        if !nobody {
            return self.join(turn);
        }
        self.decline(turn);
    }

    /// Nobody is here who would have joined the parent.
    fn decline(&mut self, turn: &mut Turn<'_>) {
        let most = self.settings.limits.refusals;
        let Some(parent) = self.parent.as_ref().filter(|one| one.link.may_extend()) else {
            return;
        };
        let peer = parent.link.peer.clone();
        if self.door.answers(&peer, most, turn.now.instant) {
            let leave = Fmuc::default().with(Extension::Leave);
            let stanza = parent.link.write_own(&leave);
            turn.send(&parent.link, stanza, None);
        }
    }

    /// Who is behind the parent is not what it says: it has to tell of everybody.
    pub(super) fn join_anew(&mut self, turn: &mut Turn<'_>) {
        if let Some(parent) = &mut self.parent {
            parent.whole = false;
            self.join(turn);
        }
    }

    /// Whether this is the room that we have joined, or would.
    pub(super) fn is_parent(&self, peer: &BareJid) -> bool {
        let parent = self.parent.as_ref();
        parent.is_some_and(|parent| parent.link.peer == *peer && !parent.yielded)
    }

    /// The link to a room.
    pub(super) fn via(&self, peer: &BareJid) -> Option<Via> {
        if self.children.contains_key(peer) {
            return Some(Via::Child(peer.clone()));
        }
        self.is_parent(peer).then_some(Via::Parent)
    }
}

/// What makes a stanza one between rooms.
pub(super) fn fmuc_of(stanza: &Stanza) -> Option<Fmuc> {
    let fmuc = stanza.payload().child("fmuc", crate::ns::FMUC)?;
    Fmuc::read(&fmuc.element()).ok()
}
