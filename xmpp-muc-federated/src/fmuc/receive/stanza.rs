//! What stands in the stanzas of a peer.

use xmpp_core::Jid;
use xmpp_core::stanza::Stanza;
use xmpp_core::time::Timestamp;

use crate::fmuc::crowd::Via;
use crate::fmuc::local::portable;
use crate::fmuc::node::Node;
use crate::fmuc::{Extension, Fmuc};
use crate::ns;
use crate::room::elsewhere::{Actor, Occupant, Parting};
use crate::room::{Affiliation, Role};

/// These, and what else is said of one who goes: another nick, the end of the service, a technical problem. All others are a room's own to say, such as 110.
const PARTING: [u16; 7] = [301, 303, 307, 321, 322, 332, 333];

impl Node {
    /// How somebody goes, as a peer says. Who has done it is one behind it too: nobody else is named by it.
    pub(super) fn parting(&self, via: &Via, stanza: &Stanza, fmuc: &Fmuc) -> Parting {
        let mut parting = parting(stanza, fmuc, self.settings.limits.text);
        parting.actor = parting.actor.and_then(|actor| {
            let mut behind = self.crowd.behind(via);
            let known = behind.find(|known| match &actor.jid {
                Some(jid) => known.occupant.jid == *jid,
                None => known.nick_there == actor.nick,
            })?;
            Some(Actor {
                nick: known.occupant.nick.clone(),
                jid: Some(known.occupant.jid.clone()),
            })
        });
        let farewell = parting.farewell.as_ref();
        let size = farewell.map_or(0, |farewell| farewell.payload().as_bytes().len());
        if size > self.room.presence_bytes() {
            parting.farewell = None;
        }
        parting
    }
}

/// The occupant in a presence.
pub(in crate::fmuc) fn occupant(jid: Jid, nick: &str, stanza: &Stanza) -> Occupant {
    let x = stanza.payload().child("x", ns::USER).map(|x| x.element());
    let item = x.as_ref().and_then(|x| x.child("item", ns::USER));
    let of_item = |name| item.and_then(|item| item.attr(name));
    Occupant {
        jid,
        nick: nick.to_owned(),
        affiliation: of_item("affiliation")
            .and_then(Affiliation::named)
            .unwrap_or(Affiliation::None),
        role: of_item("role")
            .and_then(Role::named)
            .unwrap_or(Role::Participant),
        presence: portable(stanza).with_id(None),
    }
}

/// How somebody goes.
pub(in crate::fmuc) fn parting(stanza: &Stanza, fmuc: &Fmuc, most: usize) -> Parting {
    let x = stanza.payload().child("x", ns::USER).map(|x| x.element());
    let item = x.as_ref().and_then(|x| x.child("item", ns::USER));
    let codes = x.iter().flat_map(|x| x.children());
    let codes = codes
        .filter(|child| child.is("status", ns::USER))
        .filter_map(|status| status.attr("code")?.parse().ok())
        .filter(|code| PARTING.contains(code));
    let reason = item.and_then(|item| item.child("reason", ns::USER));
    let named = item.and_then(|item| item.child("actor", ns::USER));
    let act = fmuc.extensions.iter().find_map(|one| match one {
        Extension::Act { by, nick } => Some(Actor {
            nick: nick.clone(),
            jid: Some(by.clone()),
        }),
        _ => None,
    });
    let named = named.and_then(|actor| actor.attr("nick"));
    let named = named.map(|nick| Actor {
        nick: nick.to_owned(),
        jid: None,
    });
    Parting {
        codes: codes.take(8).collect(),
        actor: act.or(named),
        reason: reason.map(|reason| reason.text().chars().take(most).collect()),
        farewell: Some(portable(stanza).with_id(None)),
    }
}

/// When a message was said, if it bears a delay. XEP-0289 has it in an element and a form of its own in one example.
pub(in crate::fmuc) fn said_at(stanza: &Stanza) -> Option<Timestamp> {
    let payload = stanza.payload();
    let delay = ["delay", "x"]
        .iter()
        .find_map(|name| payload.child(name, ns::DELAY))?;
    let stamp = delay.attr("stamp")?;
    stamp.parse().ok().or_else(|| of_old(&stamp))
}

/// `20120419T16:00:44`
fn of_old(stamp: &str) -> Option<Timestamp> {
    let (date, time) = stamp.split_once('T')?;
    if date.len() != 8 || !date.is_ascii() {
        return None;
    }
    let (year, rest) = date.split_at(4);
    let (month, day) = rest.split_at(2);
    let time = time.trim_end_matches('Z');
    format!("{year}-{month}-{day}T{time}Z").parse().ok()
}
