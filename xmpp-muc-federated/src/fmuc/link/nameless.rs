//! Events that come before the stanza that gives their names: streams overtake each other.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use xmpp_core::stanza::Stanza;

use crate::fmuc::{Aliases, Extension, Fmuc};
use crate::log::Dot;

/// Stanzas that wait for the name of their event, the oldest first, and when they came.
#[derive(Debug, Default)]
pub(in crate::fmuc) struct Nameless {
    kept: VecDeque<(Instant, Stanza, Fmuc)>,
}

/// How many do; one more, and the oldest does not.
const NAMELESS_MAX: usize = 64;

impl Nameless {
    /// Keeps a stanza for when the name of its event is given.
    pub(in crate::fmuc) fn keep(&mut self, stanza: &Stanza, fmuc: &Fmuc, now: Instant) {
        self.kept.push_back((now, stanza.clone(), fmuc.clone()));
        if self.kept.len() > NAMELESS_MAX {
            self.kept.pop_front();
        }
    }

    /// Those that have a name now. What waits for longer than `most` may be of another session, in which the name was another's: it is forgotten.
    pub(super) fn named(
        &mut self,
        aliases: &Aliases,
        most: Duration,
        now: Instant,
    ) -> Vec<(Stanza, Fmuc, Dot)> {
        self.kept.retain(|(at, ..)| now < *at + most);
        let mut named = Vec::new();
        for (at, stanza, fmuc) in std::mem::take(&mut self.kept) {
            match origin(&fmuc, aliases) {
                Some(dot) => named.push((stanza, fmuc, dot)),
                None => self.kept.push_back((at, stanza, fmuc)),
            }
        }
        named
    }

    pub(super) fn clear(&mut self) {
        self.kept.clear();
    }
}

/// The event that a stanza bears the origin of, if its name is known.
fn origin(fmuc: &Fmuc, aliases: &Aliases) -> Option<Dot> {
    let mut extensions = fmuc.extensions.iter();
    let origin = extensions.find_map(|one| match one {
        Extension::Origin(origin) => Some(*origin),
        _ => None,
    })?;
    let (node, epoch) = aliases.of_theirs(origin.alias)?;
    Some(Dot {
        node: node.clone(),
        epoch,
        seq: origin.seq,
    })
}

#[cfg(test)]
mod tests {
    use xmpp_core::stanza::MessageType;

    use super::*;
    use crate::fmuc::Origin;
    use crate::log::NodeId;

    const MOST: Duration = Duration::from_secs(30);

    fn event(alias: u64, seq: u64) -> Fmuc {
        Fmuc::default().with(Extension::Origin(Origin { alias, seq }))
    }

    /// These aliases, of nodes of the same names.
    fn given(aliases: &[u64]) -> Aliases {
        let mut given = Aliases::new();
        for alias in aliases {
            let _ = given.read(&Fmuc::default().with(Extension::Alias {
                alias: *alias,
                node: NodeId::new(&alias.to_string()),
                epoch: 7,
            }));
        }
        given
    }

    fn seqs(named: &[(Stanza, Fmuc, Dot)]) -> Vec<u64> {
        named.iter().map(|(.., dot)| dot.seq).collect()
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // only what has passed counts
    fn what_waits_for_another_name_is_not_kept_for_longer() {
        let (start, stanza) = (Instant::now(), Stanza::message(MessageType::Groupchat));
        let mut nameless = Nameless::default();
        for (alias, seq) in [(1, 10), (2, 20), (1, 11)] {
            nameless.keep(&stanza, &event(alias, seq), start);
        }
        // Names of others are given all the while.
        let named = nameless.named(&given(&[1]), MOST, start + MOST / 2);
        assert_eq!(seqs(&named), [10, 11]);
        assert_eq!(named[0].2.node, NodeId::new("1"));
        nameless.keep(&stanza, &event(2, 21), start + MOST / 2);
        let named = nameless.named(&given(&[1, 2]), MOST, start + MOST);
        assert_eq!(seqs(&named), [21]);
    }

    #[test]
    #[allow(clippy::disallowed_methods)]
    fn only_so_many_wait() {
        let (now, stanza) = (Instant::now(), Stanza::message(MessageType::Groupchat));
        let mut nameless = Nameless::default();
        for seq in 0..=NAMELESS_MAX as u64 {
            nameless.keep(&stanza, &event(1, seq), now);
        }
        let named = seqs(&nameless.named(&given(&[1]), MOST, now));
        assert_eq!(named, (1..=NAMELESS_MAX as u64).collect::<Vec<_>>());
    }
}
