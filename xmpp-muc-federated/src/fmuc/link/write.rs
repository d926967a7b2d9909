//! The stanzas that tell a peer what happens.

use sha2::{Digest as _, Sha256};

use xmpp_core::stanza::{Condition, MessageType, PresenceType, Stanza};
use xmpp_core::xml::Element;
use xmpp_core::{BareJid, Jid};

use super::{Link, Speech};
use crate::fmuc::collision::variants;
use crate::fmuc::event::{Event, Passing};
use crate::fmuc::{Extension, Fmuc, base36};
use crate::log::{Dot, Range};
use crate::ns;
use crate::room::elsewhere::{Occupant, Parting};
use crate::room::{Affiliation, Role, stamped, status};

impl Link {
    /// The stanzas that tell the peer of an event. `None` of them if it has no need to know.
    pub(in crate::fmuc) fn write(&mut self, passing: &Passing) -> Vec<Stanza> {
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

    pub(in crate::fmuc) fn write_gone(
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
    pub(in crate::fmuc) fn write_request(
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
    pub(in crate::fmuc) fn write_private(
        &self,
        by: &Jid,
        nick: &str,
        to: &str,
        message: &Stanza,
    ) -> Stanza {
        let nick = self.announced.get(by).map_or(nick, String::as_str);
        let fmuc = Fmuc::from(by.clone());
        let stanza = message.clone().with_payload(self.strip(message));
        let stanza = self.addressed(stanza, nick, fmuc);
        stanza.with_to(at(&self.peer, to))
    }

    /// Somebody behind the peer, as they are known here.
    pub(in crate::fmuc) fn write_of_theirs(
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
    pub(in crate::fmuc) fn write_own(&self, fmuc: &Fmuc) -> Stanza {
        Stanza::presence(PresenceType::Available)
            .with_from(Jid::from(&self.room))
            .with_to(Jid::from(&self.peer))
            .with_child(&fmuc.to_element())
    }

    /// The subject, also if there is none: the end of a burst without our extension.
    pub(in crate::fmuc) fn write_subject(&mut self, subject: Option<&Passing>) -> Vec<Stanza> {
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
    pub(in crate::fmuc) fn write_join(
        &mut self,
        occupant: &Occupant,
        dot: Option<&Dot>,
        join: Option<Extension>,
    ) -> Stanza {
        self.named = Some(occupant.jid.clone());
        self.named_by = dot.cloned();
        let nick = self.nick_there(&occupant.jid, &occupant.nick);
        self.announced.insert(occupant.jid.clone(), nick.clone());
        self.wait_no_more(&occupant.jid);
        // The join before this one may have told nobody.
        self.unsure.extend(self.told_by_join.take());
        self.told_by_join = self.unsure.remove_entry(&occupant.jid);
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
    pub(in crate::fmuc) fn gone(&mut self, ranges: &[Range]) -> Vec<Extension> {
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

/// The most characters of an id that goes over a narrow link as it is (B4 of the design).
const ID_MAX: usize = 12;

/// The most bytes of a nick that is given to one of ours over there.
pub(in crate::fmuc) const ALIAS_MAX: usize = 1000;

fn is_long(id: &str) -> bool {
    id.chars().count() > ID_MAX
}

/// The stanza with one more of our elements in its `<fmuc/>`.
pub(in crate::fmuc) fn extended(stanza: Stanza, extension: Extension) -> Stanza {
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
pub(in crate::fmuc) fn at(room: &BareJid, nick: &str) -> Jid {
    match room.with_resource(nick) {
        Ok(address) => Jid::from(&address),
        Err(_) => Jid::from(room),
    }
}

/// The id of a message that has come without one: the name of its event.
pub(in crate::fmuc) fn id_of(dot: &Dot) -> String {
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
pub(in crate::fmuc) fn parting_item(parting: &Parting) -> Option<Element> {
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
pub(in crate::fmuc) const NOT_PRIVATE: Condition = Condition::FeatureNotImplemented;
