//! Everybody who is in a federated room, here and elsewhere (§5.1 of the design).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sha2::{Digest as _, Sha256};

use xmpp_core::{BareJid, Jid};

use super::roster::key;
use crate::log::{Dot, NodeId};
use crate::room::elsewhere::{Occupant, Parting};

/// By which way a node hears of somebody: it owns them, and nobody else speaks for them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Via {
    /// They are here.
    Here,
    /// The room that this one has joined.
    Parent,
    /// One that has joined this one.
    Child(BareJid),
}

/// Somebody.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// How they are known here, under the nick that they have here.
    pub(super) occupant: Occupant,
    pub(super) via: Via,
    /// The nick under which the peer that they are behind knows them.
    pub(super) nick_there: String,
    /// The event that has made them what they are.
    pub(super) dot: Option<Dot>,
    pub(super) sight: Sight,
    /// They are to go, as their own node was asked; asked once more when the link has been down.
    pub(super) expelled: Option<Box<Parting>>,
    /// Other links by which one hears of them, and their nicks there: only as long as there is a ring of rooms.
    pub(super) others: Vec<(Via, String)>,
    /// The peer has joined anew, and has not named them since.
    pub(super) stale: bool,
}

/// Whether the room here shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// It does.
    Shown,
    /// Somebody here has taken them out of the room.
    Suppressed,
    /// The room did not let them in. As soon as they are there in another way it is asked again.
    Refused,
    /// They have not been heard of for too long.
    Lost,
}

/// Those who are gone that are remembered, so that what comes late of them does not bring them back.
const GONE_MAX: usize = 1000;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    all: BTreeMap<Jid, Known>,
    /// How many are behind each link, and here.
    counts: BTreeMap<Via, usize>,
    /// Those who are lost from sight, by the nicks that they have here as they are compared: who takes one of them finds whose it is.
    lost: BTreeMap<String, BTreeSet<Jid>>,
    gone: BTreeMap<Jid, Dot>,
    order: VecDeque<Jid>,
}

impl Crowd {
    pub(super) fn get(&self, jid: &Jid) -> Option<&Known> {
        self.all.get(jid)
    }

    pub(super) fn get_mut(&mut self, jid: &Jid) -> Option<&mut Known> {
        self.all.get_mut(jid)
    }

    pub(super) fn insert(&mut self, known: Known) {
        self.gone.remove(&known.occupant.jid);
        self.count(&known.via);
        self.note_lost(&known);
        let before = self.all.remove(&known.occupant.jid);
        self.discount(before.as_ref());
        // The note of who was known before is that of who is known now, if both are lost under one nick.
        if let Some(before) = before.filter(|before| !before.is_lost_as(&known)) {
            self.forget_lost(&before);
        }
        self.all.insert(known.occupant.jid.clone(), known);
    }

    /// Changes what is known of somebody: under which nick they are here, or whether they are seen.
    pub(super) fn change(&mut self, jid: &Jid, change: impl FnOnce(&mut Known)) {
        if let Some(mut known) = self.all.get(jid).cloned() {
            change(&mut known);
            self.insert(known);
        }
    }

    /// Those who are lost from sight under this nick, or one that looks the same.
    pub(super) fn lost_as(&self, nick: &str) -> impl Iterator<Item = &Known> {
        let lost = match self.lost.is_empty() {
            true => None,
            false => self.lost.get(&key(nick)),
        };
        let lost = lost.into_iter().flatten();
        lost.filter_map(|jid| self.all.get(jid))
    }

    fn note_lost(&mut self, known: &Known) {
        if known.sight == Sight::Lost {
            let lost = self.lost.entry(key(&known.occupant.nick)).or_default();
            lost.insert(known.occupant.jid.clone());
        }
    }

    fn forget_lost(&mut self, known: &Known) {
        if known.sight != Sight::Lost {
            return;
        }
        let key = key(&known.occupant.nick);
        if let Some(lost) = self.lost.get_mut(&key) {
            lost.remove(&known.occupant.jid);
            if lost.is_empty() {
                self.lost.remove(&key);
            }
        }
    }

    /// They are behind another link now, and under this nick there.
    pub(super) fn hand_over(&mut self, jid: &Jid, via: &Via, nick_there: String) {
        if let Some(mut known) = self.all.get(jid).cloned() {
            known.via = via.clone();
            known.nick_there = nick_there;
            self.insert(known);
        }
    }

    /// They are gone, by this event.
    pub(super) fn remove(&mut self, jid: &Jid, dot: Option<&Dot>) -> Option<Known> {
        if let Some(dot) = dot {
            if self.gone.insert(jid.clone(), dot.clone()).is_none() {
                self.order.push_back(jid.clone());
            }
            while self.order.len() > GONE_MAX {
                let oldest = self.order.pop_front();
                oldest.and_then(|oldest| self.gone.remove(&oldest));
            }
        }
        let gone = self.all.remove(jid);
        self.discount(gone.as_ref());
        if let Some(gone) = &gone {
            self.forget_lost(gone);
        }
        gone
    }

    /// Whether something later is known of them than this event: what becomes of one is their own node's to say, in its order.
    pub(super) fn knows_better(&self, jid: &Jid, dot: &Dot) -> bool {
        let later = |known: &Dot| {
            known.node == dot.node && (known.epoch, known.seq) >= (dot.epoch, dot.seq)
        };
        let there = self.all.get(jid).and_then(|known| known.dot.as_ref());
        there.or_else(|| self.gone.get(jid)).is_some_and(later)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Known> {
        self.all.values()
    }

    /// Nobody is heard of by this link any more, but those who are behind it.
    pub(super) fn forget_other(&mut self, via: &Via) {
        for known in self.all.values_mut() {
            known.others.retain(|(other, _)| other != via);
        }
    }

    /// Those behind a link.
    pub(super) fn behind(&self, via: &Via) -> impl Iterator<Item = &Known> {
        self.all.values().filter(move |known| known.via == *via)
    }

    /// Who they are.
    pub(super) fn jids_behind(&self, via: &Via) -> Vec<Jid> {
        let jids = self.behind(via).map(|known| known.occupant.jid.clone());
        jids.collect()
    }

    /// A digest of who is behind a link, by the nicks that they have there.
    pub(super) fn digest_behind(&self, via: &Via) -> u32 {
        let behind = self.behind(via);
        digest(behind.map(|known| (&known.occupant.jid, known.nick_there.as_str())))
    }

    /// A digest of who is not behind it, by the nicks that they have here. Those who are at the peer itself are not among them, though in a ring of rooms one
    /// may hear of them from elsewhere.
    pub(super) fn digest_before(&self, via: &Via, peer: &BareJid) -> u32 {
        let of_peer = |dot: &Dot| dot.node.as_str() == peer.as_str();
        let before = self
            .all
            .values()
            .filter(|known| known.via != *via && !known.dot.as_ref().is_some_and(of_peer));
        digest(before.map(|known| (&known.occupant.jid, known.occupant.nick.as_str())))
    }

    /// All behind a link are to be named anew.
    pub(super) fn make_stale(&mut self, via: &Via) {
        let behind = self.all.values_mut().filter(|known| known.via == *via);
        behind.for_each(|known| known.stale = true);
    }

    /// Those of a node's life before this one.
    pub(super) fn outlived(&self, node: &NodeId, epoch: u64) -> Vec<Jid> {
        let of_old = |known: &&Known| {
            let dot = known.dot.as_ref();
            dot.is_some_and(|dot| dot.node == *node && dot.epoch < epoch)
        };
        let jids = self.all.values().filter(of_old);
        jids.map(|known| known.occupant.jid.clone()).collect()
    }

    /// How many there are behind a link.
    pub(super) fn count_behind(&self, via: &Via) -> usize {
        self.counts.get(via).copied().unwrap_or_default()
    }

    /// How many there are for the room that this one has joined: all that are not behind it.
    pub(super) fn contributed(&self) -> usize {
        self.all.len() - self.count_behind(&Via::Parent)
    }

    fn count(&mut self, via: &Via) {
        *self.counts.entry(via.clone()).or_default() += 1;
    }

    /// One less is behind the link that they were behind.
    fn discount(&mut self, gone: Option<&Known>) {
        if let Some(Known { via, .. }) = gone
            && let Some(count) = self.counts.get_mut(via)
        {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(via);
            }
        }
    }
}

/// Of people in the order of their addresses.
fn digest<'a>(people: impl Iterator<Item = (&'a Jid, &'a str)>) -> u32 {
    let mut hash = Sha256::new();
    for (jid, nick) in people {
        // Neither has a control character.
        hash.update(jid.as_str());
        hash.update([0]);
        hash.update(nick);
        hash.update([0]);
    }
    let digest = hash.finalize();
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

impl Known {
    /// Whether both are lost from sight under the same nick.
    fn is_lost_as(&self, other: &Known) -> bool {
        let lost = |known: &Known| known.sight == Sight::Lost;
        lost(self) && lost(other) && key(&self.occupant.nick) == key(&other.occupant.nick)
    }

    /// Somebody here.
    pub(super) fn here(occupant: Occupant, dot: Option<Dot>) -> Known {
        Known {
            nick_there: occupant.nick.clone(),
            occupant,
            via: Via::Here,
            dot,
            sight: Sight::Shown,
            expelled: None,
            others: Vec::new(),
            stale: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use xmpp_core::stanza::{PresenceType, Stanza};

    use super::*;
    use crate::room::{Affiliation, Role};

    fn known(n: usize, nick: &str, sight: Sight) -> Known {
        let occupant = Occupant {
            jid: format!("p{n}@example.lit/x").parse().unwrap(),
            nick: nick.to_owned(),
            affiliation: Affiliation::None,
            role: Role::Participant,
            presence: Stanza::presence(PresenceType::Available),
        };
        Known {
            sight,
            ..Known::here(occupant, None)
        }
    }

    fn lost_as(crowd: &Crowd, nick: &str) -> Vec<String> {
        let lost = crowd.lost_as(nick);
        lost.map(|known| known.occupant.jid.to_string()).collect()
    }

    #[test]
    fn who_is_lost_is_found_by_their_nick_and_nobody_else_is_looked_at() {
        let mut crowd = Crowd::default();
        for n in 0..1000 {
            crowd.insert(known(n, &format!("Nick {n}"), Sight::Lost));
        }
        assert_eq!(lost_as(&crowd, "nick  7"), ["p7@example.lit/x"]);
        assert_eq!(lost_as(&crowd, "Nick"), [""; 0]);
        let jid = known(7, "", Sight::Lost).occupant.jid;
        // Another nick, seen again, lost once more, gone: one place for each.
        crowd.change(&jid, |known| known.occupant.nick = "Other".to_owned());
        assert_eq!(lost_as(&crowd, "Nick 7"), [""; 0]);
        assert_eq!(lost_as(&crowd, "other"), ["p7@example.lit/x"]);
        crowd.change(&jid, |known| known.sight = Sight::Shown);
        assert_eq!(lost_as(&crowd, "Other"), [""; 0]);
        crowd.insert(known(7, "Other", Sight::Lost));
        crowd.insert(known(7, "other", Sight::Lost));
        assert_eq!(lost_as(&crowd, "Other"), ["p7@example.lit/x"]);
        crowd.insert(known(8, "Other", Sight::Lost));
        assert_eq!(lost_as(&crowd, "Other").len(), 2);
        crowd.remove(&jid, None);
        assert_eq!(lost_as(&crowd, "Other"), ["p8@example.lit/x"]);
        for n in 0..1000 {
            crowd.remove(&known(n, "", Sight::Lost).occupant.jid, None);
        }
        assert!(crowd.lost.is_empty() && crowd.counts.is_empty());
    }
}
