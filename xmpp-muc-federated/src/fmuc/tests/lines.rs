//! What goes over links and to clients, as a line each.

use xmpp_core::Jid;
use xmpp_core::stanza::{Kind, MessageType, PresenceType, Stanza};
use xmpp_core::xml::ns::CLIENT;

use super::{Extension, World, short};
use crate::fmuc::crowd::Sight;
use crate::fmuc::parent::fmuc_of;
use crate::ns;

impl World {
    /// A stanza on a link: `B>A J(hm as Hamlet)` (joins), `P` (is there), `U` (is gone), `M` (says), `S` (the subject), `PM`, `LEFT`, `REJ`, or `own`; then our
    /// elements in it.
    pub(super) fn wire(&self, from: char, to: char, stanza: &Stanza) -> String {
        let payload = stanza.payload();
        let text = |name: &str| {
            let child = payload.child(name, CLIENT).map(|child| child.element());
            child.map_or_else(String::new, |child| child.text().into_owned())
        };
        let Some(fmuc) = fmuc_of(stanza) else {
            return format!("{from}>{to} {stanza}");
        };
        let nick = stanza.from().and_then(Jid::resource).unwrap_or_default();
        let who = fmuc.from.as_ref().map(short).unwrap_or_default();
        let mut codes: Vec<String> = codes(stanza);
        let what = match stanza.kind() {
            Kind::Presence(_) if fmuc.reject.is_some() => {
                format!("REJ({})", fmuc.reject.clone().unwrap_or_default())
            }
            Kind::Presence(_) if fmuc.left => "LEFT".into(),
            Kind::Presence(_) if nick.is_empty() => "own".into(),
            Kind::Presence(PresenceType::Unavailable) => format!("U({who} as {nick})"),
            Kind::Presence(_) if payload.has("x", ns::MUC) => format!("J({who} as {nick})"),
            Kind::Presence(_) => format!("P({who} as {nick})"),
            Kind::Message(MessageType::Groupchat) if payload.has("subject", CLIENT) => {
                format!("S({who}: {})", text("subject"))
            }
            Kind::Message(MessageType::Groupchat) => {
                format!("M({who} as {nick}: {})", text("body"))
            }
            Kind::Message(MessageType::Error) => format!("PM-error({who} as {nick})"),
            Kind::Message(_) => {
                let to = stanza.to().and_then(Jid::resource).unwrap_or_default();
                format!("PM({who} as {nick} to {to}: {})", text("body"))
            }
            _ => stanza.to_string(),
        };
        if payload.has("delay", ns::DELAY) {
            codes.push("delay".into());
        }
        codes.extend(fmuc.extensions.iter().filter_map(element));
        let codes: String = codes.iter().map(|code| format!(" {code}")).collect();
        format!("{from}>{to} {what}{codes}")
    }

    /// Who is in a room, as its clients see it: nicks, in order.
    pub(super) fn roster(&self, room: char) -> Vec<String> {
        let node = &self.nodes[&room];
        let shown = node
            .crowd
            .iter()
            .filter(|known| known.sight == Sight::Shown);
        let mut nicks: Vec<_> = shown.map(|known| known.occupant.nick.clone()).collect();
        nicks.sort();
        nicks.dedup();
        nicks
    }
}

/// One of our elements; names of nodes are told nowhere but where they are given.
fn element(extension: &Extension) -> Option<String> {
    Some(match extension {
        Extension::Join(_) => "join".into(),
        Extension::Sync { reset: true, .. } => "sync-reset".into(),
        Extension::Sync { .. } => "sync".into(),
        Extension::Synced => "synced".into(),
        Extension::Crowd(_) => return None,
        Extension::Alias { .. } => return None,
        Extension::Origin(origin) => format!("o.{}", origin.seq),
        Extension::Last(origin) => format!("last.{}", origin.seq),
        Extension::Changed(..) => return None,
        Extension::Want(_, seqs) => format!("want.{}-{}", seqs.start(), seqs.end()),
        Extension::Gone(_, seqs) => format!("gone.{}-{}", seqs.start(), seqs.end()),
        Extension::Collision { nick, .. } => format!("collision({nick})"),
        Extension::Act { nick, .. } => format!("act({nick})"),
        Extension::Unreach(_) => "unreach".into(),
        Extension::Reach(_) => "reach".into(),
        Extension::Path(path) => format!("path({})", path.len()),
        Extension::Leave => "leave".into(),
        Extension::Rejoin => "rejoin".into(),
        Extension::Left(_) => return None,
        Extension::Refuse(condition) => format!("refuse({condition})"),
    })
}

/// A stanza at a client: `al: P Hamlet 110` (is there), `U` (is gone), `M` (says), `S` (the subject), `PM`, or what it is; with status codes, and `delay`.
/// Never anything that is between rooms (V5).
pub(super) fn client(room: char, to: &Jid, stanza: &Stanza) -> String {
    let payload = stanza.payload();
    assert!(!payload.has("fmuc", ns::FMUC), "{stanza}");
    assert!(
        payload.children().all(|child| child.ns() != ns::SYNC),
        "{stanza}"
    );
    let text = |name: &str| {
        let child = payload.child(name, CLIENT).map(|child| child.element());
        child.map_or_else(String::new, |child| child.text().into_owned())
    };
    let nick = stanza.from().and_then(Jid::resource).unwrap_or_default();
    let error = || {
        stanza
            .error()
            .map(|error| error.condition.name())
            .unwrap_or_default()
    };
    let what = match stanza.kind() {
        Kind::Presence(PresenceType::Available) => format!("P {nick}"),
        Kind::Presence(PresenceType::Unavailable) => format!("U {nick}"),
        Kind::Message(MessageType::Groupchat) if payload.has("subject", CLIENT) => {
            format!("S {}", text("subject"))
        }
        Kind::Message(MessageType::Groupchat) => format!("M {nick}: {}", text("body")),
        Kind::Message(MessageType::Error) | Kind::Presence(PresenceType::Error) => {
            format!("error {nick} {}", error())
        }
        Kind::Message(_) => format!("PM {nick}: {}", text("body")),
        Kind::Iq(kind) => format!("iq {kind:?} {}", error()),
        _ => stanza.to_string(),
    };
    let mut codes = codes(stanza);
    let x = payload.child("x", ns::USER).map(|x| x.element());
    let item = x.as_ref().and_then(|x| x.child("item", ns::USER));
    if let Some(nick) = item.and_then(|item| item.attr("nick")) {
        codes.push(format!("to {nick}"));
    }
    if payload.has("delay", ns::DELAY) {
        codes.push("delay".into());
    }
    let codes: String = codes.iter().map(|code| format!(" {code}")).collect();
    let _ = room;
    format!("{}: {}{codes}", short(to), what.trim_end())
}

fn codes(stanza: &Stanza) -> Vec<String> {
    let x = stanza.payload().child("x", ns::USER).map(|x| x.element());
    let statuses = x
        .iter()
        .flat_map(|x| x.children())
        .filter(|one| one.is("status", ns::USER));
    statuses
        .filter_map(|status| status.attr("code").map(str::to_owned))
        .collect()
}
