//! What only Openfire does (§2 of the design): how it is known, and whom it says that a moderator has taken out.

use xmpp_core::Jid;
use xmpp_core::stanza::Stanza;

use crate::fmuc::Fmuc;
use crate::fmuc::crowd::Via;
use crate::fmuc::link::{Link, Speech};
use crate::fmuc::node::{Matter, Node, Turn};
use crate::fmuc::receive::{REMOVED, parting};
use crate::fmuc::settings::Dialect;
use crate::ns;
use crate::room::elsewhere::{Actor, Parting};

impl Node {
    /// Whom a moderator over there has taken out of the room. Openfire says it of the moderator, and names the one in the item (O15 of the design).
    pub(in crate::fmuc) fn victim(
        &mut self,
        via: &Via,
        author: &Jid,
        stanza: &Stanza,
    ) -> Option<Jid> {
        let x = stanza.payload().child("x", ns::USER)?.element();
        let removed = parting(stanza, &Fmuc::default(), 0).codes;
        if !removed.iter().any(|code| REMOVED.contains(code)) {
            return None;
        }
        let named = Jid::new(x.child("item", ns::USER)?.attr("jid")?).ok()?;
        let link = self.link(via).filter(|link| !link.is_ext())?;
        let victim = match named.resource() {
            Some(nick) if named.to_bare() == link.peer => {
                let there = link
                    .announced
                    .named(nick)
                    .or_else(|| link.theirs.named(nick));
                there?.clone()
            }
            Some(_) => named,
            None => {
                let mut all = self.crowd.iter().map(|known| &known.occupant.jid);
                all.find(|jid| jid.to_bare().as_jid() == &named)?.clone()
            }
        };
        (victim != *author).then_some(victim)
    }

    /// Whom this side does not let go is there for the peer again.
    pub(in crate::fmuc) fn stays(&mut self, via: &Via, jid: &Jid, turn: &mut Turn<'_>) {
        let known = self.crowd.get(jid).filter(|known| known.via != *via);
        if let Some(occupant) = known.map(|known| known.occupant.clone())
            && let Some(link) = self.link(via)
        {
            link.announced.remove(jid);
            link.reintroduce(occupant, turn);
        }
    }

    /// How that one goes: by whom it is said.
    pub(in crate::fmuc) fn verdict(&self, author: &Jid, nick: &str, stanza: &Stanza) -> Parting {
        let most = self.settings.limits.text;
        let known = self.crowd.get(author);
        let nick = known.map_or(nick, |known| known.occupant.nick.as_str());
        Parting {
            actor: Some(Actor {
                nick: nick.to_owned(),
                jid: None,
            }),
            farewell: None,
            ..parting(stanza, &Fmuc::default(), most)
        }
    }
}

impl Link {
    /// A child that may be one of Openfire, as its first stanza has it (§2.6 of the design).
    pub(in crate::fmuc) fn guess(&mut self, join: &Stanza) {
        self.speech = match self.about.dialect {
            Dialect::Openfire => Speech::Openfire,
            Dialect::Auto if is_openfires(join) => Speech::Openfire,
            _ => Speech::Xep,
        };
    }
}

impl Matter {
    /// What it means that there is no answer.
    pub(in crate::fmuc) fn silent(link: &Link) -> Matter {
        match link.speech {
            Speech::Openfire => Matter::Stale,
            _ => Matter::Silent,
        }
    }
}

/// Whether the item of a presence has the address in the room where that of a person belongs: only Openfire's have.
pub(super) fn names_itself(stanza: &Stanza) -> bool {
    let x = stanza.payload().child("x", ns::USER).map(|x| x.element());
    let item = x.as_ref().and_then(|x| x.child("item", ns::USER));
    let jid = item.and_then(|item| item.attr("jid"));
    jid.is_some() && jid == stanza.from().map(Jid::as_str)
}

/// Whether a join has the form that Openfire gives it: `<fmuc/>` comes last, and the item bears no address.
fn is_openfires(join: &Stanza) -> bool {
    let payload = join.payload();
    let last = payload.children().last();
    let x = payload.child("x", ns::USER).map(|x| x.element());
    let item = x.as_ref().and_then(|x| x.child("item", ns::USER));
    let bare = item.is_some_and(|item| item.attr("jid").is_none() && item.attr("role").is_some());
    last.is_some_and(|last| last.is("fmuc", ns::FMUC)) && bare
}
