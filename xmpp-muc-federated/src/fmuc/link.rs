//! A link between this room and another one, whichever of the two has joined the other.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use xmpp_core::stanza::Stanza;
use xmpp_core::{BareJid, Jid};

use super::event::{Event, Passing};
use super::guard::Bucket;
use super::pace::Pace;
use super::reference::Withheld;
use super::roster::Roster;
use super::settings::{Bandwidth, Dialect, Federation, Peer, PresenceLevel, Settings, Timers};
use super::{Aliases, Fmuc};
use crate::log::Dot;

mod nameless;
mod outbox;
mod tail;
mod write;

use nameless::Nameless;
pub(super) use write::{ALIAS_MAX, NOT_PRIVATE, at, extended, id_of, parting_item};

/// What there is of a link as long as its room has to do with the peer.
#[derive(Debug)]
pub(super) struct Link {
    /// This room.
    room: BareJid,
    pub(super) peer: BareJid,
    /// What is so for the peer.
    pub(super) about: Peer,
    pub(super) timers: Timers,
    pub(super) bandwidth: Bandwidth,
    pub(super) speech: Speech,
    /// The name of the session, of our extension.
    pub(super) session: String,
    pub(super) aliases: Aliases,
    /// What of those who are there it is told, and was not.
    pub(super) pace: Pace,
    /// The ids that it does not know.
    pub(super) withheld: Withheld,
    /// The one on whose behalf it was joined.
    pub(super) named: Option<Jid>,
    /// And by which event.
    pub(super) named_by: Option<Dot>,
    /// Whom the peer knows to be on this side, and under which nick.
    pub(super) announced: Roster,
    /// Who is on the other side, and under which nick there: only without our extension.
    pub(super) theirs: Roster,
    /// Events that have come before their names.
    pub(super) nameless: Nameless,
    /// It is this room that has joined.
    pub(super) upward: bool,
    /// In which way somebody is there was told at that time, or would have been: it may not have arrived.
    pub(super) unsure: BTreeMap<Jid, Instant>,
    /// The one of them of whom the join tells that has no answer yet.
    pub(super) told_by_join: Option<(Jid, Instant)>,
    /// It has told of somebody whom one hears of by another way: there is a ring of rooms, and no side knows who is on the other one.
    pub(super) ringed: bool,
    /// When it was last found that one side does not know who is on the other one.
    renewed: Option<Instant>,
    /// Something has happened while it was down.
    pub(super) missed: bool,
    /// What waits for it to be there (again): only while our extension is not spoken, which finds out what is missing.
    outbox: VecDeque<Passing>,
    waiting: usize,
    /// How many of them have come back: the first.
    came_back: usize,
    most: (usize, usize),
    /// What it may say.
    pub(super) heard: Bucket,
    /// Until when it is not heard, since it has said too much.
    pub(super) silenced: Option<Instant>,
    /// What may be told to it once more.
    pub(super) repeated: Bucket,
    /// Its streams acknowledge what they carry (XEP-0198).
    reliable: bool,
    tail: tail::Tail,
    /// How often it has asked for something in the minute that began then.
    asked: Option<(Instant, u32)>,
}

/// What the peer speaks, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speech {
    /// It has not said anything yet.
    Unknown,
    /// Our extension.
    Ext,
    /// XEP-0289 alone.
    Xep,
    /// XEP-0289 as Openfire has it.
    Openfire,
}

impl Link {
    /// A link to a peer of which nothing is known but what the configuration says.
    pub(super) fn new(
        room: &BareJid,
        peer: BareJid,
        federation: &Federation,
        settings: &Settings,
    ) -> Link {
        let about = settings.peer(&peer);
        let profile = federation.link(&about);
        let limits = &settings.limits;
        let bandwidth = profile.bandwidth();
        let presence = match about.dialect {
            // It passes over them (O17 of the design).
            Dialect::Openfire => PresenceLevel::Joins,
            _ => about.presence.unwrap_or(bandwidth.presence),
        };
        Link {
            room: room.clone(),
            peer,
            timers: profile.timers(),
            bandwidth,
            speech: match about.dialect {
                Dialect::Auto | Dialect::Ext => Speech::Unknown,
                Dialect::Xep => Speech::Xep,
                Dialect::Openfire => Speech::Openfire,
            },
            about,
            session: String::new(),
            aliases: Aliases::new(),
            pace: Pace::new(presence, bandwidth.interval),
            withheld: Withheld::default(),
            named: None,
            named_by: None,
            announced: Roster::default(),
            theirs: Roster::default(),
            upward: false,
            unsure: BTreeMap::new(),
            told_by_join: None,
            ringed: false,
            renewed: None,
            missed: false,
            outbox: VecDeque::new(),
            waiting: 0,
            came_back: 0,
            most: (limits.outbox, limits.outbox_bytes),
            heard: Bucket::default(),
            silenced: None,
            repeated: Bucket::default(),
            nameless: Nameless::default(),
            reliable: false,
            tail: tail::Tail::default(),
            asked: None,
        }
    }

    /// Notes that it asks for something. Whether it may, so many times in a minute.
    pub(super) fn asked(&mut self, most: u32, now: Instant) -> bool {
        let (since, count) = match self.asked {
            Some((since, count)) if now < since + MINUTE => (since, count),
            _ => (now, 0),
        };
        self.asked = Some((since, count.saturating_add(1)));
        count < most
    }

    /// One side does not know who is on the other one. Whether that one is to name all, once more: not if it has just done so, for nothing would come of it.
    pub(super) fn may_renew(&mut self, now: Instant) -> bool {
        let may = !self.ringed && self.renewed.is_none_or(|at| at + RENEWAL <= now);
        if may {
            self.renewed = Some(now);
        }
        may
    }

    /// Whether our extension may be offered, or is spoken.
    pub(super) fn may_extend(&self) -> bool {
        matches!(self.speech, Speech::Unknown | Speech::Ext)
    }

    /// Whether the peer is known to speak XEP-0289 and nothing else.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self.speech, Speech::Xep | Speech::Openfire)
    }

    pub(super) fn is_ext(&self) -> bool {
        self.speech == Speech::Ext
    }

    /// A new session begins: no name of the one before means anything.
    pub(super) fn begin(&mut self, session: String) {
        self.session = session;
        self.missed = false;
        self.ringed = false;
        self.aliases = Aliases::new();
        self.tail = tail::Tail::default();
        self.nameless.clear();
        self.pace.take_skipped();
    }

    /// Events that have come before their names, and have them now. What came longer ago than a join may take is of no session of now.
    pub(super) fn take_named(&mut self, now: Instant) -> Vec<(Stanza, Fmuc, Dot)> {
        self.nameless.named(&self.aliases, self.timers.join, now)
    }

    /// The peer knows nobody on this side, but perhaps the one on whose behalf it was joined.
    pub(super) fn introduce_anew(&mut self) {
        self.pace.forget(self.named.as_ref());
        self.announced
            .retain(|jid| Some(jid) == self.named.as_ref());
    }

    /// The peer has nothing to do with this room any more.
    pub(super) fn forget_all(&mut self) {
        self.named = None;
        self.introduce_anew();
    }

    /// Takes note of something that is not told now: the peer will say what it lacks.
    pub(super) fn miss(&mut self, passing: &Passing, now: Instant) {
        self.missed = true;
        self.doubt(passing, now);
    }

    /// Takes note that somebody is there in another way: nothing tells the peer that it has missed that.
    pub(super) fn doubt(&mut self, passing: &Passing, now: Instant) {
        if passing.dot.is_none()
            && let Event::Here(occupant) = &passing.event
        {
            self.unsure.insert(occupant.jid.clone(), now);
        }
    }

    /// The link is down: what each side knows of the other one has to be found out anew.
    pub(super) fn lose(&mut self, now: Instant) {
        self.renewed = None;
        self.trust(now);
    }

    /// What was sent so long ago has arrived, or the link would have been down before now.
    pub(super) fn trust(&mut self, now: Instant) {
        let dead = self.timers.dead;
        self.unsure.retain(|_, at| *at + dead > now);
    }
}

/// Who has named all is not asked to do so again for so long.
const RENEWAL: Duration = Duration::from_secs(600);

const MINUTE: Duration = Duration::from_secs(60);
