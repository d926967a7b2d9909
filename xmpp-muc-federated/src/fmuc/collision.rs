//! Two who have one nick (§5.8 of the design): the one whom the joined room knows keeps it, the other one gets another, the same on all nodes.

use sha2::{Digest as _, Sha256};

use xmpp_core::{BareJid, Jid};

use super::crowd::Via;
use super::link::Link;
use super::node::{Node, Turn};
use super::settings::Collision;
use super::{Extension, Fmuc};
use crate::room::elsewhere::Parting;

/// What stands between a nick and what tells it from another.
const MARK: char = '~';
/// Characters of that.
const SUFFIX: usize = 3;

impl Node {
    /// The nick that somebody behind a link has here. Who loses theirs to them has another one afterwards.
    pub(super) fn free_nick(
        &mut self,
        via: &Via,
        jid: &Jid,
        nick: &str,
        turn: &mut Turn<'_>,
    ) -> String {
        let bare = jid.to_bare();
        let Some((holder, _)) = self.other_holder(nick, &bare) else {
            return nick.to_owned();
        };
        if *via != Via::Parent {
            if let Some(link) = self.link(via) {
                link.collide(nick, jid, turn);
            }
            return self.alias(nick, &bare);
        }
        // Those of the room that this one has joined keep theirs.
        self.give_way(&holder, turn);
        match self.other_holder(nick, &bare) {
            None => nick.to_owned(),
            Some(_) => self.alias(nick, &bare),
        }
    }

    /// Somebody here, or behind a room that has joined this one, has a nick that is somebody else's.
    fn give_way(&mut self, loser: &Jid, turn: &mut Turn<'_>) {
        let Some(known) = self.crowd.get(loser) else {
            return;
        };
        let (via, there) = (known.via.clone(), known.nick_there.clone());
        // As they spell it, not as the one does who keeps it: so does every node.
        let other = self.alias(&known.occupant.nick, &loser.to_bare());
        if via == Via::Here {
            return self.give_other_nick(loser, &other, turn);
        }
        let done = self.in_room(turn, |room, now, out| {
            room.rename_elsewhere(loser, &other, now, out)
        });
        if done.is_ok()
            && let Some(known) = self.crowd.get_mut(loser)
        {
            known.occupant.nick.clone_from(&other);
        }
        // There are no two with one nick at the parent either: the one of whom it has told before has another by now.
        if via == Via::Parent {
            if let Some(known) = self.crowd.get_mut(loser) {
                known.nick_there = other;
            }
            return;
        }
        if let Some(link) = self.link(&via) {
            link.collide(&there, loser, turn);
        }
    }

    /// What the configuration has for one here whose nick is somebody else's.
    fn give_other_nick(&mut self, loser: &Jid, other: &str, turn: &mut Turn<'_>) {
        let parent = self.parent.as_ref();
        let policy = parent.map_or(Collision::Rename, |parent| parent.link.about.collision);
        self.in_room(turn, |room, now, out| {
            if policy == Collision::Rename && room.rename_here(loser, other, now, out) {
                return;
            }
            let parting = Parting {
                codes: vec![307],
                reason: Some("The nick is somebody else's.".to_owned()),
                ..Parting::default()
            };
            room.expel(loser, &parting, now, out);
        });
    }

    /// The parent says that the nick of one of ours is somebody else's.
    pub(super) fn collided(&mut self, nick: &str, loser: &Jid, turn: &mut Turn<'_>) {
        if self.come_refused(loser, turn) {
            return;
        }
        let Some(known) = self.crowd.get(loser) else {
            return;
        };
        if known.via == Via::Parent || known.occupant.nick != nick {
            return;
        }
        match known.via.clone() {
            Via::Here => {
                let other = self.alias(nick, &loser.to_bare());
                self.give_other_nick(loser, &other, turn);
            }
            via => {
                let there = known.nick_there.clone();
                if let Some(link) = self.link(&via) {
                    link.collide(&there, loser, turn);
                }
            }
        }
    }

    /// The nick under which somebody is heard who is not there (any more): it may be another's now.
    pub(super) fn nick_of_old(&self, jid: &Jid, nick: &str) -> String {
        let bare = jid.to_bare();
        match self.other_holder(nick, &bare) {
            Some(_) => self.alias(nick, &bare),
            None => nick.to_owned(),
        }
    }

    /// Somebody behind a replica would come: there they are not let in with a nick that is somebody else's. `false` if it is free.
    pub(super) fn turns_away(
        &mut self,
        via: &Via,
        jid: &Jid,
        nick: &str,
        turn: &mut Turn<'_>,
    ) -> bool {
        let replica = match via {
            Via::Child(peer) => self.children.get(peer).is_some_and(|child| child.replica),
            _ => false,
        };
        let taken = replica && self.other_holder(nick, &jid.to_bare()).is_some();
        if taken && let Some(link) = self.link(via) {
            link.collide(nick, jid, turn);
        }
        taken
    }

    /// Who has this nick here and is somebody else.
    pub(super) fn other_holder(&self, nick: &str, bare: &BareJid) -> Option<(Jid, BareJid)> {
        let holder = self.room.holder(nick);
        holder.filter(|(_, theirs)| theirs != bare)
    }

    /// The nick that somebody has instead: it depends on nothing but who they are, as long as it is free.
    pub(super) fn alias(&self, nick: &str, bare: &BareJid) -> String {
        let all = || variants(nick, bare, self.room.nick_bytes());
        let mut free = all().filter(|alias| self.other_holder(alias, bare).is_none());
        let longest = || all().last().unwrap_or_default();
        free.next().unwrap_or_else(longest)
    }
}

/// The nicks that somebody may have instead of this one, the shortest first, of no more than so many bytes.
pub(super) fn variants(nick: &str, bare: &BareJid, most: usize) -> impl Iterator<Item = String> {
    let digest = Sha256::digest(bare.as_str());
    let digits: String = digest.iter().map(|byte| digit(*byte)).collect();
    let most = most.saturating_sub(digits.len() + 1);
    let end = (0..=nick.len().min(most))
        .rev()
        .find(|at| nick.is_char_boundary(*at));
    let nick = nick[..end.unwrap_or_default()].to_owned();
    (SUFFIX..=digits.len()).map(move |length| format!("{nick}{MARK}{}", &digits[..length]))
}

impl Link {
    /// Tells the peer that a nick of one behind it is somebody else's, if that means something to it.
    fn collide(&self, nick: &str, from: &Jid, turn: &mut Turn<'_>) {
        if self.is_ext() {
            let collision = Extension::Collision {
                nick: nick.to_owned(),
                from: from.clone(),
            };
            let stanza = self.write_own(&Fmuc::default().with(collision));
            turn.send(self, stanza, None);
        }
    }
}

/// A digit of the alphabet of RFC 4648 §6, in lower case.
fn digit(byte: u8) -> char {
    char::from(b"abcdefghijklmnopqrstuvwxyz234567"[usize::from(byte % 32)])
}
