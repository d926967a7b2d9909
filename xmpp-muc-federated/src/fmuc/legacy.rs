//! Peers without our extension: XEP-0289 alone, and as Openfire has it (§2 and §5.7 of the design).
//!
//! Nothing that they say has a name: what comes of them is named here, as an event of this node, so that all who speak our extension know it like any other.
//! What they have missed they do not know, and what this side has missed cannot be asked for: after an outage all of ours leave, and join anew.

mod burst;
mod openfire;
mod rejoin;

use xmpp_core::stanza::{PresenceType, Stanza};
use xmpp_core::{BareJid, Jid};

pub(super) use self::burst::{begins_burst, ends_burst};
use super::crowd::Via;
use super::dedupe::Keys;
use super::event::{Event, Passing};
use super::link::{Link, id_of};
use super::local::is_fleeting;
use super::node::{Node, Turn};
use super::receive::{occupant, said_at};
use crate::room::elsewhere::Occupant;

impl Node {
    /// Whether a message was heard before; it was from now on.
    pub(super) fn was_heard(
        &mut self,
        peer: &BareJid,
        author: &Jid,
        nick: &str,
        stanza: &Stanza,
        turn: &Turn<'_>,
    ) -> bool {
        let (limits, now) = (self.settings.limits, turn.now);
        let names = [author.as_str(), nick];
        let keys = Keys::of(peer.as_str(), &names, stanza, said_at(stanza), now.utc);
        self.heard
            .again(keys, limits.dedupe, limits.dedupe_age, now.instant)
    }

    /// Notes what others have said than those behind the room that was joined, which may tell it as its history.
    fn note(&mut self, passing: &Passing, turn: &Turn<'_>) {
        let Some(parent) = self.parent.as_ref().filter(|parent| !parent.link.is_ext()) else {
            return;
        };
        let Event::Said { by, nick, message } = &passing.event else {
            return;
        };
        let nick = parent.link.announced.get(by).unwrap_or(nick);
        let names = [by.as_str(), nick.as_str()];
        let (limits, now) = (self.settings.limits, turn.now);
        let keys = Keys::of(
            parent.link.peer.as_str(),
            &names,
            message,
            passing.late,
            now.utc,
        );
        self.heard
            .again(keys, limits.dedupe, limits.dedupe_age, now.instant);
    }

    /// What has come by a link without our extension is named here; who is behind it is noted.
    pub(super) fn name(&mut self, via: &Via, passing: &Passing, turn: &mut Turn<'_>) -> Passing {
        let mut passing = passing.clone();
        self.name_of_plain(via, &mut passing, turn);
        // As those have it who speak our extension: whoever does not finds it by nothing else, also if it comes back.
        if let (Event::Said { message, .. } | Event::Subject { message, .. }, Some(dot)) =
            (&mut passing.event, &passing.dot)
            && message.id().is_none()
        {
            std::sync::Arc::make_mut(message).set_id(Some(&*id_of(dot)));
        }
        if *via != Via::Parent {
            self.note(&passing, turn);
        }
        passing
    }

    fn name_of_plain(&mut self, via: &Via, passing: &mut Passing, turn: &Turn<'_>) {
        let author = passing.event.author().clone();
        let there = self
            .crowd
            .get(&author)
            .map(|known| known.nick_there.clone());
        let Some(link) = self.link(via).filter(|link| !link.is_ext()) else {
            return;
        };
        let lasts = match (&passing.event, there) {
            (Event::Here(occupant), Some(there)) => {
                link.theirs.insert(occupant.jid.clone(), there);
                true
            }
            (Event::Gone { jid, .. }, _) => {
                link.theirs.remove(jid);
                true
            }
            (Event::Said { message, .. }, _) => !is_fleeting(message),
            _ => true,
        };
        if passing.dot.is_none() && lasts {
            let dot = self.dot(turn.now);
            if let Event::Here(_) = &passing.event
                && let Some(known) = self.crowd.get_mut(&author)
            {
                known.dot = Some(dot.clone());
            }
            passing.dot = Some(dot);
        }
    }

    /// One of ours whose nick is that of one over there gets another one there.
    pub(super) fn avoid(&mut self, via: &Via, jid: &Jid, turn: &mut Turn<'_>) {
        let Some(link) = self.link(via).filter(|link| link.is_plain()) else {
            return;
        };
        let Some(nick) = link.theirs.get(jid).cloned() else {
            return;
        };
        let rival = link.announced.rival(jid, &nick).cloned();
        let rival = rival.and_then(|rival| self.crowd.get(&rival));
        if let Some(occupant) = rival.map(|rival| rival.occupant.clone())
            && let Some(link) = self.link(via)
        {
            link.reintroduce(occupant, turn);
        }
    }
}

impl Link {
    /// Those of ours who would be unknown there say something: they are introduced before.
    pub(super) fn introduce_author(&mut self, passing: &Passing, turn: &mut Turn<'_>) {
        if let Event::Said { by, nick, .. } = &passing.event
            && !self.is_ext()
            && !self.announced.contains_key(by)
        {
            let presence = Stanza::presence(PresenceType::Available);
            self.reintroduce(occupant(by.clone(), nick, &presence), turn);
        }
    }

    /// Tells the peer of somebody now, whatever it has been told of them.
    fn reintroduce(&mut self, occupant: Occupant, turn: &mut Turn<'_>) {
        let passing = Passing {
            event: Event::Here(occupant),
            dot: None,
            late: None,
        };
        for stanza in self.write(&passing) {
            turn.send(self, stanza, None);
        }
    }
}
