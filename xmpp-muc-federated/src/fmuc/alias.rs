//! Short names for the lives of nodes on one link: an event names its author in one or two characters.

use std::collections::HashMap;

use super::{Fmuc, Have, Origin};
use crate::fmuc::wire::Extension;
use crate::log::{Dot, NodeId, Vector};

/// A short name, good for one direction of one link as long as its session lasts.
pub type Alias = u64;

/// The most names of one direction of a link; with one more, all are given anew.
const ALIASES_MAX: usize = 4096;

/// The names that are in use on one link, in both directions.
#[derive(Debug, Default)]
pub struct Aliases {
    ours: HashMap<(NodeId, u64), Alias>,
    theirs: HashMap<Alias, (NodeId, u64)>,
}

impl Aliases {
    /// No names yet: a new session.
    pub fn new() -> Aliases {
        Aliases::default()
    }

    /// What we have, with the names under which we shall speak of it from now on.
    pub fn tell(&mut self, vector: &Vector) -> Vec<Have> {
        let tell = |(node, reach): (&NodeId, crate::log::Reach)| {
            let (alias, _) = self.ours(node, reach.epoch);
            Have {
                alias,
                node: node.clone(),
                reach,
            }
        };
        vector.iter().map(tell).collect()
    }

    /// What the peer has, and its names for it. `None` if it has more names than may be.
    pub fn told(&mut self, have: &[Have]) -> Option<Vector> {
        for it in have {
            self.define(it.alias, &it.node, it.reach.epoch)?;
        }
        Some(have.iter().map(|it| (it.node.clone(), it.reach)).collect())
    }

    /// The origin of one of our stanzas, and the definition of the name in it if it is new.
    pub fn write(&mut self, dot: &Dot) -> Vec<Extension> {
        let (alias, definition) = self.name(&dot.node, dot.epoch);
        let origin = Extension::Origin(Origin {
            alias,
            seq: dot.seq,
        });
        definition.into_iter().chain([origin]).collect()
    }

    /// Our name for the life of a node, and its definition if it is new.
    pub fn name(&mut self, node: &NodeId, epoch: u64) -> (Alias, Option<Extension>) {
        let (alias, new) = self.ours(node, epoch);
        let definition = new.then(|| Extension::Alias {
            alias,
            node: node.clone(),
            epoch,
        });
        (alias, definition)
    }

    /// The event that a stanza of the peer bears the origin of; what it defines is taken note of. `None` if it has none, or one of which the name is not known.
    pub fn read(&mut self, fmuc: &Fmuc) -> Option<Dot> {
        let mut dot = None;
        for extension in &fmuc.extensions {
            match extension {
                Extension::Alias { alias, node, epoch } => self.define(*alias, node, *epoch)?,
                Extension::Origin(origin) => dot = Some(*origin),
                _ => {}
            }
        }
        let Origin { alias, seq } = dot?;
        let (node, epoch) = self.of_theirs(alias)?;
        Some(Dot {
            node: node.clone(),
            epoch,
            seq,
        })
    }

    /// What the peer means by a name.
    pub fn of_theirs(&self, alias: Alias) -> Option<(&NodeId, u64)> {
        let (node, epoch) = self.theirs.get(&alias)?;
        Some((node, *epoch))
    }

    /// Our name, and whether it is new.
    fn ours(&mut self, node: &NodeId, epoch: u64) -> (Alias, bool) {
        let key = (node.clone(), epoch);
        if let Some(alias) = self.ours.get(&key) {
            return (*alias, false);
        }
        if self.ours.len() >= ALIASES_MAX {
            self.ours.clear();
        }
        let alias = self.ours.len() as Alias + 1;
        self.ours.insert(key, alias);
        (alias, true)
    }

    fn define(&mut self, alias: Alias, node: &NodeId, epoch: u64) -> Option<()> {
        if self.theirs.len() >= ALIASES_MAX && !self.theirs.contains_key(&alias) {
            return None;
        }
        self.theirs.insert(alias, (node.clone(), epoch));
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Reach;

    fn dot(node: &str, epoch: u64, seq: u64) -> Dot {
        Dot {
            node: NodeId::new(node),
            epoch,
            seq,
        }
    }

    fn bare(extensions: Vec<Extension>) -> Fmuc {
        Fmuc {
            extensions,
            ..Fmuc::default()
        }
    }

    #[test]
    fn a_name_is_defined_once_and_before_it_is_used() {
        let (mut one, mut other) = (Aliases::new(), Aliases::new());
        for (event, elements) in [
            (dot("b@x", 2, 7), 2),
            (dot("b@x", 2, 8), 1),
            (dot("c@y", 1, 1), 2),
            (dot("b@x", 3, 1), 2),
            (dot("b@x", 2, 9), 1),
        ] {
            let said = bare(one.write(&event));
            assert_eq!(said.extensions.len(), elements, "{event}");
            assert_eq!(other.read(&said), Some(event));
        }
    }

    #[test]
    fn what_each_has_defines_names_as_well() {
        let (mut one, mut other) = (Aliases::new(), Aliases::new());
        let mut vector = Vector::default();
        vector.set(NodeId::new("b@x"), Reach { epoch: 2, seq: 7 });
        let said = one.tell(&vector);
        assert_eq!(other.told(&said), Some(vector));
        let event = dot("b@x", 2, 8);
        let said = bare(one.write(&event));
        assert_eq!(said.extensions.len(), 1);
        assert_eq!(other.read(&said), Some(event));
    }

    #[test]
    fn a_name_that_nobody_has_defined_means_nothing() {
        let origin = Origin { alias: 5, seq: 1 };
        let said = bare(vec![Extension::Origin(origin)]);
        assert_eq!(Aliases::new().read(&said), None);
    }

    #[test]
    fn there_are_only_so_many_names() {
        let (mut one, mut other) = (Aliases::new(), Aliases::new());
        for epoch in 1..=2 * ALIASES_MAX as u64 {
            let event = dot("b@x", epoch, 1);
            let said = bare(one.write(&event));
            assert_eq!(other.read(&said), Some(event));
        }
        let more = Extension::Alias {
            alias: u64::MAX,
            node: NodeId::new("c@y"),
            epoch: 1,
        };
        let origin = Origin {
            alias: u64::MAX,
            seq: 1,
        };
        let said = bare(vec![more, Extension::Origin(origin)]);
        assert_eq!(other.read(&said), None);
    }
}
