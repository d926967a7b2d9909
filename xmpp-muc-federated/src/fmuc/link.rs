//! A link between this room and another one, whichever of the two has joined the other.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use xmpp_core::stanza::{Condition, MessageType, PresenceType, Stanza};
use xmpp_core::xml::Element;
use xmpp_core::{BareJid, Jid};

use super::collision::variants;
use super::event::{Event, Passing};
use super::guard::Bucket;
use super::node::Turn;
use super::pace::Pace;
use super::reference::Withheld;
use super::roster::Roster;
use super::settings::{Bandwidth, Dialect, Federation, Peer, PresenceLevel, Settings, Timers};
use super::{Aliases, Dot, Extension, Fmuc, base36};
use crate::log::Range;
use crate::ns;
use crate::room::elsewhere::{Occupant, Parting};
use crate::room::{Affiliation, Role, stamped, status};

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
    /// Stanzas of which the event has no name yet, and when they came: where streams overtake each other the one that gives it may come later.
    nameless: VecDeque<(Instant, Stanza)>,
    /// The ids that it does not know.
    pub(super) withheld: Withheld,
    /// The one on whose behalf it was joined.
    pub(super) named: Option<Jid>,
    /// Whom the peer knows to be on this side, and under which nick.
    pub(super) announced: Roster,
    /// Who is on the other side, and under which nick there: only without our extension.
    pub(super) theirs: Roster,
    /// It is this room that has joined.
    pub(super) upward: bool,
    /// In which way somebody is there was told at that time, or would have been: it may not have arrived.
    pub(super) unsure: BTreeMap<Jid, Instant>,
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

/// Stanzas that wait for the name of their event.
const NAMELESS_MAX: usize = 64;

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
            nameless: VecDeque::new(),
            withheld: Withheld::default(),
            named: None,
            announced: Roster::default(),
            theirs: Roster::default(),
            upward: false,
            unsure: BTreeMap::new(),
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
        self.nameless.clear();
        self.pace.take_skipped();
    }

    /// Keeps a stanza for when the name of its event is given.
    pub(super) fn keep_nameless(&mut self, stanza: &Stanza, now: Instant) {
        self.nameless.push_back((now, stanza.clone()));
        if self.nameless.len() > NAMELESS_MAX {
            self.nameless.pop_front();
        }
    }

    /// What was kept, and is not of so long ago that it may be of another session.
    pub(super) fn take_nameless(&mut self, now: Instant) -> Vec<Stanza> {
        let since = self.timers.join;
        let kept = self.nameless.drain(..);
        kept.filter(|(at, _)| *at + since > now)
            .map(|(_, stanza)| stanza)
            .collect()
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

    /// What was sent so long ago has arrived, or the link would have been down before now.
    pub(super) fn trust(&mut self, now: Instant) {
        let dead = self.timers.dead;
        self.unsure.retain(|_, at| *at + dead > now);
    }

    /// Keeps this for when the peer is there. The oldest that is said makes room; that somebody is there or gone does not.
    pub(super) fn wait(&mut self, passing: Passing) {
        if let Event::Here(now) = &passing.event {
            // Of several ways in which somebody is there the last one counts.
            let same = |one: &&mut Passing| matches!(&one.event, Event::Here(before) if before.jid == now.jid);
            let last = self.outbox.iter_mut().rev().find(same);
            if let Some(Passing {
                event: Event::Here(before),
                ..
            }) = last
                && before.stands_as(now)
            {
                self.waiting -= before.presence.size();
                self.waiting += now.presence.size();
                *before = now.clone();
                return;
            }
        }
        self.waiting += passing.event.size();
        self.outbox.push_back(passing);
        self.make_room();
    }

    /// The same of what happens now: whoever says something is told to have said it now.
    pub(super) fn wait_since(&mut self, passing: &Passing, turn: &Turn<'_>) {
        let mut passing = passing.clone();
        if passing.event.is_said() {
            passing.late.get_or_insert(turn.now.utc);
        }
        self.wait(passing);
    }

    /// Keeps this, which was sent and has come back, before what has not been sent.
    pub(super) fn wait_again(&mut self, passing: Passing) {
        self.waiting += passing.event.size();
        self.outbox.insert(self.came_back, passing);
        self.came_back += 1;
        self.make_room();
    }

    fn make_room(&mut self) {
        while self.outbox.len() > self.most.0 || self.waiting > self.most.1 {
            let said = self.outbox.iter().position(|one| one.event.is_said());
            let at = said.unwrap_or(0);
            self.came_back -= usize::from(at < self.came_back);
            let oldest = self.outbox.remove(at);
            self.waiting -= oldest.map_or(0, |oldest| oldest.event.size());
        }
    }

    /// Events of this kind do not wait any more.
    pub(super) fn no_wait(&mut self, these: impl Fn(&Event) -> bool) {
        self.outbox.retain(|one| !these(&one.event));
        self.waiting = self.outbox.iter().map(|one| one.event.size()).sum();
    }

    /// How many events wait.
    pub(super) fn waiting(&self) -> usize {
        self.outbox.len()
    }

    /// That somebody is there has been told in another way.
    pub(super) fn wait_no_more(&mut self, jid: &Jid) {
        let told = |one: &Passing| matches!(&one.event, Event::Here(one) if one.jid == *jid);
        let before = self.outbox.iter().take(self.came_back);
        self.came_back -= before.filter(|one| told(one)).count();
        self.outbox.retain(|one| !told(one));
        self.waiting = self.outbox.iter().map(|one| one.event.size()).sum();
    }

    /// All that has waited.
    pub(super) fn take_waiting(&mut self) -> VecDeque<Passing> {
        (self.waiting, self.came_back) = (0, 0);
        std::mem::take(&mut self.outbox)
    }

    /// The stanzas that tell the peer of an event. `None` of them if it has no need to know.
    pub(super) fn write(&mut self, passing: &Passing) -> Vec<Stanza> {
        match &passing.event {
            Event::Here(occupant) => self.write_here(occupant, passing),
            Event::Gone { jid, nick, parting } => {
                let nick = self.announced.remove(jid).unwrap_or_else(|| nick.clone());
                vec![self.write_gone(jid, &nick, parting, passing.dot.as_ref())]
            }
            Event::Said { message, .. } => vec![self.write_message(message, passing)],
            Event::Subject { message, stamp, .. } => {
                let message = self.write_message(message, passing);
                let changed = Extension::Changed(stamp.at, stamp.count);
                vec![match self.is_ext() {
                    true => extended(message, changed),
                    false => message,
                }]
            }
        }
    }

    fn write_here(&mut self, occupant: &Occupant, passing: &Passing) -> Vec<Stanza> {
        let jid = &occupant.jid;
        let nick = &self.nick_there(jid, &occupant.nick);
        let before = self.announced.get(jid);
        if self.speech == Speech::Openfire {
            // What they say of themselves it passes over, and when the only one goes who is here it takes the room for gone (O17, O18 of the design).
            let sole = self.upward && self.announced.len() == 1;
            if before.is_some_and(|before| before == nick || sole) {
                return Vec::new();
            }
        }
        let before = self.announced.insert(jid.clone(), nick.clone());
        let mut stanzas = Vec::with_capacity(2);
        // Without our extension a change of nick is two presences (XEP-0045 §7.6).
        if let Some(before) = before.filter(|before| before != nick && !self.is_ext()) {
            let item = Element::new("item", ns::USER).with_attr("nick", nick);
            let x = Element::new("x", ns::USER)
                .with_child(item)
                .with_child(status(303));
            let gone = Stanza::presence(PresenceType::Unavailable).with_child(&x);
            let fmuc = self.fmuc(jid, None);
            stanzas.push(self.addressed(gone, &before, fmuc));
        }
        let fmuc = self.fmuc(jid, passing.dot.as_ref());
        let mut presence = occupant.presence.clone();
        presence.set_payload(self.strip_presence(&presence));
        if let Some(x) = standing(occupant) {
            presence = presence.with_child(&x);
        }
        stanzas.push(self.addressed(presence, nick, fmuc));
        stanzas
    }

    /// Under which nick one of ours is known there: another one, if theirs is that of one over there (N6 of the design).
    fn nick_there(&self, jid: &Jid, nick: &str) -> String {
        if self.is_ext() || self.theirs.rival(jid, nick).is_none() {
            return nick.to_owned();
        }
        let free = |nick: &String| {
            self.theirs.rival(jid, nick).is_none() && self.announced.rival(jid, nick).is_none()
        };
        let bare = jid.to_bare();
        let mut all = variants(nick, &bare, ALIAS_MAX);
        all.find(free).unwrap_or_else(|| nick.to_owned())
    }

    pub(super) fn write_gone(
        &mut self,
        jid: &Jid,
        nick: &str,
        parting: &Parting,
        dot: Option<&Dot>,
    ) -> Stanza {
        let fmuc = self.fmuc(jid, dot);
        let silent = || Stanza::presence(PresenceType::Unavailable);
        let mut presence = parting.farewell.clone().unwrap_or_else(silent);
        presence.set_payload(self.strip_presence(&presence));
        if let Some(x) = parting_item(parting) {
            presence = presence.with_child(&x);
        }
        self.addressed(presence, nick, fmuc)
    }

    fn write_message(&mut self, message: &Stanza, passing: &Passing) -> Stanza {
        let author = passing.event.author();
        let room = Jid::from(&self.room);
        // What another room has for itself is this one's to say where nobody knows of others.
        let author = match author.is_bare() && !self.is_ext() {
            true => &room,
            false => author,
        };
        let fmuc = self.fmuc(author, passing.dot.as_ref());
        let nick = self
            .announced
            .get(author)
            .map_or(passing.event.nick(), String::as_str);
        let nick = nick.to_owned();
        let mut stanza = message.clone().with_payload(self.strip(message));
        stanza = self.withheld.outward(stanza);
        if let Some((id, dot)) = stanza.id().zip(passing.dot.as_ref())
            && self.is_ext()
        {
            // The peer finds the name of the event by itself.
            let named = id == id_of(dot);
            if named || (!self.bandwidth.keep_ids && is_long(id)) {
                self.withheld.note(id, dot);
                stanza.set_id(None);
            }
        }
        if let Some(at) = passing.late {
            stanza = stamped(&self.room, &stanza, at);
        }
        self.addressed(stanza, &nick, fmuc)
    }

    /// What the peer says is asked of it by this node: a kick, or another role, of one who is behind it.
    pub(super) fn write_request(
        &mut self,
        jid: &Jid,
        nick_there: &str,
        presence: Stanza,
        parting: &Parting,
    ) -> Stanza {
        let mut fmuc = Fmuc::from(jid.clone());
        if let Some(actor) = parting.actor.as_ref().filter(|_| self.is_ext())
            && let Some(by) = &actor.jid
        {
            fmuc = fmuc.with(Extension::Act {
                by: by.clone(),
                nick: actor.nick.clone(),
            });
        }
        self.addressed(presence, nick_there, fmuc)
    }

    /// A private message to one behind the peer.
    pub(super) fn write_private(&self, by: &Jid, nick: &str, to: &str, message: &Stanza) -> Stanza {
        let nick = self.announced.get(by).map_or(nick, String::as_str);
        let fmuc = Fmuc::from(by.clone());
        let stanza = message.clone().with_payload(self.strip(message));
        let stanza = self.addressed(stanza, nick, fmuc);
        stanza.with_to(at(&self.peer, to))
    }

    /// Somebody behind the peer, as they are known here.
    pub(super) fn write_of_theirs(
        &mut self,
        occupant: &Occupant,
        nick: &str,
        presence: Stanza,
    ) -> Stanza {
        let fmuc = self.fmuc(&occupant.jid, None);
        let presence = presence.with_children(standing(occupant).as_ref());
        self.addressed(presence, nick, fmuc)
    }

    /// From room to room, of nobody in particular.
    pub(super) fn write_own(&self, fmuc: &Fmuc) -> Stanza {
        Stanza::presence(PresenceType::Available)
            .with_from(Jid::from(&self.room))
            .with_to(Jid::from(&self.peer))
            .with_child(&fmuc.to_element())
    }

    /// The subject, also if there is none: the end of a burst without our extension.
    pub(super) fn write_subject(&mut self, subject: Option<&Passing>) -> Vec<Stanza> {
        match subject {
            Some(subject) => self.write(subject),
            None => {
                let none = Stanza::message(MessageType::Groupchat)
                    .with_from(Jid::from(&self.room))
                    .with_to(Jid::from(&self.peer))
                    .with_child(&Element::new("subject", xmpp_core::xml::ns::CLIENT));
                vec![none.with_child(&Fmuc::from(Jid::from(&self.room)).to_element())]
            }
        }
    }

    /// The first stanza to a room that is to be joined, on behalf of the first occupant (A1 of the design).
    pub(super) fn write_join(
        &mut self,
        occupant: &Occupant,
        dot: Option<&Dot>,
        join: Option<Extension>,
    ) -> Stanza {
        self.named = Some(occupant.jid.clone());
        let nick = self.nick_there(&occupant.jid, &occupant.nick);
        self.announced.insert(occupant.jid.clone(), nick.clone());
        self.wait_no_more(&occupant.jid);
        self.unsure.remove(&occupant.jid);
        let mut fmuc = Fmuc::from(occupant.jid.clone());
        if let Some(join) = join {
            fmuc = fmuc.with(join);
            if let Some(dot) = dot {
                fmuc.extensions.extend(self.aliases.write(dot));
            }
        }
        let mut muc = Element::new("x", ns::MUC);
        let most = self.bandwidth.history.to_string();
        muc.push(Element::new("history", ns::MUC).with_attr("maxstanzas", &most));
        let user = standing(occupant).unwrap_or_else(|| {
            Element::new("x", ns::USER).with_child(Element::new("item", ns::USER))
        });
        let mut presence = occupant.presence.clone();
        presence.set_payload(self.strip_presence(&presence));
        presence
            .with_from(at(&self.room, &nick))
            .with_to(at(&self.peer, &nick))
            .with_id(None)
            .with_child(&fmuc.to_element())
            .with_child(&muc)
            .with_child(&user)
    }

    /// `<fmuc/>` on behalf of somebody, and by which event; with the events before it of which the peer was not told.
    fn fmuc(&mut self, jid: &Jid, dot: Option<&Dot>) -> Fmuc {
        let mut fmuc = Fmuc::from(jid.clone());
        if let Some(dot) = dot.filter(|_| self.speech == Speech::Ext) {
            let skipped = self.pace.take_skipped();
            fmuc.extensions = self.gone(&skipped);
            fmuc.extensions.extend(self.aliases.write(dot));
        }
        fmuc
    }

    /// `<gone/>` for these events.
    pub(super) fn gone(&mut self, ranges: &[Range]) -> Vec<Extension> {
        let mut extensions = Vec::new();
        for (node, epoch, seqs) in ranges.iter().filter(|(.., seqs)| !seqs.is_empty()) {
            let (alias, definition) = self.aliases.name(node, *epoch);
            extensions.extend(definition);
            extensions.push(Extension::Gone(alias, seqs.clone()));
        }
        extensions
    }

    fn addressed(&self, stanza: Stanza, nick: &str, fmuc: Fmuc) -> Stanza {
        stanza
            .with_from(at(&self.room, nick))
            .with_to(Jid::from(&self.peer))
            .with_child(&fmuc.to_element())
    }

    /// What somebody says of themselves, if this link tells it.
    fn strip_presence(&self, presence: &Stanza) -> xmpp_core::stanza::Payload {
        match self.pace.is_full() {
            true => self.strip(presence),
            false => xmpp_core::stanza::Payload::default(),
        }
    }

    /// What of it goes over this link.
    fn strip(&self, stanza: &Stanza) -> xmpp_core::stanza::Payload {
        let payloads = self.bandwidth.payloads;
        let drops = |child: &xmpp_core::stanza::Child<'_>| !payloads.pass(child.name(), child.ns());
        stanza.payload().without(drops)
    }
}

/// Who has named all is not asked to do so again for so long.
const RENEWAL: Duration = Duration::from_secs(600);

const MINUTE: Duration = Duration::from_secs(60);

/// The most characters of an id that goes over a narrow link as it is (B4 of the design).
const ID_MAX: usize = 12;
/// The most bytes of a nick that is given to one of ours over there.
pub(super) const ALIAS_MAX: usize = 1000;

fn is_long(id: &str) -> bool {
    id.chars().count() > ID_MAX
}

/// The stanza with one more of our elements in its `<fmuc/>`.
pub(super) fn extended(stanza: Stanza, extension: Extension) -> Stanza {
    let fmuc = stanza.payload().child("fmuc", ns::FMUC);
    let fmuc = fmuc.map(|fmuc| fmuc.element().with_children([extension.to_element()]));
    let payload = stanza.payload().without(|child| child.is("fmuc", ns::FMUC));
    let stanza = stanza.with_payload(payload);
    match fmuc {
        Some(fmuc) => stanza.with_child(&fmuc),
        None => stanza,
    }
}

/// `room@service/nick`; the room itself for what is no nick.
pub(super) fn at(room: &BareJid, nick: &str) -> Jid {
    match room.with_resource(nick) {
        Ok(address) => Jid::from(&address),
        Err(_) => Jid::from(room),
    }
}

/// The id of a message that has come without one: the name of its event.
pub(super) fn id_of(dot: &Dot) -> String {
    let (epoch, seq) = (base36::write(dot.epoch), base36::write(dot.seq));
    let digest = Sha256::digest(dot.node.as_str());
    let node = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    format!("{}.{epoch}.{seq}", base36::write(u64::from(node)))
}

/// Affiliation and role of one who is there, as far as they are not those of anybody: a peer takes those for granted.
fn standing(occupant: &Occupant) -> Option<Element> {
    let mut item = Element::new("item", ns::USER);
    if occupant.affiliation != Affiliation::None {
        item.set_attr("affiliation", occupant.affiliation.name());
    }
    if occupant.role != Role::Participant {
        item.set_attr("role", occupant.role.name());
    }
    let told = !item.attributes().is_empty();
    told.then(|| Element::new("x", ns::USER).with_child(item))
}

/// How somebody goes, if there is anything to say of it.
pub(super) fn parting_item(parting: &Parting) -> Option<Element> {
    if parting.codes.is_empty() && parting.reason.is_none() && parting.actor.is_none() {
        return None;
    }
    let mut item = Element::new("item", ns::USER).with_attr("role", Role::None.name());
    if let Some(actor) = &parting.actor {
        item.push(Element::new("actor", ns::USER).with_attr("nick", &actor.nick));
    }
    if let Some(reason) = &parting.reason {
        item.push(Element::new("reason", ns::USER).with_text(reason));
    }
    let codes = parting.codes.iter().copied().map(status);
    Some(
        Element::new("x", ns::USER)
            .with_child(item)
            .with_children(codes),
    )
}

/// Why a private message does not go over a link (XEP-0289 as Openfire has it shows them to all).
pub(super) const NOT_PRIVATE: Condition = Condition::FeatureNotImplemented;
