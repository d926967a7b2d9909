//! What a peer lacks, and how it is told.

use xmpp_core::stanza::Stanza;
use xmpp_core::time::Timestamp;
use xmpp_core::{BareJid, Jid};

use crate::fmuc::crowd::{Known, Sight, Via};
use crate::fmuc::event::{Event, Passing};
use crate::fmuc::link::{Link, extended};
use crate::fmuc::node::{Node, Turn};
use crate::fmuc::{Extension, Fmuc};
use crate::log::{Entry, NodeId, Range, Vector};
use crate::ns;
use crate::room::elsewhere::Parting;
use crate::room::{Room, Wanted};

/// What is to be told to one who lacks it.
#[derive(Debug, Default)]
pub(super) struct Delta {
    /// Who is there, and what was said, in the order in which it is to be told.
    pub(super) passing: Vec<Passing>,
    /// What is forgotten.
    pub(super) gone: Vec<Range>,
    /// Something was left out, since something later says it all.
    pub(super) skipped: bool,
    /// What is told last says that this was all, if something was left out.
    pub(super) ends: bool,
    /// And in any case: the peer is to see whether it knows now who is there.
    pub(super) compares: bool,
    /// Who is there of whom the peer knows, or is told of at last.
    pub(super) known: Vec<(Jid, String)>,
    /// A digest of all of them.
    pub(super) crowd: u32,
    /// The nodes that cannot be heard of, and which of their lives is known.
    pub(super) cut_off: Vec<(NodeId, u64)>,
}

impl Node {
    /// What a peer lacks that has this much: of those who are there how they are now, of those who are gone that they are, and all that was said.
    /// If it is to be told of everybody `anew`, also of those of whom it knows the event.
    pub(super) fn delta(&self, vector: &Vector, via: &Via, anew: bool) -> Delta {
        let link = match via {
            Via::Parent => self.parent.as_ref().map(|parent| &parent.link),
            Via::Child(peer) => self.children.get(peer).map(|child| &child.link),
            Via::Here => None,
        };
        // By the stanza that has joined, if nothing has become of them since.
        let told = |known: &Known| {
            link.is_some_and(|link| {
                link.named.as_ref() == Some(&known.occupant.jid) && link.named_by == known.dot
            })
        };
        let ext = link.is_some_and(Link::is_ext);
        let unsure = |jid: &Jid| link.is_some_and(|link| link.unsure.contains_key(jid));
        // Nothing is known of what a peer was told by a life before this one: in which way they are there whose coming it knows may be news.
        let known = vector.get(&self.id);
        let anew = anew || known.is_none_or(|reach| reach.epoch != self.epoch);
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
                && (!told(known) || unsure(jid))
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
        let mut subject = self.lacks_subject(vector).filter(|_| *via == Via::Parent);
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
                    match subject.take_if(|subject| subject.dot.as_ref() == Some(&entry.dot)) {
                        Some(subject) => delta.passing.push(subject.clone()),
                        None => delta.skipped = true,
                    }
                }
            }
        }
        // On whose behalf it was joined, and who was forgotten meanwhile, which is no event.
        let goes = |jid: &Jid| {
            let gone =
                |one: &Passing| matches!(&one.event, Event::Gone { jid: gone, .. } if gone == jid);
            delta.passing.iter().any(gone)
        };
        if let Some(jid) = link.and_then(|link| link.named.as_ref())
            && ext
            && self.crowd.get(jid).is_none()
            && !self.held.is_of(jid)
            && !goes(jid)
        {
            delta.passing.push(Passing {
                event: Event::Gone {
                    jid: jid.clone(),
                    nick: String::new(),
                    parting: Parting::default(),
                },
                dot: None,
                late: None,
            });
        }
        delta.passing.extend(subject.cloned());
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

    /// The subject, if a peer lacks it that has this much.
    pub(super) fn lacks_subject(&self, vector: &Vector) -> Option<&Passing> {
        let has = |subject: &Passing| subject.dot.as_ref().is_some_and(|dot| vector.includes(dot));
        self.subject.as_ref().filter(|subject| !has(subject))
    }
}

impl Delta {
    /// Of the nodes of which a room that joins knows nothing no more than so many messages, the newest, and nothing of those who are gone. What it has missed
    /// of others is no history.
    pub(super) fn bound_history(
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
    /// Tells the peer what it lacks; the last of it says so if something of it is not there to be told.
    pub(super) fn catch_up(&mut self, delta: &Delta, turn: &mut Turn<'_>) {
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
                turn.send(self, stanza, None);
            }
        }
        let (mut all, mut skipped) = (Vec::new(), delta.skipped || delta.compares);
        for passing in &delta.passing {
            // It may not arrive either.
            if let Event::Here(occupant) = &passing.event
                && let Some(at) = self.unsure.get_mut(&occupant.jid)
            {
                *at = turn.now.instant;
            }
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
            turn.send(self, stanza, dot.as_ref());
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
            turn.send(self, stanza, None);
        }
    }
}

/// An event that was, told once more.
pub(super) fn repeated(entry: &Entry<Event>) -> Passing {
    Passing {
        event: entry.event.clone(),
        dot: Some(entry.dot.clone()),
        late: entry.event.is_said().then_some(entry.at),
    }
}

/// How much history a room asks for that joins (XEP-0045 §7.2.14).
pub(super) fn wanted_history(join: &Stanza, now: Timestamp) -> Wanted {
    let x = join.payload().child("x", ns::MUC).map(|x| x.element());
    let history = x.as_ref().and_then(|x| x.child("history", ns::MUC));
    history.map_or_else(Wanted::default, |history| Wanted::read(history, now))
}

/// Characters of markup around what is said: `<message/>`, `<delay/>` and `<fmuc/>` with all that may be in it, without the addresses.
const MARKUP: usize = 300;

/// What a message of history costs on a link, in characters, or somewhat more.
pub(super) fn envelope(passing: &Passing, peer: &BareJid, room: &Room) -> usize {
    let Event::Said { by, nick, message } = &passing.event else {
        return 0;
    };
    let addresses = 2 * room.jid().as_str().len() + peer.as_str().len() + by.as_str().len();
    message.to_string().chars().count() + addresses + nick.len() + MARKUP
}
